"""The calculator against bare Voila pages, in one run: time to its answer, and a slider's way to a redrawn bar.

The bare pages are made here: one that holds a slider, one where a label echoes it. All are served by one Voila with a
cold kernel each, and driven by one headless Chromium in turns.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
ECHO = """import ipywidgets as w
s, l = w.IntSlider(50), w.Label("0")
l.add_class("echoed")
s.observe(lambda change: setattr(l, "value", str(change["new"])), "value")
w.VBox([s, l])"""
SLIDER = "import ipywidgets as w\nw.IntSlider()"
LISTEN = """([watched]) => {
  window.begun = 0; window.times = [];
  document.addEventListener("keydown", () => { window.begun = performance.now(); }, true);
  new MutationObserver(() => {
    if (window.begun) { window.times.push(performance.now() - window.begun); window.begun = 0; }
  }).observe(document.querySelector(watched), {childList: true, subtree: true, characterData: true});
}"""
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
READY = ".gm-page [data-part=bar] svg"
CHARTS = ".gm-page [data-part=curve] svg"
ROUNDS, PRESSES = 5, 24


def notebook(source: str) -> str:
    """A notebook of one cell."""
    cell = {"cell_type": "code", "id": "only", "metadata": {}, "source": source, "outputs": [], "execution_count": None}
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}, "voila": {"template": "glm"}}
    return json.dumps({"cells": [cell], "metadata": kernel, "nbformat": 4, "nbformat_minor": 5})


def ready(browser: Browser, address: str, *marks: str) -> list[float]:
    """Seconds from navigation to each mark, in a context of its own."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    begin = time.perf_counter()
    page.goto(address, wait_until="commit")
    found = []
    for mark in marks:
        page.wait_for_selector(mark, state="attached", timeout=60_000)
        found.append(time.perf_counter() - begin)
    context.close()
    return found


def latency(browser: Browser, address: str, handle: str, watched: str) -> float:
    """Median milliseconds from a key on ``handle`` to a change in ``watched``."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(address)
    page.wait_for_selector(handle, timeout=60_000)
    page.wait_for_timeout(1500)
    page.evaluate(LISTEN, [watched])
    page.locator(handle).first.focus()
    for press in range(PRESSES):
        page.keyboard.press("ArrowLeft" if press % 12 < 6 else "ArrowRight")
        page.wait_for_timeout(900)
    times = page.evaluate("window.times")
    page.close()
    return float(statistics.median(times))


def page() -> None:
    """Print the ratios."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(ROOT / "chapters" / "calculator.ipynb", folder)
        Path(folder, "slider.ipynb").write_text(notebook(SLIDER), encoding="utf-8")
        Path(folder, "echo.ipynb").write_text(notebook(ECHO), encoding="utf-8")
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        command = [
            sys.executable,
            "-m",
            "voila",
            folder,
            f"--port={port}",
            "--no-browser",
            "--template=glm",
            "--Voila.ip=127.0.0.1",
        ]
        environment = {**os.environ, "JUPYTER_PATH": str(ROOT / "glmcalc" / "present" / "jupyter")}
        server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        base = f"http://127.0.0.1:{port}/"
        try:
            _wait(base)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
                _print(browser, f"{base}voila/render/")
                browser.close()
        finally:
            server.terminate()
            server.wait()


def _wait(address: str) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(address, timeout=2).read()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("the server does not answer")


def _print(browser: Browser, base: str) -> None:
    bare, calculator = [], []
    for _ in range(ROUNDS):
        bare.append(ready(browser, f"{base}slider.ipynb", ".noUi-handle")[0])
        calculator.append(ready(browser, f"{base}calculator.ipynb", READY, CHARTS))
    one = statistics.median(bare)
    answer, charts = (statistics.median(row[index] for row in calculator) for index in (0, 1))
    print(f"page with one slider               {one:7.2f} s")
    print(f"calculator: controls and verdict   {answer:7.2f} s   {answer / one:.2f} x")
    print(f"calculator: every chart            {charts:7.2f} s   {charts / one:.2f} x")
    echoes, sliders = [], []
    for _ in range(3):
        echoes.append(latency(browser, f"{base}echo.ipynb", ".noUi-handle", ".echoed"))
        sliders.append(
            latency(browser, f"{base}calculator.ipynb", "[data-slider=gpu_memory_utilization]", "[data-part=bar]")
        )
    echo, slider = statistics.median(echoes), statistics.median(sliders)
    print(f"echo widget, key to label          {echo:7.1f} ms")
    print(f"calculator, key to redrawn bar     {slider:7.1f} ms  {slider / echo:.2f} x")


if __name__ == "__main__":
    page()
