"""A connected account, end to end: a real server, a real driver, and a fake network on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
from tests.conftest import Server, python_path
from tests.fakes.network import FakeNetwork

from plait.connectors import Fact, Page
from plait.driver.keeper import Keeper
from plait.driver.shelf import Shelf
from plait.driver.told import Told
from plait.events import About, Record, Signal, decode_record
from plait.log import open_log
from plait.serving import Serving

FAKES = Path(__file__).parent.parent / "fakes"


class Shop:
    """An account on a fake network of its own, and the server that drives it."""

    def __init__(self, server: Server, network: FakeNetwork, name: str) -> None:
        self.server, self.network, self.name = server, network, name

    def connect(self, **more: str) -> Any:
        credentials = {"host": self.network.url, "user": self.name, "password": "right"} | more
        return self.server.ask("POST", "/v1/sources", {"network": "fakenet", "credentials": credentials})

    def source(self) -> dict[str, Any]:
        return self.server.ask("GET", f"/v1/sources/fakenet:{self.name}").json()

    def state(self) -> dict[str, Any]:
        return self.source()["state"]

    def act(self, actor: str, **more: Any) -> None:
        """Somebody of this shop's own does something."""
        self.network.act(f"{actor}.{self.name}", **more)

    def profile(self, actor: str) -> dict[str, Any] | None:
        return self.server.profile(f"fakenet:{actor}.{self.name}")

    def likes(self, actor: str) -> int:
        return (self.profile(actor) or {"counts": {}})["counts"].get("like", 0)

    def streams(self) -> Shop:
        """Connected, and its stream stands."""
        self.connect()
        self.server.eventually(lambda: self.network.streams)
        return self


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    one = Server(tmp_path_factory.mktemp("sources") / "data", env={"PYTHONPATH": python_path(FAKES)})
    try:
        yield one.start()
    finally:
        one.stop()


_names = (f"shop{number}" for number in count())


@pytest.fixture
def shop(shared: Server) -> Iterator[Shop]:
    """A shop of its own on the shared server."""
    name = next(_names)
    with FakeNetwork() as network:
        yield Shop(shared, network, name)
        shared.ask("DELETE", f"/v1/sources/fakenet:{name}")


@pytest.fixture
def own_shop(own_server: Server) -> Iterator[Shop]:
    """A shop whose server may be killed."""
    own_server.env["PYTHONPATH"] = python_path(FAKES)
    with FakeNetwork() as network:
        yield Shop(own_server.start(), network, "shop")


def driver_of(server: Server) -> psutil.Process | None:
    for one in psutil.Process(server.process.pid).children():
        with contextlib.suppress(psutil.Error):  # it was killed just now
            if one.cmdline()[-1:] == ["drive"]:
                return one
    return None


def test_what_happens_on_a_connected_account_flows_into_profiles(shop):
    shop.act("ana", past=True)
    shop.act("bob")

    told = shop.connect()

    assert told.status_code == 200, told.text
    assert told.json() == {
        "source": f"fakenet:{shop.name}",
        "network": "fakenet",
        "handle": shop.name,
        "me": f"fakenet:{shop.name}",
    }
    shop.server.eventually(lambda: shop.likes("ana") == 1 and shop.likes("bob") == 1)
    shop.server.eventually(lambda: shop.network.streams)
    shop.act("cy")
    shop.server.eventually(lambda: shop.likes("cy") == 1, seconds=5)


