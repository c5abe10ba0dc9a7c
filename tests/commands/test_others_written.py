"""Commands of SGLang and llama-server as people write them: read into a budget, written back, read again the same."""

import json
import shlex

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glmcalc.commands.read import read_command
from glmcalc.commands.write_others import format_llamacpp, format_sglang
from glmcalc.facts.errors import InputError
from glmcalc.model.deployment import Deployment
from glmcalc.model.pasted import read_pasted, settings_of
from glmcalc.present.board import Board
from glmcalc.present.cli import main
from glmcalc.solve.answer import answer

SGLANG = {
    "python -m sglang.launch_server --model-path zai-org/GLM-5.2-FP8 --tp 8 --trust-remote-code": {
        "model": "zai-org/GLM-5.2-FP8", "tensor_parallel_size": 8,
    },
    """docker run --gpus all --shm-size 32g -p 30000:30000 --ipc=host lmsysorg/sglang:v0.5.17-cu129 \\
      python3 -m sglang.launch_server --model zai-org/GLM-5.2-FP8 --tp-size 8 --dp-size 8 --enable-dp-attention \\
      --kv-cache-dtype fp8_e4m3 --mem-fraction-static 0.88 --chunked-prefill-size 16384 --cuda-graph-max-bs 64 \\
      --max-running-requests 256 --context-length 131072""": {
        "engine_version": "0.5.17", "data_parallel_size": 8, "enable_dp_attention": True, "kv_cache_dtype": "fp8_e4m3",
        "mem_fraction_static": 0.88, "chunked_prefill_size": 16384, "cuda_graph_max_bs": 64, "max_running_requests": 256,
        "context_length": 131072,
    },
    """sglang serve --model-path nvidia/GLM-5.2-NVFP4 --tp 4 --quantization modelopt_fp4 --speculative-algorithm EAGLE \\
      --speculative-num-steps 3 --speculative-eagle-topk 1 --speculative-num-draft-tokens 4 --ep-size 4 \\
      --max-total-tokens 500000 --disable-cuda-graph --enable-hierarchical-cache""": {
        "model": "nvidia/GLM-5.2-NVFP4", "quantization": "modelopt_fp4", "speculative_method": "EAGLE",
        "num_speculative_tokens": 4, "expert_parallel_size": 4, "max_total_tokens": 500000, "disable_cuda_graph": True,
        "hierarchical_cache": True,
    },
}  # fmt: skip
LLAMA = {
    "$ ./build/bin/llama-server -m ~/models/GLM-5.2-UD-Q4_K_XL-00001-of-00011.gguf -c 65536 -ngl 99 -fa on --jinja": {
        "model": "~/models/GLM-5.2-UD-Q4_K_XL-00001-of-00011.gguf", "ctx_size": 65536, "n_gpu_layers": 99, "flash_attention": True,
    },
    "llama-server -hf unsloth/GLM-5.2-GGUF:UD-Q2_K_XL --ctx-size 131072 -ctk q8_0 -ctv q8_0 -np 4 -ub 2048 --n-cpu-moe 60": {
        "model": "unsloth/GLM-5.2-GGUF:UD-Q2_K_XL", "ctx_size": 131072, "cache_type_k": "q8_0", "cache_type_v": "q8_0",
        "parallel": 4, "ubatch_size": 2048, "n_cpu_moe": 60,
    },
    r"""numactl --interleave=all llama-server --model GLM-5.2-Q8_0.gguf --n-gpu-layers all -fa -ot "blk\.([0-9])\.ffn_.*_exps=CUDA0" \
      -ot ".ffn_.*_exps.=CPU" -nkvo --no-mmap""": {
        "n_gpu_layers": -2, "flash_attention": True, "kv_on_cpu": True,
        "override_tensor": (r"blk\.([0-9])\.ffn_.*_exps=CUDA0", ".ffn_.*_exps.=CPU"),
    },
}  # fmt: skip
ALL = {**SGLANG, **LLAMA}


def deployment(text, **beside):
    return Deployment.from_settings(settings_of(read_pasted(text)), gpu="h200_sxm", **beside)


