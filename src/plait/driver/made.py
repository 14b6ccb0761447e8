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
    known: Callable[[str], bool] = lambda _: True,
) -> Connector:
    """A connector of an account.

    Args:
        made: its class. One that takes ``known`` or ``secrets`` is given them.
        account: whose.
        secrets: what the account was connected with: for one that checks the signatures of webhooks with a shared secret.
        watched: whether an account is one whose acts matter.
        known: whether we may hold anything of an account, so that what it takes back has to be told.
    """
    takes = inspect.signature(made).parameters
    more: dict[str, Any] = {}
    if "known" in takes:
        more["known"] = known
    if "secrets" in takes:
        more["secrets"] = dict(secrets())
    return made(account, watched=watched, now=lambda: time.time_ns() // 1_000_000, **more)
