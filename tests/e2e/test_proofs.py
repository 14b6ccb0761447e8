"""An account on a network joins a customer by proof: end to end, over a fake network and a real server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from tests.conftest import Server
from tests.fakes.network import FakeNetwork

FAKES = Path(__file__).parent.parent / "fakes"
ANN = {"identifier": "user:ann", "consent": True}


@pytest.fixture
def network(server: Server) -> Iterator[FakeNetwork]:
    """With the company's account connected."""
    with FakeNetwork() as one:
        credentials = {"host": one.url, "user": "shop", "password": "right"}
        told = {"network": "fakenet", "credentials": credentials}
        assert server.ask("POST", "/v1/sources", told).status_code == 200
        yield one


@pytest.fixture
def server(own_server: Server) -> Server:
    own_server.env |= {"PYTHONPATH": str(FAKES), "PLAIT_PRIVATE_HOSTS": "localhost"}
    return own_server.start()


def joined(server: Server, account: str) -> list[str]:
    found = server.profile("user:ann") or {"links": []}
    return [one["how"] for one in found["links"] if account in one["identifiers"] and one["counts"]]


def asks(server: Server, **told: object) -> tuple[int, dict[str, object]]:
    answer = server.ask("POST", "/v1/proofs", ANN | told)
    return answer.status_code, answer.json()


def known(server: Server) -> None:
    view = {"id": "1", "signal": "view", "who": ["user:ann"], "about": {"item": "tent-1"}}
    assert server.ask("POST", "/v1/events", [view]).status_code == 200


def test_a_code_sent_from_an_account_joins_it(server: Server, network: FakeNetwork) -> None:
    known(server)
    status, told = asks(server, way="code", network="fakenet", account="fakenet:ann")
    assert (status, told["send_to"]) == (200, [{"source": "fakenet:shop", "handle": "shop"}])
    server.eventually(lambda: network.streams)

    network.act("thief", signal="message", text=f"this is me: {told['code']}")
    network.act("ann", signal="message", text=f"hello, {str(told['code']).lower()}")

    server.eventually(lambda: joined(server, "fakenet:ann") == ["code"])
    assert joined(server, "fakenet:thief") == []


WRONG = [
    ({"consent": False}, 403, "consent_needed", "consent"),
    ({"consent": None}, 403, "consent_needed", "consent"),
    ({"way": "a hunch"}, 400, "invalid_proof", "way"),
    ({"network": "nowhere"}, 400, "invalid_proof", "network"),
    ({"account": "bluesky:x"}, 400, "invalid_proof", "account"),
    ({"identifier": "anonymous:a"}, 400, "invalid_proof", "identifier"),
    ({"identifier": "nobody"}, 400, "invalid_identifier", "identifier"),
    ({"way": "rel_me", "url": "https://social.example/", "page": "https://shop.example/1"}, 400, "invalid_url", "url"),
    ({"way": "rel_me", "url": "https://social.example/@a", "page": "shop"}, 400, "invalid_proof", "page"),
    ({"way": "rel_me", "url": "https://127.0.0.1/@a", "page": "https://shop.example/1"}, 400, "private_address", None),
    ({"more": 1}, 400, "invalid_proof", "more"),
]  # fmt: skip


def test_what_is_wrong_with_a_proof_is_told(server: Server, network: FakeNetwork) -> None:
    found = []
    for told, *_ in WRONG:
        status, answer = asks(server, **({"way": "code", "network": "fakenet"} | told))
        found.append((told, status, answer["code"], answer.get("field")))

    assert found == WRONG


class Profile(BaseHTTPRequestHandler):
    """A profile on a small server of the fediverse."""

    links = ""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(self.links.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def profile() -> Iterator[str]:
    there = HTTPServer(("127.0.0.1", 0), Profile)
    threading.Thread(target=there.serve_forever, daemon=True).start()
    yield f"localhost:{there.server_port}"
    there.shutdown()
    there.server_close()


def test_a_link_on_a_profile_joins_it(server: Server, profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known(server)
    told = {"way": "rel_me", "url": f"http://{profile}/@ann", "page": "https://shop.example/people/f3a9"}
    status, answer = asks(server, **told)
    assert (status, answer["code"]) == (403, "not_proven")

    monkeypatch.setattr(Profile, "links", '<a rel="me" href="https://shop.example/people/f3a9">the shop</a>')

    assert asks(server, **told)[0] == 200
    assert joined(server, f"mastodon:ann@{profile}") == ["rel_me"]


def test_the_write_key_proves_nothing(server: Server) -> None:
    answer = server.ask("POST", "/v1/proofs", ANN | {"way": "code"}, key=server.write)

    assert answer.status_code == 403


def test_the_codes_of_who_is_erased_are_gone(server: Server, network: FakeNetwork) -> None:
    known(server)
    _, told = asks(server, way="code", network="fakenet")
    assert server.ask("DELETE", "/v1/profiles/user:ann").status_code == 200
    server.eventually(lambda: network.streams)

    network.act("ann", signal="message", text=str(told["code"]))
    network.act("last")

    server.eventually(lambda: server.profile("fakenet:last"))
    assert server.profile("user:ann") is None
