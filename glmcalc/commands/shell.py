"""Finding the launch command in a paste: prompts, fences, comments, variables, wrappers, containers."""

from __future__ import annotations

import re

from glmcalc.commands.arrays import quoted_launch, split_variables, take_arrays
from glmcalc.commands.containers import ASSIGNMENT, container_environment, image_of, launch_in, with_entrypoint
from glmcalc.commands.lexing import Line, join_continuations, split_line
from glmcalc.commands.parsed import Launch
from glmcalc.commands.variables import LITERAL_DOLLAR, LITERAL_PERCENT, expand
from glmcalc.facts.errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Mapping, Sequence


_SHELLS = ("bash", "sh", "zsh", "dash")
_VLLM_MODULE = re.compile(r"vllm\.entrypoints(\.\w+)*\.api_server$|vllm\.entrypoints\.cli\.main$")
_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_LAUNCHES = re.compile(r"(?:vllm serve|api_server|launch_server|llama-server)[ \t]")
_UNIT_VARIABLES = re.compile(r"(?m)^[ \t]*Environment[ \t]*=[ \t]*(?=[\"']?[A-Za-z_]\w*=)")
_UNIT_LINE = re.compile(
    r"(?m)^[ \t]*(?:ExecStart|command)[ \t]*=[ \t]*[-@:+!]{0,3}"
    r"(?=\S*(?:vllm|python3?|sglang|llama-server|docker|podman|nerdctl|env|bash|sh)[ \t])"
)
_SET_IN_PLACE = re.compile(r"\$\{([A-Za-z_]\w*):?=([^}]*)\}")
_MOST_LINES, _MOST_LAUNCHES = 400, 20


def find_launches(text: str, variables: dict[str, str] | None = None, depth: int = 0) -> list[Launch]:
    """All launch commands of a script or paste, in order; variables that the text sets are put in.

    Raises:
        InputError: a quote that never closes in a line that launches something.
    """
    known: dict[str, str] = variables if variables is not None else {}
    logical, cut, ended = join_continuations(take_arrays(_undressed(text), known))
    found: list[Launch] = []
    index = 0
    while index < len(logical) and len(found) < _MOST_LAUNCHES:
        commands, used = _closed_line(logical, index)
        for command in commands:
            launch = _read_line(command, known, depth)
            if launch is not None:
                launch.warnings += [_ended(ended[line]) for line in range(index, index + used) if line in ended]
                found.append(launch)
        index += used
    if found and cut:
        found[-1].cut = True
    return found


def _ended(words: Sequence[str]) -> str:
    named = ", ".join(dict.fromkeys(words))
    return (
        f"A shell ends the command at the blank or comment line inside it; what follows is read all the same: {named}. "
        "Take that line out."
    )


