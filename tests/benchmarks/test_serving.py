"""benchmarks/serving.py: values by hand, checks of answers, the page, and one whole run on tiny shops."""

from __future__ import annotations

import json
import mmap
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from benchmarks import pages, serving
from benchmarks.loads import agreement, memory, plots, tables, timing, workers
from benchmarks.loads.databases import databases
from benchmarks.loads.driver import Driver
from benchmarks.loads.one_shot import check_four_lists
from benchmarks.loads.plan import FULL, QUICK
from benchmarks.loads.shops import disk_bytes
from benchmarks.loads.targets import Target, targets
from benchmarks.loads.timing import BenchmarkError, Program, Time
from recsys.errors import DatabaseUnavailable
from recsys.store import connect
from tests.helpers.databases import MYSQL, reachable, run_on_mysql
from tests.helpers.entry_points import ROOT, ask, install
from tests.helpers.tiny_shop import Published

MS = {"p50": 2.0, "p95": 5.0, "p99": 9.0, "min": 1.0, "max": 9.0, "n": 100}
LEVEL = {**MS, "per_second": 400.0, "asked": 100, "lost": 0, "crossed": 0}
TRIP = {
    "in_flight": {"1": LEVEL, "8": LEVEL, "64": LEVEL},
    "throughput": {"ratio": 1.5, "median": 1.4},
    "ping": {**MS, "p50": 0.2, "p95": 0.8},
    "statements": 3,
    "rss_bytes": 90_000_000,
    "connections": 1,
}
SIDE = {**MS, "processor": 2.0}
RATIO = {"of_medians": 1.2, "median": 1.19, "low": 1.1, "high": 1.3}
DATABASES = ("sqlite", "mariadb")
MACHINE = {"system": "Linux x86_64", "processors": 2, "processor": "Z80", "python": "3.11.7", "node": "Node 20"}
ROLLUP = {"rss": 300_000_000, "pss": 200_000_000, "anonymous": 100_000_000}


def results(**changes: Any) -> dict[str, Any]:
    """Return the figures of a run in which everything was reached."""
    made = {
        "quick": False,
        "sizes": {part: {"items": size.items, "users": size.users} for part, size in FULL.sizes.items()},
        "machine": MACHINE,
        "measured": {
            "agreement": {"commit": "0123456789", "day": "2026-11-20"},
            "seeds": {"commit": "89abcdef01", "day": "2026-11-21"},
        },
        "agreement": {"lists": 24, "items": 50, "largest_difference": 3e-6, "tolerance": 1e-5},
        "one_shot": {
            database: {
                "imports": f"import numpy, {database}",
                "sides": dict.fromkeys(("floor", "door", "huge"), SIDE),
                "to_floor": RATIO,
                "growth": RATIO,
            }
            for database in DATABASES
        },
        "seeds": {
            "sides": {"door": {**SIDE, "peak_bytes": 100e6}, "seeds": {**SIDE, "p50": 50.0, "peak_bytes": 800e6}},
            "faster": {**RATIO, "of_medians": 25.0},
            "memory_share": 1 / 8,
        },
        "round_trips": {part: dict.fromkeys(DATABASES, TRIP) for part in ("door", "huge", "small", "medium", "large")},
        "histories": {database: {"10": LEVEL, "fresh": LEVEL} for database in DATABASES},
        "memory": {"before": ROLLUP, "during": {**ROLLUP, "rss": 700_000_000}, "after": ROLLUP, "swap": LEVEL},
        "environment": {"bytes": 150_000_000},
    }
    return {**made, **changes}


def named(found: list[Target], words: str) -> Target:
    (target,) = [target for target in found if words in target.name]
    return target


# figures


def test_percentiles_are_by_nearest_rank() -> None:
    assert timing.percentiles([4.0, 1.0, 3.0, 2.0]) == {
        "p50": 2.5,
        "p95": 4.0,
        "p99": 4.0,
        "min": 1.0,
        "max": 4.0,
        "n": 4,
    }
    hundred = timing.percentiles([float(n) for n in range(1, 101)])
    assert (hundred["p50"], hundred["p95"], hundred["p99"]) == (50.5, 95, 99)


