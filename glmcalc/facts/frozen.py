"""Frozen records, cheap to define.

``dataclasses`` costs a third of the whole command's time before anything is computed: it imports ``inspect`` and compiles
several methods for each class. These do what is needed of it with ordinary methods; a type checker takes them for
dataclasses.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, TypeVar, dataclass_transform

    T = TypeVar("T")

    @dataclass_transform(frozen_default=True)
    def record(cls: type[T]) -> type[T]:
        """Declared for type checkers."""
        ...

else:

    def record(cls):
        """Make ``cls`` a frozen record of its annotated names: init, equality, hash and repr by fields.

        Defaults are class attributes; :class:`Fresh` ones are made anew. ``__post_init__`` runs where there is one.
        """
        names = tuple(cls.__annotations__)
        cls.__fields__ = names
        cls.__defaults__ = {name: cls.__dict__[name] for name in names if name in cls.__dict__}
        cls.__init__ = _init_of(cls)
        cls.__setattr__ = cls.__delattr__ = _refuse
        cls.__repr__, cls.__hash__ = _repr, _hash
        if "__eq__" not in cls.__dict__:
            cls.__eq__ = _eq
        return cls


class Fresh:
    """A default that is made anew for each record."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make


def fresh(make: Callable[[], T]) -> T:
    """``make()`` as the default of a field, one for each record."""
    return Fresh(make)  # type: ignore[return-value]


def _init_of(cls: Any) -> Callable[..., None]:
    """``__init__`` of a record: most are made of all their values in order, thousands of times in a search."""
    names, defaults = cls.__fields__, cls.__defaults__
    count, known = len(names), frozenset(names)
    checked = hasattr(cls, "__post_init__")
    plain = {name: value for name, value in defaults.items() if not isinstance(value, Fresh)}
    made = {name: value.make for name, value in defaults.items() if isinstance(value, Fresh)}

    def init(self: Any, *values: Any, **named: Any) -> None:
        store = self.__dict__
        if len(values) != count or named:
            if len(values) > count:
                raise TypeError(f"{cls.__name__} takes {count} values, {len(values)} were given")
            if not named.keys() <= known or not named.keys().isdisjoint(names[: len(values)]):
                wrong = [name for name in named if name not in names[len(values) :]]
                raise TypeError(f"{cls.__name__} has no {', '.join(wrong)}, or it was given twice")
            store.update(plain)
            store.update(named)
            for name, make in made.items():
                if name not in named and name not in names[: len(values)]:
                    store[name] = make()
        store.update(zip(names, values))
        if len(store) != count:
            missing = next(name for name in names if name not in store)
            raise TypeError(f"{cls.__name__} needs {missing}")
        if checked:
            self.__post_init__()

    return init


def _refuse(self: Any, name: str, *_: Any) -> None:
    raise AttributeError(f"{type(self).__name__} is frozen: {name} stays as it is")


def _values(self: Any) -> tuple[Any, ...]:
    return tuple(self.__dict__[name] for name in type(self).__fields__)


def _eq(self: Any, other: object) -> bool:
    return type(self) is type(other) and _values(self) == _values(other)


def _hash(self: Any) -> int:
    found = self.__dict__.get("__hash")
    if found is None:
        found = self.__dict__["__hash"] = hash(_values(self))  # a checkpoint has many parts, and is asked often
    return int(found)


def _repr(self: Any) -> str:
    shown = ", ".join(f"{name}={self.__dict__[name]!r}" for name in type(self).__fields__)
    return f"{type(self).__name__}({shown})"


def replace(one: T, **changes: Any) -> T:
    """The record with some fields changed."""
    return type(one)(**{**asdict(one), **changes})


def names_of(cls: type) -> tuple[str, ...]:
    """The fields of a record class, in order."""
    return tuple(cls.__fields__)  # type: ignore[attr-defined]


def asdict(one: Any) -> dict[str, Any]:
    """Fields and values of a record; what is inside them stays as it is."""
    return {name: one.__dict__[name] for name in names_of(type(one))}
