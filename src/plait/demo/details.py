"""What a product's page tells besides its story: sizes, reviews, questions. Made from the product's own data, always the same.

A review speaks of what the product is made for and of a figure that its specification holds, so that it reads as if
somebody had used it; ``details.json`` has the words.
"""

from __future__ import annotations

import random
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from plait.demo.shelf import Product, Shelf


class SizeGuide(msgspec.Struct, frozen=True):
    """A table, and how to measure."""

    note: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Words(msgspec.Struct, frozen=True):
    """``details.json``: what reviews and answers are put together from. ``{place}`` and names of attributes go in."""

    sizes: dict[str, SizeGuide]
    size_of: dict[str, str]
    one_size: tuple[str, ...]
    people: tuple[str, ...]
    places: dict[str, tuple[str, ...]]
    openers: tuple[str, ...]
    facts: dict[str, tuple[str, ...]]
    bodies: dict[str, tuple[str, ...]]
    verdicts: dict[str, tuple[str, ...]]
    questions: dict[str, tuple[tuple[str, str], ...]]
    trades: dict[str, str]
    trade_answers: dict[str, str]


class Review(msgspec.Struct, frozen=True):
    """What somebody who does not exist says, ``days_ago``; 1 to 5 stars."""

    name: str
    stars: int
    days_ago: int
    text: str
    activity: str


class Question(msgspec.Struct, frozen=True):
    """A question and the shop's answer."""

    question: str
    answer: str
    name: str


class Details(msgspec.Struct, frozen=True):
    """All of it for one product. ``sizes`` are those one can choose, ``stars`` the mean of ``ratings`` people's.

    ``spread`` counts ratings of 5, 4, 3, 2 and 1 stars.
    """

    sizes: tuple[str, ...]
    guide: SizeGuide | None
    reviews: tuple[Review, ...]
    questions: tuple[Question, ...]
    stars: float
    ratings: int
    spread: tuple[int, int, int, int, int]


@cache
def words() -> Words:
    """The words as they come with the package."""
    return msgspec.json.decode(files("plait.demo").joinpath("details.json").read_bytes(), type=Words)


def weight(grams: float) -> str:
    """As a person says it."""
    return f"{grams:,.0f} g" if grams < 1000 else f"{grams / 1000:.2f}".rstrip("0").rstrip(".") + " kg"


def details(product: Product, stock: Shelf) -> Details:
    """What the page of a product tells; the same product always gets the same."""
    said, chance = words(), random.Random(f"details {product.id}")  # noqa: S311 - made-up reviews, not secrets
    guide = said.sizes.get(said.size_of.get(product.kind, ""))
    choosable = guide is not None and product.kind not in said.one_size
    family = stock.kinds[product.kind].family
    reviews = _reviews(product, family, said, chance)
    ratings = len(reviews) + int(chance.lognormvariate(3.4, 0.8))
    good = min(0.93, 0.62 + 0.3 * chance.random())
    five = round(ratings * good * 0.8)
    four = round((ratings - five) * 0.66)
    three = round((ratings - five - four) * 0.6)
    two = (ratings - five - four - three) // 2
    spread = (five, four, three, two, ratings - five - four - three - two)
    mean = sum(stars * count for stars, count in zip((5, 4, 3, 2, 1), spread, strict=True)) / ratings
    return Details(
        sizes=tuple(row[0] for row in guide.rows) if guide and choosable else (),
        guide=guide,
        reviews=reviews,
        questions=_questions(product, family, said, chance),
        stars=round(mean, 1),
        ratings=ratings,
        spread=spread,
    )


def _reviews(product: Product, family: str, said: Words, chance: random.Random) -> tuple[Review, ...]:
    told = _told(product)
    count = chance.choice((3, 3, 4, 4, 5))
    people = chance.sample(said.people, count)
    figures = [name for name in said.facts if name in product.attributes]
    facts = [line for name in figures for line in said.facts[name]]
    lines = [*said.bodies[family], *chance.sample(facts, len(facts))]
    days = sorted(chance.sample(range(3, 210), count))
    found = []
    openers = chance.sample(said.openers, count)
    used: set[str] = set()

    def fresh(choices: tuple[str, ...]) -> str:
        left = [one for one in choices if one not in used] or list(choices)
        used.add(one := chance.choice(left))
        return one

    for number, name in enumerate(people):
        activity = chance.choice([topic for topic in product.topics if topic in said.places])
        place = fresh(said.places[activity])
        stars = chance.choices((5, 4, 3), (62, 30, 8))[0]
        # Each line once on a page: two people do not say the same.
        mine = lines[number::count][:2]
        parts = [openers[number], *chance.sample(mine, len(mine)), fresh(said.verdicts[str(stars)])]
        text = " ".join(part.format(**told, place=place) for part in parts)
        found.append(Review(name, stars, days[number], text, activity))
    return tuple(found)


def _questions(product: Product, family: str, said: Words, chance: random.Random) -> tuple[Question, ...]:
    told = _told(product)
    pairs = list(said.questions[family])
    pairs += [
        (said.trades[topic], said.trade_answers[topic]) for topic in product.topics if topic in said.trades
    ][:1]
    names = chance.sample(said.people, len(pairs))
    return tuple(
        Question(asked, answer.format(**told), name)
        for (asked, answer), name in zip(pairs, names, strict=True)
    )


def _told(product: Product) -> dict[str, Any]:
    return {**product.attributes, "weight": weight(product.attributes["weight_g"])}
