"""What an event counts for: the keys under which state is kept, ``source SEP signal SEP kind SEP id SEP section``."""

from __future__ import annotations

from hashlib import blake2b

from plait.events import DAY, SOCIAL, STATEFUL, About, Event, Signal

SEP = "\x1f"  # between the parts of a key; control characters never occur in what is let in
COMPLAINT = "complaint"  # the intent of a text, and the kind of thing under which it is kept
# Acts that are somebody's words; their value is how much interest these show.
WRITTEN = frozenset({Signal.COMMENT, Signal.REPLY, Signal.QUOTE, Signal.MENTION, Signal.MESSAGE})
INFERRED = "~"  # ends the signal part of a key whose dwell was inferred from successive views
# Signals that nobody sends, in no state: what those whom somebody follows liked, and those whom these follow.
FOLLOWED, BEYOND = f"{Signal.FOLLOW}{INFERRED}", f"{Signal.FOLLOW}{INFERRED}{INFERRED}"
TOGETHER = f"{Signal.LIKE}{INFERRED}{INFERRED}"  # the same of those who liked what somebody liked
OTHERS = frozenset({FOLLOWED, BEYOND, TOGETHER})  # what others did, and no act of the person's own
COMMUNITY = (
    f"{Signal.FOLLOW}{INFERRED * 3}"  # and signal of what somebody is part of, such as their home server
)
AUTHOR = "author"  # the kind of thing that sums up what somebody did with the posts of one account, under ``like~`` and its like


def abouts(about: About) -> list[str]:
    """What an event counts for, as ``kind SEP id SEP section``; a page's address only where nothing better is known."""
    found = []
    section = about.section or ""
    if about.item is not None:
        found.append(f"item{SEP}{about.item}{SEP}{section}")
    if about.post is not None:
        found.append(f"post{SEP}{about.post}{SEP}")
    if about.topic is not None:
        found.append(f"topic{SEP}{about.topic}{SEP}")
    if about.query is not None:
        found.append(f"query{SEP}{about.query}{SEP}")
    if about.account is not None:
        found.append(f"account{SEP}{about.account}{SEP}")
    if about.url is not None and about.item is None and about.post is None:
        found.append(f"url{SEP}{about.url}{SEP}{section}")
    return found or [f"{SEP}{SEP}"]


def felt(event: Event) -> list[tuple[str, float]]:
    """What an event counts for, and how much of it, 0..1.

    What somebody wrote may show much interest, little, or none: then its value says so. Who complains has complained,
    whatever it was about; that is kept as a thing of its own, which no model reads.
    """
    if event.signal not in WRITTEN:
        return [(about, 1.0) for about in abouts(event.about)]
    intensity = 1.0 if event.value is None else min(max(event.value, 0.0), 1.0)
    found = [(about, intensity) for about in abouts(event.about)]
    if event.op == "assert" and event.properties.get("intent") == COMPLAINT:
        found.append((f"{COMPLAINT}{SEP}{SEP}", 1.0))
    return found


def zeros(about: str) -> int:
    """With how many zeros the hash of a thing begins: as a coin falls, and always the same for the same thing."""
    return 64 - int.from_bytes(blake2b(about.encode(), digest_size=8).digest(), "big").bit_length()


def is_visit(event: Event) -> bool:
    """Whether somebody looked at something, so that the next look tells for how long."""
    return event.signal is Signal.VIEW and event.op == "assert" and not event.context.get("bot")


def is_cumulative(event: Event) -> bool:
    """Whether an event's value is a counter's. One that says it began long after it was told is taken as it is:
    a clock that is years ahead must not fade all else to nothing.
    """
    return event.counter is not None and event.counter.started_at <= event.received_at + DAY


def counter_key(event: Event) -> bytes:
    """What names an event's counter within its identifier; what it measures belongs to the name."""
    counter = event.counter
    assert counter is not None
    named = (
        event.source, event.signal, counter.view, str(counter.started_at), str(counter.epoch),
        *abouts(event.about),
    )  # fmt: skip
    return blake2b(SEP.join(named).encode(), digest_size=16).digest()


def inferred_key(source: str, about: str) -> str:
    """Where dwell that nobody measured is kept."""
    return f"{source}{SEP}{Signal.DWELL}{INFERRED}{SEP}{about}"


def is_social(signal: str, kind: str) -> bool:
    """Whether an entry came from a network; a share is social when a post was shared."""
    return verb(signal) in SOCIAL or (signal == "share" and kind == "post")


def verb(signal: str) -> str:
    """The signal of an act that was inferred, or that others did: ``follow`` of ``follow~``."""
    return signal.rstrip(INFERRED)


def is_derived(signal: str) -> bool:
    """Whether nobody did it as it stands: it sums up what others did, or what the person did with an author's posts."""
    return signal.endswith(INFERRED)


def is_state(signal: str, kind: str) -> bool:
    """Whether it is so or not so, rather than an act that adds up.

    A post is shared once however often a network is told: reposts and boosts are unique, as likes are. Sharing a
    product on a site is an act.
    """
    return signal in STATEFUL or (signal == "share" and kind == "post")
