"""The Python client without a network: what an answer means, when to try again, and that nothing is lost on the way."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.client import AsyncClient, Client, Rejected, Unavailable, event, token
from plait.client.core import BATCH, BATCH_BYTES, GATHER, Answer, Outbox, encoded, error_of, log_lost, wait_of
from plait.client.questions import Pause, Questions, Request
from plait.keys import Keys

TAKEN = Answer(200, b'{"success":true,"accepted":1}')
LATER = Answer(503, b'{"code":"disk_full","message":"full"}')


def box(**more) -> Outbox:
    return Outbox(chance=lambda: 0.0, **more)


def raw(id: str, **more) -> bytes:
    return encoded(event("view", "user:ann", id=id, item="tent-2", **more))


def sent(body: object) -> list[str]:
    assert isinstance(body, bytes)
    return [one["id"] for one in json.loads(body)]


def test_importing_the_client_loads_nothing_of_the_server():
    heavy = {
        "numba",
        "lmdb",
        "numpy",
        "scipy",
        "duckdb",
        "sqlglot",
        "starlette",
        "structlog",
        "httpx",
        "plait.http",
    }
    code = "import plait.client, sys; print(*sys.modules)"

    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()

    assert heavy.isdisjoint(loaded)


def test_both_clients_offer_the_same():
    def offered(kind):
        return {name for name, _ in inspect.getmembers(kind) if not name.startswith("_")}

    assert offered(Client) == offered(AsyncClient)
    assert offered(Questions) <= offered(Client)


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (Answer(0, trouble="refused"), Unavailable, "no_answer"),
        (LATER, Unavailable, "disk_full"),
        (Answer(429, b'{"code":"lagging","message":"wait"}'), Unavailable, "lagging"),
        (Answer(408, b'{"code":"slow_sender","message":"slow"}'), Unavailable, "slow_sender"),
        (Answer(502, b"<html>Bad Gateway</html>"), Unavailable, "not_plait"),
        (Answer(404, b"<html>Not here</html>"), Unavailable, "not_plait"),
        (Answer(200, b"<html>Please sign in</html>"), Unavailable, "not_plait"),
        (Answer(302, b""), Unavailable, "not_plait"),
        (Answer(401, b'{"code":"unknown_key","message":"no"}'), Rejected, "unknown_key"),
        (Answer(404, b'{"code":"unknown_person","message":"no"}'), Rejected, "unknown_person"),
    ],
)
def test_an_answer_says_what_to_do_next(answer, kind, code):
    error = error_of(answer)

    assert (type(error), error.code) == (kind, code)


def test_waits_double_up_to_half_a_minute():
    waits = [wait_of(tries, LATER, lambda: 0.0) for tries in range(1, 12)]

    assert waits[:4] == [0.1, 0.2, 0.4, 0.8]
    assert waits[-1] == 15.0
    assert wait_of(11, LATER, lambda: 0.999) == pytest.approx(30.0, rel=0.01)


@pytest.mark.parametrize(("told", "least"), [("7", 7.0), ("99999", 600.0), ("soon", 0.1), ("-3", 0.1)])
def test_no_try_comes_before_the_server_asked_for_it(told, least):
    assert wait_of(1, LATER._replace(retry_after=told), lambda: 0.0) == least


def test_a_retry_after_may_be_a_date():
    date = format_datetime(datetime.fromtimestamp(datetime.now().timestamp() + 60, UTC), usegmt=True)

    assert 50 < wait_of(1, LATER._replace(retry_after=date), lambda: 0.0) <= 60


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"signal": "veiw", "who": "user:ann"}, "invalid_field"),
        ({"signal": "view", "who": "ann"}, "invalid_identifier"),
        ({"signal": "view", "who": ["user:ann"] * 17}, "invalid_field"),
        ({"signal": "dwell", "who": "user:ann", "value": float("nan")}, "invalid_value"),
        ({"signal": "view", "who": "user:ann", "at": datetime(2026, 1, 1)}, "invalid_time"),
        ({"signal": "consent", "who": "user:ann", "consent": {"everything": True}}, "invalid_consent"),
    ],
)
def test_what_the_server_would_refuse_is_refused_where_it_is_written(wrong, code):
    with pytest.raises(Rejected) as caught:
        event(wrong.pop("signal"), wrong.pop("who"), **wrong)

    assert caught.value.code == code


def test_a_misspelt_signal_is_told_the_right_one():
    with pytest.raises(Rejected, match="purchase"):
        event("purchse", "user:ann")


@pytest.mark.parametrize("properties", [{"a": object()}, {"a": "x" * 40_000}])
def test_an_event_that_cannot_be_sent_is_refused(properties):
    with pytest.raises(Rejected):
        encoded(event("view", "user:ann", properties=properties))


def test_an_event_waits_a_moment_for_others():
    out = box()
    out.put(raw("a"), now=0.0)
    assert out.step(0.0, 1) == GATHER
    out.put(raw("b"), now=0.05)

    assert sent(out.step(GATHER, 1)) == ["a", "b"]


def test_a_flush_does_not_wait_for_others():
    out = box()
    out.put(raw("a"), now=0.0)
    out.hurry()

    assert sent(out.step(0.0, 1)) == ["a"]


def test_what_failed_is_sent_again_under_the_same_id_and_a_new_clock():
    out = box()
    out.put(raw("a"), now=0.0)
    first = json.loads(out.step(1.0, 1_000))
    out.told(LATER, now=1.0)
    assert out.step(1.0, 1_001) == pytest.approx(0.1)

    again = json.loads(out.step(1.2, 1_200))

    assert again == [first[0] | {"sent_at": 1_200}]


def test_an_event_that_the_server_refuses_does_not_hold_up_the_others():
    out = box()
    for id in "abc":
        out.put(raw(id), now=0.0)
    out.step(1.0, 1)

    (lost,) = out.told(
        Answer(200, b'{"accepted":2,"refused":[{"index":1,"code":"no","message":"no","field":"x"}]}'), 1.0
    )

    assert [one["id"] for one in lost.events] == ["b"]
    assert (len(out), out.done, out.lost) == (0, 3, 1)


def test_events_that_are_wrong_alike_are_told_together_and_the_log_names_nobody(caplog):
    out = box()
    for id in "abc":
        out.put(raw(id), now=0.0)
    out.step(1.0, 1)
    refused = [
        {
            "index": n,
            "code": "blocked_identifier",
            "message": "user:ann stands for nobody",
            "field": f"events[{n}].who",
        }
        for n in range(3)
    ]

    (lost,) = out.told(Answer(400, json.dumps(refused[0] | {"refused": refused}).encode()), 1.0)
    log_lost(lost.events, lost.error)

    assert caplog.messages == ["3 events were not taken: blocked_identifier see events[0].who"]


@pytest.mark.parametrize("code", ["no_consent", "erased"])
def test_who_said_no_is_no_loss(code):
    out = box()
    out.put(raw("a"), now=0.0)
    out.step(1.0, 1)
    answer = b'{"success":true,"accepted":0,"refused":[{"index":0,"code":"%b","message":""}]}' % code.encode()

    assert out.told(Answer(200, answer), 1.0) == []
    assert (out.done, out.lost) == (1, 0)


def test_a_wrong_key_is_told_and_not_tried_for_ever():
    out = box()
    out.put(raw("a"), now=0.0)
    out.step(1.0, 1)

    (lost,) = out.told(Answer(401, b'{"code":"unknown_key","message":"no"}'), 1.0)

    assert lost.error.code == "unknown_key"
    assert out.step(1.0, 1) is None


def test_a_login_page_before_the_server_is_no_verdict():
    out = box()
    out.put(raw("a"), now=0.0)
    out.step(1.0, 1)

    assert out.told(Answer(200, b'{"login":"please"}'), 1.0) == []
    assert len(out) == 1


def test_what_is_too_large_for_a_proxy_is_sent_in_parts():
    out = box()
    for id in "abcd":
        out.put(raw(id), now=0.0)
    out.step(1.0, 1)
    out.told(Answer(413, b"<html>too large</html>"), 1.0)
    assert sent(out.step(1.0, 1)) == ["a", "b"]
    out.told(Answer(413, b"<html>too large</html>"), 1.0)
    assert sent(out.step(1.0, 1)) == ["a"]

    (lost,) = out.told(Answer(413, b"<html>too large</html>"), 1.0)

    assert [one["id"] for one in lost.events] == ["a"]
    assert len(out) == 3


def test_a_batch_is_no_larger_than_the_server_takes():
    out = box()
    for n in range(600):
        out.put(raw(str(n), properties={"text": "x" * 1_000}), now=0.0)

    body = out.step(1.0, 1)

    assert len(body) < BATCH_BYTES + BATCH
    assert len(sent(body)) > 300


def test_memory_is_bounded():
    out = box(room=1_000)
    taken = [out.put(raw(str(n)), now=0.0) for n in range(20)]

    assert taken.count(True) == 1_000 // len(raw("0"))
    assert taken[-1] is False


def test_an_event_put_while_nobody_answers_is_lost_with_the_reason():
    out = box(room=10)
    out.put(raw("a"), now=0.0)
    out.step(1.0, 1)
    out.told(Answer(0, trouble="refused"), 1.0)

    lost = out.lose(raw("b"))

    assert "refused" in lost.error.message
    assert out.lost == 1


def test_what_is_left_at_the_end_is_told():
    out = box()
    out.put(raw("a"), now=0.0)
    out.step(1.0, 1)

    (lost,) = out.give_up()

    assert (lost.error.code, [one["id"] for one in lost.events]) == ("not_delivered", ["a"])
    assert out.told(TAKEN, 2.0) == []  # the answer came after all


@given(st.lists(st.sampled_from(["put", "step", "taken", "later", "interrupted", "cut"]), max_size=60))
def test_whatever_happens_every_event_is_sent_in_order_until_it_is_taken(acts):
    out, now = box(), 0.0
    put: list[str] = []
    taken: list[str] = []
    under_way: list[str] = []
    for act in acts + ["step", "taken"] * 61:
        now += 60.0
        if act == "put":
            put.append(str(len(put)))
            out.put(raw(put[-1]), now)
        elif act == "step":
            body = out.step(now, 1)
            under_way = sent(body) if isinstance(body, bytes) else under_way
        elif act == "interrupted":
            out.interrupted()
            under_way = []
        elif under_way:
            answer = {"taken": TAKEN, "later": LATER, "cut": Answer(0, trouble="cut")}[act]
            assert out.told(answer, now) == []
            if act == "taken":
                taken += under_way
            under_way = []

    assert taken == put
    assert (len(out), out.done) == (0, len(put))


def carried_out(steps, answers, clock):
    """Run steps by hand: what was asked, and what came of it."""
    asked, told = [], None
    try:
        while True:
            action = steps.send(told)
            asked.append(action)
            told = answers.pop(0) if isinstance(action, Request) else None
            clock.append(clock[-1] + (action.seconds if isinstance(action, Pause) else 0.01))
    except StopIteration as done:
        return asked, done.value


def test_a_question_is_asked_again_while_there_is_time():
    clock = [0.0]
    ask = Questions("sk", clock=lambda: clock[-1], chance=lambda: 0.0)

    asked, told = carried_out(
        ask.personalize("home.grid", "user:ann", events=[{"signal": "view"}]),
        [LATER, Answer(0, trouble="cut"), Answer(200, b'{"placements":{}}')],
        clock,
    )

    requests = [one for one in asked if isinstance(one, Request)]
    assert told == {"placements": {}}
    assert len({one.body for one in requests}) == 1, "the same ids, so that nothing counts twice"
    assert json.loads(requests[0].body)["events"][0]["id"]


def test_a_question_gives_up_when_its_time_is_over():
    clock = [0.0]
    ask = Questions("sk", clock=lambda: clock[-1], chance=lambda: 0.0)

    with pytest.raises(Unavailable, match="full"):
        carried_out(ask.personalize("home.grid", timeout=1.0), [LATER] * 50, clock)

    assert clock[-1] < 1.1


def test_a_token_is_the_one_that_the_server_makes():
    keys = Keys(write="wk", secret="sk_of_a_shop_that_is_long", pepper="p")

    assert token(keys.secret, "user:ann", 1_790_000_000_000) == keys.token("user:ann", 1_790_000_000_000)
    assert token(keys.secret, "user:ann", 5, "live") == keys.token("user:ann", 5, "live")


@pytest.mark.parametrize(("url", "key"), [("plait.shop.example", "sk"), ("https://plait.shop.example", "")])
def test_a_client_that_cannot_work_says_so_at_once(url, key):
    with pytest.raises(Rejected):
        Client(url, key)
