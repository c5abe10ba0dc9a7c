"""The page *Downgrade* without a browser: fields, what to keep, how it ends."""

from __future__ import annotations

import json
import re
from html import unescape

import pytest

from glmcalc.present.cli import main
from glmcalc.present.controls import Choices
from glmcalc.present.downgrade_board import KEEPS, Descent, form, state_in

CHOICES = Choices(("m",), (("NVIDIA", "h200_sxm", "H200"), ("NVIDIA", "h100_sxm", "H100")), ("0.33.0",))
COMMAND = "vllm serve zai-org/GLM-5.2-FP8 -tp 8 --max-model-len 1M --max-num-seqs 1"


def words(html: str) -> str:
    return unescape(re.sub(r"<[^>]+>", "", html))


def test_opens_on_an_example_that_needs_steps() -> None:
    board = Descent(CHOICES)
    view = board.view()
    assert view["state"] == "fits"
    assert board.made is not None
    assert len(board.made.steps) >= 1
    for step in board.made.steps:
        assert step.flag in words(view["parts"]["ladder"])
    assert "data-copy" in view["parts"]["ladder"]


@pytest.mark.parametrize("keep", [keep for keep, _, _ in KEEPS])
def test_the_ladder_is_the_command_s(keep: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["downgrade", COMMAND, "--gpu", "h200_sxm", "--keep", keep, "--json"])
    said = json.loads(capsys.readouterr().out)
    board = Descent(CHOICES, {"command": COMMAND, "gpu": "h200_sxm", "keep": keep})
    assert board.made is not None
    assert board.made.command == said["command"]
    assert [step.flag for step in board.made.steps] == [step["flag"] for step in said["steps"]]
    assert (board.view()["state"] == "fits") == (code == 0)


def test_what_cannot_be_done_says_the_nearest_that_can() -> None:
    view = Descent(CHOICES, {"gpu": "h100_sxm", "gpus": "4", "max_model_len": "131072"}).view()
    assert view["state"] == "cannot"
    assert "Cannot" in words(view["parts"]["verdict"])
    assert "Nearest that can: 8 × h100_sxm" in words(view["parts"]["verdict"])


def test_fields_win_over_the_command_and_a_new_command_says_all() -> None:
    board = Descent(CHOICES, {"command": COMMAND, "gpu": "h200_sxm", "max_model_len": "32000"})
    assert board.made is not None
    assert board.made.start.resolved.max_model_len == 32000
    board.change({"command": COMMAND})
    assert board.made.start.resolved.max_model_len == 1 << 20
    assert board.state == {"gpu": "h200_sxm"}


def test_tensor_parallelism_follows_the_number_of_gpus() -> None:
    board = Descent(CHOICES)
    board.change({"gpus": "16"})
    assert board.made is not None
    assert board.made.start.resolved.tp == 16


@pytest.mark.parametrize(
    ("field", "value"), [("keep", "money"), ("gpu", "h2oo"), ("max_model_len", "2000000"), ("command", "vllm serve 'm")]
)
def test_bad_input_is_told_beside_its_field_and_the_last_ladder_stays(field: str, value: str) -> None:
    board = Descent(CHOICES)
    before = board.view()["parts"]["ladder"]
    board.change({field: value})
    view = board.view()
    assert set(view["errors"]) == {field}
    assert view["stale"]
    assert view["parts"]["ladder"] == before


def test_a_link_brings_the_page_back_masked() -> None:
    secret = "hf_" + "Q7x" * 10
    board = Descent(CHOICES, {"command": f"HF_TOKEN={secret} {COMMAND}", "gpu": "h200_sxm", "keep": "users"})
    query = board.query()
    assert secret not in query
    assert secret not in "".join(board.view()["parts"].values())
    again = Descent(CHOICES, state_in(query))
    assert board.made is not None
    assert again.made is not None
    assert again.made.command == board.made.command
    assert again.keep == "users"


def test_hostile_text_stays_text() -> None:
    bad = "<img src=x onerror=alert(1)>"
    for field in ("model", "gpu", "keep", "death", "max_model_len", "command"):
        view = Descent(CHOICES, {field: bad}).view()
        assert "<img" not in "".join(view["parts"].values()), field


def test_every_field_has_a_name_and_a_help() -> None:
    html = form(CHOICES, "x")
    for field in re.findall(r"<(?:input|select|textarea)[^>]*>", html):
        key = re.search(r' id="([^"]+)"', field)
        assert 'type="radio"' in field or (key and f'for="{key[1]}"' in html), field
        described = re.search(r'aria-describedby="([^"]+)"', field)
        assert described, field
        for target in described[1].split():
            assert f'id="{target}"' in html, target
