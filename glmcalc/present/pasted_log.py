"""A start-up log in the calculator's box: the page's settings from its flags, its terms in place of estimates."""

from __future__ import annotations

from typing import Any, Mapping

from glmcalc.advise.calibrate import Calibrated, calibrate
from glmcalc.advise.reconcile import residuals
from glmcalc.budget.result import Plan
from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record
from glmcalc.facts.hardware import device
from glmcalc.facts.quantity import gib
from glmcalc.model.deployment import Deployment
from glmcalc.present import state as states
from glmcalc.present.calibrate_text import residual_text


@record
class PastedLog:
    """What a start-up log says.

    Attributes:
        state: the page's state after it.
        note: what was read, in plain text.
        doubts: what of the log lies beyond its range: ``said``, a sentence, and ``reasons``, a phrase that may be empty.
    """

    state: dict[str, str]
    note: str
    doubts: tuple[dict[str, str], ...]


def state_from_log(text: str, state: Mapping[str, str], shown: Plan | None) -> PastedLog:
    """The page's state after a start-up log was pasted, and what to say of it.

    Args:
        text: the log, whole or only its memory lines.
        state: the page's present state; its GPU stands where the log does not name one.
        shown: the present plan, whose command stands where the log holds no flags.

    Raises:
        InputError: as :func:`glmcalc.advise.calibrate.calibrate`; a log that names no GPU and cannot be of the page's.
    """
    made, own, named = _calibrated(text, state.get("gpu") or None, shown)
    beyond = [row for row in residuals(made) if row["beyond_band"]]
    if not named:
        _check_gpu(made, beyond)
    before, after = (plan.kv.available for plan in (made.measured.before, made.measured.after))
    deployment: Deployment = made.measured.after.resolved.asked
    kept = {name: getattr(deployment, name) for name in states.NAMES if hasattr(deployment, name)}
    fresh = states.from_settings({name: value for name, value in kept.items() if value not in (False, ())})
    fresh["gpus"] = str(made.measured.after.resolved.gpus)
    chip = made.measured.after.resolved.device.name
    of_page = f" The log names no GPU: {chip}, as chosen here, is taken for it; if it is another, choose that and paste again."
    note = (
        f"Read: a start-up log, with {own}{f', on {chip} as it says' if named else ''}. This machine's terms stand in for "
        f"estimates: the pool's range narrows from {gib(before.high - before.low)} to {gib(after.high - after.low)} GiB."
        f"{'' if named else of_page}{' Some of it is not explained: see the verdict.' if beyond else ''}"
        " Clear the field calibration to go back."
    )
    return PastedLog(fresh, note, tuple(_doubt(row) for row in beyond))


def _calibrated(text: str, gpu: str | None, shown: Plan | None) -> tuple[Calibrated, str, bool]:
    """The log as measured, whose flags were taken, and whether it names its GPU itself; its own word goes before the page's."""
    whose: list[tuple[str | None, dict[str, Any], str]] = [(None, {}, "its own flags")]
    if shown is not None:
        whose.append((shown.command, {"gpus": shown.resolved.gpus}, "the settings of this page"))
    failed: InputError | None = None
    for command, stated, words in whose:
        for named in (True, False):
            try:
                return calibrate(text, command, {**stated, "gpu": None if named else gpu}), words, named
            except InputError as error:
                failed = error
    assert failed is not None
    raise failed


def _check_gpu(made: Calibrated, beyond: list[dict[str, Any]]) -> None:
    """Refuse the page's GPU where the log's own figures cannot come from it.

    Raises:
        InputError: weights and pool beyond this GPU's share, or other tokens than this GPU's record puts into the pool.
    """
    before = made.measured.before
    printed = {name: int(line.value) for name, line in made.lines.items() if line.value is not None}
    line, held = before.utilization_bytes, printed.get("weights_bytes", 0) + printed["available_kv_bytes"]
    chip = before.resolved.device
    why = ""
    if line is not None and held > line:
        why = f"weights and pool are {gib(held)} GiB, and {gib(line)} is what utilization leaves of {chip.name}"
    for row in beyond:
        if "tokens" in row:
            why = why or (
                f"{row['measured_tokens']:,} tokens are not what its pool holds on {chip.name} with these flags "
                f"({row['estimate_tokens']:,})"
            )
    if why:
        allowed = "the GPU of the log"
        message = f"gpu: the log names no GPU, and it cannot be of the one chosen here: {why}. Choose the log's GPU and paste again."
        raise InputError("gpu", device(chip.id).id, allowed, message)


def _doubt(row: Mapping[str, Any]) -> dict[str, str]:
    return {"said": residual_text(row), "reasons": "; ".join(str(reason["text"]) for reason in row["reasons"])}
