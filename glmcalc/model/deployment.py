"""One deployment as the user states it: vLLM's flags under their own names, None for the engine's default."""

from __future__ import annotations

import json
import math

from glmcalc.facts.engines import NEWEST
from glmcalc.facts.errors import InputError
from glmcalc.facts.frozen import names_of, record, replace
from glmcalc.facts.store import nearest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Mapping, Sequence

    from glmcalc.model.calibration import Calibration


DEFAULT_MODEL = "zai-org/GLM-5.2-FP8"
MTP_METHODS = ("mtp", "deepseek_mtp", "glm_mtp", "glm4_moe_mtp", "glm_moe_dsa_mtp")
AUTO_LENGTHS = ("auto", -1)
OFF_UNLESS_STATED = ("enable_expert_parallel", "enforce_eager")
MIB_LIMIT = 1 << 50


@record
class Deployment:
    """What is asked for. Names, units and meanings are those of vLLM's flags.

    Attributes:
        gpu: id in ``data/hardware.csv``; gpus: how many in all (None: what the parallel sizes need).
        max_model_len: tokens, or ``"auto"`` / -1 for the engine's auto-fit.
        enable_chunked_prefill: None for the engine's default, which is on for these models.
        kv_cache_memory_bytes, available_kv_bytes, weights_bytes: bytes per GPU; the last two are as a log printed them.
        gpu_memory_bytes: memory of one GPU as a log printed it, for parts that are sold in several sizes.
        kept, speculative_extra: words of a pasted command, and JSON of its speculation, that no setting holds; they go
            into :meth:`command` as they are.
        heavy: flags of a pasted command that can move GiB and are not modelled.
        calibration: what a start-up log of this machine measured; stands in for estimates where it was measured at the same
            model, GPU and parallel sizes.
        estimate_cudagraphs: ``VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS``; None: the release's default.
        mem_fraction_static and what follows: settings of SGLang and llama.cpp (``model/other_fields.py``), under their flags'
            names; another engine's are refused where the deployment is budgeted.

    Raises:
        InputError: a value of the wrong type, or outside what any engine takes.
    """

    model: str = DEFAULT_MODEL
    gpu: str | None = None
    gpus: int | None = None
    quantization: str | None = None
    engine: str = "vllm"
    engine_version: str = NEWEST
    tensor_parallel_size: int | None = None
    pipeline_parallel_size: int | None = None
    data_parallel_size: int | None = None
    decode_context_parallel_size: int | None = None
    prefill_context_parallel_size: int | None = None
    enable_expert_parallel: bool = False
    max_model_len: int | str | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    enable_chunked_prefill: bool | None = None
    gpu_memory_utilization: float | None = None
    kv_cache_dtype: str | None = None
    block_size: int | None = None
    num_gpu_blocks_override: int | None = None
    kv_cache_memory_bytes: int | None = None
    speculative_method: str | None = None
    num_speculative_tokens: int | None = None
    enforce_eager: bool = False
    max_cudagraph_capture_size: int | None = None
    estimate_cudagraphs: bool | None = None
    available_kv_bytes: int | None = None
    weights_bytes: int | None = None
    gpu_memory_bytes: int | None = None
    kept: tuple[str, ...] = ()
    heavy: tuple[str, ...] = ()
    speculative_extra: str | None = None
    calibration: Calibration | None = None
    # SGLang's own
    mem_fraction_static: float | None = None
    context_length: int | None = None
    chunked_prefill_size: int | None = None
    max_running_requests: int | None = None
    max_total_tokens: int | None = None
    expert_parallel_size: int | None = None
    cuda_graph_max_bs: int | None = None
    enable_dp_attention: bool | None = None
    disable_cuda_graph: bool | None = None
    hierarchical_cache: bool | None = None
    # llama.cpp's own
    ctx_size: int | None = None
    n_gpu_layers: int | None = None
    cache_type_k: str | None = None
    cache_type_v: str | None = None
    ubatch_size: int | None = None
    parallel: int | None = None
    flash_attention: bool | None = None
    n_cpu_moe: int | None = None
    cpu_moe: bool | None = None
    override_tensor: tuple[str, ...] = ()
    kv_on_cpu: bool | None = None
    kv_unified: bool | None = None

    def __post_init__(self) -> None:
        for name, (low, high) in _WHOLE.items():
            value = getattr(self, name)
            if value is not None:
                _check_whole(name, value, low, high)
        for name in (*OFF_UNLESS_STATED, "enable_chunked_prefill"):
            value = getattr(self, name)
            if not isinstance(value, bool) and (value is not None or name in OFF_UNLESS_STATED):
                raise InputError(name, value, "true or false")
        for name in (
            "model",
            "gpu",
            "quantization",
            "engine",
            "engine_version",
            "kv_cache_dtype",
            "speculative_method",
        ):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, str) or not 0 < len(value) <= 4096):
                raise InputError(name, value, "text of 1 to 4,096 characters")
        if self.calibration is not None and type(self.calibration).__name__ != "Calibration":
            raise InputError("calibration", self.calibration, "a file written by glmcalc calibrate --out")
        _check_length(self.max_model_len)
        _check_utilization(self.gpu_memory_utilization)
        if self.engine != "vllm" or any(self.__dict__[name] not in (None, ()) for name in OTHERS_OWN):
            from glmcalc.model.other_fields import check_other_fields, refuse_foreign

            check_other_fields(self)
            if self.engine == "vllm":
                refuse_foreign(self, "vllm")

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], **overrides: Any) -> Deployment:
        """From flag names and values, as ``parse`` returns them or a file holds them; ``overrides`` win.

        Raises:
            InputError: a name that is no setting here (the nearest one is offered), or a value that is refused.
        """
        known = names_of(cls)
        merged = {**settings, **{name: value for name, value in overrides.items() if value is not None}}
        for name in merged:
            if name not in known:
                close = nearest(name, known)
                raise InputError(name, merged[name], "a known setting" + (f" (did you mean {close}?)" if close else ""))
        return cls(**{name: value for name, value in merged.items() if value is not None})

    @classmethod
    def from_command(cls, text: str, **overrides: Any) -> Deployment:
        """From a pasted ``vllm serve`` command, docker line, compose or Kubernetes fragment; ``overrides`` win.

        Raises:
            InputError: text that is no such command, names no model, leaves a needed setting open, or holds unknown flags.
        """
        from glmcalc.model.pasted import settings_from_text

        return cls.from_settings(settings_from_text(text), **overrides)

    def changed(self, **changes: Any) -> Deployment:
        """The same with some settings changed; None brings the engine's default back."""
        return replace(self, **changes)

    @property
    def mtp(self) -> bool:
        """Whether speculative decoding with the model's own MTP layer is asked for."""
        return self.speculative_method in MTP_METHODS

    def command(self) -> str:
        """The ``vllm serve`` command on one line, with the flags that are set, in a fixed order; secrets are masked.

        Raises:
            InputError: another engine's deployment, whose command its budget writes (``OtherPlan.command``).
        """
        from glmcalc.commands.write import format_serve

        if self.engine != "vllm":
            raise InputError("engine", self.engine, "vllm: another engine's command is that of its budget")
        kept: Sequence[str] = self.kept
        if kept:
            from glmcalc.facts.secrets import mask_words

            kept = mask_words(kept)
        flags = {
            name: value
            for name in COMMAND_FLAGS
            if (value := getattr(self, name)) is not None and (value is not False or name not in OFF_UNLESS_STATED)
        }
        if self.max_cudagraph_capture_size is not None:
            from glmcalc.commands.graphs import with_largest

            kept = with_largest(kept, self.max_cudagraph_capture_size)
            if self.max_cudagraph_capture_size == 0:
                del flags["max_cudagraph_capture_size"]  # said as cudagraph_mode
        json_settings: dict[str, Any] = {}
        if self.speculative_method is not None or self.num_speculative_tokens is not None:
            speculation = {
                "method": self.speculative_method,
                "num_speculative_tokens": self.num_speculative_tokens,
                **json.loads(self.speculative_extra or "{}"),
            }
            json_settings["speculative_config"] = {
                key: value for key, value in speculation.items() if value is not None
            }
        return format_serve(self.model, flags, json_settings, kept)


