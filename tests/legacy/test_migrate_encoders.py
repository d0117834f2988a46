"""scripts/migrate_encoders.py: encoders into the database, from a version's files or from old pickles."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.preprocessing import LabelEncoder

from recsys.artifacts import Draft, activate
from recsys.legacy.encoders import CONTEXTS, ITEMS, USERS, read_encoders
from recsys.store import connect, find_user, list_versions
from scripts.migrate_encoders import main
from tests.helpers.stored_encoders import stored_contexts, stored_items

NOW = 1_704_067_200
FEATURES = {"season": ["dry", "wet"], "device_type": ["mobile"]}
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(shop_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the script on the database and the folder of versions; returns its status and what it printed."""
    monkeypatch.setenv("DATABASE_URL", shop_url)
    monkeypatch.setenv("MODELS_DIR", str(tmp_path / "models"))

    def run_main(*argv: str) -> tuple[int, str, str]:
        status = main(list(argv))
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run_main


@pytest.fixture
def publish(tmp_path: Path) -> Callable[..., str]:
    """Publishes a version that holds encoders."""

    def make(
        users: np.ndarray, items: np.ndarray, *, now: int = NOW, active: bool = True, models: str = "models"
    ) -> str:
        with Draft.create(tmp_path / models, now) as draft:
            draft.write_arrays("encoders.h5", {"users": users, "items": items})
            draft.write_json("contexts.json", FEATURES)
            name = draft.publish({"data_until": now - 1})
        if active:
            activate(tmp_path / models, name)
        return name

    return make


@pytest.fixture
def pickles(tmp_path: Path) -> Path:
    """Three old pickles."""
    folder = tmp_path / "processed_data"
    folder.mkdir()
    info = {"reverse_mappings": {"season_encoded": {"dry": 0, "wet": 1}}, "feature_names": ["season_encoded"]}
    for name, value in ((USERS, {"7": 0, "9": 1}), (ITEMS, {10: 1, 11: 0}), (CONTEXTS, info)):
        (folder / name).write_bytes(pickle.dumps(value))
    return folder


def test_the_active_versions_encoders_are_written_and_shown(
    run: Run, shop_url: str, publish: Callable[..., str]
) -> None:
    name = publish(np.array([3, 7]), np.array([10, 11, 12]))

    status, out, err = run()

    assert (status, out, err) == (0, f"{name}: 2 users, 3 items, 2 context features written (version 1).\n", "")
    with connect(shop_url) as db:
        version, idx = find_user(db, name, 7)
        assert (idx, stored_items(db, version)) == (1, ["10", "11", "12"])
        assert stored_contexts(db, version) == FEATURES
        (row,) = list_versions(db)
        assert (row.name, row.complete, row.active, row.data_until) == (name, True, True, NOW - 1)


def test_running_again_changes_nothing_and_says_so(run: Run, shop_url: str, publish: Callable[..., str]) -> None:
    name = publish(np.array([3, 7]), np.array([10]))
    run()

    status, out, _ = run("--version", name)

    assert (status, out) == (
        0,
        f"{name}: 2 users, 1 items, 2 context features are in the database already (version 1).\n",
    )
    with connect(shop_url) as db:
        assert len(list_versions(db)) == 1


def test_text_ids_come_out_of_the_version_as_they_went_in(run: Run, shop_url: str, publish: Callable[..., str]) -> None:
    users = ["lan", "tú 🎒", "C-1"]
    name = publish(np.array([user.encode() for user in users]), np.array([b"BAG-1", b"BAG-12"]))

    assert run()[0] == 0

    with connect(shop_url) as db:
        assert [find_user(db, name, user)[1] for user in users] == [0, 1, 2]
        assert stored_items(db, find_user(db, name, "lan")[0]) == ["BAG-1", "BAG-12"]


def test_another_version_is_written_beside_and_the_views_stay_with_the_active_one(
    run: Run, shop_url: str, publish: Callable[..., str]
) -> None:
    older = publish(np.array([3]), np.array([10]), active=False)
    newer = publish(np.array([3, 4]), np.array([10]), now=NOW + 60)
    run()

    assert run("--version", older)[0] == 0

    with connect(shop_url) as db:
        assert {(row.name, row.active) for row in list_versions(db)} == {(older, False), (newer, True)}


def test_a_rolled_back_version_is_shown_when_it_is_migrated_again(
    run: Run, shop_url: str, publish: Callable[..., str], tmp_path: Path
) -> None:
    older = publish(np.array([3]), np.array([10]))
    run()
    newer = publish(np.array([3, 4]), np.array([10]), now=NOW + 60)
    run()

    activate(tmp_path / "models", older)
    run()

    with connect(shop_url) as db:
        assert {(row.name, row.active) for row in list_versions(db)} == {(older, True), (newer, False)}


def test_versions_may_lie_in_another_folder(run: Run, publish: Callable[..., str], tmp_path: Path) -> None:
    name = publish(np.array([3]), np.array([10]), models="elsewhere")

    assert run()[0] == 78
    assert run("--models-dir", str(tmp_path / "elsewhere"))[1].startswith(name)


def test_old_pickles_are_written_under_a_name_of_their_own(run: Run, shop_url: str, pickles: Path) -> None:
    name = read_encoders(pickles).name

    status, out, err = run("--pickles", str(pickles))
    again = run("--pickles", str(pickles))

    assert (status, out, err) == (0, f"{name}: 2 users, 2 items, 1 context features written (version 1).\n", "")
    assert again[1] == f"{name}: 2 users, 2 items, 1 context features are in the database already (version 1).\n"
    with connect(shop_url) as db:
        version, idx = find_user(db, name, "9")
        assert (idx, stored_items(db, version)) == (1, ["11", "10"])
        assert stored_contexts(db, version) == {"season": ["dry", "wet"]}
        assert list_versions(db)[0].active
        assert db.query("SELECT original_id, idx FROM rec_user_encoder_active ORDER BY idx") == [("7", 0), ("9", 1)]


