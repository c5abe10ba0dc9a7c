"""Reading a pasted launch command: find it, then take its flags one by one."""

from __future__ import annotations

import re

from glmcalc.commands.arguments import read_vllm_arguments
from glmcalc.commands.parsed import Launch, ParsedCommand
from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


LONGEST = 1_000_000


def read_command(text: str) -> ParsedCommand:
    """Read a launch command of vLLM, SGLang or llama-server as people paste it.

    Shell lines, docker lines, compose and Kubernetes fragments, with prompts, comments, fences, variables, curly quotes
    and what follows in a log. Where there are several commands the first is read, and a warning says so.

    Raises:
        InputError: none of these, a quote that never closes, a value that is not of its flag's type, two models.
    """
    if len(text) > LONGEST:
        raise InputError("command", f"{len(text):,} characters", f"at most {LONGEST:,} characters")
    launches = _plain_line(text) or _launches(text)
    if not launches:
        raise InputError(
            "command", text.strip()[:60], "a vllm serve, SGLang or llama-server command",
            "No launch command of vLLM, SGLang or llama-server is found in the text.",
        )  # fmt: skip
    launch = launches[0]
    launch.cut = launch.cut or launch.words[-1:] in (["…"], ["..."], ["[...]"])
    parsed = _read(launch, text)
    warnings = [*launch.warnings, *parsed.warnings]
    if len(launches) > 1:
        warnings.append(f"The text holds {len(launches)} launch commands; the first ({launch.engine}) is read.")
    if launch.cut:
        warnings.append("The command is cut off at its end; what follows is missing.")
    outcome = "read_with_warning" if launch.cut else "read"
    if "model" not in parsed.settings:
        outcome = "ask"
    version = None
    if launch.image is not None:
        from glmcalc.commands.images import read_image

        image = read_image(launch.image, launch.engine)
        version = image.engine_version
        warnings += [image.warning] if image.warning else []
    return replace(
        parsed,
        warnings=warnings,
        environment=launch.environment,
        outcome=outcome,
        image=launch.image,
        engine_version=version,
    )


def _read(launch: Launch, text: str) -> ParsedCommand:
    if launch.engine == "vllm":
        return read_vllm_arguments(launch, _config_file(launch, text))
    from glmcalc.commands.others import read_other

    return read_other(launch)


_PLAIN = re.compile(r"vllm serve [^$`%|&;<>#\\\n*?~()!\"]*(?:'[^'$`%\\\n]*'[^$`%|&;<>#\\\n*?~()!'\"]*)*")


def _plain_line(text: str) -> list[Launch]:
    """One ``vllm serve`` line with nothing in it to find or to expand: most of what scripts ask, and read in a blink."""
    if len(text) > 10_000 or not text.isascii() or not _PLAIN.fullmatch(text):
        return []
    import shlex

    try:
        return [Launch("vllm", shlex.split(text)[2:])]
    except ValueError:
        return []


def _launches(pasted: str) -> list[Launch]:
    from glmcalc.commands.lexing import straighten
    from glmcalc.commands.manifests import launches_in_manifest, looks_like_manifest
    from glmcalc.commands.shell import find_launches

    text = straighten(pasted.replace("\x00", ""))
    if looks_like_manifest(text):
        found = launches_in_manifest(text)
        if found:
            return found
    found = find_launches(text)
    return found or _bare_flags(text) or _bare_config(text)


def _bare_flags(text: str) -> list[Launch]:
    """The tail of a command: flags without the program before them."""
    from glmcalc.commands.flags import find_flag
    from glmcalc.commands.shell import find_launches

    found = (
        find_launches("vllm serve " + re.sub(r"(?m)^\+", "", text).strip()) if re.match(r"\s*\+?\s*--\w", text) else []
    )
    if not found:
        return []
    flags = [word.split("=")[0] for word in found[0].words if word.startswith("--")]
    if not any(find_flag(name)[0] for name in flags):
        return []
    found[0].warnings.append("The text holds flags without a command; they are read as vLLM's.")
    return found[:1]


def _bare_config(text: str) -> list[Launch]:
    """The lines of a ``--config`` file without a command."""
    from glmcalc.commands.arguments import config_words
    from glmcalc.commands.config_file import config_alone

    stated = config_alone(text)
    if not stated:
        return []
    launch = Launch("vllm", config_words(stated))
    launch.warnings.append("The text holds the lines of a --config file without a command; they are read as vLLM's.")
    return [launch]


def _config_file(launch: Launch, text: str) -> dict[str, Any]:
    if not any(word.partition("=")[0] == "--config" for word in launch.words):
        return {}
    from glmcalc.commands.config_file import config_flags

    return config_flags(launch.words, text, launch.warnings)
