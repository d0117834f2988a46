"""Training runs: refusals, the choice of the winner, networks that cannot be fitted, and the content of a version."""

import hashlib
import html.parser
import importlib
import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from recsys.artifacts import current, history
from recsys.data.interactions import Catalogue
from recsys.errors import DatabaseUnavailable, NotEnoughData, SettingsError, TrainingRefused
from recsys.evaluation.protocol import EvaluationSet
from recsys.evaluation.results import EvaluationResult
from recsys.features.features import CONTENT, NAMES
from recsys.networks.fit import NETWORKS, Fit
from recsys.recommending.loading import load
from recsys.scorers.base import Scorer
from recsys.scorers.registry import BASELINES, MODELS, REGISTRY
from recsys.settings import Settings, Training
from recsys.store import connect
from recsys.store.shop_mapping import products_sql, source_sql
from recsys.training import fitting, network_fits, publishing
from recsys.training.closed_form.choose import L2_GRID, REGULARIZATION_GRID
from recsys.training.fitting import DEFAULT_WINNER
from recsys.training.run import TrainingRun
from recsys.training.train import train
from tests.helpers import tiny_shop
from tests.helpers.dying_disk import version_names
from tests.helpers.tiny_shop import (
    DAY,
    NOW,
    START,
    Published,
    Quiet,
    Row,
    Trained,
    event,
    fast_settings,
    fill,
    interactions,
    products,
)
from tests.helpers.unfitted import at_its_start

ROOT = Path(__file__).parents[2]


@pytest.fixture
def unfitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep every network at its warm start, in tests that do not need a fit."""
    monkeypatch.setattr(network_fits, "fit", at_its_start)


class NoteRecorder(Quiet):
    """A `Progress` that records notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def shop(folder: Path, events: list[Row], catalogue: list[Row] | None = None) -> Settings:
    """Fill a shop with events and products, and return the settings to train on it."""
    url = f"sqlite:///{folder / 'shop.sqlite'}"
    fill(url, {"Products": products() if catalogue is None else catalogue, "Interactions": events})
    return fast_settings(url, folder / "models")


def learn(settings: Settings, **arguments: Any) -> TrainingRun:
    return train(settings, now=NOW, **{"progress": Quiet(), **arguments})


def only_hit(results: Mapping[str, EvaluationResult], best: str) -> dict[str, EvaluationResult]:
    """Return the results with a MAP@10 of 1 for one scorer and 0 for all others."""
    return {
        name: replace(
            result, per_user={**result.per_user, "map10": np.full_like(result.per_user["map10"], name == best)}
        )
        for name, result in results.items()
    }


def daily(n_users: int, n_items: int, n_days: int, action: str = "purchase", stride: int = 1) -> list[Row]:
    """Return one event a day of each user: on day d, user u has item 101 + (stride · u + d) % n_items."""
    return [
        event(user, 101 + (stride * user + day) % n_items, action, START + day * DAY + user)
        for user in range(n_users)
        for day in range(n_days)
    ]


SHOP_FIGURES = {"n_users", "n_products", "n_interactions", "sparsity", "similarity_density", "avg_similarity"}

# Refusals

TOO_LITTLE: Mapping[str, tuple[list[Row], list[Row] | None, str]] = {
    "nothing at all": (
        [],
        None,
        "There are 0 events of 0 users on 0 items, 36 active products (0 rows were read; dropped: nothing).",
    ),
    "one user": (daily(1, 12, 200), None, "There are 200 events of 1 users on 12 items, 36 active products"),
    "one item": (daily(12, 1, 20), None, "There are 240 events of 12 users on 1 items, 36 active products"),
    "99 events": (daily(11, 12, 9), None, "There are 99 events of 11 users on 12 items, 36 active products"),
    "no product": (daily(12, 12, 20), [], "There are 240 events of 12 users on 12 items, 0 active products"),
    "every product inactive": (
        daily(12, 12, 20),
        [{**row, "statusId": "S2"} for row in products()],
        "There are 240 events of 12 users on 12 items, 0 active products",
    ),
    "mostly invalid events": (
        daily(11, 12, 9) + daily(11, 12, 9) + daily(11, 12, 9, "teleport"),
        None,
        "There are 99 events of 11 users on 12 items, 36 active products "
        "(297 rows were read; dropped: 99 unknown event, 99 duplicate).",
    ),
}


