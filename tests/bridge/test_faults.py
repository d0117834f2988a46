"""Every error code of the contract, from a real process with a real version and real faults of its surroundings."""

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

Environment = Mapping[str, str]  # of the process, after the fault
GOOD = {"user_id": 3, "limit": 5}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("installed"))


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def products(document: Mapping[str, Any]) -> list[int]:
    return [item["productId"] for item in document["items"]]


def test_a_good_request_is_answered_by_the_published_version(installed: Path, published: Published) -> None:
    process = ask(installed, GOOD, env=published.environ)
    document = answer(process)

    assert (process.returncode, process.stderr) == (0, b"")
    assert (document["ok"], document["user_id"], document["model_version"]) == (True, 3, published.version)
    assert [run["model"] for run in document["runs"]][:4] == ["ENCM", "LNCM", "NeuMF", "BMF"]
    assert len(set(products(document))) == 5
    assert not set(products(document)) & INACTIVE


def test_a_worker_answers_as_a_one_shot_process_does(installed: Path, published: Published) -> None:
    data = b"".join(json.dumps({**GOOD, "user_id": user}).encode() + b"\n" for user in (3, 4, 3))
    process = ask(installed, data, "--worker", env=published.environ)
    ready, *documents = [json.loads(line) for line in process.stdout.splitlines()]

    assert (process.returncode, ready["version"]) == (0, published.version)
    assert [each["user_id"] for each in documents] == [3, 4, 3]
    one_shot = answer(ask(installed, GOOD, env=published.environ))
    assert products(documents[0]) == products(documents[2]) == products(one_shot)
    assert products(documents[0]) != products(documents[1])


def test_answering_loads_nothing_that_only_training_needs(installed: Path, published: Published) -> None:
    process = ask(installed, GOOD, env=published.environ, flags=("-X", "importtime"))
    imported = {line.split("|")[-1].strip().split(".")[0] for line in process.stderr.decode().splitlines()}

    assert process.returncode == 0
    assert {"numpy", "recsys"} <= imported
    assert not imported & {"h5py", "tensorflow", "keras", "pandas", "sklearn", "scipy", "sqlalchemy", "pyarrow"}


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
    "unknown user": (b'{"user_id": 999999, "strict": true}', 67, "unknown_user"),
    "7abc where ids are numbers": (b'{"user_id": "3abc", "strict": true}', 67, "unknown_user"),
    "1 ms": (b'{"user_id": 3, "budget_ms": 1}', 75, "deadline"),
}


@pytest.mark.parametrize(("data", "status", "expected"), REQUESTS.values(), ids=REQUESTS)
def test_a_faulty_request_has_its_code_and_exit_status(
    installed: Path, published: Published, data: bytes, status: int, expected: str
) -> None:
    process = ask(installed, data, env=published.environ)

    assert (process.returncode, code(answer(process)), process.stderr) == (status, expected, b"")


def nothing_set(shop: Published) -> Environment:
    return {}


def no_version(shop: Published) -> Environment:
    shutil.rmtree(shop.models_dir)
    return shop.environ


def version_gone(shop: Published) -> Environment:
    shutil.rmtree(shop.models_dir / shop.version)
    return shop.environ


def dead_server(shop: Published) -> Environment:
    return {**shop.environ, "DATABASE_URL": f"mysql+pymysql://root@127.0.0.1:{closed_port()}/shop"}


def missing_file(shop: Published) -> Environment:
    return {**shop.environ, "DATABASE_URL": f"sqlite:///{shop.folder / 'no_such.sqlite'}"}


def weights_flipped(shop: Published) -> Environment:
    path = weights(shop)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    return shop.environ


def weights_cut(shop: Published) -> Environment:
    path = weights(shop)
    path.write_bytes(path.read_bytes()[:-1])
    return shop.environ


def weights_missing(shop: Published) -> Environment:
    weights(shop).unlink()
    return shop.environ


def weights(shop: Published) -> Path:
    return shop.models_dir / shop.version / "encm_model.weights.h5"


def pointer_outside(shop: Published) -> Environment:
    (shop.models_dir / "CURRENT").write_text(f"../models/{shop.version}", encoding="ascii")
    return shop.environ


def encoders_missing(shop: Published) -> Environment:
    shop.execute("DELETE FROM rec_versions")
    return shop.environ


def another_shop(shop: Published) -> Environment:
    url = f"sqlite:///{shop.folder / 'another.sqlite'}"
    with connect(url, create=True) as db:
        migrate(db)
    return {**shop.environ, "DATABASE_URL": url}


def unusable_mapping(shop: Published) -> Environment:
    return {**shop.environ, "RECSYS_TOML": "no_such.toml"}


