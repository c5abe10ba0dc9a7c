"""Where each part of one GPU's memory lies on the budget bar, in bytes from the left edge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from glmcalc.present.ledger import POOL, Ledger, gib_text, ledger

COLOURS = {
    "weights": "weights", "mtp_layer": "mtp", "load_extras": "load", "workspaces": "ws", "activation_peak": "act",
    "mtp_runtime": "act", "non_torch": "act", "cuda_graphs": "graphs", POOL: "pool", "late_buffers": "late",
    "unprofiled_transients": "trans", "context_nccl": "ctx",
}  # fmt: skip
_SHORT = {
    "weights": "Weights", "mtp_layer": "MTP layer", "load_extras": "Load extras", "workspaces": "Workspaces",
    "run": "Activation, MTP, other", "cuda_graphs": "CUDA graphs", POOL: "KV pool", "late_buffers": "Late buffers",
    "unprofiled_transients": "Unprofiled", "context_nccl": "Context, NCCL", "free": "free", "unused": "not given out",
    "small": "MTP, load", "outside": "Outside the line",
}  # fmt: skip
_TOGETHER = {"activation_peak": "run", "mtp_runtime": "run", "non_torch": "run"}
_MERGED = {
    **_TOGETHER, "mtp_layer": "small", "load_extras": "small",
    "late_buffers": "outside", "unprofiled_transients": "outside", "context_nccl": "outside",
}  # fmt: skip


@dataclass(frozen=True)
class Segment:
    """A stretch of the bar.

    Attributes:
        start, end: bytes from the left edge of the frame.
        printed: GiB as in the table.
        colour: a colour token; empty for what is left over.
        doubtful: drawn hatched.
    """

    name: str
    label: str
    start: int
    end: int
    printed: str
    colour: str
    doubtful: bool

    @property
    def size(self) -> int:
        """Bytes."""
        return self.end - self.start


@dataclass(frozen=True)
class Dead:
    """What died, as it lies over the bar: from ``start`` to ``end``, past the line or the frame by what was missing.

    Attributes:
        start, end: bytes from the left edge of the frame.
        label: the component's words.
        said: what was asked for and what was short, as printed.
        rows: the same as rows of words and GiB, for a bar that stands upright.
        hatched_from: where the red hatch begins; the rest is only outlined, and what lies there stays visible.
    """

    start: int
    end: int
    label: str
    said: str
    rows: tuple[tuple[str, str], ...] = ()
    hatched_from: int = 0

    @property
    def red(self) -> int:
        """Where the hatch begins, in bytes from the left edge."""
        return max(self.start, self.hatched_from)

    def leaves(self, part: Segment) -> int:
        """Bytes of ``part`` at its left that are not hatched over."""
        return part.size if self.red >= part.end or self.end <= part.start else max(self.red - part.start, 0)


@dataclass(frozen=True)
class Bar:
    """The parts of the bar, and the marks on it, in bytes.

    Attributes:
        frame: what the driver reports.
        line: where ``gpu_memory_utilization`` draws it.
        inside, outside: parts, each from the left. The first run from 0; the last ends at ``frame``.
        free: between the line and the first outside part; None when nothing is left there.
        pool_from: earliest and latest start of the pool.
        need: start and end of what one request needs, where that is more than the pool; else None.
        dead: what died, or None.
        engine: whose rules the line and the pool follow.
    """

    frame: int
    line: int
    utilization: float
    inside: tuple[Segment, ...]
    outside: tuple[Segment, ...]
    free: Segment | None
    pool_from: tuple[int, int] | None
    need: tuple[int, int] | None
    frame_printed: str
    line_printed: str
    dead: Dead | None = None
    engine: str = "vllm"

    @property
    def line_words(self) -> str:
        """What the thick line is called: each engine draws it by a rule of its own."""
        own = {"sglang": "Static share", "llama.cpp": "May be taken"}
        return own.get(self.engine, f"Utilization {self.utilization:.2f}")

    @property
    def frame_words(self) -> str:
        """What the frame is called: llama.cpp may take what the driver, or a Mac's working set, leaves it."""
        return "Usable" if self.engine == "llama.cpp" else "Driver"

    @property
    def extent(self) -> int:
        """The right end of all that is drawn."""
        ends = [self.frame, self.line, *(part.end for part in self.inside)]
        return max(ends + ([self.need[1]] if self.need else []) + ([self.dead.end] if self.dead else []))

    @property
    def parts(self) -> tuple[Segment, ...]:
        """All parts from the left."""
        return self.inside + ((self.free,) if self.free else ()) + self.outside