@pytest.mark.parametrize("case", TOO_LITTLE)
def test_too_small_a_shop_is_refused_with_its_counts_and_what_is_needed(tmp_path: Path, case: str):
    events, catalogue, counts = TOO_LITTLE[case]
    with pytest.raises(NotEnoughData) as caught:
        learn(shop(tmp_path, events, catalogue))
    assert "Training needs 100 events of 10 users on 10 items and an active product." in str(caught.value)
    assert counts in str(caught.value)
    (entry,) = history(tmp_path / "models")
    told = {"timestamp": NOW, "trained_at": NOW, "published": None, "reason": str(caught.value)}
    assert {name: entry.pop(name) for name in told} == told
    assert set(entry) == {*SHOP_FIGURES, "cleaning", "report"}
    size = f"{entry['n_interactions']} events of {entry['n_users']} users on {entry['n_products']} items"
    assert f"There are {size}" in str(caught.value)
    shares = [entry[name] for name in ("sparsity", "similarity_density", "avg_similarity")]
    assert all(share is None or 0 <= share <= 1 for share in shares)
    assert version_names(tmp_path / "models") == []


def test_events_of_one_moment_are_refused_because_no_cut_divides_them(tmp_path: Path):
    events = [event(user, item, "purchase", START) for user in range(12) for item in range(101, 113)]
    with pytest.raises(
        NotEnoughData, match="Nothing is left to learn from before the test cut: the events share too few moments"
    ):
        learn(shop(tmp_path, events))
    assert len(history(tmp_path / "models")) == 1


def test_events_of_two_moments_are_refused_as_well(tmp_path: Path):
    events = [
        event(user, item, "purchase", START + DAY * (item > 108)) for user in range(12) for item in range(101, 113)
    ]
    with pytest.raises(NotEnoughData, match="Nothing is left to learn from before the validation cut"):
        learn(shop(tmp_path, events))


def test_a_shop_with_rare_items_only_is_refused(tmp_path: Path, unfitted: None):
    catalogue = [{"id": 1000 + n, "name": f"Single {n}", "statusId": "S1"} for n in range(240)]
    events = [event(n % 12, 1000 + n, "purchase", START + n * 3600) for n in range(240)]
    with pytest.raises(
        NotEnoughData,
        match=r"An item needs 3 events \(min_item_events\). None of the training part's 172 events is on one",
    ):
        learn(shop(tmp_path, events, catalogue))


@pytest.mark.parametrize(("events", "catalogue"), [("text", "integer"), ("integer", "text")])
def test_item_ids_of_different_types_are_refused_with_the_way_out(tmp_path: Path, events: str, catalogue: str):
    settings = shop(tmp_path, interactions())
    source = source_sql(settings.shop.sources[0])
    columns = {"text": "CAST({0} AS TEXT) AS", "integer": "{0} AS"}
    since = source.since.replace("productId AS", columns[events].format("productId"))
    sold = products_sql(settings.shop.products).replace("p.id AS", columns[catalogue].format("p.id"))
    other = replace(settings.shop, sources=(replace(source, since=since),), products=sold)
    words = {"text": "texts", "integer": "whole numbers"}
    expected = f"Received: {words[events]} in the events, {words[catalogue]} in the products. CAST one of them"
    with pytest.raises(SettingsError, match=expected):
        learn(replace(settings, shop=other))


def test_users_without_any_new_item_are_refused(tmp_path: Path, unfitted: None):
    events = [event(user, 101 + user, "purchase", START + day * DAY + user) for user in range(12) for day in range(20)]
    with pytest.raises(
        NotEnoughData, match="The test part needs a user who bought before its cut and chose something new after it"
    ):
        learn(shop(tmp_path, events))


