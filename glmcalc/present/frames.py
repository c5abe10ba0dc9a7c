"""Tables of the chapters, as pandas frames with units in their headings; every figure is computed when called."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

import pandas as pd

from glmcalc.budget.plan import plan
from glmcalc.budget.result import Plan
from glmcalc.facts.hardware import devices
from glmcalc.facts.quantity import GB, GIB
from glmcalc.model.deployment import Deployment
from glmcalc.present.display import Html
from glmcalc.present.frame_html import as_table as as_table
from glmcalc.present.ledger import ledger
from glmcalc.solve import accuracy, claims, presets
from glmcalc.solve.checkpoint_table import checkpoint_table


def components(made: Plan) -> Html:
    """Components of one GPU: GiB and range as everywhere in this manual, so that they add up as printed; basis."""
    book = ledger(made.to_dict())
    rows = [
        {
            "component": row.label,
            "GiB": row.cents / 100,
            "low, GiB": _hundredths(row.low, row.cents),
            "high, GiB": _hundredths(row.high, row.cents),
            "inside utilization": row in book.inside,
            "basis": row.basis,
        }
        for row in (*book.inside, *book.outside)
    ]
    return as_table(pd.DataFrame(rows).set_index("component"))


def _hundredths(end: int | None, likely: int) -> float:
    return (likely if end is None else end) / 100


def weights(model: str, tensor_parallel_size: int = 1) -> Html:
    """A checkpoint by module: parameters, stored GB, and GiB on each GPU."""
    table = checkpoint_table(Deployment(model=model, tensor_parallel_size=tensor_parallel_size))
    rows = [
        {
            "module": row["module"],
            "parameters": f"{row['parameters']:,}",
            "stored, GB": row["stored_bytes"] / GB,
            "each GPU, GiB": row["per_gpu_bytes"] / GIB,
            "format": ", ".join(row["formats"]),
        }
        for row in table["modules"]
    ]
    total = {"module": "all", "parameters": f"{table['parameters']:,}", "stored, GB": table["total_bytes"] / GB}
    rows.append(total | {"each GPU, GiB": table["per_gpu_bytes"] / GIB, "format": ""})
    return as_table(_round(pd.DataFrame(rows), 2).set_index("module"))


def memory_as_sold(*gpus: str) -> Html:
    """What a device is sold with, in GiB, beside what the engine sees."""
    rows = []
    for chip in devices():
        memory = chip.memory()
        if chip.id in gpus and memory is not None and chip.memory_gb is not None:
            rows.append({
                "gpu": chip.id, "as sold, GB": chip.memory_gb, "that many GB, in GiB": chip.memory_gb * 10**9 / GIB,
                "engine sees, GiB": memory.bytes / GIB, "basis": memory.basis,
            })  # fmt: skip
    return as_table(_round(pd.DataFrame(rows), 2).set_index("gpu"))


def kv_sizing(model: str = "zai-org/GLM-5.2-FP8", mtp: bool = False) -> Html:
    """KV of 1 to 16 requests of 32K to 1M tokens, GiB on each GPU, by record; bf16 is what the guide calls FP16."""
    frame = pd.DataFrame(presets.kv_sizing_rows(model, mtp))
    names = {"bf16_gib": "bf16", "fp8_ds_mla_gib": "fp8_ds_mla", "fp8_e4m3_gib": "plain fp8"}
    frame = frame.rename(columns=names).pivot(index="max_model_len", columns="sequences", values=list(names.values()))
    return as_table(frame.round(2))


def pool_by_requests(counts: Sequence[int], deployments: Mapping[str, Deployment]) -> Html:
    """The pool at each ``max_num_seqs``, GiB on each GPU, for each deployment by its name: likely value and range."""
    rows = []
    for count in counts:
        row: dict[str, Any] = {"max_num_seqs": count}
        for name, deployment in deployments.items():
            pool = plan(deployment.changed(max_num_seqs=count)).kv.available
            row[f"{name}: pool, GiB"] = round(pool.likely / GIB, 2)
            row[f"{name}: range, GiB"] = f"{pool.low / GIB:.2f} to {pool.high / GIB:.2f}"
        rows.append(row)
    return as_table(pd.DataFrame(rows).set_index("max_num_seqs"))


def preset_tiers(gpus: int = 8) -> Html:
    """The guide's three presets on every NVIDIA device: fits, or the stage at which it dies and the nearest that fits."""
    tiers: dict[str, dict[str, str]] = {}
    for row in presets.tier_rows(gpus):
        said = row["status"].replace("_", " ")
        if row["stage"]:
            said += f" ({row['stage']})"
        if row["nearest"]:
            said += f"; nearest that fits: {row['nearest']}"
        tiers.setdefault(row["gpu"], {"gpu": row["gpu"]})[row["preset"]] = said
    return as_table(pd.DataFrame(list(tiers.values())))


