"""Renewing a session: proofs that go with it, one process at a time, and to its end."""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64decode
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from tests.fakes.connectors.fakenet import Connector
from tests.fakes.network import FakeNetwork

from plait.accounts import Accounts
from plait.connectors import Account, Ask
from plait.dpop import Proofs, bound, new_key
from plait.driver.line import Line
from plait.fetch import Fetcher

KEY = new_key()
URL = "https://pds.example/xrpc/x?cursor=1#here"


def read(proof: dict[str, str]) -> Any:
    return jwt.decode(proof["dpop"], ECKey.import_key(msgspec.json.decode(KEY)), algorithms=["ES256"])


def test_a_proof_is_for_one_request_one_token_and_one_moment():
    told = read(Proofs().header(KEY, "GET", URL, now=1_790_000_000.7, token="at"))

    assert told.header["typ"] == "dpop+jwt"
    assert "d" not in told.header["jwk"]  # the private half stays here
    assert (told.claims["htm"], told.claims["htu"]) == ("GET", "https://pds.example/xrpc/x")
    assert told.claims["iat"] == 1_790_000_000
    assert urlsafe_b64decode(told.claims["ath"] + "=") == sha256(b"at").digest()


def test_no_proof_is_made_twice():
    proofs = Proofs()

    made = {read(proofs.header(KEY, "GET", URL, now=0)).claims["jti"] for _ in range(50)}

    assert len(made) == 50


def test_a_nonce_goes_to_the_server_that_told_it():
    proofs = Proofs()
    wanted = proofs.hear(URL, 400, {"dpop-nonce": "n1"}, b'{"error": "use_dpop_nonce"}')

    assert wanted
    assert read(proofs.header(KEY, "GET", URL, now=0)).claims["nonce"] == "n1"
    assert "nonce" not in read(proofs.header(KEY, "GET", "https://other.example/", now=0)).claims


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [(200, {"dpop-nonce": "n"}, b""), (400, {}, b"use_dpop_nonce"), (401, {"dpop-nonce": "n"}, b""), (400, {"dpop-nonce": "n" * 2_000}, b"use_dpop_nonce")],
)  # fmt: skip
def test_what_was_not_refused_for_want_of_a_nonce_is_not_asked_again(status, headers, body):
    assert not Proofs().hear(URL, status, headers, body)


def test_only_a_token_that_is_bound_is_proven():
    assert bound({"authorization": "DPoP at"}) == "at"
    assert bound({"authorization": "Bearer at"}) == ""


@pytest.fixture
def network() -> Iterator[FakeNetwork]:
    with FakeNetwork() as one:
        yield one


def test_a_request_is_asked_again_with_the_nonce_that_the_server_wants(network: FakeNetwork):
    seen: list[Any] = []

    def wants(request: Request) -> Response | None:
        seen.append(read({"dpop": request.headers["dpop"]}).claims.get("nonce"))
        head = {"dpop-nonce": "n1"}
        return JSONResponse({"error": "use_dpop_nonce"}, 400, head) if len(seen) == 1 else JSONResponse({})

    network.faults["/plain"] = deque([wants, wants])

    async def work(line: Line) -> int:
        return (await line.ask(Ask(url="/plain", dpop=KEY, signed=False))).status

    assert on_line(network, work) == 200
    assert seen == [None, "n1"]


def on_line(network: FakeNetwork, work: Callable[[Line], Any], kept: list[Any] | None = None) -> Any:
    async def run() -> Any:
        async def renewed(secrets: Mapping[str, str]) -> None:
            await asyncio.sleep(0.2)
            if kept is not None:
                kept.append(secrets)

        account = Account(source="fakenet:shop", host=network.url)
        secrets = {"user": "shop", "password": "right"}
        line = Line(Connector, account, lambda: secrets, fetcher=Fetcher(), renewed=renewed)
        try:
            return await work(line)
        finally:
            await line.close()

    return asyncio.run(run())


def test_a_renewal_whose_account_is_stopped_still_comes_to_the_disk(network: FakeNetwork):
    kept: list[Any] = []

    async def work(line: Line) -> None:
        task = asyncio.create_task(line.session())
        while not network.sessions:  # noqa: ASYNC110 - another thread counts
            await asyncio.sleep(0.005)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    on_line(network, work, kept)

    assert len(kept) == 1


def test_one_at_a_time_renews_an_account_and_others_are_not_held_up(tmp_path: Path):
    order: list[str] = []

    async def holds(accounts: Accounts, source: str, name: str) -> None:
        async with accounts.alone(source):
            order.append(f"{name} in")
            await asyncio.sleep(0.15)
            order.append(f"{name} out")

    async def run() -> None:
        # Each with a file of its own, as two processes have.
        one, two = Accounts(tmp_path, now=0), Accounts(tmp_path, now=0)
        await asyncio.gather(
            holds(one, "a:shop", "one"), holds(two, "a:shop", "two"), holds(two, "b:shop", "other")
        )

    asyncio.run(run())

    same = [each for each in order if not each.startswith("other")]
    assert [each.split()[1] for each in same] == ["in", "out", "in", "out"]
    assert order.index("other out") < order.index(same[3])
    assert Accounts(tmp_path, now=0).all() == []  # a lock is no account
