"""The ladder as text, as JSON and as HTML: the same figures, nothing that runs, exit codes that tell."""

import json
from html.parser import HTMLParser

import pytest

from glmcalc.advise.ladder import downgrade
from glmcalc.budget.plan import plan
from glmcalc.facts.quantity import gib
from glmcalc.model.deployment import Deployment
from glmcalc.present.cli import VERBS, main
from glmcalc.present.ladder_html import ladder_section
from glmcalc.solve.presets import preset


def run(capsys, *words):
    code = main(["downgrade", *words])
    return code, *capsys.readouterr()


def test_json_has_the_keys_that_stay(capsys):
    code, out, _ = run(
        capsys, "--gpu", "h200_sxm", "--gpus", "8", "--max-model-len", "1M", "--max-num-seqs", "1", "--json"
    )
    data = json.loads(out)
    assert code == 0
    assert data["fits_after"] is True
    assert data["reason"] is None
    stays = {
        "change",
        "flag",
        "from",
        "to",
        "gained_bytes",
        "tokens_gained",
        "quality_cost",
        "speed_cost",
        "source",
        "restart",
        "command",
    }
    assert data["steps"]
    for step in data["steps"]:
        assert stays <= set(step)
    made = plan(Deployment.from_command(data["command"], gpu="h200_sxm"))
    assert made.verdict.status == "fits"
    assert data["command"] == data["steps"][-1]["command"]


def test_the_guides_own_example(capsys):
    """652 GB wanted, 320 GB there: four GPUs of 80 GB, which hold no checkpoint of this model; said, not guessed."""
    code, out, _ = run(capsys, "--need-gb", "652", "--have-gb", "320", "--max-model-len", "128K", "--json")
    data = json.loads(out)
    assert code == 1
    assert data["outcome"] == "cannot"
    assert data["start"]["gpus"] == 4
    readings = {(row["gpu"], row["gpus"]) for row in data["stated"]["readings"]}
    assert {("h100_sxm", 4), ("a100_80_sxm", 4), ("a100_40_sxm", 8)} <= readings
    assert "say --gpu" in data["stated"]["text"]
    assert data["stated"]["short_bytes"] == 332 * 10**9
    assert data["stated"]["computed_need_bytes"] > 755_617_140_416  # the checkpoint's published bytes alone
    assert data["nearest"]["status"] == "fits"


def test_gib_and_gb_are_not_the_same(capsys):
    _, out, _ = run(capsys, "--need-gib", "652", "--have-gib", "298.02", "--json")
    data = json.loads(out)
    assert data["stated"]["need_bytes"] == 652 << 30
    assert data["start"]["gpus"] == 4


@pytest.mark.parametrize(
    ("words", "field"),
    [
        (["--need-gb", "652"], "have"),
        (["--need-gb", "652", "--have-gb", "320", "--have-gib", "298"], "have"),
        (["--need-gb", "652", "--have-gb", "333.3"], "have"),
        (["--need-gb", "652", "--have-gb", "320", "--gpu", "h200_sxm"], "have"),
        (["--need-gb", "nan", "--have-gb", "320"], "need_gb"),
        (["--gpu", "h200_sxm", "--keep", "all"], "keep"),
        (["--gpu", "h200_sxm", "--death", "oom"], "death"),
        (["--gpu", "h200_sxm", "--short-gib", "2"], "short_gib"),
        ([], "gpu"),
    ],
)
def test_bad_input_names_the_field(capsys, words, field):
    code, out, err = run(capsys, *words, "--json")
    assert code == 2
    assert json.loads(out)["error"]["field"] == field
    assert "Traceback" not in err


def test_text_holds_every_figure_and_the_command(capsys):
    code, out, _ = run(capsys, "--gpu", "h100_sxm", "--gpus", "8", "--max-model-len", "1M", "--max-num-seqs", "1")
    data = downgrade(Deployment(gpu="h100_sxm", gpus=8, max_model_len=1 << 20, max_num_seqs=1)).to_dict()
    assert code == 0
    assert data["command"] in out
    for step in data["steps"]:
        assert gib(step["gained_bytes"]) in out
        assert step["change"] in out
        assert (step["quality_cost"] or step["quality_reason"]) in out


def test_the_examples_of_the_help_run(capsys):
    import shlex

    for example in VERBS["downgrade"].examples:
        assert main(shlex.split(example)[1:]) in (0, 1)
    assert "Traceback" not in capsys.readouterr().err


class Tags(HTMLParser):
    """What a fragment is made of."""

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in ("br",):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def fragment(data):
    tags = Tags()
    tags.feed(ladder_section(data))
    assert tags.open == []
    return tags


@pytest.mark.parametrize(
    "settings", [("1M", "h100_sxm", 8), ("1M", "b200_sxm", 4), ("1M", "a100_80_sxm", 8), ("balanced", "h200_sxm", 8)]
)
def test_html_holds_the_steps(settings):
    data = downgrade(preset(*settings)).to_dict()
    tags = fragment(data)
    text = "".join(tags.text)
    assert [attrs["data-knob"] for tag, attrs in tags.seen if "data-knob" in attrs] == [
        step["knob"] for step in data["steps"]
    ]
    for step in data["steps"]:
        assert f"+{gib(step['gained_bytes'])}" in text
        assert step["flag"] in text
        if step["reported_loss"]:
            assert "safe beside it: --kv-cache-dtype fp8_ds_mla" in text
    assert (data["reason"] or data["after"]["reason"]) in text
    assert all(attrs["href"].startswith("https://") for tag, attrs in tags.seen if tag == "a")


def test_html_runs_nothing():
    data = downgrade(preset("1M", "h100_sxm", 8)).to_dict()
    evil = '<img src=x onerror=alert(1)>"'
    step = {**data["steps"][0], "flag": evil, "from": evil, "to": evil, "cost": evil, "quality_cost": evil, "undo": evil, "reason": evil,
            "quality_source": "javascript:alert(1)", "knob": evil, "status": evil}  # fmt: skip
    tags = fragment({**data, "steps": [step], "fits_after": False, "reason": evil, "stated": {"text": evil}})
    assert not [tag for tag, _ in tags.seen if tag in ("img", "script")]
    assert not [attrs for tag, attrs in tags.seen if tag == "a" and not attrs["href"].startswith("https://")]
