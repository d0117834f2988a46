"""A column of ids is read as each of its ids alone."""

import pytest

from recsys.data.ids import canonical, canonical_integers

ODD = ["07", "-0", "+7", " 7", "1_000", "７", "7.0", "", "x", str(2**63), str(-(2**63)), "9" * 5000, None]


@pytest.mark.parametrize("odd", ODD)
def test_an_invalid_id_does_not_change_the_other_ids(odd: str | None) -> None:
    assert canonical_integers(["7", odd, "-12"]) == [7, canonical(odd, "int"), -12] == [7, None, -12]


def test_the_largest_ids_and_no_ids() -> None:
    assert canonical_integers([str(2**63 - 1), str(1 - 2**63), "0"]) == [2**63 - 1, 1 - 2**63, 0]
    assert canonical_integers([]) == []
