"""What a Mastodon account can look at: single answers, whole lists, a post's likers and thread, compared with what was told."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Any

import msgspec

from plait.connectors import Account, Answer, Ask, Fact, Recall
from plait.connectors._fediverse import Ignored, edge, gone, named, told
from plait.connectors._mastodon import (
    Me,
    actor_of,
    answers_me,
    count_of,
    entity,
    fact_of,
    link,
    note_of,
    rows,
    unwrapped,
)
from plait.errors import Rejected
from plait.events import About, Signal

MOST_PAGES = 50  # of one list, followed in one look
MOST_NOTES = 5_000  # notes and posts whose numbers are remembered, to know them when they are deleted
# The lists of a post that nobody tells the undoing of.
LISTS = (
    (Signal.LIKE, "favourites_count", "favourited_by"),
    (Signal.SHARE, "reblogs_count", "reblogged_by"),
)

Given = Generator[Any, Any, Any]


class Accounts(msgspec.Struct, frozen=True):
    """Accounts that a server listed; ``whole`` when these are surely all there are."""

    actors: frozenset[str]
    whole: bool


class View:
    """One account's sight of its server. All that asks is a generator of steps.

    Args:
        account: as ``sign_in`` told it.
        now: ms since the epoch.
    """

    def __init__(self, account: Account, now: Callable[[], int]) -> None:
        self.me = Me.of(account)
        self.host = account.host
        self.now = now
        self.posts: OrderedDict[str, str] = OrderedDict()  # of ours, number -> URI
        self.notes: OrderedDict[str, tuple[str, str]] = OrderedDict()  # number -> (URI, actor)
        self.stirred: set[str] = set()  # numbers of posts of which something was told since their last look
        self.ignored: Counter[str] = Counter()  # by reason

    def ignore(self, why: Ignored) -> None:
        """Count what becomes no fact."""
        self.ignored[str(why)] += 1

    def know(self, number: str, uri: str) -> None:
        """Remember a post of ours."""
        _put(self.posts, number, uri)

    # -- answers ---------------------------------------------------------------------------------------------

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Generator[Any, Any, Answer]:
        """An answer of the server.

        Raises:
            Rejected: the token is no longer good; code ``unauthorized``.
        """
        answer: Answer = yield Ask(url=path, params=params or {})
        if answer.status == 401:
            raise Rejected(
                f"{self.host} does not take our access token any more: it expired or was revoked. Connect the account "
                f"again: plait connect mastodon --with host={self.host}",
                code="signed_out", status=401,
            )  # fmt: skip
        return answer

    def accounts(self, path: str, *, count: int = 0) -> Generator[Any, Any, Accounts]:
        """Accounts of a list, page by page.

        Args:
            path: of the API.
            count: how many the server says there are. Lists may be hidden, cut or lead in a circle: one that is
                shorter than its count is not whole, and nobody is taken for gone.
        """
        actors: set[str] = set()
        following: str | None = path
        asked: set[str] = set()
        while following is not None and following not in asked and len(asked) < MOST_PAGES:
            asked.add(following)
            answer = yield from self.get(following, {"limit": 80} if following == path else None)
            if not answer.ok:
                return Accounts(frozenset(actors), False)
            for one in rows(answer):
                try:
                    actors.add(actor_of(one, self.me))
                except Ignored as exc:
                    self.ignore(exc)
            following = self.after(answer) if rows(answer) else None
        return Accounts(frozenset(actors), following is None and len(actors) >= count)

    def after(self, answer: Answer) -> str | None:
        """Where a list goes on."""
        return link(answer, "next", self.host)

    # -- single acts -----------------------------------------------------------------------------------------

    def facts(self, notifications: Iterable[Mapping[str, Any]]) -> Generator[Any, Any, list[Fact]]:
        """What notifications tell."""
        found = []
        for one in notifications:
            fact = yield from self.fact(one)
            found += [fact] if fact is not None else []
        return found

    def fact(self, notification: Mapping[str, Any]) -> Generator[Any, Any, Fact | None]:
        """What a notification tells, if anything."""
        status = notification.get("status")
        yield from self.find_parent(status)
        try:
            fact = fact_of(notification, self.me, self.posts.get)
            if isinstance(status, Mapping):
                self.stirred.add(str(unwrapped(status).get("id")))
                self.remember(status, fact)
        except Ignored as exc:
            self.ignore(exc)
            return None
        return fact

    def find_parent(self, status: object) -> Given:
        """Learn the URI of a post of ours that is answered, if it is none of those we know."""
        parent = answers_me(status, self.me)
        if parent and parent not in self.posts and parent.isalnum():
            answer = yield from self.get(f"/api/v1/statuses/{parent}")
            try:
                found = unwrapped(entity(answer)) if answer.ok else {}
                self.know(parent, named(found.get("uri")))
            except Ignored as exc:
                self.ignore(exc)

    def remember(self, status: Mapping[str, Any], fact: Fact) -> None:
        """Keep the number of a note, by which alone its deletion is streamed."""
        if fact.record is not None:
            _put(self.notes, str(status.get("id")), (str(status.get("uri")), fact.actor))

    def forget(self, gone: Callable[[str], bool]) -> None:
        """Let go of the notes of those who are gone."""
        for number in [number for number, (_, actor) in self.notes.items() if gone(actor)]:
            del self.notes[number]

    # -- compared with what was told -------------------------------------------------------------------------

    def recall(self, signal: Signal, about: About) -> Generator[Any, Any, set[tuple[str, str | None]]]:
        """Who is held to have done this, as (actor, record)."""
        held = yield Recall(signal=signal, about=about)
        return {(str(actor), record) for actor, record in held or ()}

    def differences(
        self, signal: Signal, about: About, found: Accounts, since: int
    ) -> Generator[Any, Any, list[Fact]]:
        """Assert who is listed and was not told; take back who was told and is not listed, if the list is whole.

        Args:
            signal: an edge.
            about: of what.
            found: who does it, as the server lists it.
            since: when those who were not told did it, as far as is known; ms since the epoch.
        """
        before = {actor for actor, _ in (yield from self.recall(signal, about))}
        facts = [
            edge(signal, actor, about, since, on=True, dated=False) for actor in sorted(found.actors - before)
        ]
        if found.whole:
            facts += [
                edge(signal, actor, about, self.now(), on=False, completeness="inferred")
                for actor in sorted(before - found.actors)
            ]
        return facts

    def acts(self, status: Mapping[str, Any], uri: str, since: int) -> Generator[Any, Any, list[Fact]]:
        """What differs between a post's lists and what was told of it.

        Raises:
            Unavailable: the server answers something else than lists.
        """
        number = str(status.get("id"))
        facts: list[Fact] = []
        for signal, count, path in LISTS:
            about = About(post=uri)
            found = yield from self.accounts(
                f"/api/v1/statuses/{number}/{path}", count=count_of(status, count)
            )
            facts += yield from self.differences(signal, about, found, since)
        facts += yield from self._thread(number, uri)
        self.stirred.discard(number)
        return facts

    def _thread(self, number: str, uri: str) -> Generator[Any, Any, list[Fact]]:
        """Answers below a post: those that were not told, and those that are gone."""
        answer = yield from self.get(f"/api/v1/statuses/{number}/context")
        if not answer.ok:
            return []
        found = entity(answer).get("descendants")
        facts: list[Fact] = []
        for one in found if isinstance(found, list) else []:
            yield from self.find_parent(one)
            try:
                facts.append(told(note_of(one, self.me, self.posts.get, thread=uri), self.me.account))
                self.remember(one, facts[-1])
            except Ignored as exc:
                self.ignore(exc)
        known: set[tuple[str, str]] = set()
        for signal in (Signal.REPLY, Signal.COMMENT):
            held = yield from self.recall(signal, About(post=uri))
            known |= {(actor, record) for actor, record in held if record}
        there = {fact.record for fact in facts}
        facts = [fact for fact in facts if (fact.actor, fact.record) not in known]
        for actor, record in sorted(known):
            if record not in there and (yield from self._is_gone(record)):
                facts.append(gone(record, actor, self.now(), completeness="inferred"))
        return facts

    def _is_gone(self, uri: str) -> Generator[Any, Any, bool]:
        """Whether our server knows a note no longer. Threads are cut at some length: absence there is no proof."""
        for number, (known, _) in self.notes.items():
            if known == uri:
                answer = yield from self.get(f"/api/v1/statuses/{number}")
                return answer.status in (404, 410)
        answer = yield from self.get("/api/v2/search", {"q": uri, "type": "statuses", "limit": 1})
        return answer.ok and not entity(answer).get("statuses")


def _put(remembered: OrderedDict[str, Any], number: str, what: Any) -> None:
    remembered[number] = what
    if len(remembered) > MOST_NOTES:
        remembered.popitem(last=False)
