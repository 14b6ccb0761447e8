"""What can go wrong, told by what the caller should do next.

PlaitError
├── Rejected      do not send it again as it is: the request is wrong
├── Unavailable   try again later: the request may be right, we are not able now
└── Corrupt       stop and look: our own data is not what we wrote
"""

from __future__ import annotations

import re
from typing import Any

import msgspec


class PlaitError(Exception):
    """The root of all errors that Plait raises on purpose.

    Attributes:
        code: a stable word for programs, ``snake_case``.
        message: one sentence for people; names the thing, the value and the remedy.
        field: path of the offending field (``batch[3].messageId``), or ``None``.
        status: the HTTP status that tells a sender the same.
    """

    status = 500

    def __init__(
        self, message: str, *, code: str = "error", field: str | None = None, status: int | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.field = field
        if status is not None:
            self.status = status

    def as_json(self) -> dict[str, Any]:
        """The body of an error answer: ``code``, ``message`` and, where there is one, ``field``."""
        told: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.field is not None:
            told["field"] = self.field
        return told


class Rejected(PlaitError):
    """The request is wrong; sending it again will not help. Default status 400."""

    status = 400


class Unavailable(PlaitError):
    """Not now: a full disk, a lagging fold, a locked folder. Default status 503.

    Attributes:
        retry_after: seconds after which another try makes sense, >= 1.
    """

    status = 503

    def __init__(
        self,
        message: str,
        *,
        code: str = "unavailable",
        field: str | None = None,
        status: int | None = None,
        retry_after: int = 1,
    ) -> None:
        super().__init__(message, code=code, field=field, status=status)
        self.retry_after = retry_after


class Corrupt(PlaitError):
    """Our own data is not what we wrote. Never answered around: the process stops and says where to look."""


_NAMED = re.compile(r"(?:missing required|contains unknown) field `(.+)`")


def misfit(error: msgspec.ValidationError, path: str = "") -> tuple[str, str | None]:
    """What is wrong with a value that has not the shape it should have, and the path of that.

    Args:
        error: of msgspec; it says the path of what holds a wrong name, not of the name.
        path: of the whole, for what is within it.

    Returns:
        A sentence, and ``items[3].price``; ``None`` where it is the whole, and that has no path.
    """
    what, _, where = str(error).partition(" - at `$")
    field = path + where.rstrip("`").replace("[...]", "")
    if named := _NAMED.search(what):
        field = f"{field}.{named[1][:80]}"
    return what, field.lstrip(".") or None
