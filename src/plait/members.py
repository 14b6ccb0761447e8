"""Who is in an audience now: everybody asked once, in slices, as they are while they are asked."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from plait.accounts import FOLDER, Accounts, ours
from plait.catalog import Audience, Catalog
from plait.errors import Rejected
from plait.events import is_network
from plait.profiles.everybody import usable_profiles
from plait.profiles.facts import Facts, Meanings, Ours, belongs, condition
from plait.profiles.profile import Profile
from plait.settings import Settings
from plait.store import Store, open_store

SLICE = (
    2_000  # identifiers read from one view of the state: an old view keeps the file from reusing its pages
)
_BLOCK = 1 << 16  # bytes that are written at a time


class Asked(msgspec.Struct):
    """What a process that asks everybody is to do: of which audience, and as of when (ms since the epoch)."""

    audience: str
    now: int


def everybody(
    store: Store,
    settings: Settings,
    audience: Audience,
    catalog: Catalog,
    *,
    now: int,
    ours: Ours | None = None,
) -> Iterator[tuple[Profile, bool]]:
    """Each person once, as they may be used, and whether they are in the audience.

    Who acts or is linked meanwhile may be told as before or as after. Nobody is told of whom nothing is held.

    Args:
        store: of the state; read in slices.
        settings: for consent and identity.
        audience: whose condition is asked.
        catalog: what items and posts are about.
        now: ms since the epoch, that weights are decayed to.
        ours: what the company's own accounts are called.

    Raises:
        Rejected: the condition cannot be read.
    """
    condition(audience.where)
    meanings = Meanings(catalog)
    after: str | None = None
    while True:
        # Nobody who reads slowly keeps a view of the state open.
        with closing(store.snapshot()) as snapshot:
            some = list(islice(usable_profiles(snapshot, settings, now=now, after=after), SLICE))
        for _, profile in some:
            if profile is not None:
                facts = Facts(profile, meanings, now=now, ours=ours)
                yield profile, belongs(facts, audience)
        if len(some) < SLICE:
            return
        after = some[-1][0]


def tellable(profile: Profile) -> list[str]:
    """The identifiers of a person that may be handed on: that somebody has an account on a network is of their social side."""
    social = profile.consents.get("social", True)
    return [one for one in profile.identifiers if social or not is_network(one)]


def count(settings: Settings, asked: Asked) -> dict[str, Any]:
    """How many people are in an audience, and how many there are: ``{"people", "of", "at"}``."""
    people = of = 0
    for _, inside in _asked(settings, asked):
        of += 1
        people += inside
    return {"people": people, "of": of, "at": asked.now}


def tell(settings: Settings, asked: Asked) -> None:
    """Write who is in an audience to the output, a line of JSON each."""
    encode = msgspec.json.Encoder().encode
    block = bytearray()
    for profile, inside in _asked(settings, asked):
        if inside and (names := tellable(profile)):
            block += encode({"identifiers": names}) + b"\n"
        if len(block) > _BLOCK:
            sys.stdout.buffer.write(block)
            sys.stdout.buffer.flush()
            block.clear()
    sys.stdout.buffer.write(block)
    sys.stdout.buffer.flush()


def _asked(settings: Settings, asked: Asked) -> Iterator[tuple[Profile, bool]]:
    data = Path(settings.data)
    known = ours(Accounts(data, now=asked.now).all()) if (data / FOLDER).exists() else {}
    with closing(open_store(settings.url("store"))) as store:
        with closing(store.snapshot()) as snapshot:
            catalog = Catalog.load(snapshot)
        audience = catalog.audiences.get(asked.audience)
        if audience is None:
            raise Rejected(
                f"there is no audience {asked.audience[:80]!r}", code="unknown_audience", status=404
            )
        yield from everybody(store, settings, audience, catalog, now=asked.now, ours=known)
