"""After an erasure the model is that of who is left, by the decisions of the fit before."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
from tests.unit.test_downdate import weights

from plait.catalog import Catalog, Item
from plait.errors import Unavailable
from plait.events import DAY
from plait.http import Installation
from plait.models import Model
from plait.models.fit import Fit, Frozen, fit_with
from plait.models.table import Table, table_of
from plait.models.unlearn import Learned, hashes
from plait.profiles.profile import Entry
from plait.serve import unlearn_erased
from plait.workers import UNLEARN

NOW = 1_780_000_000_000
HALF_LIFE = 14 * DAY


def entry(item: str, days: float, signal: str = "view", source: str = "web") -> Entry:
    return Entry(source, signal, "item", item, "", 1, 2 ** (-days / 14), NOW - int(days * DAY), False)


def rows(number: int = 120) -> list[tuple[str, list[Entry]]]:
    """Half look at tents, half at boats; the last also at what nobody else knows, and likes things on a network."""
    random = np.random.default_rng(0)
    found = []
    for person in range(number):
        kind = ("tent", "boat")[person % 2]
        chosen = random.choice(12, 5, replace=False)
        entries = [entry(f"{kind}-{one}", float(day)) for day, one in enumerate(chosen)]
        entries += [entry(f"{kind}-{chosen[0]}", 1.0, "like", "network")]
        found.append((f"user:{person}", entries))
    found[-1][1].extend([entry("secret", 0.5), entry("secret", 0.5, "purchase")])
    return found


def table(people: list[tuple[str, list[Entry]]]) -> Table:
    shelf = Catalog(
        [Item(id=f"{kind}-{n}") for kind in ("tent", "boat") for n in range(12)] + [Item(id="secret")]
    )
    return table_of(people, shelf, now=NOW, half_life=HALF_LIFE)


def found(people: list[tuple[str, list[Entry]]], frozen: Frozen | None = None) -> Fit:
    made = table(people)
    heard = np.ones(len(made.channels), np.bool_)
    return fit_with(made, heard, now=NOW, half_life=HALF_LIFE, seed=0, frozen=frozen)


def fitted(people: list[tuple[str, list[Entry]]], frozen: Frozen | None = None):
    return found(people, frozen)[:2]


def test_the_same_people_and_decisions_make_the_same_model():
    model, decided = fitted(rows())
    again, kept = fitted(rows(), decided)

    for name in ("place", "indptr", "columns", "values", "popularity", "gates", "returns"):
        assert np.array_equal(getattr(again, name), getattr(model, name)), name
    assert kept == decided
    assert again.manifest.quality == model.manifest.quality


def test_what_only_the_erased_person_knew_is_gone():
    model, decided = fitted(rows())
    left, _ = fitted(rows()[:-1], decided)
    place = next(number for number, one in enumerate(model.entities) if one.endswith("secret"))

    assert model.popularity[place] > 0
    assert place in model.columns
    assert left.popularity[place] == 0
    assert place not in left.columns


def test_decisions_are_kept_by_the_names_of_channels():
    _, decided = fitted(rows())
    turned = [(who, entries[::-1]) for who, entries in rows()]  # its channels come in another order
    model, kept = fitted(turned, decided)

    assert table(turned).channels != table(rows()).channels
    assert {one[:2]: one[2] for one in kept.gates} == {one[:2]: one[2] for one in decided.gates}
    assert sorted(kept.mix) == sorted(decided.mix)
    assert model.manifest.channels == table(turned).channels


def test_a_channel_that_is_new_waits_for_the_next_fit():
    without = [(who, [one for one in entries if one.signal != "like"]) for who, entries in rows()]
    _, decided = fitted(without)
    model, _ = fitted(rows(), decided)

    assert not model.gates[model.manifest.channels.index(("network", "like"))].any()


# -- taking people out


def tied(number: int = 60) -> list[tuple[str, list[Entry]]]:
    """As ``rows``; everybody follows two others of their kind, which is learned from in every way there is."""
    found = []
    for person, (who, entries) in enumerate(rows(number)):
        friends = [
            Entry("ties", "follow", "person", f"user:{(person + more) % number}", "", 1, 1.0, NOW, False)
            for more in (2, 8)
        ]
        found.append((who, entries + friends))
    return found


EVERYTHING = [("web", "view"), ("web", "purchase"), ("network", "like"), ("ties", "follow")]


def deciding(people: list[tuple[str, list[Entry]]], names: tuple[str, ...]) -> Frozen:
    """Decisions by which each channel has its ``names`` of parts, all channels speak, and the moment does, too."""
    _, decided = fitted(people)
    loud = [10.0] * 6
    mix = [(*one, name, 1.0 / len(names)) for one in EVERYTHING for name in names]
    gates = [(kind, signal, loud) for kind, signal, _ in decided.gates]
    shape = (4.0, 0.25, 3.0 * DAY, 0.1, 8)
    return Frozen(shape, mix, gates, decided.quality)


PARTS = {
    "pool and own": ("pool", "own"), "friends": ("friends",), "beside": ("joint", "alone"),
    "through": ("pool", "through"), "all": ("pool", "own", "friends", "joint", "alone", "through"),
}  # fmt: skip


def by_definition(learned: Learned, model: Model) -> np.ndarray:
    """(rows, items): all that a model's rows have from regressions, solved anew in double precision."""
    entity = np.zeros(len(model.indptr) - 1, np.int64)
    for one in model.place:
        entity[one[one >= 0]] = np.flatnonzero(one >= 0)
    made = np.zeros((len(entity), learned.table.items))
    for block in learned.blocks:
        here = slice(block.first, block.last)
        for one in block.sources:
            b = weights(learned.regressions[one.regression])[one.first : one.last]
            b = b if one.damped is None else one.damped[:, None] * b
            b = b if one.via is None else one.via @ b
            made[here] += (b * one.items)[entity[here]]
    return made


