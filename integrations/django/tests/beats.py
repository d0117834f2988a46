"""Run two Beats on one database beside one worker, and look whether anything is lost or doubled.

    python integrations/django/tests/beats.py --broker rabbitmq
    python integrations/django/tests/beats.py --broker redis
    python integrations/django/tests/beats.py --broker redis --database mariadb

Training and prediction of a site with 12 films are due every two seconds, and both Beats send them. The worker has two
children, and reads ratings slowly, so that trainings overlap. Some times, a customer rates a film again, and the site
has to train once for it. The servers are those of localhost. The queue and the database of the broker
are used by this script alone, and cleared. On PostgreSQL and MariaDB, the site has a database of its own, which is
dropped at the end.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

from recsys.artifacts import history, open_version  # noqa: E402
from tests.helpers.django_site import (  # noqa: E402
    BROKERS,
    DATABASES,
    Environment,
    celery,
    clear,
    counts,
    database,
    environment,
    python,
    wait,
)

N_TRAININGS = 4  # that are due: the first one, and one after each new rating
N_UNRATED = 24 * 2  # each of 24 users has left out two films
TRAIN, PREDICT = "recsys: train", "recsys: predict"
LOGS = ("beat1.log", "beat2.log")
LONGEST_S = 120
SLOW_READER = """
import time
from example.celery import app
from celery.signals import worker_process_init

@worker_process_init.connect
def slow(**_):
    from recsys_suggestions import ml_utils
    kept = ml_utils.get_data_loader

    def get_data_loader():
        ratings = kept()
        time.sleep(1.5)
        return ratings

    ml_utils.get_data_loader = get_data_loader
"""
MAKE = f"""
from django.core.management import call_command
call_command("migrate", verbosity=0)
from django.contrib.auth import get_user_model
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from example.films.models import Film
from recsys_suggestions.models import Rating
from suites.site import two_tastes
films = [Film.objects.create(title=f"Film {{n:02}}") for n in range(12)]
users = [get_user_model().objects.create(username=f"user{{n:02}}") for n in range(24)]
Rating.objects.bulk_create(two_tastes(users, films))
soon = IntervalSchedule.objects.create(every=2, period="seconds")
for name, args in (({TRAIN!r}, "[60]"), ({PREDICT!r}, "[]")):
    task = PeriodicTask.objects.get(name=name)
    task.crontab, task.interval, task.args = None, soon, args
    task.save()
"""
RATE_AGAIN = """
from recsys_suggestions.models import Rating
old = Rating.objects.filter(active=True).earliest("pk")
Rating(user=old.user, content_object=old.content_object, value=old.value, created_at=old.created_at).save()
"""
STOP = f"""
from django_celery_beat.models import PeriodicTask
for task in PeriodicTask.objects.filter(name__in=[{TRAIN!r}, {PREDICT!r}]):
    task.enabled = False
    task.save()
