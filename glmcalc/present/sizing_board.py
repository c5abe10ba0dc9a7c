"""The page *Hardware sizing* without its widget: needs and filters as texts, to the table, the pictures and the address."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Callable, Mapping

from glmcalc.facts.errors import InputError
from glmcalc.present.sizing_detail import detail, side_by_side
from glmcalc.present.sizing_html import ordered, sizes_table
from glmcalc.present.sizing_pictures import memory_picture, outcome, price_picture, region_picture
from glmcalc.present.sizing_rows import Shown, shown
from glmcalc.present.sizing_state import NAMES, OPENING, beside, link, need_of, opened, without_wishes
from glmcalc.present.verdict_html import bad_input, brief_line
from glmcalc.solve.size import configuration_row, size_rows
from glmcalc.solve.size_need import Need, configurations
from glmcalc.solve.size_row import finish

LENGTHS = tuple(str(1024 * n) for n in (8, 16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024))
USERS = tuple(str(n) for n in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512))
_NEEDS_KEPT, _ROWS_KEPT = 64, 1024
_GLANCES, _REGIONS = 14, 5


class Sizing:
    """What the page holds: the state as texts, and the last rows that could be made of it.

    Args:
        state: parameters as texts; none at all opens the example.
    """

    def __init__(self, state: Mapping[str, str] | None = None) -> None:
        self.state = opened(state or {})
        self.need: Need | None = None
        self.rows: list[dict[str, Any]] = []
        self.error: InputError | None = None
        self.shown: dict[str, str] = {}
        self._searched: OrderedDict[Need, list[dict[str, Any]]] = OrderedDict()
        self._full: OrderedDict[tuple[str, Need], dict[str, Any]] = OrderedDict()
        self._single: OrderedDict[tuple[str, Need], dict[str, Any]] = OrderedDict()
        self.recompute()

    def change(self, changes: Mapping[str, str]) -> None:
        """Set needs, filters, the order, the opened row, or the pair."""
        self.state.update({name: str(text).strip() for name, text in changes.items() if name in NAMES})
        self.state = {name: text for name, text in self.state.items() if text or name in OPENING}
        self.recompute()

    def recompute(self) -> None:
        """Search anew where the need changed; where it cannot be, the last rows stay."""
        self.error = None
        try:
            need = need_of(self.state)
            rows = [dict(row) for row in self._search(without_wishes(need))]
        except InputError as error:
            self.error = error
            return
        finish(rows, need)
        self.rows, self.need = rows, need

    def _search(self, plain: Need) -> list[dict[str, Any]]:
        if plain not in self._searched:
            ready = [self._single.get((one.id, plain)) for one in configurations()]
            known = [row for row in ready if row is not None]
            self._searched[plain] = known if len(known) == len(ready) else size_rows(plain, limits=False)
        _touch(self._searched, plain, _NEEDS_KEPT)
        return self._searched[plain]

    def visible(self) -> list[Shown]:
        """The rows that the filters let through, in their order."""
        kept = [one for one in self._of_vendor() if one.status == "fits" or not self.state.get("only")]
        return ordered(kept, self.state.get("sort", ""))

    def _of_vendor(self) -> list[Shown]:
        """All rows of the chosen vendor, which the verdict counts whether they are hidden or not."""
        vendor = self.state.get("vendor")
        every = [shown(row) for row in self.rows]
        return [one for one in every if not vendor or one.vendor == vendor]

    def view(self) -> dict[str, Any]:
        """All that follows a control at once, the controls' values and errors, and the address that brings the page back."""
        if self.error is None and self.need is not None:
            self.shown = self._parts(self.need)
        parts = dict(self.shown)
        if self.error is not None:
            parts["verdict"] = bad_input(self.error.to_dict(), bool(self.shown))
            parts["mini"] = brief_line("input", self.error.field)
        return {
            "parts": parts,
            "state": "input" if self.error else "answered",
            "stale": self.error is not None and bool(self.shown),
            "values": dict(self.state),
            "errors": {self.error.field: self.error.message} if self.error else {},
            "query": link(self.state),
        }

    def _parts(self, need: Need) -> dict[str, str]:
        every = self.visible()
        by_key = {row["id"]: row for row in self.rows}
        key = self.state.get("row", "")
        chosen = next((one for one in every if one.key == key), None)
        pair = [name for name in self.state.get("compare", "").split(",") if name in by_key][:2]
        more = detail(by_key[key], chosen, without_wishes(need)) if chosen else ""
        verdict, mini = outcome(self._of_vendor(), need)
        both = side_by_side([shown(by_key[name]) for name in pair], by_key, without_wishes(need))
        table = sizes_table(every, need, self.state.get("sort", ""), key, pair, more)
        price = price_picture(every, need.min_tok_s_user)
        return {"verdict": verdict, "mini": mini, "price": price, "sides": both, "sizes": table}

    def later(self) -> dict[str, str]:
        """What may come a moment after: what a few machines hold, and the memory of the first ones."""
        if self.need is None or self.error is not None:
            return {}
        firm = self._firm()
        held = [self.full(key) for key in dict.fromkeys([*self._picked(), *firm])][:_REGIONS]
        serving = [row["id"] for row in self.rows if row["serves"]]
        return {
            "region": region_picture(held, self.need),
            "glance": memory_picture([self.full(key) for key in firm[:_GLANCES]], serving),
        }

    def ahead(self) -> list[Callable[[], Any]]:
        """Steps of a few ms each that :meth:`later` would take together."""
        if self.need is None or self.error is not None:
            return []
        plain = without_wishes(self.need)
        keys = dict.fromkeys([*self._picked(), *self._firm()[:_GLANCES]])
        return [_step(self._keep_full, key, plain) for key in keys if (key, plain) not in self._full]

    def neighbours(self) -> list[Callable[[], Any]]:
        """Steps of a few ms that prepare the needs one stop of a slider away."""
        if self.need is None or self.error is not None:
            return []
        needs = [need for need in beside(without_wishes(self.need), LENGTHS, USERS) if need not in self._searched]
        return [
            _step(self._keep_single, one.id, need)
            for need in needs
            for one in configurations()
            if (one.id, need) not in self._single
        ]

    def full(self, key: str) -> dict[str, Any]:
        """A machine's row with limits and components, kept while the page is open."""
        assert self.need is not None
        plain = without_wishes(self.need)
        if (key, plain) not in self._full:
            self._keep_full(key, plain)
        return self._full[key, plain]

    def _keep_full(self, key: str, plain: Need) -> None:
        self._full[key, plain] = configuration_row(_machine(key), plain, True)
        _touch(self._full, (key, plain), _ROWS_KEPT)

    def _keep_single(self, key: str, plain: Need) -> None:
        self._single[key, plain] = configuration_row(_machine(key), plain, False)
        _touch(self._single, (key, plain), _ROWS_KEPT)

    def _firm(self) -> list[str]:
        return [one.key for one in self.visible() if one.status != "no_evidence"]

    def _picked(self) -> list[str]:
        """The opened row and the pair, where there is something to draw of them."""
        judged = {row["id"] for row in self.rows if row["status"] != "no_evidence"}
        picked = [self.state.get("row", ""), *self.state.get("compare", "").split(",")]
        return [key for key in dict.fromkeys(picked) if key in judged]


def _machine(key: str) -> Any:
    return next(one for one in configurations() if one.id == key)


def _step(act: Callable[[str, Need], None], key: str, plain: Need) -> Callable[[], None]:
    return lambda: act(key, plain)


def _touch(kept: OrderedDict[Any, Any], key: Any, most: int) -> None:
    kept.move_to_end(key)
    while len(kept) > most:
        kept.popitem(last=False)
