"""The demo shop's site: its pages, its pictures, and what is on its shelf. Who is here, the desk knows."""

from __future__ import annotations

import asyncio
import html
import mimetypes
import string
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Literal, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from plait.demo import pictures
from plait.demo.crowd import Crowd
from plait.demo.desk import Desk, body
from plait.demo.details import details
from plait.demo.front import PLACEMENTS, Front, looks
from plait.demo.shelf import Product, Shelf, shelf, slug
from plait.demo.social import SocialDay
from plait.demo.visitors import Visitor
from plait.errors import Rejected, Unavailable
from plait.http.script import version
from plait.keys import Keys

# Nothing from elsewhere, no inline code or styles, no frames: what a title or an event holds can only be text.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
# The landscape that goes with what a product is for.
GROUNDS = {
    "mountaineering": "frost", "winter": "snow", "climbing": "granite", "trail-running": "fog", "paddling": "lake",
    "cycling": "coast", "family": "meadow", "camping": "dusk", "ultralight": "dawn", "travel": "autumn", "dogs": "meadow",
    "backpacking": "dawn", "hiking": "autumn",
}  # fmt: skip
PAGES = ("/", "/search", "/bag", "/checkout", "/thanks", "/account", "/saved", "/journal", "/social")
PACE = 1.5  # seconds between two acts, when somebody watches


class Play(msgspec.Struct, forbid_unknown_fields=True):
    """What to do with the day."""

    do: Literal["play", "pause", "step", "again"]


class About(NamedTuple):
    """What a page says of itself before any script ran: what plait.js is to measure, and its title."""

    title: str
    item: str = ""
    topic: str = ""


class Shop:
    """Routes of the shop.

    Args:
        keys: of the installation; the write key stands in the page, the secret one stays at the desk.
        people: everybody the demo made up.
    """

    def __init__(self, keys: Keys, people: list[Visitor], stock: Shelf | None = None) -> None:
        self.stock = stock or shelf()
        self._keys = keys
        self._desk = Desk(keys, people, self.stock)
        self.crowd: Crowd | None = None
        self.day: SocialDay | None = None
        self._products = {one.id: one for one in self.stock.products}
        self._articles = {one.id.removeprefix("journal-"): one for one in self.stock.articles}
        self._scenes = {one.id: one.scene for one in self.stock.posts}
        self._scenes |= {one.id: one.scene for one in self.stock.promotions}
        self._scenes |= {one.id: one.scene for one in self.stock.articles}
        self._departments = {slug(one): one for one in self.stock.departments}
        self._stocked = _stocked(self.stock)
        self._front = Front(self.stock, _ground)
        self.routes = [
            *(Route(path, self.page) for path in PAGES),
            Route("/p/{product}", self.page),
            Route("/c/{department}", self.page),
            Route("/journal/{article}", self.page),
            Route("/favicon.svg", self.favicon),
            Route("/assets/{name:path}", self.asset),
            Route("/pictures/{name}.svg", self.picture),
            Route("/pictures/{name}/{view}.svg", self.picture),
            Route("/scenes/{name}.svg", self.landscape),
            Route("/shop/shelf", self.shelf),
            Route("/shop/products/{name}", self.product),
            Route("/shop/pulse", self.pulse),
            Route("/shop/day", self.social_day),
            Route("/shop/day", self.play_day, methods=["POST"]),
            *self._desk.routes,
        ]

    def opened(self, url: str) -> None:
        """Tell the shop where Plait answers."""
        self._desk.opened(url)

    # Pages and pictures.

    async def page(self, request: Request) -> Response:
        """The one page that is every page, with what it is about; 404 where there is no such thing, and drawn all the same."""
        about = self._about(request.path_params)
        front = ""
        if request.url.path == "/":
            about = About("Gear for weather")
            chosen, decided = await self._desk.chosen(request, PLACEMENTS)
            front = self._front.filled(chosen, decided=decided) if chosen else ""
        text = string.Template(_asset("page.html").decode()).substitute(
            key=html.escape(self._keys.write),
            version=version(request),
            title=html.escape(
                f"{about.title} · Skerry Outdoor" if about and about.title else "Skerry Outdoor"
            ),
            item=f' data-plait-item="{html.escape(about.item)}"' if about and about.item else "",
            topic=f' data-plait-topic="{html.escape(about.topic)}"' if about and about.topic else "",
            drawer=' data-drawer="closed"' if request.cookies.get("drawer") == "closed" else "",
            modules="".join(f'<link rel="modulepreload" href="/assets/{name}">' for name in _modules()),
            main=front,
            home=self._front.still,
            shelves=self._front.shelves,
            looks=looks(),
        )
        headers = {
            "content-security-policy": POLICY,
            "cache-control": "private, no-cache",  # it may be made for one visitor
            "referrer-policy": "same-origin",
            "x-content-type-options": "nosniff",
        }
        return Response(text, 200 if about else 404, headers, "text/html; charset=utf-8")

    def _about(self, named: Mapping[str, str]) -> About | None:
        if name := named.get("product"):
            product = self._products.get(name)
            return About(product.title, item=product.id) if product else None
        if name := named.get("article"):
            article = self._articles.get(name)
            return About(article.title, item=article.id) if article else None
        if name := named.get("department"):
            found = self._departments.get(name)
            if found is None and name in GROUNDS:
                found = name.capitalize()
            return About(found, topic=found.lower()) if found else None
        return About("")

    async def asset(self, request: Request) -> Response:
        """Styles, scripts and letters."""
        name = request.path_params["name"]
        if name not in _assets():
            raise _no("there is no such file")
        kind = {"js": "text/javascript", "woff2": "font/woff2"}.get(name.rpartition(".")[2])
        kind = kind or mimetypes.guess_type(name)[0]
        lives = "max-age=86400" if name.endswith("woff2") else "no-cache"
        return Response(_asset(name), media_type=kind, headers={"cache-control": lives})

    async def favicon(self, _: Request) -> Response:
        """The shop's sign."""
        return _svg(_asset("favicon.svg").decode())

    async def picture(self, request: Request) -> Response:
        """A product's picture, in one of its views."""
        one, view = self._products.get(request.path_params["name"]), request.path_params.get("view", "studio")
        if one is None or view not in pictures.VIEWS:
            raise _no("there is no such picture")
        return _svg(pictures.product(one.kind, one.colour, view, _ground(one)))

    async def landscape(self, request: Request) -> Response:
        """The picture of a post, an article or a promotion, or of a kind of landscape."""
        name = request.path_params["name"]
        if name in self._scenes:
            return _svg(pictures.scene(self._scenes[name], sum(name.encode()) % 97))
        if name in pictures.SCENES:
            return _svg(pictures.scene(name))
        raise _no("there is no such landscape")

    # What is on the shelf.

    async def shelf(self, _: Request) -> Response:
        """What lists of products need, and all that is short."""
        return _json(self._stocked)

    async def product(self, request: Request) -> Response:
        """What one product's page tells."""
        one = self._products.get(request.path_params["name"])
        if one is None:
            raise _no("there is no such product")
        sections = msgspec.to_builtins(self.stock.sections_of(one))
        told = {"sections": sections, "attributes": one.attributes, "views": pictures.VIEWS[:4]}
        return _json(told | msgspec.to_builtins(details(one, self.stock)))

    async def pulse(self, _: Request) -> Response:
        """Who else is here just now."""
        return JSONResponse(self.crowd.pulse() if self.crowd else {"visitors": 0, "acts": 0, "latest": []})

    # The day on Bluesky. It is the shop's, and everybody who looks sees the same.

    async def social_day(self, _: Request) -> Response:
        """What happened so far, and what guests are shown before it and now."""
        return _json(await asyncio.to_thread(self._day().state))

    async def play_day(self, request: Request) -> Response:
        """Play, pause, one act, or from the morning."""
        told, day = await body(request, Play), self._day()
        if told.do == "play":
            day.go_on(PACE)
        elif told.do == "pause":
            day.pause()
        else:
            await asyncio.to_thread(day.step if told.do == "step" else day.again)
        return await self.social_day(request)

    def _day(self) -> SocialDay:
        if self.day is None:
            raise Unavailable("the shop is opening", code="not_ready")
        return self.day


