"""From a network's facts to events, and from the company's posts to the items they are about.

What somebody wrote is read here, in memory, and only what it says (which items, in what mood, with what intent) goes on.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from plait.catalog.checks import MAX_TIES
from plait.catalog.items import POST, Tie
from plait.connectors import Fact, Post
from plait.events import About
from plait.intake.signals import TEXT
from plait.intake.told import Told
from plait.text import NEUTRAL, Mention, Names, Reading, read, refused
from plait.text.nearness import Nearness

TITLE = 200  # characters of a post that are its title
LINKED = 0.98  # how sure it is what a link to an item's page, or a product tag, is about
CERTAIN = 0.95
LEAST = 0.2  # confidence of a tie that is worth keeping
UNDATED = "undated"  # a property for the door only, see ``Fact.dated``
MOST_MENTIONED = 8  # things that one text's writer may be told to care for

NOBODY = Names(())


def told_of(fact: Fact, source: str, names: Names = NOBODY) -> list[Told]:
    """The events that a fact becomes: itself, and one for each item and topic that its text speaks about.

    Of the text only the reading goes on. All of them carry the fact's record, so that taking it back takes all back.

    Args:
        fact: of a connector.
        source: of the account, ``bluesky:shop.example``.
        names: of the catalog; without any no item is found in a text.
    """
    properties: dict[str, Any] = (
        {"completeness": fact.completeness} if fact.completeness != "identified" else {}
    )
    if not fact.dated:
        properties[UNDATED] = True
    whole = Told(
        id=fact.id,
        source=source,
        signal=fact.signal,
        op=fact.op,
        at=fact.at,
        who=(fact.actor,) if fact.actor else (),
        about=fact.about,
        value=fact.value,
        record=fact.record,
        properties=properties,
    )
    if not fact.text or fact.op != "assert" or fact.signal not in TEXT:
        return [whole]
    about = fact.about.post
    reading = read(fact.text, names, context=names.tied(about) if about else ())
    whole.properties = properties | _said(reading, reading.sentiment)
    whole.value = interest(reading.sentiment, reading.intent)
    mentions = _mentioned(reading, fact, names)
    return [whole, *(_part(whole, one, reading) for one in mentions[:MOST_MENTIONED])]


def interest(sentiment: float, intent: str | None) -> float:
    """How much interest a text shows, 0..1: none where it blames or complains, more the more it praises.

    Args:
        sentiment: towards the thing, -1..1.
        intent: of the text.
    """
    if intent == "complaint" or sentiment < -NEUTRAL:
        return 0.0
    return 1.0 if intent == "purchase" else round(0.5 + 0.5 * max(0.0, sentiment), 3)


def _said(reading: Reading, sentiment: float) -> dict[str, Any]:
    told = {"language": reading.language, "sentiment": sentiment, "intent": reading.intent}
    return {name: value for name, value in told.items() if value is not None}


def _mentioned(reading: Reading, fact: Fact, names: Names) -> list[Mention]:
    """What a text names, and what it links to; what the act is about by itself is told already."""
    found = {(one.kind, one.id): one for one in reading.mentions}
    for link in fact.links[:16]:
        item = names.item_at(link)
        if item is not None:
            found["item", item] = Mention("item", item, reading.sentiment, LINKED, "link")
    here = {("item", fact.about.item), ("topic", fact.about.topic)}
    return [
        one
        for key, one in found.items()
        if key not in here and refused(one.id if one.kind == "topic" else "") is None
    ]


def _part(whole: Told, one: Mention, reading: Reading) -> Told:
    mark = blake2b(f"{whole.id}\n{one.kind}:{one.id}".encode(), digest_size=8).hexdigest()
    # Who blames one thing of two complains of that one alone.
    intent = reading.intent if reading.intent != "complaint" or one.sentiment <= NEUTRAL else None
    return Told(
        id=f"{whole.id[:200]}~{mark}",
        source=whole.source,
        signal=whole.signal,
        at=whole.at,
        who=whole.who,
        about=About(item=one.id) if one.kind == "item" else About(topic=one.id),
        value=round(one.confidence * interest(one.sentiment, intent), 3),
        record=whole.record,
        properties={"sentiment": one.sentiment, "how": one.how, "confidence": one.confidence}
        | {name: whole.properties[name] for name in ("completeness", UNDATED) if name in whole.properties},
    )


# -- posts -------------------------------------------------------------------------------------------------------


def ties_of(post: Post, names: Names, near: Nearness | None = None) -> list[Tie]:
    """What a post of the company is about, the surest first.

    By its links and product tags; by hashtags and names; and where these say nothing, by nearness of meaning.

    Args:
        post: as a connector tells it.
        names: of the catalog.
        near: topics by meaning; ``None`` where the extra is not installed.
    """
    found: dict[str, Tie] = {}
    for link in post.links[:64]:
        _add(found, "item", names.item_at(link), LINKED, "link")
    for product in post.products[:64]:
        _add(found, "item", names.item_called(product), LINKED, "product tag")
    for kind, id, confidence in names.tagged(post.tags[:64]):
        _add(found, kind, id, confidence, "hashtag")
    for one in read(post.text, names).mentions:
        _add(found, one.kind, one.id, one.confidence, one.how)
    if near is not None and not any(one.confidence > 0.5 for one in found.values()):
        for topic, confidence in near.topics(post.text):
            _add(found, "topic", topic, confidence, "meaning")
    ordered = sorted(found.values(), key=lambda one: (-one.confidence, one.to))
    return [one for one in ordered if one.confidence >= LEAST][:MAX_TIES]


def _add(found: dict[str, Tie], kind: str, id: str | None, confidence: float, how: str) -> None:
    if id is None or (kind == "topic" and refused(id)):
        return
    to = f"{kind}:{id}"
    if to not in found or found[to].confidence < confidence:
        found[to] = Tie(to=to, confidence=confidence, how=how)


def item_of(post: Post, source: str, names: Names = NOBODY, near: Nearness | None = None) -> dict[str, Any]:
    """A post as ``POST /v1/items`` takes it; what a person said of its ties stays with the item that is there."""
    item: dict[str, Any] = {
        "id": post.id,
        "kind": POST,
        "title": " ".join(post.text.split())[:TITLE],
        "published": post.at,
        "ties": [
            {"to": one.to, "confidence": one.confidence, "how": one.how} for one in ties_of(post, names, near)
        ],
        "attributes": {"network": source.partition(":")[0], "source": source},
    }
    if post.url.startswith(("http://", "https://")):
        item["url"] = post.url
    return item
