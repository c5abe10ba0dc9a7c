"""Sweeps as pandas frames for the chapters: with the settings beside the answers, words for codes, and missing values."""

from __future__ import annotations

from glmcalc.facts.errors import InputError
from glmcalc.model.deployment import Deployment
from glmcalc.solve.sweep import FIELDS, STAGES, STATUSES, UNKNOWN, sweep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping, Sequence

_REGIONS = {
    "holds": "starts for sure, and the pool holds so many requests of that length at once",
    "queues": "starts for sure, but the pool holds fewer at once: the others wait",
    "marginal": "may start: only the likely or the optimistic figures allow it",
    "does not fit": "does not start",
    "unsupported": "the engine has no kernel, or refuses the flags",
    "refused": "no such deployment",
}


def sweep_frame(columns: Mapping[str, Any], base: Deployment | None = None, fields: Sequence[str] = FIELDS) -> Any:
    """A sweep as a frame of one row a deployment: the given columns, then the fields; what is unknown is missing.

    Raises:
        InputError: as :func:`glmcalc.solve.sweep.sweep`.
    """
    import numpy as np
    import pandas as pd

    swept = sweep(columns, base, fields)
    shape = np.broadcast_shapes(*(np.shape(value) for value in columns.values()))
    data: dict[str, Any] = {
        name: np.broadcast_to(np.asarray(value), shape).reshape(-1) for name, value in columns.items()
    }
    for name, column in swept.columns.items():
        flat = column.reshape(-1)
        if name in ("status", "stage"):
            words: tuple[str | None, ...] = STATUSES if name == "status" else STAGES
            data[name] = pd.Categorical.from_codes(
                flat - (name == "stage"), [word for word in words if word is not None]
            )
        elif flat.dtype == np.int64:
            data.setdefault(name, pd.arrays.IntegerArray(flat, flat == UNKNOWN))
        else:
            data.setdefault(name, flat)
    return pd.DataFrame(data)


def heat_map(machines: Deployment | Mapping[str, Deployment], lengths: Sequence[int], sequences: Sequence[int]) -> Any:
    """Where each machine can work: every context beside every number of requests at once.

    Args:
        machines: one deployment, or several by the name to show.
        lengths: values of ``max_model_len``, tokens.
        sequences: values of ``max_num_seqs``; in the region ``holds`` the pool has room for all of them at full length.

    Returns:
        A frame with the columns ``machine, gpu, gpus, max_model_len, sequences, status, region`` (see :func:`region_text`),
        ``requests held, low`` and ``requests held`` (of full length at once, at the pessimistic end and the likely figure),
        ``pool, GiB`` and ``pool low, GiB`` per GPU.

    Raises:
        InputError: no length or no number, or a deployment that is refused.
    """
    import numpy as np
    import pandas as pd

    if not len(lengths) or not len(sequences):
        raise InputError("lengths" if not len(lengths) else "sequences", None, "at least one")
    named = {_name(machines): machines} if isinstance(machines, Deployment) else machines
    frames = [
        _region(name, deployment, np.asarray(lengths), np.asarray(sequences)) for name, deployment in named.items()
    ]
    return pd.concat(frames, ignore_index=True)


def region_text() -> dict[str, str]:
    """What each region of a heat map means."""
    return dict(_REGIONS)


def _name(deployment: Deployment) -> str:
    from glmcalc.model.resolved import resolve

    return f"{resolve(deployment.changed(max_model_len=None)).gpus} x {deployment.gpu}"


def _region(name: str, deployment: Deployment, lengths: Any, sequences: Any) -> Any:
    import numpy as np
    import pandas as pd

    from glmcalc.facts.quantity import GIB

    grid = {"max_model_len": lengths[:, None], "max_num_seqs": sequences[None, :]}
    fields = ("status", "gpus", "requests_held", "requests_held_low", "available_bytes", "available_low_bytes")
    swept = {field: column.reshape(-1) for field, column in sweep(grid, deployment, fields, threads=1).columns.items()}
    count = np.tile(sequences, len(lengths))
    names = list(_REGIONS)
    code = swept["status"] + 1  # of the regions from "marginal" on
    region = np.where(code == 1, np.where(swept["requests_held_low"] >= count, 0, 1), code)
    return pd.DataFrame({
        "machine": name, "gpu": deployment.gpu, "gpus": swept["gpus"], "max_model_len": np.repeat(lengths, len(sequences)),
        "sequences": count, "status": np.array(STATUSES)[swept["status"]], "region": np.array(names)[region],
        "requests held, low": swept["requests_held_low"], "requests held": swept["requests_held"],
        "pool low, GiB": swept["available_low_bytes"] / GIB, "pool, GiB": swept["available_bytes"] / GIB,
    })  # fmt: skip
