"""One deployment along lengths and requests: what its pool holds at the pessimistic end, without a whole budget at each point.

Under vLLM only what moves with ``max_model_len`` and ``max_num_seqs`` is worked out anew: workspace, activation, graphs, late
buffers and peaks, by the budget's own functions. Tests hold the outcome to :func:`glmcalc.plan`, at the end and one block on.
"""

from __future__ import annotations

from glmcalc.budget import runtime
from glmcalc.budget.kv import blocks_per_request
from glmcalc.budget.margins import margins
from glmcalc.budget.plan import figures_of
from glmcalc.budget.workspaces import LONG
from glmcalc.facts.columns import raised
from glmcalc.facts.frozen import replace
from glmcalc.facts.quantity import Band, ceil_div, combine
from glmcalc.model.resolved import Resolved

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Iterator

    from glmcalc.budget.other_result import OtherPlan
    from glmcalc.budget.result import Plan

_CELLS = 256
_MOST_SLOTS = 4_096
_SECANTS = 8


def last_step(low: int, high: int, holds: Callable[[int], bool], guess: Callable[[int], int]) -> int | None:
    """The last whole number above ``low`` and up to ``high`` that holds while the next does not; None where none does.

    Args:
        guess: from a number, the one that what is there at it would allow; it falls slowly, so that where it meets the number
            itself is found by the line through two of them. Where another limit binds, by halving.

    >>> last_step(0, 1000, lambda n: n <= 700 - n // 10, lambda n: 700 - n // 10)
    637
    """
    good, bad, at = low, high + 1, high
    points: list[tuple[int, int]] = []
    for count in range(200):
        if bad - good <= 1:
            break
        at = min(max(at, good + 1), bad - 1)
        if holds(at):
            good = at
        else:
            bad = at
        points = [*points[-1:], (at, guess(at))]
        at = _meeting(points) if count < _SECANTS else (good + bad) // 2
    return good if good > low else None


def _meeting(points: list[tuple[int, int]]) -> int:
    """Where the line through the points meets the diagonal; with one point, or a level line, the last guess."""
    if len(points) == 1:
        return points[0][1]
    (one, at_one), (two, at_two) = points
    slope = (at_two - at_one) / (two - one) if two != one else 0.0
    return at_two if slope >= 1 else int((at_one - slope * one) / (1 - slope))


