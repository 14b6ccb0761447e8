"""Bluesky: likes, reposts, quotes, replies, mentions and follows as they happen, and their undoing; messages by a look.

What happens comes from a stream of the whole network, the firehose of a relay (or of any PDS) or the much smaller
Jetstream: both tell what is undone, and both replay from a cursor. A look at the notifications, and at who likes, reposts,
quotes and follows now, fills what a stream could not replay.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Generator, Mapping
from typing import Any, ClassVar

import msgspec
import structlog

from plait.connectors import (
    Account,
    Answer,
    Ask,
    Credential,
    Gives,
    Limit,
    Next,
    Open,
    Received,
    Session,
    SigningIn,
    Statement,
    Steps,
)
from plait.connectors._atproto import (
    COLLECTIONS,
    Interest,
    Message,
    Notice,
    read_json,
)
from plait.connectors._bsky_looks import Heard, Looks
from plait.connectors._bsky_oauth import begin, finish, session, sign_out
from plait.connectors._bsky_past import backfill
from plait.connectors._bsky_proof import ask_who, who
from plait.connectors._bsky_records import NETWORK
from plait.connectors._bsky_stream import Gathered, is_to_come
from plait.errors import Rejected
from plait.events import Signal

_log = structlog.get_logger()

HOST = "https://bsky.social"
RELAYS = {
    "jetstream": "wss://jetstream2.us-east.bsky.network/subscribe",
    "firehose": "wss://bsky.network/xrpc/com.atproto.sync.subscribeRepos",
}
_SOON = 0.02  # seconds that a fact waits for others of the same moment


def _gives(signal: Signal, how: str, undo: Any = "pushed") -> Gives:
    return Gives(signal=signal, completeness="identified", how=how, undo=undo)


class Connector:
    """One account on Bluesky."""

    statement: ClassVar[Statement] = Statement(
        network="bluesky",
        title="Bluesky",
        host="https://bsky.social",
        gives=(
            _gives(Signal.LIKE, "the stream of the network; looks at getLikes"),
            _gives(Signal.SHARE, "reposts: the stream of the network; looks at getRepostedBy"),
            _gives(Signal.QUOTE, "the stream of the network; looks at getQuotes"),
            _gives(Signal.REPLY, "the stream of the network; notifications"),
            _gives(Signal.MENTION, "the stream of the network; notifications"),
            _gives(Signal.FOLLOW, "the stream of the network; looks at getFollowers"),
            _gives(Signal.MESSAGE, "looks at chat.bsky.convo.getLog, if the password may read messages", "polled"),
        ),
        needs=(
            Credential(name="identifier", title="Handle", help="of the account, shop.example"),
            Credential(
                name="password", title="App password", secret=True,
                help="made under Settings, Privacy and security, App passwords; not the account's own password; "
                "or sign in with a browser",
            ),
            Credential(
                name="stream", title="Stream", default="jetstream",
                help="jetstream (small), firehose (everything, tens of GB a day), or none (looks only)",
            ),
            Credential(name="relay", title="Relay", help="URL of the stream; empty takes the network's own"),
            Credential(
                name="messages", title="Messages", default="no",
                help="yes reads direct messages, if the app password allows it",
            ),
            Credential(
                name="hops", title="Hops", default="1",
                help="how far it is read whom your linked customers follow: 0, 1, or 2 for those people's follows, too",
            ),
            Credential(
                name="directory", title="Directory",
                help="URL of the directory of accounts, where a browser signs in; empty takes the network's own",
            ),
        ),
        limits={"default": Limit(calls=3_000, seconds=300), "session": Limit(calls=30, seconds=300)},
        rights=("read public records", "read the account's notifications", "read its messages, if allowed"),
        rules=(
            "An account that was deleted or taken down is forgotten as soon as the network says so.",
            "What people write to others than you is not read.",
        ),
        not_seen=(
            "reactions to messages",
            "likes and follows that were undone while neither the stream nor a look was there to see it",
            "who likes a post, where the network hides them from your account (blocks, mutes, deactivated accounts)",
        ),
        streams=True,
    )  # fmt: skip

    def __init__(
        self,
        account: Account,
        *,
        watched: Callable[[str], bool],
        now: Callable[[], int],
    ) -> None:
        self._account, self._now = account, now
        self._me = account.me.removeprefix(NETWORK)
        self._heard = Heard()
        self._gathered: Gathered | None = None
        # A delete does not say what it was about, and strangers delete all day.
        known: Callable[[str], bool] = getattr(watched, "known", lambda _: True)
        self._interest = Interest(
            self._me,
            lambda did: watched(NETWORK + did),
            # Whom we have just told of, or are about to, the state cannot know yet.
            lambda did: self._heard.actor(did) or self._waits(NETWORK + did) or known(NETWORK + did),
        )
        self._looks = Looks(account, self._interest, now, self._heard)

    def forget(self, gone: Callable[[str], bool]) -> None:
        """Let go of what is in mind of those who are gone."""
        self._heard.forget(gone)
        self._looks.forget(gone)
        if self._gathered is not None:
            self._gathered.forget(gone)

    # -- signing in --------------------------------------------------------------------------------------------

    @staticmethod
    def sign_in(credentials: Mapping[str, str], host: str, now: int) -> SigningIn:
        """Open a session with the app password, or renew the last one; or go on with what a browser gave.

        Raises:
            Rejected: the network does not take them.
        """
        stream = credentials.get("stream") or "jetstream"
        if stream not in (*RELAYS, "none"):
            raise Rejected(
                f"stream must be jetstream, firehose or none, not {stream[:80]!r}", code="invalid_credentials",
                field="stream",
            )  # fmt: skip
        host = host or HOST
        if stream != "none":
            _reader(stream)
        if credentials.get("key"):
            return (yield from _by_browser(credentials, host, now, stream))
        answer = None
        if credentials.get("refresh"):
            answer = yield Ask(
                method="POST", url=f"{host}/xrpc/com.atproto.server.refreshSession", signed=False,
                budget="session", headers={"authorization": f"Bearer {credentials['refresh']}"},
            )  # fmt: skip
        if answer is None or not answer.ok:
            answer = yield Ask(
                method="POST", url=f"{host}/xrpc/com.atproto.server.createSession", signed=False, budget="session",
                body={name: credentials.get(name, "").strip() for name in ("identifier", "password")},
            )  # fmt: skip
        if not answer.ok:
            raise _refused(answer)
        return _session(answer.json(), credentials, host, stream)

    begin = staticmethod(begin)
    finish = staticmethod(finish)
    sign_out = staticmethod(sign_out)
    ask_who = staticmethod(ask_who)
    who = staticmethod(who)

    # -- as it happens -----------------------------------------------------------------------------------------

    def stream(self, cursor: str | None) -> Steps:
        """What happens as it happens; the cursor is ``firehose:SEQ`` or ``jetstream:TIME_US``."""
        kind = self._account.settings.get("stream", "jetstream")
        if kind == "none":
            return  # nothing to open; the looks go on
        begun, _, place = (cursor or "").partition(":")
        start = int(place) if begun == kind and place.isdecimal() else None
        # Of a place to come Jetstream says nothing, and tells what happens from now on.
        ahead = kind == "jetstream" and start is not None and is_to_come(start, self._now())
        start = None if ahead else start
        gathered = self._gathered = Gathered(kind, start, self._interest, self._now)
        if ahead:
            gathered.missed = "the stream does not know the place where it was left"
        elif cursor and start is None and place != "live":
            gathered.missed = "the stream was changed, and the new one does not know the old one's place"
        yield Open(url=self._relay(kind), params=_params(kind, start), signed=False)
        read = _reader(kind)
        while True:
            frame = yield Next(_SOON if gathered.waits else 15.0)
            fatal = ""
            if frame is not None:
                fatal = self._take(frame.data, read, gathered)
            if fatal or gathered.due(self._now(), nothing_came=frame is None):
                told = gathered.page(self._now())
                self._heard.hear(told.facts)
                yield told
            if fatal:
                return

    def _waits(self, account: str) -> bool:
        return self._gathered is not None and self._gathered.tells_of(account)

    def _take(
        self, data: bytes | str, read: Callable[..., tuple[int, Message | None]], gathered: Gathered
    ) -> str:
        """Put one frame with the others; returns the name of an error with which the server ends the stream."""
        raw = data.encode(errors="replace") if isinstance(data, str) else data
        try:
            seq, message = read(raw, self._interest)
        except Rejected as error:
            gathered.broken(error.code)
            return ""
        gathered.take(seq, message)
        return message.name if isinstance(message, Notice) and message.fatal else ""

    def _relay(self, kind: str) -> str:
        return self._account.settings.get("relay") or RELAYS[kind]

    # -- looks -------------------------------------------------------------------------------------------------

    def poll(self, cursor: str | None) -> Steps:
        """What the notifications tell since the last look, and what is not there any more."""
        return self._looks.poll(cursor)

    def backfill(self, cursor: str | None) -> Steps:
        """What the network still knows: own posts, who did what with them, followers, and whom people follow."""
        return backfill(cursor, self._account, self._interest, self._now, self._heard.hear)

    def receive(self, headers: Mapping[str, str], body: bytes) -> Generator[Ask, Answer, Received]:  # noqa: ARG002
        """Bluesky sends nothing.

        Raises:
            Rejected: always.
        """
        yield from ()
        raise Rejected("Bluesky has no webhooks", code="no_webhooks", status=404)


# -- sessions --------------------------------------------------------------------------------------------------


class _Who(msgspec.Struct, rename="camel"):
    did: str
    handle: str
    active: bool = True
    status: str = ""
    did_doc: dict[str, Any] = {}


class _Signed(_Who, rename="camel", kw_only=True):
    access_jwt: str
    refresh_jwt: str


def _by_browser(credentials: Mapping[str, str], host: str, now: int, stream: str) -> SigningIn:
    told, secrets = yield from session(credentials, host, now)
    who: _Who = _converted(told, _Who)
    if who.did != secrets["did"]:
        raise Rejected(f"{secrets['pds']} answers for somebody else", code="invalid_answer")
    return Session(
        account=_account(who, credentials, secrets["pds"], stream),
        headers={"authorization": f"DPoP {secrets['access_token']}"}, dpop=secrets["key"],
        expires_at=int(secrets["expires_at"]), secrets=secrets,
    )  # fmt: skip


def _converted(told: Any, kind: type[Any]) -> Any:
    try:
        signed = msgspec.convert(told, kind)
    except msgspec.ValidationError as exc:
        raise Rejected(
            f"the host answers no session of the AT protocol: {exc}", code="invalid_answer"
        ) from exc
    if not signed.active:
        raise Rejected(f"the account is {signed.status or 'not active'}", code="account_inactive")
    return signed


def _account(who: _Who, credentials: Mapping[str, str], home: str, stream: str) -> Account:
    settings = {"stream": stream} | {
        name: credentials[name] for name in ("messages", "hops") if credentials.get(name)
    }
    if credentials.get("relay"):
        settings["relay"] = credentials["relay"].rstrip("/")
    return Account(
        source=NETWORK + who.handle, host=home, me=NETWORK + who.did, handle=who.handle, settings=settings
    )


def _session(told: Any, credentials: Mapping[str, str], host: str, stream: str) -> Session:
    signed: _Signed = _converted(told, _Signed)
    return Session(
        account=_account(signed, credentials, _home(signed.did_doc, host), stream),
        headers={"authorization": f"Bearer {signed.access_jwt}"},
        expires_at=_expires(signed.access_jwt),
        secrets={**credentials, "refresh": signed.refresh_jwt},
    )  # fmt: skip


def _home(document: Mapping[str, Any], host: str) -> str:
    """The account's own PDS: whom one signs in with need not be it."""
    for one in document.get("service") or ():
        match one:
            case {"id": str(name), "serviceEndpoint": str(url)} if name.endswith("#atproto_pds"):
                if url.startswith("https://"):
                    return url.rstrip("/")
    return host


