"""The guarded fetcher, against servers of this machine that would like to be somewhere else."""

from __future__ import annotations

import asyncio
import datetime
import gzip
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from plait.errors import Rejected, Unavailable
from plait.fetch import LARGEST, Fetched, Fetcher, is_public

Answering = Callable[[BaseHTTPRequestHandler], None]


class Site:
    """An https server on 127.0.0.1 that answers to any name; ``pages`` say how, ``asked`` what came."""

    def __init__(self, folder: Path) -> None:
        self.pages: dict[str, Answering] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                site.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
                self.close_connection = True
                site.pages[self.path](self)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:  # a client that hung up is what we want
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.socket = _certified(folder).wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.trusted = ssl.create_default_context(cafile=str(folder / "cert.pem"))

    def fetcher(self, *addresses: str, **more: object) -> Fetcher:
        """One whose names lead to ``addresses``, one after the other; 127.0.0.1 counts as public, 127.0.0.2 does not."""
        left = list(addresses or ["127.0.0.1"])

        async def resolve(_host: str, _port: int) -> list[str]:
            return [left.pop(0) if len(left) > 1 else left[0]]

        more = {"resolve": resolve, "allowed": ["127.0.0.1"], "certificates": self.trusted} | more
        return Fetcher(**more)  # type: ignore[arg-type]

    def url(self, path: str = "/", host: str = "shop.example") -> str:
        return f"https://{host}:{self.port}{path}"


def _certified(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "shop.example")])
    now = datetime.datetime.now(datetime.UTC)
    names = [
        x509.DNSName("shop.example"),
        x509.DNSName("other.example"),
        x509.IPAddress(ip_address("127.0.0.1")),
    ]
    cert = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    (folder / "cert.pem").write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    one = Site(tmp_path_factory.mktemp("site"))
    yield one
    one.server.shutdown()
    one.server.server_close()


@pytest.fixture
def site(served: Site) -> Site:
    served.pages.clear()
    served.asked.clear()
    return served


def says(body: bytes, status: int = 200, **headers: str) -> Answering:
    def page(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("content-length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return page


def fetched(fetcher: Fetcher, url: str, **more: object) -> Fetched:
    return asyncio.run(fetcher.fetch(url, **more))  # type: ignore[arg-type]


def refused(fetcher: Fetcher, url: str) -> str:
    with pytest.raises(Rejected) as told:
        fetched(fetcher, url)
    return told.value.code


def test_a_public_page_is_fetched_with_its_own_name_and_certificate(site):
    site.pages["/key"] = says(b"a key", content_type="text/plain")

    found = fetched(site.fetcher(), site.url("/key#part"))

    assert (found.status, found.body, found.headers["content-type"]) == (200, b"a key", "text/plain")
    assert site.asked[0][1]["host"] == f"shop.example:{site.port}"


def test_a_certificate_of_another_name_is_not_taken(site):
    site.pages["/"] = says(b"")

    with pytest.raises(Unavailable):
        fetched(site.fetcher(), site.url(host="somebody.example"))

    assert site.asked == []


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "169.254.169.254", "10.0.0.8", "172.16.0.1",
     "192.168.1.1", "0.0.0.0", "::", "100.64.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "fe80::1%eth0", "fd00::1",
     "64:ff9b::7f00:1", "64:ff9b::a00:1", "2002:7f00:1::", "2001:0:7f00:1::", "::7f00:1", "192.0.0.8", "198.18.0.1", "no address"],
)  # fmt: skip
def test_an_address_that_only_we_can_reach_is_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_an_address_of_the_open_internet_is_public(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0177.0.0.1", "0x7f.1", "127.1", "0", "localhost", "localhost."],
)  # fmt: skip
def test_no_spelling_of_this_machine_is_connected_to(site, host):
    """With the system's own resolver, which takes many of them."""
    asks = Fetcher(certificates=site.trusted)

    with pytest.raises((Rejected, Unavailable)):
        fetched(asks, f"https://{host}:{site.port}/")

    assert site.asked == []


