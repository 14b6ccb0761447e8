"""How somebody shows that an account on a network is theirs: with a code sent from it, or a link on its profile.

Who claims to be ``@ann`` may be anybody, so a claim joins nobody. What is asked of them is something that only the holder of
the account can do; the link that follows says which it was (``identity.PROOFS``).
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from plait.errors import Corrupt, Rejected
from plait.sealed import Seal, write_whole

FILE = "proofs.sealed"
LASTS = 86_400_000  # milliseconds in which a code has to be sent
MOST = 100_000  # codes that may wait; each is some 200 bytes
MOST_EACH = 5  # for one identifier; the oldest goes first

# Without letters and digits that look alike (Crockford's base 32), so that it survives being typed on a phone.
_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CODE = re.compile(r"\bPLAIT-([0-9A-Z]{4})-([0-9A-Z]{4})\b", re.I)
_ALIKE = str.maketrans("ILO", "110")


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A code that somebody was given and has not sent yet.

    Attributes:
        identifier: who they are to the shop.
        account: the account they said is theirs, ``network:id``, where the shop knows it; another's is not taken then.
        network: that the code has to come from.
        until: ms since the epoch.
        social: what they said when they were asked whether what they do there may be used; ``None`` when they were not.
    """

    identifier: str
    network: str
    account: str | None
    until: int
    social: bool | None = None

    def __repr__(self) -> str:
        return f"Waiting({self.network}, {self.until})"


_decoder = msgspec.json.Decoder(dict[str, Waiting])


def codes_in(text: str) -> list[str]:
    """The codes in a message, as they were given; nothing else of it is looked at."""
    return [
        f"PLAIT-{one.translate(_ALIKE)}-{other.translate(_ALIKE)}"
        for one, other in _CODE.findall(text.upper()[:10_000])
    ][:3]


class Codes:
    """The codes that wait to be sent, in one sealed file of the data folder. One process writes.

    Args:
        data: the data folder.
        now: ms since the epoch, for a key that is made now.
    """

    def __init__(self, data: Path, *, now: int) -> None:
        self._path = data / FILE
        self._seal = Seal.of(data, "proofs", now=now)
        self._waiting: dict[str, Waiting] = {}
        if self._path.exists():
            try:
                self._waiting = _decoder.decode(self._seal.open(self._path.read_bytes()))
            except (Corrupt, msgspec.MsgspecError):
                self._waiting = {}  # they last a day; who waits asks anew

    def give(
        self, identifier: str, network: str, account: str | None, now: int, *, social: bool | None = None
    ) -> tuple[str, int]:
        """A new code for somebody, and until when (ms since the epoch) it may be sent.

        Raises:
            Rejected: 429 ``too_many_codes``: as many wait as may.
        """
        self._drop_old(now)
        theirs = [code for code, one in self._waiting.items() if one.identifier == identifier]
        for code in theirs[: max(0, len(theirs) - MOST_EACH + 1)]:  # in the order they were given
            del self._waiting[code]
        if len(self._waiting) >= MOST:
            raise Rejected("too many codes wait to be sent", code="too_many_codes", status=429)
        letters = "".join(secrets.choice(_LETTERS) for _ in range(8))
        code = f"PLAIT-{letters[:4]}-{letters[4:]}"
        self._waiting[code] = Waiting(
            identifier=identifier, network=network, account=account, until=now + LASTS, social=social
        )
        self._write()
        return code, now + LASTS

    def of(self, code: str, account: str, now: int) -> Waiting | None:
        """Who was given a code that came from ``account``, ``None`` when nobody was.

        One that comes from another account than the one that was named is nobody's: somebody else saw it.
        """
        one = self._waiting.get(code)
        if one is None or one.until < now or one.network != account.partition(":")[0]:
            return None
        return one if one.account in (None, account) else None

    def spend(self, code: str) -> None:
        """Let a code work no more."""
        if self._waiting.pop(code, None) is not None:
            self._write()

    def forget(self, identifiers: set[str]) -> None:
        """Drop the codes of people who were erased."""
        theirs = [code for code, one in self._waiting.items() if {one.identifier, one.account} & identifiers]
        for code in theirs:
            del self._waiting[code]
        if theirs:
            self._write()

    def _drop_old(self, now: int) -> None:
        for code in [code for code, one in self._waiting.items() if one.until < now]:
            del self._waiting[code]

    def _write(self) -> None:
        write_whole(self._path, self._seal.seal(msgspec.json.encode(self._waiting)))


# -- rel="me" --------------------------------------------------------------------------------------------------

_HANDLE = re.compile(r"/(?:@|users/|profile/|u/)([\w.\-]{1,64})/?")


def account_at(url: str) -> str:
    """The account whose profile stands at a URL: ``mastodon:ann@social.example`` of ``https://social.example/@ann``.

    Raises:
        Rejected: ``invalid_url``: it is no profile of the fediverse, where a host vouches for the names under it.
    """
    parts = urlsplit(url)
    found = _HANDLE.fullmatch(parts.path)
    if parts.scheme not in ("https", "http") or not parts.hostname or found is None or parts.query:
        raise Rejected(
            "url must be a profile like https://social.example/@ann", code="invalid_url", field="url"
        )
    port = f":{parts.port}" if parts.port else ""
    return f"mastodon:{found[1].lower()}@{parts.hostname.lower()}{port}"


def links_to(body: bytes, kind: str, page: str) -> bool:
    """Whether a profile links to ``page`` with ``rel="me"``.

    Args:
        body: the profile as it was fetched.
        kind: its content type; an ActivityPub actor has its links in ``attachment`` fields.
        page: the exact address; a slash at the end makes no difference.
    """
    text = body.decode("utf-8", "replace")
    if "json" in kind:
        text = " ".join(_fields(body))
    return any(_same(one, page) for one in _Me.links(text))


def _fields(body: bytes) -> Iterator[str]:
    try:
        told: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return
    fields = told.get("attachment") if isinstance(told, dict) else None
    for one in fields if isinstance(fields, list) else ():
        if isinstance(one, dict) and isinstance(one.get("value"), str):
            yield one["value"]


def _same(one: str, other: str) -> bool:
    return one.rstrip("/") == other.rstrip("/")


class _Me(HTMLParser):
    """Collects what ``<a rel="me">`` and ``<link rel="me">`` point to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        if tag in ("a", "link") and "me" in (told.get("rel") or "").lower().split() and told.get("href"):
            self.found.append(str(told["href"]))

    @classmethod
    def links(cls, text: str) -> list[str]:
        reader = cls()
        reader.feed(text)
        return reader.found
