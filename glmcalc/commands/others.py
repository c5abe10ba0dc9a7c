"""The arguments of SGLang and llama-server: the settings that ``parse`` prints, and what a budget needs besides."""

from __future__ import annotations

import re

from glmcalc.commands.flags import human_int, number
from glmcalc.commands.parsed import Launch, ParsedCommand
from glmcalc.commands.typos import slip_of
from glmcalc.commands.variables import expand
from glmcalc.facts.errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping


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
# What a budget needs beside what ``parse`` prints: the setting, and whether the flag takes a value.
_MORE: dict[str, dict[str, tuple[str, bool]]] = {
    "sglang": {
        "--chunked-prefill-size": ("chunked_prefill_size", True), "--max-running-requests": ("max_running_requests", True),
        "--max-total-tokens": ("max_total_tokens", True), "--ep": ("expert_parallel_size", True),
        "--ep-size": ("expert_parallel_size", True), "--expert-parallel-size": ("expert_parallel_size", True),
        "--cuda-graph-max-bs": ("cuda_graph_max_bs", True), "--enable-dp-attention": ("enable_dp_attention", False),
        "--disable-cuda-graph": ("disable_cuda_graph", False), "--enable-hierarchical-cache": ("hierarchical_cache", False),
        "--enable-ep-moe": ("enable_expert_parallel", False), "--enable-deepep-moe": ("enable_expert_parallel", False),
    },
    "llama.cpp": {
        "-ub": ("ubatch_size", True), "--ubatch-size": ("ubatch_size", True), "-np": ("parallel", True),
        "--parallel": ("parallel", True), "-ncmoe": ("n_cpu_moe", True), "--n-cpu-moe": ("n_cpu_moe", True),
        "-cmoe": ("cpu_moe", False), "--cpu-moe": ("cpu_moe", False), "-ot": ("override_tensor", True),
        "--override-tensor": ("override_tensor", True), "-fa": ("flash_attention", True),
        "--flash-attn": ("flash_attention", True), "-nkvo": ("kv_on_cpu", False), "--no-kv-offload": ("kv_on_cpu", False),
        "-kvu": ("kv_unified", False), "--kv-unified": ("kv_unified", False),
    },
}  # fmt: skip
_TABLES = {"sglang": (_SGLANG, _MORE["sglang"]), "llama.cpp": (_LLAMA, _MORE["llama.cpp"])}
# Flags besides, which are near one of those above without being meant for it.
_NEIGHBOURS = {"sglang": _SGLANG_OTHERS, "llama.cpp": ("--batch-size",)}
_VISIBLE = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
_ALL = {"auto": "-1", "all": "-2"}  # of -ngl, as llama.cpp counts them


def read_other(launch: Launch) -> ParsedCommand:
    """Settings of an SGLang or llama-server command; flags that are not read are listed as not modelled, mistyped ones as unknown.

    Raises:
        InputError: a number that is none.
    """
    table = _SGLANG if launch.engine == "sglang" else _LLAMA
    settings: dict[str, Any] = {}
    unresolved: list[str] = []
    others: list[str] = []
    mistyped: dict[str, str | None] = {}
    more: dict[str, Any] = {}
    kept: list[str] = []
    words = launch.words
    at = 0
    while at < len(words):
        name, equals, attached = words[at].partition("=")
        known = _lookup(table, name, launch.engine)
        if known is None:
            if close := _mistyped(launch.engine, name):
                mistyped[name] = close
            elif re.match(r"--?[A-Za-z]", name):
                others.append(name)
                if not _take_more(launch, words, at, more):
                    kept += _with_values(launch, words, at)
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
    warnings = _visible(launch, more) if launch.engine == "llama.cpp" else []
    unknown: list[dict[str, str | None]] = [{"flag": flag, "nearest": close} for flag, close in mistyped.items()]
    return ParsedCommand(
        launch.engine,
        settings,
        unresolved,
        [],
        list(dict.fromkeys(others)),
        unknown,
        warnings,
        kept=kept,
        engine_settings=more,
    )


