"""A publisher that dies at any step leaves a version that answers: the old one, or all of the new one."""

import errno
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from recsys import store
from recsys.artifacts import Draft, Files, current, history
from recsys.artifacts.hdf5 import read_arrays, room
from recsys.contract import Item
from recsys.errors import DatabaseUnavailable, RecsysError, SettingsError
from recsys.networks import Network
from recsys.store import Database, list_versions
from recsys.training import publishing
from recsys.training import train as training
from recsys.training.stages import TrainedModels
from recsys.training.train import publish
from tests.helpers.dying_disk import Died, Mortal, Unsynced, Watched, version_names
from tests.helpers.tiny_shop import NOW, Published, Quiet, Trained, moved

LATER = NOW + 3600  # seconds since 1970: when the candidate is published
PROBE = {"user_id": 7, "limit": 6, "model": "BMF"}

# Every effect of one publication on the disk and at the database.
STEPS = {
    "lock": 3,  # the publisher's; for CURRENT; for metrics.json
    "make_dir": 9,  # models/; the draft; evaluation/ for each of its five files; models/ for the history; .stamps/
    "create": 14,  # arrays: two derived, seven baselines, signals, encoders twice, items, held-out figures
    # Four configurations, contexts, catalogue, snapshot, selection; manifest; metrics.json; the stamp; CURRENT
    "write": 12,
    "fsync": 39,  # the draft's 31 files, manifest, two folders, models/; metrics.json and CURRENT, each with models/
    "rename": 4,  # the version appears; metrics.json; the stamp; CURRENT
    # Are our three migrations done; then a transaction a chunk: the version, users, items, context values, features
    "BEGIN": 8,
    "COMMIT": 8,
    # The record of migrations and what it says; unfinished versions; is this one there, twice; the highest id; the
    # counts; is it
    # complete before it is shown.
    "SELECT": 11,
    "INSERT": 5,
    "UPDATE": 2,  # complete; active
}
N_STEPS = 115
ACTIVATION = 106  # the rename of CURRENT: whoever dies at it leaves the old version, whoever dies later the new one


class Dying(Mortal):
    """A disk that dies without ever waiting: whether it waits where it must is the business of tests/artifacts."""

    def fsync(self, path: Path) -> None:
        self.before("fsync", path)


UNSYNCED = Unsynced()


class Stored:
    """A network that was saved before: writing it again is copying."""

    def __init__(self, network: Network, path: Path) -> None:
        network.save_weights(path)
        self.weights, self.shapes, self._arrays, self.sizes = (
            path.read_bytes(),
            network.shapes,
            network.arrays(),
            network.sizes,
        )

    def save_weights(self, path: Path) -> None:
        path.write_bytes(self.weights)

    def arrays(self) -> dict[str, object]:
        return dict(self._arrays)


@dataclass(frozen=True)
class Candidate:
    """A version to publish that answers otherwise than the one that serves.

    Attributes:
        trained: The run behind the version that serves.
        stage: What shall serve next: in truth that run's evaluation fit.
        old: What the serving version answers to `PROBE`.
        new: What the candidate will answer.
    """

    trained: Trained
    stage: TrainedModels
    old: tuple[Item, ...]
    new: tuple[Item, ...]

    def publish(
        self, shop: Published, *, now: int, files: Files = UNSYNCED, connect: Callable[..., Database] = store.connect
    ) -> str:
        _, source, _, _, results, hyperparameters, protocol, *_ = self.trained.publishing
        few = replace(hyperparameters, trials=hyperparameters.trials[:1])
        return publish(
            shop.settings,
            replace(source, now=now),
            self.stage,
            self.stage,
            results,
            few,
            protocol,
            files,
            connect,
            Quiet(),
        )


@pytest.fixture(scope="module", autouse=True)
def no_drawing() -> Iterator[None]:
    """Leave out what takes long and is no step: the plots, and asking git."""

    def write_report(draft: Draft, *_: object) -> None:
        draft.path("report.html").write_text("A report.", encoding="utf-8")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "write_report", write_report)
        patch.setattr(publishing, "git_commit", lambda: "0" * 40)
        yield


