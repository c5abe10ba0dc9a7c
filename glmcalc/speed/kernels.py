"""Attention's time in a decode step from measured kernels: layers with an indexer of their own, and layers that share one.

Measured at batch 1 from 1,024 to 200,000 tokens on four devices; beyond, the last slope is carried on, which is
extrapolation and is said so by :func:`measured_to`.
"""

from __future__ import annotations

from functools import lru_cache

from glmcalc.facts.evidence import with_provenance
from glmcalc.facts.store import load_jsonl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FILE = "kernel_times.jsonl"


@lru_cache(maxsize=1)
def kernel_rows() -> tuple[dict[str, Any], ...]:
    """All rows, each with source, date and kind; ``ms`` is one layer's time in one step."""
    return tuple(with_provenance(load_jsonl(FILE), FILE))


def full_layer_s(gpu: str, context: float) -> float | None:
    """Seconds of one layer's indexer and attention at ``context`` tokens, batch 1; None for a device without a table.

    Between tabulated lengths on the line between them, outside on the nearest one.
    """
    table = [(row["context"], row["ms"]) for row in kernel_rows() if row["gpu"] == gpu and row["layer"] == "full"]
    if not table:
        return None
    after = next((i for i in range(1, len(table)) if context <= table[i][0]), len(table) - 1)
    (low, before), (high, then) = table[after - 1], table[after]
    return float(before + (then - before) * (context - low) / (high - low)) / 1e3


def shared_layer_s(gpu: str) -> float | None:
    """Seconds of one layer's attention that reuses another's choice, at any context; None where not measured."""
    return next((row["ms"] / 1e3 for row in kernel_rows() if row["gpu"] == gpu and row["layer"] == "shared"), None)


def measured_to(gpu: str) -> int | None:
    """The longest context of a device's table, tokens; None without one."""
    lengths = [row["context"] for row in kernel_rows() if row["gpu"] == gpu and row["layer"] == "full"]
    return max(lengths) if lengths else None


def attention_step_s(gpu: str, context: float, layers: int, indexers: int) -> float | None:
    """Seconds of all layers' attention in one decode step of one request; None where a kernel was not measured.

    Args:
        layers: of the model (78); ``indexers``: those that run their indexer (21 of GLM-5.2, all without sharing).
    """
    full, shared = full_layer_s(gpu, context), shared_layer_s(gpu)
    if full is None or (shared is None and indexers < layers):
        return None
    return indexers * full + (layers - indexers) * (shared or 0.0)
