"""Direct messages, from the network's log to what their writers are shown: over a fake of ``chat.bsky``, since nobody serves it openly."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.conftest import Server
from tests.fakes.bluesky import ADA, BOB, ME
from tests.fakes.messages import Messages

from plait.events import decode_record
from plait.log import open_log

ITEMS = [
    {"id": "tarn-2", "title": "Tarn 2 Trekking Tent", "topics": ["tents"]},
    {"id": "offer", "kind": "promotion", "title": "Tents for less", "for": ["tarn-2", "tents"]},
]
SECRET = "Quetzalcoatl"  # a word that nothing of ours has


@pytest.fixture
def network() -> Iterator[Messages]:
    with Messages() as one:
        yield one


@pytest.fixture
def server(own_server: Server) -> Server:
    own_server.env["PLAIT_CONSENT__SOCIAL"] = "true"
    own_server.start()
    assert own_server.ask("POST", "/v1/items", {"items": ITEMS}).status_code == 200
    return own_server


def connect(server: Server, network: Messages, messages: str = "yes") -> str:
    told = server.ask("POST", "/v1/sources", {"network": "bluesky", "host": network.url, "credentials": {
        "identifier": "shop.test", "password": network.password, "stream": "none", "messages": messages,
    }})  # fmt: skip
    assert told.status_code == 200, told.text
    source: str = told.json()["source"]
    return source


def offers(server: Server, did: str) -> list[str]:
    asked = {"identifiers": [f"bluesky:{did}"], "placements": [{"id": "home.promotion"}]}
    items = server.ask("POST", "/v1/personalize", asked).json()["placements"]["home.promotion"]["items"]
    return [one["item"] for one in items]


def wants(server: Server, did: str) -> list[str]:
    known = server.profile(f"bluesky:{did}") or {"interests": []}
    return [one["item"] for one in known["interests"] if "item" in one]


def written(server: Server, did: str) -> int:
    return (server.profile(f"bluesky:{did}") or {"counts": {}})["counts"].get("message", 0)


def polled(server: Server, source: str) -> bool:
    return bool(server.ask("GET", f"/v1/sources/{source}").json().get("state", {}).get("polls"))


def test_a_message_is_read_and_let_go_and_a_complaint_mutes_promotions(network: Messages, server: Server):
    network.say(ADA, f"The Tarn 2 is wonderful, says {SECRET}!")
    complaint = network.say(BOB, f"My Tarn 2 leaked like {SECRET}, I want a refund.")
    network.say(ME, f"We are sorry, {SECRET}.")

    connect(server, network)

    server.eventually(lambda: written(server, ADA) and written(server, BOB), seconds=40)
    server.eventually(lambda: offers(server, BOB) == [])
    assert offers(server, ADA) == ["offer"]
    assert (wants(server, ADA), wants(server, BOB), written(server, ME)) == (["tarn-2"], [], 0)

    network.delete(BOB, complaint)
    server.stop()
    assert nowhere(server)
    server.start()  # whoever starts looks at once, from where it was
    server.eventually(lambda: offers(server, BOB) == ["offer"], seconds=40)
    assert written(server, BOB) == 0
    assert written(server, ADA) == 2  # the message, and its part about the tent: neither came twice


def nowhere(server: Server) -> bool:
    """Whether what was written is in no file, packed or not, and in no line that was logged."""
    files = [one for one in server.data.parent.rglob("*") if one.is_file()]
    log = open_log(f"lmdb://{server.data / 'log'}")
    try:
        bodies = [decode_record(raw).body for _, raw in log.read(0)]
    finally:
        log.close()
    mark = SECRET.encode()
    return not any(mark in one.read_bytes() for one in files) and not any(mark in one for one in bodies)


def test_a_password_that_may_not_read_messages_costs_the_look_nothing_else(network: Messages, server: Server):
    network.allowed = False
    network.say(ADA, "The Tarn 2 is wonderful!")

    source = connect(server, network)

    server.eventually(lambda: polled(server, source), seconds=40)
    assert network.asked > 0
    assert written(server, ADA) == 0


def test_nobody_reads_messages_who_was_not_asked_to(network: Messages, server: Server):
    network.say(ADA, "The Tarn 2 is wonderful!")

    source = connect(server, network, messages="no")

    server.eventually(lambda: polled(server, source), seconds=40)
    assert network.asked == 0
