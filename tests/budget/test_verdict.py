"""Verdicts on deployments whose fate is known from elsewhere, and on the edges of each stage."""

import math
import re

import pytest

from glmcalc.budget.plan import plan
from glmcalc.facts.errors import InputError
from glmcalc.facts.quantity import GIB
from glmcalc.model.deployment import Deployment
from glmcalc.solve.nearest import nearest_fit
from glmcalc.solve.presets import PRESETS, preset


def made(**settings):
    return plan(Deployment(**{"gpu": "h200_sxm", "tensor_parallel_size": 8, **settings}))


def test_fp8_does_not_load_on_eight_h100():
    """755.6 GB of weights against 8 x 79.18 GiB = 680 GB: https://phala.com/posts/glm-5-2-1m-context-8xh200."""
    verdict = made(gpu="h100_sxm").verdict
    assert (verdict.status, verdict.stage) == ("does_not_fit", "weights_load")


def test_one_million_tokens_do_not_fit_plain_tp_on_eight_h200():
    """52.68 GiB a request with fp8_ds_mla and no MTP, and the pool is under 40 GiB."""
    result = made(max_model_len=1_048_576, max_num_seqs=1, kv_cache_dtype="fp8")
    assert (result.verdict.status, result.verdict.stage) == ("does_not_fit", "startup_kv_too_small")
    assert result.kv.needed_bytes / GIB == pytest.approx(52.68, abs=0.005)
    assert result.kv.available.high < 40 * GIB
    assert "(52.68 GiB KV cache is needed" in result.verdict.engine_message


def test_dcp_2_makes_it_fit():
    result = made(max_model_len=1_048_576, max_num_seqs=1, kv_cache_dtype="fp8", decode_context_parallel_size=2)
    assert result.verdict.status == "fits"


def test_eight_b200_serve_one_million_tokens():
    """The published recipe for this model names 8 x B200 for the full context (vllm-project/recipes#559)."""
    assert made(gpu="b200_sxm", max_model_len=1_048_576, max_num_seqs=1).verdict.status == "fits"


def test_bf16_kv_with_dcp_is_refused_on_hopper():
    result = made(kv_cache_dtype="bfloat16", decode_context_parallel_size=2, max_model_len=100_000)
    assert result.verdict.status == "unsupported"
    assert "bf16" in result.verdict.reason


@pytest.mark.parametrize(
    "gpu", ["a100_80_sxm", "l40s", "rtx_3090", "tpu_v6e", "gaudi3", "mac_m3_ultra_256", "ascend_910b"]
)
def test_devices_without_a_kernel(gpu):
    assert made(gpu=gpu).verdict.status == "unsupported"


def test_a_fork_is_marginal_at_best():
    """Contract: a fork, a development build or a newer release never gets better than marginal."""
    safe = {"max_model_len": 32_000, "max_num_seqs": 16, "gpu_memory_utilization": 0.9}
    assert made(**safe).verdict.status == "fits"
    for version in ("0.26.0-fork", "0.23.1rc1.dev1201+gd08eebad1", "0.99.0"):
        assert made(engine_version=version, **safe).verdict.status == "marginal"


def test_an_open_release_shows_both_records():
    """vLLM 0.23.0 gave every layer an indexer cache, 0.26.0 does not: 61,464 and 53,940 B with fp8_ds_mla."""
    base = {"kv_cache_dtype": "fp8", "max_model_len": 100_000}
    assert made(engine_version="0.23.0", **base).kv.bytes_per_token == 61_464
    assert made(engine_version="0.26.0", **base).kv.bytes_per_token == 53_940
    between = made(engine_version="0.24.0", **base).kv
    assert (between.bytes_per_token, between.bytes_per_token_low) == (61_464, 53_940)


def test_a_stated_pool_is_judged_alone():
    need = 2048 * 3_502_592
    base = {
        "kv_cache_dtype": "fp8_ds_mla",
        "max_model_len": 131_072,
        "speculative_method": "mtp",
        "gpu_memory_utilization": 0.99,
    }
    assert made(available_kv_bytes=need + 3_502_592, **base).verdict.status == "fits"
    assert made(available_kv_bytes=need + 3_502_591, **base).verdict.status == "does_not_fit"


