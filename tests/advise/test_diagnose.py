"""From a log to the whole answer, as it is read at night: order, secrets, what is missing, what is foretold."""

import json
import re
from pathlib import Path

import pytest

from glmcalc.advise.classes import class_names, death_class
from glmcalc.advise.diagnose import diagnose
from glmcalc.facts.errors import InputError
from glmcalc.present.diagnose_text import diagnosis_text

SAMPLES = [json.loads(line) for line in (Path(__file__).parent / "samples/cases.jsonl").read_text("utf-8").splitlines()]
LOGS = Path(__file__).parent / "samples"
VERSION = "(APIServer pid=1) INFO 07-20 02:00:01 [api_server.py:1839] vLLM API server version 0.23.0"
ARGS = (
    "(APIServer pid=1) INFO 07-20 02:00:01 [utils.py:233] non-default args: {'model_tag': 'zai-org/GLM-5.2-FP8', 'model': "
    "'zai-org/GLM-5.2-FP8', 'tensor_parallel_size': 8, 'max_model_len': 262144, 'max_num_batched_tokens': 32768, "
    "'max_num_seqs': 64, 'kv_cache_dtype': 'fp8', 'gpu_memory_utilization': 0.93}"
)
CRASH = "\n".join(
    [
        VERSION,
        ARGS,
        "(Worker_TP0 pid=80) INFO 07-20 02:09:01 [gpu_model_runner.py:5100] Model loading took 93.1 GiB memory and 480.1 seconds",
        "(Worker_TP0 pid=80) INFO 07-20 02:10:01 [gpu_worker.py:625] Available KV cache memory: 24.30 GiB",
        "(APIServer pid=1) INFO:     Application startup complete.",
        "(APIServer pid=1) INFO 07-20 03:10:01 [loggers.py:259] Engine 000: Avg prompt throughput: 8213.1 tokens/s, Running: 9 reqs, Waiting: 0 reqs, GPU KV cache usage: 2.3%",
        '(Worker_TP3 pid=83) ERROR 07-20 03:10:04 [multiproc_executor.py:966]   File "vllm/flash_mla_interface.py", line 180, in flash_mla_with_kvcache',
        "(Worker_TP3 pid=83) ERROR 07-20 03:10:04 [multiproc_executor.py:966] torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 8.03 GiB. GPU 3 has a total capacity of 139.80 GiB of which 5.41 GiB is free.",
        "(APIServer pid=1) ERROR 07-20 03:10:05 [async_llm.py:700] vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue.",
    ]
)
COMMAND = "vllm serve zai-org/GLM-5.2-FP8 --tensor-parallel-size 8 --kv-cache-dtype fp8 --max-model-len 1048576 --gpu-memory-utilization 0.93"


def test_the_keys_that_scripts_rely_on():
    data = diagnose(CRASH).to_dict()
    for key in (
        "class", "confidence", "signature", "engine", "engine_version", "evidence", "cause", "change", "command", "verify", "cost",
        "alternatives", "do_not_touch", "known_issue", "missing",
    ):  # fmt: skip
        assert key in data
    assert set(data["change"]) >= {"kind", "name", "from", "to", "text"}
    assert data["evidence"][0]["line"] == 8
    json.dumps(data, allow_nan=False)


def test_the_text_is_in_the_order_of_need():
    text = diagnosis_text(diagnose(CRASH).to_dict())
    marks = ["RUN-TIME WORKSPACE", "Class: ", "The one change to make now", "vllm serve", "Costs:", "Verify:", "If that fails, 1",
             "Do not touch:", "Known issue:", "For the ticket:"]  # fmt: skip
    places = [text.index(mark) for mark in marks]
    assert places == sorted(places)
    assert "roll back: --max-num-batched-tokens 32768" in text.replace("\n  ", " ")


