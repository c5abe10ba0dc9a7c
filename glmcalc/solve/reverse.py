"""From what must fit to the value: the greatest context, the most sequences, the fewest GPUs, the smallest utilization.

Every answer is exact against :func:`glmcalc.plan`: the value fits at the pessimistic end, and the next step does not.
"""

from __future__ import annotations

from glmcalc.budget.result import Plan
from glmcalc.budget.workspaces import LONG
from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record, replace
from glmcalc.facts.store import nearest
from glmcalc.model.batch import default_batch, filled_batch
from glmcalc.model.resolved import Resolved, resolve
from glmcalc.solve.binding import Binding, binding_at, boundary_crash, pool_of_requests, requests_held
from glmcalc.solve.boundary import Point, Points, greatest, last_true
from glmcalc.solve.fewest import fewest_gpus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from glmcalc.commands import ParsedCommand
    from glmcalc.model.deployment import Deployment

TARGETS = ("max-model-len", "max-num-seqs", "gpus", "gpu-memory-utilization")
_MOST_SEQS = 1 << 20
_PER_MILLE = 1000


@record
class Solution:
    """The answer to one question.

    Attributes:
        target: one of :data:`TARGETS`.
        value: tokens, sequences (of one replica), GPUs, or a fraction; None where no value fits for sure.
        value_likely: the same at the likely figures, in place of the pessimistic ends.
        step: between one value and the next, and its unit.
        next_value: the value after ``value``, which does not fit; None where there is none.
        binding: what stops the next step, or where there is no value, the most modest one.
        plan: the budget at ``value``; without one, at ``value_likely``, else at the most modest value.
        budget_at: the value that ``plan`` is of.
        reason: why there is no value, else None.
        notes: what else to know of the answer, sentences.
        gaps: ranges of smaller values that do not fit although ``value`` does.
        parallelism: sizes of tensor, pipeline and data parallelism, where GPUs were asked for.
        budgets: how many were made to find it.
    """

    target: str
    value: int | float | None
    value_likely: int | float | None
    step: str
    next_value: int | float | None
    binding: Binding
    plan: Plan
    budget_at: int | float
    reason: str | None
    notes: tuple[str, ...] = ()
    gaps: tuple[tuple[int, int], ...] = ()
    parallelism: dict[str, int] | None = None
    budgets: int = 0

    def to_dict(self, parsed: ParsedCommand | None = None) -> dict[str, Any]:
        """As ``glmcalc solve --json`` prints it; ``parsed`` is the pasted command it came from."""
        from glmcalc.solve.answer import describe

        return {
            "for": self.target, "value": self.value, "value_likely": self.value_likely, "step": self.step,
            "next": self.next_value, "binding": self.binding.to_dict(), "reason": self.reason,
            "parallelism": self.parallelism, "gaps": [list(gap) for gap in self.gaps], "notes": list(self.notes),
            "budget_at": self.budget_at, "budget": describe(self.plan, parsed, mend=False), "budgets": self.budgets,
        }  # fmt: skip


def solve(deployment: Deployment, target: str) -> Solution:
    """The largest or smallest value of ``target`` at which ``deployment`` fits at the pessimistic end.

    ``max-model-len``: the longest request, in tokens, of which the pool holds one (what the engine asks for at its start).
    ``max-num-seqs``: the most requests of full length that the pool of one replica holds at once, beside the null block.
    ``gpus``: the fewest, over the sizes of tensor parallelism, and those of pipeline parallelism where one is given; data
    parallelism is kept as given. ``gpu-memory-utilization``: the smallest, in steps of 0.001.

    Raises:
        InputError: an unknown target, one that the deployment leaves no room for, or as :func:`glmcalc.plan`.
    """
    if target not in _SOLVERS:
        close = nearest(target, TARGETS)
        raise InputError("for", target, f"one of {', '.join(TARGETS)}" + (f" (did you mean {close}?)" if close else ""))
    solution = _SOLVERS[target](deployment)
    r = solution.plan.resolved
    if solution.value is not None or solution.value_likely is None or r.refusals or not r.uncertain:
        return solution  # where not even the likely figures fit, what binds is the reason, not the doubt
    why = (
        f"Nothing fits for sure here: {r.uncertain[0].rstrip('.')}. At the likely figures the answer is "
        f"{solution.value_likely:,}."
    )
    return replace(solution, reason=why)


