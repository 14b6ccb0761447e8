"""A customer signs in to Bluesky to show that an account is theirs; nothing else is asked for, and nothing is kept.

The proof is the ``sub`` of a token: an identity, whose own document leads back to the server that gave the token. The token is
given back at once, and the key that it was bound to is forgotten.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from urllib.parse import urlsplit

import msgspec

from plait.connectors import Answer, Ask, Fresh, Leave, Visit
from plait.connectors._bsky_oauth import Tokens, ask_leave, exchanged, loopback_client, post, spoken_for
from plait.connectors._bsky_records import NETWORK
from plait.connectors._bsky_who import DIRECTORY, calls_itself, did_of, document_of, home_in, named
from plait.errors import PlaitError, Rejected

SCOPE = "atproto"  # says who they are, and lets us do nothing
ENTRY = "https://bsky.social"  # where those go who name no server and no handle
_THIS_MACHINE = {"127.0.0.1": "127.0.0.1", "::1": "[::1]"}


def ask_who(visit: Visit, fresh: Fresh) -> Generator[Ask, Answer, Leave]:
    """Where a customer is asked who they are: on the server of the account that they named, or on one that they named.

    Raises:
        Rejected: their handle is nobody's (``unknown_handle``), the server has no such sign-in (``no_browser``), or it could
            not read who asks (``no_public_url``).
    """
    client, host = _client(visit), visit.host
    directory = (visit.directory or DIRECTORY).rstrip("/")
    did = handle = ""
    if visit.handle:
        handle = named(visit.handle)
        did = handle if handle.startswith("did:") else (yield from did_of(handle, host))
        document = yield from document_of(did, directory)
        if handle != did and not calls_itself(document, handle):
            raise Rejected(
                f"{handle} is not what the account calls itself", code="unknown_handle", field="handle"
            )
        home = home_in(document, host)
    else:
        home = host or ENTRY
    leave = yield from ask_leave(
        home, client_id=client, redirect=visit.back, scope=SCOPE, fresh=fresh, hint=handle
    )
    kept = {**leave.kept, "directory": directory, "did": did, "host": host}
    return msgspec.structs.replace(leave, kept=kept)


def who(kept: Mapping[str, str], answered: Mapping[str, str]) -> Generator[Ask, Answer, str]:
    """The account of whoever came back.

    Raises:
        Rejected: what came back is of another sign-in or server (``invalid_state``); the code is not taken
            (``sign_in_failed``); the server may not speak for the account (``not_proven``); it is another account than
            the one that was named (``other_account``).
    """
    tokens = yield from exchanged(kept, answered, kept["host"])
    try:
        if kept["did"] and tokens.sub != kept["did"]:
            raise Rejected(
                "they signed in with another account than they named", code="other_account", status=403
            )
        yield from spoken_for(kept, tokens.sub, kept["host"])
    except PlaitError:
        yield from _given_back(kept, tokens)
        raise
    yield from _given_back(kept, tokens)
    return NETWORK + tokens.sub


def _client(visit: Visit) -> str:
    """Our id: the loopback client where the browser comes back to this very machine, else our document's address.

    Raises:
        Rejected: there is no document, or it says another address to come back to; code ``no_public_url``.
    """
    parts = urlsplit(visit.back)
    if parts.scheme == "http" and parts.hostname in _THIS_MACHINE:
        return loopback_client(SCOPE, f"http://{_THIS_MACHINE[parts.hostname]}{parts.path}")
    if not visit.client:
        raise Rejected(
            "Bluesky's servers read who asks them: set public_url to where Plait is reached from outside and leave callback out; "
            "to try it on one machine, let callback begin with http://127.0.0.1",
            code="no_public_url", field="callback",
        )  # fmt: skip
    return visit.client


def _given_back(kept: Mapping[str, str], tokens: Tokens) -> Generator[Ask, Answer, None]:
    if kept["revocation_endpoint"]:
        form = {"token": tokens.access_token, "client_id": kept["client_id"]}
        try:
            yield post(kept["revocation_endpoint"], form, kept["key"], kept["host"])
        except PlaitError:
            return  # without its key, which nobody has in a moment, it opens nothing
