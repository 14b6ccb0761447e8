"""Everybody once: the rows that a model learns from, and the profiles that an audience is counted over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from plait import identity
from plait.events import is_weak
from plait.graph import SOMEONE
from plait.profiles.consent import ConsentDoor
from plait.profiles.fragment import half_life_ms
from plait.profiles.people import usable_profile
from plait.profiles.profile import Entry, Profile, entries_of
from plait.profiles.reader import Reader
from plait.settings import Settings
from plait.store import Snapshot


def usable_profiles(
    snapshot: Snapshot,
    settings: Settings,
    *,
    now: int,
    after: str | None = None,
    door: ConsentDoor | None = None,
) -> Iterator[tuple[str, Profile | None]]:
    """Everybody once, as conditions may use them.

    Args:
        snapshot: of the state.
        settings: half-life, consent defaults and limits.
        now: ms since the epoch; weights are decayed to it.
        after: go on behind this identifier, in the order of bytes.
        door: statements newer than the snapshot.

    Yields:
        Each identifier that holds anything, and the profile of the person whose row begins there (see ``training_rows``), else ``None``.
    """
    reader = Reader(snapshot, settings, door)
    for key, _ in snapshot.scan("fragments", after=None if after is None else after.encode()):
        identifier = key.decode()
        reader.forget()
        members = None if identifier.startswith(SOMEONE) else _row_of(reader, identifier)
        if members is None:
            yield identifier, None
            continue
        fragments = {one: found for one in members if (found := reader.fragment(one)) is not None}
        yield identifier, usable_profile(reader, members, fragments, now=now, settings=settings)


def training_rows(
    snapshot: Snapshot, settings: Settings, *, now: int, purpose: str = "personalize"
) -> Iterator[tuple[str, list[Entry]]]:
    """Every person that may be learned from, as (row id, entries decayed to ``now``).

    A person is a row, under the smallest of their strong identifiers; so is a device that is nobody's, and one that
    several people share. Rows without entries are left out. In no order that means anything.
    """
    half_life = half_life_ms(settings.half_life_days)
    reader = Reader(snapshot, settings)
    for key, _ in snapshot.scan("fragments"):
        identifier = key.decode()
        if identifier.startswith(SOMEONE):
            continue
        reader.forget()
        members = _row_of(reader, identifier)
        if members is None:
            continue
        fragments = {one: found for one in members if (found := reader.fragment(one)) is not None}
        allowed = reader.allowed(members, purpose)
        entries = entries_of(fragments, now=now, half_life=half_life, allowed=allowed)
        if entries:
            yield identifier, entries


def own_entries(
    snapshot: Snapshot,
    settings: Settings,
    identifiers: Iterable[str],
    *,
    now: int,
    door: ConsentDoor | None = None,
) -> Iterator[tuple[str, list[Entry]]]:
    """What each of these did under this very identifier, as far as its person lets it be used; nothing is not left out.

    Args:
        snapshot: of the state.
        settings: half-life, consent defaults and limits.
        identifiers: read one at a time.
        now: ms since the epoch; weights are decayed to it.
        door: statements newer than the snapshot.
    """
    half_life = half_life_ms(settings.half_life_days)
    reader = Reader(snapshot, settings, door)
    for identifier in identifiers:
        reader.forget()
        fragment = reader.fragment(identifier)
        if fragment is None:
            yield identifier, []
            continue
        allowed = reader.allowed(reader.person(identifier), "personalize")
        yield identifier, entries_of({identifier: fragment}, now=now, half_life=half_life, allowed=allowed)


def _row_of(reader: Reader, identifier: str) -> dict[str, str] | None:
    """Whose row begins at an identifier: of several that are one person, at the first that has a fragment."""
    if not reader.neighbours(identifier):
        return {identifier: "self"}
    if not is_weak(identifier):
        members = reader.person(identifier)
        first = min(one for one in members if not is_weak(one) and reader.fragment(one) is not None)
        return members if first == identifier else None
    persons = [
        one
        for one in identity.joining(identifier, reader.neighbours)
        if not is_weak(one) and identifier in reader.person(one)
    ]
    owners = {min(one for one in reader.person(each) if not is_weak(one)) for each in persons}
    if len(owners) != 1:
        return {identifier: "self"}  # nobody's, or shared: read by each, and a row of its own
    # Its person's row has it, unless nothing was ever folded into any of their strong identifiers.
    members = reader.person(persons[0])
    if any(reader.fragment(one) is not None for one in members if not is_weak(one)):
        return None
    first = min(one for one in members if reader.fragment(one) is not None)
    return members if first == identifier else None
