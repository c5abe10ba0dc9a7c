"""Launch commands in the forms in which people paste them; written for these tests."""

import textwrap

import pytest

from glmcalc.commands import read_command
from glmcalc.facts.errors import InputError

MODEL = "zai-org/GLM-5.2-FP8"
SERVE = {"model": MODEL, "tensor_parallel_size": 8}

FORMS = {
    "one line": (f"vllm serve {MODEL} -tp 8", SERVE),
    "continued": (f"vllm serve {MODEL} \\\n  --tensor-parallel-size 8 \\\n  --max-model-len 131000", SERVE | {"max_model_len": 131_000}),
    "marks lost": (f"vllm serve {MODEL}\n--tensor-parallel-size 8\n--max-num-seqs 4\nWhat the flags mean", SERVE | {"max_num_seqs": 4}),
    "marks in one line": (f"vllm serve {MODEL} \\ --tensor-parallel-size 8 \\ --max-num-seqs 4", SERVE | {"max_num_seqs": 4}),
    "caret": (f"vllm serve {MODEL} ^\n  --tensor-parallel-size 8", SERVE),
    "underscores": (f"vllm serve {MODEL} --tensor_parallel_size=8 --kv_cache_dtype fp8", SERVE | {"kv_cache_dtype": "fp8"}),
    "prefix of a flag": (f"vllm serve {MODEL} --tensor-par 8", SERVE),
    "short flags": (f"vllm serve {MODEL} -tp 8 -pp 2 -dcp=4", SERVE | {"pipeline_parallel_size": 2, "decode_context_parallel_size": 4}),
    "human numbers": (
        f"vllm serve {MODEL} -tp 8 --max-model-len 128k --max-num-batched-tokens 16K",
        SERVE | {"max_model_len": 128_000, "max_num_batched_tokens": 16_384},
    ),
    "auto and minus one": (f"vllm serve {MODEL} -tp 8 --max-model-len -1", SERVE | {"max_model_len": -1}),
    "json": (
        f"""vllm serve {MODEL} -tp 8 --speculative-config '{{"num_speculative_tokens": 3, "method": "mtp"}}'""",
        SERVE | {"speculative_method": "mtp", "num_speculative_tokens": 3},
    ),
    "json in double quotes": (
        f'vllm serve {MODEL} -tp 8 --speculative-config "{{\\"method\\":\\"mtp\\",\\"num_speculative_tokens\\":3}}"',
        SERVE | {"speculative_method": "mtp", "num_speculative_tokens": 3},
    ),
    "dotted json": (
        f"vllm serve {MODEL} -tp 8 --speculative-config.method mtp --speculative-config.num_speculative_tokens 5",
        SERVE | {"speculative_method": "mtp", "num_speculative_tokens": 5},
    ),
    "a drafter's own keys": (
        f"""vllm serve {MODEL} -tp 8 --speculative-config '{{"method":"mtp","model":"x/y","quantization":"fp8","enforce_eager":true}}'""",
        SERVE | {"speculative_method": "mtp"},
    ),
    "curly quotes and long dashes": (
        f"vllm serve “{MODEL}” —tensor-parallel-size 8 –kv-cache-dtype fp8",
        SERVE | {"kv_cache_dtype": "fp8"},
    ),
    "prompt": (f"$ vllm serve {MODEL} -tp 8", SERVE),
    "root's prompt": (f"# vllm serve {MODEL} -tp 8", SERVE),
    "a user's prompt": (f"root@node:~# vllm serve {MODEL} -tp 8", SERVE),
    "quoted in a mail": (f"> vllm serve {MODEL} \\\n>   -tp 8", SERVE),
    "diff": (f"+vllm serve {MODEL} \\\n+  --tensor-parallel-size 8", SERVE),
    "fence": (f"```bash\nvllm serve {MODEL} -tp 8\n```", SERVE),
    "backticks": (f"`vllm serve {MODEL} -tp 8`", SERVE),
    "comments": (f"# the node\nvllm serve {MODEL} \\\n  # eight of them\n  -tp 8  # here", SERVE),
    "environment before": (f"A=1 VLLM_USE_X=0 vllm serve {MODEL} -tp 8", SERVE),
    "script": (f"#!/bin/sh\nset -e\nTP=8\nexport M={MODEL}\nvllm serve $M --tensor-parallel-size ${{TP}} 2>&1 | tee log.txt", SERVE),
    "default of a variable": (f"vllm serve {MODEL} -tp ${{TP:-8}}", SERVE),
    "module": (f"python3 -m vllm.entrypoints.openai.api_server --model {MODEL} -tp 8", SERVE),
    "uv": (f"uv run vllm serve {MODEL} -tp 8", SERVE),
    "bash -c": (f"""bash -lc 'pip list && vllm serve {MODEL} --tensor-parallel-size 8'""", SERVE),
    "nested quotes": (
        f"""docker run x/vllm:1 bash -c 'vllm serve {MODEL} -tp 8 --speculative-config '"'"'{{"method":"mtp"}}'"'"''""",
        SERVE | {"speculative_method": "mtp"},
    ),
    "docker": (f"docker run --gpus all -p 8000:8000 -e A=b --ipc=host vllm/vllm-openai:v0.33.0 --model {MODEL} -tp 8", SERVE),
    "docker, positional": (f"sudo docker run -d --rm --shm-size 16g -v /m:/m vllm/vllm-openai:latest {MODEL} -tp 8", SERVE),
    "docker, module": (f"docker run --entrypoint python3 vllm/vllm-openai -m vllm.entrypoints.openai.api_server --model {MODEL} -tp 8", SERVE),
    "from the image on": (f"  vllm/vllm-openai:v0.33.0 \\\n    {MODEL} \\\n    --tensor-parallel-size 8", SERVE),
    "windows path": (r"python -m vllm.entrypoints.openai.api_server --model D:\models\glm -tp 8", {"model": r"D:\models\glm", "tensor_parallel_size": 8}),
    "log after it": (f"vllm serve {MODEL} -tp 8\nINFO 11-24 10:00:00 [api.py:1] it's starting", SERVE),
    "python list": (f'args = [\n  "--model {MODEL}",\n  "--tensor-parallel-size 8",\n]', SERVE),
    "docker inspect": (f'"Path": "vllm",\n"Args": ["serve", "{MODEL}", "--tensor-parallel-size", "8"],', SERVE),
    "switch with a value": (f"vllm serve {MODEL} -tp 8 --enforce-eager true", SERVE | {"enforce_eager": True}),
    "switched off": (f"vllm serve {MODEL} -tp 8 --no-enable-prefix-caching", SERVE | {"enable_prefix_caching": False}),
}  # fmt: skip

