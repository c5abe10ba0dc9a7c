"""From a log to one answer: which death, the change to make now, what it costs, how to verify it, what not to touch."""

from __future__ import annotations

from functools import lru_cache

from glmcalc.advise.case import Case, masked_words, open_case
from glmcalc.advise.changes import Change, action
from glmcalc.advise.remedies import remedy
from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record
from glmcalc.facts.quantity import engine_gib
from glmcalc.facts.store import load_jsonl
from glmcalc.logs.grammar import PROVENANCE
from glmcalc.logs.match import Death, find_death
from glmcalc.logs.read import LogFacts, read_log
from glmcalc.logs.secrets import mask
from glmcalc.solve.answer import describe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO, Mapping

_LONGEST_QUOTE = 400
_QUIET = ("healthy", "unknown")


@record
class Diagnosis:
    """The answer.

    Attributes:
        case: what it rests on.
        cause: one sentence with the numbers.
        change: the change to make now, or None where none is proposed.
        alternatives: gentler or later changes, each with its risk.
        earlier: runs of the same log before this one that failed, as sentences.
    """

    case: Case
    cause: str
    change: Change | None
    alternatives: tuple[Change, ...]
    earlier: tuple[str, ...]

    @property
    def death(self) -> Death:
        """Class, confidence, signature and evidence."""
        return self.case.death

    def to_dict(self) -> dict[str, Any]:
        """As ``glmcalc diagnose --json`` prints it; secrets are masked throughout."""
        case, death = self.case, self.death
        row = death_class(death.death)
        change = self.change
        made = change.plan if change else None
        command = _masked(change.command) if change and change.command else None
        data: dict[str, Any] = {
            "class": death.death,
            "title": row["title"],
            "confidence": death.confidence,
            "signature": death.signature.id if death.signature else None,
            "engine": case.facts.engine,
            "engine_version": case.facts.engine_version,
            "evidence": [{"line": line.number, "text": _quote(line.text)} for line in death.lines],
            "cause": self.cause,
            "meaning": row["meaning"],
            "change": change.to_dict() if change else None,
            "command": command,
            "verify": row["verify"] if death.death not in _QUIET else None,
            "cost": change.cost if change else None,
            "alternatives": [_masked_all(other.as_alternative()) for other in self.alternatives],
            "do_not_touch": row["do_not_touch"],
            "known_issue": death.signature.known_issue if death.signature else None,
            "missing": list(case.missing),
            "look_for": row["look_for"] if death.death == "unknown" or death.confidence == "low" else [],
            "inferred": list(case.inferred),
            "secondary": [{"line": line.number, "text": _quote(line.text)} for line in death.secondary[:3]],
            "earlier": list(self.earlier),
            "lines": case.facts.total,
            "masked": max(masked_words(command or ""), sum(mask(line.text)[1] for line in case.facts.lines[:2000])),
            "read": what_was_read(case),
            "budget": _masked_all(describe(case.plan, mend=False)) if case.plan else None,
            "after": _masked_all({"verdict": made.to_dict()["verdict"], "kv": made.to_dict()["kv"]}) if made else None,
            "ticket": ticket(case, change),
        }
        return data


def diagnose(source: str | BinaryIO, command: str | None = None, stated: Mapping[str, Any] | None = None) -> Diagnosis:
    """Why a log's server died, and what to change.

    Args:
        source: the log as text or as a stream of bytes, of any size; or only a launch command.
        command: the launch command, where the log does not hold it.
        stated: ``gpu``, ``gpus``, ``engine_version`` and other settings, which win over the text.

    Raises:
        InputError: an empty or binary log; a command or setting that cannot be read.
    """
    runs = read_log(source)
    deaths = [find_death(run) for run in runs]
    chosen = _last_failed(deaths)
    earlier = tuple(
        f"lines {run.first:,} to {run.last:,}: {death_class(death.death)['title'].lower()} ({death.death})"
        for index, (run, death) in enumerate(zip(runs, deaths))
        if index != chosen
    )
    facts, death = runs[chosen], deaths[chosen]
    if death.death == "unknown" and command is None and not facts.memory:
        predicted = _only_a_command(facts, stated)
        if predicted is not None:
            return predicted
    case = open_case(facts, death, command, stated)
    change, alternatives = _changes(case)
    return Diagnosis(case, _cause(case), change, alternatives, earlier)


def _last_failed(deaths: list[Death]) -> int:
    """The last run that failed; where none did, the last."""
    failed = [index for index, death in enumerate(deaths) if death.death not in _QUIET]
    return failed[-1] if failed else len(deaths) - 1


