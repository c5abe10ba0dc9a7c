"""A fact without source, date and kind cannot be loaded; every loaded one has them, and the files keep their schema."""

import json
from pathlib import Path

import jsonschema
import pytest

from glmcalc.facts import evidence
from glmcalc.facts.errors import InputError
from glmcalc.facts.hardware import device, devices, read_device
from glmcalc.facts.models import find_model, load_config, model_entries
from glmcalc.facts.store import load_csv, load_json, load_jsonl, read_text

DATA = Path(__file__).resolve().parents[2] / "data"
DEVICES = [
    "a100_40_sxm",
    "a100_80_sxm",
    "a100_80_pcie",
    "h100_sxm",
    "h100_pcie",
    "h100_nvl",
    "h20_96",
    "h20_141",
    "h200_sxm",
    "h200_nvl",
    "gh200_96",
    "gh200_141",
    "b200_sxm",
    "b300_sxm",
    "gb200_nvl72",
    "gb300_nvl72",
    "rtx_pro_6000",
    "rtx_5090",
    "rtx_4090",
    "rtx_3090",
    "l40s",
    "l4",
    "rtx_a6000",
    "rtx_6000_ada",
    "mi300x",
    "mi325x",
    "mi355x",
    "gaudi3",
    "tpu_v6e",
    "tpu_v7x",
    "ascend_910b",
    "ascend_910c",
    "mac_m3_ultra_512",
    "mac_m3_ultra_256",
    "mac_m4_max_128",
    "dgx_spark_gb10",
    "strix_halo_128",
]
SOURCE = {"type": "string", "pattern": r"^(https?://|derived: |public GitHub file, index id \d+)"}
PROVENANCE = {
    "source": SOURCE,
    "date": {"type": "string", "pattern": r"^20\d\d-\d\d(-\d\d)?$"},
    "kind": {"enum": ["spec", "config", "measured", "estimated"]},
}
number = {"type": ["number", "null"]}
whole = {"type": ["integer", "null"]}
text = {"type": ["string", "null"]}


def schema(required: dict, optional: dict | None = None) -> dict:
    properties = {**PROVENANCE, **required, **(optional or {})}
    return {
        "type": "object",
        "properties": properties,
        "required": [*PROVENANCE, *required],
        "additionalProperties": False,
    }


