"""Forgetting leaves no trace (law 10): somebody comes in through every door, is erased, and no byte of the data folder names them.

What nobody may find again is one word that stands in each of their identifiers, and in nothing else.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Server, python_path
from tests.fakes.network import FakeNetwork

from plait.events import decode_record
from plait.lake import open_lake
from plait.log import open_log
from plait.models.installation import fit_installation
from plait.settings import Settings
from plait.store import TABLES, open_store
from plait.workers import COMPACT, compact_erased

FAKES = Path(__file__).parent.parent / "fakes"
WORD = "zqxvolodymyrzqx"
USER, EMAIL, DEVICE = f"user:{WORD}", f"email:{WORD}@mail.example", f"anonymous:{WORD}-of-a-browser"
FAKE, DID, FEDI = f"fakenet:{WORD}", f"bluesky:did:plc:{WORD}", f"mastodon:{WORD}@social.example"
THEIRS = [USER, EMAIL, DEVICE, FAKE, DID, FEDI]
POSTS = [f"at://did:plc:{WORD}/app.bsky.feed.post/1", f"https://social.example/users/{WORD}/statuses/7"]
SOURCE = "/v1/sources/bluesky:shop/pages"


def long_ago(minutes: float = 10) -> int:
    return int((time.time() - 60 * minutes) * 1000)


@pytest.fixture
def shop(own_server: Server) -> Iterator[tuple[Server, FakeNetwork]]:
    """A shop whose customers made it learn a model, and whose account on a network is connected."""
    own_server.env = {"PYTHONPATH": python_path(FAKES), "PLAIT_LAKE_EVERY_SECONDS": "1", "PLAIT_CONSENT__LINK": "true",
                      "PLAIT_CONSENT__SOCIAL": "true"}  # fmt: skip
    own_server.start()
    items = [{"id": f"tent-{n}", "title": f"Tent {n}", "topics": ["tents"]} for n in range(9)]
    assert own_server.ask("POST", "/v1/items", {"items": items}).status_code == 200
    views = [
        {"id": f"{person}-{n}", "signal": "view", "who": [f"user:u{person}"], "about": {"item": f"tent-{(person + n) % 9}"}}
        for person in range(30)
        for n in range(4)
    ]  # fmt: skip
    assert own_server.ask("POST", "/v1/events", views).status_code == 200
    with FakeNetwork() as network:
        credentials = {"host": network.url, "user": "shop", "password": "right"}
        told = {"network": "fakenet", "credentials": credentials}
        assert own_server.ask("POST", "/v1/sources", told).status_code == 200
        own_server.eventually(lambda: network.streams)
        yield own_server, network


# -- the doors -------------------------------------------------------------------------------------------------


def calls() -> list[dict[str, Any]]:
    """Of the Segment protocol, each with the word wherever a client may put it."""
    who = {"userId": WORD, "anonymousId": f"{WORD}-of-a-browser"}
    external = {"externalIds": [{"type": "email", "id": f"{WORD}@mail.example"}]}
    told = [
        {"type": "identify", **who, "traits": {"email": f"{WORD}@mail.example"}, "context": external},
        {"type": "track", "event": "Product Viewed", **who, "properties": {"product_id": "tent-1", "seller": WORD}},
        {"type": "track", "event": f"Greeted {WORD}", **who, "context": {"traits": {"name": WORD}}},
        {"type": "page", "name": f"Page of {WORD}", **who, "properties": {"url": f"https://shop.example/{WORD}"}},
        {"type": "screen", "name": WORD, **who},
        {"type": "group", "groupId": f"friends of {WORD}", **who},
        {"type": "alias", "previousId": f"{WORD}-of-a-browser", "userId": WORD},
        {"type": "track", "event": "Order Completed", **who,
         "properties": {"products": [{"product_id": "tent-1", "price": 5}, {"product_id": "tent-2", "price": 5}]}},
    ]  # fmt: skip
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(long_ago() / 1000))
    return [one | {"messageId": f"{WORD}-{n}", "timestamp": at} for n, one in enumerate(told)]


def own_events() -> list[dict[str, Any]]:
    counter = {"view": f"view-{WORD}", "started_at": long_ago()}
    told: list[dict[str, Any]] = [
        {"signal": "view", "who": [DEVICE], "about": {"item": "tent-2"}, "properties": {"from": WORD}},
        {"signal": "dwell", "who": [USER], "about": {"url": f"/of/{WORD}"}, "value": 3, "counter": counter},
        {"signal": "search", "who": [EMAIL], "about": {"query": WORD}},
        {"signal": "trait", "who": [USER], "traits": {"name": WORD}},
        {"signal": "consent", "who": [USER], "consent": {"social": {f"source-{WORD}": False}}},
        {"signal": "save", "who": [USER], "about": {"item": "tent-4"}},
        {"signal": "other", "name": f"met {WORD}", "who": [USER, DEVICE], "decision": f"d_{WORD}"},
    ]
    return [one | {"id": f"own-{WORD}-{n}", "at": long_ago()} for n, one in enumerate(told)]


def page() -> dict[str, Any]:
    """What a network tells: of them, of others about them, and of what others did with what they wrote."""
    told: list[dict[str, Any]] = [
        {"signal": "like", "who": [DID], "about": {"post": "post-1"}, "record": f"at://did:plc:{WORD}/like/1"},
        {"signal": "follow", "who": [DID], "about": {"account": "bluesky:shop"}},
        {"signal": "follow", "who": ["bluesky:bea"], "about": {"account": DID}, "record": "at://bea/follow/1"},
        {"signal": "comment", "who": [FEDI], "about": {"post": "post-1"}, "value": 1.0},
        {"signal": "follow", "op": "snapshot", "who": [], "about": {"account": DID}, "value": 7},
        {"signal": "like", "op": "retract", "who": [], "record": f"at://did:plc:{WORD}/like/2"},
        *({"signal": signal, "who": ["bluesky:bea"], "about": {"post": post}} for post in POSTS for signal in ("like", "reply")),
    ]  # fmt: skip
    liked = {
        "id": "bea-1",
        "signal": "like",
        "who": ["bluesky:bea"],
        "about": {"post": "post-1"},
        "at": long_ago(),
    }
    return {
        "events": [{"id": f"{WORD}-{n}", "at": long_ago(), **one} for n, one in enumerate(told)] + [liked]
    }


def through_every_door(server: Server, network: FakeNetwork) -> None:
    server.collect(*calls())
    server.collect(*calls())  # a retry rests in the log, too
    assert server.ask("POST", "/v1/events", own_events()).json()["accepted"] == len(own_events())
    assert server.ask("POST", "/v1/personalize", question()).status_code == 200
    assert "refused" not in server.ask("POST", SOURCE, page()).json()
    network.act(WORD)
    network.act(WORD, signal="message", text=f"I am {WORD}, and the tent is broken")
    assert deliver(server) == 200
    for other in (EMAIL, DEVICE, FAKE, DID, FEDI):
        told = {"identifiers": [USER, other], "consent": True}
        assert server.ask("POST", "/v1/link", told).status_code == 200
    proof = {"identifier": USER, "consent": True, "way": "code", "network": "fakenet"}
    assert server.ask("POST", "/v1/proofs", proof | {"account": FAKE}).status_code == 200
    assert imported(server) == 1
    server.eventually(lambda: len((server.profile(USER) or {}).get("identifiers", [])) == len(THEIRS))
    server.eventually(lambda: (server.profile(FAKE) or {"counts": {}})["counts"].get("message"))


def question() -> dict[str, Any]:
    view = {"id": f"inline-{WORD}", "signal": "view", "about": {"item": "tent-5"}, "at": long_ago()}
    return {"identifiers": [USER], "events": [view], "placements": [{"id": "home.grid", "n": 3}]}


def deliver(server: Server) -> int:
    """A webhook of the network."""
    act = {"id": f"hook-{WORD}", "signal": "like", "at": long_ago(), "actor": WORD}
    body = json.dumps({"acts": [act]}).encode()
    signed = {"x-fake-signature": hmac.digest(b"fake secret", body, "sha256").hex()}
    return server.ask(
        "POST", "/webhooks/fakenet/fakenet:shop", key=None, content=body, headers=signed
    ).status_code


def imported(server: Server) -> int:
    """How many events of a file were taken."""
    path = server.data.parent / "events.jsonl"
    rows = [
        {
            "id": f"import-{WORD}",
            "signal": "view",
            "who": [USER],
            "about": {"item": "tent-6"},
            "at": long_ago(),
        }
    ]
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    told = subprocess.run(
        [sys.executable, "-m", "plait", "import", "events", str(path), "--data", str(server.data)],
        capture_output=True, text=True,
    )  # fmt: skip
    taken: int = json.loads(told.stdout)["accepted"]
    return taken


# -- where they could rest -------------------------------------------------------------------------------------


def traces(data: Path) -> list[str]:
    """Every place of a data folder that holds the word, however it is packed."""
    found = []
    settings = Settings(data=str(data))
    word = WORD.encode()
    with contextlib.closing(open_log(settings.url("log"))) as log:
        position = 0
        while records := log.read(position, limit=500):
            for position, raw in records:
                record = decode_record(raw)
                if word in repr(record).encode() or word in record.body:
                    found.append(f"log {position} {record.kind} {record.body[:300]!r}")
    with (
        contextlib.closing(open_store(settings.url("store"))) as store,
        contextlib.closing(store.snapshot()) as state,
    ):
        found += [f"{name} {key!r}" for name in TABLES for key, raw in state.scan(name) if word in key + raw]
    with contextlib.closing(open_lake(settings.url("lake"))) as lake:
        rows = lake.query("SELECT * FROM events")
        assert rows
        found += [f"lake {row['position']}" for row in rows if WORD in repr(row)]
    files = [path for path in data.rglob("*") if path.is_file() and not path.is_symlink()]
    return found + [f"file {path}" for path in files if word in path.read_bytes() or WORD in path.name]


def test_no_byte_of_the_data_folder_names_who_was_erased(shop: tuple[Server, FakeNetwork]) -> None:
    server, network = shop
    through_every_door(server, network)
    server.eventually(lambda: server.ask("POST", "/v1/fit").json().get("acts", 0) > 100)
    server.eventually(lambda: any(one.startswith("lake") for one in traces(server.data)))

    erased = server.ask("DELETE", f"/v1/profiles/{USER}").json()["erased"]
    late(server, network)

    assert sorted(erased) == sorted(THEIRS)
    server.eventually(
        lambda: not [one for one in traces(server.data) if not one.startswith("file")], seconds=60
    )
    assert all(server.profile(one) is None for one in THEIRS)
    bea = server.profile("bluesky:bea", include="events")
    assert bea is not None
    assert (bea["counts"], WORD in json.dumps(bea)) == ({"like": 1}, False)
    for path in ("/v1/sources", "/metrics", "/v1/status", "/v1/profiles/bluesky:bea/export"):
        assert WORD not in server.ask("GET", path).text, path
    fit_installation(Settings(data=str(server.data), fit_every_minutes=0), how="forget")
    server.stop()
    assert WORD not in server.words()
    compacted(server.data)
    assert traces(server.data) == []


def late(server: Server, network: FakeNetwork) -> None:
    """All of it once more, as it happened: senders try again, networks tell twice."""
    server.collect(*calls())
    server.ask("POST", "/v1/events", own_events())
    server.ask("POST", SOURCE, page())
    deliver(server)
    assert imported(server) == 0


def compacted(data: Path) -> None:
    """As a server does it by itself some hours later: what was deleted leaves the disk."""
    settings = Settings(data=str(data))
    assert (data / COMPACT).exists()
    with contextlib.closing(open_log(settings.url("log"), write=True)) as log:
        assert compact_erased(log, settings, now=time.time() + 86_400)
    with contextlib.closing(open_store(settings.url("store"), write=True)) as store:
        store.compact()  # type: ignore[attr-defined]
