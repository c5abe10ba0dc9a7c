"""The ends of a deployment: the greatest context for so many requests, and the most requests of a length, at the pessimistic end.

Each is found between two budgets of which one holds and the next step does not; pools shrink slowly with length, so the pool
at one length says nearly where the end is.
"""

from __future__ import annotations

from glmcalc.budget.kv import blocks_per_request
from glmcalc.budget.margins import margins
from glmcalc.budget.plan import figures_of
from glmcalc.budget.workspaces import LONG
from glmcalc.facts.frozen import record, replace
from glmcalc.model.resolved import Resolved
from glmcalc.solve.size_fit import Fit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

SEQUENCES = (1, 2, 4, 8, 16)
CONTEXTS = (32_768, 131_072, 524_288, 1_048_576)
_CELLS = 256


@record
class Ends:
    """Of one deployment: ``context`` at the need's requests, ``requests`` at the need's context; None where there is none."""

    context: int | None
    requests: int | None


def ends_of(fit: Fit, context: int, concurrency: int) -> Ends:
    """The greatest context at ``concurrency`` requests and the most requests of ``context`` tokens, in this deployment.

    0 requests and no context where it does not even hold one, or does not start.
    """
    if fit.status == "unsupported" or fit.plan.verdict.stage == "weights_load":
        return Ends(None, None)
    line = line_of(fit)
    return Ends(line.greatest_context(concurrency), line.most_requests(context))


