"""What real clients send becomes the right events.

``tests/data/calls/clients.json`` holds requests made by hand in the shapes of every client; recordings of the real
ones, where they lie beside the repository (``PLAIT_WIRE``, or ``../shared/wire``), are replayed as well.
"""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from plait.events import Event, Record
from plait.http.collect import ROUTES, inflated
from plait.intake.admission import Admission
from plait.intake.calls import CallIntake
from plait.intake.records import events_of
from plait.intake.signals import load_signals
from plait.profiles.consent import ConsentDoor
from plait.settings import Settings

HERE = Path(__file__).parents[1]
RECORDED = Path(os.environ.get("PLAIT_WIRE", HERE.parents[1] / "shared" / "wire"))
CALLS = json.loads((HERE / "data" / "calls" / "clients.json").read_text())
SIGNALS = load_signals()
CALLS_IN = CallIntake(Admission(Settings(), ConsentDoor(Settings())), SIGNALS)


def taken(path: str, body: bytes, *, now: int, agent: str = "", trusted: bool = False) -> list[Event]:
    """The events that a request becomes, by way of the bytes that rest."""
    kind = ROUTES[path.partition("?")[0]]
    if kind in ("batch", "import"):
        found = CALLS_IN.batch(body, trusted=trusted, now=now)
    else:
        found = CALLS_IN.call(body, kind, trusted=trusted, now=now)  # type: ignore[arg-type]
    assert found.refused == ()
    record = Record(kind="segment", source="web", received_at=now, agent=agent, body=found.body or b"")
    return events_of(record, SIGNALS)


def told(event: Event, names: Any) -> dict[str, Any]:
    """What an event says of ``names``."""
    about = {name: getattr(event.about, name) for name in event.about.__struct_fields__}
    all_ = about | {
        "signal": event.signal.value, "who": [*event.who], "late": event.received_at - event.at, "name": event.name,
        "value": event.value, "part": event.part, "traits": event.traits, "device": event.context.get("device"),
    }  # fmt: skip
    return {name: all_[name] for name in names}


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call["client"])
def test_every_clients_request_becomes_the_right_events(call):
    body = json.dumps(call["body"]).encode()
    body = inflated(gzip.compress(body)) if call.get("gzip") else body
    sent = call["body"].get("sentAt") or "2026-03-01T10:00:00Z"
    now = int(datetime.fromisoformat(sent).replace(tzinfo=UTC).timestamp() * 1000)
    events = taken(call["path"], body, now=now, agent=call["headers"].get("user-agent", ""))

    assert [told(event, want) for event, want in zip(events, call["events"], strict=True)] == call["events"]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call["client"])
def test_a_request_means_the_same_however_closely_it_is_looked_at(call):
    body = json.dumps(call["body"]).encode()
    disguised = body.replace(b'"messageId"', b'"\\u006dessageId"')

    assert taken(call["path"], body, now=10**12) == taken(call["path"], disguised, now=10**12)


def recordings() -> list[Any]:
    names = ("segment-*", "rudder-*", "browser_seg_*", "browser_rud_*", "browser_jitsu", "retry_*")
    files = sorted(path for name in names for path in RECORDED.glob(f"{name}.jsonl"))
    return [pytest.param(path, id=path.stem) for path in files] or [
        pytest.param(None, marks=pytest.mark.skip(f"no recordings at {RECORDED}; set PLAIT_WIRE"))
    ]


@pytest.mark.parametrize("path", recordings())
def test_recordings_of_real_clients_are_taken_whole(path):
    for line in path.read_text().splitlines():
        request = json.loads(line)
        if request["method"] != "POST":
            continue
        now = int(request["t"] * 1000)
        calls = request["body"].get("batch", [request["body"]])
        events = taken(request["path"], json.dumps(request["body"]).encode(), now=now)

        assert [event.id for event in events] == [call["messageId"] for call in calls]
        assert Counter(_signal(call) for call in calls) == Counter(event.signal.value for event in events)
        for call, event in zip(calls, events, strict=True):
            # A client's clock and ours stood side by side: what is left is the time on the way.
            told_at = datetime.fromisoformat(call.get("originalTimestamp") or call["timestamp"])
            assert abs(event.at - told_at.timestamp() * 1000) < 3_000
            who = {f"user:{call['userId']}"} if call.get("userId") else set()
            who |= {f"anonymous:{call['anonymousId']}"} if call.get("anonymousId") else set()
            assert who <= set(event.who)


def _signal(call: dict[str, Any]) -> str:
    named = {"Product Added": "add"}
    plain = {"page": "view", "screen": "view", "identify": "identify", "alias": "identify", "group": "other"}
    return plain.get(call["type"]) or named.get(call["event"], "other")
