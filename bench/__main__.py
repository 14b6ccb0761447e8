"""Run the benches and print one line a claim."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

from rich.console import Console
from rich.table import Table


def main(argv: list[str]) -> int:
    quick = "--quick" in argv
    asked = [name for name in argv if not name.startswith("-")]
    here = Path(__file__).parent
    names = sorted(p.stem for p in here.glob("[a-z]*.py"))
    table = Table("claim", "measured", "ratio to", "bar", "", title="Plait, measured in one run")
    console = Console(width=None if sys.stdout.isatty() else 160)
    for name in asked or names:
        module = import_module(f"bench.{name}")
        if not hasattr(module, "measure"):
            continue
        for line in module.measure(quick):
            bar = (
                ""
                if line.bar is None
                else f"{'>=' if line.least else '<='} {line.bar:.4g}"
                + (" x" if line.bar_on == "ratio" else "")
            )
            ratio = "" if line.ratio is None else f"{line.ratio:.2g} x {line.to}"
            verdict = {None: "", True: "[green]met", False: "[red]missed"}[line.met]
            table.add_row(line.what, f"{line.value:,.4g} {line.unit}", ratio, bar, verdict)
            console.print(
                f"{name}: {line.what}: {line.value:,.4g} {line.unit} {ratio} {bar}", highlight=False
            )
    console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
