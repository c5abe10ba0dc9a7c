"""Logs in vLLM's line formats around a deployment's own numbers: what a server with these flags would have printed as it died."""

from __future__ import annotations

from glmcalc.budget.result import Plan
from glmcalc.facts.quantity import GIB
from glmcalc.model.deployment import COMMAND_FLAGS, Deployment

DEATHS = (
    "weights_load", "startup_free_memory", "profile_run_activation", "startup_no_kv_blocks", "startup_kv_too_small",
    "cuda_graph_capture", "runtime_workspace", "runtime_activation", "preemption_not_oom",
)  # fmt: skip
API = "(APIServer pid=7) INFO 11-20 02:00:00 "
WORKER = "(Worker_TP1 pid=81) INFO 11-20 02:05:00 "
ERROR = "(Worker_TP1 pid=81) ERROR 11-20 02:06:00 [multiproc_executor.py:966] "
CORE = "(EngineCore pid=60) ERROR 11-20 02:06:00 [core.py:1359] "
INIT_FAILED = (
    "(APIServer pid=7) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}"
)
ENGINE_DEAD = (
    "(APIServer pid=7) ERROR 11-20 02:06:01 [async_llm.py:700] vllm.v1.engine.exceptions.EngineDeadError: "
    "EngineCore encountered an issue. See stack trace (above) for the root cause."
)


def arguments(asked: Deployment) -> dict[str, object]:
    """Flags as the line ``non-default args`` holds them."""
    given: dict[str, object] = {
        name: getattr(asked, name) for name in COMMAND_FLAGS if getattr(asked, name) not in (None, False)
    }
    if asked.speculative_method:
        depth = asked.num_speculative_tokens
        given["speculative_config"] = {"method": asked.speculative_method, "num_speculative_tokens": depth}
    return {"model_tag": asked.model, "model": asked.model, **given}


def frame(name: str, file: str = "v1/worker/gpu_worker.py") -> str:
    return f'{ERROR}  File "vllm/{file}", line 500, in {name}'


def written_log(asked: Deployment, made: Plan, death: str, tried: float, free: float, share: float) -> str:
    """The log of a server that died of ``death``.

    Args:
        tried, free: GiB asked for and free in an OutOfMemoryError.
        share: 0 to 1; how much of the need was there, for deaths without one.
    """
    total = (made.memory.likely if made.memory else 0) / GIB
    util = made.resolved.gpu_memory_utilization
    need, length = made.kv.needed_bytes / GIB, made.resolved.max_model_len
    lines = [
        f"{API}[api_server.py:1839] vLLM API server version {asked.engine_version}",
        f"{API}[utils.py:233] non-default args: {arguments(asked)!r}",
    ]
    oom = (
        f"{ERROR}torch.OutOfMemoryError: CUDA out of memory. Tried to allocate {tried:.2f} GiB. GPU 1 has a total capacity of "
        f"{total:.2f} GiB of which {free:.2f} GiB is free."
    )
    trace = [f"{ERROR}WorkerProc hit an exception.", f"{ERROR}Traceback (most recent call last):"]
    if death == "startup_free_memory":
        there = total * util - 2 * share - 0.05
        return "\n".join([*lines, f"{ERROR}ValueError: Free memory on device cuda:1 ({there:.2f}/{total:.2f} GiB) on startup is less than desired GPU memory utilization ({util:g}, {total * util:.2f} GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes.", INIT_FAILED])  # fmt: skip
    lines.append(f"{WORKER}[gpu_model_runner.py:4980] Starting to load model {asked.model}...")
    if death == "weights_load":
        fp8 = "model_executor/layers/quantization/fp8.py"
        return "\n".join([*lines, *trace, frame("load_model"), frame("create_weights", fp8), oom, INIT_FAILED])
    weights = made.component("weights").band.likely / GIB
    lines.append(f"{WORKER}[gpu_model_runner.py:5100] Model loading took {weights:.2f} GiB memory and 300.123 seconds")
    if death == "profile_run_activation":
        profile = [frame("determine_available_memory"), frame("profile_run")]
        return "\n".join([*lines, *trace, *profile, oom, INIT_FAILED])
    if death == "startup_no_kv_blocks":
        pool = f"{WORKER}[gpu_worker.py:625] Available KV cache memory: {-3 * share:.2f} GiB"
        refused = (
            f"{CORE}ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`."
        )
        return "\n".join([*lines, pool, refused, INIT_FAILED])
    if death == "startup_kv_too_small":
        there = need * (0.2 + 0.79 * share)
        estimated = int(length * there / need) // 64 * 64
        pool = f"{WORKER}[gpu_worker.py:625] Available KV cache memory: {there:.2f} GiB"
        return "\n".join([*lines, pool, f"{CORE}ValueError: To serve at least one request with the model's max seq len ({length}), ({need:.2f} GiB KV cache is needed, which is larger than the available KV cache memory ({there:.2f} GiB). Based on the available memory, the estimated maximum model length is {estimated}. Try increasing `gpu_memory_utilization` or decreasing `max_model_len` when initializing the engine.", INIT_FAILED])  # fmt: skip
    lines.append(f"{WORKER}[gpu_worker.py:625] Available KV cache memory: {made.kv.available.likely / GIB:.2f} GiB")
    if death == "cuda_graph_capture":
        capture = [frame("compile_or_warm_up_model"), frame("capture_model", "v1/worker/gpu_model_runner.py")]
        return "\n".join([*lines, f"{WORKER}[x.py:1] Capturing CUDA graphs", *trace, *capture, oom, INIT_FAILED])
    serving = "Avg prompt throughput: 8213.1 tokens/s, Avg generation throughput: 312.0 tokens/s, Running: 9 reqs"
    lines += [
        "(APIServer pid=7) INFO:     Application startup complete.",
        f"{API}[loggers.py:259] Engine 000: {serving}, Waiting: 0 reqs, GPU KV cache usage: 2.3%, Prefix cache hit rate: 12.0%",
    ]
    if death == "preemption_not_oom":
        lines.append(
            f"{API}[loggers.py:259] Engine 000: {serving}, Waiting: 31 reqs, GPU KV cache usage: 99.8%, Preemptions: 14"
        )
        return "\n".join(lines)
    step = [frame("execute_model", "v1/worker/gpu_model_runner.py")]
    if death == "runtime_workspace":
        step.append(frame("flash_mla_with_kvcache", "third_party/flashmla/flash_mla_interface.py"))
    return "\n".join([*lines, *trace, *step, oom, ENGINE_DEAD])
