"""A fact without source, date and kind cannot be loaded; every loaded one has them, and the files keep their schema."""

import json
import re
from pathlib import Path

import jsonschema
import pytest

from glmcalc.facts import evidence
from glmcalc.facts.errors import InputError
from glmcalc.facts.hardware import device, devices, read_device
from glmcalc.facts.models import find_model, load_config, model_entries
from glmcalc.facts.store import load_csv, load_json, load_jsonl, read_text

DATA = Path(__file__).resolve().parents[2] / "data"
ROWS = {
    "observations.jsonl": lambda: load_jsonl("observations.jsonl"),
    "checkpoints.jsonl": lambda: load_jsonl("checkpoints.jsonl"),
    "configurations.jsonl": lambda: load_jsonl("configurations.jsonl"),
    "quality_notes.jsonl": lambda: load_jsonl("quality_notes.jsonl"),
    "deployments_known.jsonl": lambda: load_jsonl("deployments_known.jsonl"),
    "models.json": lambda: load_json("models.json")["models"],
    "engine_versions.json": lambda: load_json("engine_versions.json")["rules"],
    "engine_rules_llamacpp.json": lambda: load_json("engine_rules_llamacpp.json")["rules"],
    "engine_rules_sglang.json": lambda: load_json("engine_rules_sglang.json")["rules"],
    "other_engine_terms.json": lambda: load_json("other_engine_terms.json")["terms"],
    "memory_terms.json": lambda: load_json("memory_terms.json")["terms"],
    "gguf_files.jsonl": lambda: load_jsonl("gguf_files.jsonl"),
    "gguf_types.json": lambda: load_json("gguf_types.json")["types"],
    "guide_claims.csv": lambda: load_csv("guide_claims.csv"),
    "glossary.csv": lambda: load_csv("glossary.csv"),
    "hardware.csv": lambda: load_csv("hardware.csv"),
    "death_classes.jsonl": lambda: load_jsonl("death_classes.jsonl"),
    "downgrade_steps.jsonl": lambda: load_jsonl("downgrade_steps.jsonl"),
    "log_lines.jsonl": lambda: load_jsonl("log_lines.jsonl"),
    "peers.jsonl": lambda: load_jsonl("peers.jsonl"),
    "oom_signatures.jsonl": lambda: load_jsonl("oom_signatures.jsonl"),
    "tuning_gates.jsonl": lambda: load_jsonl("tuning_gates.jsonl"),
    "residual_reasons.jsonl": lambda: load_jsonl("residual_reasons.jsonl"),
    "incidents.jsonl": lambda: load_jsonl("incidents.jsonl"),
    "indexshare.jsonl": lambda: load_jsonl("indexshare.jsonl"),
    "kernel_times.jsonl": lambda: load_jsonl("kernel_times.jsonl"),
    "throughput.jsonl": lambda: load_jsonl("throughput.jsonl"),
    "speed_presets.json": lambda: load_json("speed_presets.json")["rows"],
    "weight_formats.json": lambda: load_json("weight_formats.json")["formats"],
    "weight_recipes.jsonl": lambda: load_jsonl("weight_recipes.jsonl"),
    "vllm_flags.json": lambda: [load_json("vllm_flags.json")],
}


def schema_of(file):
    return json.loads((DATA / "schema" / f"{Path(file).stem}.json").read_text("utf-8"))


@pytest.mark.parametrize("file", ROWS)
def test_schema(file):
    check = jsonschema.Draft202012Validator(schema_of(file))
    rows = ROWS[file]()
    assert rows
    wrong = [(row.get("id") or row.get("term"), error.message) for row in rows for error in check.iter_errors(row)]
    assert not wrong


def test_every_file_of_data_is_held_to_a_schema():
    """A new file in data/ must be added above; config.json files are their publishers' own."""
    assert {path.name for path in DATA.iterdir() if path.is_file()} == set(ROWS)
    assert {path.stem for path in (DATA / "schema").iterdir()} == {Path(name).stem for name in ROWS}


