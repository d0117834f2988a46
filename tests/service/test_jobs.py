"""Trainings and computations over HTTP: one at a time, never twice, and never in the way of answers."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from recsys.artifacts import activate
from recsys.errors import AlreadyTraining, DatabaseUnavailable
from recsys.lifecycle.lock import Owner, training_lock
from recsys.service.jobs import MOST_KEPT, Jobs, JobState
from recsys.store import connect
from tests.helpers.http_service import ADMIN, KEY, HttpService, error_of
from tests.helpers.second_version import second_version
from tests.helpers.tiny_shop import Published, count

END_S = 60.0


@pytest.fixture
def shop(published: Published, tmp_path: Path) -> Published:
    return published.copy(tmp_path)


@pytest.fixture
def jobs(shop: Published) -> Iterator[Jobs]:
    jobs = Jobs(shop.settings, shop.folder, shop.environ, logging.getLogger("tests"))
    yield jobs
    jobs.close()


def ended(jobs: Jobs, job: JobState) -> JobState:
    for thread in jobs._threads:
        thread.join(END_S)
    found = jobs.find(job.job_id)
    assert found is not None
    return found


def trains_by(shop: Published, code: str) -> None:
    """Put a program in the place of the training."""
    (shop.folder / "train.py").write_text(code, encoding="utf-8")


def test_a_training_runs_in_a_process_of_its_own_with_the_services_settings(shop: Published, jobs: Jobs) -> None:
    trains_by(shop, "import os, pathlib; pathlib.Path('trained').write_text(os.environ['MODELS_DIR'])")

    job = jobs.start_training()

    assert (job.kind, job.status) == ("training", "running")
    assert ended(jobs, job).status == "done"
    assert (shop.folder / "trained").read_text(encoding="utf-8") == str(shop.models_dir)


@pytest.mark.parametrize(("code", "words"), [("raise SystemExit('no room')", "no room"), ("raise SystemExit(3)", "3")])
def test_a_training_that_does_not_publish_has_failed(shop: Published, jobs: Jobs, code: str, words: str) -> None:
    trains_by(shop, code)

    job = ended(jobs, jobs.start_training())

    assert job.status == "failed"
    assert words in job.message or "should not fail like this" in job.message


def test_while_one_trains_no_other_starts(shop: Published, jobs: Jobs) -> None:
    trains_by(shop, "import pathlib, sys; open('runs', 'a').write('x'); sys.stdin.read(); open('go').read()")
    (shop.folder / "go").write_text("", encoding="utf-8")
    release = threading.Event()
    jobs._train = lambda: str(release.wait(END_S))  # type: ignore[method-assign]

    first = jobs.start_training()
    with pytest.raises(AlreadyTraining, match=first.job_id):
        jobs.start_training()
    release.set()

    assert ended(jobs, first).status == "done"
    assert jobs.start_training().job_id != first.job_id


def test_where_another_process_trains_its_name_is_told(shop: Published, jobs: Jobs) -> None:
    with training_lock(shop.models_dir):
        with pytest.raises(AlreadyTraining) as refused:
            jobs.start_training()

    me = Owner.this_process()
    assert str(me.process) in str(refused.value) or "lock" in str(refused.value)
    assert jobs._threads == []


def test_the_end_of_the_service_ends_its_training(shop: Published) -> None:
    trains_by(shop, "import pathlib, time; pathlib.Path('began').write_text(''); time.sleep(3600)")
    jobs = Jobs(shop.settings, shop.folder, shop.environ, logging.getLogger("tests"))
    job = jobs.start_training()

    jobs.close()

    found = jobs.find(job.job_id)
    assert found is not None and found.status == "failed"


def test_jobs_that_have_ended_are_forgotten_in_the_end(jobs: Jobs) -> None:
    first = jobs.start("similarities", lambda: "done")
    ended(jobs, first)
    for _ in range(MOST_KEPT):
        ended(jobs, jobs.start("similarities", lambda: "done"))

    assert jobs.find(first.job_id) is None


def test_a_failure_of_a_job_is_told(jobs: Jobs) -> None:
    def fail() -> str:
        raise DatabaseUnavailable("The database is away.")

    job = ended(jobs, jobs.start("user-preferences", fail))

    assert (job.status, job.message) == ("failed", "The database is away.")


@pytest.fixture
def service(shop: Published) -> Iterator[HttpService]:
    with HttpService(shop, SERVICE_KEY=KEY, SERVICE_ADMIN_KEY=ADMIN) as service:
        yield service


def test_retraining_is_202_then_409_with_the_holder(shop: Published, service: HttpService) -> None:
    service.parts.jobs._train = lambda: "A new version is published."  # type: ignore[method-assign]
    with training_lock(shop.models_dir):
        busy = service.ask("POST", "/api/model/retrain", key=ADMIN)
    started = service.ask("POST", "/api/model/retrain", key=ADMIN)
    ended(service.parts.jobs, JobState(started.json()["job_id"], "training"))

    assert error_of(busy) == (409, "overloaded")
    assert started.status_code == 202
    job = service.ask("GET", f"/jobs/{started.json()['job_id']}", key=ADMIN).json()
    assert (job["kind"], job["status"], job["message"]) == ("training", "done", "A new version is published.")
    assert error_of(service.ask("GET", "/jobs/other", key=ADMIN)) == (404, "not_found")


def test_computations_write_their_tables(shop: Published, service: HttpService) -> None:
    event = {"user_id": 7, "product_id": 101, "interaction_type": "view"}
    assert service.ask("POST", "/track", json=event, key=KEY).status_code == 200
    for path in ("/compute/similarities", "/compute/user-preferences"):
        started = service.ask("POST", path, key=ADMIN)
        assert started.status_code == 202
        assert ended(service.parts.jobs, JobState(started.json()["job_id"], "similarities")).status == "done"

    with connect(shop.url) as db:
        assert count(db, "rec_product_similarities") > 0
        assert count(db, "rec_user_preferences") == 1
    similar = service.ask("GET", "/api/v1/recommendations/similar?product_id=104&limit=5", key=KEY).json()
    assert similar["algorithm"] == "similarities"
    assert len(similar["recommendations"]) == 5
    assert similar["recommendations"][0]["reason"] == {"code": "similar", "item_id": 104}


def test_the_version_is_described(service: HttpService) -> None:
    info = service.ask("GET", "/model/info", key=KEY).json()

    bundle = service.parts.service.bundle
    assert (info["version"], info["winner"]) == (bundle.name, bundle.priors.best)
    assert info["counts"]["users"] == bundle.n_users
    assert set(info["metrics"]) <= set(info["scorers"]) | set(info["metrics"])
    assert info["refused"] is None
    assert sys.executable


def test_a_version_that_is_activated_serves_without_a_restart_and_with_lists_of_its_own(
    shop: Published, service: HttpService
) -> None:
    wanted = {"params": {"user_id": "7", "model": "popularity", "limit": "5"}}
    before = [service.ask("GET", "/recommendations", key=KEY, **wanted).json() for _ in range(2)]
    second = second_version(shop)
    activate(shop.models_dir, second)

    assert service.parts.versions.look() is None
    after = service.ask("GET", "/recommendations", key=KEY, **wanted).json()

    assert [answer["cached"] for answer in (*before, after)] == [False, True, False]
    assert after["recommendations"] != before[0]["recommendations"]
    assert service.ask("GET", "/model/info", key=KEY).json()["version"] == second
