"""Files and standard input of the command: text of bounded length, logs of any, deployments."""

from __future__ import annotations

from glmcalc.facts.errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def read_deployment_file(path: str) -> dict[str, Any]:
    """Settings from a TOML or JSON file with vLLM's names.

    Raises:
        InputError: unreadable, too large, or not a table of settings.
    """
    text = read_input(path)
    try:
        if path.endswith(".json") or text.lstrip().startswith("{"):
            import json

            data = json.loads(text)
        else:
            try:
                import tomllib
            except ImportError:  # Python 3.10
                import tomli as tomllib  # type: ignore[no-redef]
            data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError("deployment", path, "TOML or JSON", f"deployment: {path} cannot be read: {error}.") from error
    if not isinstance(data, dict):
        raise InputError("deployment", path, "a table of settings")
    return {str(name).replace("-", "_"): value for name, value in data.items()}


def read_input(path: str, limit: int = 4_000_000) -> str:
    """Text of a file, or of standard input for ``-``.

    Raises:
        InputError: unreadable, not text, or above ``limit`` characters.
    """
    import sys

    try:
        if path == "-":
            text = sys.stdin.read(limit + 1).removeprefix("\ufeff")
        else:
            with open(path, encoding="utf-8-sig", errors="strict") as file:  # Windows editors begin with a mark
                text = file.read(limit + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise InputError("file", path, "a readable text file, or -", f"file: cannot read {path} ({reason}).") from error
    if len(text) > limit:
        raise InputError("file", path, f"at most {limit:,} characters")
    return text


def with_source(path: str, answer: Any) -> Any:
    """``answer`` of a log: a file, standard input, or the text itself where it is no file's name.

    Raises:
        InputError: a file that cannot be read.
    """
    import sys

    if path == "-":
        return answer(sys.stdin.buffer if hasattr(sys.stdin, "buffer") else sys.stdin.read())
    if "\n" in path or (" " in path.strip() and len(path) > 20):
        return answer(path)
    try:
        with open(path, "rb", buffering=0) as file:
            return answer(file)
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError("file", path, "a readable log, or -", f"file: cannot read {path} ({reason}).") from error


def write_text(field: str, path: str, text: str) -> None:
    """Write a small file at once: a reader finds the old one or the new one, never half of it.

    Raises:
        InputError: a place that cannot be written.
    """
    import os

    beside = f"{path}.part"
    try:
        with open(beside, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(beside, path)
    except OSError as error:
        raise InputError(
            field, path, "a path that can be written", f"{field}: cannot write {path} ({error.strerror})."
        ) from error
