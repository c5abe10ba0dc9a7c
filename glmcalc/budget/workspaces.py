"""Buffers that the sparse-attention kernels reserve: the shared workspace, and those made after the budget is fixed.

Source of every formula: vLLM 0.33.0, read from its source: ``v1/worker/workspace.py``, ``flashmla_sparse.py``,
``sparse_attn_indexer.py``, ``indexer.py``. All take plain numbers; which one applies is decided by the caller.
"""

from __future__ import annotations

from glmcalc.facts.quantity import ceil_div

SOURCE = "https://github.com/vllm-project/vllm (0.33.0: v1/worker/workspace.py, flashmla_sparse.py, indexer.py)"
LONG = 262_144
_INDEXER_ROWS = 8  # 1152 // 132 indexer rows fit where one bf16 MLA row does
_CHUNK_TOKENS = 65_536
_TOPK_MASK = 128 * 1024 * 1024


def flashmla_workspace_bytes(
    tokens: int, heads: int, length: int, factor: int, latent: int = 512, rope: int = 64
) -> int:
    """Bytes that FlashMLA's sparse kernel reserves for a quantized cache.

    In bf16, with ``h`` heads a rank and ``hp`` those padded to 64:
    ``T*h*576 + f*L*576 + T*hp*576 + T*hp*512 + T*h*512`` elements.

    Args:
        tokens: ``max_num_batched_tokens``.
        heads: attention heads of one rank.
        length: ``max_model_len`` as asked, in tokens.
        factor: 5 up to 262,144 tokens; above, 5 or 2 by release.

    >>> round(flashmla_workspace_bytes(8192, 8, 131072, 5) / 2**20)
    1944
    """
    padded = ceil_div(heads, 64) * 64
    wide = latent + rope
    elements = tokens * heads * (wide + latent) + factor * length * wide + tokens * padded * (wide + latent)
    return 2 * elements


def bf16_workspace_bytes(tokens: int, heads: int, latent: int = 512, rope: int = 64) -> int:
    """Bytes that the sparse kernel reserves for a bf16 cache: padded queries only, ``T*hp*576`` elements."""
    return 2 * tokens * ceil_div(heads, 64) * 64 * (latent + rope)


def indexer_gather_bytes(length: int, factor: int, index_record: int = 132) -> int:
    """Bytes of the indexer's gather buffer: ``L * f * 8 * 132``, whatever the KV record.

    >>> indexer_gather_bytes(262144, 5) / 2**20
    1320.0
    """
    return length * factor * _INDEXER_ROWS * index_record


def late_buffer_bytes(
    tokens: int, seqs: int, length: int, dcp: int, block_size: int, latent_width: int, sparse: bool, blackwell: bool
) -> int:
    """Bytes allocated after the pool is sized, by the metadata builders and block tables: outside the budget.

    Indexer's expanded block table ``T * ceil(L/(64 dcp)) * 4``; two block tables ``S * ceil(L/(64 dcp)) * 4``; two
    builders' chunked-prefill workspaces of 65,536 tokens in bf16, on SM10x with a 128 MiB top-k mask each.

    >>> round(late_buffer_bytes(8192, 256, 131072, 1, 64, 576, True, False) / 2**20)
    212
    """
    columns = ceil_div(length, block_size * dcp)
    builders = 2 if sparse else 1
    size = 2 * seqs * columns * 4 + builders * _CHUNK_TOKENS * latent_width * 2
    if sparse:
        size += tokens * columns * 4
        if blackwell:
            size += builders * _TOPK_MASK
    return size


def decode_logits_bytes(rows: int, length: int, upcast: bool) -> int:
    """Bytes of the indexer's paged decode logits: ``rows x L`` in fp32, twice on SM100. Made at run time, never profiled.

    >>> decode_logits_bytes(1, 1048576, False) / 2**20
    4.0
    """
    return rows * length * 4 * (2 if upcast else 1)


def split_kv_accumulator_bytes(tokens: int, heads: int = 64, latent: int = 512) -> int:
    """Bytes of FlashMLA's unused split-KV accumulators for a mixed batch: ``2 * T * h * 512 * 4``, unprofiled.

    One request and one partition; heads are padded to 64. Releases before vllm-project/vllm#53755.

    >>> split_kv_accumulator_bytes(32768) / 2**30
    8.0
    """
    return 2 * tokens * heads * latent * 4