def _undressed(text: str) -> str:
    """Without Markdown fences, quote marks of mails, diff marks and the backticks round a single command."""
    lines = [line for line in text.split("\n") if not re.match(r"\s*(```|~~~)", line)]
    filled = [line for line in lines if line.strip()]
    plus = sum(line.startswith("+") for line in filled)
    minus = sum(re.match(r"-\s", line) is not None and not re.match(r"-\s+-{0,2}[\w\"'-]", line) for line in filled)
    removed = [line for line in filled if re.match(r"-\s{2,}\S", line)]
    if plus and removed and "vllm" in text and any("serve" in line or "--" in line for line in removed):
        raise InputError(
            "command",
            text.strip()[:60],
            "one version of a command",
            "The paste is a diff with a removed and an added version; paste one of them.",
        )
    if filled and plus >= max(len(filled) // 2, 1) and not minus:
        lines = [line[1:] if line.startswith("+") else line for line in lines]
    if filled and all(re.match(r"\s*>", line) for line in filled):
        lines = [re.sub(r"^\s*>\s?", "", line) for line in lines]
    body = "\n".join(lines)
    stripped = body.strip()
    if stripped.startswith("`") and stripped.endswith("`") and stripped.count("`") == 2:
        body = stripped[1:-1]
    body = _INLINE.sub(lambda code: f"\n{code[1]}\n" if _LAUNCHES.search(code[1]) else code[0], body)
    body = _UNIT_LINE.sub("", _UNIT_VARIABLES.sub("", body))
    return re.sub(r"(?m)^[ \t]*(?:\$|>|❯|➜)[ \t]+", "", body)


def _closed_line(logical: Sequence[str], index: int) -> tuple[list[Line], int]:
    """Simple commands from line ``index`` on, taking in more lines while a quote is open; how many lines that took."""
    text = _prompted(logical[index])
    first = split_line(text)
    if not first or first[-1].unclosed is None:
        return first, 1
    quote = first[-1].unclosed[0]
    for more in range(1, min(_MOST_LINES, len(logical) - index)):
        text += "\n" + logical[index + more]
        if quote not in logical[index + more]:
            continue
        commands = split_line(text)
        if commands[-1].unclosed is None:
            return commands, more + 1
    return first, 1


def _prompted(line: str) -> str:
    """A ``# `` before a launch command is root's prompt, not a comment."""
    return re.sub(r"^\s*#+\s*(?=(?:\S*/)?(?:vllm|python3?|sglang|llama-server|docker|sudo)\s)", "", line)


def _read_line(line: Line, variables: dict[str, str], depth: int) -> Launch | None:
    words = list(line.words)
    environment = _assignments(words, variables)
    for setting in _SET_IN_PLACE.finditer(" ".join(words)):
        variables.setdefault(setting[1], expand(setting[2], variables)[0])
    if not words:
        return None
    if words[0] in ("export", "set", "setx", "local", "declare", "readonly"):
        for word in words[1:]:
            match = ASSIGNMENT.fullmatch(word)
            if match:
                variables[match[1]] = expand(match[2], variables)[0]
        return None
    words = with_entrypoint(words)
    launch = _inside_shell(words, variables, depth) or _find(words, variables)
    if launch is None:
        return None
    if line.unclosed is not None:
        if _looks_cut(line):
            launch.cut = True
        else:
            raise InputError(
                "command", line.unclosed, "text with closed quotes", f"A quote never closes: {line.unclosed}."
            )
    launch.variables = {**variables, **launch.variables}
    launch.image = launch.image or image_of([expand(word, launch.variables)[0] for word in words])
    launch.words = split_variables(launch.words, launch.variables)
    launch.environment = {
        **{name: value for name, value in variables.items() if name.isupper()},
        **environment,
        **launch.environment,
    }
    return launch


def _looks_cut(line: Line) -> bool:
    return bool(line.words) and line.words[-1].endswith(("…", "..."))


def _assignments(words: list[str], variables: dict[str, str]) -> dict[str, str]:
    """Take ``NAME=value`` words off the front; alone on a line they set variables, before a command its environment."""
    taken: dict[str, str] = {}
    at = 1 if words and words[0] == "env" else 0
    for word in words[at:]:
        match = ASSIGNMENT.fullmatch(word)
        if match is None or match[2].startswith("("):
            break
        taken[match[1]] = expand(match[2], variables)[0]
        at += 1
    del words[:at]
    if taken and not words:
        variables.update(taken)
        return {}
    return taken


def _inside_shell(words: Sequence[str], variables: dict[str, str], depth: int) -> Launch | None:
    """The command inside ``bash -lc '…'``."""
    for at, word in enumerate(words):
        if word.rsplit("/", 1)[-1] not in _SHELLS or depth > 3:
            continue
        for script in words[at + 1 :]:
            if not script.startswith("-") and re.search(r"\s", script):
                inner = dict(variables)
                inner.update(container_environment(words[:at], variables))
                found = find_launches(_literal(script), inner, depth + 1)
                return found[0] if found else None
        break  # no script after this shell, so none after a later one
    remote = quoted_launch(list(words)) if depth < 3 else None
    found = find_launches(_literal(remote), dict(variables), depth + 1) if remote else []
    return found[0] if found else None


def _literal(word: str) -> str:
    return word.replace(LITERAL_DOLLAR, "$").replace(LITERAL_PERCENT, "%")


def _find(words: Sequence[str], variables: Mapping[str, str]) -> Launch | None:
    for at, word in enumerate(words):
        after = words[at + 1] if at + 1 < len(words) else ""
        if re.search(r"(?:^|[^A-Za-z0-9_.-])vllm$", word) and after == "serve":
            return _launch("vllm", words, at + 2, variables)
        if word == "-m" and _VLLM_MODULE.fullmatch(after):
            return _launch("vllm", words, at + 2, variables)
        if re.search(r"(?:^|/)vllm/entrypoints/openai/api_server\.py$", word):
            return _launch("vllm", words, at + 1, variables)
        if (word == "-m" and after == "sglang.launch_server") or (
            word.rsplit("/", 1)[-1] == "sglang" and after == "serve"
        ):
            return _launch("sglang", words, at + 2, variables)
        if word == "-m" and after == "sgl_jax.launch_server":
            raise InputError(
                "command",
                after,
                "vLLM, SGLang or llama-server",
                "sgl_jax is another engine (for TPU), though its flags look like SGLang's.",
            )
        if re.search(r"(?:^|[/\\])llama-server(?:\.exe)?$", word):
            return _launch("llama.cpp", words, at + 1, variables)
    return launch_in(words, variables)


def _launch(engine: str, words: Sequence[str], start: int, variables: Mapping[str, str]) -> Launch:
    return Launch(engine, list(words[start:]), container_environment(words[:start], variables))