def plait(server: Server, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PLAIT_")}
    return subprocess.run(
        [sys.executable, "-m", "plait", *words, "--data", str(server.data)],
        capture_output=True, text=True, timeout=90, env=clean | {"PYTHONPATH": python_path(FAKES)} | env,
    )  # fmt: skip


def test_plait_connect_shows_the_statement_and_reads_the_past(own_shop):
    own_shop.act("ana", past=True)

    told = plait(
        own_shop.server, "connect", "fakenet", "--host", own_shop.network.url, "--with", f"user={own_shop.name}", "--yes",
        FAKENET_PASSWORD="right",
    )  # fmt: skip

    assert told.returncode == 0, told.stderr
    assert "What it does not see" in told.stderr
    assert "the past has been read: 1 facts" in told.stderr
    listed = plait(own_shop.server, "sources")
    assert f"fakenet:{own_shop.name}" in listed.stdout
    assert plait(own_shop.server, "disconnect", f"fakenet:{own_shop.name}").returncode == 0
    assert own_shop.server.ask("GET", "/v1/sources").json() == {"sources": []}
    own_shop.server.eventually(lambda: driver_of(own_shop.server) is None)


# -- staying up ------------------------------------------------------------------------------------------------


def test_a_driver_that_was_killed_goes_on_where_it_stopped(shop):
    """kill -9 in the middle, again and again: every act counts once, and the cursor is never ahead of what counted."""
    shop.streams()
    for number in range(30):
        shop.act(f"actor{number % 3}", post=f"post-{number}")
        if number % 10 == 5:
            child = driver_of(shop.server)
            if child is not None:
                child.kill()
    shop.server.eventually(lambda: sum(shop.likes(f"actor{n}") for n in range(3)) == 30, seconds=30)

    shop.server.eventually(lambda: shop.source()["cursors"]["stream"]["cursor"] == "30")
    assert [shop.likes(f"actor{n}") for n in range(3)] == [10, 10, 10]


def test_a_server_that_was_killed_goes_on_where_it_stopped(own_shop):
    own_shop.streams()
    own_shop.act("ana")
    own_shop.server.eventually(lambda: own_shop.likes("ana") == 1)
    own_shop.server.kill()
    own_shop.act("ana", push=False, post="post-2")

    own_shop.server.start()

    own_shop.server.eventually(lambda: own_shop.likes("ana") == 2, seconds=30)


def test_a_cut_stream_is_opened_again_from_the_last_cursor(shop):
    shop.streams()
    shop.act("ana")
    shop.server.eventually(lambda: shop.likes("ana") == 1)
    shop.network.cut()
    shop.act("ana", push=False, post="post-2")

    shop.server.eventually(lambda: shop.likes("ana") == 2)


def test_a_connector_with_a_mistake_is_told_and_does_not_take_others_down(shop):
    with FakeNetwork() as other:
        shop.connect()
        second = Shop(shop.server, other, f"{shop.name}b")
        second.connect()
        shop.server.eventually(lambda: shop.network.streams and other.streams)

        shop.network.say({"boom": True})

        state = shop.server.eventually(lambda: (told := shop.state()).get("errors") and told)
        assert any(one["code"] == "connector_failed" for one in state["last_errors"])
        second.act("bob")
        shop.server.eventually(lambda: second.likes("bob") == 1)
        shop.server.eventually(lambda: shop.network.streams)  # and it is begun again


def test_what_takes_an_act_back_takes_its_effect_back(shop):
    shop.streams()
    shop.act("ana")
    shop.server.eventually(lambda: shop.likes("ana") == 1)

    shop.act("ana", op="retract", record="a1")

    shop.server.eventually(lambda: shop.likes("ana") == 0)


def test_an_account_that_is_gone_is_erased(shop):
    shop.act("ana")
    shop.connect()
    shop.server.eventually(lambda: shop.likes("ana") == 1)
    shop.network.gone = [f"fakenet:ana.{shop.name}", "fakenet:nobody"]
    shop.act("bob", push=False)
    shop.network.cut()

    shop.server.eventually(lambda: shop.profile("ana") is None)
    shop.server.eventually(lambda: shop.likes("bob") == 1)


def test_a_gap_is_told_and_the_past_is_read_again(shop):
    shop.connect()
    shop.server.eventually(lambda: shop.state().get("backfill", {}).get("finished"))
    shop.act("ana", past=True)
    shop.network.gap = "the network lost something"
    shop.act("bob", push=False)
    shop.network.cut()

    shop.server.eventually(lambda: shop.likes("ana") == 1)
    shop.server.eventually(lambda: shop.state()["gaps"] == 1)
    assert shop.state()["last_gap"] == "the network lost something"


def test_a_network_that_lies_about_paging_does_not_keep_us_busy(shop):
    shop.act("ana")
    shop.network.lies = True

    shop.connect()
    shop.server.eventually(lambda: shop.likes("ana") == 1)
    before = shop.network.called("/acts")
    shop.server.eventually(lambda: shop.state().get("polls"))

    assert shop.network.called("/acts") - before < 5


def test_an_expired_session_is_renewed_without_a_word(shop):
    shop.streams()
    shop.network.access = "another"
    shop.network.cut()
    shop.act("ana", push=False)

    shop.server.eventually(lambda: shop.likes("ana") == 1)
    shop.server.eventually(lambda: shop.state()["state"] == "streaming")


def test_credentials_that_end_are_told_to_the_operator(shop):
    shop.streams()
    shop.network.password = shop.network.refresh = shop.network.access = "another"
    shop.network.cut()

    shop.server.eventually(lambda: shop.state().get("state") == "refused", seconds=20)


def test_bad_facts_are_dropped_loudly_and_the_rest_goes_on(shop):
    shop.streams()
    shop.act("ana", post="x" * 300)
    shop.act("na\nsty")
    shop.act("bob")

    shop.server.eventually(lambda: shop.likes("bob") == 1)
    dropped = shop.server.eventually(lambda: shop.state().get("dropped"))
    assert dropped == {"invalid_field": 1, "invalid_identifier": 1}
    assert "sty" not in shop.server.words()


# -- who may be collected --------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [{"collect": False}, {"social": False}, {"social": {"SOURCE": False}}])
def test_who_said_no_is_not_collected(shop, answer):
    consent = json.loads(json.dumps(answer).replace("SOURCE", f"fakenet:{shop.name}"))
    said = {
        "id": f"no-{shop.name}",
        "signal": "consent",
        "who": [f"fakenet:ana.{shop.name}"],
        "consent": consent,
    }
    assert shop.server.ask("POST", "/v1/events", {"events": [said]}).status_code == 200
    shop.act("ana")
    shop.act("bob")

    shop.connect()

    shop.server.eventually(lambda: shop.likes("bob") == 1)
    assert shop.likes("ana") == 0
    assert shop.server.eventually(lambda: shop.state().get("dropped"))["no_consent"] >= 1


def test_what_strangers_like_is_collected_and_in_no_answer(shop):
    shop.act("ana")
    shop.connect()
    shop.server.eventually(lambda: shop.likes("ana") == 1)

    assert shop.profile("ana")["interests"] == []


# -- secrets ---------------------------------------------------------------------------------------------------


def test_a_password_is_in_no_answer_no_log_and_no_file(shop):
    shop.network.password = "hunter2-and-more"
    told = shop.connect(password="hunter2-and-more")
    shop.server.eventually(lambda: shop.network.streams)
    wrong = shop.connect(password="hunter2-wrong")

    assert told.status_code == 200
    assert wrong.status_code == 401
    files = b"".join(one.read_bytes() for one in shop.server.data.rglob("*") if one.is_file())
    assert b"hunter2" not in files
    assert b"refresh-1" not in files
    for text in (told.text, wrong.text, shop.server.words(), shop.server.ask("GET", "/v1/sources").text):
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
def test_what_cannot_be_connected_is_told_by_its_field(shop, body, code):
    told = shop.server.ask("POST", "/v1/sources", body)

    assert (told.status_code, told.json()["code"]) == (400, code)


# -- webhooks --------------------------------------------------------------------------------------------------


def delivered(shop: Shop, body: bytes, **headers: str) -> Any:
    signed = {"x-fake-signature": hmac.digest(b"fake secret", body, "sha256").hex()} | headers
    return shop.server.ask(
        "POST", f"/webhooks/fakenet/fakenet:{shop.name}", key=None, content=body, headers=signed
    )


def act(shop: Shop, actor: str) -> dict[str, Any]:
    return {"id": "h1", "actor": f"{actor}.{shop.name}", "at": 1_790_000_000_000}


def body_of(*acts: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"acts": acts} | more).encode()


