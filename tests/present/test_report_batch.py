"""Many reports from a file: the forms it may have, what is refused, names of files, one that fails, and nothing else written."""

from __future__ import annotations

import csv
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmcalc.present.batch import file_names, read_customers, report_of
from glmcalc.present.cli import main
from glmcalc.present.report import PARTS, Report, report_from

CSV = """customer,gpu,gpus,kv_cache_dtype,max_model_len,concurrency,input_length,enforce_eager
Example A,h200_sxm,8,fp8,64K,4,20000,
Example B,b200_sxm,8,,131000,,,true
"""
TOML = """[[customers]]
customer = "Example A"
gpu = "h200_sxm"
gpus = 8
kv_cache_dtype = "fp8"
max_model_len = "64K"
concurrency = 4
input_length = 20000

[[customers]]
customer = "Example B"
gpu = "b200_sxm"
gpus = 8
max_model_len = 131000
enforce_eager = true
"""
YAML = """- {customer: Example A, gpu: h200_sxm, gpus: 8, kv_cache_dtype: fp8, max_model_len: 64K, concurrency: 4, input_length: 20000}
- {customer: Example B, gpu: b200_sxm, gpus: 8, max_model_len: 131000, enforce_eager: true}
"""


def run(capsys, *words):
    code = main(["report", *words])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize(("name", "text"), [("c.csv", CSV), ("c.toml", TOML), ("c.yaml", YAML), ("c.yml", YAML)])
def test_all_forms_say_the_same(tmp_path, name, text):
    file = tmp_path / name
    file.write_text(text, encoding="utf-8-sig" if name == "c.csv" else "utf-8")
    deployments = [report_of(row).case.deployment for row in read_customers(str(file))]
    first, second = deployments
    assert (first.gpu, first.gpus, first.kv_cache_dtype, first.max_model_len) == ("h200_sxm", 8, "fp8", 65_536)
    assert (second.gpu, second.max_model_len, second.enforce_eager) == ("b200_sxm", 131_000, True)


def test_one_customer_may_stand_alone(tmp_path):
    file = tmp_path / "c.toml"
    file.write_text('customer = "Example A"\ngpu = "h200_sxm"\ngpus = 8\n', encoding="utf-8")
    assert [row["customer"] for row in read_customers(str(file))] == ["Example A"]


@pytest.mark.parametrize(
    ("name", "text", "field"),
    [
        ("c.csv", "customer,gpuu\nA,h200_sxm\n", "gpuu"),
        ("c.csv", "gpu\nh200_sxm\n", "customer"),
        ("c.csv", "customer,gpu\nA,h200_sxm,8\n", "file"),
        ("c.csv", "customer,gpu\nA\n", "file"),
        ("c.csv", "customer,customer\nA,B\n", "file"),
        ("c.csv", "customer,gpu\n", "file"),
        ("c.csv", "", "file"),
        ("c.toml", "customer = ", "file"),
        ("c.toml", "", "file"),
        ("c.yaml", "a: [", "file"),
        ("c.yaml", "just words", "file"),
        ("c.yaml", "- 1\n- 2\n", "file"),
        ("c.txt", "customer\nA\n", "file"),
        ("c.csv", None, "file"),
    ],
)
def test_a_bad_file_is_refused_and_nothing_is_written(capsys, tmp_path, name, text, field):
    if text is not None:
        (tmp_path / name).write_text(text, encoding="utf-8")
    code, out, err = run(capsys, str(tmp_path / name), "--out", str(tmp_path / "out"), "--json")
    assert code == 2
    assert json.loads(out)["error"]["field"] == field
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()


def test_one_that_fails_does_not_stop_the_others(capsys, tmp_path):
    file = tmp_path / "c.csv"
    file.write_text(
        "customer,gpu,gpus,max_model_len\nExample A,h200_sxm,8,131000\nB,h2000_sxm,8,\n<b>C</b>,h200_sxm,8,\nExample D,b200_sxm,8,131000\n"
    )
    before = {path.name for path in tmp_path.iterdir()}
    code, out, err = run(capsys, str(file), "--out", str(tmp_path / "out"), "--json")
    assert code == 1
    reports = json.loads(out)["reports"]
    assert [row["status"] for row in reports] == ["made", "failed", "failed", "made"]
    assert [row["customer"] for row in reports] == ["Example A", "B", "<b>C</b>", "Example D"]
    assert "h200_sxm" in reports[1]["reason"]
    assert reports[1]["path"] is None
    assert all(row["seconds"] >= 0 for row in reports)
    assert len(err.splitlines()) == 4, "a line of progress each"
    assert {path.name for path in tmp_path.iterdir()} == before | {"out"}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["Example-A.html", "Example-D.html"]


def test_a_deployment_by_options(capsys, tmp_path):
    words = [
        "--gpu",
        "h200_sxm",
        "-tp",
        "8",
        "--kv-cache-dtype",
        "fp8",
        "--max-model-len",
        "131000",
        "--customer",
        "Example A",
    ]
    code, out, _ = run(capsys, *words, "--input-length", "40K", "--out", str(tmp_path / "out"))
    assert code == 0
    assert "Example-A.html" in out
    page = (tmp_path / "out" / "Example-A.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert len(page) < 3_000_000
    code, out, _ = run(capsys, *words, "--concurrency", "0", "--out", str(tmp_path / "other"), "--json")
    assert code == 2
    assert json.loads(out)["error"]["field"] == "concurrency"
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("words", "field"),
    [([], "file"), (["vllm serve zai-org/GLM-5.2-FP8 -tp 8"], "customer"), (["examples", "--gpu", "h200_sxm"], "file"),
     (["examples", "--concurrency", "2"], "file"), (["--customer", "<i>", "--gpu", "h200_sxm"], "customer"),
     (["examples", "--prices", "none.csv"], "prices")],
)  # fmt: skip
def test_bad_options(capsys, tmp_path, words, field):
    code, out, _ = run(capsys, *words, "--out", str(tmp_path / "out"), "--json")
    assert code == 2
    assert json.loads(out)["error"]["field"] == field
    assert not (tmp_path / "out").exists()


