"""What may come in, what is taken out of it first, and what a sender is told."""

from __future__ import annotations

import contextlib
import json
import tracemalloc
from typing import Any

import msgspec
import pytest

from plait.errors import Rejected
from plait.events import Event, Record, encode_record
from plait.intake import Taken
from plait.intake.admission import Admission
from plait.intake.calls import CallIntake
from plait.intake.checks import timestamp, without_key
from plait.intake.own import EventIntake
from plait.intake.records import blanked, events_of, numbered_events_of
from plait.intake.signals import load_signals
from plait.profiles.consent import ConsentDoor
from plait.profiles.fold import Fold
from plait.settings import Settings
from plait.store import open_store

NOW = 1_800_000_000_000
SIGNALS = load_signals()
TRACK = {"type": "track", "event": "Product Viewed", "messageId": "m1", "userId": "u1"}


def calls_in(**settings: Any) -> CallIntake:
    told = Settings(**settings)
    return CallIntake(Admission(told, ConsentDoor(told)), SIGNALS)


CALLS = calls_in()
OWN = EventIntake(Admission(Settings(), ConsentDoor(Settings())))


def call(told: Any, *, trusted: bool = False, by: CallIntake = CALLS) -> Taken:
    body = told if isinstance(told, bytes) else json.dumps(told).encode()
    return by.call(body, "track", trusted=trusted, now=NOW)


def batch(*calls: Any, trusted: bool = False) -> Taken:
    return CALLS.batch(json.dumps({"batch": calls}).encode(), trusted=trusted, now=NOW)


def own(*events: Any, trusted: bool = True) -> Taken:
    return OWN.events(json.dumps(events).encode(), trusted=trusted, now=NOW)


def events(taken: Taken, kind: Any = "segment") -> list[Event]:
    assert taken.body is not None, taken.refused
    return events_of(Record(kind=kind, source="web", received_at=NOW, body=taken.body), SIGNALS)


@pytest.mark.parametrize(
    ("told", "code", "field"),
    [
        ({"userId": 5.5, "event": ["x"]}, "invalid_field", "event"),
        ({"userId": ["u1"]}, "invalid_field", "userId"),
        ({"userId": {"id": 1}}, "invalid_field", "userId"),
        ({"userId": None}, "missing_identifier", "userId"),
        ({"userId": "  "}, "missing_identifier", "userId"),
        ({"userId": "u\n1"}, "invalid_identifier", "userId"),
        ({"userId": "u" * 500}, "invalid_identifier", "userId"),
        ({"userId": "null"}, "blocked_identifier", "userId"),
        ({"userId": None, "anonymousId": "undefined"}, "blocked_identifier", "anonymousId"),
        ({"event": None}, "invalid_field", "event"),
        ({"event": " "}, "invalid_field", "event"),
        ({"type": "dance"}, "invalid_field", "type"),
        ({"type": "consent"}, "invalid_field", "type"),
        ({"type": "alias"}, "invalid_field", "previousId"),
        ({"type": "group"}, "invalid_field", "groupId"),
        ({"messageId": "m" * 300}, "invalid_field", "messageId"),
        ({"messageId": ["m"]}, "invalid_field", "messageId"),
        ({"properties": []}, "invalid_field", "properties"),
        ({"properties": "tent"}, "invalid_field", "properties"),
        ({"context": 1}, "invalid_field", "context"),
        ({"traits": True}, "invalid_field", "traits"),
        ({"timestamp": "yesterday"}, "invalid_time", "timestamp"),
        ({"timestamp": True}, "invalid_time", "timestamp"),
        ({"sentAt": "99999-01-01T00:00:00Z"}, "invalid_time", "sentAt"),
        ({"originalTimestamp": 1e40}, "invalid_time", "originalTimestamp"),
        ({"properties": {"a": {"b": "x\0"}}}, "invalid_text", "properties.a.b"),
        ({"properties": {"a": ["\ud800"]}}, "invalid_text", "properties.a[0]"),
        ({"properties": {"\udc00": 1}}, "invalid_text", "properties"),
        ({"consent": {"advertise": True}}, "invalid_consent", "consent.advertise"),
        ({"consent": {"collect": "yes"}}, "invalid_field", "consent"),
        ({"properties": {"x": "y" * 33_000}}, "event_too_large", None),
    ],
)  # fmt: skip
def test_a_wrong_call_is_refused_with_the_path_of_what_is_wrong(told, code, field):
    refused = call(TRACK | told).refused[0]

    assert (refused.code, refused.field) == (code, field)
    assert refused.message


