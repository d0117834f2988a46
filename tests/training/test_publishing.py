"""A publisher that dies at any step leaves one version that answers: the old one or the complete new one."""

import errno
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from recsys import store
from recsys.artifacts import Draft, Files, current, history
from recsys.artifacts.hdf5 import read_arrays, room
from recsys.contract import Item
from recsys.data.guests import session_user
from recsys.data.ids import IdMap
from recsys.errors import DatabaseUnavailable, Overloaded, RecsysError, SettingsError
from recsys.lifecycle import selfcheck
from recsys.lifecycle.versions import clean_up, write_encoders
from recsys.networks.base import FittedNetwork
from recsys.recommending.batch.run import users_to_answer
from recsys.store import Database, list_versions
from recsys.training import publishing
from recsys.training.fitting import FittedModels
from recsys.training.publishing import publish
from tests.helpers.dying_disk import Died, Mortal, Unsynced, Watched, version_names
from tests.helpers.tiny_shop import NOW, Published, Quiet, Trained, moved

LATER = NOW + 3600  # seconds since 1970: when the candidate is published
PROBE = {"user_id": 7, "limit": 6, "model": "BMF"}

# Every effect of one publication on the disk and at the database.
STEPS = {
    "lock": 3,  # the publisher's; for CURRENT; for metrics.json
    "make_dir": 13,  # models/; the draft; evaluation/ for each of its nine files; models/ for the history; .stamps/
    # Arrays: two derived, eight baselines, signals, encoders twice, items, held-out figures, pairs bought together,
    # trends, consumables; of the evaluation fit, signals, ease and blend, which serves
    "create": 21,
    # Four configurations, contexts twice, catalogue, snapshot, selection; manifest; metrics.json; the stamp; CURRENT
    "write": 13,
    "fsync": 47,  # the draft's 39 files, manifest, two folders, models/; metrics.json and CURRENT, each with models/
    "rename": 4,  # the version appears; metrics.json; the stamp; CURRENT
    # Our seven migrations; then one transaction for each chunk: the version, users, items, context values, features;
    # the similarities
    "BEGIN": 13,
    "COMMIT": 13,
    # The table of migrations and its rows; unfinished versions; whether this version exists, twice; the highest id; the
    # counts; whether its encoders are there, then events and products for a user (whose events are read twice), a guest
    # and a similar item; whether it is complete before it is shown; the table of similarities, and whose they are.
    "SELECT": 25,
    "INSERT": 6,
    "UPDATE": 2,  # complete; active
    "DELETE": 1,  # the similarities of the version before
}
N_STEPS = 161
ACTIVATION = 146  # the rename of CURRENT: a death at it leaves the old version, a later one leaves the new version


class Dying(Mortal):
    """A disk that dies, without fsync; tests/artifacts tests that."""

    def fsync(self, path: Path) -> None:
        self.before("fsync", path)


UNSYNCED = Unsynced()


class Stored:
    """A network whose weights are copied from a file, so that saving it again is fast."""

    def __init__(self, network: FittedNetwork, path: Path) -> None:
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
    """A version to publish, with other answers than the version that serves.

    Attributes:
        trained: The run behind the version that serves.
        stage: The models to publish: the evaluation fit of that run.
        old: The answer of the serving version to `PROBE`.
        new: The answer of the candidate to `PROBE`.
    """

    trained: Trained
    stage: FittedModels
    old: tuple[Item, ...]
    new: tuple[Item, ...]

    def publish(
        self, shop: Published, *, now: int, files: Files = UNSYNCED, connect: Callable[..., Database] = store.connect
    ) -> str:
        run = self.trained.run
        few = replace(run.hyperparameters, trials=run.hyperparameters.trials[:1])
        run = replace(run, settings=shop.settings, now=now, evaluated=self.stage, final=self.stage, hyperparameters=few)
        with Draft.create(shop.models_dir, now, files) as draft:
            return str(publish(run, draft, files=files, connect=connect, progress=Quiet()).version)


@pytest.fixture(scope="module", autouse=True)
def no_drawing() -> Iterator[None]:
    """Replace the plots and the call of git, which are slow and no steps, and ask a new version for one user only."""

    def write_report(draft: Draft, *_: object) -> None:
        draft.path("report.html").write_text("A report.", encoding="utf-8")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publishing, "write_report", write_report)
        patch.setattr(publishing, "git_commit", lambda: "0" * 40)
        patch.setattr(selfcheck, "KNOWN_USERS", 1)
        yield


