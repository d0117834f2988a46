"""What training counts for lists of products."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recsys import store
from recsys.artifacts import Draft, open_version
from recsys.related.again import Repurchases
from recsys.related.together import TogetherPairs
from recsys.training.related_files import variants_of, write_related
from tests.helpers.datasets import dataset_of
from tests.helpers.small_versions import UNSYNCED
from tests.helpers.tiny_shop import Trained

DAY = 86_400
NOW = 1_704_067_200


def test_purchases_of_a_year_are_paired_and_every_event_counts_for_trends(tmp_path: Path) -> None:
    # users 0 to 2 buy 0 and 1 at once; 3 and 4 view 0 and 2; 5 and 6 bought 3 and 4 long ago; 7 and 8 buy others
    users = np.array([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 8])
    items = np.array([0, 1, 0, 1, 0, 1, 0, 2, 0, 2, 3, 4, 3, 4, 3, 4])
    ages = np.where((users == 5) | (users == 6), 400, 1)
    data = dataset_of(users, items, np.ones(16), 9, 5, NOW - ages * DAY)
    data = replace(data, purchases=(users != 3) & (users != 4))
    pairs: list[list[tuple[int, int]]] = []
    for number, families in enumerate((None, np.array([7, 7, 2, 3, 4]))):
        with Draft.create(tmp_path, NOW + number, UNSYNCED) as draft:
            write_related(draft, data, families=families, categories=None)
            name = draft.publish({"data_until": NOW})
        with open_version(tmp_path, name) as version:
            found = TogetherPairs.from_arrays(version.arrays("together.h5"))
            rises = version.arrays("trending.h5")["rises"]
        pairs.append(list(zip(found.items.tolist(), found.neighbours.tolist(), strict=True)))

    assert pairs == [[(0, 1), (1, 0)], []]
    assert rises.shape == (5,) and (rises > 0).all()  # all have events of yesterday
    assert rises.argmax() == 0


def test_what_is_bought_again_counts_purchases_of_all_time(tmp_path: Path) -> None:
    # users 0 to 2 buy 0 twice, long ago, and view 1 twice
    users, items = np.repeat([0, 1, 2], 4), np.tile([0, 0, 1, 1], 3)
    ages = np.tile([500, 470, 50, 20], 3)
    data = replace(
        dataset_of(users, items, np.ones(12), 3, 2, NOW - ages * DAY), purchases=np.tile([1, 1, 0, 0], 3) > 0
    )
    categories = np.array([1, 0], np.int32)
    with Draft.create(tmp_path, NOW, UNSYNCED) as draft:
        write_related(draft, data, families=None, categories=categories)
        name = draft.publish({"data_until": NOW})
    with open_version(tmp_path, name) as version:
        found = Repurchases.from_arrays(version.arrays("again.h5"))
        intervals = found.intervals.tolist()
        odds = found.odds(np.array([0], np.int32), np.array([NOW - 30 * DAY]), now=NOW)

    assert intervals[0] == pytest.approx(30) and np.isnan(intervals[1])
    assert odds[0] > 0 == odds[1]


def test_variants_are_read_where_the_mapping_names_their_product(trained: Trained) -> None:
    def never(url: object) -> store.Database:
        raise AssertionError("A mapping without `parent` should ask nothing.")

    assert variants_of(trained.run, never) is None
    products = "SELECT id AS item_id, CASE WHEN id < 103 THEN 101 END AS parent FROM Products"
    settings = replace(trained.run.settings, shop=replace(trained.run.settings.shop, products=products))
    families = variants_of(replace(trained.run, settings=settings), store.connect)

    assert families is not None and families[0] == families[1]
    assert len(np.unique(families)) == len(families) - 1
