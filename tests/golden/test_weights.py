"""Weight bytes against published checkpoints and the engine's sharding, to the byte or to what was printed."""

import json

import pytest

from glmcalc.budget.weights import Split, weights_by_stage
from glmcalc.facts.errors import InputError
from glmcalc.facts.store import read_text
from glmcalc.model.checkpoint import Checkpoint, load_checkpoint
from glmcalc.model.geometry import read_geometry
from glmcalc.model.recipes import read_recipe

GIB = 2**30

# Tensor bytes as the publishers' safetensors indexes state them (data/checkpoints.jsonl has the URLs).
PUBLISHED = {
    "zai-org/GLM-5.2": 1_506_659_919_872,
    "zai-org/GLM-5.2-FP8": 755_617_140_416,
    "zai-org/GLM-5.3-FP8": 755_617_140_416,
    "nvidia/GLM-5.2-NVFP4": 464_795_267_072,
    "zai-org/GLM-5-FP8": 756_162_687_872,
    "deepseek-ai/DeepSeek-V3.2": 689_471_107_200,
}


@pytest.mark.parametrize("model", PUBLISHED)
def test_checkpoint_bytes(model):
    assert load_checkpoint(model).total_bytes == PUBLISHED[model]


def test_fp8_without_the_mtp_layer():
    """The size that a public decode profile states for GLM-5.2-FP8 without layer 78."""
    assert load_checkpoint("zai-org/GLM-5.2-FP8").bytes_without_mtp == 745_584_507_456


def test_first_five_layers_in_bf16():
    """A published slice of the checkpoint: layers 0 to 4, embedding, head, norm, no MTP layer (Pinaster/GLM-5.2_5layer)."""
    config = json.loads(read_text("models/GLM-5.2.json"))
    config |= {"num_hidden_layers": 5, "num_nextn_predict_layers": 0}
    config |= {"indexer_types": config["indexer_types"][:5], "mlp_layer_types": config["mlp_layer_types"][:5]}
    slice_ = Checkpoint("slice", read_geometry(config), read_recipe(config), False)
    assert slice_.total_bytes == 45_683_868_160


def test_glm_5_1_and_5_3_share_a_geometry_with_their_siblings():
    assert load_checkpoint("zai-org/GLM-5.1-FP8").total_bytes == PUBLISHED["zai-org/GLM-5-FP8"]
    assert load_checkpoint("zai-org/GLM-5.3").total_bytes == PUBLISHED["zai-org/GLM-5.2"]


def test_parameters_against_an_independent_count():
    """The transformers class counts 743,377,019,904 main parameters and 9,952,920,576 of the MTP layer."""
    checkpoint = load_checkpoint("zai-org/GLM-5.2")
    mtp = sum(module.parameters for module in checkpoint.modules if checkpoint.is_mtp(module))
    assert checkpoint.parameters == 753_329_940_480
    assert mtp == 9_952_920_576


def test_deepseek_v3_elements():
    """DeepSeek-V3 publishes 684,531,386,000 elements, scales counted; ours differ by less than 0.1 %."""
    checkpoint = load_checkpoint("deepseek-ai/DeepSeek-V3")
    assert checkpoint.parameters == pytest.approx(684_531_386_000, rel=1e-3)


# GiB on each GPU from the engine's sharding rules (vLLM 0.33.0), worked out independently of this code.
PER_GPU = [
    ("zai-org/GLM-5.2-FP8", Split(tp=8), 88.46),
    ("zai-org/GLM-5.2-FP8", Split(tp=8, ep=True), 88.46),
    ("zai-org/GLM-5.2-FP8", Split(tp=8, mtp=True), 89.78),
    ("zai-org/GLM-5.2-FP8", Split(tp=4), 175.33),
    ("zai-org/GLM-5.2-FP8", Split(tp=16, mtp=True), 45.77),
    ("zai-org/GLM-5.2-FP8", Split(dp=8, ep=True), 105.76),
    ("zai-org/GLM-5.2-FP8", Split(dp=16, ep=True), 63.56),
    ("zai-org/GLM-5.2-FP8", Split(tp=8, all_indexers=True), 89.01),
    ("zai-org/GLM-5.2-FP8", Split(), 696.53),
    ("zai-org/GLM-5.2", Split(tp=8), 175.65),
    ("zai-org/GLM-5.2", Split(tp=16), 89.29),
    ("zai-org/GLM-5.2", Split(), 1384.65),
]


@pytest.mark.parametrize(("model", "split", "gib"), PER_GPU)
def test_bytes_of_one_gpu(model, split, gib):
    (stage,) = weights_by_stage(load_checkpoint(model), split)
    assert round(stage.total / GIB, 2) == gib


# What servers printed ("Model loading took", SGLang's weight line), minus the 0.25 to 1.0 GiB of load extras.
PRINTED = [
    ("zai-org/GLM-5.1-FP8", Split(tp=8), 89.39),
    ("zai-org/GLM-5.2-FP8", Split(tp=8, all_indexers=True), 89.44),
    ("nvidia/GLM-5.2-NVFP4", Split(tp=4, all_indexers=True), 107.74),
]


@pytest.mark.parametrize(("model", "split", "printed"), PRINTED)
def test_printed_weights_lie_above_the_sum_by_the_load_extras(model, split, printed):
    (stage,) = weights_by_stage(load_checkpoint(model), split)
    assert 0.25 <= printed - stage.total / GIB <= 1.0


def test_a_cut_scale_block_is_refused_as_the_engine_does():
    with pytest.raises(InputError, match=r"tensor_parallel_size must be .* 64 of 2,048"):
        weights_by_stage(load_checkpoint("zai-org/GLM-5.2-FP8"), Split(tp=32))


def test_pipeline_stages_hold_the_whole_model():
    checkpoint = load_checkpoint("zai-org/GLM-5.2-FP8")
    (whole,) = weights_by_stage(checkpoint, Split(tp=8))
    for pp in (2, 3, 4, 8):
        assert sum(stage.main for stage in weights_by_stage(checkpoint, Split(tp=8, pp=pp))) == whole.main


@pytest.mark.parametrize(
    ("quantization", "model"), [("fp8", "zai-org/GLM-5.2-FP8"), ("modelopt_fp4", "nvidia/GLM-5.2-NVFP4")]
)
def test_a_quantization_means_the_checkpoint_that_has_it(quantization, model):
    assert load_checkpoint("zai-org/GLM-5.2", quantization).total_bytes == PUBLISHED[model]
