"""The bar at the moment of death: what died is as long as what was asked for, and passes its bound by what was missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmcalc.advise.diagnose import diagnose
from glmcalc.facts.quantity import GIB
from glmcalc.present.happened_bar import at_death, happened_bar
from glmcalc.present.happened_quotes import quoted
from glmcalc.present.segments import Bar, layout

LOGS = Path(__file__).resolve().parents[1] / "data" / "happened"


def text(name: str) -> str:
    return (LOGS / f"{name}.log").read_text(encoding="utf-8")


def bar_of(log: str, merged: bool = False, gpu: str | None = None) -> Bar:
    case = diagnose(log, None, {"gpu": gpu}).case
    assert case.plan is not None
    bar = layout(case.plan.to_dict(), merged)
    assert bar is not None
    return at_death(bar, case)


def gib(value: float) -> float:
    return value / GIB


@pytest.mark.parametrize("merged", [False, True])
def test_scratch_crosses_the_line_by_what_was_missing(merged: bool) -> None:
    bar = bar_of(text("workspace"), merged)
    assert bar.dead is not None
    assert gib(bar.dead.end - bar.dead.start) == pytest.approx(8.00, abs=0.005)
    assert gib(bar.line - bar.dead.start) == pytest.approx(8.00 - 6.87, abs=0.005)
    assert gib(bar.dead.end - bar.line) == pytest.approx(6.87, abs=0.005)
    assert bar.outside[0].start == pytest.approx(bar.dead.end, abs=0.01 * GIB)
    assert sum(part.size for part in bar.outside) == pytest.approx(bar.frame - bar.dead.end, abs=0.01 * GIB)
    assert "8.00" in bar.dead.said
    assert "1.13 short" in bar.dead.said


def test_one_request_is_hatched_past_the_pool_alone() -> None:
    bar = bar_of(text("kv_too_small"), gpu="h200_sxm")
    assert bar.dead is not None
    assert bar.need is None
    assert gib(bar.dead.end - bar.dead.start) == pytest.approx(53.45, abs=0.005)
    assert gib(bar.dead.end - bar.dead.red) == pytest.approx(53.45 - 31.87, abs=0.005)
    assert bar.extent == bar.dead.end > bar.frame


def test_profile_run_passes_the_frame_and_has_no_pool() -> None:
    bar = bar_of(text("profile"))
    assert bar.dead is not None
    assert gib(bar.dead.start) == pytest.approx(139.80 - 43.11, abs=0.005)
    assert gib(bar.dead.end - bar.frame) == pytest.approx(48.00 - 43.11, abs=0.005)
    assert all(part.name != "kv_pool" for part in bar.parts)


def test_others_hold_from_the_right_over_the_line() -> None:
    bar = bar_of(text("held_by_others"))
    assert bar.dead is not None
    assert gib(bar.dead.start) == pytest.approx(65.13, abs=0.005)
    assert bar.dead.end == bar.frame
    assert "63.49 short" in bar.dead.said
    assert bar.inside == ()


def test_what_was_not_printed_is_not_invented() -> None:
    log = text("workspace").replace("Tried to allocate 8.00 GiB. ", "").replace("of which 6.87 GiB is free. ", "")
    bar = bar_of(log)
    assert bar.dead is not None
    assert "not printed" in bar.dead.said
    assert "asked for 8" not in bar.dead.said


@pytest.mark.parametrize("name", ["healthy", "not_memory"])
def test_nothing_is_marked_where_nothing_died_of_memory(name: str) -> None:
    _, died = happened_bar(diagnose(text(name), None, {"gpu": "h200_sxm"}).case)
    assert not died


@given(tried=st.integers(1, 12_000), free=st.integers(0, 11_000))
def test_any_figures_keep_the_parts_in_order(tried: int, free: int) -> None:
    """Hundredths of a GiB. The frame is tiled from the left, and the mark is as long as what was asked for."""
    log = text("workspace").replace("allocate 8.00 GiB", f"allocate {tried / 100:.2f} GiB")
    bar = bar_of(log.replace("which 6.87 GiB is free", f"which {free / 100:.2f} GiB is free"))
    assert bar.dead is not None
    assert gib(bar.dead.end - bar.dead.start) == pytest.approx(tried / 100, abs=0.005)
    edge = 0
    for part in bar.inside:
        assert part.start == edge
        assert part.end >= edge
        edge = part.end
    for before, after in zip(bar.outside, bar.outside[1:]):
        assert before.end == after.start
    assert bar.outside == () or bar.outside[-1].end == bar.frame


@given(st.text(max_size=300))
def test_quotes_are_text_whatever_they_hold(line: str) -> None:
    html = quoted(line)
    bare = html.replace("<mark>", "").replace("</mark>", "")
    assert "<" not in bare
    assert ">" not in bare
