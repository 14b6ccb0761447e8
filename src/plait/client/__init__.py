"""Plait from Python: events in the background, decisions in a line, on a server of yours.

``Client`` for threads and scripts, ``AsyncClient`` for asyncio; both do what ``plait.client.core`` and
``plait.client.questions`` say, and differ in how they wait. Nothing of the server is imported.
"""

from plait.client.aio import AsyncClient
from plait.client.core import event
from plait.client.questions import token
from plait.client.sync import Client
from plait.errors import PlaitError, Rejected, Unavailable

__all__ = ["AsyncClient", "Client", "PlaitError", "Rejected", "Unavailable", "event", "token"]