MANIFESTS = {
    "compose, list": f"""
        services:
          glm:
            image: vllm/vllm-openai:v0.33.0
            command:
              - --model
              - {MODEL}
              - --tensor-parallel-size=8
    """,
    "compose, string": f"""
        services:
          glm:
            image: vllm/vllm-openai:v0.33.0
            command: >
              {MODEL} --tensor-parallel-size 8
    """,
    "kubernetes, args": f"""
        containers:
        - name: glm
          image: vllm/vllm-openai:v0.33.0
          command: ["vllm", "serve", "{MODEL}"]
          args: ["--tensor-parallel-size", "8"]
    """,
    "kubernetes, script": f"""
        containers:
        - name: glm
          image: vllm/vllm-openai:v0.33.0
          env:
          - name: TP
            value: "8"
          command: ["/bin/bash", "-c"]
          args:
          - |
            set -euo pipefail
            exec vllm serve {MODEL} \\
              --tensor-parallel-size $(TP)
    """,
    "a list alone": f"""
        - --model={MODEL}
        - --tensor-parallel-size=8
    """,
}


@pytest.mark.parametrize("form", FORMS)
def test_form(form):
    text, settings = FORMS[form]
    assert read_command(text).settings == settings


@pytest.mark.parametrize("form", MANIFESTS)
def test_manifest(form):
    parsed = read_command(textwrap.dedent(MANIFESTS[form]))
    assert parsed.engine == "vllm"
    assert parsed.settings == SERVE