@pytest.mark.parametrize("file", ROWS)
def test_a_schema_refuses_what_it_should(file):
    """A row without provenance, with a kind of its own, with a word for a source, or with a column nobody knows."""
    check = jsonschema.Draft202012Validator(schema_of(file))
    check.check_schema(check.schema)
    good = dict(ROWS[file]()[0])
    assert check.is_valid(good)
    for field in evidence.PROVENANCE:
        assert not check.is_valid({name: value for name, value in good.items() if name != field})
        assert not check.is_valid(good | {field: ""})
    assert not check.is_valid(good | {"kind": "rumour"})
    assert not check.is_valid(good | {"source": "someone said"})
    assert not check.is_valid(good | {"colour": "green"})


@pytest.mark.parametrize(
    ("figure", "source"),
    [
        ("memory_gib_engine", "memory_gib_engine_source"),
        ("memory_gib_nvidia_smi", "memory_gib_nvidia_smi_source"),
        ("price_low_usd_hr", "price_source"),
        ("price_high_usd_hr", "price_date"),
    ],
)
def test_a_reading_or_a_price_names_its_own_source(figure, source):
    check = jsonschema.Draft202012Validator(schema_of("hardware.csv"))
    row = next(row for row in load_csv("hardware.csv") if row[figure])
    assert check.is_valid(row)
    assert not check.is_valid(row | {source: ""})


@pytest.mark.parametrize("file", [name for name in ROWS if name != "vllm_flags.json"])
def test_rows_are_told_apart(file):
    names = [row.get("id") or row["term"] for row in ROWS[file]()]
    assert len(names) == len(set(names))


def test_claims_cite_the_page_they_stand_on():
    assert {row["source"] for row in evidence.claims()} == {"https://glm52-guide.pages.dev/1m-context/"}


@pytest.mark.parametrize("field", ["source", "date", "kind"])
def test_a_fact_without_provenance_cannot_be_loaded(field):
    row = {"id": "x", "source": "https://example.org/", "date": "2026-11-23", "kind": "spec"}
    with pytest.raises(InputError) as caught:
        evidence.with_provenance([row | {field: ""}], "some.jsonl")
    assert caught.value.field == field
    assert "x" in caught.value.message
    with pytest.raises(InputError):
        read_device(load_csv("hardware.csv")[0] | {field: ""})


def test_provenance_survives_loading():
    for row in (*devices(), *model_entries()):
        assert row.source.startswith(("https://", "derived: "))
        assert row.date
        assert row.kind
    loaded = (
        evidence.observations(),
        evidence.checkpoints(),
        evidence.known_deployments(),
        evidence.claims(),
        evidence.glossary(),
    )
    for rows in loaded:
        assert all(row["source"] and row["date"] and row["kind"] for row in rows)


def test_known_deployments_say_what_was_said():
    """A setting that its source does not state is named as inferred; arithmetic is not called a measurement."""
    for row in evidence.known_deployments():
        settings = row["deployment"]
        assert set(row["inferred"]) <= set(settings), row["id"]
        assert (row["kind"] == "estimated") == row["source"].startswith("derived: "), row["id"]
        assert not row["source"].startswith("unlocated"), row["id"]
        assert device(settings["gpu"])
        assert find_model(settings["model"])
        if not row["is_fork"] and row["kind"] == "measured":
            assert not {"gpu", "gpus", "gpu_memory_utilization", "kv_cache_dtype"} & set(row["inferred"]), row["id"]


def test_terms_of_the_engine_and_the_model_cite_them():
    """A flag cites the engine's own source at one release, a field of config.json its publisher; the rest says why."""
    cited = {row["term"]: (row["used_by"], row["source"]) for row in evidence.glossary()}
    for term, (used_by, source) in cited.items():
        if used_by == "vLLM flag":
            assert source.startswith("https://github.com/vllm-project/vllm/blob/v0.33.0/vllm/config/"), term
        if used_by == "config.json":
            assert source == "https://huggingface.co/zai-org/GLM-5.2-FP8", term
    assert len({source for _, source in cited.values()}) > 10


