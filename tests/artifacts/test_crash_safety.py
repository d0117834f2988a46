"""Publishing killed at every single effect: the version that served before, or the new one; never a third state."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from recsys.artifacts import Draft, current, current_name, history, open_version
from recsys.errors import InternalError, Overloaded, RecsysError, SettingsError
from tests.helpers.dying_disk import (
    NEW,
    NEXT,
    Died,
    Full,
    Mortal,
    PowerCut,
    Unsynced,
    Watched,
    copy,
    publish,
    version_names,
)

# Every effect of Draft.create … publish, activate and append_history, in order. A new effect belongs here with its
# reason.
PUBLISH = [
    "make_dir models",
    "lock .lock",
    "make_dir DRAFT",
    "write bmf_config.json",
    "make_dir items",
    "create prices.h5",
    # snapshot.bin is written by a library, past the seam
    "fsync bmf_config.json",
    "fsync prices.h5",
    "fsync snapshot.bin",
    "write manifest.json",
    "fsync manifest.json",
    "fsync items",
    "fsync DRAFT",
    "rename VERSION",  # from here on the version exists
    "fsync models",
]
ACTIVATE = [
    "make_dir .stamps",
    "write STAMP",
    "rename VERSION.json",
    "lock .replace.lock",
    "write CURRENT.tmp",
    "fsync CURRENT.tmp",
    "rename CURRENT",  # from here on the version serves
    "fsync models",
]
APPEND = [
    "make_dir models",
    "lock .replace.lock",
    "write metrics.json.tmp",
    "fsync metrics.json.tmp",
    "rename metrics.json",
    "fsync models",
]
EFFECTS = len(PUBLISH) + len(ACTIVATE) + len(APPEND)
SERVES = len(PUBLISH) + ACTIVATE.index("rename CURRENT") + 1


def generic(steps: list[str]) -> list[str]:
    """Return the steps without process ids, times and hashes."""
    version = r"\d{8}T\d{6}Z-[0-9a-f]{8}"
    rules = ((rf"{version}\.[0-9-]+\.tmp", "STAMP"), (version, "VERSION"), (r"\.draft-\S+", "DRAFT"))
    for pattern, word in rules:
        steps = [re.sub(pattern, word, step) for step in steps]
    return steps


def served(models_dir: Path) -> float:
    """Return what the active version says, after a full verification."""
    with current(models_dir, full=True) as version:
        assert version.json("bmf_config.json") == {"dim": 2}
        assert version.file("snapshot.bin").read_bytes() == b"written by a library" * 50
        return version.manifest["data_until"]


def check(models_dir: Path, old: str) -> None:
    """Assert that the disk is in the old or the new state, and that publishing goes on from there."""
    open_version(models_dir, old, full=True).close()
    names = version_names(models_dir)
    for name in names:  # whatever has a version's name is a whole version
        open_version(models_dir, name, full=True).close()
    assert len(names) in (1, 2)
    assert current_name(models_dir) in names
    served(models_dir)
    entries = [entry["version"] for entry in history(models_dir)]
    assert entries == names[: len(entries)] and len(entries) >= 1
    assert len(entries) == 1 or current_name(models_dir) == names[1]
    latest = publish(models_dir, NEXT, Unsynced())
    assert current_name(models_dir) == latest and served(models_dir) == NEXT
    names_in_folder = {path.name for path in models_dir.iterdir()}
    assert names_in_folder == {"CURRENT", "metrics.json", ".lock", ".replace.lock", ".stamps", *names, latest}
    assert {path.name for path in (models_dir / ".stamps").iterdir()} <= {f"{name}.json" for name in (*names, latest)}


def test_the_effects_of_publishing_are_these_in_this_order(models_dir):
    disk = Watched()
    publish(models_dir, NEW, disk)
    assert generic(disk.steps) == PUBLISH + ACTIVATE + APPEND
    assert EFFECTS == 29


@pytest.mark.parametrize("torn", [False, True], ids=["before the effect", "half-way through a write"])
def test_f54_death_at_every_effect_leaves_the_old_version_or_the_new_one(models_dir, tmp_path, torn):
    old = current_name(models_dir)
    deaths = 0
    for at in range(1, EFFECTS + 2):
        folder = copy(models_dir, tmp_path / str(at) / "models")
        try:
            publish(folder, NEW, Mortal(at, torn=torn))
        except Died:
            deaths += 1
        assert served(folder) in (1_700_000_000, NEW)
        assert (current_name(folder) == old) == (at <= SERVES)
        check(folder, old)
    assert deaths == EFFECTS


def test_f54_a_killed_process_leaves_the_old_version_or_the_new_one_and_no_lock(models_dir, tmp_path):
    old = current_name(models_dir)
    script = Path(__file__).parents[1] / "helpers" / "killed_publisher.py"
    finished = subprocess.run(
        [sys.executable, str(script), str(models_dir), str(tmp_path)],
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert (finished.returncode, finished.stderr, finished.stdout) == (0, "", str(EFFECTS))
    for at in range(1, EFFECTS + 2):
        folder = tmp_path / str(at)
        assert (current_name(folder) == old) == (at <= SERVES)
        check(folder, old)


def test_f54_a_power_cut_leaves_the_old_version_or_the_new_one(models_dir, tmp_path):
    old = current_name(models_dir)
    cuts = 0
    for at in range(1, EFFECTS + 2):
        outcome, outcomes = 0, 1
        while outcome < outcomes:
            folder = copy(models_dir, tmp_path / f"{at}-{outcome}")
            disk = PowerCut(folder, at)
            try:
                publish(folder, NEW, disk)
            except Died:
                pass
            choices = list(disk.outcomes())
            disk.cut(*choices[outcome])
            check(folder, old)
            outcome, outcomes, cuts = outcome + 1, len(choices), cuts + 1
    assert cuts > 2 * (EFFECTS + 1)  # some cuts had renames to undo


def test_a_published_version_survives_a_power_cut_once_activate_has_returned(models_dir):
    disk = PowerCut(models_dir, at=1000)
    name = publish(models_dir, NEW, disk)
    assert [target.parent.name for _, target, _ in disk.pending] == [
        ".stamps"
    ]  # a stamp may be lost: it is only a shortcut
    disk.cut(tuple(range(len(disk.pending))), forgets_entries=True)
    assert current_name(models_dir) == name and served(models_dir) == NEW


def test_f54_the_very_first_publisher_may_die_anywhere_too(tmp_path):
    deaths = 0
    for at in range(1, EFFECTS + 2):
        models_dir = tmp_path / str(at) / "models"
        try:
            publish(models_dir, NEW, Mortal(at))
        except Died:
            deaths += 1
        assert (models_dir / "CURRENT").exists() == (at > SERVES)
        publish(models_dir, NEXT, Unsynced())
        assert served(models_dir) == NEXT
    assert deaths == EFFECTS


def test_f44_a_full_disk_at_every_effect_leaves_the_old_version_or_the_new_one(models_dir, tmp_path):
    old = current_name(models_dir)
    refusals = 0
    for at in range(1, EFFECTS + 2):
        folder = copy(models_dir, tmp_path / str(at))
        disk = Full(at)
        try:
            publish(folder, NEW, disk)
        except Overloaded as error:
            refusals += 1
            assert "No space left on device. Free some space and try again" in str(error)
            assert isinstance(error.__cause__, OSError)
        assert not list(folder.glob(".draft-*"))
        check(folder, old)
    assert refusals == EFFECTS  # the last effect still needs the disk


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (errno.ENOSPC, Overloaded, "Free some space"),
        (errno.EDQUOT, Overloaded, "Free some space"),
        (errno.EACCES, SettingsError, "MODELS_DIR should be a folder that this user may write to"),
        (errno.EROFS, SettingsError, "Read-only file system"),
        (errno.EIO, InternalError, "Input/output error"),
        (errno.EMFILE, Overloaded, "file descriptors"),
    ],
)
def test_every_reason_that_a_write_fails_for_has_its_error(models_dir, code, kind, words):
    with pytest.raises(RecsysError, match=re.escape(words)) as caught:
        publish(models_dir, NEW, Full(PUBLISH.index("write manifest.json") + 1, code))
    assert type(caught.value) is kind


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
FULL_IN_HDF5 = RuntimeError(
    f"Can't decrement id ref count (file write failed: errno = {errno.ENOSPC}, error message = 'No space')"
)


FULL_BEHIND = ValueError("Could not save the model")
FULL_BEHIND.__cause__ = FULL


@pytest.mark.parametrize(
    "error", [FULL, FULL_IN_HDF5, FULL_BEHIND], ids=["OSError", "in HDF5's text", "behind another error"]
)
def test_a_library_that_meets_a_full_disk_in_the_draft_is_explained_too(models_dir, error):
    with pytest.raises(Overloaded, match="Free some space"), Draft.create(models_dir, NEW) as draft:
        draft.path("bmf_model.weights.h5").write_bytes(b"half")
        raise error
    assert not list(models_dir.glob(".draft-*"))


@pytest.mark.parametrize(
    "error", [ConnectionRefusedError(errno.ECONNREFUSED, "refused"), RuntimeError("Adam diverged"), KeyboardInterrupt()]
)
def test_other_errors_pass_a_draft_unchanged_and_discard_it(models_dir, error):
    with pytest.raises(type(error)) as caught, Draft.create(models_dir, NEW):
        raise error
    assert caught.value is error
    assert not list(models_dir.glob(".draft-*"))


class Stubborn(Full):
    """A full disk that does not let anything go either."""

    def remove(self, path: Path) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(path))


def test_a_draft_that_cannot_be_removed_does_not_hide_why_it_had_to_be(models_dir):
    with pytest.raises(Overloaded, match="Free some space"):
        publish(models_dir, NEW, Stubborn(PUBLISH.index("write manifest.json") + 1))
    assert len(list(models_dir.glob(".draft-*"))) == 1
    check(models_dir, current_name(models_dir))  # the next publisher removes it


def test_a_draft_that_could_not_start_leaves_the_lock_to_the_next(models_dir):
    with pytest.raises(Overloaded) as caught:
        Draft.create(models_dir, NEW, Full(PUBLISH.index("make_dir DRAFT") + 1))
    Draft.create(models_dir, NEW).discard()
    assert caught.value.__traceback__ is not None  # a reference to the error holds no lock


REAL_LIMIT = """
import resource, sys
from pathlib import Path
import numpy as np
from recsys.artifacts import Draft
from recsys.errors import RecsysError
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # bytes; Python ignores the signal, so that write() fails
try:
    with Draft.create(Path(sys.argv[1]), 1_700_000_100) as draft:
        draft.write_arrays("items.h5", {"items": np.ones(int(sys.argv[2]), np.float32)})
