"""The simulated truth of experiments, in a few shops: `benchmarks/experiments.py` simulates hundreds."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from benchmarks import experiments
from benchmarks.experiments import TRUTHS, experiment_of, figures, markdown, simulate, taste_of, told
from tests.helpers.entry_points import ROOT

N_USERS = 9_000


@pytest.mark.parametrize(("truth", "claim"), [("better", "better"), ("equal", "none"), ("worse", "worse")])
def test_the_report_tells_the_truth_and_credits_the_shops_own_revenue(truth: str, claim: str) -> None:
    runs = []
    for seed in (1, 2):
        experiment = experiment_of(seed, N_USERS)
        shop = simulate(experiment, TRUTHS[truth], seed, N_USERS)
        run = told(experiment, shop)
        runs.append(run)
        assert math.fsum(run.credited.values()) == pytest.approx(math.fsum(one.revenue for one in shop.purchases))
        assert min(run.credited.values()) > 0 and run.n_left_out > experiments.N_BOTS * experiments.BOT_PRODUCTS
        assert run.comparison.sample_ratio.is_ok
        assert run.comparison.verdict == ("no difference shown" if claim == "none" else claim)

    found = figures(truth, runs)
    assert (found["right"], found[claim], found["sums_differ"], found["is_ok"]) == (1.0, 2, 0, True)


def test_the_second_arm_has_the_effect_that_the_simulator_says() -> None:
    assert taste_of(0.0) == pytest.approx(experiments.TASTE)
    shop = simulate(experiment_of(5, 4_000), 4.0 / 11, 5, 4_000)  # 1.32 purchases of a customer, and 1.8
    arms = {one.user: one.arm for one in shop.assigned}
    means = {name: sum(arms[one.user] == name for one in shop.purchases) for name in ("A", "B")}
    counts = {name: sum(arm == name for arm in arms.values()) for name in ("A", "B")}

    assert means["A"] / counts["A"] == pytest.approx(1.32, rel=0.08)
    assert means["B"] / counts["B"] == pytest.approx(1.80, rel=0.08)


def test_the_page_has_the_kept_figures_and_they_are_as_asked_for() -> None:
    rows = json.loads((ROOT / "benchmarks/results/experiments.json").read_text(encoding="utf-8"))

    assert markdown(rows) in (ROOT / "docs/EXPERIMENTS.md").read_text(encoding="utf-8")
    assert all(row["runs"] == 100 and row["is_ok"] and not row["sums_differ"] for row in rows)


def test_a_report_that_is_wrong_too_often_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = experiments.main(["--runs", "1", "--users", "300", "--json", str(tmp_path / "f.json")])

    rows = json.loads((tmp_path / "f.json").read_text(encoding="utf-8"))
    assert [row["truth"] for row in rows] == ["better", "equal", "worse"]
    assert [row["none"] for row in rows] == [1, 1, 1]  # 300 customers show nothing
    assert status == 1
    assert "median_day" in capsys.readouterr().out
