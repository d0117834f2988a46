import numpy as np
import pytest

from recsys.evaluation.ranking import top_k


def scores(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_the_best_come_first() -> None:
    ranked = top_k(scores(0.1, 0.9, 0.5), 2)

    assert ranked.tolist() == [1, 2]
    assert ranked.dtype == np.int32


def test_ties_go_to_the_lower_index_inside_the_list_and_at_its_border() -> None:
    assert top_k(scores(1, 2, 1, 2, 1), 3).tolist() == [1, 3, 0]
    assert top_k(scores(1, 1, 1, 1), 2).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("n_items", "n_values", "share"),
    [(60, 6, 0.7), (3_000, 6, 0.7), (3_000, 10_000, 0.7), (3_001, 10_000, 0.01), (3_000, 2, 0.001), (1_000, 300, 1)],
)
def test_lists_agree_with_a_full_sort_whatever_the_ties(n_items: int, n_values: int, share: float) -> None:
    """A large catalogue is looked at in columns first."""
    rng = np.random.default_rng(7)
    for _ in range(50):
        values = rng.integers(0, n_values, n_items).astype(np.float32)
        allowed = rng.random(n_items) < share
        ordered = sorted(np.flatnonzero(allowed).tolist(), key=lambda index: (-values[index], index))

        assert top_k(values, 10, allowed).tolist() == ordered[:10]


def test_items_that_are_not_allowed_never_appear_even_in_a_short_list() -> None:
    assert top_k(scores(9, 8, 7), 3, np.array([False, True, False])).tolist() == [1]
    assert top_k(scores(9, 8, 7), 3, np.zeros(3, bool)).tolist() == []


def test_minus_infinity_never_appears() -> None:
    assert top_k(scores(-np.inf, -5, -np.inf), 3).tolist() == [1]
    assert top_k(scores(-np.inf, -np.inf), 1).tolist() == []


def test_an_empty_catalogue_gives_an_empty_list() -> None:
    assert top_k(scores(), 10).tolist() == []


def test_a_nan_is_refused_even_where_it_is_not_allowed() -> None:
    with pytest.raises(ValueError, match="NaN at \\[1\\]"):
        top_k(scores(1, np.nan), 1, np.array([True, False]))


def test_integer_scores_are_ranked() -> None:
    assert top_k(np.array([1, 2, 3]), 2).tolist() == [2, 1]
    assert top_k(np.array([1, 2, 3]), 5, np.array([True, False, True])).tolist() == [2, 0]


@pytest.mark.parametrize("k", [0, -1])
def test_a_list_of_no_length_is_refused(k: int) -> None:
    with pytest.raises(ValueError, match=f"`k` should be a positive integer. Received: {k}."):
        top_k(scores(1), k)


def test_neither_the_scores_nor_the_mask_are_changed() -> None:
    values, allowed = scores(-np.inf, 3, 2), np.array([True, True, False])

    top_k(values, 1, allowed)

    assert values.tolist() == [-np.inf, 3, 2]
    assert allowed.tolist() == [True, True, False]
