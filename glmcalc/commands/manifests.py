"""Launch commands inside compose files, Kubernetes manifests and ``docker inspect`` output."""

from __future__ import annotations

import json
import re
import textwrap

from glmcalc.commands.images import image_engine
from glmcalc.commands.lexing import split_line
from glmcalc.commands.parsed import Launch
from glmcalc.commands.shell import find_launches
from glmcalc.commands.variables import expand

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator


_KEYS = re.compile(
    r"(?m)^[ \t]*\{?[ \t]*(?:-[ \t]+)?[\"']?(?:command|args|entrypoint|containers|services|image|vllm_args|env|apiVersion)[\"']?[ \t]*:"
)
_LITERAL = re.compile(
    r"(?:[\w.]+\s*(?::\s*[\w\[\]]+\s*)?=\s*)?(?:[\w.]+\()?(\[\s*[\"'].*\])(?:\s*,[^\]]*)?\)?", re.DOTALL
)
_DOCKERFILE = re.compile(r"(?m)^[ \t]*(FROM|ENTRYPOINT|CMD)[ \t]+((?:[^\n\\]|\\.|\\\n)*)")
_ITEM = re.compile(r"(?m)^[ \t]*-[ \t]+\S")
_COMPOSE_DOLLAR = re.compile(r"\$\$(?=[A-Za-z_{])")  # a dollar that is the container's shell's to expand
_DOTENV = re.compile(r"(?m)^[ \t]*(?:export[ \t]+)?([A-Za-z_]\w*)=(.*)$")
_ARGUMENT_KEYS = ("entrypoint", "command", "args", "vllm_args", "extraArgs", "extra_args")


def looks_like_manifest(text: str) -> bool:
    """Whether the text is YAML or JSON of a container rather than a shell command."""
    inspected = re.search(r'"(?:Args|Cmd)"\s*:\s*\[', text)
    return bool(
        _KEYS.search(text)
        or inspected
        or re.search(r"(?m)^[ \t]*(?:CMD|ENTRYPOINT)[ \t]", text)
        or _LITERAL.fullmatch(text.strip())
        or _only_items(text)
    )


def _only_items(text: str) -> bool:
    lines = [line for line in text.split("\n") if line.strip()]
    return len(lines) > 1 and all(re.match(r"\s*-\s+[\"'-]", line) for line in lines)


def launches_in_manifest(text: str) -> list[Launch]:
    """Launch commands of all containers in the text; empty when it holds none that can be read."""
    for listed in (_docker_inspect(text), _literal_list(text), _dockerfile(text)):
        if listed is not None:
            return listed
    found: list[Launch] = []
    dotenv, text = _dotenv(text)
    documents, seen = _documents(text), set[int]()
    for document in documents:
        for node, inherited in _containers(document, {"dotenv": dotenv}, seen):
            launch = _from_container(node, inherited)
            if launch is not None:
                found.append(launch)
    return found


def _dotenv(text: str) -> tuple[dict[str, str], str]:
    """Lines of an ``.env`` file above the first of a manifest, and the text without them."""
    lines = text.split("\n")
    above = next(
        (at for at, line in enumerate(lines) if line.strip() and line[:1] != "#" and not _DOTENV.fullmatch(line)), 0
    )
    stated = {match[1]: match[2].strip().strip("'\"") for match in map(_DOTENV.fullmatch, lines[:above]) if match}
    return (stated, "\n".join(lines[above:])) if stated else ({}, text)


def _docker_inspect(text: str) -> list[Launch] | None:
    match = re.search(r'"(?:Args|Cmd)"\s*:\s*(\[[^\[\]]*\])', text)
    if match is None:
        return None
    try:
        words = [str(word) for word in json.loads(match[1])]
    except ValueError:
        return []
    program = re.search(r'"Path"\s*:\s*"([^"\\]+)"', text)
    image = re.search(r'"Image"\s*:\s*"((?!sha256:)[^"\\]+)"', text)
    return _from_words([*([program[1]] if program else []), *words], {}, image[1] if image else None)


def _dockerfile(text: str) -> list[Launch] | None:
    """``ENTRYPOINT`` and ``CMD`` together, after the image that ``FROM`` names."""
    said = {match[1]: match[2] for match in _DOCKERFILE.finditer(text)}
    if not said or not {"ENTRYPOINT", "CMD"} & set(said):
        return None
    words: list[str] = []
    for name in ("ENTRYPOINT", "CMD"):
        stated = said.get(name, "").replace("\\\n", " ").strip()
        try:
            words += [str(word) for word in json.loads(stated)] if stated.startswith("[") else []
        except (ValueError, RecursionError):
            return []
        words += [word for line in split_line(stated) for word in line.words] if not stated.startswith("[") else []
    set_variables = dict(re.findall(r"(?m)^[ \t]*(?:ENV|ARG)[ \t]+(\w+)=(\S+)", text))
    return _from_words(words, set_variables, said.get("FROM", "").split(" ")[0] or None)


def _literal_list(text: str) -> list[Launch] | None:
    """A list of strings as Python or JSON writes it, such as the arguments of a template."""
    match = _LITERAL.fullmatch(text.strip())
    if match is None:
        return None
    import ast

    try:
        words = ast.literal_eval(match[1])
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    return _from_words([str(word) for word in words], {}, None) if isinstance(words, list) else None


