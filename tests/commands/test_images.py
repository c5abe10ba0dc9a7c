"""The release that a container image states, in every form of a paste; what it leaves open is said."""

import json

import pytest

from glmcalc.commands import read_command
from glmcalc.model.pasted import settings_from_text
from glmcalc.present.board import Board
from glmcalc.present.cli import main

MODEL = "zai-org/GLM-5.2-FP8"
DOCKER = "docker run --gpus all --ipc=host -e HF_HOME=/cache {image} --model " + MODEL + " -tp 8 --max-model-len 131000"
COMPOSE = """services:
  glm:
    image: {image}
    command: --model zai-org/GLM-5.2-FP8 --tensor-parallel-size 8
"""
KUBERNETES = """apiVersion: v1
kind: Pod
spec:
  containers:
    - name: glm
      image: {image}
      command: ["vllm", "serve", "zai-org/GLM-5.2-FP8"]
      args: ["--tensor-parallel-size", "8"]
"""
FORMS = {"docker": DOCKER, "compose": COMPOSE, "kubernetes": KUBERNETES}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("image", "release"),
    [
        ("vllm/vllm-openai:v0.23.0", "0.23.0"),
        ("vllm/vllm-openai:v0.26.0-cu129", "0.26.0"),
        ("docker.io/vllm/vllm-openai:v0.24.0-x86_64", "0.24.0"),
        ("registry.example:5000/mirror/vllm-openai:v0.33.0", "0.33.0"),
        ("vllm/vllm-openai:v0.26.0rc1", "0.26.0rc1"),
    ],
)
def test_the_tag_is_the_release(form, image, release):
    parsed = read_command(FORMS[form].format(image=image))
    assert (parsed.image, parsed.engine_version) == (image, release)
    assert settings_from_text(FORMS[form].format(image=image))["engine_version"] == release
    assert parsed.settings.get("engine_version") is None  # the text states an image, not a setting


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "image", ["vllm/vllm-openai:latest", "vllm/vllm-openai", "vllm/vllm-openai@sha256:" + "a1" * 32]
)
def test_a_name_that_states_no_release_leaves_it_open_and_says_so(form, image):
    parsed = read_command(FORMS[form].format(image=image))
    assert parsed.engine_version is None
    assert any("does not state the release" in text and "0.33.0" in text for text in parsed.warnings)


@pytest.mark.parametrize(
    ("image", "release"),
    [
        ("vllm/vllm-openai:nightly", "0.33.0"),
        ("voipmonitor/vllm:glm51-dcp", "0.33.0"),
        ("example/vllm-glm:v0.23.0", "0.23.0"),
    ],
)
def test_a_development_build_and_a_fork_are_marginal_at_best(capsys, image, release):
    """The contract: a fork or a development build takes the nearest rules, with a warning, and is at best marginal."""
    command = DOCKER.format(image=image) + " --kv-cache-dtype fp8 --max-num-seqs 16"
    assert main(["budget", command, "--gpu", "h200_sxm", "--json"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert data["verdict"]["status"] == "marginal"
    assert any(image in text for text in data["warnings"])
    stated = main(["budget", command, "--gpu", "h200_sxm", "--engine-version", release, "--json"])
    assert stated == 0
    assert json.loads(capsys.readouterr().out)["deployment"]["engine_version"] == release


def test_the_rules_are_those_of_the_tag(capsys):
    """Up to 0.23.0 all 78 layers own an indexer cache: 132 B x 57 more a token, one by one the engine's own planning."""
    tokens = {}
    for image in ("vllm/vllm-openai:v0.23.0", "vllm/vllm-openai:v0.33.0"):
        main(["budget", DOCKER.format(image=image) + " --kv-cache-dtype fp8_ds_mla", "--gpu", "h200_sxm", "--json"])
        tokens[image[-6:]] = json.loads(capsys.readouterr().out)["kv"]["bytes_per_token"]
    assert tokens["0.23.0"] - tokens["0.33.0"] == 132 * 57
    assert main(["budget", DOCKER.format(image="vllm/vllm-openai:v0.23.0"), "--gpu", "h200_sxm"]) in (0, 1)
    assert "rules of vLLM 0.23.0" in capsys.readouterr().out


def test_the_page_takes_it_too():
    board = Board()
    board.paste(DOCKER.format(image="vllm/vllm-openai:v0.23.0"))
    assert board.state["engine_version"] == "0.23.0"


def test_a_variable_in_the_name_is_put_in():
    parsed = read_command(f"IMAGE=vllm/vllm-openai:v0.26.0\ndocker run --rm $IMAGE --model {MODEL}")
    assert parsed.engine_version == "0.26.0"
    parsed = read_command(COMPOSE.format(image="vllm/vllm-openai:${VLLM_TAG}"))
    assert parsed.engine_version is None
    assert any("does not state the release" in text for text in parsed.warnings)


def test_other_engines_keep_theirs():
    parsed = read_command(f"docker run lmsysorg/sglang:v0.5.6 python3 -m sglang.launch_server --model-path {MODEL}")
    assert (parsed.engine, parsed.engine_version, parsed.warnings) == ("sglang", "0.5.6", [])
