"""What a pasted command says, and what it leaves open."""

from __future__ import annotations

from glmcalc.facts.frozen import fresh, record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@record
class ParsedCommand:
    """One launch command as it was read.

    Attributes:
        engine: ``vllm``, ``sglang`` or ``llama.cpp``.
        settings: only what the text states, under vLLM's names.
        unresolved: settings whose value is a variable or placeholder that the text does not set.
        no_effect_on_memory, not_modelled: other flags of the engine, as written.
        unknown: flags that are none of the engine's: ``{"flag", "nearest"}``.
        warnings: what a careful reader would say about the text.
        environment: variables that the text sets for the command.
        image: the container image that runs it, as written; engine_version: the release that the image's tag states.
        json_settings: JSON values as a whole (``speculative_config`` and others).
        kept: words of flags that are no settings, to go into a new command as they are.
        heavy: those of ``not_modelled`` that can move GiB.
        outcome: ``read``, ``read_with_warning``, or ``ask`` where the model stays open.
        engine_settings: what SGLang or llama.cpp has besides, as text, None where a variable stands for it
            (``commands/others.py``); it takes part in a budget and is listed in ``not_modelled`` here.
    """

    engine: str
    settings: dict[str, Any]
    unresolved: list[str] = fresh(list)
    no_effect_on_memory: list[str] = fresh(list)
    not_modelled: list[str] = fresh(list)
    unknown: list[dict[str, str | None]] = fresh(list)
    warnings: list[str] = fresh(list)
    environment: dict[str, str] = fresh(dict)
    json_settings: dict[str, Any] = fresh(dict)
    outcome: str = "read"
    kept: list[str] = fresh(list)
    heavy: list[str] = fresh(list)
    image: str | None = None
    engine_version: str | None = None
    engine_settings: dict[str, Any] = fresh(dict)

    def to_dict(self) -> dict[str, Any]:
        """As ``glmcalc parse --json`` prints it; secrets masked."""
        return {
            "engine": self.engine,
            "settings": self.settings,
            "unresolved": self.unresolved,
            "no_effect_on_memory": self.no_effect_on_memory,
            "not_modelled": self.not_modelled,
            "unknown": self.unknown,
            "warnings": self.warnings,
            "environment": _masked(self.environment, self.kept),
            "image": self.image,
            "engine_version": self.engine_version,
            "outcome": self.outcome,
        }


def _masked(environment: dict[str, str], words: list[str]) -> dict[str, str]:
    if not environment:
        return {}
    from glmcalc.facts.secrets import mask_environment

    return mask_environment(environment, words)


class Launch:
    """A launch command that was found: the engine and its arguments, before they are read."""

    def __init__(self, engine: str, words: list[str], environment: dict[str, str] | None = None) -> None:
        self.engine = engine
        self.words = words
        self.environment = environment or {}
        self.variables: dict[str, str] = {}  # all that the text sets, the environment among them
        self.warnings: list[str] = []
        self.image: str | None = None
        self.cut = False
