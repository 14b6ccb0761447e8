"""Connectors: what people do on a network, as facts in our own words; one file per network, and none of them does I/O.

A connector is a class named ``Connector`` with generators. They yield what they want (a request, a stream, its next
frame, a page to keep) and are sent what came of it:

    Ask     an HTTP request             is sent an Answer
    Open    a stream of the network's   is sent None once it stands
    Next    the stream's next frame     is sent a Frame, or None when nothing came in time
    Recall  who is known to have acted  is sent pairs (actor, record), or None where nobody keeps that
    Page    facts to keep, a cursor     is sent None once both are on disk
    Renewed secrets that were renewed   is sent None once they are on disk

What every network needs lives once, in the driver (``plait.driver``): HTTP and WebSockets, tokens, budgets, retries,
backoff, cursors. So a connector reads like the network's manual, and a recorded transcript is a whole test of it.

A generator never sees an answer that asks for patience (429, 5xx, a cut line): the driver tries again. Other answers,
404 and 403 among them, are for the connector to understand. When a stream ends the driver begins ``stream`` anew from
the last cursor that was kept. Facts may be told more than once and in any order (law 3 and 4): ids are the network's,
so that a fact has one id whichever way it came.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, ClassVar, Literal, Protocol

import msgspec

from plait.errors import Rejected
from plait.events import About, Op, Signal

Completeness = Literal["identified", "count_only", "inferred"]


# -- what a connector asks for ---------------------------------------------------------------------------------


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP request.

    Attributes:
        url: a path on the account's host, or absolute.
        params: of the query; ``None`` values are left out.
        body: sent as JSON; ``form`` as a form.
        budget: which of the statement's ``limits`` it counts against.
        signed: with the headers of the session; never sent to another host than the account's.
        guarded: the URL was named by somebody outside: it goes through the guarded fetcher.
        redirects: whether a guarded GET follows them; no where only this very address may speak.
        dpop: a private key (JWK); the request proves that we hold it (RFC 9449).
        once: the network takes what it sends a single time (a refresh token): it is noted on disk before it leaves, so
            that a process that dies before the answer is kept can say afterwards what became of it.
    """

    url: str
    method: Literal["GET", "POST", "PUT", "DELETE"] = "GET"
    params: Mapping[str, Any] = {}
    headers: Mapping[str, str] = {}
    body: Any = None
    form: Mapping[str, str] | None = None
    budget: str = "default"
    signed: bool = True
    guarded: bool = False
    redirects: bool = True
    dpop: str = ""
    once: bool = False

    def __repr__(self) -> str:
        return f"Ask({self.method} {self.url.partition('?')[0]})"


class Answer(msgspec.Struct, frozen=True):
    """What came back. ``headers`` have lower-case names."""

    status: int
    headers: Mapping[str, str] = {}
    body: bytes = b""

    @property
    def ok(self) -> bool:
        """Whether it is a 2xx."""
        return 200 <= self.status < 300

    def json(self) -> Any:
        """The body read as JSON.

        Raises:
            Rejected: it is none; code ``invalid_answer``.
        """
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            raise Rejected(f"the network's answer is no JSON: {exc}", code="invalid_answer") from exc


class Open(msgspec.Struct, frozen=True, kw_only=True):
    """A stream: a WebSocket (``ws``), or server-sent events (``sse``)."""

    url: str
    kind: Literal["ws", "sse"] = "ws"
    params: Mapping[str, Any] = {}
    signed: bool = True


class Next(msgspec.Struct, frozen=True):
    """The stream's next frame, waited for at most so long."""

    seconds: float = 15.0


class Frame(msgspec.Struct, frozen=True):
    """One message of a stream; ``event`` is the name that server-sent events have."""

    data: bytes | str
    event: str = ""


class Recall(msgspec.Struct, frozen=True, kw_only=True):
    """Who, of this source, is held to like, share, follow, reply to … this, as it stands: what was told and not taken back.

    A connector that finds an undoing by difference compares with this and keeps no list of people of its own: a cursor
    rests in the log, where an erasure would not find them.
    """

    signal: Signal
    about: About


# -- what a connector tells ------------------------------------------------------------------------------------


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """One act of somebody on a network.

    Attributes:
        id: the network's own, the same whichever way the fact came; unique within the source.
        signal, op: what, and whether it is told or taken back. ``snapshot`` is a count without names, in ``value``.
        at: when, ms since the epoch.
        actor: who, as ``network:id`` (``bluesky:did:plc:…``); "" for a snapshot.
        about: a post (``About(post=URI)``), or whom it is about (``About(account="bluesky:did:…")``).
        record: the network's name of the record that the act is. What takes the act back, or deletes it, often names
            nothing else: ``Fact(op="retract", record=…)`` with an empty ``about`` takes back what was told, or ever
            will be told, under that name.
        text: what was written. It is read in memory and never rests (law 8).
        links: URLs that the text links to.
        mentions: accounts that the text names, as ``network:id``.
        completeness: ``inferred`` is a difference between two looks.
        dated: the network told when. Else ``at`` is a guess, and of somebody who was erased such an act is from before.
    """

    id: str
    signal: Signal
    at: int
    actor: str
    op: Op = "assert"
    about: About = About()
    value: float | None = None
    record: str | None = None
    text: str | None = None
    links: tuple[str, ...] = ()
    mentions: tuple[str, ...] = ()
    completeness: Completeness = "identified"
    dated: bool = True


