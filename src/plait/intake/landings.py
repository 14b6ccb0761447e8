"""Which of the company's posts brought somebody to the site: rules over what stands behind the ``?`` of the address.

They stand in ``signals.toml`` as ``[[landing]]``. A visit that begins with a post's link is about that post, too. It tells
nothing of who followed the link: what networks put there to know people by (``fbclid``, …) says which network it was, and
is let go.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import msgspec

from plait.events import Event, Signal

_NAME = re.compile(r"\{(\w+)\}")
_LONGEST = 256  # characters of a post, as everywhere
_PARTS = 64  # of a query that are looked at
# As the Segment protocol names in ``context.campaign`` what addresses call ``utm_…``.
_CAMPAIGN = {"name": "utm_campaign", "source": "utm_source", "medium": "utm_medium", "content": "utm_content"}


class LandingRule(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Addresses with these parts in their query come from a post.

    Attributes:
        query: name -> what it must say, whatever its case; ``*`` is anything.
        post: the post's id; ``{utm_content}`` takes that part of the query.
        network: which network it was, likewise.
    """

    query: dict[str, str]
    post: str | None = None
    network: str | None = None

    def __post_init__(self) -> None:
        if not self.query:
            raise ValueError("query {} fits every address")
        if self.post is None and self.network is None:
            raise ValueError("a landing says post or network, or both")
        for name in _NAME.findall(f"{self.post or ''}{self.network or ''}"):
            if name not in self.query:
                raise ValueError(f'{{{name}}} is not in the rule\'s query; write {name} = "*" there')


class Landing(NamedTuple):
    """Where a visit came from; ``None`` where the rule does not say."""

    network: str | None
    post: str | None
    campaign: str | None


class Landings:
    """Rules, ready to be used; of several that fit the first counts."""

    def __init__(self, rules: Sequence[LandingRule] = ()) -> None:
        self._rules = list(rules)

    def of(self, url: Any, campaign: Any = None) -> Landing | None:
        """Where a visit to an address came from, ``None`` when no rule fits.

        Args:
            url: as it was sent, with its query.
            campaign: ``context.campaign`` of the Segment protocol.
        """
        asked = _asked(url, campaign) if self._rules else None
        if not asked:
            return None
        for rule in self._rules:
            if all(
                name in asked and (want == "*" or want.casefold() == asked[name].casefold())
                for name, want in rule.query.items()
            ):
                return Landing(
                    _filled(rule.network, asked),
                    _filled(rule.post, asked),
                    asked.get("utm_campaign", "")[:_LONGEST] or None,
                )
        return None

    def land(self, event: Event, url: Any, campaign: Any = None) -> None:
        """Note on a view which post brought it."""
        landing = self.of(url, campaign) if event.signal is Signal.VIEW and event.op == "assert" else None
        if landing is None:
            return
        told = {name: value for name, value in landing._asdict().items() if value is not None}
        event.properties = {**event.properties, "landing": told}
        if landing.post is not None and event.about.post is None:
            event.about = msgspec.structs.replace(event.about, post=landing.post)


def _asked(url: Any, campaign: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    if isinstance(campaign, Mapping):
        for name, value in campaign.items():
            if name in _CAMPAIGN and isinstance(value, str) and value:
                found[_CAMPAIGN[name]] = value
    if isinstance(url, str) and "?" in url:
        try:
            parts = parse_qsl(urlsplit(url[:4_096]).query, max_num_fields=_PARTS)
        except ValueError:
            return found
        found.update({name: value for name, value in parts if value})
    return found


def _filled(template: str | None, asked: Mapping[str, str]) -> str | None:
    if template is None:
        return None
    text = _NAME.sub(lambda hit: asked[hit[1]], template)
    return "".join(one for one in text if one.isprintable()).strip()[:_LONGEST] or None
