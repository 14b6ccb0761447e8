"""The limits that are promised, to the byte, over the wire: what just fits is taken, what is one too much is told so."""

from __future__ import annotations

import base64
import gzip
import json
import os
from pathlib import Path

import pytest

WIRE = Path(os.environ.get("PLAIT_WIRE", Path(__file__).parents[3] / "shared" / "wire"))


def call(person: str, number: int, *, bytes_: int = 0) -> str:
    """A call as JSON, of exactly so many bytes where that is asked for."""
    told = {
        "type": "track", "event": "Product Viewed", "userId": person, "messageId": f"{person}-{number}",
        "properties": {"product_id": "tent", "pad": ""},
    }  # fmt: skip
    bare = json.dumps(told, separators=(",", ":"))
    return bare.replace('"pad":""', f'"pad":"{"x" * (bytes_ - len(bare))}"') if bytes_ else bare


def views(server, person: str) -> int:
    return (server.profile(f"user:{person}") or {"counts": {}})["counts"].get("view", 0)


def post(server, path: str, body: str | bytes):
    return server.ask("POST", path, content=body, key=server.write)


def test_an_event_may_have_32_kilobytes(server):
    fits, over = call("ed", 1, bytes_=32_768), call("ed", 2, bytes_=32_769)

    assert post(server, "/v1/track", fits).status_code == 200
    assert post(server, "/v1/batch", f'{{"batch":[{fits.replace("ed-1", "ed-3")}]}}').status_code == 200
    for path, body, field in (("/v1/track", over, None), ("/v1/batch", f'{{"batch":[{over}]}}', "batch[0]")):
        refused = post(server, path, body)
        assert (refused.status_code, refused.json()["code"]) == (413, "event_too_large")
        assert refused.json().get("field") == field
    server.eventually(lambda: views(server, "ed") == 2)


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_a_batch_may_have_500_kilobytes(server, packed):
    person = f"bo-{packed}"
    body = f'{{"batch":[{",".join(call(person, number, bytes_=30_000) for number in range(17))}]}}'
    fits, over = body[:-1] + " " * (512_000 - len(body)) + "}", body[:-1] + " " * (512_001 - len(body)) + "}"
    sent = [gzip.compress(one.encode()) if packed else one for one in (fits, over)]

    assert post(server, "/v1/batch", sent[0]).json() == {"success": True, "accepted": 17}
    refused = post(server, "/v1/batch", sent[1])

    assert refused.status_code == 413
    assert refused.json()["code"] == ("inflated_too_large" if packed else "body_too_large")
    server.eventually(lambda: views(server, person) == 17)


def test_a_batch_may_have_2500_events(server):
    calls = [call("cy", number) for number in range(2_501)]

    refused = post(server, "/v1/batch", f'{{"batch":[{",".join(calls)}]}}')
    assert (refused.status_code, refused.json()["code"], refused.json()["field"]) == (
        413,
        "batch_too_large",
        "batch",
    )
    assert post(server, "/v1/batch", f'{{"batch":[{",".join(calls[:-1])}]}}').json()["accepted"] == 2_500

    server.eventually(lambda: views(server, "cy") == 2_500)


def test_of_one_id_in_one_batch_the_first_telling_counts(server):
    twice = [call("di", 1), call("di", 1).replace('"tent"', '"boat"')]

    assert post(server, "/v1/batch", f'{{"batch":[{",".join(twice)}]}}').json()["accepted"] == 2

    server.eventually(lambda: views(server, "di") == 1)
    (interest,) = [one for one in server.profile("user:di")["interests"] if "item" in one]
    assert interest["item"] == "tent"


def test_verdicts_of_good_and_bad_calls_add_up(server):
    calls = [call("el", 1), '{"type":"track"}', "5", call("el", 2), call("undefined", 3), call("el", 1)]

    told = post(server, "/v1/batch?verdicts=1", f'{{"batch":[{",".join(calls)}]}}').json()

    assert [one["accepted"] for one in told["verdicts"]] == [True, False, False, True, False, True]
    assert told["accepted"] == 3
    assert [one["index"] for one in told["refused"]] == [1, 2, 4]
    assert all(
        one["field"].startswith(f"batch[{one['index']}]") and one["message"] for one in told["refused"]
    )
    server.eventually(lambda: views(server, "el") == 2)


@pytest.mark.skipif(not WIRE.exists(), reason=f"no recordings at {WIRE}; set PLAIT_WIRE")
def test_recorded_requests_of_real_clients_are_taken_as_they_were_sent(server):
    basic = "Basic " + base64.b64encode(f"{server.write}:".encode()).decode()
    names = ("segment-*", "rudder-*", "browser_seg_[bs]*", "browser_rud_*", "browser_jitsu", "retry_*")
    people: dict[str, set[str]] = {}
    for path in sorted(one for name in names for one in WIRE.glob(f"{name}.jsonl")):
        for request in map(json.loads, path.read_text().splitlines()):
            if request["method"] != "POST":
                continue
            headers = {name.lower(): value for name, value in request["headers"].items()}
            kept = {
                name: headers[name]
                for name in ("content-type", "content-encoding", "user-agent")
                if name in headers
            }
            if "authorization" in headers:
                kept["authorization"] = basic
            if "x-write-key" in headers:
                kept["x-write-key"] = f"{server.write}:secret"
            calls = request["body"].get("batch", [request["body"]])
            for one in (request["body"], *calls):
                if "writeKey" in one:
                    one["writeKey"] = server.write
            body = json.dumps(request["body"]).encode()
            address = request["path"].partition("writeKey=")
            answer = server.ask(
                "POST", address[0] + (f"writeKey={server.write}" if address[1] else ""), key=None, headers=kept,
                content=gzip.compress(body) if request.get("gzip") else body,
            )  # fmt: skip

            assert (answer.status_code, answer.json()["accepted"]) == (200, len(calls)), path
            for one in calls:
                who = f"user:{one['userId']}" if one.get("userId") else f"anonymous:{one['anonymousId']}"
                people.setdefault(who, set()).add(one["messageId"])

    for who, ids in people.items():
        server.eventually(lambda who=who, ids=ids: ids <= told_of(server, who))


def told_of(server, who: str) -> set[str]:
    return {
        one["id"] for one in (server.profile(who, include="events", events="1000") or {}).get("events", [])
    }
