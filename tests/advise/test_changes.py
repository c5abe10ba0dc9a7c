"""The mended command: it fits by the budget, changes only the flag that it names, and gives back what was short."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from glmcalc.advise.diagnose import Diagnosis, diagnose
from glmcalc.advise.relief import given_back
from glmcalc.budget.plan import plan
from glmcalc.facts.errors import InputError
from glmcalc.facts.quantity import GIB
from glmcalc.model.deployment import COMMAND_FLAGS, Deployment
from glmcalc.present.diagnose_text import command_lines

_spec = importlib.util.spec_from_file_location("written_log", Path(__file__).with_name("written_log.py"))
written_log_module = importlib.util.module_from_spec(_spec)
sys.modules["written_log"] = written_log_module
_spec.loader.exec_module(written_log_module)
DEATHS, written_log = written_log_module.DEATHS, written_log_module.written_log

SETTINGS = (*COMMAND_FLAGS, "model", "speculative_method", "num_speculative_tokens", "kept")
MACHINES = [
    ("h200_sxm", 8), ("b200_sxm", 8), ("b200_sxm", 4), ("h100_sxm", 16), ("b300_sxm", 4), ("rtx_pro_6000", 8),
    ("gb200_nvl72", 4), ("h20_141", 8), ("mi355x", 4),
]  # fmt: skip


@st.composite
def deployments(draw):
    gpu, tp = draw(st.sampled_from(MACHINES))
    mtp = draw(st.sampled_from([None, None, 1, 3]))
    try:
        asked = Deployment(
            model=draw(st.sampled_from(["zai-org/GLM-5.2-FP8", "nvidia/GLM-5.2-NVFP4"])),
            gpu=gpu,
            tensor_parallel_size=tp,
            engine_version=draw(st.sampled_from(["0.33.0", "0.30.0", "0.26.0", "0.23.0"])),
            max_model_len=draw(st.sampled_from([None, 32_768, 131_072, 200_000, 524_288, 1_048_576])),
            max_num_seqs=draw(st.sampled_from([None, 1, 16, 64, 256])),
            max_num_batched_tokens=draw(st.sampled_from([None, 2048, 8192, 16_384, 32_768])),
            gpu_memory_utilization=draw(st.sampled_from([None, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98])),
            kv_cache_dtype=draw(st.sampled_from([None, "fp8"])),
            decode_context_parallel_size=draw(st.sampled_from([None, None, None, 2])),
            speculative_method="mtp" if mtp else None,
            num_speculative_tokens=mtp,
        )
        made = plan(asked)
    except InputError:
        assume(False)
    assume(made.verdict.status != "unsupported")
    return asked, made


def diagnosed(asked, made, death, tried=2.0, free=1.0, share=0.5) -> Diagnosis:
    return diagnose(written_log(asked, made, death, tried, free, share), None, {"gpu": asked.gpu})


def again(asked: Deployment, command: str) -> Deployment:
    return Deployment.from_command(command, gpu=asked.gpu, engine_version=asked.engine_version)


@given(deployments(), st.sampled_from(DEATHS), st.floats(0.05, 7), st.floats(0.01, 0.99), st.floats(0, 1))
@settings(max_examples=300, deadline=None)
def test_a_flag_fits_and_changes_nothing_else(case, death, tried, part, share):
    asked, made = case
    answer = diagnosed(asked, made, death, tried, tried * part, share)
    data = answer.to_dict()
    assert data["class"] == death
    assert data["change"] is not None
    if data["change"]["kind"] != "flag":
        return
    mended = again(asked, data["command"])
    verdict = plan(mended).verdict
    assert verdict.status == "fits" or (verdict.status == "marginal" and plan(mended).resolved.uncertain)
    differing = [name for name in SETTINGS if getattr(mended, name) != getattr(asked, name)]
    assert ["--" + name.replace("_", "-") for name in differing] == [data["change"]["name"]]
    assert data["change"]["to"] == getattr(mended, differing[0])


@given(
    deployments(), st.sampled_from(["runtime_workspace", "runtime_activation", "cuda_graph_capture"]), st.floats(0.1, 9)
)
@settings(max_examples=150, deadline=None)
def test_a_lower_utilization_gives_back_at_least_what_was_short(case, death, tried):
    asked, made = case
    answer = diagnosed(asked, made, death, tried, tried / 3)
    change = answer.change
    if change is None or change.name != "--gpu-memory-utilization" or change.kind != "flag":
        return
    assert change.after < change.before
    back = given_back(answer.case, plan(again(asked, change.command)))
    assert back >= (tried - tried / 3) * GIB - 0.02 * GIB  # the log prints two decimals


@given(deployments(), st.floats(0.1, 9))
@settings(max_examples=100, deadline=None)
def test_fewer_batched_tokens_would_have_been_granted_or_give_back_what_was_short(case, tried):
    asked, made = case
    answer = diagnosed(asked, made, "runtime_workspace", tried, tried / 2)
    change = answer.change
    if change is not None and change.kind == "flag" and change.name == "--max-num-batched-tokens":
        granted = tried * change.after / change.before < tried / 2
        assert granted or given_back(answer.case, plan(again(asked, change.command))) >= (tried / 2 - 0.02) * GIB


@given(deployments(), st.floats(0, 1))
@settings(max_examples=100, deadline=None)
def test_one_request_fits_in_the_pool_that_the_log_printed(case, share):
    asked, made = case
    answer = diagnosed(asked, made, "startup_kv_too_small", share=share)
    change = answer.change
    printed = answer.case.value("available_kv_bytes")
    if change.kind == "flag" and change.name in (
        "--max-model-len",
        "--decode-context-parallel-size",
        "--kv-cache-dtype",
    ):
        assert plan(again(asked, change.command)).kv.needed_bytes <= printed


@given(deployments(), st.sampled_from(DEATHS), st.integers(50, 160))
@settings(max_examples=100, deadline=None)
def test_a_command_over_several_lines_pastes_as_it_is(case, death, width):
    asked, made = case
    command = diagnosed(asked, made, death).to_dict()["command"]
    if command:
        lines = command_lines(command, width)
        assert again(asked, "\n".join(lines)) == again(asked, command)
        assert all(line.endswith("\\") for line in lines[:-1])


def case_of(**flags):
    asked = Deployment(gpu="h200_sxm", tensor_parallel_size=8, **flags)
    return asked, plan(asked)


def test_a_million_tokens_for_one_request_on_eight_h200_keep_their_length():
    asked, made = case_of(max_model_len=1_048_576, max_num_seqs=1, kv_cache_dtype="fp8")
    data = diagnosed(asked, made, "startup_kv_too_small", share=0.4).to_dict()
    assert data["change"]["name"] == "--decode-context-parallel-size"
    assert any(row["name"] == "--max-model-len" for row in data["alternatives"])


def test_a_length_that_almost_fits_is_shortened():
    asked, made = case_of(max_model_len=1_048_576, max_num_seqs=1, kv_cache_dtype="fp8", decode_context_parallel_size=2)
    data = diagnosed(asked, made, "startup_kv_too_small", share=0.98).to_dict()
    assert data["change"]["name"] == "--max-model-len"
    assert data["change"]["to"] >= 0.9 * 1_048_576


def test_a_length_far_from_what_surely_fits_is_not_given_up_first():
    """The engine names a length 1 % short, but the budget without the log is sure only of a quarter less."""
    asked, made = case_of(max_model_len=400_000, max_num_batched_tokens=16_384)
    data = diagnosed(asked, made, "startup_kv_too_small", share=0.989).to_dict()
    assert (data["change"]["name"], data["change"]["to"]) == ("--kv-cache-dtype", "fp8")
    lengths = [row["to"] for row in data["alternatives"] if row["name"] == "--max-model-len"]
    assert max(lengths) > 0.95 * 400_000 > min(lengths)


def test_several_flags_must_hold_by_the_logs_own_pool_too():
    """A pool of 7.80 GiB where the budget expects 36: decode context parallelism 4 holds only in its likely figure."""
    asked, made = case_of(max_model_len=524_288, max_num_seqs=32)
    text = written_log(asked, made, "startup_kv_too_small", 0, 0, 0)
    printed = re.search(r"KV cache memory: ([\d.]+) GiB", text)[1]
    data = diagnose(text.replace(printed, "7.80"), None, {"gpu": asked.gpu}).to_dict()
    assert data["after"]["verdict"]["status"] == "fits"
    assert "--decode-context-parallel-size 8" in data["command"]


def test_lowered_utilization_says_what_it_moves():
    asked, made = case_of(max_model_len=131_072, max_num_seqs=64, kv_cache_dtype="fp8", gpu_memory_utilization=0.9)
    data = diagnosed(asked, made, "runtime_activation", 3.0, 0.5).to_dict()
    rows = [data["change"], *data["alternatives"]]
    text, after = next((row["text"], row["to"]) for row in rows if row["name"] == "--gpu-memory-utilization")
    assert f"{(0.9 - after) * 139.80:.2f} GiB of each GPU" in text


def test_sparse_decode_scratch_of_32768_tokens_takes_fewer_tokens():
    asked, made = case_of(
        max_model_len=262_144, max_num_seqs=64, max_num_batched_tokens=32_768, kv_cache_dtype="fp8",
        gpu_memory_utilization=0.93, engine_version="0.23.0",
    )  # fmt: skip
    data = diagnosed(asked, made, "runtime_workspace", 8.03, 5.41).to_dict()
    assert (data["change"]["name"], data["change"]["to"]) == ("--max-num-batched-tokens", 8192)
    assert any(row["kind"] == "version" for row in data["alternatives"])


def test_a_release_with_the_fix_is_not_told_to_upgrade():
    asked, made = case_of(max_model_len=262_144, max_num_batched_tokens=32_768, kv_cache_dtype="fp8")
    data = diagnosed(asked, made, "runtime_workspace", 8.03, 5.41).to_dict()
    assert all(row["kind"] != "version" for row in data["alternatives"])


def test_graphs_at_098_take_a_lower_line():
    asked, made = case_of(max_model_len=131_072, max_num_seqs=256, kv_cache_dtype="fp8", gpu_memory_utilization=0.98)
    data = diagnosed(asked, made, "cuda_graph_capture", 0.13, 0.12).to_dict()
    assert data["change"]["name"] == "--gpu-memory-utilization"
    assert 0.9 < data["change"]["to"] <= 0.96


def test_a_leftover_process_is_ended_and_the_command_stays():
    asked, _ = case_of(max_model_len=131_072, kv_cache_dtype="fp8")
    refused = "ValueError: Free memory on device cuda:5 (6.1/139.8 GiB) on startup is less than desired GPU memory utilization (0.92, 128.62 GiB)."
    data = diagnose(
        f"(Worker_TP5 pid=1) ERROR 11-20 02:11:04 [x.py:1] {refused}", asked.command(), {"gpu": "h200_sxm"}
    ).to_dict()
    assert data["change"]["kind"] == "action"
    assert "133.70 GiB" in data["change"]["text"]
    assert again(asked, data["command"]) == again(asked, asked.command())
    assert data["alternatives"] == []  # nothing of this model fits into 6.1 GiB


def test_a_card_that_is_free_but_for_its_context_takes_a_lower_line():
    asked, _ = case_of(max_model_len=131_072, kv_cache_dtype="fp8", gpu_memory_utilization=0.99)
    refused = "ValueError: Free memory on device cuda:5 (137.9/139.8 GiB) on startup is less than desired GPU memory utilization (0.99, 138.4 GiB)."
    data = diagnose(
        f"(Worker_TP5 pid=1) ERROR 11-20 02:11:04 [x.py:1] {refused}", asked.command(), {"gpu": "h200_sxm"}
    ).to_dict()
    assert data["change"]["name"] == "--gpu-memory-utilization"
    assert data["change"]["to"] <= 137.9 / 139.8


@pytest.mark.parametrize("death", ["weights_load", "profile_run_activation", "startup_no_kv_blocks"])
def test_before_there_is_a_pool_no_flag_of_the_pool_is_changed(death):
    asked, made = case_of(max_model_len=131_072, max_num_batched_tokens=16_384, kv_cache_dtype="fp8")
    change = diagnosed(asked, made, death, 1.5, 1.0).to_dict()["change"]
    assert change["name"] not in ("--max-model-len", "--kv-cache-dtype", "--decode-context-parallel-size")


def test_a_fork_gets_a_flag_with_its_limit_said_as_a_risk():
    asked = Deployment(
        gpu="h200_sxm", tensor_parallel_size=8, max_model_len=131_072, kv_cache_dtype="fp8", gpu_memory_utilization=0.98,
        engine_version="0.33.0+fork",
    )  # fmt: skip
    answer = diagnosed(asked, plan(asked), "cuda_graph_capture", 0.5, 0.1)
    assert answer.change.kind == "flag"
    assert answer.change.risk is not None


@given(deployments())
@settings(max_examples=120, deadline=None)
def test_a_command_without_a_log_is_mended_by_the_same_rule(case):
    asked, made = case
    data = diagnose(asked.command(), None, {"gpu": asked.gpu, "engine_version": asked.engine_version}).to_dict()
    assert data["class"] == (made.verdict.stage or "unknown")
    if data["change"] is None or data["change"]["kind"] != "flag":
        return
    mended = again(asked, data["command"])
    after = plan(mended)
    assert after.verdict.status == "fits" or (after.verdict.status == "marginal" and after.resolved.uncertain)
    differing = [name for name in SETTINGS if getattr(mended, name) != getattr(asked, name)]
    assert ["--" + name.replace("_", "-") for name in differing] == [data["change"]["name"]]


def test_no_change_is_a_command_that_the_engine_refuses():
    """bf16 KV on Hopper has no kernel for context parallelism: it is not even the last thing to try."""
    for death in ("startup_kv_too_small", "startup_no_kv_blocks"):
        asked, made = case_of(max_model_len=1_048_576, max_num_seqs=1)
        data = diagnosed(asked, made, death).to_dict()
        offered = [
            data["after"] and data["after"]["verdict"]["status"],
            *(row["budget"] for row in data["alternatives"]),
        ]
        assert "unsupported" not in offered
        assert not any("decode-context" in (row["name"] or "") for row in data["alternatives"])
