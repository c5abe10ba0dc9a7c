"""The promised accuracy of the speed model against published measurements: as fitted, and with each row left out."""

from __future__ import annotations

import json
import math
from functools import cache

import pytest

from glmcalc.facts.store import load_json
from glmcalc.model.checkpoint import load_checkpoint
from glmcalc.model.deployment import Deployment
from glmcalc.speed import fit, fit_decode, fit_prefill, records
from glmcalc.speed.decode import indexer_scan_s
from glmcalc.speed.estimate import speed
from glmcalc.speed.first_token import first_token
from glmcalc.speed.prefill import quadratic_s, scan_s
from glmcalc.speed.presets import band_factor, preset

SWEEP = "ix-"  # InferenceX, a third of the rows
MEDIAN, MEDIAN_OUTSIDE, INSIDE = 0.15, 0.20, 0.90
SHORTEST_SWEEP = 65_536


@cache
def fitted() -> dict[str, float]:
    rows = fit.decode_rows()
    found = fit_decode.fit(rows)
    return dict(zip((row.name for row in rows), fit_decode.seconds(rows, found.values)))


@cache
def left_out() -> dict[str, float]:
    return fit_decode.leave_one_out(fit.decode_rows())


def factor(row) -> float:
    """Half-width of the band that a deployment like this row's gets."""
    return band_factor(max(row.band, preset(row.preset).least_band))


