"""An inbox: what fediverse servers deliver, believed when the key of its actor signed it for us, a moment ago.

Deliveries are signed by the actor's key, whose URL the sender names: it is fetched with the guarded fetcher, and believed
only about the server that it is on. A delivery that comes again says what it said at the time it was signed, so an old
like cannot come back after its undo.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Generator, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from plait.connectors import Account, Answer, Ask, Page, Received
from plait.connectors._activities import Actor, Us, facts_of, id_of, kind_of
from plait.connectors._fediverse import Ignored, account_of, origin
from plait.connectors._signatures import Claim, Place, claim_of, is_signed_by, wrong
from plait.errors import Rejected

TYPE = "application/activity+json"
ACCEPT = f'{TYPE}, application/ld+json; profile="https://www.w3.org/ns/activitystreams"'
LARGEST = 1_000_000  # bytes of a delivery
MOST_ACTORS = 2_000  # that are remembered
MOST_SEEN = 20_000  # deliveries that are remembered
STALE = 86_400_000  # ms after which a key is fetched anew
AGAIN = 60_000  # ms between two fetches of a key that did not fit

Asks = Generator[Ask, Answer, Any]


class Known:
    """Whose keys are whose, and which posts are ours: what was fetched lately. Any number of inboxes may share one."""

    def __init__(self) -> None:
        self.actors: OrderedDict[str, tuple[Actor, int]] = OrderedDict()  # key id -> (whose, fetched at)
        self.ours: OrderedDict[tuple[str, str], bool] = OrderedDict()  # (our actor, post) -> it wrote it
        self._seen: OrderedDict[bytes, int] = OrderedDict()  # signature -> when it was signed
        # (whose key, second) -> deliveries signed then; a hash of this run stands for the key, which names somebody.
        self._second: OrderedDict[tuple[int, int], int] = OrderedDict()

    def signed_at(self, claim: Claim, now: int) -> int:
        """When a delivery was signed, ms since the epoch: those of one second in the order in which they came.

        Signatures tell seconds. Arrival cannot be taken instead: deliveries wait on both sides, and one that is sent
        again by somebody else must not be newer than it was.
        """
        if claim.signature not in self._seen:
            key = hash(claim.key_id)
            before = self._second.get((key, claim.at), 0)
            self._second[key, claim.at] = before + 1
            self._seen[claim.signature] = min(claim.at, now) + min(before, 999)
            for held in (self._seen, self._second):
                if len(held) > MOST_SEEN:
                    held.popitem(last=False)
        return self._seen[claim.signature]

    def forget(self, gone: Callable[[Actor], bool]) -> None:
        """Let go of the keys of actors who are gone."""
        for key in [key for key, (who, _) in self.actors.items() if gone(who)]:
            del self.actors[key]


_KNOWN = Known()  # of this process: a connector may be made anew for each delivery


class Inbox:
    """The inbox of one actor.

    Args:
        account: ``settings["actor"]`` is the URI of the company's actor, ``settings["inbox"]`` addresses that its
            deliveries may be signed for, with a space between: its inbox and its server's shared one.
        now: ms since the epoch.
        sign: headers that sign a request of ours (method, URL, body); some servers answer no others.
        known: what was fetched before.
    """

    def __init__(
        self,
        account: Account,
        now: Callable[[], int],
        *,
        sign: Callable[[str, str, bytes], Mapping[str, str]] = lambda *_: {},
        known: Known = _KNOWN,
    ) -> None:
        self.us = Us(account=account.me, uri=account.settings.get("actor", ""))
        self.ignored: Counter[str] = Counter()  # by reason
        self._host = account.host
        self._inboxes = account.settings.get("inbox", "").split()
        self._now = now
        self._sign, self._known = sign, known
        self.last: tuple[Mapping[str, Any], Actor] | None = None  # what was read last, for who answers it

    def forget(self, gone: Callable[[str], bool]) -> None:
        """Let go of what was fetched of those who are gone."""
        self._known.forget(lambda who: gone(who.account))
        for post in [post for post, its in self._known.ours.items() if not its]:
            del self._known.ours[post]  # others wrote these, and their addresses may say who
        if self.last is not None and gone(self.last[1].account):
            self.last = None

    def receive(self, headers: Mapping[str, str], body: bytes) -> Generator[Ask, Answer, Received]:
        """Read a delivery.

        Args:
            headers: lower-case names; ``:path`` is the path and query of the request, ``:received-at`` when it came.
            body: as it came.

        Raises:
            Rejected: 400 when it is no activity, 401 when it is not believed.
        """
        self.last = None
        activity = _activity(body)
        now = min(self._now(), _number(headers.get(":received-at")) or self._now())
        claim = claim_of(headers, body, self._places(headers), now=now)
        actor = id_of(activity.get("actor"))
        if not actor or origin(claim.key_id) != origin(actor):
            raise wrong("its key is on another server than its actor")
        who = yield from self._signer(claim, actor, activity)
        if who is None:
            return self._erased(actor)
        if who.uri != actor:
            raise wrong("its key is not its actor's")
        return (yield from self._read(activity, who, self._known.signed_at(claim, now)))

    def _read(self, activity: Mapping[str, Any], who: Actor, at: int) -> Generator[Ask, Answer, Received]:
        self.last = activity, who
        if kind_of(activity) == "Delete" and id_of(activity.get("object")) == who.uri:
            self._known.forget(lambda one: one.uri == who.uri)
            return Received(page=Page(gone=[who.account]), status=202)
        if kind_of(activity) == "Update" and id_of(activity.get("object")) == who.uri:
            self._known.forget(lambda one: one.uri == who.uri)  # a new key, a new name
        yield from self._find_owner(activity)
        try:
            facts = facts_of(activity, who, self.us, at, self._owns)
        except Ignored as exc:
            self.ignored[str(exc)] += 1
            return Received(status=202)
        return Received(page=Page(facts=facts), status=202)

    # -- who signed ------------------------------------------------------------------------------------------

    def _places(self, headers: Mapping[str, str]) -> list[Place]:
        """Where it may have been signed for: here, and where the company's own server took it before passing it on."""
        found = []
        if ":path" in headers and headers.get("host"):
            found.append(Place(urlsplit(self._host).scheme or "https", headers["host"], headers[":path"]))
        for url in self._inboxes:
            parts = urlsplit(url)
            found.append(Place(parts.scheme, parts.netloc, parts.path or "/"))
        return found

    def _signer(
        self, claim: Claim, actor: str, activity: Mapping[str, Any]
    ) -> Generator[Ask, Answer, Actor | None]:
        """Whose key signed; ``None`` when an account that says it is deleted is really gone.

        Raises:
            Rejected: the key did not, or cannot be had.
        """
        known = self._known.actors.get(claim.key_id)
        if known is not None and self._now() - known[1] < STALE and is_signed_by(claim, known[0].pem):
            return known[0]
        if known is not None and self._now() - known[1] < AGAIN:
            raise wrong("the key did not make it")
        answer = yield self._get(claim.key_id)
        if answer.status == 410 and kind_of(activity) == "Delete" and id_of(activity.get("object")) == actor:
            # Anything on that server may be gone; it is the account that has to be.
            itself = yield self._get(actor)
            if itself.status == 410:
                return None
        if not answer.ok:
            raise wrong(f"its key cannot be had (status {answer.status})")
        who = yield from self._actor(answer.json(), claim.key_id)
        self._known.actors[claim.key_id] = who, self._now()
        if len(self._known.actors) > MOST_ACTORS:
            self._known.actors.popitem(last=False)
        if not is_signed_by(claim, who.pem):
            raise wrong("the key did not make it")
        return who

    def document(self, uri: str) -> Generator[Ask, Answer, object]:
        """An object of another server; ``None`` when there is none."""
        answer = yield self._get(uri)
        return answer.json() if answer.ok else None

    def _get(self, uri: str) -> Ask:
        return Ask(url=uri, headers={"accept": ACCEPT, **self._sign("GET", uri, b"")}, guarded=True)

    def _actor(self, document: object, key_id: str) -> Generator[Ask, Answer, Actor]:
        """The actor whose document, or the document of whose key, this is."""
        pem, owner = _key(document, key_id)
        if isinstance(document, Mapping) and not document.get("preferredUsername"):
            # A key on its own: its owner has to say so, too.
            if origin(owner) != origin(key_id):
                raise wrong("its key is on another server than its owner")
            document = yield from self.document(owner)
            if _key(document, key_id) != (pem, owner):
                raise wrong("its owner does not know the key")
        if not isinstance(document, Mapping) or id_of(document) != owner or origin(owner) != origin(key_id):
            raise wrong("its key is not its owner's")
        account = yield from self._account(document, owner)
        return Actor(
            uri=owner, account=account, pem=pem, followers=id_of(document.get("followers")),
            inbox=id_of(document.get("inbox")),
        )  # fmt: skip

    def _account(self, document: Mapping[str, Any], uri: str) -> Generator[Ask, Answer, str]:
        """``mastodon:user@host`` as every server shows it: the host that webfinger names, if that host agrees."""
        user, server = str(document.get("preferredUsername")), origin(uri)
        try:
            plain = account_of(user, server.partition("://")[2])
            told, _ = yield from self._finger(server, plain)
            canonical = account_of(told, "") if told else plain
            if canonical == plain:
                return plain
            scheme = server.partition("://")[0]
            again, itself = yield from self._finger(f"{scheme}://{canonical.partition('@')[2]}", canonical)
            return canonical if again and account_of(again, "") == canonical and itself == uri else plain
        except Ignored as exc:
            raise wrong(f"its actor has {exc}") from exc

    def _finger(self, server: str, account: str) -> Generator[Ask, Answer, tuple[str, str]]:
        """(handle, actor's URI) that a server's webfinger tells; ("", "") when it tells nothing."""
        resource = f"acct:{account.partition(':')[2]}"
        try:
            answer = yield Ask(
                url=f"{server}/.well-known/webfinger", params={"resource": resource}, guarded=True
            )
            told = answer.json() if answer.ok else None
        except Rejected:
            return "", ""
        if not isinstance(told, Mapping):
            return "", ""
        links = told.get("links")
        itself = next(
            (
                str(one.get("href"))
                for one in (links if isinstance(links, list) else [])
                if isinstance(one, Mapping) and one.get("rel") == "self" and "json" in str(one.get("type"))
            ),
            "",
        )
        return str(told.get("subject") or "").removeprefix("acct:"), itself

    # -- what is ours ----------------------------------------------------------------------------------------

    def _owns(self, uri: str) -> bool:
        return self.us.owns(uri) or self._known.ours.get((self.us.uri, uri), False)

    def _find_owner(self, activity: Mapping[str, Any]) -> Asks:
        """Ask for the author of a post of our server whose address does not tell (Pleroma's, Misskey's)."""
        inner = activity.get("object")
        for thing in (inner, inner.get("object") if isinstance(inner, Mapping) else None,
                      inner.get("inReplyTo") if isinstance(inner, Mapping) else None):  # fmt: skip
            uri = id_of(thing)
            if not uri or origin(uri) != origin(self.us.uri) or uri == self.us.uri:
                continue
            if self.us.owns(uri) or (self.us.uri, uri) in self._known.ours:
                continue
            found = yield from self.document(uri)
            self._known.ours[self.us.uri, uri] = (
                isinstance(found, Mapping) and id_of(found.get("attributedTo")) == self.us.uri
            )
            if len(self._known.ours) > MOST_ACTORS:
                self._known.ours.popitem(last=False)

    # -- who is gone -----------------------------------------------------------------------------------------

    def _erased(self, actor: str) -> Received:
        """An account that was deleted, whose key went with it: its server itself says that it is gone."""
        known = [who.account for who, _ in self._known.actors.values() if who.uri == actor]
        last = urlsplit(actor).path.rstrip("/").rpartition("/")[2].lstrip("@")
        self._known.forget(lambda one: one.uri == actor)
        try:
            account = known[0] if known else account_of(last, origin(actor).partition("://")[2])
        except Ignored as exc:
            self.ignored[str(exc)] += 1
            return Received(status=202)
        return Received(page=Page(gone=[account]), status=202)


def _activity(body: bytes) -> Mapping[str, Any]:
    if len(body) > LARGEST:
        raise Rejected(f"a delivery may have {LARGEST} bytes", code="too_large", status=413)
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise Rejected("the body is no JSON", code="invalid_body") from exc
    if not isinstance(found, Mapping) or not kind_of(found):
        raise Rejected("the body is no activity", code="invalid_body")
    return found


def _key(document: object, key_id: str) -> tuple[str, str]:
    """(public key, owner) that a document of an actor or of a key holds under this id."""
    if isinstance(document, Mapping):
        held = document.get("publicKey")
        for one in held if isinstance(held, list) else [held, document]:
            if (
                isinstance(one, Mapping)
                and one.get("id") == key_id
                and isinstance(one.get("publicKeyPem"), str)
            ):
                return str(one["publicKeyPem"])[:16_384], id_of(one.get("owner") or document.get("id"))
    raise wrong("what is at the key's address is no key")


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 16 else 0
