"""A customer's report: what fits, how fast, how sure, the command, what to watch, other ways; made of the page's own parts."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from functools import cached_property
from html import escape
from typing import Any, Mapping

from glmcalc.budget.other_result import OtherPlan
from glmcalc.budget.result import Plan
from glmcalc.present import report_tables as tables
from glmcalc.present.bar import budget_bar
from glmcalc.present.command_html import command_block, engine_message, notes
from glmcalc.present.display import Html, style
from glmcalc.present.needs import NEEDS
from glmcalc.present.prose import prose
from glmcalc.present.report_case import NAMES, Case, read_case
from glmcalc.present.report_names import read_names
from glmcalc.present.report_offers import Offer, offers
from glmcalc.present.report_speed import first_token, speed_section
from glmcalc.present.report_verdict import capacity_known, how_sure, judge, watch
from glmcalc.present.report_ways import ways_section
from glmcalc.present.report_works import working_command
from glmcalc.present.table_html import component_table
from glmcalc.speed.price import load_prices

_LINE = 88  # letters of a command's line that an A4 page holds
PARTS = ("first_page", "speed", "capacity", "growth", "ways", "method", "components")
"""A report's parts in their order, as the notebook shows them one by one."""


class Report:
    """One report; each part is HTML of its own, so that the notebook shows them one by one.

    Args:
        customer: name as it is printed; plain text of 1 to 80 characters.
        command: a pasted launch command, or None.
        prices: a CSV file with gpu, usd_per_hour, date and source, in place of the list's prices.
        **parameters: a deployment's settings under their engine's names, and needs: ``concurrency`` (requests),
            ``input_length`` and ``output_length`` (tokens of one request), ``min_tok_s_user`` (tokens per second).

    Raises:
        InputError: markup in ``customer``, needs that are no numbers, or as :class:`Deployment`.
    """

    def __init__(self, customer: str, command: str | None = None, prices: str | None = None, **parameters: Any) -> None:
        needs = {name: parameters.pop(name, None) for name in NEEDS}
        self._hold(read_case(customer, command, parameters, needs, load_prices(prices) if prices else None))

    @classmethod
    def of(cls, case: Case) -> Report:
        """The report of a case that is read already."""
        made = cls.__new__(cls)
        made._hold(case)
        return made

    def _hold(self, case: Case) -> None:
        self.case = case
        self.customer = self.case.customer
        self.plan: Plan | OtherPlan = self.case.plan
        self.judged = judge(self.case)
        self.data = {**self.case.data, "verdict": {**self.case.data["verdict"], "status": self.judged.memory}}

    @cached_property
    def offers(self) -> list[Offer]:
        """The ways to serve the need, the deployment as it is first."""
        return offers(self.case)

    def first_page(self) -> Html:
        """Title, verdict, how sure, what to watch, command, and the bar."""
        case = self.case
        columns = (
            f'<div class="gr-two"><section><h2>How sure</h2>{how_sure(case)}</section>'
            f"<section><h2>What to watch</h2>{watch(case)}</section></div>"
        )
        works = working_command(case, self.offers, _LINE)
        filled = f'<p class="gm-cap">{" ".join(prose(text) for text in case.filled)}</p>' if case.filled else ""
        asked = (
            f"<section><h2>Command{' as asked' if works else ''}</h2>"
            f"{command_block(str(self.data['command']), copy=False, width=_LINE)}{filled}</section>"
        )
        figure = "" if not capacity_known(case) else (
            f"<section><h2>Figure 1. Memory of one GPU <small>GiB; hatched = not certain</small></h2>{budget_bar(self.data)}</section>"
        )  # fmt: skip
        body = (
            self._head()
            + self.judged.html(case)
            + columns
            + (works or asked)
            + figure
            + engine_message(self.data)
            + (asked if works else "")
        )
        css = f"{style('style.css', 'report.css')}{_page_css(self.customer)}"
        return Html(f'<style>{css}</style><div class="gm gr">{body}</div>')

    def speed(self) -> Html:
        """How fast, against what is asked, and the records behind it."""
        return Html(f'<div class="gm gr gr-keep">{speed_section(self.case)}</div>')

    def ways(self) -> Html:
        """As is, the same machine where that does not serve, cheaper, roomier: what each gives and the price of the step."""
        return Html(f'<div class="gm gr">{ways_section(self.case, self.offers)}</div>')

    def capacity(self) -> Html:
        """What the pool holds, by length of request, at the three ends of the band."""
        return Html(tables.capacity(self.case))

    def growth(self) -> Html:
        """If the need grows: one change at a time, with what it gives and costs."""
        return Html(tables.growth(self.case))

    def components(self) -> Html:
        """Every component with its range, basis and source."""
        title = "Table 5. Every component of one GPU"
        if not capacity_known(self.case):
            return Html(tables.nothing(title))
        return Html(f'<div class="gm gr gr-keep"><h2>{title}</h2>{component_table(self.data)}</div>')

    def method(self) -> Html:
        """The formulas behind the figures, with this deployment's numbers, readable without scripts."""
        how = tables.formulas(self.case) if capacity_known(self.case) else ""
        return Html(f'<div class="gm gr">{how}{notes(self.data)}</div>')

    def html(self) -> str:
        """The whole report as one page that asks nothing of any network, as the notebook's export has it."""
        from glmcalc.present.export import page_of

        body = "\n".join(getattr(self, part)()._repr_html_() for part in PARTS)
        return page_of(f"Memory report for {self.customer}", body)

    def to_dict(self) -> dict[str, Any]:
        """What scripts read of it: the verdict on memory, speed against the need, time to the first token, each null with its reason."""
        found, (wait, why) = self.case.speed, first_token(self.case)
        known = found is not None and found.tok_s_user is not None
        reason = None if known else (found.reason if found is not None else self.case.speed_reason)
        return {
            "customer": self.customer,
            "verdict": self.judged.memory,
            "speed_need": self.judged.speed,
            "tok_s_user": found.tok_s_user.to_dict() if found is not None and found.tok_s_user is not None else None,
            "tok_s_user_reason": reason,
            "basis": None if found is None else found.basis,
            "records": None if found is None else found.records,
            "ttft_s": None if wait is None else wait.to_dict(),
            "ttft_s_reason": why,
        }

    def _head(self) -> str:
        r, said = self.plan.resolved, self.data["deployment"]
        model = str(said["model"]).split("/")[-1]
        form = f" {said['quantization']}" if self.case.engine == "llama.cpp" and said["quantization"] else ""
        return (
            f'<header class="gr-head"><div><h1>{escape(model + form)} on {r.gpus} × {escape(r.device.name)}</h1>'
            f"<p>Memory and speed report for <b>{escape(self.customer)}</b></p></div>"
            f'<p class="gr-meta">{date.today():%d %B %Y}<br>rules of {NAMES[self.case.engine]} {escape(r.version.text)}'
            f"<br>{_version()}</p></header>"
        )


def report_from(names: Mapping[str, Any]) -> Report:
    """The report of a notebook's parameters, read as :func:`glmcalc.present.report_names.read_names` does.

    Raises:
        InputError: as :class:`Report`.
    """
    settings, filled = read_names(names)
    needs = {name: names.get(name) for name in NEEDS if names.get(name) is not None}
    made = Report(names["customer"], names.get("command"), names.get("prices"), **settings, **needs)
    return Report.of(replace(made.case, filled=(*made.case.filled, filled))) if filled else made


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


__all__ = ["PARTS", "Report", "report_from"]
