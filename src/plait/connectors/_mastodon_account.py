"""What a Mastodon account gives, and signing in to one with an access token."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from typing import Any
from urllib.parse import urlsplit

from plait.connectors import (
    Account,
    Answer,
    Ask,
    Credential,
    Gives,
    Limit,
    Renewed,
    Session,
    SigningIn,
    Statement,
)
from plait.connectors._fediverse import Ignored, account_of, is_web
from plait.connectors._mastodon import entity
from plait.connectors._mastodon_oauth import BY_BROWSER, is_over, renewed, signed_out
from plait.errors import Rejected, Unavailable
from plait.events import Signal

TYPE = "application/activity+json"

STATEMENT = Statement(
    network="mastodon",
    title="Mastodon, GoToSocial, Pleroma and kin",
    gives=(
        Gives(signal=Signal.LIKE, completeness="identified", how="notifications; the list of a post's favourites", undo="polled"),
        Gives(signal=Signal.SHARE, completeness="identified", how="notifications; the list of a post's boosts", undo="polled"),
        Gives(signal=Signal.FOLLOW, completeness="identified", how="notifications; the list of followers", undo="polled"),
        Gives(signal=Signal.REPLY, completeness="identified", how="notifications; the thread of a post", undo="pushed"),
        Gives(signal=Signal.COMMENT, completeness="identified", how="the thread of a post", undo="polled"),
        Gives(signal=Signal.MENTION, completeness="identified", how="notifications", undo="pushed"),
        Gives(signal=Signal.MESSAGE, completeness="identified", how="notifications; conversations", undo="pushed"),
        Gives(signal=Signal.QUOTE, completeness="identified", how="notifications, from Mastodon 4.5", undo="pushed"),
        Gives(signal=Signal.REACT, completeness="identified", how="notifications, where the server has reactions", undo="never"),
    ),
    needs=(
        Credential(name="host", title="Server", help="The address of your server: https://social.example."),
        Credential(
            name="access_token", title="Access token", secret=True,
            help="In your server's settings, under Development (Mastodon) or Applications (GoToSocial), make a new "
            "application that may `read` and nothing else, and paste its access token. Or sign in with a browser.",
        ),
    ),
    limits={"default": Limit(calls=300, seconds=300)},
    rights=("read",),
    rules=(
        "Posts that are not public are never told, but for messages to you.",
        "What an account deletes is taken back; an account that is deleted is erased.",
    ),
    not_seen=(
        "edits of replies (the first wording counts)",
        "un-likes and un-boosts of posts older than your newest forty, unless an inbox is passed on",
        "likes of people whose server is blocked by yours",
        "the deletion of a mention outside of your threads while the stream was down, unless an inbox is passed on",
    ),
    streams=True,
    hooks=True,
)  # fmt: skip


def sign_in(credentials: Mapping[str, str], host: str, now: int) -> SigningIn:
    """Check an access token and find out whose it is, on what server, and how that server streams.

    One that a browser gave is renewed when it is over, or not taken any more.

    Raises:
        Rejected: there is no token (code ``unauthorized``), or the server does not take it (``signed_out``).
        Unavailable: the server answers something else than it should.
    """
    secrets = {name: credentials[name] for name in ("access_token", *BY_BROWSER) if credentials.get(name)}
    secrets["access_token"] = token = secrets.get("access_token", "").strip()
    if not token or not token.isascii() or not token.isprintable():
        raise Rejected("an access token is needed", code="unauthorized", field="access_token", status=401)
    fresh = is_over(secrets, now)
    if fresh:
        secrets = yield from renewed(secrets, host)
        yield Renewed(secrets)
    answer = yield _mine(secrets)
    if answer.status == 401 and secrets.get("refresh_token") and not fresh:
        secrets = yield from renewed(secrets, host)
        yield Renewed(secrets)
        answer = yield _mine(secrets)
    if answer.status in (401, 403):
        if secrets.get("client_id"):
            raise signed_out("mastodon", host, {"host": host})
        raise Rejected(
            f"{host} does not take the access token (status {answer.status}): make one that may `read`",
            code="unauthorized", field="access_token", status=401,
        )  # fmt: skip
    headers = _bearer(secrets)
    mine = _entity(answer, host)
    instance = yield from _instance(host, headers)
    domain = _domain(instance, host)
    try:
        me = account_of(str(mine.get("acct") or ""), domain)
    except Ignored as exc:
        raise Unavailable(f"{host} told no account: {exc}", code="invalid_answer") from exc
    handle = me.partition(":")[2]
    settings = {"id": str(mine.get("id") or ""), "domain": domain, **_streaming(instance, host)}
    settings |= yield from _actor(mine, handle, host)
    return Session(
        account=Account(source=me, host=host, me=me, handle=f"@{handle}", settings=settings),
        headers=headers,
        expires_at=int(secrets["expires_at"])
        if secrets.get("refresh_token") and "expires_at" in secrets
        else None,
        secrets=secrets,
    )


def _bearer(secrets: Mapping[str, str]) -> dict[str, str]:
    return {"authorization": f"Bearer {secrets['access_token']}"}


def _mine(secrets: Mapping[str, str]) -> Ask:
    return Ask(url="/api/v1/accounts/verify_credentials", headers=_bearer(secrets))


def _actor(mine: Mapping[str, Any], handle: str, host: str) -> Generator[Ask, Answer, dict[str, str]]:
    """The account's actor and its inboxes: needed where the server passes deliveries on to us, and only there."""
    uri = mine.get("uri") if is_web(mine.get("uri")) else None
    if uri is None:
        told = yield Ask(url="/.well-known/webfinger", params={"resource": f"acct:{handle}"})
        links = _object(told).get("links")
        for one in links if isinstance(links, list) else []:
            if isinstance(one, Mapping) and one.get("rel") == "self" and "json" in str(one.get("type")):
                uri = one.get("href")
    if not is_web(uri):
        return {}
    elsewhere = not str(uri).startswith(
        f"{host}/"
    )  # the server's word, and not an address that we were given
    try:
        told = yield Ask(url=str(uri), headers={"accept": TYPE}, signed=False, guarded=elsewhere)
    except Rejected:  # it must not be asked there; then nothing can be passed on
        return {}
    actor = _object(told)
    endpoints = actor.get("endpoints")
    inboxes = (actor.get("inbox"), endpoints.get("sharedInbox") if isinstance(endpoints, Mapping) else None)
    found = " ".join(str(one) for one in inboxes if is_web(one) and " " not in str(one))
    return {"actor": str(uri), "inbox": found}


