"""W4AFP8, W4A16, AWQ, MXFP4 and MLX: bytes against the published checkpoints, the split over GPUs, and where they run."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmcalc import Deployment, plan
from glmcalc.budget.weights import Split, main_bands, weights_by_stage
from glmcalc.facts.errors import InputError
from glmcalc.facts.hardware import device, devices
from glmcalc.facts.models import model_entries
from glmcalc.facts.quantity import GB, GIB
from glmcalc.facts.store import read_text
from glmcalc.model.checkpoint import load_checkpoint
from glmcalc.model.format_support import format_refusals, nearest_four_bit
from glmcalc.model.formats import QUANTIZED, int4_bytes, mlx_affine_bytes
from glmcalc.model.recipes import linear_bytes
from glmcalc.solve.checkpoint_table import checkpoint_table
from glmcalc.solve.gguf_table import gguf_table
from glmcalc.solve.tables import models_rows

# Tensor bytes as published (data/checkpoints.jsonl has the URLs).
PUBLISHED = {"PhalaCloud/GLM-5.2-W4AFP8": 399_693_862_592, "mlx-community/GLM-5.2-4bit": 418_320_895_488}


@pytest.mark.parametrize("model", PUBLISHED)
def test_published_tensor_bytes(model):
    assert load_checkpoint(model).total_bytes == PUBLISHED[model]


def test_mlx_mxfp4_as_published():
    assert round(load_checkpoint("mlx-community/GLM-5.2-mxfp4").total_bytes / GB, 2) == 395.09


def test_mxfp4_of_glm_5_3_against_its_files_and_their_headers():
    """438,001,945,864 B of files, 115,902 tensors; GiB by module as a reader of all headers gives them."""
    checkpoint = load_checkpoint("OneNexus/GLM-5.3-MXFP4")
    headers = 438_001_945_864 - checkpoint.total_bytes
    assert 120 < headers / 115_902 < 132  # bytes of a safetensors header a tensor, as in the other checkpoints
    main = {}
    for module in checkpoint.modules:
        group = "attention" if module.group.startswith("attention") else module.group
        main[group] = main.get(group, 0) + module.stored_bytes
    said = {"routed experts": 376.59, "attention": 24.28, "indexer": 0.38, "dense MLP": 1.27, "shared experts": 1.47}
    assert {name: round(main[name] / GIB, 2) for name in said} == pytest.approx(said, abs=0.011)
    assert round(checkpoint.total_bytes / GIB, 2) == 407.91
    assert round((checkpoint.total_bytes - checkpoint.bytes_without_mtp) / GIB, 2) == 18.54


@pytest.mark.parametrize(
    ("quantization", "printed_gb"),
    [("w4a16", 405.0), ("w4a16", 405 * GIB / GB), ("w4a16", 390.0), ("awq", 440.0), ("awq", 390.0)],
)
def test_a_recipe_that_is_not_stated_gives_a_band_that_holds_what_was_printed(quantization, printed_gb):
    """canada-quant's 405 GB holds in either unit; 390 GB is said of two repositories, 440 GB of one."""
    checkpoint = load_checkpoint("zai-org/GLM-5.2", quantization)
    band = checkpoint.total_band
    assert band.low <= printed_gb * GB <= band.high
    assert band.high / band.low < 1.3
    row = checkpoint_table(Deployment(model="zai-org/GLM-5.2", quantization=quantization, tensor_parallel_size=8))
    assert row["basis"] == "estimated"
    assert any("config.json" in note for note in row["notes"])
    assert row["per_gpu_low_bytes"] < row["per_gpu_bytes"] < row["per_gpu_high_bytes"]


def test_w4a16_of_experts_with_zero_points():
    """The card's recipe as far as it is stated gives 433.7 GB, 403.9 GiB: its "405 GB" is nearer in GiB."""
    checkpoint = load_checkpoint("canada-quant/GLM-5.2-W4A16-MTP")
    assert round(checkpoint.total_bytes / GB, 1) == 433.7
    assert round(checkpoint.total_bytes / GIB, 1) == 403.9


