"""Reading launch commands as people write them."""

from __future__ import annotations

from glmcalc.commands.parsed import ParsedCommand
from glmcalc.commands.read import read_command

__all__ = ["ParsedCommand", "read_command"]
