"""An account on a network joins a customer by proof: end to end, over a fake network and a real server."""

from __future__ import annotations

import json
import threading
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import httpx
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
    ({"way": "sign_in", "host": "http://social.example"}, 400, "invalid_proof", "network"),
    ({"way": "sign_in", "network": "mastodon", "host": "http://social.example"}, 400, "invalid_proof", "host"),
    ({"way": "sign_in", "network": "mastodon", "host": "https://social.example"}, 400, "invalid_proof", "callback"),
    ({"way": "sign_in", "proof": "made up"}, 400, "invalid_state", "state"),
]  # fmt: skip


def test_what_is_wrong_with_a_proof_is_told(server: Server, network: FakeNetwork) -> None:
    found = []
    for told, *_ in WRONG:
        status, answer = asks(server, **({"way": "code", "network": "fakenet"} | told))
        found.append((told, status, answer["code"], answer.get("field")))

    assert found == WRONG


class Fediverse(BaseHTTPRequestHandler):
    """A fake of a small Mastodon server, after its documentation: a profile, and signing in."""

    links = ""
    domain = ""  # that it says it is; its own by default
    revoked: list[str] = []  # noqa: RUF012
    challenge = ""

    def do_GET(self) -> None:
        path, own = urlsplit(self.path).path, f"localhost:{self.server.server_port}"  # type: ignore[attr-defined]
        if path == "/@ann":
            self.told(self.links, "text/html")
        elif (
            path == "/api/v1/accounts/verify_credentials"
            and self.headers["authorization"] == "Bearer a-token"
        ):
            self.told({"id": "1", "acct": "Ann", "uri": f"http://{own}/users/ann"})
        elif path == "/.well-known/webfinger":
            self.told(
                {
                    "links": [
                        {
                            "rel": "self",
                            "type": "application/activity+json",
                            "href": f"http://{own}/users/ann",
                        }
                    ]
                }
            )
        elif path in ("/api/v1/instance", "/api/v2/instance"):
            self.told({"domain": self.domain or own, "uri": self.domain or own, "version": "4.3.0"})
        else:
            self.told({"error": "not found"}, status=404)

    def do_POST(self) -> None:
        form = dict(parse_qsl(self.rfile.read(int(self.headers["content-length"])).decode()))
        if self.path == "/api/v1/apps" and form["scopes"] == "read:accounts":
            self.told({"client_id": "an-app", "client_secret": "its-secret"})
        elif self.path == "/oauth/token" and (form["code"], form["client_secret"]) == (
            "a-code",
            "its-secret",
        ):
            proof = urlsafe_b64encode(sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
            self.told({"access_token": "a-token"}) if proof == Fediverse.challenge else self.told(
                {}, status=400
            )
        elif self.path == "/oauth/revoke":
            self.revoked.append(form["token"])
            self.told({})
        else:
            self.told({"error": "invalid_grant"}, status=400)

    def told(self, what: object, kind: str = "application/json", status: int = 200) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.end_headers()
        self.wfile.write(what.encode() if isinstance(what, str) else json.dumps(what).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def profile() -> Iterator[str]:
    with another_server() as there:
        yield there


@contextmanager
def another_server() -> Iterator[str]:
    there = HTTPServer(("127.0.0.1", 0), Fediverse)
    threading.Thread(target=there.serve_forever, daemon=True).start()
    yield f"localhost:{there.server_port}"
    there.shutdown()
    there.server_close()


def test_a_link_on_a_profile_joins_it(server: Server, profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known(server)
    told = {"way": "rel_me", "url": f"http://{profile}/@ann", "page": "https://shop.example/people/f3a9"}
    status, answer = asks(server, **told)
    assert (status, answer["code"]) == (403, "not_proven")

    monkeypatch.setattr(
        Fediverse, "links", '<a rel="me" href="https://shop.example/people/f3a9">the shop</a>'
    )

    assert asks(server, **told)[0] == 200
    assert joined(server, f"mastodon:ann@{profile}") == ["rel_me"]


def signs_in(server: Server, host: str, *, code: str | None = "a-code") -> dict[str, str]:
    """What the shop is told when a customer comes back from their server."""
    told = {
        "host": f"http://{host}",
        "callback": f"{server.url}/v1/proofs/callback",
        "back": "https://shop.example/account?tab=2",
    }
    status, answer = asks(server, way="sign_in", **told)
    assert status == 200, answer
    asked = dict(parse_qsl(urlsplit(str(answer["send_to"])).query))
    Fediverse.challenge = asked["code_challenge"]
    said = {"state": asked["state"]} | ({"code": code} if code else {"error": "access_denied"})
    back = httpx.get(asked["redirect_uri"], params=said, trust_env=False)
    assert (back.status_code, back.headers["location"].partition("&")[0]) == (
        303,
        "https://shop.example/account?tab=2",
    )
    return dict(parse_qsl(urlsplit(back.headers["location"]).query))


def test_signing_in_with_their_server_joins_an_account(server: Server, profile: str) -> None:
    known(server)

    proof = signs_in(server, profile)["proof"]

    assert joined(server, f"mastodon:ann@{profile}") == []  # not before the shop says who is logged in
    status, answer = asks(server, way="sign_in", proof=proof, identifier="user:somebody-else")
    assert (status, answer["code"]) == (403, "not_proven")
    assert asks(server, way="sign_in", proof=proof)[0] == 200
    assert joined(server, f"mastodon:ann@{profile}") == ["sign_in"]
    assert Fediverse.revoked[-1:] == ["a-token"]


def test_who_says_no_to_their_server_comes_back_unlinked(server: Server, profile: str) -> None:
    assert signs_in(server, profile, code=None) == {"tab": "2", "error": "denied"}
    assert signs_in(server, profile, code="a-guess") == {"tab": "2", "error": "not_proven"}


def test_a_server_cannot_speak_for_anothers_accounts(
    server: Server, profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with another_server() as victim:
        monkeypatch.setattr(Fediverse, "domain", victim)

        assert signs_in(server, profile)["error"] == "not_proven"


def test_a_state_that_is_not_ours_leads_nowhere(server: Server) -> None:
    answer = httpx.get(
        f"{server.url}/v1/proofs/callback", params={"state": "x", "code": "y"}, trust_env=False
    )

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_state")


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
