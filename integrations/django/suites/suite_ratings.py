"""Ratings, their history and their export; training by the names of `ml_utils`."""

from __future__ import annotations

import csv
from io import StringIO
from unittest import mock

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from example.films.models import Film
from recsys_suggestions import ml_utils
from recsys_suggestions.exports import export_csv, load_ratings
from recsys_suggestions.models import Rating, Suggestion, product_type

from recsys.errors import ModelRefused, NoModel, NotEnoughData, TrainingRefused
from suites.site import SiteCase


class RatingsTest(SiteCase):
    def rate(self, value: float, user: int = 0, film: int = 0) -> Rating:
        rating = Rating(user=self.users[user], content_object=self.films[film], value=value)
        rating.save()
        return rating

    def test_rating_again_keeps_the_old_row_as_history(self) -> None:
        Rating.objects.all().delete()
        first, second = self.rate(2), self.rate(4)

        first.refresh_from_db()
        self.assertEqual((first.active, second.active), (False, True))
        self.assertIsNotNone(first.active_changed_at)
        self.assertEqual([row["rating"] for row in ml_utils.export_ratings_dataset()], [4])

    def test_saving_an_old_rating_again_changes_nothing_else(self) -> None:
        Rating.objects.all().delete()
        first, second = self.rate(2), self.rate(4)
        first.refresh_from_db()
        first.save()
        second.save()

        self.assertEqual(list(Rating.objects.filter(active=True)), [second])

    def test_a_value_outside_the_scale_reaches_no_table(self) -> None:
        for value in (0, 0.99, 5.01, -1, 6):
            with self.subTest(value=value), self.assertRaises(IntegrityError), transaction.atomic():
                self.rate(value, film=1)
            with self.subTest(value=value), self.assertRaises(ValidationError):
                Rating(user=self.users[0], content_object=self.films[0], value=value).full_clean()

    def test_a_rating_marks_its_suggestion_and_no_other(self) -> None:
        for user in (0, 1):
            for film in (0, 1):
                Suggestion.objects.create(
                    user=self.users[user], content_object=self.films[film], value=3.5, model="some"
                )

        self.rate(4, user=0, film=1)

        marked = Suggestion.objects.filter(did_rate=True)
        self.assertEqual([(row.user_id, row.object_id) for row in marked], [(self.users[0].pk, str(self.films[1].pk))])
        self.assertEqual(marked[0].rating_value, 4)
        self.assertIsNotNone(marked[0].did_rate_timestamp)

    def test_the_dataset_has_one_type_and_a_total_order(self) -> None:
        rows = ml_utils.export_ratings_dataset()

        self.assertEqual({type(row[name]) for row in rows for name in ("user_id", "object_id")}, {str})
        self.assertEqual(len(rows), Rating.objects.count())
        with mock.patch.object(Rating.objects, "filter", wraps=Rating.objects.filter) as query:
            ml_utils.export_ratings_dataset()
        self.assertTrue(query.called)
        users = [row.user_id for row in Rating.objects.order_by("user_id", "object_id", "pk")]
        self.assertEqual([row["user_id"] for row in rows], [str(user) for user in users])

    def test_columns_count_by_name(self) -> None:
        rows = [{"timestamp": 5, "rating": 3, "object_id": "7", "user_id": "9"}]

        ratings = ml_utils.get_data_loader(rows)

        self.assertEqual((ratings.users.tolist(), ratings.items.tolist(), ratings.values.tolist()), (["9"], ["7"], [3]))

    def test_train_publish_and_load(self) -> None:
        model = ml_utils.train_surprise_model(n_epochs=60)

        loaded = ml_utils.load_model()
        self.assertEqual(loaded.name, model.name)
        self.assertIs(ml_utils.load_model(), loaded)
        ratings = ml_utils.get_data_loader()
        known = loaded.predict(ratings.users[:1], ratings.items[:1])[0]
        unknown = loaded.predict(ratings.users[:1] + "x", ratings.items[:1])[0]
        self.assertGreater(abs(known - unknown), 0.5)
        again = ml_utils.export_model(model)
        self.assertEqual(ml_utils.load_model().name, again)

    def test_a_torn_model_is_refused(self) -> None:
        name = ml_utils.train_surprise_model(n_epochs=60).name
        path = self.folder / "models" / name / "ratings.h5"
        path.write_bytes(path.read_bytes()[:-100])

        with self.assertRaises(ModelRefused):
            ml_utils.load_model()

    def test_too_few_ratings_are_refused(self) -> None:
        Rating.objects.exclude(user=self.users[0]).delete()
        with self.assertRaises(NotEnoughData):
            ml_utils.train_surprise_model()
        Rating.objects.all().delete()
        with self.assertRaisesRegex(NotEnoughData, "Received: none"):
            ml_utils.train_surprise_model()
        with self.assertRaises(NoModel):
            ml_utils.load_model()
        with self.assertRaisesRegex(CommandError, "Received: none"):
            call_command("train")

    def test_what_does_not_beat_the_biases_is_refused(self) -> None:
        Rating.objects.update(value=3)
        with self.assertRaises(TrainingRefused):
            ml_utils.train_surprise_model()


