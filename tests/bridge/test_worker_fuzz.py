"""Random bytes and random requests: a worker answers each line, in order, and never with a defect."""

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

from recsys.bridge import main as entry_point
from recsys.bridge.watchdog import Watchdog
from recsys.bridge.worker import Worker
from recsys.contract import Item, Request, Response
from recsys.scorers.registry import REGISTRY
from tests.contract.test_request import FIELDS, anything
from tests.helpers.entry_points import code
from tests.helpers.schemas import RESPONSE
from tests.helpers.tiny_shop import BRANDS, CATEGORIES, INACTIVE, NOW, Published

# A busy machine is no finding.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace use case and database, so that every request is answered at once."""
    names = ("recsys.recommending.loading", "recsys.recommending.recommend", "recsys.store")
    loading, use_case, store = map(ModuleType, names)
    link = SimpleNamespace(limit=lambda until: None, close=lambda: None, is_stale=False)

    def recommend(request: Request, bundle: SimpleNamespace, database: object, **_: object) -> Response:
        return Response(request.user_id, "BMF", bundle.name, (Item(1, 0.5),), (), "model")

    functions: dict[str, Any] = {
        "load": lambda models_dir, full, resident_limit=0: SimpleNamespace(name="v1", warm=lambda: None),
        "recommend": recommend,
        "connect": lambda url, timeout_s: link,
    }
    for module, names in ((loading, ("load",)), (use_case, ("recommend",)), (store, ("connect",))):
        for name in names:
            setattr(module, name, functions[name])
        monkeypatch.setitem(sys.modules, module.__name__, module)


class Dripping(io.RawIOBase):
    """A pipe whose bytes arrive in pieces of the given sizes."""

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
    """Return a worker's answers to a stream, without `ready`."""
    lines: list[bytes] = []
    requests = io.BytesIO(data) if sizes is None else io.BufferedReader(Dripping(data, sizes))
    status = entry_point.run(
        ["--worker"], requests, lines.append, {"DATABASE_URL": "sqlite:///shop.sqlite"}, root=folder
    )
    assert status == 0
    documents = [json.loads(line) for line in lines]
    for line, document in zip(lines, documents, strict=True):
        assert line.isascii() and line.count(b"\n") == 1
        assert RESPONSE.is_valid(document), document
        document.pop("ms", None)
    return documents[1:]


def truncated(data: bytes, where: int) -> bytes:
    return data[: where % (len(data) + 1)]


def flipped(data: bytes, where: int, byte: int) -> bytes:
    where %= len(data)
    return data[:where] + bytes([byte]) + data[where + 1 :]


documents = st.dictionaries(st.sampled_from(FIELDS), anything, max_size=5).map(
    lambda document: json.dumps(document).encode()
)
good = st.integers(0, 999).map(lambda user: b'{"user_id": %d, "id": "good"}' % user)
damaged = st.builds(flipped, good | documents, st.integers(0, 500), st.integers(0, 255)) | st.builds(
    truncated, good | documents, st.integers(0)
)
lines = (good | documents | damaged | st.binary(max_size=60)).map(lambda line: line.replace(b"\n", b" "))


@pytest.mark.usefixtures("stand_ins")
@unhurried
@given(st.lists(lines, max_size=12), st.sampled_from([b"\n", b"\r\n"]))
@example([b'{"op": "reload"}', b'{"op": "stats"}', b""], b"\n")
def test_every_line_has_one_answer_in_order(tmp_path: Path, stream: list[bytes], end: bytes) -> None:
    answers = work(b"".join(line + end for line in stream), tmp_path)

    assert len(answers) == len(stream)
    for line, document in zip(stream, answers, strict=True):
        assert code(document) != "internal"
        if line.endswith(b', "id": "good"}') and line.startswith(b'{"user_id": ') and line[12:-15].isdigit():
            assert (document["ok"], document["user_id"], document["id"]) == (True, int(line[12:-15]), "good")


@pytest.mark.usefixtures("stand_ins")
@unhurried
@given(st.lists(lines, max_size=6), st.lists(st.integers(1, 40), max_size=60))
def test_the_sizes_of_arriving_pieces_change_nothing(tmp_path: Path, stream: list[bytes], sizes: list[int]) -> None:
    data = b"\n".join(line for line in stream if b"stats" not in line)  # whose answer contains the time

    assert work(data, tmp_path, sizes) == work(data, tmp_path)


# The tests below use a real version.


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
filters = st.fixed_dictionaries(
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
requests = st.fixed_dictionaries(
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
        "filters": filters,
        "item_id": item,
    },
).map(lambda request: {name: request[name] for name in request if name != "item_id" or request.get("op") == "similar"})


@unhurried
@given(requests)
def test_every_random_request_has_an_answer_that_obeys_it(worker: Worker, request: dict[str, Any]) -> None:
    answer = json.loads(worker.answer(json.dumps(request).encode()))

    assert RESPONSE.is_valid(answer)
    assert code(answer) in (None, "invalid_request", "unknown_user")
    if answer["ok"]:
        shown = [each["productId"] for each in answer["items"]]
        assert len(shown) == len(set(shown)) <= request.get("limit", 10)
        assert not {str(each) for each in request.get("exclude", ())} & {str(each) for each in shown}
        assert not INACTIVE & set(shown)
        if request.get("candidates") is not None:
            assert {str(each) for each in shown} <= {str(each) for each in request["candidates"]}
        scores = [each["score"] for each in answer["items"]]
        assert scores == sorted(scores, reverse=True)
        assert all(0 <= score <= 1 for score in scores)
