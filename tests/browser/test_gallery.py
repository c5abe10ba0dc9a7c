"""The first page, the way from it to every chapter, and each chapter on its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHAPTERS_AT = Path(__file__).resolve().parents[2] / "chapters"
CHAPTERS = sorted(path.name for path in CHAPTERS_AT.glob("*.ipynb"))
# How Voila shows a cell that failed; it keeps the traceback to itself. (Chapter 4 speaks of tracebacks.)
FAILED = '[data-mime-type="application/vnd.jupyter.stderr"], [data-mime-type="application/vnd.jupyter.error"]'
pytestmark = pytest.mark.xdist_group("browser")  # one server, one browser


def test_first_page_leads_everywhere(app, page):
    page.goto(app)
    assert page.title() == "The GLM-5.2 production manual"
    assert page.locator("html").get_attribute("lang") == "en"
    leads = page.locator("main a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
    assert {lead.split("/")[-1] for lead in leads} == set(CHAPTERS) - {"index.ipynb"}
    assert "what_happened.ipynb" in leads[0]


@pytest.mark.parametrize("name", CHAPTERS)
def test_each_page_draws_and_leads_back(app, page, name):
    page.goto(f"{app}/voila/render/{name}")
    page.wait_for_selector("#rendered_cells", state="visible")
    page.wait_for_load_state("networkidle")
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.title() not in ("", name.removesuffix(".ipynb"))
    assert page.locator(FAILED).count() == 0
    assert page.locator(".jp-RenderedHTML, .jp-OutputArea-output").count() > 0
    back = page.locator("nav:visible a").evaluate_all("links => links.map(link => new URL(link.href).pathname)")
    assert "/voila/render/calculator.ipynb" in back
    assert "/" in back


@pytest.mark.parametrize("name", ["", *(f"voila/render/{name}" for name in CHAPTERS)])
def test_nothing_sticks_out_at_400_px(app, page, name):
    page.set_viewport_size({"width": 400, "height": 800})
    page.goto(f"{app}/{name}")
    if name:
        page.wait_for_selector("#rendered_cells", state="visible")
        page.wait_for_load_state("networkidle")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert page.evaluate("document.body.scrollWidth") <= 400


def test_a_dark_page_has_a_dark_bar(app, page):
    page.goto(f"{app}/voila/render/report.ipynb?theme=dark")
    page.wait_for_selector("#rendered_cells", state="visible")
    assert page.locator("body.theme-dark").count() == 1
    page.wait_for_function("getComputedStyle(document.querySelector('.glm-nav')).backgroundColor.match(/\\d+/)[0] < 60")


def test_title_and_ways_back_stand_there_while_a_chapter_is_worked_out(app, page):
    page.goto(f"{app}/voila/render/03_hardware_sizing.ipynb", wait_until="commit")
    page.wait_for_selector("#loading h1", state="visible")
    seen = page.evaluate(
        "[document.querySelector('#loading h1').textContent, document.querySelectorAll('.glm-nav a').length,"
        " document.querySelector('.glm-nav').checkVisibility(), !document.querySelector('#rendered_cells')?.checkVisibility()]"
    )
    assert seen == ["3. Hardware sizing · GLM-5.2", len(CHAPTERS), True, True]
    page.wait_for_selector("#rendered_cells", state="visible")
    assert page.locator("#loading").count() == 0
    assert page.locator("h1").first.inner_text().startswith("3. Hardware sizing")


def _kernel_answers(app, kernel):
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(f"{app}/api/kernels/{kernel}", timeout=10) as reply:
            return reply.status == 200
    except urllib.error.HTTPError as error:
        return error.code != 404


@pytest.mark.parametrize("name", ["calculator", "01_vram_budget"])
def test_a_page_that_is_left_ends_its_kernel(app, page, name):
    """Opened from a link in a fresh window, and left for another page: some 60 MB of the server's memory are free again."""
    page.goto(f"{app}/voila/render/{name}.ipynb")
    page.wait_for_selector("#rendered_cells", state="visible")
    page.wait_for_load_state("networkidle")
    kernel = page.evaluate("JSON.parse(document.getElementById('jupyter-config-data').textContent).kernelId")
    assert _kernel_answers(app, kernel)
    page.goto(app)
    for _ in range(50):
        if not _kernel_answers(app, kernel):
            break
        page.wait_for_timeout(200)
    assert not _kernel_answers(app, kernel)


def test_a_served_report_is_legible_at_400_px(app, page):
    """JupyterLab's own sheet floats definition lists; the three ways must hold their lines all the same."""
    for width in (400, 600):
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(f"{app}/voila/render/report.ipynb")
        page.wait_for_selector(".gr-way", state="visible")
        page.wait_for_load_state("networkidle")
        cut = page.locator(".gr-way").evaluate_all(
            "ways => ways.filter(way => way.scrollHeight > way.clientHeight || way.getBoundingClientRect().width < innerWidth * .7)"
            ".map(way => way.textContent.slice(0, 40))"
        )
        assert cut == []
        crossed = page.locator(".gr-way dl > div").evaluate_all(
            "rows => rows.filter(row => { const [dt, dd] = [...row.children].map(part => part.getBoundingClientRect());"
            " return dd.top < dt.bottom - 1 || dd.right > innerWidth; }).map(row => row.textContent.slice(0, 40))"
        )
        assert crossed == []


