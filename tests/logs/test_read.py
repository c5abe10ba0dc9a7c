"""Known logs under everything that collectors, terminals and scissors do to them: the class stays."""

from __future__ import annotations

import io
import json
import random
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from glmcalc.advise.diagnose import diagnose
from glmcalc.logs.read import read_log

SAMPLES = Path(__file__).resolve().parent / "samples"
CLASSES = {
    "vllm_fail_len_gt_kv": "startup_kv_too_small",
    "vllm_fail_util_gt_free": "startup_free_memory",
    "vllm_fail_kvspace_gt_ram": "host_ram",
    "vllm_fail_len_gt_config": "not_oom_other",
    "vllm_healthy_mla": "healthy",
    "vllm_ranks": "runtime_workspace",
    "sglang_indexer": "runtime_activation",
    "sglang_healthy": "healthy",
    "llamacpp_start": "healthy",
}
ENGINES = {"vllm": "vllm", "sglang": "sglang", "llamacpp": "llama.cpp"}


def sample(name: str) -> list[str]:
    return (SAMPLES / f"{name}.log").read_text(encoding="utf-8").splitlines()


def klass(text: str | bytes) -> str:
    source = io.BytesIO(text) if isinstance(text, bytes) else text
    return diagnose(source).to_dict()["class"]


def journal(line: str, i: int) -> str:
    return json.dumps(
        {"_SYSTEMD_UNIT": "vllm.service", "PRIORITY": "6", "MESSAGE": list(f"\x1b[1m{line}\x1b[0m".encode())}
    )


WRAPPERS = {
    "docker timestamps": lambda line, i: f"2026-09-14T11:02:03.{i % 1000:09}Z {line}",
    "cri": lambda line, i: f"2026-09-14T11:02:03.123456789+02:00 stdout F {line}",
    "compose": lambda line, i: f"vllm-server-1  | {line}",
    "compose, coloured": lambda line, i: f"\x1b[36mvllm-1          |\x1b[0m {line}",
    "swarm": lambda line, i: f"glm_vllm.1.k3jx8@node-7    | {line}",
    "kubectl --prefix": lambda line, i: f"[pod/glm-0/vllm] {line}",
    "kubectl --prefix --timestamps": lambda line, i: f"[pod/glm-0/vllm] 2026-09-14T11:02:03.5Z {line}",
    "journald": lambda line, i: f"Sep 14 11:02:03 node7 vllm[4121]: {line}",
    "journald, precise": lambda line, i: f"2026-09-14T11:02:03.123456+0000 node7 vllm[4121]: {line}",
    "journald, boot clock": lambda line, i: f"[12345.678901] node7 vllm[4121]: {line}",
    "docker json-file": lambda line, i: json.dumps({"log": line + "\n", "stream": "stderr", "time": "2026-09-14T11:02:03Z"}),
    "loki": lambda line, i: json.dumps({"labels": {"pod": "glm-0"}, "line": line, "timestamp": "2026-09-14T11:02:03Z"}),
    "fluent bit": lambda line, i: json.dumps({"kubernetes": {"pod": "g"}, "log": f"2026-09-14T11:02:03Z stdout F {line}"}),
    "google": lambda line, i: json.dumps({"severity": "DEFAULT", "jsonPayload": {"message": line}}) + ",",
    "journald json": journal,
    "kubectl --prefix, json": lambda line, i: "[pod/g/v] " + json.dumps({"log": line + "\n", "stream": "stdout"}),
    "torchrun": lambda line, i: f"[rank0]: {line}",
    "vllm colours": lambda line, i: f"\x1b[1;36m{line}\x1b[0;0m",
    "colours that lost their escape": lambda line, i: f"[1;36m[0;0m{line}[0m",
    "carriage returns": lambda line, i: f"Loading: 10%\rLoading: 20%\r{line}\r",
    "moreutils ts": lambda line, i: f"Sep 14 11:02:03 {line}",
}  # fmt: skip


