"""SGLang's budget against what its servers printed (data/observations.jsonl), and against its own rules."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glmcalc import Deployment, InputError, plan
from glmcalc.facts.evidence import observations
from glmcalc.facts.quantity import GIB
from glmcalc.facts.sglang_rules import parse_sglang_version, sglang_rule

ROWS = {row["id"]: row for row in observations() if "SGLang" in row["engine"]}


def budget(**stated):
    return plan(Deployment(engine="sglang", **stated))


# Each log's own settings; the release as its row states it, or the newest before its day.
LOGGED = {
    "rtx6kpro-glm5-nvfp4-sglang-bf16kv": {
        "model": "zai-org/GLM-5-FP8", "gpu": "rtx_pro_6000", "tensor_parallel_size": 8, "kv_cache_dtype": "bfloat16",
        "engine_version": "0.5.8", "mem_fraction_static": 0.92, "weights_bytes": int(57.06 * GIB),
    },
    "amd-sglang-glm5-fp8-mi355x-1": {
        "model": "zai-org/GLM-5-FP8", "gpu": "mi355x", "tensor_parallel_size": 8, "kv_cache_dtype": "fp8_e4m3",
        "engine_version": "0.5.8.post1",
    },
    "sglang-30531-main": {
        "model": "nvidia/GLM-5.2-NVFP4", "gpu": "gb300_nvl72", "tensor_parallel_size": 4, "engine_version": "0.5.17",
        "speculative_method": "EAGLE", "num_speculative_tokens": 6,
    },
    "hydralisk-glm52-fp8-rtx6000": {
        "model": "zai-org/GLM-5.2-FP8", "gpu": "rtx_pro_6000", "tensor_parallel_size": 8, "kv_cache_dtype": "fp8_e4m3",
        "engine_version": "0.5.13.post1", "mem_fraction_static": 0.98, "max_total_tokens": 4096, "context_length": 4096,
    },
    "ktransformers-1969-dsv32": {
        "model": "deepseek-ai/DeepSeek-V3.2", "gpu": "rtx_pro_6000", "kv_cache_dtype": "bfloat16", "engine_version": "0.5.12",
        "weights_bytes": int(58.91 * GIB), "mem_fraction_static": 0.9, "max_total_tokens": 256000,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", LOGGED)
def test_bytes_a_token_as_the_servers_printed_them(name):
    """Pool over tokens: within the rounding of a pool printed to 0.01 GiB, and a page of 64 slots."""
    seen = ROWS[name]["observed"]
    kv = budget(**LOGGED[name]).kv
    rounding = 0.005 * GIB / seen["kv_tokens"] + 64 / seen["kv_tokens"] * kv.bytes_per_token
    assert abs(seen["bytes_per_token"] - kv.bytes_per_token) <= rounding + 1


def test_a_build_between_releases_leaves_its_record_open():
    """A build of 0.5.15 for SM121 stored 656 bytes, which the release of that number does not; both are said."""
    seen = ROWS["xomoxcc-sglang-gb10-dsa-131072"]["observed"]["bytes_per_token"]
    kv = budget(
        model="nvidia/GLM-5.2-NVFP4", gpu="dgx_spark_gb10", tensor_parallel_size=4, kv_cache_dtype="fp8_e4m3",
        engine_version="0.5.15 sm121 build", mem_fraction_static=0.9,
    ).kv  # fmt: skip
    assert kv.bytes_per_token * (131_072 + 64) / 131_072 == pytest.approx(seen, abs=0.005 * GIB / 131_072)
    assert kv.bytes_per_token_low == 47_700


def test_attention_without_an_indexer():
    """DeepSeek-V3 in a log of 2025: 35,143 bytes by a pool printed to 0.01 GiB."""
    kv = budget(
        model="deepseek-ai/DeepSeek-V3", gpu="gb200_nvl72", tensor_parallel_size=8, kv_cache_dtype="fp8_e4m3"
    ).kv
    seen = ROWS["sglang-fixture-dsv3-fp8kv"]["observed"]
    assert kv.bytes_per_token == 61 * 576
    assert kv.bytes_per_token == pytest.approx(seen["bytes_per_token"], abs=0.005 * GIB / seen["kv_tokens"])


@pytest.mark.parametrize(
    "name", ["rtx6kpro-glm5-nvfp4-sglang-bf16kv", "amd-sglang-glm5-fp8-mi355x-1", "sglang-30531-main"]
)
def test_the_pool_of_a_log_lies_in_the_band(name):
    """The three logs whose pool no --max-total-tokens cut; two of them left the fraction to the engine's default."""
    seen = ROWS[name]["observed"]
    kv = budget(**LOGGED[name]).kv
    low, likely, high = kv.tokens
    assert low <= seen["kv_tokens"] <= high
    assert abs(seen["kv_tokens"] / likely - 1) < 0.02
    assert kv.available.low <= seen["available_kv_gib"] * GIB <= kv.available.high


