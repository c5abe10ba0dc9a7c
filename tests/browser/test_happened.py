"""The page *What happened?* as the manual serves it: pasted, dropped, typed and linked; hostile logs stay text."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.xdist_group("browser")  # one server, one browser
LOGS = Path(__file__).resolve().parents[1] / "data" / "happened"
COMMAND = "vllm serve zai-org/GLM-5.2-FP8 -tp 8 --max-model-len 1M --kv-cache-dtype fp8 --max-num-seqs 1"


def log(name: str) -> str:
    return (LOGS / f"{name}.log").read_text(encoding="utf-8")


@pytest.fixture
def address(app: str) -> str:
    return f"{app}/voila/render/what_happened.ipynb"


def open_page(page: Page, address: str) -> None:
    page.goto(address)
    page.wait_for_selector(".gm-page[data-later]")


def paste(page: Page, text: str, box: str = "[data-log]") -> None:
    """As a user pastes: by the clipboard, into a focused box."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate("text => navigator.clipboard.writeText(text)", text)
    page.locator(box).focus()
    page.keyboard.press("ControlOrMeta+V")


def test_a_paste_is_answered_on_one_screen(page: Page, address: str) -> None:
    open_page(page, address)
    paste(page, log("workspace"))
    status = page.get_by_role("status")
    expect(status).to_contain_text("Run-time workspace")
    expect(status).to_contain_text("Confidence: high")
    expect(page.locator("[data-note]")).to_contain_text("200 lines read")
    expect(page.locator("[data-part=change] mark")).to_have_text("--max-num-batched-tokens 8192")
    bar = page.locator("[data-part=bar] svg:visible")
    expect(bar).to_have_count(1)
    assert "What died: Kernel scratch, asked 8.00 GiB, 1.13 short." in (bar.get_attribute("aria-label") or "")
    below = 0.0
    for part in ("verdict", "quotes", "change", "bar", "second", "ticket"):
        box = page.locator(f"[data-part={part}]").bounding_box()
        assert box
        assert box["y"] >= below, part
        below = box["y"]
        if part in ("verdict", "quotes", "change", "bar"):
            assert box["y"] + box["height"] <= 900, part
    assert page.evaluate("location.search") == ""


def test_the_ladder_comes_folded_after_the_answer(page: Page, address: str) -> None:
    open_page(page, address + "?gpu=h200_sxm")
    paste(page, log("kv_too_small"))
    summary = page.locator("[data-part=ladder] summary")
    expect(summary).to_contain_text("what to give up, in order")
    expect(page.locator(".gm-ladder")).to_be_hidden()
    summary.press("Enter")
    expect(page.locator(".gm-ladder")).to_be_visible()
    page.get_by_role("button", name="Clear").click()
    expect(summary).to_have_count(0)


def test_the_empty_page_offers_an_example(page: Page, address: str) -> None:
    open_page(page, address)
    expect(page.locator("[data-part=verdict]")).to_contain_text("Three lines to look for")
    expect(page.locator("[data-part=bar] svg")).to_have_count(0)
    page.get_by_role("button", name="Fill in an example").click()
    expect(page.get_by_role("status")).to_contain_text("Run-time workspace")
    assert "sparse_decode_fwd" in page.locator("[data-log]").input_value()
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("[data-part=verdict]")).to_contain_text("Three lines to look for")
    expect(page.locator("[data-log]")).to_have_value("")
    expect(page.locator("[data-log]")).to_be_focused()


@pytest.mark.parametrize(
    ("name", "said"),
    [("unknown", "Not known"), ("healthy", "No failure"), ("not_memory", "Not memory"), ("profile", "Profile run")],
)
def test_each_state_says_its_name(page: Page, address: str, name: str, said: str) -> None:
    open_page(page, address)
    paste(page, log(name))
    expect(page.get_by_role("status")).to_contain_text(said)
    changes = page.locator("[data-part=change] h2")
    expect(changes).to_have_count(0 if name in ("unknown", "healthy") else 1)


def test_a_hostile_log_runs_nothing_and_asks_nothing(page: Page, address: str) -> None:
    """The fixture sees to it that no address outside was asked for."""
    open_page(page, address)
    paste(page, log("hostile"))
    expect(page.locator("[data-part=quotes]")).to_contain_text("<img src=")
    page.wait_for_timeout(300)
    assert page.title() != "ran"
    assert page.locator(".gm-page img, .gm-right script").count() == 0
    shown = page.evaluate(
        "document.querySelector('.gm-right').innerHTML + document.querySelector('[data-part=read]').innerHTML"
    )
    assert "hf_Q7x" not in shown
    assert "[masked]" in shown
    assert "\x1b" not in shown


def test_typing_is_diagnosed_by_the_keyboard(page: Page, address: str) -> None:
    open_page(page, address)
    box = page.get_by_label("Paste or drop a log")
    box.fill(log("not_memory"))
    expect(page.locator("[data-part=verdict]")).to_contain_text(
        "Three lines to look for"
    )  # typing alone starts nothing
    box.press("ControlOrMeta+Enter")
    expect(page.get_by_role("status")).to_contain_text("Not memory")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Diagnose")).to_be_focused()
    box.fill("")
    page.get_by_role("button", name="Diagnose").press("Enter")
    expect(page.get_by_role("status")).to_contain_text("there is nothing in it")
    expect(page.locator("[data-note]")).to_have_text("log: there is nothing in it.")
    assert float(page.evaluate("getComputedStyle(document.querySelector('[data-part=change]')).opacity")) < 0.6