def inbox(shop: Shop) -> list[Path]:
    return list((shop.server.data / "inbox").glob("*"))


def test_a_delivery_is_kept_once_however_often_it_comes(shop):
    shop.connect()
    body = body_of(act(shop, "ana"))

    assert [delivered(shop, body).status_code for _ in range(3)] == [200] * 3

    shop.server.eventually(lambda: shop.likes("ana") == 1)
    shop.server.eventually(lambda: inbox(shop) == [])


def test_a_delivery_that_was_thanked_for_outlives_kill_9(own_shop):
    own_shop.connect()
    own_shop.server.eventually(lambda: driver_of(own_shop.server))
    driver = driver_of(own_shop.server)

    assert delivered(own_shop, body_of(act(own_shop, "ana"))).status_code == 200
    driver.kill()
    own_shop.server.kill()
    own_shop.server.start()

    own_shop.server.eventually(lambda: own_shop.likes("ana") == 1)
    own_shop.server.eventually(lambda: inbox(own_shop) == [])


def test_a_wrong_signature_is_refused_and_leaves_nothing(shop):
    shop.connect()

    told = delivered(shop, body_of(act(shop, "ana")), **{"x-fake-signature": "00"})

    assert (told.status_code, told.json()["code"]) == (401, "wrong_signature")
    assert inbox(shop) == []


