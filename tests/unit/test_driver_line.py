"""Requests and streams of one account, against a real server that makes trouble."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import pytest
from tests.fakes.connectors.fakenet import LIMIT, Connector
from tests.fakes.network import FakeNetwork, answers

from plait.connectors import Account, Ask, Frame, Next, Open, Page
from plait.driver.line import Failed, Line, same_origin
from plait.driver.pump import pump
from plait.driver.streams import Ended, NotOpened, is_the_servers, opened
from plait.errors import PlaitError, Rejected, Unavailable
from plait.fetch import Fetcher


@pytest.fixture
def network() -> Iterator[FakeNetwork]:
    with FakeNetwork() as one:
        yield one


class Kept:
    """The secrets of an account, as the accounts' files keep them."""

    def __init__(self) -> None:
        self.secrets: dict[str, str] = {"user": "shop", "password": "right"}
        self.renewed = 0

    async def renew(self, secrets: Mapping[str, str]) -> None:
        self.renewed += 1
        self.secrets = dict(secrets)


def on_line(network: FakeNetwork, work: Callable[[Line], Awaitable[Any]], kept: Kept | None = None) -> Any:
    """Run ``work`` with a line to the network."""
    kept = kept or Kept()

    async def run() -> Any:
        line = Line(
            Connector, Account(source="fakenet:shop", host=network.url), lambda: kept.secrets,
            fetcher=Fetcher(), renewed=lambda secrets: kept.renew(secrets), chance=lambda: 0.0,
        )  # fmt: skip
        try:
            return await work(line)
        finally:
            await line.close()

    return asyncio.run(run())


def test_a_signed_request_carries_the_session(network):
    network.act("ana")

    told = on_line(network, lambda line: line.ask(Ask(url="/acts")))

    assert told.ok
    assert told.json()["acts"][0]["actor"] == "ana"


def test_a_session_that_the_network_ended_is_renewed_once_for_all_who_notice(network):
    async def work(line: Line) -> list[int]:
        await line.session()
        network.access = "another"
        return [one.status for one in await asyncio.gather(*[line.ask(Ask(url="/acts")) for _ in range(8)])]

    kept = Kept()

    assert on_line(network, work, kept) == [200] * 8
    assert network.sessions == 2
    assert kept.secrets["refresh"] == "refresh-2"


def test_a_session_is_renewed_before_it_expires(network):
    network.expires_in = 2

    async def work(line: Line) -> None:
        await line.ask(Ask(url="/acts"))
        await line.ask(Ask(url="/acts"))
        await asyncio.sleep(1.1)  # half of its time
        await line.ask(Ask(url="/acts"))

    on_line(network, work)

    assert network.sessions == 2


def test_a_rotated_secret_is_kept_before_it_is_used(network):
    kept, seen = Kept(), []

    async def work(line: Line) -> None:
        await line.ask(Ask(url="/acts"))
        seen.append(dict(kept.secrets))

    on_line(network, work, kept)

    assert seen == [{"user": "shop", "refresh": "refresh-1"}]


def test_a_renewed_secret_that_the_disk_did_not_take_is_not_lost(network):
    """The one before it is void: who went back to that would be signed out."""
    kept, network.password = Kept(), "right"
    written = kept.renew

    async def full(_: Mapping[str, str]) -> None:
        kept.renew = written
        network.password = "nobody's any more"
        raise Unavailable("the disk is full", code="data_not_writable")

    async def work(line: Line) -> None:
        with pytest.raises(Unavailable):
            await line.session()
        await line.session()

    kept.renew = full
    on_line(network, work, kept)

    assert (kept.secrets["refresh"], network.sessions) == ("refresh-2", 2)


def test_credentials_that_are_not_taken_are_told_by_the_connector(network):
    network.password = "another"
    with pytest.raises(Rejected) as told:
        on_line(network, lambda line: line.ask(Ask(url="/acts")))

    assert told.value.status == 401


def test_a_request_that_is_refused_with_a_fresh_session_is_for_the_connector(network):
    network.fails("/acts", answers(401), answers(401))

    assert on_line(network, lambda line: line.ask(Ask(url="/acts"))).status == 401
    assert network.sessions == 2