def test_files_are_read_whole_or_not_at_all(page: Page, address: str, tmp_path: Path) -> None:
    open_page(page, address)
    large, larger, binary = tmp_path / "large.log", tmp_path / "larger.log", tmp_path / "core.bin"
    filler = '(APIServer pid=3981) INFO:     127.0.0.1:5000 - "POST /v1/chat/completions HTTP/1.1" 200 OK\n'
    large.write_text(filler * (7_800_000 // len(filler)) + log("workspace"), encoding="utf-8")
    larger.write_text(filler * (8_000_001 // len(filler) + 1), encoding="utf-8")
    binary.write_bytes(bytes(range(256)) * 64)
    chooser = page.locator("[data-file]")
    chooser.set_input_files(large)
    expect(page.get_by_role("status")).to_contain_text("Run-time workspace", timeout=30_000)
    expect(page.locator("[data-note]")).to_contain_text("large.log: ")
    expect(page.locator("[data-log]")).to_have_value("")
    chooser.set_input_files(larger)
    expect(page.locator("[data-note]")).to_contain_text("glmcalc diagnose FILE")
    expect(page.locator("[data-note]")).to_contain_text("Nothing of it was read")
    chooser.set_input_files(binary)
    expect(page.get_by_role("status")).to_contain_text("Bad input")


def test_a_dropped_file_is_read(page: Page, address: str) -> None:
    open_page(page, address)
    page.evaluate(
        "text => { const data = new DataTransfer(); data.items.add(new File([text], 'rank3.log'));"
        " document.querySelector('[data-drop]').dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true})); }",
        log("held_by_others"),
    )
    expect(page.get_by_role("status")).to_contain_text("65.13 GiB")
    expect(page.locator("[data-note]")).to_contain_text("rank3.log")


def test_the_device_is_asked_for_in_place_and_kept_in_the_address(page: Page, address: str) -> None:
    open_page(page, address)
    paste(page, log("kv_too_small"))
    question = page.get_by_label("Which GPU, as the log does not say")
    question.select_option("h200_sxm")
    expect(page.locator("[data-part=bar] svg:visible")).to_have_count(1)
    expect(question).to_have_count(0)
    page.wait_for_function("location.search === '?gpu=h200_sxm'")
    expect(page.get_by_role("link", name="Link to these fields")).to_be_visible()
    expect(page.get_by_label("GPU", exact=True)).to_have_value("h200_sxm")


def test_a_link_brings_the_fields_back(page: Page, address: str) -> None:
    from urllib.parse import quote

    open_page(page, f"{address}?command={quote(COMMAND)}&gpu=h200_sxm")
    expect(page.get_by_role("status")).to_contain_text("Foretold from the command")
    expect(page.get_by_role("textbox", name="Command", exact=True)).to_have_value(COMMAND)


def test_a_bad_query_gives_the_command_s_message(page: Page, address: str) -> None:
    open_page(page, f"{address}?gpu=h2oo")
    expect(page.get_by_role("status")).to_contain_text("h2oo")
    expect(page.locator("[data-error=gpu]")).to_contain_text("h2oo")


def test_markup_in_a_link_stays_text(page: Page, address: str) -> None:
    open_page(page, address + "?gpu=%3Cimg%20src%3Dx%20onerror%3D%22document.title%3D'bad'%22%3E")
    expect(page.locator("[data-part=verdict]")).to_contain_text("<img")
    assert page.title() != "bad"
    assert page.locator(".gm-page img").count() == 0


@pytest.mark.parametrize("width", [400, 700, 900, 1440])
@pytest.mark.parametrize("name", ["workspace", "kv_too_small"])
def test_no_width_overflows_or_lets_labels_collide(page: Page, address: str, width: int, name: str) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    open_page(page, address + "?gpu=h200_sxm")
    paste(page, log(name))
    expect(page.locator("[data-part=bar] svg:visible")).to_have_count(1)
    page.wait_for_timeout(300)
    over = page.evaluate(
        "[...document.querySelectorAll('.gm-page, .gm-page *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1"
        " && !e.closest('svg') && !e.closest('.gm-vh') && getComputedStyle(e.parentElement).overflowX === 'visible')"
        ".map(e => e.className || e.tagName)"
    )
    assert over == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    hits = page.evaluate(
        "[...document.querySelectorAll('.gm-bar svg')].filter(s => s.getBoundingClientRect().width).flatMap(s => {"
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


def test_the_answer_comes_before_what_was_read_on_a_phone(page: Page, address: str) -> None:
    page.set_viewport_size({"width": 400, "height": 800})
    open_page(page, address)
    paste(page, log("workspace"))
    expect(page.locator(".gm-mini")).to_contain_text("--max-num-batched-tokens 8192")
    places = [
        page.locator(f"[data-part={part}]").bounding_box() for part in ("verdict", "change", "bar", "avoid", "read")
    ]
    heights = [place["y"] for place in places if place]
    assert len(heights) == 5
    assert heights == sorted(heights)


def test_copy_gives_the_whole_command(page: Page, address: str) -> None:
    open_page(page, address)
    paste(page, log("workspace"))
    button = page.locator("[data-part=change] [data-copy]")
    button.click()
    expect(button).to_have_text("Copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("vllm serve zai-org/GLM-5.2-FP8")
    assert "--max-num-batched-tokens 8192" in copied
    assert "--host 0.0.0.0" in copied


def test_the_first_page_hands_a_paste_over(app: str, page: Page) -> None:
    page.goto(app)
    paste(page, log("workspace"), "#box")
    page.wait_for_selector(".gm-page[data-state=read]")
    expect(page.get_by_role("status")).to_contain_text("Run-time workspace")
    assert page.evaluate("sessionStorage.length") == 0
    assert page.evaluate("location.search") == ""
    assert page.locator("[data-log]").input_value() == log("workspace")
