"""Records behave as frozen dataclasses do, however they are made; a table's one row is that of the whole table."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmcalc.facts.frozen import asdict, fresh, record, replace
from glmcalc.facts.hardware import device, devices
from glmcalc.facts.store import csv_row, load_csv


@record
class Ours:
    a: int
    b: int = 2
    c: list = fresh(list)

    def __post_init__(self) -> None:
        if self.a < 0:
            raise ValueError("a")


@dataclass(frozen=True)
class Theirs:
    a: int
    b: int = 2
    c: list = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.a < 0:
            raise ValueError("a")


@given(
    st.lists(st.integers(-2, 3), max_size=4),
    st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), st.integers(-2, 3), max_size=4),
)
def test_made_as_a_dataclass_is(values, named):
    try:
        theirs = Theirs(*values, **named)
    except (TypeError, ValueError) as error:
        with pytest.raises(type(error)):
            Ours(*values, **named)
        return
    ours = Ours(*values, **named)
    assert (ours.a, ours.b, ours.c) == (theirs.a, theirs.b, theirs.c)
    assert ours == Ours(*values, **named)
    assert list(asdict(ours)) == ["a", "b", "c"]


def test_defaults_are_made_anew_and_records_stay():
    one, two = Ours(1), Ours(1)
    assert one.c is not two.c
    with pytest.raises(AttributeError):
        one.a = 5
    assert replace(one, b=7).b == 7
    assert one.b == 2


def test_one_row_is_that_of_the_table():
    for row in load_csv("hardware.csv"):
        assert csv_row("hardware.csv", row["id"]) == row
    for chip in devices():
        assert device(chip.id) == chip
    for name in ("", "h200", "h200_sxm,", 'h"', "id\n"):
        assert csv_row("hardware.csv", name) is None
