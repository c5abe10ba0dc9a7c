"""Budgets of many deployments at once, as columns: the same formulas as :func:`glmcalc.plan`, over arrays. Needs NumPy.

Deployments are grouped by what a budget decides on (checkpoint, device, parallel sizes, record, release, …); within a group
lengths, sequences, batched tokens and utilization run through the formulas as arrays.
"""

from __future__ import annotations

from glmcalc.budget import kv
from glmcalc.budget.margins import STAGES as STAGES
from glmcalc.budget.margins import margins, verdict_codes
from glmcalc.budget.plan import figures_of
from glmcalc.facts.columns import either, every, raised
from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import names_of, record, replace
from glmcalc.facts.store import nearest
from glmcalc.model.batch import batch_allowed, default_batch, filled_batch
from glmcalc.model.deployment import Deployment
from glmcalc.model.resolved import Resolved, resolve
from glmcalc.solve.sweep_groups import Block, grouped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from glmcalc.budget.plan import Figures

STATUSES = ("fits", "marginal", "does_not_fit", "unsupported", "refused")
UNKNOWN = -1
COMPONENTS = (
    "weights", "mtp_layer", "load_extras", "workspaces", "activation_peak", "mtp_runtime", "non_torch", "cuda_graphs",
    "fork_overhead", "not_explained", "kv_pool", "late_buffers", "unprofiled_transients", "context_nccl",
)  # fmt: skip
# What may be a column of numbers within a group; all else makes groups.
NUMBERS = ("max_model_len", "max_num_seqs", "max_num_batched_tokens", "gpu_memory_utilization")
_ENDS = (("low", "_low_bytes"), ("likely", "_bytes"), ("high", "_high_bytes"))
_FLOATS = ("bytes_per_token", "bytes_per_token_low", "max_concurrency", "max_concurrency_low", "max_concurrency_high",
           "gpu_memory_utilization")  # fmt: skip
_CODES = ("status", "stage")
_WHOLE = (
    "gpus", "max_model_len", "max_num_seqs", "max_num_batched_tokens", "memory_low_bytes", "memory_bytes", "memory_high_bytes",
    "utilization_bytes", "bytes_per_block", "available_low_bytes", "available_bytes", "available_high_bytes", "num_blocks",
    "num_blocks_low", "num_blocks_high", "tokens", "blocks_per_request", "needed_bytes", "estimated_max_model_len",
    "requests_held", "requests_held_low",
)  # fmt: skip
FIELDS = (
    *_CODES, "fits", *_WHOLE, *_FLOATS, *(f"{name}{suffix}" for name in COMPONENTS for _, suffix in _ENDS),
)  # fmt: skip
_CHUNK = 16_384


@record
class Swept:
    """Columns of a sweep.

    Attributes:
        columns: by the names of :data:`FIELDS`, each of the shape that the given columns broadcast to.
        refused: settings and message of each group of deployments that is bad input; its rows have the status ``refused``.
    """

    columns: dict[str, NDArray[Any]]
    refused: tuple[tuple[dict[str, Any], str], ...]

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.columns[name]


def sweep(
    columns: Mapping[str, Any], base: Deployment | None = None, fields: Sequence[str] = FIELDS, threads: int = 1
) -> Swept:
    """Budget each deployment of some columns.

    Args:
        columns: settings under their names in :class:`Deployment`, each one value or an array; arrays broadcast together.
        base: the settings that no column holds.
        fields: of the answer; fewer are faster.
        threads: over which the rows are spread; one does 1 to 2 million a second, and more gain little.

    Returns:
        Bytes and counts as whole numbers, :data:`UNKNOWN` where the scalar budget has None; concurrency and bytes per token
        as floats, NaN where it has None; ``status`` and ``stage`` as codes in :data:`STATUSES` and :data:`STAGES`. A
        component that a deployment does not have is 0. Rows of bad input have the status ``refused`` and nothing else.

    Raises:
        InputError: a column that is no setting, columns that do not broadcast together, an unknown field, or no GPU.
    """
    _check_names(columns, names_of(Deployment), "a setting")
    _check_names(dict.fromkeys(fields), FIELDS, "a field of a sweep")
    rows = grouped(columns, base or Deployment(), NUMBERS, _CHUNK)
    groups: list[tuple[Deployment, Resolved] | None] = []
    refused: list[tuple[dict[str, Any], str]] = []
    for settings in rows.settings:
        try:
            asked = rows.shared.changed(**settings)
            resolved = _resolved(asked, rows.numbers)
            figures_of(resolved)  # a split that cuts a scale block is bad input too
            groups.append((asked, resolved))
        except InputError as error:
            groups.append(None)
            refused.append((settings, error.message))
    out = _empty(rows.shape, fields)
    _spread(lambda block: _work(block, rows.numbers, groups, out), rows.blocks, threads)
    return Swept({name: column.reshape(rows.shape) for name, column in out.items()}, tuple(refused))


