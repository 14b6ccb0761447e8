"""The routes that take events: who may send, in which forms, and what is answered."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from dataclasses import fields
from typing import Any

import httpx
import pytest

from plait.errors import Unavailable
from plait.events import Record, Signal, decode_record
from plait.http import Installation, Metrics
from plait.http.collect import ROUTES, Collect
from plait.intake.records import events_of
from plait.intake.signals import load_signals
from plait.keys import Keys
from plait.log import open_log
from plait.log.commit import Committer
from plait.profiles.consent import ConsentDoor
from plait.settings import Settings

NOW = 1_800_000_000_000
WRITE, SECRET = "wk_for_tests_only", "sk_for_tests_only"
TRACK = {"type": "track", "event": "Product Viewed", "messageId": "m1", "userId": "u1",
         "properties": {"product_id": "tent-2"}}  # fmt: skip
BROWSER = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"
)


class Desk:
    """Collect over a real log on disk, asked as by HTTP.

    ``at_once``: requests are offered to the short road first, as the server's protocol does; both come to the same.
    """

    def __init__(self, folder: Any, *, at_once: bool = False, **settings: Any) -> None:
        self.at_once = at_once
        self.short = 0  # requests that took the short road
        self.settings = Settings(data=str(folder), **settings)
        self.log = open_log(f"lmdb://{folder}/log", write=True)
        self.committer = Committer(self.log)
        unused: Any = dict.fromkeys(
            one.name for one in fields(Installation) if one.default is one.default_factory
        )
        self.here = Installation(
            **unused  # collect works with these alone
            | {
                "settings": self.settings,
                "keys": Keys(write=WRITE, secret=SECRET, pepper="pepper"),
                "log": self.log,
                "committer": self.committer,
                "door": ConsentDoor(self.settings, "pepper"),
                "signals": load_signals(),
                "metrics": Metrics(),
                "clock": lambda: NOW,
            }
        )
        self.app = Collect(self.here)

    async def ask(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        more.setdefault("headers", {"authorization": f"Bearer {WRITE}"})
        if body is not None:
            more["content"] = body if isinstance(body, bytes) else json.dumps(body).encode()
        transport = httpx.ASGITransport(app=self.app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            if self.at_once and method == "POST":
                found = await self.ask_at_once(client.build_request(method, path, **more))
                if found is not None:
                    return found
            return await client.request(method, path, **more)

    async def ask_at_once(self, request: httpx.Request) -> httpx.Response | None:
        scope = {
            "type": "http", "method": request.method, "path": request.url.path, "query_string": request.url.query,
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
        }  # fmt: skip
        answered: asyncio.Future[httpx.Response] = asyncio.get_running_loop().create_future()

        def answer(status: int, body: bytes, headers: Any) -> None:
            answered.set_result(httpx.Response(status, content=body, headers=list(headers)))

        if not self.app.at_once(scope, request.content, answer):
            return None
        self.short += 1
        return await answered

    def post(self, path: str, body: Any, *, key: str | None = WRITE, **more: Any) -> httpx.Response:
        headers = more.pop("headers", {} if key is None else {"authorization": f"Bearer {key}"})
        return asyncio.run(self.ask("POST", path, body, headers=headers, **more))

    def records(self) -> list[Record]:
        return [decode_record(raw) for _, raw in self.log.scan()]

    def events(self) -> list[Any]:
        return [event for record in self.records() for event in events_of(record, self.here.signals)]

    def close(self) -> None:
        asyncio.run(self.committer.close())
        self.log.close()


@pytest.fixture(params=["long", "short"])
def desk(tmp_path, request):
    one = Desk(tmp_path, at_once=request.param == "short")
    yield one
    one.close()


def basic(key: str) -> str:
    return "Basic " + base64.b64encode(f"{key}:".encode()).decode()


@pytest.mark.parametrize(
    ("path", "headers", "body"),
    [
        ("/v1/track", {"authorization": f"Bearer {WRITE}"}, TRACK),
        ("/v1/track", {"authorization": basic(WRITE)}, TRACK),
        ("/v1/track", {"x-write-key": WRITE}, TRACK),
        ("/v1/track", {"x-write-key": f"{WRITE}:secret1"}, TRACK),
        (f"/v1/track?writeKey={WRITE}", {}, TRACK),
        ("/v1/track", {}, TRACK | {"writeKey": WRITE}),
        ("/v1/track", {}, TRACK | {"writeKey": f"{WRITE}:***"}),
        ("/v1/batch", {}, {"batch": [TRACK], "writeKey": WRITE}),
        ("/v1/batch", {}, {"batch": [TRACK | {"writeKey": WRITE}]}),
    ],
)
def test_a_key_is_found_wherever_clients_put_it(desk, path, headers, body):
    answer = desk.post(path, body, headers=headers)

    assert (answer.status_code, [event.about.item for event in desk.events()]) == (200, ["tent-2"])


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "missing_key"),
        ({"authorization": "Bearer wrong"}, "unknown_key"),
        ({"authorization": "Basic !!!"}, "unknown_key"),
        ({"x-write-key": "wrong"}, "unknown_key"),
    ],
)
def test_without_a_right_key_nothing_is_taken(desk, headers, code):
    answer = desk.post("/v1/track", TRACK, headers=headers)

    assert (answer.status_code, answer.json()["code"], desk.records()) == (401, code, [])


def test_no_key_rests_in_the_log(desk):
    single = json.dumps(TRACK)[:-1] + f', "writeKey": "{WRITE}"}}'
    desk.post("/v1/track", single.encode(), key=None)
    desk.post("/v1/batch", {"writeKey": WRITE, "batch": [TRACK, TRACK]}, key=None)
    desk.post("/v1/batch", {"batch": [TRACK | {"writeKey": WRITE}] * 3}, key=None)
    desk.post("/v1/track", TRACK | {"properties": {"k": {"write_key": WRITE}}}, key=WRITE)

    assert [WRITE.encode() in record.body for record in desk.records()] == [False] * 4
    assert len(desk.events()) == 7


@pytest.mark.parametrize("path", [path for path, kind in ROUTES.items() if kind not in ("import", "events")])
def test_every_route_of_the_protocol_takes_calls(desk, path):
    call = {"userId": "u1", "messageId": "m1", "event": "x", "previousId": "a", "groupId": "g", "name": "n"}
    body = {"batch": [call | {"type": "page"}]} if path.endswith(("batch", "/b")) else call

    answer = desk.post(path, body)

    assert (answer.status_code, answer.json(), len(desk.events())) == (
        200,
        {"success": True, "accepted": 1},
        1,
    )


def test_bodies_are_known_by_their_first_bytes_whatever_the_headers_say(desk):
    headers = {"authorization": basic(WRITE), "content-type": "application/x-www-form-urlencoded"}
    desk.post("/v1/batch", gzip.compress(json.dumps({"batch": [TRACK]}).encode()), headers=headers)
    desk.post("/v1/batch", {"batch": [TRACK]}, headers=headers | {"content-encoding": "gzip"})

    assert len(desk.events()) == 2


def test_a_gzip_bomb_is_refused_unexploded(desk):
    answer = desk.post("/v1/batch", gzip.compress(b" " * 50_000_000))

    assert (answer.status_code, answer.json()["code"]) == (413, "inflated_too_large")


@pytest.mark.parametrize(
    "body",
    [gzip.compress(b'{"batch":[]}', mtime=0)[:-3], b"\x1f\x8bnot", gzip.compress(b"{}", mtime=0) + b"x"],
)
def test_broken_gzip_is_refused(desk, body):
    answer = desk.post("/v1/batch", body)

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_gzip")


def test_a_body_over_the_limit_is_refused(desk):
    answer = desk.post("/v1/batch", b'{"batch":[' + b" " * 520_000 + b"]}")

    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def test_one_wrong_call_costs_no_other(desk):
    wrong = TRACK | {"userId": ["u1"], "messageId": "m2"}
    answer = desk.post("/v1/batch", {"batch": [TRACK, wrong, TRACK | {"messageId": "m3"}]})

    told = answer.json()
    assert (answer.status_code, told["success"], told["accepted"]) == (200, True, 2)
    assert [(one["index"], one["code"], one["field"]) for one in told["refused"]] == [
        (1, "invalid_field", "batch[1].userId")
    ]
    assert [event.id for event in desk.events()] == ["m1", "m3"]


def test_when_nothing_is_accepted_the_answer_is_an_error(desk):
    answer = desk.post("/v1/batch", {"batch": [{"type": "track"}, 5]})

    told = answer.json()
    assert (answer.status_code, told["success"], told["accepted"], len(told["refused"])) == (400, False, 0, 2)
    assert {"code", "message", "field"} <= told.keys()


def test_verdicts_tell_about_every_event(desk):
    wrong = TRACK | {"messageId": "m2", "event": ""}
    told = desk.post("/v1/batch?verdicts=1", {"batch": [TRACK, wrong]}).json()

    assert [(one["messageId"], one["accepted"], one.get("code")) for one in told["verdicts"]] == [
        ("m1", True, None),
        ("m2", False, "invalid_field"),
    ]


def test_verdicts_come_for_a_single_call_in_order(desk):
    told = desk.post("/v1/track?verdicts=1", TRACK).json()

    assert told["verdicts"] == [{"index": 0, "messageId": "m1", "accepted": True}]


def test_an_empty_batch_is_fine_and_leaves_nothing(desk):
    answer = desk.post("/v1/batch", {"batch": []})

    assert (answer.status_code, answer.json()["accepted"], desk.records()) == (200, 0, [])


def test_import_is_for_the_secret_key(desk):
    refused, taken = (desk.post("/v1/import", {"batch": [TRACK]}, key=key) for key in (WRITE, SECRET))

    assert (refused.status_code, refused.json()["code"], taken.status_code) == (403, "forbidden", 200)


def test_what_comes_with_the_secret_key_is_proven(desk):
    for key in (WRITE, SECRET):
        desk.post("/v1/identify", {"userId": "u1", "anonymousId": "a1"}, key=key)

    assert [event.proven for event in desk.events()] == [False, True]


@pytest.mark.parametrize("event", ["Post Liked", "Account Followed", "Message Received"])
def test_the_write_key_sends_no_social_signals(desk, event):
    refused, taken = (desk.post("/v1/track", TRACK | {"event": event}, key=key) for key in (WRITE, SECRET))

    assert (refused.status_code, refused.json()["code"], taken.status_code) == (403, "forbidden", 200)


@pytest.mark.parametrize(
    "event",
    [
        *({"signal": name} for name in ("like", "follow", "message", "link", "unlink", "erase", "decided")),
        {"signal": "save", "op": "retract"},
        {"signal": "view", "op": "snapshot"},
        {"signal": "view", "op": "erase"},
        {"signal": "view", "source": "bluesky:shop.example"},
        {"signal": "share", "record": "at://1"},
        {"signal": "share", "about": {"account": "bluesky:did:plc:x"}},
        {"signal": "consent", "consent": {"collect": True}},
    ],
)
def test_the_write_key_says_only_what_is_public(desk, event):
    answer = desk.post("/v1/events", [{"who": ["user:u1", "user:u2"]} | event])

    assert (answer.status_code, answer.json()["code"], desk.records()) == (403, "forbidden", [])


LIKE = {"id": "1", "signal": "like", "who": ["bluesky:x"], "about": {"post": "77"}}
COUNT = {"id": "1", "signal": "like", "op": "snapshot", "about": {"post": "77"}, "value": 12}


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (LIKE | {"signal": "view", "record": "at://1"}, "record"),
        (LIKE | {"op": "erase"}, "record"),
        (LIKE | {"record": 7}, "record"),
        (LIKE | {"about": {"account": "nobody"}}, "about.account"),
        (LIKE | {"who": []}, "who"),
        (COUNT | {"who": ["bluesky:x"]}, "who"),
        (COUNT | {"value": None}, "value"),
        (COUNT | {"value": -1}, "value"),
        (COUNT | {"about": {}}, "about"),
        (COUNT | {"about": {"post": "77", "account": "bluesky:x"}}, "about"),
        (COUNT | {"traits": {"size": 1}}, "traits"),
    ],
)
def test_what_networks_tell_has_to_make_sense(desk, event, field):
    answer = desk.post("/v1/events", {"events": [event]}, key=SECRET)

    assert answer.status_code == 400
    assert answer.json()["refused"][0]["field"] == f"events[0].{field}"


@pytest.mark.parametrize(
    "event", [LIKE | {"record": "at://1"}, LIKE | {"record": "at://1", "op": "erase", "about": {}}, COUNT]
)
def test_what_networks_tell_is_taken_with_the_secret_key(desk, event):
    assert desk.post("/v1/events", [event], key=SECRET).status_code == 200


def test_the_write_key_gives_consent_for_its_own_anonymous_id(desk):
    answer = desk.post(
        "/v1/events", [{"signal": "consent", "who": ["anonymous:a1"], "consent": {"link": True}}]
    )

    assert answer.status_code == 200


def test_a_withdrawal_holds_from_the_next_request_on(desk):
    desk.post("/v1/identify", {"userId": "u1", "consent": {"collect": False}})
    answer = desk.post("/v1/track", TRACK)

    assert (answer.status_code, answer.json()["accepted"]) == (200, 0)
    assert answer.json()["refused"][0]["code"] == "no_consent"
    assert [event.signal for event in desk.events()] == [Signal.CONSENT]


def test_a_withdrawal_leaves_nothing_but_itself(desk):
    desk.post("/v1/track", TRACK | {"consent": {"collect": False}})

    assert b"tent-2" not in desk.records()[0].body


def test_collecting_goes_on_once_it_is_allowed_again(desk):
    desk.post("/v1/track", {"type": "track", "event": "x", "anonymousId": "a", "consent": {"collect": False}})
    desk.here.clock = lambda: NOW + 10
    desk.post("/v1/track", {"type": "track", "event": "y", "anonymousId": "a", "consent": {"collect": True}})
    desk.post("/v1/track", {"type": "track", "event": "z", "anonymousId": "a"})

    assert [event.name for event in desk.events()] == [None, "y", "z"]


def test_a_late_retry_does_not_bring_an_erased_person_back(desk):
    desk.here.door.forget(["user:u1"], NOW)
    for user in ("u1", "u2"):
        desk.post("/v1/track", TRACK | {"userId": user})

    assert [event.who for event in desk.events()] == [("user:u2",)]


def test_while_the_fold_lags_senders_are_told_when_to_return(desk):
    desk.here.lag.events = desk.settings.lag_limit_events + 1
    answer = desk.post("/v1/track", TRACK)

    assert (answer.status_code, answer.json()["code"]) == (429, "lagging")
    assert int(answer.headers["retry-after"]) >= 1


def test_what_cannot_be_written_is_not_acknowledged(desk, monkeypatch):
    def full(_records: list[bytes], *, pressing: bool = False) -> int:
        raise Unavailable("the disk is full", code="disk_full")

    monkeypatch.setattr(desk.log, "append", full)
    answer = desk.post("/v1/track", TRACK)

    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (
        503,
        "disk_full",
        "1",
    )


def test_what_breaks_at_the_disk_is_a_failure_of_ours(tmp_path, monkeypatch):
    desk = Desk(tmp_path, at_once=True)

    def broken(_records: list[bytes], *, pressing: bool = False) -> int:
        raise RuntimeError("no idea")

    monkeypatch.setattr(desk.log, "append", broken)
    answer = desk.post("/v1/track", TRACK)
    desk.close()

    assert (answer.status_code, answer.json()["code"], desk.short) == (500, "internal", 1)


@pytest.mark.parametrize(
    ("body", "short"),
    [
        (TRACK, 1),
        (TRACK | {"context": {"consent": {"categoryPreferences": {"a": True}}}}, 0),
        ({"type": "track"}, 0),
    ],
    ids=["in order", "with a consent", "wrong"],
)
def test_only_what_is_in_order_takes_the_short_road(tmp_path, body, short):
    desk = Desk(tmp_path, at_once=True)
    desk.post("/v1/track", body)
    desk.close()

    assert desk.short == short


def test_browsers_of_any_origin_may_send(desk):
    headers = {
        "origin": "https://shop.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,anonymousid,content-type,sentat",
    }
    asked = asyncio.run(desk.ask("OPTIONS", "/v1/identify", headers=headers))
    taken = desk.post(
        "/v1/track", TRACK, headers={"authorization": basic(WRITE), "origin": "https://shop.example"}
    )

    assert asked.status_code == 204
    assert asked.headers["access-control-allow-headers"] == "authorization,anonymousid,content-type,sentat"
    assert [one.headers["access-control-allow-origin"] for one in (asked, taken)] == ["*", "*"]


def test_errors_can_be_read_by_browsers_too(desk):
    assert (
        desk.post("/v1/track", b"{", headers={"origin": "https://a"}).headers["access-control-allow-origin"]
        == "*"
    )


def test_only_named_origins_are_let_in_once_some_are_named(tmp_path):
    desk = Desk(tmp_path, allowed_origins=("https://shop.example",))
    told = [
        desk.post("/v1/track", TRACK, headers={"authorization": basic(WRITE), "origin": origin}).headers
        for origin in ("https://shop.example", "https://else.example")
    ]
    desk.close()

    assert [one.get("access-control-allow-origin") for one in told] == ["https://shop.example", None]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_other_methods_are_answered_with_json(desk, method):
    answer = asyncio.run(desk.ask(method, "/v1/track"))

    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")


def test_the_settings_that_analytics_next_asks_for_name_the_key(desk):
    answer = asyncio.run(desk.ask("GET", f"/v1/projects/{WRITE}/settings", headers={}))

    assert answer.json()["integrations"]["Segment.io"]["apiKey"] == WRITE


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("plait.shop.example", "plait.shop.example/v1"),
        ("plait.shop.example:8443", "plait.shop.example:8443/v1"),
        ("127.0.0.1:8080", None),  # a proxy's word for us, not one that an app can reach
        ("localhost", None),
        ("plait", None),
        ("shop.example/evil?", None),
    ],
)
def test_an_app_is_told_to_send_to_the_name_it_asked(desk, host, told):
    answer = asyncio.run(desk.ask("GET", f"/v1/projects/{WRITE}/settings", headers={"host": host}))

    assert answer.json()["integrations"]["Segment.io"].get("apiHost") == told


def test_the_source_config_that_rudderstack_asks_for_is_enabled(desk):
    answer = asyncio.run(desk.ask("GET", f"/sourceConfig/?p=npm&v=3&writeKey={WRITE}", headers={}))

    assert answer.json()["source"]["enabled"] is True


@pytest.mark.parametrize("path", [f"/v1/projects/{SECRET}/settings", f"/sourceConfig/?writeKey={SECRET}"])
def test_no_page_is_set_up_with_the_secret_key(desk, path):
    assert asyncio.run(desk.ask("GET", path, headers={})).status_code == 404


def test_the_request_tells_what_the_person_holds_in_their_hands(desk):
    desk.post("/v1/track", TRACK, headers={"authorization": basic(WRITE), "user-agent": BROWSER,
                                           "sec-ch-ua-mobile": "?1", "sec-ch-ua-platform": '"Android"'})  # fmt: skip

    context = desk.events()[0].context
    assert (context["device"], context["os"], context["browser"]) == ("mobile", "Android", "Chrome")


class Slow:
    """A sender that stops in the middle of its body."""

    def __init__(self, *chunks: bytes, then: dict[str, Any] | None = None) -> None:
        self.chunks = list(chunks)
        self.then = then
        self.answers: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        if self.chunks:
            return {"type": "http.request", "body": self.chunks.pop(0), "more_body": True}
        if self.then is not None:
            return self.then
        await asyncio.sleep(3600)
        raise AssertionError

    async def send(self, message: dict[str, Any]) -> None:
        self.answers.append(message)

    def scope(self) -> dict[str, Any]:
        headers = [(b"authorization", f"Bearer {WRITE}".encode())]
        return {
            "type": "http",
            "method": "POST",
            "path": "/v1/track",
            "query_string": b"",
            "headers": headers,
        }


def test_a_slow_sender_is_let_go(desk, monkeypatch):
    monkeypatch.setattr("plait.http.collect.SLOWEST", 0.05)
    sender = Slow(b'{"userId"')
    asyncio.run(desk.app(sender.scope(), sender.receive, sender.send))

    assert sender.answers[0]["status"] == 408
    assert (b"connection", b"close") in sender.answers[0]["headers"]


def test_a_client_that_hangs_up_before_its_body_is_whole_leaves_nothing(desk):
    sender = Slow(json.dumps(TRACK).encode()[:40], then={"type": "http.disconnect"})
    asyncio.run(desk.app(sender.scope(), sender.receive, sender.send))

    assert (sender.answers, desk.records()) == ([], [])


def test_a_client_that_hangs_up_in_the_middle_of_a_commit_costs_no_event(desk):
    async def hang_up() -> None:
        whole = {"type": "http.request", "body": json.dumps(TRACK).encode()}
        senders = [Slow(then=whole) for _ in range(20)]
        tasks = [asyncio.create_task(desk.app(one.scope(), one.receive, one.send)) for one in senders]
        await asyncio.sleep(0)  # all have handed over what they brought
        for task in tasks[::2]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(hang_up())

    assert len(desk.events()) == 20
