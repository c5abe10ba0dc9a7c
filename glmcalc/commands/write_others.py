"""Writing ``python -m sglang.launch_server`` and ``llama-server`` commands so that the reader here takes them the same way."""

from __future__ import annotations

import re
import shlex

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Mapping, Sequence

_VARIABLE = re.compile(r"\$\w+|\$\{\w+\}")


def format_sglang(model: str, settings: Mapping[str, object], kept: Sequence[str] = ()) -> str:
    """``python -m sglang.launch_server --model-path MODEL --tp 8 …`` on one line.

    Args:
        settings: by flag without dashes, in the order wanted; True is a bare switch, None and False are left out.
        kept: words that follow as they are; a plain variable stays unquoted.
    """
    return _line(["python", "-m", "sglang.launch_server", "--model-path", model], settings, kept)


def format_llamacpp(flag: str, file: str, settings: Mapping[str, object], kept: Sequence[str] = ()) -> str:
    """``llama-server -m FILE -c 131072 …`` on one line; names of one to three letters get one dash.

    Args:
        flag: ``-m`` for a path, ``-hf`` for a repository.
        settings, kept: as for :func:`format_sglang`; a tuple is the flag once for each.
    """
    return _line(["llama-server", flag, file], settings, kept)


def _line(words: list[str], settings: Mapping[str, object], kept: Sequence[str]) -> str:
    for name, value in settings.items():
        flag = ("-" if len(name) <= 3 and name not in ("tp", "pp", "dp", "ep") else "--") + name
        if value is None or value is False:
            continue
        for one in value if isinstance(value, tuple) else (value,):
            words += [flag] if one is True else [flag, f"{one:g}" if isinstance(one, float) else str(one)]
    tail = [word if _VARIABLE.fullmatch(word) else shlex.quote(word) for word in kept]
    return " ".join([shlex.join(words), *tail])
