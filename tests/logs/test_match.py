"""What decides among several errors: the first that means something, not what follows from it, and not what was survived."""

from hypothesis import given, settings
from hypothesis import strategies as st

from glmcalc.facts.errors import InputError
from glmcalc.logs.lines import clean_line
from glmcalc.logs.match import find_death
from glmcalc.logs.read import read_log
from glmcalc.logs.remarks import is_advice, is_of_a_request, is_quiet, is_secondary, message_of, proves_death

VERSION = "(APIServer pid=1) INFO 11-20 02:00:01 [api_server.py:1839] vLLM API server version 0.33.0"
ARGS = (
    "(APIServer pid=1) INFO 11-20 02:00:01 [utils.py:233] non-default args: {'model': 'm', 'tensor_parallel_size': 8}"
)
LOADED = "(Worker_TP0 pid=2) INFO 11-20 02:05:00 [gpu_model_runner.py:5100] Model loading took 93.12 GiB memory"
POOL = "(Worker_TP0 pid=2) INFO 11-20 02:06:00 [gpu_worker.py:625] Available KV cache memory: 31.4 GiB"
UP = "(APIServer pid=1) INFO:     Application startup complete."
STATS = "(APIServer pid=1) INFO 11-20 03:00:00 [loggers.py:259] Engine 000: Avg prompt throughput: 1.0 tokens/s, Running: 9 reqs, Waiting: 0 reqs, GPU KV cache usage: 2.3%"
OOM = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 3 has a total capacity of 139.80 GiB of which 1.00 GiB is free."
DEAD = "(APIServer pid=1) ERROR 11-20 03:00:02 [async_llm.py:700] vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue. See stack trace (above) for the root cause."


def rank(number, text, level="ERROR"):
    return f"(Worker_TP{number} pid={40 + number}) {level} 11-20 03:00:01 [multiproc_executor.py:966] {text}"


def death_of(*lines):
    return find_death(read_log("\n".join(lines))[-1])


def test_a_secondary_error_is_looked_through():
    step = rank(3, '  File "vllm/v1/worker/gpu_model_runner.py", line 9, in execute_model')
    death = death_of(VERSION, ARGS, LOADED, POOL, UP, STATS, step, rank(3, OOM), DEAD)
    assert death.death == "runtime_activation"
    assert [line.text[:12] for line in death.secondary] == ["vllm.v1.engi"]


def test_only_secondary_errors_leave_it_unknown():
    assert death_of(VERSION, ARGS, DEAD).death == "unknown"


def test_what_other_ranks_say_of_the_lost_one_does_not_decide():
    lost = (
        "[rank0]:[E ProcessGroupNCCL.cpp:563] [Rank 0] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=2)"
    )
    step = rank(3, '  File "vllm/v1/worker/gpu_model_runner.py", line 9, in execute_model')
    assert death_of(VERSION, ARGS, LOADED, POOL, UP, step, rank(3, OOM), lost, DEAD).death == "runtime_activation"
    assert death_of(VERSION, ARGS, LOADED, POOL, UP, lost, DEAD).death == "not_oom_other"


@given(st.integers(1, 40), st.booleans())
@settings(max_examples=30, deadline=None)
def test_a_request_that_fails_is_no_death(times, with_traceback):
    trace = (
        ["(APIServer pid=1) ERROR 11-20 03:00:01 [serving.py:9] Traceback (most recent call last):"]
        if with_traceback
        else []
    )
    failed = "(APIServer pid=1) ERROR 11-20 03:00:01 [serving.py:9] ValueError: The decoder prompt (length 99) is longer than the maximum model length of 64."
    assert death_of(VERSION, ARGS, LOADED, POOL, UP, *([*trace, failed, STATS] * times)).death == "healthy"


