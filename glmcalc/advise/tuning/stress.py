"""A stress plan: the worst shapes, forced in minutes, in place of waiting for them.

What ends a tuned server is a shape (batch mix, context, graph size), not time. Each shape comes with its sizes, computed from
the budget, the load generator's command, how often it must occur, and what that proves.
"""

from __future__ import annotations

import math
import shlex

from glmcalc.budget.result import Plan
from glmcalc.facts.frozen import record
from glmcalc.facts.gates import gate, rate_bound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


_SPREAD = 0.25  # lengths are drawn from this far below their middle to this far above it
_BLOCK = 64


@record
class Shape:
    """One worst shape.

    Attributes:
        prefix, prompt, output: tokens of each request; ``prompt`` and ``output`` are the middles of a range of ±25 %,
            ``prefix`` is the same for all.
        concurrency: requests at once; requests: how many in all.
        occurrences: how often the shape comes about in them; None where the server counts it.
        commands: to be run side by side where there are two; empty where the shape cannot be made.
        minutes: at the plan's assumed rates, or None.
        reason: why it cannot be made, or None.
    """

    name: str
    what: str
    checks: str
    prefix: int
    prompt: int
    output: int
    concurrency: int
    requests: int
    occurrences: int | None
    commands: tuple[str, ...]
    minutes: float | None
    reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As in ``stress.shapes`` of ``tune --json``."""
        return {
            "name": self.name, "what": self.what, "checks": self.checks, "prefix_tokens": self.prefix,
            "prompt_tokens": self.prompt, "output_tokens": self.output, "spread": _SPREAD, "concurrency": self.concurrency,
            "requests": self.requests, "occurrences": self.occurrences, "commands": list(self.commands),
            "minutes": self.minutes, "reason": self.reason,
            "rate_bound": rate_bound(self.occurrences) if self.occurrences else None,
        }  # fmt: skip


def stress_plan(made: Plan, url: str = "http://127.0.0.1:8000") -> dict[str, Any]:
    """The shapes for one deployment, and what passing them proves.

    Args:
        made: its budget; sizes follow ``max_model_len``, ``max_num_batched_tokens``, ``max_num_seqs`` and the pool.
        url: of the server under test.

    Returns:
        ``shapes`` (of :class:`Shape`), ``minutes`` in all, ``proves``, ``does_not_prove``, ``bounds``: 3/t for some t.
    """
    bench = _Bench(made, url)
    shapes = [
        bench.long_prefill(), bench.full_step(), bench.many_short(), bench.abort_storm(), bench.full_pool(),
    ]  # fmt: skip
    minutes = [shape.minutes for shape in shapes if shape.minutes is not None]
    n = round(gate("stress_occurrences"))
    return {
        "shapes": [shape.to_dict() for shape in shapes],
        "minutes": sum(minutes),
        "minutes_basis": (
            f"{gate('prefill_rate'):,.0f} tokens/s of prefill and {gate('decode_rate'):g} tokens/s and request of decode, for "
            "each replica: assumed, measure yours"
        ),
        "proves": (
            f"No failure in {n} occurrences of a shape bounds its failures below {rate_bound(n):.1%} of its occurrences "
            "(3/n, 95 %), on this machine, at this setting, release and driver."
        ),
        "does_not_prove": (
            "Shapes that are not in the plan; slow growth over days (watch the least free memory); faults of hardware; another "
            "release, driver, length or batch. Steps of one batch are alike: they are fewer trials than they are steps."
        ),
        "bounds": [{"hours": hours, "deaths_per_hour_below": rate_bound(hours)} for hours in (1, 24, 168, 2160)],
    }


class _Bench:
    """Sizes of one deployment, and the load generator's command for them."""

    def __init__(self, made: Plan, url: str) -> None:
        r = made.resolved
        self.length, self.tokens, self.seqs = (
            made.kv.pool.max_model_len or r.max_model_len,
            r.max_num_batched_tokens,
            r.max_num_seqs,
        )
        self.block = r.block_size * r.dcp
        self.pool = max(((made.kv.pool.num_blocks or 1) - 1) * self.block, 0)
        self.model, self.url, self.wanted = r.asked.model, url, round(gate("stress_occurrences"))

    def long_prefill(self) -> Shape:
        """The last chunk of a prompt of full length, beside as full a decode batch as the pool leaves room for."""
        output = 16
        suffix = odd(min(self.tokens, self.length // 4) / (1 + _SPREAD))
        prefix = odd(self.length - math.ceil((suffix + output) * (1 + _SPREAD)) - 8)
        room = self.pool - self.length - self.block
        short, beside_output = odd(128), odd(min(512, self.length // 8))
        beside = min(self.seqs - 1, room // self._each(short, beside_output))
        what = (
            f"{self.wanted} prompts of almost {self.length:,} tokens, one at a time; all but the first find their first "
            f"{prefix:,} tokens in the prefix cache, so that each computes only its last chunk, at full context"
        )
        if prefix <= 0 or self.pool < self.length or beside < 1:
            return self._cannot(
                "long_prefill",
                what,
                f"the pool holds {self.pool:,} tokens: no room for one request of {self.length:,} and a batch beside it",
            )
        commands = (
            self._command("long_prefill_batch", short, beside_output, beside, beside * 40, seed=11),
            self._command("long_prefill", suffix, output, 1, self.wanted, prefix=prefix, seed=12),
        )
        minutes = self._minutes(self.length + self.wanted * suffix, self.wanted * output, 1)
        text = f"{what}; beside them {beside} short requests decode (start that first, stop it at the end)"
        return Shape(
            "long_prefill",
            text,
            "indexer logits and workspaces at full context, with decode rows beside",
            prefix,
            suffix,
            output,
            1,
            self.wanted,
            self.wanted,
            commands,
            minutes,
        )

    def full_step(self) -> Shape:
        """Steps whose ``max_num_batched_tokens`` are filled by prefill and decode together."""
        prompt = odd(min(self.tokens * 1.4, self.length / 2))
        output = odd(min(96, self.length // 8))
        at_once = min(self.seqs, self.pool // self._each(prompt, output))
        what = f"prompts of about {prompt:,} tokens beside the decode of {max(at_once - 1, 0)} others: each fills at least one step of {self.tokens:,} tokens"
        if at_once < 2:
            return self._cannot(
                "full_step",
                what,
                f"the pool of {self.pool:,} tokens, or max_num_seqs, leaves no two such requests at once",
            )
        if prompt * (1 - _SPREAD) < self.tokens:
            what += " together with others (max_model_len is too short for one alone)"
        command = self._command("full_step", prompt, output, at_once, self.wanted, seed=21)
        minutes = self._minutes(self.wanted * prompt, self.wanted * output, at_once)
        return Shape(
            "full_step",
            what,
            "activations and kernels' scratch of a full mixed step",
            0,
            prompt,
            output,
            at_once,
            self.wanted,
            self.wanted,
            (command,),
            minutes,
        )

    def many_short(self) -> Shape:
        """``max_num_seqs`` requests decode at once."""
        prompt, output = odd(min(48, self.length // 8)), odd(min(400, self.length // 4))
        at_once = min(self.seqs, self.pool // self._each(prompt, output))
        what = f"{at_once:,} short requests at once" + (
            "" if at_once == self.seqs else f" (of max_num_seqs {self.seqs:,}: the pool holds no more)"
        )
        if at_once < 1:
            return self._cannot("many_short", what, "the pool holds no request")
        waves = max(3, math.ceil(self.wanted / (output * (1 - _SPREAD))))
        command = self._command("many_short", prompt, output, at_once, waves * at_once, seed=31)
        minutes = self._minutes(waves * at_once * prompt, waves * at_once * output, at_once)
        steps = waves * math.floor(output * (1 - _SPREAD))
        return Shape(
            "many_short",
            what,
            "the largest captured graph, the sampler and decode logits with all rows",
            0,
            prompt,
            output,
            at_once,
            waves * at_once,
            steps,
            (command,),
            minutes,
        )

    def abort_storm(self) -> Shape:
        """Clients that go away in the middle of their requests, running ones and queued ones."""
        rounds, seconds = 3, 60
        clients = math.ceil(self.wanted / rounds)
        prompt, output = odd(min(self.tokens, self.length / 4)), odd(min(2000, self.length / 4))
        at_once = min(self.seqs, clients, self.pool // self._each(prompt, output))
        one = self._command("abort_storm", prompt, output, clients, clients, seed=None)
        command = f"for i in $(seq 1 {rounds}); do timeout -s KILL {seconds} {one} --seed $i; done"
        what = f"{rounds} times {clients} requests, about {at_once} of them running, whose client is killed after {seconds} s; only the load generator is killed"
        checks = 'freeing in the middle of a step; vllm:request_success_total{finished_reason="abort"} must rise'
        return Shape(
            "abort_storm",
            what,
            checks,
            0,
            prompt,
            output,
            clients,
            rounds * clients,
            rounds * clients,
            (command,),
            rounds * seconds / 60,
        )

    def full_pool(self) -> Shape:
        """More tokens at once than the pool holds, so that it preempts. Last, because the tuner never goes up after it."""
        at_once = min(self.seqs, max(round(self.pool * 1.5 / (self.length / 4)), 2))
        total = min(1.5 * self.pool / at_once, (self.length - 16) / (1 + _SPREAD))
        output = odd(min(total * 0.3, 4000))
        prompt = odd(total - output)
        what = f"{at_once} requests of about {prompt + output:,} tokens at once, {at_once * (prompt + output):,} in a pool of {self.pool:,}"
        if at_once * (prompt + output) < 1.05 * self.pool or self.pool < self.length:
            return self._cannot(
                "full_pool", what, "max_num_seqs requests of max_model_len do not fill the pool: it cannot preempt"
            )
        command = self._command("full_pool", prompt, output, at_once, 2 * at_once, seed=51)
        checks = (
            f"preemption and recompute at 100 % use. Occurrences are counted by vllm:num_preemptions_total: again until it has risen by {self.wanted}. "
            "Take the tuner's scrape before it: nothing goes up after a preemption (--cause opens a new window)"
        )  # fmt: skip
        minutes = self._minutes(2 * at_once * prompt, 2 * at_once * output, max(at_once * 2 // 3, 1))
        return Shape("full_pool", what, checks, 0, prompt, output, at_once, 2 * at_once, None, (command,), minutes)

    def _each(self, prompt: int, output: int) -> int:
        """Tokens of whole blocks that the longest such request holds."""
        return blocks_up((prompt + output) * (1 + _SPREAD), self.block)

    def _cannot(self, name: str, what: str, reason: str) -> Shape:
        return Shape(name, what, "", 0, 0, 0, 0, 0, 0, (), None, reason)

    def _minutes(self, prefill: float, decode: float, at_once: int) -> float:
        return (prefill / gate("prefill_rate") + decode / (gate("decode_rate") * at_once)) / 60

    def _command(
        self, label: str, prompt: int, output: int, at_once: int, requests: int, prefix: int = 0, seed: int | None = 0
    ) -> str:
        words = [
            "vllm", "bench", "serve", "--backend", "vllm", "--base-url", self.url, "--endpoint", "/v1/completions",
            "--model", self.model, "--dataset-name", "random", "--random-input-len", prompt, "--random-output-len", output,
            "--random-range-ratio", _SPREAD, *(["--random-prefix-len", prefix] if prefix else []),
            "--ignore-eos", "--max-concurrency", at_once, "--num-prompts", requests,
            "--save-result", "--result-filename", f"stress_{label}.json", *(["--seed", seed] if seed is not None else []),
        ]  # fmt: skip
        return shlex.join(str(word) for word in words)


def odd(value: float) -> int:
    """``value`` as a whole number of tokens, at least 1, that is no multiple of 64.

    >>> odd(8192), odd(100.7)
    (8189, 100)
    """
    size = max(math.floor(value), 1)
    return size if size % _BLOCK else size - 3


def blocks_up(tokens: float, block: int) -> int:
    """``tokens`` rounded up to whole blocks of ``block`` tokens."""
    return math.ceil(tokens / block) * block