@pytest.fixture(scope="module")
def candidate(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Candidate:
    folder = tmp_path_factory.mktemp("candidate")
    evaluated = trained.evaluated
    networks = {name: Stored(network, folder / f"{name}.weights.h5") for name, network in evaluated.networks.items()}
    candidate = Candidate(trained, replace(evaluated, networks=networks), trained.published.ask(**PROBE).items, ())
    shop = trained.published.copy(folder)
    candidate.publish(shop, now=LATER)
    candidate = replace(candidate, new=shop.ask(**PROBE).items)
    assert candidate.old != candidate.new
    return candidate


def watched(disk: Watched) -> Callable[..., Database]:
    """Return a function that opens the database; each statement counts as a step of the disk."""
    return lambda url: store.connect(url, tracer=lambda sql, _: disk.before(sql.split()[0], Path("database")))


def run(candidate: Candidate, shop: Published, disk: Watched, *, now: int = LATER) -> str:
    return candidate.publish(shop, now=now, files=disk, connect=watched(disk))


def test_publishing_takes_the_known_steps(candidate: Candidate, tmp_path: Path):
    shop = candidate.trained.published.copy(tmp_path)
    disk = Watched()
    name = run(candidate, shop, disk)
    assert Counter(step.split()[0] for step in disk.steps) == STEPS
    assert len(disk.steps) == sum(STEPS.values()) == N_STEPS
    assert disk.steps[ACTIVATION - 1] == "rename CURRENT"
    # the folder is complete before the database knows the version, and the database knows it before it is active
    assert disk.steps.index(f"rename {name}") < disk.steps.index("SELECT database") < ACTIVATION
    assert disk.steps[-1] == "COMMIT database"


def test_every_file_of_arrays_fits_into_its_reserved_room(candidate: Candidate, tmp_path: Path):
    shop = candidate.trained.published.copy(tmp_path)
    files = sorted((shop.models_dir / run(candidate, shop, Watched())).rglob("*.h5"))
    assert len(files) > len(candidate.stage.networks) * 2
    for path in files:
        arrays = read_arrays(path, path.name)
        assert path.stat().st_size <= room([array.nbytes for array in arrays.values()]), path.name


def test_a_publisher_that_survives_every_step_publishes(candidate: Candidate, tmp_path: Path):
    shop = candidate.trained.published.copy(tmp_path)
    assert run(candidate, shop, Dying(N_STEPS + 1, torn=True)) == shop.ask(**PROBE).model_version


def test_guests_sessions_are_learned_from_and_are_no_accounts(candidate: Candidate, tmp_path: Path):
    shop, stage = candidate.trained.published.copy(tmp_path), candidate.stage
    accounts, n_visits = stage.encoders.users.ids[:-5], 5
    visits = np.array(sorted(session_user(f"visit {number}", "int") for number in range(n_visits)))
    users = IdMap(np.append(accounts, visits))
    cleaning = replace(candidate.trained.run.cleaning, sessions=n_visits, session_rows=40)
    with_visits = replace(
        candidate,
        stage=replace(stage, encoders=replace(stage.encoders, users=users)),
        trained=replace(candidate.trained, run=replace(candidate.trained.run, cleaning=cleaning)),
    )

    with_visits.publish(shop, now=LATER)

    bundle, known = shop.load(), accounts.tolist()
    assert (bundle.n_users, bundle.n_sessions) == (len(users), n_visits)
    assert bundle.known_users() == known
    assert bundle.user_indices([*known, *visits.tolist()]) == [*range(len(known)), *[-1] * n_visits]
    with store.connect(shop.url) as db:
        assert store.read_version(db, bundle.name).users == list(map(str, known))
        assert not write_encoders(db, bundle.version), "the version's files and the database should agree"
        listed = users_to_answer(db, shop.settings.shop, bundle, None, (0, 1))
    assert not set(listed) & set(visits.tolist())
    assert [item.product_id for item in shop.ask(user_id=str(visits[0])).items] == [
        item.product_id for item in shop.ask(user_id=10**9).items
    ]


@pytest.mark.parametrize("step", range(1, N_STEPS + 1))
def test_a_publisher_that_dies_leaves_one_complete_version_and_the_next_publishes(
    candidate: Candidate, tmp_path: Path, step: int
):
    old = candidate.trained.published.version
    shop = candidate.trained.published.copy(tmp_path)
    with pytest.raises(Died):
        run(candidate, shop, Dying(step, torn=True))  # a file being written then stays half written

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
        assert all(version.complete for version in list_versions(db)), "encoders of the dead run should be removed"
    shutil.rmtree(shop.folder)


# On a server: the lock of migrations and its release, then the same 57 statements as above.
N_STATEMENTS = 62
N_BEFORE_ACTIVATION = 54  # statements before CURRENT is renamed; after it come two for the views, six for similarities


@pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)
def test_a_death_at_any_statement_on_a_server_leaves_one_complete_version(
    candidate: Candidate, tmp_path: Path, database_url: str
):
    shop = moved(candidate.trained.published.copy(tmp_path), database_url)
    sent: list[str] = []

    def publish_until(last: int, now: int) -> str:
        """Publish, and die at the statement after the first `last` ones."""
        sent.clear()

        def watch(sql: str, values: object) -> None:
            sent.append(sql)
            if len(sent) > last:
                raise Died

        return candidate.publish(shop, now=now, connect=lambda url: store.connect(url, tracer=watch))

    for n_sent in range(N_STATEMENTS):
        with pytest.raises(Died):
            publish_until(n_sent, LATER + n_sent)
        answer = shop.ask(**PROBE)
        assert answer.items == (candidate.old if n_sent < N_BEFORE_ACTIVATION else candidate.new), sent[-1]
        assert (answer.model_version == shop.version) == (n_sent < N_BEFORE_ACTIVATION)
        with store.connect(shop.url) as db:  # as the next run does
            store.purge_unfinished(db)

    after = publish_until(N_STATEMENTS, LATER + 3600)
    answer = shop.ask(**PROBE)
    assert (answer.model_version, answer.items, len(sent)) == (after, candidate.new, N_STATEMENTS)


