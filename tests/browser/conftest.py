"""A served manual and a browser that may speak to it alone."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent.parent
LOOPBACK = ("127.0.0.1", "localhost", "::1")
ARGUMENTS = [
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    # A name that is asked for fails at once and is seen by `asked`, instead of waiting on a network.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def answered(address: str, server: subprocess.Popen[bytes], log: Path, seconds: float = 60) -> str:
    """``address``, once something answers there."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and server.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5) as reply:
                reply.read()
                return address
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise AssertionError(f"no answer from {address}:\n{log.read_text(encoding='utf-8', errors='replace')[-3000:]}")


def end(server: subprocess.Popen[bytes]) -> None:
    """Ask the server to end, its kernels with it; insist when it does not listen."""
    server.terminate()
    try:
        server.wait(15)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """Starts ``python -m …`` with a free port for ``{port}``; gives the address. All end with the session."""
    started = []

    def start(*words: str, **environment: str) -> str:
        port = free_port()
        log = tmp_path_factory.mktemp("server") / "log.txt"
        command = [sys.executable, "-m", *(word.format(port=port) for word in words)]
        with log.open("wb") as out:
            server = subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, **environment}, stdout=out, stderr=out, stdin=subprocess.DEVNULL
            )
        started.append(server)
        return answered(f"http://127.0.0.1:{port}", server, log)

    yield start
    for server in started:
        end(server)


@pytest.fixture(scope="session")
def app(serve: Callable[..., str]) -> str:
    """Address of the manual, served as ``make app`` serves it."""
    return serve("glmcalc", "app", "--port", "{port}", "--no-browser")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert chromium, "these tests need Debian's chromium: apt-get install chromium"
    sandbox = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=[*ARGUMENTS, *sandbox])
        yield opened
        opened.close()


class Visit:
    """A window, with what its pages asked for and complained of."""

    def __init__(self, context: BrowserContext) -> None:
        self.asked: list[str] = []
        self.complaints: list[str] = []
        context.on("request", lambda request: self.asked.append(request.url))
        context.on("console", lambda message: message.type == "error" and self.complaints.append(message.text))
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        self.page: Page = context.new_page()
        self.page.on("websocket", lambda socket: self.asked.append(socket.url))

    def outside(self) -> list[str]:
        """Addresses that were asked for and are not this machine's."""
        local = ("data", "blob", "about", "chrome-error")
        return [
            url for url in self.asked if urlsplit(url).scheme not in local and urlsplit(url).hostname not in LOOPBACK
        ]


@pytest.fixture
def visit(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """A fresh window of 1440 x 900 px. Afterwards: nothing asked of any network, nothing complained of."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-GB", timezone_id="UTC")
    context.set_default_timeout(60_000)
    made = Visit(context)
    yield made
    context.close()
    assert made.outside() == []
    assert made.complaints == []


@pytest.fixture
def page(visit: Visit) -> Page:
    """The page of :func:`visit`."""
    return visit.page
