"""From the log to the state: every record once, in order, with the position it reached in the same transaction.

The fold is the only writer of the store. It enforces what senders cannot: a message id counts once, an event goes
to the fragment of its strongest identifier, an erased person stays erased. What it writes can be dropped at any
time and comes back the same from the log.
"""

from __future__ import annotations

import gc
import time
import traceback
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import closing, suppress

import msgspec
import structlog

from plait import catalog, identity, pages
from plait.errors import Corrupt, Unavailable
from plait.events import Event, Record, Signal, author_of, decode_record, is_network
from plait.graph import pseudonym
from plait.identity import Link, decode_link, encode_link, link_key
from plait.intake.records import numbered_events_of
from plait.intake.signals import SignalMap
from plait.intake.told import named_by
from plait.profiles import acts, forgetting, totals, visits
from plait.profiles.cache import Fragments
from plait.profiles.consent import hashed, statements_of
from plait.profiles.forgetting import ERASURES, Erasure, Records, decode_erasure, is_done
from plait.profiles.fragment import Fragment, half_life_ms
from plait.profiles.state import (
    ASIDE,
    BUCKET,
    NOBODY,
    WINDOW,
    Pending,
    Row,
    decode_counter,
    decode_row,
    encode_counter,
    encode_row,
    mark_of,
    message_name,
    prefix_of,
    row_key,
    window_keys,
)
from plait.profiles.subjects import counter_key, is_cumulative, is_visit
from plait.settings import Settings
from plait.store import Store

_log = structlog.get_logger()

VERSION = 7  # of the layouts in the store; another one means: fold anew
_SETUP = b"setup"
_CACHE = 48 << 20  # bytes that decoded fragments may take, about


class _Setup(msgspec.Struct):
    """What the state was folded with; with anything else it would mean something else."""

    version: int
    half_life: int


def spare_the_collector() -> None:
    """Let Python look for cycles less often, in a process that folds.

    A step makes none: counting references frees what it makes. Looking through all cached fragments for them
    again and again took a fifth of the time (measured 2026-11, CPython 3.11).
    """
    gc.set_threshold(1_000_000, 5, 5)


