"""Chapters as they are stored: what a reader sees before anything has run."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from glmcalc.present.gallery import chapters_folder
from glmcalc.present.happened import what_happened
from glmcalc.present.page import calculator
from glmcalc.present.stored import WIDGET, StillOutputs


def test_the_live_form_goes_where_a_still_one_is_there() -> None:
    output = nbformat.v4.new_output
    cell = nbformat.v4.new_code_cell(
        outputs=[
            output("display_data", {WIDGET: {"model_id": "a"}, "text/html": "<p>still</p>", "text/plain": "still"}),
            output("display_data", {WIDGET: {"model_id": "b"}, "text/plain": "FloatSlider()"}),
            output("stream", text="x"),
        ]
    )
    book = nbformat.v4.new_notebook(cells=[cell, nbformat.v4.new_markdown_cell("words")])
    made, _ = StillOutputs(enabled=True)(book, {})
    first, second, third = made.cells[0].outputs
    assert set(first.data) == {"text/html", "text/plain"}
    assert WIDGET in second.data, "the only form that it has"
    assert third.text == "x"


def test_a_still_widget_says_how_to_make_it_live() -> None:
    for made in (calculator(embedded=True), what_happened(embedded=True)):
        data, _ = made._repr_mimebundle_()
        assert WIDGET in data
        assert "Run this cell" in data["text/html"]


@pytest.mark.parametrize("path", sorted(chapters_folder().glob("*.ipynb")), ids=lambda path: path.stem)
def test_no_chapter_stores_a_widget_whose_state_is_not_stored(path: Path) -> None:
    """JupyterLab takes the live form first, and says "model not found" where the notebook holds no state."""
    book = nbformat.read(path, as_version=4)
    live = [cell for cell in book.cells for output in cell.get("outputs", ()) if WIDGET in output.get("data", {})]
    assert "widgets" in book.metadata or not live, "make outputs"
