"""What a short answer imports: nothing that only other answers need. ``make bench`` has the times."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NEVER = {
    "csv",
    "locale",
    "dataclasses",
    "inspect",
    "glmcalc.model.calibration",
    "glmcalc.facts.secrets",
    "glmcalc.present.inputs",
}
FLAGS = [
    "budget",
    "--gpu",
    "h200_sxm",
    "--gpus",
    "8",
    "--kv-cache-dtype",
    "fp8",
    "--max-model-len",
    "131000",
    "--max-num-seqs",
    "16",
]
CASES = {
    "flags": (FLAGS, {"glmcalc.solve.nearest", "glmcalc.commands.read"}),
    "pasted": (["budget", "vllm serve zai-org/GLM-5.2-FP8 -tp 8 --kv-cache-dtype fp8 --max-model-len 131000 --max-num-seqs 16", *FLAGS[1:3]], {"glmcalc.solve.nearest", "glmcalc.commands.shell"}),
    "does not fit": (["budget", "--gpu", "h100_sxm", "--gpus", "8"], {"glmcalc.commands.read"}),
}  # fmt: skip


def loaded(code, *arguments):
    program = f"import sys; {code}; print(*sorted(sys.modules), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("case", CASES)
def test_only_what_the_answer_needs(case):
    argv, not_now = CASES[case]
    bare = loaded("pass")
    found = loaded("from glmcalc.present.cli import main; main(sys.argv[1:])", *argv, "--json")
    assert "glmcalc.budget.plan" in found
    assert (found - bare).isdisjoint(NEVER | not_now)


LONG = "vllm serve zai-org/GLM-5.2-FP8 -tp 8 --kv-cache-dtype fp8 --max-model-len 1M"


@pytest.mark.parametrize("reader", ["head -1", "true", "grep -q FIT"])
def test_a_reader_that_leaves_early_does_not_turn_no_into_yes(reader):
    # `set -o pipefail; glmcalc budget … | head -1 && deploy` must not deploy what does not fit.
    line = f"{sys.executable} -m glmcalc budget '{LONG}' --gpu h200_sxm | {reader} >/dev/null; echo ${{PIPESTATUS[0]}}"
    for _ in range(3):
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60)
        assert (done.stdout.strip(), done.stderr) == ("1", "")


def test_output_that_cannot_be_written_is_said(tmp_path):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "glmcalc", "hardware"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert done.returncode == 2
    assert done.stderr == "glmcalc: standard output cannot be written: No space left on device\n"
    line = f"{sys.executable} -m glmcalc budget '{LONG}' --gpu h200_sxm >&-"
    closed = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60)
    assert (closed.returncode, closed.stderr) == (1, "")


@pytest.mark.parametrize("argv", ["diagnose -", "calibrate -", "parse -", "tune --metrics - --gpu h200_sxm --gpus 8"])
def test_a_closed_input_is_an_empty_one(argv):
    line = f"{sys.executable} -m glmcalc {argv} --json <&-"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert '"error"' in done.stdout