class Fold:
    """Takes records in and keeps the store.

    Attributes:
        position: of the log, up to which everything is in the store.
        events: how many counted since this fold was made.
        doubled: how many were told before.
        packing: seconds that the last step took to encode fragments; one encodes each once however long it is.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        signals: SignalMap,
        *,
        log: Records | None = None,
        pepper: str = "",
        cache: int = _CACHE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin where the store stands; a store that was folded with other settings is emptied.

        Args:
            store: opened for writing.
            settings: half-life, limits and blocked values.
            signals: how names become signals.
            log: where records are read again when somebody is erased.
            pepper: ``Keys.pepper``, the key of the hashes that stand for erased identifiers.
            cache: bytes that decoded fragments may take, about.
            clock: seconds.
        """
        self.events = self.doubled = 0
        self.packing = 0.0
        self._clock = clock
        self._store, self._settings, self._signals = store, settings, signals
        self._log, self._pepper = log, pepper
        self._half_life = half_life_ms(settings.half_life_days)
        self._blocked = frozenset(settings.identity.blocked)
        self._fragments = Fragments(cache)
        self._again: dict[int, bytes] = {}  # the records of this step, before they are looked up in the log
        self._erased: dict[bytes, int] = {}
        self._oldest = 0
        self._name = b""  # of the message that is being folded
        self._begin()

    def _begin(self) -> None:
        setup = msgspec.msgpack.encode(_Setup(version=VERSION, half_life=self._half_life))
        with closing(self._store.snapshot()) as snapshot:
            self.position = snapshot.position
            same = snapshot.get("meta", _SETUP) == setup
        if not same:
            self._store.clear()
            self._store.commit({"meta": {_SETUP: setup}}, position=0, expected=0)
            self.position = 0
        with closing(self._store.snapshot()) as snapshot:
            self._erased = {key: msgspec.msgpack.decode(raw) for key, raw in snapshot.scan("erased")}
            first = next(snapshot.scan("window"), None)
        self._oldest = int.from_bytes(first[0][:2], "big") if first else 0xFFFF

    def step(self, records: Sequence[tuple[int, bytes]]) -> int:
        """Fold records that follow ``position``, commit, and return how many events counted.

        A record that cannot be folded, for a mistake of ours, is set aside and told, and the others go on: one
        sender must not stop everybody. It stays in the log, and a later version folds it at the next replay.

        Raises:
            Corrupt: a record is not what we wrote, or does not follow; the store was not changed.
            Unavailable: the store was not changed (a full disk).
        """
        try:
            return self._step(records)
        except (Corrupt, Unavailable, MemoryError):
            raise
        except Exception as exc:
            if len(records) > 1:
                half = len(records) // 2
                return self.step(records[:half]) + self.step(records[half:])
            self._set_aside(records[0][0], exc)
            return 0

    def _set_aside(self, position: int, exc: Exception) -> None:
        where = traceback.extract_tb(exc.__traceback__)[-1]
        why = f"{type(exc).__name__} in {where.name}"  # its text may hold what somebody sent
        _log.error("record_set_aside", position=position, why=why, line=where.lineno)
        key = ASIDE + position.to_bytes(8, "big")
        self._store.commit({"meta": {key: why.encode()}}, position=position, expected=self.position)
        self.position = position

    def _step(self, records: Sequence[tuple[int, bytes]]) -> int:
        if not records:
            return 0
        if records[0][0] != self.position + 1 or records[-1][0] != self.position + len(records):
            raise Corrupt(
                f"the log goes on at {records[0][0]}, the state stands at {self.position}", code="log_corrupt"
            )
        snapshot = self._store.snapshot()
        before = self.events, self.doubled, self._oldest
        try:
            self._state = Pending(snapshot)
            self._again = dict(records)
            for position, raw in records:
                self._record(position, decode_record(raw, position))
            began = self._clock()
            self._fragments.flush(self._state)
            self.packing = self._clock() - began
            self._prune(2 * (self.events - before[0]) + 100)
            changes = self._state.changes()
        except BaseException:
            self._drop(*before)
            raise
        finally:
            snapshot.close()
        try:
            self._store.commit(changes, position=records[-1][0], expected=self.position)
        except BaseException:
            self._drop(*before)
            raise
        self.position = records[-1][0]
        self._fragments.trim()
        return self.events - before[0]

    def _drop(self, events: int, doubled: int, oldest: int) -> None:
        """Forget what was not committed."""
        self.events, self.doubled, self._oldest = events, doubled, oldest
        self._fragments.drop()
        with closing(self._store.snapshot()) as snapshot:
            self._erased = {key: msgspec.msgpack.decode(raw) for key, raw in snapshot.scan("erased")}

    # -- one record --------------------------------------------------------------------------------------------

    def _record(self, position: int, record: Record) -> None:
        state = self._state
        self._now = record.received_at
        if record.kind in catalog.KINDS:
            for table, rows in catalog.fold_items(record, state.get).items():
                for key, value in rows.items():
                    state.put(table, key, value)
            return
        if record.kind == "page":
            for key, value in pages.fold_cursor(position, record, state.get).items():
                state.put("cursors", key, value)
        told: tuple[str, str] | None = None
        counts = False
        for number, event in self._events(record):
            named = (event.source, event.id)
            if not event.part or named != told:  # the parts of one call stand and fall together
                told = named
                counts = not self._is_late(position, number, event) and self._is_new(position, number, event)
            if counts:
                self._event(position, number, event)

    def _events(self, record: Record) -> list[tuple[int, Event]]:
        try:
            return numbered_events_of(record, self._signals)
        except Corrupt as exc:  # its checksum is right, so we wrote it: a mistake of ours, not of the disk
            raise ValueError("a record that was let in cannot be read") from exc

    def _is_late(self, position: int, number: int, event: Event) -> bool:
        """Whether somebody it names was erased after it happened; then it has to leave the log, too."""
        if not self._erased or event.signal is Signal.ERASE:
            return False
        named = named_by(event)
        if not any(event.at <= self._erased.get(hashed(one, self._pepper), -1) for one in named):
            return False
        forgetting.note_late(self._state, position, number)
        return True

    def _is_new(self, position: int, number: int, event: Event) -> bool:
        """Whether this message id was not counted within the window; notes that it is now."""
        state, received_at = self._state, event.received_at
        self._name = message_name(event.source, event.id)
        keys = window_keys(self._name, received_at, self._oldest)
        for key in keys:
            known = state.get("window", key)
            if known is not None and received_at - int.from_bytes(known, "big") <= WINDOW:
                self.doubled += 1
                forgetting.note_again(self._state, position, number, event)
                return False
        self._oldest = min(self._oldest, received_at // BUCKET)
        state.put("window", keys[0], received_at.to_bytes(6, "big"))
        return True

    def _event(self, position: int, number: int, event: Event) -> None:
        self.events += 1
        if event.signal is Signal.ERASE:
            self._erase(position, number, event)
            return
        who = [one for one in event.who if one not in self._blocked] if self._blocked else event.who
        if not who and event.who:
            return
        mark = mark_of(event, self._name)
        rest, put = row_key(event.at, mark), self._state.put
        row = encode_row(position, number, event)
        if who:
            self._count(who[0], event, mark)
            self._tell(who, event)
        elif event.takes_back:
            acts.take_back_unnamed(self._state, event, self._fragment, half_life=self._half_life)
        else:
            totals.count(self._state, event)
        for one in who or [NOBODY]:
            put("timeline", prefix_of(one) + rest, row)
        for one in self._named(event):
            put("named", prefix_of(one) + rest, row)

    def _named(self, event: Event) -> Iterable[str]:
        """Whom an event names that did not do it: they are to be found when they are erased.

        The author of the company's own posts is the company: a row for each like of them would find nobody.
        """
        about = event.about
        if about.account is None and about.post is None and event.record is None:
            return ()
        named = {about.account, author_of(event.record)}
        if about.post is not None and self._state.get("items", about.post.encode()) is None:
            named.add(author_of(about.post))
        return [one for one in named if one is not None and (one == about.account or one not in event.who)]

    def _count(self, identifier: str, event: Event, mark: bytes) -> None:
        """Put an event into a fragment."""
        fragment, state = self._fragment(identifier), self._state
        before = self._raised(identifier, event) if is_cumulative(event) else None
        acts.count(state, identifier, fragment, event, mark, half_life=self._half_life, before=before)
        if is_visit(event):
            visits.note(state, identifier, fragment, event, mark, half_life=self._half_life)

    def _tell(self, who: Sequence[str], event: Event, only: str | None = None) -> None:
        """Note what an event says about links and consents; ``only`` what it says about one identifier."""
        if event.consent:
            for said in statements_of(event):
                if said.identifier in who and only in (None, said.identifier):
                    self._fragment(said.identifier).state(said.purpose, said.at, said.id, said.granted)
                    self._fragments.stated(said.identifier)
        if len(who) > 1:
            for one, other in identity.pairs_of(event, self._blocked):
                if only is None or only in (one, other):
                    self._linked(one, other, event)

    def _linked(self, one: str, other: str, event: Event) -> None:
        there = link_key(one, other)
        known = self._state.get("links", there)
        row = encode_link(identity.tell(decode_link(known) if known else Link(), event))
        if row != known:
            self._state.put("links", there, row)
            self._state.put("links", link_key(other, one), row)

    def _raised(self, identifier: str, event: Event) -> float | None:
        """What the counter of an event stood at before; it is raised to the event's value."""
        key = prefix_of(identifier) + counter_key(event)
        known = self._state.get("counters", key)
        before = decode_counter(known) if known else None
        value = event.value or 0.0
        if before is None or value > before:
            self._state.put("counters", key, encode_counter(value))
        return before

    def _fragment(self, identifier: str) -> Fragment:
        return self._fragments.get(identifier, self._state)

    def _prune(self, most: int) -> None:
        """Forget message ids that nobody can send again; a few at a time, so that no step is long."""
        last = self._now // BUCKET - 3
        if self._oldest > last:
            return
        for key, _ in self._state.snapshot.scan("window"):
            bucket = int.from_bytes(key[:2], "big")
            if bucket > last or most <= 0:
                self._oldest = bucket
                return
            self._state.put("window", key, None)
            most -= 1
        self._oldest = self._now // BUCKET

    # -- forgetting --------------------------------------------------------------------------------------------

    def _erase(self, position: int, number: int, event: Event) -> None:
        """Forget a person: all that names them leaves, and who else it named is folded anew without it."""
        told = [one for one in event.who if one.startswith("erased:")]
        if told:  # the log was redacted: hashes are all that is left
            cutoff = int(event.value or 0)
            for one in told:
                with suppress(ValueError):  # somebody's idea of a hash
                    self._close_off(bytes.fromhex(one.removeprefix("erased:")), cutoff)
            return
        self._fragments.flush(self._state)
        gone = forgetting.gone_with(event, self._neighbours, self._settings.identity)
        gone |= {pseudonym(one, self._pepper) for one in gone if is_network(one)}
        named = self._calls(forgetting.places(self._state, gone))
        for position_, raw in self._raw(forgetting.set_aside(self._state)).items():
            named |= {
                (position_, each): [] for each in forgetting.calls_with(decode_record(raw, position_), gone)
            }
        cutoff = max(event.received_at, *(self._fragment(one).last_at for one in gone))
        left = {one for events in named.values() for each in events for one in each.who} - gone
        for identifier in gone:
            self._remove(identifier)
        for (place, number_), events in named.items():
            for each in events:
                window = window_keys(message_name(each.source, each.id), self._now, self._oldest)
                forgetting.take_out(self._state, place, number_, each, window)
                if each.takes_back and not each.who:
                    acts.clear_unnamed(self._state, each)
        for identifier in sorted(left.difference(self._blocked)):
            self._refold(identifier)
        hashes = [hashed(one, self._pepper) for one in sorted(gone)]
        for hash in hashes:
            self._close_off(hash, cutoff)
        to_do = Erasure(
            event.id, event.source, event.at, sorted(gone), hashes, cutoff, {position: [number]}, sorted(left)
        )
        for place, number_ in named:
            to_do.records.setdefault(place, []).append(number_)
        self._state.put("meta", ERASURES + position.to_bytes(8, "big"), msgspec.msgpack.encode(to_do))

    def _neighbours(self, identifier: str) -> Mapping[str, Link]:
        rows = self._state.rows("links", prefix_of(identifier))
        return {rest.decode(): decode_link(raw) for rest, raw in rows}

    def _calls(self, places: Collection[tuple[int, int]]) -> dict[tuple[int, int], list[Event]]:
        """Calls by position and number, and the events they became."""
        records = self._records({position for position, _ in places})
        return {
            (position, number): [event for at, event in records[position] if at == number]
            for position, number in sorted(places)
        }

    def _records(self, positions: Collection[int]) -> dict[int, list[tuple[int, Event]]]:
        """Events with their numbers by position, read again."""
        return {
            one: numbered_events_of(decode_record(record, one), self._signals)
            for one, record in self._raw(positions).items()
        }

    def _raw(self, positions: Collection[int]) -> dict[int, bytes]:
        raw = {one: self._again[one] for one in positions if one in self._again}
        missing = [one for one in positions if one not in raw]
        if missing and self._log is not None:
            raw |= self._log.get(missing)
        lost = [one for one in missing if one not in raw]
        if lost:
            raise Corrupt(
                f"records {lost[:3]} that the state refers to are not in the log", code="log_corrupt"
            )
        return raw

    def _remove(self, identifier: str) -> None:
        """Delete all that belongs to an identifier."""
        self._forget_fragment(identifier)
        self._state.clear("timeline", prefix_of(identifier))
        self._state.clear("named", prefix_of(identifier))
        forgetting.clear_again(self._state, identifier)
        totals.clear(self._state, identifier)
        self._unlink(identifier)

    def _unlink(self, identifier: str) -> None:
        for other in self._neighbours(identifier):
            self._state.put("links", link_key(other, identifier), None)
        self._state.clear("links", prefix_of(identifier))

    def _forget_fragment(self, identifier: str) -> None:
        self._fragments.forget(identifier, self._state)
        self._state.clear("counters", prefix_of(identifier))
        self._state.clear("visits", prefix_of(identifier))
        acts.clear(self._state, identifier)

    def _refold(self, identifier: str) -> None:
        """Make an identifier's state anew from the events that are left of its timeline."""
        found = self._state.rows("timeline", prefix_of(identifier))
        rows = [(rest, decode_row(raw)) for rest, raw in found]
        self._forget_fragment(identifier)
        self._unlink(identifier)
        records = self._records({row.position for _, row in rows})
        for rest, row in rows:  # in order of time, so that no view is late
            event = _found(records[row.position], row)
            who = [one for one in event.who if one not in self._blocked]
            if who[0] == identifier:
                self._count(identifier, event, rest[8:])
            self._tell(who, event, only=identifier)

    def _close_off(self, hash: bytes, cutoff: int) -> None:
        cutoff = max(cutoff, self._erased.get(hash, 0))
        self._erased[hash] = cutoff
        self._state.put("erased", hash, msgspec.msgpack.encode(cutoff))

    def settle(self) -> int:
        """Forget the erasures that have left the log; how many are still to be done.

        The log belongs to another process, which takes the events out; when the records have changed, what we kept
        in clear to tell it is deleted.
        """
        with closing(self._store.snapshot()) as snapshot:
            open_ = [(key, decode_erasure(raw)) for key, raw in snapshot.scan("meta", ERASURES)]
        done = [key for key, erasure in open_ if self._log is not None and is_done(erasure, self._log)]
        if done:
            changes: dict[str, dict[bytes, bytes | None]] = {"meta": dict.fromkeys(done)}
            self._store.commit(changes, position=self.position, expected=self.position)
        return len(open_) - len(done)


def _found(events: Sequence[tuple[int, Event]], row: Row) -> Event:
    for number, event in events:
        if number == row.number and event.part == row.part and event.id == row.id:
            return event
    raise Corrupt(f"event {row.id} is not at {row.position} of the log any more", code="log_corrupt")