def test_ratios_are_of_medians_and_of_rounds() -> None:
    times = {"ours": [Time(0.3, 0), Time(0.5, 0), Time(0.4, 0)], "theirs": [Time(0.2, 0), Time(0.2, 0), Time(0.4, 0)]}

    found = timing.ratio(times, "ours", "theirs")

    assert found == pytest.approx(
        {"of_medians": 0.4 / 0.2, "median": 1.5, "low": 1.25, "high": 2.0}
    )  # of 1, 1.5 and 2.5


def test_a_summary_is_in_milliseconds() -> None:
    found = timing.summary([Time(0.3, 0.1), Time(0.5, 0.3), Time(0.4, 0.2)])

    assert (found["p50"], found["max"], found["processor"], found["n"]) == (400, 500, 200, 3)


def test_everybody_is_first_in_some_round_and_warm_ups_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[tuple[str, int]] = []

    def note(program: Program, number: int) -> Time:
        ran.append((program.argv[0], number))
        return Time(len(ran), 0)

    monkeypatch.setattr(timing, "timed", note)
    times = timing.in_turns({name: Program([name]) for name in "abc"}, rounds=2, warm_ups=1)

    assert "".join(name for name, _ in ran) == "abc" + "bca" + "cab"
    assert [number for _, number in ran] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert {name: [time.wall for time in told] for name, told in times.items()} == {
        "a": [6, 8],
        "b": [4, 9],
        "c": [5, 7],
    }


def test_levels_and_throughput_by_hand() -> None:
    many = [
        {"ms": [1.0, 2.0], "seconds": 0.5, "asked": 2, "crossed": 0},
        {"ms": [3.0, 4.0], "seconds": 0.5, "asked": 3, "crossed": 1, "failed": {"deadline": 1}},
    ]
    one = [
        {"ms": [1.0], "seconds": 0.5, "asked": 1, "crossed": 0},
        {"ms": [1.0], "seconds": 1.0, "asked": 1, "crossed": 0},
    ]

    found = workers.level(many)

    assert (found["p50"], found["per_second"], found["asked"], found["lost"], found["crossed"]) == (2.5, 4, 5, 1, 1)
    assert workers.gained(many, one) == {"ratio": 4 / (2 / 1.5), "median": 3.0}  # of 4 / 2 and 4 / 1
    with pytest.raises(BenchmarkError, match="Workers should answer.*overloaded"):
        workers.level([{"ms": [], "seconds": 1.0, "asked": 1, "crossed": 0, "failed": {"overloaded": 1}}])


def test_turning_changes_where_the_row_begins() -> None:
    assert workers.rotated([1, 2, 3], 4) == [2, 3, 1]
    assert workers.rotated([1, 2, 3], 0) == [1, 2, 3]


# runs


def shouts(code: str, **others: Any) -> Program:
    return Program([sys.executable, "-c", code], **others)


def test_a_program_is_timed_with_what_it_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    seen = []
    program = shouts(
        "import os, sys; print(sys.stdin.read(), os.environ['SHOP'], 'PYTHONHASHSEED' in os.environ)",
        stdin=[b"a", b"b"],
        environ={"SHOP": "ours"},
        check=lambda asked, answer: seen.append((asked, answer.split())),
    )
    times = [timing.timed(program, number) for number in (0, 1, 2)]

    assert seen == [(asked, [asked, b"ours", b"False"]) for asked in (b"a", b"b", b"a")]
    assert all(0 < time.processor < 60 and 0 < time.wall < 60 for time in times)


@pytest.mark.parametrize("code", ["import sys; sys.exit(77)", "import sys; print('tilt', file=sys.stderr)"])
def test_a_run_that_fails_or_complains_is_no_figure(code: str) -> None:
    with pytest.raises(BenchmarkError, match="should end with 0 and in silence"):
        timing.timed(shouts(code), 0)


@pytest.mark.parametrize(
    "answer",
    [{"ok": False}, {"ok": True, "user_id": 8, "items": [1, 2]}, {"ok": True, "user_id": 7, "items": [1]}, None],
)
def test_an_answer_that_is_none_is_no_figure(answer: Mapping[str, Any] | None) -> None:
    asked = b'{"user_id": 7, "limit": 2}'
    timing.check_answer(asked, b'{"ok": true, "user_id": 7, "items": [1, 2]}\n')

    with pytest.raises(BenchmarkError, match="one line with 2 items"):
        timing.check_answer(asked, b"" if answer is None else json.dumps(answer).encode() + b"\n")