FAULTS: dict[str, tuple[Callable[[Published], Environment], int, str]] = {
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
def test_a_fault_of_the_surroundings_has_its_code_and_exit_status(
    installed: Path,
    published: Published,
    tmp_path: Path,
    break_it: Callable[[Published], Environment],
    status: int,
    expected: str,
) -> None:
    environ = break_it(published.copy(tmp_path / "shop"))

    process = ask(installed, {**GOOD, "id": "r-1"}, env=environ)
    document = answer(process)

    assert (process.returncode, code(document), process.stderr) == (status, expected, b"")
    assert document["id"] == "r-1"
    assert document["error"]["retryable"] is (status in (69, 75))


@pytest.mark.parametrize(("value", "columns"), [("x'00ff'", "timestamp 1"), ("CAST(x'ff' AS TEXT)", "timestamp 1")])
def test_a_damaged_row_is_left_out_with_a_warning(
    installed: Path, published: Published, tmp_path: Path, value: str, columns: str
) -> None:
    shop = published.copy(tmp_path / "shop")
    newest = "SELECT MAX(interId) FROM Interactions WHERE userId = 3"
    shop.execute(f"UPDATE Interactions SET timestamp = {value} WHERE interId = ({newest})")

    process = ask(installed, GOOD, env=shop.environ)
    document = answer(process)

    assert (process.returncode, code(document), process.stderr) == (0, None, b"")
    assert (document["user_id"], len(document["items"])) == (3, 5)
    assert document["source"] != "popularity"
    assert document["warnings"] == [f"history: 1 left out, because they cannot be read ({columns})"]


@pytest.mark.slow
def test_a_locked_database_is_overloaded(installed: Path, published: Published, tmp_path: Path) -> None:
    shop = published.copy(tmp_path / "shop")
    with sqlite3.connect(shop.folder / "shop.sqlite", isolation_level=None) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        other.execute("DELETE FROM Comments")
        process = ask(installed, GOOD, env=shop.environ)
    other.close()

    assert (process.returncode, code(answer(process)), process.stderr) == (75, "overloaded", b"")


def test_a_defect_is_internal_and_its_traceback_goes_to_stderr(published: Published, tmp_path: Path) -> None:
    broken = install(tmp_path / "broken")
    with open(broken / "recsys" / "recommending" / "recommend.py", "a", encoding="utf-8") as module:
        module.write("\n\ndef recommend(*_: object, **__: object) -> None:\n    1 / 0\n")

    process = ask(broken, GOOD, env=published.environ)

    assert (process.returncode, code(answer(process))) == (70, "internal")
    assert b"ZeroDivisionError" in process.stderr
    assert b"ZeroDivisionError" not in process.stdout


def test_a_wrong_command_line_is_usage(installed: Path, published: Published) -> None:
    process = ask(installed, GOOD, "--user", "3", env=published.environ)

    assert (process.returncode, code(answer(process)), process.stderr) == (64, "usage", b"")


def test_every_code_of_the_contract_is_tested_here() -> None:
    elsewhere = {"usage", "internal", "overloaded"}  # the three tests above
    tested = {expected for *_, expected in (*REQUESTS.values(), *FAULTS.values())} | elsewhere
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, RecsysError)]

    assert tested == {kind.code for kind in kinds if kind.exit_status >= 64}  # lower ones belong to training


def test_a_worker_outlives_every_bad_request(installed: Path, published: Published) -> None:
    bad = [data for name, (data, *_) in REQUESTS.items() if name != "nothing"]
    lines = b"".join(data + b"\n" + json.dumps(GOOD).encode() + b"\n" for data in bad)

    process = ask(installed, lines, "--worker", env=published.environ)
    _, *documents = [json.loads(line) for line in process.stdout.splitlines()]

    assert process.returncode == 0
    assert [code(each) for each in documents[::2]] == [
        expected for name, (_, _, expected) in REQUESTS.items() if name != "nothing"
    ]
    assert [code(each) for each in documents[1::2]] == [None] * len(bad)


def test_a_worker_reports_a_lost_database_and_uses_it_again_later(
    installed: Path, published: Published, tmp_path: Path
) -> None:
    shop = published.copy(tmp_path / "shop")
    file, aside = shop.folder / "shop.sqlite", shop.folder / "aside.sqlite"
    line = json.dumps(GOOD).encode() + b"\n"
    with subprocess.Popen(
        command(installed, "--worker"), env=shop.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE
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


def test_without_active_products_the_list_is_empty_with_a_warning(
    installed: Path, published: Published, tmp_path: Path
) -> None:
    shop = published.copy(tmp_path / "shop")
    shop.execute("UPDATE Products SET statusId = 'S2'")

    document = answer(ask(installed, GOOD, env=shop.environ))

    assert (document["ok"], document["items"]) == (True, [])
    assert any("no more that may be shown" in warning for warning in document["warnings"])
