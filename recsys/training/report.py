"""The training report: one HTML page in the version, with tables of metrics, plots and counts of dropped rows."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from recsys.artifacts import Draft
from recsys.scorers.registry import MODELS, REGISTRY

COLUMNS: Mapping[str, str] = {
    "map10": "MAP@10",
    "precision10": "P@10",
    "ndcg10": "NDCG@10",
    "hr10": "HR@10",
    "recall10": "Recall",
    "auc": "AUC",
    "rmse": "RMSE",
    "coverage": "Coverage",
    "unseen_map10": "Unseen MAP",
}
RULE_TITLES: Mapping[str, str] = {"hide": "Bought items are hidden", "allow": "Repeats are allowed"}
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2937; max-width: 1000px; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; font-variant-numeric: tabular-nums }
th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid #e5e7eb }
th:first-child, td:first-child { text-align: left }
tr.winner { background: #eff6ff; font-weight: 600 } .note { color: #6b7280 } svg { max-width: 100%; height: auto }
@media (max-width: 700px) { table { display: block; overflow-x: auto } }
"""


def figure(value: float | None) -> str:
    """Return a metric with four decimal digits, or a dash for None."""
    return "–" if value is None else f"{value:.4f}"


def ranked(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the names of the scorers, best MAP@10 first, ties in registry order."""
    return sorted(rows, key=lambda name: (-(rows[name]["map10"] or 0.0), list(REGISTRY).index(name)))


def network_gains(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a sentence with the ablation gain of each network, as `stages.network_gain` measures it.

    Args:
        rows: The row of each scorer, by its name.
    """
    gains = [
        f"{name} {row['own_part']:+.4f} (at least {row['own_part_low']:+.4f})"
        if row["own_part_low"] > 0
        else f"{name} nothing that is certain"
        for name, row in rows.items()
        if "own_part" in row
    ]
    return f"What each network adds to the ensemble of shared features, NDCG@10: {', '.join(gains)}."


def write_report(draft: Draft, entry: Mapping[str, Any], losses: Mapping[str, Sequence[float]]) -> None:
    """Write `report.html` into a version.

    Args:
        draft: The version being written.
        entry: The entry of the run in models/metrics.json.
        losses: The loss of each epoch of each network.
    """
    draft.path("report.html").write_text(page(entry, losses), encoding="utf-8")


def page(entry: Mapping[str, Any], losses: Mapping[str, Sequence[float]]) -> str:
    """Return the report as one HTML page without references to other files.

    Args:
        entry: The entry of the run in models/metrics.json.
        losses: The loss of each epoch of each network.
    """
    cleaning, rule = entry["cleaning"], entry["rule"]
    users = next(iter(entry["rows"][rule].values()))["users"]
    rules, winner = sorted(entry["rows"].items()), entry["winner"]
    tables = "".join(
        f"<h2>{RULE_TITLES[label]}</h2>{_table(rows, winner)}<p>{escape(network_gains(rows))}</p>"
        for label, rows in rules
    )
    dropped = "".join(
        f"<tr><td>{escape(reason)}</td><td>{count:,}</td></tr>" for reason, count in cleaning["dropped"].items()
    )
    lines = "".join(f"<li>{escape(line)}</li>" for line in cleaning["unreadable"])
    unreadable = f"<ul>{lines}</ul>" if lines else ""
    protocol, without_relevant = escape(entry["protocol"]), entry["users_without_relevant"]
    commit, data_hash = escape(str(entry["git_commit"])), escape(entry["data_sha256"][:16])
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        "<title>Training report</title>"
        f"<style>{STYLE}</style><h1>Training report</h1>"
        f"<p>The winner on validation is <b>{escape(winner)}</b>. The evaluation ranks the whole active catalogue for "
        f"{users:,} users after one cut ({protocol}); {without_relevant:,} had nothing relevant.</p>"
        f"{_bars(entry['rows'])}{tables}{_context_lift(entry['context_lift'])}"
        f"<h2>Loss of each epoch, fit before the test cut</h2>{_curves(losses)}"
        f"<h2>Cleaning</h2><p>{cleaning['rows_in']:,} rows read, {cleaning['rows_out']:,} kept.</p>"
        f"<table><tr><th>Dropped</th><th>Rows</th></tr>{dropped}</table>{unreadable}"
        f"<p class=note>seed {entry['seed']} · commit {commit} · data {data_hash}</p></html>"
    )


def _context_lift(lift: Mapping[str, float] | None) -> str:
    """Return a paragraph on what ENCM gains from context; empty where it was not measured."""
    if not lift:
        return ""
    figures = f"{lift['with_context']:.4f} with their context, {lift['without_context']:.4f} with all of it unknown"
    return f"<p>ENCM's mean reciprocal rank of {lift['events']:.0f} held-out events: {figures}.</p>"


def _table(rows: Mapping[str, Mapping[str, Any]], winner: str) -> str:
    """Return the HTML table of one repeat rule, best MAP@10 first."""
    head = "".join(f"<th>{title}</th>" for title in COLUMNS.values())
    body = ""
    for name in ranked(rows):
        cells = "".join(f"<td>{figure(rows[name][column])}</td>" for column in COLUMNS)
        body += f"<tr{' class=winner' if name == winner else ''}><td>{escape(name)}</td>{cells}</tr>"
    return f"<table><tr><th>Scorer</th>{head}</tr>{body}</table>"


def _bars(rows: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Return a bar chart of MAP@10 with bootstrap intervals as SVG, one panel for each repeat rule."""
    from matplotlib.figure import Figure  # imported here: it is slow to load

    drawing = Figure(figsize=(10, 3.6), layout="constrained")
    panels = drawing.subplots(1, len(rows), squeeze=False)[0]
    for panel, (label, table) in zip(panels, sorted(rows.items()), strict=True):
        names = ranked(table)[::-1]
        values = [table[name]["map10"] or 0.0 for name in names]
        errors = [
            [max(value - (table[name]["map10_low"] or 0.0), 0.0) for name, value in zip(names, values, strict=True)],
            [max((table[name]["map10_high"] or 0.0) - value, 0.0) for name, value in zip(names, values, strict=True)],
        ]
        colors = ["#2563eb" if name in MODELS else "#cbd5e1" for name in names]
        panel.barh(names, values, xerr=errors, color=colors, ecolor="#475569")
        panel.set_title(f"MAP@10 — {RULE_TITLES[label].lower()}", fontsize=10)
        panel.spines[["top", "right"]].set_visible(False)
    return _svg(drawing)


def _curves(losses: Mapping[str, Sequence[float]]) -> str:
    """Return the loss curves of the networks as SVG, each in its own colour."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    drawing = Figure(figsize=(7, 3.2), layout="constrained")
    panel = drawing.subplots()
    for share, (name, values) in zip(np.linspace(0.1, 0.85, len(losses)), losses.items(), strict=True):
        epochs, color = range(1, len(values) + 1), colormaps["plasma"](share)
        panel.plot(epochs, values, marker="o", markersize=3, label=name, color=color)
    panel.set_xlabel("epoch")
    panel.set_ylabel("weighted cross-entropy")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(frameon=False)
    return _svg(drawing)


def _svg(drawing: Any) -> str:
    """Return a matplotlib figure as an `<svg>` element, without a date."""
    buffer = io.StringIO()
    drawing.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()[buffer.getvalue().index("<svg") :]