def _documents(text: str) -> list[Any]:
    """YAML documents of the text, as it is or dedented; what cannot be read as YAML is read line by line."""
    import yaml

    for attempt in () if _deep(text) else (text, textwrap.dedent(text), textwrap.dedent(text.lstrip("\n"))):
        try:
            return [document for document in yaml.safe_load_all(attempt.replace("\t", "  ")) if document is not None]
        except (yaml.YAMLError, ValueError, RecursionError, TypeError, AttributeError, KeyError):
            continue
    return [{"args": _items(text)}] if _ITEM.search(text) else []


def _deep(text: str) -> bool:
    """Whether brackets nest deeper than in any manifest; the YAML reader's time grows with the square of that."""
    depth = deepest = 0
    for bracket in re.findall(r"[\[{\]}]", text):
        depth = depth + 1 if bracket in "[{" else max(depth - 1, 0)
        deepest = max(deepest, depth)
    return deepest > 200


def _items(text: str) -> list[str]:
    """List items of a fragment that is not valid YAML by itself."""
    items = []
    for line in text.split("\n"):
        match = re.match(r"\s*-\s+(.*\S)", line)
        if match:
            words = [word for command in split_line(match[1]) for word in command.words]
            items += words
    return items


def _containers(
    node: Any, inherited: dict[str, Any], seen: set[int], depth: int = 0
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Every mapping that holds arguments, with what the mappings around it say (image, environment)."""
    if depth > 40 or id(node) in seen:
        return  # an alias of what was read already
    if isinstance(node, (dict, list)):
        seen.add(id(node))
    if isinstance(node, dict):
        context = {
            **inherited,
            **{key: node[key] for key in ("image", "env", "environment", "modelFormat") if key in node},
        }
        if any(node.get(key) for key in _ARGUMENT_KEYS):
            yield node, context
        for value in node.values():
            yield from _containers(value, context, seen, depth + 1)
    elif isinstance(node, list):
        if node and depth == 0 and all(isinstance(item, str) for item in node):
            yield {"args": node}, inherited
        for value in node:
            yield from _containers(value, inherited, seen, depth + 1)


def _from_container(node: dict[str, Any], context: dict[str, Any]) -> Launch | None:
    words: list[str] = []
    for key in _ARGUMENT_KEYS:
        value = node.get(key)
        if isinstance(value, str):
            words += [value] if "\n" in value.strip() else [w for line in split_line(value) for w in line.words]
        elif isinstance(value, list):
            words += [str(item) for item in value if isinstance(item, (str, int, float))]
    environment = _environment(context)
    image = context.get("image")
    if "vllm_args" in node or str(context.get("modelFormat", "")).startswith("vllm"):
        image = "vllm"
    words = [_COMPOSE_DOLLAR.sub("$", word) for word in words]
    found = _from_words(words, environment, _image_name(image))
    return found[0] if found else None


def _image_name(stated: Any) -> str | None:
    """An image as one name; the values of a Helm chart hold its parts."""
    if not isinstance(stated, dict):
        return None if stated is None else str(stated)
    registry, repository, tag, digest = (stated.get(part) for part in ("registry", "repository", "tag", "digest"))
    if not (repository := repository or stated.get("name")):
        return None
    name = "/".join(str(part).strip("/") for part in (registry, repository) if part)
    return f"{name}{f':{tag}' if tag else ''}{f'@{digest}' if digest else ''}"


def _from_words(words: list[str], environment: dict[str, str], image: str | None) -> list[Launch]:
    found = _launches_of(words, environment, image)
    if image is not None and ("/" in image or ":" in image):
        for launch in found:
            launch.image = launch.image or expand(image, environment)[0]
    return found


def _launches_of(words: list[str], environment: dict[str, str], image: str | None) -> list[Launch]:
    for word in words:
        if "\n" in word or (
            re.search(r"\s", word)
            and re.search(r"vllm\s+serve|launch_server|sglang\s+serve|api_server|llama-server", word)
        ):
            found = find_launches(word, dict(environment))
            if found:
                return found
    flat = [piece for word in words for piece in _pieces(word)]
    found = find_launches(_quoted(flat), dict(environment)) if flat else []
    if found:
        return found
    engine = image_engine(image) if image else None
    if (
        engine is None
        and any(word.startswith("--") for word in flat)
        and (image is None or "$" in image or "__" in image)
    ):
        engine = "vllm"
    if engine is None:
        return []
    return [Launch(engine, flat, environment)]


def _pieces(word: str) -> list[str]:
    """An item such as ``--model foo`` is two words; one with JSON in it stays as it is."""
    if word.startswith("-") and re.match(r"--?[\w.-]+\s+\S", word) and "{" not in word:
        return [piece for line in split_line(word) for piece in line.words]
    match = re.match(r"(--?[\w.-]+)\s+(\{.*\}|'.*'|\".*\")\s*$", word, re.DOTALL)
    return [match[1], match[2].strip("'")] if match else [word]


def _quoted(words: list[str]) -> str:
    import shlex

    return " ".join(
        word if re.fullmatch(r"\$[({]?\w+[)}]?", word) else shlex.quote(word).replace("'$", "'$") for word in words
    )


def _environment(context: dict[str, Any]) -> dict[str, str]:
    stated: dict[str, str] = {}
    for key in ("dotenv", "env", "environment"):
        value = context.get(key)
        if isinstance(value, dict):
            stated.update({str(name): str(text) for name, text in value.items() if text is not None})
        elif isinstance(value, list):
            for item in value:
                if isinstance(item, dict) and "name" in item and item.get("value") is not None:
                    stated[str(item["name"])] = str(item["value"])
                elif isinstance(item, str) and "=" in item:
                    name, _, text = item.partition("=")
                    stated[name] = text
    return stated
