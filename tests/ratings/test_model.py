"""The factorisation: sums by hand, pairs beside blocks, unknown ids, and the way to a file and back."""

import numpy as np
import pytest

from recsys.data.ids import IdMap
from recsys.errors import ModelRefused, NotEnoughData, TrainingRefused
from recsys.ratings import fitting
from recsys.ratings.fitting import fit_biases, fit_factors, mean_models
from recsys.ratings.model import RatingModel, best_unrated
from recsys.ratings.ratings import Ratings, clean_ratings

BY_HAND = RatingModel(
    IdMap(np.array([10, 20])),
    IdMap(np.array([7, 8, 9])),
    3.0,
    np.array([0.5, -0.5, 0.0]),
    np.array([0.25, 0.0, -1.0, 0.0]),
    np.array([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]], np.float32),
    np.array([[0.5, 1.0], [2.0, 0.0], [0.0, -1.0], [0.0, 0.0]], np.float32),
)


def two_tastes(n_users: int = 30, n_items: int = 12, kind: type = int) -> Ratings:
    """Return ratings in which users like the items of their own parity: 5 and 1 stars, with one pair in six left out.

    Biases alone cannot tell them: every user and every item has nearly the same mean.
    """
    pairs = [(u, i) for u in range(n_users) for i in range(n_items) if (u // 2 + i) % 6]
    users, items = ([kind(pair[place]) for pair in pairs] for place in (0, 1))
    stars = [5 if (u + i) % 2 == 0 else 1 for u, i in pairs]
    return clean_ratings(users, items, stars, range(len(pairs)))[0]


@pytest.mark.parametrize(
    ("user", "item", "stars"),
    [
        (10, 7, 4.25),  # 3 + 0.5 + 0.25 + 1 · 0.5
        (20, 7, 4.75),  # 3 - 0.5 + 0.25 + 2 · 1
        (10, 8, 5.0),  # 5.5, clipped to the scale
        (20, 9, 1.0),  # 3 - 0.5 - 1 - 2 = -0.5, clipped
        (99, 9, 2.0),  # an unknown user: mean and the item's bias
        (10, 99, 3.5),  # an unknown item: mean and the user's bias
        (99, 99, 3.0),  # nobody and nothing: the mean
    ],
)
def test_predicted_stars_by_hand(user: int, item: int, stars: float) -> None:
    users, items = np.array([user]), np.array([item])

    assert BY_HAND.predict(users, items)[0] == pytest.approx(stars)
    assert BY_HAND.predict_all(users, items)[0, 0] == pytest.approx(stars)


def test_pairs_and_blocks_agree() -> None:
    model = fit_factors(two_tastes(), factors=4)
    users, items = np.arange(-1, 31), np.arange(-1, 13)

    block = model.predict_all(users, items)

    pairs = model.predict(np.repeat(users, len(items)), np.tile(items, len(users)))
    np.testing.assert_allclose(block, pairs.reshape(block.shape), rtol=1e-6)


@pytest.mark.parametrize("kind", [int, str])
def test_a_known_pair_is_not_predicted_as_an_unknown_one(kind: type) -> None:
    ratings = two_tastes(kind=kind)
    model = fit_factors(ratings, factors=8)
    unknown = ratings.users[:1] * 0 - 1 if kind is int else np.array(["nobody"], object)

    known = model.predict(ratings.users[:1], ratings.items[:1])[0]

    assert abs(known - model.predict(unknown, ratings.items[:1])[0]) > 0.5
    assert abs(known - model.mean) > 0.5


@pytest.mark.parametrize("ids", [np.array(["10"], object), np.array(["a"], object)])
def test_ids_of_another_type_are_an_error_and_not_the_mean(ids: np.ndarray) -> None:
    with pytest.raises(TypeError, match="type int"):
        BY_HAND.predict(ids, np.array([7]))
    with pytest.raises(TypeError, match="type int"):
        BY_HAND.predict_all(np.array([10]), ids)


def test_the_fit_tells_tastes_that_biases_cannot() -> None:
    ratings = two_tastes()
    left_out = [(u, i) for u in range(30) for i in range(12) if (u // 2 + i) % 6 == 0]
    users, items = (np.array([pair[place] for pair in left_out]) for place in (0, 1))
    given = np.where((users + items) % 2 == 0, 5.0, 1.0)

    stars = fit_factors(ratings, factors=8, epochs=60).predict(users, items)
    biases = fit_biases(ratings).predict(users, items)

    assert ((stars > 3) == (given > 3)).mean() > 0.9
    assert np.abs(biases - given).mean() > 1.5


def test_the_same_ratings_in_another_order_give_the_same_bits(rng: np.random.Generator) -> None:
    ratings = two_tastes()
    mixed = ratings.take(rng.permutation(len(ratings)))
    again, _ = clean_ratings(
        *(column.tolist() for column in (mixed.users, mixed.items, mixed.values, mixed.timestamps))
    )

    first, second = fit_factors(ratings).arrays(), fit_factors(again).arrays()

    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_means_by_hand() -> None:
    ratings, _ = clean_ratings([1, 1, 2], [7, 8, 7], [5, 3, 1], [1, 2, 3])
    predicted = {
        name: model.predict(np.array([1, 2, 9]), np.array([7, 7, 7])).tolist()
        for name, model in mean_models(ratings).items()
    }

    assert predicted == {"global mean": [3, 3, 3], "user means": [4, 1, 3], "item means": [3, 3, 3]}


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [(1, item, 4, item) for item in range(20)],  # one user
        [(user, 7, 4, user) for user in range(20)],  # one item
        [(1, 7, 4, 1), (2, 8, 5, 2)],  # too few
    ],
)
def test_too_little_is_refused(rows: list[tuple[int, ...]]) -> None:
    ratings, _ = clean_ratings(*([row[place] for row in rows] for place in range(4)))

    for fit in (fit_factors, fit_biases):
        with pytest.raises(NotEnoughData, match="at least 10 ratings, 2 users, 2 items"):
            fit(ratings)


def test_a_fit_that_diverges_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "LEARNING_RATE", 1e6)

    with pytest.raises(TrainingRefused, match="diverged"):
        fit_factors(two_tastes())


@pytest.mark.parametrize("kind", [int, str])
def test_arrays_and_back_give_the_same_predictions(kind: type) -> None:
    ratings = two_tastes(kind=kind)
    model = fit_factors(ratings, factors=4)
    arrays = model.arrays()

    assert {array.dtype.kind for array in arrays.values()} <= set("fiS")
    back = RatingModel.from_arrays(arrays, "name")

    np.testing.assert_array_equal(
        back.predict(ratings.users, ratings.items), model.predict(ratings.users, ratings.items)
    )
    assert back.name == "name"


@pytest.mark.parametrize(
    "change",
    [
        {"mean": np.array([np.nan])},
        {"mean": np.zeros(0)},
        {"users": np.array([10])},
        {"item_biases": np.zeros(3)},
        {"item_factors": np.zeros((4, 3), np.float32)},
        {"user_factors": np.full((3, 2), np.inf, np.float32)},
    ],
)
def test_arrays_that_do_not_fit_are_refused(change: dict[str, np.ndarray]) -> None:
    arrays = BY_HAND.arrays() | change

    with pytest.raises(ModelRefused):
        RatingModel.from_arrays(arrays)
    with pytest.raises(ModelRefused, match="Received"):
        RatingModel.from_arrays({name: array for name, array in arrays.items() if name != "users"})


def test_the_best_unrated_items_of_each_user() -> None:
    ratings, _ = clean_ratings([10, 20, 20, 20, 10], [8, 7, 8, 9, 99], [5, 1, 1, 1, 2], [1, 2, 3, 4, 5])

    best = {user: (items.tolist(), stars.tolist()) for user, items, stars in best_unrated(BY_HAND, ratings, 2)}

    assert best == {10: ([7, 9], [4.25, 2.5]), 20: ([], [])}
