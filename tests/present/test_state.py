"""Links, parameters and controls say the same deployment as the command does."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmcalc import Deployment, InputError
from glmcalc.present import state as states
from glmcalc.present.controls import ADVANCED, CONTEXT, MEMORY


def test_the_opening_example_is_the_same_as_its_command() -> None:
    pasted = Deployment.from_command(
        "vllm serve zai-org/GLM-5.2-FP8 -tp 8 --kv-cache-dtype fp8 --max-model-len 131072 --max-num-seqs 256 "
        "--max-num-batched-tokens 8192 --gpu-memory-utilization 0.90 "
        """--speculative-config '{"method":"mtp","num_speculative_tokens":3}'""",
        gpu="h200_sxm",
        gpus=8,
    )
    assert states.deployment(states.OPENING) == pasted


@pytest.mark.parametrize(
    ("text", "tokens"), [("128K", 131072), ("128k", 128000), ("1M", 1 << 20), ("131072", 131072), ("auto", "auto")]
)
def test_lengths_mean_what_the_engine_means(text: str, tokens: object) -> None:
    made = states.deployment({"gpu": "h200_sxm", "max_model_len": text})
    assert made.max_model_len in (tokens, -1 if tokens == "auto" else tokens)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("gpu_memory_utilization", "1.4"), ("gpu_memory_utilization", "0"), ("gpu_memory_utilization", "nan"),
        ("gpu_memory_utilization", "much"), ("max_model_len", "-5"), ("max_model_len", "0"), ("max_model_len", "long"),
        ("max_num_seqs", "1e9"), ("max_num_seqs", "99999999999999999999"), ("gpus", "eight"), ("gpus", "0"),
        ("tensor_parallel_size", "2.5"), ("enforce_eager", "perhaps"), ("weights_gib", "-1"), ("weights_gib", "inf"),
        ("speculative_config", "{"), ("kept", "x"), ("max_modle_len", "5"), ("engine", "sglnag"),
    ],
)  # fmt: skip
def test_bad_values_are_refused_by_name(name: str, text: str) -> None:
    from glmcalc import plan

    with pytest.raises(InputError) as refused:
        plan(states.deployment({**states.DEFAULTS, name: text}))
    assert refused.value.field.lstrip("-").replace("-", "_").split(".")[0] == name
    assert refused.value.allowed


def test_unknown_names_offer_the_nearest() -> None:
    with pytest.raises(InputError, match="max_model_len"):
        states.deployment({"max_modle_len": "5"})


def test_a_link_brings_the_state_back() -> None:
    link = states.link(states.OPENING)
    back = {**states.DEFAULTS, **states.from_query(link)}
    assert back == states.OPENING
    assert states.from_query(states.link({**states.OPENING, "kept": '["--a b", "c&d"]'}))["kept"] == '["--a b", "c&d"]'


@given(st.text(min_size=1, max_size=30), st.text(min_size=1, max_size=30))
def test_any_text_survives_a_link(name: str, text: str) -> None:
    text = text.encode("utf-8", "ignore").decode()
    if text:
        assert states.from_query(states.link({"gpu": text}))["gpu"] == text


def test_names_of_the_server_are_left_alone() -> None:
    assert states.from_query("?theme=dark&voila-template=lab&token=x&max_num_seqs=4") == {"max_num_seqs": "4"}
    assert states.pasted_in("?command=vllm%20serve%20m") == "vllm serve m"


def test_notebook_parameters_become_texts() -> None:
    given = {"gpus": 8, "enforce_eager": True, "speculative_config": {"method": "mtp"}, "customer": "A", "gpu": None}
    assert states.from_parameters(given) == {
        "gpus": "8",
        "enforce_eager": "true",
        "speculative_config": '{"method":"mtp"}',
    }


@given(st.text(max_size=40), st.sampled_from(sorted(states.NAMES)))
def test_any_text_in_any_field_is_read_or_refused(text: str, name: str) -> None:
    with contextlib.suppress(InputError):
        assert states.deployment({**states.DEFAULTS, name: text}).model


def test_every_control_is_a_parameter() -> None:
    assert {control.name for control in (*CONTEXT, *MEMORY, *ADVANCED)} <= states.NAMES
