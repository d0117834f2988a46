"""The plot of earlier training runs in the report: how the shop, its similarities and the figures have changed."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recsys.artifacts import history
from recsys.errors import ModelRefused
from recsys.lifecycle.runs import is_run, number, winner_figure

PANELS: Mapping[str, tuple[str, ...]] = {
    "size": ("n_users", "n_products", "n_interactions"),
    "share of pairs": ("sparsity", "similarity_density", "avg_similarity"),
    "MAP@10 of the winner": ("map10",),
}
COLORS = ("#2563eb", "#0d9488", "#d97706")
REFUSED = "#dc2626"
RUNS_SHOWN = 200  # the newest ones; more points would cover each other


def known_history(models_dir: Path) -> list[dict[str, Any]]:
    """Return the history of training runs; empty if it is damaged, which publication reports by itself."""
    try:
        return [entry for entry in history(models_dir) if isinstance(entry, dict)]
    except ModelRefused:
        return []


def history_section(entries: Sequence[Mapping[str, Any]]) -> str:
    """Return the section of the report with a plot of all runs; empty with fewer than two.

    Args:
        entries: The entries of models/metrics.json, the newest last.
    """
    from matplotlib.figure import Figure  # imported here: it is slow to load

    runs = [entry for entry in entries if is_run(entry)][-RUNS_SHOWN:]
    if len(runs) < 2:
        return ""
    moments = [datetime.fromtimestamp(run["trained_at"], UTC) for run in runs]
    refused = [moment for moment, run in zip(moments, runs, strict=True) if "published" in run and not run["published"]]
    drawing = Figure(figsize=(10, 3.2), layout="constrained")
    for panel, (title, names) in zip(drawing.subplots(1, len(PANELS)), PANELS.items(), strict=True):
        for name, color in zip(names, COLORS, strict=False):
            values = [winner_figure(run, name) if name == "map10" else number(run.get(name)) for run in runs]
            points = [(x, y) for x, y in zip(moments, values, strict=True) if y is not None]
            if points:
                panel.plot(*zip(*points, strict=True), marker="o", markersize=3, label=name, color=color)
        for moment in refused:
            panel.axvline(moment, color=REFUSED, linewidth=0.8, linestyle=":")
        if title == "size":
            panel.set_yscale("symlog")
        panel.set_title(title, fontsize=10)
        panel.tick_params(axis="x", rotation=45, labelsize=7)
        panel.spines[["top", "right"]].set_visible(False)
        if panel.get_legend_handles_labels()[0]:
            panel.legend(frameon=False, fontsize=7)
    not_published = f"{len(refused)} of them, the dotted lines, were not published"
    return f"<h2>Training runs so far</h2><p>{len(runs)} runs; {not_published}.</p>{svg(drawing)}"


def svg(drawing: Any) -> str:
    """Return a matplotlib figure as an `<svg>` element, without a date."""
    buffer = io.StringIO()
    drawing.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()[buffer.getvalue().index("<svg") :]
