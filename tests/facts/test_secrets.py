"""No key leaves through what is printed: the environment of a paste, and the normalised command."""

import json

import pytest

from glmcalc import Deployment
from glmcalc.present.cli import main

TOKEN = "hf_" + "Ab1" * 8
PASTE = (
    f"HF_TOKEN={TOKEN} WANDB_API_KEY=0123 NCCL_DEBUG=INFO vllm serve zai-org/GLM-5.2-FP8 -tp 8 --kv-cache-dtype fp8 "
    "--max-model-len 131000 --api-key abc secondkey --port 8000"
)
DOCKER = f"docker run -e HF_TOKEN={TOKEN} -e MAX_JOBS=16 vllm/vllm-openai:v0.33.0 --model zai-org/GLM-5.2-FP8 -tp 8"


@pytest.mark.parametrize("text", [PASTE, DOCKER])
def test_parse_masks_the_environment(capsys, text):
    assert main(["parse", text, "--json"]) == 0
    out = capsys.readouterr().out
    assert TOKEN not in out
    assert json.loads(out)["environment"]["HF_TOKEN"] == "[masked]"
    assert main(["parse", text]) == 0
    assert TOKEN not in capsys.readouterr().out


def test_what_is_no_secret_stays(capsys):
    main(["parse", PASTE, "--json"])
    environment = json.loads(capsys.readouterr().out)["environment"]
    assert environment == {"HF_TOKEN": "[masked]", "WANDB_API_KEY": "[masked]", "NCCL_DEBUG": "INFO"}


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_no_command_prints_a_key(capsys, form):
    """Every value of ``--api-key``, however short and however many; the rest of the line as it was."""
    main(["budget", PASTE, "--gpu", "h200_sxm", *form])
    out = capsys.readouterr().out
    assert "secondkey" not in out
    assert " abc" not in out
    assert "--port 8000" in out


def test_a_masked_command_is_read_again_and_means_the_same():
    made = Deployment.from_command(PASTE)
    again = Deployment.from_command(made.command())
    assert again.command() == made.command()
    assert "--api-key" in made.command()


def test_no_link_carries_a_key():
    """A page's link is made to be sent."""
    from glmcalc.present import state
    from glmcalc.present.board import Board

    board = Board()
    board.paste(PASTE)
    link = state.link(board.state)
    assert "secondkey" not in link
    assert "8000" in link
