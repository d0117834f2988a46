"""A worker with a real version: the answers of a one-shot process, two statements for each request, hot swaps."""

import io
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from recsys import store
from recsys.artifacts import activate
from recsys.artifacts.arrays import release_pages
from recsys.bridge import main as entry_point
from recsys.bridge import serving as service
from recsys.bridge import worker as worker_module
from recsys.bridge.watchdog import Watchdog
from recsys.bridge.worker import Worker
from recsys.store import connect
from tests.helpers.entry_points import answer, ask, code, install
from tests.helpers.second_version import point_at, second_version
from tests.helpers.tiny_shop import NOW, Published, event, moved
from tests.helpers.worker_process import WorkerProcess

STRANGER = 1000
REQUESTS: Mapping[str, Mapping[str, Any]] = {
    "a user": {"user_id": 7},
    "a user with few events": {"user_id": 58},
    "a stranger": {"user_id": STRANGER},
    "nobody": {"user_id": 999_999},
    "a guest": {
        "interactions": [{"item_id": 103, "event": "view"}, {"item_id": "104", "event": "cart", "timestamp": NOW}]
    },
    "a guest of unknown items": {"interactions": [{"item_id": 9999, "event": "view"}]},
    "everything at once": {
        "user_id": 7,
        "limit": 20,
        "context": {"device_type": "mobile", "category": "tea", "moon": "full"},
        "interactions": [{"item_id": 101, "event": "purchase"}],
        "ground_truth": [102, 103, 105, 9999],
        "exclude": [110, "111", "0112", -1, 2**53 - 1],
        "filters": {"price_min": 6, "price_max": 40},
    },
    "candidates": {"user_id": 3, "candidates": [101, 104, 107, 138, 139, 9999]},
    "no candidates": {"user_id": 3, "candidates": []},
    "a category": {"user_id": 4, "limit": 3, "filters": {"category": "TEA", "brand": "nord"}},
    "all there is": {"user_id": 3, "limit": 100},
    "one model": {"user_id": 5, "model": "bmf"},
    "a baseline": {"user_id": 5, "model": "item_cf"},
    "similar": {"op": "similar", "item_id": 101},
    "similar for a user": {"op": "similar", "item_id": 101, "user_id": 7},
    "similar to nothing known": {"op": "similar", "item_id": "abc"},
    "a wrong event": {"interactions": [{"item_id": 101, "event": "stare"}]},
    "refused": {"user_id": 7, "limit": 0},
}


@pytest.fixture
def shop(published: Published, tmp_path: Path) -> Published:
    shop = published.copy(tmp_path / "shop")
    shop.add([event(STRANGER, 101 + n, "view", NOW - 60) for n in range(5)])
    return shop


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop the calendar: the hour is a context feature, and older events count less."""
    monkeypatch.setattr(service, "time", SimpleNamespace(monotonic=time.monotonic, time=lambda: float(NOW)))


def one_shot(shop: Published, request: Mapping[str, Any]) -> dict[str, Any]:
    lines: list[bytes] = []
    entry_point.run([], io.BytesIO(json.dumps(request).encode()), lines.append, shop.environ, root=shop.folder)
    return without_ms(lines[0])


def without_ms(line: bytes) -> dict[str, Any]:
    """Return the document of a line, without its time."""
    document: dict[str, Any] = json.loads(line)
    document.pop("ms", None)
    return document


@pytest.mark.usefixtures("stopped")
def test_a_worker_answers_as_a_one_shot_process_does_to_the_last_digit(
    shop: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after it has released all mapped memory."""
    released: list[None] = []
    monkeypatch.setattr(worker_module, "trim_memory", lambda: released.append(release_pages()))
    one_shots = {name: one_shot(shop, request) for name, request in REQUESTS.items()}
    with closing(Worker.start(shop.environ, shop.folder, Watchdog())) as worker:
        first = {name: without_ms(worker.answer(json.dumps(request).encode())) for name, request in REQUESTS.items()}
        worker_module.trim_memory()
        again = {
            name: without_ms(worker.answer(json.dumps(request).encode()))
            for name, request in reversed(REQUESTS.items())
        }

    assert first == one_shots
    assert again == one_shots
    assert len(released) == 1
    assert {name for name, document in one_shots.items() if not document["ok"]} == {
        "a wrong event",
        "refused",
    }


