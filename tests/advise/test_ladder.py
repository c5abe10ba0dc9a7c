"""A ladder ends in a fit that the budget confirms, or in a "cannot" that no other choice of flags disproves."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glmcalc.advise.ladder import downgrade
from glmcalc.advise.ladder_limits import LIMIT_OF, Goal, margins
from glmcalc.advise.ladder_order import KEEPS, order
from glmcalc.advise.tuning.tune import tune
from glmcalc.budget.plan import plan
from glmcalc.facts.errors import InputError
from glmcalc.facts.evidence import checkpoints
from glmcalc.facts.hardware import device, devices
from glmcalc.facts.quantity import GIB
from glmcalc.logs.metrics import read_metrics
from glmcalc.model.deployment import Deployment
from glmcalc.solve.presets import PRESETS, preset

KNOWN = [chip.id for chip in devices() if chip.memory() is not None and chip.vendor in ("NVIDIA", "AMD")]
NVIDIA = [chip.id for chip in devices() if chip.memory() is not None and chip.vendor == "NVIDIA"]
KERNELS = [name for name in NVIDIA if device(name).architecture not in ("sm80", "sm86", "sm89")]


def again(command, gpu, gpus, **settings):
    """The budget of a printed line, read as anybody would paste it."""
    return plan(Deployment.from_command(command, gpu=gpu, gpus=gpus, **settings))


def settings_of(command):
    """Words of a command by flag, the model first."""
    words = command.split()[2:]
    flags = {"model": words[0]}
    for index, word in enumerate(words[1:], 1):
        if word.startswith("--"):
            following = words[index + 1] if index + 1 < len(words) else ""
            flags[word] = "on" if following.startswith("--") or not following else following
    return flags


def ceiling_of(made):
    """1 - (all that lies outside the line at its worst + 1.5 GiB) / total, from the budget's own table; 1 where it has none."""
    if made.memory is None:
        return 1
    outside = sum(part.band.high for part in made.components if not part.inside_utilization)
    return 1 - (outside + 1.5 * GIB) / made.memory.low


def check_said(ladder):
    """Utilization up no further than ``tune`` would leave it; a capture size that costs nothing covers every batch at the end."""
    for made in (ladder.end, *(step.taken.after for step in ladder.steps)):
        now, began = made.resolved.gpu_memory_utilization, ladder.start.resolved.gpu_memory_utilization
        assert now <= began or now <= ceiling_of(made) + 1e-9
    end = ladder.end.resolved
    for step in ladder.steps:
        if step.knob == "max_cudagraph_capture_size":
            drafts = end.num_speculative_tokens if end.mtp else 0
            assert end.asked.max_cudagraph_capture_size >= end.max_num_seqs * (1 + drafts)


def check(ladder, gpu, gpus):
    """What must hold of every ladder."""
    data = ladder.to_dict()
    check_said(ladder)
    settings = {"engine_version": data["after"]["engine_version"]}
    done = again(data["command"], gpu, gpus, **settings).verdict.status
    assert data["fits_after"] is (done == "fits")
    assert (data["reason"] is None) is data["fits_after"]
    assert (data["outcome"] == "fits") is data["fits_after"]
    if data["outcome"] == "marginal":
        assert done == "marginal"
        assert min(margins(ladder.end, Goal()).values()) >= 0
    for step in data["steps"]:
        assert again(step["command"], gpu, gpus, engine_version=step["engine_version"]).verdict.status == step["status"]
        assert step["gained_bytes"] > 0 or step["limit"] == "supported"
        assert step["source"]
        assert step["speed_cost"] or step["speed_reason"]
        assert step["quality_cost"] or step["quality_reason"]
    for step in ladder.steps:
        was, now = (margins(made, Goal()) for made in (step.taken.before, step.taken.after))
        if step.taken.limit != "supported":
            assert now[step.taken.limit] - was[step.taken.limit] == step.taken.gained_bytes
    for one, two in zip(ladder.steps, ladder.steps[1:]):
        assert one.taken.after is two.taken.before
    named = {flag for step in data["steps"] for flag in step["flag"].split(", ")}
    before, after = settings_of(ladder.start.command), settings_of(data["command"])
    moved = {flag for flag in {*before, *after} if before.get(flag) != after.get(flag)}
    r = ladder.end.resolved
    if r.asked.max_num_batched_tokens is None and r.max_num_batched_tokens == r.max_num_seqs * r.max_model_len:
        moved -= {"--max-num-batched-tokens"}  # the engine's default follows the length where that is short
    assert moved <= named | {"--kv-cache-dtype"}  # the default's name is written out
    for other in [data["nearest"], *data["nearest_others"]] if data["nearest"] else []:
        assert other["status"] == "fits"
        assert (
            again(other["command"], other["gpu"], other["gpus"], engine_version=other["engine_version"]).verdict.status
            == "fits"
        )
    if data["outcome"] == "cannot":
        assert data["searched"]