def dense(model: Model) -> np.ndarray:
    shape = (len(model.indptr) - 1, len(model.popularity))
    return sp.csr_matrix((model.values, model.columns, model.indptr), shape=shape).toarray()


@pytest.mark.parametrize("names", PARTS.values(), ids=PARTS)
def test_without_somebody_rows_are_those_of_a_refit_that_weighs_alike(names: tuple[str, ...]):
    people = tied()
    before = found(people, deciding(people, names))
    assert before.learned is not None
    model, learned = before.learned.without(before.model, np.array([7, len(people) - 1]))

    # What did not come from a regression is what friends wanted, as it is: it stays, but for the rows of who left.
    stays = dense(before.model) - by_definition(before.learned, before.model)
    wanted = stays + by_definition(learned, before.model)
    made = dense(model)
    some = made != 0

    assert np.abs(made - wanted)[some].max() <= 1e-5 * np.abs(wanted).max()
    assert np.abs(made - dense(before.model))[some].max() > 1e-4 or names == ("friends",)  # they did matter


def test_who_left_leaves_nothing_behind():
    people = tied()
    people[-1][1].extend([entry("secret", 0.5), entry("secret", 0.5, "purchase")])
    before = found(people, deciding(people, PARTS["all"]))
    assert before.learned is not None
    who = len(people) - 1
    model, learned = before.learned.without(before.model, np.array([who]))
    secret = next(number for number, one in enumerate(model.entities) if one.endswith("secret"))
    person = before.learned.table.self_of[who]

    assert before.model.entities[person].endswith(f"user:{who}")
    assert f"user:{who}" not in "".join(model.entities)
    assert (model.place[:, [secret, person]] == -1).all()
    assert secret not in model.columns
    assert model.popularity[secret] == 0
    assert who not in learned.table.person
    assert all(who not in one.person for one in learned.regressions)


def test_it_comes_back_from_the_disk_as_it_was(tmp_path: Path):
    people = tied()
    before = found(people, deciding(people, PARTS["all"]))
    assert before.learned is not None
    before.learned.save(tmp_path)
    read = Learned.load(tmp_path, before.model)
    assert read is not None

    for gone in (np.array([3]), np.array([3, 9, 20])):
        one, _ = before.learned.without(before.model, gone)
        other, _ = read.without(before.model, gone)
        assert np.array_equal(dense(one), dense(other))
        assert np.array_equal(one.popularity, other.popularity)
        assert np.array_equal(one.returns, other.returns)


@pytest.mark.parametrize("cut", ["learned.npz", "learned.json"])
def test_what_cannot_be_read_is_learned_anew(tmp_path: Path, cut: str):
    before = found(tied())
    assert before.learned is not None
    before.learned.save(tmp_path)
    (tmp_path / cut).write_bytes((tmp_path / cut).read_bytes()[:200])

    assert Learned.load(tmp_path, before.model) is None
    assert Learned.load(tmp_path / "nowhere", before.model) is None


