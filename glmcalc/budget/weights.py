"""Weight bytes of each rank: what tensor, expert and pipeline parallelism divide, and what they repeat."""

from __future__ import annotations

from bisect import bisect_left
from functools import lru_cache

from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record
from glmcalc.facts.quantity import Band, ceil_div
from glmcalc.model.checkpoint import Checkpoint
from glmcalc.model.geometry import Geometry
from glmcalc.model.modules import Module
from glmcalc.model.recipes import FP8_BLOCK, bf16_bytes, linear_bytes

SOURCE = "https://github.com/vllm-project/vllm (0.33.0: models/deepseek_v32/nvidia/model.py, quantization/fp8.py)"


@record
class Split:
    """How a deployment spreads the weights.

    Attributes:
        tp, pp, dp: sizes of tensor, pipeline and data parallelism.
        ep: whether whole experts are spread over ``tp * dp`` ranks, in place of slices of each.
        mtp: whether the MTP layer is loaded.
        all_indexers: the engine builds an indexer on every layer (vLLM 0.23.0 and before), used or not.
    """

    tp: int = 1
    pp: int = 1
    dp: int = 1
    ep: bool = False
    mtp: bool = False
    all_indexers: bool = False


@record
class StageWeights:
    """Bytes loaded on each rank of one pipeline stage, by group of modules; ``mtp`` apart."""

    groups: dict[str, int]
    mtp: int
    repeated_if_sequence_parallel: int

    @property
    def main(self) -> int:
        """Bytes without the MTP layer."""
        return sum(self.groups.values())

    @property
    def total(self) -> int:
        """Bytes with the MTP layer."""
        return self.main + self.mtp


