"""Many customers' reports in one process: rows of a CSV, TOML or YAML file, each to a page of its own."""

from __future__ import annotations

import os
import re
import time
import unicodedata
from typing import Any, Callable, Mapping, Sequence

from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import names_of
from glmcalc.facts.secrets import mask
from glmcalc.facts.store import nearest
from glmcalc.model.deployment import OTHERS_OWN, Deployment
from glmcalc.present.inputs import read_input, write_text
from glmcalc.present.needs import NEEDS
from glmcalc.present.report import Report
from glmcalc.present.report_speed import MET

EXAMPLES = "examples"
_FORMATS = (".csv", ".toml", ".yaml", ".yml", ".json")
_TEXTS = (
    "customer",
    "command",
    "prices",
    "model",
    "gpu",
    "engine",
    "engine_version",
    "quantization",
    "kv_cache_dtype",
    "speculative_config",
)
_GIB = ("available_kv_gib", "weights_gib", "gpu_memory_gib")
_NOT_ASKED = ("kept", "heavy", "speculative_extra")  # a pasted command's own
_DEVICES = {"con", "prn", "aux", "nul", *(f"{name}{digit}" for name in ("com", "lpt") for digit in range(1, 10))}
_MOST = 10_000
_LONGEST_NAME = 80


def read_customers(path: str) -> list[dict[str, Any]]:
    """Rows of a file of customers, columns named as the notebook's parameters; empty cells are left out.

    A CSV file has a line of names and a line a customer; a TOML or YAML file one table, a list of tables, or a list of tables
    under one name. ``examples`` stands for the worked customers that come with this package.

    Raises:
        InputError: unreadable, of another form, without customers, a name that is no parameter, or more than 10,000 rows.
    """
    path = _examples() if path == EXAMPLES and not os.path.exists(path) else path
    ending = os.path.splitext(path)[1].lower()
    if ending not in _FORMATS:
        allowed = "a file that ends in .csv, .toml, .yaml, .yml or .json"
        raise InputError(
            "file", path, allowed, f"file: {path} must be {allowed}; or say --customer beside a deployment."
        )
    text = read_input(path)
    try:
        rows = _csv(path, text) if ending == ".csv" else _tables(path, _parse(ending, text))
    except InputError:
        raise
    except Exception as error:  # the readers of TOML, YAML and JSON raise kinds of their own
        said = " ".join(str(error).split())[:200]
        raise InputError("file", path, f"readable as {ending[1:]}", f"file: {path} cannot be read: {said}.") from error
    if not rows:
        raise InputError("file", path, "one customer or more", f"file: {path} holds no customer.")
    if len(rows) > _MOST:
        raise InputError("file", path, f"at most {_MOST:,} customers")
    _check_names(path, rows)
    return rows


def _examples() -> str:
    from glmcalc.present.gallery import chapters_folder

    return str(chapters_folder() / "example_customers.toml")


def _csv(path: str, text: str) -> list[dict[str, Any]]:
    import csv
    import io

    reader = csv.DictReader(io.StringIO(text), strict=True)
    names = [name.strip().replace("-", "_") for name in reader.fieldnames or ()]
    if len(set(names)) != len(names):
        raise InputError("file", path, "a column once", f"file: {path} names a column twice.")
    reader.fieldnames = names
    rows = []
    for row in reader:
        if None in row or None in row.values():
            raise InputError(
                "file", path, f"{len(names)} cells in each line",
                f"file: line {reader.line_num} of {path} has not {len(names)} cells, as its first line has names.",
            )  # fmt: skip
        rows.append({name: _cell(name, cell) for name, cell in row.items() if cell.strip()})
    return [row for row in rows if row]


def _cell(name: str, text: str) -> Any:
    """A cell as TOML would hold it; what flags read themselves (128K) stays text."""
    text = text.strip()
    if name in _TEXTS:
        return text
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if name in (*NEEDS, *OTHERS_OWN):
        bare = text.replace(",", "")
        if re.fullmatch(r"[0-9]{1,15}", bare):
            return int(bare)
        if re.fullmatch(r"[0-9]{0,9}\.[0-9]{1,9}", bare):
            return float(bare)
    return text


def _parse(ending: str, text: str) -> Any:
    if ending == ".toml":
        try:
            import tomllib
        except ImportError:  # Python 3.10
            import tomli as tomllib  # type: ignore[no-redef]
        return tomllib.loads(text)
    if ending == ".json":
        import json

        return json.loads(text)
    import yaml

    return yaml.safe_load(text)


def _tables(path: str, data: Any) -> list[dict[str, Any]]:
    if isinstance(data, dict) and len(data) == 1 and isinstance(next(iter(data.values())), list):
        data = next(iter(data.values()))
    elif isinstance(data, dict) and data and all(isinstance(value, dict) for value in data.values()):
        data = [{"customer": str(name), **value} for name, value in data.items()]
    elif isinstance(data, dict):
        data = [data] if data else []
    if not isinstance(data, list) or not all(isinstance(row, dict) for row in data):
        raise InputError(
            "file", path, "a table for each customer", f"file: {path} must hold a table for each customer."
        )
    return [{str(name).replace("-", "_"): value for name, value in row.items() if value is not None} for row in data]


