"""Which items and topics a text names: all names of a catalog looked for at once, and look-alikes told apart by what stands around.

A title gives many names: people say "Tarn 2" for "Tarn 2 Trekking Tent", and "the Breeze" is also what blows. So each title's
beginnings are names as well; which item is meant is decided by how much of a title stands near, by what the conversation is
about, and by how a word is written. What stays doubtful names nothing.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from functools import cached_property
from typing import NamedTuple
from urllib.parse import urlsplit

from ahocorasick_rs import AhoCorasick, Implementation

from plait.catalog.items import ASIDE, POST, Item
from plait.delicate import refused
from plait.events import About
from plait.folding import CLAUSES, ENDS, Words, folded, is_run
from plait.intake.places import Places
from plait.intake.values import address

MOST_OF_A_LINE = 24  # items that may share a name; what more share is a brand, and names none of them
BEGINNINGS = 4  # words of a title's beginning that may stand for it
MOST_HITS = 2_000
NEAR = 9  # words around a name that tell which item is meant
BESIDE = 3  # words that stand at it
_NUMBER = re.compile(r"\d")
# Titles of these kinds are sentences: their beginnings name nothing.
SENTENCES = ASIDE | {"article"}
_ARTICLES = frozenset(
    ("the", "a", "an", "at", "le", "la", "les", "der", "die", "das", "el", "il", "lo", "de", "het", "o", "os")
)
# For whom a variant is, as people say it: what titles call "Women", "Men" and "Kids".
_FOR_WHOM = {
    "women": "women woman ladies lady female her damen frauen femme femmes mujer mujeres donna donne dames vrouwen damski "
    "damskie kobiet mulher feminino feminina женские женская женский dam dammodell kadin レディース 女性 女款 女士",
    "men": "men man male mens herren manner homme hommes hombre hombres uomo heren mannen meski meskie homem masculino "
    "мужские мужская мужской herr erkek メンズ 男性 男款 男士",
    "kids": "kids kid child children junior kinder kind enfant enfants nino ninos bambini bambino kinderen dzieci dzieciecy "
    "crianca criancas детские детский barn cocuk 子供 キッズ 儿童",
}  # fmt: skip
_VARIANT = {word: whom for whom, text in _FOR_WHOM.items() for word in text.split()}
# How words may end besides, in languages that decline names.
_ENDINGS = frozenset(
    ("s", "es", "n", "en", "e", "a", "u", "i", "y", "om", "em", "ie", "е", "у", "а", "ом", "ы", "и")
)


Span = tuple[int, int, int]  # first word, word after, number of the name


class Named(NamedTuple):
    """Something that a text names.

    Attributes:
        kind: ``item`` or ``topic``.
        id: the item's id, or the topic.
        confidence: 0..1.
        how: ``name`` or ``hashtag``.
        start, end: words of the text it stands on.
    """

    kind: str
    id: str
    confidence: float
    how: str
    start: int
    end: int


class _Known(NamedTuple):
    """An item as names see it: the words of its title, those of its kind, and its title without variants."""

    id: str
    words: tuple[str, ...]
    around: frozenset[str]
    kind: frozenset[str]
    base: str


class Names:
    """All names of a catalog; make another when its items changed."""

    def __init__(self, items: Iterable[Item], places: Places | None = None) -> None:
        """Learn the names of items and topics.

        Args:
            items: of the catalog; posts and promotions are passed over. ``attributes`` may hold ``aliases`` (a list), and
                ``brand`` and ``model``, as feeds give them. Those of a special category are left out.
            places: the rules by which an address tells what its page is about.
        """
        #: Names of topics that may be derived, folded -> as the catalog writes them.
        self.topics: dict[str, str] = {}
        self._places = places or Places()
        self._urls: dict[str, str] = {}
        self._posts: dict[str, tuple[str, ...]] = {}
        self._known: list[_Known] = []
        self._place: dict[str, int] = {}
        found: dict[str, dict[int, bool]] = defaultdict(dict)  # name -> item -> whether it is its own
        for item in items:
            if item.kind in ASIDE:
                if item.kind == POST:
                    self.note(item.id, [one.to for one in item.tied()])
                continue
            if any(refused(one) for one in (item.title, *item.topics)):
                self._learn_topics(item)
                continue
            self._learn(item, found)
            self._learn_topics(item)
        #: Words of titles beyond the first: alone, as the beginning of another title, they say nothing.
        self._used = {word for one in self._known for word in one.words[1:]}
        for tag in self.topics:
            found.setdefault(tag, {})
        self._names: list[str] = []
        self._meant: list[tuple[tuple[int, bool], ...]] = []
        for name, whom in found.items():
            if len(whom) <= MOST_OF_A_LINE or name in self.topics:
                self._names.append(name)
                self._meant.append(tuple(whom.items()) if len(whom) <= MOST_OF_A_LINE else ())
        patterns = [one if is_run(one[0]) else f" {one}" for one in self._names]
        self._finder = AhoCorasick(
            patterns, implementation=Implementation.ContiguousNFA if patterns else None
        )

    def __len__(self) -> int:
        """How many names are known."""
        return len(self._names)

    # --- learning

    def _learn(self, item: Item, found: dict[str, dict[int, bool]]) -> None:
        title = item.title.partition(",")[0] or item.title
        words = tuple(folded(item.title).split())
        base = tuple(folded(title).split())
        brand = tuple(folded(str(item.attributes.get("brand", ""))).split())
        if brand and words[: len(brand)] == brand and len(words) > len(brand):
            words, base = words[len(brand) :], base[len(brand) :]
        place = len(self._known)
        around = frozenset(
            form for topic in item.topics for word in folded(topic).split() for form in _forms(word)
        ) | frozenset(form for word in words[1:] for form in _forms(word))
        kinds = (
            *item.topics[-1:],
            *(item.attributes.get(one) for one in ("type", "product_type", "category")),
        )
        kind = frozenset(
            form
            for one in kinds
            if isinstance(one, str)
            for word in folded(one).split()
            for form in _forms(word)
        )
        self._known.append(_Known(item.id, words, around, kind, " ".join(base) or item.id))
        self._place[item.id] = place
        if item.url:
            self._urls[_plain(item.url)] = item.id
        beginnings = 0 if item.kind in SENTENCES or (base and base[0] in _ARTICLES) else BEGINNINGS
        for length in range(1, min(len(base), beginnings) + 1):
            _name(found, " ".join(base[:length]), place, own=length == len(base))
        for own in (" ".join(words), " ".join(base), folded(item.id)):
            _name(found, own, place, own=True)
        model = item.attributes.get("model")
        aliases = item.attributes.get("aliases") or ()
        for told in (
            *([model] if isinstance(model, str) else []),
            *([aliases] if isinstance(aliases, str) else aliases),
        ):
            _name(found, folded(str(told)), place, own=True)

    def _learn_topics(self, item: Item) -> None:
        for topic in item.topics:
            name = folded(topic)
            if len(name) > 2 and not refused(topic):
                self.topics.setdefault(name, topic)

    # --- asking

    def note(self, post: str, ties: Iterable[str]) -> None:
        """Note what a post is tied to."""
        self._posts[post] = tuple(one.removeprefix("item:") for one in ties if not one.startswith("topic:"))

    def tied(self, post: str) -> tuple[str, ...]:
        """The items that a post is tied to: what a conversation below it is about."""
        return self._posts.get(post, ())

    def item_called(self, name: str) -> str | None:
        """The item of an id, or of a whole name; for product tags."""
        if name in self._place:
            return name
        place = self._joined.get(folded(name).replace(" ", ""))
        return None if place is None else self._known[place].id

    def item_at(self, link: str) -> str | None:
        """The item whose page a link leads to: by the operator's rules, or as the catalog has it.

        What tells a visit apart (``utm_…``) does not matter. Nothing is fetched: a shortened link is understood where
        a rule of ``signals.toml`` says what it stands for.
        """
        url = address(link)
        if url is None:
            return None
        told = self._places.about(About(url=url)).item
        if told is not None:
            return told if told in self._place else None
        plain = _plain(url)
        try:
            path = urlsplit(plain).path.rstrip("/")
        except ValueError:
            return None
        forms = (plain, plain.partition("?")[0], path)
        return next((self._urls[form] for form in forms if form in self._urls), None)

    def tagged(self, tags: Iterable[str]) -> list[tuple[str, str, float]]:
        """What hashtags (without ``#``) name: (kind, id, confidence)."""
        found = []
        for tag in tags:
            joined = folded(tag).replace(" ", "")
            topic, place = self._joined_topics.get(joined), self._joined.get(joined)
            if topic is not None:
                found.append(("topic", topic, 0.8))
            if place is not None:
                found.append(("item", self._known[place].id, 0.9))
        return found

    # --- finding

    def find(
        self, words: Words, spans: Sequence[Span], language: str | None = None, context: Collection[str] = ()
    ) -> list[Named]:
        """What a text names, each once, in the order of the text.

        Args:
            words: of the text.
            spans: of ``spans``.
            language: of the text; a name that is a word of another language stands out.
            context: ids of items that the conversation is about; they decide between look-alikes.
        """
        near = {self._place[one] for one in context if one in self._place}
        found: dict[tuple[str, str], Named] = {}
        for span in spans:
            named = self._decide(words, span, language, near)
            if named is not None and (named.kind, named.id) not in found:
                found[named.kind, named.id] = named
        if words.tags:
            self._tagged(words, found)
        return sorted(found.values(), key=lambda one: one.start)

    def spans(self, words: Words) -> list[Span]:
        """Where names stand, the longest of those that overlap: (first word, word after, number of the name)."""
        line, hits = words.line, []
        for number, begin, end in self._finder.find_matches_as_indexes(line, overlapping=True)[:MOST_HITS]:
            name = self._names[number]
            if not _ends_well(line, end, name):
                continue
            first = line.count(" ", 0, begin + 1) - 1
            hits.append((first, first + name.count(" ") + 1, number, end - begin))
        hits.sort(key=lambda one: (-one[3], one[0]))
        taken: set[int] = set()
        best = []
        for first, after, number, _ in hits:
            if taken.isdisjoint(range(first, after)):
                taken.update(range(first, after))
                best.append((first, after, number))
        return sorted(best)

    def _decide(self, words: Words, span: Span, language: str | None, near: Collection[int]) -> Named | None:
        start, end, number = span
        if self._meant[number]:
            place, confidence = self._which(words, span, language, near)
            if place >= 0:
                return Named("item", self._known[place].id, confidence, "name", start, end)
        topic = self.topics.get(self._names[number])
        return None if topic is None else Named("topic", topic, 0.5, "name", start, end)

    def _which(
        self, words: Words, span: Span, language: str | None, near: Collection[int]
    ) -> tuple[int, float]:
        """The item that a name means here, and how surely; -1 when that cannot be told."""
        start, end, number = span
        around = _around(words, start, end, NEAR, ENDS)
        far = BESIDE if words.written[start][:1].isupper() else 1  # "a tarn and 2 tents" is no Tarn 2
        beside = _around(words, start, end, far, CLAUSES)
        scores = [
            (self._told(place, own, number, around, beside, place in near), place)
            for place, own in self._meant[number]
        ]
        scores.sort(reverse=True)
        best, place = scores[0]
        sure = self._is_sure(number)
        backed = place in near or self._is_backed(self._known[place], number, beside)
        if not (sure or backed or self._stands_out(words, start, end, language)):
            return -1, 0.0
        rivals = [one for score, one in scores if score > best - 0.15]
        if len(rivals) == 1:
            return place, 0.95 if sure else 0.8 if backed else 0.6
        if len({self._known[one].base for one in rivals}) > 1:
            return -1, 0.0
        # Variants of one thing (", Women"): who names none means the plain one.
        return min(rivals, key=lambda one: (len(self._known[one].words), self._known[one].id)), 0.7

    def _told(
        self, place: int, own: bool, number: int, around: Collection[str], beside: Collection[str], near: bool
    ) -> float:
        """How much speaks for an item: the rest of its title, its kind, what the conversation is about."""
        known = self._known[place]
        rest = set(known.words[self._names[number].count(" ") + 1 :])
        seen = sum(1.0 if word in beside else 0.5 for word in rest if word in around)
        cue = not known.around.isdisjoint(around)
        return 3.0 * near + seen + 0.4 * cue + 0.2 * own - 0.01 * len(rest)

    def _is_sure(self, number: int) -> bool:
        """Whether a name says by itself that it is one."""
        name, whom = self._names[number], self._meant[number]
        if " " not in name:
            return is_run(name[0]) and any(own for _, own in whom)
        return any(own for _, own in whom) or _NUMBER.search(name) is not None or len(name) > 6

    def _is_backed(self, known: _Known, number: int, beside: Collection[str]) -> bool:
        """Whether more of the item's title, or the word for its kind, stands at a lone word."""
        rest = known.words[self._names[number].count(" ") + 1 :]
        return any(word in beside for word in rest) or not known.kind.isdisjoint(beside)

    def _stands_out(self, words: Words, start: int, end: int, language: str | None) -> bool:
        """Whether a lone word is written as a name is: with a capital where others have none."""
        word = words.written[start]
        if end - start > 1 or not word[:1].isupper() or len(word) < 3 or words.folded[start] in self._used:
            return False
        first = start == 0 or words.written[start - 1] in CLAUSES
        if language == "de" or (first and language in ("en", None)):
            return False
        others = [
            one
            for at, one in enumerate(words.written)
            if at and at != start and one[0].isalpha() and words.written[at - 1] not in ENDS
        ]
        return sum(one[0].isupper() for one in others) * 3 <= len(others)

    def _tagged(self, words: Words, found: dict[tuple[str, str], Named]) -> None:
        """Hashtags: written as one word, they name what they spell."""
        for kind, id, confidence in self.tagged(words.tags):
            if kind == "topic" or (kind, id) not in found:
                found[kind, id] = Named(kind, id, confidence, "hashtag", 0, 0)

    @cached_property
    def _joined(self) -> dict[str, int]:
        """Names as one word, of those that are one item's."""
        kept = {}
        for name, whom in zip(self._names, self._meant, strict=True):
            own = [place for place, mine in whom if mine] or [place for place, _ in whom if len(whom) == 1]
            if len(own) == 1 and " " in name:
                kept[name.replace(" ", "")] = own[0]
        return kept

    @cached_property
    def _joined_topics(self) -> dict[str, str]:
        return {folded_name.replace(" ", ""): topic for folded_name, topic in self.topics.items()}


def _plain(url: str) -> str:
    """An address without its scheme's s and without a slash at the end."""
    return url.replace("http://", "https://", 1).rstrip("/")


def _name(found: dict[str, dict[int, bool]], name: str, place: int, *, own: bool) -> None:
    if len(name) < 2 or name.isdigit():
        return
    found[name][place] = own or found[name].get(place, False)


def _forms(word: str) -> tuple[str, ...]:
    """A word, and what is left of it without its plural."""
    if len(word) > 4 and word.endswith("es"):
        return word, word[:-1], word[:-2]
    return (word, word[:-1]) if len(word) > 3 and word.endswith("s") else (word,)


def _ends_well(line: str, end: int, name: str) -> bool:
    """Whether a name ends where it was found, but for an ending that a language puts on."""
    if end >= len(line) or line[end] == " ":
        return True
    if is_run(name[-1]):
        return True
    if not name[-1].isalpha() or len(name.rpartition(" ")[2]) < 4:
        return False
    rest = line[end : line.find(" ", end) if line.find(" ", end) > 0 else len(line)]
    return rest in _ENDINGS


def _around(words: Words, start: int, end: int, far: int, ends: Collection[str]) -> frozenset[str]:
    """The words near a name, without those beyond an end, and without their plurals; "ladies" are women."""
    first, last = max(0, start - far), min(len(words.folded), end + far)
    for at in range(start - 1, first - 1, -1):
        if words.folded[at] in ends:
            first = at + 1
            break
    for at in range(end, last):
        if words.folded[at] in ends:
            last = at
            break
    near = words.folded[first:start] + words.folded[end:last]
    return frozenset(form for word in near for form in (*_forms(word), _VARIANT.get(word, word)))
