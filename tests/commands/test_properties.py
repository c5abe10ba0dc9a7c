"""Writing and reading are inverse; the quick way reads as the thorough one; nothing but InputError comes out."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from glmcalc.commands import read as reading
from glmcalc.commands import read_command
from glmcalc.commands.write import format_serve
from glmcalc.facts.errors import InputError

names = st.from_regex(r"[a-zA-Z0-9][\w.-]{0,20}(/[\w.-]{1,20})?", fullmatch=True)
flags = st.fixed_dictionaries(
    {},
    optional={
        "tensor_parallel_size": st.integers(1, 64),
        "max_model_len": st.integers(1, 1 << 20) | st.just("auto"),
        "max_num_seqs": st.integers(1, 4096),
        "gpu_memory_utilization": st.integers(1, 100).map(lambda value: value / 100),
        "kv_cache_dtype": st.sampled_from(["auto", "fp8", "bfloat16", "fp8_ds_mla"]),
        "enable_expert_parallel": st.just(True),
        "enforce_eager": st.booleans(),
        "enable_prefix_caching": st.booleans(),
    },
)


@given(names, flags, st.none() | st.integers(1, 8))
def test_what_is_written_is_read(model, stated, depth):
    speculation = {} if depth is None else {"speculative_config": {"method": "mtp", "num_speculative_tokens": depth}}
    parsed = read_command(format_serve(model, stated, speculation))
    expected = {"model": model, **stated}
    if depth is not None:
        expected |= {"speculative_method": "mtp", "num_speculative_tokens": depth}
    assert parsed.settings == expected
    assert not parsed.unknown
    assert not parsed.unresolved


@given(names, flags)
def test_the_quick_way_reads_as_the_thorough_one(model, stated):
    text = format_serve(model, stated, {"speculative_config": {"method": "mtp"}})
    quick, thorough = reading._plain_line(text), reading._launches(text)
    assert len(thorough) == 1
    if quick:
        assert quick[0].words == thorough[0].words


pieces = st.sampled_from([
    "vllm serve ", "zai-org/GLM-5.2 ", "--max-model-len ", "128K ", "'", '"', "\\\n", "\n", "$", "${", "}", "(", ")", "- ", "  - ", "command:\n", "args: [",
    "docker run ", "bash -c ", "{", "--speculative-config ", '{"method":"mtp"}', "| tee x", "# ", "-tp 8 ", "=", "%A%", "<model>", "“", "—", "\x00", "[", "]",
    '"Args": [', ",", "&&", "```", "+", "> ", "\t", "\u00a0", "-m vllm.entrypoints.openai.api_server ",
])  # fmt: skip


@settings(max_examples=1500, deadline=None)
@given(st.lists(pieces | st.text(max_size=6), max_size=24).map("".join))
def test_nothing_but_an_input_error(text):
    try:
        parsed = read_command(text)
    except InputError:
        return
    json.dumps(parsed.to_dict())
    assert parsed.engine in ("vllm", "sglang", "llama.cpp")
