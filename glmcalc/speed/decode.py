"""Time of one decode step as a sum of terms, each a small function of plain numbers or of columns of them.

Units: bytes, bytes per second, FLOP per second, tokens, seconds. Which term applies is decided outside; nothing here
branches on a value. The coefficients come from ``data/speed_presets.json``, fitted by ``glmcalc.speed.fit``.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# One indexer layer's scan on an H200 at batch 1 and for each further request: slopes over context of the kernel tables
# collected for GLM-5's attention module (SGLang 0.5.14, FP8 cache, TP 8; https://github.com/ai-dynamo/aiconfigurator), far below
# the memory's bandwidth; the tables are in data/kernel_times.jsonl.
SCAN_FIRST_S = 0.48e-9
SCAN_MORE_S = 0.032e-9
SCAN_BANDWIDTH = 4.8e12
SCAN_EXPONENT = 0.3
GEMM_SHARE = 0.5  # of the dense peak that a large batch's matrix products reach
COLLECTIVES = 4  # passes of the hidden state over the link in each layer: two all-reduces, each out and back


def verify_tokens(requests: Any, drafts: Any) -> Any:
    """Tokens that one step works on: each running request's next token and its ``drafts`` to verify."""
    return requests * (drafts + 1)


def experts_touched(tokens: Any, experts: int = 256, per_token: int = 8) -> Any:
    """Share of the routed experts that a step of ``tokens`` reads: ``1 - (1 - per_token / experts)^tokens``.

    Routing is taken as uniform, which is an upper bound.

    >>> experts_touched(1)
    0.03125
    """
    return 1 - (1 - per_token / experts) ** tokens


def decode_bytes(
    routed: Any, touched: Any, sharded: Any, replicated: Any, kv: Any, expert_ranks: Any, attention_ranks: Any
) -> Any:
    """Bytes that one rank reads in one step.

    Args:
        routed: bytes of all routed experts; ``touched``: the share that is read; spread over ``expert_ranks``.
        sharded: bytes that tensor parallelism divides over ``attention_ranks`` (1 with data-parallel attention).
        replicated: bytes that every rank reads whole: q_a, kv_a, the indexer, the router.
        kv: bytes of the cache that this rank's requests attend to.
    """
    return routed * touched / expert_ranks + sharded / attention_ranks + replicated + kv


def attended_kv_bytes(layers: Any, requests: Any, positions: Any, record: Any) -> Any:
    """Bytes of the latent cache that ``requests`` read in one step: ``positions`` records a layer each."""
    return layers * requests * positions * record


def indexer_scan_s(indexers: Any, context: Any, requests: Any, bandwidth: Any) -> Any:
    """Seconds that the indexers take to score ``context`` positions of ``requests`` requests on one rank.

    Measured time for each token and layer, not bytes over bandwidth: one long request reads at about 5 % of it.
    Tensor parallelism does not divide it; context parallelism does (pass the rank's share of ``context``).
    """
    relative = SCAN_BANDWIDTH / bandwidth
    first = SCAN_FIRST_S * relative**SCAN_EXPONENT
    return indexers * context * (first + SCAN_MORE_S * relative * (requests - 1))


def collective_s(layers: Any, tokens: Any, hidden: Any, link: Any) -> Any:
    """Seconds on the link: the hidden state in BF16, four passes a layer, for each token of the step."""
    return layers * COLLECTIVES * tokens * hidden * 2 / link


def product_s(flops: Any, tokens: Any, ranks: Any, peak: Any) -> Any:
    """Seconds of the matrix products: ``flops`` a token at half the dense peak of ``ranks`` ranks."""
    return flops * tokens / (ranks * peak * GEMM_SHARE)


def step_s(
    floor: Any, per_draft: Any, drafts: Any, slope: Any, roof: Any, scan_factor: Any, scan: Any, rest: Any
) -> Any:
    """Seconds of one decode step: a floor of the engine's generation, bytes, the scan, and link and products.

    Args:
        floor: seconds of launches, collectives and small kernels; grows by ``per_draft`` of itself for each draft.
        slope: how much longer the bytes take than ``roof``, bytes over data-sheet bandwidth.
        scan_factor: how much longer the scan takes than the kernel tables say (1: as they say).
        rest: seconds of collectives and products.
    """
    return floor * (1 + per_draft * drafts) + slope * roof + scan_factor * scan + rest


def prefill_rate(mfu: Any, ranks: Any, peak: Any, flops: Any, scan: Any, indexers: Any, length: Any) -> Any:
    """Tokens per second of the prefill that interrupts decoding.

    Args:
        mfu: share of the dense FP8 peak of ``ranks`` ranks.
        flops: of one token without the scan; ``scan``: FLOPs of one indexer for each position before the token, of which
            a prompt of ``length`` tokens has half its length on the mean.
    """
    return mfu * ranks * peak / (flops + scan / 2 * indexers * length)


def interruption_s(share: Any, others: Any, prompt: Any, output: Any, rate: Any) -> Any:
    """Seconds that one output token waits for other requests' prompts.

    While one request gives ``output`` tokens, each of the ``others`` brings one prompt of ``prompt`` tokens; ``share`` of
    that time falls on decoding (1 in steady traffic, less where requests come in waves, 0 where prefill runs elsewhere).
    """
    return share * others * prompt / output / rate


def time_per_token_s(step: Any, accepted: Any, interruption: Any) -> Any:
    """Seconds between two tokens of one request: the step over the tokens it accepts, and the interruptions."""
    return step / accepted + interruption
