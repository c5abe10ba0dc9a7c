"""Where llama.cpp dies, in its order: the model buffers, the cache, the compute buffers; and the host's own memory."""

from __future__ import annotations

from glmcalc.budget.other_result import TokenPool
from glmcalc.budget.other_verdict import apart, decide, spread
from glmcalc.budget.result import Verdict
from glmcalc.budget.verdict import Check
from glmcalc.facts.quantity import MIB, Band, combine, gib
from glmcalc.model.llamacpp_settings import LlamacppResolved

CACHE_LINE = "the lines `KV buffer size` and `compute buffer size`"
_METAL = "warning: current allocated size is greater than the recommended max working set size"
_HOST_KEEPS = 0.03  # of all memory, for what is no model


def judge_llamacpp(
    r: LlamacppResolved, weights: Band, cache: int, compute: Band, free: Band, room: Band, host: Band, pool: TokenPool
) -> Verdict:
    """The verdict on one deployment.

    Args:
        weights, cache, compute: bytes on the fullest GPU; free: what it has for them; room: what is left for the cache.
        host: bytes of weights in the host's memory.
    """
    given = r.asked.available_kv_bytes is not None
    if r.memory is None and not given:
        return Verdict(
            "unsupported", None, f"The memory of {r.device.name} is not known.", "Give --gpu-memory-gib from its log."
        )
    checks = [_cache_check(r, cache, room, pool)]
    if not given:
        checks = [_weights_check(r, weights, free), *_host_checks(r, weights, cache, compute, host), *checks, _compute_check(r, weights, cache, compute, free)]  # fmt: skip
    return decide(checks, r.refusals, () if given else r.uncertain, _capacity(r, cache, weights, room), CACHE_LINE)


def _refused(r: LlamacppResolved, size: int, then: str) -> str:
    """What the backend prints where an allocation fails; a Mac only warns, and then swaps or aborts."""
    if r.device.architecture == "apple":
        return _METAL
    return (
        f"ggml_backend_cuda_buffer_type_alloc_buffer: allocating {size / MIB:.2f} MiB on device 0: cudaMalloc failed: out of "
        f"memory; {then}"
    )


def _place(r: LlamacppResolved) -> str:
    return "each GPU" if r.gpus > 1 else "the GPU"


def _usable(r: LlamacppResolved) -> str:
    return f"; {r.memory.note}" if r.memory is not None and r.memory.note and r.unified else ""


def _weights_check(r: LlamacppResolved, weights: Band, free: Band) -> Check:
    fewer = "Keep experts on the CPU (--n-cpu-moe), or take a smaller file."
    return Check(
        "weights_load", apart(free, weights),
        f"The layers on {_place(r)} take {gib(weights.likely)} GiB ({spread(weights)}), and {gib(free.likely)} GiB "
        f"({spread(free)}) is free{_usable(r)}.",
        fewer if not r.unified else "Take a smaller file" + (_raise_limit(r) or ".") ,
        "the line `model buffer size`", _refused(r, weights.likely, "unable to allocate CUDA0 buffer"),
    )  # fmt: skip


def _raise_limit(r: LlamacppResolved) -> str:
    if r.device.architecture != "apple" or r.ram_bytes is None:
        return ""
    most = int((r.ram_bytes * 0.93) // MIB)
    return f", or raise the working set: sudo sysctl iogpu.wired_limit_mb={most} (0.93 of all memory; until the next start)."


def _cache_check(r: LlamacppResolved, cache: int, room: Band, pool: TokenPool) -> Check:
    fits = max(room.low, 0) * r.cells // cache // 1000 * 1000 if cache else r.cells
    smaller = "" if r.cache_type not in ("f16", "bf16", "f32") else ", or --cache-type-k q8_0 (0.53 of f16)"
    if r.asked.available_kv_bytes is not None:
        room_text = "as given"
    else:
        room_text = f"{gib(room.likely)} GiB ({spread(room)}) is left beside weights and compute buffer"
        if room.likely < 0:
            room_text = _too_much(room)
    return Check(
        "startup_kv_too_small", Band(room.low - cache, room.likely - cache, room.high - cache),
        f"The cache of {r.cells:,} cells ({r.slots} x {r.slot_cells:,} tokens, {r.cache_type}, {pool.bytes_per_token:,} bytes each) takes "
        f"{gib(cache)} GiB on {_place(r)}, and {room_text}{_usable(r)}.",
        (f"Set -c {fits} to fit for sure{smaller}." if fits > 0 else f"Take a smaller file or more memory{smaller}{_raise_limit(r) or '.'}"),
        CACHE_LINE, _refused(r, cache, "llama_init_from_model: failed to allocate buffer for kv cache"),
    )  # fmt: skip


def _too_much(room: Band) -> str:
    """By how much weights and compute buffer alone are beyond what there is, in words for a room below zero."""
    best = f"{gib(-room.high)} at best" if room.high < 0 else f"at best {gib(room.high)} is left"
    return f"weights and compute buffer alone exceed what there is by {gib(-room.likely)} GiB (at worst by {gib(-room.low)}, {best})"


def _compute_check(r: LlamacppResolved, weights: Band, cache: int, compute: Band, free: Band) -> Check:
    all_of_it = combine([weights.plus(Band.exact(cache)), compute])
    return Check(
        "runtime_activation", apart(free, all_of_it),
        f"Weights, cache and compute buffer take {gib(all_of_it.likely)} GiB on {_place(r)} ({spread(all_of_it)}), the compute "
        f"buffer {gib(compute.likely)} of it ({spread(compute)}); {gib(free.likely)} GiB ({spread(free)}) is free{_usable(r)}.",
        "Lower -ub, then -c: the compute buffer grows with both.", "the line `compute buffer size`",
        _refused(r, compute.likely, "graph_reserve: failed to allocate compute buffers"),
    )  # fmt: skip


def _host_checks(r: LlamacppResolved, weights: Band, cache: int, compute: Band, host: Band) -> list[Check]:
    """Shared memory has to hold what is on the CPU too."""
    if r.ram_bytes is None:
        return []
    there = Band.exact(round(r.ram_bytes * (1 - _HOST_KEEPS)))
    fixed = weights.plus(compute).plus(Band.exact(cache))
    need = fixed.plus(host)
    margin = apart(there, need)
    paged = "--no-mmap" not in r.asked.kept and host.likely > 0 and there.likely > fixed.likely
    if paged:  # what is mapped on the CPU can be read from disk again and again
        margin = Band(margin.low, margin.likely, max(margin.high, 0))
    end = " The rest is then read from disk over and over: it starts, and crawls." if paged else ""
    return [
        Check(
            "host_ram", margin,
            f"All of it takes {gib(need.likely)} GiB ({spread(need)}) of a memory of {gib(r.ram_bytes)} GiB that GPU and CPU "
            f"share.{end}",
            "Take a smaller file or a shorter context: moving layers to the CPU frees nothing here.",
            "the machine's free memory", None,
        )
    ]  # fmt: skip


def _capacity(r: LlamacppResolved, cache: int, weights: Band, room: Band) -> str:
    return (
        f"{r.slots} x {r.slot_cells:,} tokens: the cache takes {gib(cache)} GiB on {_place(r)} beside {gib(weights.likely)} GiB of "
        f"weights, and {gib(room.likely - cache)} GiB ({gib(room.low - cache)} to {gib(room.high - cache)}) stays free."
    )