def limits_of(fit: Fit) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Greatest context at 1 to 16 requests, most requests at 32K to 1M; null where not one fits.

    Sizes of context parallelism are free: each cell takes the smallest that reaches its value, and says which.
    """
    if fit.status == "unsupported" or fit.plan.verdict.stage == "weights_load":
        return (
            [{"sequences": count, "max_context": None, "decode_context_parallel_size": None} for count in SEQUENCES],
            [{"context": length, "max_concurrency": None, "decode_context_parallel_size": None} for length in CONTEXTS],
        )
    lines = [(size, line_of(fit, size)) for size in _context_sizes(fit)]
    lengths = []
    for count in SEQUENCES:
        size, value = _best(lines, lambda line: line.greatest_context(count), lines[0][1].longest)  # noqa: B023
        lengths.append({"sequences": count, "max_context": value, "decode_context_parallel_size": size})
    requests = []
    for length in CONTEXTS:
        if length > lines[0][1].longest:
            continue
        size, value = _best(lines, lambda line: line.most_requests(length), None)  # noqa: B023
        requests.append({"context": length, "max_concurrency": value, "decode_context_parallel_size": size})
    return lengths, requests


def _best(
    lines: list[tuple[int | None, Any]], ask: Callable[[Any], int | None], enough: int | None
) -> tuple[int | None, int | None]:
    best: tuple[int | None, int | None] = (None, None)
    for size, line in lines:
        value = ask(line)
        if value is not None and (best[1] is None or value > best[1]):
            best = size, value
        if enough is not None and value == enough:
            break
    return best


def _context_sizes(fit: Fit) -> list[int | None]:
    r = fit.plan.resolved
    if r.asked.engine != "vllm":
        return [None]
    own = r.dcp
    heads = r.checkpoint.geometry.num_attention_heads
    widest = max([size for size in (1, 2, 4, 8, 16) if r.tp % size == 0 and heads // r.tp < 32], default=1)
    return [own] if widest <= own or r.record == "bf16" else [own, widest]


def line_of(fit: Fit, dcp: int | None = None) -> VllmLine | SglangLine | LlamacppLine:
    """What holds along lengths and requests in the fit's deployment, under its engine's rules."""
    engine = fit.deployment.engine
    if engine == "sglang":
        return SglangLine(fit)
    if engine == "llama.cpp":
        return LlamacppLine(fit)
    return VllmLine(fit.plan.resolved if dcp is None else replace(fit.plan.resolved, dcp=dcp))


class VllmLine:
    """One deployment of vLLM along lengths and sequences: the pool at the pessimistic end, and every other limit."""

    def __init__(self, resolved: Resolved) -> None:
        self._resolved = resolved
        self._made: dict[tuple[int, int], tuple[bool, int]] = {}
        self.longest = resolved.checkpoint.geometry.max_position_embeddings

    def at(self, length: int, requests: int) -> tuple[bool, int]:
        """Whether no limit but the pool is crossed, and the blocks of the smallest pool, with ``requests`` as max_num_seqs."""
        key = length, requests
        if key not in self._made:
            r = replace(self._resolved, max_model_len=length, max_num_seqs=requests)
            made = figures_of(r)
            parts = {part.name: part.band for part in made.components}
            limits = margins(r, parts, made.pools, made.memory)
            self._made[key] = all(limit.band.low >= 0 for limit in limits), max(made.pools[0].num_blocks, 0)
        return self._made[key]

    def holds(self, length: int, requests: int) -> bool:
        """Whether ``requests`` of one replica fit at once at the pessimistic end."""
        clear, _ = self.at(length, requests)
        return clear and self._room(length, requests) >= requests

    def _room(self, length: int, requests: int) -> int:
        r = self._resolved
        _, blocks = self.at(length, requests)
        return (blocks - 1) // blocks_per_request(length, r.dcp, r.block_size)

    def greatest_context(self, concurrency: int) -> int | None:
        """Tokens, in whole blocks; of ``concurrency`` requests spread over the replicas."""
        r = self._resolved
        each, step = -(-concurrency // r.dp), r.block_size * r.dcp
        if each > r.max_num_batched_tokens:
            return None
        pieces = [(LONG, self.longest), (0, min(LONG, self.longest))] if self.longest > LONG else [(0, self.longest)]
        for low, high in pieces:
            found = last_step(low // step, high // step, lambda k: self.holds(k * step, each), lambda k: self._next(k * step, each) // step)  # fmt: skip
            if found is not None:
                return found * step
        return None

    def _next(self, length: int, each: int) -> int:
        """Tokens of each request that the pool at this length would hold."""
        r = self._resolved
        _, blocks = self.at(length, each)
        return max((blocks - 1) // each, 0) * r.block_size * r.dcp

    def most_requests(self, context: int) -> int | None:
        """Requests over all replicas; None where not one fits."""
        r = self._resolved
        found = last_step(
            0,
            r.max_num_batched_tokens,
            lambda count: self.holds(context, count),
            lambda count: self._room(context, count),
        )
        return None if found is None else found * r.dp


def last_step(low: int, high: int, holds: Callable[[int], bool], guess: Callable[[int], int]) -> int | None:
    """The last whole number above ``low`` and up to ``high`` that holds while the next does not; None where none does.

    Args:
        guess: from a number, the one that what is there at it would allow; near the answer, since it moves slowly.

    >>> last_step(0, 1000, lambda n: n <= 700 - n // 10, lambda n: 700 - n // 10)
    637
    """
    good, bad = low, high + 1
    at = low + 1
    while bad - good > 1:
        at = min(max(at, good + 1), bad - 1)
        near = guess(at)
        if holds(at):
            good = at
            at = near if near > good else (good + bad) // 2
        else:
            bad = at
            at = near if good < near < bad else (good + bad) // 2
        if at >= bad:
            at = bad - 1
    return good if good > low else None


class SglangLine:
    """One deployment of SGLang: its pool hardly depends on length, so the tokens at the need's length stand for all."""

    def __init__(self, fit: Fit) -> None:
        self._tokens = max(fit.plan.kv.tokens[0], 0)
        self._groups = fit.replicas
        self.longest = fit.plan.resolved.checkpoint.geometry.max_position_embeddings

    def greatest_context(self, concurrency: int) -> int | None:
        """Tokens, in whole pages."""
        each = -(-concurrency // self._groups)
        return min(self._tokens // each // 64 * 64, self.longest) or None

    def most_requests(self, context: int) -> int | None:
        """Requests over all groups; None where not one fits."""
        return self._tokens // context * self._groups or None


class LlamacppLine:
    """One deployment of llama.cpp: all slots have their cells from the start, and the compute buffer grows with them."""

    def __init__(self, fit: Fit) -> None:
        self._asked = fit.deployment
        self._made: dict[tuple[int, int], tuple[int, int]] = {}
        self.longest = fit.plan.resolved.file.geometry.max_position_embeddings

    def _at(self, length: int, slots: int) -> tuple[int, int]:
        """Bytes left for the cache at the pessimistic end, and those of the cache, on the fullest GPU."""
        from glmcalc.budget.llamacpp import plan_llamacpp

        key = length, slots
        if key not in self._made:
            made = plan_llamacpp(self._asked.changed(ctx_size=length * slots, parallel=slots))
            dead = made.verdict.status == "does_not_fit"
            self._made[key] = -1 if dead else made.kv.available.low, made.kv.more["needed_bytes_per_gpu"]
        return self._made[key]

    def _holds(self, length: int, slots: int) -> bool:
        room, needed = self._at(length, slots)
        return room >= needed

    def _share(self, length: int, slots: int) -> float:
        room, needed = self._at(length, slots)
        return max(room, 0) / needed if needed else 1.0

    def greatest_context(self, concurrency: int) -> int | None:
        """Tokens of one slot, in whole steps of 256."""
        found = last_step(
            0, self.longest // _CELLS, lambda k: self._holds(k * _CELLS, concurrency),
            lambda k: int(k * self._share(k * _CELLS, concurrency)),
        )  # fmt: skip
        return None if found is None else found * _CELLS

    def most_requests(self, context: int) -> int | None:
        """Slots of ``context`` tokens; None where not one fits."""
        return last_step(
            0, 4096, lambda count: self._holds(context, count), lambda count: int(count * self._share(context, count))
        )
