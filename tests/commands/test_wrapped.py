"""Commands inside other things: scripts with variables and arrays, units, images, sessions, prose. Written for these tests."""

import pytest

from glmcalc.commands import read_command

MODEL = "zai-org/GLM-5.2-FP8"
SERVE = {"model": MODEL, "tensor_parallel_size": 8}
MORE = SERVE | {"max_num_seqs": 4}

WRAPPED = {
    "flags in a variable": (f'ARGS="--tensor-parallel-size 8 --max-num-seqs 4"\nvllm serve {MODEL} $ARGS', MORE),
    "flags in an array": (
        f'ARGS=(\n  --tensor-parallel-size 8  # cards\n  --max-num-seqs 4\n)\nvllm serve {MODEL} "${{ARGS[@]}}"', MORE,
    ),
    "an array that grows": (f'A=(--tensor-parallel-size 8)\nA+=(--max-num-seqs 4)\nvllm serve {MODEL} "${{A[@]}}"', MORE),
    "an array with variables": (f'n=4\nA=(-tp 8 --max-num-seqs $n)\nvllm serve {MODEL} "${{A[@]}}"', MORE),
    "lower case variables": (f"model={MODEL}\ntp=8\nvllm serve $model -tp ${{tp}}", SERVE),
    "batch file": (f"set TP=8\r\nREM cards\r\nvllm serve {MODEL} ^\r\n  -tp %TP%\r\n", SERVE),
    "PowerShell": (f"vllm serve {MODEL} `\n  --tensor-parallel-size 8 `\n  --max-num-seqs 4", MORE),
    "a service": (f"[Service]\nExecStart=/usr/bin/vllm serve {MODEL} -tp 8\nRestart=always", SERVE),
    "a program of supervisor": (f"[program:glm]\ncommand=vllm serve {MODEL} -tp 8", SERVE),
    "image, CMD": (f'FROM vllm/vllm-openai:v0.33.0\nCMD ["vllm", "serve", "{MODEL}", "-tp", "8"]', SERVE),
    "image, both": (f'FROM vllm/vllm-openai\nENTRYPOINT ["vllm", "serve"]\nCMD ["{MODEL}", "-tp", "8"]', SERVE),
    "image, as a line": (f"FROM x\nENV TP=8\nCMD vllm serve {MODEL} \\\n  -tp $TP", SERVE),
    "background": (f"nohup vllm serve {MODEL} -tp 8 > out.log 2>&1 &", SERVE),
    "a session": (f'tmux new -d -s glm "vllm serve {MODEL} -tp 8"', SERVE),
    "another machine": (f"ssh node1 'A=b vllm serve {MODEL} -tp 8'", SERVE),
    "a pod": (f'kubectl exec pod -- bash -c "vllm serve {MODEL} -tp 8"', SERVE),
    "a batch system": (f"srun --gres=gpu:8 vllm serve {MODEL} -tp 8", SERVE),
    "Python": (f'subprocess.Popen(["vllm", "serve", "{MODEL}", "-tp", "8"], env=env)', SERVE),
    "JSON": (f'{{"command": ["vllm", "serve", "{MODEL}"], "args": ["-tp", "8"]}}', SERVE),
    "code in prose": (f"We run `vllm serve {MODEL} -tp 8` and it dies.", SERVE),
    "code in a table": (f"| `vllm serve {MODEL} -tp 8` | works |", SERVE),
    "shell in a shell": (f"ssh a \"bash -lc 'vllm serve {MODEL} -tp 8'\"", SERVE),
}  # fmt: skip


@pytest.mark.parametrize("name", WRAPPED)
def test_wrapped(name):
    text, settings = WRAPPED[name]
    parsed = read_command(text)
    assert parsed.engine == "vllm"
    assert parsed.settings == settings
    assert parsed.unresolved == []
    assert parsed.outcome == "read"


def test_variables_that_may_hold_flags_are_said():
    parsed = read_command(f"vllm serve {MODEL} -tp 8 $EXTRA")
    assert parsed.settings == SERVE
    assert any("$EXTRA" in warning for warning in parsed.warnings)
    assert not read_command(f"vllm serve {MODEL} -tp 8 ${{EXTRA:-}}").warnings


@pytest.mark.parametrize("tail", ["...", "…", "--max-num-seqs 4 …", """--speculative-config '{"method": "mtp", …"""])
def test_cut_by_hand(tail):
    parsed = read_command(f"vllm serve {MODEL} -tp 8 {tail}")
    assert parsed.outcome == "read_with_warning"
    assert parsed.settings["tensor_parallel_size"] == 8
    assert any("cut" in warning for warning in parsed.warnings)


def test_what_begins_at_the_image_says_so():
    parsed = read_command(f"vllm/vllm-openai:v0.33.0 {MODEL} -tp 8")
    assert parsed.settings == SERVE
    assert any("image" in warning for warning in parsed.warnings)


def test_llama_server_by_repository():
    parsed = read_command("docker run ghcr.io/ggml-org/llama.cpp:server-cuda -hf a/b-GGUF:Q4_K_M -c 4096")
    assert parsed.engine == "llama.cpp"
    assert parsed.settings == {"model": "a/b-GGUF:Q4_K_M", "ctx_size": 4096}


def test_environment_of_the_command():
    parsed = read_command(f"VLLM_A=1 vllm serve {MODEL}")
    assert parsed.environment == {"VLLM_A": "1"}
    parsed = read_command(f"export VLLM_A=1\nvllm serve {MODEL}")
    assert parsed.environment == {"VLLM_A": "1"}
    parsed = read_command(f"docker run -e VLLM_A=1 --env=VLLM_B=2 vllm/vllm-openai {MODEL}")
    assert parsed.environment == {"VLLM_A": "1", "VLLM_B": "2"}
