"""Which KV record the engine resolves a ``--kv-cache-dtype`` to, and which combinations it has no kernel for."""

from __future__ import annotations

from glmcalc.facts.errors import InputError
from glmcalc.facts.hardware import Device
from glmcalc.model.geometry import Geometry

SOURCE = "https://github.com/vllm-project/vllm (0.33.0: model_executor/models/config.py, attention/backends/mla)"

_SPELLINGS = {
    "auto": "auto", "bfloat16": "bf16", "bf16": "bf16", "fp8": "fp8", "fp8_e4m3": "fp8",
    "fp8_ds_mla": "fp8_ds_mla", "nvfp4_ds_mla": "nvfp4_ds_mla",
}  # fmt: skip


def resolve_record(kv_cache_dtype: str | None, geometry: Geometry, device: Device) -> tuple[str, list[str]]:
    """The record that a token takes, and the reasons why the engine would refuse (empty when it would not).

    Args:
        kv_cache_dtype: the flag as given; None and ``auto`` are the engine's choice for the device.
        geometry: sparse attention or not decides between the kernels.
        device: its architecture decides the rest.

    Returns:
        One of ``bf16 fp8_ds_mla fp8_e4m3 nvfp4_ds_mla``, and refusals.

    Raises:
        InputError: a dtype that no MLA cache has.
    """
    wanted = _SPELLINGS.get((kv_cache_dtype or "auto").lower())
    if wanted is None:
        raise InputError(
            "kv_cache_dtype", kv_cache_dtype, "one of auto, bfloat16, fp8, fp8_e4m3, fp8_ds_mla, nvfp4_ds_mla"
        )
    if not geometry.sparse:
        return _dense_record(wanted, device)
    architecture = device.architecture
    if architecture in ("sm100", "sm103"):
        return _blackwell_record(wanted, geometry)
    if architecture in ("sm120", "sm121"):
        return _rtx_record(wanted)
    refusals = []
    if wanted == "nvfp4_ds_mla":
        refusals.append(f"the nvfp4_ds_mla record needs SM100; {device.name} is {architecture or 'not known to be'}")
        return "nvfp4_ds_mla", refusals
    return ("bf16" if wanted in ("auto", "bf16") else "fp8_ds_mla"), refusals


def _blackwell_record(wanted: str, geometry: Geometry) -> tuple[str, list[str]]:
    if wanted == "auto":
        # GlmMoeDsaForCausalLM turns auto into fp8_e4m3 on SM10x; the DeepSeek classes keep bf16.
        return ("fp8_e4m3" if geometry.model_type == "glm_moe_dsa" else "bf16"), []
    return {"bf16": "bf16", "fp8": "fp8_e4m3"}.get(wanted, wanted), []


def _rtx_record(wanted: str) -> tuple[str, list[str]]:
    if wanted == "bf16":
        return "bf16", ["on SM12x the sparse MLA kernel takes fp8_ds_mla only; bfloat16 KV has no kernel there"]
    if wanted == "nvfp4_ds_mla":
        return "nvfp4_ds_mla", ["the nvfp4_ds_mla record needs SM100 in upstream vLLM; on SM12x only forks have it"]
    return "fp8_ds_mla", []


def _dense_record(wanted: str, device: Device) -> tuple[str, list[str]]:
    if wanted in ("fp8_ds_mla", "nvfp4_ds_mla"):
        return wanted, [f"{wanted} is a record of sparse attention; this model's attention is dense"]
    if wanted == "fp8":
        old = device.architecture in ("sm80", "sm86")
        return "fp8_e4m3", [f"{device.name} ({device.architecture}) has no FP8 kernels for MLA"] if old else []
    return "bf16", []


def device_refusals(geometry: Geometry, fmt: str, device: Device) -> list[str]:
    """Reasons why the engine cannot serve this model on this device at all, as far as is known; the format's come first."""
    if fmt not in ("bf16", "fp8", "nvfp4"):
        from glmcalc.model.format_support import format_refusals

        refusals = format_refusals(fmt, "vllm", device)
        if refusals:
            return refusals
    if device.vendor == "NVIDIA":
        if geometry.sparse and device.architecture in ("sm80", "sm86", "sm89"):
            return [
                f"vLLM has no sparse-MLA kernel for {device.name} ({device.architecture}), as far as is known "
                "(vllm-project/vllm pull request 38476 is open); GLM-5.x needs Hopper or Blackwell"
            ]
        return []
    if device.vendor == "AMD" and device.architecture and device.architecture.startswith("gfx9"):
        if fmt != "nvfp4":
            return []
        from glmcalc.model.format_support import nearest_four_bit

        return [f"NVFP4 has no kernels on AMD; take {nearest_four_bit('vllm', device)}"]
    return [
        f"vLLM's memory accounting is known here for NVIDIA, and by analogy AMD Instinct, devices; {device.name} is neither"
    ]


def parallel_refusals(geometry: Geometry, record: str, device: Device, tp: int, dcp: int, block_size: int) -> list[str]:
    """Combinations of flags that the engine refuses for this model (vLLM 0.33.0, ``flashmla_sparse.py``)."""
    if not geometry.sparse:
        return []
    refusals = []
    if block_size % 64:
        refusals.append(f"block_size {block_size}: the indexer's cache takes multiples of 64 only")
    if dcp > 1:
        hopper = device.architecture == "sm90"
        if record == "bf16" and hopper:
            refusals.append(
                f"decode context parallelism {dcp} with bf16 KV on {device.name}: the sparse bf16 kernels of Hopper do "
                "not support it; --kv-cache-dtype fp8 does"
            )
        if record == "nvfp4_ds_mla":
            refusals.append(
                f"decode context parallelism {dcp} with the nvfp4_ds_mla record: the sparse kernel that reads it takes "
                "fp8_ds_mla only there; --kv-cache-dtype fp8_ds_mla does"
            )
        if record == "fp8_ds_mla" and geometry.num_attention_heads // tp >= 32:
            refusals.append(
                f"decode context parallelism with fp8_ds_mla needs fewer than 32 heads on each rank; "
                f"{geometry.num_attention_heads} heads over tensor_parallel_size {tp} leave {geometry.num_attention_heads // tp}"
            )
        if geometry.index_topk not in (512, 1024, 2048):
            refusals.append(
                f"decode context parallelism needs index_topk 512, 1024 or 2048 (this model: {geometry.index_topk})"
            )
    return refusals
