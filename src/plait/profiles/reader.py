"""One question's view of the state: who is one person, what they said of consent, and the fragments that they are made of."""

from __future__ import annotations

from collections.abc import Mapping

from plait import identity
from plait.events import is_weak
from plait.identity import Link, decode_link
from plait.profiles.consent import ConsentDoor, Statements, resolve
from plait.profiles.fragment import Fragment, decode_fragment
from plait.profiles.profile import Allowed
from plait.profiles.state import prefix_of
from plait.settings import Settings
from plait.store import Snapshot


class Reader:
    """Fragments, edges and consents are read once, and kept for as long as the question takes."""

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
