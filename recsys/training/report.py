"""The training report: one HTML page in the version, with tables of metrics, plots and counts of dropped rows."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas

from recsys.artifacts import Draft
from recsys.scorers.registry import MODELS
from recsys.training.report_history import history_section, svg
from recsys.training.report_terms import shown_section, terms_section
from recsys.training.sentences import figure, hits, ranked, table_note, users_behind, who_is_served, why_the_star

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
MEANINGS: Mapping[str, str] = {
    "MAP@10": "how high the chosen products stand in the list of ten; 1 is the best possible list. It decides.",
    "P@10": "the share of the ten products that the customer chose: one hit is 0.1.",
    "NDCG@10": "as MAP@10, but the first places weigh less; 1 is the best possible list.",
    "HR@10": "the share of customers who chose at least one of the ten.",
    "Recall": "the share of what a customer chose that stands among the ten.",
    "AUC": "how often a chosen product stands above another one, over the whole catalogue; chance has 0.5.",
    "RMSE": "how far predicted probabilities are from what happened; 0 is the best.",
    "Coverage": "the share of the products on sale that anybody was shown.",
    "Unseen MAP": "MAP@10 of the customers who were new after the cut.",
}
ROOT = Path(__file__).resolve().parents[2]
METRICS_PAGE = "docs/METRICS.md"
CHART = (4.5, 3.4)  # inches; on a phone its letters are still 11 pixels high
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1f2937; max-width: 1040px; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem; line-height: 1.2 } h2 { font-size: 1.2rem; margin-top: 2rem }
p, ul, dl { max-width: 44rem } ul { padding-left: 1.2rem } code { overflow-wrap: anywhere } a { color: #1d4ed8 }
.lead { font-size: 1.2rem; line-height: 1.4 }
.scroll { overflow-x: auto; margin: .5rem 0 1rem; font-size: .9375rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .5rem 0 1rem }
th, td { padding: .3rem .6rem; text-align: right; border-bottom: 1px solid #e5e7eb }
th:first-child, td:first-child { text-align: left }
.scroll th:first-child, .scroll td:first-child { position: sticky; left: 0; background: #fff }
.scroll th, .scroll td { white-space: nowrap }
.scroll tr:has(td b) td, .scroll tr:has(td b) td:first-child { background: #eff6ff; font-weight: 600 }
dt { font-weight: 600 } dd { margin: 0 0 .4rem } summary { cursor: pointer; padding: .5rem 0 }
.note { color: #4b5563; overflow-wrap: anywhere } .charts { display: flex; flex-wrap: wrap; gap: 1rem }
svg { max-width: 100%; height: auto }
@media (max-width: 700px) { body { margin: 1rem auto } .scroll { font-size: .875rem } th, td { padding: .4rem .5rem } }
"""
HEAD = (
    "<!doctype html><html lang=en><meta charset=utf-8>"
    "<meta name=viewport content='width=device-width, initial-scale=1'><title>Training report</title>"
    f"<style>{STYLE}</style><h1>Training report</h1>"
)


