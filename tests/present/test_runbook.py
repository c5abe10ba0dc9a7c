"""Chapter 4's pieces: every class has its entry and its place in the chart; incidents come out as their reports say."""

import pytest

from glmcalc.advise.classes import QUIET, class_names
from glmcalc.advise.incidents import diagnosed, incident, incidents, log_of
from glmcalc.facts.errors import InputError
from glmcalc.present.runbook import decision_chart, log_lines, runbook, words_of, worked

# What the cited threads say that each of them was.
REPORTED = {
    "load-unsharded": "weights_load",
    "start-1m": "startup_kv_too_small",
    "run-sparse-decode": "runtime_workspace",
    "exercise-graphs": "cuda_graph_capture",
    "exercise-boundary": "not_oom_other",
    "exercise-preempted": "preemption_not_oom",
}
DEATHS = [name for name in class_names() if name not in QUIET]


def test_every_incident_is_expected_somewhere():
    assert {row["id"] for row in incidents()} == set(REPORTED)


@pytest.mark.parametrize("name", REPORTED)
def test_incidents_come_out_as_reported(name):
    assert diagnosed(name).death.death == REPORTED[name]


def test_the_worked_incidents_are_of_load_start_and_run_time():
    assert {incident(name)["role"] for name in REPORTED} == {"load", "start-up", "run time", "exercise"}


@pytest.mark.parametrize("name", DEATHS)
def test_entries_are_short_and_whole(name):
    assert 30 <= words_of(name) < 120
    text = runbook(name).text
    for label in ("Check", "Meaning", "One change", "Cost", "Verify", "Undo"):
        assert f"<dt>{label}</dt>" in text


def test_the_chart_leads_to_every_class_once():
    text = decision_chart().text
    for name in DEATHS:
        assert text.count(f"<code>{name}</code>") == 1


def test_an_incident_shows_lines_answer_and_command():
    text = worked("run-sparse-decode").text
    assert "sparse_decode_fwd(" in text
    assert "--max-num-batched-tokens" in text
    assert "data-copy" not in text  # no script stands behind it here


def test_lines_are_shown_as_text(monkeypatch):
    row = {**incident("start-1m"), "log": ["<img src=x onerror=alert(1)> token=hf_abcdefghijklmnopqrstuvwx"]}
    monkeypatch.setattr("glmcalc.present.runbook.incident", lambda name: row)
    text = log_lines("start-1m").text
    assert "<img" not in text
    assert "hf_abc" not in text


def test_names_that_are_none_are_refused():
    with pytest.raises(InputError):
        runbook("healthy")
    with pytest.raises(InputError) as caught:
        log_of("start-1")
    assert "start-1m" in caught.value.allowed
