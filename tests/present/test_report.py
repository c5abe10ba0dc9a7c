"""A report's words and figures, before any browser sees them."""

import json
import re
from pathlib import Path

import pytest

from glmcalc.facts.errors import InputError
from glmcalc.facts.quantity import gib
from glmcalc.present.query import given
from glmcalc.present.report import Report, report_from

ROOT = Path(__file__).resolve().parents[2]
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


def test_a_doubt_of_engine_device_or_release_stands_before_what_holds():
    """The first half page gives the reason for Marginal before it says that the pool is large enough."""
    for settings, words in (
        ({"engine": "sglang", "gpu": "b200_sxm", "gpus": 8, "quantization": "nvfp4"}, "rests on few logs"),
        ({"gpu": "mi355x", "gpus": 8}, "ROCm build"),
        ({"gpu": "h200_sxm", "gpus": 8, "engine_version": "0.34.1"}, "newer than"),
    ):
        report = Report("Example A", **settings, concurrency=2, input_length=24_000)
        assert report.judged.status == "marginal"
        tile = report.judged.html(report.case)
        assert (
            tile.index("But ") < tile.index(words) < tile.index("no better than marginal") < tile.index("It holds at")
        )


def test_the_largest_doubt_of_a_mac_is_what_its_gpu_may_take():
    """378.88 to 430.08 GiB: 0.74 and 0.84 of 512 GiB; the compute buffer's whole band is a few GiB."""
    assert (round(0.74 * 512, 2), round(0.84 * 512, 2)) == (378.88, 430.08)
    mac = {
        "engine": "llama.cpp",
        "gpu": "mac_m3_ultra_512",
        "gpus": 1,
        "quantization": "UD-Q3_K_XL",
        "input_length": 24_000,
    }
    assert (
        "The largest doubt is what the GPU may take (378.88 to 430.08 GiB)"
        in Report("Example C", **mac).first_page().text
    )


def test_a_mac_that_is_too_small_says_by_how_much_and_what_is_left_at_best():
    mac = {"engine": "llama.cpp", "gpu": "mac_m3_ultra_512", "gpus": 1, "quantization": "UD-Q4_K_XL", "concurrency": 2, "input_length": 32_768}  # fmt: skip
    report = Report("Example C", **mac)
    room = report.plan.kv.available
    tile = report.judged.html(report.case)
    assert (
        f"exceed what there is by {gib(-room.likely)} GiB (at worst by {gib(-room.low)}, at best {gib(room.high)} is left)"
        in tile
    )
    assert "(-" not in tile


MACHINES = [
    ({}, ("h200_sxm", 8), "No machine is named"),
    ({"max_model_len": 131_000}, ("h200_sxm", 8), "No machine is named"),
    ({"gpu": "h200_sxm"}, ("h200_sxm", 1), None),
    ({"gpu": "h200_sxm", "gpus": 8}, ("h200_sxm", 8), None),
    ({"gpu": "b200_sxm", "tensor_parallel_size": 4}, ("b200_sxm", 4), None),
    ({"tensor_parallel_size": 4}, ("h200_sxm", 4), "No GPU is named"),
    ({"gpu": "b200_sxm", "command": "vllm serve nvidia/GLM-5.2-NVFP4 -tp 4 --max-model-len 131000"}, ("b200_sxm", 4), None),
    ({"gpu": "mac_m3_ultra_512", "command": "llama-server -m GLM-5.2-UD-IQ4_NL.gguf -c 65536 -np 2 -ngl 99"}, ("mac_m3_ultra_512", 1), None),
    ({"command": "vllm serve zai-org/GLM-5.2-FP8 -tp 8"}, ("h200_sxm", 8), "No GPU is named"),
]  # fmt: skip


@pytest.mark.parametrize(("stated", "machine", "said"), MACHINES)
def test_the_notebook_takes_as_many_gpus_as_are_said(stated, machine, said):
    """Its own eight only where nothing says the machine: else what the parallel sizes need, as the command has it."""
    notebook = json.loads((ROOT / "chapters" / "report.ipynb").read_text(encoding="utf-8"))
    names: dict[str, object] = {}
    cell = next(cell for cell in notebook["cells"] if "parameters" in cell["metadata"].get("tags", []))
    exec("".join(cell["source"]), names)
    report = report_from({**names, **stated})
    r = report.plan.resolved
    assert (r.device.id, r.gpus) == machine
    assert [words for words in report.case.filled if "is named" in words] == (
        [] if said is None else [report.case.filled[-1]]
    )
    assert said is None or said in report.first_page().text


def test_an_address_may_leave_the_machine_to_the_example():
    names: dict[str, object] = dict.fromkeys(("command", "gpu", "gpus", "max_model_len"))
    names |= {"customer": "Example A", "model": "zai-org/GLM-5.2-FP8"}
    assert given(names, query="max_model_len=64K") is None
    assert names["max_model_len"] == 65_536
    assert report_from(names).plan.resolved.gpus == 8
