"""The demo shop's own server: its pages, its pictures, and what only a shop's server may do.

It uses Plait as any shop's server would, over HTTP with the secret key. The browser is given the public write key and
tokens that speak for its one visitor for a quarter of an hour; everything that needs more goes through here. The
networks are played by the shop too: a like that is clicked on the page arrives as a network would tell it.
"""

from __future__ import annotations

import mimetypes
import secrets
import time
from collections import OrderedDict
from importlib.resources import files
from typing import Any

import httpx
import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from plait.demo import pictures
from plait.demo.shelf import Shelf, shelf
from plait.demo.visitors import GUESTS, Visitor
from plait.errors import Rejected, Unavailable
from plait.keys import Keys

COOKIE = "plait_demo"
TOKEN_LIVES = 15 * 60_000  # milliseconds; the page asks for the next one before that
MOST_SESSIONS = 1_000
# Nothing from elsewhere, no inline code or styles, no frames: what a title or an event holds can only be text.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
ASSETS = ("page.css", "page.js", "asking.js", "drawing.js", "panel.js", "words.js")


class Session(msgspec.Struct):
    """Whom a browser is looking as.

    Attributes:
        device: 128 random bits; the browser's own anonymous id.
        user: id in the shop, ``None`` before signing in.
        accounts: identifiers on networks that the shop knows are theirs.
        likes: posts they like, as far as this demo clicked them.
    """

    device: str
    user: str | None
    name: str
    line: str
    accounts: list[str]
    likes: list[str] = []
    guest: str | None = None

    @property
    def identifier(self) -> str:
        """What the shop calls them when it asks for a page."""
        return f"user:{self.user}" if self.user else f"anonymous:{self.device}"


class Become(msgspec.Struct, forbid_unknown_fields=True):
    """Whose eyes to borrow: the id of a guest, or ``new``."""

    guest: str


class Connect(msgspec.Struct, forbid_unknown_fields=True):
    """Which of the offered accounts is the visitor's."""

    account: str


class Like(msgspec.Struct, forbid_unknown_fields=True):
    """A like of a post, given or taken back."""

    post: str
    on: bool


class Agree(msgspec.Struct, forbid_unknown_fields=True):
    """What the visitor says about one purpose."""

    purpose: str
    granted: bool


