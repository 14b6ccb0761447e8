"""The catalog over HTTP and from files, against a real server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

TENT = {"id": "tent-1", "title": "A tent", "topics": ["tents"], "price": 99.0, "sections": ["specs"]}


def test_items_are_put_in_bulk_and_read_one_by_one(server):
    answer = server.ask("POST", "/v1/items", {"items": [TENT, {"id": 2, "available": False}]})

    assert (answer.status_code, answer.json()) == (200, {"accepted": 2, "deleted": 0, "refused": []})
    tent = server.ask("GET", "/v1/items/tent-1").json()
    assert tent.pop("published") > 1_700_000_000_000
    assert tent == TENT
    assert server.ask("GET", "/v1/items/2").json()["available"] is False


def test_what_is_right_in_a_bulk_call_is_taken_and_the_rest_is_told(server):
    answer = server.ask("POST", "/v1/items", {"items": [{"id": "good"}, {"id": "bad", "price": "free"}, 7]})

    assert answer.status_code == 200
    assert answer.json()["accepted"] == 1
    assert [(one["index"], one["code"], one["field"]) for one in answer.json()["refused"]] == [
        (1, "invalid_item", "items[1].price"),
        (2, "invalid_item", "items[2]"),
    ]
    assert server.ask("GET", "/v1/items/bad").status_code == 404


def test_a_call_with_nothing_right_in_it_is_refused(server):
    answer = server.ask("POST", "/v1/items", {"items": [{"title": "no id"}]})

    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (
        400,
        "invalid_item",
        "items[0].id",
    )


@pytest.mark.parametrize(("body", "field"), [
    ({}, None), ({"item": []}, "item"), ({"items": {}}, "items"), ({"items": [], "delete": "a"}, "delete"),
    ({"items": [], "delete": [None]}, "delete[0]"),
])  # fmt: skip
def test_a_body_of_another_shape_is_refused(server, body, field):
    answer = server.ask("POST", "/v1/items", body)

    assert (answer.status_code, answer.json().get("field")) == (400, field)


def test_more_than_ten_thousand_items_are_refused_whole(server):
    answer = server.ask("POST", "/v1/items", {"items": [{"id": f"many-{i}"} for i in range(10_001)]})

    assert (answer.status_code, answer.json()["code"]) == (413, "too_many")
    assert server.ask("GET", "/v1/items/many-0").status_code == 404


def test_one_item_is_put_whole_and_taken_out(server):
    path = "/v1/items/a%2Fb%20%23c"
    put = server.ask("PUT", path, {"title": "A strange id", "price": 5})
    again = server.ask("PUT", path, {"id": "a/b #c", "title": "Without a price"})

    assert (put.json()["id"], put.json()["price"]) == ("a/b #c", 5.0)
    assert "price" not in again.json()
    assert again.json()["published"] == put.json()["published"]
    assert server.ask("DELETE", path).json() == {"deleted": 1}
    assert [server.ask(method, path).status_code for method in ("GET", "DELETE")] == [404, 404]


def test_an_item_whose_id_is_not_the_paths_is_refused(server):
    answer = server.ask("PUT", "/v1/items/one", {"id": "another"})

    assert (answer.status_code, answer.json()["field"]) == (400, "id")


def test_a_number_serves_as_id_in_body_and_path(server):
    assert server.ask("PUT", "/v1/items/4711", {"id": 4711, "title": "A tent"}).status_code == 200

    assert server.ask("GET", "/v1/items/4711").json()["id"] == "4711"


def test_half_a_character_in_one_item_costs_no_other(server):
    answer = server.ask(
        "POST", "/v1/items", content=b'{"items": [{"id": "whole"}, {"id": "half", "title": "\\ud83d"}]}'
    )

    assert (answer.status_code, answer.json()["accepted"]) == (200, 1)
    assert answer.json()["refused"][0]["field"] == "items[1].title"


def test_a_placement_may_be_called_items(server):
    server.ask("PUT", "/v1/placements/items", {"n": 2})

    assert server.ask("GET", "/v1/placements/items").json()["n"] == 2
    assert server.ask("GET", "/v1/placements/items/items").status_code == 200


def test_items_are_listed_in_pages(server):
    server.ask("POST", "/v1/items", {"items": [{"id": f"listed-{i}"} for i in range(5)]})
    seen, after = [], None
    while True:
        told = server.ask(
            "GET", "/v1/items", params={"limit": "2"} | ({"after": after} if after else {})
        ).json()
        seen += [one["id"] for one in told["items"]]
        after = told["next"]
        if after is None:
            break

    assert len(seen) == len(set(seen)) == told["total"]
    assert {f"listed-{i}" for i in range(5)} <= set(seen)


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=1001", "limit=٣", "after=nothing-of-ours"])
def test_a_listing_that_cannot_be_is_refused(server, query):
    assert server.ask("GET", f"/v1/items?{query}").json()["code"] == "invalid_query"


def test_a_405_names_every_method_there_is(server):
    answer = server.ask("PATCH", "/v1/items/tent-1", {})

    assert answer.status_code == 405
    assert {one.strip() for one in answer.headers["allow"].split(",")} >= {"GET", "PUT", "DELETE"}


def test_a_placement_is_put_with_a_condition_that_is_checked(server):
    server.ask("POST", "/v1/items", {"items": [{"id": "coloured", "attributes": {"color": "red"}}]})

    good = server.ask("PUT", "/v1/placements/mine", {"n": 3, "where": "color = 'red'"})
    bad = server.ask("PUT", "/v1/placements/mine", {"n": 3, "where": "colr = 'red'"})

    assert good.json() == {"id": "mine", "n": 3, "where": "color = 'red'"}
    assert (bad.status_code, bad.json()["code"], bad.json()["field"]) == (
        400,
        "invalid_expression",
        "placement.where",
    )
    assert "did you mean color?\n  colr = 'red'\n  ^" in bad.json()["message"]
    assert server.ask("GET", "/v1/placements/mine").json() == good.json()
    assert server.ask("DELETE", "/v1/placements/mine").status_code == 200
    assert server.ask("GET", "/v1/placements/mine").json()["code"] == "unknown_placement"


def test_a_new_installation_lists_its_default_placements(server):
    told = server.ask("GET", "/v1/placements").json()["placements"]

    assert "home.grid" in {one["id"] for one in told}


def test_placements_come_all_or_none(server):
    answer = server.ask("POST", "/v1/placements", {"placements": [{"id": "first"}, {"id": "second", "n": 0}]})

    assert (answer.status_code, answer.json()["field"]) == (400, "placements[1].n")
    assert server.ask("GET", "/v1/placements/first").status_code == 404


def test_the_catalog_is_there_after_a_kill(own_server):
    own_server.start()
    own_server.ask("POST", "/v1/items", {"items": [TENT, {"id": "gone"}]})
    own_server.ask("DELETE", "/v1/items/gone")
    own_server.ask("PUT", "/v1/placements/mine", {"where": "price < 100"})
    tent = own_server.ask("GET", "/v1/items/tent-1").json()

    own_server.kill()
    own_server.start()

    assert own_server.ask("GET", "/v1/items/tent-1").json() == tent
    assert own_server.ask("GET", "/v1/items/gone").status_code == 404
    assert own_server.ask("GET", "/v1/placements/mine").json() == {"id": "mine", "where": "price < 100"}


def plait(data: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "plait", *words, "--data", str(data)],
        capture_output=True,
        text=True,
        timeout=100,
    )


def test_a_feed_is_imported_and_its_bad_rows_are_told(server, tmp_path):
    feed = tmp_path / "feed.tsv"
    feed.write_text(
        "id\ttitle\tprice\tavailability\n"
        "imported-1\tBoot\t15.00 EUR\tin stock\nimported-2\tCup\tcheap\tin stock\nimported-3\tBag\t5\tout of stock\n"
    )

    done = plait(server.data, "import", "items", str(feed))

    assert "line 3: price is not a price: 'cheap'" in done.stdout + done.stderr
    assert server.ask("GET", "/v1/items/imported-1").json()["price"] == 15.0
    assert server.ask("GET", "/v1/items/imported-3").json()["available"] is False
    assert server.ask("GET", "/v1/items/imported-2").status_code == 404


def test_past_events_are_imported_once_however_often_the_file_is_read(server, tmp_path):
    past = tmp_path / "past.jsonl"
    rows = [
        {"user": "imported", "signal": "view", "item": "tent-1", "at": 1_777_626_000 + i} for i in range(3)
    ]
    past.write_text("".join(json.dumps(row) + "\n" for row in rows))

    first = plait(server.data, "import", "events", str(past))
    second = plait(server.data, "import", "events", str(past))
    server.collect(
        {
            "type": "track",
            "event": "Product Added",
            "userId": "imported",
            "messageId": "after",
            "properties": {"product_id": "x"},
        }
    )

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    counts = server.eventually(
        lambda: (counts := server.profile("user:imported")["counts"]) and "add" in counts and counts
    )
    assert counts["view"] == 3
