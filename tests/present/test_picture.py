"""Notebook outputs where a reader's software takes styles and inline SVG away: nothing may be left as a heap of words."""

from __future__ import annotations

import base64
import re
import xml.etree.ElementTree as ET
from html import unescape
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest

from glmcalc import Deployment, plan
from glmcalc.present.bar import budget_bar
from glmcalc.present.curve import Line, Point, curve
from glmcalc.present.display import show
from glmcalc.present.picture import still

ALLOWED = {"p", "div", "span", "b", "i", "del", "ins", "mark", "code", "pre", "h1", "h2", "small", "section", "table", "thead", "tbody",
           "tr", "th", "td", "img", "a", "ul", "ol", "li", "br", "header"}  # fmt: skip
BREAKS = {"p", "div", "h1", "h2", "section", "tr", "pre", "img", "li"}


class Cleaned(HTMLParser):
    """What a cleaner of the usual kind leaves: allowed tags, the text of the others, nothing of ``style``."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.silent = 0
        self.images: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.silent += tag == "style"
        if tag == "img":
            self.images.append(dict(attrs))
        if tag in BREAKS:
            self.text += "\n"
        elif tag in ("td", "th"):
            self.text += "\t"

    def handle_endtag(self, tag: str) -> None:
        self.silent -= tag == "style"

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.text += data


def cleaned(html: str) -> Cleaned:
    reader = Cleaned()
    reader.feed(html)
    return reader


def picture(image: dict[str, str | None]) -> ET.Element:
    head, data = str(image["src"]).split(",")
    assert head == "data:image/svg+xml;base64"
    return ET.fromstring(base64.b64decode(data))


@pytest.mark.parametrize("length", [131_000, 1_048_576])
def test_a_budget_reads_without_styles_and_drawings(length: int) -> None:
    made = plan(Deployment(gpu="h200_sxm", gpus=8, max_model_len=length, max_num_seqs=1, kv_cache_dtype="bfloat16"))
    left = cleaned(show(made, command=True)._repr_html_())
    lines = [line for line in left.text.split("\n") if line.strip()]
    assert made.verdict.reason in left.text
    rows = {
        line.split("\t")[1].strip(): line.split("\t")[2]
        for line in lines
        if line.startswith("\t") and line.count("\t") > 2
    }
    assert rows["Weights"] == "88.46"
    assert rows["Driver total"] == "139.80"
    # a heap: a name and its figure run into each other, or a figure and the next name
    assert not re.search(r"\bWeights ?88|GiB[A-Z]|\d{2}\.\d{2}[A-Za-z]", left.text)
    assert not [line for line in lines if "Utilization 0." in line], "labels of the bar stay in its picture"


def test_the_figure_stays_as_a_picture_with_its_sentence(plans: SimpleNamespace) -> None:
    (image,) = cleaned(still(budget_bar(plans.does_not_fit()))).images
    drawn = picture(image)
    words = " ".join("".join(text.itertext()) for text in drawn.iter("{http://www.w3.org/2000/svg}text"))
    assert words.count("one request needs 53.45 GiB") == 3  # in each of the three shapes
    assert "88.46" in str(image["alt"])
    assert "One request needs 53.45 GiB" in unescape(str(image["alt"]))
    assert image["width"] == "960", "its size where no style sheet says one: the lying shape, alone"


def test_hostile_text_makes_no_markup_in_the_picture(plans: SimpleNamespace) -> None:
    html = still(budget_bar(plans.hostile()))
    assert "<script" not in html
    (image,) = cleaned(html).images
    assert not list(picture(image).iter("{http://www.w3.org/2000/svg}script"))


def test_a_curve_is_one_picture_though_it_holds_a_drawing_within() -> None:
    points = (Point(8192, 40.0, 50.0, 60.0), Point(1 << 20, 0.3, 0.4, 0.5))
    drawn = curve(Line("present", points), [Line("DCP 2", points)], points[0])
    assert drawn.count("<svg") == 2
    left = cleaned(still(f"<p>before</p>{drawn}<p>after</p>"))
    assert left.text.split() == ["before", "after"]
    assert len(left.images) == 1
    picture(left.images[0])


def test_icons_stay_where_they_are(plans: SimpleNamespace) -> None:
    icon = '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M4 12"/></svg>'
    assert still(icon) == icon


def test_a_drawing_of_another_library_keeps_its_own_size() -> None:
    drawn = '<svg xmlns="http://www.w3.org/2000/svg" width="620" height="230"><text>step&nbsp;1</text></svg>'
    (image,) = cleaned(still(drawn)).images
    assert (image["width"], image["height"]) == ("620", "230")
    assert "".join(picture(image).itertext()) == "step\xa01"
