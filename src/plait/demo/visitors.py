"""People who visit the demo shop: made up, but with tastes that hold together, and the same for every seed.

Somebody who counts grams looks at quilts, reads specifications and likes the posts about base weight; somebody with
small children looks at tents one can stand in. Their visits become calls of the Segment protocol, what they do on the
shop's networks becomes events in our own words. Pure: nothing here reads a clock or sends anything.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from plait.demo.shelf import Product, Shelf
from plait.events import DAY

# What people come for, in shares of an interest; each is somebody you would recognise.
TASTES: dict[str, dict[str, float]] = {
    "gram counter": {"ultralight": 1.0, "backpacking": 0.7, "trail-running": 0.2},
    "hut walker": {"hiking": 1.0, "backpacking": 0.6, "travel": 0.3},
    "alpinist": {"mountaineering": 1.0, "winter": 0.6, "climbing": 0.5},
    "trail runner": {"trail-running": 1.0, "cycling": 0.2, "hiking": 0.2},
    "climber": {"climbing": 1.0, "mountaineering": 0.3, "travel": 0.1},
    "paddler": {"paddling": 1.0, "camping": 0.5, "family": 0.2},
    "family": {"family": 1.0, "camping": 0.7, "hiking": 0.3},
    "gravel rider": {"cycling": 1.0, "camping": 0.3, "ultralight": 0.3},
    "winter person": {"winter": 1.0, "hiking": 0.3, "mountaineering": 0.3},
    "slow camper": {"camping": 1.0, "family": 0.3, "travel": 0.4},
    "traveller": {"travel": 1.0, "hiking": 0.4, "camping": 0.2},
    "dog person": {"dogs": 1.6, "hiking": 0.5, "trail-running": 0.3},
}
# How common they are, in the same order.
SHARES = (9, 16, 9, 12, 9, 8, 13, 8, 6, 10, 8, 4)
NETWORKS = ("bluesky", "mastodon", "instagram")
AGENTS = (
    ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1", 30),
    ("Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/137.0.0.0 Mobile Safari/537.36", 28),
    ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/137.0.0.0 Safari/537.36", 22),
    ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15", 11),
    ("Mozilla/5.0 (X11; Linux x86_64; rv:139.0) Gecko/20100101 Firefox/139.0", 7),
    ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", 2),
)  # fmt: skip
SEARCHES = {
    "ultralight": "ultralight tent", "hiking": "hiking boots", "mountaineering": "crampons", "trail-running": "trail shoes",
    "climbing": "rope 60 m", "paddling": "packraft", "family": "kids backpack", "cycling": "frame bag", "winter": "down jacket",
    "camping": "camp stove", "travel": "duffel", "dogs": "dog", "backpacking": "sleeping bag",
}  # fmt: skip


class Visitor(NamedTuple):
    """Somebody with a taste.

    Attributes:
        user: their id in the shop, ``None`` for those who never signed in.
        accounts: identifiers on networks (``bluesky:did:plc:…``).
        tastes: names in ``TASTES`` and how much of each.
        visits: how often they came.
        social: how many posts they reacted to.
    """

    anonymous: str
    user: str | None
    name: str | None
    accounts: tuple[str, ...]
    tastes: dict[str, float]
    visits: int
    social: int
    agent: str
    linked: bool


class Guest(NamedTuple):
    """Somebody with a name: a guest, whose eyes the person at the demo may borrow, or a friend of theirs."""

    user: str
    name: str
    line: str
    tastes: dict[str, float]
    networks: tuple[str, ...]
    visits: int
    social: int
    linked: bool = True


GUESTS = (
    Guest("mara", "Mara Lindqvist", "Counts grams, likes posts about base weight", {"gram counter": 1.0}, ("bluesky", "mastodon"), 6, 9),
    Guest("jonas", "Jonas Frei", "Climbs when it is cold", {"alpinist": 1.0, "winter person": 0.3}, ("instagram",), 7, 5),
    Guest("aylin", "Aylin Demir", "Runs trails, with a dog", {"trail runner": 1.0, "dog person": 0.6}, ("bluesky",), 5, 6),
    Guest("ife", "Ife Okafor", "Two children, one tent, many snacks", {"family": 1.0, "slow camper": 0.4}, ("instagram",), 6, 4),
    Guest("noor", "Noor Haddad", "Never came here; likes posts about lakes and slow evenings", {"paddler": 1.0}, ("instagram", "bluesky"), 0, 5),
    Guest("tom", "Tom Berger", "Rides gravel; keeps his accounts to himself", {"gravel rider": 1.0}, ("mastodon",), 6, 6, False),
)  # fmt: skip
# Customers whom guests follow: the recorded day on Bluesky has them like the shop's posts, and they said that it may be used.
FRIENDS = (
    Guest("lotte", "Lotte Maas", "Walks from hut to hut", {"hut walker": 1.0}, ("bluesky",), 2, 2),
    Guest("thandi", "Thandi Nkosi", "Counts grams, too", {"gram counter": 1.0}, ("bluesky",), 3, 2),
    Guest("bruno", "Bruno Keller", "Climbs indoors until May", {"climber": 1.0}, ("bluesky",), 2, 2),
    Guest("sanna", "Sanna Virtanen", "Swims in winter", {"winter person": 1.0}, ("bluesky",), 1, 2),
    Guest("pavel", "Pavel Dvorak", "Sleeps outside on weekdays", {"slow camper": 1.0}, ("bluesky",), 2, 2),
    Guest("ines", "Ines Carvalho", "Takes the train to the trail", {"traveller": 1.0}, ("bluesky",), 2, 2),
    Guest("kasimir", "Kasimir Wolny", "Mends his own gear", {"hut walker": 0.6, "gravel rider": 0.6}, ("bluesky",), 2, 2),
    Guest("edda", "Edda Brandt", "Runs before work", {"trail runner": 1.0}, ("bluesky",), 2, 2),
)  # fmt: skip


class Story(NamedTuple):
    """What happened: calls as a shop's site sends them, events as its networks tell them; both in order of time."""

    calls: list[dict[str, Any]]
    social: list[dict[str, Any]]


