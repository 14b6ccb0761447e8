"""HTTP signatures, as fediverse servers send them: draft-cavage (all of them), RFC 9421 (Mastodon from 4.5, Fedify). Pure.

A signature says that whoever holds a key sent this body, to this address, at this time. What it does not cover it does
not say, so all three have to be covered.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from email.utils import formatdate, parsedate_to_datetime
from hashlib import sha256, sha512
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA512
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from plait.errors import Rejected

SKEW = (
    3_600_000  # ms that a sender's clock may be off; deliveries are signed when they are sent, retries anew
)
LONGEST_HEADER = 8_192  # characters
SMALLEST_KEY, LARGEST_KEY = 2_048, 8_192  # bits of RSA


class Place(NamedTuple):
    """An address that a request may have been signed for: where it came, or where it was first delivered."""

    scheme: str
    host: str
    target: str  # path and query


class Claim(NamedTuple):
    """A signature that is whole and in time; whether it is true is for the key to say.

    Attributes:
        key_id: the URL of the key.
        at: when it was signed, ms since the epoch.
        bases: what may have been signed, one for each place.
        signature: the bytes.
        algorithm: as the sender names it, or "".
    """

    key_id: str
    at: int
    bases: tuple[bytes, ...]
    signature: bytes
    algorithm: str


def wrong(why: str) -> Rejected:
    """A delivery that is not believed."""
    return Rejected(f"the signature is not good: {why}", code="invalid_signature", status=401)


def claim_of(
    headers: Mapping[str, str], body: bytes, places: Sequence[Place], *, now: int, method: str = "post"
) -> Claim:
    """What a request's signature claims.

    Args:
        headers: lower-case names.
        body: as it came.
        places: it may have been signed for.
        now: ms since the epoch, when the request came.
        method: of the request.

    Raises:
        Rejected: no signature, one that does not cover enough, a digest that is not the body's, or a time too far off.
    """
    if "signature" not in headers:
        raise wrong("there is none")
    if len(headers["signature"]) + len(headers.get("signature-input", "")) > LONGEST_HEADER:
        raise wrong("it is too long")
    read = _rfc9421 if "signature-input" in headers else _cavage
    claim = read(headers, places, bool(body), method.lower())
    if abs(now - claim.at) > SKEW:
        raise wrong("it was signed too long ago, or in the future")
    if body:
        _check_digest(headers, body)
    return claim


def is_signed_by(claim: Claim, pem: str) -> bool:
    """Whether a key made the signature, for any of the places."""
    key = _public(pem)
    return any(_verifies(key, claim, base) for base in claim.bases)


# -- draft-cavage-http-signatures ------------------------------------------------------------------------------

_PARAMETER = re.compile(r'([a-zA-Z]+)=(?:"([^"]*)"|(\d+))')


def _cavage(headers: Mapping[str, str], places: Sequence[Place], has_body: bool, method: str) -> Claim:
    found: dict[str, str] = {}
    for name, text, number in _PARAMETER.findall(headers["signature"]):
        if found.setdefault(name, text or number) != (text or number):
            raise wrong(f"it says {name} twice")
    covered = found.get("headers", "date").lower().split()
    if "(request-target)" not in covered or "host" not in covered:
        raise wrong("it does not cover where it was sent")
    if has_body and "digest" not in covered and "content-digest" not in covered:
        raise wrong("it does not cover the body")
    if "(created)" in covered:
        at = _seconds(found.get("created", ""))
    elif "date" in covered:
        at = _date(headers.get("date", ""))
    else:
        raise wrong("it does not cover a time")

    def base(place: Place) -> bytes:
        special = {
            "(request-target)": f"{method} {place.target}", "host": place.host,
            "(created)": found.get("created", ""), "(expires)": found.get("expires", ""),
        }  # fmt: skip
        return "\n".join(f"{one}: {special.get(one) or _field(headers, one)}" for one in covered).encode()

    return Claim(
        found.get("keyId", ""), at, tuple(base(one) for one in places), _base64(found.get("signature", "")),
        found.get("algorithm", "").lower(),
    )  # fmt: skip


def signed(method: str, url: str, body: bytes, *, key_id: str, private_pem: str, now: int) -> dict[str, str]:
    """The headers that sign a request, in the old way that every server reads.

    Args:
        method: ``GET`` or ``POST``.
        url: absolute.
        body: the bytes that will be sent.
        key_id: the URL of our key.
        private_pem: an RSA key.
        now: ms since the epoch.
    """
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    fields = {
        "(request-target)": f"{method.lower()} {target}", "host": parts.netloc,
        "date": formatdate(now / 1000, usegmt=True),
    }  # fmt: skip
    if body:
        fields["digest"] = f"SHA-256={base64.b64encode(sha256(body).digest()).decode()}"
    key: Any = load_pem_private_key(private_pem.encode(), None)
    text = "\n".join(f"{name}: {value}" for name, value in fields.items())
    made = base64.b64encode(key.sign(text.encode(), padding.PKCS1v15(), SHA256())).decode()
    told = f'keyId="{key_id}",algorithm="rsa-sha256",headers="{" ".join(fields)}",signature="{made}"'
    return {name: value for name, value in fields.items() if name[0] != "("} | {"signature": told}


# -- RFC 9421 --------------------------------------------------------------------------------------------------

_COMPONENT = re.compile(r'"([^"]{1,128})"(;[^\s()]*)?')
_NUMBER = re.compile(r";\s*(created|expires)=(-?\d{1,15})(?=;|$)")
_STRING = re.compile(r';\s*(keyid|alg|nonce|tag)="([^"\\]*)"')


def _rfc9421(headers: Mapping[str, str], places: Sequence[Place], has_body: bool, method: str) -> Claim:
    signatures = _members(headers["signature"])
    for label, told in _members(headers["signature-input"]).items():
        if label not in signatures or not told.startswith("("):
            continue
        inner, _, more = told[1:].partition(")")
        parameters: dict[str, str] = dict(_NUMBER.findall(more)) | dict(_STRING.findall(more))
        components = []
        for name, extra in _COMPONENT.findall(inner):
            if extra:
                raise wrong("it covers something in a way that is not known here")
            components.append(name)
        _covers(set(components), has_body)
        bases = tuple(_base(components, told, headers, method, place).encode() for place in places)
        return Claim(
            parameters.get("keyid", ""), _seconds(parameters.get("created", "")), bases,
            _base64(signatures[label].strip(":")), parameters.get("alg", "").lower(),
        )  # fmt: skip
    raise wrong("it has no part that says what it covers")


def _covers(components: set[str], has_body: bool) -> None:
    where = {"@target-uri"} & components or (
        {"@path", "@request-target"} & components and {"@authority", "host"} & components
    )
    if "@method" not in components or not where:
        raise wrong("it does not cover where it was sent")
    if has_body and "content-digest" not in components:
        raise wrong("it does not cover the body")


def _base(components: Iterable[str], told: str, headers: Mapping[str, str], method: str, place: Place) -> str:
    path, _, query = place.target.partition("?")
    host = place.host.lower()
    for scheme, port in (("https", ":443"), ("http", ":80")):
        host = host.removesuffix(port) if place.scheme == scheme else host
    derived = {
        "@method": method.upper(), "@authority": host, "@scheme": place.scheme, "@path": path or "/",
        "@query": f"?{query}", "@request-target": place.target,
        "@target-uri": f"{place.scheme}://{host}{place.target}", "host": place.host,
    }  # fmt: skip
    lines = [f'"{one}": {derived[one] if one in derived else _field(headers, one)}' for one in components]
    return "\n".join([*lines, f'"@signature-params": {told}'])


def _members(text: str) -> dict[str, str]:
    """The members of a dictionary field, each with its value as it was written: it is part of what was signed."""
    found: dict[str, str] = {}
    quoted, depth, begun = False, 0, 0
    for number, one in enumerate(text + ","):
        if one == '"':
            quoted = not quoted
        elif not quoted and one in "()":
            depth += 1 if one == "(" else -1
        elif one == "," and not quoted and not depth:
            label, _, value = text[begun:number].strip().partition("=")
            found[label] = value.strip()
            begun = number + 1
    return found


# -- parts -----------------------------------------------------------------------------------------------------


def _field(headers: Mapping[str, str], name: str) -> str:
    if name not in headers or name.startswith(("(", "@", ":")):
        raise wrong(f"it covers {name[:40]!r}, which is not there")
    return headers[name].strip()


def _check_digest(headers: Mapping[str, str], body: bytes) -> None:
    told = [
        (name.strip().lower(), _base64(value.strip().strip(":")))
        for field in ("digest", "content-digest")
        for name, _, value in (
            one.partition("=") for one in headers.get(field, "")[:1_024].split(",") if one.strip()
        )
    ]
    known: dict[str, Callable[[], bytes]] = {
        "sha-256": lambda: sha256(body).digest(), "sha-512": lambda: sha512(body).digest(),
    }  # fmt: skip
    checked = [hmac.compare_digest(known[name](), value) for name, value in told if name in known]
    if not checked or not all(checked):
        raise wrong("the digest is not that of the body")


def _date(text: str) -> int:
    try:
        return int(parsedate_to_datetime(text).timestamp() * 1000)
    except (ValueError, TypeError, OverflowError, IndexError) as exc:
        raise wrong("its date is none") from exc


def _seconds(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 12:
        raise wrong("it does not say when it was made")
    return int(text) * 1000


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise wrong("it holds something that is no base64") from exc


def _public(pem: str) -> Any:
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm, UnicodeEncodeError) as exc:
        raise wrong("its key is none") from exc
    if isinstance(key, rsa.RSAPublicKey) and not SMALLEST_KEY <= key.key_size <= LARGEST_KEY:
        raise wrong(f"its key has {key.key_size} bits")
    return key


def _verifies(key: Any, claim: Claim, base: bytes) -> bool:
    try:
        if isinstance(key, rsa.RSAPublicKey):
            if claim.algorithm == "rsa-pss-sha512":
                key.verify(claim.signature, base, padding.PSS(padding.MGF1(SHA512()), 64), SHA512())
            else:
                hashed = SHA512() if claim.algorithm == "rsa-sha512" else SHA256()
                key.verify(claim.signature, base, padding.PKCS1v15(), hashed)
        elif isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(claim.signature, base)
        elif isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
            half = len(claim.signature) // 2
            numbers = (
                int.from_bytes(part, "big") for part in (claim.signature[:half], claim.signature[half:])
            )
            key.verify(encode_dss_signature(*numbers), base, ec.ECDSA(SHA256()))
        else:
            raise wrong("its key is of a kind that is not known here")
    except InvalidSignature:
        return False
    return True
