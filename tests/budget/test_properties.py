"""What must hold for every deployment, not only for those that were measured."""

from hypothesis import given, settings
from hypothesis import strategies as st

from glmcalc.budget import kv
from glmcalc.budget.plan import plan
from glmcalc.budget.weights import Split, stage_layers, weights_by_stage
from glmcalc.facts.quantity import GIB, Band, combine
from glmcalc.model.checkpoint import load_checkpoint
from glmcalc.model.deployment import Deployment

blocks = st.integers(64 * 100, 64 * 200_000)
lengths = st.integers(1, 1_048_576)
pools = st.integers(0, 200 * GIB)
dcps = st.sampled_from([1, 2, 4, 8])


def deployments():
    return st.builds(
        Deployment,
        gpu=st.sampled_from(["h200_sxm", "b200_sxm", "b300_sxm", "h100_sxm", "rtx_pro_6000"]),
        tensor_parallel_size=st.sampled_from([4, 8, 16]),
        max_model_len=lengths,
        max_num_seqs=st.integers(1, 1024),
        max_num_batched_tokens=st.integers(1024, 32_768),
        gpu_memory_utilization=st.floats(0.3, 1.0),
        kv_cache_dtype=st.sampled_from([None, "fp8", "fp8_ds_mla"]),
        decode_context_parallel_size=st.sampled_from([None, 2]),
        speculative_method=st.sampled_from([None, "mtp"]),
        model=st.sampled_from(["zai-org/GLM-5.2-FP8", "nvidia/GLM-5.2-NVFP4"]),
    )


@given(lengths, pools, dcps, blocks)
def test_the_estimated_length_fits_and_the_next_block_does_not(length, available, dcp, block):
    estimate = kv.estimated_max_model_len(available, block, dcp, 64)
    if estimate:
        assert kv.plan_pool([kv.Stage(block, available)], estimate, dcp).fits
    assert not kv.plan_pool([kv.Stage(block, available)], estimate + 64 * dcp, dcp).fits


@given(lengths, pools, dcps, blocks)
def test_auto_fit_agrees_with_asking(length, available, dcp, block):
    auto = kv.plan_pool([kv.Stage(block, available)], length, dcp, auto_fit=True)
    if auto.fits:
        assert kv.plan_pool([kv.Stage(block, available)], auto.max_model_len, dcp).fits
        assert auto.max_model_len <= length


@given(lengths, lengths, dcps)
def test_blocks_grow_with_length(one, other, dcp):
    short, long = sorted((one, other))
    assert kv.blocks_per_request(short, dcp, 64) <= kv.blocks_per_request(long, dcp, 64)


@given(st.integers(1, 200), st.integers(1, 200))
def test_stages_partition_the_layers(layers, pp):
    if pp > layers:
        return
    stages = stage_layers(layers, pp)
    assert [layer for stage in stages for layer in stage] == list(range(layers))
    assert max(map(len, stages)) - min(map(len, stages)) <= 1


@settings(max_examples=30)
@given(
    st.sampled_from([1, 2, 4, 8, 16]),
    st.booleans(),
    st.sampled_from(["zai-org/GLM-5.2-FP8", "nvidia/GLM-5.2-NVFP4", "zai-org/GLM-5.2"]),
)
def test_more_tensor_parallelism_never_costs_a_gpu_more(tp, mtp, model):
    checkpoint = load_checkpoint(model)
    (one,), (two,) = (weights_by_stage(checkpoint, Split(tp=size, mtp=mtp)) for size in (tp, min(tp * 2, 16)))
    assert two.total <= one.total
    # and never less than its share: what is replicated only adds
    (whole,) = weights_by_stage(checkpoint, Split(mtp=mtp))
    assert one.total * tp >= whole.total


@settings(max_examples=60, deadline=None)
@given(deployments())
def test_components_sum_to_the_utilization_line(deployment):
    made = plan(deployment)
    inside = sum(c.band.likely for c in made.components if c.inside_utilization)
    pool = made.kv.available.likely
    assert inside - max(pool, 0) + pool == made.utilization_bytes
    for component in made.components:
        assert 0 <= component.band.low <= component.band.likely <= component.band.high


@settings(max_examples=60, deadline=None)
@given(deployments(), st.integers(1, 500_000))
def test_a_longer_context_never_frees_memory(deployment, more):
    longer = min(deployment.max_model_len + more, 1_048_576)
    here, there = plan(deployment), plan(deployment.changed(max_model_len=longer))
    assert there.kv.needed_bytes >= here.kv.needed_bytes
    # 262,144 is where the engine itself takes a smaller workspace factor
    if not (here.resolved.max_model_len <= 262_144 < longer):
        assert there.kv.available.likely <= here.kv.available.likely


@settings(max_examples=60, deadline=None)
@given(deployments(), st.floats(0.0, 0.1))
def test_more_utilization_never_shrinks_the_pool(deployment, more):
    higher = min(deployment.gpu_memory_utilization + more, 1.0)
    assert (
        plan(deployment.changed(gpu_memory_utilization=higher)).kv.available.likely
        >= plan(deployment).kv.available.likely
    )


@settings(max_examples=60, deadline=None)
@given(deployments())
def test_the_verdict_agrees_with_the_planner(deployment):
    made = plan(deployment)
    if made.verdict.status == "fits":
        assert made.kv.low.fits
        assert made.kv.pool.fits
    if not made.kv.high.fits and made.verdict.status != "unsupported":
        assert made.verdict.status == "does_not_fit"
    assert (made.verdict.stage is None) == (made.verdict.status in ("fits", "unsupported"))


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9)), min_size=1, max_size=8))
def test_independent_errors_add_less_than_dependent_ones(triples):
    bands = [Band(*sorted(triple)) for triple in triples]
    total = combine(bands)
    assert (
        sum(b.low for b in bands) - len(bands)
        <= total.low
        <= total.likely
        <= total.high
        <= sum(b.high for b in bands) + len(bands)
    )
