"""What is shipped works away from the checkout: the wheel, and the single file on a bare Python."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BUDGET = ["budget", "vllm serve zai-org/GLM-5.2-FP8 -tp 8 --max-model-len 131072", "--gpu", "h200_sxm", "--json"]
OLDEST = (3, 10)

pytestmark = pytest.mark.xdist_group("packaging")  # one worker: each archive is built once


def run(command: list[object], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def here() -> dict:
    """The answer of the checkout, which every shipped form must repeat."""
    done = run([sys.executable, "-m", "glmcalc", *BUDGET], ROOT)
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    done = run([sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder], ROOT)
    assert done.returncode == 0, done.stderr
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def pyz(tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("pyz") / "glmcalc.pyz"
    done = run([sys.executable, ROOT / "tests" / "build_pyz.py", target], ROOT)
    assert done.returncode == 0, done.stderr
    return target


def test_wheel_carries_facts_chapters_and_pages(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("data", "chapters"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and ".ipynb_checkpoints" not in path.parts:
                assert f"glmcalc/{path.relative_to(ROOT).as_posix()}" in names
    for path in (ROOT / "glmcalc").rglob("*"):
        if path.suffix in (".css", ".js", ".j2", ".html"):
            assert path.relative_to(ROOT).as_posix() in names
    assert not [name for name in names if name.startswith("tests/") or name.endswith((".pyc", ".pyz"))]


def test_wheel_asks_for_little(site):
    (metadata,) = site.glob("*.dist-info/METADATA")
    required = re.findall(r"^Requires-Dist: ([\w-]+)([^\n]*)$", metadata.read_text(encoding="utf-8"), re.MULTILINE)
    assert {name.lower() for name, rest in required if "extra" not in rest} == {
        "prometheus-client",
        "pyyaml",
        "tabulate",
        "tomli",
    }


def test_wheel_answers_from_another_folder(site, here, tmp_path):
    where = run([sys.executable, "-c", "import glmcalc; print(glmcalc.__file__)"], tmp_path, PYTHONPATH=str(site))
    assert Path(where.stdout.strip()).is_relative_to(site)
    done = run([sys.executable, "-m", "glmcalc", *BUDGET], tmp_path, PYTHONPATH=str(site))
    assert json.loads(done.stdout) == here


def test_wheel_finds_its_chapters_and_its_template(site, tmp_path):
    code = (
        "from glmcalc.present import gallery as g; print(g.chapters_folder()); print(g.environment()['JUPYTER_PATH'])"
    )
    done = run([sys.executable, "-c", code], tmp_path, PYTHONPATH=str(site))
    chapters, jupyter = done.stdout.splitlines()
    assert Path(chapters).is_relative_to(site)
    assert (Path(chapters) / "calculator.ipynb").is_file()
    assert list(Path(jupyter.split(os.pathsep)[0]).glob("voila/templates/*/index.html.j2"))


@pytest.mark.parametrize("subcommand", ["app", "read"])
def test_pages_without_their_libraries_say_what_to_install(site, tmp_path, subcommand):
    done = run([sys.executable, "-S", "-m", "glmcalc", subcommand, "--no-browser"], tmp_path, PYTHONPATH=str(site))
    assert done.returncode == 2
    assert "notebook extra" in done.stderr
    assert "Traceback" not in done.stderr


def test_single_file_answers_on_a_bare_python(pyz, here, tmp_path):
    done = run([sys.executable, "-I", "-S", pyz, *BUDGET], tmp_path)
    assert json.loads(done.stdout) == here


@pytest.mark.parametrize("subcommand", ["models", "hardware", "claims", "sources"])
def test_single_file_holds_every_table(pyz, tmp_path, subcommand):
    done = run([sys.executable, "-I", "-S", pyz, subcommand], tmp_path)  # as people see it: needs tabulate
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) > 5


def test_single_file_reads_yaml_and_toml(pyz, tmp_path):
    (tmp_path / "compose.yaml").write_text(
        "services:\n  glm:\n    image: vllm/vllm-openai\n    command: [--model, zai-org/GLM-5.2-FP8, --tensor-parallel-size, '8']\n"
    )
    parsed = run([sys.executable, "-I", "-S", pyz, "parse", "compose.yaml", "--json"], tmp_path)
    assert json.loads(parsed.stdout)["settings"]["tensor_parallel_size"] == 8
    (tmp_path / "deployment.toml").write_text('gpu = "b200_sxm"\ngpus = 8\nmax_model_len = 65536\n')
    planned = run([sys.executable, "-I", "-S", pyz, "budget", "--deployment", "deployment.toml", "--json"], tmp_path)
    assert json.loads(planned.stdout)["deployment"]["max_model_len"] == 65536


def test_single_file_keeps_its_exit_code_where_a_pipe_closes(pyz, tmp_path):
    command = "vllm serve zai-org/GLM-5.2-FP8 -tp 8 --kv-cache-dtype fp8 --max-model-len 1M"
    line = f"{sys.executable} -I -S {pyz} budget '{command}' --gpu h200_sxm --json | head -c 5 >/dev/null; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("1", "")


def test_single_file_says_that_it_carries_no_pages(pyz, tmp_path):
    done = run(
        [sys.executable, "-I", "-S", pyz, "report", "--customer", "Example A", "--gpu", "h200_sxm", "--out", "out"],
        tmp_path,
    )
    assert done.returncode == 2
    assert "carries no pages" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_single_file_is_small_and_pure(pyz):
    names = zipfile.ZipFile(pyz).namelist()
    assert not [name for name in names if name.endswith((".so", ".pyd", ".ipynb", ".css"))]
    # As base64 it fits in a Kubernetes ConfigMap, whose limit is 1 MiB: a way into a container without a volume.
    assert pyz.stat().st_size * 4 // 3 < 1 << 20


@pytest.mark.parametrize("name", [f"python3.{minor}" for minor in range(OLDEST[1], 15)])
def test_single_file_on_other_pythons(pyz, here, tmp_path, name):
    """Each Python found on this machine; one that is not here has nothing to say."""
    found = shutil.which(name)
    if found is None or run([found, "-c", "pass"], tmp_path).returncode:
        return
    done = run([found, "-I", "-S", pyz, *BUDGET], tmp_path)
    assert json.loads(done.stdout) == here


def test_version_is_said_once():
    import glmcalc

    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{glmcalc.__version__}"' in text
    assert f"## {glmcalc.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_lock_names_hashes_and_no_host():
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    pinned = re.findall(r"^([\w.-]+)==", text, re.MULTILINE)
    assert len(pinned) > 50
    for entry in re.split(r"\n(?=\w)", text.strip()):
        assert "--hash=sha256:" in entry, entry
    assert not re.search(r"https?://|--(extra-)?index-url|--find-links", text)
