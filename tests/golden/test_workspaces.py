"""Workspace formulas against figures read off the engine's source and its logs."""

import pytest

from glmcalc.budget import runtime, workspaces

MIB = 2**20


# MiB for fp8_ds_mla, 8,192 batched tokens, TP 8: (max_model_len, factor, FlashMLA, indexer gather).
@pytest.mark.parametrize(
    ("length", "factor", "flashmla", "gather"),
    [(131_072, 5, 1944, 660), (262_144, 5, 2664, 1320), (524_288, 2, 2376, 1056), (1_048_576, 2, 3528, 2112)],
)
def test_shared_workspace(length, factor, flashmla, gather):
    assert workspaces.flashmla_workspace_bytes(8192, 8, length, factor) == flashmla * MIB
    assert workspaces.indexer_gather_bytes(length, factor) == gather * MIB


def test_gather_as_an_older_build_logged_it():
    """1,320 MiB at 262,144 tokens, from the log of a four-machine GB10 deployment (40 x 132 x max_model_len)."""
    assert workspaces.indexer_gather_bytes(262_144, 5) == 1320 * MIB


def test_accumulators_of_the_crash_report():
    """8 GiB at 32,768 batched tokens: https://github.com/vllm-project/vllm/pull/49357."""
    assert workspaces.split_kv_accumulator_bytes(32_768) == 8 * 1024 * MIB


def test_late_buffers():
    """Indexer's block table is 64 MiB at 128K and 512 MiB at 1M tokens; a builder's workspace 72 MiB (vLLM 0.33.0)."""
    base = workspaces.late_buffer_bytes(8192, 0, 131_072, 1, 64, 576, True, False)
    assert base == (64 + 2 * 72) * MIB
    assert workspaces.late_buffer_bytes(8192, 0, 1_048_576, 1, 64, 576, True, False) == (512 + 2 * 72) * MIB
    assert workspaces.late_buffer_bytes(8192, 0, 1_048_576, 1, 64, 576, True, True) == (512 + 2 * 72 + 2 * 128) * MIB
    with_seqs = workspaces.late_buffer_bytes(8192, 1024, 1_048_576, 1, 64, 576, True, False)
    assert with_seqs == (512 + 2 * 72 + 2 * 64) * MIB


@pytest.mark.parametrize(("seqs", "graphs"), [(1024, 102), (64, 30), (1, 3), (256, 86)])
def test_number_of_graphs(seqs, graphs):
    """102 and 3 graphs stand behind the logged 4.99 GiB (GB200) and 0.06 GiB (GH200)."""
    assert runtime.graph_count(seqs, 0, None, 512) == graphs
