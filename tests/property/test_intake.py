"""Whatever is sent: nothing but a clear refusal, what is taken can be read, and what must not rest does not."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from plait.errors import Rejected
from plait.events import Event, Record, Signal, decode_record, encode_record
from plait.intake import Taken
from plait.intake.admission import Admission
from plait.intake.calls import CALL_TYPES, CallIntake
from plait.intake.own import EventIntake
from plait.intake.records import events_of
from plait.intake.scan import DEEP, WORD, Scanner
from plait.intake.signals import load_signals
from plait.profiles.consent import ConsentDoor
from plait.settings import Settings

NOW = 1_800_000_000_000
SIGNALS = load_signals()
ADMISSION = Admission(Settings(), ConsentDoor(Settings()))
CALLS, OWN = CallIntake(ADMISSION, SIGNALS), EventIntake(ADMISSION)
QUIET = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))

odd = st.sampled_from(
    ["", " ", "u1", "a\nb", "a\x7fb", "null", "\0", "\ud800", "é", "😀", "password", "ip", "u" * 500, 5, 1.5, 1e308,
     10**30, True, None, [], {}, [1], {"ip": "1.2.3.4"}, {"a": {"b": []}}, "2026-01-01", "2026-01-01T00:00:00Z", -1]
)  # fmt: skip
values = st.recursive(
    odd | st.text(max_size=8) | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from([
    "type", "event", "messageId", "userId", "anonymousId", "previousId", "groupId", "timestamp", "originalTimestamp",
    "sentAt", "properties", "traits", "context", "consent", "writeKey", "name", "category", "integrations",
])  # fmt: skip
sane = st.fixed_dictionaries({
    "type": st.sampled_from(CALL_TYPES), "event": st.sampled_from(["Product Viewed", "Form Submitted", "Liked", "x"]),
    "messageId": st.text("abc", min_size=1), "userId": st.sampled_from(["u1", "u2", None]),
    "anonymousId": st.sampled_from(["a1", None]), "previousId": st.just("p"), "groupId": st.just("g"),
})  # fmt: skip
calls = st.builds(lambda good, bad: good | bad, sane, st.dictionaries(names, values, max_size=3))


def taken(ask: Any) -> Taken | str:
    try:
        found: Taken = ask()
    except Rejected as exc:
        return exc.code
    for refused in found.refused:
        assert 400 <= refused.status < 500
    return found


def events(found: Taken | str, kind: Any = "segment") -> list[Event]:
    if isinstance(found, str) or found.body is None:
        return []
    record = Record(kind=kind, source="web", received_at=NOW, body=found.body)
    found_ = events_of(decode_record(encode_record(record)), SIGNALS)
    for event in found_:  # an id that we gave is a new one every time
        event.id = "given" if event.id.startswith("plait-") else event.id
    return found_


@QUIET
@given(st.binary(max_size=200) | values.map(lambda told: json.dumps(told).encode()), st.booleans())
def test_no_body_does_worse_than_to_be_refused(body, trusted):
    events(taken(lambda: CALLS.call(body, "track", trusted=trusted, now=NOW)))
    events(taken(lambda: CALLS.batch(body, trusted=trusted, now=NOW)))
    events(taken(lambda: OWN.events(body, trusted=trusted, now=NOW)), "events")


@QUIET
@given(calls, st.booleans())
@example({"type": "page", "messageId": " ", "userId": "u1"}, False)
def test_a_glance_and_a_closer_look_come_to_the_same(told, trusted):
    body = json.dumps(told).encode()
    glance, closer = (
        taken(lambda: CALLS.call(body, "track", trusted=trusted, now=NOW, closely=closely))  # noqa: B023
        for closely in (False, True)
    )

    assert events(glance) == events(closer)


own_names = st.sampled_from([
    "id", "signal", "who", "source", "op", "at", "sent_at", "about", "value", "counter", "name", "decision", "consent",
    "traits", "context", "properties", "colour",
])  # fmt: skip
own_sane = st.fixed_dictionaries({
    "id": st.text("abc", min_size=1), "signal": st.sampled_from([*Signal]), "op": st.sampled_from(["assert", "retract"]),
    "who": st.lists(st.sampled_from(["user:u1", "anonymous:a1", "email:a@b.c", "user:null", "u1"]), max_size=3),
    "about": st.sampled_from([{}, {"item": "tent-2"}, {"item": "a\x7f"}, {"url": "/x"}, {"thing": 1}]),
    "value": st.sampled_from([None, 0, 0.5, 7, -1]), "at": st.sampled_from([None, 1, NOW, "2026-01-01T00:00:00Z"]),
})  # fmt: skip
own = st.builds(lambda good, bad: good | bad, own_sane, st.dictionaries(own_names, values, max_size=1))


@QUIET
@given(st.lists(own, max_size=3), st.booleans())
def test_a_glance_at_our_own_events_comes_to_the_same_too(told, trusted):
    body = json.dumps(told).encode()
    glance, closer = (
        taken(lambda: OWN.events(body, trusted=trusted, now=NOW, closely=closely))  # noqa: B023
        for closely in (False, True)
    )

    assert events(glance, "events") == events(closer, "events")


@QUIET
@given(st.lists(calls, max_size=6), st.booleans())
def test_what_one_call_becomes_does_not_depend_on_its_company(told, trusted):
    together = taken(lambda: CALLS.batch(json.dumps({"batch": told}).encode(), trusted=trusted, now=NOW))
    alone = [
        taken(lambda: CALLS.call(json.dumps(one).encode(), None, trusted=trusted, now=NOW))  # noqa: B023
        for one in told
    ]

    assert events(together) == [event for one in alone for event in events(one)]


@QUIET
@given(st.lists(calls, max_size=3))
def test_the_write_key_never_gets_more_than_is_public(told):
    from plait.events import PUBLIC

    found = taken(lambda: CALLS.batch(json.dumps({"batch": told}).encode(), trusted=False, now=NOW))

    assert {event.signal for event in events(found)} <= PUBLIC


@QUIET
@given(
    values,
    st.sampled_from(["password", "Pass_Word", "IP", "client-ip", "cardNumber", "CARD NUMBER"]),
    st.booleans(),
    st.lists(st.sampled_from(["a", "b", 0]), max_size=5),
)
def test_a_word_on_the_list_is_seen_wherever_it_stands(beside, word, escaped, way):
    told: Any = {word: "S3CRET", "beside": beside}
    for step in way:
        told = [told] if step == 0 else {step: told, "beside": beside}
    body = json.dumps(
        {"type": "track", "event": "x", "messageId": "m", "userId": "u", "properties": {"at": told}}
    )
    if escaped:
        body = body.replace(f'"{word}"', '"' + "".join(f"\\u{ord(one):04x}" for one in word) + '"')
    found = taken(lambda: CALLS.call(body.encode(), None, trusted=False, now=NOW))

    assert isinstance(found, Taken)
    assert b"S3CRET" not in (found.body or b"")


@QUIET
@given(values, st.integers(1, 80))
def test_depth_is_counted_outside_of_strings_only(told, depth):
    text = json.dumps({"a": "{[" * 50, "b": told})
    scanner = Scanner(["password"])
    for _ in range(depth):
        text = f"[{text}]"
    flags = scanner.look(text.encode(), 1).flags

    assert bool(flags & DEEP) == (depth + 1 + _depth(told) > 40)
    assert bool(flags & WORD) == ('"password"' in text)


def _depth(told: Any) -> int:
    if isinstance(told, dict | list):
        inner = told.values() if isinstance(told, dict) else told
        return 1 + max(map(_depth, inner), default=0)
    return 0
