"""From the log to the state: the message window, the cache, and what happens when a commit fails."""

import time

import msgspec
import pytest
from bench.plain import PlainLog, PlainStore

from plait.errors import Corrupt, Unavailable
from plait.events import DAY, Record, checked_identifier, encode_record
from plait.intake.signals import load_signals
from plait.profiles import people
from plait.profiles.fold import Fold
from plait.profiles.forgetting import ERASURES, decode_erasure
from plait.profiles.fragment import decode_fragment
from plait.profiles.state import ASIDE, BUCKET
from plait.settings import ConsentDefaults, IdentityLimits, Settings
from plait.store import open_store
from plait.workers import compare, erase_record

NOW = 1_780_000_000_000
SIGNALS = load_signals()
OPEN = Settings(consent=ConsentDefaults(link=True, social=True))


def record(*facts, at=NOW):
    told = [
        {"signal": "view", "who": ["user:u"], "about": {"item": "tent"}, "at": at, **fact} for fact in facts
    ]
    body = msgspec.json.encode(told)
    return encode_record(Record(kind="events", source="web", received_at=at, trusted=True, body=body))


def fold_of(store, **more):
    return Fold(store, more.pop("settings", OPEN), SIGNALS, **more)


def folded(*records, **more):
    store = PlainStore()
    fold = fold_of(store, **more)
    for position, raw in enumerate(records, 1):
        fold.step([(position, raw)])
    return store, fold


def views(store, identifier="user:u"):
    found = people.profile(store, identifier, now=NOW, settings=OPEN)
    return found.counts.get("view", 0) if found else 0


@pytest.mark.parametrize(("days", "counted"), [(0, 1), (14, 1), (29, 1), (30, 1), (30.001, 2), (61, 2)])
def test_a_message_id_counts_once_in_thirty_days_of_the_log(days, counted):
    store, _ = folded(record({"id": "1"}), record({"id": "1"}, at=NOW + int(days * DAY)))

    assert views(store) == counted


def test_the_same_id_of_another_source_is_another_message():
    store, _ = folded(record({"id": "1"}, {"id": "1", "source": "app"}))

    assert views(store) == 2


def test_the_first_telling_wins():
    store, _ = folded(record({"id": "1"}), record({"id": "1", "about": {"item": "basket"}}))

    (entry,) = people.profile(store, "user:u", now=NOW, settings=OPEN).entries
    assert entry.id == "tent"


def test_message_ids_that_nobody_can_send_again_are_forgotten():
    steps = [record({"id": str(n)}, at=NOW + n * BUCKET) for n in range(8)]

    store, _ = folded(*steps)

    assert len(store.tables["window"]) <= 4


def test_all_products_of_an_order_count_and_none_of_them_twice():
    call = {
        "type": "track", "event": "Order Completed", "messageId": "o1", "userId": "u", "originalTimestamp": "2026-05-28T00:00:00Z",
        "properties": {"products": [{"product_id": "tent"}, {"product_id": "mat"}, {"product_id": "tent"}]},
    }  # fmt: skip
    order = encode_record(
        Record(kind="segment", source="web", received_at=NOW, body=msgspec.json.encode({"batch": [call]}))
    )

    store, fold = folded(order, order)

    found = people.profile(store, "user:u", now=NOW, settings=OPEN)
    assert {one.id: one.count for one in found.entries} == {"tent": 2, "mat": 1}
    assert fold.doubled == 1


def test_blocked_values_are_nobody():
    store, _ = folded(
        record({"id": "1", "who": ["user:null", "anonymous:a"]}, {"id": "2", "who": ["user:null"]})
    )

    assert views(store, "anonymous:a") == 1
    assert views(store, "user:null") == 0


def test_an_operator_may_block_more():
    settings = Settings(identity=IdentityLimits(blocked=("user:till",)))

    store, _ = folded(record({"id": "1", "who": ["user:till", "anonymous:a"]}), settings=settings)

    assert (views(store, "anonymous:a"), views(store, "user:till")) == (1, 0)


class FullNowAndThen(PlainStore):
    """A store whose disk is full whenever ``full`` is set."""

    full = False

    def commit(self, changes, *, position, expected):
        if self.full:
            raise Unavailable("the disk is full", code="disk_full")
        super().commit(changes, position=position, expected=expected)


def test_a_step_that_could_not_be_committed_is_folded_again_as_if_it_had_never_been_tried():
    store = FullNowAndThen()
    fold = fold_of(store)
    first = [
        (
            1,
            record(
                {"id": "1"},
                {"id": "2", "signal": "dwell", "value": 5.0, "counter": {"view": "p", "started_at": NOW}},
            ),
        )
    ]
    second = [
        (
            2,
            record(
                {"id": "3"}, {"id": "1"}, {"id": "4", "signal": "identify", "who": ["user:u", "anonymous:a"]}
            ),
        )
    ]
    fold.step(first)
    store.full = True
    for _ in range(2):
        with pytest.raises(Unavailable):
            fold.step(second)
    store.full = False

    assert fold.step(second) == 2

    untroubled, _ = folded(first[0][1], second[0][1])
    assert list(compare(store, untroubled)) == []
    assert (fold.events, fold.doubled) == (4, 1)


