"""What to show one person on one page, and why: a pure function of the question, the profile, the catalog and the model."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import cached_property
from itertools import groupby, islice
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from plait.catalog import ASIDE, MAX_SHOWN, PROMOTION, Catalog, Placement
from plait.errors import Rejected, misfit
from plait.events import DAY, MAX_WHO
from plait.explore import CANDIDATES, Explorer, chance_of, features_of, pick
from plait.explore import prior as unexplored
from plait.intake.checks import sound
from plait.models import Model, prior
from plait.models.ranker import Acts, Ranker
from plait.profiles.facts import Facts, belongs
from plait.profiles.profile import Profile

MAX_PLACEMENTS = 32  # of one question
MAX_EXCLUDED = 1_000
MOST_TIED = 500  # posts or promotions that one placement chooses from
MUCH_KNOWN = 16  # reasons to choose by; the bandit takes everybody of whom we have more alike


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One slot of a page: a placement's id, and what this page wants of it differently."""

    id: str
    n: int | float | None = None  # some JSON writers say 12.0
    where: str | None = None
    exclude: tuple[str, ...] = ()
    item: str | None = None


class Page(msgspec.Struct, frozen=True):
    """Where the question comes from; ``item`` is what the page is about."""

    url: str | None = None
    item: str | None = None


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``POST /v1/personalize`` as sent; docs/reference/personalize-api.md says what the fields mean."""

    placements: tuple[Asked, ...]
    identifiers: tuple[str, ...] = ()
    page: Page = Page()
    context: dict[str, Any] = {}
    events: msgspec.Raw = msgspec.Raw()
    exclude: tuple[str, ...] = ()
    explain: bool = False
    details: bool = False
    token: str | None = None


class Because(msgspec.Struct, omit_defaults=True, gc=False):
    """One reason: what a person did, and what it added to the score.

    ``share`` is its part of the sum of absolute contributions, with the contribution's sign.
    """

    source: str
    signal: str
    contribution: float
    share: float
    about: str | None = None


EXPLORING = msgspec.Raw(msgspec.json.encode([Because("plait", "exploring", 0.0, 1.0)]))


class Chosen(msgspec.Struct, omit_defaults=True, gc=False):
    """One item that is to be shown; what is tried has a reason and no score. ``audience``: shown because they are in it.

    Its reasons are JSON already, as the kernel writes them.
    """

    item: str
    score: float | msgspec.UnsetType = msgspec.UNSET
    reasons: msgspec.Raw | msgspec.UnsetType = msgspec.field(default=msgspec.UNSET, name="because")
    details: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    audience: str | msgspec.UnsetType = msgspec.UNSET

    @property
    def because(self) -> list[Because] | msgspec.UnsetType:
        """Why it is there, the strongest reason first; they sum to the score."""
        return msgspec.UNSET if self.reasons is msgspec.UNSET else _because(self.reasons)


_because = msgspec.json.Decoder(list[Because]).decode


class Shown(msgspec.Struct):
    """The items of one placement, best first; ``arm`` is ``combined``, or ``popular`` where nothing is known of the person."""

    arm: str
    items: list[Chosen]


class Decision(msgspec.Struct, omit_defaults=True):
    """The answer; ``explored`` goes to the log and is taken off before it leaves."""

    decision: str
    placements: dict[str, Shown]
    took_ms: float = 0.0
    degraded: bool = False
    refused: list[dict[str, Any]] = []
    explored: dict[str, list[dict[str, Any]]] = {}


class Decider:
    """Answers questions about one catalog, by whichever model is current. Used from one thread.

    Attributes:
        catalog: what there is to show.
        ranker: the current model, laid over it.
        explorer: which unproven items placements try.
    """

    def __init__(
        self, catalog: Catalog, model: Model | None = None, *, half_life: int = 14 * DAY, muted: int = 7 * DAY
    ) -> None:
        """Begin with a catalog.

        Args:
            catalog: what there is to show.
            model: to answer by; without one by what a person touched and its topics.
            half_life: ms; for when there is no model.
            muted: ms after a complaint in which its writer is shown no promotion.
        """
        self.muted = muted
        self.catalog = catalog
        self.ranker = Ranker(model or prior(half_life), catalog)
        self.explorer: Explorer = unexplored()
        self._masks: dict[tuple[tuple[str, ...], str | None, str | None], NDArray[np.bool_]] = {}
        self._turns: NDArray[np.float64] = np.zeros(0)  # when something starts or ends, ms
        self._last, self._next = math.inf, -math.inf  # the two between which the masks hold
        self._version = -1

    @property
    def model(self) -> Model:
        """The model that answers."""
        return self.ranker.model

    def use(self, ranker: Ranker) -> None:
        """Answer by this ranker from now on; it may have been made in another thread."""
        ranker.refresh()
        self.ranker = ranker

    def decide(
        self, question: Question, profile: Profile | None, *, now: int, id: str, facts: Facts | None = None
    ) -> Decision:
        """Choose for every placement asked, in order; no item stands twice on the page.

        Args:
            question: as sent.
            profile: of the person, entries that may be used only; ``None`` when nothing is known.
            now: ms since the epoch.
            id: the decision's.
            facts: of the person, for audiences; without them nobody is in any.

        Raises:
            Rejected: unknown placement, wrong number, or a condition that cannot be read; ``field`` says where.
        """
        self._refresh()
        page = _Page(self, question, profile, now, id, facts)
        try:
            for number, asked in enumerate(question.placements):
                page.fill(asked, number)
            return Decision(decision=id, placements=page.shown(), explored=page.explored)
        finally:
            page.close()

    # --- what may be shown

    def _refresh(self) -> None:
        if self._version == self.catalog.version:
            return
        self._version = self.catalog.version
        self.ranker.refresh()
        self._masks.clear()
        rows = len(self.catalog.ids)
        dates = [self.catalog.column(name).number(rows) for name in ("starts", "ends")] if rows else []
        self._turns = np.unique([at for one in dates for at in one[~np.isnan(one)]])
        self._last, self._next = math.inf, -math.inf

    def placement(self, asked: Asked, number: int) -> Placement:
        """The placement that is asked for."""
        placement = self.catalog.placements.get(asked.id)
        if placement is None:
            raise Rejected(
                f"there is no placement {asked.id[:80]!r}; make it with PUT /v1/placements/{{id}}",
                code="unknown_placement",
                field=f"placements[{number}].id",
                status=404,
            )
        if asked.n is not None and not (1 <= asked.n <= MAX_SHOWN and asked.n == int(asked.n)):
            raise Rejected(
                f"n must be 1 to {MAX_SHOWN}, not {asked.n}",
                code="invalid_question",
                field=f"placements[{number}].n",
            )
        return placement

    def allowed(self, placement: Placement, asked: Asked, number: int, now: int) -> NDArray[np.bool_]:
        """Rows that a placement may show: of its kinds, available, within their dates, and fulfilling the conditions."""
        if self._next <= now or now < self._last:  # something starts or ends, which is rare beside questions
            turn = int(np.searchsorted(self._turns, now, "right"))
            self._last = self._turns[turn - 1] if turn else -math.inf
            self._next = self._turns[turn] if turn < len(self._turns) else math.inf
            self._masks.clear()
        key = (placement.kinds, placement.where, asked.where)
        mask = self._masks.get(key)
        if mask is None:
            catalog = self.catalog
            mask = catalog.of_kinds(placement.kinds) & catalog.available
            conditions = (
                (placement.where, False, f"placements[{number}].id"),
                (asked.where, True, f"placements[{number}].where"),
            )
            for text, strict, field in conditions:
                if not text:
                    continue
                try:
                    mask = mask & catalog.mask(text, strict=strict)
                except Rejected as exc:
                    exc.field = field
                    raise
            if len(self._turns):
                mask = mask & catalog.running(now)
            if len(self._masks) >= 64:
                self._masks.clear()
            self._masks[key] = mask
        return mask

    def row_of(self, page: Page) -> int | None:
        """The catalog row of the item that a page is about."""
        if page.item is not None:
            return self.catalog.rows.get(page.item)
        return self.ranker.row_of_url(page.url) if page.url else None


class _Slot(NamedTuple):
    """What stands in one placement; ``told`` is there when it was needed to choose."""

    name: str
    acts: Acts
    rows: list[int]
    scores: list[float]
    told: NDArray[np.float64] | None


class _Page:
    """One page while it is filled."""

    def __init__(
        self,
        decider: Decider,
        question: Question,
        profile: Profile | None,
        now: int,
        id: str,
        facts: Facts | None,
    ) -> None:
        self._decider = decider
        self._catalog, self._ranker = decider.catalog, decider.ranker
        self._question = question
        self._profile = profile
        self._entries = profile.entries if profile is not None else []
        self._now = now
        self._facts = facts
        self._belongs: dict[str, bool] = {}
        self._about = decider.row_of(question.page)
        self._used: list[int] = []
        self._slots: list[_Slot] = []
        self._id = id
        self.explored: dict[str, list[dict[str, Any]]] = {}
        self._acts = self._scored = self._ranker.acts(self._entries, now=now)
        self._ranker.score(self._acts)
        self._use(self._rows(question.exclude))

    def close(self) -> None:
        """Leave the ranker's marks as they were found."""
        self._ranker.used[self._used] = False

    def fill(self, asked: Asked, number: int) -> None:
        """Choose for one placement."""
        placement = self._decider.placement(asked, number)
        if placement.audience is not None and not self.belongs(placement.audience):
            self._slots.append(_Slot(asked.id, self._acts, [], [], None))
            return
        about = self._catalog.rows.get(asked.item, self._about) if asked.item else self._about
        acts = self._score(about if placement.related else None)
        allowed = self._decider.allowed(placement, asked, number, self._now)
        n = int(asked.n or placement.n)
        # Nobody could learn from what an unknown person did with it.
        tries = min(placement.explore, n) if placement.explore and self._profile is not None else 0
        hidden = self._use(self._hidden(placement, asked, about))
        if ASIDE.intersection(placement.kinds):
            slot = _Slot(asked.id, acts, *self._mixed(n, self._heard(allowed), acts))
        else:
            slot = _Slot(asked.id, acts, *self._ranker.best(n - tries, allowed, acts.base_gate), None)
        if slot.rows:  # chosen among those that were not used
            self._ranker.used[slot.rows] = True
            self._used += slot.rows
        if tries:
            self._explore(slot, tries, allowed)
        # What one placement leaves out, another may show.
        if hidden:
            self._ranker.used[hidden] = False
        self._slots.append(slot)

    def belongs(self, audience: str) -> bool:
        """Whether the person is in an audience; asked once a page."""
        found = self._belongs.get(audience)
        if found is None:
            one = self._catalog.audiences.get(audience)
            found = self._belongs[audience] = one is not None and belongs(self._facts, one)
        return found

    def _explore(self, slot: _Slot, tries: int, allowed: NDArray[np.bool_]) -> None:
        """Choose for the slots of a placement that try something, from what comes next by score."""
        rows, scores = self._ranker.best(CANDIDATES + tries - 1, allowed, slot.acts.base_gate)
        best = max([*slot.scores[:1], *scores[:1]], default=0.0)
        ages = (self._now - self._catalog.published[rows]) / DAY
        known = min(1.0, len(slot.acts.labels) / MUCH_KNOWN)
        features = features_of(np.array(scores), best, ages, known).round(6)
        left = list(range(len(rows)))
        told = self.explored[slot.name] = []
        for number in range(min(tries, len(rows))):
            some = left[:CANDIDATES]
            chances = self._decider.explorer.chances(features[some]).round(6)
            chosen = pick(chances, chance_of(self._id, slot.name, str(number)))
            told.append({
                "chosen": chosen, "items": [self._catalog.ids[rows[at]] for at in some],
                "chances": chances.tolist(), "features": features[some].tolist(),
            })  # fmt: skip
            self._use([rows[some[chosen]]])
            left.remove(some[chosen])

    def _score(self, about: int | None) -> Acts:
        acts = self._acts if about is None else self._ranker.acts(self._entries, now=self._now, page=about)
        if acts is not self._scored:
            self._ranker.score(acts)
            self._scored = acts
        return acts

    def _rows(self, ids: Iterable[str]) -> list[int]:
        return [row for one in ids if (row := self._catalog.rows.get(one)) is not None]

    def _hidden(self, placement: Placement, asked: Asked, about: int | None) -> list[int]:
        """Rows that a placement leaves out: what the caller names, what was bought, the page's own item."""
        found = self._rows(asked.exclude) if asked.exclude else []
        if about is not None:
            found.append(about)
        return found if placement.bought else found + self._bought

    @cached_property
    def _bought(self) -> list[int]:
        return self._rows(one.id for one in self._entries if one.signal == "purchase" and one.kind == "item")

    def _heard(self, allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """What is left for somebody who complained a while ago: an offer is no answer to a complaint."""
        complained = self._profile.complained_at if self._profile is not None else 0
        if not complained or self._now - complained >= self._decider.muted:
            return allowed
        return allowed & ~self._catalog.of_kinds((PROMOTION,))

    def _use(self, rows: list[int]) -> list[int]:
        """Mark rows so that they are not chosen; returns those that were not marked before."""
        if not rows:
            return rows
        used = self._ranker.used
        fresh = [row for row in dict.fromkeys(rows) if not used[row]]
        if fresh:
            used[fresh] = True
            self._used += fresh
        return fresh

    def _mixed(
        self, n: int, allowed: NDArray[np.bool_], acts: Acts
    ) -> tuple[list[int], list[float], NDArray[np.float64]]:
        """Posts and promotions beside other items, by the same score."""
        aside = self._catalog.of_kinds(tuple(ASIDE))
        tied, told = self._tied(n, allowed & aside, acts)
        plain, _ = self._ranker.best(n, allowed & ~aside, acts.base_gate)
        rows = tied + plain
        told = np.concatenate([told, self._ranker.told(plain, acts)])
        scores = told.sum(axis=1)
        best = np.argsort(-scores, kind="stable")[:n]
        return [rows[at] for at in best.tolist()], scores[best].tolist(), told[best]

    def _tied(self, n: int, allowed: NDArray[np.bool_], acts: Acts) -> tuple[list[int], NDArray[np.float64]]:
        """Posts and promotions by interest in what they are tied to; those seen as often as they may be, not."""
        rows = np.flatnonzero(allowed & ~self._ranker.used[: len(allowed)])
        if self._catalog.aims and len(rows):
            aimed = self._catalog.aimed(rows)
            rows = rows[[one is None or self.belongs(one) for one in aimed]]
        if len(rows) > MOST_TIED:
            at = np.nan_to_num(self._catalog.published[rows], nan=-np.inf)
            rows = np.sort(rows[np.argsort(-at, kind="stable")[:MOST_TIED]])
        seen = _times_seen(self._profile)
        found = []
        for row in rows.tolist():
            cap = self._catalog.cap(row)
            if cap is None or seen.get(self._catalog.ids[row], 0) < cap:
                one = self._ranker.told_of_ties(row, acts)
                found.append((-float(one.sum()), row, one))
        found.sort(key=lambda one: one[:2])
        told = np.array([one for _, _, one in found[:n]]).reshape(-1, len(acts.labels) + 1)
        return [row for _, row, _ in found[:n]], told

    def shown(self) -> dict[str, Shown]:
        """What stands where, with reasons where they are asked for."""
        found = self._ranked()
        for name, tried in self.explored.items():
            reasons = EXPLORING if self._question.explain else msgspec.UNSET
            found[name].items += [Chosen(one["items"][one["chosen"]], reasons=reasons) for one in tried]
        return found

    def _ranked(self) -> dict[str, Shown]:
        if not self._question.explain:
            return {slot.name: Shown(_arm(slot.acts), self._plain(slot)) for slot in self._slots}
        found: dict[str, Shown] = {}
        # Most placements rest on the same acts, so all their items are explained at once.
        for _, some in groupby(
            self._slots, key=lambda slot: id(slot.acts) if slot.told is None else id(slot)
        ):
            slots = list(some)
            acts, rows = slots[0].acts, [row for slot in slots for row in slot.rows]
            told = slots[0].told if slots[0].told is not None else self._ranker.told(rows, acts)
            ids = self._catalog.ids
            explained = iter(
                [
                    Chosen(ids[row], score, msgspec.Raw(raw))
                    for row, score, raw in zip(rows, *self._ranker.reasons(told, acts), strict=True)
                ]
            )
            for slot in slots:
                found[slot.name] = Shown(_arm(acts), list(islice(explained, len(slot.rows))))
        return found

    def _plain(self, slot: _Slot) -> list[Chosen]:
        ids = self._catalog.ids
        return [Chosen(ids[row], score) for row, score in zip(slot.rows, slot.scores, strict=True)]


def _arm(acts: Acts) -> str:
    return "combined" if len(acts.labels) else "popular"


def _times_seen(profile: Profile | None) -> Mapping[str, int]:
    """How often the person saw each item: as they reported it, else as we answered."""
    if profile is None:
        return {}
    # Who reports `shown` at all reports it for all: an answer that was never shown must not use up a cap.
    signal = "shown" if profile.counts.get("shown") else "decided"
    seen: dict[str, int] = {}
    for one in profile.entries:
        if one.signal == signal and one.kind == "item":
            seen[one.id] = seen.get(one.id, 0) + one.count
    return seen


_questions = msgspec.json.Decoder(Question)


def question_of(body: bytes) -> Question:
    """A question as sent, checked.

    Raises:
        Rejected: code ``invalid_json``, ``invalid_text``, ``too_deep`` or ``invalid_question``; ``field`` is the path of what is wrong.
    """
    try:
        question = _questions.decode(body)
    except msgspec.ValidationError as exc:
        what, field = misfit(exc)
        raise Rejected(what, code="invalid_question", field=field) from exc
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        sound(body)  # says what is wrong with it, where others can read it
        raise Rejected(f"the body is not JSON: {exc}", code="invalid_json") from exc
    check(question)
    return question


def check(question: Question) -> None:
    """Hold a question to what one may ask at once.

    Raises:
        Rejected: ``invalid_question``; ``field`` is the path of what is too much, or asked twice.
    """
    for field, values, most in (
        ("placements", question.placements, MAX_PLACEMENTS),
        ("identifiers", question.identifiers, MAX_WHO),
        ("exclude", question.exclude, MAX_EXCLUDED),
    ):
        if len(values) > most:
            raise Rejected(
                f"{field} has {len(values)} entries, at most {most} are allowed",
                code="invalid_question",
                field=field,
            )
    if not question.placements:
        raise Rejected("placements is empty: name at least one", code="invalid_question", field="placements")
    names = [one.id for one in question.placements]
    for number, one in enumerate(question.placements):
        if one.id in names[:number]:
            raise Rejected(
                f"placement {one.id[:80]!r} is asked twice",
                code="invalid_question",
                field=f"placements[{number}].id",
            )
        if len(one.exclude) > MAX_EXCLUDED:
            raise Rejected(
                f"exclude has more than {MAX_EXCLUDED} entries",
                code="invalid_question",
                field=f"placements[{number}].exclude",
            )
