"""10,000 generated command lines through the entry point, in process: no traceback, no exit code but 0, 1 and 2."""

from __future__ import annotations

import io
import json
import random
import sys

import pytest

from glmcalc.commands.flags import flag_names
from glmcalc.facts.hardware import devices
from glmcalc.facts.models import model_names
from glmcalc.present.cli import main

CHUNKS, EACH = 4, 2500
VALUES = [
    "8", "0", "-1", "1", "64", "1.5", "nan", "inf", "-inf", "1e400", "9" * 40, "", " ", "auto", "128K", "128k", "1M", "1.5K", "fp8", "bf16", "bfloat16",
    "nvfp4", "int4", "0.9", "0", "1", "1.0001", "true", "{", "[]", "null", '{"method":"mtp"}', '{"method":"mtp","num_speculative_tokens":-3}',
    '{"method":[]}', "0.33.0", "0.24.0", "0.26.0-fork", "v0.23.1rc1.dev1+gabcdef0", "banana", "../..", "/dev/null", "é", "\x00", "\n", "$X", "'", '"',
    "x" * 5000, "--", "-", "=", "🙂", "<b>", "0x10", "٣", "1_000",
]  # fmt: skip
OURS = ["--gpu", "--gpus", "--engine", "--engine-version", "--model", "--available-kv-gib", "--available-kv-bytes", "--weights-gib",
        "--gpu-memory-gib", "--deployment", "--json", "--help", "--version"]  # fmt: skip
COMMANDS = [
    "vllm serve zai-org/GLM-5.2-FP8 -tp 8",
    'vllm serve nvidia/GLM-5.2-NVFP4 -tp 4 --max-model-len 1M --speculative-config \'{"method":"mtp"}\'',
    "docker run --gpus all vllm/vllm-openai:latest --model zai-org/GLM-5.2 --tensor-parallel-size 16",
    "python -m sglang.launch_server --model-path zai-org/GLM-5.2 --tp 8",
    "- --model=zai-org/GLM-5.2\n- --tensor-parallel-size=8",
]


def line(rng: random.Random) -> list[str]:
    """One command line: mostly well formed, with one or more things wrong in it."""
    subcommand = rng.choice(
        ["budget"] * 6 + ["weights", "weights", "parse", "models", "hardware", "sources", "budgte", ""]
    )
    argv = [subcommand]
    if subcommand == "parse" or rng.random() < 0.3:
        text = rng.choice(COMMANDS)
        if rng.random() < 0.7:
            at = rng.randrange(len(text))
            text = text[:at] + rng.choice(VALUES) + text[at + rng.randrange(6) :]
        argv.append(text)
    if subcommand == "budget" and rng.random() < 0.9:
        argv += ["--gpu", rng.choice([chip.id for chip in devices()])]
    if rng.random() < 0.5:
        argv += ["--model", rng.choice(model_names())]
    if rng.random() < 0.5:
        argv += ["-tp", rng.choice(["1", "2", "4", "8", "16", "3", "64"])]
    for _ in range(rng.randrange(4)):
        argv.append(rng.choice(OURS) if rng.random() < 0.4 else rng.choice(flag_names()))
        if rng.random() < 0.8:
            argv.append(rng.choice(VALUES))
    if rng.random() < 0.5:
        argv.append("--json")
    return argv


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_no_traceback_and_no_other_code(chunk, monkeypatch):
    rng = random.Random(chunk)
    for _ in range(EACH):
        argv = line(rng)
        out = io.StringIO()
        monkeypatch.setattr(sys, "stdin", io.StringIO(rng.choice(COMMANDS)))
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        code = main(argv)
        assert code in (0, 1, 2), argv
        helped = {"--help", "--version"} & set(argv)
        if "--json" in argv and argv[0] in ("budget", "weights", "parse") and not helped:
            assert isinstance(json.loads(out.getvalue()), dict), argv
