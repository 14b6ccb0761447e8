"""Who is who: a person is a set of linked identifiers, and a pure function of the edges between them.

Nothing here moves state. Linking adds an edge, unlinking outdoes it, and whoever asks reads the fragments of those
who belong together now. A person never runs *through* a weak identifier: a device used by two people welds no one
to anyone. An edge that was only claimed (with the public write key) lets a person read a device and nothing more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations

import msgspec

from plait.events import OPT_IN, Event, Signal, identifier_type, is_weak
from plait.settings import IdentityLimits

Stated = tuple[int, str, bool]
Pair = tuple[str, str]  # in text order
# How somebody showed that an account on a network is theirs: they signed in there, sent a code from it, linked to their
# page from it (rel="me"), or told the company so, which vouches for it.
PROOFS = ("sign_in", "code", "rel_me", "statement")

_LIMITED = frozenset({"anonymous", "email", "phone", "user"})  # any other type is a network


class Link(msgspec.Struct, array_like=True, gc=False):
    """All that was said about one pair of identifiers, as last words: the order of telling does not show.

    Attributes:
        claimed: when the newest link without proof was told, ms since the epoch; -1 never.
        proven: the same with proof.
        unlinked: when the newest unlink was told; -1 never.
        implicit: an event named both without saying that they are one.
        consent: (at, id, granted) about ``link``, as told with the edge.
        how: (at, id, one of ``PROOFS``) of the newest proof that says how it was proven.
    """

    claimed: int = -1
    proven: int = -1
    unlinked: int = -1
    implicit: bool = False
    consent: Stated | None = None
    how: tuple[int, str, str] | None = None

    @property
    def live(self) -> bool:
        """Whether it holds; an unlink outdoes links up to its own time, and what was never claimed for good."""
        if self.unlinked < 0:
            return self.implicit or max(self.claimed, self.proven) >= 0
        return max(self.claimed, self.proven) > self.unlinked

    @property
    def proof(self) -> str:
        """``proven`` when a proven telling holds, else ``claimed``."""
        return "proven" if self.proven > self.unlinked else "claimed"


encode_link = msgspec.msgpack.Encoder().encode
decode_link = msgspec.msgpack.Decoder(Link).decode


def link_key(one: str, other: str) -> bytes:
    """Where the row of an edge lies, among those of ``one``."""
    return b"%b\0%b" % (one.encode(), other.encode())


Neighbours = Callable[[str], Mapping[str, Link]]  # identifier -> the other ends of its edges
MayLink = Callable[[str, str, Link], bool]  # consent of both ends and of the edge


def pairs_of(event: Event, blocked: frozenset[str] = frozenset()) -> list[Pair]:
    """The pairs of identifiers that an event says something about; blocked values never link.

    Where a network asks for an express yes, there is no edge without it: not from an event that names both in passing, not
    from a claim, and no default of the settings makes up for it.
    """
    if len(event.who) < 2 or event.op not in ("assert", "retract") or event.context.get("bot"):
        return []
    explicit = event.signal in (Signal.IDENTIFY, Signal.LINK, Signal.UNLINK)
    ends = event.signal is Signal.UNLINK or event.op == "retract"
    opted_in = event.proven and event.signal is Signal.LINK and (event.consent or {}).get("link") is True
    who = [one for one in sorted(set(event.who)) if one not in blocked]
    return [
        (one, other)
        for one, other in combinations(who, 2)
        # Two devices named together are no person; two names in passing are not a claim that they are one.
        if is_weak(one) + is_weak(other) <= 1 and (explicit or is_weak(one) or is_weak(other))
        if ends or not needs_opt_in(one, other) or opted_in
    ]


def needs_opt_in(one: str, other: str) -> bool:
    """Whether a network forbids to join these two without the person's own express yes."""
    return not OPT_IN.isdisjoint((identifier_type(one), identifier_type(other)))


