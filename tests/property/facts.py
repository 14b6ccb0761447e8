"""Facts that people may tell, for hypothesis to shuffle, repeat, split and take back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from bench.plain import PlainLog, PlainStore
from hypothesis import strategies as st

from plait.events import DAY, Record, encode_record
from plait.intake.signals import load_signals
from plait.profiles.fold import Fold
from plait.profiles.fragment import decode_fragment, equal
from plait.profiles.people import profile
from plait.profiles.profile import Profile
from plait.profiles.state import decode_row
from plait.settings import ConsentDefaults, Settings

NOW = 1_780_000_000_000
PEPPER = "pepper"
SIGNALS = load_signals()
OPEN = Settings(half_life_days=1.0, consent=ConsentDefaults(link=True, social=True))

STRONG = ["user:u", "user:v", "email:e", "bluesky:x"]
WEAK = ["anonymous:a", "anonymous:b"]
ANYBODY = STRONG + WEAK

ROBOT = {"userAgent": "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"}

Fact = dict[str, Any]  # an event as a sender tells it, and `trusted`


# Close together, far apart, and often the very same moment.
times = st.builds(
    lambda days, seconds: NOW - days * DAY - seconds * 1_000,
    st.sampled_from([0, 0, 0, 1, 2, 40, 300, 1_500]),
    st.sampled_from([0, 0, 5, 20, 61, 900, 1_800, 1_801, 5_000]),
)
abouts = st.one_of(
    st.builds(lambda item: {"item": item}, st.sampled_from(["tent", "stove"])),
    st.builds(lambda item, section: {"item": item, "section": section}, st.just("tent"), st.sampled_from(["specs", "fit"])),
    st.builds(lambda post: {"post": post}, st.just("77")),
    st.just({"url": "/about"}),
    st.just({"item": "tent", "topic": "camping", "query": "tent"}),
    st.just({}),
)  # fmt: skip
whos = st.lists(st.sampled_from(ANYBODY), min_size=1, max_size=3, unique=True)
sources = st.sampled_from(["web", "web", "app"])


def acts(who: st.SearchStrategy[list[str]] = whos) -> st.SearchStrategy[Fact]:
    """What people do: sums, edges that are told and taken back, cumulative dwell, views that imply dwell."""
    common: dict[str, st.SearchStrategy[Any]] = {"who": who, "at": times, "source": sources}
    summed = st.sampled_from(["view", "view", "view", "add", "purchase", "comment", "search", "session"])
    return st.one_of(
        st.fixed_dictionaries({**common, "signal": summed, "about": abouts}),
        st.fixed_dictionaries(
            {**common, "signal": st.sampled_from(["comment", "share", "add"]), "about": abouts,
             "op": st.sampled_from(["assert", "retract"])}
        ),
        st.fixed_dictionaries(
            {**common, "signal": st.sampled_from(["like", "follow", "save", "rate"]), "about": abouts,
             "op": st.sampled_from(["assert", "assert", "retract"]), "value": st.sampled_from([None, 0.0, 0.7, 1.0])}
        ),
        st.fixed_dictionaries(
            {**common, "signal": st.sampled_from(["dwell", "play"]), "about": abouts,
             "value": st.sampled_from([0.0, 1.0, 12.5, 40.0, 400.0]),
             "counter": st.none() | st.fixed_dictionaries(
                 {"view": st.sampled_from(["p1", "p2"]), "started_at": times, "epoch": st.sampled_from([0, 1])})}
        ),
        st.fixed_dictionaries({**common, "signal": st.just("trait"),
                               "traits": st.dictionaries(st.sampled_from(["size", "city"]), st.sampled_from([1, "x", None, [2]]))}),
        st.fixed_dictionaries({**common, "signal": st.just("view"), "about": abouts,
                               "context": st.just(ROBOT) | st.just({"userAgent": "x"})}),
    )  # fmt: skip


_posts = st.sampled_from(
    [
        {"post": "77"},
        {"post": "78"},
        {"account": "bluesky:x"},
        {"account": "bluesky:y"},
        {"post": "77", "account": "bluesky:y"},
        {"post": "at://x/app.bsky.feed.post/1"},
    ]
)


def networks(who: st.SearchStrategy[list[str]] = whos) -> st.SearchStrategy[Fact]:
    """What networks tell: acts under the names of their records, and records that are gone, in any order."""
    common: dict[str, st.SearchStrategy[Any]] = {
        "who": who, "at": times, "source": st.sampled_from(["bluesky", "bluesky", "other"]),
        "record": st.sampled_from(["r1", "r2", "r3", "at://x/app.bsky.feed.like/1"]),
    }  # fmt: skip
    signal = st.sampled_from(
        ["like", "follow", "share", "comment", "reply", "quote", "mention", "react", "save", "rate"]
    )
    return st.one_of(
        st.fixed_dictionaries({**common, "signal": signal, "about": _posts | abouts,
                               "value": st.sampled_from([None, 0.0, 0.2, 1.0]),
                               "properties": st.just({}) | st.just({"intent": "complaint"})}),
        st.fixed_dictionaries({**common, "signal": signal, "about": _posts,
                               "context": st.just(ROBOT) | st.just({})}),
        st.fixed_dictionaries({**common, "signal": signal, "op": st.sampled_from(["retract", "erase"])}),
        st.fixed_dictionaries({**common, "signal": signal, "op": st.just("retract"), "who": st.just([])}),
        st.fixed_dictionaries({**common, "signal": signal, "about": _posts, "record": st.none(),
                               "op": st.sampled_from(["assert", "retract"])}),
        st.fixed_dictionaries({"signal": st.sampled_from(["like", "share"]), "op": st.just("snapshot"), "at": times, "who": st.just([]),
                               "about": st.sampled_from([{"post": "77"}, {"account": "bluesky:x"}]), "value": st.sampled_from([0.0, 7.0])}),
    )  # fmt: skip


consents = st.dictionaries(
    st.sampled_from(["collect", "personalize", "link", "social"]),
    st.booleans() | st.dictionaries(st.sampled_from(["web", "app"]), st.booleans(), min_size=1),
    max_size=2,
)


def ties(who: st.SearchStrategy[list[str]] | None = None) -> st.SearchStrategy[Fact]:
    """What is said about who is who, and about consent."""
    two = who or st.lists(st.sampled_from(ANYBODY), min_size=2, max_size=3, unique=True)
    common: dict[str, st.SearchStrategy[Any]] = {"at": times, "trusted": st.booleans()}
    return st.one_of(
        st.fixed_dictionaries({**common, "who": two, "signal": st.sampled_from(["identify", "link", "unlink"])}),
        st.fixed_dictionaries({**common, "who": two, "signal": st.sampled_from(["view", "link"]), "consent": consents}),
        st.fixed_dictionaries({**common, "who": whos, "signal": st.just("consent"), "consent": consents}),
    )  # fmt: skip


def numbered(facts: Iterable[Fact]) -> list[Fact]:
    """Distinct facts: each with an id of its own."""
    return [{**fact, "id": f"m{number}"} for number, fact in enumerate(facts)]


# Rivals: facts about one and the same thing, so that each has something to say about the others.
_one: dict[str, st.SearchStrategy[Any]] = {
    "who": st.just(["user:u"]), "source": st.just("web"), "at": times, "about": st.just({"item": "tent"}),
}  # fmt: skip
rivals = st.one_of(
    st.lists(st.fixed_dictionaries({**_one, "signal": st.just("like"), "op": st.sampled_from(["assert", "retract"])}), min_size=2, max_size=8),
    st.lists(st.fixed_dictionaries({**_one, "signal": st.just("rate"), "value": st.sampled_from([None, 0.2, 0.9])}), min_size=2, max_size=8),
    st.lists(st.fixed_dictionaries({**_one, "signal": st.just("trait"), "traits": st.sampled_from([{"size": 1}, {"size": None}, {"size": "x"}])}), min_size=2, max_size=8),
    st.lists(
        st.fixed_dictionaries(
            {**_one, "signal": st.just("dwell"), "value": st.sampled_from([0.0, 3.0, 30.0, 300.0]),
             "counter": st.sampled_from([{"view": "p", "started_at": NOW - DAY}, {"view": "p", "started_at": NOW}])}
        ), min_size=2, max_size=8,
    ),
    st.lists(
        st.fixed_dictionaries(
            {"who": st.just(["user:u", "email:e"]), "at": times, "trusted": st.booleans(),
             "signal": st.sampled_from(["identify", "link", "unlink"]), "consent": st.sampled_from([None, {"link": True}, {"link": False}])}
        ), min_size=2, max_size=8,
    ),
    st.lists(
        st.fixed_dictionaries(
            {"who": st.just(["user:u"]), "at": times, "trusted": st.booleans(), "signal": st.just("consent"),
             "consent": st.sampled_from([{"personalize": True}, {"personalize": False}, {"personalize": {"web": True}}, {"personalize": {"web": False}}])}
        ), min_size=2, max_size=8,
    ),
)  # fmt: skip

# One person's records on one network: told, taken back, told again under another name.
records = st.lists(networks(st.just(["bluesky:x"])), min_size=2, max_size=10)

histories = st.one_of(
    st.lists(acts() | ties() | networks(), max_size=14),
    rivals,
    records,
    st.tuples(st.lists(acts() | ties(), max_size=6), rivals | records).map(lambda both: both[0] + both[1]),
).map(numbered)


def record_of(fact: Fact | Sequence[Fact], received_at: int = NOW) -> bytes:
    """The record that the edge makes of a request with these facts."""
    facts = [fact] if isinstance(fact, Mapping) else list(fact)
    told = [
        {name: value for name, value in one.items() if name != "trusted" and value is not None}
        for one in facts
    ]
    return encode_record(
        Record(
            kind="events", source="web", received_at=received_at,
            trusted=all(one.get("trusted", True) for one in facts), body=msgspec.json.encode(told),
        )
    )  # fmt: skip


def folded(
    facts: Iterable[Fact | Sequence[Fact]],
    *,
    settings: Settings = OPEN,
    step: int = 3,
    log: PlainLog | None = None,
) -> PlainStore:
    """The state after these facts arrived in this order."""
    log = PlainLog() if log is None else log
    log.append([record_of(fact) for fact in facts])
    return refolded(log, settings=settings, step=step)


def refolded(log: PlainLog, *, settings: Settings = OPEN, step: int = 3) -> PlainStore:
    """The state that a log folds to."""
    store = PlainStore()
    fold = Fold(store, settings, SIGNALS, log=log, pepper=PEPPER)
    while records := log.read(fold.position, limit=step):
        fold.step(records)
    return store


def same(one: PlainStore, other: PlainStore) -> None:
    """Assert that two states say the same, wherever in the log it was told."""
    left, right = one.tables, other.tables
    assert left["fragments"].keys() == right["fragments"].keys()
    for key, raw in left["fragments"].items():
        a, b = decode_fragment(raw), decode_fragment(right["fragments"][key])
        assert equal(a, b), f"{key!r}: {a} != {b}"
    for table in ("timeline", "named"):
        assert _timeline(one, table) == _timeline(other, table)
    assert left["links"] == right["links"]
    assert left["counters"] == right["counters"]
    assert left["visits"] == right["visits"]
    assert left["acts"] == right["acts"]
    assert left["records"] == right["records"]
    assert left["totals"] == right["totals"]
    assert left["window"] == right["window"]
    assert left["erased"] == right["erased"]
    assert _meta(one) == _meta(other)


def _timeline(store: PlainStore, table: str) -> dict[bytes, tuple[Any, ...]]:
    rows = {key: decode_row(raw) for key, raw in store.tables[table].items()}
    return {key: (row.part, row.source, row.id, row.signal) for key, row in rows.items()}


def _meta(store: PlainStore) -> dict[bytes, bytes]:
    """Consents and set-up; where repetitions and unfinished erasures lie depends on the log."""
    return {
        key: raw
        for key, raw in store.tables["meta"].items()
        if not key.startswith((b"again\0", b"erasure\0"))
    }


def told(
    store: PlainStore, identifier: str, *, settings: Settings = OPEN, **more: Any
) -> dict[str, Any] | None:
    """A profile in a form that can be compared: weights to nine digits."""
    found = profile(store, identifier, now=NOW, settings=settings, **more)
    return None if found is None else comparable(found)


def comparable(found: Profile) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(found)
    plain["entries"] = {
        (one.source, one.signal, one.kind, one.id, one.section, one.inferred): (
            one.count,
            one.at,
            close(one.weight),
        )
        for one in found.entries
    }
    plain["devices"] = sorted(map(str, found.devices))
    return plain


class close(float):  # noqa: N801  (reads as a word)
    """A float that equals what differs by less than 1e-9 of it."""

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, float)
            and abs(self - float(other)) <= 1e-9 * max(abs(self), abs(float(other))) + 1e-200
        )

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None  # type: ignore[assignment]
