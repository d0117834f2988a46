"""Streams of noise and streams of questions that nobody thought of: a worker answers each line, in its place, and never with a defect."""

import io
import json
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from recsys.bridge import main as entry_point
from recsys.bridge.watchdog import Watchdog
from recsys.bridge.worker import Worker
from recsys.contract import Item, Request, Response
from recsys.contract.schema import response_schema
from recsys.scorers.registry import REGISTRY
from tests.contract.test_request import FIELDS, anything
from tests.helpers.entry_points import code
from tests.helpers.tiny_shop import BRANDS, CATEGORIES, INACTIVE, NOW, Published

SCHEMA = Draft202012Validator(response_schema())
unhurried = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)  # a busy machine is no finding


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everybody be answered at once."""
    names = ("recsys.recommending.loading", "recsys.recommending.recommend", "recsys.store")
    loading, use_case, store = map(ModuleType, names)
    link = SimpleNamespace(limit=lambda until: None, close=lambda: None, is_stale=False)

    def recommend(request: Request, bundle: SimpleNamespace, database: object, **_: object) -> Response:
        return Response(request.user_id, "BMF", bundle.name, (Item(1, 0.5),), (), "model")

    stands_in: dict[str, Any] = {
        "load": lambda models_dir, full, resident_limit=0: SimpleNamespace(name="v1", warm=lambda: None),
        "recommend": recommend,
        "connect": lambda url, timeout_s: link,
    }
    for module, names in ((loading, ("load",)), (use_case, ("recommend",)), (store, ("connect",))):
        for name in names:
            setattr(module, name, stands_in[name])
        monkeypatch.setitem(sys.modules, module.__name__, module)


class Dripping(io.RawIOBase):
    """A pipe whose bytes come in pieces of given sizes."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        self._rest, self._sizes = data, sizes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = min(self._sizes.pop(0) if self._sizes else len(buffer), len(buffer))
        piece, self._rest = self._rest[:size], self._rest[size:]
        buffer[: len(piece)] = piece
        return len(piece)


def work(data: bytes, folder: Path, sizes: list[int] | None = None) -> list[dict[str, Any]]:
    """Return what a worker says to a stream after `ready`."""
    lines: list[bytes] = []
    requests = io.BytesIO(data) if sizes is None else io.BufferedReader(Dripping(data, sizes))
    status = entry_point.run(
        ["--worker"], requests, lines.append, {"DATABASE_URL": "sqlite:///shop.sqlite"}, root=folder
    )
    assert status == 0
    documents = [json.loads(line) for line in lines]
    for line, document in zip(lines, documents, strict=True):
        assert line.isascii() and line.count(b"\n") == 1
        assert SCHEMA.is_valid(document), document
        document.pop("ms", None)
    return documents[1:]


def cut(data: bytes, where: int) -> bytes:
    return data[: where % (len(data) + 1)]


def flipped(data: bytes, where: int, byte: int) -> bytes:
    where %= len(data)
    return data[:where] + bytes([byte]) + data[where + 1 :]


documents = st.dictionaries(st.sampled_from(FIELDS), anything, max_size=5).map(
    lambda document: json.dumps(document).encode()
)
good = st.integers(0, 999).map(lambda user: b'{"user_id": %d, "id": "good"}' % user)
damaged = st.builds(flipped, good | documents, st.integers(0, 500), st.integers(0, 255)) | st.builds(
    cut, good | documents, st.integers(0)
)
lines = (good | documents | damaged | st.binary(max_size=60)).map(lambda line: line.replace(b"\n", b" "))


@pytest.mark.usefixtures("stage")
@unhurried
@given(st.lists(lines, max_size=12), st.sampled_from([b"\n", b"\r\n"]))
@example([b'{"op": "reload"}', b'{"op": "stats"}', b""], b"\n")
def test_every_line_has_its_answer_in_its_place(tmp_path: Path, stream: list[bytes], end: bytes) -> None:
    told = work(b"".join(line + end for line in stream), tmp_path)

    assert len(told) == len(stream)
    for line, document in zip(stream, told, strict=True):
        assert code(document) != "internal"
        if line.endswith(b', "id": "good"}') and line.startswith(b'{"user_id": ') and line[12:-15].isdigit():
            assert (document["ok"], document["user_id"], document["id"]) == (True, int(line[12:-15]), "good")


@pytest.mark.usefixtures("stage")
@unhurried
@given(st.lists(lines, max_size=6), st.lists(st.integers(1, 40), max_size=60))
def test_how_the_bytes_come_makes_no_difference(tmp_path: Path, stream: list[bytes], sizes: list[int]) -> None:
    data = b"\n".join(line for line in stream if b"stats" not in line)  # which tells the time

    assert work(data, tmp_path, sizes) == work(data, tmp_path)


# From here on the real thing.


@pytest.fixture(scope="module")
def worker(published: Published) -> Iterator[Worker]:
    with closing(Worker.start(published.environ, published.folder, Watchdog())) as worker:
        yield worker


item = st.integers(100, 141) | st.integers(100, 141).map(str) | st.sampled_from(["0101", "x", 0, -1, 2**53 - 1])
items = st.lists(item, max_size=30)
moments = st.none() | st.integers(NOW - 10**7, NOW + 10**7) | st.sampled_from([0, 253_402_300_799])
events = st.fixed_dictionaries(
    {"item_id": item, "event": st.sampled_from(["view", "cart", "purchase", "star1", "star5", "cancel", "stare"])},
    optional={"timestamp": moments},
)
prices = st.none() | st.floats(0, 60)
wanted = st.fixed_dictionaries(
    {},
    optional={
        "category": st.sampled_from([*CATEGORIES, "TEA", "x", 7]),
        "brand": st.sampled_from([*BRANDS, "x"]),
        "price_min": prices,
        "price_max": prices,
        "in_stock": st.booleans(),
    },
)
context = st.dictionaries(
    st.sampled_from(["device_type", "time_of_day", "season", "category", "moon"]),
    st.sampled_from([None, "mobile", "tea", "night", 7]),
)
questions = st.fixed_dictionaries(
    {},
    optional={
        "op": st.sampled_from(["recommend", "similar"]),
        "user_id": st.integers(-1, 61) | st.sampled_from(["7", "07", "x"]),
        "limit": st.integers(1, 100),
        "model": st.sampled_from(["auto", *REGISTRY]),
        "context": context,
        "interactions": st.lists(events, max_size=20),
        "ground_truth": items,
        "candidates": st.none() | items,
        "exclude": items,
        "filters": wanted,
        "item_id": item,
    },
).map(
    lambda question: (
        question
        if question.get("op") == "similar"
        else {name: question[name] for name in question if name != "item_id"}
    )
)


@unhurried
@given(questions)
def test_every_question_has_an_answer_that_keeps_to_it(worker: Worker, question: dict[str, Any]) -> None:
    told = json.loads(worker.answer(json.dumps(question).encode()))

    assert SCHEMA.is_valid(told)
    assert code(told) in (None, "invalid_request", "unknown_user")
    if told["ok"]:
        shown = [each["productId"] for each in told["items"]]
        assert len(shown) == len(set(shown)) <= question.get("limit", 10)
        assert not {str(each) for each in question.get("exclude", ())} & {str(each) for each in shown}
        assert not INACTIVE & set(shown)
        if question.get("candidates") is not None:
            assert {str(each) for each in shown} <= {str(each) for each in question["candidates"]}
        scores = [each["score"] for each in told["items"]]
        assert scores == sorted(scores, reverse=True)
        assert all(0 <= score <= 1 for score in scores)
