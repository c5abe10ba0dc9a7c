"""What each peer is asked: a command of its own, and how its answer is read.

A command runs in a folder that holds ``GLM-5.2-FP8.json`` (as in ``data/models``), the same file as ``glm52/config.json``, and
``trace.jsonl``, 200 requests of 33,280 tokens. Its first word is a program of the tool's own environment.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Callable

from glmcalc import __version__

GIB = 2**30
MILLION, LONG = 1_048_576, 131_072
MODEL = "zai-org/GLM-5.2-FP8"
NODE = {"model": MODEL, "gpu": "h200_sxm", "gpus": 8, "tensor_parallel_size": 8, "kv_cache_dtype": "fp8"}
LOAD = {**NODE, "input_length": 32_768, "output_length": 1_024, "concurrency": 8}


@dataclass(frozen=True)
class Tool:
    """A peer: how it is installed, and what its rows cite."""

    name: str
    version: str
    source: str


@dataclass(frozen=True)
class Answer:
    """One answer in a command's output.

    ``value`` is None where the tool gives none, and ``note`` says why; ``shown`` are the figures as the tool prints them.
    """

    question: str
    value: Any
    unit: str
    shown: str
    inputs: dict[str, Any]
    note: str | None = None


@dataclass(frozen=True)
class Run:
    """A command, and how its output is read. ``times``: how often it is timed; the median counts."""

    name: str
    tool: Tool
    command: tuple[str, ...]
    read: Callable[[str], list[Answer]]
    times: int = 5


NO_PAGE = "unlocated: package llm-mem-planner 0.2.2, whose metadata names no page"
LMP = Tool("llm-mem-planner", "0.2.2", NO_PAGE)
KVS = Tool(
    "kvcache-simulator", "0.1.3", "https://github.com/kvcache-ai/kvcache-blog/tree/main/packages/kvcache-simulator"
)
HFM = Tool("hf-mem", "0.5.6", "https://github.com/alvarobartt/hf-mem")
FIT = Tool("llmfit", "1.1.17", "https://github.com/AlexsJones/llmfit")
WIZ = Tool("vllm-wizard", "0.2.0", "https://github.com/vashkelis/vllm-wizard")
AIC = Tool("aiconfigurator", "0.12.0", "https://github.com/ai-dynamo/aiconfigurator")
OURS = Tool("glmcalc", __version__, "derived: this package, timed beside the others")
TOOLS = (LMP, KVS, HFM, FIT, WIZ, AIC)


def _object(text: str) -> Any:
    return json.loads(text[text.index("{") :], strict=False)


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    assert found, f"{pattern!r} not in {text[-500:]}"
    return found.group(1)


def _kv(value: Any, shown: str, note: str | None = None, **inputs: Any) -> Answer:
    return Answer("kv_bytes_per_token", value, "B a token and GPU", shown, {**NODE, **inputs}, note)


def _planner(length: int, question: str) -> Callable[[str], list[Answer]]:
    def read(text: str) -> list[Answer]:
        asked = {**NODE, "max_model_len": length, "gpu_memory_utilization": 0.9}
        row = next(cell.strip() for cell in text.split("\n") if cell.startswith(f"| {length} ")).strip("|").split("|")
        kv, index, total, budget, fits = (float(row[3]), float(row[4]), row[7].strip(), row[8].strip(), row[10].strip())
        weights = _found(r"weights_per_rank: `?([\d.]+)", text)
        answers = [Answer(question, fits == "yes", "", f"{total} of {budget} GiB: {fits}", asked, "6 GiB set aside")]
        if length == MILLION:
            whole = _found(r"kv_per_rank=([\d.]+) GiB", text), _found(r"index_per_rank=([\d.]+) GiB", text)
            kv, index = float(whole[0]), float(whole[1])
            answers += [
                _kv(round((kv + index) * GIB / length), f"{whole[0]} + {whole[1]} GiB for 1,048,576 tokens", "an indexer on all 78 layers, no scales"),
                Answer("kv_1m", round((kv + index) * GIB), "B", f"{kv + index:.2f} GiB", asked),
                Answer("weights", round(float(weights) * GIB), "B", f"{weights} GiB", asked, "one dtype for every tensor"),
            ]  # fmt: skip
        return answers

    return read


def _simulator(text: str) -> list[Answer]:
    value = _object(text)["metadata"]["bytesPerToken"]
    return [_kv(round(value), f"bytesPerToken {value}", "plain fp8 record; knows the 21 indexers")]


def _simulator_draft(text: str) -> list[Answer]:
    value = _object(text)["metadata"]["bytesPerToken"]
    return [Answer("kv_bytes_per_token_mtp", round(value), "B a token and GPU", f"bytesPerToken {value}", {**NODE, "speculative_method": "mtp"})]  # fmt: skip


def _hf_mem(text: str) -> list[Answer]:
    one, million = (int(word) for word in text.split())
    note = "no MLA: 2 x heads x head_dim; its command itself asks a hub"
    return [
        _kv(one, f"{one:,}", note),
        Answer("kv_1m", million, "B", f"{million:,} B", {**NODE, "max_model_len": MILLION}, note),
    ]


def _llmfit(length: int, question: str) -> Callable[[str], list[Answer]]:
    def read(text: str) -> list[Answer]:
        made = _object(text)["estimate"]
        rung = made["ladder"][0]
        each, held = rung["per_session_kv_gb"], rung["max_sessions"]
        asked = {"model": "zai-org/GLM-5.2", "memory_gib": 1128, "max_model_len": length, "kv_cache_dtype": "fp8"}
        note = f"its list has no {MODEL}; takes {made['quant']} of zai-org/GLM-5.2"
        answers = [
            Answer(question, held > 0, "", f"{held} sessions; {each:g} GB of KV each", asked, note),
        ]
        if length == MILLION:
            answers += [
                _kv(round(each * GIB / length), f"{each:g} GB for 1,048,576 tokens", "no MLA", **asked),
                Answer("kv_1m", round(each * GIB), "B", f"{each:g} GB", asked, "no MLA"),
            ]
        return answers

    return read


def _wizard(length: int, question: str) -> Callable[[str], list[Answer]]:
    def read(text: str) -> list[Answer]:
        made = _object(text.replace("\n", ""))["feasibility"]
        asked = {**NODE, "max_model_len": length, "gpu_memory_utilization": 0.9}
        weights, kv = made["weights_gb"], made["kv_cache_gb"]
        fits, risk = made["fits"], made["oom_risk"]
        words = f"fits: {str(fits).lower()}, OOM risk {risk}"
        answers = [Answer(question, bool(fits), "", words, asked)]
        if length == LONG:
            note = "its kv_cache_gb without its factor 1.15; no MLA"
            answers += [
                _kv(round(kv * GIB / 1.15 / length), f"{kv:.2f} GB for 131,072 tokens", note),
                Answer("weights", round(weights * GIB / 8), "B", f"{weights:.2f} GB on 8 GPUs", asked),
            ]
        return answers

    return read


def _memory(text: str) -> list[Answer]:
    made = _object(text)
    asked = {**NODE, "gpu_memory_utilization": 0.9, "max_num_batched_tokens": 8192, "max_num_seqs": 64}
    tokens, each = made["total_kv_size_tokens"], made["kv_size_per_token_bytes"]
    weights = made["memory_breakdown"]["weights_bytes"]
    held = f"{tokens:,} tokens in the pool"
    return [
        _kv(each, f"{each:,}", "an indexer on all 78 layers"),
        Answer("kv_1m", each * MILLION, "B", f"{each:,} x 1,048,576", asked),
        Answer("weights", weights, "B", f"{weights:,}", {**asked, "enable_expert_parallel": True}),
        Answer("fits_1m", tokens >= MILLION, "", held, {**asked, "max_model_len": MILLION}),
        Answer("fits_128k", tokens >= LONG, "", held, {**asked, "max_model_len": LONG}),
    ]


def _estimate(text: str) -> list[Answer]:
    user, first = _found(r"tokens/s/user:\s+([\d.]+)", text), _found(r"TTFT:\s+([\d.]+) ms", text)
    note = "warns that the batch exceeds its own KV capacity" if "exceeds estimated KV cache capacity" in text else None
    asked = {**LOAD, "enable_expert_parallel": True}
    return [
        Answer("tok_s_user", float(user), "tok/s", f"{user} tokens/s/user", asked, note),
        Answer("ttft", round(float(first) / 1000, 3), "s", f"TTFT {first} ms", asked, note),
    ]


def _sweep(system: str) -> Callable[[str], list[Answer]]:
    def read(text: str) -> list[Answer]:
        asked = {**LOAD, "gpu": system, "concurrency": None, "max_ttft_s": 30, "max_tpot_ms": 200}
        best = re.search(r"Per-User Throughput: ([\d.]+)", text)
        if best:
            return [Answer("sweep", float(best.group(1)), "tok/s", f"{best.group(1)} tokens/s/user at its best", asked)]
        reason = "model does not fit in GPU memory" if "does not fit in GPU memory" in text else "no configuration"
        return [Answer("sweep", None, "tok/s", reason, asked, reason)]

    return read


def _sized(gpu: str) -> Callable[[str], list[Answer]]:
    def read(text: str) -> list[Answer]:
        row = next(row for row in _object(text)["rows"] if row["gpus"] == 8)
        asked = {**LOAD, "gpu": gpu, "kv_cache_dtype": None}
        speed = row["tok_s_user"]
        found = f"{row['quantization']}, {row['parallelism']}: {row['status']}"
        if speed is None:
            return [Answer("sweep", None, "tok/s", found, asked, row["speed_reason"])]
        return [Answer("sweep", speed["mid"], "tok/s", f"{speed['mid']:g} tok/s; {found}", asked)]

    return read


def _size(gpu: str) -> tuple[str, ...]:
    return (
        "glmcalc", "size", "--context", "33792", "--concurrency", "8", "--input-length", "32768", "--output-length", "1024",
        "--gpu", gpu, "--json",
    )  # fmt: skip


def _lmp(length: int) -> tuple[str, ...]:
    return (
        "llm-mem", "--config", "GLM-5.2-FP8.json", "--seq-len", str(length), "--batch", "1", "--tp", "8", "--weight-dtype",
        "fp8", "--kv-dtype", "fp8", "--gpu-mem-gib", "139.8", "--mem-fraction", "0.9", "--out-md", "out.md",
    )  # fmt: skip


_KVS = (
    "kvcache-simulator", "run", "--trace", "trace.jsonl", "--model", "glm-5.2", "--kv-precision", "fp8_int8", "--block-size",
    "512", "--budgets-gib", "20", "--format", "json", "--no-progress",
)  # fmt: skip
_HFM = (
    "import json; from hf_mem.safetensors.kv_cache import compute_safetensors_kv_cache_size as kv; "
    "config = json.load(open('glm52/config.json')); print(kv(config, 'F8_E4M3', 1, 1), kv(config, 'F8_E4M3', 1048576, 1))"
)
_AIC_MEMORY = (
    "import json; from aiconfigurator_core.sdk.memory import estimate_kv_cache as e; print(json.dumps(e("
    "'zai-org/GLM-5.2-FP8', 'h200_sxm', 'vllm', '0.24.0', max_num_tokens=8192, max_batch_size=64, "
    "memory_fraction_kind='of_total', memory_fraction_value=0.9, tp_size=8, moe_ep_size=8, moe_tp_size=1, "
    "kvcache_quant_mode='fp8'), default=str))"
)
_AIC_ESTIMATE = (
    "aiconfigurator", "cli", "estimate", "--model-path", MODEL, "--system", "h200_sxm", "--backend", "vllm",
    "--perf-db-version", "0.24.0", "--isl", "32768", "--osl", "1024", "--batch-size", "8", "--tp-size", "8", "--moe-ep-size",
    "8", "--moe-tp-size", "1", "--kvcache-quant-mode", "fp8", "--no-color",
)  # fmt: skip


def _fit(length: int) -> tuple[str, ...]:
    return (
        "llmfit", "--no-dashboard", "--json", "--memory", "1128G", "concurrency", "zai-org/GLM-5.2", "--kv-quant", "fp8",
        "--context", str(length),
    )  # fmt: skip


def _wiz(length: int) -> tuple[str, ...]:
    return (
        "vllm-wizard", "plan", "-m", "glm52", "--gpu", "H200", "--gpus", "8", "--vram-gb", "141", "--tensor-parallel-size",
        "8", "--quantization", "fp8", "--kv-cache-dtype", "fp8_e4m3fn", "--max-model-len", str(length), "--json",
    )  # fmt: skip


def _aic_sweep(system: str) -> tuple[str, ...]:
    return (
        "aiconfigurator", "cli", "default", "--model-path", MODEL, "--total-gpus", "8", "--system", system, "--backend",
        "vllm", "--isl", "32768", "--osl", "1024", "--ttft", "30000", "--tpot", "200", "--no-color",
    )  # fmt: skip


SYSTEMS = {"h100_sxm": "h100_sxm", "h200_sxm": "h200_sxm", "b200_sxm": "b200_sxm", "gb300": "gb300_nvl72"}
"""Machines of eight that both sweeps know: as the peer calls them, and as we do."""

RUNS = (
    Run("lmp-1m", LMP, _lmp(MILLION), _planner(MILLION, "fits_1m")),
    Run("lmp-128k", LMP, _lmp(LONG), _planner(LONG, "fits_128k")),
    Run("kvs", KVS, _KVS, _simulator),
    Run("kvs-mtp", KVS, (*_KVS, "--include-draft-kv-cache"), _simulator_draft),
    Run("hfm", HFM, ("python", "-c", _HFM), _hf_mem),
    Run("fit-1m", FIT, _fit(MILLION), _llmfit(MILLION, "fits_1m")),
    Run("fit-128k", FIT, _fit(LONG), _llmfit(LONG, "fits_128k")),
    Run("wiz-1m", WIZ, _wiz(MILLION), _wizard(MILLION, "fits_1m")),
    Run("wiz-128k", WIZ, _wiz(LONG), _wizard(LONG, "fits_128k")),
    Run("aic-memory", AIC, ("python", "-c", _AIC_MEMORY), _memory),
    Run("aic-estimate", AIC, _AIC_ESTIMATE, _estimate, 3),
    *(Run(f"aic-sweep-{name}", AIC, _aic_sweep(name), _sweep(name), 3) for name in SYSTEMS),
    *(Run(f"size-{gpu}", OURS, _size(gpu), _sized(gpu)) for gpu in SYSTEMS.values()),
)
