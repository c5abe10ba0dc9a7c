"""``glmcalc tune`` as scripts use it: keys, exit codes, bad input, a state that outlives a kill."""

import io
import json
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from glmcalc.present.cli import main

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data"
COMMAND = "vllm serve zai-org/GLM-5.2-FP8 -tp 8 --kv-cache-dtype fp8 --max-model-len 131000 --max-num-seqs 64 --gpu-memory-utilization 0.88"
BASE = ["tune", COMMAND, "--gpu", "h200_sxm"]


def run(capsys, *argv: str) -> tuple[int, dict]:
    code = main([*BASE, *argv, "--json"])
    out, _ = capsys.readouterr()
    assert out.count("\n") == 1
    return code, json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is not finite"))


@pytest.mark.parametrize("name", ["idle", "under_load", "kv_pressure", "prefix_hits"])
@pytest.mark.parametrize("mode", ["budget", "guide"])
def test_the_keys_that_stay(capsys, tmp_path, name, mode):
    code, data = run(
        capsys, "--metrics", str(DATA / f"metrics_{name}.prom"), "--state", str(tmp_path / "s"), "--mode", mode
    )
    assert code == 0
    assert data["decision"] == ("lower" if name == "kv_pressure" else "hold")
    assert data["reason"]
    assert data["next_command"].startswith("vllm serve zai-org/GLM-5.2-FP8 ")
    assert len(data["watch"]) == 3
    assert all({"metric", "threshold", "why"} <= set(row) for row in data["watch"])
    assert [row.name for row in tmp_path.iterdir()] == ["s"]


def test_the_next_command_changes_one_thing(capsys):
    """Put back into the reader of commands, it is the pasted one but for max_num_seqs."""
    _, data = run(capsys, "--metrics", str(DATA / "metrics_kv_pressure.prom"))
    was, now = set(shlex.split(COMMAND)), shlex.split(data["next_command"])
    assert now[now.index("--max-num-seqs") + 1] == "3"
    assert [word for word in now if word not in was] == ["--tensor-parallel-size", "3"]
    assert main(["budget", data["next_command"], "--gpu", "h200_sxm"]) == 0
    capsys.readouterr()


def test_people_see_the_decision_first(capsys):
    assert main([*BASE, "--metrics", str(DATA / "metrics_kv_pressure.prom"), "--mode", "guide"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("LOWER  5 preemptions")
    assert "Nothing was restarted" in out
    assert "11.2 GiB on 8 GPUs" in out
    assert "below 3 an hour" in out


def test_the_state_goes_on_between_calls(capsys, tmp_path):
    state = str(tmp_path / "state.json")
    for name in ("idle", "prefix_hits", "under_load"):
        _, data = run(capsys, "--metrics", str(DATA / f"metrics_{name}.prom"), "--state", state)
    assert (data["evidence"]["finished"], data["evidence"]["scrapes"], data["evidence"]["peak_running"]) == (96, 3, 42)
    _, data = run(capsys, "--died", "CUDA out of memory", "--state", state)
    assert data["decision"] == "roll_back"
    assert data["next_setting"]["gpu_memory_utilization"] < 0.88
    _, data = run(capsys, "--metrics", str(DATA / "metrics_under_load.prom"), "--state", state)
    assert data["decision"] == "roll_back"  # until it is done
    _, data = run(
        capsys, "--metrics", str(DATA / "metrics_under_load.prom"), "--state", state, "--cause", "a leftover process"
    )
    assert (data["decision"], data["frozen"]) == ("hold", None)


def test_free_memory_from_the_command_line(capsys):
    _, data = run(capsys, "--metrics", str(DATA / "metrics_under_load.prom"), "--free-gib", "0.5")
    assert data["decision"] == "roll_back"
    _, data = run(capsys, "--metrics", str(DATA / "metrics_under_load.prom"), "--free-gib", "1.5")
    assert data["decision"] == "lower"
    assert data["evidence"]["free_low_bytes"] == 3 << 29


def test_standard_input_and_lines_in_quotes(capsys, monkeypatch):
    text = (DATA / "metrics_kv_pressure.prom").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text), encoding="utf-8"))
    assert run(capsys, "--metrics", "-")[1]["decision"] == "lower"
    assert run(capsys, "--metrics", "vllm:num_preemptions_total 5")[1]["decision"] == "lower"


def test_a_range_query_from_a_file(capsys, tmp_path):
    rows = {"vllm:num_preemptions_total": [0, 0, 2], "vllm:kv_cache_usage_perc": [0.5, 0.99, 0.7]}
    result = [
        {
            "metric": {"__name__": name, "instance": "gpu7:8000"},
            "values": [[1000 + 1800 * n, str(value)] for n, value in enumerate(values)],
        }
        for name, values in rows.items()
    ]
    path = tmp_path / "range.json"
    path.write_text(json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}}))
    _, data = run(capsys, "--metrics", str(path))
    assert (data["decision"], data["evidence"]["scrapes"], data["evidence"]["peak_kv_usage"]) == ("lower", 3, 0.99)
    assert data["evidence"]["hours"] == 1.0
    assert data["evidence"]["finished"] is None  # not in the query: not known, and not 0


