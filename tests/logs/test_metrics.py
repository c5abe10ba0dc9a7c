"""Scrapes and pages: figures of a real server's, and what is refused."""

import contextlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmcalc.facts.errors import InputError
from glmcalc.logs.fetch import fetch_text, shown_url
from glmcalc.logs.metrics import longest, read_metrics

DATA = Path(__file__).resolve().parents[1] / "data"


def scrape(name: str) -> str:
    return (DATA / f"metrics_{name}.prom").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "running", "waiting", "preemptions", "finished"),
    [("idle", 0, 0, 0, 0), ("under_load", 42, 22, 0, 96), ("kv_pressure", 5, 11, 5, 3), ("prefix_hits", 0, 0, 0, 90)],
)
def test_a_real_servers_scrape(name, running, waiting, preemptions, finished):
    (reading,) = read_metrics(scrape(name), 7.0)
    assert (reading.running, reading.waiting) == (running, waiting)
    assert (reading.counters["preemptions"], reading.counters["finished"]) == (preemptions, finished)
    assert reading.time == 7.0
    assert reading.model == "models/tiny-llama"
    assert reading.free_bytes is None  # no GPU in it: not known, and not 0


def test_usage_is_of_the_blocks_without_the_null_block():
    """36 of 39: the server has 40 blocks (its own cache_config_info), of which one is never used."""
    (reading,) = read_metrics(scrape("kv_pressure"))
    assert reading.kv_usage == pytest.approx(36 / (reading.setting("num_gpu_blocks") - 1))


def test_the_longest_request_is_bounded_from_below():
    """The load of that run was 512 prompt and 768 output tokens: both lie above the edge 500."""
    (reading,) = read_metrics(scrape("kv_pressure"))
    assert longest(reading.counters, "prompt") == 500
    assert longest(reading.counters, "generation") == 500
    assert longest({}, "prompt") is None
    assert longest(read_metrics(scrape("idle"))[0].counters, "prompt") == 0


def test_engines_of_one_server_are_added_up():
    text = "\n".join(
        f'vllm:num_preemptions_total{{engine="{n}"}} {n + 1}\nvllm:num_requests_running{{engine="{n}"}} {10 * n}\n'
        f'vllm:kv_cache_usage_perc{{engine="{n}"}} 0.{n}'
        for n in range(3)
    )
    (reading,) = read_metrics(text)
    assert reading.counters["preemptions"] == 6
    assert (reading.running, reading.kv_usage) == (20, 0.2)  # max_num_seqs and the pool are each engine's own


def test_least_free_memory_is_in_mib():
    (reading,) = read_metrics(
        'vllm:num_requests_running 1\nDCGM_FI_DEV_FB_FREE{gpu="0"} 4096\nDCGM_FI_DEV_FB_FREE{gpu="1"} 3072\n'
    )
    assert reading.free_bytes == 3 << 30


def prometheus(*series: tuple[dict[str, str], list[tuple[float, str]]]) -> str:
    rows = [{"metric": metric, "values": [list(value) for value in values]} for metric, values in series]
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": rows}})


def test_a_range_query_is_one_reading_an_instant_in_order():
    labels = {"instance": "gpu7:8000", "engine": "0"}
    text = prometheus(
        ({"__name__": "vllm:num_preemptions_total", **labels}, [(200, "3"), (100, "1"), (300, "NaN")]),
        ({"__name__": "vllm:kv_cache_usage_perc", **labels}, [(100, "0.5"), (200, "0.75"), (300, "0.25")]),
        ({"__name__": "DCGM_FI_DEV_FB_FREE", "instance": "gpu7:9400", "gpu": "0"}, [(200, "2048")]),
    )
    first, second, third = read_metrics(text, time=1e9)
    assert [row.time for row in (first, second, third)] == [100, 200, 300]
    assert [row.kv_usage for row in (first, second, third)] == [0.5, 0.75, 0.25]
    assert (first.counters["preemptions"], second.counters["preemptions"]) == (1, 3)
    assert "preemptions" not in third.counters  # NaN is no figure
    assert (first.free_bytes, second.free_bytes) == (None, 2 << 30)


def test_a_range_over_two_servers_is_refused():
    text = prometheus(
        ({"__name__": "vllm:num_requests_running", "instance": "a"}, [(1, "1")]),
        ({"__name__": "vllm:num_requests_running", "instance": "b"}, [(1, "1")]),
    )
    with pytest.raises(InputError, match="2 servers"):
        read_metrics(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("  \n\t\n", "empty"),
        ("<!doctype html><title>Grafana</title>", "web page"),
        ("this is no metric at all {", "Prometheus text"),
        ('vllm:num_requests_running{engine="0" 1', "Prometheus text"),
        ("{not json", "JSON"),
        ("[]", "query_range"),
        ('{"status":"error","error":"query timed out"}', "query timed out"),
        ('{"status":"success","data":{"result":[]}}', "no vllm"),
        (prometheus(({}, [(1, "1")])), "names no metrics"),
        ("sglang:num_running_reqs 3\n", "sglang"),
        ("node_load1 0.2\n", "vllm:kv_cache_usage_perc"),
        ('{"data":' * 5000, "JSON"),
    ],
)
def test_what_is_no_scrape_is_refused(text, why):
    with pytest.raises(InputError, match=why) as caught:
        read_metrics(text)
    assert caught.value.field == "metrics"
    assert "Allowed" in caught.value.message


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(InputError):
        assert read_metrics("vllm:num_requests_running 1\n" + text)


