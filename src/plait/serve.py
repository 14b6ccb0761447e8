"""A running installation: everything put together in order, and taken apart in reverse.

``running`` is the whole of it but the network: the log, the fold in a process of its own, the catalog, consents
and the model in memory, and the tasks that keep them fresh. ``serve`` adds the network.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import structlog
import uvicorn
from starlette.routing import BaseRoute

from plait.catalog import Catalog
from plait.driver.sources import Sources
from plait.errors import Corrupt, PlaitError, Unavailable
from plait.events import decode_record, is_network
from plait.fetch import Fetcher
from plait.http import Installation, Metrics
from plait.http.app import App
from plait.http.circles import keep_circles
from plait.http.protocol import Protocol
from plait.intake.signals import load_signals
from plait.keys import FILE as KEYS_FILE
from plait.keys import Keys, load_keys
from plait.lake import open_lake
from plait.log import Log, open_log
from plait.log.commit import Committer
from plait.models.clock import FitClock
from plait.profiles.consent import ConsentDoor
from plait.serving import FILE, Serving
from plait.settings import Settings
from plait.store import Store, open_store
from plait.supervise import Child, blocks, once
from plait.workers import UNLEARN, compact_erased, pending_erasures, redact_erased

_log = structlog.get_logger()

_DRAIN = 10  # seconds that answers under way get when the server stops
_CLOCKS_DIFFER = 60_000  # ms that the clock may be behind the newest record before it is told
_SWEEP = 15.0  # seconds between two looks for deliveries that are too old
_UNLEARN_AFTER = 30.0  # seconds after an erasure when the model is learned anew without the person


@asynccontextmanager
async def running(
    settings: Settings, *, stop: Callable[[], None] = lambda: None
) -> AsyncIterator[Installation]:
    """An installation that answers, its children and tasks running; all ended on leaving.

    Raises:
        Unavailable: another server works on the folder, or it cannot be used.
        Rejected, Corrupt: the settings or the data are wrong.
    """
    _make(Path(settings.data))
    log = open_log(settings.url("log"), write=True)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(log.close)
        # Made here, so that readers find it; from now on only the fold writes to it.
        open_store(settings.url("store"), write=True).close()
        keys, metrics = load_keys(settings), Metrics()
        # It takes as long to start as all that follows here, so it starts meanwhile.
        fold = Child("fold", settings, restarted=metrics.restarts.labels("fold").inc)
        await fold.start()
        stack.push_async_callback(fold.stop)
        store = open_store(settings.url("store"))
        stack.callback(store.close)
        with closing(store.snapshot()) as snapshot:
            catalog = Catalog.load(snapshot)
            door = ConsentDoor(settings, keys.pepper).load(snapshot, settings)
            folded = snapshot.position
        committer, sources = Committer(log), Sources(settings)
        stack.push_async_callback(committer.close)
        here = Installation(
            settings=settings, keys=keys, log=log, committer=committer, store=store,
            catalog=catalog, door=door, signals=load_signals(settings.data), metrics=metrics,
            stop=stop, fit_work=lambda: once("fit", settings),
            refit_work=lambda: once("refit", settings), forget_work=lambda: once("forget", settings),
            count_work=lambda asked: once("count", settings, asked),
            members_work=lambda asked: blocks("members", settings, asked), redact_work=_redaction(settings, log, store, door), sources=sources,
            fetcher=Fetcher(private=settings.private_hosts),
        )  # fmt: skip
        here.keys = _with_run_key(here.keys, here.run_key)
        _catch_up(here, folded)
        here.take_model()
        steady()
        tasks = [
            asyncio.create_task(work)
            for work in (
                fold.run(here.follows),
                _watch(here),
                _fit_on_clock(here),
                _forget(here),
                _unlearn(here),
                _drive(here, sources),
                _sweep(sources),
                keep_circles(here),
            )
        ]
        try:
            yield here
        finally:
            here.ready, here.stopping = False, True
            await fold.stop()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def steady() -> None:
    """Let the garbage collector pass over all that is there now, and come less often.

    A large catalog is a million objects that are there to stay; to look at each takes a tenth of a second, in which
    somebody waits for a page. An answer makes hardly anything that the collector has to find.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)


