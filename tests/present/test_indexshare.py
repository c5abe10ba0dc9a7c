"""Chapter 2's tables, drawings, toy and form."""

from __future__ import annotations

import json
import re
import time
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmcalc.present import indexshare, indexshare_curves, toy_indexer
from glmcalc.present.display import Html
from glmcalc.present.indexshare_board import OPENING, RECORDS, Sharing, releases
from glmcalc.present.indexshare_page import frame, sharing_form
from glmcalc.solve import indexshare as rows

FP8 = "zai-org/GLM-5.2-FP8"
CASE = indexshare.case(FP8, "h200_sxm", "fp8")
CHAPTER = Path(__file__).resolve().parents[2] / "chapters" / "02_indexshare.ipynb"


def words(html: str) -> str:
    return unescape(re.sub(r"<[^>]+>", " ", re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)))


@pytest.mark.parametrize(("model", "full"), [(FP8, 21), ("zai-org/GLM-5.1-FP8", 78)])
def test_the_strip_draws_each_layer_once(model: str, full: int) -> None:
    boxes = re.findall(
        r'<rect [^>]*height="24.0" style="([^"]*)"', indexshare.strip(indexshare.case(model, "h200_sxm")).text
    )
    assert len(boxes) == 79
    assert sum("var(--weights)" in box for box in boxes) == full
    assert sum("fill:none" in box for box in boxes) == 78 - full
    assert "var(--ws)" in boxes[78]


def test_the_strip_follows_config_json() -> None:
    """``indexer_types`` of the published file, which the engine's rule does not read."""
    config = json.loads((CHAPTER.parents[1] / "data" / "models" / "GLM-5.2-FP8.json").read_text("utf-8"))
    own = [layer for layer, kind in enumerate(config["indexer_types"]) if kind == "full"]
    assert own == [0, 1, 2, *range(6, 75, 4)]
    assert repr(indexshare.strip(CASE)) == f"layers with an indexer: {' '.join(map(str, own))}; MTP: 78"


@pytest.mark.parametrize(
    "made", [indexshare.strip(CASE), indexshare_curves.flops_chart(CASE), indexshare_curves.ratio_chart(CASE)]
)
def test_drawings_are_pictures_with_a_sentence(made: Html) -> None:
    shown = made._repr_html_()
    assert "<svg" not in shown
    assert re.search(r'<img [^>]*alt="[^"]{60,}"', shown)


def test_who_allocates_what() -> None:
    found = {(row["engine"], row["release"], row["caches"]): row["bytes_per_token"] for row in rows.allocation_rows()}
    for key, size in {
        ("vLLM", "up to 0.23.0", 78): 61_464, ("vLLM", "from 0.26.0", 21): 53_940, ("SGLang", "up to 0.5.17", 78): 55_224,
        ("SGLang", "from 0.5.18", 21): 47_700, ("llama.cpp", "from 2026-08-31", 21): 95_232,
        ("llama.cpp", "from 2026-08-31", 78): 109_824,
    }.items():  # fmt: skip
        assert found[key] == size
    assert all(row["source"].startswith("https://") for row in rows.allocation_rows())
    assert found[("vLLM", "between", None)] is None


def test_the_vendor_s_ratio() -> None:
    ratios = [round(row["ratio"], 2) for row in rows.vendor_rows(CASE)]
    assert ratios == [2.88, 2.73, 1.59, 1.49, 2.27]
    parts = rows.parts_rows(CASE)
    for side in ("shared", "every"):
        assert sum(row[side] for row in parts[:-1]) == pytest.approx(parts[-1][side])


def test_no_reading_of_the_guide_is_thirty_per_cent() -> None:
    saved = [row["saved_pct"] for row in rows.guide_rows()]
    assert not [share for share in saved if 20 < share < 50]


def test_the_paper_s_figures_are_not_glm52_s() -> None:
    of = {row["value"]: row["model"] for row in rows.facts("claim")}
    assert "30B" in of[1.82]
    assert "30B" in of[1.48]
    assert of[2.9] == "GLM-5.2"


def test_the_toy_chooses_the_highest_scores() -> None:
    rng = np.random.default_rng(5)
    query, keys = rng.normal(size=(8, 32)), rng.normal(size=(300, 32))
    scores = [sum(max(float(q @ key), 0.0) for q in query) for key in keys]
    best = sorted(range(300), key=lambda at: scores[at])[-20:]
    assert sorted(toy_indexer.choose(query, keys, 20).tolist()) == sorted(best)


def test_the_toy_s_overlap_falls_to_chance() -> None:
    near, far, none = (toy_indexer.mean_overlap(change) for change in (0.05, 0.3, 1.0))
    assert near > far > none
    assert near == sorted(near, reverse=True)
    assert none == pytest.approx([256 / 4096] * 3, abs=0.02)
    assert toy_indexer.mean_overlap(0.0, draws=1) == [1.0] * 3


