"""``plait connect``, ``plait sources`` and ``plait disconnect``: the accounts of the company, as an operator meets them."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from plait.browser import signed_in
from plait.connectors import Credential, Statement, connector_of, networks
from plait.errors import Rejected, Unavailable
from plait.settings import load

_say = Console(stderr=True, highlight=False, soft_wrap=True)
_WIDE = 160  # columns where nobody says how many there are
_BEGINS_WITHIN = 60.0  # seconds, after which we stop waiting to see the driver begin
_QUIET = 120.0  # seconds without news of a backfill after which we stop watching it
_data = click.option(
    "--data", metavar="DIR", help="The data folder.  [default: $PLAIT_DATA, else ./data]", default=None
)


@click.command()
@click.argument("network", required=False)
@click.option("--host", help="Where the account lives, https://example.social.")
@click.option("--with", "given", multiple=True, metavar="NAME=VALUE", help="A credential that is no secret.")
@click.option(
    "--yes", is_flag=True, help="Ask nothing: secrets come from the environment (BLUESKY_PASSWORD)."
)
@click.option(
    "--sign-in", is_flag=True, help="Sign in with a browser; asked for nothing, this is what it does."
)
@click.option("--paste", is_flag=True, help="The browser is on another machine: type in what it shows.")
@click.option("--watch/--no-watch", default=True, help="Wait until the past has been read.")
@_data
def connect(
    network: str | None, host: str | None, given: tuple[str, ...], yes: bool, sign_in: bool, paste: bool, watch: bool,
    data: str | None,
) -> None:  # fmt: skip
    """Connect an account on NETWORK: see what it gives, sign in or give credentials, read its past."""
    from plait.reach import reach

    if network is None:
        for name in networks():
            click.echo(f"{name:<12} {connector_of(name).statement.title}")
        return
    statement = connector_of(network).statement
    show(statement)
    asks = not yes and sys.stdin.isatty()
    if asks:
        click.confirm("Connect an account?", abort=True, default=True, err=True)
    if asks and not host and all(need.name != "host" for need in statement.needs):
        host = click.prompt("Host", default=statement.host or None, err=True)
    browser = sign_in or paste or (asks and _prefers_a_browser(statement))
    credentials = _credentials(statement, given, asks=asks, secrets=not browser)
    wanted = {"network": network, "host": host or "", "credentials": credentials}
    with reach(load(data)) as api:

        def ask(body: dict[str, Any]) -> Any:
            return api.ask("POST", "/v1/sources", json=body)

        told = (
            signed_in(
                ask, wanted, say=lambda text: _say.print(text, markup=False), typed=_typed if paste else None
            )
            if browser
            else ask(wanted)
        )
        _say.print(f"connected {told['handle'] or told['me']} as {told['source']}", markup=False)
        if watch:
            _watched(api, told["source"])
    click.echo(json.dumps(told))


def show(statement: Statement) -> None:
    """Print what a network gives and under which rules."""
    _say.print(f"[bold]{statement.title}[/]")
    table = Table("signal", "how complete", "undone", "how", box=None, pad_edge=False)
    for one in statement.gives:
        table.add_row(one.signal.value, one.completeness, one.undo, one.how)
    _say.print(table)
    for title, lines in (
        ("What it does not see", statement.not_seen),
        ("What the credentials allow", statement.rights),
        ("Rules of the network", statement.rules),
    ):
        if lines:
            _say.print(f"[bold]{title}[/]")
            for line in lines:
                _say.print(f"  - {line}", markup=False)
    if statement.opt_in:
        _say.print("Nobody's account is linked to a customer without their own express yes.")


def _prefers_a_browser(statement: Statement) -> bool:
    """Whether to sign in with a browser: where the network has that, no secret was given, and the operator likes to."""
    if not hasattr(connector_of(statement.network), "begin"):
        return False
    if any(os.environ.get(variable(statement, one)) for one in statement.needs if one.secret):
        return False
    return click.confirm("Sign in with a browser?", default=True, err=True)


def _typed() -> str:
    told: str = click.prompt("Code or address", err=True)
    return told


def _credentials(
    statement: Statement, given: tuple[str, ...], *, asks: bool, secrets: bool = True
) -> dict[str, str]:
    """What ``sign_in`` needs: from ``--with``, then the environment, then asked for, then the default."""
    told = dict(_pair(one) for one in given)
    for need in statement.needs:
        if need.name not in told and (secrets or not need.secret):
            value = os.environ.get(variable(statement, need)) or (_asked(need) if asks else need.default)
            if not value and need.secret:
                raise Rejected(
                    f"{need.title} is missing; set {variable(statement, need)}",
                    code="missing_credential", field=need.name,
                )  # fmt: skip
            if value:
                told[need.name] = value
    return told


def variable(statement: Statement, need: Credential) -> str:
    """The environment variable that a credential may come from."""
    return f"{statement.network}_{need.name}".upper()


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"{text[:40]!r} is not NAME=VALUE", param_hint="--with")
    return name, value


def _asked(need: Credential) -> str:
    if need.help:
        _say.print(need.help, markup=False, style="dim")
    told: str = click.prompt(need.title, default=need.default, hide_input=need.secret, err=True)
    return told.strip()


def _watched(api: Any, source: str) -> None:
    """Show how far the backfill is until it is done; Ctrl-C leaves it to go on while the server runs."""
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
        console=_say, transient=True, disable=not _say.is_terminal,
    )  # fmt: skip
    seen, changed = None, time.monotonic()
    try:
        with bar:
            task = bar.add_task("reading the past", total=None)
            while True:
                state = api.ask("GET", f"/v1/sources/{quote(source, safe=':')}")["state"]
                progress = state.get("backfill", {})
                if progress.get("finished"):
                    break
                if state.get("state") in ("refused", "failed"):
                    raise Unavailable(_last(state) or f"{source} {state['state']}", code="not_backfilled")
                now = (progress, state.get("calls"), state.get("state"))
                if now != seen:
                    seen, changed = now, time.monotonic()
                elif time.monotonic() - changed > (_QUIET if state else _BEGINS_WITHIN):
                    raise Unavailable(
                        _last(state) or "the driver does not begin; plait doctor says more",
                        code="not_backfilled",
                    )
                bar.update(task, total=progress.get("total") or None, completed=progress.get("done", 0),
                           description=f"reading the past: {state.get('facts', 0):,} facts")  # fmt: skip
                time.sleep(0.3)
    except KeyboardInterrupt:
        _say.print("the past goes on being read while the server runs")
        return
    _say.print(f"the past has been read: {state.get('facts', 0):,} facts")


def _last(state: Mapping[str, Any]) -> str:
    errors = state.get("last_errors", [])
    return str(errors[-1]["message"]) if errors else ""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Everything, as JSON.")
@_data
def sources(as_json: bool, data: str | None) -> None:
    """Show the connected accounts: how they are, how far behind, what they miss."""
    from plait.serving import serving

    settings = load(data)
    told = serving(Path(settings.data))
    if told is None:
        found = _resting(settings.data)
    else:
        from plait.reach import reach

        with reach(settings) as api:
            found = api.ask("GET", "/v1/sources")["sources"]
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    if not found:
        _say.print("no account is connected; plait connect lists what there is")
        return
    out = Console(highlight=False)
    if not out.is_terminal:
        out.width = _WIDE
    out.print(_table(found, serves=told is not None))
    for one in found:
        state = one["state"]
        if one.get("gives"):
            out.print(f"{one['source']} gives {_gives(one['gives'])}", markup=False, soft_wrap=True)
        for what in (state.get("last_gap") and f"gap: {state['last_gap']}", _last(state)):
            if what:
                out.print(f"{one['source']}: {what}", markup=False, soft_wrap=True)


def _resting(data: str) -> list[dict[str, Any]]:
    """The accounts of a folder that nobody serves: nothing is heard of them now."""
    from plait.driver.sources import Sources, as_json

    made = Sources(load(data))
    told = made.told()
    return [
        as_json(one) | {"state": {"state": "stopped", **_kept(told.get(one.source))}}
        for one in made.connected()
    ]


def _kept(told: Any) -> dict[str, Any]:
    return {} if told is None else {"heard_at": told.heard_at, "last_at": told.last_at}


def _table(found: list[dict[str, Any]], *, serves: bool) -> Table:
    table = Table("source", "state", "lag", "last fact", "facts", "dropped", "errors", "gaps", "calls left",
                  box=None, pad_edge=False)  # fmt: skip
    for one in found:
        state = one["state"]
        table.add_row(
            one["source"],
            state.get("state", "starting" if serves else "stopped"),
            f"{state['lag_seconds']:.1f} s" if state.get("lag_seconds") else "",
            _ago(state.get("last_at", 0)),
            f"{state.get('facts', 0):,}",
            f"{sum(state.get('dropped', {}).values()):,}",
            f"{state.get('errors', 0):,}",
            f"{state.get('gaps', 0):,}",
            ", ".join(f"{name} {left['left']:,}" for name, left in state.get("budgets", {}).items()),
        )
    return table


def _gives(given: list[dict[str, Any]]) -> str:
    """Signals by how complete they are."""
    by: dict[str, list[str]] = {}
    for one in given:
        by.setdefault(one["completeness"], []).append(one["signal"])
    return "; ".join(f"{how}: {' '.join(signals)}" for how, signals in by.items())


def _ago(at: int) -> str:
    if not at:
        return "never"
    seconds = max(0, time.time() - at / 1000)
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


@click.command()
@click.argument("source")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_data
def disconnect(source: str, yes: bool, data: str | None) -> None:
    """Disconnect SOURCE (bluesky:shop.example) and forget its secrets; what it told stays."""
    from plait.reach import reach

    if not yes and sys.stdin.isatty():
        click.confirm(f"Disconnect {source}?", abort=True)
    with reach(load(data)) as api:
        click.echo(json.dumps(api.ask("DELETE", f"/v1/sources/{quote(source, safe=':')}")))


def as_markdown(statement: Statement) -> str:
    """A statement as a section of ``docs/reference/connectors.md``."""
    lines = [f"## {statement.title}", "", f"`plait connect {statement.network}`", ""]
    lines += ["| signal | how complete | taken back | how |", "|---|---|---|---|"]
    lines += [
        f"| `{one.signal.value}` | {one.completeness} | {one.undo} | {one.how} |" for one in statement.gives
    ]
    for title, told in (
        ("Not seen", statement.not_seen), ("Rights", statement.rights), ("Rules", statement.rules),
    ):  # fmt: skip
        if told:
            lines += ["", f"**{title}:** " + " · ".join(told)]
    limits = (f"{name} {one.calls:,} calls in {one.seconds:,} s" for name, one in statement.limits.items())
    lines += ["", "**Limits:** " + " · ".join(limits)]
    needs = (f"`{one.name}` ({one.title})" for one in statement.needs)
    lines += ["", "**Credentials:** " + " · ".join(needs)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    for _name in networks():
        click.echo(as_markdown(connector_of(_name).statement))
