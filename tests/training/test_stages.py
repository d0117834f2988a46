"""The steps of a training run, by hand."""

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from recsys.data.encoding import Encoders
from recsys.data.interactions import Interactions
from recsys.errors import NotEnoughData, TrainingRefused
from recsys.features.features import FeatureValues
from recsys.features.query import Query
from recsys.scorers.registry import MODELS
from recsys.training.fitting import FittedModels, check_complete, load_scorers
from recsys.training.stages import (
    active_items,
    build_evaluation_sets,
    check_evaluation_set,
    context_lift,
    split,
)
from tests.helpers.checkerboard import (
    CUT,
    DAY,
    N_USERS,
    SHOP,
    after_the_cut,
    before_the_cut,
    catalogue_of,
    events_of,
    hyperparameters,
    shop_of,
    withheld,
)


@dataclass
class Recorder:
    """A scorer that records its queries, and always ranks item 0 first."""

    n_items: int
    queries: list[Query] = field(default_factory=list)

    def score(
        self, query: Query, features: FeatureValues | None = None, items: NDArray[np.int32] | None = None
    ) -> NDArray[np.float32]:
        self.queries.append(query)
        return -np.arange(self.n_items, dtype=np.float32)


def test_active_items_do_not_depend_on_the_order_of_the_catalogue() -> None:
    events = events_of([(1, item, "view", CUT) for item in (10, 11, 12, 13)])
    products = catalogue_of([13, 11, 99, 10], [None] * 4, [False, True, True, True])  # 12 is no longer a product

    active = active_items(Encoders.fit(events, products, 1), products)

    assert active.tolist() == [True, True, False, False]
    assert active_items(Encoders.fit(events, products, 1), catalogue_of([], [])).tolist() == [False] * 4


@pytest.mark.parametrize(
    ("days", "rule", "hidden_by_allow"),
    [(math.inf, "hide", []), (0.0, "allow", []), (30.0, "allow", [1])],
)
def test_each_rule_has_its_evaluation_set_and_days_count_as_allow(
    days: float, rule: str, hidden_by_allow: list[int], board: FittedModels
) -> None:
    """User 1 buys item 1 ten days before the cut and item 3 fifty days before it."""
    shop = replace(SHOP, repeat_after_days=days)
    rows = [(101, 501, "purchase", CUT - 10 * DAY), (101, 503, "purchase", CUT - 50 * DAY)]
    data = replace(board.data, **encoded(rows))
    after = events_of([(101, 505, "purchase", CUT + DAY)])
    run = shop_of(before_the_cut(), shop=shop)

    evaluation_sets = build_evaluation_sets(run, board.encoders, data, after, CUT)

    assert list(evaluation_sets) == ["hide", "allow"]
    assert run.rule == rule
    assert evaluation_sets["hide"].cases[0].hidden.tolist() == [1, 3]
    assert evaluation_sets["allow"].cases[0].hidden.tolist() == hidden_by_allow


def encoded(rows: list[tuple[int, int, str, int]]) -> dict[str, Any]:
    """Return the columns of a dataset of purchases; the rows are newest first."""
    rows = rows[::-1]
    return {
        "users": np.array([row[0] - 100 for row in rows], np.int32),
        "items": np.array([row[1] - 500 for row in rows], np.int32),
        "weights": np.ones(len(rows), np.float32),
        "confidences": np.ones(len(rows), np.float32),
        "timestamps": np.array([row[3] for row in rows], np.int64),
        "purchases": np.ones(len(rows), bool),
        "contexts": np.zeros((len(rows), 4), np.int32),
    }


def test_leave_one_out_has_one_evaluation_set_and_allows_repeats(board: FittedModels) -> None:
    run = shop_of(before_the_cut(), protocol="loo99")
    before, last, moment = split(run, run.events, "test")

    assert list(build_evaluation_sets(run, board.encoders, board.data, last, moment)) == ["allow"]
    assert run.rule == "allow"
    assert len(last) == N_USERS
    assert len(before) + len(last) == len(run.events)


