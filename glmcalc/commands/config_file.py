"""The flags of a ``--config`` file that stands in the same paste as the command."""

from __future__ import annotations

import re

from glmcalc.facts.errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, Sequence

_KEY = re.compile(r"([A-Za-z][\w-]*)[ \t]*:(?:[ \t]|$)")
_HEREDOC = re.compile(r"<<-?[ \t]*['\"]?(\w+)['\"]?")


def config_flags(words: Sequence[str], text: str, warnings: list[str]) -> dict[str, Any]:
    """Flags of the file that ``--config`` names; empty without one.

    It is looked for in a ``yaml`` fence, a heredoc or a ConfigMap key of the file's name, and among lines ``key: value`` whose
    keys are flags of ``vllm serve``.

    Args:
        words: of the command; text: all that was pasted.
        warnings: where lines are taken for the file that do not say so, that is added.

    Raises:
        InputError: a file that the text does not show.
    """
    named = [
        word.partition("=")[2] if "=" in word else "".join(words[at + 1 : at + 2])
        for at, word in enumerate(words)
        if word.partition("=")[0] == "--config"
    ]
    if not named:
        return {}
    name = named[-1].rsplit("/", 1)[-1]
    shown = [*_fences(text), *_heredocs(text, name), *_map_entries(text, name)]
    for at, body in enumerate((*shown, *_lines(text))):
        data = _loaded(body)
        if isinstance(data, dict):
            if at >= len(shown):
                warnings.append(f"Read as the lines of the --config file: {', '.join(map(str, data))}.")
            return {str(key): value for key, value in data.items()}
    raise InputError(
        "config", "a file", "the file's lines in the paste",
        "The flags are in a --config file that the text does not show; paste the file's lines below the command.",
    )  # fmt: skip


def config_alone(text: str) -> dict[str, Any]:
    """The flags of a text that is such a file and nothing else; empty where it is none."""
    from glmcalc.commands.flags import find_flag

    if not re.search(r"(?m)^model[ \t]*:", text):
        return {}
    data = _loaded(text)
    whole = isinstance(data, dict) and len(data) > 1 and all(find_flag(f"--{key}")[0] for key in data)
    return {str(key): value for key, value in data.items()} if whole else {}


def _loaded(body: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(body)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None


def _fences(text: str) -> list[str]:
    return re.findall(r"```ya?ml\n(.*?)```", text, re.DOTALL)


def _heredocs(text: str, name: str) -> Iterator[str]:
    """``cat > config.yaml <<EOF … EOF``."""
    lines = text.split("\n")
    for at, line in enumerate(lines):
        mark = _HEREDOC.search(line)
        if mark is None or not name or name not in line:
            continue
        end = next((more for more in range(at + 1, len(lines)) if lines[more].strip() == mark[1]), None)
        if end is not None:
            yield "\n".join(lines[at + 1 : end])


def _map_entries(text: str, name: str) -> Iterator[str]:
    """A ConfigMap's entry of the file's name."""
    if not name or "data:" not in text:
        return
    import yaml

    try:
        documents = list(yaml.safe_load_all(text))
    except (yaml.YAMLError, ValueError, RecursionError):
        return
    for document in documents:
        entries = document.get("data") if isinstance(document, dict) else None
        if isinstance(entries, dict) and isinstance(entries.get(name), str):
            yield entries[name]


def _lines(text: str) -> Iterator[str]:
    """Runs of lines that begin with a flag of ``vllm serve`` and a colon; what is indented belongs to the line above it.

    One word before a colon can be prose; two such lines, or a name of two words, are not.
    """
    from glmcalc.commands.flags import find_flag

    run: list[str] = []
    for line in (*text.split("\n"), "end"):
        key = _KEY.match(line)
        known = key is not None and find_flag("--" + key[1])[0] is not None
        if known or (run and re.match(r"[ \t]+\S|-[ \t]|#|$", line)):
            run.append(line)
        elif run:
            keys = [found[1] for found in map(_KEY.match, run) if found]
            if len(keys) > 1 or re.search(r"[-_]", keys[0]):
                yield "\n".join(run)
            run = []
