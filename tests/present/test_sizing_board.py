"""The sizing page without a browser: needs, filters, order, details, files, pictures, address, and what is not searched again."""

from __future__ import annotations

import csv
import io
import math
import re
from urllib.parse import unquote

import pytest

from glmcalc.present import sizing_board
from glmcalc.present.sizing import sizing_page
from glmcalc.present.sizing_board import Sizing
from glmcalc.present.sizing_charts import WIDTH, Dot, speed_and_price
from glmcalc.present.sizing_detail import budget_of
from glmcalc.present.sizing_html import SORTS, ordered
from glmcalc.present.sizing_rows import reach, shown
from glmcalc.present.sizing_state import beside, link, need_of, opened, state_in, without_wishes
from glmcalc.solve.size_need import Need, configurations


@pytest.fixture(scope="module")
def board():
    return Sizing({"context": "131072", "concurrency": "8"})


def keys(html: str) -> list[str]:
    return re.findall(r'<tbody data-machine="([^"]+)"', html)


def test_every_machine_has_a_row_and_a_reason(board):
    board.change({"sort": "", "vendor": "", "only": "", "row": "", "compare": ""})
    html = board.view()["parts"]["sizes"]
    assert set(keys(html)) == {one.id for one in configurations()}
    assert len(keys(html)) >= 24
    for row in board.rows:
        assert shown(row).reason
    # Hardware without evidence for this model has facts and no verdict.
    assert re.search(r'data-machine="gaudi3_x8" data-status="no_evidence"', html)


@pytest.mark.parametrize("name", SORTS)
def test_headings_sort_both_ways_and_unknown_comes_last(board, name):
    rows = [shown(row) for row in board.rows]
    up, down = ordered(rows, name), ordered(rows, f"-{name}")
    assert {one.key for one in up} == {one.key for one in down} == {one.key for one in rows}
    figures = {"context": "max_context", "users": "max_concurrency", "usd": "usd_middle"}
    if name in figures:
        values = [getattr(one, figures[name]) for one in up]
        known = [value for value in values if value is not None]
        assert known == sorted(known)
        assert None not in values[: len(known)]
        back = [getattr(one, figures[name]) for one in down]
        assert back[: len(known)] == sorted(known, reverse=True)


def test_filters_and_wishes_need_no_new_search(board, monkeypatch):
    board.change({"context": "131072", "concurrency": "8", "quantization": ""})

    def never(*_):
        raise AssertionError("searched again")

    monkeypatch.setattr(sizing_board, "size_rows", never)
    monkeypatch.setattr(sizing_board, "configuration_row", never)
    serving = sum(row["serves"] for row in board.rows)
    board.change({"min_tok_s_user": "30"})
    assert sum(row["serves"] for row in board.rows) < serving
    assert "too_slow" in {shown(row).status for row in board.rows}
    board.change({"min_tok_s_user": "", "vendor": "AMD"})
    assert {one.vendor for one in board.visible()} == {"AMD"}
    board.change({"vendor": "", "only": "yes", "sort": "-speed"})
    assert {one.status for one in board.visible()} == {"fits"}
    board.change({"only": "", "sort": ""})
    assert board.error is None


def test_a_wish_says_by_how_much_it_is_missed(board):
    board.change({"max_ttft": "1"})
    assert not any(row["serves"] for row in board.rows)
    view = board.view()
    assert "No machine here serves" in view["parts"]["verdict"]
    assert re.search(r"s over 1", view["parts"]["sizes"])
    board.change({"max_ttft": ""})


def test_neighbouring_stops_are_prepared_and_give_the_same_rows():
    board = Sizing({"context": "131072", "concurrency": "8"})
    for step in board.neighbours():
        step()
    assert not board.neighbours()
    near = [one for one in beside(without_wishes(board.need), sizing_board.LENGTHS, sizing_board.USERS)]
    assert [(one.context, one.concurrency) for one in near] == [(196608, 8), (98304, 8), (131072, 12), (131072, 6)]
    board.change({"concurrency": "12"})
    fresh = Sizing({"context": "131072", "concurrency": "12"})
    known = {row["id"]: row for row in fresh.rows}
    assert {row["id"] for row in board.rows} == set(known)
    assert all(row == known[row["id"]] for row in board.rows)


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"context": "0"}, "context", "tokens"),
        ({"context": "10M"}, "context", "1,048,576"),
        ({"context": "<b>x"}, "context", "131072"),
        ({"concurrency": "0"}, "concurrency", "from 1"),
        ({"min_tok_s_user": "-3"}, "min_tok_s_user", "above 0"),
        ({"max_ttft": "soon"}, "max_ttft", "a number"),
        ({"quantization": "nvfp5"}, "quantization", "nvfp4"),
        ({"vendor": "Acme"}, "vendor", "NVIDIA"),
        ({"sort": "beauty"}, "sort", "usd"),
        ({"row": "h200_x8"}, "row", "h200_sxm_x8"),
    ],
)
def test_bad_input_is_told_beside_its_field_and_the_last_answer_stays(board, changes, field, words):
    board.change({name: "" for name in ("min_tok_s_user", "max_ttft", "quantization", "vendor", "sort", "row")})
    board.change({"context": "131072", "concurrency": "8"})
    board.view()
    board.change(changes)
    view = board.view()
    assert view["state"] == "input"
    assert view["stale"]
    assert list(view["errors"]) == [field]
    assert words in view["errors"][field]
    assert "<b>x" not in view["parts"]["verdict"]
    assert keys(view["parts"]["sizes"])
    board.change({name: "" for name in changes if name not in ("context", "concurrency")})
    board.change({"context": "131072", "concurrency": "8"})


