"""What the client does, without doing it: events on their way, what an answer means, and when to try again.

No sockets, threads or sleeps: ``sync.py`` and ``aio.py`` carry out what is asked for here, and say what came of it.
"""

from __future__ import annotations

import logging
import math
import random
import secrets
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from datetime import datetime
from difflib import get_close_matches
from typing import Any, NamedTuple, TypeVar

import msgspec

from plait.errors import PlaitError, Rejected, Unavailable
from plait.events import MAX_EVENT_BYTES, MAX_WHO, PURPOSES, Signal, checked_identifier

log = logging.getLogger("plait.client")

GATHER = 0.1  # seconds that an event waits for others to share its request
BATCH = 500  # events in one request; the server takes more, but what is slow to fold is slow to answer
BATCH_BYTES = 400_000  # of 512,000 that the server takes
LONGEST_WAIT = 30.0  # seconds between two tries, unless the server asks for more
LONGEST_ASKED = 600.0  # seconds that a Retry-After is believed
ROOM = 16 << 20  # bytes of events that may wait
_FIRST_WAIT = 0.2  # seconds
_SIGNALS = frozenset(Signal)


# -- what a driver is asked to do, and what it says of it --------------------------------------------------


class Request(NamedTuple):
    """Ask the server; the driver sends back an ``Answer``."""

    method: str
    path: str
    body: bytes | None
    params: Mapping[str, str | Sequence[str]]
    seconds: float


class Pause(NamedTuple):
    """Do nothing for a while; the driver sends back ``None``."""

    seconds: float


class Put(NamedTuple):
    """Put an event on its way; the driver sends back ``None``."""

    raw: bytes


class Answer(NamedTuple):
    """What the server answered; ``status`` 0 and ``trouble`` where it did not."""

    status: int
    body: bytes = b""
    retry_after: str | None = None
    trouble: str = ""


R = TypeVar("R")
Steps = Generator[Request | Pause | Put, Any, R]


class Lost(NamedTuple):
    """Events that are not on their way any more, and why."""

    raw: list[bytes]
    error: PlaitError

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events, as ``Client.send`` takes them."""
        return [msgspec.json.decode(one) for one in self.raw]


def refused(status: int, body: bytes) -> PlaitError:
    """The error that an answer of 300 and more tells."""
    error = error_of(Answer(status, body))
    assert error is not None
    return error


def error_of(answer: Answer) -> PlaitError | None:
    """What is wrong with an answer: ``Rejected``, ``Unavailable``, or ``None`` where nothing is.

    What is not in Plait's words came from something between, a balancer or a login page: that is no verdict on what was
    sent, so it is worth another try.
    """
    if not answer.status:
        return Unavailable(f"the server does not answer: {answer.trouble}", code="no_answer")
    try:
        told = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        told = None
    if answer.status < 300 and told is not None:
        return None
    wait = math.ceil(_seconds(answer.retry_after) or 1)
    if not isinstance(told, dict) or not isinstance(told.get("code"), str):
        return Unavailable(
            f"the server answered {answer.status}, but not in Plait's words; is the address right?",
            code="not_plait",
            status=answer.status,
            retry_after=wait,
        )
    message, field = str(told.get("message", "")), told.get("field")
    if answer.status in (408, 429) or answer.status >= 500:
        return Unavailable(message, code=told["code"], field=field, status=answer.status, retry_after=wait)
    return Rejected(message, code=told["code"], field=field, status=answer.status)


def wait_of(tries: int, answer: Answer, chance: Callable[[], float]) -> float:
    """Seconds until the next try: twice as long each time, never all clients at once, never before the server asked.

    Args:
        tries: that have failed, >= 1.
        answer: of the newest; its ``Retry-After`` in seconds or as a date.
        chance: a number in [0, 1).
    """
    most: float = min(LONGEST_WAIT, _FIRST_WAIT * 2.0 ** min(tries - 1, 20))
    asked = min(LONGEST_ASKED, _seconds(answer.retry_after) or 0.0)
    return max(asked, most / 2) + chance() * most / 2


def _seconds(told: str | None) -> float | None:
    if told is None:
        return None
    if told.strip().isdecimal():
        return float(told)
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(told).timestamp() - time.time())
    except ValueError:
        return None


# -- events -----------------------------------------------------------------------------------------------


def event(  # noqa: D417 - what speaks for itself is told of together
    signal: str,
    who: str | Sequence[str] = (),
    *,
    item: str | None = None,
    section: str | None = None,
    post: str | None = None,
    topic: str | None = None,
    url: str | None = None,
    query: str | None = None,
    value: float | None = None,
    id: str | None = None,
    at: int | datetime | None = None,
    op: str | None = None,
    source: str | None = None,
    name: str | None = None,
    decision: str | None = None,
    consent: Mapping[str, bool | Mapping[str, bool]] | None = None,
    traits: Mapping[str, Any] | None = None,
    properties: Mapping[str, Any] | None = None,
    context: Mapping[str, Any] | None = None,
    counter: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """One event in Plait's words, as ``send`` and ``personalize`` take it; checked as far as that can be done here.

    Args:
        signal: one of docs/reference/signals.md.
        who: identifiers ``type:value``; may be left out where the question names them.
        item, section, post, topic, url, query: what it is about.
        value: seconds of a dwell or play, money of a purchase, 0 to 1 of a rating.
        id: unique per source; made up where it is not given. What has been sent under one id counts once.
        at: ms since the epoch, or a datetime with a zone; now where it is not given.
        op: ``retract`` undoes (an un-like), ``snapshot`` is a count without names; ``assert`` where it is not given.
        source: where it comes from; the server's own where it is not given.

    Raises:
        Rejected: a signal, identifier, time or value that the server would refuse.
    """
    if signal not in _SIGNALS:
        near = get_close_matches(str(signal), list(Signal), 1)
        hint = f"; {near[0]}?" if near else ""
        raise Rejected(f"there is no signal {str(signal)[:80]!r}{hint}", code="invalid_field", field="signal")
    if value is not None and not (isinstance(value, int | float) and math.isfinite(value)):
        raise Rejected(f"value must be a number, not {value!r}", code="invalid_value", field="value")
    for purpose in consent or ():
        if purpose not in PURPOSES:
            raise Rejected(
                f"a purpose is one of {', '.join(PURPOSES)}, not {purpose!r}",
                code="invalid_consent",
                field="consent",
            )
    named = identifiers(who)
    about = {
        "item": item,
        "section": section,
        "post": post,
        "topic": topic,
        "url": url,
        "query": query,
    }
    told = {
        "id": id or secrets.token_hex(16), "signal": str(signal), "who": named or None, "source": source, "op": op,
        "at": now_ms() if at is None else _ms(at), "about": _given(about) or None, "value": value, "counter": counter,
        "name": name, "decision": decision, "consent": consent, "traits": traits,
        "context": context or None, "properties": properties or None,
    }  # fmt: skip
    return _given(told)


def _given(told: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in told.items() if value is not None}


def now_ms() -> int:
    """The time of this machine's clock, ms since the epoch; the server corrects it."""
    return time.time_ns() // 1_000_000


