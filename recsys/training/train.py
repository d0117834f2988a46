"""The training run: from the shop's tables to a published version, or to a refusal with its reason."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

from recsys import store
from recsys.artifacts import DISK, Draft, Files
from recsys.errors import NotEnoughData, TrainingRefused
from recsys.lifecycle.versions import clean_up
from recsys.settings import Settings
from recsys.training.chain import active_fits
from recsys.training.estimate import plan
from recsys.training.fitting import check_complete
from recsys.training.hooks import Hooks
from recsys.training.publishing import publish
from recsys.training.refusal import record_refusal
from recsys.training.run import Progress, TrainingRun
from recsys.training.stages import check_enough, evaluate, fit_to_serve, read_shop, split, validate
from recsys.training.verdict import pass_gate


def train(
    settings: Settings,
    *,
    now: int,
    progress: Progress,
    protocol: str = "time",
    dry_run: bool = False,
    force: bool = False,
    warm: bool = False,
    budget: float | None = None,
    hooks: Hooks | None = None,
    files: Files = DISK,
    connect: Callable[..., store.Database] = store.connect,
) -> TrainingRun:
    """Read, clean, cut, fit, evaluate, compare and publish; a crash at any line leaves the old version serving.

    Args:
        settings: Where the shop is, how it is mapped and how to train.
        now: Seconds since 1970.
        progress: Receives the progress of the run.
        protocol: `time` cuts at one moment; `loo99` ranks each user's last item among 99 sampled ones.
        dry_run: Stop before anything is written.
        force: Publish what the gate refuses, and record that.
        warm: Go on from the fits of the active version, as far as no fit learns what came after its cut.
        budget: Minutes that the run may take by its own estimate; None for all the time that it needs.
        hooks: The shop's own step; None for none.
        files: Performs every change on the disk.
        connect: Opens the database.

    Raises:
        NotEnoughData: The shop is too small; the message says what there is and what is needed.
        TrainingRefused: The candidate did not pass the gate.
    """
    # The draft comes first: it takes the publisher's lock, so that a second run stops before it reads anything.
    with nullcontext() if dry_run else Draft.create(settings.models_dir, now, files) as draft:
        with connect(settings.database_url) as db:
            run = read_shop(db, settings, protocol=protocol, now=now, progress=progress, hooks=hooks)
            run = replace(run, force=force)
        if warm:
            run = replace(run, active=active_fits(settings.models_dir, settings.training, progress.note))
        try:
            check_enough(run)
            run = plan(run, budget, progress)
            before, after, cut = split(run, run.events, "test")
            run = validate(run, before, progress)
            run = evaluate(run, before, after, cut, progress)
            run = fit_to_serve(run, progress)
            check_complete(run.final)
            run = pass_gate(run, cut, progress)
            if run.verdict is not None and not run.verdict.publishes:
                raise TrainingRefused(run.verdict.sentence)
            if draft:
                run = publish(run, draft, files=files, connect=connect, progress=progress)
        except (NotEnoughData, TrainingRefused) as refusal:
            if draft:
                record_refusal(run, refusal, files=files, progress=progress)
            raise
        if draft:
            clean_up(settings, files=files, connect=connect, note=progress.note)
        return run