@pytest.mark.parametrize("text", ALL, ids=range(len(ALL)))
def test_every_stated_setting_is_read(text):
    made = deployment(text)
    assert made.engine == ("sglang" if text in SGLANG else "llama.cpp")
    assert {name: getattr(made, name) for name in ALL[text]} == ALL[text]


@pytest.mark.parametrize("text", ALL, ids=range(len(ALL)))
def test_the_command_comes_back(text):
    """The written command is budgeted as the pasted one was, but for the range of a default that it states, and comes back."""
    first = answer(deployment(text), read_pasted(text))
    second = answer(deployment(first["command"], engine_version=first["deployment"]["engine_version"]))
    assert second["command"] == first["command"]
    sizes = [{part["name"]: part["bytes"] for part in one["per_gpu"]["components"]} for one in (first, second)]
    assert sizes[0] == sizes[1]
    assert second["kv"]["tokens"] == first["kv"]["tokens"]
    assert second["kv"]["bytes_per_token"] == first["kv"]["bytes_per_token"]


def test_flags_that_no_setting_holds_are_kept_and_told_apart():
    text = (
        "python -m sglang.launch_server --model-path zai-org/GLM-5.2-FP8 --tp 8 --host 0.0.0.0 --port 30000 "
        "--moe-a2a-backend deepep --page-size 64 --mem-fraction-static 0.85"
    )
    data = answer(deployment(text), read_pasted(text))
    assert data["no_effect_on_memory"] == ["--host", "--port"]
    assert data["not_modelled"] == ["--moe-a2a-backend", "--page-size"]
    assert "--moe-a2a-backend deepep" in data["command"]
    assert any("--moe-a2a-backend can move GiB" in warning for warning in data["warnings"])


def test_parse_prints_what_it_printed():
    """The settings of ``parse`` are its own list; a budget's further ones stay out of it."""
    parsed = read_command(
        "python -m sglang.launch_server --model-path m --tp 8 --chunked-prefill-size 8192 --ep 8"
    ).to_dict()
    assert parsed["settings"] == {"model": "m", "tensor_parallel_size": 8}
    assert parsed["not_modelled"] == ["--chunked-prefill-size", "--ep"]
    assert "engine_settings" not in parsed


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("python -m sglang.launch_server --model-path $MODEL --tp 8", "model"),
        ("python -m sglang.launch_server --model-path zai-org/GLM-5.2-FP8 --tp 8 --max-running-requests $N", "max_running_requests"),
        ("python -m sglang.launch_server --model-path zai-org/GLM-5.2-FP8 --tp 8 --chunked-prefill-size big", "chunked_prefill_size"),
        ("python -m sglang.launch_server --tp 8", "model"),
        ("llama-server -c 4096", "model"),
    ],
)  # fmt: skip
def test_what_stays_open_is_refused(text, field):
    with pytest.raises(InputError) as caught:
        deployment(text)
    assert caught.value.field == field


def test_options_override_a_pasted_command_by_either_name(capsys):
    text = "python -m sglang.launch_server --model-path zai-org/GLM-5.2-FP8 --tp 8 --context-length 131072"
    for option in ("--max-model-len", "--context-length"):
        main(["budget", text, "--gpu", "b200_sxm", option, "65536", "--json"])
        assert json.loads(capsys.readouterr().out)["deployment"]["context_length"] == 65536


def test_speculation_is_written_whole():
    """SGLang takes steps, top-k and draft tokens together or not at all; vLLM's depth is the number of steps."""
    stated = {"engine": "sglang", "gpu": "b200_sxm", "tensor_parallel_size": 8, "num_speculative_tokens": 3}
    ours = answer(Deployment(**stated, speculative_method="mtp"))["command"]
    assert (
        "--speculative-algorithm NEXTN --speculative-num-steps 3 --speculative-eagle-topk 1 --speculative-num-draft-tokens 4"
        in ours
    )
    own = answer(Deployment(**stated, speculative_method="EAGLE"))["command"]
    assert "--speculative-num-steps 2 --speculative-eagle-topk 1 --speculative-num-draft-tokens 3" in own


