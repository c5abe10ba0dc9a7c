"""Each named change: what it proposes from the log's own figures, and when it has nothing to say."""

import pytest

from glmcalc.advise.case import open_case
from glmcalc.advise.remedies import REMEDIES, remedy
from glmcalc.logs.match import find_death
from glmcalc.logs.read import read_log

VLLM = [
    "INFO 07-20 02:00:00 [api_server.py:1839] vLLM API server version 0.33.0",
    "INFO 07-20 02:00:01 [utils.py:233] non-default args: {'model': 'zai-org/GLM-5.2-FP8', 'tensor_parallel_size': 8, 'kv_cache_dtype': 'fp8', 'max_model_len': 131072, 'speculative_config': {'method': 'mtp', 'num_speculative_tokens': 3}}",
]
SGLANG = [
    "[2026-09-03 10:00:00] server_args=ServerArgs(model_path='m', tp_size=8, mem_fraction_static=0.9, chunked_prefill_size=8192, max_running_requests=64)"
]
UP = "INFO:     Application startup complete."


def oom(tried, free, extra=""):
    return f"torch.OutOfMemoryError: CUDA out of memory. Tried to allocate {tried} GiB. GPU 0 has a total capacity of 139.80 GiB of which {free} GiB is free.{extra}"


def case_of(*lines, **stated):
    facts = read_log("\n".join(lines))[-1]
    return open_case(facts, find_death(facts), None, stated)


@pytest.mark.parametrize("name", REMEDIES)
@pytest.mark.parametrize(
    "lines",
    [
        [*VLLM, UP, oom(2, 1)],
        [*SGLANG, oom(2, 1)],
        ["llama_context: n_ctx = 4096", "cudaMalloc failed: out of memory"],
        [oom(2, 1)],
    ],
)
def test_every_remedy_answers_every_case_or_says_nothing(name, lines):
    change = remedy(name, case_of(*lines))
    if change is not None:
        assert change.text
        assert change.kind in ("flag", "env", "version", "action")
        assert change.kind != "flag" or change.name.startswith("-")


def test_a_remedy_that_does_not_exist_is_an_error():
    with pytest.raises(KeyError):
        remedy("prayer", case_of(*VLLM))


def test_utilization_goes_down_by_what_was_short_and_a_gib():
    change = remedy("lower_utilization", case_of(*VLLM, UP, oom(5, 1)))
    assert change.before == 0.92
    assert change.after <= 0.92 - 5 / 139.8  # 4 GiB short and 1 to spare


def test_sglangs_fraction_goes_down_by_what_was_short_and_a_gib():
    change = remedy("lower_utilization", case_of(*SGLANG, oom(10.62, 4.40)))
    assert (change.name, change.after) == ("--mem-fraction-static", 0.84)  # 7.22 / 139.8 = 0.0516, rounded up
    change = remedy("batched_tokens", case_of(*SGLANG, oom(10.62, 4.40)))
    assert change.after == 2048  # 10.62 / 4 + 0.5 is below 4.40, 10.62 / 2 is not
    assert remedy("sequences_to_pool", case_of(*SGLANG, oom(2, 1))).after == 32


def test_vllms_variables_are_not_told_to_sglang():
    for name in ("indexer_logits", "flashinfer_workspace", "kv_length", "capture_size"):
        assert remedy(name, case_of(*SGLANG, oom(2, 1))) is None


def test_a_variable_stands_in_front_of_the_command():
    change = remedy("flashinfer_workspace", case_of(*VLLM, UP, oom(2, 1)))
    assert change.command.startswith("VLLM_FLASHINFER_WORKSPACE_BUFFER_SIZE=838860800 vllm serve ")


def test_fragments_are_named_only_where_they_would_have_been_enough():
    much = " Of the allocated memory 120.00 GiB is allocated by PyTorch, and 3.50 GiB is reserved by PyTorch but unallocated."
    little = much.replace("3.50 GiB", "23.14 MiB")
    assert "3.50 GiB" in remedy("expandable", case_of(*VLLM, UP, oom(2, 1, much))).text
    assert remedy("expandable", case_of(*VLLM, UP, oom(2, 1, little))) is None


def test_a_process_that_holds_the_card_itself_is_no_leftover():
    own = " Including non-PyTorch memory, this process has 138.00 GiB memory in use."
    other = own.replace("138.00", "20.00")
    assert remedy("free_memory", case_of(*VLLM, UP, oom(2, 1, own))) is None
    assert "118.80 GiB" in remedy("free_memory", case_of(*VLLM, UP, oom(2, 1, other))).text


def test_the_boundary_crash_takes_a_length_that_is_no_multiple_of_64():
    change = remedy("odd_length", case_of(*VLLM, UP, oom(2, 1)))
    assert change.after % 64
    assert 131_072 - 1000 <= change.after < 131_072


def test_a_moe_backend_is_named_only_where_its_workspace_is():
    trace = '  File "flashinfer/fused_moe/core.py", line 9, in cutlass_fused_moe'
    assert remedy("moe_backend", case_of(*VLLM, trace, oom(26.21, 9))) is not None
    assert remedy("moe_backend", case_of(*VLLM, oom(26.21, 9))) is None


def test_llamas_physical_batch_is_halved_from_what_the_log_says():
    lines = [
        "llama_context: n_ubatch = 2048",
        "ggml_gallocr_reserve_n: failed to allocate CUDA0 buffer of size 10345253120",
        "llama_init_from_model: failed to allocate compute buffers",
    ]
    change = remedy("llama_ubatch", case_of(*lines))
    assert (change.before, change.after) == (2048, 1024)
    assert remedy("llama_ubatch", case_of(lines[2])).before == 512
