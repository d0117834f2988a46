"""No event after the cut reaches training, and the evaluation separates learned scorers from chance."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from recsys.data.cleaning import clean
from recsys.data.dataset import Dataset
from recsys.data.encoding import Encoders, encode
from recsys.data.interactions import Catalogue, Interactions
from recsys.evaluation.protocol import EvaluationSet, leave_one_out
from recsys.evaluation.ranking import top_k
from recsys.features.features import FeatureValues
from recsys.features.query import Query
from recsys.scorers.base import Scorer
from recsys.scorers.layers import LinearEnsemble
from recsys.scorers.registry import MODELS, REGISTRY
from recsys.settings import Training
from recsys.training.fitting import FittedModels, load_features
from recsys.training.run import TrainingRun
from recsys.training.stages import build_evaluation_sets, split
from tests.helpers.checkerboard import (
    CUT,
    DAY,
    FAST,
    N_ITEMS,
    N_USERS,
    RARE,
    SHOP,
    Row,
    after_the_cut,
    before_the_cut,
    events_of,
    fit,
    other_cluster,
    own_cluster,
    shop_of,
    withheld,
)
from tests.helpers.checkerboard import (
    query_at_cut as query_of,
)
from tests.helpers.evaluation import evaluate_one

PERSONAL = [name for name, spec in REGISTRY.items() if spec.source != "popularity"]
N_HELD_OUT = 4  # items of each user after the cut, with true and with shuffled labels
# A random ranking of 16 items, 4 of them relevant: the AUC is a Mann-Whitney statistic with mean 1/2 and variance
# (4 + 12 + 1) / (12 · 4 · 12), hits in the top 10 are hypergeometric with mean 10 · 4/16. Users are drawn
# independently, so the mean over 64 of them leaves four standard deviations once in 16,000 trials.
AUC_TOLERANCE = 4 * math.sqrt(17 / (12 * 4 * 12) / N_USERS)
P10_CHANCE = 4 / 16
P10_TOLERANCE = 4 * math.sqrt(10 * (4 / 16) * (12 / 16) * (6 / 15) / 100 / N_USERS)


@dataclass(frozen=True)
class Constant:
    """A scorer with the same score for every item."""

    n_items: int

    def score(
        self, query: Query, features: FeatureValues | None = None, items: NDArray[np.int32] | None = None
    ) -> NDArray[np.float32]:
        return np.ones(self.n_items if items is None else len(items), np.float32)


@dataclass(frozen=True)
class Oracle:
    """A scorer that knows the withheld item of each user."""

    n_items: int = N_ITEMS

    def score(
        self, query: Query, features: FeatureValues | None = None, items: NDArray[np.int32] | None = None
    ) -> NDArray[np.float32]:
        scores = np.zeros(self.n_items, np.float32)
        scores[withheld(query.user)] = 1.0
        return scores if items is None else scores[items]


def joined(*parts: Interactions) -> Interactions:
    """Return the events of all parts, with new row ids."""
    columns = {
        field.name: np.concatenate([getattr(part, field.name) for part in parts])
        for field in fields(Interactions)
        if field.name not in ("event_names", "contexts", "quantities", "sessions")
    }
    devices = np.concatenate([part.contexts["device_type"] for part in parts])
    columns["row_ids"] = np.arange(1, len(devices) + 1)
    return Interactions(**columns, event_names=parts[0].event_names, contexts={"device_type": devices})


def true_labels() -> Interactions:
    """Return four purchases of each user after the cut, all in their own cluster."""
    rng = np.random.default_rng(21)
    rows: list[Row] = []
    for user in range(N_USERS):
        rows += [
            (100 + user, 500 + int(item), "purchase", CUT + DAY)
            for item in rng.choice(own_cluster(user), N_HELD_OUT, replace=False)
        ]
    return events_of(rows)


def shuffled(events: Interactions, seed: int) -> Interactions:
    """Return the events on items that are drawn at random, without repetition for each user."""
    rng, items = np.random.default_rng(seed), events.items.copy()
    for user in np.unique(events.users):
        rows = np.flatnonzero(events.users == user)
        items[rows] = 500 + rng.permutation(N_ITEMS)[: len(rows)]
    return replace(events, items=items)


@pytest.fixture(scope="module")
def shuffled_labels() -> tuple[FittedModels, EvaluationSet]:
    """Models and an evaluation set with shuffled labels, before and after the cut."""
    source = shop_of(joined(shuffled(before_the_cut(), 31), shuffled(true_labels(), 32)))
    stage = fit(source)
    return stage, build_evaluation_sets(source, stage.encoders, stage.data, shuffled(true_labels(), 32), CUT)["allow"]


@pytest.fixture(scope="module")
def true_set(board: FittedModels) -> EvaluationSet:
    """An evaluation set with true labels."""
    source = shop_of(joined(before_the_cut(), true_labels()))
    return build_evaluation_sets(source, board.encoders, board.data, true_labels(), CUT)["allow"]


# Chance


@pytest.mark.parametrize("name", REGISTRY)
def test_with_shuffled_labels_every_scorer_is_as_good_as_chance(
    name: str, shuffled_labels: tuple[FittedModels, EvaluationSet]
) -> None:
    stage, evaluation_set = shuffled_labels
    result = evaluate_one(stage.scorers[name], evaluation_set)

    assert len(evaluation_set) == N_USERS
    assert result.per_user["auc"].mean() == pytest.approx(0.5, abs=AUC_TOLERANCE)
    assert result.per_user["precision10"].mean() == pytest.approx(P10_CHANCE, abs=P10_TOLERANCE)


@pytest.mark.parametrize("name", PERSONAL)
def test_with_true_labels_every_personal_scorer_beats_chance(
    name: str, board: FittedModels, true_set: EvaluationSet
) -> None:
    """Four of a user's eight items are relevant. A scorer that knows only the cluster has an AUC of (½·4 + 8) / 12."""
    result = evaluate_one(board.scorers[name], true_set)

    assert result.per_user["auc"].mean() == pytest.approx((0.5 * 4 + 8) / 12, abs=AUC_TOLERANCE)
    assert result.per_user["precision10"].mean() > P10_CHANCE + P10_TOLERANCE


