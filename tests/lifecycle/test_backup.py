"""scripts/backup.py and scripts/restore.py: one archive, whole or refused, and a restore into nothing that answers."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recsys import store
from recsys.artifacts import Draft, current_name, history, open_version, version_names
from recsys.errors import DatabaseUnavailable, ModelRefused, Overloaded, RecsysError, SettingsError
from recsys.lifecycle import archive as archives
from recsys.lifecycle import backup
from recsys.lifecycle.backup import back_up, restore
from recsys.settings import Settings, load_settings
from recsys.store import connect
from scripts import backup as backup_script
from scripts.restore import main as restore_main
from tests.helpers.dying_disk import Died, Full, Mortal, Watched
from tests.helpers.entry_points import answer, ask, install
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
from tests.helpers.tiny_shop import Published, fill

LATER = NOW + 1000 * HOUR
sqlite_only = pytest.mark.parametrize("shop_url", ["sqlite"], indirect=True)


@pytest.fixture
def settings(shop_url: str, tmp_path: Path) -> Settings:
    return settings_of(shop_url, tmp_path)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Settings:
    """Settings of another, empty host: no folder of versions, and a database without a table."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "shop.sqlite").touch()
    return settings_of(f"sqlite:///{folder / 'shop.sqlite'}", folder)


@pytest.fixture
def saved(settings: Settings, tmp_path: Path) -> Path:
    """The archive of a published version."""
    (name,) = publish_many(settings, 1)
    back_up(settings, name, tmp_path / "saved.zip", files=UNSYNCED)
    return tmp_path / "saved.zip"


def nothing_restored(settings: Settings) -> None:
    """Assert that the other host is as empty as before."""
    assert version_names(settings.models_dir) == []
    assert history(settings.models_dir) == []
    assert not list(settings.models_dir.glob(".draft-*"))
    with connect(settings.database_url) as db:
        store.migrate(db, shop=False)
        assert [row for row in store.list_versions(db) if row.complete] == []


def rewritten(path: Path, target: Path, change: Callable[[dict[str, bytes]], object]) -> Path:
    """Write an archive anew after a change to its files, with a listing that fits them unless the change set one."""
    with zipfile.ZipFile(path) as source:
        parts = {name: source.read(name) for name in source.namelist()}
    listing = parts.pop(archives.LISTING)
    change(parts)
    if archives.LISTING not in parts:
        entries = [
            {"path": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in parts.items()
        ]
        parts[archives.LISTING] = json.dumps({**json.loads(listing), "files": entries}).encode()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in parts.items():
            made.writestr(name, data)
    return target


@pytest.mark.parametrize("users", [(3, 7), ("lan", "tú 🎒")], ids=["numbers", "text"])
def test_a_version_comes_back_with_its_encoders_and_its_entry(
    settings: Settings, elsewhere: Settings, tmp_path: Path, users: tuple[int | str, ...]
) -> None:
    name = publish(settings, NOW, users=users)
    publish(settings, LATER)

    back_up(settings, name, tmp_path / "a.zip")
    done = restore(elsewhere, tmp_path / "a.zip", now=LATER)

    assert (done.name, done.is_new, done.wrote_encoders, done.switched) == (name, True, True, None)
    for folder in (settings.models_dir, elsewhere.models_dir):
        open_version(folder, name, full=True).close()
    files = [
        {path.relative_to(models_dir / name): path.read_bytes() for path in (models_dir / name).rglob("*.*")}
        for models_dir in (settings.models_dir, elsewhere.models_dir)
    ]
    assert files[0] == files[1] and len(files[0]) == 4
    with connect(elsewhere.database_url) as db:
        stored = store.read_version(db, name)
    assert (stored.users, stored.contexts, stored.data_until) == (list(map(str, users)), CONTEXTS, NOW - HOUR)
    assert history(elsewhere.models_dir) == [{**history(settings.models_dir)[0], "restored_at": LATER}]
    assert not (elsewhere.models_dir / "CURRENT").exists()


@pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)
def test_it_comes_back_into_an_empty_database_of_another_kind(
    database_url: str, sqlite_shop_url: str, tmp_path: Path
) -> None:
    shutil.copy(sqlite_shop_url.removeprefix("sqlite:///"), tmp_path / "shop.sqlite")
    source = settings_of(f"sqlite:///{tmp_path / 'shop.sqlite'}", tmp_path)
    name = publish(source, NOW, users=("lan", "tú 🎒"))
    back_up(source, name, tmp_path / "a.zip")
    target = settings_of(database_url, tmp_path / "elsewhere")

    restore(target, tmp_path / "a.zip", now=LATER, activate=True)

    with connect(database_url) as db:
        assert store.read_version(db, name).users == ["lan", "tú 🎒"]
    assert (current_name(target.models_dir), shown(target)) == (name, [name])


