"""The arguments of ``vllm serve``: each flag to its setting, or to the list it belongs in."""

from __future__ import annotations

import json
import re

from glmcalc.commands.flags import Flag, convert, find_flag, flag_names, parse_json
from glmcalc.commands.graphs import GRAPH_FLAGS, take_graphs
from glmcalc.commands.parsed import Launch, ParsedCommand
from glmcalc.commands.variables import expand
from glmcalc.facts.errors import InputError
from glmcalc.facts.store import nearest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


_SPECULATIVE = {"method": "speculative_method", "num_speculative_tokens": "num_speculative_tokens"}
_RENAMED = {
    "spec_method": "speculative_method",
    "spec_tokens": "num_speculative_tokens",
}
_MOST_UNKNOWN = 20
_TRUE, _FALSE = ("true", "1", "yes"), ("false", "0", "no")


def read_vllm_arguments(launch: Launch, config_file: dict[str, Any]) -> ParsedCommand:
    """Settings of a vLLM launch; flags on the line win over those of a config file.

    Raises:
        InputError: a value that is not of its flag's type, or two models.
    """
    reader = _Reader(launch)
    reader.read(config_words(config_file))
    reader.read(launch.words)
    return reader.result()


def config_words(stated: dict[str, Any]) -> list[str]:
    """The flags of a config file as words of a command; the engine leaves out what is false there."""
    words = []
    for name, value in stated.items():
        words += [f"--{name}"] if value is True else [] if value is False else [f"--{name}={_text(value)}"]
    return words


def _spelled_out(words: list[str], at: int) -> str:
    """``-O3`` and ``-O 3`` are a level; ``-O`` before JSON, and ``-O.mode``, are the compilation settings."""
    word = words[at]
    if not word.startswith("-O") or not re.match(r"-O(?:[\d=.]|$)", word):
        return word
    level = word[2:].lstrip("=")
    if level.isdigit():
        return f"--optimization-level={level}"
    if not level and at + 1 < len(words) and words[at + 1].isdigit():
        return "--optimization-level"
    return "--compilation-config" + word[2:]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


