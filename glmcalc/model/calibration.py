"""What one machine's start-up log measured, as a small file: terms in bytes, and the deployment they were measured at."""

from __future__ import annotations

import json

from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import names_of, record
from glmcalc.facts.quantity import Band
from glmcalc.model.deployment import MIB_LIMIT, OFF_UNLESS_STATED, Deployment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FORMAT = 1
_LARGEST_TEXT = 100_000
_INDEXERS = (None, "every_layer", "owning_layers")
# Words of a pasted command that move no memory, and what a log overrides, are nothing of the machine.
_NOT_STORED = ("calibration", "kept", "heavy", "speculative_extra", "available_kv_bytes", "weights_bytes")


@record
class Calibration:
    """Measured terms of one machine.

    Attributes:
        measured_at: the deployment of the log; its own ``calibration`` is None.
        terms: ``(name, range)`` of each component inside utilization, bytes per GPU, at ``measured_at``.
        weights_printed: whether the log printed the weights of a GPU.
        weights_shift_bytes: weights minus those of the closed form.
        available_bytes: the pool as printed, bytes per GPU.
        graphs_above_bytes: captured CUDA graphs minus their estimate; None where the log says neither.
        indexer_caches: the rule that the printed tokens show (``every_layer`` or ``owning_layers``); None where they do not.
    """

    measured_at: Deployment
    terms: tuple[tuple[str, Band], ...]
    weights_printed: bool
    weights_shift_bytes: int
    available_bytes: int
    graphs_above_bytes: int | None
    indexer_caches: str | None

    def term(self, name: str) -> Band | None:
        """The measured range of a component, or None."""
        return next((band for term, band in self.terms if term == name), None)

    def to_text(self) -> str:
        """The file's content: JSON, sorted, the same for the same calibration."""
        settings = {
            name: value
            for name in names_of(Deployment)
            if name not in _NOT_STORED and (value := getattr(self.measured_at, name)) not in (None, ())
            if value is not False or name not in OFF_UNLESS_STATED
        }
        data = {
            "glmcalc_calibration": FORMAT,
            "measured_at": settings,
            "terms_bytes": {name: [band.low, band.likely, band.high] for name, band in self.terms},
            "weights_printed": self.weights_printed,
            "weights_shift_bytes": self.weights_shift_bytes,
            "available_bytes": self.available_bytes,
            "graphs_above_bytes": self.graphs_above_bytes,
            "indexer_caches": self.indexer_caches,
        }
        return json.dumps(data, indent=1, sort_keys=True) + "\n"


def read_calibration(text: str, name: str = "the text") -> Calibration:
    """A calibration out of its file's content.

    Args:
        text: what ``glmcalc calibrate --out`` wrote.
        name: of the file, for messages.

    Raises:
        InputError: not JSON, not a calibration, or one with values that cannot be.
    """
    allowed = "a file written by glmcalc calibrate --out"
    try:
        data = json.loads(text) if len(text) <= _LARGEST_TEXT else None
    except (ValueError, RecursionError) as error:
        raise InputError("calibration", name, allowed, f"calibration: {name} is not JSON ({error}).") from error
    if not isinstance(data, dict) or data.get("glmcalc_calibration") != FORMAT:
        raise InputError("calibration", name, allowed, f"calibration: {name} is not {allowed}.")
    try:
        return Calibration(
            Deployment.from_settings(_settings(data["measured_at"])),
            tuple(
                (str(term), Band(*(_bytes(end) for end in ends))) for term, ends in sorted(data["terms_bytes"].items())
            ),
            _switch(data["weights_printed"]),
            _bytes(data["weights_shift_bytes"]),
            _bytes(data["available_bytes"]),
            _optional(data["graphs_above_bytes"]),
            _one_of(data["indexer_caches"]),
        )
    except InputError as error:
        raise InputError("calibration", name, allowed, f"calibration: {name}: {error.message}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError("calibration", name, allowed, f"calibration: {name} is damaged ({error!r}).") from error


def load_calibration(path_or_text: str) -> Calibration:
    """A calibration from its file, or from the file's content itself.

    Raises:
        InputError: an unreadable file, or as :func:`read_calibration`.
    """
    if path_or_text.lstrip().startswith("{"):
        return read_calibration(path_or_text)
    try:
        with open(path_or_text, encoding="utf-8") as file:
            text = file.read(_LARGEST_TEXT + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise InputError(
            "calibration", path_or_text, "a readable file", f"calibration: cannot read {path_or_text} ({reason})."
        ) from error
    return read_calibration(text, path_or_text)


def _settings(stored: Any) -> dict[str, Any]:
    if not isinstance(stored, dict) or set(stored) & set(_NOT_STORED):
        raise InputError("measured_at", stored, "settings of a deployment")
    return stored


def _bytes(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > MIB_LIMIT:
        raise ValueError(f"{value!r} is no number of bytes")
    return value


def _optional(value: Any) -> int | None:
    return None if value is None else _bytes(value)


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is neither true nor false")
    return value


def _one_of(value: Any) -> str | None:
    if value not in _INDEXERS:
        raise ValueError(f"indexer_caches {value!r}")
    return value if value is None else str(value)
