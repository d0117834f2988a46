"""benchmarks/compare_answers.py and compare_speed.py: two checkouts side by side."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from benchmarks import compare_answers, compare_speed
from benchmarks.loads.inputs import inputs
from tests.helpers.entry_points import ROOT, install
from tests.helpers.tiny_shop import Published

# A checkout whose every answer is one word, one-shot and as a worker.
TERSE = 'import sys\nprint("ready") if sys.argv[1:] else None\nfor line in sys.stdin.buffer:\n    print("no")\n'


def compare(shop: Published, before: Path, after: Path) -> int:
    options = ["--without-mariadb", "--requests", "320", "--one-shot", "2"]
    folders = ["--shop", str(shop.folder / "shop.sqlite"), "--models", str(shop.models_dir)]
    return compare_answers.main([str(before), str(after), *folders, *options])


@pytest.mark.slow
def test_the_same_code_answers_alike_and_other_code_does_not(
    published: Published, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, same, other = install(tmp_path / "before"), install(tmp_path / "same"), tmp_path / "other"
    other.mkdir()
    (other / "recommend_api.py").write_text(TERSE, encoding="utf-8")

    assert compare(published, before, same) == 0
    assert re.findall(r"(\d+) +│$", capsys.readouterr().out, re.MULTILINE) == ["0", "0"]
    assert compare(published, before, other) == 1
    assert "sqlite, worker, json" in capsys.readouterr().out


@pytest.mark.slow
def test_a_comparison_without_any_success_is_a_failure(
    published: Published, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "recommend_api.py").write_text(TERSE, encoding="utf-8")

    assert compare(published, tmp_path, tmp_path) == 1
    assert "a request should succeed" in capsys.readouterr().out


def test_requests_are_the_same_for_a_seed_and_of_every_kind(published: Published) -> None:
    shop = published.folder / "shop.sqlite"
    first, second, other = (inputs(shop, ["BMF"], 500, seed) for seed in (7, 7, 8))

    assert len(first) == 500
    assert first == second
    assert first != other
    drawn = b" ".join(data for name, (data, _) in first.items() if name.startswith("drawn"))
    for field in (
        "user_id",
        "limit",
        "context",
        "interactions",
        "ground_truth",
        "item_id",
        "filters",
        "candidates",
        "exclude",
        "model",
    ):
        assert f'"{field}"'.encode() in drawn


def test_sides_take_turns_and_a_round_is_a_pair_of_medians() -> None:
    calls: list[str] = []

    def side(name: str, ms: float) -> compare_speed.Measure:
        def measure(turn: int) -> list[float]:
            calls.append(f"{name}{turn}")
            return [ms + turn, ms + turn, 1000.0]

        return measure

    assert compare_speed.paired(side("b", 10), side("a", 20), 2, 1) == [(10, 20), (11, 21)]
    assert calls == ["b0", "a0", "a1", "b1"]
    assert compare_speed.paired(side("b", 10), side("a", 20), 1, 3) == [
        (12, 22)
    ]  # of 10 10 11 11 12 12 and three outliers


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")
def test_the_same_code_is_timed_beside_itself(capsys: pytest.CaptureFixture[str]) -> None:
    small = [
        "--items",
        "60",
        "--users",
        "1200",
        "--rounds",
        "1",
        "--requests",
        "5",
        "--processes",
        "1",
        "--without-mariadb",
    ]

    assert compare_speed.main([str(ROOT), str(ROOT), *small, "--bound", "1000"]) == 0
    assert re.findall(r"│ sqlite +│ ([\w-]+) ", capsys.readouterr().out) == ["worker", "one-shot"]
