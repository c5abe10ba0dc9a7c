"""A customer's case: the deployment, its budget and speed under its engine's rules, and how many requests it holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from glmcalc.budget import kv as kvmath
from glmcalc.budget.engines import plan
from glmcalc.budget.other_result import OtherPlan
from glmcalc.budget.result import Plan
from glmcalc.commands import ParsedCommand
from glmcalc.facts.engines import known_engine
from glmcalc.facts.errors import InputError
from glmcalc.facts.quantity import ceil_div
from glmcalc.model.deployment import Deployment
from glmcalc.present.needs import Needs, check_customer, longest_request, read_needs, stated_length
from glmcalc.solve.answer import answer, deployment_from, describe
from glmcalc.speed.estimate import speed
from glmcalc.speed.price import Price
from glmcalc.speed.result import Speed

_PAGE = 64  # tokens of a page of SGLang's pool, with sparse attention
_CELLS = 256  # tokens that llama.cpp rounds a slot up to
_ENDS = ("low", "likely", "high")
SHOWN_WITHOUT_NEEDS = 32_768  # tokens of the one request whose speed is shown where no need is stated
NAMES = {"vllm": "vLLM", "sglang": "SGLang", "llama.cpp": "llama.cpp"}


@dataclass(frozen=True)
class Held:
    """Requests of one length that one group of GPUs holds at once.

    Attributes:
        request_bytes: KV of one request on each GPU; None where the cache is not on the GPU.
        times: requests at once at the pessimistic, likely and optimistic end, not rounded.
    """

    request_bytes: int | None
    times: tuple[float, float, float]


@dataclass(frozen=True)
class Case:
    """What a report is made of.

    Attributes:
        data: as ``glmcalc budget --json`` prints it.
        needs: None where none is stated.
        speed: at the needs' load, or at one request where there are none; None with ``speed_reason`` where it is refused.
        filled: what the needs decide where the deployment does not, sentences.
        prices: US$ an hour of one GPU by id, in place of the list's.
    """

    customer: str
    deployment: Deployment
    parsed: ParsedCommand | None
    plan: Plan | OtherPlan
    data: dict[str, Any]
    needs: Needs | None
    speed: Speed | None
    speed_reason: str | None
    filled: tuple[str, ...]
    prices: dict[str, Price] | None = None

    @property
    def engine(self) -> str:
        """``vllm``, ``sglang`` or ``llama.cpp``."""
        return str(self.data["deployment"]["engine"])

    @property
    def longest(self) -> int:
        """Tokens of the longest request that is taken."""
        return longest_request(self.plan)

    @property
    def groups(self) -> int:
        """Pools that serve requests apart: sizes of data parallelism."""
        return int(self.data["deployment"]["data_parallel_size"] or 1)

    @property
    def each(self) -> int:
        """Requests at once that the fullest group has to hold."""
        return ceil_div(self.needs.concurrency, self.groups) if self.needs else 1

    @property
    def admitted(self) -> int | None:
        """Requests that the deployment lets in at once, over all groups; None where it is not stated."""
        most = self.data["deployment"]["max_num_seqs"]
        return None if most is None else int(most) * self.groups

    def held(self, length: int) -> Held:
        """Requests of ``length`` tokens that one group holds."""
        return held(self.plan, length)


def read_case(
    customer: str,
    command: str | None,
    parameters: Mapping[str, Any],
    needs: Mapping[str, Any],
    prices: dict[str, Price] | None = None,
) -> Case:
    """Budget and speed of one customer's deployment and needs.

    Raises:
        InputError: as :func:`case_of` and :class:`Deployment`.
    """
    name = check_customer(customer)
    stated, parsed = deployment_from(command, dict(parameters))
    return case_of(name, stated, parsed, needs, prices)


def case_of(
    customer: str,
    stated: Deployment,
    parsed: ParsedCommand | None,
    needs: Mapping[str, Any],
    prices: dict[str, Price] | None = None,
) -> Case:
    """Budget and speed of one customer's deployment and needs.

    A length that only the needs state becomes the deployment's longest request; llama.cpp gets as many slots as requests at
    once are asked for.

    Raises:
        InputError: as :func:`check_customer`, :func:`read_needs` and :func:`glmcalc.plan`.
    """
    name = check_customer(customer)
    length = stated_length(needs)
    deployment, filled = _filled(stated, length, needs.get("concurrency"))
    made = plan(deployment)
    data = describe(made, parsed) if isinstance(made, Plan) else answer(deployment, parsed)
    wanted = read_needs(needs, made)
    found, reason = _speed(deployment, wanted, longest_request(made))
    return Case(name, deployment, parsed, made, data, wanted, found, reason, tuple(filled), prices)


def _filled(stated: Deployment, length: int | None, concurrency: int | None) -> tuple[Deployment, list[str]]:
    changes: dict[str, Any] = {}
    words: list[str] = []
    engine = known_engine(stated.engine)
    if engine != stated.engine:
        stated = stated.changed(engine=engine)
    if length is not None and all(
        value is None for value in (stated.max_model_len, stated.context_length, stated.ctx_size)
    ):
        changes["max_model_len"] = length
        words.append(f"max_model_len is not stated: {length:,} tokens are taken, the longest request of the needs.")
    if engine == "llama.cpp" and concurrency and stated.max_num_seqs is None and stated.parallel is None:
        changes["max_num_seqs"] = concurrency
        slots = "1 slot is" if concurrency == 1 else f"{concurrency} slots are"
        words.append(f"--parallel is not stated: {slots} taken, one for each request at once.")
        if stated.ctx_size is not None:  # it says all slots together, so it stays
            changes = {"parallel": concurrency}
    return (stated.changed(**changes) if changes else stated), words


def _speed(deployment: Deployment, needs: Needs | None, longest: int) -> tuple[Speed | None, str | None]:
    """The speed at the full length of the requests, or the engine's refusal."""
    try:
        if needs is None:
            return speed(deployment, min(longest, SHOWN_WITHOUT_NEEDS), 1), None
        return speed(deployment, needs.length, needs.concurrency, needs.input_length, needs.output_length), None
    except InputError as error:
        return None, error.message


def held(made: Plan | OtherPlan, length: int) -> Held:
    """Requests of ``length`` tokens that the pool of one group holds, by the engine's own rounding.

    vLLM counts whole blocks, SGLang tokens of whole pages, llama.cpp slots of whole cells beside weights and compute buffer.
    """
    if isinstance(made, Plan):
        blocks = kvmath.blocks_per_request(length, made.resolved.dcp, made.resolved.block_size)
        size = made.kv.bytes_per_block
        low, likely, high = (max(getattr(made.kv.available, end) // size, 0) / blocks for end in _ENDS)
        return Held(blocks * size, (low, likely, high))
    if made.deployment["engine"] == "sglang":
        tokens = ceil_div(length, _PAGE) * _PAGE
        low, likely, high = (max(count, 0) / tokens for count in made.kv.tokens)
        return Held(tokens * made.kv.bytes_per_token, (low, likely, high))
    cell = made.kv.more["needed_bytes_per_gpu"] / made.kv.more["cells"]
    request = round(ceil_div(length, _CELLS) * _CELLS * cell)
    if not request:
        slots = float(made.kv.more["slots"])
        return Held(None, (slots, slots, slots))
    low, likely, high = (max(getattr(made.kv.available, end), 0) / request for end in _ENDS)
    return Held(request, (low, likely, high))