def tell(link: Link, event: Event) -> Link:
    """``link`` with what an event says about it; in place."""
    if event.signal == Signal.UNLINK or (event.signal == Signal.LINK and event.op == "retract"):
        link.unlinked = max(link.unlinked, event.at)
        return link
    if event.signal in (Signal.LINK, Signal.IDENTIFY) and event.op == "assert":
        if event.proven:
            link.proven = max(link.proven, event.at)
            how = event.properties.get("proof") if event.signal == Signal.LINK else None
            if how in PROOFS:
                link.how = max(link.how or (-1, "", ""), (event.at, event.id, how))
        else:
            link.claimed = max(link.claimed, event.at)
    elif event.op == "assert":
        link.implicit = True
    told = (event.consent or {}).get("link")
    if isinstance(told, bool):
        said = (event.at, event.id, told)
        known = link.consent
        if known is None or (said[0], not told, said[1]) > (known[0], not known[2], known[1]):
            link.consent = said
    return link


def merged(one: Link, other: Link) -> Link:
    """What both rows say; for a row that was written in pieces."""
    consents = [said for said in (one.consent, other.consent) if said is not None]
    return Link(
        claimed=max(one.claimed, other.claimed),
        proven=max(one.proven, other.proven),
        unlinked=max(one.unlinked, other.unlinked),
        implicit=one.implicit or other.implicit,
        consent=max(consents, key=lambda said: (said[0], not said[2], said[1]), default=None),
        how=max(one.how or (-1, "", ""), other.how or (-1, "", "")) if one.how or other.how else None,
    )


def limit(identifier: str, limits: IdentityLimits) -> int:
    """How many strong neighbours an identifier may have before it is nobody's in particular."""
    kind = identifier_type(identifier)
    held: int = getattr(limits, kind) if kind in _LIMITED else limits.network
    return held


def joining(identifier: str, neighbours: Neighbours) -> dict[str, Link]:
    """The edges of an identifier that could join it to others, before quarantine and consent.

    Between two strong identifiers only proof joins; a device is joined by a claim too.
    """
    weak = is_weak(identifier)
    return {
        other: link
        for other, link in neighbours(identifier).items()
        if link.live and (weak or is_weak(other) or link.proof == "proven")
    }


def quarantined(identifier: str, neighbours: Neighbours, limits: IdentityLimits) -> bool:
    """Whether an identifier has more strong neighbours than one person's would: a kiosk, a shared mailbox.

    A function of the edges alone, so it does not matter which of them came first.
    """
    strong = sum(1 for other in joining(identifier, neighbours) if not is_weak(other))
    return strong > limit(identifier, limits)


def devices(identifier: str, neighbours: Neighbours, limits: IdentityLimits) -> dict[str, Link]:
    """The weak neighbours of a strong identifier; none when there are more than anybody has (``limits.user``).

    Anybody can claim devices for anybody: too many claims count for nothing, and take no proven device away.
    """
    found = {other: link for other, link in joining(identifier, neighbours).items() if is_weak(other)}
    if len(found) > limits.user:
        found = {other: link for other, link in found.items() if link.proof == "proven"}
    return found if len(found) <= limits.user else {}


def person(
    identifier: str, neighbours: Neighbours, *, limits: IdentityLimits, may_link: MayLink
) -> dict[str, str]:
    """Who is one person with ``identifier``.

    Args:
        identifier: the one asked about.
        neighbours: reads the edges of an identifier.
        limits: beyond which an identifier is quarantined: none of its edges count.
        may_link: whether consent lets an edge count.

    Returns:
        identifier -> ``self``, ``proven`` or ``claimed`` (how it was joined), ``identifier`` first, the rest in
        text order. A weak identifier is alone.
    """
    if is_weak(identifier):
        return {identifier: "self"}
    strong, waiting = {identifier}, [identifier]
    weak: dict[str, str] = {}
    while waiting:
        here = waiting.pop()
        if quarantined(here, neighbours, limits):
            continue
        for other, link in joining(here, neighbours).items():
            if is_weak(other) or other in strong or not may_link(here, other, link):
                continue
            if not quarantined(other, neighbours, limits):
                strong.add(other)
                waiting.append(other)
        for other, link in devices(here, neighbours, limits).items():
            if may_link(here, other, link) and not quarantined(other, neighbours, limits):
                weak[other] = "proven" if "proven" in (weak.get(other), link.proof) else "claimed"
    rest: dict[str, str] = dict.fromkeys(strong - {identifier}, "proven") | weak
    return {identifier: "self"} | {one: rest[one] for one in sorted(rest)}
