"""Whole pages over HTTP: 100,000 items, three placements, reasons on, people with a history in the state.

``python -m bench.pages FOLDER`` is the server; it prints its port.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import msgspec
import psutil
import uvicorn
import uvloop

from bench import Line
from bench.decide import HALF_LIFE, NOW, catalog_of, model_of, profiles
from bench.servers import WRITE
from plait.profiles.subjects import verb

ITEMS = 100_000
PEOPLE = 2_000


def people_in(folder: Path) -> Any:
    """A state with the bench's people folded into it, from a log."""
    from plait.events import Record, encode_record
    from plait.intake.signals import load_signals
    from plait.log import open_log
    from plait.profiles.fold import Fold
    from plait.settings import Settings
    from plait.store import open_store

    settings = Settings(data=str(folder))
    log, store = open_log(settings.url("log"), write=True), open_store(settings.url("store"), write=True)
    for person, known in enumerate(profiles(ITEMS, PEOPLE)):
        told = [
            {
                "id": f"{person}-{number}", "signal": one.signal, "who": [name_of(person)], "at": one.at, "value": 9,
                "source": one.source, "about": {"item": one.id} | ({"section": one.section} if one.section else {}),
            }
            for number, one in enumerate(known.entries) if verb(one.signal) == one.signal  # what others did, nobody sends
        ]  # fmt: skip
        body = msgspec.json.encode(told)
        log.append(
            [encode_record(Record(kind="events", source="web", received_at=NOW, trusted=True, body=body))]
        )
    fold = Fold(store, settings, load_signals(), log=log, pepper="pepper")
    while records := log.read(fold.position, limit=1_000):
        fold.step(records)
    store.close()
    return settings, log


def name_of(person: int) -> str:
    return f"anonymous:{person:08d}-4b6a-9f5e-3d2c1b0a9f8e"


def server(folder: Path) -> Any:
    """The application, with what it needs and nothing else."""
    from plait.http import Installation, Metrics
    from plait.http.app import App
    from plait.intake.signals import load_signals
    from plait.keys import Keys
    from plait.log.commit import Committer
    from plait.profiles.consent import ConsentDoor
    from plait.store import open_store

    settings, log = people_in(folder)
    unused: Any = dict.fromkeys(
        one.name for one in fields(Installation) if one.default is one.default_factory
    )
    here = Installation(
        **unused
        | {
            "settings": settings,
            "keys": Keys(write=WRITE, secret="sk_for_the_bench", pepper="pepper"),
            "log": log,
            "committer": Committer(log),
            "store": open_store(settings.url("store")),
            "catalog": catalog_of(ITEMS),
            "door": ConsentDoor(settings, "pepper"),
            "signals": load_signals(),
            "metrics": Metrics(),
            "model": model_of(ITEMS),
            "clock": lambda: NOW,
        }
    )
    assert here.settings.half_life_days * 86_400_000 == HALF_LIFE
    return App(here)


def pages_a_second(port: int, folder: Path, *, explain: bool, seconds: float) -> float:
    bodies = folder / "bodies"
    asked = [{"id": "home.hero", "n": 1}, {"id": "home.grid", "n": 12}, {"id": "item.related", "n": 6}]
    with bodies.open("wb") as file:
        for person in range(PEOPLE):
            body = msgspec.json.encode(
                {"identifiers": [name_of(person)], "placements": asked, "explain": explain}
            )
            file.write(len(body).to_bytes(4, "big") + body)
    told = subprocess.run(
        [sys.executable, "-m", "bench.load", str(port), "/v1/personalize", str(bodies), "8", str(seconds)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return float(told.stdout)


def of_a_core(
    process: psutil.Process, port: int, folder: Path, *, explain: bool, seconds: float
) -> tuple[float, float]:
    """Pages a second of the server's own processor time, and of the clock (which the load generator shares)."""
    before = process.cpu_times()
    value = pages_a_second(port, folder, explain=explain, seconds=seconds)
    after = process.cpu_times()
    used = after.user + after.system - before.user - before.system
    return value * seconds / used, value


# The design's 2,000 pages/s a core stand beside 33,600 bare requests/s that uvicorn answers on the same core. Machines
# differ by more than that, so what is held to is the part of the floor of the same run.
OF_THE_FLOOR = 2_000 / 33_600


def measure(quick: bool) -> Iterator[Line]:
    seconds = 2.0 if quick else 8.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bare = floor(folder, seconds)
        with running([sys.executable, "-m", "bench.pages", str(folder)]) as (own, port):
            pages_a_second(port, folder, explain=True, seconds=1.0)
            for explain, words in ((True, "reasons on"), (False, "reasons off")):
                value, wall = of_a_core(own, port, folder, explain=explain, seconds=seconds)
                yield Line(
                    f"pages over HTTP, 3 placements, {words}, a second of a core", value, "/s", bar=2_000
                )
                yield Line(
                    "  the same, to uvicorn alone", value, "/s", "the floor", value / bare,
                    bar=OF_THE_FLOOR, bar_on="ratio",
                )  # fmt: skip
                yield Line("  by the clock, beside the load generator", wall, "/s")


def floor(folder: Path, seconds: float) -> float:
    """Requests a second of a core that uvicorn answers when it does nothing."""
    with running([sys.executable, "-m", "bench.servers", "floor", str(folder)]) as (own, port):
        pages_a_second(port, folder, explain=True, seconds=0.5)
        value, _ = of_a_core(own, port, folder, explain=True, seconds=seconds)
        return value


@contextmanager
def running(command: list[str]) -> Iterator[tuple[psutil.Process, int]]:
    """A server that prints its port."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield psutil.Process(process.pid), int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


def main(folder: Path) -> None:
    from plait.serve import config, steady

    app = server(folder)
    steady()
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    uvloop.run(uvicorn.Server(config(app)).serve(sockets=[listening]))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main(Path(sys.argv[1]))
