"""The arguments of SGLang and llama-server, as far as ``parse`` reads them; neither is budgeted yet."""

from __future__ import annotations

import re

from glmcalc.commands.flags import human_int, number
from glmcalc.commands.parsed import Launch, ParsedCommand
from glmcalc.commands.variables import expand

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


_SGLANG: dict[str, tuple[str, str]] = {
    "--model-path": ("model", "str"), "--model": ("model", "str"),
    "--tp": ("tensor_parallel_size", "int"), "--tp-size": ("tensor_parallel_size", "int"),
    "--tensor-parallel-size": ("tensor_parallel_size", "int"),
    "--dp": ("data_parallel_size", "int"), "--dp-size": ("data_parallel_size", "int"),
    "--data-parallel-size": ("data_parallel_size", "int"),
    "--pp": ("pipeline_parallel_size", "int"), "--pp-size": ("pipeline_parallel_size", "int"),
    "--pipeline-parallel-size": ("pipeline_parallel_size", "int"),
    "--context-length": ("context_length", "int"), "--mem-fraction-static": ("mem_fraction_static", "float"),
    "--kv-cache-dtype": ("kv_cache_dtype", "str"), "--quantization": ("quantization", "str"),
    "--speculative-algorithm": ("speculative_method", "str"),
    "--speculative-num-draft-tokens": ("num_speculative_tokens", "int"),
}  # fmt: skip
_SGLANG_OTHERS = ("--model-loader-extra-config", "--model-impl", "--speculative-draft-model-path", "--speculative-num-steps",
                  "--speculative-eagle-topk", "--mem-fraction-static", "--dp-attention")  # fmt: skip
_LLAMA: dict[str, tuple[str, str]] = {
    "-m": ("model", "str"), "--model": ("model", "str"), "-hf": ("model", "str"), "--hf-repo": ("model", "str"), "-c": ("ctx_size", "int"), "--ctx-size": ("ctx_size", "int"),
    "-ngl": ("n_gpu_layers", "int"), "--n-gpu-layers": ("n_gpu_layers", "int"), "--gpu-layers": ("n_gpu_layers", "int"),
    "-ctk": ("cache_type_k", "str"), "--cache-type-k": ("cache_type_k", "str"),
    "-ctv": ("cache_type_v", "str"), "--cache-type-v": ("cache_type_v", "str"),
}  # fmt: skip


def read_other(launch: Launch) -> ParsedCommand:
    """Settings of an SGLang or llama-server command; flags that are not read are listed as not modelled.

    Raises:
        InputError: a number that is none.
    """
    table = _SGLANG if launch.engine == "sglang" else _LLAMA
    settings: dict[str, Any] = {}
    unresolved: list[str] = []
    others: list[str] = []
    words = launch.words
    at = 0
    while at < len(words):
        name, equals, attached = words[at].partition("=")
        known = _lookup(table, name, launch.engine)
        if known is None:
            if re.match(r"--?[A-Za-z]", name):
                others.append(name)
            at += 1
            continue
        setting, kind = known
        value = attached if equals else words[at + 1] if at + 1 < len(words) else ""
        at += 1 if equals else 2
        text, still_open = expand(value, {**launch.variables, **launch.environment})
        if still_open:
            unresolved.append(setting)
        else:
            settings[setting] = _convert(setting, text, kind)
    if launch.engine == "sglang" and words and not words[0].startswith("-") and "model" not in settings:
        settings["model"] = words[0]
    return ParsedCommand(launch.engine, settings, unresolved, [], list(dict.fromkeys(others)))


def _lookup(table: dict[str, tuple[str, str]], name: str, engine: str) -> tuple[str, str] | None:
    if engine != "sglang" or not name.startswith("--"):
        return table.get(name)
    wanted = name.replace("_", "-")
    if wanted in table:
        return table[wanted]
    matches = {known for known in (*table, *_SGLANG_OTHERS) if known.startswith(wanted)}
    targets = {table[known][0] for known in matches if known in table}
    if len(wanted) >= 8 and len(targets) == 1 and len(matches) == len([known for known in matches if known in table]):
        return table[matches.pop()]
    return None


def _convert(setting: str, text: str, kind: str) -> Any:
    if kind == "int":
        return human_int(setting, text)
    if kind == "float":
        return number(setting, text)
    return text
