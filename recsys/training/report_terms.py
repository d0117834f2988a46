"""Two tables of the report: the terms of the sum one by one, and what the lists of the best scorers show."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np

from recsys.evaluation.selection import SEGMENTS
from recsys.evaluation.shown import FIGURES, as_json, shown_lists
from recsys.lifecycle.choice import ALL, TITLES, in_segment
from recsys.training.closed_form.choose import popularity
from recsys.training.run import TrainingRun

SUM = "blend"  # the scorer that is the sum of the features alone
MOST_SCORERS = 4  # in the table of lists, besides the popularities


def terms_section(entry: Mapping[str, Any]) -> str:
    """Return the table of each term alone, the sum, and the sum without the term; empty where none was fitted.

    Args:
        entry: The entry of the run in models/metrics.json.
    """
    fits = [
        trial
        for trial in entry["validation"].get("trials", ())
        if (trial.get("choice"), trial.get("model"), trial.get("rule")) == ("signal weights", SUM, entry["rule"])
    ]
    tried = fits[0].get("tried", ()) if fits else ()
    alone = {trial["only"]: trial["map10"] for trial in tried if "only" in trial}
    if not alone:
        return ""
    without = {trial["without"]: trial["map10"] for trial in tried if "without" in trial}
    whole = max(trial["map10"] for trial in tried if not {"only", "without"} & trial.keys())
    names = [*alone, *(name for name in without if name not in alone)]
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{_figure(alone.get(name))}</td><td>{_figure(without.get(name))}</td>"
        f"<td>{_difference(whole, without.get(name))}</td></tr>"
        for name in names
    )
    return (
        "<h2>The terms of the sum</h2><p>MAP@10 on validation, each user under weights that were fitted on others. "
        "What a term adds is the sum's MAP@10 less that of the sum without it.</p><div class=scroll><table><thead><tr>"
        "<th>Term</th><th>Alone</th><th>The sum without it</th><th>What it adds</th></tr></thead>"
        f"<tbody>{rows}<tr><td><b>the whole sum</b></td><td>{_figure(whole)}</td><td>–</td><td>–</td></tr></tbody>"
        f"</table></div><p>{escape(_taken(fits[0]))}</p>"
    )


def _taken(fit: Mapping[str, Any]) -> str:
    """Return which terms the sum was given, and which were left out for saying the same as another one."""
    if "only" in fit:
        taken = f"Taken is {fit['only']} alone: no sum is better beyond chance."
    else:
        left_out = f" without {fit['without']}" if "without" in fit else ""
        taken = f"Taken is the sum{left_out}, MAP@10 {fit['map10']:.4f}: the simplest within one standard error."
    alike = fit.get("alike", ())
    return taken + (f" Left out, as they say the same as an earlier term: {', '.join(alike)}." if alike else "")


def shown_by_segment(run: TrainingRun) -> dict[str, Any]:
    """Return what the lists of each scorer show to each segment of users on the test, as models/metrics.json has it."""
    evaluation_set, encoders = run.evaluation_set, run.evaluated.encoders
    lists = {name: result.lists for name, result in run.evaluations.items()}
    shown = shown_lists(lists, evaluation_set, popularity(run.evaluated.data), encoders.item_categories)
    counts = [len(case.query.items) for case in evaluation_set.cases]
    n_events = np.array(counts, np.int64)[evaluation_set.known]
    segments = {name: in_segment(n_events, name) for name in SEGMENTS}
    return as_json(shown, {ALL: np.ones(len(n_events), bool), **segments}, list(lists))


def shown_section(entry: Mapping[str, Any]) -> str:
    """Return the tables of what the lists show to each segment; empty where it is not known.

    Args:
        entry: The entry of the run in models/metrics.json.
    """
    shown = entry.get("shown")
    if not shown:
        return ""
    map10 = entry["validation"]["map10"]
    serves = (entry.get("verdict") or {}).get("scorers", {ALL: entry["winner"]})
    rows = entry["rows"][entry["rule"]]
    distinct = [name for name in map10 if not rows.get(name, {}).get("without_weight")]  # not the same lists as blend
    best = sorted(distinct, key=lambda name: -map10[name])[:MOST_SCORERS]
    names = list(dict.fromkeys([*serves.values(), *best, *TITLES]))
    tables = []
    for segment, by_scorer in shown.items():
        winner = serves.get(segment, serves[ALL])
        rows = "".join(
            f"<tr><td>{f'<b>{escape(name)} ★</b>' if name == winner else escape(name)}</td>"
            + "".join(f"<td>{_share(by_scorer[name][figure])}</td>" for figure in FIGURES)
            + "</tr>"
            for name in names
            if name in by_scorer
        )
        titles = "".join(f"<th>{escape(title)}</th>" for title in FIGURES.values())
        tables.append(
            f"<h3>{escape(segment)}, {by_scorer['users']:,} users</h3><div class=scroll><table><thead><tr>"
            f"<th>Scorer</th>{titles}</tr></thead><tbody>{rows}</tbody></table></div>"
        )
    return (
        "<h2>What the lists show</h2><p>Best-sellers are the 100 most popular products, or a tenth of a small range. "
        "In view are the categories of a customer's three newest events. By these figures, the setting among_equals "
        f"decides among scorers that validation cannot tell from the best.</p>{''.join(tables)}"
    )


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _difference(whole: float, value: float | None) -> str:
    return "–" if value is None else f"{whole - value:+.4f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"
