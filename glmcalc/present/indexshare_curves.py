"""Chapter 2's tables and curves against the context, 1K to 1M: bytes, FLOPs, time, with sharing and without."""

from __future__ import annotations

from typing import Any, Sequence

import pandas as pd

from glmcalc.facts.quantity import GB, GIB
from glmcalc.present.display import Html
from glmcalc.present.frames import as_table
from glmcalc.present.indexshare import drawn, tokens_text
from glmcalc.present.indexshare_chart import Course, Scale, chart
from glmcalc.speed import flops, kernels, sharing
from glmcalc.speed.sharing import Case

CONTEXTS = (1024, 8192, 32768, 131_072, 262_144, 524_288, 1_048_576)
_OURS = "stroke:var(--weights);stroke-width:2.4"
_EVERY = "stroke:var(--ws);stroke-width:2"
_DENSE = "stroke:var(--ink2);stroke-width:1.4"


def in_short(c: Case) -> Html:
    """What sharing saves, in one table: the cache, FLOPs of a token, and attention's time, at 8K, 128K and 1M."""
    work, found = flops.work_of(c.checkpoint), []
    for context in (8192, 131_072, 1_048_576):
        ours, every = (sharing.attention_s(c, count, context) for count in (c.indexers, c.layers))
        found.append({
            "context": tokens_text(context),
            "cache, times smaller": round(sharing.stored_bytes(c, c.layers) / sharing.stored_bytes(c, c.indexers), 2),
            "FLOPs of a token, times fewer": round(flops.sharing_ratio(work, context, c.layers), 2),
            "attention of a step, times faster": None if not ours or not every else round(every / ours, 2),
            "attention is": _how_known(c, context),
        })  # fmt: skip
    return as_table(pd.DataFrame(found).set_index("context"))


def bytes_table(c: Case, contexts: Sequence[int] = CONTEXTS) -> Html:
    """Against context: the cache of one request and what one step reads of it, on each GPU, with the alternatives."""
    found = []
    for context in contexts:

        def gib(size: float, at: int = context) -> float:
            return round(size * at / GIB, 2)

        found.append({
            ("", "context"): tokens_text(context),
            ("cache, GiB", "shared"): gib(sharing.stored_bytes(c, c.indexers)),
            ("cache, GiB", "every layer"): gib(sharing.stored_bytes(c, c.layers)),
            ("cache, GiB", "GQA-8"): gib(sharing.dense_bytes(c)),
            ("cache, GiB", "multi-head"): gib(sharing.dense_bytes(c, 64)),
            ("read a step, GB", "shared"): round(sharing.read_bytes(c, c.indexers, context) / GB, 3),
            ("read a step, GB", "every layer"): round(sharing.read_bytes(c, c.layers, context) / GB, 3),
            ("read a step, GB", "GQA-8"): round(sharing.dense_bytes(c) * context / GB, 3),
        })  # fmt: skip
    return _two_levels(found)


def flops_table(c: Case, contexts: Sequence[int] = CONTEXTS) -> Html:
    """Against context: GFLOP of one decoded token with sharing, without, and with dense attention; and the ratios."""
    work, found = flops.work_of(c.checkpoint), []
    for context in contexts:
        ours, every = flops.token_flops(work, context), flops.token_flops(work, context, c.layers)
        found.append({
            "context": tokens_text(context), "shared, GFLOP": round(ours / 1e9, 1), "every layer, GFLOP": round(every / 1e9, 1),
            "GQA-8 or multi-head, GFLOP": round(sharing.dense_flops(c, context) / 1e9, 1),
            "ratio": round(every / ours, 2), "ratio without the core": round(flops.sharing_ratio(work, context, c.layers, False), 2),
        })  # fmt: skip
    return as_table(pd.DataFrame(found).set_index("context"))


def time_table(c: Case, contexts: Sequence[int] = CONTEXTS) -> Html:
    """Against context: attention of one decode step of one request, ms, and what each further request adds."""
    found = []
    for context in contexts:
        ours, every = (sharing.attention_s(c, count, context) for count in (c.indexers, c.layers))
        found.append({
            ("", "context"): tokens_text(context),
            ("one request, ms", "shared"): _ms(ours, 2),
            ("one request, ms", "every layer"): _ms(every, 2),
            ("one request, ms", "GQA-8, at least"): _ms(sharing.dense_read_s(c, context), 2),
            ("each further, ms", "shared"): _ms(sharing.further_request_s(c, c.indexers, context), 2),
            ("each further, ms", "every layer"): _ms(sharing.further_request_s(c, c.layers, context), 2),
            ("each further, ms", "GQA-8, at least"): _ms(sharing.dense_read_s(c, context), 2),
            ("", "one request"): _how_known(c, context),
        })  # fmt: skip
    return _two_levels(found)


