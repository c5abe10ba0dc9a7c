"""The published guide's figures, each beside what the arithmetic gives and why they differ."""

from __future__ import annotations

from glmcalc.budget.kv import mla_record_bytes
from glmcalc.budget.plan import plan
from glmcalc.budget.result import Plan
from glmcalc.facts.evidence import checkpoints, claims
from glmcalc.facts.quantity import gb, gib
from glmcalc.model.checkpoint import load_checkpoint
from glmcalc.model.deployment import DEFAULT_MODEL, Deployment
from glmcalc.solve.ceiling import margin_bytes, outside_high, utilization_ceiling
from glmcalc.solve.nearest import nearest_fit
from glmcalc.solve.presets import described, preset

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable


Answer = tuple[str, str]
_NODE = 8


def claim_rows() -> list[dict[str, Any]]:
    """Every claim of ``data/guide_claims.csv`` with ``ours`` and ``why``; both computed when called."""
    rows = []
    for claim in claims():
        ours, why = _ANSWERS[claim["id"]]()
        rows.append({**claim, "ours": ours, "why": why})
    return rows


def _stored() -> int:
    return load_checkpoint(DEFAULT_MODEL).total_bytes


def _kv_per_gpu(tokens: int, requests: int) -> int:
    fp8 = plan(Deployment(gpu="h200_sxm", tensor_parallel_size=_NODE, kv_cache_dtype="fp8", max_model_len=tokens))
    return requests * fp8.kv.needed_bytes


def _weights() -> Answer:
    return (
        f"{gb(_stored())} GB",
        "FP8 is one byte a parameter, and there are 743 B of them (753 B with the MTP layer); 372 GB is half a byte each.",
    )


def _weights_share() -> Answer:
    made = plan(preset("conservative"))
    share = 100 * made.component("weights").band.likely / (made.memory.likely if made.memory else 1)
    return f"{share:.0f} percent", "Loaded weights over the memory that the driver reports, on each GPU."


def _kv(tokens: int, requests: int) -> Callable[[], Answer]:
    def answer() -> Answer:
        size = _kv_per_gpu(tokens, requests)
        return (
            f"{gb(size)} GB on each GPU",
            "FP8 record of 656 B in 78 layers and 132 B in 21: 53,940 B a token. Tensor parallelism repeats it on each GPU.",
        )

    return answer


def _overhead_bytes(made: Plan) -> int:
    return sum(c.band.likely for c in made.components if c.name not in ("weights", "mtp_layer", "kv_pool"))


def _overhead() -> Answer:
    made = plan(preset("conservative"))
    size = _NODE * _overhead_bytes(made)
    return (
        f"{gb(size)} GB on {_NODE} GPUs",
        "It follows max_num_seqs, batched tokens and length; with the defaults (1,024 requests) it is more.",
    )


def _overhead_share() -> Answer:
    made = plan(preset("conservative"))
    share = 100 * _overhead_bytes(made) / (made.memory.likely if made.memory else 1)
    return f"{share:.0f} percent", "Of the driver's total, on each GPU."


def _node_1m() -> Answer:
    made = plan(preset("1M", kv_cache_dtype="fp8"))
    mend = nearest_fit(made)
    works = f" With {described(mend, made)}: {mend.plan.verdict.reason}" if mend else ""
    return made.verdict.status.replace("_", " "), f"{made.verdict.reason}{works}"


def _preset(name: str) -> Callable[[], Answer]:
    def answer() -> Answer:
        made = plan(preset(name))
        mend = nearest_fit(made)
        tail = f" Nearest that fits: {described(mend, made)}." if mend else ""
        return made.verdict.status.replace("_", " "), made.verdict.reason + tail

    return answer


def _tuning_rule() -> Answer:
    one, two = plan(preset("balanced")), plan(preset("balanced", max_num_seqs=16, max_model_len=32_768))
    return (
        f"pool {gib(one.kv.available.likely)} and {gib(two.kv.available.likely)} GiB",
        "The product says how much KV full requests would need. The pool is what utilization leaves, paged, and shared by "
        "whatever runs: the flags move it only through workspaces, graphs and the sampler.",
    )


