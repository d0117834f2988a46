"""scripts/rollback.py: the switch of files, encoders, views and history, whatever dies meanwhile."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from recsys import store
from recsys.artifacts import Draft, activate, current, current_name, history, open_version, publisher_lock
from recsys.errors import DatabaseUnavailable, ModelRefused, Overloaded
from recsys.lifecycle.versions import ROLLBACK, switch
from recsys.settings import Settings
from recsys.store import connect
from scripts.rollback import main
from tests.helpers.dying_disk import Died, Full, Mortal, Watched
from tests.helpers.second_version import second_version
from tests.helpers.small_versions import (
    CONTEXTS,
    HOUR,
    NOW,
    UNSYNCED,
    in_database,
    publish,
    publish_many,
    settings_of,
    shown,
    watched,
)
from tests.helpers.tiny_shop import Published

Run = Callable[..., tuple[int, str, str]]
LATER = NOW + 1000 * HOUR
sqlite_only = pytest.mark.parametrize("shop_url", ["sqlite"], indirect=True)


@pytest.fixture
def settings(shop_url: str, tmp_path: Path) -> Settings:
    return settings_of(shop_url, tmp_path)


@pytest.fixture
def run(shop_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the script on the database and the folder; returns its status and what it printed."""
    monkeypatch.setenv("DATABASE_URL", shop_url)
    monkeypatch.setenv("MODELS_DIR", str(tmp_path / "models"))

    def run_main(*argv: str) -> tuple[int, str, str]:
        status = main(list(argv))
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run_main


def agree(settings: Settings, name: str) -> None:
    """Assert that a version serves, whole, and that database and views say the same."""
    with current(settings.models_dir, full=True) as version:
        assert version.name == name
    with connect(settings.database_url) as db:
        stored = store.read_version(db, name)
    assert (stored.users, stored.items, stored.contexts) == (["3", "7"], ["10", "11", "12"], CONTEXTS)
    assert shown(settings) == [name]


def test_it_switches_to_the_version_before_and_says_what_changed(run: Run, settings: Settings) -> None:
    first, second, third = publish_many(settings, 3)

    status, out, err = run()

    assert (status, err) == (0, "")
    agree(settings, second)
    assert out.startswith(f"{second} is active. Before it: {third}.\n")
    rows = {line[2:15].strip(): line[15:].split("  ") for line in out.splitlines()[2:]}
    told = {title: [cell.strip() for cell in cells if cell.strip()] for title, cells in rows.items()}
    assert told == {
        "": ["from", "to"],
        "version": [third, second],
        "trained": ["2024-01-01 02:00 UTC", "2024-01-01 01:00 UTC"],
        "data until": ["2024-01-01 01:00 UTC", "2024-01-01 00:00 UTC"],
        "serves with": ["popularity", "popularity"],
        "Precision@10": ["0.1000", "0.1000"],
        "MAP@10": [f"{(NOW + 2 * HOUR) % 1000 / 1000:.4f}", f"{(NOW + HOUR) % 1000 / 1000:.4f}"],
    }
    entry = history(settings.models_dir)[-1]
    assert entry.pop("timestamp") > NOW
    assert entry == {"action": "rollback", "version": second, "from": third}

    assert run()[0] == 0
    agree(settings, first)


def test_it_switches_to_a_named_version_and_forward_again(run: Run, settings: Settings) -> None:
    names = publish_many(settings, 4)

    assert run("--to", names[0])[0] == 0
    agree(settings, names[0])
    assert run("--to", names[3])[0] == 0
    agree(settings, names[3])
    assert [(entry["from"], entry["version"]) for entry in history(settings.models_dir)[4:]] == [
        (names[3], names[0]),
        (names[0], names[3]),
    ]


