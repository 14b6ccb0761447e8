"""The page on storage says what there is."""

from __future__ import annotations

from pathlib import Path

from plait.lake import COLUMNS

PAGE = Path(__file__).parents[2] / "docs/reference/storage.md"


def test_every_column_of_the_lake_is_explained() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]

    assert [name for name in COLUMNS if not any(f"`{name}`" in row for row in rows)] == []
