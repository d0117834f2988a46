"""An index of vectors by dot product finds the largest products for vectors of any length, and refuses other files."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from recsys.artifacts import Nearest
from recsys.artifacts.nearest import build
from recsys.errors import ModelRefused


def opened(vectors: NDArray[np.float32]) -> Nearest:
    return Nearest.open(build(vectors), "an index", dim=vectors.shape[1], n=len(vectors))


def test_the_largest_dot_product_comes_first_not_the_smallest_angle() -> None:
    vectors = np.array([[1, 0], [3, 3], [0, 1], [-9, 0]], np.float32)

    # with (1, 0): 1, 3, 0, -9
    assert opened(vectors).search(np.array([1, 0], np.float32), 4).tolist() == [1, 0, 2, 3]
    # with (-1, 0.5): -1, -1.5, 0.5, 9
    assert opened(vectors).search(np.array([-1, 0.5], np.float32), 2).tolist() == [3, 2]


def test_nearly_all_of_the_best_are_found_among_vectors_of_different_lengths(
    rng: np.random.Generator,
) -> None:
    vectors = (rng.normal(size=(4000, 16)) * rng.lognormal(0, 1, (4000, 1))).astype(np.float32)
    index = opened(vectors)
    shares = []
    for query in rng.normal(size=(20, 16)).astype(np.float32):
        best = np.argsort(-(vectors @ query))[:100]
        shares.append(np.isin(best, index.search(query, 400)).mean())

    assert np.mean(shares) > 0.97


def test_answers_are_distinct_rows_and_no_more_than_there_are(rng: np.random.Generator) -> None:
    vectors = rng.normal(size=(50, 8)).astype(np.float32)
    rows = opened(vectors).search(vectors[0], 80)

    assert rows.dtype == np.int32
    assert sorted(rows.tolist()) == list(range(50))


def test_the_same_vectors_make_the_same_bytes(rng: np.random.Generator) -> None:
    vectors = rng.normal(size=(500, 8)).astype(np.float32)

    assert build(vectors) == build(vectors.copy())


def test_a_file_answers_as_the_bytes_do(rng: np.random.Generator, tmp_path: Path) -> None:
    vectors = rng.normal(size=(300, 8)).astype(np.float32)
    path = tmp_path / "candidates.usearch"
    path.write_bytes(build(vectors))
    mapped = Nearest.open(path, path.name, dim=8, n=300)

    np.testing.assert_array_equal(mapped.search(vectors[7], 20), opened(vectors).search(vectors[7], 20))


def test_vectors_of_zeros_can_be_indexed() -> None:
    assert sorted(opened(np.zeros((5, 4), np.float32)).search(np.ones(4, np.float32), 5).tolist()) == [0, 1, 2, 3, 4]


# What 16 bits hold: up to 65,504, in steps of 6e-8 at least. The last two are float32's own ends.
SIZES = [1e-8, 6e-8, 6e-5, 1.0, 255.0, 65_504.0, 65_505.0, 65_520.0, 1e6, 1e-38, 3e38]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("query", SIZES)
def test_numbers_of_any_size_can_be_indexed_and_searched(size: float, query: float) -> None:
    vectors = np.array([[0, size], [size, 0], [-size, 0]], np.float32)

    # with (2, 1), in units of size: 1, 2, -2
    assert opened(vectors).search(np.array([query, query / 2], np.float32), 3).tolist() == [1, 0, 2]


@pytest.mark.parametrize("power", [-100, -24, 17, 100])
def test_the_unit_of_the_vectors_makes_no_difference(rng: np.random.Generator, power: int) -> None:
    vectors = rng.normal(size=(300, 8)).astype(np.float32)
    index = opened(vectors)

    assert build(np.ldexp(vectors, power)) == build(vectors)
    np.testing.assert_array_equal(index.search(np.ldexp(vectors[7], power), 20), index.search(vectors[7], 20))


STEPS = np.column_stack([np.arange(40) / 40, np.zeros(40)])  # 0, 0.025, … 0.975


@pytest.mark.parametrize(
    ("odd", "best"),
    [
        ([1e9, 0], [40, 39, 38, 37]),  # longer than 16 bits can say
        ([3e38, 3e38], [40, 39, 38, 37]),
        ([-1e9, 0], [39, 38, 37, 36]),
        ([0, 1e9], [39, 38, 37, 36]),
        ([1e-9, 0], [39, 38, 37, 36]),  # shorter
        ([1e-45, 0], [39, 38, 37, 36]),  # float32's own smallest
    ],
)
def test_one_odd_vector_does_not_hide_the_others(odd: list[float], best: list[int]) -> None:
    vectors = np.vstack([STEPS, odd]).astype(np.float32)

    assert opened(vectors).search(np.array([1, 0], np.float32), 4).tolist() == best


@pytest.mark.parametrize("length", [1e-45, 1.0, 3e38])
def test_the_only_vector_that_is_not_zero_is_found(length: float) -> None:
    vectors = np.zeros((40, 2), np.float32)
    vectors[11, 0] = length

    assert opened(vectors).search(np.array([1, 0], np.float32), 1).tolist() == [11]


def test_a_query_of_zeros_is_answered() -> None:
    assert len(opened(STEPS.astype(np.float32)).search(np.zeros(2, np.float32), 5)) == 5


@pytest.mark.parametrize("n", [0, 1])
def test_an_empty_catalogue_can_be_indexed(n: int) -> None:
    assert opened(np.ones((n, 4), np.float32)).search(np.ones(4, np.float32), 3).tolist() == list(range(n))


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(broken: float) -> None:
    vectors = np.ones((5, 4), np.float32)
    vectors[2, 3] = broken

    with pytest.raises(ValueError, match="`vectors` should be finite"):
        build(vectors)


@pytest.mark.parametrize(("dim", "n"), [(8, 299), (8, 301), (7, 300), (9, 300)])
def test_an_index_of_other_vectors_is_refused(rng: np.random.Generator, dim: int, n: int) -> None:
    data = build(rng.normal(size=(300, 8)).astype(np.float32))

    with pytest.raises(
        ModelRefused, match=f"an index should be an index of {n} vectors of {dim} numbers by dot product"
    ):
        Nearest.open(data, "an index", dim=dim, n=n)


def test_an_index_by_another_measure_is_refused(rng: np.random.Generator) -> None:
    from usearch.index import Index

    other = Index(ndim=9, metric="l2sq", dtype="f16")
    other.add(np.arange(300), rng.normal(size=(300, 9)).astype(np.float32))

    with pytest.raises(ModelRefused, match="by dot product. Received: .*L2sq"):
        Nearest.open(bytes(other.save()), "an index", dim=8, n=300)


@pytest.mark.parametrize("size", [0, 1, 63, 5000])
def test_what_is_no_index_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "candidates.usearch"
    path.write_bytes(bytes(range(250)) * (size // 250) + b"x" * (size % 250))

    with pytest.raises(ModelRefused, match=r"candidates.usearch should be"):
        Nearest.open(path, path.name, dim=8, n=300)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match=r"candidates.usearch should be"):
        Nearest.open(tmp_path / "candidates.usearch", "candidates.usearch", dim=8, n=300)
