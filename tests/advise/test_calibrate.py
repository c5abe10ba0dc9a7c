"""A start-up log measures its machine: identities that must hold, what is refused, what is written."""

import json
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmcalc import Deployment, plan
from glmcalc.advise.calibrate import calibrate
from glmcalc.advise.measure import measure, share_out
from glmcalc.advise.pairs import pair_rows
from glmcalc.advise.reconcile import reconciliation
from glmcalc.facts.errors import InputError
from glmcalc.facts.quantity import GIB, Band
from glmcalc.model.calibration import load_calibration, read_calibration
from glmcalc.present.cli import main

SCHEMA = Path(__file__).resolve().parents[2] / "data" / "schema" / "observations.json"
COMMAND = "vllm serve zai-org/GLM-5.2-FP8 -tp 8 --kv-cache-dtype fp8 --max-model-len 131000 --max-num-seqs 64"
# In the engine's format; the figures are an example's, chosen inside the ranges: no public log of this machine exists.
LOG = """\
(APIServer pid=7) INFO 11-20 08:11:02 [utils.py:233] non-default args: {'model_tag': 'zai-org/GLM-5.2-FP8', 'model': 'zai-org/GLM-5.2-FP8', 'tensor_parallel_size': 8, 'kv_cache_dtype': 'fp8', 'max_model_len': 131000, 'max_num_seqs': 64, 'api_key': ['sk-abcdefghijklmnopqrstuvwxyz']}
(EngineCore pid=90) INFO 11-20 08:11:09 [core.py:112] Initializing a V1 LLM engine (v0.33.0) with config: model='zai-org/GLM-5.2-FP8'
(Worker_TP0 pid=101) INFO 11-20 08:21:40 [gpu_model_runner.py:5335] Model loading took 90.84 GiB memory and 601.2 seconds
(Worker_TP3 pid=104) INFO 11-20 08:21:41 [gpu_model_runner.py:5335] Model loading took 90.85 GiB memory and 602.0 seconds
(Worker_TP0 pid=101) INFO 11-20 08:22:30 [gpu_worker.py:560] Available KV cache memory: 34.62 GiB
(Worker_TP3 pid=104) INFO 11-20 08:22:30 [gpu_worker.py:560] Available KV cache memory: 34.60 GiB
(EngineCore pid=90) INFO 11-20 08:22:30 [kv_cache_utils.py:2178] GPU KV cache size: 688,650 tokens, Maximum concurrency for 131,000 tokens per request: 5.26x
(Worker_TP0 pid=101) INFO 11-20 08:22:58 [gpu_worker.py:793] CUDA graph pool memory: 1.12 GiB (actual), 1.31 GiB (estimated)
(APIServer pid=7) INFO 11-20 08:23:04 [launcher.py:195] Application startup complete.
"""


@pytest.fixture(scope="module")
def made():
    return calibrate(LOG, None, {"gpu": "h200_sxm"})


def test_the_calibrated_budget_gives_the_printed_pool_back(made):
    """The smallest pool over ranks, the largest weights, to the byte."""
    after = made.measured.after
    assert after.kv.available.likely == round(34.60 * GIB)
    weights = after.component("weights")
    assert weights.band.likely + after.component("mtp_layer").band.likely == round(90.85 * GIB)
    assert after.component("cuda_graphs").band.likely == round(1.31 * GIB)


def test_parts_and_pool_make_up_the_utilization_line(made):
    after = made.measured.after
    inside = sum(part.band.likely for part in after.components if part.inside_utilization)
    assert inside == after.utilization_bytes


def test_the_range_narrows_and_widens_with_what_moves(made):
    before, after, calibration = made.measured.before, made.measured.after, made.measured.calibration
    width = after.kv.available.high - after.kv.available.low
    assert width < (before.kv.available.high - before.kv.available.low) / 4
    longer = plan(after.resolved.asked.changed(max_num_seqs=512, max_num_batched_tokens=16384))
    assert longer.resolved.asked.calibration == calibration
    assert longer.kv.available.high - longer.kv.available.low > width
    assert longer.kv.available.likely < after.kv.available.likely


def test_calibrated_components_say_so(made):
    for name in ("weights", "activation_peak", "cuda_graphs", "kv_pool"):
        assert made.measured.after.component(name).basis == "calibrated"


