"""The API as the other commands use it: the folder's running server, or one that runs just for this command."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import httpx
import msgspec

from plait.client.core import refused
from plait.errors import PlaitError, Rejected, Unavailable
from plait.serving import Serving, serving
from plait.settings import Settings
from plait.supervise import EXITS, failed

_STARTS_WITHIN = 60.0  # seconds; a cold start may have to compile kernels
_TRIES = 8


class Api:
    """Questions to one server, with the right to ask everything. Waits and tries again when told to."""

    def __init__(self, told: Serving) -> None:
        self._http = httpx.Client(
            base_url=told.url, headers={"authorization": f"Bearer {told.key}"}, timeout=600, trust_env=False
        )

    def ask(self, method: str, path: str, **more: Any) -> Any:
        """The JSON that the server answers.

        Raises:
            Rejected: the server refused; its own words.
            Unavailable: it is not able now, even after a few tries.
        """
        for tried in range(_TRIES):
            try:
                response = self._http.request(method, path, **more)
            except httpx.TransportError as exc:
                raise Unavailable(f"the server does not answer: {exc}", code="no_answer") from exc
            if response.status_code not in (429, 503) or tried == _TRIES - 1:
                break
            time.sleep(min(10, int(response.headers.get("retry-after", 1))))
        if response.status_code < 400:
            return response.json()
        raise refused(response.status_code, response.content)

    def bring(self, path: str, name: str, rows: list[Any]) -> tuple[int, list[PlaitError]]:
        """Send rows under ``name``; halves and sends again what is too large or refused whole.

        Returns:
            How many were accepted, and why the others were not.
        """
        if not rows:
            return 0, []
        try:
            told = self.ask("POST", path, json={name: rows})
        except Rejected as error:
            if len(rows) == 1:
                return 0, [error]
            half = len(rows) // 2
            first, second = self.bring(path, name, rows[:half]), self.bring(path, name, rows[half:])
            return first[0] + second[0], first[1] + second[1]
        refused: list[PlaitError] = [
            Rejected(one["message"], code=one["code"], field=one.get("field"))
            for one in told.get("refused", [])
        ]
        return len(rows) - len(refused), refused

    def settle(self) -> None:
        """Wait until the state holds everything that stands in the log now."""
        last = self.ask("GET", "/v1/status")["log"]["position"]
        while self.ask("GET", "/v1/status")["fold"]["position"] < last:
            time.sleep(0.05)

    def close(self) -> None:
        """Let go of the connection."""
        self._http.close()


@contextmanager
def reach(settings: Settings) -> Iterator[Api]:
    """The server of a data folder; started, and stopped again, when none is running.

    Raises:
        Rejected, Unavailable, Corrupt: it cannot be started; its own words.
    """
    told = serving(Path(settings.data))
    if told is not None:
        api = Api(told)
        try:
            yield api
        finally:
            api.close()
        return
    with _started(settings) as told:
        api = Api(told)
        try:
            api.settle()  # what an earlier command brought in shows in this one
            yield api
            api.settle()
        finally:
            api.close()


@contextmanager
def _started(settings: Settings) -> Iterator[Serving]:
    own = msgspec.structs.replace(
        settings, host="127.0.0.1", port=0, log_level="error", fit_every_minutes=0.0
    )
    # A child that leaves with us, even if we are killed: one that stayed would hold the folder, and nobody would know who it is.
    with TemporaryFile() as words:
        process = subprocess.Popen(
            [sys.executable, "-m", "plait.supervise", "serve"],
            stdin=subprocess.PIPE,
            stdout=words,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert process.stdin is not None
        try:
            with suppress(BrokenPipeError):  # it is dead already, and is found to be
                process.stdin.write(msgspec.json.encode(own) + b"\n")
                process.stdin.flush()
            yield _waited_for(process, Path(settings.data), words)
        finally:
            process.terminate()
            process.wait()
            with suppress(BrokenPipeError):
                process.stdin.close()


def _waited_for(process: subprocess.Popen[bytes], data: Path, words: IO[bytes]) -> Serving:
    until = time.monotonic() + _STARTS_WITHIN
    while time.monotonic() < until:
        told = serving(data)
        if told is not None:
            if _is_ready(told):
                return told
        elif process.poll() is not None:
            words.seek(0)
            why = failed("serve", process.returncode, words.read())
            kind = next((one for one, number in EXITS if number == process.returncode), Unavailable)
            raise kind(why.message, code=why.code)
        time.sleep(0.02)
    raise Unavailable(f"the server did not start within {_STARTS_WITHIN:g} s", code="not_started")


def _is_ready(told: Serving) -> bool:
    try:
        return httpx.get(f"{told.url}/health/ready", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False
