"""A deployment said in a TOML or JSON file: the options' names, and values that mean what they mean as options."""

from __future__ import annotations

import json

from glmcalc.facts.errors import InputError
from glmcalc.facts.quantity import GIB
from glmcalc.facts.store import nearest
from glmcalc.model.deployment import OTHERS_OWN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from glmcalc.commands import ParsedCommand


# Sizes as a log printed them: the option in GiB, and the setting in bytes.
PRINTED = (
    ("available_kv_gib", "available_kv_bytes"),
    ("weights_gib", "weights_bytes"),
    ("gpu_memory_gib", "gpu_memory_bytes"),
)
# What is no flag of the engine's: texts, whole numbers, and settings that only the Python API names.
_TEXTS = ("model", "gpu", "engine", "engine_version", "speculative_method")
_WHOLE = ("gpus", "available_kv_bytes", "weights_bytes", "gpu_memory_bytes", "num_speculative_tokens")
_SWITCHES = ("estimate_cudagraphs",)
_OWN = (*_TEXTS, *_WHOLE, *_SWITCHES, *(name for name, _ in PRINTED), "calibration")

# What an answer's ``deployment`` holds that no option states.
_OF_AN_ANSWER = ("max_model_len_auto", "defaults_filled")
_OF_LLAMACPP = ("file", "gpu_layers", "experts_on_cpu_layers")


def read_deployment(path: str) -> tuple[dict[str, Any], ParsedCommand]:
    """Settings from a TOML or JSON file, and what its flags say besides.

    Raises:
        InputError: unreadable, not a table, or as :func:`read_settings`.
    """
    return read_settings(_table(path))


def read_settings(stated: dict[str, Any]) -> tuple[dict[str, Any], ParsedCommand]:
    """Settings from names and values as such a file holds them, and what its flags say besides.

    ``deployment`` of ``glmcalc budget --json`` is one too: null is a setting that is not stated, ``max_model_len_auto`` says
    that the length is the engine's to find, ``defaults_filled`` says nothing of the deployment.

    Raises:
        InputError: a name that is neither an option nor a flag of ``vllm serve`` (the nearest is offered), or a value that the
            option of that name would refuse.
    """
    from glmcalc.commands.arguments import read_vllm_arguments
    from glmcalc.commands.parsed import Launch
    from glmcalc.model.pasted import refuse_open, settings_of

    auto = stated.get("max_model_len_auto")
    derived = (*_OF_AN_ANSWER, *(_OF_LLAMACPP if stated.get("engine") == "llama.cpp" else ()))
    stated = {name: value for name, value in stated.items() if value is not None and name not in derived}
    if auto is True:
        stated["max_model_len"] = "auto"
    one_pool(stated.get("available_kv_gib"), stated.get("available_kv_bytes"))
    own = {name: value for name, value in stated.items() if name in _OWN}
    others = {name: stated[name] for name in OTHERS_OWN if name in stated}
    flags = {name: value for name, value in stated.items() if name not in own and name not in others}
    words = [word for name, value in flags.items() for word in _words(name, value)]
    parsed = read_vllm_arguments(Launch("vllm", words), {})
    for flag in parsed.unknown:
        raise _unknown(str(flag["flag"])[2:].replace("-", "_"), stated)
    refuse_open(parsed, "The file", "write their values")
    settings = settings_of(parsed)
    for name, value in own.items():
        settings.update(_own(name, value))
    for name, value in others.items():  # checked where the deployment is made
        settings[name] = tuple(value) if isinstance(value, list) else value
    return settings, parsed


def one_pool(gib: object, size: object) -> None:
    """Refuse a pool that is stated twice.

    Raises:
        InputError: both ``available_kv_gib`` and ``available_kv_bytes`` are given.
    """
    if gib is not None and size is not None:
        raise InputError("available_kv_gib", gib, f"stated once: available_kv_bytes is {size}")


def gib_bytes(name: str, text: str) -> int:
    """GiB of an option as bytes.

    Raises:
        InputError: no number, above 1,048,576 GiB, or nothing where something must be.
    """
    value = number(name, text)
    if value > 1 << 20:
        raise InputError(name, text, "at most 1,048,576 GiB")
    if int(value * GIB) == 0 and name != "available_kv_gib":
        raise InputError(name, text, "a number of GiB above 0")
    return int(value * GIB)


def number(field: str, text: str, whole: bool = False) -> float:
    """A number out of an option.

    Raises:
        InputError: not a finite number of zero or above.
    """
    try:
        value = float(text) if not whole else int(text)
    except (ValueError, OverflowError):
        raise InputError(field, text, "a whole number" if whole else "a number") from None
    if not 0 <= value < float("inf"):
        raise InputError(field, text, "a finite number, zero or above")
    return value


def _table(path: str) -> dict[str, Any]:
    from glmcalc.present.inputs import read_deployment_file

    return {name.lstrip("_"): value for name, value in read_deployment_file(path).items()}


def _words(name: str, value: Any) -> list[str]:
    """A flag as it would stand on a command line; a list is several words, a table JSON."""
    flag = "--" + name.replace("_", "-")
    if isinstance(value, bool):
        return [flag] if value else ["--no-" + flag[2:]]
    if isinstance(value, list):
        return [flag, *(_text(item) for item in value)]
    return [f"{flag}={_text(value)}"]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _own(name: str, value: Any) -> dict[str, Any]:
    """The setting that an option of ours states."""
    if name == "calibration":
        from glmcalc.model.calibration import load_calibration

        return {name: load_calibration(_text(value))}
    if name in _TEXTS:
        if not isinstance(value, str):
            raise InputError(name, value, "text in quotes")
        return {name: value}
    if name in _SWITCHES:
        if not isinstance(value, bool):
            raise InputError(name, value, "true or false")
        return {name: value}
    if name in _WHOLE:
        return {name: int(number(name, _text(value), whole=True))}
    return {dict(PRINTED)[name]: gib_bytes(name, _text(value))}


def _unknown(name: str, stated: dict[str, Any]) -> InputError:
    from glmcalc.commands.flags import flag_names

    names = [*_OWN, *(flag[2:].replace("-", "_") for flag in flag_names() if flag.startswith("--"))]
    close = nearest(name, names)
    hint = f" (did you mean {close}?)" if close else ""
    return InputError(
        name, _text(stated.get(name)), f"a name of an option of glmcalc budget, or of a flag of vllm serve{hint}",
        f"deployment: {name} is neither an option nor a flag of vllm serve{hint}.",
    )  # fmt: skip
