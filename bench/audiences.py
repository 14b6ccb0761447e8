"""What audiences cost a page: reading who somebody is, and choosing for three placements, with and without promotions that are for some."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

import msgspec

from bench import Line
from bench.decide import NOW, catalog_of, model_of, profiles
from bench.plain import PlainLog, PlainStore
from plait.catalog import Audience, Item, Placement
from plait.decide import Asked, Decider, Question
from plait.events import Record, Signal, encode_record
from plait.intake.signals import load_signals
from plait.members import everybody
from plait.profiles.facts import Facts, Meanings
from plait.profiles.fold import Fold
from plait.profiles.people import interests
from plait.profiles.profile import Profile
from plait.settings import ConsentDefaults, Settings

ITEMS, PROMOTIONS, MANY = 100_000, 20, 1_000
SENT = frozenset(Signal)
OPEN = Settings(consent=ConsentDefaults(social=True))
WHERE = (
    "follows() and not bought()", "count('view', 'topic-{0}') >= 2", "interest('topic-{0}') > 1 or days_since('view') < 3",
    "traits.plan = 'pro' and count('like') > {0}", "device = 'mobile' and 'topic-{0}' in interests",
)  # fmt: skip


def folded(known: list[Profile]) -> PlainStore:
    """A state with these people in it."""
    log = PlainLog()
    for person, one in enumerate(known):
        told = [
            {"id": f"{person}-{at}", "signal": e.signal, "who": [f"user:p{person}"], "at": e.at, "value": 9, "source": e.source, "about": {e.kind: e.id}}
            for at, e in enumerate(one.entries)
            if e.signal in SENT  # what friends did nobody sends
        ]  # fmt: skip
        told.append(
            {
                "id": f"{person}-t",
                "signal": "trait",
                "who": [f"user:p{person}"],
                "traits": {"plan": "pro"},
                "at": NOW,
            }
        )
        log.append([encode_record(Record(kind="events", source="web", received_at=NOW, trusted=True, body=msgspec.json.encode(told)))])  # fmt: skip
    store = PlainStore()
    fold = Fold(store, OPEN, load_signals(), log=log, pepper="pepper")
    while records := log.read(fold.position, limit=500):
        fold.step(records)
    return store


def measure(quick: bool) -> Iterator[Line]:
    people, model = 300, model_of(ITEMS)
    store = folded(profiles(ITEMS, people))
    question = Question(
        placements=(Asked("home.hero", 1), Asked("home.grid", 12), Asked("home.promotion", 3)), explain=True
    )
    catalogs, deciders, meanings = {}, {}, {}
    for kind in ("none", "few", "many"):
        number = {"none": 0, "few": len(WHERE), "many": MANY}[kind]
        catalog = catalogs[kind] = catalog_of(ITEMS)
        catalog.audiences.update(
            (f"a{one}", Audience(id=f"a{one}", where=WHERE[one % len(WHERE)].format(one)))
            for one in range(number)
        )
        catalog.upsert(
            Item(
                id=f"offer-{one}",
                kind="promotion",
                for_=(f"topic-{one % 300}",),
                audience=f"a{one % number}" if number else None,
            )
            for one in range(MANY if kind == "many" else PROMOTIONS)
        )
        catalog.placements["home.promotion"] = Placement(id="home.promotion", kinds=("promotion",))
        deciders[kind], meanings[kind] = Decider(catalog, model), Meanings(catalog)

    def page(kind: str, person: int) -> float:
        who, asks = f"user:p{person}", bool(catalogs[kind].audiences)
        began = time.thread_time()
        known = interests(store, who, now=NOW, settings=OPEN, usable=asks)
        facts = Facts(known, meanings[kind], now=NOW) if asks and known is not None else None
        deciders[kind].decide(question, known, now=NOW, id="d", facts=facts)
        return (time.thread_time() - began) * 1e3

    took: dict[str, list[float]] = {kind: [] for kind in catalogs}
    for number in range(300 if quick else 3_000):
        for kind in took:  # by turns, so that a busy machine is one for all
            spent = page(kind, number % people)
            if number >= people // 2:
                took[kind].append(spent)
    middle = {kind: statistics.median(all_of) for kind, all_of in took.items()}
    yield Line(
        f"page of 3 placements, {PROMOTIONS} promotions for {len(WHERE)} audiences, read and decided, processor time, p50", middle["few"], "ms",
        "no audiences", middle["few"] / middle["none"], bar=1.1, bar_on="ratio", least=False,
    )  # fmt: skip
    yield Line(
        f"the same with {MANY:,} promotions for as many audiences, p50",
        middle["many"],
        "ms",
        "no audiences",
        middle["many"] / middle["none"],
    )
    audience = catalogs["few"].audiences["a0"]
    began = time.thread_time()
    asked = sum(1 for _ in everybody(store, OPEN, audience, catalogs["few"], now=NOW))
    yield Line("counting an audience", asked / (time.thread_time() - began), "people/s")
