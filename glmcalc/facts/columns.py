"""Arithmetic that serves one number and a column of numbers (a NumPy array) alike, so that a formula is written once.

On numbers these are Python's own functions. NumPy is imported only where a column is given, which the caller made with it.
Both take the same steps in the same order, in whole numbers or in 64-bit floats, so that both give the same bytes.
"""

from __future__ import annotations

import math

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, overload

    @overload
    def larger(one: int, other: int) -> int: ...
    @overload
    def larger(one: float, other: float) -> float: ...
    def larger(one: Any, other: Any) -> Any:
        """Declared for type checkers."""
        ...

    @overload
    def smaller(one: int, other: int) -> int: ...
    @overload
    def smaller(one: float, other: float) -> float: ...
    def smaller(one: Any, other: Any) -> Any:
        """Declared for type checkers."""
        ...

    @overload
    def either(which: bool, one: int, other: int) -> int: ...
    @overload
    def either(which: bool, one: float, other: float) -> float: ...
    def either(which: Any, one: Any, other: Any) -> Any:
        """Declared for type checkers."""
        ...

    def cut(value: float) -> int:
        """Declared for type checkers."""
        ...

    def rounded(value: float) -> int:
        """Declared for type checkers."""
        ...

    def raised(value: float) -> int:
        """Declared for type checkers."""
        ...

    def root(value: float) -> float:
        """Declared for type checkers."""
        ...

    def every(which: Any) -> bool:
        """Declared for type checkers."""
        ...

    def negated(which: bool) -> bool:
        """Declared for type checkers."""
        ...

else:
    _PLAIN = frozenset((int, float, bool))

    def larger(one, other):
        """The larger of two."""
        if one.__class__ in _PLAIN and other.__class__ in _PLAIN:
            return one if one >= other else other
        from numpy import maximum

        return maximum(one, other)

    def smaller(one, other):
        """The smaller of two."""
        if one.__class__ in _PLAIN and other.__class__ in _PLAIN:
            return one if one <= other else other
        from numpy import minimum

        return minimum(one, other)

    def either(which, one, other):
        """``one`` where ``which`` holds, else ``other``."""
        if which.__class__ is bool:
            return one if which else other
        from numpy import where

        return where(which, one, other)

    def cut(value):
        """Without what is behind the point, towards 0, as ``int`` does."""
        return int(value) if value.__class__ in _PLAIN else value.astype("int64")

    def rounded(value):
        """To the nearest whole number, a half to the even one, as ``round`` does."""
        if value.__class__ in _PLAIN:
            return round(value)
        return value.round().astype("int64") if value.dtype.kind == "f" else value

    def raised(value):
        """To the next whole number above."""
        if value.__class__ in _PLAIN:
            return math.ceil(value)
        from numpy import ceil

        return ceil(value).astype("int64")

    def root(value):
        """Square root, rounded as the hardware does."""
        if value.__class__ in _PLAIN:
            return math.sqrt(value)
        from numpy import sqrt

        return sqrt(value)

    def every(which):
        """Whether a comparison holds for all."""
        return which if which.__class__ is bool else bool(which.all())

    def negated(which):
        """Where a comparison does not hold."""
        return not which if which.__class__ is bool else ~which
