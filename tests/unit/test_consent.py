"""What people allow: the newest word wins, and ties deny."""

import pytest

from plait.events import Event, Signal
from plait.profiles.consent import ConsentDoor, resolve, resolved, statements_of
from plait.settings import ConsentDefaults, Settings


def said(**words):
    """Statements from ``purpose=(at, granted)``; ``purpose__source`` for one source."""
    return {name.replace("__", "\x1f"): (at, "m", granted) for name, (at, granted) in words.items()}


@pytest.mark.parametrize(
    ("statements", "holds"),
    [
        ([], True),
        ([said(personalize=(1, False))], False),
        ([said(personalize=(1, False)), said(personalize=(2, True))], True),
        ([said(personalize=(2, False)), said(personalize=(2, True))], False),
        ([said(personalize=(1, True), personalize__web=(0, False))], False),
        ([said(personalize=(1, True), personalize__web=(2, True))], True),
        ([said(personalize=(1, False), personalize__web=(2, True))], True),
        ([said(personalize=(2, False), personalize__web=(2, True))], False),
        ([said(personalize__app=(2, False))], True),
    ],
)
def test_the_newest_word_wins_ties_deny_and_a_source_that_was_withdrawn_stays_so(statements, holds):
    assert resolve("personalize", "web", statements, default=True) is holds


def test_what_nobody_spoke_of_is_as_the_settings_say():
    assert resolved([], ConsentDefaults()) == {
        "collect": True, "personalize": True, "link": False, "social": False,
    }  # fmt: skip


def test_a_source_that_differs_is_told_apart():
    assert resolved([said(social__bluesky=(1, True))], ConsentDefaults())["social@bluesky"] is True


def event(consent, *, who=("user:u", "anonymous:a"), proven=False, signal="view"):
    return Event(
        id="m",
        source="web",
        signal=Signal(signal),
        at=1,
        received_at=1,
        who=who,
        consent=consent,
        proven=proven,
    )


def words(*args, **more):
    return {(one.identifier, one.purpose, one.granted) for one in statements_of(event(*args, **more))}


def test_at_the_door_a_no_that_came_with_a_link_is_about_that_link_alone():
    """As in the state, or a restart would change who is linked to whom."""
    door = ConsentDoor(Settings())

    door.tell_event(
        event({"link": False, "social": False}, who=("user:u", "bluesky:b"), proven=True, signal="link")
    )

    assert {purpose for one in ("user:u", "bluesky:b") for purpose in door.statements(one)} == {"social"}


def test_a_denial_holds_for_everybody_it_names():
    assert words({"personalize": False}) == {
        ("user:u", "personalize", False),
        ("anonymous:a", "personalize", False),
    }


def test_the_write_key_grants_for_devices_only():
    assert words({"personalize": True}) == {("anonymous:a", "personalize", True)}


def test_the_secret_key_grants_for_everybody():
    assert {one for one, _, _ in words({"personalize": True}, proven=True)} == {"user:u", "anonymous:a"}


def test_a_word_may_be_about_one_source():
    assert words({"social": {"bluesky": True}}, proven=True, who=("user:u",)) == {
        ("user:u", "social\x1fbluesky", True)
    }


def test_what_comes_with_a_link_about_linking_is_about_that_edge_alone():
    assert words({"link": True}, proven=True, signal="link") == set()


def test_a_purpose_nobody_knows_is_no_statement():
    assert words({"dancing": False}) == set()


def test_a_withdrawal_holds_from_the_next_request_on():
    door = ConsentDoor(Settings())
    assert not door.refuses(["anonymous:a"], "web")

    door.tell(["anonymous:a"], {"collect": False}, 5, "m1")

    assert door.refuses(["anonymous:a"], "web")
    assert not door.refuses(["anonymous:b"], "web")


def test_the_door_keeps_the_newest_word_however_it_arrives():
    door = ConsentDoor(Settings())
    door.tell(["user:u"], {"collect": True}, 9, "m2")
    door.tell(["user:u"], {"collect": False}, 5, "m1")

    assert not door.refuses(["user:u"], "web")


def test_the_door_asks_all_who_are_named():
    door = ConsentDoor(Settings())
    door.tell(["user:u"], {"collect": False}, 5, "m1")

    assert door.refuses(["user:u", "anonymous:new"], "web")


def test_nobody_is_bound_by_the_yes_of_a_device_beside_them():
    door = ConsentDoor(Settings())
    door.tell(["user:victim"], {"collect": False}, 5, "m1")
    door.tell(["anonymous:evil"], {"collect": True}, 9, "m2", proven=False)

    assert door.refuses(["user:victim", "anonymous:evil"], "web")
    assert not door.refuses(["anonymous:evil"], "web")


def test_a_device_that_says_yes_again_is_collected_again():
    door = ConsentDoor(Settings())
    door.tell(["anonymous:a"], {"collect": False}, 5, "m1", proven=False)
    door.tell(["anonymous:a"], {"collect": True}, 9, "m2", proven=False)

    assert not door.refuses(["user:u", "anonymous:a"], "web")


def test_the_no_of_a_device_holds_for_who_is_named_beside_it():
    door = ConsentDoor(Settings())
    door.tell(["user:u"], {"collect": True}, 5, "m1")
    door.tell(["anonymous:a"], {"collect": False}, 9, "m2", proven=False)

    assert door.refuses(["user:u", "anonymous:a"], "web")
