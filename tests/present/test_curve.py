"""The curve: what its points are, and that it says in words what it draws."""

from __future__ import annotations

import re

from glmcalc import Deployment, plan
from glmcalc.present.curve import Line, Point, curve
from glmcalc.present.curves import LENGTHS, lines

POINTS = tuple(
    Point(length, 380_000 / length, 504_128 / length, 596_000 / length) for length in (8192, 131072, 1048576)
)
HERE = Point(131072, 2.9, 3.846, 4.5)


def deployment() -> Deployment:
    return Deployment(
        gpu="h200_sxm", tensor_parallel_size=8, kv_cache_dtype="fp8", max_model_len=131072, max_num_seqs=256,
        speculative_method="mtp", num_speculative_tokens=3,
    )  # fmt: skip


def test_the_label_says_the_present_point_and_the_others() -> None:
    html = curve(Line("present", POINTS), [Line("DCP 2", POINTS), Line("bf16 KV", (), "refused")], HERE)
    said = re.search(r'aria-label="([^"]+)"', html)
    assert said
    assert "3.8 requests of 131,072 tokens" in said[1]
    assert "DCP 2: 3.8" in said[1]
    assert "bf16 KV: refused" in said[1]


def test_the_present_point_lies_on_its_curve() -> None:
    html = curve(Line("present", POINTS), [], HERE)
    circle = re.search(r'<circle cx="([\d.]+)%" cy="([\d.]+)"', html)
    strokes = [path for path in re.findall(r'<path d="(M[^"]+)"', html) if "Z" not in path]
    assert circle
    assert len(strokes) == 1
    x, y = (float(n) for n in strokes[0][1:].split("L")[1].split())
    inner = re.search(r'<svg x="([\d.]+)%" y="([\d.]+)"', html)
    assert inner
    assert abs(float(circle[2]) - (y + float(inner[2]))) < 0.2
    assert abs(float(circle[1]) - (float(inner[1]) + 100 * x / 340)) < 0.1


def test_labels_are_escaped() -> None:
    assert "<script" not in curve(Line("present", POINTS), [Line("<script>", POINTS)], HERE)


def test_no_points_at_all_still_draws() -> None:
    assert "refused" in curve(Line("present", (), "refused"), [], Point(131072, 0, 0, 0))


def test_points_are_plans() -> None:
    asked = deployment()
    present, others, here = lines(asked, plan(asked))
    assert [point.length for point in present.points] == list(LENGTHS)
    for point in present.points:
        made = plan(asked.changed(max_model_len=point.length))
        assert point.likely == made.kv.pool.max_concurrency
        assert point.low <= point.likely <= point.high
    assert here.likely == plan(asked).kv.pool.max_concurrency
    assert [line.label for line in others] == ["DCP 2", "bf16 KV", "MTP off"]


def test_a_refused_change_has_no_curve() -> None:
    asked = deployment().changed(kv_cache_dtype="bfloat16")
    _, others, _ = lines(asked, plan(asked))
    by_name = {line.label: line for line in others}
    assert by_name["DCP 2"].note == "refused"  # the bf16 sparse kernel of Hopper has no context parallelism
    assert by_name["DCP 2"].points == ()
    assert by_name["fp8 KV"].points


def test_dcp_about_doubles_the_capacity() -> None:
    asked = deployment()
    present, others, _ = lines(asked, plan(asked))
    ratio = others[0].points[2].likely / present.points[2].likely
    assert 1.9 < ratio < 2.1
