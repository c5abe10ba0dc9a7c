"""Pastes that would make a careless reader slow, endless or wrong: time grows with the length, and nothing else comes out."""

import time

import pytest

from glmcalc.commands import read_command
from glmcalc.commands.read import LONGEST
from glmcalc.facts.errors import InputError

LONG = 200_000
HEAD = "vllm serve a/b "


def outcome(text):
    """What was read, or why not."""
    try:
        return read_command(text)
    except InputError as error:
        return error


def filled(unit, head=HEAD, tail=""):
    return head + unit * (LONG // len(unit)) + tail


SLOW = {
    "one long word": filled("a"),
    "digits": filled("9", HEAD + "--max-model-len "),
    "blank lines": filled("\n"),
    "blanks before a mark": filled(" ", HEAD, "\\\n"),
    "tabs": filled("\t", HEAD, "x"),
    "diff marks": filled("+\n", "", HEAD),
    "quotes": filled('"'),
    "a quote on each line": filled('vllm serve "a\n', ""),
    "backticks": filled("`"),
    "continuations": filled("\\\n"),
    "flags on lines": filled("--seed 1 \\\n"),
    "unknown flags": HEAD + " ".join(f"--zz{number}" for number in range(LONG // 8)),
    "one unknown flag": filled("--zzq-abc 1 "),
    "expansions that never close": filled("${a"),
    "commands that never close": filled("$("),
    "percent signs": filled("%A"),
    "variables that grow": filled("A=$A$A$A\n", "", HEAD + "$A"),
    "variables that double": filled("A=$A$A\n", "A=x\n", HEAD + "--max-num-seqs $A"),
    "chained variables": "".join(f"A{n}=$A{n - 1}\n" for n in range(1, LONG // 14)) + HEAD,
    "environment": filled("A=b ", "", HEAD),
    "many commands": filled("vllm serve a/b\n", ""),
    "variables and commands": "".join(f"A{n}=x\n" for n in range(LONG // 16)) + filled("vllm serve a/b\n", ""),
    "shells": filled("bash -lc ", ""),
    "dockers": filled("docker run -e A=b ", ""),
    "commands in backticks": filled("vllm serve ", "`"),
    "many arrays": filled("A=(\n", "", HEAD),
    "nested lists": filled("], [", "run(['a', ", "])"),
    "images": filled("CMD [\n", ""),
    "services": filled("ExecStart=vllm", ""),
    "deep JSON": filled("[", HEAD + "--hf-overrides '", "'"),
    "deep JSON after a dot": filled("[", HEAD + "--compilation-config.x "),
    "a deep path": filled("a.", HEAD + "--compilation-config.", " 1"),
    "deep YAML": filled("[", "command:\n"),
    "a deep list": filled("[", "['a',", "]"),
    "list items": filled("- --zz\n", ""),
    "aliases": "command: &c [x]\na0: &a0 {args: [x]}\n" + "".join(f"a{n}: &a{n} [{f'*a{n - 1}, ' * 9}]\n" for n in range(1, 30)),
    "an alias of itself": "command: &a {args: *a}",
}  # fmt: skip


@pytest.mark.parametrize("name", SLOW)
def test_time_grows_with_the_length_only(name):
    started = time.process_time()
    answer = outcome(SLOW[name])
    assert time.process_time() - started < 8
    assert not isinstance(answer, InputError) or len(answer.message) < 1_000


def test_a_text_longer_than_any_command_is_refused():
    with pytest.raises(InputError) as caught:
        read_command("x" * (LONGEST + 1))
    assert caught.value.field == "command"
    assert "1,000,000" in caught.value.allowed


@pytest.mark.parametrize(
    "text",
    [
        "command: [vllm, serve, a/b, --x, !!timestamp x]",
        "command: [vllm, serve, a/b, --seed, 2020-13-45]",
        "command: !!python/object:os.system x",
        "args: [!!int x]\nimage: vllm",
        "args: {? [a]: b}",
        "image: [vllm]\nargs: [--model, x]",
        "env: 3\nargs: [--model, x]\nimage: vllm/vllm-openai",
        "env: [{name: A}, {value: b}, 3, null]\nargs: [null, 1, 2.5, true, {a: b}]\nimage: vllm/vllm-openai",
        "command: null\nargs: ''\nimage: vllm",
        '"Args": [1, null, {"a": 2}]',
        '"Args": ["serve"',
        "['--model', 3, None]",
        "vllm serve a/b --speculative-config '[[1]]'",
        "vllm serve a/b --speculative-config 'null'",
        'vllm serve a/b --speculative-config \'{"method": [1], "num_speculative_tokens": true}\'',
        "vllm serve a/b --speculative-config.num_speculative_tokens 3 --speculative-config 5",
        "vllm serve a/b --speculative-config.a 1 --speculative-config.a.b 2",
        "vllm serve a/b --max-model-len \ud800",
        "vllm serve \x00 --max-model-len \x00",
        "vllm serve a/b --max-model-len 99999999999999999999k",
        "vllm serve a/b --gpu-memory-utilization 1e999",
        "vllm serve a/b --max-model-len ١٢٨",
        "llama-server -m x -c many",
        "sglang serve a/b --tp",
        "python -m sglang.launch_server --tp 2 --mem-fraction-static nan",
        "docker run",
        "docker run -e",
        "docker run vllm/vllm-openai",
        "bash -lc",
        "bash -lc ''",
        "export",
        "--",
        "vllm serve --",
        "vllm serve a/b -- -tp 2",
        "vllm serve -",
        "vllm serve a/b --=",
        "vllm serve a/b -tp=",
        "vllm serve a/b --.x 1",
        "vllm serve a/b --speculative-config. 1",
        "${",
        "vllm serve ${a:-${b}}",
    ],
)
def test_odd_texts_are_read_or_refused(text):
    answer = outcome(text)
    if isinstance(answer, InputError):
        assert answer.field
        assert answer.allowed
    else:
        assert answer.outcome in ("read", "read_with_warning", "ask")
        assert all(value == value for value in answer.settings.values()), "a number that is none"
