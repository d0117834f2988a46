"""Arms over HTTP: who gets which list, what is written of it, and the administrators' figures."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from recsys.errors import DatabaseUnavailable, SettingsError
from recsys.service import arms as arms_module
from recsys.service import parts as parts_module
from recsys.service.arms import served
from recsys.service.lists import ListSpec, field_of
from recsys.settings import Arm, Experiment, Privacy
from recsys.store import connect
from recsys.store.tracking_experiments import read_arms
from recsys.tracking.experiments import arm_of, assignments
from tests.helpers.http_service import ADMIN, KEY, HttpService, shop_of
from tests.helpers.tiny_shop import INACTIVE, Published, bought

EXPERIMENT = Experiment("lists", (Arm("none", 0.4, model="none"), Arm("short", 0.4, model="popularity", limit=3)))


def one_of(name: str | None) -> int:
    """Return a customer of an arm, or one outside of both."""
    arms = ((user, arm_of(EXPERIMENT, user)) for user in range(1_000))
    return next(user for user, arm in arms if (arm and arm.name) == name)


NOBODYS, WITHOUT, SHORT = one_of(None), one_of("none"), one_of("short")


@pytest.fixture
def shop(published: Published, tmp_path: Path) -> Published:
    return shop_of(published, tmp_path)


class WithExperiment(HttpService):
    """A service with an experiment."""

    def __init__(self, shop: Published, monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
        settings = replace(shop.settings, experiment=EXPERIMENT, privacy=Privacy(keep_days=30))
        monkeypatch.setattr(Published, "settings", settings)
        super().__init__(shop, **variables)


@pytest.fixture
def service(shop: Published, monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpService]:
    with WithExperiment(shop, monkeypatch, SERVICE_KEY=KEY, SERVICE_ADMIN_KEY=ADMIN) as service:
        yield service


def ask(service: HttpService, **spec: Any) -> dict[str, Any]:
    answer = service.ask("POST", "/recommendations", key=KEY, json={"limit": 6, **spec})
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


def test_each_customer_is_served_by_their_arm(service: HttpService) -> None:
    outside, without, short, guest = (
        ask(service, **spec) for spec in ({"user_id": NOBODYS}, {"user_id": WITHOUT}, {"user_id": SHORT}, {})
    )

    assert [answer["arm"] for answer in (outside, without, short, guest)] == [None, "none", "short", None]
    assert [len(answer["recommendations"]) for answer in (outside, without, short, guest)] == [6, 0, 3, 6]
    assert (without["algorithm"], short["algorithm"]) == ("none", "popularity")
    assert len({answer["recommendation_id"] for answer in (outside, without, short, guest)}) == 4


def test_a_guest_with_an_id_has_no_arm(service: HttpService) -> None:
    guests = [f"guest_{number:032x}" for number in range(20)]
    assert {service.parts.arms.of(guest) for guest in guests} == {None}
    assert ask(service, user_id=guests[0])["arm"] is None


@pytest.mark.parametrize("context", ["product_page", "cart", "trending"])
def test_an_arm_without_lists_has_none_on_any_page(service: HttpService, context: str) -> None:
    assert ask(service, user_id=WITHOUT, context=context, product_id=101)["recommendations"] == []
    assert len(ask(service, user_id=SHORT, context=context, product_id=101)["recommendations"]) == 3


def test_the_arm_decides_whatever_the_page_asks_for(service: HttpService) -> None:
    assert ask(service, user_id=SHORT, model="ENCM")["algorithm"] == "popularity"
    assert ask(service, user_id=NOBODYS, model="ENCM")["algorithm"] == "ENCM"
    assert ask(service, user_id=WITHOUT, model="ENCM")["algorithm"] == "none"


@pytest.mark.parametrize(
    ("spec", "model"),
    [
        (ListSpec(7, "homepage", "auto", None), "popularity"),
        (ListSpec(7, "cart", "ENCM", None), "popularity"),
        (ListSpec(7, "cart", "auto", 101), "auto"),
        (ListSpec(7, "product_page", "auto", 101), "auto"),
        (ListSpec(None, "trending", "auto", None), "auto"),
        (ListSpec(7, "similar", "auto", 101), "auto"),
        (ListSpec(7, "again", "auto", None), "auto"),
    ],
)
def test_the_model_of_an_arm_ranks_the_customers_own_lists(spec: ListSpec, model: str) -> None:
    assert served(spec, 2, EXPERIMENT.arms[1]) == (spec._replace(model=model), 2)
    assert served(spec, 9, EXPERIMENT.arms[1])[1] == 3
    assert served(spec, 9, None) == (spec, 9)


@pytest.mark.parametrize(
    ("spec", "repeat", "complementary"),
    [
        (ListSpec(7, "homepage", "auto", None), "allow", False),
        (ListSpec(7, "product_page", "auto", 101), "allow", False),
        (ListSpec(7, "cart", "auto", 101), "allow", True),
        (ListSpec(7, "checkout", "auto", None), "allow", False),  # no basket is known
        (ListSpec(7, "again", "auto", None), "allow", False),
        (ListSpec(None, "trending", "auto", None), None, False),  # the same list for both arms
    ],
)
def test_the_settings_of_an_arm_are_those_of_its_requests(
    spec: ListSpec, repeat: str | None, complementary: bool
) -> None:
    arm = Arm("other", 0.4, repeat="allow", complementary=True)

    asked, limit = served(spec, 5, arm)

    assert (asked, limit) == (spec._replace(repeat=repeat, complementary=complementary), 5)
    kept = {field_of("v", one) for one in (spec, asked)}
    assert len(kept) == 1 if repeat is None else 2  # a list of one arm is never answered to the other


def test_an_arm_may_show_what_was_bought(shop: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    arms = (Arm("none", 0.4, repeat="hide"), Arm("short", 0.4, repeat="allow"))
    monkeypatch.setattr(sys.modules[__name__], "EXPERIMENT", replace(EXPERIMENT, arms=arms))
    with WithExperiment(shop, monkeypatch, SERVICE_KEY=KEY, SERVICE_ADMIN_KEY=ADMIN) as service:
        shown = {
            user: {product["id"] for product in ask(service, user_id=user, limit=100)["recommendations"]}
            for user in (WITHOUT, SHORT)
        }

    assert not shown[WITHOUT] & bought(WITHOUT)
    assert shown[SHORT] >= bought(SHORT) - INACTIVE


def test_who_has_entered_is_written_once(shop: Published, service: HttpService) -> None:
    for user in (NOBODYS, WITHOUT, SHORT, SHORT):
        ask(service, user_id=user)
    with connect(shop.settings.database_url) as db:
        found, n_others = assignments(EXPERIMENT, read_arms(db))

    assert {(one.user, one.arm) for one in found} == {(str(WITHOUT), "none"), (str(SHORT), "short")}
    assert n_others == 0


def test_an_arm_that_cannot_be_written_is_written_by_the_next_answer(
    shop: Published, service: HttpService, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise DatabaseUnavailable("The database is away.")

    with monkeypatch.context() as patch:
        patch.setattr(arms_module, "keep_arm", fail)
        assert ask(service, user_id=SHORT)["arm"] == "short"
    ask(service, user_id=SHORT)

    with connect(shop.settings.database_url) as db:
        assert [user for user, _ in read_arms(db)] == [str(SHORT)]


def test_administrators_see_what_lists_have_sold_and_both_arms(service: HttpService) -> None:
    answer = ask(service, user_id=SHORT)
    product, named = answer["recommendations"][0], {"recommendation_id": answer["recommendation_id"], "position": 1}
    for kind, more in (("impression", named), ("click", named), ("purchase", {})):
        sent = {"user_id": SHORT, "product_id": product["id"], "interaction_type": kind, **more}
        assert service.ask("POST", "/track", key=KEY, json=sent).status_code == 200

    assert service.ask("GET", "/analytics", key=KEY).status_code == 403
    found = service.ask("GET", "/analytics", key=ADMIN).json()

    assert [(row["algorithm"], row["clicks"]) for row in found["outcomes"]] == [("popularity", 1)]
    sales = found["sales"]
    assert sales["credited"]["click"] == {"purchases": 1, "revenue": product["price"]}
    assert sum(part["purchases"] for part in sales["credited"].values()) == sales["total"]["purchases"]
    assert sales["comparison"]["verdict"] == "too few customers"
    assert [arm["name"] for arm in sales["comparison"]["arms"]] == ["none", "short"]
    assert sales["comparison"]["left_out"] == {"not observed for seven days yet": 1}


def test_a_report_that_would_take_too_much_of_the_service_is_left_to_the_command(
    service: HttpService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts_module, "MOST_LIST_EVENTS", 2)
    named = {"recommendation_id": ask(service, user_id=SHORT)["recommendation_id"], "position": 1}
    for n_events, has_report in ((1, True), (2, False)):
        sent = {"user_id": SHORT, "product_id": 100 + n_events, "interaction_type": "impression", **named}
        service.ask("POST", "/track", key=KEY, json=sent)
        found = service.ask("GET", "/analytics", key=ADMIN).json()
        assert (found["sales"] is not None, len(found["outcomes"])) == (has_report, 1)


def test_old_events_are_swept_while_the_service_keeps_house(shop: Published, service: HttpService) -> None:
    with connect(shop.settings.database_url) as db:
        row = {"interaction_id": "old", "user_id": "7", "interaction_type": "view", "occurred_at": 86_400}
        db.insert("rec_user_interactions", [row])
        service.parts.events._sweep()

        assert db.query("SELECT COUNT(*) FROM rec_user_interactions") == [(0,)]


def test_an_unknown_model_is_refused_at_the_start(shop: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = replace(EXPERIMENT, arms=(EXPERIMENT.arms[0], Arm("new", 0.5, model="gpt")))
    monkeypatch.setattr(Published, "settings", replace(shop.settings, experiment=wrong))
    with pytest.raises(SettingsError, match="should be one of"):
        HttpService(shop)