def floors(c: Case, contexts: Sequence[int] = CONTEXTS) -> Html:
    """A whole decode step of one request, ms, with sharing and without, over the floor's 90 % interval."""
    found = []
    for context in contexts:
        low, mid, high = (sharing.step_s(c, context, 1, end) for end in ("low", "mid", "high"))
        if low is None or mid is None or high is None:
            return as_table(
                pd.DataFrame([{"step": f"not known: no measured floor or no measured kernels of {c.chip.name}"}])
            )
        ratios = sorted(every / ours for ours, every in (low, high))
        found.append({
            "context": tokens_text(context), "attention, ms": _ms(sharing.attention_s(c, c.indexers, context), 1), "step, shared, ms": _ms(mid[0], 1),
            "step, every layer, ms": _ms(mid[1], 1), "times faster": round(mid[1] / mid[0], 2),
            "range": f"{ratios[0]:.2f} to {ratios[1]:.2f}", "basis": _how_known(c, context).replace("measured", "estimated"),
        })  # fmt: skip
    return as_table(pd.DataFrame(found).set_index("context"))


def flops_chart(c: Case) -> Html:
    """FLOPs of one token against context: shared, every layer, dense."""
    work = flops.work_of(c.checkpoint)
    courses = [
        Course("shared", lambda at: float(flops.token_flops(work, at)) / 1e9, _OURS),
        Course("every layer", lambda at: float(flops.token_flops(work, at, c.layers)) / 1e9, _EVERY),
        Course("dense attention", lambda at: float(sharing.dense_flops(c, at)) / 1e9, _DENSE),
    ]
    said = "GFLOP of one token against context, log scales: " + "; ".join(
        f"{o.label} {o.value(1 << 20):,.0f} at 1M" for o in courses
    )
    return drawn(
        chart(courses, Scale("GFLOP of one token", 60, 6000, (100, 300, 1000, 3000), True, "{:,.0f}"), said), said
    )


def ratio_chart(c: Case) -> Html:
    """How many times less with sharing, against context: FLOPs with and without the core, attention's time, bytes."""
    work, stored_ratio = (
        flops.work_of(c.checkpoint),
        sharing.stored_bytes(c, c.layers) / sharing.stored_bytes(c, c.indexers),
    )
    courses = [
        Course("FLOPs without core", lambda at: float(flops.sharing_ratio(work, at, c.layers, False)), _EVERY),
        Course("FLOPs with core", lambda at: float(flops.sharing_ratio(work, at, c.layers)), _OURS),
        Course("bytes of the cache", lambda at: float(stored_ratio), _DENSE),
    ]
    if sharing.attention_s(c, c.indexers, 8192) is not None:
        courses.append(
            Course(
                "attention time",
                lambda at: _ratio(c, at),
                "stroke:var(--pool);stroke-width:2",
                kernels.measured_to(c.chip.id),
            )
        )
    said = "How many times less with sharing, against context; dotted beyond what was measured: " + "; ".join(
        f"{o.label} {o.value(8192):.2f} at 8K, {o.value(1 << 20):.2f} at 1M" for o in courses
    )
    return drawn(chart(courses, Scale("times less with sharing", 1, 3.25, (1, 1.5, 2, 2.5, 3)), said), said)


def _ratio(c: Case, context: float) -> float:
    ours, every = (sharing.attention_s(c, count, context) for count in (c.indexers, c.layers))
    return (every or 1.0) / (ours or 1.0)


def _how_known(c: Case, context: int) -> str:
    longest = kernels.measured_to(c.chip.id)
    if longest is None or sharing.further_request_s(c, c.indexers, context) is None:
        return "not measured"
    return "measured" if context <= longest else "extrapolated"


def _ms(seconds: float | None, places: int) -> float | None:
    return None if seconds is None else round(seconds * 1e3, places)


def _two_levels(found: Sequence[dict[Any, Any]]) -> Html:
    frame = pd.DataFrame(list(found))
    frame.columns = pd.MultiIndex.from_tuples(frame.columns)
    return as_table(frame)
