"""The KV cache: bytes of a token, a block and a request, and the engine's own planning of the pool.

Every function is the engine's closed form (vLLM 0.33.0, ``v1/core/kv_cache_planning.py``, ``v1/kv_cache_interface.py``,
``v1/core/kv_cache_utils.py``); tests hold them to what the engine's planner returned, to the byte.
"""

from __future__ import annotations

from glmcalc.facts.columns import cut, either, larger, smaller
from glmcalc.facts.frozen import record
from glmcalc.facts.quantity import ceil_div, engine_gib
from glmcalc.model.geometry import Geometry

RECORDS = ("bf16", "fp8_ds_mla", "fp8_e4m3", "nvfp4_ds_mla")
SOURCE = "https://github.com/vllm-project/vllm (0.33.0: v1/core/kv_cache_planning.py, v1/kv_cache_interface.py)"

_ADVICE = (
    "Try increasing `gpu_memory_utilization` (which also controls CPU memory on the CPU backend) or decreasing "
    "`max_model_len` when initializing the engine. See https://docs.vllm.ai/en/latest/configuration/conserving_memory/ "
    "for more details."
)
NO_BLOCKS_MESSAGE = (
    "No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when initializing the engine "
    "(this flag also controls CPU memory reservation on the CPU backend, despite its name). See "
    "https://docs.vllm.ai/en/latest/configuration/conserving_memory/ for more details."
)
AUTO_FIT_MESSAGE = (
    "Cannot auto-fit max_model_len: not enough GPU memory available to serve even a single token. "
    "Try increasing `gpu_memory_utilization`."
)