def test_too_much_utilization_leaves_no_room():
    """0.99 x 95.01 GiB asked for with 0.96 to 1.9 GiB gone to context and NCCL: refused at the start, and 0.98 was not.

    https://github.com/sjug/rtx6kpro/blob/738985bb6e99b73413c18ece14798432efce148a/models/glm5.2_v14.md
    """
    settings = {"gpu": "rtx_pro_6000", "model": "nvidia/GLM-5.2-NVFP4", "max_model_len": 32_000}
    result = made(**settings, gpu_memory_utilization=0.99)
    assert (result.verdict.status, result.verdict.stage) == ("does_not_fit", "startup_free_memory")
    assert "Free memory on device" in result.verdict.engine_message
    assert made(**settings, gpu_memory_utilization=0.98).verdict.stage != "startup_free_memory"


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"tensor_parallel_size": 3}, "tensor_parallel_size"),
        ({"tensor_parallel_size": 32}, "tensor_parallel_size"),
        ({"decode_context_parallel_size": 3}, "decode_context_parallel_size"),
        ({"max_model_len": 2_000_000}, "max_model_len"),
        ({"max_model_len": 0}, "max_model_len"),
        ({"gpu_memory_utilization": 1.01}, "gpu_memory_utilization"),
        ({"gpu_memory_utilization": float("nan")}, "gpu_memory_utilization"),
        ({"gpus": 4}, "gpus"),
        ({"gpu": "h200"}, "gpu"),
        ({"model": "zai-org/GLM-5.2-FP9"}, "model"),
        ({"kv_cache_dtype": "int4"}, "kv_cache_dtype"),
        ({"engine": "sglang"}, "engine"),
        ({"engine_version": "banana"}, "engine_version"),
        ({"max_num_seqs": 0}, "max_num_seqs"),
        ({"max_num_seqs": 512, "max_num_batched_tokens": 256}, "max_num_batched_tokens"),
        ({"pipeline_parallel_size": 79}, "pipeline_parallel_size"),
        ({"quantization": "nvfp4", "model": "deepseek-ai/DeepSeek-V3"}, "quantization"),
        ({"quantization": "mxfp5"}, "quantization"),
    ],
)
def test_bad_input_names_the_field(settings, field):
    with pytest.raises(InputError) as caught:
        made(**settings)
    assert caught.value.field == field


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize(
    "gpu", ["h200_sxm", "b200_sxm", "h100_sxm", "rtx_pro_6000", "b300_sxm", "gb200_nvl72", "h20_141"]
)
def test_the_mended_command_fits_and_changes_nothing_else(name, gpu):
    start = plan(preset(name, gpu))
    mend = nearest_fit(start)
    if start.verdict.status == "fits":
        assert mend is None
        return
    assert mend is not None
    again = plan(mend.deployment)
    assert again.verdict.status == "fits"
    changed = {row["name"] for row in mend.change}
    for field in ("max_model_len", "max_num_seqs", "gpu_memory_utilization", "kv_cache_dtype", "model"):
        if field not in changed:
            assert getattr(mend.deployment, field) == getattr(start.resolved.asked, field)


# A pool stated by hand.

ONE_REQUEST = 2048  # blocks of 64 tokens that 131,072 tokens take, beside the null block
BLOCK = 3_452_160  # bytes: 64 x (78 x 656 + 21 x 132), GLM-5.2 in fp8_ds_mla without MTP


def pinned(**settings):
    return made(max_model_len=131_072, max_num_seqs=64, kv_cache_dtype="fp8", **settings)


def test_blocks_by_hand_are_the_pool_that_the_verdict_speaks_of():
    verdict = pinned(num_gpu_blocks_override=1000).verdict
    assert f"the pool is {1000 * BLOCK / GIB:.2f} GiB. Short by" in verdict.reason
    assert f"set it to {ONE_REQUEST + 1} or more; --max-model-len {999 * 64} fits" in verdict.advice
    assert pinned(num_gpu_blocks_override=ONE_REQUEST + 1).verdict.status == "fits"
    assert pinned(num_gpu_blocks_override=ONE_REQUEST).verdict.status == "does_not_fit"


@pytest.mark.parametrize("eager", [False, True])
def test_a_stated_pool_that_is_more_than_there_is(eager):
    """60 GiB beside 88.5 GiB of weights on a GPU of 139.8: the tensors cannot be allocated, graphs or not."""
    result = pinned(kv_cache_memory_bytes=60 * GIB, enforce_eager=eager)
    assert (result.verdict.status, result.verdict.stage) == ("does_not_fit", "startup_free_memory")
    assert "60.00 GiB" in result.verdict.reason
    assert "cannot be allocated" in result.verdict.reason
    assert "utilization" not in result.verdict.advice  # the engine ignores it where the pool is stated
    stated = int(re.search(r"--kv-cache-memory-bytes to (\d+)", result.verdict.advice)[1])
    assert pinned(kv_cache_memory_bytes=stated, enforce_eager=eager).verdict.status == "fits"
    assert pinned(kv_cache_memory_bytes=stated + 2 * BLOCK, enforce_eager=eager).verdict.status != "fits"