def visible_devices(environment: Mapping[str, str]) -> tuple[str, int] | None:
    """The variable that limits which GPUs a process sees, as it is written, and how many it names; None where none does."""
    for name in _VISIBLE:
        devices = [one.strip() for one in environment.get(name, "").split(",")]
        if all(re.fullmatch(r"\d+|(GPU|MIG)-[\w-]+", one) for one in devices):
            return f"{name}={environment[name]}", len(devices)
    return None


def _visible(launch: Launch, more: dict[str, Any]) -> list[str]:
    """llama.cpp spreads a model over all GPUs that it sees, unless told not to: so many are taken, and it is said."""
    found = visible_devices(launch.environment)
    if found is None or re.search(r"(-sm|--split-mode)[= ]none\b", " ".join(launch.words)):
        return []
    more["gpus"] = str(found[1])
    return [f"{found[0]}: llama.cpp spreads the model over the {found[1]} GPUs that it sees."] if found[1] > 1 else []


def _mistyped(engine: str, name: str) -> str | None:
    """The flag that ``name`` was meant to be. What begins one is no slip: SGLang takes it for the whole."""
    table, more = _TABLES[engine]
    listed = (f"--{flag}" for flag in (*_HARMLESS[engine], *_HEAVY[engine]))
    known = {*table, *more, *listed, *_NEIGHBOURS[engine]}
    wanted = name.replace("_", "-")
    if engine == "sglang" and any(flag.startswith(wanted) for flag in known):
        return None
    return slip_of(wanted, known)


def _take_more(launch: Launch, words: list[str], at: int, more: dict[str, Any]) -> bool:
    """Keep what the flag at ``at`` says, as text, if a budget needs it; llama.cpp's ``-fa`` may stand without a value."""
    name, equals, attached = words[at].partition("=")
    known = _MORE[launch.engine].get(name.replace("_", "-") if name.startswith("--") else name)
    if known is None:
        return False
    setting, takes_value = known
    following = words[at + 1] if at + 1 < len(words) else ""
    value = attached if equals else following if takes_value else "true"
    if setting == "flash_attention":
        value = "false" if value.lower() in ("off", "0", "false", "disabled") else "true"
    text, still_open = expand(value, {**launch.variables, **launch.environment})
    if setting == "override_tensor":
        rules = [rule for rule in text.split(",") if rule]
        more[setting] = None if still_open else (*(more.get(setting) or ()), *rules)
    else:
        more[setting] = None if still_open else text
    return True


def _with_values(launch: Launch, words: list[str], at: int) -> list[str]:
    """A flag that no setting holds with the values that follow it, so that a new command changes nothing else."""
    end = at + 1
    while end < len(words) and not re.match(r"--?[A-Za-z]", words[end]):
        end += 1
    return [expand(word, {**launch.variables, **launch.environment})[0] for word in words[at:end] if word.strip("\\ ")]


def converted(engine: str, more: dict[str, Any]) -> dict[str, Any]:
    """``engine_settings`` as settings of a deployment.

    Raises:
        InputError: a number that is none, or a setting that the text leaves to a variable.
    """
    settings: dict[str, Any] = {}
    for name, text in more.items():
        if text is None:
            raise InputError(
                name, "a variable", "a value in the text",
                f"The command leaves {name} to variables that the text does not set; give it as an option.",
            )  # fmt: skip
        if isinstance(text, tuple):
            settings[name] = text
        elif text.lower() in ("true", "false"):
            settings[name] = text.lower() == "true"
        else:
            settings[name] = human_int(name, text)
    return settings


def takes_value(name: str) -> bool | None:
    """Whether ``name``, a flag of SGLang or llama.cpp, takes a value; None where a budget reads none of that name."""
    for table, more in _TABLES.values():
        if name in more:
            return more[name][1]
        if name in table:
            return True
    return None


