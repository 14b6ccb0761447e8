"""The connector for Mastodon's API, against answers as servers give them, and as they should not."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from tests.scripted import Script, answer, remembered

from plait.connectors import Account, Answer, Ask, Frame, connector_of
from plait.connectors._fediverse import text_of
from plait.connectors.mastodon import Connector
from plait.errors import Rejected, Unavailable

NOW = 1_790_000_000_000
ME = "mastodon:shop@social.example"
POST = "https://social.example/users/shop/statuses/100"
ACCOUNT = Account(
    source=ME, host="https://social.example", me=ME, handle="@shop@social.example",
    settings={"id": "7", "domain": "social.example", "streams": "sse", "streaming": "https://social.example"},
)  # fmt: skip
NOTHING = {
    "/api/v1/notifications": answer([]),
    "/api/v1/accounts/7/statuses": answer([]),
    "/api/v1/accounts/verify_credentials": answer({"id": "7", "followers_count": 0}),
    "/api/v1/accounts/7/followers": answer([]),
}


def connector() -> Connector:
    return Connector(ACCOUNT, watched=lambda _: False, now=lambda: NOW)


def person(name: str, number: str = "9") -> dict[str, Any]:
    return {"id": number, "acct": name}


def status(number: str = "100", **more: Any) -> dict[str, Any]:
    return {
        "id": number, "uri": f"https://social.example/users/shop/statuses/{number}", "visibility": "public",
        "account": {"id": "7", "acct": "shop"}, "created_at": "2026-09-01T10:00:00.000Z", "content": "<p>Tarn 2</p>",
        "favourites_count": 0, "reblogs_count": 0, "replies_count": 0,
    } | more  # fmt: skip


def notified(number: str, kind: str, name: str = "ann@far.example", **more: Any) -> dict[str, Any]:
    return {
        "id": number, "type": kind, "created_at": "2026-09-02T10:00:00.000Z", "account": person(name),
    } | more  # fmt: skip


def reply(number: str = "200", **more: Any) -> dict[str, Any]:
    return status(
        number, uri=f"https://far.example/n/{number}", account=person("ann@far.example"), content="<p>how heavy?</p>",
        in_reply_to_id="100", in_reply_to_account_id="7",
    ) | more  # fmt: skip


def polled(replies: dict[str, Any], *, cursor: str | None = None, one: Connector | None = None) -> Script:
    script = Script(NOTHING | replies)
    script.run((one or connector()).poll(cursor))
    return script


# -- what is told ----------------------------------------------------------------------------------------------


def test_a_favourite_is_a_like_of_the_post():
    script = polled({"/api/v1/notifications": answer([notified("1", "favourite", status=status())])})

    assert script.facts == [("like", "assert", "ann@far.example", POST)]


def test_a_boost_is_a_share_and_a_follow_is_of_the_account():
    found = [notified("2", "follow", "bob"), notified("1", "reblog", status=status())]

    script = polled({"/api/v1/notifications": answer(found)})

    assert script.facts == [
        ("share", "assert", "ann@far.example", POST),
        ("follow", "assert", "bob@social.example", ME),
    ]


def test_an_answer_names_the_post_that_it_answers():
    found = [notified("1", "mention", status=reply())]

    script = polled({"/api/v1/notifications": answer(found), "/api/v1/statuses/100": answer(status())})

    assert script.facts == [("reply", "assert", "ann@far.example", POST)]
    (fact,) = script.pages[0].facts
    assert (fact.record, fact.text) == ("https://far.example/n/200", "how heavy?")


@pytest.mark.parametrize(
    ("more", "signal"),
    [
        ({"in_reply_to_id": None, "in_reply_to_account_id": None}, "mention"),
        ({"in_reply_to_id": None, "in_reply_to_account_id": None, "visibility": "direct"}, "message"),
        (
            {"in_reply_to_id": None, "in_reply_to_account_id": None,
             "quote": {"state": "accepted", "quoted_status": status()}},
            "quote",
        ),
    ],
)  # fmt: skip
def test_what_is_written_to_us_is_told_by_what_it_is(more: dict[str, Any], signal: str):
    script = polled({"/api/v1/notifications": answer([notified("1", "mention", status=reply(**more))])})

    assert [one[0] for one in script.facts] == [signal]


def test_a_poll_goes_on_where_the_last_one_ended():
    first = polled({"/api/v1/notifications": answer([notified("1", "favourite", status=status())])})
    cursor = first.pages[-1].cursor

    def newer(ask: Ask) -> Answer:
        assert ask.params["min_id"] in ("1", "2")
        return answer([notified("2", "reblog", status=status())] if ask.params["min_id"] == "1" else [])

    assert polled({"/api/v1/notifications": newer}, cursor=cursor).facts == [
        ("share", "assert", "ann@far.example", POST)
    ]


def test_a_place_that_the_server_does_not_count_to_is_a_gap_and_left():
    """A server that was set up anew, or one that told a number of a notification as none has it."""

    def notifications(ask: Ask) -> Answer:
        since = int(ask.params.get("min_id") or 0)
        return answer(
            [notified(str(n), "favourite", f"a{n}", status=status()) for n in (13, 12) if n > since]
        )

    script = polled({"/api/v1/notifications": notifications}, cursor='{"since":"99999999999999999999"}')

    assert [bool(page.gap) for page in script.pages if page.gap] == [True]
    cursor = next(page.cursor for page in script.pages if page.gap)
    assert json.loads(cursor)["since"] == "13"


def test_a_newest_notification_that_was_taken_back_is_no_gap():
    def notifications(ask: Ask) -> Answer:
        return answer([] if ask.params.get("min_id") else [notified("12", "favourite", status=status())])

    assert not [page.gap for page in polled({"/api/v1/notifications": notifications}, cursor='{"since":"13"}').pages if page.gap]  # fmt: skip


def test_the_cursor_names_nobody():
    script = polled({"/api/v1/notifications": answer([notified("1", "mention", status=reply())])})

    assert "ann" not in str(script.pages[-1].cursor)


def test_forty_posts_with_long_addresses_fit_into_a_cursor():
    posts = [status(str(n), uri=f"https://social.example/{n}/{'x' * 200}") for n in range(100, 140)]

    script = polled({"/api/v1/accounts/7/statuses": answer(posts)})

    assert len(str(script.pages[-1].cursor)) <= 4_000


# -- what nobody notifies of -----------------------------------------------------------------------------------


def liked_by(*names: str, count: int | None = None) -> dict[str, Any]:
    return {
        "/api/v1/accounts/7/statuses": answer(
            [status(favourites_count=len(names) if count is None else count)]
        ),
        "/api/v1/statuses/100/favourited_by": answer([person(name) for name in names]),
        "/api/v1/statuses/100/reblogged_by": answer([]),
        "/api/v1/statuses/100/context": answer({"ancestors": [], "descendants": []}),
    }


def looked(replies: dict[str, Any], held: list[str], signal: str = "like", about: str = POST) -> Script:
    script = Script(NOTHING | replies)
    script.held[signal, about] = [(f"mastodon:{one}", None) for one in held]
    script.run(connector().poll(None))
    return script


def test_who_was_told_and_is_no_longer_listed_has_taken_it_back():
    script = looked(liked_by("bob@far.example"), ["ann@far.example", "bob@far.example"])

    assert script.facts == [("like", "retract", "ann@far.example", POST)]
    assert script.pages[-1].facts[0].completeness == "inferred"


def test_who_is_listed_and_was_not_told_is_told():
    assert looked(liked_by("bob@far.example"), []).facts == [("like", "assert", "bob@far.example", POST)]


@pytest.mark.parametrize("count", [3, 40])
def test_nobody_is_taken_for_gone_when_a_list_is_shorter_than_its_count(count: int):
    assert (
        looked(liked_by("bob@far.example", count=count), ["ann@far.example", "bob@far.example"]).facts == []
    )


def test_nobody_is_taken_for_gone_when_the_followers_are_hidden():
    hidden = {"/api/v1/accounts/verify_credentials": answer({"id": "7", "followers_count": 2})}

    assert looked(hidden, ["ann@far.example", "bob@far.example"], "follow", ME).facts == []


def test_who_unfollowed_is_found_out():
    one = {
        "/api/v1/accounts/verify_credentials": answer({"id": "7", "followers_count": 1}),
        "/api/v1/accounts/7/followers": answer([person("bob@far.example")]),
    }

    script = looked(one, ["ann@far.example", "bob@far.example"], "follow", ME)

    assert script.facts == [("follow", "retract", "ann@far.example", ME)]


def test_a_list_whose_pages_lead_in_a_circle_ends_and_proves_nothing():
    circle = answer([person("bob@far.example")], link='<https://social.example/api/v1/x?page=2>; rel="next"')
    replies = liked_by("bob@far.example") | {
        "/api/v1/statuses/100/favourited_by": circle, "https://social.example/api/v1/x": circle,
    }  # fmt: skip

    script = looked(replies, ["ann@far.example"])

    assert script.facts == [("like", "assert", "bob@far.example", POST)]
    assert len(script.asked) < 12


def test_a_list_that_leads_to_another_host_is_not_followed():
    away = answer([person("bob@far.example")], link='<https://evil.example/steal>; rel="next"')

    script = looked(liked_by("bob@far.example") | {"/api/v1/statuses/100/favourited_by": away}, [])

    assert not [one.url for one in script.asked if "evil" in one.url]


def test_notifications_that_come_again_and_again_end_the_look():
    again = answer(
        [notified("5", "favourite", status=status())],
        link='<https://social.example/api/v1/notifications>; rel="prev"',
    )

    script = polled({"/api/v1/notifications": again}, cursor='{"since":"4"}')

    assert len(script.facts) == 1


def test_an_answer_that_was_deleted_while_nobody_listened_is_taken_back():
    script = Script(NOTHING | liked_by() | {"/api/v2/search": answer({"statuses": []})})
    script.held["reply", POST] = [("mastodon:ann@far.example", "https://far.example/n/200")]

    script.run(connector().poll(None))

    (fact,) = script.pages[-1].facts
    assert (fact.op, fact.actor, fact.record) == (
        "retract",
        "mastodon:ann@far.example",
        "https://far.example/n/200",
    )


def test_a_post_that_is_gone_is_told_as_deleted():
    first = polled(liked_by())

    script = polled({"/api/v1/accounts/7/statuses": answer([status("50")])}, cursor=first.pages[-1].cursor)

    assert [(one.id, one.deleted) for one in script.pages[-1].posts] == [
        ("https://social.example/users/shop/statuses/50", False), (POST, True),
    ]  # fmt: skip


# -- streams ---------------------------------------------------------------------------------------------------


def streamed(*frames: Frame) -> Script:
    script = Script(NOTHING | {"/api/v1/statuses/100": answer(status())}, list(frames))
    script.run(connector().stream(None))
    return script


def event(name: str, payload: Any) -> Frame:
    return Frame(payload if isinstance(payload, str) else json.dumps(payload), name)


def test_a_streamed_notification_is_told_at_once():
    assert streamed(event("notification", notified("1", "favourite", status=status()))).facts == [
        ("like", "assert", "ann@far.example", POST)
    ]


def test_a_websocket_says_the_same_in_other_words():
    payload = json.dumps(notified("1", "favourite", status=status()))
    frame = Frame(json.dumps({"stream": ["user"], "event": "notification", "payload": payload}))

    assert streamed(frame).facts == [("like", "assert", "ann@far.example", POST)]


def test_a_streamed_deletion_takes_back_what_was_told_under_that_number():
    script = streamed(event("notification", notified("1", "mention", status=reply())), event("delete", "200"))

    assert [(one.op, one.record) for page in script.pages for one in page.facts] == [
        ("assert", "https://far.example/n/200"), ("retract", "https://far.example/n/200"),
    ]  # fmt: skip


def test_frames_that_make_no_sense_are_passed_over():
    nonsense = [
        Frame(b"\xff\xfe"), Frame("{"), Frame("[]"), Frame("7"), Frame('{"event": "notification", "payload": "{"}'),
        event("notification", [1]), event("notification", {"type": "favourite"}), event("delete", "unknown"),
        Frame("[" * 100_000, "notification"), event("update", {"account": 7}), event("conversation", {}),
    ]  # fmt: skip

    assert streamed(*nonsense).facts == []


def test_nothing_is_opened_where_the_server_does_not_stream():
    quiet = Account(source=ME, host="https://social.example", me=ME, settings={"streams": "none"})

    assert list(Connector(quiet, watched=lambda _: False, now=lambda: NOW).stream(None)) == []


# -- signing in ------------------------------------------------------------------------------------------------


def signed_in(version: str, **more: Any) -> Account:
    script = Script({
        "/api/v1/accounts/verify_credentials": answer({"id": "7", "acct": "Shop", "uri": "https://social.example/users/shop"}),
        "/api/v2/instance": answer({"domain": "example.org", "version": version} | more),
        "https://social.example/users/shop": answer({"inbox": "https://social.example/users/shop/inbox",
                                                     "endpoints": {"sharedInbox": "https://social.example/inbox"}}),
    })  # fmt: skip
    session = script.run(Connector.sign_in({"access_token": "t0ken"}, "https://social.example", NOW))
    assert "t0ken" not in repr(session)
    return session.account


def test_signing_in_finds_out_who_we_are_and_where_deliveries_go():
    account = signed_in("4.5.0")

    assert account.me == "mastodon:shop@example.org"
    assert account.settings["inbox"] == "https://social.example/users/shop/inbox https://social.example/inbox"


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        ("4.5.0", "sse"), ("4.6.0-nightly.2026-01-01", "sse"), ("0.19.1+git-5ca86ce", "ws"),
        ("2.7.2 (compatible; Pleroma 2.6.0)", "ws"), ("4.0.0 (not true; really snac/2.75)", "none"), ("", "ws"),
    ],
)  # fmt: skip
def test_servers_are_streamed_from_in_the_way_they_can(version: str, kind: str):
    assert signed_in(version).settings["streams"] == kind


@pytest.mark.parametrize(
    ("told", "base"),
    [
        ("wss://streaming.social.example", "https://streaming.social.example"),
        ("wss://social.example", "https://social.example"),
        ("wss://streaming.evil.example", "https://social.example"), ("ws://127.0.0.1:6379", "https://social.example"),
        ("wss://notsocial.example", "https://social.example"), ("wss://[", "https://social.example"),
    ],
)  # fmt: skip
def test_a_server_names_a_stream_of_its_own_and_no_other(told: str, base: str):
    found = signed_in("4.5.0", configuration={"urls": {"streaming": told}})

    assert found.settings["streaming"] == base


def test_an_actor_that_a_server_puts_elsewhere_is_asked_for_guardedly():
    script = Script({
        "/api/v1/accounts/verify_credentials": answer({"id": "7", "acct": "Shop", "uri": "https://10.0.0.1/users/shop"}),
        "/api/v2/instance": answer({"domain": "example.org", "version": "4.5.0"}),
    })  # fmt: skip

    script.run(Connector.sign_in({"access_token": "t0ken"}, "https://social.example", NOW))

    assert [one.url for one in script.asked if one.guarded] == ["https://10.0.0.1/users/shop"]


def test_a_token_that_is_not_taken_is_told_to_whoever_connects():
    script = Script({"/api/v1/accounts/verify_credentials": answer({"error": "invalid"}, 401)})

    with pytest.raises(Rejected) as found:
        script.run(Connector.sign_in({"access_token": "old"}, "https://social.example", NOW))

    assert (found.value.status, found.value.field) == (401, "access_token")


def test_a_token_that_was_revoked_ends_a_poll():
    with pytest.raises(Rejected, match="revoked"):
        polled({"/api/v1/notifications": answer({"error": "The access token was revoked"}, 401)})


# -- bad input -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body", [b'{"error": "cut', b"<html>502</html>", b'{"error": "x"}', b"null", b"\xff", b"[" * 200_000]
)
def test_an_answer_that_is_no_list_is_asked_for_later(body: bytes):
    with pytest.raises(Unavailable):
        polled({"/api/v1/notifications": answer(body)})


def test_one_notification_that_makes_no_sense_costs_no_other():
    one = connector()
    senseless = [
        {"id": "2"}, {"id": "3", "type": "favourite", "account": None, "created_at": "x"},
        {"id": "4", "type": ["favourite"]}, notified("5", "favourite", status="x"), notified("6", "follow", "a b@c"),
        notified("7", "mention", status={"uri": 7}), notified("8", "favourite", status=status(uri="\0")), 7, None,
        notified("9", "follow", created_at="99999-01-01"), notified("10", "follow", name="@"), {"id": None},
    ]  # fmt: skip

    script = polled(
        {"/api/v1/notifications": answer([notified("11", "favourite", status=status()), *senseless])}, one=one
    )

    assert script.facts == [("like", "assert", "ann@far.example", POST)]
    assert sum(one.view.ignored.values()) == 9


def test_kinds_of_notification_that_are_nobodys_act_are_ignored_by_name():
    one = connector()

    polled(
        {
            "/api/v1/notifications": answer(
                [notified("1", "poll", status=status()), notified("2", "new_in_2027")]
            )
        },
        one=one,
    )

    assert one.view.ignored == {"a poll ended": 1, "a kind of notification that we do not know": 1}


@pytest.mark.parametrize(
    "bomb",
    [
        "<a " * 30_000, "<div>" * 20_000, "<!--" * 16_000, "<" * 65_000, "&" * 65_000, "<a href='" + "x" * 65_000,
        "&#" + "9" * 60_000 + ";", "<script>" + "</scrip" * 9_000, "<a href=\"https://x.example/\">" * 10_000, "\0" * 65_000,
        "<a b='" * 10_000, "]]>" * 20_000, "x" * 5_000_000,
    ],
)  # fmt: skip
def test_html_that_means_harm_is_read_in_no_time(bomb: str):
    began = time.perf_counter()

    text, links = text_of(bomb)

    assert (
        time.perf_counter() - began < 1.0
    )  # 0.01 to 0.15 s; the standard library's parser needs minutes for the first
    assert len(text) <= 10_000
    assert len(links) <= 50


def test_html_becomes_the_text_a_person_reads():
    html = (
        '<p><span class="h-card"><a href="https://social.example/@shop" class="u-url mention">@<span>shop</span></a></span> '
        'is <b>Tarn&nbsp;2</b> &lt; 2 kg?<br>See <a href="https://shop.example/tarn-2?a=1&amp;b=2">shop.example/tarn</a></p>'
        '<script>alert(1)</script><p>Tag <a href="https://social.example/tags/tent" class="mention hashtag">#tent</a></p>'
    )

    assert text_of(html) == (
        "@shop is Tarn 2 < 2 kg?\nSee shop.example/tarn\nTag #tent", ("https://shop.example/tarn-2?a=1&b=2",)
    )  # fmt: skip


def test_the_connector_is_found_by_its_name():
    assert connector_of("mastodon") is Connector


# -- the past --------------------------------------------------------------------------------------------------


def test_a_backfill_that_was_killed_goes_on_where_it_was():
    pages = {None: ["103", "102"], "102": ["101", "100"], "100": []}
    replies = {
        "/api/v1/accounts/7/statuses": lambda ask: answer(
            [status(one) for one in pages[ask.params["max_id"]]]
        ),
        "/api/v1/accounts/7/following": answer([person("carl@far.example")]),
    }
    whole = Script(NOTHING | replies)
    whole.run(connector().backfill(None))
    killed_after = whole.pages[0].cursor

    resumed = Script(NOTHING | replies)
    resumed.run(connector().backfill(killed_after))

    assert [one.id[-3:] for page in whole.pages for one in page.posts] == ["103", "102", "101", "100"]
    assert [one.id[-3:] for page in resumed.pages for one in page.posts] == ["101", "100"]
    assert ("follow", "assert", "shop@social.example", "mastodon:carl@far.example") in whole.facts


def test_a_backfill_ends_though_the_server_shows_the_same_page_for_ever():
    script = Script(NOTHING | {"/api/v1/accounts/7/statuses": answer([status("101"), status("100")])})

    script.run(connector().backfill(None))

    assert [one.id[-3:] for page in script.pages for one in page.posts] == ["101", "100"]


def test_who_is_erased_is_not_in_mind_any_more():
    one, told = connector(), notified("5", "mention", status=reply())
    script = Script(NOTHING | {"/api/v1/notifications": [answer([told]), answer([])]})
    script.run(one.poll(None))
    assert "ann@far.example" in remembered(one)

    one.forget("mastodon:ann@far.example".__eq__)

    assert "ann@far.example" not in remembered(one)