def test_a_file_where_the_folder_should_be(capsys, tmp_path):
    (tmp_path / "out").write_text("mine")
    assert run(capsys, "examples", "--out", str(tmp_path / "out"))[0] == 2
    assert (tmp_path / "out").read_text() == "mine"


def test_the_worked_customers_are_made(capsys, tmp_path):
    """4 x H200, 8 x B200 with NVFP4, a Mac Studio."""
    code, out, _ = run(capsys, "examples", "--out", str(tmp_path), "--json")
    assert code == 0
    rows = read_customers("examples")
    assert [(row["gpu"], row["gpus"]) for row in rows] == [("h200_sxm", 4), ("b200_sxm", 8), ("mac_m3_ultra_512", 1)]
    assert [row["customer"] for row in json.loads(out)["reports"]] == ["Example A", "Example B", "Example C"]


@given(st.lists(st.text(min_size=1, max_size=90), max_size=6))
def test_names_of_files_are_safe_and_each_once(customers):
    names = file_names(customers)
    assert len({name.lower() for name in names}) == len(customers)
    for name in names:
        assert len(name) < 120
        assert name.endswith(".html")
        assert name.isascii()
        assert not set(name) & set('/\\:*?"<>|\0 \n')
        assert not name.startswith((".", "-"))


def test_a_page_has_every_part_in_its_order():
    report = Report("Example A", gpu="h200_sxm", gpus=8, max_model_len=131_000)
    page = report.html()
    places = [page.index(getattr(report, part)()._repr_html_()[-300:]) for part in PARTS]
    assert places == sorted(places)


def test_a_cell_that_is_null_is_left_to_the_default():
    row = {"customer": "Example A", "gpu": "h200_sxm", "gpus": 8, "kv_cache_dtype": None, "max_model_len": "64K"}
    assert report_of(row).case.deployment.kv_cache_dtype is None


SAME = [
    ({"gpu": "h200_sxm", "gpus": 8, "max_model_len": 131_000}, ["--gpu", "h200_sxm", "--gpus", "8", "--max-model-len", "131000"]),
    ({"gpu": "b200_sxm", "command": "vllm serve nvidia/GLM-5.2-NVFP4 -tp 4 --max-model-len 131000", "concurrency": 2, "min_tok_s_user": 20},
     ["vllm serve nvidia/GLM-5.2-NVFP4 -tp 4 --max-model-len 131000", "--gpu", "b200_sxm", "--concurrency", "2", "--min-tok-s-user", "20"]),
    ({"gpu": "mac_m3_ultra_512", "command": "llama-server -m GLM-5.2-UD-IQ4_NL.gguf -c 65536 -np 2 -ngl 99"},
     ["llama-server -m GLM-5.2-UD-IQ4_NL.gguf -c 65536 -np 2 -ngl 99", "--gpu", "mac_m3_ultra_512"]),
    ({"gpu": "h200_sxm", "tensor_parallel_size": 4, "engine": "sglang", "quantization": "w4afp8", "concurrency": 8, "input_length": 24_000},
     ["--gpu", "h200_sxm", "-tp", "4", "--engine", "sglang", "-q", "w4afp8", "--concurrency", "8", "--input-length", "24000"]),
    ({"gpu": "b200_sxm", "gpus": 8, "max_model_len": 65_536, "concurrency": 16, "input_length": 32_000, "output_length": 1_000,
      "min_tok_s_user": 200},
     ["--gpu", "b200_sxm", "--gpus", "8", "--max-model-len", "65536", "--concurrency", "16", "--input-length", "32000",
      "--output-length", "1000", "--min-tok-s-user", "200"]),
]  # fmt: skip


@pytest.mark.parametrize(("parameters", "words"), SAME)
def test_notebook_file_and_options_say_the_same(capsys, tmp_path, parameters, words):
    """Status, speed, price and page: by the notebook's parameters, by a row of a file, and by the command's options."""
    names = {"customer": "Example A", "command": None, "model": "zai-org/GLM-5.2-FP8", **parameters}
    notebook = report_from(names)
    file = tmp_path / "c.csv"
    with file.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([["customer", *parameters], ["Example A", *parameters.values()]])
    made = []
    for arguments, folder in (([str(file)], "a"), ([*words, "--customer", "Example A"], "b")):
        code, out_text, _ = run(capsys, *arguments, "--out", str(tmp_path / folder), "--json")
        assert code == 0
        row = json.loads(out_text)["reports"][0]
        page = (tmp_path / folder / "Example-A.html").read_text(encoding="utf-8")
        made.append(({name: row[name] for name in notebook.to_dict()}, page))
    assert made[0][0] == made[1][0] == notebook.to_dict()
    for _, page in made:
        for part in ("first_page", "speed", "ways"):
            assert getattr(notebook, part)()._repr_html_() in page, part


def test_memory_and_speed_stand_apart(capsys, tmp_path):
    """16 requests of 33,000 tokens fit by tens of GiB; 200 tok/s are beyond every end of the band."""
    words = SAME[-1][1]
    code, out, err = run(capsys, *words, "--customer", "Example A", "--out", str(tmp_path))
    assert code == 0
    line = out.splitlines()[-1]
    assert "FITS" in line
    assert "not met" in line
    assert "fits, speed not met" in err
