"""Memory of a worker while it serves, and during a hot swap."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.loads.driver import Driver
from benchmarks.loads.plan import Plan
from benchmarks.loads.shops import SyntheticShop, put_encoders
from benchmarks.loads.timing import BenchmarkError, status_bytes
from benchmarks.loads.users import USUAL
from benchmarks.loads.workers import ONE, level, requests_of
from recsys.artifacts import Draft, activate, open_version
from recsys.artifacts.manifest import RESERVED

WARM_UPS = 100  # requests before memory is read
LOOK_EVERY_S = 0.01
SWAP_S = 60.0  # until a new version serves; hashing some gigabytes takes seconds
ROLLUP = {"rss": "Rss", "pss": "Pss", "anonymous": "Anonymous"}


def worker_memory(shop: SyntheticShop, plan: Plan) -> dict[str, Any]:
    """Return a worker's memory in bytes before, during and after a hot swap, and the times of requests during it."""
    database = next(iter(shop.urls))
    second = same_again(shop)
    requests = requests_of(shop.groups[USUAL])
    with Driver(shop.environ(database)) as driver:
        driver.open(ONE, 1)
        driver.load(ONE, requests, 1, count=max(WARM_UPS, plan.least))
        stats = driver.tell("stats", pool=ONE)["worker"]
        before, peak = rollup(stats["pid"]), status_bytes(stats["pid"], "VmHWM")
        with Watched(stats["pid"]) as watched:
            activate(shop.models_dir, second)
            loads = _until_swapped(driver, requests, stats["swaps"])
        after = driver.tell("stats", pool=ONE)["worker"]
        last = rollup(stats["pid"])
    if after["pid"] != stats["pid"] or after["version"] != second:
        raise BenchmarkError(f"The worker should have taken over {second}. Received: {after['version']}.")
    activate(shop.models_dir, shop.version)
    figures = {"database": database, "told_bytes": stats["rss_bytes"], "peak_bytes": peak}
    return {
        **figures,
        "before": before,
        "during": watched.most,
        "after": last,
        "swap": level(loads),
        "swaps": after["swaps"],
    }


def same_again(shop: SyntheticShop) -> str:
    """Publish the shop's version once more, without copying its files; returns its name. It is not active."""
    with (
        open_version(shop.models_dir, shop.version) as first,
        Draft.create(shop.models_dir, int(time.time()) + 1) as draft,
    ):
        for entry in first.manifest["files"]:
            os.link(first.file(entry["path"]), draft.path(entry["path"]))
        name = draft.publish({key: value for key, value in first.manifest.items() if key not in RESERVED})
    put_encoders(shop, name)
    return name


def _until_swapped(driver: Driver, requests: list[dict[str, Any]], swaps: int) -> list[dict[str, Any]]:
    """Send requests until the worker has changed to the new version; returns the results of each load."""
    loads, deadline = [], time.monotonic() + SWAP_S
    while driver.tell("stats", pool=ONE)["worker"]["swaps"] == swaps:
        if time.monotonic() > deadline:
            raise BenchmarkError(f"A new version should serve within {SWAP_S:.0f} s. Received: the old one.")
        loads.append(driver.load(ONE, requests, 1, seconds=0.5))
    return [*loads, driver.load(ONE, requests, 1, seconds=0.5)]


class Watched:
    """Context manager that samples the peak memory of a process every hundredth of a second.

    Attributes:
        most: Peak bytes of each kind.
    """

    def __init__(self, pid: int) -> None:
        self.most = rollup(pid)
        self._pid, self._over = pid, threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Watched:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(LOOK_EVERY_S):
            now = rollup(self._pid)
            self.most = {name: max(value, now[name]) for name, value in self.most.items()}


def rollup(pid: int) -> dict[str, int]:
    """Return a process's memory in bytes: resident, proportional share, and anonymous.

    Raises:
        BenchmarkError: The system does not report it.
    """
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
    except OSError as error:
        raise BenchmarkError(
            f"/proc/{pid}/smaps_rollup should tell the memory of a worker. Received: {error.strerror}."
        ) from error
    kilobytes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
    return {name: kilobytes[key] for name, key in ROLLUP.items()}
