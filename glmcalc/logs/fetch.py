"""A page of text over HTTP: one request, no redirect, no proxy, within a time and a size."""

from __future__ import annotations

import re
import threading

from glmcalc.facts.errors import InputError
from glmcalc.logs.secrets import MASK, mask

TYPE_CHECKING = False
if TYPE_CHECKING:
    from http.client import HTTPConnection
    from typing import Any
    from urllib.parse import SplitResult


SECONDS = 5.0
LIMIT = 16 << 20
_ALLOWED = "http://host:port/metrics or https://…, answered within 5 s, without redirects, below 16 MiB"


def is_url(text: str) -> bool:
    """Whether ``text`` names a scheme, and so is no path."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) is not None


def shown_url(url: str) -> str:
    """``url`` as it may be printed: no credentials, no query, no control characters, 200 characters at most.

    >>> shown_url("http://ann:hunter22@gpu7:8000/metrics?token=abc")
    'http://[masked]@gpu7:8000/metrics?[masked]'
    """
    text = "".join(char if char.isprintable() else "?" for char in url)
    text = re.sub(r"(?<=://)[^/?#\s]*@", MASK + "@", text)
    text = re.sub(r"\?.*", "?" + MASK, text, flags=re.DOTALL)
    text = mask(text)[0]
    return text if len(text) <= 200 else text[:199] + "…"


def fetch_text(url: str, field: str = "metrics", seconds: float = SECONDS, limit: int = LIMIT) -> str:
    """The body of ``url`` as UTF-8 text.

    Args:
        url: ``http`` or ``https``; a name and password in it are sent as basic authentication.
        field: what the answer to a bad one calls it.
        seconds: time for all of it, name resolution included.
        limit: most bytes of the body.

    Raises:
        InputError: another scheme, a server that is down, slow, answers with an error or a redirect, or sends more than
            ``limit``; never with the URL's credentials in it.
    """
    parts = _split(url, field)
    job = _Job(parts, limit)
    worker = threading.Thread(target=job.run, daemon=True)
    worker.start()
    worker.join(seconds)
    if worker.is_alive():
        job.abandon()
        raise _refused(url, field, f"did not answer in full within {seconds:g} s")
    if job.problem is not None:
        raise _refused(url, field, job.problem)
    try:
        return job.body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _refused(url, field, "did not answer with UTF-8 text") from None


def _refused(url: str, field: str, why: str) -> InputError:
    return InputError(field, shown_url(url), _ALLOWED, f"{field}: {shown_url(url)} {why}. Allowed: {_ALLOWED}.")


def _split(url: str, field: str) -> SplitResult:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        sound = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        raise _refused(url, field, "is no valid URL") from None
    if parts.scheme.lower() not in ("http", "https"):
        raise _refused(url, field, f"has the scheme {parts.scheme!r}, and only http and https are read")
    if not sound or re.search(r"[\x00-\x20\x7f]", url):
        raise _refused(url, field, "is no valid URL")
    return parts


class _Job:
    """One request in a thread of its own, so that not even a slow name server outlasts the time."""

    def __init__(self, parts: SplitResult, limit: int) -> None:
        self._parts, self._limit = parts, limit
        self._sock: Any = None  # kept here: an answer that closes its connection takes the socket away from it
        self.body = b""
        self.problem: str | None = None

    def run(self) -> None:
        """Fetch; what went wrong is kept as a phrase."""
        from http.client import HTTPException

        try:
            self._fetch()
        except (OSError, HTTPException, ValueError, AttributeError) as error:  # AttributeError: abandoned while reading
            reason = getattr(error, "strerror", None) or type(error).__name__
            self.problem = self.problem or f"cannot be read ({reason})"

    def abandon(self) -> None:
        """Close the socket under the thread: it ends at its next read."""
        import contextlib
        import socket

        if self._sock is not None:
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)

    def _fetch(self) -> None:
        connection = self._connect()
        target = (self._parts.path or "/") + (f"?{self._parts.query}" if self._parts.query else "")
        try:
            connection.connect()
            self._sock = connection.sock
            connection.request("GET", target, headers=self._headers())
            answer = connection.getresponse()
            if 300 <= answer.status < 400:
                place = answer.getheader("Location") or ""
                where = f" to {shown_url(place)}" if place else ""
                self.problem = f"redirects{where}, and redirects are not followed: give the address itself"
            elif answer.status != 200:
                self.problem = f"answered with HTTP status {answer.status}"
            elif (answer.getheader("Content-Encoding") or "identity").lower() != "identity":
                self.problem = "answered in a compressed form that was not asked for"
            else:
                self._read(answer)
        finally:
            connection.close()

    def _read(self, answer: Any) -> None:
        taken: list[bytes] = []
        size, promised = 0, answer.length  # bytes by Content-Length; None where it is not stated
        while size <= self._limit:
            part = answer.read(min(65536, self._limit + 1 - size))
            if not part:
                self.body = b"".join(taken)
                if promised is not None and size < promised:  # a read to the end of a cut answer raises nothing
                    self.problem = f"answered with {size:,} of the {promised:,} bytes that it announced"
                return
            taken.append(part)
            size += len(part)
        self.problem = f"sends more than {self._limit >> 20} MiB"

    def _connect(self) -> HTTPConnection:
        import http.client

        secure = self._parts.scheme.lower() == "https"
        make = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        return make(str(self._parts.hostname), self._parts.port, timeout=SECONDS)

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "text/plain, application/json", "Accept-Encoding": "identity", "User-Agent": "glmcalc"}
        if self._parts.username is not None:
            import base64
            from urllib.parse import unquote

            pair = f"{unquote(self._parts.username)}:{unquote(self._parts.password or '')}"
            headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        return headers
