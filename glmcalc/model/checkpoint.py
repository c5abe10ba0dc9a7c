"""A checkpoint: which model, its geometry and its recipe, from a known id or a path to a ``config.json``."""

from __future__ import annotations

import json
import os
import re
from functools import lru_cache

from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record
from glmcalc.facts.models import base_name, find_model, load_config, model_entries
from glmcalc.model.geometry import Geometry, read_geometry
from glmcalc.model.modules import Module, list_modules
from glmcalc.model.recipes import Recipe, read_recipe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


# vLLM's and users' spellings of the formats whose layout is known.
_SPELLINGS = {
    "bf16": "bf16", "bfloat16": "bf16", "fp8": "fp8", "nvfp4": "nvfp4",
    "modelopt": "nvfp4", "modelopt_fp4": "nvfp4", "modelopt_mixed": "nvfp4",
}  # fmt: skip
_LATER = ("mxfp4", "w4afp8", "w4a16", "awq", "mlx-4bit", "gguf")
_GGUF = r"(?i)(UD-)?(I?Q[1-8]_[A-Z0-9_]{1,8}|TQ[12]_0|MXFP4_MOE|F16|F32)"  # compiled where it is needed
_LARGEST_CONFIG = 4 * 1024 * 1024


@record
class Checkpoint:
    """One published set of weights.

    Attributes:
        name: the id to serve it by.
        geometry, recipe: its shape, and how its tensors are stored.
        known: whether the id is one of ``data/models.json`` (else it came from a ``config.json`` of the user's).
    """

    name: str
    geometry: Geometry
    recipe: Recipe
    known: bool

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

    A ``quantization`` other than the checkpoint's own means the known checkpoint of the same model that has it; another
    model's never stands in, however alike their shapes are.

    Raises:
        InputError: an unknown name, an unreadable file, a format whose layout is not known or that no known checkpoint of
            this model has, or a geometry that is refused (``read_geometry``).
    """
    path = _config_path(model)
    own = _known(model) if path is None else _read_text(_config_text(path), path, model)
    wanted = _format(quantization)
    if wanted is None or wanted == own.recipe.fmt:
        return own
    return _in_format(own, str(quantization), wanted)


@lru_cache(maxsize=64)
def _known(model: str) -> Checkpoint:
    entry = find_model(model)
    return _read_checkpoint(load_config(entry), entry.id, known=True)


@lru_cache(maxsize=16)
def _read_text(text: str, path: str, name: str) -> Checkpoint:
    """Kept by its content: a file that changed is another checkpoint."""
    return _read_checkpoint(_parse_config(text, path), name, known=False)


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


def _read_checkpoint(config: dict[str, Any], name: str, known: bool) -> Checkpoint:
    return Checkpoint(name, read_geometry(config), read_recipe(config), known)


def _format(quantization: str | None) -> str | None:
    if quantization is None or quantization == "auto":
        return None
    key = quantization.lower()
    if key in _SPELLINGS:
        return _SPELLINGS[key]
    if key in _LATER or re.fullmatch(_GGUF, quantization):
        raise InputError(
            "quantization", quantization, "bf16, fp8 or nvfp4: the layout of this format is not modelled yet"
        )
    raise InputError("quantization", quantization, "one of bf16, fp8, nvfp4 (modelopt_fp4)")


def _config_path(model: str) -> str | None:
    if model.endswith(".json"):
        return model
    if model.startswith((".", "/", "~")) or os.path.isdir(model):
        return os.path.join(model, "config.json")
    return None


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
        raise InputError(
            "model", path, "a known model id or a readable config.json", f"model: cannot read {path} ({reason})."
        ) from error


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