except RecsysError as error:
    sys.stdout.write(f"{error.code}: {error}")
"""


@pytest.mark.parametrize("size", ["1000000", "24700"], ids=["while writing", "while closing"])
def test_f44_hdf5_that_really_runs_out_of_room_is_explained(models_dir, size):
    finished = subprocess.run(
        [sys.executable, "-c", REAL_LIMIT, str(models_dir), size],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.startswith(f"overloaded: {models_dir} should have room for one more version.")
    assert not list(models_dir.glob(".draft-*"))
    served(models_dir)


UNSHARED = {"disk": ["unshare", "-rm"], "file": []}


def may_mount() -> bool:
    """Return whether this user may mount a disk in a namespace of its own."""
    command = [*UNSHARED["disk"], "sh", "-c", "mount -t tmpfs -o size=1m tmpfs /mnt"]
    return (
        shutil.which("unshare") is not None
        and subprocess.run(command, capture_output=True, check=False).returncode == 0
    )


@pytest.mark.parametrize("kind", ["file", *(["disk"] if may_mount() else [])])
def test_f44_without_room_the_old_version_stays_until_the_new_one_fits(models_dir, tmp_path, kind):
    (tmp_path / "small").mkdir()
    script = Path(__file__).parents[1] / "helpers" / "full_disk.py"
    finished = subprocess.run(
        [*UNSHARED[kind], sys.executable, str(script), str(models_dir), str(tmp_path / "small"), kind],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    report = json.loads(finished.stdout)
    assert report["refusals"] > 3 and report["published"] != current_name(models_dir)


def test_what_dead_publishers_left_is_removed_by_the_next_one(models_dir, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("not ours", encoding="utf-8")
    dead = models_dir / ".draft-20230101T000000Z-1"
    (dead / "deep" / "deeper").mkdir(parents=True)
    (dead / "deep" / "weights.h5").write_bytes(b"half")
    (dead / "link").symlink_to(tmp_path, target_is_directory=True)
    for name in ("CURRENT.tmp", "metrics.json.tmp", ".stamps/20230101T000000Z-00000000.json", ".stamps/x.123-456.tmp"):
        (models_dir / name).write_bytes(b"half")
    with Draft.create(models_dir, NEW):
        assert len(list(models_dir.glob(".draft-*"))) == 1
    names_in_folder = {path.name for path in models_dir.iterdir()}
    assert names_in_folder == {"CURRENT", "metrics.json", ".lock", ".replace.lock", ".stamps", current_name(models_dir)}
    assert [path.name for path in (models_dir / ".stamps").iterdir()] == [f"{current_name(models_dir)}.json"]
    assert precious.read_text(encoding="utf-8") == "not ours"


def test_readers_see_whole_versions_only_while_others_are_published(models_dir):
    stop = threading.Event()
    seen: list[float] = []

    def read() -> None:
        while not stop.is_set():
            seen.append(served(models_dir))

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        for now in range(NEW, NEW + 10):
            publish(models_dir, now, Unsynced())
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert len(seen) >= 3 and set(seen) <= {1_700_000_000, *range(NEW, NEW + 10)}