def test_a_candidate_that_is_not_finite_is_refused_and_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def diverged(name: str, *_: object, **__: object) -> Fit:
        raise TrainingRefused(f"{name}: the loss should be finite. Received: nan in epoch 1, batch 2 of 3.")

    monkeypatch.setattr(network_fits, "fit", diverged)
    settings = shop(tmp_path, interactions())
    with pytest.raises(TrainingRefused, match="ENCM: the loss"):
        learn(settings)
    [entry] = history(settings.models_dir)
    assert entry["published"] is None
    assert entry["reason"] == "ENCM: the loss should be finite. Received: nan in epoch 1, batch 2 of 3."
    assert version_names(settings.models_dir) == []


def test_a_refused_run_leaves_the_old_version_serving_and_is_recorded(published: Published, tmp_path: Path):
    copy = published.copy(tmp_path)
    copy.execute("DELETE FROM Interactions WHERE userId > 0")
    with pytest.raises(NotEnoughData):
        learn(copy.settings)
    assert [entry["published"] for entry in history(copy.models_dir)] == [published.version, None]
    assert copy.ask(user_id=7).model_version == published.version


def test_a_dry_run_that_is_refused_writes_nothing(tmp_path: Path):
    with pytest.raises(NotEnoughData):
        learn(shop(tmp_path, []), dry_run=True)
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("epochs", 0),
        ("dim", -1),
        ("batch", 0),
        ("window", 0),
        ("negatives", 0),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("test_quantile", 1.0),
        ("validation_quantile", 0.0),
        ("factors", 0),
        ("shared_negatives", 0),
        ("negative_power", 1.5),
        ("dropout", 0.95),
        ("l2", -0.1),
        ("loss", "hinge"),
        ("dropped_users", 1.5),
        ("max_exam_users", 0),
    ],
)
def test_options_outside_their_range_are_refused_by_name(option: str, value: float | str):
    with pytest.raises(SettingsError, match=f'`{option}` should be .*Received: "?{value}'):
        replace(Training(), **{option: value})


# The entry point


