"""The ``glmcalc`` command: options in, one answer out."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

from glmcalc.facts.errors import InputError
from glmcalc.facts.store import nearest
from glmcalc.present import options
from glmcalc.present.entry import entry as entry  # where installed commands of earlier builds look for it

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Sequence


EXAMPLE = '"vllm serve zai-org/GLM-5.2-FP8 -tp 8 --kv-cache-dtype fp8 --max-model-len 131000"'


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
        from glmcalc.facts.secrets import mask

        print(f"glmcalc: {mask(error.message)[0]}", file=sys.stderr)
        if as_json:
            options.print_json(
                {
                    "error": {
                        name: mask(value)[0] if isinstance(value, str) else value
                        for name, value in error.to_dict().items()
                    }
                }
            )
        return 2
    except SystemExit as stop:  # argparse, after --help
        return int(stop.code or 0)


def _run(argv: list[str]) -> int:
    parser = _parser(argv[0] if argv else "")
    name = argv[0] if argv else ""
    if name and not name.startswith("-") and name not in VERBS:
        close = nearest(name, VERBS)
        hint = f" (did you mean {close}?)" if close else ""
        raise InputError("subcommand", name, f"one of {', '.join(VERBS)}{hint}")
    if name in _TAKE_FLAGS:
        options.add_passed_flags(_subparsers[name], argv[1:])
    args = parser.parse_args(argv)
    if args.subcommand is None:
        parser.print_help()
        return 2
    return int(VERBS[args.subcommand].function("run", args.subcommand)(args))


# Subcommands that take the flags of ``vllm serve`` itself.
_TAKE_FLAGS = ("budget", "weights", "diff", "tune", "speed", "solve", "report")
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
    for name, verb in VERBS.items():
        if wanted in VERBS and name != wanted:
            continue  # the others are made only where all are listed
        sub = subparsers.add_parser(
            name,
            help=verb.summary,
            description=verb.summary[0].upper() + verb.summary[1:] + ".",
            allow_abbrev=False,
            epilog="examples:\n" + "".join(f"  {example}\n" for example in verb.examples),
            formatter_class=options.help_formatter,
        )
        if name == wanted:
            verb.function("build", name)(sub)
        _subparsers[name] = sub
    return parser


def _version() -> str:
    from glmcalc import __version__

    return f"glmcalc {__version__}"


class Verb:
    """One subcommand: the module with its ``build_`` and ``run_`` functions, what it is for, and commands that work.

    The module is imported only when the subcommand is used.
    """

    def __init__(self, module: str, summary: str, *examples: str, functions: str | None = None) -> None:
        self._module = f"glmcalc.present.verbs.{module}"
        self._functions = functions
        self.summary = summary
        self.examples = examples

    def function(self, kind: str, name: str) -> Callable[..., Any]:
        """``build_<name>`` or ``run_<name>``."""
        found: Callable[..., Any] = getattr(import_module(self._module), f"{kind}_{self._functions or name}")
        return found


VERBS = {
    "budget": Verb(
        "budget", "where each byte of one GPU goes, whether it fits, and what to change",
        f"glmcalc budget {EXAMPLE} --gpu h200_sxm",
        "glmcalc budget --gpu b200_sxm --gpus 8 --max-model-len 1M --max-num-seqs 1 --json",
    ),
    "weights": Verb(
        "budget", "bytes of a checkpoint, and of each GPU, by module",
        "glmcalc weights --model nvidia/GLM-5.2-NVFP4 -tp 4",
        "glmcalc weights --model zai-org/GLM-5.2 -tp 16 --json",
    ),
    "solve": Verb(
        "solve", "the largest or smallest value that fits: context, sequences, GPUs, utilization; and what stops the next step",
        'glmcalc solve "vllm serve zai-org/GLM-5.2-FP8 -tp 8 --kv-cache-dtype fp8 --max-num-seqs 16" --gpu h200_sxm --for max-model-len',
        "glmcalc solve --gpu b200_sxm --model nvidia/GLM-5.2-NVFP4 --max-model-len 128K --max-num-seqs 32 --for gpus --json",
    ),
    "speed": Verb(
        "speed", "time to the first token, time per token, tokens per second of one user and of all, each with its band",
        "glmcalc speed --gpu h200_sxm -tp 8 --kv-cache-dtype fp8 --context 9216 --concurrency 4 --input-length 8192 --output-length 1024",
        'glmcalc speed "vllm serve nvidia/GLM-5.2-NVFP4 -tp 8 --kv-cache-dtype fp8" --gpu b200_sxm --context 128K --concurrency 2 --json',
    ),
    "size": Verb(
        "size", "which of the known machines serve a need: quantization and parallelism found, speed, price, or why not",
        "glmcalc size --context 128K --concurrency 8",
        "glmcalc size --context 1M --concurrency 2 --gpu h200_sxm --gpu b200_sxm --json",
    ),
    "parse": Verb(
        "budget", "what a pasted command, compose or Kubernetes fragment says",
        'glmcalc parse "vllm serve zai-org/GLM-5.2-FP8 -tp 8 --max-model-len 128K"',
        'glmcalc parse "llama-server -m glm.gguf -c 32768 -ngl 99" --json',
    ),
    "diagnose": Verb(
        "diagnose", "why a server died, from its log: the class of death, the one change, the new command",
        'glmcalc diagnose "ValueError: No available memory for the cache blocks. Try increasing gpu_memory_utilization"',
        'glmcalc diagnose "vllm serve zai-org/GLM-5.2-FP8 -tp 8 --max-model-len 1M" --gpu h200_sxm --json',
    ),
    "calibrate": Verb(
        "calibrate", "this machine's measured terms, from a healthy start-up log",
        'glmcalc calibrate "Available KV cache memory: 34.10 GiB" --command "vllm serve zai-org/GLM-5.2-FP8 -tp 8 --max-model-len 131000" --gpu h200_sxm',
        'glmcalc calibrate "Model loading took 91.20 GiB; Available KV cache memory: 32.50 GiB" --command "vllm serve zai-org/GLM-5.2-FP8 -tp 8 --kv-cache-dtype fp8" --gpu h200_sxm --json',
    ),
    "diff": Verb(
        "diff", "the same flags on two releases: which component moves, and whether it still fits",
        "glmcalc diff --gpu h200_sxm --gpus 8 --max-model-len 131000 --from-version 0.23.0 --to-version 0.33.0",
        'glmcalc diff "vllm serve zai-org/GLM-5.2-FP8 -tp 8 --kv-cache-dtype fp8" --gpu h200_sxm --from-version 0.26.0 --to-version 0.33.0 --json',
    ),
    "tune": Verb(
        "tune", "the next safe step of progressive tuning from a server's metrics, or the way back",
        'glmcalc tune "vllm serve zai-org/GLM-5.2-FP8 -tp 8 --kv-cache-dtype fp8 --max-model-len 131000" --gpu h200_sxm --metrics "vllm:num_preemptions_total 5"',
        "glmcalc tune --stress --gpu h200_sxm --gpus 8 --kv-cache-dtype fp8 --max-model-len 131000 --max-num-seqs 64 --json",
    ),
    "downgrade": Verb(
        "downgrade", "what to give up, in which order, until it fits: the ladder, each step budgeted",
        "glmcalc downgrade --gpu h100_sxm --gpus 8 --max-model-len 1M --max-num-seqs 1",
        "glmcalc downgrade --need-gb 652 --have-gb 320 --max-model-len 128K --max-num-seqs 4 --keep users --json",
    ),
    "models": Verb("lists", "checkpoints that are known, with their bytes", "glmcalc models", "glmcalc models --json", functions="list"),
    "hardware": Verb("lists", "devices that are known, with their memory", "glmcalc hardware", "glmcalc hardware --json", functions="list"),
    "claims": Verb("lists", "the published guide's figures beside the arithmetic", "glmcalc claims", "glmcalc claims --json", functions="list"),
    "sources": Verb("lists", "where every figure comes from", "glmcalc sources", "glmcalc sources --json", functions="list"),
    "report": Verb(
        "report", "customers' reports, each one self-contained page: one by options, or many from a file",
        "glmcalc report examples --out reports",
        'glmcalc report "vllm serve zai-org/GLM-5.2-FP8 -tp 8 --kv-cache-dtype fp8 --max-model-len 131000" --gpu h200_sxm --customer "Example A" --concurrency 4 --input-length 40K --out reports --json',
    ),
    "html": Verb(
        "servers", "an executed notebook as one self-contained HTML file",
        "glmcalc html out.ipynb", "glmcalc html out.ipynb --out example-a.html",
    ),
    "app": Verb("servers", "the calculator and the chapters in the browser", "glmcalc app", "glmcalc app --port 8877 --no-browser"),
    "read": Verb("servers", "the chapters in JupyterLab", "glmcalc read", "glmcalc read --port 8888 --no-browser"),
}  # fmt: skip