def test_stress_alone_and_beside_a_decision(capsys):
    code, data = run(capsys, "--stress")
    assert (code, data["decision"], len(data["stress"]["shapes"])) == (0, None, 5)
    _, data = run(capsys, "--stress", "--metrics", str(DATA / "metrics_idle.prom"))
    assert data["decision"] == "hold"
    assert len(data["stress"]["shapes"]) == 5
    assert main([*BASE, "--stress"]) == 0
    assert "3/n, 95 %" in capsys.readouterr().out


KNOWN_BENCH_FLAGS = {  # of the Namespace that vllm bench serve 0.32 itself printed
    "--backend", "--base-url", "--endpoint", "--model", "--dataset-name", "--random-input-len", "--random-output-len",
    "--random-range-ratio", "--random-prefix-len", "--ignore-eos", "--max-concurrency", "--num-prompts", "--save-result",
    "--result-filename", "--seed",
}  # fmt: skip


def test_the_load_generators_flags_exist(capsys):
    _, data = run(capsys, "--stress")
    for shape in data["stress"]["shapes"]:
        assert shape["commands"]
        for command in shape["commands"]:
            assert "vllm bench serve" in command
            assert {word for word in shlex.split(command) if word.startswith("--")} <= KNOWN_BENCH_FLAGS


@pytest.mark.parametrize(
    ("argv", "field"),
    [
        ([], "metrics"),
        (["--metrics", "no-such-file.prom"], "metrics"),
        (["--metrics", "gpu7:8000/metrics"], "metrics"),
        (["--metrics", "http://127.0.0.1:1/metrics"], "metrics"),
        (["--metrics", "file:///etc/hostname"], "metrics"),
        (["--metrics", str(DATA)], "metrics"),
        (["--metrics", "/dev/null"], "metrics"),
        (["--metrics", str(ROOT / "README.md")], "metrics"),
        (["--metrics", "vllm:num_preemptions_total 5", "--mode", "fast"], "mode"),
        (["--metrics", "vllm:num_preemptions_total 5", "--free-gib", "much"], "free_gib"),
        (["--metrics", "vllm:num_preemptions_total 5", "--free-gib", "-1"], "free_gib"),
        (["--metrics", "vllm:num_preemptions_total 5", "--state", str(DATA / "metrics_idle.prom")], "state"),
        (["--metrics", "vllm:num_preemptions_total 5", "--state", "no/such/folder/state.json"], "state"),
    ],
)  # fmt: skip
def test_bad_input(capsys, argv, field):
    code, data = run(capsys, *argv)
    assert code == 2
    assert data["error"]["field"] == field
    assert set(data["error"]) == {"field", "value", "allowed", "message"}


def test_a_machine_must_be_named(capsys):
    assert main(["tune", COMMAND, "--metrics", "vllm:num_preemptions_total 5", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["field"] == "gpu"


def test_a_state_of_another_deployment_is_left_as_it_is(capsys, tmp_path):
    state = tmp_path / "state.json"
    run(capsys, "--metrics", str(DATA / "metrics_idle.prom"), "--state", str(state))
    before = state.read_bytes()
    code, data = run(
        capsys, "--metrics", str(DATA / "metrics_idle.prom"), "--state", str(state), "--max-model-len", "65000"
    )
    assert (code, data["error"]["field"]) == (2, "state")
    assert state.read_bytes() == before


def test_secrets_are_masked_wherever_they_go(capsys, tmp_path):
    secret = "hf_" + "abcdefghijklmnopqrstuv"
    state = tmp_path / "state.json"
    argv = ["tune", f"{COMMAND} --api-key {secret}", "--gpu", "h200_sxm", "--metrics", str(DATA / "metrics_kv_pressure.prom"), "--state", str(state),
            "--cause", f"token={secret}"]  # fmt: skip
    for extra in ([], ["--json"]):
        assert main([*argv, *extra]) == 0
        out, err = capsys.readouterr()
        assert secret not in out + err + state.read_text()
        assert "[masked]" in out


def test_killed_while_it_runs_it_loses_nothing(tmp_path):
    """The process is killed at growing times; whatever is on the disk is whole, and the next call goes on."""
    state = tmp_path / "state.json"
    argv = [
        sys.executable,
        "-m",
        "glmcalc",
        *BASE,
        "--metrics",
        str(DATA / "metrics_prefix_hits.prom"),
        "--state",
        str(state),
        "--json",
    ]
    scrapes = 0
    for delay in (0.05, 0.15, 0.25, 0.35, 0.5):
        process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if state.exists():
            seen = json.loads(state.read_text())["steps"][0]["scrapes"]
            assert seen >= scrapes
            scrapes = seen
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True)
    evidence = json.loads(done.stdout)["evidence"]
    assert (evidence["finished"], evidence["scrapes"]) == (90, scrapes + 1)


def test_two_at_once_lose_nothing(tmp_path):
    state = tmp_path / "state.json"
    argv = [
        sys.executable,
        "-m",
        "glmcalc",
        *BASE,
        "--metrics",
        str(DATA / "metrics_idle.prom"),
        "--state",
        str(state),
        "--json",
    ]
    running = [subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.DEVNULL) for _ in range(4)]
    assert [process.wait() for process in running] == [0, 0, 0, 0]
    assert json.loads(state.read_text())["steps"][0]["scrapes"] == 4
