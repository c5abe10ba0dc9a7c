"""Workspace formulas against figures read off the engine's source and its logs."""

import pytest

from glmcalc import Deployment, plan
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


def test_number_of_graphs_with_mtp():
    """A step of MTP is ``1 + depth`` tokens a request, and the engine multiplies by it before the cap (0.33.0).

    64 requests of 4 tokens: sizes to 512, of which those to 256 are captured for decode too: 51 + 35. At 1,024 requests the
    cap holds, so MTP adds no size.
    """
    assert runtime.graph_count(64, 3, None, 512) == 51 + 35
    assert runtime.graph_count(1024, 3, None, 512) == runtime.graph_count(1024, 0, None, 512)


def test_graphs_follow_the_depth_and_never_exceed_a_chunk():
    deployment = Deployment(gpu="h200_sxm", tensor_parallel_size=8, max_model_len=131_000, max_num_seqs=64)
    mtp = deployment.changed(speculative_method="mtp", num_speculative_tokens=3)
    stated = mtp.changed(max_cudagraph_capture_size=512)  # what vLLM takes by itself
    assert plan(mtp).component("cuda_graphs").band == plan(stated).component("cuda_graphs").band
    short = deployment.changed(max_num_batched_tokens=64)  # sizes to 64, not to 128
    assert plan(short).component("cuda_graphs").band.likely == 22 * 45 * MIB
