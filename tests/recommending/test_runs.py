"""Runs of the four models: threads, failures, metrics for the user, and the choice of the winner."""

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from recsys.artifacts import current
from recsys.contract import Reason, Response, Run, parse_request
from recsys.errors import ModelRefused
from recsys.evaluation.selection import Priors
from recsys.features.features import FeatureValues, Neighbours
from recsys.features.query import Query
from recsys.recommending import loading
from recsys.recommending import recommend as use_case
from recsys.recommending import runs as runs_module
from recsys.recommending.runs import Scored
from recsys.scorers.registry import MODELS, REGISTRY
from recsys.store import connect
from tests.helpers.tiny_shop import LEARNED, NOW, Published, bought, event, shown

STRANGER = 1000
N_ITEMS = len(LEARNED)
FALLING = np.arange(N_ITEMS, 0, -1, dtype=np.float32)  # ranks 101, 102, 103 … as they are
RISING = FALLING[::-1].copy()  # ranks 133, 132, 131 …: 134 to 136 are not sold
NOT_SOLD, UNLEARNED = 134, 4711


@dataclass
class Fixed:
    """A scorer that gives everybody the same scores."""

    scores: NDArray[np.float32]

    @property
    def n_items(self) -> int:
        return len(self.scores)

    def score(
        self, query: Query, features: FeatureValues | None = None, items: NDArray[np.int32] | None = None
    ) -> NDArray[np.float32]:
        return self.scores.copy() if items is None else self.scores[items]


class Failing(Fixed):
    """A scorer that fails in its own way."""

    def __init__(self, error: Exception) -> None:
        super().__init__(FALLING)
        self.error = error

    def score(
        self, query: Query, features: FeatureValues | None = None, items: NDArray[np.int32] | None = None
    ) -> NDArray[np.float32]:
        raise self.error


@pytest.fixture
def shop(published: Published, tmp_path: Path) -> Published:
    """The shop with a stranger who looked at 120 before training ended and has bought 101, 105 and 131 since."""
    copy = published.copy(tmp_path)
    copy.add([event(STRANGER, 120, "view", copy.load().data_until - 60)])
    copy.add([event(STRANGER, item, "purchase", NOW - 60) for item in (101, 105, 131)])
    return copy


def run_of(answer: Response, model: str) -> Run:
    return next(run for run in answer.runs if run.model == model)


def figures(answer: Response, model: str) -> tuple[float, float]:
    metrics = run_of(answer, model).metrics
    assert metrics is not None
    return metrics.precision10, metrics.map10


# Threads


