"""A worker gives mapped memory back: when, and that nothing is lost by it."""

import mmap

import numpy as np
import pytest

from recsys.artifacts import arrays, resident_bytes, trim_memory
from recsys.artifacts import arrays as residency
from recsys.artifacts.arrays import release_pages
from recsys.artifacts.hdf5 import read_arrays, write_arrays

MB = 1 << 20


@pytest.mark.parametrize(
    ("resident", "given_back"), [(50, 0), (100, 0), (101, 1), (None, 0)]
)  # None: a system that does not say
def test_memory_above_the_limit_is_released(
    resident: int | None, given_back: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(residency, "resident_bytes", lambda: resident)
    monkeypatch.setattr(residency, "release_pages", lambda: calls.append("let go"))
    trim_memory(limit=100)

    assert len(calls) == given_back


@pytest.mark.skipif(resident_bytes() is None, reason="this system does not say what is resident")
def test_released_pages_can_be_read_again(tmp_path, rng: np.random.Generator) -> None:
    """Of 64 MB that were read through a map, nearly nothing is left resident, and the array is what it was."""
    values = rng.integers(0, 255, 64 * MB, dtype=np.uint8)
    write_arrays(tmp_path / "large.h5", {"values": values})
    mapped = read_arrays(tmp_path / "large.h5", "large.h5")["values"]
    assert int(mapped[::4096].sum()) == int(values[::4096].sum())
    full = resident_bytes()
    release_pages()
    remaining = resident_bytes()

    assert full is not None
    assert remaining is not None
    assert full - remaining > 50 * MB
    np.testing.assert_array_equal(mapped, values)


def test_a_file_without_readers_is_unmapped(tmp_path) -> None:
    write_arrays(tmp_path / "small.h5", {"values": np.arange(4096)})
    before = len(arrays._MAPS)
    mapped = read_arrays(tmp_path / "small.h5", "small.h5")
    assert len(arrays._MAPS) == before + 1
    del mapped
    assert len(arrays._MAPS) == before


def test_a_system_without_madvise_keeps_its_pages(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stubborn:
        def madvise(self, advice: int) -> None:
            raise OSError(advice)

    stubborn = Stubborn()
    monkeypatch.setattr(arrays, "_MAPS", {stubborn})
    release_pages()
    assert mmap.MADV_DONTNEED > 0
