"""Answers: one line of ASCII that every JSON parser reads the same way."""

import json

import numpy as np
import pytest

from recsys import errors
from recsys.contract import Item, Metrics, Reason, Response, Run, failure, success
from recsys.contract.worker_messages import Pong, Ready, Refusal, Stats, worker_line
from recsys.errors import InternalError, InvalidRequest, RecsysError

ANSWER = Response(
    user_id=7,
    model="ENCM",
    model_version="20261120T231800Z-0a1b2c3d",
    items=(Item(12, 0.75, Reason("viewed", 3)), Item(5, 0.5, Reason("popular", category="tea")), Item(9, 0.25)),
    runs=(
        Run("ENCM", (12, 5), Metrics(0.2, 0.125), "fresh"),
        Run("LNCM", (5,), Metrics(0.1, 0.05), "heldout"),
        Run("NeuMF", error="the scores are not finite"),
    ),
    source="model",
    context={"device_type": "mobile", "category": None},
    warnings=("`weather` is no context feature.",),
    ms=3.5,
    id="r-1",
)


def line(document: bytes) -> dict[str, object]:
    """Return the object of one answer, as a strict reader takes it."""
    assert document.endswith(b"\n")
    assert document.count(b"\n") == 1
    assert document.isascii()
    return json.loads(document, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_an_answer_has_exactly_the_fields_of_the_contract() -> None:
    assert line(success(ANSWER)) == {
        "ok": True,
        "user_id": 7,
        "model": "ENCM",
        "model_version": "20261120T231800Z-0a1b2c3d",
        "items": [
            {"productId": 12, "score": 0.75, "reason": {"code": "viewed", "item_id": 3}},
            {"productId": 5, "score": 0.5, "reason": {"code": "popular", "category": "tea"}},
            {"productId": 9, "score": 0.25},
        ],
        "runs": [
            {"model": "ENCM", "items": [12, 5], "metrics": {"precision10": 0.2, "map10": 0.125}, "basis": "fresh"},
            {"model": "LNCM", "items": [5], "metrics": {"precision10": 0.1, "map10": 0.05}, "basis": "heldout"},
            {"model": "NeuMF", "items": [], "metrics": None, "basis": None, "error": "the scores are not finite"},
        ],
        "source": "model",
        "context": {"device_type": "mobile", "category": None},
        "warnings": ["`weather` is no context feature."],
        "ms": 3.5,
        "id": "r-1",
    }


def test_an_absent_id_is_left_out_but_the_id_zero_is_repeated() -> None:
    assert "id" not in line(success(Response(None, "BMF", "v", (), (), "model")))
    assert line(success(Response(None, "BMF", "v", (), (), "model", id=0)))["id"] == 0


def test_numpy_numbers_are_written_as_plain_ones() -> None:
    run = Run("BMF", (np.int64(2), np.int64(2**53)))
    answer = line(success(Response(np.int64(7), "BMF", "v", (Item(np.int64(1), np.float32(0.5)),), (run,), "model")))
    assert (answer["user_id"], answer["items"]) == (7, [{"productId": 1, "score": 0.5}])
    assert answer["runs"] == [{"model": "BMF", "items": [2, "9007199254740992"], "metrics": None, "basis": None}]


def test_ids_that_javascript_would_round_are_written_as_text() -> None:
    answer = line(success(Response(2**53, "BMF", "v", (Item(2**53 - 1, 0.5), Item(-(2**53), 0.5)), (), "model")))
    assert answer["user_id"] == "9007199254740992"
    assert [item["productId"] for item in answer["items"]] == [9007199254740991, "-9007199254740992"]


@pytest.mark.parametrize("text", ["caf\u00e9", "a\u2028b", "\U0001f600", "\x00\x1b\n", "\ud800", "</script>"])
def test_any_text_is_written_as_one_line_of_ascii(text: str) -> None:
    answer = line(success(Response(text, "BMF", "v", (), (), "model", {text: text}, (text,), id=text)))
    assert (answer["user_id"], answer["context"], answer["warnings"], answer["id"]) == (
        text,
        {text: text},
        [text],
        text,
    )


TEXTS = ["plain", "caf\u00e9", '\x00\b\t\n\f\r\x1b\x1f "\\\\/\x7f', "\u2028\ud800", "\U0001f600"]
NUMBERS = [0.5, 1.0, 1, 0.1, 1 / 3, -0.0, 1e16, 5e-324, np.float64(0.25)]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("number", NUMBERS)
def test_an_answer_has_the_bytes_of_the_standard_library(text: str, number: float) -> None:
    answer = success(Response(text, "BMF", "v", (Item(text, number),), (), "model", {text: None}, (text,), number))
    assert answer == json.dumps(json.loads(answer), separators=(",", ":")).encode() + b"\n"


@pytest.mark.parametrize(("number", "spelling"), [(1e-07, b"1e-7"), (0.00002, b"0.00002")])
def test_small_numbers_have_another_spelling_and_the_same_value(number: float, spelling: bytes) -> None:
    answer = success(Response(7, "BMF", "v", (Item(1, number),), (), "model"))
    assert b'"score":' + spelling + b"}" in answer
    assert line(answer)["items"] == [{"productId": 1, "score": number}]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf"), np.float32("nan")])
def test_a_number_that_is_not_finite_is_never_written(number: float) -> None:
    broken = [
        Response(7, "BMF", "v", (Item(1, number),), (), "model"),
        Response(7, "BMF", "v", (), (Run("BMF", (), Metrics(number, 0.0), "fresh"),), "model"),
        Response(7, "BMF", "v", (), (Run("BMF", (), Metrics(0.0, number), "fresh"),), "model"),
        Response(7, "BMF", "v", (), (), "model", ms=number),
    ]
    for answer in broken:
        with pytest.raises(InternalError, match="should be finite"):
            success(answer)


def test_a_failure_names_code_message_field_and_whether_to_retry() -> None:
    assert line(failure(InvalidRequest("`limit` should be less.", field="limit"), id="r-1")) == {
        "ok": False,
        "error": {
            "code": "invalid_request",
            "message": "`limit` should be less.",
            "field": "limit",
            "retryable": False,
        },
        "id": "r-1",
    }


WIRE_ERRORS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, RecsysError)]


