"""Kill workers in the middle of a run of predictions, and look whether anything is lost or doubled.

    python integrations/django/tests/kills.py --broker rabbitmq --victim worker
    python integrations/django/tests/kills.py --broker redis --victim worker --visibility 20
    python integrations/django/tests/kills.py --broker redis --victim child

A site with 24 films, two on a page, is predicted by a worker with one child. The child, or the worker with its child,
gets SIGKILL in the middle of a page. A new worker is then started. On Redis, the page of a killed worker comes back
after the visibility timeout, which is an hour by default; here it is shorter. The servers are those of localhost. The
queue and the database of the broker are used by this script alone, and cleared.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

from tests.helpers.django_site import (  # noqa: E402
    BROKERS,
    Environment,
    celery,
    clear,
    counts,
    environment,
    python,
    wait,
)

WORKER = ("slow_worker", "worker", "--concurrency", "1")
AT_PAGE = 3  # the page in which the kill comes
# A worker whose pages take half a second, so that a kill finds one in the middle of its work.
SLOW_WORKER = """
import time
from example.celery import app
from celery.signals import worker_process_init

@worker_process_init.connect
def slow(**_):
    from recsys_suggestions import predicting
    kept, predicting.USERS_AT_ONCE = predicting.upsert, 10

    def upsert(rows, **shared):
        kept(rows, **shared)
        time.sleep(0.1)

    predicting.upsert = upsert
"""
COUNTS = {
    "runs": "SELECT COUNT(*) FROM recsys_suggestions_predictionrun",
    "finished": "SELECT COUNT(*) FROM recsys_suggestions_predictionrun WHERE finished_at IS NOT NULL",
    "pages": "SELECT COUNT(*) FROM recsys_suggestions_predictionpage",
    "done": "SELECT COUNT(*) FROM recsys_suggestions_predictionpage WHERE done_at IS NOT NULL",
    "pairs": "SELECT COUNT(*) FROM recsys_suggestions_suggestion",
    "different": "SELECT COUNT(*) FROM (SELECT DISTINCT user_id, object_id FROM recsys_suggestions_suggestion) p",
    "rated": "SELECT COUNT(*) FROM recsys_suggestions_suggestion s JOIN recsys_suggestions_rating r"
    " ON r.user_id = s.user_id AND r.object_id = s.object_id",
}
N_PAGES, N_UNRATED = 12, 40 * 4  # of 24 films, each of 40 users has left out four
MAKE = """
from django.core.management import call_command
call_command("migrate", verbosity=0)
from django.contrib.auth import get_user_model
from example.films.models import Film
from suites.site import two_tastes
from recsys_suggestions.models import Rating
films = [Film.objects.create(title=f"Film {n:02}") for n in range(24)]
users = [get_user_model().objects.create(username=f"user{n:02}") for n in range(40)]
Rating.objects.bulk_create(two_tastes(users, films))
call_command("train", epochs=60)
call_command("recommend", "--async", offset=2)
"""


class Outcome(NamedTuple):
    """What was there in the end.

    Attributes:
        state: The values of `COUNTS`.
        seconds: From the kill to the end of the run.
    """

    state: Mapping[str, int]
    seconds: float

    @property
    def is_whole(self) -> bool:
        """Whether each page was done once, and each pair is there once."""
        once = {"runs": 1, "finished": 1, "pages": N_PAGES, "done": N_PAGES}
        return self.state == {**once, "pairs": N_UNRATED, "different": N_UNRATED, "rated": 0}


def run(broker: str, victim: str, folder: Path, *, visibility_s: int = 3600) -> Outcome:
    """Make a site in a folder, kill the victim in the middle of a page, and wait until the run has ended.

    Args:
        broker: The broker's URL.
        victim: `child` or `worker`.
        folder: An empty folder.
        visibility_s: Of Redis, in seconds.
    """
    environ = environment(folder, broker, visibility_s)
    (folder / "slow_worker.py").write_text(SLOW_WORKER, encoding="utf-8")
    try:
        python(environ, MAKE)
        with celery(environ, folder, WORKER) as worker:
            wait(lambda: counts(environ, COUNTS)["pages"] > AT_PAGE, "the run should begin", folder)
            _kill(worker, victim)
            killed = time.monotonic()
            if victim == "worker":
                worker.wait()
                with celery(environ, folder, WORKER):
                    wait(lambda: _has_ended(environ), "the run should end", folder)
            else:
                wait(lambda: _has_ended(environ), "the run should end", folder)
            seconds = time.monotonic() - killed
        return Outcome(counts(environ, COUNTS), seconds)
    finally:
        clear(environ)


def _has_ended(environ: Environment) -> bool:
    state = counts(environ, COUNTS)
    return bool(state["finished"] and state["done"] == state["pages"])


def _kill(worker: subprocess.Popen[bytes], victim: str) -> None:
    if victim == "worker":
        os.killpg(worker.pid, signal.SIGKILL)
        return
    children = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text(encoding="ascii").split()
    os.kill(int(children[-1]), signal.SIGKILL)


def main(argv: list[str]) -> int:
    """Run one scene and print what was there in the end; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--broker", choices=BROKERS, required=True)
    parser.add_argument("--victim", choices=("child", "worker"), required=True)
    parser.add_argument("--visibility", type=int, default=20, metavar="SECONDS", help="of Redis; default 20")
    flags = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        outcome = run(BROKERS[flags.broker], flags.victim, Path(folder), visibility_s=flags.visibility)
    print(f"{flags.broker}, {flags.victim} killed: the run ended {outcome.seconds:.0f} s later; {outcome.state}")
    return 0 if outcome.is_whole else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
