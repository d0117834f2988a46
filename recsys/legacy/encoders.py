"""Reads the encoders of earlier systems from their pickles, through an allow-list."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from recsys.data.ids import INT64_MAX
from recsys.errors import ModelRefused, SettingsError
from recsys.legacy.unpickling import Array, Dtype, FromBuffer, LabelEncoder, Scalar, unpickle

USERS, ITEMS, CONTEXTS = "user_encoder.pkl", "item_encoder.pkl", "context_info.pkl"
MAX_BYTES = 512 * 2**20  # enough for an encoder of ten million ids
_ORDERS = frozenset({"feature_names", "feature_order", "features", "context_features", "context_order", "order"})


@dataclass(frozen=True)
class LegacyEncoders:
    """The content of the three pickles.

    Attributes:
        name: `legacy-` and the first 8 digits of the SHA-256 over the three files.
        users: User ids in index order; all int, or all str.
        items: Item ids in index order; all int, or all str.
        contexts: Features in order, each with its values in index order.
    """

    name: str
    users: Sequence[int | str]
    items: Sequence[int | str]
    contexts: Mapping[str, Sequence[str]]


def read_encoders(folder: Path) -> LegacyEncoders:
    """Read `user_encoder.pkl`, `item_encoder.pkl` and `context_info.pkl`.

    Each encoder is a scikit-learn LabelEncoder, or a dict of original values to indices 0 … n - 1. The contexts are a
    dict of such encoders, or of lists of values, by feature. They may be nested one level deep, beside a list of the
    features in their order.

    Raises:
        SettingsError: A file is missing.
        ModelRefused: A file holds anything else.
    """
    missing = [name for name in (USERS, ITEMS, CONTEXTS) if not (folder / name).is_file()]
    if missing:
        raise SettingsError(
            f"{folder} should hold {USERS}, {ITEMS} and {CONTEXTS}. Received: {', '.join(missing)} missing."
        )
    data = {name: _read(folder / name) for name in (USERS, ITEMS, CONTEXTS)}
    digest = hashlib.sha256(b"".join(hashlib.sha256(content).digest() for content in data.values())).hexdigest()
    return LegacyEncoders(
        name=f"legacy-{digest[:8]}",
        users=unpickle(data[USERS], USERS, partial(_ids, USERS)),
        items=unpickle(data[ITEMS], ITEMS, partial(_ids, ITEMS)),
        contexts=unpickle(data[CONTEXTS], CONTEXTS, _contexts),
    )


def _read(path: Path) -> bytes:
    if path.stat().st_size > MAX_BYTES:
        raise ModelRefused(f"{path.name} should have at most {MAX_BYTES} bytes. Received: {path.stat().st_size}.")
    return path.read_bytes()


def _ids(where: str, encoder: Any) -> list[int | str]:
    """Return an encoder's ids in index order; all int, or all str."""
    values = _originals(encoder)
    if values is None:
        expected, received = "a LabelEncoder, or a dict of originals to 0 … n - 1", type(encoder).__name__
        raise ModelRefused(f"{where} should be {expected}. Received: {received}.")
    ids = [_id(where, value) for value in values]
    return ids if all(isinstance(value, int) for value in ids) else [str(value) for value in ids]


