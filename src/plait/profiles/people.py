"""What is known of a person: read from the state when it is asked, summed over who they are now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Protocol

import msgspec

from plait import identity
from plait.events import Event, decode_record, is_weak
from plait.graph import SOMEONE
from plait.identity import Link, decode_link
from plait.intake.records import numbered_events_of
from plait.intake.signals import SignalMap
from plait.profiles import acts
from plait.profiles.consent import ConsentDoor, Statements, resolve, resolved, statements_of
from plait.profiles.fragment import Fragment, Visit, decode_fragment, half_life_ms
from plait.profiles.profile import (
    Allowed,
    Entry,
    Profile,
    counts_of,
    entries_of,
    everything,
    profile_of,
    usable_of,
)
from plait.profiles.state import (
    Pending,
    Row,
    decode_counter,
    decode_row,
    mark_of,
    message_name,
    prefix_of,
    row_key,
    window_keys,
)
from plait.profiles.subjects import abouts, counter_key, is_cumulative, is_visit
from plait.settings import Settings
from plait.store import Snapshot

_AT_ONCE = 1_000  # events whose records are in memory at a time


class Records(Protocol):
    """What is asked of a log: records by position."""

    def get(self, positions: Sequence[int]) -> dict[int, bytes]:
        """The records at these positions."""
        ...


class _Reader:
    """One question's view of the state: fragments, edges and consents are read once."""

    def __init__(self, snapshot: Snapshot, settings: Settings, door: ConsentDoor | None = None) -> None:
        self.snapshot = snapshot
        self._settings = settings
        self._door = door
        self._edges: dict[str, dict[str, Link]] = {}
        self._fragments: dict[str, Fragment | None] = {}

    def fragment(self, identifier: str) -> Fragment | None:
        """The fragment of an identifier, ``None`` when nothing was folded into it. Ours to change."""
        if identifier not in self._fragments:  # decoded for this question alone, so it may be changed
            raw = self.snapshot.get("fragments", identifier.encode())
            self._fragments[identifier] = decode_fragment(raw) if raw is not None else None
        return self._fragments[identifier]

    def own(self, identifier: str) -> Fragment:
        """The fragment of an identifier, a new one where there is none."""
        found = self.fragment(identifier)
        if found is None:
            found = self._fragments[identifier] = Fragment()
        return found

    def forget(self) -> None:
        """Read anew from here on, to keep memory small over many questions."""
        self._edges.clear()
        self._fragments.clear()

    def neighbours(self, identifier: str) -> dict[str, Link]:
        """The edges of an identifier."""
        found = self._edges.get(identifier)
        if found is None:
            prefix = prefix_of(identifier)
            found = self._edges[identifier] = {
                key[len(prefix) :].decode(): decode_link(raw)
                for key, raw in self.snapshot.scan("links", prefix)
            }
        return found

    def said(self, identifier: str) -> list[Statements]:
        """What an identifier said, in the state and at the door."""
        found: list[Statements] = []
        fragment = self.fragment(identifier)
        if fragment is not None and fragment.consents:
            found.append(fragment.consents)
        if self._door is not None:
            # A withdrawal holds at once; a grant may wait for the fold.
            denied = {
                named: stated for named, stated in self._door.statements(identifier).items() if not stated[2]
            }
            if denied:
                found.append(denied)
        return found

    def may_link(self, one: str, other: str, link: Link) -> bool:
        """Whether an edge counts: the newest word of both ends and of the edge itself.

        Who said no is not bound by the yes of a device, or of an edge, that anybody can claim.
        """
        said = self.said(one) + self.said(other)
        if link.consent is not None:
            said.append({"link": link.consent})
        express = identity.needs_opt_in(one, other)
        if express and not (link.consent and link.consent[2]):
            return False
        if not resolve("link", "", said, self._settings.consent.link and not express):
            return False
        return link.proof == "proven" or all(
            resolve("link", "", self.said(end), True) for end in (one, other) if not is_weak(end)
        )

    def person(self, identifier: str) -> dict[str, str]:
        """Who is one person with an identifier, and how they were joined (``identity.person``)."""
        if is_weak(identifier):
            return {identifier: "self"}
        return identity.person(
            identifier, self.neighbours, limits=self._settings.identity, may_link=self.may_link
        )

    def heard(self, members: Mapping[str, str]) -> list[Statements]:
        """The statements that hold for all of a person. A device that was only claimed may deny, not grant."""
        found: list[Statements] = []
        for identifier, how in members.items():
            for said in self.said(identifier):
                if how == "claimed":
                    said = {named: stated for named, stated in said.items() if not stated[2]}
                found.append(said)
        return found

    def allowed(self, members: Mapping[str, str], purpose: str) -> Allowed:
        """Which entries consent lets through for a purpose."""
        heard = self.heard(members)
        defaults = self._settings.consent
        default: bool = getattr(defaults, purpose)
        if not any(map(self.said, members)):  # as with most people: then the defaults hold for all alike
            social_too = default and defaults.social
            return lambda _identifier, _source, social: social_too if social else default
        own = {one: self.said(one) for one in members if is_weak(one)}

        def allows(identifier: str, source: str, social: bool) -> bool:
            mine = own.get(identifier, [])
            said = heard if members[identifier] != "claimed" else heard + mine
            for asked, otherwise in ((purpose, default), ("social", defaults.social)):
                if asked == "social" and not social:
                    continue
                if not resolve(asked, source, said, otherwise):
                    return False
                # A device's denial covers its own fragment, whatever its person said elsewhere later.
                if mine and not resolve(asked, source, mine, True):
                    return False
            return True

        return allows


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
    reader = _Reader(snapshot, settings, door)
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
    reader = _Reader(snapshot, settings, door)
    found = _found(reader, identifier, inline, settings)
    if found is None:
        return None
    members, fragments = found
    if usable:
        return _usable(reader, members, fragments, now=now, settings=settings)
    allowed = reader.allowed(members, "personalize")
    half_life = half_life_ms(settings.half_life_days)
    entries = entries_of(fragments, now=now, half_life=half_life, allowed=allowed)
    return Profile(list(members), entries, counts_of(fragments.values()))