def mla_record_bytes(record: str, kv_lora_rank: int, qk_rope_head_dim: int) -> int:
    """Bytes of one token in one layer's MLA cache.

    bf16: two an element. fp8_ds_mla: one an element of the latent, an fp32 scale per 128 of them, the rotary part in
    bf16. fp8_e4m3: one an element. nvfp4_ds_mla: half a byte an element of the latent, an FP8 scale per 16, the rotary
    part in FP8. Source: ``flashmla_sparse.py``, ``MLAAttentionSpec`` (vLLM 0.33.0).

    >>> [mla_record_bytes(record, 512, 64) for record in RECORDS]
    [1152, 656, 576, 352]
    """
    if record == "bf16":
        return 2 * (kv_lora_rank + qk_rope_head_dim)
    if record == "fp8_ds_mla":
        return kv_lora_rank + 4 * (kv_lora_rank // 128) + 2 * qk_rope_head_dim
    if record == "fp8_e4m3":
        return kv_lora_rank + qk_rope_head_dim
    if record == "nvfp4_ds_mla":
        return kv_lora_rank // 2 + kv_lora_rank // 16 + qk_rope_head_dim
    raise KeyError(record)


def indexer_record_bytes(index_head_dim: int) -> int:
    """Bytes of one token in one indexer cache: FP8 key, one fp32 scale per 128 elements (``DeepseekV32Indexer``).

    >>> indexer_record_bytes(128)
    132
    """
    return index_head_dim + 4 * (index_head_dim // 128)


def bytes_per_block(mla_record: int, mla_layers: int, index_record: int, indexers: int, block_size: int) -> int:
    """Bytes of one block on one rank: ``block_size`` tokens in every cache of its layers.

    >>> bytes_per_block(656, 79, 132, 22, 64)  # GLM-5.2, fp8_ds_mla, MTP
    3502592
    """
    return block_size * (mla_record * mla_layers + index_record * indexers)


def blocks_per_request(max_model_len: int, dcp: int, block_size: int) -> int:
    """Blocks that one request of ``max_model_len`` tokens holds on each rank: ``ceil(ceil(L / dcp) / block_size)``.

    >>> blocks_per_request(131072, 1, 64)
    2048
    """
    return ceil_div(ceil_div(max_model_len, dcp), block_size)


def printed_tokens(num_blocks: int, per_request: int, max_model_len: int) -> int:
    """Tokens as the start-up log prints them: ``int(num_blocks / per_request * max_model_len)``, in floating point.

    >>> printed_tokens(18393, 501, 32001)
    1174839
    """
    return cut(num_blocks / per_request * max_model_len)


def estimated_max_model_len(available: int, block_bytes: int, dcp: int, block_size: int) -> int:
    """Longest request that fits beside the null block, in tokens: whole blocks times ``block_size * dcp``."""
    return block_size * dcp * larger((available - block_bytes) // block_bytes, 0)


@record
class Stage:
    """One pipeline stage: its block, and the pool it has (bytes per rank)."""

    bytes_per_block: int
    available: int


@record
class Pool:
    """What the engine makes of the memory left over for KV.

    Attributes:
        fits: the engine starts.
        max_model_len: tokens; found by the engine when auto-fit was asked for, else as given.
        num_blocks: the smallest over stages, null block included. None where nothing is left.
        message: what the engine prints when it does not start, else None.
        estimated_max_model_len: tokens of the longest request that would fit, capped by ``max_model_len``.
        figures: the numbers behind it.
    """

    fits: bool
    max_model_len: int
    num_blocks: int | None
    blocks_per_request: int
    tokens: int | None
    max_concurrency: float | None
    estimated_max_model_len: int | None
    message: str | None
    stage_key: str | None
    figures: PoolFigures


def plan_pool(
    stages: list[Stage],
    max_model_len: int,
    dcp: int = 1,
    block_size: int = 64,
    num_gpu_blocks_override: int | None = None,
    auto_fit: bool = False,
    tokens_from_blocks: bool = False,
) -> Pool:
    """The engine's planning of the pool, stage by stage.

    Args:
        stages: block and available bytes of each pipeline stage.
        max_model_len: tokens; the upper limit when ``auto_fit``.
        dcp: decode context parallel size: a block holds ``block_size * dcp`` tokens over the ranks.
        num_gpu_blocks_override: blocks; takes the place of the available memory.
        auto_fit: find the longest length that fits, as ``--max-model-len auto`` does.
        tokens_from_blocks: print tokens as older engines do, ``num_blocks * block_size * dcp``.
    """
    return pool_of(
        pool_figures(stages, max_model_len, dcp, block_size, num_gpu_blocks_override, auto_fit, tokens_from_blocks)
    )


def pool_of(figures: PoolFigures) -> Pool:
    """The numbers of one deployment with the engine's words, and None for what does not exist."""
    length, needed = figures.max_model_len, figures.blocks_per_request
    key = POOL_STAGES[figures.outcome]
    if figures.outcome == NO_LENGTH:
        return Pool(False, 0, None, 0, None, None, None, AUTO_FIT_MESSAGE, key, figures)
    if figures.outcome == NO_BLOCKS:
        return Pool(False, length, None, needed, None, None, None, NO_BLOCKS_MESSAGE, key, figures)
    message = None
    if figures.outcome == TOO_SMALL:
        message = too_long_message(length, figures.short_of, figures.usable, figures.estimated_max_model_len)
    return Pool(
        figures.outcome == FITS, length, figures.num_blocks, needed, figures.tokens, figures.max_concurrency,
        figures.estimated_max_model_len, message, key, figures,
    )  # fmt: skip


FITS, TOO_SMALL, NO_BLOCKS, NO_LENGTH = range(4)
POOL_STAGES = (None, "startup_kv_too_small", "startup_no_kv_blocks", "startup_no_kv_blocks")


@record
class PoolFigures:
    """The numbers of a :class:`Pool`; each may be a column.

    Attributes:
        outcome: :data:`FITS`, :data:`TOO_SMALL`, :data:`NO_BLOCKS` or :data:`NO_LENGTH` (auto-fit finds none). Under the last
            two, blocks, tokens, concurrency and estimate are 0 and mean nothing.
        short_of, usable: bytes that one request needs, and has, on the first stage on which it does not fit; else 0.
    """

    outcome: int
    max_model_len: int
    num_blocks: int
    blocks_per_request: int
    tokens: int
    max_concurrency: float
    estimated_max_model_len: int
    short_of: int
    usable: int


def pool_figures(
    stages: list[Stage],
    max_model_len: int,
    dcp: int,
    block_size: int,
    num_gpu_blocks_override: int | None,
    auto_fit: bool,
    tokens_from_blocks: bool,
) -> PoolFigures:
    """The engine's planning in numbers; arguments as for :func:`plan_pool`, and sizes may be columns."""
    budgets = [
        num_gpu_blocks_override * stage.bytes_per_block if num_gpu_blocks_override is not None else stage.available
        for stage in stages
    ]
    estimates = [estimated_max_model_len(b, s.bytes_per_block, dcp, block_size) for s, b in zip(stages, budgets)]
    blocks = least_of([budget // stage.bytes_per_block for stage, budget in zip(stages, budgets)])
    length, outcome, short_of, usable = max_model_len, FITS, 0, 0
    if auto_fit:
        length = smaller(max_model_len, least_of(estimates))
        outcome = either(length > 0, FITS, NO_LENGTH)
        length = larger(length, 0)
    needed = blocks_per_request(length, dcp, block_size)
    estimate = smaller(least_of(estimates), max_model_len)
    for stage, budget, own in zip(stages, budgets, estimates):  # the first stage that does not hold it decides
        left, asked = budget - stage.bytes_per_block, needed * stage.bytes_per_block
        here = either(left <= 0, NO_BLOCKS, either(asked > left, TOO_SMALL, FITS))
        first = (outcome == FITS) & (here != FITS)
        outcome = either(first, here, outcome)
        estimate = either(first, smaller(own, length), estimate)
        short_of, usable = either(first, asked, short_of), either(first, left, usable)
    known = outcome < NO_BLOCKS
    blocks, needed = either(known, blocks, 0), either(outcome == NO_LENGTH, 0, needed)
    each = larger(needed, 1)
    tokens = blocks * block_size * dcp if tokens_from_blocks else printed_tokens(blocks, each, length)
    return PoolFigures(
        outcome, length, blocks, needed, tokens, blocks / each, either(known, estimate, 0), short_of, usable
    )  # fmt: skip


def requests_at_once(pool: PoolFigures) -> int:
    """Requests of full length that the pool of one replica holds at once, beside the null block."""
    return either(pool.outcome == FITS, (pool.num_blocks - 1) // larger(pool.blocks_per_request, 1), 0)


def least_of(values: list[int]) -> int:
    """The smallest of some numbers or columns."""
    least = values[0]
    for value in values[1:]:
        least = smaller(least, value)
    return least


def too_long_message(max_model_len: int, needed: int, available: int, estimate: int) -> str:
    """What the engine prints when one request does not fit; ``available`` is without the null block."""
    guess = f" Based on the available memory, the estimated maximum model length is {estimate}." if estimate > 0 else ""
    return (
        f"To serve at least one request with the model's max seq len ({max_model_len}), ({engine_gib(needed)} GiB KV "
        f"cache is needed, which is larger than the available KV cache memory ({engine_gib(available)} GiB).{guess} {_ADVICE}"
    )


@record
class CacheLayers:
    """How many caches the ranks of one stage hold."""

    mla: int
    indexer: int


def cache_layers(geometry: Geometry, layers: range, mtp: bool, last: bool, all_indexers: bool) -> CacheLayers:
    """MLA and indexer caches of one pipeline stage; an MTP layer, on the last stage, has one of each.

    Current engines give a main layer an indexer cache only where it owns an indexer; those up to vLLM 0.23.0 gave one
    to every layer (``data/engine_versions.json``).
    """
    draft = int(mtp and last)
    if not geometry.sparse:
        return CacheLayers(len(layers) + draft, 0)
    owners = len(layers) if all_indexers else sum(layer in layers for layer in geometry.indexer_layers)
    return CacheLayers(len(layers) + draft, owners + draft)
