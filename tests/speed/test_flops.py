"""IndexShare's arithmetic, held to figures that were derived by hand from the published configuration."""

import numpy as np
import pytest

from glmcalc.model.checkpoint import load_checkpoint
from glmcalc.speed import flops
from glmcalc.speed.traffic import traffic_of

FP8 = load_checkpoint("zai-org/GLM-5.2-FP8")
WORK = flops.work_of(FP8)


def test_constants_follow_from_the_config():
    """40B active, 22.2 GF of core, 8,192 FLOPs a position and indexer, 21 of 78 layers (config.json of GLM-5.2)."""
    assert WORK.active == pytest.approx(40e9, rel=0.01)
    assert flops.core_flops(WORK, 8192) == pytest.approx(22.2e9, rel=0.005)
    assert WORK.core_per_position == 2 * 64 * (576 + 512) * 78
    assert WORK.scan_per_position == 2 * 32 * 128 == 8192
    assert (WORK.indexers, WORK.topk) == (21, 2048)


def test_weights_by_how_ranks_read_them():
    bf16 = load_checkpoint("zai-org/GLM-5.2")
    halved = traffic_of(bf16)
    assert halved.routed / 2 == pytest.approx(724.8e9, rel=0.001)
    attention = 165_019_648 * 78  # q_a, kv_a, q_b, kv_b and o of one layer, from the config's sizes
    indexers = 21 * 9.4e6
    rest = 4.5e9
    assert (halved.sharded + halved.replicated) / 2 == pytest.approx(attention + indexers + rest, rel=0.02)
    assert attention == pytest.approx(12.9e9, rel=0.005)
    assert traffic_of(FP8).routed == pytest.approx(724.8e9, rel=0.001)
    nvfp4 = traffic_of(load_checkpoint("nvidia/GLM-5.2-NVFP4"))
    assert nvfp4.routed == pytest.approx(724.8e9 * 0.5625, rel=0.001)
    assert nvfp4.sharded / traffic_of(FP8).sharded == pytest.approx(2, rel=0.1)  # its attention stays BF16


def test_other_bits_stand_for_formats_without_a_recipe():
    bf16 = load_checkpoint("zai-org/GLM-5.2")
    half = traffic_of(bf16, 8.0, 8.0)
    assert half.routed == pytest.approx(traffic_of(bf16).routed / 2)


@pytest.mark.parametrize(
    ("context", "core", "ratio"),
    [
        (1_048_576, False, 2.88), (1_048_576, True, 2.73), (131_072, True, 1.49), (131_072, False, 1.60),
        (65_536, True, 1.27), (32_768, True, 1.14), (8_192, True, 1.04), (524_288, True, 2.27), (524_288, False, 2.44),
    ],
)  # fmt: skip
def test_sharing_saves_this_much(context, core, ratio):
    assert flops.sharing_ratio(WORK, context, 78, core) == pytest.approx(ratio, abs=0.01)


def test_without_sharing_is_glm51():
    same = flops.work_of(load_checkpoint("zai-org/GLM-5.1-FP8"))
    assert same.indexers == 78
    assert flops.token_flops(same, 131_072) == pytest.approx(flops.token_flops(WORK, 131_072, 78), rel=0.01)


@pytest.mark.parametrize(
    ("tokens", "indexers", "petaflop"),
    [(131_072, 21, 14.9), (524_288, 21, 77.3), (1_048_576, 21, 201.8), (131_072, 78, 18.9), (1_048_576, 78, 458.5)],
)
def test_a_whole_prompt(tokens, indexers, petaflop):
    assert flops.prefill_flops(WORK, tokens, indexers) == pytest.approx(petaflop * 1e15, rel=0.005)


def test_against_grouped_query_attention():
    g = FP8.geometry
    assert flops.gqa_bytes_per_token(g) == 638_976
    assert flops.gqa_bytes_per_token(g, kv_heads=64) == 5_111_808  # multi-head
    assert flops.gqa_read_s(g, 131_072, 4.8e12) == pytest.approx(0.01745, rel=0.001)
    assert flops.gqa_core_flops(g, 2048) > flops.core_flops(WORK, 2048) / 3


def test_columns_go_through_as_numbers_do():
    contexts = [1, 1000, 2047, 2048, 2049, 8192, 1_048_576]
    columns = flops.sharing_ratio(WORK, np.array(contexts, dtype=float), 78)
    assert columns.tolist() == [flops.sharing_ratio(WORK, float(c), 78) for c in contexts]
    assert flops.attended(np.array(contexts), 2048).tolist() == [min(c, 2048) for c in contexts]