def leaving(before: list[tuple[str, list[Entry]]], after: list[tuple[str, list[Entry]]]) -> list[str]:
    """Who of ``before`` has to be taken out when the state holds ``after``."""
    learned = found(before).learned
    assert learned is not None
    names = [who for who, _ in before]
    told = replace(learned, who=hashes(names, "pepper"))
    return [names[one] for one in told.leaving(hashes([who for who, _ in after], "pepper"), table(after))]


def test_who_is_gone_leaves_and_whoever_knew_something_through_them():
    people = tied()
    after = [
        (who, [one for one in entries if one.id != "user:7"]) for who, entries in people if who != "user:7"
    ]

    assert leaving(people, after) == ["user:5", "user:7", "user:59"]  # 5 and 59 followed them


def test_news_are_no_reason_to_leave():
    people = tied()
    after = [("user:fresh", [entry("tent-1", 0.1)]), *people[::-1]]
    after[3][1].append(entry("secret", 0.1))

    assert leaving(people, after) == []


# -- when


def works(told: list[str]) -> Installation:
    """An installation whose fits are told when they begin and when they end."""
    here = object.__new__(Installation)
    here._fitting, here._decides = None, False  # type: ignore[misc]
    here.take_model = lambda: None  # type: ignore[method-assign]

    def work(name: str):
        async def run() -> dict[str, object]:
            told.append(name)
            await asyncio.sleep(0.01)
            told.append(f"{name} done")
            return {"what": name}

        return run

    here.fit_work, here.refit_work, here.forget_work = work("fit"), work("refit"), work("forget")
    return here


def test_a_fit_waits_for_rows_and_rows_join_a_fit():
    told: list[str] = []

    async def day() -> list[dict[str, object]]:
        here = works(told)
        rows = asyncio.create_task(here.refit())
        await asyncio.sleep(0)
        return list(await asyncio.gather(rows, here.fit(), here.fit(), here.refit()))

    assert [one["what"] for one in asyncio.run(day())] == ["refit", "fit", "fit", "refit"]
    assert told == ["refit", "refit done", "fit", "fit done"]


def test_forgetting_comes_after_whatever_may_have_read_the_person():
    told: list[str] = []

    async def day() -> None:
        here = works(told)
        fits = [asyncio.create_task(one()) for one in (here.refit, here.fit)]
        await asyncio.sleep(0)
        await here.unlearn()
        await asyncio.gather(*fits)

    asyncio.run(day())
    assert told == ["refit", "refit done", "fit", "fit done", "forget", "forget done"]


def place(folder: Path, *, model: object = "a model", fails: bool = False):
    asked = []

    async def unlearn() -> dict[str, object]:
        asked.append(1)
        if fails:
            raise Unavailable("no room", code="disk_full")
        return {}

    return SimpleNamespace(settings=SimpleNamespace(data=str(folder)), model=model, unlearn=unlearn), asked


def note(folder: Path, *, age: float) -> Path:
    path = folder / UNLEARN
    path.touch()
    os.utime(path, (time.time() - age, time.time() - age))
    return path


@pytest.mark.parametrize(("age", "done"), [(29.0, False), (31.0, True)])
def test_it_is_done_some_time_after_an_erasure(tmp_path: Path, age: float, done: bool):
    path, (here, asked) = note(tmp_path, age=age), place(tmp_path)

    assert asyncio.run(unlearn_erased(here, now=time.time(), after=30.0)) is done
    assert (len(asked), path.exists()) == (int(done), not done)


def test_nobody_erased_nothing_done(tmp_path: Path):
    here, asked = place(tmp_path)

    assert not asyncio.run(unlearn_erased(here, now=time.time(), after=0.0))
    assert not asked


def test_without_a_model_there_is_nothing_to_unlearn(tmp_path: Path):
    path, (here, asked) = note(tmp_path, age=60.0), place(tmp_path, model=None)

    assert not asyncio.run(unlearn_erased(here, now=time.time(), after=30.0))
    assert (asked, path.exists()) == ([], False)


def test_what_failed_is_tried_again(tmp_path: Path):
    path, (here, _) = note(tmp_path, age=60.0), place(tmp_path, fails=True)

    with pytest.raises(Unavailable):
        asyncio.run(unlearn_erased(here, now=time.time(), after=30.0))
    assert path.exists()
