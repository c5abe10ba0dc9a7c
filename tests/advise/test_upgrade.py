"""The same flags on two releases: the parts that the engine's own changes move, and nothing else."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmcalc import Deployment, InputError
from glmcalc.advise.upgrade import upgrade
from glmcalc.facts.quantity import GIB
from glmcalc.present.cli import main

ASKED = Deployment(
    gpu="h200_sxm",
    tensor_parallel_size=8,
    kv_cache_dtype="fp8",
    max_model_len=131000,
    max_num_seqs=64,
    gpu_memory_utilization=0.9,
)
RELEASES = st.sampled_from(["0.20.0", "0.21.0", "0.23.0", "0.24.0", "0.26.0", "0.28.0", "0.33.0"])


def test_78_indexers_up_to_0_23_cost_weights_and_cache():
    """61,464 B a token before, 53,940 after (published starts of both); 0.55 GiB of indexer weights a GPU in FP8."""
    data = upgrade(ASKED, "0.23.0", "0.33.0").to_dict()
    assert (data["kv"]["from"]["bytes_per_token"], data["kv"]["to"]["bytes_per_token"]) == (61_464, 53_940)
    moved = {row["name"]: row["moved_bytes"] for row in data["components"]}
    assert moved["weights"] / GIB == pytest.approx(-0.55, abs=0.01)
    assert "indexer_caches" in {row["id"] for row in data["rules"]}


def test_graphs_are_taken_off_the_pool_since_0_21():
    data = upgrade(ASKED, "0.20.0", "0.21.0").to_dict()
    moved = {row["name"]: row["moved_bytes"] for row in data["components"]}
    assert moved["cuda_graphs"] > 0
    assert moved["kv_pool"] == -moved["cuda_graphs"]


@given(RELEASES, RELEASES)
def test_there_and_back_is_nothing(one, other):
    there, back = upgrade(ASKED, one, other).to_dict(), upgrade(ASKED, other, one).to_dict()
    assert [row["moved_bytes"] for row in there["components"]] == [-row["moved_bytes"] for row in back["components"]]
    if one == other:
        assert not there["rules"]
        assert not any(row["moved_bytes"] for row in there["components"])


@given(RELEASES, RELEASES)
def test_what_moves_inside_the_line_adds_up_to_nothing(one, other):
    """Utilization is stated, so the line stays: the pool gives what the other terms take."""
    rows = upgrade(ASKED, one, other).to_dict()["components"]
    assert sum(row["moved_bytes"] for row in rows if row["inside_utilization"]) == 0


def test_exit_code_follows_the_second_release(capsys):
    flags = ["--gpu", "h200_sxm", "--gpus", "8", "--max-model-len", "131000", "--json"]
    code = main(["diff", *flags, "--from-version", "0.26.0", "--to-version", "0.33.0"])
    data = json.loads(capsys.readouterr().out)
    assert code == (0 if data["verdicts"]["to"]["status"] == "fits" else 1)
    assert main(["diff", *flags, "--from-version", "new", "--to-version", "0.33.0"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["field"] == "from_version"


def test_a_version_that_is_none_names_its_option():
    with pytest.raises(InputError) as caught:
        upgrade(ASKED, "0.26.0", "latest and greatest")
    assert caught.value.field == "to_version"


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("fits", "fits", "STILL FITS"),
        ("marginal", "fits", "NOW FITS"),
        ("does_not_fit", "fits", "NOW FITS"),
        ("fits", "marginal", "MARGINAL"),
    ],
)
def test_still_is_said_only_of_what_fitted_before(before, after, words):
    from glmcalc.present.diff_text import diff_text

    data = upgrade(ASKED, "0.23.0", "0.26.0").to_dict()
    data["verdicts"]["from"]["status"], data["verdicts"]["to"]["status"] = before, after
    data["verdicts"]["still_fits"] = after == "fits"
    assert diff_text(data).startswith(f"{words}  vLLM 0.26.0: ")
