"""Chapters are signed for JupyterLab: those of this package, and no other."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.sign import NotebookNotary

from glmcalc.present.gallery import SHIPPED, chapters_folder, trust_chapters


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def trusted(place: Path, notebook: Path) -> bool:
    with NotebookNotary(data_dir=str(place)) as notary:
        return bool(notary.check_signature(nbformat.read(notebook, as_version=4)))


def test_every_chapter_is_signed_and_nothing_beside_it(place: Path, tmp_path: Path) -> None:
    folder = tmp_path / "chapters"
    shutil.copytree(chapters_folder(), folder)
    own = folder / "mine.ipynb"
    book = nbformat.read(folder / "report.ipynb", as_version=4)
    book.cells[0].source = "mine"
    nbformat.write(book, own)
    signed = trust_chapters(folder)
    assert "mine.ipynb" not in signed
    assert signed
    assert all(trusted(place, folder / name) for name in signed)
    assert not trusted(place, own)


def test_all_that_is_shipped_is_known() -> None:
    assert {path.stem for path in chapters_folder().glob("*.ipynb")} <= set(SHIPPED)


def test_what_was_changed_afterwards_is_not_trusted(place: Path, tmp_path: Path) -> None:
    folder = tmp_path / "chapters"
    folder.mkdir()
    shutil.copy(chapters_folder() / "report.ipynb", folder)
    trust_chapters(folder)
    book = nbformat.read(folder / "report.ipynb", as_version=4)
    book.cells[-1].outputs[0]["data"]["text/html"] = "<script>alert(1)</script>"
    nbformat.write(book, folder / "report.ipynb")
    assert not trusted(place, folder / "report.ipynb")


def test_a_place_that_cannot_be_written_leaves_them_untrusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").write_text("a file, not a folder")
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    assert trust_chapters(chapters_folder()) == []


def test_jupyter_itself_agrees(place: Path, tmp_path: Path) -> None:
    """``jupyter trust`` says of a signed file that it is signed already."""
    folder = tmp_path / "chapters"
    folder.mkdir()
    shutil.copy(chapters_folder() / "report.ipynb", folder)
    trust_chapters(folder)
    command = [sys.executable, "-m", "jupyter", "trust", str(folder / "report.ipynb")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "already signed" in done.stdout
