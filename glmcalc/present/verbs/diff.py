"""The same flags on two releases of the engine."""

from __future__ import annotations

from glmcalc.present import options

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def build_diff(parser: argparse.ArgumentParser) -> None:
    """Options of ``glmcalc diff``."""
    options.add_deployment(parser)
    parser.add_argument("--from-version", metavar="X.Y.Z", required=True, help="the release that runs today")
    parser.add_argument("--to-version", metavar="X.Y.Z", required=True, help="the release to go to")
    options.json_option(parser)


def run_diff(args: argparse.Namespace) -> int:
    """0: it fits on the second release; 1: it does not, or only maybe."""
    from glmcalc.advise.upgrade import upgrade

    deployment, _ = options.deployment_of(args)
    data = upgrade(deployment, args.from_version, args.to_version).to_dict()
    if args.json:
        options.print_json(data)
    else:
        from glmcalc.present.diff_text import diff_text

        print(diff_text(data))
    return 0 if data["verdicts"]["still_fits"] else 1
