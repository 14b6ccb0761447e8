"""The demo shop's desk: who is here, and what only a shop's server may do for them.

It uses Plait as any shop's server would, over HTTP with the secret key. The browser is known by the id that plait.js
keeps in its cookie; it is given tokens that speak for its one visitor for a quarter of an hour. The networks are played
by the shop too: a like that is clicked on the page arrives as a network would tell it.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

import httpx
import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from plait.demo.shelf import Shelf
from plait.demo.visitors import GUESTS, Visitor, account_of
from plait.errors import PlaitError, Rejected, Unavailable
from plait.keys import Keys

COOKIE = "plait_demo"
TOKEN_LIVES = 15 * 60_000  # milliseconds; the page asks for the next one before that
MOST_SESSIONS = 1_000
PATIENCE = 0.3  # seconds; after that a page goes without Plait's answer, and its scripts ask
# What plait.js writes: long enough that nobody guesses another browser's.
_DEVICE = re.compile(r"[0-9a-z]{24,64}")
_MAIL = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+")


class Session(msgspec.Struct):
    """What the shop knows of a browser besides its id.

    Attributes:
        user: id in the shop, ``None`` before signing in.
        accounts: identifiers on networks that the shop knows are theirs.
        likes: posts they like, as far as this demo clicked them.
        guest: whose eyes are borrowed.
    """

    user: str | None = None
    name: str = "Someone new"
    line: str = "Nothing known yet"
    accounts: list[str] = []
    likes: list[str] = []
    guest: str | None = None


class Become(msgspec.Struct, forbid_unknown_fields=True):
    """Whose eyes to borrow: the id of a guest, or ``new``."""

    guest: str


class SignIn(msgspec.Struct, forbid_unknown_fields=True):
    """Who somebody says they are. There is no password: it is a demo, on one's own machine."""

    email: str
    name: str


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


class Unsave(msgspec.Struct, forbid_unknown_fields=True):
    """A product that is no longer saved."""

    item: str


class Nothing(msgspec.Struct, forbid_unknown_fields=True):
    """``{}``."""