def test_a_record_that_is_not_ours_stops_the_fold_and_changes_nothing():
    store, fold = folded(record({"id": "1"}))
    before = {name: dict(rows) for name, rows in store.tables.items()}

    with pytest.raises(Corrupt):
        fold.step([(2, record({"id": "2"})), (3, b"garbage")])

    assert store.tables == before
    assert fold.position == 1


def test_a_small_cache_changes_nothing_but_time():
    steps = [record({"id": f"{n}", "who": [f"user:{n % 7}"]}) for n in range(40)]

    small, _ = folded(*steps, cache=0)
    large, _ = folded(*steps)

    assert list(compare(small, large)) == []


def test_a_state_of_another_half_life_is_folded_anew():
    store, _ = folded(record({"id": "1"}))

    fold = fold_of(store, settings=Settings(half_life_days=3.0))

    assert (fold.position, store.tables["fragments"]) == (0, {})


def test_items_of_the_catalog_are_state_too():
    put = Record(
        kind="items", source="web", received_at=NOW, trusted=True,
        body=msgspec.json.encode({"put": [{"id": "tent", "title": "Tent"}], "delete": []}),
    )  # fmt: skip
    gone = Record(
        kind="items", source="web", received_at=NOW, trusted=True,
        body=msgspec.json.encode({"put": [{"id": "mat", "title": "Mat"}], "delete": ["tent"]}),
    )  # fmt: skip

    store, _ = folded(encode_record(put), encode_record(gone))

    assert list(store.tables["items"]) == [b"mat"]


def test_many_late_views_of_one_person_do_not_stop_the_fold():
    facts = [{"id": str(n), "at": NOW - n * 1_000} for n in range(2_000)]
    begun = time.process_time()

    store, _ = folded(*[record(*facts[start : start + 200]) for start in range(0, 2_000, 200)])

    assert views(store) == 2_000
    assert time.process_time() - begun < 20  # some 2 s on the plain store; quadratic would be minutes


class Trap:
    """A signal map that breaks on one name, as a bug would."""

    def __init__(self):
        self._real = load_signals()

    def __getattr__(self, name):
        return getattr(self._real, name)

    def rule(self, name):
        if name == "Trap":
            raise ZeroDivisionError
        return self._real.rule(name)


def track(id, name):
    call = {
        "type": "track", "event": name, "messageId": id, "userId": "u", "originalTimestamp": "2026-05-28T00:00:00Z",
        "properties": {"product_id": "tent"},
    }  # fmt: skip
    body = msgspec.json.encode({"batch": [call]})
    return encode_record(Record(kind="segment", source="web", received_at=NOW, body=body))


def test_a_record_that_nobody_thought_of_stops_nobody_elses():
    store = PlainStore()
    fold = Fold(store, OPEN, Trap())

    counted = fold.step(
        list(enumerate([track("1", "Product Viewed"), track("2", "Trap"), track("3", "Product Viewed")], 1))
    )

    assert (counted, fold.position, views(store)) == (2, 3, 2)
    assert aside(store) == [2]


@pytest.mark.parametrize(
    "fact",
    [
        {"signal": "trait", "traits": {"big": 10**30, "size": 42}},
        {"signal": "trait", "traits": {"deep": [10**30], "size": 42}},
        {"signal": "dwell", "value": 9.0, "counter": {"view": "p", "started_at": 10**18}},
        {"signal": "dwell", "value": 9.0, "counter": {"view": "p", "started_at": -(10**18)}},
        {"signal": "rate", "value": 1e300},
        {"about": {"item": "a\x1fb", "section": "c\x1fd"}},
        {"signal": "erase", "op": "erase", "who": ["erased:zz"]},
        {"at": -(10**15)},
    ],
)
def test_what_the_edge_should_have_refused_harms_nobody(fact):
    store, fold = folded(record({"id": "0"}), record({"id": "1", **fact}), record({"id": "2"}))

    found = people.profile(store, "user:u", now=NOW, settings=OPEN)
    tent = {one.signal: one.weight for one in found.entries if one.id == "tent"}
    assert fold.position == 3
    assert aside(store) == []
    assert tent["view"] == pytest.approx(2.0)
    assert all(abs(one.weight) <= 2.0 for one in found.entries)


