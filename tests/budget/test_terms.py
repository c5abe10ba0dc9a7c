"""Terms of the budget worked by hand: GLM-5.2-FP8 (vocabulary 154,880, hidden size 6,144) on 8 x H200 unless it says so.

The sizes are written out from the model's config and the rule in the docstring, never from the code's own output.
"""

import math
import re

import pytest

from glmcalc import Deployment, plan
from glmcalc.budget import kv, weights
from glmcalc.budget.margins import margins
from glmcalc.facts.quantity import GIB, KIB, MIB, Band
from glmcalc.model.checkpoint import load_checkpoint
from glmcalc.solve.nearest import nearest_fit

FP8 = load_checkpoint("zai-org/GLM-5.2-FP8")


def made(**settings):
    base = {
        "gpu": "h200_sxm",
        "tensor_parallel_size": 8,
        "max_model_len": 131_072,
        "max_num_seqs": 64,
        "kv_cache_dtype": "fp8",
    }
    return plan(Deployment(**{**base, **settings}))  # fmt: skip


def band(result, name):
    found = result.component(name).band
    return found.low, found.likely, found.high


def test_the_sampler_pass_of_a_thousand_sequences():
    """fp32 logits of every sequence, 3 copies (1 to 10): 1,024 x 154,880 x 4 B each; the forward pass is smaller here."""
    copy = 1024 * 154_880 * 4
    forward = [GIB // 2 + 8192 * each * KIB for each in (40, 80, 240)]
    assert forward[1] < 3 * copy
    assert band(made(max_num_seqs=1024), "activation_peak") == (max(forward[0], copy), 3 * copy, 10 * copy)
    assert band(made(), "activation_peak") == tuple(forward)  # 64 sequences: the forward pass decides


def test_late_buffers_and_what_graphs_take_above_their_estimate():
    """64 MiB of expanded block table, 2 x 72 of workspace, 2 x 0.5 of block tables; 34 % of 30 graphs of 45 MiB on top."""
    exact = (64 + 2 * 72 + 2 * 0.5) * MIB
    assert band(made(), "late_buffers") == (exact, exact, exact + round(0.34 * 30 * 45 * MIB))


def test_graphs_follow_the_releases_cap():
    """512 everywhere but on SM10x from 0.33.0 on, where it is 1,024: 51 + 51 and 83 + 83 sizes at 1,024 sequences."""
    b200 = {"gpu": "b200_sxm", "max_num_seqs": 1024}
    assert band(made(max_num_seqs=1024), "cuda_graphs")[1] == 102 * 45 * MIB
    assert band(made(**b200), "cuda_graphs")[1] == 166 * 40 * MIB
    assert band(made(**b200, engine_version="0.26.0"), "cuda_graphs")[1] == 102 * 45 * MIB


def test_the_drafters_own_embedding_under_pipeline_parallelism():
    """The last stage has no embedding to share: 154,880 / 8 rows of 6,144 in bf16 beside the MTP layer."""
    alone = weights.weights_by_stage(FP8, weights.Split(tp=8, mtp=True))[-1].mtp
    staged = weights.weights_by_stage(FP8, weights.Split(tp=8, pp=2, mtp=True))[-1].mtp
    assert staged - alone == 154_880 // 8 * 6144 * 2


def test_whole_copies_of_dense_and_shared_experts_where_the_sequence_is_split():
    """TP 4 x DP 2 with expert parallelism may keep them whole: what a rank then has above its quarter.

    FP8 with a scale for 128 x 128: 3 matrices of 2,048 x 6,144 in 75 layers, and of 12,288 x 6,144 in 3.
    """

    def stored(rows):
        return rows * 6144 + 4 * (rows // 128) * 48

    shared, dense = (stored(2048) - stored(512)) * 3 * 75, (stored(12_288) - stored(3072)) * 3 * 3
    split = weights.Split(tp=4, dp=2, ep=True)
    assert weights.weights_by_stage(FP8, split)[0].repeated_if_sequence_parallel == shared + dense


def test_what_is_left_for_graphs_and_for_serving():
    """Beyond the line, less context and NCCL: graphs may use the profile's peak again, the peaks of serving may not."""
    result = made(gpu_memory_utilization=0.95)
    parts = {part.name: part.band for part in result.components}
    pools = (result.kv.low.figures, result.kv.pool.figures, result.kv.high.figures)
    *_, capture, serving = margins(result.resolved, parts, pools, result.memory)
    slack = result.memory.likely - math.ceil(result.memory.likely * 0.95)
    context, late, peak = parts["context_nccl"], parts["late_buffers"], parts["unprofiled_transients"]
    assert capture.band.low == slack - context.high - late.high + parts["activation_peak"].low
    assert serving.band.low == slack - context.high - late.likely - peak.high
    assert serving.band.high == slack - context.low - late.low - peak.low


def test_a_release_that_is_not_known_has_a_wider_pool():
    known, newer = made(), made(engine_version="0.34.0")
    below = [one.kv.available.likely - one.kv.available.low for one in (known, newer)]
    assert below[1] == pytest.approx(1.25 * below[0], abs=2)


def test_the_utilization_that_is_advised_fits():
    result = made(gpu_memory_utilization=0.98, max_num_seqs=256)
    assert result.verdict.stage in ("runtime_activation", "cuda_graph_capture")
    advised = float(re.search(r"--gpu-memory-utilization to ([\d.]+)", result.verdict.advice)[1])
    assert advised < 0.98
    assert made(gpu_memory_utilization=advised, max_num_seqs=256).verdict.status == "fits"
    assert made(gpu_memory_utilization=advised + 0.01, max_num_seqs=256).verdict.status != "fits"


def test_old_releases_print_the_tokens_of_all_ranks():
    """As read off their logs, ``num_blocks * 64 * dcp``: 101 blocks over 2 ranks are 12,928 tokens, the null block included."""
    pool = kv.plan_pool([kv.Stage(1000, 101_000)], 640, dcp=2, tokens_from_blocks=True)
    assert (pool.num_blocks, pool.tokens) == (101, 101 * 64 * 2)


@pytest.mark.parametrize(
    ("gpu", "tp", "version", "length"),
    [("h200_sxm", 4, "0.26.0", 524_288), ("h200_sxm", 4, "0.26.0", 1_048_576), ("gb300_nvl72", 2, "0.33.0", 1_048_576)],
)
def test_no_mend_lands_on_a_length_that_crashes_with_mtp(gpu, tp, version, length):
    """A multiple of 64 with MTP crashes some releases (vllm-project/vllm#46074): eight tokens less where a round one is such."""
    start = made(
        model="nvidia/GLM-5.2-NVFP4", gpu=gpu, tensor_parallel_size=tp, max_model_len=length, max_num_seqs=1,
        kv_cache_dtype=None if gpu == "h200_sxm" else "fp8_ds_mla", speculative_method="mtp", engine_version=version,
    )  # fmt: skip
    mended = nearest_fit(start).plan.resolved.max_model_len
    assert mended < length
    assert mended % 64
    assert mended % 1000 in (0, 992)


def test_a_round_length_that_is_a_multiple_of_64_is_among_them():
    start = made(
        model="nvidia/GLM-5.2-NVFP4", tensor_parallel_size=4, max_model_len=524_288, max_num_seqs=1, kv_cache_dtype=None,
        speculative_method="mtp", engine_version="0.26.0",
    )  # fmt: skip
    assert (nearest_fit(start).plan.resolved.max_model_len + 8) % 8000 == 0


def test_the_workspace_scratch_of_old_releases_is_the_death_that_they_die():
    """0.26.0 allocates split-KV accumulators when it serves; 0.33.0 does not, and only other peaks are left."""
    settings = {"max_model_len": 262_144, "max_num_batched_tokens": 32_768, "gpu_memory_utilization": 0.95}
    assert made(**settings, engine_version="0.26.0").verdict.stage == "runtime_workspace"
    assert made(**settings, gpu="h200_sxm", engine_version="0.33.0").verdict.stage != "runtime_workspace"


def test_ranges_are_in_order():
    for part in made(max_num_seqs=1024, speculative_method="mtp").components:
        assert isinstance(part.band, Band)
        assert part.band.low <= part.band.likely <= part.band.high
