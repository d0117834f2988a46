import numpy as np
import pytest

from recsys.evaluation.negatives import sampled_negatives


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def test_exam_negatives_are_distinct_and_unseen(rng: np.random.Generator) -> None:
    seen_by_user = [np.array([0, 5, 5, 149]), np.array([], np.int32)]

    negatives = sampled_negatives(rng, seen_by_user, 150)

    assert [len(set(items.tolist())) for items in negatives] == [99, 99]
    assert not {0, 5, 149} & set(negatives[0].tolist())


def test_a_small_catalogue_gives_all_unseen_items_and_no_more(rng: np.random.Generator) -> None:
    negatives = sampled_negatives(rng, [np.array([1, 3]), np.arange(5)], 5)

    assert sorted(negatives[0].tolist()) == [0, 2, 4]
    assert negatives[1].tolist() == []
