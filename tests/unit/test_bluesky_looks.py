"""Bluesky, looked at: which acts a look and the past tell where nothing streams, and none of them twice."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs
from tests.fakes.bluesky import (
    ADA,
    BOB,
    LIKE,
    ME,
    POST,
    answered,
    chat_log,
    commit,
    connector,
    facts,
    like,
    post,
    streamed,
)
from tests.scripted import answer, remembered

from plait.connectors import Page


class Host:
    """A host of one account, as far as looks ask it; its lists can be changed between two looks."""

    def __init__(self) -> None:
        self.likes, self.followers, self.notes, self.logs = [ADA], [BOB], [], []

    def __call__(self, method, params):
        match method:
            case "com.atproto.repo.listRecords":
                return {"records": [{"uri": POST, "cid": "c", "value": post("A tent")}]}
            case "app.bsky.notification.listNotifications":
                return {"notifications": self.notes}
            case "app.bsky.feed.getPosts":
                return {
                    "posts": [{"uri": POST, "likeCount": len(self.likes), "repostCount": 0, "quoteCount": 0}]
                }
            case "app.bsky.feed.getLikes":
                return {
                    "likes": [
                        {"actor": {"did": one}, "indexedAt": "2026-01-01T00:00:00Z"} for one in self.likes
                    ]
                }
            case "app.bsky.actor.getProfile":
                return {"followersCount": len(self.followers)}
            case "app.bsky.graph.getFollowers":
                return {"followers": [{"did": one} for one in self.followers]}
            case "chat.bsky.convo.getLog":
                return {"cursor": "3", "logs": self.logs if not params.get("cursor") else []}
        return {"repostedBy": [], "posts": [], "follows": []}

    def like(self, did: str) -> None:
        self.notes.insert(0, {
            "uri": f"at://{did}/{LIKE}", "cid": "c", "author": {"did": did}, "reason": "like", "record": like(),
            "indexedAt": f"2026-09-21T12:00:{len(self.notes):02}Z",
        })  # fmt: skip


def test_the_first_look_only_sees_who_is_there():
    assert facts(answered(connector().poll(None), Host())) == []


def test_who_is_gone_from_a_list_at_the_next_look_took_it_back():
    one, host = connector(), Host()
    answered(one.poll(None), host)
    host.likes, host.followers = [], []

    left = facts(answered(one.poll(None), host))

    assert [(f.signal, f.op, f.actor, f.completeness) for f in left] == [
        ("like", "retract", f"bluesky:{ADA}", "inferred"), ("follow", "retract", f"bluesky:{BOB}", "inferred"),
    ]  # fmt: skip


class Hiding(Host):
    """A host that counts more than it lists."""

    hidden = 0

    def __call__(self, method, params):
        told = super().__call__(method, params)
        if method == "app.bsky.feed.getPosts":
            told["posts"][0]["likeCount"] += self.hidden
        return told


def test_nobody_is_taken_for_gone_when_a_list_is_much_shorter_than_its_count():
    one, host = connector(), Hiding()
    host.likes = [f"did:plc:{number:024}" for number in range(40)]
    answered(one.poll(None), host)
    there, host.likes, host.hidden = host.likes, [], 39
    with capture_logs() as logs:
        assert facts(answered(one.poll(None), host)) == []
    host.likes, host.hidden = there[:39], 0

    assert "list_not_read_whole" in [each.get("reason") for each in logs]
    assert [(f.op, f.actor) for f in facts(answered(one.poll(None), host))] == [
        ("retract", f"bluesky:{there[39]}")
    ]


def test_who_was_always_hidden_keeps_nobody_from_leaving():
    one, host = connector(), Hiding()
    host.likes, host.hidden = [ADA, BOB], 10
    answered(one.poll(None), host)
    host.likes = [BOB]

    assert [f.actor for f in facts(answered(one.poll(None), host))] == [f"bluesky:{ADA}"]


def test_who_came_without_being_told_of_is_inferred_where_no_stream_tells_it():
    one, host = connector(stream="none"), Host()
    answered(one.poll(None), host)
    host.likes.append(BOB)

    assert [(f.op, f.actor) for f in facts(answered(one.poll(None), host))] == [("assert", f"bluesky:{BOB}")]


def test_who_came_and_was_told_of_is_told_once():
    one, host = connector(), Host()
    answered(one.poll(None), host)
    host.likes.append(BOB)
    host.like(BOB)

    assert [f.completeness for f in facts(answered(one.poll(None), host))] == ["identified"]


def test_a_notification_and_the_firehose_tell_one_act_under_one_id():
    [streamed_one] = facts(
        streamed(connector().stream("firehose:1"), [commit(2, ADA, ("create", LIKE, like()))])
    )
    host = Host()
    host.like(ADA)
    host.notes[0]["cid"] = streamed_one.id.partition("#")[2]

    [polled] = facts(answered(connector().poll(None), host))

    assert polled.id == streamed_one.id
    assert polled.record == streamed_one.record


def test_notifications_are_told_oldest_first_and_once():
    one, host = connector(), Host()
    host.like(ADA)
    host.like(BOB)
    pages = answered(one.poll(None), host)
    cursor = next(page.cursor for page in pages if page.cursor)
    host.like("did:plc:" + "c" * 24)

    assert [f.actor[-1] for f in facts(pages)] == ["a", "b"]
    # The newest is read again: another of the same moment may have come after it. Its id is known.
    assert [f.actor[-1] for f in facts(answered(one.poll(cursor), host))] == ["b", "c"]


def test_a_moment_to_come_is_no_place_to_look_on_from():
    one, host = connector(), Host()
    host.like(ADA)
    host.notes[0]["indexedAt"] = "9999-01-01T00:00:00Z"
    cursor = next(page.cursor for page in answered(one.poll(None), host) if page.cursor)
    host.like(BOB)
    poisoned = '{"seen":"9999-01-01T00:00:00Z"}'

    assert f"bluesky:{BOB}" in {f.actor for f in facts(answered(one.poll(cursor), host))}
    assert {f.actor for f in facts(answered(one.poll(poisoned), host))} == {
        f"bluesky:{ADA}",
        f"bluesky:{BOB}",
    }


@pytest.mark.parametrize("lie", ["same", "two in turn", "empty"])
def test_a_host_whose_paging_goes_round_does_not_hold_us(lie):
    host = Host()
    host.like(ADA)
    turns = iter(range(10**6))

    def lying(method, params):
        told = dict(host(method, params))
        if method == "app.bsky.notification.listNotifications":
            told["cursor"] = {"same": "x", "two in turn": f"x{next(turns) % 2}", "empty": f"x{next(turns)}"}[
                lie
            ]
            if lie == "empty" and params.get("cursor"):
                told["notifications"] = []
        return told

    assert {f.actor for f in facts(answered(connector().poll(None), lying))} == {f"bluesky:{ADA}"}
    assert {f.actor for f in facts(answered(connector().backfill(None), lying))} >= {f"bluesky:{ADA}"}


def test_notifications_that_cannot_be_read_cost_no_other():
    host = Host()
    host.notes = [None, 7, {"uri": 3}, {"uri": POST}, {"uri": f"at://{ADA}/{LIKE}", "cid": "c", "record": [],
                                                       "indexedAt": "2026-09-21T12:00:00Z"}]  # fmt: skip
    host.like(ADA)
    with capture_logs() as logs:
        found = facts(answered(connector().poll(None), host))

    assert [f.actor for f in found] == [f"bluesky:{ADA}"]
    assert logs


def test_messages_of_others_are_read_when_that_was_asked_for():
    host = Host()
    host.logs = chat_log()["logs"]

    written, deleted = facts(answered(connector(messages="yes").poll(None), host))

    assert (written.signal, written.text, written.about.account) == (
        "message", "is it waterproof?", f"bluesky:{ME}",
    )  # fmt: skip
    assert (deleted.op, deleted.record) == ("retract", written.record)
    assert facts(answered(connector().poll(None), host)) == []


@pytest.mark.parametrize("lie", ["same", "another each time", "endless"])
def test_a_log_of_messages_that_goes_on_for_ever_does_not_hold_us(lie):
    host, asked = Host(), 0

    def lying(method, params):
        nonlocal asked
        if method != "chat.bsky.convo.getLog":
            return host(method, params)
        asked += 1
        place = {"same": "x", "another each time": f"x{asked}", "endless": "x" * 100_000}[lie]
        return chat_log() | {"cursor": place}

    pages = answered(connector(messages="yes").poll(None), lying)

    assert asked <= 100
    assert {f.op for f in facts(pages)} == {"assert", "retract"}
    assert all(len(page.cursor or "") < 1_000 for page in pages)


def test_a_password_that_may_not_read_messages_costs_the_look_nothing():
    host = Host()
    host.like(ADA)

    found = answered(
        connector(messages="yes").poll(None),
        lambda method, params: 403 if "chat" in method else host(method, params),
    )

    assert len(facts(found)) == 1


# -- the past --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("stream", "nameless"), [("none", [BOB]), ("firehose", [])])
def test_the_past_is_told_without_records_only_where_no_stream_will_undo_it(stream, nameless):
    host = Host()
    host.likes = [ADA, BOB]
    host.like(ADA)

    found = [f for f in facts(answered(connector(stream=stream).backfill(None), host)) if f.signal == "like"]

    assert [f.actor for f in found if f.record] == [f"bluesky:{ADA}"]
    assert [f.actor for f in found if not f.record] == [f"bluesky:{one}" for one in nameless]


def test_the_past_told_twice_is_told_under_the_same_ids():
    once, again = (facts(answered(connector(watched=[BOB]).backfill(None), Host())) for _ in range(2))

    assert [f.id for f in once] == [f.id for f in again]
    assert once


def test_what_is_taken_back_while_the_past_is_on_its_way_to_the_disk_is_told():
    """Nobody knows its author yet, and what strangers delete is not told."""
    host, one = Host(), connector(known=lambda _: False)
    host.like(ADA)
    steps, sent = one.backfill(None), None
    while not (isinstance(step := steps.send(sent), Page) and step.facts):
        sent = (
            None if isinstance(step, Page) else answer(host(step.url.rpartition("/")[2], dict(step.params)))
        )
    [told] = step.facts

    [undone] = facts(streamed(one.stream("firehose:1"), [commit(2, ADA, ("delete", LIKE, None))]))

    assert (told.op, undone.op, undone.record) == ("assert", "retract", told.record)


def test_a_backfill_goes_on_from_where_it_was_killed():
    pages = answered(connector().backfill(None), Host())
    for page in pages:
        rest = facts(answered(connector().backfill(page.cursor), Host()))
        before = facts(pages[: pages.index(page) + 1])

        assert {f.id for f in [*before, *rest]} == {f.id for f in facts(pages)}


def test_whom_a_watched_follower_follows_is_told_and_whom_a_stranger_follows_is_not():
    def host(method, params):
        if method == "app.bsky.graph.getFollows":
            return {"follows": [{"did": "did:plc:" + "z" * 24}]}
        return Host()(method, params)

    def follows(one):
        return [
            f.actor
            for f in facts(answered(one.backfill(None), host))
            if f.about.account == "bluesky:did:plc:" + "z" * 24
        ]

    assert follows(connector(watched=[BOB])) == [f"bluesky:{BOB}"]
    assert follows(connector()) == []
    assert follows(connector(watched=[BOB], hops="0")) == []
    assert follows(connector(watched=[BOB], hops="2")) == [f"bluesky:{BOB}", "bluesky:did:plc:" + "z" * 24]


def test_who_is_erased_is_not_in_mind_any_more():
    other = "did:plc:" + "o" * 24
    theirs = f"at://{other}/app.bsky.feed.post/3aaaaaaaaaa2c"
    host, one = Host(), connector(watched=[BOB], stream="firehose")
    host.likes = [ADA, BOB]
    host.like(ADA)
    answered(one.poll(None), host)
    streamed(one.stream("firehose:1"), [commit(2, BOB, ("create", LIKE, like(theirs)))])
    assert all(did in remembered(one) for did in (ADA, other))

    one.forget({f"bluesky:{ADA}", f"bluesky:{other}"}.__contains__)

    assert [did for did in (ADA, other) if did in remembered(one)] == []
    assert BOB in remembered(one)


def test_what_no_list_dates_is_told_as_a_guess():
    host = Host()
    host.followers = [BOB]

    found = facts(answered(connector(stream="none").backfill(None), host))

    assert {(fact.signal.value, fact.dated) for fact in found} == {("like", True), ("follow", False)}
