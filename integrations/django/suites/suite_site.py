"""The API, the example site with its admin, and the schedules."""

from __future__ import annotations

import json
from importlib import import_module
from unittest import mock
from zoneinfo import ZoneInfo

from django.apps import apps as global_apps
from django.contrib.auth import get_user_model
from django.test import TestCase, override_settings
from django_celery_beat.models import PeriodicTask, PeriodicTasks
from example.celery import app
from recsys_suggestions.models import Export, Rating, Suggestion
from recsys_suggestions.sending import enqueue
from recsys_suggestions.tasks import train_surprise_model_task

from suites.site import SiteCase

URL = "/api/suggestions/"


class ApiTest(SiteCase):
    def setUp(self) -> None:
        super().setUp()
        Rating.objects.all().delete()
        self.user = self.users[0]
        for n, film in enumerate(self.films):
            Suggestion.objects.create(user=self.user, content_object=film, value=1 + n * 0.25, model="m")

    def get(self, **query: object) -> tuple[int, dict[str, object]]:
        answer = self.client.get(URL, query)
        return answer.status_code, json.loads(answer.content)

    def test_best_first_with_all_four_fields(self) -> None:
        self.client.force_login(self.user)

        status, body = self.get(user_id=self.user.pk)

        self.assertEqual((status, list(body)), (200, ["suggestions"]))
        values = [row["value"] for row in body["suggestions"]]
        self.assertEqual(values, sorted(values, reverse=True))
        best = self.films[11]
        self.assertEqual(
            body["suggestions"][0], {"id": best.pk, "title": "Film 11", "overview": "About 11.", "value": 3.75}
        )
        self.assertEqual(len(values), len(self.films))

    def test_rated_gone_and_inactive_ones_are_left_out(self) -> None:
        Rating(user=self.user, content_object=self.films[4], value=2).save()
        Rating.objects.bulk_create([Rating(user=self.user, content_object=self.films[9], value=2)])  # marks nothing
        self.films[3].delete()
        Suggestion.objects.filter(object_id=str(self.films[8].pk)).update(active=False)
        self.client.force_login(self.user)

        titles = [row["title"] for row in self.get(user_id=self.user.pk)[1]["suggestions"]]

        self.assertEqual(len(titles), len(self.films) - 4)
        self.assertEqual({"Film 04", "Film 09", "Film 03", "Film 08"} & set(titles), set())

    def test_fifty_at_most_even_where_films_are_gone(self) -> None:
        rows = [Suggestion(user=self.user, content_object=self.films[0], value=5, model="m") for _ in range(150)]
        for n, row in enumerate(rows):
            row.object_id = str(10**6 + n)  # no such film
        Suggestion.objects.bulk_create(rows)
        from example.films.models import Film

        Film.objects.bulk_create([Film(title=f"More {n}") for n in range(60)])
        more = Film.objects.filter(title__startswith="More")
        Suggestion.objects.bulk_create(
            [Suggestion(user=self.user, content_object=film, value=4.9, model="m") for film in more]
        )
        self.client.force_login(self.user)

        body = self.get(user_id=self.user.pk)[1]

        self.assertEqual([row["value"] for row in body["suggestions"]], [4.9] * 50)

    def test_somebody_elses_list_is_refused(self) -> None:
        own, other = self.user.pk, self.users[1].pk
        self.assertEqual(self.get(user_id=own)[0], 403)
        self.client.force_login(self.users[1])
        for user_id, status in ((own, 403), (other, 200), (10**6, 403), ("", 400), ("x", 400), (10**30, 403)):
            with self.subTest(user_id):
                self.assertEqual(self.get(user_id=user_id)[0], status)
        self.assertEqual(self.get()[0], 400)
        self.assertEqual(self.client.post(f"{URL}?user_id={other}").status_code, 405)
        self.client.force_login(get_user_model().objects.create(username="root", is_superuser=True))
        for user_id, status in ((own, 200), (10**6, 404), (10**30, 404)):
            with self.subTest(user_id):
                self.assertEqual(self.get(user_id=user_id)[0], status)


