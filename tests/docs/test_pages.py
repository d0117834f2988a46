"""docs/PROTOCOL.md says what the code does: its examples are read and written by the contract, its tables compared."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from recsys import errors
from recsys.bridge import hot_swap as versions
from recsys.bridge import serving as answering
from recsys.bridge import serving as service
from recsys.bridge import watchdog as deadlines
from recsys.bridge import worker
from recsys.bridge.main import ANSWER_LOST
from recsys.contract import (
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
from recsys.contract.request import MAX_BUDGET_MS
from recsys.contract.worker_messages import Limits, Pong, Ready, Refusal, Stats, worker_line
from recsys.errors import RecsysError
from recsys.scorers.registry import REGISTRY

PROTOCOL = (Path(__file__).parents[2] / "docs" / "PROTOCOL.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```json ([^\n]+)\n(.+?)^```$", PROTOCOL, re.MULTILINE | re.DOTALL)
WIRE_ERRORS = {
    kind.code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, RecsysError) and kind.exit_status >= 64  # 3 is training's refusal
}


def examples(kind: str) -> list[str]:
    return [text for name, text in EXAMPLES if name == kind]


def only(kind: str) -> dict[str, Any]:
    (text,) = examples(kind)
    return json.loads(text)


def in_rows(text: str) -> list[list[str]]:
    """Return the cells of every table row."""
    return [[cell.strip() for cell in row.split("|")[1:-1]] for row in text.splitlines() if row.startswith("|")]


def test_every_example_is_of_a_kind_that_is_checked() -> None:
    assert sorted({kind for kind, _ in EXAMPLES}) == [
        "failure",
        "pong",
        "ready",
        "request",
        "request refused",
        "request worker",
        "response",
        "stats",
    ]
    assert PROTOCOL.count("```") == 2 * (len(EXAMPLES) + PROTOCOL.count("\n```js\n"))


@pytest.mark.parametrize("text", examples("request"))
def test_the_request_examples_are_requests(text: str) -> None:
    assert isinstance(parse_request(text.encode(), models=tuple(REGISTRY)), Request)


def test_the_worker_examples_are_requests_of_a_worker() -> None:
    parsed = [
        parse_request(text.encode(), models=tuple(REGISTRY), ops=worker.WORKER_OPS)
        for text in examples("request worker")
    ]

    assert {request.op for request in parsed} | set(answering.OPS) == set(worker.WORKER_OPS)


def test_the_full_request_example_uses_every_field_of_recommend() -> None:
    fullest = max(examples("request"), key=len)
    given = json.loads(fullest)

    of_others = {"item_id", "item_ids", "complementary"}
    assert set(given) == {field.name for field in dataclasses.fields(Request)} - of_others
    assert set(given["filters"]) == {field.name for field in dataclasses.fields(Filters)}


def test_the_answer_example_is_what_the_contract_writes() -> None:
    told = only("response")
    items = [
        Item(item["productId"], item["score"], Reason(**item["reason"]) if "reason" in item else None)
        for item in told["items"]
    ]
    runs = [
        Run(
            run["model"],
            tuple(run["items"]),
            run["metrics"] and Metrics(**run["metrics"]),
            run["basis"],
            run.get("error"),
        )
        for run in told["runs"]
    ]
    rest = {name: value for name, value in told.items() if name not in ("ok", "items", "runs")}

    assert json.loads(success(Response(**rest, items=tuple(items), runs=tuple(runs)))) == told


def test_the_failure_example_is_what_the_contract_writes() -> None:
    told = only("failure")
    error = WIRE_ERRORS[told["error"]["code"]](told["error"]["message"], field=told["error"]["field"])

    assert json.loads(failure(error, id=told["id"])) == told
    with pytest.raises(type(error), match=re.escape(str(error))):
        parse_request(b'{"user_id": 7, "limit": 0}', models=())


def test_the_worker_lines_are_what_the_contract_writes() -> None:
    greeting, answer, told = only("ready"), only("pong"), only("stats")

    assert json.loads(worker_line(Ready(**{**greeting, "limits": Limits(**greeting["limits"])}))) == greeting
    assert json.loads(worker_line(Pong(**answer))) == answer
    assert json.loads(worker_line(Stats(**{**told, "refused": Refusal(**told["refused"])}))) == told
    assert Limits(**greeting["limits"]) == Limits()


def test_the_table_of_failures_is_the_table_of_error_classes() -> None:
    rows = [row for row in in_rows(PROTOCOL) if len(row) == 4 and row[0].isdigit()]

    assert {code.strip("`"): (int(status), retryable) for status, code, retryable, _ in rows} == {
        code: (kind.exit_status, "yes" if kind.retryable else "no") for code, kind in WIRE_ERRORS.items()
    }
    assert [int(status) for status, *_ in rows] == sorted(int(status) for status, *_ in rows)


ON_THE_WIRE = (Request, Filters, RecentEvent, Response, Run, Metrics, Reason, Ready, Pong, Stats, Refusal, Limits)


@pytest.mark.parametrize("kind", ON_THE_WIRE, ids=lambda kind: kind.__name__)
def test_every_field_on_the_wire_is_named(kind: type) -> None:
    for name in kind.__annotations__:
        assert f"`{name}`" in PROTOCOL or f'"{name}"' in PROTOCOL, name


def test_the_names_of_the_models_are_those_of_the_registry_in_its_order() -> None:
    (line,) = (line for line in PROTOCOL.splitlines() if line.startswith("Models: "))

    assert re.findall(r"`(\w+)`", line) == list(REGISTRY)


def test_every_limit_has_its_figure() -> None:
    figures = {int(figure) for figure in re.findall(r"(?<![\w-])\d+(?![\w-])", PROTOCOL)}

    assert {
        *dataclasses.astuple(Limits()),
        MAX_WHOLE,
        MAX_TEXT_BYTES,
        MAX_BUDGET_MS,
        ANSWER_LOST,
        worker.LAST_BUDGET_MS,
    } <= figures
    assert f"{deadlines.WATCHDOG_GRACE_S} s" in PROTOCOL
    assert f"{service.DATABASE_TIMEOUT_S:.0f} s" in PROTOCOL
    assert f"{versions.AGAIN_AFTER_S:.0f} s" in PROTOCOL


def test_a_worker_is_gone_a_second_after_the_end_of_its_input() -> None:
    assert worker.LAST_BUDGET_MS / 1000 + deadlines.WATCHDOG_GRACE_S <= deadlines.LAST_ANSWER_S == 1.0
    assert "no answer may take longer than a second" in PROTOCOL


def test_a_new_version_is_noticed_within_a_quarter_of_a_second() -> None:
    assert versions.LOOK_EVERY_S == 0.25
    assert versions.ENCODERS_AFTER_S == 60
    assert "within a quarter of a second" in PROTOCOL