ROWS = {
    "observations.jsonl": (
        lambda: load_jsonl("observations.jsonl"),
        schema(
            {name: text for name in ("id", "family", "model", "checkpoint", "quantization", "engine", "engine_version", "gpu", "recipe", "known_odd")}
            | {name: whole for name in ("n_gpus", "tp", "dp", "ep", "pp", "dcp", "max_num_seqs", "max_num_batched_tokens")}
            | {"max_model_len": {"type": ["integer", "string", "null"]}, "kv_cache_dtype": text, "mtp": {"type": ["boolean", "null"]}}
            | {"gpu_memory_utilization": number, "is_fork": {"type": "boolean"}, "total_gib_printed": number}
            | {"observed": {"type": "object", "minProperties": 1}},
            {"estimate_cudagraphs": {"type": "boolean"}},
        ),
    ),
    "checkpoints.jsonl": (
        lambda: load_jsonl("checkpoints.jsonl"),
        schema(
            {"id": {"type": "string"}, "repo": {"type": "string"}, "model": {"type": "string"}, "format": {"type": "string"}}
            | {"total_bytes": {"type": "integer", "minimum": 1}, "n_shards": whole, "includes_mtp": {"type": ["boolean", "null"]}}
        ),
    ),
    "deployments_known.jsonl": (
        lambda: load_jsonl("deployments_known.jsonl"),
        schema(
            {"id": {"type": "string"}, "outcome": {"enum": ["runs", "fails"]}, "stage": text, "note": {"type": "string"}}
            | {"deployment": {"type": "object"}, "is_fork": {"type": "boolean"}}
        ),
    ),
    "models.json": (
        lambda: load_json("models.json")["models"],
        schema(
            {name: {"type": "string"} for name in ("id", "config", "format", "license")},
            {"quantization_config_of": {"type": "string"}, "note": {"type": "string"}, "quantized_mtp": {"type": "boolean"}},
        ),
    ),
    "engine_versions.json": (
        lambda: load_json("engine_versions.json")["rules"],
        schema({"id": {"type": "string"}, "old": {}, "new": {}, "until": {"type": "string"}, "since": {"type": "string"}, "meaning": {"type": "string"}}),
    ),
    "memory_terms.json": (
        lambda: load_json("memory_terms.json")["terms"],
        schema(
            {"id": {"type": "string"}, "unit": {"enum": ["GiB", "MiB", "KiB", "copies", "times"]}, "meaning": {"type": "string"}}
            | {end: {"type": "number", "minimum": 0} for end in ("low", "likely", "high")}
            | {"records": {"type": "integer", "minimum": 0}}
        ),
    ),
    "guide_claims.csv": (
        lambda: load_csv("guide_claims.csv"),
        schema({name: {"type": "string"} for name in ("id", "topic", "claim", "value", "unit", "condition")}),
    ),
    "glossary.csv": (lambda: load_csv("glossary.csv"), schema({name: {"type": "string", "minLength": 1} for name in ("term", "unit", "meaning")})),
    "hardware.csv": (
        lambda: load_csv("hardware.csv"),
        schema({name: {"type": "string"} for name in load_csv("hardware.csv")[0] if name not in PROVENANCE}),
    ),
    "vllm_flags.json": (
        lambda: [load_json("vllm_flags.json")],
        schema({"note": {"type": "string"}, "flags": {"type": "array", "minItems": 317}}),
    ),
}  # fmt: skip


@pytest.mark.parametrize("file", ROWS)
def test_schema(file):
    load, rule = ROWS[file]
    rows = load()
    assert rows
    for row in rows:
        jsonschema.validate(row, rule)


def test_every_file_of_data_is_held_to_a_schema():
    """A new file in data/ must be added above; config.json files are their publishers' own."""
    assert {path.name for path in DATA.iterdir() if path.is_file()} == set(ROWS)


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


def test_sources_count_every_row():
    rows = evidence.sources()
    assert sum(row["rows"] for row in rows if row["file"] == "hardware.csv") == 37
    assert {row["file"] for row in rows} == set(ROWS)


def test_devices():
    assert [chip.id for chip in devices()] == DEVICES


@pytest.mark.parametrize(
    ("gpu", "gib", "basis"),
    [
        ("h100_sxm", 79.18, "measured"),
        ("h200_sxm", 139.80, "measured"),
        ("rtx_pro_6000", 95.01, "measured"),
        ("b200_sxm", 178.35, "measured"),
    ],
)
def test_memory_as_the_engine_saw_it(gpu, gib, basis):
    memory = device(gpu).memory()
    assert memory.bytes / 2**30 == pytest.approx(gib, abs=1e-6)
    assert memory.basis == basis
    assert memory.low_bytes == memory.bytes == memory.high_bytes


def test_memory_without_a_report_is_a_band():
    """From GB x 10^9 to GB x 2^30 bytes, and none at all where no size is known."""
    memory = device("mi300x").memory()
    assert (memory.low_bytes, memory.high_bytes) == (192 * 10**9, 192 * 2**30)
    assert memory.basis == "estimated"
    assert device("tpu_v7x").memory() is None


def test_nvidia_smi_is_above_the_engine():
    """0.4 to 0.7 GiB: 95.59 shown and 95.01 seen on an RTX PRO 6000."""
    memory = device("rtx_5090").memory()
    assert pytest.approx(memory.low_bytes / 2**30, abs=1e-6) == 31.84 - 0.7
    assert memory.low_bytes < memory.bytes < memory.high_bytes


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
