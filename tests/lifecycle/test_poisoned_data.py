"""Damaged data is refused, or cleaned and named, and the old version answers as before, byte for byte."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recsys.artifacts import current, history
from recsys.contract import success
from recsys.errors import TrainingRefused
from recsys.store import connect, list_versions
from recsys.training.run import TrainingRun
from recsys.training.train import train
from tests.helpers.dying_disk import version_names
from tests.helpers.tiny_shop import NOW, Published, Quiet
from tests.helpers.unfitted import published_quickly, train_quickly

LATER = NOW + 3600
REQUESTS = ({"user_id": 7}, {"user_id": 25, "limit": 5}, {"interactions": [{"item_id": 104, "event": "view"}]}, {})


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """The tiny shop with a version of as quick a training as those that follow."""
    return published_quickly(tmp_path_factory.mktemp("quickly"))


@pytest.fixture(autouse=True)
def unfitted(monkeypatch: pytest.MonkeyPatch) -> None:
    train_quickly(monkeypatch)


def answers(shop: Published) -> list[bytes]:
    return [success(replace(shop.ask(now=LATER, **request), ms=0.0)) for request in REQUESTS]


def learn(shop: Published, **arguments: bool) -> TrainingRun:
    return train(shop.settings, now=LATER, progress=Quiet(), **arguments)


def shuffled_purchases(shop: Published) -> None:
    """Every event is on the product of some other event."""
    with connect(shop.url) as db:
        rows = db.query("SELECT interId, productId FROM Interactions ORDER BY interId")
        items = np.random.default_rng(5).permutation([item for _, item in rows]).tolist()
        changed = [{"item": item, "row": row} for (row, _), item in zip(rows, items, strict=True)]
        db.execute_many("UPDATE Interactions SET productId = :item WHERE interId = :row", changed)


def half_of_the_products(shop: Published) -> None:
    shop.execute("DELETE FROM Products WHERE id % 2 = 1")


def half_of_the_products_and_their_events(shop: Published) -> None:
    half_of_the_products(shop)
    shop.execute("DELETE FROM Interactions WHERE productId % 2 = 1")


def prices_as_ids(shop: Published) -> None:
    """101 costs 5, 102 costs 6, and so on: in the events, prices stand where the products' ids should be."""
    shop.execute("UPDATE Interactions SET productId = productId - 96")


POISON: Mapping[Callable[[Published], None], str] = {
    shuffled_purchases: "Held-out MAP@10 should be at most 30% below",
    half_of_the_products: "Products with events that are for sale should be at most 20% fewer than the 33",
    half_of_the_products_and_their_events: "Products with events should be at most 20% fewer than the 36",
    prices_as_ids: "Products with events that are for sale should be at most 20% fewer than the 33",
}


@pytest.mark.parametrize("poison", POISON, ids=lambda poison: poison.__name__)
def test_damaged_data_is_refused_and_the_old_version_answers_as_before(
    published: Published, tmp_path: Path, poison: Callable[[Published], None]
) -> None:
    shop = published.copy(tmp_path)
    poison(shop)
    before = answers(shop)

    with pytest.raises(TrainingRefused) as caught:
        learn(shop)

    entry = history(shop.models_dir)[-1]
    assert POISON[poison] in " ".join(entry["verdict"]["reasons"])
    assert entry["reason"] == str(caught.value)
    assert str(caught.value).startswith(entry["verdict"]["reasons"][0])
    assert (entry["published"], entry["verdict"]["published"]) == (None, False)
    assert answers(shop) == before
    assert version_names(shop.models_dir) == [published.version]
    with connect(shop.url) as db:
        assert [version.name for version in list_versions(db)] == [published.version]


def test_one_customers_events_tenfold_are_named(published: Published, tmp_path: Path) -> None:
    shop = published.copy(tmp_path)
    with connect(shop.url) as db:
        rows = db.query("SELECT productId, actionCode, timestamp FROM Interactions WHERE userId = 7")
        db.insert(
            "Interactions",
            [
                {"userId": 7, "productId": item, "actionCode": action, "timestamp": f"{moment[:-2]}{second:02d}"}
                for item, action, moment in rows
                for second in range(1, 11)
            ],
        )

    run = learn(shop)

    assert run.verdict is not None
    [warning] = [text for text in run.verdict.warnings if "of all events" in text]
    assert warning.startswith("User 7 has ")
    assert current(shop.models_dir).manifest["verdict"]["warnings"] == list(run.verdict.warnings)
    assert warning in html.unescape((current(shop.models_dir).path / "report.html").read_text(encoding="utf-8"))


def test_the_same_events_tenfold_are_cleaned_and_named(published: Published, tmp_path: Path) -> None:
    shop = published.copy(tmp_path)
    columns = "userId, productId, actionCode, device_type, timestamp"
    with connect(shop.url) as db:
        ((n_rows,),) = db.query("SELECT COUNT(*) FROM Interactions WHERE userId = 7")
    for _ in range(9):
        shop.execute(
            f"INSERT INTO Interactions ({columns}) SELECT DISTINCT {columns} FROM Interactions WHERE userId = 7"  # noqa: S608
        )

    run = learn(shop)

    assert run.cleaning.dropped["duplicate"] == 9 * n_rows
    assert run.version == current(shop.models_dir).name != published.version


def test_half_of_the_orders_under_one_id_are_left_out_and_named(published: Published, tmp_path: Path) -> None:
    """Guests that are stored as one customer: nobody learns from them, and half as many events are too few."""
    shop = published.copy(tmp_path)
    shop.execute("UPDATE Interactions SET userId = 0 WHERE interId % 2 = 0")

    with pytest.raises(TrainingRefused, match="Events should be at most 20% fewer than"):
        learn(shop)
    run = learn(shop, force=True)

    assert run.cleaning.dropped["guests as user 0"] > 1000
    assert 0 not in run.final.encoders.users.ids


def test_a_refused_version_can_be_forced_and_both_records_say_so(published: Published, tmp_path: Path) -> None:
    shop = published.copy(tmp_path)
    half_of_the_products(shop)

    run = learn(shop, force=True)

    entry, version = history(shop.models_dir)[-1], current(shop.models_dir)
    assert entry["published"] == run.version == version.name != published.version
    for recorded in (entry["verdict"], version.manifest["verdict"]):
        assert (recorded["published"], recorded["forced"]) == (True, True)
        assert recorded["reasons"] != []
    assert "published in spite of it" in (version.path / "report.html").read_text(encoding="utf-8")


def test_a_run_that_needs_no_force_is_not_recorded_as_forced(published: Published, tmp_path: Path) -> None:
    shop = published.copy(tmp_path)

    run = learn(shop, force=True)

    recorded = current(shop.models_dir).manifest["verdict"]
    assert (run.version, recorded["forced"], recorded["reasons"]) == (current(shop.models_dir).name, False, [])
    assert recorded["figures"]["paired"]["users"] >= 10
    assert recorded["figures"]["active"]["version"] == published.version


def test_a_dry_run_that_is_refused_writes_nothing(published: Published, tmp_path: Path) -> None:
    shop = published.copy(tmp_path)
    half_of_the_products(shop)
    before = history(shop.models_dir)

    with pytest.raises(TrainingRefused):
        learn(shop, dry_run=True)

    assert history(shop.models_dir) == before
    assert version_names(shop.models_dir) == [published.version]
