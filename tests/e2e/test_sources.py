"""A connected account, end to end: a real server, a real driver, and a fake network on this machine."""

from __future__ import annotations

import hmac
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.conftest import Server
from tests.fakes.network import FakeNetwork

FAKES = Path(__file__).parent.parent / "fakes"


@pytest.fixture
def network() -> Iterator[FakeNetwork]:
    with FakeNetwork() as one:
        yield one


@pytest.fixture
def server(own_server: Server) -> Server:
    own_server.env["PYTHONPATH"] = str(FAKES)
    return own_server.start()


def connect(server: Server, network: FakeNetwork, **more: str) -> Any:
    credentials = {"host": network.url, "user": "shop", "password": "right"} | more
    return server.ask("POST", "/v1/sources", {"network": "fakenet", "credentials": credentials})


def likes(server: Server, actor: str) -> int:
    found = server.profile(f"fakenet:{actor}")
    return (found or {"counts": {}})["counts"].get("like", 0)


def source(server: Server) -> dict[str, Any]:
    return server.ask("GET", "/v1/sources/fakenet:shop").json()


def driver_of(server: Server) -> psutil.Process | None:
    for one in psutil.Process(server.process.pid).children():
        if one.cmdline()[-1:] == ["drive"]:
            return one
    return None


def test_what_happens_on_a_connected_account_flows_into_profiles(server, network):
    network.act("ana", past=True)
    network.act("bob")

    told = connect(server, network)

    assert told.status_code == 200, told.text
    assert told.json() == {
        "source": "fakenet:shop",
        "network": "fakenet",
        "handle": "shop",
        "me": "fakenet:shop",
    }
    server.eventually(lambda: likes(server, "ana") == 1 and likes(server, "bob") == 1)
    server.eventually(lambda: network.streams)
    network.act("cy")
    server.eventually(lambda: likes(server, "cy") == 1, seconds=5)


