"""Reading launch commands as people write them."""

from __future__ import annotations

from glmcalc.commands.parsed import ParsedCommand

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from glmcalc.commands.read import read_command

__all__ = ["ParsedCommand", "read_command"]


def __getattr__(name: str) -> Any:
    """The reader of pasted text, imported when first used: options are read without it."""
    if name != "read_command":
        raise AttributeError(f"module 'glmcalc.commands' has no attribute {name!r}")
    from glmcalc.commands.read import read_command as reader

    return reader