def test_the_pickles_of_scikit_learn_are_written_in_the_order_of_its_codes(
    run: Run, shop_url: str, pickles: Path
) -> None:
    users, items = LabelEncoder().fit([17850.0, 13047.0]), LabelEncoder().fit(["POST", "85123A", "71053"])
    for name, value in ((USERS, users), (ITEMS, items), (CONTEXTS, {"season": LabelEncoder().fit(["wet", "dry"])})):
        (pickles / name).write_bytes(pickle.dumps(value))

    assert run("--pickles", str(pickles))[0] == 0

    with connect(shop_url) as db:
        version, user = find_user(db, read_encoders(pickles).name, 17850)
        assert user == users.transform([17850.0])[0] == 1
        assert stored_items(db, version) == items.classes_.tolist()
        assert stored_contexts(db, version) == {"season": ["dry", "wet"]}


def test_old_pickles_never_take_the_views_from_a_published_version(
    run: Run, shop_url: str, publish: Callable[..., str], pickles: Path
) -> None:
    name = publish(np.array([3]), np.array([10]))
    run()

    run("--pickles", str(pickles))

    with connect(shop_url) as db:
        assert [row.name for row in list_versions(db) if row.active] == [name]


def test_a_pickle_that_acts_is_refused_and_the_database_is_not_touched(
    run: Run, shop_url: str, pickles: Path, tmp_path: Path
) -> None:
    marker = tmp_path / "ran"
    (pickles / ITEMS).write_bytes(b"cos\nsystem\n(Vtouch " + str(marker).encode() + b"\ntR.")

    status, out, err = run("--pickles", str(pickles))

    assert (status, out) == (77, "")
    assert "item_encoder.pkl should hold nothing but LabelEncoder" in err
    assert "os.system" in err
    assert not marker.exists()
    with connect(shop_url) as db:
        assert list_versions(db) == []


@pytest.mark.parametrize("missing", [USERS, ITEMS, CONTEXTS])
def test_a_missing_pickle_is_a_settings_error(run: Run, pickles: Path, missing: str) -> None:
    (pickles / missing).unlink()

    status, out, err = run("--pickles", str(pickles))

    assert (status, out) == (78, "")
    assert f"Received: {missing} missing" in err


def test_a_missing_version_is_reported(run: Run) -> None:
    status, out, err = run()

    assert (status, out) == (78, "")
    assert "train.py" in err


@pytest.mark.parametrize(("name", "status"), [("20260101T000000Z-00000000", 78), ("../evil", 77), ("no-name", 77)])
def test_an_invalid_version_name_is_refused(run: Run, publish: Callable[..., str], name: str, status: int) -> None:
    publish(np.array([3]), np.array([10]))

    assert run("--version", name)[0] == status


def test_a_damaged_version_is_refused_and_nothing_is_written(
    run: Run, shop_url: str, publish: Callable[..., str], tmp_path: Path
) -> None:
    name = publish(np.array([3]), np.array([10]))
    (tmp_path / "models" / name / "contexts.json").write_text("{}", encoding="utf-8")

    status, out, err = run()

    assert (status, out) == (77, "")
    assert "contexts.json" in err
    with connect(shop_url) as db:
        assert list_versions(db) == []


@pytest.mark.parametrize("shop_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "argv",
    [["--nonsense"], ["surplus"], ["--version"], ["--version", "a", "--pickles", "b"], ["--models-dir"]],
    ids=" ".join,
)
def test_a_wrong_command_line_is_2_and_shows_the_usage(
    run: Run, argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        run(*argv)

    printed = capsys.readouterr()
    assert (left.value.code, printed.out) == (2, "")
    assert "usage: " in printed.err


@pytest.mark.parametrize("shop_url", ["sqlite"], indirect=True)
def test_a_dead_database_is_69(
    run: Run, publish: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    publish(np.array([3]), np.array([10]))

    for url in ("mysql+pymysql://root@127.0.0.1:1/shop", f"sqlite:///{tmp_path / 'missing.sqlite'}"):
        monkeypatch.setenv("DATABASE_URL", url)
        assert run()[0] == 69

    assert not (tmp_path / "missing.sqlite").exists()


@pytest.mark.parametrize("shop_url", ["sqlite"], indirect=True)
def test_from_the_shell_it_prints_one_line_and_loads_nothing_that_training_needs(
    shop_url: str, publish: Callable[..., str], tmp_path: Path
) -> None:
    name = publish(np.array([3]), np.array([10]))
    script = Path(__file__).parents[2] / "scripts" / "migrate_encoders.py"
    code = (
        f"import runpy, sys; sys.argv = [{str(script)!r}]\n"
        f"try:\n    runpy.run_path({str(script)!r}, run_name='__main__')\n"
        "except SystemExit as leaving:\n"
        "    heavy = {'tensorflow', 'keras', 'pandas', 'sklearn', 'scipy', 'pyarrow'} & set(sys.modules)\n"
        "    sys.exit(f'loaded {heavy}' if heavy else leaving.code)\n"
    )
    environ = {"PATH": os.environ["PATH"], "DATABASE_URL": shop_url, "MODELS_DIR": str(tmp_path / "models")}

    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path, env=environ
    )

    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == f"{name}: 1 users, 1 items, 2 context features written (version 1).\n"
