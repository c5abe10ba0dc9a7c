"""A papermill report, opened in the browser as the customer would: offline, scripts off, on paper."""

from __future__ import annotations

import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from pypdf import PdfReader

from glmcalc.present.export import export_html

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.xdist_group("browser")

CASES = {
    "fits": ({"gpu": "h200_sxm", "gpus": 8, "max_model_len": 131_000, "kv_cache_dtype": "fp8", "concurrency": 4, "input_length": 40_000}, "Fits"),
    "does_not_fit": ({"gpu": "h200_sxm", "gpus": 8, "max_model_len": 1_048_576, "max_num_seqs": 1}, "Does not fit"),
    "many_changes": ({"gpu": "h100_sxm", "gpus": 8, "max_model_len": 131_072, "speculative_method": "mtp", "num_speculative_tokens": 3}, "Does not fit"),
    "pasted": ({"gpu": "b200_sxm", "gpus": 8, "command": "vllm serve nvidia/GLM-5.2-NVFP4 -tp 8 --max-model-len 128K --port 80"}, "Fits"),
}  # fmt: skip


@pytest.fixture(scope="module", params=CASES)
def report(request, tmp_path_factory):
    parameters, word = CASES[request.param]
    folder = tmp_path_factory.mktemp("report")
    out = folder / "out.ipynb"
    command = [
        sys.executable,
        "-m",
        "papermill",
        str(ROOT / "chapters" / "report.ipynb"),
        str(out),
        "-p",
        "customer",
        "Example A",
    ]
    for name, value in parameters.items():
        command += ["-p", name, str(value)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr[-2000:]
    return export_html(str(out)), word


def test_opens_offline_without_scripts(report, browser, tmp_path):
    path, word = report
    assert path.stat().st_size < 3_000_000
    context = browser.new_context(java_script_enabled=False, offline=True, viewport={"width": 1440, "height": 900})
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    page = context.new_page()
    page.goto(path.as_uri())
    assert page.locator(".gm-verdict .gm-tile span").first.inner_text() == word
    assert page.locator("h1").inner_text().startswith("GLM-5.2")
    assert "Example A" in page.locator(".gr-head").inner_text()
    # the answer, how sure, what to watch and the command stand on the first screen
    for name in ("How sure", "What to watch", "ommand"):
        assert page.get_by_role("heading", name=name).first.bounding_box()["y"] < 700
    assert page.get_by_text("blocks of one request").first.is_visible()
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    context.close()


def test_prints_to_a4(report, browser, tmp_path):
    path, word = report
    page = browser.new_page()
    page.goto(path.as_uri())
    target = tmp_path / "report.pdf"
    page.pdf(path=str(target), prefer_css_page_size=True, print_background=True)
    page.close()
    pages = PdfReader(target).pages
    assert 2 <= len(pages) <= 5
    width, height = (float(size) for size in (pages[0].mediabox.width, pages[0].mediabox.height))
    assert (round(width), round(height)) == (595, 842)
    first = " ".join(unicodedata.normalize("NFKC", pages[0].extract_text()).split())
    assert "Example A" in first
    assert "vllm serve" in first
    assert word in first


def test_the_first_half_of_the_first_page_says_what_matters(report, browser):
    """Verdict, how sure, the command and what to watch, above the middle of an A4 page with its 12 mm margin."""
    path, _ = report
    page = browser.new_page(viewport={"width": 703, "height": 1017})  # 186 x 269 mm at 96 px an inch
    page.emulate_media(media="print")
    page.goto(path.as_uri())
    half = (297 / 2 - 12) / 25.4 * 96
    for found in (".gm-verdict", ".gr-two", ".gm-cmd"):
        box = page.locator(found).first.bounding_box()
        assert box["y"] + box["height"] <= half, found
    page.close()


def test_is_light_whatever_the_system_s_colours(report, browser):
    path, _ = report
    context = browser.new_context(color_scheme="dark")
    page = context.new_page()
    page.goto(path.as_uri())
    colour = "getComputedStyle(document.querySelector('{}')).{}"
    assert page.evaluate(colour.format("body", "backgroundColor")) == "rgb(255, 255, 255)"
    assert page.evaluate(colour.format(".gm", "backgroundColor")) == "rgb(255, 255, 255)"
    assert page.evaluate(colour.format(".gm", "color")) == "rgb(22, 27, 34)"
    context.close()


def test_narrow(report, browser):
    path, _ = report
    page = browser.new_page(viewport={"width": 400, "height": 800})
    page.goto(path.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    page.close()
