"""Who is asking: the public write key, the secret key, and the tokens a shop's server makes from it.

The *write key* stands in web pages and may do little; the *secret key* may do everything and never reaches a
browser; a *token* lets a browser ask as one known person for a while. Keys live in ``keys.json`` in the data
folder, readable by its owner only; ``PLAIT_WRITE_KEY`` and ``PLAIT_SECRET_KEY`` go before it.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Literal, Self

import msgspec
import structlog

from plait.errors import Corrupt, Rejected, Unavailable
from plait.settings import Settings

Role = Literal["secret", "write"]
FILE = "keys.json"
log = structlog.get_logger()
_SHORT = 16  # characters; a shorter secret key can be guessed, and the log says so at the start


class Keys(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of one installation. ``repr`` shows none of them, so they cannot slip into a log.

    Attributes:
        write, secret: the keys to hand out now.
        pepper: the key of the hashes that stand for erased identifiers; never rotated, or they would be forgotten.
        old_write, old_secret: keys that were rotated away and still work until ``plait keys --drop-old``.
    """

    write: str
    secret: str
    pepper: str
    old_write: tuple[str, ...] = ()
    old_secret: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "Keys(…)"

    def role(self, key: str | None) -> Role | None:
        """What a key may do, ``None`` when it is nobody's. Takes the same time for every wrong key."""
        if not key:
            return None
        given = key.encode(errors="surrogatepass")
        if _one_of(given, (self.write, *self.old_write)):
            return "write"
        return "secret" if _one_of(given, (self.secret, *self.old_secret)) else None

    def token(self, identifier: str, expires_at: int, scope: str = "personalize") -> str:
        """A text that lets its bearer ask as ``identifier`` until ``expires_at`` (ms since the epoch).

        It is ``identifier|expires_at|HMAC-SHA256(secret, "identifier|expires_at")`` in hex, so that a shop's own
        server can make it in any language; a scope other than ``personalize`` is signed too, after a third ``|``.
        """
        return f"{identifier}|{expires_at}|{_signature(self.secret, identifier, expires_at, scope)}"

    def verify(self, token: object, now: int, scope: str = "personalize") -> str:
        """The identifier that a token speaks for.

        Raises:
            Rejected: status 401; code ``token_expired`` once its time is over, else ``invalid_token``.
        """
        if not isinstance(token, str) or len(token) > 2_000:
            raise _bad_token()
        identifier, _, rest = token.rpartition("|")
        identifier, _, until = identifier.rpartition("|")
        # `isdecimal` takes digits of other scripts, which `int` would take too; the signature is over ASCII.
        if not identifier or not until.isascii() or not until.isdecimal() or len(until) > 15:
            raise _bad_token()
        given = rest.encode(errors="surrogatepass")
        signed = [_signature(one, identifier, int(until), scope) for one in (self.secret, *self.old_secret)]
        if not _one_of(given, signed):
            raise _bad_token()
        if int(until) <= now:
            raise Rejected(
                "the token's time is over; ask the shop's server for a new one",
                code="token_expired",
                field="token",
                status=401,
            )
        return identifier

    def rotated(self, role: Role) -> Self:
        """The same keys with a new one for ``role``; the present one goes on working as an old one."""
        if role == "write":
            return msgspec.structs.replace(self, write=_new("wk"), old_write=(self.write, *self.old_write))
        return msgspec.structs.replace(self, secret=_new("sk"), old_secret=(self.secret, *self.old_secret))

    def without_old(self) -> Self:
        """The same keys; those that were rotated away stop working."""
        return msgspec.structs.replace(self, old_write=(), old_secret=())


