"""A geometry is read, or refused naming the field; never guessed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmcalc.facts.errors import InputError
from glmcalc.facts.store import read_text
from glmcalc.model.checkpoint import load_checkpoint
from glmcalc.model.geometry import read_geometry


def config(name: str = "GLM-5.2", **changes: object) -> dict:
    data = json.loads(read_text(f"models/{name}.json"))
    data.update(changes)
    return {key: value for key, value in data.items() if value != "drop"}


def test_glm_5_2_owns_21_indexers():
    """Layers 0, 1, 2, then every fourth from 6: checked with the engine's own class (vLLM 0.33.0)."""
    owners = read_geometry(config()).indexer_layers
    assert owners == (0, 1, 2, *range(6, 78, 4))
    assert len(owners) == 21


def test_glm_5_and_deepseek_v3_2_own_one_a_layer():
    assert len(read_geometry(config("GLM-5")).indexer_layers) == 78
    assert len(read_geometry(config("DeepSeek-V3.2")).indexer_layers) == 61
    assert read_geometry(config("DeepSeek-V3")).indexer_layers == ()


def test_a_pattern_takes_the_place_of_the_frequency():
    pattern = ["F", "S"] * 39
    data = config(index_topk_pattern=pattern, indexer_types="drop")
    assert read_geometry(data).indexer_layers == tuple(range(0, 78, 2))


REFUSED = [
    ({"model_type": "llama"}, "model_type"),
    ({"model_type": "drop"}, "model_type"),
    ({"architectures": ["LlamaForCausalLM"]}, "architectures"),
    ({"kv_lora_rank": "drop"}, "kv_lora_rank"),
    ({"kv_lora_rank": -1}, "kv_lora_rank"),
    ({"kv_lora_rank": 512.0}, "kv_lora_rank"),
    ({"kv_lora_rank": True}, "kv_lora_rank"),
    ({"num_hidden_layers": 10**12}, "num_hidden_layers"),
    ({"num_hidden_layers": 79}, "mlp_layer_types"),
    ({"indexer_types": ["full"] * 78}, "indexer_types"),
    ({"indexer_types": ["full"] * 77}, "indexer_types"),
    ({"mlp_layer_types": ["dense"] * 78}, "mlp_layer_types"),
    ({"qk_head_dim": 192}, "qk_head_dim"),
    ({"first_k_dense_replace": 79, "mlp_layer_types": "drop"}, "first_k_dense_replace"),
    ({"tie_word_embeddings": True}, "tie_word_embeddings"),
    ({"num_nextn_predict_layers": 2}, "num_nextn_predict_layers"),
    ({"index_topk_freq": 4, "index_skip_topk_offset": "drop"}, "index_skip_topk_offset"),
    ({"index_topk_pattern": "F" * 77}, "index_topk_pattern"),
    ({"index_topk_pattern": "X" * 78}, "index_topk_pattern"),
    ({"num_experts_per_tok": 300}, "num_experts_per_tok"),
]


@pytest.mark.parametrize(("changes", "field"), REFUSED, ids=lambda value: str(value)[:40])
def test_refused_naming_the_field(changes, field):
    with pytest.raises(InputError) as caught:
        read_geometry(config(**changes))
    assert caught.value.field == field
    assert field in caught.value.message


def test_a_dense_family_with_an_indexer_is_a_contradiction():
    with pytest.raises(InputError, match="index_topk"):
        read_geometry(config("DeepSeek-V3", index_topk=2048))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=6,
)


@given(st.sampled_from(sorted(config())), json_values)
def test_any_value_in_any_field_is_read_or_refused(field, value):
    try:
        geometry = read_geometry(config(**{field: value}))
    except InputError:
        return
    assert geometry.num_hidden_layers > 0


@given(json_values)
def test_anything_else_is_refused(value):
    with pytest.raises(InputError):
        read_geometry(value)


@pytest.mark.parametrize("text", ["", "{", '{"model_type": "glm_moe_dsa"', "[]", "nul", "\x00"])
def test_a_broken_file_is_refused(tmp_path, text):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(InputError):
        load_checkpoint(str(path))


def test_a_path_gives_the_same_as_the_known_id(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(read_text("models/GLM-5.2-FP8.json"))
    assert load_checkpoint(str(path)).total_bytes == load_checkpoint("zai-org/GLM-5.2-FP8").total_bytes
    assert load_checkpoint(str(tmp_path)).total_bytes == load_checkpoint("zai-org/GLM-5.2-FP8").total_bytes
