"""Pages on their way to the log: facts become events, a page becomes requests, and the cursor goes with the last one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import structlog

from plait import bridge
from plait.client.core import refused
from plait.connectors import Fact, Page, Post
from plait.driver.shelf import Shelf
from plait.driver.told import Told as State
from plait.errors import PlaitError, Rejected
from plait.events import MAX_BATCH, MAX_BODY_BYTES, MAX_EVENT_BYTES, Signal
from plait.fetch import trusted
from plait.intake.told import Lane
from plait.proofs import codes_in
from plait.serving import Serving

_log = structlog.get_logger()

_AT_ONCE = min(1_000, MAX_BATCH)  # events in one record: the fold takes a record in one step
_BYTES = MAX_BODY_BYTES - 16_384  # leaves room for the cursor and the rest
_AN_ACTOR = (
    10_000  # facts that one account may tell in an hour; more is a machine, and would drown the others
)
_HOUR = 3_600_000
# To whom it is written, the company, is asked to look for a code in it.
_WRITTEN = frozenset({Signal.MESSAGE, Signal.MENTION, Signal.REPLY, Signal.COMMENT})
_encode = msgspec.json.Encoder().encode


class Keeper:
    """Sends what one source told to the server, and waits until it is on disk.

    Args:
        told: of serve.json.
        state: where drops are counted.
        shelf: the names that texts are read with.
    """

    def __init__(self, told: Serving, source: str, state: State, shelf: Shelf) -> None:
        self.source, self._state, self._shelf = source, state, shelf
        self._http = httpx.AsyncClient(
            base_url=told.url,
            headers={"authorization": f"Bearer {told.key}"},
            timeout=120,
            trust_env=False,
            verify=trusted(),
        )
        self._actors: dict[str, int] = {}
        self._hour = 0

    async def close(self) -> None:
        """Let go of the connection."""
        await self._http.aclose()

    def forget(self, gone: Callable[[str], bool]) -> None:
        """Let go of how much those told who are ``gone``."""
        self._actors = {actor: told for actor, told in self._actors.items() if not gone(actor)}

    async def places(self) -> dict[str, dict[str, Any]]:
        """From where each lane goes on: ``{lane: {"cursor", "at", "done"}}``, once the fold has caught up."""
        told = await self._ask("GET", f"/v1/sources/{_path(self.source)}", params={"settled": "1"})
        found: dict[str, dict[str, Any]] = told["cursors"]
        return found

    async def keep(self, page: Page, lane: Lane, *, done: bool = False) -> None:
        """Keep a page; on return all of it is on disk, the cursor last.

        Raises:
            Rejected: the server does not take the page itself (a cursor that is none).
        """
        await self._shelf.refresh()
        await self._keep_posts(page.posts)
        events = list(self._events(page.facts, lane))
        pieces = list(_pieces(events)) or [[]]
        for piece in pieces[:-1]:
            await self._send({"lane": lane, "events": piece})
        last: dict[str, Any] = {"lane": lane, "events": pieces[-1]}
        if page.cursor is not None:
            last["cursor"] = page.cursor
        if page.gone:
            last["gone"] = list(page.gone)
        if page.gap is not None:
            last["gap"] = page.gap[:500]
        if lane != "backfill" and (sent := _proofs(page.facts)):
            last["proofs"] = sent
        if done:
            last["done"] = True
        if len(last) > 2 or pieces[-1]:
            await self._send(last)
        self._count(page, lane)

    def _count(self, page: Page, lane: Lane) -> None:
        for reason, n in page.dropped.items():
            self._dropped(reason, None, n)
        state, now = self._state, _now()
        state.pages += 1
        state.posts += len(page.posts)
        state.gone += len(page.gone)
        if page.facts:
            state.facts += len(page.facts)
            newest = max((fact.at for fact in page.facts), default=0)
            if newest >= state.last_at:
                state.last_at = newest
                if lane != "backfill":
                    state.lag_seconds = max(0.0, (now - newest) / 1000)

    # -- facts -------------------------------------------------------------------------------------------------

    def _events(self, facts: Sequence[Fact], lane: Lane) -> Iterator[bytes]:
        for fact in facts:
            try:
                if self._floods(fact, lane):
                    self._dropped("flood", fact)
                    continue
                events = [_encode(one) for one in bridge.told_of(fact, self.source, self._shelf.names)]
            except Exception as exc:  # one fact's fault: whatever it is, the others go on
                self._dropped(exc.code if isinstance(exc, PlaitError) else type(exc).__name__, fact)
                continue
            for one in events:
                if len(one) > MAX_EVENT_BYTES:
                    self._dropped("event_too_large", fact)
                else:
                    yield one

    def _floods(self, fact: Fact, lane: Lane) -> bool:
        """Whether its actor has told more in this hour than anybody does. What takes back is always heard.

        The hour is ours: when an act happened is its author's word, and who floods would tell of yesterday.
        """
        if lane == "backfill" or fact.op != "assert" or not fact.actor:  # a backfill tells years at once
            return False
        hour = _now() // _HOUR
        if hour != self._hour or len(self._actors) > 100_000:
            self._hour = hour
            self._actors.clear()
        told = self._actors[fact.actor] = self._actors.get(fact.actor, 0) + 1
        return told > _AN_ACTOR

    def _dropped(self, reason: str, fact: Fact | None, n: int = 1) -> None:
        signal = getattr(fact, "signal", "fact")
        if self._state.drop(reason, f"{reason}: {signal}", n):
            _log.warning("fact_dropped", source=self.source, reason=reason, signal=str(signal))

    # -- posts -------------------------------------------------------------------------------------------------

    async def _keep_posts(self, posts: Sequence[Post]) -> None:
        """Into the catalog first: an act on a post means something once it is known what the post is about."""
        put: list[dict[str, Any]] = []
        gone: list[str] = []
        for post in posts:
            try:
                if post.deleted:
                    gone.append(post.id)
                else:
                    item = bridge.item_of(post, self.source, self._shelf.names, self._shelf.near)
                    put.append(item)
                    self._shelf.names.note(post.id, [one["to"] for one in item["ties"]])
            except Exception as exc:
                self._dropped(f"post: {type(exc).__name__}", None)
        for start in range(0, max(len(put), len(gone)), 100):
            body: dict[str, list[Any]] = {
                "items": put[start : start + 100],
                "delete": gone[start : start + 100],
            }
            try:
                told = await self._ask("POST", "/v1/items", json=body)
            except Rejected as error:
                self._dropped(error.code, None, len(body["items"]))
                continue
            for one in told["refused"]:
                self._dropped(f"post: {one['code']}", None)

    # -- the server --------------------------------------------------------------------------------------------

    async def _send(self, page: dict[str, Any]) -> None:
        told_page = page | {"events": [msgspec.Raw(one) for one in page["events"]]}
        told = await self._ask("POST", f"/v1/sources/{_path(self.source)}/pages", content=_encode(told_page))
        for one in told.get("refused", []):
            self._dropped(one["code"], None)

    async def _ask(self, method: str, path: str, **more: Any) -> Any:
        """Ask the server, for as long as it takes: what was told must not be lost because the disk is full."""
        pause = 0.2
        while True:
            try:
                response = await self._http.request(method, path, **more)
            except httpx.TransportError as exc:
                why, wait = type(exc).__name__, pause
            else:
                if response.status_code < 400:
                    return response.json()
                if response.status_code not in (408, 429, 503):
                    raise refused(response.status_code, response.content)
                why = str(response.status_code)
                wait = min(10.0, float(response.headers.get("retry-after", pause)))
            _log.warning("page_waits", source=self.source, why=why)
            await asyncio.sleep(wait)
            pause = min(5.0, pause * 2)


def _proofs(facts: Sequence[Fact]) -> list[tuple[str, str]]:
    """Codes that customers were given and sent to the company, each with the account that it came from."""
    return [
        (fact.actor, code)
        for fact in facts
        if fact.text and fact.op == "assert" and fact.signal in _WRITTEN
        for code in codes_in(fact.text)
    ]


def _pieces(events: Sequence[bytes]) -> Iterator[list[bytes]]:
    """The events in pieces that the server takes."""
    piece: list[bytes] = []
    size = 0
    for one in events:
        if piece and (len(piece) >= _AT_ONCE or size + len(one) > _BYTES):
            yield piece
            piece, size = [], 0
        piece.append(one)
        size += len(one) + 1
    if piece:
        yield piece


def _path(source: str) -> str:
    return quote(source, safe=":")


def _now() -> int:
    return time.time_ns() // 1_000_000
