"""What a model's weights are to a decode step: bytes by how the ranks read them."""

from __future__ import annotations

from functools import lru_cache

from glmcalc.facts.frozen import record
from glmcalc.model.checkpoint import Checkpoint
from glmcalc.model.modules import Module

_NOT_READ = ("embed_tokens",)  # a step reads one row of it for each token


@record
class Traffic:
    """Bytes of the main layers' weights that a decode step reads; the MTP layer's are in the floor of each draft.

    Attributes:
        routed: all routed experts.
        sharded: what tensor parallelism divides: attention heads, dense and shared experts, the head.
        replicated: what every rank reads whole: q_a, kv_a, indexers, router, norms.
    """

    routed: float
    sharded: float
    replicated: float


@lru_cache(maxsize=256)
def traffic_of(checkpoint: Checkpoint, routed_bits: float | None = None, other_bits: float | None = None) -> Traffic:
    """Bytes by how ranks read them, from the checkpoint's own modules.

    Args:
        routed_bits, other_bits: bits of one weight, scales included, for a format whose recipe is not known; None takes
            the checkpoint's own bytes.
    """
    sums = {"routed": 0.0, "sharded": 0.0, "replicated": 0.0}
    for module in checkpoint.modules:
        if checkpoint.is_mtp(module) or module.name in _NOT_READ:
            continue
        kind = _kind(module)
        bits = routed_bits if kind == "routed" else other_bits
        sums[kind] += module.stored_bytes if bits is None else module.parameters * bits / 8
    return Traffic(**sums)


def _kind(module: Module) -> str:
    if module.group == "routed experts":
        return "routed"
    return "replicated" if module.split == "replicated" else "sharded"
