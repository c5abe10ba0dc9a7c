"""A start-up log in the calculator's box sets the controls and measures the machine; the log is not kept."""

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
