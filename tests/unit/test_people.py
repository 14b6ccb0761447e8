"""What is known of a person, read when it is asked."""

import msgspec
from bench.plain import PlainLog, PlainStore

from plait.events import Record, encode_record
from plait.intake.records import events_of
from plait.intake.signals import load_signals
from plait.profiles import everybody, history, people
from plait.profiles.consent import ConsentDoor
from plait.profiles.fold import Fold
from plait.settings import ConsentDefaults, Settings

NOW = 1_780_000_000_000
SIGNALS = load_signals()
OPEN = Settings(consent=ConsentDefaults(link=True, social=True))
CAREFUL = Settings()


class Shop:
    """A log, the state it folds to, and questions about it."""

    def __init__(self, settings: Settings = OPEN) -> None:
        self.settings = settings
        self.log, self.store = PlainLog(), PlainStore()
        self.fold = Fold(self.store, settings, SIGNALS, log=self.log)
        self.told = 0

    def tell(self, *facts, trusted=True):
        self.log.append([encode_record(self.record(*facts, trusted=trusted))])
        self.fold.step(self.log.read(self.fold.position))

    def record(self, *facts, trusted=True):
        body = []
        for fact in facts:
            self.told += 1
            body.append({"id": f"m{self.told}", "signal": "view", "at": NOW, **fact})
        return Record(
            kind="events", source="web", received_at=NOW, trusted=trusted, body=msgspec.json.encode(body)
        )

    def profile(self, identifier, **more):
        return people.profile(self.store, identifier, now=NOW, settings=self.settings, **more)

    def interests(self, identifier, **more):
        found = self.profile(identifier, **more)
        return {(one.source, one.signal, one.id) for one in found.entries}


TENT = {"about": {"item": "tent"}}
LOGIN = {"signal": "identify", "who": ["user:u", "anonymous:a"]}


def test_nothing_is_known_of_a_stranger():
    assert Shop().profile("user:nobody") is None


def test_what_was_done_before_the_login_counts_for_the_user():
    shop = Shop()
    shop.tell({"who": ["anonymous:a"], **TENT}, LOGIN)

    assert shop.interests("user:u") == {("web", "view", "tent")}


def test_without_consent_to_link_it_does_not():
    shop = Shop(CAREFUL)
    shop.tell({"who": ["anonymous:a"], **TENT}, LOGIN)

    assert shop.profile("user:u").identifiers == ["user:u"]


def test_consent_that_came_with_the_login_is_enough():
    shop = Shop(CAREFUL)
    shop.tell({"who": ["anonymous:a"], **TENT}, {**LOGIN, "consent": {"link": True}})

    assert shop.interests("user:u") == {("web", "view", "tent")}


def test_unlinking_takes_the_other_device_out_again():
    shop = Shop()
    shop.tell({"who": ["anonymous:a"], **TENT}, LOGIN)

    shop.tell({"signal": "unlink", "who": ["user:u", "anonymous:a"], "at": NOW + 1})

    assert shop.interests("user:u") == set()
    assert shop.interests("anonymous:a") == {("web", "view", "tent")}


def test_who_says_no_to_being_personalised_is_served_as_a_stranger():
    shop = Shop()
    shop.tell(
        {"who": ["user:u"], **TENT},
        {"signal": "consent", "who": ["user:u"], "consent": {"personalize": False}},
    )

    assert shop.interests("user:u") == set()
    assert shop.interests("user:u", purpose=None) == {("web", "view", "tent")}


def test_a_withdrawal_at_the_door_holds_before_it_is_folded():
    shop = Shop()
    shop.tell({"who": ["user:u"], **TENT})
    door = ConsentDoor(OPEN)
    door.tell(["user:u"], {"personalize": False}, NOW + 1, "m")

    assert shop.interests("user:u", door=door) == set()


def test_a_source_is_a_column_that_can_be_left_out():
    shop = Shop()
    shop.tell(
        {"who": ["user:u"], **TENT},
        {"who": ["user:u"], "source": "app", **TENT, "consent": {"personalize": {"app": False}}},
    )

    assert shop.interests("user:u") == {("web", "view", "tent")}