def test_the_reference_answers_with_four_lists() -> None:
    asked = b'{"user_id": 7, "limit": 2}'
    check_four_lists(asked, json.dumps({"user_id": 7, "items": dict.fromkeys("abcd", [1, 2])}).encode())

    for wrong in (dict.fromkeys("abc", [1, 2]), dict.fromkeys("abcd", [1, 1])):
        with pytest.raises(BenchmarkError, match="four lists of 2"):
            check_four_lists(asked, json.dumps({"user_id": 7, "items": wrong}).encode())


def test_the_peak_of_memory_is_that_of_the_program_and_not_of_its_parent() -> None:
    ballast = np.ones(50_000_000)  # 400 MB of this process
    lean, heavy = (
        timing.peak_bytes(shouts(f"import time; b = bytearray({n}); time.sleep(0.2)")) for n in (1, 100_000_000)
    )

    assert 100e6 < heavy < 200e6
    assert lean < 50e6 < heavy - lean
    assert ballast.nbytes == 400e6


def test_memory_is_told_by_kind() -> None:
    with memory.Watched(os.getpid()) as watched:
        before, deadline = memory.rollup(os.getpid()), time.monotonic() + 60
        pages_of_its_own = mmap.mmap(-1, 80_000_000, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)  # and none that was freed
        held = np.frombuffer(pages_of_its_own, np.uint8)
        held[:] = 1
        after = memory.rollup(os.getpid())
        while watched.most["anonymous"] < before["anonymous"] + 0.9 * held.nbytes and time.monotonic() < deadline:
            time.sleep(0.01)

    assert after["rss"] - before["rss"] > 0.9 * held.nbytes
    assert after["rss"] >= after["anonymous"] > 0
    assert watched.most["anonymous"] >= before["anonymous"] + 0.9 * held.nbytes, "it was looked at meanwhile"
    with pytest.raises(BenchmarkError, match="smaps_rollup"):
        memory.rollup(2**22 + 1)  # above every process id


def test_the_disk_counts_a_file_with_two_names_once(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"x" * 1_000_000)
    alone = disk_bytes(tmp_path)
    os.link(tmp_path / "one", tmp_path / "two")

    assert disk_bytes(tmp_path) == alone >= 1_000_000


def test_answers_agree_within_the_tolerance_and_in_order() -> None:
    listed = [(101, 0.9), (102, 0.8)]

    def answer(*items: tuple[int, float]) -> dict[str, Any]:
        return {"ok": True, "items": [{"productId": item, "score": score} for item, score in items]}

    assert agreement.difference(answer((101, 0.900005), (102, 0.8)), listed, "here") == pytest.approx(5e-6)
    for wrong in (
        answer((102, 0.8), (101, 0.9)),
        answer((101, 0.9)),
        answer((101, 0.90002), (102, 0.8)),
        {"ok": False},
    ):
        with pytest.raises(BenchmarkError, match="^here should"):
            agreement.difference(wrong, listed, "here")


# Node

FAKE = """
import json, sys, time
print(json.dumps({"ready": True, "protocol": 1, "version": "v", "pid": 1}), flush=True)
for number, line in enumerate(sys.stdin):
    asked = json.loads(line)
    if asked.get("user_id") == 9:
        told = {"ok": False, "error": {"code": "unknown_user", "message": "no such user", "retryable": False}}
    else:
        shift = 100 * number if asked.get("user_id") == 8 else 0
        items = [{"productId": n + shift, "score": 0.5} for n in range(asked["limit"])]
        told = {"ok": True, "user_id": asked["user_id"], "model": "BMF", "model_version": "v", "items": items,
                "runs": [], "source": "model", "context": {}, "warnings": [], "ms": 1}
    print(json.dumps({**told, "id": asked["id"]}), flush=True)
"""


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    """Node with a pool of one fake: user 8 gets other items every time, user 9 is unknown."""
    script = tmp_path / "fake.py"
    script.write_text(FAKE)
    with Driver({}) as node:
        node.tell("open", pool="one", size=1, python=sys.executable, script=str(script))
        yield node


