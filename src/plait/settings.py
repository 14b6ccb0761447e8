"""What an operator may set: the defaults suit a small shop, and an unknown name is refused.

Settings come from ``plait.toml`` in the data folder, then the environment (``PLAIT_PORT``,
``PLAIT_CONSENT__LINK``), then the command line; later wins.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from plait.errors import Rejected, Unavailable

ENV_PREFIX = "PLAIT_"
RESERVE = 64 << 20  # bytes of the disk that are left to folding, erasing and compacting
# What a number may be; all ends included.
_BOUNDS: dict[str, tuple[float, float]] = {
    "port": (0, 65_535),
    "half_life_days": (0.001, 36_500),
    "fit_every_minutes": (0, 1e6),
    "refit_every_minutes": (0, 1e6),
    "lake_every_seconds": (0, 1e6),
    "lake_retention_days": (0, 36_500),
    "complaint_mutes_days": (0, 3_650),
    "lag_limit_events": (1, 1e12),
}


class ConsentDefaults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What holds for a purpose as long as the person said nothing (design: link and social off)."""

    collect: bool = True
    personalize: bool = True
    link: bool = False
    social: bool = False


class IdentityLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When an identifier has too many neighbours to be one person's: beyond it, its links are quarantined."""

    anonymous: int = 8
    email: int = 4
    phone: int = 4
    network: int = 4
    user: int = 64
    blocked: tuple[str, ...] = (
        "anonymous:unknown", "anonymous:null", "anonymous:undefined", "anonymous:none", "anonymous:0",
        "user:unknown", "user:null", "user:undefined", "user:none", "user:anonymous", "user:guest", "user:0",
        "anonymous:00000000-0000-0000-0000-000000000000", "email:test@test.com", "email:test@example.com",
    )  # fmt: skip


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that can be set; docs/reference/settings.md says where someone needs to."""

    data: str = "data"
    host: str = "127.0.0.1"
    port: int = 8080
    write_key: str | None = None
    secret_key: str | None = None
    source: str = "web"
    log: str = ""
    store: str = ""
    lake: str = ""
    half_life_days: float = 14.0
    fit_every_minutes: float = 60.0
    refit_every_minutes: float = 10.0
    lake_every_seconds: float = 60.0
    lake_retention_days: float = 0.0
    keep_message_text: bool = False
    complaint_mutes_days: float = 7.0
    scrub: tuple[str, ...] = (
        "password",
        "passwd",
        "pwd",
        "secret",
        "card_number",
        "cardNumber",
        "cvv",
        "cvc",
        "iban",
        "ssn",
    )
    allowed_origins: tuple[str, ...] = ("*",)
    private_hosts: tuple[str, ...] = ()
    public_url: str = ""
    lag_limit_events: int = 200_000
    log_level: str = "info"
    consent: ConsentDefaults = ConsentDefaults()
    identity: IdentityLimits = IdentityLimits()

    def url(self, part: str) -> str:
        """The URL of the ``log``, ``store`` or ``lake``: as set, else the embedded engine in the data folder."""
        given: str = getattr(self, part)
        scheme = "parquet" if part == "lake" else "lmdb"
        return given or f"{scheme}://{Path(self.data).resolve() / part}"


def load(
    data: str | None = None,
    *,
    env: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Settings:
    """Settings of a data folder.

    Raises:
        Rejected: an unknown name, or a value of the wrong type; the message says where it was found.
        Unavailable: ``plait.toml`` cannot be read.
    """
    env = os.environ if env is None else env
    folder = Path(data or env.get("PLAIT_DATA") or Settings().data)
    told = _told_in(folder / "plait.toml")
    for name, text in env.items():
        if name.startswith(ENV_PREFIX) and name != "PLAIT_DATA":
            _put(told, name, text)
    told |= {name: value for name, value in (overrides or {}).items() if value is not None}
    told["data"] = str(folder)
    return _checked(told, where="the settings", strict=False)


def _told_in(path: Path) -> dict[str, Any]:
    try:
        told = tomllib.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise Rejected(f"{path} is not TOML: {exc}", code="invalid_settings", field=str(path)) from exc
    except OSError as exc:
        raise Unavailable(f"{path} cannot be read: {exc.strerror}", code="data_not_readable") from exc
    _checked(told, where=str(path))
    return told


def _put(told: dict[str, Any], name: str, text: str) -> None:
    path = name.removeprefix(ENV_PREFIX).lower().split("__")
    known: Any = Settings()
    for part in path:
        if not isinstance(known, msgspec.Struct) or part not in known.__struct_fields__:
            raise Rejected(
                f"{name} is not a setting of Plait; rename or remove it", code="unknown_setting", field=name
            )
        known = getattr(known, part)
    value: Any = [one for one in text.split(",") if one] if isinstance(known, tuple) else text
    if isinstance(known, msgspec.Struct):
        raise Rejected(f"{name} is a group; set {name}__… instead", code="unknown_setting", field=name)
    here = told
    for part in path[:-1]:
        here = here.setdefault(part, {})
    here[path[-1]] = value


def _checked(told: dict[str, Any], *, where: str, strict: bool = True) -> Settings:
    try:
        settings = msgspec.convert(told, Settings, strict=strict)
    except msgspec.ValidationError as exc:
        raise Rejected(f"{where}: {exc}", code="invalid_settings", field=where) from exc
    for name, (least, most) in _BOUNDS.items():
        value = getattr(settings, name)
        if not least <= value <= most:  # NaN too
            raise Rejected(
                f"{where}: {name} must be {least:g} to {most:g}, not {value:g}",
                code="invalid_settings",
                field=name,
            )
    if settings.public_url and not _is_public(settings.public_url):
        raise Rejected(
            f"{where}: public_url must be like https://plait.shop.example, not {settings.public_url[:80]!r}",
            code="invalid_settings", field="public_url",
        )  # fmt: skip
    return settings


def _is_public(url: str) -> bool:
    """https, and nothing behind the path; http on this very machine, to try things out."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    local = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1")
    plain = (
        not (parts.query or parts.fragment or parts.username is not None)
        and url.isprintable()
        and " " not in url
    )
    return bool(parts.hostname) and plain and (parts.scheme == "https" or local)
