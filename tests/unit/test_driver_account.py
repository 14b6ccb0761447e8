"""One account at work: its lanes beside each other, gaps, mistakes. What is kept is noted instead of sent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from tests.fakes.connectors.fakenet import Connector
from tests.fakes.network import FakeNetwork, answers

from plait.connectors import Account, Page
from plait.driver.account import Running
from plait.driver.held import Held
from plait.driver.line import Line
from plait.driver.streams import Ended, _lines
from plait.driver.told import Told
from plait.fetch import Fetcher


@pytest.fixture
def network() -> Iterator[FakeNetwork]:
    with FakeNetwork() as one:
        yield one


class Notes:
    """Stands in for the keeper: notes what it was given, and says from where to go on."""

    def __init__(self, places: dict[str, Any] | None = None, slow: float = 0.0) -> None:
        self.kept: list[tuple[str, Page, bool]] = []
        self._places, self._slow = places or {}, slow

    async def places(self) -> dict[str, Any]:
        return self._places

    async def keep(self, page: Page, lane: str, *, done: bool = False) -> None:
        await asyncio.sleep(self._slow)
        self.kept.append((lane, page, done))

    def of(self, lane: str) -> list[Any]:
        return ["done" if done else page.cursor for each, page, done in self.kept if each == lane]


def worked(network: FakeNetwork, notes: Notes, until: Callable[[Told], bool]) -> Told:
    """Run an account until something is so; how it is then."""

    async def renewed(_: Any) -> None:
        return None

    async def run() -> Told:
        account = Account(source="fakenet:shop", host=network.url)
        line = Line(
            Connector,
            account,
            lambda: {"user": "shop", "password": "right"},
            fetcher=Fetcher(),
            renewed=renewed,
        )
        state = Told(source="fakenet:shop", network="fakenet")
        connector = Connector(account, watched=lambda _: False, now=lambda: time.time_ns() // 1_000_000)
        running = Running(connector, line, notes, state, Held("fakenet:shop"))  # type: ignore[arg-type]
        task = asyncio.create_task(running.run())
        try:
            async with asyncio.timeout(20):
                while not until(state):
                    assert not task.done(), task.exception()
                    await asyncio.sleep(0.02)
            return running.measure()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await line.close()

    return asyncio.run(run())


def test_the_past_is_read_once_and_said_to_be_done(network):
    for _ in range(120):
        network.act("ana", past=True)
    notes = Notes()

    worked(network, notes, lambda state: state.backfill.finished)

    assert notes.of("backfill") == [None, "50", "100", "120", "done"]


def test_a_past_that_was_read_is_not_read_again(network):
    network.act("ana", past=True)
    notes = Notes({"backfill": {"cursor": "1", "at": 0, "done": True}})

    worked(network, notes, lambda state: state.backfill.finished and state.polls > 0)

    assert notes.of("backfill") == []
    assert network.called("/past") == 0


def test_a_past_that_was_read_half_goes_on_where_it_stopped(network):
    for _ in range(120):
        network.act("ana", past=True)
    notes = Notes({"backfill": {"cursor": "100", "at": 0, "done": False}})

    worked(network, notes, lambda state: state.backfill.finished)

    assert notes.of("backfill") == [None, "120", "done"]


def test_a_gap_while_the_past_is_read_has_it_begun_anew(network):
    for _ in range(200):
        network.act("ana", past=True)
    network.gap = "the network lost something"
    network.act("bob", push=False)
    notes = Notes(slow=0.05)

    worked(network, notes, lambda state: state.gaps == 1 and state.backfill.finished)

    gap = next(at for at, (_, page, _) in enumerate(notes.kept) if page.gap)
    after = [page.cursor for lane, page, done in notes.kept[gap + 1 :] if lane == "backfill" and not done]
    assert after == [None, "50", "100", "150", "200"]
    assert notes.of("backfill")[-1] == "done"


def test_a_stream_that_was_down_for_longer_than_the_network_replays_is_a_gap_that_is_kept(network):
    long_ago = int(time.time() * 1000) - (Connector.statement.replays + 60) * 1000
    notes = Notes({"stream": {"cursor": "0", "at": long_ago, "done": False}, "backfill": {"cursor": "9", "at": 0, "done": True}})  # fmt: skip
    network.act("ana", past=True)

    state = worked(network, notes, lambda state: state.backfill.finished and state.gaps == 1)

    assert notes.kept[0][1].gap == state.last_gap
    assert notes.of("backfill") == [None, "1", "done"]


def test_a_storm_of_errors_on_one_lane_leaves_the_others_alone(network):
    network.fails("/acts", *[answers(503)] * 50)
    notes = Notes()

    def heard(state: Told) -> bool:
        if network.streams and not network.acts:
            network.act("ana")
        return bool(state.facts or notes.of("stream"))

    worked(network, notes, heard)

    assert notes.of("stream") == ["1"]
    assert notes.of("poll") == []


def test_a_backfill_leaves_half_of_the_budget(network):
    for _ in range(50 * 200):
        network.act("ana", past=True)
    notes = Notes()

    state = worked(network, notes, lambda state: network.called("/past") > 130 and state.polls > 0)

    assert state.budgets["default"].left > 100


def test_a_line_that_never_ends_ends_the_stream_of_server_sent_events():
    read = 0

    async def endless() -> AsyncIterator[str]:
        nonlocal read
        while True:
            read += 1
            yield "data: " + "x" * (1 << 20)

    async def lines() -> list[str]:
        return [one async for one in _lines(endless())]

    with pytest.raises(Ended):
        asyncio.run(lines())
    assert read < 16  # of a megabyte each


@pytest.mark.parametrize("cut", range(1, 20))
def test_lines_of_server_sent_events_are_the_same_wherever_they_are_cut(cut):
    async def pieces() -> AsyncIterator[str]:
        text = "event: a\r\ndata: b\n\n\r\nc"
        for start in range(0, len(text), cut):
            yield text[start : start + cut]

    async def lines() -> list[str]:
        return [one async for one in _lines(pieces())]

    assert asyncio.run(lines()) == ["event: a", "data: b", "", "", "c"]


def test_a_frame_that_is_too_large_ends_the_stream_and_is_told(network):
    notes = Notes()

    def huge(state: Told) -> bool:
        if network.streams and not state.errors:
            network.say({"huge": "x" * (9 << 20)})
        return state.errors > 0

    state = worked(network, notes, huge)

    assert state.last_errors[0].message == "the stream was closed (1009)"
