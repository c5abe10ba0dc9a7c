"""Reverse solutions against the budget itself: the value fits, the next step does not, and nothing beyond it does."""

import json
import re
import subprocess
import sys
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glmcalc.budget.plan import plan
from glmcalc.facts.errors import InputError
from glmcalc.facts.quantity import GIB
from glmcalc.model.deployment import Deployment
from glmcalc.present.cli import main
from glmcalc.solve.boundary import last_true
from glmcalc.solve.reverse import TARGETS, solve

H200 = Deployment(gpu="h200_sxm", tensor_parallel_size=8, kv_cache_dtype="fp8", max_num_seqs=16)
LONGEST = 1_048_576


def deployments(**more):
    return st.builds(
        Deployment,
        gpu=st.sampled_from(["h200_sxm", "b200_sxm", "b300_sxm", "h100_sxm", "rtx_pro_6000"]),
        tensor_parallel_size=st.sampled_from([4, 8, 16]),
        pipeline_parallel_size=st.sampled_from([None, None, 2]),
        max_num_batched_tokens=st.integers(1024, 32_768),
        kv_cache_dtype=st.sampled_from([None, "fp8", "fp8_ds_mla"]),
        decode_context_parallel_size=st.sampled_from([None, 2]),
        speculative_method=st.sampled_from([None, "mtp"]),
        engine_version=st.sampled_from(["0.33.0", "0.33.0", "0.23.0", "0.24.0"]),
        enforce_eager=st.booleans(),
        model=st.sampled_from(["zai-org/GLM-5.2-FP8", "nvidia/GLM-5.2-NVFP4"]),
        **more,
    )


utilizations = st.floats(0.6, 0.97)
sequences = st.integers(1, 1024)
lengths = st.integers(1, LONGEST)


def fits(deployment):
    return plan(deployment).verdict.status == "fits"


def crashes(deployment, length):
    """A whole number of blocks, with MTP, on a release without the margin (issue 46074)."""
    return length % 64 == 0 and deployment.mtp and deployment.engine_version != "0.33.0"


@settings(max_examples=60, deadline=None)
@given(deployments(gpu_memory_utilization=utilizations, max_num_seqs=sequences), st.data())
def test_the_greatest_context_fits_and_none_beyond_it(deployment, data):
    found = solve(deployment, "max-model-len")
    below = found.value or 0
    if found.value is not None:
        assert fits(deployment.changed(max_model_len=found.value))
        assert not crashes(deployment, found.value)
        assert found.plan.resolved.max_model_len == found.value
    if below == LONGEST:
        assert found.binding.limit == "model_maximum"
        return
    assert not fits(deployment.changed(max_model_len=below + 1)) or crashes(deployment, below + 1)
    beyond = data.draw(st.lists(st.integers(below + 1, LONGEST), min_size=5, max_size=5))
    for length in (*beyond, 262_144, 262_145, LONGEST):
        if length > below:
            assert not fits(deployment.changed(max_model_len=length)) or crashes(deployment, length)
    if below > 1:
        shorter = data.draw(st.integers(1, below - 1))
        inside = any(low <= shorter <= high for low, high in found.gaps)
        assert fits(deployment.changed(max_model_len=shorter)) is not inside


def test_a_gap_at_the_workspace_factor_is_found_and_said():
    # Above 262,144 the workspace takes 2 lengths in place of 5, 0.84 GiB less: around the share at which that decides,
    # longer requests fit where shorter ones do not.
    shares = [0.75 + step / 2000 for step in range(60)]
    found = [solve(H200.changed(gpu_memory_utilization=share), "max-model-len") for share in shares]
    gapped = [one for one in found if one.gaps]
    assert gapped
    for one in gapped:
        ((low, high),) = one.gaps
        asked = one.plan.resolved.asked
        assert high == 262_144 < one.value
        assert fits(asked.changed(max_model_len=low - 1))
        assert not fits(asked.changed(max_model_len=low))
        assert not fits(asked.changed(max_model_len=high))
        assert fits(asked.changed(max_model_len=high + 1))
    assert all(one.value <= other.value for one, other in pairwise(found))