def test_a_pool_that_no_utilization_leaves_is_not_sought_by_raising_it():
    """FP8 on 4 x B200: 176 of 178 GiB are weights."""
    verdict = made(gpu="b200_sxm", tensor_parallel_size=4, max_model_len=131_072, max_num_seqs=64).verdict
    assert verdict.stage == "startup_no_kv_blocks"
    assert "no utilization" in verdict.advice
    near = made(max_model_len=1000, max_num_seqs=16, kv_cache_dtype="fp8", gpu_memory_utilization=0.66).verdict
    assert near.stage == "startup_no_kv_blocks"
    share = float(re.search(r"Raise --gpu-memory-utilization to ([\d.]+)", near.advice)[1])
    assert (
        made(max_model_len=64, max_num_seqs=16, kv_cache_dtype="fp8", gpu_memory_utilization=share).verdict.status
        == "fits"
    )


def test_requests_at_once_are_not_rounded_up_at_the_sure_end():
    result = made(max_model_len=1_048_576, max_num_seqs=4, kv_cache_dtype="fp8", decode_context_parallel_size=8)
    low = result.kv.low.max_concurrency
    assert f"({math.floor(10 * low) / 10:.1f} to" in result.verdict.reason


# Combinations that vLLM 0.33.0 refuses (flashmla_sparse.py), and the nearest that it takes.


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"decode_context_parallel_size": 2}, "bf16 KV"),  # Hopper's bf16 kernel declares no DCP
        ({"gpu": "b300_sxm", "tensor_parallel_size": 2, "decode_context_parallel_size": 2, "kv_cache_dtype": "fp8_ds_mla"}, "fewer than 32 heads"),
        ({"gpu": "b200_sxm", "decode_context_parallel_size": 2, "kv_cache_dtype": "nvfp4_ds_mla"}, "nvfp4_ds_mla"),
        ({"kv_cache_dtype": "nvfp4_ds_mla"}, "needs SM100"),
        ({"block_size": 32}, "multiples of 64"),
        ({"gpu": "rtx_pro_6000", "kv_cache_dtype": "bfloat16"}, "has no kernel there"),
        ({"gpu": "a100_80_sxm"}, "no sparse-MLA kernel"),
    ],
)  # fmt: skip
def test_what_the_engine_refuses(settings, words):
    refused = made(model="nvidia/GLM-5.2-NVFP4" if settings.get("gpu", "").startswith(("b", "r")) else "zai-org/GLM-5.2-FP8", max_model_len=65_536, max_num_seqs=4, **settings)  # fmt: skip
    assert refused.verdict.status == "unsupported"
    assert words in refused.verdict.reason


@pytest.mark.parametrize(
    "settings",
    [
        {"decode_context_parallel_size": 2, "kv_cache_dtype": "fp8"},
        {
            "gpu": "b300_sxm",
            "tensor_parallel_size": 4,
            "decode_context_parallel_size": 2,
            "kv_cache_dtype": "fp8_ds_mla",
        },
        {"gpu": "b200_sxm", "decode_context_parallel_size": 2, "kv_cache_dtype": "fp8_ds_mla"},
        {"gpu": "b200_sxm", "kv_cache_dtype": "nvfp4_ds_mla"},
        {"block_size": 128},
    ],
)
def test_what_stands_beside_a_refusal_is_taken(settings):
    model = "nvidia/GLM-5.2-NVFP4" if settings.get("gpu", "").startswith("b") else "zai-org/GLM-5.2-FP8"
    assert made(model=model, max_model_len=65_536, max_num_seqs=4, **settings).verdict.status == "fits"


def test_an_exact_pool_is_not_rounded_up_either():
    found = made(kv_cache_dtype="fp8", max_model_len=131072, available_kv_bytes=round(19.57 * GIB))
    held = found.kv.pool.num_blocks / found.kv.pool.blocks_per_request
    assert 2.95 < held < 3
    assert found.verdict.reason.startswith("2.9 requests")


def test_a_range_about_less_than_nothing_holds_its_likely_figure():
    """FP8 over 32 RTX 5090 in four stages: the likely pool is below nothing, its optimistic end above."""
    reason = made(gpu="rtx_5090", pipeline_parallel_size=4).verdict.reason
    likely, low, high = (
        float(figure) for figure in re.search(r"is (\S+) GiB per GPU \((\S+) to (\S+)\)", reason).groups()
    )
    assert low < likely < 0 < high
