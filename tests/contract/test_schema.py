"""docs/schema/: the schemas agree with the parser, its limits, the records and the answers."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from recsys import errors
from recsys.contract import (
    MAX_LENGTH,
    MAX_TEXT_BYTES,
    MAX_WHOLE,
    Filters,
    Item,
    Metrics,
    Reason,
    RecentEvent,
    Request,
    Response,
    Run,
    failure,
    parse_request,
    success,
)
from recsys.contract.request import AUTO, EVENT_CHECKS, FILTER_CHECKS, LAST_SECOND, MAX_BUDGET_MS, MAX_LIMIT, Op
from recsys.contract.response import Basis, ReasonCode, Source
from recsys.contract.worker_messages import Limits, Pong, Ready, Refusal, Stats, worker_line
from recsys.errors import RecsysError
from recsys.scorers.registry import REGISTRY
from tests.contract.test_request import (
    ACCEPTED,
    FIELDS,
    REFUSED,
    WRONG_TYPES,
    anything,
    ids,
    texts,
    valid_requests,
)
from tests.docs.test_pages import EXAMPLES, WIRE_ERRORS
from tests.helpers.schemas import REQUEST, RESPONSE, schema

MODELS, OPS = tuple(REGISTRY), get_args(Op)
ASKED, TOLD = schema("request"), schema("response")
unhurried = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("document", [ASKED, TOLD], ids=["request", "response"])
def test_the_files_are_json_schemas(document: Any) -> None:
    Draft202012Validator.check_schema(document)


def test_operations_and_models_of_the_schema_are_those_of_the_code() -> None:
    assert ASKED["properties"]["op"]["enum"] == [*OPS, None]
    assert ASKED["properties"]["model"]["enum"] == [AUTO, *REGISTRY, None]


def test_failures_of_the_schema_have_the_codes_of_the_error_classes() -> None:
    codes = TOLD["$defs"]["Failure"]["properties"]["error"]["properties"]["code"]["enum"]
    assert sorted(codes) == sorted({kind.code for kind in WIRE_ERRORS.values()})


RECORDS = {
    "Recommendation": Response,
    "Item": Item,
    "Reason": Reason,
    "Run": Run,
    "Metrics": Metrics,
    "Ready": Ready,
    "Limits": Limits,
    "Pong": Pong,
    "Stats": Stats,
    "Refusal": Refusal,
}


@pytest.mark.parametrize("name", RECORDS)
def test_answers_of_the_schema_have_the_fields_of_their_records(name: str) -> None:
    renamed = {"product_id": "productId"}
    fields = {renamed.get(field, field) for field in RECORDS[name].__annotations__}
    assert TOLD["$defs"][name]["properties"].keys() - {"ok"} == fields - {"ok"}


@pytest.mark.parametrize("kind", [Request, RecentEvent, Filters])
def test_requests_of_the_schema_have_the_fields_and_defaults_of_their_records(kind: type[Any]) -> None:
    properties = (ASKED if kind is Request else ASKED["$defs"][kind.__name__])["properties"]
    defaults = {field.name: field.default for field in dataclasses.fields(kind) if isinstance(field.default, str | int)}
    assert list(properties) == [field.name for field in dataclasses.fields(kind)]
    assert {name: told["default"] for name, told in properties.items() if "default" in told} == defaults


LIMITS = {  # the largest and smallest values of each limit, and those just beyond
    "limit": ({"limit": 1}, {"limit": MAX_LIMIT}, {"limit": 0}, {"limit": MAX_LIMIT + 1}),
    "budget": ({"budget_ms": 1}, {"budget_ms": MAX_BUDGET_MS}, {"budget_ms": 0}, {"budget_ms": MAX_BUDGET_MS + 1}),
    "id": ({"id": MAX_WHOLE}, {"id": -MAX_WHOLE}, {"id": MAX_WHOLE + 1}, {"id": -MAX_WHOLE - 1}),
    "text": ({"id": "x"}, {"id": "x" * MAX_TEXT_BYTES}, {"id": ""}, {"id": "x" * (MAX_TEXT_BYTES + 1)}),
    "list": ({"exclude": []}, {"exclude": [1] * MAX_LENGTH}, None, {"exclude": [1] * (MAX_LENGTH + 1)}),
    "context": (
        {"context": {}},
        {"context": {str(number): None for number in range(MAX_LENGTH)}},
        None,
        {"context": {str(number): None for number in range(MAX_LENGTH + 1)}},
    ),
    "timestamp": tuple(
        {"interactions": [{"item_id": 1, "event": "view", "timestamp": second}]}
        for second in (0, LAST_SECOND, -1, LAST_SECOND + 1)
    ),
    "price": ({"filters": {"price_min": 0}}, {"filters": {"price_max": 0}}, {"filters": {"price_min": -0.01}}, None),
}


@pytest.mark.parametrize("name", LIMITS)
def test_parser_and_schema_draw_each_limit_at_the_same_place(name: str) -> None:
    least, most, below, above = LIMITS[name]
    for change, is_valid in ((least, True), (most, True), (below, False), (above, False)):
        if change is not None:
            document = {"user_id": 7, **change}
            assert isinstance(parsed(json.dumps(document).encode()), Request) is is_valid
            assert REQUEST.is_valid(document) is is_valid


@pytest.mark.parametrize("checks", [EVENT_CHECKS, FILTER_CHECKS], ids=["event", "filters"])
def test_every_field_that_is_read_is_in_the_schema(checks: Mapping[str, object]) -> None:
    name = "RecentEvent" if checks is EVENT_CHECKS else "Filters"
    assert ASKED["$defs"][name]["properties"].keys() == checks.keys()


def closed(schema: Any) -> Any:
    """Return a schema that admits no fields but those it names."""
    if isinstance(schema, list):
        return [closed(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: closed(value) for name, value in schema.items()}
    return {"additionalProperties": False, **inner} if "properties" in inner and "type" in inner else inner


STRICT = closed(TOLD)


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
        assert list(REQUEST.iter_errors(json.loads(text))) == []
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
    needed = {"similar": {"item_id": 7}, "together": {"item_ids": [7]}}.get(op, {})

    assert REQUEST.is_valid({"op": op, **needed})
    assert REQUEST.is_valid({"op": op}) is (not needed)


finite = st.floats(0, 1)
items = st.builds(
    Item,
    ids,
    finite,
    st.none() | st.builds(Reason, st.sampled_from(get_args(ReasonCode)), st.none() | ids, st.none() | texts),
)
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
