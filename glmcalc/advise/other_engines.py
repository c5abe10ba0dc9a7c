"""Changes for engines that are not budgeted here: SGLang and llama.cpp. Their size comes from the log's own figures."""

from __future__ import annotations

import math
import re

from glmcalc.advise.changes import Change
from glmcalc.facts.quantity import GIB, gib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from glmcalc.advise.case import Case

_SPARE = GIB
_UBATCH = re.compile(r"n_ubatch\s*=\s*(\d+)|(?:-ub|--ubatch-size)[ =](\d+)")
_DEFAULT_UBATCH = 512


def lower_fraction(case: Case) -> Change:
    """SGLang's static share down by what was short and a GiB, at least by 0.02."""
    now = _number(case, "mem_fraction_static")
    tried, free, total = case.value("tried_bytes"), case.value("free_bytes"), case.value("gpu_total_bytes")
    step, why = 0.02, "what ran out lies outside the static share"
    if tried is not None and free is not None and total and tried > free:
        step = max(step, (tried - free + _SPARE) / total)
        why += f", which was short by {gib(tried - free)} GiB"
    step = math.ceil(100 * step - 1e-6) / 100
    to = round(now - step, 2) if now is not None and now - step > 0.3 else None
    told = f"--mem-fraction-static {to:g}" if to is not None else f"Lower --mem-fraction-static by {step:g}"
    return Change("flag", "--mem-fraction-static", now, to, f"{told}: {why}.", "a smaller pool")


def raise_fraction(case: Case) -> Change:
    """SGLang's static share up: it must hold weights and pool."""
    now = _number(case, "mem_fraction_static")
    to = round(min(now + 0.04, 0.95), 2) if now is not None and now < 0.93 else None
    told = f"--mem-fraction-static {to:g}" if to is not None else "Raise --mem-fraction-static by 0.02 to 0.05"
    text = f"{told}: the static share must hold weights and pool; graphs and peaks take the rest."
    return Change("flag", "--mem-fraction-static", now, to, text, "less left for graphs and run-time peaks")


def smaller_chunk(case: Case) -> Change:
    """SGLang's prefill chunk: half, or as small as what was free would have granted."""
    now = _number(case, "chunked_prefill_size")
    to: int | None = None
    if now is not None and now > 1024:
        to = int(now) // 2
        tried, free = case.value("tried_bytes"), case.value("free_bytes")
        while tried and free is not None and to > 1024 and tried * to / now + _SPARE / 2 > free:
            to //= 2
    told = f"--chunked-prefill-size {to}" if to else "Lower --chunked-prefill-size by half"
    text = f"{told}: the step's scratch shrinks with it."
    before = int(now) if now is not None else None
    return Change("flag", "--chunked-prefill-size", before, to, text, "long prompts prefill in more chunks")


def fewer_running(case: Case) -> Change:
    """SGLang's cap on requests in the batch, at half of what ran."""
    now = _number(case, "max_running_requests")
    to = max(int(now) // 2, 1) if now else None
    told = f"--max-running-requests {to}" if to else "Lower --max-running-requests to what the pool holds"
    text = f"{told}, or raise --schedule-conservativeness: requests wait instead of being put back."
    before = int(now) if now is not None else None
    return Change("flag", "--max-running-requests", before, to, text, "requests beyond it wait")


def smaller_ubatch(case: Case) -> Change:
    """llama.cpp's physical batch: the compute buffer shrinks with it."""
    found = [match for line in case.facts.lines if (match := _UBATCH.search(line.text))]
    now = int(found[-1][1] or found[-1][2]) if found else _DEFAULT_UBATCH
    to = max(now // 2, 32)
    text = f"-ub {to}: the compute buffer shrinks with the physical batch; halve it again if it still does not fit."
    return Change("flag", "-ub", now, to, text, "long prompts are read more slowly")


def _number(case: Case, name: str) -> float | None:
    value = case.facts.arguments.get(name)
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


# What vLLM's settings are called elsewhere; None: there is no such thing.
_NAMES: dict[str, dict[str, str | None]] = {
    "sglang": {
        "gpu_memory_utilization": "mem_fraction_static", "max_model_len": "context_length", "max_num_seqs": "max_running_requests",
        "max_num_batched_tokens": "chunked_prefill_size", "enforce_eager": "disable_cuda_graph", "kv_cache_dtype": "kv_cache_dtype",
    },
    "llama.cpp": {
        "gpu_memory_utilization": None, "max_model_len": "-c", "max_num_seqs": "-np", "max_num_batched_tokens": None,
        "enforce_eager": None, "kv_cache_dtype": "-ctk, -ctv",
    },
}  # fmt: skip


def not_to_touch(rows: list[dict[str, str]], engine: str | None) -> list[dict[str, str]]:
    """What not to touch, in the words of ``engine``; rows whose settings it does not have are left out."""
    names = _NAMES.get(engine or "")
    if names is None:
        return rows
    told = []
    for row in rows:
        words = [(name, names.get(name.split()[0], name.split()[0])) for name in row["name"].split(", ")]
        kept = [" ".join((other, *name.split()[1:])) for name, other in words if other]
        if kept:
            told.append({"name": ", ".join(kept), "why": row["why"]})
    return told
