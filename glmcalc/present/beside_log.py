"""The options that say what a log does not."""

from __future__ import annotations

from glmcalc.present.deployment_file import number

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options, on a parser."""
    parser.add_argument("--command", metavar="TEXT", help="the launch command, where the log does not hold it")
    parser.add_argument("--gpu", metavar="ID", help="such as h200_sxm, where the log does not say")
    parser.add_argument("--gpus", metavar="N", help="how many")
    parser.add_argument("--engine-version", metavar="X.Y.Z", help="release of vLLM, where the log does not say")


def stated(args: argparse.Namespace) -> dict[str, Any]:
    """Their values as settings, each checked.

    Raises:
        InputError: an unknown GPU, a number that is none, or a command that cannot be read.
    """
    settings: dict[str, Any] = {"gpu": args.gpu, "engine_version": args.engine_version}
    if args.gpus is not None:
        settings["gpus"] = int(number("gpus", args.gpus, whole=True))
    if args.gpu is not None:
        from glmcalc.facts.hardware import device

        device(args.gpu)
    if args.command is not None:
        from glmcalc.commands import read_command

        read_command(args.command)
    return settings