@pytest.mark.slow
def test_node_counts_lost_and_crossed_answers(driver: Driver) -> None:
    def asked(user: int) -> dict[str, Any]:
        return driver.load("one", workers.requests_of([user]), 2, count=4)

    same, changing, unknown = (asked(user) for user in (7, 8, 9))

    assert (len(same["ms"]), same["crossed"], same["failed"], same["asked"]) == (4, 0, {}, 4)
    assert (len(changing["ms"]), changing["crossed"]) == (4, 3), "all but the first are unlike the first"
    assert (unknown["ms"], unknown["failed"]) == ([], {"unknown_user": 4})
    assert driver.load("one", workers.requests_of([7]), 1, seconds=0.05)["asked"] > 0


@pytest.mark.slow
def test_a_worker_that_cannot_start_is_told(driver: Driver) -> None:  # whatever a `.env` beside the door says
    with pytest.raises(BenchmarkError, match="Workers should answer. Received: settings"):
        driver.tell(
            "open",
            pool="two",
            size=1,
            python=sys.executable,
            env={"PATH": os.environ["PATH"], "SCORING_THREADS": "none"},
        )


def test_without_node_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BenchmarkError, match="Node 20 or newer should be on PATH"):
        Driver({})


# targets


def test_everything_that_was_reached_is_said_to_be() -> None:
    found = targets(results())

    assert {target.met for target in found} == {True}
    assert named(found, "TensorFlow per request: peak memory") == Target(
        "one-shot compared with TensorFlow per request: peak memory", "≤ 1/6", "1/8.0", True
    )
    assert named(found, "worker, 10,000 items, MariaDB: p50").measured == "2.0 ms"
    assert named(found, "1,000,000 users, compared with 5,000 items, SQLite").limit == "≤ 2 ×"


def worse(changed: Mapping[str, Any], **trip: Any) -> dict[str, Any]:
    return results(
        **changed,
        round_trips={part: dict.fromkeys(DATABASES, {**TRIP, **trip}) for part in ("small", "medium", "large")},
    )


@pytest.mark.parametrize(
    ("words", "made"),
    [
        ("1,000 items, SQLite: p50", worse({}, in_flight={"1": {**LEVEL, "p50": 3.1}, "64": LEVEL})),
        ("10,000 items, SQLite: p95", worse({}, in_flight={"1": {**LEVEL, "p95": 6.1}, "64": LEVEL})),
        ("100,000 items, MariaDB: p99", worse({}, in_flight={"1": {**LEVEL, "p99": 22.1}, "64": LEVEL})),
        ("1,000 items, MariaDB: statements", worse({}, statements=4)),
        ("ping: p50", worse({}, ping={**MS, "p50": 0.31})),
        ("1,000 items, SQLite: throughput", worse({}, throughput={"ratio": 1.29})),
        ("1,000 items, SQLite: lost, crossed", worse({}, in_flight={"1": LEVEL, "64": {**LEVEL, "crossed": 1}})),
        ("on disk", results(environment={"bytes": 200_000_001})),
        ("during a hot swap", results(memory={"during": {**ROLLUP, "rss": 800_000_001}})),
        ("TensorFlow per request: speed-up", results(seeds={"faster": {"of_medians": 19.9}})),
        ("TensorFlow per request: peak memory", results(seeds={"memory_share": 0.17})),
        ("bare imports, MariaDB", results(one_shot={"mariadb": {"to_floor": {"of_medians": 1.36}}})),
        ("compared with 5,000 items, MariaDB", results(one_shot={"mariadb": {"growth": {"of_medians": 2.01}}})),
        ("worker and Keras", results(agreement={"largest_difference": 1.1e-5, "tolerance": 1e-5})),
    ],
)
def test_a_figure_just_beyond_its_limit_is_not_reached(words: str, made: Mapping[str, Any]) -> None:
    assert named(targets(made), words).met is False


def test_what_was_not_measured_is_neither() -> None:
    nothing = {name: results()[name] for name in ("quick", "sizes", "machine", "measured")}

    assert {(target.measured, target.met) for target in targets(nothing)} == {("–", None)}
    assert [section.title for section in tables.sections(nothing)] == ["Targets and results"]