def test_a_challenge_is_answered(shop):
    shop.connect()

    told = shop.server.ask("GET", f"/webhooks/fakenet/fakenet:{shop.name}?challenge=1", key=None)

    assert (told.status_code, told.text) == (200, "challenge")


def test_a_delivery_that_cannot_be_read_now_is_thanked_for_and_waits_sealed(shop):
    shop.connect()
    secret = body_of(act(shop, "ana"), boom=True)

    assert delivered(shop, secret).status_code == 202

    (waiting,) = inbox(shop)
    assert b"ana" not in waiting.read_bytes()
    assert "ana" not in shop.server.words()
    errors = shop.state()["last_errors"]
    assert {one["code"] for one in errors} == {"connector_failed"}


@pytest.mark.parametrize("path", ["/webhooks/fakenet/fakenet:other", "/webhooks/nowhere/x", "/webhooks/fakenet/fakenet:x/x/y"])  # fmt: skip
def test_a_hook_of_nobody_is_not_found(shop, path):
    shop.connect()

    assert shop.server.ask("GET", path, key=None).status_code == 404


def test_a_delivery_that_is_too_large_is_refused(shop):
    shop.connect()

    assert delivered(shop, b"x" * (3 << 20)).status_code == 413


# -- pages -----------------------------------------------------------------------------------------------------


def kept(server: Server, page: Page, source: str, state: Told, *, lane: Any = "poll") -> None:
    async def work() -> None:
        told = Serving(pid=0, url=server.url, key=server.secret)
        shelf = Shelf(told, str(server.data))
        keeper = Keeper(told, source, state, shelf)
        try:
            await keeper.keep(page, lane)
        finally:
            await keeper.close()
            await shelf.close()

    asyncio.run(work())


def records(server: Server, *, after: int) -> list[Record]:
    log = open_log(f"lmdb://{server.data}/log")
    try:
        return [decode_record(raw) for _, raw in log.read(after)]
    finally:
        log.close()


def test_a_page_larger_than_a_request_is_kept_in_pieces_with_the_cursor_in_the_last(shared):
    facts = [
        Fact(id=f"big{n}", signal=Signal.LIKE, at=1_790_000_000_000 + n, actor="fakenet:big", about=About(post=f"p{n}"))
        for n in range(2_600)
    ]  # fmt: skip
    state = Told(source="fakenet:big", network="fakenet")
    before = shared.ask("GET", "/v1/status").json()["log"]["position"]

    kept(shared, Page(facts=facts, cursor="the end"), "fakenet:big", state)

    told = shared.ask("GET", "/v1/sources/fakenet:big?settled=1").json()
    assert told["cursors"]["poll"]["cursor"] == "the end"
    assert shared.profile("fakenet:big")["counts"] == {"like": 2_600}
    pages = [
        msgspec.json.decode(one.body) for one in records(shared, after=before) if one.source == "fakenet:big"
    ]
    assert [(len(one["events"]), one.get("cursor")) for one in pages] == [
        (1000, None),
        (1000, None),
        (600, "the end"),
    ]
    assert (state.facts, state.dropped) == (2_600, {})


@pytest.mark.parametrize("hours_ago", [0, 30])
def test_a_flood_of_one_actor_does_not_drown_the_others(shared, hours_ago):
    """Whatever the flood says of when it happened."""
    at, calm = int(time.time() * 1000) - hours_ago * 3_600_000, f"fakenet:calm{hours_ago}"
    facts = [
        Fact(id=f"f{hours_ago}-{n}", signal=Signal.LIKE, at=at, actor=f"fakenet:flood{hours_ago}" if n % 100 else calm,
             about=About(post=f"p{n}"))
        for n in range(11_000)
    ]  # fmt: skip
    state = Told(source="fakenet:floods", network="fakenet")

    kept(shared, Page(facts=facts, cursor="1"), "fakenet:floods", state)

    assert state.dropped == {"flood": 890}
    shared.eventually(lambda: (shared.profile(calm) or {"counts": {}})["counts"].get("like") == 110)


def test_years_that_a_backfill_tells_at_once_are_no_flood(shared):
    at = int(time.time() * 1000) - 86_400_000
    facts = [
        Fact(id=f"y{n}", signal=Signal.LIKE, at=at, actor="fakenet:fan", about=About(post=f"p{n}"))
        for n in range(10_001)
    ]
    state = Told(source="fakenet:years", network="fakenet")

    kept(shared, Page(facts=facts, cursor="1"), "fakenet:years", state, lane="backfill")

    assert state.dropped == {}


