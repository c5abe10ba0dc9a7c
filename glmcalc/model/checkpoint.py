"""A checkpoint: which model, its geometry and its recipe, from a known id or a path to a ``config.json``."""

from __future__ import annotations

import json
import os
from functools import lru_cache

from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record, replace
from glmcalc.facts.models import ModelEntry, base_name, find_model, load_config, model_entries, model_names
from glmcalc.facts.quantity import Band
from glmcalc.facts.store import nearest
from glmcalc.model.geometry import Geometry, read_geometry
from glmcalc.model.modules import Module, list_modules
from glmcalc.model.recipes import Recipe, read_recipe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from glmcalc.model.mixes import MixedRecipe


FORMATS = ("bf16", "fp8", "nvfp4", "mxfp4", "w4afp8", "w4a16", "awq", "mlx-4bit", "mlx-mxfp4")
# vLLM's and users' spellings, each with the formats that it can mean; the checkpoint's own where it is among them.
_SPELLINGS = {
    **{name: (name,) for name in FORMATS},
    "bfloat16": ("bf16",), "modelopt": ("nvfp4",), "modelopt_fp4": ("nvfp4",), "modelopt_mixed": ("nvfp4",),
    "quark": ("mxfp4",), "awq_marlin": ("awq",), "moe_wna16": ("awq", "w4a16"), "compressed-tensors": ("w4a16", "awq"),
    "mlx": ("mlx-4bit", "mlx-mxfp4"), "mlx-4bit-g64": ("mlx-4bit",),
}  # fmt: skip
_LARGEST_CONFIG = 4 * 1024 * 1024


@record
class Checkpoint:
    """One published set of weights.

    Attributes:
        name: the id to serve it by.
        geometry, recipe: its shape, and how its tensors are stored.
        known: whether the id is one of ``data/models.json`` (else it came from a ``config.json`` of the user's).
        low, high: the least and the most that it may hold, where its recipe is not known to the tensor; else None.
        note: what is known of its recipe.
    """

    name: str
    geometry: Geometry
    recipe: Recipe | MixedRecipe
    known: bool
    low: Checkpoint | None = None
    high: Checkpoint | None = None
    note: str | None = None

    @property
    def total_band(self) -> Band:
        """Bytes of the stored tensors with their range; without one where the recipe is known."""
        ends = [end.total_bytes for end in (self.low, self.high) if end is not None]
        return (
            Band(min(self.total_bytes, *ends), self.total_bytes, max(self.total_bytes, *ends))
            if ends
            else Band.exact(self.total_bytes)
        )

    @property
    def modules(self) -> tuple[Module, ...]:
        """Every weight, MTP layer included."""
        return _modules(self)

    @property
    def total_bytes(self) -> int:
        """Bytes of the stored tensors, MTP layer included where there is one."""
        return sum(module.stored_bytes for module in self.modules)

    @property
    def bytes_without_mtp(self) -> int:
        """Bytes of the stored tensors without the MTP layers."""
        return sum(module.stored_bytes for module in self.modules if not self.is_mtp(module))

    def is_mtp(self, module: Module) -> bool:
        """Whether ``module`` belongs to the MTP layers."""
        return module.layers is not None and module.layers[0] >= self.geometry.num_hidden_layers

    @property
    def parameters(self) -> int:
        """Elements, MTP layer included, scales not counted."""
        return sum(module.parameters for module in self.modules)


@lru_cache(maxsize=64)
def _modules(checkpoint: Checkpoint) -> tuple[Module, ...]:
    return tuple(list_modules(checkpoint.geometry, checkpoint.recipe))


def load_checkpoint(model: str, quantization: str | None = None) -> Checkpoint:
    """The checkpoint that ``model`` names: a known id, or a path to a ``config.json`` (or to its folder).

    A path that is not on this machine is read as the known checkpoint that it is named after (:func:`stands_for`): a log and
    a command are mostly read on another machine than they were written on.

    A ``quantization`` other than the checkpoint's own means the known checkpoint of the same model that has it; another
    model's never stands in, however alike their shapes are.

    Raises:
        InputError: an unknown name, an unreadable file, a format whose layout is not known or that no known checkpoint of
            this model has, or a geometry that is refused (``read_geometry``).
    """
    path = _config_path(model)
    named = stands_for(model)
    if named is not None:
        model, path = named, None
    own = _known(model) if path is None else _read_text(_config_text(path), path, model)
    wanted = _formats(quantization)
    if not wanted or format_name(own.recipe.fmt) in wanted:
        return own
    return _in_format(own, str(quantization), wanted[0])


@lru_cache(maxsize=64)
def _known(model: str) -> Checkpoint:
    entry = find_model(model)
    config = load_config(entry)
    if entry.recipe is None:
        return Checkpoint(entry.id, read_geometry(config), read_recipe(config), True)
    ends = [_by_recipe(entry, config, name) if name else None for name in (entry.recipe_low, entry.recipe_high)]
    return replace(_by_recipe(entry, config, entry.recipe), low=ends[0], high=ends[1], note=entry.note)


def _by_recipe(entry: ModelEntry, config: dict[str, Any], name: str) -> Checkpoint:
    from glmcalc.model.mixes import known_recipe

    recipe, geometry = known_recipe(name, config), read_geometry(config)
    if recipe.mtp == "none":
        geometry = replace(geometry, num_nextn_predict_layers=0)
    return Checkpoint(entry.id, geometry, recipe, True)


