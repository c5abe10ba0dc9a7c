"""The speed part of a report: what is asked, held against the speed model's own answer; null with a reason where there is none."""

import re

import pytest

from glmcalc import Deployment
from glmcalc.present.report import Report
from glmcalc.speed.estimate import speed

BASE = {"gpu": "h200_sxm", "gpus": 8, "tensor_parallel_size": 8, "max_model_len": 131_072, "kv_cache_dtype": "fp8"}
LOAD = {"concurrency": 4, "input_length": 8192, "output_length": 1024}


@pytest.fixture(scope="module")
def band():
    return speed(Deployment(**BASE), 9216, 4, 8192, 1024).tok_s_user


@pytest.mark.parametrize(
    ("end", "factor", "told", "status"),
    [("low", 0.99, "met", "fits"), ("low", 1.01, "not_sure", "marginal"), ("high", 0.99, "not_sure", "marginal"),
     ("high", 1.01, "not_met", "does_not_fit")],
)  # fmt: skip
def test_the_pessimistic_end_decides(band, end, factor, told, status):
    report = Report("Example A", **BASE, **LOAD, min_tok_s_user=getattr(band, end) * factor)
    assert (report.judged.speed, report.judged.status) == (told, status)
    # Memory is one thing and speed another: 4 x 9,216 tokens fit whatever speed is asked.
    assert report.judged.memory == report.to_dict()["verdict"] == "fits"
    page = report.first_page().text
    assert ("Too slow" in page) == (told == "not_met")
    assert ("Speed unsure" in page) == (told == "not_sure")
    own = report.ways().text.split('<div class="gr-way">')[1]
    assert "✓ Fits</b> holds" in own
    assert {"met": "✓", "not_sure": "△", "not_met": "✕"}[told] in own.split("tok/s of one user")[1].split("</dd>")[0]
    assert f"{band.low:.3g} at the pessimistic end" in page


def test_nothing_asked_nothing_said():
    report = Report("Example A", **BASE, **LOAD)
    assert (report.judged.speed, report.judged.status) == ("not_asked", "fits")
    assert "<b>Speed:</b>" not in report.first_page().text
    assert "your need" not in report.speed().text


def test_a_machine_without_a_measurement_says_so():
    report = Report("Example A", gpu="a100_80_sxm", gpus=16, quantization="w4a16", **LOAD, min_tok_s_user=1)
    found = report.case.speed
    assert found is not None
    if found.tok_s_user is None:
        assert report.to_dict()["tok_s_user"] is None
        assert report.to_dict()["tok_s_user_reason"]
    else:
        assert found.records == 0
        assert "o measurement of this stack" in report.speed().text


def test_beyond_what_was_measured_speed_and_first_token_are_null_with_their_reason():
    report = Report(
        "Example A", gpu="b200_sxm", gpus=8, model="nvidia/GLM-5.2-NVFP4", input_length=900_000, min_tok_s_user=5
    )
    said = report.to_dict()
    assert said["tok_s_user"] is None
    assert said["ttft_s"] is None
    assert "200,000" in said["tok_s_user_reason"]
    assert said["ttft_s_reason"]
    assert said["speed_need"] == "not_known"
    assert report.judged.status == "marginal", "a speed that is asked for and not known is no yes"
    assert "No figure" in report.speed().text


def test_the_records_behind_it_are_named():
    report = Report("Example A", **BASE, **LOAD)
    text = report.speed().text
    assert report.case.speed is not None
    assert f"{report.case.speed.records} records" in text
    assert 'href="https://' in text


def test_a_time_s_pessimistic_end_is_the_longer():
    report = Report("Example A", **BASE, **LOAD)
    wait = report.to_dict()["ttft_s"]
    row = report.speed().text.split("(TTFT)")[1].split("</tr>")[0]
    shown = [float(text) for text in re.findall(r'<td class="r">([\d.]+)</td>', row)]
    assert shown == [pytest.approx(wait[end], rel=5e-3) for end in ("high", "mid", "low")]