def _length(deployment: Deployment) -> Solution:
    r = resolve(deployment.changed(max_model_len=1))
    longest, why_longest = _longest(deployment, r)
    # The workspace takes a smaller factor above LONG in newer releases: on each side of it limits only tighten.
    pieces = [(1, min(LONG, longest))] + ([(LONG + 1, longest)] if longest > LONG else [])
    points = Points(deployment, lambda value: {"max_model_len": value})
    value, likely = (_last_of(pieces, points, end, r) for end in ("low", "likely"))
    if value is None:
        return _none("max-model-len", points, 1, likely, "1 token")
    notes, following = [], value + 1
    trap = boundary_crash(following, r) if following <= longest else None
    if trap:
        bound = Binding("boundary_crash", None, following, "fits", None, trap)
    elif following > longest:
        bound = Binding("model_maximum", None, None, None, None, f"{longest:,} tokens is {why_longest}.")
    else:
        bound = binding_at(points.at(following), following)
    if trap and following < longest:
        notes.append(f"Beyond it: {binding_at(points.at(following + 1), following + 1).text}")
    return Solution(
        "max-model-len", value, likely, "1 token", following if following <= longest else None, bound, points.at(value).plan, value,
        None, tuple(notes), _gaps(pieces, points, value), None, points.count,
    )  # fmt: skip


def _longest(deployment: Deployment, r: Resolved) -> tuple[int, str]:
    """The longest request that is not refused, in tokens, and whose limit that is."""
    longest, tokens = r.checkpoint.geometry.max_position_embeddings, deployment.max_num_batched_tokens
    if deployment.enable_chunked_prefill is False and tokens is not None and tokens < longest:
        return tokens, "max_num_batched_tokens, which a prompt may not exceed where prefill is not chunked"
    return longest, "the model's own maximum"


def _last_of(pieces: list[tuple[int, int]], points: Points, end: str, r: Resolved) -> int | None:
    """The greatest length over all pieces, beside the lengths that the release crashes on."""
    if end == "low" and r.uncertain:
        return None
    for low, high in reversed(pieces):
        found = greatest(points, low, high, lambda point, gain: point.holds(end, gain))
        if found is not None and boundary_crash(found, r):
            found = found - 1 if found > low else None
        if found is not None:
            return found
    return None


def _gaps(pieces: list[tuple[int, int]], points: Points, value: int) -> tuple[tuple[int, int], ...]:
    """Lengths below ``value`` that do not fit: the end of a piece before its own."""
    gaps = []
    for low, high in pieces:
        if high < value and not points.at(high).holds("low"):
            last = greatest(points, low, high, lambda point, gain: point.holds("low", gain))
            gaps.append((low if last is None else last + 1, high))
    return tuple(gaps)


def _sequences(deployment: Deployment) -> Solution:
    points = Points(deployment, lambda value: {"max_num_seqs": value})
    first = points.at(1)
    most = min(_MOST_SEQS, _most_tokens(first.plan.resolved))

    def last(end: str) -> int | None:
        # No pool is larger than at one sequence, so what that holds bounds the rest.
        high = min(most, requests_held(first.plan, end)) if first.known else 0
        return greatest(points, 1, high, lambda point, gain: _serves(point, end, gain)) if high > 0 else None

    value = None if first.plan.resolved.uncertain else last("low")
    likely = last("likely")
    notes = _replicas(first.plan.resolved)
    if value is None:
        return replace(_none("max-num-seqs", points, 1, likely, "1 sequence"), notes=notes)
    following = value + 1 if value < most else None
    if following is None:
        flag = (
            "the largest value taken"
            if most == _MOST_SEQS
            else "max_num_batched_tokens, which max_num_seqs may not exceed"
        )
        bound = Binding("flag_maximum", None, None, None, None, f"{most:,} is {flag}.")
    else:
        bound = _sequences_bound(points.at(following), following)
    return Solution(
        "max-num-seqs", value, likely, "1 sequence", following, bound, points.at(value).plan, value, None, notes, (), None,
        points.count,
    )  # fmt: skip


def _most_tokens(r: Resolved) -> int:
    """``max_num_batched_tokens`` beside as many requests as it allows, stated or not."""
    asked = r.asked
    if asked.max_num_batched_tokens is not None:
        return asked.max_num_batched_tokens
    chunked = asked.enable_chunked_prefill is not False
    return filled_batch(_MOST_SEQS, None, r.max_model_len, default_batch(r.device, r.memory), chunked)[1]


