"""The page *Hardware sizing* as the manual serves it."""

from __future__ import annotations

import csv

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.xdist_group("browser")  # one server, one browser


@pytest.fixture
def address(app: str) -> str:
    return f"{app}/voila/render/sizing.ipynb"


def open_page(page: Page, address: str) -> None:
    page.goto(address)
    page.wait_for_selector(".gm-page[data-serial]")


def machines(page: Page) -> list[str]:
    return page.locator("tbody[data-machine]").evaluate_all("rows => rows.map(row => row.dataset.machine)")


def test_needs_move_the_table_and_the_pictures_follow(page: Page, address: str) -> None:
    open_page(page, address)
    verdict = page.get_by_role("status")
    expect(verdict).to_contain_text("8 × 131,072 tokens")
    expect(page.get_by_role("img", name="Requests held at once against their length")).to_be_visible()
    page.get_by_role("slider", name="context, tokens").press("ArrowRight")
    expect(verdict).to_contain_text("8 × 196,608 tokens")
    page.get_by_label("users at once, requests, exact value").fill("3")
    expect(verdict).to_contain_text("3 × 196,608 tokens")
    expect(page.get_by_role("img", name="Needed: 3 × 196,608")).to_be_visible()
    page.get_by_label("least speed, tok/s").fill("1000")
    expect(verdict).to_contain_text("No machine here serves")
    page.wait_for_function("location.search.includes('min_tok_s_user=1000')")


def test_headings_sort_with_the_keyboard_and_filters_hide(page: Page, address: str) -> None:
    open_page(page, address)
    first = machines(page)
    heading = page.get_by_role("button", name="US$ an hour")
    heading.focus()
    heading.press("Enter")
    expect(page.locator("th[aria-sort=ascending]")).to_have_text("US$ an hour")
    cheap = machines(page)
    assert cheap != first
    assert sorted(cheap) == sorted(first)
    heading.press("Enter")
    expect(page.locator("th[aria-sort=descending]")).to_have_text("US$ an hour")
    page.get_by_label("vendor").select_option("Apple")
    expect(page.locator("tbody[data-machine]")).to_have_count(3)
    page.get_by_label("only those that serve it").check()
    expect(page.locator("tbody[data-machine]:not([data-status=fits])")).to_have_count(0)
    page.wait_for_function("location.search.includes('only=yes')")
    assert page.evaluate("location.search").endswith("&vendor=Apple&only=yes&sort=-usd")


def test_a_link_brings_its_state_back(page: Page, address: str) -> None:
    open_page(page, address + "?context=131072&concurrency=8&vendor=Apple&only=yes&sort=-usd")
    expect(page.get_by_label("only those that serve it")).to_be_checked()
    assert set(machines(page)) <= {"mac_m3_ultra_512_x1", "mac_m3_ultra_256_x1", "mac_m4_max_128_x1"}


def test_a_row_opens_to_components_a_command_and_a_file(page: Page, address: str) -> None:
    open_page(page, address)
    button = page.get_by_role("button", name="8 × H200 141GB SXM", exact=True)
    button.focus()
    button.press("Enter")
    expect(button).to_have_attribute("aria-expanded", "true")
    expect(page.get_by_role("table", name="Components of the memory of one GPU")).to_be_visible()
    expect(page.locator(".gm-detail .gm-cmd")).to_contain_text("vllm serve")
    with page.expect_download() as got:
        page.get_by_role("link", name="Breakdown as CSV").click()
    assert got.value.suggested_filename == "h200_sxm_x8.csv"
    rows = list(csv.DictReader(got.value.path().read_text("utf-8").splitlines()))
    assert {row["component"] for row in rows} >= {"weights", "kv_pool", "driver_total"}
    button.press("Escape")
    expect(page.locator(".gm-detail")).to_have_count(0)


def test_two_machines_stand_side_by_side(page: Page, address: str) -> None:
    open_page(page, address)
    page.get_by_label("Compare 8 × H200 141GB SXM").check()
    page.get_by_label("Compare 8 × B200 180GB SXM").check()
    pair = page.get_by_role("table", name="Two machines side by side")
    expect(pair).to_be_visible()
    expect(pair.locator("thead")).to_contain_text("8 × B200 180GB SXM")
    page.get_by_role("button", name="Close").click()
    expect(pair).to_have_count(0)


def test_a_bad_address_gives_the_command_s_message(page: Page, address: str) -> None:
    open_page(page, address + "?context=10M")
    expect(page.get_by_role("status")).to_contain_text("context must be 1 to 1,048,576 tokens")
    page.get_by_label("context, tokens, exact value").fill("64K")
    expect(page.get_by_role("status")).to_contain_text("65,536 tokens")


@pytest.mark.parametrize("width", [400, 900, 1440])
def test_no_width_overflows(page: Page, address: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    open_page(page, address + "?row=h200_sxm_x8&compare=h200_sxm_x8,rtx_pro_6000_x1_offload")
    expect(page.get_by_role("table", name="Two machines side by side")).to_be_visible()
    expect(page.get_by_role("img", name="Memory of each machine")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    over = page.evaluate(
        "[...document.querySelectorAll('.gm-page, .gm-page *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1"
        " && !e.closest('.gm-vh') && !e.closest('.gm-tablewrap') && getComputedStyle(e.parentElement).overflowX === 'visible')"
        ".map(e => e.className.baseVal || e.className || e.tagName)"
    )
    assert over == []
    wide = page.evaluate("(box => box.scrollWidth - box.clientWidth)(document.querySelector('.gm-tablewrap'))")
    assert wide <= 1 or width == 900