def visitors(count: int, *, seed: int) -> list[Visitor]:
    """``count`` visitors, the guests before them and their friends behind; the same seed always makes the same people."""
    chance = random.Random(seed)  # noqa: S311 - made-up people, not secrets
    agents, weights = zip(*AGENTS, strict=True)
    found = [_called(guest, agents, chance) for guest in GUESTS]
    names = list(TASTES)
    for number in range(count):
        main, side = chance.choices(names, SHARES)[0], chance.choice(names)
        tastes = {main: 1.0} if chance.random() < 0.6 or side == main else {main: 1.0, side: 0.45}
        user = f"u{number:05d}" if chance.random() < 0.6 else None
        on = chance.sample(NETWORKS, 1 + (chance.random() < 0.2)) if chance.random() < 0.6 else []
        accounts = tuple(f"{network}:{account_of(network, f'v{number:05d}')}" for network in on)
        found.append(
            Visitor(
                anonymous=_device(chance),
                user=user,
                name=None,
                accounts=accounts,
                tastes=tastes,
                visits=min(1 + int(chance.expovariate(1.0)), 6),
                social=min(1 + int(chance.expovariate(0.35)), 14) if accounts else 0,
                agent=chance.choices(agents, weights)[0],
                linked=bool(accounts) and user is not None and chance.random() < 0.85,
            )
        )
    return found + [_called(friend, agents, chance) for friend in FRIENDS]


def _called(one: Guest, agents: Sequence[str], chance: random.Random) -> Visitor:
    """Somebody who has a name, as a visitor."""
    accounts = tuple(f"{network}:{account_of(network, one.user)}" for network in one.networks)
    device, agent = _device(chance), agents[chance.randrange(4)]
    return Visitor(
        device, one.user, one.name, accounts, one.tastes, one.visits, one.social, agent, one.linked
    )


def account_of(network: str, name: str) -> str:
    """What a network calls somebody: made up, and plainly so."""
    return f"did:plc:demo{name}" if network == "bluesky" else f"{name}@{network}.example"


def story(stock: Shelf, people: list[Visitor], *, seed: int, now: int) -> Story:
    """All that these people did in the weeks before ``now`` (ms since the epoch)."""
    told = Story([], [])
    teller = _Teller(stock, seed=seed, now=now)
    for who in people:
        teller.visits(who, told.calls)
        teller.social(who, told.social)
    told.calls.sort(key=lambda call: (call["timestamp"], call["messageId"]))
    told.social.sort(key=lambda event: (event["at"], event["id"]))
    return told


def telling(stock: Shelf, *, seed: int) -> Callable[[Visitor, int], list[dict[str, Any]]]:
    """A function that tells one more visit of somebody, from a moment (ms) on."""
    teller = _Teller(stock, seed=seed, now=0)

    def tell(who: Visitor, at: int) -> list[dict[str, Any]]:
        calls: list[dict[str, Any]] = []
        teller.visit(who, teller.appeal(who), at, calls, signs_in=False)
        return calls

    return tell


