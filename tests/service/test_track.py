"""Tracking over HTTP: stored once, before the answer; and what it changes: lists, preferences, rankings, analytics."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from recsys.errors import DatabaseUnavailable
from recsys.service import answers as answers_module
from recsys.service import events as events_module
from recsys.service.cache import Key
from recsys.service.lists import ListSpec, field_of
from recsys.store import connect
from recsys.tracking.analytics import outcomes
from recsys.tracking.lists import read_list
from recsys.tracking.record import EVENTS
from tests.helpers.http_service import HttpService, error_of, shop_of
from tests.helpers.tiny_shop import NEW, Published

GUEST = "guest_" + "0f" * 16
VIEW = {"user_id": 7, "product_id": 101, "interaction_type": "view"}


@pytest.fixture
def shop(published: Published, tmp_path: Path) -> Published:
    return shop_of(published, tmp_path)


@pytest.fixture
def service(shop: Published) -> Iterator[HttpService]:
    with HttpService(shop) as service:
        yield service


def stored(shop: Published) -> list[tuple[Any, ...]]:
    with connect(shop.url) as db:
        return db.query("SELECT user_id, product_id, interaction_type, event_id FROM rec_user_interactions")


def track(service: HttpService, **event: Any) -> str:
    answer = service.ask("POST", "/track", json={**VIEW, **event})
    assert answer.status_code == 200, answer.text
    assert answer.json()["success"] is True
    return str(answer.json()["interaction_id"])


@pytest.mark.parametrize("event", EVENTS)
def test_every_type_of_event_is_stored(shop: Published, service: HttpService, event: str) -> None:
    interaction = track(service, interaction_type=event, event_id="e-1", session_id="s-1", metadata={"page": [1, None]})

    assert interaction.startswith("int_")
    assert stored(shop) == [("7", "101", event, "e-1")]


def test_an_event_id_is_stored_once_for_each_user(shop: Published, service: HttpService) -> None:
    requests = [("POST", "/track", {"json": {**VIEW, "user_id": user, "event_id": "e-1"}}) for user in (7, "7", 8, 7)]

    ids = [answer.json()["interaction_id"] for answer in service.ask_all(requests)]

    assert ids[0] == ids[1] == ids[3] != ids[2]
    assert sorted(stored(shop)) == [("7", "101", "view", "e-1"), ("8", "101", "view", "e-1")]


def test_without_an_event_id_every_event_is_stored(shop: Published, service: HttpService) -> None:
    assert track(service) != track(service)
    assert len(stored(shop)) == 2


def test_a_lost_connection_stores_the_event_once(shop: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    real, tries = events_module.record, []

    def lost_after_the_commit(*args: Any, **options: Any) -> Any:
        recorded = real(*args, **options)
        tries.append(recorded)
        if len(tries) == 1:
            raise DatabaseUnavailable("The connection broke off.")
        return recorded

    with HttpService(shop, SERVICE_THREADS="1") as service:  # of several threads, each has a connection of its own
        track(service, event_id="warm")
        monkeypatch.setattr(events_module, "record", lost_after_the_commit)
        track(service)

    assert [recorded.is_new for recorded in tries] == [True, False]
    assert len(stored(shop)) == 2


def test_a_database_that_is_away_is_503_and_nothing_is_said_to_be_stored(
    shop: Published, service: HttpService, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise DatabaseUnavailable("away")

    monkeypatch.setattr(events_module, "record", away)

    assert error_of(service.ask("POST", "/track", json=VIEW)) == (503, "database_unavailable")
    assert stored(shop) == []


@pytest.mark.parametrize("event", ["add_to_cart", "purchase", "wishlist", "remove_from_wishlist"])
def test_the_users_own_choice_deletes_their_lists_and_nobody_elses(service: HttpService, event: str) -> None:
    for user in ("7", "8"):
        service.ids(user_id=user)

    track(service, interaction_type=event)

    answers = [service.ask("GET", "/recommendations", params={"user_id": user}).json() for user in ("7", "8")]
    assert [answer["cached"] for answer in answers] == [False, True]


@pytest.mark.parametrize("event", ["view", "impression", "click", "search"])
def test_looking_keeps_them(service: HttpService, event: str) -> None:
    service.ids(user_id="7")
    track(service, interaction_type=event)

    assert service.ask("GET", "/recommendations", params={"user_id": "7"}).json()["cached"] is True


def test_what_was_just_bought_is_not_recommended_any_more(service: HttpService) -> None:
    first = service.ids(user_id="7")[0]

    track(service, interaction_type="purchase", product_id=first)

    assert first not in service.ids(user_id="7", limit="100")


def test_a_new_customers_events_shape_their_list_at_once(service: HttpService) -> None:
    before = service.ids(user_id="4711")
    for item in (101, 104, 107):
        track(service, user_id=4711, product_id=item, interaction_type="add_to_cart")

    assert service.ids(user_id="4711") != before


@pytest.mark.parametrize("place", ["write_list", "make_list"])
def test_a_list_that_was_being_made_during_an_event_is_not_kept(
    shop: Published, service: HttpService, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    answers, real = service.parts.answers, getattr(answers_module, place)

    def late(*args: Any) -> Any:
        made = real(*args) if place == "make_list" else None
        with connect(shop.url) as db:
            answers.forget(db, 7)
        return made if place == "make_list" else real(*args)

    with monkeypatch.context() as patched:
        patched.setattr(answers_module, place, late)
        service.ids(user_id="7")

    version = service.parts.service.bundle.name
    key = Key("7", field_of(version, ListSpec(7, "homepage", "auto", None)))
    with connect(shop.url) as db:
        assert read_list(db, "7", key.field, 0) is None
    if place == "make_list":
        assert service.parts.cache.read([key]) == [None]


def test_the_table_has_the_list_where_the_cache_has_lost_it(shop: Published, service: HttpService) -> None:
    before = service.ids(user_id="7")
    service.parts.cache.forget("7")
    shop.execute("DELETE FROM Interactions WHERE userId = 7")  # a new list would be another one

    answer = service.ask("GET", "/recommendations", params={"user_id": "7"}).json()

    assert answer["cached"] is False
    assert [product["id"] for product in answer["recommendations"]] == before


def test_preferences_follow_and_are_read(service: HttpService) -> None:
    nobody = service.ask("GET", "/user/4712/preferences").json()
    for item, event in ((101, "view"), (104, "purchase"), (102, "view")):
        track(service, user_id=4712, product_id=item, interaction_type=event)

    found = service.ask("GET", "/user/4712/preferences").json()
    assert (nobody["categories"], nobody["price_min"]) == ({}, None)
    assert list(found["categories"]) == ["tea", "coffee"]
    assert found["categories"]["tea"] == 1.0
    assert (found["price_min"], found["price_max"]) == (5.0, 8.0)
    assert found["user_id"] == 4712


def test_what_came_of_recommendations_is_counted_by_algorithm(shop: Published, service: HttpService) -> None:
    answer = service.ask("GET", "/recommendations", params={"user_id": "7", "model": "ease"}).json()
    shown = {"product_id": answer["recommendations"][0]["id"], "recommendation_id": answer["recommendation_id"]}
    for event in ("impression", "impression", "click"):
        track(service, interaction_type=event, position=1, **shown)

    with connect(shop.url) as db:
        assert [tuple(outcome) for outcome in outcomes(db)] == [("ease", 1, 2, 1, 0, 0)]


def test_a_handle_that_names_no_product_is_404_and_stores_nothing(shop: Published, service: HttpService) -> None:
    event = {"user_id": 7, "product_handle": "no-such", "interaction_type": "view"}

    assert error_of(service.ask("POST", "/track", json=event)) == (404, "not_found")
    assert stored(shop) == []


@pytest.mark.parametrize("item", [*NEW, 999_999])
def test_a_product_that_the_version_does_not_know_is_stored(shop: Published, service: HttpService, item: int) -> None:
    track(service, product_id=item, event_id="e")

    assert stored(shop) == [("7", str(item), "view", "e")]


def test_two_hundred_events_at_once_are_all_stored_once(shop: Published, service: HttpService) -> None:
    events = [{**VIEW, "user_id": number % 10, "event_id": f"e-{number % 150}"} for number in range(180)]

    answers = service.ask_all([("POST", "/track", {"json": event}) for event in events])

    assert {answer.status_code for answer in answers} == {200}
    assert len(stored(shop)) == len({(event["user_id"], event["event_id"]) for event in events}) == 150


def join(service: HttpService, **sent: Any) -> Any:
    return service.ask("POST", "/track/join", json={"guest_id": GUEST, "user_id": 4712, **sent})


def test_what_a_guest_did_becomes_the_customers(shop: Published, service: HttpService) -> None:
    for event in ({"product_id": 101}, {"product_id": 104, "interaction_type": "click", "recommendation_id": "rec_1"}):
        track(service, user_id=GUEST, **event)
    service.ask("GET", f"/recommendations?user_id={GUEST}&limit=3")

    answers = [join(service).json() for _ in range(2)]

    assert answers == [{"success": True, "events": n_events} for n_events in (2, 0)]
    assert [(user, event) for user, _, event, _ in stored(shop)] == [("4712", "view"), ("4712", "click")]
    assert list(service.ask("GET", "/user/4712/preferences").json()["categories"]) == ["tea"]


@pytest.mark.parametrize(
    ("sent", "field"),
    [({"guest_id": "8"}, "guest_id"), ({"guest_id": None}, "guest_id"), ({"user_id": GUEST}, "user_id")],
)
def test_nobody_but_a_guest_joins_a_customer(service: HttpService, sent: dict[str, Any], field: str) -> None:
    track(service, user_id=8)
    answer = join(service, **sent)
    assert (error_of(answer), answer.json()["error"]["field"]) == ((400, "invalid_request"), field)
