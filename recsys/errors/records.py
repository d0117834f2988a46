"""The base of the frozen records that pass between modules.

A subclass is a dataclass (PEP 557) that inherits its methods. `@dataclass(frozen=True)` would generate and compile six
methods for each class, which takes 0.5 to 0.8 ms: for fifty classes, an eighth of the time of a one-shot process.
A record takes longer to make, so that the parts which an answer holds by the dozen, such as `recsys.contract.Item`, are
NamedTuples.
"""

from __future__ import annotations

from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field
from operator import attrgetter
from typing import Any, ClassVar, NoReturn, dataclass_transform


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class Record:
    """A frozen dataclass; `dataclasses.replace`, `fields` and `asdict` work as for any other.

    `class Point(Record):` stands for `@dataclass(frozen=True) class Point:`. The class keywords are `kw_only=True` and
    `eq=False`, by which a record equals itself only.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    __match_args__: ClassVar[tuple[str, ...]]
    _defaults: ClassVar[dict[str, Any]]
    _factories: ClassVar[dict[str, Any]]
    _compared: ClassVar[Any]
    _has_check: ClassVar[bool]

    def __init_subclass__(cls, *, eq: bool = True, kw_only: bool = False) -> None:
        dataclass(init=False, repr=False, eq=False, kw_only=kw_only)(cls)
        fields = cls.__dataclass_fields__.values()
        cls._defaults = {field.name: field.default for field in fields if field.default is not MISSING}
        cls._factories = {field.name: field.default_factory for field in fields if field.default_factory is not MISSING}
        cls._compared = attrgetter(*(field.name for field in fields if field.compare))
        cls._has_check = hasattr(cls, "__post_init__")
        if not eq:
            cls.__eq__, cls.__hash__ = object.__eq__, object.__hash__  # type: ignore[method-assign]

    def __init__(self, *values: Any, **named: Any) -> None:
        kind, n_values = type(self), len(values)
        state = dict(zip(kind.__match_args__, values, strict=False), **named) if values else named
        n_given, known = len(state), kind.__dataclass_fields__
        if n_given < len(known):
            state = {**kind._defaults, **state}
            for name, make in kind._factories.items():
                state.setdefault(name, make())
        if n_given < n_values + len(named) or state.keys() != known.keys():
            raise TypeError(
                f"{kind.__name__} should get each of {', '.join(known)} once, or its default. "
                f"Received: {n_values} by position, and by name {', '.join(named) or 'none'}."
            )
        self.__dict__.update(state)
        if kind._has_check:
            self.__post_init__()  # type: ignore[attr-defined] # defined by the subclass

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise FrozenInstanceError(f"`{name}` of a {type(self).__name__} cannot be set; use `dataclasses.replace`.")

    def __delattr__(self, name: str) -> NoReturn:
        raise FrozenInstanceError(f"`{name}` of a {type(self).__name__} cannot be deleted.")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return (self._compared(self),) == (self._compared(other),)  # a tuple takes a part for equal to itself, as NaN

    def __hash__(self) -> int:
        return hash(self._compared(self))

    def __repr__(self) -> str:
        shown = [field.name for field in self.__dataclass_fields__.values() if field.repr]
        return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"