def _make(data: Path) -> None:
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as exc:
        raise Unavailable(
            f"the data folder {data} cannot be made: {exc.strerror}; choose another with --data",
            code="data_not_writable",
        ) from exc


def _catch_up(here: Installation, folded: int) -> None:
    """Take into memory what stands in the log and not yet in the state."""
    newest = 0
    for position, raw in here.log.scan(max(0, min(folded, here.log.last - 1))):
        record = decode_record(raw, position)
        newest = max(newest, record.received_at)
        if position > folded:
            try:
                here.take_in(record)
            except Corrupt as error:  # the fold sets it aside and tells; to refuse to start would help nobody
                _log.error("record_not_taken_in", position=position, code=error.code)
    behind = newest - here.clock()
    if behind > _CLOCKS_DIFFER:
        _log.warning(
            "clock_behind_the_log",
            seconds=behind // 1_000,
            advice="set it: what comes in is dated like the newest record",
        )
    here.not_before(newest)


async def _watch(here: Installation) -> None:
    """Keep what changes outside of the event loop in sight: the fold's position, the keys' file."""
    path = Path(here.settings.data) / KEYS_FILE
    changed, looked = _written(path), time.monotonic()
    while True:
        with _carried_on("watch"):
            here.tell_lag()
            if time.monotonic() - looked > 1:
                looked = time.monotonic()
                if (now := _written(path)) != changed:
                    changed = now
                    _reload_keys(here)
        await asyncio.sleep(0.05)


@contextmanager
def _carried_on(work: str) -> Iterator[None]:
    """What fails is told and tried again next time: a task that ended would not be missed for days."""
    try:
        yield
    except PlaitError as error:
        _log.error(f"{work}_failed", code=error.code, message=error.message)
    except Exception:
        _log.exception(f"{work}_failed")