def _ms(at: int | datetime) -> int:
    if isinstance(at, int) and not isinstance(at, bool):
        return at
    if not isinstance(at, datetime) or at.tzinfo is None:
        raise Rejected(
            f"at must be ms since the epoch or a datetime with a zone, not {at!r}",
            code="invalid_time",
            field="at",
        )
    return int(at.timestamp() * 1_000)


def identifiers(who: str | Sequence[str]) -> list[str]:
    """``who`` as a list of well-formed identifiers.

    Raises:
        Rejected: one of them is not ``type:value``, or there are too many.
    """
    named = [who] if isinstance(who, str) else list(who)
    if len(named) > MAX_WHO:
        raise Rejected(
            f"an event may name {MAX_WHO} identifiers, not {len(named)}", code="invalid_field", field="who"
        )
    return [checked_identifier(one, field=f"who[{at}]") for at, one in enumerate(named)]


def encoded(told: Mapping[str, Any]) -> bytes:
    """An event as it is sent.

    Raises:
        Rejected: it holds what JSON has no word for, or is larger than the server takes.
    """
    try:
        raw = msgspec.json.encode(told)
    except (TypeError, ValueError, OverflowError, RecursionError) as exc:
        raise Rejected(f"the event cannot be told in JSON: {exc}", code="invalid_field") from exc
    if len(raw) > MAX_EVENT_BYTES - 32:  # room for `sent_at`
        raise Rejected(
            f"the event has {len(raw)} bytes; {MAX_EVENT_BYTES - 32} are the most",
            code="event_too_large",
            status=413,
        )
    return raw


def body_of(batch: Iterable[bytes], sent_at: int) -> bytes:
    """A request of events; ``sent_at`` (ms) stands in each, by which the server corrects this machine's clock."""
    stamp = b',"sent_at":%d}' % sent_at
    return b"[" + b",".join([one[:-1] + stamp for one in batch]) + b"]"


# -- events on their way ----------------------------------------------------------------------------------


