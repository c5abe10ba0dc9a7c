"""The lists of what is known: models, hardware, claims, sources."""

from __future__ import annotations

from glmcalc.present import options

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def build_list(parser: argparse.ArgumentParser) -> None:
    """Options of every list."""
    options.json_option(parser)


def run_list(args: argparse.Namespace) -> int:
    """0: the rows of the list that the subcommand names."""
    from glmcalc.solve import tables

    kind = args.subcommand
    rows = getattr(tables, f"{kind}_rows")()
    if args.json:
        options.print_json({"rows": rows})
    else:
        from glmcalc.present.terminal import rows_text

        print(rows_text(kind, rows))
    return 0