def _id(where: str, value: Any) -> int | str:
    """Return one id; a whole float becomes int, because pandas turns 17850 into 17850.0 in a column with gaps."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool) and abs(value) <= INT64_MAX):
        return value
    raise ModelRefused(f"{where} should hold ids that are integers or text. Received: {type(value).__name__}.")


def _originals(encoder: Any) -> list[Any] | None:
    """Return the values that a LabelEncoder or a dict maps to 0, 1, …; None for other objects."""
    if isinstance(encoder, LabelEncoder):
        classes = encoder.state.get("classes_") if isinstance(encoder.state, dict) else None
        return None if classes is None else _values(classes)
    if not isinstance(encoder, dict):
        return None
    indices = [_plain(index) for index in encoder.values()]
    if any(isinstance(index, bool) or not isinstance(index, int) for index in indices):
        return None
    if sorted(indices) != list(range(len(indices))):
        return None
    return [_plain(original) for _, original in sorted(zip(indices, encoder, strict=True), key=lambda pair: pair[0])]


def _contexts(info: Any) -> dict[str, list[str]]:
    """Return values by feature, in the order that the pickle lists, or else in that of its keys."""
    if not isinstance(info, dict):
        raise ModelRefused(f"{CONTEXTS} should be a dict. Received: {type(info).__name__}.")
    contexts: dict[str, list[str]] = {}
    lists: dict[str, list[Any]] = {}
    for key, value in _flat(info):
        originals = _originals(value)
        if originals is not None:
            contexts[_feature(key)] = [str(original) for original in originals]
        elif isinstance(value, list | tuple | Array | FromBuffer):
            lists[key] = _values(value)
    order = _order(lists, set(contexts) | {_feature(key) for key in lists})
    for key, values in lists.items():
        if key != order and _feature(key) not in contexts and all(isinstance(value, str) for value in values):
            contexts[_feature(key)] = list(values)
    features = [_feature(str(name)) for name in lists[order]] if order else list(contexts)
    unknown = [name for name in features if name not in contexts]
    if unknown:
        raise ModelRefused(
            f"{CONTEXTS} should hold an encoder for each feature it lists. Received: none for {', '.join(unknown)}."
        )
    return {name: contexts[name] for name in features}


def _order(lists: Mapping[str, Sequence[Any]], features: set[str]) -> str | None:
    """Return the key of the list that orders the features, known by its name or because it holds only features."""
    for key, values in lists.items():
        if key in _ORDERS or (
            values and all(isinstance(value, str) and _feature(value) in features - {_feature(key)} for value in values)
        ):
            return key
    return None


def _flat(info: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    """Yield keys and values; a dict that only groups encoders is replaced by its entries, one level deep."""
    for key, value in info.items():
        if isinstance(value, dict) and value and _originals(value) is None and not _counts(value):
            yield from ((str(inner), encoder) for inner, encoder in value.items() if encoder != {})
        elif value != {}:
            yield str(key), value


def _counts(value: Mapping[Any, Any]) -> bool:
    return all(isinstance(_plain(size), int) for size in value.values())  # such as the number of values by feature


def _feature(name: str) -> str:
    return name.removesuffix("_encoded").removesuffix("_encoder")  # of columns and encoders of earlier systems


def _values(sequence: Any) -> list[Any]:
    """Return the elements of a list or of a one-dimensional array of integers, floats or text."""
    if isinstance(sequence, list | tuple):
        return [_plain(value) for value in sequence]
    if isinstance(sequence, FromBuffer):
        data, dtype, shape, _ = _parts(sequence.arguments, 4)
    elif isinstance(sequence, Array):
        _, shape, dtype, _, data = _parts(sequence.state, 5)
    else:
        raise ModelRefused(f"An encoder's values should be a list or an array. Received: {type(sequence).__name__}.")
    if not isinstance(shape, tuple) or len(shape) != 1 or not isinstance(shape[0], int):
        raise ModelRefused("An encoder's array should have one dimension. Received: another shape.")
    values = [_plain(value) for value in data] if isinstance(data, list) else _unpacked(data, dtype)
    if len(values) != shape[0]:
        raise ModelRefused(
            f"An encoder's array should hold {shape[0]} values, as its shape says. Received: {len(values)}."
        )
    return values


def _plain(value: Any) -> Any:
    if not isinstance(value, Scalar):
        return value
    dtype, data = _parts(value.arguments, 2)
    (only,) = _unpacked(data, dtype)
    return only


def _unpacked(data: Any, dtype: Any) -> list[Any]:
    """Decode the numbers or texts in an array's bytes, with a dtype that is built here from an allowed code."""
    if not isinstance(data, bytes | bytearray) or not isinstance(dtype, Dtype):
        raise ModelRefused(f"An array's data should be bytes with a dtype. Received: {type(data).__name__}.")
    code = dtype.arguments[0] if dtype.arguments else None
    order = dtype.state[1] if isinstance(dtype.state, tuple) and len(dtype.state) > 1 else "|"
    if not isinstance(code, str) or not re.fullmatch("[iufbUS][0-9]+", code) or order not in ("<", ">", "|", "="):
        raise ModelRefused("An encoder's array should be of integers, floats or text. Received: another dtype.")
    values = np.frombuffer(bytes(data), np.dtype(f"{order}{code}")).tolist() if data else []
    return [value.decode("utf-8") if isinstance(value, bytes) else value for value in values]


def _parts(state: Any, n: int) -> tuple[Any, ...]:
    if not isinstance(state, tuple) or len(state) != n:
        raise ModelRefused(f"A NumPy array should be pickled in {n} parts. Received: {type(state).__name__}.")
    return state
