"""A start-up log in the calculator's box sets the controls and measures the machine; the log is not kept."""

import re
from pathlib import Path

import pytest

from glmcalc.present.board import Board

LOG = """\
(APIServer pid=7) INFO 11-20 08:11:02 [utils.py:233] non-default args: {'model': 'zai-org/GLM-5.2-FP8', 'tensor_parallel_size': 8, 'kv_cache_dtype': 'fp8', 'max_model_len': 131000, 'max_num_seqs': 64, 'api_key': ['sk-abcdefghijklmnopqrstuvwxyz']}
(Worker_TP0 pid=101) INFO 11-20 08:21:40 [gpu_model_runner.py:5335] Model loading took 90.84 GiB memory and 601.2 seconds
(Worker_TP0 pid=101) INFO 11-20 08:22:30 [gpu_worker.py:560] Available KV cache memory: 34.62 GiB
"""


def test_a_log_sets_the_page_and_its_terms():
    board = Board({"gpu": "h200_sxm"})
    board.paste(LOG)
    view = board.view()
    assert not view["stale"]
    assert view["values"]["max_model_len"] == "131000"
    assert board.made.kv.available.likely == round(34.62 * 2**30)
    assert board.made.component("activation_peak").basis == "calibrated"
    assert "start-up log" in view["read"]
    assert "sk-abc" not in str(view)
    assert "calibration=" in view["query"]


def test_another_length_keeps_the_calibration_and_clearing_it_brings_the_estimate_back():
    board = Board({"gpu": "h200_sxm"})
    board.paste(LOG)
    board.change({"max_model_len": "64000"})
    assert board.made.component("activation_peak").basis == "calibrated"
    board.change({"calibration": ""})
    assert board.made.component("activation_peak").basis == "estimated"


def test_memory_lines_alone_take_the_flags_of_the_page():
    board = Board({"gpu": "h200_sxm", "tensor_parallel_size": "8", "max_model_len": "131000", "kv_cache_dtype": "fp8"})
    board.paste("Available KV cache memory: 34.62 GiB")
    assert board.made.kv.available.likely == round(34.62 * 2**30)
    assert "the settings of this page" in board.view()["read"]


@pytest.mark.parametrize("text", ["Available KV cache memory: much", "Available KV cache memory: 1e999 GiB"])
def test_a_broken_log_is_said_in_place(text):
    board = Board({"gpu": "h200_sxm"})
    board.paste(text)
    assert board.view()["read_bad"]


HEALTHY = (Path(__file__).resolve().parents[1] / "data" / "happened" / "healthy.log").read_text(encoding="utf-8")


def test_a_log_that_names_no_gpu_is_not_taken_for_a_gpu_that_it_cannot_be_of():
    """28.49 GiB over 558,976 tokens is 54,728 B a token, the record of Hopper; B200's default takes 48,408 B."""
    assert round(28.49 * 2**30 / 558_976, -1) == round(54_728, -1)
    board = Board({"gpu": "b200_sxm"})
    before = board.made
    board.paste(HEALTHY)
    view = board.view()
    assert view["read_bad"]
    assert "names no GPU" in view["read"]
    assert "558,976" in view["read"]
    assert 'data-status="input"' in view["parts"]["verdict"]
    assert board.made is before
    assert "calibration" not in board.state


def test_choosing_the_log_s_gpu_and_pasting_again_works():
    board = Board({"gpu": "b200_sxm"})
    board.paste(HEALTHY)
    board.change({"gpu": "h200_sxm"})
    board.paste(HEALTHY)
    view = board.view()
    assert not view["read_bad"]
    assert "names no GPU: H200" in view["read"]
    assert board.made.component("activation_peak").basis == "calibrated"


def test_weights_and_pool_beyond_the_line_are_no_log_of_that_gpu():
    """90.18 + 28.49 GiB are more than an H100 has."""
    board = Board({"gpu": "h100_sxm"})
    board.paste(HEALTHY)
    assert "weights and pool are 118.67 GiB" in board.view()["read"]


TOTAL = "ERROR torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.00 GiB. GPU 0 has a total capacity of {} GiB of which 0.50 GiB is free.\n"


def test_the_log_s_own_gpu_goes_before_the_page_s():
    board = Board({"gpu": "b200_sxm"})
    board.paste(HEALTHY + TOTAL.format("139.80"))
    assert board.state["gpu"] == "h200_sxm"
    assert "as it says" in board.view()["read"]


def test_what_a_log_leaves_unexplained_is_said_in_the_verdict_and_under_notes():
    """On its own word the log is of B200, where 45.41 GiB lie in no printed line and 12.24 are the most that is known."""
    board = Board({"gpu": "h200_sxm"})
    board.paste(HEALTHY + TOTAL.format("178.35"))
    assert board.state["gpu"] == "b200_sxm"
    view, later = board.view(), board.later()
    text = re.sub(r"<[^>]+>", "", view["parts"]["verdict"])
    assert "Not explained in the pasted log" in text
    assert "45.41 GiB" in text
    assert "558,976" in text
    assert "see the verdict" in view["read"]
    assert "another process on the GPU" in later["after"]
    board.change({"calibration": ""})
    assert "pasted log" not in board.view()["parts"]["verdict"]
