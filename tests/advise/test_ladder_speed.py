"""A step's speed cost by the model: only where records stand behind both sides, and only where the model sees a difference."""

import pytest

from glmcalc import Deployment, plan
from glmcalc.advise.ladder_speed import cost_by_model

BASE = Deployment(gpu="h200_sxm", tensor_parallel_size=8, kv_cache_dtype="fp8", max_model_len=131000, max_num_seqs=64)
MTP = BASE.changed(speculative_method="mtp", num_speculative_tokens=3)


def test_mtp_off_is_slower_by_what_acceptance_lengths_say():
    """Acceptance 2.99 at depth 3 (InferenceX), and a step that is dearer by drafting: between 1.5 and 3 times slower."""
    cost = cost_by_model(plan(MTP), plan(BASE))
    assert cost is not None
    percent = float(cost["cost"].split("%")[0])
    assert 100 / 3 - 100 < percent < 100 / 1.5 - 100
    assert "tok/s of one user" in cost["cost"]


@pytest.mark.parametrize("changes", [{"max_num_batched_tokens": 4096}, {"max_num_seqs": 16}])
def test_a_step_that_decode_does_not_feel_has_no_figure(changes):
    assert cost_by_model(plan(BASE), plan(BASE.changed(**changes))) is None


def test_hardware_without_records_has_no_figure():
    other = Deployment(
        model="zai-org/GLM-5.2-FP8", gpu="h20_141", tensor_parallel_size=8, kv_cache_dtype="fp8", max_model_len=32000
    )
    rich = other.changed(speculative_method="mtp", num_speculative_tokens=3)
    cost = cost_by_model(plan(rich), plan(other))
    assert cost is None