def plait(server: Server, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PLAIT_")}
    return subprocess.run(
        [sys.executable, "-m", "plait", *words, "--data", str(server.data)],
        capture_output=True, text=True, timeout=90, env=clean | {"PYTHONPATH": str(FAKES)} | env,
    )  # fmt: skip


def test_plait_connect_shows_the_statement_and_reads_the_past(server, network):
    network.act("ana", past=True)

    told = plait(
        server, "connect", "fakenet", "--with", f"host={network.url}", "--with", "user=shop", "--yes",
        FAKENET_PASSWORD="right",
    )  # fmt: skip

    assert told.returncode == 0, told.stderr
    assert "What it does not see" in told.stderr
    assert "the past has been read: 1 facts" in told.stderr
    listed = plait(server, "sources")
    assert "fakenet:shop" in listed.stdout
    assert plait(server, "disconnect", "fakenet:shop").returncode == 0
    assert server.ask("GET", "/v1/sources").json() == {"sources": []}
    server.eventually(lambda: driver_of(server) is None)


# -- staying up ------------------------------------------------------------------------------------------------


def test_a_driver_that_was_killed_goes_on_where_it_stopped(server, network):
    """kill -9 in the middle, again and again: every act counts once, and the cursor is never ahead of what counted."""
    connect(server, network)
    server.eventually(lambda: network.streams)
    for number in range(30):
        network.act(f"actor{number % 3}", post=f"post-{number}")
        if number % 10 == 5:
            child = driver_of(server)
            if child is not None:
                child.kill()
    server.eventually(lambda: sum(likes(server, f"actor{n}") for n in range(3)) == 30, seconds=30)

    place = source(server)["cursors"]["stream"]
    assert int(place["cursor"]) == 30
    assert [likes(server, f"actor{n}") for n in range(3)] == [10, 10, 10]


def test_a_server_that_was_killed_goes_on_where_it_stopped(server, network):
    connect(server, network)
    server.eventually(lambda: network.streams)
    network.act("ana")
    server.eventually(lambda: likes(server, "ana") == 1)
    server.kill()
    network.act("ana", push=False, post="post-2")

    server.start()

    server.eventually(lambda: likes(server, "ana") == 2, seconds=30)


def test_a_cut_stream_is_opened_again_from_the_last_cursor(server, network):
    connect(server, network)
    server.eventually(lambda: network.streams)
    network.act("ana")
    server.eventually(lambda: likes(server, "ana") == 1)
    network.cut()
    network.act("ana", push=False, post="post-2")

    server.eventually(lambda: likes(server, "ana") == 2)


def test_a_connector_with_a_mistake_is_told_and_does_not_take_others_down(server, network):
    with FakeNetwork() as other:
        connect(server, network)
        connect(server, other, user="second")
        server.eventually(lambda: network.streams and other.streams)

        network.say({"boom": True})

        state = server.eventually(lambda: (told := source(server)["state"]).get("errors") and told)
        assert any(one["code"] == "connector_failed" for one in state["last_errors"])
        other.act("bob")
        server.eventually(lambda: likes(server, "bob") == 1)
        server.eventually(lambda: network.streams)  # and it is begun again


def test_what_takes_an_act_back_takes_its_effect_back(server, network):
    connect(server, network)
    server.eventually(lambda: network.streams)
    network.act("ana")
    server.eventually(lambda: likes(server, "ana") == 1)

    network.act("ana", op="retract")

    server.eventually(lambda: likes(server, "ana") == 0)


def test_an_account_that_is_gone_is_erased(server, network):
    network.act("ana")
    connect(server, network)
    server.eventually(lambda: likes(server, "ana") == 1)
    network.gone = ["fakenet:ana", "fakenet:nobody"]
    network.act("bob", push=False)
    network.cut()

    server.eventually(lambda: server.profile("fakenet:ana") is None)
    server.eventually(lambda: likes(server, "bob") == 1)


def test_a_gap_is_told_and_the_past_is_read_again(server, network):
    connect(server, network)
    server.eventually(lambda: source(server)["state"].get("backfill", {}).get("finished"))
    network.act("ana", past=True)
    network.gap = "the network lost something"
    network.act("bob", push=False)
    network.cut()

    server.eventually(lambda: likes(server, "ana") == 1)
    assert source(server)["state"]["gaps"] == 1
    assert source(server)["state"]["last_gap"] == "the network lost something"


def test_a_network_that_lies_about_paging_does_not_keep_us_busy(server, network):
    network.act("ana")
    network.lies = True

    connect(server, network)
    server.eventually(lambda: likes(server, "ana") == 1)
    before = network.called("/acts")
    server.eventually(lambda: source(server)["state"].get("polls"))

    assert network.called("/acts") - before < 5


def test_an_expired_session_is_renewed_without_a_word(server, network):
    connect(server, network)
    server.eventually(lambda: network.streams)
    network.access = "another"
    network.cut()
    network.act("ana", push=False)

    server.eventually(lambda: likes(server, "ana") == 1)
    assert source(server)["state"]["state"] == "streaming"


def test_credentials_that_end_are_told_to_the_operator(server, network):
    connect(server, network)
    server.eventually(lambda: network.streams)
    network.password = network.refresh = network.access = "another"
    network.cut()

    server.eventually(lambda: source(server)["state"].get("state") == "refused", seconds=20)


def test_bad_facts_are_dropped_loudly_and_the_rest_goes_on(server, network):
    connect(server, network)
    server.eventually(lambda: network.streams)
    network.act("ana", post="x" * 300)
    network.act("bad\nname")
    network.act("bob")

    server.eventually(lambda: likes(server, "bob") == 1)
    dropped = server.eventually(lambda: source(server)["state"].get("dropped"))
    assert dropped == {"invalid_field": 1, "invalid_identifier": 1}
    assert "bad" not in server.words()


# -- who may be collected --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "consent", [{"collect": False}, {"social": False}, {"social": {"fakenet:shop": False}}]
)
def test_who_said_no_is_not_collected(server, network, consent):
    said = {"id": "no", "signal": "consent", "who": ["fakenet:ana"], "consent": consent}
    assert server.ask("POST", "/v1/events", {"events": [said]}).status_code == 200
    network.act("ana")
    network.act("bob")

    connect(server, network)

    server.eventually(lambda: likes(server, "bob") == 1)
    assert likes(server, "ana") == 0
    assert server.eventually(lambda: source(server)["state"].get("dropped"))["no_consent"] >= 1


def test_what_strangers_like_is_collected_and_in_no_answer(server, network):
    network.act("ana")
    connect(server, network)
    server.eventually(lambda: likes(server, "ana") == 1)

    assert server.profile("fakenet:ana")["interests"] == []


