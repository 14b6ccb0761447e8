"""The edge: parse, call one function, answer.

Every route works with an ``Installation``: the log and its committer, the state as readers see it, the catalog
and the model in memory, the keys. ``app.py`` puts the routes together; nothing below this floor knows HTTP.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, MutableMapping
from contextlib import closing
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qs

import msgspec
import structlog

from plait.accounts import ours
from plait.catalog import KINDS
from plait.errors import Corrupt, PlaitError, Unavailable
from plait.events import Record, encode_record
from plait.explore import Explorer
from plait.explore import current as explorer_of
from plait.explore import prior as unexplored
from plait.fetch import Fetcher
from plait.http.arrivals import Arrivals
from plait.http.metrics import Metrics
from plait.http.signin import SignIns
from plait.intake.records import events_of
from plait.keys import Keys, Role
from plait.members import Asked
from plait.models import current
from plait.profiles.facts import Facts, Meanings, Ours
from plait.profiles.state import ASIDE
from plait.proofs import FILE as CODES
from plait.proofs import Codes
from plait.settings import Settings

if TYPE_CHECKING:
    from plait.accounts import Connected
    from plait.catalog import Catalog
    from plait.circles import Circles
    from plait.connectors import Received
    from plait.intake.signals import SignalMap
    from plait.log import Log
    from plait.log.commit import Committer
    from plait.models import Model
    from plait.profiles.consent import ConsentDoor
    from plait.profiles.profile import Profile
    from plait.store import Store

__all__ = ["Installation", "Metrics", "Sources", "key_in"]

Scope = MutableMapping[str, Any]  # of ASGI

_MOST_COUNTS = 4  # audiences that wait to be counted

_log = structlog.get_logger()

# Words of a record that may tell of ties, likes, consent, links or erasures: quick to look for, and a hit too many does no harm.
_TELLING = re.compile(
    rb"follow|like|share|repost|react|quot|repl|comment|mention|consent|link|identify|erase", re.IGNORECASE
)


class Hooks(Protocol):
    """What takes webhooks in (``plait.driver.hooks.Hooks``)."""

    async def receive(
        self, network: str, source: str, headers: Mapping[str, str], body: bytes
    ) -> Received: ...
    async def serve(
        self, path: str, headers: Mapping[str, str], source: str | None = None
    ) -> Received | None: ...
    def forget(self, gone: Iterable[str]) -> None: ...


class Sources(Protocol):
    """What connects accounts (``plait.driver.sources.Sources``)."""

    @property
    def hooks(self) -> Hooks: ...  # noqa: D102
    def connected(self) -> list[Connected]: ...  # noqa: D102
    def told(self) -> Mapping[str, Any]: ...  # noqa: D102
    async def connect(self, network: str, credentials: Mapping[str, Any], host: str = "") -> Connected: ...  # noqa: D102
    async def begin(  # noqa: D102
        self, network: str, credentials: Mapping[str, Any], host: str, back: str
    ) -> tuple[str, str]: ...
    async def finish(self, state: str, answered: Mapping[str, str]) -> Connected: ...  # noqa: D102
    async def sign_out(self, source: str) -> None: ...  # noqa: D102
    def disconnect(self, source: str) -> Connected: ...  # noqa: D102


@dataclass(kw_only=True)
class Installation:
    """What the edge works with. One per server process; used from its event loop only.

    Attributes:
        store: opened for reading; take a snapshot per question.
        catalog: items, placements and audiences in memory; updated by the routes once a change is durable.
        door: consents in memory; told by collect once a statement is durable.
        model: the current one, replaced whole; ``None`` before the first fit.
        circles: what those did whom people follow; ``None`` until it was made from the state.
        heard: records that may change it, and who was erased, with the position from which the state knows; taken up by a task.
        sources: what connects accounts; ``None`` where nobody can.
        fetcher: for URLs that others named.
        explorer: which unproven items placements try, likewise.
        ready: it listens, and does not stop.
        following: the fold has taken in what was in the log at the start, so that answers count what was.
    """

    settings: Settings
    keys: Keys
    log: Log
    committer: Committer
    store: Store
    catalog: Catalog
    door: ConsentDoor
    signals: SignalMap
    metrics: Metrics
    model: Model | None = None
    circles: Circles | None = None
    heard: deque[tuple[int, Record | tuple[str, ...]]] = field(default_factory=deque)
    explorer: Explorer = field(default_factory=unexplored)
    clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    stop: Callable[[], None] = lambda: None
    fit_work: Callable[[], Awaitable[dict[str, Any]]]
    refit_work: Callable[[], Awaitable[dict[str, Any]]]
    forget_work: Callable[[], Awaitable[dict[str, Any]]]
    redact_work: Callable[[], list[str]]
    count_work: Callable[[Asked], Awaitable[dict[str, Any]]]
    members_work: Callable[[Asked], AsyncIterator[bytes]]
    fetcher: Fetcher
    sources: Sources | None = None
    run_key: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    ready: bool = False
    following: bool = False
    stopping: bool = False
    lag: Lag = field(default_factory=lambda: Lag())
    arrivals: Arrivals = field(default_factory=Arrivals)
    _now: int = 0
    _codes: Codes | None = None
    _sign_ins: SignIns | None = None
    _places: re.Pattern[str] | None = None
    _fitting: asyncio.Task[dict[str, Any]] | None = None
    _decides: bool = False  # whether that is a fit, and not rows alone
    _counting: dict[str, asyncio.Task[dict[str, Any]]] = field(default_factory=dict)
    _one_count: asyncio.Lock = field(default_factory=asyncio.Lock)
    _telling: bool = False
    _meanings: Meanings | None = None
    _ours: tuple[list[Connected], Ours] = field(default_factory=lambda: ([], {}))

    def now(self) -> int:
        """Milliseconds since the epoch; never goes back, and never before the newest record of the log."""
        self._now = max(self._now, self.clock())
        return self._now

    @property
    def codes(self) -> Codes:
        """What customers were given to send from their accounts. Nobody needs a key file who never gave one."""
        if self._codes is None:
            self._codes = Codes(Path(self.settings.data), now=self.now())
        return self._codes

    @property
    def sign_ins(self) -> SignIns:
        """Of customers, with their networks."""
        if self._sign_ins is None:
            self._sign_ins = SignIns(self.fetcher)
        return self._sign_ins

    @property
    def gave_codes(self) -> bool:
        """Whether anybody was ever given one."""
        return (Path(self.settings.data) / CODES).exists()

    def not_before(self, at: int) -> None:
        """Let ``now`` never be before ``at`` (ms since the epoch)."""
        self._now = max(self._now, at)

    def lagging(self) -> int | None:
        """Seconds after which a sender should come again, when the fold lags past the limit, else ``None``."""
        if self.lag.events <= self.settings.lag_limit_events:
            return None
        return self.lag.seconds_to(self.settings.lag_limit_events)

    def who_asks(self, scope: Scope) -> Role | None:
        """The role of the key that a request carries in its headers or query, ``None`` without a valid one."""
        return self.keys.role(key_in(scope))

    async def append(self, record: Record, *, pressing: bool = False) -> int:
        """Make one record durable and return its position; what is ``pressing`` also on a full disk.

        Raises:
            Unavailable: it is not in the log.
        """
        position = await self.committer.append([encode_record(record)], pressing=pressing)
        self.hear(position, record)
        return position

    def hear(self, position: int, record: Record) -> None:
        """Note a durable record that may tell of ties, likes or consent; quick, for the edge."""
        if record.kind == "page" or (record.kind in ("events", "segment") and _TELLING.search(record.body)):
            self.heard.append((position, record))

    def failed(self, error: Exception, where: str) -> PlaitError:
        """What a sender is told of an error; it is counted or logged, and where our own data is wrong the server stops."""
        if not isinstance(error, PlaitError):
            _log.error("request_failed", route=where, exc_info=error)
            return PlaitError("the server failed; its log says how", code="internal")
        self.metrics.refused(error.code)
        if isinstance(error, Corrupt):
            _log.critical("corrupt", code=error.code, message=error.message)
            self.stop()
        return self.outside(error)

    def outside(self, error: PlaitError) -> PlaitError:
        """The error as whoever asked is told it: where things lie on this machine is for the log alone."""
        if self._places is None:
            self._places = places_of(self.settings)
        message = self._places.sub(
            lambda found: "" if found[0].endswith("/") else "the data folder", error.message
        )
        if message == error.message:
            return error
        _log.warning("told_without_paths", code=error.code, message=error.message)
        told = copy(error)
        told.message, told.args = message, (message,)
        return told

    def take_in(self, record: Record) -> None:
        """Bring what lives in memory up to date with a durable record; the same one twice changes nothing."""
        if record.kind in KINDS:
            self.catalog.apply(record)
            return
        for event in events_of(record, self.signals):
            if event.consent:
                self.door.tell_event(event)

    def follows(self) -> None:
        """Note that the fold follows the log."""
        self.following = True

    def take_model(self) -> None:
        """Take the newest model into use, if there is a newer one, and what was learned of tries."""
        self.explorer = explorer_of(Path(self.settings.data))
        found = current(Path(self.settings.data) / "models")
        if found is not None:
            self.model = found

    def about_model(self) -> dict[str, Any] | None:
        """The manifest of the model in use, ``None`` before the first fit."""
        if self.model is None or not self.model.manifest.id:
            return None
        told: dict[str, Any] = msgspec.to_builtins(self.model.manifest)
        return told

    def fitted_to(self) -> int:
        """The log position that the model in use has learned from, 0 without one."""
        return 0 if self.model is None else self.model.manifest.position

    async def redact(self) -> None:
        """Take erased people, as far as the fold has taken their erasure in, out of log and lake.

        Raises:
            Unavailable: not now; it is tried again.
        """
        gone = await asyncio.to_thread(self.redact_work)
        if gone:
            self.heard.append((self.position(), tuple(gone)))
            self.catalog.touch()
            self.sign_ins.forget(set(gone))
            if self.sources is not None:
                self.sources.hooks.forget(gone)

    async def folded(self, position: int, *, seconds: float = 5.0) -> bool:
        """Wait until the state holds the log up to ``position``; ``False`` when that takes longer than ``seconds``."""
        until = time.monotonic() + seconds
        while self.position() < position:
            if time.monotonic() > until:
                return False
            await asyncio.sleep(0.005)
        return True

    def position(self) -> int:
        """The log position that the state is folded up to."""
        with closing(self.store.snapshot()) as snapshot:
            return snapshot.position

    def tell_lag(self) -> None:
        """Look where log and fold stand."""
        self.lag.tell(
            last=self.log.last,
            folded=self.position(),
            accepted=self.metrics.accepted.total,
            at=time.monotonic(),
        )

    def measure(self) -> None:
        """Bring the figures up to date that nobody counts as they change."""
        self.tell_lag()
        figures = self.metrics
        figures.lag_records.set(self.lag.records)
        figures.lag_events.set(self.lag.events)
        figures.lag_seconds.set(self.lag.seconds)
        with closing(self.store.snapshot()) as snapshot:
            figures.set_aside.set(sum(1 for _ in snapshot.scan("meta", ASIDE)))
        figures.log_position.set(self.log.last)
        figures.items.set(len(self.catalog))
        fitted_at = (self.about_model() or {}).get("fitted_at")
        figures.model_age.set(-1 if fitted_at is None else max(0, self.now() - fitted_at) / 1000)
        figures.lost.set(self.committer.lost)
        figures.numbered.set(self.arrivals.numbered)
        figures.missing.set(self.arrivals.missing)
        if self.sources is not None:
            figures.sources.told = self.sources.told()

    def facts(self, profile: Profile, now: int) -> Facts:
        """What conditions may ask of a person; ``profile`` as of ``now``, as it may be used."""
        connected = self.sources.connected() if self.sources is not None else []
        if connected is not self._ours[0]:  # it is another list whenever an account came or went
            self._ours = connected, ours(connected)
        if self._meanings is None:
            self._meanings = Meanings(self.catalog)
        return Facts(profile, self._meanings, now=now, ours=self._ours[1])

    async def count(self, audience: str) -> dict[str, Any]:
        """Count who is in an audience, in a process of its own, one at a time; joins a count that is under way.

        Raises:
            Unavailable: too many wait, the fold lags, or it failed.
        """
        counting = self._counting.get(audience)
        if counting is None:
            if len(self._counting) >= _MOST_COUNTS:
                raise Unavailable(f"{_MOST_COUNTS} audiences are being counted", code="busy", retry_after=30)
            counting = self._counting[audience] = asyncio.create_task(self._count(audience))
            counting.add_done_callback(lambda _: self._counting.pop(audience, None))
        return await asyncio.shield(counting)

    async def _count(self, audience: str) -> dict[str, Any]:
        async with self._one_count:
            await self._settled()
            return await self.count_work(Asked(audience, self.now()))

    async def members(self, audience: str) -> AsyncIterator[bytes]:
        """Who is in an audience, as blocks of lines of JSON, from a process of its own; one at a time.

        Raises:
            Unavailable: others are being told, the fold lags, or it failed.
        """
        if self._telling:
            raise Unavailable("the members of an audience are being told", code="busy", retry_after=10)
        self._telling = True
        try:
            await self._settled()
            async for block in self.members_work(Asked(audience, self.now())):
                yield block
        finally:
            self._telling = False

    async def _settled(self) -> None:
        """Wait until the state holds all that was told, so that nobody is counted who has just left or said no."""
        if not await self.folded(self.log.last):
            raise Unavailable("the fold lags; ask again", code="lagging", retry_after=5)

    async def fit(self) -> dict[str, Any]:
        """Fit a model in a process of its own and take it into use; joins a fit that is under way, and waits for less than a fit.

        Returns:
            The manifest of the model.

        Raises:
            Unavailable: the fit failed; the model in use stays.
        """
        while self._fitting is not None and not self._fitting.done() and not self._decides:
            await asyncio.wait([self._fitting])
        if self._fitting is None or self._fitting.done():
            self._fitting, self._decides = asyncio.create_task(self._fit(self.fit_work)), True
        return await asyncio.shield(self._fitting)

    async def refit(self) -> dict[str, Any]:
        """Learn the rows of the model anew, as the last fit decided; joins a fit that is under way.

        Returns:
            The manifest of the model.

        Raises:
            Unavailable: the fit failed; the model in use stays.
        """
        if self._fitting is None or self._fitting.done():
            self._fitting, self._decides = asyncio.create_task(self._fit(self.refit_work)), False
        return await asyncio.shield(self._fitting)

    async def unlearn(self) -> dict[str, Any]:
        """Take those out of the model who are left no more, as the last fit decided; after a fit that is under way.

        Returns:
            The manifest of the model.

        Raises:
            Unavailable: the fit failed; the model in use stays.
        """
        while self._fitting is not None and not self._fitting.done():
            await asyncio.wait([self._fitting])  # it may have read what is erased now
        self._fitting, self._decides = asyncio.create_task(self._fit(self.forget_work)), False
        return await asyncio.shield(self._fitting)

    async def _fit(self, work: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
        manifest = await work()
        await asyncio.to_thread(self.take_model)
        return manifest


@dataclass
class Lag:
    """How far the fold is behind, in records, events and seconds; ``tell`` is called some 20 times a second.

    One record holds 1 to 2,500 events, so positions alone do not say how much work waits: marks remember
    how many events had been accepted when the log stood at a position.
    """

    records: int = 0
    events: int = 0
    seconds: float = 0.0
    _marks: deque[tuple[int, int, float]] = field(default_factory=deque)
    _folded: tuple[int, int] = (0, 0)  # position, accepted events up to it
    _rate: float = 0.0  # events a second the fold got done lately
    _at: float = 0.0

    def tell(self, *, last: int, folded: int, accepted: int, at: float) -> None:
        """Take in where log and fold stand.

        Args:
            last: newest position of the log.
            folded: position that the state is folded up to.
            accepted: events accepted since the server started, those before it counted one a record.
            at: seconds of a monotonic clock.
        """
        if not self._marks or self._marks[-1][0] != last:
            self._marks.append((last, accepted, at))
        before = self._folded[1]
        while self._marks and self._marks[0][0] <= folded:
            position, told, _ = self._marks.popleft()
            self._folded = (position, told)
        done = self._folded[1] - before
        if self._at and at > self._at and (done or self.records):
            self._rate += 0.1 * (done / (at - self._at) - self._rate)
        self._at = at
        self.records = max(0, last - folded)
        self.events = max(self.records, accepted - self._folded[1]) if self.records else 0
        self.seconds = at - self._marks[0][2] if self._marks and self.records else 0.0

    def seconds_to(self, events: int) -> int:
        """Whole seconds until the lag should be down to ``events``, 1..60."""
        return int(min(60, max(1, (self.events - events) / max(self._rate, 1_000) + 1)))


def places_of(settings: Settings) -> re.Pattern[str]:
    """Finds the folders of an installation in a text, with the slash that follows."""
    folders = {settings.data, str(Path(settings.data).resolve())}
    folders |= {settings.url(part).partition("://")[2] for part in ("log", "store", "lake")}
    whole = sorted({one.rstrip("/") for one in folders if one.startswith("/")}, key=len)
    whole = [one for one in whole if not any(one.startswith(f"{other}/") for other in whole)]
    found = [rf"{re.escape(one)}(?:/|(?![\w.-]))" for one in whole if one]
    # A folder that was named from where the server was started is a word like any other, but for what follows.
    found += [
        rf"(?<![\w./-]){re.escape(one.rstrip('/'))}/" for one in folders if one[:1] not in ("", "/", ".")
    ]
    return re.compile("|".join(found) or "(?!)")


def key_in(scope: Scope) -> str | None:
    """The key that a request carries: Bearer, Basic (as the user), ``X-Write-Key``, or ``writeKey`` in the query."""
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    for name, value in headers:
        if name == b"authorization":
            key = _from_authorization(value)
            if key:
                return key
        elif name == b"x-write-key":
            return value.decode("latin-1").partition(":")[0]  # jitsu sends key:secret
    query: bytes = scope.get("query_string", b"")
    if b"writeKey=" in query:
        return parse_qs(query.decode("latin-1")).get("writeKey", [None])[0]
    return None


def _from_authorization(value: bytes) -> str | None:
    kind, _, rest = value.partition(b" ")
    kind = kind.lower()
    if kind == b"bearer":
        return rest.strip().decode("latin-1")
    if kind == b"basic":
        try:
            return base64.b64decode(rest.strip(), validate=True).decode().partition(":")[0]
        except (binascii.Error, ValueError):
            return None
    return None