# A run that fails without dying


class Faulty(Watched):
    """A disk and a database on which one step fails and all others succeed."""

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
    """Return the error of a step: the disk is full, or the database is gone."""
    if step.endswith(" database"):
        return DatabaseUnavailable("The database failed: gone away")
    return OSError(errno.ENOSPC, "full", step)


def not_allowed(step: str) -> BaseException:
    """Return the error of a step for which a right is missing."""
    if step.endswith(" database"):
        return SettingsError("The account may not.")
    return PermissionError(errno.EACCES, "denied", step)


FAULTS = (full_or_away, not_allowed, lambda step: KeyboardInterrupt())
EACH_STEP_ONCE = [(step, FAULTS[step % 3]) for step in range(1, N_STEPS + 1)]
NEAR_ACTIVATION = range(ACTIVATION - 5, ACTIVATION + 3)
NEAR_ACTIVATION_WITH_OTHER_FAULTS = [(step, FAULTS[(step + other) % 3]) for step in NEAR_ACTIVATION for other in (1, 2)]


@pytest.mark.parametrize(("step", "error"), [*EACH_STEP_ONCE, *NEAR_ACTIVATION_WITH_OTHER_FAULTS])
def test_the_version_of_a_failed_run_is_removed_unless_it_serves(
    candidate: Candidate, tmp_path: Path, step: int, error: Callable[[str], BaseException]
):
    old = candidate.trained.published.version
    shop = candidate.trained.published.copy(tmp_path)
    disk = Faulty(step, error)
    try:
        name = run(candidate, shop, disk)
    except (RecsysError, OSError, KeyboardInterrupt) as failure:
        name = None
        assert not isinstance(failure, OSError), "errors of the disk should be explained"

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


class NeverActive(Unsynced):
    """A disk that is full when CURRENT should be replaced."""

    def rename(self, source: Path, target: Path) -> None:
        if target.name == "CURRENT":
            raise OSError(errno.ENOSPC, "full", str(target))
        super().rename(source, target)


def test_encoders_that_cannot_be_taken_back_are_recorded_and_removed_by_a_later_run(
    candidate: Candidate, tmp_path: Path
):
    shop = candidate.trained.published.copy(tmp_path)
    opened: list[object] = []

    def leaves_after_the_encoders(url: object) -> Database:
        opened.append(url)
        if len(opened) > 2:  # after the encoders and the self-check
            raise DatabaseUnavailable("The database failed: gone away")
        return store.connect(url)

    with pytest.raises(Overloaded):
        candidate.publish(shop, now=LATER, files=NeverActive(), connect=leaves_after_the_encoders)

    entry = history(shop.models_dir)[-1]
    left = entry["left_in_database"]
    assert (entry["trained_at"], entry["published"]) == (LATER, None)
    assert "stay in the database" in entry["reason"]
    assert left not in version_names(shop.models_dir)
    with store.connect(shop.url) as db:
        assert [version.name for version in list_versions(db) if version.complete] == [shop.version, left]
    clean_up(shop.settings, files=UNSYNCED, note=lambda text: None)
    with store.connect(shop.url) as db:
        assert [version.name for version in list_versions(db)] == [shop.version]