def test_likes_are_used_with_consent_to_the_social_side_only():
    shop = Shop(CAREFUL)
    like = {"who": ["user:u"], "signal": "like", "source": "bluesky", "about": {"post": "77"}}
    shop.tell({"who": ["user:u"], **TENT}, like)
    assert shop.interests("user:u") == {("web", "view", "tent")}

    shop.tell({"signal": "consent", "who": ["user:u"], "consent": {"social": True}})

    assert shop.interests("user:u") == {("web", "view", "tent"), ("bluesky", "like", "77")}


def test_a_devices_denial_covers_its_own_fragment_whatever_was_said_elsewhere():
    shop = Shop()
    shop.tell(
        {"who": ["anonymous:a"], **TENT}, LOGIN, {"who": ["user:u"], "about": {"item": "stove"}},
        {"signal": "consent", "who": ["anonymous:a"], "at": NOW - 5, "consent": {"personalize": False}},
        {"signal": "consent", "who": ["user:u"], "consent": {"personalize": True}},
    )  # fmt: skip

    assert shop.interests("user:u") == {("web", "view", "stove")}


def test_a_claimed_device_cannot_undo_what_the_person_withdrew():
    shop = Shop()
    shop.tell({"who": ["user:u"], **TENT, "at": NOW - 9, "consent": {"personalize": False}})

    shop.tell({**LOGIN, "consent": {"personalize": True}}, trusted=False)

    assert shop.interests("user:u") == set()


def test_an_account_on_a_network_is_never_joined_without_a_word_of_how():
    shop = Shop()
    shop.tell(
        {"signal": "identify", "who": ["user:u", "bluesky:b"], "at": NOW - 5},
        {"signal": "identify", "who": ["user:u", "email:e"], "at": NOW - 5},
        {"signal": "link", "who": ["user:u", "mastodon:m"], "properties": {"proof": "code"}, "at": NOW - 3},
    )

    links = {
        link["identifiers"][0]: (link.get("how"), link.get("at")) for link in shop.profile("user:u").links
    }

    assert links == {
        "bluesky:b": ("statement", NOW - 5),
        "email:e": (None, None),
        "mastodon:m": ("code", NOW - 3),
    }


def test_links_of_a_shared_device_are_not_shown_to_who_shares_it():
    shop = Shop()
    shop.tell(LOGIN, {"signal": "identify", "who": ["user:v", "anonymous:a"]})

    named = {one for link in shop.profile("user:u").links for one in link["identifiers"]}

    assert named == {"user:u", "anonymous:a"}


def test_a_kiosk_shows_as_quarantined():
    shop = Shop()
    shop.tell(*[{"signal": "identify", "who": [f"user:{n}", "anonymous:k"]} for n in range(1, 10)])

    (link,) = shop.profile("user:3").links

    assert (link["quarantined"], link["counts"]) == (True, False)


def test_recent_events_come_newest_first_over_all_identifiers():
    shop = Shop()
    shop.tell({"who": ["anonymous:a"], "at": NOW - 9}, LOGIN, {"who": ["user:u"], "at": NOW + 9})

    found = history.recent(shop.store, shop.log, "user:u", 2, settings=OPEN, signals=SIGNALS)

    assert [one["at"] for one in found] == [NOW + 9, NOW]


def test_recent_events_can_be_paged():
    shop = Shop()
    shop.tell(*[{"who": ["user:u"], "at": NOW - n} for n in range(5)])

    found = history.recent(shop.store, shop.log, "user:u", 2, settings=OPEN, signals=SIGNALS, before=NOW - 1)

    assert [one["at"] for one in found] == [NOW - 2, NOW - 3]


def test_an_export_holds_all_that_is_held():
    shop = Shop()
    shop.tell(
        {"who": ["anonymous:a"], **TENT}, {**LOGIN, "traits": {"size": 42}, "consent": {"social": False}}
    )

    told = history.export(shop.store, shop.log, "user:u", settings=OPEN, signals=SIGNALS, now=NOW)

    assert told is not None
    assert told["traits"] == {"size": 42}
    assert {one["id"] for one in told["interests"]} == {"tent"}
    assert len(told["events"]) == 2
    assert told["statements"]["user:u"]["social"]["granted"] is False