@pytest.mark.parametrize("gpus", [8, 4, 1])
@pytest.mark.parametrize("gpu", KNOWN)
def test_a_path_for_every_tier_and_preset(gpu, gpus):
    for name in PRESETS:
        ladder = downgrade(preset(name, gpu, gpus))
        check(ladder, gpu, gpus)
        assert ladder.fits_after or ladder.nearest


@settings(max_examples=60, deadline=None)
@given(
    gpu=st.sampled_from(KERNELS),
    gpus=st.sampled_from([1, 2, 4, 8, 16]),
    keep=st.sampled_from(KEEPS),
    length=st.integers(1, 1_048_576) | st.just("auto"),
    seqs=st.integers(1, 1024),
    tokens=st.sampled_from([None, 2048, 8192, 32_768]),
    utilization=st.sampled_from([0.7, 0.85, 0.9, 0.95, 0.99]),
    mtp=st.sampled_from([None, "mtp"]),
    model=st.sampled_from(["zai-org/GLM-5.2-FP8", "zai-org/GLM-5.2", "nvidia/GLM-5.2-NVFP4", "zai-org/GLM-5.1"]),
    dtype=st.sampled_from([None, "bfloat16", "fp8", "fp8_ds_mla"]),
    version=st.sampled_from(["0.33.0", "0.23.0"]),
)
def test_any_deployment(gpu, gpus, keep, length, seqs, tokens, utilization, mtp, model, dtype, version):
    if length != "auto" and "5.1" in model:
        length = min(length, 202_752)
    asked = Deployment(
        gpu=gpu, gpus=gpus, tensor_parallel_size=gpus, max_model_len=length, max_num_seqs=seqs, kv_cache_dtype=dtype,
        max_num_batched_tokens=tokens if tokens is None or tokens >= seqs else 2048, gpu_memory_utilization=utilization,
        speculative_method=mtp, num_speculative_tokens=3 if mtp else None, model=model, engine_version=version,
    )  # fmt: skip
    check(downgrade(asked, keep), gpu, gpus)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_what_cannot_be_done_is_not_done_by_chance_either(data):
    """Nothing drawn at random fits where the search says that nothing does, up to the utilization that ``tune`` leaves."""
    gpu = data.draw(st.sampled_from(["h100_sxm", "rtx_5090", "h20_96", "l4", "b200_sxm", "rtx_pro_6000"]))
    gpus = data.draw(st.sampled_from([1, 2, 4]))
    ladder = downgrade(preset("conservative", gpu, gpus))
    if ladder.outcome != "cannot":
        return
    tp = data.draw(st.sampled_from([size for size in (1, 2, 4) if gpus % size == 0]))
    drawn = Deployment(
        gpu=gpu, gpus=gpus, tensor_parallel_size=tp, pipeline_parallel_size=gpus // tp,
        model=data.draw(st.sampled_from(["zai-org/GLM-5.2-FP8", "nvidia/GLM-5.2-NVFP4"])),
        kv_cache_dtype=data.draw(st.sampled_from([None, "bfloat16", "fp8", "fp8_ds_mla", "nvfp4_ds_mla"])),
        decode_context_parallel_size=data.draw(st.sampled_from([None, tp])),
        max_model_len=data.draw(st.integers(1024, 32_000)), max_num_seqs=data.draw(st.integers(1, 16)),
        max_num_batched_tokens=data.draw(st.integers(512, 8192)), enforce_eager=data.draw(st.booleans()),
        gpu_memory_utilization=data.draw(st.floats(0.3, 0.99)),
    )  # fmt: skip
    made = plan(drawn)
    assert made.verdict.status != "fits" or drawn.gpu_memory_utilization > ceiling_of(made)


