"""Tables of the chapters, as pandas frames with units in their headings; every figure is computed when called."""

from __future__ import annotations

from typing import Any

import pandas as pd

from glmcalc.budget.result import Plan
from glmcalc.facts.hardware import devices
from glmcalc.facts.quantity import GB, GIB
from glmcalc.model.deployment import Deployment
from glmcalc.present.display import Html, style
from glmcalc.solve import accuracy, claims, presets
from glmcalc.solve.checkpoint_table import checkpoint_table


def components(made: Plan) -> pd.DataFrame:
    """Components of one GPU: GiB, range, basis and source; the inside ones sum to the utilization line."""
    rows = [
        {
            "component": part.label,
            "GiB": part.band.likely / GIB,
            "low, GiB": part.band.low / GIB,
            "high, GiB": part.band.high / GIB,
            "inside utilization": part.inside_utilization,
            "basis": part.basis,
        }
        for part in made.components
    ]
    return _round(pd.DataFrame(rows), 2).set_index("component")


def weights(model: str, tensor_parallel_size: int = 1) -> pd.DataFrame:
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
    return _round(pd.DataFrame(rows), 2).set_index("module")


def memory_as_sold(*gpus: str) -> pd.DataFrame:
    """What a device is sold with, in GiB, beside what the engine sees."""
    rows = []
    for chip in devices():
        memory = chip.memory()
        if chip.id in gpus and memory is not None and chip.memory_gb is not None:
            rows.append({
                "gpu": chip.id, "as sold, GB": chip.memory_gb, "as sold, if GB were GiB": chip.memory_gb,
                "engine sees, GiB": memory.bytes / GIB, "basis": memory.basis,
            })  # fmt: skip
    return _round(pd.DataFrame(rows), 2).set_index("gpu")


def kv_sizing(model: str = "zai-org/GLM-5.2-FP8", mtp: bool = False) -> pd.DataFrame:
    """KV of 1 to 16 requests of 32K to 1M tokens, GiB on each GPU, by record; bf16 is what the guide calls FP16."""
    frame = pd.DataFrame(presets.kv_sizing_rows(model, mtp))
    names = {"bf16_gib": "bf16", "fp8_ds_mla_gib": "fp8_ds_mla", "fp8_e4m3_gib": "plain fp8"}
    frame = frame.rename(columns=names).pivot(index="max_model_len", columns="sequences", values=list(names.values()))
    return frame.round(2)


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


def as_table(frame: pd.DataFrame) -> Html:
    """A table of sentences: left-aligned, wrapped, every row shown."""
    body = frame.to_html(index=False, classes="gm-table gm-prose", border=0)
    css = (
        ".gm .gm-prose{table-layout:auto!important}"
        ".gm .gm-prose :is(th,td){text-align:left!important;white-space:normal;min-width:84px;vertical-align:top}"
    )
    return Html(f'<style>{style("style.css")}{css}</style><div class="gm">{body}</div>', frame.to_string(index=False))


def accuracy_bytes_per_token() -> pd.DataFrame:
    """KV bytes a token: predicted at each log's own version, observed, and whether they agree within rounding."""
    rows = accuracy.bytes_per_token_rows()
    keep = [
        "id",
        "engine_version",
        "fork",
        "record",
        "predicted",
        "observed",
        "error_pct",
        "rounding_pct",
        "agrees",
        "known_odd",
    ]
    frame = pd.DataFrame(rows)[keep].rename(columns={"predicted": "predicted, B", "observed": "observed, B"})
    return _round(frame.fillna(""), 3).set_index("id")


def accuracy_pool(weights: str = "printed") -> pd.DataFrame:
    """The pool without calibration: predicted with its band, printed, error in GiB on each GPU, in band or not."""
    keep = {
        "id": "id", "fork": "fork", "predicted_gib": "predicted, GiB", "low_gib": "low, GiB", "high_gib": "high, GiB",
        "observed_gib": "printed, GiB", "error_gib": "error, GiB", "inside": "in band",
    }  # fmt: skip
    frame = pd.DataFrame(accuracy.pool_rows(weights))
    if frame.empty:
        return pd.DataFrame(columns=list(keep.values()))
    return _round(frame[list(keep)].rename(columns=keep), 2).set_index("id")


def accuracy_summary() -> pd.DataFrame:
    """Median error, median band and share in band, each deployment counted once."""
    rows: list[dict[str, Any]] = []
    for kind in ("printed", "predicted"):
        rows += [{"weights": kind, **row} for row in accuracy.pool_summary(accuracy.pool_rows(kind))]
    frame = pd.DataFrame(rows).rename(columns={
        "median_error_gib": "median error, GiB", "median_band_gib": "median band, GiB", "inside_pct": "in band, %",
    })  # fmt: skip
    return _round(frame, 2).set_index(["weights", "engines"])


def _round(frame: pd.DataFrame, places: int) -> pd.DataFrame:
    numbers = frame.select_dtypes("float").columns
    return frame.assign(**{name: frame[name].round(places) for name in numbers})
