"""Records: frozen dataclasses that inherit their methods."""

import copy
import dataclasses
import pickle
from collections.abc import Callable, Mapping
from dataclasses import FrozenInstanceError, dataclass, field

import pytest

from recsys.errors.records import Record


class Point(Record):
    """A record."""

    x: int
    y: int = 2
    labels: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Usual:
    """The same as a usual dataclass."""

    x: int
    y: int = 2
    labels: Mapping[str, int] = field(default_factory=dict)


class Hidden(Record):
    """A record with a field that is neither shown nor compared, and a check."""

    value: int
    secret: str = field(default="", repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.value < 0:
            raise ValueError("negative")


class Smaller(Hidden):
    """A record with one more field."""

    more: int = 0


class Named(Record, kw_only=True):
    """A record whose fields have names only."""

    first: int = 1
    second: int


class Itself(Record, eq=False):
    """A record that equals itself only."""

    value: int


@pytest.mark.parametrize("values", [(1,), (1, 3), (1, 3, {"a": 1})], ids=str)
def test_a_record_behaves_like_the_usual_dataclass(values: tuple[object, ...]) -> None:
    record, usual = Point(*values), Usual(*values)
    assert repr(record) == repr(usual).replace("Usual", "Point")
    assert dataclasses.asdict(record) == dataclasses.asdict(usual)
    assert record == Point(*values) != Point(9)
    assert dataclasses.replace(record, x=5) == Point(5, *values[1:])
    assert [known.name for known in dataclasses.fields(Point)] == [known.name for known in dataclasses.fields(Usual)]
    assert record != usual


@pytest.mark.parametrize("make", [Point, Usual])
def test_fields_by_name_and_by_position_are_the_same(make: Callable[..., object]) -> None:
    assert make(1, labels={"a": 1}) == make(labels={"a": 1}, y=2, x=1)


@pytest.mark.parametrize("make", [Point, Usual])
@pytest.mark.parametrize(
    ("values", "named"),
    [((), {}), ((1, 2, {}, 4), {}), ((1,), {"x": 1}), ((1,), {"z": 1}), ((), {"y": 1}), ((), {"x": 1, "y": 2, "z": 3})],
    ids=str,
)
def test_fields_missing_unknown_or_given_twice_are_refused(
    make: Callable[..., object], values: tuple[int, ...], named: dict[str, int]
) -> None:
    with pytest.raises(TypeError):
        make(*values, **named)


def test_a_record_is_frozen() -> None:
    point = Point(1)
    with pytest.raises(FrozenInstanceError):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        del point.x
    assert point.x == 1


def test_a_default_is_made_anew_for_each_record() -> None:
    assert Point(1).labels is not Point(1).labels


def test_equal_records_are_one_key_unless_they_equal_themselves_only() -> None:
    assert len({Hidden(1), Hidden(1)}) == 1
    assert len({Itself(1), Itself(1)}) == 2
    assert Itself(1) != Itself(1)


def test_a_part_equals_itself_as_in_the_usual_dataclass() -> None:
    missing = float("nan")
    assert Itself(missing) != Itself(missing)
    assert Hidden(missing) == Hidden(missing)
    assert Point(missing, missing) == Point(missing, missing)
    assert Usual(missing, missing) == Usual(missing, missing)


def test_a_hidden_field_is_neither_shown_nor_compared() -> None:
    assert repr(Hidden(1, "told")) == "Hidden(value=1)"
    assert Hidden(1, "told") == Hidden(1)


def test_a_check_runs_when_a_record_is_made() -> None:
    for kind in (Hidden, Smaller):
        with pytest.raises(ValueError, match="negative"):
            kind(-1)
    with pytest.raises(ValueError, match="negative"):
        dataclasses.replace(Hidden(1), value=-1)


def test_a_subclass_adds_fields() -> None:
    assert repr(Smaller(1, more=2)) == "Smaller(value=1, more=2)"
    assert Smaller(1) != Hidden(1)


def test_names_may_be_the_only_way() -> None:
    assert Named(second=2).first == 1
    with pytest.raises(TypeError):
        Named(1, 2)  # type: ignore[misc]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda record: pickle.loads(pickle.dumps(record))])
def test_a_copy_equals_its_original(copied: Callable[[Point], Point]) -> None:
    assert copied(Point(1, 2, {"a": 1})) == Point(1, 2, {"a": 1})
