"""The flags of vllm serve: none is missing, each takes as many values as the engine's parser gives it."""

import json

import pytest

from glmcalc.commands import read_command
from glmcalc.commands.flags import flag_arity, flag_names
from glmcalc.facts.errors import InputError
from glmcalc.facts.store import load_json
from glmcalc.model.deployment import Deployment

ROWS = load_json("vllm_flags.json")["flags"]


def only(text):
    """The settings beside the model."""
    settings = read_command(f"vllm serve a/b {text}").settings
    assert settings.pop("model") == "a/b"
    return settings


def test_every_flag_has_an_effect_or_a_reason():
    for row in ROWS:
        assert row["effect"] in ("modelled", "no_effect", "not_modelled"), row
        assert row["arity"] in (0, 1, -1), row
        assert row["effect"] != "not_modelled" or row["why"], row


def test_no_name_is_claimed_twice():
    names = [name for row in ROWS for name in row["names"]]
    assert sorted(names) == sorted(set(names)) == sorted(flag_names())


@pytest.mark.parametrize(
    ("name", "arity"),
    [
        ("--tensor-parallel-size", 1), ("--tensor_parallel_size", 1), ("-tp", 1), ("-dcp", 1), ("-q", 1),
        ("--enforce-eager", 0), ("--no-enforce-eager", 0), ("--no_enable_prefix_caching", 0), ("--served-model-name", -1),
        ("--tensor-par", 1), ("--speculative-config.method", 1), ("--swap-space", 1), ("--enable-prompt-adapter", 0),
        ("--max-num", None), ("--no-max-model-len", None), ("--tensor-paralel-size", None), ("-xyz", None), ("vllm", None),
    ],
)  # fmt: skip
def test_arity(name, arity):
    assert flag_arity(name) == arity


@pytest.mark.parametrize("row", [row for row in ROWS if row["effect"] != "modelled"], ids=lambda row: row["names"][0])
def test_a_flag_that_is_no_setting_is_listed_and_swallows_its_value_only(row):
    value = {"int": "1", "human": "1", "len": "1", "float": "0.5", "json": "{}"}.get(row["type"], "x")
    if row["names"][0] == "--cudagraph-capture-sizes":
        value = "3"  # no list of the engine's own, which is a setting
    words = [row["names"][0], *([] if row["arity"] == 0 else [value])]
    if row["names"][0] == "--config":
        words = []  # the file is not in the text: refused, see test_forms
    parsed = read_command(" ".join(["vllm serve a/b", *words, "-tp 4 --max-num-seqs 2"]))
    assert parsed.settings["tensor_parallel_size"] == 4
    assert parsed.settings["max_num_seqs"] == 2
    assert parsed.unknown == []
    listed = parsed.no_effect_on_memory if row["effect"] == "no_effect" else parsed.not_modelled
    assert not words or row["names"][0] in listed
    assert any("earlier releases" in warning for warning in parsed.warnings) == bool(row.get("retired"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("131072", 131_072), ("128k", 128_000), ("128K", 131_072), ("1m", 1_000_000), ("1M", 1_048_576),
        ("2.5k", 2_500), ("auto", "auto"), ("-1", -1),
    ],
)  # fmt: skip
def test_a_length_as_the_engine_reads_it(text, value):
    assert only(f"--max-model-len {text}") == {"max_model_len": value}
    assert only(f"--max_model_len={text}") == {"max_model_len": value}


def test_sizes_in_bytes():
    assert only("--kv-cache-memory-bytes 30G") == {"kv_cache_memory_bytes": 30 * 1024**3}
    assert only("--kv-cache-memory-bytes 30g") == {"kv_cache_memory_bytes": 30 * 1000**3}


@pytest.mark.parametrize(
    ("flags", "field", "value"),
    [
        ("--tensor-parallel-size 1.5", "tensor_parallel_size", "1.5"),
        ("--tensor_parallel_size=abc", "tensor_parallel_size", "abc"),
        ("-tp 8k", "tensor_parallel_size", "8k"),
        ("--max-num-seqs nan", "max_num_seqs", "nan"),
        ("--max-model-len 1.5K", "max_model_len", "1.5K"),
        ("--max-model-len infinite", "max_model_len", "infinite"),
        ("--gpu-memory-utilization inf", "gpu_memory_utilization", "inf"),
        ("--gpu-memory-utilization high", "gpu_memory_utilization", "high"),
        ("--enforce-eager=maybe", "enforce_eager", "maybe"),
        ("--speculative-config mtp", "speculative_config", "mtp"),
        ("--block-size", "block_size", "nothing"),
        ("""--speculative-config '{"num_speculative_tokens": 2.5}'""", "num_speculative_tokens", 2.5),
        ("--speculative-config.num_speculative_tokens many", "num_speculative_tokens", "many"),
    ],
)
def test_a_value_of_the_wrong_type_is_named(flags, field, value):
    with pytest.raises(InputError) as caught:
        read_command(f"vllm serve a/b {flags}")
    error = caught.value
    assert (error.field, error.value) == (field, value)
    assert error.allowed
    assert field in error.message or field.replace("_", "-") in error.message
    json.dumps(error.to_dict(), allow_nan=False)


def test_prefixes_that_two_flags_share_are_named_and_not_read():
    parsed = read_command("vllm serve a/b --max-num 5 -tp 2")
    assert parsed.settings == {"model": "a/b", "tensor_parallel_size": 2}
    assert [flag["flag"] for flag in parsed.unknown] == ["--max-num"]
    assert any("--max-num-seqs" in warning for warning in parsed.warnings)


