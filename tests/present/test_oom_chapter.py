"""What chapter 4's text says of its simulated tuning, against the simulation."""

import json
from pathlib import Path

from glmcalc import Deployment
from glmcalc.advise.tuning.simulate import simulated_log

CHAPTER = Path(__file__).resolve().parents[2] / "chapters" / "04_oom_workflow.ipynb"
SLOW = Deployment(
    gpu="h200_sxm", tensor_parallel_size=8, kv_cache_dtype="fp8", max_model_len=131_000, max_num_seqs=64,
    gpu_memory_utilization=0.85, speculative_method="mtp", num_speculative_tokens=3,
)  # fmt: skip


def runs(mode):
    return [simulated_log(SLOW, seed=seed, calls=300, need_gib=(7, 12), mode=mode) for seed in range(12)]


def test_the_guides_schedule_does_what_the_text_says():
    prose = "".join("".join(cell["source"]) for cell in json.loads(CHAPTER.read_text(encoding="utf-8"))["cells"])
    assert "seed=8" in prose
    assert "dies at 0.91, then comes back to 0.90" in prose
    everything = runs("guide")
    assert [seed for seed, steps in enumerate(everything) if any(step["died"] for step in steps)] == [8, 9]
    for seed, steps in enumerate(everything):
        top = max(steps, key=lambda step: step["gpu_memory_utilization"])
        if seed not in (8, 9):
            assert top["gpu_memory_utilization"] in (0.9, 0.91)
            assert round(top["free_low_bytes"] / 2**30, 2) <= 2
            assert top["decision"] == "lower"
    eighth = everything[8]
    assert [step["gpu_memory_utilization"] for step in eighth][-2:] == [0.91, 0.9]


def test_the_budgets_schedule_stops_below():
    assert "stops below 0.88" in CHAPTER.read_text(encoding="utf-8")
    for steps in runs("budget"):
        assert len(steps) == 2
        assert steps[-1]["gpu_memory_utilization"] < 0.88
        assert not any(step["died"] for step in steps)
        assert min(step["free_low_bytes"] for step in steps) > 2 * 2**30
