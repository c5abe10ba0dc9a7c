"""How fast a deployment answers."""

from __future__ import annotations

from glmcalc.present import options

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

_TEACH = """
Decode is a fixed time per step that belongs to the engine's generation, plus bytes, plus the indexer's scan; then what MTP
gives and what other requests' prompts take. Each figure has a 90 % band: 1.8 times from end to end where the same stack was
measured, 4 where parts of it were not stated, 7 where no measurement of it is known; decode context parallelism lowers the low end
by what it was measured to cost. A stack is an engine's generation on a class of device; how many measured rows stand behind
it is said.
"""


def build_speed(parser: argparse.ArgumentParser) -> None:
    """Options of ``glmcalc speed``."""
    options.add_deployment(parser)
    parser.description = f"{parser.description}\n{_TEACH}"
    ours = parser.add_argument_group("what runs on it")
    ours.add_argument(
        "--context", metavar="TOKENS", required=True, help="tokens of one request in the cache while it decodes"
    )
    ours.add_argument("--concurrency", metavar="N", required=True, help="requests at once")
    ours.add_argument("--input-length", metavar="TOKENS", help="tokens of a prompt, none of them cached")
    ours.add_argument("--output-length", metavar="TOKENS", help="tokens of an answer")
    ours.add_argument(
        "--acceptance-length", metavar="X", help="tokens a step with MTP (default: as measured on coding text)"
    )
    ours.add_argument("--engine-preset", metavar="ID", help="coefficients of another stack, such as tilert_b200")
    ours.add_argument(
        "--extrapolate", action="store_true", help="also beyond 200,000 tokens, where nothing was measured"
    )
    options.json_option(parser)


def run_speed(args: argparse.Namespace) -> int:
    """0: figures, with their band; 1: none are given, and why."""
    from glmcalc.commands.flags import human_int
    from glmcalc.present.deployment_file import number
    from glmcalc.speed.estimate import speed

    deployment, _ = options.deployment_of(args)
    needs: dict[str, Any] = {
        name: human_int(name, getattr(args, name))
        for name in ("context", "concurrency", "input_length", "output_length")
        if getattr(args, name) is not None
    }
    if args.acceptance_length is not None:
        needs["acceptance_length"] = number("acceptance_length", args.acceptance_length)
    found = speed(deployment, **needs, engine_preset=args.engine_preset, extrapolate=args.extrapolate)
    data = found.to_dict()
    if args.json:
        options.print_json(data)
    else:
        from glmcalc.present.speed_text import speed_text

        print(speed_text(data))
    return 0 if data["tok_s_user"] is not None else 1