def stranger(
    snapshot: Snapshot, identifier: str, *, settings: Settings, door: ConsentDoor | None = None
) -> Profile:
    """The profile of somebody of whom nothing is held, as conditions may use it: empty, but for what they said of consent."""
    reader = _Reader(snapshot, settings, door)
    return _usable(reader, {identifier: "self"}, {}, now=0, settings=settings)


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
    reader = _Reader(snapshot, settings, door)
    for key, _ in snapshot.scan("fragments", after=None if after is None else after.encode()):
        identifier = key.decode()
        reader.forget()
        members = None if identifier.startswith(SOMEONE) else _row_of(reader, identifier)
        if members is None:
            yield identifier, None
            continue
        fragments = {one: found for one in members if (found := reader.fragment(one)) is not None}
        yield identifier, _usable(reader, members, fragments, now=now, settings=settings)


def _usable(
    reader: _Reader,
    members: dict[str, str],
    fragments: Mapping[str, Fragment],
    *,
    now: int,
    settings: Settings,
) -> Profile:
    half_life = half_life_ms(settings.half_life_days)
    allowed = reader.allowed(members, "personalize")
    known = usable_of(fragments, now=now, half_life=half_life, allowed=allowed)
    known.identifiers = list(members)
    known.consents = resolved(reader.heard(members), settings.consent)
    return known


