"""In what mood a text is, and towards which of the things it names; what its writer wants.

Words and phrases of a lexicon carry a mood; negation, how much, "but", emoji and the tells of sarcasm change it. In a text
about several things each word belongs to the thing that stands nearest, so one may be praised and another blamed.
What blames things and says nothing of the world ("cold", "heavy", "late") counts where a text is about something of the shop's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from plait.folding import CLAUSES, ENDS, Words, is_run
from plait.text.lexicon import (
    ASK,
    AWFUL,
    BAD,
    BUT,
    BUY,
    COMPLAIN,
    GOOD,
    GREAT,
    LANGUAGES,
    LITTLE,
    MOOD,
    NOT,
    OPEN,
    SARCASM,
    SHOP,
    SOON,
    THAN,
    THING,
    VERY,
    Lexicon,
    lexicon,
)

_STRENGTH = {GOOD: 1.5, GREAT: 2.6, BAD: -1.8, AWFUL: -3.2}
_PHRASE = {GREAT: 2.4, BAD: -2.4}
REACH = 3  # words that a negation reaches
_AFTER = frozenset(("de", "nl", "sv", "fr", "tr"))  # where "not" may follow what it negates
# Languages without a lexicon, and what a few words are often taken for: read by the lexicon of their neighbour.
_NEAR = {
    "ca": "es", "gl": "pt", "ast": "es", "oc": "fr", "da": "sv", "no": "sv", "nn": "sv", "nb": "sv", "af": "nl", "fy": "nl",
    "lb": "de", "nds": "de", "als": "de", "bar": "de", "cs": "pl", "sk": "pl", "uk": "ru", "be": "ru", "bg": "ru", "az": "tr",
    "wuu": "zh", "yue": "zh", "scn": "it", "lmo": "it", "sco": "en",
}  # fmt: skip
_ANYWHERE = frozenset(("ja", "zh", "tr"))  # where what asks may stand behind
_EMOJI = {
    **dict.fromkeys("😍🥰🤩😻❤♥💚💙🧡💛💜🖤🤍🤎💖💗💕💞💓💘💯🥳🫶🏆🥇", 2.0),
    **dict.fromkeys("😊☺😀😁😃😄😎👍🙌🔥✨🎉⭐🌟🤗😌💪😋👌🤌👏🏕✅🤘🎊🥂🚀👑💎🙏🥹😇🤙", 1.3),
    **dict.fromkeys("😡🤬😠👿👎🤮💔💩🗑🖕", -2.6),
    **dict.fromkeys("😞😢😤😒🙁☹😩😫🤢😕😟😣🤦😑😖🥺😔❌😿😾🥱🚫🤨🥶", -1.6),
}
_DID_NOT_LAST = -1.2  # of "after three days", where nothing else is heard; not of "after three years"
_YEARS = {
    "year", "years", "jahr", "jahre", "jahren", "an", "ans", "ano", "anos", "anni", "anno", "jaar", "lat", "lata", "rok", "год",
    "года", "лет", "ar", "yıl", "yıldır", "年",
}  # fmt: skip
_IRONIC = frozenset("🙄🤡🙃")
NEUTRAL = 0.2  # of a sentiment, to both sides
_ALPHA = 5.0  # of the sum at which half of what a mood can be is reached, squared


class Hit(NamedTuple):
    """A word or phrase that carries a mood: where, how much, and in which clause and sentence."""

    at: int
    value: float
    clause: int
    sentence: int


class Mood(NamedTuple):
    """What a text's words say.

    Attributes:
        sentiment: of the whole, -1..1.
        towards: of each thing named, in their order.
        intent: ``complaint``, ``purchase``, ``question``, ``praise``, or ``None``.
    """

    sentiment: float
    towards: list[float]
    intent: str | None


def mood_of(
    words: Words, language: str | None, spans: Sequence[tuple[int, int]], *, about: bool = False
) -> Mood:
    """The mood of a text.

    Args:
        words: of the text.
        language: its code; one without a lexicon is read by its emoji.
        spans: (first word, word after) of the things it names, whose sentiment is wanted; (0, 0) stands nowhere.
        about: the conversation is about something of ours, even if the text names nothing.
    """
    read_as = _NEAR.get(language or "", language)
    known = lexicon(read_as) if read_as in LANGUAGES else None
    scene = _Scene(words, spans, about)
    flags = _read(words, scene, known) if known is not None else 0
    ironic = _emoji(words, scene)
    hits = _asked(_turned(scene, flags, ironic, words), scene, words)
    sentiment = _squashed(_weighed(hits, scene))
    towards = [_towards(hits, scene, number, sentiment) for number in range(len(spans))]
    if towards and not scene.thans and min(towards) < -NEUTRAL and max(towards) > NEUTRAL:
        sentiment = round(sum(towards) / len(towards) / 2, 3)  # one praised, one blamed
    asks = _asks(words, flags, scene, sentiment)
    return Mood(sentiment, towards, _intent(scene, flags, asks, sentiment, towards))


class _Scene:
    """Clauses, sentences, and where things are named."""

    def __init__(self, words: Words, spans: Sequence[tuple[int, int]], about: bool) -> None:
        self.spans = spans
        self.ours = about or bool(spans)  # it is about something of the shop's
        self.named = {at for start, end in spans for at in range(start, end)}
        #: Words without names and commas, where phrases are looked for, and where each stands.
        self.places = [
            at for at, word in enumerate(words.folded) if at not in self.named and word not in ",，、"
        ]
        self.line = " " + " ".join([words.folded[at] for at in self.places])
        self.hits: list[Hit] = []
        self.clause: list[int] = []
        self.sentence: list[int] = []
        self.turns: list[int] = []  # words that mean "but"
        self.thans: list[int] = []
        self.begins: set[int] = set()  # the first words of sentences, names and signs apart
        self.wronged = False  # by the shop: nothing came, nobody answers
        self.soon = -1  # where "after three days" stands
        self.opened = False  # a sentence begins with a word as questions do
        self.asked: set[int] = set()  # clauses that begin with a phrase as questions do
        clause = sentence = 0
        first = True
        for at, word in enumerate(words.folded):
            self.clause.append(clause)
            self.sentence.append(sentence)
            if word in CLAUSES:
                clause += 1
                sentence += word in ENDS
                first = first or word in ENDS
            elif first:
                first = False
                if at not in self.named:  # "the tent is dry" asks nothing
                    self.begins.add(at)

    def turn(self, at: int) -> None:
        """A "but" begins a clause."""
        self.turns.append(at)
        for after in range(at, len(self.clause)):
            self.clause[after] += 1

    def hit(self, at: int, value: float) -> None:
        self.hits.append(Hit(at, value, self.clause[at], self.sentence[at]))


def _read(words: Words, scene: _Scene, known: Lexicon) -> int:
    """Note every word and phrase that carries a mood; returns the classes of all there was."""
    flags = 0
    classes = [0 if at in scene.named else known[word] for at, word in enumerate(words.folded)]
    scene.ours = scene.ours or any(kind & SHOP for kind in classes)
    for at, kind in enumerate(classes):
        flags |= kind
        if kind & BUT:
            scene.turn(at)
        if kind & THAN:
            scene.thans.append(at)
        if kind & OPEN and at in scene.begins:
            scene.opened = True
    taken, said = _phrases(scene, known)
    flags |= said
    for at, kind in enumerate(classes):
        if kind & MOOD and at not in taken and (scene.ours or not kind & THING):
            scene.hit(at, _changed(_value(kind), at, classes, scene, known))
    if scene.soon >= 0 and scene.ours and not scene.hits:
        scene.hit(scene.soon, _DID_NOT_LAST)
    scene.hits.sort()
    return flags


def _phrases(scene: _Scene, known: Lexicon) -> tuple[set[int], int]:
    """Note phrases that carry a mood; returns the words they take, and the classes of all there were."""
    taken: set[int] = set()
    flags = 0
    line = scene.line
    for begin, end, kind in known.phrases(line):
        first = max(0, line.count(" ", 0, begin + 1) - 1)
        last = first + line.count(" ", begin + 1, end)
        at = scene.places[first]
        scene.wronged = scene.wronged or bool(kind & COMPLAIN and kind & BAD)
        flags |= kind & ~(MOOD | VERY | NOT | LITTLE | BUT | THAN | OPEN)
        if kind & OPEN and (at in scene.begins or known.language in _ANYWHERE):
            scene.asked.add(scene.clause[at])
            taken.update(scene.places[first : last + 1])  # "how heavy is it" calls nothing heavy
        if kind & BUT:
            scene.turn(at)
        if kind & SOON and _YEARS.isdisjoint(line[end:].split(" ", 3)[:3]):
            scene.soon = at
        if not kind & MOOD:
            continue
        if is_run(line[end - 1]) and not kind & VERY:
            value = _value(kind)
            scene.hit(at, -0.7 * value if _negated_run(line, begin, end) else value)
            continue
        scene.hit(at, _PHRASE[GREAT] if kind & GREAT else _PHRASE[BAD])
        taken.update(scene.places[first : last + 1])
    return taken, flags


def _value(kind: int) -> float:
    return next(_STRENGTH[one] for one in (AWFUL, GREAT, BAD, GOOD) if kind & one)


def _negated_run(line: str, begin: int, end: int) -> bool:
    """Whether what a script without spaces says is negated: before it in Chinese, behind it in Japanese."""
    before, after = line[max(0, begin - 2) : begin], line[end : end + 5]
    return (before.endswith(("不", "没", "没有", "不太", "不是", "别", "未")) and before != "特别") or any(
        one in after for one in ("ない", "なかった", "ません", "なく", "ず")
    )


def _changed(value: float, at: int, classes: list[int], scene: _Scene, known: Lexicon) -> float:
    """A word's mood after the words around it."""
    clause = scene.clause[at]
    for back in range(1, REACH + 1):
        where = at - back
        if where < 0 or scene.clause[where] != clause:
            break
        kind = classes[where]
        if kind & NOT:
            return value * (-0.7 if value > 0 else -0.6)
        if back <= 2 and kind & VERY and not kind & MOOD:
            value *= 1.3
        elif back <= 2 and kind & LITTLE:
            value *= 0.7
    if known.language in _AFTER and _negated_after(at, classes, scene):
        return value * (-0.7 if value > 0 else -0.6)
    return value