@lru_cache(maxsize=16)
def _read_text(text: str, path: str, name: str) -> Checkpoint:
    """Kept by its content: a file that changed is another checkpoint."""
    config = _parse_config(text, path)
    geometry = read_geometry(config)
    stated = config.get("quantization_config")
    if isinstance(stated, dict) and stated.get("quant_method") not in ("fp8", "modelopt", "modelopt_fp4"):
        from glmcalc.model.mixes import stated_recipe

        return Checkpoint(name, geometry, stated_recipe(config), False)
    return Checkpoint(name, geometry, read_recipe(config), False)


def format_name(fmt: str) -> str:
    """What ``--quantization`` calls the format of a recipe: every form of INT4 that a ``config.json`` states is W4A16.

    >>> format_name("int4-g128-zp")
    'w4a16'
    """
    return "w4a16" if fmt.startswith("int4-") else fmt


def _in_format(own: Checkpoint, asked: str, wanted: str) -> Checkpoint:
    """The known checkpoint of the same model in another format.

    Raises:
        InputError: there is none; the message names what there is.
    """
    if not own.known:
        raise InputError(
            "quantization", asked, f"{own.recipe.fmt}, which is what {own.name} holds: give the config.json of the "
            f"{wanted} checkpoint, or a known id (glmcalc models)",
        )  # fmt: skip
    others = [entry for entry in model_entries() if entry.format == wanted]
    for entry in others:
        if base_name(entry.id) == base_name(own.name):
            return _known(entry.id)
    near = next((entry.id for entry in others if _known(entry.id).geometry == own.geometry), None)
    hint = f"; nearest is {near}, another model's: name it with --model if it is meant" if near else ""
    raise InputError(
        "quantization", asked, f"{own.recipe.fmt}, which is what {own.name} holds",
        f"quantization {asked}: no {wanted} checkpoint of {base_name(own.name)} is known, and {own.name} holds "
        f"{own.recipe.fmt}{hint}.",
    )  # fmt: skip


def is_checkpoint_format(quantization: str) -> bool:
    """Whether ``quantization`` is a spelling of a format of checkpoints, as against a type of GGUF files."""
    return quantization.lower() in _SPELLINGS


def _formats(quantization: str | None) -> tuple[str, ...]:
    """The formats that a spelling can mean; none for the checkpoint's own."""
    if quantization is None or quantization == "auto":
        return ()
    found = _SPELLINGS.get(quantization.lower())
    if found is not None:
        return found
    from glmcalc.model.gguf import is_gguf_label

    known = f"{', '.join(FORMATS)} or modelopt_fp4"
    if quantization.lower() == "gguf" or is_gguf_label(quantization):
        raise InputError(
            "quantization", quantization, f"one of {known}: a GGUF type is a file for llama.cpp (--engine llama.cpp); "
            "its size is that of glmcalc weights with a type such as Q4_K_M",
        )  # fmt: skip
    close = nearest(quantization, _SPELLINGS)
    raise InputError(
        "quantization",
        quantization,
        f"one of {known}, or a GGUF type such as Q4_K_M" + (f" (did you mean {close}?)" if close else ""),
    )


def _config_path(model: str) -> str | None:
    if model.endswith(".json"):
        return model
    if model.startswith((".", "/", "~")) or os.path.isdir(model):
        return os.path.join(model, "config.json")
    return None


def stands_for(model: str) -> str | None:
    """The known id that a local path is read as where it is not on this machine: by its folder's name, or the hub cache's.

    >>> stands_for("/nowhere/GLM-5.2-FP8"), stands_for("/c/models--zai-org--GLM-5.2/snapshots/0a1b"), stands_for("/nowhere/mine")
    ('zai-org/GLM-5.2-FP8', 'zai-org/GLM-5.2', None)
    """
    if model.endswith(".json") or not model.startswith((".", "/", "~")) or os.path.exists(os.path.expanduser(model)):
        return None
    parts = [part for part in model.split("/") if part]
    hub = next((part for part in parts if part.startswith("models--")), None)
    name = hub[len("models--") :].replace("--", "/") if hub else parts[-1] if parts else ""
    return next((entry.id for entry in model_entries() if name.lower() in _names(entry.id, hub is None)), None)


def _names(known: str, bare: bool) -> tuple[str, ...]:
    """What a folder of a known checkpoint may be called; without the publisher too where ``bare``."""
    return (known.lower(), known.split("/")[1].lower()) if bare else (known.lower(),)


def read_as(model: str) -> str | None:
    """The sentence that says so, or None where the model is what it says."""
    named = stands_for(model)
    return None if named is None else f"model: {model} is not on this machine; it is read as {named}, by its name"


def served_name(model: str, checkpoint: Checkpoint) -> str:
    """What a new command calls a checkpoint: the path that was given, where that is the checkpoint, else its id."""
    return model if stands_for(model) == checkpoint.name else checkpoint.name


def _config_text(path: str) -> str:
    where = os.path.expanduser(path)
    try:
        if os.path.getsize(where) > _LARGEST_CONFIG:
            raise InputError("model", path, "a config.json of at most 4 MiB")
        with open(where, encoding="utf-8-sig") as file:  # Windows editors begin with a mark
            return file.read()
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or "not text"
        folder = os.path.basename(os.path.dirname(path))
        close = nearest(folder, [name.split("/")[1] for name in model_names()]) if folder else None
        hint = f" If it holds {find_model(close).id}, name that." if close else ""
        raise InputError(
            "model", path, f"a known model id or a readable config.json{f' (did you mean {close}?)' if close else ''}",
            f"model: cannot read {path} ({reason}).{hint}",
        ) from error  # fmt: skip


def _parse_config(text: str, path: str) -> dict[str, Any]:
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(
            "model", path, "a whole config.json", f"model: {path} is not valid JSON ({error}); is it cut off?"
        ) from error
    if not isinstance(config, dict):
        raise InputError("model", path, "a config.json holding a JSON object")
    return config
