"""The ``glmcalc`` command: options in, one answer out."""

from __future__ import annotations

import argparse
import gc
import os
import sys

from glmcalc.facts.errors import InputError
from glmcalc.facts.store import nearest
from glmcalc.present import options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, NoReturn, Sequence


EXAMPLE = '"vllm serve zai-org/GLM-5.2-FP8 -tp 8 --kv-cache-dtype fp8 --max-model-len 131000"'


def entry() -> NoReturn:
    """The process ``glmcalc``: :func:`main`, and out.

    A quarter of a short command's time goes into collecting garbage and taking the interpreter apart at its end; a
    process that has said all it has to say needs neither.
    """
    gc.disable()
    code = main()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):  # whoever read it has gone
        pass
    os._exit(code)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: arguments without the program's name; None for those of the process.

    Returns:
        0: answered, and yes; 1: no, or only maybe; 2: bad input.
    """
    given = options.dashed(sys.argv[1:] if argv is None else list(argv))
    as_json = "--json" in given
    try:
        return _run(given)
    except InputError as error:
        print(f"glmcalc: {error.message}", file=sys.stderr)
        if as_json:
            _print_json({"error": error.to_dict()})
        return 2
    except SystemExit as stop:  # argparse, after --help
        return int(stop.code or 0)
    except BrokenPipeError:
        sys.stderr.close()
        return 0


def _run(argv: list[str]) -> int:
    parser = _parser(argv[0] if argv else "")
    name = argv[0] if argv else ""
    if name and not name.startswith("-") and name not in _COMMANDS:
        close = nearest(name, _COMMANDS)
        hint = f" (did you mean {close}?)" if close else ""
        raise InputError("subcommand", name, f"one of {', '.join(_COMMANDS)}{hint}")
    if name in ("budget", "weights"):
        options.add_passed_flags(_subparsers[name], argv[1:])
    args = parser.parse_args(argv)
    if args.subcommand is None:
        parser.print_help()
        return 2
    return _COMMANDS[args.subcommand][0](args)


_subparsers: dict[str, argparse.ArgumentParser] = {}


def _parser(wanted: str) -> argparse.ArgumentParser:
    parser = options.Parser(
        prog="glmcalc",
        description="Memory of GLM-5.2 on GPUs: does it fit, why not, what to change, and the exact command.",
        epilog=f"Start with: glmcalc budget {EXAMPLE} --gpu h200_sxm",
        allow_abbrev=False,
        formatter_class=options.help_formatter,
    )
    parser.add_argument("--version", action="version", version=_version())
    # Saying ``prog`` spares argparse a formatter, and with it the import of shutil and its archives.
    subparsers = parser.add_subparsers(
        dest="subcommand", metavar="SUBCOMMAND", parser_class=options.Parser, prog="glmcalc"
    )
    for name, (_, summary, examples, build) in _COMMANDS.items():
        if wanted in _COMMANDS and name != wanted:
            continue  # the others are made only where all are listed
        sub = subparsers.add_parser(
            name,
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
            allow_abbrev=False,
            epilog="examples:\n" + "".join(f"  {example}\n" for example in examples),
            formatter_class=options.help_formatter,
        )
        build(sub)
        _subparsers[name] = sub
    return parser


def _version() -> str:
    from glmcalc import __version__

    return f"glmcalc {__version__}"


def _budget(args: argparse.Namespace) -> int:
    from glmcalc.solve.answer import answer

    deployment, parsed = _deployment(args)
    data = answer(deployment, parsed)
    if args.json:
        _print_json(data)
    else:
        from glmcalc.present.terminal import budget_text

        print(budget_text(data))
    return 0 if data["verdict"]["status"] == "fits" else 1


def _deployment(args: argparse.Namespace) -> tuple[Any, Any]:
    from glmcalc.commands import read_command
    from glmcalc.model.deployment import Deployment
    from glmcalc.model.pasted import merge_parsed, read_pasted, settings_of

    settings: dict[str, Any] = options.read_deployment_file(args.deployment) if args.deployment else {}
    parsed = read_pasted(args.command) if args.command else None
    if parsed is not None:
        settings.update(settings_of(parsed))
    line = options.engine_line(args)
    if line is not None:
        flags = read_command(line)
        stated = settings_of(flags)
        stated.pop("model", None)
        for name in ("kept", "heavy"):
            stated[name] = (*settings.get(name, ()), *stated[name])
        settings.update(stated)
        parsed = merge_parsed(parsed, flags)
    settings.update(options.own_settings(args))
    return Deployment.from_settings(settings), parsed


def _weights(args: argparse.Namespace) -> int:
    from glmcalc.solve.checkpoint_table import checkpoint_table

    deployment, _ = _deployment(args)
    data = checkpoint_table(deployment)
    if args.json:
        _print_json(data)
    else:
        from glmcalc.present.terminal import weights_text

        print(weights_text(data))
    return 0


def _parse(args: argparse.Namespace) -> int:
    from glmcalc.commands import read_command

    text = args.file if " " in args.file.strip() else options.read_input(args.file)
    parsed = read_command(text)
    data = parsed.to_dict()
    if args.json:
        _print_json(data)
    else:
        from glmcalc.present.terminal import parse_text

        print(parse_text(data))
    return 1 if parsed.outcome == "ask" else 0


def _rows(kind: str) -> Callable[[argparse.Namespace], int]:
    def show(args: argparse.Namespace) -> int:
        from glmcalc.solve import tables

        rows = getattr(tables, f"{kind}_rows")()
        if args.json:
            _print_json({"rows": rows})
        else:
            from glmcalc.present.terminal import rows_text

            print(rows_text(kind, rows))
        return 0

    return show


def _html(args: argparse.Namespace) -> int:
    from glmcalc.present.export import export_html

    print(export_html(args.notebook, args.out))
    return 0


def _app(args: argparse.Namespace) -> int:
    from glmcalc.present.gallery import serve_app

    return serve_app(int(options.number("port", args.port, whole=True)), not args.no_browser)


def _read(args: argparse.Namespace) -> int:
    from glmcalc.present.gallery import read_chapters

    return read_chapters(int(options.number("port", args.port, whole=True)), not args.no_browser)


def _print_json(data: dict[str, Any]) -> None:
    import json

    print(json.dumps(data, allow_nan=False))


def _json_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output, nothing else")


def _build_budget(parser: argparse.ArgumentParser) -> None:
    options.add_deployment(parser)
    _json_option(parser)


def _build_weights(parser: argparse.ArgumentParser) -> None:
    options.add_deployment(parser, gpu=False)
    _json_option(parser)


def _build_parse(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a file, - for standard input, or the command itself in quotes")
    _json_option(parser)


def _build_html(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("notebook", metavar="NOTEBOOK", help="an executed notebook, such as papermill's output")
    parser.add_argument("--out", metavar="FILE", help="where to write (default: beside it, ending in .html)")


def _build_server(port: str) -> Callable[[argparse.ArgumentParser], None]:
    def build(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--port", default=port, metavar="N", help=f"loopback port (default: {port})")
        parser.add_argument("--no-browser", action="store_true", help="only print the address")

    return build


_COMMANDS: dict[str, tuple[Callable[[argparse.Namespace], int], str, tuple[str, ...], Callable[[argparse.ArgumentParser], None]]] = {
    "budget": (
        _budget, "where each byte of one GPU goes, whether it fits, and what to change",
        (f"glmcalc budget {EXAMPLE} --gpu h200_sxm", "glmcalc budget --gpu b200_sxm --gpus 8 --max-model-len 1M --max-num-seqs 1 --json"),
        _build_budget,
    ),
    "weights": (
        _weights, "bytes of a checkpoint, and of each GPU, by module",
        ("glmcalc weights --model nvidia/GLM-5.2-NVFP4 -tp 4", "glmcalc weights --model zai-org/GLM-5.2 -tp 16 --json"),
        _build_weights,
    ),
    "parse": (
        _parse, "what a pasted command, compose or Kubernetes fragment says",
        ('glmcalc parse "vllm serve zai-org/GLM-5.2-FP8 -tp 8 --max-model-len 128K"', 'glmcalc parse "llama-server -m glm.gguf -c 32768 -ngl 99" --json'),
        _build_parse,
    ),
    "models": (_rows("models"), "checkpoints that are known, with their bytes", ("glmcalc models", "glmcalc models --json"), _json_option),
    "hardware": (_rows("hardware"), "devices that are known, with their memory", ("glmcalc hardware", "glmcalc hardware --json"), _json_option),
    "claims": (
        _rows("claims"), "the published guide's figures beside the arithmetic",
        ("glmcalc claims", "glmcalc claims --json"), _json_option,
    ),
    "sources": (_rows("sources"), "where every figure comes from", ("glmcalc sources", "glmcalc sources --json"), _json_option),
    "html": (
        _html, "an executed notebook as one self-contained HTML file",
        ("glmcalc html out.ipynb", "glmcalc html out.ipynb --out example-a.html"), _build_html,
    ),
    "app": (_app, "the calculator and the chapters in the browser", ("glmcalc app", "glmcalc app --port 8877 --no-browser"), _build_server("8866")),
    "read": (_read, "the chapters in JupyterLab", ("glmcalc read", "glmcalc read --port 8888 --no-browser"), _build_server("8888")),
}  # fmt: skip