@pytest.mark.parametrize("width", [80, 100, 120])
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample["id"])
def test_no_line_is_wider_than_the_terminal(sample, width):
    for line in diagnosis_text(diagnose(sample["log"]).to_dict(), width).split("\n"):
        assert len(line) <= width or " " not in line.strip() or "http" in line


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample["id"])
def test_every_answer_is_whole(sample):
    data = diagnose(sample["log"]).to_dict()
    assert data["cause"]
    assert "{" not in data["cause"]
    if data["class"] in ("healthy", "unknown"):
        assert data["change"] is None
    else:
        assert data["change"]["text"]
        assert data["verify"]
    if data["class"] == "unknown":
        assert data["confidence"] == "low"
        assert len(data["look_for"]) == 3
    if data["class"] not in ("healthy", "unknown", "not_oom_other"):
        assert data["evidence"]


def test_an_error_line_alone_has_a_class_and_says_what_would_make_it_better():
    line = "ValueError: To serve at least one request with the model's max seq len (300000), (13.53 GiB KV cache is needed, which is larger than the available KV cache memory (3.74 GiB)). Based on the available memory, the estimated maximum model length is 82944."
    data = diagnose(line).to_dict()
    assert data["class"] == "startup_kv_too_small"
    assert "13.53 GiB" in data["cause"]
    assert any("command" in text for text in data["missing"])
    bare = diagnose("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.").to_dict()
    assert bare["confidence"] == "low"
    assert len(bare["look_for"]) == 3


def test_a_command_without_a_log_is_foretold_from_the_budget():
    data = diagnose(COMMAND, None, {"gpu": "h200_sxm"}).to_dict()
    assert data["class"] == "startup_kv_too_small"
    assert data["cause"].startswith("Foretold from the command")
    assert data["change"]["name"] == "--decode-context-parallel-size"
    fine = diagnose(COMMAND.replace("1048576", "131072").replace("0.93", "0.9"), None, {"gpu": "h200_sxm"}).to_dict()
    assert fine["class"] == "unknown"
    assert "it fits" in fine["cause"]
    assert fine["change"] is None


TYPO = (
    "docker run --gpus all vllm/vllm-openai:v0.30.0 --model zai-org/GLM-5.2-FP8 --tensor-parallel-size 8 "
    "--kv-cache-dtype fp8 --max-model-len 131000 --gpu-memory-utilisation 0.95"
)


def test_a_mistyped_flag_of_a_command_is_refused_with_the_nearest_name():
    """vLLM's argument parser ends on a name that it does not know: no budget says what happens."""
    with pytest.raises(InputError, match="did you mean --gpu-memory-utilization"):
        diagnose(TYPO, None, {"gpu": "h200_sxm"})


def test_a_flag_that_is_not_known_stays_in_the_mended_command_and_is_said():
    data = diagnose(CRASH, f"{TYPO} --fork-arena=3", {"gpu": "h200_sxm"}).to_dict()
    assert "--gpu-memory-utilisation 0.95" in data["command"]
    assert "--fork-arena=3" in data["command"]
    assert "did you mean --gpu-memory-utilization?" in data["unknown"][0]
    assert len(data["unknown"]) == 2
    assert diagnose(CRASH, COMMAND, {"gpu": "h200_sxm"}).to_dict()["unknown"] == []


def test_a_release_that_only_the_image_names_is_said_beside_the_engine():
    data = diagnose(TYPO.replace("utilisation", "utilization"), None, {"gpu": "h200_sxm"}).to_dict()
    assert next(row["text"] for row in data["read"] if row["name"] == "Engine").endswith("rules of 0.30.0")


def test_a_command_without_a_gpu_asks_for_it():
    data = diagnose(COMMAND).to_dict()
    assert data["class"] == "unknown"
    assert "--gpu" in data["cause"]


def test_the_command_beside_the_log_wins_over_its_flags():
    data = diagnose(CRASH, COMMAND.replace("1048576", "131072"), {"gpu": "h200_sxm"}).to_dict()
    assert "--max-model-len 131072" in data["command"]


def test_no_secret_of_a_log_or_command_is_shown():
    secret = "hf_" + "a1B2c3D4e5F6g7H8i9J0"
    args = ARGS.replace("'tensor_parallel_size'", f"'api_key': ['{secret}'], 'tensor_parallel_size'")
    answer = diagnose(
        CRASH.replace(ARGS, args) + f"\nHF_TOKEN={secret}", f"HF_TOKEN={secret} {COMMAND} --api-key {secret}"
    )
    data = answer.to_dict()
    assert secret not in json.dumps(data)
    assert secret not in diagnosis_text(data)
    assert data["masked"] >= 1


