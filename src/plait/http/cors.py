"""Which pages of other sites may ask, and how: what an answer says of it, and the answer to a preflight."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Pairs = tuple[tuple[bytes, bytes], ...]

# Without leave a page may not read when it should come again.
_MAY_READ = (b"access-control-expose-headers", b"Retry-After")
_ANY_ORIGIN: Pairs = ((b"access-control-allow-origin", b"*"), _MAY_READ)
_OTHERS: Pairs = ((b"vary", b"Origin"),)


class Cors:
    """What the settings let in.

    Args:
        origins: as ``allowed_origins``; ``*`` is any.
    """

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = frozenset(origins)

    def of(self, headers: Mapping[bytes, bytes]) -> Pairs:
        """What an answer to a request with these headers says."""
        if "*" in self._origins:
            return _ANY_ORIGIN
        origin = headers.get(b"origin")
        if origin is None or origin.decode("latin-1") not in self._origins:
            return _OTHERS
        return ((b"access-control-allow-origin", origin), *_OTHERS, _MAY_READ)

    def preflight(self, headers: Mapping[bytes, bytes]) -> Pairs:
        """What a preflight is told: whatever headers it asks for."""
        asked = headers.get(b"access-control-request-headers", b"authorization, content-type")
        return (
            *self.of(headers),
            (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
            (b"access-control-allow-headers", asked[:1_000]),
            (b"access-control-max-age", b"86400"),
        )
