"""How hypothesis argues: without a stopwatch, which on a busy machine judges the machine."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("plait", deadline=None)
settings.load_profile("plait")