def _written(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_mtime_ns
    return 0


def _reload_keys(here: Installation) -> None:
    try:
        here.keys = _with_run_key(load_keys(here.settings), here.run_key)
        _log.info("keys_reloaded")
    except PlaitError as error:
        _log.error("keys_not_reloaded", code=error.code, message=error.message)


def _with_run_key(keys: Keys, run_key: str) -> Keys:
    return msgspec.structs.replace(keys, old_secret=(*keys.old_secret, run_key))


async def _fit_on_clock(here: Installation) -> None:
    """Fit when the model is old, and while there is little data whenever the log has doubled; learn rows anew in between."""
    clock = FitClock(here.settings, position=here.fitted_to(), now=time.monotonic())
    while True:
        await asyncio.sleep(1)
        due = clock.due(here.log.last, now=time.monotonic())
        if due:
            with _carried_on(due):
                await (here.fit() if due == "fit" else here.refit())
            clock.done(due, now=time.monotonic())


async def _drive(here: Installation, sources: Sources) -> None:
    """Keep the driver running while there is any account to drive; it finds out itself which those are."""
    child: Child | None = None
    run: asyncio.Task[None] | None = None
    try:
        while True:
            with _carried_on("driver"):
                sources.changed.clear()
                wanted = bool(await asyncio.to_thread(sources.connected))
                if wanted and child is None:
                    child = Child("drive", here.settings, restarted=here.metrics.restarts.labels("drive").inc)
                    run = asyncio.create_task(child.run())
                elif not wanted and child is not None:
                    await child.stop()
                    child = None
            await sources.changed.wait()
    finally:
        if child is not None:
            await child.stop()
        if run is not None:
            await asyncio.gather(run, return_exceptions=True)


async def _sweep(sources: Sources) -> None:
    """Delete deliveries that are too old."""
    while True:
        with _carried_on("deliveries"):
            await sources.hooks.sweep()
        await asyncio.sleep(_SWEEP)


async def _unlearn(here: Installation) -> None:
    """Learn the model anew some time after somebody was erased, once for all of that time."""
    while True:
        await asyncio.sleep(1)
        with _carried_on("unlearning"):
            await unlearn_erased(here, now=time.time())


async def unlearn_erased(here: Installation, *, now: float, after: float = _UNLEARN_AFTER) -> bool:
    """Learn the model anew if somebody was erased ``after`` seconds ago; whether it was done.

    The note of it goes first and comes back if the work fails: who is erased meanwhile leaves a note of their own.
    """
    note = Path(here.settings.data) / UNLEARN
    try:
        if now - note.stat().st_mtime < after:
            return False
    except FileNotFoundError:
        return False
    note.unlink()
    if here.model is None:
        return False
    try:
        await here.unlearn()
    except BaseException:
        note.touch()
        raise
    return True


async def _forget(here: Installation) -> None:
    """Take erased people out of log and lake as soon as the fold has taken the erasure in; old copies later."""
    while True:
        done = False
        with _carried_on("redaction"):
            await here.redact()
            await asyncio.to_thread(compact_erased, here.log, here.settings, now=time.time())
            done = True
        await asyncio.sleep(0.5 if done else 5)


def _redaction(settings: Settings, log: Log, store: Store, door: ConsentDoor) -> Callable[[], list[str]]:
    """What takes the erased out of log and lake; says who they are, and whose acts on networks are others than they were.

    Runs in a thread, one at a time.
    """
    once_at_a_time = threading.Lock()

    def work() -> list[str]:
        with once_at_a_time, closing(store.snapshot()) as snapshot:
            pending = pending_erasures(snapshot)
            if not pending:
                return []
            for _, erasure in pending:
                door.forget(erasure.who, erasure.cutoff)
            with closing(open_lake(settings.url("lake"))) as lake:
                redact_erased(log, lake, snapshot, settings)
            return [
                one for _, erasure in pending for one in (*erasure.who, *filter(is_network, erasure.others))
            ]

    return work


# The network.


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine on uvloop, where there is one."""
    try:
        import uvloop
    except ImportError:  # pragma: no cover - Windows
        asyncio.run(work)
        return
    uvloop.run(work)


async def serve(
    settings: Settings,
    *,
    more: Callable[[Installation], Sequence[BaseRoute]] = lambda _: (),
    started: Callable[[str, Installation], None] = lambda _url, _here: None,
) -> None:
    """Answer on ``settings.host`` and ``settings.port`` until SIGTERM or Ctrl-C; then finish what is under way.

    Args:
        settings: of the installation.
        more: open routes to add, such as the demo's pages.
        started: called once with the base URL, when questions are answered.
    """
    server: _Server | None = None

    def stop() -> None:
        if server is not None:
            server.should_exit = True

    with _listening(settings) as sock:
        async with running(settings, stop=stop) as here:
            server = _Server(config(App(here, more=more(here))))
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, stop)
            url = _url(settings.host, sock)
            with _told(settings, url, here):
                _log.info("serving", url=url, data=settings.data, pid=os.getpid())
                here.ready = True  # the socket listens already: who asks now is answered in a moment
                started(url, here)
                await server.serve(sockets=[sock])
                here.ready = False
    _log.info("stopped")


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: they raise the signal again before the log is closed in order."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def config(app: Any) -> uvicorn.Config:
    """How uvicorn serves an application."""
    return uvicorn.Config(
        app, loop="none", http=Protocol, ws="none", lifespan="off", log_config=None, access_log=False,
        server_header=False, proxy_headers=False, timeout_keep_alive=75, timeout_graceful_shutdown=_DRAIN,
        log_level=logging.ERROR,  # what clients do wrong they are told; anybody could fill a disk with lines of it
    )  # fmt: skip


@contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    """A socket that listens, so that port 0 is known before anything is told about it."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        sock = socket.create_server(
            (settings.host, settings.port), family=family, backlog=2_048, dualstack_ipv6=False
        )
    except (OSError, OverflowError) as exc:
        number = getattr(exc, "errno", None) or 0
        if number < 0:  # of the resolver
            raise Unavailable(
                f"there is no address {settings.host!r} on this machine; choose another with --host",
                code="host_not_found",
                field="host",
            ) from exc
        why = os.strerror(number) if number > 0 else exc
        raise Unavailable(
            f"cannot listen on {settings.host} port {settings.port}: {why}; choose another with --port",
            code="port_in_use",
            field="port",
        ) from exc
    with sock:
        yield sock


def _url(host: str, sock: socket.socket) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{host}:{sock.getsockname()[1]}"


@contextmanager
def _told(settings: Settings, url: str, here: Installation) -> Iterator[None]:
    path = Path(settings.data) / FILE
    told = Serving(
        pid=os.getpid(), url=url, key=here.run_key, own_keys=bool(settings.write_key or settings.secret_key)
    )
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(msgspec.json.encode(told))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
