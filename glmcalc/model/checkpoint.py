"""A checkpoint: which model, its geometry and its recipe, from a known id or a path to a ``config.json``."""

from __future__ import annotations

import json
import os
from functools import lru_cache

from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record
from glmcalc.facts.models import find_model, load_config, model_entries
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


@lru_cache(maxsize=64)
def load_checkpoint(model: str, quantization: str | None = None) -> Checkpoint:
    """The checkpoint that ``model`` names: a known id, or a path to a ``config.json`` (or to its folder).

    A ``quantization`` other than the checkpoint's own means the known checkpoint of the same geometry that has it.

    Raises:
        InputError: an unknown name, an unreadable file, a format whose layout is not known or that no known checkpoint of
            this geometry has, or a geometry that is refused (``read_geometry``).
    """
    path = _config_path(model)
    if path is not None:
        own = _read_checkpoint(_read_config(path), model, known=False)
    else:
        entry = find_model(model)
        own = _read_checkpoint(load_config(entry), entry.id, known=True)
    wanted = _format(quantization)
    if wanted is None or wanted == own.recipe.fmt:
        return own
    for entry in model_entries():
        if entry.format == wanted:
            other = _read_checkpoint(load_config(entry), entry.id, known=True)
            if other.geometry == own.geometry:
                return other
    raise InputError(
        "quantization",
        quantization,
        f"{own.recipe.fmt}, which is what {own.name} holds: no checkpoint of its geometry in {wanted} is known",
    )


def _read_checkpoint(config: dict[str, Any], name: str, known: bool) -> Checkpoint:
    return Checkpoint(name, read_geometry(config), read_recipe(config), known)


def _format(quantization: str | None) -> str | None:
    if quantization is None or quantization == "auto":
        return None
    key = quantization.lower()
    if key in _SPELLINGS:
        return _SPELLINGS[key]
    if key in _LATER:
        raise InputError("quantization", quantization, "bf16, fp8 or nvfp4: the layout of this one is not modelled yet")
    raise InputError("quantization", quantization, "one of bf16, fp8, nvfp4 (modelopt_fp4)")


def _config_path(model: str) -> str | None:
    if model.endswith(".json"):
        return model
    if model.startswith((".", "/", "~")) or os.path.isdir(model):
        return os.path.join(model, "config.json")
    return None


def _read_config(path: str) -> dict[str, Any]:
    try:
        if os.path.getsize(os.path.expanduser(path)) > _LARGEST_CONFIG:
            raise InputError("model", path, "a config.json of at most 4 MiB")
        with open(os.path.expanduser(path), encoding="utf-8") as file:
            config = json.load(file)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise InputError(
            "model", path, "a known model id or a readable config.json", f"model: cannot read {path} ({reason})."
        ) from error
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(
            "model", path, "a whole config.json", f"model: {path} is not valid JSON ({error}); is it cut off?"
        ) from error
    if not isinstance(config, dict):
        raise InputError("model", path, "a config.json holding a JSON object")
    return config