@pytest.mark.parametrize("name", ["calculator", "report"])
def test_a_chosen_theme_goes_along(app, page, name):
    page.goto(f"{app}/voila/render/{name}.ipynb?theme=dark")
    page.wait_for_selector("nav:visible a")
    page.wait_for_selector("#rendered_cells", state="visible")
    page.wait_for_load_state("networkidle")
    leads = page.locator("nav:visible a").evaluate_all("links => links.map(link => link.search)")
    assert len(leads) > 5
    assert set(leads) == {"?theme=dark"}


def test_sources_are_not_served(app):
    import urllib.error
    import urllib.request

    for path in ("voila/files/calculator.ipynb", "api/contents", "voila/files/../pyproject.toml"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{app}/{path}", timeout=10)
        assert refused.value.code in (403, 404)


def test_the_calculator_is_served_alone(serve, page):
    """``voila chapters/calculator.ipynb``, with no word of ours around it."""
    page.goto(serve("voila", "chapters/calculator.ipynb", "--port={port}", "--no-browser", "--Voila.ip=127.0.0.1"))
    page.wait_for_selector(".gm-verdict")
    assert page.locator(".gm-verdict").inner_text().strip()


def test_a_chapter_alone_shows_no_way_to_pages_that_are_not_there(serve, page):
    page.goto(serve("voila", "chapters/report.ipynb", "--port={port}", "--no-browser", "--Voila.ip=127.0.0.1"))
    page.wait_for_selector(".gm-verdict", state="visible")
    assert page.locator("nav").count() == 0


DARK_OR_LIGHT = """() => {
  const bright = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0) / 3;
  const paper = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (!/, 0\\)$/.test(colour)) return bright(colour);
    }
    return 255;
  };
  const seen = [...document.querySelectorAll("p, th, td, code, pre, .gm-s, .gm, h1, h2")].filter((element) => element.offsetParent);
  return seen.filter((element) => !element.closest(".gm-tile, .gm-mini, button")).map((element) => {
    const ground = paper(element), ink = bright(getComputedStyle(element).color);
    return { dark: ground < 128, apart: Math.abs(ground - ink), words: element.textContent.slice(0, 40) };
  });
}"""


@pytest.mark.parametrize("name", ["01_vram_budget", "report"])
@pytest.mark.parametrize(("theme", "system"), [("", "dark"), ("", "light"), ("?theme=dark", "light")])
def test_a_page_is_all_light_or_all_dark(app, browser, name, theme, system):
    """Whatever the system's colours: text, tables, verdicts and inline code on one kind of paper, and apart from it."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme=system)
    page = context.new_page()
    page.goto(f"{app}/voila/render/{name}.ipynb{theme}")
    page.wait_for_selector("#rendered_cells", state="visible")
    page.wait_for_load_state("networkidle")
    page.wait_for_function(f"document.body.classList.contains('theme-{'dark' if theme else 'light'}')")
    found = page.evaluate(DARK_OR_LIGHT)
    context.close()
    assert len(found) > 40
    assert {item["dark"] for item in found} == {bool(theme)}
    assert [item["words"] for item in found if item["apart"] < 90] == []


def test_an_address_sets_a_report_s_inputs(app, page):
    page.goto(f"{app}/voila/render/report.ipynb?customer=Foo&gpu=b200_sxm&gpus=8&max_model_len=64K")
    page.wait_for_selector(".gm-verdict", state="visible")
    assert "8 × B200" in page.locator(".gr-head").inner_text()
    assert "Foo" in page.locator(".gr-head").inner_text()
    assert "65,536" in page.locator(".gm-verdict").first.inner_text()


def test_an_address_sets_a_chapter_s_inputs_and_says_so(app, page):
    page.goto(f"{app}/voila/render/01_vram_budget.ipynb?gpu=b200_sxm")
    page.wait_for_selector(".gm-verdict", state="visible")
    assert "From the address: gpu b200_sxm" in page.locator("#rendered_cells").inner_text()
    assert page.get_by_text("178.35").count() > 0


@pytest.mark.parametrize("name", ["01_vram_budget", "report"])
def test_a_bad_value_in_an_address_is_said_on_the_page(app, page, name):
    page.goto(f"{app}/voila/render/{name}.ipynb?gpu=b200_sxm&max_model_len=abc")
    page.wait_for_selector(".gm-verdict", state="visible")
    first = page.locator(".gm-verdict").first
    assert "Bad input" in first.inner_text()
    assert "max_model_len" in first.inner_text()
    assert page.locator(FAILED).count() == 0
    if name == "report":
        assert "H200" in page.locator(".gr-head").inner_text(), "its own example stays"


def test_wide_tables_and_formulas_scroll_in_their_own_box_at_400_px(app, page):
    page.set_viewport_size({"width": 400, "height": 800})
    page.goto(f"{app}/voila/render/01_vram_budget.ipynb")
    page.wait_for_selector(".gm-scroll", state="visible")
    page.wait_for_load_state("networkidle")
    cut = page.evaluate(
        """() => [...document.querySelectorAll("#rendered_cells :is(table, pre)")].filter((element) => {
          if (!element.offsetParent || element.closest(".gm-page")) return false;
          for (let at = element; at && at.id !== "rendered_cells"; at = at.parentElement) {
            const style = getComputedStyle(at);
            if (at.scrollWidth <= at.clientWidth + 1) continue;
            if (/auto|scroll/.test(style.overflowX)) return style.borderTopWidth === "0px";
            if (/hidden|clip/.test(style.overflowX)) return true;
          }
          return element.getBoundingClientRect().right > innerWidth;
        }).map((element) => element.textContent.slice(0, 60))"""
    )
    assert cut == []
    lines = page.locator(".jp-RenderedMarkdown pre").first
    assert lines.evaluate("element => getComputedStyle(element).whiteSpace") == "pre"


def _own_jupyter(tmp_path):
    """Jupyter's folders inside a test's own."""
    return {f"JUPYTER_{name}_DIR": str(tmp_path / name) for name in ("DATA", "CONFIG", "RUNTIME")}


def _lab(serve, tmp_path, *words):
    """The address of a JupyterLab that shares nothing with another."""
    return serve(*words, JUPYTER_TOKEN="loopback", JUPYTERLAB_SETTINGS_DIR=str(tmp_path / "settings"),
                 JUPYTERLAB_WORKSPACES_DIR=str(tmp_path / "workspaces"), **_own_jupyter(tmp_path))  # fmt: skip


def _lab_words(folder):
    return ("jupyterlab", f"--notebook-dir={folder}", "--ip=127.0.0.1", "--port={port}", "--no-browser", "--allow-root")


@pytest.mark.parametrize("trusted", [True, False])
def test_chapters_in_jupyterlab(serve, browser, tmp_path, trusted):
    """``glmcalc read`` signs what it shows. A notebook that is not trusted loses its style, not its picture and its table."""
    words = ("glmcalc", "read", "--port", "{port}", "--no-browser")
    if not trusted:
        words = _lab_words("chapters")
    address = _lab(serve, tmp_path, *words)
    context = browser.new_context(viewport={"width": 1440, "height": 2600})
    page = context.new_page()
    page.goto(f"{address}/lab/tree/01_vram_budget.ipynb?token=loopback")
    page.wait_for_selector(".jp-OutputArea-output img", timeout=60_000)
    output = page.locator(".jp-OutputArea-output").filter(has=page.locator("img")).first
    assert output.locator("style").count() == (1 if trusted else 0)
    image = output.locator("img").bounding_box()
    assert image["width"] > 700
    assert 120 < image["height"] < 180, "one shape of the bar, lying"
    assert output.get_by_text("Driver total", exact=True).is_visible() is not trusted, (
        "the table stands in where styles are gone"
    )
    assert "GiBKV" not in output.inner_text()
    if trusted:
        page.wait_for_timeout(3000)
        assert page.get_by_text("Jupyter news").count() == 0, "nothing here asks the network, or offers to"
    context.close()


@pytest.mark.parametrize("name", ["calculator", "what_happened"])
def test_a_stored_widget_is_a_picture_in_jupyterlab(serve, browser, tmp_path, name):
    """As ``make outputs`` stores a chapter: no state of a widget, so no live form that JupyterLab could not find."""
    words = ["--to", "notebook", "--NotebookExporter.preprocessors=glmcalc.present.stored.StillOutputs"]
    command = [
        sys.executable,
        "-m",
        "nbconvert",
        *words,
        f"--output-dir={tmp_path / 'books'}",
        f"chapters/{name}.ipynb",
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=60, cwd=CHAPTERS_AT.parent)
    trust = [sys.executable, "-m", "jupyter", "trust", str(tmp_path / "books" / f"{name}.ipynb")]
    subprocess.run(trust, check=True, capture_output=True, timeout=60, env={**os.environ, **_own_jupyter(tmp_path)})
    address = _lab(serve, tmp_path, *_lab_words(tmp_path / "books"))
    context = browser.new_context(viewport={"width": 1440, "height": 2600})
    page = context.new_page()
    page.goto(f"{address}/lab/tree/{name}.ipynb?token=loopback")
    page.wait_for_selector(".jp-OutputArea-output", timeout=60_000)
    page.wait_for_timeout(2000)
    assert page.get_by_text("Error displaying widget").count() == 0
    assert page.locator(".jp-OutputArea-output").first.bounding_box()["height"] > 40
    context.close()
