"""The page *Downgrade* as the manual serves it."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.xdist_group("browser")  # one server, one browser


@pytest.fixture
def address(app: str) -> str:
    return f"{app}/voila/render/downgrade.ipynb"


def open_page(page: Page, address: str) -> None:
    page.goto(address)
    page.wait_for_selector(".gm-page[data-serial]")


def test_the_ladder_follows_fields_and_what_is_kept(page: Page, address: str) -> None:
    open_page(page, address)
    expect(page.get_by_role("status")).to_contain_text("Fits")
    rows = page.locator(".gm-ladder tbody tr")
    expect(rows.first).to_be_visible()
    context = [rows.nth(n).get_attribute("data-knob") for n in range(rows.count())]
    page.get_by_role("radio", name="speed").check()
    page.wait_for_function("location.search.includes('keep=speed')")
    speed = [rows.nth(n).get_attribute("data-knob") for n in range(rows.count())]
    assert context != speed
    page.get_by_label("max_model_len").fill("32000")
    page.wait_for_function("location.search.includes('max_model_len=32000')")
    expect(page.get_by_role("status")).to_contain_text("Nothing has to be given up")


def test_a_command_is_read_and_a_bad_one_is_told(page: Page, address: str) -> None:
    open_page(page, address)
    box = page.get_by_role("textbox", name="Command", exact=True)
    box.fill("vllm serve zai-org/GLM-5.2-FP8 -tp 8 --max-model-len 131072 --max-modle-len 5")
    expect(
        page.locator("[data-error=command]:visible, [data-part=verdict] .input, .gm-verdict.input").first
    ).to_be_visible()
    box.fill("vllm serve zai-org/GLM-5.2-FP8 -tp 8 --max-model-len 32000 --kv-cache-dtype fp8")
    expect(page.get_by_role("status")).to_contain_text("32,000 tokens")


def test_bad_query_gives_the_command_s_message(page: Page, address: str) -> None:
    open_page(page, address + "?keep=money")
    expect(page.get_by_role("status")).to_contain_text("keep must be one of context, users, quality, speed")


@pytest.mark.parametrize("width", [400, 900, 1440])
def test_no_width_overflows(page: Page, address: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    open_page(page, address + "?gpu=h100_sxm&gpus=4&max_model_len=131072")
    expect(page.get_by_role("status")).to_contain_text("Cannot")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    over = page.evaluate(
        "[...document.querySelectorAll('.gm-page, .gm-page *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1"
        " && !e.closest('.gm-vh') && !e.closest('thead') && getComputedStyle(e.parentElement).overflowX === 'visible')"
        ".map(e => e.className || e.tagName)"
    )
    assert over == []