def _negated_after(at: int, classes: list[int], scene: _Scene) -> bool:
    for ahead in range(1, REACH + 2):
        where = at + ahead
        if where >= len(classes) or scene.clause[where] != scene.clause[at]:
            return False
        if classes[where] & MOOD:
            return False
        if classes[where] & NOT:
            rest = range(where + 1, min(len(classes), where + REACH + 1))
            return not any(classes[one] & MOOD and scene.clause[one] == scene.clause[at] for one in rest)
    return False


def _emoji(words: Words, scene: _Scene) -> bool:
    """Note emoji, the same one once; whether there is one of irony."""
    ironic = False
    seen: set[str] = set()
    for at, word in enumerate(words.folded):
        if len(word) == 1 and word > "\u2000" and word not in seen:
            value = _EMOJI.get(word)
            ironic = ironic or word in _IRONIC
            if value is not None:
                seen.add(word)
                scene.hit(at, value)
    if ironic:
        scene.hit(len(words.folded) - 1, -1.0)
    return ironic


def _turned(scene: _Scene, flags: int, ironic: bool, words: Words) -> list[Hit]:
    """Praise beside the tells of sarcasm is none, nor is "Great, it leaks"."""
    hits = scene.hits
    blamed = any(one.value < 0 for one in hits)
    if ironic or (flags & SARCASM and blamed):
        return [one._replace(value=-0.6 * one.value) if one.value > 0 else one for one in hits]
    first = hits[0] if hits else None
    if first is None or first.value < 0 or first.at not in scene.begins:
        return hits
    follows = words.folded[first.at + 1 : first.at + 2]
    if follows in ([","], ["，"]) and any(one.value < 0 and one.sentence == first.sentence for one in hits):
        return [first._replace(value=-0.6 * first.value), *hits[1:]]
    return hits


