"""Time to the first token, as small functions of plain numbers or of columns of them (bytes, FLOP, tokens, seconds)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# One full layer's indexer for each token squared of a prompt, from the same kernel tables as the decode scan; devices
# without one follow their FP8 peak.
QUADRATIC_S = {"sm90": 6.9e-12, "sm100": 4.2e-12, "sm103": 4.2e-12}
_REFERENCE_S, _REFERENCE_PEAK, _EXPONENT = 6.9e-12, 1979e12, -0.62
SOURCE = "https://github.com/ai-dynamo/aiconfigurator"


def quadratic_s(architecture: str | None, peak: float) -> float:
    """Seconds of one full layer's indexer for each squared token: tabulated, else by ``peak^-0.62`` (FLOP/s)."""
    tabulated = QUADRATIC_S.get(architecture or "")
    scaled = _REFERENCE_S * (peak / _REFERENCE_PEAK) ** _EXPONENT
    return tabulated if tabulated is not None and peak >= _REFERENCE_PEAK / 2 else float(scaled)


def efficiency(mfu: Any, loss: Any, attention_ranks: Any, device: Any) -> Any:
    """Share of the dense FP8 peak that prefill reaches: ``mfu * attention_ranks^-loss * device``.

    Tensor parallelism wastes most of it (two thirds at 8 ranks); data-parallel attention has ``attention_ranks`` 1.
    """
    return mfu * attention_ranks**-loss * device


def products_s(tokens: Any, flops: Any, ranks: Any, peak: Any, share: Any) -> Any:
    """Seconds of a prompt's weights and attention core: ``flops`` a token at ``share`` of the peak of ``ranks`` ranks."""
    return tokens * flops / (ranks * peak * share)


def scan_s(indexers: Any, tokens: Any, quadratic: Any, context_ranks: Any, device: Any) -> Any:
    """Seconds of a prompt's indexers: they grow with its square, and only context parallelism divides them."""
    return indexers * quadratic * tokens * tokens / context_ranks / device


def prefill_s(base: Any, products: Any, scan: Any) -> Any:
    """Seconds to the first token of one request with nothing cached: scheduling, products, indexers."""
    return base + products + scan


def together_s(alone: Any, requests: Any, growth: Any) -> Any:
    """Seconds to the first token when ``requests`` come together, each of them ``alone`` seconds by itself.

    ``growth`` is 0.5 where they arrive at once and are served in order, about 0.2 in steady closed loops.
    """
    return alone * (1 + growth * (requests - 1))
