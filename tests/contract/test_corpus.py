"""The corpus of bad and odd input: each case as a one-shot request, and all cases with one worker."""

import io
import json
import os
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from recsys.bridge import main as entry_point
from recsys.bridge.watchdog import Watchdog
from recsys.bridge.worker import Worker
from recsys.features.features import FeatureValues
from recsys.features.query import Query
from tests.docs.test_pages import WIRE_ERRORS
from tests.helpers.corpus import add_what_only_sqlite_stores, cases, prepare
from tests.helpers.entry_points import code, install
from tests.helpers.schemas import RESPONSE
from tests.helpers.tiny_shop import INACTIVE, LEARNED, Published, moved
from tests.helpers.worker_process import WorkerProcess

CASES = cases()
GOOD = {"user_id": 3, "limit": 5}
SEEN = {"item_id": 101, "event": "view"}
TYPICAL_S = 0.2
MOST_BYTES = 300 * 2**20


@pytest.fixture(scope="module")
def shop(published: Published, tmp_path_factory: pytest.TempPathFactory) -> Published:
    return add_what_only_sqlite_stores(prepare(published.copy(tmp_path_factory.mktemp("odd") / "shop")))


@pytest.mark.parametrize("name", CASES)
def test_each_case_has_its_one_shot_answer(shop: Published, capfd: pytest.CaptureFixture[str], name: str) -> None:
    lines: list[bytes] = []

    status = entry_point.run([], io.BytesIO(CASES[name].data), lines.append, shop.environ, root=shop.folder)

    (told,) = map(checked, lines)
    expected = CASES[name].alone
    assert (code(told), status) == (expected, WIRE_ERRORS[expected].exit_status if expected else 0)
    assert capfd.readouterr() == ("", "")


def checked(line: bytes) -> dict[str, Any]:
    """Return a line that keeps to the contract."""
    assert line.isascii()
    assert line.endswith(b"\n")
    document: dict[str, Any] = json.loads(line)
    RESPONSE.validate(document)
    assert "Traceback" not in line.decode("ascii")
    return document


def test_a_worker_survives_all_cases(shop: Published, tmp_path: Path) -> None:
    folder, seconds = install(tmp_path / "door"), []
    with WorkerProcess(folder, shop.environ, stderr=subprocess.PIPE) as worker:
        for name, case in CASES.items():
            began = time.monotonic()
            codes = [code(told) for told in answers(worker, case.data, marker=name[:100])]
            seconds.append(time.monotonic() - began)
            assert codes == list(case.lines), name
        told = worker.ask({"op": "stats"})
        assert worker.end() == 0
        assert worker.process.stderr is not None
        assert worker.process.stderr.read() == b""

    assert told["answered"] == sum(len(case.lines) + 1 for case in CASES.values())
    assert told["rss_bytes"] is None or told["rss_bytes"] < MOST_BYTES
    assert statistics.median(seconds) < TYPICAL_S


def answers(worker: WorkerProcess, data: bytes, marker: str) -> list[dict[str, Any]]:
    """Return what a worker answers to some bytes and a line end; after them it still answers a good request."""
    worker.send(data)
    worker.send({**GOOD, "id": f"after {marker}"})
    told = []
    while True:
        document = worker.read()
        RESPONSE.validate(document)
        if document.get("id") == f"after {marker}":
            assert document["ok"] is True
            assert len(document["items"]) == GOOD["limit"]
            return told
        told.append(document)


@pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)
def test_the_database_makes_no_difference(published: Published, database_url: str) -> None:
    shop = prepare(moved(published, database_url))
    asked = {name: case for name, case in CASES.items() if name.startswith(("id", "domain"))}
    with closing(Worker.start(shop.environ, shop.folder, Watchdog())) as worker:
        codes = {name: code(checked(worker.answer(case.data))) for name, case in asked.items()}
        assert code(checked(worker.answer(json.dumps(GOOD).encode()))) is None

    assert codes == {name: case.alone for name, case in asked.items()}


@pytest.fixture(scope="module")
def worker(shop: Published, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    with WorkerProcess(install(tmp_path_factory.mktemp("door")), shop.environ) as worker:
        yield worker


def test_24_a_line_of_100_megabytes_is_refused_and_not_kept(worker: WorkerProcess) -> None:
    assert [code(told) for told in answers(worker, b"[" * 10**8, "24")] == ["too_large"]
    assert (worker.ask({"op": "stats"})["rss_bytes"] or 0) < MOST_BYTES


def test_22_a_line_that_comes_byte_by_byte_is_one_line(worker: WorkerProcess) -> None:
    text = "caf\u00e9 \U0001f600"
    assert worker.process.stdin is not None
    for byte in json.dumps({**GOOD, "id": text}, ensure_ascii=False).encode() + b"\n":
        os.write(worker.process.stdin.fileno(), bytes([byte]))
    told = worker.read()

    assert (told["ok"], told["id"]) == (True, text)


@pytest.mark.parametrize(("sold", "limit"), [(0, 10), (1, 10), (1, 1)])
def test_73_a_catalogue_of_no_or_one_product(published: Published, tmp_path: Path, sold: int, limit: int) -> None:
    shop = published.copy(tmp_path / "shop")
    shop.execute(f"UPDATE Products SET statusId = CASE WHEN id < {104 + sold} AND id >= 104 THEN 'S1' ELSE 'S2' END")

    told = shop.ask(user_id=1, limit=limit)

    assert [item.product_id for item in told.items] == [104] * sold
    assert bool(told.warnings) is (sold < limit)


class Indifferent:
    """A scorer to whom everything is one."""

    n_items = len(LEARNED)

    def score(
        self, query: Query, features: FeatureValues | None = None, items: NDArray[np.int32] | None = None
    ) -> NDArray[np.float32]:
        return np.full(self.n_items if items is None else len(items), 0.1, np.float32)


def test_86_equal_scores_are_ordered_by_index(published: Published) -> None:
    told = published.ask(
        published.load(popularity=Indifferent()), user_id=999, model="popularity", interactions=[SEEN], limit=100
    )

    ranked = [item.product_id for item in told.items if item.score > 0]
    assert ranked == sorted(ranked) == [item for item in LEARNED if item not in INACTIVE]
