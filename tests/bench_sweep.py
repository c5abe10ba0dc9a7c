"""Deployments a second of a sweep, all fields, against the scalar budget. Run by hand: ``python tests/bench_sweep.py``.

Wall time is what the machine gave; processor time is what the sweep took, and what two idle cores would give together.
"""

from __future__ import annotations

import os
import time

import numpy as np

from glmcalc.budget.plan import plan
from glmcalc.model.deployment import Deployment
from glmcalc.solve.sweep import FIELDS, sweep

ROWS = 1_000_000
RUNS = 3
BASE = Deployment(gpu="h200_sxm", tensor_parallel_size=8, kv_cache_dtype="fp8")


def numbers(rows: int) -> dict[str, np.ndarray]:
    """Random lengths, sequences, batched tokens and utilizations."""
    draw = np.random.default_rng(1)
    return {
        "max_model_len": draw.integers(1, 1_048_577, rows), "max_num_seqs": draw.integers(1, 1025, rows),
        "max_num_batched_tokens": draw.integers(1024, 32_769, rows), "gpu_memory_utilization": draw.uniform(0.5, 0.97, rows),
    }  # fmt: skip


def mixed(rows: int) -> dict[str, np.ndarray]:
    """The same over 18 machines and settings, in no order."""
    draw = np.random.default_rng(2)
    return {
        **numbers(rows), "gpu": draw.choice(["h200_sxm", "b200_sxm", "h100_sxm"], rows),
        "tensor_parallel_size": draw.choice([4, 8, 16], rows), "kv_cache_dtype": draw.choice(["fp8", "bfloat16"], rows),
    }  # fmt: skip


def grid() -> dict[str, np.ndarray]:
    """A grid over 18 machines and settings, as a chapter's search makes it."""
    return {
        "gpu": np.array(["h200_sxm", "b200_sxm", "h100_sxm"])[:, None, None, None, None],
        "tensor_parallel_size": np.array([4, 8, 16])[:, None, None, None],
        "kv_cache_dtype": np.array(["fp8", "bfloat16"])[:, None, None],
        "max_model_len": np.linspace(1024, 1_048_576, 230).astype(int)[:, None],
        "max_num_seqs": np.linspace(1, 1024, 241).astype(int),
    }  # fmt: skip


def main() -> None:
    """Best of some runs of each."""
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before; {len(FIELDS)} fields unless said")
    few = ("status", "stage", "requests_held_low", "available_low_bytes")
    one, many = numbers(ROWS), mixed(ROWS)
    for name, columns, fields, threads in (
        ("one machine", one, FIELDS, 1), ("one machine", one, FIELDS, 2), ("one machine, 4 fields", one, few, 2),
        ("18 groups in no order", many, FIELDS, 1), ("18 groups in no order", many, FIELDS, 2), ("grid of 18 machines", grid(), FIELDS, 2),
    ):  # fmt: skip
        walls, spent = [], []
        for _ in range(RUNS):
            wall, busy = time.perf_counter(), time.process_time()
            swept = sweep(columns, BASE, fields, threads)
            walls.append(time.perf_counter() - wall)
            spent.append(time.process_time() - busy)
        rows = swept["status"].size
        print(f"{name:24} {threads} thread(s): {rows / min(walls) / 1e6:5.2f} M/s by the clock, "
              f"{rows / min(spent) / 1e6:5.2f} M/s of one core's time")  # fmt: skip
    plan(BASE)
    wall = time.perf_counter()
    for length in range(1000, 3000):
        plan(BASE.changed(max_model_len=length))
    print(f"scalar budgets           1 thread:    {2000 / (time.perf_counter() - wall):,.0f} /s by the clock")


if __name__ == "__main__":
    main()
