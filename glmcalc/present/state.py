"""The page's state: parameter names and texts, as links, notebooks and controls hold them, and as a deployment needs them."""

from __future__ import annotations

import json
import re
import shlex
from functools import lru_cache
from typing import Any, Mapping
from urllib.parse import parse_qsl, quote

from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import names_of
from glmcalc.facts.quantity import GIB
from glmcalc.facts.store import nearest
from glmcalc.model.calibration import Calibration, load_calibration, read_calibration
from glmcalc.model.deployment import COMMAND_FLAGS, DEFAULT_MODEL, OTHERS_OWN, Deployment
from glmcalc.model.resolved import check_calibration

DEFAULTS = {"model": DEFAULT_MODEL, "gpu": "h200_sxm", "gpus": "8"}
"""What stands in for a parameter that a link leaves out; every other one is the engine's default."""

OPENING = {
    **DEFAULTS, "tensor_parallel_size": "8", "kv_cache_dtype": "fp8", "max_model_len": "131072", "max_num_seqs": "256",
    "max_num_batched_tokens": "8192", "gpu_memory_utilization": "0.90",
    "speculative_config": '{"method":"mtp","num_speculative_tokens":3}',
}  # fmt: skip
"""The example that the page opens with when nothing is asked."""

PRESETS = {
    "conservative": {"max_model_len": "32000", "max_num_seqs": "16", "gpu_memory_utilization": "0.85"},
    "balanced": {"max_model_len": "65536", "max_num_seqs": "8", "gpu_memory_utilization": "0.88"},
    "1m": {"max_model_len": "1048576", "max_num_seqs": "1", "gpu_memory_utilization": "0.92"},
}

_SWITCHES = ("enable_expert_parallel", "enforce_eager")
_OWN_TEXT = ("model", "gpu", "engine", "engine_version", "speculative_method")
_OWN_WHOLE = ("gpus", "available_kv_bytes", "weights_bytes", "num_speculative_tokens")
_CARRIED = ("kept", "heavy")  # flags of a pasted command that no control holds
_IN_GIB = {"available_kv_gib": "available_kv_bytes", "weights_gib": "weights_bytes"}
_FLAGS = (*(name for name in COMMAND_FLAGS if name not in _SWITCHES), "speculative_config")
_NOT_OURS = ("theme", "token", "command", "customer", "concurrency", "input_length", "output_length", "min_tok_s_user")
NAMES = frozenset((*_FLAGS, *_SWITCHES, *_OWN_TEXT, *_OWN_WHOLE, *_IN_GIB, *names_of(Deployment)))
_ORDER = tuple(OPENING) + tuple(sorted(NAMES - set(OPENING)))
_LARGEST_GIB = 1 << 20
_WORDS = ("kv_cache_dtype", "quantization", "speculative_config")
_WHOLE, _SHARE = re.compile(r"[0-9]{1,15}"), re.compile(r"[0-9]?\.[0-9]{1,9}|[0-9]")


def from_query(query: str) -> dict[str, str]:
    """Parameters of an address, later ones winning; names that belong to the server or to other pages are left out."""
    pairs = parse_qsl(query.lstrip("?"), keep_blank_values=False)
    return {name: text for name, text in pairs if name not in _NOT_OURS and not name.startswith("voila-")}


def pasted_in(query: str) -> str | None:
    """The command that an address carries in ``command``, or None."""
    return dict(parse_qsl(query.lstrip("?"))).get("command")


def from_parameters(parameters: Mapping[str, Any]) -> dict[str, str]:
    """A notebook's parameters as texts; None and what is not a deployment's are left out. A calibration is its file's path.

    Raises:
        InputError: a calibration that cannot be read.
    """
    if parameters.get("calibration"):
        parameters = {**parameters, "calibration": load_calibration(str(parameters["calibration"]))}
    return {
        name: as_text(value)
        for name, value in parameters.items()
        if value is not None and name not in _NOT_OURS and value != ""
    }


def as_text(value: Any) -> str:
    """A value as it stands in a link.

    >>> as_text(True), as_text(0.9), as_text({"method": "mtp"})
    ('true', '0.9', '{"method":"mtp"}')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Calibration):
        return json.dumps(json.loads(value.to_text()), separators=(",", ":"))
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, separators=(",", ":"))
    return str(value).strip()


def link(state: Mapping[str, str]) -> str:
    """The query that brings ``state`` back: all that is not the engine's default."""
    ordered = sorted(state, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))
    return "?" + "&".join(
        f"{name}={quote(state[name], safe=':,/')}" for name in ordered if state[name] and not _stands_in(state, name)
    )