# tables, picture, page


def test_every_table_is_in_the_terminal_and_on_the_page() -> None:
    console = Console(width=200, record=True, file=open(os.devnull, "w"))  # noqa: SIM115 - closed with the process
    console.print(tables.terminal(results()))
    console.file.close()
    shown, page = console.export_text(), tables.markdown(results(), "serving.svg")
    titles = [section.title for section in tables.sections(results())]

    assert len(titles) == 7
    assert all(title in shown and f"**{title}**" in page for title in titles)
    assert "| worker, 1,000 items, SQLite: p50 | ≤ 3 ms | 2.0 ms | yes |" in page
    assert "](serving.svg)" in page
    assert "commit 01234567, 89abcdef, 2026-11-20 to 2026-11-21." in page
    assert "Tiny shops" not in page and "Tiny shops" in tables.circumstances(results(quick=True))


def test_the_picture_carries_the_digest_of_its_figures(tmp_path: Path) -> None:
    made = results()
    plots.draw(made, tmp_path / "serving.svg")
    drawn = (tmp_path / "serving.svg").read_text(encoding="utf-8")
    other = results(seeds={"sides": {"seeds": {**SIDE, "p50": 51.0}}})

    assert plots.digest(made) in drawn and plots.digest(other) not in drawn
    assert "one-shot, 5,000 items" in drawn and len(drawn) < 200_000
    assert plots.plotted(made)["curves"]["sqlite"]["p95"] == [(1000, 5.0), (5000, 5.0), (10_000, 5.0), (100_000, 5.0)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project whose page is still empty."""
    (tmp_path / "benchmarks/results").mkdir(parents=True)
    (tmp_path / serving.KEPT).write_text(json.dumps(results()))
    (tmp_path / "PERFORMANCE.md").write_text("# P\n\n<!-- results: serving -->\n<!-- end of results -->\n\nafter\n")
    return tmp_path


def test_the_page_is_written_and_compared(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = root / "PERFORMANCE.md"
    write, check = ["--markdown", str(page)], ["--markdown", str(page), "--check"]

    assert serving.main(check, root) == 1
    assert serving.main(write, root) == 0
    assert serving.main(check, root) == 0
    assert page.read_text().startswith("# P\n") and page.read_text().endswith("-->\n\nafter\n")
    (root / "serving.svg").unlink()
    assert serving.main(check, root) == 1, "the picture counts, too"
    assert serving.main(write, root) == serving.main(check, root) == 0
    (root / serving.KEPT).write_text(json.dumps(results(environment={"bytes": 1})))
    assert serving.main(check, root) == 1
    assert "should be made again" in capsys.readouterr().out


def test_a_file_that_is_none_of_ours_is_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / serving.KEPT).write_text('{"sets": []}')

    assert serving.main(["--markdown", str(root / "PERFORMANCE.md")], root) == 1
    assert "should hold figures as --json writes them" in capsys.readouterr().err
    assert serving.main(["--markdown", str(root / "NOWHERE.md")], root) == 1


def test_docs_say_what_was_measured() -> None:
    assert serving.main(["--markdown", str(ROOT / "docs/PERFORMANCE.md"), "--check"]) == 0


# a whole run


def flags(*argv: str) -> Any:
    return serving._parser().parse_args(argv)


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """The results of a run on tiny shops, and their file."""
    path = tmp_path_factory.mktemp("serving") / "serving.json"
    return serving.measure(flags("--quick", "--without-mariadb", "--json", str(path)), say=print), path


@pytest.mark.slow
def test_a_whole_run_measures_everything_on_tiny_shops(quick: tuple[dict[str, Any], Path]) -> None:
    found, path = quick
    missing = [target.name for target in targets(found) if target.met is None]

    assert json.loads(path.read_text()) == pages.rounded(found)
    assert all("MariaDB" in what or "disk" in what for what in missing), "what was left out, and nothing else"
    assert found["agreement"]["lists"] == 12 and 0 < found["agreement"]["largest_difference"] <= 1e-5
    assert found["memory"]["swaps"] == 1
    levels = [level for told in found["round_trips"].values() for level in told["sqlite"]["in_flight"].values()]
    assert len(levels) == 15
    assert {(level["lost"], level["crossed"]) for level in levels} == {(0, 0)}
    assert {told["sqlite"]["statements"] for told in found["round_trips"].values()} == {2}
    assert {told["sqlite"]["connections"] for told in found["round_trips"].values()} == {1}
    assert set(found["histories"]["sqlite"]) == {"10", "50", "200", "500", "fresh"}


@pytest.mark.slow
def test_some_of_it_can_be_measured_again(quick: tuple[dict[str, Any], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    found, path = quick
    monkeypatch.setattr(serving, "serving_environment", lambda: {"bytes": 7})

    again = serving.measure(flags("--quick", "--only", "environment", "--json", str(path)), say=print)

    assert again == {
        **pages.rounded(found),
        "environment": {"bytes": 7},
        "measured": {**pages.rounded(found)["measured"], "environment": again["measured"]["environment"]},
    }
    said: list[str] = []
    serving.begun(flags("--only", "memory", "--json", str(path)), FULL, said.append)
    assert said == ["serving.json is of another machine or of shops of other sizes: it is begun anew"]
    full = serving.begun(flags("--json", str(path)), FULL, print)
    assert set(full) == {"quick", "sizes", "machine", "measured", "environment"}, (
        "tiny shops say nothing of others; the folder is the same"
    )
    assert set(full["measured"]) == {"environment"}


def test_shops_are_made_when_they_are_needed_and_removed_after_their_last_task(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    class Shop:
        def __init__(self, size: Any, *_: object) -> None:
            self.items = size.items

        def __enter__(self) -> Shop:
            seen.append(f"made {self.items}")
            return self

        def __exit__(self, *_: object) -> None:
            seen.append(f"gone {self.items}")

    monkeypatch.setattr(serving, "synthetic_shop", Shop)
    for task, shops in serving.with_shops(serving.tasks(FULL), FULL, None, print):
        seen.append(f"{task.name} {'+'.join(str(shop.items) for shop in shops)}".strip())  # type: ignore[attr-defined]

    assert seen == [
        *("made 5000", "agreement 5000", "seeds 5000", "round-trips 5000"),
        *("made 100000", "one-shot 5000+100000", "gone 5000", "round-trips 100000", "gone 100000"),
        *("made 1000", "round-trips 1000", "gone 1000"),
        *("made 10000", "round-trips 10000", "histories 10000", "gone 10000"),
        *("made 100000", "round-trips 100000", "memory 100000", "gone 100000", "environment"),
    ]


def test_a_shop_is_removed_when_its_task_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = []

    class Shop:
        def __init__(self, *_: object) -> None:
            pass

        def __enter__(self) -> Shop:
            return self

        def __exit__(self, *_: object) -> None:
            gone.append(self)

    monkeypatch.setattr(serving, "synthetic_shop", Shop)
    failing = serving.Task("x", ("x",), ("door",), lambda shop: {})
    running = serving.with_shops([failing, failing], QUICK, None, print)
    next(running)
    with pytest.raises(BenchmarkError):
        running.throw(BenchmarkError("no figure"))

    assert len(gone) == 1


@pytest.mark.slow
def test_a_database_of_its_own_is_made_on_mariadb_and_dropped(tmp_path: Path) -> None:
    reachable(run_on_mysql, MYSQL)
    with databases(tmp_path, MYSQL) as urls, connect(urls["mariadb"]) as db:
        assert db.query("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE()") == [(0,)]
    with pytest.raises(DatabaseUnavailable):
        connect(urls["mariadb"])


# what a request must not pay for


@pytest.mark.slow
def test_a_request_pays_for_no_module_that_it_has_no_use_for(published: Published, tmp_path: Path) -> None:
    done = ask(install(tmp_path), {"user_id": 7}, env=published.environ, flags=("-X", "importtime"))
    bundle = {line.split("|")[-1].strip() for line in done.stderr.decode().splitlines()}

    assert done.returncode == 0
    assert {"numpy", "sqlite3"} <= bundle
    assert (
        bundle
        & {
            "numpy.ma",
            "numpy.random",
            "numpy.testing",
            "tomllib",
            "importlib.resources",
            "dotenv",
            "pymysql",
            "psycopg",
        }
        == set()
    )
