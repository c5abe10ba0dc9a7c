"""The budget against what real servers printed, and against deployments whose fate is known.

Bounds are those the manual promises; a change that makes it worse than that fails here.
"""

from collections import Counter

import pytest

from glmcalc import Deployment, plan
from glmcalc.budget.runtime import term
from glmcalc.facts.evidence import known_deployments, observations
from glmcalc.facts.quantity import GIB
from glmcalc.solve import accuracy


def test_bytes_per_token_agree_within_rounding_or_say_why():
    rows = accuracy.bytes_per_token_rows()
    assert len(rows) >= 16
    for row in rows:
        assert row["agrees"] or row["known_odd"], row["id"]
    stock = [row for row in rows if not row["fork"]]
    assert len(stock) >= 4
    assert all(abs(row["error_pct"]) < 0.05 for row in stock)


@pytest.mark.parametrize(
    ("weights", "error", "band", "inside"),
    [("printed", 1.5, 8.0, 85), ("predicted", 3.65, 12.15, 85)],
)
def test_the_pool_without_calibration(weights, error, band, inside):
    """Each deployment counted once, judged by a fit that has not seen it; GiB on each GPU, per cent in band."""
    everything = accuracy.pool_summary(accuracy.pool_rows(weights))[1]
    assert everything["engines"] == "all, unseen"
    assert everything["families"] >= 5
    assert everything["median_error_gib"] <= error
    assert everything["median_band_gib"] <= band
    assert everything["inside_pct"] >= inside


def test_a_stock_start_up_log_is_met_closely():
    """A whole log of a development build of upstream on 4 x GH200, weights as printed: 28.85, 28.86 and 32.32 GiB."""
    rows = [row for row in accuracy.pool_rows("printed") if row["family"] == "jupiter-gh200"]
    assert len(rows) == 3
    assert all(abs(row["error_gib"]) <= 0.5 for row in rows)


@pytest.mark.parametrize("printed", [True, False])
def test_the_forks_term_is_the_fit(printed):
    """``data/memory_terms.json`` holds what ``fit_terms`` gives over all rows, to two decimals."""
    fitted = accuracy.fit_terms(accuracy.whole_logs(printed), printed)
    ((name, value),) = fitted.items()
    for end in ("low", "likely", "high"):
        assert getattr(term(name), end) / GIB == pytest.approx(getattr(value, end) / GIB, abs=0.02)


def verdict_of(row):
    settings = dict(row["deployment"])
    for name, target in (("weights_gib", "weights_bytes"), ("gpu_memory_gib", "gpu_memory_bytes")):
        if name in settings:
            settings[target] = round(settings.pop(name) * GIB)
    return plan(Deployment(**settings)).verdict


def test_known_deployments():
    """No failure is called a fit and no run a failure; every death before graphs are captured is foreseen.

    Deaths while serving, and one of a fork while it captured its graphs, are marginal.
    """
    seen = Counter()
    for row in known_deployments():
        status = verdict_of(row).status
        seen[(row["outcome"], row["is_fork"], status)] += 1
        stage = row["stage"] or ""
        late = stage.startswith("runtime") or (stage == "cuda_graph_capture" and row["is_fork"])
        if row["outcome"] == "fails" and not late:
            assert status == "does_not_fit", row["id"]
    runs = sum(count for (outcome, fork, _), count in seen.items() if outcome == "runs" and not fork)
    fails = sum(count for (outcome, _, _), count in seen.items() if outcome == "fails")
    assert seen[("runs", False, "fits")] >= 0.7 * runs
    assert seen[("runs", False, "does_not_fit")] + seen[("runs", True, "does_not_fit")] == 0
    assert seen[("fails", False, "fits")] + seen[("fails", True, "fits")] == 0
    assert seen[("fails", False, "does_not_fit")] + seen[("fails", True, "does_not_fit")] >= 0.6 * fails


@pytest.mark.parametrize("row", [row for row in known_deployments() if row["stage"]], ids=lambda row: row["id"])
def test_the_stage_of_a_known_failure(row):
    """Where it says that it does not fit, it dies where it was seen to die."""
    verdict = verdict_of(row)
    if verdict.status == "does_not_fit":
        assert verdict.stage == row["stage"]


def test_identity_of_the_start_up_log():
    """total x utilization - weights - activation - non-torch - graphs = pool, where a log prints all of them."""
    checked = 0
    for row in observations():
        seen, total = row["observed"], row["total_gib_printed"]
        needed = (
            "weights_gib_per_gpu",
            "peak_activation_gib",
            "non_torch_gib",
            "cuda_graph_estimated_gib",
            "available_kv_gib",
        )
        if total is None or row["gpu_memory_utilization"] is None or any(seen.get(name) is None for name in needed):
            continue
        left = total * row["gpu_memory_utilization"] - sum(seen[name] for name in needed[:4])
        assert left == pytest.approx(seen["available_kv_gib"], abs=0.03)
        checked += 1
    assert checked >= 5