def test_html_in_a_log_stays_text():
    data = diagnose(CRASH.replace("CUDA out of memory.", "CUDA out of memory. <script>alert(1)</script>")).to_dict()
    assert "<script>" in data["evidence"][0]["text"]


@pytest.mark.parametrize("source", ["", "   \n  "])
def test_nothing_is_bad_input(source):
    with pytest.raises(InputError):
        diagnose(source)


def test_earlier_runs_are_told_and_the_last_failure_is_answered():
    healthy = CRASH.split("(Worker_TP3")[0]
    data = diagnose(f"{CRASH}\n{healthy}").to_dict()
    assert data["class"] == "runtime_workspace"
    assert any("healthy" in text for text in data["later"])


def test_another_engine_is_answered_in_its_own_words():
    log = next(sample["log"] for sample in SAMPLES if sample["id"] == "sglang-indexer")
    data = diagnose(
        "[2026-09-03 10:00:00] server_args=ServerArgs(model_path='m', tp_size=4, mem_fraction_static=0.9, chunked_prefill_size=8192)\n"
        + log
    ).to_dict()
    assert data["change"]["name"] == "--mem-fraction-static"
    assert data["change"]["to"] < 0.9
    assert all("gpu_memory_utilization" not in row["name"] for row in data["do_not_touch"])
    assert all("VLLM_" not in row["text"] for row in data["alternatives"])
    llama = next(sample["log"] for sample in SAMPLES if sample["id"] == "llama-compute")
    assert diagnose(llama).to_dict()["change"]["name"] == "-ub"


@pytest.mark.parametrize("name", class_names())
def test_a_runbook_entry_is_short_and_whole(name):
    row = death_class(name)
    parts = [row[field] for field in ("title", "log_line", "check", "meaning", "change", "cost", "verify", "undo")]
    assert all(parts)
    assert len(" ".join(parts).split()) < 120
    assert len(row["look_for"]) == 3
    for rule in row["do_not_touch"]:
        assert rule["name"]
        assert rule["why"].endswith(".")


def test_the_classes_are_those_of_the_stable_surface():
    assert class_names() == [
        "weights_load", "startup_free_memory", "profile_run_activation", "startup_no_kv_blocks", "startup_kv_too_small",
        "cuda_graph_capture", "runtime_workspace", "runtime_activation", "host_ram", "preemption_not_oom", "not_oom_other",
        "healthy", "unknown",
    ]  # fmt: skip


def test_a_step_of_utilization_on_h200_is_what_the_runbook_says():
    """0.01 of 139.8 GiB: the figure that the entries state."""
    told = {
        float(found)
        for name in class_names()
        for found in re.findall(r"([\d.]+) GiB (?:of pool|per 0\.01)", json.dumps(death_class(name)))
    }
    assert told == {1.40}
    assert abs(139.8 * 0.01 - 1.40) < 0.005


def test_what_the_change_sets_is_not_among_what_not_to_touch():
    million = COMMAND.replace(" --kv-cache-dtype fp8", "")
    data = diagnose(million, None, {"gpu": "h200_sxm"}).to_dict()
    assert "--max-num-seqs" in data["change"]["text"]
    assert all(row["name"] != "max_num_seqs" for row in data["do_not_touch"])


def test_variables_in_front_of_the_command_stay_in_front_of_every_new_one():
    secret = "hf_" + "abcdef" * 5
    pasted = f"NCCL_DEBUG=INFO HF_TOKEN={secret} vllm serve zai-org/GLM-5.2-FP8 -tp 8 --max-model-len 1M --kv-cache-dtype fp8"
    data = diagnose(pasted, stated={"gpu": "h200_sxm"}).to_dict()
    commands = [data["command"], *(other["command"] for other in data["alternatives"] if other["command"])]
    assert len(commands) >= 2
    assert all(command.startswith("NCCL_DEBUG=INFO HF_TOKEN=") for command in commands)
    assert secret not in str(data)
    assert data["masked"] >= 1


