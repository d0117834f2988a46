"""Further versions of the tiny shop in a folder: `publisher.py FOLDER publish | activate NAME | die | run-out-of-room`.

`die` publishes in processes that are killed at each effect on the disk in turn. `run-out-of-room` publishes in a
process that may not write more than 4 KB to a file.
"""

import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))

from recsys.artifacts import Draft, Files, Version, activate, current_name  # noqa: E402
from recsys.errors import RecsysError  # noqa: E402
from tests.helpers.dying_disk import Mortal  # noqa: E402 - the path and the environment come first
from tests.helpers.second_version import rewrite, second_version  # noqa: E402
from tests.helpers.tiny_shop import Published  # noqa: E402

ROOM = 4096  # bytes; less than any file of weights


class Hurried(Mortal):
    """A disk that fails at one effect. It does not sync: a killed process loses no written data."""

    def fsync(self, path: Path) -> None:
        """Count, and return at once."""
        self.before("fsync", path)


def publish(shop: Published) -> dict[str, str]:
    """Publish a version that ranks `"model": "popularity"` the other way round; it is not active yet."""
    return {"version": second_version(shop)}


def die(shop: Published) -> dict[str, object]:
    """Publish and activate in one process after another, each killed one effect later, until one finishes."""
    deaths = 0
    while outcome_of(partial(publish_and_activate, shop, deaths + 1, Hurried(deaths + 1, how=kill))) != 0:
        deaths += 1
    return {"deaths": deaths, "version": current_name(shop.models_dir)}


def run_out_of_room(shop: Published) -> dict[str, object]:
    """Publish in a process that may not write large files, and return its exit status."""

    def cramped() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, ROOM))
        publish_and_activate(shop, 1, Files())

    return {"status": outcome_of(cramped)}


def publish_and_activate(shop: Published, attempt: int, disk: Files) -> None:
    """Publish a version that differs from every other attempt's, on a disk."""

    def differ(draft: Draft, first: Version) -> None:
        rewrite(draft, first, "popularity.h5", popularity=lambda popularity: popularity + attempt)

    activate(shop.models_dir, second_version(shop, differ, files=disk), disk)


def outcome_of(step: Callable[[], None]) -> int:
    """Run a step in a process, and return its exit status; a negative one is a signal."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            step()
            status = 0
        except RecsysError as error:
            status = error.exit_status
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill() -> None:
    """End this process as the system does."""
    os.kill(os.getpid(), signal.SIGKILL)


def main(folder: Path, command: str, *names: str) -> None:
    """Run the command, and print its result as JSON."""
    shop = Published(folder, current_name(folder / "models"))
    if command == "activate":
        activate(shop.models_dir, *names)
        result: object = {"version": names[0]}
    else:
        result = {"publish": publish, "die": die, "run-out-of-room": run_out_of_room}[command](shop)
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
