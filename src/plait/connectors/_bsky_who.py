"""Who speaks for whom in the AT protocol: from a handle to an identity, to where it lives, to who signs people in there.

Each step is somebody's word about somebody else. So nothing is believed before the way back leads to where it began, and no
step follows a redirect: only the very address that was named may speak.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from plait.connectors import Answer, Ask
from plait.errors import PlaitError, Rejected

DIRECTORY = "https://plc.directory"
NAMES = "https://public.api.bsky.app"  # knows the handles that stand in the DNS alone
_HANDLE = re.compile(r"(?=.{3,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_DID = re.compile(rf"did:plc:[a-z2-7]{{24}}|did:web:{_HANDLE.pattern}")


class Authority(msgspec.Struct, frozen=True, kw_only=True):
    """An authorization server, as it tells of itself."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    pushed_authorization_request_endpoint: str
    revocation_endpoint: str = ""


class _Resource(msgspec.Struct, frozen=True):
    authorization_servers: tuple[str, ...] = ()


def authority_of(host: str, ours: str) -> Generator[Ask, Answer, Authority]:
    """Who signs people in for a host: the one that it names, or itself.

    Args:
        host: base URL of a server of accounts, or of an authorization server.
        ours: the host that the operator named; every other one is somebody else's word.

    Raises:
        Rejected: nobody does, or not over https; code ``no_browser``.
    """
    answer = yield get(f"{host}/.well-known/oauth-protected-resource", ours)
    named = read(answer, _Resource) if answer.ok else None
    issuer = named.authorization_servers[0].rstrip("/") if named and named.authorization_servers else host
    if not _may(issuer, ours) or urlsplit(issuer).query:
        raise Rejected(f"{host} names a server that is not https", code="no_browser", field="host")
    answer = yield get(f"{issuer}/.well-known/oauth-authorization-server", ours)
    found: Authority | None = read(answer, Authority) if answer.ok else None
    if found is None or found.issuer.rstrip("/") != issuer:
        raise Rejected(f"{host} signs nobody in with a browser", code="no_browser", field="host")
    # A browser is sent to the first of them; what it may be sent to is no business of a server's.
    ends = (found.authorization_endpoint, found.token_endpoint, found.pushed_authorization_request_endpoint)
    if not all(_may(one, ours) for one in (*ends, found.revocation_endpoint or issuer)):
        raise Rejected(f"{issuer} names an address that is not https", code="no_browser", field="host")
    return found


def named(text: str) -> str:
    """The handle or identity in what somebody typed: ``@Ann.Example`` is ``ann.example``.

    Raises:
        Rejected: it is neither; code ``invalid_handle``.
    """
    found = text.strip().removeprefix("at://").removeprefix("@").lower()
    if not (_HANDLE.fullmatch(found) or _DID.fullmatch(found)):
        raise Rejected(
            f"a handle is like ann.bsky.social, not {text[:80]!r}", code="invalid_handle", field="handle"
        )
    return found


def did_of(handle: str, ours: str) -> Generator[Ask, Answer, str]:
    """The identity that a handle stands for: its own host says so, or else the network, which reads the DNS.

    Args:
        handle: ``ann.example``.
        ours: a host that knows handles, too; "" asks the network's own.

    Raises:
        Rejected: nobody knows it; code ``unknown_handle``.
    """
    try:
        answer = yield get(f"https://{handle}/.well-known/atproto-did", ours)
        found = answer.body[:300].decode("ascii", "replace").strip() if answer.ok else ""
    except PlaitError:  # most handles of one's own have no such page
        found = ""
    if not _DID.fullmatch(found):
        url = f"{ours or NAMES}/xrpc/com.atproto.identity.resolveHandle"
        answer = yield Ask(
            url=url, params={"handle": handle}, signed=False, budget="session", guarded=True, redirects=False
        )
        told = read(answer, dict) if answer.ok else None
        found = str(told.get("did")) if told else ""
    if not _DID.fullmatch(found):
        raise Rejected(f"nobody knows the handle {handle}", code="unknown_handle", field="handle")
    return found


def document_of(did: str, directory: str) -> Generator[Ask, Answer, Mapping[str, Any]]:
    """The document of an identity.

    Args:
        did: ``did:plc:…`` or ``did:web:…``.
        directory: URL of who keeps those of ``did:plc``.

    Raises:
        Rejected: it has none, or is no identity; code ``not_proven``.
    """
    if not _DID.fullmatch(did):
        raise Rejected("the account's identifier is none that we know", code="not_proven", status=403)
    kept = did.startswith("did:plc:")
    url = f"{directory}/{did}" if kept else f"https://{did.removeprefix('did:web:')}/.well-known/did.json"
    # The directory was named by the operator, or is the network's own.
    answer = yield Ask(url=url, signed=False, budget="session", guarded=not kept, redirects=False)
    told = read(answer, dict) if answer.ok else None
    if told is None or told.get("id") != did:
        raise Rejected("the account has no document", code="not_proven", status=403)
    document: Mapping[str, Any] = told
    return document


def home_of(did: str, directory: str, ours: str) -> Generator[Ask, Answer, str]:
    """Where an account lives, as its own document says.

    Raises:
        Rejected: it has no document, or lives nowhere; code ``not_proven``.
    """
    return home_in((yield from document_of(did, directory)), ours)


def home_in(document: Mapping[str, Any], ours: str) -> str:
    """The server that a document names.

    Raises:
        Rejected: none, or none that may be asked; code ``not_proven``.
    """
    services = document.get("service")
    for one in services if isinstance(services, list) else ():
        match one:
            case {"id": str(name), "serviceEndpoint": str(url)} if name.endswith("#atproto_pds"):
                home = url.rstrip("/")
                if _may(home, ours) and not urlsplit(home).path:
                    return home
    raise Rejected("the account's document does not say where it lives", code="not_proven", status=403)


def calls_itself(document: Mapping[str, Any], handle: str) -> bool:
    """Whether the account of a document has this handle: anybody's handle can point to it."""
    known = document.get("alsoKnownAs")
    return isinstance(known, list) and f"at://{handle}" in [str(one).lower() for one in known]


def _may(url: str, ours: str) -> bool:
    """https; http where the operator's own host is on this machine, too."""
    try:
        parts, own = urlsplit(url), urlsplit(ours)
        _ = parts.port
    except ValueError:
        return False
    if not parts.hostname or parts.username is not None or parts.fragment:
        return False
    return parts.scheme == "https" or (
        parts.scheme == own.scheme == "http" and parts.hostname == own.hostname
    )


# -- asking ----------------------------------------------------------------------------------------------------


def get(url: str, ours: str) -> Ask:
    """A question; guarded, where it goes to another host than the operator's."""
    return Ask(url=url, signed=False, budget="session", guarded=not is_on(url, ours), redirects=False)


def is_on(url: str, host: str) -> bool:
    """Whether a URL is the operator's own host's, or on the same machine as that."""
    one, other = urlsplit(url), urlsplit(host)
    return one.hostname == other.hostname and one.scheme == other.scheme


def read(answer: Answer, kind: type[Any]) -> Any:
    """The body as a ``kind``; ``None`` when it is none."""
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