STATEMENTS = {
    "a user": 2,  # index and events of the user; present rows of the best items
    "a stranger": 2,
    "everything at once": 2,
    "a category": 2,
    "a guest": 2,
    "similar": 2,
    "candidates": 3,  # the ranking has no more: the newest products fill the list
    "nobody": 2,  # what is popular
    "refused": 0,
}


def test_a_worker_needs_two_statements(
    published: Published, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = moved(published.copy(tmp_path / "shop"), database_url)
    shop.add([event(STRANGER, 101 + n, "view", NOW - 60) for n in range(5)])
    sent: list[str] = []
    monkeypatch.setattr(store, "connect", partial(connect, tracer=lambda sql, values: sent.append(sql)))
    with closing(Worker.start(shop.environ, shop.folder, Watchdog())) as worker:
        counts = {}
        for name in [*STATEMENTS, *STATEMENTS]:
            sent.clear()
            worker.answer(json.dumps(REQUESTS[name]).encode())
            counts[name] = len(sent)
            assert all(sql.startswith("SELECT ") for sql in sent)

    assert counts == STATEMENTS


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("installed"))


@pytest.fixture
def worker(installed: Path, shop: Published) -> Iterator[WorkerProcess]:
    with WorkerProcess(installed, shop.environ, stderr=subprocess.PIPE) as worker:
        yield worker


def until(
    worker: WorkerProcess, line: Mapping[str, Any], fits: Callable[[dict[str, Any]], bool]
) -> list[dict[str, Any]]:
    """Repeat a request until its answer fits, and return all answers."""
    answers = [worker.ask(line)]
    while not fits(answers[-1]):
        assert len(answers) < 100_000
        answers.append(worker.ask(line))
    return answers


def test_f49_hot_swaps_between_requests_fail_no_answer_and_mix_no_versions(
    shop: Published, worker: WorkerProcess
) -> None:
    request = {"user_id": 7, "model": "popularity", "limit": 20}
    names = [second_version(shop), shop.version] * 2
    answers = [worker.ask(request)]
    for name in names:
        activate(shop.models_dir, name)
        answers += until(worker, request, lambda answer, name=name: answer["model_version"] == name)
    swaps = worker.ask({"op": "stats"})["swaps"]

    assert all(answer["ok"] for answer in answers)
    served = {(answer["model_version"], tuple(item["productId"] for item in answer["items"])) for answer in answers}
    assert {version for version, _ in served} == set(names)
    assert len(served) == 2  # one list a version
    assert swaps == len(names)
    assert worker.end() == 0


def test_reload_answers_once_the_new_version_serves(shop: Published, worker: WorkerProcess) -> None:
    name = second_version(shop)
    activate(shop.models_dir, name)
    worker.send({"op": "reload", "id": 1})
    worker.send({"user_id": 7, "id": 2})

    assert (worker.read()["version"], worker.read()["model_version"]) == (name, name)


def test_a_damaged_version_is_reported_and_the_old_one_goes_on(shop: Published, worker: WorkerProcess) -> None:
    point_at(shop, second_version(shop))
    (shop.models_dir / (shop.models_dir / "CURRENT").read_text(encoding="ascii") / "bmf_model.weights.h5").unlink()

    failed = worker.ask({"op": "reload", "id": "now"})
    stats = worker.ask({"op": "stats"})

    assert (failed["ok"], failed["id"], failed["error"]["code"]) == (False, "now", "model_refused")
    assert stats["refused"] == {
        "version": (shop.models_dir / "CURRENT").read_text(encoding="ascii"),
        **without(failed["error"]),
    }
    assert worker.ask({"user_id": 7})["model_version"] == shop.version == stats["version"]
    worker.end()
    assert worker.process.stderr is not None
    assert worker.process.stderr.read().decode().count("goes on serving") == 1


def without(error: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in error.items() if name != "retryable"}


def test_a_worker_hashes_all_files_at_its_start_despite_the_stamp(installed: Path, shop: Published) -> None:
    shop.ask(user_id=7)  # stamps the version
    path = shop.models_dir / shop.version / "heldout.h5"
    status, data = path.stat(), bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    process = ask(installed, b"", "--worker", env=shop.environ)

    assert (process.returncode, code(answer(process))) == (77, "model_refused")
