"""Every error code of the contract from a real process over a real version: the fault is in the world, not in a stand-in."""

import json
import shutil
import socket
import sqlite3
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from recsys import errors
from recsys.errors import RecsysError
from recsys.store import connect, migrate
from tests.helpers.entry_points import answer, ask, code, command, install
from tests.helpers.tiny_shop import INACTIVE, Published

World = Mapping[str, str]  # the environment of the process, after the fault
GOOD = {"user_id": 3, "limit": 5}


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("door"))


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def products(told: Mapping[str, Any]) -> list[int]:
    return [item["productId"] for item in told["items"]]


def test_a_good_request_is_answered_by_the_published_version(door: Path, published: Published) -> None:
    done = ask(door, GOOD, env=published.environ)
    told = answer(done)

    assert (done.returncode, done.stderr) == (0, b"")
    assert (told["ok"], told["user_id"], told["model_version"]) == (True, 3, published.version)
    assert [run["model"] for run in told["runs"]][:4] == ["ENCM", "LNCM", "NeuMF", "BMF"]
    assert len(set(products(told))) == 5
    assert not set(products(told)) & INACTIVE


def test_a_worker_answers_as_a_one_shot_process_does(door: Path, published: Published) -> None:
    data = b"".join(json.dumps({**GOOD, "user_id": user}).encode() + b"\n" for user in (3, 4, 3))
    done = ask(door, data, "--worker", env=published.environ)
    ready, *told = [json.loads(line) for line in done.stdout.splitlines()]

    assert (done.returncode, ready["version"]) == (0, published.version)
    assert [each["user_id"] for each in told] == [3, 4, 3]
    alone = answer(ask(door, GOOD, env=published.environ))
    assert products(told[0]) == products(told[2]) == products(alone)
    assert products(told[0]) != products(told[1])


def test_answering_loads_nothing_that_only_training_needs(door: Path, published: Published) -> None:
    done = ask(door, GOOD, env=published.environ, flags=("-X", "importtime"))
    bundle = {line.split("|")[-1].strip().split(".")[0] for line in done.stderr.decode().splitlines()}

    assert done.returncode == 0
    assert {"numpy", "recsys"} <= bundle
    assert not bundle & {"h5py", "tensorflow", "keras", "pandas", "sklearn", "scipy", "sqlalchemy", "pyarrow"}


REQUESTS = {
    "nothing": (b"", 65, "invalid_json"),
    "malformed": (b'{"user_id": 3', 65, "invalid_json"),
    "NaN": (b'{"user_id": NaN}', 65, "invalid_json"),
    "2 MiB of spaces": (b" " * 2**21, 65, "too_large"),
    "wrong type": (b'{"user_id": [3]}', 65, "invalid_request"),
    "unknown field": (b'{"user_id": 3, "limt": 5}', 65, "invalid_request"),
    "unknown model": (b'{"user_id": 3, "model": "SVD"}', 65, "invalid_request"),
    "huge number": (b'{"user_id": 1' + b"0" * 5000 + b"}", 65, "invalid_request"),
    "limit 0": (b'{"user_id": 3, "limit": 0}', 65, "invalid_request"),
    "nobody knows her": (b'{"user_id": 999999}', 67, "unknown_user"),
    "7abc where ids are numbers": (b'{"user_id": "3abc"}', 67, "unknown_user"),
    "1 ms": (b'{"user_id": 3, "budget_ms": 1}', 75, "deadline"),
}


@pytest.mark.parametrize(("data", "status", "expected"), REQUESTS.values(), ids=REQUESTS)
def test_a_request_at_fault_has_a_decided_answer(
    door: Path, published: Published, data: bytes, status: int, expected: str
) -> None:
    done = ask(door, data, env=published.environ)

    assert (done.returncode, code(answer(done)), done.stderr) == (status, expected, b"")


def nothing_set(shop: Published) -> World:
    return {}


