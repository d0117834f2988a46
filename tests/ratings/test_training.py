"""The training of ratings: the cut, the gate, what is published, and what a torn file or another training does."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from recsys.artifacts import history, version_names
from recsys.errors import AlreadyTraining, ModelRefused, NoModel, NotEnoughData, TrainingRefused
from recsys.lifecycle.lock import training_lock
from recsys.ratings.bmf import bmf_stars
from recsys.ratings.fitting import fit_factors
from recsys.ratings.ratings import Ratings, clean_ratings
from recsys.ratings.training import (
    BIASES,
    FACTORS,
    FILE,
    FOLDER,
    Errors,
    compare,
    load_model,
    publish_model,
    train_ratings,
)
from recsys.settings import Training
from recsys.store import connect
from scripts import train_ratings as command
from tests.helpers.databases import migrated
from tests.ratings.test_model import two_tastes

NOW = 1_700_000_000


def mixed(ratings: Ratings, seed: int = 3) -> Ratings:
    """Return the same ratings, given in a random order in time, so that users are known on both sides of the cut."""
    moments = np.random.default_rng(seed).permutation(len(ratings))
    return Ratings(ratings.users, ratings.items, ratings.values, moments)


def noise(n: int = 400) -> Ratings:
    """Return stars that depend on nothing."""
    rng = np.random.default_rng(5)
    columns = (rng.integers(0, 20, n), rng.integers(0, 30, n), rng.integers(1, 6, n), np.arange(n))
    return clean_ratings(*(column.tolist() for column in columns))[0]


def test_errors_by_hand() -> None:
    assert Errors.of(np.array([1.0, 5.0]), np.array([4.0, 4.0])) == Errors(rmse=5**0.5, mae=2.0)


def test_what_beats_the_biases_is_published_and_loads(tmp_path: Path) -> None:
    ratings = mixed(two_tastes())
    told = []

    model = train_ratings(ratings, tmp_path, now=NOW, epochs=60, notes={"newest_row": 7}, tell=told.append)

    again = load_model(tmp_path)
    assert model.name == again.name
    np.testing.assert_array_equal(
        again.predict(ratings.users, ratings.items), model.predict(ratings.users, ratings.items)
    )
    comparison = told[0]
    assert set(comparison.every) == {"global mean", "user means", "item means", BIASES, FACTORS}
    assert comparison.known[FACTORS].rmse < comparison.known[BIASES].rmse
    assert comparison.n_before + comparison.n_after == len(ratings)
    manifest = json.loads((tmp_path / model.name / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["newest_row"], manifest["n_ratings"], manifest["data_until"]) == (7, 300, 299)
    assert [entry["published"] for entry in history(tmp_path)] == [model.name]


def test_the_newest_five_versions_stay(tmp_path: Path) -> None:
    model = fit_factors(two_tastes(), factors=2, epochs=1)

    names = [publish_model(model, tmp_path, now=NOW + n, notes={}) for n in range(7)]

    assert version_names(tmp_path) == names[2:]
    assert load_model(tmp_path).name == names[-1]


def test_no_file_of_a_version_is_a_pickle(tmp_path: Path) -> None:
    name = train_ratings(mixed(two_tastes()), tmp_path, now=NOW, epochs=60).name

    assert {path.name for path in (tmp_path / name).iterdir()} == {FILE, "manifest.json"}
    assert (tmp_path / name / FILE).read_bytes()[1:4] == b"HDF"


def test_what_does_not_beat_the_biases_is_refused_and_the_old_version_stays(tmp_path: Path) -> None:
    old = train_ratings(mixed(two_tastes()), tmp_path, now=NOW, epochs=60).name

    with pytest.raises(TrainingRefused, match="smaller RMSE than the biases alone"):
        train_ratings(noise(), tmp_path, now=NOW + 1, epochs=60)

    assert load_model(tmp_path).name == old
    assert [entry["published"] for entry in history(tmp_path)] == [old, None]


def at_one_moment() -> Ratings:
    ratings = two_tastes()
    return Ratings(ratings.users, ratings.items, ratings.values, np.full(len(ratings), 9))


def newcomers() -> Ratings:
    """Return ratings whose users after the cut were never seen before it."""
    rows = [(n // 4, n % 4, 1 + n % 5, n) for n in range(60)]
    return clean_ratings(*([row[place] for row in rows] for place in range(4)))[0]


@pytest.mark.parametrize(
    ("ratings", "expected"),
    [
        (clean_ratings([], [], [], [])[0], "to learn from. Received: none"),
        (clean_ratings([1], [7], [5], [1])[0], "different times"),
        (clean_ratings([1] * 40, range(40), [4] * 40, range(40))[0], "2 users"),
        (at_one_moment(), "different times"),
        (newcomers(), "rated before"),
    ],
    ids=["none", "one", "one user", "one moment", "newcomers"],
)
def test_what_cannot_be_compared_is_refused_with_its_reason(ratings: Ratings, expected: str, tmp_path: Path) -> None:
    with pytest.raises(NotEnoughData, match=expected):
        train_ratings(ratings, tmp_path, now=NOW)

    with pytest.raises(NoModel):
        load_model(tmp_path)
    assert expected in history(tmp_path)[0]["reason"]


def test_ratings_after_the_cut_are_not_learned_from() -> None:
    ratings = mixed(two_tastes())
    cut = compare(ratings).cut
    later = ratings.timestamps >= cut
    changed = Ratings(ratings.users, ratings.items, np.where(later, 1.0, ratings.values), ratings.timestamps)

    seen: list[list[float]] = []
    for table in (ratings, changed):
        compare(table, others={"spy": lambda before, after: seen.append(before.values.tolist()) or after.values})

    assert seen[0] == seen[1]


@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_a_torn_file_is_refused(damage: str, tmp_path: Path) -> None:
    path = tmp_path / train_ratings(mixed(two_tastes()), tmp_path, now=NOW, epochs=60).name / FILE
    data = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes(data[: len(data) // 2] if damage == "cut" else data[:-8] + b"\1" * 8)

    with pytest.raises(ModelRefused):
        load_model(tmp_path)


def test_one_training_runs_at_a_time(tmp_path: Path) -> None:
    with training_lock(tmp_path), pytest.raises(AlreadyTraining):
        train_ratings(mixed(two_tastes()), tmp_path, now=NOW)


@pytest.mark.slow
def test_bmf_stands_beside_and_its_stars_stay_within_the_scale() -> None:
    ratings = mixed(two_tastes())
    options = Training(dim=4, factors=4, epochs=2, batch=16, window=8, shared_negatives=8)

    comparison = compare(ratings, others={"BMF": lambda *parts: bmf_stars(*parts, options=options)})

    assert 0 < comparison.every["BMF"].rmse < 4


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A shop in the default schema whose comments are the ratings of two tastes."""
    (tmp_path / "shop.sqlite").touch()
    url = migrated(f"sqlite:///{tmp_path / 'shop.sqlite'}")
    ratings = mixed(two_tastes())
    columns = zip(ratings.users.tolist(), ratings.items.tolist(), ratings.values.tolist(), strict=True)
    with connect(url) as db:
        db.insert(
            "Comments",
            [
                {"userId": u, "productId": i, "star": int(v), "createdAt": f"2024-01-01 {t // 60:02}:{t % 60:02}:00"}
                for (u, i, v), t in zip(columns, ratings.timestamps.tolist(), strict=True)
            ],
        )
    for name, value in {"DATABASE_URL": url, "MODELS_DIR": str(tmp_path / "models")}.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def test_the_command_trains_publishes_and_predicts(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    predictions = shop / "stars.jsonl"

    status = command.main(["--epochs", "60", "--without-bmf", "--predictions", str(predictions), "--limit", "2"])

    assert (status, capsys.readouterr().err) == (0, "")
    model = load_model(shop / "models" / FOLDER)
    lines = [json.loads(line) for line in predictions.read_text(encoding="utf-8").splitlines()]
    assert [line["user_id"] for line in lines] == list(range(30))
    rated = set(zip(two_tastes().users.tolist(), two_tastes().items.tolist(), strict=True))
    for line in lines:
        pairs = [(line["user_id"], item["item_id"]) for item in line["items"]]
        assert len(pairs) == 2
        assert not rated & set(pairs)
        stars = model.predict(*(np.array(column) for column in zip(*pairs, strict=True)))
        assert [item["value"] for item in line["items"]] == [round(value, 4) for value in stars.tolist()]
        assert stars[0] >= stars[1]


def test_the_command_says_what_it_refuses(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--dry-run", "--without-bmf"]) == 0
    assert FACTORS in capsys.readouterr().out
    assert not (shop / "models" / FOLDER).exists()
    with training_lock(shop / "models" / FOLDER):
        assert command.main(["--without-bmf"]) == 75
    with connect(f"sqlite:///{shop / 'shop.sqlite'}") as db:
        db.execute("DELETE FROM Comments")
    assert command.main(["--without-bmf"]) == 3
    assert "Received: none" in capsys.readouterr().err