@pytest.mark.parametrize("keep", KEEPS)
@pytest.mark.parametrize(
    ("gpu", "gpus", "extra"),
    [("h100_sxm", 8, {}), ("h200_sxm", 8, {}), ("gh200_141", 4, {}), ("h200_sxm", 8, {"max_num_seqs": 1024}),
     ("rtx_pro_6000", 8, {"max_num_seqs": 1024, "speculative_method": "mtp", "num_speculative_tokens": 3,
                          "model": "nvidia/GLM-5.2-NVFP4"})],
)  # fmt: skip
def test_no_step_is_idle(gpu, gpus, extra, keep):
    """Without any one of its steps a ladder no longer fits, and none moves again what another moved."""
    ladder = downgrade(preset("1M", gpu, gpus, **extra), keep)
    assert ladder.fits_after
    assert len({step.flag for step in ladder.steps}) == len(ladder.steps)
    assert ladder.steps
    for left_out in range(len(ladder.steps)):
        asked = ladder.start.resolved.asked
        for index, step in enumerate(ladder.steps):
            if index != left_out:
                asked = asked.changed(**step.taken.rung.changes)
        with contextlib.suppress(InputError):  # the engine refuses it: no fit either
            assert plan(asked).verdict.status != "fits"


def test_four_priorities_differ_where_they_should():
    """8 x H200 at 1M: the KV record and context parallelism, or a shorter length, by what is to be kept."""
    flags = {keep: {step.flag for step in downgrade(preset("1M"), keep).steps} for keep in KEEPS}
    assert flags["context"] == {"--kv-cache-dtype", "--decode-context-parallel-size"}
    assert "--max-model-len" not in flags["context"] | flags["users"]
    assert "--kv-cache-dtype" not in flags["quality"]
    assert "--decode-context-parallel-size" not in flags["speed"]
    many = preset("balanced", "h100_nvl", max_num_seqs=1024, model="nvidia/GLM-5.2-NVFP4", max_model_len=524_288)
    users, context = downgrade(many, "users"), downgrade(many, "context")
    assert users.fits_after
    assert context.fits_after
    assert "--max-num-seqs" not in {step.flag for step in users.steps}
    assert context.end.resolved.max_model_len == 524_288


GENTLER = ("max_num_batched_tokens", "max_num_seqs", "max_num_seqs_low", "kv_cache_dtype", "decode_context_parallel_size",
           "max_model_len", "max_model_len_low", "speculative_method", "model")  # fmt: skip


@pytest.mark.parametrize("keep", KEEPS)
@pytest.mark.parametrize("limit", [None, *dict.fromkeys(LIMIT_OF.values())])
def test_last_resorts_come_last_in_every_order(keep, limit):
    """Decode 1.7 to 4 times slower, chunks of 512 tokens, one request at once: after all that is not itself kept to the last."""
    ranked = order(limit, keep)
    kept = order(None, keep)[-3:] if keep in ("context", "users") else ()
    kept = ("kv_cache_dtype", "model") if keep == "quality" else kept
    for resort in ("max_num_batched_tokens_low", "max_cudagraph_capture_size_low", "enforce_eager"):
        for gentle in GENTLER:
            assert ranked.index(gentle) < ranked.index(resort) or gentle in kept
    if keep != "users":
        assert ranked.index("max_num_seqs_low") < ranked.index("max_num_seqs_least")
        assert ranked.index("max_model_len_low") < ranked.index("max_num_seqs_least") or keep == "context"
    assert ranked.index("decode_context_parallel_size") < ranked.index("gpu_memory_utilization_up") or keep == "speed"


