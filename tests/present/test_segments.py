"""The parts of the bar tile the frame without gap or overlap."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from glmcalc import Deployment, plan
from glmcalc.present.segments import Bar, layout

CASES = [
    {"gpu": "h200_sxm", "max_model_len": 131072, "kv_cache_dtype": "fp8", "max_num_seqs": 256},
    {"gpu": "h200_sxm", "max_model_len": 1048576, "kv_cache_dtype": "fp8", "max_num_seqs": 1},
    {"gpu": "b200_sxm", "max_model_len": 131072},
    {"gpu": "h100_sxm", "max_model_len": 32768},
    {"gpu": "h200_sxm", "max_model_len": 32768, "kv_cache_memory_bytes": 20 << 30},
    {"gpu": "h20_96", "max_model_len": 32768, "gpu_memory_utilization": 0.99},
]


def tiles(bar: Bar) -> None:
    edge = 0
    for part in bar.inside:
        assert part.start == edge
        assert part.end >= part.start
        edge = part.end
    assert bar.outside == () or bar.outside[-1].end == bar.frame
    for before, after in zip(bar.outside, bar.outside[1:]):
        assert before.end == after.start
    if bar.free:
        assert bar.free.start == max(edge, bar.line)
        assert bar.free.end == (bar.outside[0].start if bar.outside else bar.frame)


@pytest.mark.parametrize("settings", CASES, ids=str)
@pytest.mark.parametrize("merged", [False, True])
def test_parts_of_real_plans_tile_the_frame(settings: dict[str, object], merged: bool) -> None:
    data = plan(Deployment(tensor_parallel_size=8, **settings)).to_dict()  # type: ignore[arg-type]
    bar = layout(data, merged)
    assert bar is not None
    tiles(bar)
    inside = sum(part["bytes"] for part in data["per_gpu"]["components"] if part["inside_utilization"])
    drawn = sum(part.size for part in bar.inside if part.name != "unused")
    assert drawn == inside


def test_widths_sum_to_the_frame_when_all_is_given_out(plans: SimpleNamespace) -> None:
    for merged in (False, True):
        bar = layout(plans.fits(), merged)
        assert bar is not None
        assert abs(sum(part.size for part in bar.parts) - bar.frame) <= 16  # the example's GiB are rounded to bytes


def test_merged_parts_print_the_sum_of_the_rows(plans: SimpleNamespace) -> None:
    bar = layout(plans.fits(), merged=True)
    assert bar is not None
    printed = {part.label: part.printed for part in bar.parts}
    assert printed["MTP, load"] == "1.72"
    assert printed["Activation, other"] == "2.37"
    assert printed["Outside the line"] == "1.59"


def test_need_is_marked_only_where_the_pool_is_too_small(plans: SimpleNamespace) -> None:
    fitting, short = layout(plans.fits()), layout(plans.does_not_fit())
    assert fitting is not None
    assert short is not None
    assert fitting.need is None
    assert short.need is not None
    assert short.need[1] - short.need[0] == 16384 * 3502592
    assert short.extent == short.need[1] > short.frame


def test_no_bar_without_memory(plans: SimpleNamespace) -> None:
    plan_without = plans.fits()
    plan_without["per_gpu"].update(memory_bytes=None, utilization_bytes=None)
    assert layout(plan_without) is None
