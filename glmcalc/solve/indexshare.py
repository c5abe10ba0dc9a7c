"""Rows of chapter 2's tables: who allocates what, what logs say, the vendor's 2.9x taken apart, the guide's 30 %."""

from __future__ import annotations

from glmcalc.budget.llamacpp import KV_SOURCE, cell_bytes
from glmcalc.facts.evidence import observations, with_provenance
from glmcalc.facts.store import load_json, load_jsonl
from glmcalc.speed import flops
from glmcalc.speed.sharing import Case, case, dense_bytes, dense_flops, stored_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MILLION, EIGHTH = 1 << 20, 1 << 17
LLAMACPP_FILE_RULE = (
    "https://github.com/ggml-org/llama.cpp/blob/06e514f61476a45c38b36ac37ca5133114b90ab3/src/models/glm-dsa.cpp"
)
# Logs whose bytes a token tell how many indexers have a cache, one or two for each engine; the record that each stores.
_LOGS = {
    "rtx6kpro-glm51-nvfp4-dcp1-mtp0": "fp8_ds_mla",
    "rtx6kpro-glm52-v20-r19-exl3-fp8kv": "fp8_ds_mla", "jupiter-gh200-baseline": "fp8_ds_mla", "gb200x4-nvfp4-819k": "fp8_e4m3",
    "sglang-30531-main": "fp8_e4m3", "dfch-llamacpp-glm52-q5-524288": "f16",
}  # fmt: skip


def facts(what: str) -> list[dict[str, Any]]:
    """Rows of ``data/indexshare.jsonl``: ``engine`` or ``claim``."""
    return [row for row in with_provenance(load_jsonl("indexshare.jsonl"), "indexshare.jsonl") if row["what"] == what]


def allocation_rows(model: str = "zai-org/GLM-5.2-FP8") -> list[dict[str, Any]]:
    """Each engine and release: layers with an indexer cache (``caches``; None: open), ``record`` and bytes of one token.

    vLLM, SGLang and llama.cpp by their rules in ``data/``, in the record that their GPUs' FP8 cache (llama.cpp: its default)
    stores. Of the others only the count is known here.
    """
    hopper, plain = (case(model, "h200_sxm", name) for name in ("fp8_ds_mla", "fp8_e4m3"))
    rows = [*_vllm(hopper), *_sglang(plain), *_llamacpp(hopper)]
    for row in facts("engine"):
        rows.append(_row(row["engine"], f"by {row['since']}", hopper.indexers, None, None, row["source"], row["says"]))
    return rows


def _rules(file: str) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in load_json(file)["rules"]}


def _vllm(c: Case) -> list[dict[str, Any]]:
    rule, kv = _rules("engine_versions.json")["indexer_caches"], c.kv_record
    source, own = rule["source"], c.indexers
    between = "open: a development build of 0.23.1 has the fewer (see the logs below)"
    return [
        _row(
            "vLLM", f"up to {rule['until']}", c.layers, kv, stored_bytes(c, c.layers), source, "a cache in every layer"
        ),
        _row("vLLM", "between", None, kv, None, source, between),
        _row("vLLM", f"from {rule['since']}", own, kv, stored_bytes(c, own), source, "and one for the MTP layer"),
    ]


def _sglang(c: Case) -> list[dict[str, Any]]:
    rules, kv, own = _rules("engine_rules_sglang.json"), c.kv_record, c.indexers
    rule, tiered = rules["indexer_caches"], rules["indexer_caches_hicache"]
    flag = "with `--enable-hierarchical-cache` or disaggregated prefill"
    return [
        _row(
            "SGLang",
            f"up to {rule['until']}",
            c.layers,
            kv,
            stored_bytes(c, c.layers),
            rule["source"],
            "a cache in every layer",
        ),
        _row(
            "SGLang", f"from {rule['since']}", own, kv, stored_bytes(c, own), rule["source"], f"merged {rule['date']}"
        ),
        _row("SGLang", f"up to {tiered['until']}", c.layers, kv, stored_bytes(c, c.layers), tiered["source"], flag),
    ]


def _llamacpp(c: Case) -> list[dict[str, Any]]:
    rules = _rules("engine_rules_llamacpp.json")
    runs, caches = rules["indexer_runs"], rules["indexer_caches"]
    g, own = c.checkpoint.geometry, c.indexers
    token = [cell_bytes(g, "f16", c.layers, count) for count in (0, c.layers, own)]
    trained = f"{g.max_position_embeddings:,}"
    default = f"the file has `indexer.types`, or a trained context of {trained}"
    smaller = f"no `indexer.types`, and a trained context below {trained}"
    return [
        _row("llama.cpp", f"built up to {runs['until']}", 0, "f16", token[0], runs["source"], "attention is dense"),
        _row(
            "llama.cpp",
            f"up to {caches['until']}",
            c.layers,
            "f16",
            token[1],
            caches["source"],
            "a cache in every layer",
        ),
        _row("llama.cpp", f"from {caches['since']}", own, "f16", token[2], KV_SOURCE, default),
        _row("llama.cpp", f"from {caches['since']}", c.layers, "f16", token[1], LLAMACPP_FILE_RULE, smaller),
    ]


def _row(
    engine: str, release: str, caches: int | None, kv: str | None, size: int | None, source: str, note: str = ""
) -> dict[str, Any]:
    return {
        "engine": engine, "release": release, "caches": caches, "record": kv, "bytes_per_token": size, "source": source,
        "note": note,
    }  # fmt: skip


