"""The state as one small JSON file: written whole or not at all, read strictly."""

from __future__ import annotations

import json
import math
import os

from glmcalc.advise.tuning.state import Life, Pending, Setting, State, Step
from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import asdict, names_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


FORMAT = "glmcalc tuning state"
VERSION = 1
_LIMIT = 8 << 20
_ALLOWED = f"a file that glmcalc tune wrote (format version {VERSION}), or a name that does not exist yet"


def to_data(state: State) -> dict[str, Any]:
    """The state as JSON holds it."""
    return {"format": FORMAT, "version": VERSION, **_plain(state)}


def _plain(value: Any) -> Any:
    if hasattr(type(value), "__fields__"):
        return {name: _plain(part) for name, part in asdict(value).items()}
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return value


def from_data(data: Any) -> State:
    """The state out of what JSON held.

    Raises:
        ValueError: another format, another version, or parts that are missing or of the wrong kind.
    """
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ValueError("is no state of glmcalc tune")
    if data.get("version") != VERSION:
        raise ValueError(f"has format version {data.get('version')!r}, and this glmcalc reads version {VERSION}")
    try:
        pending = data["pending"]
        state = State(
            dict(data["identity"]), str(data["mode"]), tuple(_step(row) for row in data["steps"]),
            Pending(str(pending["decision"]), _setting(pending["setting"])) if pending else None,
            _text(data["frozen"]), _number(data["short_at"]),
            tuple((_number(when), str(text)) for when, text in data["causes"]), _text(data["source"]), int(data["dropped"]),
        )  # fmt: skip
        sound = bool(state.steps) and state.mode in ("budget", "guide")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"is damaged ({type(error).__name__}: {error})") from error
    if not sound:
        raise ValueError("is damaged (no steps, or an unknown mode)")
    return state


def _number(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no number")
    return value


def _text(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    return value


def _setting(row: dict[str, Any]) -> Setting:
    utilization, pinned, seqs = (_number(row[name]) for name in names_of(Setting))
    if utilization is None or seqs is None or not 0 < utilization <= 1 or seqs < 1:
        raise ValueError("a setting out of range")
    return Setting(float(utilization), int(pinned) if pinned is not None else None, int(seqs))


def _numbers(row: dict[str, Any]) -> dict[str, float]:
    return {str(name): float(_number(value) or 0.0) for name, value in row.items()}


def _step(row: dict[str, Any]) -> Step:
    lives = tuple(
        Life(_number(life["began"]), _number(life["first_time"]), _number(life["last_time"]), _numbers(life["base"]), _numbers(life["last"]))
        for life in row["lives"]
    )  # fmt: skip
    return Step(
        int(row["number"]), _setting(row["setting"]), str(row["how"]), _number(row["began"]), lives, _numbers(row["peaks"]),
        tuple((float(when), int(size)) for when, size in row["free"]), int(row["scrapes"]),
        _numbers(row["config"]) if row["config"] is not None else None, _setting(row["command"]) if row["command"] else None,
        bool(row["good"]), _text(row["died"]), bool(row["excused"]), _text(row["decision"]), _text(row["reason"]),
    )  # fmt: skip


def load(path: str) -> State | None:
    """The state in ``path``; None where there is no such file.

    Raises:
        InputError: a file that cannot be read, is no state, is damaged, or of another version. It is left as it is.
    """
    try:
        with open(path, "rb") as file:
            raw = file.read(_LIMIT + 1)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError("state", path, _ALLOWED, f"state: cannot read {path} ({reason}).") from error
    try:
        if len(raw) > _LIMIT:
            raise ValueError(f"is larger than {_LIMIT >> 20} MiB")
        return from_data(_parsed(raw))
    except ValueError as error:
        raise InputError(
            "state", path, _ALLOWED, f"state: {path} {error}; it was left as it is. Allowed: {_ALLOWED}."
        ) from error


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is no whole JSON file ({type(error).__name__})") from error


def save(state: State, path: str) -> None:
    """Write ``state`` to ``path``: to a new file beside it, then renamed, so that a kill leaves the old or the new one.

    Raises:
        InputError: the folder cannot be written.
    """
    import tempfile

    folder = os.path.dirname(os.path.abspath(path))
    text = json.dumps(to_data(state), allow_nan=False, separators=(",", ":"))
    try:
        handle, made = tempfile.mkstemp(prefix=os.path.basename(path) + ".", suffix=".tmp", dir=folder)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text + "\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(made, path)
        except BaseException:
            if os.path.exists(made):
                os.unlink(made)
            raise
    except OSError as error:
        raise InputError(
            "state", path, "a place that can be written", f"state: cannot write {path} ({error.strerror})."
        ) from error


class alone:
    """Within ``with alone(path):`` no other ``glmcalc tune`` changes that state; a lock that dies with its process."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._handle: int | None = None

    def __enter__(self) -> None:
        if self._path is None:
            return
        try:
            import fcntl

            self._handle = os.open(os.path.dirname(os.path.abspath(self._path)), os.O_RDONLY)
            fcntl.flock(self._handle, fcntl.LOCK_EX)
        except (ImportError, OSError):  # no such locks on this system or file system: the last writer wins
            pass

    def __exit__(self, *_: object) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
