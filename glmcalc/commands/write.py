"""Writing a ``vllm serve`` command so that any shell, and the reader here, take it the same way."""

from __future__ import annotations

import json
import re
import shlex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping, Sequence


_VARIABLE = r"\$\w+|\$\{\w+\}"


def format_serve(
    model: str, settings: Mapping[str, Any], json_settings: Mapping[str, Any], kept: Sequence[str] = ()
) -> str:
    """``vllm serve MODEL --flag value …`` on one line.

    Args:
        model: as the engine is to be given it.
        settings: values under vLLM's names, in the order wanted; True is a bare switch, False its ``--no-`` form.
        json_settings: values written as compact JSON.
        kept: words that follow as they are; a plain variable stays unquoted.
    """
    words = ["vllm", "serve", model]
    for name, value in settings.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            words.append(flag)
        elif value is False:
            words.append("--no-" + flag[2:])
        elif value is not None:
            words += [flag, f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)]
    for name, value in json_settings.items():
        words += ["--" + name.replace("_", "-"), json.dumps(value, separators=(",", ":"))]
    tail = [word if re.fullmatch(_VARIABLE, word) else shlex.quote(word) for word in kept]
    return " ".join([shlex.join(words), *tail])