def layout(plan: Mapping[str, Any], merged: bool = False) -> Bar | None:
    """The bar of a plan; None where the memory of the device is not known.

    Args:
        plan: ``Plan.to_dict()``.
        merged: small parts that belong together as one, for a narrow bar.
    """
    per_gpu, kv = plan["per_gpu"], plan["kv"]
    frame, line = per_gpu.get("memory_bytes"), per_gpu.get("utilization_bytes")
    if not frame or line is None or not per_gpu.get("components"):
        return None
    book = ledger(plan)
    groups = _MERGED if merged else _TOGETHER
    inside = _stack(per_gpu["components"], book, groups, True, 0)
    used = inside[-1].end if inside else 0
    if used < line and book.unused:
        engine = plan["deployment"].get("engine")
        inside.append(
            Segment(
                "unused",
                _SHORT["free" if engine == "llama.cpp" else "unused"],
                used,
                line,
                gib_text(book.unused),
                "",
                False,
            )
        )
    beyond = [part for part in per_gpu["components"] if not part["inside_utilization"]]
    outside = _stack(beyond, book, groups, False, frame - sum(part["bytes"] for part in beyond))
    right = outside[0].start if outside else frame
    free = None
    if right > max(line, used) and book.free is not None:
        free = Segment("free", _SHORT["free"], max(line, used), right, gib_text(book.free), "", False)
    pool = next((part for part in inside if part.name == POOL), None)
    return Bar(
        frame, line, float(plan["deployment"].get("gpu_memory_utilization") or 0), tuple(inside), tuple(outside), free,
        _pool_from(kv, pool), _need(plan, pool), gib_text(book.total or 0), gib_text(book.line or 0),
        engine=plan["deployment"].get("engine") or "vllm",
    )  # fmt: skip


def _stack(
    parts: list[Mapping[str, Any]], book: Ledger, groups: Mapping[str, str], inside: bool, start: int
) -> list[Segment]:
    stacked: list[Segment] = []
    printed: dict[str, int] = {}
    for part in parts:
        if part["inside_utilization"] is not inside or (part["bytes"] <= 0 and part["name"] != POOL):
            continue
        row = book.row(part["name"])
        name = groups.get(part["name"], part["name"])
        printed[name] = printed.get(name, 0) + (row.cents if row else 0)
        doubtful = part["basis"] != "exact" and part["name"] != POOL
        end = start + part["bytes"]
        if stacked and stacked[-1].name == name:
            last = stacked.pop()
            first, colour, doubtful = last.start, last.colour, doubtful or last.doubtful
        else:
            first, colour = start, COLOURS.get(part["name"], "ctx")
        label = _SHORT.get(name, part["label"]) if name != "run" or groups is _TOGETHER else "Activation, other"
        stacked.append(Segment(name, label, first, end, gib_text(printed[name]), colour, doubtful))
        start = end
    return stacked


def _pool_from(kv: Mapping[str, Any], pool: Segment | None) -> tuple[int, int] | None:
    low, high = kv.get("available_low_bytes"), kv.get("available_high_bytes")
    if kv.get("cells"):  # llama.cpp takes its cache whole: it does not end at the line
        return None
    if pool is None or low is None or high is None or low == high or high <= 0:
        return None
    return max(pool.end - high, 0), pool.end - max(low, 0)


def _need(plan: Mapping[str, Any], pool: Segment | None) -> tuple[int, int] | None:
    needed = plan["kv"].get("needed_bytes")
    if pool is None or not needed or plan["verdict"]["status"] not in ("does_not_fit", "marginal"):
        return None
    if plan["verdict"].get("stage") not in ("startup_kv_too_small", "startup_no_kv_blocks"):
        return None
    start = min(pool.start, plan["per_gpu"]["utilization_bytes"])
    return (start, start + needed) if needed > pool.size else None
