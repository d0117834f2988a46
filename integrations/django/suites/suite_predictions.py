"""Pages of predictions: who and what, what is skipped, the chain of pages, and what a second delivery does."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any
from unittest import mock

from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import OperationalError
from example.films.models import Film
from kombu.exceptions import OperationalError as BrokerAway
from recsys_suggestions import ml_utils, predicting, tasks
from recsys_suggestions.models import PredictionPage, PredictionRun, Rating, Suggestion, WaitingTask
from recsys_suggestions.predicting import candidates, predict_page
from recsys_suggestions.sending import enqueue, send_waiting

from suites.site import N_FILMS, N_USERS, SiteCase, later

BATCH, TRAIN = tasks.batch_users_prediction_task, tasks.train_surprise_model_task
Sent = list[dict[str, Any]]


@contextmanager
def sent(away: bool = False) -> Any:
    """Collect what is sent instead of sending it."""
    messages: Sent = []

    def send(self: Any, args: Any = None, kwargs: Any = None, **options: Any) -> None:
        if away:
            raise BrokerAway("refused")
        messages.append({"task": self.name, **(kwargs or {})})

    with mock.patch("celery.app.task.Task.apply_async", send):
        yield messages


def deliver(task: Any, message: str, **kwargs: Any) -> dict[str, Any]:
    """Run a task as a worker does that received the message."""
    task.push_request(id=message, called_directly=False)
    try:
        return task.run(**kwargs)
    finally:
        task.pop_request()


class ModelCase(SiteCase):
    """Each test has a model."""

    def setUp(self) -> None:
        super().setUp()
        self.model = ml_utils.train_surprise_model(n_epochs=60)
        self.rated = set(Rating.objects.values_list("user_id", "object_id"))

    def all_unrated(self) -> set[tuple[int, str]]:
        pairs = {(user.pk, str(film.pk)) for user in self.users for film in self.films}
        return pairs - self.rated


class PagesTest(ModelCase):
    def test_every_unrated_pair_gets_the_models_value(self) -> None:
        predict_page("r", "m", None, 0, 50, 1000)

        rows = self.suggestions()
        self.assertEqual(set(rows), self.all_unrated())
        for (user, item), row in rows.items():
            expected = self.model.predict(_texts(user), _texts(item))[0]
            self.assertAlmostEqual(row.value, expected, places=5)
            self.assertEqual((row.model, row.did_rate), (self.model.name, False))

    def test_candidates_are_the_most_rated_first(self) -> None:
        Rating.objects.all().delete()
        for film, n in ((3, 4), (7, 5), (1, 4)):
            for user in self.users[:n]:
                Rating(user=user, content_object=self.films[film], value=3).save()
        keys = [str(film.pk) for film in self.films]

        self.assertEqual(candidates(4), [keys[7], keys[1], keys[3], keys[0]])
        self.assertEqual(len(candidates(100)), N_FILMS)

    def test_users_by_key_and_nobody(self) -> None:
        self.assertEqual(predict_page("a", "m", [], 0, 50, 9).n_written, 0)
        gone = self.users[3].pk
        get_user_model().objects.filter(pk=gone).update(is_active=False)

        predict_page("b", "m", [self.users[2].pk, self.users[2].pk, gone, 10**9], 0, 50, 9)

        self.assertEqual({user for user, _ in self.suggestions()}, {self.users[2].pk})

    def test_fresh_pairs_are_skipped_and_old_ones_predicted_again(self) -> None:
        first = predict_page("a", "m", None, 0, 50, 9)
        self.assertEqual(first.n_written, 2 * N_USERS)
        self.assertEqual(predict_page("b", "n", None, 0, 50, 9).n_written, 0)
        with later(days=6.9):
            self.assertEqual(predict_page("c", "o", None, 0, 50, 9).n_written, 0)
        with later(days=7.1):
            self.assertEqual(predict_page("d", "p", None, 0, 50, 9).n_written, 2 * N_USERS)
        self.assertEqual(Suggestion.objects.count(), 2 * N_USERS)

    def test_a_newer_model_predicts_again_and_overwrites(self) -> None:
        predict_page("a", "m", None, 0, 50, 9)
        before = self.suggestions()
        with mock.patch("time.time", return_value=2_000_000_000):
            newer = ml_utils.train_surprise_model(n_epochs=5)

        self.assertEqual(predict_page("b", "n", None, 0, 50, 9).n_written, 2 * N_USERS)

        after = self.suggestions()
        self.assertEqual({row.model for row in after.values()}, {newer.name})
        self.assertEqual({pair: row.pk for pair, row in after.items()}, {pair: row.pk for pair, row in before.items()})
        self.assertEqual({row.created_at for row in after.values()}, {row.created_at for row in before.values()})
        self.assertNotEqual([row.value for row in after.values()], [before[pair].value for pair in after])

    def test_a_film_deleted_between_pages_moves_nothing(self) -> None:
        order = candidates(100)
        predict_page("a", "m0", None, 0, 5, 9)
        Film.objects.filter(pk__in=[order[0], order[6]]).delete()
        predict_page("a", "m1", None, 1, 5, 9)
        predict_page("a", "m2", None, 2, 5, 9)

        expected = {pair for pair in self.all_unrated() if pair[1] != order[6]}
        self.assertEqual(set(self.suggestions()), expected)

    def test_a_user_deleted_meanwhile_costs_only_their_own(self) -> None:
        gone = self.users[5].pk
        rated_or_fresh = predicting._rated_or_fresh

        def then_delete(*args: Any) -> Any:
            found = rated_or_fresh(*args)
            get_user_model().objects.filter(pk=gone).delete()
            return found

        with mock.patch.object(predicting, "_rated_or_fresh", then_delete):
            predict_page("a", "m", None, 0, 50, 9)
        if Suggestion.objects.filter(user_id=gone).exists():  # constraints are deferred inside of a test's transaction
            Suggestion.objects.filter(user_id=gone).delete()

        self.assertEqual({user for user, _ in self.suggestions()}, {user.pk for user in self.users} - {gone})

    def test_numbers_out_of_range_are_refused(self) -> None:
        for page, offset, pages in ((-1, 5, 5), (0, 0, 5), (0, 5, -1)):
            with self.assertRaises(ValueError):
                predict_page("a", "m", None, page, offset, pages)

    def test_the_command_does_all_pages(self) -> None:
        call_command("recommend", "--offset", "5", stdout=mock.Mock())

        self.assertEqual(set(self.suggestions()), self.all_unrated())
        self.assertEqual(PredictionPage.objects.count(), 3)
        with self.assertRaises(CommandError):
            call_command("recommend", "--offset", "0")
        call_command("recommend", "--users", f"{self.users[0].pk},", "--max-pages", "0", stdout=mock.Mock())


class ChainTest(ModelCase):
    def chain(self, first: dict[str, Any], message: str = "m") -> Sent:
        """Deliver a batch task and all that it sends; returns what was sent."""
        all_sent, waiting, n = [], [first], 0
        while waiting:
            arguments = {name: value for name, value in waiting.pop(0).items() if name != "task"}
            with sent() as messages:
                deliver(BATCH, f"{message}{n}", **arguments)
            n, all_sent = n + 1, all_sent + messages
            waiting += messages
        return all_sent

    def test_pages_follow_with_every_argument_and_without_overlap(self) -> None:
        users = [user.pk for user in self.users[:6]]

        messages = self.chain({"users_ids": users, "start_page": 0, "offset": 5, "max_pages": 7})

        carried = {"task": BATCH.name, "users_ids": users, "offset": 5, "max_pages": 7, "run": "m0"}
        self.assertEqual(messages, [{**carried, "start_page": 1}, {**carried, "start_page": 2}])
        self.assertEqual(set(self.suggestions()), {pair for pair in self.all_unrated() if pair[0] in users})
        self.assertEqual(sum(page.n_written for page in PredictionPage.objects.all()), Suggestion.objects.count())
        self.assertIsNotNone(PredictionRun.objects.get().finished_at)

    def test_max_pages_and_start_page_bound_the_run(self) -> None:
        self.chain({"start_page": 1, "offset": 3, "max_pages": 2})

        self.assertEqual(sorted(PredictionPage.objects.values_list("number", flat=True)), [1, 2])
        items = {item for _, item in self.suggestions()}
        self.assertLessEqual(items, set(candidates(100)[3:9]))

    def test_a_page_that_is_delivered_twice_is_done_once_and_its_chain_stops(self) -> None:
        with sent() as first:
            deliver(BATCH, "m0", offset=5)
        page_1 = {name: value for name, value in first[0].items() if name != "task"}
        with sent() as again:  # killed behind the sending of page 1: page 0 comes again, and sends page 1 again
            repeated = deliver(BATCH, "m0", offset=5)
        self.assertEqual(again, first)
        self.assertEqual(PredictionRun.objects.count(), 1)
        with sent():
            deliver(BATCH, "m1", **page_1)
        with sent() as second_chain:
            stopped = deliver(BATCH, "m1-again", **page_1)

        self.assertEqual(second_chain, [])
        self.assertEqual(stopped["stopped"], "another message has this page")
        self.assertEqual(repeated["stopped"], "")

    def test_a_page_that_was_killed_in_the_middle_is_completed(self) -> None:
        kept = predicting.upsert

        def killed(rows: Any, **shared: Any) -> None:
            kept(list(rows)[:7], **shared)
            raise SystemExit

        with mock.patch.object(predicting, "USERS_AT_ONCE", 10), mock.patch.object(predicting, "upsert", killed):
            with self.assertRaises(SystemExit), sent():
                deliver(BATCH, "m0")
        with sent():
            result = deliver(BATCH, "m0")

        self.assertEqual(set(self.suggestions()), self.all_unrated())
        self.assertEqual(result["stopped"], "")

    def test_two_schedulers_start_one_daily_run(self) -> None:
        with sent() as first:
            deliver(BATCH, "beat-1", run="daily", offset=5)
        with sent() as second:
            stopped = deliver(BATCH, "beat-2", run="daily", offset=5)

        self.assertEqual((len(first), second, PredictionRun.objects.count()), (1, [], 1))
        self.assertEqual(stopped["stopped"], "another message has this page")
        self.assertIn(self.model.name, first[0]["run"])

    def test_results_can_be_encoded(self) -> None:
        from kombu.utils.json import dumps

        with sent() as messages:
            dumps(deliver(BATCH, "m0", offset=5))
        dumps(messages)

    def test_a_database_that_is_locked_is_tried_again(self) -> None:
        from celery.exceptions import Retry

        with mock.patch.object(tasks, "predict_page", side_effect=OperationalError("locked")), sent():
            with self.assertRaises(Retry):
                BATCH.push_request(id="m0", called_directly=False, retries=0)
                try:
                    BATCH.run()
                finally:
                    BATCH.pop_request()


class TrainingTaskTest(SiteCase):
    def test_training_starts_the_prediction(self) -> None:
        with sent() as messages:
            result = deliver(TRAIN, "t0", n_epochs=60)

        self.assertEqual(result, {"published": ml_utils.load_model().name, "reason": ""})
        self.assertEqual(messages, [{"task": BATCH.name, "run": "t0"}])

    def test_without_new_ratings_nothing_is_trained(self) -> None:
        ml_utils.train_surprise_model(n_epochs=60)
        with sent() as messages:
            result = deliver(TRAIN, "t0")
        self.assertEqual((result["published"], messages), (None, []))
        self.assertIn("0 new ratings", result["reason"])

        Rating(user=self.users[0], content_object=self.films[0], value=4).save()
        with sent() as messages:
            self.assertIsNotNone(deliver(TRAIN, "t1", n_epochs=60)["published"])
        with self.options(MIN_NEW_RATINGS=0), sent() as messages:
            self.assertIsNotNone(deliver(TRAIN, "t2", n_epochs=60)["published"])
        self.assertEqual(len(messages), 1)

    def test_two_trainings_at_once_learn_the_same_ratings_once(self) -> None:
        locked = ml_utils.training_lock

        @contextmanager
        def behind_another(folder: Any) -> Any:
            """Another worker trains and publishes before this one has the lock."""
            with mock.patch.object(ml_utils, "training_lock", locked), sent():
                deliver(TRAIN, "t0", n_epochs=60)
            with locked(folder):
                yield

        with sent() as messages, mock.patch.object(ml_utils, "training_lock", behind_another):
            result = deliver(TRAIN, "t1", n_epochs=60)

        self.assertEqual((result["published"], messages), (None, []))
        self.assertIn("0 new ratings", result["reason"])
        self.assertTrue(ml_utils.trained_by("t0"))

    def test_a_training_that_was_killed_behind_its_publication_does_not_train_again(self) -> None:
        ml_utils.train_surprise_model(n_epochs=60, task="t0")
        name = ml_utils.load_model().name

        with sent() as messages, mock.patch.object(ml_utils, "train_surprise_model", side_effect=AssertionError):
            result = deliver(TRAIN, "t0")

        self.assertEqual((result["published"], messages), (name, [{"task": BATCH.name, "run": "t0"}]))

    def test_what_is_refused_starts_nothing_and_says_why(self) -> None:
        from recsys.lifecycle.lock import training_lock

        with sent() as messages, training_lock(self.folder / "models"):
            busy = deliver(TRAIN, "t0")
        Rating.objects.update(value=3)
        with sent() as more:
            refused = deliver(TRAIN, "t1")

        self.assertEqual((messages, more), ([], []))
        self.assertIn("it is held by process", busy["reason"])
        self.assertIn("biases alone", refused["reason"])

    def test_without_a_model_a_prediction_ends_with_the_reason(self) -> None:
        with sent() as messages:
            result = deliver(BATCH, "m0")

        self.assertEqual((messages, result["n_written"]), ([], 0))
        self.assertIn("none is active", result["stopped"])

    def test_tasks_wait_for_a_broker_that_is_away_and_one_line_says_so(self) -> None:
        with sent(away=True), self.assertLogs("recsys_suggestions", "ERROR") as logs:
            self.assertFalse(enqueue(TRAIN, n_epochs=3))
            self.assertEqual(send_waiting(), 0)
        self.assertEqual(len(logs.output), 1)
        self.assertIn("The broker is away", logs.output[0])

        WaitingTask.objects.create(task="recsys_suggestions.gone")
        with sent() as messages, self.assertLogs("recsys_suggestions", "ERROR"):
            tasks.send_waiting_task()

        self.assertEqual(messages, [{"task": TRAIN.name, "n_epochs": 3}])
        self.assertEqual(WaitingTask.objects.count(), 0)


def _texts(*values: Any) -> Any:
    import numpy as np

    return np.array([str(value) for value in values], object)