def test_a_gpu_s_share_against_what_a_server_printed():
    """SGLang 0.5.18 printed 52.309 GiB a GPU for GLM-5.3-MXFP4 at TP 8: the tensors and up to 1.1 GiB of its own."""
    (stage,) = weights_by_stage(load_checkpoint("OneNexus/GLM-5.3-MXFP4"), Split(tp=8))
    assert 0.0 <= 52.309 - stage.total / GIB <= 1.1


@pytest.mark.parametrize("model", [entry.id for entry in model_entries() if "mlx" not in entry.format and entry.recipe])
@pytest.mark.parametrize("ep", [False, True])
def test_ranks_hold_the_whole_model(model, ep):
    checkpoint = load_checkpoint(model)
    before = None
    for tp in (1, 2, 4, 8, 16):
        (stage,) = weights_by_stage(checkpoint, Split(tp=tp, ep=ep))
        assert tp * stage.total >= checkpoint.bytes_without_mtp * 0.999
        assert before is None or stage.total < before
        before = stage.total


@pytest.mark.parametrize("quantization", ["w4a16", "awq", "mxfp4"])
def test_bands_hold_the_middle_on_every_stage(quantization):
    checkpoint = load_checkpoint("zai-org/GLM-5.2", quantization)
    for split in (Split(tp=8), Split(tp=4, pp=3), Split(dp=8, ep=True)):
        for band, stage in zip(main_bands(checkpoint, split), weights_by_stage(checkpoint, split)):
            assert band.low < stage.main == band.likely < band.high


def test_a_cut_group_is_refused():
    with pytest.raises(InputError, match=r"groups of 128 columns: mlp\.experts\.down_proj would have 64"):
        weights_by_stage(load_checkpoint("PhalaCloud/GLM-5.2-W4AFP8"), Split(tp=32, ep=False))
    weights_by_stage(load_checkpoint("OneNexus/GLM-5.3-MXFP4"), Split(tp=32))


SIZES = st.integers(1, 64).map(lambda n: 128 * n)


@given(st.sampled_from(sorted(QUANTIZED)), SIZES, SIZES)
def test_four_bits_lie_between_two_and_sixteen(fmt, rows, columns):
    size = QUANTIZED[fmt](rows, columns)
    assert rows * columns // 4 < size < linear_bytes("bf16", rows, columns)


@given(SIZES, SIZES, st.booleans())
def test_smaller_groups_take_more(rows, columns, zero_points):
    sizes = [int4_bytes(rows, columns, group, zero_points) for group in (128, 64, 32)]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == 3
    assert int4_bytes(rows, columns, 128, False) < int4_bytes(rows, columns, 128, True)


@given(SIZES, SIZES)
def test_bytes_grow_with_bits(rows, columns):
    sizes = [mlx_affine_bytes(rows, columns, bits) for bits in (2, 3, 4, 5, 6, 8)]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == 6


@given(st.sampled_from(sorted(QUANTIZED)), SIZES, SIZES, st.sampled_from([2, 4, 8]))
def test_rows_divide_what_columns_keep(fmt, rows, columns, ranks):
    """Slices of the rows hold no less than the whole, and no more than what each stores once."""
    whole, slices = QUANTIZED[fmt](rows, columns), ranks * QUANTIZED[fmt](rows // ranks, columns)
    assert whole <= slices <= whole + 17 * ranks


def config_with(quantization):
    return {**json.loads(read_text("models/GLM-5.2.json")), "quantization_config": quantization}


def read(tmp_path, quantization):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config_with(quantization)), encoding="utf-8")
    return load_checkpoint(str(path))