# -- secrets ---------------------------------------------------------------------------------------------------


def test_a_password_is_in_no_answer_no_log_and_no_file(server, network):
    network.password = "hunter2-and-more"
    told = connect(server, network, password="hunter2-and-more")
    server.eventually(lambda: network.streams)
    wrong = connect(server, network, password="hunter2-wrong")

    assert told.status_code == 200
    assert wrong.status_code == 401
    files = b"".join(one.read_bytes() for one in server.data.rglob("*") if one.is_file())
    assert b"hunter2" not in files
    assert b"refresh-1" not in files
    for text in (told.text, wrong.text, server.words(), server.ask("GET", "/v1/sources").text):
        assert "hunter2" not in text
        assert "refresh-" not in text


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"network": "nowhere"}, "unknown_network"), ({"network": 5}, "invalid_body"), ({}, "invalid_body"),
        ({"network": "fakenet", "credentials": []}, "invalid_body"), ({"network": "fakenet", "x": 1}, "invalid_body"),
        ({"network": "fakenet", "credentials": {"user": "shop"}}, "missing_credential"),
        ({"network": "fakenet", "credentials": {"pass": "x"}}, "invalid_credentials"),
        ({"network": "fakenet", "credentials": {"password": 5}}, "invalid_credentials"),
        ({"network": "fakenet", "host": "http://shop.example", "credentials": {"password": "x"}}, "invalid_credentials"),
        ({"network": "fakenet", "host": "https://a:b@shop.example", "credentials": {"password": "x"}}, "invalid_credentials"),
    ],
)  # fmt: skip
def test_what_cannot_be_connected_is_told_by_its_field(server, body, code):
    told = server.ask("POST", "/v1/sources", body)

    assert (told.status_code, told.json()["code"]) == (400, code)


# -- webhooks --------------------------------------------------------------------------------------------------


def delivered(server: Server, body: bytes, **headers: str) -> Any:
    signed = {"x-fake-signature": hmac.digest(b"fake secret", body, "sha256").hex()} | headers
    return server.ask("POST", "/webhooks/fakenet/fakenet:shop", key=None, content=body, headers=signed)


def act(actor: str, id: str = "h1") -> dict[str, Any]:
    return {"id": id, "actor": actor, "at": 1_790_000_000_000}


def body_of(*acts: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"acts": acts} | more).encode()


def inbox(server: Server) -> list[Path]:
    return list((server.data / "inbox").glob("*"))


def test_a_delivery_is_kept_once_however_often_it_comes(server, network):
    connect(server, network)
    body = body_of(act("ana"))

    assert [delivered(server, body).status_code for _ in range(3)] == [200] * 3

    server.eventually(lambda: likes(server, "ana") == 1)
    assert inbox(server) == []


def test_a_wrong_signature_is_refused_and_leaves_nothing(server, network):
    connect(server, network)

    told = delivered(server, body_of(act("ana")), **{"x-fake-signature": "00"})

    assert (told.status_code, told.json()["code"]) == (401, "wrong_signature")
    assert inbox(server) == []


def test_a_challenge_is_answered(server, network):
    connect(server, network)

    told = server.ask("GET", "/webhooks/fakenet/fakenet:shop?challenge=1", key=None)

    assert (told.status_code, told.text) == (200, "challenge")


def test_a_delivery_that_cannot_be_read_now_is_thanked_for_and_waits_sealed(server, network):
    connect(server, network)
    secret = body_of(act("ana"), boom=True)

    assert delivered(server, secret).status_code == 202

    (waiting,) = inbox(server)
    assert b"ana" not in waiting.read_bytes()
    assert "ana" not in server.words()
    errors = source(server)["state"]["last_errors"]
    assert [one["code"] for one in errors] == ["connector_failed"]


@pytest.mark.parametrize("path", ["/webhooks/fakenet/fakenet:other", "/webhooks/nowhere/x", "/webhooks/fakenet/fakenet:shop/x/y"])  # fmt: skip
def test_a_hook_of_nobody_is_not_found(server, network, path):
    connect(server, network)

    assert server.ask("GET", path, key=None).status_code == 404


def test_a_delivery_that_is_too_large_is_refused(server, network):
    connect(server, network)

    assert delivered(server, b"x" * (3 << 20)).status_code == 413
