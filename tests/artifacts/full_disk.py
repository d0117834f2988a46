"""A disk that is really full: unshare -rm python full_disk.py <models to copy> <folder to mount at>.

A page more is free at each attempt to publish, until one succeeds. Prints what came of it as JSON.
"""

import errno
import json
import shutil
import subprocess
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parent)]

from dying_disk import NEW, publish  # noqa: E402

from recsys.artifacts import Files, current, current_name  # noqa: E402
from recsys.errors import Overloaded, RecsysError  # noqa: E402

SIZE = "1m"
PAGE = 4096  # what a file of this disk grows by


def fill(filler: Path, *, leaving: int) -> None:
    """Write until the disk is full, and free so many bytes again."""
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


def main(source: Path, models_dir: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(models_dir)], check=True)
    shutil.copytree(source, models_dir, dirs_exist_ok=True)
    old, filler, pages = current_name(models_dir), models_dir / "filler", 0
    fill(filler, leaving=0)
    while (told := outcome(models_dir, NEW)) == Overloaded.code:
        with current(models_dir, full=True) as version:
            assert version.name == old
        assert not list(models_dir.glob(".draft-*"))
        pages += 1
        fill(filler, leaving=pages * PAGE)
    assert current_name(models_dir) == told
    sys.stdout.write(json.dumps({"refusals": pages, "published": told}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