@pytest.mark.slow
def test_a_drill_from_nothing_to_an_answer(
    published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    request = {"user_id": 7, "limit": 6, "model": "BMF"}
    root = install(tmp_path / "code")
    before = answer(ask(root, request, env={**os.environ, **published.environ}))
    for name, value in published.environ.items():
        monkeypatch.setenv(name, value)
    assert backup_script.main([], tmp_path) == 0
    (archive,) = (tmp_path / "backups").iterdir()
    (tmp_path / "new").mkdir()
    (tmp_path / "new/shop.sqlite").touch()
    environ = {"DATABASE_URL": f"sqlite:///{tmp_path / 'new/shop.sqlite'}", "MODELS_DIR": str(tmp_path / "new/models")}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    assert restore_main([str(archive), "--activate"]) == 0
    fill(environ["DATABASE_URL"])  # the shop's own tables have a backup of their own
    after = answer(ask(root, request, env={**os.environ, **environ}))

    assert before["ok"] and before["items"]
    assert {**after, "ms": 0} == {**before, "ms": 0}
    printed = capsys.readouterr()
    assert f"{published.version} restored. Its encoders were written.\nIt is active. Before it: none." in printed.out
    assert printed.err == ""


# the archive


@sqlite_only
def test_the_archive_is_for_this_user_only_and_lies_in_backups(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = publish_many(settings, 2)
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'shop.sqlite'}")
    monkeypatch.setenv("MODELS_DIR", str(settings.models_dir))

    assert [backup_script.main([*argv], tmp_path) for argv in ([], ["--version", first], [])] == [0, 0, 0]

    assert sorted(path.name for path in (tmp_path / "backups").iterdir()) == [f"{first}.zip", f"{second}.zip"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "backups").iterdir()} == {0o600}
    assert f"{second}: 0.0 MiB in {tmp_path / 'backups' / second}.zip." in capsys.readouterr().out


