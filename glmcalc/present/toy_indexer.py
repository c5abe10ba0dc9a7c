"""A toy of IndexShare in NumPy, short enough to read: top-k chosen on one layer, reused on three, on made-up data.

Nothing here was taken from a model. What the toy shows is the mechanism, and that the overlap follows from how little a
layer changes what it reads; how little that is in GLM-5.2 it cannot show.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def choose(query: Any, keys: Any, k: int) -> Any:
    """Positions with the ``k`` highest scores; a score sums ReLU(query · key) over the indexer's heads.

    Args:
        query: heads x width; ``keys``: tokens x width, one key a token for all heads.
    """
    scores = np.maximum(query @ keys.T, 0).sum(axis=0)
    return np.argsort(scores)[-k:]


def layer(state: Any, change: float, rng: Any) -> Any:
    """What the next layer sees: most of ``state``, and made-up news of relative size ``change``, at the same scale."""
    return np.sqrt(1 - change**2) * state + change * rng.normal(size=state.shape)


def overlap(change: float, rng: Any, tokens: int = 4096, k: int = 256) -> list[float]:
    """Chosen on one layer, reused on three: how much of each of the three's own choice the reused one holds."""
    query, keys = rng.normal(size=(8, 32)), rng.normal(size=(tokens, 32))
    reused = choose(query, keys, k)
    held = []
    for _ in range(3):
        query, keys = layer(query, change, rng), layer(keys, change, rng)
        own = choose(query, keys, k)
        held.append(np.isin(own, reused).mean())
    return held


def mean_overlap(change: float, draws: int = 8, seed: int = 0) -> list[float]:
    """:func:`overlap` on the three layers, mean over ``draws`` sets of made-up data."""
    rng = np.random.default_rng(seed)
    return [float(share) for share in np.mean([overlap(change, rng) for _ in range(draws)], axis=0)]
