"""The catalog at 100,000 items: loaded, changed, and asked, beside what DuckDB needs for the same answer."""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from bench import Line
from plait.catalog import Catalog, Item, checked_item, fold_items
from plait.events import Record
from plait.feeds import read_items
from plait.store import open_store

WHERE = "price < 200 and available and 't3' in topics"
SAME_IN_DUCKDB = "select row from items where price < 200 and available and list_contains(topics, 't3')"


def measure(quick: bool) -> Iterator[Line]:
    many = 10_000 if quick else 100_000
    raw = list(_shop(many))
    checked, seconds = _timed(lambda: [checked_item(one, field="item") for one in raw])
    yield Line("items checked at the edge", many / seconds, "items/s")
    catalog, seconds = _loaded(checked)
    yield Line(f"load {many:,} items", seconds, "s", bar=1.5, least=False)

    catalog.mask(WHERE)
    times = [
        _timed(lambda one=one: catalog.upsert([one]))[1] for one in random.Random(1).sample(checked, 1_000)
    ]
    yield Line("upsert of one item, p99", 1_000 * _p99(times), "ms", bar=1, least=False)

    def anew() -> int:
        catalog._masks.clear()  # as if it were never asked
        return int(catalog.mask(WHERE).sum())

    found, ours = anew(), statistics.median(_timed(anew)[1] for _ in range(50))
    theirs, peer = _in_duckdb(raw)
    assert found == theirs, (found, theirs)
    yield Line(
        "a condition asked anew", 1_000 * ours, "ms", "DuckDB in memory", ours / peer, bar=5, least=False
    )
    kept = statistics.median(_timed(lambda: catalog.mask(WHERE))[1] for _ in range(500))
    yield Line("a condition asked before", 1_000_000 * kept, "µs")
    yield Line(
        "a new attribute's column", 1_000 * _timed(lambda: catalog.column("attributes.brand"))[1], "ms"
    )
    yield from _feeds(raw)


def _shop(many: int) -> Iterator[dict[str, Any]]:
    chance = random.Random(7)
    topics = [f"t{n}" for n in range(200)]
    for number in range(many):
        yield {
            "id": f"item-{number}",
            "title": f"Tent number {number}",
            "topics": chance.sample(topics, 4),
            "price": round(chance.random() * 500, 2),
            "available": chance.random() < 0.9,
            "url": f"https://shop.example/p/{number}",
            "image": f"https://shop.example/i/{number}.jpg",
            "sections": ["specs", "reviews"],
            "attributes": {"brand": f"b{number % 50}", "weight": chance.random(), "waterproof": True},
        }


def _loaded(items: list[Item]) -> tuple[Catalog, float]:
    """As the server does at its start: from the store."""
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"lmdb://{Path(folder) / 'store'}", write=True)
        body = msgspec.json.encode({"put": items, "delete": []})
        record = Record(kind="items", source="web", received_at=1, body=body)
        store.commit(fold_items(record, lambda *_: None), position=1, expected=0)
        with store.snapshot() as snapshot:
            catalog, seconds = _timed(lambda: Catalog.load(snapshot))
        store.close()
    return catalog, seconds


def _in_duckdb(raw: list[dict[str, Any]]) -> tuple[int, float]:
    db = duckdb.connect(config={"threads": 1})
    db.execute("create table items (row int, price double, available bool, topics varchar[])")
    with tempfile.NamedTemporaryFile("wb", suffix=".json") as file:
        for row, one in enumerate(raw):
            told = {"row": row, **{name: one[name] for name in ("price", "available", "topics")}}
            file.write(msgspec.json.encode(told) + b"\n")
        file.flush()
        db.execute(f"insert into items select row, price, available, topics from read_json('{file.name}')")
    times = [_timed(lambda: len(db.execute(SAME_IN_DUCKDB).fetchnumpy()["row"])) for _ in range(20)]
    db.close()
    return times[0][0], statistics.median(seconds for _, seconds in times)


def _feeds(raw: list[dict[str, Any]]) -> Iterator[Line]:
    some = raw[:10_000]
    rows = "".join(
        f"{one['id']}\t{one['title']}\t{one['price']} EUR\tA > {one['topics'][0]}\n" for one in some
    )
    elements = "".join(
        f"<item><g:id>{one['id']}</g:id><g:title>{one['title']}</g:title><g:price>{one['price']} EUR</g:price>"
        f"<g:product_type>A &gt; {one['topics'][0]}</g:product_type></item>\n"
        for one in some
    )
    files = {
        "TSV": f"id\ttitle\tprice\tproduct_type\n{rows}",
        "Google Merchant XML": f'<rss xmlns:g="http://base.google.com/ns/1.0">{elements}</rss>',
        "JSON lines": "".join(msgspec.json.encode(one).decode() + "\n" for one in some),
    }
    for name, content in files.items():
        with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            found, seconds = _timed(
                lambda path=file.name: sum(isinstance(one, dict) for one in read_items(Path(path)))
            )
        assert found == len(some), (name, found)
        yield Line(f"feed read, {name}", found / seconds, "items/s")


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    begin = time.perf_counter()
    found = work()
    return found, time.perf_counter() - begin


def _p99(times: list[float]) -> float:
    return sorted(times)[int(len(times) * 0.99)]
