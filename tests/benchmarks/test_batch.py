"""benchmarks/batch.py: the page by hand, and one whole run on a tiny shop."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import batch, batch_workers, pages
from tests.helpers.entry_points import ROOT

RESULT = {
    **{"machine": "Linux x86_64, 2 processors", "python": "3.11.7", "database": "sqlite", "items": 10_000},
    **{"history": 36, "users": 4000, "rounds": 5},
    "winners": [{"winner": "BMF", "alone_ms": 9.0, "batch_ms": 1.5, "ratio": 6.0, "to": "jsonl"}],
    "shards": {"one_s": 30.0, "two_s": 31.5, "one_mb": 420.0, "users": 20_000},
    "implicit": {"version": "0.7.3", "ms": 0.5},
    "large": {"winner": "BMF", "items": 100_000, "database": "sqlite", "cpu_s": 72.0, "mb": 900.0, "users": 10_000},
}


def test_a_row_has_both_ways_their_ratio_and_the_hours_of_a_million_users() -> None:
    text = batch.markdown(RESULT)

    # 1.5 ms × 1,000,000 = 1,500 s = 0.42 hours
    assert "| BMF | 9.00 | 1.50 | 6.0 × | 0.42 |" in text
    assert "Two shards of BMF take 1.05 × the processor's time of one process for 20,000 users" in text
    assert "One process holds 420 MB." in text
    assert "BMF takes 3.0 × its time." in text
    # 72 s / 10,000 = 7.2 ms, for a million users 7,200 s
    assert "BMF takes 7.20 ms for each user, the start included, and 900 MB (10,000 users, sqlite)" in text
    assert "For 1,000,000 users, 100 times as many, that is 2.0 hours of one core." in text


def test_the_page_says_what_was_measured() -> None:
    assert batch.main(["--markdown", str(ROOT / "docs/BATCH.md"), "--json", str(ROOT / batch.KEPT), "--check"]) == 0


def test_a_page_is_written_from_kept_figures(tmp_path: Path) -> None:
    page, kept = tmp_path / "page.md", tmp_path / "kept.json"
    page.write_text(f"before\n{pages.begin(batch.NAME)}old\n{pages.END}after\n")
    pages.keep(kept, RESULT)
    assert batch.main(["--markdown", str(page), "--json", str(kept)]) == 0

    assert page.read_text() == f"before\n{pages.begin(batch.NAME)}{batch.markdown(RESULT)}{pages.END}after\n"


@pytest.mark.slow
def test_a_whole_run_measures_both_ways(tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    tiny = ["--items", "60", "--users", "1200", "--alone", "5", "--rounds", "1", "--history", "8", "--winners", "BMF"]
    assert batch.main([*tiny, "--json", str(kept)]) == 0

    result = json.loads(kept.read_text())
    (row,) = result["winners"]
    assert row["winner"] == "BMF" and row["ratio"] == pytest.approx(row["alone_ms"] / row["batch_ms"], rel=1e-3)
    assert result["shards"]["users"] == 1200 and result["shards"]["two_s"] > 0


WORKERS = {
    **{"machine": "Linux x86_64, 2 processors", "broker": "amqp", "items": 10_000, "users": 20_000},
    "runs": [{"workers": 2, "wall_s": 30.0, "cpu_s": 36.0, "users": 18_000}],
}


def test_a_row_has_the_workers_their_time_and_that_of_the_processor() -> None:
    text = batch_workers.markdown(WORKERS)

    assert "| 2 | 30.0 | 36.0 | 2.00 |" in text
    assert "18,000 users in 8 shards, 10,000 items, MariaDB to `rec_batch_lists`, broker amqp;" in text


def test_the_page_says_what_was_measured_of_workers() -> None:
    given = ["--markdown", str(ROOT / "docs/SCALE.md"), "--json", str(ROOT / batch_workers.KEPT), "--check"]
    assert batch_workers.main(given) == 0