def test_a_stated_recipe_leaves_no_band(tmp_path):
    """Routed experts alone, asymmetric, group 128, MTP layer left out: what canada-quant's card says."""
    weights = {"num_bits": 4, "type": "int", "group_size": 128, "symmetric": False, "strategy": "group"}
    found = read(tmp_path, {
        "quant_method": "compressed-tensors", "format": "pack-quantized",
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}},
        "ignore": ["lm_head", "re:.*self_attn.*", "re:.*shared_experts.*", r"re:.*layers\.[012]\.mlp\..*", r"re:.*layers\.78\..*"],
    })  # fmt: skip
    assert found.total_bytes == load_checkpoint("canada-quant/GLM-5.2-W4A16-MTP").total_bytes
    assert found.low is None
    row = checkpoint_table(Deployment(model=str(tmp_path)))
    assert (row["quantization"], row["basis"]) == ("w4a16", "exact")


def test_stated_w4afp8_and_awq(tmp_path):
    fp8 = json.loads(read_text("models/GLM-5.2-FP8.json"))["quantization_config"]
    stated = {"quant_method": "w4afp8", "group_size": 128, "modules_to_not_convert": fp8["modules_to_not_convert"]}
    assert read(tmp_path, stated).total_bytes == PUBLISHED["PhalaCloud/GLM-5.2-W4AFP8"]
    awq = {
        "quant_method": "awq",
        "bits": 4,
        "group_size": 32,
        "zero_point": True,
        "modules_to_not_convert": ["self_attn", "mlp.shared_experts"],
    }
    least, most = load_checkpoint("zai-org/GLM-5.2", "awq").low, load_checkpoint("zai-org/GLM-5.2", "awq").high
    assert least.total_bytes < read(tmp_path, awq).total_bytes < most.total_bytes


@pytest.mark.parametrize(
    ("stated", "field"),
    [
        ({"quant_method": "w4afp8", "group_size": 64}, "group_size"),
        ({"quant_method": "awq", "bits": 8, "group_size": 128}, "bits"),
        ({"quant_method": "awq", "bits": 4, "group_size": 100}, "group_size"),
        ({"quant_method": "compressed-tensors", "config_groups": {}}, "config_groups"),
        ({"quant_method": "compressed-tensors", "config_groups": {"a": {"targets": ["Linear"], "weights": {"num_bits": 4, "group_size": 128}}}, "ignore": ["re:["]}, "ignore"),
        ({"quant_method": "quark"}, "quant_method"),
    ],
)  # fmt: skip
def test_a_recipe_of_another_layout_is_refused(tmp_path, stated, field):
    with pytest.raises(InputError) as caught:
        read(tmp_path, stated)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("spelling", "model"),
    [
        ("compressed-tensors", "canada-quant/GLM-5.2-W4A16-MTP"),
        ("awq_marlin", "cyankiwi/GLM-5.2-AWQ-INT4"),
        ("quark", "amd/GLM-5.2-MXFP4"),
        ("W4AFP8", "PhalaCloud/GLM-5.2-W4AFP8"),
    ],
)
def test_the_engine_s_spellings(spelling, model):
    assert load_checkpoint("zai-org/GLM-5.2", spelling).name == model


def test_a_spelling_of_two_formats_keeps_the_checkpoint_that_is_named():
    assert load_checkpoint("cyankiwi/GLM-5.2-AWQ-INT4", "compressed-tensors").name == "cyankiwi/GLM-5.2-AWQ-INT4"


@pytest.mark.parametrize(
    ("quantization", "gpu", "said", "instead"),
    [
        ("w4afp8", "h200_sxm", "SGLang does", "w4a16"),
        ("mxfp4", "h200_sxm", "no kernels for H200", "no FP4 cores"),
        ("mxfp4", "b200_sxm", "no kernels for B200", "nvfp4"),
        ("mlx-4bit", "h100_sxm", "MLX does", "w4a16"),
        ("nvfp4", "mi355x", "no kernels on AMD", "mxfp4"),
    ],
)
def test_what_a_device_cannot_run_is_said_with_what_it_can(quantization, gpu, said, instead):
    made = plan(Deployment(model="zai-org/GLM-5.2", quantization=quantization, gpu=gpu, tensor_parallel_size=8))
    assert made.verdict.status == "unsupported"
    assert said in made.verdict.reason
    assert instead in made.verdict.advice