@sqlite_only
def test_the_archive_holds_what_its_listing_says_and_no_secret(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = {name: f"sesame-{name}" for name in ("DB_PASSWORD", "JWT_SECRET", "METRICS_TOKEN")}
    (name,) = publish_many(settings, 1)
    url = f"sqlite:///{tmp_path / 'shop.sqlite'}"
    load_settings({"DATABASE_URL": url, "MODELS_DIR": str(settings.models_dir), **secrets}, tmp_path)

    back_up(settings, name, tmp_path / "a.zip")

    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        names = archive.namelist()
        content = b"".join(map(archive.read, names))
    assert sorted(names) == [
        "backup.json",
        "encoders.json",
        "metrics.json",
        *(f"version/{path}" for path in ("contexts.json", "deep/weights.bin", "encoders.h5", "manifest.json")),
    ]
    assert b"sesame" not in content and str(tmp_path).encode() not in content


@sqlite_only
def test_an_existing_file_is_never_overwritten(settings: Settings, tmp_path: Path) -> None:
    (name,) = publish_many(settings, 1)
    target = tmp_path / "precious.zip"
    target.write_text("precious", encoding="utf-8")

    with pytest.raises(SettingsError, match="should be a new file. Received: it exists"):
        back_up(settings, name, target)

    assert target.read_text(encoding="utf-8") == "precious"


@sqlite_only
def test_what_is_not_whole_is_not_backed_up(settings: Settings, tmp_path: Path) -> None:
    first, second = publish_many(settings, 2)
    (settings.models_dir / second / "contexts.json").write_text("{}", encoding="utf-8")
    with connect(settings.database_url) as db:
        db.execute("UPDATE rec_user_encoder SET original_id = '99' WHERE original_id = '7'")

    for name, words in ((first, "other ones. Run scripts/migrate_encoders.py"), (second, "contexts.json should have")):
        with pytest.raises(RecsysError, match=words):
            back_up(settings, name, tmp_path / "a.zip")
    assert not list(tmp_path.glob("*.zip*"))


@sqlite_only
def test_a_backup_without_room_or_rights_leaves_nothing(settings: Settings, tmp_path: Path) -> None:
    (name,) = publish_many(settings, 1)
    for at, code in ((1, 28), (2, 28), (3, 28), (2, 13)):
        with pytest.raises(RecsysError) as caught:
            back_up(
                settings, name, tmp_path / "made" / "a.zip", files=Full(at + 2, code)
            )  # after the stamp's two steps
        assert type(caught.value) is (Overloaded if code == 28 else SettingsError)
        assert str(tmp_path / "made" / "a.zip") in str(caught.value)
        assert not list((tmp_path / "made").glob("*")) if (tmp_path / "made").exists() else True


class Dying(Mortal):
    """A disk that dies, without fsync."""

    def fsync(self, path: Path) -> None:
        self.before("fsync", path)


@sqlite_only
def test_a_backup_that_dies_at_any_step_leaves_the_old_archive_or_the_new_one(
    settings: Settings, tmp_path: Path, elsewhere: Settings
) -> None:
    (name,) = publish_many(settings, 1)
    target = tmp_path / "backups" / "a.zip"
    back_up(settings, name, target, files=UNSYNCED)
    disk = Watched()
    back_up(settings, name, target, replace=True, files=disk)
    assert [step.split()[0] for step in disk.steps[-6:]] == ["make_dir", "create", "fsync", "rename", "fsync", "remove"]

    for at in range(1, len(disk.steps) + 1):
        with pytest.raises(Died):
            back_up(settings, name, target, replace=True, files=Dying(at, torn=True))
        with archives.open_archive(target) as archive:
            assert archive.name == name

    back_up(settings, name, target, replace=True, files=UNSYNCED)
    assert [path.name for path in target.parent.iterdir()] == ["a.zip"]


# the restore


@sqlite_only
def test_restoring_again_changes_nothing(saved: Path, settings: Settings, elsewhere: Settings) -> None:
    restore(elsewhere, saved, now=LATER)
    before = history(elsewhere.models_dir)
    stamps = {path: path.stat().st_mtime_ns for path in elsewhere.models_dir.glob("2*/*")}

    done = restore(elsewhere, saved, now=LATER + 1)

    assert (done.is_new, done.wrote_encoders) == (False, False)
    assert history(elsewhere.models_dir) == before
    assert {path: path.stat().st_mtime_ns for path in elsewhere.models_dir.glob("2*/*")} == stamps
    restore(elsewhere, saved, now=LATER, activate=True)
    done = restore(elsewhere, saved, now=LATER, activate=True)
    assert done.switched is not None and done.switched.before == done.name


@sqlite_only
def test_another_version_of_the_same_name_is_refused_and_stays(saved: Path, settings: Settings) -> None:
    name = current_name(settings.models_dir)
    weights = settings.models_dir / name / "deep/weights.bin"
    weights.write_bytes(b"other" * 10)

    with pytest.raises(ModelRefused, match=f"should hold no other {name} than the backup's"):
        restore(settings, saved, now=LATER)

    assert weights.read_bytes() == b"other" * 10


@sqlite_only
def test_a_restored_version_outlives_the_next_publication(saved: Path, settings: Settings, elsewhere: Settings) -> None:
    names = [publish(elsewhere, LATER + number * HOUR) for number in range(5)]

    old = restore(elsewhere, saved, now=LATER).name
    last = publish(elsewhere, LATER + 10 * HOUR)

    assert version_names(elsewhere.models_dir) == in_database(elsewhere) == [old, *names[2:], last]


@sqlite_only
def test_a_training_run_at_work_is_told_and_nothing_changes(saved: Path, elsewhere: Settings) -> None:
    with Draft.create(elsewhere.models_dir, LATER), pytest.raises(Overloaded, match="held by process"):
        restore(elsewhere, saved, now=LATER)
    nothing_restored(elsewhere)


@sqlite_only
def test_without_room_nothing_is_restored(saved: Path, elsewhere: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = 0
    for at in range(1, 60):
        try:
            restore(elsewhere, saved, now=LATER, files=Full(at))
        except Overloaded:
            failures += 1
            if not version_names(elsewhere.models_dir):
                assert not list(elsewhere.models_dir.glob(".draft-*"))
        else:
            break
    assert failures > 10
    shutil.rmtree(elsewhere.models_dir)
    monkeypatch.setattr(backup, "LEAST_ROOM", 2**70)
    with pytest.raises(Overloaded, match="should have room for the version"):
        restore(elsewhere, saved, now=LATER)
    assert version_names(elsewhere.models_dir) == []


@sqlite_only
def test_without_the_database_nothing_is_restored(saved: Path, elsewhere: Settings) -> None:
    def gone(url: object) -> store.Database:
        raise DatabaseUnavailable("The database failed: gone away")

    with pytest.raises(DatabaseUnavailable):
        restore(elsewhere, saved, now=LATER, connect=gone)
    nothing_restored(elsewhere)


@sqlite_only
def test_a_restore_that_dies_at_any_step_is_finished_by_the_next(
    saved: Path, elsewhere: Settings, tmp_path: Path
) -> None:
    old = publish(elsewhere, LATER)
    source = elsewhere.models_dir.parent
    disk = Watched()

    def copied(name: str) -> Settings:
        shutil.copytree(source, tmp_path / name)
        return settings_of(f"sqlite:///{tmp_path / name / 'shop.sqlite'}", tmp_path / name)

    reference = copied("reference")
    name = restore(reference, saved, now=LATER, activate=True, files=disk, connect=watched(disk)).name
    activation = disk.steps.index("rename CURRENT") + 1
    for at in range(1, len(disk.steps) + 1):
        dying = copied(str(at))
        mortal = Dying(at, torn=True)
        with pytest.raises(Died):
            restore(dying, saved, now=LATER, activate=True, files=mortal, connect=watched(mortal))
        serving = current_name(dying.models_dir)
        assert serving == (old if at <= activation else name), disk.steps[at - 1]
        open_version(dying.models_dir, serving, full=True).close()

        restore(dying, saved, now=LATER, activate=True, files=UNSYNCED)
        assert current_name(dying.models_dir) == name
        assert shown(dying) == [name] and in_database(dying) == [name, old]
        known = [(entry.get("published"), entry.get("action")) for entry in history(dying.models_dir)]
        assert known == [(old, None), (name, None), (None, "activate")], disk.steps[at - 1]
        shutil.rmtree(dying.models_dir.parent)


# hostile and damaged archives


def listing_with(**changes: Any) -> Callable[[dict[str, bytes]], None]:
    """Return a change of the first file's entry in the listing."""

    def change(parts: dict[str, bytes]) -> None:
        entries = [
            {"path": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in parts.items()
        ]
        (weights,) = (entry for entry in entries if entry["path"].endswith("weights.bin"))
        weights.update(changes)
        (name,) = {json.loads(parts["metrics.json"])[0]["published"]}
        parts[archives.LISTING] = json.dumps({"schema": 1, "version": name, "files": entries}).encode()

    return change


def set_part(name: str, data: bytes) -> Callable[[dict[str, bytes]], None]:
    return lambda parts: parts.update({name: data})


HOSTILE: dict[str, tuple[Callable[[dict[str, bytes]], object], str]] = {
    "a path above": (set_part("../evil.txt", b"x"), "`path` should name a file inside the version"),
    "an absolute path": (set_part("/tmp/evil.txt", b"x"), "`path` should name a file inside the version"),
    "a path of Windows": (set_part("version/..\\evil.txt", b"x"), "`path` should name a file inside the version"),
    "a path above in the version": (set_part("version/../../evil", b"x"), "`path` should name a file inside"),
    "another file": (set_part("evil.txt", b"x"), "exactly the files of backup.json"),
    "another file of the version": (set_part("version/evil.py", b"x"), "files of the version's manifest"),
    "a missing file": (lambda parts: parts.pop("version/contexts.json"), "files of the version's manifest"),
    "no encoders": (lambda parts: parts.pop("encoders.json"), "exactly the files of backup.json"),
    "no manifest": (lambda parts: parts.pop("version/manifest.json"), "exactly the files of backup.json"),
    "a changed file": (set_part("version/contexts.json", b"{}"), "files of the version's manifest"),
    "a changed manifest": (set_part("version/manifest.json", b"{}"), "the version that its manifest belongs to"),
    "other encoders": (set_part("encoders.json", b"{}"), "should hold the encoders of"),
    "entries of another version": (set_part("metrics.json", b'[{"published": "other"}]'), "should hold entries of"),
    "no entries": (set_part("metrics.json", b"5"), "should hold entries of"),
    "entries that are no JSON": (set_part("metrics.json", b"["), "should be valid JSON"),
    "a listing that is no JSON": (set_part("backup.json", b"["), "should be valid JSON"),
    "a listing of another form": (set_part("backup.json", b"[]"), "should be a JSON object"),
    "a listing of the future": (set_part("backup.json", b'{"schema": 2}'), "`schema` should be 1"),
    "another size": (listing_with(size=5), "should have 5 bytes"),
    "a size that is too large": (listing_with(size=2**60), f"should have {2**60} bytes"),
    "a negative size": (listing_with(size=-1), "should be a number of bytes"),
    "another hash": (listing_with(sha256="0" * 64), "files of the version's manifest"),
}


@sqlite_only
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_archive_is_refused_and_writes_nothing(
    saved: Path, elsewhere: Settings, tmp_path: Path, kind: str
) -> None:
    change, words = HOSTILE[kind]
    path = rewritten(saved, tmp_path / "hostile.zip", change)
    before = sorted(tmp_path.rglob("*.txt"))

    with pytest.raises(ModelRefused) as caught:
        restore(elsewhere, path, now=LATER, activate=True)

    assert words in str(caught.value)
    assert sorted(tmp_path.rglob("*.txt")) == before and not Path("/tmp/evil.txt").exists()
    nothing_restored(elsewhere)


def with_member(path: Path, target: Path, change: Callable[[zipfile.ZipInfo], object]) -> Path:
    """Copy an archive with a change to the header of the weights."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as made:
        for member in source.infolist():
            data = source.read(member)
            if member.filename.endswith("weights.bin"):
                change(member)
            made.writestr(member, data)
    return target


@sqlite_only
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda member: setattr(member, "external_attr", (stat.S_IFLNK | 0o777) << 16), "plain files only"),
        (lambda member: setattr(member, "external_attr", (stat.S_IFIFO | 0o600) << 16), "plain files only"),
        (lambda member: setattr(member, "external_attr", (stat.S_IFDIR | 0o700) << 16), "plain files only"),
        (lambda member: setattr(member, "compress_type", zipfile.ZIP_BZIP2), "packed otherwise"),
    ],
    ids=["a link", "a pipe", "a folder", "another compression"],
)
def test_what_is_no_plain_file_is_refused(
    saved: Path, elsewhere: Settings, tmp_path: Path, change: Callable[[zipfile.ZipInfo], object], words: str
) -> None:
    with pytest.raises(ModelRefused, match=words):
        restore(elsewhere, with_member(saved, tmp_path / "hostile.zip", change), now=LATER)
    nothing_restored(elsewhere)


@sqlite_only
def test_a_file_that_is_there_twice_is_refused(saved: Path, elsewhere: Settings) -> None:
    with zipfile.ZipFile(saved, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("encoders.json", b"{}")

    with pytest.raises(ModelRefused, match="each file once"):
        restore(elsewhere, saved, now=LATER)
    nothing_restored(elsewhere)


@sqlite_only
def test_an_archive_that_is_cut_off_or_damaged_anywhere_is_refused_or_the_same(
    saved: Path, elsewhere: Settings, tmp_path: Path
) -> None:
    whole = saved.read_bytes()
    path = tmp_path / "damaged.zip"
    cut = [whole[:length] for length in range(0, len(whole), 97)]
    changed = [whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :] for at in range(0, len(whole), 31)]
    refused = [0, 0]
    for data in (*cut, *changed):
        path.write_bytes(data)
        try:
            with archives.open_archive(path) as archive:  # what a restore reads
                for part in archive.parts:
                    archive.check(part)
        except RecsysError as error:
            assert isinstance(error, ModelRefused)
            refused[len(data) == len(whole)] += 1
    assert refused[0] == len(cut)
    assert refused[1] > len(changed) / 2  # some bytes of a header, such as its time, mean nothing


@sqlite_only
def test_a_damaged_content_is_refused_when_it_is_written(saved: Path, elsewhere: Settings, tmp_path: Path) -> None:
    with zipfile.ZipFile(saved) as archive:
        member = archive.getinfo("version/deep/weights.bin")
        start = member.header_offset + 30 + len(member.filename)
    data = bytearray(saved.read_bytes())
    data[start + member.compress_size // 2] ^= 0xFF
    saved.write_bytes(data)

    with pytest.raises(ModelRefused, match="should be a whole backup|it is damaged"):
        restore(elsewhere, saved, now=LATER)
    nothing_restored(elsewhere)


@sqlite_only
@pytest.mark.parametrize("kind", ["missing", "folder", "link", "text"])
def test_what_is_no_archive_is_told(
    saved: Path, elsewhere: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    path = tmp_path / "other.zip"
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to(saved)
    elif kind == "text":
        path.write_text("not a zip", encoding="utf-8")
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{elsewhere.models_dir.parent / 'shop.sqlite'}")
    monkeypatch.setenv("MODELS_DIR", str(elsewhere.models_dir))

    assert restore_main([str(path)]) == (78 if kind == "missing" else 77)
    nothing_restored(elsewhere)


@sqlite_only
@pytest.mark.parametrize("main", [restore_main, backup_script.main])
def test_a_wrong_command_line_is_2(main: Callable[[list[str]], int], settings: Settings) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--nonsense"])

    assert left.value.code == 2


@sqlite_only
def test_a_removed_version_comes_back_with_the_entry_that_its_history_kept(saved: Path, settings: Settings) -> None:
    name = current_name(settings.models_dir)
    publish(settings, LATER)
    shutil.rmtree(settings.models_dir / name)
    before = history(settings.models_dir)

    restore(settings, saved, now=LATER)

    assert history(settings.models_dir) == [*before, {"action": "restore", "timestamp": LATER, "version": name}]
