"""What is known of a person: read from the state when it is asked, summed over who they are now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from plait import identity
from plait.events import Event, is_network, is_weak
from plait.graph import SOMEONE
from plait.identity import Link
from plait.profiles import acts
from plait.profiles.consent import ConsentDoor, resolved, statements_of
from plait.profiles.fragment import Fragment, Visit, half_life_ms
from plait.profiles.profile import (
    Profile,
    counts_of,
    entries_of,
    everything,
    profile_of,
    usable_of,
)
from plait.profiles.reader import Reader
from plait.profiles.state import Pending, decode_counter, mark_of, message_name, prefix_of, window_keys
from plait.profiles.subjects import abouts, counter_key, is_cumulative, is_visit
from plait.settings import Settings
from plait.store import Snapshot


def profile(
    snapshot: Snapshot,
    identifier: str,
    *,
    now: int,
    settings: Settings,
    door: ConsentDoor | None = None,
    purpose: str | None = "personalize",
    inline: Sequence[Event] = (),
    linked: bool = True,
) -> Profile | None:
    """The sum of a person's fragments.

    Args:
        snapshot: of the state.
        identifier: any of theirs; a weak one asked alone is its fragment alone.
        now: ms since the epoch; weights are decayed to it.
        settings: half-life, consent defaults and limits.
        door: statements newer than the snapshot.
        purpose: entries without consent for it are left out; ``None`` gives all that is held.
        inline: events that came with the question; those the state lacks are counted in (law 9).
        linked: ``False`` reads this fragment alone.

    Returns:
        ``None`` when nothing is known of this identifier.
    """
    reader = Reader(snapshot, settings, door)
    found = _found(reader, identifier, inline, settings, linked=linked)
    if found is None:
        return None
    members, fragments = found
    allowed = everything if purpose is None else reader.allowed(members, purpose)
    half_life = half_life_ms(settings.half_life_days)
    known = profile_of(fragments, now=now, half_life=half_life, allowed=allowed)
    known.identifiers = list(members)
    known.links = _links(reader, members, settings)
    known.consents = resolved(reader.heard(members), settings.consent)
    return known


def interests(
    snapshot: Snapshot,
    identifier: str,
    *,
    now: int,
    settings: Settings,
    door: ConsentDoor | None = None,
    inline: Sequence[Event] = (),
    usable: bool = False,
) -> Profile | None:
    """As much of a profile as a page is chosen by: ``identifiers``, ``entries`` and ``counts``; the rest takes as long.

    Args and what is returned: see ``profile``. ``usable`` adds what conditions ask, nothing of it that consent holds back:
    ``counts``, ``traits``, ``devices``, times and ``consents``.
    """
    reader = Reader(snapshot, settings, door)
    found = _found(reader, identifier, inline, settings)
    if found is None:
        return None
    members, fragments = found
    if usable:
        return usable_profile(reader, members, fragments, now=now, settings=settings)
    allowed = reader.allowed(members, "personalize")
    half_life = half_life_ms(settings.half_life_days)
    entries = entries_of(fragments, now=now, half_life=half_life, allowed=allowed)
    return Profile(list(members), entries, counts_of(fragments.values()))


def stranger(
    snapshot: Snapshot, identifier: str, *, settings: Settings, door: ConsentDoor | None = None
) -> Profile:
    """The profile of somebody of whom nothing is held, as conditions may use it: empty, but for what they said of consent."""
    reader = Reader(snapshot, settings, door)
    return usable_profile(reader, {identifier: "self"}, {}, now=0, settings=settings)


def usable_profile(
    reader: Reader,
    members: dict[str, str],
    fragments: Mapping[str, Fragment],
    *,
    now: int,
    settings: Settings,
) -> Profile:
    """The sum of fragments as conditions may use it: nothing of it that consent holds back.

    Args:
        reader: what the fragments were read with.
        members: who they are, and how they were joined.
        fragments: of those that have one.
        now: ms since the epoch; weights are decayed to it.
        settings: half-life and consent defaults.
    """
    half_life = half_life_ms(settings.half_life_days)
    allowed = reader.allowed(members, "personalize")
    known = usable_of(fragments, now=now, half_life=half_life, allowed=allowed)
    known.identifiers = list(members)
    known.consents = resolved(reader.heard(members), settings.consent)
    return known


def members(snapshot: Snapshot, identifier: str, settings: Settings) -> list[str]:
    """Who is one person with an identifier, itself first."""
    return list(Reader(snapshot, settings).person(identifier))


def _found(
    reader: Reader, identifier: str, inline: Sequence[Event], settings: Settings, *, linked: bool = True
) -> tuple[dict[str, str], dict[str, Fragment]] | None:
    """Who is one person with an identifier, and their fragments; ``None`` when nothing is known of them, or may be."""
    if identifier.startswith(SOMEONE):
        return None
    if inline:
        _overlay(reader, inline, settings)
    members = reader.person(identifier) if linked else {identifier: "self"}
    fragments = {one: found for one in members if (found := reader.fragment(one)) is not None}
    if not fragments and not _is_named(reader, members, inline):
        return None
    return members, fragments


def _is_named(reader: Reader, members: Mapping[str, str], inline: Sequence[Event]) -> bool:
    """Whether any event names them, though it was folded into somebody stronger."""
    return any(one in event.who for event in inline for one in members) or any(
        next(reader.snapshot.scan("timeline", prefix_of(one)), None) is not None for one in members
    )


def has_acted(snapshot: Snapshot, identifier: str) -> bool:
    """Whether anything is held that somebody did, or that names them beside others."""
    return next(snapshot.scan("timeline", prefix_of(identifier)), None) is not None


def is_known(snapshot: Snapshot, identifier: str) -> bool:
    """Whether anything is held that an identifier did or is named in, also by others: who follows them."""
    return any(
        next(snapshot.scan(table, prefix_of(identifier)), None) is not None for table in ("timeline", "named")
    )


def _links(reader: Reader, members: Mapping[str, str], settings: Settings) -> list[dict[str, Any]]:
    found = {}
    for one in members:
        for other, link in reader.neighbours(one).items():
            # Who else used a person's device is not for their eyes.
            if link.live and (not is_weak(one) or members[one] == "self"):
                pair = tuple(sorted((one, other)))
                found[pair] = {
                    "identifiers": list(pair),
                    "proof": link.proof,
                    **_how(link, pair),
                    "counts": one in members and other in members,
                    "quarantined": any(
                        identity.quarantined(end, reader.neighbours, settings.identity) for end in pair
                    ),
                }
    return [found[pair] for pair in sorted(found)]


def _how(link: Link, pair: tuple[str, ...]) -> dict[str, Any]:
    """How a proven edge was, and when. Whoever joins a network's account by the secret key and says no more vouches for it."""
    if link.proof != "proven":
        return {}
    if link.how is not None:
        return {"how": link.how[2], "at": link.how[0]}
    return {"how": "statement", "at": link.proven} if any(map(is_network, pair)) else {}


