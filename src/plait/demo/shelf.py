"""What the demo shop has on its shelf: products, posts and promotions, as written in ``catalog.json``."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

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
    """An offer, valid for ``days`` from when the demo was set up."""

    id: str
    title: str
    text: str
    for_: tuple[str, ...]
    days: int
    cap: int
    scene: str
    code: str


class Shelf(msgspec.Struct, frozen=True):
    """All of it."""

    kinds: dict[str, Kind]
    families: dict[str, Family]
    products: tuple[Product, ...]
    posts: tuple[Post, ...]
    promotions: tuple[Promotion, ...]

    def topics_of(self, product: Product) -> list[str]:
        """What the product is for and where it stands: activities first, then its department and kind."""
        kind = self.kinds[product.kind]
        return [*product.topics, kind.department.lower(), kind.name.lower()]

    def sections_of(self, product: Product) -> list[Section]:
        """The sections of a product's page in reading order; the specification has no text but a table."""
        made, *use = self.families[self.kinds[product.kind].family].sections
        return [made, Section("specs", "Specification", ""), *use]


@cache
def shelf() -> Shelf:
    """The shelf as it comes with the package."""
    return msgspec.json.decode(files("plait.demo").joinpath("catalog.json").read_bytes(), type=Shelf)


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
            "sections": [section.id for section in stock.sections_of(one)],
            "attributes": {**one.attributes, "colour": one.colour, "type": one.kind},
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
            "attributes": {"network": one.network},
        }
        for one in stock.posts
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
        }
        for one in stock.promotions
    ]
    return products + posts + promotions