def test_other_engines_are_read_by_name():
    sglang = read_command(
        "python -m sglang.launch_server --model-path a/b --tp 8 --mem-fraction-static 0.9 --context-length 32768"
    )
    assert sglang.engine == "sglang"
    assert sglang.settings == {
        "model": "a/b",
        "tensor_parallel_size": 8,
        "mem_fraction_static": 0.9,
        "context_length": 32_768,
    }
    llama = read_command("./llama-server -m glm.gguf -c 16384 -ngl 99 -ctk q8_0 --jinja")
    assert llama.engine == "llama.cpp"
    assert llama.settings == {"model": "glm.gguf", "ctx_size": 16_384, "n_gpu_layers": 99, "cache_type_k": "q8_0"}


def test_what_stays_open_is_named():
    parsed = read_command(
        "vllm serve $MODEL --tensor-parallel-size $1 --max-model-len 4096 --gpu-memory-utilization __UTIL__"
    )
    assert parsed.unresolved == ["model", "tensor_parallel_size", "gpu_memory_utilization"]
    assert parsed.settings == {"max_model_len": 4096}
    assert parsed.outcome == "ask"


def test_flags_go_where_they_belong():
    parsed = read_command(f"vllm serve {MODEL} --port 1 --enable-lora --swap-space 4 --tensor-paralel-size 8")
    assert parsed.no_effect_on_memory == ["--port", "--swap-space"]
    assert parsed.not_modelled == ["--enable-lora"]
    assert parsed.heavy == ["--enable-lora"]
    assert parsed.unknown == [{"flag": "--tensor-paralel-size", "nearest": "--tensor-parallel-size"}]
    assert any("--swap-space is a flag of earlier releases" in warning for warning in parsed.warnings)
    assert parsed.kept == ["--port", "1", "--enable-lora", "--tensor-paralel-size", "8"]


def test_a_flag_that_begins_like_another_does_not_stand_for_it():
    parsed = read_command(f"vllm serve {MODEL} --max-model-len auto --max-model-len-cap 4096")
    assert parsed.settings["max_model_len"] == "auto"


def test_of_two_commands_the_first_is_read():
    parsed = read_command(f"vllm serve {MODEL} -tp 8\npython -m sglang.launch_server --model-path x/y --tp 4")
    assert parsed.settings == SERVE
    assert any("2 launch commands" in warning for warning in parsed.warnings)


def test_a_cut_command_says_so():
    parsed = read_command(f"vllm serve {MODEL} \\\n  -tp 8 \\\n")
    assert parsed.outcome == "read_with_warning"
    assert parsed.settings == SERVE


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (f'vllm serve {MODEL} --speculative-config \'{{"method": "mtp"', "command"),
        (f'vllm serve "{MODEL} -tp 8', "command"),
        ("hello world", "command"),
        ("", "command"),
        ("lemonade-server run x --host 0.0.0.0", "command"),
        ("python -m sgl_jax.launch_server --model-path x", "command"),
        (f"vllm serve serve {MODEL}", "model"),
        (f"vllm serve {MODEL} other/model", "model"),
        (f"vllm serve {MODEL} -tp eight", "tensor_parallel_size"),
        (f"vllm serve {MODEL} --gpu-memory-utilization nan", "gpu_memory_utilization"),
        (f"vllm serve {MODEL} --max-model-len 1.5K", "max_model_len"),
        (f"vllm serve {MODEL} --speculative-config [1]", "speculative_config"),
        ("vllm serve --config settings.yaml", "config"),
        (f"-  vllm serve {MODEL} -tp 4\n+  vllm serve {MODEL} -tp 8", "command"),
    ],
)
def test_refused(text, field):
    with pytest.raises(InputError) as caught:
        read_command(text)
    assert caught.value.field == field


CHART = {
    "the parts of an image": "image:\n  repository: vllm/vllm-openai\n  tag: v0.23.0\nargs: ['--model', '{m}', '-tp', '8']",
    "its registry too": "image:\n  registry: docker.io\n  repository: vllm/vllm-openai\n  tag: v0.23.0\n  pullPolicy: Always\nargs: ['--model', '{m}', '-tp', '8']",
    "the command inside the image": "image:\n  repository: 'vllm/vllm-openai'\n  tag: 'v0.23.0'\n  command: ['vllm', 'serve', '{m}', '-tp', '8']",
}  # fmt: skip


@pytest.mark.parametrize("text", CHART.values(), ids=CHART)
def test_the_image_of_a_chart(text):
    parsed = read_command(text.replace("{m}", MODEL))
    assert parsed.settings == SERVE
    assert parsed.engine_version == "0.23.0"
    assert parsed.image.endswith("vllm/vllm-openai:v0.23.0")
    assert parsed.warnings == []