class Shop:
    """Routes of the shop.

    Args:
        keys: of the installation; the secret one stays in this process.
        people: everybody the demo made up, to offer accounts that have a history.
    """

    def __init__(self, keys: Keys, people: list[Visitor], stock: Shelf | None = None) -> None:
        self.stock = stock or shelf()
        self._keys = keys
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._api: httpx.AsyncClient | None = None
        self._offers = [
            one
            for one in people
            if one.accounts and one.user is None and one.social >= 5 and len(one.tastes) == 1
        ]
        self._products = {one.id: one for one in self.stock.products}
        self._posts = {one.id for one in self.stock.posts}
        self._scenes = {one.id: one.scene for one in self.stock.posts}
        self._scenes |= {one.id: one.scene for one in self.stock.promotions}
        self.routes = [
            Route("/", self.page),
            Route("/p/{rest:path}", self.page),
            Route("/c/{rest:path}", self.page),
            Route("/search", self.page),
            Route("/basket", self.page),
            Route("/favicon.svg", self.favicon),
            Route("/assets/{name}", self.asset),
            Route("/pictures/{name}.svg", self.picture),
            Route("/scenes/{name}.svg", self.landscape),
            Route("/shop/shelf", self.shelf),
            Route("/shop/session", self.session),
            Route("/shop/become", self.become, methods=["POST"]),
            Route("/shop/profile", self.profile),
            Route("/shop/offers", self.offers),
            Route("/shop/connect", self.connect, methods=["POST"]),
            Route("/shop/like", self.like, methods=["POST"]),
            Route("/shop/consent", self.consent, methods=["POST"]),
            Route("/shop/forget", self.forget, methods=["POST"]),
        ]

    def opened(self, url: str) -> None:
        """Tell the shop where Plait answers; before that, what needs it is answered 503."""
        self._api = httpx.AsyncClient(
            base_url=url,
            headers={"authorization": f"Bearer {self._keys.secret}"},
            timeout=30,
            trust_env=False,
        )

    # Pages and pictures.

    async def page(self, _: Request) -> Response:
        """The one page that is every page."""
        return _file("page.html", {"content-security-policy": POLICY, "cache-control": "no-cache"})

    async def asset(self, request: Request) -> Response:
        """Styles and scripts."""
        name = request.path_params["name"]
        if name not in ASSETS:
            raise _no("not_found", "there is no such file")
        return _file(name, {"cache-control": "no-cache"})

    async def favicon(self, _: Request) -> Response:
        """The shop's sign."""
        return _file("favicon.svg", {"cache-control": "max-age=86400"})

    async def picture(self, request: Request) -> Response:
        """A product's picture."""
        one = self._products.get(request.path_params["name"])
        if one is None:
            raise _no("not_found", "there is no such product")
        return _svg(pictures.product(one.kind, one.colour))

    async def landscape(self, request: Request) -> Response:
        """The picture of a post or a promotion, or of a kind of landscape."""
        name = request.path_params["name"]
        if name in self._scenes:
            return _svg(pictures.scene(self._scenes[name], sum(name.encode()) % 97))
        if name in pictures.SCENES:
            return _svg(pictures.scene(name))
        raise _no("not_found", "there is no such landscape")

    async def shelf(self, _: Request) -> Response:
        """Everything the page needs to know about what there is."""
        stock = self.stock
        told = {
            "products": [
                {
                    **msgspec.to_builtins(one),
                    "department": stock.kinds[one.kind].department,
                    "kind_name": stock.kinds[one.kind].name,
                    "sections": [msgspec.to_builtins(section) for section in stock.sections_of(one)],
                }
                for one in stock.products
            ],
            "posts": msgspec.to_builtins(stock.posts),
            "promotions": msgspec.to_builtins(stock.promotions),
        }
        return Response(
            msgspec.json.encode(told), media_type="application/json", headers={"cache-control": "no-cache"}
        )

    # Who is here.

    async def session(self, request: Request) -> Response:
        """Who this browser is, and what it may ask with."""
        key, here = self._session(request)
        return self._told(key, here)

    async def become(self, request: Request) -> Response:
        """Look at the shop as somebody else."""
        told = await _body(request, Become)
        key, _ = self._session(request)
        guest = next((one for one in GUESTS if one.user == told.guest), None)
        if guest is None and told.guest != "new":
            raise _no("unknown_guest", "there is no such guest")
        here = _new() if guest is None else _as_guest(guest.user)
        self._sessions[key] = here
        return self._told(key, here)

    async def profile(self, request: Request) -> Response:
        """What Plait knows about this visitor; an empty profile while it knows nothing."""
        _, here = self._session(request)
        answer = await self._ask("GET", f"/v1/profiles/{here.identifier}", params={"limit": "60"})
        if answer is None:
            return JSONResponse({"identifiers": [here.identifier], "interests": [], "counts": {}})
        return Response(answer.content, media_type="application/json")

    async def offers(self, _: Request) -> Response:
        """A few accounts with a history, to sign in with."""
        tastes: dict[str, Visitor] = {}
        for one in self._offers:
            tastes.setdefault(next(iter(one.tastes)), one)
        return JSONResponse(
            [
                {"account": one.accounts[0], "taste": taste, "posts": one.social}
                for taste, one in sorted(tastes.items())
            ][:8]
        )

    async def connect(self, request: Request) -> Response:
        """Sign in with a network: the shop now knows that device, user and account are one person, who agreed to it."""
        told = await _body(request, Connect)
        key, here = self._session(request)
        found = next((one for one in self._offers if one.accounts[0] == told.account), None)
        if found is None or here.guest:
            raise _no("unknown_account", "this account is not on offer")
        self._offers.remove(found)  # one account is one person's
        here.user = here.user or f"you-{here.device[:12]}"
        here.accounts.append(told.account)
        agreed = {"link": True, "social": True}
        who = f"user:{here.user}"
        await self._tell(
            {"signal": "identify", "who": [who, f"anonymous:{here.device}"], "consent": agreed},
            {"signal": "consent", "who": [told.account], "consent": agreed},
            {"signal": "link", "source": "shop", "who": [who, told.account], "consent": {"link": True}},
        )
        return self._told(key, here)

    async def like(self, request: Request) -> Response:
        """A like as the network would tell it."""
        told = await _body(request, Like)
        key, here = self._session(request)
        if told.post not in self._posts:
            raise _no("unknown_post", "there is no such post")
        if not here.accounts:
            raise _no("no_account", "connect an account first", 409)
        account = here.accounts[0]
        await self._tell(
            {
                "signal": "like", "source": account.partition(":")[0], "who": [account],
                "op": "assert" if told.on else "retract", "about": {"post": told.post},
            }
        )  # fmt: skip
        here.likes = [one for one in here.likes if one != told.post] + ([told.post] if told.on else [])
        return self._told(key, here)

    async def consent(self, request: Request) -> Response:
        """What the visitor agrees to or not, said about everything the shop knows them by."""
        told = await _body(request, Agree)
        if told.purpose not in ("collect", "personalize", "link", "social"):
            raise _no("unknown_purpose", "there is no such purpose")
        key, here = self._session(request)
        who = [here.identifier, *here.accounts, f"anonymous:{here.device}"]
        await self._tell(
            *(
                {"signal": "consent", "who": [one], "consent": {told.purpose: told.granted}}
                for one in dict.fromkeys(who)
            )
        )
        return self._told(key, here)

    async def forget(self, request: Request) -> Response:
        """Erase this visitor and begin again as somebody new; the guests stay."""
        key, here = self._session(request)
        if here.guest:
            raise _no("not_yours", "the guests stay; become somebody new first", 409)
        for one in dict.fromkeys([here.identifier, f"anonymous:{here.device}"]):
            await self._ask("DELETE", f"/v1/profiles/{one}")
        self._sessions[key] = fresh = _new()
        return self._told(key, fresh)

    # With Plait.

    async def _tell(self, *events: dict[str, Any]) -> None:
        now = time.time_ns() // 1_000_000
        told = [{"id": f"shop-{secrets.token_hex(12)}", "source": "web", "at": now, **one} for one in events]
        await self._ask("POST", "/v1/events", json={"events": told})

    async def _ask(self, method: str, path: str, **more: Any) -> httpx.Response | None:
        """Plait's answer, ``None`` where it knows nothing; any other refusal is the page's to hear."""
        if self._api is None:
            raise Unavailable("the shop is opening", code="not_ready")
        try:
            answer = await self._api.request(method, path, **more)
        except httpx.TransportError as exc:
            raise Unavailable(f"Plait does not answer: {exc}", code="no_answer") from exc
        if answer.status_code == 404:
            return None
        if answer.status_code >= 400:
            told = answer.json()
            raise Rejected(told["message"], code=told["code"], status=answer.status_code)
        return answer

    # The browser's session.

    def _session(self, request: Request) -> tuple[str, Session]:
        key = request.cookies.get(COOKIE, "")
        here = self._sessions.get(key)
        if here is None:
            key, here = secrets.token_hex(16), _new()
            self._sessions[key] = here
            while len(self._sessions) > MOST_SESSIONS:
                self._sessions.popitem(last=False)
        self._sessions.move_to_end(key)
        return key, here

    def _told(self, key: str, here: Session) -> Response:
        until = time.time_ns() // 1_000_000 + TOKEN_LIVES
        who = here.identifier
        answer = JSONResponse(
            {
                "identifier": who,
                "name": here.name,
                "line": here.line,
                "guest": here.guest,
                "accounts": here.accounts,
                "likes": here.likes,
                "write_key": self._keys.write,
                "token": self._keys.token(who, until) if here.user else None,
                "live": [
                    {"identifier": one, "token": self._keys.token(one, until, "live")}
                    for one in [who, *here.accounts, *([f"anonymous:{here.device}"] if here.user else [])]
                ],
                "expires_at": until,
                "guests": [{"guest": one.user, "name": one.name, "line": one.line} for one in GUESTS],
            },
            headers={"cache-control": "no-store"},
        )
        answer.set_cookie(COOKIE, key, httponly=True, samesite="strict", max_age=7 * 86_400)
        return answer