def test_what_a_connector_could_not_read_is_counted_by_its_reason(shared):
    state = Told(source="fakenet:odd", network="fakenet")

    for _ in range(2):
        kept(shared, Page(dropped={"invalid_record": 3, "car": 1}), "fakenet:odd", state)

    assert state.dropped == {"invalid_record": 6, "car": 2}


def test_a_post_is_in_the_catalog_before_what_people_do_with_it(shop):
    shop.streams()

    item = shop.server.eventually(
        lambda: (told := shop.server.ask("GET", "/v1/items/post-1")).status_code == 200 and told.json()
    )

    assert item["kind"] == "post"


def test_what_somebody_wrote_is_read_and_let_go(own_shop):
    tent = {"id": "tarn-2", "title": "Tarn 2 Trekking Tent", "topics": ["tents"]}
    own_shop.server.ask("POST", "/v1/items", {"items": [tent]})
    own_shop.act("ada", signal="reply", text="The Tarn 2 is wonderful, says Quetzalcoatl!", past=True)
    own_shop.act(
        "bob", signal="reply", text="My Tarn 2 leaked like Quetzalcoatl, I want a refund.", past=True
    )

    own_shop.connect()
    own_shop.server.eventually(lambda: own_shop.profile("ada") and own_shop.profile("bob"))

    def cares(actor: str) -> bool:
        return "tarn-2" in [one.get("item") for one in own_shop.profile(actor)["interests"]]

    own_shop.server.ask("POST", "/v1/events", {"events": [
        {"id": f"yes {one}", "signal": "consent", "who": [f"fakenet:{one}.shop"], "consent": {"social": True}}
        for one in ("ada", "bob")
    ]})  # fmt: skip
    own_shop.server.eventually(lambda: cares("ada"))
    assert not cares("bob")
    own_shop.server.stop()
    files = [one for one in own_shop.server.data.rglob("*") if one.is_file()]
    assert not [one for one in files if b"Quetzalcoatl" in one.read_bytes()]
    records = [raw for _, raw in open_log(f"lmdb://{own_shop.server.data / 'log'}").read(0)]
    assert not [one for one in records if b"Quetzalcoatl" in decode_record(one).body]


@pytest.mark.parametrize("key", [None, "wk_of_the_test"])
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/sources"), ("POST", "/v1/sources"), ("GET", "/v1/sources/x:y"), ("DELETE", "/v1/sources/x:y"), ("POST", "/v1/sources/x:y/pages")],
)  # fmt: skip
def test_only_the_secret_key_reaches_sources(shared, key, method, path):
    assert shared.ask(method, path, {} if method == "POST" else None, key=key).status_code in (401, 403)


# -- what an operator sees -------------------------------------------------------------------------------------


def test_the_figures_of_a_source_are_there_for_prometheus(shop):
    shop.streams()
    shop.act("ana")
    shop.server.eventually(lambda: shop.state()["facts"])

    told = shop.server.ask("GET", "/metrics").text

    labelled = f'{{source="fakenet:{shop.name}"}}'
    assert f"plait_source_up{labelled} 1.0" in told
    assert re.search(
        f"plait_source_facts_total{re.escape(labelled)} [12].0", told
    )  # by the stream, and by a look
    assert f'plait_source_calls_left{{budget="dear",source="fakenet:{shop.name}"}} 3.0' in told


def test_what_an_account_publishes_is_read_by_everybody(shared):
    body = {"network": "activitypub", "host": "https://social.shop.example", "credentials": {"name": "shop"}}
    assert shared.ask("POST", "/v1/sources", body).status_code == 200

    found = shared.ask("GET", "/.well-known/webfinger?resource=acct:shop@social.shop.example", key=None)
    actor = found.json()["links"][0]["href"].removeprefix("https://social.shop.example")

    assert found.headers["content-type"] == "application/jrd+json"
    assert shared.ask("GET", actor, key=None).json()["preferredUsername"] == "shop"
    assert shared.ask("GET", "/.well-known/webfinger?resource=acct:x@y", key=None).status_code == 404
    assert b"PRIVATE KEY" not in b"".join(one.read_bytes() for one in shared.data.rglob("*.json"))
    assert shared.ask("DELETE", "/v1/sources/activitypub:shop@social.shop.example").status_code == 200


def test_nobody_is_driven_when_nobody_is_connected(own_server):
    own_server.start()

    assert driver_of(own_server) is None
    assert not (own_server.data / "sources.key").exists()
