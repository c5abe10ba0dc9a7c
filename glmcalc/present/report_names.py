"""What the report's notebook says of a deployment: its parameters, and the example's machine where they name none."""

from __future__ import annotations

from typing import Any, Mapping

from glmcalc.facts.frozen import names_of
from glmcalc.model.deployment import Deployment

_GPU, _GPUS = "h200_sxm", 8
_SIZES = tuple(f"{way}_parallel_size" for way in ("tensor", "pipeline", "data", "decode_context"))


def read_names(names: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Settings among a notebook's parameters, and a sentence on the machine where the example's is taken.

    A pasted ``command`` says what it says: model and parallel sizes beside it only where they are given. The example's number of
    GPUs is taken only where nothing says the machine or how it is divided: else the parallel sizes say it, as everywhere.
    """
    settings = {name: names[name] for name in names_of(Deployment) if names.get(name) is not None}
    pasted = bool(names.get("command"))
    if pasted:
        settings.pop("model", None)
    if "gpu" in settings:
        return settings, ""
    settings["gpu"] = _GPU
    if (
        pasted
        or "gpus" in settings
        or settings.get("engine") == "llama.cpp"
        or any(name in settings for name in _SIZES)
    ):
        return settings, f"No GPU is named: {_GPU} is taken, as an example."
    settings["gpus"] = _GPUS
    return settings, f"No machine is named: {_GPUS} × {_GPU} are taken, as an example."
