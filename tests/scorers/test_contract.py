"""One contract for everything in the registry, on a board whose right answer is known. A new scorer adds nothing here."""

from collections.abc import Iterator
from dataclasses import fields, replace

import numpy as np
import pytest

from recsys.artifacts import Draft, open_version
from recsys.data.dataset import Dataset
from recsys.features.query import MAX_HISTORY, Query
from recsys.scorers.base import Scorer
from recsys.scorers.ensemble import LinearEnsemble
from recsys.scorers.registry import MODELS, REGISTRY
from recsys.training.fitting import fit_everything, load_features
from recsys.training.stages import TrainedModels
from tests.helpers.checkerboard import (
    CUT,
    DAY,
    FAST,
    N_ITEMS,
    N_USERS,
    START,
    eagerly,
    hyperparameters,
    other_cluster,
    own_cluster,
    question,
    withheld,
)

PERSONAL = [
    name for name, kind in REGISTRY.items() if kind.source != "popularity"
]  # the others need not tell two clusters apart
SAMPLE_USERS = (0, 1, 22, 63)


@pytest.fixture(params=REGISTRY)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def scorer(name: str, board: TrainedModels) -> Scorer:
    return board.scorers[name]


@pytest.fixture(params=PERSONAL)
def personal(request: pytest.FixtureRequest, board: TrainedModels) -> Scorer:
    return board.scorers[request.param]


@pytest.fixture(scope="module")
def reopened(board: TrainedModels, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Scorer]]:
    """Everything published and opened again, memory-mapped: no array of a scorer can be written to."""
    models_dir = tmp_path_factory.mktemp("models")
    with Draft.create(models_dir, CUT) as draft:
        for name, network in board.networks.items():
            network.save_weights(draft.path(f"{name.lower()}_model.weights.h5"))
            precompute = REGISTRY[name].precompute
            if precompute:
                draft.write_arrays(f"{name.lower()}_derived.h5", precompute(network.arrays()))
        for name, arrays in board.baselines.items():
            draft.write_arrays(f"{name}.h5", arrays)
        draft.write_arrays("signals.h5", board.features)
        draft.write_arrays("blend.h5", {"signal_weights": hyperparameters().ensemble_weights["blend"]})
        version_name = draft.publish({})
    with open_version(models_dir, version_name) as version:
        arrays = {name: dict(version.arrays(f"{name}.h5", memory_map=True)) for name in (*board.baselines, "blend")}
        for name in board.networks:
            weights = version.arrays(f"{name.lower()}_model.weights.h5", memory_map=True)
            arrays[name] = {key.removeprefix("vars/"): array for key, array in weights.items()}
            if REGISTRY[name].precompute:
                arrays[name] |= version.arrays(f"{name.lower()}_derived.h5", memory_map=True)
        features = load_features(arrays, version.arrays("signals.h5", memory_map=True))
        yield {name: REGISTRY[name].build(arrays[name], features) for name in REGISTRY}


def guest(n_users: int = N_USERS, n_features: int = 4) -> Query:
    nothing = np.zeros(0, np.int32)
    unknown = np.array([4, 4, 2, 3], np.int32)[:n_features]
    return Query(n_users, nothing, nothing.astype(np.float32), nothing.astype(np.int64), unknown, CUT)


def test_the_whole_registry_is_fitted(board: TrainedModels) -> None:
    assert list(board.scorers) == list(REGISTRY), "recsys.training.fitting should fit every entry of the registry"


def test_the_withheld_item_is_above_everything_the_other_cluster_likes(personal: Scorer, board: TrainedModels) -> None:
    for user in range(N_USERS):
        scores = personal.score(question(board, user))

        assert scores[withheld(user)] > scores[other_cluster(user)].max(), f"user {user}"


def test_an_unseen_user_is_known_by_her_history(personal: Scorer, board: TrainedModels) -> None:
    for user in range(N_USERS):
        scores = personal.score(replace(question(board, user), user=N_USERS))

        assert scores[withheld(user)] > scores[other_cluster(user)].max(), f"user {user}"


def test_a_short_history_is_enough_to_tell_the_cluster(personal: Scorer, board: TrainedModels) -> None:
    for user in (0, 1):
        asked = question(board, user)
        three = replace(
            asked, user=N_USERS, items=asked.items[:3], weights=asked.weights[:3], timestamps=asked.timestamps[:3]
        )
        scores = personal.score(three)
        others = np.setdiff1d(own_cluster(user), three.items)

        assert scores[others].mean() > scores[other_cluster(user)].mean()


def test_scores_are_one_finite_float32_for_each_item(scorer: Scorer, board: TrainedModels) -> None:
    assert scorer.n_items == N_ITEMS
    for asked in (
        question(board, 0),
        question(board, 1, repeats=True),
        replace(question(board, 0), user=N_USERS),
        guest(),
    ):
        scores = scorer.score(asked)

        assert (scores.dtype, scores.shape) == (np.float32, (N_ITEMS,))
        assert np.isfinite(scores).all()


def test_some_items_score_as_they_do_among_all(scorer: Scorer, board: TrainedModels) -> None:
    some = np.array([7, 0, 15, 7], np.int32)  # in any order, twice if asked twice
    for asked in (*(question(board, user, repeats=True) for user in SAMPLE_USERS), guest()):
        np.testing.assert_allclose(scorer.score(asked, some), scorer.score(asked)[some], rtol=1e-5, atol=1e-6)
        assert scorer.score(asked, some[:0]).shape == (0,)
        assert scorer.score(asked, some).dtype == np.float32


