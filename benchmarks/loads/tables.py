"""The results of `benchmarks/serving.py` as tables, for a terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from benchmarks.loads.databases import LABELS
from benchmarks.loads.one_shot import DOOR, FLOOR, HUGE, TENSORFLOW
from benchmarks.loads.plan import LARGE
from benchmarks.loads.targets import Results, figure, megabytes, ms, targets, times
from benchmarks.measuring.tables import grid

MET = {True: "yes", False: "**no**", None: "not measured"}
MISSED = (
    "**no** means that this run missed the target. A target is a goal for development, not a limit that anything "
    "depends on: plan with the result."
)
PERCENTILES = ("p50", "p95", "p99")


@dataclass(frozen=True)
class Section:
    """One table.

    Attributes:
        title: Title of the table.
        columns: Titles of the columns, text columns first.
        rows: Cells as text.
        n_left: Number of text columns, which are aligned to the left.
        note: Explanation below the table; "" for none.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    n_left: int
    note: str = ""


def sections(results: Results) -> list[Section]:
    """Return the tables; sections without results are left out."""
    made = [_targets(results), _one_shot(results), _tensorflow(results), _round_trips(results), _pings(results)]
    return [section for section in (*made, _histories(results), _memory(results)) if section.rows]


def terminal(results: Results) -> Group:
    """Return the tables for a terminal."""
    return Group(
        *(part for section in sections(results) for part in _terminal(section)),
        Text(circumstances(results), style="italic"),
    )


def markdown(results: Results, plot: str | None) -> str:
    """Return the tables as Markdown.

    Args:
        results: Results as `--json` writes them.
        plot: File name of the plot beside the page; None if there is none.
    """
    parts = [f"![{PLOT}]({plot})"] if plot else []
    for section in sections(results):
        parts += [
            f"**{section.title}**",
            grid(section.columns, section.rows, section.n_left),
            *([section.note] if section.note else []),
        ]
    return "\n\n".join([*parts, circumstances(results)]) + "\n"


PLOT = (
    "Left: milliseconds of a round trip to a worker by items. Right: one-shot requests compared with bare imports "
    "and with TensorFlow per request."
)


def circumstances(results: Results) -> str:
    """Return machine, versions, commits and days of the results, as one sentence."""
    machine = results["machine"]
    commits = ", ".join({str(part.get("commit"))[:8]: None for part in results["measured"].values()})
    days = sorted({part["day"] for part in results["measured"].values()})
    period = " to ".join(dict.fromkeys((days[0], days[-1])))
    quick = " Tiny shops: these results only show that the benchmark runs." if results["quick"] else ""
    where = (
        f"{machine['system']}, {machine['processors']} processors ({machine['processor']}), Python {machine['python']}"
    )
    return f"{where}, {machine['node']}, commit {commits}, {period}.{quick}"


def _terminal(section: Section) -> Iterator[Any]:
    made = Table(title=section.title, title_style="bold")
    for number, title in enumerate(section.columns):
        made.add_column(title, justify="left" if number < section.n_left else "right", no_wrap=number >= section.n_left)
    for row in section.rows:
        made.add_row(*(cell.replace("**", "") for cell in row), style="red" if row[-1] == MET[False] else None)
    yield made
    if section.note:
        yield Text(f"{section.note}\n")


def _targets(results: Results) -> Section:
    rows = [[target.name, target.limit, target.measured, MET[target.met]] for target in targets(results)]
    note = MISSED if any(row[-1] == MET[False] for row in rows) else ""
    return Section("Targets and results", ("measurement", "target", "result", "met"), rows, 1, note)


def _one_shot(results: Results) -> Section:
    labels = {FLOOR: None, DOOR: size(results, DOOR), HUGE: size(results, HUGE)}
    rows = []
    for database, times_of in results.get("one_shot", {}).items():
        for name, label in labels.items():
            side = times_of["sides"][name]
            cells = [LABELS[database], label or f"`{times_of['imports']}`", *_took(side), f"{side['processor']:.0f}"]
            ratios = {FLOOR: None, DOOR: times_of["to_floor"], HUGE: times_of["growth"]}[name]
            rows.append(
                [
                    *cells,
                    "" if ratios is None else f"{times(ratios['median'])} ({ratios['low']:.2f} – {ratios['high']:.2f})",
                ]
            )
    columns = ("database", "one process", *PERCENTILES, "processor", "median ratio over rounds (quartiles)")
    note = (
        "Milliseconds from start to end; the programs take turns. The first ratio is to the bare imports, the "
        "second to the smaller shop."
    )
    return Section("One-shot requests", columns, rows, 2, note)


