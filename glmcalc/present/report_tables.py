"""The tables of a report: what the pool holds, what one change gives, how the figures come about."""

from __future__ import annotations

from html import escape
from typing import Any, Mapping

from glmcalc.budget.engines import plan
from glmcalc.budget.result import Plan
from glmcalc.facts.errors import InputError
from glmcalc.facts.quantity import GIB, gib
from glmcalc.present.report_case import Case, held
from glmcalc.present.table_html import boxed

_LENGTHS = (8192, 32_768, 65_536, 131_072)
_GROWTH: dict[str, tuple[tuple[str, dict[str, Any], str], ...]] = {
    "vllm": (
        ("Nothing: as above", {}, ""),
        ("<code>--max-num-seqs 64</code>", {"max_num_seqs": 64}, "requests beyond 64 wait"),
        ("<code>--kv-cache-dtype fp8</code>", {"kv_cache_dtype": "fp8"}, "no clean comparison of quality with bf16 KV is known"),
        ("Speculation off", {"speculative_method": None, "num_speculative_tokens": None}, "lossless; slower decode at low load"),
        ("<code>--kv-cache-dtype fp8 --decode-context-parallel-size 2</code>",
         {"kv_cache_dtype": "fp8", "decode_context_parallel_size": 2}, "a single stream decodes slower"),
    ),
    "sglang": (
        ("Nothing: as above", {}, ""),
        ("<code>--kv-cache-dtype fp8_e4m3</code>", {"kv_cache_dtype": "fp8_e4m3"}, "no clean comparison of quality with bf16 KV is known"),
        ("Speculation off", {"speculative_method": None, "num_speculative_tokens": None}, "lossless; slower decode at low load"),
        ("<code>--cuda-graph-max-bs 64</code>", {"cuda_graph_max_bs": 64}, "batches beyond 64 run without a graph"),
    ),
    "llama.cpp": (
        ("Nothing: as above", {}, ""),
        ("<code>-ctk q8_0</code>", {"cache_type_k": "q8_0"}, "no comparison of quality for this model is known"),
    ),
}  # fmt: skip

_LOWERED = ("max_num_seqs", "cuda_graph_max_bs")


def capacity(case: Case) -> str:
    """What the pool holds, by length of request, at the three ends of the band."""
    needs = case.needs
    if case.data["verdict"]["status"] == "unsupported":
        return nothing("Table 2. What the pool holds")
    own = {case.longest, *([needs.length] if needs else [])}
    usual = {length for length in _LENGTHS if not any(length / 1.1 < mine < length * 1.1 for mine in own)}
    rows = "".join(_capacity_row(case, length) for length in sorted(own | usual) if length <= case.longest)
    what = "slots beside the weights" if case.engine == "llama.cpp" else "requests at once, on one replica"
    return (
        f'<div class="gm gr gr-keep"><h2>Table 2. What the pool holds <small>{what}</small></h2>'
        + boxed(
            '<table class="gm-table"><thead><tr><th>tokens of a request</th><th class="r">KV of one request, GiB on each GPU</th>'
            '<th class="r">pessimistic</th><th class="r">central</th><th class="r">optimistic</th>'
            f"{'<th>your need</th>' if needs else ''}</tr></thead><tbody>{rows}</tbody></table>"
        )
        + "</div>"
    )


def nothing(title: str) -> str:
    """A table's place where there are no figures."""
    return (
        f'<div class="gm gr gr-keep"><h2>{title}</h2><p>No figure: the engine does not run this deployment.</p></div>'
    )


def _capacity_row(case: Case, length: int) -> str:
    room, needs = case.held(length), case.needs
    mine = needs is not None and length == needs.length
    need = "<td></td>" if needs else ""
    if mine and needs is not None:
        met = "met" if case.each <= room.times[0] else "not met for sure" if case.each <= room.times[2] else "not met"
        need = f"<td>{case.each} request{'s' * (case.each != 1)}: {met}</td>"
    cells = "".join(f'<td class="r">{times_text(times)}</td>' for times in room.times)
    one = "in host memory" if room.request_bytes is None else f"{room.request_bytes / GIB:,.2f}"
    cls = ' class="pool"' if mine else ""
    return f'<tr{cls}><td>{length:,}</td><td class="r">{one}</td>{cells}{need}</tr>'


