"""What the server counts about itself, for Prometheus and for ``/health/ready``."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter that nobody draws

# Decisions take about a millisecond and a sync of the disk a few; above ten seconds nothing is worth telling apart.
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Accepted:
    """Events made durable since the server started; ``total`` is the count as a plain number."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.total = 0
        self._counter = Counter("plait_accepted_events", "Events made durable", registry=registry)

    def inc(self, n: int = 1) -> None:
        """Count ``n`` more."""
        self.total += n
        self._counter.inc(n)


class Metrics:
    """The figures of one server. Names and meanings: docs/reference/metrics.md.

    Attributes:
        accepted: events that were made durable; ``accepted.inc(n)``.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.accepted = Accepted(self.registry)
        self._refused = Counter(
            "plait_refused", "Events and requests refused", ["reason"], registry=self.registry
        )
        self._seconds = Histogram(
            "plait_request_seconds", "Time to answer", ["route"], buckets=_SECONDS, registry=self.registry
        )
        self._seconds_of: dict[str, Histogram] = {}
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
        histogram = self._seconds_of.get(route)
        if histogram is None:
            histogram = self._seconds_of[route] = self._seconds.labels(route)
        histogram.observe(seconds)

    def render(self) -> bytes:
        """All figures in the text format of Prometheus."""
        return generate_latest(self.registry)
