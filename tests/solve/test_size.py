"""Sizing: which machine serves a need, held to the budget of each printed command, to published sizes, and to itself by properties."""

import csv
import io
import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glmcalc.budget.engines import plan
from glmcalc.budget.result import Plan
from glmcalc.facts.errors import InputError
from glmcalc.facts.hardware import device
from glmcalc.model.deployment import Deployment
from glmcalc.present.cli import main
from glmcalc.present.size_text import WIDTH
from glmcalc.solve.answer import deployment_from
from glmcalc.solve.size import serves, size_rows
from glmcalc.solve.size_alternatives import alternatives
from glmcalc.solve.size_fit import whole_status
from glmcalc.solve.size_guide import guide_rows
from glmcalc.solve.size_limits import CONTEXTS, SEQUENCES
from glmcalc.solve.size_lines import VllmLine, last_step
from glmcalc.solve.size_need import Need, configurations

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED_FP8 = 755_617_140_416  # bytes on the publisher's page, MTP layer included
MIDDLE = Need(131_072, 8)


@pytest.fixture(scope="module")
def rows():
    return {row["id"]: row for row in size_rows(MIDDLE)}


def rebudgeted(row):
    """The budget of the row's printed command on the row's devices."""
    asked, _ = deployment_from(row["command"], {"gpu": row["gpu"], "gpus": row["gpus"]})
    return plan(asked)