def serves(deployment, requests):
    """It starts with so many, and the pool holds them all beside the null block."""
    made = plan(deployment.changed(max_num_seqs=requests))
    pool = made.kv.low
    return made.verdict.status == "fits" and requests * pool.blocks_per_request + 1 <= pool.num_blocks


@settings(max_examples=60, deadline=None)
@given(
    deployments(gpu_memory_utilization=utilizations, max_model_len=st.one_of(lengths, st.integers(64, 20_000))),
    st.data(),
)
def test_the_most_sequences_are_held_and_no_more(deployment, data):
    most = deployment.max_num_batched_tokens
    found = solve(deployment, "max-num-seqs")
    below = found.value or 0
    if found.value is not None:
        assert serves(deployment, found.value)
        assert found.plan.resolved.max_num_seqs == found.value
    if below == most:
        assert found.binding.limit == "flag_maximum"
        return
    more = data.draw(st.lists(st.integers(below + 1, most), min_size=8, max_size=8))
    for requests in (*range(below + 1, min(below + 9, most + 1)), *more):
        assert not serves(deployment, requests)


@pytest.mark.parametrize(
    ("share", "length", "tokens", "mtp", "island", "limit"),
    [
        (0.914, 256, 4000, None, True, "kv_pool"),
        (0.912, 64, 1200, None, True, "flag_maximum"),
        (0.911, 64, 1200, "mtp", True, "flag_maximum"),
        (0.924, 256, 4000, None, False, "cuda_graph_capture"),
        (0.915, 2048, 1500, "mtp", False, "cuda_graph_capture"),
    ],
)
def test_sequences_are_found_where_more_of_them_ease_one_limit(share, length, tokens, mtp, island, limit):
    # What the profile leaves for the capture of graphs grows with the sequences, against the graphs' own steps.
    deployment = Deployment(
        model="nvidia/GLM-5.2-NVFP4", gpu="rtx_pro_6000", tensor_parallel_size=8, gpu_memory_utilization=share,
        max_model_len=length, max_num_batched_tokens=tokens, speculative_method=mtp, estimate_cudagraphs=False,
    )  # fmt: skip
    scanned = [count for count in range(1, tokens + 1) if serves(deployment, count)]
    assert (scanned != list(range(1, len(scanned) + 1))) == island
    found = solve(deployment, "max-num-seqs")
    assert found.value == max(scanned, default=None)
    assert found.binding.limit == limit


@settings(max_examples=60, deadline=None)
@given(deployments(max_model_len=lengths, max_num_seqs=sequences), st.data())
def test_the_smallest_utilization_fits_and_none_below_it(deployment, data):
    found = solve(deployment, "gpu-memory-utilization")
    steps = 1001
    if found.value is not None:
        assert fits(deployment.changed(gpu_memory_utilization=found.value))
        steps = round(found.value * 1000)
        if steps > 1:
            assert not fits(deployment.changed(gpu_memory_utilization=(steps - 1) / 1000))
    smaller = data.draw(st.lists(st.integers(1, steps - 1), max_size=8)) if steps > 1 else []
    for step in smaller:
        assert not fits(deployment.changed(gpu_memory_utilization=step / 1000))


@settings(max_examples=30, deadline=None)
@given(deployments(gpu_memory_utilization=utilizations, max_num_seqs=sequences, max_model_len=lengths))
def test_no_smaller_number_of_gpus_fits(deployment):
    def every():
        for tp in (1, 2, 4, 8, 16, 32, 64):
            for pp in range(1, 9 if deployment.pipeline_parallel_size else 2):
                try:
                    made = plan(deployment.changed(tensor_parallel_size=tp, pipeline_parallel_size=pp))
                except InputError:
                    continue
                if made.verdict.status == "fits":
                    yield tp * pp

    found = solve(deployment, "gpus")
    assert found.value == min(every(), default=None)
    if found.value is not None:
        assert found.plan.verdict.status == "fits"
        sizes = found.parallelism
        assert (
            sizes["tensor_parallel_size"] * sizes["pipeline_parallel_size"] == found.value == found.plan.resolved.gpus
        )