def test_quality_is_kept_by_a_shorter_length_before_any_last_resort():
    """A million tokens of bf16 KV on 8 x H200: ``solve`` gives 407,168 tokens at 0.95 with 256 requests and its graphs."""
    ladder = downgrade(Deployment(gpu="h200_sxm", tensor_parallel_size=8, max_model_len=1_048_576), "quality")
    assert ladder.fits_after
    end = ladder.end.resolved
    assert (end.record, end.asked.enforce_eager, end.max_num_batched_tokens) == ("bf16", False, 8192)
    assert end.max_model_len > 400_000
    assert end.max_num_seqs >= 16


def test_speed_is_kept_without_giving_up_all_users_but_one():
    """One request in place of 16 would buy a tenth more length."""
    asked = Deployment(
        model="nvidia/GLM-5.2-NVFP4", gpu="rtx_pro_6000", tensor_parallel_size=8, max_model_len=1_048_576,
        speculative_method="mtp", num_speculative_tokens=3,
    )  # fmt: skip
    ladder = downgrade(asked, "speed")
    assert ladder.fits_after
    end = ladder.end.resolved
    assert end.max_num_seqs >= 16
    alone = max(length for length in range(400_000, 600_000, 1000) if plan(end.asked.changed(max_num_seqs=1, max_model_len=length)).verdict.status == "fits")  # fmt: skip
    assert alone < 1.2 * end.max_model_len


def test_requests_go_down_no_further_than_needed():
    """The same deployment holds with a cap of 256, so 64 is not asked for."""
    asked = Deployment(gpu="h200_sxm", tensor_parallel_size=8, max_model_len=1_048_576)
    end = downgrade(asked, "context").end.resolved
    assert end.max_num_seqs == 256
    assert plan(end.asked.changed(max_num_seqs=1024)).verdict.status != "fits"


@pytest.mark.parametrize(
    ("gpu", "seqs", "keep"),
    [("h100_sxm", 1, "context"), ("h200_sxm", 4, "speed"), ("h200_sxm", 1024, "quality"), ("b200_sxm", 256, "users"),
     ("rtx_pro_6000", 64, "context")],
)  # fmt: skip
def test_tune_does_not_take_back_what_downgrade_gave(gpu, seqs, keep):
    """The last command of a ladder, handed to ``tune`` with a scrape of a running server, is not above its ceiling."""
    ladder = downgrade(Deployment(gpu=gpu, gpus=8, max_model_len=1_048_576, max_num_seqs=seqs), keep)
    assert ladder.fits_after
    scrape = (Path(__file__).resolve().parents[1] / "data" / "metrics_under_load.prom").read_text(encoding="utf-8")
    advice = tune(Deployment.from_command(ladder.command, gpu=gpu, gpus=8), read_metrics(scrape))
    assert advice.decision.kind == "hold"


def test_a_million_tokens_on_eight_h100_need_no_more_utilization():
    """NVFP4 weights, FP8 KV and DCP 8 hold one such request at the default 0.92."""
    ladder = downgrade(Deployment(gpu="h100_sxm", gpus=8, max_model_len=1_048_576, max_num_seqs=1))
    assert ladder.fits_after
    assert ladder.end.resolved.gpu_memory_utilization == 0.92


def test_four_gpus_of_80_gb_do_not_hold_even_the_4_bit_checkpoint():
    """Published bytes of the smallest checkpoint that is budgeted, against what the driver reports of four H100."""
    published = next(row["total_bytes"] for row in checkpoints() if row["repo"] == "nvidia/GLM-5.2-NVFP4")
    assert published > 4 * 79.18 * GIB
    ladder = downgrade(preset("conservative", "h100_sxm", 4))
    assert ladder.outcome == "cannot"
    assert ladder.to_dict()["nearest"]["gpus"] == 8


