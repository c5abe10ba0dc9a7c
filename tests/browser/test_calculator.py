"""The calculator page as the manual serves it, driven by keyboard, mouse and links."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, expect

pytestmark = pytest.mark.xdist_group("browser")  # one server, one browser
COMMAND = "vllm serve zai-org/GLM-5.2-FP8 -tp 8 \\\n  --max-model-len 64K --kv-cache-dtype fp8 --max-num-seqs 32"


@pytest.fixture
def address(app: str) -> str:
    return f"{app}/voila/render/calculator.ipynb"


def open_page(page: Page, address: str) -> None:
    page.goto(address)
    page.wait_for_selector(".gm-page[data-later]")


def verdict(page: Page) -> str:
    return page.locator("[data-part=verdict] .gm-s").inner_text()


def test_everything_is_seen_at_once(page: Page, address: str) -> None:
    open_page(page, address)
    expect(page.get_by_role("status")).to_contain_text("Fits")
    expect(page.locator(".gm-bar svg.gm-wide")).to_be_visible()
    assert page.locator(".gm-page").evaluate("e => e.getBoundingClientRect().width") > 1400
    for part in ("verdict", "bar", "curve", "table", "command"):
        box = page.locator(f"[data-part={part}]").bounding_box()
        assert box
        assert box["height"] > 30, part
        assert box["y"] + box["height"] <= 900, part


def test_a_slider_by_keyboard_moves_verdict_bar_and_link(page: Page, address: str) -> None:
    open_page(page, address)
    before, bar = verdict(page), page.locator(".gm-bar svg:visible").get_attribute("aria-label")
    slider = page.get_by_role("slider", name="max_model_len")
    slider.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("[data-part=verdict] .gm-s")).not_to_have_text(before)
    expect(page.locator("[data-part=verdict] .gm-s")).to_contain_text("163,840 tokens")
    assert page.locator(".gm-bar svg:visible").get_attribute("aria-label") != bar
    assert slider.get_attribute("aria-valuetext") == "163,840"
    page.wait_for_function("location.search.includes('max_model_len=163840')")
    page.keyboard.press("End")
    expect(page.locator("[data-part=verdict]")).to_contain_text("Does not fit")
    page.keyboard.press("PageDown")
    expect(slider).to_have_value(str(int(slider.get_attribute("max") or 0) - 10))


def test_presets_and_the_command_that_works(page: Page, address: str) -> None:
    open_page(page, address)
    page.get_by_role("button", name="1M").click()
    expect(page.locator("[data-part=verdict]")).to_contain_text("53.45 GiB")
    expect(page.locator("[data-part=after] mark")).to_have_text("--decode-context-parallel-size 2")
    expect(page.get_by_role("button", name="1M")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Conservative").click()
    expect(page.locator("[data-part=verdict]")).to_contain_text("32,000 tokens")
    expect(page.locator("[data-part=verdict]")).to_contain_text("Fits")


def test_pasting_sets_the_controls_and_a_bad_paste_keeps_the_result(page: Page, address: str) -> None:
    open_page(page, address)
    box = page.get_by_label("Paste a command")
    box.fill(COMMAND)
    expect(page.locator("[data-part=verdict]")).to_contain_text("65,536 tokens")
    expect(page.get_by_label("max_num_seqs, requests, exact value")).to_have_value("32")
    expect(page.locator("[data-read]")).to_contain_text("Read: 5 settings")
    bar = page.locator(".gm-bar svg:visible").get_attribute("aria-label")
    box.fill("vllm serve zai-org/GLM-5.2-FP8 --max-modle-len 5")
    expect(page.locator("[data-part=verdict]")).to_contain_text("Bad input")
    expect(page.locator("[data-read]")).to_contain_text("--max-model-len")
    assert page.locator(".gm-bar svg:visible").get_attribute("aria-label") == bar
    assert float(page.evaluate("getComputedStyle(document.querySelector('[data-part=bar]')).opacity")) < 0.6
    box.fill(COMMAND)
    expect(page.locator("[data-part=verdict]")).to_contain_text("Fits")


def test_a_bad_value_is_told_beside_its_field(page: Page, address: str) -> None:
    open_page(page, address)
    field = page.get_by_label("utilization, of total, exact value")
    field.fill("1.4")
    field.press("Enter")
    expect(page.locator("[data-error=gpu_memory_utilization]")).to_contain_text("1.4")
    expect(field).to_have_attribute("aria-invalid", "true")
    field.fill("0.8")
    field.press("Tab")
    expect(page.locator("[data-error=gpu_memory_utilization]")).to_be_hidden()


def test_a_link_brings_the_state_back(page: Page, address: str) -> None:
    open_page(page, address)
    page.get_by_label("GPU", exact=True).select_option("b200_sxm")
    expect(page.locator("[data-part=bar] svg:visible")).not_to_have_attribute("aria-label", "139.80")
    page.wait_for_function("location.search.includes('gpu=b200_sxm')")
    said, link = verdict(page), page.get_by_role("link", name="Link to this state").get_attribute("href")
    assert link
    again = page.context.new_page()
    open_page(again, address.split("/voila/")[0] + link)
    assert verdict(again) == said
    assert again.get_by_label("GPU", exact=True).input_value() == "b200_sxm"


def test_bad_query_gives_the_command_s_message(page: Page, address: str) -> None:
    open_page(page, address + "?max_model_len=2000000")
    expect(page.locator("[data-part=verdict]")).to_contain_text("max_model_len must be 1 to 1,048,576 tokens")
    expect(page.locator("[data-error=max_model_len]")).to_be_visible()


def test_markup_in_a_link_stays_text(page: Page, address: str) -> None:
    open_page(page, address + "?gpu=%3Cimg%20src%3Dx%20onerror%3D%22document.title%3D'bad'%22%3E")
    expect(page.locator("[data-part=verdict]")).to_contain_text("<img")
    assert page.title() != "bad"
    assert page.locator(".gm-page img").count() == 0


@pytest.mark.parametrize("width", [400, 700, 900, 1440])
def test_no_width_overflows_or_lets_labels_collide(page: Page, address: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    open_page(page, address)
    page.get_by_role("button", name="1M").click()
    page.wait_for_selector("[data-part=after] mark")
    page.wait_for_timeout(300)
    over = page.evaluate(
        "[...document.querySelectorAll('.gm-page, .gm-page *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1"
        " && !e.closest('svg') && !e.closest('.gm-vh') && getComputedStyle(e.parentElement).overflowX === 'visible')"
        ".map(e => e.className || e.tagName)"
    )
    assert over == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    hits = page.evaluate(
        "[...document.querySelectorAll('.gm-bar svg, .gm-curve')].filter(s => s.getBoundingClientRect().width).flatMap(s => {"
        " const t = [...s.querySelectorAll('text')].map(e => [e.textContent, e.getBoundingClientRect()]);"
        " return t.flatMap(([a, p], i) => t.slice(i + 1).filter(([b, q]) => p.left < q.right - 1 && q.left < p.right - 1 &&"
        " p.top < q.bottom - 5 && q.top < p.bottom - 5).map(([b]) => a + ' / ' + b)); })"
    )
    assert hits == []
    small = page.evaluate(
        "[...document.querySelectorAll('.gm-page *')].filter(e => e.textContent.trim() && e.tagName !== 'SUP'"
        " && parseFloat(getComputedStyle(e).fontSize) < 11).map(e => e.outerHTML.slice(0, 80))"
    )
    assert small == []


def test_the_bar_follows_the_window_and_the_printer(page: Page, address: str) -> None:
    open_page(page, address)
    slider = page.get_by_role("slider", name="utilization")
    for width, shape in ((1440, "wide"), (760, "middle"), (400, "narrow"), (1440, "wide")):
        page.set_viewport_size({"width": width, "height": 900})
        expect(page.locator(f".gm-bar svg.gm-{shape}")).to_be_visible()
        slider.focus()
        page.keyboard.press("ArrowLeft")
        page.wait_for_timeout(600)
        expect(page.locator(".gm-bar svg:visible")).to_have_count(1)
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 700, "height": 1000})  # A4's width at 96 dpi, less its margins
    expect(page.locator(".gm-bar svg:visible")).to_have_count(1)
    expect(page.get_by_role("slider", name="utilization")).to_be_hidden()


def test_one_line_stays_on_top_of_a_phone(page: Page, address: str) -> None:
    page.set_viewport_size({"width": 400, "height": 800})
    open_page(page, address)
    line = page.locator(".gm-mini")
    expect(line).to_contain_text("Fits")
    page.get_by_role("slider", name="utilization").scroll_into_view_if_needed()
    page.locator("[data-part=command]").scroll_into_view_if_needed()
    box = line.bounding_box()
    assert box
    assert -1 <= box["y"] <= 4


def test_copy_says_so(page: Page, address: str) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    open_page(page, address)
    button = page.locator("[data-part=command] [data-copy]")
    button.click()
    expect(button).to_have_text("Copied")
    text = page.evaluate("navigator.clipboard.readText()")
    assert text.startswith("vllm serve zai-org/GLM-5.2-FP8")
    assert "--gpu-memory-utilization 0.9" in text


def test_dark_scheme_is_followed(browser: Browser, address: str) -> None:
    context = browser.new_context(color_scheme="dark", viewport={"width": 1440, "height": 900})
    tab = context.new_page()
    open_page(tab, address)
    tab.wait_for_timeout(200)
    shades = tab.evaluate(
        "['.gm-page', '.gm-s'].map(s => getComputedStyle(document.querySelector(s))).map((c, i) => i ? c.color : c.backgroundColor)"
    )
    assert shades == ["rgb(19, 22, 27)", "rgb(231, 234, 238)"]
    context.close()
