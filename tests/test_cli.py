"""The command as scripts use it: exit codes, one JSON object, errors that name the field."""

import io
import json
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from glmcalc import Deployment, plan
from glmcalc.present.cli import main

BASE = [
    "budget",
    "--gpu",
    "h200_sxm",
    "--tensor-parallel-size",
    "8",
    "--max-model-len",
    "131000",
    "--kv-cache-dtype",
    "fp8",
]


def run(capsys, *argv: str) -> tuple[int, str, str]:
    code = main(list(argv))
    out, err = capsys.readouterr()
    return code, out, err


def run_json(capsys, *argv: str) -> tuple[int, dict]:
    code, out, _ = run(capsys, *argv, "--json")
    assert out.count("\n") == 1
    return code, json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is not finite"))


def test_fits_is_zero_and_keys_stay(capsys):
    code, data = run_json(capsys, *BASE)
    assert code == 0
    assert data["verdict"]["status"] == "fits"
    assert set(data) >= {"deployment", "kv", "per_gpu", "verdict", "command", "warnings", "not_modelled"}
    assert set(data["kv"]) >= {
        "record", "bytes_per_token", "block_size", "bytes_per_block", "available_bytes", "available_low_bytes",
        "available_high_bytes", "num_blocks", "tokens", "max_concurrency", "blocks_per_request", "needed_bytes",
        "estimated_max_model_len", "fits",
    }  # fmt: skip
    assert set(data["per_gpu"]) >= {"memory_bytes", "utilization_bytes", "components"}
    for component in data["per_gpu"]["components"]:
        assert set(component) >= {"name", "bytes", "low_bytes", "high_bytes", "inside_utilization", "basis", "source"}
        assert all(isinstance(component[key], int) for key in ("bytes", "low_bytes", "high_bytes"))
    assert data["deployment"]["engine_version"] == "0.33.0"


def test_a_pasted_command_and_options_beside_it(capsys):
    text = "vllm serve zai-org/GLM-5.2-FP8 -tp 8 --kv-cache-dtype fp8 --max-model-len 128K --port 8000"
    code, data = run_json(capsys, "budget", text, "--gpu", "h200_sxm", "--max-num-seqs", "32")
    assert code == 0
    assert data["deployment"]["max_model_len"] == 131_072
    assert data["deployment"]["max_num_seqs"] == 32
    assert any("port" in str(flag) for flag in data["no_effect_on_memory"])
    again, _ = run_json(capsys, "budget", data["command"], "--gpu", "h200_sxm")
    assert again == code


def test_the_normalised_command_says_the_same(capsys):
    _, data = run_json(
        capsys, *BASE, "--speculative-config", '{"method":"mtp","num_speculative_tokens":3}', "--max-num-seqs", "64"
    )
    _, again = run_json(capsys, "budget", data["command"], "--gpu", "h200_sxm")
    for key in ("kv", "per_gpu", "command"):
        assert again[key] == data[key]


def test_does_not_fit_is_one_and_mends(capsys):
    code, data = run_json(
        capsys, "budget", "--gpu", "h200_sxm", "--gpus", "8", "--max-model-len", "1M", "--max-num-seqs", "1"
    )
    assert code == 1
    assert data["verdict"]["stage"] == "startup_kv_too_small"
    code, mended = run_json(capsys, "budget", data["verdict"]["mend"]["command"], "--gpu", "h200_sxm")
    assert (code, mended["verdict"]["status"]) == (0, "fits")


def test_a_stated_pool(capsys):
    """60 GiB, fp8_ds_mla, MTP, 131,072 tokens: 18,393 blocks and 1,177,152 tokens, as the engine's planner says."""
    code, data = run_json(
        capsys, "budget", "--gpu", "h200_sxm", "-tp", "8", "--kv-cache-dtype", "fp8_ds_mla", "--max-model-len", "131072",
        "--speculative-config", '{"method":"mtp","num_speculative_tokens":1}', "--available-kv-gib", "60",
    )  # fmt: skip
    assert code == 0
    assert (data["kv"]["num_blocks"], data["kv"]["tokens"]) == (18_393, 1_177_152)
    assert data["kv"]["max_concurrency"] == 8.98095703125


def test_a_deployment_file(capsys, tmp_path):
    path = tmp_path / "node.toml"
    path.write_text(
        'model = "zai-org/GLM-5.2-FP8"\ngpu = "h200_sxm"\ntensor_parallel_size = 8\nmax_model_len = 131000\n'
    )
    code, data = run_json(capsys, "budget", "--deployment", str(path), "--kv-cache-dtype", "fp8")
    assert code == 0
    assert data["deployment"]["max_model_len"] == 131_000


