"""``kubectl logs … | python glmcalc.pyz diagnose -`` on a bare Python: what the single file says of a log."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SAMPLES = Path(__file__).resolve().parent / "samples"
ROOT = SAMPLES.parents[2]
HEAVY = (
    "pandas",
    "numpy",
    "yaml",
    "tabulate",
    "ipywidgets",
    "IPython",
    "jinja2",
    "dataclasses",
    "inspect",
    "urllib",
    "asyncio",
)

pytestmark = pytest.mark.xdist_group("packaging")


@pytest.fixture(scope="module")
def pyz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("pyz") / "glmcalc.pyz"
    subprocess.run([sys.executable, ROOT / "tests" / "build_pyz.py", target], cwd=ROOT, check=True, timeout=120)
    return target


def piped(command: list[object], data: bytes, folder: Path) -> subprocess.CompletedProcess[bytes]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [str(word) for word in command], input=data, cwd=folder, env=kept, capture_output=True, timeout=120
    )


def test_a_log_piped_into_the_single_file(pyz: Path, tmp_path: Path) -> None:
    log = b"".join(
        b"[pod/glm-0/vllm] " + line for line in (SAMPLES / "vllm_ranks.log").read_bytes().splitlines(keepends=True)
    )
    done = piped([sys.executable, "-I", "-S", pyz, "diagnose", "-", "--gpu", "b300_sxm", "--json"], log, tmp_path)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["class"] == "runtime_workspace"
    assert answer["budget"] is not None
    text = piped([sys.executable, "-I", "-S", pyz, "diagnose", "-"], log, tmp_path)
    assert b"Tried to allocate 8.00 GiB" in text.stdout
    assert piped([sys.executable, "-I", "-S", pyz, "diagnose", "-"], b"", tmp_path).returncode == 2
    assert piped([sys.executable, "-I", "-S", pyz, "diagnose", "-"], b"no log\n", tmp_path).returncode == 1


def test_a_diagnosis_loads_nothing_heavy(tmp_path: Path) -> None:
    code = "import sys; from glmcalc.present.cli import main; main(sys.argv[1:]); print(*sorted(sys.modules), file=sys.stderr)"
    log = (SAMPLES / "vllm_ranks.log").read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", code, "diagnose", "-"], input=log, cwd=ROOT, capture_output=True, check=True
    )
    loaded = {module.split(".")[0] for module in done.stderr.decode().split()}
    assert "glmcalc" in loaded
    assert loaded.isdisjoint(HEAVY), loaded & set(HEAVY)