def test_there_is_no_export_of_a_stranger():
    assert history.export(PlainStore(), PlainLog(), "user:x", settings=OPEN, signals=SIGNALS, now=NOW) is None


def rows(shop):
    return {
        row: {one.id for one in entries}
        for row, entries in everybody.training_rows(shop.store, shop.settings, now=NOW)
    }


def test_a_person_is_one_row_to_learn_from():
    shop = Shop()
    shop.tell({"who": ["anonymous:a"], **TENT}, LOGIN, {"who": ["user:u"], "about": {"item": "stove"}})
    shop.tell(
        {"signal": "link", "who": ["user:u", "email:e"]}, {"who": ["email:e"], "about": {"item": "mat"}}
    )

    assert rows(shop) == {"email:e": {"tent", "stove", "mat"}}


def test_a_shared_device_is_a_row_of_its_own_and_read_by_each():
    shop = Shop()
    shop.tell(
        {"who": ["anonymous:a"], **TENT}, LOGIN, {"signal": "identify", "who": ["user:v", "anonymous:a"]}
    )

    assert rows(shop) == {"anonymous:a": {"tent"}, "user:u": {"tent"}, "user:v": {"tent"}}


def test_a_person_who_only_acted_on_a_device_is_a_row():
    shop = Shop()
    shop.tell(
        {"who": ["anonymous:a"], **TENT}, {"signal": "view", "who": ["anonymous:b"], "about": {"item": "mat"}}
    )
    shop.tell(
        {"signal": "link", "who": ["user:u", "anonymous:a"]},
        {"signal": "link", "who": ["user:u", "anonymous:b"]},
    )

    assert list(rows(shop).values()) == [{"tent", "mat"}]


def test_nobody_who_said_no_is_learned_from():
    shop = Shop()
    shop.tell({"who": ["user:u"], **TENT, "consent": {"personalize": False}}, {"who": ["user:v"], **TENT})

    assert rows(shop) == {"user:v": {"tent"}}


def test_an_event_that_came_with_the_question_is_in_the_answer_once():
    shop = Shop()
    fresh = shop.record({"who": ["user:u"], **TENT})
    inline = events_of(fresh, SIGNALS)
    assert shop.profile("user:u", inline=inline).counts == {"view": 1}

    shop.log.append([encode_record(fresh)])
    shop.fold.step(shop.log.read(shop.fold.position))

    assert shop.profile("user:u", inline=inline).counts == {"view": 1}


def test_a_login_that_came_with_the_question_joins_the_device():
    shop = Shop()
    shop.tell({"who": ["anonymous:a"], **TENT})

    inline = events_of(shop.record(LOGIN), SIGNALS)

    assert shop.interests("user:u", inline=inline) == {("web", "view", "tent")}


def test_a_claim_that_brings_its_own_consent_does_not_outdo_who_said_no_to_links():
    shop = Shop()
    shop.tell({"signal": "consent", "who": ["user:victim"], "consent": {"link": False}})
    claim = {
        "signal": "identify",
        "who": ["user:victim", "anonymous:evil"],
        "consent": {"link": True},
        "at": NOW + 1,
    }

    shop.tell({"who": ["anonymous:evil"], **TENT}, claim, trusted=False)

    assert shop.profile("user:victim").identifiers == ["user:victim"]


def test_who_takes_back_a_no_to_links_with_the_secret_key_is_linked_again():
    shop = Shop()
    shop.tell({"signal": "consent", "who": ["user:u"], "consent": {"link": False}}, LOGIN)

    shop.tell({"signal": "consent", "who": ["user:u"], "consent": {"link": True}, "at": NOW + 1})

    assert shop.profile("user:u").identifiers == ["user:u", "anonymous:a"]


def test_a_flood_of_claimed_devices_takes_no_proven_one_away():
    shop = Shop()
    shop.tell({"who": ["anonymous:a"], **TENT}, LOGIN)
    claims = [{"signal": "identify", "who": ["user:u", f"anonymous:evil{n}"]} for n in range(70)]

    shop.tell(*claims, trusted=False)

    assert shop.profile("user:u").identifiers == ["user:u", "anonymous:a"]
