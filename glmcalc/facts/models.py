"""Checkpoints that are known, and their ``config.json``."""

from __future__ import annotations

from functools import lru_cache

from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record
from glmcalc.facts.store import load_json, nearest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@record
class ModelEntry:
    """One checkpoint of ``data/models.json``.

    ``quantization_config_of`` names the config whose recipe it has, where its own is not at hand; ``quantized_mtp`` says
    that the MTP layer's experts are quantized too; ``recipe`` is a row of ``data/weight_recipes.jsonl``, where ``config`` does
    not say it; ``recipe_low`` and ``recipe_high`` are the ends of what it may be, where it is not known to the tensor.
    """

    id: str
    config: str
    format: str
    license: str
    source: str
    date: str
    kind: str
    quantization_config_of: str | None = None
    note: str | None = None
    quantized_mtp: bool = False
    recipe: str | None = None
    recipe_low: str | None = None
    recipe_high: str | None = None


@lru_cache(maxsize=1)
def _entries() -> dict[str, ModelEntry]:
    entries = {}
    for row in load_json("models.json")["models"]:
        for field in ("source", "date", "kind"):
            if not row.get(field):
                raise InputError(field, row.get(field), "present", f"models.json: {row.get('id')} has no {field}.")
        entries[row["id"]] = ModelEntry(**row)
    return entries


def model_names() -> list[str]:
    """Ids of all known checkpoints."""
    return list(_entries())


def model_entries() -> list[ModelEntry]:
    """All known checkpoints."""
    return list(_entries().values())


def base_name(name: str) -> str:
    """The model that a checkpoint is of: its id without publisher and without what names its format.

    >>> base_name("nvidia/GLM-5.2-NVFP4"), base_name("zai-org/GLM-5.2-FP8"), base_name("lukealonso/GLM-5.1-NVFP4-MTP")
    ('GLM-5.2', 'GLM-5.2', 'GLM-5.1')
    """
    base = name.split("/")[-1].upper()
    for suffix in ("-MTP", "-INT4", "-AWQ", "-W4A16", "-W4AFP8", "-MXFP4", "-NVFP4", "-FP8", "-4BIT"):
        base = base.removesuffix(suffix)
    return base


def find_model(name: str) -> ModelEntry:
    """The checkpoint called ``name``: its id in any case, or the id without the publisher.

    Raises:
        InputError: an unknown name; the nearest is offered.
    """
    wanted = name.strip().rstrip("/").lower()
    for entry in _entries().values():
        if wanted in (entry.id.lower(), entry.id.split("/")[1].lower()):
            return entry
    close = nearest(name, _entries())
    hint = f" (did you mean {close}?)" if close else ""
    allowed = f"one of {', '.join(_entries())}, or a path to a config.json{hint}"
    raise InputError(
        "model",
        name,
        allowed,
        f"model {name!r} is not known{hint}. Give a known id (glmcalc models) or a path to its config.json.",
    )


def load_config(entry: ModelEntry) -> dict[str, Any]:
    """The ``config.json`` of a known checkpoint."""
    config = dict(load_json(f"models/{entry.config}"))
    if entry.quantization_config_of:
        config["quantization_config"] = load_json(f"models/{entry.quantization_config_of}")["quantization_config"]
    if entry.quantized_mtp:
        config["quantization_config"] = _with_quantized_mtp(config["quantization_config"], config["num_hidden_layers"])
    return config


def _with_quantized_mtp(quantization: dict[str, Any], layer: int) -> dict[str, Any]:
    """The same recipe with the experts of the MTP layer quantized like those of the others."""
    prefix = f"model.layers.{layer}"
    kept = [name for name in quantization["ignore"] if not name.startswith(prefix)]
    return {**quantization, "ignore": [*kept, f"{prefix}.self_attn*", f"{prefix}.mlp.shared_experts*"]}
