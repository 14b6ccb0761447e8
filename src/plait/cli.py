"""The ``plait`` command: every job an operator has, one word each.

Commands that work on a data folder ask its running server; when there is none they start one for as long as they
need it, so that a job does the same whether the shop is open or closed.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)

from plait import __version__
from plait.connect import connect, disconnect, sources
from plait.errors import PlaitError, Unavailable
from plait.settings import Settings, load
from plait.supervise import EXITS

_BATCH = 500  # rows a request; a batch of events stays well below the protocol's 500 KB

_TOLD = 20  # refused rows that are told one by one
_LONGEST_TOKEN = 24 * 366  # hours

_say = Console(stderr=True, highlight=False)


class _Plain(click.Group):
    """A group whose commands end with one clear line instead of a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except PlaitError as error:
            click.echo(f"plait: {error.message} ({error.code})", err=True)
            sys.exit(next((number for kind, number in EXITS if isinstance(error, kind)), 1))
        except BrokenPipeError:  # `plait export … | head`
            sys.stderr.close()
            sys.exit(0)


_data = click.option(
    "--data", metavar="DIR", help="The data folder.  [default: $PLAIT_DATA, else ./data]", default=None
)


@click.group(cls=_Plain, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def main() -> None:
    """Personalize your own site with your own data."""


for _one in (connect, sources, disconnect):
    main.add_command(_one)


@main.command()
@_data
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=int, help="Port to listen on; 0 takes a free one.  [default: 8080]")
@click.option("--log-level", help="debug, info, warning or error.  [default: info]")
def serve(data: str | None, host: str | None, port: int | None, log_level: str | None) -> None:
    """Run the server on a data folder until SIGTERM or Ctrl-C."""
    from plait.logs import configure
    from plait.serve import run
    from plait.serve import serve as work

    settings = load(data, overrides={"host": host, "port": port, "log_level": log_level})
    configure(settings.log_level)
    run(work(settings))


@main.command()
@click.option("--data", metavar="DIR", help="The data folder.  [default: ./demo-data]", default=None)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=int, default=8080, show_default=True, help="Port to listen on; 0 takes a free one."
)
@click.option("--browser/--no-browser", default=True, help="Open the page in a browser.")
def demo(data: str | None, host: str, port: int, browser: bool) -> None:
    """Run a shop with made-up visitors, to see what Plait does."""
    from plait.demo import run as work

    work(data, host, port, browser)


@main.group(name="import")
def import_() -> None:
    """Bring in a catalog or past events."""


_file = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
_map = click.option(
    "--map", "names", multiple=True, metavar="OURS=THEIRS", help="Take a field from another column."
)


@import_.command(name="items")
@_file
@_data
@_map
def import_items(file: Path, data: str | None, names: tuple[str, ...]) -> None:
    """Add or replace items from a CSV, TSV, JSON, Parquet, Google Merchant, RSS or Atom FILE."""
    from plait.feeds import read_items

    _bring(read_items(file, names, now=_now()), data, what="items")


@import_.command(name="events")
@_file
@_data
@_map
def import_events(file: Path, data: str | None, names: tuple[str, ...]) -> None:
    """Append past events from a CSV, TSV, JSON or Parquet FILE; the same file twice counts once."""
    from plait.feeds import read_events

    _bring(read_events(file, names), data, what="events")


@import_.command(name="dataset")
@click.argument("name")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="The folder to write."
)
@click.option(
    "--format", "form", type=click.Choice(["csv", "csv.gz", "parquet"]), default="csv", show_default=True,
    help="What to write.",
)  # fmt: skip
@click.option(
    "--map",
    "more",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A TOML file of maps of your own.",
)
def import_dataset(name: str, folder: Path, out: Path, form: str, more: Path | None) -> None:
    """Rewrite the published files of a public data set (movielens, yelp, …) for `plait evaluate`."""
    from plait.feeds.public import import_set

    with _measuring(f"importing {name}") as bar:

        def tell(what: str, part: float) -> None:
            bar.update(TaskID(0), description=f"importing {name}: {what}", completed=part)

        told = import_set(name, folder, out, form=form, more=more, progress=tell)
    for sample in told.samples:
        _say.print(f"refused: {sample}", soft_wrap=True, markup=False)
    if told.refused > len(told.samples):
        _say.print(f"… and {told.refused - len(told.samples):,} more")
    click.echo(json.dumps({"variant": told.variant, "written": told.written, "refused": told.refused}))


@main.command()
@_data
def fit(data: str | None) -> None:
    """Learn a new model from everything known, and use it."""
    from plait.reach import reach

    with _working("fitting"), reach(load(data)) as api:
        manifest = api.ask("POST", "/v1/fit")
    click.echo(json.dumps(manifest, indent=2))


