"""Other sizing tools beside this one: the same questions, each tool's answer as it was run, and ours, computed when shown."""

from __future__ import annotations

from typing import Any, Callable

from glmcalc.budget.kv import blocks_per_request, bytes_per_block, cache_layers, indexer_record_bytes, mla_record_bytes
from glmcalc.budget.plan import plan
from glmcalc.facts.evidence import with_provenance
from glmcalc.facts.quantity import GIB
from glmcalc.facts.store import load_jsonl
from glmcalc.model.checkpoint import load_checkpoint
from glmcalc.model.deployment import DEFAULT_MODEL, Deployment

QUESTIONS = {
    "kv_bytes_per_token": "KV of one token on each GPU, FP8 cache",
    "kv_bytes_per_token_mtp": "the same with the MTP layer",
    "kv_1m": "KV of one request of 1,048,576 tokens on each GPU",
    "weights": "FP8 weights on each of 8 GPUs",
    "fits_1m": "8 × H200, one request of 1,048,576 tokens, utilization 0.90: does it start?",
    "fits_128k": "the same with 131,072 tokens",
    "tok_s_user": "8 × H200, 8 requests of 32,768 + 1,024 tokens: tok/s of one user",
    "ttft": "the same: seconds to the first token",
}
"""What was asked, in the order in which it is shown."""


def peer_rows() -> list[dict[str, Any]]:
    """What the peers answered, as ``tests/peers/compare.py`` wrote it."""
    return with_provenance(load_jsonl("peers.jsonl"), "peers.jsonl")


def compared(row: dict[str, Any]) -> tuple[str, str]:
    """Our answer to a row's question, and how far the peer's is from it; two records where the peer knows only one of them."""
    return _OURS[row["question"]](row)


def _records(mtp: bool) -> dict[str, int]:
    geometry = load_checkpoint(DEFAULT_MODEL).geometry
    count = cache_layers(geometry, range(geometry.num_hidden_layers), mtp, True, False)
    index = indexer_record_bytes(geometry.index_head_dim)
    return {
        record: bytes_per_block(
            mla_record_bytes(record, geometry.kv_lora_rank, geometry.qk_rope_head_dim), count.mla, index, count.indexer, 64
        )
        for record in ("fp8_ds_mla", "fp8_e4m3")
    }  # fmt: skip


def _kv(mtp: bool) -> Callable[[dict[str, Any]], tuple[str, str]]:
    def answer(row: dict[str, Any]) -> tuple[str, str]:
        sizes = [block // 64 for block in _records(mtp).values()]
        return " or ".join(f"{size:,}" for size in sizes), _off(row["answer"], sizes)

    return answer


def _million(row: dict[str, Any]) -> tuple[str, str]:
    sizes = [blocks_per_request(1 << 20, 1, 64) * block for block in _records(False).values()]
    return " or ".join(f"{size / GIB:.2f} GiB" for size in sizes), _off(row["answer"], sizes)


def _weights(row: dict[str, Any]) -> tuple[str, str]:
    made = plan(_node(131_072, bool(row["inputs"].get("enable_expert_parallel"))))
    size = next(part["bytes"] for part in made.to_dict()["per_gpu"]["components"] if part["name"] == "weights")
    return f"{size / GIB:.2f} GiB", _off(row["answer"], [size])


def _fits(length: int) -> Callable[[dict[str, Any]], tuple[str, str]]:
    def answer(row: dict[str, Any]) -> tuple[str, str]:
        made = plan(_node(length))
        fits = made.verdict.status == "fits"
        held = made.kv.low.tokens
        words = f"{'yes' if fits else 'no'}; {held:,} to {made.kv.high.tokens:,} tokens in the pool"
        return words, "agree" if fits == row["answer"] else "differ"

    return answer


def _speed(figure: str) -> Callable[[dict[str, Any]], tuple[str, str]]:
    def answer(row: dict[str, Any]) -> tuple[str, str]:
        from glmcalc.speed.estimate import speed

        asked = row["inputs"]
        prompt, output = asked["input_length"], asked["output_length"]
        made = speed(_node(prompt + output, True), prompt + output, asked["concurrency"], prompt, output)
        found = getattr(made, figure)
        if found is None:
            return made.reason or "none", ""
        inside = found.low <= row["answer"] <= found.high
        return f"{found.mid:.3g} [{found.low:.3g} to {found.high:.3g}]", "in our band" if inside else "outside our band"

    return answer


def _node(length: int, experts: bool = False) -> Deployment:
    return Deployment(
        gpu="h200_sxm", gpus=8, tensor_parallel_size=8, enable_expert_parallel=experts, kv_cache_dtype="fp8",
        max_model_len=length, max_num_seqs=64, max_num_batched_tokens=8192, gpu_memory_utilization=0.9,
    )  # fmt: skip


def _off(value: float, ours: list[int]) -> str:
    return " or ".join(_factor(value / one) for one in ours)


def _factor(ratio: float) -> str:
    if ratio >= 2:
        return f"{ratio:.1f} times"
    return f"1/{1 / ratio:.0f}" if ratio < 0.5 else f"{100 * (ratio - 1):+.1f} %"


_OURS: dict[str, Callable[[dict[str, Any]], tuple[str, str]]] = {
    "kv_bytes_per_token": _kv(False),
    "kv_bytes_per_token_mtp": _kv(True),
    "kv_1m": _million,
    "weights": _weights,
    "fits_1m": _fits(1 << 20),
    "fits_128k": _fits(131_072),
    "tok_s_user": _speed("tok_s_user"),
    "ttft": _speed("ttft_s"),
}
