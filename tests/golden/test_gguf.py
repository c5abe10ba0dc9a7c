"""GGUF sizes against the published files: to the tensor where types are known, inside the band where there is a label."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmcalc.facts.errors import InputError
from glmcalc.facts.models import find_model, load_config
from glmcalc.facts.quantity import GIB
from glmcalc.model.geometry import read_geometry
from glmcalc.model.gguf import gguf_bytes, is_gguf_label, label_band, published_files
from glmcalc.model.gguf_layout import gguf_tensors
from glmcalc.model.gguf_recipe import GgufRecipe, catalogued_bytes, gguf_tensor_bytes, gguf_types, parse_recipe

GLM52 = read_geometry(load_config(find_model("zai-org/GLM-5.2")))
# Bytes of the files of unsloth/GLM-5.2-GGUF, as the hub lists them.
PUBLISHED = {
    "UD-IQ1_S": 216_715_360_960, "UD-IQ1_M": 228_492_966_624, "UD-IQ2_XXS": 238_458_632_928, "UD-IQ2_M": 238_577_580_768,
    "UD-Q2_K_XL": 253_878_401_856, "UD-IQ3_XXS": 281_688_431_424, "UD-IQ3_S": 308_641_029_024, "UD-Q3_K_M": 342_735_510_656,
    "UD-Q3_K_XL": 342_965_972_096, "UD-IQ4_XS": 365_313_223_776, "UD-IQ4_NL": 372_661_644_384, "UD-Q4_K_S": 436_431_842_432,
    "UD-Q4_K_M": 465_825_525_088, "UD-Q4_K_XL": 467_289_111_904, "UD-Q5_K_S": 527_259_270_528, "UD-Q5_K_M": 560_830_479_904,
    "UD-Q5_K_XL": 562_466_258_496, "UD-Q6_K": 625_858_969_376, "UD-Q6_K_XL": 684_369_510_240, "Q8_0": 801_357_672_256,
    "UD-Q8_K_XL": 819_700_080_736, "BF16": 1_507_988_023_008,
}  # fmt: skip


@pytest.mark.parametrize("label", PUBLISHED)
def test_a_published_file_is_known_by_its_bytes(label):
    size = gguf_bytes(label)
    assert (size.low_bytes, size.bytes, size.high_bytes) == (PUBLISHED[label],) * 3
    assert size.basis == "measured"
    assert size.source.startswith("https://")


@pytest.mark.parametrize("label", PUBLISHED)
def test_a_label_alone_holds_the_published_size(label):
    """Each of the 22 files left out in turn: what the label and the other 21 say must hold it."""
    others = {name: size for name, size in PUBLISHED.items() if name != label}
    size = label_band(label, GLM52, others)
    assert size.low_bytes <= PUBLISHED[label] <= size.high_bytes
    assert size.bytes != PUBLISHED[label]


def test_bands_of_labels_are_no_wider_than_they_need_be():
    """A band of 50 % and more would hold anything; UD-Q8_K_XL alone has nothing but BF16 above it."""
    widths = {
        label: (size := label_band(label, GLM52, {n: s for n, s in PUBLISHED.items() if n != label})).high_bytes
        / size.low_bytes
        for label in PUBLISHED
    }
    assert max(width for label, width in widths.items() if label != "UD-Q8_K_XL") < 1.6
    assert sorted(widths.values())[len(widths) // 2] < 1.3


@pytest.mark.parametrize(("label", "recipe"), [("Q8_0", "Q8_0"), ("BF16", "BF16")])
def test_files_of_one_type_tensor_by_tensor(label, recipe):
    total = gguf_tensor_bytes(GLM52, GgufRecipe(recipe, recipe, recipe, recipe, indexer_proj="own"))
    assert total == pytest.approx(PUBLISHED[label], rel=1e-3)
    assert 9_000_000 < PUBLISHED[label] - total < 10_000_000  # the metadata


def test_a_mix_tensor_by_tensor():
    """UD-IQ2_XXS, whose headers were read: 9.54 MB below the file, 18.5 % above what the label's bits would give."""
    total = catalogued_bytes("UD-IQ2_XXS")
    assert total == 238_449_091_584
    assert PUBLISHED["UD-IQ2_XXS"] - total == 9_541_344
    assert catalogued_bytes("UD-Q4_K_M") is None


