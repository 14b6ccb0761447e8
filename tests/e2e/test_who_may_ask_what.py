"""Who may ask what (docs/explanation/invariants.md): each line of the design is a test of its own."""

from __future__ import annotations

import time

import pytest

ITEM = {"id": "tent-1", "title": "A tent", "topics": ["tents"], "price": 99.0, "available": True}
# 128 random bits, as the clients make them: an anonymous id has to be hard to guess.
ALICE = "0b0e1f52-98a1-4a4e-9d3a-6c2f1f2f9a01"
ANONYMOUS = "5f0c2a1e-7d43-4b52-8f60-0d9f4a7b1c02"


def call(kind: str, **told):
    return {"type": kind, "messageId": f"who-{time.time_ns()}", **told}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", "/v1/profiles/user:ann", None),
        ("GET", "/v1/profiles/user:ann", None),
        ("GET", "/v1/profiles/user:ann/export", None),
        ("POST", "/v1/link", {"identifiers": ["user:ann", "email:a@b.example"]}),
        ("POST", "/v1/unlink", {"identifiers": ["user:ann", "email:a@b.example"]}),
        ("POST", "/v1/items", {"items": [ITEM]}),
        ("GET", "/v1/items", None),
        ("PUT", "/v1/items/tent-1", ITEM),
        ("DELETE", "/v1/items/tent-1", None),
        ("POST", "/v1/placements", {"placements": [{"id": "home.grid"}]}),
        ("DELETE", "/v1/placements/home.grid", None),
        ("POST", "/v1/fit", None),
        ("GET", "/v1/status", None),
        ("GET", "/metrics", None),
        ("GET", "/v1/live?identifier=user:ann", None),
        ("POST", "/v1/import", {"batch": [call("track", event="Old", userId="ann")]}),
    ],
)
@pytest.mark.parametrize("who", ["nobody", "a stranger", "the write key"])
def test_only_the_secret_key_may(server, method, path, body, who):
    key = {"nobody": None, "a stranger": "sk_of_somebody_else", "the write key": server.write}[who]

    answer = server.ask(method, path, body, key=key)

    assert answer.status_code == (
        403 if who == "the write key" and "live" not in path else answer.status_code
    )
    assert answer.status_code in (401, 403), answer.text
    assert set(answer.json()) >= {"code", "message"}


@pytest.mark.parametrize(
    "signal", ["like", "react", "comment", "reply", "quote", "follow", "mention", "message"]
)
def test_the_write_key_sends_no_social_signals(server, signal):
    event = {
        "id": f"social-{signal}",
        "signal": signal,
        "who": [f"anonymous:{ANONYMOUS}"],
        "about": {"post": "77"},
    }

    answer = server.ask("POST", "/v1/events", {"events": [event]}, key=server.write)

    assert answer.status_code == 403


@pytest.mark.parametrize("signal", ["link", "unlink", "erase", "decided"])
def test_the_write_key_sends_no_word_of_ours(server, signal):
    event = {"id": f"ours-{signal}", "signal": signal, "who": [f"anonymous:{ANONYMOUS}", "user:ann"]}

    assert server.ask("POST", "/v1/events", {"events": [event]}, key=server.write).status_code == 403


@pytest.mark.parametrize("op", ["retract", "snapshot", "erase"])
def test_the_write_key_only_asserts(server, op):
    event = {
        "id": f"op-{op}",
        "signal": "view",
        "op": op,
        "who": [f"anonymous:{ANONYMOUS}"],
        "about": {"item": "x"},
    }

    assert server.ask("POST", "/v1/events", {"events": [event]}, key=server.write).status_code == 403


def test_a_visitor_who_claims_somebodys_id_learns_nothing_about_them(server):
    server.ask("POST", "/v1/items", {"items": [ITEM | {"id": "secret-tent", "title": "Ann's tent"}]})
    ann = {"id": "ann-1", "signal": "view", "who": ["user:ann"], "about": {"item": "secret-tent"}}
    assert server.ask("POST", "/v1/events", {"events": [ann]}).status_code == 200
    server.collect(call("identify", userId="ann", anonymousId=ANONYMOUS))
    server.eventually(lambda: server.profile("user:ann"))

    answer = server.ask(
        "POST", "/v1/personalize",
        {"identifiers": [f"anonymous:{ANONYMOUS}"], "placements": [{"id": "home.grid"}], "explain": True},
        key=server.write,
    )  # fmt: skip

    assert answer.status_code == 200, answer.text
    reasons = [
        one for item in answer.json()["placements"]["home.grid"]["items"] for one in item.get("because", [])
    ]
    assert all(one["source"] == "catalog" for one in reasons)


