"""What a careful reader would say of a deployment: traps of releases, devices, records and formats."""

from __future__ import annotations

from glmcalc.facts.engines import EngineVersion, rule
from glmcalc.facts.hardware import Device
from glmcalc.model.checkpoint import Checkpoint, load_checkpoint
from glmcalc.model.deployment import Deployment


def check_quantization(asked: Deployment, checkpoint: Checkpoint, warnings: list[str]) -> None:
    """Say that another checkpoint is budgeted than the one named, and why that is not what the flags alone would do.

    Of BF16 weights vLLM makes FP8 itself while it loads them (its ``online`` quantization); every other method needs a
    checkpoint that was made so.
    """
    if asked.quantization is None:
        return
    named = load_checkpoint(asked.model)
    if named.name == checkpoint.name:
        return
    if (named.recipe.fmt, checkpoint.recipe.fmt) == ("bf16", "fp8"):
        alone = (
            f"the engine would quantize {named.name} itself while it loads, with other memory, which is not modelled"
        )
    else:
        alone = f"{named.name} holds {named.recipe.fmt}, and the engine would refuse to load it so"
    warnings.append(
        f"quantization {asked.quantization}: {alone}. Budgeted, and named in the command, is the checkpoint {checkpoint.name}."
    )


def device_notes(
    chip: Device,
    checkpoint: Checkpoint,
    record: str,
    version: EngineVersion,
    dcp: int,
    warnings: list[str],
    uncertain: list[str],
) -> None:
    """What to know of a device, a record or a combination: to ``warnings``, and to ``uncertain`` what leaves figures open."""
    geometry = checkpoint.geometry
    if chip.vendor == "AMD":
        note = f"{chip.name}: vLLM's ROCm build reserves other buffers; CUDA's terms stand in for them"
        warnings.append(note)
        uncertain.append(note)
    if chip.architecture == "sm121":
        note = f"{chip.name} shares its memory with the host: what is free at start varies by GiB"
        warnings.append(note)
        uncertain.append(note)
    if checkpoint.recipe.fmt == "nvfp4" and chip.architecture == "sm90":
        warnings.append(
            "Hopper has no FP4 cores: NVFP4 weights run through weight-only kernels, and repacking is not modelled. "
            "The 4-bit forms made for it are W4A16 and AWQ, and W4AFP8 under SGLang."
        )
    _format_notes(checkpoint, warnings)
    if record == "fp8_e4m3" and geometry.sparse:
        warnings.append(
            "Plain fp8 KV without scales is the default here and has a reported loss of quality on GLM-5.1 "
            "(https://github.com/sgl-project/sglang/issues/22671); --kv-cache-dtype fp8_ds_mla is the safe record."
        )
    if dcp > 1 and geometry.sparse:
        established = rule("sparse_dcp", version)
        if established.value != "works":
            note = f"decode context parallelism with sparse attention is not established for {version.text}; it works in 0.33.0"
            warnings.append(note)
            uncertain.append(note)


def _format_notes(checkpoint: Checkpoint, warnings: list[str]) -> None:
    """A recipe that is not known to the tensor, and what the engine does to such weights while it loads."""
    if checkpoint.recipe.fmt in ("bf16", "fp8", "nvfp4"):
        return
    from glmcalc.model.format_support import weight_format

    if checkpoint.low is not None:
        warnings.append(
            f"{checkpoint.name}: which modules are quantized, and in which groups, is not known, so its weights are a band; "
            "its config.json (--model PATH) settles it."
        )
    known = weight_format(checkpoint.recipe.fmt)
    if known.note:
        warnings.append(f"{known.name}: {known.note}.")


def length_trap(
    length: int, auto_fit: bool, block_size: int, mtp: bool, sparse: bool, version: EngineVersion, warnings: list[str]
) -> None:
    """A length that some releases crash on with MTP: a whole number of blocks."""
    if not (mtp and sparse) or auto_fit or length % block_size:
        return
    margin = rule("block_table_margin", version)
    safe = length - 72 if length > 1024 else length - 1
    said = {
        "short_by_one": f"{version.text} crashes on it under concurrent load",
        "reported_fixed": "the issue is closed, but which release carries the fix is not established",
    }[margin.value if margin.other is None else "short_by_one"]
    warnings.append(
        f"max_model_len {length:,} is a multiple of {block_size} and MTP is on: {said} ({margin.source}); "
        f"{safe:,} avoids it."
    )