def test_a_constant_scorer_is_as_good_as_chance(shuffled_labels: tuple[FittedModels, EvaluationSet]) -> None:
    result = evaluate_one(Constant(N_ITEMS), shuffled_labels[1])

    assert (result.per_user["auc"] == 0.5).all()
    assert result.per_user["precision10"].mean() == pytest.approx(P10_CHANCE, abs=P10_TOLERANCE)


def test_a_constant_scorer_is_as_good_as_chance_among_ninety_nine() -> None:
    """One relevant item in a hundred is in the top 10 once in ten: 0.1 ± 4·√(0.09 / 800)."""
    n_users, n_items, rng = 800, 400, np.random.default_rng(41)
    once = events_of([(user, int(item), "view", CUT) for user, item in enumerate(rng.integers(0, n_items, n_users))])
    everything = events_of([(n_users, item, "view", CUT) for item in range(n_items)])
    last = events_of(
        [
            (user, (once.items[user] + 1 + int(rng.integers(n_items - 1))) % n_items, "view", CUT + 1)
            for user in range(n_users)
        ]
    )
    options, history = Training(min_item_events=1), joined(once, everything)
    encoders = Encoders.fit(history, no_catalogue(), 1)
    past = encode(history, encoders, SHOP, options, now=CUT + 1)

    evaluation_set = leave_one_out(past, last, encoders, shop=SHOP, rng=rng, max_users=n_users)
    result = evaluate_one(Constant(n_items), evaluation_set)

    assert {len(case.candidates) for case in evaluation_set.cases if case.candidates is not None} == {100}
    assert (result.per_user["auc"] == 0.5).all()
    assert result.per_user["hr10"].mean() == pytest.approx(0.1, abs=4 * math.sqrt(0.09 / n_users))


