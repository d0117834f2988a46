"""The version that serves, exchanged for a newly activated one without a request noticing."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from recsys.bridge.error_boundary import attempt
from recsys.bridge.serving import Service
from recsys.contract.worker_messages import Refusal
from recsys.errors import ModelMismatch, RecsysError

if TYPE_CHECKING:
    from recsys.recommending.loading import ModelBundle

LOOK_EVERY_S = 0.25  # reading CURRENT takes a tenth of a millisecond; a rollback should be felt at once
AGAIN_AFTER_S = 5.0  # a version that a passing fault kept from serving; one that is damaged is not tried again
ENCODERS_AFTER_S = 60.0  # one whose encoders are not in the database: they may still come, and no file would tell

Load = Callable[[Service], "ModelBundle"]


class Versions:
    """Serves what CURRENT names. A version that cannot be opened or does not prove itself leaves the old one in place.

    Attributes:
        swaps: How often another version has taken over.
        refused: The version that CURRENT names and that is not served; None where there is none.
    """

    def __init__(self, service: Service) -> None:
        self.swaps = 0
        self.refused: Refusal | None = None
        self._service = service
        self._try_again_at = 0.0
        self._one_at_a_time = threading.Lock()
        self._over = threading.Event()

    def watch(self) -> None:
        """Look at CURRENT from now on, in a thread, until `close`."""
        threading.Thread(target=self._watch, name="versions", daemon=True).start()

    def close(self) -> None:
        """Look no more; a version that is just being opened is not waited for."""
        self._over.set()

    def look(self, *, again: bool = False) -> RecsysError | None:
        """Serve what CURRENT names, and return why not where that is not possible.

        Args:
            again: Whether a version that was refused before is tried once more.
        """
        with self._one_at_a_time:
            name = attempt(self._named)
            if isinstance(name, RecsysError):
                return self._refuse(None, name)
            if name == self._service.bundle.name:
                self.refused = None
                return None
            if self.refused and self.refused.version == name and not again and time.monotonic() < self._try_again_at:
                return None
            bundle = attempt(self._proven)
            if isinstance(bundle, RecsysError):
                return self._refuse(name, bundle)
            self._service.bundle = (
                bundle  # one reference: the request in hand keeps the old version until its answer is out
            )
            self.swaps += 1
            self.refused = None
            return None

    def _watch(self) -> None:
        while not self._over.wait(LOOK_EVERY_S):
            self.look()

    def _named(self) -> str:
        from recsys.artifacts import current_name

        return current_name(self._service.settings.models_dir)

    def _proven(self) -> ModelBundle:
        """Return the current version, opened beside the one that serves, once it has shown that it can take over."""
        from recsys.recommending.loading import load
        from recsys.recommending.smoke_test import smoke_test
        from recsys.store import connect

        settings = self._service.settings
        bundle = load(settings.models_dir, full=True)
        with connect(settings.database_url, timeout_s=AGAIN_AFTER_S) as database:
            smoke_test(bundle, database)
        return bundle

    def _refuse(self, name: str | None, error: RecsysError) -> RecsysError:
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
    """Return the seconds until a refused version is tried again by itself."""
    if isinstance(error, ModelMismatch):
        return ENCODERS_AFTER_S
    return AGAIN_AFTER_S if error.retryable else math.inf