@settings(max_examples=25, deadline=None)
@given(deployments(gpu_memory_utilization=utilizations, max_num_seqs=st.integers(1, 64)), st.sampled_from(TARGETS))
def test_the_likely_answer_is_no_more_modest(deployment, target):
    found = solve(deployment.changed(max_model_len=32_768), target)
    if found.value is not None:
        least = target in ("gpus", "gpu-memory-utilization")
        assert found.value_likely <= found.value if least else found.value_likely >= found.value
    json.dumps(found.to_dict(), allow_nan=False)


def test_replicas_are_kept_and_said():
    deployment = H200.changed(gpu="b200_sxm", data_parallel_size=2, enable_expert_parallel=True, max_model_len=32_768)
    found = solve(deployment, "gpus")
    assert found.parallelism["data_parallel_size"] == 2
    assert found.value == 2 * found.parallelism["tensor_parallel_size"]
    assert "one replica" in " ".join(solve(deployment, "max-num-seqs").notes)


def test_a_whole_number_of_blocks_is_avoided_where_the_release_crashes_on_it():
    mtp = H200.changed(speculative_method="mtp", num_speculative_tokens=3)
    old, new = (solve(mtp.changed(engine_version=text), "max-model-len") for text in ("0.23.0", "0.33.0"))
    assert old.value % 64 == 63
    assert old.binding.limit == "boundary_crash"
    assert "46074" in old.binding.text
    assert new.value % 64 == 0
    assert new.binding.limit == "kv_pool"


