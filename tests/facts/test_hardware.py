"""The 37 devices: their ids, and the memory that the engine and nvidia-smi show of each."""

import pytest

from glmcalc.facts.hardware import device, devices

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
    assert memory.basis == "estimated"  # from a measured figure, which it names
    assert "nvidia-smi" in memory.source
    assert memory.source.startswith("https://")
    assert "31.84" in memory.note
    assert pytest.approx(memory.low_bytes / 2**30, abs=1e-6) == 31.84 - 0.7
    assert memory.low_bytes < memory.bytes < memory.high_bytes
