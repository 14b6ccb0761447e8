"""What a page is about by its address, and what a part of it is by its place: rules that the operator writes.

They stand in ``signals.toml`` as ``[[page]]`` and ``[[section]]``. Addresses are read when events are, so a rule holds for
every client and, after a replay, for the past; what a selector finds only a browser knows, so these go out with ``plait.js``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from plait.events import About

_MEMO = 20_000  # addresses remembered; senders choose them, so it must have an end
_LONGEST = 256  # characters of what an address names
_WHAT = ("item", "topic", "section")


class PageRule(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Pages of this address are about that.

    Attributes:
        url: a path, or an address with its host; ``{item}``, ``{topic}`` and ``{section}`` take one part of it, ``*``
            anything. What stands behind ``?`` is looked for in any order.
        item, topic, section: the same for all of these pages.
    """

    url: str
    item: str | None = None
    topic: str | None = None
    section: str | None = None

    def __post_init__(self) -> None:
        if not self.url.startswith(("/", "http://", "https://")):
            raise ValueError(f"url {self.url!r} must begin with / or http(s)://")
        names = re.findall(r"\{(.*?)\}", self.url)
        for name in names:
            if name not in _WHAT:
                raise ValueError(
                    f"url {self.url!r} has {{{name}}}; it may have {{item}}, {{topic}} and {{section}}"
                )
        if len(names) != len(set(names)):
            raise ValueError(f"url {self.url!r} names something twice")
        if not names and self.item is self.topic is self.section is None:
            raise ValueError(f"url {self.url!r} says neither item nor topic nor section")


class SectionRule(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What a selector finds is that section, or belongs to that item or topic.

    Attributes:
        selector: CSS, as ``querySelectorAll`` takes it.
        section, item, topic: a name, or ``@`` and the attribute that holds it.
    """

    selector: str
    section: str | None = None
    item: str | None = None
    topic: str | None = None

    def __post_init__(self) -> None:
        if not self.selector.strip():
            raise ValueError("selector '' finds nothing")
        if self.item is self.topic is self.section is None:
            raise ValueError(f"selector {self.selector!r} says neither section nor item nor topic")


class Places:
    """Rules, ready to be used; of several that fit, the first counts. It is true when there is any for addresses."""

    def __init__(self, pages: Sequence[PageRule] = (), sections: Sequence[SectionRule] = ()) -> None:
        self._pages = [(_pattern(one.url), one) for one in pages]
        self._memo: dict[str, About] = {}
        #: For the browser: a JSON list, ``b""`` where there are no rules.
        self.selectors = msgspec.json.encode(list(sections)) if sections else b""

    def __bool__(self) -> bool:
        return bool(self._pages)

    def about(self, told: About) -> About:
        """What an event is about, with what its address tells besides. What was said goes before what is read."""
        if told.url is None or told.item or told.post or told.query:
            return told
        found = self._memo.get(told.url)
        if found is None:
            if len(self._memo) >= _MEMO:
                self._memo.clear()
            found = self._memo[told.url] = self._read(told.url)
        if found is _NOTHING:
            return told
        topic = told.topic or (None if found.item else found.topic)
        return msgspec.structs.replace(
            told, item=found.item, topic=topic, section=told.section or found.section
        )

    def _read(self, url: str) -> About:
        try:
            parts = urlsplit(url)
            asked = parse_qs(parts.query)
        except ValueError:
            return _NOTHING
        for (where, query), rule in self._pages:
            address = (
                f"{parts.scheme}://{parts.netloc}{parts.path}" if rule.url.startswith("http") else parts.path
            )
            hits: list[Any] = [where.fullmatch(address.rstrip("/") or "/")]
            hits += [pattern.fullmatch(asked.get(name, [""])[0]) for name, pattern in query.items()]
            if all(hits):
                found = {name: text for hit in hits for name, text in hit.groupdict().items()}
                return About(**{name: _told(found.get(name)) or getattr(rule, name) for name in _WHAT})
        return _NOTHING


_NOTHING = About()


def _told(text: str | None) -> str | None:
    return (
        "".join(one for one in unquote(text) if one.isprintable()).strip()[:_LONGEST] or None
        if text
        else None
    )


def _pattern(url: str) -> tuple[re.Pattern[str], dict[str, re.Pattern[str]]]:
    address, _, query = url.partition("?")
    asked = dict(one.partition("=")[::2] for one in query.split("&") if one)
    return _regex(address.rstrip("/") or "/"), {name: _regex(text) for name, text in asked.items()}


def _regex(text: str) -> re.Pattern[str]:
    parts = re.split(r"(\{\w+\}|\*)", text)
    return re.compile(
        "".join(
            ".*" if one == "*" else f"(?P<{one[1:-1]}>[^/]+)" if one[:1] == "{" else re.escape(one)
            for one in parts
        )
    )