def _new() -> Session:
    return Session(secrets.token_hex(16), None, "Someone new", "Nothing known yet", [])


def _as_guest(user: str) -> Session:
    guest = next(one for one in GUESTS if one.user == user)
    from plait.demo.visitors import account_of

    accounts = [f"{network}:{account_of(network, user)}" for network in guest.networks]
    return Session(secrets.token_hex(16), user, guest.name, guest.line, accounts, guest=user)


async def _body(request: Request, shape: type[Any]) -> Any:
    # A page of another site can make a browser send a form with our cookie; it cannot send this content type.
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise Rejected("send application/json", code="invalid_content_type", status=415)
    try:
        return msgspec.json.decode(await request.body(), type=shape)
    except msgspec.MsgspecError as exc:
        raise Rejected(f"the body is not right: {exc}", code="invalid_body") from exc


def _no(code: str, message: str, status: int = 404) -> Rejected:
    return Rejected(message, code=code, status=status)


def _svg(drawn: str) -> Response:
    return Response(drawn, media_type="image/svg+xml", headers={"cache-control": "max-age=3600"})


def _file(name: str, headers: dict[str, str]) -> Response:
    kind = {"js": "text/javascript"}.get(name.rpartition(".")[2]) or mimetypes.guess_type(name)[0]
    return Response(files("plait.demo").joinpath("page", name).read_bytes(), media_type=kind, headers=headers)
