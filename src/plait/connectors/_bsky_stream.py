"""What a stream told, gathered into pages: facts, posts, who is gone, where something may be missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import structlog

from plait.connectors import Fact, Page, Post
from plait.connectors._atproto import (
    COLLECTIONS,
    POST,
    Act,
    Commit,
    Interest,
    Message,
    Notice,
    Reset,
    State,
    tid_ms,
    uri,
)
from plait.connectors._bsky_records import NETWORK, Origin, facts_of, named, post_of, undone
from plait.errors import Rejected

_log = structlog.get_logger()

AT_ONCE = 500  # facts of one page
GAPS = 600_000  # ms between two gaps that are told; one that comes sooner waits
QUIET = 30_000  # ms between two pages that keep only the cursor: what a restart reads again
HOLD = 250  # ms that a fact waits at most while more keep coming
_BEHIND = 2_000  # ms; whoever is further behind is catching up, and gathers larger pages
_CATCHING_UP = 2_000  # ms that facts are gathered meanwhile
_REPOS = 50_000  # of which the last revision is remembered
_REMISS = 600_000_000  # µs that Jetstream may begin after the place it was asked for
_AHEAD = 300_000_000  # µs that its clock may be ahead of ours
FORGOTTEN = frozenset({"deleted", "takendown"})  # others may come back: suspended, deactivated, throttled …


def is_to_come(place: int, now: int) -> bool:
    """Whether a place in Jetstream, which is a moment in µs, lies ahead of our clock (ms)."""
    return place > now * 1_000 + _AHEAD


class Gathered:
    """Frames since the last page.

    Args:
        kind: ``firehose`` or ``jetstream``.
        start: the place the stream was asked to begin after; ``None`` for now.

    Attributes:
        missed: why something may be missing, until a page told it.
    """

    def __init__(self, kind: str, start: int | None, interest: Interest, now: Callable[[], int]) -> None:
        self._kind, self._interest, self._now = kind, interest, now
        self._seq = start
        self._ahead = False  # it told a moment that is still to come
        self._live = False  # a frame came that follows the one before it
        self._revs: dict[str, str] = {}
        self._facts: list[Fact] = []
        self._actors: set[str] = set()
        self._posts: list[Post] = []
        self._gone: list[str] = []
        self._drops = Counter[str]()  # a line for each in the log would be its author's to write
        self._paged = now()
        self._since = 0  # when the oldest fact that waits came
        self._told_at = 0  # of the newest commit that matters
        self._first = start is None
        self._restart = False
        self._gap_at: int | None = None
        self.missed: str | None = None

    @property
    def waits(self) -> bool:
        """Whether something waits to be kept."""
        return bool(self._facts or self._posts or self._gone or self._gap())

    def tells_of(self, account: str) -> bool:
        """Whether something of ``network:id`` waits to be kept."""
        return account in self._actors

    def forget(self, gone: Callable[[str], bool]) -> None:
        """Let go of where the repos of those stood who are gone."""
        self._revs = {did: rev for did, rev in self._revs.items() if not gone(NETWORK + did)}

    def due(self, now: int, *, nothing_came: bool) -> bool:
        """Whether it is time to keep a page."""
        if not self.waits:
            return self._seq is not None and (self._first or now - self._paged >= QUIET)
        behind = now - self._told_at > _BEHIND
        return (
            nothing_came
            or len(self._facts) >= AT_ONCE
            or now - self._since >= (_CATCHING_UP if behind else HOLD)
        )

    def page(self, now: int) -> Page:
        """All that was gathered, and the cursor behind it."""
        self._paged, self._first = now, False
        cursor = None if self._seq is None else f"{self._kind}:{self._seq}"
        if self._restart:
            cursor = f"{self._kind}:live"
        page = Page(
            facts=tuple(self._facts), posts=tuple(self._posts), gone=tuple(dict.fromkeys(self._gone)),
            cursor=cursor, gap=self._gap(), dropped=dict(self._drops),
        )  # fmt: skip
        self._drops.clear()
        if page.gap:
            self.missed, self._gap_at = None, now
        self._facts, self._posts, self._gone = [], [], []
        self._actors.clear()
        return page

    def _gap(self) -> str | None:
        """Why something may be missing. Reading the past again is dear: not for each of a thousand broken frames."""
        late = self._gap_at is None or self._now() - self._gap_at >= GAPS
        return self.missed if late else None

    def broken(self, why: str) -> None:
        """A frame could not be read: what it said is missing."""
        self._drops[why] += 1
        self._miss("a frame of the stream could not be read")

    def take(self, seq: int, message: Message | None) -> None:
        """One frame that could be read."""
        if seq:
            self._follow(seq)
        if message is None:
            return
        waited = self.waits
        if isinstance(message, Commit):
            self._commit(message)
        elif isinstance(message, State):
            self._state(message)
        elif isinstance(message, Reset):
            self._miss("an account's records were replaced as a whole")
        else:
            self._notice(message)
        if not waited:
            self._since = self._now()

    def _follow(self, seq: int) -> None:
        """Keep the place; numbers that were left out, or that go back, may be facts that we never saw."""
        last = self._seq
        if last is not None:
            if self._kind == "firehose":
                # Holes in a replay are accounts that were deleted since; in what is told live they are losses.
                if seq != last + 1 and self._live:
                    self._miss(
                        "the stream left out numbers" if seq > last else "the stream's numbers went back"
                    )
                self._live = seq == last + 1
            elif not self._live:
                self._live = True
                if seq - last > _REMISS:
                    self._miss("the stream does not reach back to where it was left")
        if self._kind == "firehose":
            self._seq = seq
        elif not is_to_come(seq, self._now()):
            self._seq = max(seq, last or 0)
        elif not self._ahead:  # to go on from there would be to hear nothing until then
            self._ahead = True
            self._miss("the stream told a moment that is still to come")

    def _follow_repo(self, commit: Commit) -> None:
        """Each commit names the one before it. One that we were not told is a loss; a replay of what we know is none."""
        last = self._revs.pop(commit.did, None)
        if last is not None and commit.rev <= last:
            self._revs[commit.did] = last
            return
        self._revs[commit.did] = commit.rev
        if last and commit.since and commit.since != last:
            self._miss("commits of an account are missing")
        if len(self._revs) > _REPOS:
            del self._revs[next(iter(self._revs))]

    def _notice(self, notice: Notice) -> None:
        _log.warning("stream_notice", network="bluesky", name=notice.name[:80])
        if notice.name == "OutdatedCursor":
            self._miss("the stream does not reach back to where it was left")
        elif notice.name == "FutureCursor":
            # Another server than the one whose numbers we have: from now on, and the past by a look.
            self._restart = True
            self._miss("the stream does not know the place where it was left")

    def _state(self, state: State) -> None:
        if state.active or state.status not in FORGOTTEN:
            return
        if state.did == self._interest.me:
            _log.error("account_gone", network="bluesky", status=state.status)
            return
        try:
            self._gone.append(named(state.did))
        except ValueError:
            self._drops["invalid_did"] += 1

    def _commit(self, commit: Commit) -> None:
        at = min(tid_ms(commit.rev) or self._now(), self._now())
        self._told_at = max(self._told_at, at)
        self._follow_repo(commit)
        if commit.broken:
            self._drops[commit.broken] += 1
            self._miss("a commit could not be read whole")
        for act in commit.acts:
            try:
                self._act(commit, act, at)
            except Rejected as error:
                self._drops[error.code] += 1
            except ValueError:
                self._drops["invalid_did"] += 1

    def _act(self, commit: Commit, act: Act, at: int) -> None:
        if act.collection not in COLLECTIONS:
            return
        mine = commit.did == self._interest.me
        if mine and act.collection != POST:
            return  # what the company likes says nothing about people
        if act.action == "delete":
            if mine:
                self._posts.append(Post(id=uri(commit.did, POST, act.rkey), at=at, deleted=True))
            else:
                self._facts.append(undone(commit.did, act.collection, act.rkey, rev=commit.rev, at=at))
            return
        origin = Origin(commit.did, act.collection, act.rkey, act.cid or commit.rev, at)
        if mine:
            self._posts.append(post_of(origin, act.record))
            return
        found = facts_of(origin, act.record, me=self._interest.me, watched=self._interest.watched)
        if act.action == "update" and not found:  # it was about us, perhaps, and is no more
            found = [undone(commit.did, act.collection, act.rkey, rev=commit.rev, at=at)]
        self._facts += found
        self._actors.update(fact.actor for fact in found)

    def _miss(self, why: str) -> None:
        self.missed = self.missed or why
