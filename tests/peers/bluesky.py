"""The official Bluesky servers (PLC, PDS, AppView) with a PostgreSQL and a Redis of their own, and accounts on them."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.peers.setup import ATPROTO, node, postgres
from tests.peers.waits import free_port

OUTSIDE = "plait.no-such-shop.com"
STARTS_WITHIN = 180.0  # seconds, on a busy machine


@dataclass
class Network:
    """Running servers: ``plc``, ``pds`` and ``appview`` are their URLs.

    To them ``https://plait.no-such-shop.com`` is on this machine, for whoever has ``certificate`` (with its key in one file).
    """

    plc: str = ""
    pds: str = ""
    appview: str = ""
    settle_url: str = ""
    certificate: Path = Path()
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=120, trust_env=False))
    _running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self) -> Network:
        self._folder = Path(tempfile.mkdtemp(prefix="plait-bluesky-"))
        self._folder.chmod(0o755)
        try:
            self.certificate = _certificate(self._folder / "outside.pem", OUTSIDE)
            database, redis = self._postgres(), self._redis()
            self._servers(database, redis)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        for process in reversed(self._running):
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def settle(self) -> None:
        """Wait until the AppView has read all that the PDS told."""
        answer = self.http.get(self.settle_url, timeout=400)
        assert answer.status_code == 200, answer.text

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """A question to the AppView, which is the judge of what holds."""
        answer = self.http.get(f"{self.appview}/xrpc/{method}", params=params)
        assert answer.status_code == 200, f"{method}: {answer.text}"
        return answer.json()

    def every(self, method: str, of: str, **params: Any) -> list[dict[str, Any]]:
        """All pages of a list."""
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            told = self.ask(method, limit=100, **params, **({"cursor": cursor} if cursor else {}))
            found += told[of]
            cursor = told.get("cursor")
            if not cursor:
                return found

    def account(self, name: str) -> Person:
        """A new account; ``name`` is letters and digits."""
        password = f"password of {name}"
        answer = self.http.post(
            f"{self.pds}/xrpc/com.atproto.server.createAccount",
            json={"handle": f"{name}.test", "email": f"{name}@shop.example", "password": password},
        )
        assert answer.status_code == 200, answer.text
        told = answer.json()
        return Person(self, told["did"], f"{name}.test", password, told["accessJwt"])

    # -- what they run on ------------------------------------------------------------------------------------

    def _postgres(self) -> str:
        folder, port, owner = self._folder / "postgres", free_port(), _nobody()
        folder.mkdir(mode=0o700)
        if owner:
            os.chown(folder, owner, -1)
        bin_folder = postgres()
        assert bin_folder is not None, "PostgreSQL is missing: run tests/peers/setup.py"
        common = {"user": owner, "cwd": "/", "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        made = subprocess.run(
            [bin_folder / "initdb", "-D", folder, "-U", "plait", "-A", "trust", "--no-sync", "-E", "UTF8"],
            **common,
        )
        assert made.returncode == 0, made.stderr.decode()
        words = (self._folder / "postgres.log").open("wb")
        self._run(
            # Nothing here must survive a power cut.
            [bin_folder / "postgres", "-D", folder, "-p", str(port), "-k", folder, "-h", "127.0.0.1",
             "-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "max_connections=200"],
            user=owner, cwd="/", stdout=words, stderr=words,
        )  # fmt: skip
        _wait_for(port, self._folder / "postgres.log")
        return f"postgresql://plait@127.0.0.1:{port}/postgres"

    def _redis(self) -> str:
        port = free_port()
        words = (self._folder / "redis.log").open("wb")
        self._run(
            ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
            cwd=self._folder, stdout=words, stderr=words,
        )  # fmt: skip
        _wait_for(port, self._folder / "redis.log")
        return f"127.0.0.1:{port}"

    def _servers(self, database: str, redis: str) -> None:
        words = (self._folder / "servers.log").open("wb")
        env = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        process = self._run(
            [node(), ATPROTO / "network.mjs"],
            cwd=ATPROTO, stdout=subprocess.PIPE, stderr=words,
            env=env | {
                "DB_POSTGRES_URL": database, "DB_POSTGRES_SCHEMA": "plait", "REDIS_HOST": redis,
                "LOG_ENABLED": "false", "NODE_EXTRA_CA_CERTS": str(self.certificate), "TMPDIR": str(self._folder), "NODE_ENV": "development",
            },
        )  # fmt: skip
        began = time.monotonic()
        assert process.stdout is not None
        for line in process.stdout:
            with suppress(ValueError, KeyError, TypeError):
                told = json.loads(line)
                self.plc, self.pds, self.appview = told["plc"], told["pds"], told["appview"]
                self.settle_url = told["settle"]
                break
            assert time.monotonic() - began < STARTS_WITHIN
        assert self.pds, f"the servers did not start: {(self._folder / 'servers.log').read_text()[-3000:]}"

    def _run(self, command: list[Any], **more: Any) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(command, **more)
        self._running.append(process)
        return process


@dataclass
class Person:
    """Somebody with an account: what they do goes to the real PDS."""

    network: Network
    did: str
    handle: str
    password: str
    token: str

    def call(self, method: str, **body: Any) -> dict[str, Any]:
        """One procedure of the PDS."""
        answer = self.network.http.post(
            f"{self.network.pds}/xrpc/{method}", json=body, headers={"authorization": f"Bearer {self.token}"}
        )
        assert answer.status_code == 200, f"{method}: {answer.text}"
        return answer.json() if answer.content else {}

    def create(self, collection: str, record: dict[str, Any]) -> dict[str, str]:
        """``{"uri", "cid"}`` of a new record."""
        told = self.call(
            "com.atproto.repo.createRecord", repo=self.did, collection=collection,
            record={"$type": collection, "createdAt": stamp(), **record},
        )  # fmt: skip
        return {"uri": told["uri"], "cid": told["cid"]}

    def delete(self, ref: dict[str, str]) -> None:
        """Take back what ``create`` made."""
        _, _, repo, collection, rkey = ref["uri"].split("/")
        self.call("com.atproto.repo.deleteRecord", repo=repo, collection=collection, rkey=rkey)

    def post(self, text: str, **more: Any) -> dict[str, str]:
        return self.create("app.bsky.feed.post", {"text": text, **more})

    def reply(self, to: dict[str, str], text: str, root: dict[str, str] | None = None) -> dict[str, str]:
        return self.post(text, reply={"root": root or to, "parent": to})

    def quote(self, of: dict[str, str], text: str) -> dict[str, str]:
        return self.post(text, embed={"$type": "app.bsky.embed.record", "record": of})

    def like(self, what: dict[str, str]) -> dict[str, str]:
        return self.create("app.bsky.feed.like", {"subject": what})

    def repost(self, what: dict[str, str]) -> dict[str, str]:
        return self.create("app.bsky.feed.repost", {"subject": what})

    def follow(self, whom: str) -> dict[str, str]:
        return self.create("app.bsky.graph.follow", {"subject": whom})

    def leave(self) -> None:
        """Delete the account."""
        answer = self.network.http.post(
            f"{self.network.pds}/xrpc/com.atproto.admin.deleteAccount",
            json={"did": self.did}, auth=("admin", "admin-pass"),
        )  # fmt: skip
        assert answer.status_code == 200, answer.text


def stamp() -> str:
    """Now, as records write it."""
    now = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}Z"


def _certificate(path: Path, name: str) -> Path:
    """A certificate for a name and its key, in one file; signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    who, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), datetime.now(UTC)
    made = (
        x509.CertificateBuilder(who, who, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(made.public_bytes(pem) + secret)
    return path


def _nobody() -> int | None:
    """PostgreSQL does not run as root."""
    if os.geteuid() != 0:
        return None
    return pwd.getpwnam("postgres").pw_uid


def _wait_for(port: int, words: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError(f"{words.name}: {words.read_text()[-2000:]}")
