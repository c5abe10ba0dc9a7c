"""How wide the terminal is that reads an answer."""

from __future__ import annotations

import os
import sys


def terminal_columns() -> int | None:
    """Columns of the terminal; None where a pipe or a file reads.

    ``shutil`` knows it too, and would import its archives at every start.
    """
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or None
    except (OSError, ValueError, AttributeError):
        return None
