"""Proof that we hold the key that a token is bound to (DPoP, RFC 9449): who steals the token alone can do nothing with it.

A server may want its own nonce in each proof, and says so by refusing one without it: then the same request is asked again.
"""

from __future__ import annotations

import hashlib
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec
from joserfc import jwt
from joserfc.jwk import ECKey

_WANTED = "use_dpop_nonce"
_MOST = 1_000  # servers whose nonces are remembered


def new_key() -> str:
    """A private key, as JSON of a JWK."""
    return msgspec.json.encode(ECKey.generate_key("P-256").as_dict(private=True)).decode()


class Proofs:
    """Proofs for requests, with the nonce that each server told last. One for each line to the outside."""

    def __init__(self) -> None:
        self._nonces: dict[str, str] = {}

    def header(self, key: str, method: str, url: str, *, now: float, token: str = "") -> dict[str, str]:
        """The header that proves it for one request.

        Args:
            key: private, as JSON of a JWK.
            method: of the request.
            url: of the request; its query and fragment are no part of the proof.
            now: s since the epoch.
            token: the access token that goes with it.
        """
        held = ECKey.import_key(msgspec.json.decode(key))
        told: dict[str, object] = {
            "jti": secrets.token_urlsafe(16), "htm": method, "htu": url.partition("?")[0].partition("#")[0], "iat": int(now),
        }  # fmt: skip
        if token:
            told["ath"] = urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()
        if nonce := self._nonces.get(_origin(url)):
            told["nonce"] = nonce
        head = {"typ": "dpop+jwt", "alg": "ES256", "jwk": held.as_dict(private=False)}
        return {"dpop": jwt.encode(head, told, held, algorithms=["ES256"])}

    def hear(self, url: str, status: int, headers: Mapping[str, str], body: bytes) -> bool:
        """Take up the nonce of an answer; whether the request was refused for want of it."""
        nonce = headers.get("dpop-nonce", "")
        if not nonce or len(nonce) > 1_024:
            return False
        if len(self._nonces) >= _MOST:
            self._nonces.clear()
        self._nonces[_origin(url)] = nonce
        if status == 401:
            return _WANTED in headers.get("www-authenticate", "")
        return status == 400 and _WANTED.encode() in body[:4_096]


def bound(headers: Mapping[str, str]) -> str:
    """The token in an ``Authorization: DPoP`` header; "" without one."""
    kind, _, token = headers.get("authorization", "").partition(" ")
    return token if kind == "DPoP" else ""


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.lower()}"