CONTAINERS = {
    "entrypoint": "docker run --gpus all --entrypoint vllm vllm/vllm-openai:v0.33.0 serve {m} -tp 8",
    "entrypoint with an equals sign": "docker run --entrypoint=vllm vllm/vllm-openai:v0.33.0 serve {m} -tp 8",
    "entrypoint of python": "docker run --entrypoint python3 vllm/vllm-openai:v0.33.0 -m vllm.entrypoints.openai.api_server --model {m} -tp 8",
    "entrypoint of a shell": "docker run --entrypoint bash vllm/vllm-openai:v0.33.0 -c 'vllm serve {m} -tp 8'",
    "no entrypoint": 'docker run --entrypoint "" vllm/vllm-openai:v0.33.0 vllm serve {m} -tp 8',
    "create": "docker create --gpus all vllm/vllm-openai:v0.33.0 --model {m} -tp 8",
    "service create": "docker service create --name x vllm/vllm-openai:v0.33.0 --model {m} -tp 8",
    "nvidia-docker": "nvidia-docker run -it --rm vllm/vllm-openai:v0.33.0 --model {m} -tp 8",
    "kubectl run": "kubectl run vllm --image=vllm/vllm-openai:v0.33.0 --port 8000 -- --model {m} -tp 8",
    "apptainer": "apptainer run --nv docker://vllm/vllm-openai:v0.33.0 --model {m} -tp 8",
    "apptainer exec": "apptainer exec --nv docker://vllm/vllm-openai:v0.33.0 vllm serve {m} -tp 8",
    "a unit's docker": "[Service]\nExecStartPre=-/usr/bin/docker rm x\nExecStart=/usr/bin/docker run --rm vllm/vllm-openai:v0.33.0 --model {m} -tp 8",
    ".env above compose": "TP=8\nMODEL='{m}'\n\nservices:\n  v:\n    image: vllm/vllm-openai:v0.33.0\n    command: --model ${MODEL} -tp ${TP}\n",
}  # fmt: skip


@pytest.mark.parametrize("text", CONTAINERS.values(), ids=CONTAINERS)
def test_what_runs_in_a_container(text):
    parsed = read_command(text.replace("{m}", MODEL))
    assert parsed.settings == SERVE
    assert parsed.image == "vllm/vllm-openai:v0.33.0"
    assert parsed.engine_version == "0.33.0"


@pytest.mark.parametrize(
    "text",
    [
        'docker run --entrypoint vllm "$IMAGE" serve {m} -tp 8',
        "docker run --entrypoint vllm sha256:0123abcd serve {m} -tp 8",
        "docker compose run --rm vllm --model {m} -tp 8",
        "docker-compose run --rm vllm vllm serve {m} -tp 8",
    ],
)
def test_no_image_is_named(text):
    parsed = read_command(text.replace("{m}", MODEL))
    assert parsed.settings == SERVE
    assert (parsed.image, parsed.engine_version) == (None, None)


@pytest.mark.parametrize("text", ["docker network create vllm", "docker volume create vllm-cache", "docker rm vllm"])
def test_what_runs_nothing(text):
    with pytest.raises(InputError):
        read_command(text)


SET = {
    "a unit": "[Service]\nEnvironment=TP=8\nExecStart=/usr/bin/vllm serve {m} -tp ${TP}",
    "a unit, quoted": '[Service]\nEnvironment="LEN=1" "TP=8"\nExecStart=/usr/bin/vllm serve {m} -tp ${TP}',
    "the null command": ': "${TP:=8}"\nvllm serve {m} -tp $TP',
    "in place": "vllm serve {m} -tp ${TP:=8}",
    "in place, also where empty": "vllm serve {m} -tp ${TP=8}",
    "set before": 'TP=8\n: "${TP:=4}"\nvllm serve {m} -tp $TP',
    "a container's": "services:\n  v:\n    image: vllm/vllm-openai\n    environment: {TP: 8}\n    command: --model {m} -tp $$TP",
    "a container's shell's": 'services:\n  v:\n    image: vllm/vllm-openai\n    environment:\n      - TP=8\n    entrypoint: ["sh", "-c"]\n    command: ["vllm serve {m} -tp $${TP}"]',
    "after a change of folder": 'ssh node "cd x && source env.sh; vllm serve {m} -tp 8"',
}  # fmt: skip


