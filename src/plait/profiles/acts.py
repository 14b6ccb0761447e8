"""What can be taken back: a like, a follow, a comment, each under the name that the network gave its record.

A network says that a record is gone and often nothing else, sometimes before it says what the record was. So what was
told under a record is kept as long as it holds, and a record that was taken back stays taken back. Taking back leaves
what there would be if the act had never been told: of a sum its exact share, of what is so or not so the newest word
that is left. Two records of one like are one like, and it holds as long as either does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import blake2b

import msgspec

from plait.events import RETRACTABLE, Event
from plait.profiles.fragment import NOTHING, Edge, Fragment, edge_order, word_of
from plait.profiles.state import NOBODY, Pending, message_name, prefix_of, row_key, row_time
from plait.profiles.subjects import SEP, felt, is_state


class _Telling(msgspec.Struct, array_like=True, frozen=True, order=True):
    """One event that was told under a record: what it counts for, and how much of each."""

    mark: bytes
    at: int
    signal: str
    felt: tuple[tuple[str, float], ...]


class _Told(msgspec.Struct, array_like=True):
    """What one identifier told under a record; a record that they took back has nothing any more."""

    taken: bool = False
    tellings: list[_Telling] = []


class _Tellers(msgspec.Struct, array_like=True):
    """Who told anything under a record that holds, and whether the network took it back without saying whose it was."""

    taken: bool = False
    who: list[str] = []


_encode = msgspec.msgpack.Encoder().encode
_told = msgspec.msgpack.Decoder(_Told)
_tellers = msgspec.msgpack.Decoder(_Tellers)
_edge = msgspec.msgpack.Decoder(Edge)


def count(
    state: Pending,
    identifier: str,
    fragment: Fragment,
    event: Event,
    mark: bytes,
    *,
    half_life: int,
    before: float | None = None,
) -> None:
    """Put an event into a fragment, or take out of it what the event takes back.

    Args:
        state: where records and acts are kept; changed.
        identifier: the strongest that the event names.
        fragment: of that identifier; changed.
        event: one that was not counted yet.
        mark: ``mark_of`` it.
        half_life: ms.
        before: see ``Fragment.add``.
    """
    if event.takes_back:
        fragment.add(event, half_life=half_life)
        _take_back(state, identifier, fragment, event, half_life)
        return
    keeps = _keeps(event)
    taken = keeps and event.record is not None and not _told_under(state, identifier, event, mark)
    fragment.add(event, half_life=half_life, before=before, taken=taken)
    if keeps and not taken:
        _note(state, identifier, event, mark)


def _keeps(event: Event) -> bool:
    return event.signal in RETRACTABLE and event.op in ("assert", "retract") and not event.context.get("bot")


def _told_under(state: Pending, identifier: str, event: Event, mark: bytes) -> bool:
    """Note an event under its record; whether that still holds."""
    name = _name(event)
    told, tellers = _told_by(state, identifier, name), _tellers_of(state, name)
    if told.taken or tellers.taken:
        return False
    told.tellings.append(_Telling(mark, event.at, event.signal, tuple(felt(event))))
    told.tellings.sort()  # however they came, they rest the same
    state.put("records", prefix_of(identifier) + name, _encode(told))
    if identifier not in tellers.who:
        tellers.who = sorted([*tellers.who, identifier])
        state.put("records", prefix_of(NOBODY) + name, _encode(tellers))
    return True


def _note(state: Pending, identifier: str, event: Event, mark: bytes) -> None:
    """Keep an act, so that what is left can be told when others leave."""
    for about, _ in felt(event):
        is_word = is_state(event.signal, about.partition(SEP)[0])
        if is_word or event.op == "assert":
            key = _acts_of(identifier, f"{event.source}{SEP}{event.signal}{SEP}{about}")
            state.put("acts", key + row_key(event.at, mark), _encode(word_of(event)) if is_word else b"")


def _take_back(state: Pending, identifier: str, fragment: Fragment, event: Event, half_life: int) -> None:
    name = _name(event)
    told = _told_by(state, identifier, name)
    if told.taken:
        return
    state.put("records", prefix_of(identifier) + name, _encode(_Told(taken=True)))
    _let_go(state, identifier, name)
    _undo(state, identifier, fragment, event.source, told.tellings, half_life)


def take_back_unnamed(
    state: Pending, event: Event, fragment_of: Callable[[str], Fragment], *, half_life: int
) -> None:
    """Take back a record of which the network does not say whose it was.

    Args:
        state: where records and acts are kept; changed.
        event: that takes back, and names nobody.
        fragment_of: the fragment of an identifier, to be changed.
        half_life: ms.
    """
    name = _name(event)
    tellers = _tellers_of(state, name)
    if tellers.taken:
        return
    state.put("records", prefix_of(NOBODY) + name, _encode(_Tellers(taken=True)))
    for one in tellers.who:
        told = _told_by(state, one, name)
        state.put("records", prefix_of(one) + name, None)
        _undo(state, one, fragment_of(one), event.source, told.tellings, half_life)


def _undo(
    state: Pending, identifier: str, fragment: Fragment, source: str, tellings: list[_Telling], half_life: int
) -> None:
    for each in tellings:
        named = f"{source}{SEP}{each.signal}"
        fragment.uncount(named)
        for about, intensity in each.felt:
            held = f"{named}{SEP}{about}"
            acts = _acts_of(identifier, held)
            state.put("acts", acts + row_key(each.at, each.mark), None)
            if is_state(each.signal, about.partition(SEP)[0]):
                fragment.word(held, about, _last_word(state, acts))
            else:
                newest = _newest(state, acts)
                fragment.take_out(
                    held, about, each.at, newest=newest, half_life=half_life, intensity=intensity
                )


def _last_word(state: Pending, acts: bytes) -> Edge:
    return max(_newest_words(state, acts), key=edge_order, default=NOTHING)


def _newest_words(state: Pending, acts: bytes) -> Iterator[Edge]:
    """The words of the newest moment there is a word of: rows lie in order of time, and not of ids."""
    newest = -1
    for rest, raw in state.rows("acts", acts, reverse=True):
        if row_time(rest) < newest:
            return
        newest = row_time(rest)
        yield _edge.decode(raw)


def _newest(state: Pending, acts: bytes) -> int:
    return next((row_time(rest) for rest, _ in state.rows("acts", acts, reverse=True)), 0)


def clear(state: Pending, identifier: str) -> None:
    """Delete all that an identifier did, and its records."""
    state.clear("acts", prefix_of(identifier))
    for name, _ in list(state.rows("records", prefix_of(identifier))):
        _let_go(state, identifier, name)
    state.clear("records", prefix_of(identifier))


def clear_unnamed(state: Pending, event: Event) -> None:
    """Forget that a record was taken back of which nobody said whose it was; its name told it, and they are erased."""
    state.put("records", prefix_of(NOBODY) + _name(event), None)


def _let_go(state: Pending, identifier: str, name: bytes) -> None:
    """Strike somebody from those who told anything under a record."""
    tellers = _tellers_of(state, name)
    if identifier in tellers.who:
        tellers.who.remove(identifier)
        left = tellers.taken or tellers.who
        state.put("records", prefix_of(NOBODY) + name, _encode(tellers) if left else None)


def _told_by(state: Pending, identifier: str, name: bytes) -> _Told:
    known = state.get("records", prefix_of(identifier) + name)
    return _told.decode(known) if known else _Told()


def _tellers_of(state: Pending, name: bytes) -> _Tellers:
    known = state.get("records", prefix_of(NOBODY) + name)
    return _tellers.decode(known) if known else _Tellers()


def _name(event: Event) -> bytes:
    return message_name(event.source, event.record or "")


def _acts_of(identifier: str, held: str) -> bytes:
    return prefix_of(identifier) + blake2b(held.encode(), digest_size=8).digest()
