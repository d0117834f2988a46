"""Figures of the HTTP service for Prometheus."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from recsys.scorers.registry import REGISTRY

PREFIX = "recsys_service_"
ALGORITHM = "recsys.algorithm"  # the name in the scope under which a route leaves what ranked its list
SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
OTHER = "other"  # the route of what no route answers: names of clients' own would grow without end
DAY_S = 86_400


class Metrics:
    """Counts answers of one service."""

    def __init__(self, trained_at: Callable[[], int]) -> None:
        """Prepare all figures.

        Args:
            trained_at: Returns when the version that serves was made, in seconds since 1970.
        """
        self._registry = CollectorRegistry()
        self._trained_at = trained_at
        self.seconds = Histogram(
            f"{PREFIX}request_seconds",
            "Seconds until a request was answered.",
            ("route", "algorithm"),
            registry=self._registry,
            buckets=SECONDS,
        )
        self.answers = Counter(
            f"{PREFIX}answers", "Answers by route and status.", ("route", "status"), registry=self._registry
        )
        self.lists = Counter(
            f"{PREFIX}lists",
            "Lists by where they come from: cache, table, or made for this request.",
            ("place",),
            registry=self._registry,
        )
        self.sources = Counter(
            f"{PREFIX}sources", "Lists by the kind of scorer that ranked them.", ("source",), registry=self._registry
        )
        self.fallbacks = Counter(
            f"{PREFIX}fallbacks", "Personal lists that show what is popular instead.", registry=self._registry
        )
        self.events = Counter(f"{PREFIX}events", "Events that were stored.", ("type",), registry=self._registry)
        self._age = Gauge(
            f"{PREFIX}model_age_days", "Days since the version that serves was trained.", registry=self._registry
        )
        self._age.set_function(self.model_age_days)
        # Routes, statuses and algorithms are few, and a look-up by labels takes longer than the counting.
        self._of_route = lru_cache(maxsize=1000)(
            lambda route, status, algorithm: (
                self.answers.labels(route, str(status)),
                self.seconds.labels(route, algorithm),
            )
        )
        self._of_list = lru_cache(maxsize=1000)(
            lambda source, place: (self.lists.labels(place), self.sources.labels(source))
        )

    def count_answer(self, route: str, status: int, algorithm: str, seconds: float) -> None:
        """Count an answer of any route."""
        answers, histogram = self._of_route(route, status, algorithm)
        answers.inc()
        histogram.observe(seconds)

    def model_age_days(self) -> float:
        """Return the days since the version that serves was trained."""
        return (time.time() - self._trained_at()) / DAY_S

    def count_list(self, algorithm: str, place: str, *, is_personal: bool) -> None:
        """Count an answer with a list.

        Args:
            algorithm: What ranked it.
            place: Where it comes from.
            is_personal: Whether it was asked for a user or a product.
        """
        source = REGISTRY[algorithm].source if algorithm in REGISTRY else "table"
        for counter in self._of_list(source, place):
            counter.inc()
        if is_personal and source == "popularity":
            self.fallbacks.inc()

    def text(self) -> bytes:
        """Return all figures in the text format of Prometheus."""
        return generate_latest(self._registry)
