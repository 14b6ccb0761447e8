"""What somebody holds in their hands: device type, operating system, browser; and whether it is a somebody.

Read from the user agent and client hints when a record is folded, never while a sender waits. Versions are left
out: they tell people apart (privacy) and say nothing about what to show.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import Any, NamedTuple

from ua_parser import Parser, Result

from plait.events import Record
from plait.intake.values import text_of


class Device(NamedTuple):
    """``device`` is desktop, mobile, tablet, tv or "" (unknown); ``os`` and ``browser`` are families or ""."""

    device: str = ""
    os: str = ""
    browser: str = ""
    bot: bool = False


UNKNOWN = Device()

# What ua-parser files under no spider but is no person either. Headless browsers run tests and scrapers.
_BOT = re.compile(
    r"bot\b|bots\b|crawl|spider|slurp|headless|phantomjs|lighthouse|preview|monitor|scrap", re.I
)
_TABLET = re.compile(r"ipad|tablet|kindle|silk/|playbook|nexus (?:7|9|10)|android(?!.*mobile)", re.I)
_MOBILE = re.compile(r"mobi|iphone|ipod|android|windows phone|opera mini", re.I)
_TV = re.compile(r"smart-?tv|appletv|apple tv|googletv|hbbtv|\btv\b|roku|crkey|bravia|aft[a-z]+ build", re.I)
_OS = {"Mac OS X": "macOS", "Mac OS": "macOS", "Ubuntu": "Linux", "Fedora": "Linux", "Debian": "Linux"}


@cache
def _parser() -> Parser:
    # The Rust resolver alone: our own cache below keys by the hints as well.
    from ua_parser.loaders import load_builtins
    from ua_parser.regex import Resolver

    return Parser(Resolver(load_builtins()))


def parse(agent: str, hints: Mapping[str, str] | None = None) -> Device:
    """What a user agent and client hints tell.

    Args:
        agent: a User-Agent header or what a client put in its place; only the first 1,000 characters count.
        hints: client hint headers by lower-case name (``sec-ch-ua-platform``), values as sent, quotes and all.

    Returns:
        The device; ``UNKNOWN`` for a program that is no browser (a server's HTTP library): who sends for
        others is neither their device nor a bot.
    """
    if not agent and not hints:
        return UNKNOWN
    return _parsed(agent[:1000], tuple(sorted(hints.items())) if hints else ())


@lru_cache(maxsize=20_000)
def _parsed(agent: str, hints: tuple[tuple[str, str], ...]) -> Device:
    hinted = {name.removeprefix("sec-ch-ua"): value.strip(' "') for name, value in hints}
    found: Result = _parser().parse(agent)
    spider = found.device is not None and found.device.family == "Spider"
    bot = spider or _BOT.search(agent) is not None
    if not (bot or hinted or ("/" in agent and agent.startswith(("Mozilla/", "Opera/")))):
        return UNKNOWN
    system = hinted.get("-platform") or (found.os.family if found.os else "")
    browser = found.user_agent.family if found.user_agent else ""
    kind = _kind(agent, hinted.get("-mobile", ""))
    return Device(kind, _OS.get(system, system)[:40], _short(browser), bot)


def _kind(agent: str, mobile: str) -> str:
    if _TV.search(agent):
        return "tv"
    if _TABLET.search(agent):
        return "tablet"
    if mobile == "?1" or _MOBILE.search(agent):
        return "mobile"
    return "desktop"


def _short(browser: str) -> str:
    # "Chrome Mobile" and "Mobile Safari" are one product each: the device says the rest.
    return browser.replace("Mobile Safari", "Safari").replace(" Mobile", "").replace(" iOS", "")[:40]


# -- beside what the sender told ----------------------------------------------------------------------------

Agent = Callable[[str, Mapping[str, str]], Device]


def context_of(sent: Mapping[str, Any], record: Record, ua: Agent) -> dict[str, Any]:
    """What the sender told about the circumstances, with the device in our words: ``device``, ``os``, ``browser``
    and, for a program that only looks like somebody, ``bot``.
    """
    agent = sent.get("userAgent")
    found = (
        ua(agent, {}) if isinstance(agent, str) and agent != record.agent else ua(record.agent, record.hints)
    )
    kept = {name: value for name, value in sent.items() if name not in _NOT_KEPT}
    if kind := _device_type(sent) or found.device:
        kept["device"] = kind
    if system := found.os or _os_name(sent):
        kept["os"] = system
    if found.browser:
        kept["browser"] = found.browser
    if found.bot:
        kept["bot"] = True
    return kept


_NOT_KEPT = frozenset(
    {"device", "os", "browser", "bot", "userAgent", "userAgentData", "traits", "consent", "ip"}
)
_PHONES = {
    "ios": "mobile",
    "android": "mobile",
    "mobile": "mobile",
    "tablet": "tablet",
    "tv": "tv",
    "desktop": "desktop",
}


def _device_type(sent: Mapping[str, Any]) -> str:
    told = sent.get("device")
    kind = told.get("type") if isinstance(told, dict) else told
    return _PHONES.get(kind.casefold(), "") if isinstance(kind, str) else ""


def _os_name(sent: Mapping[str, Any]) -> str:
    told = sent.get("os")
    name = told.get("name") if isinstance(told, dict) else told
    return (text_of(name, 40) or "") if isinstance(name, str) else ""
