"""Disks that fail: subclasses of `recsys.artifacts.Files`, which makes every change on a disk, and a scenario."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path

import numpy as np

from recsys.artifacts import Draft, Files, activate, append_history
from recsys.artifacts.manifest import is_version_name

OLD, NEW, NEXT = 1_700_000_000, 1_700_000_100, 1_700_000_200  # seconds since 1970: when each version is published


class Died(BaseException):
    """Stands for the death of the process; no handler of the project may catch it."""


def die() -> None:
    raise Died


class Unsynced(Files):
    """A disk without fsync, for fast tests without crashes."""

    def fsync(self, path: Path) -> None:
        pass


class Watched(Files):
    """A disk that records every effect before it happens."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    def before(self, effect: str, path: Path) -> None:
        self.steps.append(f"{effect} {path.name}")

    def make_dir(self, path: Path) -> None:
        self.before("make_dir", path)
        super().make_dir(path)

    def write(self, path: Path, data: bytes) -> None:
        self.before("write", path)
        super().write(path, data)

    def create(self, path: Path, writer: Callable[[Path], None]) -> None:
        self.before("create", path)
        super().create(path, writer)

    def fsync(self, path: Path) -> None:
        self.before("fsync", path)
        super().fsync(path)

    def rename(self, source: Path, target: Path) -> None:
        self.before("rename", target)
        super().rename(source, target)

    def remove(self, path: Path) -> None:
        self.before("remove", path)
        super().remove(path)

    def remove_dir(self, path: Path) -> None:
        self.before("remove_dir", path)
        super().remove_dir(path)

    def lock(self, path: Path, *, wait_s: float = 0.0) -> int:
        self.before("lock", path)
        return super().lock(path, wait_s=wait_s)


class Mortal(Watched):
    """A disk whose process dies at effect `at`, from 1; if `torn`, a write leaves half of its bytes."""

    def __init__(self, at: int, *, torn: bool = False, how: Callable[[], None] = die) -> None:
        super().__init__()
        self.at, self.torn, self.how = at, torn, how

    def before(self, effect: str, path: Path) -> None:
        super().before(effect, path)
        torn = self.torn and effect in ("write", "create") and len(self.steps) == self.at
        if len(self.steps) >= self.at and not torn:
            self.how()  # again at every later effect, because a dead process changes nothing

    def write(self, path: Path, data: bytes) -> None:
        super().write(path, data[: len(data) // 2] if len(self.steps) == self.at - 1 and self.torn else data)
        if len(self.steps) >= self.at:
            self.how()

    def create(self, path: Path, writer: Callable[[Path], None]) -> None:
        super().create(path, writer)
        if len(self.steps) >= self.at:
            os.truncate(path, path.stat().st_size // 2)
            self.how()


class Full(Watched):
    """A disk on which effect `at` and every later one that needs room fails halfway."""

    def __init__(self, at: int, code: int = errno.ENOSPC) -> None:
        super().__init__()
        self.at, self.code, self.failed = at, code, []

    def fail(self, effect: str, path: Path) -> None:
        if len(self.steps) >= self.at:
            self.failed.append(f"{effect} {path.name}")
            raise OSError(self.code, os.strerror(self.code), str(path))

    def make_dir(self, path: Path) -> None:
        self.before("make_dir", path)
        self.fail("make_dir", path)
        Files.make_dir(self, path)

    def write(self, path: Path, data: bytes) -> None:
        self.before("write", path)
        Files.write(self, path, data[: len(data) // 2] if len(self.steps) >= self.at else data)
        self.fail("write", path)

    def create(self, path: Path, writer: Callable[[Path], None]) -> None:
        self.before("create", path)
        Files.create(self, path, writer)
        self.fail("create", path)

    def fsync(self, path: Path) -> None:
        self.before("fsync", path)
        self.fail("fsync", path)


class PowerCut(Mortal):
    """A disk that loses at effect `at` the changes that were not fsynced.

    Files that were never fsynced are empty. New names in a folder without a later fsync may be gone. Each rename in
    such a folder may or may not have happened, independently of the others.
    """

    def __init__(self, models_dir: Path, at: int) -> None:
        super().__init__(at)
        self.models_dir = models_dir
        self.entries = set(models_dir.rglob("*"))
        self.contents = {path for path in self.entries if path.is_file()}
        self.pending: list[tuple[Path, Path, bytes | None]] = []

    def write(self, path: Path, data: bytes) -> None:
        super().write(path, data)
        self.contents.discard(path)

    def fsync(self, path: Path) -> None:
        self.before("fsync", path)
        if path.is_dir():
            self.entries |= set(path.iterdir())
            self.pending = [rename for rename in self.pending if rename[1].parent != path]
        else:
            self.contents.add(path)

    def rename(self, source: Path, target: Path) -> None:
        replaced = target.read_bytes() if target.is_file() else None
        super().rename(source, target)
        self.pending.append((source, target, replaced))
        self._move(source, target)
        self.entries.add(target)  # unless `pending` undoes the rename

    def _move(self, source: Path, target: Path) -> None:
        for durable in (self.entries, self.contents):
            moved = {path for path in durable if path == source or source in path.parents}
            durable -= moved | {target}
            durable |= {target / path.relative_to(source) for path in moved}

    def outcomes(self) -> Iterator[tuple[tuple[int, ...], bool]]:
        """Yield every outcome: the pending renames that are undone, and whether new names are lost."""
        for count in range(len(self.pending) + 1):
            for undone in combinations(range(len(self.pending)), count):
                yield from ((undone, False), (undone, True))

    def cut(self, undone: tuple[int, ...], forgets_entries: bool) -> None:
        for position in reversed(undone):
            source, target, replaced = self.pending[position]
            os.replace(target, source)
            self._move(target, source)
            self.entries.add(source)
            if replaced is not None:
                target.write_bytes(replaced)
                self.contents.add(target)
                self.entries.add(target)
        for path in sorted(self.models_dir.rglob("*"), reverse=True):  # folders after what is in them
            if forgets_entries and path not in self.entries:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            elif path.is_file() and path not in self.contents:
                os.truncate(path, 0)


def publish(models_dir: Path, now: int, files: Files) -> str:
    """Publish and activate a small version that uses every way to write a file, and add it to the history."""
    with Draft.create(models_dir, now, files) as draft:
        draft.write_json("bmf_config.json", {"dim": 2})
        draft.write_arrays("items/prices.h5", {"prices": np.full(3, now, np.float32)})
        draft.path("snapshot.bin").write_bytes(b"written by a library" * 50)
        name = draft.publish({"data_until": now})
    activate(models_dir, name, files)
    append_history(models_dir, {"version": name}, files)
    return name


def copy(models_dir: Path, target: Path) -> Path:
    """Return a copy; its inodes are new, so that its stamps are not valid."""
    return Path(shutil.copytree(models_dir, target))


def version_names(models_dir: Path) -> list[str]:
    return sorted(path.name for path in models_dir.iterdir() if is_version_name(path.name))
