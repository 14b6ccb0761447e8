"""A connector in a process of its own, its pages appended to a file: the smallest driver there is. It can be killed.

python -m tests.peers.pumped FILE JSON
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import msgspec
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from plait.connectors import Account, Answer, Ask, Frame, Next, Open, Page, Steps, connector_of


def pump(steps: Steps, account: Account, headers: dict[str, str], keep: Any) -> None:
    """Run steps; what they ask for is asked of the network itself."""
    line: Any = None
    answer: Any = None
    with httpx.Client(timeout=60, trust_env=False) as http:
        while True:
            try:
                step = steps.send(answer)
            except StopIteration:
                return
            answer = None
            if isinstance(step, Ask):
                answer = ask(http, step, account, headers)
            elif isinstance(step, Open):
                url = step.url + "".join(
                    f"{'&' if number else '?'}{name}={value}"
                    for number, (name, value) in enumerate(
                        (name, one) for name, more in step.params.items() if more is not None
                        for one in (more if isinstance(more, list) else [more])
                    )
                )  # fmt: skip
                line = connect(url, proxy=None, max_size=8 << 20, max_queue=1024)
            elif isinstance(step, Next):
                try:
                    answer = Frame(line.recv(timeout=step.seconds))
                except TimeoutError:
                    answer = None
                except ConnectionClosed:
                    return
            elif isinstance(step, Page):
                keep(step)


def ask(http: httpx.Client, step: Ask, account: Account, headers: dict[str, str]) -> Answer:
    url = step.url if "://" in step.url else account.host + step.url
    told = http.request(
        step.method, url, json=step.body, headers={**step.headers, **(headers if step.signed else {})},
        params={name: value for name, value in step.params.items() if value is not None},
    )  # fmt: skip
    return Answer(told.status_code, dict(told.headers), told.content)


def pages(file: Path) -> list[Page]:
    """What was kept: whole lines only, as after a kill the last may be half one."""
    if not file.exists():
        return []
    return [msgspec.json.decode(one, type=Page) for one in file.read_bytes().split(b"\n")[:-1]]


def main(argv: list[str]) -> int:
    file, told = Path(argv[0]), json.loads(argv[1])
    account = msgspec.convert(told["account"], Account)
    kept = pages(file)
    cursor = next((page.cursor for page in reversed(kept) if page.cursor), told.get("cursor"))
    raw = file.read_bytes() if file.exists() else b""
    out = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
    os.ftruncate(out, raw.rfind(b"\n") + 1)
    os.lseek(out, 0, os.SEEK_END)

    def keep(page: Page) -> None:
        os.write(out, msgspec.json.encode(page) + b"\n")

    connector = connector_of("bluesky")(
        account, watched=lambda one: one in told["watched"], now=lambda: time.time_ns() // 1_000_000
    )
    while True:
        with suppress(OSError):
            pump(getattr(connector, told["work"])(cursor), account, told["headers"], keep)
        if told["work"] != "stream":
            return 0
        cursor = next((page.cursor for page in reversed(pages(file)) if page.cursor), cursor)
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