class SiteTest(SiteCase):
    def test_the_page_rates_and_suggests(self) -> None:
        film = self.films[0]
        self.assertContains(self.client.get("/"), "Sign in")
        self.assertEqual(self.client.post(f"/films/{film.pk}/rating", {"value": 4}).status_code, 302)
        self.assertFalse(Rating.objects.filter(object_id=str(film.pk), value=4).exists())
        self.client.force_login(self.users[0])
        Suggestion.objects.create(user=self.users[0], content_object=film, value=4.25, model="m")
        Rating.objects.filter(user=self.users[0]).delete()
        self.assertContains(self.client.get("/"), "stars predicted")

        answer = self.client.post(f"/films/{film.pk}/rating", {"value": "4"}, follow=True)

        self.assertContains(answer, "You gave Film 00 4 stars.")
        self.assertNotContains(answer, "stars predicted")
        for value in ("0", "6", "x", "nan", "inf", ""):
            answer = self.client.post(f"/films/{film.pk}/rating", {"value": value}, follow=True)
            self.assertContains(answer, "from 1 to 5")
        self.assertEqual(Rating.objects.get(user=self.users[0]).value, 4)

    def test_every_page_of_the_admin_opens(self) -> None:
        self.client.force_login(get_user_model().objects.create(username="root", is_staff=True, is_superuser=True))
        Suggestion.objects.create(user=self.users[0], content_object=self.films[0], value=4.25, model="m")
        export = Export.objects.create(kind="ratings", n_rows=0, file="x.csv")
        for name in ("rating", "suggestion", "export", "predictionrun", "waitingtask"):
            self.assertEqual(self.client.get(f"/admin/recsys_suggestions/{name}/").status_code, 200)
        self.assertEqual(self.client.get(f"/admin/recsys_suggestions/export/{export.pk}/change/").status_code, 200)

    def test_the_site_works_while_the_broker_is_away(self) -> None:
        self.client.force_login(get_user_model().objects.create(username="root", is_staff=True, is_superuser=True))
        rating = Rating.objects.first()
        away = mock.patch("celery.app.task.Task.apply_async", side_effect=ConnectionRefusedError)

        with away, self.assertLogs("recsys_suggestions", "ERROR") as logs:
            form = {"action": "train", "_selected_action": rating.pk}
            answer = self.client.post("/admin/recsys_suggestions/rating/", form, follow=True)

        self.assertContains(answer, "The broker is away; the training waits.")
        self.assertEqual(len(logs.output), 1)
        with mock.patch("celery.app.task.Task.apply_async"):
            self.assertTrue(enqueue(train_surprise_model_task))


class SchedulesTest(TestCase):
    def test_both_tasks_are_scheduled_in_the_zone_of_celery(self) -> None:
        rows = {row.name: row for row in PeriodicTask.objects.filter(name__startswith="recsys")}

        train, predict = rows["recsys: train"], rows["recsys: predict"]
        self.assertEqual((train.crontab.hour, train.crontab.minute, json.loads(train.args)), ("2", "0", [20]))
        self.assertEqual((predict.crontab.hour, json.loads(predict.kwargs)), ("3", {"run": "daily"}))
        self.assertEqual(train.crontab.timezone, ZoneInfo(app.conf.timezone))
        for row in rows.values():
            self.assertTrue(row.enabled)
            self.assertIn(row.task, app.tasks)
            self.assertIsNotNone(row.last_run_at)  # else a missed first run would not be made up for

    def test_a_restart_of_beat_keeps_what_an_operator_changed(self) -> None:
        from django_celery_beat.schedulers import DatabaseScheduler

        train = PeriodicTask.objects.get(name="recsys: train")
        train.crontab.hour = "5"
        train.crontab.save()
        train.enabled = False
        train.save()

        with mock.patch("django_celery_beat.schedulers.close_old_connections"):  # it would end the test's transaction
            DatabaseScheduler(app, lazy=False)

        train.refresh_from_db()
        self.assertEqual((train.crontab.hour, train.enabled), ("5", False))
        self.assertEqual(app.conf.beat_schedule, {})

    @override_settings(CELERY_TIMEZONE="Asia/Ho_Chi_Minh")
    def test_the_migration_can_be_undone_and_done_again_and_tells_beat(self) -> None:
        schedules = import_module("recsys_suggestions.migrations.0002_schedules")
        before = PeriodicTasks.last_change()

        schedules.remove(global_apps, None)
        self.assertFalse(PeriodicTask.objects.filter(name__startswith="recsys").exists())
        for _ in range(2):
            schedules.add(global_apps, None)

        self.assertEqual(PeriodicTask.objects.filter(name__startswith="recsys").count(), 3)
        self.assertEqual(PeriodicTask.objects.get(name="recsys: train").crontab.timezone.key, "Asia/Ho_Chi_Minh")
        self.assertGreater(PeriodicTasks.last_change(), before)

    def test_the_app_of_celery_loses_no_task(self) -> None:
        for name in ("train_surprise_model_task", "batch_users_prediction_task"):
            task = app.tasks[f"recsys_suggestions.{name}"]
            self.assertTrue(task.acks_late and task.reject_on_worker_lost)
        self.assertTrue(app.conf.result_extended)
        self.assertEqual(app.conf.result_backend, "django-db")
        self.assertEqual(app.conf.beat_scheduler, "django_celery_beat.schedulers:DatabaseScheduler")