def test_the_source_shown_is_the_source_that_runs() -> None:
    shown = indexshare.source_of("choose", "overlap")
    for line in ("scores = np.maximum(query @ keys.T, 0).sum(axis=0)", "own = choose(query, keys, k)"):
        assert line in words(shown.text)
    assert shown.text.count("<pre") == 1


def test_figures_in_the_chapter_s_text_stand_in_its_outputs() -> None:
    """Numbers with a fraction or with thousands; what is a version, a name or a sum shown beside it is let through."""
    cells = json.loads(CHAPTER.read_text("utf-8"))["cells"]
    outputs = " ".join(
        "".join(part) if isinstance(part, list) else str(part)
        for cell in cells if cell["cell_type"] == "code" for out in cell["outputs"] for part in out.get("data", {}).values()
    )  # fmt: skip
    form = [Sharing(FP8, {"context": "8192", "requests": "32"}).view()["parts"]["table"]]  # exercise 3 asks for it
    outputs = " ".join([outputs, *form])
    shown = set(re.findall(r"\d[\d,]*(?:\.\d+)?", words(outputs).replace("−", "-")))
    rounded = {f"{float(number.replace(',', '')):.{places}f}" for number in shown if "." in number for places in (0, 1)}
    plain = {number.replace(",", "") for number in shown}
    text = " ".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    text = re.sub(r"```.*?```|`[^`]*`|\]\([^)]*\)", " ", text, flags=re.DOTALL)
    text = re.sub(r"\b\d+\.\d+\.\d+\b|GLM-5\.\d|DeepSeek-V3\.2", " ", text)
    said = re.findall(r"(?<![\w.])\d[\d,]*\.\d+|(?<![\w.])\d{1,3}(?:,\d{3})+(?![\w,])", text)
    derived = {"8,192", "112,000", "2.5", "1.139", "13.9", "200,000", "2,048", "1.2"}
    missing = [n for n in said if n.replace(",", "") not in plain | rounded and n not in derived]
    assert missing == []
    assert len(said) > 40


@pytest.mark.parametrize(
    ("changes", "token"),
    [({"engine": "vllm 0.23.0"}, 61_464), ({"engine": "sglang 0.5.23"}, 53_940), ({"engine": "sglang 0.5.17", "record": "fp8_e4m3"}, 55_224),
     ({"engine": "llama.cpp 2026-08-31"}, 95_232), ({"engine": "llama.cpp 2026-08-01"}, 109_824), ({"record": "bf16"}, 92_628)],
)  # fmt: skip
def test_the_form_follows_release_and_record(changes: dict[str, str], token: int) -> None:
    board = Sharing(FP8)
    board.change(changes)
    assert board.answer is not None
    assert board.answer.token[0] == token
    assert f"{token:,} B a token" in words(board.view()["parts"]["say"])


def test_the_form_multiplies_by_requests() -> None:
    one, many = Sharing(FP8), Sharing(FP8, {"requests": "8"})
    assert one.answer is not None
    assert many.answer is not None
    assert many.answer.cache == tuple(8 * size for size in one.answer.cache)
    assert many.answer.flop[0] == pytest.approx(8 * one.answer.flop[0])
    assert (one.answer.basis, many.answer.basis) == ("measured", "estimated")


@pytest.mark.parametrize(
    ("name", "text"),
    [("context", "0"), ("context", "10M"), ("context", "abc"), ("requests", "0"), ("requests", "1.5"), ("record", "f16"),
     ("engine", "vllm 9"), ("gpu", "h20"), ("record", "<b>"), ("context", "auto"), ("context", "-1")],
)  # fmt: skip
def test_a_bad_field_says_so_and_keeps_the_last_answer(name: str, text: str) -> None:
    board = Sharing(FP8)
    before = board.view()["parts"]["table"]
    board.change({name: text})
    view = board.view()
    assert list(view["errors"]) == [name]
    assert view["stale"]
    assert view["parts"]["table"] == before
    assert "<b>" not in view["parts"]["say"]
    board.change({name: OPENING[name]})
    assert board.view()["errors"] == {}


@given(st.dictionaries(st.sampled_from(sorted(OPENING)), st.text(max_size=20), max_size=3))
def test_any_text_is_answered_or_refused(texts: dict[str, str]) -> None:
    board = Sharing(FP8)
    board.change(texts)
    assert "<script" not in str(board.view()["parts"])


def test_every_field_has_a_label_and_an_answer_comes_at_once() -> None:
    html = frame("g", "h200_sxm")
    for name in OPENING:
        assert f'data-name="{name}"' in html
        assert f'<label for="g-{name}">' in html
    for one in releases():
        assert one.words in html
    assert all(f'value="{name}"' in html for name in RECORDS)
    board = Sharing(FP8)
    start = time.perf_counter()
    for context in (2048, 65_536, 1_048_576):
        board.change({"context": str(context)})
        board.view()
    assert (time.perf_counter() - start) / 3 < 0.1


def test_without_a_kernel_the_form_is_its_answer() -> None:
    made = sharing_form(FP8, context=8192)
    still = made._still()
    assert "<input" not in still
    assert "<select" not in still
    assert "53,940" in words(still)
    assert " data-copy" not in still
