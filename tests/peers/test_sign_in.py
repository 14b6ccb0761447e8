"""Signing in with a browser, on the servers' own pages: Bluesky's official server, and two with Mastodon's API.

A session is renewed by whoever finds it over, one process at a time, and the holder of the account can end it.
"""

from __future__ import annotations

import asyncio
import html
import os
import re
import shutil
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from tests.conftest import Server
from tests.peers.bluesky import OUTSIDE, Network, Person
from tests.peers.fediverse import Snac, until
from tests.peers.product import kill, state_of
from tests.peers.test_mastodon_mock import url  # noqa: F401 - a fixture

from plait.accounts import Accounts
from plait.connectors import Account, Ask, connector_of
from plait.driver.line import Line, at_rest
from plait.errors import Rejected
from plait.events import decode_record
from plait.fetch import Fetcher
from plait.log import open_log

pytestmark = [pytest.mark.peers, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    one = Network().start()
    yield one
    one.stop()


@pytest.fixture
def server(own_server: Server) -> Server:
    own_server.env["PLAIT_CONSENT__SOCIAL"] = "true"
    return own_server.start()


@pytest.fixture(scope="module")
def tab(browser: Any) -> Iterator[Any]:
    """A browser that knows nobody yet."""
    context = browser.new_context()
    yield context.new_page()
    context.close()


def signed_in(server: Server, network: str, *options: str, says_yes: Callable[[str], str | None]) -> str:
    """``plait connect NETWORK --sign-in``; ``says_yes`` opens the address, and returns what is to be typed in, if anything."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PLAIT_")} | server.env
    command = [
        sys.executable,
        "-m",
        "plait",
        "connect",
        network,
        "--sign-in",
        "--data",
        str(server.data),
        *options,
    ]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, env=env, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    assert process.stderr is not None
    try:
        address = next(line.strip() for line in process.stderr if line.startswith("http"))
        typed = says_yes(address)
        out, words = process.communicate(f"{typed}\n" if typed else None, timeout=120)
    finally:
        process.kill()
    assert process.returncode == 0, out + words
    found = re.search(r'"source": "([^"]+)"', out)
    assert found, out
    return found[1]


# -- Bluesky ---------------------------------------------------------------------------------------------------


def on_its_page(tab: Any, who: Person) -> Callable[[str], None]:
    """Signs in on the server's own page, and says yes."""

    def says_yes(address: str) -> None:
        tab.goto(address)
        tab.fill("input[type=password]", who.password, timeout=60_000)
        tab.get_by_role("button", name="Sign in").click()
        tab.get_by_role("button", name="Authorize", exact=True).click(timeout=60_000)
        tab.wait_for_url("http://127.0.0.1:*/**", timeout=60_000)

    return says_yes


def connected(server: Server, network: Network, tab: Any, shop: Person) -> str:
    relay = network.pds.replace("http", "ws") + "/xrpc/com.atproto.sync.subscribeRepos"
    told = {
        "host": network.pds, "directory": network.plc, "identifier": shop.handle, "stream": "firehose", "relay": relay,
    }  # fmt: skip
    options = [part for name, value in told.items() for part in ("--with", f"{name}={value}")]
    return signed_in(server, "bluesky", *options, says_yes=on_its_page(tab, shop))


def secrets_of(server: Server, source: str) -> dict[str, str]:
    return Accounts(server.data, now=0).secrets(source)


def let_it_end(server: Server, source: str) -> dict[str, str]:
    """As if the hour of the access token were over; what the secrets were."""
    accounts = Accounts(server.data, now=0)
    before = accounts.secrets(source)
    accounts.renew(source, before | {"expires_at": "1"})
    return before


def works(server: Server, source: str) -> bool:
    state = state_of(server, source)
    return bool(state.get("polls")) and state["state"] in ("streaming", "polling")


def test_an_account_on_bluesky_stays_signed_in_though_the_driver_is_killed(
    network: Network, server: Server, tab: Any
):
    shop, ann = network.account("tabshop"), network.account("tabann")
    post = shop.post("a tent")
    source = connected(server, network, tab, shop)
    assert source == "bluesky:tabshop.test"
    seen = {secrets_of(server, source)["refresh_token"]}

    for _ in range(3):
        let_it_end(server, source)
        kill(server, "drive")
        until(
            lambda: secrets_of(server, source)["refresh_token"] not in seen, seconds=60, why="it is renewed"
        )
        seen.add(secrets_of(server, source)["refresh_token"])
        until(lambda: works(server, source), seconds=60, why="it works")
    ann.like(post)

    until(lambda: liked(server, post["uri"]), seconds=60, why="a like is told")
    at_rest = (server.data / "sources" / "bluesky%3Atabshop.test.json").read_text()
    held = secrets_of(server, source)
    for name in ("access_token", "refresh_token", "key"):
        assert held[name] not in at_rest + server.words()


def liked(server: Server, uri: str) -> bool:
    from tests.peers.product import standing

    return any(what == "like" for what, *_ in standing(server, "bluesky:", uri.__eq__))


def test_two_processes_renew_it_once(network: Network, server: Server, tab: Any):
    shop = network.account("twoshop")
    source = connected(server, network, tab, shop)
    server.stop()  # nobody else uses it now
    before = let_it_end(server, source)

    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        statuses = list(pool.map(asked_by_a_process, [str(server.data)] * 4, [source] * 4))

    assert [status for status, _ in statuses] == [200] * 4
    assert len({token for _, token in statuses}) == 1  # all use the token that one of them was given
    assert secrets_of(server, source)["refresh_token"] != before["refresh_token"]


def asked_by_a_process(data: str, source: str) -> tuple[int, str]:
    """What the network answers to a signed request of a process of its own, and the token that it went with."""
    accounts = Accounts(Path(data), now=0)
    one = next(each for each in accounts.all() if each.source == source)

    async def run() -> tuple[int, str]:
        line = Line(connector_of("bluesky"), one.account, fetcher=Fetcher(), **at_rest(accounts, source))
        try:
            found = await line.ask(Ask(url="/xrpc/app.bsky.notification.listNotifications"))
            return found.status, (await line.session()).headers["authorization"]
        finally:
            await line.close()

    return asyncio.run(run())


def test_who_ended_the_sign_in_is_asked_again_by_plait_sources(network: Network, server: Server, tab: Any):
    shop = network.account("endshop")
    source = connected(server, network, tab, shop)
    ended(secrets_of(server, source), network)
    let_it_end(server, source)
    kill(server, "drive")

    until(lambda: state_of(server, source).get("state") == "refused", seconds=60, why="it is refused")
    command = [sys.executable, "-m", "plait", "sources", "--data", str(server.data)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout

    again = f"plait connect bluesky --sign-in --with host={network.pds} --with identifier=endshop.test --with stream=firehose"
    assert f"Connect the account again: {again} " in told
    # It is: the same account goes on where it was.
    assert connected(server, network, tab, shop) == source
    until(lambda: works(server, source), seconds=60, why="it works again")


def test_who_is_disconnected_is_signed_out(network: Network, server: Server, tab: Any):
    shop = network.account("outshop")
    source = connected(server, network, tab, shop)
    secrets = secrets_of(server, source)

    assert server.ask("DELETE", f"/v1/sources/{source}").status_code == 200

    with pytest.raises(Rejected) as told:
        asked(connector_of("bluesky").sign_in(secrets | {"expires_at": "1"}, network.pds, 2), network.pds)
    assert told.value.code == "signed_out"


def ended(secrets: dict[str, str], network: Network) -> None:
    """The holder of the account ends the sign-in."""
    asked(connector_of("bluesky").sign_out(secrets, network.pds), network.pds)  # type: ignore[attr-defined]


def asked(steps: Any, host: str) -> Any:
    async def run() -> Any:
        async def renewed(_: Any) -> None:
            return None

        account = Account(source="", host=host)
        line = Line(connector_of("bluesky"), account, dict, fetcher=Fetcher(), renewed=renewed)
        try:
            return await line.asked(steps, signed=False)
        finally:
            await line.close()

    with ThreadPoolExecutor(1) as pool:  # the browser's driver has a loop of its own in this thread
        return pool.submit(asyncio.run, run()).result()


# -- a customer of the shop ------------------------------------------------------------------------------------


@pytest.fixture
def shop(server: Server) -> Server:
    """A shop whose customers may name servers on this machine."""
    server.stop()
    server.env["PLAIT_PRIVATE_HOSTS"] = "localhost"
    return server.start()


@contextmanager
def own_tab(browser: Any) -> Iterator[Any]:
    """A customer's browser, which is signed in nowhere."""
    context = browser.new_context()
    yield context.new_page()
    context.close()


def begins(shop: Server, network: Network, back: str, **more: Any) -> str:
    """What a shop's server asks for when somebody presses the button; where their browser is sent."""
    told = {
        "identifier": "user:ann", "way": "sign_in", "network": "bluesky", "consent": {"link": True, "social": True},
        "host": network.pds, "directory": network.plc, "callback": f"{shop.url.replace('localhost', '127.0.0.1')}/v1/proofs/callback",
        "back": back,
    }  # fmt: skip
    answer = shop.ask("POST", "/v1/proofs", told | more)
    assert answer.status_code == 200, answer.text
    return answer.json()["send_to"]


def on_the_network(
    tab: Any, address: str, who: Person, button: str | re.Pattern[str], back: str
) -> dict[str, str]:
    """Signs in on the server's own page and presses a button; what they bring back to the shop."""
    tab.goto(address)
    password, name = tab.locator("input[type=password]"), tab.locator("input[name=username]")
    sign_in = tab.get_by_role("button", name="Sign in")
    password.or_(sign_in).first.wait_for(timeout=60_000)
    if not password.count():  # nobody said who comes, so it asks what they came for
        sign_in.click()
    password.wait_for(timeout=60_000)
    if name.count() and name.is_editable():
        name.fill(who.handle)
    tab.fill("input[type=password]", who.password)
    tab.get_by_role("button", name="Sign in").click()
    tab.get_by_role("button", name=button, exact=isinstance(button, str)).click(timeout=60_000)
    tab.wait_for_url(f"{back}*", timeout=60_000)
    return {name: value for name, (value,) in parse_qs(urlsplit(tab.url).query).items()}


def hands_in(shop: Server, proof: str, who: str = "user:ann") -> tuple[int, dict[str, Any]]:
    told = {"identifier": who, "way": "sign_in", "consent": {"link": True, "social": True}, "proof": proof}
    answer = shop.ask("POST", "/v1/proofs", told)
    return answer.status_code, answer.json()


def test_a_customer_signs_in_with_bluesky_and_is_one_person_with_that_account(
    network: Network, shop: Server, browser: Any, site: tuple[str, Any]
):
    ann, back = network.account("custann"), f"{site[0]}/account"
    account = f"bluesky:{ann.did}"
    acts = [
        {"id": "v1", "signal": "view", "who": ["user:ann"], "about": {"item": "tent-1"}},
        {"id": "l1", "signal": "like", "source": "bluesky:shop", "who": [account], "about": {"post": "p1"}},
    ]
    assert shop.ask("POST", "/v1/events", acts).status_code == 200
    came: list[str] = []

    with own_tab(browser) as tab:
        tab.on("request", lambda one: came.append(one.url) if "/v1/proofs/callback" in one.url else None)
        brought = on_the_network(
            tab, begins(shop, network, back, handle=f"@{ann.handle}"), ann, "Authorize", back
        )

    # For nobody but whom it was begun for, once, and not by coming back again.
    assert hands_in(shop, brought["proof"], "user:eve")[1]["code"] == "not_proven"
    assert hands_in(shop, brought["proof"])[0] == 200
    assert hands_in(shop, brought["proof"])[1]["code"] == "invalid_state"
    again = httpx.get(came[0], trust_env=False, follow_redirects=False)
    assert (again.status_code, again.json()["code"]) == (400, "invalid_state")
    # One person, with both kinds of acts; and the event names proof, purposes and time.
    found = shop.profile("user:ann", include="events") or {}
    assert set(found["identifiers"]) == {"user:ann", account}
    assert (found["counts"]["view"], found["counts"]["like"]) == (1, 1)
    assert found["consents"]["social"] is True
    (link,) = [one for one in found["events"] if one["signal"] == "link"]
    assert (link["properties"], link["consent"]) == ({"proof": "sign_in"}, {"link": True, "social": True})
    assert abs(link["at"] / 1000 - time.time()) < 300
    assert [one["how"] for one in found["links"]] == ["sign_in"]
    # Of what the network gave nothing is left: no token or proof (JWTs), no code, no request, in any byte.
    assert rests(shop, GIVEN) == []
    assert not re.search(GIVEN.decode(), shop.words())


GIVEN = rb"eyJ0eXAi|eyJhbGci|cod-\w{16}|ref-\w{16}|req-\w{16}"


def rests(shop: Server, what: bytes) -> list[str]:
    """Where something stands in the data folder, in the records of the log as well: these are packed."""
    shop.stop()
    found = [
        str(path) for path in shop.data.rglob("*") if path.is_file() and re.search(what, path.read_bytes())
    ]
    records = open_log(f"lmdb://{shop.data}/log").read(0)
    assert records
    return found + [
        f"record {position}" for position, raw in records if re.search(what, decode_record(raw).body)
    ]


def test_a_customer_who_says_no_to_bluesky_is_not_linked(
    network: Network, shop: Server, browser: Any, site: tuple[str, Any]
):
    bob, back = network.account("custbob"), f"{site[0]}/account"

    with own_tab(browser) as tab:
        no = re.compile("deny|cancel|reject", re.I)
        brought = on_the_network(tab, begins(shop, network, back, handle=bob.handle), bob, no, back)

    assert brought == {"error": "denied"}
    assert shop.profile("user:ann") is None


def test_who_names_no_handle_may_use_any_account_of_the_server(
    network: Network, shop: Server, browser: Any, site: tuple[str, Any]
):
    cleo, back = network.account("custcleo"), f"{site[0]}/account"

    with own_tab(browser) as tab:
        brought = on_the_network(tab, begins(shop, network, back), cleo, "Authorize", back)

    assert hands_in(shop, brought["proof"])[1]["link"] == ["user:ann", f"bluesky:{cleo.did}"]


class _Proxy(BaseHTTPRequestHandler):
    """The proxy before a shop's server, as far as customers and networks come; it lets nobody else in."""

    behind: ClassVar[str] = ""
    came: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.came.append(urlsplit(self.path).path)
        told = httpx.get(
            self.behind + self.path, trust_env=False, headers={"accept": self.headers.get("accept", "")}
        )
        self.send_response(told.status_code)
        for name in ("content-type", "location", "cache-control"):
            if name in told.headers:
                self.send_header(name, told.headers[name])
        self.send_header("content-length", str(len(told.content)))
        self.end_headers()
        self.wfile.write(told.content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def outside(network: Network, server: Server) -> Iterator[str]:
    """Where the shop's server is reached from outside, over TLS, under a name of the open internet."""
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), _Proxy)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(network.certificate)
    proxy.socket = context.wrap_socket(proxy.socket, server_side=True)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    server.stop()
    reached = f"https://{OUTSIDE}:{proxy.server_port}"
    server.env |= {"PLAIT_PRIVATE_HOSTS": "localhost", "PLAIT_PUBLIC_URL": reached}
    _Proxy.behind = server.start().url
    _Proxy.came.clear()
    yield reached
    proxy.shutdown()
    proxy.server_close()


def test_a_server_reads_who_asks_at_a_public_address_and_sends_the_customer_back_there(
    network: Network, server: Server, outside: str, browser: Any, site: tuple[str, Any]
):
    dora, back = network.account("custdora"), f"{site[0]}/account"
    told = {
        "identifier": "user:dora", "way": "sign_in", "network": "bluesky", "consent": True, "handle": dora.handle, "back": back,
        "host": network.pds, "directory": network.plc,
    }  # fmt: skip
    asked = server.ask("POST", "/v1/proofs", told)
    assert asked.status_code == 200, asked.text
    assert _Proxy.came == ["/v1/proofs/client.json"]

    rules = f"MAP {OUTSIDE} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"
    other = browser.browser_type.launch(
        executable_path=shutil.which("chromium"), args=["--no-sandbox", f"--host-resolver-rules={rules}"]
    )
    try:
        tab = other.new_context(ignore_https_errors=True).new_page()
        brought = on_the_network(tab, asked.json()["send_to"], dora, "Authorize", back)
    finally:
        other.close()

    assert _Proxy.came[-1] == "/v1/proofs/callback"
    assert hands_in(server, brought["proof"], "user:dora")[1]["link"] == ["user:dora", f"bluesky:{dora.did}"]


def test_the_server_takes_the_document_that_says_who_we_are(network: Network, own_server: Server):
    own_server.env["PLAIT_PUBLIC_URL"] = "https://shop.example.com/plait"
    own_server.start()
    told = own_server.ask("GET", "/v1/proofs/client.json", key=None).json()

    good, bad = (
        network.http.post(network.settle_url.replace("/settle", "/client"), json=one)
        for one in (told, told | {"dpop_bound_access_tokens": False})
    )

    assert good.status_code == 200, good.text
    assert bad.status_code == 500


# -- Mastodon's API --------------------------------------------------------------------------------------------


def test_an_account_is_connected_on_the_page_of_a_server_with_mastodons_api(
    url: str,  # noqa: F811
    server: Server,
    tab: Any,
):
    def says_yes(address: str) -> None:
        tab.goto(address)
        tab.get_by_role("button", name=re.compile("@ada")).click()
        tab.wait_for_url("http://127.0.0.1:*/?code=*", timeout=60_000)

    source = signed_in(server, "mastodon", "--with", f"host={url}", says_yes=says_yes)

    until(lambda: works(server, source), seconds=60, why="it works")
    token = secrets_of(server, source)["access_token"]
    assert server.ask("DELETE", f"/v1/sources/{source}").status_code == 200
    mine = httpx.get(
        f"{url}/api/v1/accounts/verify_credentials", headers={"authorization": f"Bearer {token}"}
    )
    assert mine.status_code == 401  # it was revoked


def test_a_code_that_a_server_shows_is_typed_in(tmp_path: Path, server: Server):
    """snac2, which keeps to the older ways: no PKCE, and a code on an empty page."""
    snac = Snac(tmp_path / "snac")
    snac.add("shop")
    snac.start()
    try:
        snac.client("shop")
        password = snac._passwords["shop"]

        def says_yes(address: str) -> str:
            page = httpx.get(address, timeout=30).text
            fields = dict(re.findall(r'name="(\w+)"[^>]*value="([^"]*)"', page))
            form = {name: html.unescape(value) for name, value in fields.items()}
            form |= {"login": "shop", "passwd": password}
            shown = httpx.post(f"{snac.url}/oauth/x-snac-login", data=form, timeout=30)
            return shown.text.strip() or parse_qs(urlsplit(shown.headers["location"]).query)["code"][0]

        source = signed_in(server, "mastodon", "--paste", "--with", f"host={snac.url}", says_yes=says_yes)

        until(lambda: works(server, source), seconds=60, why="it works")
        assert source == f"mastodon:shop@{snac.host}"
    finally:
        snac.stop()


def test_a_sign_in_that_is_not_ours_or_too_old_connects_nothing(server: Server):
    for state in ("", "nonsense", "gAAAAAB" + "x" * 100):
        told = server.ask("POST", "/v1/sources", {"state": state, "answered": {"code": "x"}})
        assert (told.status_code, told.json()["code"]) == (400, "invalid_state")