def run_train(environ: Mapping[str, str], *flags: str) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **environ}
    return subprocess.run(
        [sys.executable, str(ROOT / "train.py"), *flags],
        env=environ,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_exit_status_is_3_where_training_is_refused(tmp_path: Path):
    settings = shop(tmp_path, daily(11, 12, 9))
    process = run_train({"DATABASE_URL": str(settings.database_url), "MODELS_DIR": str(settings.models_dir)})
    assert process.returncode == 3
    assert process.stdout == ""
    assert "Refused: Training needs 100 events of 10 users" in process.stderr
    assert process.stderr.splitlines()[:4] == [
        "Read the shop's tables (step 1 of 6)",
        "  99 rows",
        "  99 rows read, 99 kept",
        process.stderr.splitlines()[3],
    ]
    assert len(history(settings.models_dir)) == 1


def test_the_exit_status_is_1_where_the_database_is_down(tmp_path: Path):
    process = run_train(
        {"DATABASE_URL": "mysql+pymysql://root@127.0.0.1:1/shop", "MODELS_DIR": str(tmp_path / "models")}
    )
    assert process.returncode == 1
    assert "Failed: The database of DATABASE_URL cannot be reached" in process.stderr
    assert "Traceback" not in process.stderr
    left = [path.name for path in (tmp_path / "models").iterdir()]
    assert all(name.startswith(".training") for name in left), left


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The entry point, called in this process."""
    for name in ("TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setattr(sys, "path", list(sys.path))
    return importlib.import_module("train").main


def test_a_dry_run_prints_the_table_and_writes_nothing(
    main: Any, unfitted: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    settings = shop(tmp_path, interactions())
    monkeypatch.setenv("DATABASE_URL", str(settings.database_url))
    monkeypatch.setenv("MODELS_DIR", str(settings.models_dir))
    with sqlite3.connect(tmp_path / "shop.sqlite") as db:
        before = list(db.iterdump())
    assert main(["--dry-run", "--eval", "loo99", "--dim", "4", "--max-exam-users", "20"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in REGISTRY)
    assert "dry run: nothing was published" in printed
    assert not settings.models_dir.exists()
    with sqlite3.connect(tmp_path / "shop.sqlite") as db:
        assert list(db.iterdump()) == before


def test_a_wrong_option_ends_with_status_1_and_a_sentence(
    main: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'none.sqlite'}")
    monkeypatch.setenv("MODELS_DIR", str(tmp_path / "models"))
    assert main(["--epochs", "0"]) == 1
    assert "`epochs` should be" in " ".join(capsys.readouterr().err.split())


def test_a_missing_database_file_is_not_created(tmp_path: Path):
    with pytest.raises(DatabaseUnavailable):
        learn(fast_settings(f"sqlite:///{tmp_path / 'typo.sqlite'}", tmp_path / "models"))
    assert not (tmp_path / "typo.sqlite").exists()


# The winner


def test_the_winner_is_the_best_on_validation_and_is_named_everywhere(trained: Trained):
    [entry] = history(trained.published.models_dir)
    validation = entry["validation"]["map10"]
    assert set(validation) == set(REGISTRY)
    best = max(reversed(list(REGISTRY)), key=lambda name: validation[name])  # the cheapest of equals
    version = current(trained.published.models_dir)
    assert (
        entry["winner"]
        == trained.run.winner
        == version.manifest["winner"]
        == version.json("selection.json")["best"]
        == best
    )
    assert entry["published"] == trained.run.version == version.name


def test_among_equals_on_validation_the_cheapest_wins(
    trained: Trained, unfitted: None, monkeypatch: pytest.MonkeyPatch
):
    run = trained.run
    result = run.evaluations["BMF"]
    monkeypatch.setattr(fitting, "evaluate_set", lambda scorers, evaluation_set: dict.fromkeys(scorers, result))
    options, evaluation_sets = run.settings.training, {"hide": run.evaluation_set}
    hyperparameters = fitting.choose(run.evaluated.data, evaluation_sets, "hide", options, lambda epoch: None)
    assert set(hyperparameters.map10) == set(REGISTRY)
    assert len(set(hyperparameters.map10.values())) == 1
    assert hyperparameters.winner == list(REGISTRY)[-1]  # the registry has the dearest first


@pytest.mark.parametrize("best", ["blend", "item_cf", "user_frequency_decayed"])
def test_a_baseline_that_wins_is_published_as_such(
    tmp_path: Path, unfitted: None, monkeypatch: pytest.MonkeyPatch, best: str
):
    """On validation, only one baseline has a hit."""
    real = fitting.evaluate_set

    def favouring(scorers: Mapping[str, Scorer], evaluation_set: EvaluationSet) -> dict[str, EvaluationResult]:
        return only_hit(real(scorers, evaluation_set), best)

    monkeypatch.setattr(fitting, "evaluate_set", favouring)
    result = learn(shop(tmp_path, interactions()))
    assert result.winner == best
    answer = Published(tmp_path, str(result.version)).ask(interactions=[{"item_id": 101, "event": "view"}])
    assert answer.model == result.winner
    assert answer.source == REGISTRY[result.winner].source != "model"
    assert [run.model for run in answer.runs] == [*MODELS, result.winner]


# What validation chooses


def trials_of(trained: Trained) -> list[dict[str, Any]]:
    [entry] = history(trained.published.models_dir)
    return entry["validation"]["trials"]


@pytest.mark.parametrize(
    ("choice", "grid", "field"),
    [("EASE l2", L2_GRID, "l2"), ("ALS regularization", REGULARIZATION_GRID, "regularization")],
)
def test_every_value_of_a_grid_is_tried_and_the_best_is_taken(
    trained: Trained, choice: str, grid: tuple[float, ...], field: str
):
    tried = {trial["value"]: trial["map10"] for trial in trials_of(trained) if trial["choice"] == choice}
    assert list(tried) == list(grid)
    assert all(0 <= value <= 1 for value in tried.values())
    assert getattr(trained.hyperparameters, field) == max(tried, key=lambda value: tried[value])


def test_every_networks_epochs_are_logged_and_its_best_one_is_fitted_again(trained: Trained):
    [entry] = history(trained.published.models_dir)
    tried = {trial["model"]: trial for trial in trials_of(trained) if trial["choice"] == "epochs"}
    assert list(tried) == list(NETWORKS)
    for name, trial in tried.items():
        map10 = trial["map10_by_epoch"]
        assert len(map10) == len(trial["losses"]) + 1 <= tiny_shop.FAST.epochs + 1  # the start has a score but no loss
        assert trial["value"] == int(np.argmax(map10))
        again = 0 if trial.get("without_weight") else trial["value"]
        assert trained.hyperparameters.epochs[name] == again
        for stage in (trained.evaluated, trained.final):
            assert len(stage.losses[name]) == again
    assert entry["validation"]["defaults"] is None


def test_ensemble_weights_are_fitted_for_every_model_and_rule_and_serve(trained: Trained):
    tried = {
        (trial["model"], trial["rule"]): trial for trial in trials_of(trained) if trial["choice"] == "signal weights"
    }
    assert set(tried) == {(name, rule) for name in (*MODELS, "blend") for rule in ("hide", "allow")}
    version = current(trained.published.models_dir)
    for name in (*MODELS, "blend"):
        weights = trained.hyperparameters.ensemble_weights[name]
        path = f"{name.lower()}_model.weights.h5" if name in MODELS else "blend.h5"
        stored = version.arrays(path)["vars/signal_weights" if name in MODELS else "signal_weights"]
        np.testing.assert_array_equal(stored, weights)
        for row, rule in zip(weights, ("hide", "allow"), strict=True):
            assert not tried[name, rule]["fallback"]
            serves = "blend" if tried[name, rule].get("without_weight") else name
            assert tried[serves, rule]["weights"] == pytest.approx(row.tolist())
            assert np.abs(row[:-1]).max() > 0
            assert row[-1] == 0 if name == "blend" else row[-1] >= 0  # 0 where the sum alone is better for certain
        assert (weights[0] != weights[1]).any()


def test_without_enough_validation_users_defaults_serve_and_are_noted(tmp_path: Path, unfitted: None):
    """All users have events for 8 days, and five of them for 28 more: too few to choose by, enough for the test."""
    events = [
        row
        for row in daily(12, 36, 36)
        if row["userId"] < 5 or row["timestamp"] < tiny_shop.stored_time(START + 8 * DAY)
    ]
    settings, recorder = shop(tmp_path, events), NoteRecorder()
    result = learn(settings, progress=recorder)
    reason = "validation has 5 users, 10 are needed: defaults are used"
    [entry] = history(settings.models_dir)
    assert recorder.notes == [reason]
    assert entry["validation"] == {"map10": {}, "users": 0, "defaults": reason, "trials": []}
    assert entry["winner"] == result.winner == DEFAULT_WINNER == "popularity"
    version = current(settings.models_dir)
    weights = dict(zip(NAMES, version.arrays("blend.h5")["signal_weights"][0].tolist(), strict=False))
    assert {name: weight for name, weight in weights.items() if weight} == {"popularity_15d": 0.5, "own_count": 1.0}
    assert version.manifest["scorers"] == list(REGISTRY)
    assert all(row["rmse"] is None for rows in result.rows.values() for row in rows.values())
    answer = Published(tmp_path, version.name).ask(user_id=2)
    assert len(answer.items) > 0
    assert [run.error for run in answer.runs if run.model in MODELS] == [None] * 4


# A network that cannot be fitted


@pytest.mark.parametrize(
    "error",
    [MemoryError("no room for 9 GB"), tf.errors.ResourceExhaustedError(None, None, "no room for 9 GB\nat some node")],
)
def test_a_network_that_lacks_memory_is_left_out_and_the_others_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
):
    monkeypatch.setattr(network_fits, "fit", failing_in((1, 2, 3), error))
    settings, recorder = shop(tmp_path, interactions()), NoteRecorder()
    result = learn(settings, progress=recorder)
    assert_published_without_lncm(tmp_path, settings, result)
    assert recorder.notes == [f"LNCM is left out: {type(error).__name__}: no room for 9 GB"]
    [entry] = history(settings.models_dir)
    assert entry["failures"] == {"LNCM": f"{type(error).__name__}: no room for 9 GB"}
    assert [trial for trial in entry["validation"]["trials"] if "failed" in trial] == [
        {"model": "LNCM", "failed": f"{type(error).__name__}: no room for 9 GB"}
    ]


@pytest.mark.parametrize("turn", [2, 3], ids=["before the test cut", "all events"])
def test_a_network_that_fails_in_a_later_fit_is_left_out_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, turn: int
):
    """A network that wins on validation and fails in a later fit, on more events, is not the winner of the version."""
    real = fitting.evaluate_set

    def favouring(scorers: Mapping[str, Scorer], evaluation_set: EvaluationSet) -> dict[str, EvaluationResult]:
        return only_hit(real(scorers, evaluation_set), "LNCM")

    monkeypatch.setattr(fitting, "evaluate_set", favouring)
    monkeypatch.setattr(network_fits, "fit", failing_in((turn,), MemoryError("no room")))
    settings, recorder = shop(tmp_path, interactions()), NoteRecorder()
    result = learn(settings, progress=recorder)
    assert_published_without_lncm(tmp_path, settings, result)
    assert recorder.notes == ["LNCM is left out: MemoryError: no room"]


def failing_in(passes: Sequence[int], error: Exception) -> Callable[..., Fit]:
    """Return a fit that fails for LNCM in some of the three fits of a run: validation, test, serving."""
    turns: list[int] = []

    def fit(name: str, *arguments: Any, **options: Any) -> Fit:
        turns.extend([len(turns) + 1] * (name == "LNCM"))
        if name == "LNCM" and turns[-1] in passes:
            raise error
        return at_its_start(name, *arguments, **options)

    return fit


def assert_published_without_lncm(folder: Path, settings: Settings, result: TrainingRun) -> None:
    version = current(settings.models_dir)
    assert version.name == result.version
    assert version.manifest["scorers"] == [name for name in REGISTRY if name != "LNCM"]
    assert version.manifest["winner"] == result.winner != "LNCM"
    assert not (version.path / "lncm_model.weights.h5").exists()
    for request in (
        {"user_id": 7},
        {"user_id": 7, "model": "LNCM"},
        {"interactions": [{"item_id": 101, "event": "view"}]},
    ):
        answer = Published(folder, version.name).ask(**request)
        errors = {run.model: run.error for run in answer.runs}
        assert errors.pop("LNCM") == "LNCM is not part of this version: its training failed"
        assert set(errors.values()) == {None}
        assert answer.model != "LNCM"
        assert len(answer.items) == 10


def test_without_any_network_nothing_is_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fit(*_: object, **__: object) -> Fit:
        raise MemoryError("no room")

    monkeypatch.setattr(network_fits, "fit", fit)
    settings = shop(tmp_path, interactions())
    with pytest.raises(TrainingRefused, match=r"Missing: ENCM \(MemoryError: no room\), "):
        learn(settings)
    assert version_names(settings.models_dir) == []
    assert [entry["published"] for entry in history(settings.models_dir)] == [None]


# Leave-one-out


def test_leave_one_out_ranks_each_last_item_among_99_at_most(tmp_path: Path, unfitted: None):
    catalogue = [{"id": 101 + n, "name": f"Item {n}", "statusId": "S1", "categoryId": "tea"} for n in range(130)]
    settings = shop(tmp_path, daily(24, 130, 30, stride=7), catalogue)
    result = learn(settings, protocol="loo99")
    assert set(result.rows) == {"allow"} == {result.rule}
    cases = result.evaluation_set.cases
    assert len(cases) == 24
    for case in cases:
        assert len(case.candidates) == 100
        # on the last of 30 days, user u had item 101 + (7 · u + 29) % 130; no earlier item is among the 99
        assert case.relevant.tolist() == [(7 * case.query.user + 29) % 130]
        assert set(case.relevant.tolist()) < set(case.candidates.tolist())
        assert not set(case.candidates.tolist()) & set(case.query.items.tolist())
    assert current(settings.models_dir).manifest["protocol"] == "loo99"
    assert {row["users"] for row in result.rows["allow"].values()} == {24}


# What a version holds


def test_the_manifest_describes_the_data_and_settings_of_the_version(trained: Trained):
    version = current(trained.published.models_dir)
    manifest = version.manifest
    assert manifest["id_type"] == {"users": "int", "items": "int"}
    newest = max(row["timestamp"] for row in interactions() if row["productId"] != tiny_shop.RARE)
    assert tiny_shop.stored_time(manifest["data_until"]) == newest
    assert manifest["counts"] == {"users": 60, "items": 36, "events": len(interactions()) + len(tiny_shop.stars()) - 2}
    assert len(manifest["data_sha256"]) == 64
    assert manifest["seed"] == 7
    assert manifest["git_commit"] is None or len(manifest["git_commit"]) == 40
    assert (manifest["protocol"], manifest["rule"]) == ("time", "hide")
    assert manifest["context_features"] == ["time_of_day", "season", "device_type", "category"]
    assert manifest["settings"]["training"]["dim"] == 8
    assert manifest["settings"]["repeat_after_days"] is None
    assert manifest["settings"]["event_weights"]["purchase"] == 1.0
    for name, row in trained.run.rows["hide"].items():
        estimates = [f"{metric}{bound}" for metric in ("precision10", "map10") for bound in ("", "_low", "_high")]
        assert manifest["offline"][name] == {key: row[key] for key in estimates}


def test_the_manifest_lists_every_file_with_size_hash_and_shapes(published: Published):
    folder = current(published.models_dir).path
    listed = {
        entry["path"]: entry for entry in json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["files"]
    }
    existing = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {"manifest.json"}
    assert set(listed) == existing
    for path, entry in listed.items():
        data = (folder / path).read_bytes()
        assert (entry["size"], entry["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
        assert ("shapes" in entry) == path.endswith(".h5")
    assert listed["bmf_model.weights.h5"]["shapes"]["vars/item_factors"] == [36, 8]


def test_a_version_holds_all_expected_files(published: Published):
    folder = current(published.models_dir).path
    weights = {f"{name.lower()}_model.weights.h5" for name in MODELS}
    expected = weights | {f"evaluation/{name}" for name in weights} | {f"{name.lower()}_config.json" for name in MODELS}
    expected |= (
        {f"{name}.h5" for name in BASELINES} | {f"{name}_derived.h5" for name in ("encm", "neumf")} | {"signals.h5"}
    )
    expected |= {"encoders.h5", "evaluation/encoders.h5", "contexts.json", "items.h5", "catalogue.json", "heldout.h5"}
    expected |= {"together.h5", "trending.h5", "again.h5"}
    expected |= {"snapshot.json", "selection.json", "report.html", "manifest.json"}
    served = set(json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["serves"].values())
    expected |= {f"evaluation/{name}.h5" for name in (served | {"ease"}) - set(MODELS)}
    expected |= {"evaluation/contexts.json", "evaluation/signals.h5"}
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == expected


def test_a_version_holds_content_only_where_an_ensemble_uses_it(trained: Trained):
    version = current(trained.published.models_dir)
    used = any(weights[:, CONTENT].any() for weights in trained.hyperparameters.ensemble_weights.values())
    for path in ("signals.h5", "evaluation/signals.h5"):
        assert ("content/starts" in version.arrays(path)) == used


def test_held_out_metrics_are_found_by_the_serving_index_of_a_user(trained: Trained):
    run = trained.run
    arrays = current(trained.published.models_dir).arrays("heldout.h5")
    for number, case in enumerate(run.evaluation_set.cases):
        user = run.evaluated.encoders.users.ids[[case.query.user]]
        (row,) = arrays["rows"][run.final.encoders.users.indices(user)]
        assert arrays["n_relevant"][row] == len(case.relevant) + case.n_unreachable
        for name, result in run.evaluations.items():
            assert arrays[f"{name}/map10"][row] == result.per_user["map10"][number]
    assert (arrays["rows"] >= 0).sum() == len(run.evaluation_set.cases)


def test_the_snapshot_lists_active_products_best_first(published: Published):
    snapshot = current(published.models_dir).json("snapshot.json")
    active = {row["id"] for row in products() if row["statusId"] == "S1"}
    assert set(snapshot["popular"]) == active
    bundle = load(published.models_dir)
    counts = bundle.scorers["popularity"].score(None)
    ranked = [item for item in snapshot["popular"] if item in tiny_shop.LEARNED]
    assert ranked == sorted(ranked, key=lambda item: -counts[item - 101])
    assert set(snapshot["by_category"]) == set(tiny_shop.CATEGORIES)
    assert snapshot["newest"][:3] == [139, 138, 137]
    assert {row["id"] for row in snapshot["products"]} == active


def test_the_snapshot_holds_the_fields_of_each_product(published: Published):
    snapshot = current(published.models_dir).json("snapshot.json")
    of_id = {row["id"]: row for row in snapshot["products"]}
    for row in products():
        if row["statusId"] == "S1":
            entry = of_id[row["id"]]
            assert entry["name"] == row["name"]
            assert (entry["category"], entry["brand"]) == (row["categoryId"], row["brandId"])
            assert entry["price"] > 0


def test_the_snapshot_of_a_large_shop_stays_small(trained: Trained):
    n_products = 20_000
    catalogue = Catalogue(
        items=np.arange(1, n_products + 1),
        active=np.arange(n_products) % 2 == 0,
        categories=np.array([f"category {row % 977}" for row in range(n_products)], object),
        brands=np.array([None] * n_products, object),
        prices=np.full(n_products, np.nan),
        names=np.array(["名" * 300] * n_products, object),
    )
    snapshot = publishing.snapshot(catalogue, trained.final)

    assert [len(snapshot["popular"]), len(snapshot["newest"])] == [200, 200]
    assert len(snapshot["by_category"]) == 100
    assert max(map(len, snapshot["by_category"].values())) <= 30
    listed = {
        *snapshot["popular"],
        *snapshot["newest"],
        *(item for items in snapshot["by_category"].values() for item in items),
    }
    assert {row["id"] for row in snapshot["products"]} == listed
    assert all(item % 2 == 1 for item in listed)  # the active ones
    assert {(row["name"], row["price"], row["brand"]) for row in snapshot["products"]} == {("名" * 255, None, None)}


def test_the_report_needs_no_other_file_and_names_the_winner(published: Published, trained: Trained):
    page = (current(published.models_dir).path / "report.html").read_text(encoding="utf-8")

    class References(html.parser.HTMLParser):
        targets: list[str] = []

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            assert tag not in {"script", "link", "iframe", "object", "img"}
            self.targets += [
                value or "" for name, value in attrs if name in {"src", "href", "xlink:href", "action", "data"}
            ]

    References().feed(page)
    assert References.targets  # glyphs of the plots
    assert all(reference.startswith("#") for reference in References.targets)
    assert "url(http" not in page
    assert "@import" not in page
    assert f"<b>{trained.run.winner} ★</b>" in page
    assert page.count("<svg") == 2 + any(trained.final.losses.values())  # a chart for each repeat rule, and the losses
    for name in REGISTRY:
        assert re.search(f"<td>(<b>)?{name}[ <]", page)


def test_the_database_knows_the_version_and_shows_it(published: Published):
    with connect(published.url) as db:
        assert db.query("SELECT name, complete, active FROM rec_versions") == [(published.version, 1, 1)]
        assert db.query("SELECT COUNT(*) FROM rec_user_encoder_active") == [(60,)]
        assert db.query("SELECT original_id FROM rec_item_encoder_active WHERE idx = 0") == [("101",)]