def _found(
    reader: _Reader, identifier: str, inline: Sequence[Event], settings: Settings, *, linked: bool = True
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


def _is_named(reader: _Reader, members: Mapping[str, str], inline: Sequence[Event]) -> bool:
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


def _links(reader: _Reader, members: Mapping[str, str], settings: Settings) -> list[dict[str, Any]]:
    found = {}
    for one in members:
        for other, link in reader.neighbours(one).items():
            # Who else used a person's device is not for their eyes.
            if link.live and (not is_weak(one) or members[one] == "self"):
                pair = tuple(sorted((one, other)))
                found[pair] = {
                    "identifiers": list(pair),
                    "proof": link.proof,
                    **(
                        {"how": link.how[2], "at": link.how[0]} if link.how and link.proof == "proven" else {}
                    ),
                    "counts": one in members and other in members,
                    "quarantined": any(
                        identity.quarantined(end, reader.neighbours, settings.identity) for end in pair
                    ),
                }
    return [found[pair] for pair in sorted(found)]


def _overlay(reader: _Reader, inline: Sequence[Event], settings: Settings) -> None:
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


def recent(
    snapshot: Snapshot,
    log: Records,
    identifier: str,
    limit: int = 100,
    *,
    settings: Settings,
    signals: SignalMap,
    before: int | None = None,
) -> list[dict[str, Any]]:
    """The newest events of a person, newest first, as plain values.

    Args:
        snapshot: of the state.
        log: where the events themselves are.
        identifier: any of theirs.
        limit: how many.
        settings: for who is linked.
        signals: how names became signals.
        before: only events older than this, ms since the epoch.
    """
    members = _Reader(snapshot, settings).person(identifier)
    after = None if before is None else row_key(before, b"")
    rows: dict[bytes, Row] = {}
    for one in members:
        prefix = prefix_of(one)
        end = None if after is None else prefix + after
        for key, raw in islice(snapshot.scan("timeline", prefix, after=end, reverse=True), limit):
            rows[key[len(prefix) :]] = decode_row(raw)
    newest = sorted(rows, reverse=True)[:limit]
    return [msgspec.to_builtins(event) for event in _events(log, signals, [rows[one] for one in newest])]


def _events(log: Records, signals: SignalMap, rows: Sequence[Row]) -> Iterator[Event]:
    """The events that rows point to, in their order; what was taken out meanwhile is left out."""
    for start in range(0, len(rows), _AT_ONCE):
        some = rows[start : start + _AT_ONCE]
        found: dict[tuple[int, int, int, str], Event] = {}
        for position, raw in log.get(sorted({row.position for row in some})).items():
            for number, event in numbered_events_of(decode_record(raw), signals):
                found[position, number, event.part, event.id] = event
        for row in some:
            event_ = found.get((row.position, row.number, row.part, row.id))
            if event_ is not None:
                yield event_


def export(
    snapshot: Snapshot, log: Records, identifier: str, *, settings: Settings, signals: SignalMap, now: int
) -> dict[str, Any] | None:
    """Everything that is held about a person, as plain values: the profile, each fragment, all events.

    Returns:
        ``None`` when nothing is known of this identifier.
    """
    found = profile(snapshot, identifier, now=now, settings=settings, purpose=None)
    if found is None:
        return None
    told: dict[str, Any] = msgspec.to_builtins(found)
    told["interests"] = [entry._asdict() for entry in found.entries]
    del told["entries"]
    rows: dict[bytes, Row] = {}
    for one in found.identifiers:
        prefix = prefix_of(one)
        rows |= {key[len(prefix) :]: decode_row(raw) for key, raw in snapshot.scan("timeline", prefix)}
    told["events"] = [
        msgspec.to_builtins(event) for event in _events(log, signals, [rows[one] for one in sorted(rows)])
    ]
    reader = _Reader(snapshot, settings)
    told["statements"] = {
        one: {
            named.replace("\x1f", "@"): {"at": at, "id": id, "granted": granted}
            for named, (at, id, granted) in fragment.consents.items()
        }
        for one in found.identifiers
        if (fragment := reader.fragment(one)) is not None and fragment.consents
    }
    return told


def training_rows(
    snapshot: Snapshot, settings: Settings, *, now: int, purpose: str = "personalize"
) -> Iterator[tuple[str, list[Entry]]]:
    """Every person that may be learned from, as (row id, entries decayed to ``now``).

    A person is a row, under the smallest of their strong identifiers; so is a device that is nobody's, and one that
    several people share. Rows without entries are left out. In no order that means anything.
    """
    half_life = half_life_ms(settings.half_life_days)
    reader = _Reader(snapshot, settings)
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


def members(snapshot: Snapshot, identifier: str, settings: Settings) -> list[str]:
    """Who is one person with an identifier, itself first."""
    return list(_Reader(snapshot, settings).person(identifier))


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
    reader = _Reader(snapshot, settings, door)
    for identifier in identifiers:
        reader.forget()
        fragment = reader.fragment(identifier)
        if fragment is None:
            yield identifier, []
            continue
        allowed = reader.allowed(reader.person(identifier), "personalize")
        yield identifier, entries_of({identifier: fragment}, now=now, half_life=half_life, allowed=allowed)


def _row_of(reader: _Reader, identifier: str) -> dict[str, str] | None:
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
