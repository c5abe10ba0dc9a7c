"""llama.cpp's budget against what it printed (data/observations.jsonl, and logs of a real build), and against its own rules."""

import csv
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glmcalc import Deployment, InputError, plan
from glmcalc.budget.llamacpp import cell_bytes
from glmcalc.facts.evidence import observations
from glmcalc.facts.quantity import GIB, MIB
from glmcalc.model.checkpoint import load_checkpoint

ROWS = {row["id"]: row for row in observations()}
PRINTED = list(csv.DictReader((Path(__file__).parent / "llamacpp_kv_sizes.csv").open(encoding="utf-8")))
MODELS = {"glm52": "zai-org/GLM-5.2", "glm51": "zai-org/GLM-5.1", "ds2": "deepseek-ai/DeepSeek-V3"}


def budget(**stated):
    return plan(Deployment(engine="llama.cpp", **stated))


@pytest.mark.parametrize("row", PRINTED, ids=lambda row: "-".join(list(row.values())[:5]))
def test_cache_sizes_as_llama_cpp_printed_them(row):
    """Buffers of a real build (commit 0c1e57098), to the 0.01 MiB that it prints; ``n_seq_max`` leaves the total."""
    shape = load_checkpoint(MODELS[row["gguf"]]).geometry
    layers = int(row["layers"])
    sizes = {"main": (layers, 0), "mtp": (layers, 0), "indexer": (0, layers)}[row["part"]]
    cells = int(row["cells_per_seq"]) * int(row["n_seq_max"])
    assert cell_bytes(shape, row["type"], *sizes) * cells / MIB == pytest.approx(float(row["MiB"]), abs=0.006)
    assert float(row["V_MiB"]) == 0


@pytest.mark.parametrize(("model", "layers"), [("zai-org/GLM-5.2", 21), ("zai-org/GLM-5.1", 78)])
def test_layers_with_an_indexer_cache(model, layers):
    """As in those logs: 21 of GLM-5.2, all of GLM-5.1."""
    assert budget(model=model, gpu="h200_sxm", gpus=8, quantization="Q8_0", ctx_size=16384).resolved.indexers == layers


@pytest.mark.parametrize("name", [f"dfch-llamacpp-glm52-q5-{size}" for size in (524288, 768000)])
def test_published_logs_to_the_byte(name):
    row = ROWS[name]
    kv = budget(
        model="unsloth/GLM-5.2-GGUF:UD-Q5_K_XL", gpu="b200_sxm", gpus=4, ctx_size=row["max_model_len"]
    ).kv.to_dict()
    seen = row["observed"]
    assert kv["bytes_per_token"] == seen["bytes_per_token"] == 95_232
    assert kv["needed_bytes"] / MIB == seen["kv_main_mib"] + seen["kv_indexer_mib"]


def test_the_compute_buffers_of_a_log_lie_in_the_band():
    """Two contexts of one machine: 13,388 MiB more over four GPUs for 128,000 tokens, 95,232 bytes of each of them cache."""
    big, small = (
        ROWS[f"dfch-llamacpp-glm52-q5-{end}"]["observed"]["gpu_total_used_mib"] for end in ("896000", "768000-total")
    )
    seen = (big - small) * MIB - 128_000 * 95_232
    ends = [
        budget(gpu="b200_sxm", gpus=4, quantization="UD-Q5_K_XL", ctx_size=size).component("compute_buffer").band
        for size in (768_000, 896_000)
    ]
    likely = 4 * (ends[1].likely - ends[0].likely)
    assert likely == pytest.approx(seen, rel=0.05)
    assert 4 * (ends[1].low - ends[0].low) < seen < 4 * (ends[1].high - ends[0].high)


