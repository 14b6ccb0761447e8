"""Bluesky, read live: which acts a stream tells, and what becomes of what is wrong."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs
from tests.fakes.bluesky import (
    ADA,
    BOB,
    LIKE,
    ME,
    NOW,
    POST,
    commit,
    connector,
    error,
    facts,
    frame,
    like,
    post,
    streamed,
    tid,
)

OTHERS = f"at://{BOB}/app.bsky.feed.post/3aaaaaaaaaa2c"


def stream(*frames: bytes | str, start: int = 1, **more):
    return streamed(connector(**more).stream(f"{more.get('stream', 'firehose')}:{start}"), frames)


def mention(did: str) -> dict:
    feature = {"$type": "app.bsky.richtext.facet#mention", "did": did}
    return {"index": {"byteStart": 0, "byteEnd": 3}, "features": [feature]}


def told(*records: dict, did: str = ADA, **more) -> list[tuple[str, str | None]]:
    """What posts by somebody are: (signal, what they are about)."""
    ops = [("create", f"app.bsky.feed.post/3aaaaaaaaaa{n + 2}b", one) for n, one in enumerate(records)]
    found = facts(stream(commit(2, did, *ops), **more))
    return [(one.signal.value, one.about.post or one.about.account) for one in found]


# -- acts ------------------------------------------------------------------------------------------------------


def test_a_like_of_our_post_is_one_act_of_its_author():
    [one] = facts(stream(commit(2, ADA, ("create", LIKE, like()))))

    assert (one.signal, one.op, one.actor, one.about.post) == ("like", "assert", f"bluesky:{ADA}", POST)
    assert one.record == f"at://{ADA}/{LIKE}"
    assert one.at == NOW - 1_000  # of the commit: what the record says of its date is the author's claim


def test_a_like_of_somebody_elses_post_is_none():
    assert facts(stream(commit(2, ADA, ("create", LIKE, like(OTHERS))))) == []


def test_a_watched_person_s_like_of_somebody_elses_post_is_told():
    [one] = facts(stream(commit(2, ADA, ("create", LIKE, like(OTHERS))), watched=[ADA]))

    assert one.about.post == OTHERS


def test_an_unlike_names_only_the_record():
    [one] = facts(stream(commit(2, ADA, ("delete", LIKE, None))))

    assert (one.op, one.record, one.about.post) == ("retract", f"at://{ADA}/{LIKE}", None)


def test_a_stranger_s_unlike_is_not_told():
    assert facts(stream(commit(2, ADA, ("delete", LIKE, None)), known=lambda _: False)) == []


def test_an_unlike_by_somebody_told_of_a_moment_ago_is_told():
    one = connector(known=lambda _: False)
    streamed(one.stream("firehose:1"), [commit(2, ADA, ("create", LIKE, like()))])

    assert len(facts(streamed(one.stream("firehose:2"), [commit(3, ADA, ("delete", LIKE, None))]))) == 1


def test_an_unlike_that_follows_its_like_before_either_is_kept_is_told():
    liked, unliked = commit(2, ADA, ("create", LIKE, like())), commit(3, ADA, ("delete", LIKE, None))

    assert [one.op for one in facts(stream(liked, unliked, known=lambda _: False))] == ["assert", "retract"]


def test_liking_what_one_likes_is_a_delete_with_a_create_and_the_new_one_holds():
    old, new = facts(
        stream(commit(2, ADA, ("delete", LIKE, None), ("create", "app.bsky.feed.like/3aaaaaaaaaa2z", like())))
    )

    assert (old.op, new.op) == ("retract", "assert")
    assert old.record != new.record


def test_a_like_changed_to_another_post_is_taken_back():
    [one] = facts(stream(commit(2, ADA, ("update", LIKE, like(OTHERS)))))

    assert (one.op, one.record) == ("retract", f"at://{ADA}/{LIKE}")


def test_a_reply_deep_in_the_thread_below_our_post_is_about_our_post():
    assert told(post(reply={"root": {"uri": POST}, "parent": {"uri": OTHERS}})) == [("reply", POST)]


def test_a_reply_that_quotes_us_is_two_acts_with_one_record():
    embed = {"$type": "app.bsky.embed.record", "record": {"uri": POST, "cid": "x"}}
    record = post(reply={"root": {"uri": POST}, "parent": {"uri": POST}}, embed=embed)

    reply, quote = facts(stream(commit(2, ADA, ("create", "app.bsky.feed.post/3aaaaaaaaaa2d", record))))

    assert (reply.signal, quote.signal) == ("reply", "quote")
    assert reply.record == quote.record
    assert reply.id != quote.id


def test_a_quote_with_a_picture_is_a_quote():
    embed = {
        "$type": "app.bsky.embed.recordWithMedia", "media": {}, "record": {"record": {"uri": POST, "cid": "x"}},
    }  # fmt: skip

    assert told(post(embed=embed)) == [("quote", POST)]


def test_a_mention_by_facet_is_about_us():
    assert told(post(facets=[mention(ME)])) == [("mention", f"bluesky:{ME}")]


def test_a_reply_that_mentions_us_is_a_reply():
    record = post(facets=[mention(ME)], reply={"root": {"uri": POST}, "parent": {"uri": POST}})

    assert told(record) == [("reply", POST)]


def test_what_watched_people_write_to_others_is_not_read():
    record = post("private enough", reply={"root": {"uri": OTHERS}, "parent": {"uri": OTHERS}})

    [one] = facts(
        stream(commit(2, ADA, ("create", "app.bsky.feed.post/3aaaaaaaaaa2d", record)), watched=[ADA])
    )

    assert (one.signal, one.about.post, one.text) == ("reply", OTHERS, None)


def test_our_own_post_comes_with_its_links_and_tags():
    facet = {"features": [{"$type": "app.bsky.richtext.facet#tag", "tag": "tents"},
                          {"$type": "app.bsky.richtext.facet#link", "uri": "https://shop.test/tent"}]}  # fmt: skip
    embed = {"$type": "app.bsky.embed.external", "external": {"uri": "https://shop.test/card"}}
    record = post("A tent", facets=[facet], embed=embed)

    [page] = stream(commit(2, ME, ("create", "app.bsky.feed.post/3aaaaaaaaaa2a", record)))

    [one] = page.posts
    assert (one.id, one.tags, one.links) == (
        POST,
        ("tents",),
        ("https://shop.test/tent", "https://shop.test/card"),
    )
    assert page.facts == ()


def test_our_own_post_that_was_deleted_is_gone():
    [page] = stream(commit(2, ME, ("delete", "app.bsky.feed.post/3aaaaaaaaaa2a", None)))

    assert [(one.id, one.deleted) for one in page.posts] == [(POST, True)]


@pytest.mark.parametrize(
    ("status", "gone"), [("deleted", True), ("takendown", True), ("suspended", False), ("deactivated", False)]
)
def test_who_was_deleted_or_taken_down_is_forgotten_and_who_may_come_back_is_not(status, gone):
    state = {"seq": 2, "did": ADA, "time": "", "active": False, "status": status}

    found = [one for page in stream(frame("#account", state)) for one in page.gone]

    assert found == ([f"bluesky:{ADA}"] if gone else [])


def test_an_old_server_s_tombstone_forgets_too():
    [page] = stream(frame("#tombstone", {"seq": 2, "did": ADA, "time": ""}))

    assert page.gone == (f"bluesky:{ADA}",)


# -- Jetstream -------------------------------------------------------------------------------------------------


def test_jetstream_tells_the_same_act_under_the_same_id():
    [one] = facts(stream(commit(2, ADA, ("create", LIKE, like()))))
    message = {
        "did": ADA, "time_us": 5, "kind": "commit",
        "commit": {
            "rev": tid(NOW - 1_000), "operation": "create", "collection": "app.bsky.feed.like", "rkey": "3aaaaaaaaaa2b",
            "cid": one.id.partition("#")[2], "record": like(),
        },
    }  # fmt: skip

    assert facts(stream(json.dumps(message), stream="jetstream")) == [one]


def test_jetstream_tells_deletes_and_deleted_accounts():
    delete = {"did": ADA, "time_us": 5, "kind": "commit", "commit": {
        "rev": tid(NOW), "operation": "delete", "collection": "app.bsky.feed.like", "rkey": "3aaaaaaaaaa2b"}}  # fmt: skip
    gone = {"did": BOB, "time_us": 6, "kind": "account", "account": {"active": False, "status": "deleted"}}

    [page] = stream(json.dumps(delete), json.dumps(gone), stream="jetstream")

    assert [one.op for one in page.facts] == ["retract"]
    assert (page.gone, page.cursor) == ((f"bluesky:{BOB}",), "jetstream:6")


# -- a stream that is not as it should be ----------------------------------------------------------------------


def jetstream(us: int, did: str = ADA, **more) -> str:
    made = {"rev": tid(NOW - 1_000), "operation": "create", "collection": "app.bsky.feed.like", "rkey": "3aaaaaaaaaa2b",
            "cid": "c", "record": like()}  # fmt: skip
    return json.dumps({"did": did, "time_us": us, "kind": "commit", "commit": made | more})


YEAR = 31_536_000_000_000  # µs


def test_a_place_in_jetstream_that_is_still_to_come_is_a_gap_and_begins_now():
    """The server would say nothing about it, and tell nothing of what happened until then."""
    steps = connector(stream="jetstream").stream(f"jetstream:{NOW * 1_000 + YEAR}")
    opened = next(steps)

    assert opened.params["cursor"] is None
    [page] = streamed(connector(stream="jetstream").stream(f"jetstream:{NOW * 1_000 + YEAR}"), [])
    assert page.gap


def test_a_moment_to_come_that_jetstream_tells_is_no_place_to_go_on_from():
    pages = stream(
        jetstream(NOW * 1_000 - 9, BOB), jetstream(NOW * 1_000 + YEAR, rkey="3aaaaaaaaaa2c"), jetstream(NOW * 1_000 - 8, rkey="3aaaaaaaaaa2d"),
        stream="jetstream",
    )  # fmt: skip

    assert len(facts(pages)) == 3
    assert pages[-1].cursor == f"jetstream:{NOW * 1_000 - 8}"
    assert [bool(page.gap) for page in pages if page.gap] == [True]


def test_a_place_the_server_does_not_know_begins_anew_and_is_a_gap():
    [page] = stream(error("FutureCursor"))

    assert (page.cursor, bool(page.gap)) == ("firehose:live", True)
    assert streamed(connector().stream(page.cursor), []) == []


def test_a_consumer_that_was_too_slow_goes_on_where_it_was_and_lost_nothing():
    pages = stream(commit(2, ADA, ("create", LIKE, like())), error("ConsumerTooSlow"))

    assert [(page.cursor, page.gap) for page in pages] == [("firehose:2", None)]


def test_a_place_that_is_too_old_is_a_gap():
    [page] = stream(frame("#info", {"name": "OutdatedCursor", "message": ""}))

    assert page.gap


def test_numbers_left_out_in_what_is_told_live_are_a_gap():
    pages = stream(*(commit(n, BOB, ("create", LIKE, like(OTHERS))) for n in (2, 3, 5)))

    assert [page.gap is not None for page in pages if page.gap] == [True]


def test_numbers_left_out_of_a_replay_are_accounts_that_were_deleted_since():
    assert not any(page.gap for page in stream(commit(40, BOB, ("create", LIKE, like(OTHERS)))))


def test_a_commit_that_follows_one_we_never_saw_is_a_gap():
    first = commit(2, ADA, ("create", LIKE, like()), at=NOW - 9_000)
    third = commit(3, ADA, ("delete", LIKE, None), at=NOW - 7_000, since=tid(NOW - 8_000))

    assert [bool(page.gap) for page in stream(first, third)] == [True]


def test_a_repo_that_was_replaced_is_a_gap():
    assert [
        bool(page.gap) for page in stream(frame("#sync", {"seq": 2, "did": ADA, "rev": "", "blocks": b""}))
    ] == [True]


def test_a_thousand_broken_frames_are_one_gap():
    pages = stream(*([b"\xff\x00"] * 1_000), commit(2, ADA, ("create", LIKE, like())))

    assert sum(page.gap is not None for page in pages) == 1
    assert len(facts(pages)) == 1


def test_a_flood_of_one_account_comes_in_small_pages_and_none_of_it_is_lost():
    pages = stream(
        *(commit(n, ADA, ("create", f"app.bsky.feed.like/{tid(NOW, n)}", like())) for n in range(2, 1_702))
    )

    assert len({one.id for one in facts(pages)}) == 1_700
    assert max(len(page.facts) for page in pages) == 500


def test_a_truncated_car_drops_the_commit_and_says_so():
    whole = commit(2, ADA, ("create", LIKE, like()))
    body = {"blocks": b"\x3a\xa2" + ME.encode()}
    broken = commit(2, ADA, ("create", LIKE, like()), **body)

    pages = stream(broken, commit(3, BOB, ("create", LIKE, like())))

    assert [one.actor for one in facts(pages)] == [f"bluesky:{BOB}"]
    assert any(page.gap for page in pages)
    assert [page.dropped for page in pages] == [{"car": 1}]
    assert len(facts(stream(whole))) == 1


def test_a_block_that_is_not_what_its_name_says_is_dropped():
    forged = commit(2, ADA, ("create", LIKE, like())).replace(
        b"2026-11-28T12:00:00Z", b"2026-11-29T12:00:00Z"
    )

    assert facts(stream(forged)) == []


@pytest.mark.parametrize(
    "record",
    [
        post(facets=[{"features": "many"}, mention(ME)]),
        post(facets=7, reply={"root": {"uri": POST}, "parent": {"uri": POST}}),
        post(reply={"root": {"uri": POST}}),
        post("x" * 3_001, facets=[mention(ME)]),
        post(["not", "a", "text", ME]),
    ],
)
def test_what_the_network_would_not_take_either_is_no_act(record):
    """It is counted, so that the operator is told, and the log has no line of its own: who writes such posts would fill it."""
    with capture_logs() as logs:
        pages = stream(
            commit(2, ADA, ("create", "app.bsky.feed.post/3aaaaaaaaaa2b", record)), commit(3, BOB, ("create", LIKE, like()))
        )  # fmt: skip

    assert [one.actor for one in facts(pages)] == [f"bluesky:{BOB}"]
    assert [page.dropped for page in pages] == [{"invalid_record": 1}]
    assert logs == []


def test_a_kind_of_facet_that_nobody_knows_yet_harms_nothing():
    new = {"features": [{"$type": "app.bsky.richtext.facet#hologram", "depth": 3}]}

    assert told(post(facets=[new, mention(ME)])) == [("mention", f"bluesky:{ME}")]


def test_a_commit_from_the_future_is_told_as_of_now():
    [one] = facts(stream(commit(2, ADA, ("create", LIKE, like()), at=NOW + 10**9)))

    assert one.at == NOW


_frames = [
    commit(2, ADA, ("create", LIKE, like()), ("delete", LIKE, None)),
    commit(3, ADA, ("create", "app.bsky.feed.post/3aaaaaaaaaa2d", post(facets=[mention(ME)]))),
    frame("#account", {"seq": 4, "did": ADA, "active": False, "status": "deleted"}),
]


@given(st.sampled_from(_frames), st.integers(0, 10_000), st.binary(max_size=12), st.booleans())
def test_no_broken_frame_ends_the_stream(raw, at, noise, cut):
    at %= len(raw)
    broken = raw[:at] + noise + (b"" if cut else raw[at + len(noise) :])
    good = commit(9, BOB, ("create", LIKE, like()))

    found = facts(stream(broken, good))

    assert f"bluesky:{BOB}" in [one.actor for one in found]


@given(st.recursive(st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5) | st.just(ME),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
                        st.sampled_from(["did", "kind", "commit", "account", "time_us", "record", "rkey", "operation"]),
                        inner, max_size=6)))  # fmt: skip
def test_no_broken_message_of_jetstream_ends_the_stream(message):
    good = {"did": BOB, "time_us": 9, "kind": "commit", "commit": {
        "rev": tid(NOW), "operation": "create", "collection": "app.bsky.feed.like", "rkey": "3aaaaaaaaaa2b", "cid": "c",
        "record": like()}}  # fmt: skip

    assert len(facts(stream(json.dumps(message), json.dumps(good), stream="jetstream"))) == 1
