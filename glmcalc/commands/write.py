"""Writing a ``vllm serve`` command so that any shell, and the reader here, take it the same way."""

from __future__ import annotations

import json
import shlex
from typing import Any, Mapping


def format_serve(model: str, settings: Mapping[str, Any], json_settings: Mapping[str, Any]) -> str:
    """``vllm serve MODEL --flag value …`` on one line.

    Args:
        model: as the engine is to be given it.
        settings: values under vLLM's names, in the order wanted; True is a bare switch, False its ``--no-`` form.
        json_settings: values written as compact JSON.
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
    return shlex.join(words)