@pytest.mark.parametrize("name", CLASSES)
def test_samples_as_they_are(name: str) -> None:
    text = "\n".join(sample(name))
    assert klass(text) == CLASSES[name]
    (facts,) = read_log(text)
    assert facts.engine == ENGINES[name.split("_")[0]]


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("name", CLASSES)
def test_wrapped_line_by_line(name: str, wrapper: str) -> None:
    wrap = WRAPPERS[wrapper]
    text = "\n".join(wrap(line, i) for i, line in enumerate(sample(name)))
    assert klass(text) == CLASSES[name]
    (facts,), (plain,) = read_log(text), read_log("\n".join(sample(name)))
    assert facts.engine == plain.engine
    assert facts.arguments == plain.arguments
    assert [row.value for row in facts.memory] == [row.value for row in plain.memory]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(sorted(CLASSES)),
    st.lists(st.sampled_from(sorted(WRAPPERS)), min_size=1, max_size=2, unique=True),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"]),
)
def test_wrappers_in_wrappers_and_encodings(name: str, wrappers: list[str], end: str, encoding: str) -> None:
    lines = sample(name)
    for wrapper in wrappers:
        lines = [WRAPPERS[wrapper](line, i) for i, line in enumerate(lines)]
    if "carriage returns" in wrappers[1:]:  # inside another's line it is no longer at a line's end
        return
    assert klass(end.join(lines).encode(encoding)) == CLASSES[name]


NOISE = [
    "INFO:     10.0.0.7:40120 - \"GET /health HTTP/1.1\" 200 OK",
    "(APIServer pid=7) INFO:     10.0.0.7:40122 - \"POST /v1/chat/completions HTTP/1.1\" 400 Bad Request",
    "",
    "   ",
    "something else, printed by an entry point",
    "W0914 11:02:03.000000 12 torch/utils/cpp_extension.py:118] note",
    "\x1b[2K\x1b[1G",
    "�￾ half a character",
    "}",
    '{"ts": 12, "caller": "proxy"}',
]  # fmt: skip


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(sorted(CLASSES)), st.lists(st.tuples(st.integers(0, 400), st.sampled_from(NOISE)), max_size=40))
def test_noise_between_lines(name: str, noise: list[tuple[int, str]]) -> None:
    lines = sample(name)
    for at, text in noise:
        lines.insert(min(at, len(lines)), text)
    assert klass("\n".join(lines)) == CLASSES[name]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32))
def test_ranks_interleaved_in_another_order(seed: int) -> None:
    """Lines of one process keep their order; those of different processes come as they come, within the same second."""
    rng = random.Random(seed)
    lines = sample("vllm_ranks")
    first = next(i for i, line in enumerate(lines) if "WorkerProc hit" in line)
    last = next(i for i, line in enumerate(lines) if "EngineCore encountered" in line)
    by_rank: dict[str, list[str]] = {}
    for line in lines[first:last]:
        by_rank.setdefault(line.split(" ")[0], []).append(line)
    mixed = []
    while by_rank:
        rank = rng.choice(sorted(by_rank))
        mixed.append(by_rank[rank].pop(0))
        if not by_rank[rank]:
            del by_rank[rank]
    assert klass("\n".join([*lines[:first], *mixed, *lines[last:]])) == CLASSES["vllm_ranks"]


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(["vllm_fail_len_gt_kv", "vllm_fail_util_gt_free", "vllm_ranks", "sglang_indexer"]), st.floats(0, 1)
)
def test_cut_at_the_head(name: str, share: float) -> None:
    """From any byte on, as long as the deciding traceback is in what is left."""
    data = (SAMPLES / f"{name}.log").read_bytes()
    decisive = data.find(b"Traceback (most recent call last)")
    cut = int(share * (data.rfind(b"\n", 0, decisive) + 1))
    assert klass(data[cut:]) == CLASSES[name]


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(sorted(CLASSES)), st.floats(0.02, 1))
def test_cut_at_the_end_is_never_a_wrong_class_with_confidence(name: str, share: float) -> None:
    data = (SAMPLES / f"{name}.log").read_bytes()
    found = diagnose(io.BytesIO(data[: int(share * len(data))])).to_dict()
    allowed = {CLASSES[name], "unknown", "healthy", "not_oom_other"}
    assert found["class"] in allowed
    if found["class"] not in (CLASSES[name], "unknown") and found["confidence"] == "high":
        assert found["class"] == "healthy"
        assert any("startup complete" in row["text"] or "fired up" in row["text"] for row in found["evidence"])


def test_cut_in_a_character_and_in_an_escape() -> None:
    data = ("\x1b[1;36m" + "\n".join(sample("vllm_ranks"))).encode()
    assert klass(data[3:] + "█".encode()[:2]) == "runtime_workspace"
    assert klass(data + b"\n\x1b[3") == "runtime_workspace"
    assert klass(data + b"\n\x1b]52;c;Zm9v") == "runtime_workspace"


