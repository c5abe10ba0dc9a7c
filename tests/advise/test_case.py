"""What is known of a server: flags from its log, the machine from printed memory or its name, what is missing."""

import pytest

from glmcalc.advise.case import device_of_total, open_case
from glmcalc.advise.diagnose import diagnose
from glmcalc.facts.hardware import devices
from glmcalc.facts.quantity import GIB
from glmcalc.logs.match import find_death
from glmcalc.logs.read import read_log

ARGS = "INFO 07-20 02:00:01 [utils.py:233] non-default args: {'model': 'zai-org/GLM-5.2-FP8', 'tensor_parallel_size': 8, 'kv_cache_dtype': 'fp8'}"
VERSION = "INFO 07-20 02:00:00 [api_server.py:1839] vLLM API server version 0.33.0"


def case_of(*lines, command=None, **stated):
    facts = read_log("\n".join(lines))[-1]
    return open_case(facts, find_death(facts), command, stated)


@pytest.mark.parametrize(
    "chip",
    [chip for chip in devices() if chip.memory() and chip.memory().basis == "measured"],
    ids=lambda chip: chip.id,
)
def test_a_printed_total_names_a_device_of_that_size(chip):
    named = device_of_total(chip.memory().bytes)
    found = next(other for other in devices() if other.id == named)
    assert abs(found.memory().bytes - chip.memory().bytes) < 0.35 * GIB


def test_a_total_of_no_device_names_none():
    assert device_of_total(55 * GIB) is None


def test_flags_version_and_machine_come_from_the_log_and_are_said():
    total = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.00 GiB. GPU 0 has a total capacity of 139.80 GiB of which 0.5 GiB is free."
    case = case_of(VERSION, ARGS, total)
    assert case.deployment.gpu == "h200_sxm"
    assert case.deployment.engine_version == "0.33.0"
    assert case.plan is not None
    assert [text.split(":")[0] for text in case.inferred] == ["flags", "vLLM 0.33.0", "h200_sxm"]
    assert case.missing == ()


def test_a_device_that_a_kernel_names_is_used():
    named = "WARNING 07-20 02:01:00 [fused_moe.py:1] Config file not found at E=256,N=256,device_name=NVIDIA_H200,dtype=fp8.json"
    assert case_of(VERSION, ARGS, named).deployment.gpu == "h200_sxm"
    table = "|   0  NVIDIA B200                    On  |   00000000:18:00.0 Off |"
    assert case_of(VERSION, ARGS, table).deployment.gpu == "b200_sxm"
    assert case_of(VERSION, ARGS, "NVIDIA-SMI 580.105.08  Driver Version: 580.105.08").deployment.gpu is None


def test_an_option_wins_over_the_log():
    case = case_of(VERSION, ARGS, gpu="b200_sxm", engine_version="0.26.0")
    assert case.deployment.gpu == "b200_sxm"
    assert case.deployment.engine_version == "0.26.0"


def test_without_a_machine_there_is_no_budget_and_it_is_asked_for():
    case = case_of(VERSION, ARGS)
    assert case.plan is None
    assert any("--gpu" in text for text in case.missing)


def test_without_flags_the_command_is_asked_for():
    case = case_of(VERSION, "ValueError: No available memory for the cache blocks.")
    assert case.deployment is None
    assert any("command" in text for text in case.missing)


def test_a_model_that_is_not_known_has_no_budget_and_says_so():
    case = case_of(VERSION, ARGS.replace("zai-org/GLM-5.2-FP8", "acme/other-7b"), gpu="h200_sxm")
    assert case.plan is None
    assert any(text.startswith("a budget:") for text in case.missing)


def test_another_engine_is_not_budgeted_as_vllm():
    case = case_of(
        "[2026-09-03 10:00:00] server_args=ServerArgs(model_path='zai-org/GLM-5.2-FP8', tp_size=8)",
        "[2026-09-03 10:01:00 TP0] Load weight begin.",
    )
    assert case.deployment is None
    assert any("sglang is not modelled" in text for text in case.missing)


def test_a_command_over_several_lines_in_the_log_is_read_whole():
    lines = [
        "$ vllm serve zai-org/GLM-5.2-FP8 \\",
        "  --tensor-parallel-size 8 \\",
        "  --max-model-len 131072",
        VERSION,
    ]
    case = case_of(*lines, gpu="h200_sxm")
    assert case.deployment.max_model_len == 131_072


def test_a_number_of_gpus_is_written_as_tensor_parallelism():
    case = case_of("x", command="vllm serve zai-org/GLM-5.2-FP8", gpu="h200_sxm", gpus=8)
    assert "--tensor-parallel-size 8" in case.deployment.command()
    assert "tensor_parallel_size 8: the number of GPUs" in case.inferred
    stated = case_of(
        "x", command="vllm serve zai-org/GLM-5.2-FP8 -tp 4 --pipeline-parallel-size 2", gpu="h200_sxm", gpus=8
    )
    assert "--tensor-parallel-size 4" in stated.deployment.command()


def test_what_the_new_command_does_not_carry_over_is_said():
    case = case_of(
        "x", command="docker run --gpus all vllm/vllm-openai:v0.31.0 --model zai-org/GLM-5.2-FP8 -tp 8 --frob 3"
    )
    told = " ".join(case.inferred)
    assert "vllm/vllm-openai:v0.31.0" in told
    assert any("--frob" in text for text in case.unknown)
    assert case.deployment.command().endswith("--frob 3")


def test_the_name_of_a_device_goes_before_its_memory():
    """An H20-3e and an H200 report nearly the same memory; a name that the memory contradicts does not stand."""
    oom = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of {} GiB of which 1.00 GiB is free."
    command = "vllm serve zai-org/GLM-5.2-FP8 -tp 8"
    for total, gpu in (("139.72", "h20_141"), ("79.18", "h100_sxm")):
        log = "\n".join([command, "INFO 11-20 Using device NVIDIA H20-3e", oom.format(total)])
        assert diagnose(log, None, {}).case.deployment.gpu == gpu