def _only_a_command(facts: LogFacts, stated: Mapping[str, Any] | None) -> Diagnosis | None:
    """A paste that is a launch command and no log: the budget foretells."""
    text = "\n".join(line.text for line in facts.lines)
    if len(text) > 100_000:
        return None
    nothing = Death("unknown", "low", None, ())
    try:
        case = open_case(facts, nothing, text, stated)
    except InputError:
        return None
    if case.deployment is None:
        return None
    verdict = case.plan.verdict if case.plan else None
    if verdict is None:
        return Diagnosis(case, "This is a command, not a log. Give --gpu to have it budgeted.", None, (), ())
    if verdict.stage is None:
        return Diagnosis(
            case,
            f"This is a command, not a log. By its budget it {_words(verdict.status)}: {verdict.reason}",
            None,
            (),
            (),
        )
    certain = "medium" if verdict.status == "does_not_fit" else "low"
    foretold = Case(
        facts, Death(verdict.stage, certain, None, ()), case.deployment, case.plan, case.inferred, case.missing
    )
    change, alternatives = _changes(foretold)
    return Diagnosis(
        foretold, f"Foretold from the command, no log was read: {verdict.reason}", change, alternatives, ()
    )


def _words(status: str) -> str:
    return {"fits": "fits", "marginal": "is marginal", "does_not_fit": "does not fit"}.get(status, status)


# What helps against a class where no signature names changes (a command without a log).
_BY_CLASS = {
    "weights_load": ("weights",),
    "startup_free_memory": ("lower_to_free",),
    "profile_run_activation": ("batched_tokens", "sequences", "weights"),
    "startup_no_kv_blocks": ("more_pool", "weights"),
    "startup_kv_too_small": ("kv_length", "keep_length", "kv_record", "context_parallel"),
    "cuda_graph_capture": ("lower_utilization", "capture_size"),
    "runtime_workspace": ("batched_tokens", "lower_utilization"),
    "runtime_activation": ("lower_utilization", "batched_tokens"),
    "not_oom_other": ("read_above",),
}


def _changes(case: Case) -> tuple[Change | None, tuple[Change, ...]]:
    """The first remedy that the budget confirms, then the others in order."""
    names = case.death.signature.remedies if case.death.signature else _BY_CLASS.get(case.death.death, ())
    found = [change for name in names if (change := remedy(name, case)) is not None]
    if not found:
        if case.death.death in _QUIET:
            return None, ()
        return action("No single flag mends this within the budget: see the ladder, glmcalc downgrade."), ()
    best = next((change for change in found if _sure(change)), found[0])
    return best, tuple(change for change in found if change is not best)


def _sure(change: Change) -> bool:
    return change.kind != "version" and change.risk is None


def _cause(case: Case) -> str:
    row = case.death.signature
    if row is None:
        shown = case.death.lines[0] if case.death.lines else None
        if case.death.death == "healthy":
            return f"The server came up{f' (line {shown.number:,})' if shown else ''}, and nothing after that failed."
        if case.death.death == "unknown":
            seen = "Only errors that follow from another are in this text. " if shown else "No line that is known. "
            return f"{seen}What failed first is not known."
        return f"The first error is one that is no lack of memory as far as is known: {_quote(shown.text) if shown else ''}"
    figures = _figures(case)
    for template in row.cause:
        try:
            return template.format(**figures)
        except KeyError:
            continue
    return row.cause[-1]


def _figures(case: Case) -> dict[str, str]:
    figures: dict[str, str] = {}
    for name in ("tried", "free", "gpu_total", "start_free", "requested", "kv_needed", "available_kv"):
        value = case.value(f"{name}_bytes")
        if value is not None:
            figures[name] = (
                f"{engine_gib(int(value))} GiB" if abs(value) >= 1 << 28 else f"{value / (1 << 20):,.2f} MiB"
            )
    for name in ("estimated_max_model_len", "max_model_len"):
        value = case.value(name)
        if value is not None:
            figures[name] = f"{int(value):,}"
    usage, index, share = (
        case.value("kv_cache_usage_pct"),
        case.value("gpu_index"),
        case.value("gpu_memory_utilization"),
    )
    if usage is not None:
        figures["kv_cache_usage_pct"] = f"{usage:g} %"
    if index is not None:
        figures["gpu_index"] = f"{index}"
    if share is not None:
        figures["gpu_memory_utilization"] = f"{share:g}"
    if case.plan is not None:
        r = case.plan.resolved
        figures.setdefault("max_model_len", f"{r.max_model_len:,}")
        figures["max_num_batched_tokens"], figures["max_num_seqs"] = (
            f"{r.max_num_batched_tokens:,}",
            f"{r.max_num_seqs:,}",
        )
    return figures


