"""The plot of docs/PERFORMANCE.md: an SVG that carries a digest of the values it shows."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from benchmarks.loads.databases import LABELS, MARIADB, SQLITE
from benchmarks.loads.one_shot import DOOR, FLOOR, HUGE, TENSORFLOW
from benchmarks.loads.plan import LARGE, MEDIUM, SMALL
from benchmarks.loads.targets import Results, figure

COLOURS = {SQLITE: "#1f6feb", MARIADB: "#d2691e"}
STYLES = {"p50": "-", "p95": ":"}
GREY = "#57606a"
ITEMS = (SMALL, DOOR, MEDIUM, LARGE)  # the shop of a million users has as many items as the large one


def plotted(results: Results) -> dict[str, Any]:
    """Return the plotted values: milliseconds by number of items for each database, and of each one-shot program."""
    curves: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for part in ITEMS:
        for database, summary in results.get("round_trips", {}).get(part, {}).items():
            for name in STYLES:
                took = round(summary["in_flight"]["1"][name], 3)
                curves.setdefault(database, {}).setdefault(name, []).append((results["sizes"][part]["items"], took))
    return {"curves": curves, "bars": _bars(results)}


def _bars(results: Results) -> list[tuple[str, float]]:
    door = f"one-shot, {results['sizes'][DOOR]['items']:,} items"
    huge = f"one-shot, {results['sizes'][HUGE]['items']:,} items,\n{results['sizes'][HUGE]['users']:,} users"
    paths = {
        "bare imports": ("one_shot", SQLITE, "sides", FLOOR, "p50"),
        door: ("one_shot", SQLITE, "sides", DOOR, "p50"),
        huge: ("one_shot", SQLITE, "sides", HUGE, "p50"),
        "TensorFlow per request": ("seeds", "sides", TENSORFLOW, "p50"),
    }
    found = {label: figure(results, *path) for label, path in paths.items()}
    return [(label, round(value, 1)) for label, value in found.items() if value is not None]


def digest(results: Results) -> str:
    """Return 16 hexadecimal digits that identify the plotted values."""
    return hashlib.sha256(json.dumps(plotted(results)).encode()).hexdigest()[:16]


def draw(results: Results, path: Path) -> None:
    """Write the plot; the suffix of the path decides the format."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    style = {"svg.fonttype": "none", "svg.hashsalt": "recsys", "font.size": 10, "font.family": "sans-serif"}
    with rc_context(style):
        shown = plotted(results)
        drawing = Figure(figsize=(11, 4), layout="constrained")
        left, right = drawing.subplots(1, 2)
        _curves(left, shown["curves"])
        _one_shots(right, shown["bars"])
        metadata = {"Date": None, "Description": f"figures {digest(results)}"} if path.suffix == ".svg" else {}
        drawing.savefig(path, metadata=metadata, dpi=120)


def _curves(axes: Any, curves: dict[str, dict[str, list[tuple[int, float]]]]) -> None:
    for database, told in curves.items():
        for name, points in told.items():
            items, took = zip(*points, strict=True)
            label = f"{LABELS[database]}, {name}"
            axes.plot(items, took, STYLES[name], marker="o", markersize=4, color=COLOURS[database], label=label)
    axes.set(
        xscale="log", yscale="log", xlabel="items", ylabel="ms", title="Worker: Node → Python → Node, one in flight"
    )
    everything = sorted({items for told in curves.values() for points in told.values() for items, _ in points})
    axes.set_xticks(everything, [f"{items:,}" for items in everything])
    axes.set_yticks(*_readable([took for told in curves.values() for points in told.values() for _, took in points]))
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    if curves:
        axes.legend(frameon=False, loc="upper left")


def _readable(values: list[float]) -> tuple[list[float], list[str]]:
    """Return ticks at 1, 2 and 5 times powers of ten around the values, and their labels."""
    ticks = [step * 10.0**power for power in range(-2, 6) for step in (1, 2, 5)]
    low, high = min(values, default=1) / 2, max(values, default=1) * 2
    kept = [tick for tick in ticks if low <= tick <= high]
    return kept, [f"{tick:g}" for tick in kept]


def _one_shots(axes: Any, bars: list[tuple[str, float]]) -> None:
    labels, values = zip(*bars[::-1], strict=True) if bars else ((), ())
    drawn = axes.barh(
        range(len(values)), values, color=[GREY if "one-shot" not in label else COLOURS[SQLITE] for label in labels]
    )
    axes.bar_label(drawn, [f"{value:,.0f}" for value in values], padding=4)
    axes.set_yticks(range(len(values)), labels)
    axes.set(xlabel="ms", title="A process for one request, SQLite")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.margins(x=0.12)
    axes.spines[["top", "right"]].set_visible(False)