@pytest.mark.parametrize("gpu", ["a100_80_sxm", "l40s", "rtx_4090"])
def test_no_kernel_is_said_as_such(gpu):
    data = downgrade(preset("conservative", gpu)).to_dict()
    assert data["outcome"] == "cannot"
    assert "no sparse-MLA kernel" in data["reason"]
    assert data["steps"] == []
    assert data["nearest"]["gpu"] != gpu


@pytest.mark.parametrize("gpu", ["mi300x", "mi325x", "mi355x"])
def test_amd_is_marginal_at_best_and_says_so(gpu):
    data = downgrade(preset("1M", gpu)).to_dict()
    assert data["outcome"] == "marginal"
    assert data["fits_after"] is False
    assert "cannot be better than marginal" in data["reason"]


def test_a_cap_on_requests_is_no_step_where_it_moves_nothing():
    """The pool is paged: 2 in place of 1 requests need no more of it to start."""
    ladder = downgrade(preset("1M", max_num_seqs=2))
    assert "--max-num-seqs" not in {step.flag for step in ladder.steps}


def test_a_step_onto_plain_fp8_kv_shows_the_safe_record_beside():
    data = downgrade(preset("1M", "b200_sxm", 4)).to_dict()
    assert data["steps"]
    for step in data["steps"]:
        assert step["reported_loss"]
        assert "fp8_ds_mla" in step["quality_cost"]
        assert step["safe"]["to"] == "fp8_ds_mla"
        assert step["safe"]["status"] == again(step["safe"]["command"], "b200_sxm", 4).verdict.status
    kept = downgrade(preset("1M", "b200_sxm", 4), "quality")
    assert kept.fits_after
    assert kept.end.resolved.record == "fp8_ds_mla"


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1024, 1_048_576), st.sampled_from(KEEPS))
def test_a_printed_pool_is_worked_on_alone(pool, length, keep):
    asked = preset("1M", max_model_len=length, available_kv_bytes=pool * GIB)
    ladder = downgrade(asked, keep)
    allowed = {"--kv-cache-dtype", "--decode-context-parallel-size", "--max-model-len"}
    assert {step.flag for step in ladder.steps} <= allowed
    assert ladder.end.resolved.asked.available_kv_bytes == pool * GIB
    assert ladder.fits_after


def test_printed_weights_do_not_stand_for_another_checkpoint():
    ladder = downgrade(preset("conservative", "h100_sxm", weights_bytes=89 * GIB))
    assert ladder.fits_after
    assert ladder.end.resolved.asked.weights_bytes is None


@pytest.mark.parametrize("death", ["runtime_workspace", "runtime_activation", "cuda_graph_capture"])
def test_after_a_death_beyond_the_line_utilization_never_goes_up(death):
    asked = preset(
        "balanced", engine_version="0.25.0", kv_cache_dtype="fp8", max_num_batched_tokens=32_768, max_num_seqs=256
    )
    ladder = downgrade(asked, death=death)
    assert ladder.steps
    assert ladder.end.resolved.gpu_memory_utilization <= 0.88
    moved = sum(step.taken.gained_bytes for step in ladder.steps)
    assert moved >= GIB


def test_after_a_death_in_sparse_decode_the_chunk_comes_first():
    """The reported mend of vllm-project/vllm#53413 on releases without pull request 53755."""
    asked = preset("balanced", engine_version="0.25.0", kv_cache_dtype="fp8", max_num_batched_tokens=32_768)
    ladder = downgrade(asked, death="runtime_workspace")
    assert ladder.steps[0].flag == "--max-num-batched-tokens"
    assert ladder.steps[0].taken.gained_bytes >= 6 * GIB  # 8 GiB of accumulators at 32,768 tokens, 2 at 8,192


