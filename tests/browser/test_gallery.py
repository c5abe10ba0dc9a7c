"""The first page, the way from it to every chapter, and each chapter on its own."""

from __future__ import annotations

from pathlib import Path

import pytest

CHAPTERS = sorted(path.name for path in (Path(__file__).resolve().parents[2] / "chapters").glob("*.ipynb"))
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
    assert page.locator("text=Traceback").count() == 0
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
