"""Requests and tokens of one engine step: vLLM's defaults, and how they follow from each other."""

from __future__ import annotations

from glmcalc.facts.columns import larger, smaller
from glmcalc.facts.errors import InputError
from glmcalc.facts.hardware import Device, Memory
from glmcalc.facts.quantity import GIB


def default_batch(chip: Device, memory: Memory | None) -> tuple[int, int]:
    """``max_num_seqs`` and ``max_num_batched_tokens`` of the API server before anything is stated, by the GPU's memory.

    Source: ``vllm/engine/arg_utils.py:get_batch_defaults`` (vLLM 0.33.0).
    """
    total = memory.bytes if memory else 0
    if total >= 160 * GIB:
        return 1024, 16384
    if total >= 70 * GIB and "a100" not in chip.id:
        return 1024, 8192
    return 256, 2048


def filled_batch(
    seqs: int | None, tokens: int | None, length: int, defaults: tuple[int, int], chunked: bool
) -> tuple[int, int]:
    """``max_num_seqs`` and ``max_num_batched_tokens``, what is None filled in as the engine does; numbers or columns.

    A stated value stays. Tokens that are not stated are the default, at least ``max_model_len`` where prefill is not chunked,
    and at most what ``max_num_seqs`` requests of full length hold; requests that are not stated are the default, at most the
    tokens. Source: ``vllm/engine/arg_utils.py:_set_default_max_num_seqs_and_batched_tokens_args``, which the releases 0.20.0
    to 0.33.0 share; its limit by requests and length is described in https://github.com/vllm-project/vllm/pull/40063.

    Args:
        seqs, tokens: as stated, or None.
        length: ``max_model_len`` in tokens.
        defaults: as :func:`default_batch` gives them.
        chunked: whether a prompt may be prefilled in several steps.

    >>> filled_batch(None, None, 131_072, (1024, 8192), chunked=True)
    (1024, 8192)
    >>> filled_batch(None, None, 131_072, (1024, 8192), chunked=False)
    (1024, 131072)
    >>> filled_batch(1, None, 4096, (1024, 8192), chunked=True)
    (1, 4096)
    """
    if tokens is None:
        tokens = defaults[1] if chunked else larger(length, defaults[1])
        tokens = smaller((defaults[0] if seqs is None else seqs) * length, tokens)
    if seqs is None:
        seqs = smaller(defaults[0], tokens)
    return seqs, tokens


def batch_allowed(seqs: int, tokens: int, length: int, chunked: bool) -> bool:
    """Whether the engine starts with them; numbers or columns (``vllm/config/scheduler.py:verify_max_model_len``)."""
    room = seqs <= tokens
    return room if chunked else room & (length <= tokens)


def check_batch(stated: int | None, seqs: int, tokens: int, length: int, chunked: bool) -> None:
    """Refuse what the engine refuses.

    Args:
        stated: ``max_num_batched_tokens`` as asked for, or None.

    Raises:
        InputError: fewer tokens a step than requests, or, where prefill is not chunked, than one prompt may have.
    """
    if batch_allowed(seqs, tokens, length, chunked):
        return
    if seqs > tokens and stated is None:
        raise InputError(
            "max_num_seqs", seqs, f"at most max_num_batched_tokens, which is {tokens:,} where it is not stated",
            f"max_num_seqs {seqs:,} is above max_num_batched_tokens, which is {tokens:,} where it is not stated: vLLM refuses that; "
            f"say --max-num-batched-tokens {seqs} too.",
        )  # fmt: skip
    if seqs > tokens:
        raise InputError("max_num_batched_tokens", tokens, f"at least max_num_seqs ({seqs})")
    raise InputError(
        "max_num_batched_tokens", tokens, f"at least max_model_len ({length:,}) where prefill is not chunked",
        f"max_num_batched_tokens ({tokens:,}) is smaller than max_model_len ({length:,}), and prefill is not chunked: vLLM "
        "refuses that; leave --no-enable-chunked-prefill out.",
    )  # fmt: skip