class Desk:
    """Routes under ``/shop/`` that know who asks.

    Args:
        keys: of the installation; the secret one stays in this process.
        people: everybody the demo made up, to offer accounts that have a history.
    """

    def __init__(self, keys: Keys, people: list[Visitor], stock: Shelf) -> None:
        self._keys = keys
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._api: httpx.AsyncClient | None = None
        self._offers = [
            one
            for one in people
            if one.accounts and one.user is None and one.social >= 5 and len(one.tastes) == 1
        ]
        self._posts = {one.id for one in stock.posts}
        self._products = {one.id for one in stock.products}
        self.routes = [
            Route("/shop/session", self.session),
            Route("/shop/profile", self.profile),
            Route("/shop/offers", self.offers),
            *(
                Route(f"/shop/{name}", work, methods=["POST"])
                for name, work in {
                    "become": self.become,
                    "sign-in": self.sign_in,
                    "sign-out": self.sign_out,
                    "connect": self.connect,
                    "like": self.like,
                    "unsave": self.unsave,
                    "consent": self.consent,
                    "forget": self.forget,
                }.items()
            ),
        ]

    def opened(self, url: str) -> None:
        """Tell where Plait answers; before that, what needs it is answered 503."""
        self._api = httpx.AsyncClient(
            base_url=url,
            headers={"authorization": f"Bearer {self._keys.secret}"},
            timeout=30,
            trust_env=False,
        )

    async def session(self, request: Request) -> Response:
        """Who this browser is, and what it may ask with."""
        return self._told(request, *self._session(request))

    async def become(self, request: Request) -> Response:
        """Look at the shop as somebody else. The page began as a new device before it asked."""
        told = await body(request, Become)
        key, _ = self._session(request)
        guest = next((one for one in GUESTS if one.user == told.guest), None)
        if guest is None and told.guest != "new":
            raise _no("unknown_guest", "there is no such guest")
        here = Session()
        if guest is not None:
            accounts = [f"{network}:{account_of(network, guest.user)}" for network in guest.networks]
            here = Session(guest.user, guest.name, guest.line, accounts, guest=guest.user)
        self._sessions[key] = here
        return self._told(request, key, here)

    async def sign_in(self, request: Request) -> Response:
        """A customer signs in, or opens an account: this device and that customer are one person, who agreed to it.

        The page says ``plait.identify``, which is a claim; the shop, which would have asked for the password, proves it.
        """
        told = await body(request, SignIn)
        key, here = self._session(request)
        name, mail = " ".join(told.name.split())[:60], told.email.strip().lower()
        if not _MAIL.fullmatch(mail) or len(mail) > 200:
            raise Rejected("this is not an e-mail address", code="invalid_email", field="email")
        if not name:
            raise Rejected("the name is missing", code="invalid_name", field="name")
        if here.guest:
            here = Session()
        # The same address is the same customer on every device, and nobody's address is written down.
        mark = hmac.new(self._keys.secret.encode(), f"customer {mail}".encode(), hashlib.sha256).hexdigest()
        here = msgspec.structs.replace(here, user=here.user or f"c-{mark[:16]}", name=name, line="Signed in")
        self._sessions[key] = here
        device = _device(request)
        if device is not None:
            who = [f"user:{here.user}", f"anonymous:{device}"]
            await self._tell(
                {"signal": "identify", "who": who, "traits": {"name": name}, "consent": {"link": True}}
            )
        return self._told(request, key, here)

    async def sign_out(self, request: Request) -> Response:
        """Nobody is signed in any more."""
        await body(request, Nothing)
        key, _ = self._session(request)
        self._sessions[key] = here = Session()
        return self._told(request, key, here)

    async def profile(self, request: Request) -> Response:
        """What Plait knows about this visitor; an empty profile while it knows nothing."""
        who = _identifier(request, self._session(request)[1])
        answer = await self._ask("GET", f"/v1/profiles/{who}", params={"limit": "60"}) if who else None
        if answer is None:
            return JSONResponse({"identifiers": [who] if who else [], "interests": [], "counts": {}})
        return Response(answer.content, media_type="application/json")

    async def offers(self, _: Request) -> Response:
        """A few accounts with a history, to connect."""
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
        told = await body(request, Connect)
        key, here = self._session(request)
        device = _device(request)
        found = next((one for one in self._offers if one.accounts[0] == told.account), None)
        if found is None or here.guest or not (device or here.user):
            raise _no("unknown_account", "this account is not on offer")
        self._offers.remove(found)  # one account is one person's
        here.user = here.user or f"you-{secrets.token_hex(8)}"
        here.name = "You" if here.name == "Someone new" else here.name
        here.accounts = [*here.accounts, told.account]
        agreed = {"link": True, "social": True}
        who = f"user:{here.user}"
        devices = [f"anonymous:{device}"] if device else []
        await self._tell(
            {"signal": "identify", "who": [who, *devices], "consent": agreed},
            {"signal": "consent", "who": [told.account], "consent": agreed},
            {"signal": "link", "source": "shop", "who": [who, told.account], "consent": {"link": True}},
        )
        return self._told(request, key, here)

    async def like(self, request: Request) -> Response:
        """A like as the network would tell it."""
        told = await body(request, Like)
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
        return self._told(request, key, here)

    async def unsave(self, request: Request) -> Response:
        """Take back a save that this device told; the public key may not undo."""
        told = await body(request, Unsave)
        key, here = self._session(request)
        if told.item not in self._products:
            raise _no("unknown_product", "there is no such product")
        device = _device(request)
        who = [*([f"user:{here.user}"] if here.user else []), *([f"anonymous:{device}"] if device else [])]
        if who:
            await self._tell({"signal": "save", "op": "retract", "who": who, "about": {"item": told.item}})
        return self._told(request, key, here)

    async def consent(self, request: Request) -> Response:
        """What the visitor agrees to or not, said about everything the shop knows them by.

        The device said so itself, through plait.js; of a customer and their accounts only the shop may.
        """
        told = await body(request, Agree)
        if told.purpose not in ("collect", "personalize", "link", "social"):
            raise _no("unknown_purpose", "there is no such purpose")
        key, here = self._session(request)
        device = _device(request)
        who = [*([f"user:{here.user}"] if here.user else []), *here.accounts]
        who += [f"anonymous:{device}"] if device else []
        await self._tell(
            *({"signal": "consent", "who": [one], "consent": {told.purpose: told.granted}} for one in who)
        )
        return self._told(request, key, here)

    async def forget(self, request: Request) -> Response:
        """Erase this visitor and begin again as somebody new; the guests stay."""
        await body(request, Nothing)
        key, here = self._session(request)
        if here.guest:
            raise _no("not_yours", "the guests stay; become somebody new first", 409)
        device = _device(request)
        for one in [
            *([f"user:{here.user}"] if here.user else []),
            *([f"anonymous:{device}"] if device else []),
        ]:
            await self._ask("DELETE", f"/v1/profiles/{one}")
        self._sessions[key] = fresh = Session()
        return self._told(request, key, fresh)

    async def chosen(self, request: Request, placements: Sequence[str]) -> tuple[dict[str, Any] | None, bool]:
        """What to show whoever opens a page, and whether it was decided for them; ``None`` where Plait is not there in time.

        Who has no id yet gets what anybody would: plait.js makes one, and asks.
        """
        who = _identifier(request, self._sessions.get(request.cookies.get(COOKIE, "")) or Session())
        question = {
            "identifiers": [who] if who else [],
            "page": {"url": str(request.url)},
            "placements": [{"id": one} for one in placements],
            "explain": True,
        }
        with contextlib.suppress(PlaitError):
            answer = await self._ask("POST", "/v1/personalize", json=question, timeout=PATIENCE)
            if answer is not None:
                return answer.json(), who is not None
        return None, False

    # With Plait.

    async def _tell(self, *events: dict[str, Any]) -> None:
        now = time.time_ns() // 1_000_000
        told = [{"id": f"shop-{secrets.token_hex(12)}", "source": "web", "at": now, **one} for one in events]
        if told:
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
            key, here = secrets.token_hex(16), Session()
            self._sessions[key] = here
            while len(self._sessions) > MOST_SESSIONS:
                self._sessions.popitem(last=False)
        self._sessions.move_to_end(key)
        return key, here

    def _told(self, request: Request, key: str, here: Session) -> Response:
        until = time.time_ns() // 1_000_000 + TOKEN_LIVES
        who = _identifier(request, here)
        answer = JSONResponse(
            {
                "identifier": who,
                "user": here.user,
                "name": here.name,
                "line": here.line,
                "guest": here.guest,
                "accounts": here.accounts,
                "likes": here.likes,
                "token": self._keys.token(f"user:{here.user}", until) if here.user else None,
                # What is linked to them comes along: one stream is enough, and browsers open six at most.
                "live": {"identifier": who, "token": self._keys.token(who, until, "live")} if who else None,
                "expires_at": until,
                "guests": [{"guest": one.user, "name": one.name, "line": one.line} for one in GUESTS],
            },
            headers={"cache-control": "no-store"},
        )
        answer.set_cookie(COOKIE, key, httponly=True, samesite="strict", max_age=7 * 86_400)
        return answer


def _device(request: Request) -> str | None:
    """The browser's id, as plait.js keeps it; ``None`` where it may keep none."""
    try:
        kept = json.loads(unquote(request.cookies.get("plait", "")))
    except ValueError:
        return None
    id = kept.get("id") if isinstance(kept, dict) else None
    return id if isinstance(id, str) and _DEVICE.fullmatch(id) else None


def _identifier(request: Request, here: Session) -> str | None:
    """What the shop calls somebody when it asks for a page."""
    if here.user:
        return f"user:{here.user}"
    device = _device(request)
    return f"anonymous:{device}" if device else None


async def body(request: Request, shape: type[Any]) -> Any:
    """What the shop's own page sent; nothing that another site can make a browser send."""
    # A page of another site can make a browser send a form with our cookie; it cannot send this content type.
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise Rejected("send application/json", code="invalid_content_type", status=415)
    try:
        return msgspec.json.decode(await request.body(), type=shape)
    except msgspec.MsgspecError as exc:
        raise Rejected(f"the body is not right: {exc}", code="invalid_body") from exc


def _no(code: str, message: str, status: int = 404) -> Rejected:
    return Rejected(message, code=code, status=status)
