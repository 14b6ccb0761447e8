"""What can be asked of a server, as steps that a driver carries out: both clients offer these, and no more.

A method of ``Questions`` is a generator: it asks for a request, a pause or an event to be put, is sent what came of it,
and returns what the caller gets. So each is written once, and ``sync.py`` and ``aio.py`` only wait differently.
"""

from __future__ import annotations

import hashlib
import hmac
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import quote

import msgspec

from plait.client.core import (
    BATCH,
    BATCH_BYTES,
    Answer,
    Pause,
    Put,
    Request,
    Steps,
    body_of,
    encoded,
    error_of,
    event,
    identifiers,
    now_ms,
    refused_in,
    wait_of,
)
from plait.errors import Rejected, Unavailable

Who = str | Sequence[str]
Told = Mapping[str, Any]
_ITEMS = 500  # in one request
_ITEMS_BYTES = 4 << 20


class Questions:
    """Everything one may ask, of one server with one key.

    Args:
        key: the secret key; with the write key only what the write key may do is answered.
        source: what events come from where they do not say; the server's own source where it is ``None``.
        timeout: seconds that a question may take in all, tries included, where it does not say.
        clock: seconds that only go forward.
        chance: numbers in [0, 1), for the jitter.
    """

    def __init__(
        self,
        key: str,
        *,
        source: str | None = None,
        timeout: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._key, self._source, self._timeout = key, source, timeout
        self._clock, self._chance = clock, chance

    # -- events, in the background ------------------------------------------------------------------------

    def track(self, /, signal: str, who: Who, **more: Any) -> Steps[str]:
        """Put an event on its way and go on; it is sent in the background, with others, until the server has it.

        Takes what ``plait.client.event`` takes. Where no more events fit, it waits while the server takes others; while the
        server takes none the event is lost, and ``on_lost`` is told.

        Returns:
            The event's id.

        Raises:
            Rejected: the event is wrong, or the client is closed.
        """
        if self._source is not None:
            more.setdefault("source", self._source)
        told = event(signal, who, **more)
        if not told.get("who"):
            raise Rejected(
                'an event needs to name somebody (who="user:42")', code="missing_identifier", field="who"
            )
        yield Put(encoded(told))
        return str(told["id"])

    def view(
        self, /, who: Who, url: str | None = None, *, item: str | None = None, **more: Any
    ) -> Steps[str]:
        """Somebody looked at a page, a screen or an item. Otherwise as ``track``."""
        return (yield from self.track("view", who, url=url, item=item, **more))

    def identify(self, /, who: Who, traits: Told | None = None, **more: Any) -> Steps[str]:
        """Say that identifiers are one person's (``["user:42", "anonymous:…"]``), and what is known of them.

        With the secret key this is proven. Like every link it holds once the person agreed to ``link``: say so here with
        ``consent={"link": True}``, or before. Otherwise as ``track``.
        """
        return (yield from self.track("identify", who, traits=traits, **more))

    def consent(
        self, /, who: Who, purposes: Mapping[str, bool | Mapping[str, bool]], **more: Any
    ) -> Steps[str]:
        """Say what a person allows: ``{"personalize": True, "social": False}``. Otherwise as ``track``."""
        return (yield from self.track("consent", who, consent=purposes, **more))

    # -- events, now --------------------------------------------------------------------------------------

    def send(self, events: Iterable[Told], *, timeout: float | None = None) -> Steps[dict[str, Any]]:
        """Send events and wait until they are on disk.

        Args:
            events: as ``plait.client.event`` makes them, or as docs/reference/collect-api.md has them. One without an id
                gets one, so that no retry counts twice; give your own if you may have to send them again.
            timeout: seconds for each request of up to 500 events.

        Returns:
            ``accepted``: how many; ``refused``: ``index`` in ``events``, ``code``, ``message`` and ``field`` of the others.

        Raises:
            Rejected: the key is wrong; no event of this request was taken.
            Unavailable: the server did not take them in time. What came before this request stands.
        """
        accepted, refused = 0, list[dict[str, Any]]()
        start = 0
        for batch in _batches(map(self._whole, events), BATCH, BATCH_BYTES):
            body = partial(_stamped, batch)
            answer = yield from self._answered(body, "POST", "/v1/events", timeout)
            found = refused_in(answer)
            error = error_of(answer)
            if error is not None and not found:
                raise error
            accepted += len(batch) - len(found)
            refused += [{"index": start + at, **why.as_json()} for at, why in found]
            start += len(batch)
        return {"accepted": accepted, "refused": refused}

    def _whole(self, told: Told) -> bytes:
        known = dict(told)
        if known.get("id") in (None, ""):
            known["id"] = event("other")["id"]
        known.setdefault("at", now_ms())
        if self._source is not None:
            known.setdefault("source", self._source)
        known.pop("sent_at", None)  # it is sent now
        return encoded(known)

    # -- decisions ----------------------------------------------------------------------------------------

    def personalize(  # noqa: D417 - some are told of together
        self,
        placements: str | Told | Sequence[str | Told],
        who: Who = (),
        *,
        events: Iterable[Told] = (),
        url: str | None = None,
        item: str | None = None,
        exclude: Sequence[str] = (),
        context: Told | None = None,
        explain: bool = False,
        details: bool = False,
        token: str | None = None,
        timeout: float | None = None,
    ) -> Steps[dict[str, Any]]:
        """What to show on a whole page: one question, no item twice.

        Args:
            placements: ids, or ``{"id": "home.grid", "n": 12, "where": "price < 200"}``.
            who: identifiers of the visitor; nobody gets what anybody gets.
            events: what the visitor did a moment ago; it counts in this answer, and is on disk before it comes.
            url, item: the page's address, and the item it is about.
            exclude: ids of items that are not to be shown.
            context: of the visitor; ``{"userAgent": "Mozilla/…"}`` tells their device.
            explain: whether each item says why it is there.
            details: whether each item brings what draws it: title, url, image, price and so on.
            token: instead of ``who``, with the write key.
            timeout: seconds after which the page is better shown without.

        Returns:
            docs/reference/personalize-api.md; ``answer["placements"]["home.grid"]["items"]`` are the items, best first.

        Raises:
            Rejected: the question is wrong. Unavailable: no answer in time; show what you would show anybody.
        """
        asked = [placements] if isinstance(placements, str | Mapping) else list(placements)
        question: dict[str, Any] = {
            "placements": [{"id": one} if isinstance(one, str) else dict(one) for one in asked],
            "identifiers": identifiers(who),
        }
        # With ids, so that a question that is asked again counts nothing twice.
        inline = [{"id": event("other")["id"], "at": now_ms(), **told} for told in events]
        page = {name: told for name, told in (("url", url), ("item", item)) if told is not None}
        more = {
            "events": inline, "page": page, "exclude": list(exclude), "context": context, "explain": explain,
            "details": details, "token": token,
        }  # fmt: skip
        question |= {name: told for name, told in more.items() if told}
        return _object((yield from self._ask("POST", "/v1/personalize", question, timeout=timeout)))

    def items_for(
        self,
        /,
        placement: str,
        who: Who = (),
        *,
        n: int | None = None,
        where: str | None = None,
        **more: Any,
    ) -> Steps[list[dict[str, Any]]]:
        """The items of one placement, best first: each with ``item`` and ``score``. Otherwise as ``personalize``."""
        asked = {
            name: told for name, told in (("id", placement), ("n", n), ("where", where)) if told is not None
        }
        page = yield from self.personalize(asked, who, **more)
        return list(page["placements"][placement]["items"])

    def token(self, identifier: str, seconds: float = 3_600, *, scope: str = "personalize") -> str:
        """A text with which a browser may ask as ``identifier`` for a while; needs the secret key, and asks nobody."""
        return token(self._key, identifier, now_ms() + int(seconds * 1_000), scope)

    # -- the catalog --------------------------------------------------------------------------------------

    def put_items(self, items: Iterable[Told], *, timeout: float | None = None) -> Steps[dict[str, Any]]:
        """Put items, each whole: one of the same id is replaced.

        Returns:
            ``accepted``: how many; ``refused``: ``index`` in ``items``, ``code``, ``message`` and ``field`` of the others.

        Raises:
            Rejected: the key may not. Unavailable: not in time; put them again, it does no harm.
        """
        accepted, refused, start = 0, list[dict[str, Any]](), 0
        for batch in _batches((msgspec.json.encode(one) for one in items), _ITEMS, _ITEMS_BYTES):
            wrong = yield from self._put(batch, timeout)
            accepted += len(batch) - len(wrong)
            refused += [{**one, "index": start + one["index"]} for one in wrong]
            start += len(batch)
        return {"accepted": accepted, "refused": refused}

    def _put(self, batch: list[bytes], timeout: float | None) -> Steps[list[dict[str, Any]]]:
        """What was refused of a batch. One that is refused whole names only its first, so its halves are tried."""
        body = b'{"items":[%b]}' % b",".join(batch)
        answer = yield from self._answered(lambda: body, "POST", "/v1/items", timeout)
        error = error_of(answer)
        if error is None:
            return list(_object(msgspec.json.decode(answer.body))["refused"])
        if not isinstance(error, Rejected) or error.status in (401, 403, 404):
            raise error
        if len(batch) == 1:
            return [{"index": 0, **error.as_json()}]
        half = len(batch) // 2
        first = yield from self._put(batch[:half], timeout)
        second = yield from self._put(batch[half:], timeout)
        return first + [{**one, "index": half + one["index"]} for one in second]

    def delete_items(self, ids: Sequence[str], *, timeout: float | None = None) -> Steps[int]:
        """Take items out. Returns how many there were."""
        gone = 0
        for start in range(0, len(ids), _ITEMS):
            some = list(ids[start : start + _ITEMS])
            gone += int(
                _object((yield from self._ask("POST", "/v1/items", {"delete": some}, timeout=timeout)))[
                    "deleted"
                ]
            )
        return gone

    def item(self, id: str) -> Steps[dict[str, Any] | None]:
        """One item, ``None`` where there is none."""
        return (yield from self._found(f"/v1/items/{quote(id, safe='')}"))

    def put_placements(self, placements: Sequence[Told]) -> Steps[int]:
        """Put placements, all or none. Returns how many."""
        told = {"placements": [dict(one) for one in placements]}
        return int(_object((yield from self._ask("POST", "/v1/placements", told)))["accepted"])

    def placements(self) -> Steps[list[dict[str, Any]]]:
        """All placements, by id."""
        return list(_object((yield from self._ask("GET", "/v1/placements")))["placements"])

    def put_audience(self, id: str, where: str, *, title: str = "") -> Steps[dict[str, Any]]:
        """Put an audience: a condition on people under a name (docs/reference/audiences.md)."""
        path, told = f"/v1/audiences/{quote(id, safe='')}", {"where": where, "title": title}
        return _object((yield from self._ask("PUT", path, told)))

    def audiences(self) -> Steps[list[dict[str, Any]]]:
        """All audiences, by id."""
        return list(_object((yield from self._ask("GET", "/v1/audiences")))["audiences"])

    def audience_size(self, id: str, *, timeout: float | None = None) -> Steps[dict[str, Any]]:
        """How many people are in an audience, ``{"people", "of", "at"}``; many take a while to be asked."""
        path = f"/v1/audiences/{quote(id, safe='')}/size"
        return _object((yield from self._ask("GET", path, timeout=timeout)))

    def delete_audience(self, id: str) -> Steps[int]:
        """Take out an audience that nothing is for. Returns 1."""
        return int(
            _object((yield from self._ask("DELETE", f"/v1/audiences/{quote(id, safe='')}")))["deleted"]
        )

    # -- people -------------------------------------------------------------------------------------------

    def profile(
        self, identifier: str, *, limit: int | None = None, events: int | None = None
    ) -> Steps[dict[str, Any] | None]:
        """Who a person is, what they like and why; ``None`` where nothing is known.

        Args:
            identifier: any of the person's.
            limit: number of interests.
            events: number of the newest events to add.
        """
        params: dict[str, str | Sequence[str]] = {}
        if limit is not None:
            params["limit"] = str(limit)
        if events is not None:
            params |= {"include": "events", "events": str(events)}
        return (yield from self._found(_person(identifier), params))

    def export(self, identifier: str) -> Steps[dict[str, Any] | None]:
        """Everything that is known about a person; ``None`` where nothing is."""
        return (yield from self._found(f"{_person(identifier)}/export"))

    def forget(self, identifier: str, *, timeout: float = 60.0) -> Steps[dict[str, Any]]:
        """Erase a person; state, log and lake hold nothing of them once this returns."""
        return _object((yield from self._ask("DELETE", _person(identifier), timeout=timeout)))

    def link(
        self, one: str, other: str, *, consent: bool | None = None, proof: str | None = None
    ) -> Steps[dict[str, Any]]:
        """Say that two identifiers are one person's; ``consent``: whether the person agreed to that.

        ``proof``: of an account on a network, what you vouch for: that they signed in there (``sign_in``), or said so
        (``statement``).
        """
        told: dict[str, Any] = {"identifiers": [one, other]}
        if consent is not None:
            told["consent"] = consent
        if proof is not None:
            told["proof"] = proof
        return _object((yield from self._ask("POST", "/v1/link", told)))

    def unlink(self, one: str, other: str) -> Steps[dict[str, Any]]:
        """Say that two identifiers are not one person's."""
        return _object((yield from self._ask("POST", "/v1/unlink", {"identifiers": [one, other]})))

    # -- how one asks -------------------------------------------------------------------------------------

    def _ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: Mapping[str, str | Sequence[str]] | None = None,
        timeout: float | None = None,
    ) -> Steps[Any]:
        raw = None if body is None else msgspec.json.encode(body)
        answer = yield from self._answered(lambda: raw, method, path, timeout, params or {})
        error = error_of(answer)
        if error is not None:
            raise error
        return msgspec.json.decode(answer.body)

    def _answered(
        self,
        body: Callable[[], bytes | None],
        method: str,
        path: str,
        timeout: float | None,
        params: Mapping[str, str | Sequence[str]] | None = None,
    ) -> Steps[Answer]:
        """The answer, asked again while there is time and none was given that stands."""
        until = self._clock() + (self._timeout if timeout is None else timeout)
        tries = 0
        while True:
            left = max(0.05, until - self._clock())
            answer: Answer = yield Request(method, path, body(), params or {}, left)
            tries += 1
            wait = wait_of(tries, answer, self._chance)
            if not isinstance(error_of(answer), Unavailable) or self._clock() + wait >= until:
                return answer
            yield Pause(wait)

    def _found(
        self, path: str, params: Mapping[str, str | Sequence[str]] | None = None
    ) -> Steps[dict[str, Any] | None]:
        try:
            return _object((yield from self._ask("GET", path, params=params)))
        except Rejected as error:
            if error.status == 404 and error.code.startswith("unknown_"):
                return None
            raise


def token(secret: str, identifier: str, expires_at: int, scope: str = "personalize") -> str:
    """A text that lets its bearer ask as ``identifier`` until ``expires_at`` (ms since the epoch)."""
    (identifier,) = identifiers(identifier)
    signed = f"{identifier}|{expires_at}" + ("" if scope == "personalize" else f"|{scope}")
    return (
        f"{identifier}|{expires_at}|{hmac.new(secret.encode(), signed.encode(), hashlib.sha256).hexdigest()}"
    )


def _stamped(batch: list[bytes]) -> bytes:
    return body_of(batch, now_ms())


def _person(identifier: str) -> str:
    (known,) = identifiers(identifier)
    return f"/v1/profiles/{quote(known, safe=':')}"


def _object(told: Any) -> dict[str, Any]:
    if not isinstance(told, dict):
        raise Unavailable("what answers is not Plait; is the address right?", code="not_plait")
    return told


def _batches(raw: Iterable[bytes], most: int, most_bytes: int) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    for one in raw:
        if batch and (len(batch) >= most or size + len(one) > most_bytes):
            yield batch
            batch, size = [], 0
        batch.append(one)
        size += len(one) + 32
    if batch:
        yield batch
