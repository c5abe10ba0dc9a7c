"""The command line's options, and how they become a deployment. All conversion of values lives with the flags themselves."""

from __future__ import annotations

import argparse
import re

from glmcalc.facts.errors import InputError
from glmcalc.facts.store import nearest
from glmcalc.present.deployment_file import PRINTED, gib_bytes, number, one_pool, read_deployment
from glmcalc.present.others_flags import add_others_flag, others_settings
from glmcalc.present.tty import terminal_columns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, NoReturn, Sequence

    from glmcalc.commands import ParsedCommand
    from glmcalc.model.deployment import Deployment


# Engine flags that move memory: name, short form, metavar, help. Values are read by the reader of pasted commands.
ENGINE_FLAGS: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (
        ("--quantization", "-q"),
        "FORMAT",
        "bf16 fp8 nvfp4 mxfp4 w4afp8 w4a16 awq mlx-4bit, or a GGUF type (default: the model's)",
    ),
    (("--tensor-parallel-size", "-tp"), "N", "GPUs that share each layer"),
    (("--pipeline-parallel-size", "-pp"), "N", "groups of layers"),
    (("--data-parallel-size", "-dp"), "N", "replicas of attention"),
    (("--decode-context-parallel-size", "-dcp"), "N", "divides the KV cache over tensor-parallel ranks"),
    (
        ("--max-model-len",),
        "TOKENS",
        "longest request: 131072, 128k (128,000), 128K (131,072), 1M or auto (default: the model's, 1M)",
    ),
    (("--max-num-seqs",), "N", "most requests at once (default: 1024 from 70 GiB of GPU on, A100 aside; else 256)"),
    (
        ("--max-num-batched-tokens",),
        "TOKENS",
        "tokens of one step (default: 8192; 16384 from 160 GiB on; 2048 where 256 requests are)",
    ),
    (("--gpu-memory-utilization",), "FRACTION", "share of each GPU's memory, above 0 to 1 (default: 0.92)"),
    (
        ("--kv-cache-dtype",),
        "DTYPE",
        "auto, bfloat16, fp8, fp8_ds_mla, nvfp4_ds_mla (default auto: bf16 on Hopper, plain fp8 on B200)",
    ),
    (("--block-size",), "TOKENS", "tokens of a KV block (64)"),
    (("--num-gpu-blocks-override",), "N", "blocks, in place of what the profile finds"),
    (("--kv-cache-memory-bytes",), "BYTES", "pool of each GPU, in place of what the profile finds"),
    (("--speculative-config",), "JSON", 'such as \'{"method":"mtp","num_speculative_tokens":3}\''),
    (("--max-cudagraph-capture-size",), "N", "largest batch captured as a CUDA graph"),
)
ENGINE_SWITCHES = (
    (("--enable-expert-parallel",), "spread whole experts over the GPUs"),
    (("--enforce-eager",), "no CUDA graphs"),
)


# No catalogue of argparse's words exists; looking for one imports locale and searches folders at each of them.
argparse._ = str  # type: ignore[attr-defined]


def help_formatter(prog: str) -> argparse.HelpFormatter:
    """Help as written, at the terminal's width, and never above 110."""
    return argparse.RawDescriptionHelpFormatter(prog, width=min(terminal_columns() or 110, 110))


class Parser(argparse.ArgumentParser):
    """argparse, with its complaints as :class:`InputError`, so that they read like all others."""

    def error(self, message: str) -> NoReturn:
        """Raise what argparse would print."""
        field, _, rest = message.removeprefix("argument ").partition(": ")
        see = f"See {self.prog} --help."
        if field == "the following arguments are required":
            first = rest.split(", ")[0].removeprefix("--").replace("-", "_")
            raise InputError(first, None, "given", f"{first} is missing: give {rest}. {see}")
        if rest == "expected one argument":
            raise InputError(field, None, "a value", f"{field} has no value after it. {see}")
        raise InputError(field if rest else "arguments", rest or message, "as in --help", f"{message}. {see}")


_NO_PRICES = "of glmcalc size and report; this answer holds none"


