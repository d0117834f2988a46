"""The factorisation as arrays: the predicted stars are the mean, plus two biases, plus a dot product."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from recsys.artifacts import Arrays
from recsys.data.ids import IdMap
from recsys.errors import ModelRefused
from recsys.errors.records import Record
from recsys.ratings.ratings import HIGHEST, LOWEST, Ratings

Stars = NDArray[np.float64]
BLOCK = 2_000_000  # predictions at once, 16 MB


class RatingModel(Record):
    """Biased matrix factorisation: `mean + user_biases + item_biases + user_factors · item_factors`.

    Whom or what training did not see has the bias 0 and the vector 0. Koren, Bell, Volinsky: Matrix Factorization
    Techniques for Recommender Systems, 2009.

    Attributes:
        users: Ids and indices of the users.
        items: Ids and indices of the items.
        mean: The mean of all ratings, in stars.
        user_biases: `(n_users + 1,)` float64; the last is 0, for the unknown.
        item_biases: `(n_items + 1,)` float64, like `user_biases`.
        user_factors: `(n_users + 1, d)` float32; d may be 0.
        item_factors: `(n_items + 1, d)` float32.
        name: The published version; empty before.
    """

    users: IdMap
    items: IdMap
    mean: float
    user_biases: Stars
    item_biases: Stars
    user_factors: NDArray[np.float32]
    item_factors: NDArray[np.float32]
    name: str = ""

    def predict(self, users: NDArray, items: NDArray) -> Stars:
        """Return the predicted stars of pairs, `(n,)` float64.

        Args:
            users: `(n,)` ids of the type of `self.users.ids`.
            items: `(n,)` ids of the type of `self.items.ids`.

        Raises:
            TypeError: Ids have another type than those that training saw.
        """
        u, i = self.user_rows(users), self.item_rows(items)
        dots = np.einsum("nd,nd->n", self.user_factors[u], self.item_factors[i], dtype=np.float64)
        return self._within_scale(self.mean + self.user_biases[u] + self.item_biases[i] + dots)

    def predict_all(self, users: NDArray, items: NDArray) -> Stars:
        """Return the predicted stars of every pair, `(n, m)` float64; the arguments are those of `predict`."""
        u, i = self.user_rows(users), self.item_rows(items)
        dots = self.user_factors[u] @ self.item_factors[i].T
        return self._within_scale(self.mean + self.user_biases[u][:, None] + self.item_biases[i] + dots)

    def user_rows(self, users: NDArray) -> NDArray[np.int32]:
        """Return the rows of users; the last row stands for the unknown."""
        return _rows(self.users, users, "users")

    def item_rows(self, items: NDArray) -> NDArray[np.int32]:
        """Return the rows of items; the last row stands for the unknown."""
        return _rows(self.items, items, "items")

    def arrays(self) -> Arrays:
        """Return all parts as plain arrays, without objects; texts are UTF-8."""
        return {
            "users": _stored(self.users.ids),
            "items": _stored(self.items.ids),
            "mean": np.array([self.mean]),
            "user_biases": self.user_biases,
            "item_biases": self.item_biases,
            "user_factors": self.user_factors,
            "item_factors": self.item_factors,
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays, name: str = "") -> RatingModel:
        """Return the model of `arrays`.

        Raises:
            ModelRefused: An array is missing, does not fit the others, or is not finite.
        """
        try:
            users, items = (IdMap(_read(arrays[key])) for key in ("users", "items"))
            model = cls(
                users,
                items,
                float(arrays["mean"][0]),
                arrays["user_biases"],
                arrays["item_biases"],
                arrays["user_factors"],
                arrays["item_factors"],
                name,
            )
            fits = [len(part) == len(users) + 1 for part in (model.user_biases, model.user_factors)]
            fits += [len(part) == len(items) + 1 for part in (model.item_biases, model.item_factors)]
            fits += [model.user_factors.shape[1:] == model.item_factors.shape[1:], model.is_finite]
        except (LookupError, ValueError) as error:
            raise ModelRefused(f"A model of ratings should hold the arrays of one. Received: {error}.") from error
        if not all(fits):
            raise ModelRefused("The arrays of a model of ratings should fit each other and be finite. Train again.")
        return model

    @property
    def is_finite(self) -> bool:
        """Whether no part is NaN or infinite."""
        parts = (self.user_biases, self.item_biases, self.user_factors, self.item_factors)
        return bool(np.isfinite(self.mean)) and all(np.isfinite(part).all() for part in parts)

    @staticmethod
    def _within_scale(stars: Stars) -> Stars:
        return np.clip(stars, LOWEST, HIGHEST)


def best_unrated(model: RatingModel, ratings: Ratings, limit: int) -> Iterator[tuple[object, NDArray, Stars]]:
    """Yield each user of the model with the items that they would rate best, among those that they have not rated.

    Args:
        model: Predicts the stars.
        ratings: What has been rated, with ids of the model's types.
        limit: The most items of a user; fewer where fewer are left.

    Yields:
        The user's id; `(k,)` item ids, the best first, of equal ones the smaller id; `(k,)` float64 stars.
    """
    u, i = model.user_rows(ratings.users), model.item_rows(ratings.items)
    n_items = len(model.items)
    step = max(1, BLOCK // max(n_items, 1))
    for first in range(0, len(model.users), step):
        rows = np.arange(first, min(first + step, len(model.users)))
        stars = model.predict_all(model.users.ids[rows], model.items.ids)
        inside = (u >= first) & (u <= rows[-1]) & (i < n_items)
        stars[u[inside] - first, i[inside]] = -np.inf
        order = np.argsort(-stars, axis=1, kind="stable")[:, :limit]
        for row, best in zip(rows, order, strict=True):
            of_user = stars[row - first, best]
            kept = np.isfinite(of_user)
            yield model.users.ids[row], model.items.ids[best[kept]], of_user[kept]


def _rows(known: IdMap, ids: NDArray, what: str) -> NDArray[np.int32]:
    """Return the rows of ids. Another type is an error: it would make every user unknown, and nobody would notice."""
    kind = "int" if ids.dtype.kind in "iu" else "str"
    if len(ids) and len(known) and kind != known.kind:
        raise TypeError(f"`{what}` should be ids of the type {known.kind}. Received: {kind}, such as {ids[0]!r}.")
    return known.indices(ids)


def _stored(ids: NDArray) -> NDArray:
    if ids.dtype.kind in "iu":
        return ids
    return np.array([value.encode() for value in ids.tolist()] or [b""], "S")[: len(ids)]


def _read(ids: NDArray) -> NDArray:
    return ids if ids.dtype.kind in "iu" else np.array([value.decode() for value in ids.tolist()], object)
