"""docs/schema/: the files are as the command writes them, and the schemas agree with parser and answers."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from recsys import errors
from recsys.contract import Item, Metrics, Reason, Request, Response, Run, failure, parse_request, success
from recsys.contract.request import Op
from recsys.contract.response import Basis, Source
from recsys.contract.schema import request_schema, response_schema
from recsys.contract.worker_messages import Pong, Ready, Refusal, Stats, worker_line
from recsys.errors import RecsysError
from scripts.write_schema import FOLDER, schemas
from tests.contract.test_request import (
    ACCEPTED,
    FIELDS,
    MODELS,
    REFUSED,
    WRONG_TYPES,
    anything,
    ids,
    texts,
    valid_requests,
)
from tests.docs.test_pages import EXAMPLES, WIRE_ERRORS

Schema = dict[str, Any]
REQUEST, RESPONSE = Draft202012Validator(request_schema(MODELS)), Draft202012Validator(response_schema())
OPS = get_args(Op)
unhurried = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


def test_the_files_are_what_the_command_writes() -> None:
    assert {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()} == schemas(), (
        "run scripts/write_schema.py"
    )


@pytest.mark.parametrize("name", sorted(schemas()))
def test_the_files_are_json_schemas(name: str) -> None:
    Draft202012Validator.check_schema(json.loads(schemas()[name]))


def closed(schema: Any) -> Any:
    """Return a schema that admits no fields but those it names."""
    if isinstance(schema, list):
        return [closed(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: closed(value) for name, value in schema.items()}
    return {"additionalProperties": False, **inner} if "properties" in inner and "type" in inner else inner


STRICT = closed(response_schema())


def complaints(document: Any, name: str) -> list[str]:
    """Return what is wrong with a document as one kind of line, unlisted fields included."""
    only = Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": STRICT["$defs"]})
    return [error.message for error in only.iter_errors(document)]


KINDS = {"response": "Recommendation", "failure": "Failure", "ready": "Ready", "pong": "Pong", "stats": "Stats"}


@pytest.mark.parametrize(
    ("kind", "text"), EXAMPLES, ids=[f"{kind} {number}" for number, (kind, _) in enumerate(EXAMPLES)]
)
def test_the_examples_of_the_documentation_are_valid(kind: str, text: str) -> None:
    if kind.startswith("request"):
        assert list(Draft202012Validator(json.loads(schemas()["request.json"])).iter_errors(json.loads(text))) == []
    else:
        assert complaints(json.loads(text), KINDS[kind]) == []


def parsed(data: bytes) -> Request | RecsysError:
    try:
        return parse_request(data, models=MODELS, ops=OPS)
    except RecsysError as error:
        return error


def wire(request: Request) -> bytes:
    return json.dumps(dataclasses.asdict(request)).encode()


@unhurried
@given(valid_requests)
def test_requests_that_the_parser_reads_are_valid(request: Request) -> None:
    assert REQUEST.is_valid(json.loads(wire(request)))


@unhurried
@given(st.dictionaries(st.sampled_from(FIELDS), anything, max_size=5))
def test_invalid_requests_are_refused(document: Mapping[str, object]) -> None:
    data = json.dumps(document).encode()
    read = parsed(data)
    assert isinstance(read, RecsysError) or REQUEST.is_valid(json.loads(data)) or read.model != document["model"]


# What a schema cannot say: the two sides of a comparison, one number from another, bytes from letters, one spelling
# from another.
BEYOND = (
    "81 prices crossed",
    "46 1.0 as a limit",
    "46 1e1 as a limit",
    "46 7.0 as an id",
    "54 513 bytes in 257 letters",
    "21 lone surrogate",
    "21 lone surrogate in a name",
)
READABLE = {
    name: data for name, (data, _) in REFUSED.items() if not name.startswith(("31", "40 op of the worker", "42", "45"))
}


@pytest.mark.parametrize("name", READABLE)
def test_requests_that_the_parser_refuses_are_invalid(name: str) -> None:
    assert isinstance(parsed(READABLE[name]), RecsysError)
    assert REQUEST.is_valid(json.loads(READABLE[name])) is (name in BEYOND)


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("kind", WRONG_TYPES)
def test_parser_and_schema_agree_on_each_field_of_each_type(name: str, kind: str) -> None:
    document = {"user_id": 7, name: WRONG_TYPES[kind]}

    assert REQUEST.is_valid(document) is isinstance(parsed(json.dumps(document).encode()), Request)


@pytest.mark.parametrize("document", [*map(json.loads, (b"[7]", b'"user_id"', b"7", b"null", b"true"))], ids=repr)
def test_values_other_than_objects_are_invalid(document: object) -> None:
    assert not REQUEST.is_valid(document)


def test_harmless_framing_changes_nothing() -> None:
    assert all(REQUEST.is_valid(json.loads(data.decode("utf-8-sig"))) for data in ACCEPTED.values())


@pytest.mark.parametrize("op", OPS)
def test_every_operation_is_valid_with_its_required_fields(op: str) -> None:
    needed = {"recommend": {"user_id": 7}, "similar": {"item_id": 7}}.get(op, {})

    assert REQUEST.is_valid({"op": op, **needed})
    assert REQUEST.is_valid({"op": op}) is (op not in ("recommend", "similar"))


finite = st.floats(0, 1)
items = st.builds(Item, ids, finite, st.none() | st.builds(Reason, st.just("history"), st.none() | ids))
runs = st.builds(
    Run,
    texts,
    st.lists(ids, max_size=3).map(tuple),
    st.none() | st.builds(Metrics, finite, finite),
    st.none() | st.sampled_from(get_args(Basis)),
    st.none() | texts,
)
responses = st.builds(
    Response,
    user_id=st.none() | ids,
    model=texts,
    model_version=texts,
    items=st.lists(items, max_size=3).map(tuple),
    runs=st.lists(runs, max_size=3).map(tuple),
    source=st.sampled_from(get_args(Source)),
    context=st.dictionaries(texts, st.none() | texts, max_size=3),
    warnings=st.lists(texts, max_size=2).map(tuple),
    ms=st.floats(0, 1e6),
    id=st.none() | ids,
)


@unhurried
@given(responses)
def test_every_answer_is_valid_and_has_only_fields_of_the_schema(response: Response) -> None:
    document = json.loads(success(response))

    assert complaints(document, "Recommendation") == []
    assert RESPONSE.is_valid(document)


def lines_of_workers() -> Iterator[tuple[str, bytes]]:
    told = {
        "version": "v1",
        "pid": 1,
        "uptime_s": 0.5,
        "answered": 1,
        "failures": {"internal": 1},
        "swaps": 0,
        "connections": 0,
    }
    yield "Ready", worker_line(Ready(version="v1", pid=1))
    yield "Pong", worker_line(Pong(version="v1", pid=1))
    yield "Pong", worker_line(Pong(version="v1", pid=1, id="x"))
    yield "Stats", worker_line(Stats(**told, refused=None, rss_bytes=None))
    yield "Stats", worker_line(Stats(**told, refused=Refusal(None, "no_model", "None."), rss_bytes=1, id=7))


@pytest.mark.parametrize(("name", "line"), list(lines_of_workers()))
def test_every_line_of_a_worker_is_valid(name: str, line: bytes) -> None:
    assert complaints(json.loads(line), name) == []
    assert RESPONSE.is_valid(json.loads(line))


@pytest.mark.parametrize("kind", WIRE_ERRORS.values(), ids=WIRE_ERRORS)
def test_every_failure_is_valid(kind: type[RecsysError]) -> None:
    for line in (failure(kind("No.")), failure(kind("No.", field="limit"), id=3)):
        assert complaints(json.loads(line), "Failure") == []


def test_failures_of_training_are_no_valid_line() -> None:
    assert not RESPONSE.is_valid(json.loads(failure(errors.NotEnoughData("No."))))


@pytest.mark.parametrize("field", ["ok", "user_id", "items", "runs", "ms"])
def test_an_answer_without_one_of_its_fields_is_no_line(field: str) -> None:
    document = json.loads(success(Response(7, "BMF", "v1", (), (), "model")))
    del document[field]

    assert not RESPONSE.is_valid(document)