def _check_names(path: str, rows: Sequence[Mapping[str, Any]]) -> None:
    known = [
        *(n for n in names_of(Deployment) if n not in _NOT_ASKED),
        *NEEDS,
        *_GIB,
        "customer",
        "command",
        "prices",
        "speculative_config",
    ]
    for number, row in enumerate(rows, start=1):
        for name in row:
            if name not in known:
                close = nearest(name, known)
                hint = f" (did you mean {close}?)" if close else ""
                raise InputError(
                    name,
                    row[name],
                    f"a parameter of the report{hint}",
                    f"file: {name} in {path} is no parameter of the report{hint}.",
                )
        if "customer" not in row:
            raise InputError(
                "customer",
                None,
                "named in each row",
                f"file: customer {number} of {path} has no name in the column customer.",
            )


def make_reports(
    customers: Sequence[str], read: Callable[[int], Report], out: str, said: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Write a page for each customer under ``out``, which is made where it is missing; one that fails does not stop the others.

    Args:
        customers: names, which need not be printable.
        read: the report of the customer with this index; what it refuses is that report's failure.
        said: takes a line of progress.

    Returns:
        For each: ``customer``, ``path`` (None where it failed), ``status`` (``made`` or ``failed``), ``seconds``, ``verdict``
        (on memory), ``speed_need`` (speed against the need), and ``reason`` of a failure.

    Raises:
        InputError: ``out`` cannot be written.
    """
    _make_folder(out)
    reports = []
    for index, (customer, name) in enumerate(zip(customers, file_names(customers))):
        started = time.perf_counter()
        made: dict[str, Any] = {"customer": mask(customer)[0], "path": None, "status": "failed", "seconds": 0.0}
        made |= _made(lambda at=index: read(at), os.path.join(out, name))  # type: ignore[misc]
        made["seconds"] = round(time.perf_counter() - started, 3)
        word = made.get("verdict") or "failed"
        word += f", speed {MET[made['speed_need']]}" if MET.get(made.get("speed_need", "")) else ""
        said(f"{index + 1}/{len(customers)}  {made['customer']}: {word}, {made['seconds']:.1f} s")
        reports.append(made)
    return reports


def _made(read: Callable[[], Report], path: str) -> dict[str, Any]:
    try:
        report = read()
        write_text("out", path, report.html())
    except InputError as error:
        return {"reason": mask(error.message)[0]}
    except (ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
        # The others' reports are worth more than this one's traceback.
        return {"reason": f"a fault of this program, please report it: {type(error).__name__}: {error}"}
    found = {name: value for name, value in report.to_dict().items() if name != "customer"}
    return {"path": path, "status": "made", "reason": None, **found}


def report_of(row: Mapping[str, Any], folder: str = "", prices: str | None = None) -> Report:
    """The report of one row, its settings read as the command reads its options.

    Args:
        folder: of the file, which the paths in it, of a calibration or of prices, are relative to.
        prices: a file of prices where the row names none.

    Raises:
        InputError: as :class:`glmcalc.present.report.Report`.
    """
    from glmcalc.present.deployment_file import read_settings

    other = (*NEEDS, "customer", "command", "prices")
    asked = {name: value for name, value in row.items() if value is not None and name not in other}
    if isinstance(asked.get("calibration"), str):
        asked["calibration"] = os.path.join(folder, asked["calibration"])
    own = row.get("prices")
    prices = os.path.join(folder, str(own)) if own is not None else prices
    settings, _ = read_settings(asked)
    stated = {name: value for name, value in settings.items() if value not in (None, ())}
    needs = {name: row[name] for name in NEEDS if name in row}
    return Report(row["customer"], row.get("command"), prices, **stated, **needs)


def _make_folder(out: str) -> None:
    try:
        os.makedirs(out, exist_ok=True)
    except OSError as error:
        raise InputError(
            "out", out, "a folder that can be written", f"out: cannot make {out} ({error.strerror})."
        ) from error


def file_names(customers: Sequence[str]) -> list[str]:
    """A file's name for each customer: letters, digits, dots and dashes, each once whatever the letters' case.

    >>> file_names(["Example A", "example a", "../x", "con", "株式会社"])
    ['Example-A.html', 'example-a-2.html', 'x.html', 'report-con.html', 'report.html']
    """
    taken: set[str] = set()
    names = []
    for customer in customers:
        plain = unicodedata.normalize("NFKD", customer).encode("ascii", "ignore").decode()
        stem = re.sub(r"[^A-Za-z0-9.]+", "-", plain).strip("-.")[:_LONGEST_NAME].rstrip("-.") or "report"
        if stem.split(".")[0].lower() in _DEVICES:
            stem = f"report-{stem}"
        name, count = stem, 1
        while name.lower() in taken:
            count += 1
            name = f"{stem}-{count}"
        taken.add(name.lower())
        names.append(f"{name}.html")
    return names
