"""An actor of our own on the fediverse: people follow it, write to it and name it, and their servers deliver to our inbox.

It has no server behind it but this one. It can be found (WebFinger), shows its key, accepts who follows it, and reads what
is delivered, signatures checked. It publishes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import msgspec
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from plait.connectors import (
    Account,
    Answer,
    Ask,
    Credential,
    Gives,
    Limit,
    Received,
    Session,
    Statement,
    Steps,
)
from plait.connectors._activities import Actor, id_of, kind_of
from plait.connectors._fediverse import account_of
from plait.connectors._inbox import TYPE, Inbox
from plait.connectors._signatures import signed
from plait.errors import Rejected, Unavailable
from plait.events import Signal

CONTEXT = ["https://www.w3.org/ns/activitystreams", "https://w3id.org/security/v1"]
_NAME = re.compile(r"[a-z0-9_]{1,30}")


class Connector:
    """An actor that lives at this installation; see ``plait.connectors.Connector``."""

    statement: ClassVar[Statement] = Statement(
        network="activitypub",
        title="An account of your own on the fediverse",
        gives=tuple(
            Gives(signal=one, completeness="identified", how="delivered to the inbox, signed", undo="pushed")
            for one in (
                Signal.FOLLOW, Signal.MENTION, Signal.REPLY, Signal.MESSAGE, Signal.LIKE, Signal.SHARE,
                Signal.REACT, Signal.QUOTE,
            )
        ),
        needs=(
            Credential(
                name="host", title="Address of this installation",
                help="Where the fediverse reaches this server: https://social.shop.example. It becomes part of the "
                "account's name, for good.",
            ),
            Credential(name="name", title="Name", help="Letters, digits and _, at most 30.", default="shop"),
        ),
        limits={"default": Limit(calls=3_000, seconds=300)},
        rules=("Who deletes an account is erased.", "Only what is signed by its author's server is believed."),
        not_seen=(
            "what was delivered while this server was down, once other servers give up sending it again",
            "edits (the first wording counts)",
            "deliveries that a third server passed on: they are not signed by their author",
        ),
        hooks=True,
    )  # fmt: skip

    def __init__(
        self,
        account: Account,
        *,
        watched: Callable[[str], bool],  # noqa: ARG002 - of the port
        now: Callable[[], int],
        secrets: Mapping[str, str] | None = None,
    ) -> None:
        self._account, self._now = account, now
        self._private = (secrets or {}).get("private_key", "")
        self.inbox = Inbox(account, now, sign=self._signed)

    def forget(self, gone: Callable[[str], bool]) -> None:
        """Let go of the keys of those who are gone."""
        self.inbox.forget(gone)

    @staticmethod
    def sign_in(
        credentials: Mapping[str, str],
        host: str,
        now: int,  # noqa: ARG004 - of the port
    ) -> Generator[Ask, Answer, Session]:
        """Make the account, or find it again by the key that was made before.

        Raises:
            Rejected: the name is none, or the address is no https address.
        """
        name = credentials.get("name", "shop").strip().lower()
        if not _NAME.fullmatch(name):
            raise Rejected("a name has 1 to 30 letters, digits and _", code="invalid_name", field="name")
        private = credentials.get("private_key") or _new_key()
        key = load_pem_private_key(private.encode(), None)
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        me = account_of(name, urlsplit(host).netloc)
        source = f"activitypub:{me.partition(':')[2]}"
        base = f"{host}/webhooks/activitypub/{source}"
        settings = {"actor": f"{base}/actor", "inbox": base, "public_key": public, "name": name}
        account = Account(
            source=source, host=host, me=me, handle=f"@{me.partition(':')[2]}", settings=settings
        )
        yield from ()
        return Session(account=account, headers={}, secrets={"private_key": private, "name": name})

    def poll(self, cursor: str | None) -> Steps:  # noqa: ARG002 - of the port
        """Nothing to ask for: others deliver."""
        yield from ()

    def stream(self, cursor: str | None) -> Steps:  # noqa: ARG002 - of the port
        """There is none."""
        yield from ()

    def backfill(self, cursor: str | None) -> Steps:  # noqa: ARG002 - of the port
        """Nobody tells the past."""
        yield from ()

    def receive(self, headers: Mapping[str, str], body: bytes) -> Generator[Ask, Answer, Received]:
        """Read a delivery; who follows is answered that they may.

        Raises:
            Rejected: it is not believed.
            Unavailable: the follower's server does not take our answer now; the delivery is to be read again.
        """
        received = yield from self.inbox.receive(headers, body)
        if received.page.facts and self.inbox.last is not None:
            activity, who = self.inbox.last
            if kind_of(activity) == "Follow":
                yield from self._accept(activity, who)
        return received

    def serve(self, path: str, headers: Mapping[str, str]) -> Generator[Ask, Answer, Received | None]:  # noqa: ARG002
        """What others read of this account: WebFinger, the actor, its (empty, hidden) collections."""
        yield from ()
        actor, parts = self._account.settings["actor"], urlsplit(path)
        if parts.path == "/.well-known/webfinger":
            asked = parse_qs(parts.query).get("resource", [""])[0].lower()
            if asked in (f"acct:{self._account.handle.lstrip('@')}", actor.lower()):
                return _json(self._finger(), "application/jrd+json")
            return None
        at = parts.path.removeprefix(urlsplit(actor).path)
        if at == parts.path:
            return None
        if at == "":
            return _json(self._document())
        if at in ("/followers", "/following", "/outbox"):
            empty = {"type": "OrderedCollection", "id": actor + at, "totalItems": 0, "orderedItems": []}
            return _json({"@context": CONTEXT[0], **empty})
        return None

    def _finger(self) -> dict[str, Any]:
        link = {"rel": "self", "type": TYPE, "href": self._account.settings["actor"]}
        return {"subject": f"acct:{self._account.handle.lstrip('@')}", "links": [link]}

    def _document(self) -> dict[str, Any]:
        settings, actor = self._account.settings, self._account.settings["actor"]
        return {
            "@context": CONTEXT, "id": actor, "type": "Service", "preferredUsername": settings["name"],
            "name": settings["name"], "inbox": settings["inbox"], "outbox": f"{actor}/outbox",
            "followers": f"{actor}/followers", "following": f"{actor}/following",
            "url": self._account.host, "manuallyApprovesFollowers": False, "discoverable": True,
            "publicKey": {"id": f"{actor}#main-key", "owner": actor, "publicKeyPem": settings["public_key"]},
        }  # fmt: skip

    def _accept(self, follow: Mapping[str, Any], who: Actor) -> Generator[Ask, Answer, None]:
        inbox = who.inbox
        if not inbox:  # a key's own document says little of its owner
            found = yield from self.inbox.document(who.uri)
            inbox = id_of(found.get("inbox")) if isinstance(found, Mapping) else ""
        actor = self._account.settings["actor"]
        body = msgspec.json.encode(
            {
                "@context": CONTEXT[0], "type": "Accept", "id": f"{actor}#accept/{self._now()}", "actor": actor,
                "object": {"id": id_of(follow), "type": "Follow", "actor": who.uri, "object": actor},
            }
        )  # fmt: skip
        headers = {"content-type": TYPE, **self._signed("POST", inbox, body)}
        answer = yield Ask(url=inbox, method="POST", headers=headers, body=msgspec.Raw(body), guarded=True)
        if not answer.ok:
            raise Unavailable(
                f"a follower's server answered {answer.status} to our Accept", code="not_accepted"
            )

    def _signed(self, method: str, url: str, body: bytes) -> Mapping[str, str]:
        if not self._private:
            return {}
        key_id = f"{self._account.settings['actor']}#main-key"
        return signed(method, url, body, key_id=key_id, private_pem=self._private, now=self._now())


def _json(document: Mapping[str, Any], kind: str = TYPE) -> Received:
    return Received(body=msgspec.json.encode(document), headers={"content-type": kind})


def _new_key() -> str:
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