class VllmLine:
    """One deployment of vLLM.

    Args:
        made: its budget; without a stated pool or printed weights.
        dcp: another size of decode context parallelism, in place of its own.
    """

    def __init__(self, made: Plan, dcp: int | None = None) -> None:
        r = made.resolved if dcp is None else replace(made.resolved, dcp=dcp)
        self._resolved, self._plan = r, made
        self._made: dict[tuple[int, int], tuple[bool, int]] = {}
        self._parts = {part.name: part.band for part in made.components}
        stock = r.pp == 1 and made.memory is not None and r.asked.calibration is None
        self._at = self._by_parts if stock else self._by_figures
        self.longest = r.checkpoint.geometry.max_position_embeddings

    def at(self, length: int, requests: int) -> tuple[bool, int]:
        """Whether no limit but the pool's is crossed, and the pool's blocks, with ``requests`` as ``max_num_seqs``."""
        key = length, requests
        if key not in self._made:
            self._made[key] = self._at(replace(self._resolved, max_model_len=length, max_num_seqs=requests))
        return self._made[key]

    def _by_figures(self, r: Resolved) -> tuple[bool, int]:
        made = figures_of(r)
        limits = margins(r, {part.name: part.band for part in made.components}, made.pools, made.memory)
        return all(limit.band.low >= 0 for limit in limits), made.pools[0].num_blocks

    def _by_parts(self, r: Resolved) -> tuple[bool, int]:
        """The same for one pipeline stage: the terms in the budget's own order, so that sums come out to the byte."""
        parts, memory = self._parts, self._plan.memory
        assert memory is not None
        share = runtime.term("workspace_share")
        work = Band.exact(runtime.workspace_bytes(r)).scaled(share.low, share.high)
        peak, weights = runtime.activation_peak(r), parts["weights"].plus(parts["mtp_layer"])
        extras, draft, driver = parts["load_extras"], parts["mtp_runtime"], parts["non_torch"]
        least = round(runtime.term("least_half_width").likely)
        used = combine([extras, work, peak, draft, driver, runtime.cuda_graphs(r), weights], least)
        wider = 1.0 if r.version.certain or r.version.fork else 1.25
        pool = raised(memory.low * r.gpu_memory_utilization) - used.likely - round((used.high - used.likely) * wider)
        running = weights.high + extras.high + work.high + peak.high + draft.high + driver.high
        loads = memory.low - parts["context_nccl"].high - running >= 0
        return loads and self._late(r, memory, peak), pool // self._plan.kv.bytes_per_block

    def _late(self, r: Resolved, memory: Band, peak: Band) -> bool:
        """Whether what comes before and after the pool fits outside the utilization line."""
        context, late = self._parts["context_nccl"], runtime.late_buffers(r)
        share = r.gpu_memory_utilization
        free = (
            memory.low - context.high - raised(memory.low * share),
            memory.likely - context.likely - raised(memory.likely * share),
            memory.high - context.low - raised(memory.high * share),
        )
        slack = memory.likely - raised(memory.likely * share) - context.high
        serving = runtime.unprofiled_transients(r, 1).high
        return min(free) >= 0 and slack - late.high + peak.low >= 0 and slack - late.likely - serving >= 0

    def holds(self, length: int, requests: int) -> bool:
        """Whether ``requests`` of one replica fit at once at the pessimistic end."""
        clear, _ = self.at(length, requests)
        return clear and self._room(length, requests) >= requests

    def _room(self, length: int, requests: int) -> int:
        r = self._resolved
        _, blocks = self.at(length, requests)
        return max(blocks - 1, 0) // blocks_per_request(length, r.dcp, r.block_size)

    def greatest_context(self, concurrency: int) -> int | None:
        """Tokens of the longest request, in whole blocks; of ``concurrency`` spread over the replicas; None where none fits."""
        r = self._resolved
        each, step = -(-concurrency // r.dp), r.block_size * r.dcp
        if each > r.max_num_batched_tokens:
            return None
        # The workspace takes a smaller factor above LONG: on each side of it limits only tighten.
        pieces = [(LONG, self.longest)] if self.longest > LONG else []
        for low, high in [*pieces, (0, min(LONG, self.longest))]:
            found = last_step(
                low // step,
                high // step,
                lambda k: self.holds(k * step, each),
                lambda k: self._next(k * step, each) // step,
            )
            if found is not None:
                return found * step
        return None

    def _next(self, length: int, each: int) -> int:
        """Tokens of each request that the pool at this length would hold."""
        r = self._resolved
        _, blocks = self.at(length, each)
        return max(blocks - 1, 0) // each * r.block_size * r.dcp

    def most_requests(self, context: int) -> int | None:
        """Requests over all replicas; None where not one fits."""
        r = self._resolved
        most = min(r.max_num_batched_tokens, self._room(context, 1))
        found = last_step(0, most, lambda n: self.holds(context, n), lambda n: self._room(context, n)) if most else None
        return None if found is None else found * r.dp


class SglangLine:
    """One deployment of SGLang: its pool does not depend on the length of requests, so its tokens at the need's stand for all."""

    def __init__(self, made: OtherPlan, groups: int) -> None:
        self._tokens, self._groups = max(made.kv.tokens[0], 0), groups
        self.longest: int = made.resolved.checkpoint.geometry.max_position_embeddings  # type: ignore[union-attr]

    def greatest_context(self, concurrency: int) -> int | None:
        """Tokens, in whole pages; None where nothing fits."""
        each = -(-concurrency // self._groups)
        return min(self._tokens // each // 64 * 64, self.longest) or None

    def most_requests(self, context: int) -> int | None:
        """Requests over all groups; None where not one fits."""
        return self._tokens // context * self._groups or None


class LlamacppLine:
    """One deployment of llama.cpp: every slot has its cells from the start, and the compute buffer grows with a slot's cells.

    What is left for the cache is concave in a slot's cells, so the chords from a short slot to the budgeted one and on to the
    longest lie below it: values are exact at the budgeted length and else at most a little too small.
    """

    def __init__(self, made: OtherPlan) -> None:
        from glmcalc.budget.llamacpp import plan_llamacpp

        r = made.resolved
        self.longest: int = r.file.geometry.max_position_embeddings  # type: ignore[union-attr]
        asked, own = r.asked, made.kv.request
        self._cell = made.kv.more["needed_bytes_per_gpu"] / made.kv.more["cells"]
        self._room: list[tuple[int, int]] = [(own, made.kv.available.low)]
        for cells in {_CELLS, self.longest} - {own}:
            plain = asked.changed(ctx_size=cells, parallel=1, max_model_len=None, max_num_seqs=None)
            self._room.append((cells, plan_llamacpp(plain).kv.available.low))
        self._room.sort()

    def _chords(self) -> Iterator[tuple[int, float, float]]:
        """The last cells of each chord, longest first; its slope, and where it would be at 0 cells."""
        for (short, room), (long, less) in reversed(list(zip(self._room, self._room[1:]))):
            slope = (less - room) / (long - short)
            yield long, slope, room - slope * short

    def greatest_context(self, concurrency: int) -> int | None:
        """Tokens of one slot, in whole steps of 256; None where nothing fits."""
        ends = list(self._chords())
        for index, (long, slope, start) in enumerate(ends):
            found = min(int(start / (concurrency * self._cell - slope)), long) // _CELLS * _CELLS
            least = ends[index + 1][0] if index + 1 < len(ends) else _CELLS
            if found >= least:
                return found
        return None

    def most_requests(self, context: int) -> int | None:
        """Slots of ``context`` tokens; None where not one fits."""
        cells = ceil_div(context, _CELLS) * _CELLS
        slope, start = [(slope, start) for long, slope, start in self._chords() if cells <= long][-1]
        return min(int(max(start + slope * cells, 0.0) / (cells * self._cell)), _MOST_SLOTS) or None
