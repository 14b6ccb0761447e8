"""What the server counts about itself, for Prometheus and for ``/health/ready``."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.utils import floatToGoString

from plait.http.figures import SourceFigures

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter that nobody draws

# Decisions take about a millisecond and a sync of the disk a few; above ten seconds nothing is worth telling apart.
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class _Hot:
    """What is counted at every request, in plain numbers that are put into words when somebody asks: the library's own
    counters lock and check, which costs a request more than reading its key does. Only the server's loop counts.
    """

    def __init__(self) -> None:
        self.total = 0
        self._routes: dict[str, tuple[list[int], list[float]]] = {}

    def inc(self, n: int = 1) -> None:
        """Count ``n`` more events that were made durable."""
        self.total += n

    def observe(self, route: str, seconds: float) -> None:
        """Add one answer to a route's histogram."""
        found = self._routes.get(route)
        if found is None:
            found = self._routes[route] = [0] * (len(_SECONDS) + 1), [0.0]
        found[0][bisect_left(_SECONDS, seconds)] += 1
        found[1][0] += seconds

    def collect(self) -> Iterator[Metric]:
        """For the registry."""
        yield CounterMetricFamily("plait_accepted_events", "Events made durable", value=self.total)
        told = HistogramMetricFamily("plait_request_seconds", "Time to answer", labels=["route"])
        for route, (counts, total) in self._routes.items():
            below = accumulate(counts)
            bounds = [*map(floatToGoString, _SECONDS), "+Inf"]
            told.add_metric([route], list(zip(bounds, below, strict=True)), total[0])
        yield told


class Metrics:
    """The figures of one server. Names and meanings: docs/reference/metrics.md.

    Attributes:
        accepted: events that were made durable; ``accepted.inc(n)``, ``accepted.total``.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.accepted = _Hot()
        self.registry.register(self.accepted)
        self._refused = Counter(
            "plait_refused", "Events and requests refused", ["reason"], registry=self.registry
        )
        self._reasons: dict[str, Counter] = {}
        self.lag_records = Gauge(
            "plait_fold_lag_records", "Records the fold has not taken in", registry=self.registry
        )
        self.lag_events = Gauge(
            "plait_fold_lag_events", "Events the fold has not taken in", registry=self.registry
        )
        self.lag_seconds = Gauge(
            "plait_fold_lag_seconds", "Age of the oldest record not folded", registry=self.registry
        )
        self.set_aside = Gauge(
            "plait_fold_set_aside", "Records that could not be folded", registry=self.registry
        )
        self.log_position = Gauge("plait_log_position", "Newest position of the log", registry=self.registry)
        self.model_age = Gauge(
            "plait_model_age_seconds", "Time since the current model was fitted", registry=self.registry
        )
        self.items = Gauge("plait_catalog_items", "Items in the catalog", registry=self.registry)
        self.numbered = Gauge(
            "plait_numbered_events",
            "Events that browsers have numbered, arrived or not",
            registry=self.registry,
        )
        self.missing = Gauge(
            "plait_missing_events", "Numbered events that have not arrived", registry=self.registry
        )
        self.lost = Gauge("plait_lost_decisions", "Answers not recorded as decided", registry=self.registry)
        self.sources = SourceFigures()
        self.registry.register(self.sources)
        self.restarts = Counter(
            "plait_child_restarts", "Restarts of a child process", ["child"], registry=self.registry
        )

    def refused(self, reason: str, n: int = 1) -> None:
        """Count what was refused, by the error's code. Codes are ours, so their number is bounded."""
        counter = self._reasons.get(reason)
        if counter is None:
            counter = self._reasons[reason] = self._refused.labels(reason)
        counter.inc(n)

    def observe(self, route: str, seconds: float) -> None:
        """Add one answer to a route's latency histogram; ``route`` is a pattern, never a path with ids."""
        self.accepted.observe(route, seconds)

    def render(self) -> bytes:
        """All figures in the text format of Prometheus."""
        return generate_latest(self.registry)