def test_one_private_address_among_public_ones_is_enough_to_refuse(site):
    async def resolve(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1", "10.0.0.1"]

    assert refused(site.fetcher(resolve=resolve), site.url()) == "private_address"
    assert site.asked == []


def test_a_name_that_answers_anew_is_connected_to_at_the_address_that_was_checked(site):
    site.pages["/"] = says(b"hello")
    rebinding = site.fetcher("127.0.0.1", "127.0.0.2")  # public at the first look, private at the second

    assert fetched(rebinding, site.url()).body == b"hello"


def test_the_address_is_checked_at_each_redirect(site):
    site.pages["/"] = says(b"", 302, location="/inside")
    site.pages["/inside"] = says(b"the secret")

    assert refused(site.fetcher("127.0.0.1", "127.0.0.2"), site.url()) == "private_address"
    assert [path for path, _ in site.asked] == ["/"]


def test_a_redirect_to_another_public_host_is_followed_without_what_was_meant_for_the_first(site):
    site.pages["/"] = says(b"", 301, location=site.url("/there", host="other.example"))
    site.pages["/there"] = says(b"found")

    found = fetched(
        site.fetcher(), site.url(), headers={"Authorization": "Bearer x", "Accept": "application/json"}
    )

    assert (found.body, found.url) == (b"found", site.url("/there", host="other.example"))
    assert site.asked[0][1]["authorization"] == "Bearer x"
    assert "authorization" not in site.asked[1][1]
    assert site.asked[1][1]["accept"] == "application/json"


@pytest.mark.parametrize("target", ["http://shop.example/", "file:///etc/passwd", "gopher://shop.example/", "https://a:b@shop.example/"])  # fmt: skip
def test_a_redirect_out_of_https_is_refused(site, target):
    site.pages["/"] = says(b"", 302, location=target)

    assert refused(site.fetcher(), site.url()) == "forbidden_url"


def test_a_circle_of_redirects_comes_to_an_end(site):
    site.pages["/"] = says(b"", 302, location="/")

    assert refused(site.fetcher(), site.url()) == "too_many_redirects"
    assert len(site.asked) == 4


@pytest.mark.parametrize("url", ["http://shop.example/", "https://user:pw@shop.example/", "https://user@shop.example/", "ftp://x/",
                                 "//shop.example", "", "https://", "https://shop.example:99999/", "https://shop.example/\r\nX: y"])  # fmt: skip
def test_what_is_no_plain_https_url_is_refused(site, url):
    assert refused(site.fetcher(), url) == "forbidden_url"


def test_no_error_repeats_what_may_be_a_secret(site):
    with pytest.raises(Rejected) as told:
        fetched(site.fetcher(), "https://user:hunter2@shop.example/path?token=hunter2")

    assert "hunter2" not in told.value.message


def test_an_answer_beyond_a_megabyte_is_left(site):
    site.pages["/"] = says(b"x" * (LARGEST + 1))

    assert refused(site.fetcher(), site.url()) == "fetch_too_large"


def test_a_small_answer_that_unpacks_to_much_is_left(site):
    bomb = gzip.compress(b"\0" * 200_000_000)
    site.pages["/"] = says(bomb, content_encoding="gzip")
    begun = time.monotonic()

    assert refused(site.fetcher(), site.url()) == "fetch_too_large"
    assert time.monotonic() - begun < 3


def test_a_packed_answer_is_unpacked(site):
    site.pages["/"] = says(gzip.compress(b"hello" * 100), content_encoding="gzip")

    assert fetched(site.fetcher(), site.url()).body == b"hello" * 100


def test_a_packing_that_lies_is_told(site):
    site.pages["/"] = says(b"not gzip at all", content_encoding="gzip")

    assert refused(site.fetcher(), site.url()) == "fetch_encoding"


def test_a_server_that_drips_is_left_after_its_time(site):
    def drips(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("content-length", "1000")
        handler.end_headers()
        for _ in range(100):
            handler.wfile.write(b"x")
            handler.wfile.flush()
            time.sleep(0.1)

    site.pages["/"] = drips
    begun = time.monotonic()

    with pytest.raises(Unavailable) as told:
        fetched(site.fetcher(seconds=0.7), site.url())

    assert told.value.code == "fetch_slow"
    assert time.monotonic() - begun < 2


def test_a_host_that_the_operator_trusts_may_be_private(site):
    site.pages["/"] = says(b"inside")
    asks = Fetcher(private=["127.0.0.1"], certificates=site.trusted)

    assert fetched(asks, f"https://127.0.0.1:{site.port}/").body == b"inside"


def test_a_redirect_from_a_trusted_host_is_guarded_again(site):
    site.pages["/"] = says(b"", 302, location="https://169.254.169.254/latest/meta-data")
    asks = Fetcher(private=["127.0.0.1"], certificates=site.trusted)

    assert refused(asks, f"https://127.0.0.1:{site.port}/") == "private_address"
