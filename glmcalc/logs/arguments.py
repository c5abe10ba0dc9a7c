"""The flags that a server printed when it started, under vLLM's names."""

from __future__ import annotations

import ast
import json
import re

from glmcalc.facts.secrets import MASK, mask_value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping

_DEFAULTS = re.compile(r"default args: \{(.*)", re.DOTALL)
_NAMESPACE = re.compile(r"args: Namespace\((.*)", re.DOTALL)
_ENGINE = re.compile(r"LLM engine \(v[^)]{1,100}\) with config: (.*)", re.DOTALL)
_SGLANG = re.compile(r"server_args=ServerArgs\((.*)", re.DOTALL)
# What separates the parts of a printed call or mapping; a quote alone is one that was cut.
_TOKENS = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[\[({]|[\])}]|,|['\"]")
_PART = re.compile(r"\s*['\"]?(\w{1,80})['\"]?\s*[:=]\s*(.*\S)", re.DOTALL)
_BARE = re.compile(r"[A-Za-z_][\w./:-]{0,200}")
_CALL = re.compile(r"SpeculativeConfig\((.*)", re.DOTALL)

# Names that differ from the flags', or that the engine's own line writes otherwise.
_RENAMED = {
    "model_tag": "model", "max_seq_len": "max_model_len", "quantization_config": None, "kv_cache_memory": "kv_cache_memory_bytes",
    "model_path": "model", "tp_size": "tensor_parallel_size", "pp_size": "pipeline_parallel_size", "dp_size": "data_parallel_size",
    "dcp_size": "decode_context_parallel_size", "num_spec_tokens": "num_speculative_tokens",
}  # fmt: skip
_OF_ENGINE_LINE = (
    "model", "max_model_len", "tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size",
    "decode_context_parallel_size", "quantization", "enforce_eager", "kv_cache_dtype",
)  # fmt: skip
_OF_NAMESPACE = (
    *_OF_ENGINE_LINE, "max_num_seqs", "max_num_batched_tokens", "gpu_memory_utilization", "block_size", "enable_expert_parallel",
    "num_gpu_blocks_override",
)  # fmt: skip
_SPECULATION = {"method": "speculative_method", "num_speculative_tokens": "num_speculative_tokens"}
# llama.cpp prints each setting in a line of its own; names as its flags.
_LLAMA = (
    (re.compile(r"\bn_ctx\s+= (\d+)"), "ctx_size"),
    (re.compile(r"\bn_batch\s+= (\d+)"), "batch_size"),
    (re.compile(r"\bn_ubatch\s+= (\d+)"), "ubatch_size"),
    (re.compile(r"\bn_seq_max\s+= (\d+)"), "parallel"),
    (re.compile(r"offloaded (\d+)/\d+ layers to GPU"), "n_gpu_layers"),
    (re.compile(r"key-value pairs and \d+ tensors from (\S{1,400})"), "model"),
    (re.compile(r"\bK \((\w+)\): "), "cache_type_k"),
    (re.compile(r"\bV \((\w+)\): "), "cache_type_v"),
)
_ECHO = re.compile(r"sglang\.launch_server|\bllama-server\b|[\"']vllm[\"'], ?[\"']serve[\"']")
_NO_ECHO = re.compile(r"(?i)\busage:|\berror:|\bFile \"|warning")


def resolved_arguments(text: str) -> dict[str, Any] | None:
    """Settings as vLLM resolved them, under its own names; None when the line holds none.

    Out of the ``with config:`` line, and the ``args: Namespace(...)`` of older releases, in which defaults stand too. A
    line that is cut gives what stands before the cut.
    """
    if found := _ENGINE.search(text):
        names: tuple[str, ...] = _OF_ENGINE_LINE
    elif found := _NAMESPACE.search(text):
        names = _OF_NAMESPACE
    else:
        return None
    pairs = _renamed(_pairs(found[1]))
    kept = {name: value for name, value in pairs.items() if name in names and value is not None}
    speculation = pairs.get("speculative_config")
    if isinstance(speculation, dict):
        kept.update({ours: speculation[name] for name, ours in _SPECULATION.items() if speculation.get(name)})
    return kept


def llama_arguments(text: str) -> dict[str, Any] | None:
    """Settings out of llama.cpp's lines of one setting each, names as its flags; None when the line holds none."""
    return {name: _number(m[1]) for pattern, name in _LLAMA if (m := pattern.search(text))} or None


def stated_arguments(text: str) -> dict[str, Any] | None:
    """Arguments that were given, out of one line, names as vLLM's flags with underscores; None when the line holds none.

    Out of vLLM's ``non-default args: {...}`` and SGLang's ``server_args=ServerArgs(...)``. A line that is cut gives what
    stands before the cut: a value at the cut itself is left out, since its end is not known. Secrets are masked.
    """
    if found := _DEFAULTS.search(text):
        return _renamed(_pairs(found[1]))
    if found := _SGLANG.search(text):
        return {name: value for name, value in _renamed(_pairs(found[1])).items() if value is not None}
    return None


def echoed_arguments(text: str) -> dict[str, Any] | None:
    """Arguments out of a launch command that a shell or a container printed before it ran it; None where there is none.

    For SGLang, llama-server and the words of a container's CMD. A plain ``vllm serve`` line is read where the command is
    mended, with the flags that are no settings.
    """
    if not _ECHO.search(text) or _NO_ECHO.search(text) or len(text) > 20_000:
        return None
    from glmcalc.commands import read_command
    from glmcalc.facts.errors import InputError

    try:
        parsed = read_command(_as_shell(text))
    except InputError:
        return None
    if not parsed.settings.get("model"):
        return None
    flat = {name: value for name, value in parsed.settings.items() if name not in _SPECULATION.values()}
    return _renamed({**flat, **parsed.json_settings})


def _as_shell(text: str) -> str:
    """A list of words, as Python or a container prints it, as a shell would take it; other text as it is."""
    begin, end = text.find("["), text.rfind("]")
    if 0 <= begin < end:
        try:
            words = ast.literal_eval(text[begin : end + 1])
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return text
        if isinstance(words, list) and all(isinstance(word, str) for word in words):
            import shlex

            return shlex.join(words)
    return text


def _number(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def _pairs(text: str) -> dict[str, Any]:
    """Names and values of a printed call or mapping, from after its opening bracket, as far as it goes."""
    pairs: dict[str, Any] = {}
    start = depth = 0
    for token in _TOKENS.finditer(text):
        kind = token[0]
        if kind in "[({":
            depth += 1
        elif kind in "])}" or (kind == "," and depth == 0):
            if depth == 0:
                _add(pairs, text[start : token.start()])
                start = token.end()
            depth -= kind != ","
            if depth < 0:
                return pairs
        elif kind in "'\"":
            break
    cut = _PART.match(text, start)
    if cut is not None and cut[1] == "speculative_config" and depth:
        inner = _pairs(cut[2].removeprefix("SpeculativeConfig")[1:])
        if inner:
            pairs[cut[1]] = _speculation(inner)
    return pairs


def _add(pairs: dict[str, Any], part: str) -> None:
    found = _PART.fullmatch(part.rstrip())
    if found is None or found[1] in pairs:
        return
    name, text = found[1], found[2]
    call = _CALL.fullmatch(text)
    if call is not None:
        pairs[name] = _speculation(_pairs(call[1]))
        return
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        if not _BARE.fullmatch(text):
            return
        value = text
    pairs[name] = _masked(name, value)


def _speculation(pairs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in _renamed(pairs).items() if name in _SPECULATION}


def _masked(name: str, value: Any) -> Any:
    if isinstance(value, str):
        return mask_value(name, value)
    if isinstance(value, dict):
        return {str(inner): _masked(str(inner), part) for inner, part in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_masked(name, part) for part in value]
    return value


def _renamed(pairs: Mapping[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in pairs.items():
        target = _RENAMED.get(name, name)
        if target is not None and (value is not None or target == name):
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
            words += [flag, *(MASK if secret else str(part) for part in value)]
        else:
            words += [flag, MASK if secret else f"{value}"]
    return words
