"""The fuzzer's check agrees with the corpus of bad input, and detects wrong parsers."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys import contract
from recsys.contract import Request
from recsys.contract import parse_request as real_parse
from recsys.errors import NoModel, RecsysError
from tests.helpers.corpus import cases
from tests.helpers.fuzz_request import check, seeds

CASES = {name: case for name, case in cases().items() if case.alone in ("invalid_json", "too_large")}
REQUEST = b'{"user_id": 7, "id": "a", "exclude": [1]}'


@pytest.mark.parametrize("name", CASES)
def test_the_check_returns_the_code_of_each_case(name: str) -> None:
    assert check(CASES[name].data) == CASES[name].alone


def test_the_search_starts_from_requests_of_every_kind() -> None:
    assert {check(data) for data in seeds()} == {"read", "invalid_json", "invalid_request", "too_large"}


@given(st.binary(max_size=200))
def test_the_check_accepts_any_bytes(data: bytes) -> None:
    assert check(data) in ("read", "invalid_json", "invalid_request", "too_large")


def raising(error: Exception) -> Callable[..., Request]:
    def parse(data: bytes, **given: object) -> Request:
        raise error

    return parse


def changing(**changes: object) -> Callable[..., Request]:
    def parse(data: bytes, **given: object) -> Request:
        request = real_parse(data, **given)  # type: ignore[arg-type]
        return Request(**{**{name: getattr(request, name) for name in Request.__dataclass_fields__}, **changes})

    return parse


WRONG: dict[str, Callable[..., Request]] = {
    "a code that the parser never uses": raising(NoModel("None.")),
    "an error of another kind": raising(KeyError("id")),
    "another user": changing(user_id=8),
    "the id as text": changing(user_id="7"),
    "an id that was not sent": changing(id="b"),
    "a value that it refuses itself": changing(limit=0),
}


@pytest.mark.parametrize("parse", WRONG.values(), ids=WRONG)
def test_the_check_detects_a_wrong_parser(monkeypatch: pytest.MonkeyPatch, parse: Callable[..., Request]) -> None:
    assert check(REQUEST) == "read"
    monkeypatch.setattr(contract, "parse_request", parse)

    with pytest.raises((AssertionError, KeyError, RecsysError)):
        check(REQUEST)