def test_observations_name_what_is_inferred():
    """A field that is inferred is filled, what is unknown is null, and each row says in a note what it is worth."""
    rows = evidence.observations()
    for row in rows:
        assert all(row[field] is not None for field in row["inferred"]), row["id"]
        assert row["note"], row["id"]
        assert row["gpu"] is None or device(row["gpu"]), row["id"]
    assert {row["id"] for row in rows if "gpu_memory_utilization" in row["inferred"]} == {
        "malaiwah-current210-unset-mtp3-v1"
    }


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("jupiter-gh200-baseline", "available_kv_gib", 28.85),
        ("rtx6kpro-glm51-nvfp4-dcp1-mtp0", "kv_tokens", 341_504),
        ("gb300x2-spec-360k-refused", "kv_needed_gib", 16.23),
        ("llmd-h100-qwen3-32b-tp2", "available_kv_gib", 34.49),
        ("gh200x2-glm52-awq", "available_kv_gib", 32.42),
        ("gb200x4-nvfp4-819k", "kv_tokens", 1_139_456),
    ],
)
def test_spot_values_of_observations(name, field, value):
    (row,) = [row for row in evidence.observations() if row["id"] == name]
    assert row["observed"][field] == value


@pytest.mark.parametrize(
    ("repo", "size"),
    [
        ("zai-org/GLM-5.2-FP8", 755_617_140_416),
        ("zai-org/GLM-5.2", 1_506_659_919_872),
        ("nvidia/GLM-5.2-NVFP4", 464_795_267_072),
        ("deepseek-ai/DeepSeek-V3.2", 689_471_107_200),
    ],
)
def test_spot_values_of_checkpoints(repo, size):
    assert size in [row["total_bytes"] for row in evidence.checkpoints() if row["repo"] == repo]


def test_only_the_graph_estimates_known_to_be_off_are_off():
    off = {row["family"] for row in evidence.observations() if row.get("estimate_cudagraphs") is False}
    assert off == {"rtx6kpro-glm51-nvfp4"}


def test_sources_count_every_row():
    rows = evidence.sources()
    assert sum(row["rows"] for row in rows if (row["file"], row["of"]) == ("hardware.csv", "row")) == 37
    prices = sum(row["rows"] for row in rows if (row["file"], row["of"]) == ("hardware.csv", "price"))
    assert prices >= sum(bool(row["price_source"]) for row in load_csv("hardware.csv"))
    assert {row["file"] for row in rows} == set(ROWS)


@pytest.mark.parametrize("path", sorted(path.name for path in DATA.glob("*.*")))
def test_every_address_in_the_data_is_listed_as_a_source(path):
    # Fields that are addresses and nothing else; those inside a sentence or a pattern are told there.
    text = (DATA / path).read_text(encoding="utf-8")
    listed = {row["source"] for row in evidence.sources()}
    fields = re.findall(r'(?:^|[",])((?:https?://[^\s",]+ ?)+)(?=[",]|$)', text, re.M)
    assert {url for field in fields for url in field.split()} - listed == set()


def test_glm53_is_glm52_key_for_key():
    assert load_json("models/GLM-5.3.json") == load_json("models/GLM-5.2.json")
    fp8 = load_config(find_model("zai-org/GLM-5.3-FP8"))
    assert fp8["quantization_config"] == load_json("models/GLM-5.2-FP8.json")["quantization_config"]
    assert find_model("GLM-5.3-FP8").note


@pytest.mark.parametrize("name", ["zai-org/GLM-5.2-FP8", "GLM-5.2-FP8", "ZAI-ORG/glm-5.2-fp8", "zai-org/GLM-5.2-FP8/"])
def test_a_model_by_its_names(name):
    assert find_model(name).id == "zai-org/GLM-5.2-FP8"


@pytest.mark.parametrize(("wrong", "meant"), [("zai-org/GLM-5.2-FP9", "GLM-5.2-FP8"), ("h200_sx", None)])
def test_the_nearest_name_is_offered(wrong, meant):
    with pytest.raises(InputError, match=meant or "h200_sxm"):
        (find_model if meant else device)(wrong)


def test_configs_are_whole():
    for entry in model_entries():
        assert load_config(entry)["model_type"]
        json.loads(read_text(f"models/{entry.config}"))


def test_our_rows_beside_the_peers_are_of_this_package():
    from glmcalc import __version__

    assert {row["version"] for row in load_jsonl("peers.jsonl") if row["tool"] == "glmcalc"} == {__version__}
