"""Build the core as one file that a bare Python 3.10 or later runs: ``python build_pyz.py dist/glmcalc.pyz``.

Only what the command can reach goes in: the modules it imports, the facts, and four pure-Python libraries.
"""

from __future__ import annotations

import ast
import io
import sys
import zipfile
from importlib.metadata import distribution
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIBRARIES = {
    "prometheus-client": "prometheus_client",
    "pyyaml": "yaml",
    "tabulate": "tabulate",
    "tomli": "tomli",  # Python 3.10 reads no TOML itself
}
# Of prometheus_client only the reader of scrapes goes in: the rest, which its __init__ loads, is for those who serve metrics.
READER = ("parser.py", "metrics_core.py", "samples.py", "validation.py")
MAIN = "from glmcalc.present.entry import entry\nentry()\n"
_WHEN = (1980, 1, 1, 0, 0, 0)  # the same input makes the same file


def reachable() -> list[Path]:
    """Files of the modules that the command imports, now or later, with their packages."""
    verbs = sorted(path.stem for path in (ROOT / "glmcalc" / "present" / "verbs").glob("*.py"))
    waiting = [
        "glmcalc.present.entry",
        "glmcalc.present.cli",
        *(f"glmcalc.present.verbs.{verb}" for verb in verbs),
    ]  # loaded by name
    found: dict[str, Path] = {}
    while waiting:
        name = waiting.pop()
        path = ROOT.joinpath(*name.split("."))
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if name in found or not path.is_file():
            continue
        found[name] = path
        waiting.append(name.rpartition(".")[0])
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                waiting += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                waiting += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        waiting = [other for other in waiting if other.split(".")[0] == "glmcalc"]
    return sorted(found.values())


def members() -> dict[str, bytes]:
    """Path inside the archive, and content."""
    held = {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in reachable()}
    held["__main__.py"] = MAIN.encode()
    for path in sorted((ROOT / "data").rglob("*")):
        if path.is_file():
            held[f"glmcalc/{path.relative_to(ROOT).as_posix()}"] = path.read_bytes()
    held["prometheus_client/__init__.py"] = b""
    held["LICENSE"] = (ROOT / "LICENSE").read_bytes()
    for name, package in LIBRARIES.items():
        for file in distribution(name).files or ():
            # compiled halves stay out: the archive runs on any machine
            code = file.parts[0] == package and file.suffix == ".py" and file.name != "cyaml.py"
            if package == "prometheus_client" and code and file.parts[1] not in READER:
                continue
            if code or file.name.upper().startswith("LICEN"):
                held[file.as_posix() if code else f"licences/{name}.txt"] = Path(str(file.locate())).read_bytes()
    return held


def build(target: Path) -> Path:
    """Write the archive to ``target`` and return it."""
    packed = io.BytesIO()
    packed.write(b"#!/usr/bin/env python3\n")
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in sorted(members().items()):
            archive.writestr(zipfile.ZipInfo(name, _WHEN), content, zipfile.ZIP_DEFLATED, 9)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(packed.getvalue())
    target.chmod(0o755)
    return target


if __name__ == "__main__":
    made = build(Path(sys.argv[1] if len(sys.argv) > 1 else "dist/glmcalc.pyz"))
    print(f"{made}  {made.stat().st_size / 1000:.0f} kB")