def test_secrets_do_not_come_back():
    text = (
        "python -m sglang.launch_server --model-path zai-org/GLM-5.2-FP8 --tp 8 --api-key sk-abcdefghijklmnopqrstuvwx"
    )
    assert "abcdefghijklmnop" not in answer(deployment(text))["command"]


def test_the_command_line_takes_each_engines_own_flags(capsys):
    argv = ["budget", "--engine", "sglang", "--gpu", "b200_sxm", "--tp", "8", "--mem-fraction-static", "0.85", "--json"]
    assert main([*argv, "--context-length", "131072"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert (data["deployment"]["mem_fraction_static"], data["deployment"]["context_length"]) == (0.85, 131072)
    assert (
        main(["budget", "--engine", "llama.cpp", "--gpu", "mac_m3_ultra_512", "-q", "UD-Q2_K_XL", "-c", "32768"]) == 0
    )
    text = capsys.readouterr().out
    assert text.startswith("FITS")
    assert "llama-server -hf unsloth/GLM-5.2-GGUF:UD-Q2_K_XL -c 32768" in text
    assert main(["budget", "--gpu", "h200_sxm", "--mem-fraction-static", "0.9"]) == 2
    assert "--engine sglang" in capsys.readouterr().err
    assert main(["budget", "--engine", "tgi", "--gpu", "h200_sxm"]) == 2
    assert "vllm, sglang, llama.cpp" in capsys.readouterr().err


def test_other_answers_refuse_and_do_not_budget_one_engine_as_another(capsys):
    for verb in (
        ["downgrade"],
        ["solve", "--for", "max-model-len"],
        ["diff", "--from-version", "0.26.0", "--to-version", "0.33.0"],
    ):
        assert main([verb[0], "python -m sglang.launch_server --model-path zai-org/GLM-5.2-FP8 --tp 8", *verb[1:], "--gpu", "h200_sxm"]) == 2  # fmt: skip
        assert "engine sglang" in capsys.readouterr().err


def test_the_calculator_page_says_so():
    board = Board()
    board.paste("python -m sglang.launch_server --model-path zai-org/GLM-5.2-FP8 --tp 8 --mem-fraction-static 0.85")
    assert board.error is not None
    assert "(budget, " in board.error.message
    assert board.view()["parts"]


def test_a_deployment_file(tmp_path, capsys):
    path = tmp_path / "d.toml"
    path.write_text(
        'engine = "sglang"\ngpu = "b200_sxm"\ntensor_parallel_size = 8\nmem_fraction_static = 0.85\n', "utf-8"
    )
    assert main(["budget", "--deployment", str(path), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["deployment"]["mem_fraction_static"] == 0.85
    path.write_text('engine = "sglang"\ngpu = "b200_sxm"\nmem_fraction_static = "most"\n', "utf-8")
    assert main(["budget", "--deployment", str(path)]) == 2
    assert "mem_fraction_static" in capsys.readouterr().err


@settings(max_examples=80, deadline=None)
@given(
    st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=30),
    st.integers(1, 10**6),
    st.booleans(),
)
def test_words_survive_any_shell(path, number, switch):
    line = format_llamacpp("-m", path, {"c": number, "cpu-moe": switch, "override-tensor": ("exps=CPU",)})
    words = shlex.split(line)
    assert words[:5] == ["llama-server", "-m", path, "-c", str(number)]
    assert ("--cpu-moe" in words) == switch
    words = shlex.split(format_sglang(path, {"tp": 8, "mem-fraction-static": 0.9, "dp": None}))
    assert words[3:] == ["--model-path", path, "--tp", "8", "--mem-fraction-static", "0.9"]


LINES = {
    "sglang": "sglang serve --model-path zai-org/GLM-5.2-FP8 --tp 8 ",
    "llama.cpp": "llama-server -m GLM-5.2-UD-IQ4_NL.gguf -ngl 99 ",
}


@pytest.mark.parametrize(
    ("engine", "flag", "meant"),
    [
        ("sglang", "--context-lenght 65536", "--context-length"),
        ("sglang", "--mem-fractoin-static 0.9", "--mem-fraction-static"),
        ("sglang", "--max_runing_requests 8", "--max-running-requests"),
        ("llama.cpp", "--n-cpu-moes 60", "--n-cpu-moe"),
        ("llama.cpp", "--ctx-sise 8192", "--ctx-size"),
        ("llama.cpp", "--paralell=2", "--parallel"),
    ],
)
def test_a_mistyped_flag_is_refused_as_the_engine_would(engine, flag, meant):
    text = LINES[engine] + flag
    name = flag.split("=")[0].split()[0]
    assert read_command(text).unknown == [{"flag": name, "nearest": meant}]
    with pytest.raises(InputError) as caught:
        read_pasted(text)
    assert caught.value.field == name
    assert f"did you mean {meant}?" in caught.value.message


# Flags of SGLang 0.5.18's server_args.py and of llama-server's README that lie nearest to those that are read.
REAL = {
    "sglang": ("--dwdp-size 2", "--ep-size 4", "--max-queued-requests 5", "--cuda-graph-bs 1 2 4", "--max-prefill-tokens 4096",
               "--enable-metrics-for-all-schedulers", "--disable-cuda-graph-padding", "--context-len 65536", "--moe-dp-size 2"),
    "llama.cpp": ("--batch-size 4096", "--n-cpu-ffn 3", "--log-file x", "--kv-offload", "--cache-type-k-draft f16", "--override-kv a=b",
                  "--op-offload", "--main-gpu 0", "--threads-batch 8", "--no-kv-unified"),
}  # fmt: skip


@pytest.mark.parametrize("engine", REAL)
def test_flags_of_the_engine_that_are_not_read_stay_not_modelled(engine):
    for flag in REAL[engine]:
        parsed = read_pasted(LINES[engine] + flag)
        assert not parsed.unknown, flag
    assert read_pasted(LINES[engine] + "--quite-another-thing 3").not_modelled == ["--quite-another-thing"]


def test_llamacpp_takes_underscores_for_dashes():
    """common/arg.cpp replaces them in every argument that begins with two dashes."""
    assert read_pasted(LINES["llama.cpp"] + "--ctx_size 8192").settings["ctx_size"] == 8192


@pytest.mark.parametrize(
    ("before", "after", "gpus"),
    [
        ("CUDA_VISIBLE_DEVICES=0,1 ", "", 2),
        ("HIP_VISIBLE_DEVICES=3 ", "", 1),
        ("CUDA_VISIBLE_DEVICES=GPU-8932f937,GPU-1f2e ", "", 2),
        ("CUDA_VISIBLE_DEVICES=-1 ", "", 1),
        ("CUDA_VISIBLE_DEVICES=0,1 ", " --split-mode none", 1),
    ],
)
def test_llamacpp_takes_the_gpus_that_it_sees(before, after, gpus):
    """Split mode ``layer`` is llama.cpp's default: a model goes over all visible devices (tools/server/README.md)."""
    parsed = read_pasted(before + LINES["llama.cpp"] + "-c 8192" + after)
    asked = Deployment.from_settings(settings_of(parsed), gpu="h200_sxm")
    data = answer(asked, parsed)
    assert data["deployment"]["gpus"] == gpus
    if not after and "-1" not in before:
        assert data["command"].startswith(f"{before}llama-server")
        again = read_pasted(data["command"])
        assert settings_of(again)["gpus"] == gpus


def test_gpus_given_beside_the_variable_win():
    parsed = read_pasted("CUDA_VISIBLE_DEVICES=0,1 " + LINES["llama.cpp"] + "-c 8192")
    asked = Deployment.from_settings({**settings_of(parsed), "gpus": 4}, gpu="h200_sxm")
    assert answer(asked, parsed)["deployment"]["gpus"] == 4
    assert "VISIBLE" not in answer(asked, parsed)["command"]