def test_an_allocation_that_a_start_survived_is_no_death():
    tactic = "(Worker_TP0 pid=2) [Autotuner]: torch.OutOfMemoryError: CUDA out of memory in this tactic"
    assert death_of(VERSION, ARGS, LOADED, POOL, tactic, UP).death == "healthy"
    assert death_of(VERSION, ARGS, LOADED, POOL, tactic).death != "healthy"


def test_a_run_that_goes_on_serving_long_after_survived():
    survived = [VERSION, ARGS, LOADED, POOL, UP, rank(3, OOM), *[STATS] * 25]
    assert death_of(*survived).death == "healthy"
    assert death_of(*survived[:8], DEAD).death == "runtime_activation"


def test_advice_about_memory_is_no_death():
    advice = (
        "INFO 11-20 02:06:00 [model_runner.py:1442] If out-of-memory error occurs during cudagraph capture, lower it."
    )
    assert death_of(VERSION, ARGS, LOADED, POOL, advice, UP).death == "healthy"
    bare = "CUDA graphs can take additional 1~3 GiB. If you are running out of memory, consider enforcing eager mode."
    assert death_of(VERSION, ARGS, LOADED, POOL, bare, UP).death == "healthy"


def test_the_last_run_is_a_run_of_its_own():
    runs = read_log("\n".join([VERSION, ARGS, LOADED, rank(0, OOM), DEAD, VERSION, ARGS, LOADED, POOL, UP]))
    assert [find_death(run).death for run in runs] == ["profile_run_activation", "healthy"]


def test_an_error_that_may_be_memory_is_not_called_not_memory():
    death = death_of(VERSION, ARGS, LOADED, rank(0, "RuntimeError: pool could not allocate a region"), DEAD)
    assert (death.death, death.confidence) == ("unknown", "low")
    death = death_of(VERSION, ARGS, LOADED, rank(0, "KeyError: 'model.layers.78'"), DEAD)
    assert (death.death, death.confidence) == ("not_oom_other", "medium")


def test_a_cut_traceback_is_not_healthy():
    cut = [rank(3, "Traceback (most recent call last):"), rank(3, '  File "vllm/x.py", line 1, in step')]
    assert death_of(VERSION, ARGS, LOADED, POOL, UP, STATS, *cut).death == "unknown"


def test_stages_decide_where_no_frame_does():
    assert death_of(VERSION, ARGS, LOADED, rank(1, OOM), DEAD).death == "profile_run_activation"
    assert death_of(VERSION, ARGS, LOADED, POOL, rank(1, OOM), DEAD).death == "cuda_graph_capture"
    assert death_of(VERSION, ARGS, LOADED, POOL, UP, rank(1, OOM), DEAD).death == "runtime_activation"


@given(st.lists(st.text(st.characters(blacklist_categories=("Cs",)), max_size=80), max_size=30))
@settings(max_examples=150, deadline=None)
def test_any_text_gets_a_class_and_never_a_confident_one_without_evidence(lines):
    text = "\n".join(lines)
    if not text.strip():
        return
    try:
        runs = read_log(text)
    except InputError:  # control characters: taken for a binary file
        return
    for run in runs:
        death = find_death(run)
        assert death.lines or death.confidence == "low"


def test_remarks():
    assert is_secondary("RuntimeError: Engine core initialization failed. See root cause above.")
    assert proves_death("EngineDeadError")
    assert not proves_death("asyncio.exceptions.CancelledError")
    assert is_secondary("there appear to be 1 leaked semaphore objects")
    assert not proves_death("1 leaked semaphore objects")
    assert is_advice("this could lead to OOM")
    assert not is_advice("CUDA out of memory. Tried to allocate 2 GiB")
    assert is_of_a_request("VLLMValidationError: too long")
    assert not is_of_a_request("KeyError: 'x'")
    collected = clean_line(
        1, "INFO 2025-11-19T20:16:36.09Z [vllm] (EngineCore pid=270) ERROR 11-19 12:16:36 [core.py:842] ValueError: no"
    )
    assert not is_quiet(collected)
    assert message_of(collected) == "ValueError: no"