def test_each_memory_line_is_explained(made):
    data = reconciliation(made)
    assert {row["line"] for row in data["explained"]} == {4, 6, 7, 8}
    tokens = next(row for row in data["explained"] if row["name"] == "kv_tokens")["says"]
    # 34.60 GiB over 64 x 53,940 B is 10,761 blocks; over 2,047 a request, times 131,000.
    assert "10,761 blocks of 64 tokens" in tokens
    assert "2,047 blocks a request" in tokens
    assert not [row for row in data["residuals"] if row["beyond_band"]]


def test_tokens_of_another_record_are_a_residual():
    """53,940 B a token would give 688,650; a log that prints 600,000 holds something else."""
    data = reconciliation(calibrate(LOG.replace("688,650", "600,000"), None, {"gpu": "h200_sxm"}))
    (row,) = [row for row in data["residuals"] if row["beyond_band"]]
    assert row["name"] == "kv_tokens"
    assert row["reasons"]


def test_a_heavier_start_than_any_term_explains_is_a_residual_with_reasons():
    data = reconciliation(calibrate(LOG.replace("34.6", "14.6"), None, {"gpu": "h200_sxm"}))
    row = next(row for row in data["residuals"] if row["name"] == "unprinted")
    assert row["beyond_band"]
    assert row["reasons"]
    assert any(part["name"] == "not_explained" and part["bytes"] > 0 for part in data["components"])


def test_printed_tokens_show_which_layers_own_an_indexer_cache():
    """61,464 B a token on 0.24.0, whose rule is open: 78 indexer caches. 53,940 B: 21."""
    for tokens, rule in ((604_416, "every_layer"), (688_704, "owning_layers")):
        text = LOG.replace("v0.33.0", "v0.24.0").replace("688,650 tokens, Maximum", f"{tokens:,} tokens, Maximum")
        got = calibrate(text, None, {"gpu": "h200_sxm", "max_model_len": 131072}).measured
        assert got.calibration.indexer_caches == rule, got.after.kv.pool.tokens


def test_the_file_brings_the_same_calibration_back(made, tmp_path):
    path = tmp_path / "machine.json"
    path.write_text(made.measured.calibration.to_text(), encoding="utf-8")
    assert load_calibration(str(path)) == made.measured.calibration
    assert "sk-abc" not in path.read_text(encoding="utf-8")


def test_the_command_writes_and_takes_a_calibration(tmp_path, capsys):
    log, out, row = tmp_path / "start.log", tmp_path / "machine.json", tmp_path / "row.json"
    log.write_text(LOG, encoding="utf-8")
    arguments = ["calibrate", str(log), "--gpu", "h200_sxm", "--out", str(out), "--observation", str(row), "--json"]
    assert main(arguments) == 0
    data = json.loads(capsys.readouterr().out)
    assert {"components", "residuals"} <= set(data)
    assert main(["budget", COMMAND, "--gpu", "h200_sxm", "--calibration", str(out), "--json"]) == 0
    budget = json.loads(capsys.readouterr().out)
    assert budget["kv"]["available_bytes"] == round(34.60 * GIB)
    jsonschema.validate(json.loads(row.read_text("utf-8")), json.loads(SCHEMA.read_text("utf-8")))
    for path in (out, row):
        text = path.read_text("utf-8")
        assert "sk-abcdef" not in text
        assert str(tmp_path) not in text
        assert "api" not in text


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (["--model", "nvidia/GLM-5.2-NVFP4", "--gpu", "h200_sxm", "--gpus", "8"], "calibration"),
        (["--gpu", "b200_sxm", "--gpus", "8"], "calibration"),
    ],
)
def test_a_calibration_of_another_model_or_gpu_is_refused(made, tmp_path, capsys, arguments, field):
    path = tmp_path / "machine.json"
    path.write_text(made.measured.calibration.to_text(), encoding="utf-8")
    assert main(["budget", *arguments, "--calibration", str(path), "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["field"] == field


def test_other_parallel_sizes_leave_it_out_and_say_so(made):
    other = plan(made.measured.after.resolved.asked.changed(tensor_parallel_size=16, gpus=None))
    assert any("calibration is left out" in warning for warning in other.resolved.warnings)
    assert other.component("activation_peak").basis == "estimated"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"glmcalc_calibration": 1}',
        '{"glmcalc_calibration": 1, "measured_at": {"gpu": 7}}',
        "x" * 200_000,
    ],
)
def test_what_is_no_calibration_is_refused(text):
    with pytest.raises(InputError) as caught:
        read_calibration(text)
    assert caught.value.field == "calibration"


