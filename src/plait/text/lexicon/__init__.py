"""Words that carry a mood or an intent, one file a language; ``Lexicon`` looks them up in a text.

A word that ends in ``*`` stands for all that begin like it; a phrase may end within a word. Words are found with a letter too
many, too few of a pair, or two changed places ("sooo", "dissapointed", "absolutley"). The files are ours: written for this, in the
shop's field, and held to the gold set (docs/explanation/text.md).
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.resources import files

from ahocorasick_rs import AhoCorasick

from plait.folding import folded, is_run

(GOOD, GREAT, BAD, AWFUL, NOT, VERY, LITTLE, BUT, THAN, ASK, COMPLAIN, BUY, SARCASM, PLAIN, SHOP, OPEN, THING, SOON) = (
    1 << at for at in range(18)
)  # fmt: skip
MOOD = GOOD | GREAT | BAD | AWFUL
_CLASS = {
    "good": GOOD, "great": GREAT, "bad": BAD, "awful": AWFUL, "not": NOT, "very": VERY, "little": LITTLE, "but": BUT,
    "than": THAN, "ask": ASK, "complain": COMPLAIN, "buy": BUY, "plain": PLAIN,
    "shop": SHOP,  # goods and their parts, parcels, "your": a mood is about something of the shop's
    "open": OPEN,  # begins a question
    "thing": THING,  # blames a thing, and says nothing of the world: cold, heavy, late
}  # fmt: skip
_PHRASE = {
    "good_phrases": GREAT, "bad_phrases": BAD | VERY, "sarcasm": SARCASM, "ask_phrases": ASK,
    "complain_phrases": COMPLAIN, "buy_phrases": BUY, "open_phrases": OPEN,
    "soon_phrases": SOON,  # "after three days": where nothing else is heard of a thing, it did not last
}  # fmt: skip
LANGUAGES = ("de", "en", "es", "fr", "it", "ja", "nl", "pl", "pt", "ru", "sv", "tr", "zh")
MOST_HITS = 400  # phrases of one text
_SHORTEST = 3  # characters of a beginning
_TWICE = re.compile(r"(.)\1+")
_DRAWN = re.compile(r"(.)\1{2,}")
_MISSPELT = 6  # characters of a word that may be
_MEMO = 20_000  # words remembered of each language; writers choose them, so it must have an end


class Lexicon(dict[str, int]):
    """What each word of a language is (a sum of the classes above); phrases by ``phrases``."""

    def __init__(self, language: str) -> None:
        told = tomllib.loads(files("plait.text.lexicon").joinpath(f"{language}.toml").read_text("utf-8"))
        self.language = language
        self._whole: dict[str, int] = {}
        self._begin: dict[str, int] = {}
        phrases: dict[str, int] = {}
        for name, text in told.items():
            if name in _PHRASE:  # a few of them are single words
                for one in text.split("|"):
                    _note(phrases, folded(one), _PHRASE[name])
                continue
            for one in text.split():
                word = folded(one)
                if " " in word or (word and is_run(word[0])):
                    _note(phrases, word, _CLASS[name])
                else:
                    _note(self._begin if one.endswith("*") else self._whole, word, _CLASS[name])
        self._spelt: dict[str, int] = {}
        for word, kind in self._whole.items():
            if kind & MOOD and len(word) >= _MISSPELT:
                self._spelt.setdefault(_spelling(word), kind)
        self._once = {_TWICE.sub(r"\1", one): kind for one, kind in self._begin.items()}
        self._lengths = sorted({len(one) for one in self._begin}, reverse=True)
        self._phrases = list(phrases)
        self._means = [phrases[one] for one in self._phrases]
        self._finder = AhoCorasick([one if is_run(one[0]) else f" {one}" for one in self._phrases])

    def __missing__(self, word: str) -> int:
        found = self._whole.get(word, 0)
        if not found & MOOD:
            for length in self._lengths:
                if len(word) >= length >= _SHORTEST and (begun := self._begin.get(word[:length], 0)):
                    found |= begun
                    break
        found = found or self._nearly(word)
        if len(self) >= _MEMO:
            self.clear()
        self[word] = found
        return found

    def _nearly(self, word: str) -> int:
        """What a misspelt word is."""
        once = _TWICE.sub(r"\1", word)
        if len(word) - len(once) >= 2:
            found = self._whole.get(_DRAWN.sub(r"\1\1", word), 0) or self._whole.get(once, 0)
            if found:
                return found
        if len(word) < _MISSPELT:
            return 0
        return self._spelt.get(_spelling(word), 0) or next(
            (self._once[once[:at]] for at in range(len(once), _MISSPELT, -1) if once[:at] in self._once), 0
        )

    def says(self, line: str) -> int:
        """How many phrases of the language a line of a few words has."""
        return len(self._finder.find_matches_as_indexes(line, overlapping=True))

    def phrases(self, line: str) -> list[tuple[int, int, int]]:
        """Phrases in a line of words: (where it begins, where it ends, class), the longest where they overlap."""
        found = []
        for number, begin, end in self._finder.find_matches_as_indexes(line, overlapping=True)[:MOST_HITS]:
            phrase = self._phrases[number]
            whole = end >= len(line) or line[end] == " "
            if whole or is_run(phrase[-1]) or len(phrase.rpartition(" ")[2]) >= 4:
                found.append((begin, end, self._means[number]))
        found.sort(key=lambda one: (one[0] - one[1], one[0]))
        best: list[tuple[int, int, int]] = []
        kinds = [0] * (len(line) + 1)  # of the phrases taken at each place
        owners = [0] * (len(line) + 1)  # which they are, a bit each
        for begin, end, kind in found:
            alike = kind | MOOD if kind & MOOD else kind
            # What stands within a longer phrase is that phrase, and what overlaps one of the same class, too.
            if owners[begin] & owners[end - 1] or any(one & alike for one in kinds[begin:end]):
                continue
            for at in range(begin, end):
                kinds[at] |= alike
                owners[at] |= 1 << len(best)
            best.append((begin, end, kind))
        return sorted(best)


def _spelling(word: str) -> str:
    """What a word shares with its misspellings: its ends, and the letters between in any order, pairs as one."""
    once = _TWICE.sub(r"\1", word)
    return once[0] + "".join(sorted(once[1:-1])) + once[-1]


def _note(where: dict[str, int], word: str, what: int) -> None:
    if word:
        where[word] = where.get(word, 0) | what


@cache
def lexicon(language: str) -> Lexicon:
    """The lexicon of a language in ``LANGUAGES``."""
    return Lexicon(language)