def _serves(point: Point, end: str, gain: int | None = None) -> bool:
    return point.holds(end, gain) and requests_held(point.plan, end) >= point.plan.resolved.max_num_seqs


def _sequences_bound(point: Point, value: int) -> Binding:
    return pool_of_requests(point, value) if point.holds("low") else binding_at(point, value)


def _replicas(r: Resolved) -> tuple[str, ...]:
    if r.dp == 1:
        return ()
    return (f"max_num_seqs is of one replica; {r.dp} replicas (data_parallel_size) serve {r.dp} times as many.",)


def _utilization(deployment: Deployment) -> Solution:
    for name in ("available_kv_bytes", "kv_cache_memory_bytes", "num_gpu_blocks_override"):
        if getattr(deployment, name) is not None:
            why = f"{name} states the pool, so gpu_memory_utilization does not move it: leave one of the two out."
            raise InputError("for", "gpu-memory-utilization", f"a deployment without {name}", why)
    points = Points(deployment, lambda value: {"gpu_memory_utilization": value / _PER_MILLE})

    def smallest(end: str) -> int | None:
        # The pool only grows with the share, and every other limit only tightens: the first share whose pool is large
        # enough is the one that can hold.
        refused = last_true(1, _PER_MILLE, lambda value: not _pool_holds(points.at(value), end))
        first = 1 if refused is None else refused + 1
        return first if first <= _PER_MILLE and points.at(first).holds(end) else None

    unsure = bool(points.at(_PER_MILLE).plan.resolved.uncertain)
    value, likely = None if unsure else smallest("low"), smallest("likely")
    if value is None:
        return _no_share(points, likely)
    following = value - 1 or None
    if following is None:
        bound = Binding("flag_minimum", None, None, None, None, "0.001 is the smallest share that is looked at.")
    else:
        bound = binding_at(points.at(following), following / _PER_MILLE)
    return Solution(
        "gpu-memory-utilization", value / _PER_MILLE, _fraction(likely), "0.001", _fraction(following), bound,
        points.at(value).plan, value / _PER_MILLE, None, (), (), None, points.count,
    )  # fmt: skip


def _fraction(value: Any) -> float | None:
    return None if value is None else value / _PER_MILLE


def _pool_holds(point: Point, end: str) -> bool:
    pools = {"low": point.plan.kv.low, "likely": point.plan.kv.pool}
    return point.known and pools[end].fits


def _no_share(points: Points, likely: int | None) -> Solution:
    """No share fits: either no pool is large enough, or the first that is leaves too little beyond the line."""
    refused = last_true(1, _PER_MILLE, lambda value: not _pool_holds(points.at(value), "low"))
    at = min((refused or 0) + 1, _PER_MILLE)
    found = _none("gpu-memory-utilization", points, at, likely, "0.001", at / _PER_MILLE, refused == _PER_MILLE)
    return replace(found, value_likely=_fraction(likely), budget_at=found.budget_at / _PER_MILLE)


def _none(
    target: str,
    points: Points,
    modest: int,
    likely: int | None,
    step: str,
    shown: float | None = None,
    inside: bool = False,
) -> Solution:
    """No value fits for sure: what stops the most modest one, and the budget at the likely value.

    Args:
        shown: the modest value as people write it.
        inside: only limits inside the utilization line say why.
    """
    at = modest if likely is None else likely
    bound = binding_at(points.at(modest), modest if shown is None else shown, inside)
    reason = f"No value fits for sure. At {modest if shown is None else shown:,}: {bound.text}"
    return Solution(
        target, None, likely, step, None, bound, points.at(at).plan, at, reason, (), (), None, points.count,
    )  # fmt: skip


def _gpus(deployment: Deployment) -> Solution:
    found = fewest_gpus(deployment)
    return Solution(
        "gpus", found.value, found.likely, "fewer GPUs", found.next_value, found.binding, found.plan, found.plan.resolved.gpus,
        found.reason, found.notes, (), found.parallelism, found.budgets,
    )  # fmt: skip


_SOLVERS: dict[str, Callable[[Deployment], Solution]] = {
    "max-model-len": _length, "max-num-seqs": _sequences, "gpus": _gpus, "gpu-memory-utilization": _utilization,
}  # fmt: skip
