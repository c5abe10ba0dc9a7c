"""The flags that a server printed when it started, under vLLM's names."""

from __future__ import annotations

import ast
import json
import re

from glmcalc.logs.secrets import mask

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping

_DEFAULTS = re.compile(r"default args: (\{.*)")
_ENGINE = re.compile(r"LLM engine \(v[^)]*\) with config: (.*)")
_SGLANG = re.compile(r"server_args=ServerArgs\((.*)")
_PAIR = re.compile(
    r"[,(\s]?'?(\w+)'?\s*[=:]\s*('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|-?[\d.]+(?:e-?\d+)?|True|False|None)(?=[,)}\s]|$)"
)

# Names that differ from the flags', or that the engine's own line writes otherwise.
_RENAMED = {
    "model_tag": "model", "max_seq_len": "max_model_len", "quantization_config": None, "kv_cache_memory": "kv_cache_memory_bytes",
    "mem_fraction_static": "mem_fraction_static", "model_path": "model", "tp_size": "tensor_parallel_size",
    "pp_size": "pipeline_parallel_size", "dp_size": "data_parallel_size", "context_length": "context_length",
    "dcp_size": "decode_context_parallel_size",
}  # fmt: skip
_OF_ENGINE_LINE = (
    "model", "max_model_len", "tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size",
    "decode_context_parallel_size", "quantization", "enforce_eager", "kv_cache_dtype",
)  # fmt: skip


def resolved_arguments(text: str) -> dict[str, Any] | None:
    """Settings as the engine resolved them, out of its ``with config:`` line; None when the line is another."""
    found = _ENGINE.search(text)
    if found is None:
        return None
    pairs = _renamed(_pairs(found[1]))
    return {name: value for name, value in pairs.items() if name in _OF_ENGINE_LINE and value is not None}


def stated_arguments(text: str) -> dict[str, Any] | None:
    """Arguments that were given, out of one line, names as vLLM's flags with underscores; None when the line holds none.

    Two forms: vLLM's ``non-default args: {...}`` and SGLang's ``server_args=ServerArgs(...)``. A line that is cut gives
    what stands before the cut. Secrets are masked.
    """
    if found := _DEFAULTS.search(text):
        return _renamed(_literal(found[1]))
    if found := _SGLANG.search(text):
        return {name: value for name, value in _renamed(_pairs(found[1])).items() if value is not None}
    return None


def _literal(text: str) -> dict[str, Any]:
    try:
        value = ast.literal_eval(text[: text.rindex("}") + 1])
        if isinstance(value, dict):
            return {str(name): _unmasked(part) for name, part in value.items()}
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        pass
    pairs = _pairs(text)
    depth = re.search(r"num_speculative_tokens['\"]?\s*[:=]\s*(\d+)", text)
    method = re.search(r"'method['\"]?\s*[:=]\s*'(\w+)'", text)
    if depth or method:
        pairs["speculative_config"] = {
            **({"method": method[1]} if method else {}),
            **({"num_speculative_tokens": int(depth[1])} if depth else {}),
        }
        for name in ("method", "num_speculative_tokens"):
            pairs.pop(name, None)
    return pairs


def _unmasked(value: Any) -> Any:
    return mask(value)[0] if isinstance(value, str) else value


def _pairs(text: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, raw in _PAIR.findall(text):
        try:
            found.setdefault(name, _unmasked(ast.literal_eval(raw)))
        except (ValueError, SyntaxError):
            continue
    return found


def _renamed(pairs: Mapping[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in pairs.items():
        target = _RENAMED.get(name, name)
        if target is not None:
            out.setdefault(target, value)
    return out


# Arguments of one server that say nothing of its flags.
_NOT_FLAGS = ("model", "model_tag", "served_model_name_or_path", "config")


def as_flags(arguments: Mapping[str, Any]) -> list[str]:
    """Arguments as the words of a ``vllm serve`` command, without the model; secrets stay masked."""
    words: list[str] = []
    for name, value in arguments.items():
        if name in _NOT_FLAGS or value is None:
            continue
        flag = "--" + name.replace("_", "-")
        secret = "key" in name or name == "token" or name.endswith("_token")
        if value is True:
            words.append(flag)
        elif value is False:
            words.append("--no-" + flag[2:])
        elif isinstance(value, dict):
            words += [flag, json.dumps(value, separators=(",", ":"), default=str)]
        elif isinstance(value, (list, tuple)):
            words += [flag, *("[masked]" if secret else str(part) for part in value)]
        else:
            words += [flag, "[masked]" if secret else f"{value}"]
    return words
