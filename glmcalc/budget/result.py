"""What a budget is made of: named components that sum, the KV pool, and the verdict."""

from __future__ import annotations

from glmcalc.budget.kv import Pool
from glmcalc.facts.frozen import record
from glmcalc.facts.quantity import Band
from glmcalc.model.checkpoint import load_checkpoint, served_name
from glmcalc.model.deployment import Deployment
from glmcalc.model.resolved import Resolved

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@record
class Component:
    """One part of one GPU's memory.

    Attributes:
        name, label: for scripts, and for people.
        band: bytes, with the range.
        inside_utilization: whether it counts against ``gpu_memory_utilization``.
        basis: ``exact``, ``measured``, ``calibrated`` or ``estimated``.
        source: URL, or the formula's name.
        note: one phrase of what it is, or None.
    """

    name: str
    label: str
    band: Band
    inside_utilization: bool
    basis: str
    source: str
    note: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As in ``budget --json``."""
        return {
            "name": self.name,
            "label": self.label,
            "bytes": self.band.likely,
            "low_bytes": self.band.low,
            "high_bytes": self.band.high,
            "inside_utilization": self.inside_utilization,
            "basis": self.basis,
            "source": self.source,
            "note": self.note,
        }


@record
class Verdict:
    """Whether it fits, where it dies if not, and what to do.

    Attributes:
        status: ``fits``, ``marginal``, ``does_not_fit`` or ``unsupported``.
        stage: class of death, None where it fits.
        reason: one sentence with the numbers.
        advice: what to do: one flag, or one log line to look at.
        watch: what could still go wrong, or None.
        settle: for a marginal verdict, the log line that settles it.
        engine_message: what the engine will print, or None.
    """

    status: str
    stage: str | None
    reason: str
    advice: str
    watch: str | None = None
    settle: str | None = None
    engine_message: str | None = None


@record
class KvCache:
    """The KV cache of one GPU; bytes are per rank.

    Attributes:
        bytes_per_block: of the largest pipeline stage.
        available: the pool, of the stage with the fewest blocks.
        pool: the engine's planning at the likely figure; ``low`` and ``high`` at the ends of the band.
        bytes_per_token_low: set where the release leaves open which layers own an indexer cache.
    """

    record: str
    block_size: int
    bytes_per_block: int
    bytes_per_token: int | float
    bytes_per_token_low: int | float | None
    available: Band
    pool: Pool
    low: Pool
    high: Pool

    @property
    def needed_bytes(self) -> int:
        """Bytes that one request of ``max_model_len`` holds on the fullest rank."""
        return self.pool.blocks_per_request * self.bytes_per_block

    def to_dict(self) -> dict[str, Any]:
        """As in ``budget --json``."""
        data: dict[str, Any] = {
            "record": self.record,
            "bytes_per_token": self.bytes_per_token,
            "block_size": self.block_size,
            "bytes_per_block": self.bytes_per_block,
            "available_bytes": self.available.likely,
            "available_low_bytes": self.available.low,
            "available_high_bytes": self.available.high,
            "num_blocks": self.pool.num_blocks,
            "tokens": self.pool.tokens,
            "max_concurrency": self.pool.max_concurrency,
            "max_concurrency_low": self.low.max_concurrency,
            "max_concurrency_high": self.high.max_concurrency,
            "blocks_per_request": self.pool.blocks_per_request,
            "needed_bytes": self.needed_bytes,
            "estimated_max_model_len": self.pool.estimated_max_model_len,
            "fits": self.pool.fits,
        }
        if self.bytes_per_token_low is not None:
            data["bytes_per_token_low"] = self.bytes_per_token_low
        if self.pool.num_blocks is None:
            data["num_blocks_reason"] = "nothing is left for the cache"
        return data


@record
class Plan:
    """The whole answer for one deployment."""

    resolved: Resolved
    components: tuple[Component, ...]
    kv: KvCache
    memory: Band | None
    utilization_bytes: int | None
    verdict: Verdict

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
        """The normalised ``vllm serve`` command, with the settings that move memory written out."""
        return normalised(self.resolved).command()

    def to_dict(self) -> dict[str, Any]:
        """The answer as scripts read it (``glmcalc budget --json``)."""
        r = self.resolved
        memory = self.memory
        return {
            "deployment": deployment_dict(r),
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
                "status": self.verdict.status,
                "stage": self.verdict.stage,
                "reason": self.verdict.reason,
                "engine_message": self.verdict.engine_message,
                "advice": self.verdict.advice,
                "watch": self.verdict.watch,
                "settle": self.verdict.settle,
            },
            "command": self.command,
            "warnings": list(r.warnings),
            "not_modelled": [],
            "no_effect_on_memory": [],
        }


def normalised(resolved: Resolved) -> Deployment:
    """The deployment with defaults that move memory written out, for a command that means the same on any release.

    It names the checkpoint that is budgeted, which may be another than the one asked for: a ``quantization`` is a way to say it.
    """
    asked, checkpoint = resolved.asked, resolved.checkpoint
    stated = asked.quantization is not None and checkpoint == load_checkpoint(asked.model)
    return asked.changed(
        model=served_name(asked.model, checkpoint),
        quantization=asked.quantization if stated else None,
        tensor_parallel_size=resolved.tp,
        max_model_len="auto" if resolved.auto_fit else resolved.max_model_len,
        max_num_seqs=resolved.max_num_seqs,
        max_num_batched_tokens=resolved.max_num_batched_tokens,
        gpu_memory_utilization=resolved.gpu_memory_utilization,
        kv_cache_dtype=asked.kv_cache_dtype or FLAG_OF_RECORD[resolved.record],
    )


FLAG_OF_RECORD = {"bf16": "bfloat16", "fp8_ds_mla": "fp8_ds_mla", "fp8_e4m3": "fp8", "nvfp4_ds_mla": "nvfp4_ds_mla"}


def deployment_dict(resolved: Resolved) -> dict[str, Any]:
    """Every resolved setting under vLLM's name, defaults filled in."""
    r, asked = resolved, resolved.asked
    method = asked.speculative_method or ("mtp" if r.mtp else None)
    return {
        "engine": asked.engine,
        "engine_version": asked.engine_version,
        "model": r.checkpoint.name,
        "quantization": r.checkpoint.recipe.fmt,
        "gpu": r.device.id,
        "gpus": r.gpus,
        "tensor_parallel_size": r.tp,
        "pipeline_parallel_size": r.pp,
        "data_parallel_size": r.dp,
        "decode_context_parallel_size": r.dcp,
        "enable_expert_parallel": r.ep,
        "max_model_len": r.max_model_len,
        "max_model_len_auto": r.auto_fit,
        "max_num_seqs": r.max_num_seqs,
        "max_num_batched_tokens": r.max_num_batched_tokens,
        "enable_chunked_prefill": asked.enable_chunked_prefill is not False,
        "gpu_memory_utilization": r.gpu_memory_utilization,
        "kv_cache_dtype": asked.kv_cache_dtype or "auto",
        "block_size": r.block_size,
        "num_gpu_blocks_override": asked.num_gpu_blocks_override,
        "kv_cache_memory_bytes": asked.kv_cache_memory_bytes,
        "speculative_method": method,
        "num_speculative_tokens": r.num_speculative_tokens if method else None,
        "enforce_eager": asked.enforce_eager,
        "max_cudagraph_capture_size": asked.max_cudagraph_capture_size,
        "defaults_filled": list(r.filled),
    }
