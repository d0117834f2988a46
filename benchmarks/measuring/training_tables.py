"""The tables of `benchmarks/training.py`: whole runs beside each other, and the steps of this code's runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

TITLES = {"here": "this commit", "before": "the commit before", "implicit": "implicit, ALS", "cornac": "Cornac, NeuMF"}
CONTROL = "blend"  # its quality does not depend on networks
Row = Mapping[str, Any]


def markdown(rows: Sequence[Row]) -> str:
    """Return all tables as Markdown."""
    return "\n".join([whole(rows), steps([row for row in rows if row["code"] in ("here", "before")])])


def whole(rows: Sequence[Row]) -> str:
    """Return the table of whole runs, with the seconds of each in shares of the commit before."""
    cells = []
    for row in rows:
        before = [r["cpu"] for r in rows if (r["shop"], r["size"], r["code"]) == (row["shop"], row["size"], "before")]
        ratio = f"{before[0] / row['cpu']:.1f}" if before and row["code"] == "here" else ""
        cells.append(
            [
                row["shop"],
                f"{row['size']:,}",
                TITLES[row["code"]],
                f"{row['cpu']:,.0f}{'*' if row.get('extrapolated') else ''}",
                ratio,
                f"{row['peak_mb']:,.0f}",
                _quality(row),
                _samples(row),
            ]
        )
    heads = ["shop", "events", "code", "CPU s", "times less", "peak, MiB", "NDCG@10", "NeuMF, samples a second"]
    note = (
        "\\* Two epochs of each network; the second one is multiplied by its count. `implicit` has no epochs; Cornac "
        "has one.\n"
    )
    return f"{_table(heads, cells)}\n{note}"


def steps(rows: Sequence[Row]) -> str:
    """Return the table of the CPU seconds of each step."""
    titles = list(dict.fromkeys(stage["title"] for row in rows for stage in row["stages"] if stage["title"] != "Start"))
    cells = []
    for row in rows:
        seconds = {stage["title"]: stage["cpu"] for stage in row["stages"]}
        shown = [f"{seconds[title]:,.1f}" if title in seconds else "" for title in titles]
        cells.append([row["shop"], f"{row['size']:,}", TITLES[row["code"]], *shown])
    return _table(["CPU s of: shop", "events", "code", *titles], cells)


def _quality(row: Row) -> str:
    """Return the winner's NDCG@10 and the sum's, or that of a library."""
    if not isinstance(row["ndcg10"], Mapping):
        return f"{row['ndcg10']:.4f}"
    names = dict.fromkeys((row["winner"], CONTROL))
    return ", ".join(f"{name} {row['ndcg10'][name]:.4f}" for name in names)


def _samples(row: Row) -> str:
    """Return how many pairs of a user and an item NeuMF learns from in a second of the processor."""
    if "stages" not in row:
        return f"{row['samples'] / row['cpu']:,.0f}" if row.get("samples") else ""
    return f"{row['neumf_samples_per_s']:,.0f}" if row.get("neumf_samples_per_s") else ""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    rule = "|".join(["---"] * 3 + ["---:"] * (len(head) - 3))
    lines = [f"| {' | '.join(head)} |", f"|{rule}|", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines) + "\n"
