"""Flags out of the lines in which engines print them: real ones of vLLM 0.32, others in the formats of other releases."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmcalc.commands import read_command
from glmcalc.logs.arguments import as_flags, echoed_arguments, llama_arguments, resolved_arguments, stated_arguments
from glmcalc.logs.read import read_log

SAMPLES = Path(__file__).resolve().parent / "samples"
DEFAULTS = (
    "non-default args: {'model_tag': 'zai-org/GLM-5.2-FP8', 'api_server_count': 1, 'host': '0.0.0.0', 'model': 'zai-org/GLM-5.2-FP8', "
    "'max_model_len': 131072, 'served_model_name': ['glm, the big one'], 'tensor_parallel_size': 8, 'gpu_memory_utilization': 0.92, "
    "'speculative_config': {'method': 'mtp', 'num_speculative_tokens': 3}, 'enforce_eager': True}"
)
GIVEN = {
    "model": "zai-org/GLM-5.2-FP8", "api_server_count": 1, "host": "0.0.0.0", "max_model_len": 131072, "served_model_name": ["glm, the big one"],
    "tensor_parallel_size": 8, "gpu_memory_utilization": 0.92, "speculative_config": {"method": "mtp", "num_speculative_tokens": 3}, "enforce_eager": True,
}  # fmt: skip
ENGINE = (
    "Initializing a V1 LLM engine (v0.24.1.dev3+gabc) with config: model='zai-org/GLM-5.2-FP8', speculative_config=SpeculativeConfig(method='mtp', "
    "model='other/draft', num_spec_tokens=5), tokenizer='t', trust_remote_code=False, dtype=torch.bfloat16, max_seq_len=200000, load_format=auto, "
    "tensor_parallel_size=8, pipeline_parallel_size=2, quantization=fp8, enforce_eager=False, kv_cache_dtype=fp8_ds_mla, "
    "structured_outputs_config=StructuredOutputsConfig(backend='auto', model='no'), compilation_config={'mode': <CompilationMode.VLLM_COMPILE: 3>, "
    "'cudagraph_capture_sizes': [1, 2, 4]}, kernel_config=KernelConfig(a=1)"
)
RESOLVED = {
    "model": "zai-org/GLM-5.2-FP8", "speculative_method": "mtp", "num_speculative_tokens": 5, "max_model_len": 200000, "tensor_parallel_size": 8,
    "pipeline_parallel_size": 2, "quantization": "fp8", "enforce_eager": False, "kv_cache_dtype": "fp8_ds_mla",
}  # fmt: skip
SGLANG = (
    "server_args=ServerArgs(model_path='zai-org/GLM-5.2', tokenizer_mode='auto', mem_fraction_static=0.87, max_running_requests=None, "
    "chunked_prefill_size=8192, context_length=131072, tp_size=8, dp_size=2, json_model_override_args='{\"a\": 1}', disable_cuda_graph=False)"
)
SGLANG_GIVEN = {
    "model": "zai-org/GLM-5.2", "tokenizer_mode": "auto", "mem_fraction_static": 0.87, "chunked_prefill_size": 8192, "context_length": 131072,
    "tensor_parallel_size": 8, "data_parallel_size": 2, "json_model_override_args": '{"a": 1}', "disable_cuda_graph": False,
}  # fmt: skip
NAMESPACE = (
    "args: Namespace(subparser='serve', model_tag='zai-org/GLM-5.2-FP8', config='', host=None, api_key=None, model='Qwen/Qwen3-0.6B', "
    "max_model_len=65536, tensor_parallel_size=4, block_size=None, gpu_memory_utilization=0.9, max_num_seqs=None, "
    "dispatch_function=<function ServeSubcommand.cmd at 0x7f00>)"
)


def test_real_lines_of_vllm_0_32() -> None:
    (small,) = read_log((SAMPLES / "vllm_fail_len_gt_kv.log").read_text(encoding="utf-8"))
    assert small.arguments == {
        "model": "models/tiny-llama", "host": "127.0.0.1", "port": 8121, "max_model_len": 32768, "enforce_eager": True, "kv_cache_memory_bytes": 20 << 20,
    }  # fmt: skip
    assert small.resolved["max_model_len"] == 32768
    assert small.resolved["kv_cache_dtype"] == "auto"
    assert small.resolved["enforce_eager"] is True
    (free,) = read_log((SAMPLES / "vllm_fail_util_gt_free.log").read_text(encoding="utf-8"))
    assert free.arguments["gpu_memory_utilization"] == 0.99


def test_real_lines_of_llama_cpp() -> None:
    (start,) = read_log((SAMPLES / "llamacpp_start.log").read_text(encoding="utf-8"))
    assert start.resolved == {
        "model": "ds2.gguf", "parallel": 1, "ctx_size": 16384, "batch_size": 512, "ubatch_size": 512, "cache_type_k": "f16", "cache_type_v": "f16",
    }  # fmt: skip
    assert llama_arguments("load_tensors: offloaded 40/80 layers to GPU") == {"n_gpu_layers": 40}


@pytest.mark.parametrize(
    ("reader", "line", "expected"),
    [
        (stated_arguments, DEFAULTS, GIVEN),
        (resolved_arguments, ENGINE, RESOLVED),
        (stated_arguments, SGLANG, SGLANG_GIVEN),
        (resolved_arguments, NAMESPACE, {"model": "zai-org/GLM-5.2-FP8", "max_model_len": 65536, "tensor_parallel_size": 4, "gpu_memory_utilization": 0.9}),
    ],
    ids=["non-default", "with config", "sglang", "namespace"],
)  # fmt: skip
def test_whole_and_cut_anywhere(reader, line: str, expected: dict) -> None:  # type: ignore[no-untyped-def]
    assert reader(line) == expected
    for cut in range(len(line)):
        found = reader(line[:cut]) or {}
        for name, value in found.items():
            if isinstance(value, dict):
                assert value.items() <= expected[name].items(), line[:cut]
            elif name == "model" and "Namespace" not in line:
                assert value == expected["model"]
            elif "Namespace" not in line or name != "model":
                assert value == expected[name], line[:cut]
    most = reader(line[: int(len(line) * 0.7)])
    assert most
    assert most["model"] == expected["model"]


def test_a_number_at_the_cut_is_left_out() -> None:
    assert stated_arguments("non-default args: {'model': 'm', 'max_model_len': 1310") == {"model": "m"}
    assert stated_arguments("non-default args: {'model': 'm', 'max_model_len': 1310, ") == {
        "model": "m",
        "max_model_len": 1310,
    }


def test_other_lines_hold_none() -> None:
    for text in ("args", "non-default args", "with config: model='m'", "args: (1, 2)", "INFO nothing"):
        assert stated_arguments(text) is None
        assert resolved_arguments(text) is None
        assert echoed_arguments(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("+ python3 -m sglang.launch_server --model-path zai-org/GLM-5.2 --tp 8 --mem-fraction-static 0.85", {"model": "zai-org/GLM-5.2", "tensor_parallel_size": 8, "mem_fraction_static": 0.85}),
        ("+ llama-server -m /models/glm.gguf -c 16384 -ngl 99", {"model": "/models/glm.gguf", "ctx_size": 16384, "n_gpu_layers": 99}),
        ('CMD ["vllm", "serve", "zai-org/GLM-5.2-FP8", "--tensor-parallel-size", "8"]', {"model": "zai-org/GLM-5.2-FP8", "tensor_parallel_size": 8}),
        ("Running ['vllm', 'serve', 'm/x', '--speculative-config', '{\"method\": \"mtp\", \"num_speculative_tokens\": 2}']", {"model": "m/x", "speculative_config": {"method": "mtp", "num_speculative_tokens": 2}}),
    ],
)  # fmt: skip
def test_echoes_of_a_launch_command(text: str, expected: dict) -> None:  # type: ignore[type-arg]
    found = echoed_arguments(text)
    assert found == expected
    (facts,) = read_log(f"entry point\n{text}\n")
    assert facts.arguments == expected


def test_a_line_of_the_engine_wins_over_an_echo() -> None:
    (facts,) = read_log(f'CMD ["vllm", "serve", "m/x", "--tensor-parallel-size", "2"]\n{DEFAULTS}\n')
    assert facts.arguments == GIVEN


def test_usage_and_errors_are_no_echo() -> None:
    for text in (
        "usage: llama-server [options]",
        "llama-server: error: -m x",
        '  File "sglang/launch_server.py", line 3, in sglang.launch_server -m x',
    ):
        assert echoed_arguments(text) is None


@given(
    st.fixed_dictionaries(
        {"model": st.from_regex(r"[a-z]{1,8}/[A-Za-z0-9.-]{1,12}", fullmatch=True)},
        optional={
            "max_model_len": st.integers(1, 1 << 20),
            "tensor_parallel_size": st.sampled_from([1, 2, 4, 8]),
            "gpu_memory_utilization": st.floats(0.1, 1, allow_nan=False),
            "max_num_seqs": st.integers(1, 4096),
            "enforce_eager": st.just(True),
            "kv_cache_dtype": st.sampled_from(["auto", "fp8", "fp8_ds_mla"]),
            "served_model_name": st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=2),
        },
    )
)
def test_printed_and_read_back(values: dict) -> None:  # type: ignore[type-arg]
    """What Python prints of a mapping is read as it was; and its flags, as a command, say the same settings."""
    found = stated_arguments(f"non-default args: {values!r}")
    assert found is not None
    names = [name for name in values if name != "served_model_name"]
    assert {name: found[name] for name in names} == {name: values[name] for name in names}
    flags = as_flags({name: values[name] for name in names})
    settings = read_command(shlex.join(["vllm", "serve", values["model"], *flags])).settings
    assert {name: settings[name] for name in names} == {name: values[name] for name in names}


@pytest.mark.parametrize("piece", ["(", "{'a': ", "'", '"', "[", "a=1,", "a='", "\\", "{'a': {", ")", "'a': '\\"])
def test_hostile_lines_end(piece: str) -> None:
    for front in (
        "non-default args: {",
        "server_args=ServerArgs(",
        "args: Namespace(",
        "LLM engine (v1) with config: ",
    ):
        text = front + piece * (200_000 // len(piece))
        stated_arguments(text)
        resolved_arguments(text)
