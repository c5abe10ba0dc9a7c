"""The next safe step of progressive tuning, or the stress plan beside it."""

from __future__ import annotations

from glmcalc.facts.errors import InputError
from glmcalc.present import options
from glmcalc.present.deployment_file import number

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from glmcalc.logs.metrics import Reading


def build_tune(parser: argparse.ArgumentParser) -> None:
    """Options of ``glmcalc tune``."""
    options.add_deployment(parser)
    tuner = parser.add_argument_group("the tuner")
    tuner.add_argument(
        "--metrics", metavar="URL|FILE", help="a server's /metrics, a saved scrape, a Prometheus range query, - for standard input, or the lines in quotes"
    )  # fmt: skip
    tuner.add_argument("--state", metavar="FILE", help="what is remembered between calls; written whole or not at all")
    tuner.add_argument("--mode", metavar="NAME", help="budget (default), or guide: 0.85, +0.01 a stable hour, to 0.92")
    tuner.add_argument("--free-gib", metavar="X", help="least free memory seen on the fullest GPU, in GiB")
    tuner.add_argument(
        "--cause", metavar="TEXT", help="why a death or preemptions will not happen again: evidence starts anew"
    )
    tuner.add_argument("--died", metavar="TEXT", help="the server died since the last call, and of what")
    tuner.add_argument(
        "--planned-restart", action="store_true", help="a restart seen now was made on purpose, with the same flags"
    )
    tuner.add_argument("--stress", action="store_true", help="the stress plan: the worst shapes, forced in minutes")
    options.json_option(parser)


def run_tune(args: argparse.Namespace) -> int:
    """0: answered."""
    from glmcalc.present.tune_text import tune_text

    if args.metrics is None and args.died is None and not args.stress:
        raise InputError(
            "metrics", None, "a URL or a file (or --stress for the stress plan alone)",
            "metrics is missing: give --metrics URL or FILE, or --stress for the stress plan alone.",
        )  # fmt: skip
    deployment, _ = options.deployment_of(args)
    if deployment.gpu is None:
        raise InputError("gpu", None, "an id that glmcalc hardware lists")
    data: dict[str, Any] = {
        "decision": None,
        "reason": "a stress plan alone: no metrics were given",
        "next_command": None,
        "watch": [],
    }
    if args.metrics is not None or args.died is not None:
        data = _advice(args, deployment)
    if args.stress:
        from glmcalc.advise.tuning.stress import stress_plan
        from glmcalc.budget.plan import plan

        data["stress"] = stress_plan(plan(deployment))
    if args.json:
        options.print_json(data)
    else:
        print(tune_text(data))
    return 0


def _advice(args: argparse.Namespace, deployment: Any) -> dict[str, Any]:
    from glmcalc.advise.tuning import file
    from glmcalc.advise.tuning.tune import tune

    readings, source, live = _readings(args) if args.metrics is not None else ([], None, False)
    with file.alone(args.state):
        state = file.load(args.state) if args.state is not None else None
        advice = tune(
            deployment, readings, state, mode=args.mode, source=source, live=live, planned=args.planned_restart,
            died=args.died, cause=args.cause,
        )  # fmt: skip
        if args.state is not None:
            file.save(advice.state, args.state)
    data = advice.to_dict()
    data["state_file"] = args.state
    return data


def _readings(args: argparse.Namespace) -> tuple[list[Reading], str | None, bool]:
    """Readings, where they come from, and whether they are of this very moment."""
    import os
    import time

    from glmcalc.facts.frozen import replace
    from glmcalc.logs.fetch import fetch_text, is_url, shown_url
    from glmcalc.logs.metrics import read_metrics

    given, now, live = args.metrics, time.time(), False
    if is_url(given):
        text, source, live = fetch_text(given), shown_url(given), True
    elif given == "-" or given.lstrip().startswith(("vllm:", "#")) or "\n" in given:
        text, source = (_standard_input() if given == "-" else given), None
    else:
        text, source = _file(given), os.path.abspath(given)
        now = os.stat(given).st_mtime
    readings = read_metrics(text, now)
    if args.free_gib is not None:
        free = int(number("free_gib", args.free_gib) * (1 << 30))
        last = readings[-1]
        least = free if last.free_bytes is None else min(free, last.free_bytes)
        readings = [*readings[:-1], replace(last, free_bytes=least)]
    return readings, source, live


def _file(path: str) -> str:
    from glmcalc.logs.fetch import LIMIT

    try:
        with open(path, "rb") as file:
            raw = file.read(LIMIT + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        hint = " A URL begins with http:// or https://." if ":" in path else ""
        raise InputError(
            "metrics", path, "a URL, a readable file, or -", f"metrics: cannot read {path} ({reason}).{hint}"
        ) from error
    return _decoded(raw, path)


def _standard_input() -> str:
    import sys

    from glmcalc.logs.fetch import LIMIT

    stream = getattr(sys.stdin, "buffer", sys.stdin)
    raw = stream.read(LIMIT + 1)
    return raw if isinstance(raw, str) else _decoded(raw, "-")


def _decoded(raw: bytes, path: str) -> str:
    from glmcalc.logs.fetch import LIMIT

    if len(raw) > LIMIT:
        raise InputError("metrics", path, f"at most {LIMIT >> 20} MiB")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError("metrics", path, "UTF-8 text, as Prometheus writes it") from None
