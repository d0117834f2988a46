"""Networks that add nothing to the linear sum end early, and others go on."""

from dataclasses import replace

import numpy as np
import pytest

from recsys.evaluation.protocol import EvaluationSet
from recsys.features.query import Floats, Query
from recsys.training import halving
from recsys.training.fitting import FittedModels, load_features
from recsys.training.halving import Gain, gains, halved
from recsys.training.stages import build_evaluation_sets
from tests.helpers.checkerboard import CUT, N_ITEMS, after_the_cut, before_the_cut, shop_of


def chosen(user: int) -> int:
    """Return the item that a user chooses here, of which no feature knows anything."""
    return (5 * user + user // 16) % N_ITEMS


@pytest.fixture
def evaluation_set(board: FittedModels, monkeypatch: pytest.MonkeyPatch) -> EvaluationSet:
    monkeypatch.setattr(halving, "LEAST_CASES", 20)
    sets = build_evaluation_sets(shop_of(before_the_cut()), board.encoders, board.data, after_the_cut(), CUT)
    cases = sets["allow"].cases
    relevant = [np.array([chosen(case.query.user)], np.int32) for case in cases]
    return replace(
        sets["allow"], cases=tuple(replace(case, relevant=of) for case, of in zip(cases, relevant, strict=True))
    )


def oracle(query: Query) -> Floats:
    scores = np.zeros(N_ITEMS, np.float32)
    scores[chosen(query.user)] = 1.0
    return scores


def noise(query: Query) -> Floats:
    return np.random.default_rng(query.user).normal(size=N_ITEMS).astype(np.float32)


def test_a_network_that_knows_more_than_the_features_goes_on_and_noise_adds_little(
    board: FittedModels, evaluation_set: EvaluationSet
) -> None:
    features = load_features(board.baselines, board.features)
    found = gains(features, {"BMF": noise, "NeuMF": oracle}, evaluation_set, 7)

    assert found["NeuMF"].goes_on
    assert found["NeuMF"].mean > 3 * found["NeuMF"].error > 0
    assert found["BMF"].mean < found["NeuMF"].mean / 3
    assert found["NeuMF"].alone_share > 1.5, "alone it is better than the features"
    assert found == gains(features, {"BMF": noise, "NeuMF": oracle}, evaluation_set, 7)


def test_a_constant_network_ends(board: FittedModels, evaluation_set: EvaluationSet) -> None:
    features = load_features(board.baselines, board.features)
    found = gains(features, {"BMF": lambda query: np.zeros(N_ITEMS, np.float32)}, evaluation_set, 7)

    assert (found["BMF"].alone_share, found["BMF"].goes_on) == (0.0, False)


def test_with_few_cases_nothing_is_said(board: FittedModels, evaluation_set: EvaluationSet) -> None:
    features = load_features(board.baselines, board.features)
    few = replace(evaluation_set, known=np.arange(len(evaluation_set)) < 19)

    assert gains(features, {"BMF": oracle}, few, 7) == {}


@pytest.mark.parametrize(
    ("means", "goes_on"),
    [
        ({"A": 0.03, "B": 0.02, "C": 0.011, "D": 0.009}, "ABC"),  # the third is above its standard error
        ({"A": 0.003, "B": 0.002, "C": 0.001, "D": -0.001}, "AB"),
        ({"A": 0.003, "B": -0.002, "C": -0.003, "D": -0.001}, "A"),
        ({"A": 0.0, "B": -0.002}, ""),
        ({"A": 0.001}, "A"),
        ({}, ""),
    ],
)
def test_the_better_half_goes_on_above_zero_and_the_others_above_their_error(
    means: dict[str, float], goes_on: str
) -> None:
    found = halved({name: Gain(mean, 0.01) for name, mean in means.items()}, {})

    assert "".join(name for name, gain in found.items() if gain.goes_on) == goes_on
    assert {name: gain.mean for name, gain in found.items()} == means


@pytest.mark.parametrize(
    ("own", "before", "goes_on"),
    [
        (0.8, None, True),  # the first rung: it may still catch up
        (0.69, None, False),  # too far behind
        (0.8, 0.7, True),
        (0.8, 0.79, False),  # it has stopped rising
    ],
)
def test_a_network_nearly_as_good_as_the_sum_goes_on_while_it_rises(
    own: float, before: float | None, goes_on: bool
) -> None:
    found = halved({"LNCM": Gain(-0.01, 0.002, own)}, {} if before is None else {"LNCM": before})

    assert found["LNCM"].goes_on == goes_on
