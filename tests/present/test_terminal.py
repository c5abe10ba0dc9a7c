"""What the terminal says agrees with itself: the table with the page's, the advice with the mend, the change with its GPUs."""

import json
import re

import pytest

from glmcalc import Deployment, plan
from glmcalc.facts.quantity import GIB
from glmcalc.facts.store import read_text
from glmcalc.present.cli import main
from glmcalc.present.ledger import ledger, printed_gib
from glmcalc.present.table_html import component_table
from glmcalc.present.terminal import budget_text
from glmcalc.solve.answer import answer
from glmcalc.solve.presets import tier_rows

CASES = [
    {
        "gpu": "h200_sxm",
        "tensor_parallel_size": 8,
        "kv_cache_dtype": "fp8",
        "max_model_len": 131_072,
        "max_num_seqs": seqs,
    }
    for seqs in (16, 64, 256, 1024)
] + [
    {"gpu": "b200_sxm", "tensor_parallel_size": 8, "max_model_len": 200_000},
    {"gpu": "rtx_5090", "tensor_parallel_size": 8},
]


def table_rows(text):
    """Label to GiB of the table in a terminal's answer."""
    return {found[1].strip(): found[2] for found in re.finditer(r"(?m)^(\S.*?) {2,}(−?[\d,]+\.\d\d)(?: |$)", text)}


@pytest.mark.parametrize("settings", CASES, ids=lambda case: f"{case['gpu']}-{case.get('max_num_seqs')}")
def test_one_figure_for_each_component(settings):
    """Terminal, page and everything that takes ``printed_gib`` print the same two places, and the rows add up to the line."""
    data = answer(Deployment(**settings))
    shown = table_rows(budget_text(data))
    page = component_table(data)
    book, figures = ledger(data), printed_gib(data)
    for row in (*book.inside, *book.outside):
        if not (row.cents or row.high):
            continue
        assert float(shown[row.label].replace(",", "")) == figures[row.name]
        assert f'data-row="{row.name}"' in page
        assert f">{shown[row.label]}<" in page
        size = next(part["bytes"] for part in data["per_gpu"]["components"] if part["name"] == row.name)
        assert figures[row.name] == pytest.approx(size / GIB, abs=0.04)
    assert sum(row.cents for row in book.inside) == round(100 * sum(figures[row.name] for row in book.inside))


def test_the_mend_is_the_first_advice(capsys):
    """1M on eight H200: the command that keeps the length comes before the length that gives it up."""
    assert main(["budget", "--gpu", "h200_sxm", "--gpus", "8", "--max-model-len", "1M", "--max-num-seqs", "1"]) == 1
    lines = capsys.readouterr().out.splitlines()
    (do,) = [number for number, line in enumerate(lines) if line.startswith("Do: ")]
    (otherwise,) = [number for number, line in enumerate(lines) if line.startswith("Or: ")]
    assert "--decode-context-parallel-size 1 -> 2" in lines[do]
    assert "--max-model-len 1048576" in lines[do + 3]
    assert re.match(r"Or: Set --max-model-len \d+: the pool holds", lines[otherwise])
    assert do < otherwise


def test_without_a_mend_the_advice_stands_alone(capsys):
    main(
        [
            "budget",
            "--gpu",
            "h200_sxm",
            "-tp",
            "8",
            "--kv-cache-dtype",
            "fp8",
            "--max-model-len",
            "131000",
            "--max-num-seqs",
            "16",
        ]
    )
    out = capsys.readouterr().out
    assert "Do: Run the command" in out
    assert "Or: " not in out


@pytest.mark.parametrize(("gpu", "gpus"), [("h100_sxm", 4), ("h200_sxm", 2), ("rtx_pro_6000", 4)])
def test_a_change_of_parallel_sizes_says_how_many_gpus(gpu, gpus):
    data = answer(Deployment(gpu=gpu, gpus=gpus, max_model_len=131_072))
    mend = data["verdict"]["mend"]
    assert any(row["name"].endswith("parallel_size") and "context" not in row["name"] for row in mend["change"])
    taken = plan(Deployment.from_command(mend["command"], gpu=gpu)).resolved.gpus
    assert f"({taken} GPUs in place of {gpus})" in budget_text(data)


def test_the_tiers_name_command_and_gpus():
    rows = [row for row in tier_rows(4) if row["gpu"] in ("h100_sxm", "h200_sxm")]
    mended = [row for row in rows if row["nearest"]]
    assert mended
    for row in mended:
        again = plan(Deployment.from_command(row["nearest_command"], gpu=row["gpu"]))
        assert again.verdict.status == "fits"
        assert again.resolved.gpus == row["nearest_gpus"]
        assert (f"({row['nearest_gpus']} GPUs in place of 4)" in row["nearest"]) == (row["nearest_gpus"] != 4)


@pytest.mark.parametrize("layers", [0, 1])
def test_an_mtp_layer_that_is_not_there_is_not_stored(capsys, tmp_path, layers):
    path = tmp_path / "config.json"
    config = {**json.loads(read_text("models/GLM-5.2.json")), "num_nextn_predict_layers": layers}
    path.write_text(json.dumps(config), encoding="utf-8")
    assert main(["weights", "--model", str(path)]) == 0
    out = capsys.readouterr().out
    assert ("The MTP layer is stored" in out) == bool(layers)
    assert ("has no MTP layer" in out) != bool(layers)


@pytest.mark.parametrize(("gpu", "shown"), [("b300_sxm", "268.59"), ("h20_141", "140.40"), ("rtx_5090", "31.84")])
def test_memory_by_nvidia_smi_is_an_estimate_and_says_so(capsys, gpu, shown):
    main(["budget", "--gpu", gpu, "--gpus", "8"])
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("= driver's total")]
    assert "estimated" in row
    assert f"nvidia-smi's {shown} GiB less" in row


@pytest.mark.parametrize("command", ["", " ", "\n"])
def test_an_empty_command_is_no_default(capsys, command):
    assert main(["budget", command, "--gpu", "h200_sxm", "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["field"] == "command"
    assert "empty" in error["message"]


@pytest.mark.parametrize("name", ["weights-gib", "gpu-memory-gib"])
@pytest.mark.parametrize("value", ["0", "1e-12"])
def test_a_size_of_nothing_is_named_as_it_was_typed(capsys, name, value):
    assert main(["budget", "--gpu", "h200_sxm", f"--{name}", value, "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["field"] == name.replace("-", "_")
    assert name.replace("-", "_") in error["message"]