def guide_claims() -> Html:
    """The published guide's figures, line by line, with ours and the reason for the difference."""
    rows = claims.claim_rows()
    frame = pd.DataFrame(
        [
            {
                "claim": row["claim"],
                "guide": f"{row['value']} {row['unit']}".strip(),
                "ours": row["ours"],
                "why": row["why"],
            }
            for row in rows
        ]
    )
    frame["guide"] = frame["guide"].str.replace("max_model_len/max_num_seqs/gpu_memory_utilization", "", regex=False)
    return as_table(frame)


def accuracy_bytes_per_token() -> Html:
    """KV bytes a token: predicted at each log's own version, observed, and whether they agree within rounding.

    Where the release leaves the size open, both are shown, and the row says which of them agrees.
    """
    rows = [
        {
            "id": row["id"],
            "engine version": f"{row['engine_version'] or 'not stated'}{' (fork)' if _fork_unsaid(row) else ''}",
            "record": row["record"],
            "predicted, B": f"{row['predicted']:,}",
            "open: or, B": f"{row['predicted_low']:,}" if row["open"] else "",
            "observed, B": row["observed"],
            "error, %": row["error_pct"],
            "rounding, %": row["rounding_pct"],
            "agrees": _agreement(row),
        }
        for row in accuracy.bytes_per_token_rows()
    ]
    frame = pd.DataFrame(rows).round({"observed, B": 1, "error, %": 3, "rounding, %": 3})
    return as_table(frame.set_index("id"))


def _fork_unsaid(row: dict[str, Any]) -> bool:
    return bool(row["fork"]) and "fork" not in str(row["engine_version"])


def _agreement(row: dict[str, Any]) -> str:
    if not row["agrees"]:
        return f"no: {row['known_odd']}" if row["known_odd"] else "no"
    if not row["open"]:
        return "yes"
    return "yes, the smaller" if row["nearer"] == row["predicted_low"] else "yes, the larger"


def accuracy_pool(weights: str = "printed") -> Html:
    """The pool without calibration: predicted with its band, printed, error in GiB on each GPU, in band or not.

    A pool below 0 is shown as none, with what is missing: the engine would not start.
    """
    rows = [
        {
            "id": row["id"],
            "engine": "fork" if row["fork"] else "stock",
            "predicted, GiB": _pool_gib(row["predicted_gib"]),
            "low, GiB": _pool_gib(row["low_gib"]),
            "high, GiB": _pool_gib(row["high_gib"]),
            "printed, GiB": round(row["observed_gib"], 2),
            "error, GiB": round(row["error_gib"], 2),
            "in band": row["inside"],
        }
        for row in accuracy.pool_rows(weights)
    ]
    return as_table(pd.DataFrame(rows).set_index("id"))


def _pool_gib(value: float) -> str:
    return f"{value:.2f}" if value >= 0 else f"none (−{-value:.2f})"


def accuracy_summary() -> Html:
    """Median error, median band and share in band, each deployment counted once."""
    rows: list[dict[str, Any]] = []
    for kind in ("printed", "predicted"):
        rows += [{"weights": kind, **row} for row in accuracy.pool_summary(accuracy.pool_rows(kind))]
    frame = pd.DataFrame(rows).rename(columns={
        "median_error_gib": "median error, GiB", "median_band_gib": "median band, GiB", "inside_pct": "in band, %",
    })  # fmt: skip
    return as_table(_round(frame, 2).set_index(["weights", "engines"]))


def _round(frame: pd.DataFrame, places: int) -> pd.DataFrame:
    numbers = frame.select_dtypes("float").columns
    return frame.assign(**{name: frame[name].round(places) for name in numbers})
