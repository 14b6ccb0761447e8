"""Figures of connected accounts for Prometheus, made of what the driver told last."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

_WELL = ("backfilling", "streaming", "polling")

# The driver's counts begin anew with it, as Prometheus expects of counters.
_FIGURES: tuple[tuple[Any, str, str, Callable[[Any], float]], ...] = (
    (GaugeMetricFamily, "plait_source_up", "Whether it is heard", lambda told: float(told.state in _WELL)),
    (GaugeMetricFamily, "plait_source_lag_seconds", "Newest fact to disk", lambda told: told.lag_seconds),
    (GaugeMetricFamily, "plait_source_heard_seconds", "When last heard", lambda told: told.heard_at / 1000),
    (CounterMetricFamily, "plait_source_facts", "Facts told", lambda told: told.facts),
    (CounterMetricFamily, "plait_source_calls", "Requests made", lambda told: told.calls),
    (CounterMetricFamily, "plait_source_errors", "What went wrong", lambda told: told.errors),
    (CounterMetricFamily, "plait_source_gaps", "Times something may be missing", lambda told: told.gaps),
)


class SourceFigures:
    """A collector of Prometheus.

    Attributes:
        told: ``plait.driver.told.Told`` by source.
    """

    def __init__(self) -> None:
        self.told: Mapping[str, Any] = {}

    def collect(self) -> Iterator[Metric]:
        """The figures, for the registry."""
        for kind, name, what, value in _FIGURES:
            one = kind(name, what, labels=["source"])
            for source, told in self.told.items():
                one.add_metric([source], value(told))
            yield one
        dropped = CounterMetricFamily("plait_source_dropped", "Facts left out", labels=["source", "reason"])
        left = GaugeMetricFamily("plait_source_calls_left", "Calls left now", labels=["source", "budget"])
        for source, told in self.told.items():
            for reason, n in told.dropped.items():
                dropped.add_metric([source, reason], n)
            for budget, one in told.budgets.items():
                left.add_metric([source, budget], one.left)
        yield from (dropped, left)
