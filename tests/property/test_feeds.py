"""Whatever a file holds, it is read or told: no other error, nothing that is not an item, no end."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from plait.catalog import checked_item
from plait.errors import Rejected
from plait.events import checked_identifier
from plait.feeds import read_events, read_items

PIECES = st.sampled_from([
    b"id,title,price\n", b"id\ttitle\n", b"a,b,c\n", b"1,Tent,5\n", b'1,"Tent\n', b'"', b",", b"\t", b"\r", b"\r\n", b"\n", b";",
    b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\x00", b"\xe9", b"\x1a", b"sep=;\n",
    b"<rss>", b"<item>", b"</item>", b"<g:id>1</g:id>", b"<id>2</id>", b"<![CDATA[", b"]]>", b"<!--", b"-->", b"<item/>", b"<entry ",
    b"&amp;", b"&nbsp;", b"&", b"&#0;", b"&#xD800;", b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"<?xml version='1.0' encoding='utf-7'?>",
    b"<?xml version='1.0' encoding='base64'?>", b"xmlns:g='x'", b"<a:id xmlns:a='b'>3</a:id>", b"<price>", b"</price>",
    b'{"id": 1}', b'{"id": "2", "price": {"value": [1]}}', b"[", b"]", b"{", b"}", b'"items": ', b"null", b"NaN", b"1e999",
    b'{"id": 3, "topics": {"a": 1}}', b'{"id": 4, "title": ["x"], "url": {"url": 1}}', b'{"id": "\\ud800"}', b'{"who": [1], "signal": "view"}',
    b'{"user": 1, "signal": "view", "at": 1e300}', b'{"user": 1, "signal": ["view"], "about": {"item": {}}}', b"PAR1", b"\x1f\x8b",
    b"user,signal,item,at\n", b"1,view,a,2026-05-01\n", b"99999999999999999999,view,,-1\n",
])  # fmt: skip
FILES = (st.lists(PIECES | st.binary(max_size=8), max_size=14).map(b"".join)) | st.binary(max_size=200)


def _read(read: Any, content: bytes) -> list[Any]:
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        found: list[Any] = []
        try:
            for one in read(Path(file.name)):
                found.append(one)
        except Rejected as exc:  # what was read before it counts
            found.append(exc)
        return found


@given(FILES)
@example(b"<rss><item><id>1</id><title>&#x110000;</title></item></rss>")
def test_any_file_is_read_as_items_or_told(content):
    for one in _read(read_items, content):
        if isinstance(one, dict):
            checked_item(one, field="item")
        else:
            assert isinstance(one, Rejected)
            assert one.field or one.code == "invalid_file"


@given(FILES)
def test_any_file_is_read_as_events_or_told(content):
    for one in _read(read_events, content):
        if isinstance(one, dict):
            assert [checked_identifier(who, field="who") for who in one["who"]]
            assert {"id", "signal", "who"} <= one.keys()
        else:
            assert isinstance(one, Rejected)
            assert one.field or one.code == "invalid_file"


@given(st.lists(st.tuples(st.text(min_size=1, max_size=20), st.text(max_size=20)), min_size=1, max_size=8))
def test_what_a_spreadsheet_writes_is_what_is_read(rows):
    """Python's own writer of CSV is the oracle; an item's texts are the reader's, with blanks in their one form."""
    import csv
    import io

    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["id", "remark", "last"])
    for number, (first, second) in enumerate(rows):
        writer.writerow([f"i{number}", f"x{first}", f"y{second}"])
    try:
        content = out.getvalue().encode()
    except UnicodeEncodeError:
        return

    found = {one["id"]: one["attributes"] for one in _read(read_items, content) if isinstance(one, dict)}

    for number, (first, second) in enumerate(rows):
        plain = all(char.isprintable() and char not in "<&" for char in first + second)
        if plain:
            assert found[f"i{number}"] == {"remark": f"x{first}".strip(), "last": f"y{second}".strip()}


@pytest.mark.parametrize(
    "content",
    [
        b"id,title\n1,Tent\n",
        b'{"id": 1, "title": "Tent"}\n',
        b"<r><item><id>1</id><title>Tent</title></item></r>",
    ],
)
def test_zipped_or_not_is_the_same(content):
    assert _read(read_items, content) == _read(read_items, gzip.compress(content)) != []
