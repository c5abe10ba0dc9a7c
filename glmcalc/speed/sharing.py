"""What sharing an indexer over layers is worth: bytes stored and read, FLOPs and time of one token, against the alternatives.

Two counts of indexers must be kept apart: those that *run* (21 of GLM-5.2's 78 layers, by its ``config.json``) and those
for which the engine *allocates* a cache (21 or 78, by engine and release). The first decides FLOPs and time, the second bytes.
Bytes are of one GPU: tensor parallelism repeats the latent and the indexer's cache on every GPU, and divides the heads of
grouped-query and multi-head attention.
"""

from __future__ import annotations

from glmcalc.budget.kv import indexer_record_bytes, mla_record_bytes
from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import record
from glmcalc.facts.hardware import Device, device
from glmcalc.model.checkpoint import Checkpoint, load_checkpoint
from glmcalc.speed import decode, flops, kernels
from glmcalc.speed.presets import Preset, preset
from glmcalc.speed.traffic import traffic_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# The stacks fitted on measured steps of GLM-5.2 itself, whose floors have its sharing in them.
FLOORS = {
    "sm90": "sglang_summer_2026_hopper",
    "sm100": "sglang_summer_2026_blackwell",
    "sm103": "sglang_summer_2026_blackwell",
}
GQA_HEADS = 8
MEASURED_FAMILY = "glm_moe_dsa"  # whose attention, 64 heads, the kernel tables are of


@record
class Case:
    """A model on ranks that share one copy of it.

    Attributes:
        latent: bytes of one token in one layer's MLA cache; ``index``: in one indexer's cache.
        ranks: tensor-parallel GPUs.
    """

    checkpoint: Checkpoint
    chip: Device
    kv_record: str
    latent: int
    index: int
    ranks: int

    @property
    def layers(self) -> int:
        """Main layers of the model (78)."""
        return self.checkpoint.geometry.num_hidden_layers

    @property
    def indexers(self) -> int:
        """Main layers that run an indexer (21)."""
        return len(self.checkpoint.geometry.indexer_layers)


def case(model: str, gpu: str, kv_record: str, ranks: int = 8) -> Case:
    """A model with sparse attention on ``ranks`` GPUs, its cache in a record that vLLM or SGLang stores.

    Raises:
        InputError: an unknown model, GPU or record, or a model without an indexer.

    >>> made = case("zai-org/GLM-5.2-FP8", "h200_sxm", "fp8_ds_mla")
    >>> made.latent, made.index, made.indexers, made.layers
    (656, 132, 21, 78)
    """
    checkpoint = load_checkpoint(model)
    g = checkpoint.geometry
    if not g.sparse:
        raise InputError(
            "model", model, "a model with sparse attention (GLM-5.x, DeepSeek-V3.2): this one has no indexer"
        )
    try:
        latent = mla_record_bytes(kv_record, g.kv_lora_rank, g.qk_rope_head_dim)
    except KeyError:
        raise InputError("kv_record", kv_record, "one of bf16, fp8_ds_mla, fp8_e4m3, nvfp4_ds_mla") from None
    return Case(checkpoint, device(gpu), kv_record, latent, indexer_record_bytes(g.index_head_dim), ranks)


def stored_bytes(c: Case, caches: Any) -> Any:
    """Bytes that one token leaves on every GPU, main layers: a latent in each, a key in ``caches`` indexer caches.

    >>> made = case("zai-org/GLM-5.2-FP8", "h200_sxm", "fp8_ds_mla")
    >>> stored_bytes(made, 21), stored_bytes(made, 78)
    (53940, 61464)
    """
    return c.layers * c.latent + caches * c.index


def read_bytes(c: Case, indexers: Any, context: Any, requests: Any = 1) -> Any:
    """Bytes of the cache that one decode step reads on every GPU: every key of each indexer that runs, the chosen latents.

    >>> made = case("zai-org/GLM-5.2-FP8", "h200_sxm", "fp8_ds_mla")
    >>> read_bytes(made, 21, 2048) == 2048 * stored_bytes(made, 21)  # nothing is left out yet
    True
    """
    positions = flops.attended(context, c.checkpoint.geometry.index_topk)
    core = decode.attended_kv_bytes(c.layers, requests, positions, c.latent)
    return core + requests * indexers * c.index * context