class FilesTest(SiteCase):
    def test_exports_hold_active_ratings_and_all_products(self) -> None:
        for kind, n_rows, header in (
            ("ratings", Rating.objects.count(), ["user_id", "object_id", "rating", "timestamp"]),
            ("products", len(self.films), ["object_id", "title", "overview"]),
        ):
            out = StringIO()
            call_command("export", kind, stdout=out)
            with open(out.getvalue().split(" rows in ")[1].strip(), encoding="utf-8", newline="") as file:
                rows = list(csv.reader(file))
            self.assertEqual((rows[0], len(rows) - 1), (header, n_rows))
        export = export_csv("ratings")
        self.assertEqual(export.n_rows, Rating.objects.count())
        with self.assertRaises(ValueError):
            export.file.url  # noqa: B018 - it has none

    def test_an_export_loads_into_the_same_ratings(self) -> None:
        with export_csv("ratings").file.open("r") as file:
            text = file.read()
        text = text if isinstance(text, str) else text.decode()
        n_before = Rating.objects.count()

        first, second = load_ratings(StringIO(text)), load_ratings(StringIO(text))

        self.assertEqual((first["new"], first["known"]), (n_before, 0))
        self.assertEqual((second["new"], second["known"]), (0, n_before))
        by_start = (Rating.objects.filter(user__username__startswith=start) for start in ("user", "dataset"))
        values = [sorted(rows.values_list("object_id", "value")) for rows in by_start]
        self.assertEqual(*values)

    def test_rows_that_are_no_ratings_are_counted(self) -> None:
        film = self.films[0].pk
        rows = [f"a,{film},5,1", f"a,{film},4,2", f"b,{film},9,3", f"c,{film},x,3", f",{film},3,3", "d,999999,3,3"]

        counts = load_ratings(StringIO("user_id,object_id,rating,timestamp\n" + "\n".join(rows)))

        expected = {"new": 1, "known": 0, "no id": 1, "no number": 1, "outside the scale": 1, "rated again": 1}
        self.assertEqual(counts, {**expected, "unknown product": 1})
        self.assertEqual(Rating.objects.get(user__username="dataset-user-a").value, 4)

    def test_another_value_replaces_the_rating_and_marks_the_suggestion(self) -> None:
        head, film = "user_id,object_id,rating\n", self.films[0]
        load_ratings(StringIO(f"{head}a,{film.pk},5\n"))
        user = Rating.objects.get(user__username="dataset-user-a").user
        self.assertFalse(user.has_usable_password())
        Suggestion.objects.create(user=user, content_object=film, value=3, model="m")

        load_ratings(StringIO(f"{head}a,{film.pk},2\n"))

        ratings = Rating.objects.filter(user=user).order_by("pk")
        self.assertEqual([(row.value, row.active) for row in ratings], [(5, False), (2, True)])
        self.assertEqual(Suggestion.objects.get().rating_value, 2)

    def test_a_missing_column_is_named(self) -> None:
        with self.assertRaisesRegex(ValueError, "Missing: rating"):
            load_ratings(StringIO("user_id,object_id\n1,2\n"))

    def test_settings_of_the_app_are_checked(self) -> None:
        ready = apps.get_app_config("recsys_suggestions").ready
        for changed in (
            {"MODEL": "films.Song"},
            {"MODEL": None},
            {"MIN_NEW_RATINGS": -1},
            {"FRESH": 3},
            {"FRESH_DAYS": True},
        ):
            with self.subTest(changed), self.options(**changed), self.assertRaises(ImproperlyConfigured):
                ready()
        self.assertEqual(product_type().model_class(), Film)
