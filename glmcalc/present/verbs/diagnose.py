"""Why a log's server died, and what to change."""

from __future__ import annotations

from glmcalc.facts.errors import InputError
from glmcalc.logs.lines import visible
from glmcalc.present import beside_log, inputs, options

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any


def build_diagnose(parser: argparse.ArgumentParser) -> None:
    """Options of ``glmcalc diagnose``."""
    parser.add_argument(
        "file", metavar="FILE", help="a log of any size, - for standard input, or the lines themselves in quotes"
    )
    beside_log.add_options(parser)
    options.json_option(parser)


def run_diagnose(args: argparse.Namespace) -> int:
    """0: a class other than unknown; 1: unknown.

    Raises:
        InputError: an empty, packed or binary log; a command or option that cannot be read. Secrets in it are masked.
    """
    from glmcalc.advise.account import masked_all

    try:
        data = masked_all(_diagnosed(args))
    except InputError as error:
        told = masked_all({"value": error.value, "message": visible(error.message)})
        raise InputError(error.field, told["value"], error.allowed, told["message"]) from None
    if args.json:
        options.print_json(data)
    else:
        from glmcalc.present.diagnose_text import diagnosis_text

        print(visible(diagnosis_text(data)))  # what a log or a command wrote must not steer the terminal
    return 1 if data["class"] == "unknown" else 0


def _diagnosed(args: argparse.Namespace) -> dict[str, Any]:
    from glmcalc.advise.diagnose import diagnose

    stated = beside_log.stated(args)
    return inputs.with_source(args.file, lambda source: diagnose(source, args.command, stated)).to_dict()  # type: ignore[no-any-return]
