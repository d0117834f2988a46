"""Upserts: what is written and what stays, blocks of rows, and that the statement is that of `bulk_create`."""

from __future__ import annotations

from datetime import UTC, datetime
from unittest import mock

from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from recsys_suggestions import upserting
from recsys_suggestions.models import Rating, Suggestion, product_type
from recsys_suggestions.upserting import PAIR, WRITTEN, Predicted, Upsert, upsert

from suites.site import SiteCase

EARLIER, NOW = (datetime(2026, 1, day, 3, 0, 0, 250_000, tzinfo=UTC) for day in (1, 2))


class UpsertTest(SiteCase):
    def write(self, predictions: list[Predicted], model: str = "first", now: datetime = EARLIER) -> None:
        upsert(predictions, content_type=product_type().pk, model=model, now=now)

    def row(self, user: int = 0, film: int = 0) -> Suggestion:
        return self.suggestions()[self.users[user].pk, str(self.films[film].pk)]

    def predicted(self, value: float, user: int = 0, film: int = 0) -> Predicted:
        return Predicted(self.users[user].pk, str(self.films[film].pk), value)

    def test_a_new_row_has_every_value_and_the_defaults_of_the_model(self) -> None:
        self.write([self.predicted(4.25)])

        row, default = self.row(), Suggestion()
        self.assertEqual((row.value, row.model, row.content_object), (4.25, "first", self.films[0]))
        self.assertEqual((row.created_at, row.updated_at), (EARLIER, EARLIER))
        for name in ("active", "did_rate", "did_rate_timestamp", "rating_value"):
            self.assertEqual(getattr(row, name), getattr(default, name), name)

    def test_a_row_that_exists_keeps_its_key_its_beginning_and_its_rating(self) -> None:
        self.write([self.predicted(4.25)])
        Rating(user=self.users[0], content_object=self.films[0], value=2).save()
        Suggestion.objects.update(active=False)
        before = self.row()

        self.write([self.predicted(1.5), self.predicted(3, user=1)], "second", NOW)

        after = self.row()
        self.assertEqual((after.value, after.model, after.active, after.updated_at), (1.5, "second", True, NOW))
        for name in ("pk", "created_at", "did_rate", "did_rate_timestamp", "rating_value"):
            self.assertEqual(getattr(after, name), getattr(before, name), name)
        self.assertTrue(after.did_rate)
        self.assertEqual((self.row(user=1).created_at, Suggestion.objects.count()), (NOW, 2))

    def test_blocks_of_any_size_write_each_row_once(self) -> None:
        every = [self.predicted(1 + user / 10, user, film) for user in range(24) for film in range(12)]
        for size, n_statements in ((1, 288), (7, 42), (10_000, None)):  # the last one is each database's own
            Suggestion.objects.all().delete()
            with mock.patch.object(upserting, "ROWS_AT_ONCE", size), CaptureQueriesContext(connection) as queries:
                self.write(every)
            if n_statements is not None:
                self.assertEqual(sum("INSERT INTO" in query["sql"] for query in queries), n_statements)
            self.assertEqual({(*pair, row.value) for pair, row in self.suggestions().items()}, set(every))

    def test_nothing_writes_nothing(self) -> None:
        self.write([])

        self.assertEqual(Suggestion.objects.count(), 0)

    def test_a_user_who_does_not_exist_is_an_integrity_error_and_nothing_is_written(self) -> None:
        with self.assertRaises(IntegrityError), transaction.atomic():
            self.write([self.predicted(4), Predicted(10**9, "1", 4.0)])
            connection.check_constraints()

        self.assertEqual(Suggestion.objects.count(), 0)

    def test_the_texts_of_products_are_values_and_never_sql(self) -> None:
        words = ["50%", "%s", "o'clock", '"); --', "ä"]

        self.write([Predicted(self.users[0].pk, word, 3.0) for word in words])

        self.assertEqual({item for _, item in self.suggestions()}, set(words))

    def test_the_statement_is_that_of_djangos_bulk_create(self) -> None:
        """`InsertQuery` and its compiler are not documented: another Django may have others, and this fails then."""
        same = {"user": self.users[0], "content_type": product_type(), "value": 3, "model": "first"}
        first, second = (Suggestion(object_id=key, **same) for key in ("1", "2"))
        named = {"unique_fields": PAIR} if connection.features.supports_update_conflicts_with_target else {}
        sent: list[str] = []

        def note(execute: object, sql: str, params: object, many: bool, context: object) -> object:
            sent.append(sql)
            return execute(sql, params, many, context)  # type: ignore[operator]

        with connection.execute_wrapper(note):
            Suggestion.objects.bulk_create([first, second], update_conflicts=True, update_fields=WRITTEN, **named)

        [expected] = [sql for sql in sent if sql.startswith("INSERT")]
        self.assertEqual(Upsert(connection, first).sql(2), expected.partition(" RETURNING ")[0])