def log_rows() -> list[dict[str, Any]]:
    """What servers printed, beside what 21 and what 78 caches come to: ``agrees`` is the nearer count."""
    found = {row["id"]: row for row in observations()}
    rows = []
    for name, kv in _LOGS.items():
        seen = found[name]
        sizes = {count: _size(kv, count) for count in (21, 78)}
        observed = seen["observed"]["bytes_per_token"]
        near = min(sizes, key=lambda count: abs(sizes[count] - observed))
        rows.append({
            "id": name, "engine": seen["engine"], "version": seen["engine_version"], "model": seen["model"], "record": kv,
            "observed": observed, "bytes_21": sizes[21], "bytes_78": sizes[78], "agrees": near,
            "error_pct": 100 * (sizes[near] / observed - 1), "source": seen["source"],
        })  # fmt: skip
    return rows


def _size(kv: str, caches: int) -> int:
    c = case("zai-org/GLM-5.2-FP8", "h200_sxm", kv if kv != "f16" else "bf16")
    return cell_bytes(c.checkpoint.geometry, kv, c.layers, caches) if kv == "f16" else int(stored_bytes(c, caches))


def vendor_rows(c: Case) -> list[dict[str, Any]]:
    """Readings of "2.9x fewer FLOPs": what is counted, GFLOP with and without sharing, and their ratio."""
    work = flops.work_of(c.checkpoint)
    rows = []
    for what, context, core in (
        ("token at 1M, without the core", MILLION, False),
        ("token at 1M, with it", MILLION, True),
        ("token at 128K, without the core", EIGHTH, False),
        ("token at 128K, with it", EIGHTH, True),
    ):
        ours, every = (flops.token_flops(work, context, n, core) for n in (c.indexers, c.layers))
        rows.append({"what": what, "shared": ours / 1e9, "every": every / 1e9, "ratio": every / ours})
    ours, every = (flops.prefill_flops(work, MILLION, n) / MILLION for n in (c.indexers, c.layers))
    rows.append(
        {
            "what": "mean of a 1M prompt, with it",
            "shared": ours / 1e9,
            "every": every / 1e9,
            "ratio": every / ours,
        }
    )
    return rows


def parts_rows(c: Case, context: int = MILLION) -> list[dict[str, Any]]:
    """GFLOP of one token at ``context`` by part, with and without sharing."""
    work = flops.work_of(c.checkpoint)
    scans = [flops.scan_flops(work.scan_per_position, count, context) / 1e9 for count in (c.indexers, c.layers)]
    weights, core = flops.weight_flops(work.active) / 1e9, flops.core_flops(work, context) / 1e9
    return [
        {"part": "weights", "shared": weights, "every": weights},
        {"part": "sparse core", "shared": core, "every": core},
        {"part": "indexer scan", "shared": scans[0], "every": scans[1]},
        {"part": "all", "shared": weights + core + scans[0], "every": weights + core + scans[1]},
    ]


def context_of_saving(c: Case, share: float) -> float | None:
    """Tokens at which sharing saves ``share`` of one token's FLOPs, the core counted at its full width.

    From ``(1 - share)(W + s n L) = W + s m L`` with ``W`` the weights and the core, ``s`` FLOPs of one indexer and position,
    ``n`` and ``m`` the indexers without and with sharing. None where no length saves as much.
    """
    if (1 - share) * c.layers <= c.indexers:
        return None
    work = flops.work_of(c.checkpoint)
    fixed = flops.weight_flops(work.active) + flops.core_flops(work, work.topk)
    return float(share * fixed / (work.scan_per_position * ((1 - share) * c.layers - c.indexers)))


def guide_rows(model: str = "zai-org/GLM-5.2-FP8") -> list[dict[str, Any]]:
    """Readings of "~30 % of KV against multi-head attention": before, after, unit, and per cent saved (below 0: dearer)."""
    bf16, fp8 = (case(model, "h200_sxm", name) for name in ("bf16", "fp8_ds_mla"))
    work, own, every = flops.work_of(fp8.checkpoint), fp8.indexers, fp8.layers
    ours = stored_bytes(bf16, own)
    whole = [flops.gqa_bytes_per_token(bf16.checkpoint.geometry, heads) for heads in (64, 8)]
    rows = [
        ("IndexShare alone, fp8_ds_mla cache", stored_bytes(fp8, every), stored_bytes(fp8, own), "B a token"),
        ("IndexShare alone, bf16 cache", stored_bytes(bf16, every), ours, "B a token"),
        ("IndexShare alone, the indexers' cache", every * fp8.index, own * fp8.index, "B a token"),
        ("whole cache against multi-head, both bf16", whole[0], ours, "B a token"),
        ("the same on each of 8 GPUs", dense_bytes(bf16, 64), ours, "B a token"),
        ("whole cache against GQA-8, both bf16", whole[1], ours, "B a token"),
        ("the same on each of 8 GPUs", dense_bytes(bf16, 8), ours, "B a token"),
        ("FLOPs at 1M against multi-head", dense_flops(fp8, MILLION) / 1e9, flops.token_flops(work, MILLION) / 1e9, "GFLOP a token"),
        ("FLOPs at 1M against no sharing", flops.token_flops(work, MILLION, every) / 1e9, flops.token_flops(work, MILLION) / 1e9, "GFLOP a token"),
    ]  # fmt: skip
    return [
        {"reading": what, "before": before, "after": after, "unit": unit, "saved_pct": 100 * (1 - after / before)}
        for what, before, after, unit in rows
    ]