@pytest.mark.parametrize("status", [403, 404, 410, 422])
def test_what_the_connector_has_to_understand_is_handed_on(network, status):
    network.fails("/plain", answers(status))

    assert on_line(network, lambda line: line.ask(Ask(url="/plain"))).status == status


def test_a_storm_of_429_is_waited_out(network):
    network.fails("/plain", *[answers(429, retry_after="0")] * 2)

    assert on_line(network, lambda line: line.ask(Ask(url="/plain"))).ok
    assert network.called("/plain") == 3


def test_retry_after_is_heard(network):
    network.fails("/plain", answers(503, retry_after="1"))

    on_line(network, lambda line: line.ask(Ask(url="/plain")))

    first, second = [at for path, at in network.calls if path == "/plain"]
    assert 1.0 <= second - first < 3.0


def test_a_429_holds_all_requests_of_its_budget_and_no_others(network):
    network.fails("/plain", answers(429, retry_after="1"))

    async def work(line: Line) -> tuple[float, float]:
        clock = asyncio.get_running_loop().time
        begun = clock()
        first = asyncio.ensure_future(line.ask(Ask(url="/plain", signed=False, budget="dear")))
        await asyncio.sleep(0.2)
        await line.ask(Ask(url="/plain", signed=False))
        other = clock() - begun
        await line.ask(Ask(url="/plain", signed=False, budget="dear"))
        same = clock() - begun
        await first
        return other, same

    other, same = on_line(network, work)

    assert other < 0.9
    assert same >= 1.0


def test_a_network_that_does_not_recover_is_given_up_for_now(network):
    network.fails("/plain", *[answers(500)] * 9)

    with pytest.raises(Failed):
        on_line(network, lambda line: line.ask(Ask(url="/plain"), tries=3))

    assert network.called("/plain") == 3


def test_a_network_that_is_not_there_is_unavailable():
    dead = FakeNetwork()
    dead.url = "http://127.0.0.1:9"

    with pytest.raises(Failed):
        on_line(dead, lambda line: line.ask(Ask(url="/plain", signed=False), tries=2))


def test_the_limit_holds_over_many_at_once(network, monkeypatch):
    """4 calls in 2 s; 3 of them at once, as a twentieth stays, and no window in which they are let go holds more than 4.

    On their way they may catch up with each other, on a busy machine by seconds; none may come that was not let go.
    """
    let_go: list[tuple[float, float]] = []  # by the line's clock, by the network's

    async def work(line: Line) -> None:
        take = line.budgets["dear"].take
        monkeypatch.setattr(
            line.budgets["dear"], "take", lambda now: (let_go.append((now, time.monotonic())), take(now))
        )
        await asyncio.gather(*[line.ask(Ask(url="/plain", signed=False, budget="dear")) for _ in range(7)])

    on_line(network, work)

    came = [at for path, at in network.calls if path == "/plain"]
    assert len(came) == len(let_go) == 7
    assert all(left <= at for (_, left), at in zip(let_go, sorted(came), strict=True))
    assert max(sum(1 for one, _ in let_go if at <= one < at + 2) for at, _ in let_go) <= 4


def test_headers_that_say_nothing_is_left_stop_us_before_a_429_does(network):
    network.headers = {"ratelimit-remaining": "0", "ratelimit-reset": "1"}

    async def work(line: Line) -> None:
        await line.ask(Ask(url="/plain", signed=False))
        await line.ask(Ask(url="/plain", signed=False))

    on_line(network, work)

    first, second = [at for path, at in network.calls if path == "/plain"]
    assert second - first >= 0.9


def test_a_session_travels_to_the_accounts_own_host_only(network):
    with FakeNetwork() as other:
        seen = []
        other.fails("/plain", lambda request: seen.append(dict(request.headers)))

        on_line(network, lambda line: line.ask(Ask(url=f"{other.url}/plain")))

    assert "authorization" not in seen[0]
    assert network.sessions == 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://a.example/x", "https://a.example:443", True), ("https://a.example", "http://a.example", False),
        ("https://a.example.evil.example", "https://a.example", False), ("https://a.example@evil.example", "https://a.example", False),
        ("https://A.example", "https://a.example", True), ("https://a.example:bad", "https://a.example", False),
    ],
)  # fmt: skip
def test_what_is_one_host(one, other, same):
    assert same_origin(one, other) is same


