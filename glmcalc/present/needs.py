"""What a customer asks for, checked before anything is printed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Mapping

from glmcalc.budget.result import Plan
from glmcalc.facts.errors import InputError

NEEDS = ("concurrency", "input_length", "output_length", "min_tok_s_user")
_CUSTOMER = re.compile(r"(?!.*&#?\w+;)[^<>{}\\\x00-\x1f\"]{1,80}")  # an ampersand is a name's, an entity is markup


@dataclass(frozen=True)
class Needs:
    """What the customer asks for: requests at once, and tokens of each."""

    concurrency: int
    length: int


def check_customer(customer: object) -> str:
    """The name as it is printed.

    Raises:
        InputError: markup in it, or not 1 to 80 characters.
    """
    if not isinstance(customer, str) or not _CUSTOMER.fullmatch(customer.strip()):
        raise InputError("customer", customer, "plain text of 1 to 80 characters, without markup")
    return customer.strip()


def read_needs(needs: Mapping[str, Any], made: Plan) -> Needs | None:
    """The needs among a report's parameters; None where none is stated.

    Raises:
        InputError: not whole numbers, or longer than the deployment takes.
    """
    for name, value in needs.items():
        if (
            value is not None
            and name != "min_tok_s_user"
            and (isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 1 << 31)
        ):
            raise InputError(name, value, "a whole number of 1 or more")
    if needs["concurrency"] is None and needs["input_length"] is None and needs["output_length"] is None:
        return None
    stated = (needs["input_length"] or 0) + (needs["output_length"] or 0)
    length = stated or made.resolved.max_model_len
    if length > made.resolved.max_model_len:
        raise InputError(
            "input_length", stated, f"with output_length at most max_model_len ({made.resolved.max_model_len:,} tokens)"
        )
    return Needs(needs["concurrency"] or 1, length)
