"""Dwell that nobody measured: a view lasted until the next one of its source, unless that came too late to tell."""

from __future__ import annotations

from collections.abc import Iterator

from plait.events import Event
from plait.profiles.fragment import Fragment, Visit
from plait.profiles.state import Pending, prefix_of, row_key, row_time, views_of
from plait.profiles.subjects import abouts


def note(
    state: Pending, identifier: str, fragment: Fragment, event: Event, mark: bytes, *, half_life: int
) -> None:
    """Note a view, and infer how long the one before it lasted.

    Args:
        state: where views are kept; changed.
        identifier: whose view it is.
        fragment: of that identifier; changed.
        event: a visit (``is_visit``).
        mark: ``mark_of`` it.
        half_life: ms.
    """
    visit = Visit(event.at, mark, abouts(event.about)[0])
    if not fragment.visit(event.source, visit, half_life=half_life):
        _late(state, identifier, fragment, event.source, visit, half_life)
    key = prefix_of(identifier) + views_of(event.source) + row_key(event.at, mark)
    state.put("visits", key, visit.about.encode())


def _late(
    state: Pending, identifier: str, fragment: Fragment, source: str, visit: Visit, half_life: int
) -> None:
    """A view that came late splits what was inferred without it."""
    key = row_key(visit.at, visit.mark)
    before = next(_views(state, identifier, source, key, reverse=True), None)
    after = next(_views(state, identifier, source, key), None)
    assert after is not None  # at least the newest
    fragment.linger(source, visit.about, at=visit.at, until=after.at, half_life=half_life)
    if before is None:
        return
    about, at = before.about, before.at
    fragment.linger(source, about, at=at, until=visit.at, half_life=half_life)
    fragment.unlinger(source, about, at=at, until=after.at, half_life=half_life)


def _views(
    state: Pending, identifier: str, source: str, after: bytes, *, reverse: bool = False
) -> Iterator[Visit]:
    prefix = prefix_of(identifier) + views_of(source)
    for rest, raw in state.rows("visits", prefix, after=after, reverse=reverse):
        yield Visit(row_time(rest), rest[8:], raw.decode())
