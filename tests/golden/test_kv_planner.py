"""Every field of the KV plan against what the engine's own planner returned, to the byte."""

import json
from pathlib import Path

import pytest

from glmcalc.budget import kv
from glmcalc.budget.weights import stage_layers
from glmcalc.model.checkpoint import load_checkpoint

ROWS = json.loads((Path(__file__).parent / "kv_planner.json").read_text())["rows"]
GEOMETRY = load_checkpoint("zai-org/GLM-5.2").geometry


def planned(request: dict, planner: dict) -> tuple[list[kv.Stage], kv.Pool]:
    pp, block_size = request.get("pp", 1), request.get("block_size", 64)
    record = kv.mla_record_bytes(planner["record"], GEOMETRY.kv_lora_rank, GEOMETRY.qk_rope_head_dim)
    stages = []
    for index, layers in enumerate(stage_layers(GEOMETRY.num_hidden_layers, pp)):
        count = kv.cache_layers(GEOMETRY, layers, bool(request["mtp"]), index == pp - 1, all_indexers=False)
        block = kv.bytes_per_block(
            record, count.mla, kv.indexer_record_bytes(GEOMETRY.index_head_dim), count.indexer, block_size
        )
        stages.append(kv.Stage(block, planner["available_bytes"][index]))
    auto = request["max_model_len"] in ("auto", -1)
    length = GEOMETRY.max_position_embeddings if auto else request["max_model_len"]
    pool = kv.plan_pool(stages, length, request.get("dcp", 1), block_size, request.get("num_gpu_blocks_override"), auto)
    return stages, pool


@pytest.mark.parametrize("row", ROWS, ids=lambda row: "-".join(str(value) for value in row["request"].values()))
def test_equals_the_engines_planner(row):
    request, planner = row["request"], row["planner"]
    stages, pool = planned(request, planner)
    assert [stage.bytes_per_block for stage in stages] == planner["bytes_per_block"]
    assert pool.fits == planner["ok"]
    if planner["ok"]:
        assert pool.max_model_len == planner["max_model_len"]
        assert pool.num_blocks == planner["num_blocks"]
        assert pool.blocks_per_request == planner["blocks_per_max_len_request"]
        assert pool.tokens == planner["kv_cache_tokens"]
        assert pool.max_concurrency == planner["max_concurrency"]
        assert pool.message is None
    elif planner["refusal"] == "no_blocks":
        assert pool.message == kv.NO_BLOCKS_MESSAGE
        assert pool.estimated_max_model_len is None
    else:
        assert pool.estimated_max_model_len == planner["estimated_max_model_len"]
        assert f"({planner['needed_gib']} GiB KV cache is needed" in pool.message
        assert f"available KV cache memory ({planner['available_gib']} GiB)" in pool.message


def test_rows_cover_the_cases_that_differ():
    """The golden rows exercise every record, DCP, PP, overrides and refusals; fewer would prove less."""
    assert len(ROWS) == 75
    assert {row["planner"]["record"] for row in ROWS} == set(kv.RECORDS)
    assert {row["request"].get("dcp", 1) for row in ROWS} >= {1, 2, 4, 8}
    assert {row["request"].get("pp", 1) for row in ROWS} >= {1, 2, 3, 4, 8}
    assert sum(not row["planner"]["ok"] for row in ROWS) == 19
