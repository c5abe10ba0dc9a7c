"""Which CUDA graphs a command has captured, in whichever of vLLM's spellings it says so."""

from __future__ import annotations

import json
import re
from itertools import pairwise

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence

_CONFIG, _SIZES, _LEVEL = "--compilation-config", "--cudagraph-capture-sizes", "--optimization-level"
GRAPH_FLAGS = (_CONFIG, _SIZES, _LEVEL)
_LARGEST, _LIST = "max_cudagraph_capture_size", "cudagraph_capture_sizes"
_OPEN = (_CONFIG, *(f"{_CONFIG}.{key}" for key in (_LARGEST, _LIST, "cudagraph_mode")))


def capture_sizes(largest: int) -> list[int]:
    """The batch sizes that vLLM captures up to ``largest`` (``vllm/config/vllm.py:_set_cudagraph_sizes``, 0.33.0).

    >>> capture_sizes(16)
    [1, 2, 4, 8, 16]
    """
    sizes = (1, 2, 4, *range(8, min(largest + 1, 256), 8), *range(256, largest + 1, 16))
    return [size for size in sizes if size <= largest]


def take_graphs(kept: Sequence[str]) -> tuple[int | None, list[str], list[str], list[str]]:
    """What the words of other flags say about graphs, as ``max_cudagraph_capture_size``.

    ``cudagraph_mode`` NONE and ``-O0`` capture none: 0, which the engine sets then. A list of sizes is the engine's own up to
    its largest, or leaves the number of graphs open.

    Args:
        kept: flags that no setting holds, and their values.

    Returns:
        The setting or None, the words without it, the flags that it holds as a whole, and those that leave the number open.
    """
    rest, config, sizes = _pulled(kept)
    mode, stated = config.get("cudagraph_mode"), bool(config)
    if _are_counts(config.get(_LIST)):
        sizes = config.pop(_LIST)
    if _is_none(mode) or (mode is None and _level(rest) == "0"):
        largest: int | None = 0
    elif sizes:
        largest = max(sizes) if sorted(set(sizes)) == capture_sizes(max(sizes)) else None
    else:
        largest = config.get(_LARGEST) if _is_count(config.get(_LARGEST)) else None
    unread = [_CONFIG for word in rest if word in _OPEN][:1]
    if largest is None:
        return None, list(kept), [], [_SIZES if _SIZES in kept else _CONFIG] if sizes else unread
    for name in (_LARGEST, *(("cudagraph_mode",) if _is_none(mode) else ())):
        config.pop(name, None)
    taken = [flag for flag, whole in ((_SIZES, _SIZES in kept), (_CONFIG, stated and not config)) if whole]
    return largest, [*rest, *_words(config)], taken, unread


def with_largest(kept: Sequence[str], largest: int | None) -> list[str]:
    """``kept`` beside ``largest`` as the setting: what contradicts it left out, and 0 said as ``cudagraph_mode`` NONE.

    vLLM takes no 0 for the flag itself (``_set_cudagraph_sizes`` asserts at least 1 where graphs are captured).
    """
    if largest is None:
        return list(kept)
    rest, config, _ = _pulled(kept)
    for name in (_LARGEST, _LIST, *(("cudagraph_mode",) if largest == 0 else ())):
        config.pop(name, None)
    if largest == 0:
        config["cudagraph_mode"] = "NONE"
    return [*rest, *_words(config)]


def _words(config: dict[str, Any]) -> list[str]:
    return [_CONFIG, json.dumps(config, separators=(",", ":"))] if config else []


def _pulled(kept: Sequence[str]) -> tuple[list[str], dict[str, Any], list[int]]:
    """``kept`` without compilation settings and capture sizes; these two. What cannot be read stays."""
    rest: list[str] = []
    config: dict[str, Any] = {}
    sizes: list[int] = []
    at = 0
    while at < len(kept):
        word, after = kept[at], kept[at + 1] if at + 1 < len(kept) else ""
        name, _, path = word.partition(".")
        if name == _CONFIG and _into(config, path, after):
            at += 2
        elif word == _SIZES and after.isdecimal():
            end = at + 1
            while end < len(kept) and kept[end].isdecimal():
                end += 1
            sizes = [int(size) for size in kept[at + 1 : end]]
            at = end
        else:
            rest.append(word)
            at += 1
    return rest, config, sizes


def _into(config: dict[str, Any], path: str, text: str) -> bool:
    """Put a JSON object, or the value of one key, into ``config``; whether it could be read."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = text if path and text and "$" not in text else None
    if not path:
        config.update(value if isinstance(value, dict) else {})
        return isinstance(value, dict)
    if value is None or not re.fullmatch(r"\w+", path := path.replace("-", "_")):
        return False  # a key inside a key, or one more item of a list: nothing of graphs
    config[path] = value
    return True


def _is_none(mode: object) -> bool:
    return isinstance(mode, (str, int)) and not isinstance(mode, bool) and str(mode).upper() in ("NONE", "0")


def _level(words: Sequence[str]) -> str | None:
    found = None
    for flag, value in pairwise(words):
        if flag == _LEVEL:
            found = value.removeprefix("O")
    return found


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _are_counts(values: object) -> bool:
    return isinstance(values, list) and bool(values) and all(_is_count(value) and value > 0 for value in values)
