"""An executed notebook as one HTML file that asks nothing of any network and needs no scripts."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path
from typing import Any

from glmcalc.facts.errors import InputError

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ margin: 0 0 24px; background: #fff; color: #161b22; font: 13.5px/1.5 system-ui, sans-serif; }}
div.jp-Cell, div.output_area, div.jp-OutputArea-child {{ margin: 0; padding: 0; }}
.jp-InputPrompt, .jp-OutputPrompt, .prompt {{ display: none; }}
.jp-MarkdownOutput, .text_cell_render {{ max-width: 820px; margin: 0 auto; padding: 0 16px; }}
</style>
</head>
<body>
{body}
</body>
</html>
"""


def page_of(title: str, body: str) -> str:
    """One self-contained page; ``body`` is HTML made by this package or by nbconvert, ``title`` plain text."""
    return _PAGE.format(title=escape(title), body=body)


def export_html(notebook: str, out: str | None = None) -> Path:
    """Write ``notebook`` as one HTML file, code left out.

    Args:
        notebook: path of an executed notebook.
        out: where to write; beside the notebook, ending in ``.html``, when left out.

    Returns:
        The file written.

    Raises:
        InputError: unreadable, not a notebook, not executed, one whose run ended in an error, or a place that cannot be
            written.
    """
    try:
        import nbformat
        from nbconvert import HTMLExporter
    except ImportError as error:
        raise InputError(
            "html", "not installed", "glmcalc[notebook]", "html needs the notebook extra: pip install '.[notebook]'."
        ) from error
    try:
        book = nbformat.read(notebook, as_version=4)
    except Exception as error:  # nbformat raises many kinds for text that is no notebook
        reason = getattr(error, "strerror", None) or "not a notebook"
        raise InputError(
            "notebook", notebook, "a readable .ipynb file", f"notebook: cannot read {notebook} ({reason})."
        ) from error
    code = [cell for cell in book.cells if cell.cell_type == "code" and cell.source.strip()]
    if not any(cell.get("outputs") for cell in code):
        raise InputError(
            "notebook",
            notebook,
            "an executed notebook",
            f"notebook: {notebook} has no outputs; run it with papermill first.",
        )
    _refuse_failed(notebook, code)
    exporter = HTMLExporter(
        template_name="basic",
        exclude_input=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        embed_images=True,
    )
    body, _ = exporter.from_notebook_node(book)
    parameters = book.metadata.get("papermill", {}).get("parameters", {})
    title = f"Memory report for {parameters['customer']}" if parameters.get("customer") else os.path.basename(notebook)
    target = Path(out) if out else Path(notebook).with_suffix(".html")
    try:
        target.write_text(page_of(str(title), body), encoding="utf-8")
    except OSError as error:
        raise InputError(
            "out", str(target), "a place that can be written", f"out: cannot write {target} ({error.strerror})."
        ) from error
    return target


def _refuse_failed(notebook: str, cells: list[Any]) -> None:
    """A notebook whose run failed is no report: its last words are a traceback with places of this machine.

    Raises:
        InputError: a cell ended in an error; says its message.
    """
    for number, cell in enumerate(cells, start=1):
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                said = f"{output.get('evalue') or output.get('ename') or 'an error'}"
                raise InputError(
                    "notebook", notebook, "a notebook that ran to its end",
                    f"notebook: {notebook} did not run to its end; code cell {number} says: {said}",
                )  # fmt: skip