def test_the_context_lift_is_measured_event_by_event(board: FittedModels) -> None:
    """Each user buys the withheld item on a phone, and item 2 an hour later on an unknown device.

    Item i is at rank i + 1, so the mean reciprocal rank is known. The category of the first context comes from the
    newest event before the cut, and that of the second context from the withheld item.
    """
    rows = [
        (100 + user, 500 + item, "purchase", CUT + 3600 * n)
        for user in range(N_USERS)
        for n, item in ((6, withheld(user)), (7, 2))
    ]
    after = events_of(rows, ["mobile", None] * N_USERS)
    recorder = Recorder(len(board.encoders.items))
    run = shop_of(before_the_cut())

    lift = context_lift(run, replace(board, scorers={**board.scorers, "ENCM": recorder}), after)

    contexts = {(query.user, query.now): query.context.tolist() for query in recorder.queries[::2]}
    categories = board.encoders.item_categories
    unknown = [size - 1 for size in board.data.context_sizes]
    for user in range(N_USERS):
        newest = board.data.items[board.data.rows_of(user).stop - 1]
        assert contexts[user, CUT + 6 * 3600] == [1, 1, 1, categories[newest]]  # a morning in spring, on a phone
        assert contexts[user, CUT + 7 * 3600] == [1, 1, 2, categories[withheld(user)]]
    assert all(query.context.tolist() == unknown for query in recorder.queries[1::2])
    assert all((query.timestamps < CUT).all() for query in recorder.queries)
    expected = np.mean([1 / (1 + item) for user in range(N_USERS) for item in (withheld(user), 2)])
    assert lift == {
        "with_context": pytest.approx(expected),
        "without_context": pytest.approx(expected),
        "lift": 0.0,
        "events": 2.0 * N_USERS,
    }


def test_without_later_events_there_is_no_context_lift(board: FittedModels) -> None:
    assert context_lift(shop_of(before_the_cut()), board, events_of([])) is None


@pytest.mark.parametrize(
    "after",
    [events_of([]), events_of([(9999, 501, "purchase", CUT)])],
    ids=["nothing", "a purchase of an unknown user"],
)
def test_an_evaluation_set_without_a_known_user_is_refused(after: Interactions, board: FittedModels) -> None:
    evaluation_sets = build_evaluation_sets(shop_of(before_the_cut()), board.encoders, board.data, after, CUT)

    with pytest.raises(
        NotEnoughData, match="The test part needs a user who bought before its cut and chose something new after it"
    ):
        check_evaluation_set(evaluation_sets["hide"])


def test_an_evaluation_set_with_a_known_user_is_accepted(board: FittedModels) -> None:
    run = shop_of(before_the_cut())
    check_evaluation_set(build_evaluation_sets(run, board.encoders, board.data, after_the_cut(), CUT)["hide"])


def test_without_encm_there_is_no_context_lift(board: FittedModels) -> None:
    others = {name: scorer for name, scorer in board.scorers.items() if name != "ENCM"}

    assert context_lift(shop_of(before_the_cut()), replace(board, scorers=others), after_the_cut()) is None


def test_scorers_are_in_registry_order_and_a_missing_one_is_refused(board: FittedModels) -> None:
    baselines = {name: board.baselines[name] for name in ("popularity", "ease")}
    scorers = load_scorers(
        {"BMF": board.networks["BMF"].arrays()}, baselines, board.features, hyperparameters().ensemble_weights
    )

    assert list(scorers) == ["BMF", "blend", "ease", "popularity"]
    with pytest.raises(TrainingRefused, match="Missing: ENCM, LNCM, NeuMF, hybrid, item_cf, "):
        check_complete(replace(board, scorers=scorers))


def test_a_failed_network_may_be_missing_and_a_baseline_may_not(board: FittedModels) -> None:
    failures = dict.fromkeys(("LNCM", "BMF"), "MemoryError: too large")
    scorers = {name: scorer for name, scorer in board.scorers.items() if name not in failures}
    check_complete(replace(board, scorers=scorers, failures=failures))

    with pytest.raises(TrainingRefused, match=r"Missing: BMF\.$"):
        check_complete(replace(board, scorers=scorers, failures={"LNCM": "MemoryError"}))
    del scorers["blend"]
    with pytest.raises(TrainingRefused, match=r"Missing: blend\.$"):
        check_complete(replace(board, scorers=scorers, failures=failures))


def test_without_any_network_nothing_is_published(board: FittedModels) -> None:
    failures = dict.fromkeys(MODELS, "MemoryError: too large")
    baselines = {name: scorer for name, scorer in board.scorers.items() if name not in failures}

    with pytest.raises(TrainingRefused, match=r"Missing: .*BMF \(MemoryError: too large\)\.$"):
        check_complete(replace(board, scorers=baselines, failures=failures))


@dataclass(frozen=True)
class Broken:
    """A scorer that gives one item a score that is not finite."""

    n_items: int
    value: float

    def score(
        self, query: Query, features: FeatureValues | None = None, items: NDArray[np.int32] | None = None
    ) -> NDArray[np.float32]:
        return np.append(np.zeros(self.n_items - 1, np.float32), np.float32(self.value))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_scorer_with_scores_that_are_not_finite_is_refused_by_name(value: float, board: FittedModels) -> None:
    with pytest.raises(TrainingRefused, match="^BMF should score finite numbers. Received: NaN or infinity"):
        check_complete(replace(board, scorers={**board.scorers, "BMF": Broken(len(board.encoders.items), value)}))
