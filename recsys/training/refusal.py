"""What a refused run leaves behind: an entry in the history, and a report with its verdict beside the versions."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from recsys.artifacts import Files, append_history, keep_refused_report
from recsys.errors import NotEnoughData, RecsysError, TrainingRefused
from recsys.training.publishing import history_entry
from recsys.training.report import metrics_link, page, refused_early
from recsys.training.report_history import known_history
from recsys.training.run import Progress, TrainingRun
from recsys.training.shop_figures import shop_figures


def record_refusal(
    run: TrainingRun, refusal: NotEnoughData | TrainingRefused, *, files: Files, progress: Progress
) -> None:
    """Write the report of a refused run, and its entry in the history. The caller holds the publisher's lock.

    As many of these reports are kept as versions. A report that cannot be written is only noted: the entry says why
    the run was refused, too.

    Args:
        run: The run as far as it came.
        refusal: Why it is refused.
        files: Performs every change on the disk.
        progress: Receives where the report is.

    Raises:
        RecsysError: The entry cannot be written.
    """
    settings = run.settings
    entry = {**figures_of(run), "published": None, "reason": str(refusal)}
    past = known_history(settings.models_dir)
    if run.verdict is None:
        text = refused_early(entry, past)
    else:
        text = page(entry, run.evaluated.losses, past, metrics_link(settings.models_dir / "refused"))
    try:
        path = keep_refused_report(
            settings.models_dir, run.now, text.encode(), keep=settings.lifecycle.keep_versions, files=files
        )
        entry["report"] = path
        progress.note(f"The report of this run: {settings.models_dir / path}")
    except RecsysError as error:
        progress.note(f"The report of this run could not be written: {error}")
    append_history(settings.models_dir, entry, files)


def figures_of(run: TrainingRun) -> dict[str, Any]:
    """Return what the history keeps of a refused run.

    Args:
        run: The run as far as it came. Before there was a verdict, only the figures of its events are known.
    """
    if run.verdict is None:
        return {**shop_figures(run), "cleaning": asdict(run.cleaning)}
    return history_entry(run)