def _expires(token: str) -> int | None:
    """A minute before the token's end, ms since the epoch; the host, not we, checks what it is worth."""
    try:
        part = token.split(".")[1]
        return (
            int(msgspec.json.decode(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))["exp"]) * 1000
            - 60_000
        )
    except (IndexError, KeyError, ValueError, TypeError, msgspec.DecodeError):
        return None


def _refused(answer: Answer) -> Rejected:
    told = answer.json() if answer.body[:1] == b"{" else {}
    code = told.get("error", "") if isinstance(told, dict) else ""
    if code == "AuthFactorTokenRequired":
        return Rejected("this is the account's own password; make an app password", code="invalid_credentials",
                        field="password")  # fmt: skip
    if answer.status in (400, 401):
        return Rejected("Bluesky does not take this handle and app password", code="invalid_credentials",
                        field="password")  # fmt: skip
    return Rejected(f"the host answered {answer.status} to signing in", code="sign_in_failed", field="host")


def _reader(kind: str) -> Callable[[bytes, Interest], tuple[int, Message | None]]:
    """How frames of a stream are read.

    Raises:
        Rejected: the firehose's driver is not installed.
    """
    if kind == "jetstream":
        return read_json
    try:
        from plait.connectors._firehose import read_frame
    except ModuleNotFoundError as exc:
        raise Rejected(
            f'the firehose needs its driver: pip install "plait[bluesky]" ({exc.name} is missing)',
            code="driver_missing", field="stream",
        ) from exc  # fmt: skip
    return read_frame


def _params(kind: str, start: int | None) -> dict[str, Any]:
    if kind == "jetstream":
        return {"cursor": start, "wantedCollections": sorted(COLLECTIONS)}
    return {"cursor": start}
