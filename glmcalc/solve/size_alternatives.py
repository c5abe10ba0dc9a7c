"""Three ways to serve a customer's need: as it is, cheaper, roomier; with what each step costs."""

from __future__ import annotations

from glmcalc.budget.engines import plan
from glmcalc.model.deployment import Deployment
from glmcalc.solve.size import size_rows
from glmcalc.solve.size_fit import Fit
from glmcalc.solve.size_need import Configuration, Need
from glmcalc.solve.size_row import finish, row_of
from glmcalc.solve.size_search import Found, speed_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MORE = 1.25  # times the requests of the need and of the present machine, from which another counts as roomier


def alternatives(deployment: Deployment, need: Need) -> list[dict[str, Any]]:
    """As is, cheaper, and roomier: a quarter more requests than the need and the present machine, of no worse quality if possible.

    Each has ``kind``, ``row`` (as of ``size_rows``; None where there is none, and ``reason`` says why) and ``step``: US$ an hour
    more or less than as it is, null with a reason where a price is not known.

    Raises:
        InputError: as :func:`glmcalc.plan`.
    """
    own = deployment_row(deployment, need)
    rows = [row for row in size_rows(need, limits=False) if row["serves"]]
    price = own["usd_per_hour"]
    cheaper = [
        row for row in rows if price is not None and row["usd_per_hour"] is not None and row["usd_per_hour"] < price
    ]
    least = min(cheaper, key=lambda row: (row["usd_per_hour"], row["quality_rank"]), default=None)
    least_held = MORE * max(need.concurrency, (own["held"] or {}).get("low", 0))
    larger = [row for row in rows if row["held"]["low"] >= least_held and row is not least]
    alike = [row for row in larger if row["quality_rank"] <= own["quality_rank"]]
    roomy = min(
        alike or larger,
        key=lambda row: (row["usd_per_hour"] is None, row["usd_per_hour"] or 0.0, row["gpus"]),
        default=None,
    )
    no_price = "the price of the present machine is not known: give it with --prices" if price is None else None
    return [
        _one("as_is", own, own, None),
        _one("cheaper", least, own, no_price or "no known machine serves the need for less"),
        _one("roomier", roomy, own, "no known machine that serves the need holds more"),
    ]


def deployment_row(deployment: Deployment, need: Need) -> dict[str, Any]:
    """The row of a deployment as it is, under the need; its lengths and sequences are kept.

    Raises:
        InputError: as :func:`glmcalc.plan`.
    """
    fit = fit_of_any(deployment, need)
    chip = fit.plan.resolved.device
    gpus = fit.plan.resolved.gpus
    config = Configuration(
        f"{chip.id}_x{gpus}",
        chip.id,
        gpus,
        1,
        None,
        "serve",
        None,
        "as it is",
        chip.source.split()[0],
        chip.date,
        "config",
    )
    speed, reason = speed_of(config, fit, need) if fit.status in ("fits", "marginal") else (None, "it does not run")
    row = row_of(config, need, Found(fit, speed, reason, None, (), (), 1), False)
    finish([row], need)
    return row


def fit_of_any(deployment: Deployment, need: Need) -> Fit:
    """A deployment of any engine under the need."""
    made = plan(deployment)
    if deployment.engine == "sglang":
        from glmcalc.solve.size_sglang import sglang_fit

        return sglang_fit(made, need)  # type: ignore[arg-type]
    if deployment.engine == "llama.cpp":
        from glmcalc.solve.size_llamacpp import llamacpp_fit

        return llamacpp_fit(made, need)  # type: ignore[arg-type]
    from glmcalc.solve.size_vllm import fit_of

    return fit_of(made, need)  # type: ignore[arg-type]


def _one(kind: str, row: dict[str, Any] | None, own: dict[str, Any], reason: str | None) -> dict[str, Any]:
    if row is None:
        return {"kind": kind, "row": None, "reason": reason, "step": None}
    before, after = own["usd_per_hour"], row["usd_per_hour"]
    known = before is not None and after is not None
    step = {
        "usd_per_hour": round(after - before, 4) if known else None,
        "usd_per_month": round((after - before) * 730, 2) if known else None,
        "reason": None if known else f"no price of {(own if before is None else row)['name']} is known",
        "gpus": row["gpus"] - own["gpus"],
        "held_low": row["held"]["low"] - own["held"]["low"],
    }
    return {"kind": kind, "row": row, "reason": None, "step": step}