def owners_of(name: str) -> tuple[str, ...]:
    """The engines among SGLang and llama.cpp that have the flag ``name``."""
    return tuple(engine for engine, (table, more) in _TABLES.items() if name in table or name in more)


def read_options(engine: str, words: list[str]) -> dict[str, Any]:
    """Settings of a deployment out of flags of ``engine`` that stand as options.

    Raises:
        InputError: a value that is none.
    """
    parsed = read_other(Launch(engine, words))
    return {**parsed.settings, **converted(engine, parsed.engine_settings)}


def without_effect(engine: str, flags: list[str]) -> tuple[list[str], list[str]]:
    """Flags that no setting of ``parse`` holds, told apart: those that a budget has not, and those that move no GPU memory."""
    rest = [flag for flag in flags if flag.replace("_", "-") not in _MORE[engine]]
    harmless = [flag for flag in rest if flag.lstrip("-").replace("_", "-") in _HARMLESS[engine]]
    return [flag for flag in rest if flag not in harmless], harmless


def heavy_flags(engine: str, flags: list[str]) -> list[str]:
    """Those of ``flags`` that can move GiB and that no budget here has."""
    return [flag for flag in flags if flag.lstrip("-").replace("_", "-") in _HEAVY[engine]]


_HARMLESS = {
    "sglang": frozenset((
        "host", "port", "served-model-name", "trust-remote-code", "tool-call-parser", "reasoning-parser", "enable-metrics",
        "log-level", "log-requests", "api-key", "watchdog-timeout", "schedule-policy", "nnodes", "node-rank",
        "dist-init-addr", "chat-template", "enable-cache-report", "sleep-on-idle", "model-loader-extra-config",
        "random-seed", "tokenizer-path", "allow-auto-truncate", "enable-metric", "schedule-conservativeness",
    )),
    "llama.cpp": frozenset((
        "host", "port", "jinja", "temp", "top-p", "top-k", "min-p", "alias", "a", "t", "threads", "threads-batch", "s",
        "seed", "v", "no-warmup", "api-key", "metrics", "log-level", "chat-template", "cont-batching", "cb",
    )),
}  # fmt: skip
_HEAVY = {
    "sglang": frozenset((
        "cpu-offload-gb", "ep-num-redundant-experts", "enable-two-batch-overlap", "enable-torch-compile", "dcp-size",
        "moe-a2a-backend", "enable-symm-mem", "disaggregation-mode", "enable-lora", "lora-paths", "kt-weight-path",
        "kt-num-gpu-experts", "kt-method", "attn-cp-size", "enable-prefill-cp", "dsa-prefill-backend", "dsa-decode-backend",
        "nsa-prefill-backend", "nsa-decode-backend", "enable-hisparse",
    )),
    "llama.cpp": frozenset((
        "tensor-split", "ts", "split-mode", "sm", "model-draft", "md", "mmproj", "moe-hot-cache", "mla", "rpc", "device",
    )),
}  # fmt: skip


def _lookup(table: dict[str, tuple[str, str]], name: str, engine: str) -> tuple[str, str] | None:
    if not name.startswith("--"):
        return table.get(name)
    wanted = name.replace("_", "-")  # both engines take either
    if wanted in table or engine != "sglang":
        return table.get(wanted)
    matches = {known for known in (*table, *_SGLANG_OTHERS) if known.startswith(wanted)}
    targets = {table[known][0] for known in matches if known in table}
    if len(wanted) >= 8 and len(targets) == 1 and len(matches) == len([known for known in matches if known in table]):
        return table[matches.pop()]
    return None


def _convert(setting: str, text: str, kind: str) -> Any:
    if kind == "int":
        return human_int(setting, _ALL.get(text.strip().lower(), text) if setting == "n_gpu_layers" else text)
    if kind == "float":
        return number(setting, text)
    return text