def what_was_read(case: Case) -> list[dict[str, Any]]:
    """What the log said, as ``name``, ``text`` and ``line``; for the column beside the answer."""
    facts, rows = case.facts, []
    if facts.engine:
        version = f" {facts.engine_version}" if facts.engine_version else ", version not stated"
        rows.append({"name": "Engine", "text": f"{facts.engine}{version}", "line": facts.version_line})
    if case.deployment is not None:
        rows.append(
            {
                "name": "Flags",
                "text": _flags_in_short(case),
                "line": facts.argument_lines[0] if facts.argument_lines else None,
            }
        )
    for name, label in (("gpu_total_bytes", "GPU"), ("weights_bytes", "Weights as printed"), ("available_kv_bytes", "KV pool as printed"),
                        ("kv_tokens", "KV tokens as printed"), ("tried_bytes", "Asked for"), ("free_bytes", "Free then")):  # fmt: skip
        row = facts.last_value(name)
        if row is not None:
            text = f"{row.value:,} tokens" if name == "kv_tokens" else f"{engine_gib(int(row.value))} GiB"
            rows.append({"name": label, "text": text, "line": row.line})
    if case.death.secondary:
        first = case.death.secondary[0]
        rows.append({"name": "Secondary error", "text": "looked through", "line": first.number})
    return rows


def _flags_in_short(case: Case) -> str:
    asked = case.deployment
    if asked is None:
        return ""
    parts = [
        f"TP {asked.tensor_parallel_size}" if asked.tensor_parallel_size else "",
        f"DCP {asked.decode_context_parallel_size}" if asked.decode_context_parallel_size else "",
        f"{asked.kv_cache_dtype} KV" if asked.kv_cache_dtype else "",
        f"{asked.max_model_len:,} tokens" if isinstance(asked.max_model_len, int) else "",
        f"{asked.max_num_seqs} seqs" if asked.max_num_seqs else "",
        f"T {asked.max_num_batched_tokens:,}" if asked.max_num_batched_tokens else "",
        f"util {asked.gpu_memory_utilization:g}" if asked.gpu_memory_utilization else "",
        f"MTP {asked.num_speculative_tokens}" if asked.num_speculative_tokens else "",
    ]
    return ", ".join(part for part in parts if part) or "defaults"


def ticket(case: Case, change: Change | None) -> str:
    """One line for the ticket: version, model, KV record, machine, class, and the way back."""
    facts, made = case.facts, case.plan
    parts = [f"{facts.engine or 'engine not known'} {facts.engine_version or ''}".strip()]
    if made is not None:
        r = made.resolved
        parts += [
            r.checkpoint.name,
            f"{r.record}, {made.kv.bytes_per_token:,} B/token",
            f"TP {r.tp}",
            f"{r.gpus} × {r.device.name}",
        ]
    elif case.deployment is not None:
        parts.append(case.deployment.model)
    parts.append(f"class {case.death.death}")
    if change is not None and change.kind == "flag" and change.before is not None:
        parts.append(f"roll back: {change.name} {change.before}")
    return _masked(" · ".join(parts))


@lru_cache(maxsize=1)
def _classes() -> dict[str, dict[str, Any]]:
    rows = load_jsonl("death_classes.jsonl")
    for row in rows:
        for field in PROVENANCE:
            if not row.get(field):
                raise InputError(field, None, "present", f"death_classes.jsonl: {row.get('id')} has no {field}.")
    return {row["id"]: row for row in rows}


def death_class(name: str) -> dict[str, Any]:
    """A class of death with its runbook entry (``data/death_classes.jsonl``).

    Raises:
        KeyError: no such class.
    """
    return _classes()[name]


def class_names() -> list[str]:
    """All classes, in the order of a start."""
    return list(_classes())


def _quote(text: str) -> str:
    shown = _masked(text.strip())
    return shown if len(shown) <= _LONGEST_QUOTE else shown[: _LONGEST_QUOTE - 1] + "…"


def _masked(text: str) -> str:
    return mask(text)[0]


def _masked_all(value: Any) -> Any:
    if isinstance(value, str):
        return _masked(value)
    if isinstance(value, dict):
        return {name: _masked_all(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_masked_all(part) for part in value]
    return value
