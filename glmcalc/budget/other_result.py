"""A budget of SGLang or llama.cpp: the same shape as vLLM's, with null where something does not exist there."""

from __future__ import annotations

from glmcalc.budget.other_commands import llamacpp_command, sglang_command
from glmcalc.budget.result import Component, Verdict
from glmcalc.facts.frozen import record
from glmcalc.facts.quantity import Band
from glmcalc.model.llamacpp_settings import LlamacppResolved
from glmcalc.model.sglang_settings import SglangResolved

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@record
class TokenPool:
    """The KV cache of one GPU as an engine without vLLM's blocks has it; bytes and tokens are per rank.

    Attributes:
        record: name of the record, or llama.cpp's type of the cache.
        bytes_per_token: of the target model over the layers of the fullest stage; ``_low`` where the release leaves it open.
        available: bytes for it. tokens: low, likely, high; None where nothing is left.
        request: tokens of one request of full length.
        more: what this engine has besides, for ``to_dict``.
    """

    record: str
    bytes_per_token: int
    bytes_per_token_low: int | None
    available: Band
    tokens: tuple[int, int, int]
    request: int
    more: dict[str, Any]

    @property
    def needed_bytes(self) -> int:
        """Bytes of one request of full length."""
        return self.request * self.bytes_per_token

    def to_dict(self) -> dict[str, Any]:
        """As in ``budget --json``: vLLM's keys, null where there is no such thing."""
        low, likely, high = (max(count, 0) / self.request for count in self.tokens)
        empty = self.tokens[1] <= 0
        data: dict[str, Any] = {
            "record": self.record,
            "bytes_per_token": self.bytes_per_token,
            "block_size": None,
            "bytes_per_block": None,
            "available_bytes": self.available.likely,
            "available_low_bytes": self.available.low,
            "available_high_bytes": self.available.high,
            "num_blocks": None,
            "tokens": None if empty else self.tokens[1],
            "max_concurrency": None if empty else likely,
            "max_concurrency_low": low,
            "max_concurrency_high": high,
            "blocks_per_request": None,
            "needed_bytes": self.needed_bytes,
            "estimated_max_model_len": None if empty else min(self.tokens[1], self.request),
            "fits": self.tokens[1] >= self.request,
            **self.more,
        }
        if self.bytes_per_token_low is not None:
            data["bytes_per_token_low"] = self.bytes_per_token_low
        data["num_blocks_reason"] = "this engine has no blocks"
        if empty:
            data["tokens_reason"] = "nothing is left for the cache"
        return data


@record
class OtherPlan:
    """The whole answer for one deployment of SGLang or llama.cpp; as :class:`glmcalc.budget.result.Plan` otherwise.

    Attributes:
        utilization_bytes: the static share of SGLang, the whole of a device's usable memory of llama.cpp.
        host: bytes beside the GPUs, of llama.cpp.
    """

    resolved: SglangResolved | LlamacppResolved
    components: tuple[Component, ...]
    kv: TokenPool
    memory: Band | None
    utilization_bytes: int | None
    verdict: Verdict
    deployment: dict[str, Any]
    host: dict[str, Any] | None = None

    def component(self, name: str) -> Component:
        """The component called ``name``.

        Raises:
            KeyError: no such component in this plan.
        """
        for component in self.components:
            if component.name == name:
                return component
        raise KeyError(name)

    @property
    def command(self) -> str:
        """The normalised command of the engine, with the settings that move memory written out; secrets are masked."""
        r = self.resolved
        return sglang_command(r) if isinstance(r, SglangResolved) else llamacpp_command(r)

    def to_dict(self) -> dict[str, Any]:
        """The answer as scripts read it (``glmcalc budget --json``)."""
        r, memory, verdict = self.resolved, self.memory, self.verdict
        data = {
            "deployment": self.deployment,
            "kv": self.kv.to_dict(),
            "per_gpu": {
                "memory_bytes": memory.likely if memory else None,
                "memory_low_bytes": memory.low if memory else None,
                "memory_high_bytes": memory.high if memory else None,
                "memory_basis": r.memory.basis if r.memory else None,
                "memory_note": r.memory.note if r.memory else None,
                "memory_source": r.memory.source if r.memory else "not known",
                "utilization_bytes": self.utilization_bytes,
                "components": [component.to_dict() for component in self.components],
            },
            "verdict": {
                "status": verdict.status, "stage": verdict.stage, "reason": verdict.reason,
                "engine_message": verdict.engine_message, "advice": verdict.advice, "watch": verdict.watch,
                "settle": verdict.settle,
            },
            "command": self.command,
            "warnings": list(r.warnings),
            "not_modelled": [],
            "no_effect_on_memory": [],
        }  # fmt: skip
        if self.host is not None:
            data["host"] = self.host
        return data
