"""A connector made for an account, given what it asks for besides what all are given."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping
from typing import Any

from plait.connectors import Account, Connector


def made_for(
    made: type[Connector],
    account: Account,
    *,
    secrets: Callable[[], Mapping[str, str]],
    watched: Callable[[str], bool] = lambda _: False,
) -> Connector:
    """A connector of an account.

    Args:
        made: its class. One that takes ``secrets`` is given them.
        account: whose.
        secrets: what the account was connected with: for one that checks the signatures of webhooks with a shared secret.
        watched: whether an account is one whose acts matter.
    """
    more: dict[str, Any] = {}
    if "secrets" in inspect.signature(made).parameters:
        more["secrets"] = dict(secrets())
    return made(account, watched=watched, now=lambda: time.time_ns() // 1_000_000, **more)
