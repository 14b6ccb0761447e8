"""The gold set of texts, and how well they are read: ``dev``, ``test`` and ``late`` have been looked at while rules were made.
``later`` was written before the lists of words grew, ``last`` when they had grown; nobody looked at what is read wrong in them.

One line a text: language | text | what it names, each with a mood (+ - 0) | mood | intent | what the conversation is about.
Intents: question, complaint, praise, buy, none.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from plait.catalog.checks import checked_item
from plait.demo.shelf import items, shelf
from plait.text import NEUTRAL, Names, Reading, read

HERE = Path(__file__).parent / "data" / "text"
INTENTS = {"q": "question", "c": "complaint", "p": "praise", "b": "purchase", "n": None}
_NAMED = re.compile(r"([\w-]+?)(\+|-| 0)(?=[ ,]|$)")


@dataclass(frozen=True)
class Gold:
    """One text, as a person reads it."""

    language: str
    text: str
    items: dict[str, str]
    mood: str
    intent: str | None
    context: tuple[str, ...] = ()


@dataclass
class Score:
    """How a half was read."""

    texts: int = 0
    found: int = 0
    wanted: int = 0
    right: int = 0
    language: int = 0
    mood: int = 0
    intent: int = 0
    moods_of_items: int = 0
    items_with_mood: int = 0
    opposite: int = 0
    silent: int = 0
    moods: Counter[tuple[str, str]] = field(default_factory=Counter)  # (should be, was read)
    intents: Counter[tuple[str | None, str | None]] = field(default_factory=Counter)
    errors: list[tuple[str, str, str, str]] = field(default_factory=list)  # what, text, wanted, read
    of: Counter[str] = field(default_factory=Counter)

    @property
    def precision(self) -> float:
        return self.right / max(1, self.found)

    @property
    def recall(self) -> float:
        return self.right / max(1, self.wanted)

    def recalled(self, intent: str | None) -> float:
        """The part of an intent that is heard."""
        wanted = sum(many for (want, _), many in self.intents.items() if want == intent)
        return self.intents[intent, intent] / max(1, wanted)

    def believed(self, intent: str | None) -> float:
        """The part of what is read as an intent that is one."""
        read = sum(many for (_, got), many in self.intents.items() if got == intent)
        return self.intents[intent, intent] / max(1, read)

    @property
    def f1(self) -> float:
        return 2 * self.right / max(1, self.found + self.wanted)


def gold(half: str) -> list[Gold]:
    """The texts of ``dev``, ``test``, ``late``, ``later`` or ``last``."""
    found = []
    for line in (HERE / f"{half}.txt").read_text("utf-8").splitlines():
        parts = [*line.split("|"), ""][:6]
        language, text, named, mood, intent, context = parts
        found.append(
            Gold(
                language,
                text,
                {id: sign.strip() for id, sign in _NAMED.findall(named)},
                mood,
                INTENTS[intent],
                tuple(context.split()),
            )
        )
    return found


@cache
def demo_names() -> Names:
    """The names of the demo shop."""
    return Names(checked_item(one, field="item") for one in items(shelf(), now=1_750_000_000_000))


def sign(sentiment: float) -> str:
    """A sentiment as the gold set writes it."""
    return "+" if sentiment > NEUTRAL else "-" if sentiment < -NEUTRAL else "0"


def score(texts: list[Gold]) -> Score:
    """Read texts and count."""
    names, total = demo_names(), Score()
    for one in texts:
        reading = read(one.text, names, context=one.context)
        _count(total, one, reading)
    return total


def _count(total: Score, one: Gold, reading: Reading) -> None:
    found = {mention.id: mention for mention in reading.mentions if mention.kind == "item"}
    # What the conversation is about is known; being silent about it is no miss.
    wanted = {id: mood for id, mood in one.items.items() if id not in one.context}
    got = {id for id in found if id not in one.context}
    total.texts += 1
    total.of[one.language] += 1
    total.found += len(got)
    total.wanted += len(wanted)
    total.right += len(got & wanted.keys())
    if got != wanted.keys():
        total.errors.append(
            ("items", one.text, " ".join(sorted(wanted)) or "none", " ".join(sorted(got)) or "none")
        )
    total.language += reading.language == one.language
    if reading.language != one.language:
        total.errors.append(("language", one.text, one.language, str(reading.language)))
    felt = sign(reading.sentiment)
    total.mood += felt == one.mood
    total.moods[one.mood, felt] += 1
    total.intents[one.intent, reading.intent] += 1
    total.opposite += {felt, one.mood} == {"+", "-"}
    total.silent += felt == "0" != one.mood
    if sign(reading.sentiment) != one.mood:
        total.errors.append(
            ("sentiment", one.text, one.mood, f"{sign(reading.sentiment)} ({reading.sentiment})")
        )
    total.intent += reading.intent == one.intent
    if reading.intent != one.intent:
        total.errors.append(("intent", one.text, str(one.intent), str(reading.intent)))
    for id, mood in wanted.items():
        if id in found:
            total.items_with_mood += 1
            total.moods_of_items += sign(found[id].sentiment) == mood
            if sign(found[id].sentiment) != mood:
                total.errors.append(("mood of item", one.text, f"{id} {mood}", str(found[id].sentiment)))
