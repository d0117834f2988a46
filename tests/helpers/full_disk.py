"""Publishes under a real lack of room: full_disk.py <models to copy> <empty folder> disk|file.

`disk` mounts a full disk of one megabyte, and needs `unshare -rm`. `file` uses the system's limit to the size of a
file. Each attempt to publish has a little more room, until one succeeds. The number of failures is printed as JSON.
"""

import errno
import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from recsys.artifacts import Files, current, current_name  # noqa: E402
from recsys.errors import Overloaded, RecsysError  # noqa: E402
from tests.helpers.dying_disk import NEW, publish  # noqa: E402

SIZE = "1m"
PAGE = 4096  # bytes; files of this disk grow by pages
STEP = {"disk": PAGE, "file": 256}  # additional bytes at each attempt


def fill(filler: Path, *, leaving: int) -> None:
    """Write until the disk is full, then free `leaving` bytes."""
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(PAGE))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
        file.truncate(file.tell() - leaving)


def outcome(models_dir: Path, now: int) -> str:
    """Return the version that was published, or the code of the failure."""
    try:
        return publish(models_dir, now, Files())
    except RecsysError as error:
        return error.code


def room_on_disk(models_dir: Path) -> Callable[[int], None]:
    """Mount a small disk; return the function that leaves a number of bytes free on it."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(models_dir)], check=True)
    return lambda n_bytes: fill(models_dir / "filler", leaving=n_bytes)


def room_in_file(models_dir: Path) -> Callable[[int], None]:
    """Return the function that limits the size of files; Python ignores the signal, so that write() fails."""
    return lambda n_bytes: resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, resource.RLIM_INFINITY))


def main(source: Path, models_dir: Path, kind: str) -> None:
    leave = {"disk": room_on_disk, "file": room_in_file}[kind](models_dir)
    shutil.copytree(source, models_dir, dirs_exist_ok=True)
    old, refusals = current_name(models_dir), 0
    leave(0)
    while (result := outcome(models_dir, NEW)) == Overloaded.code:
        with current(models_dir, full=True) as version:
            assert version.name == old
        assert not list(models_dir.glob(".draft-*"))
        refusals += 1
        leave(refusals * STEP[kind])
    assert current_name(models_dir) == result
    sys.stdout.write(json.dumps({"refusals": refusals, "published": result}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
