"""What the demo shop has on its shelf: products, posts and promotions, as written in ``catalog.json``."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

from plait.demo.details import words
from plait.events import DAY


class Section(msgspec.Struct, frozen=True):
    """A named part of a product's page; people dwell on it, and Plait learns from it."""

    id: str
    title: str
    text: str


class Family(msgspec.Struct, frozen=True):
    """What kinds of products share: how they are made, used and cared for, in this order."""

    sections: tuple[Section, ...]


class Kind(msgspec.Struct, frozen=True):
    """A kind of product: what the shop calls it, and where it stands."""

    name: str
    department: str
    family: str


class Product(msgspec.Struct, frozen=True):
    """Something to buy. ``colour`` names a colour of ``pictures.py``, ``price`` is in euro."""

    id: str
    kind: str
    title: str
    price: float
    colour: str
    topics: tuple[str, ...]
    attributes: dict[str, Any]
    story: str
    available: bool = True


class Post(msgspec.Struct, frozen=True, rename={"for_": "for"}):
    """Something the shop published on a network, ``days_ago`` before the demo was set up."""

    id: str
    network: str
    days_ago: int
    text: str
    for_: tuple[str, ...]
    scene: str
    likes: int


class Promotion(msgspec.Struct, frozen=True, rename={"for_": "for"}):
    """An offer, valid for ``days`` from when the demo was set up; ``audience`` is whom it is for, if not for all."""

    id: str
    title: str
    text: str
    for_: tuple[str, ...]
    days: int
    cap: int
    scene: str
    code: str
    audience: str | None = None


class Article(msgspec.Struct, frozen=True, rename={"for_": "for"}):
    """A page of the shop's journal, tied to topics and to products that it speaks of."""

    id: str
    title: str
    lead: str
    scene: str
    author: str
    minutes: int
    days_ago: int
    topics: tuple[str, ...]
    for_: tuple[str, ...]
    sections: tuple[Section, ...]


class Shelf(msgspec.Struct, frozen=True):
    """All of it."""

    kinds: dict[str, Kind]
    families: dict[str, Family]
    products: tuple[Product, ...]
    posts: tuple[Post, ...]
    promotions: tuple[Promotion, ...]
    articles: tuple[Article, ...] = ()

    @property
    def departments(self) -> list[str]:
        """Where things stand, in the order of the shelf."""
        return list(dict.fromkeys(kind.department for kind in self.kinds.values()))

    def topics_of(self, product: Product) -> list[str]:
        """What the product is for and where it stands: activities first, then its department and kind."""
        kind = self.kinds[product.kind]
        return [*product.topics, kind.department.lower(), kind.name.lower()]

    def sections_of(self, product: Product) -> list[Section]:
        """The sections of a product's page in reading order; those without a text show pictures, tables or lists."""
        made, *use = self.families[self.kinds[product.kind].family].sections
        guide = [Section("size-guide", "Size guide", "")] if product.kind in words().size_of else []
        return [
            Section("gallery", "Pictures", ""),
            made,
            Section("specs", "Specification", ""),
            *guide,
            *use,
            Section("reviews", "Reviews", ""),
            Section("questions", "Questions and answers", ""),
        ]


@cache
def shelf() -> Shelf:
    """The shelf as it comes with the package."""
    here = files("plait.demo")
    stock = msgspec.json.decode(here.joinpath("catalog.json").read_bytes(), type=Shelf)
    articles = msgspec.json.decode(here.joinpath("journal.json").read_bytes(), type=tuple[Article, ...])
    return msgspec.structs.replace(stock, articles=articles)


def slug(name: str) -> str:
    """A department as it stands in an address: ``light-tools``."""
    return "-".join(name.lower().replace("&", " ").split())


def items(stock: Shelf, *, now: int) -> list[dict[str, Any]]:
    """Everything as ``POST /v1/items`` takes it.

    Args:
        stock: what there is.
        now: ms since the epoch; posts were published before it, promotions began the day before.
    """
    products = [
        {
            "id": one.id,
            "kind": "product",
            "title": one.title,
            "topics": stock.topics_of(one),
            "price": one.price,
            "available": one.available,
            "url": f"/p/{one.id}",
            "image": f"/pictures/{one.id}.svg",
            "sections": [section.id for section in stock.sections_of(one)],
            "attributes": {**one.attributes, "colour": one.colour, "type": stock.kinds[one.kind].name},
        }
        for one in stock.products
    ]
    posts = [
        {
            "id": one.id,
            "kind": "post",
            "title": one.text[:120],
            "for": list(one.for_),
            "published": now - one.days_ago * DAY,
            "image": f"/scenes/{one.id}.svg",
            "attributes": {"network": one.network},
        }
        for one in stock.posts
    ]
    articles = [
        {
            "id": one.id,
            "kind": "article",
            "title": one.title,
            "topics": list(one.topics),
            "for": list(one.for_),
            "url": f"/journal/{one.id.removeprefix('journal-')}",
            "image": f"/scenes/{one.id}.svg",
            "sections": [section.id for section in one.sections],
            "published": now - one.days_ago * DAY,
            "attributes": {"lead": one.lead, "author": one.author, "minutes": one.minutes},
        }
        for one in stock.articles
    ]
    promotions = [
        {
            "id": one.id,
            "kind": "promotion",
            "title": one.title,
            "for": list(one.for_),
            "starts": now - DAY,
            "ends": now + one.days * DAY,
            "cap": one.cap,
            "audience": one.audience,
            "image": f"/scenes/{one.id}.svg",
            "attributes": {"text": one.text, "code": one.code},
        }
        for one in stock.promotions
    ]
    return products + posts + articles + promotions
