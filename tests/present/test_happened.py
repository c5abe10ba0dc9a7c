"""The page *What happened?* without a browser: states, order, what is asked for, what never gets out."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

import pytest

from glmcalc.present.cli import main
from glmcalc.present.controls import Choices
from glmcalc.present.happened_board import MOST, Happened, example, fields_in
from glmcalc.present.happened_form import FIELDS, form

LOGS = Path(__file__).resolve().parents[1] / "data" / "happened"
CHOICES = Choices(("m",), (("NVIDIA", "h200_sxm", "H200"), ("NVIDIA", "b200_sxm", "B200")), ("0.33.0",))
COMMAND = "vllm serve zai-org/GLM-5.2-FP8 -tp 8 --max-model-len 1M --kv-cache-dtype fp8 --max-num-seqs 1"
SECRET = "hf_" + "Q7x" * 10


def log(name: str) -> str:
    return (LOGS / f"{name}.log").read_text(encoding="utf-8")


def board(name: str = "", **fields: str) -> Happened:
    return Happened(CHOICES, fields, log(name) if name else "")


def words(html: str) -> str:
    return unescape(re.sub(r"<[^>]+>", "", html))


def test_empty_is_the_box_an_example_and_three_lines() -> None:
    view = board().view()
    assert view["state"] == "empty"
    assert view["parts"]["verdict"].count("<li>") == 3
    assert 'data-act="example"' in view["parts"]["verdict"]
    assert {name for name, html in view["parts"].items() if html} == {"verdict"}
    assert not any(board().later().values())


def test_the_example_is_diagnosed_with_all_it_needs() -> None:
    made = Happened(CHOICES, {}, example())
    assert made.data is not None
    assert made.data["class"] == "runtime_workspace"
    assert made.data["confidence"] == "high"
    assert made.data["missing"] == []


def test_a_death_shows_lines_change_command_and_what_to_leave_alone() -> None:
    parts = board("workspace").view()["parts"]
    assert "Run-time workspace" in words(parts["verdict"])
    assert "Confidence: high" in words(parts["verdict"])
    assert "<mark>Tried to allocate 8.00 GiB</mark>" in parts["quotes"]
    assert "<mark>KV cache usage: 4.1%</mark>" in parts["quotes"]
    numbers = [int(n.replace(",", "")) for n in re.findall(r'class="gm-line">([\d,]+)<', parts["quotes"])]
    assert numbers == sorted(numbers)
    quoted = log("workspace").splitlines()[numbers[0] - 1]
    assert "GPU KV cache usage: 4.1%" in quoted
    assert "<del>32768</del> → <ins>8192</ins>" in parts["change"]
    assert "<mark>--max-num-batched-tokens 8192</mark>" in parts["change"]
    assert "Scratch 8.00 → 2.00 GiB" in words(parts["change"])
    assert "loading took 561 s" in words(parts["change"])
    assert "gpu_memory_utilization up." in words(parts["avoid"])
    assert "vllm#53413" in words(parts["avoid"])
    assert "roll back: --max-num-batched-tokens 32768" in words(parts["ticket"])
    assert "By the budget it fits." in words(parts["second"])
    assert '<td class="r">line 2</td>' in parts["read"]


def test_an_alternative_that_may_not_hold_says_its_risk() -> None:
    second = words(board("kv_too_small", gpu="h200_sxm").view()["parts"]["second"])
    assert "Risk: the budget calls it marginal" in second
    assert "--max-model-len 1048576 → 618000" in second  # the engine's own estimate is 625,216
    assert "Risk: it fits by what this log printed" in second


def test_unknown_proposes_nothing() -> None:
    view = board("unknown").view()
    assert view["class"] == "unknown"
    assert "Not known" in words(view["parts"]["verdict"])
    assert "What was ruled out" in words(view["parts"]["look"])
    assert view["parts"]["look"].count("<li>") == 3
    for part in ("change", "second", "bar"):
        assert view["parts"][part] == ""


def test_healthy_and_not_memory_have_tiles_of_their_own() -> None:
    healthy, other = board("healthy", gpu="h200_sxm").view(), board("not_memory").view()
    assert 'data-status="fits"' in healthy["parts"]["verdict"]
    assert healthy["parts"]["change"] == ""
    assert "What died" not in healthy["parts"]["bar"]
    assert 'data-status="marginal"' in other["parts"]["verdict"]
    assert "Not memory" in words(other["parts"]["verdict"])


@pytest.mark.parametrize("text", ["", "  \n\n", "abc\0\0\0\1\2def" * 40])
def test_bad_input_says_what_the_command_says(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "log"
    file.write_bytes(text.encode())
    assert main(["diagnose", str(file), "--json"]) == 2
    message = json.loads(capsys.readouterr().out)["error"]["message"]
    made = board()
    made.read(text.encode())
    view = made.view()
    assert view["state"] == "input"
    assert view["errors"] == {"log": message}
    assert view["note"] == message
    assert message in words(view["parts"]["verdict"])


@pytest.mark.parametrize(
    ("field", "value", "asked"),
    [
        ("gpu", "h2oo", ["diagnose", str(LOGS / "workspace.log"), "--gpu", "h2oo"]),
        ("gpus", "eight", ["diagnose", str(LOGS / "workspace.log"), "--gpus", "eight"]),
        ("command", "vllm serve 'm", ["diagnose", str(LOGS / "workspace.log"), "--command", "vllm serve 'm"]),
        ("engine_version", "newest", ["budget", "--gpu", "h200_sxm", "--engine-version", "newest"]),
    ],
)
def test_bad_fields_say_what_the_command_says(
    field: str, value: str, asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*asked, "--json"]) == 2
    message = json.loads(capsys.readouterr().out)["error"]["message"]
    view = board("workspace", **{field: value}).view()
    assert view["errors"] == {field: message}


def test_bad_input_keeps_the_last_answer() -> None:
    made = board("workspace")
    before = made.view()["parts"]["change"]
    made.change({"gpus": "-3"})
    view = made.view()
    assert view["stale"]
    assert view["parts"]["change"] == before
    made.change({"gpus": ""})
    assert not made.view()["stale"]


def test_more_than_the_page_reads_is_refused_whole() -> None:
    made = board()
    made.read(b"INFO a line\n" * (MOST // 12 + 1))
    view = made.view()
    assert view["state"] == "input"
    assert "glmcalc diagnose FILE" in view["note"]
    assert "Nothing of it was read" in view["note"]


def test_the_device_is_asked_for_where_the_log_names_none() -> None:
    made = board("kv_too_small")
    view = made.view()
    assert 'data-name="gpu"' in view["parts"]["ask"]
    assert view["parts"]["bar"] == ""
    assert "until the GPU is chosen" in words(view["parts"]["change"])
    made.change({"gpu": "h200_sxm"})
    view = made.view()
    assert view["parts"]["ask"] == ""
    assert "What died: One request, asked 53.45 GiB, 21.58 short." in view["parts"]["bar"]


@pytest.mark.parametrize("name", ["not_memory", "healthy", "unknown"])
def test_nothing_is_asked_for_that_changes_nothing(name: str) -> None:
    parts = board(name).view()["parts"]
    assert parts["ask"] == ""


def test_a_port_that_is_taken_has_a_change_of_its_own() -> None:
    change = words(board("not_memory").view()["parts"]["change"])
    assert "End it" in change
    assert "another --port" in change


def test_the_verdict_says_what_keeps_a_command_from_a_budget() -> None:
    text = "vllm serve meta-llama/Llama-3-70B -tp 4"
    chosen = Happened(CHOICES, {"gpu": "h200_sxm"}, text).view()["parts"]
    assert "'meta-llama/Llama-3-70B' is not known" in words(chosen["verdict"])
    assert "Choose the GPU" not in words(chosen["verdict"])
    assert chosen["ask"] == ""
    open_ = Happened(CHOICES, {}, COMMAND).view()["parts"]
    assert "Choose the GPU" in words(open_["verdict"])
    assert 'data-name="gpu"' in open_["ask"]


def test_a_command_alone_is_foretold() -> None:
    made = Happened(CHOICES, {"command": COMMAND, "gpu": "h200_sxm"})
    view = made.view()
    assert view["class"] == "startup_kv_too_small"
    assert "Foretold from the command" in words(view["parts"]["verdict"])
    fits = Happened(CHOICES, {"command": COMMAND.replace("1M", "32000"), "gpu": "h200_sxm"}).view()
    assert 'data-status="fits"' in fits["parts"]["verdict"]
    assert "Would fit" in words(fits["parts"]["verdict"])


HELD = """\
INFO 11-20 08:11:02 [utils.py:233] non-default args: {'model': 'zai-org/GLM-5.2-FP8', 'tensor_parallel_size': 8, 'kv_cache_dtype': 'fp8', 'max_model_len': 131000, 'gpu_memory_utilization': %s}
ValueError: Free memory on device cuda:2 (%s/139.80 GiB) on startup is less than desired GPU memory utilization (%s, %s GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes.
"""


@pytest.mark.parametrize(
    ("share", "free", "asked"),
    [("0.95", "127.00", "132.81"), ("0.92", "65.13", "128.62"), ("0.99", "138.00", "138.41")],
)
def test_no_share_is_offered_that_the_engine_refuses_again(share: str, free: str, asked: str) -> None:
    """The engine starts where ``free >= ceil(total * share)``: 127.00 of 139.80 GiB is 0.908 at most."""
    made = Happened(CHOICES, {"gpu": "h200_sxm"}, HELD % (share, free, share, asked))
    view, later = made.view(), made.later()
    shown = view["parts"]["change"] + view["parts"]["second"] + later["ladder"]
    offered = [float(text) for text in re.findall(r"--gpu-memory-utilization (0\.\d+)", words(shown))]
    offered = [number for number in offered if number != float(share)]
    assert all(number * 139.80 <= float(free) for number in offered)
    assert later["ladder"] == "" if float(free) < 137 else offered


def test_no_ladder_that_is_the_change_once_more() -> None:
    assert board("workspace").later()["ladder"] == ""
    assert board("workspace").data["change"]["to"] == 8192


def test_the_ladder_counts_with_what_the_log_measured() -> None:
    """53.45 GiB are needed and 31.87 were there: 21.58 are missing, and a printed figure leaves at most half a GiB of doubt."""
    ladder = words(board("kv_too_small", gpu="h200_sxm").later()["ladder"])
    missing = re.search(r"([\d.]+) GiB are missing", ladder)
    assert missing
    assert 21.58 <= float(missing[1]) < 22.1
    pool = re.search(r"pool is [\d.]+ GiB per GPU \(([\d.]+) to ([\d.]+)\)", ladder)
    assert pool
    assert float(pool[2]) - float(pool[1]) < 3, "estimates alone leave 4.8 GiB"


def test_a_mistyped_flag_is_said_in_the_verdict() -> None:
    """In the box, in the field and beside a log: the nearest name, and no command that lost the flag."""
    typo = COMMAND.replace("--max-num-seqs", "--max-num-seq5")
    for made in (
        Happened(CHOICES, {"gpu": "h200_sxm"}, typo),
        Happened(CHOICES, {"gpu": "h200_sxm", "command": typo}),
    ):
        parts = made.view()["parts"]
        assert "did you mean --max-num-seqs?" in words(parts["verdict"])
        assert not any(html for name, html in parts.items() if name not in ("verdict", "mini"))
    parts = board("workspace", command=typo).view()["parts"]
    assert "did you mean --max-num-seqs?" in words(parts["verdict"])
    assert "--max-num-seq5 1" in words(parts["change"])
    assert "did you mean --max-num-seqs?" in words(board("unknown", command=typo).view()["parts"]["verdict"])


def test_hostile_text_stays_text_and_secrets_stay_hidden() -> None:
    for fields in ({}, {"command": f"HF_TOKEN={SECRET} {COMMAND}", "gpu": "h200_sxm"}):
        view = board("hostile", **fields).view()
        shown = json.dumps({name: value for name, value in view.items() if name != "values"})
        assert SECRET not in shown
        html = "".join(view["parts"].values())
        assert "<script" not in html
        assert "<img" not in html
        assert "\x1b" not in html
    assert "&lt;img" in html


def test_the_address_holds_fields_alone_and_masked() -> None:
    made = board("hostile", command=f"HF_TOKEN={SECRET} {COMMAND}", gpu="h200_sxm")
    query = made.query()
    assert SECRET not in query
    assert "onerror" not in query
    back = fields_in(query)
    assert set(back) == {"command", "gpu"}
    assert back["command"].endswith(COMMAND)
    assert board("hostile").query() == ""


def test_address_knows_no_other_names() -> None:
    assert fields_in("?gpu=h200_sxm&log=x&theme=dark&command=a%20b") == {"gpu": "h200_sxm", "command": "a b"}


def test_clear_forgets_the_log() -> None:
    made = board("workspace", gpu="h200_sxm")
    made.clear()
    assert made.source is None
    assert made.view()["state"] == "empty"
    assert made.query() == ""


def test_every_field_has_a_name_and_a_help() -> None:
    html = form(CHOICES, "x")
    fields = re.findall(r"<(?:input|select|textarea)[^>]*>", html)
    assert len(fields) == len(FIELDS) + 2
    for field in fields:
        key = re.search(r' id="([^"]+)"', field)
        assert "aria-label" in field or (key and f'for="{key[1]}"' in html), field
        described = re.search(r'aria-describedby="([^"]+)"', field)
        assert described, field
        for target in described[1].split():
            assert f'id="{target}"' in html, target
