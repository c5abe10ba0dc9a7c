"""Every command that the README, a ``--help`` or a chapter shows is run as printed."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from glmcalc.present.cli import VERBS, main

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
SERVERS = ("app", "read")  # driven in tests/browser
BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)


def console(text: str) -> list[tuple[str, list[str]]]:
    """Commands of ``console`` blocks with the output lines printed under each."""
    found: list[tuple[str, list[str]]] = []
    for block in BLOCK.findall(text):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:].split("  #")[0].rstrip(), []))
            elif line.strip():
                found[-1][1].append(line)
    return found


README = console((ROOT / "README.md").read_text(encoding="utf-8"))
HELP = [(name, example) for name, verb in VERBS.items() for example in verb.examples]


START = """\
non-default args: {'model': 'zai-org/GLM-5.2-FP8', 'tensor_parallel_size': 8, 'kv_cache_dtype': 'fp8', 'max_model_len': 131000}
vLLM API server version 0.33.0
Model loading took 90.85 GiB memory and 602.0 seconds
Available KV cache memory: 34.60 GiB
"""


def in_chapters() -> list[str]:
    found = []
    for path in (ROOT / "chapters").glob("*.ipynb"):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "markdown":
                found += re.findall(r"`(glmcalc [a-z]+(?: [^`…]*)?)`", "".join(cell["source"]))
    return sorted({command for command in found if "…" not in command})


def test_there_is_something_to_run():
    assert len(README) >= 5
    assert len(HELP) == 2 * len(VERBS)


@pytest.mark.parametrize(
    ("command", "printed"), [row for row in README if row[0].startswith(".venv/bin/glmcalc budget")]
)
def test_readme_output(capsys, command, printed):
    assert main(shlex.split(command)[1:]) in (0, 1)
    assert capsys.readouterr().out.splitlines()[: len(printed)] == printed


def test_readme_report(tmp_path):
    """The two report commands, one after the other, in a folder of their own."""
    commands = [command for command, _ in README if "papermill" in command or "glmcalc html" in command]
    assert len(commands) == 2
    for command in commands:
        words = [
            word.replace(".venv/bin", str(BIN)).replace("chapters/", f"{ROOT}/chapters/")
            for word in shlex.split(command)
        ]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=180)
        assert done.returncode == 0, done.stderr[-2000:]
    html = (tmp_path / "out.html").read_text(encoding="utf-8")
    assert "Example A" in html
    assert len(html) < 3_000_000
    assert "<script" not in html
    # Sources and prices are links to follow; nothing else may be asked of a network.
    asking = re.findall(r"""<(\w+)[^>]*?\b(?:src|href)=["']?(?:https?:)?//""", html)
    assert set(asking) == {"a"}
    assert "@import" not in html
    assert not re.search(r"""url\(["']?(?:https?:)?//""", html)


@pytest.mark.parametrize("command", [command for command, _ in README if command.startswith("make ")])
def test_make_targets_exist(command):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"(?m)^{command.split()[1]}:", makefile)


@pytest.mark.parametrize("target", re.findall(r"`make ([a-z]+)`", (ROOT / "README.md").read_text(encoding="utf-8")))
def test_make_targets_of_the_table_exist(target):
    assert re.search(rf"(?m)^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("name", "example"), [row for row in HELP if row[0] not in (*SERVERS, "html", "report")])
def test_help_examples(capsys, name, example):
    words = shlex.split(example)
    assert words[:2] == ["glmcalc", name]
    assert main(words[1:]) in (0, 1)
    assert capsys.readouterr().out


@pytest.mark.parametrize(("name", "example"), [row for row in HELP if row[0] == "html"])
def test_help_examples_of_html(capsys, monkeypatch, tmp_path, name, example):
    (tmp_path / "out.ipynb").write_text(
        (ROOT / "chapters" / "report.ipynb").read_text(encoding="utf-8"), encoding="utf-8"
    )
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(example)[1:]) == 0
    assert Path(capsys.readouterr().out.strip()).exists()


@pytest.mark.parametrize("example", [example for name, example in HELP if name == "report"])
def test_help_examples_of_report(capsys, monkeypatch, tmp_path, example):
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(example)[1:]) == 0
    assert capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["reports"]


@pytest.mark.parametrize("command", in_chapters())
def test_commands_in_chapters(capsys, monkeypatch, tmp_path, command):
    """In a folder that holds the one file that chapters speak of: a start-up log."""
    (tmp_path / "start.log").write_text(START, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    words = shlex.split(command)
    if words[1:] == ["budget", "--json"]:
        words = [*words, "--gpu", "h200_sxm"]
    assert main(words[1:]) in (0, 1)


def test_readme_is_one_screen_to_the_first_result():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert next(number for number, line in enumerate(lines) if "DOES NOT FIT" in line) < 30