class Outbox:
    """Events on their way, one batch at a time and in order; an event stays until the server spoke about it.

    Times are seconds of a clock that only goes forward. Not for two threads at once: the driver sees to that.

    Attributes:
        taken, done: how many events were ever put, and how many the server spoke about or were given up.
        lost: how many of those were not accepted.
        trouble: why the newest try failed, ``None`` when it did not.
    """

    def __init__(self, *, room: int = ROOM, chance: Callable[[], float] = random.random) -> None:
        self._room, self._chance = room, chance
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._under_way = 0  # how many of the first are being sent now
        self._limit = BATCH
        self._tries = 0
        self._not_before = 0.0
        self._since = 0.0  # when the first of those that wait came
        self._hurried = 0
        self.taken = self.done = self.lost = 0
        self.trouble: PlaitError | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, raw: bytes, now: float) -> bool:
        """Take an event; ``False`` when there is no room."""
        if self._size + len(raw) > self._room and self._waiting:
            return False
        if not self._waiting:
            self._since = now
        self._waiting.append(raw)
        self._size += len(raw)
        self.taken += 1
        return True

    def lose(self, raw: bytes) -> Lost:
        """An event for which there is no room and will be none soon."""
        self.lost += 1
        why = f": {self.trouble.message}" if self.trouble else ""
        return Lost([raw], Unavailable(f"{len(self)} events wait already{why}", code="no_room"))

    def hurry(self) -> int:
        """Let nothing that waits now wait for others. Returns what ``done`` will be when the last of it is through."""
        self._hurried = self.taken
        return self.taken

    def step(self, now: float, sent_at: int) -> bytes | float | None:
        """What to do next: send this, come again in so many seconds, or ``None``: nothing until something is put."""
        if not self._waiting or self._under_way:
            return None
        if self._not_before > now:
            return self._not_before - now
        gathered = self._since + GATHER
        if (
            gathered > now
            and not self._tries
            and self._hurried <= self.done
            and len(self._waiting) < self._limit
        ):
            return gathered - now
        batch: list[bytes] = []
        size = 0
        for raw in self._waiting:
            size += len(raw) + 32
            if batch and (len(batch) >= self._limit or size > BATCH_BYTES):
                break
            batch.append(raw)
        self._under_way = len(batch)
        return body_of(batch, sent_at)

    def told(self, answer: Answer, now: float) -> list[Lost]:
        """What became of the batch that ``step`` gave last. Returns what the server will not take."""
        count, self._under_way = self._under_way, 0
        if not count:
            return []  # given up meanwhile
        if answer.status == 413 and count > 1:  # something between has a smaller limit than the server
            self._limit = max(1, count // 2)
            return []
        error = self._verdict(answer)
        if isinstance(error, Unavailable):
            self._tries += 1
            self.trouble = error
            wait = wait_of(self._tries, answer, self._chance)
            self._not_before = now + wait
            if self._tries > 3:
                log.warning("%s; %d events wait %.1f s", error.message, len(self), wait)
            return []
        self._tries, self._since, self.trouble = 0, now, None
        self._limit = min(BATCH, self._limit * 2)
        return self._refused(self._taken_off(count), answer, error)

    def _verdict(self, answer: Answer) -> PlaitError | None:
        error = error_of(answer)
        if error is None and b'"accepted"' not in answer.body:
            return Unavailable("what answers is not Plait; is the address right?", code="not_plait")
        if answer.status == 413 and not isinstance(error, Rejected):
            return Rejected(
                "the event is too large for what is before the server", code="body_too_large", status=413
            )
        return error

    def interrupted(self) -> None:
        """Nobody will say what became of the batch under way; it is sent again, and counts once."""
        self._under_way = 0

    def give_up(self) -> list[Lost]:
        """Empty it; what waited is not known to have arrived."""
        self._under_way = 0
        batch = self._taken_off(len(self._waiting))
        self.lost += len(batch)
        if not batch:
            return []
        why = f": {self.trouble.message}" if self.trouble else ""
        return [Lost(batch, Unavailable(f"closed before the server took them{why}", code="not_delivered"))]

    @property
    def flowing(self) -> bool:
        """Whether the server took the last batch, so that there will be room soon."""
        return not self._tries

    def _taken_off(self, count: int) -> list[bytes]:
        batch = [self._waiting.popleft() for _ in range(count)]
        self._size -= sum(map(len, batch))
        self.done += count
        return batch

    def _refused(self, batch: list[bytes], answer: Answer, error: PlaitError | None) -> list[Lost]:
        refused = refused_in(answer)
        alike: dict[
            str, Lost
        ] = {}  # told together: a batch that is wrong throughout is one line of a log, not 500
        for at, why in refused:
            if at < len(batch) and why.code not in QUIET:
                alike.setdefault(why.code, Lost([], why)).raw.append(batch[at])
        found = list(alike.values())
        if error is not None and not refused:
            found = [Lost(batch, error)]
        self.lost += sum(len(one.raw) for one in found)
        return found


# The person said no, or is forgotten: nobody's loss, and nothing to repair.
QUIET = frozenset({"no_consent", "erased"})


def refused_in(answer: Answer) -> list[tuple[int, Rejected]]:
    """The events of a request that the server refused, by their number in it, and why."""
    try:
        told = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return []
    refused = told.get("refused") if isinstance(told, dict) else None
    return [
        (one["index"], Rejected(str(one["message"]), code=one["code"], field=one.get("field")))
        for one in refused or ()
    ]


def log_lost(events: Sequence[Mapping[str, Any]], error: PlaitError) -> None:
    """What is done about lost events where nobody says otherwise."""
    # What the server says of an event quotes it, and with it whom it is about; a log shall not know that.
    why = error.message if isinstance(error, Unavailable) else f"see {error.field}" if error.field else ""
    log.error("%d events were not taken: %s %s", len(events), error.code, why)
