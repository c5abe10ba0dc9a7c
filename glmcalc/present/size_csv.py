"""The components of each machine's GPU as CSV, one a line."""

from __future__ import annotations

from glmcalc.facts.errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, Sequence

_OF_ROW = ("id", "gpu", "gpus", "engine", "model", "quantization", "parallelism", "kv_record", "status")
_OF_PART = ("name", "label", "bytes", "low_bytes", "high_bytes", "inside_utilization", "basis", "source", "note")
COLUMNS = (*_OF_ROW, *("component" if name == "name" else name for name in _OF_PART))


def write_components(rows: Sequence[dict[str, Any]], path: str) -> None:
    """Write bytes of each component of one GPU of each machine to ``path``; ``-`` is standard output.

    Raises:
        InputError: the file cannot be written.
    """
    if path == "-":
        import sys

        _write(rows, sys.stdout)
        return
    try:
        with open(path, "w", encoding="utf-8", newline="") as file:
            _write(rows, file)
    except OSError as error:
        raise InputError(
            "csv", path, "a file that can be written", f"csv: cannot write {path} ({error.strerror})."
        ) from error


def _write(rows: Sequence[dict[str, Any]], file: Any) -> None:
    import csv

    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_lines(rows))


def _lines(rows: Sequence[dict[str, Any]]) -> Iterator[list[Any]]:
    for row in rows:
        for part in (row["per_gpu"] or {"components": []})["components"]:
            yield [*(row[name] for name in _OF_ROW), *(part[name] for name in _OF_PART)]
