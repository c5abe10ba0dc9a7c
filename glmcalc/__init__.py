"""VRAM arithmetic for serving GLM-5.2: where each byte of a GPU goes, whether it fits, and what to change.

>>> from glmcalc import Deployment, plan
>>> plan(Deployment(gpu="h100_sxm", tensor_parallel_size=8)).verdict.stage
'weights_load'
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from glmcalc.budget.engines import plan
    from glmcalc.budget.result import Plan
    from glmcalc.facts.errors import InputError
    from glmcalc.model.deployment import Deployment

__version__ = "1.1.0"
__all__ = ["Deployment", "InputError", "Plan", "__version__", "plan"]

_HOMES = {
    "Deployment": "glmcalc.model.deployment",
    "InputError": "glmcalc.facts.errors",
    "Plan": "glmcalc.budget.result",
    "plan": "glmcalc.budget.engines",
}


def __getattr__(name: str) -> Any:
    """The public names, imported when first used: the command starts without those it does not need."""
    if name not in _HOMES:
        raise AttributeError(f"module 'glmcalc' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
