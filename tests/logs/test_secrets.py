"""No secret of a log or a command in anything that is printed, whatever the output's keys are; ordinary words stay."""

from __future__ import annotations

import contextlib
import io
import json
import random
import string
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glmcalc.facts.secrets import MASK, mask
from glmcalc.logs.arguments import as_flags, stated_arguments
from glmcalc.logs.read import read_log
from glmcalc.present.cli import main

SAMPLES = Path(__file__).resolve().parent / "samples"
LETTERS, LOWER, UPPER = string.ascii_letters + string.digits, string.ascii_lowercase, string.ascii_uppercase


def drawn(alphabet: str, length: int, seed: int = 7) -> str:
    rng = random.Random(f"{alphabet}{length}{seed}")
    return "".join(rng.choice(alphabet) for _ in range(length))


# Made up, in the issuers' forms. In two parts, so that no scanner of repositories takes them for real ones.
FORMS = {
    "hugging face": "hf_" + drawn(LETTERS, 34),
    "openai": "sk-" + "proj-" + drawn(LETTERS, 48),
    "anthropic": "sk-" + "ant-api03-" + drawn(LETTERS + "-_", 80),
    "github": "ghp_" + drawn(LETTERS, 36),
    "github fine-grained": "github_pat_" + drawn(LETTERS + "_", 60),
    "gitlab": "glpat-" + drawn(LETTERS, 20),
    "aws key id": "AKIA" + drawn(UPPER + string.digits, 16),
    "google": "AIza" + drawn(LETTERS, 35),
    "google oauth": "ya29." + drawn(LETTERS, 60),
    "slack": "xoxb-" + drawn(string.digits, 12) + "-" + drawn(LETTERS, 24),
    "nvidia": "nvapi-" + drawn(LETTERS + "-_", 64),
    "npm": "npm_" + drawn(LETTERS, 36),
    "docker": "dckr_pat_" + drawn(LETTERS, 27),
    "replicate": "r8_" + drawn(LETTERS, 37),
    "groq": "gsk_" + drawn(LETTERS, 52),
    "stripe": "sk_" + "live_" + drawn(LETTERS, 24),
    "databricks": "dapi" + drawn("0123456789abcdef", 32),
    "vault": "hvs." + drawn(LETTERS, 24),
    "wandb": "wandb_v1_" + drawn(LETTERS, 40),
    "xai": "xai-" + drawn(LETTERS, 40),
    "telegram": drawn("123456789", 9) + ":AA" + drawn(LETTERS, 33),
    "sendgrid": "SG." + drawn(LETTERS, 22) + "." + drawn(LETTERS, 43),
    "json web token": "eyJ" + drawn(LETTERS, 20) + "." + drawn(LETTERS, 60) + "." + drawn(LETTERS, 43),
}  # fmt: skip
# Secrets without a form, known by the name before them.
PLAIN = drawn(LOWER, 12)
NAMED = [
    "WANDB_API_KEY={}", "AWS_SECRET_ACCESS_KEY={}", "HUGGING_FACE_HUB_TOKEN={}", "export VLLM_API_KEY='{}'", "--api-key {}",
    "--api-key={}", "--api-key '{}'", "--hf-token {}", "-e HF_TOKEN={}", "Authorization: Bearer {}", "authorization: {}",
    '-H "Authorization: Token {}"', "Authorization: Basic {}", "X-Api-Key: {}", '"api_key": "{}"', "'api_key': ['{}', '{}b']", "api_key='{}'",
    "password: {}", "HF_TOKEN: {}", "- name: HF_TOKEN\n  value: {}", '{{"name": "HF_TOKEN", "value": "{}"}}', "https://user:{}@registry.example/v2", "redis://:{}@cache:6379/0",
    "?token={}&x=1", "https://x.example/a?X-Amz-Signature={}", "machine huggingface.co login me password {}", "client_secret={}",
    "['--api-key', '{}']", "Cookie: session={}", 'AccountKey={}', "secret_key: \"{}\"", "DB_PASSWORD={}", "https://hooks.slack.com/services/{}",
]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "around", ["{}", "x {} y", "'{}'", "={}", ": {}.", "({})", '"{}",', "https://{}@github.example/x"]
)
def test_forms_that_name_themselves(form: str, around: str) -> None:
    shown, count = mask(around.format(FORMS[form]))
    assert FORMS[form] not in shown
    assert FORMS[form][len(FORMS[form]) // 2 :] not in shown
    assert count >= 1


@pytest.mark.parametrize("text", NAMED)
def test_names_tell_what_has_no_form(text: str) -> None:
    shown, count = mask(f"before {text.format(PLAIN, PLAIN)} after")
    assert PLAIN not in shown
    assert count >= 1
    assert shown.startswith("before ")
    assert mask(shown)[0] == shown


@pytest.mark.parametrize(
    "text",
    [
        "max_num_batched_tokens=8192, max_num_batched_tokens 8192 --max-num-batched-tokens 8192", "tokenizer='zai-org/GLM-5.2', tokenizer: x",
        "GPU KV cache size: 1,206,144 tokens", "#tokens: 314304, KV size: 29.32 GB", "key_cache: torch.Size([2, 4]), value_cache=None", "api_key=None",
        "Avg generation throughput: 212.4 tokens/s", "per token: 95232 B", "eos_token='<|endoftext|>' pad_token: <pad>", "EOS token = 2 '</s>'",
        "time per output token: 33.5ms", "num_speculative_tokens: 3", "basic information about this model", "missing keys: ['lm_head.weight']",
        "stop_token_ids=[151329, 151336]", "skip_special_tokens=True", "next token: something", "author: someone", "authentic", "hf_overrides={}",
        "monkey: business", "keyword=value", "https://docs.vllm.ai/en/latest/", "http://127.0.0.1:8000/v1", "sk-learn is not here", "HF_TOKEN=$HF_TOKEN",
        "--api-key ${KEY}", "speculative_config={'method': 'mtp'}", "Bearer authentication is on", "tcp://10.0.0.1:29500", "git@github.com:x/y",
    ],
)  # fmt: skip
def test_ordinary_words_stay(text: str) -> None:
    assert mask(text) == (text, 0)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200))