def load_keys(settings: Settings) -> Keys:
    """The keys of a data folder, made at first use; keys in the settings go before those in the file.

    Raises:
        Rejected: a key in the settings is empty, or both are the same.
        Unavailable: the folder cannot be read or written.
        Corrupt: ``keys.json`` is not what we wrote.
    """
    keys = _read(Path(settings.data)) or _created(Path(settings.data))
    given = {
        name: value
        for name, value in (("write", settings.write_key), ("secret", settings.secret_key))
        if value is not None
    }
    for name, value in given.items():
        if not value.strip():
            raise Rejected(
                f"PLAIT_{name.upper()}_KEY is empty; set it or remove it",
                code="invalid_settings",
                field=f"{name}_key",
            )
        if name == "secret" and len(value) < _SHORT:
            log.warning("secret_key_is_short", characters=len(value), advice=f"use at least {_SHORT}")
    keys = msgspec.structs.replace(keys, **given)
    if keys.role(keys.secret) != "secret":
        raise Rejected(
            "the write key and the secret key must differ: the write key stands in public pages",
            code="invalid_settings",
            field="secret_key",
        )
    return keys


def rotate_keys(settings: Settings, role: Role | None, *, drop_old: bool = False) -> None:
    """Change the keys of a data folder: a new key for ``role``, and no old keys any more with ``drop_old``.

    Raises:
        Rejected: that key is set by the environment or ``plait.toml``, so it must be changed there.
        Unavailable, Corrupt: as ``load_keys``.
    """
    if role is not None and getattr(settings, f"{role}_key") is not None:
        raise Rejected(
            f"the {role} key is set by PLAIT_{role.upper()}_KEY or plait.toml; change it there",
            code="key_set_elsewhere",
            field=f"{role}_key",
        )
    data = Path(settings.data)
    keys = _read(data) or _created(data)
    if drop_old:
        keys = keys.without_old()
    if role is not None:
        keys = keys.rotated(role)
    save_keys(data, keys)


def save_keys(data: Path, keys: Keys) -> None:
    """Write ``keys.json`` whole, readable by its owner only; a running server takes it up within a second.

    Raises:
        Unavailable: the folder cannot be written.
    """
    path, fresh = data / FILE, data / f".{FILE}.{os.getpid()}"
    try:
        data.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(keys)))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as exc:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise Unavailable(f"{path} cannot be written: {exc.strerror}", code="data_not_writable") from exc


def _read(data: Path) -> Keys | None:
    path = data / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Keys)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise Unavailable(f"{path} cannot be read: {exc.strerror}", code="data_not_readable") from exc
    except msgspec.MsgspecError as exc:
        raise Corrupt(f"{path} is not what Plait wrote: {exc}", code="keys_corrupt") from exc


def _created(data: Path) -> Keys:
    """New keys, saved. When two processes make them at once, one wins and both read the winner's."""
    keys = Keys(write=_new("wk"), secret=_new("sk"), pepper=secrets.token_hex(32))
    fresh = data / f"new-{secrets.token_hex(4)}"
    save_keys(fresh, keys)
    try:
        os.link(fresh / FILE, data / FILE)
    except FileExistsError:
        keys = _read(data) or keys
    except OSError as exc:
        raise Unavailable(f"{data} cannot be written: {exc.strerror}", code="data_not_writable") from exc
    finally:
        (fresh / FILE).unlink()
        fresh.rmdir()
    return keys


def _new(prefix: str) -> str:
    return f"{prefix}_{secrets.token_urlsafe(24)}"  # 192 bits


def _one_of(given: bytes, keys: tuple[str, ...] | list[str]) -> bool:
    # No early return: how long it takes must not tell which key was nearly right.
    found = False
    for key in keys:
        found |= hmac.compare_digest(given, key.encode())
    return found


def _signature(secret: str, identifier: str, expires_at: int, scope: str) -> str:
    text = f"{identifier}|{expires_at}" + ("" if scope == "personalize" else f"|{scope}")
    return hmac.new(secret.encode(), text.encode(errors="surrogatepass"), hashlib.sha256).hexdigest()


def _bad_token() -> Rejected:
    return Rejected("the token is not valid", code="invalid_token", field="token", status=401)