@pytest.fixture(scope="module")
def candidate(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Candidate:
    folder = tmp_path_factory.mktemp("candidate")
    evaluated: TrainedModels = trained.publishing[2]
    networks = {name: Stored(network, folder / f"{name}.weights.h5") for name, network in evaluated.networks.items()}
    made = Candidate(trained, replace(evaluated, networks=networks), trained.published.ask(**PROBE).items, ())
    shop = trained.published.copy(folder)
    made.publish(shop, now=LATER)
    made = replace(made, new=shop.ask(**PROBE).items)
    assert made.old != made.new
    return made


def watched(disk: Watched) -> Callable[..., Database]:
    """Return a way to the database whose every statement is a step of the disk's own count."""
    return lambda url: store.connect(url, tracer=lambda sql, _: disk.before(sql.split()[0], Path("database")))


def run(candidate: Candidate, shop: Published, disk: Watched, *, now: int = LATER) -> str:
    return candidate.publish(shop, now=now, files=disk, connect=watched(disk))


def test_publishing_takes_the_steps_that_are_known(candidate: Candidate, tmp_path: Path):
    shop = candidate.trained.published.copy(tmp_path)
    disk = Watched()
    name = run(candidate, shop, disk)
    assert Counter(step.split()[0] for step in disk.steps) == STEPS
    assert len(disk.steps) == sum(STEPS.values()) == N_STEPS
    assert disk.steps[ACTIVATION - 1] == "rename CURRENT"
    assert (
        disk.steps.index(f"rename {name}") < disk.steps.index("SELECT database") < ACTIVATION
    )  # whole before known, known before active
    assert disk.steps[-1] == "UPDATE database"


def test_every_file_of_arrays_takes_no_more_room_than_was_made_sure_of(candidate: Candidate, tmp_path: Path):
    shop = candidate.trained.published.copy(tmp_path)
    files = sorted((shop.models_dir / run(candidate, shop, Watched())).rglob("*.h5"))
    assert len(files) > len(candidate.stage.networks) * 2
    for path in files:
        arrays = read_arrays(path, path.name)
        assert path.stat().st_size <= room([array.nbytes for array in arrays.values()]), path.name


def test_a_publisher_that_outlives_every_step_publishes(candidate: Candidate, tmp_path: Path):
    shop = candidate.trained.published.copy(tmp_path)
    assert run(candidate, shop, Dying(N_STEPS + 1, torn=True)) == shop.ask(**PROBE).model_version


@pytest.mark.parametrize("step", range(1, N_STEPS + 1))
def test_a_publisher_that_dies_leaves_one_version_whole_and_the_next_one_publishes(
    candidate: Candidate, tmp_path: Path, step: int
):
    old = candidate.trained.published.version
    shop = candidate.trained.published.copy(tmp_path)
    with pytest.raises(Died):
        run(candidate, shop, Dying(step, torn=True))  # a file that it dies in is left half written

    answer = shop.ask(**PROBE)
    if step <= ACTIVATION:
        assert (answer.model_version, answer.items) == (old, candidate.old)
    else:
        assert (answer.model_version, answer.items) == (version_names(shop.models_dir)[-1], candidate.new)
        assert answer.model_version != old

    after = candidate.publish(shop, now=LATER + 3600)
    answer = shop.ask(**PROBE)
    assert (answer.model_version, answer.items) == (after, candidate.new)
    assert history(shop.models_dir)[-1]["published"] == after
    assert not [
        path.name for path in shop.models_dir.iterdir() if path.name.startswith(".draft-") or path.suffix == ".tmp"
    ]
    with store.connect(shop.url) as db:
        assert [version.name for version in list_versions(db) if version.active] == [after]
        assert all(version.complete for version in list_versions(db)), "what the dead one left should be gone"
    shutil.rmtree(shop.folder)


# On a server: the lock that migrations take turns by and its release, then the same 34 statements as above.
N_STATEMENTS = 36
SHOWN = 34  # statements before CURRENT is renamed; after it the views follow with two more


@pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)
def test_on_a_server_too_a_death_at_any_statement_leaves_one_version_whole(
    candidate: Candidate, tmp_path: Path, database_url: str
):
    shop = moved(candidate.trained.published.copy(tmp_path), database_url)
    sent: list[str] = []

    def publish_until(last: int, now: int) -> str:
        """Publish and die at the statement after the given number of them."""
        sent.clear()

        def watch(sql: str, values: object) -> None:
            sent.append(sql)
            if len(sent) > last:
                raise Died

        return candidate.publish(shop, now=now, connect=lambda url: store.connect(url, tracer=watch))

    for done in range(N_STATEMENTS):
        with pytest.raises(Died):
            publish_until(done, LATER + done)
        answer = shop.ask(**PROBE)
        assert answer.items == (candidate.old if done < SHOWN else candidate.new), sent[-1]
        assert (answer.model_version == shop.version) == (done < SHOWN)
        with store.connect(shop.url) as db:  # as the next run does, with statements of its own
            store.purge_unfinished(db)

    after = publish_until(N_STATEMENTS, LATER + 3600)
    answer = shop.ask(**PROBE)
    assert (answer.model_version, answer.items, len(sent)) == (after, candidate.new, N_STATEMENTS)


