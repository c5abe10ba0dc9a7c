"""The nearest that fits: fewest GPUs first, with every format and split of one number of GPUs tried before the next."""

import pytest

from glmcalc.advise.ladder import downgrade
from glmcalc.budget.plan import plan
from glmcalc.facts.evidence import checkpoints
from glmcalc.facts.quantity import GIB
from glmcalc.model.deployment import Deployment
from glmcalc.solve.claims import claim_rows
from glmcalc.solve.nearest import nearest_fit
from glmcalc.solve.presets import preset

PUBLISHED = {row["repo"]: row["total_bytes"] for row in checkpoints()}
FP8, NVFP4 = PUBLISHED["zai-org/GLM-5.2-FP8"], PUBLISHED["nvidia/GLM-5.2-NVFP4"]


def test_four_h100_have_one_nearest_everywhere():
    """Published bytes over what the driver reports: 8 x 79.18 GiB hold NVFP4 and not FP8, 4 x hold neither, 16 x both."""
    assert 4 * 79.18 * GIB < NVFP4 < 8 * 79.18 * GIB < FP8 < 16 * 79.18 * GIB
    asked = Deployment(gpu="h100_sxm", gpus=4, tensor_parallel_size=4, max_model_len=131_072, max_num_seqs=4)
    mend = nearest_fit(plan(asked))
    assert (mend.plan.resolved.gpus, mend.plan.resolved.checkpoint.name) == (8, "nvidia/GLM-5.2-NVFP4")
    (said,) = [row["why"] for row in claim_rows() if row["id"] == "row_4xh100"]
    assert "nvidia/GLM-5.2-NVFP4" in said
    assert "8 GPUs in place of 4" in said
    other = downgrade(asked).nearest[0].plan.resolved
    assert (other.device.id, other.gpus, other.checkpoint.name) == ("h100_sxm", 8, "nvidia/GLM-5.2-NVFP4")


@pytest.mark.parametrize("gpu", ["h100_sxm", "h200_sxm", "h20_96", "b200_sxm", "gb300_nvl72", "rtx_pro_6000"])
@pytest.mark.parametrize("gpus", [1, 2, 4])
def test_more_gpus_are_as_few_as_downgrade_finds(gpu, gpus):
    """Two searches of their own: the short one of a verdict, and the ladder on each larger number."""
    start = plan(preset("balanced", gpu, gpus))
    mend = nearest_fit(start)
    ladder = downgrade(preset("balanced", gpu, gpus))
    if ladder.outcome == "cannot":
        more = next(row for row in ladder.nearest if row.kind == "more_gpus")
        assert mend.plan.resolved.gpus == more.plan.resolved.gpus > gpus
        assert mend.plan.resolved.checkpoint.name == more.plan.resolved.checkpoint.name
    elif mend is not None:
        assert mend.plan.resolved.gpus == gpus


def test_bf16_goes_to_the_larger_of_the_smaller_formats():
    """FP8 before NVFP4 where both load: 755.62 GB on 8 x H200, of 139.80 GiB each."""
    assert FP8 < 0.92 * 8 * 139.8 * GIB
    mend = nearest_fit(plan(preset("balanced", model="zai-org/GLM-5.2")))
    assert (mend.plan.resolved.gpus, mend.plan.resolved.checkpoint.name) == (8, "zai-org/GLM-5.2-FP8")


H200 = {"gpu": "h200_sxm", "tensor_parallel_size": 8, "max_model_len": 131_072}


def flags_of(mend):
    return {row["name"]: row["to"] for row in mend.change}


@pytest.mark.parametrize(
    ("settings", "change"),
    [
        # a chunk of 65,536 tokens takes what the cache lacks; the engine's own default is 8,192
        ({**H200, "model": "nvidia/GLM-5.2-NVFP4", "tensor_parallel_size": 4, "max_model_len": 200_000, "max_num_seqs": 16,
          "max_num_batched_tokens": 65_536}, {"max_num_batched_tokens"}),
        # a pool stated by hand: too small, and more than there is
        ({**H200, "kv_cache_memory_bytes": 5 * 10**9}, {"kv_cache_memory_bytes"}),
        ({**H200, "kv_cache_memory_bytes": 60 * 10**9}, {"kv_cache_memory_bytes"}),
        ({**H200, "num_gpu_blocks_override": 1000}, {"num_gpu_blocks_override"}),
        # the 32 heads of a rank forbid context parallelism to fp8_ds_mla alone; this is plain fp8
        ({"model": "nvidia/GLM-5.2-NVFP4", "gpu": "gb300_nvl72", "tensor_parallel_size": 2, "max_model_len": 1_048_576,
          "max_num_seqs": 256}, {"decode_context_parallel_size"}),
        # 14 of the 16 GPUs stated stand idle
        ({"gpu": "h100_sxm", "gpus": 16, "pipeline_parallel_size": 2, "max_model_len": 200_000}, {"tensor_parallel_size"}),
        # graphs and peaks on B200 at 0.97: fewer rows and a lower line keep MTP
        ({"gpu": "b200_sxm", "tensor_parallel_size": 8, "max_model_len": 1_048_576, "gpu_memory_utilization": 0.97,
          "speculative_method": "mtp", "num_speculative_tokens": 3}, {"max_num_seqs", "gpu_memory_utilization"}),
    ],
)  # fmt: skip
def test_the_nearest_gives_up_what_stands_in_the_way_and_no_more(settings, change):
    start = plan(Deployment(**settings))
    assert start.verdict.status != "fits"
    mend = nearest_fit(start)
    assert set(flags_of(mend)) == change
    assert mend.plan.verdict.status == "fits"
    assert mend.plan.resolved.max_model_len == settings["max_model_len"]
