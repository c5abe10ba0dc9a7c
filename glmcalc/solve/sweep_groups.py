"""Rows of a sweep sorted into groups that one budget's decisions hold for. Needs NumPy."""

from __future__ import annotations

import math

from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping, Sequence

    from numpy.typing import NDArray

    from glmcalc.model.deployment import Deployment


_BLOCK = 1 << 17


@record
class Run:
    """Neighbouring rows of one block that differ in numbers alone.

    Attributes:
        group: which of the groups they are of.
        start, end: places within the block, in its order.
        rows: places within the columns, a slice or an array.
    """

    group: int
    start: int
    end: int
    rows: Any


@record
class Block:
    """Rows that are worked off together.

    Attributes:
        begin, end: places within the columns.
        runs: its rows by group.
        back: for each row its place among the runs; None where these stand in the columns' own order.
    """

    begin: int
    end: int
    runs: tuple[Run, ...]
    back: NDArray[Any] | None


@record
class Rows:
    """Columns sorted into groups.

    Attributes:
        shape: what the columns broadcast to.
        shared: the settings of all rows; what is a column of numbers is left at its default.
        numbers: the columns of numbers, laid flat.
        settings: what sets each group apart from the others.
        blocks: the rows.
    """

    shape: tuple[int, ...]
    shared: Deployment
    numbers: dict[str, NDArray[Any]]
    settings: tuple[dict[str, Any], ...]
    blocks: tuple[Block, ...]


def grouped(columns: Mapping[str, Any], base: Deployment, numbers: Sequence[str], chunk: int) -> Rows:
    """Sort the rows of some columns into groups that differ in numbers alone.

    Args:
        columns: settings, each one value or an array.
        base: the settings that no column holds.
        numbers: settings that stay columns where they are arrays of numbers.
        chunk: most rows of one run.

    Raises:
        InputError: columns that do not broadcast together, numbers that are no whole ones, or a value that no engine takes.
    """
    import numpy as np

    arrays = {name: np.asarray(value) for name, value in columns.items()}
    try:
        shape = np.broadcast_shapes(*(array.shape for array in arrays.values()))
    except ValueError:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise InputError("columns", shapes, "of shapes that broadcast together") from None
    single = {name: array.item() for name, array in arrays.items() if array.ndim == 0}
    flat, keys = {}, {}
    for name, array in arrays.items():
        if array.ndim and name in numbers and array.dtype.kind in "iuf":
            flat[name] = np.broadcast_to(_numbers(name, array), shape).reshape(-1)
        elif array.ndim:
            keys[name] = array
    codes, values = _codes(keys, shape)
    groups: dict[int, int] = {}
    blocks = _blocks(codes, chunk, max(_BLOCK, chunk * _count(values) // 4), groups)
    settings = tuple(_settings(code, list(keys), values) for code in groups)
    return Rows(shape, base.changed(**{**single, **dict.fromkeys(flat)}), flat, settings, tuple(blocks))


def _numbers(name: str, array: NDArray[Any]) -> NDArray[Any]:
    import numpy as np

    if name == "gpu_memory_utilization":
        return array.astype(np.float64)
    if array.dtype.kind == "f" and not bool((array == np.floor(array)).all()):
        raise InputError(name, "a column of fractions", "whole numbers")
    return array.astype(np.int64)


def _codes(keys: dict[str, NDArray[Any]], shape: tuple[int, ...]) -> tuple[NDArray[Any], list[list[Any]]]:
    """One number for each row, the same where all keys are; and the values of each key that it counts in."""
    import numpy as np

    values: list[list[Any]] = []
    code: Any = np.zeros((), np.int64)
    for array in keys.values():
        own = array.reshape(-1).tolist()
        some = list(dict.fromkeys(own))
        places = {value: place for place, value in enumerate(some)}
        found = np.fromiter(map(places.__getitem__, own), np.int64, len(own))
        values.append(some)
        code = code * len(some) + found.reshape(array.shape)
    flat = np.broadcast_to(code, shape).reshape(-1)
    # Small numbers are sorted by their digits, many times faster.
    return (flat.astype(np.uint16) if _count(values) <= 1 << 16 else flat), values


def _count(values: list[list[Any]]) -> int:
    return math.prod(len(some) for some in values)


def _blocks(codes: NDArray[Any], chunk: int, block: int, groups: dict[int, int]) -> list[Block]:
    """The rows in blocks; ``groups`` is filled with the place of each code."""
    import numpy as np

    def run(code: int, start: int, end: int, rows: Any) -> Run:
        return Run(groups.setdefault(code, len(groups)), start, end, rows)

    if bool((codes[1:] >= codes[:-1]).all()):
        pieces = [
            (code, at, min(at + chunk, end)) for code, start, end in _runs(codes) for at in range(start, end, chunk)
        ]
        return [Block(at, to, (run(code, 0, to - at, slice(at, to)),), None) for code, at, to in pieces]
    blocks = []
    for begin in range(0, codes.size, block):
        part = codes[begin : begin + block]
        order = np.argsort(part, kind="stable")
        back = np.empty_like(order)
        back[order] = np.arange(order.size)
        runs = [
            run(code, at, min(at + chunk, end), order[at : min(at + chunk, end)] + begin)
            for code, start, end in _runs(part[order])
            for at in range(start, end, chunk)
        ]
        blocks.append(Block(begin, begin + part.size, tuple(runs), back))
    return blocks


def _runs(ordered: NDArray[Any]) -> list[tuple[int, int, int]]:
    """Value, start and end of each run of equal values."""
    import numpy as np

    if not ordered.size:
        return []
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1]))).tolist()
    return [(int(ordered[start]), start, end) for start, end in zip(starts, [*starts[1:], ordered.size])]


def _settings(code: int, names: list[str], values: list[list[Any]]) -> dict[str, Any]:
    settings = {}
    for name, some in zip(reversed(names), reversed(values)):
        code, place = divmod(code, len(some))
        settings[name] = some[place]
    return settings
