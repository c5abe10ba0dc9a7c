"""The printed rows add up, whatever the bytes are."""

from __future__ import annotations

import copy
from decimal import ROUND_HALF_UP, Decimal
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from glmcalc.present.ledger import cents, gib_text, ledger

GIB = 1 << 30


@given(st.integers(0, 1 << 45))
def test_cents_rounds_half_up_in_exact_arithmetic(value: int) -> None:
    exact = (Decimal(value) * 100 / GIB).quantize(Decimal(1), ROUND_HALF_UP)
    assert cents(value) == int(exact)
    assert cents(-value) == -int(exact)


@given(st.lists(st.integers(0, 200 * GIB), min_size=12, max_size=12))
def test_rows_add_up_to_the_printed_sum_of_their_bytes(plans: SimpleNamespace, sizes: list[int]) -> None:
    plan = copy.deepcopy(plans.fits())
    for part, size in zip(plan["per_gpu"]["components"], sizes):
        part.update(bytes=size, low_bytes=size, high_bytes=size)
    book = ledger(plan)
    inside = sum(part["bytes"] for part in plan["per_gpu"]["components"] if part["inside_utilization"])
    assert sum(row.cents for row in book.inside) == cents(inside)
    assert book.line is not None
    assert book.used + book.unused == book.line
    assert book.free is not None
    assert book.line + book.free + sum(row.cents for row in book.outside) == book.total


def test_rounding_goes_to_the_widest_range_and_never_to_the_pool(plans: SimpleNamespace) -> None:
    plan = plans.fits()
    third = GIB // 3  # 0.333: three of them print as 0.99, their sum as 1.00
    for part in plan["per_gpu"]["components"]:
        part.update(bytes=0, low_bytes=0, high_bytes=0)
    for part in plan["per_gpu"]["components"][:3]:
        part["bytes"] = third
    plan["per_gpu"]["components"][1].update(low_bytes=0, high_bytes=GIB)
    assert [row.cents for row in ledger(plan).inside[:3]] == [33, 34, 33]


def test_figures_are_those_of_the_worked_example(plans: SimpleNamespace) -> None:
    book = ledger(plans.fits())
    assert [gib_text(row.cents) for row in book.inside] == [
        "88.46", "1.32", "0.40", "1.90", "1.12", "0.70", "0.55", "5.67", "25.70",
    ]  # fmt: skip
    assert gib_text(book.line or 0) == "125.82"
    assert gib_text(book.free or 0) == "12.39"


def test_a_collision_beyond_the_line_is_negative(plans: SimpleNamespace) -> None:
    book = ledger(plans.set_gib(plans.fits(), context_nccl=20.0))
    assert book.free is not None
    assert book.free < 0
    assert gib_text(book.free).startswith("−")
