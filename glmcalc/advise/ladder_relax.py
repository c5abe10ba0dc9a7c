"""From a combination that a search found to a ladder: each setting back as far as it still holds, then in order."""

from __future__ import annotations

from glmcalc.advise.ladder_climb import Climber, Rung, Taken
from glmcalc.advise.ladder_knobs import round_length
from glmcalc.advise.ladder_order import knob_of
from glmcalc.budget.result import Plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable

    Changes = dict[str, Any]

# Settings that go together, by the knob whose harm they share.
_GROUPS = (
    ("enable_chunked_prefill", ("enable_chunked_prefill",)),
    ("kv_cache_memory_bytes", ("kv_cache_memory_bytes",)),
    ("num_gpu_blocks_override", ("num_gpu_blocks_override",)),
    ("block_size", ("block_size",)),
    ("spread", ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size", "gpus")),
    ("engine_version", ("engine_version",)),
    ("max_num_batched_tokens", ("max_num_batched_tokens",)),
    ("max_num_seqs", ("max_num_seqs",)),
    ("kv_cache_dtype", ("kv_cache_dtype",)),
    ("gpu_memory_utilization", ("gpu_memory_utilization",)),
    ("decode_context_parallel_size", ("decode_context_parallel_size",)),
    ("speculative_method", ("speculative_method", "num_speculative_tokens", "speculative_extra")),
    ("model", ("model", "quantization")),
    ("enforce_eager", ("enforce_eager", "max_cudagraph_capture_size")),
    ("max_model_len", ("max_model_len",)),
)
_LARGER = {"max_num_batched_tokens": (8192, 4096, 2048, 1024), "max_num_seqs": (1024, 256, 64, 16, 4)}


def as_steps(climber: Climber, changes: Changes) -> list[Taken]:
    """Steps from the start to what a search found, as little of it as still holds; empty where none can be taken.

    Steps are single where some order makes each of them help; what no order does becomes one step of several changes.
    """
    asked, length = climber.start.resolved.asked, climber.start.resolved.max_model_len
    differing = {name: value for name, value in changes.items() if getattr(asked, name) != value}
    rungs = [
        Rung(
            knob_of(knob, differing.get(knob) or 0, length),
            {name: differing[name] for name in names if name in differing},
        )
        for knob, names in _GROUPS
        if any(name in differing for name in names)
    ]
    rungs = _restored(climber, rungs)
    return _ordered(climber, rungs) or _together(climber, climber.start, rungs)


def _restored(climber: Climber, rungs: list[Rung]) -> list[Rung]:
    """Without what is not needed, the most harmful first; numbers back up as far as they hold."""
    for rung in climber.by_harm(rungs):
        others = [other for other in rungs if other is not rung]
        if _hold(climber, others):
            rungs = others
            continue
        for milder in _milder(climber, rung):
            if _hold(climber, [*others, milder]):
                rungs = [milder if other is rung else other for other in rungs]
                break
    return rungs


def _milder(climber: Climber, rung: Rung) -> Iterable[Rung]:
    ((name, value), *rest) = rung.changes.items()
    if rest or not isinstance(value, int):
        return
    if name == "max_model_len":
        for share in (0.9, 0.75, 0.5, 0.25, 0.1, 0.05, 0.02):
            length = round_length(int(climber.start.resolved.max_model_len * share))
            if length > value:
                yield Rung(knob_of(name, length, climber.start.resolved.max_model_len), {name: length})
    for larger in _LARGER.get(name, ()):
        if larger > value:
            yield Rung(knob_of(name, larger, climber.start.resolved.max_model_len), {name: larger})


def _hold(climber: Climber, rungs: Iterable[Rung]) -> bool:
    made = climber.changed(climber.start, _merged(rungs))
    doubts = set(climber.start.resolved.uncertain)
    return made is not None and climber.holds(made) and not set(made.resolved.uncertain) - doubts


def _merged(rungs: Iterable[Rung]) -> Changes:
    return {name: value for rung in rungs for name, value in rung.changes.items()}


def _ordered(climber: Climber, rungs: list[Rung]) -> list[Taken]:
    """Single steps as long as one helps, the rest at once; empty where the rest does not help either."""
    made, left = climber.start, list(reversed(climber.by_harm(rungs)))
    taken: list[Taken] = []
    while left:
        stand = climber.stand(made)
        if stand is None:
            return taken
        step = next((one for rung in left if (one := climber.take(stand, rung)) is not None), None)
        if step is None:
            rest = _together(climber, made, left)
            return [*taken, *rest] if rest else []
        taken.append(step)
        left = [rung for rung in left if rung is not step.rung]
        made = step.after
    return taken if climber.holds(made) else []


def _together(climber: Climber, made: Plan, rungs: list[Rung]) -> list[Taken]:
    stand = climber.stand(made)
    step = climber.take(stand, Rung("several", _merged(rungs))) if stand is not None else None
    return [step] if step is not None and climber.holds(step.after) else []
