"""One line without its wrapping, and without anything that steers a terminal."""

from __future__ import annotations

import contextlib
import io
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmcalc.logs.lines import LogLine, clean_line, visible
from glmcalc.logs.wrapped import unwrapped
from glmcalc.present.cli import main

STEERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


@pytest.mark.parametrize(
    ("raw", "process", "level", "text"),
    [
        ("(Worker_TP3_DCP1 pid=41) ERROR 11-23 01:37:53 [multiproc_executor.py:966] RuntimeError: no", "Worker_TP3_DCP1", "ERROR", "RuntimeError: no"),
        ("(EngineCore_DP0 pid=223840) ERROR 10-25 13:08:43 [core.py:708]     raise x", "EngineCore_DP0", "ERROR", "    raise x"),
        ("INFO 02-26 09:54:05 worker.py:267] model weights take 5.20GiB", None, "INFO", "model weights take 5.20GiB"),
        ("WARNING 08-20 10:18:39 scheduler.py:1141] Sequence group 147", None, "WARNING", "Sequence group 147"),
        ("(APIServer pid=7) INFO:     Application startup complete.", "APIServer", "INFO", "Application startup complete."),
        ("[2025-11-04 05:27:13 DP0 TP0 EP0] Load weight end.", "DP0 TP0 EP0", None, "Load weight end."),
        ("[2026-05-19 03:23:35] KV Cache is allocated.", None, None, "KV Cache is allocated."),
        ("(VllmWorkerProcess pid=19) ERROR 03-02 19:49:43 [multiproc_worker_utils.py:242] x", "VllmWorkerProcess", "ERROR", "x"),
        ("(RayWorkerWrapper pid=12, ip=10.0.0.4) INFO 01-02 03:04:05 [a.py:1] y", "RayWorkerWrapper", "INFO", "y"),
        ("(ServeReplica:default:LLM pid=12) ERROR 01-02 03:04:05 [a.py:1] y", "ServeReplica:default:LLM", "ERROR", "y"),
        ("\x1b[1;36m(EngineCore pid=5)\x1b[0;0m INFO 11-23 01:37:53 [core.py:1] z", "EngineCore", "INFO", "z"),
        ("[1;36m(EngineCore pid=5)[0;0m INFO 11-23 01:37:53 [core.py:1] z", "EngineCore", "INFO", "z"),
        ("glm-0 vllm (EngineCore pid=5) INFO 11-23 01:37:53 [core.py:1] z", "EngineCore", "INFO", "z"),
        ("0: (Worker_TP0 pid=5) INFO 11-23 01:37:53 [core.py:1] z", "Worker_TP0", "INFO", "z"),
        ("[1,0]<stderr>:(Worker_TP0 pid=5) INFO 11-23 01:37:53 [core.py:1] z", "Worker_TP0", "INFO", "z"),
        ("llama_context: n_ctx         = 16384", None, None, "llama_context: n_ctx         = 16384"),
        ("  File \"a.py\", line 3, in f", None, None, "  File \"a.py\", line 3, in f"),
        ("", None, None, ""),
    ],
)  # fmt: skip
def test_what_stands_around_a_message(raw: str, process: str | None, level: str | None, text: str) -> None:
    assert clean_line(7, raw) == LogLine(7, process, level, text)


HOSTILE = [
    "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x1b]52;c;cm0gLXJmIH4=\x07", "\x1b]52;c;cm0=\x1b\\", "\x1b]8;;http://x\x1b\\y\x1b]8;;\x1b\\", "\x07", "\x1bP1$r\x1b\\",
    "\x1b[2J\x1b[H", "\x9b31m", "\x9d52;c;eA==\x9c", "\x1bc", "\x1b(0", "\x1b[", "\x1b", "\x1b]52;c;", "\u202eevil\u202c", "\u2066x\u2069", "\u200fr", "\u200bz",
    "a\u2028b", "\x00", "\x08\x08\x08", "\x7f", "\r\x1b[Kover",
]  # fmt: skip


@pytest.mark.parametrize("hostile", HOSTILE, ids=ascii)
def test_nothing_steers_the_terminal(hostile: str) -> None:
    """In the evidence, the figures and the flags of a text answer; as an option; and in the message of an error."""
    failed = (
        f"(APIServer pid=7) INFO 09-14 11:00:01 [u.py:2] non-default args: {{'model': 'zai-org/{hostile}GLM-5.2-FP8'}}\n"
        f"(Worker_TP0 pid=9) INFO 09-14 11:01:00 [x.py:1] Starting to load model {hostile}\n"
        f"(Worker_TP0 pid=9) ERROR 09-14 11:01:00 [x.py:1] torch.OutOfMemoryError: CUDA out of memory. {hostile} Tried to allocate 2.00 GiB {hostile}\n"
    )
    for argv in (
        ["diagnose", failed],
        ["diagnose", failed, "--json"],
        [
            "diagnose",
            failed,
            "--gpu",
            "h200_sxm",
            "--command",
            f"vllm serve zai-org/GLM-5.2-FP8 -tp 8 --served-model-name '{hostile}'",
        ],
        ["diagnose", failed, "--command", f"vllm serve zai-org/GLM-5.2-FP8 --max-model-len '{hostile}'"],
    ):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(argv)
        assert code in (0, 1, 2)
        assert not STEERS.search(out.getvalue().replace("\n", "")), argv
        assert not STEERS.search(err.getvalue().replace("\n", "")), argv


@given(st.text())
def test_visible_leaves_nothing_that_steers(text: str) -> None:
    assert not STEERS.search(visible(text).replace("\n", "").replace("\t", ""))


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="[^\\")))
def test_plain_text_is_shown_as_it_is(text: str) -> None:
    assert visible(text) == text


@given(st.text(max_size=300))
def test_any_line_gives_lines(raw: str) -> None:
    assert all(line.number == 3 for line in unwrapped([(3, raw)]))


@pytest.mark.parametrize("piece", ["\x1b[", "\x1b]", "[1;", "2026-09-14T11:02:03Z ", "a | ", "(Worker", "[pod/", "{\"log\":", "{\"log\": \"\\", "\r", " P ", "[0m", " (EngineCore pid=1) INFO ", "Sep 14 11:02:03 "])  # fmt: skip
def test_hostile_lines_take_no_square_of_time(piece: str) -> None:
    def seconds(size: int) -> float:
        text = piece * (size // len(piece))
        begin = time.process_time()
        list(unwrapped([(1, text), (2, text)]))
        return time.process_time() - begin

    small = seconds(2_500)
    assert seconds(20_000) < max(24 * small, 1.0)