class Post(msgspec.Struct, frozen=True, kw_only=True):
    """Something the company published; ``plait.bridge`` ties it to items and topics.

    Attributes:
        id: as ``About.post`` of facts names it: the network's URI.
        at: when, ms since the epoch.
        url: where people read it.
        links: URLs in it, those of cards and facets, too.
        tags: hashtags without ``#``.
        products: product tags, where the network has them.
        deleted: it is gone.
    """

    id: str
    at: int
    text: str = ""
    url: str = ""
    links: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    deleted: bool = False


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be kept together: facts, posts, and the cursor from which to go on once they are.

    Attributes:
        cursor: ``None`` leaves it as it is.
        gone: accounts (``network:id``) that were deleted or taken down: their people are erased.
        gap: why something may be missing before this page; the driver reconciles, and the operator is told.
        done, total: how far a backfill is, in units of its own.
        dropped: how much was left out since the last page because it cannot be read, by reason: counted, and a few logged.
    """

    facts: Sequence[Fact] = ()
    posts: Sequence[Post] = ()
    cursor: str | None = None
    gone: Sequence[str] = ()
    gap: str | None = None
    done: int = 0
    total: int = 0
    dropped: Mapping[str, int] = {}


class Renewed(msgspec.Struct, frozen=True):
    """Secrets in place of those there were, told by ``sign_in`` as soon as the network gave them.

    The old ones are void from then on, and what is asked next may fail or be killed.
    """

    secrets: Mapping[str, str]

    def __repr__(self) -> str:
        return "Renewed()"


Step = Ask | Open | Next | Recall | Page
Steps = Generator[Step, Any, None]


# -- what a connector says about itself ------------------------------------------------------------------------


class Gives(msgspec.Struct, frozen=True, kw_only=True):
    """One signal that a network gives: how completely, and how its undoing is learned."""

    signal: Signal
    completeness: Completeness
    how: str
    undo: Literal["pushed", "polled", "never"]


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """The network's limit on one budget: so many calls in so many seconds."""

    calls: int
    seconds: int


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """Something that ``plait connect`` has to ask for."""

    name: str
    title: str
    help: str
    secret: bool = False
    default: str = ""


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """What a connector gives and under which rules; ``plait connect`` shows it before it asks for anything.

    Attributes:
        network: as identifiers and sources name it.
        needs: the credentials to ask for.
        limits: by budget; ``default`` always.
        rights: what the credentials let us do, in the network's words.
        rules: of the network, that an operator has to know.
        not_seen: what this connector cannot see.
        replays: seconds that the network replays of a stream from a cursor; a stream that was down longer missed
            something, and the past is read again. 0 when it does not say, or tells of gaps itself.
        host: base URL of where accounts live unless told otherwise; empty where each has a server of its own.
        opt_in: nobody's account may be linked without their own express yes, whatever the settings say.
    """

    network: str
    title: str
    gives: tuple[Gives, ...]
    needs: tuple[Credential, ...]
    limits: Mapping[str, Limit]
    rights: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    not_seen: tuple[str, ...] = ()
    streams: bool = False
    hooks: bool = False
    host: str = ""
    replays: int = 0
    opt_in: bool = False


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """The company's account on a network.

    Attributes:
        source: of its events, ``bluesky:shop.example``.
        host: base URL, no slash at the end.
        me: the account's own identifier, ``bluesky:did:plc:…``.
        handle: as people write it.
        settings: what else ``sign_in`` found and wants to keep (nothing secret).
    """

    source: str
    host: str
    me: str = ""
    handle: str = ""
    settings: Mapping[str, str] = {}


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """What signing in gave. ``repr`` shows no secret.

    Attributes:
        account: with ``me`` and ``handle`` filled in.
        headers: that signed requests carry.
        expires_at: ms since the epoch, when it is worth signing in anew; ``None`` never.
        secrets: to be kept (encrypted) in place of those given: refresh tokens rotate.
        dpop: the private key (JWK) that the token is bound to; signed requests prove that we hold it.
    """

    account: Account
    headers: Mapping[str, str]
    expires_at: int | None = None
    secrets: Mapping[str, str] = {}
    dpop: str = ""

    def __repr__(self) -> str:
        return f"Session({self.account.source})"


class Fresh(msgspec.Struct, frozen=True, kw_only=True):
    """Chance for one sign-in with a browser, since connectors have none of their own.

    Attributes:
        state: comes back with who comes back.
        verifier: of PKCE (RFC 7636).
        key: a private key (JWK, P-256) for networks that bind tokens to one.
    """

    state: str
    verifier: str
    key: str

    def __repr__(self) -> str:
        return "Fresh()"


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """A customer on the way to the network, to show there that an account is theirs. What they typed is checked.

    Attributes:
        host: base URL of the server that they named; "" takes the network's own.
        handle: what they say the account is called, or its id there; "" leaves that to the network.
        directory: where accounts are looked up; "" takes the network's own.
        client: URL of the document that says who we are, for networks that read one; "" where there is none.
        back: our own address that their browser is sent to then.
        name: whom they sign in to, as the network may show it.
    """

    host: str = ""
    handle: str = ""
    directory: str = ""
    client: str = ""
    back: str
    name: str = ""