# A run that fails, and goes on living


class Faulty(Watched):
    """A disk, and a database behind it, on which one step fails and all others work."""

    def __init__(self, at: int, error: Callable[[str], BaseException]) -> None:
        super().__init__()
        self.at, self.error = at, error

    def before(self, effect: str, path: Path) -> None:
        super().before(effect, path)
        if len(self.steps) == self.at:
            raise self.error(self.steps[-1])

    def fsync(self, path: Path) -> None:
        self.before("fsync", path)


def full_or_away(step: str) -> BaseException:
    """Return what a step fails with: the disk is full, or the database breaks off."""
    return (
        DatabaseUnavailable("The database failed: gone away")
        if step.endswith(" database")
        else OSError(errno.ENOSPC, "full", step)
    )


def not_allowed(step: str) -> BaseException:
    """Return what a step fails with where a right is missing."""
    return (
        SettingsError("The account may not.")
        if step.endswith(" database")
        else PermissionError(errno.EACCES, "denied", step)
    )


FAULTS = (full_or_away, not_allowed, lambda step: KeyboardInterrupt())
EACH_STEP_WITH_ONE_FAULT = [(step, FAULTS[step % 3]) for step in range(1, N_STEPS + 1)]
AROUND_THE_ACTIVATION = range(ACTIVATION - 5, ACTIVATION + 3)
AND_WITH_THE_OTHERS = [(step, FAULTS[(step + other) % 3]) for step in AROUND_THE_ACTIVATION for other in (1, 2)]


@pytest.mark.parametrize(("step", "error"), [*EACH_STEP_WITH_ONE_FAULT, *AND_WITH_THE_OTHERS])
def test_what_a_failed_run_made_is_removed_unless_it_serves(
    candidate: Candidate, tmp_path: Path, step: int, error: Callable[[str], BaseException]
):
    old = candidate.trained.published.version
    shop = candidate.trained.published.copy(tmp_path)
    disk = Faulty(step, error)
    try:
        name = run(candidate, shop, disk)
    except (RecsysError, OSError, KeyboardInterrupt) as failure:
        name = None
        assert not isinstance(failure, OSError), "the disk's errors should be explained"

    new = [version for version in version_names(shop.models_dir) if version != old]
    serving = current(shop.models_dir).name
    assert not list(shop.models_dir.glob(".draft-*"))
    assert new == ([serving] if serving != old else [])
    assert (step > ACTIVATION or name is not None) == (serving != old)
    with store.connect(shop.url) as db:
        known = {version.name for version in list_versions(db)}
        assert known == {old, *new}
        assert all(version.complete for version in list_versions(db))
        assert {id for (id,) in db.query("SELECT version FROM rec_user_encoder")} == {
            id for (id,) in db.query("SELECT id FROM rec_versions")
        }
    assert [entry["published"] for entry in history(shop.models_dir)] in ([old], [old, serving])
    shutil.rmtree(shop.folder)
