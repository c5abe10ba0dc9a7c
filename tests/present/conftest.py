"""Hand-made plans in the shape of ``Plan.to_dict()``: GLM-5.2-FP8 on 8 H200, figures of a worked example."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import pytest

GIB = 1 << 30
FLAGS = (
    "vllm serve zai-org/GLM-5.2-FP8 --tensor-parallel-size 8 --kv-cache-dtype fp8 --max-model-len 131072 "
    "--max-num-seqs 256 --max-num-batched-tokens 8192 --gpu-memory-utilization 0.9 "
    '--speculative-config \'{"method":"mtp","num_speculative_tokens":3}\''
)

_ROWS: list[tuple[str, str, float, float, float, bool, str, str]] = [
    ("weights", "Weights, 78 layers", 88.46, 88.46, 88.46, True, "exact", "config.json"),
    ("mtp_layer", "MTP layer", 1.32, 1.32, 1.32, True, "exact", "config.json, layer 78"),
    ("load_extras", "Load extras", 0.40, 0.25, 1.00, True, "measured", "https://example.org/logs/6"),
    ("workspaces", "Workspaces", 1.90, 0.57, 2.28, True, "estimated", "https://example.org/vllm (flashmla_sparse.py)"),
    ("activation_peak", "Activation peak", 1.12, 0.81, 2.38, True, "estimated", "0.50 GiB + 80 KiB x T"),
    ("mtp_runtime", "MTP run time", 0.70, 0.00, 2.00, True, "estimated", "2 published logs"),
    ("non_torch", "Other, after baseline", 0.55, 0.20, 1.00, True, "measured", "4 published logs"),
    ("cuda_graphs", "CUDA graphs", 5.67, 1.26, 11.76, True, "estimated", "45 MiB x 86 x 1.5"),
    ("kv_pool", "KV pool", 25.70, 19.29, 30.38, True, "estimated", "what remains"),
    ("late_buffers", "Late buffers", 0.21, 0.21, 0.21, False, "exact", "indexer and block tables"),
    ("unprofiled_transients", "Unprofiled peak", 0.50, 0.50, 4.00, False, "estimated", "decode logits"),
    ("context_nccl", "Context, NCCL", 0.88, 0.50, 1.50, False, "estimated", "assumption"),
]


def _component(row: tuple[str, str, float, float, float, bool, str, str]) -> dict[str, Any]:
    name, label, likely, low, high, inside, basis, source = row
    return {
        "name": name, "label": label, "bytes": round(likely * GIB), "low_bytes": round(low * GIB),
        "high_bytes": round(high * GIB), "inside_utilization": inside, "basis": basis, "source": source, "note": None,
    }  # fmt: skip


def set_gib(plan: dict[str, Any], **figures: float) -> dict[str, Any]:
    """The plan with components set to so many GiB, without a range."""
    for part in plan["per_gpu"]["components"]:
        if part["name"] in figures:
            part["bytes"] = part["low_bytes"] = part["high_bytes"] = round(figures[part["name"]] * GIB)
    return plan


def fits() -> dict[str, Any]:
    """3.8 requests of 131,072 tokens."""
    return {
        "deployment": {
            "model": "zai-org/GLM-5.2-FP8", "gpu": "h200_sxm", "gpus": 8, "tensor_parallel_size": 8,
            "decode_context_parallel_size": 1, "max_model_len": 131072, "max_num_seqs": 256,
            "max_num_batched_tokens": 8192, "gpu_memory_utilization": 0.9, "kv_cache_dtype": "fp8",
            "engine": "vllm", "engine_version": "0.33.0",
        },
        "kv": {
            "record": "fp8_ds_mla", "bytes_per_token": 54728, "block_size": 64, "bytes_per_block": 3502592,
            "available_bytes": round(25.70 * GIB), "available_low_bytes": round(19.29 * GIB),
            "available_high_bytes": round(30.38 * GIB), "num_blocks": 7878, "tokens": 504128,
            "max_concurrency": 3.846, "max_concurrency_low": 2.887, "max_concurrency_high": 4.547,
            "blocks_per_request": 2048, "needed_bytes": 2048 * 3502592, "estimated_max_model_len": 131072, "fits": True,
        },
        "per_gpu": {
            "memory_bytes": round(139.80 * GIB), "memory_low_bytes": round(139.80 * GIB),
            "memory_high_bytes": round(139.80 * GIB), "memory_basis": "measured", "memory_source": "hardware.csv, h200_sxm",
            "utilization_bytes": round(125.82 * GIB), "components": [_component(row) for row in _ROWS],
        },
        "verdict": {
            "status": "fits", "stage": None, "engine_message": None, "settle": None, "mend": None,
            "reason": "3.8 requests of 131,072 tokens at once (2.9 to 4.5): the KV pool is 25.7 GiB per GPU (19.3 to 30.4).",
            "advice": "Run the command below; then paste its log line `Available KV cache memory`.",
            "watch": "131,072 is a multiple of 64 and MTP is on; a build with vllm#46074 needs 131,000.",
        },
        "command": FLAGS, "warnings": [], "not_modelled": [], "no_effect_on_memory": [],
    }  # fmt: skip


def does_not_fit() -> dict[str, Any]:
    """One request of 1,048,576 tokens: 53.45 GiB against a pool of 32.42."""
    plan = fits()
    set_gib(plan, workspaces=3.45, cuda_graphs=0.20, kv_pool=32.42, late_buffers=0.64, unprofiled_transients=0)
    plan["deployment"].update(max_model_len=1048576, max_num_seqs=1, gpu_memory_utilization=0.92)
    plan["per_gpu"]["utilization_bytes"] = round(128.62 * GIB)
    plan["kv"].update(
        available_bytes=round(32.42 * GIB), available_low_bytes=round(30.3 * GIB), available_high_bytes=round(35.0 * GIB),
        needed_bytes=16384 * 3502592, max_concurrency=0.6, fits=False,
    )  # fmt: skip
    plan["command"] = FLAGS.replace("131072", "1048576").replace("256", "1").replace("0.9 ", "0.92 ")
    plan["verdict"].update(
        status="does_not_fit", stage="startup_kv_too_small", watch=None,
        reason="One request of 1,048,576 tokens needs 53.45 GiB of KV per GPU; the pool is 32.42 GiB (30.3 to 35.0). "
        "Short by 21.03 GiB.",
        advice="Add `--decode-context-parallel-size 2`: it halves the need to 26.72 GiB and fits.",
        engine_message="To serve at least one request with the model's max seq len (1048576), (53.45 GiB KV cache is needed.",
        mend={
            "change": [{"flag": "--decode-context-parallel-size", "from": None, "to": 2}],
            "command": plan["command"].replace("--kv-cache", "--decode-context-parallel-size 2 --kv-cache"),
            "summary": "1.20 requests of 1,048,576 tokens (1.13 to 1.30).",
        },
    )  # fmt: skip
    return plan


def marginal() -> dict[str, Any]:
    """The band straddles the limit."""
    plan = set_gib(fits(), kv_pool=6.13)
    plan["deployment"]["gpu_memory_utilization"] = 0.76
    plan["per_gpu"]["utilization_bytes"] = sum(
        part["bytes"] for part in plan["per_gpu"]["components"] if part["inside_utilization"]
    )
    plan["kv"].update(
        available_bytes=round(6.13 * GIB), available_low_bytes=0, available_high_bytes=round(10.8 * GIB),
        max_concurrency=0.9, fits=False,
    )  # fmt: skip
    plan["verdict"].update(
        status="marginal", stage="startup_kv_too_small", watch=None, settle="Available KV cache memory",
        reason="One request of 131,072 tokens needs 6.7 GiB per GPU; the pool is 6.1 GiB (0 to 10.8) at utilization 0.76.",
        advice="To fit for sure: `--max-num-seqs 64`, pool 9.8 GiB (6.9 to 12.0).",
    )  # fmt: skip
    return plan


def unsupported() -> dict[str, Any]:
    """bf16 KV under decode context parallelism on Hopper."""
    plan = fits()
    plan["verdict"].update(
        status="unsupported", stage=None, watch=None,
        reason="bf16 KV with DCP 2 on H200: the engine refuses it; its sparse bf16 kernel has no context parallelism.",
        advice="Use `--kv-cache-dtype fp8`, or DCP 1.",
    )  # fmt: skip
    return plan


def hostile() -> dict[str, Any]:
    """Markup in every text that a user or a file could put there."""
    plan = copy.deepcopy(does_not_fit())
    bad = "<script>alert(1)</script>\"'&"
    plan["command"] += f" --served-model-name {bad}"
    for name in ("reason", "advice", "watch", "engine_message", "settle", "stage"):
        plan["verdict"][name] = bad
    plan["verdict"]["mend"].update(command=bad + " --x", summary=bad, change=[{"flag": bad, "from": bad, "to": bad}])
    for part in plan["per_gpu"]["components"]:
        part.update(label=bad, source=bad, note=bad)
    plan["per_gpu"]["memory_source"] = f"https://example.org/{bad}"
    plan["warnings"] = [bad]
    plan["not_modelled"] = [bad]
    return plan


@pytest.fixture(scope="session")
def plans() -> SimpleNamespace:
    """The hand-made plans; each call makes a fresh one."""
    return SimpleNamespace(
        fits=fits,
        does_not_fit=does_not_fit,
        marginal=marginal,
        unsupported=unsupported,
        hostile=hostile,
        set_gib=set_gib,
    )
