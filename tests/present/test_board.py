"""The page without a browser: presets, pasting, what follows what, and what stays when something is wrong."""

from __future__ import annotations

import pytest

from glmcalc import Deployment, plan
from glmcalc.present import state as states
from glmcalc.present.board import Board
from glmcalc.present.controls import Choices, form

COMMAND = "vllm serve zai-org/GLM-5.2-FP8 -tp 8 --max-model-len 128K --kv-cache-dtype fp8 --max-num-seqs 64"


def test_opens_on_an_example_that_fits() -> None:
    view = Board().view()
    assert view["status"] == "fits"
    assert view["errors"] == {}
    assert set(view["parts"]) == {"verdict", "mini", "bar", "table", "command"}


@pytest.mark.parametrize(
    ("key", "length", "seqs", "share"),
    [("conservative", 32000, 16, 0.85), ("balanced", 65536, 8, 0.88), ("1m", 1048576, 1, 0.92)],
)
def test_presets(key: str, length: int, seqs: int, share: float) -> None:
    board = Board()
    board.preset(key)
    assert board.made is not None
    r = board.made.resolved
    assert (r.max_model_len, r.max_num_seqs, r.gpu_memory_utilization) == (length, seqs, share)
    assert board.view()["preset"] == key
    board.change({"max_num_seqs": "3"})
    assert board.view()["preset"] == ""


def test_the_1m_preset_shows_need_message_and_the_command_that_works() -> None:
    board = Board()
    board.preset("1m")
    view, later = board.view(), board.later()
    assert view["status"] == "does_not_fit"
    assert "53.45" in view["parts"]["verdict"]
    assert "What the engine will print" in later["after"]
    assert "<mark>--decode-context-parallel-size 2</mark>" in later["after"]
    assert "--decode-context-parallel-size 2" in later["verdict"]


def test_parameters_alone_mean_the_engine_s_defaults() -> None:
    board = Board({"max_model_len": "32000", "gpu": "b200_sxm"})
    assert board.made is not None
    asked = Deployment(gpu="b200_sxm", gpus=8, max_model_len=32000)
    assert board.made.to_dict() == plan(asked).to_dict()


def test_pasting_sets_every_control() -> None:
    board = Board()
    board.paste(COMMAND)
    assert board.made is not None
    assert board.made.to_dict() == plan(Deployment.from_command(COMMAND, gpu="h200_sxm", gpus=8)).to_dict()
    assert "speculative_config" not in board.state
    assert board.view()["read"].startswith("Read: 5 settings")
    assert board.state["gpus"] == "8"


def test_a_pasted_command_survives_the_link() -> None:
    board = Board()
    board.paste(COMMAND + " --trust-remote-code --enable-prefix-caching")
    again = Board(states.from_query(board.view()["query"]))
    assert board.made is not None
    assert again.made is not None
    assert again.made.command == board.made.command


def test_bad_paste_keeps_the_last_good_result() -> None:
    board = Board()
    before = board.view()["parts"]["bar"]
    board.paste("vllm serve 'unclosed")
    view = board.view()
    assert view["status"] == "input"
    assert view["stale"]
    assert view["read_bad"]
    assert view["parts"]["bar"] == before
    assert board.later() == {}
    board.preset("balanced")
    assert board.view()["read"] == ""
    assert board.view()["status"] == "fits"


def test_bad_value_is_told_beside_its_control() -> None:
    board = Board()
    board.change({"gpu_memory_utilization": "1.4"})
    view = board.view()
    assert set(view["errors"]) == {"gpu_memory_utilization"}
    assert "1.4" in view["errors"]["gpu_memory_utilization"]
    assert "1.4" in view["parts"]["verdict"]
    board.change({"gpu_memory_utilization": ""})
    assert board.view()["errors"] == {}


def test_bad_query_gives_the_command_s_message() -> None:
    board = Board(states.from_query("?max_model_len=2000000"))
    view = board.view()
    assert view["status"] == "input"
    assert "1,048,576" in view["errors"]["max_model_len"]
    assert "bar" not in view["parts"]


def test_counts_follow_each_other() -> None:
    board = Board()
    board.change({"gpus": "4"})
    assert board.state["tensor_parallel_size"] == "4"
    board.change({"tensor_parallel_size": "16"})
    assert board.state["gpus"] == "16"
    board.change({"pipeline_parallel_size": "2"})
    assert board.state["gpus"] == "32"


def test_unsupported_shows_no_budget() -> None:
    board = Board()
    board.change({"kv_cache_dtype": "bfloat16", "decode_context_parallel_size": "2"})
    view = board.view()
    assert view["status"] == "unsupported"
    assert view["parts"]["bar"] == view["parts"]["table"] == ""


def test_helps_print_the_table_s_figures() -> None:
    view = Board().view()
    graphs = view["helps"]["max_num_seqs"].split("take ")[1].split(" GiB")[0]
    assert f'CUDA graphs</th><td class="r">{graphs}</td>' in view["parts"]["table"]


def test_hostile_text_stays_text() -> None:
    board = Board({"model": "<script>alert(1)</script>", "max_model_len": "<img onerror=x>"})
    view = board.view()
    assert "<script" not in "".join(view["parts"].values())
    assert "<img" not in "".join(view["parts"].values())


def test_every_field_has_a_name_and_a_help() -> None:
    html = form(Choices(("m",), (("NVIDIA", "h200_sxm", "H200"),), ("0.33.0",)), "x")
    import re

    fields = re.findall(r"<(?:input|select|textarea)[^>]*>", html)
    assert len(fields) > 20
    for field in fields:
        key = re.search(r' id="([^"]+)"', field)
        assert "aria-label" in field or (key and f'for="{key[1]}"' in html), field
        described = re.search(r'aria-describedby="([^"]+)"', field)
        assert described, field
        for target in described[1].split():
            assert f'id="{target}"' in html, target
