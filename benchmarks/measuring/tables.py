"""The results of `benchmarks/quality.py`: tables for a terminal, and Markdown for docs/MODELS.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from benchmarks.measuring.ablations import EVERYTHING

RULES = {"allow": "repeats allowed", "hide": "repeats hidden"}
COLUMNS = {"hr10": "HR@10", "p10": "P@10", "map10": "MAP@10", "recall20": "Recall@20", "coverage": "coverage"}
INTERVAL = "NDCG@10 (95 %)"
REMARKS = {"ml-1m-ncf": "The standard error of HR@10 is 0.005."}
UNMEASURED = "Not measured yet.\n"


def figure(value: float | None, digits: int = 4) -> str:
    """Return a value with a number of decimals, or a dash for None."""
    return "–" if value is None else f"{value:.{digits}f}"


def signed(value: float) -> str:
    """Return a difference with its sign."""
    return f"{value:+.4f}"


def of_rule(entry: Mapping[str, Any], rule: str) -> list[dict[str, Any]]:
    """Return a set's rows under one rule, best NDCG@10 first; ties keep their order."""
    return sorted((row for row in entry["rows"] if row["rule"] == rule), key=lambda row: -row["ndcg10"])


def heading(entry: Mapping[str, Any], rule: str) -> str:
    """Return the title of a table: set, repeat rule and number of users."""
    return f"{entry['set']}, {RULES[rule]}: {entry['users'][rule]:,} users"


def ndcg(row: Mapping[str, Any]) -> str:
    """Return a row's NDCG@10 with its interval as text."""
    return f"{figure(row['ndcg10'])} ({figure(row['low'])} – {figure(row['high'])})"


def cells(row: Mapping[str, Any]) -> list[str]:
    """Return a row's values as text, in the order of `TITLES`."""
    return [ndcg(row), *(figure(row[name]) for name in COLUMNS), figure(row["seconds"], 1), f"{row['peak_mb']:,.0f}"]


TITLES = (INTERVAL, *COLUMNS.values(), "fit, s", "peak, MiB")


def notes(entry: Mapping[str, Any]) -> Iterator[str]:
    """Yield the sentences below a set's tables."""
    if entry["set"] in REMARKS:
        yield REMARKS[entry["set"]]
    for pair in entry["paired"]:
        if pair["metric"] == "ndcg10":
            interval = f"{signed(pair['low'])} to {signed(pair['high'])}"
            scorers = f"{pair['winner']} compared with {pair['against']}, {RULES[pair['rule']]}"
            yield f"{scorers}: NDCG@10 {signed(pair['difference'])} ({interval})."
    whole = [run for run in entry["runs"] if run["variant"] == EVERYTHING]
    if whole:
        first = max(whole, key=lambda run: run["choosing_seconds"])
        choosing, fitting = (f"{first[name]:,.0f} s" for name in ("choosing_seconds", "fitting_seconds"))
        yield f"The seed that made the choices took {choosing} on validation; fitting for the test took {fitting}."
    seeds = ", ".join(map(str, sorted({run["seed"] for run in whole})))
    commit, data = str(entry["commit"])[:8], entry["data_sha256"][:8]
    yield f"★ is the winner on validation. Seeds {seeds}; commit {commit}, data {data}."


def terminal(entry: Mapping[str, Any]) -> Group:
    """Return a set's protocol, tables and notes."""
    tables = [_terminal_table(entry, rule) for rule in entry["users"]]
    ablations = [_terminal_ablations(entry)] if entry["ablations"] else []
    text = Text("\n".join(notes(entry)))
    return Group(Text(f"\n{entry['protocol']}", style="italic"), *tables, *ablations, text)


def _terminal_table(entry: Mapping[str, Any], rule: str) -> Table:
    made = Table(title=heading(entry, rule))
    made.add_column("model")
    for title in TITLES:
        made.add_column(title, justify="right")
    for row in of_rule(entry, rule):
        name = f"{row['model']} ★" if row["winner"] else row["model"]
        made.add_row(name, *cells(row), style="bold" if row["winner"] else None)
    return made


def _terminal_ablations(entry: Mapping[str, Any]) -> Table:
    made = Table(title=f"{entry['set']}: ablations")
    for title in ABLATION_TITLES:
        made.add_column(title, justify="left" if title in {"model", "rule", "variant"} else "right")
    for row, after in pairwise([*ablations(entry), None]):
        made.add_row(*row, end_section=after is None or after[:2] != row[:2])
    return made


ABLATION_TITLES = ("model", "rule", "variant", "seeds", "HR@10", INTERVAL, "gain over `blend` (lower bound)")


def ablations(entry: Mapping[str, Any]) -> list[list[str]]:
    """Return the rows of the ablation table as text."""
    found = []
    for row in entry["ablations"]:
        gain = row.get("own_part")
        added = f"{signed(gain['difference'])} ({signed(gain['lower_bound'])})" if gain else ""
        found.append(
            [
                row["model"],
                RULES[row["rule"]],
                row["variant"],
                str(row["seeds"]),
                figure(row["hr10"]),
                ndcg(row),
                added,
            ]
        )
    return found


def markdown(entry: Mapping[str, Any]) -> str:
    """Return a set's protocol, tables and notes as Markdown."""
    blocks = [entry["protocol"]]
    for rule in entry["users"]:
        rows = [
            [f"**{row['model']}** ★" if row["winner"] else row["model"], *cells(row)] for row in of_rule(entry, rule)
        ]
        blocks += [f"*{heading(entry, rule)}*", grid(["model", *TITLES], rows, n_left=1)]
    if entry["ablations"]:
        blocks.append(grid(ABLATION_TITLES, ablations(entry), n_left=3))
    blocks.append("\n".join(f"- {note}" for note in notes(entry)))
    return "\n\n".join(blocks) + "\n"


def grid(titles: Sequence[str], rows: Sequence[Sequence[str]], n_left: int) -> str:
    """Return a Markdown table whose first columns are aligned to the left, the others to the right."""
    rule = "|" + "---|" * n_left + "---:|" * (len(titles) - n_left)
    return "\n".join(["| " + " | ".join(titles) + " |", rule, *("| " + " | ".join(row) + " |" for row in rows)])
