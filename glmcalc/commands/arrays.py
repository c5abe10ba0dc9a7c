"""Shell variables that hold several words: arrays, and strings of flags."""

from __future__ import annotations

import re

from glmcalc.commands.lexing import split_line

_ARRAY = re.compile(
    r"(?m)^[ \t]*(?:(?:declare|local|export|readonly)[ \t]+(?:-\w+[ \t]+)?)?(\w+)(\+?)=\(([^()]*)\)[ \t]*(?:#.*)?$"
)
_WHOLE = re.compile(r"\$(?:\{(\w+)(?:\[[@*]\])?\}|(\w+))")
_LAUNCHER = re.compile(r"\bvllm\s+serve\b|\bapi_server\b|\blaunch_server\b|\bsglang\s+serve\b|\bllama-server\b")


def take_arrays(text: str, variables: dict[str, str]) -> str:
    """``text`` without its ``NAME=(…)``, which go into ``variables``; one that holds a launch command itself stays."""

    def take(match: re.Match[str]) -> str:
        if _LAUNCHER.search(match[3]):
            return match[0]
        earlier = variables.get(match[1], "") + " " if match[2] else ""
        variables[match[1]] = earlier + match[3].strip()
        return ""

    return _ARRAY.sub(take, text) if "=(" in text else text


def split_variables(words: list[str], variables: dict[str, str]) -> list[str]:
    """``words``, where a variable that holds flags is replaced by them."""
    out: list[str] = []
    for word in words:
        match = _WHOLE.fullmatch(word)
        held = variables.get(match[1] or match[2], "").strip() if match else ""
        if re.match(r"--?[A-Za-z]", held) or (match and "[" in word and held):
            out += [piece for line in split_line(held) for piece in line.words]
        else:
            out.append(word)
    return out


def quoted_launch(words: list[str]) -> str | None:
    """The word that is a launch command by itself, as in ``ssh host 'vllm serve …'``."""
    for word in words:
        if re.match(
            r"\s*(?:(?:cd|source|\.|export|set|ulimit|conda|module)\s[^&;\n]*(?:&&|;)\s*){0,8}(?:[A-Z_]+=\S+\s+|exec\s+)*(?:\S*/)?(?:vllm\s+serve|python3?\s+-m\s+(?:vllm|sglang)\.|(?:ba|z)?sh\s+-\w*c\s)",
            word,
        ):
            return word
    return None
