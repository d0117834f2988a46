"""Which terms a sum has, on data with known weights and on shapes of shops: it is not below its best term."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from recsys.evaluation.metrics import average_precision_at_k
from recsys.evaluation.protocol import EvaluationCase, EvaluationSet, allowed_items
from recsys.evaluation.ranking import top_k
from recsys.evaluation.results import K, mean_average_precision
from recsys.features.features import CONTENT, N_FEATURES, NAMES, POPULARITIES, Features, Neighbours
from recsys.scorers.layers import LinearEnsemble
from recsys.training.candidates import NetworkScore
from recsys.training.ensemble import FALLBACK, fit_ensembles, searches
from recsys.training.listwise import Places, covariances, log_likelihood, maximise
from recsys.training.search import (
    FEW_CASES,
    MANY_CASES,
    NETWORK,
    PENALTIES,
    SAMPLING_CORRECTION_POWERS,
    TIE_BREAK,
    EnsembleFit,
    Search,
    Trial,
    adds,
    best_of,
    simplest_of_the_best,
)
from tests.helpers.planted import build_batch, case_of, evaluation_set_of, features_of, planted
from tests.helpers.shop_shapes import SHAPES, shop

FACTORS, POPULARITY, USER_ITEM = NAMES.index("factors"), NAMES.index("popularity"), NAMES.index("own")
ALL = np.ones(N_FEATURES, bool)  # for candidates without a network


def fit_one(
    features: Features, network_score: NetworkScore | None, evaluation_set: EvaluationSet, rng: np.random.Generator
) -> EnsembleFit:
    return fit_ensembles(features, {NETWORK: network_score}, {"": evaluation_set}, int(rng.integers(99)))[""][NETWORK]


def search_of(features: Features, evaluation_set: EvaluationSet, rng: np.random.Generator) -> Search:
    search = searches(features, {}, {"": evaluation_set}, int(rng.integers(99)))[""]
    assert search is not None
    return search


# Known weights


@pytest.mark.parametrize("truth", [(2.0, 0.0), (1.0, -1.0)])
def test_the_true_weights_are_recovered_from_sampled_candidates(
    truth: tuple[float, float], rng: np.random.Generator
) -> None:
    """About 550 of 2,000 items are candidates; without the correction, the weights would be too small."""
    features, evaluation_set = planted(rng, 400, 2_000, truth)
    batch = build_batch(features, {}, evaluation_set, rng)
    weights = maximise([batch], ALL, 0.0, np.sqrt(np.diag(covariances([batch])))).weights

    assert len(batch.negatives) / len(batch) < 700
    assert weights[[FACTORS, POPULARITY]].tolist() == pytest.approx(truth, abs=0.2)


@pytest.mark.parametrize("truth", [(2.0, 0.0), (2.0, -2.0), (1.5, -3.0)])
def test_a_sum_is_judged_as_if_all_items_were_candidates(truth: tuple[float, float], rng: np.random.Generator) -> None:
    """Two terms of different signs put items on top that neither has there: among a sample, few of them would be met.

    With candidates by features alone, the second shop's sum seemed to have 0.41 and had 0.22.
    """
    features, evaluation_set = planted(rng, 300, 4_000, truth, n_relevant=4)
    search = search_of(features, evaluation_set, rng)
    chosen, _ = search.features_alone()

    def of_all_items(weights: NDArray[np.floating]) -> float:
        row = np.append(weights[:N_FEATURES], 0).astype(np.float32)
        return mean_average_precision(LinearEnsemble(features, np.stack([row, row])), evaluation_set)

    assert len(search.batch.negatives) / 300 < 500, "few items are candidates"
    assert chosen.map10 == pytest.approx(of_all_items(chosen.weights), abs=0.005)
    true_weights = np.zeros(N_FEATURES)
    true_weights[[FACTORS, POPULARITY]] = truth
    assert of_all_items(chosen.weights) > 0.97 * of_all_items(true_weights)


def test_terms_alone_and_sums_without_a_term_are_judged_so_too(rng: np.random.Generator) -> None:
    """Popularity chooses no candidates; among those of the other features few of the most popular items are met."""
    features, evaluation_set = planted(rng, 200, 4_000, (1.5, 1.5), n_relevant=4)
    search = search_of(features, evaluation_set, rng)
    _, tried = search.features_alone()

    for trial in tried:
        row = np.append(trial.weights[:N_FEATURES], 0).astype(np.float32)
        of_all_items = mean_average_precision(LinearEnsemble(features, np.stack([row, row])), evaluation_set)
        assert trial.map10 == pytest.approx(of_all_items, abs=0.01), trial.what


def test_a_rule_whose_items_are_all_candidates_has_them_once(rng: np.random.Generator) -> None:
    """The other rule has sampled candidates, and with them a second draw."""
    features, evaluation_set = planted(rng, 30, 2_000, (2.0, -2.0))
    few = tuple(replace(case, candidates=np.arange(50, dtype=np.int32)) for case in evaluation_set.cases)
    few = tuple(replace(case, relevant=np.array([7], np.int32)) for case in few)
    found = searches(features, {}, {"all": evaluation_set, "few": replace(evaluation_set, cases=few)}, 7)

    assert {rule: search is not None and search.batch.is_sampled for rule, search in found.items()} == {
        "all": True,
        "few": False,
    }
    assert found["few"] is not None
    assert len(found["few"].batch.negatives) == 30 * 49


def test_only_the_informative_feature_has_a_large_weight(rng: np.random.Generator) -> None:
    features, evaluation_set = planted(rng, 200, 80, (4.0, 0.0), n_relevant=3)
    batch = build_batch(features, {}, evaluation_set, rng)
    weights, trials = fit_one(features, None, evaluation_set, rng)

    assert len(batch) == 200
    assert not trials["fallback"]
    assert (weights.shape, weights.dtype) == ((N_FEATURES + 1,), np.float32)
    assert weights[FACTORS] > 0.5
    assert abs(weights[POPULARITY]) < 0.2
    assert weights[-1] == 0  # there is no network
    assert log_likelihood(weights[:-1].astype(float), batch).value / 200 > -math.log(80)  # better than chance


def test_two_terms_that_both_say_something_are_added_up(rng: np.random.Generator) -> None:
    features, evaluation_set = planted(rng, 400, 80, (1.5, 1.5), n_relevant=3)
    weights, trials = fit_one(features, None, evaluation_set, rng)

    assert trials["terms"] == ["factors", "popularity"]
    assert weights[FACTORS] == pytest.approx(weights[POPULARITY], rel=0.3)
    assert trials["map10"] > max(trial["map10"] for trial in trials["tried"] if "only" in trial)


def test_items_that_only_their_descriptions_lead_to_are_found_by_content(rng: np.random.Generator) -> None:
    """Each user had an item, and chooses a new one that is described like it: popularity and ALS know nothing of it."""
    n_users, n_items = 120, 60
    alike = np.arange(n_items, dtype=np.int32) ^ 1  # two and two
    content = Neighbours(np.arange(n_items + 1), alike, np.full(n_items, 0.8, np.float32))
    had = rng.integers(0, n_items, n_users)
    noise = rng.normal(size=(n_users, n_items)), rng.normal(size=n_items)
    cases = [case_of(user, [item ^ 1], items=[item], hidden=[item]) for user, item in enumerate(had.tolist())]
    evaluation_set = evaluation_set_of(cases, n_items)
    described, plain = features_of(*noise, content), features_of(*noise)

    weights, trials = fit_one(described, None, evaluation_set, np.random.default_rng(3))
    without, trials_without = fit_one(plain, None, evaluation_set, np.random.default_rng(3))

    assert weights[CONTENT] > 0
    assert "content" in trials["terms"]
    assert trials["map10"] == pytest.approx(1)
    assert trials_without["map10"] < 0.2
    assert without[CONTENT] == 0
    assert not any("content" in str(trial.get("only")) for trial in trials_without["tried"])
    blend = LinearEnsemble(described, np.stack([weights, weights]))
    assert all(blend.score(case.query).argmax() == case.relevant[0] for case in cases)


def test_an_informative_network_has_a_large_weight(rng: np.random.Generator) -> None:
    truth = rng.normal(size=(150, 60)).astype(np.float32)
    features, evaluation_set = planted(rng, 150, 60, (0.0, 0.0))
    cases = [
        replace(case, relevant=np.argsort(-truth[n])[:1].astype(np.int32))
        for n, case in enumerate(evaluation_set.cases)
    ]
    weights, _ = fit_one(features, lambda query: truth[query.user], replace(evaluation_set, cases=tuple(cases)), rng)

    assert weights[-1] >= 1
    assert weights[-1] > 5 * np.abs(weights[:-1]).max()


@pytest.mark.parametrize("truth", [(3.0, 0.0), (2.0, 0.3)])
def test_a_network_of_noise_has_no_weight(truth: tuple[float, float], rng: np.random.Generator) -> None:
    """It has to be above the best sum of features: the one that is taken is a simpler one, which noise could beat."""
    taken = 0
    for _ in range(10):
        features, evaluation_set = planted(rng, 150, 30, truth)
        noise = rng.normal(size=(150, 30)).astype(np.float32)
        weights, _ = fit_one(features, lambda query, noise=noise: noise[query.user], evaluation_set, rng)
        taken += weights[-1] != 0

    assert taken <= 2


# What a sum with a network adds to each second case of 240, and to the others; before, each figure was 0.5
NOTHING, WORTH_IT, CERTAIN_RECALL = (0.0, 0.0), (0.006, 0.006), (0.1, 0.0)


@pytest.mark.parametrize(
    ("map10", "ndcg10", "recall10", "has_a_weight"),
    [
        (NOTHING, NOTHING, NOTHING, False),
        ((0.004, 0.004), NOTHING, NOTHING, False),  # above its error of 0, and less than a hundredth of 0.5
        (WORTH_IT, NOTHING, NOTHING, True),
        ((0.21, -0.19), NOTHING, NOTHING, False),  # more than a hundredth, and less than its error
        ((0.3, -0.1), NOTHING, NOTHING, True),
        ((-0.1, -0.1), NOTHING, NOTHING, False),
        (NOTHING, WORTH_IT, CERTAIN_RECALL, True),
        ((0.09, -0.1), WORTH_IT, CERTAIN_RECALL, True),  # below by less than its error
        ((-0.001, -0.001), WORTH_IT, CERTAIN_RECALL, False),
        (NOTHING, (0.004, 0.004), CERTAIN_RECALL, False),
        (NOTHING, WORTH_IT, (0.2, -0.17), False),  # its error is 0.012
    ],
)
def test_a_network_has_a_weight_where_it_adds_something(
    map10: tuple[float, float],
    ndcg10: tuple[float, float],
    recall10: tuple[float, float],
    has_a_weight: bool,
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    features, evaluation_set = planted(rng, MANY_CASES + 40, 30, (2.0, 0.0))
    noise = rng.normal(size=(MANY_CASES + 40, 30)).astype(np.float32)
    search = searches(features, {NETWORK: lambda query: noise[query.user]}, {"": evaluation_set}, 7)[""]
    assert search is not None
    before = Places(*np.full((3, MANY_CASES + 40), 0.5))
    alone = replace(search.features_alone()[0], places=before)
    gained = (np.resize(added, MANY_CASES + 40) for added in (map10, ndcg10, recall10))
    with_it = replace(alone, places=Places(*(values + of for values, of in zip(before, gained, strict=True))))
    monkeypatch.setattr(Search, "sums", lambda *_: iter([with_it]))
    monkeypatch.setattr(Search, "single", lambda *_: alone)
    taken, tried = search.with_network(N_FEATURES, alone, alone)

    assert taken is (with_it if has_a_weight else alone)
    assert alone in tried and with_it in tried


def test_recall_decides_with_many_cases_only() -> None:
    for n_cases, is_added in ((MANY_CASES - 1, False), (MANY_CASES, True)):
        before = Places(*np.full((3, n_cases), 0.5))
        found = Places(before.map10, *(before.ndcg10 + 0.02 * np.ones((2, 1))))

        assert adds(replace(BEST, places=found), replace(BEST, places=before)) == is_added


def test_a_constant_network_has_no_weight(rng: np.random.Generator) -> None:
    features, evaluation_set = planted(rng, 40, 30, (2.0, 0.0))
    weights, _ = fit_one(features, lambda query: np.full(30, 0.1 + query.user, np.float32), evaluation_set, rng)

    assert weights[-1] == 0
    assert weights[FACTORS] > 0


@pytest.mark.parametrize("network_score", [None, lambda query: np.ones(5, np.float32)])
@pytest.mark.parametrize("cases", [[], [case_of(0, [2], hidden=[2])], [case_of(0, [], n_unreachable=1)]])
def test_without_test_cases_the_weights_are_the_fallback(
    network_score, cases: list[EvaluationCase], rng: np.random.Generator
) -> None:  # type: ignore[no-untyped-def]
    fitted, trials = fit_one(features_of(np.ones((1, 5))), network_score, evaluation_set_of(cases, 5), rng)
    weights = dict(zip((*NAMES, NETWORK), fitted.tolist(), strict=True))

    assert trials == {"fallback": True}
    assert {name: weight for name, weight in weights.items() if weight} == {
        name: weight for name, weight in FALLBACK.items() if network_score is not None or name != NETWORK
    }


@pytest.mark.parametrize("network_score", [None, lambda query: np.arange(6, dtype=np.float32)])
def test_one_test_case_is_enough_for_the_strongest_penalty(
    network_score: NetworkScore | None, rng: np.random.Generator
) -> None:
    case = case_of(0, [5], items=[1])
    features = features_of(np.arange(6.0)[None])
    weights, trials = fit_one(features, network_score, evaluation_set_of([case], 6), rng)

    assert (trials["fallback"], trials["penalty"]) == (False, PENALTIES[0])
    assert weights[FACTORS] > 0 > weights[USER_ITEM]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_scores_that_are_not_finite_are_named(value: float, rng: np.random.Generator) -> None:
    features, evaluation_set = planted(rng, 3, 8, (1.0, 0.0))
    broken = np.zeros(8, np.float32)
    broken[5] = value

    with pytest.raises(ValueError, match=rf"`network` should be finite scores\. Received: {value} for user 0\."):
        fit_one(features, lambda query: broken, evaluation_set, rng)
    with pytest.raises(ValueError, match=rf"`popularity` should be finite scores\. Received: {value} for user 0\."):
        fit_one(features._replace(popularity=np.tile(broken, (4, 1))), None, evaluation_set, rng)


def test_the_same_generator_gives_the_same_weights() -> None:
    features, evaluation_set = planted(np.random.default_rng(3), 40, 1_200, (1.0, 0.5))
    (weights, trials), (again, same) = (
        fit_one(features, None, evaluation_set, np.random.default_rng(5)) for _ in range(2)
    )

    np.testing.assert_array_equal(weights, again)
    assert trials == same
    json.dumps(trials, allow_nan=False)  # they go into the report


# What is tried, and what is taken


@pytest.mark.parametrize(
    ("n_items", "powers"), [(40, SAMPLING_CORRECTION_POWERS[:1]), (1_200, SAMPLING_CORRECTION_POWERS)]
)  # all of 40 items are candidates, so no sampling weight needs a power
def test_each_term_alone_the_sums_and_the_sum_without_each_term_are_tried(
    rng: np.random.Generator, n_items: int, powers: tuple[float, ...]
) -> None:
    features, evaluation_set = planted(rng, 60, n_items, (2.0, 0.0))
    _, trials = fit_one(features, None, evaluation_set, rng)
    tried = trials["tried"]

    assert [trial["only"] for trial in tried if "only" in trial] == ["factors", "popularity"]
    assert [trial["without"] for trial in tried if "without" in trial] == ["factors", "popularity"]
    sums = [trial for trial in tried if not {"only", "without"} & trial.keys()]
    assert [(trial["sampling_correction_power"], trial["penalty"]) for trial in sums] == [
        (power, penalty) for power in powers for penalty in PENALTIES
    ]
    assert all(0 <= trial["map10"] <= 1 for trial in tried)


def trial_of(precisions: Sequence[float], n_terms: int, penalty: float) -> Trial:
    terms = np.arange(N_FEATURES) < n_terms
    places = Places(*[np.array(precisions, float)] * 3)
    return Trial({}, terms, penalty, 0.0, np.zeros(N_FEATURES), places)


BEST = trial_of([0.5, 0.4, 0.3, 0.2], 12, 0.1)  # 0.35
# The differences to the best are 0.1, -0.1, 0.1 and -0.02: their mean is 0.02, their error 0.049
NEAR = [0.4, 0.5, 0.2, 0.22]
# The differences are 0.1, 0.08, 0.1 and 0.08: their mean is 0.09, their error 0.006
FAR = [0.4, 0.32, 0.2, 0.12]


@pytest.mark.parametrize(
    ("others", "taken"),
    [
        ([], None),
        ([trial_of(FAR, 1, math.inf)], None),
        ([trial_of(NEAR, 1, math.inf)], 0),
        ([trial_of(NEAR, 12, 1.0)], 0),
        ([trial_of(NEAR, 12, 0.01)], None),  # it is weaker, so it is not simpler
        ([trial_of(NEAR, 12, 10.0), trial_of(NEAR, 11, 0.1)], 1),  # fewer terms are simpler than a stronger penalty
        ([trial_of(NEAR, 1, math.inf), trial_of([0.45, 0.5, 0.2, 0.22], 1, math.inf)], 1),  # the better of two terms
    ],
)
def test_the_simplest_within_one_standard_error_of_the_best_is_taken(others: list[Trial], taken: int | None) -> None:
    trials = [*others, BEST]

    assert best_of(trials) is BEST
    assert simplest_of_the_best(trials) is (BEST if taken is None else trials[taken])


@pytest.mark.parametrize(("errors_alone", "share", "is_taken"), [(1.0, 0.1, False), (2.0, 0.1, True), (2.0, 1, False)])
def test_a_sum_has_to_be_certainly_above_each_term_alone_unless_it_is_far_above(
    errors_alone: float, share: float, is_taken: bool
) -> None:
    """The mean of 0.045 is 1.42 times its error. It is an eighth of the best, and a tenth of it is an 80th."""
    precisions = BEST.places.map10 - share * np.array([0.1, 0, 0.1, -0.02])
    alone, as_a_sum = (trial_of(precisions.tolist(), 1, penalty) for penalty in (math.inf, 10.0))

    assert (simplest_of_the_best([alone, BEST], errors_alone=errors_alone) is alone) == is_taken
    assert simplest_of_the_best([as_a_sum, BEST], errors_alone=errors_alone) is BEST


def test_with_many_cases_two_errors_are_little_and_are_asked_of_every_sum() -> None:
    """The mean of 0.03 is 1.9 times its error, and 6 % of the best."""
    for n_cases, is_taken in ((FEW_CASES - 2, False), (FEW_CASES, True)):
        best = trial_of(np.resize([0.75, 0.27], n_cases).tolist(), 12, 0.1)
        alone = trial_of(np.resize([0.22, 0.74], n_cases).tolist(), 1, math.inf)

        assert (simplest_of_the_best([alone, best], errors_alone=2.0) is alone) == is_taken


def test_without_a_fitted_weight_popularity_breaks_ties() -> None:
    rng = np.random.default_rng(1)
    features, evaluation_set = planted(rng, 200, 40, (3.0, 0.0))
    weights, trials = fit_one(features, None, evaluation_set, rng)

    assert trials["only"] == "factors"
    assert [weights[NAMES.index(name)] for name in POPULARITIES] == [np.float32(TIE_BREAK)] * 4
    query = case_of(len(features.user_factors), []).query
    guest = features.blend(features.compute(query), weights[:-1])
    np.testing.assert_array_equal(np.argsort(-guest), np.argsort(-features.popularity[0]))


def test_terms_that_say_the_same_count_once(rng: np.random.Generator) -> None:
    """Without a clock, popularity is the same under every half-life, but for rounding or its unit."""
    features, evaluation_set = planted(rng, 100, 40, (1.0, 1.0))
    plain = features.popularity[0]
    noise = 1e-3 * rng.normal(size=40).astype(np.float32)
    features = features._replace(popularity=np.stack([plain, 0.5 * plain, plain + noise, -plain]))
    weights, trials = fit_one(features, None, evaluation_set, rng)

    assert trials["alike"] == ["popularity_60d", "popularity_15d"]  # the fourth says the opposite
    assert weights[[NAMES.index("popularity_60d"), NAMES.index("popularity_15d")]].tolist() in (
        [0, 0],
        [np.float32(TIE_BREAK)] * 2,
    )


# The shapes of shops


def precisions_of(
    rows: NDArray[np.float32], features: Features, cases: Sequence[EvaluationCase]
) -> NDArray[np.float64]:
    """Return AP@10 in the whole catalogue under each row of weights, `(n_rows, n_cases)`."""
    found = np.zeros((len(rows), len(cases)))
    for n, case in enumerate(cases):
        scores = rows @ features.matrix(case.query)
        allowed = allowed_items(case, np.ones(features.n_items, bool))
        found[:, n] = [average_precision_at_k(top_k(row, K, allowed), case.relevant) for row in scores]
    return found


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", SHAPES)
def test_the_sum_is_not_below_its_best_term_by_more_than_noise(name: str, seed: int) -> None:
    """Every second user chooses. The sum is compared with the term that is best for them, also on the others."""
    features, evaluation_set = shop(SHAPES[name], seed)
    chosen_on, fresh = evaluation_set.cases[::2], evaluation_set.cases[1::2]
    weights, trials = fit_one(features, None, evaluation_set_of(chosen_on, features.n_items), np.random.default_rng(3))
    rows = np.concatenate([weights[None, :-1], np.eye(N_FEATURES, dtype=np.float32)])
    best = 1
    for cases, errors in ((chosen_on, 2.2), (fresh, 2.5)):
        precisions = precisions_of(rows, features, cases)
        if cases is chosen_on:
            best += int(np.argmax(precisions[1:].mean(1)))
        differences = precisions[0] - precisions[best]
        error = differences.std(ddof=1) / np.sqrt(len(differences))

        assert differences.mean() >= -errors * error, f"{NAMES[best - 1]} is above the sum of {trials['terms']}"


@pytest.mark.parametrize("name", [name for name, shape in SHAPES.items() if not shape.days])
def test_without_a_clock_decays_and_trends_are_left_out(name: str) -> None:
    features, evaluation_set = shop(SHAPES[name], seed=1)
    _, trials = fit_one(features, None, evaluation_set, np.random.default_rng(3))

    assert trials["alike"] == ["neighbours_recent", "popularity_60d", "popularity_15d", "popularity_7d"]
