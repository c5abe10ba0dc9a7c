"""What a stored chapter shows before anyone runs it: the still picture of a widget, in place of one that has no kernel."""

from __future__ import annotations

from typing import Any

from nbconvert.preprocessors import Preprocessor

WIDGET = "application/vnd.jupyter.widget-view+json"


class StillOutputs(Preprocessor):  # type: ignore[misc]  # nbconvert has no types
    """Takes the live form out of outputs that hold a still one too (``make outputs``).

    The state of a widget is not stored; JupyterLab would take the live form first, and show "model not found".
    """

    def preprocess_cell(self, cell: Any, resources: Any, index: int) -> tuple[Any, Any]:
        """The cell with its still outputs; ``resources`` as they came."""
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if "text/html" in data:
                data.pop(WIDGET, None)
        return cell, resources
