"""What there is to show: an item, the slot it is shown in, and a condition on people under a name.

An **item** is a product, an article, a post of a network or a promotion; a **placement** is a slot on a page. What a sender
says of them is checked once (``checks.py``); behind it nobody checks again.
"""

from __future__ import annotations

from typing import Any

import msgspec

POST = "post"
PROMOTION = "promotion"
# Kinds that a placement must ask for by name: a post is a reason to show something, not something to buy.
ASIDE = frozenset({POST, PROMOTION})

MAX_SHOWN = 100  # items that one placement may show


class Tie(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a post was found to be about.

    Attributes:
        to: ``item:…`` or ``topic:…``.
        confidence: 0..1; an act on the post speaks for what it is tied to by this much.
        how: ``link``, ``product tag``, ``hashtag``, ``name``, ``meaning``, or ``person``.
    """

    to: str
    confidence: float = 1.0
    how: str = ""


class Item(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, frozen=True):
    """Something in the catalog.

    Attributes:
        id: what events call it.
        kind: ``product``, ``article``, …; ``post`` and ``promotion`` are shown only where a placement asks for them.
        price: in the shop's own currency; ``None`` when it has none.
        sections: named parts of its page, as dwell names them.
        attributes: free: texts, numbers, true or false, lists of texts and numbers.
        published: ms since the epoch; when it first came, if the sender does not say.
        for_: ``for`` outside; what a promotion or post is tied to: ids of items, names of topics. A name that is both
            ties to both; ``item:…`` and ``topic:…`` say which.
        starts, ends: ms since the epoch, ``ends`` exclusive; outside it a promotion is not shown.
        cap: how often one person sees a promotion, at most.
        audience: of a promotion; only who is in it sees it.
        ties: what a post was found to be about, by reading it.
        confirmed: what a person said of it: ``item:…`` or ``topic:…`` -> whether it is. It outlasts every import that
            does not name it.
    """

    id: str
    kind: str = "product"
    title: str = ""
    topics: tuple[str, ...] = ()
    price: float | None = None
    available: bool = True
    url: str | None = None
    image: str | None = None
    sections: tuple[str, ...] = ()
    attributes: dict[str, Any] = {}
    published: int | None = None
    for_: tuple[str, ...] = msgspec.field(default=(), name="for")
    starts: int | None = None
    ends: int | None = None
    cap: int | None = None
    audience: str | None = None
    ties: tuple[Tie, ...] = ()
    confirmed: dict[str, bool] | None = None

    def tied(self) -> list[Tie]:
        """What it is tied to after all, the surest first: what a person said, what the sender told, what was read."""
        said = self.confirmed or {}
        found = {to: Tie(to, 1.0, "person") for to, holds in said.items() if holds}
        for entry in self.for_:
            if said.get(entry, said.get(f"item:{entry}", said.get(f"topic:{entry}"))) is not False:
                found.setdefault(entry, Tie(entry, 1.0, "told"))
        for one in self.ties:
            if said.get(one.to) is not False and one.to not in found:
                found[one.to] = one
        return sorted(found.values(), key=lambda one: -one.confidence)


class Placement(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, frozen=True):
    """A slot on a page.

    Attributes:
        n: how many items it shows, 1..100.
        kinds: which kinds of items; empty means all but posts and promotions.
        where: a condition that every item it shows fulfils.
        public: whether a browser may ask for it with the write key.
        related: whether its items are related to the item the page is about.
        bought: whether it shows what the person has bought already.
        explore: how many of its last items are tries of something unproven, 0..n.
        audience: who is not in it is shown nothing here.
    """

    id: str
    title: str = ""
    n: int = 12
    kinds: tuple[str, ...] = ()
    where: str | None = None
    public: bool = True
    related: bool = False
    bought: bool = False
    explore: int = 0
    audience: str | None = None


class Audience(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, frozen=True):
    """A condition on people under a name; whoever fulfils it when they are asked about is in it (``facts.py``).

    Attributes:
        where: the condition.
    """

    id: str
    title: str = ""
    where: str


DEFAULT_PLACEMENTS = (
    Placement(id="home.grid", title="Chosen for you", n=12),
    Placement(id="home.hero", title="First of all", n=1),
    Placement(id="home.promotion", title="Offers", n=1, kinds=(PROMOTION,)),
    Placement(id="item.related", title="Goes with it", n=6, related=True),
)
