"""A deployment's file says what the same words say as options, name by name and value by value."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from glmcalc.present.cli import main

BASE = {
    "gpu": "h200_sxm",
    "tensor_parallel_size": 8,
    "kv_cache_dtype": "fp8",
    "max_model_len": 131000,
    "max_num_seqs": 16,
}


def budget(capsys, *argv):
    code = main(["budget", *argv, "--json"])
    return code, json.loads(capsys.readouterr().out)


def as_options(stated):
    out = []
    for name, value in stated.items():
        flag = "--" + name.replace("_", "-")
        out += (
            [flag]
            if value is True
            else []
            if value is False
            else [flag, value if isinstance(value, str) else json.dumps(value)]
        )
    return out


@pytest.mark.parametrize(
    "stated",
    [
        {"max_model_len": "128K"},
        {"max_model_len": "auto"},
        {"max-num-batched-tokens": "8k"},
        {"speculative_config": {"method": "mtp", "num_speculative_tokens": 3}},
        {"speculative_config": '{"method":"mtp","num_speculative_tokens":3}'},
        {"weights_gib": 91.5},
        {"available_kv_gib": 34.1},
        {"available_kv_bytes": 40_000_000_000},
        {"gpu_memory_gib": 141},
        {"kv_cache_memory_bytes": "30G"},
        {"quantization": "modelopt_fp4"},
        {"enforce_eager": True, "enable_expert_parallel": False},
        {"gpus": 8, "engine": "vllm", "engine_version": "0.26.0"},
        {"served_model_name": "glm", "port": 8000, "enable_prefix_caching": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("form", ["json", "toml"])
def test_the_file_says_what_the_options_say(capsys, tmp_path, stated, form):
    said = {**BASE, **stated}
    path = tmp_path / f"node.{form}"
    if form == "json":
        path.write_text(json.dumps(said), encoding="utf-8")
    else:
        tables = {name: value for name, value in said.items() if isinstance(value, dict)}
        lines = [f"{name} = {json.dumps(value)}" for name, value in said.items() if name not in tables]
        for name, table in tables.items():
            lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
        path.write_text("\n".join(lines), encoding="utf-8")
    assert budget(capsys, "--deployment", str(path)) == budget(capsys, *as_options(said))


def test_a_calibration_is_a_path(capsys, tmp_path):
    log = "Model loading took 91.20 GiB; Available KV cache memory: 32.50 GiB"
    command = "vllm serve zai-org/GLM-5.2-FP8 -tp 8 --kv-cache-dtype fp8 --max-model-len 131000 --max-num-seqs 16"
    measured = tmp_path / "machine.json"
    assert main(["calibrate", log, "--command", command, "--gpu", "h200_sxm", "--out", str(measured)]) == 0
    capsys.readouterr()
    path = tmp_path / "node.json"
    path.write_text(json.dumps({**BASE, "calibration": str(measured)}), encoding="utf-8")
    code, data = budget(capsys, "--deployment", str(path))
    assert (code, data) == budget(capsys, *as_options(BASE), "--calibration", str(measured))
    assert any(part["basis"] == "calibrated" for part in data["per_gpu"]["components"])


@pytest.mark.parametrize(
    ("stated", "field", "close"),
    [
        ({"max_model_length": 5}, "max_model_length", "max_model_len"),
        ({"gpu_memory_utilisation": 0.9}, "gpu_memory_utilisation", "gpu_memory_utilization"),
        ({"weight_gib": 5}, "weight_gib", "weights_gib"),
        ({"max_model_len": "lots"}, "max_model_len", None),
        ({"max_model_len": "$LENGTH"}, "max_model_len", None),
        ({"max_num_seqs": True}, "max_num_seqs", None),
        ({"weights_gib": "many"}, "weights_gib", None),
        ({"weights_gib": 0}, "weights_gib", None),
        ({"gpus": 2.5}, "gpus", None),
        ({"calibration": "/nowhere.json"}, "calibration", None),
        ({"model": 5}, "model", None),
    ],
)
def test_what_is_wrong_is_named(capsys, tmp_path, stated, field, close):
    path = tmp_path / "node.json"
    path.write_text(json.dumps({**BASE, **stated}), encoding="utf-8")
    code, data = budget(capsys, "--deployment", str(path))
    assert code == 2
    assert data["error"]["field"] == field
    assert close is None or close in data["error"]["message"]


def test_options_beside_the_file_win(capsys, tmp_path):
    path = tmp_path / "node.json"
    path.write_text(
        "\ufeff" + json.dumps({**BASE, "trust_remote_code": True}), encoding="utf-8"
    )  # as Windows writes it
    _, data = budget(capsys, "--deployment", str(path), "--max-model-len", "64K", "--port", "8000")
    assert data["deployment"]["max_model_len"] == 65_536
    assert {"--trust-remote-code", "--port"} <= set(data["no_effect_on_memory"])


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from([*BASE, "speculative_config", "weights_gib", "calibration", "", "-", "quantization"])
        | st.text(max_size=8),
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=8)
        | st.lists(st.integers(), max_size=3),
        max_size=4,
    )
)
def test_any_table_gives_0_1_or_2(capsys, tmp_path, table):
    path = tmp_path / "any.json"
    path.write_text(json.dumps(table), encoding="utf-8")
    assert main(["budget", "--gpu", "h200_sxm", "--deployment", str(path)]) in (0, 1, 2)


def test_a_variable_in_an_option_is_no_default(capsys):
    code, data = budget(capsys, *as_options({**BASE, "max_model_len": "$LENGTH"}))
    assert (code, data["error"]["field"]) == (2, "max_model_len")


@pytest.mark.parametrize(
    "argv",
    [
        ["vllm serve zai-org/GLM-5.2-FP8 -tp 8 --max-model-len auto --kv-cache-dtype fp8"],
        ["vllm serve nvidia/GLM-5.2-NVFP4 -tp 8 --no-enable-chunked-prefill --max-model-len 32K --max-cudagraph-capture-size 0"],
        ["vllm serve zai-org/GLM-5.2-FP8 -tp 8 --num-gpu-blocks-override 30000 --num-speculative-tokens 3 --max-model-len 64k"],
        ["--engine", "sglang", "-tp", "8", "--context-length", "32768"],
        ["--engine", "llama.cpp", "--quantization", "UD-Q2_K_XL", "--gpus", "8", "--ctx-size", "32768"],
    ],
    ids=str,
)  # fmt: skip
def test_the_deployment_of_an_answer_is_such_a_file(capsys, tmp_path, argv):
    code, first = budget(capsys, *argv, "--gpu", "b200_sxm")
    path = tmp_path / "answer.json"
    path.write_text(json.dumps(first["deployment"]), encoding="utf-8")
    again, second = budget(capsys, "--deployment", str(path))
    assert again == code
    for name in ("kv", "per_gpu"):
        assert second[name] == first[name]
    assert second["verdict"]["reason"] == first["verdict"]["reason"]
    stated = {name: value for name, value in first["deployment"].items() if name != "defaults_filled"}
    assert {name: second["deployment"][name] for name in stated} == stated


def test_speculation_without_a_method_is_named_as_it_is_budgeted(capsys):
    _, data = budget(capsys, "--gpu", "h200_sxm", "-tp", "8", "--speculative-config", '{"num_speculative_tokens":3}')
    assert data["deployment"]["speculative_method"] == "mtp"
    assert data["deployment"]["num_speculative_tokens"] == 3
    assert any(part["name"] == "mtp_layer" for part in data["per_gpu"]["components"])


def test_one_pool_is_stated_once(capsys, tmp_path):
    both = ["--available-kv-gib", "30", "--available-kv-bytes", "64424509440"]
    assert budget(capsys, "--gpu", "h200_sxm", "-tp", "8", *both)[1]["error"]["field"] == "available_kv_gib"
    path = tmp_path / "both.json"
    path.write_text('{"gpu": "h200_sxm", "available_kv_gib": 30, "available_kv_bytes": 64424509440}', encoding="utf-8")
    assert budget(capsys, "--deployment", str(path))[1]["error"]["field"] == "available_kv_gib"


def test_weights_take_a_gpu_and_do_not_need_it(capsys):
    line = "vllm serve zai-org/GLM-5.2-FP8 -tp 8"
    assert main(["weights", line, "--json"]) == 0
    without = json.loads(capsys.readouterr().out)
    assert main(["weights", line, "--gpu", "h200_sxm", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == without
    assert main(["weights", line, "--gpu", "h200", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["field"] == "gpu"


@pytest.mark.parametrize(
    "argv",
    [
        ["budget"], ["weights"], ["solve", "--for", "max-num-seqs"], ["downgrade"],
        ["speed", "--context", "9216", "--concurrency", "4"], ["diff", "--from-version", "0.32.0", "--to-version", "0.33.0"],
    ],
    ids=lambda argv: argv[0],
)  # fmt: skip
def test_prices_are_a_common_option(capsys, tmp_path, argv):
    path = tmp_path / "prices.csv"
    path.write_text("gpu,usd_per_hour,date,source\nh200_sxm,3.5,2026-11,quote\n", encoding="utf-8")
    deployment = ["--gpu", "h200_sxm", "-tp", "8", "--kv-cache-dtype", "fp8", "--max-model-len", "131000", "--json"]
    assert main([*argv, *deployment, "--prices", str(path)]) in (0, 1)
    capsys.readouterr()
    assert main([*argv, *deployment, "--prices", str(tmp_path / "none.csv")]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["field"] == "prices"