LOSSES: dict[str, Callable[[store.Database, str], object]] = {
    "all rows": store.purge,
    "the version's row": lambda db, name: db.execute("DELETE FROM rec_versions WHERE name = :name", {"name": name}),
    "a user": lambda db, name: db.execute("DELETE FROM rec_user_encoder WHERE idx = 1"),
    "an item's index": lambda db, name: db.execute("UPDATE rec_item_encoder SET idx = 2 WHERE idx = 1"),
    "an id": lambda db, name: db.execute(
        "UPDATE rec_user_encoder SET original_id = :id WHERE idx = 1", {"id": db.key("8")}
    ),
    "a context value": lambda db, name: db.execute(
        "UPDATE rec_context_mapping SET original_value = :value WHERE idx = 0 AND feature_name = 'season'",
        {"value": db.key("snow")},
    ),
    "completeness": lambda db, name: db.execute("UPDATE rec_versions SET complete = 0"),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_encoders_that_are_gone_or_changed_are_written_from_the_versions_files(
    run: Run, settings: Settings, loss: str
) -> None:
    first, _ = publish_many(settings, 2)
    with connect(settings.database_url) as db:
        LOSSES[loss](db, first)

    status, out, _ = run("--to", first)

    assert status == 0
    agree(settings, first)
    if loss != "the version's row":  # whose rows are those of nobody
        assert "they were written from the version's files" in out


@sqlite_only
def test_the_answers_are_those_of_the_version(
    published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    shop = published.copy(tmp_path / "copy")
    request = {"user_id": 7, "limit": 5, "model": "popularity"}
    before = shop.ask(**request).items
    second = second_version(shop)
    switch(shop.settings, second, action=ROLLBACK, now=LATER)
    assert shop.ask(**request).items != before
    for name, value in shop.environ.items():
        monkeypatch.setenv(name, value)

    status, out, _ = run("--to", published.version)

    assert status == 0
    assert published.version in out and second in out
    assert shop.ask(**request).items == before


@sqlite_only
def test_a_damaged_version_is_refused_and_nothing_changes(run: Run, settings: Settings, tmp_path: Path) -> None:
    first, second = publish_many(settings, 2)
    weights = settings.models_dir / first / "deep/weights.bin"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    with connect(settings.database_url) as db:
        store.purge(db, first)
    before = (settings.models_dir / "metrics.json").read_bytes()

    status, out, err = run()

    assert (status, out) == (77, "")
    assert "deep/weights.bin should have the SHA-256" in err
    agree(settings, second)
    assert in_database(settings) == [second]
    assert (settings.models_dir / "metrics.json").read_bytes() == before


@sqlite_only
@pytest.mark.parametrize(
    ("argv", "status", "words"),
    [
        (["--to", "20260101T000000Z-00000000"], 78, "it is missing"),
        (["--to", "../evil"], 77, "A version's name should be like"),
        ([], 78, "should hold a version before"),
    ],
)
def test_what_cannot_be_switched_to_is_told(
    run: Run, settings: Settings, argv: list[str], status: int, words: str
) -> None:
    (only,) = publish_many(settings, 1)

    received, out, err = run(*argv)

    assert (received, out) == (status, "")
    assert words in err
    agree(settings, only)


@sqlite_only
@pytest.mark.parametrize("argv", [["--nonsense"], ["surplus"], ["--to"], ["--to", "a", "--list"]], ids=" ".join)
def test_a_wrong_command_line_is_2(run: Run, argv: list[str]) -> None:
    with pytest.raises(SystemExit) as left:
        run(*argv)

    assert left.value.code == 2


@sqlite_only
def test_without_versions_it_says_so(run: Run) -> None:
    assert run()[0] == 78
    assert run("--to", "20260101T000000Z-00000000")[0] == 78
    assert run("--list")[:2] == (0, run("--list")[1])
    assert "holds no version" in run("--list")[1]


@sqlite_only
@pytest.mark.parametrize("text", ["", "garbage", "20260101T000000Z-00000000\n", None])
def test_a_damaged_or_missing_current_is_repaired_by_naming_a_version(
    run: Run, settings: Settings, text: str | None
) -> None:
    first, second = publish_many(settings, 2)
    (settings.models_dir / "CURRENT").unlink()
    if text is not None:
        (settings.models_dir / "CURRENT").write_text(text, encoding="ascii")

    status, _, err = run("--to", first)

    assert (status, err) == (0, "")
    agree(settings, first)
    assert run("--list")[0] == 0


@sqlite_only
def test_the_active_version_is_told_and_repaired(run: Run, settings: Settings) -> None:
    first, second = publish_many(settings, 2)
    with connect(settings.database_url) as db:
        store.purge(db, second)

    status, out, _ = run("--to", second)

    assert status == 0
    assert out.startswith(f"{second} is active already; files, encoders and views agree.")
    agree(settings, second)
    assert len(history(settings.models_dir)) == 2


@sqlite_only
def test_it_does_not_wait_for_a_training_run_and_says_who_trains(run: Run, settings: Settings) -> None:
    first, _ = publish_many(settings, 2)

    with Draft.create(settings.models_dir, LATER):
        status, _, err = run()

    assert status == 0
    assert "it is held by process" in err and "what that process publishes becomes active" in err
    agree(settings, first)


@sqlite_only
def test_a_training_run_that_starts_meanwhile_is_told(settings: Settings) -> None:
    publish_many(settings, 2)

    with (
        publisher_lock(settings.models_dir),
        pytest.raises(Overloaded, match="should be free. Received: it is held by"),
    ):
        Draft.create(settings.models_dir, LATER)


@sqlite_only
def test_a_publication_after_a_rollback_serves_and_is_shown(run: Run, settings: Settings) -> None:
    publish_many(settings, 3)
    run()

    agree(settings, publish(settings, LATER))


@sqlite_only
def test_the_views_follow_the_version_that_another_process_activates_meanwhile(settings: Settings) -> None:
    first, second = publish_many(settings, 2)
    raced = []

    def race(sql: str, values: object) -> None:
        if sql.startswith("UPDATE rec_versions SET active") and not raced:
            raced.append(sql)
            activate(settings.models_dir, second, UNSYNCED)

    switch(settings, first, action=ROLLBACK, now=LATER, connect=lambda url: connect(url, tracer=race))

    assert raced
    agree(settings, second)


@sqlite_only
def test_the_list_says_what_each_version_is(run: Run, settings: Settings) -> None:
    names = publish_many(settings, 4)
    shutil.rmtree(settings.models_dir / names[1] / "deep")
    with connect(settings.database_url) as db:
        store.purge(db, names[0])
    run("--to", names[2])

    status, out, err = run("--list")

    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert [line.split()[0] for line in lines] == ["version", *reversed(names)]
    assert lines[2].endswith("active") and lines[1].endswith("yes")
    assert "damaged: " in lines[3] and lines[4].endswith("no")


@sqlite_only
def test_the_list_needs_no_database(run: Run, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_many(settings, 1)
    monkeypatch.setenv("DATABASE_URL", "mysql+pymysql://root@127.0.0.1:1/shop")

    status, out, err = run("--list")

    assert status == 0
    assert "whether encoders are in the database is unknown" in err
    assert "unknown" in out


@sqlite_only
def test_without_the_database_nothing_changes(run: Run, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    _, second = publish_many(settings, 2)
    monkeypatch.setenv("DATABASE_URL", "mysql+pymysql://root@127.0.0.1:1/shop")

    assert run()[0] == 69
    assert current_name(settings.models_dir) == second


@sqlite_only
def test_a_database_that_leaves_in_the_middle_is_told_and_made_up_for(settings: Settings, run: Run) -> None:
    first, second = publish_many(settings, 2)

    def leave(sql: str, values: object) -> None:
        if sql.startswith("UPDATE rec_versions SET active"):
            raise DatabaseUnavailable("The database failed: gone away.")

    with pytest.raises(DatabaseUnavailable, match=f"Version {first} serves. Run the same command again to finish."):
        switch(settings, first, action=ROLLBACK, now=LATER, connect=lambda url: connect(url, tracer=leave))

    assert current_name(settings.models_dir) == first
    assert run("--to", first)[0] == 0
    agree(settings, first)
    assert history(settings.models_dir)[-1]["from"] == second


@sqlite_only
def test_a_full_disk_at_every_step_leaves_the_old_version_or_the_new_one(settings: Settings, tmp_path: Path) -> None:
    first, second = publish_many(settings, 2)
    failures = 0
    for at in range(1, 40):
        try:
            switch(settings, first, action=ROLLBACK, now=LATER, files=Full(at))
        except Overloaded:
            failures += 1
            assert current_name(settings.models_dir) in (first, second)
            switch(settings, first, action=ROLLBACK, now=LATER, files=UNSYNCED)
            agree(settings, first)
            switch(settings, second, action=ROLLBACK, now=LATER, files=UNSYNCED)
        else:
            break
    assert failures > 5


class Dying(Mortal):
    """A disk that dies, without fsync."""

    def fsync(self, path: Path) -> None:
        self.before("fsync", path)


def copied(settings: Settings, folder: Path) -> Settings:
    shutil.copytree(settings.models_dir.parent, folder)
    return settings_of(f"sqlite:///{folder / 'shop.sqlite'}", folder)


@sqlite_only
def test_a_death_at_any_step_leaves_the_old_version_or_the_new_one_whole(
    settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    first, second = publish_many(settings, 2)
    with connect(settings.database_url) as db:
        store.purge(db, first)  # so that the encoders are written, too
    folder = tmp_path_factory.mktemp("copies")
    disk = Watched()
    reference = copied(settings, folder / "reference")
    switch(reference, first, action=ROLLBACK, now=LATER, files=disk, connect=watched(disk))
    activation = disk.steps.index("rename CURRENT") + 1
    assert disk.steps[-1] == "fsync models" and "INSERT database" in disk.steps[:activation]

    for at in range(1, len(disk.steps) + 1):
        dying = copied(settings, folder / str(at))
        mortal = Dying(at, torn=True)
        with pytest.raises(Died):
            switch(dying, first, action=ROLLBACK, now=LATER, files=mortal, connect=watched(mortal))

        serving = current_name(dying.models_dir)
        assert serving == (second if at <= activation else first), disk.steps[at - 1]
        with open_version(dying.models_dir, serving, full=True), connect(dying.database_url) as db:
            assert store.read_version(db, serving).users == ["3", "7"]

        switch(dying, first, action=ROLLBACK, now=LATER, files=UNSYNCED)
        agree(dying, first)
        assert [entry.get("from") for entry in history(dying.models_dir)] == [None, None, second], disk.steps[at - 1]
        shutil.rmtree(dying.models_dir.parent)


@sqlite_only
def test_an_interrupted_rollback_is_130(run: Run, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_many(settings, 2)

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("scripts.rollback.switch", interrupt)
    status, out, err = run()

    assert (status, out) == (130, "")
    assert "interrupted" in err


@sqlite_only
@pytest.mark.parametrize("fault", ["bytes", "no items", "contexts", "a list"])
def test_encoders_that_cannot_be_read_are_refused(settings: Settings, fault: str) -> None:
    (only,) = publish_many(settings, 1)
    ids = {"users": np.array([b"\xff" if fault == "bytes" else b"7"]), "items": np.array([10])}
    with Draft.create(settings.models_dir, LATER) as draft:
        draft.write_arrays("encoders.h5", {"users": ids["users"]} if fault == "no items" else ids)
        draft.write_json("contexts.json", {"season": 5} if fault == "contexts" else [] if fault == "a list" else {})
        name = draft.publish({"data_until": NOW})

    with pytest.raises(ModelRefused, match="should hold `users`, `items`, contexts and `data_until`"):
        switch(settings, name, action=ROLLBACK, now=LATER)

    agree(settings, only)