class Leave(msgspec.Struct, frozen=True, kw_only=True):
    """Where the holder of the account is asked whether we may.

    Attributes:
        url: to be opened in their browser.
        kept: what ``finish`` has to be given besides, secrets among it.
    """

    url: str
    kept: Mapping[str, str]

    def __repr__(self) -> str:
        return "Leave()"


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """What a webhook's delivery was: what to keep, and what to answer."""

    page: Page = Page()
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = {}


SigningIn = Generator[Ask | Renewed, Any, Session]


class Connector(Protocol):
    """One account on one network.

    Args of the class:
        account: whose.
        watched: whether an account (``network:id``) is one whose acts matter besides those on the company's posts:
            people who are customers, and those they follow. Where it has ``known``, that tells whether we may hold
            something of an account at all: of strangers, what they delete need not be told.
        now: ms since the epoch; connectors read no clock of their own.

    One that remembers people has ``forget(gone)``: it lets go of those of whom ``gone`` (``network:id`` -> bool) is true.
    A class that also takes ``secrets`` is given those of the account, to check what is signed with them. One that has ``serve(path, headers)``, a generator like ``receive`` that returns a ``Received`` or ``None``,
    answers GETs under ``/webhooks/{network}/{source}/`` and ``/.well-known/``: for networks where others read us.

    One whose account can be signed in to with a browser (OAuth) has two more generators that ask and nothing else, both static:
    ``begin(credentials, host, back, fresh)`` returns a ``Leave`` (``back`` is where the browser is sent to then, "" shows a
    code instead), and ``finish(kept, answered, host)`` with what came back returns the credentials that ``sign_in`` takes. A third,
    ``sign_out(secrets, host)``, tells the network that we are done with them.

    One where *customers* can show in the same way whose an account is has two static generators for that: ``ask_who(visit, fresh)``
    returns a ``Leave``, and ``who(kept, answered)`` the account (``network:id``) of whoever came back. It keeps nothing of the access that
    it is given for the purpose, and gives it back. Whatever they ask goes through the guarded fetcher.
    """

    statement: ClassVar[Statement]

    def __init__(
        self, account: Account, *, watched: Callable[[str], bool], now: Callable[[], int]
    ) -> None: ...

    @staticmethod
    def sign_in(credentials: Mapping[str, str], host: str, now: int) -> SigningIn:
        """Open a session with what ``needs`` asked for, or with the secrets that the last one left.

        Where the network voids secrets by giving new ones, the new ones are told (``Renewed``) before anything else is asked.

        Raises:
            Rejected: the network does not take them; the message says which and why.
        """
        ...

    def poll(self, cursor: str | None) -> Steps:
        """Tell what happened since ``cursor``, oldest first, and end; also reconciles what is never pushed."""
        ...

    def stream(self, cursor: str | None) -> Steps:
        """Tell what happens as it happens; ends only with the stream."""
        ...

    def backfill(self, cursor: str | None) -> Steps:
        """Tell what the network still knows of the past, in pages that can be resumed from ``cursor``."""
        ...

    def receive(self, headers: Mapping[str, str], body: bytes) -> Generator[Ask, Answer, Received]:
        """Check and read one delivery of a webhook, or answer the network's challenge.

        ``headers`` have lower-case names; ``:method`` and ``:path`` (as it was asked for, with its query) are among
        them, and ``:received-at``, when it came (ms since the epoch): it may be read later, when a date in it looks old.
        It may run again for a delivery that was read before; what it returns as ``body`` is answered.

        Raises:
            Rejected: the signature is wrong or too old (401), or the body is not the network's.
        """
        ...


def networks() -> list[str]:
    """The networks there is a connector for: the modules of this package."""
    return sorted(one.name for one in iter_modules(__path__) if not one.name.startswith("_"))


def connector_of(network: str) -> type[Connector]:
    """The connector of a network.

    Raises:
        Rejected: there is none, or its driver is not installed.
    """
    known = sys.modules.get(f"{__name__}.{network}") if network.isalnum() else None
    if known is not None:  # each delivery asks: to look into the folder took half of its time
        made: type[Connector] = known.Connector
        return made
    if network not in networks():
        raise Rejected(
            f"no connector for {network[:80]!r}; there is {', '.join(networks()) or 'none'}",
            code="unknown_network", field="network",
        )  # fmt: skip
    try:
        module = import_module(f"plait.connectors.{network}")
    except ModuleNotFoundError as exc:
        raise Rejected(
            f'the connector for {network} needs its driver: pip install "plait[{network}]" ({exc.name} is missing)',
            code="driver_missing", field="network",
        ) from exc  # fmt: skip
    found: type[Connector] = module.Connector
    return found