def _device(chance: random.Random) -> str:
    return f"{chance.getrandbits(128):032x}"


class _Teller:
    """Turns tastes into acts."""

    def __init__(self, stock: Shelf, *, seed: int, now: int) -> None:
        self.stock = stock
        self.now = now
        self.seed = seed
        self.numbers = np.random.default_rng(seed)
        self.chance = random.Random(seed + 1)  # noqa: S311
        self.count = 0
        self.topics = sorted({topic for one in stock.products for topic in one.topics})
        column = {topic: number for number, topic in enumerate(self.topics)}
        self.about = np.zeros((len(stock.products), len(self.topics)))
        for row, one in enumerate(stock.products):
            for topic in one.topics:
                self.about[row, column[topic]] = 1 / len(one.topics) ** 0.5
        # Some things simply sell: a long tail, the same in every taste.
        self.popular = self.numbers.normal(0, 0.45, len(stock.products)) - 0.12 * np.log(
            [one.price for one in stock.products]
        )
        self.posts_about = np.zeros((len(stock.posts), len(self.topics)))
        by_id = {one.id: row for row, one in enumerate(stock.products)}
        for row, post in enumerate(stock.posts):
            for name in post.for_:
                if name in by_id:
                    self.posts_about[row] += self.about[by_id[name]] * 0.6
                else:
                    self.posts_about[row, column[name]] += 1.0

    def taste(self, who: Visitor) -> NDArray[np.float64]:
        """(topics,) how much somebody cares."""
        cares = np.zeros(len(self.topics))
        for name, share in who.tastes.items():
            for topic, weight in TASTES[name].items():
                cares[self.topics.index(topic)] += share * weight
        return cares

    def appeal(self, who: Visitor) -> NDArray[np.float64]:
        """(products,) how much each says to somebody today."""
        moods = self.numbers.normal(0, 0.5, len(self.popular))
        return np.asarray(4.2 * (self.about @ self.taste(who)) + self.popular + moods)

    def visits(self, who: Visitor, calls: list[dict[str, Any]]) -> None:
        appeal = self.appeal(who)
        for number in range(who.visits):
            at = self.now - int(DAY * (0.02 + self.chance.betavariate(1.1, 2.2) * 27))
            self.visit(
                who, appeal, at, calls, signs_in=who.user is not None and (number > 0 or who.visits == 1)
            )

    def visit(
        self,
        who: Visitor,
        appeal: NDArray[np.float64],
        at: int,
        calls: list[dict[str, Any]],
        *,
        signs_in: bool,
    ) -> None:
        """One session: home, perhaps a search, a few products of a mood, perhaps a basket, perhaps an order."""
        chance, products = self.chance, self.stock.products
        clock = _Clock(at, chance)
        user = who.user if signs_in else None

        def call(kind: str, **more: Any) -> None:
            self.count += 1
            calls.append(
                {
                    "type": kind,
                    "messageId": f"visit-{self.seed}-{self.count}",
                    "anonymousId": who.anonymous,
                    **({"userId": user} if user else {}),
                    "timestamp": _stamp(clock.now),
                    "context": {"userAgent": who.agent},
                    **more,
                }
            )

        if signs_in:
            said = {"link": True, "social": True} if who.linked else {"link": False, "social": False}
            traits = {"name": who.name} if who.name else {"newsletter": chance.random() < 0.4}
            call("identify", traits=traits, consent=said)
        call("page", name="Home", properties={"url": "https://shop.example/"})
        clock.wait(3, 25)
        mood = self.draw(appeal)
        if chance.random() < 0.35:
            topic = chance.choice(products[mood].topics)
            call("track", event="Products Searched", properties={"query": SEARCHES[topic]})
            clock.wait(2, 12)
        if chance.random() < 0.5:
            name = self.stock.kinds[products[mood].kind].name
            call("track", event="Product List Viewed", properties={"category": name.lower()})
            clock.wait(4, 30)
        near = np.array([one.kind == products[mood].kind for one in products])
        basket: list[Product] = []
        seen: set[int] = set()
        for step in range(2 + min(int(chance.expovariate(0.5)), 7)):
            row = mood if step == 0 else self.draw(appeal + (1.3 * near if chance.random() < 0.55 else 0))
            if row in seen:
                continue
            seen.add(row)
            self.look(products[row], float(appeal[row] - appeal.mean()), call, clock, basket)
        if basket and chance.random() < 0.5:
            lines = [{"product_id": one.id, "price": one.price, "quantity": 1} for one in basket]
            total = sum(one.price for one in basket)
            call("track", event="Checkout Started", properties={"products": lines, "value": total})
            clock.wait(30, 160)
            if chance.random() < 0.62:
                order = f"o{self.seed}{self.count}"
                call(
                    "track",
                    event="Order Completed",
                    properties={"order_id": order, "products": lines, "total": total},
                )

    def look(self, one: Product, warmth: float, call: Any, clock: _Clock, basket: list[Product]) -> None:
        """Somebody looks at a product: the warmer they are to it, the longer they read and the more they do."""
        chance = self.chance
        call("track", event="Product Viewed", properties={"product_id": one.id, "price": one.price})
        for section in self.stock.sections_of(one):
            if chance.random() < 0.1 + 0.055 * min(max(warmth, 0), 5):
                seconds = round(chance.uniform(3, 12) + chance.expovariate(1 / (4 + 5 * max(warmth, 0))), 1)
                clock.wait(seconds, seconds + 2)
                call(
                    "track",
                    event="Section Viewed",
                    properties={"product_id": one.id, "section": section.id, "seconds": min(seconds, 120)},
                )
        eager = max(0.0, min(warmth, 6)) / 6
        if chance.random() < 0.16 * eager:
            call("track", event="Product Added to Wishlist", properties={"product_id": one.id})
        if one.available and chance.random() < 0.06 + 0.28 * eager:
            call(
                "track",
                event="Product Added",
                properties={"product_id": one.id, "price": one.price, "quantity": 1},
            )
            basket.append(one)
            if chance.random() < 0.1:
                clock.wait(5, 40)
                call("track", event="Product Removed", properties={"product_id": one.id})
                basket.remove(one)
        clock.wait(4, 40)

    def social(self, who: Visitor, events: list[dict[str, Any]]) -> None:
        """What somebody does with the shop's posts; and, for those who agreed, that the accounts are theirs."""
        if not who.accounts:
            return

        def tell(signal: str, source: str, at: int, named: list[str], **more: Any) -> None:
            self.count += 1
            events.append(
                {
                    "id": f"social-{self.seed}-{self.count}",
                    "signal": signal,
                    "source": source,
                    "at": at,
                    "who": named,
                    **more,
                }
            )

        began = self.now - 29 * DAY
        agreed = {"link": True, "social": True}
        if who.user and who.linked:
            for one in (f"user:{who.user}", *who.accounts):
                tell("consent", "shop", began, [one], consent=agreed)
            for account in who.accounts:
                tell("link", "shop", began, [f"user:{who.user}", account], consent={"link": True})
        else:
            # They agreed on the network itself that the shop may use what they do there, but not who they are.
            for account in who.accounts:
                tell("consent", account.partition(":")[0], began, [account], consent={"social": True})
        appeal = 6.0 * (self.posts_about @ self.taste(who)) + self.numbers.gumbel(
            0, 1.0, len(self.stock.posts)
        )
        for row in np.argsort(-appeal)[: who.social]:
            post = self.stock.posts[row]
            here = [one for one in who.accounts if one.startswith(post.network)]
            account = self.chance.choice(here or who.accounts)
            source = account.partition(":")[0]
            at = self.now - int(DAY * min(post.days_ago, 27) * self.chance.uniform(0.05, 0.98)) - 60_000
            about = {"post": post.id}
            # Sharing and commenting mostly come without a like: they are acts of their own.
            act = self.chance.choices(("like", "share", "comment"), (82, 10, 8))[0]
            tell(act, source, at, [account], about=about)
            if act != "like" and self.chance.random() < 0.3:
                tell("like", source, at + 20_000, [account], about=about)

    def draw(self, appeal: NDArray[np.float64]) -> int:
        """One product, more likely the more it appeals (Gumbel's trick for a softmax)."""
        return int(np.argmax(appeal + self.numbers.gumbel(0, 1.0, len(appeal))))


class _Clock:
    """The time within a visit, ms since the epoch."""

    def __init__(self, now: int, chance: random.Random) -> None:
        self.now = now
        self._chance = chance

    def wait(self, least: float, most: float) -> None:
        """Let some seconds pass."""
        self.now += int(1000 * self._chance.uniform(least, most))


def _stamp(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
