"""A deployment's budget and checkpoint, and what a pasted command says."""

from __future__ import annotations

from glmcalc.present import options

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from glmcalc.model.deployment import Deployment


def build_budget(parser: argparse.ArgumentParser) -> None:
    """Options of ``glmcalc budget``."""
    options.add_deployment(parser)
    options.json_option(parser)


def run_budget(args: argparse.Namespace) -> int:
    """0: it fits; 1: it does not, or only maybe."""
    from glmcalc.solve.answer import answer

    deployment, parsed = options.deployment_of(args)
    data = answer(deployment, parsed)
    if args.json:
        options.print_json(data)
    else:
        from glmcalc.present.terminal import budget_text

        print(budget_text(data))
    return 0 if data["verdict"]["status"] == "fits" else 1


def build_weights(parser: argparse.ArgumentParser) -> None:
    """Options of ``glmcalc weights``."""
    options.add_deployment(parser, gpu=False)
    options.json_option(parser)


def run_weights(args: argparse.Namespace) -> int:
    """0: the checkpoint by module."""
    deployment, _ = options.deployment_of(args)
    if args.gpu is not None:
        from glmcalc.facts.hardware import device

        device(args.gpu)  # refused where there is no such GPU, though every one holds the same bytes
    data = _table(deployment)
    if args.json:
        options.print_json(data)
    else:
        from glmcalc.present.terminal import weights_text

        print(weights_text(data))
    return 0


def _table(deployment: Deployment) -> dict[str, Any]:
    from glmcalc.model.checkpoint import is_checkpoint_format

    label = deployment.quantization
    if label is not None and (deployment.engine == "llama.cpp" or not is_checkpoint_format(label)):
        from glmcalc.solve.gguf_table import asks_for_gguf, gguf_table

        if asks_for_gguf(deployment):
            return gguf_table(deployment)
    from glmcalc.solve.checkpoint_table import checkpoint_table

    return checkpoint_table(deployment)


def build_parse(parser: argparse.ArgumentParser) -> None:
    """Options of ``glmcalc parse``."""
    parser.add_argument("file", metavar="FILE", help="a file, - for standard input, or the command itself in quotes")
    options.json_option(parser)


def run_parse(args: argparse.Namespace) -> int:
    """0: read; 1: the model stays open."""
    from glmcalc.commands import read_command
    from glmcalc.present import inputs

    text = args.file if " " in args.file.strip() else inputs.read_input(args.file)
    parsed = read_command(text)
    data = parsed.to_dict()
    if args.json:
        options.print_json(data)
    else:
        from glmcalc.present.terminal import parse_text

        print(parse_text(data))
    return 1 if parsed.outcome == "ask" else 0
