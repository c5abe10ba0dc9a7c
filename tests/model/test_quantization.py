"""A ``--quantization`` beside a model: what is budgeted, what the command names, and what is refused."""

import json
import re

import pytest

from glmcalc import Deployment, InputError, plan
from glmcalc.facts.models import base_name, model_entries, model_names
from glmcalc.facts.store import read_text
from glmcalc.model.checkpoint import load_checkpoint
from glmcalc.model.recipes import read_recipe


def budget(**settings):
    return plan(
        Deployment(
            **{"gpu": "b200_sxm", "tensor_parallel_size": 8, "max_model_len": 131_000, "max_num_seqs": 16, **settings}
        )
    )


@pytest.mark.parametrize(
    ("model", "quantization", "budgeted", "flag"),
    [
        ("zai-org/GLM-5.2-FP8", "nvfp4", "nvidia/GLM-5.2-NVFP4", False),
        ("zai-org/GLM-5.2", "fp8", "zai-org/GLM-5.2-FP8", False),
        ("zai-org/GLM-5.2-FP8", "bf16", "zai-org/GLM-5.2", False),
        ("zai-org/GLM-5.1", "modelopt_fp4", "lukealonso/GLM-5.1-NVFP4-MTP", False),
        ("nvidia/GLM-5.2-NVFP4", "modelopt_fp4", "nvidia/GLM-5.2-NVFP4", True),
        ("GLM-5.2-FP8", None, "zai-org/GLM-5.2-FP8", False),
    ],
)
def test_the_command_names_what_was_budgeted(model, quantization, budgeted, flag):
    made = budget(model=model, quantization=quantization)
    words = made.command.split()
    assert words[2] == budgeted
    assert ("--quantization" in words) == flag
    again = plan(Deployment.from_command(made.command, gpu="b200_sxm"))
    assert again.components == made.components


@pytest.mark.parametrize("model", [name for name in model_names() if base_name(name) != "GLM-5.2"])
@pytest.mark.parametrize("quantization", ["bf16", "fp8", "nvfp4", "mxfp4", "w4afp8", "w4a16", "awq", "mlx-4bit"])
def test_another_model_never_stands_in(model, quantization):
    """GLM-5 and GLM-5.1, 5.2 and 5.3 have the same shape, and are other models for all that."""
    named = base_name(model)
    if any(base_name(entry.id) == named and entry.format == quantization for entry in model_entries()):
        assert base_name(load_checkpoint(model, quantization).name) == named
        return
    with pytest.raises(InputError, match=re.escape(named)) as caught:
        load_checkpoint(model, quantization)
    assert caught.value.field == "quantization"


def test_a_refusal_names_the_nearest():
    with pytest.raises(InputError, match=r"no nvfp4 checkpoint of GLM-5 is known.*GLM-5\.1-NVFP4-MTP, another model's"):
        load_checkpoint("zai-org/GLM-5", "nvfp4")


def test_quantization_while_loading_is_another_thing():
    """vLLM makes FP8 of BF16 weights itself; the published FP8 checkpoint is not what that gives."""
    (said,) = [
        text for text in budget(model="zai-org/GLM-5.2", quantization="fp8").resolved.warnings if "quantization" in text
    ]
    assert "quantize zai-org/GLM-5.2 itself" in said
    assert "zai-org/GLM-5.2-FP8" in said
    (said,) = [text for text in budget(quantization="nvfp4").resolved.warnings if "quantization" in text]
    assert "holds fp8" in said


@pytest.mark.parametrize("quantization", ["Q4_K_M", "Q8_0", "UD-Q2_K_XL", "IQ1_S", "gguf"])
def test_a_gguf_file_is_no_checkpoint_for_this_engine(quantization):
    with pytest.raises(InputError, match=r"llama\.cpp"):
        load_checkpoint("zai-org/GLM-5.2", quantization)


def test_a_file_stands_for_itself(tmp_path):
    """A ``config.json`` of one's own has no name by which a checkpoint in another format could be its own."""
    path = tmp_path / "config.json"
    path.write_text(read_text("models/GLM-5.json"), encoding="utf-8")
    with pytest.raises(InputError, match=r"give the config\.json of the nvfp4 checkpoint"):
        load_checkpoint(str(path), "nvfp4")


def test_a_changed_file_is_another_checkpoint(tmp_path):
    path = tmp_path / "config.json"
    config = json.loads(read_text("models/GLM-5.2.json"))
    path.write_text(json.dumps(config), encoding="utf-8")
    before = load_checkpoint(str(path))
    assert (before.total_bytes, before.bytes_without_mtp) == (
        load_checkpoint("zai-org/GLM-5.2").total_bytes, load_checkpoint("zai-org/GLM-5.2").bytes_without_mtp,
    )  # fmt: skip
    path.write_text(json.dumps({**config, "num_nextn_predict_layers": 0}), encoding="utf-8")
    assert load_checkpoint(str(path)).total_bytes == before.bytes_without_mtp
    path.write_text(json.dumps(config), encoding="utf-8")
    assert load_checkpoint(str(path)) == before


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path):
    path = tmp_path / "config.json"
    path.write_text("\ufeff" + read_text("models/GLM-5.2.json"), encoding="utf-8")
    assert load_checkpoint(str(path)).total_bytes == load_checkpoint("zai-org/GLM-5.2").total_bytes


@pytest.mark.parametrize("model", model_names())
def test_formats_by_layer_are_those_of_each(model):
    """The lists of excluded names sorted by layer give what matching each whole name gives."""
    found = load_checkpoint(model)
    layers = range(found.geometry.num_hidden_layers + 1)
    for name in {
        module.name.replace("experts.", "experts.7.") for module in found.modules if module.layers is not None
    }:
        grouped = found.recipe.formats(layers, name)
        assert sorted(layer for group in grouped.values() for layer in group) == list(layers)
        for fmt, group in grouped.items():
            assert {found.recipe.format_of(f"model.layers.{layer}.{name}") for layer in group} == {fmt}


def test_a_name_that_spans_layers_is_matched_one_by_one():
    quantization = {
        "quant_method": "modelopt",
        "quant_algo": "NVFP4",
        "ignore": ["model.layers.1*", "*.o_proj", "model.layers.2.mlp*"],
    }
    recipe = read_recipe({"model_type": "glm_moe_dsa", "quantization_config": quantization})
    assert recipe.formats(range(12), "mlp.up_proj") == {"nvfp4": [0, 3, 4, 5, 6, 7, 8, 9], "bf16": [1, 2, 10, 11]}
    assert recipe.formats(range(3), "self_attn.o_proj") == {"bf16": [0, 1, 2]}
