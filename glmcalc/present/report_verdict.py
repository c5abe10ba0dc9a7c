"""What a report answers first: whether memory and speed meet the need, how sure that is, and what to watch."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from glmcalc.budget.result import Plan
from glmcalc.facts.evidence import observations
from glmcalc.facts.quantity import Band, gib
from glmcalc.present.needs import Needs
from glmcalc.present.prose import prose
from glmcalc.present.report_case import NAMES, Case
from glmcalc.present.speed_text import number_text
from glmcalc.present.verdict_html import tile, verdict
from glmcalc.speed.result import Speed

_RANK = {"fits": 0, "marginal": 1, "does_not_fit": 2, "unsupported": 3}
_BY_SPEED = {
    "not_sure": ("Speed unsure", "marginal"),
    "not_known": ("Speed unknown", "marginal"),
    "not_met": ("Too slow", "does_not_fit"),
}
_LINES = {
    "vllm": "<code>Available KV cache memory</code>",
    "sglang": "<code>KV Cache is allocated. #tokens</code>",
    "llama.cpp": "<code>model buffer size</code>",
}
_WATCH = {
    "vllm": (
        "<code>vllm:kv_cache_usage_perc</code> above 0.95 with requests waiting: the pool is the limit.",
        "<code>vllm:num_preemptions_total</code> rising: requests are longer than planned.",
        "<code>DCGM_FI_DEV_FB_FREE</code> under 1,500 MiB: stop raising utilization.",
    ),
    "sglang": (
        "<code>sglang:token_usage</code> above 0.95 with <code>sglang:num_queue_reqs</code> above 0: the pool is the limit.",
        "<code>DCGM_FI_DEV_FB_FREE</code> under 1,500 MiB: stop raising <code>--mem-fraction-static</code>.",
    ),
    "llama.cpp": (
        "The lines <code>model buffer size</code> and <code>KV buffer size</code> against what the GPU may take.",
        "Pages that are swapped out while it answers: weights or cache are beyond memory.",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Judged:
    """The verdict: on memory, on speed, and on both together.

    Attributes:
        status: of both, ``fits``, ``marginal``, ``does_not_fit`` or ``unsupported``; word: stands in the tile in its place.
        sentence, note: HTML; None for both where the budget's own verdict is shown.
        speed: one of ``met``, ``not_sure``, ``not_met``, ``not_known``, ``not_asked``.
        memory: the same words as ``status``, of memory alone.
    """

    status: str
    word: str
    sentence: str | None
    note: str
    speed: str
    memory: str

    def html(self, case: Case) -> str:
        """The tile."""
        if self.sentence is not None:
            return tile(self.status, self.sentence, self.note, word=self.word)
        # The command that works stands below with what it changes and gives: not said twice on the first half page.
        return verdict({**case.data, "verdict": {**case.data["verdict"], "mend": None}})


def judge(case: Case) -> Judged:
    """The verdict on ``case``: its budget's own, narrowed by the needs and by the speed asked for."""
    own = case.data["verdict"]["status"]
    told = speed_met(case.needs, case.speed)
    doubted = own == "marginal" and case.plan.verdict.stage is None  # by its engine or release, not by its figures
    if case.needs is None or not (own == "fits" or doubted):
        return Judged(own, "", None, "", told, own)
    memory, sentence, note = _memory(case, case.needs)
    if doubted:
        memory = max(memory, "marginal", key=_RANK.__getitem__)
        note = f"{_doubt(case)} {note} {_settled_by(case)}"
    word, status = _of_both(memory, told)
    return Judged(status, word, sentence, f"{note} {speed_sentence(case)}".strip(), told, memory)


def _of_both(memory: str, told: str) -> tuple[str, str]:
    """Word and status of memory and speed together; the word only where speed, not memory, decides."""
    word, least = _BY_SPEED.get(told, ("", "fits"))
    status = max(memory, least, key=_RANK.__getitem__)
    return (word if status != memory else ""), status


def _memory(case: Case, needs: Needs) -> tuple[str, str, str]:
    room, each = case.held(needs.length), case.each
    low, _, high = room.times
    requests = f"{each:,} request{'s' * (each != 1)} of {needs.length:,} tokens"
    where = f" on each of {case.groups} replicas" if case.groups > 1 else ""
    if case.admitted is not None and case.admitted < needs.concurrency:
        sentence = f"{needs.concurrency:,} requests at once are asked for, and <code>{limit_name(case)}</code> lets {case.admitted:,} in."
        return "does_not_fit", sentence, "The others wait. Raise it, and read the budget again."
    if room.request_bytes is None:
        return case.data["verdict"]["status"], f"{requests} at once{where}: the cache is in host memory.", ""
    need = each * room.request_bytes
    pool = case.plan.kv.available
    sentence = (
        f"{requests} at once need{'s' * (each == 1)} {gib(need)} GiB of KV on each GPU{where}; "
        f"the {room_word(case)} is {gib(pool.likely)} GiB ({gib(pool.low)} to {gib(pool.high)})."
    )
    if each <= low:
        return "fits", sentence, f"It holds at the pessimistic end too, by {gib(max(pool.low - need, 0))} GiB."
    note = f"At the pessimistic end it is short by {gib(max(need - pool.low, 0))} GiB; the engine starts, and requests beyond the pool wait."
    return ("marginal" if each <= high else "does_not_fit"), sentence, note


def room_word(case: Case) -> str:
    """What the cache lies in: a pool that is filled, or with llama.cpp the room that the weights leave."""
    return "room beside the weights" if case.engine == "llama.cpp" else "pool"


def limit_name(case: Case) -> str:
    """The setting that says how many requests are let in at once."""
    return "--parallel" if case.engine == "llama.cpp" else "max_num_seqs"


