"""Ways to serve a customer's need: as it is, on the same machine, cheaper, roomier; with what each step costs."""

from __future__ import annotations

from glmcalc.budget.engines import plan
from glmcalc.facts.hardware import device
from glmcalc.model.deployment import Deployment
from glmcalc.solve.size import configuration_row, size_rows
from glmcalc.solve.size_fit import Fit
from glmcalc.solve.size_need import Configuration, Need, configurations_of
from glmcalc.solve.size_row import finish, row_of
from glmcalc.solve.size_search import Found, speed_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MORE = 1.25  # times the requests of the need and of the present machine, from which another counts as roomier


def alternatives(deployment: Deployment, need: Need) -> list[dict[str, Any]]:
    """As is, the same machine where that does not serve, cheaper, and roomier: a quarter more requests than need and present
    machine, of no worse quality if possible.

    Each has ``kind``, ``row`` (as of ``size_rows``; None where there is none, and ``reason`` says why) and ``step``: US$ an hour
    more or less than as it is, null with a reason where a price is not known.

    Raises:
        InputError: as :func:`glmcalc.plan`.
    """
    own = deployment_row(deployment, need)
    rows = serving_rows(need)
    same = None if own["serves"] else same_machine(own, need)
    price = own["usd_per_hour"]
    cheaper = [
        row for row in rows if price is not None and row["usd_per_hour"] is not None and row["usd_per_hour"] < price
    ]
    least = cheapest(cheaper, own)
    larger = [row for row in rows if row is not least and _roomier(row, (own, same or own), need)]
    alike = [row for row in larger if row["quality_rank"] <= own["quality_rank"]]
    roomy = cheapest(alike, own) or cheapest(larger, own)
    no_price = "the price of the present machine is not known: give it with --prices" if price is None else None
    serves = "it serves the need as it is" if own["serves"] else "no known deployment of this machine serves the need"
    return [
        _one("as_is", own, own, None),
        _one("same_machine", same, own, serves),
        _one("cheaper", least, own, no_price or "no known machine serves the need for less"),
        _one("roomier", roomy, own, "no known machine that serves the need holds more"),
    ]


def _roomier(row: dict[str, Any], others: tuple[dict[str, Any], ...], need: Need) -> bool:
    """Whether it holds a quarter more than need and ``others``, at the pessimistic and at the likely figures."""
    return all(
        row["held"][end] >= MORE * max(need.concurrency, *(other["held"][end] for other in others))
        for end in ("low", "likely")
    )


def serving_rows(need: Need) -> list[dict[str, Any]]:
    """Rows of all machines that serve the need for sure; of those that keep weights in the host's memory only where no other
    does, since neither their speed nor the host's price is known."""
    rows = [row for row in size_rows(need, limits=False) if row["serves"]]
    return [row for row in rows if row["host_ram_gb"] is None] or rows


def cheapest(rows: list[dict[str, Any]], own: dict[str, Any]) -> dict[str, Any] | None:
    """The least price an hour among rows whose speed is known; one whose speed is not known only where that of ``own`` is not
    either."""
    known = [row for row in rows if row["tok_s_user"] is not None]
    fair = known or ([] if own["tok_s_user"] is not None else rows)
    return min(
        fair,
        key=lambda row: (
            row["usd_per_hour"] is None,
            row["usd_per_hour"] or 0.0,
            row["gpus"],
            row["quality_rank"],
        ),
        default=None,
    )


def same_machine(own: dict[str, Any], need: Need) -> dict[str, Any] | None:
    """The best deployment of the same devices, as many of them, that serves the need for sure; None where there is none."""
    known = [one for one in configurations_of((own["gpu"],)) if one.gpus == own["gpus"] and one.use == "serve"]
    row = configuration_row(known[0] if known else _configuration(own["gpu"], own["gpus"]), need, limits=False)
    finish([row], need)
    return row if row["serves"] else None


def deployment_row(deployment: Deployment, need: Need) -> dict[str, Any]:
    """The row of a deployment as it is, under the need; its lengths and sequences are kept.

    Raises:
        InputError: as :func:`glmcalc.plan`.
    """
    fit = fit_of_any(deployment, need)
    config = _configuration(fit.plan.resolved.device.id, fit.plan.resolved.gpus)
    speed, reason = speed_of(fit, need) if fit.status in ("fits", "marginal") else (None, "it does not run")
    row = row_of(config, need, Found(fit, speed, reason, None, (), (), 1), False)
    finish([row], need)
    return row


def _configuration(gpu: str, gpus: int) -> Configuration:
    """A machine of so many devices that stands in no list."""
    chip = device(gpu)
    return Configuration(
        f"{gpu}_x{gpus}", gpu, gpus, 1, None, "serve", None, "as it is", chip.source.split()[0], chip.date, "config"
    )


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