def test_the_default_fraction_of_a_release():
    """0.908 on MI355X: (186.77 + 89.58 x 61,464 / 55,224 ...) of the log leaves no other value to three places."""
    made = budget(**LOGGED["amd-sglang-glm5-fp8-mi355x-1"])
    before, weights = 194.04 + 89.58, 89.58
    pool = 3_262_823 * 55_224 / GIB  # what the release divides by, not what it stores
    assert made.resolved.fraction[1] == round((pool + weights) / before, 3)


def test_a_release_that_stores_more_than_it_counts():
    """SGLang up to 0.5.16 sized the pool by 576 bytes a layer and stored 656: 4.02 GiB were left, and 12 GiB were asked for."""
    made = budget(**LOGGED["amd-sglang-glm5-fp8-mi355x-1"])
    assert made.component("pool_overrun").band.likely == pytest.approx(3_262_823 * (61_464 - 55_224), rel=0.002)
    assert made.component("indexer_logits").band.likely == pytest.approx(12 * GIB, rel=0.1)
    assert (made.verdict.status, made.verdict.stage) == ("marginal", "runtime_activation")
    newer = budget(**{**LOGGED["amd-sglang-glm5-fp8-mi355x-1"], "engine_version": "0.5.18"})
    with pytest.raises(KeyError):
        newer.component("pool_overrun")


def test_the_two_sides_of_the_indexer_change():
    """sglang#30531 on 4 GB300: 55,225 and 47,702 bytes, 2,574,848 and 3,002,752 tokens, 0.98 GiB of weights."""
    stated = LOGGED["sglang-30531-main"]
    before, after = budget(**stated), budget(**{**stated, "engine_version": "0.5.18"})
    assert (before.kv.bytes_per_token, after.kv.bytes_per_token) == (55_224, 47_700)
    assert after.kv.tokens[1] / before.kv.tokens[1] == pytest.approx(3_002_752 / 2_574_848, rel=0.003)
    assert after.kv.tokens[0] <= 3_002_752 <= after.kv.tokens[2]
    gained = before.component("weights").band.likely - after.component("weights").band.likely
    assert gained == pytest.approx(0.98 * GIB, rel=0.03)
    for made, printed in ((before, 1.70), (after, 1.98)):
        assert made.component("draft_pool").band.likely == pytest.approx(printed * GIB, rel=0.02)


@pytest.mark.parametrize(
    ("gpu", "dtype", "version", "record", "bytes_per_token"),
    [
        ("h200_sxm", None, "0.5.18", "bf16", 92_628),
        ("h200_sxm", "fp8_e4m3", "0.5.18", "fp8_ds_mla", 53_940),
        ("h200_sxm", "fp8_e4m3", "0.5.17", "fp8_ds_mla", 61_464),
        ("b200_sxm", None, "0.5.18", "fp8_e4m3", 47_700),
        ("b200_sxm", None, "0.5.17", "fp8_e4m3", 55_224),
        ("rtx_pro_6000", None, "0.5.16", "fp8_e4m3", 55_224),
        ("rtx_pro_6000", None, "0.5.17", "fp8_ds_mla", 61_464),
        ("mi355x", None, "0.5.18", "bf16", 92_628),
    ],
)
def test_records_by_device_and_release(gpu, dtype, version, record, bytes_per_token):
    made = budget(gpu=gpu, tensor_parallel_size=8, kv_cache_dtype=dtype, engine_version=version)
    assert (made.kv.record, made.kv.bytes_per_token) == (record, bytes_per_token)