def no_version(shop: Published) -> World:
    shutil.rmtree(shop.models_dir)
    return shop.environ


def version_gone(shop: Published) -> World:
    shutil.rmtree(shop.models_dir / shop.version)
    return shop.environ


def dead_server(shop: Published) -> World:
    return {**shop.environ, "DATABASE_URL": f"mysql+pymysql://root@127.0.0.1:{closed_port()}/shop"}


def missing_file(shop: Published) -> World:
    return {**shop.environ, "DATABASE_URL": f"sqlite:///{shop.folder / 'no_such.sqlite'}"}


def weights_flipped(shop: Published) -> World:
    path = weights(shop)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    return shop.environ


def weights_cut(shop: Published) -> World:
    path = weights(shop)
    path.write_bytes(path.read_bytes()[:-1])
    return shop.environ


def weights_missing(shop: Published) -> World:
    weights(shop).unlink()
    return shop.environ


def weights(shop: Published) -> Path:
    return shop.models_dir / shop.version / "encm_model.weights.h5"


def pointer_outside(shop: Published) -> World:
    (shop.models_dir / "CURRENT").write_text(f"../models/{shop.version}", encoding="ascii")
    return shop.environ


def encoders_missing(shop: Published) -> World:
    shop.execute("DELETE FROM rec_versions")
    return shop.environ


def another_shop(shop: Published) -> World:
    url = f"sqlite:///{shop.folder / 'another.sqlite'}"
    with connect(url, create=True) as db:
        migrate(db)
    return {**shop.environ, "DATABASE_URL": url}


def unusable_mapping(shop: Published) -> World:
    return {**shop.environ, "RECSYS_TOML": "no_such.toml"}


FAULTS: dict[str, tuple[Callable[[Published], World], int, str]] = {
    "nothing set": (nothing_set, 78, "settings"),
    "a mapping that is not there": (unusable_mapping, 78, "settings"),
    "no version": (no_version, 78, "no_model"),
    "CURRENT names a version that is gone": (version_gone, 78, "no_model"),
    "CURRENT names a path": (pointer_outside, 77, "model_refused"),
    "a bit of the weights flipped": (weights_flipped, 77, "model_refused"),
    "the weights cut by a byte": (weights_cut, 77, "model_refused"),
    "the weights missing": (weights_missing, 77, "model_refused"),
    "the version's encoders missing": (encoders_missing, 78, "model_mismatch"),
    "the database of another shop": (another_shop, 78, "model_mismatch"),
    "a server that is down": (dead_server, 69, "database_unavailable"),
    "a database file that is missing": (missing_file, 69, "database_unavailable"),
}


@pytest.mark.parametrize(("break_it", "status", "expected"), FAULTS.values(), ids=FAULTS)
def test_a_world_at_fault_has_a_decided_answer(
    door: Path, published: Published, tmp_path: Path, break_it: Callable[[Published], World], status: int, expected: str
) -> None:
    world = break_it(published.copy(tmp_path / "shop"))

    done = ask(door, {**GOOD, "id": "r-1"}, env=world)
    told = answer(done)

    assert (done.returncode, code(told), done.stderr) == (status, expected, b"")
    assert told["id"] == "r-1"
    assert told["error"]["retryable"] is (status in (69, 75))


@pytest.mark.parametrize(("value", "said"), [("x'00ff'", "timestamp 1"), ("CAST(x'ff' AS TEXT)", "timestamp 1")])
def test_a_damaged_row_is_the_fault_of_nobody_else(
    door: Path, published: Published, tmp_path: Path, value: str, said: str
) -> None:
    shop = published.copy(tmp_path / "shop")
    shop.execute(
        f"UPDATE Interactions SET timestamp = {value} WHERE interId = (SELECT MAX(interId) FROM Interactions WHERE userId = 3)"
    )

    done = ask(door, GOOD, env=shop.environ)
    told = answer(done)

    assert (done.returncode, code(told), done.stderr) == (0, None, b"")
    assert (told["user_id"], told["source"], len(told["items"])) == (3, "model", 5)
    assert told["warnings"] == [f"history: 1 left out, because they cannot be read ({said})"]


