"""From a log to one answer: which death, the change to make now, what it costs, how to verify it, what not to touch."""

from __future__ import annotations

from itertools import islice

from glmcalc.advise.account import cause_of, masked, masked_all, quote, ticket, what_was_read
from glmcalc.advise.case import Case, masked_words, open_case
from glmcalc.advise.changes import Change, action, flag, is_sure, needs_more, several
from glmcalc.advise.classes import QUIET, death_class
from glmcalc.advise.other_engines import not_to_touch
from glmcalc.advise.pool_changes import shortening_is_cheap
from glmcalc.advise.remedies import remedy
from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record, replace
from glmcalc.logs.match import Death, find_death
from glmcalc.logs.read import LogFacts, read_log
from glmcalc.logs.secrets import mask
from glmcalc.model.pasted import read_pasted
from glmcalc.solve.answer import describe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO, Mapping


@record
class Diagnosis:
    """The answer.

    Attributes:
        case: what it rests on.
        cause: one sentence with the numbers.
        change: the change to make now, or None where none is proposed.
        alternatives: gentler or later changes, each with its risk.
        earlier: runs of the same log before this one, as sentences; later: those after it.
    """

    case: Case
    cause: str
    change: Change | None
    alternatives: tuple[Change, ...]
    earlier: tuple[str, ...]
    later: tuple[str, ...] = ()

    @property
    def death(self) -> Death:
        """Class, confidence, signature and evidence."""
        return self.case.death

    def to_dict(self) -> dict[str, Any]:
        """As ``glmcalc diagnose --json`` prints it; secrets are masked throughout."""
        case, death = self.case, self.death
        row = death_class(death.death)
        change = self.change
        made = case.shown(change.plan) if change and change.plan else None
        command = masked(change.command) if change and change.command else None
        data: dict[str, Any] = {
            "class": death.death,
            "title": row["title"],
            "confidence": death.confidence,
            "signature": death.signature.id if death.signature else None,
            "engine": case.facts.engine,
            "engine_version": case.facts.engine_version,
            "evidence": [{"line": line.number, "text": quote(line.text)} for line in death.lines],
            "cause": self.cause,
            "meaning": row["meaning"],
            "change": change.to_dict() if change else None,
            "command": command,
            "verify": _verify(row, case.facts.engine) if death.death not in QUIET else None,
            "cost": change.cost if change else None,
            "alternatives": [masked_all(other.as_alternative()) for other in self.alternatives],
            "do_not_touch": _not_to_touch(case, row["do_not_touch"], change),
            "known_issue": death.signature.known_issue if death.signature else None,
            "missing": list(case.missing),
            "unknown": list(case.unknown),
            "look_for": row["look_for"] if death.death == "unknown" or death.confidence == "low" else [],
            "inferred": list(case.inferred),
            "secondary": [{"line": line.number, "text": quote(line.text)} for line in death.secondary[:3]],
            "earlier": list(self.earlier),
            "later": list(self.later),
            "lines": case.facts.total,
            "masked": max(masked_words(command or ""), sum(mask(line.text)[1] for line in case.facts.lines[:2000])),
            "read": what_was_read(case),
            "budget": masked_all(describe(case.shown(case.plan), mend=False)) if case.plan else None,
            "after": masked_all({"verdict": made.to_dict()["verdict"], "kv": made.to_dict()["kv"]}) if made else None,
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
    told = [
        f"lines {run.first:,} to {run.last:,}: {death_class(death.death)['title'].lower()} ({death.death})"
        for run, death in zip(runs, deaths)
    ]
    earlier, later = tuple(told[:chosen]), tuple(told[chosen + 1 :])
    facts, death = runs[chosen], deaths[chosen]
    if death.death == "unknown" and command is None and not facts.memory:
        predicted = _only_a_command(facts, stated)
        if predicted is not None:
            return predicted
    case = open_case(facts, death, command, stated)
    change, alternatives = _changes(case)
    since = _came_up_since(runs[-1], deaths[-1]) if later else ""
    return Diagnosis(case, since + cause_of(case), change, alternatives, earlier, later)


def _verify(row: Mapping[str, Any], engine: str | None) -> str:
    """How to see that it holds, by the lines that the engine prints."""
    return str(row["verify_of"].get(engine, row["verify"]))


def _not_to_touch(case: Case, rows: list[dict[str, str]], change: Change | None) -> list[dict[str, str]]:
    """What not to touch, without what the change itself sets.

    The length is left out where the signature says that what died grows with the context.
    """
    row = case.death.signature
    grows = row is not None and any("context" in text or "max_model_len" in text for text in row.cause)
    told = change.text if change else ""
    kept = [
        one
        for one in rows
        if not (grows and one["name"] == "max_model_len")
        and not any(flag(name) + " " in told for name in one["name"].split(", "))
    ]
    return not_to_touch(kept, case.facts.engine)


def _last_failed(deaths: list[Death]) -> int:
    """The last run that failed; where none did, the last."""
    failed = [index for index, death in enumerate(deaths) if death.death not in QUIET]
    return failed[-1] if failed else len(deaths) - 1


def _came_up_since(last: LogFacts, death: Death) -> str:
    """What comes before the cause where the start that is diagnosed was not the last one, and the last one came up."""
    if death.death != "healthy":
        return ""
    return f"The last start (line {last.first:,}) came up; this is why one before it died. "


def _only_a_command(facts: LogFacts, stated: Mapping[str, Any] | None) -> Diagnosis | None:
    """A paste that is a launch command and no log: the budget foretells.

    Raises:
        InputError: a flag of the command that is none of the engine's.
    """
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
    if case.unknown:
        read_pasted(text)  # refuses it with the nearest name: the engine would end on it, whatever fits
    verdict = case.plan.verdict if case.plan else None
    if verdict is None:
        wanted = "Give --gpu to have it budgeted."
        if case.deployment.gpu is not None and case.missing:
            wanted = f"It is not budgeted: {case.missing[-1].removeprefix('a budget: ')}"
        return Diagnosis(case, f"This is a command, not a log. {wanted}", None, (), ())
    if verdict.stage is None:
        return Diagnosis(
            case,
            f"This is a command, not a log. By its budget it {_words(verdict.status)}: {verdict.reason}",
            None,
            (),
            (),
        )
    certain = "medium" if verdict.status == "does_not_fit" else "low"
    foretold = replace(case, death=Death(verdict.stage, certain, None, ()))
    change, alternatives = _changes(foretold)
    return Diagnosis(
        foretold, f"Foretold from the command, no log was read: {verdict.reason}", change, alternatives, ()
    )


def _words(status: str) -> str:
    return {"fits": "fits", "marginal": "is marginal", "does_not_fit": "does not fit"}.get(status, status)


_MOST_ALTERNATIVES = 4
_NO_FLAG = {
    "vllm": "No single flag mends this within the budget: see the ladder, glmcalc downgrade.",
    "sglang": "No single flag mends this, and glmcalc downgrade takes vLLM only: try a smaller checkpoint or more GPUs with "
    "glmcalc budget --engine sglang.",
    "llama.cpp": "No single flag mends this, and glmcalc downgrade takes vLLM only: try a smaller quantization or more GPUs with "
    "glmcalc budget --engine llama.cpp.",
}
# What helps against a class where no signature names changes (a command without a log).
_BY_CLASS = {
    "weights_load": ("weights",),
    "startup_free_memory": ("lower_to_free",),
    "profile_run_activation": ("batched_tokens", "sequences", "weights"),
    "startup_no_kv_blocks": ("more_pool", "weights"),
    "startup_kv_too_small": ("kv_record", "context_parallel", "keep_length", "kv_length", "raise_utilization"),
    "cuda_graph_capture": ("lower_utilization", "capture_size"),
    "runtime_workspace": ("batched_tokens", "lower_utilization"),
    "runtime_activation": ("lower_utilization", "batched_tokens"),
    "not_oom_other": ("read_above",),
}


def _changes(case: Case) -> tuple[Change | None, tuple[Change, ...]]:
    """The first remedy that the budget confirms, then the others in order; where no flag is enough, the nearest command."""
    if case.death.death in QUIET:
        return None, ()
    found = _without_repeats([change for name in _remedies(case) if (change := remedy(name, case)) is not None])
    best = next((change for change in found if is_sure(change, case) and not needs_more(change)), None)
    best = best or _best_of_the_rest(case, found)
    others = (change for change in found if change.text != best.text and (change.command or best) != best.command)
    return _started(best, case), tuple(_started(other, case) for other in islice(others, _MOST_ALTERNATIVES))


def _started(change: Change, case: Case) -> Change:
    """With the variables that the old command set in front; one that the change itself sets wins."""
    if change.command is None or not case.environment:
        return change
    kept = [word for word in case.environment if word.split("=")[0] != change.name]
    return replace(change, command=" ".join([*kept, change.command]))


def _best_of_the_rest(case: Case, found: list[Change]) -> Change:
    """Where no change that stays on these GPUs is confirmed: several flags, else the least doubtful flag, else more GPUs."""
    whole = several(case, "this relieves what ran out, by the budget")
    if whole is not None and not needs_more(whole):
        return whole
    doubtful = next((change for change in found if change.kind == "flag" and change.risk and change.command), None)
    if doubtful is not None:
        text = f"No single flag is confirmed by the budget. First to try: {doubtful.text} Risk: {doubtful.risk}"
        return action(text, doubtful.command, doubtful.cost)
    sure = next((change for change in found if is_sure(change, case)), None)
    ladder = action(_NO_FLAG.get(case.facts.engine or "vllm", _NO_FLAG["vllm"]))
    return sure or whole or ladder


def _without_repeats(found: list[Change]) -> list[Change]:
    """Each command once, and each text once."""
    kept: dict[object, Change] = {}
    for change in found:
        kept.setdefault(change.command if change.command and change.kind == "flag" else change.text, change)
    return list(kept.values())


def _remedies(case: Case) -> tuple[str, ...]:
    """Names of changes, the best first. The length is given up first only where hardly anything is lost by it."""
    names = case.death.signature.remedies if case.death.signature else _BY_CLASS.get(case.death.death, ())
    if "kv_length" in names and shortening_is_cheap(case):
        return ("kv_length", *(name for name in names if name != "kv_length"))
    return tuple(names)