def test_a_hierarchical_cache_kept_all_indexers_longer():
    stated = {"gpu": "b200_sxm", "tensor_parallel_size": 8, "hierarchical_cache": True}
    assert budget(**stated, engine_version="0.5.18").kv.bytes_per_token == 55_224
    assert budget(**stated, engine_version="0.5.23").kv.bytes_per_token == 47_700
    between = budget(**stated, engine_version="0.5.20").kv.to_dict()
    assert (between["bytes_per_token"], between["bytes_per_token_low"]) == (55_224, 47_700)


def test_starts_that_are_refused():
    """The log of 2026-06-24: no start at 0.80 or 0.92; in the words of the release."""
    stated = {**LOGGED["hydralisk-glm52-fp8-rtx6000"], "mem_fraction_static": 0.92}
    refused = budget(**stated).verdict
    assert (refused.status, refused.stage) == ("does_not_fit", "startup_no_kv_blocks")
    assert "Not enough memory. Please try to increase --mem-fraction-static" in refused.engine_message
    later = budget(**{**stated, "engine_version": "0.5.18"}).verdict.engine_message
    assert "Loaded weights leave no GPU memory for the KV cache under --mem-fraction-static=0.92" in later


def test_weights_that_do_not_load():
    verdict = budget(gpu="h100_sxm", tensor_parallel_size=8).verdict
    assert (verdict.status, verdict.stage) == ("does_not_fit", "weights_load")


def test_a_pool_as_printed_is_judged_alone():
    made = budget(gpu="b200_sxm", tensor_parallel_size=8, available_kv_bytes=50 * GIB, context_length=1_000_000)
    assert made.verdict.status == "fits"
    assert made.kv.tokens[1] == 50 * GIB // 47_700 // 64 * 64
    longer = budget(gpu="b200_sxm", tensor_parallel_size=8, available_kv_bytes=40 * GIB, context_length=1_000_000)
    assert (longer.verdict.status, longer.verdict.stage) == ("marginal", None)
    assert f"{40 * GIB // 47_700 // 64 * 64:,} tokens of its pool" in longer.verdict.reason


@pytest.mark.parametrize("stated", [None, 320_000, 1_000_000])
def test_a_pool_shorter_than_the_length_is_no_death(stated):
    """SGLang caps a request at its pool (scheduler.py, max_req_len) and starts: 92,628 bytes a token in bf16 on Hopper."""
    made = budget(gpu="h200_sxm", tensor_parallel_size=8, mem_fraction_static=0.85, context_length=stated)
    low, likely, high = made.kv.tokens
    assert likely == pytest.approx(made.kv.available.likely / 92_628, abs=64)
    assert (made.verdict.status, made.verdict.stage) == ("marginal", None)
    assert f"serves requests up to the {likely:,} tokens ({low:,} to {high:,}) of its pool" in made.verdict.reason
    words = "the model allows" if stated is None else "--context-length says"
    assert f"one of the {stated or 1_048_576:,} tokens that {words}" in made.verdict.reason
    assert made.verdict.advice.startswith(f"Set --context-length {low // 1000 * 1000},")
    assert made.to_dict()["kv"]["fits"] is (likely >= (stated or 1_048_576))


def test_a_death_is_named_before_a_length_that_is_cut():
    stated = {"gpu": "h200_sxm", "tensor_parallel_size": 8}
    late = budget(**stated, mem_fraction_static=0.95).verdict
    assert (late.status, late.stage) == ("marginal", "runtime_activation")
    assert "of its pool, and refuses longer ones" in late.reason
    nothing = budget(**stated, mem_fraction_static=0.644).verdict
    assert nothing.stage == "startup_no_kv_blocks"
    assert "serves requests" not in nothing.reason


def test_no_verdict_is_better_than_its_logs():
    """Of GLM-5.2 under SGLang two public logs are known (data/observations.jsonl), none of them on Hopper."""
    made = budget(gpu="h200_sxm", tensor_parallel_size=8, context_length=131072, mem_fraction_static=0.83)
    assert made.verdict.status == "marginal"
    assert "of GLM-5.2 one on GB300 and one on RTX PRO 6000" in made.verdict.reason


