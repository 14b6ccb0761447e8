"""An account on a network joins a customer by proof: end to end, over a fake network and a real server."""

from __future__ import annotations

import hmac
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
from tests.conftest import Server, python_path
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
    own_server.env |= {"PYTHONPATH": python_path(FAKES), "PLAIT_PRIVATE_HOSTS": "localhost"}
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


SHOP = {"callback": "https://plait.shop.example/v1/proofs/callback", "back": "https://shop.example/"}
HERE = {"callback": "http://127.0.0.1:1/v1/proofs/callback", "back": "https://shop.example/"}
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
    ({"way": "sign_in", "host": "http://social.example"}, 400, "invalid_proof", "host"),
    ({"way": "sign_in", "network": "mastodon", "host": "http://social.example"}, 400, "invalid_proof", "host"),
    ({"way": "sign_in", "network": "mastodon", "host": "https://social.example"}, 400, "invalid_proof", "callback"),
    ({"way": "sign_in", "network": "mastodon", "host": "https://social.example/a?b"}, 400, "invalid_proof", "host"),
    ({"way": "sign_in", "network": "mastodon", "host": "https://a@social.example"}, 400, "invalid_proof", "host"),
    ({"way": "sign_in", "network": "bluesky", "directory": "ftp://x.example"}, 400, "invalid_proof", "directory"),
    ({"way": "sign_in", "network": "bluesky", **SHOP}, 400, "no_public_url", "callback"),
    ({"way": "sign_in", "network": "bluesky", "handle": "ann", **HERE}, 400, "invalid_handle", "handle"),
    ({"way": "sign_in", "network": "bluesky", "host": "https://10.0.0.1", **HERE}, 400, "private_address", None),
    ({"way": "sign_in", "network": "fakenet", **HERE}, 400, "invalid_proof", "network"),
    ({"way": "sign_in", "proof": "made up"}, 400, "invalid_state", "proof"),
    ({"consent": "yes"}, 400, "invalid_proof", "consent"),
    ({"consent": {"social": True}}, 403, "consent_needed", "consent"),
    ({"consent": {"link": True, "collect": True}}, 400, "invalid_proof", "consent"),
    ({"consent": {"link": 1}}, 400, "invalid_proof", "consent"),
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


def test_what_they_said_about_social_comes_with_the_link(server: Server, profile: str) -> None:
    known(server)
    proof = signs_in(server, profile)["proof"]

    assert asks(server, way="sign_in", proof=proof, consent={"link": True, "social": True})[0] == 200

    for one in ("user:ann", f"mastodon:ann@{profile}"):
        found = server.profile(one)
        assert found is not None
        assert found["consents"]["social"] is True
    told = server.profile("user:ann", include="events") or {}
    (link,) = [one for one in told["events"] if one["signal"] == "link"]
    assert (link["properties"], link["consent"]) == ({"proof": "sign_in"}, {"link": True, "social": True})
    assert link["at"] > 1_700_000_000_000


def test_a_proof_works_once(server: Server, profile: str) -> None:
    """Or the address that a browser remembers would link again what was unlinked."""
    known(server)
    proof = signs_in(server, profile)["proof"]
    assert asks(server, way="sign_in", proof=proof)[0] == 200
    pair = {"identifiers": ["user:ann", f"mastodon:ann@{profile}"]}
    assert server.ask("POST", "/v1/unlink", pair).status_code == 200

    status, answer = asks(server, way="sign_in", proof=proof)

    assert (status, answer["code"]) == (400, "invalid_state")
    assert joined(server, f"mastodon:ann@{profile}") == []


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


def test_whose_sign_in_has_ended_is_told_so_on_a_page(server: Server) -> None:
    answer = httpx.get(
        f"{server.url}/v1/proofs/callback", params={"state": "<script>", "error": "<b>"}, trust_env=False,
        headers={"accept": "text/html,*/*"},
    )  # fmt: skip

    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "Nothing was linked" in answer.text
    assert "<script>" not in answer.text


def test_who_asks_can_be_read_by_networks_that_want_to_know(own_server: Server) -> None:
    own_server.env["PLAIT_PUBLIC_URL"] = "https://shop.example/plait/"
    own_server.start()

    answer = own_server.ask("GET", "/v1/proofs/client.json", key=None)

    told = answer.json()
    assert answer.headers["content-type"] == "application/json"
    assert told["client_id"] == "https://shop.example/plait/v1/proofs/client.json"
    assert told["redirect_uris"] == ["https://shop.example/plait/v1/proofs/callback"]
    assert (told["scope"], told["grant_types"]) == ("atproto", ["authorization_code"])
    assert told["dpop_bound_access_tokens"] is True


def test_nobody_is_told_where_things_lie_on_this_machine(server: Server, network: FakeNetwork) -> None:
    (server.data / "inbox").write_bytes(b"in the way")
    (server.data / "proofs.key").mkdir()
    delivery = json.dumps({"acts": [{"id": "1", "actor": "ann", "at": 1_700_000_000_000}]})
    signed = {"x-fake-signature": hmac.digest(b"fake secret", delivery.encode(), "sha256").hex()}

    outside = httpx.post(
        f"{server.url}/webhooks/fakenet/fakenet:shop", content=delivery, headers=signed, trust_env=False
    )
    ours = server.ask("POST", "/v1/proofs", ANN | {"way": "code", "network": "fakenet"})

    assert (outside.status_code, outside.json()["code"]) == (503, "data_not_writable")
    assert (ours.status_code, ours.json()["code"]) == (503, "data_not_readable")
    assert "proofs.key cannot be read" in ours.json()["message"]
    assert str(server.data) not in outside.text + ours.text
    assert f"{server.data}/proofs.key" in server.words()
    (server.data / "proofs.key").rmdir()


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
