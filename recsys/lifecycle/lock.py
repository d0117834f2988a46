"""The training lock: one training at a time on a folder of versions, across processes and across hosts.

The lock has two parts in the folder. The system's lock on `.training.lock` ends with the process that holds it,
whatever ends it, so that on one machine it decides alone. Some network folders keep such locks apart for each host.
Therefore the owner is also written into `.training.json`, with host, process and start. The training renews the file's
modification time every ten seconds. Where it has not been renewed for a minute, another host takes the lock over.
"""

from __future__ import annotations

import json
import os
import platform
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from recsys.artifacts import DISK, Files
from recsys.artifacts.files import disk_errors, read_small
from recsys.errors import AlreadyTraining, ModelRefused, Overloaded
from recsys.errors.records import Record

LOCK, OWNER = ".training.lock", ".training.json"
BEAT_S = 10.0  # seconds between two signs of life
STALE_S = 60.0  # seconds without a sign of life, after which an owner on another machine counts as dead
SETTLE_S = 1.0  # seconds after which a host that took over at the same moment has written its name, too
MAX_OWNER_BYTES = 2000
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")  # Linux: containers of one machine share it, reboots change it


class Owner(Record):
    """The process that holds the lock.

    Attributes:
        host: The name of its host.
        machine: Tells whether two processes share the system that keeps locks: on Linux the id of its last start.
        process: The process id.
        since: When it took the lock, as UTC text for people.
        token: Random, so that no two owners are equal.
    """

    host: str
    machine: str
    process: int
    since: str
    token: str

    @classmethod
    def this_process(cls, since: float | None = None) -> Owner:
        """Return this process as an owner from now on, or since a moment in seconds since 1970."""
        host = platform.node()
        moment = datetime.fromtimestamp(time.time() if since is None else since, UTC)
        return cls(host, _machine(host), os.getpid(), f"{moment:%Y-%m-%d %H:%M:%S} UTC", secrets.token_hex(8))

    @classmethod
    def read(cls, path: Path) -> Owner | None:
        """Return the owner that a file names; None for a file without one.

        Raises:
            FileNotFoundError: There is no such file.
        """
        try:
            values = json.loads(read_small(path, MAX_OWNER_BYTES))
            texts = [str(values[name]) for name in ("host", "machine", "since", "token")]
            return cls(texts[0], texts[1], int(values["process"]), texts[2], texts[3])
        except (ModelRefused, ValueError, LookupError, TypeError):
            return None

    def as_json(self) -> bytes:
        """Return the content of the file."""
        return (json.dumps(asdict(self)) + "\n").encode()


@contextmanager
def training_lock(
    models_dir: Path,
    *,
    me: Owner | None = None,
    on_loss: Callable[[str], None] = lambda why: None,
    files: Files = DISK,
    beat_s: float = BEAT_S,
) -> Iterator[None]:
    """Hold the training lock of a folder of versions, which is created where missing.

    Args:
        models_dir: The folder of all versions.
        me: The process that takes the lock; this process by default.
        on_loss: Called from another thread if another host took the lock over, as it may from a machine that slept.
        files: The effects on disk.
        beat_s: Seconds between two signs of life.

    Raises:
        AlreadyTraining: Another process trains; the message says on which host, as which process and since when.
        SettingsError: The folder cannot be written to.
    """
    me = me or Owner.this_process()
    with ExitStack() as held:
        with disk_errors(models_dir):
            files.make_dir(models_dir)
            try:
                descriptor = files.lock(models_dir / LOCK)
            except Overloaded as error:
                raise AlreadyTraining(str(error)) from error
            held.callback(os.close, descriptor)
            _claim(models_dir, me, files)
        held.callback(_release, models_dir / OWNER, me, files)
        ended = threading.Event()
        beats = threading.Thread(
            target=_beat, args=(models_dir / OWNER, me, ended, on_loss, files, beat_s), name="lock", daemon=True
        )
        beats.start()
        held.callback(beats.join)
        held.callback(ended.set)
        yield


def _claim(models_dir: Path, me: Owner, files: Files) -> None:
    """Write our name into the owner's file, unless another owner is alive. The system's lock is held."""
    path = models_dir / OWNER
    try:  # exclusive creation is one step on network folders, too
        return files.create(path, lambda target: _write_new(target, me))
    except FileExistsError:
        pass
    files.touch(models_dir / LOCK)  # both times are then by one clock, that of the folder's host
    try:
        owner = Owner.read(path)
        age = (models_dir / LOCK).stat().st_mtime - path.stat().st_mtime
    except FileNotFoundError:  # released meanwhile
        return _claim(models_dir, me, files)
    on_this_machine = owner is not None and owner.machine == me.machine
    if age < STALE_S and not on_this_machine:  # on this machine, the system's lock has said that the owner is dead
        raise AlreadyTraining(_held_text(models_dir / LOCK, owner, age))
    aside = path.with_name(f"{path.name}.{me.token}")
    files.write(aside, me.as_json())
    files.rename(aside, path)
    if not on_this_machine:
        time.sleep(SETTLE_S)
        _check_mine(models_dir, me)


def _check_mine(models_dir: Path, me: Owner) -> None:
    with suppress(FileNotFoundError):
        owner = Owner.read(models_dir / OWNER)
        if owner != me:
            raise AlreadyTraining(_held_text(models_dir / LOCK, owner, 0.0))


def _write_new(path: Path, me: Owner) -> None:
    with path.open("xb") as file:
        file.write(me.as_json())


def _held_text(path: Path, owner: Owner | None, age: float) -> str:
    who = f"process {owner.process} on {owner.host} since {owner.since}" if owner else "another process"
    sign = f"and gave a sign of life {max(age, 0):.0f} seconds ago"
    return f"{path} should be free. Received: it is held by {who}, which trains {sign}. Try again later."


def _beat(
    path: Path, me: Owner, ended: threading.Event, on_loss: Callable[[str], None], files: Files, beat_s: float
) -> None:
    """Give a sign of life until the lock is released, or until another host has taken it over."""
    while not ended.wait(beat_s):
        try:
            owner = Owner.read(path)
            if owner == me:
                files.touch(path)
                continue
        except FileNotFoundError:
            owner = None
        except OSError:  # the network folder is away; the next sign may reach it
            continue
        if not ended.is_set():
            on_loss(f"{_held_text(path.with_name(LOCK), owner, 0.0)} This training had it before.")
        return


def _release(path: Path, me: Owner, files: Files) -> None:
    with suppress(OSError):
        if Owner.read(path) == me:
            files.remove(path)


def _machine(host: str) -> str:
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:  # elsewhere the system's lock is told apart by host; Windows has none, so that the age decides
        return host if os.name == "posix" else f"{host} {secrets.token_hex(8)}"