def test_attention_groups_hold_attention_each_and_experts_together():
    """--dp 8 --enable-dp-attention: q_b, kv_b (and its bf16 copies), o and the embedding whole."""
    one = budget(gpu="h200_sxm", tensor_parallel_size=8, context_length=32768)
    groups = budget(
        gpu="h200_sxm", tensor_parallel_size=8, data_parallel_size=8, enable_dp_attention=True, context_length=32768
    )
    assert groups.resolved.gpus == 8
    more = groups.component("weights").band.likely - one.component("weights").band.likely
    split = 78 * (16384 * 2048 + 28672 * 512 + 6144 * 16384) + 78 * 2 * 28672 * 512 + 2 * 154_880 * 6144
    assert more == pytest.approx(7 / 8 * split, rel=0.005)
    data = groups.to_dict()["kv"]
    assert data["tokens_all_groups"] == 8 * data["tokens"]
    replicas = budget(gpu="h200_sxm", tensor_parallel_size=8, data_parallel_size=2)
    assert replicas.resolved.gpus == 16


def test_older_releases_put_the_drafter_on_top():
    stated = {"gpu": "b200_sxm", "tensor_parallel_size": 8, "speculative_method": "NEXTN", "mem_fraction_static": 0.85}
    old, new = budget(**stated, engine_version="0.5.13"), budget(**stated, engine_version="0.5.16")
    assert not old.component("draft_pool").inside_utilization
    assert new.component("draft_pool").inside_utilization
    assert old.kv.tokens[1] > new.kv.tokens[1]


def test_the_answer_has_vllms_shape_and_null_where_nothing_is():
    data = budget(gpu="h200_sxm", tensor_parallel_size=8).to_dict()
    for key in ("block_size", "bytes_per_block", "num_blocks", "blocks_per_request"):
        assert data["kv"][key] is None
    assert data["command"].startswith("python -m sglang.launch_server --model-path zai-org/GLM-5.2-FP8 --tp 8")
    parts = {part["name"]: part for part in data["per_gpu"]["components"]}
    inside = sum(part["bytes"] for part in parts.values() if part["inside_utilization"])
    assert inside <= data["per_gpu"]["utilization_bytes"]
    assert data["per_gpu"]["utilization_bytes"] - inside < 2 * 64 * 92_628


@settings(max_examples=60, deadline=None)
@given(
    st.floats(0.5, 0.95),
    st.sampled_from(["h200_sxm", "b200_sxm", "mi355x"]),
    st.sampled_from(["0.5.8", "0.5.14", "0.5.17", "0.5.18"]),
)
def test_a_larger_share_holds_no_fewer_tokens(share, gpu, version):
    stated = {"gpu": gpu, "tensor_parallel_size": 8, "engine_version": version}
    less, more = (budget(**stated, mem_fraction_static=round(at, 4)) for at in (share, share + 0.02))
    assert all(one <= other for one, other in zip(less.kv.tokens, more.kv.tokens))
    low, likely, high = less.kv.tokens
    assert low <= likely <= high


@pytest.mark.parametrize(
    ("stated", "field"),
    [
        ({"gpu_memory_utilization": 0.9}, "gpu_memory_utilization"),
        ({"decode_context_parallel_size": 2}, "decode_context_parallel_size"),
        ({"ctx_size": 4096}, "ctx_size"),
        ({"mem_fraction_static": 1.2}, "mem_fraction_static"),
        ({"context_length": 10_000_000}, "context_length"),
        ({"context_length": 4096, "max_model_len": 8192}, "context_length"),
        ({"kv_cache_dtype": "fp8_e5m2"}, "kv_cache_dtype"),
        ({"engine_version": "banana"}, "engine_version"),
        ({"data_parallel_size": 3, "enable_dp_attention": True}, "data_parallel_size"),
    ],
)
def test_bad_input_names_its_field(stated, field):
    with pytest.raises(InputError) as caught:
        budget(gpu="h200_sxm", **{"tensor_parallel_size": 8, **stated})
    assert caught.value.field == field


def test_another_engines_setting_is_refused_not_dropped():
    with pytest.raises(InputError) as caught:
        Deployment(gpu="h200_sxm", mem_fraction_static=0.9)
    assert "--engine sglang" in caught.value.message


def test_rules_stand_where_the_packages_have_them():
    assert sglang_rule("indexer_caches", parse_sglang_version("v0.5.17-cu129")).value == "every_layer"
    assert sglang_rule("indexer_caches", parse_sglang_version("0.5.18")).value == "owning_layers"
    assert not parse_sglang_version("main b95a746 (2026-08)").certain
    assert not parse_sglang_version("0.5.40").certain
