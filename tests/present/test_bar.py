"""The drawn bar: readable text, no collisions at the width it is drawn for, figures of the table."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise
from types import SimpleNamespace

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from glmcalc import Deployment, plan
from glmcalc.facts.errors import InputError
from glmcalc.facts.hardware import devices
from glmcalc.present.bar import MIDDLE, WIDE, budget_bar
from glmcalc.present.bar_upright import WIDTH
from glmcalc.present.ledger import gib_text, ledger
from glmcalc.present.svg import text_width

TEXT = re.compile(r'<text x="([\d.-]+)%" y="([\d.-]+)" text-anchor="(\w+)"([^>]*)>(.*?)</text>')
LINE = re.compile(
    r'<line x1="([\d.]+)%" y1="([\d.]+)" x2="\1%" y2="([\d.]+)" style="stroke:var\(--ink\);stroke-width:2.5'
)
SHAPES = [("gm-wide", WIDE), ("gm-middle", MIDDLE), ("gm-narrow", WIDTH)]


@dataclass(frozen=True)
class Box:
    """Where a text lies at the design width, in px, with room for the widest font of the stack."""

    left: float
    top: float
    right: float
    foot: float
    words: str

    def meets(self, other: Box) -> bool:
        return (
            min(self.right, other.right) - max(self.left, other.left) > 1
            and min(self.foot, other.foot) - max(self.top, other.top) > 1
        )


def boxes(svg: str, width: float) -> list[Box]:
    found = []
    for x, y, anchor, style, markup in TEXT.findall(svg):
        words = unescape(re.sub(r"<[^>]+>", "", markup))
        stated = re.search(r"font-size:([\d.]+)px", style)
        size = float(stated[1]) if stated else 11.5
        place, wide = float(x) * width / 100, text_width(words) * size / 11.5
        left = {"start": place, "middle": place - wide / 2, "end": place - wide}[anchor]
        found.append(Box(left, float(y) - 0.75 * size, left + wide, float(y) + 0.2 * size, words))
    return found


def clashes(svg: str, width: float) -> list[str]:
    """Texts that stick out, lie on another, or are cut by the utilization line."""
    placed = boxes(svg, width)
    found = [f"{box.words} sticks out" for box in placed if box.left < -1 or box.right > width + 1]
    for i, box in enumerate(placed):
        found += [f"{box.words} on {other.words}" for other in placed[i + 1 :] if box.meets(other)]
    line = LINE.search(svg)
    if line:
        x, top, foot = float(line[1]) * width / 100, float(line[2]), float(line[3])
        found += [
            f"the line cuts {box.words}"
            for box in placed
            if box.left + 1 < x < box.right - 1 and box.top < foot and box.foot > top
        ]
    return found


def shape(html: str, cls: str) -> str:
    match = re.search(rf'<svg class="{cls}".*?</svg>', html)
    assert match
    return match[0]


@pytest.mark.parametrize(("cls", "width"), SHAPES)
@pytest.mark.parametrize("case", ["fits", "does_not_fit", "marginal"])
def test_labels_do_not_overlap(plans: SimpleNamespace, case: str, cls: str, width: int) -> None:
    svg = shape(budget_bar(getattr(plans, case)()), cls)
    assert len(boxes(svg, width)) > 8
    assert clashes(svg, width) == []


@given(
    model=st.sampled_from(["zai-org/GLM-5.2-FP8", "nvidia/GLM-5.2-NVFP4", "deepseek-ai/DeepSeek-V3.2"]),
    gpu=st.sampled_from([device.id for device in devices() if device.memory() is not None]),
    max_model_len=st.sampled_from([1024, 32_000, 131_072, 160_000, 1_048_576]),
    max_num_seqs=st.sampled_from([1, 16, 256, 1024]),
    gpu_memory_utilization=st.floats(0.2, 1.0),
    kv_cache_dtype=st.sampled_from([None, "fp8"]),
    speculative_method=st.sampled_from([None, "mtp"]),
)
@settings(max_examples=150, deadline=None)
@example(model="zai-org/GLM-5.2-FP8", gpu="h200_sxm", max_model_len=1_048_576, max_num_seqs=1, gpu_memory_utilization=0.92,
         kv_cache_dtype=None, speculative_method=None)  # fmt: skip  # the need passes the line, in the middle
def test_labels_of_any_plan_do_not_overlap(**asked: object) -> None:
    try:
        html = budget_bar(plan(Deployment(gpus=8, **asked)).to_dict())  # type: ignore[arg-type]
    except InputError:
        assume(False)
    for cls, width in SHAPES:
        assert clashes(shape(html, cls), width) == [], cls


def test_what_one_request_needs_is_always_said(plans: SimpleNamespace) -> None:
    for utilization in (0.3, 0.5, 0.66, 0.92):
        made = plan(
            Deployment(
                gpu="h200_sxm", gpus=8, max_model_len=1_048_576, max_num_seqs=1, gpu_memory_utilization=utilization
            )
        )
        html = budget_bar(made.to_dict())
        for cls, _ in SHAPES if made.verdict.stage == "startup_kv_too_small" else ():
            assert "one request needs" in shape(html, cls)


def test_a_pool_that_cannot_be_has_no_place_where_it_begins() -> None:
    """16 GiB a GPU under 88 of weights: not even the optimistic end leaves a pool."""
    html = budget_bar(plan(Deployment(gpu="l4", gpus=8)).to_dict())
    assert "pool begins here" not in html


def test_upright_labels_stand_a_line_apart(plans: SimpleNamespace) -> None:
    svg = shape(budget_bar(plans.does_not_fit()), "gm-narrow")
    rows = sorted({float(y) for _, y, anchor, _, _ in TEXT.findall(svg) if anchor == "end"})
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