class Page(BaseHTTPRequestHandler):
    """Answers by path, as badly as asked for."""

    def do_GET(self):
        kind = self.path.split("?")[0].strip("/")
        if kind == "redirect":
            self.send_response(302)
            self.send_header("Location", "http://user:pa55word@127.0.0.1:9/metrics")
            self.end_headers()
        elif kind == "missing":
            self.send_error(404)
        else:
            self.send_response(200)
            if kind in ("whole", "cut"):
                self.send_header("Content-Length", str(len(scrape("idle").encode())))
            self.end_headers()
            getattr(self, kind)()

    def metrics(self):
        self.wfile.write(scrape("idle").encode())

    whole = metrics

    def cut(self):
        """The first half; then the connection ends."""
        body = scrape("idle").encode()
        self.wfile.write(body[: len(body) // 2])

    def echo(self):
        self.wfile.write(str(self.headers.get("Authorization")).encode())

    def binary(self):
        self.wfile.write(b"\xff\xfe\x00\x01")

    def drip(self):
        """A byte now and then: each read succeeds, the whole never ends."""
        try:
            for _ in range(200):
                self.wfile.write(b"#")
                self.wfile.flush()
                time.sleep(0.05)
        except OSError:
            pass

    def gigabyte(self):
        self.server.sent = 0
        try:
            for _ in range(1024):
                self.wfile.write(b"#" * (1 << 20))
                self.server.sent += 1
        except OSError:
            pass

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server():
    made = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    made.daemon_threads = True
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def address(server, path: str, user: str = "") -> str:
    return f"http://{user}127.0.0.1:{server.server_port}/{path}"


def test_a_page_is_read(server):
    assert len(read_metrics(fetch_text(address(server, "metrics")))) == 1


def test_an_answer_shorter_than_it_announced_is_none(server):
    assert fetch_text(address(server, "whole")) == scrape("idle")
    with pytest.raises(InputError, match="bytes that it announced"):
        fetch_text(address(server, "cut"))


def test_a_name_in_the_url_is_sent_as_basic_authentication(server):
    assert fetch_text(address(server, "echo", "ann:s3cret@")) == "Basic YW5uOnMzY3JldA=="


def test_a_redirect_is_named_and_not_followed(server):
    with pytest.raises(InputError, match="redirects to") as caught:
        fetch_text(address(server, "redirect"))
    assert "pa55word" not in caught.value.message


def test_a_slow_page_ends_in_time(server):
    began = time.monotonic()
    with pytest.raises(InputError, match="did not answer in full within"):
        fetch_text(address(server, "drip"), seconds=0.5)
    assert time.monotonic() - began < 2
    assert not [row.name for row in threading.enumerate() if row.name.endswith("(run)") and _still(row)]


def _still(thread: threading.Thread) -> bool:
    thread.join(2)
    return thread.is_alive()


def test_a_gigabyte_is_cut_off(server):
    with pytest.raises(InputError, match="more than 16 MiB"):
        fetch_text(address(server, "gigabyte"))
    assert server.sent < 64


@pytest.mark.parametrize(("path", "why"), [("missing", "HTTP status 404"), ("binary", "UTF-8")])
def test_other_answers_are_refused(server, path, why):
    with pytest.raises(InputError, match=why):
        fetch_text(address(server, path))


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("file:///etc/hostname", "scheme 'file'"),
        ("ftp://127.0.0.1/metrics", "scheme 'ftp'"),
        ("http://", "no valid URL"),
        ("http://127.0.0.1:99999/metrics", "no valid URL"),
        ("http://127.0.0.1:8000/a b", "no valid URL"),
        ("http://127.0.0.1:8000/\r\nHost: evil", "no valid URL"),
        ("http://[::1/metrics", "no valid URL"),
        ("http://127.0.0.1:1/metrics", "cannot be read"),
    ],
)
def test_a_url_that_cannot_be_asked_is_refused(url, why):
    with pytest.raises(InputError, match=why) as caught:
        fetch_text(url)
    assert "\n" not in caught.value.message


@given(st.text(alphabet="qxzQXZ789-_.~%!", min_size=6, max_size=20))
def test_credentials_of_a_url_are_never_shown(word):
    for url in (
        f"http://ann:{word}@gpu7:8000/x", f"http://{word}@gpu7/x", f"http://gpu7/x?auth={word}", f"http://ann:{word}#@gpu7/",
        f"https://ann:{word}@gpu7/x?k={word}&\x1b[31m",
    ):  # fmt: skip
        assert word not in shown_url(url)
        assert "gpu7" in shown_url(url)
        assert shown_url(url).isprintable()


def test_the_error_of_a_url_holds_no_credentials():
    with pytest.raises(InputError) as caught:
        fetch_text("http://ann:hunter22@127.0.0.1:1/metrics?token=abcdef123")
    shown = json.dumps(caught.value.to_dict())
    assert "hunter22" not in shown
    assert "abcdef123" not in shown
