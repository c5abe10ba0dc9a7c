"""Which engine loads which format of weights, on which devices, and what to take where one does not run."""

from __future__ import annotations

from functools import lru_cache

from glmcalc.facts.evidence import with_provenance
from glmcalc.facts.frozen import record
from glmcalc.facts.hardware import Device
from glmcalc.facts.store import load_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


_ENGINE_NAMES = {"vllm": "vLLM", "sglang": "SGLang", "llama.cpp": "llama.cpp", "mlx": "MLX"}
_BLACKWELL = ("sm100", "sm103", "sm120", "sm121")


@record
class WeightFormat:
    """One row of ``data/weight_formats.json``.

    Attributes:
        id, name: as in ``--quantization``, and as people call it.
        engines: which load checkpoints of this model in it.
        architectures: where its kernels run; None: wherever the engine runs the model.
        elsewhere: what is known of the engines that do not.
        note: what a reader of the bytes should know.
    """

    id: str
    name: str
    engines: tuple[str, ...]
    architectures: tuple[str, ...] | None
    elsewhere: str | None
    note: str | None
    source: str


def weight_format(fmt: str) -> WeightFormat:
    """The format that a checkpoint's recipe names; every INT4 form of one's own ``config.json`` counts as W4A16."""
    return _formats()["w4a16" if fmt.startswith("int4-") else fmt]


def format_refusals(fmt: str, engine: str, device: Device) -> list[str]:
    """Reasons why ``engine`` cannot run weights of format ``fmt`` on ``device``; each ends with what to take in its place.

    Args:
        fmt: as a checkpoint's recipe names it, or ``gguf``.
        engine: ``vllm``, ``sglang``, ``llama.cpp`` or ``mlx``.
        device: whose architecture is looked at.
    """
    known = weight_format(fmt)
    if engine not in known.engines:
        others = " and ".join(_ENGINE_NAMES[name] for name in known.engines)
        more = f"; {known.elsewhere}" if known.elsewhere else ""
        said = f"{_ENGINE_NAMES[engine]} does not load {known.name} weights of this model, as far as is known ({others} does{more})"
        return [f"{said}; take {nearest_four_bit(engine, device)}"]
    if known.architectures is not None and device.architecture not in known.architectures:
        where = f"{device.name} ({device.architecture or 'architecture not known'})"
        said = f"{known.name} has no kernels for {where}, as far as is known: {known.note or 'it runs on ' + known.architectures[0]}"
        return [f"{said}; take {nearest_four_bit(engine, device)}"]
    return []


def nearest_four_bit(engine: str, device: Device) -> str:
    """The 4-bit form of the weights that ``engine`` can run on ``device``, as a phrase."""
    chip = device.architecture or ""
    if engine == "mlx" or chip == "apple":
        return "mlx-4bit under MLX, or a GGUF file such as UD-Q4_K_M under llama.cpp"
    if engine == "llama.cpp":
        return "a GGUF file such as UD-Q4_K_M"
    if chip == "sm90":
        hopper = "w4a16 or awq, since Hopper has no FP4 cores"
        return f"w4afp8, or {hopper}" if engine == "sglang" else f"{hopper} (w4afp8 under SGLang)"
    if chip in _BLACKWELL:
        return "nvfp4"
    if chip == "gfx950":
        return "mxfp4"
    if chip.startswith("gfx9"):
        return f"w4a16, of which no report for this model on {device.name} is known, or fp8"
    return "a GGUF file such as UD-Q4_K_M under llama.cpp"


@lru_cache(maxsize=1)
def _formats() -> dict[str, WeightFormat]:
    rows = with_provenance(load_json("weight_formats.json")["formats"], "weight_formats.json")
    return {row["id"]: _format(row) for row in rows}


def _format(row: dict[str, Any]) -> WeightFormat:
    chips = row["architectures"]
    return WeightFormat(
        row["id"], row["name"], tuple(row["engines"]), tuple(chips) if chips else None, row["elsewhere"], row["note"],
        row["source"],
    )  # fmt: skip
