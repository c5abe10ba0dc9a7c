"""A notebook's HTML, and what a failed run shows: the sentence alone, and no report."""

import os
import subprocess
import sys

import nbformat
import pytest

from glmcalc import InputError
from glmcalc.present.cli import main
from glmcalc.present.needs import check_customer


def executed(path, source):
    """The notebook at ``path`` with one cell, run by papermill's own command; its exit code and what it printed."""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(book, path)
    out = path.with_name("out.ipynb")
    done = subprocess.run(
        [sys.executable, "-m", "papermill", str(path), str(out)],
        capture_output=True,
        text=True,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    return out, done


@pytest.fixture(scope="module")
def failed(tmp_path_factory):
    source = "from glmcalc import Deployment, plan\nplan(Deployment(gpu='h200', gpus=8))"
    return executed(tmp_path_factory.mktemp("failed") / "in.ipynb", source)


def test_papermill_shows_the_sentence(failed):
    """As the last words of papermill's own, and in the notebook it leaves: no frame of this package."""
    out, done = failed
    assert done.returncode != 0
    after = done.stderr.rsplit("Exception encountered at", 1)[1]
    assert "gpu 'h200' is not known (did you mean h200_sxm?)" in after
    assert "Traceback" not in after
    assert "File " not in after
    (error,) = [o for cell in nbformat.read(out, 4).cells for o in cell.get("outputs", []) if o.output_type == "error"]
    assert len(error.traceback) == 1
    assert error.traceback[0] == error.evalue


def test_a_failed_run_is_no_report(failed, capsys):
    out, _ = failed
    target = out.with_name("report.html")
    assert main(["html", str(out), "--out", str(target)]) == 2
    said = capsys.readouterr().err
    assert "did not run to its end" in said
    assert "gpu 'h200' is not known" in said
    assert not target.exists()
    assert not out.with_suffix(".html").exists()


def test_a_run_that_ended_well_is_one(tmp_path, capsys):
    out, done = executed(tmp_path / "in.ipynb", "print('all well')")
    assert done.returncode == 0, done.stderr
    assert main(["html", str(out)]) == 0
    assert "all well" in out.with_suffix(".html").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["Smith & Sons", "AT&T", "O'Neill & Co; Ltd", "Ünal GmbH"])
def test_a_customer_may_have_an_ampersand(name):
    assert check_customer(f" {name} ") == name


@pytest.mark.parametrize(
    "name", ["<b>x</b>", "a > b", "{{ x }}", "&lt;script&gt;", "&#60;b", "a\nb", 'q"q', "", 5, None]
)
def test_markup_in_a_customer_is_refused(name):
    with pytest.raises(InputError, match="customer"):
        check_customer(name)