class _Reader:
    """Walks over the words of one command."""

    def __init__(self, launch: Launch) -> None:
        self.variables = {**launch.variables, **launch.environment}
        self.cut = launch.cut
        self.settings: dict[str, Any] = {}
        self.unresolved: list[str] = []
        self.no_effect: list[str] = []
        self.not_modelled: list[str] = []
        self.unknown: list[dict[str, str | None]] = []
        self.warnings: list[str] = []
        self.json: dict[str, Any] = {}
        self.kept: list[str] = []
        self.heavy: list[str] = []

    def read(self, words: list[str]) -> None:
        at = 0
        while at < len(words):
            word = words[at]
            if (
                word.startswith("-")
                and len(word) > 1
                and not (word[1].isdecimal() and re.fullmatch(r"-\d[\d.]*", word))
            ):
                at = self._flag(words, at)
            else:
                self._positional(word)
                at += 1

    def _positional(self, word: str) -> None:
        value, still_open = expand(word, self.variables)
        if value in (")", "(", "}", "]", "\\") or not value.strip():
            return
        if "model" in self.settings or "model" in self.unresolved:
            first = str(self.settings.get("model", ""))
            if first == "serve":
                raise InputError(
                    "model",
                    "serve",
                    "one model",
                    f"The command says serve twice; meant is probably: vllm serve {value}.",
                )
            if still_open and value.startswith("$"):
                self.warnings.append(f"What {value[:80]} holds is not in the text; flags in it are not read.")
            if re.search(r"\s", value) or not re.fullmatch(r"[\w./:@~+\\-]+", value) or len(self.settings) > 1:
                return  # prose after the command
            raise InputError(
                "model", value[:200], "one model", f"Two models are named: {first[:200]} and {value[:200]}."
            )
        self._state("model", value, still_open)

    def _flag(self, words: list[str], at: int) -> int:
        name, equals, attached = _spelled_out(words, at).partition("=")
        base, dot, path = name.partition(".")
        flag, candidates = find_flag(base)
        negated = False
        if flag is None and re.match(r"--no[-_]", base):
            flag, candidates = find_flag("--" + base[5:])
            negated = flag is not None
        if flag is None:
            return self._unknown(words, at, base, candidates)
        if base.replace("_", "-") not in flag.names and not negated:
            self.warnings.append(f"{base} is read as {flag.names[0]}, the only flag that begins so.")
        if flag.retired:
            self.warnings.append(f"{flag.names[0]} is a flag of earlier releases; 0.32.0 no longer has it.")
        if equals:
            values, after = [attached], at + 1
        else:
            values, after = self._values(words, at + 1, flag)
        if dot:
            if not values and at + 1 < len(words):
                values, after = [words[at + 1]], at + 2
            self._keep(flag, f"{flag.names[0]}.{path}", values)
            self._dotted(flag, path, values)
        else:
            self._keep(flag, "--no-" + flag.names[0][2:] if negated else flag.names[0], values)
            self._take(flag, values, negated)
        return after

    def _keep(self, flag: Flag, name: str, values: list[str]) -> None:
        """Carry over what no setting holds, so that a new command changes nothing else."""
        if flag.effect == "modelled" or flag.retired:
            return
        if flag.heavy and not (values and values[0] in flag.neutral):
            self.heavy.append(flag.names[0])
        self.kept += [name, *(expand(value, self.variables)[0] for value in values)]

    def _values(self, words: list[str], at: int, flag: Flag) -> tuple[list[str], int]:
        if flag.arity == 0:
            if at < len(words) and words[at].lower() in ("true", "false"):
                self.warnings.append(f"{flag.names[0]} is a switch; the value {words[at]} after it is read as meant.")
                return [words[at]], at + 1
            return [], at
        if flag.arity == 1:
            if at < len(words) and (not words[at].startswith("--") or not find_flag(words[at].split("=")[0])[0]):
                return [words[at]], at + 1
            return [], at
        end = at
        while end < len(words) and not words[end].startswith("-"):
            end += 1
        return words[at:end], end

    def _unknown(self, words: list[str], at: int, base: str, candidates: list[str]) -> int:
        if candidates:
            self.warnings.append(f"{base} could be {', '.join(candidates[:8])}; it is not read.")
        if all(known["flag"] != base for known in self.unknown[-_MOST_UNKNOWN:]):
            searched = len(self.unknown) < _MOST_UNKNOWN and len(base) < 80  # a search through all names is slow
            close = candidates[0] if candidates else nearest(base, flag_names()) if searched else None
            self.unknown.append({"flag": base, "nearest": close})
        following = words[at + 1] if at + 1 < len(words) else "-"
        after = at + 1 if following.startswith("-") or "=" in words[at] else at + 2
        self.kept += [expand(word, self.variables)[0] for word in words[at:after]]  # no new command may lose it
        return after

    def _take(self, flag: Flag, values: list[str], negated: bool) -> None:
        if flag.effect == "no_effect":
            self.no_effect.append(flag.names[0])
        elif flag.effect == "not_modelled":
            self.not_modelled.append(flag.names[0])
        if flag.type == "json" or flag.setting in ("hf_overrides", "compilation_config"):
            self._json(flag, values)
        if flag.effect == "modelled" and flag.type == "json" and not values and not self.cut:
            raise InputError(flag.setting, "nothing", "a value", f"{flag.names[0]} has no value.")
        if (flag.effect != "modelled" and not flag.stated) or flag.type == "json":
            return
        name = _RENAMED.get(flag.setting, flag.setting)
        if flag.arity == 0:
            text = values[0].lower() if values else "true"
            if text not in _TRUE + _FALSE:
                raise InputError(name, values[0], "true or false, or no value")
            self.settings[name] = (text in _TRUE) != negated
            return
        if not values:
            raise InputError(name, "nothing", "a value", f"{flag.names[0]} has no value.")
        text, still_open = expand(values[0], self.variables)
        value = text if still_open else convert(flag, text)
        if name == "max_cudagraph_capture_size" and value == 0:
            self.warnings.append(
                "vLLM refuses 0 as the largest graph; it is read as cudagraph_mode NONE, which captures none."
            )
        self._state(name, value, still_open)

    def _state(self, name: str, value: Any, still_open: bool) -> None:
        if still_open:
            self.settings.pop(name, None)
            if name not in self.unresolved:
                self.unresolved.append(name)
            return
        if name in self.unresolved:
            self.unresolved.remove(name)
        self.settings[name] = value

    def _json(self, flag: Flag, values: list[str]) -> None:
        if not values:
            return
        text, still_open = expand(values[0], self.variables)
        if still_open and flag.setting == "speculative_config" and not text.lstrip().startswith("{"):
            self._state("speculative_method", text, True)
            return
        try:
            data = parse_json(flag.setting, text)
        except InputError:
            if flag.effect == "modelled" and not still_open and not self.cut:
                raise
            return
        self.json[flag.setting] = data
        if flag.setting == "speculative_config":
            self._speculative(data)

    def _speculative(self, data: Any) -> None:
        if not isinstance(data, dict):
            raise InputError("speculative_config", json.dumps(data)[:80], 'a JSON object such as {"method":"mtp"}')
        for key, name in _SPECULATIVE.items():
            value = data.get(key)
            if value is None:
                continue
            if key == "num_speculative_tokens" and (isinstance(value, bool) or not isinstance(value, int)):
                raise InputError("num_speculative_tokens", value, "a whole number")
            self.settings[name] = value if key != "method" else str(value)

    def _dotted(self, flag: Flag, path: str, values: list[str]) -> None:
        listed = (
            self.not_modelled
            if flag.effect == "not_modelled"
            else self.no_effect
            if flag.effect == "no_effect"
            else None
        )
        if listed is not None and flag.names[0] not in listed:
            listed.append(flag.names[0])
        if not values:
            return
        text, still_open = expand(values[0], self.variables)
        key = path.rstrip("+").replace("-", "_")
        if flag.setting == "speculative_config" and key in _SPECULATIVE and still_open:
            self._state(_SPECULATIVE[key], text, True)
            return
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = text
        node = self.json.setdefault(flag.setting, {})
        for part in key.split(".")[:-1]:
            node = node.setdefault(part, {}) if isinstance(node, dict) else {}
        if isinstance(node, dict):
            node[key.split(".")[-1]] = value
        if flag.setting == "speculative_config":
            self._speculative(self.json["speculative_config"])

    def _graphs(self) -> None:
        """Take the number of CUDA graphs out of the flags that say it in another way than a setting does."""
        largest, self.kept, taken, unknown = take_graphs(self.kept)
        if largest is not None:
            self._state("max_cudagraph_capture_size", largest, False)
        self.not_modelled = [name for name in self.not_modelled if name not in taken]
        self.heavy += unknown

    def result(self) -> ParsedCommand:
        """What was read."""
        if any(name in self.not_modelled for name in GRAPH_FLAGS):
            self._graphs()
        return ParsedCommand(
            "vllm", self.settings, self.unresolved, list(dict.fromkeys(self.no_effect)), list(dict.fromkeys(self.not_modelled)),
            self.unknown, self.warnings, json_settings=self.json, kept=self.kept, heavy=self.heavy,
        )  # fmt: skip
