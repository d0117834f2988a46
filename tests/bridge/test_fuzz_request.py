"""The judge of the fuzzer judges the corpus as the corpus says, and would notice what is wrong."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys import contract
from recsys.contract import Request
from recsys.contract import parse_request as real_parse
from recsys.errors import NoModel, RecsysError
from tests.helpers.corpus import cases
from tests.helpers.fuzz_request import judge, seeds

CASES = {name: case for name, case in cases().items() if case.alone in ("invalid_json", "too_large")}
REQUEST = b'{"user_id": 7, "id": "a", "exclude": [1]}'


@pytest.mark.parametrize("name", CASES)
def test_a_case_of_the_corpus_is_judged_by_its_code(name: str) -> None:
    assert judge(CASES[name].data) == CASES[name].alone


def test_the_search_starts_from_requests_of_every_kind() -> None:
    assert {judge(data) for data in seeds()} == {"read", "invalid_json", "invalid_request", "too_large"}


@given(st.binary(max_size=200))
def test_noise_is_judged(data: bytes) -> None:
    assert judge(data) in ("read", "invalid_json", "invalid_request", "too_large")


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
    "a code that is none of the parser's": raising(NoModel("None.")),
    "an error that is none of ours": raising(KeyError("id")),
    "another customer": changing(user_id=8),
    "her number as text": changing(user_id="7"),
    "a mark that nobody sent": changing(id="b"),
    "what it does not read itself": changing(limit=0),
}


@pytest.mark.parametrize("parse", WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_noticed(monkeypatch: pytest.MonkeyPatch, parse: Callable[..., Request]) -> None:
    assert judge(REQUEST) == "read"
    monkeypatch.setattr(contract, "parse_request", parse)

    with pytest.raises((AssertionError, KeyError, RecsysError)):
        judge(REQUEST)
