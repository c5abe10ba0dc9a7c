"""Budgets as they stand in chapters: HTML of this package, shown by the notebook, readable without running it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

from glmcalc.budget.result import Plan
from glmcalc.present.bar import budget_bar
from glmcalc.present.command_html import command_block, mend
from glmcalc.present.picture import still
from glmcalc.present.table_html import component_table
from glmcalc.present.verdict_html import verdict
from glmcalc.solve.answer import describe


@dataclass(frozen=True)
class Html:
    """HTML made by this package; notebooks show it as such, its drawings as pictures, and as ``plain`` where they cannot."""

    text: str
    plain: str = ""

    def _repr_html_(self) -> str:
        return still(self.text)

    def __repr__(self) -> str:
        return self.plain or f"Html({len(self.text):,} characters)"


def style(*names: str) -> str:
    """The style sheets of this package called ``names``, as one text."""
    folder = resources.files("glmcalc.present")
    return "".join((folder / name).read_text(encoding="utf-8") for name in names)


def show(made: Plan, table: bool = False, command: bool = False) -> Html:
    """A budget's verdict and bar; the component table and the command with it when asked for.

    A deployment that does not fit shows the nearest command that does.
    """
    data = describe(made)
    parts = [verdict(data)]
    if data["verdict"]["status"] != "unsupported":
        parts.append(budget_bar(data))
    if table:
        parts.append(component_table(data))
    elif data["verdict"]["status"] != "unsupported":  # seen only where the style sheet was taken away
        parts.append(f'<div class="gm-plain">{component_table(data)}</div>')
    if data["verdict"]["mend"]:
        parts.append(mend(data, copy=False))
    elif command:
        parts.append(command_block(data["command"], copy=False))
    return Html(f'<style>{style("style.css")}</style><div class="gm">{"".join(parts)}</div>', data["verdict"]["reason"])
