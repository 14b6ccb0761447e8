"""What conditions on people speak of: ``follows('bluesky:shop.example') and not bought()``.

An **audience** is such a condition under a name. Nobody is put into one: whoever is asked about is a ``Facts``, made of their profile
as it is now, and a fact is looked up when a condition first asks for it. So an un-follow takes its effect back with the next answer.

What consent holds back is not known, which is neither true nor false: ``not follows('bluesky')`` does not hold for somebody whose
social side may not be used. Who may not be personalized for is in no audience.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from plait.catalog import Catalog
from plait.catalog.conditions import Condition
from plait.catalog.expressions import ARGUMENT, Function, Kind, Language, compiled
from plait.catalog.items import Audience
from plait.connectors import networks
from plait.errors import Rejected
from plait.events import (
    ACTIVITY,
    DAY,
    SOCIAL,
    STATEFUL,
    Signal,
    checked_identifier,
    identifier_type,
    is_network,
)
from plait.profiles.interests import TELLING, about_of, meant
from plait.profiles.profile import Entry, Profile
from plait.profiles.subjects import COMPLAINT

INTERESTED = (
    0.5  # what an interest weighs at least to count as one: half an act of now, or one of a half-life ago
)
_SURE = 0.5  # how surely a post must be about something for an act on it to be one about that
_ACTS = frozenset({*ACTIVITY, *SOCIAL, COMPLAINT})
TRAIT = "traits."
_MEMO = 20_000  # items whose meaning is remembered

Meaning = Mapping[tuple[str, str], float]  # ("item", id) and ("topic", name) -> how surely, 0..1
Ours = Mapping[
    str, Collection[str]
]  # what our accounts are called -> their identifiers; see ``plait.accounts.ours``


# --- the language ------------------------------------------------------------------------------------------------------


def _takes(most: int, least: int, what: str) -> Callable[[Sequence[str]], tuple[int, str] | None]:
    """A check of how many arguments there are, and that none is empty."""

    def check(given: Sequence[str]) -> tuple[int, str] | None:
        if not least <= len(given) <= most:
            return min(len(given), most), what
        return next(((at, f"'' is nothing; {what}") for at, one in enumerate(given) if not one.strip()), None)

    return check


def _act(given: Sequence[str]) -> tuple[int, str] | None:
    wrong = _takes(2, 1, "name a signal, and if you like what it is about: count('view', 'tents')")(given)
    if wrong is None and given[0] not in _ACTS:
        return 0, f"'{given[0][:40]}' is not something people do; there are {', '.join(sorted(_ACTS))}"
    return wrong


def _account(given: Sequence[str]) -> tuple[int, str] | None:
    wrong = _takes(1, 0, "name one account, a network, or none: follows('bluesky:shop.example')")(given)
    if wrong is None and given and ":" not in given[0] and given[0] not in (known := networks()):
        return 0, f"'{given[0][:40]}' is no network; there are {', '.join(known)}"
    if wrong is None and given and ":" in given[0]:
        try:
            checked_identifier(given[0], field="account")
        except Rejected as exc:
            return 0, exc.message
    return wrong


_FIELDS: dict[str, Kind] = {
    "interests": "list",
    "identifiers": "list",
    "device": "text",
    "devices": "list",
    "os": "text",
    "browser": "text",
    "days_known": "number",
    "days_away": "number",
}
PEOPLE = Language(
    _FIELDS,
    TRAIT,
    "people have no field",
    {
        "follows": Function("flag", _account),
        "bought": Function("flag", _takes(1, 0, "name one item or topic, or none: bought('tents')")),
        "count": Function("number", _act),
        "days_since": Function("number", _act),
        "interest": Function("number", _takes(1, 1, "name one item or topic: interest('tents')")),
    },
)

_compiled: dict[str, Condition] = {}


def condition(text: str, *, field: str = "where") -> Condition:
    """Compile a condition on people; docs/reference/expressions.md has the language.

    Raises:
        Rejected: ``invalid_expression``; the message shows the place with a caret.
    """
    found = _compiled.get(text)
    if found is None:
        found = compiled(text, PEOPLE, field=field)
        if len(_compiled) >= 2_048:
            _compiled.clear()
        _compiled[text] = found
    return found


def belongs(facts: Facts | None, audience: Audience) -> bool:
    """Whether somebody is in an audience; nobody is in one whose condition can be read no more, nor is who is not known."""
    if facts is None:
        return False
    try:
        return facts.fulfil(condition(audience.where))
    except Rejected:  # it was checked when it was stored, by another version
        return False


# --- one person ----------------------------------------------------------------------------------------------------------


class Meanings:
    """The items and topics that acts speak for; of items and posts remembered until the catalog changes."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._version = -1
        self._known: dict[tuple[str, str], Meaning] = {}

    def of(self, entries: Sequence[Entry]) -> list[Meaning]:
        """``("item", id)`` and ``("topic", name)``, and how surely, 0..1; of each entry."""
        if self._version != self._catalog.version or len(self._known) > _MEMO:
            self._version = self._catalog.version
            self._known.clear()
        known, found = self._known, []
        for one in entries:
            key = (one.kind, one.id)
            told = known.get(key)
            if told is None:
                told = known[key] = meant(one, self._catalog)
            found.append(told)
        return found