def _object(answer: Answer) -> Mapping[str, Any]:
    try:
        found = answer.json() if answer.ok else None
    except Rejected:
        return {}
    return found if isinstance(found, Mapping) else {}


def _instance(host: str, headers: Mapping[str, str]) -> Generator[Ask, Answer, Mapping[str, Any]]:
    """The server about itself, in its newer or its older words."""
    for path in ("/api/v2/instance", "/api/v1/instance"):
        answer = yield Ask(url=path, headers=headers)
        if answer.ok:
            return _entity(answer, host)
    raise Unavailable(f"{host} has no API of Mastodon's: it answers neither /api/v2/instance nor v1")


def _entity(answer: Answer, host: str) -> Mapping[str, Any]:
    if not answer.ok:
        raise Unavailable(f"{host} answered {answer.status}", code="invalid_answer")
    found: Mapping[str, Any] = entity(answer)
    return found


def _domain(instance: Mapping[str, Any], host: str) -> str:
    """What handles of this server end in; it need not be where the server is."""
    told = str(instance.get("domain") or instance.get("account_domain") or instance.get("uri") or host)
    return told.partition("://")[2].partition("/")[0].lower() if "://" in told else told.lower()


def _is_its_own(url: str, host: str) -> bool:
    """Whether an address is the server's, or under a name below its own: large ones stream from there."""
    try:
        one, own = urlsplit(url).hostname or "", urlsplit(host).hostname or ""
    except ValueError:
        return False
    return one == own or one.endswith(f".{own}")


_MASTODON = re.compile(r"\d+\.\d+\.\d+[\w.+\-]*")  # others name themselves besides, in brackets or words
_KIN = re.compile(
    r"\(compatible|not true|gotosocial|\+git|snac|pleroma|akkoma|friendica|pixelfed", re.IGNORECASE
)


def _streaming(instance: Mapping[str, Any], host: str) -> dict[str, str]:
    """Where and how it streams. Mastodon takes the token in a header for server-sent events as well; others have
    WebSockets alone; some have none and are polled.
    """
    version = str(instance.get("version") or "")
    configuration = instance.get("configuration")
    urls = configuration.get("urls") if isinstance(configuration, Mapping) else None
    found = urls.get("streaming") if isinstance(urls, Mapping) else None
    older = instance.get("urls")
    found = found or (older.get("streaming_api") if isinstance(older, Mapping) else None)
    if "snac" in version.lower():
        return {"version": version[:80], "streams": "none"}
    if not _is_its_own(str(found or ""), host):
        found = None  # nobody gets our token there, and it may be anybody's
    base = str(found or host).replace("wss://", "https://", 1).replace("ws://", "http://", 1).rstrip("/")
    kind = "sse" if _MASTODON.fullmatch(version) and not _KIN.search(version) else "ws"
    return {"version": version[:80], "streams": kind, "streaming": base.partition("?")[0]}