def stage_layers(layers: int, pp: int) -> list[range]:
    """Layers of each pipeline stage (vLLM ``distributed/utils.py:get_pp_indices``).

    ``layers // pp`` each; what is left over goes one each to the stages before the last, counted from the end.

    >>> [len(stage) for stage in stage_layers(78, 4)]
    [19, 20, 20, 19]
    """
    sizes = [layers // pp] * pp
    for index in range(2, layers % pp + 2):
        sizes[-index] += 1
    starts = [sum(sizes[:stage]) for stage in range(pp)]
    return [range(start, start + size) for start, size in zip(starts, sizes)]


def loaded_bytes(module: Module, split: Split) -> int:
    """Bytes of ``module`` in one layer of one rank after loading (vLLM 0.33.0; see ``SOURCE``).

    Raises:
        InputError: a split that cuts an FP8 scale block, which the engine refuses.
    """
    rows, columns, count = module.rows, module.columns, module.count
    if module.split == "shared":
        return 0
    if module.name.endswith("indexer.wk"):
        return bf16_bytes(rows, columns)  # dequantized at load, fused with weights_proj
    if module.name.endswith("indexer.k_norm"):
        return 4 * rows
    if module.split == "rows":
        rows = _share(module, "rows", rows, split.tp)
    elif module.split == "columns":
        columns = _share(module, "columns", columns, split.tp)
    elif module.split == "experts":
        ranks = split.tp * split.dp
        if split.ep:
            count = ceil_div(count, ranks)
        elif module.name.endswith("down_proj"):
            columns = _share(module, "columns", columns, ranks)
        else:
            rows = _share(module, "rows", rows, ranks)
    if module.fmt in ("norm", "fp32"):
        return rows * columns * (4 if module.fmt == "fp32" else 2)
    stored = count * linear_bytes(module.fmt, rows, columns)
    if module.name.endswith("kv_b_proj") and module.fmt != "bf16":
        stored += bf16_bytes(rows, columns)  # absorbed W_UK_T and W_UV, beside kv_b itself
    return stored


def _share(module: Module, axis: str, size: int, ranks: int) -> int:
    if module.layers is None:
        return ceil_div(size, ranks)  # the vocabulary is padded
    share, rest = divmod(size, ranks)
    if rest:
        raise InputError("tensor_parallel_size", ranks, f"a divisor of {size:,}, the {axis} of {module.name}")
    if module.fmt == "fp8" and share % FP8_BLOCK:
        raise InputError(
            "tensor_parallel_size",
            ranks,
            f"a size that leaves multiples of {FP8_BLOCK} {axis}: {module.name} would have {share} of {size:,} on each "
            f"rank, which cuts a 128x128 scale block (expert parallelism avoids it for experts)",
        )
    if axis == "columns" and module.fmt not in ("bf16", "fp8", "nvfp4"):
        _check_groups(module, ranks, share)
    return share


def _check_groups(module: Module, ranks: int, share: int) -> None:
    from glmcalc.model.formats import GROUPS

    group = GROUPS.get(module.fmt, 1)
    if share % group:
        raise InputError(
            "tensor_parallel_size", ranks,
            f"a size that leaves whole groups of {group} columns: {module.name} would have {share} of {module.columns:,} on "
            "each rank (expert parallelism avoids it for experts)",
        )  # fmt: skip


@lru_cache(maxsize=512)
def weights_by_stage(checkpoint: Checkpoint, split: Split) -> tuple[StageWeights, ...]:
    """Bytes on each rank of each pipeline stage; the embedding is on the first, head and MTP layer on the last.

    Raises:
        InputError: more stages than layers, or a split that the engine refuses.
    """
    geometry = checkpoint.geometry
    if split.pp > geometry.num_hidden_layers:
        raise InputError("pipeline_parallel_size", split.pp, f"1 to {geometry.num_hidden_layers}, the number of layers")
    stages = stage_layers(geometry.num_hidden_layers, split.pp)
    groups: list[dict[str, int]] = [{} for _ in stages]
    mtp = [0] * split.pp
    repeated = [0] * split.pp
    sequence_parallel = split.ep and split.tp > 1 and split.dp > 1
    for module in checkpoint.modules:
        size = loaded_bytes(module, split)
        if checkpoint.is_mtp(module):
            mtp[-1] += size * module.repeats if split.mtp else 0
            continue
        for stage, count in _places(module, stages):
            groups[stage][module.group] = groups[stage].get(module.group, 0) + size * count
            if sequence_parallel and module.group in ("shared experts", "dense MLP"):
                repeated[stage] += (loaded_bytes(module, Split()) - size) * count
    if split.mtp and split.pp > 1:
        # The drafter shares the main embedding only where both are on one rank.
        mtp[-1] += bf16_bytes(ceil_div(geometry.vocab_size, split.tp), geometry.hidden_size)
    if split.all_indexers:
        _add_unused_indexers(checkpoint, stages, groups)
    return tuple(StageWeights(*parts) for parts in zip(groups, mtp, repeated))


def main_bands(checkpoint: Checkpoint, split: Split) -> list[Band]:
    """Bytes on each rank of each stage, MTP layer left out, with the range that a recipe not known to the tensor leaves.

    Raises:
        InputError: as :func:`weights_by_stage`.
    """
    likely = [stage.main for stage in weights_by_stage(checkpoint, split)]
    ends = [[stage.main for stage in weights_by_stage(end, split)] for end in (checkpoint.low, checkpoint.high) if end]
    return [Band(min(column), column[0], max(column)) for column in zip(likely, *ends)]


def _places(module: Module, stages: list[range]) -> list[tuple[int, int]]:
    """On which stages ``module`` is, and in how many of their layers."""
    if module.layers is None:
        return [(0 if module.name == "embed_tokens" else len(stages) - 1, 1)]
    ends = [bisect_left(module.layers, layers.stop) for layers in stages]  # stages follow each other, layers rise
    counts = ((stage, end - (ends[stage - 1] if stage else 0)) for stage, end in enumerate(ends))
    return [(stage, count) for stage, count in counts if count]


def _add_unused_indexers(checkpoint: Checkpoint, stages: list[range], groups: list[dict[str, int]]) -> None:
    geometry: Geometry = checkpoint.geometry
    one = sum(
        loaded_bytes(module, Split())
        for module in checkpoint.modules
        if module.group == "indexer" and module.layers is not None and module.layers[0] == 0
    )
    for layers, group in zip(stages, groups):
        unused = sum(layer not in geometry.indexer_layers for layer in layers)
        group["indexer"] = group.get("indexer", 0) + unused * one