def _resolved(asked: Deployment, numbers: Mapping[str, Any]) -> Resolved:
    """What a group's budgets decide on; its columns stand at values that no other setting is refused beside."""
    beside = {
        name: value
        for name, value in {"max_model_len": 1, "max_num_batched_tokens": 1 << 24}.items()
        if name in numbers
    }
    return replace(resolve(asked.changed(**beside)), asked=asked)


def _spread(work: Callable[[Block], None], tasks: Sequence[Block], threads: int) -> None:
    if threads < 2 or len(tasks) < 2:
        for task in tasks:
            work(task)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, tasks))


def _check_names(given: Mapping[str, Any], known: Sequence[str], what: str) -> None:
    for name in given:
        if name not in known:
            close = nearest(name, known)
            raise InputError(name, name, what + (f" (did you mean {close}?)" if close else ""))


def _empty(shape: tuple[int, ...], fields: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Columns to be filled."""
    import numpy as np

    size = int(np.prod(shape, dtype=np.int64))
    kinds = {**dict.fromkeys(_FLOATS, np.float64), **dict.fromkeys(_CODES, np.int8), "fits": np.bool_}
    return {name: np.empty(size, kinds.get(name, np.int64)) for name in fields}


def _refused(name: str) -> Any:
    """What stands in a row of bad input."""
    others = {"status": STATUSES.index("refused"), "stage": 0, "fits": False}
    return others.get(name, float("nan") if name in _FLOATS else UNKNOWN)


def _work(
    block: Block,
    numbers: dict[str, NDArray[Any]],
    groups: Sequence[tuple[Deployment, Resolved] | None],
    out: dict[str, Any],
) -> None:
    """Budget the rows of a block and write their fields."""
    import numpy as np

    found = []
    for run in block.runs:
        group = groups[run.group]
        given = {name: column[run.rows] for name, column in numbers.items()}
        found.append(dict.fromkeys(out) if group is None else _budget(*group, given))
    for name, column in out.items():
        part = column[block.begin : block.end]
        if block.back is None:
            part[...] = _refused(name) if found[0][name] is None else found[0][name]
            continue
        ordered = np.empty_like(part)
        for run, values in zip(block.runs, found):
            ordered[run.start : run.end] = _refused(name) if values[name] is None else values[name]
        np.take(ordered, block.back, out=part, mode="clip")


def _budget(asked: Deployment, r: Resolved, given: dict[str, Any]) -> dict[str, Any]:
    """The fields of some rows of a group, each a number or a column."""
    r, good = _with_columns(r, asked, given)
    found = _fields(r, figures_of(r))
    if good is None:
        return found
    return {name: either(good, value, _refused(name)) for name, value in found.items()}


def _with_columns(r: Resolved, asked: Deployment, given: dict[str, Any]) -> tuple[Resolved, Any]:
    """The deployment with columns in place of numbers, and which rows are no bad input (None: all are).

    What :func:`resolve` does to one number, for columns: defaults that hang on each other, and ranges.
    """
    length = given.get("max_model_len", r.max_model_len)
    seqs, tokens = given.get("max_num_seqs"), given.get("max_num_batched_tokens")
    share = given.get("gpu_memory_utilization", r.gpu_memory_utilization)
    longest = r.checkpoint.geometry.max_position_embeddings
    good: Any = True
    for column, most in ((given.get("max_model_len"), longest), (seqs, 1 << 20), (tokens, 1 << 24)):
        if column is not None:
            good = good & (column >= 1) & (column <= most)
    if "gpu_memory_utilization" in given:
        good = good & (share > 0) & (share <= 1)
    chunked = asked.enable_chunked_prefill is not False
    seqs = asked.max_num_seqs if seqs is None else seqs
    tokens = asked.max_num_batched_tokens if tokens is None else tokens
    seqs, tokens = filled_batch(seqs, tokens, length, default_batch(r.device, r.memory), chunked)
    good = good & batch_allowed(seqs, tokens, length, chunked)
    changes: dict[str, Any] = {
        "max_model_len": length, "max_num_seqs": seqs, "max_num_batched_tokens": tokens, "gpu_memory_utilization": share,
    }  # fmt: skip
    if "max_model_len" in given:
        changes["auto_fit"] = False
    if every(good):
        return replace(r, **changes), None
    # What is refused is budgeted as something harmless and left out of the answer.
    safe = {"max_model_len": 1, "max_num_seqs": 1, "max_num_batched_tokens": 1, "gpu_memory_utilization": 0.5}
    return replace(r, **{**changes, **{name: either(good, changes[name], value) for name, value in safe.items()}}), good


def _fields(r: Resolved, made: Figures) -> dict[str, Any]:
    """Every field of :data:`FIELDS`, a number or a column."""
    parts = {component.name: component.band for component in made.components}
    found: dict[str, Any] = {}
    for name in COMPONENTS:
        band = parts.get(name)
        for end, suffix in _ENDS:
            found[f"{name}{suffix}"] = 0 if band is None else getattr(band, end)
    for end, suffix in _ENDS:
        found[f"available{suffix}"] = getattr(made.available, end)
        found[f"memory{suffix}"] = UNKNOWN if made.memory is None else getattr(made.memory, end)
    found["utilization_bytes"] = (
        UNKNOWN if made.memory is None else raised(made.memory.likely * r.gpu_memory_utilization)
    )
    for name in ("gpus", "max_num_seqs", "max_num_batched_tokens", "gpu_memory_utilization"):
        found[name] = getattr(r, name)
    known = r.asked.available_kv_bytes is not None or made.memory is not None
    if r.refusals or not known:
        found["status"], found["stage"] = STATUSES.index("unsupported"), 0
    else:
        found["status"], found["stage"] = verdict_codes(margins(r, parts, made.pools, made.memory), bool(r.uncertain))
    return {**found, **_pool_fields(r, made)}


def _pool_fields(r: Resolved, made: Figures) -> dict[str, Any]:
    low, likely, high = made.pools
    nan, tokens = float("nan"), r.block_size * r.dcp
    known = likely.outcome < kv.NO_BLOCKS
    narrow = made.block_bytes_low != made.block_bytes
    found: dict[str, Any] = {
        "fits": likely.outcome == kv.FITS, "max_model_len": likely.max_model_len, "bytes_per_block": made.block_bytes,
        "bytes_per_token": made.block_bytes / tokens, "bytes_per_token_low": made.block_bytes_low / tokens if narrow else nan,
        "blocks_per_request": likely.blocks_per_request, "needed_bytes": likely.blocks_per_request * made.block_bytes,
        "tokens": either(known, likely.tokens, UNKNOWN),
        "estimated_max_model_len": either(known, likely.estimated_max_model_len, UNKNOWN),
        "requests_held": kv.requests_at_once(likely), "requests_held_low": kv.requests_at_once(low),
    }  # fmt: skip
    for pool, suffix in ((low, "_low"), (likely, ""), (high, "_high")):
        some = pool.outcome < kv.NO_BLOCKS
        found[f"num_blocks{suffix}"] = either(some, pool.num_blocks, UNKNOWN)
        found[f"max_concurrency{suffix}"] = either(some, pool.max_concurrency, nan)
    return found