def growth(case: Case) -> str:
    """If the need grows: one change at a time, with what it gives and costs."""
    if case.data["verdict"]["status"] == "unsupported":
        return nothing("Table 3. If the need grows")
    length = case.needs.length if case.needs else case.longest
    rows = "".join(_growth_row(case, label, changes, cost, length) for label, changes, cost in _GROWTH[case.engine])
    return (
        f'<div class="gm gr gr-keep"><h2>Table 3. If the need grows <small>one change at a time; requests of {length:,} tokens at once'
        "</small></h2>"
        + boxed(
            '<table class="gm-table"><thead><tr><th>change</th><th class="r">pessimistic</th><th class="r">central</th>'
            f"<th>price</th></tr></thead><tbody>{rows}</tbody></table>"
        )
        + "</div>"
    )


def _growth_row(case: Case, label: str, changes: Mapping[str, Any], cost: str, length: int) -> str:
    if any((case.data["deployment"].get(name) or value) < value for name, value in changes.items() if name in _LOWERED):
        return ""  # it is lower already
    try:
        made = plan(case.deployment.changed(**changes))
    except InputError as error:
        return f'<tr><td>{label}</td><td class="r" colspan="2">refused</td><td>{escape(error.message)}</td></tr>'
    if made.verdict.status == "unsupported":
        same = made.verdict.reason == case.plan.verdict.reason
        reason = "as it is" if same else escape(made.verdict.reason)
        return f'<tr><td>{label}</td><td class="r" colspan="2">unsupported</td><td>{reason}</td></tr>'
    same_pool = (made.kv.available, made.kv.bytes_per_token) == (case.plan.kv.available, case.plan.kv.bytes_per_token)
    if changes and same_pool:
        return ""  # it is so already
    low, likely, _ = held(made, length).times
    return f'<tr><td>{label}</td><td class="r">{times_text(low)}</td><td class="r">{times_text(likely)}</td><td>{cost}</td></tr>'


def formulas(case: Case) -> str:
    """The formulas behind the figures, with this deployment's numbers, readable without scripts."""
    made = case.plan
    if isinstance(made, Plan):
        lines = _of_vllm(made, case.data["kv"])
    else:
        lines = _of_sglang(case) if case.engine == "sglang" else _of_llamacpp(case)
    return f'<h2>How the figures come about</h2><ul class="gr-formulas">{"".join(f"<li>{line}</li>" for line in lines)}</ul>'


def _of_vllm(made: Plan, kv: Mapping[str, Any]) -> list[str]:
    r = made.resolved
    total = gib(made.memory.likely if made.memory else 0)
    return [
        f"budget = ⌈total × utilization⌉ = {total} GiB × {r.gpu_memory_utilization:g} = <b>{gib(made.utilization_bytes or 0)} GiB</b>",
        f"pool = budget − every other row above the utilization line in Table 5 = <b>{_pool(kv['available_bytes'])}</b>",
        f"block = {r.block_size} tokens × (MLA record × layers + 132 B × indexers) = <b>{kv['bytes_per_block']:,} B</b>",
        f"blocks of one request = ⌈⌈{r.max_model_len:,} / {r.dcp}⌉ / {r.block_size}⌉ = <b>{kv['blocks_per_request']:,}</b>",
        f"requests at once = blocks / blocks of one request = <b>{times_text(kv['max_concurrency'])}</b>",
    ]


def _of_sglang(case: Case) -> list[str]:
    kv, said = case.data["kv"], case.data["deployment"]
    share = gib(case.data["per_gpu"]["utilization_bytes"] or 0)
    tokens = "none" if kv["tokens"] is None else f"{kv['tokens']:,}"
    return [
        f"static share = {said['mem_fraction_static']:g} × what is free before the weights load = <b>{share} GiB</b>",
        f"pool = static share − every other row of it in Table 5 = <b>{_pool(kv['available_bytes'])}</b>",
        f"tokens = ⌊pool / {kv['counted_bytes_per_token']:,} B a token / {kv['page_size']}⌋ × {kv['page_size']} = <b>{tokens}</b>",
        f"requests of full length at once = tokens / {case.longest:,} = <b>{times_text(kv['max_concurrency'])}</b>",
    ]


def _of_llamacpp(case: Case) -> list[str]:
    kv = case.data["kv"]
    return [
        f"cells = slots × tokens of a slot, each in steps of 256 = {kv['slots']} × {kv['slot_cells']:,} = <b>{kv['cells']:,}</b>",
        f"cache = cells × {kv['bytes_per_token']:,} B a token over all layers = <b>{gib(kv['needed_bytes'])} GiB</b>, taken at the start",
        f"room for it = what the GPU may take − weights − compute buffer = <b>{_pool(kv['available_bytes'])}</b>",
    ]


def _pool(size: int) -> str:
    return f"{gib(size)} GiB" if size >= 0 else f"none, {gib(-size)} GiB short"


def times_text(value: float | None) -> str:
    """Requests at once, to one place."""
    return "none" if value is None else f"{value:,.1f}"
