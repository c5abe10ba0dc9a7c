"""A customer's report: what fits, how sure, the command, what to watch; made of the same parts as the page."""

from __future__ import annotations

from datetime import date
from html import escape
from typing import Any, Mapping, NoReturn

from glmcalc.budget import kv as kvmath
from glmcalc.budget.plan import plan
from glmcalc.budget.result import Plan
from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import names_of
from glmcalc.facts.quantity import GIB, gib
from glmcalc.model.deployment import Deployment
from glmcalc.present.bar import budget_bar
from glmcalc.present.command_html import command_block, engine_message, mend, notes
from glmcalc.present.display import Html, style
from glmcalc.present.needs import NEEDS, check_customer, read_needs
from glmcalc.present.prose import prose
from glmcalc.present.table_html import boxed, component_table
from glmcalc.present.verdict_html import tile, verdict
from glmcalc.solve.answer import deployment_from, describe

_LINE = 88  # letters of a command's line that an A4 page holds


class Report:
    """One report; each part is HTML of its own, so that the notebook shows them one by one.

    Args:
        customer: name as it is printed; plain text of 1 to 80 characters.
        command: a pasted ``vllm serve`` command, or None.
        **parameters: a deployment's settings under vLLM's names, and needs: ``concurrency`` (requests),
            ``input_length`` and ``output_length`` (tokens of one request).

    Raises:
        InputError: markup in ``customer``, needs that are not whole numbers, or as :class:`Deployment`.
    """

    def __init__(self, customer: str, command: str | None = None, **parameters: Any) -> None:
        self.customer = check_customer(customer)
        needs = {name: parameters.pop(name, None) for name in NEEDS}
        if needs["min_tok_s_user"] is not None:
            refuse_speed(needs["min_tok_s_user"])
        self.deployment, self.parsed = deployment_from(command, parameters)
        self.plan: Plan = plan(self.deployment)
        self.needs = read_needs(needs, self.plan)
        self.data = describe(self.plan, self.parsed)
        if self.deployment.weights_bytes is None and self.needs is not None:
            self._judge_needs()

    def first_page(self) -> Html:
        """Title, verdict, how sure, what to watch, command, and the bar."""
        r = self.plan.resolved
        model = r.checkpoint.name.split("/")[-1]
        head = (
            f'<header class="gr-head"><div><h1>{escape(model)} on {r.gpus} × {escape(r.device.name)}</h1>'
            f"<p>Memory report for <b>{escape(self.customer)}</b></p></div>"
            f'<p class="gr-meta">{date.today():%d %B %Y}<br>rules of vLLM {escape(r.version.text)}<br>{_version()}</p></header>'
        )
        columns = (
            f'<div class="gr-two"><section><h2>How sure</h2>{self._how_sure()}</section>'
            f"<section><h2>What to watch</h2>{self._watch()}</section></div>"
        )
        works = mend(self.data, copy=False, width=_LINE)
        asked = f"<section><h2>Command{' as asked' if works else ''}</h2>{command_block(self._command(), copy=False, width=_LINE)}</section>"
        figure = "" if self.plan.verdict.status == "unsupported" else (
            f"<section><h2>Figure 1. Memory of one GPU <small>GiB; hatched = not certain</small></h2>{budget_bar(self.data)}</section>"
        )  # fmt: skip
        body = (
            head
            + self._verdict()
            + columns
            + (works or asked)
            + figure
            + engine_message(self.data)
            + (asked if works else "")
        )
        return Html(
            f'<style>{style("style.css", "report.css")}{_page_css(self.customer)}</style><div class="gm gr">{body}</div>'
        )

    def capacity(self) -> Html:
        """What the pool holds, by length of request, at the three ends of the band."""
        kv, r = self.data["kv"], self.plan.resolved
        lengths = sorted({8192, 32_768, 65_536, 131_072, r.max_model_len, *([self.needs.length] if self.needs else [])})
        rows = "".join(self._capacity_row(length, kv) for length in lengths if length <= r.max_model_len)
        return Html(
            '<div class="gm gr gr-keep"><h2>Table 1. What the pool holds <small>requests at once, on one replica</small></h2>'
            + boxed(
                '<table class="gm-table"><thead><tr><th>tokens of a request</th><th class="r">KV of one request, GiB on each GPU</th>'
                '<th class="r">pessimistic</th><th class="r">central</th><th class="r">optimistic</th>'
                f"{'<th>your need</th>' if self.needs else ''}</tr></thead><tbody>{rows}</tbody></table>"
            )
            + "</div>"
        )

    def growth(self) -> Html:
        """If the need grows: one change at a time, with what it gives and costs."""
        length = self.needs.length if self.needs else self.plan.resolved.max_model_len
        rows = "".join(self._growth_row(label, changes, cost, length) for label, changes, cost in _GROWTH)
        return Html(
            f'<div class="gm gr gr-keep"><h2>Table 2. If the need grows <small>one change at a time; requests of {length:,} tokens at once'
            "</small></h2>"
            + boxed(
                '<table class="gm-table"><thead><tr><th>change</th><th class="r">pessimistic</th><th class="r">central</th>'
                f"<th>price</th></tr></thead><tbody>{rows}</tbody></table>"
            )
            + "</div>"
        )

    def components(self) -> Html:
        """Every component with its range, basis and source."""
        return Html(
            '<div class="gm gr gr-keep"><h2>Table 3. Every component of one GPU</h2>'
            + component_table(self.data)
            + "</div>"
        )

    def method(self) -> Html:
        """The formulas behind the figures, with this deployment's numbers, readable without scripts."""
        kv, r = self.data["kv"], self.plan.resolved
        line = self.plan.utilization_bytes or 0
        return Html(
            '<div class="gm gr"><h2>How the figures come about</h2><ul class="gr-formulas">'
            f"<li>budget = ⌈total × utilization⌉ = {gib(self.plan.memory.likely if self.plan.memory else 0)} GiB × "
            f"{r.gpu_memory_utilization:g} = <b>{gib(line)} GiB</b></li>"
            f"<li>pool = budget − every other row above the utilization line in Table 3 = <b>{_pool(kv['available_bytes'])}</b></li>"
            f"<li>block = {r.block_size} tokens × (MLA record × layers + 132 B × indexers) = <b>{kv['bytes_per_block']:,} B</b></li>"
            f"<li>blocks of one request = ⌈⌈{r.max_model_len:,} / {r.dcp}⌉ / {r.block_size}⌉ = <b>{kv['blocks_per_request']:,}</b></li>"
            f"<li>requests at once = blocks / blocks of one request = <b>{_times(kv['max_concurrency'])}</b></li></ul>"
            + notes(self.data) + "</div>"
        )  # fmt: skip

    def _judge_needs(self) -> None:
        needs, kv = self.needs, self.plan.kv
        if needs is None or self.plan.verdict.status != "fits":
            return
        need = needs.concurrency * self._blocks(needs.length) * kv.bytes_per_block
        if need > kv.available.low:
            self.data["verdict"]["status"] = "marginal" if need <= kv.available.high else "does_not_fit"

    def _blocks(self, length: int) -> int:
        return kvmath.blocks_per_request(length, self.plan.resolved.dcp, self.plan.resolved.block_size)

    def _verdict(self) -> str:
        needs, kv = self.needs, self.plan.kv
        if needs is None or self.plan.verdict.status != "fits":
            # The command that works stands below with what it changes and gives: not said twice on the first half page.
            return verdict({**self.data, "verdict": {**self.data["verdict"], "mend": None}})
        need = needs.concurrency * self._blocks(needs.length) * kv.bytes_per_block
        band = f"({gib(kv.available.low)} to {gib(kv.available.high)})"
        sentence = (
            f"{needs.concurrency} requests of {needs.length:,} tokens at once need {gib(need)} GiB of KV on each GPU; "
            f"the pool is {gib(kv.available.likely)} GiB {band}."
        )
        margin = kv.available.low - need
        note = (
            f"It holds at the pessimistic end too, by {gib(margin)} GiB." if margin >= 0
            else f"At the pessimistic end it is short by {gib(-margin)} GiB; the engine starts, and requests beyond the pool wait."
        )  # fmt: skip
        return tile(self.data["verdict"]["status"], sentence, note)

    def _how_sure(self) -> str:
        kv = self.plan.kv.available
        doubt = max(
            self.plan.components,
            key=lambda c: (c.band.high - c.band.low) * (c.name != "kv_pool") * c.inside_utilization,
        )
        exact = "exact to the byte" if self.plan.component("weights").basis == "exact" else "as the log printed them"
        measured = (
            "No pool is left at either end of the estimate." if kv.high < 0
            else "The pool is as a log printed it." if kv.low == kv.high
            else f"The pool is <b>estimated</b>: {gib(max(kv.low, 0))} to {gib(kv.high)} GiB. The largest doubt is "
            f"{escape(doubt.label)} ({gib(doubt.band.low)} to {gib(doubt.band.high)} GiB)."
        )  # fmt: skip
        return (
            f"<p>Weights are {exact}. {measured} No public start-up log of GLM-5.2-FP8 on 8 × H200 or 8 × B200 exists; one line "
            "of yours, <code>Available KV cache memory</code>, replaces the estimate.</p>"
        )

    def _watch(self) -> str:
        watch = self.plan.verdict.watch
        items = [
            "<code>vllm:kv_cache_usage_perc</code> above 0.95 with requests waiting: the pool is the limit.",
            "<code>vllm:num_preemptions_total</code> rising: requests are longer than planned.",
            "<code>DCGM_FI_DEV_FB_FREE</code> under 1,500 MiB: stop raising utilization.",
        ]
        if watch:
            items.insert(0, prose(watch))
        return f"<ol>{''.join(f'<li>{item}</li>' for item in items)}</ol>"

    def _command(self) -> str:
        return str(self.data["command"])

    def _capacity_row(self, length: int, kv: Mapping[str, Any]) -> str:
        one = self._blocks(length) * kv["bytes_per_block"]
        mine = self.needs is not None and length == self.needs.length
        need = "<td></td>" if self.needs else ""
        if mine and self.needs is not None:
            met = self.needs.concurrency * one <= kv["available_low_bytes"]
            need = f"<td>{self.needs.concurrency} requests: {'met' if met else 'not met for sure'}</td>"
        cells = "".join(
            f'<td class="r">{_times(max(kv[name] // kv["bytes_per_block"], 0) / self._blocks(length))}</td>'
            for name in ("available_low_bytes", "available_bytes", "available_high_bytes")
        )
        cls = ' class="pool"' if mine else ""
        return f'<tr{cls}><td>{length:,}</td><td class="r">{one / GIB:,.2f}</td>{cells}{need}</tr>'

    def _growth_row(self, label: str, changes: Mapping[str, Any], cost: str, length: int) -> str:
        try:
            made = plan(self.deployment.changed(**changes))
        except InputError as error:
            return f'<tr><td>{label}</td><td class="r" colspan="2">refused</td><td>{escape(error.message)}</td></tr>'
        if made.verdict.status == "unsupported":
            if made.verdict.reason == self.plan.verdict.reason:
                return f'<tr><td>{label}</td><td class="r" colspan="2">unsupported</td><td>as it is</td></tr>'
            return f'<tr><td>{label}</td><td class="r" colspan="2">unsupported</td><td>{escape(made.verdict.reason)}</td></tr>'
        if changes and (made.kv.available, made.kv.bytes_per_token) == (
            self.plan.kv.available,
            self.plan.kv.bytes_per_token,
        ):
            return ""  # it is so already
        blocks = kvmath.blocks_per_request(length, made.resolved.dcp, made.resolved.block_size)
        ends = [
            max(size // made.kv.bytes_per_block, 0) / blocks
            for size in (made.kv.available.low, made.kv.available.likely)
        ]
        return f'<tr><td>{label}</td><td class="r">{_times(ends[0])}</td><td class="r">{_times(ends[1])}</td><td>{cost}</td></tr>'


def refuse_speed(value: object) -> NoReturn:
    """Say that a need of speed cannot be judged.

    Raises:
        InputError: always.
    """
    raise InputError("min_tok_s_user", value, "left out: speed is not modelled yet")


def report_from(names: Mapping[str, Any]) -> Report:
    """The report of a notebook's parameters: those of ``names`` that are settings or needs; None is left to defaults.

    A pasted ``command`` says what it says: model and parallel sizes beside it only where they are given.

    Raises:
        InputError: as :class:`Report`.
    """
    known = list(names_of(Deployment)) + list(NEEDS)
    given = {name: names[name] for name in known if names.get(name) is not None}
    if names.get("command"):
        given.pop("model", None)
    return Report(names["customer"], names.get("command"), **given)


_GROWTH: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("Nothing: as above", {}, ""),
    ("<code>--max-num-seqs 64</code>", {"max_num_seqs": 64}, "requests beyond 64 wait"),
    ("<code>--kv-cache-dtype fp8</code>", {"kv_cache_dtype": "fp8"}, "no clean comparison of quality with bf16 KV is known"),
    ("Speculation off", {"speculative_method": None, "num_speculative_tokens": None}, "lossless; slower decode at low load"),
    ("<code>--kv-cache-dtype fp8 --decode-context-parallel-size 2</code>",
     {"kv_cache_dtype": "fp8", "decode_context_parallel_size": 2}, "a single stream decodes slower"),
)  # fmt: skip


def _pool(size: int) -> str:
    return f"{gib(size)} GiB" if size >= 0 else f"none, {gib(-size)} GiB short"


def _times(value: float | None) -> str:
    return "none" if value is None else f"{value:,.1f}"


def _version() -> str:
    from glmcalc import __version__

    return f"glmcalc {__version__}"


def _page_css(customer: str) -> str:
    foot = f'"{customer} · page " counter(page) " of " counter(pages)'
    return (
        "@page{size:A4;margin:12mm 12mm 16mm;@bottom-left{content:"
        + foot
        + ";font:9pt system-ui,sans-serif;color:#4a5361}}"
    )


__all__ = ["Report", "report_from"]
