"""Ask the peers what ``questions.py`` has, and write what they answer to ``data/peers.jsonl``.

Run by hand, needs the network once for the installs (about 1.1 GB): ``.venv/bin/python tests/peers/compare.py``. Each tool gets an
environment of its own under a temporary folder, which goes at the end (``--envs FOLDER`` keeps and reuses it). Times are of cold
processes, the median of each run's count; a Python that does nothing is timed between them, for the ratio.
"""

from __future__ import annotations

import argparse
import datetime
import json
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from questions import OURS, RUNS, TOOLS, Run, Tool

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "data" / "peers.jsonl"


def install(tool: Tool, envs: Path) -> str | None:
    """An environment with the tool alone; the installer's last words where that fails."""
    home = envs / tool.name
    if (home / "installed").exists():
        return None
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    wanted = f"{tool.name}=={tool.version}"
    done = subprocess.run(
        [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-input", wanted],
        capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        return done.stderr.strip().splitlines()[-1]
    (home / "installed").touch()
    return None


def folder(under: Path) -> Path:
    """The working folder of every command."""
    here = under / "asked"
    (here / "glm52").mkdir(parents=True, exist_ok=True)
    config = ROOT / "data" / "models" / "GLM-5.2-FP8.json"
    shutil.copy(config, here / "GLM-5.2-FP8.json")
    shutil.copy(config, here / "glm52" / "config.json")
    requests = [
        {"timestamp": n, "input_length": 33_280, "output_length": 256, "hash_ids": [*range(64), 1000 + n % 7]}
        for n in range(200)
    ]
    (here / "trace.jsonl").write_text("".join(json.dumps(row) + "\n" for row in requests), encoding="utf-8")
    return here


def ask(run: Run, envs: Path, here: Path) -> list[dict[str, Any]]:
    """The rows of one run."""
    programs = Path(sys.executable).parent if run.tool is OURS else envs / run.tool.name / "bin"
    command = [str(programs / run.command[0]), *run.command[1:]]
    took, idle = [], []
    for _ in range(run.times + 1):  # the first is not counted: it compiles, and reads the disk
        start = time.perf_counter()
        done = subprocess.run(command, cwd=here, capture_output=True, text=True)
        took.append(time.perf_counter() - start)
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        idle.append(time.perf_counter() - start)
    text = done.stdout
    if "llm-mem" in run.command[0]:
        text += (here / "out.md").read_text(encoding="utf-8")
    if "default" in run.command or "estimate" in run.command:
        text += done.stderr
    answers = run.read(text)
    return [
        {
            "id": f"{run.name}-{answer.question}",
            "tool": run.tool.name,
            "version": run.tool.version,
            "question": answer.question,
            "inputs": answer.inputs,
            "command": shlex.join(run.command),
            "answer": answer.value,
            "unit": answer.unit,
            "shown": answer.shown,
            "note": answer.note,
            "seconds": round(median(took[1:]), 3),
            "times": run.times,
            "python_seconds": round(median(idle[1:]), 4),
            "source": run.tool.source,
            "date": datetime.date.today().isoformat(),
            "kind": "measured",
        }
        for answer in answers
    ]


def main() -> int:
    """Install, ask, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--envs", type=Path, help="keep and reuse the environments here")
    parser.add_argument("--only", metavar="TOOL", help="ask this one alone, and keep the other rows as they are")
    asked = parser.parse_args()
    envs = asked.envs or Path(tempfile.mkdtemp(prefix="peers-"))
    rows, failed = [], []
    try:
        for tool in (tool for tool in TOOLS if asked.only in (None, tool.name)):
            why = install(tool, envs)
            if why:
                failed.append(f"{tool.name} {tool.version} cannot be installed: {why}")
        here = folder(envs)
        for run in (run for run in RUNS if asked.only in (None, run.tool.name)):
            if not any(line.startswith(run.tool.name) for line in failed):
                print(shlex.join(run.command)[:140], flush=True)
                rows += ask(run, envs, here)
    finally:
        if asked.envs is None:
            shutil.rmtree(envs, ignore_errors=True)
    if asked.only:
        known = [json.loads(line) for line in OUT.read_text(encoding="utf-8").splitlines()]
        rows = [row for row in known if row["tool"] != asked.only] + rows
    OUT.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    print(f"{len(rows)} rows to {OUT.relative_to(ROOT)}", *failed, sep="\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