def no_catalogue() -> Catalogue:
    nothing = np.zeros(0, object)
    return Catalogue(np.zeros(0, np.int64), np.zeros(0, bool), nothing, nothing, np.zeros(0))


# The future


def future_events() -> Interactions:
    """Return events after the cut that would change the models if training used them.

    New users, a new item, a rare item that becomes frequent, a shift of all preferences, cancellations of earlier
    purchases, and a user who becomes a bot.
    """
    rows: list[Row] = [
        (100 + user, 500 + int(item), "purchase", CUT + DAY) for user in range(N_USERS) for item in other_cluster(user)
    ]
    rows += [(900 + n, 500 + n % N_ITEMS, "purchase", CUT + 2 * DAY) for n in range(40)]
    rows += [(100 + user, RARE, "purchase", CUT + 3 * DAY) for user in range(20)]
    rows += [(100 + user, 777, "purchase", CUT) for user in range(20)]
    rows += [(100 + user, 500 + int(item), "cancel", CUT + 4 * DAY) for user in range(20) for item in own_cluster(user)]
    rows += [(100 + N_USERS - 1, 500 + n % N_ITEMS, "view", CUT + 5 * DAY + n) for n in range(2100)]
    return events_of(rows, ["watch"] * len(rows))


@pytest.fixture(scope="module")
def later() -> TrainingRun:
    return later_cut_at(0.3)


def later_cut_at(test_quantile: float) -> TrainingRun:
    """Return the run of a shop that also has events after the cut."""
    options = replace(FAST, test_quantile=test_quantile, validation_quantile=0.9)
    return shop_of(joined(before_the_cut(), future_events()), options)


@pytest.fixture(scope="module")
def refitted(later: TrainingRun) -> FittedModels:
    """Models fitted on events before the cut, of a shop that also has later events."""
    return fit(later)


def test_the_future_events_would_change_the_cleaning(later: TrainingRun) -> None:
    """With cleaning as of today, the events before the cut are fewer: cancelled purchases and a bot are dropped."""
    n_before = int((later.events.timestamps < CUT).sum())

    assert n_before < len(clean(before_the_cut(), shop=SHOP, training=later.settings.training, now=CUT)[0]) - 20


def test_data_and_encoders_before_the_cut_ignore_later_events(board: FittedModels, refitted: FittedModels) -> None:
    for field in fields(Dataset):
        np.testing.assert_array_equal(getattr(refitted.data, field.name), getattr(board.data, field.name))
    assert refitted.encoders.users.ids.tolist() == board.encoders.users.ids.tolist()
    assert refitted.encoders.items.ids.tolist() == board.encoders.items.ids.tolist()
    assert refitted.encoders.contexts == board.encoders.contexts


@pytest.mark.parametrize("name", REGISTRY)
def test_scores_before_the_cut_ignore_later_events(name: str, board: FittedModels, refitted: FittedModels) -> None:
    for user in range(N_USERS):
        query = query_of(board, user, repeats=True)

        np.testing.assert_array_equal(refitted.scorers[name].score(query), board.scorers[name].score(query))


def test_the_split_gives_training_no_event_at_or_after_the_cut(later: TrainingRun) -> None:
    before, after, cut = split(later, later.events, "test")
    earlier, between, earlier_cut = split(later, before, "validation")

    assert earlier.timestamps.max() < earlier_cut <= between.timestamps.min()
    assert between.timestamps.max() < cut <= after.timestamps.min()
    assert len(earlier) + len(between) == len(before)


