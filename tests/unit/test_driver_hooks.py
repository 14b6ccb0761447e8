"""Deliveries: thanked for once they are on disk, kept by the driver, and what cannot be read now waits."""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.network import FakeNetwork, answers

import plait.connectors
from plait.accounts import Accounts, Connected
from plait.connectors import Account, Fact, Page
from plait.driver import _House
from plait.driver.deliveries import Deliveries
from plait.driver.hooks import Hooks
from plait.driver.inbox import Delivery, Inbox
from plait.errors import Rejected, Unavailable
from plait.events import Signal
from plait.serving import Serving
from plait.settings import Settings

NOW = int(time.time() * 1000)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNetwork]:
    fakes = str(Path(__file__).parents[1] / "fakes/connectors")
    monkeypatch.setattr(plait.connectors, "__path__", [*plait.connectors.__path__, fakes])
    with FakeNetwork() as one:
        yield one


def hooks(data: Path, network: FakeNetwork, *, connected: bool = True) -> Hooks:
    accounts = Accounts(data, now=NOW)
    account = Connected(
        network="fakenet", account=Account(source="fakenet:shop", host=network.url), connected_at=NOW
    )
    accounts.keep(account, {"user": "shop", "password": "right"})
    return Hooks(Settings(data=str(data)), lambda: accounts, lambda: [account] if connected else [])


def delivered(one: Hooks, *bodies: dict[str, Any]) -> list[Any]:
    """What senders who come at the same moment are answered."""

    async def work() -> list[Any]:
        return await asyncio.gather(*(sent(one, body) for body in bodies), return_exceptions=True)

    return [told if isinstance(told, Exception) else told.status for told in asyncio.run(work())]


async def sent(one: Hooks, told: dict[str, Any]) -> Any:
    body = json.dumps(told).encode()
    signed = {
        ":method": "POST",
        ":path": "/",
        "x-fake-signature": hmac.digest(b"fake secret", body, "sha256").hex(),
    }
    return await one.receive("fakenet", "fakenet:shop", signed, body)


def act(number: int) -> dict[str, Any]:
    return {"id": f"h{number}", "actor": "ana", "at": NOW + number}


def waiting(data: Path) -> list[list[Delivery]]:
    inbox = Inbox(data, now=NOW)
    return [inbox.open(name) for name in inbox.waiting()]


# -- taken in --------------------------------------------------------------------------------------------------


def test_a_flood_shares_its_writes_and_loses_nothing(tmp_path, network):
    assert delivered(hooks(tmp_path, network), *({"acts": [act(n)]} for n in range(50))) == [200] * 50

    files = waiting(tmp_path)
    found = [fact.id for some in files for one in some if one.page for fact in one.page.facts]
    assert sorted(found) == sorted(f"h{n}" for n in range(50))
    assert len(files) < 10


def test_a_delivery_that_tells_nothing_is_not_kept(tmp_path, network):
    assert delivered(hooks(tmp_path, network), {"acts": []}) == [200]
    assert waiting(tmp_path) == []


def test_who_asks_without_a_key_does_not_have_certificates_read_each_time(tmp_path, network, monkeypatch):
    one = hooks(tmp_path, network)
    delivered(one, {"acts": []})
    read = []
    monkeypatch.setattr("ssl.create_default_context", lambda *_, **__: read.append(1))

    assert delivered(one, *[{"acts": []}] * 5) == [200] * 5
    assert read == []


def test_what_cannot_be_written_is_not_thanked_for(tmp_path, network, monkeypatch):
    def full(*_: object) -> str:
        raise Unavailable("the disk is full", code="data_not_writable")

    monkeypatch.setattr(Inbox, "put", full)

    told = delivered(hooks(tmp_path, network), *({"acts": [act(n)]} for n in range(3)))

    assert [one.code for one in told] == ["data_not_writable"] * 3