def _asked(hits: list[Hit], scene: _Scene, words: Words) -> list[Hit]:
    """Whoever asks whether something is good does not say that it is."""
    asked = {scene.sentence[at] for at, word in enumerate(words.folded) if word in "?？؟"}
    if not asked and not scene.asked:
        return hits
    return [
        one._replace(value=one.value * (0.0 if one.value > 0 else 0.3))
        if (one.sentence in asked or one.clause in scene.asked) and words.folded[one.at] not in _EMOJI
        else one
        for one in hits
    ]


def _weighed(hits: list[Hit], scene: _Scene) -> float:
    """The sum, where what stands behind a "but" counts more than what stands before it."""
    total = 0.0
    for one in hits:
        weight = 1.0
        for turn in scene.turns:
            if scene.sentence[turn] == one.sentence:
                weight = 1.3 if one.at > turn else 0.6
        total += weight * one.value
    return total


def _squashed(total: float) -> float:
    return round(total / math.sqrt(total * total + _ALPHA), 3)


def _towards(hits: list[Hit], scene: _Scene, number: int, whole: float) -> float:
    """The sentiment towards one of the things named."""
    placed = [at for at, (start, end) in enumerate(scene.spans) if end > start]
    if len(placed) <= 1 or number not in placed:
        return _alone(hits, scene, number, whole)
    mine = [one.value for one in hits if _whose(one, scene, placed) == number]
    start = scene.spans[number][0]
    for than in scene.thans:  # "better than this one": what is praised is the other
        if 0 < start - than <= 3 and scene.clause[than] == scene.clause[start]:
            said = [one.value for one in hits if 0 < than - one.at <= 4]
            return _squashed(-0.6 * sum(said)) if said else 0.0
    if mine:
        return _squashed(sum(mine))
    # Nothing is said of it alone: things that are named in one breath share a mood.
    beside = [at for at in placed if at != number and scene.clause[scene.spans[at][0]] == scene.clause[start]]
    if beside and not scene.thans:
        return _squashed(sum(one.value for one in hits if _whose(one, scene, placed) in beside))
    return 0.0


