"""Which versions stay after a publication, in the folder and in the database."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from recsys import store
from recsys.artifacts import Draft, activate, current, current_name, history, open_version, version_names
from recsys.data.cleaning import CleanReport
from recsys.errors import DatabaseUnavailable, NoModel, NotEnoughData, Overloaded, SettingsError
from recsys.lifecycle.versions import CUT_SHORT, clean_up, published_names, record_active, version_before
from recsys.settings import Settings, load_settings
from recsys.settings.lifecycle import Lifecycle
from recsys.store import connect
from recsys.training.run import TrainingRun
from tests.helpers.dying_disk import Died, Mortal, Unsynced, Watched
from tests.helpers.small_versions import (
    HOUR,
    NOW,
    UNSYNCED,
    in_database,
    publish,
    publish_many,
    settings_of,
    shown,
    watched,
    write_draft,
    write_encoders,
)

LATER = NOW + 1000 * HOUR


@pytest.fixture
def settings(sqlite_shop_url: str, tmp_path: Path) -> Settings:
    """Settings with an empty folder and a database of its own."""
    shutil.copy(sqlite_shop_url.removeprefix("sqlite:///"), tmp_path / "shop.sqlite")
    return settings_of(f"sqlite:///{tmp_path / 'shop.sqlite'}", tmp_path)


def keeping(settings: Settings, n_versions: int) -> Settings:
    return replace(settings, lifecycle=Lifecycle(keep_versions=n_versions))


def clean(settings: Settings) -> list[str]:
    """Clean up as after a publication; returns what was noted."""
    notes: list[str] = []
    clean_up(settings, files=UNSYNCED, note=notes.append)
    return notes


def dead_before_activation(settings: Settings, now: int) -> str:
    """Leave what a publisher leaves that is killed just before its version becomes active."""
    with Draft.create(settings.models_dir, now, UNSYNCED) as draft:
        name = write_draft(draft, now)
        with connect(settings.database_url) as db:
            write_encoders(db, name, now)
    return name


def test_the_newest_five_published_versions_stay_on_every_database(shop_url: str, tmp_path: Path) -> None:
    settings = settings_of(shop_url, tmp_path)
    names = publish_many(settings, 7)

    assert version_names(settings.models_dir) == in_database(settings) == names[-5:]
    assert shown(settings) == [current_name(settings.models_dir)] == names[-1:]
    assert [entry["published"] for entry in history(settings.models_dir)] == names
    with connect(shop_url) as db:
        assert db.query("SELECT COUNT(*) FROM rec_user_encoder")[0][0] == 5 * 2
        assert db.query("SELECT COUNT(*) FROM rec_context_mapping")[0][0] == 5 * 3


def test_the_number_is_a_setting(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "recsys.toml").write_text("[lifecycle]\nkeep_versions = 2\n", encoding="utf-8")

    loaded = load_settings({"DATABASE_URL": "sqlite:///x"}, tmp_path)

    assert loaded.lifecycle == Lifecycle(keep_versions=2)
    names = publish_many(keeping(settings, 2), 4)
    assert version_names(settings.models_dir) == names[-2:]


@pytest.mark.parametrize("value", ["1", "0", "-5", "2.5", "true", '"5"', "1000000"])
def test_a_wrong_number_is_refused(tmp_path: Path, value: str) -> None:
    (tmp_path / "recsys.toml").write_text(f"[lifecycle]\nkeep_versions = {value}\n", encoding="utf-8")

    with pytest.raises(SettingsError, match="`keep_versions` should be a whole number from 2 to 10,000"):
        load_settings({"DATABASE_URL": "sqlite:///x"}, tmp_path)


def test_the_removed_versions_are_noted(settings: Settings) -> None:
    names = publish_many(settings, 6, clean=False)

    assert clean(settings) == [f"Removed: {names[0]}."]
    assert clean(settings) == []


def test_the_active_version_stays_however_old_it_is(settings: Settings) -> None:
    names = publish_many(settings, 8, clean=False)
    activate(settings.models_dir, names[0], UNSYNCED)

    clean(settings)

    assert version_names(settings.models_dir) == in_database(settings) == [names[0], *names[-5:]]


def test_the_version_that_the_views_show_stays(settings: Settings) -> None:
    names = publish_many(settings, 8, clean=False)
    with connect(settings.database_url) as db:
        store.set_active(db, names[1])

    clean(settings)

    assert version_names(settings.models_dir) == in_database(settings) == [names[1], *names[-5:]]


def test_a_version_that_a_reader_holds_stays_until_it_is_released(settings: Settings) -> None:
    names = publish_many(settings, 6, clean=False)
    with open_version(settings.models_dir, names[0]) as version:
        assert clean(settings) == []
        assert version.json("contexts.json")
        assert names[0] in in_database(settings)

    clean(settings)

    assert version_names(settings.models_dir) == in_database(settings) == names[1:]


def test_a_version_cannot_be_opened_while_it_is_removed(settings: Settings) -> None:
    names = publish_many(settings, 6, clean=False)
    refused: list[str] = []

    class Reading(Unsynced):
        def remove(self, path: Path) -> None:
            if path.name == f"{names[0]}.json":
                with pytest.raises(NoModel, match="the version is being removed") as caught:
                    open_version(settings.models_dir, names[0])
                refused.append(str(caught.value))
            super().remove(path)

    clean_up(settings, files=Reading(), note=refused.append)

    assert len(refused) == 2
    assert names[0] not in version_names(settings.models_dir)


def test_a_version_that_was_switched_to_is_as_new_as_the_switch(settings: Settings) -> None:
    from recsys.lifecycle.versions import switch

    names = publish_many(settings, 5, clean=False)
    switch(settings, names[0], action="rollback", now=LATER, files=UNSYNCED)
    later = publish(settings, LATER)

    assert version_names(settings.models_dir) == [names[0], *names[2:], later]


def test_a_whole_version_of_a_killed_publisher_is_swept_with_its_encoders(settings: Settings) -> None:
    names = publish_many(settings, 2)
    dead = dead_before_activation(settings, NOW + 3 * HOUR)
    assert published_names(settings.models_dir) == names
    assert version_before(settings.models_dir) == names[0]

    last = publish(settings, NOW + 4 * HOUR)

    assert dead not in version_names(settings.models_dir)
    assert version_names(settings.models_dir) == in_database(settings) == [*names, last]


def test_killed_publishers_do_not_push_published_versions_out(settings: Settings) -> None:
    names = publish_many(settings, 5)
    for number in range(6):
        dead_before_activation(settings, LATER + number)

    clean(settings)

    assert version_names(settings.models_dir) == in_database(settings) == names


@pytest.mark.parametrize("text", [None, "[]", '[{"published": null, "reason": "no time"}, 5, {"published": [1]}]'])
def test_without_a_history_all_versions_count_as_published(settings: Settings, text: str | None) -> None:
    names = publish_many(settings, 6, clean=False)
    (settings.models_dir / "metrics.json").unlink()
    if text:
        (settings.models_dir / "metrics.json").write_text(text, encoding="utf-8")

    assert published_names(settings.models_dir) == names
    last = publish(settings, LATER)

    assert version_names(settings.models_dir) == [*names[2:], last]


def test_with_a_damaged_history_nothing_is_removed(settings: Settings) -> None:
    names = publish_many(settings, 6, clean=False)
    (settings.models_dir / "metrics.json").write_text("[", encoding="utf-8")

    (note,) = clean(settings)

    assert "Older versions stay until the next publication: metrics.json should be valid JSON" in note
    assert version_names(settings.models_dir) == in_database(settings) == names


def test_encoders_without_a_folder_are_swept_if_the_history_knows_the_version(settings: Settings) -> None:
    names = publish_many(settings, 3)
    shutil.rmtree(settings.models_dir / names[0])
    with connect(settings.database_url) as db:
        write_encoders(db, "20200101T000000Z-00000000", NOW)  # of another folder that shares the database
        write_encoders(db, "legacy-0f1e2d3c", NOW)  # of an earlier system

    clean(settings)

    assert in_database(settings) == ["20200101T000000Z-00000000", *names[1:], "legacy-0f1e2d3c"]


def test_encoders_that_a_failed_run_left_behind_are_swept(settings: Settings) -> None:
    from recsys.artifacts import append_history

    names = publish_many(settings, 1)
    left = "20250101T000000Z-00000000"
    with connect(settings.database_url) as db:
        write_encoders(db, left, NOW)
    append_history(settings.models_dir, {"trained_at": NOW, "published": None, "left_in_database": left}, UNSYNCED)

    clean(settings)

    assert in_database(settings) == names


def test_damaged_versions_are_removed_in_their_turn(settings: Settings) -> None:
    names = publish_many(settings, 7, clean=False)
    (settings.models_dir / names[0] / "manifest.json").unlink()
    (settings.models_dir / names[1] / "contexts.json").write_text("{", encoding="utf-8")

    clean(settings)

    assert version_names(settings.models_dir) == names[2:]


def test_a_link_to_another_folder_is_never_followed(settings: Settings, tmp_path: Path) -> None:
    names = publish_many(settings, 6, clean=False)
    elsewhere = tmp_path / "elsewhere"
    shutil.move(settings.models_dir / names[0], elsewhere)
    (settings.models_dir / names[0]).symlink_to(elsewhere, target_is_directory=True)
    (settings.models_dir / names[1] / "link").symlink_to(elsewhere, target_is_directory=True)

    clean(keeping(settings, 2))

    assert (elsewhere / "manifest.json").exists()
    assert version_names(settings.models_dir) == names[-2:]


class NotAllowed(Unsynced):
    def rename(self, source: Path, target: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(source))


@pytest.mark.parametrize("fault", ["database", "folder"])
def test_a_clean_up_that_fails_is_noted_and_made_up_for_by_the_next(settings: Settings, fault: str) -> None:
    names = publish_many(settings, 6, clean=False)
    notes: list[str] = []

    def gone(url: object) -> store.Database:
        raise DatabaseUnavailable("The database failed: gone away")

    if fault == "database":
        clean_up(settings, files=UNSYNCED, connect=gone, note=notes.append)
    else:
        clean_up(settings, files=NotAllowed(), note=notes.append)

    assert len(notes) == 1
    assert "stay until the next publication" in notes[0]
    assert version_names(settings.models_dir) == names
    assert current(settings.models_dir).name == names[-1]
    clean(settings)
    assert version_names(settings.models_dir) == in_database(settings) == names[1:]


def test_an_active_version_without_an_entry_is_recorded_once(settings: Settings) -> None:
    publish_many(settings, 1)
    (settings.models_dir / "metrics.json").unlink()

    record_active(settings.models_dir, UNSYNCED)
    record_active(settings.models_dir, UNSYNCED)

    name = current_name(settings.models_dir)
    assert history(settings.models_dir) == [{"trained_at": NOW, "published": name, "reason": CUT_SHORT}]


# runs that fail, and runs that publish


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The training run with stand-ins for its steps; `ends` holds what its last step does."""
    from recsys.training import train as module

    stub = SimpleNamespace(ends=lambda run, draft: run, notes=[])
    nothing: Any = None
    report = CleanReport(0, 0, {})
    run = TrainingRun(nothing, "time", LATER, nothing, nothing, nothing, report)
    for step in ("read_shop", "validate", "evaluate", "fit_to_serve"):
        monkeypatch.setattr(module, step, lambda *_, **__: run)
    monkeypatch.setattr(module, "split", lambda *_: (None, None, None))
    monkeypatch.setattr(module, "plan", lambda run, *_: run)
    monkeypatch.setattr(module, "check_complete", lambda models: None)
    monkeypatch.setattr(module, "pass_gate", lambda run, *_: run)
    monkeypatch.setattr(module, "record_refusal", lambda *_, **__: None)
    monkeypatch.setattr(module, "check_enough", lambda run: stub.check())
    monkeypatch.setattr(module, "publish", lambda run, draft, **_: stub.ends(run, draft))
    stub.check = lambda: None
    stub.train = lambda settings: module.train(
        settings, now=LATER, progress=SimpleNamespace(note=stub.notes.append), files=UNSYNCED
    )
    return stub


