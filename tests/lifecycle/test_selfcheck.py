"""A version answers before it serves: every wrong answer is found, and nothing of the version is left."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys.artifacts import Draft, Version, current_name, history
from recsys.errors import DatabaseUnavailable, TrainingRefused
from recsys.lifecycle.selfcheck import KNOWN_USERS, Learned, check_answers
from recsys.settings import Settings, Shop
from recsys.settings.database_url import DatabaseUrl
from recsys.store import connect, list_versions, migrate, purge
from recsys.store.shop_mapping import source_sql
from recsys.training import publishing
from recsys.training.train import train
from tests.helpers.dying_disk import version_names
from tests.helpers.second_version import rewrite, second_version
from tests.helpers.tiny_shop import ITEMS, NOW, Published, Quiet, Trained
from tests.helpers.unfitted import train_quickly


@pytest.fixture
def shop(published: Published, tmp_path: Path) -> Published:
    return published.copy(tmp_path)


@pytest.fixture
def learned(trained: Trained) -> Learned:
    return Learned(trained.final.encoders, trained.final.data, frozenset(ITEMS), NOW)


def without_history(settings: Settings) -> Shop:
    """Return a mapping whose texts for one user find nothing."""
    sources = [source_sql(source) for source in settings.shop.sources]
    texts = [replace(source, one_user=f"SELECT * FROM ({source.one_user}) t WHERE 1 = 0") for source in sources]
    return replace(settings.shop, sources=tuple(texts))


def test_a_version_that_answers_as_it_should_passes(shop: Published, learned: Learned) -> None:
    check_answers(shop.settings, shop.version, learned)


def test_events_and_products_that_came_since_are_no_fault(shop: Published, learned: Learned) -> None:
    shop.execute("INSERT INTO Products (id, name, statusId) VALUES (990, 'New', 'S1'), (991, 'Newer', 'S1')")
    for user in range(60):
        shop.execute(
            "INSERT INTO Interactions (userId, productId, actionCode, timestamp) "  # noqa: S608 - our own numbers
            f"VALUES ({user}, 110, 'view', '2024-09-10 10:00:00')"
        )

    check_answers(shop.settings, shop.version, learned)


def test_a_sample_of_the_users_is_asked_of_those_with_few_and_with_many_events(
    shop: Published, learned: Learned
) -> None:
    sent: list[str] = []

    def watched(url: DatabaseUrl) -> Any:
        return connect(url, tracer=lambda sql, values: sent.append(str(values)))

    check_answers(shop.settings, shop.version, learned, connect=watched)

    fewest, most = (learned.encoders.users.ids[place(np.diff(learned.data.starts))] for place in (np.argmin, np.argmax))
    asked = [user for user in range(60) if any(f"'user_key': '{user}'" in text or f"'{user}'" in text for text in sent)]
    assert len(asked) >= min(KNOWN_USERS, 60)
    assert {int(fewest), int(most)} <= set(asked)


Damage = Callable[[Published, Learned], tuple[Settings, Learned]]


def shifted_encoders(shop: Published, learned: Learned) -> tuple[Settings, Learned]:
    shop.execute("UPDATE rec_user_encoder SET idx = 59 - idx")
    return shop.settings, learned


def no_encoders(shop: Published, learned: Learned) -> tuple[Settings, Learned]:
    with connect(shop.url) as db:
        purge(db, shop.version)
    return shop.settings, learned


def no_history(shop: Published, learned: Learned) -> tuple[Settings, Learned]:
    return replace(shop.settings, shop=without_history(shop.settings)), learned


def shown_again(shop: Published, learned: Learned) -> tuple[Settings, Learned]:
    """Training counted every event as a purchase, and the request does not."""
    return shop.settings, replace(learned, data=replace(learned.data, purchases=np.ones(len(learned.data), bool)))


def other_ids(shop: Published, learned: Learned) -> tuple[Settings, Learned]:
    return shop.settings, replace(learned, products=frozenset(f"{item:05d}" for item in ITEMS))


def another_database(shop: Published, learned: Learned) -> tuple[Settings, Learned]:
    """The backend's account sees a database that training never wrote to."""
    url = f"sqlite:///{shop.folder / 'other.sqlite'}"
    with connect(url, create=True) as db:
        migrate(db)
    return replace(shop.settings, serve_database_url=DatabaseUrl.parse(url)), learned


def no_table(shop: Published, learned: Learned) -> tuple[Settings, Learned]:
    url = f"sqlite:///{shop.folder / 'empty.sqlite'}"
    connect(url, create=True).close()
    return replace(shop.settings, serve_database_url=DatabaseUrl.parse(url)), learned


DAMAGE: Mapping[Damage, str] = {
    shifted_encoders: "The new version should know user ",
    no_encoders: "should answer before it serves. Received: The database should hold the encoders of version",
    no_history: "A request of user .* should see .* events, as training did. Received: 0",
    shown_again: "should hide what they bought. Received: 1",
    other_ids: "should name products as the shop does. Received: 1",
    another_database: "should answer before it serves. Received: The database should hold the encoders of version",
    no_table: "should answer before it serves. Received: .*rec_versions",
}


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_a_wrong_answer_is_refused_with_what_is_wrong(shop: Published, learned: Learned, damage: Damage) -> None:
    settings, expected = damage(shop, learned)

    with pytest.raises(TrainingRefused, match=DAMAGE[damage]):
        check_answers(settings, shop.version, expected)


def test_scores_that_are_no_numbers_are_refused(shop: Published, learned: Learned) -> None:
    def broken(draft: Draft, first: Version) -> None:
        rewrite(draft, first, "popularity.h5", popularity=lambda popularity: popularity * np.nan)

    name = second_version(shop, broken)

    with pytest.raises(TrainingRefused, match="should score every item with a finite number"):
        check_answers(shop.settings, name, learned)


def test_a_database_that_is_away_is_a_failure_and_no_verdict(shop: Published, learned: Learned) -> None:
    away = DatabaseUrl.parse("mysql://root@127.0.0.1:1/shop", setting="SERVE_DATABASE_URL")

    with pytest.raises(DatabaseUnavailable, match="SERVE_DATABASE_URL cannot be reached"):
        check_answers(replace(shop.settings, serve_database_url=away), shop.version, learned)


def test_a_version_that_does_not_answer_is_taken_back_and_recorded(
    shop: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--force` does not help: such a version would serve nobody."""
    train_quickly(monkeypatch)
    asked: list[str] = []

    def refuse(settings: Settings, name: str, *_: object, **__: object) -> None:
        asked.append(current_name(settings.models_dir))
        with connect(shop.url) as db:
            assert name in [version.name for version in list_versions(db) if version.complete]
        raise TrainingRefused("The list of user 7 should hide what they bought. Received: 101.")

    monkeypatch.setattr(publishing, "check_answers", refuse)

    with pytest.raises(TrainingRefused):
        train(shop.settings, now=NOW + 3600, progress=Quiet(), force=True)

    assert asked == [shop.version], "the old version serves while the new one is asked"
    assert current_name(shop.models_dir) == shop.version
    assert version_names(shop.models_dir) == [shop.version]
    with connect(shop.url) as db:
        assert [version.name for version in list_versions(db)] == [shop.version]
    entry = history(shop.models_dir)[-1]
    assert entry["published"] is None
    assert entry["reason"] == "The list of user 7 should hide what they bought. Received: 101."
