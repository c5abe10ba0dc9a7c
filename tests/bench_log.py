"""A log of a gigabyte: time against what Python takes to count its lines, and peak memory. Run by hand; 1 GB of room is needed.

``python tests/bench_log.py [MEGABYTES [FOLDER]]``; ``make bench`` runs it with the default of 1024.
"""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "tests" / "logs" / "samples" / "vllm_ranks.log"
RUNS = 3


def parts() -> tuple[bytes, bytes]:
    """A start, and the death after it."""
    lines = SAMPLE.read_bytes().splitlines(keepends=True)
    at = next(index for index, line in enumerate(lines) if b"WorkerProc hit" in line)
    return b"".join(lines[:at]), b"".join(lines[at:])


def serving() -> bytes:
    """About 8 MB of a server that serves: requests, and its own line about load every few of them."""
    rng = random.Random(1)
    out = []
    for index in range(80_000):
        client = b"10.%d.%d.%d:%d" % (
            rng.randrange(9),
            rng.randrange(250),
            rng.randrange(250),
            rng.randrange(1024, 60_000),
        )
        out.append(b'(APIServer pid=7) INFO:     %s - "POST /v1/chat/completions HTTP/1.1" 200 OK\n' % client)
        if index % 8 == 0:
            figures = (
                rng.randrange(60),
                rng.randrange(60),
                rng.randrange(9000),
                rng.randrange(3000),
                rng.randrange(64),
                rng.randrange(99),
            )
            out.append(
                b"(APIServer pid=7) INFO 09-14 11:%02d:%02d [loggers.py:127] Engine 000: Avg prompt throughput: %d.0 tokens/s, Avg generation "
                b"throughput: %d.0 tokens/s, Running: %d reqs, Waiting: 0 reqs, GPU KV cache usage: %d.0%%, Prefix cache hit rate: 1.0%%\n"
                % figures
            )
    return b"".join(out)


def repeated(word: bytes) -> bytes:
    """A million lines of one shape."""
    return b"".join(word % (index % 60, index) for index in range(1_000_000))


QUIET = b'(APIServer pid=7) INFO:     127.0.0.1:40000 - "GET /health HTTP/1.1" 503 Service Unavailable\n' * 90_000
PREEMPTED = (
    b"(EngineCore pid=80) WARNING 09-14 11:02:%02d [scheduler.py:11] Request %d is preempted by PreemptionMode.RECOMPUTE mode because there is not "
    b"enough KV cache space.\n"
)
FAILED = b"(APIServer pid=7) ERROR 09-14 11:02:%02d [serving.py:300] Error: request %d failed, it was aborted\n"


def logs(size: int) -> Iterator[tuple[str, str, list[tuple[bytes, int]]]]:
    """Name, the right class, and the blocks with how many bytes each fills, in turn."""
    start, end = parts()
    served = serving()
    death = "runtime_workspace"
    yield "failure at the end", death, [(start, 0), (served, size), (end, 0)]
    yield "failure in the middle", death, [(start, 0), (served, size // 2), (end, 0), (QUIET, size // 2)]
    yield "healthy", "healthy", [(start, 0), (served, size)]
    yield (
        "a million lines of preemption and of errors",
        death,
        [(start, 0), (repeated(PREEMPTED) + repeated(FAILED), size), (end, 0)],
    )
    yield "no line end at all", death, [((start + end).replace(b"\n", b" "), 0), (served.replace(b"\n", b" "), size)]


def write(path: Path, blocks: list[tuple[bytes, int]]) -> None:
    """Each block once, or again and again until its bytes are reached."""
    with path.open("wb") as file:
        for block, size in blocks:
            for _ in range(max(1, size // len(block))):
                file.write(block)


def measured(command: list[str]) -> tuple[float, int, str]:
    """Wall seconds, peak memory in bytes of the process itself, what it printed."""
    code = "import os, resource, sys; sys.stdout.flush(); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    begin = time.perf_counter()
    wrapped = f"import subprocess, sys; subprocess.run({command!r}, check=False); {code}"
    done = subprocess.run([sys.executable, "-c", wrapped], cwd=ROOT, capture_output=True, text=True, check=True)
    *shown, peak = done.stdout.splitlines()
    return time.perf_counter() - begin, int(peak) * (1 if sys.platform == "darwin" else 1024), "\n".join(shown)


def main(megabytes: int, folder: str | None) -> None:
    """One line for each log."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        path = Path(name) / "server.log"
        for title, expected, blocks in logs(megabytes * 1_000_000):
            write(path, blocks)
            rows = []
            for _ in range(RUNS if megabytes < 200 else 1):  # in turns, so that what else runs weighs on both alike
                count = measured([sys.executable, "-c", f"print(sum(1 for _ in open({str(path)!r}, 'rb')))"])
                answer = measured([sys.executable, "-m", "glmcalc", "diagnose", str(path), "--json"])
                rows.append(
                    (answer[0] / count[0], count[0], answer[0], answer[1], f'"class": "{expected}"' in answer[2])
                )
            ratio = statistics.median(row[0] for row in rows)
            print(
                f"{title:44} {path.stat().st_size / 1e9:.2f} GB  counted {rows[0][1]:5.2f} s  diagnosed {rows[0][2]:5.2f} s  {ratio:5.2f} x  "
                f"peak {max(row[3] for row in rows) / 1e6:4.0f} MB  {'right' if all(row[4] for row in rows) else 'WRONG'}"
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1024, sys.argv[2] if len(sys.argv) > 2 else None)
