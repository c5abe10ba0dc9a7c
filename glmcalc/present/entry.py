"""The process ``glmcalc``, from its first import to its exit code."""

from __future__ import annotations

import gc
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def entry() -> NoReturn:
    """Run the command line, and out.

    A quarter of a short command's time goes into collecting garbage, while modules are imported and after, and into taking
    the interpreter apart at its end; a process that has said all it has to say needs neither.
    """
    gc.disable()
    from glmcalc.present.cli import main

    code = main()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):  # whoever read it has gone
        pass
    os._exit(code)
