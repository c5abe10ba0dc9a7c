"""A log of any size and make: bounded memory, the failure found wherever it stands, and what is no log said so."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import random
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glmcalc.advise.diagnose import diagnose
from glmcalc.facts.errors import InputError
from glmcalc.logs.runs import HEAD
from glmcalc.logs.stream import Skimmed, skim
from glmcalc.present.cli import main

SAMPLES = Path(__file__).resolve().parent / "samples"
ROOT = SAMPLES.parents[2]
MIB = 1 << 20


def lines_of(name: str) -> list[bytes]:
    return (SAMPLES / f"{name}.log").read_bytes().splitlines(keepends=True)


RANKS = lines_of("vllm_ranks")
DEATH = next(i for i, line in enumerate(RANKS) if b"WorkerProc hit" in line)
START, END = b"".join(RANKS[:DEATH]), b"".join(RANKS[DEATH:])


def serving(size: int) -> bytes:
    """Lines of a server that serves, all different in their figures."""
    rng = random.Random(3)
    out, made = [], 0
    while made < size:
        out.append(
            b'(APIServer pid=7) INFO:     10.0.%d.%d:%d - "POST /v1/chat/completions HTTP/1.1" 200 OK\n'
            % (rng.randrange(250), rng.randrange(250), rng.randrange(1024, 60000))
        )
        if len(out) % 8 == 0:
            out.append(
                b"(APIServer pid=7) INFO 09-14 11:%02d:%02d [loggers.py:127] Engine 000: Avg prompt throughput: %d.%d tokens/s, Running: %d reqs\n"
                % (rng.randrange(60), rng.randrange(60), rng.randrange(9000), rng.randrange(9), rng.randrange(64))
            )
        made += len(out[-1])
    return b"".join(out)


SERVING = serving(MIB)
QUIET = b'(APIServer pid=7) INFO:     127.0.0.1:40000 - "GET /health HTTP/1.1" 503 Service Unavailable\n' * 10_000
WEAK = b"".join(
    b"(APIServer pid=7) ERROR 09-14 11:02:%02d [serving.py:300] Error: request %d failed; it was aborted\n"
    % (i % 60, i)
    for i in range(10_000)
)
PREEMPTED = b"".join(
    b"(EngineCore pid=80) WARNING 09-14 11:02:%02d [scheduler.py:11] Request %d is preempted by PreemptionMode.RECOMPUTE mode because there is not "
    b"enough KV cache space. total_num_cumulative_preemption=%d\n" % (i % 60, i, i)
    for i in range(5_000)
)
LOGS = {
    "at the end": lambda n: [START, *[SERVING] * n, END],
    "in the middle": lambda n: [START, *[SERVING] * (n // 2), END, *[QUIET] * (n // 2)],
    "after a million repeated lines": lambda n: [START, *[WEAK, PREEMPTED] * (n // 2), END],
    "before a million repeated lines": lambda n: [START, END, *[WEAK] * n],
    "between noise of memory": lambda n: [START, *[b"gauge: memory used %d MiB\n" % i * 9000 for i in range(n)], END, *[QUIET] * 3],
}  # fmt: skip


@pytest.mark.parametrize("where", LOGS)
def test_the_failure_is_found_wherever_it_stands(where: str) -> None:
    blocks = LOGS[where](8)
    whole = b"".join(blocks)
    found = diagnose(io.BytesIO(whole)).to_dict()
    assert found["class"] == "runtime_workspace"
    assert found["lines"] == whole.count(b"\n")
    line = found["evidence"][0]
    assert b"Tried to allocate" in whole.split(b"\n")[line["line"] - 1]


@pytest.mark.parametrize("where", LOGS)
def test_twenty_megabytes_in_bounded_memory(where: str) -> None:
    """By what Python itself allocates, at its peak; three times the text does not take more."""

    def peak(n: int) -> int:
        blocks = LOGS[where](n)
        tracemalloc.start()
        try:
            skimmed = skim(iter(blocks))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
            assert isinstance(skimmed, Skimmed)

    small, large = peak(20), peak(60)
    assert large < 60 * MIB
    assert large < small + 12 * MIB


def test_a_process_stays_small(tmp_path: Path) -> None:
    """The whole command, by what the system says of it: 24 MB of novel text with words of failure in every line."""
    rng = random.Random(5)
    words = [b"memory", b"request", b"Error", b"failed", b"prompt", b"cache", b"weights", b"token", b"user", b"value"]
    path = tmp_path / "novel.log"
    with path.open("wb") as file:
        for start in range(2):
            file.write(START)
            for _ in range(10):
                file.write(
                    b"\n".join(b" ".join(rng.choices(words, k=18)) + b" %x" % rng.getrandbits(60) for _ in range(9000))
                )
            file.write(b"\n" + END if start == 1 else b"\n")
    # VmHWM is the process's own; ru_maxrss would begin at what the parent held when it forked.
    code = (
        "import re, sys; from glmcalc.present.cli import main; code = main(sys.argv[1:]);"
        "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, "diagnose", str(path), "--json"], cwd=ROOT, capture_output=True, text=True, check=True)  # fmt: skip
    assert '"class": "runtime_workspace"' in done.stdout
    peak = int(done.stderr.split()[-1]) * 1024
    assert peak < 200 * 1000 * 1000


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 40_000), min_size=1, max_size=30),
    st.sampled_from(["vllm_ranks", "vllm_fail_len_gt_kv", "llamacpp_start"]),
)
def test_portions_do_not_matter(sizes: list[int], name: str) -> None:
    data = (SAMPLES / f"{name}.log").read_bytes()
    whole = skim([data])
    blocks, at = [], 0
    for size in sizes:
        blocks.append(data[at : at + size])
        at += size
    assert skim([*blocks, data[at:]]) == whole
    assert whole.lines == len(data.splitlines())


def test_short_logs_are_kept_whole() -> None:
    data = (SAMPLES / "vllm_fail_len_gt_kv.log").read_bytes()
    (run,) = skim([data]).runs
    assert [text for _, text in run.lines] == data.decode().splitlines()
    assert [number for number, _ in run.lines] == list(range(1, run.last + 1))
    assert len(data) < HEAD


def test_numbers_are_those_of_the_file() -> None:
    blocks = LOGS["in the middle"](6)
    lines = b"".join(blocks).split(b"\n")
    for run in skim(iter(blocks)).runs:
        for number, text in run.lines:
            assert lines[number - 1].decode() == text


def test_a_line_without_end() -> None:
    """Megabytes without a line end: pieces count as lines, and the failure in them is found."""
    text = START + END
    assert (
        diagnose(io.BytesIO(b"x" * (3 * MIB) + b"\r" + text.replace(b"\n", b"\r"))).to_dict()["class"]
        == "runtime_workspace"
    )
    assert (
        diagnose(io.BytesIO(text.replace(b"\n", b" ") + b"\r" + b"y" * (3 * MIB))).to_dict()["class"]
        == "runtime_workspace"
    )
    assert diagnose(io.BytesIO(b"x" * (3 * MIB))).to_dict()["class"] == "unknown"


@pytest.mark.parametrize("lead", [0, 300, 2000, 6000, 9000, 11_000])
def test_a_failure_across_two_portions(lead: int) -> None:
    """Wherever the portions end: between the frames of the traceback, or right after the deciding line."""
    served = START + serving(2 * MIB)
    at = served.rfind(b"\n", 0, 2 * MIB - lead) + 1
    whole = b"".join([served[:at], END, *[QUIET] * 4])
    blocks = [whole[i : i + MIB] for i in range(0, len(whole), MIB)]
    found = skim(iter(blocks))
    (run,) = found.runs
    kept = {text for _, text in run.lines}
    assert {line.decode() for line in END.splitlines()} <= kept


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
@pytest.mark.parametrize("cut", [0, 1, 2, 3])
def test_encodings(encoding: str, cut: int) -> None:
    text = (SAMPLES / "vllm_fail_len_gt_kv.log").read_text(encoding="utf-8")
    data = ("\ufeff" if encoding in ("utf-16-le", "utf-16-be") and cut % 2 == 0 else "").encode(encoding) + text.encode(
        encoding
    )
    found = diagnose(io.BytesIO(data[cut:])).to_dict()
    assert found["class"] == "startup_kv_too_small"
    assert found["engine_version"] == "0.32.0"


def test_a_log_that_was_truncated_while_it_was_written() -> None:
    """The hole that is left reads as zeros."""
    text = (SAMPLES / "vllm_fail_len_gt_kv.log").read_bytes()
    for hole in (2, 100, 5000, 3 * MIB):
        assert diagnose(io.BytesIO(b"\0" * hole + text)).to_dict()["class"] == "startup_kv_too_small"


def archive(text: bytes) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as file:
        file.writestr("a.log", text)
    return held.getvalue()


TEXT = (SAMPLES / "vllm_ranks.log").read_bytes()
NO_LOGS = {
    "nothing": (b"", "nothing in it"),
    "blanks": (b" \n\n\t\r\n", "nothing in it"),
    "zeros": (b"\0" * 10_000, "binary"),
    "random bytes": (random.Random(1).randbytes(9000), "binary"),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x05\0" + random.Random(2).randbytes(5000), "binary"),
    "a program": (b"\x7fELF\x02\x01\x01" + b"\0" * 9 + random.Random(3).randbytes(5000), "binary"),
    "gzip": (gzip.compress(TEXT), "gunzip"),
    "bzip2": (bz2.compress(TEXT), "bunzip2"),
    "xz": (lzma.compress(TEXT), "xz -dc"),
    "zip": (archive(TEXT), "unzip"),
    "zstd": (b"\x28\xb5\x2f\xfd" + random.Random(4).randbytes(500), "zstd -dc"),
    "lz4": (b"\x04\x22\x4d\x18" + random.Random(5).randbytes(500), "lz4"),
}  # fmt: skip


@pytest.mark.parametrize("name", NO_LOGS)
def test_what_is_no_log_is_refused_by_name(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, word = NO_LOGS[name]
    path = tmp_path / "log"
    path.write_bytes(data)
    assert main(["diagnose", str(path)]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert word in told.err
    assert "Traceback" not in told.err
    with pytest.raises(InputError):
        skim([data[i : i + 7] for i in range(0, len(data), 7)])


def test_places_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (tmp_path, tmp_path / "none.log", "a\0b"):
        assert main(["diagnose", str(path)]) == 2
        assert "Traceback" not in capsys.readouterr().err


OTHERS = {
    "nginx": '10.0.0.1 - - [14/Sep/2026:11:02:03 +0000] "GET /v1/models HTTP/1.1" 502 157 "-" "curl/8.5"\n'
    "2026/09/14 11:02:04 [error] 29#29: *7 connect() failed (111: Connection refused) while connecting to upstream\n"
    "2026/09/14 11:02:05 [crit] 29#29: ngx_slab_alloc() failed: no memory in cache keys zone\n",
    "postgres": "2026-09-14 11:02:03.101 UTC [71] ERROR:  out of memory\n2026-09-14 11:02:03.101 UTC [71] DETAIL:  Failed on request of size 24576 in memory "
    'context "ExecutorState".\n2026-09-14 11:02:03.101 UTC [71] STATEMENT:  SELECT 1\n',
    "npm": "npm ERR! code ELIFECYCLE\nnpm ERR! errno 1\nnpm ERR! app@1.0.0 build: `webpack`\nnpm ERR! Exit status 1\nnpm ERR! This is probably not a problem "
    "with npm.\n",
    "dmesg": "[    0.000000] Linux version 6.8.0-40-generic (buildd@lcy02)\n[    0.012345] Memory: 131832520K/134119884K available\n[    2.345678] nvidia: "
    "loading out-of-tree module taints kernel.\n[   12.345678] EXT4-fs (vda1): mounted filesystem\n",
    "a web application": "[2026-09-14 11:02:03 +0000] [12] [INFO] Starting gunicorn 22.0.0\nTraceback (most recent call last):\n"
    '  File "flask/app.py", line 1473, in wsgi_app\n    response = self.full_dispatch_request()\n  File "shop/views.py", line 12, in cart\n'
    "    total = items['price']\nKeyError: 'price'\n",
    "systemd": "Sep 14 11:02:03 web1 systemd[1]: Started nginx.service - A high performance web server.\nSep 14 11:02:04 web1 sshd[912]: Accepted publickey "
    "for admin from 10.0.0.2 port 52144\nSep 14 11:02:05 web1 CRON[913]: (root) CMD (run-parts /etc/cron.hourly)\n",
    "java": "2026-09-14 11:02:03.123 ERROR 1 --- [main] o.s.boot.SpringApplication : Application run failed\njava.lang.OutOfMemoryError: Java heap space\n"
    "\tat java.base/java.util.Arrays.copyOf(Arrays.java:3537)\n\tat com.example.Shop.main(Shop.java:12)\n",
    "the kernel kills another": "Sep 14 11:02:03 db1 kernel: mysqld invoked oom-killer: gfp_mask=0x140cca(GFP_HIGHUSER_MOVABLE|__GFP_COMP), order=0\n"
    "Sep 14 11:02:03 db1 kernel: oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task=mysqld,pid=812,uid=112\n"
    "Sep 14 11:02:03 db1 kernel: Out of memory: Killed process 812 (mysqld) total-vm:9123456kB, anon-rss:7890123kB, file-rss:0kB\n",
    "node": "<--- Last few GCs --->\nFATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory\n 1: 0xb7c3e0 node::Abort()\n",
    "a book": "It was the best of times, it was the worst of times, it was the age of wisdom.\n" * 40,
    "a table": "a,b,c\n1,2,3\n4,5,6\n",
}  # fmt: skip
GPU_CLASSES = {
    "weights_load", "startup_free_memory", "profile_run_activation", "startup_no_kv_blocks", "startup_kv_too_small", "cuda_graph_capture",
    "runtime_workspace", "runtime_activation",
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_logs_of_other_programs_are_unknown(name: str) -> None:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["diagnose", OTHERS[name]])
    found = diagnose(OTHERS[name]).to_dict()
    assert found["class"] not in GPU_CLASSES, found["evidence"]
    assert (found["class"], code) == ("unknown", 1), found["evidence"]
    assert "class: unknown" in out.getvalue().lower()