def held(made, concurrency):
    """Requests of full length at once, from the pool as the budget has it: at the low end and at the likely figure."""
    if isinstance(made, Plan):
        pools = (made.kv.low, made.kv.pool)
        return [
            made.resolved.dp * ((pool.num_blocks - 1) // pool.blocks_per_request) if pool.fits else 0 for pool in pools
        ]
    if made.resolved.asked.engine == "llama.cpp":
        return [concurrency if made.verdict.status in ("fits", "marginal") else 0] * 2
    alive = made.verdict.status in ("fits", "marginal")
    return [max(count, 0) // made.kv.request * made.resolved.dp if alive else 0 for count in made.kv.tokens[:2]]


def test_at_least_24_machines_over_all_families():
    known = configurations()
    assert sum(config.use != "facts" for config in known) >= 24
    pairs = {(config.gpu, config.gpus) for config in known}
    assert {(gpu, gpus) for gpu in ("h100_sxm", "h200_sxm", "b200_sxm") for gpus in (4, 8)} <= pairs
    assert {("h100_sxm", 16), ("dgx_spark_gb10", 1), ("dgx_spark_gb10", 4)} <= pairs
    architectures = {config.device.architecture for config in known}
    assert {"sm80", "sm89", "sm90", "sm100", "sm103", "sm120", "sm121", "gfx942", "gfx950", "apple"} <= architectures
    assert {"mac_m3_ultra_256", "mac_m3_ultra_512", "mi300x", "mi325x", "mi355x", "gb300_nvl72"} <= {
        c.gpu for c in known
    }
    assert [config for config in known if config.nodes > 1 and config.between_nodes is None] == []


def test_devices_without_evidence_are_facts_only(rows):
    facts = {name: row for name, row in rows.items() if row["status"] == "no_evidence"}
    assert {row["gpu"] for row in facts.values()} == {"tpu_v6e", "tpu_v7x", "gaudi3", "ascend_910b", "ascend_910c"}
    for row in facts.values():
        assert not row["serves"]
        assert row["command"] is None
        assert row["tok_s_user"] is None
        assert row["speed_reason"]


def test_every_other_row_says_what_was_chosen_or_why_not(rows):
    for row in rows.values():
        if row["status"] == "no_evidence":
            continue
        assert row["command"], row["id"]
        assert row["quantization"]
        assert row["parallelism"]
        assert row["why"]
        assert row["reason"]
        assert row["per_gpu"]["components"]
        assert (row["tok_s_user"] is None) == bool(row["speed_reason"]), row["id"]
        assert (row["max_context"] is None or row["max_concurrency"] is None) == bool(row["limits_reason"]), row["id"]
        assert row["usd_per_hour"] is not None or row["price_reason"]
        if row["quality_rank"]:
            assert row["quality_note"], row["id"]
        if row["status"] == "does_not_fit":
            assert any(digit.isdigit() for digit in row["reason"])


@pytest.mark.parametrize(
    ("context", "concurrency"), [(131_072, 8), (32_768, 1), (524_288, 2), (1_048_576, 4), (8_192, 64)]
)
def test_each_printed_command_budgets_to_its_row(context, concurrency):
    for row in size_rows(Need(context, concurrency), limits=False):
        if row["command"] is None:
            continue
        made = rebudgeted(row)
        low, likely = held(made, concurrency)
        assert row["status"] == whole_status(made.verdict.status, low, likely, concurrency), row["id"]
        assert (row["held"]["low"], row["held"]["likely"]) == (low, likely), row["id"]


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1_024, 1_048_576),
    st.integers(1, 48),
    st.sampled_from(["h200_sxm", "b200_sxm", "h100_sxm", "rtx_pro_6000", "gb300_nvl72", "mi355x"]),
    st.sampled_from([0, 0, 3]),
)
def test_what_serves_fits_and_its_ends_are_ends(context, concurrency, gpu, drafts):
    for row in size_rows(Need(context, concurrency, gpus=(gpu,), num_speculative_tokens=drafts), limits=False):
        if row["engine"] != "vllm" or row["max_context"] is None:
            continue
        asked, _ = deployment_from(row["command"], {"gpu": row["gpu"], "gpus": row["gpus"]})
        dp, step = row["data_parallel_size"], 64 * row["decode_context_parallel_size"]
        each = -(-concurrency // dp)

        def fits(length, count, asked=asked):
            made = plan(asked.changed(max_model_len=length, max_num_seqs=count))
            pool, unsure = made.kv.low, bool(made.resolved.uncertain)
            alive = made.verdict.status == "fits" or (
                unsure and made.verdict.stage is None and made.verdict.status == "marginal"
            )
            return alive and pool.fits and (pool.num_blocks - 1) // pool.blocks_per_request >= count

        assert fits(row["max_context"], each)
        assert row["max_context"] + step > 1_048_576 or not fits(row["max_context"] + step, each)
        if row["status"] == "fits":
            assert fits(context, each)
            assert row["max_context"] > context - step  # ends are in whole blocks
            assert row["max_concurrency"] >= concurrency
        if row["max_concurrency"] is not None:
            most = row["max_concurrency"] // dp
            assert fits(context, most)
            assert most == asked.max_num_batched_tokens or not fits(context, most + 1)


def test_more_of_one_never_allows_more_of_the_other(rows):
    for row in rows.values():
        lengths = [cell["max_context"] or 0 for cell in row["contexts"]]
        counts = [cell["max_concurrency"] or 0 for cell in row["concurrencies"]]
        assert all(one >= two for one, two in pairwise(lengths)), row["id"]
        assert all(one >= two for one, two in pairwise(counts)), row["id"]
        if row["status"] != "no_evidence":
            assert [cell["sequences"] for cell in row["contexts"]] == list(SEQUENCES)
            assert [cell["context"] for cell in row["concurrencies"]] == list(CONTEXTS)


@settings(max_examples=60, deadline=None)
@given(
    gpu=st.sampled_from(["h200_sxm", "b200_sxm", "h100_sxm", "rtx_pro_6000", "mi300x", "b300_sxm"]),
    model=st.sampled_from(["zai-org/GLM-5.2-FP8", "nvidia/GLM-5.2-NVFP4", "canada-quant/GLM-5.2-W4A16-MTP"]),
    tp=st.sampled_from([2, 4, 8]),
    dp=st.sampled_from([1, 2]),
    dcp=st.sampled_from([1, 2]),
    kv=st.sampled_from(["fp8", "fp8_ds_mla"]),
    tokens=st.sampled_from([2_048, 8_192, 16_384]),
    share=st.floats(0.8, 0.97),
    drafts=st.sampled_from([None, 3]),
    eager=st.booleans(),
    lengths=st.lists(st.integers(1, 1_048_576), min_size=1, max_size=4),
    count=st.integers(1, 2_048),
)
def test_the_short_way_along_lengths_gives_the_budgets_own_blocks(
    gpu, model, tp, dp, dcp, kv, tokens, share, drafts, eager, lengths, count
):
    asked = Deployment(
        model=model, gpu=gpu, tensor_parallel_size=tp, data_parallel_size=dp, enable_expert_parallel=dp > 1, kv_cache_dtype=kv,
        decode_context_parallel_size=dcp, max_model_len=65_536, max_num_seqs=16, max_num_batched_tokens=tokens,
        gpu_memory_utilization=share, speculative_method="mtp" if drafts else None, num_speculative_tokens=drafts,
        enforce_eager=eager,
    )  # fmt: skip
    line = VllmLine(plan(asked))
    for length in lengths:
        made = plan(asked.changed(max_model_len=length, max_num_seqs=count, max_num_batched_tokens=max(tokens, count)))
        if made.resolved.max_num_batched_tokens != tokens or made.resolved.refusals:
            continue
        clear, blocks = line.at(length, count)
        pool = made.kv.low
        if pool.num_blocks is not None:
            assert blocks == pool.num_blocks
        dies = made.verdict.status == "does_not_fit" or made.verdict.stage is not None
        assert (clear and blocks - 1 >= pool.blocks_per_request) == (not dies)


@given(st.integers(1, 5_000), st.integers(0, 4_000), st.integers(1, 20))
def test_the_last_step_is_the_last(high, start, slope):
    def room(n):
        return start - n // slope

    def holds(n):
        return n <= room(n)

    best = max((n for n in range(1, high + 1) if holds(n)), default=None)
    assert last_step(0, high, holds, room) == best


class TestGuide:
    """The guide's four machines."""

    def test_as_claimed_none_of_the_four_works(self):
        assert [row["as_claimed"]["status"] for row in guide_rows()] == ["does_not_fit"] * 4

    def test_weights_that_do_not_load_are_larger_than_the_memory(self):
        by = {row["machine"]: row for row in guide_rows()}
        for machine in ("h100_sxm_x8", "h100_sxm_x4"):
            chip = device("h100_sxm").memory()
            assert int(machine.rsplit("x", 1)[1]) * chip.bytes < PUBLISHED_FP8
            assert by[machine]["as_claimed"]["stage"] == "weights_load"
        assert by["h200_sxm_x8"]["as_claimed"]["stage"] == "startup_kv_too_small"
        assert by["mac_m3_ultra_256_x1"]["as_claimed"]["stage"] == "weights_load"

    def test_each_has_the_claim_our_figure_why_and_what_works(self):
        for row in guide_rows():
            assert row["claimed"]["tok_s_user"]["low"] < row["claimed"]["tok_s_user"]["high"]
            assert row["why"]
            assert row["ours"]["serves"] or row["nearest"], row["machine"]
        ours = {row["machine"]: row["ours"] for row in guide_rows()}
        assert ours["h200_sxm_x8"]["status"] == "fits"
        assert ours["h200_sxm_x8"]["decode_context_parallel_size"] > 1
        assert ours["h100_sxm_x8"]["quantization"] == "w4a16"  # Hopper has no FP4 cores
        assert ours["h100_sxm_x4"]["engine"] == "llama.cpp"

    def test_they_stand_first_on_request(self, capsys):
        main(["size", "--context", "128K", "--concurrency", "2", "--gpu", "h200_sxm", "--guide"])
        text = capsys.readouterr().out
        assert text.startswith("8 x H200")
        assert text.index("The guide: 1M context") < text.index("serve it for sure")


def test_wishes_are_held_against_the_pessimistic_end():
    plain = {row["id"]: row for row in size_rows(Need(131_072, 8, gpus=("h200_sxm",)), limits=False)}["h200_sxm_x8"]
    between = (plain["tok_s_user"]["low"] + plain["tok_s_user"]["mid"]) / 2
    wished = {row["id"]: row for row in size_rows(Need(131_072, 8, between, gpus=("h200_sxm",)), limits=False)}[
        "h200_sxm_x8"
    ]
    assert plain["serves"]
    assert not wished["serves"]
    assert wished["status"] == "fits"
    assert f"{between - wished['tok_s_user']['low']:.3g} short" in wished["misses"][0]
    slow = {row["id"]: row for row in size_rows(Need(131_072, 8, max_ttft=1.0, gpus=("h200_sxm",)), limits=False)}[
        "h200_sxm_x8"
    ]
    assert "over 1" in slow["misses"][0]
    assert (
        main(["size", "--context", "128K", "--concurrency", "8", "--gpu", "h200_sxm", "--min-tok-s-user", "90000"]) == 1
    )


def test_an_unknown_speed_never_meets_a_wish(rows):
    unknown = {row["id"] for row in rows.values() if row["status"] == "fits" and row["tok_s_user"] is None}
    assert unknown
    for row in size_rows(Need(131_072, 8, 0.001), limits=False):
        if row["id"] in unknown:
            assert not row["serves"]
            assert "not known" in row["misses"][0]


def test_hardware_without_a_record_has_no_speed(rows):
    for name in ("a100_80_sxm_x8", "l40s_x8", "h100_sxm_x16"):
        assert rows[name]["tok_s_user"] is None
        assert rows[name]["usd_per_million"] is None


def test_speed_is_of_all_requests_over_replicas():
    for row in size_rows(Need(32_768, 32), limits=False):
        if row["tok_s_user"] is not None and row["engine"] == "vllm" and row["status"] == "fits":
            ratio = row["tok_s_total"]["mid"] / row["tok_s_user"]["mid"]
            assert ratio == pytest.approx(32, rel=0.01), row["id"]


def test_prices_of_ones_own(tmp_path, capsys):
    file = tmp_path / "prices.csv"
    file.write_text("gpu,usd_per_hour,date,source\nh200_sxm,2.5,2026-11,quote\n")
    main(["size", "--context", "32K", "--concurrency", "4", "--gpu", "h200_sxm", "--prices", str(file), "--json"])
    row = next(row for row in json.loads(capsys.readouterr().out)["rows"] if row["id"] == "h200_sxm_x8")
    assert row["usd_per_hour"] == 20.0
    assert row["price"] == {"low": 20.0, "high": 20.0, "date": "2026-11", "source": "quote"}
    assert row["usd_per_million"]["mid"] == pytest.approx(20 / 3600 / row["tok_s_total"]["mid"] * 1e6, rel=0.002)


def test_a_record_with_a_reported_loss_is_the_last_resort():
    """On Blackwell plain FP8 KV is the engine's default; it is taken only where nothing safe serves, and then said."""
    for context, concurrency in ((131_072, 8), (1_048_576, 2), (1_048_576, 8), (524_288, 24), (524_288, 40)):
        for row in size_rows(Need(context, concurrency, gpus=("b200_sxm", "b300_sxm")), limits=False):
            if row["kv_record"] == "fp8_e4m3":
                assert row["quality_rank"] == 2
                assert "reported loss" in row["quality_note"]
                assert row["safe"]["kv_record"] != "fp8_e4m3"


def test_hopper_is_told_which_4_bit_form_to_take(rows):
    assert rows["h100_sxm_x8"]["quantization"] == "w4a16"
    assert "w4afp8 under SGLang" in rows["h100_sxm_x8"]["instead"][0]
    assert rows["b200_sxm_x4"]["quantization"] == "nvfp4"


def test_what_does_not_load_says_by_how_much():
    row = next(
        row for row in size_rows(Need(131_072, 1, gpus=("rtx_pro_6000",), quantization="nvfp4")) if row["gpus"] == 4
    )
    assert row["status"] == "does_not_fit"
    assert "do not load, by" in row["reason"]
    assert row["nearest"]["gpus"] == 8


def test_experts_in_the_hosts_memory_leave_room_on_the_gpu():
    for row in size_rows(Need(16_384, 1, gpus=("rtx_pro_6000", "h100_sxm", "rtx_4090", "rtx_5090")), limits=False):
        if row["use"] == "offload" and row["status"] == "fits":
            made = rebudgeted(row)
            assert row["experts_on_cpu_layers"] > 0
            assert made.host["weights_bytes"] < row["host_ram_gb"] * 10**9


class TestAlternatives:
    """As is, cheaper, roomier."""

    asked = Deployment(
        gpu="h200_sxm", gpus=8, tensor_parallel_size=8, kv_cache_dtype="fp8", max_model_len=131_072, max_num_seqs=8
    )

    def test_three_with_the_price_of_each_step(self):
        own, same, cheaper, roomier = alternatives(self.asked, Need(131_072, 4))
        kinds = ["as_is", "same_machine", "cheaper", "roomier"]
        assert [one["kind"] for one in (own, same, cheaper, roomier)] == kinds
        assert same["row"] is None, "it serves as it is"
        assert own["step"]["usd_per_hour"] == 0
        assert own["row"]["status"] == "fits"
        assert cheaper["row"]["usd_per_hour"] < own["row"]["usd_per_hour"]
        assert cheaper["row"]["serves"]
        assert roomier["row"]["held"]["low"] >= 1.25 * own["row"]["held"]["low"]
        for one in (cheaper, roomier):
            step = one["row"]["usd_per_hour"] - own["row"]["usd_per_hour"]
            assert one["step"]["usd_per_hour"] == pytest.approx(step, abs=0.001)

    def test_what_is_asked_for_beyond_the_pool_does_not_fit_as_it_is(self):
        own, _, _, roomier = alternatives(self.asked, Need(131_072, 8))
        assert own["row"]["status"] == "does_not_fit"
        assert "are needed" in own["row"]["reason"]
        assert roomier["row"]["held"]["low"] >= 10

    def test_without_a_price_there_is_a_reason(self):
        mac = Deployment(engine="llama.cpp", gpu="mac_m3_ultra_512", quantization="UD-Q2_K_XL", ctx_size=32_768)
        own, _, cheaper, _ = alternatives(mac, Need(32_768, 1))
        assert own["row"]["usd_per_hour"] is None
        assert cheaper["row"] is None
        assert "price" in cheaper["reason"]


@pytest.mark.parametrize(
    ("arguments", "field", "said"),
    [
        (["--context", "0", "--concurrency", "1"], "context", "1,048,576"),
        (["--context", "10M", "--concurrency", "1"], "context", "1,048,576"),
        (["--context", "128K", "--concurrency", "0"], "concurrency", "65,536"),
        (["--context", "128K"], "concurrency", "missing"),
        (["--context", "128K", "--concurrency", "1", "--gpu", "h200_sx"], "gpu", "h200_sxm"),
        (["--context", "128K", "--concurrency", "1", "--gpu", "mi300x", "-q", "nvfp4"], "quantization", "take w4a16"),
        (
            ["--context", "128K", "--concurrency", "1", "--gpu", "b200_sxm", "-q", "w4afp8"],
            "quantization",
            "take nvfp4",
        ),
        (["--context", "128K", "--concurrency", "1", "--gpu", "mac_m3_ultra_512", "-q", "fp8"], "quantization", "GGUF"),
        (["--context", "128K", "--concurrency", "1", "-q", "fp9"], "quantization", "fp8"),
        (["--context", "128K", "--concurrency", "1", "--engine", "tgi"], "engine", "sglang"),
        (["--context", "128K", "--concurrency", "1", "--gpu", "a100_80_sxm", "--engine", "vllm"], "engine", "Hopper"),
        (["--context", "128K", "--concurrency", "1", "--min-tok-s-user", "-3"], "min_tok_s_user", "above"),
        (["--context", "128K", "--concurrency", "1", "--max-ttft", "0"], "max_ttft", "above 0"),
        (["--context", "4K", "--concurrency", "1", "--input-length", "8K"], "input_length", "the context"),
        (
            ["--context", "131072", "--concurrency", "8", "--input-length", "130000", "--output-length", "2000"],
            "output_length",
            "at most 1,072",
        ),
        (
            ["--context", "131072", "--concurrency", "8", "--input-length", "131072", "--output-length", "100"],
            "input_length",
            "less than 131,072",
        ),
        (
            ["--context", "128K", "--concurrency", "1", "--model", "zai-org/GLM-5.2", "--gpu", "mac_m3_ultra_512"],
            "quantization",
            "GGUF",
        ),
        (["--context", "128K", "--concurrency", "1", "--csv", "no/such/folder/x.csv"], "csv", "cannot write"),
    ],
)
def test_bad_input_is_named_with_what_is_allowed(arguments, field, said, capsys):
    assert main(["size", *arguments, "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["field"] == field
    assert said in error["message"]


def test_a_price_file_with_a_missing_column(tmp_path, capsys):
    file = tmp_path / "prices.csv"
    file.write_text("gpu,usd_per_hour,date\nh200_sxm,2.5,2026-11\n")
    assert main(["size", "--context", "4K", "--concurrency", "1", "--prices", str(file), "--json"]) == 2
    assert "no column source" in json.loads(capsys.readouterr().out)["error"]["message"]


def test_a_price_file_with_two_prices_of_one_gpu(tmp_path, capsys):
    """Which of them holds today is not ours to say."""
    file = tmp_path / "prices.csv"
    file.write_text(
        "gpu,usd_per_hour,date,source\nh200_sxm,2.5,2026-11,x\nb200_sxm,5,2026-11,x\nh200_sxm,4.5,2026-05,x\n"
    )
    assert main(["size", "--context", "4K", "--concurrency", "1", "--prices", str(file), "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["field"] == "gpu"
    assert "lines 2 and 4" in error["message"]


@pytest.mark.parametrize(("model", "fmt"), [("nvidia/GLM-5.2-NVFP4", "nvfp4"), ("zai-org/GLM-5.2", "bf16")])
def test_a_named_model_means_its_own_weights(model, fmt, capsys):
    arguments = ["size", "--context", "128K", "--concurrency", "1", "--gpu", "h200_sxm", "--json", "--model", model]
    main(arguments)
    data = json.loads(capsys.readouterr().out)
    assert data["need"]["quantization"] == fmt
    assert {(row["model"], row["quantization"]) for row in data["rows"]} == {(model, fmt)}
    assert len(data["warnings"]) == 1
    assert model in data["warnings"][0]
    main([*arguments, "-q", "fp8"])
    data = json.loads(capsys.readouterr().out)
    assert {row["quantization"] for row in data["rows"]} == {"fp8"}
    assert not data["warnings"]


def test_a_named_model_says_so_in_the_text_and_llamacpp_runs_its_files(capsys):
    need = ["size", "--context", "32K", "--concurrency", "1", "--model", "zai-org/GLM-5.2"]
    main([*need, "--gpu", "b300_sxm"])
    assert "Only bf16 weights are looked at" in capsys.readouterr().out
    assert main([*need, "--gpu", "mac_m3_ultra_512", "--engine", "llama.cpp"]) == 0
    assert "the bf16 weights of --model zai-org/GLM-5.2 are not looked at" in capsys.readouterr().out


def test_more_requests_than_an_engine_takes_are_said():
    rows = {row["id"]: row for row in size_rows(Need(64, 5_000), limits=False)}
    assert "4,096 requests" in rows["mac_m3_ultra_512_x1"]["reason"]
    assert rows["mac_m3_ultra_512_x1"]["status"] == "unsupported"
    assert rows["b200_sxm_x8"]["status"] == "fits"


def test_a_need_from_code_is_checked_too():
    for wrong in ({"context": True}, {"context": 1.5}, {"concurrency": "8"}, {"min_tok_s_user": float("nan")}):
        with pytest.raises(InputError):
            Need(**{"context": 4_096, "concurrency": 1, **wrong})


def test_exit_codes(capsys):
    assert main(["size", "--context", "32K", "--concurrency", "1", "--gpu", "h200_sxm"]) == 0
    assert main(["size", "--context", "1M", "--concurrency", "64", "--gpu", "rtx_4090"]) == 1
    capsys.readouterr()


def test_text_fits_a_terminal(capsys):
    main(["size", "--context", "1M", "--concurrency", "16"])
    lines = capsys.readouterr().out.splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith("machine"))
    end = lines.index("", start)
    assert end - start > 24
    assert max(len(line) for line in lines[start:end]) <= WIDTH == 120


def test_components_as_csv(capsys, rows):
    main(["size", "--context", "128K", "--concurrency", "8", "--csv", "-"])
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {line["id"] for line in lines} == {name for name, row in rows.items() if row["per_gpu"]}
    for name in ("h200_sxm_x8", "b200_sxm_x4"):
        parts = {part["name"]: part["bytes"] for part in rows[name]["per_gpu"]["components"]}
        assert {line["component"]: int(line["bytes"]) for line in lines if line["id"] == name} == parts
        inside = sum(
            int(line["bytes"]) for line in lines if line["id"] == name and line["inside_utilization"] == "True"
        )
        share = rows[name]["gpu_memory_utilization"] * rows[name]["per_gpu"]["memory_bytes"]
        assert inside == pytest.approx(share, abs=1)


def test_the_keys_that_stay(capsys):
    assert main(["size", "--context", "131072", "--concurrency", "8", "--gpu", "h200_sxm", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert serves(data["rows"]) == data["serves"] is True
    for row in data["rows"]:
        assert {"gpu", "gpus", "quantization", "parallelism", "status", "max_context", "max_concurrency", "tok_s_user", "usd_per_hour",
                "quality_note", "reason"} <= set(row)  # fmt: skip
        assert row["tok_s_user"] is None or set(row["tok_s_user"]) == {"low", "mid", "high"}


def test_the_answer_loads_nothing_heavy():
    code = (
        "import sys; from glmcalc.present.cli import main; main(sys.argv[1:]); "
        "print(*sorted(sys.modules), file=sys.stderr)"
    )
    arguments = ["size", "--context", "131072", "--concurrency", "8"]
    for more in ([], ["--json"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments, *more], cwd=ROOT, capture_output=True, text=True, check=True
        )
        loaded = {module.split(".")[0] for module in done.stderr.split()}
        assert loaded.isdisjoint({"pandas", "numpy", "yaml", "tabulate", "dataclasses", "difflib", "csv"})


def test_a_calibration_is_used_where_it_was_measured():
    """8 x H200, FP8, TP 8: the measured pool in the row's budget; another machine's row stays as it was."""
    from glmcalc.advise.measure import measure

    need = {"context": 32_000, "concurrency": 4, "quantization": "fp8"}
    asked = Deployment(
        gpu="h200_sxm", tensor_parallel_size=8, kv_cache_dtype="fp8", max_model_len=131000, max_num_seqs=64
    )
    heavy = measure(asked, {"available_kv_bytes": 20 << 30, "weights_bytes": 91 << 30}).calibration
    plain = {row["gpu"]: row for row in size_rows(Need(**need, gpus=("h200_sxm", "b200_sxm"))) if row["gpus"] == 8}
    held = {
        row["gpu"]: row
        for row in size_rows(Need(**need, gpus=("h200_sxm", "b200_sxm"), calibration=heavy))
        if row["gpus"] == 8
    }
    assert held["h200_sxm"]["max_context"] < plain["h200_sxm"]["max_context"]
    assert held["b200_sxm"] == plain["b200_sxm"]
