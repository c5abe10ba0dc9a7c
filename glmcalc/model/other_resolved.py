"""What a resolved deployment of SGLang or llama.cpp has in common: the device, its memory, the notes, and shared checks."""

from __future__ import annotations

from glmcalc.facts.engines import EngineVersion
from glmcalc.facts.errors import InputError
from glmcalc.facts.hardware import Device, Memory, device
from glmcalc.model.deployment import Deployment


class Notes:
    """Warnings, reasons why no verdict is better than marginal, refusals, and settings left to defaults; filled while resolving."""

    def __init__(self, asked: Deployment, version: EngineVersion) -> None:
        self.warnings: list[str] = [version.note] if version.note else []
        self.uncertain: list[str] = [version.note] if version.note else []
        self.refusals: list[str] = []
        self.filled: list[str] = []
        if asked.calibration is not None:
            self.warnings.append("The calibration is left out: it is of vLLM.")
        for flag in asked.heavy:
            self.doubt(f"{flag} can move GiB and is not modelled")

    def doubt(self, text: str) -> None:
        """A warning that leaves the figures open."""
        self.warnings.append(text)
        self.uncertain.append(text)


def chosen_device(asked: Deployment) -> Device:
    """The device of the deployment.

    Raises:
        InputError: none is named, or it is not known.
    """
    if asked.gpu is None:
        raise InputError(
            "gpu", None, "an id of data/hardware.csv, such as h200_sxm",
            "gpu is missing: say which, such as --gpu h200_sxm.",
        )  # fmt: skip
    return device(asked.gpu)


def memory_of(asked: Deployment, chip: Device) -> Memory | None:
    """Memory that the engine sees on one device: as a log printed it, else the table's."""
    size = asked.gpu_memory_bytes
    return Memory(size, size, size, "measured", "as a log printed it") if size is not None else chip.memory()


def same(asked: Deployment, own: str, common: str) -> int | None:
    """A setting that can be said by the engine's own name or by vLLM's; None where neither is given.

    Raises:
        InputError: both are, with different values.
    """
    mine, theirs = getattr(asked, own), getattr(asked, common)
    if mine is not None and theirs is not None and mine != theirs:
        raise InputError(own, mine, f"{common} ({theirs}) or left out: both say the same setting")
    value = mine if mine is not None else theirs
    if value is not None and not isinstance(value, int):
        raise InputError(common, value, f"a whole number: {asked.engine} has no auto-fit")
    return value
