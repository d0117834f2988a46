"""benchmarks/per_request_choice.py: the halves, the comparison by hand, the verdict, and the page."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import pages, per_request_choice
from benchmarks.per_request_choice import Half, compare, evaluation_halves, is_worth_it, rendered
from benchmarks.sets import SETS
from benchmarks.sets.online_retail import FILE, purchases
from tests.benchmarks.test_sets import write_online_retail

RETAIL = SETS["online-retail"]


def half(users: list[int], bmf: list[float], encm: list[float], n_relevant: int = 30) -> Half:
    """Return a half in which P@10 is the same everywhere."""
    scores = {"ENCM": np.array(encm), "BMF": np.array(bmf)}
    precision = {name: np.full(len(users), 0.1) for name in scores}
    return Half(np.array(users), np.full(len(users), n_relevant), scores, precision)


# ENCM is far better for user 1, a little worse for the others
FIRST = half([1, 2, 3, 4], bmf=[0.0, 0.3, 0.3, 0.3], encm=[0.9, 0.2, 0.2, 0.2])
SECOND = half([1, 2, 9], bmf=[0.1, 0.3, 0.2], encm=[0.5, 0.2, 0.9])


def test_a_user_is_switched_by_the_first_half_and_reported_on_the_second() -> None:
    figures = compare("BMF", FIRST, SECOND)

    assert figures["answers"] == {"ENCM": 1, "BMF": 2}  # user 9 has no metrics of the first half
    assert (figures["users"], figures["with_evidence"], figures["switched"]) == (3, 2, 1)
    assert figures["map10_of_best"] == pytest.approx((0.1 + 0.3 + 0.2) / 3)
    assert figures["map10_of_choice"] == pytest.approx((0.5 + 0.3 + 0.2) / 3)
    assert figures["difference"] == pytest.approx(0.4 / 3)
    assert figures["map10"]["ENCM"] == pytest.approx((0.5 + 0.2 + 0.9) / 3)


def test_the_second_half_decides_nothing() -> None:
    upside_down = half([1, 2, 9], bmf=[0.5, 0.2, 0.9], encm=[0.1, 0.3, 0.2])

    assert compare("BMF", FIRST, upside_down)["answers"] == compare("BMF", FIRST, SECOND)["answers"]


@pytest.mark.parametrize(
    ("switched", "lower_bound", "worth"),
    [(20, -0.0009, True), (19, -0.0009, False), (20, -0.001, False), (500, 0.01, True), (0, 0.0, False)],
)
def test_it_is_worth_it_with_two_per_cent_switched_and_half_a_per_cent_lost_at_most(
    switched: int, lower_bound: float, worth: bool
) -> None:
    figures = {"users": 1000, "switched": switched, "lower_bound": lower_bound, "map10_of_best": 0.2}

    assert is_worth_it(figures) is worth


def test_the_halves_meet_in_the_middle_of_the_window_and_histories_go_on(tmp_path: Path) -> None:
    # test_sets: hourly lines from 0 to 10; the cut is at 8, so the middle is at 9: "a x" before it, "c y" after it
    write_online_retail(tmp_path / RETAIL.name)
    parts = RETAIL.load(tmp_path)

    first, second = evaluation_halves(purchases(tmp_path / RETAIL.name / FILE), parts.test)

    users, items = parts.test.encoders.users, parts.test.encoders.items
    told = [
        [(users.ids[case.query.user], items.ids[case.relevant].tolist()) for case in part.cases]
        for part in (first, second)
    ]
    assert told == [[("a", ["x"])], [("c", ["y"])]]
    assert max(case.query.now for case in first.cases) < min(case.query.now for case in second.cases)


def figures(**changed: Any) -> dict[str, Any]:
    told = {"set": RETAIL.name, "seed": 7, "options": {"epochs": 2}, "commit": "abcdef0123", "data_sha256": "0" * 64}
    return {**compare("BMF", FIRST, SECOND), **told, **changed}


def test_the_page_has_the_figures_and_is_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, kept = tmp_path / "MODELS.md", tmp_path / per_request_choice.KEPT
    page.write_text(f"Before.\n{pages.begin(per_request_choice.NAME)}{pages.END}After.\n", encoding="utf-8")
    pages.keep(kept, figures())
    command = ["--markdown", str(page)]

    assert per_request_choice.main([*command, "--check"], tmp_path) == 1
    assert per_request_choice.main(command, tmp_path) == 0
    assert per_request_choice.main([*command, "--check"], tmp_path) == 0
    text = page.read_text(encoding="utf-8")
    assert rendered(json.loads(kept.read_text(encoding="utf-8"))) in text
    assert "| **BMF** ★ | 0.2000 | +0.0000 | 2 |" in text
    assert "1 users (33.3%) get another model than BMF" in text
    assert "Seed 7, `--epochs 2`; commit abcdef01" in text


def test_a_missing_folder_and_a_missing_page_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert per_request_choice.main([]) == 1
    assert per_request_choice.main(["--markdown", str(tmp_path / "none.md")]) == 1
    assert per_request_choice.main([str(tmp_path)]) == 1
    told = capsys.readouterr().err
    assert "DATA_DIR should name the folder" in told
    assert "--markdown should name a page" in told
    assert f"{RETAIL.name}/{FILE}" in told
