"""``glmcalc speed``: which preset, which band, what is capped, what is refused, and what stays unknown."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glmcalc.facts.errors import InputError
from glmcalc.facts.store import load_jsonl
from glmcalc.model.deployment import Deployment
from glmcalc.present.cli import main
from glmcalc.speed.acceptance import acceptance_length
from glmcalc.speed.estimate import speed
from glmcalc.speed.presets import choose, context_ranks_cost, preset, presets

H200 = Deployment(gpu="h200_sxm", tensor_parallel_size=8, kv_cache_dtype="fp8")
SGLANG = Deployment(gpu="h200_sxm", tensor_parallel_size=8, engine="sglang", engine_version="0.5.18")
M3_ULTRA = Deployment(gpu="mac_m3_ultra_512", engine="llama.cpp", quantization="UD-Q4_K_XL")
FIGURES = ("ttft_s", "tpot_ms", "tok_s_user", "tok_s_total")


def mtp(deployment, drafts):
    return deployment.changed(speculative_method="mtp", num_speculative_tokens=drafts)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 200_000), st.integers(1, 256), st.integers(0, 6))
def test_bands_are_in_order_and_hold_their_middle(context, concurrency, drafts):
    found = speed(mtp(H200, drafts) if drafts else H200, context, concurrency)
    for name in FIGURES[1:]:
        band = getattr(found, name)
        assert 0 < band.low <= band.mid <= band.high < math.inf
    assert found.tok_s_user.mid * found.tpot_ms.mid == pytest.approx(1000)
    assert found.tok_s_total.mid == pytest.approx(found.running * found.tok_s_user.mid)
    assert found.running <= concurrency
    assert found.tok_s_user.width <= 4.0 + 1e-9  # a preset exists


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 200_000), st.integers(1, 200_000))
def test_a_longer_context_is_never_faster(one, other):
    short, long = sorted((one, other))
    assert speed(H200, short, 1).tok_s_user.mid >= speed(H200, long, 1).tok_s_user.mid
    assert speed(H200, short, 1).ttft_s.mid <= speed(H200, long, 1).ttft_s.mid


def test_presets_hold_their_own_middle():
    for one in presets():
        for figure in (one.floor_ms, one.slope, one.scan_factor):
            assert 0 < figure.low <= figure.mid <= figure.high, one.id
        assert one.rows, one.id


@pytest.mark.parametrize(
    ("gpu", "engine", "version", "fmt", "chosen", "band"),
    [
        ("h200_sxm", "vllm", "0.33.0", "fp8", "vllm_summer_2026", "B"),
        ("h200_sxm", "sglang", None, "fp8", "sglang_summer_2026_hopper", "A"),
        ("h200_sxm", "sglang", "v0.5.13.post1", "fp8", "sglang_summer_2026_hopper", "A"),
        ("h200_sxm", "sglang", "0.5.10", "fp8", "sglang_spring_2026", "A"),
        ("b200_sxm", "sglang", "0.5.10", "nvfp4", "sglang_spring_2026_fp4", "A"),
        ("b200_sxm", "sglang", "0.5.18", "nvfp4", "sglang_summer_2026_blackwell_nvfp4", "A"),
        ("h100_sxm", "sglang", "0.5.18", "fp8", "sglang_summer_2026_hopper", "B"),
        ("h20_96", "sglang", "0.5.18", "w4afp8", "sglang_summer_2026_hopper", "B"),
        ("mi355x", "sglang", None, "fp8", "sglang_mi355x", "A"),
        ("mi355x", "vllm", "0.33.0", "fp8", "sglang_mi355x", "C"),
        ("mi325x", "sglang", None, "fp8", "sglang_mi300x", "B"),
        ("rtx_pro_6000", "vllm", "0.33.0", "nvfp4", "vllm_rtx_pro_6000", "A"),
        ("rtx_pro_6000", "sglang", None, "nvfp4", "vllm_rtx_pro_6000", "C"),
        ("mac_m3_ultra_512", "llama.cpp", None, "Q4_K_M", "apple_m3_ultra", "B"),
        ("mac_m4_max_128", "llama.cpp", None, "Q4_K_M", "apple_m3_ultra", "C"),
        ("dgx_spark_gb10", "vllm", "0.33.0", "nvfp4", "vllm_dgx_spark", "C"),
    ],
)
def test_the_preset_is_of_the_same_vendor_and_class_first(gpu, engine, version, fmt, chosen, band):
    from glmcalc.facts.hardware import device

    found = choose(device(gpu), engine, version, fmt)
    assert (found.preset.id, found.band) == (chosen, band)
    assert found.preset.vendor == device(gpu).vendor
    assert bool(found.why) == (band != "A")


def test_without_a_record_of_the_stack_the_label_says_so():
    found = speed(Deployment(gpu="mi355x", tensor_parallel_size=8), 9216, 1)
    assert found.basis == "no measurement of this stack"
    assert found.records == 0
    assert found.tok_s_user.width == pytest.approx(2.7**2)
    assert "stands in" in found.why[0]


def test_one_row_is_a_single_report():
    spark = Deployment(
        model="nvidia/GLM-5.2-NVFP4", gpu="dgx_spark_gb10", tensor_parallel_size=4, available_kv_bytes=20 << 30
    )
    found = speed(spark, 131_072, 1)
    assert (found.basis, found.records, found.band) == ("a single report", 0, "C")


@pytest.mark.parametrize(
    ("deployment", "context", "words"),
    [
        (Deployment(gpu="a100_80_sxm", tensor_parallel_size=16), 8192, "A100"),
        (Deployment(gpu="l40s", tensor_parallel_size=16, pipeline_parallel_size=2), 8192, "this generation"),
        (Deployment(gpu="gaudi3", tensor_parallel_size=8), 8192, "Gaudi"),
        (Deployment(gpu="tpu_v6e", tensor_parallel_size=16, pipeline_parallel_size=2), 8192, "TPU"),
        (Deployment(gpu="ascend_910c", tensor_parallel_size=16), 8192, "Ascend"),
        (Deployment(gpu="strix_halo_128", tensor_parallel_size=4), 8192, "Strix Halo"),
        (
            Deployment(gpu="mac_m3_ultra_256", gpus=2, engine="llama.cpp", quantization="UD-Q2_K_XL"),
            8192,
            "several Macs",
        ),
        (Deployment(gpu="mac_m3_ultra_512", engine="llama.cpp", quantization="BF16"), 8192, "does not hold"),
        (Deployment(gpu="mac_m3_ultra_512", model="nvidia/GLM-5.2-NVFP4"), 8192, "--engine llama.cpp"),
        (Deployment(gpu="h20_141", tensor_parallel_size=8), 8192, "bandwidth"),
        (H200, 200_001, "beyond 200,000"),
        (Deployment(gpu="h100_sxm", tensor_parallel_size=8), 8192, "does not hold one request"),
    ],
)
def test_what_is_not_known_has_no_number_and_a_reason(deployment, context, words):
    found = speed(deployment, context, 1)
    data = found.to_dict()
    assert words in found.reason
    assert all(data[name] is None for name in FIGURES)
    assert data["basis"] == ("does not fit" if "hold" in words else "no measurement of this stack")
    assert data["records"] == 0


def test_extrapolation_is_asked_for_and_labelled():
    found = speed(Deployment(gpu="b200_sxm", tensor_parallel_size=8), 1_000_000, 1, extrapolate=True)
    assert found.basis == "extrapolated"
    assert found.band == "C"
    assert 60 < found.ttft_s.mid < 600  # minutes, not seconds


def test_the_pool_caps_what_runs():
    few = speed(H200, 131_072, 400)
    assert few.running < 400
    assert any("the KV pool holds" in note for note in few.notes)
    assert few.ttft_s is None
    assert few.tok_s_user.mid == speed(H200, 131_072, few.running).tok_s_user.mid
    assert speed(H200.changed(max_num_seqs=2), 8192, 16).running == 2


def test_a_queue_has_no_time_to_the_first_token_and_saturation_no_figure():
    assert speed(H200, 2048, 64).ttft_s is None
    assert "queue" in speed(H200, 1024, 900).reason


@pytest.mark.parametrize(
    ("drafts", "length"), [(1, 1.84), (2, 2.5), (3, 2.99), (4, 3.33), (5, 3.61), (6, 3.78), (8, 4.06)]
)
def test_acceptance_is_that_of_real_text(drafts, length):
    assert acceptance_length(drafts) == length
    found = speed(mtp(H200, drafts), 9216, 1)
    assert found.acceptance == length
    assert found.tok_s_user.mid > speed(H200, 9216, 1).tok_s_user.mid


@given(st.integers(0, 20))
def test_more_drafts_accept_no_less_and_never_more_than_they_are(drafts):
    assert acceptance_length(drafts) <= acceptance_length(drafts + 1)
    assert 1 <= acceptance_length(drafts) <= drafts + 1


def test_a_stated_acceptance_narrows_the_band():
    assumed = speed(mtp(SGLANG, 5), 9216, 1)
    stated = speed(mtp(SGLANG, 5), 9216, 1, acceptance_length=3.5)
    assert stated.tok_s_user.width == pytest.approx(1.35**2)
    assert assumed.tok_s_user.width > stated.tok_s_user.width
    assert assumed.tok_s_user.width < 2.0
    assert stated.tpot_ms.mid == pytest.approx(5.05, rel=0.1)  # published: 5.05 ms, 198 tok/s


def test_other_requests_prompts_slow_decoding_down():
    alone = speed(H200, 9216, 16)
    mixed = speed(H200, 9216, 16, input_length=8192, output_length=1024)
    assert mixed.tok_s_user.mid < alone.tok_s_user.mid
    assert any("left out" in note for note in alone.notes)
    assert speed(H200, 9216, 16, input_length=8192).tok_s_user == mixed.tok_s_user
    assert speed(H200, 9216, 16, output_length=1024).tok_s_user == mixed.tok_s_user


def test_special_software_is_named_and_serves_one():
    b200 = Deployment(model="zai-org/GLM-5.1-FP8", gpu="b200_sxm", tensor_parallel_size=8)
    found = speed(b200, 131_072, 1, engine_preset="tilert_b200")
    assert found.tok_s_user.low <= 176 <= found.tok_s_user.high  # published at 128K
    assert found.tok_s_user.mid > speed(b200, 131_072, 1).tok_s_user.mid
    assert "one request" in speed(b200, 8192, 2, engine_preset="tilert_b200").reason
    assert preset("tilert_b200").single_request


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("context", {"context": 0}),
        ("context", {"context": 10_000_000}),
        ("concurrency", {"concurrency": 0}),
        ("input_length", {"input_length": 0}),
        ("input_length", {"input_length": 9000}),
        ("output_length", {"output_length": -1}),
        ("acceptance_length", {"acceptance_length": 2.0}),
        ("engine_preset", {"engine_preset": "sglang_sumer_2026_hopper"}),
        ("engine_preset", {"engine_preset": "sglang_mi300x"}),
    ],
)
def test_bad_input_names_its_field(field, values):
    with pytest.raises(InputError) as caught:
        speed(H200, **{"context": 8192, "concurrency": 1, **values})
    assert caught.value.field == field


def test_a_context_beyond_the_deployment_is_refused():
    with pytest.raises(InputError) as caught:
        speed(H200.changed(max_model_len=32_768), 65_536, 1)
    assert caught.value.field == "context"


def test_experts_in_host_memory_have_no_figure():
    for kept in ({"n_cpu_moe": 40}, {"cpu_moe": True}, {"n_gpu_layers": 20}, {"kv_on_cpu": True}):
        found = speed(M3_ULTRA.changed(**kept), 8192, 1)
        assert "host memory" in found.reason
        assert found.tok_s_user is None


@pytest.mark.parametrize(("label", "measured"), [("Q4_K_M", 14.3), ("UD-Q4_K_XL", 15.3)])
def test_a_mac_runs_ggufs_as_its_records_say(label, measured):
    """14.3 tok/s of llama.cpp with Q4_K_M, 15.3 of oMLX with 4.5 bits a weight, both on an M3 Ultra (jundot/omlx issue 2113)."""
    found = speed(M3_ULTRA.changed(quantization=label), 4096, 1)
    assert found.tok_s_user.low <= measured <= found.tok_s_user.high
    assert found.tok_s_user.mid == pytest.approx(measured, rel=0.25)
    assert found.records == 5


def run(capsys, *argv):
    code = main(list(argv))
    return code, capsys.readouterr()


def test_the_command(capsys):
    text = "speed --gpu h200_sxm -tp 8 --kv-cache-dtype fp8 --context 9216 --concurrency 4 --input-length 8K --output-length 1K"
    line = text.split()
    code, printed = run(capsys, *line, "--json")
    data = json.loads(printed.out)
    assert code == 0
    for name in FIGURES:
        assert set(data[name]) == {"low", "mid", "high"}
    assert data["records"] == 5
    code, printed = run(capsys, *line)
    assert code == 0
    assert len(printed.out.splitlines()) <= 24
    assert printed.out.startswith(f"{float(data['tok_s_user']['mid']):.3g} tok/s")
    code, printed = run(capsys, "speed", "--gpu", "gaudi3", "-tp", "8", "--context", "8K", "--concurrency", "1")
    assert code == 1
    assert printed.out.startswith("NO FIGURE")
    code, printed = run(capsys, *line, "--acceptance-length", "x", "--json")
    assert code == 2
    assert json.loads(printed.out)["error"]["field"] == "acceptance_length"


def test_the_terminal_answer_loads_neither_numpy_nor_pandas():
    code = "import sys; from glmcalc.present.cli import main; main(sys.argv[1:]); print(*sorted(sys.modules), file=sys.stderr)"
    line = ["speed", "--gpu", "h200_sxm", "-tp", "8", "--context", "8192", "--concurrency", "1", "--json"]
    done = subprocess.run([sys.executable, "-c", code, *line], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stderr.split()}
    assert "glmcalc" in loaded
    assert loaded.isdisjoint({"numpy", "pandas", "yaml", "tabulate", "dataclasses"})


NVFP4 = Deployment(model="nvidia/GLM-5.2-NVFP4", gpu="rtx_pro_6000", tensor_parallel_size=8)
MEASURED_WITH_DCP = {2: 33.2, 4: 34.0, 8: 27.0}  # tok/s of one stream that has 39.6 without (rtx6kpro#25)


@pytest.mark.parametrize("deployment", [NVFP4, H200, mtp(H200, 3)], ids=["RTX PRO", "H200", "H200 with MTP"])
@pytest.mark.parametrize("context", [8_192, 131_072])
@pytest.mark.parametrize("size", MEASURED_WITH_DCP)
def test_decode_context_parallelism_is_never_faster_and_may_cost_what_was_measured(deployment, context, size):
    spread = speed(deployment.changed(decode_context_parallel_size=size), context, 1)
    whole = speed(deployment, context, 1)
    assert spread.tok_s_user.mid <= whole.tok_s_user.mid * (1 + 1e-9)
    assert spread.band >= "B"
    assert spread.tok_s_user.low <= whole.tok_s_user.mid * MEASURED_WITH_DCP[size] / 39.6
    assert spread.tok_s_user.low < whole.tok_s_user.low
    notes = [note for note in spread.notes if "decode context parallelism" in note]
    assert len(notes) == 1
    assert "https://github.com/local-inference-lab/rtx6kpro/issues/25" in notes[0]
    assert not any("decode context parallelism" in note for note in whole.notes)


def test_a_wide_band_is_wider_by_what_was_measured():
    """vLLM on H200 is rated B already: 2.0 times to each side, and independent of it 39.6 / 27.0 at DCP 8."""
    whole, spread = (speed(H200.changed(decode_context_parallel_size=size), 65_536, 1).tok_s_user for size in (None, 8))
    factor = math.exp(math.hypot(math.log(2.0), math.log(39.6 / 27.0)))
    assert spread.low == pytest.approx(whole.mid / factor, rel=1e-6)
    assert spread.high == pytest.approx(whole.high, rel=1e-6)


def test_the_cost_of_context_parallelism_is_the_published_one_wherever_it_is_said():
    said = context_ranks_cost()
    assert said["tok_s"] == {"1": 39.6, **{str(size): value for size, value in MEASURED_WITH_DCP.items()}}
    rows = {
        row["dcp"]: row["output_tok_s"] for row in load_jsonl("throughput.jsonl") if row["source"] == said["source"]
    }
    assert {size: value for size, value in rows.items() if size > 1} == MEASURED_WITH_DCP
    step = next(row for row in load_jsonl("downgrade_steps.jsonl") if row["id"] == "decode_context_parallel_size")
    assert step["speed_source"] == said["source"]
    assert "slower: 39.6 to 33.2, 34.0 or 27.0 tok/s at 2, 4 or 8" in step["speed_cost"]


@pytest.mark.parametrize(
    ("deployment", "known"),
    [
        (Deployment(gpu="h200_sxm", tensor_parallel_size=8, pipeline_parallel_size=2, kv_cache_dtype="fp8"), False),
        (Deployment(gpu="h200_sxm", tensor_parallel_size=16), False),
        (Deployment(gpu="h200_sxm", tensor_parallel_size=8, pipeline_parallel_size=1, kv_cache_dtype="fp8"), True),
        (Deployment(gpu="gb200_nvl72", tensor_parallel_size=16), True),
    ],
)
def test_over_a_network_no_speed_is_published(deployment, known):
    """An HGX board joins eight GPUs (nvidia.com/data-center/hgx), an NVL72 rack 72; of two boards no row of the model is known."""
    found = speed(deployment, 8_192, 1)
    assert (found.tok_s_user is not None) == known
    assert known or "2 nodes of 8 GPUs" in found.reason