def test_the_four_models_score_at_the_same_time_in_separate_threads(
    published: Published, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(runs_module, "WORTH_THREADS", 0)
    monkeypatch.setattr(runs_module, "cores", lambda: 4)
    together = threading.Barrier(4)  # opens when four are inside: one after another would wait for ever
    seen: list[Sequence[Scored]] = []

    class Meeting(Fixed):
        def score(
            self, query: Query, features: FeatureValues | None = None, items: NDArray[np.int32] | None = None
        ) -> NDArray[np.float32]:
            if items is None:
                together.wait(timeout=30)
            return super().score(query, features, items)

    real = use_case.score_all
    monkeypatch.setattr(use_case, "score_all", lambda *given, **named: seen.append(real(*given, **named)) or seen[-1])
    bundle = published.load(**{name: Meeting(FALLING) for name in MODELS})
    published.ask(replace(bundle, priors=replace(bundle.priors, best="ENCM")), user_id=7)
    [runs] = seen
    assert [run.model for run in runs] == list(MODELS)
    assert len({run.thread for run in runs} | {threading.get_ident()}) == 5


def test_for_few_items_models_score_in_turn_unless_threads_are_set(
    published: Published, monkeypatch: pytest.MonkeyPatch
):
    seen: list[Sequence[Scored]] = []
    real = use_case.score_all
    monkeypatch.setattr(use_case, "score_all", lambda *given, **named: seen.append(real(*given, **named)) or seen[-1])
    request = parse_request(b'{"user_id": 7}', models=tuple(REGISTRY))
    for threads in (None, 2):
        with connect(published.url) as db:
            use_case.recommend(request, published.load(), db, shop=published.settings.shop, now=NOW, threads=threads)
    mine = {threading.get_ident()}
    assert {run.thread for run in seen[0]} == mine
    assert not {run.thread for run in seen[1]} & mine


@pytest.mark.parametrize(("spare", "looks"), [(-1, 4), (0, 0)])
def test_memory_is_trimmed_between_models_that_may_map_too_much(
    published: Published, monkeypatch: pytest.MonkeyPatch, spare: int, looks: int
):
    limits: list[int] = []
    monkeypatch.setattr(loading, "trim_memory", limits.append)
    bundle = published.load()
    limit = loading.OWN_BYTES + sum(file["size"] for file in bundle.version.manifest["files"]) + spare
    published.ask(replace(bundle, priors=replace(bundle.priors, best="ENCM"), resident_limit=limit), user_id=7)
    assert limits == [limit] * looks


def test_with_one_thread_models_score_in_turn_in_the_callers_thread(
    published: Published, monkeypatch: pytest.MonkeyPatch
):
    seen: list[Sequence[Scored]] = []
    real = use_case.score_all
    monkeypatch.setattr(use_case, "score_all", lambda *given, **named: seen.append(real(*given, **named)) or seen[-1])
    request = parse_request(b'{"user_id": 7}', models=tuple(REGISTRY))
    with connect(published.url) as db:
        told = use_case.recommend(request, published.load(), db, shop=published.settings.shop, now=NOW, threads=1)
    assert {run.thread for run in seen[0]} == {threading.get_ident()}
    assert told == published.ask(user_id=7)


# Failures


@pytest.mark.parametrize(
    "error", [ValueError("odd"), RuntimeError("odd"), KeyError("odd"), MemoryError("odd"), FloatingPointError("odd")]
)
@pytest.mark.parametrize("model", MODELS)
def test_a_model_that_raises_loses_only_its_own_run(published: Published, model: str, error: Exception):
    sound = published.ask(user_id=7)
    answer = published.ask(published.load(**{model: Failing(error)}), user_id=7)
    assert run_of(answer, model) == Run(model, error=f"{type(error).__name__}: {error}")
    assert [run for run in answer.runs if run.model != model] == [run for run in sound.runs if run.model != model]
    assert answer.model != model
    assert len(answer.items) == 10


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_a_model_whose_scores_are_not_numbers_loses_its_own_run(published: Published, broken: float):
    scores = FALLING.copy()
    scores[7] = broken
    answer = published.ask(published.load(BMF=Fixed(scores)), user_id=7)
    assert (
        run_of(answer, "BMF").error == "FloatingPointError: BMF should score finite numbers. Received: NaN or infinity."
    )
    assert run_of(answer, "BMF").items == ()
    assert all(run.error is None and run.items for run in answer.runs if run.model != "BMF")


def test_if_the_best_model_fails_the_next_best_answers(published: Published):
    bundle = published.load(LNCM=Failing(ValueError("odd")))
    priors = Priors("LNCM", {"ENCM": -0.3, "NeuMF": -0.1, "BMF": -0.2}, {"ENCM": 0.1, "NeuMF": 0.1, "BMF": 0.1})
    answer = published.ask(replace(bundle, priors=priors), user_id=7)
    assert answer.model == "NeuMF"
    assert shown(answer)[: len(run_of(answer, "NeuMF").items)] == list(run_of(answer, "NeuMF").items)


def test_if_the_requested_model_fails_the_evidence_chooses_another(published: Published):
    bundle = published.load(BMF=Failing(ValueError("odd")))
    answer = published.ask(bundle, user_id=7, model="BMF")
    assert answer.model in {*MODELS, bundle.priors.best} - {"BMF"}
    assert run_of(answer, "BMF").error == "ValueError: odd"


def test_if_all_four_models_fail_popularity_answers(published: Published):
    bundle = published.load(**{name: Failing(ValueError("odd")) for name in MODELS})
    answer = published.ask(replace(bundle, priors=replace(bundle.priors, best="BMF")), user_id=7)
    assert (answer.model, answer.source) == ("popularity", "popularity")
    assert [run.model for run in answer.runs] == [*MODELS, "popularity"]
    assert [run.error for run in answer.runs] == ["ValueError: odd"] * 4 + [None]
    assert answer.items == published.ask(user_id=7, model="popularity").items
    assert len(answer.items) == 10


def test_the_last_resort_has_the_metrics_of_its_held_out_users(published: Published):
    user = next(user for user in range(1, 41) if published.ask(user_id=user).runs[0].basis == "heldout")
    bundle = published.load(**{name: Failing(ValueError("odd")) for name in MODELS})
    last = published.ask(replace(bundle, priors=replace(bundle.priors, best="BMF")), user_id=user).runs[4]
    assert (last.model, last.basis) == ("popularity", "heldout")
    assert last.metrics is not None


def test_a_damaged_scorer_in_a_thread_fails_the_request(published: Published, monkeypatch: pytest.MonkeyPatch):
    def damaged(arrays: object) -> Fixed:
        raise KeyError("item_factors")

    monkeypatch.setitem(REGISTRY, "NeuMF", replace(REGISTRY["NeuMF"], load=damaged))
    with pytest.raises(ModelRefused, match=r"should hold every array of NeuMF. Received: no 'item_factors'"):
        published.ask(user_id=7)


def test_a_scorer_of_another_catalogue_is_refused(published: Published, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(REGISTRY, "BMF", replace(REGISTRY["BMF"], load=lambda arrays: Fixed(FALLING[:5])))
    with pytest.raises(ModelRefused, match=f"BMF of .* should score {N_ITEMS} items. Received: 5"):
        published.ask(user_id=7)


# Runs


def test_the_answer_has_four_runs_in_the_order_of_the_registry(published: Published):
    answer = published.ask(user_id=7, model="NeuMF")
    assert [run.model for run in answer.runs] == ["ENCM", "LNCM", "NeuMF", "BMF"]
    assert list(run_of(answer, "NeuMF").items) == shown(answer)
    assert all(len(run.items) == 10 for run in answer.runs)


def test_a_baseline_that_wins_is_the_fifth_run(published: Published):
    bundle = published.load()
    bundle = replace(bundle, priors=replace(bundle.priors, best="item_cf"))
    answer = published.ask(bundle, interactions=[{"item_id": 101, "event": "view"}])
    assert (answer.model, answer.source) == ("item_cf", "item_cf")
    assert [run.model for run in answer.runs] == [*MODELS, "item_cf"]
    assert list(answer.runs[-1].items) == shown(answer)


def test_a_baseline_that_does_not_win_is_no_run(published: Published):
    bundle = published.load()
    answer = published.ask(replace(bundle, priors=replace(bundle.priors, best="item_cf")), user_id=7, model="BMF")
    assert answer.model == "BMF"
    assert [run.model for run in answer.runs] == list(MODELS)


def test_a_requested_baseline_has_metrics_too(shop: Published):
    answer = shop.ask(shop.load(popularity=Fixed(FALLING)), user_id=STRANGER, model="popularity")
    assert [run.model for run in answer.runs] == [*MODELS, "popularity"]
    assert answer.runs[-1].basis == "fresh"
    assert figures(answer, "popularity") == (0.2, pytest.approx((1 / 1 + 2 / 5) / 3))


# Evidence


def test_with_three_choices_since_training_the_metrics_are_fresh(shop: Published):
    answer = shop.ask(shop.load(BMF=Fixed(FALLING), NeuMF=Fixed(RISING)), user_id=STRANGER)
    assert {run.basis for run in answer.runs} == {"fresh"}
    # 101 … 110: 101 is first, 105 fifth, 131 not among them
    assert figures(answer, "BMF") == (0.2, pytest.approx((1 / 1 + 2 / 5) / 3))
    # 133, 132, 131 … 124, without the three that are not sold: 131 is third
    assert figures(answer, "NeuMF") == (0.1, pytest.approx((1 / 3) / 3))


def test_with_two_choices_since_training_the_metrics_are_not_fresh(shop: Published):
    shop.execute("DELETE FROM Interactions WHERE userId = 1000 AND productId = 131")
    assert {run.basis for run in shop.ask(user_id=STRANGER).runs} == {"offline"}


def test_choices_from_before_training_ended_are_no_fresh_evidence(shop: Published):
    shop.execute("DELETE FROM Interactions WHERE userId = 1000 AND productId = 131")
    shop.add([event(STRANGER, item, "cart", shop.load().data_until) for item in (102, 103, 104)])
    assert {run.basis for run in shop.ask(user_id=STRANGER).runs} == {"offline"}


def test_views_since_training_are_no_choices(shop: Published):
    shop.execute("UPDATE Interactions SET actionCode = 'view' WHERE userId = 1000 AND productId = 131")
    assert {run.basis for run in shop.ask(user_id=STRANGER).runs} == {"offline"}


def test_fresh_metrics_use_the_history_up_to_the_end_of_training_data(shop: Published):
    seen: list[NDArray[np.int32]] = []

    class Watching(Fixed):
        def score(
            self, query: Query, features: FeatureValues | None = None, items: NDArray[np.int32] | None = None
        ) -> NDArray[np.float32]:
            if items is None:
                seen.append(query.items + LEARNED[0])
            return super().score(query, features, items)

    shop.ask(shop.load(BMF=Watching(FALLING)), user_id=STRANGER, model="ENCM")
    assert [sorted(items.tolist()) for items in seen] == [[101, 105, 120, 131], [120]]


def test_purchases_before_the_end_of_training_are_neither_relevant_nor_ranked(shop: Published):
    until = shop.load().data_until
    shop.add([event(STRANGER, 102, "purchase", until - 60), event(STRANGER, 105, "purchase", until - 60)])
    shop.add([event(STRANGER, 106, "purchase", NOW - 60)])
    answer = shop.ask(shop.load(BMF=Fixed(FALLING)), user_id=STRANGER)
    # relevant are 101, 106, 131; the list is 101, 103, 104, 106 … because 102 and 105 are hidden
    assert figures(answer, "BMF") == (0.2, pytest.approx((1 / 1 + 2 / 4) / 3))


@pytest.mark.parametrize("misses", [[NOT_SOLD], [UNLEARNED], [NOT_SOLD, UNLEARNED], [UNLEARNED, UNLEARNED + 1]])
def test_items_that_cannot_be_recommended_are_misses_in_fresh_metrics(shop: Published, misses: Sequence[int]):
    shop.add([event(STRANGER, item, "purchase", NOW - 60) for item in (*misses, *misses)])
    answer = shop.ask(shop.load(BMF=Fixed(FALLING)), user_id=STRANGER)
    assert {run.basis for run in answer.runs} == {"fresh"}
    assert figures(answer, "BMF") == (0.2, pytest.approx((1 / 1 + 2 / 5) / (3 + len(misses))))


@pytest.mark.parametrize("miss", [NOT_SOLD, UNLEARNED])
def test_an_item_that_cannot_be_recommended_is_no_third_choice(shop: Published, miss: int):
    shop.execute(f"UPDATE Interactions SET productId = {miss} WHERE userId = 1000 AND productId = 131")
    assert {run.basis for run in shop.ask(user_id=STRANGER).runs} == {"offline"}


@pytest.mark.parametrize("item", [102, NOT_SOLD, UNLEARNED])
def test_a_repeated_purchase_is_no_miss_where_repeats_are_hidden(shop: Published, item: int):
    shop.add([event(STRANGER, item, "purchase", moment) for moment in (shop.load().data_until - 60, NOW - 60)])
    answer = shop.ask(shop.load(BMF=Fixed(FALLING)), user_id=STRANGER)
    place = 4 if item == 102 else 5
    assert figures(answer, "BMF") == (0.2, pytest.approx((1 / 1 + 2 / place) / 3))


def test_ground_truth_of_the_request_counts_as_fresh(shop: Published):
    shop.execute("DELETE FROM Interactions WHERE userId = 1000 AND productId <> 120")
    answer = shop.ask(shop.load(BMF=Fixed(FALLING)), user_id=STRANGER, ground_truth=[101, "105", 131])
    assert answer.warnings == ()
    assert {run.basis for run in answer.runs} == {"fresh"}
    assert figures(answer, "BMF") == (0.2, pytest.approx((1 / 1 + 2 / 5) / 3))


def test_old_or_unknown_ground_truth_is_dropped_with_a_warning(shop: Published):
    answer = shop.ask(user_id=7, ground_truth=[*sorted(bought(7))[:2], 4711, "7abc"])
    assert answer.warnings == (
        "ground_truth: 4 dropped, because training had seen them with this user or does not know them",
    )
    assert {run.basis for run in answer.runs} == {"heldout"}


def test_one_id_as_number_and_text_is_one_choice(shop: Published):
    answer = shop.ask(user_id=STRANGER, ground_truth=[103, "103", 103])
    assert answer.warnings == ()


def test_a_user_of_the_evaluation_set_has_metrics_of_held_out_events(published: Published):
    answer = published.ask(user_id=7)
    arrays = current(published.models_dir).arrays("heldout.h5")
    row = int(arrays["rows"][7])
    assert row >= 0
    for run in answer.runs:
        assert run.basis == "heldout"
        assert figures(answer, run.model) == (
            float(arrays[f"{run.model}/precision10"][row]),
            float(arrays[f"{run.model}/map10"][row]),
        )


def test_other_users_have_the_metrics_of_the_report(published: Published):
    report = json.loads((published.models_dir / "metrics.json").read_text(encoding="utf-8"))[-1]["rows"]["hide"]
    guest = published.ask(interactions=[{"item_id": 101, "event": "view"}])
    outside = next(user for user in range(60) if current(published.models_dir).arrays("heldout.h5")["rows"][user] < 0)
    for answer in (guest, published.ask(user_id=outside)):
        for run in answer.runs:
            assert run.basis == "offline"
            assert figures(answer, run.model) == (report[run.model]["precision10"], report[run.model]["map10"])


# Choice


def test_a_model_other_than_the_best_needs_confident_evidence(shop: Published):
    # Three choices; the best, ENCM, misses all of them. θ = (3·x̄ + 10·μ) / 13 with deviation τ / √13.
    priors = Priors("ENCM", dict.fromkeys(("LNCM", "NeuMF", "BMF"), -0.1), dict.fromkeys(("LNCM", "NeuMF", "BMF"), 0.2))
    scorers = {"ENCM": Fixed(ranking()), "LNCM": Fixed(ranking()), "BMF": Fixed(ranking())}

    def winner(*first: int) -> str:
        bundle = shop.load(**scorers, NeuMF=Fixed(ranking(*first)))
        return shop.ask(replace(bundle, priors=priors), user_id=STRANGER).model

    # x̄ = (1 + 1 + 1) / 3 = 1: θ = 2 / 13 = 0.154, deviation 0.055, P(θ > 0) = 0.997
    assert winner(101, 105, 131) == "NeuMF"
    # x̄ = (1/1 + 2/3) / 3 = 0.556: θ = 0.0513, P(θ > 0) = 0.823
    assert winner(101, 102, 105) == "ENCM"


def ranking(*first: int) -> NDArray[np.float32]:
    """Return scores that rank the given items first, and 101, 105 and 131 last unless they are among them."""
    scores = FALLING.copy()
    scores[[item - LEARNED[0] for item in (101, 105, 131)]] = -1
    scores[[item - LEARNED[0] for item in first]] = 100 - np.arange(len(first))
    return scores


def test_without_evidence_for_the_user_the_best_model_answers(published: Published):
    bundle = published.load()
    for best in REGISTRY:
        priors = replace(bundle.priors, best=best)
        assert (
            published.ask(replace(bundle, priors=priors), interactions=[{"item_id": 101, "event": "view"}]).model
            == best
        )


# Reasons


@pytest.mark.parametrize("model", ["ENCM", "LNCM", "NeuMF", "BMF", "item_cf"])
def test_without_the_item_of_an_explanation_the_score_is_lower(published: Published, tmp_path: Path, model: str):
    fields = {"user_id": 7, "model": model, "limit": 8, "context": {"category": "coffee"}}
    reasons = [(item.product_id, item.score, item.reason) for item in published.ask(**fields).items]
    named = [(item, score, reason.item_id) for item, score, reason in reasons if reason]
    assert named
    assert all(item != cause for item, _, cause in named)
    for number, cause in enumerate({cause for _, _, cause in named}):
        shop = published.copy(tmp_path / str(number))
        shop.execute(f"DELETE FROM Interactions WHERE userId = 7 AND productId = {cause}")
        shop.execute(f"DELETE FROM Comments WHERE userId = 7 AND productId = {cause}")
        without = {item.product_id: item.score for item in shop.ask(**{**fields, "limit": 100}).items}
        for item, score, because in named:
            assert because != cause or without[item] < score


@pytest.mark.parametrize("model", ["popularity", "popularity_recent"])
def test_what_is_popular_says_so_with_its_category_if_asked_for(published: Published, model: str):
    assert {item.reason for item in published.ask(user_id=7, model=model).items} == {Reason("popular")}
    filtered = published.ask(user_id=7, model=model, filters={"category": " TEA"}, limit=5)
    assert {item.reason for item in filtered.items} == {Reason("popular", category="tea")}


def test_what_nobody_chose_is_not_popular(published: Published):
    scores = ranking(102, 103)
    scores[scores < 99] = 0
    bundle = published.load(popularity_recent=Fixed(scores))
    reasons = [item.reason for item in published.ask(bundle, limit=4).items]
    assert reasons == [Reason("popular"), Reason("popular"), None, None]


@pytest.mark.parametrize("model", ["user_frequency", "user_frequency_decayed"])
def test_what_the_user_takes_often_is_not_called_popular(published: Published, tmp_path: Path, model: str):
    shop = published.copy(tmp_path)
    shop.add([event(STRANGER, 102, "view", NOW - age) for age in range(60, 66)])
    first, *others = shop.ask(user_id=STRANGER, model=model).items
    assert (first.product_id, first.reason) == (102, None)
    assert {item.reason for item in others} == {Reason("popular")}


@pytest.mark.parametrize("model", REGISTRY)
def test_scores_fall_along_the_list_between_0_and_1(published: Published, model: str):
    scores = [item.score for item in published.ask(user_id=7, model=model, limit=20).items]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == 20  # no two are squashed into one
    assert all(0 < score < 1 for score in scores)


def test_features_are_computed_once_for_each_query(shop: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each similarity table is accumulated once for now, and once for the end of training's data."""
    accumulate, seen = Neighbours.accumulate, []

    def counted(self: Neighbours, items: NDArray[np.int32], strengths: NDArray[np.float32]) -> NDArray[np.float32]:
        seen.append(len(items))
        return accumulate(self, items, strengths)

    monkeypatch.setattr(Neighbours, "accumulate", counted)
    bundle = shop.load()
    answer = shop.ask(bundle, user_id=STRANGER, model="BMF")

    assert answer.runs[0].basis == "fresh"
    assert len(seen) == 2 * len(bundle.scorers.features.item_item_sums())
