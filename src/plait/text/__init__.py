"""What somebody wrote, read in memory: its language, what it names, in which mood, and what its writer wants.

Nothing here keeps a text, reads a file of a model at run time, or asks the network. A ``Reading`` holds closed words and numbers
only, so that it may rest where the text may not (law 8).
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from plait.delicate import refused
from plait.folding import words_of
from plait.text.languages import language_of
from plait.text.moods import NEUTRAL, mood_of
from plait.text.names import Named, Names

__all__ = ["NEUTRAL", "Mention", "Named", "Names", "Reading", "read", "refused"]

MOST_NAMED = 16  # things that one text may be about; one that names more is a list


class Mention(msgspec.Struct, frozen=True):
    """Something that a text names.

    Attributes:
        kind: ``item`` or ``topic``.
        id: the item's id, or the topic.
        sentiment: towards it, -1..1.
        confidence: that it is meant, 0..1.
        how: ``name``, ``hashtag`` or ``link``.
    """

    kind: str
    id: str
    sentiment: float
    confidence: float
    how: str


class Reading(msgspec.Struct, frozen=True):
    """What a text says; none of the text.

    Attributes:
        language: ISO 639-1, ``None`` when there are no words.
        sentiment: -1..1; between -0.2 and 0.2 it is neutral.
        intent: ``question complaint praise purchase``, or ``None``.
        mentions: items first, then topics; at most 16.
    """

    language: str | None = None
    sentiment: float = 0.0
    intent: str | None = None
    mentions: tuple[Mention, ...] = ()

    @property
    def items(self) -> tuple[str, ...]:
        """The items it names."""
        return tuple(one.id for one in self.mentions if one.kind == "item")

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics it names."""
        return tuple(one.id for one in self.mentions if one.kind == "topic")


NOTHING = Reading()


def read(text: str, names: Names | None = None, *, context: Collection[str] = ()) -> Reading:
    """Read a text.

    Args:
        text: of any length and content; 4,000 characters of it count.
        names: of the catalog.
        context: ids of items that the conversation is about: what "it" is, and which of two look-alikes is meant.
    """
    words = words_of(text)
    if not words.folded:
        return NOTHING
    looked = names.spans(words) if names is not None else []
    language = language_of(words, {at for start, end, _ in looked for at in range(start, end)})
    named = names.find(words, looked, language, context)[:MOST_NAMED] if names is not None else []
    named.sort(key=lambda one: one.kind != "item")
    spans = [(one.start, one.end) for one in named if one.kind == "item"]
    mood = mood_of(words, language, spans, about=bool(context))
    towards = [*mood.towards, *[mood.sentiment] * (len(named) - len(spans))]
    return Reading(
        language,
        mood.sentiment,
        mood.intent,
        tuple(
            Mention(one.kind, one.id, felt, one.confidence, one.how)
            for one, felt in zip(named, towards, strict=True)
        ),
    )
