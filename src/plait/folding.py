"""Words of a text, whatever its spelling: one form for what people write and for what the catalog says.

Case, diacritics, stacked marks, invisible and direction marks go; letters and digits part (``Tarn2`` is ``tarn 2``), and so
do scripts that write without spaces from those that do not. Punctuation that ends a clause stays as a word of its own.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

LONGEST = 4_000  # characters of a text that are read; nobody's post is longer, and reading must have an end
MOST_WORDS = 1_200

# Han, kana, Hangul, Thai: words without spaces between them, so a name is looked for anywhere in a run.
RUNS = "\u0e00-\u0e7f\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
_RUN = re.compile(f"[{RUNS}]")
# Marks that are stacked on letters, vowel points, and what cannot be seen.
_MARKS = re.compile(
    "[\u0300-\u036f\u0483-\u0489\u0591-\u05c7\u064b-\u065f\u0670\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
    "\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]"
)
_NOT_WORDS = re.compile(r"https?://\S{1,2000}|www\.\S{1,2000}|(?<!\w)@[\w.-]{1,250}", re.I)
_CAN, _WILL, _NOT = (re.compile(rf"{one}['’]t\b", re.I) for one in (r"\bcan", r"\bwon", "n"))
_HASHTAG = re.compile(r"#(\w{1,100})")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_PIECE = re.compile(
    rf"[{RUNS}]+|\d+(?:[.,]\d+)*|[^\W\d_{RUNS}]+|[.!?;,:…\n。！？；，、¿¡؟،()\[\]]"
    r"|[\u2600-\u27bf\u2b50\u2764\U0001f300-\U0001faff]"
)

ENDS = frozenset(".!?…\n。！？؟")
CLAUSES = ENDS | frozenset(";,:；，、،()[]")


class Words(NamedTuple):
    """A text taken apart.

    Attributes:
        written: words and signs as they were written, marks apart.
        folded: the same, case-folded.
        line: those joined by spaces, one before the first: what patterns are looked for in.
        tags: hashtags, folded and taken apart likewise, joined by spaces.
    """

    written: list[str]
    folded: list[str]
    line: str
    tags: list[str]


def words_of(text: str) -> Words:
    """Take a text apart; in time linear to its length, of which at most ``LONGEST`` characters count."""
    text = text[:LONGEST]
    tags: list[str] = []
    if "://" in text or "@" in text or "www." in text:
        text = _NOT_WORDS.sub(" ", text)
    if "#" in text:
        tags = [folded(_HUMP.sub(" ", tag)) for tag in _HASHTAG.findall(text)[:30]]
        text = _HASHTAG.sub(lambda hit: _HUMP.sub(" ", hit[1]), text)
    text = _plain(text)
    if "'" in text or "’" in text:
        text = _NOT.sub(" not", _WILL.sub("will not", _CAN.sub("can not", text)))
    written = _PIECE.findall(text)[:MOST_WORDS]
    line = " ".join(written).casefold()
    if not line.isascii():
        line = line.replace("\u0307", "")  # of a dotted capital I
    return Words(written, line.split(" ") if line else [], f" {line}", tags)


def folded(text: str) -> str:
    """A name as ``words_of`` leaves it, without signs: its words joined by spaces."""
    pieces = _PIECE.findall(_plain(text[:LONGEST]))
    line = " ".join(one for one in pieces if one[0].isalnum()).casefold()
    return line.replace("\u0307", "")


def is_run(char: str) -> bool:
    """Whether a character belongs to a script that writes without spaces."""
    return _RUN.match(char) is not None


def _plain(text: str) -> str:
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:  # half a character
        text = text.encode("utf-8", "ignore").decode()
    # Taken apart, bared and put together again; what grows by it (ligatures of a whole sentence) is cut.
    bare = _MARKS.sub("", unicodedata.normalize("NFKD", text))[: 2 * LONGEST]
    return unicodedata.normalize("NFKC", bare)
