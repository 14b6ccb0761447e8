"""Lets a `plait` that is started with this folder on its PYTHONPATH know the fake network's connector."""

from pathlib import Path

import plait.connectors

plait.connectors.__path__.append(str(Path(__file__).parent / "connectors"))
