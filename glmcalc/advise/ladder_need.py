""" "I need X, I have Y": which deployment such a pair of totals means, and what the budget says that it needs."""

from __future__ import annotations

from glmcalc.advise.ladder_limits import needed_bytes
from glmcalc.budget.plan import plan
from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record
from glmcalc.facts.hardware import Device, device, devices
from glmcalc.facts.quantity import GB, gb
from glmcalc.model.checkpoint import load_checkpoint
from glmcalc.model.deployment import Deployment
from glmcalc.model.records import device_refusals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_COUNTS = (1, 2, 4, 8, 16, 32, 64)
_CLOSE = 0.01  # a total is that of n GPUs when it is this near to it
_VENDORS = ("NVIDIA", "AMD")


@record
class Stated:
    """Totals over all GPUs, as somebody worked them out, and what they mean here.

    Attributes:
        need_bytes, have_bytes: as stated.
        deployment: with the GPUs that ``have_bytes`` means.
        readings: every ``(gpu, gpus)`` that holds ``have_bytes``; the first is the one taken.
        computed_need_bytes: what the budget says that one request of full length needs over all GPUs; None where the
            device's memory is unknown.
        text: both in a sentence.
    """

    need_bytes: int
    have_bytes: int
    deployment: Deployment
    readings: tuple[tuple[str, int], ...]
    computed_need_bytes: int | None
    text: str

    def to_dict(self) -> dict[str, Any]:
        """As in ``stated`` of ``downgrade --json``."""
        return {
            "need_bytes": self.need_bytes,
            "have_bytes": self.have_bytes,
            "short_bytes": max(self.need_bytes - self.have_bytes, 0),
            "computed_need_bytes": self.computed_need_bytes,
            "readings": [{"gpu": gpu, "gpus": gpus} for gpu, gpus in self.readings],
            "text": self.text,
        }


def read_need(need_bytes: int, have_bytes: int, deployment: Deployment) -> Stated:
    """Which deployment a stated need and a stated total of memory mean.

    Args:
        need_bytes, have_bytes: totals over all GPUs.
        deployment: whatever else is stated; the GPU, the number of GPUs and the parallel sizes may be open.

    Raises:
        InputError: a total that is no number of known GPUs, or not that of the GPUs which are stated.
    """
    readings = _readings(have_bytes, deployment)
    gpu, gpus = readings[0]
    sizes = (deployment.tensor_parallel_size, deployment.pipeline_parallel_size, deployment.data_parallel_size)
    changes: dict[str, Any] = {"gpu": gpu, "gpus": gpus}
    if all(size is None for size in sizes):
        changes["tensor_parallel_size"] = gpus
    filled = deployment.changed(**changes)
    made = plan(filled)
    computed = needed_bytes(made) * gpus if made.memory is not None else None
    chip = made.resolved.device
    said = f"{gb(have_bytes, 0)} GB is {gpus} x {chip.name} ({gpus} x {chip.memory_gb:g} GB as sold)"
    others = [f"{count} x {device(name).name}" for name, count in readings[1:]]
    if others:
        said += f"; it could also be {', '.join(others)}: say --gpu and --gpus"
    weights = made.resolved.checkpoint.total_bytes
    need = (
        f"Stated: {gb(need_bytes, 0)} GB needed. {made.resolved.checkpoint.name} alone is {gb(weights)} GB of weights"
    )
    if computed is not None:
        need += f"; with {gpus} GPUs and one request of {made.resolved.max_model_len:,} tokens the budget needs {gb(computed)} GB"
    return Stated(need_bytes, have_bytes, filled, tuple(readings), computed, f"{said}. {need}.")


def _readings(have_bytes: int, asked: Deployment) -> list[tuple[str, int]]:
    if asked.gpu is not None:
        chip = device(asked.gpu)
        counts = [count] if (count := _count(asked)) else [n for n in _COUNTS if _near(chip, n, have_bytes)]
        if counts and _near(chip, counts[0], have_bytes):
            return [(chip.id, counts[0])]
        size = f"{counts[0]} x " if counts else "1, 2, 4, 8 or more x "
        raise InputError(
            "have", f"{gb(have_bytes, 0)} GB", f"the memory of {size}{chip.name} ({chip.memory_gb or 0:g} GB each)"
        )
    checkpoint = load_checkpoint(asked.model, asked.quantization)
    count = _count(asked)
    found = [
        (
            bool(device_refusals(checkpoint.geometry, checkpoint.recipe.fmt, chip)),
            chip.vendor != _VENDORS[0],
            n,
            chip.id,
        )
        for chip in devices()
        for n in ([count] if count else _COUNTS)
        if chip.vendor in _VENDORS and _near(chip, n, have_bytes)
    ]
    if not found:
        raise InputError(
            "have", f"{gb(have_bytes, 0)} GB", "the memory of 1, 2, 4, 8 or 16 known GPUs; or say --gpu and --gpus"
        )
    return [(name, n) for _, _, n, name in sorted(found, key=lambda row: row[:3])]


def _count(asked: Deployment) -> int | None:
    if asked.gpus is not None:
        return asked.gpus
    sizes = (asked.tensor_parallel_size, asked.pipeline_parallel_size, asked.data_parallel_size)
    if all(size is None for size in sizes):
        return None
    return (sizes[0] or 1) * (sizes[1] or 1) * (sizes[2] or 1)


def _near(chip: Device, count: int, have_bytes: int) -> bool:
    memory = chip.memory()
    sizes = [chip.memory_gb * GB] if chip.memory_gb else []
    sizes += [memory.bytes] if memory else []
    return any(abs(count * size - have_bytes) <= _CLOSE * have_bytes for size in sizes)
