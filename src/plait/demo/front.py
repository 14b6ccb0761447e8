"""The home page as it leaves the shop's server: its slots filled, so that it is seen before any script ran.

``page/home.html`` is what stands still in it, ``page/looks.html`` what one item looks like, one template for each kind of slot. The
page's scripts use both too, so a product looks the same whoever drew it. What acts (hearts, reasons) they put in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any
from xml.etree import ElementTree

from plait.demo.details import details
from plait.demo.shelf import Article, Post, Product, Promotion, Shelf, slug

PLACEMENTS = ("home.hero", "home.grid", "home.promotion", "home.journal", "home.posts")
NETWORKS = {"bluesky": "Bluesky", "mastodon": "Mastodon", "instagram": "Instagram"}
# What stands for a department on its tile.
SIGNS = {
    "shelter": "tarn-2", "sleep": "ember-0", "packs": "strider-38", "clothing": "larch-down", "footwear": "basalt-boot",
    "kitchen": "spark-stove", "light-tools": "beam-900", "climbing": "lead-rope", "snow": "pitch-axe", "water": "otter-raft",
    "bike": "frame-bag", "camp-life": "lounge-chair",
}  # fmt: skip
_SLOT = re.compile(r'(<plait-placement [^>]*id="([^"]+)"[^>]*data-look="(\w+)")></plait-placement>')
_LOOK = re.compile(r'<template id="look-(\w+)">(.*?)</template>')


class Front:
    """The home page of a shop.

    Args:
        stock: what there is.
        ground: the landscape that goes with a product.
    """

    def __init__(self, stock: Shelf, ground: Callable[[Product], str]) -> None:
        self._stock, self._ground = stock, ground
        things: list[Product | Post | Promotion | Article] = []
        for some in (stock.products, stock.posts, stock.promotions, stock.articles):
            things += some
        self._things = {one.id: one for one in things}
        signs = "".join(
            f'<a href="/c/{slug(name)}"><span><img src="/pictures/{self._sign(name)}/cut.svg" alt="" width="400" height="400"></span>'
            f"{escape(name)}</a>"
            for name in stock.departments
        )
        self.shelves = "".join(f'<a href="/c/{slug(name)}">{escape(name)}</a>' for name in stock.departments)
        self.still = _asset("home.html").replace("$signs", signs)

    def filled(self, answer: Mapping[str, Any], *, decided: bool) -> str:
        """The page's HTML.

        Args:
            answer: of ``POST /v1/personalize`` for ``PLACEMENTS``, with reasons.
            decided: whether it was asked for this very visitor. Else it is what anybody would see, and holds the place
                until plait.js, which gives a new visitor an id, has asked for them.
        """
        decision = answer["decision"] if decided else ""

        def slot(found: re.Match[str]) -> str:
            head, id, look = found.groups()
            items = [one for one in answer["placements"][id]["items"] if one["item"] in self._things]
            told = json.dumps(
                [{name: one[name] for name in ("item", "score", "because") if name in one} for one in items]
            )
            cards = "".join(self._card(look, one["item"], decision) for one in items)
            quoted = told.replace("&", "&amp;").replace("'", "&#39;")  # JSON is full of the other quotes
            return f"{head} data-answer='{quoted}'><template>{_looks()[look]}</template>{cards}</plait-placement>"

        return _SLOT.sub(slot, self.still)

    def _card(self, look: str, item: str, decision: str) -> str:
        thing = self._things[item]
        root = ElementTree.fromstring(_looks()[look])  # noqa: S314 - our own template
        root.set("data-plait-item", item)
        root.set("data-plait-shown", decision)
        said = self._said(thing)
        for part in root.iter():
            text = said.get(part.get("data-field") or part.get("data-own") or "", "")
            if part.tag == "img":
                part.set("src", said.get(part.get("data-src") or part.get("data-own") or "", ""))
            elif text:
                part.text = text
            if part.get("data-href"):
                part.set("href", said.get("url", ""))
        return ElementTree.tostring(root, encoding="unicode", method="html")

    def _said(self, thing: Product | Post | Promotion | Article) -> dict[str, str]:
        """What goes into a template, by the names that stand there."""
        if isinstance(thing, Product):
            more, kind = details(thing, self._stock), self._stock.kinds[thing.kind].name
            return {
                "title": thing.title, "type": kind, "kind": kind, "story": thing.story, "url": f"/p/{thing.id}",
                "price": money(thing.price), "rated": f"{more.stars:.1f} ({more.ratings})",
                "image": f"/pictures/{thing.id}.svg", "art": f"/pictures/{thing.id}/cut.svg",
                "land": f"/scenes/{self._ground(thing)}.svg",
            }  # fmt: skip
        image = {"image": f"/scenes/{thing.id}.svg"}
        if isinstance(thing, Promotion):
            return image | {"title": thing.title, "text": thing.text, "code": thing.code}
        if isinstance(thing, Post):
            network = NETWORKS.get(thing.network.partition(":")[0], thing.network)
            return image | {"text": thing.text, "from": f"{network} · {thing.days_ago} days ago"}
        label = f"{thing.topics[0].replace('-', ' ')} · {thing.minutes} min"
        return image | {
            "title": thing.title, "lead": thing.lead, "label": label, "url": f"/journal/{thing.id.removeprefix('journal-')}",
        }  # fmt: skip

    def _sign(self, department: str) -> str:
        first = next(
            one.id for one in self._stock.products if self._stock.kinds[one.kind].department == department
        )
        return SIGNS.get(slug(department), first)


def money(price: float) -> str:
    """As the page's own scripts write it: ``€1,250``, ``€12.50``."""
    return f"€{price:,.0f}" if price == int(price) else f"€{price:,.2f}"


def looks() -> str:
    """The templates, for the page's scripts."""
    return _asset("looks.html")


@cache
def _looks() -> dict[str, str]:
    return dict(_LOOK.findall(looks()))


@cache
def _asset(name: str) -> str:
    return files("plait.demo").joinpath("page", name).read_text("utf-8").strip()
