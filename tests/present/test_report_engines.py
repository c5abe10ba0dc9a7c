"""Reports of SGLang and llama.cpp: their own words, no key of vLLM's, and lengths that only the needs state."""

import re

import pytest

from glmcalc.present.report import PARTS, Report

SGLANG = {"engine": "sglang", "gpu": "h200_sxm", "tensor_parallel_size": 4, "quantization": "w4afp8"}
MAC = {"engine": "llama.cpp", "gpu": "mac_m3_ultra_512", "gpus": 1, "quantization": "UD-Q3_K_XL"}
NEED = {"concurrency": 2, "input_length": 24_000, "output_length": 1_000}


@pytest.mark.parametrize("settings", [SGLANG, MAC], ids=["sglang", "llama.cpp"])
def test_every_part_is_made(settings):
    report = Report("Example C", **settings, **NEED, min_tok_s_user=1)
    for part in PARTS:
        text = getattr(report, part)().text
        assert text.startswith(("<style>", "<div"))
        # Words of vLLM's memory; the section of other machines may speak of it.
        assert part == "ways" or not re.search(
            r"gpu_memory_utilization|Utilization|Available KV cache memory|vllm:", text
        ), part
        assert "None" not in re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL), part


def test_sglang_is_no_better_than_marginal_where_its_budget_is_not():
    report = Report("Example C", **SGLANG, **NEED)
    assert report.judged.status == "marginal"
    page = report.first_page().text
    assert "2 requests of 25,000 tokens at once need" in page
    assert "To settle it" in page
    assert "python -m sglang.launch_server" in page


def test_llamacpp_gets_a_slot_for_each_request_and_says_so():
    """2 slots of 25,000 tokens, each rounded up to 25,088 = 98 x 256 cells; 95,232 B a token: 2 x 25,088 x 95,232 B = 4.45 GiB."""
    report = Report("Example C", **MAC, **NEED)
    assert report.data["deployment"]["parallel"] == 2
    assert report.data["kv"]["cells"] == 50_176
    assert pytest.approx(4.45, abs=0.005) == 50_176 * 95_232 / 2**30
    page = report.first_page().text
    assert "need 4.45 GiB of KV" in page
    assert "2 slots are taken" in page
    assert "llama-server" in page


def test_fewer_slots_than_requests_is_no():
    report = Report("Example C", **MAC, ctx_size=32_768, parallel=1, **NEED)
    assert report.judged.status == "does_not_fit"
    assert "lets 1 in" in report.first_page().text


def test_a_length_of_the_needs_becomes_the_longest_request():
    report = Report("Example A", gpu="h200_sxm", gpus=8, kv_cache_dtype="fp8", **NEED)
    assert report.data["deployment"]["max_model_len"] == 25_000
    assert "--max-model-len 25000" in report.data["command"]
    assert "max_model_len is not stated" in report.first_page().text
    stated = Report("Example A", gpu="h200_sxm", gpus=8, kv_cache_dtype="fp8", max_model_len=65_000, **NEED)
    assert stated.data["deployment"]["max_model_len"] == 65_000


def test_data_parallel_groups_share_the_requests():
    """8 requests on 4 groups are 2 on each."""
    report = Report("Example A", gpu="h200_sxm", tensor_parallel_size=1, data_parallel_size=8, enable_expert_parallel=True,
                    kv_cache_dtype="fp8", max_model_len=25_000, concurrency=16, input_length=24_000)  # fmt: skip
    assert report.case.each == 2