@pytest.mark.parametrize("seqs", [1, 2, 8])
def test_a_cap_on_requests_is_never_proposed_at_or_above_the_present_one(seqs):
    arguments = ARGS.replace("'max_num_seqs': 64", f"'max_num_seqs': {seqs}")
    warning = "WARNING 07-20 02:00:09 [scheduler.py:1] Sequence group 7 is preempted by PreemptionMode.RECOMPUTE mode because there is not enough KV cache space."
    data = diagnose("\n".join([VERSION, arguments, warning]), stated={"gpu": "h200_sxm"}).to_dict()
    assert data["class"] == "preemption_not_oom"
    proposed = [data["change"], *data["alternatives"]]
    caps = [row["to"] for row in proposed if row and row["name"] == "--max-num-seqs"]
    assert all(cap < seqs for cap in caps)
    assert bool(caps) == (seqs > 1)


BARE_OOM = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 61.00 GiB "
    "of which 1.25 GiB is free."
)


def test_a_log_whose_last_start_came_up_says_so_before_it_says_why_one_before_it_died():
    died, line = CRASH, len(CRASH.split("\n")) + 1
    healthy = CRASH.split("(Worker_TP3")[0]
    data = diagnose(f"{died}\n{healthy}").to_dict()
    assert data["cause"].startswith(f"The last start (line {line}) came up")
    assert data["earlier"] == []
    assert [text.split(":")[0] for text in data["later"]] == [f"lines {line} to {line + 5}"]
    assert "Later in this log: lines" in diagnosis_text(data)
    assert "Earlier in this log" not in diagnosis_text(data)
    data = diagnose(f"{healthy}\n{died}").to_dict()
    assert not data["cause"].startswith("The last start")
    assert data["later"] == []
    assert len(data["earlier"]) == 1


@pytest.mark.parametrize("version", [None, "0.8.5", "0.33.0"])
def test_where_no_flags_are_known_a_change_is_relative(version):
    """The default is 0.9 or 0.92 by the release (vllm#38284): "0.9" may change nothing. 2.00 - 1.25 + 1 GiB of 61.00 is 0.03."""
    first = f"(APIServer pid=1) INFO 07-20 02:00:01 [api_server.py:1839] vLLM API server version {version}\n"
    data = diagnose((first if version else "") + BARE_OOM).to_dict()
    change = data["change"]
    assert (change["name"], change["from"], change["to"]) == ("--gpu-memory-utilization", None, None)
    assert "by 0.03 or more" in change["text"]
    expected = {None: "is 0.9 or 0.92)", "0.8.5": "is 0.9)", "0.33.0": "is 0.92)"}[version]
    assert expected in change["text"]
    assert all(other["to"] is None for other in data["alternatives"] if other["kind"] == "flag")


def test_where_flags_are_known_the_default_of_the_release_is_what_is_lowered():
    command = "vllm serve zai-org/GLM-5.2-FP8 -tp 8 --max-model-len 131000"
    for version, below in (("0.18.0", 0.87), ("0.33.0", 0.89)):  # 0.90 and 0.92, less 1.75 of 61.00 GiB
        change = diagnose(BARE_OOM, command, {"engine_version": version}).to_dict()["change"]
        assert (change["name"], change["to"]) == ("--gpu-memory-utilization", below)


def test_another_engines_weights_are_not_sent_to_a_ladder_that_takes_vllm_only():
    log = (
        "[2026-09-03 10:00:00] server_args=ServerArgs(model_path='zai-org/GLM-5.2-FP8', tp_size=4)\n"
        "[2026-09-03 10:00:30 TP0] Load weight begin. avail mem=78.85 GB\n"
        '  File "sglang/srt/layers/quantization/fp8.py", line 700, in create_weights\n' + BARE_OOM
    )
    data = diagnose(log).to_dict()
    assert data["class"] == "weights_load"
    told = json.dumps([data["change"], data["alternatives"]])
    assert "see the ladder" not in told


def test_a_gpu_that_is_full_before_anything_is_loaded_is_another_processs():
    log = next(sample["log"] for sample in SAMPLES if sample["id"] == "device-full")
    data = diagnose(log).to_dict()
    assert data["class"] == "startup_free_memory"
    assert "nvidia-smi" in data["change"]["text"]
    assert "utilization" not in data["change"]["text"]
