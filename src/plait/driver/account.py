"""One connected account at work: its past once, its stream as it happens, and a look on a clock at what is not pushed."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
import structlog

from plait.connectors import Connector, Page, Steps
from plait.driver.held import Held
from plait.driver.hooks import LONGEST
from plait.driver.inbox import Delivery
from plait.driver.keeper import Keeper
from plait.driver.line import FIRST_PAUSE, LONGEST_PAUSE, Failed, Line
from plait.driver.plan import Plan
from plait.driver.pump import pump
from plait.driver.streams import Ended, NotOpened
from plait.driver.told import Left, Progress
from plait.driver.told import Told as State
from plait.errors import Corrupt, PlaitError, Rejected, Unavailable
from plait.intake.told import Lane

_log = structlog.get_logger()

_SHORT = 5.0  # seconds; a stream that ends so soon, again and again, is worth a word
_STOOD = 60.0  # seconds; a stream that stood so long begins with short pauses again
_LONGEST_REFUSAL = 3_600.0  # seconds between two tries of credentials that are not taken
_FOREVER = asyncio.Event()  # never set: what has no stream waits for it
_SPARE = 0.5  # of each budget that a backfill leaves to what happens now


class _Again(Exception):
    """The backfill that is under way has to begin anew: something went missing behind it."""


class Running:
    """An account's tasks. One that fails is begun again, later and later; the others go on meanwhile.

    Args:
        connector: made for this account.
        line: of this account.
        keeper: of this account.
        state: what ``plait sources`` shows.
        held: what was told of this account before.
    """

    def __init__(self, connector: Connector, line: Line, keeper: Keeper, state: State, held: Held) -> None:
        self._connector, self._line, self._keeper, self._state = connector, line, keeper, state
        self._places: Mapping[str, dict[str, Any]] = {}
        self._look = asyncio.Event()  # the poll should not wait for its clock
        self._again = asyncio.Event()  # something may be missing: the past is to be read again
        self._held = held
        self._keeping = asyncio.Lock()  # a gap and what a backfill goes on from must not overtake each other
        self._cost = {"calls": 0, "facts": 0}  # of the poll that is under way
        self._loaded, self._erased = False, list[Callable[[str], bool]]()
        self._plan = Plan(streams=connector.statement.streams)

    async def run(self) -> None:
        """Work until cancelled."""
        await self._signed_in()
        self._places = await self._keeper.places()
        await asyncio.to_thread(self._held.load)
        self._loaded = True
        while self._erased:  # while it was read
            self.forget(self._erased.pop())
        await self._notice_downtime()
        works: list[Awaitable[None]] = [
            self._kept_up("backfill", self._backfill),
            self._kept_up("poll", self._poll),
        ]
        if self._connector.statement.streams:
            works.append(self._kept_up("stream", self._stream))
        tasks = [asyncio.ensure_future(one) for one in works]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def measure(self) -> State:
        """The state with the figures that nobody counts as they change."""
        now = time.time()
        budgets = self._line.budgets
        self._state.budgets = {
            name: Left(one.left(now), one.limit.calls, one.limit.seconds) for name, one in budgets.items()
        }
        self._state.spent = {name: one.spent() for name, one in budgets.items()}
        self._state.calls = self._line.calls
        return self._state

    async def read(self, delivery: Delivery) -> Page:
        """What a webhook's delivery tells that could not be read when it came.

        Raises:
            Rejected: it is none.
            Unavailable: not now either.
        """
        headers = {**delivery.headers, ":received-at": str(delivery.at)}
        try:
            async with asyncio.timeout(LONGEST):
                steps = self._connector.receive(headers, delivery.body)
                return (await self._line.asked(steps, tries=2)).page
        except TimeoutError:
            raise Unavailable("a delivery could not be read in time", code="delivery_slow") from None

    async def delivered(self, page: Page) -> None:
        """Keep what webhooks told."""
        if page.facts or page.posts or page.gone or page.gap:
            await self._keep(page, "hook")

    def trouble(self, code: str, message: str) -> None:
        """Note what went wrong with something that was delivered."""
        self._state.trouble(code, message, _now())
        _log.warning("delivery_trouble", source=self._state.source, code=code, message=message)

    def forget(self, gone: Callable[[str], bool]) -> None:
        """Let go of what is in mind of whoever is ``gone``."""
        if not self._loaded:
            self._erased.append(gone)
            return
        self._held.forget(gone)
        self._keeper.forget(gone)
        forget = getattr(self._connector, "forget", None)
        if forget is not None:
            forget(gone)

    async def _signed_in(self) -> None:
        pause = 5.0
        while True:
            longest = LONGEST_PAUSE
            try:
                await self._line.session()
                return
            except Rejected as error:
                longest = _LONGEST_REFUSAL  # it will not take them sooner for being asked
                self._became("refused")
                self._trouble(error)
            except PlaitError as error:
                self._became("waiting")
                self._trouble(error)
            except Exception as exc:
                self._failed("sign_in", exc)
            await asyncio.sleep(pause)
            pause = min(longest, pause * 2)

    async def _notice_downtime(self) -> None:
        """A stream that was down longer than the network replays has missed something."""
        replays = getattr(self._connector.statement, "replays", 0)
        place = self._places.get("stream")
        if replays and place is not None:
            down = time.time() - place["at"] / 1000
            if down > replays:
                why = f"nothing was heard for {down / 3600:.1f} h, longer than the network replays"
                await self._keep(Page(gap=why), "stream")

    # -- lanes -------------------------------------------------------------------------------------------------

    async def _kept_up(self, lane: Lane, work: Callable[[], Awaitable[None]]) -> None:
        """Do a lane's work again and again; what goes wrong is told, and waited for ever longer."""
        pause = FIRST_PAUSE
        while True:
            begun = time.monotonic()
            try:
                await work()
            except (Ended, NotOpened) as error:
                _log.info("stream_ended", source=self._state.source, code=error.code)
                if isinstance(error, NotOpened) or time.monotonic() - begun < _SHORT:
                    self._trouble(error)
            except Failed as error:
                self._became("waiting")
                self._trouble(error)
            except Corrupt:
                raise
            except PlaitError as error:
                self._became("refused" if error.status in (401, 403) else "waiting")
                self._trouble(error)
            except Exception as exc:  # a mistake of one connector must not take others down
                self._failed(lane, exc)
            if time.monotonic() - begun > _STOOD:
                pause = FIRST_PAUSE
            await asyncio.sleep(pause * (0.5 + random.random() / 2))  # noqa: S311 - jitter
            pause = min(LONGEST_PAUSE, pause * 2)

    async def _stream(self) -> None:
        place = self._places.get("stream") or {}
        before = self._state.streams

        def stands() -> None:
            self._state.streams += 1
            self._became("streaming")
            self._look.set()  # what was missed meanwhile, where the network does not replay

        await self._pumped("stream", self._connector.stream(place.get("cursor")), stands=stands)
        if self._state.streams == before:  # it was set up without one, or its server has none
            self._plan = Plan(streams=False)
            await _FOREVER.wait()
        raise Ended("the stream ended", code="stream_ended")

    async def _poll(self) -> None:
        """Look, wait as long as the plan says, look again."""
        while True:
            self._cost = {"calls": 0, "facts": 0}
            place = self._places.get("poll") or {}
            await self._pumped("poll", self._connector.poll(place.get("cursor")))
            self._state.polls += 1
            if self._state.state in ("starting", "waiting", "refused", "failed"):
                self._became("polling")
            self._plan.told(**self._cost, limits=self._line.budgets)
            self._look.clear()
            try:
                async with asyncio.timeout(self._plan.pause()):
                    await self._look.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(1)  # a stream that comes and goes must not make us look again and again

    async def _backfill(self) -> None:
        while True:
            place = self._places.get("backfill") or {}
            if not place.get("done"):
                self._again.clear()
                if self._state.state in ("starting", "polling"):
                    self._became("backfilling")
                self._state.backfill = Progress()
                try:
                    await self._pumped(
                        "backfill", self._connector.backfill(place.get("cursor")), spare=_SPARE
                    )
                    await self._keep(Page(), "backfill", done=True)
                except _Again:
                    continue
                self._state.backfill = Progress(
                    self._state.backfill.done, self._state.backfill.total, finished=True
                )
                if self._state.state == "backfilling":
                    self._became("polling")
            else:
                self._state.backfill = Progress(finished=True)
            await self._again.wait()
            self._places = {**self._places, "backfill": {}}

    async def _pumped(
        self, lane: Lane, steps: Steps, *, spare: float = 0.0, stands: Callable[[], None] = lambda: None
    ) -> None:
        async def keep(page: Page) -> None:
            await self._keep(page, lane)

        def heard() -> None:
            self._cost["calls"] += lane == "poll"
            self._heard()

        await pump(
            steps, self._line, keep=keep, recall=self._held.recall, spare=spare, heard=heard, stands=stands
        )  # fmt: skip

    async def _keep(self, page: Page, lane: Lane, *, done: bool = False) -> None:
        if lane == "backfill" and (page.total or page.done):
            self._state.backfill = Progress(page.done, page.total)
        if page.gap is not None:
            self._gap(page.gap)
            if lane == "backfill":  # to begin it anew because of a hole in it might never end
                page = msgspec.structs.replace(page, gap=None)
        if lane == "poll":
            self._cost["facts"] += len(page.facts)
        async with self._keeping:
            if lane == "backfill" and self._again.is_set():
                raise _Again
            await self._keeper.keep(page, lane, done=done)
            self._kept(page, lane, done)

    def _kept(self, page: Page, lane: Lane, done: bool) -> None:
        """Take in that a page is on disk."""
        self._held.take(page.facts)
        if page.gone:
            self.forget(frozenset(page.gone).__contains__)
        known = self._places.get(lane) or {}
        cursor = known.get("cursor") if page.cursor is None else page.cursor
        places = {**self._places, lane: {"cursor": cursor, "at": _now(), "done": done}}
        if page.gap is not None:
            places["backfill"] = {}
            self._again.set()
            self._look.set()
        self._places = places

    # -- what it tells -----------------------------------------------------------------------------------------

    def _heard(self) -> None:
        self._state.heard_at = _now()
        if self._state.state == "waiting":
            self._became("streaming" if self._state.streams else "polling")

    def _became(self, state: Any) -> None:
        self._state.become(state, _now())

    def _gap(self, why: str) -> None:
        self._state.gaps += 1
        self._state.last_gap = why[:300]
        _log.warning("source_gap", source=self._state.source, why=why[:300])

    def _trouble(self, error: PlaitError) -> None:
        self._state.trouble(error.code, error.message, _now())
        _log.warning("source_trouble", source=self._state.source, code=error.code, message=error.message)

    def _failed(self, what: str, exc: Exception) -> None:
        """A mistake in a connector: told without its text, which may hold what somebody wrote."""
        self._became("failed")
        self._state.trouble("connector_failed", f"{what}: {type(exc).__name__}", _now())
        _log.error(
            "connector_failed",
            source=self._state.source,
            lane=what,
            error=type(exc).__name__,
            where=_where(exc),
        )


def _where(exc: Exception) -> str:
    trace = exc.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{trace.tb_frame.f_code.co_name}:{trace.tb_lineno}"


def _now() -> int:
    return time.time_ns() // 1_000_000
