"""Opening versions: what is damaged, foreign or outside is refused by name before anything is read from it."""

import fcntl
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from recsys.artifacts import Draft, Files, activate, append_history, current, current_name, history, open_version
from recsys.artifacts.manifest import sha256_of
from recsys.errors import ModelRefused, NoModel, Overloaded
from tests.helpers.dying_disk import NEW, Unsynced, publish

LISTED = ["bmf_config.json", "items/prices.h5", "snapshot.bin"]


def folder(models_dir: Path) -> Path:
    return models_dir / current_name(models_dir)


def refusal(models_dir: Path, *, full: bool = False) -> str:
    with pytest.raises(ModelRefused) as caught:
        current(models_dir, full=full)
    return str(caught.value)


def rewrite_manifest(models_dir: Path, data: bytes) -> None:
    """Give the active version another manifest and the name that belongs to it, as a publisher would have."""
    old = folder(models_dir)
    (old / "manifest.json").write_bytes(data)
    new = f"{old.name.split('-')[0]}-{hashlib.sha256(data).hexdigest()[:8]}"
    old.rename(models_dir / new)
    (models_dir / "CURRENT").write_text(f"{new}\n", encoding="utf-8")


def flip(path: Path, position: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1 << bit
    path.write_bytes(data)


def test_an_open_version_has_its_name_manifest_and_files(models_dir):
    with current(models_dir) as version:
        assert version.name == current_name(models_dir) and version.path == models_dir / version.name
        assert list(version.manifest) == ["schema", "created", "data_until", "files"]
        assert version.manifest["created"] == "20231114T221320Z" and version.name.startswith("20231114T221320Z-")
        assert [entry["path"] for entry in version.manifest["files"]] == LISTED
        assert version.manifest["files"][1]["shapes"] == {"prices": [3]}
        assert version.file("snapshot.bin") == version.path / "snapshot.bin"
        with pytest.raises(TypeError):
            version.manifest["schema"] = 2
        with pytest.raises(AttributeError):
            version.name = "other"


@pytest.mark.parametrize("path", ["missing.json", "../metrics.json", "/etc/passwd", "manifest.json", "items", ""])
def test_files_that_the_manifest_does_not_list_cannot_be_read(models_dir, path):
    with current(models_dir) as version, pytest.raises(ModelRefused, match=re.escape(f"should hold {path}.")):
        version.file(path)


def test_a_version_reads_the_same_from_any_working_directory(models_dir, monkeypatch):
    monkeypatch.chdir(models_dir.parent)
    with current(Path("models")) as version:
        assert version.json("bmf_config.json") == {"dim": 2}


# --- damage ---


@pytest.mark.parametrize("full", [False, True], ids=["by the stamp", "in full"])
@pytest.mark.parametrize("where", ["first", "middle", "last"])
@pytest.mark.parametrize("path", ["manifest.json", *LISTED])
def test_f51_one_flipped_bit_in_any_file_is_refused_by_its_name(models_dir, path, where, full):
    current(models_dir).close()  # the stamp exists
    size = (folder(models_dir) / path).stat().st_size
    flip(folder(models_dir) / path, {"first": 0, "middle": size // 2, "last": size - 1}[where])
    assert path in refusal(models_dir, full=full)


def test_f51_a_flip_of_any_bit_of_the_manifest_is_refused(models_dir):
    path = folder(models_dir) / "manifest.json"
    whole = path.read_bytes()
    for position in range(len(whole)):
        flip(path, position, bit=position % 8)
        assert "manifest.json should have the SHA-256 that the version's name carries" in refusal(models_dir)
        path.write_bytes(whole)
    current(models_dir).close()


def test_f51_f53_a_flip_of_any_bit_of_current_opens_nothing(models_dir):
    path = models_dir / "CURRENT"
    whole = path.read_bytes()
    for position in range(len(whole)):
        for bit in range(8):
            flip(path, position, bit)
            with pytest.raises((ModelRefused, NoModel)):
                current(models_dir)
            path.write_bytes(whole)


def test_a_file_is_hashed_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of any length, also below, at and above the length of a part."""
    monkeypatch.setattr("recsys.artifacts.manifest.HASHED_AT_ONCE", 4)
    for length in (0, 1, 3, 4, 5, 8, 11):
        data = bytes(range(length))
        (tmp_path / "file").write_bytes(data)

        assert sha256_of(tmp_path / "file") == hashlib.sha256(data).hexdigest()


def test_a_change_that_keeps_inode_size_and_time_is_found_by_a_full_check(models_dir):
    path = folder(models_dir) / "snapshot.bin"
    current(models_dir).close()
    before = path.stat()
    with path.open("r+b") as file:
        file.write(b"W")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    current(models_dir).close()  # the stamp's known limit
    assert "snapshot.bin should have the SHA-256" in refusal(models_dir, full=True)


@pytest.mark.parametrize("size", [0, 1, 17])
@pytest.mark.parametrize("path", ["manifest.json", *LISTED])
def test_f50_a_file_that_is_cut_short_is_refused_by_its_name(models_dir, path, size):
    os.truncate(folder(models_dir) / path, size if path != "bmf_config.json" else size % 15)
    assert path in refusal(models_dir)


@pytest.mark.parametrize("path", LISTED)
def test_a_file_that_grew_is_refused_by_its_name(models_dir, path):
    with (folder(models_dir) / path).open("ab") as file:
        file.write(b"\0")
    assert f"{path} should have" in refusal(models_dir)


@pytest.mark.parametrize("path", ["manifest.json", *LISTED])
def test_f50_a_missing_file_is_refused_by_its_name(models_dir, path):
    (folder(models_dir) / path).unlink()
    assert f"{path} should exist" in refusal(models_dir)


@pytest.mark.parametrize("path", ["extra.json", "items/extra.h5", ".hidden", "deep/er/extra"])
def test_an_unlisted_file_is_refused_by_its_name(models_dir, path):
    extra = folder(models_dir) / path
    extra.parent.mkdir(parents=True, exist_ok=True)
    extra.write_bytes(b"")
    assert refusal(models_dir).endswith(f"should hold the files of its manifest only. Received: {path}.")


@pytest.mark.parametrize("path", ["manifest.json", *LISTED])
def test_a_symbolic_link_in_place_of_a_file_is_refused_even_to_the_same_bytes(models_dir, tmp_path, path):
    outside = tmp_path / "outside"
    (folder(models_dir) / path).rename(outside)
    (folder(models_dir) / path).symlink_to(outside)
    assert Path(path).name in refusal(models_dir)


def test_a_linked_folder_inside_a_version_is_refused(models_dir, tmp_path):
    (folder(models_dir) / "items").rename(tmp_path / "items")
    (folder(models_dir) / "items").symlink_to(tmp_path / "items", target_is_directory=True)
    assert "items should be a plain file. Received: a symbolic link" in refusal(models_dir)


def test_f53_a_linked_version_is_refused(models_dir, tmp_path):
    name = current_name(models_dir)
    (models_dir / name).rename(tmp_path / name)
    (models_dir / name).symlink_to(tmp_path / name, target_is_directory=True)
    assert "should be a folder. Received: a symbolic link" in refusal(models_dir)


@pytest.mark.parametrize("path", ["manifest.json", "snapshot.bin"])
def test_a_pipe_in_place_of_a_file_is_refused_without_waiting_for_a_writer(models_dir, path):
    (folder(models_dir) / path).unlink()
    os.mkfifo(folder(models_dir) / path)
    assert path in refusal(models_dir)


def test_a_linked_models_folder_is_fine(models_dir, tmp_path):
    (tmp_path / "link").symlink_to(models_dir, target_is_directory=True)
    current(tmp_path / "link", full=True).close()


# --- the manifest ---


def manifest_with(models_dir: Path, **changes: object) -> bytes:
    manifest = json.loads((folder(models_dir) / "manifest.json").read_bytes())
    return json.dumps({**manifest, **changes}).encode()


def files_with(models_dir: Path, **changes: object) -> bytes:
    files = json.loads((folder(models_dir) / "manifest.json").read_bytes())["files"]
    return manifest_with(models_dir, files=[{**files[0], **changes}, *files[1:]])


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd", "../metrics.json", "items/../../CURRENT", "..", ".", "", "items//prices.h5", "items/",
        ".hidden", "items\\prices.h5", "C:/x", "a\0b", "ünï.json", "manifest.json", "Manifest.JSON",
        7, None, ["a"], "x\n",
    ],
)  # fmt: skip
def test_a_manifest_that_names_a_path_it_may_not_is_refused(models_dir, path):
    rewrite_manifest(models_dir, files_with(models_dir, path=path))
    assert "manifest.json" in refusal(models_dir)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sha256", "A" * 64), ("sha256", "a" * 63), ("sha256", "g" * 64), ("sha256", 1), ("sha256", None),
        ("size", -1), ("size", True), ("size", 1.5), ("size", "12"), ("size", None),
    ],
)  # fmt: skip
def test_a_manifest_with_a_malformed_hash_or_size_is_refused(models_dir, field, value):
    rewrite_manifest(models_dir, files_with(models_dir, **{field: value}))
    assert f"`{field}` of bmf_config.json should be" in refusal(models_dir)


def test_an_upper_case_hash_is_refused_even_where_it_is_right(models_dir):
    data = files_with(models_dir)
    digest = json.loads(data)["files"][0]["sha256"]
    rewrite_manifest(models_dir, data.replace(digest.encode(), digest.upper().encode()))
    assert "64 lower-case hexadecimal digits" in refusal(models_dir)


@pytest.mark.parametrize("again", ["bmf_config.json", "BMF_config.json"])
def test_a_manifest_that_lists_a_path_twice_is_refused(models_dir, again):
    files = json.loads((folder(models_dir) / "manifest.json").read_bytes())["files"]
    rewrite_manifest(models_dir, manifest_with(models_dir, files=[*files, {**files[0], "path": again}]))
    assert f"should list a path once. Received: {again} again" in refusal(models_dir)


@pytest.mark.parametrize("schema", [2, 0, "1", True, None, 1.5])
def test_a_manifest_of_another_schema_is_refused(models_dir, schema):
    rewrite_manifest(models_dir, manifest_with(models_dir, schema=schema))
    assert f"`schema` should be 1. Received: {schema!r}" in refusal(models_dir)


@pytest.mark.parametrize("files", [[], {}, None, "x", [1], [[]], [{}]])
def test_a_manifest_without_a_list_of_files_is_refused(models_dir, files):
    rewrite_manifest(models_dir, manifest_with(models_dir, files=files))
    assert "manifest.json `" in refusal(models_dir)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b"\xff\xfe",
        b'{"schema": NaN}',
        b"[" * 100_000,
        b'{"schema": 1, "schema": 1}',
        b"\x80\x04pickle",
    ],
    ids=repr,
)
def test_a_manifest_that_is_no_json_object_is_refused(models_dir, data):
    rewrite_manifest(models_dir, data)
    assert "manifest.json should be" in refusal(models_dir)


def test_a_huge_manifest_is_refused_unread(models_dir):
    os.truncate(folder(models_dir) / "manifest.json", 2**34)  # sparse: 16 GiB of nothing
    assert "should have at most" in refusal(models_dir)


# --- CURRENT ---


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\n", b"..", b"../models", b".", b"/etc", b"/", b"items", b".draft-20231114T221320Z-1",
        b"\x00\xff\xfe\x80" * 8, b"x" * 1000, b"20231114T221320Z-0123456", b"20231114T221320Z-0123456G",
        b"20231114T221320Z-01234567/../x", b"20231114T221320Z-01234567\n\n",
    ],
    ids=lambda data: repr(data[:30]),
)  # fmt: skip
def test_f53_current_that_names_no_version_is_refused(models_dir, data):
    (models_dir / "CURRENT").write_bytes(data)
    assert "CURRENT should" in refusal(models_dir)


def test_f53_current_that_names_a_missing_version_is_no_model(models_dir):
    (models_dir / "CURRENT").write_text("20231114T221320Z-01234567\n", encoding="utf-8")
    with pytest.raises(NoModel, match="20231114T221320Z-01234567. Received: it is missing. Roll back or train again."):
        current(models_dir)


def test_f53_current_that_is_a_link_a_folder_or_a_pipe_is_refused(models_dir):
    path = models_dir / "CURRENT"
    path.rename(models_dir / "real")
    for make in (lambda: path.symlink_to("real"), path.mkdir, lambda: os.mkfifo(path)):
        make()
        before = len(os.listdir("/proc/self/fd"))
        assert "CURRENT should be a plain file" in refusal(models_dir)
        assert len(os.listdir("/proc/self/fd")) == before
        path.rmdir() if path.is_dir() else path.unlink()


@pytest.mark.parametrize("exists", [False, True])
def test_an_empty_or_missing_models_folder_is_no_model(tmp_path, exists):
    if exists:
        (tmp_path / "models").mkdir()
    with pytest.raises(NoModel, match="Run train.py first"):
        current(tmp_path / "models")


@pytest.mark.parametrize("name", ["..", "/etc", "", "CURRENT", ".stamps", "x\0y"])
def test_only_a_version_name_opens_or_activates_a_version(models_dir, name):
    for act in (open_version, activate):
        with pytest.raises(ModelRefused, match="A version's name should be"):
            act(models_dir, name)


def test_a_damaged_version_is_not_activated(models_dir):
    first = current_name(models_dir)
    second = publish(models_dir, NEW, Unsynced())
    activate(models_dir, first)
    flip(models_dir / second / "snapshot.bin", 3)
    with pytest.raises(ModelRefused, match=r"snapshot\.bin"):
        activate(models_dir, second)
    assert current_name(models_dir) == first


def test_a_damage_that_the_stamp_does_not_show_is_not_activated_either(models_dir):
    path = folder(models_dir) / "snapshot.bin"
    before = path.stat()
    with path.open("r+b") as file:
        file.write(b"W")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(ModelRefused, match=r"snapshot\.bin"):
        activate(models_dir, current_name(models_dir))


def test_f52_a_rollback_is_an_activation_of_the_older_version(models_dir):
    first = current_name(models_dir)
    publish(models_dir, NEW, Unsynced())
    activate(models_dir, first)
    with current(models_dir) as version:
        assert version.manifest["data_until"] == 1_700_000_000


# --- stamps ---


class Unwritable(Files):
    """A models folder that another user owns."""

    def make_dir(self, path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))


def stamp_of(models_dir: Path) -> Path:
    return models_dir / ".stamps" / f"{current_name(models_dir)}.json"


def hashed_files(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that grows by the name of every file that is hashed from here on."""
    import recsys.artifacts.version as module

    hashed: list[str] = []
    real = module.sha256_of
    monkeypatch.setattr(module, "sha256_of", lambda path: (hashed.append(path.name), real(path))[1])
    return hashed


def test_a_stamped_version_is_opened_without_hashing_its_files(models_dir, monkeypatch):
    hashed = hashed_files(monkeypatch)
    current(models_dir).close()
    assert hashed == []
    current(models_dir, full=True).close()
    assert hashed == ["bmf_config.json", "prices.h5", "snapshot.bin"]


def test_touched_files_are_hashed_once_and_stamped_again(models_dir, monkeypatch):
    os.utime(folder(models_dir) / "snapshot.bin", (1, 1))
    hashed = hashed_files(monkeypatch)
    current(models_dir).close()
    current(models_dir).close()
    assert hashed == ["bmf_config.json", "prices.h5", "snapshot.bin"]


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b"7", b"\xff", b"[" * 9999, b'{"snapshot.bin": [1, 1000, 1]}', b" " * 2**21]
)
def test_a_damaged_stamp_is_replaced(models_dir, monkeypatch, data):
    good = stamp_of(models_dir).read_bytes()
    stamp_of(models_dir).write_bytes(data)
    hashed = hashed_files(monkeypatch)
    current(models_dir).close()
    assert len(hashed) == 3 and stamp_of(models_dir).read_bytes() == good


def test_a_stamp_that_cannot_be_written_only_costs_time(models_dir, monkeypatch):
    stamp_of(models_dir).unlink()
    hashed = hashed_files(monkeypatch)
    for _ in range(2):
        current(models_dir, files=Unwritable()).close()
    assert len(hashed) == 6 and not stamp_of(models_dir).exists()


# --- holding and locking ---


def locked_by_others(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def test_a_version_is_held_until_it_is_closed_or_forgotten(models_dir):
    manifest = folder(models_dir) / "manifest.json"
    first, second = current(models_dir), current(models_dir)
    first.close()
    first.close()
    assert locked_by_others(manifest)
    del second
    assert not locked_by_others(manifest)


def test_a_refused_version_leaves_no_lock_and_no_descriptor(models_dir):
    flip(folder(models_dir) / "snapshot.bin", 0)
    before = len(os.listdir("/proc/self/fd"))
    refusal(models_dir)
    assert not locked_by_others(folder(models_dir) / "manifest.json")
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_version_that_is_being_removed_is_no_model(models_dir):
    with (folder(models_dir) / "manifest.json").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(NoModel, match="being removed"):
            current(models_dir)


def test_there_is_one_publisher_at_a_time(models_dir):
    before = len(os.listdir("/proc/self/fd"))
    with (
        Draft.create(models_dir, NEW),
        pytest.raises(Overloaded, match=f"held by process {os.getpid()} on .* since .* UTC"),
    ):
        Draft.create(models_dir, NEW)
    assert len(os.listdir("/proc/self/fd")) == before
    Draft.create(models_dir, NEW).discard()


def test_a_rollback_does_not_wait_for_a_publisher(models_dir):
    with Draft.create(models_dir, NEW):
        activate(models_dir, current_name(models_dir))


def test_a_replacement_that_hangs_elsewhere_is_overloaded(models_dir, monkeypatch):
    monkeypatch.setattr("recsys.artifacts.active.REPLACE_WAIT_S", 0.0)
    with (models_dir / ".replace.lock").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for act in (lambda: activate(models_dir, current_name(models_dir)), lambda: append_history(models_dir, {})):
            with pytest.raises(Overloaded, match="Try again later"):
                act()


def test_a_replacement_waits_for_another_one(models_dir):
    script = (
        "import fcntl, sys\nfile = open(sys.argv[1], 'rb')\nfcntl.flock(file, fcntl.LOCK_EX)\n"
        "sys.stdout.write('locked\\n'); sys.stdout.flush(); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(models_dir / ".replace.lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline() == b"locked\n"
        started = time.monotonic()
        other.stdin.close()  # it leaves, and so releases the lock, while we are waiting
        append_history(models_dir, {"run": 2})
        assert time.monotonic() - started < 10
    assert history(models_dir)[-1] == {"run": 2}


# --- history ---


def test_history_keeps_every_run_in_order(tmp_path):
    assert history(tmp_path) == []
    for run in range(3):
        append_history(tmp_path, {"run": run, "ündé": None})
    assert history(tmp_path) == [{"run": run, "ündé": None} for run in range(3)]
    assert json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8")) == history(tmp_path)


@pytest.mark.parametrize("data", [b"", b"{}", b"[1", b"\xff", b"[NaN]"])
def test_damaged_history_is_refused_and_left_as_it_is(tmp_path, data):
    (tmp_path / "metrics.json").write_bytes(data)
    with pytest.raises(ModelRefused, match=r"metrics.json should be .* Move the file away"):
        append_history(tmp_path, {"run": 1})
    assert (tmp_path / "metrics.json").read_bytes() == data


def test_an_entry_that_is_no_json_changes_nothing(tmp_path):
    append_history(tmp_path, {"run": 1})
    with pytest.raises(ValueError, match="JSON"):
        append_history(tmp_path, {"map": float("nan")})
    assert history(tmp_path) == [{"run": 1}]


# --- cost ---


def test_importing_needs_numpy_and_orjson_and_nothing_heavier():
    script = "import sys, numpy; before = set(sys.modules); import recsys.artifacts; "
    script += "print(*sorted(set(sys.modules) - before))"
    root = Path(__file__).parents[2]
    finished = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, encoding="utf-8", timeout=60, check=True, cwd=root
    )
    packages = {module.partition(".")[0] for module in finished.stdout.split()}
    assert packages - sys.stdlib_module_names == {"numpy", "orjson", "recsys"}  # numpy.typing
    assert not packages & {
        "asyncio",
        "concurrent",
        "ctypes",
        "email",
        "http",
        "inspect",
        "logging",
        "pickle",
        "socket",
        "subprocess",
    }


def test_a_stamped_version_of_fifteen_files_opens_in_milliseconds(tmp_path):
    with Draft.create(tmp_path, NEW, Unsynced()) as draft:
        for number in range(15):
            draft.write_arrays(f"part{number}.h5", {"vars/item_factors": np.ones((500, 64), np.float32)})
        name = draft.publish({})
    open_version(tmp_path, name).close()
    took = []
    for _ in range(20):
        started = time.perf_counter()
        open_version(tmp_path, name).close()
        took.append(time.perf_counter() - started)
    assert min(took) < 0.005  # measured 0.4 ms