def question(*identifiers: str, **more):
    return {"identifiers": list(identifiers), "placements": [{"id": "home.grid"}]} | more


def test_the_write_key_asks_for_one_anonymous_visitor(server):
    answer = server.ask("POST", "/v1/personalize", question(f"anonymous:{ALICE}"), key=server.write)

    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(question("user:ann"), id="a known person without a token"),
        pytest.param(question(f"anonymous:{ALICE}", "user:ann"), id="a known person beside a visitor"),
        pytest.param(question(f"anonymous:{ALICE}", f"anonymous:{ANONYMOUS}"), id="two visitors"),
        pytest.param(
            {"identifiers": [f"anonymous:{ALICE}"], "placements": [{"id": "home.grid", "where": "price < 5"}]},
            id="a condition of their own",
        ),
        pytest.param(question("user:ann", token="user:ann|99999999999999|" + "0" * 64), id="a made-up token"),
    ],
)  # fmt: skip
def test_the_write_key_may_not_ask_for(server, body):
    answer = server.ask("POST", "/v1/personalize", body, key=server.write)

    assert answer.status_code in (401, 403), answer.text


def test_a_guessed_id_gives_nothing_away(server):
    server.ask("POST", "/v1/items", {"items": [ITEM | {"id": "seen-by-7"}]})
    seen = [
        {"id": f"guess-{n}", "signal": "view", "who": ["anonymous:7"], "about": {"item": "seen-by-7"}}
        for n in range(5)
    ]
    assert server.ask("POST", "/v1/events", {"events": seen}).status_code == 200
    server.eventually(lambda: server.profile("anonymous:7"))

    answer = server.ask("POST", "/v1/personalize", question("anonymous:7", explain=True), key=server.write)

    items = answer.json()["placements"]["home.grid"]["items"]
    assert items
    assert all(one["source"] == "catalog" for item in items for one in item.get("because", []))


def test_a_token_lets_a_browser_ask_as_one_known_person(server):
    from plait.keys import Keys

    keys = Keys(write=server.write, secret=server.secret, pepper="")
    token = keys.token("user:ann", int(time.time() * 1000) + 60_000)

    assert (
        server.ask("POST", "/v1/personalize", question("user:ann", token=token), key=server.write).status_code
        == 200
    )
    assert server.ask(
        "POST", "/v1/personalize", question("user:bob", token=token), key=server.write
    ).status_code in (401, 403)


def test_a_placement_that_is_not_public_is_for_the_secret_key(server):
    assert (
        server.ask("POST", "/v1/placements", {"placements": [{"id": "mail", "public": False}]}).status_code
        == 200
    )
    body = {"identifiers": [f"anonymous:{ALICE}"], "placements": [{"id": "mail"}]}

    assert server.ask("POST", "/v1/personalize", body, key=server.write).status_code in (403, 404)
    assert server.ask("POST", "/v1/personalize", body).status_code == 200


def test_the_write_key_cannot_give_consent_for_a_known_person(server):
    denied = {"id": "cleo-no", "signal": "consent", "who": ["user:cleo"], "consent": {"personalize": False}}
    assert server.ask("POST", "/v1/events", {"events": [denied]}).status_code == 200
    granted = {"id": "cleo-yes", "signal": "consent", "who": ["user:cleo"], "consent": {"personalize": True}}
    server.ask("POST", "/v1/events", {"events": [granted]}, key=server.write)
    seen = {"id": "cleo-seen", "signal": "view", "who": ["user:cleo"], "about": {"item": "tent-1"}}
    assert server.ask("POST", "/v1/events", {"events": [seen]}).status_code == 200

    profile = server.eventually(
        lambda: (found := server.profile("user:cleo")) and found["counts"].get("view") and found
    )

    assert profile["consents"]["personalize"] is False


def test_the_live_stream_opens_to_a_token_of_its_scope_only(server):
    from plait.keys import Keys

    keys = Keys(write=server.write, secret=server.secret, pepper="")
    until = int(time.time() * 1000) + 60_000
    wrong = server.ask(
        "GET", "/v1/live", key=None, params={"identifier": "user:ann", "token": keys.token("user:ann", until)}
    )
    other = server.ask(
        "GET",
        "/v1/live",
        key=None,
        params={"identifier": "user:ann", "token": keys.token("user:bob", until, "live")},
    )

    assert (wrong.status_code, other.status_code) == (401, 403)
