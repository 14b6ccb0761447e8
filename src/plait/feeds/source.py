"""A file as text, whatever it was written with: gzip or not, UTF-8 or UTF-16, and single bytes of Windows or Latin-1."""

from __future__ import annotations

import codecs
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgspec

from plait.errors import Rejected

MAX_LINE = 1_000_000  # characters; a line beyond is told and passed over
HEAD = 65_536  # bytes looked at to see what a file is


class Row(msgspec.Struct, frozen=True):
    """One row of a file.

    Attributes:
        place: where it is, for people: ``line 12``.
        values: as the file has them, by its own names in their one spelling (``name_of``).
        typed: the format tells text from number; else every value is text and means what it looks like.
    """

    place: str
    values: dict[str, Any]
    typed: bool = False


@dataclass
class Source:
    """An open file.

    Attributes:
        head: its beginning, as text.
        raw: its beginning, as bytes.
        text: all of it, as text, with its own line ends.
    """

    path: Path
    head: str
    raw: bytes
    text: IO[str]

    def lines(self) -> Iterator[tuple[int, str | None]]:
        """Numbered lines, from 1; ``None`` for one that is too long to hold."""
        number = 0
        while line := self.text.readline(MAX_LINE):
            number += 1
            if len(line) < MAX_LINE or line.endswith(("\n", "\r")):
                yield number, line
                continue
            while (line := self.text.readline(MAX_LINE)) and not line.endswith(("\n", "\r")):
                pass
            yield number, None


def name_of(text: str) -> str:
    """The one spelling of a column's name: ``g:Image Link`` and ``image_link`` are the same."""
    name = re.sub(r"[\s\-]+", "_", text.strip().strip("\"'").strip())
    return re.sub(r"^[gc]:", "", name.lower())


def _one_byte(exc: UnicodeError) -> tuple[str, int]:
    """What is not UTF-8 is taken for Windows-1252, byte by byte: files glued from two exports have both."""
    assert isinstance(exc, UnicodeDecodeError)
    return exc.object[exc.start : exc.end].decode("cp1252", "replace"), exc.end


codecs.register_error("plait.one_byte", _one_byte)


@contextmanager
def open_source(path: Path) -> Iterator[Source]:
    """Open a file for reading.

    Raises:
        Rejected: ``invalid_file``: it is empty, or it breaks off.
    """
    try:
        with path.open("rb") as plain:
            zipped = plain.read(2) == b"\x1f\x8b"
            plain.seek(0)
            binary: Any = gzip.GzipFile(fileobj=plain) if zipped else plain
            buffered = io.BufferedReader(binary, HEAD) if zipped else plain
            raw = buffered.peek(HEAD)[:HEAD]
            encoding = _encoding(raw)
            head = codecs.getincrementaldecoder(encoding)("plait.one_byte").decode(raw).lstrip("\ufeff")
            if not head.strip():
                raise Rejected(f"{path.name} is empty", code="invalid_file")
            text = io.TextIOWrapper(buffered, encoding, "plait.one_byte", newline="")
            yield Source(path, head, raw, text)
    except (EOFError, zlib.error, gzip.BadGzipFile) as exc:
        raise Rejected(f"{path.name} breaks off: {exc}", code="invalid_file") from exc
    except OSError as exc:
        raise Rejected(f"{path.name} cannot be read: {exc.strerror}", code="invalid_file") from exc


def _encoding(raw: bytes) -> str:
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if raw[1:64:2].count(0) > 16 or (raw[1:2] == b"\0" and raw[3:4] == b"\0"):
        return "utf-16-le"
    if raw[0:64:2].count(0) > 16:
        return "utf-16-be"
    declared = re.match(rb"\s*<\?xml[^>]*encoding=[\"']([A-Za-z0-9._-]{1,40})[\"']", raw)
    if declared is not None:
        name = declared[1].decode()
        try:
            if codecs.lookup(name).name in _TEXTS:
                return name
        except LookupError:
            pass
    return "utf-8-sig"


# Encodings of text that a feed may declare. Python knows more "encodings" than these, and some are not of text.
_TEXTS = {
    *(f"iso8859-{part}" for part in range(1, 17)),
    *(f"cp{page}" for page in range(1250, 1259)),
    "koi8-r", "koi8-u", "gbk", "gb18030", "gb2312", "big5", "shift_jis", "cp932", "euc_jp", "euc_kr", "ascii",
}  # fmt: skip