def test_a_delivery_that_the_network_must_be_asked_about_waits_as_it_came(tmp_path, network):
    network.fails("/acts", answers(503), answers(503))
    one = hooks(tmp_path, network)

    assert delivered(one, {"acts": [], "ask": True}, {"acts": [act(1)]}) == [202, 200]

    assert sorted(some[0].page is None for some in waiting(tmp_path)) == [False, True]
    assert one.told["fakenet:shop"].errors == 1


def test_what_waits_for_accounts_that_were_all_disconnected_is_deleted(tmp_path, network):
    Inbox(tmp_path, now=NOW).put([Delivery("fakenet", "fakenet:shop", NOW)])

    asyncio.run(hooks(tmp_path, network, connected=False).sweep())

    assert waiting(tmp_path) == []


# -- kept ------------------------------------------------------------------------------------------------------


class Shop:
    """Stands in for a running account: notes what it is to keep, and fails as it is told to."""

    def __init__(self, *fails: Exception) -> None:
        self.pages: list[Page] = []
        self.troubles: list[str] = []
        self._fails = list(fails)

    async def read(self, delivery: Delivery) -> Page:
        return page(int(delivery.body))

    async def delivered(self, page: Page) -> None:
        if self._fails:
            raise self._fails.pop(0)
        self.pages.append(page)

    def trouble(self, code: str, message: str) -> None:
        self.troubles.append(code)

    @property
    def told(self) -> list[list[str]]:
        return [[fact.id for fact in page.facts] for page in self.pages]


def page(number: int) -> Page:
    return Page(facts=[Fact(id=str(number), signal=Signal.LIKE, at=NOW, actor="fakenet:ana")])


def read(number: int, source: str = "fakenet:shop") -> Delivery:
    return Delivery("fakenet", source, NOW, page=page(number))


def looked(data: Path, shop: Shop | None, *files: list[Delivery]) -> list[list[Delivery]]:
    """What still waits once the driver has looked."""
    inbox = Inbox(data, now=NOW)
    for some in files:
        inbox.put(some)
    deliveries = Deliveries(data, {"fakenet:shop": shop}.get, "fakenet:shop".__eq__)

    async def work() -> None:
        for _ in files or [1]:
            await deliveries.look()
            await deliveries.idle()

    asyncio.run(work())
    return waiting(data)


def test_what_came_together_is_kept_as_one_page_in_its_order(tmp_path):
    shop = Shop()
    unread = Delivery("fakenet", "fakenet:shop", NOW, {}, b"3")

    assert looked(tmp_path, shop, [read(1), read(2), unread]) == []
    assert shop.told == [["1", "2", "3"]]


def test_what_the_server_cannot_keep_now_waits_and_what_it_never_will_does_not(tmp_path):
    assert len(looked(tmp_path, Shop(Unavailable("later", code="lagging")), [read(1)])) == 1
    assert len(looked(tmp_path, Shop(RuntimeError("a mistake")))) == 1

    shop = Shop(Rejected("never", code="invalid_body"))
    assert looked(tmp_path, shop) == []
    assert shop.troubles == ["invalid_body"]


def test_what_is_for_an_account_that_is_not_run_yet_waits_and_for_nobody_is_deleted(tmp_path):
    assert len(looked(tmp_path, None, [read(1)])) == 1
    assert len(looked(tmp_path, None, [read(2, "fakenet:gone")])) == 1


def test_what_came_to_an_account_that_was_connected_a_moment_ago_waits_for_it(tmp_path, network):
    hooks(tmp_path, network)  # connects it
    Inbox(tmp_path, now=NOW).put([read(1)])

    async def work() -> None:
        house = _House(Settings(data=str(tmp_path)), Serving(pid=1, url=network.url, key="sk"))
        await house.deliveries.look()  # before the driver looked at who is connected
        await house.deliveries.idle()

    asyncio.run(work())
    assert len(waiting(tmp_path)) == 1