"""
COUNTS = {
    "newest rating": "SELECT MAX(id) FROM recsys_suggestions_rating",
    "trainings asked for": "SELECT COUNT(*) FROM django_celery_results_taskresult"
    " WHERE task_name = 'recsys_suggestions.train_surprise_model_task'",
    "tasks failed": "SELECT COUNT(*) FROM django_celery_results_taskresult WHERE status <> 'SUCCESS'",
    "runs of trainings": "SELECT COUNT(*) FROM recsys_suggestions_predictionrun r WHERE r.key NOT LIKE 'daily %'",
    "runs of the day": "SELECT COUNT(*) FROM recsys_suggestions_predictionrun r WHERE r.key LIKE 'daily %'",
    "runs under way": "SELECT COUNT(*) FROM recsys_suggestions_predictionrun WHERE finished_at IS NULL",
    "pages": "SELECT COUNT(*) FROM recsys_suggestions_predictionpage",
    "pages done": "SELECT COUNT(*) FROM recsys_suggestions_predictionpage WHERE done_at IS NOT NULL",
    "pairs": "SELECT COUNT(*) FROM recsys_suggestions_suggestion",
    "different": "SELECT COUNT(*) FROM (SELECT DISTINCT user_id, object_id FROM recsys_suggestions_suggestion) p",
    "models of pairs": "SELECT COUNT(DISTINCT model) FROM recsys_suggestions_suggestion",
}


class Outcome(NamedTuple):
    """What was there in the end.

    Attributes:
        n_due: How many trainings were due.
        sent: How many trainings each Beat has sent.
        published: The newest rating that each published model has seen, by the model's name.
        state: The values of `COUNTS`.
    """

    n_due: int
    sent: tuple[int, ...]
    published: Mapping[str, int]
    state: Mapping[str, int]

    @property
    def is_whole(self) -> bool:
        """Whether each Beat took part, and each state of the ratings was trained and predicted once."""
        state, seen = self.state, list(self.published.values())
        trained_once = len(set(seen)) == len(seen) == self.n_due and max(seen) == state["newest rating"]
        pages_once = state["pages"] == state["pages done"] == state["runs of trainings"] + state["runs of the day"]
        ended = state["tasks failed"] == state["runs under way"] == 0
        predicted_once = state["runs of trainings"] == self.n_due and state["runs of the day"] <= self.n_due
        pairs_once = state["pairs"] == state["different"] == N_UNRATED and state["models of pairs"] == 1
        both = min(self.sent) >= self.n_due
        return both and trained_once and pages_once and ended and predicted_once and pairs_once


def run(broker: str, folder: Path, n_due: int = N_TRAININGS, database_url: str = "") -> Outcome:
    """Make a site in a folder, run two Beats and a worker, and return what was there in the end.

    Args:
        broker: The broker's URL.
        folder: An empty folder.
        n_due: How many trainings are due.
        database_url: Of an empty database; SQLite in the folder by default.

    Raises:
        TimeoutError: A training that is due does not come, or does not end.
    """
    environ = environment(folder, broker, database_url=database_url)
    (folder / "slow_reader.py").write_text(SLOW_READER, encoding="utf-8")
    beat = ("example", "beat", "--max-interval", "1")
    try:
        python(environ, MAKE)
        with (
            celery(environ, folder, ("slow_reader", "worker", "--concurrency", "2")),
            celery(environ, folder, beat, LOGS[0]),
            celery(environ, folder, beat, LOGS[1]),
        ):
            wait(lambda: min(_count_sent(folder)) > 0, "both Beats should send", folder, LONGEST_S)
            for number in range(n_due):
                if number:
                    python(environ, RATE_AGAIN)
                wait(lambda: _is_trained(environ, folder), "the newest rating should be trained", folder, LONGEST_S)
            _stop(environ, folder)
        return Outcome(n_due, _count_sent(folder), _newest_ratings(folder), counts(environ, COUNTS))
    finally:
        clear(environ)


def _count_sent(folder: Path) -> tuple[int, ...]:
    """Return how many trainings each Beat has sent."""
    texts = [(folder / log).read_text(encoding="utf-8", errors="replace") for log in LOGS]
    return tuple(text.count(f"Sending due task {TRAIN}") for text in texts)


def _newest_ratings(folder: Path) -> dict[str, int]:
    """Return the newest rating that each published model has seen; older models may be removed, and then count as 0."""
    models = folder / "models"
    names = [entry["published"] for entry in history(models) if entry["published"]]
    return {name: _newest_row(models, name) if (models / name).exists() else 0 for name in names}


def _newest_row(models: Path, name: str) -> int:
    with open_version(models, name) as version:
        return int(version.manifest["newest_row"])


def _is_trained(environ: Environment, folder: Path) -> bool:
    """Return whether the newest rating is in a model, with which every run has ended."""
    state = counts(environ, COUNTS)
    is_seen = state["newest rating"] in _newest_ratings(folder).values()
    return is_seen and state["runs of trainings"] >= len(_newest_ratings(folder)) and state["runs under way"] == 0


def _stop(environ: Environment, folder: Path) -> None:
    """End the schedules, and wait until all that was sent has ended."""
    python(environ, STOP)
    time.sleep(3)  # a Beat looks once a second whether schedules have changed

    def has_ended() -> bool:
        state = counts(environ, COUNTS)
        return state["trainings asked for"] == sum(_count_sent(folder)) and state["runs under way"] == 0

    wait(has_ended, "all that was sent should end", folder, LONGEST_S)


def main(argv: list[str]) -> int:
    """Run two Beats and print what was there in the end; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--broker", choices=BROKERS, required=True)
    parser.add_argument("--database", choices=DATABASES, default=DATABASES[0], help="default %(default)s")
    flags = parser.parse_args(argv)
    with database(flags.database) as url, tempfile.TemporaryDirectory() as folder:
        outcome = run(BROKERS[flags.broker], Path(folder), database_url=url)
    n_published = len(outcome.published)
    trainings = f"{outcome.sent} trainings sent, {outcome.n_due} due, {n_published} published"
    print(f"{flags.broker} and {flags.database}, two Beats: {trainings}; {outcome.state}")
    return 0 if outcome.is_whole else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
