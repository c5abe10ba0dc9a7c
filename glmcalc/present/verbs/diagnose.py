"""Why a log's server died, and what to change."""

from __future__ import annotations

from glmcalc.present import inputs, options

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def build_diagnose(parser: argparse.ArgumentParser) -> None:
    """Options of ``glmcalc diagnose``."""
    parser.add_argument(
        "file", metavar="FILE", help="a log of any size, - for standard input, or the lines themselves in quotes"
    )
    options.beside_a_log(parser)
    options.json_option(parser)


def run_diagnose(args: argparse.Namespace) -> int:
    """0: a class other than unknown; 1: unknown."""
    from glmcalc.advise.diagnose import diagnose

    stated = options.stated_beside_a_log(args)
    data = inputs.with_source(args.file, lambda source: diagnose(source, args.command, stated)).to_dict()
    if args.json:
        options.print_json(data)
    else:
        from glmcalc.present.diagnose_text import diagnosis_text

        print(diagnosis_text(data))
    return 1 if data["class"] == "unknown" else 0