def add_deployment(parser: argparse.ArgumentParser, gpu: bool = True, prices: str = _NO_PRICES) -> None:
    """The options that say a deployment.

    Args:
        gpu: whether the answer depends on one; where it does not, ``--gpu`` is taken all the same.
        prices: what ``--prices`` is for.
    """
    parser.add_argument("command", nargs="?", metavar="COMMAND", help="a pasted vllm serve command, in quotes")
    engine = parser.add_argument_group("the engine's flags, under vLLM's own names")
    engine.add_argument(
        "--model", metavar="ID", help="a known id, or a path to a config.json (default: zai-org/GLM-5.2-FP8)"
    )
    for names, metavar, text in ENGINE_FLAGS:
        engine.add_argument(*names, metavar=metavar, help=text)
    for names, text in ENGINE_SWITCHES:
        engine.add_argument(*names, action="store_true", help=text)
    ours = parser.add_argument_group("beside the engine's flags")
    where = "such as h200_sxm; glmcalc hardware lists them" if gpu else "not needed: the same on every GPU"
    ours.add_argument("--gpu", metavar="ID", help=where)
    ours.add_argument("--gpus", metavar="N", help="how many (default: what the parallel sizes need)")
    ours.add_argument(
        "--engine", metavar="NAME", help="vllm, sglang or llama.cpp, whose own flags are taken too (budget)"
    )
    ours.add_argument("--engine-version", metavar="X.Y.Z", help="release of the engine (default: the newest known)")
    ours.add_argument("--deployment", metavar="FILE", help="TOML or JSON with the same names")
    ours.add_argument("--prices", metavar="FILE", help=prices)
    if gpu:
        ours.add_argument("--available-kv-gib", metavar="X", help="pool of each GPU in GiB, as a log printed it")
        ours.add_argument("--available-kv-bytes", metavar="N", help="the same in bytes")
        ours.add_argument(
            "--weights-gib", metavar="X", help='weights of each GPU in GiB, as "Model loading took" printed them'
        )
        ours.add_argument("--gpu-memory-gib", metavar="X", help="memory of each GPU in GiB, as a log printed it")
        ours.add_argument(
            "--calibration", metavar="FILE", help="this machine's measured terms (glmcalc calibrate --out)"
        )


