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
ROWS = {
    "observations.jsonl": lambda: load_jsonl("observations.jsonl"),
    "checkpoints.jsonl": lambda: load_jsonl("checkpoints.jsonl"),
    "deployments_known.jsonl": lambda: load_jsonl("deployments_known.jsonl"),
    "models.json": lambda: load_json("models.json")["models"],
    "engine_versions.json": lambda: load_json("engine_versions.json")["rules"],
    "memory_terms.json": lambda: load_json("memory_terms.json")["terms"],
    "guide_claims.csv": lambda: load_csv("guide_claims.csv"),
    "glossary.csv": lambda: load_csv("glossary.csv"),
    "hardware.csv": lambda: load_csv("hardware.csv"),
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
        ("dgx_spark_gb10", 121.63, "measured"),
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


@pytest.mark.parametrize(
    ("gpu", "engine", "shown"),
    [
        ("gb200_nvl72", 184.31, 189471 / 1024),
        ("gb300_nvl72", 276.50, 284208 / 1024),
        ("h100_sxm", 79.18, 81559 / 1024),
        ("h200_sxm", 139.80, 143771 / 1024),
        ("rtx_4090", 23.64, 24564 / 1024),
    ],
)
def test_both_readings_of_a_device(gpu, engine, shown):
    """What CUDA gives as the total beside the MiB of nvidia-smi, from reports of either; the engine sees the former."""
    chip = device(gpu)
    assert chip.memory_gib_engine == engine
    assert chip.memory_gib_nvidia_smi == pytest.approx(shown, abs=0.005)
    assert chip.memory().bytes == round(engine * 2**30)


def test_the_gap_of_large_devices_is_larger():
    """B300 shows 275,040 MiB; three reports of its CUDA total say 267.69 GiB, none with a page to cite."""
    memory = device("b300_sxm").memory()
    assert memory.low_bytes < 267.69 * 2**30 < memory.high_bytes
    assert memory.high_bytes < 275040 * 2**20


def test_no_reading_lies_above_what_nvidia_smi_shows():
    for chip in devices():
        if chip.memory_gib_engine and chip.memory_gib_nvidia_smi:
            assert 0.3 < chip.memory_gib_nvidia_smi - chip.memory_gib_engine < 1.1, chip.id


def test_nvidia_smi_is_above_the_engine():
    """0.4 to 0.7 GiB: 95.59 shown and 95.01 seen on an RTX PRO 6000."""
    memory = device("rtx_5090").memory()
    assert pytest.approx(memory.low_bytes / 2**30, abs=1e-6) == 31.84 - 0.7
    assert memory.low_bytes < memory.bytes < memory.high_bytes


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
