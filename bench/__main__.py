"""Run the benches and print one line a claim; ``--report`` keeps them under ``bench/reports``, dated."""

from __future__ import annotations

import datetime
import os
import sys
from importlib import import_module
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import Line

HERE = Path(__file__).parent


def main(argv: list[str]) -> int:
    quick = "--quick" in argv
    asked = [name for name in argv if not name.startswith("-")]
    names = asked or sorted(p.stem for p in HERE.glob("[a-z]*.py"))
    console = Console(width=None if sys.stdout.isatty() else 160)
    table = Table("claim", "measured", "ratio to", "bar", "", title="Plait, measured in one run")
    rows: list[tuple[str, ...]] = []
    for name in names:
        module = import_module(f"bench.{name}")
        if not hasattr(module, "measure"):
            continue
        for line in module.measure(quick):
            measured, ratio, bar, verdict = shown(line)
            rows.append((name, line.what.strip(), measured, ratio, bar, verdict))
            colour = {"met": "[green]met", "missed": "[red]missed"}.get(verdict, "")
            table.add_row(line.what, measured, ratio, bar, colour)
            console.print(f"{name}: {line.what}: {measured} {ratio} {bar}", highlight=False)
    console.print(table)
    if "--report" in argv:
        today = datetime.datetime.now(datetime.UTC).date()
        (HERE / "reports" / f"bench-{today}.md").write_text(report(rows, str(today)))
    return 0


def shown(line: Line) -> tuple[str, str, str, str]:
    """What was measured, its ratio, its bar, and whether that is met, as words."""
    bar = "" if line.bar is None else f"{'>=' if line.least else '<='} {line.bar:.4g}"
    bar += " x" if bar and line.bar_on == "ratio" else ""
    ratio = "" if line.ratio is None else f"{line.ratio:.2g} x {line.to}"
    verdict = {None: "", True: "met", False: "missed"}[line.met]
    return f"{line.value:,.4g} {line.unit}".strip(), ratio, bar, verdict


def report(rows: list[tuple[str, ...]], day: str) -> str:
    """All claims of a run as a page."""
    head = ("bench", "claim", "measured", "ratio to", "bar", "")
    lines = [head, ("---",) * len(head), *rows]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return (
        f"# Bench of {day}\n\n`python -m bench --report` on {os.cpu_count()} cores; each module of `bench/` is one run, "
        f"and a ratio is to a floor or a peer of that run.\n\n{table}\n"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