def dense_bytes(c: Case, kv_heads: int = GQA_HEADS, element_bytes: int = 2) -> int:
    """Bytes that one token would leave on every GPU with ``kv_heads`` heads of keys and values in place of the latent.

    The whole of :func:`glmcalc.speed.flops.gqa_bytes_per_token` over as many GPUs as there are heads for.
    """
    return flops.gqa_bytes_per_token(c.checkpoint.geometry, kv_heads, element_bytes) // min(c.ranks, kv_heads)


def dense_flops(c: Case, context: Any) -> Any:
    """FLOPs of one token with dense attention in place of the sparse one; the same for grouped-query and multi-head."""
    work = flops.work_of(c.checkpoint)
    return flops.weight_flops(work.active) + flops.gqa_core_flops(c.checkpoint.geometry, context)


def dense_read_s(c: Case, context: Any, requests: Any = 1, kv_heads: int = GQA_HEADS) -> Any:
    """Seconds to read that cache once at the data sheet's bandwidth, the least that a step takes; None where it is not known."""
    rate = bandwidth(c)
    return None if rate is None else requests * dense_bytes(c, kv_heads) * context / rate


def attention_s(c: Case, indexers: int, context: float, requests: int = 1) -> float | None:
    """Seconds of all layers' attention in one decode step; None for a device or a family whose kernels were not measured.

    One request as the kernel tables have it. Each further request: its scan by the tables' slope over the batch, and its
    chosen latents at the data sheet's bandwidth, the least that they take.
    """
    more = further_request_s(c, indexers, context)
    if more is None:
        return None
    first = kernels.attention_step_s(c.chip.id, context, c.layers, indexers)
    return None if first is None else first + float(more) * (requests - 1)


def further_request_s(c: Case, indexers: Any, context: Any) -> Any:
    """Seconds that one more request of ``context`` tokens adds to the attention of a step; None as for one request."""
    rate, g = bandwidth(c), c.checkpoint.geometry
    if rate is None or g.model_type != MEASURED_FAMILY or kernels.shared_layer_s(c.chip.id) is None:
        return None
    scan = decode.indexer_scan_s(indexers, context, 2, rate) - decode.indexer_scan_s(indexers, context, 1, rate)
    return scan + decode.attended_kv_bytes(c.layers, 1, flops.attended(context, g.index_topk), c.latent) / rate


def bandwidth(c: Case) -> float | None:
    """Bytes per second of one GPU by its data sheet; None where it is not known."""
    return None if c.chip.bandwidth_gb_s is None else c.chip.bandwidth_gb_s * 1e9


def floor_of(c: Case) -> Preset | None:
    """The measured stack of GLM-5.2 nearest to this device; None where there is none."""
    name = FLOORS.get(c.chip.architecture or "")
    return preset(name) if name else None


def step_s(c: Case, context: float, requests: int = 1, floor: str = "mid") -> tuple[float, float] | None:
    """Seconds of a whole decode step, with sharing and without it; None where floor or kernels were not measured.

    With sharing: the stack's floor, its slope times the byte roofline, the scan (:func:`glmcalc.speed.decode.step_s`,
    without link and products). Without: what the measured kernels of the other layers, run in full, add.

    Args:
        floor: ``low``, ``mid`` or ``high`` end of the floor's 90 % interval.
    """
    stack = floor_of(c)
    ours, every = (attention_s(c, count, context, requests) for count in (c.indexers, c.layers))
    rate = bandwidth(c)
    if stack is None or ours is None or every is None or rate is None:
        return None
    t, g = traffic_of(c.checkpoint), c.checkpoint.geometry
    touched = decode.experts_touched(requests, g.n_routed_experts, g.num_experts_per_tok)
    positions = flops.attended(context, g.index_topk)
    kv = decode.attended_kv_bytes(c.layers, requests, positions, c.latent)
    size = decode.decode_bytes(t.routed, touched, t.sharded, t.replicated, kv, c.ranks, c.ranks)
    scan = decode.indexer_scan_s(c.indexers, context, requests, rate)
    start = getattr(stack.floor_ms, floor) / 1e3
    shared = decode.step_s(start, 0.0, 0, stack.slope.mid, size / rate, stack.scan_factor.mid, scan, 0.0)
    return float(shared), float(shared) + every - ours
