"""Columns against the scalar budget: every field, every row, to the byte."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glmcalc.budget import runtime
from glmcalc.budget.plan import plan
from glmcalc.facts import columns
from glmcalc.facts.errors import InputError
from glmcalc.facts.quantity import GIB, Band, combine
from glmcalc.model.calibration import Calibration
from glmcalc.model.deployment import Deployment
from glmcalc.solve.sweep import COMPONENTS, FIELDS, STAGES, STATUSES, UNKNOWN, sweep
from glmcalc.solve.sweep_frames import heat_map, region_text, sweep_frame

H200 = Deployment(gpu="h200_sxm", tensor_parallel_size=8, kv_cache_dtype="fp8")
OPEN = "0.24.0"  # between releases whose rules are known: layers, factors and copies are open
VERSIONS = ["0.33.0", "0.33.0", "0.23.0", OPEN, "0.20.1", "0.33.0-fork", "0.40.0"]


def calibrations():
    band = st.floats(0.1, 3).map(lambda size: Band.gib(0.8 * size, size, 1.2 * size))
    names = (
        "workspaces",
        "activation_peak",
        "cuda_graphs",
        "non_torch",
        "mtp_runtime",
        "not_explained",
        "fork_overhead",
    )
    terms = st.lists(st.tuples(st.sampled_from(names), band), unique_by=lambda term: term[0]).map(tuple)
    at = H200.changed(max_model_len=131_000, max_num_seqs=64)
    return st.builds(
        Calibration, st.just(at), terms, st.booleans(), st.integers(-(10**8), 10**9), st.just(34 * GIB),
        st.sampled_from([None, 10**8, -(10**7)]), st.sampled_from([None, "every_layer"]),
    )  # fmt: skip


def bases():
    """Settings that a budget decides on."""
    bytes_ = st.integers(GIB, 90 * GIB)
    return st.builds(
        Deployment,
        gpu=st.sampled_from(["h200_sxm", "h200_sxm", "b200_sxm", "b300_sxm", "h100_sxm", "rtx_pro_6000", "mi300x", "a100_80_sxm"]),
        model=st.sampled_from(["zai-org/GLM-5.2-FP8", "zai-org/GLM-5.2-FP8", "nvidia/GLM-5.2-NVFP4", "deepseek-ai/DeepSeek-V3.2"]),
        tensor_parallel_size=st.sampled_from([2, 4, 8, 8, 16]),
        pipeline_parallel_size=st.sampled_from([None, None, 2, 3]),
        data_parallel_size=st.sampled_from([None, None, 2]),
        enable_expert_parallel=st.booleans(),
        max_model_len=st.sampled_from([None, "auto", 131_072]),
        max_num_seqs=st.sampled_from([None, 64]),
        max_num_batched_tokens=st.sampled_from([None, 4096]),
        enable_chunked_prefill=st.sampled_from([None, None, None, False]),
        kv_cache_dtype=st.sampled_from([None, "fp8", "fp8_ds_mla", "bfloat16"]),
        decode_context_parallel_size=st.sampled_from([None, None, 2]),
        speculative_method=st.sampled_from([None, "mtp", "ngram"]),
        engine_version=st.sampled_from(VERSIONS),
        enforce_eager=st.sampled_from([False, False, True]),
        max_cudagraph_capture_size=st.sampled_from([None, None, 0, 300]),
        estimate_cudagraphs=st.sampled_from([None, None, False]),
        num_gpu_blocks_override=st.one_of(*[st.none()] * 5, st.integers(1, 30_000)),
        kv_cache_memory_bytes=st.one_of(*[st.none()] * 5, bytes_),
        available_kv_bytes=st.one_of(*[st.none()] * 5, bytes_),
        weights_bytes=st.one_of(*[st.none()] * 3, bytes_),
        calibration=st.one_of(*[st.none()] * 2, calibrations()),
    )  # fmt: skip


def numbers(rows):
    """Columns of numbers: some or all of them."""

    def column(values):
        return st.lists(values, min_size=rows, max_size=rows).map(np.array)

    lengths = column(
        st.one_of(st.integers(1, 1_048_576), st.integers(1, 5000), st.sampled_from([262_144, 262_145, 131_072]))
    )
    every = {
        "max_model_len": lengths, "max_num_seqs": column(st.integers(1, 1100)),
        "max_num_batched_tokens": column(st.integers(500, 32_768)), "gpu_memory_utilization": column(st.floats(0.05, 1.0)),
    }  # fmt: skip
    return st.lists(st.sampled_from(sorted(every)), min_size=1, unique=True).flatmap(
        lambda names: st.fixed_dictionaries({name: every[name] for name in names})
    )


def scalar_fields(deployment):
    """What the scalar budget has for each field of a sweep; None where the deployment is bad input."""
    try:
        made = plan(deployment)
    except InputError:
        return None
    data = made.to_dict()
    kv, per_gpu = data["kv"], data["per_gpu"]
    found = {name: kv[name] for name in FIELDS if name in kv}
    found |= {f"{name}{end}_bytes": 0 for name in COMPONENTS for end in ("_low", "", "_high")}
    for part in per_gpu["components"]:
        for key, end in (("low_bytes", "_low"), ("bytes", ""), ("high_bytes", "_high")):
            found[f"{part['name']}{end}_bytes"] = part[key]
    found |= {
        name: per_gpu[name] for name in ("memory_bytes", "memory_low_bytes", "memory_high_bytes", "utilization_bytes")
    }
    found |= {"status": STATUSES.index(made.verdict.status), "stage": STAGES.index(made.verdict.stage)}
    found |= {
        name: data["deployment"][name]
        for name in ("gpus", "max_num_seqs", "max_num_batched_tokens", "gpu_memory_utilization")
    }
    found |= {"max_model_len": made.kv.pool.max_model_len, "bytes_per_token_low": kv.get("bytes_per_token_low")}
    for end in ("low", "high"):
        found[f"num_blocks_{end}"] = getattr(made.kv, end).num_blocks
    for pool, name in ((made.kv.pool, "requests_held"), (made.kv.low, "requests_held_low")):
        found[name] = (pool.num_blocks - 1) // pool.blocks_per_request if pool.fits else 0
    return found


def check_row(swept, row, deployment):
    expected = scalar_fields(deployment)
    if expected is None:
        assert swept["status"][row] == STATUSES.index("refused")
        return
    assert set(expected) == set(FIELDS)
    for name, value in expected.items():
        got = swept[name][row].item()
        if value is None:
            assert math.isnan(got) if isinstance(got, float) else got == UNKNOWN, name
        else:
            assert got == value, (name, got, value)


@settings(max_examples=250, deadline=None)
@given(bases(), numbers(6))
def test_every_field_equals_the_scalar_budget(base, given_numbers):
    swept = sweep(given_numbers, base, threads=1)
    for row in range(6):
        values = {name: column[row].item() for name, column in given_numbers.items()}
        check_row(swept, row, base.changed(**values))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(bases(), st.integers(1, 300_000), st.floats(0.3, 1)), min_size=2, max_size=8),
    st.sampled_from([1, 2]),
)
def test_mixed_settings_are_grouped_and_come_back_in_place(rows, threads):
    names = (
        "gpu",
        "model",
        "tensor_parallel_size",
        "kv_cache_dtype",
        "speculative_method",
        "engine_version",
        "max_num_seqs",
    )
    columns_ = {name: np.array([getattr(base, name) for base, _, _ in rows], object) for name in names}
    columns_ |= {
        "max_model_len": [length for _, length, _ in rows],
        "gpu_memory_utilization": [share for _, _, share in rows],
    }
    swept = sweep(columns_, Deployment(), threads=threads)
    for row, (base, length, share) in enumerate(rows):
        settings_ = {name: getattr(base, name) for name in names}
        check_row(swept, row, Deployment(**settings_, max_model_len=length, gpu_memory_utilization=share))


def test_columns_broadcast_as_grids_do():
    lengths, seqs, gpus = np.array([4096, 131_072, 1_048_576]), np.array([1, 64]), np.array(["h200_sxm", "b200_sxm"])
    swept = sweep(
        {"gpu": gpus[:, None, None], "max_model_len": lengths[:, None], "max_num_seqs": seqs}, H200.changed(gpu=None)
    )
    assert swept["status"].shape == (2, 3, 2)
    for at in np.ndindex(2, 3, 2):
        deployment = H200.changed(
            gpu=str(gpus[at[0]]), max_model_len=int(lengths[at[1]]), max_num_seqs=int(seqs[at[2]])
        )
        check_row(swept, at, deployment)


@settings(max_examples=40, deadline=None)
@given(calibrations(), numbers(4), st.sampled_from(["0.33.0", "0.23.0"]))
def test_a_calibrated_machine_is_swept_as_it_is_budgeted(calibration, given_numbers, version):
    base = H200.changed(calibration=calibration, engine_version=version)
    swept = sweep(given_numbers, base, threads=1)
    for row in range(4):
        check_row(swept, row, base.changed(**{name: column[row].item() for name, column in given_numbers.items()}))


def test_many_rows_in_chunks_and_threads_equal_few():
    rng = np.random.default_rng(5)
    size = 150_000
    given_numbers = {
        "max_model_len": rng.integers(1, 1_048_576, size), "max_num_seqs": rng.integers(1, 1024, size),
        "tensor_parallel_size": rng.choice([4, 8, 16], size), "gpu_memory_utilization": rng.uniform(0.5, 1, size),
    }  # fmt: skip
    swept = sweep(given_numbers, H200, threads=2)
    for row in (0, 1, 16_384, 131_071, 131_072, size - 1):
        check_row(swept, row, H200.changed(**{name: column[row].item() for name, column in given_numbers.items()}))
    one = sweep(given_numbers, H200, fields=("status", "available_low_bytes"), threads=1)
    assert set(one.columns) == {"status", "available_low_bytes"}
    for name, column in one.columns.items():
        assert (column == swept[name]).all()


def test_bad_rows_are_marked_and_bad_columns_refused():
    swept = sweep(
        {"max_model_len": [0, -1, 2_000_000, 4096], "max_num_seqs": [1, 1, 1, 9000]},
        H200.changed(max_num_batched_tokens=8192),
    )
    assert swept["status"].tolist() == [STATUSES.index("refused")] * 4
    assert swept["num_blocks"].tolist() == [UNKNOWN] * 4
    swept = sweep({"tensor_parallel_size": [7, 8], "max_model_len": [4096, 4096]}, H200)
    assert swept["status"].tolist() == [STATUSES.index("refused"), STATUSES.index("fits")]
    ((settings_, message),) = swept.refused
    assert settings_ == {"tensor_parallel_size": 7}
    assert "divisor" in message
    for bad, field in (
        ({"max_modellen": [1]}, "max_modellen"), ({"max_model_len": [1, 2], "max_num_seqs": [1, 2, 3]}, "columns"),
        ({"max_model_len": [1.5]}, "max_model_len"),
    ):  # fmt: skip
        with pytest.raises(InputError) as error:
            sweep(bad, H200)
        assert error.value.field == field
    with pytest.raises(InputError):
        sweep({"max_model_len": [1]}, H200, fields=("statuses",))
    assert sweep({"max_model_len": np.zeros(0, int)}, H200)["status"].shape == (0,)


@given(
    st.lists(
        st.tuples(st.integers(0, 1 << 40), st.integers(0, 1 << 40), st.integers(0, 1 << 40)), min_size=1, max_size=8
    )
)
def test_ranges_combine_alike_in_numbers_and_columns(sizes):
    bands = [Band(*sorted(size)) for size in sizes]
    whole = combine(bands, 1000)
    wide = combine([Band(np.array([b.low] * 2), np.array([b.likely] * 2), np.array([b.high] * 2)) for b in bands], 1000)
    assert [wide.low[0], wide.likely[1], wide.high[0]] == [whole.low, whole.likely, whole.high]


@given(
    st.integers(0, 3000), st.integers(1, 3000), st.sampled_from([512, 1024]), st.one_of(st.none(), st.integers(0, 2000))
)
def test_captured_graphs_are_counted_as_the_engine_lists_them(depth, seqs, cap, largest):
    # config/vllm.py:_set_cudagraph_sizes (0.33.0): the sizes themselves, counted one by one.
    top = largest if largest is not None else min(2 * seqs * (1 + depth), cap)
    sizes = [size for size in (1, 2, 4, *range(8, 256, 8), *range(256, top + 1, 16)) if size <= top]
    assert runtime.graph_count(seqs, depth, largest, cap) == len(sizes) + sum(
        size <= seqs * (1 + depth) for size in sizes
    )


@given(st.lists(st.floats(-1e15, 1e15), min_size=1, max_size=20))
def test_numbers_and_columns_round_alike(values):
    column = np.array(values)
    for one in (columns.cut, columns.rounded, columns.raised):
        assert one(column).tolist() == [one(value) for value in values]


def test_a_heat_map_says_what_each_machine_serves():
    machines = {
        "8 x H200": H200.changed(max_num_seqs=None),
        "8 x B200": H200.changed(gpu="b200_sxm", kv_cache_dtype="fp8_ds_mla"),
    }
    frame = heat_map(machines, [32_768, 131_072, 1_048_576], [1, 8, 64])
    assert len(frame) == 2 * 3 * 3
    for row in frame.to_dict("records"):
        made = plan(machines[row["machine"]].changed(max_model_len=row["max_model_len"], max_num_seqs=row["sequences"]))
        low, likely = ((p.num_blocks - 1) // p.blocks_per_request if p.fits else 0 for p in (made.kv.low, made.kv.pool))
        assert row["status"] == made.verdict.status
        sure = made.verdict.status == "fits" and low >= row["sequences"]
        assert (row["region"] == "holds") is sure
        assert (row["requests held, low"], row["requests held"]) == (low, likely)
    assert set(frame["region"]) <= set(region_text())


def test_a_frame_has_words_and_missing_values():
    frame = sweep_frame({"gpu": ["h200_sxm", "h100_sxm"], "max_model_len": [131_072, 131_072]}, H200.changed(gpu=None))
    assert frame["status"].tolist() == ["fits", "does_not_fit"]
    assert frame["stage"].isna().tolist() == [True, False]
    assert frame["num_blocks"].isna().tolist() == [False, True]
    assert frame["gpu"].tolist() == ["h200_sxm", "h100_sxm"]