def _alone(hits: list[Hit], scene: _Scene, number: int, whole: float) -> float:
    start, end = scene.spans[number]
    if end <= start or not scene.turns:
        return whole
    # "The shop is lovely, but this one leaks": its own clause speaks of it.
    clause = scene.clause[start]
    own = [one.value for one in hits if one.clause == clause]
    return _squashed(sum(own) + 0.5 * sum(one.value for one in hits if one.clause > clause)) if own else whole


def _whose(hit: Hit, scene: _Scene, placed: list[int]) -> int:
    """Which of the things a word speaks of: the nearest in its clause, else the last one named before it."""
    best, distance = -1, 10_000.0
    for number in placed:
        start, end = scene.spans[number]
        if scene.clause[start] != hit.clause:
            continue
        away = start - hit.at + 0.5 if hit.at < start else hit.at - end + 1.0
        if away < distance:
            best, distance = number, away
    if best >= 0:
        return best
    before = [number for number in placed if scene.spans[number][0] <= hit.at]
    if before:
        return max(before, key=lambda number: scene.spans[number][0])
    return min(placed, key=lambda number: scene.spans[number][0])


def _asks(words: Words, flags: int, scene: _Scene, sentiment: float) -> bool:
    """Whether something is asked: by its sign; or, where no mood is told, by how a sentence begins."""
    if "?" in words.folded or "？" in words.folded or "؟" in words.folded:
        return True
    if abs(sentiment) > NEUTRAL:
        return False
    return (
        scene.opened
        or bool(scene.asked)
        or bool(flags & ASK and any(is_run(word[0]) for word in words.folded))
    )


def _intent(scene: _Scene, flags: int, asks: bool, sentiment: float, towards: list[float]) -> str | None:
    """What a writer wants. A complaint goes first: whoever complains is shown no promotion."""
    blamed = sentiment < -NEUTRAL
    lowest = min([sentiment, *towards])
    wronged = scene.wronged and sentiment < NEUTRAL
    if ((flags & COMPLAIN and lowest < -NEUTRAL) or wronged) and not (asks and flags & BUY):
        return "complaint"
    if flags & BUY and (asks or not blamed) and sentiment > -0.5:
        return "purchase"
    if asks and sentiment > -0.5:
        return "question"
    if blamed:
        return "complaint" if scene.ours else None  # else it is the weather
    return "praise" if sentiment > NEUTRAL else None
