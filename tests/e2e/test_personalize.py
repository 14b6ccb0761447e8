"""One call for a whole page, over HTTP: what was sent along counts, and is on disk before the answer."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import time

import httpx
import pytest

PERSON = "anonymous:7f9c2ba4-e88f-427d-9616-0c8f1a3d5e77"
OTHER = "anonymous:2c1d0b9a-5e4f-4a3b-8c7d-6f5e4d3c2b1a"
ITEMS = [
    {"id": "p-tent-1", "title": "A tent", "topics": ["p-tents"], "price": 100.0},
    {
        "id": "p-tent-2",
        "title": "A better tent",
        "topics": ["p-tents"],
        "price": 150.0,
        "sections": ["specs"],
    },
    {"id": "p-boat-1", "title": "A boat", "topics": ["p-boats"], "price": 900.0},
    {"id": "p-offer", "kind": "promotion", "title": "Tents for less", "for": ["p-tents"], "cap": 2},
]
DWELL = {"signal": "dwell", "about": {"item": "p-tent-2", "section": "specs"}, "value": 48.2}


@pytest.fixture(scope="module", autouse=True)
def shop(server):
    assert server.ask("POST", "/v1/items", {"items": ITEMS}).status_code == 200
    placements = [{"id": "p.private", "public": False}]
    assert server.ask("POST", "/v1/placements", {"placements": placements}).status_code == 200


def ask(server, who, *events, key="", placements=({"id": "home.grid"},), status=200, **more):
    body = {
        "identifiers": [who] if who else [],
        "placements": list(placements),
        "events": list(events),
        **more,
    }
    answer = server.ask("POST", "/v1/personalize", body, key=key)
    assert answer.status_code == status, answer.text
    return answer.json()


def raw(server, request, *, pieces):
    """Status and JSON of a request that arrives whole, or in two pieces."""
    head, gap, rest = request.partition("\r\n\r\n")
    url = httpx.URL(server.url)
    with socket.create_connection((url.host, url.port), timeout=10) as wire:
        for piece in (
            [head + gap, rest] if pieces and rest else [request[:20], request[20:]] if pieces else [request]
        ):
            wire.sendall(piece.encode())
            time.sleep(0.05)
        answer = http.client.HTTPResponse(wire)
        answer.begin()
        told = json.loads(answer.read())
    return answer.status, dict(answer.headers), told


def items(answer, placement="home.grid"):
    return [one["item"] for one in answer["placements"][placement]["items"]]


def test_the_example_of_the_documentation(server):
    answer = ask(
        server, "anonymous:a1", DWELL, page={"url": "/"}, context={}, explain=True,
        placements=[{"id": "home.hero", "n": 1}, {"id": "home.grid", "n": 12, "where": "price < 200 and available"}],
    )  # fmt: skip

    assert items(answer, "home.hero") == ["p-tent-2"]
    assert items(answer, "home.grid") == ["p-tent-1"]
    because = answer["placements"]["home.hero"]["items"][0]["because"]
    assert because[0] == because[0] | {"source": "web", "signal": "dwell", "about": "p-tent-2#specs"}
    assert answer["decision"].startswith("d_")
    assert answer["took_ms"] >= 0


def test_what_was_sent_along_is_kept_and_counted_once(server):
    event = {"signal": "view", "id": "inline-once", "about": {"item": "p-boat-1"}}
    for _ in range(3):
        ask(server, PERSON, event)

    found = server.eventually(lambda: server.profile(PERSON))

    assert found["counts"]["view"] == 1


def test_what_was_sent_along_survives_a_kill(own_server):
    own_server.start()
    own_server.ask("POST", "/v1/items", {"items": ITEMS})
    ask(own_server, PERSON, {"signal": "view", "about": {"item": "p-boat-1"}})

    own_server.kill()
    own_server.start()

    found = own_server.eventually(lambda: own_server.profile(PERSON))
    assert found["counts"]["view"] == 1
    assert items(ask(own_server, PERSON))[0] == "p-boat-1"


def test_an_event_that_is_wrong_is_told_and_the_page_comes_all_the_same(server):
    answer = ask(server, OTHER, {"signal": "stare", "about": {"item": "p-boat-1"}}, DWELL)

    assert answer["refused"][0]["index"] == 0
    assert answer["refused"][0]["field"].startswith("events[0]")
    assert items(answer)[0] == "p-tent-2"


ASKED = '{"placements": [{"id": "home.grid", "where": "%s"}], "identifiers": ["user:nobody-yet"], "explain": true}'


@pytest.mark.parametrize(
    ("line", "body", "status"),
    [
        ("POST /v1/personalize", ASKED % "price < 200", 200),
        ("POST /v1/personalize", ASKED % "price <", 400),
        ("POST /v1/personalize", '{"placements": [{"id": "no.such"}]}', 404),
        ("POST /v1/personalize", "{", 400),
        ("GET /v1/placements/home.grid/items?n=3&explain=1", "", 200),
        ("GET /v1/placements/home.grid/items?n=many", "", 400),
        ("DELETE /v1/personalize", "", 405),
    ],
)
def test_a_question_is_answered_alike_whether_it_arrives_whole_or_in_pieces(server, line, body, status):
    request = (
        f"{line} HTTP/1.1\r\nhost: shop\r\nauthorization: Bearer {server.secret}\r\nconnection: close\r\n"
        f"content-length: {len(body)}\r\n\r\n{body}"
    )

    found = [raw(server, request, pieces=pieces) for pieces in (False, True)]

    for _, headers, told in found:
        told.pop("decision", None), told.pop("took_ms", None)
        headers.pop("date", None), headers.pop("content-length", None)
    assert found[0] == found[1]
    assert found[0][0] == status


def test_what_was_answered_is_recorded(server):
    who = "anonymous:recorded-5b2c1d0e-9f8a"
    answer = ask(server, who, DWELL)

    def decided():
        profile = server.profile(who, include="events")
        told = [one for one in (profile or {}).get("events", []) if one["signal"] == "decided"]
        return told if told else None

    (event,) = server.eventually(decided)
    assert event["decision"] == answer["decision"]
    assert event["properties"]["items"]["home.grid"] == items(answer)


def test_a_promotion_is_shown_as_often_as_its_cap_says(server):
    who = "anonymous:capped-8d7c6b5a-4f3e-2d1c"
    shown = []
    for _ in range(4):
        shown.append(items(ask(server, who, DWELL, placements=[{"id": "home.promotion"}]), "home.promotion"))
        times = len([one for one in shown if one])
        server.eventually(
            lambda times=times: (server.profile(who) or {"counts": {}})["counts"].get("decided", 0) >= times
        )
        time.sleep(0.2)

    assert shown == [["p-offer"], ["p-offer"], [], []]


def test_a_new_item_is_recommended_a_second_later(server):
    ask(server, PERSON, {"signal": "view", "about": {"item": "p-tent-1"}})
    server.ask("POST", "/v1/items", {"items": [{"id": "p-tent-new", "topics": ["p-tents"]}]})

    try:
        assert "p-tent-new" in items(ask(server, PERSON))
    finally:
        server.ask("DELETE", "/v1/items/p-tent-new")


def test_after_a_fit_the_new_model_answers(server):
    before = server.ask("POST", "/v1/fit")
    assert before.status_code == 200, before.text

    assert before.json()["items"] == 3
    assert items(ask(server, PERSON, DWELL))


def test_one_placement_can_be_asked_with_get(server):
    answer = server.ask(
        "GET", "/v1/placements/home.grid/items",
        params={"identifier": PERSON, "n": 2, "explain": "1", "where": "price < 200", "exclude": "p-tent-1"},
    )  # fmt: skip

    assert answer.status_code == 200, answer.text
    assert items(answer.json()) == ["p-tent-2"]
    assert answer.json()["placements"]["home.grid"]["items"][0]["because"]


def test_related_items_can_be_asked_with_get(server):
    answer = server.ask("GET", "/v1/placements/item.related/items", params={"item": "p-tent-1", "n": 1})

    assert items(answer.json(), "item.related") == ["p-tent-2"]


def test_a_page_for_nobody_is_the_popular_one(server):
    answer = ask(server, None)

    assert answer["placements"]["home.grid"]["arm"] == "popular"
    assert len(items(answer)) == 3


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/v1/personalize", {"placements": [{"id": "nowhere"}]}, 404, "unknown_placement"),
        ("POST", "/v1/personalize", {"placements": []}, 400, "invalid_question"),
        ("POST", "/v1/personalize", {"placements": [{"id": "home.grid", "where": "price <"}]}, 400, "invalid_expression"),
        ("POST", "/v1/personalize", {"placements": [{"id": "home.grid"}], "identifiers": ["me"]}, 400, "invalid_identifier"),
        ("POST", "/v1/personalize", {"placements": [{"id": "home.grid"}], "events": 7}, 400, "invalid_field"),
        ("GET", "/v1/personalize", None, 405, "method_not_allowed"),
        ("POST", "/v1/placements/home.grid/items", {}, 405, "method_not_allowed"),
        ("GET", "/v1/placements/home.grid/items?n=x", None, 400, "invalid_question"),
        ("GET", "/v1/placements/home.grid/items?plese=1", None, 400, "invalid_question"),
        ("GET", "/v1/placements/home.grid/items?explain=maybe", None, 400, "invalid_question"),
        ("GET", "/v1/placements/home.grid/items?where=price+%3C", None, 400, "invalid_expression"),
        ("GET", "/v1/placements/home.grid/items?identifier=ann", None, 400, "invalid_identifier"),
        ("POST", "/v1/personalize", {"placements": [{"id": "home.grid"}], "context": {"x": "x" * 3_000_000}}, 413, "body_too_large"),
        ("GET", "/v1/placements/nowhere/items", None, 404, "unknown_placement"),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_told(server, method, path, body, status, code):
    answer = server.ask(method, path, body)

    assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize(
    ("query", "field"),
    [("n=0", "n"), ("where=price+%3C", "where"), ("identifier=ann", "identifier"), ("plese=1", "plese")],
)
def test_in_a_get_the_field_is_the_name_in_the_query(server, query, field):
    assert server.ask("GET", f"/v1/placements/home.grid/items?{query}").json()["field"] == field


def test_who_withdrew_gets_the_popular_page_from_the_next_request_on(server):
    who = "anonymous:withdrew-3c2b1a09-8f7e"
    assert items(ask(server, who, DWELL))[0] == "p-tent-2"

    answer = ask(server, who, {"signal": "consent", "consent": {"personalize": False}})

    assert answer["placements"]["home.grid"]["arm"] == "popular"
    assert ask(server, who)["placements"]["home.grid"]["arm"] == "popular"


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", str(disk)]
    if os.getuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a disk of its own needs root")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_on_a_full_disk_pages_come_degraded_and_events_are_refused(own_server, small_disk):
    own_server.data = small_disk / "data"
    own_server.start()
    own_server.ask("POST", "/v1/items", {"items": ITEMS})
    filler = small_disk / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(small_disk).free - (50 << 20)))
    time.sleep(1.1)  # the disk is looked at once a second

    assert ask(own_server, PERSON, DWELL, status=503)["code"] == "disk_full"
    assert ask(own_server, PERSON)["degraded"] is True

    filler.unlink()
    own_server.eventually(lambda: "degraded" not in ask(own_server, PERSON))
    assert items(ask(own_server, PERSON, DWELL))[0] == "p-tent-2"
    own_server.kill()


# --- with the write key, in a browser


def test_the_write_key_asks_for_one_anonymous_device(server):
    device = "anonymous:4e1f0a9b-8c7d-4b6a-9f5e-3d2c1b0a9f8e"
    ask(server, device, {"signal": "view", "about": {"item": "p-boat-1"}}, key=server.write)
    server.eventually(lambda: server.profile(device))

    assert items(ask(server, device, key=server.write))[0] == "p-boat-1"


def test_an_id_that_can_be_guessed_gives_nothing(server):
    ask(server, "anonymous:12", {"signal": "view", "about": {"item": "p-boat-1"}})
    server.eventually(lambda: server.profile("anonymous:12"))

    guessed = ask(server, "anonymous:12", key=server.write, explain=True)

    assert guessed["placements"]["home.grid"]["arm"] == "popular"
    own = ask(server, "anonymous:12", DWELL, key=server.write)
    assert items(own)[0] == "p-tent-2"  # what they say themselves counts


@pytest.mark.parametrize(
    ("question", "code"),
    [
        ({"identifiers": ["user:ann"]}, "token_needed"),
        ({"identifiers": [PERSON, OTHER]}, "token_needed"),
        ({"identifiers": [PERSON], "placements": [{"id": "home.grid", "where": "price < 9"}]}, "forbidden"),
        ({"identifiers": [PERSON], "placements": [{"id": "p.private"}]}, "forbidden"),
    ],
)
def test_the_write_key_may_not(server, question, code):
    body = {"placements": [{"id": "home.grid"}], **question}

    answer = server.ask("POST", "/v1/personalize", body, key=server.write)

    assert (answer.status_code, answer.json()["code"]) == (403, code)


def test_no_key_no_answer(server):
    assert (
        server.ask("POST", "/v1/personalize", {"placements": [{"id": "home.grid"}]}, key=None).status_code
        == 401
    )


def test_a_browser_may_ask_from_another_site(server):
    asked = server.ask(
        "OPTIONS", "/v1/personalize", key=None,
        headers={"origin": "https://shop.example", "access-control-request-headers": "authorization"},
    )  # fmt: skip

    assert asked.status_code == 204
    assert asked.headers["access-control-allow-origin"] == "*"
    assert asked.headers["access-control-allow-headers"] == "authorization"


def test_a_try_has_no_score_and_its_chance_is_in_the_log_only(server):
    more = [{"id": f"p-sock-{n}", "title": "A sock", "topics": ["p-socks"]} for n in range(8)]
    server.ask("POST", "/v1/items", {"items": more})
    server.ask("PUT", "/v1/placements/p.try", {"n": 4, "explore": 1, "where": "'p-socks' in topics"})
    who = "anonymous:5b1f8e0c-7a6d-4c3b-9e2f-1a0b9c8d7e6f"
    viewed = {"signal": "view", "about": {"item": "p-sock-1"}}

    answer = ask(server, who, viewed, placements=({"id": "p.try"},), explain=True)
    *best, tried = answer["placements"]["p.try"]["items"]

    assert all("score" in one for one in best)
    assert "score" not in tried
    assert [one["signal"] for one in tried["because"]] == ["exploring"]
    assert "explored" not in answer
    until = time.monotonic() + 20
    while time.monotonic() < until:
        told = server.ask("GET", f"/v1/profiles/{who}/export").json().get("events", [])
        kept = [one["properties"]["explored"] for one in told if "explored" in (one.get("properties") or {})]
        if kept:
            break
        time.sleep(0.05)
    [one] = kept[0]["p.try"]
    assert one["items"][one["chosen"]] == tried["item"]
    assert sum(one["chances"]) == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize(
    "placement", [{"n": 2, "explore": 3}, {"explore": -1}, {"explore": 1, "kinds": ["promotion"]}]
)
def test_a_placement_cannot_try_more_than_it_shows_nor_promotions(server, placement):
    answer = server.ask("PUT", "/v1/placements/p.wrong", placement)

    assert (answer.status_code, answer.json()["code"], answer.json()["field"].split(".")[-1]) == (
        400,
        "invalid_placement",
        "explore",
    )