@pytest.mark.slow
def test_a_locked_database_is_overload(door: Path, published: Published, tmp_path: Path) -> None:
    shop = published.copy(tmp_path / "shop")
    with sqlite3.connect(shop.folder / "shop.sqlite", isolation_level=None) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        other.execute("DELETE FROM Comments")
        done = ask(door, GOOD, env=shop.environ)
    other.close()

    assert (done.returncode, code(answer(done)), done.stderr) == (75, "overloaded", b"")


def test_a_defect_is_internal_and_its_traceback_is_for_people(published: Published, tmp_path: Path) -> None:
    broken = install(tmp_path / "broken")
    with open(broken / "recsys" / "recommending" / "__init__.py", "a", encoding="utf-8") as module:
        module.write("\n\ndef recommend(*_: object, **__: object) -> None:\n    1 / 0\n")

    done = ask(broken, GOOD, env=published.environ)

    assert (done.returncode, code(answer(done))) == (70, "internal")
    assert b"ZeroDivisionError" in done.stderr
    assert b"ZeroDivisionError" not in done.stdout


def test_a_wrong_command_line_is_usage(door: Path, published: Published) -> None:
    done = ask(door, GOOD, "--user", "3", env=published.environ)

    assert (done.returncode, code(answer(done)), done.stderr) == (64, "usage", b"")


def test_no_code_of_the_contract_is_left_out_here() -> None:
    elsewhere = {"usage", "internal", "overloaded"}  # the three tests above
    met = {expected for *_, expected in (*REQUESTS.values(), *FAULTS.values())} | elsewhere
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, RecsysError)]

    assert met == {kind.code for kind in kinds if kind.exit_status >= 64}  # 3 is training's refusal


def test_a_worker_outlives_every_bad_request(door: Path, published: Published) -> None:
    bad = [data for name, (data, *_) in REQUESTS.items() if name != "nothing"]
    lines = b"".join(data + b"\n" + json.dumps(GOOD).encode() + b"\n" for data in bad)

    done = ask(door, lines, "--worker", env=published.environ)
    _, *told = [json.loads(line) for line in done.stdout.splitlines()]

    assert done.returncode == 0
    assert [code(each) for each in told[::2]] == [
        expected for name, (_, _, expected) in REQUESTS.items() if name != "nothing"
    ]
    assert [code(each) for each in told[1::2]] == [None] * len(bad)


def test_a_worker_notices_that_the_database_has_gone_and_come_back(
    door: Path, published: Published, tmp_path: Path
) -> None:
    shop = published.copy(tmp_path / "shop")
    file, aside = shop.folder / "shop.sqlite", shop.folder / "aside.sqlite"
    line = json.dumps(GOOD).encode() + b"\n"
    with subprocess.Popen(
        command(door, "--worker"), env=shop.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        codes = []
        assert json.loads(worker.stdout.readline())["ready"] is True
        for before, after in ((file, file), (file, aside), (aside, file)):
            before.rename(after)
            worker.stdin.write(line)
            worker.stdin.flush()
            codes.append(code(json.loads(worker.stdout.readline())))
        worker.stdin.close()

    assert codes == [None, "database_unavailable", None]


def test_where_nothing_may_be_sold_the_list_is_empty_and_says_so(
    door: Path, published: Published, tmp_path: Path
) -> None:
    shop = published.copy(tmp_path / "shop")
    shop.execute("UPDATE Products SET statusId = 'S2'")

    told = answer(ask(door, GOOD, env=shop.environ))

    assert (told["ok"], told["items"]) == (True, [])
    assert any("no more that may be shown" in warning for warning in told["warnings"])
