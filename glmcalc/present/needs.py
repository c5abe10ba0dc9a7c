"""What a customer asks for, checked before anything is printed."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Mapping

from glmcalc.budget.other_result import OtherPlan
from glmcalc.budget.result import Plan
from glmcalc.facts.errors import InputError

NEEDS = ("concurrency", "input_length", "output_length", "min_tok_s_user")
_CUSTOMER = re.compile(r"(?!.*&#?\w+;)[^<>{}\\\x00-\x1f\"]{1,80}")  # an ampersand is a name's, an entity is markup
_FASTEST = 100_000  # tokens per second of one user


@dataclass(frozen=True)
class Needs:
    """What the customer asks for.

    Attributes:
        concurrency: requests at once.
        length: tokens of each, prompt and answer together.
        input_length, output_length: tokens of a prompt and of an answer, None where not stated.
        min_tok_s_user: least tokens per second of one user, None where not asked.
    """

    concurrency: int
    length: int
    input_length: int | None = None
    output_length: int | None = None
    min_tok_s_user: float | None = None


def check_customer(customer: object) -> str:
    """The name as it is printed.

    Raises:
        InputError: markup in it, or not 1 to 80 characters.
    """
    if not isinstance(customer, str) or not _CUSTOMER.fullmatch(customer.strip()):
        raise InputError("customer", customer, "plain text of 1 to 80 characters, without markup")
    return customer.strip()


def stated_length(needs: Mapping[str, Any]) -> int | None:
    """Tokens of one request as the needs state them; None where neither prompt nor answer is stated.

    Raises:
        InputError: a need that is no number, or out of range.
    """
    for name in ("concurrency", "input_length", "output_length"):
        value = needs.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 1 << 31):
            raise InputError(name, value, "a whole number of 1 or more")
    least = needs.get("min_tok_s_user")
    if least is not None and not _is_speed(least):
        raise InputError("min_tok_s_user", least, f"tokens per second of one user, above 0 and at most {_FASTEST:,}")
    return (needs.get("input_length") or 0) + (needs.get("output_length") or 0) or None


def read_needs(needs: Mapping[str, Any], made: Plan | OtherPlan) -> Needs | None:
    """The needs among a report's parameters; None where none is stated.

    Raises:
        InputError: as :func:`stated_length`, or requests longer than the deployment takes.
    """
    stated = stated_length(needs)
    if all(needs.get(name) is None for name in NEEDS):
        return None
    longest = longest_request(made)
    if (stated or 0) > longest:
        field = "input_length" if needs.get("input_length") is not None else "output_length"
        other = "output_length" if field == "input_length" else "input_length"
        raise InputError(
            field, stated, f"with {other} at most {longest:,} tokens, the longest request of the deployment"
        )
    least = needs.get("min_tok_s_user")
    return Needs(
        needs.get("concurrency") or 1,
        stated or longest,
        needs.get("input_length"),
        needs.get("output_length"),
        None if least is None else float(least),
    )


def longest_request(made: Plan | OtherPlan) -> int:
    """Tokens of the longest request that the deployment takes: max_model_len, SGLang's context_length, a slot of llama.cpp."""
    return made.kv.request if isinstance(made, OtherPlan) else made.resolved.max_model_len


def _is_speed(value: object) -> bool:
    number = not isinstance(value, bool) and isinstance(value, (int, float))
    return number and math.isfinite(value) and 0 < value <= _FASTEST  # type: ignore[arg-type, operator]
