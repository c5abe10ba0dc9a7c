"""From what must fit to the value that makes it fit."""

from __future__ import annotations

from glmcalc.facts.errors import InputError
from glmcalc.present import options

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

_TEACH = """
The value fits at the pessimistic end of every estimate, and the next step does not: the answer says what stops it. A setting
that is asked for is found anew, whatever the command says of it. For max-num-seqs the value is the most requests of full
length (--max-model-len) that the pool of one replica holds at once; for gpus the sizes of parallelism are found, and pipeline
stages are searched where --pipeline-parallel-size is given.
"""


def build_solve(parser: argparse.ArgumentParser) -> None:
    """Options of ``glmcalc solve``."""
    options.add_deployment(parser)
    parser.description = f"{parser.description}\n{_TEACH}"
    ours = parser.add_argument_group("the question")
    ours.add_argument(
        "--for", dest="target", metavar="WHAT", help="max-model-len, max-num-seqs, gpus or gpu-memory-utilization"
    )
    options.json_option(parser)


def run_solve(args: argparse.Namespace) -> int:
    """0: a value fits for sure; 1: none does."""
    from glmcalc.solve.reverse import TARGETS, solve

    if args.target is None:
        raise InputError("for", None, f"one of {', '.join(TARGETS)}", f"Say what to find: --for {', '.join(TARGETS)}.")
    deployment, parsed = options.deployment_of(args)
    data = solve(deployment, args.target.strip().lower().replace("_", "-")).to_dict(parsed)
    if args.json:
        options.print_json(data)
    else:
        from glmcalc.present.solve_text import solve_text

        print(solve_text(data))
    return 0 if data["value"] is not None else 1