def test_preemption_is_mended_by_fewer_requests_or_by_a_larger_pool():
    asked = preset("balanced", max_num_seqs=64)
    few, kept = downgrade(asked, "context", "preemption_not_oom"), downgrade(asked, "users", "preemption_not_oom")
    assert [step.flag for step in few.steps] == ["--max-num-seqs"]
    held = few.end.kv.low.max_concurrency
    assert few.end.resolved.max_num_seqs <= held
    assert kept.steps[0].flag != "--max-num-seqs"
    assert kept.end.resolved.max_num_seqs > few.end.resolved.max_num_seqs


@pytest.mark.parametrize("death", ["host_ram", "not_oom_other"])
def test_what_no_memory_flag_mends_gets_no_step(death):
    data = downgrade(preset("1M"), death=death).to_dict()
    assert data["steps"] == []
    assert death in data["reason"]
    assert data["fits_after"] is False


@pytest.mark.parametrize(
    ("words", "field"), [({"keep": "contxt"}, "keep"), ({"death": "weights_lod"}, "death"), ({"keep": ""}, "keep")]
)
def test_bad_words_name_the_field(words, field):
    with pytest.raises(InputError) as caught:
        downgrade(preset("1M"), **words)
    assert caught.value.field == field


def test_what_fits_needs_no_step():
    data = downgrade(preset("conservative")).to_dict()
    assert data["steps"] == []
    assert data["fits_after"] is True
    assert data["reason"] is None
    assert data["nearest"] is None


@settings(max_examples=60, deadline=None)
@given(
    death=st.sampled_from(["startup_free_memory", "weights_load", "profile_run_activation", "startup_no_kv_blocks",
                           "startup_kv_too_small", "cuda_graph_capture", "runtime_workspace", "runtime_activation",
                           "preemption_not_oom"]),
    name=st.sampled_from(sorted(PRESETS)),
    gpu=st.sampled_from(KNOWN),
    gpus=st.sampled_from([1, 4, 8]),
    keep=st.sampled_from(KEEPS),
    extra=st.sampled_from([{}, {"speculative_method": "mtp"}, {"kv_cache_dtype": "bfloat16", "decode_context_parallel_size": 2},
                           {"kv_cache_memory_bytes": 60 * GIB}, {"gpu_memory_utilization": 0.98}]),
)  # fmt: skip
def test_any_death_on_any_tier(death, name, gpu, gpus, keep, extra):
    """A death that a log showed asks for memory at its own limit; what does not get there is a reasoned "cannot"."""
    if gpus == 1:
        extra = {key: value for key, value in extra.items() if key != "decode_context_parallel_size"}
    ladder = downgrade(preset(name, gpu, gpus, **extra), keep, death)
    data = ladder.to_dict()
    assert (data["reason"] is None) is data["fits_after"]
    assert all(step["gained_bytes"] > 0 or step["limit"] == "supported" for step in data["steps"])
    check_said(ladder)
    if data["fits_after"]:
        assert plan(ladder.end.resolved.asked).verdict.status == "fits"
        assert data["steps"]  # something has to change: the log's server died


def test_a_start_with_another_kv_record_is_said():
    """To keep quality the ladder does not begin with plain FP8 KV, the default of SM10x (sgl-project/sglang#22671)."""
    asked = Deployment(
        model="nvidia/GLM-5.2-NVFP4",
        gpu="gb300_nvl72",
        tensor_parallel_size=2,
        max_model_len=1_048_576,
        max_num_seqs=256,
    )
    told = {keep: downgrade(asked, keep).to_dict()["warnings"] for keep in ("quality", "context")}
    assert any("begins with --kv-cache-dtype fp8_ds_mla" in text for text in told["quality"])
    assert not any("begins with" in text for text in told["context"])
    stated = downgrade(asked.changed(kv_cache_dtype="fp8_ds_mla"), "quality").to_dict()["warnings"]
    assert not any("begins with" in text for text in stated)
