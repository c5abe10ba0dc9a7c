"""What to give up, in order, until a deployment fits."""

from __future__ import annotations

from glmcalc.facts.errors import InputError
from glmcalc.facts.quantity import GB, GIB
from glmcalc.present import options
from glmcalc.present.deployment_file import number

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

_TEACH = """
The ladder is budgeted step by step, least harm first. A step that moves nothing towards what is missing is left out, and so
is one that turns out not to be needed. What it gains is measured at the limit that failed before it, per GPU, at the
pessimistic end: room that it makes, or need that it takes away (a shorter request, a smaller KV record).
--keep says what is given up last: context (the length of requests), users (requests at once), quality (weights and KV
formats) or speed (decode of one request). After a crash, --death takes the class that glmcalc diagnose named.
"""


def build_downgrade(parser: argparse.ArgumentParser) -> None:
    """Options of ``glmcalc downgrade``."""
    options.add_deployment(parser)
    parser.description = f"{parser.description}\n{_TEACH}"
    ours = parser.add_argument_group("the ladder")
    ours.add_argument("--keep", metavar="WHAT", default="context", help="context (default), users, quality or speed")
    ours.add_argument(
        "--death",
        metavar="CLASS",
        help="class of death that a log showed, as glmcalc diagnose names it: startup_kv_too_small, cuda_graph_capture, …",
    )
    ours.add_argument(
        "--short-gib", metavar="X", help="with --death: what the log's server was short of, GiB on one GPU"
    )
    ours.add_argument("--need-gib", metavar="X", help="what you worked out that it needs, over all GPUs, in GiB")
    ours.add_argument("--need-gb", metavar="X", help="the same in GB (10^9 bytes)")
    ours.add_argument("--have-gib", metavar="Y", help="what all GPUs have together, in GiB")
    ours.add_argument("--have-gb", metavar="Y", help="the same in GB (10^9 bytes); 4 GPUs of 80 GB are 320")
    options.json_option(parser)


def run_downgrade(args: argparse.Namespace) -> int:
    """0: it fits after the last step, for sure; 1: it does not, or only maybe."""
    from glmcalc.advise.ladder import downgrade

    deployment, _ = options.deployment_of(args)
    need, have = _total(args, "need"), _total(args, "have")
    stated = None
    if (need is None) is not (have is None):
        missing = "need" if need is None else "have"
        raise InputError(missing, None, f"--{missing}-gib or --{missing}-gb beside the other one")
    if need is not None and have is not None:
        from glmcalc.advise.ladder_need import read_need

        stated = read_need(need, have, deployment)
        deployment = stated.deployment
    short = None if args.short_gib is None else round(number("short_gib", args.short_gib) * GIB)
    if short is not None and args.death is None:
        raise InputError("short_gib", args.short_gib, "beside --death CLASS")
    data = downgrade(deployment, args.keep, args.death, short).to_dict()
    data["stated"] = stated.to_dict() if stated is not None else None
    if args.json:
        options.print_json(data)
    else:
        from glmcalc.present.downgrade_text import ladder_text

        print(ladder_text(data))
    return 0 if data["fits_after"] else 1


def _total(args: argparse.Namespace, name: str) -> int | None:
    """Bytes out of ``--<name>-gib`` or ``--<name>-gb``; None where neither is given."""
    given = [
        (unit, getattr(args, f"{name}_{unit}")) for unit in ("gib", "gb") if getattr(args, f"{name}_{unit}") is not None
    ]
    if not given:
        return None
    if len(given) > 1:
        raise InputError(name, given[1][1], f"--{name}-gib or --{name}-gb, not both")
    unit, text = given[0]
    value = number(f"{name}_{unit}", text)
    if not 0 < value <= 1 << 20:
        raise InputError(f"{name}_{unit}", text, "above 0 and at most 1,048,576")
    return round(value * (GIB if unit == "gib" else GB))