@pytest.mark.parametrize(
    ("model", "kind", "version", "bytes_per_token", "least"),
    [
        ("zai-org/GLM-5.2", "f16", None, 95_232, None),
        ("zai-org/GLM-5.2", "q8_0", None, 78 * 612 + 21 * 136, None),
        ("zai-org/GLM-5.2", "q4_0", None, 78 * 324 + 21 * 72, None),
        ("zai-org/GLM-5.1", "f16", None, 109_824, None),
        ("zai-org/GLM-5.2", "f16", "2026-08-01", 109_824, None),
        ("zai-org/GLM-5.2", "f16", "2026-08-10", 109_824, 95_232),
        ("zai-org/GLM-5.2", "f16", "2026-06-05", 89_856, None),
        ("zai-org/GLM-5.2", "f16", "b9525", 109_824, 95_232),
    ],
)
def test_bytes_a_token_by_type_model_and_build(model, kind, version, bytes_per_token, least):
    stated = {"engine_version": version} if version else {}
    kv = budget(model=model, gpu="h200_sxm", quantization="Q8_0", cache_type_k=kind, ctx_size=32768, **stated).kv
    assert (kv.bytes_per_token, kv.bytes_per_token_low) == (bytes_per_token, least)


def test_weights_are_the_files_bytes_less_what_is_not_loaded():
    """All on one device: the file without input embedding and MTP layer (logs: "model has unused tensor blk.78")."""
    made = budget(gpu="mac_m3_ultra_512", quantization="BF16", ctx_size=4096)
    embedding, mtp = 154_880 * 6144, 9_952_920_576
    assert made.component("weights").band.likely == pytest.approx(1_507_988_023_008 - 2 * (embedding + mtp), rel=0.0005)
    assert made.to_dict()["host"]["weights_bytes"] == pytest.approx(2 * embedding, rel=0.001)


def test_experts_on_the_cpu():
    """--cpu-moe, --n-cpu-moe of all layers and exps=CPU are one thing; 75 layers of experts are 97 % of the model."""
    stated = {"gpu": "h100_sxm", "quantization": "Q8_0", "ctx_size": 32768}
    ways = [{"cpu_moe": True}, {"n_cpu_moe": 78}, {"override_tensor": ("exps=CPU",)}]
    sizes = {budget(**stated, **way).component("weights").band.likely for way in ways}
    assert len(sizes) == 1
    assert sizes.pop() < 0.035 * 801_357_672_256
    half = budget(**stated, n_cpu_moe=40).resolved.experts_on_cpu
    assert half == 37  # of layers 0 to 39 three have no experts
    one_pattern = budget(**stated, override_tensor=(r"blk\.(3|4)\.ffn_up_exps=CUDA0", "ffn_up_exps=CPU")).resolved
    assert one_pattern.experts_on_cpu == pytest.approx(73 / 3)


def test_layers_left_on_the_cpu_take_their_cache_along():
    all_of_it = budget(gpu="h200_sxm", quantization="Q8_0", ctx_size=32768)
    some = budget(gpu="h200_sxm", quantization="Q8_0", ctx_size=32768, n_gpu_layers=41)
    assert some.resolved.gpu_layers == 39  # the output counts as one, the unused MTP layer as another
    assert some.component("kv_pool").band.likely == all_of_it.component("kv_pool").band.likely // 2
    none = budget(gpu="h200_sxm", quantization="Q8_0", ctx_size=32768, n_gpu_layers=0)
    assert none.component("weights").band.likely == none.component("kv_pool").band.likely == 0
    kept = budget(gpu="h200_sxm", quantization="Q8_0", ctx_size=32768, kv_on_cpu=True)
    assert kept.component("kv_pool").band.likely == 0
    assert kept.to_dict()["host"]["kv_bytes"] == 32768 * 95_232


def test_a_macs_working_set():
    """A quarter of a Mac's memory is not the GPU's unless it is told so; the log's own figure replaces the band."""
    stated = {"gpu": "mac_m3_ultra_512", "quantization": "UD-Q4_K_XL", "ctx_size": 131072}
    default = budget(**stated)
    assert default.memory.likely == 384 * GIB
    assert default.verdict.status == "does_not_fit"
    assert "iogpu.wired_limit_mb" in default.verdict.advice
    raised = budget(**stated, gpu_memory_bytes=476 * GIB)
    assert raised.verdict.status == "fits"
    assert budget(gpu="mac_m3_ultra_256", quantization="UD-Q2_K_XL", ctx_size=32768).verdict.status == "does_not_fit"


def test_moving_experts_frees_nothing_where_memory_is_shared():
    stated = {"gpu": "mac_m3_ultra_256", "quantization": "UD-Q4_K_XL", "ctx_size": 8192, "cpu_moe": True}
    assert budget(**stated, kept=("--no-mmap",)).verdict.status == "does_not_fit"
    verdict = budget(**stated).verdict
    assert (verdict.status, verdict.stage) == ("marginal", "host_ram")
    assert "from disk" in verdict.reason