class Facts(Mapping[str, Any]):
    """One person as conditions read them; a fact is found when it is first asked for.

    What is not known is ``None``. It answers to the names of ``PEOPLE``: fields, ``traits.…``, and functions with arguments.
    """

    def __init__(self, profile: Profile, meanings: Meanings, *, now: int, ours: Ours | None = None) -> None:
        """Of a person.

        Args:
            profile: as it may be used, with consents (``people.usable``).
            meanings: of the catalog.
            now: ms since the epoch, that the profile's weights are decayed to.
            ours: what the company's own accounts are called.
        """
        self._profile, self._meanings = profile, meanings
        self._now, self._ours = now, ours or {}
        self._memo: dict[str, Any] = {}
        self._weights: dict[tuple[str, str], float] | None = None
        self._acts: dict[str, list[Entry]] | None = None
        self._known: dict[str, list[Meaning]] = {}
        self._silent = profile.consents.get("personalize") is False
        # Whether all that was told of the site, and of networks, may be used.
        self._whole = self._social = True
        for named, yes in profile.consents.items():
            if not yes:
                self._whole &= not named.startswith("personalize@")
                self._social &= not named.startswith(("personalize@", "social"))

    def fulfil(self, asked: Condition) -> bool:
        """Whether a condition surely holds; never for somebody who may not be personalized for."""
        return not self._silent and asked.test(self)

    def __getitem__(self, name: str) -> Any:
        """The value of a name; ``None`` when it is not known."""
        try:
            return self._memo[name]
        except KeyError:
            pass
        head, *arguments = name.split(ARGUMENT)
        found = self._trait(head) if head.startswith(TRAIT) else _FOUND[head](self, *arguments)
        self._memo[name] = found
        return found

    def get(self, name: str, default: Any = None, /) -> Any:
        """As ``[name]``: a condition asks so, and what is not known is ``None`` already."""
        del default
        return self[name]

    def __iter__(self) -> Iterator[str]:
        """The names of the fields."""
        return iter(_FIELDS)

    def __len__(self) -> int:
        """How many fields there are."""
        return len(_FIELDS)

    # fields

    def _trait(self, name: str) -> Any:
        """A trait by its name, or within an object by a path; only what a condition can compare."""
        traits: Any = self._profile.traits
        rest = name.removeprefix(TRAIT)
        if rest in traits:
            return _comparable(traits[rest])
        for part in rest.split("."):
            traits = traits.get(part) if isinstance(traits, dict) else None
        return _comparable(traits)

    def _interests(self) -> list[str]:
        found = [what for what, weight in self._weighed().items() if _rounded(weight) >= INTERESTED]
        return [name for _, name in found] + [f"{kind}:{name}" for kind, name in found]

    def _types(self) -> list[str]:
        known = self._profile.identifiers
        return list(
            dict.fromkeys(identifier_type(one) for one in known if self._social or not is_network(one))
        )

    def _devices(self) -> list[str]:
        return list(dict.fromkeys(one["device"] for one in self._profile.devices if one["device"]))

    def _last_seen(self, what: str) -> str | None:
        newest = max(self._profile.devices, key=lambda one: one["last_at"], default=None)
        return (newest[what] or None) if newest is not None else None

    def _days(self, at: int) -> float | None:
        return max(0.0, (self._now - at) / DAY) if at else None

    # functions

    def _follows(self, account: str = "") -> bool | None:
        wanted = {account, *self._ours.get(account, ())}
        found = any(one.kind == "account" and one.id in wanted for one in self._did(Signal.FOLLOW, ""))
        return found or (False if self._social else None)

    def _bought(self, what: str = "") -> bool | None:
        found = bool(self._did(Signal.PURCHASE, what))
        return found or (False if self._whole else None)

    def _count(self, signal: str, what: str = "") -> int | None:
        if not (self._social if signal in SOCIAL or signal == COMPLAINT else self._whole):
            return None
        if not what and signal not in STATEFUL and signal not in (COMPLAINT, Signal.SHARE):
            return self._profile.counts.get(signal, 0) if self._is_somebody() else 0
        # One act may be about an item, a topic and a search at once, and is one act all the same.
        told: dict[str, int] = {}
        for one in self._did(signal, what):
            side = one.kind if one.kind in ("topic", "query") else ""
            told[side] = told.get(side, 0) + one.count
        return max(told.values(), default=0)

    def _days_since(self, signal: str, what: str = "") -> float | None:
        return self._days(max((one.at for one in self._did(signal, what)), default=0))

    def _interest(self, name: str) -> float:
        kind, _, rest = name.partition(":")
        weighed = self._weighed()
        if kind in ("item", "topic") and rest:
            return _rounded(weighed.get((kind, rest), 0.0))
        return _rounded(max(weighed.get(("item", name), 0.0), weighed.get(("topic", name), 0.0)))

    # what they rest on

    def _is_somebody(self) -> bool:
        """Whether not all they did was a robot's."""
        return self._profile.bots < sum(self._profile.counts.values())

    def _did(self, signal: str, what: str) -> list[Entry]:
        """What they did of one kind, with something or at all."""
        acts = self._by_signal().get(signal, [])
        if not what or not acts:
            return acts
        kind, _, name = what.partition(":")
        told = name and kind in ("item", "topic")
        pairs = ((kind, name),) if told else (("item", what), ("topic", what))
        return [
            one
            for one, known in zip(acts, self._meant(signal), strict=True)
            if one.id == what
            or (one.id == name and one.kind == kind)
            or (one.section and about_of(one) == what)
            or any(known.get(pair, 0.0) >= _SURE for pair in pairs)
        ]

    def _by_signal(self) -> Mapping[str, list[Entry]]:
        """Entries by signal; a complaint is no act of the signal that it came by."""
        if self._acts is None:
            found = self._acts = {}
            for one in self._profile.entries:
                signal = COMPLAINT if one.kind == COMPLAINT else one.signal
                some = found.get(signal)
                if some is None:
                    found[signal] = [one]
                else:
                    some.append(one)
        return self._acts

    def _meant(self, signal: str) -> list[Meaning]:
        """What the entries of a signal speak for."""
        found = self._known.get(signal)
        if found is None:
            found = self._known[signal] = self._meanings.of(self._by_signal()[signal])
        return found

    def _weighed(self) -> Mapping[tuple[str, str], float]:
        """Interests by kind and name, as ``interests.interests`` sums them."""
        if self._weights is None:
            found: dict[tuple[str, str], float] = {}
            for signal, acts in self._by_signal().items():
                if signal not in TELLING:
                    continue
                sign = -1.0 if signal == Signal.REMOVE else 1.0
                for entry, known in zip(acts, self._meant(signal), strict=True):
                    weight = sign * entry.weight
                    for pair, sure in known.items():
                        found[pair] = found.get(pair, 0.0) + weight * sure
            self._weights = found
        return self._weights


_FOUND: dict[str, Callable[..., Any]] = {
    "interests": Facts._interests,
    "identifiers": Facts._types,
    "device": lambda facts: facts._last_seen("device"),
    "devices": Facts._devices,
    "os": lambda facts: facts._last_seen("os"),
    "browser": lambda facts: facts._last_seen("browser"),
    "days_known": lambda facts: facts._days(facts._profile.first_at),
    "days_away": lambda facts: facts._days(facts._profile.last_at),
    "follows": Facts._follows,
    "bought": Facts._bought,
    "count": Facts._count,
    "days_since": Facts._days_since,
    "interest": Facts._interest,
}


def _rounded(weight: float) -> float:
    """Sums depend in their last digits on the order of acts; who is in an audience must not."""
    return round(weight, 9)


def _comparable(value: Any) -> Any:
    if isinstance(value, list):
        return [one for one in value if isinstance(one, (str, int, float))]
    return value if isinstance(value, (bool, int, float, str)) else None
