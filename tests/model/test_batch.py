"""Requests and tokens of a step against vLLM's own procedure, written out step by step."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmcalc import Deployment, plan
from glmcalc.facts.errors import InputError
from glmcalc.model.batch import batch_allowed, filled_batch
from glmcalc.model.calibration import Calibration, read_calibration
from glmcalc.model.resolved import resolve
from glmcalc.solve.nearest import nearest_fit

H200 = Deployment(gpu="h200_sxm", tensor_parallel_size=8, kv_cache_dtype="fp8")


def engines(seqs, tokens, length, defaults, chunked):
    """arg_utils.py:_set_default_max_num_seqs_and_batched_tokens_args, then scheduler.py:verify_max_model_len."""
    stated_seqs, stated_tokens = seqs, tokens
    if tokens is None:
        tokens = defaults[1]
    if seqs is None:
        seqs = defaults[0]
    if stated_tokens is None:
        if not chunked:
            tokens = max(length, tokens)
        tokens = min(seqs * length, tokens)
    if stated_seqs is None:
        seqs = min(seqs, tokens)
    refused = (tokens < length and not chunked) or tokens < seqs
    return seqs, tokens, not refused


@given(
    st.none() | st.integers(1, 20_000), st.none() | st.integers(1, 40_000), st.integers(1, 1 << 20),
    st.sampled_from([(1024, 16384), (1024, 8192), (256, 2048)]), st.booleans(),
)  # fmt: skip
def test_defaults_follow_from_each_other_as_in_the_engine(seqs, tokens, length, defaults, chunked):
    made = filled_batch(seqs, tokens, length, defaults, chunked)
    assert (*made, batch_allowed(*made, length, chunked)) == engines(seqs, tokens, length, defaults, chunked)


@pytest.mark.parametrize(
    ("settings", "seqs", "tokens"),
    [
        ({"max_model_len": 131_072}, 1024, 8192),
        ({"max_model_len": 131_072, "enable_chunked_prefill": True}, 1024, 8192),
        ({"max_model_len": 131_072, "enable_chunked_prefill": False}, 1024, 131_072),
        ({"max_model_len": 4096, "enable_chunked_prefill": False}, 1024, 8192),
        ({"max_model_len": "auto", "enable_chunked_prefill": False}, 1024, 1_048_576),
        ({"max_model_len": 4096, "max_num_seqs": 1}, 1, 4096),
        ({"max_model_len": 131_072, "max_num_batched_tokens": 512}, 512, 512),
        ({"max_model_len": 131_072, "gpu": "b200_sxm"}, 1024, 16384),
        ({"max_model_len": 131_072, "gpu": "a100_80_sxm"}, 256, 2048),
    ],
)
def test_what_a_step_takes(settings, seqs, tokens):
    made = resolve(H200.changed(**settings))
    assert (made.max_num_seqs, made.max_num_batched_tokens) == (seqs, tokens)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"enable_chunked_prefill": False, "max_num_batched_tokens": 8192, "max_model_len": 131_072}, "max_num_batched_tokens"),
        ({"max_num_batched_tokens": 512, "max_num_seqs": 513}, "max_num_batched_tokens"),
        ({"max_num_seqs": 10_000}, "max_num_seqs"),
    ],
)  # fmt: skip
def test_what_the_engine_refuses(settings, field):
    with pytest.raises(InputError) as error:
        resolve(H200.changed(**settings))
    assert error.value.field == field


def test_a_prompt_in_one_step_is_budgeted_as_that_step():
    asked = H200.changed(decode_context_parallel_size=8, enable_chunked_prefill=False)
    whole = plan(asked)
    assert whole.verdict.status == "does_not_fit"
    assert whole.verdict.stage == "profile_run_activation"
    stated = plan(asked.changed(enable_chunked_prefill=None, max_num_batched_tokens=1 << 20))
    assert [part.band for part in whole.components] == [part.band for part in stated.components]
    assert "--no-enable-chunked-prefill" in whole.command
    assert any("not chunked" in warning for warning in whole.resolved.warnings)


def test_a_calibration_keeps_what_was_turned_off():
    at = H200.changed(enable_chunked_prefill=False, max_cudagraph_capture_size=0, estimate_cudagraphs=False)
    made = Calibration(at, (), False, 0, 1 << 30, None, None)
    assert read_calibration(made.to_text()).measured_at == at


def test_the_way_out_is_the_flag_itself():
    asked = H200.changed(decode_context_parallel_size=8, enable_chunked_prefill=False)
    assert "--no-enable-chunked-prefill" in plan(asked).verdict.advice
    mend = nearest_fit(plan(asked))
    assert mend is not None
    assert mend.deployment.enable_chunked_prefill is None
    assert mend.plan.verdict.status == "fits"
    assert mend.plan.resolved.max_num_batched_tokens == 8192