def test_the_deaths_in_llama_cpps_own_words():
    weights = budget(gpu="h100_sxm", quantization="Q8_0", ctx_size=8192).verdict
    assert weights.stage == "weights_load"
    assert "cudaMalloc failed: out of memory" in weights.engine_message
    cache = budget(gpu="h100_sxm", quantization="Q8_0", ctx_size=1048576, cpu_moe=True).verdict
    assert (cache.status, cache.stage) == ("does_not_fit", "startup_kv_too_small")
    assert "failed to allocate buffer for kv cache" in cache.engine_message


def test_slots_share_the_cells():
    """n_seq_max splits n_ctx and leaves the total; vLLM's own name for the length says it of one request."""
    shared = budget(gpu="b200_sxm", gpus=8, quantization="Q8_0", ctx_size=131072, parallel=4).to_dict()["kv"]
    assert (shared["cells"], shared["slot_cells"], shared["max_concurrency"]) == (131072, 32768, 4)
    each = budget(gpu="b200_sxm", gpus=8, quantization="Q8_0", max_model_len=32768, max_num_seqs=4).to_dict()["kv"]
    assert (each["cells"], each["needed_bytes"]) == (131072, shared["needed_bytes"])
    assert budget(gpu="b200_sxm", gpus=8, quantization="Q8_0").resolved.cells == 1_048_576  # -c 0: the model's own


def test_what_a_path_names():
    path = "models/unsloth/GLM-5.2-UD-Q4_K_XL-00001-of-00011.gguf"
    made = budget(model=path, gpu="mac_m3_ultra_512", ctx_size=8192)
    assert made.resolved.file.size.bytes == 467_289_111_904
    assert made.command == f"llama-server -m {path} -c 8192 -ngl 99 -ctk f16"
    hub = budget(model="unsloth/GLM-5.2-GGUF", gpu="mac_m3_ultra_512", ctx_size=8192)
    assert hub.resolved.file.label == "Q4_K_M"  # what -hf takes where nothing is said
    printed = budget(model="GLM-5.2-mine.gguf", gpu="h200_sxm", ctx_size=8192, weights_bytes=100 * GIB)
    assert printed.component("weights").band.likely == 100 * GIB


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4000), st.integers(0, 78), st.sampled_from(["f16", "q8_0", "q4_0"]))
def test_more_context_never_needs_less(blocks, moved, kind):
    stated = {"gpu": "h200_sxm", "quantization": "UD-Q2_K_XL", "cache_type_k": kind, "n_cpu_moe": moved}
    less, more = (budget(**stated, ctx_size=256 * count) for count in (blocks, blocks + 1))
    assert more.kv.more["needed_bytes"] - less.kv.more["needed_bytes"] == 256 * less.kv.bytes_per_token
    assert more.component("compute_buffer").band.likely > less.component("compute_buffer").band.likely
    for part in less.components:
        assert part.band.low <= part.band.likely <= part.band.high


@pytest.mark.parametrize(
    ("stated", "field"),
    [
        ({"tensor_parallel_size": 2}, "tensor_parallel_size"),
        ({"mem_fraction_static": 0.9}, "mem_fraction_static"),
        ({"kv_cache_dtype": "fp8"}, "kv_cache_dtype"),
        ({"cache_type_k": "q6_k"}, "cache_type_k"),
        ({"ctx_size": 2_000_000}, "ctx_size"),
        ({"model": "models/Llama-3.3-70B-Q8_0.gguf"}, "model"),
        ({"model": "nvidia/GLM-5.2-NVFP4", "quantization": None}, "quantization"),
        ({"override_tensor": ("(a+)+=CPU",)}, "override_tensor"),
        ({"override_tensor": ("exps",)}, "override_tensor"),
        ({"engine_version": "next"}, "engine_version"),
    ],
)
def test_bad_input_names_its_field(stated, field):
    with pytest.raises(InputError) as caught:
        budget(gpu="h200_sxm", **{"quantization": "Q8_0", "ctx_size": 8192, **stated})
    assert caught.value.field == field
