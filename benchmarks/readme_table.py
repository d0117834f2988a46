"""Write the results of README.md and README.vi.md from the metrics of a training run.

--take keeps the metrics of the newest published run and rewrites both pages; without it, the kept metrics are used.
--check only compares, and exits with 1 if a page differs.

    python benchmarks/readme_table.py --take models/metrics.json
    python benchmarks/readme_table.py
    python benchmarks/readme_table.py --check
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.pages import NOT_TAKEN, keep, replaced, settled  # noqa: E402

NAME = "online-retail"
COLUMNS = {
    "precision10": "P@10",
    "ndcg10": "NDCG@10",
    "hr10": "HR@10",
    "auc": "AUC",
    "rmse": "RMSE",
    "coverage": "coverage",
}
VIETNAMESE = "README.vi.md"
READMES = ("README.md", VIETNAMESE)
IN_VIETNAMESE = {
    "scorer": "phương pháp",
    "coverage": "độ phủ",
    "MAP@10 with repeats": "MAP@10 khi tính cả mua lại",
    "MAP@10 without repeats": "MAP@10 khi không tính mua lại",
}
DECIMALS = str.maketrans(",.", ".,")  # the marks of figures, as Vietnamese writes them


def main(argv: list[str], root: Path = ROOT) -> int:
    """Rewrite or check the pages; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--take", type=Path, metavar="FILE", help="a metrics.json, whose newest published run is kept")
    choice.add_argument("--check", action="store_true", help="only compare")
    flags = parser.parse_args(argv)
    kept = root / f"benchmarks/results/{NAME}.json"
    if flags.take:
        keep(kept, newest(json.loads(flags.take.read_text(encoding="utf-8"))))
    entry = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else None
    return max([_settled(root / name, entry, check=flags.check) for name in READMES])


def _settled(page: Path, entry: Mapping[str, Any] | None, *, check: bool) -> int:
    block = NOT_TAKEN if entry is None else rendered(entry, vietnamese=page.name == VIETNAMESE)
    text = replaced(page.read_text(encoding="utf-8"), block, NAME, page.name)
    return settled(page, text, "benchmarks/readme_table.py", check=check)


def newest(history: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the newest published run of a history, without the trials that led to it."""
    entry = next((entry for entry in reversed(history) if entry.get("published")), None)
    if entry is None:
        raise SystemExit("readme_table: the file should hold a published run. Received: none.")
    validation = {name: value for name, value in entry["validation"].items() if name != "trials"}
    return {**entry, "validation": validation}


def rendered(entry: Mapping[str, Any], *, vietnamese: bool = False) -> str:
    """Return a run's metrics under its repeat rule as Markdown, one row for each scorer, best first."""
    rows, other = entry["rows"][entry["rule"]], {"hide": "allow", "allow": "hide"}[entry["rule"]]
    beside = {"allow": "MAP@10 with repeats", "hide": "MAP@10 without repeats"}[other]
    head = ["scorer", "MAP@10 (95 %)", *COLUMNS.values(), *([beside] if other in entry["rows"] else [])]
    if vietnamese:
        head = [IN_VIETNAMESE.get(name, name) for name in head]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for name in sorted(rows, key=lambda name: -(rows[name]["map10"] or 0.0)):
        row = rows[name]
        cells = [f"{figure(row['map10'])} ({figure(row['map10_low'])} – {figure(row['map10_high'])})"]
        cells += [figure(row[column]) for column in COLUMNS]
        cells += [figure(entry["rows"][other][name]["map10"])] if other in entry["rows"] else []
        written = " | ".join(cells).translate(DECIMALS if vietnamese else {})
        lines.append(f"| {f'**{name}**' if name == entry['winner'] else name} | {written} |")
    notes = _vietnamese_notes if vietnamese else _notes
    return "\n".join([*lines, "", *notes(entry, next(iter(rows.values()))["users"])]) + "\n"


def figure(value: float | None) -> str:
    """Return a figure with three digits, or a dash where there is none."""
    return "–" if value is None else f"{value:.3f}"


def _notes(entry: Mapping[str, Any], users: int) -> list[str]:
    cleaning, left_out = entry["cleaning"], entry["users_without_relevant"]
    return [
        f"**{entry['winner']}** won on validation and serves. {users:,} users were evaluated; {left_out:,} more had no",
        f"relevant item after the cut; {cleaning['rows_in']:,} rows read, {cleaning['rows_out']:,} kept.",
        f"{_day(entry)}, seed {entry['seed']}, commit {str(entry['git_commit'])[:8]}, data {entry['data_sha256'][:8]}.",
    ]


def _vietnamese_notes(entry: Mapping[str, Any], users: int) -> list[str]:
    counts = (users, entry["users_without_relevant"], entry["cleaning"]["rows_in"], entry["cleaning"]["rows_out"])
    evaluated, left_out, read, kept = (f"{count:,}".translate(DECIMALS) for count in counts)
    commit, data = str(entry["git_commit"])[:8], entry["data_sha256"][:8]
    return [
        f"**{entry['winner']}** thắng trên tập validation và được đưa vào phục vụ. Có {evaluated} người dùng được",
        f"đánh giá; {left_out} người nữa không có sản phẩm phù hợp nào sau mốc cắt; đọc {read} dòng,",
        f"giữ lại {kept} dòng. {_day(entry)}, seed {entry['seed']}, commit {commit}, dữ liệu {data}.",
    ]


def _day(entry: Mapping[str, Any]) -> str:
    return datetime.fromtimestamp(entry["trained_at"], UTC).strftime("%Y-%m-%d")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