def test_an_opened_row_shows_components_command_and_a_file_that_adds_up(board):
    board.change({"row": "h200_sxm_x8"})
    html = board.view()["parts"]["sizes"]
    found = re.search(r'download="h200_sxm_x8.csv" href="data:text/csv;charset=utf-8,([^"]+)"', html)
    rows = list(csv.DictReader(io.StringIO(unquote(found[1]))))
    sizes = {row["component"]: int(row["bytes"]) for row in rows}
    data = budget_of("h200_sxm_x8", Need(131072, 8))
    assert sizes["driver_total"] == data["per_gpu"]["memory_bytes"]
    inside = sum(int(row["bytes"]) for row in rows if row["inside_utilization"] == "True")
    assert inside == pytest.approx(data["per_gpu"]["utilization_bytes"], rel=1e-6)
    assert "vllm serve" in html
    board.change({"row": ""})


def test_two_side_by_side_show_what_differs(board):
    board.change({"compare": "h200_sxm_x8,mac_m3_ultra_512_x1"})
    html = board.view()["parts"]["sides"]
    assert '<tr class="gm-differ"><th scope="row">engine</th><td>vLLM' in html
    assert "llama.cpp" in html
    assert "Compute buffer" in html
    board.change({"compare": "h200_sxm_x8"})
    assert "mark a second machine" in board.view()["parts"]["sides"]
    board.change({"compare": ""})


def test_the_pictures_hold_what_the_rows_say(board):
    later = board.later()
    assert later["region"].count("<path") >= 5
    assert "GiB, all GPUs" in later["glance"]
    for key in ("h200_sxm_x8", "b200_sxm_x8"):
        points = reach(board.full(key))
        assert [length for length, _ in points] == sorted(length for length, _ in points)
        assert [most for _, most in points] == sorted((most for _, most in points), reverse=True)


def test_the_address_brings_the_state_back():
    state = opened(
        {"max_model_len": "64K", "concurrency": "4", "min_tok_s_user": "12.5", "compare": "h200_sxm_x8,mi300x_x8"}
    )
    assert opened(state_in(link(state))) == state
    assert need_of(state) == Need(65536, 4, min_tok_s_user=12.5)
    assert state_in("?context=1M&theme=dark&token=x") == {"context": "1M"}


def no_loop():
    raise RuntimeError("no running event loop")


def test_the_widget_answers_and_has_a_still_picture(monkeypatch):
    monkeypatch.setattr("glmcalc.present.sizing.asyncio.get_running_loop", no_loop)  # a browser test leaves one running
    page = sizing_page("?context=32768&concurrency=4")
    sent = []
    page.send = sent.append
    page._hear(page, {"kind": "ready"}, None)
    assert set(sent[-1]["later"]["parts"]) == {"region", "glance"}
    page._hear(page, {"kind": "change", "changes": {"concurrency": "2"}}, None)
    assert "2 × 32,768" in sent[-2]["view"]["parts"]["verdict"]
    page._hear(page, {"kind": "something else"}, None)
    assert "<button" not in page._still()
    assert "data-sort" not in page._still()


def test_the_limits_say_what_they_hold_at(board):
    """169,344 tokens is what eight users leave of a machine whose pool holds one of a million."""
    head = re.sub(r"<[^>]+>", " ", board.view()["parts"]["sizes"].split("</thead>")[0])
    assert re.search(rf"greatest context, {board.need.concurrency} at once", head)
    assert re.search(rf"most at once at {board.need.context:,} tokens", head)
    board.change({"concurrency": "3"})
    assert "greatest context, 3 at once" in board.view()["parts"]["sizes"]


def test_no_number_of_the_price_picture_covers_another():
    """Discs of 7.5 px, in a drawing that a page may squeeze to three quarters of its width."""
    dots = [Dot(str(n), f"machine {n}", (30.0 + n / 5, 31.0 + n / 5), (60.0, 70.0, 80.0), True) for n in range(9)]
    dots += [Dot("far", "machine far", (2.0, 3.0), (10.0, 20.0, 30.0), True)]
    drawing = speed_and_price(dots)
    discs = [
        (float(x) * WIDTH / 100, float(y))
        for x, y in re.findall(r'<circle cx="([\d.]+)%" cy="([\d.]+)" r="7.5"', drawing)
    ]
    assert len(discs) == 10
    apart = [math.hypot((a - c) * 0.75, b - d) for i, (a, b) in enumerate(discs) for c, d in discs[:i]]
    assert min(apart) >= 14.9
    assert 'r="2.5"' in drawing, "what was moved keeps a mark at its place"