def _overlay(reader: Reader, inline: Sequence[Event], settings: Settings) -> None:
    """Count the events in that the state lacks, in what this question has read."""
    half_life = half_life_ms(settings.half_life_days)
    scratch = Pending(reader.snapshot)  # what it notes of acts and records is let go of with the question
    raised: dict[tuple[str, bytes], float] = {}
    seen: dict[tuple[str, str], bool] = {}
    told = None
    for event in inline:
        named = (event.source, event.id)
        if not event.part or named != told:  # the parts of one call stand and fall together
            told = named
            counts = named not in seen and not _is_folded(reader.snapshot, event)
            seen[named] = counts
        who = [one for one in event.who if one not in settings.identity.blocked]
        if counts and not event.who and event.takes_back:
            acts.take_back_unnamed(scratch, event, reader.own, half_life=half_life)
        if not counts or not who:
            continue
        fragment = reader.own(who[0])
        before = None
        if is_cumulative(event):
            rest = counter_key(event)
            before = raised.get((who[0], rest))
            if before is None:
                stored = reader.snapshot.get("counters", prefix_of(who[0]) + rest)
                before = decode_counter(stored) if stored else None
            raised[who[0], rest] = max(event.value or 0.0, before or 0.0)
        mark = mark_of(event)
        acts.count(scratch, who[0], fragment, event, mark, half_life=half_life, before=before)
        if is_visit(event):
            visit = Visit(event.at, mark, abouts(event.about)[0])
            fragment.visit(event.source, visit, half_life=half_life)
        for said in statements_of(event):
            if said.identifier in who:
                reader.own(said.identifier).state(said.purpose, said.at, said.id, said.granted)
        for one, other in identity.pairs_of(event, frozenset(settings.identity.blocked)):
            link = identity.tell(reader.neighbours(one).get(other, Link()), event)
            reader.neighbours(one)[other] = reader.neighbours(other)[one] = link


def _is_folded(snapshot: Snapshot, event: Event) -> bool:
    return any(
        snapshot.get("window", key) is not None
        for key in window_keys(message_name(event.source, event.id), event.received_at)
    )
