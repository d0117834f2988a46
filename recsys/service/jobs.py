"""Trainings and computations that are started over HTTP: one of each kind at a time, each with an id."""

from __future__ import annotations

import logging
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal
from uuid import uuid4

from recsys.bridge import error_boundary
from recsys.errors import AlreadyTraining, InternalError, RecsysError
from recsys.errors.records import Record
from recsys.settings import Settings

Kind = Literal["training", "similarities", "user-preferences"]

MOST_KEPT = 100  # jobs that have ended


class JobState(Record):
    """A job and how it stands.

    Attributes:
        job_id: Random.
        kind: What it does.
        status: `running`, `done` or `failed`.
        message: What came of it, for people.
    """

    job_id: str
    kind: Kind
    status: Literal["running", "done", "failed"] = "running"
    message: str = "It runs."


class Jobs:
    """Runs jobs in threads of their own, beside those that answer."""

    def __init__(self, settings: Settings, root: Path, environ: Mapping[str, str], log: logging.Logger) -> None:
        """Prepare; nothing runs yet.

        Args:
            settings: Where versions are, and what a training may use.
            root: The folder that holds `train.py`.
            environ: The environment of a training.
            log: Receives what jobs say.
        """
        self._settings = settings
        self._root = root
        self._environ = environ
        self._log = log
        self._jobs: OrderedDict[str, JobState] = OrderedDict()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def find(self, job_id: str) -> JobState | None:
        """Return a job; None for an unknown one."""
        return self._jobs.get(job_id)

    def start_training(self) -> JobState:
        """Start a training in a process of its own, unless one runs, here or anywhere else on this folder of versions.

        It may take a second. The training takes the lock of trainings itself, so that even two services that start one
        at the same moment do not train twice.

        Raises:
            AlreadyTraining: One runs; the message names its holder.
        """
        return self.start("training", self._train, before=self._check_lock)

    def start(self, kind: Kind, work: Callable[[], str], before: Callable[[], None] = lambda: None) -> JobState:
        """Start a job, unless one of its kind runs.

        Args:
            kind: What it does.
            work: Returns what came of it, or raises a failure.
            before: Raises a failure where the job should not start.

        Raises:
            AlreadyTraining: A job of this kind runs.
        """
        with self._lock:
            running = [job for job in self._jobs.values() if job.kind == kind and job.status == "running"]
            if running:
                raise AlreadyTraining(f"No other job of this kind should run. Received: {running[0].job_id} runs.")
            before()
            job = JobState(uuid4().hex, kind)
            self._jobs[job.job_id] = job
            while len(self._jobs) > MOST_KEPT:
                self._jobs.popitem(last=False)
            thread = threading.Thread(target=self._run, args=(job, work), name=kind, daemon=True)
            self._threads = [other for other in self._threads if other.is_alive()] + [thread]
            thread.start()
        return job

    def close(self) -> None:
        """End a running training, and wait for what runs."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _run(self, job: JobState, work: Callable[[], str]) -> None:
        result = error_boundary.run(work)
        status: Literal["done", "failed"] = "failed" if isinstance(result, RecsysError) else "done"
        self._log.info("job %s, %s, %s: %s", job.job_id, job.kind, status, result)
        self._jobs[job.job_id] = JobState(job.job_id, job.kind, status, str(result))

    def _check_lock(self) -> None:
        """Refuse to start where another process trains."""
        from recsys.lifecycle.lock import training_lock

        with training_lock(self._settings.models_dir):
            pass

    def _train(self) -> str:
        from recsys.lifecycle.supervise import limits, run_training

        lifecycle = self._settings.lifecycle
        result = run_training(
            (sys.executable, str(self._root / "train.py")),
            folder=self._root,
            limits=limits(lifecycle.max_training_minutes, lifecycle.max_training_memory_mib),
            say=self._log.info,
            is_stopping=self._stopping.is_set,
            environ=self._environ,
        )
        if not result.published:
            raise InternalError(f"The training should publish a version. Received: {result.reason}")
        return f"A new version is published, after {result.seconds:.0f} seconds."
