"""Customers' reports: one or many, each a self-contained page."""

from __future__ import annotations

from glmcalc.facts.errors import InputError
from glmcalc.present import options

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

_TEACH = """
FILE is CSV (a line of names, then a line a customer), TOML or YAML. Its columns are those of the report's notebook: customer,
command or the engine's flags with underscores, gpu, gpus, engine, quantization, prices (a file), and the needs concurrency,
input_length, output_length, min_tok_s_user. The word examples stands for three worked customers that come with the manual.
With --customer the deployment is said by options, as for glmcalc budget. One page a customer is written under --out, and
nothing else.
"""
_NEEDS = ("concurrency", "input_length", "output_length")


def build_report(parser: argparse.ArgumentParser) -> None:
    """Options of ``glmcalc report``."""
    options.add_deployment(parser, prices="CSV with the columns gpu, usd_per_hour, date, source")
    parser.description = f"{parser.description}\n{_TEACH}"
    for action in parser._actions:
        if action.dest == "command":
            action.metavar, action.help = "FILE", "customers' file, or with --customer a pasted command, in quotes"
    ours = parser.add_argument_group("the report")
    ours.add_argument("--out", metavar="DIR", required=True, help="folder for the pages; made where it is missing")
    ours.add_argument("--customer", metavar="NAME", help="one customer, of the deployment that the options say")
    ours.add_argument("--concurrency", metavar="N", help="need: requests at once")
    ours.add_argument("--input-length", metavar="TOKENS", help="need: tokens of a prompt")
    ours.add_argument("--output-length", metavar="TOKENS", help="need: tokens of an answer")
    ours.add_argument("--min-tok-s-user", metavar="X", help="need: least tokens per second of one user")
    options.json_option(parser)


def run_report(args: argparse.Namespace) -> int:
    """0: all reports are made; 1: one or more failed."""
    import sys

    def said(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    _with_style_sheets()
    made = _one(args, said) if args.customer is not None else _many(args, said)
    if args.json:
        options.print_json({"reports": made})
    else:
        print(_text(made))
    return 0 if all(row["status"] == "made" for row in made) else 1


def _with_style_sheets() -> None:
    from importlib import resources

    if not resources.files("glmcalc.present").joinpath("report.css").is_file():
        allowed = "an installed glmcalc"
        raise InputError(
            "report", "the single file", allowed, f"report: the single file carries no pages; it needs {allowed}."
        )


def _many(args: argparse.Namespace, said: Any) -> list[dict[str, Any]]:
    import os

    from glmcalc.present.batch import make_reports, read_customers, report_of
    from glmcalc.speed.price import load_prices

    if args.command is None:
        raise InputError("file", None, "given, or --customer with a deployment's options")
    if " " in args.command.strip() and not os.path.exists(args.command):
        raise InputError(
            "customer", None, "given beside a pasted command", "customer: a pasted command needs --customer NAME."
        )
    if _stated(args):
        raise InputError(
            "file",
            args.command,
            "alone: its rows say each deployment",
            "file: with a FILE, settings and needs stand in its rows.",
        )
    if args.prices is not None:
        load_prices(args.prices)  # refused before anything is written
    rows = read_customers(args.command)
    folder = os.path.dirname(args.command)
    return make_reports(
        [str(row["customer"]) for row in rows], lambda at: report_of(rows[at], folder, args.prices), args.out, said
    )


def _stated(args: argparse.Namespace) -> bool:
    given = (options.engine_words(args), options.own_settings(args), args.deployment, getattr(args, "others", None))
    return any(given) or any(getattr(args, name) is not None for name in (*_NEEDS, "min_tok_s_user"))


def _one(args: argparse.Namespace, said: Any) -> list[dict[str, Any]]:
    from glmcalc.commands.flags import human_int
    from glmcalc.present.batch import make_reports
    from glmcalc.present.deployment_file import number
    from glmcalc.present.report import Report
    from glmcalc.present.report_case import case_of
    from glmcalc.speed.price import load_prices

    needs: dict[str, Any] = {
        name: human_int(name, getattr(args, name)) for name in _NEEDS if getattr(args, name) is not None
    }
    if args.min_tok_s_user is not None:
        needs["min_tok_s_user"] = number("min_tok_s_user", args.min_tok_s_user)
    prices = load_prices(args.prices) if args.prices is not None else None
    deployment, parsed = options.deployment_of(args)
    report = Report.of(case_of(args.customer, deployment, parsed, needs, prices))  # refused before a folder is made
    return make_reports([report.customer], lambda at: report, args.out, said)


def _text(made: list[dict[str, Any]]) -> str:
    from glmcalc.present.report_speed import MET
    from glmcalc.present.terminal import WORDS, table

    rows = [
        [
            row["customer"],
            WORDS[row["verdict"]] if row["path"] else "FAILED",
            MET[row["speed_need"]] if row["path"] else "",
            f"{row['seconds']:.1f}",
            row["path"] or "",
        ]
        for row in made
    ]
    lines = table(rows, ["customer", "memory", "speed", "s", "page"], right=(3,)).splitlines()
    lines += [f"{row['customer']}: {row['reason']}" for row in made if row["reason"]]
    return "\n".join(lines)