def test_a_url_that_others_named_goes_through_the_guard(network):
    with pytest.raises(Rejected) as told:
        on_line(network, lambda line: line.ask(Ask(url=f"{network.url}/plain", guarded=True)))

    assert told.value.code == "forbidden_url"
    assert network.called("/plain") == 0


def test_no_secret_is_in_a_repr(network):
    async def work(line: Line) -> str:
        return repr(await line.session())

    assert "access" not in on_line(network, work)


# -- streams ---------------------------------------------------------------------------------------------------


def test_a_web_socket_gives_frames_and_then_its_end(network):
    network.act("ana")

    async def work(line: Line) -> list[Any]:
        stream = await opened(Open(url="/stream", params={"after": None}), line)
        found = [await stream.next(2), await stream.next(0.05)]
        await asyncio.to_thread(network.cut)
        with pytest.raises(Ended):
            await stream.next(2)
        await stream.close()
        return found

    first, second = on_line(network, work)

    assert '"actor":"ana"' in str(first.data).replace(" ", "")
    assert second is None


def test_a_stream_is_opened_with_a_fresh_session_when_the_old_one_is_over(network):
    async def work(line: Line) -> None:
        await line.session()
        network.access = "another"
        await (await opened(Open(url="/stream"), line)).close()

    on_line(network, work)

    assert network.sessions == 2


def test_a_stream_of_nobody_cannot_be_opened(network):
    async def work(line: Line) -> None:
        await opened(Open(url="/nowhere", signed=False), line)

    with pytest.raises(NotOpened):
        on_line(network, work)


def test_server_sent_events_give_frames_even_if_a_wait_was_too_short(network):
    network.act("ana", push=False)

    async def work(line: Line) -> list[Frame | None]:
        stream = await opened(Open(url="/events", kind="sse"), line)
        found = [await stream.next(2), await stream.next(0.05), await stream.next(2)]
        with pytest.raises(Ended):
            await stream.next(2)
        await stream.close()
        return found

    assert on_line(network, work) == [Frame("a1\nsecond line", "act"), None, Frame("last")]


# -- steps -----------------------------------------------------------------------------------------------------


async def nowhere(_: Page) -> None:
    return None


def test_what_goes_wrong_is_raised_where_the_connector_asked_so_that_it_can_pass_over_it(network):
    network.fails("/plain", *[answers(500)] * 8)
    pages = []

    def steps() -> Any:
        try:
            yield Ask(url="/plain", guarded=True)
        except PlaitError as error:
            pages.append(error.code)
        answer = yield Ask(url="/acts")
        pages.append(answer.status)

    on_line(network, lambda line: pump(steps(), line, keep=nowhere))

    assert pages == ["forbidden_url", 200]


def test_a_mistake_of_the_connector_ends_its_steps_and_closes_its_stream(network):
    def steps() -> Any:
        yield Open(url="/stream")
        raise KeyError("no such field")

    with pytest.raises(KeyError):
        on_line(network, lambda line: pump(steps(), line, keep=nowhere))


def test_a_frame_that_is_waited_for_without_a_stream_is_the_streams_end(network):
    def steps() -> Any:
        yield Next()

    with pytest.raises(Ended):
        on_line(network, lambda line: pump(steps(), line, keep=nowhere))


def test_the_fake_network_states_the_limit_that_these_tests_rely_on():
    assert Connector.statement.limits["default"].calls == LIMIT


@pytest.mark.parametrize(
    ("url", "its"),
    [
        ("https://social.example/api/v1/streaming", True), ("https://streaming.social.example/api", True),
        ("https://streaming.social.example:444/api", False), ("http://streaming.social.example/api", False),
        ("https://streaming.social.example.evil.example/", False), ("https://evilsocial.example/", False),
        ("https://example/", False),
    ],
)  # fmt: skip
def test_a_session_goes_to_streams_of_the_accounts_own_server(url, its):
    assert is_the_servers(url, "https://social.example") is its
