"""What sharing is worth, held to printed logs, to sums worked out by hand from the kernel tables, and to what must always hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmcalc.facts.errors import InputError
from glmcalc.solve import indexshare as rows
from glmcalc.speed import flops, sharing
from glmcalc.speed.sharing import case

FP8 = "zai-org/GLM-5.2-FP8"
H200 = case(FP8, "h200_sxm", "fp8_ds_mla")
CONTEXTS = st.integers(1, 1 << 20)
REQUESTS = st.integers(1, 256)


@pytest.mark.parametrize(
    ("kv_record", "shared", "every"),
    [("fp8_ds_mla", 53_940, 61_464), ("fp8_e4m3", 47_700, 55_224), ("bf16", 92_628, 100_152), ("nvfp4_ds_mla", 30_228, 37_752)],
)  # fmt: skip
def test_bytes_of_a_token(kv_record: str, shared: int, every: int) -> None:
    """As the engines' logs have them: vLLM 0.26 and later, and before; SGLang after #30531, and before."""
    c = case(FP8, "h200_sxm", kv_record)
    assert (sharing.stored_bytes(c, 21), sharing.stored_bytes(c, 78)) == (shared, every)
    assert (c.indexers, c.layers) == (21, 78)


def test_the_change_that_sglang_measured() -> None:
    """Pull request 30531 printed 55,225 and 47,702 bytes a token, 16.62 % more tokens of them and of a lighter rank."""
    c = case("nvidia/GLM-5.2-NVFP4", "gb300_nvl72", "fp8_e4m3")
    assert sharing.stored_bytes(c, 78) == pytest.approx(55_225, abs=3)
    assert sharing.stored_bytes(c, 21) == pytest.approx(47_702, abs=3)


def test_every_log_agrees_with_one_count_to_a_fiftieth_of_a_per_cent() -> None:
    found = rows.log_rows()
    assert {row["agrees"] for row in found} == {21, 78}
    assert max(abs(row["error_pct"]) for row in found) <= 0.02
    by_name = {row["id"]: row["agrees"] for row in found}
    assert by_name["gb200x4-nvfp4-819k"] == 21
    assert by_name["sglang-30531-main"] == 78


@given(CONTEXTS, REQUESTS)
def test_what_is_not_read_is_the_shared_layers_keys(context: int, requests: int) -> None:
    spared = sharing.read_bytes(H200, 78, context, requests) - sharing.read_bytes(H200, 21, context, requests)
    assert spared == pytest.approx(57 * 132 * context * requests)


def test_heads_are_divided_and_latents_are_not() -> None:
    assert sharing.dense_bytes(H200) * 8 == 638_976
    assert sharing.dense_bytes(H200, 64) * 8 == 5_111_808
    alone = case(FP8, "h200_sxm", "fp8_ds_mla", ranks=1)
    assert sharing.dense_bytes(alone) == 638_976
    assert sharing.stored_bytes(alone, 21) == sharing.stored_bytes(H200, 21)


@pytest.mark.parametrize(
    ("gpu", "context", "every_ms", "shared_ms"),
    [("h200_sxm", 8192, 6.84, 4.80), ("h200_sxm", 200_000, 14.4, 6.8), ("b200_sxm", 200_000, 12.2, 5.4)],
)
def test_attention_of_one_request(gpu: str, context: int, every_ms: float, shared_ms: float) -> None:
    c = case(FP8, gpu, "fp8_e4m3")
    every, shared = sharing.attention_s(c, 78, context), sharing.attention_s(c, 21, context)
    assert every is not None
    assert shared is not None
    assert every * 1e3 == pytest.approx(every_ms, rel=0.01)
    assert shared * 1e3 == pytest.approx(shared_ms, rel=0.015)


def test_a_batch_reads_far_better_than_one_request() -> None:
    """Tables of the same kernels at batch 16: about 2.2 TB/s of the indexers' keys, where one request reads 0.26 to 0.31."""
    ours = sharing.attention_s(H200, 78, 200_000, 16)
    start = sharing.attention_s(H200, 78, 1024, 1)
    assert ours is not None
    assert start is not None
    assert 78 * 132 * 200_000 * 16 / (ours - start) / 1e12 == pytest.approx(2.2, rel=0.3)


@given(CONTEXTS, REQUESTS)
def test_sharing_never_costs_and_more_never_takes_less(context: int, requests: int) -> None:
    ours, every = (sharing.attention_s(H200, n, context, requests) for n in (21, 78))
    assert ours is not None
    assert every is not None
    assert 0 < ours < every
    more = sharing.attention_s(H200, 21, context, requests + 1)
    assert more is not None
    assert more > ours
    step = sharing.step_s(H200, context, requests)
    assert step is not None
    assert step[1] - step[0] == pytest.approx(every - ours)
    assert step[0] > 5e-3  # nothing makes a step quicker than its floor


@given(st.floats(0.02, 0.6))
def test_the_length_at_which_a_share_is_saved(share: float) -> None:
    context = rows.context_of_saving(H200, share)
    assert context is not None
    if context >= 2048:
        ratio = flops.sharing_ratio(flops.work_of(H200.checkpoint), context, 78)
        assert 1 - 1 / ratio == pytest.approx(share)


def test_where_thirty_per_cent_of_flops_are_saved() -> None:
    assert rows.context_of_saving(H200, 0.3) == pytest.approx(111_000, rel=0.02)
    assert rows.context_of_saving(H200, 0.75) is None  # more than all shared indexers do
    assert rows.context_of_saving(case("zai-org/GLM-5.1-FP8", "h200_sxm", "bf16"), 0.3) is None


@pytest.mark.parametrize(
    ("model", "gpu"),
    [(FP8, "mi355x"), (FP8, "b300_sxm"), (FP8, "tpu_v7x"), ("deepseek-ai/DeepSeek-V3.2", "h200_sxm")],
)
def test_what_was_not_measured_is_unknown(model: str, gpu: str) -> None:
    """No table, no table of shared layers, no bandwidth; and a family of another number of heads."""
    c = case(model, gpu, "bf16")
    assert sharing.attention_s(c, c.indexers, 8192) is None
    assert sharing.step_s(c, 8192) is None


@pytest.mark.parametrize(
    ("model", "gpu", "kv_record", "field"),
    [("deepseek-ai/DeepSeek-V3", "h200_sxm", "bf16", "model"), (FP8, "h200_sxm", "fp4", "kv_record"), (FP8, "h20", "bf16", "gpu")],
)  # fmt: skip
def test_refused(model: str, gpu: str, kv_record: str, field: str) -> None:
    with pytest.raises(InputError) as refused:
        case(model, gpu, kv_record)
    assert refused.value.field == field