def test_training_cleans_up_after_it_has_published_and_before_it_lets_go_of_the_lock(
    settings: Settings, training: SimpleNamespace
) -> None:
    names = publish_many(settings, 6, clean=False)
    locked: list[bool] = []

    def note(text: str) -> None:
        with pytest.raises(Overloaded):
            Draft.create(settings.models_dir, LATER + 1)
        locked.append(True)

    training.notes = SimpleNamespace(append=note)
    training.ends = lambda run, draft: (
        write_draft(draft, LATER) and activate(settings.models_dir, version_names(settings.models_dir)[-1], UNSYNCED)
    )
    training.train(settings)

    assert locked == [True]
    assert len(version_names(settings.models_dir)) == 6  # five published ones, and the active one without an entry
    assert names[0] not in version_names(settings.models_dir)


@pytest.mark.parametrize("error", [NotEnoughData("too few"), DatabaseUnavailable("gone"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["check", "ends"])
def test_failed_and_refused_runs_evict_nothing(
    settings: Settings, training: SimpleNamespace, error: BaseException, step: str
) -> None:
    names = publish_many(settings, 8, clean=False)

    def fail(*_: object) -> None:
        raise error

    setattr(training, step, fail)
    with pytest.raises(type(error)):
        training.train(settings)

    assert version_names(settings.models_dir) == in_database(settings) == names


# death at every step


def last_steps(settings: Settings, now: int) -> Watched:
    disk = Watched()
    publish(settings, now, files=disk, connect=watched(disk))
    return disk


class Dying(Mortal):
    """A disk that dies, without fsync."""

    def fsync(self, path: Path) -> None:
        self.before("fsync", path)


def copied(settings: Settings, folder: Path) -> Settings:
    source = settings.models_dir.parent
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("recsys.toml"))
    return keeping(settings_of(f"sqlite:///{folder / 'shop.sqlite'}", folder), settings.lifecycle.keep_versions)


def test_a_publisher_that_dies_at_any_step_from_the_activation_to_the_sweep_leaves_whole_versions(
    settings: Settings, tmp_path: Path
) -> None:
    settings = keeping(settings, 2)
    names = publish_many(settings, 2)
    dead_before_activation(settings, NOW + 10 * HOUR)
    reference = copied(settings, tmp_path / "reference")
    disk = last_steps(reference, LATER)
    steps = disk.steps
    activation = steps.index("rename CURRENT") + 1
    sweep = [step for step in steps[activation:] if step.startswith(("remove", "DELETE"))]
    # two versions are removed: two tables of ids, two of contexts and the version's row; then a stamp, five files, a
    # folder in it and the folder itself
    assert sweep.count("DELETE database") == 2 * 5
    assert sum(step.startswith("remove ") for step in sweep) == 2 * 5
    assert sum(step.startswith("remove_dir ") for step in sweep) == 2 * 2

    for at in range(activation, len(steps) + 1):  # tests/training/test_publishing.py has those before
        dying = copied(settings, tmp_path / str(at))
        mortal = Dying(at, torn=True)
        with pytest.raises(Died):
            publish(dying, LATER, files=mortal, connect=watched(mortal))

        with current(dying.models_dir, full=True) as version:
            assert (version.name == names[-1]) == (at <= activation), steps[at - 1]
            with connect(dying.database_url) as db:
                assert store.read_version(db, version.name).users == ["3", "7"]
        for name in version_names(dying.models_dir):
            open_version(dying.models_dir, name, full=True).close()

        last = publish(dying, LATER + HOUR)
        kept = version_names(dying.models_dir)
        assert kept == in_database(dying) and kept[-1] == last and len(kept) == 2, steps[at - 1]
        assert shown(dying) == [last]
        assert not [path.name for path in dying.models_dir.iterdir() if path.name.startswith(".draft-")]
        shutil.rmtree(dying.models_dir.parent)


SERVERS = pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)


@SERVERS
def test_a_death_at_any_statement_of_the_sweep_on_a_server_is_made_up_for(database_url: str, tmp_path: Path) -> None:
    settings = keeping(settings_of(database_url, tmp_path), 2)
    names = publish_many(settings, 4, clean=False)

    def dying(last: int) -> Callable[..., store.Database]:
        sent: list[str] = []

        def watch(sql: str, values: object) -> None:
            sent.append(sql)
            if len(sent) > last:
                raise Died

        return lambda url: connect(url, tracer=watch)

    deaths = 0
    while True:
        try:
            clean_up(settings, files=UNSYNCED, connect=dying(deaths), note=lambda text: None)
            break
        except Died:
            deaths += 1
            assert {names[2], names[3]} <= set(version_names(settings.models_dir)) & set(in_database(settings))

    assert deaths >= 10  # one look-up and, for a whole version, nine statements
    assert version_names(settings.models_dir) == in_database(settings) == names[2:]