def add_passed_flags(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    """Accept those of vLLM's other flags that ``argv`` uses, so that argparse knows which of them take a value."""
    from glmcalc.commands.flags import flag_arity

    declared = set(parser._option_string_actions)
    for token in argv:
        name = token.split("=", 1)[0]  # with its path where it is dotted: --speculative-config.method
        if not re.match(r"--?[A-Za-z]", name) or " " in name or name in declared:
            continue
        arity = flag_arity(name)
        if arity is None and add_others_flag(parser, name):
            declared.add(name)
            continue
        if arity is None and not name.startswith("--"):
            continue
        if arity is None:
            close = nearest(name, declared)
            hint = f" (did you mean {close}?)" if close else ""
            raise InputError(
                name,
                name,
                f"an option of {parser.prog}, or a flag of vllm serve{hint}",
                f"Unknown option {name}{hint}.",
            )
        declared.add(name)
        if arity == 0:
            parser.add_argument(name, dest="passed", action="append_const", const=[name], help=argparse.SUPPRESS)
        else:
            parser.add_argument(
                name, dest="passed", action=_Passed, nargs="+" if arity < 0 else 1, help=argparse.SUPPRESS
            )


class _Passed(argparse.Action):
    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        kept = getattr(namespace, self.dest, None) or []
        setattr(namespace, self.dest, [*kept, [str(option), *values]])


def dashed(argv: Sequence[str]) -> list[str]:
    """Option names with dashes for underscores, as vLLM accepts both; values untouched."""
    out = []
    for token in argv:
        name, sign, value = token.partition("=")
        out.append(name.replace("_", "-") + sign + value if name.startswith("--") and " " not in name else token)
    return out


def engine_words(args: argparse.Namespace) -> list[str] | None:
    """The engine's flags among the options, as words to be read like a pasted command's; None when there are none."""
    tokens: list[str] = []
    for names, _, _ in ENGINE_FLAGS:
        value = getattr(args, names[0].lstrip("-").replace("-", "_"), None)
        if value is not None:
            tokens += [f"{names[0]}={value}"]
    for names, _ in ENGINE_SWITCHES:
        if getattr(args, names[0].lstrip("-").replace("-", "_"), False):
            tokens.append(names[0])
    for passed in getattr(args, "passed", None) or []:
        tokens += passed
    return tokens or None


def deployment_of(args: argparse.Namespace) -> tuple[Deployment, ParsedCommand | None]:
    """The deployment that the options say, and the pasted command (or file, or flags) it came from; later ones win.

    Raises:
        InputError: as :class:`Deployment`, ``read_deployment`` and ``read_pasted``.
    """
    from glmcalc.model.deployment import Deployment
    from glmcalc.model.pasted import merge_parsed, overridden

    if getattr(args, "prices", None) is not None:
        from glmcalc.speed.price import load_prices

        load_prices(args.prices)  # refused where it is no such file, also where no price is shown
    settings: dict[str, Any] = {}
    parsed: ParsedCommand | None = None
    sources: list[tuple[Callable[[Any], tuple[dict[str, Any], ParsedCommand]], Any]] = [
        (read_deployment, args.deployment),
        (_read_pasted, args.command),
        (_read_flags, engine_words(args)),
    ]
    for read, text in sources:
        if text is None:
            continue
        stated, said = read(text)
        for name in ("kept", "heavy"):
            stated[name] = (*settings.get(name, ()), *stated[name])
        settings = overridden(settings, stated)
        parsed = merge_parsed(parsed, said)
    settings.update(own_settings(args))
    settings = overridden(settings, others_settings(args, settings.get("engine")))
    deployment = Deployment.from_settings(settings)
    if deployment.calibration is not None:
        from glmcalc.model.resolved import check_calibration

        check_calibration(deployment)
    return deployment, parsed


def _read_pasted(text: str) -> tuple[dict[str, Any], ParsedCommand]:
    from glmcalc.model.pasted import read_pasted, settings_of

    parsed = read_pasted(text)
    return settings_of(parsed), parsed


def _read_flags(tokens: list[str]) -> tuple[dict[str, Any], ParsedCommand]:
    from glmcalc.commands.arguments import read_vllm_arguments
    from glmcalc.commands.parsed import Launch
    from glmcalc.model.pasted import refuse_open, settings_of

    flags = read_vllm_arguments(Launch("vllm", tokens), {})
    if any(word.partition("=")[0] == "--config" for word in tokens):
        raise InputError("config", "a file", "its lines as options", "Give the flags of the --config file as options.")
    refuse_open(flags, "The line", "write their values")
    stated = settings_of(flags)
    return stated, flags


def beside_a_log(parser: argparse.ArgumentParser) -> None:
    """The options that say what a log does not."""
    parser.add_argument("--command", metavar="TEXT", help="the launch command, where the log does not hold it")
    parser.add_argument("--gpu", metavar="ID", help="such as h200_sxm, where the log does not say")
    parser.add_argument("--gpus", metavar="N", help="how many")
    parser.add_argument("--engine-version", metavar="X.Y.Z", help="release of vLLM, where the log does not say")


def stated_beside_a_log(args: argparse.Namespace) -> dict[str, Any]:
    """Their values as settings, each checked.

    Raises:
        InputError: an unknown GPU, a number that is none, or a command that cannot be read.
    """
    stated: dict[str, Any] = {"gpu": args.gpu, "engine_version": args.engine_version}
    if args.gpus is not None:
        stated["gpus"] = int(number("gpus", args.gpus, whole=True))
    if args.gpu is not None:
        from glmcalc.facts.hardware import device

        device(args.gpu)
    if args.command is not None:
        from glmcalc.commands import read_command

        read_command(args.command)
    return stated


def own_settings(args: argparse.Namespace) -> dict[str, Any]:
    """Settings from the options that are not the engine's."""
    settings: dict[str, Any] = {}
    for name in ("model", "gpu", "engine", "engine_version"):
        if getattr(args, name, None) is not None:
            settings[name] = getattr(args, name)
    if args.gpus is not None:
        settings["gpus"] = int(number("gpus", args.gpus, whole=True))
    one_pool(getattr(args, "available_kv_gib", None), getattr(args, "available_kv_bytes", None))
    if getattr(args, "available_kv_bytes", None) is not None:
        settings["available_kv_bytes"] = int(number("available_kv_bytes", args.available_kv_bytes, whole=True))
    for name, target in PRINTED:
        text = getattr(args, name, None)
        if text is not None:
            settings[target] = gib_bytes(name, text)
    if getattr(args, "calibration", None) is not None:
        from glmcalc.model.calibration import load_calibration

        settings["calibration"] = load_calibration(args.calibration)
    return settings


def json_option(parser: argparse.ArgumentParser) -> None:
    """The option that scripts use."""
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output, nothing else")


def print_json(data: dict[str, Any]) -> None:
    """One JSON object on standard output."""
    import json

    print(json.dumps(data, allow_nan=False))