def test_every_engine_on_every_device_has_a_form_to_take():
    """What is advised is not refused: the first format that the phrase names runs there."""
    for chip in devices():
        for engine in ("vllm", "sglang"):
            first = nearest_four_bit(engine, chip).split(",")[0].split(" ")[0]
            if first in ("w4afp8", "w4a16", "nvfp4", "mxfp4"):
                assert format_refusals(first, engine, chip) == [], (chip.id, engine)
    assert format_refusals("w4afp8", "sglang", device("h200_sxm")) == []
    assert "Hopper" in format_refusals("w4afp8", "sglang", device("b200_sxm"))[0]
    assert "llama.cpp does" in format_refusals("gguf", "vllm", device("h200_sxm"))[0]


def test_hopper_takes_w4a16():
    made = plan(Deployment(
        model="zai-org/GLM-5.2", quantization="w4a16", gpu="h200_sxm", tensor_parallel_size=8, max_model_len=131_000,
        max_num_seqs=16, kv_cache_dtype="fp8",
    ))  # fmt: skip
    assert made.verdict.status == "fits"
    weights = next(part for part in made.components if part.name == "weights")
    assert weights.basis == "estimated"
    assert weights.band.low < weights.band.likely < weights.band.high
    assert any("repacks" in text for text in made.resolved.warnings)


def test_mlx_holds_what_is_stored_on_one_machine():
    row = checkpoint_table(Deployment(model="zai-org/GLM-5.2", quantization="mlx-4bit"))
    assert row["per_gpu_bytes"] == row["total_bytes"] == PUBLISHED["mlx-community/GLM-5.2-4bit"]
    assert row["engines"] == ["mlx"]
    with pytest.raises(InputError, match="MLX"):
        checkpoint_table(Deployment(model="zai-org/GLM-5.2", quantization="mlx-4bit", tensor_parallel_size=2))


def test_sglang_loads_w4afp8_by_the_same_split():
    asked = {"model": "zai-org/GLM-5.2", "quantization": "w4afp8", "tensor_parallel_size": 8}
    rows = [checkpoint_table(Deployment(**asked, engine=engine)) for engine in ("vllm", "sglang")]
    assert rows[0]["per_gpu_bytes"] == rows[1]["per_gpu_bytes"]
    assert any("SGLang's own" in note for note in rows[1]["notes"])
    with pytest.raises(InputError) as caught:
        checkpoint_table(Deployment(engine="llama.cpp", model="zai-org/GLM-5.2"))
    assert caught.value.field == "engine"


def test_a_gguf_type_gives_the_file():
    row = gguf_table(Deployment(model="zai-org/GLM-5.2", quantization="Q4_K_M"))
    assert row["total_bytes"] == 465_825_525_088
    assert row["per_gpu_bytes"] is None
    assert row["reason"]
    assert row["parameters"] == 753_864_139_008


def test_the_list_names_the_files_and_what_loads_them():
    rows = {row["id"]: row for row in models_rows()}
    assert rows["unsloth/GLM-5.2-GGUF UD-Q4_K_M"]["total_bytes"] == 465_825_525_088
    assert sum(row["engines"] == ["llama.cpp"] for row in rows.values()) == 22
    assert rows["PhalaCloud/GLM-5.2-W4AFP8"]["engines"] == ["sglang"]
    for row in rows.values():
        assert row["source"].startswith("https://")
        assert row["total_low_bytes"] <= row["total_bytes"] <= row["total_high_bytes"]