@pytest.mark.parametrize(
    "path", [("terms_bytes", "cuda_graphs"), ("available_bytes",), ("indexer_caches",), ("weights_shift_bytes",)]
)
@pytest.mark.parametrize("value", ["much", -1e300, [3, 2, 1], True, {"a": 1}])
def test_a_damaged_calibration_is_refused(made, path, value):
    data = json.loads(made.measured.calibration.to_text())
    place = data
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    with pytest.raises(InputError):
        read_calibration(json.dumps(data))


@pytest.mark.parametrize(
    ("text", "stated", "field"),
    [
        ("INFO nothing of memory here, vLLM API server version 0.33.0", {}, "log"),
        (LOG, {}, "log"),  # neither GPU nor total is in the text
        (LOG, {"gpu": "h200_sxm", "kv_cache_memory_bytes": 30 * GIB}, "kv_cache_memory_bytes"),
        (
            "[2026-02-26 05:35:08 TP7] KV Cache is allocated. #tokens: 1000, KV size: 12.50 GB",
            {"gpu": "h200_sxm"},
            "log",
        ),
    ],
)
def test_a_log_that_measures_nothing_is_refused(text, stated, field):
    with pytest.raises(InputError) as caught:
        calibrate(text, None, stated)
    assert caught.value.field == field


bands = st.tuples(*[st.integers(0, 8 * GIB)] * 3).map(lambda ends: Band(*sorted(ends)))


@given(st.integers(-4 * GIB, 60 * GIB), st.dictionaries(st.sampled_from("abcdefg"), bands, max_size=6))
def test_sharing_out_loses_nothing_and_keeps_the_ranges(rest, ranges):
    shared, residual = share_out(rest, ranges)
    assert sum(band.likely for band in shared.values()) + residual == rest
    for name, band in shared.items():
        assert ranges[name].low <= band.likely <= ranges[name].high
    if residual:
        reached = [band.likely for band in shared.values()]
        ends = [ranges[name].high if residual > 0 else ranges[name].low for name in shared]
        assert reached == ends


@given(
    st.floats(8, 60), st.integers(1, 1024), st.sampled_from([2048, 8192, 16384]), st.integers(4096, 1_048_576),
    st.sampled_from([None, "fp8"]), st.booleans(),
)  # fmt: skip
def test_at_its_own_flags_a_calibration_gives_the_measured_pool(pool, seqs, tokens, length, dtype, mtp):
    asked = Deployment(
        gpu="h200_sxm", tensor_parallel_size=8, max_num_seqs=min(seqs, tokens), max_num_batched_tokens=tokens,
        max_model_len=length, kv_cache_dtype=dtype, speculative_method="mtp" if mtp else None,
    )  # fmt: skip
    for figures in ({}, {"weights_bytes": 91 * GIB}, {"weights_bytes": 91 * GIB, "peak_activation_bytes": 2 * GIB}):
        got = measure(asked, {**figures, "available_kv_bytes": round(pool * GIB)})
        assert got.after.kv.available.likely == round(pool * GIB)
        again = read_calibration(got.calibration.to_text())
        assert plan(got.before.resolved.asked.changed(calibration=again)).kv.available == got.after.kv.available


def test_pairs_of_published_starts_are_foretold():
    """Another length, batch, depth, DCP or utilization of the same machine: within 2 % of the pool or 0.5 GiB, each one."""
    rows = pair_rows()
    assert len(rows) >= 30
    assert {row["measured"].split("-")[0] for row in rows} >= {"rtx6kpro", "jupiter", "gb300x2"}
    assert any("mtp False to True" in row["moved"] for row in rows)
    assert any("max_model_len" in row["moved"] for row in rows)
    assert [(row["measured"], row["foretold"], row["error_gib"]) for row in rows if not row["within"]] == []
    assert sum(row["inside"] for row in rows) >= 0.9 * len(rows)


def test_report_and_page_take_it(made, tmp_path):
    from glmcalc.present import state
    from glmcalc.present.report import Report

    path = tmp_path / "machine.json"
    path.write_text(made.measured.calibration.to_text(), encoding="utf-8")
    report = Report("Example A", COMMAND, gpu="h200_sxm", calibration=str(path))
    assert report.plan.kv.available.likely == round(34.60 * GIB)
    shown = state.from_parameters({"gpu": "h200_sxm", "tensor_parallel_size": 8, "calibration": str(path)})
    back = state.deployment(state.from_query(state.link(shown)))
    assert back.calibration == made.measured.calibration
    with pytest.raises(InputError) as caught:
        state.deployment({**shown, "gpu": "b200_sxm"})
    assert caught.value.field == "calibration"
