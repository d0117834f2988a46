import numpy as np
import pytest

from recsys.sample import exam_negatives, pair_keys, uniform_negatives


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def test_no_negative_was_ever_seen(rng: np.random.Generator) -> None:
    n_users, n_items = 20, 30
    seen = rng.random((n_users, n_items)) < 0.5
    users = np.repeat(np.arange(n_users, dtype=np.int32), 10)

    drawn = uniform_negatives(rng, pair_keys(*np.nonzero(seen), n_items), users, n_items, 4)

    assert (drawn.shape, drawn.dtype) == ((200, 4), np.int32)
    assert not seen[users[:, np.newaxis], drawn].any()


def test_a_user_who_saw_all_but_one_gets_that_one(rng: np.random.Generator) -> None:
    n_items = 5000  # ten rounds of chance would not find it
    seen = pair_keys(np.zeros(n_items - 1, np.int32), np.delete(np.arange(n_items), 1234), n_items)

    assert uniform_negatives(rng, seen, np.array([0, 0], np.int32), n_items, 3).tolist() == [[1234] * 3] * 2


def test_a_user_who_saw_everything_gets_items_from_the_whole_catalogue(rng: np.random.Generator) -> None:
    seen = pair_keys(np.ones(3, np.int32), np.arange(3), 3)

    drawn = uniform_negatives(rng, seen, np.array([1, 0], np.int32), 3, 200)

    assert set(drawn[0].tolist()) == {0, 1, 2}


def test_a_guest_and_a_shop_without_events_get_uniform_draws(rng: np.random.Generator) -> None:
    drawn = uniform_negatives(rng, np.zeros(0, np.int64), np.array([9], np.int32), 4, 4000)

    assert np.bincount(drawn[0]).tolist() == pytest.approx([1000] * 4, abs=110)  # 4 standard deviations of √(4000·¼·¾) = 27


def test_unseen_items_are_drawn_equally_often(rng: np.random.Generator) -> None:
    seen = pair_keys(np.zeros(2, np.int32), np.array([0, 3]), 5)

    counts = np.bincount(uniform_negatives(rng, seen, np.array([0], np.int32), 5, 3000)[0], minlength=5)

    assert counts[[0, 3]].tolist() == [0, 0]
    assert counts[[1, 2, 4]].tolist() == pytest.approx([1000] * 3, abs=104)  # 4 × √(3000·⅓·⅔) = 4 × 26


def test_the_same_seed_draws_the_same_negatives() -> None:
    seen = pair_keys(np.zeros(3, np.int32), np.array([0, 1, 2]), 9)
    users = np.zeros(50, np.int32)

    first, second = (uniform_negatives(np.random.default_rng(3), seen, users, 9, 4) for _ in range(2))

    assert first.tolist() == second.tolist()


def test_keys_of_large_shops_do_not_overflow() -> None:
    assert pair_keys(np.array([99_999], np.int32), np.array([7], np.int32), 100_000).tolist() == [9_999_900_007]


def test_exam_negatives_are_distinct_and_unseen(rng: np.random.Generator) -> None:
    seen_by_user = [np.array([0, 5, 5, 149]), np.array([], np.int32)]

    negatives = exam_negatives(rng, seen_by_user, 150)

    assert [len(set(items.tolist())) for items in negatives] == [99, 99]
    assert not {0, 5, 149} & set(negatives[0].tolist())


def test_a_small_catalogue_gives_all_unseen_items_and_no_more(rng: np.random.Generator) -> None:
    negatives = exam_negatives(rng, [np.array([1, 3]), np.arange(5)], 5)

    assert sorted(negatives[0].tolist()) == [0, 2, 4]
    assert negatives[1].tolist() == []
