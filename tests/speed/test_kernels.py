"""Attention's time from the kernel tables, against sums that were worked out from them by hand."""

import pytest

from glmcalc.speed.kernels import attention_step_s, full_layer_s, measured_to, shared_layer_s


@pytest.mark.parametrize(
    ("gpu", "context", "every_ms", "shared_ms"),
    [("h200_sxm", 8192, 6.84, 4.80), ("h200_sxm", 200_000, 14.4, 6.8), ("b200_sxm", 200_000, 12.2, 5.4)],
)
def test_all_layers_full_and_21_of_them(gpu, context, every_ms, shared_ms):
    assert attention_step_s(gpu, context, 78, 78) * 1e3 == pytest.approx(every_ms, rel=0.01)
    assert attention_step_s(gpu, context, 78, 21) * 1e3 == pytest.approx(shared_ms, rel=0.015)


def test_carried_on_to_a_million_sharing_is_worth_three_times():
    ratio = attention_step_s("h200_sxm", 1_048_576, 78, 78) / attention_step_s("h200_sxm", 1_048_576, 78, 21)
    assert ratio == pytest.approx(3.0, rel=0.05)
    assert measured_to("h200_sxm") == 200_000


def test_between_lengths_and_where_nothing_was_measured():
    assert full_layer_s("h200_sxm", 98_304) == pytest.approx((0.1175e-3 + 0.1522e-3) / 2)
    assert full_layer_s("mi355x", 8192) is None
    assert shared_layer_s("b300_sxm") is None
    assert attention_step_s("b300_sxm", 8192, 78, 21) is None
    assert attention_step_s("b300_sxm", 8192, 78, 78) is not None