def test_in_a_batch_the_path_says_which_call():
    assert batch(TRACK, TRACK | {"properties": {"a": ["\0"]}}).refused[0].field == "batch[1].properties.a[0]"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b'{"batch":[', "invalid_json"),
        (b'{"a":NaN}', "invalid_json"),
        (b'{"a":1}{"b":2}', "invalid_json"),
        (b'{"a":"\xff"}', "invalid_text"),
        (b"[" * 100_000, "too_deep"),
        (b"5", "invalid_body"),
        (b'"text"', "invalid_body"),
        (b"null", "invalid_body"),
        (b"{}", "invalid_field"),
        (b'{"batch":{}}', "invalid_field"),
        (b'{"batch":[%b]}' % b",".join([b"{}"] * 2_501), "batch_too_large"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused_whole(body, code):
    with pytest.raises(Rejected) as wrong:
        CALLS.batch(body, trusted=False, now=NOW)

    assert wrong.value.code == code


def test_what_is_nested_too_deep_is_refused():
    deep: Any = "x"
    for _ in range(60):
        deep = {"a": [deep]}

    assert call(TRACK | {"properties": deep}).refused[0].code == "too_deep"


@pytest.mark.parametrize("number", ["1e999", "-1e400", "1" + "0" * 400])
def test_a_number_that_readers_cannot_hold_is_refused(number):
    body = json.dumps(TRACK)[:-1] + f', "properties": {{"price": {number}}}}}'

    assert call(body.encode()).refused[0].code == "invalid_number"


@pytest.mark.parametrize(
    ("at", "late"),
    [
        ("1970-01-01T00:00:00Z", NOW),
        ("2099-01-01T00:00:00Z", -300_000),
        (NOW - 5_000, 5_000),
        ((NOW - 5_000) / 1000, 5_000),
        ("2027-01-15T08:00:00Z", 0),
        ("2027-01-15 09:00:00+01:00", 0),
        ("2027-01-15T08:00", 0),
        ("20270115T080000Z", 0),
        (None, 0),
    ],
)
def test_times_are_understood_in_the_forms_that_people_write(at, late):
    event = events(call(TRACK | {"timestamp": at}))[0]

    assert event.received_at - event.at == late


def test_a_client_whose_clock_stands_in_1970_is_corrected():
    told = {"originalTimestamp": "1970-01-01T00:00:01Z", "sentAt": "1970-01-01T00:00:03Z"}

    assert events(call(TRACK | told))[0].at == NOW - 2_000


def test_numbers_serve_as_ids():
    event = events(call(TRACK | {"userId": 42, "messageId": 7}))[0]

    assert (event.who, event.id) == (("user:42",), "7")


def test_a_call_without_an_id_is_given_one():
    told = {"event": "x", "userId": "u1"}

    assert len({events(call(told))[0].id for _ in range(3)}) == 3


def test_a_blocked_id_gives_way_to_the_next():
    assert len(events(call(TRACK | {"userId": "null", "anonymousId": "a1"}))) == 1


@pytest.mark.parametrize(
    "secret",
    [
        {"properties": {"password": "S3CRET"}},
        {"properties": {"form": {"Card Number": "S3CRET"}}},
        {"properties": {"list": [{"card-number": "S3CRET"}]}},
        {"context": {"ip": "S3CRET"}},
        {"context": {"request_ip": "S3CRET"}},
        {"traits": {"PWD": "S3CRET"}},
        {"writeKey": "S3CRET"},
        {"writeKey": "S3CRET", "properties": {"writeKey": "S3CRET"}},
        {
            "event": "Form Submitted",
            "properties": {"form_id": "f", "email": "S3CRET", "note": {"x": "S3CRET"}},
        },
    ],
)
@pytest.mark.parametrize("spelt", ["plainly", "in disguise"])
def test_what_must_not_rest_does_not(secret, spelt):
    body = json.dumps(TRACK | secret)
    if spelt == "in disguise":  # JSON lets anything be written as an escape
        for name in ("password", "ip", "writeKey", "PWD", "email"):
            body = body.replace(f'"{name}"', '"' + "".join(f"\\u{ord(one):04X}" for one in name) + '"')
    found = call(body.encode())

    assert found.accepted == 1
    assert b"S3CRET" not in (found.body or b"")


def test_which_form_it_was_is_kept():
    event = events(
        call(TRACK | {"event": "Form Submitted", "properties": {"form_id": "f1", "name": "n", "age": 5}})
    )[0]

    assert event.properties == {"form_id": "f1", "name": "n"}


def test_the_text_of_a_message_does_not_rest():
    told = TRACK | {
        "event": "Message Received",
        "properties": {"text": "hi", "thread": {"body": "hi", "n": 1}},
    }

    assert events(call(told, trusted=True))[0].properties == {"thread": {"n": 1}}


def test_the_text_of_a_message_rests_where_the_operator_wants_it():
    told = TRACK | {"event": "Post Commented", "properties": {"text": "hi"}}

    assert events(call(told, trusted=True, by=calls_in(keep_message_text=True)))[0].properties == {
        "text": "hi"
    }


def test_text_in_other_events_is_no_message():
    assert events(call(TRACK | {"properties": {"text": "a tent"}}))[0].properties == {"text": "a tent"}


def test_the_scrub_list_is_the_operators():
    by = calls_in(scrub=("shoe_size",))

    assert events(call(TRACK | {"properties": {"shoeSize": 44, "pwd": 1}}, by=by))[0].properties == {"pwd": 1}


@pytest.mark.parametrize(
    ("body", "clean"),
    [
        (b'{"writeKey":"k","a":1}', b'{"a":1}'),
        (b'{"a":1,"writeKey":"k"}', b'{"a":1}'),
        (b'{"a":1, "writeKey" : "k" }', b'{"a":1}'),
        (b'{"a":1,"writeKey":null,"b":2}', b'{"a":1,"b":2}'),
        (b'{"writeKey":"k"}', b"{}"),
        (b'{"writeKey":{"k":1}}', None),
        (b'["writeKey"]', None),
        (b'{"writeKey":"k\\u0031","a":1}', None),
    ],
)
def test_a_key_is_cut_out_of_the_bytes(body, clean):
    assert without_key(body, body.index(b'"writeKey"')) == clean


@pytest.mark.parametrize(
    ("told", "code", "field"),
    [
        ({"who": []}, "missing_identifier", "events[0].who"),
        ({"who": ["u1"]}, "invalid_identifier", "events[0].who[0]"),
        ({"who": ["user:a\x1fb"]}, "invalid_identifier", "events[0].who[0]"),
        ({"who": ["user:null"]}, "blocked_identifier", "events[0].who"),
        ({"who": [f"user:{n}" for n in range(17)]}, "invalid_field", "events[0].who"),
        ({"signal": "adore"}, "invalid_field", "events[0].signal"),
        ({"signal": None}, "invalid_field", "events[0].signal"),
        ({"op": "undo"}, "invalid_field", "events[0].op"),
        ({"about": {"thing": 1}}, "invalid_field", "events[0].about.thing"),
        ({"about": {"item": ""}}, "invalid_field", "events[0].about.item"),
        ({"about": {"item": "a\x1fb"}}, "invalid_field", "events[0].about.item"),
        ({"value": "much"}, "invalid_field", "events[0].value"),
        ({"signal": "rate", "value": 5}, "invalid_value", "events[0].value"),
        ({"signal": "dwell", "value": -1}, "invalid_value", "events[0].value"),
        ({"colour": "red"}, "invalid_field", "events[0].colour"),
        ({"at": "noon"}, "invalid_time", "events[0].at"),
        ({"counter": {"view": "v"}}, "invalid_field", "events[0].counter.started_at"),
        ({"signal": "link"}, "invalid_field", "events[0].who"),
        ({"signal": "consent"}, "invalid_field", "events[0].consent"),
        ({"signal": "erase"}, "forbidden", "events[0].signal"),
        ({"op": "erase"}, "forbidden", "events[0].op"),
    ],
)
def test_a_wrong_event_of_our_own_is_refused_with_the_path_of_what_is_wrong(told, code, field):
    refused = own({"signal": "view", "who": ["user:u1"]} | told).refused[0]

    assert (refused.code, refused.field) == (code, field)


def test_our_own_events_say_everything_an_event_can():
    told = {
        "id": "e1", "source": "bluesky:shop", "signal": "like", "op": "retract", "at": NOW - 9_000, "sent_at": NOW - 1_000,
        "who": ["anonymous:a", "bluesky:did:plc:x"], "about": {"post": "77"}, "decision": "d_1",
        "properties": {"a": 1}, "context": {"locale": "de"},
    }  # fmt: skip
    event = events(own(told), "events")[0]

    assert (event.id, event.source, event.op, event.at) == ("e1", "bluesky:shop", "retract", NOW - 8_000)
    assert (event.who, event.about.post) == (("bluesky:did:plc:x", "anonymous:a"), "77")


@pytest.mark.parametrize("wrap", [lambda one: one, lambda one: [one], lambda one: {"events": [one]}])
def test_one_event_many_or_an_envelope_are_all_fine(wrap):
    body = json.dumps(wrap({"signal": "view", "who": "user:u1"})).encode()

    assert OWN.events(body, trusted=False, now=NOW).accepted == 1


def test_a_misspelt_name_beside_events_is_refused():
    with pytest.raises(Rejected) as refused:
        OWN.events(
            b'{"events": [{"signal": "view", "who": ["user:u1"]}], "sentAt": 1}', trusted=False, now=NOW
        )

    assert (refused.value.code, refused.value.field) == ("invalid_field", "sentAt")


def test_events_of_a_question_are_about_who_asks():
    body = b'[{"signal":"view","about":{"item":"tent-2"}}]'
    taken = OWN.events(body, trusted=False, now=NOW, who=("anonymous:a1",))

    assert events(taken, "events")[0].who == ("anonymous:a1",)


def test_a_call_that_is_blanked_leaves_the_others_where_they_were():
    calls = [TRACK | {"messageId": f"m{number}"} for number in range(3)]
    record = Record(kind="segment", source="web", received_at=NOW, body=batch(*calls).body or b"")
    left = numbered_events_of(blanked(record, {1}), SIGNALS)

    assert [(number, event.id) for number, event in left] == [(0, "m0"), (2, "m2")]


def test_what_is_in_order_rests_as_it_came():
    body = json.dumps({"batch": [TRACK] * 3, "sentAt": "2026-01-01T00:00:00Z"}).encode()

    assert CALLS.batch(body, trusted=False, now=NOW).body == body


def test_a_time_is_written_in_one_form():
    assert timestamp("2026-11-22 15:57:45.5+01:00", "at") == "2026-11-22T14:57:45.500000Z"


def test_a_consent_managers_categories_mean_what_the_map_says():
    from plait.intake.signals import compile_signals

    signals = compile_signals(
        [("map", '[consent]\nAnalytics = ["collect"]\nAds = ["personalize", "link"]\n')]
    )
    told = TRACK | {"context": {"consent": {"categoryPreferences": {"Analytics": True, "Ads": False}}}}
    record = Record(
        kind="segment", source="web", received_at=NOW, body=msgspec.json.encode({"batch": [told]})
    )

    assert events_of(record, signals)[0].consent == {"collect": True, "personalize": False, "link": False}


def test_two_of_the_longest_identifiers_fit_a_key_of_the_state(tmp_path):
    who = ["user:" + "u" * 245, "anonymous:" + "é" * 120]
    store = open_store(f"lmdb://{tmp_path}", write=True)
    taken = own({"id": "1", "signal": "identify", "who": who})
    raw = encode_record(Record(kind="events", source="web", received_at=NOW, trusted=True, body=taken.body))

    assert Fold(store, Settings(), SIGNALS).step([(1, raw)]) == 1


@pytest.mark.parametrize("post", ["at://" + "😀" * 240 + "/x", "https://" + "😀" * 180 + "/users/ann/1"])
def test_no_address_that_a_sender_makes_up_is_too_long_for_the_state(tmp_path, post):
    store = open_store(f"lmdb://{tmp_path}", write=True)
    taken = own({"id": "1", "signal": "view", "who": ["anonymous:a"], "about": {"post": post}}, trusted=False)
    raw = encode_record(Record(kind="events", source="web", received_at=NOW, body=taken.body))

    assert Fold(store, Settings(), SIGNALS).step([(1, raw)]) == 1


@pytest.mark.parametrize("started_at", [-1, NOW + 2 * 86_400_000, 10**18, 10**30])
def test_a_counter_starts_between_1970_and_tomorrow(started_at):
    dwell = {"id": "1", "signal": "dwell", "who": ["anonymous:a"], "value": 3}

    taken = own(dwell | {"counter": {"view": "v", "started_at": started_at}})

    assert [(one.code, one.field) for one in taken.refused] == [
        ("invalid_time", "events[0].counter.started_at")
    ]


@pytest.mark.parametrize(
    "sources", [{"s" * 300: False}, {"": False}, {"a\tb": False}, {f"s{n}": False for n in range(65)}]
)
def test_consent_names_sources_that_there_can_be(sources):
    said = {"id": "1", "signal": "consent", "who": ["anonymous:a"], "consent": {"personalize": sources}}

    assert [one.field.partition(".")[2].startswith("consent.personalize") for one in own(said).refused] == [
        True
    ]


@pytest.mark.parametrize(("trusted", "kept"), [(False, "consent"), (True, "view")])
def test_a_yes_beside_somebody_who_said_no_is_the_devices_alone(trusted, kept):
    told = Settings()
    door = ConsentDoor(told)
    door.tell(["user:victim"], {"collect": False}, NOW - 1, "no")
    view = {
        "id": "1",
        "signal": "view",
        "who": ["user:victim", "anonymous:evil"],
        "consent": {"collect": True},
    }

    taken = EventIntake(Admission(told, door)).events(json.dumps([view]).encode(), trusted=trusted, now=NOW)

    assert [event.signal for event in events(taken, "events")] == [kept]


def test_who_is_erased_is_not_remembered_as_somebody_who_may_come_in():
    door = ConsentDoor(Settings())
    admission = Admission(Settings(), door)
    calls, own_events = CallIntake(admission, SIGNALS), EventIntake(admission)
    call(TRACK, by=calls)
    own_events.events(b'[{"id":"1","signal":"view","who":["user:u1"]}]', trusted=False, now=NOW)
    assert "u1" in repr(vars(admission.memo))

    door.forget(["user:u1"], NOW)
    call(TRACK | {"userId": "u2"}, by=calls)

    assert "u1" not in repr(vars(admission.memo))


def test_what_senders_make_up_is_not_remembered_for_ever():
    fresh = calls_in()
    tracemalloc.start()
    for n in range(2_000):  # 60 MB of names, ids and people
        long = {**TRACK, "event": f"{n}-" + "x" * 15_000, "userId": f"{n}-" + "y" * 15_000}
        with contextlib.suppress(Rejected):
            call(long, by=fresh)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert held < 45 << 20


@pytest.mark.parametrize(
    "told",
    [
        {"id": "1", "signal": "view", "who": ["user:u", "x:1"]},
        {"id": "1", "signal": "view", "who": ["x:1", "anonymous:a"]},
        {"id": "1", "signal": "link", "who": ["user:u", "x:1"]},
        {"id": "1", "signal": "link", "who": ["user:u", "x:1"], "consent": {"link": False}},
        {"id": "1", "signal": "identify", "who": ["user:u", "x:1"], "consent": {"link": True}},
    ],
)
def test_what_ties_an_account_on_x_without_an_express_yes_is_refused(told):
    (refused,) = own(told).refused

    assert (refused.code, refused.field, refused.status) == ("opt_in_needed", "events[0].who", 403)


@pytest.mark.parametrize(
    "told",
    [
        {"id": "1", "signal": "link", "who": ["user:u", "x:1"], "consent": {"link": True}},
        {"id": "1", "signal": "unlink", "who": ["user:u", "x:1"]},
        {"id": "1", "signal": "like", "who": ["x:1"], "about": {"post": "77"}},
        {"id": "1", "signal": "view", "who": ["user:u", "bluesky:d"]},
    ],
)
def test_what_ties_nobody_without_their_word_comes_in(told):
    assert own(told).accepted == 1


def test_a_client_that_names_an_account_on_x_beside_a_user_is_told_so():
    told = TRACK | {"context": {"externalIds": [{"type": "x", "id": "1"}]}}

    assert [one.code for one in call(told).refused] == ["opt_in_needed"]