def test_the_same_question_has_the_same_answer(scorer: Scorer, board: TrainedModels) -> None:
    first = scorer.score(question(board, 5))
    scorer.score(question(board, 6))

    np.testing.assert_array_equal(scorer.score(question(board, 5)), first)


def test_an_answer_is_the_callers_own(scorer: Scorer, board: TrainedModels) -> None:
    first = scorer.score(guest())
    expected = first.copy()
    first[:] = -1.0

    np.testing.assert_array_equal(scorer.score(guest()), expected)


def test_a_question_is_left_as_it_was(scorer: Scorer, board: TrainedModels) -> None:
    asked = question(board, 3, repeats=True)
    arrays = [
        getattr(asked, field.name) for field in fields(asked) if isinstance(getattr(asked, field.name), np.ndarray)
    ]
    before = [array.copy() for array in arrays]
    scorer.score(asked)
    scorer.score(asked, np.array([1, 2], np.int32))

    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_published_and_opened_again_it_scores_the_same(
    name: str, scorer: Scorer, reopened: dict[str, Scorer], board: TrainedModels
) -> None:
    for asked in (*(question(board, user, repeats=True) for user in SAMPLE_USERS), guest()):
        np.testing.assert_array_equal(reopened[name].score(asked), scorer.score(asked))


def test_a_question_may_be_read_only(name: str, reopened: dict[str, Scorer], board: TrainedModels) -> None:
    asked = question(board, 2, repeats=True)
    for field in fields(asked):
        if isinstance(value := getattr(asked, field.name), np.ndarray):
            value.flags.writeable = False

    assert np.isfinite(reopened[name].score(asked)).all()


@pytest.fixture(scope="module")
def lone() -> dict[str, Scorer]:
    """Everything fitted on three users and one item."""
    data = Dataset(
        users=np.array([0, 1, 1, 2], np.int32),
        items=np.zeros(4, np.int32),
        weights=np.array([1.0, 0.3, 1.0, 0.7], np.float32),
        confidences=np.array([1.0, 0.3, 1.0, 0.7], np.float32),
        timestamps=np.array([START, START, START + DAY, START], np.int64),
        purchases=np.array([True, False, True, False]),
        contexts=np.zeros((4, 2), np.int32),
        n_users=3,
        n_items=1,
        context_sizes=(2, 1),
    )
    options = replace(FAST, epochs=1)
    with eagerly():
        return dict(fit_everything(data, options, hyperparameters(options), lambda epoch: None).scorers)


def test_a_catalogue_of_one_item_is_ranked(name: str, lone: dict[str, Scorer]) -> None:
    known = Query(
        1,
        np.zeros(2, np.int32),
        np.ones(2, np.float32),
        np.array([START, START + DAY]),
        np.zeros(2, np.int32),
        CUT,
        True,
    )
    for asked in (known, replace(guest(3, 2), context=np.array([1, 0], np.int32))):
        scores = lone[name].score(asked)

        assert scores.shape == (1,)
        assert np.isfinite(scores).all()


def test_a_question_without_an_item_is_that_question_asked_afresh(scorer: Scorer, board: TrainedModels) -> None:
    some = np.array([3, 0, 7, 3], np.int32)
    for asked in (question(board, user, repeats=True) for user in SAMPLE_USERS):
        scorer.score(asked)
        for item in asked.items[:3].tolist():
            less = asked.without(item)

            assert item not in less.items
            assert len(less.items) == len(less.weights) == len(less.timestamps) < len(asked.items)
            np.testing.assert_allclose(
                scorer.score(less, some), scorer.score(replace(less), some), rtol=1e-5, atol=1e-6
            )


HISTORIES = {
    "usual": [3, 1, 4, 1, 5, 9, 2, 6],
    "one item": [3],
    "one item twice": [3, 3],
    "longer than two windows": [n * n % 7 for n in range(60)],
    "as long as can be": [n * n % 7 for n in range(MAX_HISTORY)],
}


@pytest.mark.parametrize("history", HISTORIES.values(), ids=HISTORIES)
@pytest.mark.parametrize("moments", ["apart", "in baskets"])
@pytest.mark.parametrize("name", [*MODELS, "blend"])
def test_scores_drop_without_an_item_as_if_that_had_been_asked(
    name: str, board: TrainedModels, history: list[int], moments: str
) -> None:
    items, some = np.array(history, np.int32), np.array([3, 0, 7, 3], np.int32)
    times = START + DAY * (np.arange(len(items)) // (1 if moments == "apart" else 3))
    weights = np.array([(1.0, 0.3, 0.0, 0.7, -0.4)[position % 5] for position in range(len(items))], np.float32)
    tried = list(dict.fromkeys(history))[:4]
    for user in (0, N_USERS):
        asked = Query(
            user, items, weights, times.astype(np.int64), question(board, 0).context, int(times[-1]) + 5, True
        )
        scorer = board.scorers[name]
        assert isinstance(scorer, LinearEnsemble)

        scores = np.stack([scorer.score(replace(query), some) for query in (asked, *map(asked.without, tried))])
        np.testing.assert_allclose(scorer.score_drops(asked, tried, some), scores[0] - scores[1:], rtol=1e-4, atol=2e-5)
        if scorer.network is not None:
            own = [scorer.network.score(replace(query), some) for query in (asked, *map(asked.without, tried))]
            np.testing.assert_allclose(
                scorer.network.score(asked.leave_one_out_variants(tried), some), own, rtol=1e-4, atol=1e-5
            )