def test_the_layout_is_the_file_s():
    """1,809 tensors and 753,864,139,008 elements, as counted in the file's headers."""
    tensors = gguf_tensors(GLM52)
    assert sum(tensor.count for tensor in tensors) == 1809
    assert sum(tensor.elements for tensor in tensors) == 753_864_139_008


def test_another_publisher_s_recipe():
    """Deviad/GLM-5.2-mixed-IQ2S-experts-IQ4NL-rest: its card says 232 GiB and 2.64 bits a weight."""
    size = gguf_bytes("rest=IQ4_NL,experts=IQ2_S,mtp=IQ4_NL")
    assert round(size.bytes / GIB) == 232
    assert round(8 * size.bytes / 753_864_139_008, 2) == 2.64
    assert size.basis == "exact"


def test_a_bare_label_means_the_file_and_says_what_else_it_may_be():
    size = gguf_bytes("q4_k_m")
    assert size.bytes == PUBLISHED["UD-Q4_K_M"]
    assert size.low_bytes < size.bytes < size.high_bytes
    assert "UD-Q4_K_M" in size.note


def test_a_label_without_a_file_says_that_it_is_an_estimate():
    size = gguf_bytes("Q3_K_S")
    assert size.basis == "estimated"
    assert "recipe" in size.note
    assert size.low_bytes < size.bytes < size.high_bytes


def test_a_published_file_stands_for_no_other_model():
    size = gguf_bytes("UD-Q4_K_M", model="zai-org/GLM-5.1")
    assert size.basis == "estimated"
    assert size.low_bytes < PUBLISHED["UD-Q4_K_M"] < size.high_bytes


@pytest.mark.parametrize(
    "label", ["Q9_K", "IQ4_K", "Q4", "rest=Q8_0", "rest=Q8_0,experts=Q9_0", "rest=F16,up=F16,up=F16"]
)
def test_what_llama_cpp_has_not_is_refused(label):
    with pytest.raises(InputError) as caught:
        gguf_bytes(label)
    assert caught.value.field == "quantization"


def test_the_layout_of_another_family_is_refused():
    with pytest.raises(InputError, match="deepseek_v32"):
        gguf_bytes("Q8_0", model="deepseek-ai/DeepSeek-V3.2")


@pytest.mark.parametrize("text", ["Q4_K_M", "ud-iq2_xxs", "Q8_0", "F16", "MXFP4_MOE", "rest=Q8_0,experts=IQ1_S"])
def test_labels_of_gguf(text):
    assert is_gguf_label(text)


@pytest.mark.parametrize(
    "text", ["bf16", "fp8", "nvfp4", "mxfp4", "awq", "w4a16", "w4afp8", "mlx-4bit", "modelopt_fp4"]
)
def test_no_labels_of_gguf(text):
    assert not is_gguf_label(text)


KINDS = st.sampled_from(sorted(gguf_types()))


@given(KINDS, KINDS, KINDS, KINDS, st.sampled_from(["rest", "up", "gate", "down"]), KINDS)
def test_bytes_grow_with_bits(rest, up, gate, down, part, other):
    """One part in a larger type makes a larger file, unless rows that are no whole blocks fall back the other way."""
    recipe = {"rest": rest, "up": up, "gate": gate, "down": down}
    before, after = GgufRecipe(**recipe), GgufRecipe(**{**recipe, part: other})
    bits = [gguf_types()[kind].bits_per_weight for kind in (recipe[part], other)]
    sizes = [gguf_tensor_bytes(GLM52, one) for one in (before, after)]
    if bits[0] < bits[1]:
        assert sizes[0] < sizes[1]
    elif bits[0] == bits[1] and part != "rest":
        assert sizes[0] == sizes[1]


@given(KINDS, KINDS)
def test_a_file_lies_between_its_types(one, other):
    uniform = [gguf_tensor_bytes(GLM52, GgufRecipe(kind, kind, kind, kind)) for kind in (one, other)]
    mixed = gguf_tensor_bytes(GLM52, parse_recipe(f"rest={one},experts={other}"))
    assert min(uniform) <= mixed <= max(uniform)


def test_the_published_sizes_are_the_data_s():
    assert published_files() == PUBLISHED
