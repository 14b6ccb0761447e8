"""Words that carry a mood or an intent, one file a language; ``Lexicon`` looks them up in a text.

A word that ends in ``*`` stands for all that begin like it; a phrase may end within a word. ``_files`` are ours: written for
this, in the shop's field, and held to the gold set (docs/explanation/text.md).
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files

from ahocorasick_rs import AhoCorasick

from plait.folding import folded, is_run

GOOD, GREAT, BAD, AWFUL, NOT, VERY, LITTLE, BUT, THAN, ASK, COMPLAIN, BUY, SARCASM, PLAIN = (
    1 << at for at in range(14)
)
MOOD = GOOD | GREAT | BAD | AWFUL
_CLASS = {
    "good": GOOD, "great": GREAT, "bad": BAD, "awful": AWFUL, "not": NOT, "very": VERY, "little": LITTLE, "but": BUT,
    "than": THAN, "ask": ASK, "complain": COMPLAIN, "buy": BUY, "plain": PLAIN,
}  # fmt: skip
_PHRASE = {
    "good_phrases": GREAT, "bad_phrases": BAD | VERY, "sarcasm": SARCASM, "ask_phrases": ASK,
    "complain_phrases": COMPLAIN, "buy_phrases": BUY,
}  # fmt: skip
LANGUAGES = ("de", "en", "es", "fr", "it", "ja", "nl", "pl", "pt", "ru", "sv", "tr", "zh")
MOST_HITS = 400  # phrases of one text
_SHORTEST = 3  # characters of a beginning
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
        if len(self) >= _MEMO:
            self.clear()
        self[word] = found
        return found

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
        for one in found:
            # What stands within a longer phrase of the same class is that phrase.
            if not any(
                one[0] < other[1] and other[0] < one[1] and _alike(one[2], other[2]) for other in best
            ):
                best.append(one)
        return sorted(best)


def _alike(one: int, other: int) -> bool:
    return bool(one & other) or bool(one & MOOD and other & MOOD)


def _note(where: dict[str, int], word: str, what: int) -> None:
    if word:
        where[word] = where.get(word, 0) | what


@cache
def lexicon(language: str) -> Lexicon:
    """The lexicon of a language in ``LANGUAGES``."""
    return Lexicon(language)