BAD = [
    (["budget", "--gpu", "h200", "-tp", "8"], "gpu"),
    (["budget", "--gpu", "h200_sxm", "-tp", "three"], "tensor_parallel_size"),
    (["budget", "--gpu", "h200_sxm", "-tp", "-8"], "tensor_parallel_size"),
    (["budget", "--gpu", "h200_sxm", "-tp", "3"], "tensor_parallel_size"),
    (["budget", "--gpu", "h200_sxm", "--gpus", "nan"], "gpus"),
    (["budget", "--gpu", "h200_sxm", "--gpu-memory-utilization", "nan"], "gpu_memory_utilization"),
    (["budget", "--gpu", "h200_sxm", "--gpu-memory-utilization", "0"], "gpu_memory_utilization"),
    (["budget", "--gpu", "h200_sxm", "--gpu-memory-utilization", "1.5"], "gpu_memory_utilization"),
    (["budget", "--gpu", "h200_sxm", "--max-model-len", "9" * 400], "max_model_len"),
    (["budget", "--gpu", "h200_sxm", "--max-model-len", "2000000"], "max_model_len"),
    (["budget", "--gpu", "h200_sxm", "--available-kv-gib", "inf"], "available_kv_gib"),
    (["budget", "--gpu", "h200_sxm", "--model", "zai-org/GLM-9"], "model"),
    (["budget", "--gpu", "h200_sxm", "--model", "/nowhere/config.json"], "model"),
    (
        ["budget", "--gpu", "h200_sxm", "--engine", "sglang", "--gpu-memory-utilization", "0.9"],
        "gpu_memory_utilization",
    ),
    (["budget", "--gpu", "h200_sxm", "--engine", "tgi"], "engine"),
    (["budget", "vllm serve zai-org/GLM-5.2-FP8 --speculative-config '{", "--gpu", "h200_sxm"], "command"),
    (["budget", "--gpu", "h200_sxm", "--deployment", "/nowhere.toml"], "file"),
    (["budget"], "gpu"),
    (["parse", "/nowhere.txt"], "file"),
    (["weights", "-tp", "5"], "tensor_parallel_size"),
]


@pytest.mark.parametrize(
    ("argv", "field"), BAD, ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else value
)
def test_bad_input_is_two_and_names_the_field(capsys, argv, field):
    code, out, err = run(capsys, *argv, "--json")
    assert code == 2
    error = json.loads(out)["error"]
    assert error["field"].lstrip("-").replace("-", "_") == field
    assert set(error) >= {"field", "value", "allowed", "message"}
    assert error["message"] in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "argv", [["budgett"], ["budget", "--gpu", "h200_sxm", "--max-model-length", "5"], ["budget", "--gppu", "h200_sxm"]]
)
def test_a_mistyped_name_is_answered_with_the_nearest(capsys, argv):
    code, _, err = run(capsys, *argv)
    assert code == 2
    assert "did you mean" in err


def test_underscores_are_dashes(capsys):
    code, data = run_json(
        capsys,
        "budget",
        "--gpu",
        "h200_sxm",
        "--tensor_parallel_size",
        "8",
        "--max_model_len",
        "131000",
        "--kv_cache_dtype=fp8",
    )
    assert code == 0
    assert data["deployment"]["tensor_parallel_size"] == 8


def test_other_flags_of_the_engine_are_listed(capsys):
    code, data = run_json(capsys, *BASE, "--served-model-name", "glm", "--enable-prefix-caching")
    assert code == 0
    assert len(data["no_effect_on_memory"]) >= 2


@pytest.mark.parametrize(
    "subcommand", ["budget", "weights", "parse", "models", "hardware", "claims", "sources", "html", "app", "read"]
)
def test_help_teaches(capsys, subcommand):
    code, out, _ = run(capsys, subcommand, "--help")
    assert code == 0
    assert out.count(f"  glmcalc {subcommand}") >= 2


def test_weights(capsys):
    code, data = run_json(capsys, "weights", "--model", "zai-org/GLM-5.2-FP8", "-tp", "8")
    assert code == 0
    assert data["total_bytes"] == 755_617_140_416
    assert data["bytes_without_mtp"] == 745_584_507_456
    assert data["per_gpu_bytes"] / 2**30 == pytest.approx(88.46, abs=0.005)
    assert sum(row["stored_bytes"] for row in data["modules"]) == data["total_bytes"]
    assert sum(row["per_gpu_bytes"] for row in data["modules"]) == data["per_gpu_bytes"]