def test_a_pool_that_a_log_printed_is_planned_as_the_engine_does():
    # 34.10 GiB hold 10,606 blocks of 64 x 53,940 bytes; one is the null block, the others hold 678,720 tokens.
    printed = H200.changed(available_kv_bytes=round(34.10 * GIB))
    assert round(34.10 * GIB) // (64 * 53_940) == 10_606
    assert solve(printed, "max-model-len").value == 10_605 * 64
    assert solve(printed.changed(max_model_len=131_072), "max-num-seqs").value == 10_605 // 2048
    # 303 blocks a request: 35 requests take them all, and the null block would be a 10,606th.
    assert solve(printed.changed(max_model_len=303 * 64), "max-num-seqs").value == 35
    assert solve(printed.changed(max_model_len=10_606 * 64 // 2), "max-num-seqs").value == 1


def test_what_is_uncertain_has_a_likely_answer_only():
    found = solve(H200.changed(engine_version="0.33.0-fork"), "max-model-len")
    assert found.value is None
    assert found.value_likely > 100_000
    assert found.binding.limit == "uncertain"
    assert plan(found.plan.resolved.asked).verdict.status == "marginal"


def test_what_does_not_even_likely_fit_is_said_before_any_doubt():
    """BF16 on four DGX Spark: 348.76 GiB of weights a GPU in 120.75; that it shares its memory with the host is no reason."""
    asked = Deployment(gpu="dgx_spark_gb10", model="zai-org/GLM-5.2", tensor_parallel_size=4)
    for target in ("max-model-len", "max-num-seqs", "gpu-memory-utilization"):
        found = solve(asked, target)
        assert (found.value, found.value_likely) == (None, None)
        assert "The weights take 348.76 GiB" in found.reason
        assert "shares its memory" not in found.reason


def test_unequal_stages_are_not_mixed():
    """78 layers over three stages: block and pool in the text are of one stage, whose pool holds 8 requests and not 9."""
    asked = Deployment(
        gpu="h100_sxm", tensor_parallel_size=4, pipeline_parallel_size=3, data_parallel_size=2, kv_cache_dtype="fp8",
        enforce_eager=True, max_model_len=262_144,
    )  # fmt: skip
    found = solve(asked, "max-num-seqs")
    assert (found.value, found.next_value) == (8, 9)
    blocks = 9 * 262_144 // 64 + 1
    assert f"{blocks:,} blocks" in found.binding.text
    sizes = [round(float(text), 2) for text in re.findall(r"([\d.]+) GiB", found.binding.text)]
    needed, pool, missing = sizes
    assert needed - pool == pytest.approx(missing, abs=0.011)
    assert found.binding.short_bytes == pytest.approx(missing * GIB, abs=0.006 * GIB)
    block = needed * GIB / blocks
    assert block * (8 * 262_144 // 64 + 1) <= pool * GIB < needed * GIB
    # 26 layers of 656 bytes a token, and the 6 or 7 of their indexers of 132, in blocks of 64 tokens.
    assert min(abs(block - 64 * (26 * 656 + owners * 132)) for owners in range(5, 10)) < 0.005 * GIB / blocks + 1


def test_a_combination_without_a_kernel_has_no_answer():
    for target in TARGETS:
        found = solve(H200.changed(gpu="a100_80_sxm", kv_cache_dtype=None), target)
        assert found.value is None
        assert found.value_likely is None
        assert found.binding.limit == "refused"


@pytest.mark.parametrize(
    ("changes", "target", "field"),
    [
        ({}, "max-modellen", "for"),
        ({"available_kv_bytes": GIB}, "gpus", "for"),
        ({"kv_cache_memory_bytes": GIB}, "gpu-memory-utilization", "for"),
        ({"num_gpu_blocks_override": 100}, "gpu-memory-utilization", "for"),
        ({"gpu": None}, "max-model-len", "gpu"),
        ({"tensor_parallel_size": 7}, "max-num-seqs", "tensor_parallel_size"),
    ],
)
def test_questions_without_sense_are_refused_by_name(changes, target, field):
    with pytest.raises(InputError) as error:
        solve(H200.changed(**changes), target)
    assert error.value.field == field


def test_halving_finds_the_last_true_of_a_step():
    for last in range(0, 20):
        assert last_true(1, 19, lambda value, last=last: value <= last) == (last or None)


def test_the_command_loads_no_arrays():
    code = "import sys; from glmcalc.present.cli import main; main(sys.argv[1:]); print(*sorted(sys.modules), file=sys.stderr)"
    words = ["solve", "--gpu", "h200_sxm", "-tp", "8", "--for", "max-model-len", "--json"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    json.loads(done.stdout)
    loaded = {name.split(".")[0] for name in done.stderr.split()}
    assert loaded.isdisjoint({"numpy", "pandas", "dataclasses", "tabulate", "yaml"})


def test_the_command_answers_in_words_and_in_json(capsys):
    words = [
        "solve",
        "vllm serve zai-org/GLM-5.2-FP8 -tp 8 --kv-cache-dtype fp8 --max-num-seqs 16",
        "--gpu",
        "h200_sxm",
    ]
    assert main([*words, "--for", "max-model-len", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["budget"]["verdict"]["status"] == "fits"
    assert data["budget"]["deployment"]["max_model_len"] == data["value"] == data["next"] - 1
    assert data["binding"]["short_bytes"] > 0
    assert main([*words, "--for", "max_model_len"]) == 0
    assert f"{data['value']:,} tokens" in capsys.readouterr().out
    assert main([*words, "--max-model-len", "1M", "--for", "max-num-seqs", "--json"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert data["value"] is None
    assert data["reason"]
    assert main([*words, "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["field"] == "for"
    for target in TARGETS:
        assert main([*words, "--max-model-len", "128K", "--for", target]) == 0
        assert "What stops the next step" in capsys.readouterr().out


def test_a_search_stays_where_the_engine_starts():
    # T >= S always, and T >= L where prefill is not chunked: beyond that the engine refuses the flags.
    base = Deployment(gpu="h200_sxm", tensor_parallel_size=8, kv_cache_dtype="fp8", enable_chunked_prefill=False)
    found = solve(base.changed(max_num_batched_tokens=4096), "max-model-len")
    assert (found.value, found.next_value) == (4096, None)
    assert "not chunked" in found.binding.text
    found = solve(base.changed(max_model_len=16, enable_chunked_prefill=None), "max-num-seqs")
    assert found.value is not None
    assert found.value <= 8192