def _stocked(stock: Shelf) -> dict[str, Any]:
    products = []
    for one in stock.products:
        more = details(one, stock)
        kind = stock.kinds[one.kind]
        told = {
            name: getattr(one, name)
            for name in ("id", "title", "price", "colour", "topics", "story", "available")
        }
        told |= {
            "kind": kind.name,
            "department": kind.department,
            "stars": more.stars,
            "ratings": more.ratings,
        }
        products.append(told | {"weight_g": one.attributes["weight_g"], "ground": _ground(one)})
    return {
        "products": products,
        "posts": msgspec.to_builtins(stock.posts),
        "promotions": msgspec.to_builtins(stock.promotions),
        "articles": msgspec.to_builtins(stock.articles),
        "departments": [{"name": one, "slug": slug(one)} for one in stock.departments],
        "colours": pictures.COLOURS,
    }


def _ground(one: Product) -> str:
    return next((GROUNDS[topic] for topic in one.topics if topic in GROUNDS), "dawn")


@cache
def _assets() -> frozenset[str]:
    page = files("plait.demo").joinpath("page")
    fonts = {f"fonts/{one.name}" for one in page.joinpath("fonts").iterdir()}
    return frozenset(
        {one.name for one in page.iterdir() if one.is_file() and not one.name.endswith(".html")} | fonts
    )


@cache
def _modules() -> list[str]:
    return sorted(one for one in _assets() if one.endswith(".js"))


def _asset(name: str) -> bytes:
    return files("plait.demo").joinpath("page", *name.split("/")).read_bytes()


def _no(message: str) -> Rejected:
    return Rejected(message, code="not_found", status=404)


def _json(told: Any) -> Response:
    return Response(
        msgspec.json.encode(told), media_type="application/json", headers={"cache-control": "no-cache"}
    )


def _svg(drawn: str) -> Response:
    return Response(drawn, media_type="image/svg+xml", headers={"cache-control": "max-age=3600"})
