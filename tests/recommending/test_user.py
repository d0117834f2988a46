"""The user of a request: known users, unseen users and guests; their events and context."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys.contract import Request, parse_request
from recsys.errors import DeadlineExceeded, InvalidRequest, ModelMismatch, UnknownUser
from recsys.features.features import N_FEATURES
from recsys.recommending import loading
from recsys.recommending import user as user
from recsys.recommending.recommend import recommend
from recsys.scorers.layers import LinearEnsemble
from recsys.scorers.registry import MODELS
from recsys.store import connect
from tests.helpers.tiny_shop import INACTIVE, ITEMS, LEARNED, NOW, RARE, USERS, Published, bought, event, shown

STRANGER = 1000
TEA = {item for item in ITEMS if (item - 101) % 3 == 0}


def test_a_user_seen_in_training_is_answered_by_a_model(published: Published):
    answer = published.ask(user_id=7, model="BMF")
    assert (answer.user_id, answer.model, answer.source) == (7, "BMF", "model")
    assert answer.model_version == published.version


def test_user_zero_is_a_user_like_any_other(published: Published):
    answer = published.ask(user_id=0, model="BMF")
    assert (answer.user_id, answer.source) == (0, "model")
    assert answer.runs[0].basis == "heldout"


def test_a_user_without_events_any_more_is_still_known(published: Published, tmp_path: Path):
    shop = published.copy(tmp_path)
    shop.execute("DELETE FROM Interactions WHERE userId = 7")
    answer = shop.ask(user_id=7, model="BMF")
    assert answer.source == "model"
    assert len(answer.items) == 10


def test_an_unseen_user_is_folded_in_by_stored_events(published: Published, tmp_path: Path):
    shop = published.copy(tmp_path)
    shop.add([event(STRANGER, item, "purchase", NOW - 60) for item in (101, 104, 107)])
    answer = shop.ask(user_id=STRANGER, model="BMF")
    assert (answer.user_id, answer.source) == (STRANGER, "fold_in")
    assert not set(shown(answer)) & {101, 104, 107}
    assert set(shown(shop.ask(user_id=STRANGER, model="item_cf", limit=5))) < TEA  # who bought tea is shown tea


def test_a_guest_is_answered_by_the_events_of_the_request(published: Published):
    answer = published.ask(
        interactions=[{"item_id": 101, "event": "view"}, {"item_id": "104", "event": "cart"}], model="BMF"
    )
    assert (answer.user_id, answer.source) == (None, "fold_in")
    assert len(answer.items) == 10


def test_a_baseline_keeps_its_source_for_guests(published: Published):
    told = [{"item_id": 101, "event": "view"}]
    assert published.ask(interactions=told, model="item_cf").source == "item_cf"
    assert published.ask(interactions=told, model="popularity_recent").source == "popularity"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"interactions": []},
        {"user_id": STRANGER},
        {"user_id": "nobody"},
        {"interactions": [{"item_id": 4711, "event": "view"}]},
        {"interactions": [{"item_id": "7abc", "event": "view"}]},
        {"interactions": [{"item_id": RARE, "event": "view"}]},  # training left it out
        {"user_id": STRANGER, "interactions": [{"item_id": 101, "event": "view", "timestamp": 0}]},  # cleaned away
    ],
)
def test_a_user_without_known_events_gets_what_is_popular_or_is_unknown(published: Published, fields: dict[str, Any]):
    answer = published.ask(**fields)
    assert (answer.user_id, answer.model, answer.source) == (fields.get("user_id"), "popularity_recent", "popularity")
    view = [{"item_id": 101, "event": "view"}]
    assert answer.items == published.ask(interactions=view, model="popularity_recent").items
    assert answer.warnings == ("user_id: nothing is known of this user yet, so the list is what is popular now",)
    with pytest.raises(UnknownUser, match="should be a user of the training or have events on its items"):
        published.ask(**fields, strict=True)


@pytest.mark.parametrize(
    ("fields", "received"),
    [({"user_id": "nobody"}, "'nobody'"), ({"interactions": [{"item_id": 4711, "event": "view"}]}, "nothing")],
)
def test_the_message_names_the_unknown_user(published: Published, fields: dict[str, Any], received: str):
    with pytest.raises(UnknownUser, match=rf"Received: {received}\.$"):
        published.ask(**fields, strict=True)


@pytest.mark.parametrize("model", ["ENCM", "LNCM", "NeuMF", "BMF", "item_cf"])
def test_a_purchase_in_the_database_changes_the_next_answer(published: Published, tmp_path: Path, model: str):
    shop = published.copy(tmp_path)
    before = shop.ask(user_id=7, model=model, limit=20)
    taken = shown(before)[2]
    shop.add([event(7, taken, "purchase", NOW - 60)])
    after = shop.ask(user_id=7, model=model, limit=20)
    assert taken not in shown(after)
    others = {item.product_id: item.score for item in before.items if item.product_id != taken}
    changed = [item for item in after.items if item.score != others.get(item.product_id, item.score)]
    assert changed  # not only one item less: the taste itself has moved


def test_a_purchase_of_the_request_counts_like_a_stored_one(published: Published, tmp_path: Path):
    shop = published.copy(tmp_path)
    told = published.ask(user_id=7, interactions=[{"item_id": 105, "event": "cart", "timestamp": NOW - 60}])
    shop.add([event(7, 105, "cart", NOW - 60)])
    stored = shop.ask(user_id=7)
    assert told.items == stored.items
    assert told.items != published.ask(user_id=7).items


def test_in_one_second_events_of_the_request_are_newer_than_stored_ones(published: Published, tmp_path: Path):
    shop = published.copy(tmp_path)
    shop.add([event(7, 102, "view", NOW)])  # coffee
    answer = shop.ask(user_id=7, interactions=[{"item_id": 101, "event": "view", "timestamp": NOW}])
    assert answer.context["category"] == "tea"


def test_an_event_sent_twice_counts_once(published: Published, tmp_path: Path):
    shop = published.copy(tmp_path)
    shop.add([event(7, 105, "cart", NOW - 60)])
    again = shop.ask(user_id=7, interactions=[{"item_id": 105, "event": "cart", "timestamp": NOW - 60}])
    assert again.items == shop.ask(user_id=7).items


def test_a_cancellation_with_a_weight_is_named_once(published: Published):
    request = parse_request(b'{"interactions": [{"item_id": 101, "event": "teleport"}]}', models=())
    shop = published.settings.shop
    with pytest.raises(InvalidRequest, match="should be one of cancel, cart, purchase, star1"):
        user._request_events(request, {}, replace(shop, event_weights={**shop.event_weights, "cancel": -0.5}), NOW)  # type: ignore[arg-type]


def test_an_unknown_event_is_refused_with_its_field(published: Published):
    told = [{"item_id": 101, "event": "view"}, {"item_id": 101, "event": "teleport"}]
    with pytest.raises(
        InvalidRequest, match="should be one of cancel, cart, purchase, .* Received: 'teleport'"
    ) as caught:
        published.ask(user_id=7, interactions=told)
    assert caught.value.field == "interactions[1].event"


def test_the_clock_and_the_newest_event_give_the_context(published: Published):
    # NOW is midnight in September 2024; customer 7 likes coffee and her last event was on it
    answer = published.ask(user_id=7)
    assert answer.context == {"time_of_day": "night", "season": "autumn", "device_type": None, "category": "coffee"}


def test_the_clock_is_in_the_time_zone_of_the_users(published: Published, monkeypatch: pytest.MonkeyPatch):
    real = loading._rules  # seven hours ahead of UTC
    monkeypatch.setattr(loading, "_rules", lambda trained: {**real(trained), "time_zone": "Asia/Ho_Chi_Minh"})
    assert published.ask(user_id=7).context["time_of_day"] == "morning"


def test_context_of_the_request_wins_in_the_spelling_of_the_version(published: Published):
    answer = published.ask(
        user_id=7, context={"season": " Winter", "device_type": "MOBILE", "category": None, "time_of_day": "teatime"}
    )
    assert answer.context == {"time_of_day": None, "season": "winter", "device_type": "mobile", "category": None}
    assert answer.warnings == ()


def test_unknown_context_features_give_a_warning(published: Published):
    answer = published.ask(user_id=7, context={"weather": "rain"})
    assert answer.warnings == ("context: weather is no feature of this version",)
    assert "weather" not in answer.context


def test_context_changes_the_scores_of_the_context_aware_model_only(published: Published):
    """In so small a shop no network adds to the features, so that each is given a weight here."""
    stored = published.load().scorers
    weighted = {}
    for name in MODELS:
        ensemble = stored[name]
        assert isinstance(ensemble, LinearEnsemble)
        weighted[name] = replace(ensemble, weights=ensemble.weights + np.eye(N_FEATURES + 1, dtype=np.float32)[-1])
    bundle = published.load(**weighted)

    def scores(model: str, device: str) -> list[float]:
        answer = published.ask(bundle, user_id=7, model=model, context={"device_type": device})
        return [item.score for item in answer.items]

    assert scores("ENCM", "mobile") != scores("ENCM", "desktop")
    for model in ("LNCM", "NeuMF", "BMF"):
        assert scores(model, "mobile") == scores(model, "desktop")


def test_ids_as_numbers_or_text_are_equal_and_return_as_numbers(published: Published):
    answer = published.ask(user_id="7", exclude=["101"])
    assert answer.user_id == 7
    assert answer.items == published.ask(user_id=7, exclude=[101]).items
    assert all(isinstance(item, int) for item in shown(answer))


@pytest.mark.parametrize("given", ["7abc", "07", "7.0", " 7", "+7", "7 OR 1=1", "９", "9223372036854775808"])
def test_an_impossible_user_id_is_unknown_and_never_reaches_sql(published: Published, given: str):
    sent: list[str] = []
    answer = published.ask(
        user_id=given, tracer=lambda sql, values: sent.append(f"{sql} {values}".replace(published.version, ""))
    )
    assert (answer.user_id, answer.source) == (given, "popularity")
    assert sent
    assert not any(repr(given) in statement for statement in sent)


def test_impossible_item_ids_never_reach_sql(published: Published):
    sent: list[str] = []
    lists = {name: ["7abc", 102] for name in ("candidates", "exclude", "ground_truth")}
    told = [{"item_id": "7abc", "event": "view"}, {"item_id": 103, "event": "view"}]
    published.ask(user_id=7, interactions=told, **lists, tracer=lambda sql, values: sent.append(f"{sql} {values}"))
    assert sent
    assert not any("7abc" in statement for statement in sent)


def test_a_database_without_the_versions_encoders_is_a_mismatch(published: Published, tmp_path: Path):
    shop = published.copy(tmp_path)
    shop.execute("UPDATE rec_versions SET complete = 0")
    with pytest.raises(ModelMismatch, match="scripts/migrate_encoders.py"):
        shop.ask(user_id=7)


def test_an_answer_after_its_deadline_is_a_failure(published: Published):
    with connect(published.url) as db, pytest.raises(DeadlineExceeded) as caught:
        recommend(
            Request(user_id=7, budget_ms=50),
            published.load(),
            db,
            shop=published.settings.shop,
            now=NOW,
            deadline=10.0,
            monotonic=lambda: 10.1,
        )
    assert caught.value.field == "budget_ms"


def test_the_tiny_shop_has_the_properties_that_these_tests_need(published: Published):
    assert len(USERS) == 60
    assert all(bought(user) for user in (0, 7, 14, 25))
    assert INACTIVE.isdisjoint({101, 104, 107})
    assert published.load().version.manifest["counts"]["items"] == len(LEARNED)
