"""Many suggestions in one statement. Django compiles it once, for two rows, so that the dialect is its own.

On PostgreSQL, Django sends an array for each column. Its driver would need longer to find 11,000 placeholders in the
text than all the rest takes. Elsewhere, each value of each row is a parameter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import chain, islice
from typing import Any, NamedTuple

from django.db import connections, router, transaction
from django.db.models import Field
from django.db.models.constants import OnConflict
from django.db.models.sql import InsertQuery

from recsys_suggestions.models import Suggestion

ROWS_AT_ONCE = 1_000  # fewer where the database takes fewer parameters
PAIR = ("user", "content_type", "object_id")
WRITTEN = ("value", "model", "active", "updated_at")


class Predicted(NamedTuple):
    """The stars of one user for one product.

    Attributes:
        user: The user's key.
        item: The product's key.
        value: The stars.
    """

    user: Any
    item: str
    value: float


def upsert(predictions: Iterable[Predicted], *, content_type: int, model: str, now: datetime) -> None:
    """Insert suggestions, or overwrite those that exist. Whether and how they were rated stays.

    Args:
        predictions: No pair of user and product occurs twice among them.
        content_type: The key of the products' content type.
        model: The name of the version that predicted.
        now: When; a suggestion that exists keeps the moment in which it was made.

    Raises:
        IntegrityError: A user does not exist; nothing is written. It comes at the latest when the transaction ends.
    """
    using = router.db_for_write(Suggestion)
    connection = connections[using]
    same = Suggestion(content_type_id=content_type, model=model, created_at=now, updated_at=now)
    statement = Upsert(connection, same)
    with transaction.atomic(using=using, savepoint=False), connection.cursor() as cursor:
        for block in blocks(predictions, statement.n_most):
            cursor.execute(statement.sql(len(block)), statement.parameters(block))


class Upsert:
    """The statement that inserts or overwrites rows, and its parameters.

    Attributes:
        n_most: The most rows that the database takes at once.
    """

    def __init__(self, connection: Any, same: Suggestion) -> None:
        """Compile the statement for two rows.

        Args:
            connection: Django's connection to the database.
            same: Holds the values that all rows share.
        """
        self._connection = connection
        # Keys are given by the database.
        self._fields: list[Field] = [field for field in Suggestion._meta.concrete_fields if not field.primary_key]
        self._shared_values = {
            field.name: self._database_value(field, getattr(same, field.attname)) for field in self._fields
        }
        self._sql_of_two_rows, n_parameters = self._compile(same)
        self._has_arrays = n_parameters == len(self._fields)  # two rows, and one parameter for each column
        n_taken = connection.ops.bulk_batch_size(self._fields, range(ROWS_AT_ONCE))
        self.n_most = max(1, min(ROWS_AT_ONCE, n_taken))

    def sql(self, n_rows: int) -> str:
        """Return the statement for so many rows.

        Args:
            n_rows: From 1 to `n_most`.
        """
        if self._has_arrays:
            return self._sql_of_two_rows
        group = f"({', '.join(['%s'] * len(self._fields))})"
        before, _, after = self._sql_of_two_rows.split(group)
        return before + ", ".join([group] * n_rows) + after

    def parameters(self, predictions: Sequence[Predicted]) -> list[Any]:
        """Return the columns of rows where the statement takes arrays, else the values, one row after the other."""
        own = dict(zip(("user", "object_id", "value"), zip(*predictions, strict=True), strict=True))
        columns = [
            [self._database_value(field, value) for value in own[field.name]]
            if field.name in own
            else [self._shared_values[field.name]] * len(predictions)
            for field in self._fields
        ]
        if self._has_arrays:
            return columns
        return list(chain.from_iterable(zip(*columns, strict=True)))

    def _database_value(self, field: Field, value: Any) -> Any:
        return field.get_db_prep_save(value, connection=self._connection)

    def _compile(self, row: Suggestion) -> tuple[str, int]:
        """Return Django's statement for two rows and the number of its parameters.

        It is without the keys that `bulk_create` would have returned.
        """
        # MySQL and MariaDB take no names of unique columns; SQLite and PostgreSQL want them.
        names = PAIR if self._connection.features.supports_update_conflicts_with_target else ()
        columns = {"update_fields": WRITTEN, "unique_fields": names}
        of_name = {name: [Suggestion._meta.get_field(one) for one in each] for name, each in columns.items()}
        query = InsertQuery(Suggestion, on_conflict=OnConflict.UPDATE, **of_name)
        query.insert_values(self._fields, [row, row])
        [(sql, parameters)] = query.get_compiler(connection=self._connection).as_sql()
        return sql, len(parameters)


def blocks(values: Iterable[Any], size: int) -> Iterator[tuple[Any, ...]]:
    """Yield values in tuples of at most that many."""
    rest = iter(values)
    while block := tuple(islice(rest, size)):
        yield block
