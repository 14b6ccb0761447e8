"""``plait demo``: a shop, its visitors of the last weeks, and a page that shows what Plait makes of them.

It is ``plait serve`` with the shop's pages beside the API. What the made-up visitors did goes through the HTTP API, as
any shop's data would; a second start on the same folder finds it there.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
import webbrowser
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from starlette.routing import BaseRoute

from plait.demo.crowd import Crowd
from plait.demo.shelf import Shelf, items, shelf, slug
from plait.demo.shop import Shop
from plait.demo.social import SocialDay
from plait.demo.visitors import Visitor, story, visitors
from plait.errors import PlaitError
from plait.http import Installation
from plait.logs import configure
from plait.reach import Api
from plait.serve import serve
from plait.serving import Serving
from plait.settings import load

PEOPLE = 3_000
SEED = 7
FOLDER = "demo-data"
_DONE = "demo.json"  # stands in the data folder once everything is in
_DAY = "social-day"  # beside it: the name of the latest playing of the day on Bluesky
_PATIENCE = 40.0  # seconds from the first shelf to the first page, whatever the machine does besides
_BATCH = 250  # calls a request: about 100 KB
PLACEMENTS = [
    {
        "id": "home.hero",
        "title": "First of all",
        "n": 1,
        "kinds": ["product"],
        "where": "available and price >= 100",
    },
    {"id": "home.grid", "title": "Chosen for you", "n": 12, "kinds": ["product"]},
    {"id": "home.promotion", "title": "This week", "n": 1, "kinds": ["promotion"]},
    {"id": "home.posts", "title": "From our networks", "n": 3, "kinds": ["post"]},
    {"id": "home.journal", "title": "From the journal", "n": 3, "kinds": ["article"]},
    {"id": "item.related", "title": "Goes with it", "n": 4, "kinds": ["product"], "related": True},
    {"id": "bag.related", "title": "Goes with what you chose", "n": 4, "kinds": ["product"], "related": True},
]
AUDIENCES = {
    "shelter-seekers": "count('view', 'shelter') >= 2 and not bought('shelter')",
    "follow-us": "count('follow') > 0",
    "regulars": "count('purchase') > 1",
}

_say = Console(stderr=True, highlight=False)


def placements(stock: Shelf) -> list[dict[str, Any]]:
    """The shop's slots; each department has one of its own."""
    found = list(PLACEMENTS)
    for name in stock.departments:
        where = f"'{name.lower()}' in topics and available"
        found.append(
            {"id": f"shelf.{slug(name)}", "title": name, "n": 4, "kinds": ["product"], "where": where}
        )
    return found


def run(
    data: str | None, host: str, port: int, open_browser: bool, *, people: int = PEOPLE, lively: bool = True
) -> None:
    """Serve the demo until SIGTERM or Ctrl-C.

    Args:
        data: the data folder; ``demo-data`` here when ``None``.
        host: address to listen on.
        port: port to listen on; 0 takes a free one.
        open_browser: whether to open the page when it is ready.
        people: how many visitors to make up, besides the guests.
        lively: whether visitors go on coming while the demo is open.
    """
    settings = load(data or FOLDER, overrides={"host": host, "port": port, "log_level": "warning"})
    configure(settings.log_level)
    crowd = visitors(people, seed=SEED)
    shops: list[Shop] = []

    def more(here: Installation) -> Sequence[BaseRoute]:
        shops.append(Shop(here.keys, crowd))
        return shops[0].routes

    def started(url: str, here: Installation) -> None:
        shops[0].opened(url)
        # The loop serves while this thread sends; it ends with the process.
        threading.Thread(
            target=_open, args=(url, here, crowd, open_browser, shops[0], lively), daemon=True
        ).start()

    uvloop.run(serve(settings, more=more, started=started))


def _open(
    url: str, here: Installation, crowd: list[Visitor], open_browser: bool, shop: Shop, lively: bool
) -> None:
    data = Path(here.settings.data)
    try:
        if (data / _DONE).exists():
            # Another version may have stood here; and offers begin anew, or the shop would run out of them.
            _shelve(Api(Serving(pid=0, url=url, key=here.keys.secret)), shelf(), here.now())
        else:
            fill(url, write=here.keys.write, secret=here.keys.secret, crowd=crowd, now=here.now())
            (data / _DONE).write_text(json.dumps({"seed": SEED, "people": len(crowd)}))
    except PlaitError as error:
        _say.print(f"the demo could not be set up: {error.message}")
        here.stop()
        return
    _say.print(f"\n  The shop is open:  [bold]{url}[/]\n  Its data:          {data}\n  Ctrl-C closes it.\n")
    shop.day = SocialDay(Api(Serving(pid=0, url=url, key=here.keys.secret)), kept=data / _DAY)
    if lively:
        site = Api(Serving(pid=0, url=url, key=here.keys.write))
        shop.crowd = Crowd(site, shelf(), crowd, seed=here.now())
        shop.crowd.start()
        shop.day.start()
    if open_browser:
        webbrowser.open(url)


def fill(url: str, *, write: str, secret: str, crowd: list[Visitor], now: int) -> None:
    """Bring catalog, visits and what happened on the networks into an installation, and fit a model.

    On a slow machine the fit goes on when this returns; until it is done pages are chosen by what items are about.

    Raises:
        PlaitError: the server refused something or does not answer.
    """
    until = time.monotonic() + _PATIENCE
    stock = shelf()
    owner = Api(Serving(pid=0, url=url, key=secret))
    site = Api(Serving(pid=0, url=url, key=write))
    columns = (TextColumn("{task.description:<38}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=_say, disable=not _say.is_terminal) as bars:
        shelving = bars.add_task("Filling the shelves", total=1)
        _shelve(owner, stock, now)
        bars.advance(shelving)
        told = story(stock, crowd, seed=SEED, now=now)
        _send(bars, site, "/v1/batch", "batch", told.calls, f"{len(crowd):,} visitors come and go")
        _send(bars, owner, "/v1/events", "events", told.social, "They like, share and comment")
        folding = bars.add_task("Profiles take shape", total=None)
        while owner.ask("GET", "/v1/status")["fold"]["lag_records"]:
            time.sleep(0.05)
        bars.update(folding, total=1, completed=1)
        fitting = bars.add_task("A model is learned", total=None)
        with contextlib.suppress(TimeoutError):
            _beside(lambda: owner.ask("POST", "/v1/fit")).result(timeout=max(1.0, until - time.monotonic()))
        bars.update(fitting, total=1, completed=1)
    site.close()


def _shelve(owner: Api, stock: Shelf, now: int) -> None:
    for id, where in AUDIENCES.items():
        owner.ask("PUT", f"/v1/audiences/{id}", json={"where": where})
    owner.ask("POST", "/v1/items", json={"items": items(stock, now=now)})
    owner.ask("POST", "/v1/placements", json={"placements": placements(stock)})


def _beside(work: Callable[[], Any]) -> Future[Any]:
    """``work`` in a thread that does not keep the process from ending."""
    told: Future[Any] = Future()

    def run() -> None:
        try:
            told.set_result(work())
        except BaseException as error:
            told.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return told


def _send(bars: Progress, api: Api, path: str, name: str, rows: list[dict[str, Any]], what: str) -> None:
    bar = bars.add_task(what, total=len(rows))
    for start in range(0, len(rows), _BATCH):
        batch = rows[start : start + _BATCH]
        api.ask("POST", path, json={name: batch})
        bars.advance(bar, len(batch))
