"""The graph in the server's memory: made from the state in a thread, and kept up as people are heard of."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from contextlib import closing

import structlog

from plait.circles import Circles, accounts_of
from plait.errors import PlaitError
from plait.events import Event, Record, is_network
from plait.http import Installation
from plait.intake.records import events_of

_log = structlog.get_logger()

_PAUSE = 0.05  # seconds between two looks
_BREATH = 0.005  # seconds between two slices, while much waits
_SLICE = 20  # identifiers read at a time: 2 ms in which nobody is answered
_ANEW = 60.0  # seconds at least between two makings


async def keep_circles(here: Installation) -> None:
    """Make it, and read anew who did something once the state holds that; ends by being cancelled."""
    keeper = _Keeper(here)
    while True:
        try:
            busy = await keeper.tick()
        except PlaitError as error:  # the state is being made anew, or the disk is full
            _log.error("circles_wait", code=error.code, message=error.message)
            busy = False
        except Exception:
            _log.exception("circles_failed")
            busy = False
        await asyncio.sleep(_BREATH if busy else _PAUSE)


class _Keeper:
    def __init__(self, here: Installation) -> None:
        self._here = here
        self._waiting: deque[str] = deque()  # who has to be read
        self._anew, self._made = True, -_ANEW

    async def tick(self) -> bool:
        """Do a little; whether more waits."""
        here = self._here
        clock = asyncio.get_running_loop().time()
        circles = here.circles
        if circles is None or circles.is_old(here.now()):
            self._anew = True
        if self._anew and clock - self._made > _ANEW:
            self._made, self._anew = clock, False
            here.circles = circles = await asyncio.to_thread(self._load)
            _log.info("circles_made", people=circles.graph.nodes, ties=circles.graph.ties)
        self._hear(here.position())
        if circles is None or not self._waiting:
            return False
        some = [self._waiting.popleft() for _ in range(min(_SLICE, len(self._waiting)))]
        with closing(here.store.snapshot()) as snapshot:
            circles.take(snapshot, dict.fromkeys(some), door=here.door)
        return True

    def _load(self) -> Circles:
        here = self._here
        circles = Circles(here.settings, here.keys.pepper, now=here.now())
        with closing(here.store.snapshot()) as snapshot:
            return circles.load(snapshot)

    def _hear(self, folded: int) -> None:
        """Note who is to be read of what the state holds by now."""
        heard = self._here.heard
        while heard and heard[0][0] <= folded:
            _, told = heard.popleft()
            self._waiting.extend(told if isinstance(told, tuple) else self._named(told))

    def _named(self, record: Record) -> Iterable[str]:
        for event in events_of(record, self._here.signals):
            if event.takes_back and not event.who:
                self._anew = True  # nobody knows whose it was
            yield from self._who(event)

    def _who(self, event: Event) -> Iterable[str]:
        """Whose lists may change: of a word about consent or links, those of all who are one person."""
        named = [one for one in event.who if is_network(one)]
        if len(event.who) == len(named) and not event.consent:
            yield from named
            return
        with closing(self._here.store.snapshot()) as snapshot:
            yield from accounts_of(snapshot, event.who, self._here.settings)
