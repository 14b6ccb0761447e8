"""The guarded fetcher: for every URL that somebody else named (a ``keyId``, an actor, a redirect).

Whoever names a URL wants us to go there, maybe to a machine that only we can reach. So: https only; an address is
checked when we connect, and we connect to the address that was checked (a name may answer anew between two looks); the
same at each redirect; at most 1 MB, unpacked; 5 seconds for all of it; no credentials.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import zlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

import httpcore
import httpx

from plait import __version__
from plait.errors import Rejected, Unavailable

LARGEST = 1_000_000  # bytes, unpacked
LONGEST = 5.0  # seconds, all redirects together
MOST_REDIRECTS = 3
AGENT = f"Plait/{__version__}"

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]  # (host, port) -> addresses


class Fetched(NamedTuple):
    """What came back. Header names are lower-case; ``body`` is unpacked; ``url`` is where it was found in the end."""

    status: int
    headers: dict[str, str]
    body: bytes
    url: str


@cache
def trusted() -> ssl.SSLContext:
    """The certificates that are trusted, read once: to read them takes 25 ms, in which a server answers nobody else."""
    return httpx.create_ssl_context()


class Fetcher:
    """Fetches what others named.

    Args:
        private: host names that the operator trusts although they are private; these may speak http, too.
        allowed: addresses that may be connected to although they are not public.
        resolve: a name's addresses; the system's resolver by default.
        certificates: whom to trust; the usual authorities by default.
        seconds: for all of one fetch.
    """

    def __init__(
        self,
        *,
        private: Iterable[str] = (),
        allowed: Iterable[str] = (),
        resolve: Resolve | None = None,
        certificates: ssl.SSLContext | None = None,
        seconds: float = LONGEST,
    ) -> None:
        self._private = frozenset(one.lower() for one in private)
        self._allowed = frozenset(allowed)
        self._resolve = resolve or _resolved
        self._certificates = certificates or trusted()
        self._seconds = seconds

    async def fetch(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] = {},
        body: bytes = b"",
        redirects: bool = True,
    ) -> Fetched:
        """Fetch a URL.

        Args:
            url: to be fetched.
            method: of the request.
            headers: besides those that every request of ours has.
            body: of the request.
            redirects: whether a few redirects of a GET are followed; else they are the answer.

        Raises:
            Rejected: it must not be fetched (``forbidden_url``, ``private_address``), is too large, or redirects on
                and on.
            Unavailable: it cannot be fetched now; too slow is one of the reasons.
        """
        try:
            async with asyncio.timeout(self._seconds):
                if not redirects:
                    return await self._once(url, method, dict(headers), body)
                return await self._followed(url, method, dict(headers), body)
        except TimeoutError:
            raise Unavailable(
                f"{_shown(url)} took longer than {self._seconds:g} s", code="fetch_slow"
            ) from None
        except (
            httpcore.NetworkError,
            httpcore.ProtocolError,
            httpcore.TimeoutException,
            OSError,
            ssl.SSLError,
        ) as exc:
            raise Unavailable(
                f"{_shown(url)} cannot be fetched: {type(exc).__name__}", code="fetch_failed"
            ) from exc

    async def _followed(self, url: str, method: str, headers: dict[str, str], body: bytes) -> Fetched:
        origin = urlsplit(url).netloc
        for _ in range(MOST_REDIRECTS + 1):
            found = await self._once(url, method, headers, body)
            target = found.headers.get("location")
            if method != "GET" or found.status not in (301, 302, 303, 307, 308) or target is None:
                return found
            url = urljoin(url, target)
            if (
                urlsplit(url).netloc != origin
            ):  # what was signed or meant for one host is none of another's business
                headers = {name: value for name, value in headers.items() if name.lower() == "accept"}
        raise Rejected(f"{_shown(url)} redirects on and on", code="too_many_redirects")

    async def _once(self, url: str, method: str, headers: dict[str, str], body: bytes) -> Fetched:
        host = self._checked(url)
        guarded = host not in self._private
        told = {"user-agent": AGENT, "accept-encoding": "gzip", **{k.lower(): v for k, v in headers.items()}}
        pool = httpcore.AsyncConnectionPool(
            ssl_context=self._certificates,
            network_backend=_Checked(self._resolve if guarded else None, self._allowed),
            retries=0,
        )
        async with (
            pool,
            pool.stream(
                method, url.partition("#")[0], headers=list(told.items()), content=body or None
            ) as answer,
        ):
            found: dict[str, str] = {}
            for name, value in answer.headers:
                key = name.decode("latin-1").lower()
                found[key] = (
                    f"{found[key]}, {value.decode('latin-1')}" if key in found else value.decode("latin-1")
                )
            read = await _read(answer.aiter_stream(), found.get("content-encoding", "identity").lower())
            return Fetched(answer.status, found, read, url)

    def _checked(self, url: str) -> str:
        """The host of a URL that may be fetched."""
        try:
            parts = urlsplit(url)
            host, _ = (parts.hostname or "").lower(), parts.port
        except ValueError:
            raise _forbidden(url, "is no URL") from None
        if not host or any(ord(one) < 33 or ord(one) == 127 for one in url):
            raise _forbidden(url, "is no URL")
        if parts.scheme != "https" and not (parts.scheme == "http" and host in self._private):
            raise _forbidden(url, "is not https")
        if parts.username is not None or parts.password is not None:
            raise _forbidden(url, "holds credentials")
        return host


async def _read(chunks: Any, encoding: str) -> bytes:
    if encoding not in ("identity", "", "gzip", "x-gzip", "deflate"):
        raise Rejected("the answer is packed in a way we do not read", code="fetch_encoding")
    unpack = None if encoding in ("identity", "") else zlib.decompressobj(wbits=47)
    body = bytearray()
    async for chunk in chunks:
        if unpack is None:
            body += chunk
        else:
            try:
                # One byte more than may be: a small answer can be packed from gigabytes.
                body += unpack.decompress(chunk, LARGEST + 1 - len(body)) if len(body) <= LARGEST else b""
            except zlib.error:
                raise Rejected("the answer is not packed as it says", code="fetch_encoding") from None
        if len(body) > LARGEST or (unpack is not None and unpack.unconsumed_tail):
            raise Rejected(f"the answer is larger than {LARGEST} bytes", code="fetch_too_large")
    return bytes(body)


class _Checked(httpcore.AsyncNetworkBackend):
    """Connects to an address that was checked, and to no other.

    Args:
        resolve: ``None`` for a host that the operator trusts.
        allowed: addresses that may be connected to although they are not public.
    """

    def __init__(self, resolve: Resolve | None, allowed: frozenset[str]) -> None:
        self._resolve, self._allowed = resolve, allowed
        self._lines = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        if self._resolve is None:
            return await self._lines.connect_tcp(host, port, timeout, local_address, socket_options)
        addresses = await self._resolve(host, port)
        if not addresses:
            raise httpcore.ConnectError("no address")
        for one in addresses:  # all of them: a name with one good and one bad address is up to something
            if one not in self._allowed and not is_public(one):
                raise Rejected(f"{host[:200]} leads to a private address", code="private_address")
        error: Exception | None = None
        for one in addresses[:4]:
            try:
                return await self._lines.connect_tcp(one, port, timeout, local_address, socket_options)
            except httpcore.NetworkError as exc:
                error = exc
        raise error or httpcore.ConnectError("no address")

    async def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        raise httpcore.ConnectError("no sockets of this machine")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def _resolved(host: str, port: int) -> Sequence[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as exc:
        raise httpcore.ConnectError(str(exc)) from exc
    return [str(one[4][0]) for one in found]


_UNICAST = IPv6Network("2000::/3")  # all of IPv6 that is given out
_SPECIAL = IPv4Network("192.0.0.0/24")  # Python's tables count some of it as global, by version
_TRANSLATED = IPv6Network("64:ff9b::/96")  # NAT64: the last four bytes are an IPv4 address


def is_public(address: str) -> bool:
    """Whether an address is on the open internet, whatever it is wrapped in."""
    try:
        one: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(one, IPv6Address):
        inner: IPv4Address | None = one.ipv4_mapped or one.sixtofour
        if one.teredo is not None:
            inner = one.teredo[1]
        if one in _TRANSLATED:
            inner = IPv4Address(int(one) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if one not in _UNICAST:
            return False
    elif one in _SPECIAL:
        return False
    return one.is_global and not (one.is_multicast or one.is_reserved or one.is_unspecified)


def _forbidden(url: str, why: str) -> Rejected:
    return Rejected(f"{_shown(url)} {why}", code="forbidden_url")


def _shown(url: str) -> str:
    """A URL as it may stand in an error: without what may be a secret in it."""
    try:
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.hostname or ''}"[:200]
    except ValueError:
        return "the URL"
