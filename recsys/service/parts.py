"""The parts of the application: what routes use, opened once, and what runs beside the answers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from recsys.bridge.hot_swap import Versions
from recsys.bridge.serving import Service
from recsys.errors import RecsysError
from recsys.recommending.loading import ModelBundle
from recsys.service.access import Access
from recsys.service.answers import Answers
from recsys.service.arms import Arms
from recsys.service.cache import Cache, open_cache
from recsys.service.events import Events
from recsys.service.jobs import Jobs
from recsys.service.metrics import Metrics
from recsys.service.threads import Threads
from recsys.settings import Settings, TrackedSource, with_tracking
from recsys.settings.service import ServiceOptions
from recsys.store import Database
from recsys.store.tracking_experiments import count_list_events
from recsys.tracking.analytics import outcomes
from recsys.tracking.exports import export_similarities, export_together
from recsys.tracking.sales import sales_report

EXPORT_S = 300.0  # of the database, for all similarities of a version, and for all purchases of a report
MOST_LIST_EVENTS = 1_000_000  # half a gigabyte and ten seconds for a report; of more, scripts/experiment.py makes it
AGAIN_S = 30.0  # after an export that failed
LOOK_S = 1.0  # between two looks whether another version serves


class Parts:
    """What routes use: opened once, closed in the end.

    Attributes:
        service: Settings and version; see `recsys.bridge.serving.Service`.
        options: The options of the HTTP service.
        versions: Keeps `service` on the active version.
        threads: Where the database is read and lists are scored.
        cache: Where lists are kept.
        answers: Answers questions for lists.
        arms: Serves customers by their arm of an experiment.
        events: Records events.
        jobs: Trainings and computations.
        access: Tells who asks.
        metrics: Figures for Prometheus.
        log: Receives lines for people.
    """

    def __init__(
        self,
        service: Service,
        options: ServiceOptions,
        *,
        root: Path,
        environ: Mapping[str, str],
        cache: Cache | None = None,
        log: logging.Logger | None = None,
    ) -> None:
        self.service = service
        self.options = options
        self.log = log or logging.getLogger("recsys.service")
        self.versions = Versions(service)
        self.threads = Threads(service.settings.database_url, options.threads)
        self.cache = cache or open_cache(options.redis_url)
        self.answers = Answers(service, self.versions, self.threads, self.cache)
        self.arms = Arms(service.settings.experiment, self.threads)
        self.events = Events(service, self.threads, self.answers)
        self.jobs = Jobs(service.settings, root, environ, self.log)
        self.access = Access(options)
        self.metrics = Metrics(lambda: trained_at(service.bundle.name))
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start what runs beside the answers; the event loop runs already."""
        self.versions.watch()
        self._tasks = [asyncio.ensure_future(self.events.keep_house()), asyncio.ensure_future(self._export_versions())]

    async def close(self) -> None:
        """End what runs, and close what is open."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.versions.close()
        await self.answers.finish()
        await asyncio.to_thread(self.answers.close)
        await asyncio.to_thread(self.jobs.close)
        await asyncio.to_thread(self.threads.close)
        self.service.close()

    def export(self, bundle: ModelBundle) -> str:
        """Write the similarities of a version and what is bought together into their tables; returns their sizes."""
        shop, now = self.service.settings.shop, int(time.time())

        def work(db: Database) -> str:
            n_similar = export_similarities(db, bundle.version)
            n_together = export_together(db, shop, now=now)
            return f"{n_similar} similarities of {bundle.name}, {n_together} pairs bought together"

        return self.threads.use(work, seconds=EXPORT_S)

    def figures(self) -> dict[str, Any]:
        """Return what came of recommendations, and what they have sold, for administrators."""
        settings, now = self.service.settings, int(time.time())

        def work(db: Database) -> dict[str, Any]:
            rows = [outcome._asdict() for outcome in outcomes(db)]
            if count_list_events(db, MOST_LIST_EVENTS) == MOST_LIST_EVENTS:
                return {"outcomes": rows, "sales": None}
            report = sales_report(db, settings.shop, settings.experiment, settings.privacy, now=now)
            return {"outcomes": rows, "sales": asdict(report)}

        return self.threads.use(work, seconds=EXPORT_S)

    async def _export_versions(self) -> None:
        """Export each version that begins to serve, until the task is cancelled."""
        exported = ""
        while True:
            bundle = self.service.bundle
            if bundle.name != exported:
                try:
                    self.log.info("exported %s", await self.threads.run(self.export, bundle))
                    exported = bundle.name
                except RecsysError as error:
                    self.log.warning("exported nothing of %s; it is tried again: %s", bundle.name, error)
                    await asyncio.sleep(AGAIN_S)
            await asyncio.sleep(LOOK_S)


def with_recorded_events(settings: Settings) -> Settings:
    """Return settings in which what the service records is a source of the shop, so that it shapes the next list."""
    shop = settings.shop
    if any(isinstance(source, TrackedSource) for source in shop.sources):
        return settings
    return replace(settings, shop=with_tracking(shop))


def trained_at(version: str) -> int:
    """Return when a version was trained, in seconds since 1970."""
    from recsys.lifecycle.versions import trained_at as of_name

    return of_name(version)
