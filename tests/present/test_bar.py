"""The drawn bar: readable text, no collisions at the width it is drawn for, figures of the table."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise
from types import SimpleNamespace

import pytest

from glmcalc.present.bar import MIDDLE, WIDE, budget_bar
from glmcalc.present.ledger import gib_text, ledger
from glmcalc.present.svg import text_width

TEXT = re.compile(r'<text x="([\d.]+)%" y="([\d.]+)" text-anchor="(\w+)"[^>]*>(.*?)</text>')


def texts(svg: str, width: float) -> list[tuple[float, float, float, str]]:
    """(y, left, right, words) of every text at the design width."""
    found = []
    for x, y, anchor, markup in TEXT.findall(svg):
        words = re.sub(r"<[^>]+>", "", markup)
        place, wide = float(x) * width / 100, text_width(words)
        left = {"start": place, "middle": place - wide / 2, "end": place - wide}[anchor]
        found.append((float(y), left, left + wide, words))
    return found


def shape(html: str, cls: str) -> str:
    match = re.search(rf'<svg class="{cls}".*?</svg>', html)
    assert match
    return match[0]


@pytest.mark.parametrize(("cls", "width"), [("gm-wide", WIDE), ("gm-middle", MIDDLE)])
@pytest.mark.parametrize("case", ["fits", "does_not_fit", "marginal"])
def test_labels_do_not_overlap(plans: SimpleNamespace, case: str, cls: str, width: int) -> None:
    placed = texts(shape(budget_bar(getattr(plans, case)()), cls), width)
    assert len(placed) > 8
    for i, (y, left, right, words) in enumerate(placed):
        assert left >= -1, words
        assert right <= width + 1, words
        for other_y, other_left, other_right, other in placed[i + 1 :]:
            if abs(y - other_y) < 10:
                assert right <= other_left + 1 or other_right <= left + 1, (words, other)


def test_upright_labels_stand_a_line_apart(plans: SimpleNamespace) -> None:
    svg = shape(budget_bar(plans.does_not_fit()), "gm-narrow")
    rows = sorted({float(y) for _, y, anchor, _ in TEXT.findall(svg) if anchor == "end"})
    assert len(rows) >= 10
    assert min(after - before for before, after in pairwise(rows)) >= 18.9


def test_every_part_is_named_with_the_table_s_figure(plans: SimpleNamespace) -> None:
    plan = plans.fits()
    svg = shape(budget_bar(plan), "gm-wide")
    for row in ledger(plan).inside:
        if row.name not in ("activation_peak", "mtp_runtime", "non_torch"):
            assert f"{gib_text(row.cents)} GiB" in svg
    assert "125.82 GiB" in svg
    assert "139.80" in svg


def test_only_the_shapes_asked_for_are_drawn(plans: SimpleNamespace) -> None:
    assert budget_bar(plans.fits()).count("<svg") == 3
    assert budget_bar(plans.fits(), ("narrow",)).count("<svg") == 1


def test_no_text_is_smaller_than_eleven_pixels(plans: SimpleNamespace) -> None:
    html = "".join(budget_bar(make()) for make in (plans.fits, plans.does_not_fit))
    sizes = [float(size) for size in re.findall(r"font-size:([\d.]+)px", html)]
    assert sizes
    assert min(sizes) >= 11


def test_the_label_says_the_figures(plans: SimpleNamespace) -> None:
    said = re.search(r'role="img" aria-label="([^"]+)"', budget_bar(plans.fits()))
    assert said
    for figure in ("88.46", "25.70", "125.82", "139.80"):
        assert figure in said[1]


def test_markup_is_balanced(plans: SimpleNamespace) -> None:
    class Reader(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.open: list[str] = []

        def handle_starttag(self, tag: str, attrs: object) -> None:
            self.open.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert self.open.pop() == tag

        def handle_startendtag(self, tag: str, attrs: object) -> None:
            pass

    reader = Reader()
    reader.feed(budget_bar(plans.does_not_fit()))
    assert reader.open == []