def test_the_split_knows_no_cancellation_of_later_days() -> None:
    later = later_cut_at(0.2)
    before, _, cut = split(later, later.events, "test")
    recorded = later.recorded.take(later.recorded.timestamps < cut)

    assert cut < CUT
    assert len(before) == len(recorded), "there was no cancellation before the cut"
    assert (later.events.timestamps < cut).sum() < len(before) - 10


def evaluation_sets_of(board: FittedModels, after: Interactions) -> Iterator[tuple[str, EvaluationSet]]:
    run = shop_of(joined(before_the_cut(), after))
    yield from build_evaluation_sets(run, board.encoders, board.data, after, CUT).items()


def test_no_query_holds_an_event_at_or_after_the_cut(board: FittedModels) -> None:
    for _, evaluation_set in evaluation_sets_of(board, future_events()):
        for case in evaluation_set.cases:
            assert case.query.now == CUT
            assert (case.query.timestamps < CUT).all()
        assert sum(len(case.query.items) for case in evaluation_set.cases) > 6 * N_USERS


def test_a_query_does_not_depend_on_its_relevant_items(board: FittedModels) -> None:
    """The queries of the same users are equal for two different futures."""
    first, second = (dict(evaluation_sets_of(board, after))["allow"] for after in (after_the_cut(), true_labels()))

    for one, other in zip(first.cases, second.cases, strict=True):
        assert one.relevant.tolist() != other.relevant.tolist()
        for value, same in zip(one.query, other.query, strict=True):
            np.testing.assert_array_equal(value, same)


# The category of an event


def test_an_events_context_never_tells_its_own_category(board: FittedModels) -> None:
    """If an event moves to an item of another category, its context stays and that of the user's next event changes."""
    base = clean(before_the_cut(), shop=SHOP, training=Training(), now=CUT)[0]
    column = board.encoders.contexts.features.index("category")
    for row in (0, 3, 100, len(board.data) - 1):
        is_row = (base.users == 100 + board.data.users[row]) & (base.timestamps == board.data.timestamps[row])
        place = np.flatnonzero(is_row)[0]
        items = base.items.copy()
        items[place] = 500 + (items[place] - 500 + 1) % N_ITEMS  # the next item is of another category
        moved = encode(replace(base, items=items), board.encoders, SHOP, Training(), now=CUT + 1)
        changed = np.flatnonzero((moved.contexts != board.data.contexts).any(1))
        is_last = row + 1 == len(board.data) or board.data.users[row + 1] != board.data.users[row]

        assert moved.items[row] != board.data.items[row]
        assert changed.tolist() == ([] if is_last else [row + 1])
        assert (moved.contexts[:, :column] == board.data.contexts[:, :column]).all()


# What counts as relevant


def test_held_out_events_on_items_too_rare_to_learn_count_as_misses(board: FittedModels) -> None:
    after = events_of([(100 + user, RARE, "purchase", CUT + DAY) for user in range(N_USERS)])
    evaluation_set = dict(evaluation_sets_of(board, joined(after_the_cut(), after)))["hide"]

    assert RARE not in board.encoders.items.ids
    assert all((len(case.relevant), case.n_unreachable) == (1, 1) for case in evaluation_set.cases)
    result = evaluate_one(Oracle(), evaluation_set)  # the best possible list, with half of the relevant items
    assert result.per_user["recall10"].tolist() == [0.5] * N_USERS
    assert result.per_user["map10"].tolist() == [0.5] * N_USERS


