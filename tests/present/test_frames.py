"""Tables of the chapters: whole words, honest figures."""

from __future__ import annotations

import re
from html import unescape

import pandas as pd

from glmcalc.facts.evidence import observations
from glmcalc.present import frames
from glmcalc.present.frame_html import as_table
from glmcalc.solve import accuracy


def rows_of(html: str) -> list[list[str]]:
    body = html[html.index("<tbody>") :]
    return [
        [unescape(re.sub(r"<[^>]+>", "", cell)) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)]
        for row in re.findall(r"<tr>(.*?)</tr>", body)
    ]


def test_no_word_is_cut() -> None:
    text = frames.accuracy_bytes_per_token().text
    assert "..." not in text[text.index("<tbody>") :]
    shown = {row[0] for row in rows_of(text)}
    for row in accuracy.rows_of_vllm(observations()):
        if row["id"] in shown:
            assert str(row["engine_version"] or "not stated") in unescape(re.sub(r"<[^>]+>", "", text))


def test_an_open_release_shows_both_sizes_and_which_agrees() -> None:
    """A log of a build between 0.23.0 and 0.26.0: 61,464 B with an indexer cache on all layers, 53,940 without; 53,936 seen."""
    (row,) = [row for row in rows_of(frames.accuracy_bytes_per_token().text) if row[0] == "jupiter-gh200-baseline"]
    assert row[3:6] == ["61,464", "53,940", "53,936.1"]
    assert row[-1] == "yes, the smaller"
    settled = [row for row in rows_of(frames.accuracy_bytes_per_token().text) if row[4] == ""]
    assert settled
    assert not [row for row in settled if "smaller" in row[-1] or "larger" in row[-1]]


def test_a_pool_below_zero_is_called_none() -> None:
    rows = rows_of(frames.accuracy_pool("predicted").text) + rows_of(frames.accuracy_pool("printed").text)
    pools = [cell for row in rows for cell in row[2:5]]
    assert any(cell.startswith("none (−") for cell in pools)
    assert not [cell for cell in pools if cell.startswith(("-", "−"))]


def test_figures_of_a_column_have_the_same_places_and_hostile_words_stay_words() -> None:
    frame = pd.DataFrame({"name": ["<script>", "b"], "size, GiB": [1.5, 22.25], "ok": [True, False], "n": [1000, None]})
    rows = rows_of(as_table(frame).text)
    assert [row[1] for row in rows] == ["1.50", "22.25"]
    assert [row[2] for row in rows] == ["yes", "no"]
    assert rows[1][3] == ""
    assert "<script" not in as_table(frame).text


def test_headings_on_two_levels_keep_their_figures_below_them() -> None:
    """One request of 1,048,576 tokens: 16,384 blocks of 64 x (1152 x 78 + 132 x 21) B in bf16."""
    text = frames.kv_sizing().text
    last = rows_of(text)[-1]
    assert last[0] == "1,048,576"
    assert float(last[1]) == round(16_384 * 64 * (1152 * 78 + 132 * 21) / 2**30, 2)
    assert re.findall(r'colspan="(\d)" class="r"', text) == ["5", "5", "5"]
