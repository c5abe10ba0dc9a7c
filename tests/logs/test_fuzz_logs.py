"""10,000 generated logs through the entry point, in process: no traceback, no exit code but 0, 1 and 2."""

from __future__ import annotations

import io
import json
import random
import re
import sys
from pathlib import Path

import pytest

from glmcalc.facts.hardware import devices
from glmcalc.present.cli import main

CHUNKS, EACH = 4, 2500
SAMPLES = Path(__file__).resolve().parent / "samples"
LINES = [line for path in sorted(SAMPLES.glob("*.log")) for line in path.read_text(encoding="utf-8").splitlines()]
TELLING = [line for line in LINES if re.search(r"GiB|MiB| GB|tokens|args|config: |Error|emory", line)]
VALUES = [
    "0", "-1", "1", "9" * 30, "1e400", "nan", "inf", "-0.00", "1,234,567", "1.2.3", "", " ", "None", "'", '"', "{", "}", "(", ")", "[", "\\", "\t", "\r", "\0", "\x1b[31m",
    "\x1b]52;c;eA==\x07", "\ud83d", "🙂", "\u202e", "x" * 3000, "٣", "GiB", "%", "{0}", "{free}", "<b>", "$X", "../..", "hf_" + "a" * 30, "api_key='k'", "=", "|",
]  # fmt: skip
COMMANDS = [
    "vllm serve zai-org/GLM-5.2-FP8 -tp 8 --max-model-len 1M", "HF_TOKEN=x vllm serve nvidia/GLM-5.2-NVFP4 -tp 4", "vllm serve", "--max-model-len 1", "",
    "python -m sglang.launch_server --model-path zai-org/GLM-5.2 --tp 8", "llama-server -m x.gguf",
]  # fmt: skip


def damaged(rng: random.Random, line: str) -> str:
    """A line with figures, names or characters replaced, cut, wrapped or doubled."""
    kind = rng.randrange(8)
    if kind == 0:
        return re.sub(r"\d+(?:\.\d+)?", lambda m: rng.choice(VALUES) if rng.random() < 0.4 else m[0], line)
    if kind == 1:
        return line[: rng.randrange(len(line) + 1)]
    if kind == 2:
        return line[rng.randrange(len(line) + 1) :]
    if kind == 3:
        at = rng.randrange(len(line) + 1)
        return line[:at] + rng.choice(VALUES) + line[at + rng.randrange(4) :]
    if kind == 4:
        return json.dumps(
            {
                rng.choice(["log", "message", "msg", "line", "MESSAGE", "x"]): rng.choice(
                    [line, [1, 300], None, {"message": line}]
                )
            }
        )
    if kind == 5:
        return (
            rng.choice(
                [
                    "svc-1  | ",
                    "[pod/a/b] ",
                    "2026-09-14T11:02:03Z stdout P ",
                    "2026-09-14T11:02:03Z stdout F ",
                    "Sep 14 11:02:03 h u[1]: ",
                ]
            )
            + line
        )
    return line


def log(rng: random.Random) -> bytes:
    """Some lines of real logs in any order, some of them damaged."""
    pool = TELLING if rng.random() < 0.7 else LINES
    at = rng.randrange(len(pool))
    lines = pool[at : at + rng.randrange(1, 9)] + [rng.choice(pool) for _ in range(rng.randrange(5))]
    if rng.random() < 0.3:
        rng.shuffle(lines)
    text = rng.choice(["\n", "\n", "\r\n", "\r"]).join(
        damaged(rng, line) if rng.random() < 0.5 else line for line in lines
    )
    data = text.encode(rng.choice(["utf-8", "utf-8", "utf-8", "utf-16", "utf-16-be"]), "replace")
    if rng.random() < 0.1:
        data = data[rng.randrange(len(data) + 1) :]
    if rng.random() < 0.05:
        data += rng.randbytes(rng.randrange(400))
    return data


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_no_traceback_and_no_other_code(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(chunk)
    codes = {0: 0, 1: 0, 2: 0}
    for _ in range(EACH):
        data = log(rng)
        argv = ["diagnose", "-"]
        if rng.random() < 0.3:
            argv += ["--gpu", rng.choice([chip.id for chip in devices()])]
        if rng.random() < 0.15:
            argv += ["--command", rng.choice(COMMANDS) + rng.choice(["", " " + rng.choice(VALUES)])]
        if rng.random() < 0.1:
            argv += ["--gpus", rng.choice(VALUES)]
        if rng.random() < 0.6:
            argv.append("--json")
        out = io.StringIO()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        code = main(argv)
        assert code in (0, 1, 2), (argv, data)
        codes[code] += 1
        if "--json" in argv:
            answer = json.loads(out.getvalue())
            assert ("error" in answer) == (code == 2), (argv, data)
            assert "\x1b" not in str(answer), (argv, data)
    assert codes[0] > EACH // 10
    assert codes[1] > EACH // 20