@pytest.mark.parametrize(
    ("text", "listed", "data"),
    [
        ("-O3", "--optimization-level", {}),
        ("-O 3", "--optimization-level", {}),
        ("-O.mode 3", "--compilation-config", {"compilation_config": {"mode": 3}}),
        ("""-O '{"mode": 3}'""", "--compilation-config", {"compilation_config": {"mode": 3}}),
        ("-cc.mode=3", "--compilation-config", {"compilation_config": {"mode": 3}}),
        ("""--hf-overrides '{"a": [1]}'""", "--hf-overrides", {"hf_overrides": {"a": [1]}}),
    ],
)
def test_compilation_and_json(text, listed, data):
    parsed = read_command(f"vllm serve a/b {text} -tp 2")
    assert parsed.not_modelled == [listed]
    assert parsed.json_settings == data
    assert parsed.settings == {"model": "a/b", "tensor_parallel_size": 2}


def test_the_last_of_two_values_holds():
    assert only("-tp 4 --tensor-parallel-size 8") == {"tensor_parallel_size": 8}
    assert only("--enable-prefix-caching --no-enable-prefix-caching") == {"enable_prefix_caching": False}


@pytest.mark.parametrize(
    ("text", "largest"),
    [
        ("--max-cudagraph-capture-size 4096", 4096),
        ("""--compilation-config '{"max_cudagraph_capture_size":4096}'""", 4096),
        ("-cc.max_cudagraph_capture_size=4096", 4096),
        ("-cc.max-cudagraph-capture-size 4096", 4096),
        ("--cudagraph-capture-sizes 16 1 2 4 8", 16),
        ("""-cc '{"cudagraph_capture_sizes":[1,2,4,8,16]}'""", 16),
        ("""-cc '{"cudagraph_mode":"NONE"}'""", 0),
        ("-cc.cudagraph_mode=none", 0),
        ("-O0", 0),
        ("-O 0", 0),
        ("--optimization-level 0", 0),
        ("""-O3 -cc '{"cudagraph_mode":"NONE"}'""", 0),
        ("--max-cudagraph-capture-size 64 -cc.cudagraph_mode=NONE", 0),
    ],
)
def test_graphs_count_in_each_of_the_engines_spellings(text, largest):
    parsed = read_command(f"vllm serve a/b {text} -tp 4")
    assert parsed.settings == {"model": "a/b", "tensor_parallel_size": 4, "max_cudagraph_capture_size": largest}
    assert parsed.heavy == []


@pytest.mark.parametrize(
    ("text", "heavy"),
    [
        ("--cudagraph-capture-sizes 1 2 3", ["--cudagraph-capture-sizes"]),
        ("""-cc '{"cudagraph_mode":"FULL_DECODE_ONLY","cudagraph_capture_sizes":[2,4,6]}'""", ["--compilation-config"]),
        ("-cc $CONFIG", ["--compilation-config"]),
        ("-cc.cudagraph_mode=$MODE", ["--compilation-config"]),
        ("--performance-mode throughput", ["--performance-mode"]),
        ("--performance-mode balanced", []),
        ("-O1", []),
        # a mode that is stated wins over the level's (docs.vllm.ai, design/optimization_levels)
        ("""-O0 -cc '{"cudagraph_mode":"FULL"}'""", []),
        ("""-cc '{"pass_config":{"fuse_act_quant":false}}'""", []),
        ("-cc.pass_config.fuse_act_quant=false", []),
    ],
)
def test_graphs_that_cannot_be_counted_leave_the_verdict_open(text, heavy):
    parsed = read_command(f"vllm serve a/b {text} -tp 4")
    assert parsed.settings == {"model": "a/b", "tensor_parallel_size": 4}
    assert parsed.heavy == heavy
    assert parsed.not_modelled


def test_no_graphs_are_written_as_the_engine_takes_them():
    # config/vllm.py:_set_cudagraph_sizes asserts that the largest size is at least 1 where graphs are captured at all.
    made = Deployment(max_cudagraph_capture_size=0)
    assert made.command().endswith("""--compilation-config '{"cudagraph_mode":"NONE"}'""")
    assert any("refuses 0" in line for line in read_command("vllm serve a/b --max-cudagraph-capture-size 0").warnings)
    assert not read_command(made.command()).warnings


@pytest.mark.parametrize(
    "flags",
    [
        "--max-cudagraph-capture-size 0", "-cc.cudagraph_mode=NONE -cc.pass_config.fuse_act_quant=false", "-O0",
        """-cc '{"max_cudagraph_capture_size":64,"pass_config":{"fuse_act_quant":false}}'""",
        "--cudagraph-capture-sizes 1 2 4", "--cudagraph-capture-sizes 1 2 3", "--no-enable-chunked-prefill",
        "--enable-chunked-prefill", "--enable-chunked-prefill=false --enforce-eager",
    ],
)  # fmt: skip
def test_what_is_printed_says_what_was_read(flags):
    first = Deployment.from_command(f"vllm serve a/b -tp 8 {flags}")
    assert Deployment.from_command(first.command()) == first


def test_sizes_do_not_stand_beside_another_largest_graph():
    # The engine refuses a largest size that is not the list's own: "should be consistent with the max value".
    asked = Deployment.from_command("vllm serve a/b --cudagraph-capture-sizes 1 2 3")
    assert "--cudagraph-capture-sizes 1 2 3" in asked.command()
    assert "1 2 3" not in asked.changed(max_cudagraph_capture_size=64).command()


def test_what_the_engines_own_log_advises_is_no_flag_of_the_past():
    parsed = read_command("vllm serve a/b --kv-cache-memory=32212254720")
    assert parsed.settings["kv_cache_memory_bytes"] == 30 << 30
    assert not any("earlier" in warning for warning in parsed.warnings)