def test_masking_twice_is_masking_once(text: str) -> None:
    once = mask(text)[0]
    assert mask(once)[0] == once


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(FORMS)), st.text(max_size=40), st.text(max_size=40))
def test_a_form_is_masked_in_any_surroundings(form: str, before: str, after: str) -> None:
    assert FORMS[form] not in mask(f"{before} {FORMS[form]} {after}")[0]


@pytest.mark.parametrize(
    "piece",
    ["a_", "-", "token ", "token=", "api_key", "a.", "://", "://a:", "eyJ", "bearer ", "basic a", "sk-", "--api-key ", "secret=[", "secret='",
     'secret="\\', "key=", "--a-", "name: HF_TOKEN ", "-----BEGIN PRIVATE KEY-----", "x" * 50 + "@", "SG.aaaaaaaaaaaaaaaaa", "token\t\t\t"],
)  # fmt: skip
def test_time_grows_with_the_text_not_with_its_square(piece: str) -> None:
    """Eight times the text may take 24 times as long, never the 64 of a square; short measurements count for nothing."""

    def seconds(size: int) -> float:
        text = piece * (size // len(piece))
        begin = time.process_time()
        mask(text)
        return time.process_time() - begin

    small = min(seconds(1 << 17) for _ in range(2))
    assert seconds(1 << 20) < max(24 * small, 1.0)


def places(secret: str) -> list[list[str]]:
    """Command lines of ``diagnose`` with a secret in each place of a log and of a command."""
    model = "zai-org/GLM-5.2-FP8 -tp 8 --max-model-len 1M --max-num-seqs 8"
    commands = [
        f"HF_TOKEN={secret} vllm serve {model}",
        f"export HF_TOKEN={secret}; vllm serve {model}",
        f"vllm serve {model} --api-key {secret}",
        f"vllm serve {model} --api-key={secret} --enable-auto-tool-choice",
        f"vllm serve {model} --api-key '{secret}' {secret}b",
        f"vllm serve {model} --hf-token {secret}",
        f'vllm serve {model} --kv-transfer-config \'{{"kv_connector":"X","token":"{secret}"}}\'',
        f"vllm serve {model} --otlp-traces-endpoint https://user:{secret}@traces.example/v1",
        f"curl -H 'Authorization: Bearer {secret}' x; vllm serve {model}",
        f"docker run -e HF_TOKEN={secret} --env WANDB_API_KEY={secret} vllm/vllm-openai:latest --model {model}",
        f"env:\n- name: HF_TOKEN\n  value: {secret}\nargs:\n- --model=zai-org/GLM-5.2-FP8\n- --tensor-parallel-size=8\n- --api-key={secret}",
        json.dumps({"command": ["vllm", "serve", *model.split(), "--api-key", secret]}),
    ]
    lines = [
        f"HF_TOKEN={secret}",
        f"(APIServer pid=7) INFO 09-14 11:00:01 [utils.py:255] non-default args: {{'model': 'zai-org/GLM-5.2-FP8', 'api_key': ['{secret}', '{secret}b'], "
        f"'hf_token': '{secret}', 'tensor_parallel_size': 4, 'kv_transfer_config': {{'token': '{secret}'}}}}",
        f"[2026-04-02 08:11:20] server_args=ServerArgs(model_path='zai-org/GLM-5.2-FP8', tp_size=8, api_key='{secret}', admin_api_key='{secret}')",
        f"(Worker_TP0 pid=9) ERROR 09-14 11:04:00 [x.py:1] torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 8.00 GiB, api_key={secret}",
        f"(EngineCore pid=9) ERROR 09-14 11:04:00 [x.py:1] EngineCore encountered a fatal error. Authorization: Bearer {secret}",
        f"(EngineCore pid=9) ERROR 09-14 11:04:00 [x.py:1] RuntimeError: GET https://u:{secret}@h.example/v1?token={secret}",
        f"(APIServer pid=9) ERROR 09-14 11:04:00 [x.py:1] huggingface_hub.errors.GatedRepoError: password: {secret}",
        f'{{"log": "+ vllm serve zai-org/GLM-5.2-FP8 -tp 4 --api-key {secret}\\n", "stream": "stdout"}}',
        f"+ vllm serve zai-org/GLM-5.2-FP8 --api-key={secret} -tp 4",
        f"usage: vllm serve: error: unrecognized arguments: --api-key={secret}",
    ]
    ranks = (SAMPLES / "vllm_ranks.log").read_text(encoding="utf-8").splitlines()
    small = str(SAMPLES / "vllm_fail_len_gt_kv.log")
    out = [["diagnose", small, "--gpu", "h200_sxm", "--command", text] for text in commands]
    out += [["diagnose", text + "\n", "--gpu", "h200_sxm"] for text in commands]
    for line in lines:
        out.append(["diagnose", line + "\n"])
        for at in (0, 2, len(ranks) - 12, len(ranks)):
            out.append(["diagnose", "\n".join([*ranks[:at], line, *ranks[at:]]), "--gpu", "b300_sxm"])
    return out


@pytest.mark.parametrize("form", ["plain", "openai"])
def test_no_secret_in_anything_that_diagnose_prints(form: str) -> None:
    """The whole of both streams is searched, so that a new key of the answer is held to it as well."""
    secret = PLAIN if form == "plain" else FORMS[form]
    codes = set()
    for argv in places(secret):
        for more in ([], ["--json"]):
            out, err = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                codes.add(main([*argv, *more]))
            assert secret not in out.getvalue(), argv
            assert secret not in err.getvalue(), argv
    assert codes & {0, 1}


@pytest.mark.parametrize("subcommand", ["parse", "budget", "downgrade"])
@pytest.mark.parametrize("form", ["plain", "hugging face"])
def test_no_secret_in_what_a_command_gives(subcommand: str, form: str) -> None:
    secret = PLAIN if form == "plain" else FORMS[form]
    for text in (
        f"HF_TOKEN={secret} vllm serve zai-org/GLM-5.2-FP8 -tp 8 --max-model-len 131072 --api-key {secret}",
        f"docker run -e HF_TOKEN={secret} vllm/vllm-openai --model zai-org/GLM-5.2-FP8 -tp 8 --api-key={secret}",
    ):
        for more in ([], ["--json"]):
            out, err = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                main([subcommand, text, *([] if subcommand == "parse" else ["--gpu", "h200_sxm"]), *more])
            assert secret not in out.getvalue() + err.getvalue(), text


def test_a_log_can_be_read_from_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = (SAMPLES / "vllm_ranks.log").read_bytes() + f"\nHF_TOKEN={PLAIN}\n".encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert main(["diagnose", "-", "--json"]) == 0
    assert PLAIN not in capsys.readouterr().out


def test_arguments_are_masked_where_they_are_read() -> None:
    stated = stated_arguments(
        f"non-default args: {{'model': 'm', 'api_key': ['{PLAIN}'], 'x': {{'hf_token': '{PLAIN}'}}, 'y': '{FORMS['openai']}'}}"
    )
    assert PLAIN not in str(stated)
    assert FORMS["openai"] not in str(stated)
    assert PLAIN not in str(as_flags(stated or {}))
    (facts,) = read_log(f"server_args=ServerArgs(model_path='m', api_key='{PLAIN}')\n")
    assert facts.arguments["api_key"] == MASK


VALUE = "Qx7Plm29Zk4Tn8"  # no issuer's form: only what stands around it says what it is
GIVEN_A_VARIABLE = [
    f"KEY={VALUE}\nvllm serve zai-org/GLM-5.2-FP8 -tp 8 --api-key $KEY",
    f"MY_KEY={VALUE} vllm serve zai-org/GLM-5.2-FP8 -tp 8 --api-key=$MY_KEY",
    f'k={VALUE}; vllm serve zai-org/GLM-5.2-FP8 -tp 8 --api-key "${{k}}"',
    f"export THING={VALUE}\nvllm serve zai-org/GLM-5.2-FP8 -tp 8 --hf-token ${{THING}}",
    f"docker run -e THING={VALUE} vllm/vllm-openai:v0.30.0 --model zai-org/GLM-5.2-FP8 -tp 8 --api-key $THING",
    f"THING={VALUE}\npython -m sglang.launch_server --model-path zai-org/GLM-5.2-FP8 --tp 8 --api-key $THING",
]


@pytest.mark.parametrize("text", GIVEN_A_VARIABLE)
def test_a_variable_that_a_secret_flag_is_given_is_secret(text):
    from glmcalc.advise.diagnose import diagnose
    from glmcalc.commands import read_command

    assert VALUE not in mask(text)[0]
    assert VALUE not in json.dumps(read_command(text).to_dict())
    log = "ValueError: No available memory for the cache blocks. Try increasing gpu_memory_utilization"
    assert VALUE not in json.dumps(diagnose(log, text, {"gpu": "h200_sxm"}).to_dict())


def test_the_new_command_does_not_set_a_variable_that_it_does_not_read():
    from glmcalc.advise.diagnose import diagnose

    log = "ValueError: No available memory for the cache blocks. Try increasing gpu_memory_utilization"
    command = f"KEY={VALUE} NCCL_DEBUG=INFO vllm serve zai-org/GLM-5.2-FP8 -tp 8 --max-model-len 131000 --api-key $KEY"
    given = diagnose(log, command, {"gpu": "h200_sxm"}).to_dict()["command"]
    assert given.startswith("NCCL_DEBUG=INFO vllm serve ")
    assert "--api-key" in given


@pytest.mark.parametrize(
    "text",
    [
        "header api-key 4f9aB72c01dd8e55 was sent",
        "X-Api-Key 4f9aB72c01dd8e55",
        "ApiKey 4f9aB72c01dd8e55",
        "login with ms-1f2e3d4c-5b6a-7980-91a2-b3c4d5e6f708",
        "pod env rpa_ABCDEFGHIJKLMNOPQRSTUVWXYZ012345",
        "export DEPLOY_KEY=4f9aB72c01dd8e55",
    ],
)
def test_more_forms_of_secrets(text):
    shown, count = mask(text)
    assert count == 1
    assert "[masked]" in shown
    assert not any(part in shown for part in ("4f9aB72c", "1f2e3d4c", "ABCDEFGHIJ"))


@pytest.mark.parametrize(
    "text",
    [
        "use an api-key authentication",
        "the api key is required",
        "ms-marco-MiniLM-L6-v2",
        "MONKEY business",
        "KEY=$OTHER",
    ],
)
def test_words_that_only_resemble_secrets_stay(text):
    assert mask(text) == (text, 0)
