"""The process ``glmcalc``, from its first import to its exit code."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


class _Unwritable(Exception):
    """Standard output takes nothing more, and not because its reader left: a full disk."""


class _Output(io.TextIOWrapper):
    """Standard output whose reader may leave early: what it does not take is dropped, and the exit code still answers."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except BrokenPipeError:
            return len(text)
        except OSError as error:
            raise _Unwritable(error.strerror) from error

    def flush(self) -> None:
        try:
            super().flush()
        except BrokenPipeError:
            pass
        except OSError as error:
            raise _Unwritable(error.strerror) from error


def entry() -> NoReturn:
    """Run the command line, and out.

    A quarter of a short command's time goes into collecting garbage, while modules are imported and after, and into taking
    the interpreter apart at its end; a process that has said all it has to say needs neither.
    """
    gc.disable()
    _open_streams()
    from glmcalc.present.cli import main

    try:
        code = main()
        sys.stdout.flush()
    except _Unwritable as error:
        code = 2
        print(f"glmcalc: standard output cannot be written: {error}", file=sys.stderr)
    with contextlib.suppress(OSError, ValueError):  # whoever read it has gone
        sys.stderr.flush()
    os._exit(code)


def _open_streams() -> None:
    """A closed stream takes everything and keeps nothing; standard output may be closed by its reader."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (open as long as the process)
    elif isinstance(sys.stdout, io.TextIOWrapper) and not sys.stdout.isatty():
        encoding, errors = sys.stdout.encoding, sys.stdout.errors
        sys.stdout = _Output(sys.stdout.detach(), encoding=encoding, errors=errors)
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 (open as long as the process)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (open as long as the process)
