"""Chapter 2's own pieces: the layers drawn, the toy, and the arithmetic of sharing as tables and curves."""

from __future__ import annotations

import inspect
from html import escape
from typing import Sequence

import pandas as pd

from glmcalc.facts.hardware import device
from glmcalc.model.checkpoint import load_checkpoint
from glmcalc.model.records import resolve_record
from glmcalc.present import toy_indexer
from glmcalc.present.display import Html, style
from glmcalc.present.frames import as_table
from glmcalc.present.indexshare_strip import layer_strip
from glmcalc.solve import indexshare as rows
from glmcalc.speed import sharing
from glmcalc.speed.sharing import Case


def case(model: str, gpu: str, kv_cache_dtype: str | None = None, gpus: int = 8) -> Case:
    """The chapter's model, device and record; the record as vLLM resolves ``kv_cache_dtype`` on that device.

    Raises:
        InputError: a model without an indexer, or a name that is not known.
    """
    kv_record, _ = resolve_record(kv_cache_dtype, load_checkpoint(model).geometry, device(gpu))
    return sharing.case(model, gpu, kv_record, gpus)


def tokens_text(context: int) -> str:
    """A length in the field's short form.

    >>> tokens_text(131072), tokens_text(1 << 20), tokens_text(1000)
    ('128K', '1M', '1,000')
    """
    if context % 1024:
        return f"{context:,}"
    return f"{context >> 20}M" if context % (1 << 20) == 0 else f"{context >> 10}K"


def strip(c: Case) -> Html:
    """The model's layers: full, shared, MTP."""
    g = c.checkpoint.geometry
    own = " ".join(str(layer) for layer in g.indexer_layers)
    return drawn(layer_strip(g), f"layers with an indexer: {own}; MTP: {g.num_hidden_layers}")


def stored(c: Case) -> Html:
    """What one token leaves in one layer: latent, rotary part, scales, indexer key; by record, with the two kinds of layer."""
    found = []
    for name in ("bf16", "fp8_ds_mla", "fp8_e4m3", "nvfp4_ds_mla"):
        one = sharing.case(c.checkpoint.name, c.chip.id, name, c.ranks)
        found.append({
            "record": name, "latent and rotary, B": one.latent, "indexer key, B": one.index,
            "shared layer, B": one.latent, "full or MTP layer, B": one.latent + one.index,
            f"{one.layers} layers, B": sharing.stored_bytes(one, one.indexers),
            "with MTP, B": sharing.stored_bytes(one, one.indexers) + one.latent + one.index,
            "were every layer full, B": sharing.stored_bytes(one, one.layers),
            "saved, %": round(100 - 100 * sharing.stored_bytes(one, one.indexers) / sharing.stored_bytes(one, one.layers), 1),
        })  # fmt: skip
    return as_table(pd.DataFrame(found).set_index("record"))


def source_of(*names: str) -> Html:
    """The text of the toy's functions called ``names``, as it runs."""
    text = "\n\n".join(inspect.getsource(getattr(toy_indexer, name)).rstrip() for name in names)
    return drawn(
        f'<div class="gm-cmd"><pre tabindex="0" aria-label="Python" style="white-space:pre;overflow-x:auto">{escape(text)}</pre></div>',
        text,
    )


def toy(changes: Sequence[float] = (0.05, 0.1, 0.2, 0.5, 1.0)) -> Html:
    """Overlap of the toy's layers, per cent, by how much each layer changes; made-up data."""
    found = []
    for change in changes:
        shares = toy_indexer.mean_overlap(change)
        found.append(
            {"change of a layer": change} | {f"layer +{n}, %": round(100 * s) for n, s in enumerate(shares, 1)}
        )
    return as_table(pd.DataFrame(found).set_index("change of a layer"))


def allocation() -> Html:
    """Which engine and release allocates how many indexer caches, and what a token is then."""
    found = [
        {
            "engine": row["engine"], "release or build": row["release"], "indexer caches": "21 or 78" if row["caches"] is None else f"{row['caches']}", "record": row["record"] or "not known here",
            "a token, B": "" if row["bytes_per_token"] is None else f"{row['bytes_per_token']:,}", "when, or what it says": row["note"],
            "source": row["source"],
        }
        for row in rows.allocation_rows()
    ]  # fmt: skip
    return as_table(pd.DataFrame(found))


def logs() -> Html:
    """What servers printed, beside both counts: bytes of one token, and which count it agrees with."""
    found = [
        {
            "log": row["id"], "engine": f"{row['engine']} {row['version']}".strip(), "record": row["record"], "printed, B": round(row["observed"], 1),
            "21 caches, B": row["bytes_21"], "78 caches, B": row["bytes_78"], "agrees with": row["agrees"],
            "error, %": round(row["error_pct"], 3),
        }
        for row in rows.log_rows()
    ]  # fmt: skip
    return as_table(pd.DataFrame(found).set_index("log"))


def vendor(c: Case) -> Html:
    """Readings of the vendor's 2.9x."""
    found = [
        {"counted": row["what"], "every layer, GFLOP": round(row["every"], 1), "shared, GFLOP": round(row["shared"], 1), "ratio": round(row["ratio"], 2)}
        for row in rows.vendor_rows(c)
    ]  # fmt: skip
    return as_table(pd.DataFrame(found))


def parts(c: Case, context: int = 1 << 20) -> Html:
    """GFLOP of one token by part."""
    found = [
        {"part": row["part"], "every layer, GFLOP": round(row["every"], 1), "shared, GFLOP": round(row["shared"], 1)}
        for row in rows.parts_rows(c, context)
    ]
    return as_table(pd.DataFrame(found).set_index("part"))


def guide(c: Case) -> Html:
    """Readings of the guide's "~30 %", none of which is 30 %; and where 30 % of something does occur."""
    found = [
        {"reading": row["reading"], "before": f"{row['before']:,.0f}", "after": f"{row['after']:,.0f}", "unit": row["unit"], "saved, %": round(row["saved_pct"], 1)}
        for row in rows.guide_rows(c.checkpoint.name)
    ]  # fmt: skip
    at = rows.context_of_saving(c, 0.3)
    if at is not None:
        what = "FLOPs against no sharing are 30 % fewer at one length only"
        found.append({"reading": what, "before": f"{at:,.0f}", "after": "", "unit": "tokens", "saved, %": 30.0})
    return as_table(pd.DataFrame(found))


def claims() -> Html:
    """Published figures of sharing, each with the model it was measured on."""
    found = []
    for row in rows.facts("claim"):
        upto = "" if row["high"] is None else f" to {row['high']:g}"
        found.append(
            {
                "what": row["says"],
                "figure": f"{row['value']:g}{upto} {row['unit']}".replace(" x", "×"),
                "model": row["model"],
                "source": row["source"],
            }
        )
    return as_table(pd.DataFrame(found))


def drawn(body: str, plain: str) -> Html:
    """HTML of this package's look; ``plain`` where it cannot be shown."""
    return Html(f'<style>{style("style.css")}</style><div class="gm">{body}</div>', plain)
