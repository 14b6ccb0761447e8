"""Parquet files of an earlier version: columns that they do not have are empty."""

import duckdb
import pytest

from plait.events import About, Event, Signal
from plait.lake import COLUMNS, open_lake

FOLLOW = Event(
    id="2", source="bluesky", signal=Signal.FOLLOW, at=1, received_at=1, who=("bluesky:bob",),
    about=About(account="bluesky:ada"), record="at://bob/1",
)  # fmt: skip


@pytest.fixture
def lake(tmp_path):
    """A lake whose first run was written before there were accounts and records."""
    with_all = open_lake(f"parquet://{tmp_path}/new")
    view = Event(
        id="1",
        source="web",
        signal=Signal.VIEW,
        at=0,
        received_at=0,
        who=("user:u",),
        about=About(item="tent"),
    )
    with_all.write(1, 1, [(1, view)])
    (tmp_path / "old").mkdir()
    old = ", ".join(name for name in COLUMNS if name not in ("account", "record"))
    duckdb.execute(
        f"COPY (SELECT {old} FROM '{tmp_path}/new/*.parquet') TO '{tmp_path}/old/{1:020d}-{1:020d}.parquet' (FORMAT parquet)"
    )
    lake = open_lake(f"parquet://{tmp_path}/old")
    yield lake
    lake.close()
    with_all.close()


def test_old_files_alone_have_all_columns(lake):
    (row,) = lake.query("SELECT * FROM events")

    assert list(row) == list(COLUMNS)
    assert (row["item"], row["account"], row["record"]) == ("tent", None, None)


def test_old_files_are_read_beside_new_ones(lake):
    lake.write(2, 2, [(2, FOLLOW)])

    rows = lake.query("SELECT account, record FROM events ORDER BY position")
    assert rows == [{"account": None, "record": None}, {"account": "bluesky:ada", "record": "at://bob/1"}]


def test_who_is_followed_leaves_with_the_follow(lake):
    lake.write(2, 2, [(2, FOLLOW)])

    assert lake.redact(["bluesky:ada"], up_to=2) == 1
    assert [row["id"] for row in lake.query("SELECT id FROM events")] == ["1"]


def test_somebody_leaves_an_old_file(lake):
    assert lake.redact(["user:u"], up_to=2) == 1
    assert lake.query("SELECT id FROM events") == []