def test_parts_of_a_long_line_are_joined() -> None:
    """A container runtime cuts lines at 16 KiB and marks the parts with P, the last with F."""
    lines = []
    for line in sample("vllm_ranks"):
        half = len(line) // 2
        lines += [f"2026-09-14T11:02:03.1Z stdout P {line[:half]}", f"2026-09-14T11:02:03.1Z stderr F {NOISE[0]}"]
        lines += [f"2026-09-14T11:02:03.1Z stdout F {line[half:]}"]
    text = "\n".join(lines)
    assert klass(text) == "runtime_workspace"
    (facts,) = read_log(text)
    assert facts.arguments["max_num_batched_tokens"] == 16384


def test_structured_logging_of_the_engine() -> None:
    """Python's JSON formatter: the level beside the message, the traceback in a field of its own."""
    rows, trace = [], []
    for line in sample("vllm_ranks"):
        spoken = re.fullmatch(r"\((\w+) pid=\d+\) (INFO|ERROR):? +(?:\S+ \S+ \[[\w.:]+\] )?(.*)", line)
        assert spoken
        if spoken[1] == "Worker_TP1" and spoken[2] == "ERROR":
            trace.append(spoken[3])
        elif spoken[2] != "ERROR":
            rows.append(json.dumps({"levelname": spoken[2], "name": "vllm", "message": spoken[3]}))
    rows.append(json.dumps({"levelname": "ERROR", "name": "vllm.v1.executor", "message": trace[0], "exc_info": "\n".join(trace[1:])}))  # fmt: skip
    assert klass("\n".join(rows)) == "runtime_workspace"
    (facts,) = read_log("\n".join(rows))
    assert {line.level for line in facts.lines} >= {"INFO", "ERROR"}
    assert klass("\n".join(rows[:-1])) == "healthy"
    assert klass("\n".join(rows)[:-3]) == "runtime_workspace"  # the record is cut


def test_a_paste_that_lost_its_line_ends() -> None:
    assert klass(" ".join(sample("vllm_ranks"))) == "runtime_workspace"
    assert klass(" ".join(sample("vllm_healthy_mla"))) == "healthy"


def test_crash_loop_the_last_failed_run_counts_and_others_are_named() -> None:
    small, free, fine = (sample(n) for n in ("vllm_fail_len_gt_kv", "vllm_fail_util_gt_free", "vllm_healthy_mla"))
    text = "\n".join([*small, *free])
    found = diagnose(text).to_dict()
    assert found["class"] == "startup_free_memory"
    assert found["engine_version"] == "0.32.0"
    (earlier,) = found["earlier"]
    assert "startup_kv_too_small" in earlier
    assert earlier.startswith("lines 1 to")
    assert found["evidence"][0]["line"] > len(small)
    assert klass("\n".join([*free, *small])) == "startup_kv_too_small"
    found = diagnose("\n".join([*free, *small, *fine])).to_dict()
    assert found["class"] == "startup_kv_too_small"
    assert [len(found["earlier"]), len(found["later"])] == [1, 1]


def test_the_end_of_a_crash_before_the_first_start_is_a_run_of_its_own() -> None:
    crash = sample("vllm_ranks")[-40:]
    text = "\n".join([*crash, *sample("vllm_fail_util_gt_free")])
    assert klass(text) == "startup_free_memory"
    assert read_log(text)[0].first == 1


def test_two_nodes_of_one_start_are_one_run() -> None:
    lines = sample("vllm_fail_len_gt_kv")
    head = lines[:9]
    text = "\n".join(
        [f"node-{k} | {line}" for line in head for k in (0, 1)] + [f"node-0 | {line}" for line in lines[9:]]
    )
    assert len(read_log(text)) == 1


def test_a_version_stands_in_the_run_that_printed_it() -> None:
    text = "\n".join([*sample("vllm_fail_len_gt_config"), *sample("vllm_fail_len_gt_config")])
    runs = read_log(text)
    assert len(runs) == 2
    assert [run.engine_version for run in runs] == ["0.32.0", "0.32.0"]


def test_many_starts_keep_the_first_and_the_last() -> None:
    one = sample("vllm_fail_len_gt_kv")
    runs = read_log("\n".join(one * 40))
    assert runs[0].first == 1
    assert runs[-1].last == len(one) * 40 == runs[-1].total
    assert 2 < len(runs) < 40
