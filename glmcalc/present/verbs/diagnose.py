"""Why a log's server died, and what to change."""

from __future__ import annotations

from glmcalc.present import inputs, options

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any


def build_diagnose(parser: argparse.ArgumentParser) -> None:
    """Options of ``glmcalc diagnose``."""
    parser.add_argument(
        "file", metavar="FILE", help="a log of any size, - for standard input, or the lines themselves in quotes"
    )
    parser.add_argument("--command", metavar="TEXT", help="the launch command, where the log does not hold it")
    parser.add_argument("--gpu", metavar="ID", help="such as h200_sxm, where the log does not say")
    parser.add_argument("--gpus", metavar="N", help="how many")
    parser.add_argument("--engine-version", metavar="X.Y.Z", help="release of vLLM, where the log does not say")
    options.json_option(parser)


def run_diagnose(args: argparse.Namespace) -> int:
    """0: a class other than unknown; 1: unknown."""
    from glmcalc.advise.diagnose import diagnose

    stated: dict[str, Any] = {"gpu": args.gpu, "engine_version": args.engine_version}
    if args.gpus is not None:
        stated["gpus"] = int(options.number("gpus", args.gpus, whole=True))
    if args.gpu is not None:
        from glmcalc.facts.hardware import device

        device(args.gpu)
    if args.command is not None:
        _check_command(args.command)
    data = inputs.with_source(args.file, lambda source: diagnose(source, args.command, stated)).to_dict()
    if args.json:
        options.print_json(data)
    else:
        from glmcalc.present.diagnose_text import diagnosis_text

        print(diagnosis_text(data))
    return 1 if data["class"] == "unknown" else 0


def _check_command(text: str) -> None:
    from glmcalc.commands import read_command

    read_command(text)
