"""The ends of a deployment: the greatest context for so many requests, and the most requests of a length, at the pessimistic end."""

from __future__ import annotations

from glmcalc.facts.frozen import record
from glmcalc.solve.size_fit import Fit
from glmcalc.solve.size_lines import LlamacppLine, SglangLine, VllmLine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

SEQUENCES = (1, 2, 4, 8, 16)
CONTEXTS = (32_768, 131_072, 524_288, 1_048_576)


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

    Sizes of context parallelism are free: each cell takes the smallest that reaches its value, and says which. All else is the
    deployment's own, its utilization too: a need of that length or number may find a split or a utilization that holds more.
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
        return SglangLine(fit.plan, fit.replicas)
    if engine == "llama.cpp":
        return LlamacppLine(fit.plan)
    return VllmLine(fit.plan, dcp)
