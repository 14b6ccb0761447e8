"""The page of an evaluation: complete, alone, and honest about what chance could have made."""

from __future__ import annotations

import copy
import re
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest

from plait.evaluate.html import LINES, as_html

_SIZES = {"popularity": 0.03, "activity": 0.08, "social": 0.05, "combined": 0.09}


def lift(relative: float | None, low: float = 0.0, high: float = 0.0) -> dict[str, Any]:
    one = {"relative": relative, "ci95": None if relative is None else [low, high]}
    return {"combined_vs_activity": {"ndcg@20": one}, "combined_vs_social": {"ndcg@20": one}}


def found(**more: Any) -> dict[str, Any]:
    names = ("ndcg@10", "ndcg@20", "recall@10", "recall@20", "hr@20", "mrr@20", "coverage@20")
    lines = {line: {name: {"mean": size, "se": 0.002} for name in names} for line, size in _SIZES.items()}
    rows = [
        {"from": 0, "below": 1, "people": 12, "lines": lines, "lift": lift(0.3, 0.1, 0.5)},
        {"from": 1, "below": 2, "people": 34, "lines": lines, "lift": lift(None)},
        {"from": 16, "below": None, "people": 56, "lines": lines, "lift": lift(0.01, -0.1, 9.0)},
    ]
    told = {
        "people": 102, "items": 2_000, "train_rows": 30_000, "ties": 0, "seed": 7, "fit_seconds": 1.5, "tuning_seconds": 3.0,
        "lines": lines, "lift": lift(0.125, 0.05, 0.2), "by_history": rows, "gated_off": [], "notes": [],
        "gates": {"history": [0, 1], "channels": {"web/view": [0.0, 2.0], "web/add": [0.0, 0.0]}, "held_back_to": {"0": 0.5}},
    }  # fmt: skip
    return copy.deepcopy(told | more)


class _Page(HTMLParser):
    """Every tag is closed, in order; attributes that could fetch something are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [
            str(value) for name, value in attrs if name in ("src", "href", "srcset", "data", "xlink:href")
        ]
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_asks_nobody_for_anything():
    text = as_html(found(), name="ours")
    page = _Page()
    page.feed(text)

    assert page.open == []
    assert page.fetched == []
    assert "script" not in page.tags
    assert "url(" not in text
    assert "@import" not in text


def test_every_plot_is_well_formed_and_within_its_frame():
    for svg in re.findall(r"<svg.*?</svg>", as_html(found(), name="ours"), re.S):
        root = ElementTree.fromstring(svg)
        left, _, width, height = map(
            float, root.attrib["viewbox" if "viewbox" in root.attrib else "viewBox"].split()
        )
        for one in root.iter("circle"):
            assert left <= float(one.attrib["cx"]) <= left + width
            assert -8 <= float(one.attrib["cy"]) <= height


@pytest.mark.parametrize(
    ("told", "kind", "words"),
    [
        (lift(0.125, 0.05, 0.2), "up", "<b>better</b>"),
        (lift(-0.125, -0.2, -0.05), "down", "<b>worse</b>"),
        (lift(0.125, -0.05, 0.3), "level", "no difference that chance would not make"),
        (lift(None), "none", "no single source to compare with"),
    ],
)
def test_the_headline_says_no_more_than_its_interval(told: dict[str, Any], kind: str, words: str):
    text = as_html(found(lift=told), name="ours")

    assert f'class="hero {kind}"' in text
    assert words in text


def test_it_compares_with_the_best_single_source():
    told = found(
        lift={
            "combined_vs_activity": {"ndcg@20": {"relative": 0.5, "ci95": [0.4, 0.6]}},
            "combined_vs_social": {"ndcg@20": {"relative": 0.05, "ci95": [0.01, 0.1]}},
        }
    )
    told["lines"]["social"]["ndcg@20"]["mean"] = 0.085
    text = as_html(told, name="ours")

    assert "<b>social</b>" in text
    assert "<strong>+5.0%</strong>" in text


def test_what_names_say_is_text():
    text = as_html(found(gated_off=["web/<script>alert(1)</script>"], notes=["<img src=x>"]), name="a<b>'\"&")

    assert "<script" not in text
    assert "<img" not in text
    assert "a&lt;b&gt;&#x27;&quot;&amp;" in text


def test_zeros_and_few_people_draw_a_page_too():
    told = found(by_history=[])
    for line in LINES:
        for one in told["lines"][line].values():
            one |= {"mean": 0.0, "se": 0.0}

    assert "<h1>ours</h1>" in as_html(told, name="ours")


def test_the_gates_are_told_by_how_much_is_known():
    text = as_html(found(gated_off=["web/add"]), name="ours")

    assert "<b>web/add</b> did not help, and is off" in text
    assert "With nothing known, combining was held back to 50% of itself" in text
    assert re.search(r"web/view</th><td style='--part:0.000'>·</td><td style='--part:1.000'>100</td>", text)