@pytest.mark.parametrize("text", SET.values(), ids=SET)
def test_a_variable_that_the_text_sets(text):
    parsed = read_command(text.replace("{m}", MODEL))
    assert parsed.settings == SERVE
    assert parsed.unresolved == []


@pytest.mark.parametrize("between", ["  # eight of them", "  # eight \\", "", "   ", " \\"], ids=repr)
def test_a_line_at_which_a_shell_ends_the_command(between):
    # bash -n on it: what follows is a command of its own, named --max-model-len.
    parsed = read_command(f"vllm serve {MODEL} -tp 8 \\\n{between}\n  --max-model-len 131072 \\\n  --max-num-seqs 4")
    assert parsed.settings == SERVE | {"max_model_len": 131_072, "max_num_seqs": 4}
    assert parsed.outcome == "read"
    said = [warning for warning in parsed.warnings if "shell ends the command" in warning]
    assert len(said) == 1
    assert "--max-model-len, --max-num-seqs" in said[0]


def test_a_blank_line_after_the_last_mark_ends_the_command():
    parsed = read_command(f"vllm serve {MODEL} -tp 8 \\\n\ncurl localhost:8000/health")
    assert parsed.settings == SERVE
    assert parsed.warnings == []


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("--speculative-config &#39;{&quot;method&quot;:&quot;mtp&quot;}&#39; --max-model-len 131072", {"speculative_method": "mtp", "max_model_len": 131_072}),
        ("&#45;&#45;max-model-len 131072 &amp;&amp; echo up", {"max_model_len": 131_072}),
        ("&#x2d;&#x2D;max-num-seqs 4 2&gt;&amp;1 | tee log", {"max_num_seqs": 4}),
    ],
)  # fmt: skip
def test_entities_of_a_page(text, more):
    assert read_command(f"vllm serve {MODEL} -tp 8 {text}").settings == SERVE | more


def test_a_flag_of_json_needs_its_value():
    with pytest.raises(InputError) as error:
        read_command(f"vllm serve {MODEL} -tp 8 --speculative-config")
    assert error.value.field == "speculative_config"


LINES = (
    f"model: {MODEL}\ntensor-parallel-size: 8\nspeculative-config:\n  method: mtp\nserved-model-name:\n  - a\n  - b\n"
)
FILES = {
    "below": "vllm serve --config config.yaml\n\n{y}",
    "above": "{y}\nvllm serve --config=config.yaml",
    "under its name": "vllm serve --config config.yaml\n# config.yaml\n{y}",
    "heredoc": "cat > config.yaml <<'EOF'\n{y}EOF\nvllm serve --config config.yaml",
    "heredoc, name last": "cat <<EOF > x/config.yaml\n{y}EOF\nvllm serve --config x/config.yaml",
    "map": "kind: ConfigMap\ndata:\n  config.yaml: |\n{i}---\nspec:\n  containers:\n  - image: vllm/vllm-openai:v0.33.0\n    args: ['--config', '/etc/config.yaml']",
    "fence": "```\nvllm serve --config config.yaml\n```\n```yaml\n{y}```",
}  # fmt: skip


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
def test_the_lines_of_a_config_file(text):
    indented = textwrap.indent(LINES, "    ")
    parsed = read_command(text.replace("{y}", LINES).replace("{i}", indented))
    assert parsed.settings == SERVE | {"speculative_method": "mtp"}
    assert parsed.unknown == []


def test_a_config_file_alone():
    parsed = read_command(f"# config.yaml\n{LINES}enforce-eager: true\nenable-expert-parallel: false\n")
    assert parsed.settings == SERVE | {"speculative_method": "mtp", "enforce_eager": True}
    with pytest.raises(InputError):
        read_command("model: GLM-5.2\nnote: it is good\n")


@pytest.mark.parametrize("more", ["", "\nhost: it is the one in the corner", "\ncat > other.yaml <<EOF\na: 1\nEOF"])
def test_a_config_file_that_is_not_shown(more):
    with pytest.raises(InputError) as error:
        read_command(f"vllm serve {MODEL} --config config.yaml{more}")
    assert error.value.field == "config"
