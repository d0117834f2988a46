"""Unpickling that runs no code of the pickle's choice.

Every name that a pickle may contain stands for an inert class of this module, so that neither scikit-learn's nor
NumPy's unpickling code runs. Any other name is refused before anything is called.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from recsys.errors import ModelRefused

T = TypeVar("T")


def unpickle(data: bytes, where: str, read: Callable[[Any], T]) -> T:
    """Return what `read` makes of a pickle of plain containers, LabelEncoders and NumPy arrays.

    Args:
        data: The pickle.
        where: The file's name in error messages.
        read: Called with the loaded object; any error means that the pickle is damaged.

    Raises:
        ModelRefused: The pickle contains another name, or is damaged; no code that it names was run.
    """
    try:
        return read(_AllowListing(io.BytesIO(data), where, len(data)).load())
    except ModelRefused:
        raise
    except Exception as error:  # unpickling may raise any, as the module `pickle` says
        raise ModelRefused(
            f"{where} should be a whole pickle of an encoder. Received: {type(error).__name__}: {error}"
        ) from error


class _Inert:
    """A stand-in for a class of the pickle. Its state is stored as one value, so that a pickle sets no attributes."""

    arguments: tuple[Any, ...]
    state: Any = None

    def __new__(cls, *args: Any) -> Any:
        instance = super().__new__(cls)
        instance.arguments = args
        return instance

    def __setstate__(self, state: Any) -> None:
        self.state = state


class LabelEncoder(_Inert):
    """A scikit-learn LabelEncoder; its state is a dict with `classes_`."""


class Array(_Inert):
    """A NumPy array, whose state is (version, shape, dtype, Fortran order, bytes or list)."""


class Dtype(_Inert):
    """A NumPy dtype: its first argument is a code such as `i8`, the second part of its state is the byte order."""


class Scalar(_Inert):
    """A NumPy scalar: a dtype and its bytes."""


class FromBuffer(_Inert):
    """A NumPy array in protocol 5: bytes, dtype, shape, order."""


class _Remade(_Inert):
    """An object in protocols 0 and 1, whose first argument is the class."""

    def __new__(cls, *args: Any) -> Any:
        if args and args[0] is LabelEncoder:
            return LabelEncoder()
        raise ModelRefused(f"A pickle should rebuild nothing but encoders. Received: {args[:1]!r}.")


class _Latin1(_Inert):
    """Bytes in protocols 0 to 2, which write them as text to be encoded as Latin-1."""

    def __new__(cls, *args: Any) -> Any:
        text, encoding = args
        if not isinstance(text, str) or encoding != "latin1":
            raise ModelRefused(f"A pickle should hold bytes as Latin-1. Received: {encoding!r}.")
        return text.encode("latin-1")


class _Object(_Inert):
    """The base class `object`, which protocols 0 and 1 name but never instantiate."""


_ALLOWED: Mapping[tuple[str, str], Any] = {
    (module, name): kind
    for modules, kinds in (
        (("sklearn.preprocessing._label", "sklearn.preprocessing.label"), {"LabelEncoder": LabelEncoder}),
        (("numpy",), {"ndarray": Array, "dtype": Dtype}),
        (("numpy.core.multiarray", "numpy._core.multiarray"), {"_reconstruct": Array, "scalar": Scalar}),
        (("numpy.core.numeric", "numpy._core.numeric"), {"_frombuffer": FromBuffer}),
        (("_codecs",), {"encode": _Latin1}),
        (("copyreg", "copy_reg"), {"_reconstructor": _Remade}),
        (("builtins", "__builtin__"), {"object": _Object, "set": set, "frozenset": frozenset}),
        (("collections",), {"OrderedDict": dict}),
    )
    for module in modules
    for name, kind in kinds.items()
}


class _AllowListing(pickle._Unpickler):
    """Python's unpickler written in Python; the compiled one would allocate any size that a pickle claims."""

    def __init__(self, file: io.BytesIO, where: str, size: int) -> None:
        super().__init__(file)
        self._where = where
        self._size = size

    def find_class(self, module: str, name: str) -> Any:
        """Return the class that stands for an allowed name."""
        if (module, name) not in _ALLOWED:
            raise ModelRefused(
                f"{self._where} should hold nothing but LabelEncoder, arrays and plain containers. "
                f"Received: {module}.{name}. Nothing was run."
            )
        return _ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> Any:
        """Refuse objects outside the pickle."""
        raise ModelRefused(f"{self._where} should be complete in itself. Received: a reference to {pid!r}.")

    def get_extension(self, code: int) -> None:
        """Refuse names by number: Python caches them, so that a second use would bypass `find_class`."""
        raise ModelRefused(f"{self._where} should name its classes. Received: the extension code {code}.")

    def _load_bytearray8(self) -> None:
        size = int.from_bytes(self.read(8), "little")  # type: ignore[attr-defined]
        if size > self._size:
            raise ModelRefused(
                f"{self._where} should hold its arrays whole. Received: {self._size} bytes that claim {size}."
            )
        self.append(bytearray(self.read(size)))  # type: ignore[attr-defined]

    dispatch = {**pickle._Unpickler.dispatch, pickle.BYTEARRAY8[0]: _load_bytearray8}  # type: ignore[dict-item]
