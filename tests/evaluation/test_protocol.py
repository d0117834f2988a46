"""Evaluation sets and metrics of a shop that is small enough to compute by hand."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.encoding import Encoders, encode
from recsys.data.interactions import Interactions
from recsys.evaluation.metrics import Calibration
from recsys.evaluation.protocol import (
    EvaluationCase,
    EvaluationSet,
    build_evaluation_set,
    leave_one_out,
    sampled_cases,
    sampled_negatives,
)
from recsys.evaluation.results import evaluate_all, evaluate_set, mean_average_precision, summarise
from recsys.features.features import N_FEATURES, FeatureValues
from recsys.features.query import Query
from recsys.scorers.layers import LinearEnsemble
from recsys.settings import Training
from tests.helpers import planted
from tests.helpers.checkerboard import DAY, SHOP, catalogue_of, events_of
from tests.helpers.evaluation import evaluate_one
from tests.helpers.planted import case_of, features_of

CUT = 1_717_243_200  # Saturday 2024-06-01 12:00 UTC
ANN, BEN, CAT, DEE = 1, 2, 3, 4  # user ids; index 0, 1, unseen, 2
ITEMS = range(100, 112)  # the item with the id 100 + i has the index i
UNENCODED = 112
INACTIVE = 1
TIMELESS = Training(half_life_days=0, min_item_events=1)


@dataclass(frozen=True)
class Fixed:
    """A scorer with the same scores for every user."""

    scores: NDArray[np.float32]

    @property
    def n_items(self) -> int:
        return len(self.scores)

    def score(
        self, query: Query, features: FeatureValues | None = None, items: NDArray[np.int32] | None = None
    ) -> NDArray[np.float32]:
        return self.scores.copy() if items is None else self.scores[items]


DOWNWARDS = Fixed(np.arange(12, 0, -1).astype(np.float32))  # item 0 is best, item 11 is worst


@pytest.fixture
def before() -> Interactions:
    rows = [(DEE, item, "view", CUT - 200 * DAY) for item in ITEMS]
    rows += [
        (ANN, 100, "purchase", CUT - 30 * DAY),
        (ANN, 101, "view", CUT - 2 * DAY),
        (BEN, 102, "purchase", CUT - 30 * DAY - 1),
        (DEE, 100, "purchase", CUT - DAY),
    ]
    return events_of(rows, [*["tv"] * 12, "mobile", "desktop", None, "mobile"])


@pytest.fixture
def after() -> Interactions:
    return events_of(
        [
            (ANN, 103, "purchase", CUT),
            (ANN, 105, "cart", CUT + 10),
            (ANN, 105, "purchase", CUT + 20),
            (ANN, 107, "view", CUT + 30),
            (ANN, 100, "purchase", CUT + 40),  # bought before, too
            (ANN, UNENCODED, "purchase", CUT + 50),
            (ANN, UNENCODED, "cart", CUT + 45),
            (BEN, 102, "purchase", CUT + 60),  # bought before, too
            (CAT, 104, "cart", CUT + 70),
            (DEE, 106, "view", CUT + 80),
        ]
    )


@pytest.fixture
def encoders(before: Interactions) -> Encoders:
    return Encoders.fit(before, catalogue_of(list(ITEMS), [*["tea"] * 6, *["coffee"] * 6]), TIMELESS.min_item_events)


@pytest.fixture
def past(before: Interactions, encoders: Encoders) -> Dataset:
    return encode(before, encoders, SHOP, TIMELESS, now=CUT)


def evaluation_set_of(
    past: Dataset, after: Interactions, encoders: Encoders, repeat_after_days: float, max_users: int = 100
) -> EvaluationSet:
    active = np.ones(12, bool)
    active[INACTIVE] = False
    return build_evaluation_set(
        past,
        after,
        encoders,
        shop=SHOP,
        active=active,
        cut=CUT,
        repeat_after_days=repeat_after_days,
        rng=np.random.default_rng(1),
        max_users=max_users,
    )


@pytest.fixture
def hide(past: Dataset, after: Interactions, encoders: Encoders) -> EvaluationSet:
    return evaluation_set_of(past, after, encoders, math.inf)


@pytest.fixture
def allow(past: Dataset, after: Interactions, encoders: Encoders) -> EvaluationSet:
    return evaluation_set_of(past, after, encoders, 0)


def contents(evaluation_set: EvaluationSet) -> list[tuple[int, list[int], int, list[int]]]:
    return [
        (case.query.user, case.relevant.tolist(), case.n_unreachable, case.hidden.tolist())
        for case in evaluation_set.cases
    ]


def test_where_repeats_are_hidden_bought_items_are_not_relevant(hide: EvaluationSet) -> None:
    assert contents(hide) == [(0, [3, 5], 1, [0]), (3, [4], 0, [])]  # Ann, Cat
    assert hide.known.tolist() == [True, False]
    assert hide.n_nothing_relevant == 2  # Ben bought nothing new, Dee only viewed
    assert not any(case.query.repeats for case in hide.cases)


def test_where_repeats_are_allowed_bought_items_are_relevant(allow: EvaluationSet) -> None:
    assert contents(allow) == [(0, [0, 3, 5], 1, []), (1, [2], 0, []), (3, [4], 0, [])]
    assert allow.n_nothing_relevant == 1
    assert all(case.query.repeats for case in allow.cases)


def test_a_window_hides_what_was_bought_within_it(past: Dataset, after: Interactions, encoders: Encoders) -> None:
    """Ann bought 30 days before the cut to the second, Ben a second earlier."""
    assert contents(evaluation_set_of(past, after, encoders, 30)) == [
        (0, [3, 5], 1, [0]),
        (1, [2], 0, []),
        (3, [4], 0, []),
    ]


def test_the_query_of_a_case_has_the_history_and_context_at_the_cut(hide: EvaluationSet, past: Dataset) -> None:
    ann, cat = (case.query for case in hide.cases)

    assert ann.now == cat.now == CUT
    assert ann.items.tolist() == [0, 1]
    assert (ann.timestamps < CUT).all()
    # afternoon, summer; from the newest event before the cut: desktop, tea
    assert ann.context.tolist() == [2, 2, 0, 1]
    assert cat.context.tolist() == [2, 2, 3, 2], "an unknown user has clock features only"
    assert len(cat.items) == 0


def test_metrics_by_hand(hide: EvaluationSet) -> None:
    """Ann: the list 2 … 11 hits at ranks 2 and 4, of three relevant. Cat: 0, 2 … 10 hits at rank 4, of one relevant."""
    result = evaluate_one(DOWNWARDS, hide)

    assert [top.tolist() for top in result.lists] == [list(range(2, 12)), [0, *range(2, 11)]]
    assert result.per_user["precision10"].tolist() == pytest.approx([0.2, 0.1])
    assert result.per_user["map10"].tolist() == pytest.approx([(1 / 2 + 2 / 4) / 3, 1 / 4])
    ideal = 1 + 1 / math.log2(3) + 1 / math.log2(4)
    assert result.per_user["ndcg10"].tolist() == pytest.approx(
        [(1 / math.log2(3) + 1 / math.log2(5)) / ideal, 1 / math.log2(5)]
    )
    assert result.per_user["hr10"].tolist() == [1.0, 1.0]
    assert result.per_user["recall10"].tolist() == pytest.approx([2 / 3, 1.0])
    # Ann: 3 is above 7 of 8 negatives, 5 above 6, the unknown item above none; Cat: 4 is above 7 of 10
    assert result.per_user["auc"].tolist() == pytest.approx([(7 + 6 + 0) / 24, 7 / 10])


@dataclass(frozen=True)
class Recording(Fixed):
    """A scorer that records the users whose queries it scores."""

    computed: list[int]

    def score(
        self, query: Query, features: FeatureValues | None = None, items: NDArray[np.int32] | None = None
    ) -> NDArray[np.float32]:
        self.computed.append(query.user)
        return super().score(query, features, items)


def test_scorers_evaluated_together_have_the_metrics_of_each_alone(hide: EvaluationSet) -> None:
    upwards = Fixed(DOWNWARDS.scores[::-1].copy())
    together = evaluate_set({"down": DOWNWARDS, "up": upwards}, hide)

    for name, scorer in (("down", DOWNWARDS), ("up", upwards)):
        alone = evaluate_one(scorer, hide)
        for metric, values in alone.per_user.items():
            np.testing.assert_array_equal(together[name].per_user[metric], values)
        assert [top.tolist() for top in together[name].lists] == [top.tolist() for top in alone.lists]
        np.testing.assert_array_equal(together[name].pair_logits, alone.pair_logits)
        np.testing.assert_array_equal(together[name].pair_labels, alone.pair_labels)
    assert list(together) == ["down", "up"]


def test_rules_evaluated_together_have_the_metrics_of_each_alone(hide: EvaluationSet, allow: EvaluationSet) -> None:
    """Ann and Cat are asked about under both rules, Ben under one; a scorer is asked for each of them once."""
    computed: list[int] = []
    together = evaluate_all({"down": Recording(DOWNWARDS.scores, computed)}, {"hide": hide, "allow": allow})

    assert computed == [0, 1, 3]
    assert list(together) == ["hide", "allow"]
    for rule, evaluation_set in {"hide": hide, "allow": allow}.items():
        alone, found = evaluate_one(DOWNWARDS, evaluation_set), together[rule]["down"]
        for metric, values in alone.per_user.items():
            np.testing.assert_array_equal(found.per_user[metric], values)
        assert [top.tolist() for top in found.lists] == [top.tolist() for top in alone.lists]
        np.testing.assert_array_equal(found.pair_logits, alone.pair_logits)
        np.testing.assert_array_equal(found.pair_labels, alone.pair_labels)
        assert found.n_unreachable == alone.n_unreachable


def test_an_ensemble_keeps_the_weights_of_each_rule_where_its_network_is_asked_once() -> None:
    computed: list[int] = []
    network = Recording(np.arange(12, dtype=np.float32), computed)
    weights = np.zeros((2, N_FEATURES + 1), np.float32)
    weights[:, -1] = 1, -1
    ensemble = LinearEnsemble(features_of(np.zeros((3, 12))), weights, network)  # type: ignore[arg-type]
    cases = [case_of(user, [5]) for user in range(3)]
    hidden = planted.evaluation_set_of(cases, 12)
    repeated = replace(hidden, cases=tuple(replace(case, query=case.query._replace(repeats=True)) for case in cases))
    found = evaluate_all({"ensemble": ensemble}, {"hide": hidden, "allow": repeated})

    assert computed == [0, 1, 2]
    assert {tuple(top) for top in found["hide"]["ensemble"].lists} == {tuple(range(11, 1, -1))}
    assert {tuple(top) for top in found["allow"]["ensemble"].lists} == {tuple(range(10))}


@pytest.mark.parametrize("limit", [0, 1, 3, 5, 99])
def test_equal_generators_choose_the_same_users_whatever_other_cases_there_are(limit: int) -> None:
    """Users 0 to 9 and six cases of unseen users; the other set lacks some of the seen ones."""
    users = [*range(10), *[10] * 6]
    cases = [case_of(user, [1]) for user in users]
    fewer = [case for case in cases if case.query.user not in (2, 7)]
    chosen = [sampled_cases(of, limit, np.random.default_rng(4)) for of in (cases, fewer)]

    assert [len(positions) for positions in chosen] == [min(limit, 16), min(limit, 14)]
    assert all((np.diff(positions) > 0).all() for positions in chosen)
    ours, theirs = ([of[n] for n in positions] for of, positions in zip((cases, fewer), chosen, strict=True))
    shared = [case for case in ours if case.query.user not in (2, 7)]
    assert {id(case) for case in shared} <= {id(case) for case in theirs}


def test_mean_average_precision_is_over_known_users(hide: EvaluationSet, allow: EvaluationSet) -> None:
    """Of 2, 3, 4, 5 … Ann chose 3 and 5, and an unknown item: (1/2 + 2/4) / 3. Cat is an unknown user."""
    assert hide.known.tolist() == [True, False]
    assert mean_average_precision(DOWNWARDS, hide) == pytest.approx((1 / 2 + 2 / 4) / 3)
    for evaluation_set in (hide, allow):
        assert mean_average_precision(DOWNWARDS, evaluation_set) == pytest.approx(
            evaluate_one(DOWNWARDS, evaluation_set).per_user["map10"][evaluation_set.known].mean()
        )


def test_mean_average_precision_of_a_large_set_samples_users_evenly(hide: EvaluationSet) -> None:
    """Five of nine users are known. A limit of three takes the first, the middle and the last of them."""
    ann = hide.cases[0]
    cases = tuple(replace(ann, query=ann.query._replace(user=user)) for user in range(9))
    known = np.array([True, False, True, False, True, False, True, False, True])
    computed: list[int] = []
    evaluation_set = replace(hide, cases=cases, known=known, pairs=hide.pairs[:1] * 9)

    mean_average_precision(Recording(DOWNWARDS.scores, computed), evaluation_set, limit=3)
    assert computed == [0, 4, 8]


def test_mean_average_precision_without_known_users_is_zero(hide: EvaluationSet) -> None:
    assert mean_average_precision(DOWNWARDS, replace(hide, known=np.zeros(2, bool))) == 0.0
    assert mean_average_precision(DOWNWARDS, replace(hide, cases=(), known=np.zeros(0, bool), pairs=())) == 0.0


def test_the_row_of_the_report_by_hand(hide: EvaluationSet) -> None:
    row = summarise(evaluate_one(DOWNWARDS, hide), hide, Calibration(0.0, 0.0), np.random.default_rng(1))

    assert (row["users"], row["unseen_users"]) == (1, 1)
    assert row["map10"] == row["map10_low"] == row["map10_high"] == pytest.approx(1 / 3)
    assert row["unseen_map10"] == pytest.approx(1 / 4)
    assert row["precision10"] == row["precision10_low"] == row["precision10_high"] == pytest.approx(0.2)
    assert row["coverage"] == pytest.approx(1.0)  # 0 and 2 … 11 are in lists, 1 is not sold
    # 15 pairs are predicted 1/2; Ann's unknown item is predicted 0 and was chosen
    assert row["rmse"] == pytest.approx(math.sqrt((15 * 0.25 + 1) / 16))


def test_rmse_is_that_of_the_calibrated_scores(hide: EvaluationSet) -> None:
    result = evaluate_one(DOWNWARDS, hide)
    row = summarise(result, hide, Calibration(0.3, -1.0), np.random.default_rng(1))
    predicted = 1 / (1 + np.exp(-(0.3 * result.pair_logits.astype(float) - 1.0)))

    assert row["rmse"] == pytest.approx(math.sqrt((((predicted - result.pair_labels) ** 2).sum() + 1) / 16))
    assert summarise(result, hide, None, np.random.default_rng(1))["rmse"] is None


def test_pairs_are_the_relevant_items_and_four_sampled_ones_for_each(hide: EvaluationSet) -> None:
    result = evaluate_one(DOWNWARDS, hide)

    assert [len(pairs) for pairs in hide.pairs] == [10, 5]
    assert hide.pairs[0][:2].tolist() == [3, 5]
    assert result.pair_logits.tolist() == DOWNWARDS.scores[np.concatenate(hide.pairs)].tolist()
    relevant = [item in ([3, 5] if n < 10 else [4]) for n, item in enumerate(np.concatenate(hide.pairs).tolist())]
    assert result.pair_labels.tolist() == relevant  # a sampled item may happen to be relevant
    assert result.n_unreachable == 1


def test_pairs_are_of_items_that_compete(past: Dataset, encoders: Encoders) -> None:
    """Pairs hold neither item 1, which is not sold, nor items that the repeat rule hides."""
    rows = [(BEN, item, "purchase", CUT) for item in (100 + INACTIVE, 103, 104)] + [
        (DEE, item, "cart", CUT) for item in ITEMS
    ]
    evaluation_set = evaluation_set_of(past, events_of(rows), encoders, math.inf)
    ben, dee = evaluation_set.pairs

    assert ben[:2].tolist() == [3, 4]
    assert dee[:10].tolist() == list(range(2, 12))
    assert (len(ben), len(dee)) == (10, 50)
    assert not set(ben.tolist()) & {INACTIVE, 2}
    assert not set(dee.tolist()) & {INACTIVE, 0}
    assert evaluate_one(DOWNWARDS, evaluation_set).n_unreachable == 2


def test_items_that_training_dropped_stay_relevant_and_count_as_misses(past: Dataset, encoders: Encoders) -> None:
    events = events_of(
        [(ANN, UNENCODED, "purchase", CUT), (BEN, 103, "purchase", CUT), (BEN, UNENCODED, "purchase", CUT)]
    )
    evaluation_set = evaluation_set_of(past, events, encoders, math.inf)
    best = Fixed(np.array([0, 0, 0, 9] + [0] * 8, np.float32))

    result = evaluate_one(best, evaluation_set)

    assert contents(evaluation_set) == [(0, [], 1, [0]), (1, [3], 1, [2])]
    assert result.per_user["map10"].tolist() == [0.0, 0.5]
    assert result.per_user["recall10"].tolist() == [0.0, 0.5]
    assert result.per_user["auc"].tolist() == [0.0, 0.5]


def test_a_held_out_item_that_is_not_sold_is_a_miss(past: Dataset, encoders: Encoders) -> None:
    events = events_of([(BEN, 100 + INACTIVE, "purchase", CUT), (BEN, 103, "purchase", CUT)])
    evaluation_set = evaluation_set_of(past, events, encoders, math.inf)
    scorer = Fixed(np.array([0, 9, 0, 8] + [0] * 8, np.float32))

    assert contents(evaluation_set) == [(1, [1, 3], 0, [2])]
    assert evaluate_one(scorer, evaluation_set).per_user["map10"].tolist() == [0.5]


NOT_SOLD, SECOND, SECOND_OF_TWO = "011", 1 / math.log2(3), 1 / (1 + 1 / math.log2(3))
NO_FIGURE = (math.nan,) * 6


# Scores of items 0, 1, 2; which are sold; which are relevant; the number of unknown relevant items; which are hidden;
# the six metrics.
@pytest.mark.parametrize(
    ("scores", "sold", "relevant", "n_unknown", "hidden", "expected"),
    [
        pytest.param((3, 2, 1), NOT_SOLD, [0], 0, [], (0, 0, 0, 0, 0, 0), id="not sold"),
        pytest.param((3, 2, 1), NOT_SOLD, [], 1, [], (0, 0, 0, 0, 0, 0), id="unknown"),
        pytest.param(
            (3, 2, 1), NOT_SOLD, [0, 1], 0, [], (0.1, 1 / 2, SECOND_OF_TWO, 1, 1 / 2, 1 / 2), id="one sold, one not"
        ),
        pytest.param(
            (3, 2, 1), NOT_SOLD, [1], 1, [], (0.1, 1 / 2, SECOND_OF_TWO, 1, 1 / 2, 1 / 2), id="one sold, one unknown"
        ),
        pytest.param(
            (3, 2, 1), NOT_SOLD, [0, 1], 1, [], (0.1, 1 / 3, 1 / (1.5 + SECOND), 1, 1 / 3, 1 / 3), id="both kinds"
        ),
        pytest.param((3, 2, 1), NOT_SOLD, [0], 1, [], (0, 0, 0, 0, 0, 0), id="both kinds and nothing else"),
        pytest.param((3, 2, 1), "000", [0, 1], 0, [], (0, 0, 0, 0, 0, math.nan), id="nothing is sold"),
        pytest.param((3, 2, 1), "111", [], 0, [], NO_FIGURE, id="nothing is relevant"),
        pytest.param((3, 2, 1), "111", [0, 1, 2], 0, [], (0.3, 1, 1, 1, 1, math.nan), id="everything is relevant"),
        pytest.param(
            (1, 1, 1), "111", [2], 0, [], (0.1, 1 / 3, 1 / 2, 1, 1, 1 / 2), id="ties go by index, and half in AUC"
        ),
        pytest.param(
            (1, 1, 1),
            NOT_SOLD,
            [0, 2],
            0,
            [],
            (0.1, 1 / 4, SECOND / (1 + SECOND), 1, 1 / 2, 1 / 4),
            id="ties beside a miss",
        ),
        pytest.param((3, 2, 1), "001", [2], 0, [], (0.1, 1, 1, 1, 1, math.nan), id="a list of one"),
        pytest.param((3, 2, 1), "111", [1], 0, [0], (0.1, 1, 1, 1, 1, 1), id="what is hidden does not compete"),
        pytest.param(
            (3, 2, 1),
            "101",
            [2],
            1,
            [0],
            (0.1, 1 / 2, SECOND_OF_TWO, 1, 1 / 2, math.nan),
            id="hidden, not sold and unknown",
        ),
        pytest.param(
            (-math.inf, 2, 1), "111", [0, 1], 0, [], (0.1, 1 / 2, SECOND_OF_TWO, 1, 1 / 2, 1 / 2), id="minus infinity"
        ),
    ],
)
def test_an_item_that_cannot_be_recommended_is_a_miss_in_every_metric(
    scores: Sequence[float],
    sold: str,
    relevant: Sequence[int],
    n_unknown: int,
    hidden: Sequence[int],
    expected: Sequence[float],
) -> None:
    query = Query(0, *(np.zeros(0, kind) for kind in (np.int32, np.float32, np.int64, np.int32)), now=CUT)
    case = EvaluationCase(query, np.array(relevant, np.int32), n_unknown, np.array(hidden, np.int32))
    evaluation_set = EvaluationSet(
        (case,), np.ones(1, bool), 0, np.array([bit == "1" for bit in sold]), (np.zeros(0, np.int32),)
    )

    per_user = evaluate_one(Fixed(np.array(scores, np.float32)), evaluation_set).per_user

    assert list(per_user) == ["precision10", "map10", "ndcg10", "hr10", "recall10", "auc"]
    assert [values[0] for values in per_user.values()] == pytest.approx(list(expected), nan_ok=True)


@pytest.mark.parametrize("beside", [[], [103], [103, 106]], ids=["alone", "beside one", "beside two"])
def test_a_row_of_the_report_is_the_same_whether_an_item_is_unknown_or_not_sold(
    past: Dataset, encoders: Encoders, beside: Sequence[int]
) -> None:
    scorer = Fixed(np.array([0, 9, 0, 8] + [1] * 8, np.float32))
    not_sold, unknown = (
        evaluation_set_of(
            past, events_of([(BEN, item, "purchase", CUT) for item in (*beside, missed)]), encoders, math.inf
        )
        for missed in (100 + INACTIVE, UNENCODED)
    )
    rows = [
        summarise(
            evaluate_one(scorer, evaluation_set), evaluation_set, Calibration(0.3, -1.0), np.random.default_rng(1)
        )
        for evaluation_set in (not_sold, unknown)
    ]

    assert rows[0] == rows[1]
    assert rows[0]["recall10"] == len(beside) / (len(beside) + 1)
    if not beside:
        assert (rows[0]["map10"], rows[0]["auc"], rows[0]["rmse"]) == (0.0, 0.0, 1.0)
        assert not any(evaluate_one(scorer, evaluation_set).pair_labels.any() for evaluation_set in (not_sold, unknown))


def test_without_purchases_and_carts_any_positive_event_is_relevant(past: Dataset, encoders: Encoders) -> None:
    events = events_of([(ANN, 103, "view", CUT), (ANN, 104, "star1", CUT + 1), (BEN, 105, "star1", CUT + 2)])

    evaluation_set = evaluation_set_of(past, events, encoders, 0)

    assert contents(evaluation_set) == [(0, [3], 0, [])]
    assert evaluation_set.n_nothing_relevant == 1


def test_a_large_set_is_sampled_down_and_the_others_are_not_counted(
    past: Dataset, after: Interactions, encoders: Encoders
) -> None:
    sampled = evaluation_set_of(past, after, encoders, 0, max_users=2)

    assert len(sampled) == 2
    assert sampled.n_nothing_relevant == 1
    assert contents(sampled) == contents(evaluation_set_of(past, after, encoders, 0, max_users=2)), (
        "the seed decides the sample"
    )


def test_without_events_after_the_cut_the_set_is_empty(past: Dataset, encoders: Encoders) -> None:
    evaluation_set = evaluation_set_of(past, events_of([]), encoders, math.inf)
    result = evaluate_one(DOWNWARDS, evaluation_set)
    row = summarise(result, evaluation_set, Calibration(1.0, 0.0), np.random.default_rng(1))

    assert (len(evaluation_set), evaluation_set.n_nothing_relevant) == (0, 0)
    assert (row["map10"], row["map10_low"], row["rmse"], row["users"], row["coverage"]) == (None, None, None, 0, 0.0)
    assert len(result.pair_labels) == 0


def test_one_user_and_one_item() -> None:
    one = events_of([(ANN, 100, "purchase", CUT - DAY)])
    encoders = Encoders.fit(one, catalogue_of([100], ["tea"]), 1)
    past = encode(one, encoders, SHOP, TIMELESS, now=CUT)
    again = events_of([(ANN, 100, "purchase", CUT + 1)])
    shared = {"shop": SHOP, "active": np.ones(1, bool), "cut": CUT, "rng": np.random.default_rng(1), "max_users": 10}

    hidden = build_evaluation_set(past, again, encoders, repeat_after_days=math.inf, **shared)
    allowed = build_evaluation_set(past, again, encoders, repeat_after_days=0, **shared)
    result = evaluate_one(Fixed(np.zeros(1, np.float32)), allowed)

    assert (len(hidden), hidden.n_nothing_relevant) == (0, 1)
    assert result.per_user["map10"].tolist() == [1.0]
    assert result.per_user["precision10"].tolist() == [0.1]
    assert math.isnan(result.per_user["auc"][0]), "there is no negative item"
    assert summarise(result, allowed, None, np.random.default_rng(1))["auc"] is None


N_MANY = 150


def many_items(last: Sequence[tuple[int, int, str]]) -> tuple[Dataset, Interactions, Encoders]:
    """Return events of user 9 on all 150 items and of users 1 and 2 on some; the last event of each user; encoders."""
    rows = [(9, 100 + item, "view", CUT + item) for item in range(N_MANY)]
    rows += [(1, 100 + item, "purchase", CUT + item) for item in (0, 1, 2, 1)]
    rows += [(2, 100 + item, "view", CUT + item) for item in range(40)]
    events = events_of(rows)
    encoders = Encoders.fit(events, catalogue_of([], []), 1)
    out = events_of([(user, item, event, CUT + 500 + user) for user, item, event in last])
    return encode(events, encoders, SHOP, TIMELESS, now=CUT + 600), out, encoders


def loo99(last: Sequence[tuple[int, int, str]], max_users: int = 100) -> EvaluationSet:
    past, out, encoders = many_items(last)
    return leave_one_out(past, out, encoders, shop=SHOP, rng=np.random.default_rng(5), max_users=max_users)


def candidates(case: EvaluationCase) -> list[int]:
    assert case.candidates is not None
    return case.candidates.tolist()


def test_the_last_item_is_ranked_among_ninety_nine_unseen_ones() -> None:
    evaluation_set = loo99([(1, 120, "purchase"), (2, 180, "cart")])

    for case, seen, last_item in zip(evaluation_set.cases, ({0, 1, 2}, set(range(40))), (20, 80), strict=True):
        sampled = set(candidates(case)) - {last_item}

        assert case.relevant.tolist() == [last_item]
        assert case.candidates is not None
        assert case.candidates.shape == (100,)
        assert case.candidates.dtype == np.int32
        assert len(sampled) == 99
        assert not sampled & seen
        assert (case.hidden.tolist(), case.n_unreachable) == ([], 0)
    assert evaluation_set.known.tolist() == [True, True]
    assert (len(evaluation_set), evaluation_set.n_nothing_relevant) == (2, 0)


def test_the_query_of_a_last_item_is_at_its_moment_with_the_history_before() -> None:
    (case,) = loo99([(1, 120, "purchase")]).cases

    assert case.query.now == CUT + 501
    assert case.query.items.tolist() == [0, 1, 1, 2]
    assert case.query.repeats


def test_only_the_candidates_compete() -> None:
    evaluation_set = loo99([(1, 120, "purchase")])
    (case,) = evaluation_set.cases
    rejected = np.setdiff1d(np.arange(N_MANY), candidates(case))
    scores = np.zeros(N_MANY, np.float32)
    scores[rejected], scores[20] = 9.0, 1.0

    result = evaluate_one(Fixed(scores), evaluation_set)

    assert result.per_user["hr10"].tolist() == [1.0]
    assert result.per_user["ndcg10"].tolist() == [1.0]
    assert result.per_user["auc"].tolist() == [1.0]
    assert set(result.lists[0].tolist()) <= set(candidates(case))
    assert mean_average_precision(Fixed(scores), evaluation_set) == 1.0


def test_a_user_who_has_seen_every_item_has_fewer_candidates() -> None:
    (case,) = loo99([(9, 120, "purchase")]).cases

    assert candidates(case) == [20]


def test_a_last_item_that_training_dropped_is_a_miss() -> None:
    evaluation_set = loo99([(1, 999, "purchase"), (2, 130, "purchase")])
    missed = evaluation_set.cases[0]

    assert (missed.relevant.tolist(), missed.n_unreachable, len(candidates(missed))) == ([], 1, 99)
    assert evaluate_one(Fixed(np.zeros(N_MANY, np.float32)), evaluation_set).per_user["hr10"][0] == 0.0
    assert evaluation_set.n_nothing_relevant == 0


def test_an_event_of_negative_weight_is_not_relevant() -> None:
    evaluation_set = loo99([(1, 120, "star1"), (2, 130, "view")])

    assert [case.query.user for case in evaluation_set.cases] == [1]
    assert evaluation_set.n_nothing_relevant == 1


def test_a_user_known_from_nothing_else_is_unseen() -> None:
    evaluation_set = loo99([(7, 120, "purchase"), (1, 121, "purchase")])

    assert evaluation_set.known.tolist() == [False, True]
    assert evaluation_set.cases[0].query.user == 3
    assert len(candidates(evaluation_set.cases[0])) == 100


def test_a_large_leave_one_out_is_sampled_down() -> None:
    evaluation_set = loo99([(1, 120, "purchase"), (2, 130, "cart"), (9, 121, "view")], max_users=2)

    assert len(evaluation_set) == 2
    assert evaluation_set.n_nothing_relevant == 0


def test_sampled_negatives_are_distinct_and_unseen() -> None:
    seen_by_user = [np.array([0, 5, 5, 149]), np.array([], np.int32)]

    negatives = sampled_negatives(np.random.default_rng(7), seen_by_user, 150)

    assert [len(set(items.tolist())) for items in negatives] == [99, 99]
    assert not {0, 5, 149} & set(negatives[0].tolist())


def test_a_small_catalogue_gives_all_unseen_items_and_no_more() -> None:
    negatives = sampled_negatives(np.random.default_rng(7), [np.array([1, 3]), np.arange(5)], 5)

    assert sorted(negatives[0].tolist()) == [0, 2, 4]
    assert negatives[1].tolist() == []