@main.command()
@click.argument("folder", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.option("--live", is_flag=True, help="Evaluate the installation in the data folder instead of FOLDER.")
@_data
@click.option("--test", type=click.Path(dir_okay=False, path_type=Path), help="A test file (person,item).")
@click.option(
    "--cold",
    type=click.IntRange(min=0),
    metavar="K",
    help="Cut some people's activity to K rows, ask about them.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of everything that is drawn."
)
@click.option(
    "--social", metavar="A,B", help="Signals that are social.  [default: like,comment,reply,share,...]"
)
@click.option("--json", "as_json", is_flag=True, help="Print the whole report as JSON.")
@click.option(
    "--report",
    "page",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the report as a page, too.",
)
def evaluate(
    folder: Path | None,
    live: bool,
    data: str | None,
    test: Path | None,
    cold: int | None,
    seed: int,
    social: str | None,
    as_json: bool,
    page: Path | None,
) -> None:
    """Tell what each kind of data in FOLDER is worth, and what combining them is worth."""
    from plait import evaluate as work
    from plait.evaluate.html import as_html
    from plait.evaluate.live import evaluate_installation
    from plait.evaluate.shown import as_text

    if live == (folder is not None) or (live and (test is not None or cold is not None)):
        raise click.UsageError("give a FOLDER, maybe with --test and --cold, or --live without them")
    named = work.SOCIAL_SIGNALS
    if social is not None:
        named = frozenset(filter(None, map(str.strip, social.split(","))))
    if page is not None and not page.absolute().parent.is_dir():  # said before minutes of work, not after
        raise Unavailable(f"{page} cannot be written: its folder is missing", code="report_not_written")
    with _working("evaluating") as progress:

        def told(what: str) -> None:
            progress.update(TaskID(0), description=what)

        if folder is None:
            found = evaluate_installation(load(data), seed=seed, social=named, told=told)
        else:
            found = work.evaluate(folder, test=test, keep=cold, seed=seed, social=named, told=told)
    click.echo(json.dumps(found, indent=2) if as_json else as_text(found))
    if page is not None:
        cut = "" if cold is None else f", {cold} kept of some people"
        name = "This installation" if folder is None else folder.resolve().name
        _write_page(page, as_html(found, name=name + cut))


def _write_page(path: Path, text: str) -> None:
    try:
        path.write_text(text, "utf-8")
    except OSError as exc:
        raise Unavailable(f"{path} cannot be written: {exc.strerror}", code="report_not_written") from exc


@main.command()
@_data
def explored(data: str | None) -> None:
    """Tell what placements that explore have learned, and what other ways to choose would have been worth."""
    from plait.explore import current

    found = current(Path(load(data).data))
    told = {"learned_at": found.learned_at, "rounds": found.rounds, "rewards": found.rewards, **found.report}
    click.echo(json.dumps(told, indent=2))


@main.command()
@_data
@click.option("--check", is_flag=True, help="Change nothing; tell whether the state equals the log.")
def replay(data: str | None, check: bool) -> None:
    """Rebuild the state from the log."""
    from plait.workers import replay as work

    with _working("replaying"):
        told = work(load(data), check=check)
    click.echo(json.dumps(told, indent=2))
    if check and not told.get("equal", True):
        sys.exit(1)


@main.command()
@click.argument("person")
@_data
def export(person: str, data: str | None) -> None:
    """Print everything known about PERSON (user:42) as JSON."""
    from plait.reach import reach

    with reach(load(data)) as api:
        click.echo(json.dumps(api.ask("GET", f"/v1/profiles/{_path(person)}/export"), indent=2))


@main.command()
@click.argument("person")
@_data
@click.option("--yes", is_flag=True, help="Do not ask.")
def forget(person: str, data: str | None, yes: bool) -> None:
    """Erase PERSON (user:42) from state, log and lake; this cannot be undone."""
    from plait.reach import reach

    if not yes and sys.stdin.isatty():
        click.confirm(f"Erase {person} for good?", abort=True)
    with _working("erasing"), reach(load(data)) as api:
        told = api.ask("DELETE", f"/v1/profiles/{_path(person)}")
    click.echo(json.dumps(told, indent=2))


@main.command()
@_data
@click.option("--json", "as_json", is_flag=True, help="As JSON, with the old keys that still work.")
@click.option(
    "--rotate",
    type=click.Choice(["write", "secret", "sources"]),
    help="Make a new key; the old one goes on working. With sources, what they sign in with is sealed anew.",
)
@click.option("--drop-old", is_flag=True, help="Let keys that were rotated away stop working.")
@click.option("--token", metavar="PERSON", help="Print a token that lets a browser ask as PERSON.")
@click.option("--hours", type=float, default=1.0, show_default=True, help="How long the token lives.")
def keys(
    data: str | None, as_json: bool, rotate: str | None, drop_old: bool, token: str | None, hours: float
) -> None:
    """Show the keys of a data folder, or change them."""
    from plait.events import checked_identifier
    from plait.keys import load_keys, rotate_keys

    settings = load(data)
    if rotate == "sources":
        from plait.accounts import Accounts

        sealed = Accounts(Path(settings.data), now=_now()).rotate(now=_now())
        click.echo(json.dumps({"sealed": sealed}))
        return
    if rotate or drop_old:
        rotate_keys(
            settings, "write" if rotate == "write" else "secret" if rotate else None, drop_old=drop_old
        )
    found = load_keys(settings)
    if token is not None:
        if not 0 < hours <= _LONGEST_TOKEN:  # NaN neither
            raise click.BadParameter(
                f"{hours:g} is not more than 0 and at most {_LONGEST_TOKEN:g}", param_hint="--hours"
            )
        until = _now() + int(hours * 3_600_000)
        click.echo(found.token(checked_identifier(token, field="PERSON"), until))
        return
    _warn_of_other_keys(settings)
    shown: dict[str, Any] = {"write": found.write, "secret": found.secret}
    if as_json:
        click.echo(
            json.dumps({**shown, "old_write": found.old_write, "old_secret": found.old_secret}, indent=2)
        )
        return
    for name, value in shown.items():
        click.echo(f"{name:<7} {value}")


def _warn_of_other_keys(settings: Settings) -> None:
    from plait.serving import serving

    told = serving(Path(settings.data))
    if told is not None and told.own_keys and not (settings.write_key and settings.secret_key):
        _say.print("the running server has keys from its own environment; those go before these")


@main.command()
@_data
@click.option("--host", help="Address the server is to listen on.")
@click.option("--port", type=int, help="Port the server is to listen on.")
def doctor(data: str | None, host: str | None, port: int | None) -> None:
    """Check disk, clock, port, permissions, settings and data; say what is wrong and what to do."""
    from plait.doctor import checks

    marks = {"ok": "[green]ok  [/]", "warn": "[yellow]warn[/]", "fail": "[red]fail[/]"}
    failed = False
    out = Console(highlight=False, soft_wrap=True)
    for check in checks(data, overrides={"host": host, "port": port}, served=_served(data)):
        failed |= check.verdict == "fail"
        out.print(marks[check.verdict], check.name, check.message)
    if failed:
        sys.exit(1)


def _served(data: str | None) -> bool:
    from plait.serving import serving

    try:
        return serving(Path(load(data).data)) is not None
    except PlaitError:
        return False


@main.command()
def version() -> None:
    """Print the version."""
    click.echo(__version__)


def _bring(rows: Iterable[Any], data: str | None, *, what: str) -> None:
    """Send rows in batches; rows that cannot be read or are refused are told, and the rest goes on."""
    from plait.reach import reach

    accepted, refused = 0, 0
    with _working(f"importing {what}") as bar, reach(load(data)) as api:
        for batch in _batches(iter(rows)):
            wrong = [row for row in batch if isinstance(row, PlaitError)]
            good = [row for row in batch if not isinstance(row, PlaitError)]
            told, refusals = api.bring(f"/v1/{what}", what, good)
            accepted += told
            for error in (*wrong, *refusals):
                refused += 1
                if refused <= _TOLD:
                    bar.console.print(f"refused: {error.message}", soft_wrap=True)
            bar.update(TaskID(0), description=f"importing {what}: {accepted:,}")
        api.settle()
    if refused > _TOLD:
        _say.print(f"… and {refused - _TOLD:,} more")
    click.echo(json.dumps({"accepted": accepted, "refused": refused}))
    if refused and not accepted:
        sys.exit(2)


def _now() -> int:
    return time.time_ns() // 1_000_000


def _batches(rows: Iterator[Any]) -> Iterator[list[Any]]:
    while batch := list(islice(rows, _BATCH)):
        yield batch


def _working(what: str) -> Progress:
    """A spinner on a terminal, nothing elsewhere."""
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=_say,
        transient=True,
        disable=not _say.is_terminal,
    )
    bar.add_task(what)
    return bar


def _measuring(what: str) -> Progress:
    """A bar on a terminal, nothing elsewhere."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=_say,
        transient=True,
        disable=not _say.is_terminal,
    )
    bar.add_task(what, total=1.0)
    return bar


def _path(person: str) -> str:
    from urllib.parse import quote

    return quote(person, safe=":")


if __name__ == "__main__":
    main()