COMMAND_FLAGS = (
    "quantization", "tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size",
    "decode_context_parallel_size", "prefill_context_parallel_size", "enable_expert_parallel", "kv_cache_dtype",
    "max_model_len", "max_num_seqs", "max_num_batched_tokens", "enable_chunked_prefill", "gpu_memory_utilization", "block_size",
    "num_gpu_blocks_override", "kv_cache_memory_bytes", "enforce_eager", "max_cudagraph_capture_size",
)  # fmt: skip

OTHERS_OWN = (
    "mem_fraction_static", "context_length", "chunked_prefill_size", "max_running_requests", "max_total_tokens",
    "expert_parallel_size", "cuda_graph_max_bs", "enable_dp_attention", "disable_cuda_graph", "hierarchical_cache",
    "ctx_size", "n_gpu_layers", "cache_type_k", "cache_type_v", "ubatch_size", "parallel", "flash_attention", "n_cpu_moe",
    "cpu_moe", "override_tensor", "kv_on_cpu", "kv_unified",
)  # fmt: skip

_WHOLE: dict[str, tuple[int, int]] = {
    "gpus": (1, 4096),
    "tensor_parallel_size": (1, 1024),
    "pipeline_parallel_size": (1, 1024),
    "data_parallel_size": (1, 4096),
    "decode_context_parallel_size": (1, 1024),
    "prefill_context_parallel_size": (1, 1024),
    "max_num_seqs": (1, 1 << 20),
    "max_num_batched_tokens": (1, 1 << 24),
    "block_size": (1, 1 << 16),
    "num_gpu_blocks_override": (1, 1 << 32),
    "kv_cache_memory_bytes": (1, MIB_LIMIT),
    "num_speculative_tokens": (1, 64),
    "max_cudagraph_capture_size": (0, 1 << 16),
    "available_kv_bytes": (0, MIB_LIMIT),
    "weights_bytes": (1, MIB_LIMIT),
    "gpu_memory_bytes": (1, MIB_LIMIT),
}


def _check_whole(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InputError(name, value, f"a whole number from {low:,} to {high:,}")


def _check_length(value: object) -> None:
    if value is None or value in AUTO_LENGTHS:
        return
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 1 << 31:
        raise InputError("max_model_len", value, "1 to the model's maximum in tokens, or auto")


def _check_utilization(value: object) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or not 0 < value <= 1:
        raise InputError("gpu_memory_utilization", value, "above 0 and at most 1")