def test_identifiers_as_long_as_they_may_be_fit_the_embedded_store(tmp_path):
    user, device = "user:" + "ü" * 122, "anonymous:" + "a" * 240
    who = [checked_identifier(one, field="who") for one in (user, device)]
    told = [
        record({"id": "1", "who": who, "consent": {"link": True}}),
        record(
            {
                "id": "2",
                "who": who,
                "signal": "dwell",
                "value": 1.0,
                "counter": {"view": "p", "started_at": NOW},
            }
        ),
        record({"id": "1", "who": who}),
    ]
    erase = encode_record(erase_record(user, id="e", now=NOW))
    log = PlainLog([*told, erase])
    store = open_store(f"lmdb://{tmp_path}", write=True)
    fold = fold_of(store, log=log)

    fold.step(log.read(0)[:3])
    with store.snapshot() as snapshot:
        assert people.profile(snapshot, user, now=NOW, settings=OPEN).identifiers == [user, device]
    fold.step(log.read(3))
    with store.snapshot() as snapshot:
        assert people.profile(snapshot, user, now=NOW, settings=OPEN) is None
        assert people.profile(snapshot, device, now=NOW, settings=OPEN) is None
    store.close()


def unreadable(text="secret"):
    body = msgspec.json.encode([{"id": "x", "nobody": [text]}])
    return encode_record(Record(kind="events", source="web", received_at=NOW, trusted=True, body=body))


def aside(store):
    return [int.from_bytes(key[len(ASIDE) :], "big") for key in store.tables["meta"] if key.startswith(ASIDE)]


def test_a_record_that_cannot_be_folded_is_set_aside_and_the_others_count():
    store = PlainStore()
    fold = fold_of(store)

    fold.step(
        list(enumerate([record({"id": "1"}), unreadable(), record({"id": "2"}), record({"id": "3"})], 1))
    )

    assert (fold.position, views(store), aside(store)) == (4, 3, [2])


def test_what_was_set_aside_is_set_aside_by_a_replay_in_other_steps():
    records = [record({"id": "1"}), unreadable(), record({"id": "2"})]
    store = PlainStore()
    fold_of(store).step(list(enumerate(records, 1)))

    one_by_one, _ = folded(*records)

    assert list(compare(store, one_by_one)) == []


class Records(dict):
    def get(self, positions):
        return {one: self[one] for one in positions if one in self}


@pytest.mark.parametrize(("text", "leaves"), [("gone", [2]), ("user:gone", [2]), ("gone with the wind", [])])
def test_who_is_erased_leaves_what_was_set_aside(text, leaves):
    log = Records({1: record({"id": "1", "who": ["user:gone"]}), 2: unreadable(text)})
    erase = {"id": "e", "signal": "erase", "op": "erase", "who": ["user:gone"]}
    store, _ = folded(*log.values(), record(erase), log=log)

    (note,) = [decode_erasure(raw) for key, raw in store.tables["meta"].items() if key.startswith(ERASURES)]

    assert [position for position in note.records if position == 2] == leaves


def lingered(*views_):
    """What a small dwell long ago comes to after larger ones were inferred and taken back again."""
    told = [record({"id": f"{n}", "about": {"item": item}, "at": at}) for n, (item, at) in enumerate(views_)]
    store, _ = folded(*told)
    found = decode_fragment(store.tables["fragments"][b"user:u"])
    return [one for key, one in found.weights.items() if "dwell~" in key and "tent" in key]


def test_what_is_left_of_a_dwell_is_exact_however_large_was_what_was_taken_back():
    long_ago = [("tent", NOW - 900 * DAY), ("stove", NOW - 900 * DAY + 60_000)]
    split = [
        ("tent", NOW),
        ("stove", NOW + 600_000),
        ("boots", NOW + 1),
    ]  # seen for ten minutes, then for 1 ms

    (whole,) = lingered(*long_ago, *split)
    (in_order,) = lingered(*long_ago, split[0], split[2], split[1])
    (alone,) = lingered(*long_ago)

    assert (whole.count, whole.weight) == (in_order.count, pytest.approx(in_order.weight, rel=1e-12))
    assert alone.weight > 0


class Watched(PlainStore):
    """A store that counts the rows that are looked at."""

    looked = 0

    def scan(self, table, prefix=b"", **more):
        for row in super().scan(table, prefix, **more):
            self.looked += 1
            yield row


def test_a_late_view_finds_its_neighbours_without_going_through_all_that_lies_between():
    store = Watched()
    fold = fold_of(store)
    clicks = [{"id": f"c{n}", "signal": "click", "at": NOW - 50_000} for n in range(500)]
    fold.step([(1, record({"id": "last", "at": NOW}, *clicks))])
    store.looked = 0

    fold.step([(2, record(*({"id": f"v{n}", "at": NOW - 60_000 + n} for n in range(20))))])

    assert store.looked < 20 * 5  # of 20 views, each with a neighbour on either side