def _doubt(case: Case) -> str:
    """What is not known of engine, device or release, in the budget's own words."""
    _, but, doubt = str(case.data["verdict"]["reason"]).rpartition(" But ")
    return prose(f"{but.strip()} {doubt}")


def _settled_by(case: Case) -> str:
    settle = case.data["verdict"]["settle"]
    return f"To settle it: {prose(settle)}." if settle else prose(case.data["verdict"]["advice"])


def speed_met(needs: Needs | None, found: Speed | None) -> str:
    """Whether the pessimistic end of tok/s of one user meets what is asked: ``met``, ``not_sure`` (only a better end does),
    ``not_met``, ``not_known`` (no figure) or ``not_asked``."""
    if needs is None or needs.min_tok_s_user is None:
        return "not_asked"
    if found is None or found.tok_s_user is None:
        return "not_known"
    if found.tok_s_user.low >= needs.min_tok_s_user:
        return "met"
    return "not_sure" if found.tok_s_user.high >= needs.min_tok_s_user else "not_met"


def speed_sentence(case: Case) -> str:
    """One line of the verdict on the speed asked for; empty where none is."""
    needs, found = case.needs, case.speed
    told = speed_met(needs, found)
    if needs is None or told == "not_asked":
        return ""
    asked = f"<b>Speed:</b> {number_text(needs.min_tok_s_user or 0)} tok/s of one user asked"
    if found is None or found.tok_s_user is None:
        reason = (found.reason if found is not None else case.speed_reason) or "no figure"
        return f"{asked}; not known: {prose(reason.rstrip('.'))}."
    ends = found.tok_s_user
    words = {"met": "met", "not_sure": "not met for sure", "not_met": "not met at any end"}[told]
    figures = f"{number_text(ends.low)} at the pessimistic end, {number_text(ends.mid)} likely"
    return f"{asked}, {words}: {figures} ({escape(found.basis)})."


def how_sure(case: Case) -> str:
    """What is exact, what is estimated and where the largest doubt lies, and what settles it."""
    if case.data["verdict"]["status"] == "unsupported":
        return "<p>The engine refuses it by its own rules, or has no kernel for it: figures of its memory and speed would mean nothing.</p>"
    kv = case.plan.kv.available
    weights = case.plan.component("weights").basis
    exact = {"exact": "exact to the byte", "estimated": "estimated from the file's format"}.get(
        weights, "as the log printed them"
    )
    label, doubt = _largest_doubt(case)
    room = room_word(case)
    measured = (
        f"No {room} is left at either end of the estimate." if kv.high < 0
        else f"The {room} is as a log printed it." if kv.low == kv.high
        else f"The {room} is <b>estimated</b>: {gib(max(kv.low, 0))} to {gib(kv.high)} GiB. The largest doubt is "
        f"{escape(label)} ({gib(doubt.low)} to {gib(doubt.high)} GiB)."
    )  # fmt: skip
    host = host_words(case)
    away = f" {host}: the host must have that beside its own." if host else ""
    return f"<p>Weights are {exact}.{away} {measured} {_logs(case)} {_speed_basis(case.speed)}</p>"


def _largest_doubt(case: Case) -> tuple[str, Band]:
    """The widest band of what the room is made of: a component, or what there is of memory at all."""
    known = [
        (part.label, part.band) for part in case.plan.components if part.name != "kv_pool" and part.inside_utilization
    ]
    if case.plan.memory is not None:
        label = "what the GPU may take" if case.engine == "llama.cpp" else "the memory of the GPU"
        known.append((label, case.plan.memory))
    return max(known, key=lambda one: one[1].high - one[1].low)


def host_words(case: Case) -> str:
    """What of weights and cache lies in the host's memory; empty where nothing does, or both share one memory."""
    host = case.data.get("host") or {}
    if host.get("shares_memory_with_the_gpu", True):
        return ""
    parts = [(host["weights_bytes"], "weights"), (host["kv_bytes"], "cache")]
    said = [f"{gib(size)} GiB of {what}" for size, what in parts if size]
    return f"{' and '.join(said)} in host memory" if said else ""


def _logs(case: Case) -> str:
    said = case.data["deployment"]
    name, machine = said["model"].split("/")[-1], f"{said['gpus']} × {case.plan.resolved.device.name}"
    known = sum(
        row["checkpoint"] == said["model"] and row["gpu"] == said["gpu"] and row["n_gpus"] == said["gpus"]
        and str(row["engine"]).lower() == case.engine
        for row in observations()
    )  # fmt: skip
    line = f"one line of yours, {_LINES[case.engine]}, replaces the estimate."
    if known:
        return f"{known} public start-up log{'s' * (known != 1)} of {escape(name)} on {escape(machine)} stand{'s' * (known == 1)} behind it; {line}"
    return f"No public start-up log of {escape(name)} on {escape(machine)} under {NAMES[case.engine]} is known; {line}"


def _speed_basis(found: Speed | None) -> str:
    if found is None or found.tok_s_user is None:
        return "No speed is given."
    return f"The speed is a band of {found.tok_s_user.width:.1f} times from end to end."


def watch(case: Case) -> str:
    """What to look at while it serves."""
    items = list(_WATCH[case.engine])
    if case.plan.verdict.watch:
        items.insert(0, prose(case.plan.verdict.watch))
    return f"<ol>{''.join(f'<li>{item}</li>' for item in items)}</ol>"


def capacity_known(case: Case) -> bool:
    """Whether the engine runs it at all, so that figures of memory mean something."""
    return case.data["verdict"]["status"] != "unsupported" and (
        isinstance(case.plan, Plan) or case.plan.memory is not None
    )