@pytest.mark.parametrize("kind", WIRE_ERRORS)
def test_every_error_class_is_written_as_one_line(kind: type[RecsysError]) -> None:
    told = line(failure(kind("caf\u00e9\n\x1b[31m")))
    assert told == {
        "ok": False,
        "error": {"code": kind.code, "message": "caf\u00e9\n\x1b[31m", "retryable": kind.retryable},
    }


def test_ready_has_protocol_version_limits_and_pid() -> None:
    assert line(worker_line(Ready(version="v1", pid=42))) == {
        "ready": True,
        "protocol": 1,
        "version": "v1",
        "limits": {"bytes": 1_048_576, "depth": 32, "list": 10_000, "limit": 100},
        "pid": 42,
    }


def test_a_pong_names_the_version_that_serves() -> None:
    assert line(worker_line(Pong(version="v1", pid=42, id=3))) == {
        "ok": True,
        "protocol": 1,
        "version": "v1",
        "pid": 42,
        "refused": None,
        "id": 3,
    }
    assert "id" not in line(worker_line(Pong(version="v1", pid=42)))


def test_stats_have_the_counts_of_a_worker() -> None:
    refusal = Refusal("v2", "model_refused", "caf\u00e9")
    told = Stats(
        version="v1",
        pid=42,
        uptime_s=1.5,
        answered=3,
        failures={"invalid_json": 1},
        swaps=0,
        refused=refusal,
        connections=1,
        rss_bytes=None,
    )
    assert line(worker_line(told)) == {
        "ok": True,
        "protocol": 1,
        "version": "v1",
        "pid": 42,
        "uptime_s": 1.5,
        "answered": 3,
        "failures": {"invalid_json": 1},
        "swaps": 0,
        "refused": {"version": "v2", "code": "model_refused", "message": "caf\u00e9"},
        "connections": 1,
        "rss_bytes": None,
    }
