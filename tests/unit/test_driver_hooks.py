"""Deliveries that could not be read at once."""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fakes.network import FakeNetwork, answers

import plait.connectors
from plait.accounts import Accounts, Connected
from plait.connectors import Account
from plait.driver.hooks import Hooks
from plait.driver.inbox import Inbox
from plait.settings import Settings

NOW = int(time.time() * 1000)
BODY = json.dumps({"acts": [], "ask": True}).encode()
HEADERS = {
    ":method": "POST",
    ":path": "/",
    "x-fake-signature": hmac.digest(b"fake secret", BODY, "sha256").hex(),
}


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


def test_a_delivery_that_the_network_must_be_asked_about_waits_until_it_answers(tmp_path, network):
    network.fails("/acts", answers(503), answers(503))
    one = hooks(tmp_path, network)

    told = asyncio.run(one.receive("fakenet", "fakenet:shop", HEADERS, BODY))

    assert told.status == 202
    assert len(Inbox(tmp_path, now=NOW).waiting()) == 1
    assert one.told["fakenet:shop"].errors == 1


def test_what_waits_is_tried_again_and_leaves_once_it_is_read(tmp_path, network):
    Inbox(tmp_path, now=NOW).put("fakenet", "fakenet:shop", HEADERS, BODY, now=NOW - 60_000)

    asyncio.run(hooks(tmp_path, network).retry())

    assert network.called("/acts") == 1
    assert Inbox(tmp_path, now=NOW).waiting() == []


def test_what_somebody_may_be_reading_just_now_is_left_alone(tmp_path, network):
    Inbox(tmp_path, now=NOW).put("fakenet", "fakenet:shop", HEADERS, BODY, now=int(time.time() * 1000))

    asyncio.run(hooks(tmp_path, network).retry())

    assert network.called("/acts") == 0


def test_what_waits_for_an_account_that_was_disconnected_is_deleted(tmp_path, network):
    Inbox(tmp_path, now=NOW).put("fakenet", "fakenet:shop", HEADERS, BODY, now=NOW - 60_000)

    asyncio.run(hooks(tmp_path, network, connected=False).retry())

    assert Inbox(tmp_path, now=NOW).waiting() == []
