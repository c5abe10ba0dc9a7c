"""Each signature has a sample line that it decides, and that no earlier one takes from it."""

import json
import re
from pathlib import Path

import pytest

from glmcalc.advise.classes import class_names
from glmcalc.advise.remedies import REMEDIES
from glmcalc.logs.match import find_death
from glmcalc.logs.read import read_log
from glmcalc.logs.signatures import read_signature, signatures

SAMPLES = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "advise/samples/cases.jsonl").read_text("utf-8").splitlines()
]


def decided(log):
    return find_death(read_log(log)[-1])


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample["id"])
def test_the_class_and_signature_of_each_sample(sample):
    death = decided(sample["log"])
    assert death.death == sample["class"]
    assert (death.signature.id if death.signature else None) == sample["signature"]


@pytest.mark.parametrize("row", signatures(), ids=lambda row: row.id)
def test_each_signature_has_a_sample_that_it_decides(row):
    mine = [sample for sample in SAMPLES if sample["signature"] == row.id]
    assert mine, f"add a sample line for {row.id} to tests/advise/samples/cases.jsonl"
    assert all(sample["class"] == row.death for sample in mine)


@pytest.mark.parametrize("sample", [s for s in SAMPLES if s["signature"]], ids=lambda sample: sample["id"])
def test_without_its_deciding_line_a_sample_is_not_that_signature(sample):
    death = decided(sample["log"])
    left = [line for line in sample["log"].split("\n") if not death.signature.line.search(line)]
    if left:
        after = decided("\n".join(left))
        assert after.signature is None or after.signature.id != sample["signature"]


def test_every_sample_says_what_it_is_modelled_on():
    for sample in SAMPLES:
        assert sample["modelled_on"].startswith("https://")
        assert sample["class"] in class_names()


def test_ids_are_unique_and_remedies_exist():
    ids = [row.id for row in signatures()]
    assert len(set(ids)) == len(ids)
    for row in signatures():
        assert row.remedies, row.id
        assert set(row.remedies) <= set(REMEDIES), row.id


def test_fields_in_causes_are_known_and_the_last_cause_needs_none():
    known = {
        "tried", "free", "gpu_total", "start_free", "requested", "kv_needed", "available_kv", "estimated_max_model_len",
        "max_model_len", "kv_cache_usage_pct", "gpu_index", "gpu_memory_utilization", "max_num_batched_tokens", "max_num_seqs",
    }  # fmt: skip
    for row in signatures():
        for cause in row.cause:
            assert set(re.findall(r"\{(\w+)\}", cause)) <= known, row.id
        assert "{" not in row.cause[-1], row.id


def test_a_known_issue_has_an_address_and_says_no_fix_that_is_not_known():
    for row in signatures():
        if row.known_issue is not None:
            assert row.known_issue["urls"]
            assert row.known_issue["text"]
            assert all(url.startswith("https://github.com/") for url in row.known_issue["urls"])


def test_a_row_without_a_source_is_refused():
    from glmcalc.facts.errors import InputError

    with pytest.raises(InputError, match="source"):
        read_signature({"id": "x", "source": "", "date": "2026-11-25", "kind": "spec"})