def _stands_in(state: Mapping[str, str], name: str) -> bool:
    return name == "model" and state[name] == DEFAULTS["model"] and len(state) > 1


def deployment(state: Mapping[str, str]) -> Deployment:
    """The deployment that ``state`` says.

    Raises:
        InputError: an unknown name, or a value that is refused; the same messages as the command's.
    """
    settings: dict[str, Any] = {}
    flags: list[str] = []
    for name, text in state.items():
        text = text.strip()
        if not text:
            continue
        if name not in NAMES:
            close = nearest(name, NAMES)
            raise InputError(name, text, "a known setting" + (f" (did you mean {close}?)" if close else ""))
        if name in _IN_GIB:
            settings[_IN_GIB[name]] = int(_number(name, text, _LARGEST_GIB) * GIB)
        elif name in _OWN_WHOLE:
            settings[name] = _whole(name, text)
        elif name in _SWITCHES or name == "estimate_cudagraphs":
            settings[name] = _switch(name, text)
        elif name in _OWN_TEXT:
            settings[name] = text
        elif name == "calibration":
            settings[name] = read_calibration(text)
        elif name in _CARRIED:
            settings[name] = _words(name, text)
        elif name == "gpu_memory_utilization" and _SHARE.fullmatch(text):
            settings[name] = float(text)
        elif name in OTHERS_OWN:
            settings[name] = _of_another_engine(text)
        elif _WHOLE.fullmatch(text) and name not in _WORDS:
            settings[name] = int(text)
        else:
            flags.append(f"--{name.replace('_', '-')}={text}")
    if flags:
        settings.update(dict(_read_flags(tuple(flags))))
    made = Deployment.from_settings(settings)
    check_calibration(made)
    return made


def from_settings(settings: Mapping[str, Any]) -> dict[str, str]:
    """State from the settings of a pasted command."""
    stated = {name: value for name, value in settings.items() if value not in (None, (), "") and name in NAMES}
    state = {name: as_text(value) for name, value in stated.items()}
    method, depth = state.pop("speculative_method", None), state.pop("num_speculative_tokens", None)
    rest = json.loads(state.pop("speculative_extra", "{}"))
    if method or depth or rest:
        config: dict[str, Any] = {**({"method": method} if method else {}), **rest}
        if depth:
            config["num_speculative_tokens"] = int(depth)
        state["speculative_config"] = as_text(config)
    for name in _SWITCHES:
        if state.get(name) == "false":
            del state[name]
    return state


@lru_cache(maxsize=64)
def _read_flags(flags: tuple[str, ...]) -> dict[str, Any]:
    """Flags through the reader of pasted commands, so that ``128K`` and ``fp8`` mean here what they mean there."""
    from glmcalc.commands import read_command
    from glmcalc.model.pasted import settings_of

    read = settings_of(read_command(shlex.join(["vllm", "serve", "model", *flags])))
    for name in ("model", *_CARRIED):
        read.pop(name, None)
    for flag in flags:
        name = flag[2:].split("=", 1)[0].replace("-", "_")
        if name not in read and name != "speculative_config":
            raise InputError(name, flag.split("=", 1)[1], "a value that vllm serve takes")
    return read


def _of_another_engine(text: str) -> Any:
    """A setting of SGLang or llama.cpp, whose types are checked where the deployment is made."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if _WHOLE.fullmatch(text):
        return int(text)
    return float(text) if _SHARE.fullmatch(text) else text


def _switch(name: str, text: str) -> bool:
    known = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    if text.lower() not in known:
        raise InputError(name, text, "true or false")
    return known[text.lower()]


def _words(name: str, text: str) -> tuple[str, ...]:
    try:
        words = json.loads(text)
    except ValueError:
        words = None
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise InputError(name, text, "a JSON list of flags as they were pasted")
    return tuple(words)


def _whole(name: str, text: str) -> int:
    try:
        return int(text.replace(",", ""))
    except ValueError:
        raise InputError(name, text, "a whole number") from None


def _number(name: str, text: str, most: float) -> float:
    try:
        value = float(text.replace(",", ""))
    except ValueError:
        raise InputError(name, text, "a number") from None
    if not 0 <= value <= most:
        raise InputError(name, text, f"0 to {most:,} GiB")
    return value
