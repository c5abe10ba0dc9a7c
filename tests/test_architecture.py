"""The shape of the code, written down: what may import what, how long things may be, what must stay out."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ["facts", "commands", "logs", "model", "budget", "speed", "solve", "advise", "present"]
MODULES = sorted((ROOT / "glmcalc").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
CHAPTERS = sorted((ROOT / "chapters").glob("*.ipynb"))

LONGEST_MODULE = 300
LONGEST_FUNCTION = 60
LONGEST_CELL = 8

# What a terminal answer must never wait for.
HEAVY = ("pandas", "numpy", "yaml", "tabulate", "ipywidgets", "IPython", "jinja2")

# Written in two parts, so that this file does not trip over itself.
HOSTS = [
    a + b
    for a, b in (("pypi", ".org"), ("pythonhosted", ".org"), ("npmjs", ".org"), ("npmjs", ".com"), ("anaconda", ".org"))
]
PLACES = ["/" + place for place in ("work/", "root/", "home/", "tmp/", "opt/", "Users/")]


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {dotted(path): path for path in MODULES}


def imports_of(path: Path, *, lazy: bool) -> set[str]:
    """The project's own modules that ``path`` imports; those inside functions and ``TYPE_CHECKING`` only when ``lazy``."""
    found: set[str] = set()
    nodes: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{dotted(path)} line {node.lineno}: relative import"
            module = node.module or ""
            inner = {f"{module}.{alias.name}" for alias in node.names}
            found |= (inner & set(NAMES)) or {module}
        deferred = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) or (
            isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        )
        if lazy or not deferred:
            nodes.extend(ast.iter_child_nodes(node))
    return {name for name in found if name == "glmcalc" or name.startswith("glmcalc.")}


def room(name: str) -> str | None:
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS else None


def test_every_module_has_a_room():
    outside = [name for name in NAMES if room(name) is None and name not in ("glmcalc", "glmcalc.__main__")]
    assert outside == []


@pytest.mark.parametrize("name", sorted(NAMES))
def test_imports_run_one_way(name):
    here = room(name)
    if here is None:
        return
    later = {
        other for other in imports_of(NAMES[name], lazy=True) if ROOMS.index(room(other) or "facts") > ROOMS.index(here)
    }
    assert later == set(), f"{name} imports a later room"


def test_no_import_cycles():
    graph = {name: {other for other in imports_of(path, lazy=False) if other in NAMES} for name, path in NAMES.items()}
    settled: set[str] = set()

    def walk(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join((*above[above.index(name) :], name))
        if name not in settled:
            for other in sorted(graph[name]):
                walk(other, (*above, name))
            settled.add(name)

    for name in sorted(graph):
        walk(name, ())


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_modules_and_functions_fit_a_screen(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LONGEST_MODULE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= LONGEST_FUNCTION, f"{node.name}: {length} lines"


def test_no_catch_all_modules():
    names = {path.stem for path in MODULES} | {path.parent.name for path in MODULES}
    assert names.isdisjoint({"utils", "util", "common", "helpers", "misc"})


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_public_names_are_described(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    bare = [
        node.name
        for node in tree.body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef))
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert bare == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["budget", "--gpu", "h200_sxm", "--gpus", "8", "--json"],
        ["budget", "vllm serve zai-org/GLM-5.2-FP8 -tp 8 --max-model-len 131072", "--gpu", "b200_sxm", "--json"],
        ["weights", "--model", "nvidia/GLM-5.2-NVFP4", "-tp", "4", "--json"],
    ],
    ids=["flags", "pasted", "weights"],
)
def test_the_terminal_answer_loads_nothing_heavy(arguments):
    code = "import sys; from glmcalc.present.cli import main; main(sys.argv[1:]); print(*sorted(sys.modules), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    json.loads(done.stdout)
    loaded = {module.split(".")[0] for module in done.stderr.split()}
    assert "glmcalc" in loaded
    assert loaded.isdisjoint(HEAVY)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.name)
def test_notebooks_hold_prose_and_short_calls(path):
    code = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    tagged = [cell for cell in code if "parameters" in cell["metadata"].get("tags", [])]
    assert len(tagged) == 1
    for cell in code:
        source = "".join(cell["source"])
        tree = ast.parse(source)
        if cell is not tagged[0]:  # a list of parameters is as long as it is
            assert len(source.splitlines()) <= LONGEST_CELL, source
        assert not [
            n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.ClassDef, ast.Lambda, ast.For, ast.While))
        ]


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.name)
def test_notebooks_are_committed_with_their_outputs(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    shown = [cell for cell in cells if cell["cell_type"] == "code" and cell["outputs"]]
    assert shown, "run the notebook before it is committed"
    assert not [out for cell in shown for out in cell["outputs"] if out["output_type"] == "error"]


def committed_text() -> list[Path]:
    """Text that is, or is about to be, in the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    if listed.returncode == 0:
        paths = [ROOT / line for line in listed.stdout.splitlines()]
    else:  # an unpacked archive, without git
        paths = [path for top in ("glmcalc", "data", "chapters", "tests") for path in (ROOT / top).rglob("*")]
    return [
        path
        for path in paths
        if path.is_file() and path.suffix not in (".png", ".pyc", ".pyz") and path.name != Path(__file__).name
    ]


def test_committed_text_names_no_registry_and_no_machine():
    place = re.compile("|".join(rf"(?<![\w./~-]){re.escape(name)}\w" for name in PLACES))
    bad = []
    for path in committed_text():
        text = path.read_text(encoding="utf-8", errors="strict")
        bad += [f"{path.relative_to(ROOT)}: {host}" for host in HOSTS if host in text]
        bad += [f"{path.relative_to(ROOT)}: {found.group(0)}" for found in place.finditer(text)]
    assert bad == []
