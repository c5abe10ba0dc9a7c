"""The flags that only SGLang or llama.cpp has, as options: accepted where they are used, and read as a command's are."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any


def add_others_flag(parser: argparse.ArgumentParser, name: str) -> bool:
    """Accept ``name`` if it is a flag of SGLang or llama.cpp that a budget reads; whether it is."""
    import argparse

    from glmcalc.commands.others import takes_value

    takes = takes_value(name)
    if takes is None:
        return False
    if takes:
        parser.add_argument(name, dest=_dest(name), action="append", help=argparse.SUPPRESS)
    else:
        parser.add_argument(name, dest=_dest(name), action="append_const", const=None, help=argparse.SUPPRESS)
    parser.set_defaults(others=[*(parser.get_default("others") or []), name])
    return True


def others_settings(args: argparse.Namespace, engine: str | None) -> dict[str, Any]:
    """What those flags say, as settings of a deployment.

    Args:
        args: as parsed.
        engine: of the deployment; None for vLLM, whose flags they are not.

    Raises:
        InputError: a value that is none, or a flag of another engine.
    """
    names: list[str] = getattr(args, "others", None) or []
    if not names:
        return {}
    from glmcalc.commands.others import owners_of, read_options
    from glmcalc.facts.errors import InputError

    engine = (engine or "vllm").lower()
    words: list[str] = []
    for name in names:
        owners = owners_of(name)
        if engine not in owners:
            text = f"{name} is a flag of {owners[0]}: say --engine {owners[0]}, or leave it out."
            raise InputError(name, name, f"a flag of {engine}", text)
        for value in getattr(args, _dest(name)) or []:
            words += [name] if value is None else [name, value]
    return read_options(engine, words)


def _dest(name: str) -> str:
    return "others_" + name.lstrip("-").replace("-", "_")