@pytest.mark.parametrize("kind", ["models", "hardware", "claims", "sources"])
def test_lists(capsys, kind):
    code, data = run_json(capsys, kind)
    assert code == 0
    assert data["rows"]
    text_code, out, _ = run(capsys, kind)
    assert text_code == 0
    assert len(out.splitlines()) >= len(data["rows"])


def test_parse_reads_standard_input(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("vllm serve zai-org/GLM-5.2-FP8 -tp 8"))
    code, data = run_json(capsys, "parse", "-")
    assert code == 0
    assert data["settings"] == {"model": "zai-org/GLM-5.2-FP8", "tensor_parallel_size": 8}


def test_parse_without_a_model_is_one(capsys):
    code, data = run_json(capsys, "parse", "vllm serve --max-model-len 4096")
    assert code == 1
    assert data["settings"] == {"max_model_len": 4096}


words = st.sampled_from([
    "budget", "weights", "parse", "models", "hardware", "--json", "--gpu", "h200_sxm", "b200_sxm", "mac_m3_ultra_512", "--gpus", "-tp", "8",
    "--max-model-len", "128K", "auto", "-1", "--gpu-memory-utilization", "0.9", "1e400", "nan", "--kv-cache-dtype", "fp8", "--model",
    "zai-org/GLM-5.2", "vllm serve zai-org/GLM-5.2-FP8 -tp 8", "--speculative-config", '{"method":"mtp"}', "{", "'", "--", "-", "", "--block-size",
    "--engine-version", "0.24.0", "0.26.0-fork", "--available-kv-gib", "60", "--enforce-eager", "--num-gpu-blocks-override", "-dcp", "2", "\x00", "--=",
    "--data-parallel-size", "--pipeline-parallel-size", "=", "99999999999999999999", "--help", "-q", "nvfp4", "--trust-remote-code",
])  # fmt: skip


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(argv=st.lists(words | st.text(max_size=12), max_size=9))
def test_any_arguments_give_0_1_or_2(argv, monkeypatch):
    """No traceback and no other code, whatever is typed; ``test_fuzz.py`` goes on with 10,000 lines."""
    if argv[:1] in (["app"], ["read"], ["html"]):
        return
    monkeypatch.setattr(sys, "stdin", io.StringIO("vllm serve x"))
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert main(argv) in (0, 1, 2)


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--speculative-config.method", "mtp", "--speculative-config.num_speculative_tokens", "3"], ("speculative_method", "mtp")),
        (["--speculative-config.method=mtp"], ("speculative_method", "mtp")),
        (["-ep"], ("enable_expert_parallel", True)),
        (["-q", "modelopt_fp4"], ("model", "nvidia/GLM-5.2-NVFP4")),
    ],
)  # fmt: skip
def test_the_engines_own_spellings(capsys, argv, expected):
    _, data = run_json(capsys, *BASE, *argv)
    assert data["deployment"][expected[0]] == expected[1]


def test_tables_keep_to_a_narrow_terminal(monkeypatch):
    from glmcalc.present import terminal

    rows = [["KV pool", "31.05", "what is left of the utilization line after everything else has taken its share"]]
    heads = ["One of 8 GPUs", "GiB", "what"]
    monkeypatch.setattr(terminal, "terminal_columns", lambda: 60)
    narrow = terminal.table(rows, heads, right=(1,)).splitlines()
    assert max(map(len, narrow)) <= 60
    words = " ".join(line.split("  ")[-1].strip() for line in narrow[2:])
    assert rows[0][2] in words
    monkeypatch.setattr(terminal, "terminal_columns", lambda: None)  # a pipe: a row stays a line
    assert len(terminal.table(rows, heads, right=(1,)).splitlines()) == 3


@pytest.mark.parametrize(
    ("argv", "field"),
    [
        (["speed", "--gpu", "h200_sxm", "--context", "1K"], "concurrency"),
        (["budget", "--max-num-seqs"], "--max-num-seqs"),
    ],
)
def test_what_is_missing_is_the_field(capsys, argv, field):
    assert main([*argv, "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["field"], error["value"]) == (field, None)


def test_help_states_the_engines_defaults(capsys):
    from glmcalc.facts.hardware import device
    from glmcalc.model.batch import default_batch

    main(["budget", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    made = {name: default_batch(device(name), device(name).memory()) for name in ("h200_sxm", "b300_sxm", "rtx_5090")}
    seqs, tokens = made["h200_sxm"]
    assert f"(default: {seqs} from 70 GiB of GPU on, A100 aside; else {made['rtx_5090'][0]})" in text
    assert f"(default: {tokens}; {made['b300_sxm'][1]} from 160 GiB on; {made['rtx_5090'][1]} where" in text
    assert f"(default: {plan(Deployment(gpu='h200_sxm')).resolved.gpu_memory_utilization:g})" in text