def _step() -> Answer:
    made = plan(preset("balanced"))
    size = round(0.01 * (made.memory.likely if made.memory else 0) * _NODE)
    tokens = round(0.01 * (made.memory.likely if made.memory else 0) / 53_940)
    return (
        f"{gb(size)} GB ({gib(size)} GiB) on {_NODE} GPUs",
        f"0.01 of 139.80 GiB on each; about {tokens:,} tokens of FP8 KV.",
    )


def _ceiling() -> Answer:
    made = plan(preset("balanced"))
    outside = sum(size for _, size in outside_high(made))
    return (
        f"{utilization_ceiling(made):g} (balanced preset, 8xH200)",
        f"What must stay free is bytes, not a fraction: context, NCCL, late buffers and unprofiled peaks, {gib(outside)} GiB of "
        f"each GPU at their worst here and more with length and requests, and {gib(margin_bytes())} GiB beside them.",
    )


def _hour() -> Answer:
    return (
        "rate below 3 per hour",
        "No failure in t hours bounds the rate at 3/t (95 %); the worst request mix matters more than the clock.",
    )


def _indexshare() -> Answer:
    g = load_checkpoint(DEFAULT_MODEL).geometry
    record = mla_record_bytes("fp8_ds_mla", g.kv_lora_rank, g.qk_rope_head_dim)
    with_share = g.num_hidden_layers * record + len(g.indexer_layers) * 132
    without = g.num_hidden_layers * (record + 132)
    heads = g.num_hidden_layers * g.num_attention_heads * (g.qk_head_dim + g.v_head_dim)
    return (
        f"{100 * (1 - with_share / without):.1f} percent",
        f"Against the same cache with an indexer on every layer. Multi-head attention in FP8 would take {heads:,} B a token, "
        f"{heads / with_share:.0f} times as much: that is MLA's saving, not IndexShare's.",
    )


def _flag() -> Answer:
    return (
        "true in vLLM 0.26.0 and later",
        "No flag, but a release: up to 0.23.0 the cache was allocated on all 78 layers. Which release between changed it is "
        "not established.",
    )


def _row(gpu: str, gpus: int, tokens: int) -> Callable[[], Answer]:
    def answer() -> Answer:
        made = plan(Deployment(gpu=gpu, gpus=gpus, tensor_parallel_size=gpus, max_model_len=tokens, max_num_seqs=4))
        mend = nearest_fit(made)
        tail = f" Nearest that fits: {described(mend, made)}." if mend else ""
        return made.verdict.status.replace("_", " "), made.verdict.reason + tail

    return answer


def _mac() -> Answer:
    published = next(row["total_bytes"] for row in checkpoints() if row["format"] == "GGUF UD-Q4_K_M")
    return (
        f"{gb(published)} GB of weights",
        f"The published Q4_K_M files of GLM-5.2 are {gb(published)} GB, the machine has 256 GB: of that publisher's files "
        "only those of 1 and 2 bits are smaller, and the system and the KV cache need room too.",
    )


def _need_have() -> Answer:
    nvfp4 = load_checkpoint("nvidia/GLM-5.2-NVFP4").total_bytes
    return (
        f"{gb(_stored())} GB for FP8 weights alone",
        f"320 GB (4 x 80) holds neither FP8 nor NVFP4 ({gb(nvfp4)} GB): no change of context or users makes them load.",
    )


_ANSWERS: dict[str, Callable[[], Answer]] = {
    "weights_fp8": _weights,
    "weights_share": _weights_share,
    "kv_32k_16": _kv(32_768, 16),
    "kv_1m_4": _kv(1_048_576, 4),
    "kv_1m_8": _kv(1_048_576, 8),
    "overhead": _overhead,
    "overhead_share": _overhead_share,
    "node_1m": _node_1m,
    "preset_conservative": _preset("conservative"),
    "preset_1m": _preset("1M"),
    "preset_balanced": _preset("balanced"),
    "tuning_rule": _tuning_rule,
    "step_gain": _step,
    "ceiling": _ceiling,
    "hour": _hour,
    "indexshare_saving": _indexshare,
    "indexshare_flag": _flag,
    "row_8xh200": _row("h200_sxm", 8, 1_048_576),
    "row_8xh100": _row("h100_sxm", 8, 524_288),
    "row_4xh100": _row("h100_sxm", 4, 131_072),
    "row_mac": _mac,
    "need_have": _need_have,
}