def judged(predicted, rows):
    errors = [abs(row.row["tpot_ms"] / 1e3 / predicted[row.name] - 1) for row in rows]
    inside = [abs(math.log(row.row["tpot_ms"] / 1e3 / predicted[row.name])) <= math.log(factor(row)) for row in rows]
    return sorted(errors)[len(errors) // 2], sum(inside) / len(inside)


@pytest.mark.parametrize("predict", [fitted, left_out], ids=["fitted", "left out"])
def test_decode_over_all_rows_and_outside_the_sweep(predict):
    rows = fit.decode_rows()
    outside = [row for row in rows if not row.name.startswith(SWEEP)]
    assert len(rows) == 76
    assert len(outside) == 48
    median, inside = judged(predict(), rows)
    assert median <= MEDIAN
    assert inside >= INSIDE
    median, inside = judged(predict(), outside)
    assert median <= MEDIAN_OUTSIDE
    assert inside >= INSIDE


def test_bands_are_no_wider_than_promised():
    rows = fit.decode_rows()
    widths = sorted(factor(row) ** 2 for row in rows)
    assert widths[len(widths) // 2] <= 2.5
    wider = {row.preset for row in rows if factor(row) ** 2 > 4.0}
    assert wider == {"vllm_dgx_spark"}  # one row, shown as a single report


def test_a_stack_without_a_preset_is_inside_the_band_that_says_so():
    rows = fit.decode_rows()
    stackless = fit.other_stacks(rows)
    ratios = sorted(abs(math.log(row.row["tpot_ms"] / 1e3 / stackless[row.name])) for row in rows)
    assert ratios[math.ceil(0.9 * len(ratios)) - 1] <= math.log(band_factor("C"))
    assert band_factor("C") ** 2 >= 7


def test_rows_that_were_not_fitted():
    """Prefill apart, H20, MXFP4 with MTP: inside a factor of two; the worst of a report that says it could not reproduce."""
    rows = records.measured("check")
    seconds = fit_decode.seconds(rows, fit_decode.fit(fit.decode_rows()).values)
    off = {row.name: max(s / row.row["tpot_ms"] * 1e3, row.row["tpot_ms"] / s / 1e3) for row, s in zip(rows, seconds)}
    assert len(off) == 7
    assert {name for name, times in off.items() if times > 2.0} <= {"rtxpro-glm52-dcp8"}


def first_tokens():
    """Prompts of one request, or streams of them, up to 64K on NVIDIA."""
    rows = [row for row in fit.prefill_rows() if row.machine.vendor == "NVIDIA" and row.load.requests == 1]
    return [row for row in rows if row.row["input_length"] <= SHORTEST_SWEEP]


def first_token_judged(seconds):
    ratios = [predicted / measured for predicted, measured in zip(seconds, fit_prefill.observed(first_tokens()))]
    errors = sorted(abs(ratio - 1) for ratio in ratios)
    inside = sum(abs(math.log(ratio)) <= math.log(band_factor("ttft_one")) for ratio in ratios)
    return errors[len(errors) // 2], inside / len(ratios)


def test_first_token_of_one_request():
    rows = first_tokens()
    assert len(rows) == 12
    assert band_factor("ttft_one") ** 2 == 4
    median, inside = first_token_judged(fit_prefill.seconds(rows, fit_prefill.fit(fit.prefill_rows()).values))
    assert median <= 0.30
    assert inside >= 0.85
    # Left out, two of the twelve are outside: 757 ms against the 334 ms of the same page's older edition, and the 196 ms
    # of a B300 that its neighbours make 10 times slower.
    alone = fit_prefill.leave_one_out(fit.prefill_rows())
    median, inside = first_token_judged([alone[row.name] for row in rows])
    assert median <= 0.30
    assert inside >= 10 / 12


def test_what_is_committed_is_what_the_fit_gives():
    """Figures to their last digit but one: other builds of numpy's algebra may round the last."""
    committed = load_json("speed_presets.json")
    again = fit.fitted(json.loads(json.dumps(committed)))
    for old, new in zip(committed["rows"], again["rows"]):
        assert {**old, **dict.fromkeys(FIGURES)} == {**new, **dict.fromkeys(FIGURES)}
        for one, other in zip(numbers(old), numbers(new)):
            assert one == pytest.approx(other, rel=0.011)


FIGURES = ("floor_ms", "slope", "scan_factor", "low", "mid", "high", "floor_slope_correlation")


def numbers(row):
    for name in FIGURES:
        if name in row and name != "floor_slope_correlation":
            yield from row[name].values() if isinstance(row[name], dict) else (row[name],)


@pytest.mark.parametrize(
    ("name", "floor", "slope"),
    [
        ("sglang_spring_2026", (12.7, 15.6), (1.13, 1.65)),
        ("sglang_summer_2026_hopper", (6.1, 11.4), (0.77, 1.53)),
        ("sglang_summer_2026_blackwell", (4.3, 7.2), (0.99, 1.68)),
        ("vllm_summer_2026", (6.8, 10.2), (0.7, 1.4)),
        ("sglang_mi300x", (20, 31), (2.9, 4.6)),
        ("tilert_b200", (2.8, 4.3), (0.9, 2.0)),
    ],
)
def test_coefficients_agree_with_another_fit_of_the_same_records(name, floor, slope):
    """Intervals of a fit made apart from this one, with other priors."""
    one = preset(name)
    assert floor[0] <= one.floor_ms.mid <= floor[1]
    assert slope[0] <= one.slope.mid <= slope[1]


@pytest.mark.parametrize(
    ("bandwidth", "at_64k", "at_200k"),
    [(3.35e12, 0.1295, 0.1907), (4.8e12, 0.1175, 0.1850), (7.7e12, 0.0994, 0.1566)],
    ids=["H100", "H200", "B200"],
)
def test_the_scan_follows_the_kernel_tables(bandwidth, at_64k, at_200k):
    """One full layer's milliseconds at 65,536 and 200,000 tokens (ai-dynamo/aiconfigurator, SGLang 0.5.14, batch 1)."""
    slope = (at_200k - at_64k) / 1e3
    assert indexer_scan_s(1, 200_000 - SHORTEST_SWEEP, 1, bandwidth) == pytest.approx(slope, rel=0.2)


def test_the_prompts_square_is_half_again_what_b300_measured():
    """32K costs 47.5 ms more than four times 8K on two GPUs (12,963 and 12,493 tok/s each, vLLM blog of 2026-07-23).

    The form, set on Hopper's chunks, foretells 71: the one check on SM103 that there is, and the size of its error there.
    """
    more = 32768 / (12_493 * 2) - 4 * 8192 / (12_963 * 2)
    b = quadratic_s("sm103", 4500e12)
    predicted = scan_s(21, 32768, b, 1, 1) - 4 * scan_s(21, 8192, b, 1, 1)
    assert more == pytest.approx(0.0475, rel=0.02)
    assert predicted == pytest.approx(0.0710, rel=0.05)


def as_a_user_says_it(row) -> Deployment | None:
    """The deployment of a row; None where its checkpoint is not known or its software is no engine of this manual."""
    said = row.row
    own = load_checkpoint(said["model"]).recipe.fmt == said["weights"]
    if not own or said["engine"] not in ("vllm", "sglang"):
        return None
    inside = said["dp"] > 1
    version = said["engine_version"] if str(said["engine_version"]).startswith("v") else None
    return Deployment(
        model=said["model"],
        gpu=said["gpu"],
        engine=said["engine"],
        tensor_parallel_size=said["gpus"],
        decode_context_parallel_size=said["dcp"] if said["dcp"] > 1 else None,
        data_parallel_size=said["dp"] if inside else None,
        enable_dp_attention=inside or None,
        speculative_method="mtp" if said["drafts"] else None,
        num_speculative_tokens=said["drafts"] or None,
        available_kv_bytes=64 << 30
        if said["gpu"] == "dgx_spark_gb10"
        else None,  # the budget holds its weights to be too large
        kv_cache_dtype="fp8_ds_mla" if said["engine"] == "vllm" else None,
        **({"engine_version": version} if version else {}),
    )


def test_the_public_answer_keeps_the_promise_too():
    """Each row asked as a user would: flags, lengths, and the acceptance where it was stated."""
    errors, inside, widths = [], [], []
    for row in fit.decode_rows():
        asked = as_a_user_says_it(row)
        if asked is None:
            continue
        said = row.row
        lengths = {name: said[name] for name in ("input_length", "output_length") if said[name]}
        stated = said["acceptance_length"] if said["drafts"] and said["acceptance_basis"] != "assumed" else None
        found = speed(asked, round(row.load.context), row.load.requests, acceptance_length=stated, **lengths)
        measured = 1000 / said["tpot_ms"]
        errors.append(abs(found.tok_s_user.mid / measured - 1))
        inside.append(found.tok_s_user.low <= measured <= found.tok_s_user.high)
        if found.basis != "a single report":
            widths.append(found.tok_s_user.width)
    assert len(errors) >= 55
    assert sorted(errors)[len(errors) // 2] <= MEDIAN
    assert sum(inside) / len(inside) >= INSIDE
    assert sorted(widths)[len(widths) // 2] <= 2.5
    assert max(widths) <= 4.0 + 1e-9


def test_the_public_first_token_holds_its_rows():
    """One prompt of 8K on eight GPUs under both engines' records: each published time is inside the printed band."""
    rows = [row for row in records.measured("ttft") if row.load.requests == 1]
    assert len(rows) == 7
    for row in rows:
        found = speed(as_a_user_says_it(row), 9216, 1, input_length=row.row["input_length"], output_length=1024)
        assert found.ttft_s.low <= row.row["ttft_ms"] / 1e3 <= found.ttft_s.high, row.name


def test_first_token_elsewhere_is_inside_its_stated_width():
    """Several requests, AMD and a prompt of 180,000 tokens on MI300X that was not fitted."""
    coefficients = fit_prefill.fit(fit.prefill_rows()).values
    rows = [row for row in fit.prefill_rows() if row not in first_tokens()]
    rows += [row for row in records.measured("ttft_check") if row.name == "vllm-39168-mi300x-180k"]
    assert len(rows) == 6
    for row, predicted, seconds in zip(rows, fit_prefill.seconds(rows, coefficients), fit_prefill.observed(rows)):
        assert abs(math.log(predicted / seconds)) <= math.log(band_factor("ttft_other")), row.name


def test_first_tokens_that_the_formula_misses_have_no_figure():
    """H20 prefills 3.5 to 4 times faster, MI300X's prompts of 1,000 tokens contradict each other: none is printed."""
    missed = [row for row in records.measured("ttft_check") if row.name != "vllm-39168-mi300x-180k"]
    assert len(missed) == 4
    for row in missed:
        said = row.row
        found = first_token(row.machine, said["input_length"], row.load.requests, "B", waiting=False)
        assert found[0] is None, row.name
        assert found[1]
