"""Inputs in a page's address: read as the command reads them, refused in the command's words."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from hypothesis import example
from hypothesis import given as for_all
from hypothesis import strategies as st

from glmcalc.present.cli import main
from glmcalc.present.query import given

CHAPTER = {"gpu": "h200_sxm", "gpus": 8, "model": "zai-org/GLM-5.2-FP8", "max_model_len": 131_000, "max_num_seqs": 256,
           "gpu_memory_utilization": 0.9, "kv_cache_dtype": "fp8"}  # fmt: skip
REPORT = {**CHAPTER, "customer": "Example A", "command": None, "concurrency": None, "input_length": None, "output_length": None,
          "min_tok_s_user": None, "enable_expert_parallel": None}  # fmt: skip


@pytest.mark.parametrize(
    ("query", "taken"),
    [
        ("gpu=b200_sxm&max_model_len=128K", {"gpu": "b200_sxm", "max_model_len": 131_072}),
        ("?max_model_len=128k&gpu_memory_utilization=0.85", {"max_model_len": 128_000, "gpu_memory_utilization": 0.85}),
        ("theme=dark&voila-x=1&token=a", {}),
        ("customer=Foo", {}),
        ("", {}),
    ],
)
def test_a_chapter_takes_what_it_defines(query, taken):
    names = {**CHAPTER, "unrelated": object()}
    shown = given(names, "The text speaks of the example.", query)
    assert {name: names[name] for name in taken} == taken
    assert {name: names[name] for name in CHAPTER if name not in taken} == {
        n: v for n, v in CHAPTER.items() if n not in taken
    }
    assert (shown is None) == (not taken)
    assert shown is None or "The text speaks of the example." in shown.text


def test_a_report_takes_customer_needs_and_a_command():
    names = dict(REPORT)
    assert given(names, query="customer=Foo&concurrency=4&input_length=40000&enable_expert_parallel=true") is None
    assert (names["customer"], names["concurrency"], names["input_length"]) == ("Foo", 4, 40_000)
    assert names["enable_expert_parallel"] is True
    names = dict(REPORT)
    given(names, query=f"command={quote('vllm serve nvidia/GLM-5.2-NVFP4 -tp 8')}&gpu=b200_sxm")
    assert names["command"] == "vllm serve nvidia/GLM-5.2-NVFP4 -tp 8"


@pytest.mark.parametrize(
    ("name", "text"),
    [("max_model_len", "abc"), ("max_model_len", "2000000"), ("gpu", "b20_sxm"), ("gpus", "7"), ("gpus", "nan"),
     ("gpu_memory_utilization", "7"), ("kv_cache_dtype", "nope"), ("max_num_seqs", "0"), ("model", "foo")],
)  # fmt: skip
def test_a_bad_value_says_what_the_command_says(name, text, capsys):
    names = dict(CHAPTER)
    shown = given(names, query=f"max_num_seqs=8&{name}={text}" if name != "max_num_seqs" else f"{name}={text}")
    assert names == CHAPTER, "the defaults stay, all of them"
    flags = {**CHAPTER, "max_num_seqs": 8, name: text}
    words = [word for flag, value in flags.items() for word in (f"--{flag.replace('_', '-')}", str(value))]
    assert main(["budget", *words, "--json"]) == 2
    message = json.loads(capsys.readouterr().out)["error"]["message"]
    assert shown is not None
    assert shown.plain.split(" (got")[0] == message.split(" (got")[0]
    assert "Bad input" in shown.text


@pytest.mark.parametrize(
    "query",
    ["customer=%3Cb%3EA%3C/b%3E", "concurrency=0", "concurrency=1.5", "input_length=999999", "min_tok_s_user=0",
     f"command={quote('vllm serve x')}", f"command={quote(chr(39))}"],
)  # fmt: skip
def test_a_report_refuses_what_it_would_refuse_anyway(query):
    names = dict(REPORT)
    shown = given(names, query=query)
    assert names == REPORT
    assert shown is not None
    assert "<b>A</b>" not in shown.text


def test_a_name_that_is_not_the_page_s_is_not_passed_over():
    for query, said in (("maxmodellen=3", "did you mean max_model_len?"), ("block_size=64", "input of this page")):
        shown = given(dict(CHAPTER), query=query)
        assert shown is not None
        assert said in shown.plain


def test_only_voila_has_an_address(monkeypatch):
    monkeypatch.setenv("QUERY_STRING", "gpu=b200_sxm")
    monkeypatch.delenv("SERVER_SOFTWARE", raising=False)
    names = dict(CHAPTER)
    assert given(names) is None
    assert names == CHAPTER
    monkeypatch.setenv("SERVER_SOFTWARE", "voila/0.5")
    given(names)
    assert names["gpu"] == "b200_sxm"


@for_all(st.dictionaries(st.sampled_from(sorted(REPORT)), st.text(max_size=30), max_size=4))
@example({"gpus": "٣"})
@example({"concurrency": "²"})
def test_any_text_is_taken_or_refused(texts):
    names = dict(REPORT)
    shown = given(names, query="&".join(f"{name}={quote(text)}" for name, text in texts.items()))
    assert "<script" not in (shown.text if shown else "")


def test_settings_of_other_engines_and_a_need_of_speed():
    names = {
        **REPORT,
        "gpu_memory_utilization": None,
        "engine": None,
        "mem_fraction_static": None,
        "disable_cuda_graph": None,
    }
    assert (
        given(names, query="engine=sglang&mem_fraction_static=0.85&disable_cuda_graph=true&min_tok_s_user=12.5") is None
    )
    assert (names["mem_fraction_static"], names["disable_cuda_graph"], names["min_tok_s_user"]) == (0.85, True, 12.5)
