"""From a pasted command to the settings of a deployment; refuses what it could only guess."""

from __future__ import annotations

import json

from glmcalc.commands import ParsedCommand
from glmcalc.facts.engines import known_engine
from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PROGRAMS = {"sglang": "SGLang", "llama.cpp": "llama-server"}


def read_pasted(text: str) -> ParsedCommand:
    """Read a pasted launch command that is to be budgeted; its engine is in the settings.

    Raises:
        InputError: no launch command, no model, a setting left to a variable, or a flag that is none of vLLM's, or one of
            another engine's mistyped.
    """
    if not text.strip():
        raise InputError("command", text, "a vllm serve command", "command: the text is empty.")
    from glmcalc.commands.read import read_command

    parsed = read_command(text)
    if parsed.engine is not None:
        known_engine(parsed.engine)
    for flag in parsed.unknown:
        name, close = str(flag["flag"]), flag["nearest"]
        hint = f" (did you mean {close}?)" if close else ""
        program = _PROGRAMS.get(str(parsed.engine), "vllm serve")
        raise InputError(name, name, f"a flag of {program}{hint}", f"{name} is not a flag of {program}{hint}.")
    refuse_open(parsed, "The command", "give them as options")
    if "model" not in parsed.settings:
        raise InputError("model", None, "named in the command", "The command names no model.")
    return parsed


def refuse_open(parsed: ParsedCommand, where: str, instead: str) -> None:
    """Refuse settings that a text leaves to variables: a default in their place would be a guess.

    Args:
        where: what was read, at the beginning of a sentence; instead: what to do.

    Raises:
        InputError: there is one.
    """
    if parsed.unresolved:
        names = ", ".join(parsed.unresolved)
        raise InputError(
            parsed.unresolved[0], "a variable", "a value in the text",
            f"{where} leaves {names} to variables that the text does not set; {instead}.",
        )  # fmt: skip


def merge_parsed(pasted: ParsedCommand | None, flags: ParsedCommand) -> ParsedCommand:
    """What a pasted command and options beside it say together about flags that no setting holds."""
    if pasted is None:
        return flags
    return replace(
        pasted,
        warnings=[*pasted.warnings, *flags.warnings],
        not_modelled=[*pasted.not_modelled, *flags.not_modelled],
        no_effect_on_memory=[*pasted.no_effect_on_memory, *flags.no_effect_on_memory],
    )


def settings_from_text(text: str) -> dict[str, Any]:
    """The settings that :class:`Deployment` takes, out of a pasted command."""
    return settings_of(read_pasted(text))


def settings_of(parsed: ParsedCommand) -> dict[str, Any]:
    """The settings that :class:`Deployment` takes, out of a command that was read.

    What has no effect on memory stays out but for the words of its flags, in which secrets are masked: they go into
    commands and into links that are sent; an environment variable that has goes in under the setting's name, and so does
    the release that the container image states.
    """
    settings = {name: value for name, value in parsed.settings.items() if name != "enable_prefix_caching"}
    if parsed.engine not in (None, "vllm"):
        return _of_another_engine(parsed, settings)
    settings["kept"] = _kept(parsed)
    settings["heavy"] = tuple(parsed.heavy)
    if parsed.engine_version is not None:
        settings["engine_version"] = parsed.engine_version
    speculation = parsed.json_settings.get("speculative_config")
    if isinstance(speculation, dict):
        rest = {key: value for key, value in speculation.items() if key not in ("method", "num_speculative_tokens")}
        if rest:
            settings["speculative_extra"] = json.dumps(rest)
    estimate = parsed.environment.get("VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS")
    if estimate is not None:
        settings["estimate_cudagraphs"] = str(estimate).strip().lower() not in ("0", "false", "")
    return settings


def _kept(parsed: ParsedCommand) -> tuple[str, ...]:
    if not parsed.kept:
        return ()
    from glmcalc.facts.secrets import mask_words

    return tuple(mask_words(parsed.kept))


# The same setting under vLLM's name and under another engine's own.
_SYNONYMS = {
    "max_model_len": ("context_length", "ctx_size"), "max_num_seqs": ("max_running_requests", "parallel"),
    "max_num_batched_tokens": ("chunked_prefill_size",), "max_cudagraph_capture_size": ("cuda_graph_max_bs",),
}  # fmt: skip


def overridden(settings: dict[str, Any], later: dict[str, Any]) -> dict[str, Any]:
    """``settings`` with those stated later in their place, also where they are said by another name."""
    merged = dict(settings)
    for common, own in _SYNONYMS.items():
        for name in own if common in later else (common,) if any(one in later for one in own) else ():
            merged.pop(name, None)
    return {**merged, **later}


def _of_another_engine(parsed: ParsedCommand, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of an SGLang or llama-server command, the engine among them.

    Raises:
        InputError: a value that is none, or that the text leaves to a variable.
    """
    from glmcalc.commands.others import converted, heavy_flags

    settings.update(converted(parsed.engine, parsed.engine_settings))
    settings["engine"] = parsed.engine
    settings["kept"] = _kept(parsed)
    settings["heavy"] = tuple(heavy_flags(parsed.engine, parsed.not_modelled))
    if parsed.engine_version is not None:
        settings["engine_version"] = parsed.engine_version
    return settings
