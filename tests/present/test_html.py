"""Verdict, table, commands and notes: what they must say, and that no text becomes markup."""

from __future__ import annotations

import re
from html import unescape
from types import SimpleNamespace

import pytest

from glmcalc.facts.errors import InputError
from glmcalc.present.bar import budget_bar
from glmcalc.present.command_html import command_block, command_section, engine_message, mend, notes, wrapped
from glmcalc.present.prose import prose, source
from glmcalc.present.table_html import component_table
from glmcalc.present.verdict_html import WORDS, bad_input, brief, starting, verdict

BAD = "<script>"


def words(html: str) -> str:
    return unescape(re.sub(r"<[^>]+>", "", html))


@pytest.mark.parametrize("case", ["fits", "does_not_fit", "marginal", "unsupported"])
def test_verdict_has_shape_word_sentence_and_advice(plans: SimpleNamespace, case: str) -> None:
    plan = getattr(plans, case)()
    html = verdict(plan)
    assert f'data-status="{case}"' in html
    assert "<svg" in html
    assert WORDS[case] in html
    assert plan["verdict"]["reason"] in words(html)
    assert plan["verdict"]["advice"].replace("`", "")[1:] in words(
        html
    )  # without its first letter: it may follow an "Or"


def test_what_settles_it_is_said_once(plans: SimpleNamespace) -> None:
    plan = plans.marginal()
    line = "start once and paste the line `Available KV cache memory`"
    said = {**plan["verdict"], "mend": None, "advice": f"{line[:1].upper()}{line[1:]}.", "settle": line}
    shown = words(verdict({**plan, "verdict": said}))
    assert shown.count("tart once and paste the line") == 1
    assert "To settle it" in words(verdict({**plan, "verdict": {**said, "advice": "Wait."}}))


def test_tiles_differ_by_icon_and_word_not_only_by_colour(plans: SimpleNamespace) -> None:
    tiles = [verdict(getattr(plans, case)()) for case in ("fits", "does_not_fit", "marginal", "unsupported")]
    tiles += [bad_input(InputError("f", 1, "2").to_dict(), True), starting()]
    icons = [re.search(r"<svg.*?</svg>", html)[0] for html in tiles]  # type: ignore[index]
    assert len(set(icons)) == len(set(re.search(r"<span>(.*?)<", html)[1] for html in tiles)) == 6  # type: ignore[index]


def test_bad_input_names_field_value_and_what_is_allowed() -> None:
    error = InputError("max_model_len", 2_000_000, "1 to 1,048,576 tokens")
    html = bad_input(error.to_dict(), kept=True)
    for said in ("max_model_len", "2000000", "1 to 1,048,576 tokens", "greyed"):
        assert said in html
    assert "greyed" not in bad_input(error.to_dict(), kept=False)
    assert BAD not in bad_input(InputError("gpu", BAD, "a GPU").to_dict(), kept=True)


def test_starting_says_that_it_is_busy() -> None:
    assert 'aria-busy="true"' in starting()


def test_brief_has_the_two_numbers(plans: SimpleNamespace) -> None:
    assert words(brief(plans.fits())) == "Fits3.8 × 131,072 tokens; pool 25.70 GiB"
    assert words(brief(plans.does_not_fit())) == "Does not fitneeds 53.45, pool 32.42 GiB"


@pytest.mark.parametrize(
    "make", [verdict, budget_bar, component_table, command_section, engine_message, mend, notes, brief]
)
def test_hostile_text_stays_text(plans: SimpleNamespace, make: object) -> None:
    html = make(plans.hostile())  # type: ignore[operator]
    assert "<script" not in html
    assert not re.search(r"<[^>]*\salert\(1\)", html)
    assert 'href="javascript' not in html


def test_printed_table_adds_up(plans: SimpleNamespace) -> None:
    for make in (plans.fits, plans.does_not_fit, plans.marginal):
        html = component_table(make())
        sums, inside, total = [], 0, 0
        for row in re.findall(r"<tr(.*?)</tr>", html.split("<tbody>")[1]):
            figure = re.search(r'<td class="r">([−\d.,]+)</td>', row)
            assert figure
            value = int(figure[1].replace("−", "-").replace(".", "").replace(",", ""))
            if 'class="sum"' in row:
                sums.append(value)
                assert value == (inside if len(sums) == 1 else sums[0] + total)
                total = 0
            else:
                inside += value
                total += value
        assert len(sums) == 2


def test_table_says_basis_in_words_and_links_sources(plans: SimpleNamespace) -> None:
    html = component_table(plans.fits())
    for basis in ("exact", "measured", "estimated"):
        assert f'<span class="gm-basis {basis}">{basis}</span>' in html
    assert '<a href="https://example.org/logs/6"' in html
    assert ">flashmla_sparse.py</a>" in html


def test_command_keeps_its_words_and_marks_the_change(plans: SimpleNamespace) -> None:
    command = plans.fits()["command"]
    html = command_block(command, ["--max-model-len"])
    assert "<mark>--max-model-len 131072</mark>" in html
    assert html.count("<mark>") == 1
    shown = words(re.search(r"<pre.*?</pre>", html, re.DOTALL)[0])  # type: ignore[index]
    assert shown.replace(" \\\n ", "").split() == command.split()


def test_wrapping_breaks_only_before_flags() -> None:
    command = 'vllm serve m --tensor-parallel-size 8 --speculative-config \'{"method": "mtp"}\' --max-model-len 9'
    lines = wrapped(command, 40).split("\n")
    assert all(line.lstrip().startswith("--") for line in lines[1:])
    assert all(line.endswith("\\") for line in lines[:-1])
    assert " ".join(line.rstrip("\\").strip() for line in lines) == command


def test_mend_shows_from_and_to(plans: SimpleNamespace) -> None:
    html = mend(plans.does_not_fit())
    assert "<del>not set</del>" in html
    assert "<ins>2</ins>" in html
    assert "<mark>--decode-context-parallel-size 2</mark>" in html
    assert mend(plans.fits()) == ""


def test_notes_do_not_repeat_the_watch_line(plans: SimpleNamespace) -> None:
    plan = plans.fits()
    plan["warnings"] = [plan["verdict"]["watch"], "another"]
    assert notes(plan).count("<li>") == 1


def test_prose_marks_flags_and_links_addresses() -> None:
    assert prose("Use `--block-size 64`.") == "Use <code>--block-size 64</code>."
    html = prose("see https://github.com/vllm-project/vllm/issues/46074); then <b>")
    assert '<a href="https://github.com/vllm-project/vllm/issues/46074"' in html
    assert ">vllm#46074</a>); then &lt;b&gt;" in html
    assert source("javascript:alert(1)") == "javascript:alert(1)"