def network_gains(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the ablation gain of each network, as `stages.network_gain` measures it, and which ones are of no use.

    Args:
        rows: The row of each scorer, by its name.
    """
    idle = [name for name, row in rows.items() if row.get("without_weight")]
    needless = (
        f"No weight beside the features: {', '.join(idle)}. So answers by these names are those of blend, they are not "
        "trained further, and the shop loses nothing without them."
    )
    gains = [
        f"{name} {row['own_part']:+.4f} (at least {row['own_part_low']:+.4f})"
        if row["own_part_low"] > 0
        else f"{name} nothing that is certain{' (its training ended early)' if row.get('ended_early') else ''}"
        for name, row in rows.items()
        if "own_part" in row and name not in idle
    ]
    adds = f"What each network adds to the ensemble of shared features, NDCG@10: {', '.join(gains)}."
    return " ".join([*([adds] if gains else []), *([needless] if idle else [])])


def verdict_lines(verdict: Mapping[str, Any] | None) -> list[str]:
    """Return the gate's verdict with its figures, one sentence a line.

    Args:
        verdict: The verdict as `recsys.lifecycle.gate.Verdict.to_json` gives it; None where there is none.
    """
    if not verdict:
        return []
    figures = verdict["figures"]
    candidate, paired = figures["candidate"], figures.get("paired")
    outcome = "published in spite of it" if verdict["forced"] else "it may serve" if verdict["published"] else "refused"
    others = "".join(f", {name} for {segment}" for segment, name in verdict["scorers"].items() if segment != "all")
    lines = [
        f"Verdict: {outcome}. {candidate['scorer']} serves{others}: MAP@10 {figure(candidate['map10'])}, "
        f"popularity {figure(candidate['popularity'])}."
    ]
    lines += [
        f"{name.capitalize()} ({segment['users']:,} users): MAP@10 {figure(segment['map10'])}, "
        f"popularity {figure(segment['popularity'])}."
        for name, segment in candidate["segments"].items()
    ]
    if paired:
        lines.append(
            f"Beside version {figures['active']['version']}, {paired['users']:,} users on the same later events: "
            f"MAP@10 {figure(paired['candidate'])} and {figure(paired['active'])}; the difference is at most "
            f"{paired['at_most']:+.4f}, and refused below {paired['allowed']:+.4f}."
        )
        lines += [
            f"Of them {name} ({segment['users']:,} users): MAP@10 {figure(segment['candidate'])} and "
            f"{figure(segment['active'])}; the difference is at most {segment['at_most']:+.4f}."
            for name, segment in paired.get("segments", {}).items()
        ]
    if candidate["agreement"] is not None:
        lines.append(
            f"The fit that serves shares {candidate['agreement']:.0%} of the ten best items with the evaluated one, "
            "for the median user."
        )
    lines += [f"Refused: {reason}" for reason in verdict["reasons"]]
    return [*lines, *(f"Warning: {warning}" for warning in verdict["warnings"])]


def write_report(
    draft: Draft, entry: Mapping[str, Any], losses: Mapping[str, Sequence[float]], past: Sequence[Mapping[str, Any]]
) -> None:
    """Write `report.html` into a version.

    Args:
        draft: The version being written.
        entry: The entry of the run in models/metrics.json.
        losses: The loss of each epoch of each network.
        past: The entries of earlier runs, oldest first.
    """
    path = draft.path("report.html")
    path.write_text(page(entry, losses, past, metrics_link(path.parent)), encoding="utf-8")


def metrics_link(folder: Path, root: Path = ROOT) -> str | None:
    """Return the relative address of docs/METRICS.md for a page in a version's folder, or None outside the project.

    Args:
        folder: The version's folder.
        root: The project's folder.
    """
    if not (root / METRICS_PAGE).is_file() or not folder.resolve().is_relative_to(root):
        return None
    return Path(os.path.relpath(root / METRICS_PAGE, folder.resolve())).as_posix()


def page(
    entry: Mapping[str, Any],
    losses: Mapping[str, Sequence[float]],
    past: Sequence[Mapping[str, Any]] = (),
    metrics: str | None = None,
) -> str:
    """Return the report as one HTML page that needs no other file.

    Args:
        entry: The entry of the run in models/metrics.json.
        losses: The loss of each epoch of each network.
        past: The entries of earlier runs, oldest first.
        metrics: The relative address of docs/METRICS.md; None where a link would lead nowhere.
    """
    by_rule = {rule: entry["rows"][rule] for rule in sorted(entry["rows"], key=lambda rule: rule != entry["rule"])}
    tables = "".join(
        f"<h2>{RULE_TITLES[rule]}</h2>{_table(rows, entry['winner'])}<p>{escape(why_the_star(entry, rule))}</p>"
        f"<p class=note>{escape(table_note(rows))}</p><p>{escape(network_gains(rows))}</p>"
        for rule, rows in by_rule.items()
    )
    commit, data_hash = escape(str(entry["git_commit"])), escape(entry["data_sha256"][:16])
    return (
        f"{HEAD}{_in_words(entry)}{_verdict(entry)}"
        f"{_bars(by_rule)}{tables}{_meanings(metrics)}{_context_lift(entry['context_lift'])}"
        f"{_curves({name: values for name, values in losses.items() if values})}"
        f"{terms_section(entry)}{shown_section(entry)}"
        f"{history_section([*past, entry])}"
        f"{_cleaning(entry['cleaning'])}"
        f"<p class=note>seed {entry['seed']} · commit {commit} · data {data_hash}</p></html>"
    )


def refused_early(entry: Mapping[str, Any], past: Sequence[Mapping[str, Any]]) -> str:
    """Return the report of a run that was refused before there was a verdict, as one HTML page.

    Args:
        entry: The entry of the run in models/metrics.json.
        past: The entries of earlier runs, oldest first.
    """
    reason = f"<p class=lead>Refused: {escape(entry['reason'])}</p><p>The version before serves on.</p>"
    return f"{HEAD}{reason}{history_section([*past, entry])}{_cleaning(entry['cleaning'])}</html>"


def _in_words(entry: Mapping[str, Any]) -> str:
    """Return what the run found, as paragraphs that anybody in the shop can read."""
    lead = "".join(f"<p class=lead>{escape(line)}</p>" for line in hits(entry))
    protocol = {
        "time": "Every scorer learned from the events before one cut in time, and ranked the whole active catalogue.",
        "loo99": "Every scorer learned from all but each customer's last event, and ranked its item among 99 others.",
    }[entry["protocol"]]
    lines = [protocol, *users_behind(entry), who_is_served(entry)]
    return f"{lead}<p>{escape(' '.join(lines))}</p>"


def _meanings(metrics: str | None) -> str:
    """Return what the columns mean, folded, and where the definitions are."""
    terms = "".join(f"<dt>{escape(name)}</dt><dd>{escape(meaning)}</dd>" for name, meaning in MEANINGS.items())
    name = f"<code>{METRICS_PAGE}</code>"
    where = f"<a href='{escape(metrics)}'>{name}</a>" if metrics else f"{name} in the project's folder"
    return (
        f"<details><summary>What the columns mean</summary><dl>{terms}</dl></details>"
        f"<p>The definitions, with an example by hand: {where}.</p>"
    )


def _verdict(entry: Mapping[str, Any]) -> str:
    """Return the gate's verdict as a list, and why a version was refused after it; empty without a verdict."""
    verdict = entry.get("verdict")
    lines = verdict_lines(verdict)
    if verdict and verdict["published"] and entry.get("reason"):
        lines.append(f"Refused afterwards: {entry['reason']}")
    return f"<h2>The verdict</h2><ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>" if lines else ""


def _cleaning(cleaning: Mapping[str, Any]) -> str:
    """Return how many rows were read, kept, and dropped for each reason."""
    rows = pandas.DataFrame(cleaning["dropped"].items(), columns=["Dropped", "Rows"])
    dropped = rows.to_html(index=False, border=0, formatters={"Rows": "{:,}".format}) if len(rows) else ""
    lines = "".join(f"<li>{escape(line)}</li>" for line in cleaning["unreadable"])
    unreadable = f"<ul>{lines}</ul>" if lines else ""
    read = f"{cleaning['rows_in']:,} rows read, {cleaning['rows_out']:,} kept."
    if sessions := cleaning.get("sessions"):  # older entries have none
        read += f" Of these, {cleaning['session_rows']:,} are of {sessions:,} guests' sessions, each a user of its own."
    return f"<h2>Cleaning</h2><p>{read}</p>{dropped}{unreadable}"


def _context_lift(lift: Mapping[str, float] | None) -> str:
    """Return a paragraph on what ENCM gains from context; empty where it was not measured."""
    if not lift:
        return ""
    figures = f"{lift['with_context']:.4f} with their context, {lift['without_context']:.4f} with all of it unknown"
    return f"<p>ENCM's mean reciprocal rank of {lift['events']:.0f} held-out events: {figures}.</p>"


def _table(rows: Mapping[str, Mapping[str, Any]], winner: str) -> str:
    """Return the HTML table of one repeat rule, best MAP@10 first."""
    table = pandas.DataFrame(rows).T.loc[ranked(rows), list(COLUMNS)].astype(float).rename(columns=COLUMNS)
    scorers = [f"<b>{escape(name)} ★</b>" if name == winner else escape(name) for name in table.index]
    table.insert(0, "Scorer", scorers)
    cells = table.to_html(index=False, border=0, escape=False, float_format=figure, na_rep=figure(None))
    return f"<div class=scroll>{cells}</div>"


def _bars(rows: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Return a bar chart of MAP@10 with bootstrap intervals as SVG for each repeat rule."""
    return f"<div class=charts>{''.join(_bar_chart(rule, table) for rule, table in rows.items())}</div>"


def _bar_chart(rule: str, table: Mapping[str, Mapping[str, Any]]) -> str:
    from matplotlib.figure import Figure  # imported here: it is slow to load

    names = ranked(table)[::-1]
    values = [table[name]["map10"] or 0.0 for name in names]
    errors = [
        [max(value - (table[name]["map10_low"] or 0.0), 0.0) for name, value in zip(names, values, strict=True)],
        [max((table[name]["map10_high"] or 0.0) - value, 0.0) for name, value in zip(names, values, strict=True)],
    ]
    colors = ["#2563eb" if name in MODELS else "#cbd5e1" for name in names]
    drawing = Figure(figsize=CHART, layout="constrained")
    panel = drawing.subplots()
    panel.barh(names, values, xerr=errors, color=colors, ecolor="#475569")
    panel.set_title(f"MAP@10 — {RULE_TITLES[rule].lower()}", fontsize=10)
    panel.spines[["top", "right"]].set_visible(False)
    return svg(drawing)


def _curves(losses: Mapping[str, Sequence[float]]) -> str:
    """Return the loss curves of the networks as SVG, each in its own colour; nothing without any."""
    if not losses:
        return ""
    from matplotlib import colormaps
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    drawing = Figure(figsize=CHART, layout="constrained")
    panel = drawing.subplots()
    for share, (name, values) in zip(np.linspace(0.1, 0.85, len(losses)), losses.items(), strict=True):
        epochs, color = range(1, len(values) + 1), colormaps["plasma"](share)
        panel.plot(epochs, values, marker="o", markersize=3, label=name, color=color)
    panel.set_xlabel("epoch")
    panel.set_ylabel("weighted cross-entropy")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(frameon=False)
    return f"<h2>Loss of each epoch, fit before the test cut</h2>{svg(drawing)}"
