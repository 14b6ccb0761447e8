"""The signal map: what the names that clients use mean, and where a call says what it is about.

``signals.toml`` beside this module is the default and documents itself; an operator's ``signals.toml`` in the
data folder goes before it. Both are compiled once, into rules of plain tuples.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import msgspec

from plait.errors import Rejected
from plait.events import SOCIAL, Event, Purpose, Signal
from plait.intake.landings import LandingRule, Landings
from plait.intake.places import PageRule, Places, SectionRule

FILE = "signals.toml"
_MEMO = 20_000  # distinct spellings remembered; senders choose names, so it must have an end

_LONGEST = 256  # characters of a spelling that is worth remembering

Path_ = tuple[str, ...]  # keys to go through, outermost first
Paths = tuple[Path_, ...]


class Rule(msgspec.Struct, frozen=True):
    """What one name means.

    Attributes:
        item, section, post, topic, query, url, value, decision: where to look in properties, best first.
        products: where lists stand whose entries become an event each.
        product_item, price, quantity: where to look inside such an entry.
        scale: the most a value can be; values are divided by it (stars of 5 become 0..1).
    """

    signal: Signal
    op: Literal["assert", "retract"] = "assert"
    item: Paths = ()
    section: Paths = ()
    post: Paths = ()
    topic: Paths = ()
    query: Paths = ()
    url: Paths = ()
    value: Paths = ()
    decision: Paths = ()
    products: Paths = ()
    product_item: Paths = ()
    price: Paths = ()
    quantity: Paths = ()
    scale: float = 1.0


class SignalMap:
    """Names to rules. Immutable in what it answers; it only remembers spellings it has seen."""

    def __init__(
        self,
        rules: Mapping[str, Rule],
        plain: Rule,
        consent: Mapping[str, tuple[Purpose, ...]],
        places: Places | None = None,
        landings: Landings | None = None,
    ) -> None:
        self.places = places or Places()
        self.landings = landings or Landings()
        self._rules = dict(rules)
        self._memo: dict[str, Rule] = {}
        self.consent = dict(consent)
        self.view = msgspec.structs.replace(plain, signal=Signal.VIEW)
        self.other = plain

    def rule(self, name: str) -> Rule:
        """What ``name`` means; ``signal`` is ``other`` when the map does not know it."""
        found = self._memo.get(name)
        if found is None:
            found = self._rules.get(folded(name), self.other)
            if len(name) <= _LONGEST:
                if len(self._memo) >= _MEMO:
                    self._memo.clear()
                self._memo[name] = found
        return found

    def names(self) -> Iterable[str]:
        """The names it knows, folded."""
        return self._rules.keys()

    def land(self, event: Event, url: Any, campaign: Any = None) -> None:
        """Note which post brought a view; what its address says besides comes first, for it reads nothing beside a post."""
        if self.places:
            event.about = self.places.about(event.about)
        self.landings.land(event, url, campaign)


def folded(name: str) -> str:
    """``name`` without case and punctuation."""
    return "".join(filter(str.isalnum, name)).casefold()


def load_signals(data: str | Path | None = None) -> SignalMap:
    """The default map, changed by the ``signals.toml`` of a data folder where there is one.

    Raises:
        Rejected: the operator's file is wrong; the message names the line.
    """
    own = files("plait.intake").joinpath(FILE)
    told = [(f"plait/{FILE}", own.read_text())]
    path = Path(data) / FILE if data is not None else None
    if path is not None and path.exists():
        try:
            told.append((str(path), path.read_text()))
        except (OSError, UnicodeDecodeError) as exc:
            raise Rejected(f"{path} cannot be read: {exc}", code="invalid_signals", field=str(path)) from exc
    return compile_signals(told)


def compile_signals(told: Iterable[tuple[str, str]]) -> SignalMap:
    """One map of several texts, later ones before earlier ones.

    Args:
        told: (where a text comes from, for messages; the text, TOML).

    Raises:
        Rejected: not TOML, an unknown name or a wrong type; ``field`` is ``file:line``.
    """
    files_ = [_read(where, text) for where, text in told]
    find, product = _Find(), _Product()
    consent: dict[str, tuple[Purpose, ...]] = {}
    for one in files_:
        find = _over(find, one.find)
        product = _over(product, one.find.product)
        consent |= one.consent
    found: dict[str, Any] = {name: _paths(getattr(find, name)) for name in _FOUND}
    plain = Rule(
        signal=Signal.OTHER,
        product_item=_paths(product.item),
        price=_paths(product.price),
        quantity=_paths(product.quantity),
        **found,
    )
    rules: dict[str, Rule] = {}
    for one in files_:
        rules |= {folded(name): _rule(entry, plain) for entry in one.event for name in entry.names}
    # Of rules that fit the first counts, so the operator's come first.
    pages = [rule for one in reversed(files_) for rule in one.page]
    sections = [rule for one in reversed(files_) for rule in one.section]
    landings = [rule for one in reversed(files_) for rule in one.landing]
    return SignalMap(rules, plain, consent, Places(pages, sections), Landings(landings))


class _Product(msgspec.Struct, forbid_unknown_fields=True):
    item: list[str] | None = None
    price: list[str] | None = None
    quantity: list[str] | None = None


class _Find(msgspec.Struct, forbid_unknown_fields=True):
    item: list[str] | None = None
    section: list[str] | None = None
    post: list[str] | None = None
    topic: list[str] | None = None
    query: list[str] | None = None
    url: list[str] | None = None
    value: list[str] | None = None
    decision: list[str] | None = None
    product: _Product = msgspec.field(default_factory=_Product)


_FOUND = ("item", "section", "post", "topic", "query", "url", "value", "decision")


class _Entry(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    names: list[str]
    signal: Signal
    op: Literal["assert", "retract"] = "assert"
    item: list[str] | None = None
    section: list[str] | None = None
    post: list[str] | None = None
    topic: list[str] | None = None
    query: list[str] | None = None
    url: list[str] | None = None
    value: list[str] | None = None
    decision: list[str] | None = None
    products: list[str] = []
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.signal not in _MAPPABLE:
            raise ValueError(f"signal {self.signal.value!r} is Plait's own and no name may stand for it")
        if not self.scale > 0:
            raise ValueError(f"scale must be > 0, not {self.scale}")
        for name in self.names:
            if not folded(name):
                raise ValueError(f"name {name!r} has no letter or digit")


# Who somebody is, what they allow and what we answered are said by calls of their own, never by a track name.
_MAPPABLE = frozenset(Signal) - {
    Signal.IDENTIFY, Signal.LINK, Signal.UNLINK, Signal.TRAIT, Signal.CONSENT, Signal.DECIDED, Signal.ERASE,
}  # fmt: skip


class _File(msgspec.Struct, forbid_unknown_fields=True):
    find: _Find = msgspec.field(default_factory=_Find)
    event: list[_Entry] = []
    consent: dict[str, tuple[Purpose, ...]] = {}
    page: list[PageRule] = []
    section: list[SectionRule] = []
    landing: list[LandingRule] = []


def _read(where: str, text: str) -> _File:
    try:
        return msgspec.convert(tomllib.loads(text), _File)
    except tomllib.TOMLDecodeError as exc:
        line = re.search(r"line (\d+)", str(exc))
        raise _wrong(where, int(line[1]) if line else text.count("\n") + 1, str(exc)) from exc
    except msgspec.ValidationError as exc:
        what, _, path = str(exc).partition(" - at ")
        raise _wrong(where, _line(text, path.strip("`"), what), what) from exc


def _wrong(where: str, line: int, what: str) -> Rejected:
    return Rejected(f"{where}, line {line}: {what}", code="invalid_signals", field=f"{where}:{line}")


def _line(text: str, path: str, what: str) -> int:
    """The line of a wrong value: the one that sets it, inside the table that the path counts to."""
    lines = text.splitlines()
    number = re.search(r"(event|page|section|landing)\[(\d+)\]", path)
    start = 0
    if number:
        heads = [at for at, line in enumerate(lines) if line.strip() == f"[[{number[1]}]]"]
        start = heads[int(number[2])] if int(number[2]) < len(heads) else 0
    value = re.search(r"value '(.+)'", what)
    for at in range(start, len(lines) if value else 0):
        if value and re.search(rf'["\']{re.escape(value[1])}["\']', lines[at]):
            return at + 1
    keys = re.findall(r"\.(\w+)", path) + re.findall(r"field `(\w+)`", what) + re.findall(r"^(\w+) ", what)
    for key in reversed(keys):
        for at in range(start, len(lines)):
            if re.match(rf"\s*\[*\"?{re.escape(key)}\"?\s*(=|\])", lines[at]):
                return at + 1
            if at > start and number and lines[at].startswith("["):
                break
    return start + 1


def _over(under: Any, over: Any) -> Any:
    given = {name: value for name in over.__struct_fields__ if (value := getattr(over, name)) is not None}
    given.pop("product", None)
    return msgspec.structs.replace(under, **given)


def _rule(entry: _Entry, plain: Rule) -> Rule:
    given = {name: _paths(told) for name in _FOUND if (told := getattr(entry, name)) is not None}
    return msgspec.structs.replace(
        plain,
        signal=entry.signal,
        op=entry.op,
        products=_paths(entry.products),
        scale=entry.scale,
        **given,
    )


def _paths(told: list[str] | None) -> Paths:
    return tuple(tuple(one.split(".")) for one in told or ())


def at_path(properties: Mapping[str, Any], paths: Paths) -> Any:
    """The first thing that stands at one of ``paths`` and is not empty, else ``None``."""
    for path in paths:
        found = properties.get(path[0])
        for key in path[1:]:
            found = found.get(key) if isinstance(found, dict) else None
        if found is not None and found != "":
            return found
    return None


# Signals whose properties may hold what somebody wrote in a message or typed into a form.
TEXT = SOCIAL - {Signal.LIKE, Signal.FOLLOW}
FORM = frozenset({Signal.FORM_START, Signal.FORM_SUBMIT, Signal.FORM_ABANDON})