def test_items_that_the_repeat_rule_hides_are_neither_relevant_nor_ranked(board: FittedModels) -> None:
    """Each user buys their whole cluster after the cut; only items bought before are hidden."""
    after = events_of(
        [(100 + user, 500 + int(item), "purchase", CUT + DAY) for user in range(N_USERS) for item in own_cluster(user)]
    )
    evaluation_sets = dict(evaluation_sets_of(board, after))
    n_hidden = 0
    for case in evaluation_sets["hide"].cases:
        bought = board.data.bought(case.query.user)
        n_hidden += len(bought)

        assert case.hidden.tolist() == bought.tolist()
        assert case.relevant.tolist() == np.setdiff1d(own_cluster(case.query.user), bought).tolist()
    for name, scorer in board.scorers.items():
        lists = evaluate_one(scorer, evaluation_sets["hide"]).lists
        for case, top in zip(evaluation_sets["hide"].cases, lists, strict=True):
            assert not np.intersect1d(top, case.hidden).size, name
    assert n_hidden > N_USERS
    assert all((len(case.hidden), len(case.relevant)) == (0, 8) for case in evaluation_sets["allow"].cases)


@pytest.mark.parametrize("rule", ["hide", "allow"])
def test_held_out_items_are_never_masked(rule: str, board: FittedModels) -> None:
    """A mask would make every precision zero. A scorer that knows the relevant item has a perfect score."""
    evaluation_set = dict(evaluation_sets_of(board, after_the_cut()))[rule]
    result = evaluate_one(Oracle(), evaluation_set)

    assert len(evaluation_set) == N_USERS
    assert (result.per_user["precision10"] == 0.1).all()
    assert (result.per_user["map10"] == 1.0).all()
    assert (result.per_user["auc"] == 1.0).all()


# Networks change the ranking


@pytest.mark.parametrize("name", MODELS)
def test_a_network_changes_the_ranking(name: str, board: FittedModels) -> None:
    """For most users, the list differs from that of popularity and from the list of a guest."""
    lists, popular, for_guests = [], [], []
    for user in range(N_USERS):
        query = query_of(board, user)
        no_history = {"items": query.items[:0], "weights": query.weights[:0], "timestamps": query.timestamps[:0]}
        guest = query._replace(user=N_USERS, **no_history)
        lists.append(tuple(top_k(board.scorers[name].score(query), 10)))
        popular.append(tuple(top_k(board.scorers["popularity"].score(query), 10)))
        for_guests.append(tuple(top_k(board.scorers[name].score(guest), 10)))

    assert len(set(lists)) > N_USERS / 2
    assert sum(one != other for one, other in zip(lists, popular, strict=True)) > N_USERS / 2
    assert sum(one != other for one, other in zip(lists, for_guests, strict=True)) > N_USERS / 2


@pytest.mark.parametrize("name", MODELS)
def test_a_network_score_changes_the_ranking(name: str, board: FittedModels) -> None:
    """Without its network, a model ranks differently for most users: features alone do not decide."""
    scorer = board.scorers[name]
    assert isinstance(scorer, LinearEnsemble)

    assert orders_differ(board, scorer, replace(scorer, network=None)) > N_USERS / 2


@pytest.mark.parametrize("name", MODELS)
def test_the_features_change_the_ranking(name: str, board: FittedModels) -> None:
    scorer = board.scorers[name]
    assert isinstance(scorer, LinearEnsemble)
    assert scorer.network is not None

    assert orders_differ(board, scorer, scorer.network) > N_USERS / 2


@pytest.mark.parametrize("name", [name for name in MODELS if REGISTRY[name].precompute])
def test_a_networks_nonlinear_part_changes_the_ranking(name: str, board: FittedModels) -> None:
    """Without its multilayer perceptron, it ranks differently for most users."""
    arrays = board.networks[name].arrays()
    features = load_features(board.baselines, board.features)
    linear = REGISTRY[name].build({**arrays, "mlp_output": np.zeros_like(arrays["mlp_output"])}, features)

    assert orders_differ(board, board.scorers[name], linear) > N_USERS / 2


def orders_differ(board: FittedModels, one: Scorer, other: Scorer) -> int:
    """Return for how many users two scorers rank the catalogue differently."""
    queries = [query_of(board, user) for user in range(N_USERS)]
    return sum(
        top_k(one.score(query), N_ITEMS).tolist() != top_k(other.score(query), N_ITEMS).tolist() for query in queries
    )
