"""A papermill report, opened in the browser as the customer would: offline, scripts off, on paper."""

from __future__ import annotations

import subprocess
import sys
import unicodedata
from html.parser import HTMLParser
from pathlib import Path

import pytest
from pypdf import PdfReader

from glmcalc.present.export import export_html
from glmcalc.present.report import PARTS, Report

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.xdist_group("browser")

CASES = {
    "fits": ({"gpu": "h200_sxm", "gpus": 8, "max_model_len": 131_000, "kv_cache_dtype": "fp8", "concurrency": 4, "input_length": 40_000}, "Fits"),
    "does_not_fit": ({"gpu": "h200_sxm", "gpus": 8, "max_model_len": 1_048_576, "max_num_seqs": 1}, "Does not fit"),
    "many_changes": ({"gpu": "h100_sxm", "gpus": 8, "max_model_len": 131_072, "speculative_method": "mtp", "num_speculative_tokens": 3}, "Does not fit"),
    "mac": ({"engine": "llama.cpp", "gpu": "mac_m3_ultra_512", "gpus": 1, "quantization": "UD-Q3_K_XL", "input_length": 24_000, "min_tok_s_user": 5}, "Fits"),
    "same_machine": ({"gpu": "h100_sxm", "gpus": 8, "max_model_len": 131_072, "concurrency": 4}, "Does not fit"),
    "too_slow": ({"gpu": "b200_sxm", "gpus": 8, "max_model_len": 65_536, "concurrency": 16, "input_length": 32_000, "min_tok_s_user": 200}, "Too slow"),
    "sglang": ({"engine": "sglang", "gpu": "h200_sxm", "gpus": 4, "quantization": "w4afp8", "concurrency": 8, "input_length": 24_000}, "Marginal"),
    "pasted": ({"gpu": "b200_sxm", "command": "vllm serve nvidia/GLM-5.2-NVFP4 -tp 8 --max-model-len 128K --port 80"}, "Fits"),
}  # fmt: skip


@pytest.fixture(scope="module", params=CASES)
def report(request, tmp_path_factory):
    """The page of a case by way of papermill, and the word of its verdict."""
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
    return export_html(str(out)), word, parameters


def test_opens_offline_without_scripts(report, browser, tmp_path):
    path, word, _ = report
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
    assert page.locator(".gr-formulas li").first.is_visible()
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    context.close()


def test_prints_to_a4(report, browser, tmp_path):
    path, word, _ = report
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
    assert any(launch in first for launch in ("vllm serve", "sglang.launch_server", "llama-server"))
    assert word in first


def test_the_first_half_of_the_first_page_says_what_matters(report, browser):
    """Verdict, how sure, the command and what to watch, above the middle of an A4 page with its 12 mm margin."""
    path, _, _ = report
    page = browser.new_page(viewport={"width": 703, "height": 1017})  # 186 x 269 mm at 96 px an inch
    page.emulate_media(media="print")
    page.goto(path.as_uri())
    half = (297 / 2 - 12) / 25.4 * 96
    for found in (".gm-verdict", ".gr-two", ".gm-cmd"):
        box = page.locator(found).first.bounding_box()
        assert box["y"] + box["height"] <= half, found
    page.close()


def test_is_light_whatever_the_system_s_colours(report, browser):
    path, _, _ = report
    context = browser.new_context(color_scheme="dark")
    page = context.new_page()
    page.goto(path.as_uri())
    colour = "getComputedStyle(document.querySelector('{}')).{}"
    assert page.evaluate(colour.format("body", "backgroundColor")) == "rgb(255, 255, 255)"
    assert page.evaluate(colour.format(".gm", "backgroundColor")) == "rgb(255, 255, 255)"
    assert page.evaluate(colour.format(".gm", "color")) == "rgb(22, 27, 34)"
    context.close()


def test_narrow(report, browser):
    path, _, _ = report
    page = browser.new_page(viewport={"width": 400, "height": 800})
    page.goto(path.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    page.close()


class Plain(HTMLParser):
    """Tags with their attributes in order, and texts: what nbconvert writes anew without changing it."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.parts.append(f"<{tag} {sorted(attrs)}>")

    def handle_endtag(self, tag):
        self.parts.append(f"</{tag}>")

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in ("br", "img"):
            self.handle_endtag(tag)

    def handle_data(self, data):
        self.parts.append(data)


def plain(text: str) -> str:
    return "".join(Plain(text).parts)


def test_the_same_sections_as_from_one_process(report):
    """Papermill and the notebook on one side, ``Report.html`` on the other: each section alike, in the same order."""
    path, _, parameters = report
    exported = plain(path.read_text(encoding="utf-8"))
    made = Report("Example A", **parameters)
    places = []
    for part in PARTS:
        section = plain(getattr(made, part)()._repr_html_())
        assert exported.count(section) == 1, part
        places.append(exported.index(section))
        assert section in plain(made.html())
    assert places == sorted(places)


def test_the_ways_stand_beside_each_other_where_there_is_room(report, browser):
    path, _, _ = report
    for width, beside in ((1440, True), (400, False)):
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.goto(path.as_uri())
        boxes = [
            page.locator(".gr-way").nth(number).bounding_box() for number in range(page.locator(".gr-way").count())
        ]
        assert (len({round(box["y"]) for box in boxes}) == 1) == beside
        labels = page.locator(".gr-terms").is_visible()
        assert labels == beside
        page.close()


@pytest.fixture(scope="module")
def worked(tmp_path_factory):
    """The three worked customers, as the command makes them."""
    folder = tmp_path_factory.mktemp("worked")
    command = [sys.executable, "-m", "glmcalc", "report", "examples", "--out", str(folder / "out"), "--json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return sorted((folder / "out").iterdir())


def test_the_worked_customers_print_on_two_pages(worked, browser, tmp_path):
    for path in worked:
        assert path.stat().st_size < 3_000_000
        page = browser.new_page()
        page.goto(path.as_uri())
        target = tmp_path / f"{path.stem}.pdf"
        page.pdf(path=str(target), prefer_css_page_size=True, print_background=True)
        page.close()
        pages = PdfReader(target).pages
        assert len(pages) == 2, path.stem
        words = " ".join(unicodedata.normalize("NFKC", page.extract_text()) for page in pages)
        assert "Three ways" in words
        assert "As is" in words


def test_the_worked_customers_open_offline_without_scripts(worked, browser):
    for path in worked:
        for width in (1440, 400):
            context = browser.new_context(
                java_script_enabled=False, offline=True, viewport={"width": width, "height": 900}
            )
            asked: list[str] = []
            context.on("request", lambda request, asked=asked: asked.append(request.url))
            page = context.new_page()
            page.goto(path.as_uri())
            assert page.locator(".gr-way").count() in (3, 4)
            assert page.get_by_role("heading", name="How the figures come about").is_visible()
            assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
            context.close()
