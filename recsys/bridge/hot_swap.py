"""The hot swap: a worker loads and tests a newly activated version, then serves it without dropping a request."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from recsys.artifacts import current_name
from recsys.bridge import error_boundary
from recsys.bridge.serving import HARMLESS, Service
from recsys.contract import Request, success
from recsys.contract.worker_messages import Refusal
from recsys.errors import ModelMismatch, RecsysError

if TYPE_CHECKING:
    from recsys.recommending.loading import ModelBundle
    from recsys.store import Database

LOOK_EVERY_S = 0.25  # reading CURRENT takes a tenth of a millisecond; a rollback should work at once
AGAIN_AFTER_S = 5.0  # the pause after a temporary fault; a damaged version is not tried again
ENCODERS_AFTER_S = 60.0  # the pause while the database lacks the version's encoders: no file changes when they come
REPLAYED = 8  # recent requests that a new version answers before it serves: they read what the next ones will


class Versions:
    """Keeps a service on the version that CURRENT names, unless that version cannot be opened or fails its tests.

    Attributes:
        swaps: The number of times that the version was swapped.
        refused: The version that CURRENT names but that does not serve, with the reason; None where there is none.
    """

    def __init__(self, service: Service) -> None:
        self.swaps = 0
        self.refused: Refusal | None = None
        self._service = service
        self._recent: deque[Request] = deque(maxlen=REPLAYED)
        self._try_again_at = 0.0
        self._lock = threading.Lock()  # one version is opened at a time
        self._closed = threading.Event()

    def watch(self) -> None:
        """Start a thread that looks at CURRENT every `LOOK_EVERY_S` seconds until `close`."""
        threading.Thread(target=self._watch, name="versions", daemon=True).start()

    def close(self) -> None:
        """Stop looking at CURRENT, without waiting for a version that is being opened."""
        self._closed.set()

    def answered(self, request: Request) -> None:
        """Keep a request that was answered well, for the test of the next version."""
        self._recent.append(replace(request, id=None, budget_ms=None))

    def look(self, *, again: bool = False) -> RecsysError | None:
        """Serve the version that CURRENT names, and return the failure where that is not possible.

        Args:
            again: Whether a version that was refused before is tried again at once.
        """
        with self._lock:
            name = error_boundary.run(lambda: current_name(self._service.settings.models_dir))
            if isinstance(name, RecsysError):
                return self._refuse(None, name)
            if name == self._service.bundle.name:
                self.refused = None
                return None
            if self.refused and self.refused.version == name and not again and time.monotonic() < self._try_again_at:
                return None
            bundle = error_boundary.run(self._load_tested)
            if isinstance(bundle, RecsysError):
                return self._refuse(name, bundle)
            self.swaps += 1  # before any answer can name the version
            self.refused = None
            self._service.bundle = bundle  # a request that is being answered keeps its reference to the old version
            return None

    def _watch(self) -> None:
        while not self._closed.wait(LOOK_EVERY_S):
            self.look()

    def _load_tested(self) -> ModelBundle:
        """Return the current version, loaded beside the one that serves, after it has passed its tests.

        It scores a few queries, and answers recent requests in full. Both warm it up.
        """
        from recsys.recommending.loading import load, smoke_test
        from recsys.store import connect

        settings = self._service.settings
        bundle = load(settings.models_dir, full=True)
        with connect(settings.database_url, timeout_s=AGAIN_AFTER_S) as database:
            smoke_test(bundle, database)
            for request in self._recent.copy():
                self._replay(request, bundle, database)
        return bundle

    def _replay(self, request: Request, bundle: ModelBundle, database: Database) -> None:
        """Answer a request by a version that does not serve yet.

        Raises:
            RecsysError: The version cannot answer it; a user or an item that it does not know is no failure.
        """
        with suppress(*HARMLESS):
            success(self._service.answer(request, bundle, database, deadline=None))

    def _refuse(self, name: str | None, error: RecsysError) -> RecsysError:
        """Keep the old version, remember the reason, and write it to stderr where it is new."""
        refusal = Refusal(name, error.code, str(error))
        if refusal != self.refused and sys.stderr is not None:
            with suppress(OSError):
                sys.stderr.write(
                    f"{self._service.bundle.name} goes on serving, because {name or 'CURRENT'} cannot: {error}\n"
                )
                sys.stderr.flush()
        self.refused = refusal
        self._try_again_at = time.monotonic() + _pause_s(error)
        return error


def _pause_s(error: RecsysError) -> float:
    """Return the seconds until a refused version is tried again."""
    if isinstance(error, ModelMismatch):
        return ENCODERS_AFTER_S
    return AGAIN_AFTER_S if error.retryable else math.inf