def _tensorflow(results: Results) -> Section:
    comparison = results.get("seeds")
    rows = []
    for name, label in ((DOOR, "`recommend_api.py`"), (TENSORFLOW, "TensorFlow per request")) if comparison else ():
        side = comparison["sides"][name]
        rows.append([label, *_took(side), f"{side['processor']:.0f}", megabytes(side["peak_bytes"]), str(side["n"])])
    columns = ("one process", *PERCENTILES, "processor", "peak memory", "runs")
    note = (
        "`benchmarks/loads/tensorflow_per_request.py` imports TensorFlow, reads whole encoder tables and predicts "
        "with four Keras models. It has the same shop, weights and history. Memory is peak resident memory, with "
        "mapped files."
    )
    return Section(f"One-shot compared with TensorFlow per request, {size(results, DOOR)}", columns, rows, 1, note)


def _round_trips(results: Results) -> Section:
    rows = []
    for part, by_database in results.get("round_trips", {}).items():
        for database, figures in by_database.items():
            for in_flight, level in figures["in_flight"].items():
                cells = [
                    size(results, part),
                    LABELS[database],
                    in_flight,
                    *_took(level, 1),
                    f"{level['per_second']:.0f}",
                ]
                rows.append([*cells, f"{level['lost']} / {level['crossed']} / {level['asked']:,}"])
    columns = ("shop", "database", "in flight", *PERCENTILES, "answers/s", "lost / crossed / requests")
    note = (
        "Milliseconds from Node through pythonInvoker and back, with the database: users with a usual history, all "
        "four models, evidence and reasons. One request in flight has a pool of one worker, the others a pool of "
        "two. *Crossed* answers belong to another request."
    )
    return Section("Worker", columns, rows, 2, note)


def _pings(results: Results) -> Section:
    rows = []
    for part, by_database in results.get("round_trips", {}).items():
        for database, figures in by_database.items():
            gained = times(figures["throughput"]["ratio"])
            cells = [size(results, part), LABELS[database], *_took(figures["ping"], 2), str(figures["statements"])]
            rows.append([*cells, gained, megabytes(figures["rss_bytes"])])
    ping = [f"ping {name}" for name in PERCENTILES]
    columns = ("shop", "database", *ping, "statements", "throughput, 64 in flight to 1", "`rss_bytes`")
    return Section("Worker: protocol, database, throughput, memory", columns, rows, 2)


def _histories(results: Results) -> Section:
    rows = []
    for database, by_history in results.get("histories", {}).items():
        for name, level in by_history.items():
            label = f"{name} events" if name.isdigit() else "with events since training"
            rows.append([LABELS[database], label, *_took(level, 1), str(level["n"])])
    note = (
        "Milliseconds of a round trip, one in flight. If a user has events since training, every model is also "
        "evaluated on them, so that it scores twice."
    )
    return Section(
        f"Worker by history, {size(results, 'medium')}",
        ("database", "user", *PERCENTILES, "requests"),
        rows,
        2,
        note,
    )


ANONYMOUS = "Anonymous memory is not backed by a file, so that the system cannot take it back without swapping."


def _memory(results: Results) -> Section:
    memory = results.get("memory")
    labels = {"before": "serving", "during": "while another version takes over", "after": "afterwards"}
    rows = [
        [label, *(megabytes(memory[when][kind]) for kind in ("rss", "pss", "anonymous"))]
        for when, label in (labels.items() if memory else ())
    ]
    swap = figure(results, "memory", "swap")
    note = (
        f"Requests during the swap: p50 {ms(swap['p50'])}, p99 {ms(swap['p99'])}, {swap['lost']} of {swap['asked']} "
        "lost. " + ANONYMOUS
        if swap
        else ""
    )
    columns = ("a worker", "resident", "proportional share", "anonymous")
    return Section(f"Memory of a worker, {size(results, LARGE)}", columns, rows, 1, note)


def _took(summary: Mapping[str, float], digits: int = 0) -> list[str]:
    return [f"{summary[name]:.{digits}f}" for name in PERCENTILES]


def size(results: Results, part: str) -> str:
    """Return the size of the shop in one role, in words."""
    shop = results["sizes"][part]
    return f"{shop['items']:,} items, {shop['users']:,} users"
