"""Ratios of one run on this machine: the command against a bare Python and another planner, the page against bare ones,
a log of a gigabyte against counting its lines.

Run by hand (``make bench``); nothing here is asserted by clock in the tests. ``LLM_MEM=/path/to/llm-mem`` adds the
comparison with llm-mem-planner 0.2.2.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMMAND = "vllm serve zai-org/GLM-5.2-FP8 -tp 8 --kv-cache-dtype fp8 --max-model-len 131072 --max-num-seqs 64"
RUNS = 15
NAMES = (
    "budget --json, fits", "budget --json, with a mend", "budget --json, plain flags", "budget --json, weights do not load",
    "budget --json, nothing mends it", "llm-mem 0.2.2",
)  # fmt: skip


def seconds(*rows: list[str]) -> list[float]:
    """Median wall time of each command, taken in turns so that what else runs weighs on all alike."""
    times: list[list[float]] = [[] for _ in rows]
    for _ in range(RUNS):
        for index, row in enumerate(rows):
            begin = time.perf_counter()
            subprocess.run(row, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
            times[index].append(time.perf_counter() - begin)
    return [statistics.median(values) for values in times]


def command_line() -> None:
    """Cold ``glmcalc budget … --json``, whole process."""
    bare = [sys.executable, "-c", "pass"]
    fits = [sys.executable, "-m", "glmcalc", "budget", COMMAND, "--gpu", "h200_sxm", "--json"]
    mends = [*fits[:4], COMMAND.replace("131072", "1M"), *fits[5:]]
    flags = [*fits[:4], "--gpus", "8", *COMMAND.split()[5:], *fits[5:]]
    h100 = [*fits[:4], "--gpu", "h100_sxm", "--gpus", "8", "--max-model-len", "131072", "--json"]
    hopeless = [*fits[:4], "--gpu", "rtx_5090", "--gpus", "8", "--json"]
    other = os.environ.get("LLM_MEM")
    rows = [bare, fits, mends, flags, h100, hopeless]
    if other:
        config = ROOT / "data" / "models" / "GLM-5.2.json"
        rows.append([other, "--config", str(config), "--seq-len", "131072", "--batch", "1", "--tp", "8", "--weight-dtype", "fp8",
                     "--kv-dtype", "fp8", "--gpu-mem-gib", "141", "--mem-fraction", "0.9", "--out-md", os.devnull])  # fmt: skip
    found = seconds(*rows)
    print(f"python -c pass                     {1000 * found[0]:7.1f} ms")
    for name, value in zip(NAMES, found[1:]):
        print(f"{name:34} {1000 * value:7.1f} ms  {value / found[0]:.2f} x python -c pass")
    if other:
        print(f"{'budget against llm-mem':34} {found[1] / found[-1]:.2f} x")


if __name__ == "__main__":
    command_line()
    try:
        from bench_page import page
    except ImportError as error:
        print(f"page: not measured ({error})")
    else:
        page()
    from bench_log import main as log

    log(1024, None)
