"""A report's words and figures, before any browser sees them."""

import re

import pytest

from glmcalc.facts.errors import InputError
from glmcalc.present.report import Report, report_from

BASE = {"gpu": "h200_sxm", "gpus": 8, "max_model_len": 131_072, "max_num_seqs": 256, "max_num_batched_tokens": 8192,
        "gpu_memory_utilization": 0.9, "kv_cache_dtype": "fp8", "speculative_method": "mtp", "num_speculative_tokens": 3}  # fmt: skip


@pytest.mark.parametrize("customer", ["<b>A</b>", "A &amp; B", 'A "x"', "", " ", "A" * 81, None, 7, "A\nB", "a{b}"])
def test_markup_in_the_customer_is_refused(customer):
    with pytest.raises(InputError) as caught:
        Report(customer, **BASE)
    assert caught.value.field == "customer"


def test_an_ampersand_in_the_customer_is_escaped():
    page = Report("Smith & Sons", **BASE).first_page().text
    assert "<b>Smith &amp; Sons</b>" in page


@pytest.mark.parametrize(
    ("needs", "field"),
    [({"concurrency": 0}, "concurrency"), ({"input_length": -1}, "input_length"), ({"output_length": 1.5}, "output_length"),
     ({"input_length": 200_000}, "input_length"), ({"min_tok_s_user": 0}, "min_tok_s_user"), ({"min_tok_s_user": "fast"}, "min_tok_s_user"),
     ({"min_tok_s_user": True}, "min_tok_s_user"), ({"min_tok_s_user": float("nan")}, "min_tok_s_user"),
     ({"output_length": 200_000}, "output_length")],
)  # fmt: skip
def test_needs_are_checked(needs, field):
    with pytest.raises(InputError) as caught:
        Report("Example A", **BASE, **needs)
    assert caught.value.field == field


def test_needs_against_the_pool():
    """8 requests of 45,000 tokens: 704 blocks x 3,502,592 B each = 18.37 GiB; a pool of 19.29 at the pessimistic end holds them."""
    page = Report("Example A", **BASE, concurrency=8, input_length=40_000, output_length=5_000).first_page().text
    assert pytest.approx(18.37, abs=0.005) == 704 * 3_502_592 * 8 / 2**30
    assert "8 requests of 45,000 tokens at once need 18.37 GiB of KV on each GPU" in page
    assert "Fits" in page
    short = Report("Example A", **BASE, concurrency=10, input_length=45_000).first_page().text
    assert "At the pessimistic end it is short by" in short


def test_the_command_that_works_stands_before_the_one_that_does_not():
    page = Report("Example A", gpu="h200_sxm", gpus=8, max_model_len=1_048_576, max_num_seqs=1).first_page().text
    assert page.index("The command that does work") < page.index("Command as asked")
    assert re.search(r"<mark>--decode-context-parallel-size 2</mark>", page)


def test_a_pasted_command_names_its_model():
    names = {
        "customer": "Example A",
        "command": "vllm serve nvidia/GLM-5.2-NVFP4 -tp 4",
        "model": "zai-org/GLM-5.2-FP8",
        "gpu": "b200_sxm",
        "gpus": 4,
    }
    assert report_from(names).plan.resolved.checkpoint.name == "nvidia/GLM-5.2-NVFP4"


def test_a_need_has_a_column_only_where_one_is_given():
    assert "your need" not in Report("Example A", **BASE).capacity().text
    table = Report("Example A", **BASE, concurrency=2, input_length=8192).capacity().text
    assert "your need" in table
    widths = {len(re.findall(r"<t[hd]", row)) for row in re.findall(r"<tr.*?</tr>", table)}
    assert widths == {6}


def test_no_pool_is_said_so():
    """8 x 80 GB under 88 GiB of weights: the pool's estimate is below zero at both ends."""
    report = Report("Example A", gpu="h100_sxm", gpus=8)
    assert "No pool is left at either end" in report.first_page().text
    assert re.search(r"none, [\d.]+ GiB short", report.method().text)
