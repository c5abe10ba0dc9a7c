"""Which machines serve a need."""

from __future__ import annotations

from glmcalc.present import options

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

_TEACH = """
Each known machine with the deployment that the search found for it: quantization, parallelism, sequences, and batched tokens
are found, not looked up. A machine serves the need when all requests fit at the pessimistic end of every estimate, and when
the wishes (--min-tok-s-user, --max-ttft) are met at the pessimistic end of the speed's band too. Speeds that nobody measured
are not given.
"""


def build_size(parser: argparse.ArgumentParser) -> None:
    """Options of ``glmcalc size``."""
    parser.description = f"{parser.description}\n{_TEACH}"
    need = parser.add_argument_group("the need")
    need.add_argument(
        "--context", metavar="TOKENS", help="of one request, prompt and answer together, such as 131072 or 128K"
    )
    need.add_argument("--concurrency", metavar="N", help="requests at once")
    need.add_argument(
        "--min-tok-s-user", metavar="X", help="least tok/s of one user, at the pessimistic end of its band"
    )
    need.add_argument(
        "--max-ttft", metavar="S", help="most seconds to the first token, at the pessimistic end of its band"
    )
    need.add_argument("--input-length", metavar="TOKENS", help="tokens of a prompt, none of them cached")
    need.add_argument("--output-length", metavar="TOKENS", help="tokens of an answer")
    search = parser.add_argument_group("what is searched")
    search.add_argument(
        "--gpu", metavar="ID", action="append", help="only this device (again for more); glmcalc hardware lists them"
    )
    search.add_argument(
        "--quantization", "-q", metavar="FORMAT", help="only this form of the weights, such as nvfp4 or UD-Q4_K_M"
    )
    search.add_argument("--engine", metavar="NAME", help="only vllm, sglang or llama.cpp")
    search.add_argument(
        "--model",
        metavar="ID",
        help="a known id: only this model, and without --quantization only its own weights (default: GLM-5.2 in any form)",
    )
    search.add_argument(
        "--num-speculative-tokens", metavar="K", help="drafts of the model's own MTP layer (default: 0, without it)"
    )
    search.add_argument(
        "--extrapolate", action="store_true", help="speeds beyond 200,000 tokens too, where nothing was measured"
    )
    search.add_argument("--prices", metavar="FILE", help="CSV with the columns gpu, usd_per_hour, date, source")
    search.add_argument(
        "--calibration",
        metavar="FILE",
        help="a machine's measured terms (glmcalc calibrate --out), used where they apply",
    )
    parser.add_argument(
        "--guide", action="store_true", help="the published guide's four machines first: its claim beside ours"
    )
    parser.add_argument("--csv", metavar="FILE", help="components of each machine as CSV; - for standard output")
    options.json_option(parser)


def run_size(args: argparse.Namespace) -> int:
    """0: at least one machine serves the need for sure; 1: none does."""
    from glmcalc.solve.size import serves, size_rows
    from glmcalc.solve.size_need import need_dict

    implied, notes = _implied(args)
    need = _need(args, implied)
    rows = size_rows(need, limits=bool(args.json or args.csv))
    guide = _guide() if args.guide else None
    if args.csv is not None:
        from glmcalc.present.size_csv import write_components

        write_components(rows, args.csv)
    if args.json and args.csv != "-":
        options.print_json(
            {"need": need_dict(need), "serves": serves(rows), "rows": rows, "guide": guide, "warnings": notes}
        )
    elif args.csv is None:
        from glmcalc.present.size_text import size_text

        print(size_text(need, rows, guide, notes))
    return 0 if serves(rows) else 1


def _guide() -> list[dict[str, Any]]:
    from glmcalc.solve.size_guide import guide_rows

    return guide_rows()


def _implied(args: argparse.Namespace) -> tuple[str | None, list[str]]:
    """The form of the weights that ``--model`` names, where no other option does, and what is to be said of it.

    Raises:
        InputError: an unknown model.
    """
    if args.model is None or args.quantization is not None:
        return None, []
    from glmcalc.model.checkpoint import load_checkpoint

    fmt = load_checkpoint(args.model).recipe.fmt
    if args.engine == "llama.cpp":
        return None, [
            f"llama.cpp runs GGUF files of this model; the {fmt} weights of --model {args.model} are not looked at"
        ]
    return fmt, [f"Only {fmt} weights are looked at, those of --model {args.model}; -q FORMAT takes others"]


def _need(args: argparse.Namespace, implied: str | None) -> Any:
    """The need that the options state; ``implied``: the form of the weights, where they state none.

    Raises:
        InputError: a value out of range, an unknown device, or a price file that cannot be read.
    """
    from glmcalc.commands.flags import human_int
    from glmcalc.facts.errors import InputError
    from glmcalc.present.deployment_file import number
    from glmcalc.solve.size_need import Need

    for name in ("context", "concurrency"):
        if getattr(args, name) is None:
            raise InputError(
                name, None, "a whole number", f"{name} is missing: say it, such as --context 131072 --concurrency 8."
            )
    stated: dict[str, Any] = {
        name: human_int(name, getattr(args, name))
        for name in ("context", "concurrency", "input_length", "output_length", "num_speculative_tokens")
        if getattr(args, name) is not None
    }
    for name in ("min_tok_s_user", "max_ttft"):
        if getattr(args, name) is not None:
            stated[name] = number(name, getattr(args, name))
    stated.update(
        {name: getattr(args, name) for name in ("quantization", "engine", "model") if getattr(args, name) is not None}
    )
    if implied is not None:
        stated["quantization"] = implied
    if args.prices is not None:
        from glmcalc.speed.price import load_prices

        stated["prices"] = load_prices(args.prices)
    if args.calibration is not None:
        from glmcalc.model.calibration import load_calibration

        stated["calibration"] = load_calibration(args.calibration)
    return Need(**stated, gpus=tuple(args.gpu or ()), extrapolate=args.extrapolate)
