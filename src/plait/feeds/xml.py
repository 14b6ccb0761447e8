"""XML of Google Merchant, RSS 2.0, Atom and their kin: a run of like elements, each an item.

Each element is cut out of the text and parsed for itself, so that one broken product does not end the feed, and
the file may be of any size. Nothing before the first element is parsed at all: a DOCTYPE, and with it every entity
that a file could define to blow us up or to read our disk, is never seen.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import IO, Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from plait.errors import Rejected
from plait.feeds.source import Row, Source, name_of

TAGS = ("item", "entry", "product", "offer", "shopitem")
MAX_ELEMENT = 1_000_000  # characters
MAX_DEPTH = 32
CHUNK = 262_144

# Comments and CDATA are tokens too: what looks like an element in them is none. Every search below is for a short
# fixed text, so that no file takes longer than its length.
_ASIDE = {"<!--": "-->", "<![CDATA[": "]]>"}
_TOKEN = re.compile(
    rf"<!--|<!\[CDATA\[|<(?P<tag>(?:\w{{1,40}}:)?(?:{'|'.join(TAGS)}))(?=[\s>/])", re.IGNORECASE
)
_LONGEST = 60  # characters of a token
_NAMESPACE = re.compile(r"xmlns:([\w.-]+)\s*=")
_PREFIX = re.compile(r"</?([A-Za-z_][\w.-]*):|\s([A-Za-z_][\w.-]*):[\w.-]+\s*=")


def rows(source: Source) -> Iterator[Row | Rejected]:
    """Elements by the line they begin at."""
    found = False
    for line, text in _elements(source):
        found = True
        place = f"line {line}"
        if text is None:
            yield Rejected(
                f"{place}: the element has no end within {MAX_ELEMENT} characters",
                code="invalid_row",
                field=place,
            )
            continue
        try:
            yield Row(place, _values(_parsed(text)))
        except (ParseError, DefusedXmlException, ValueError, RecursionError) as exc:
            yield Rejected(f"{place}: is not well-formed XML: {exc}", code="invalid_row", field=place)
    if not found:
        raise Rejected(
            f"{source.path.name} is XML without any of {', '.join(f'<{tag}>' for tag in TAGS)}",
            code="invalid_file",
        )


def _elements(source: Source) -> Iterator[tuple[int, str | None]]:
    window, only = _Window(source.text), ""
    while True:
        token = _TOKEN.search(window.text)
        if token is None:
            window.cut(max(0, len(window.text) - _LONGEST))
            if not window.more():
                return
            continue
        window.cut(token.start())
        tag = token["tag"]
        if tag is None:
            window.skip(_ASIDE[token[0]])
        elif only and tag.lower() != only:
            window.cut(len(token[0]))
        else:
            only = tag.lower()
            end = _end(window, tag)
            line = window.line
            yield line, window.cut(end) if end else None
            if not end:
                window.cut(len(token[0]))


def _end(window: _Window, tag: str) -> int | None:
    """Where the element that the window begins with ends, ``None`` when not within ``MAX_ELEMENT``."""
    tokens = re.compile(rf"<!--|<!\[CDATA\[|</{tag}\s{{0,20}}>|^<{tag}[^<>]{{0,4000}}/>")
    place = 0
    while True:
        token = tokens.search(window.text, place)
        if token is None:
            place = max(place, len(window.text) - _LONGEST)
            if len(window.text) >= MAX_ELEMENT or not window.more():
                return None
        elif token[0] in _ASIDE:
            after = window.find(_ASIDE[token[0]], token.end())
            if after is None:
                return None
            place = after
        else:
            return token.end()


class _Window:
    """The part of the text that is held, and the line it begins at."""

    def __init__(self, text: IO[str]) -> None:
        self._source = text
        self.text = ""
        self.line = 1

    def more(self) -> bool:
        """Read on; ``False`` at the end."""
        chunk = self._source.read(CHUNK)
        self.text += chunk
        return bool(chunk)

    def cut(self, place: int) -> str:
        """Let go of what is before ``place``, and return it."""
        gone, self.text = self.text[:place], self.text[place:]
        self.line += gone.count("\n")
        return gone

    def find(self, what: str, start: int) -> int | None:
        """Where ``what`` ends, read as far as needed; ``None`` when it is not within ``MAX_ELEMENT``."""
        while (found := self.text.find(what, start)) < 0:
            start = max(start, len(self.text) - len(what))
            if len(self.text) >= MAX_ELEMENT or not self.more():
                return None
        return found + len(what)

    def skip(self, what: str) -> None:
        """Let go of everything up to the end of ``what``, or of the file."""
        while (found := self.text.find(what)) < 0:
            self.cut(max(0, len(self.text) - len(what)))
            if not self.more():
                self.cut(len(self.text))
                return
        self.cut(found + len(what))


def _parsed(text: str) -> Element:
    prefixes = {
        name for pair in _PREFIX.findall(text) for name in pair if name and name not in ("xml", "xmlns")
    }
    # Each prefix stands for itself: the namespaces were declared at the root, which is not here.
    declared = set(_NAMESPACE.findall(text.split(">", 1)[0]))
    spaces = "".join(f' xmlns:{name}="{name}"' for name in sorted(prefixes - declared))
    try:
        root = fromstring(f"<r{spaces}>{text}</r>", forbid_dtd=True)
    except ParseError:
        root = fromstring(f"<r{spaces}>{_mended(text)}</r>", forbid_dtd=True)
    found: Element = root[0]
    return found


def _mended(text: str) -> str:
    """The text with HTML's own entities as characters, bare ``&`` escaped and control characters gone."""
    text = re.sub(
        r"&(?!amp;|lt;|gt;|quot;|apos;)([A-Za-z][A-Za-z0-9]{1,30};)", lambda m: html.unescape(m[0]), text
    )
    text = re.sub(r"&(?!(?:amp|lt|gt|quot|apos|#\d{1,7}|#x[0-9A-Fa-f]{1,6});)", "&amp;", text)
    return re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", "", text)


def _values(element: Element) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in element.attrib.items():
        _add(values, _bare(name), value)
    for child in element:
        if not isinstance(child.tag, str):
            continue
        _add(values, _bare(child.tag), _value(child, 1))
    return values


def _value(element: Element, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise ValueError("it is nested too deeply")
    if len(element) and not (element.text or "").strip():
        inner: dict[str, Any] = {}
        for child in element:
            _add(inner, _bare(child.tag), _value(child, depth + 1))
        return inner
    text = "".join(element.itertext()).strip()
    if not text:  # Atom: <link href="..."/>, <category term="..."/>
        return (
            ""
            if element.get("rel", "alternate") != "alternate"
            else element.get("href") or element.get("term") or ""
        )
    return text


def _add(values: dict[str, Any], name: str, value: Any) -> None:
    if value in ("", {}):
        return
    had = values.get(name)
    values[name] = value if had is None else [*had, value] if isinstance(had, list) else [had, value]


def _bare(tag: str) -> str:
    return name_of(tag.rpartition("}")[2])
