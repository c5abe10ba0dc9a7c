"""A reverse solution as text for a terminal: the value, what stops the next step, the budget at it."""

from __future__ import annotations

from glmcalc.present.terminal import budget_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_WORDS = {
    "max-model-len": ("Greatest max_model_len", "tokens"),
    "max-num-seqs": ("Most requests of full length at once (max_num_seqs)", "sequences"),
    "gpus": ("Fewest GPUs", "GPUs"),
    "gpu-memory-utilization": ("Smallest gpu_memory_utilization", ""),
}
_LIMITS = {
    "startup_free_memory": "the memory that is free at start", "weights_load": "loading the weights",
    "profile_run_activation": "the profile run", "kv_pool": "the KV pool", "cuda_graph_capture": "CUDA graphs and late buffers",
    "runtime_workspace": "kernels' scratch while serving", "runtime_activation": "peaks while serving",
    "boundary_crash": "a crash of this release", "model_maximum": "the model", "flag_maximum": "the flag's range",
    "flag_minimum": "the flag's range", "refused": "the engine", "uncertain": "what is not known of it",
    "memory_unknown": "the device's memory, which is not known",
}  # fmt: skip


def solve_text(data: dict[str, Any]) -> str:
    """The whole answer of ``glmcalc solve``."""
    name, unit = _WORDS[data["for"]]
    bound = data["binding"]
    if data["value"] is None:
        lines = [f"{name}: none fits for sure.", data["reason"]]
    else:
        lines = [f"{name} that fits: {_value(data['value'], unit)}{_sizes(data['parallelism'])}"]
        after = f"{_value(bound['at'], unit)}" if bound["at"] is not None else "nothing beyond it"
        lines.append(f"What stops the next step ({after}): {_LIMITS[bound['limit']]}. {bound['text']}")
    if data["value_likely"] is not None and data["value_likely"] != data["value"]:
        lines.append(f"At the likely figures, not for sure: {_value(data['value_likely'], unit)}.")
    lines += [
        f"Lengths from {low:,} to {high:,} do not fit, although longer ones do: the workspace is larger there."
        for low, high in data["gaps"]
    ]
    lines += data["notes"]
    lines += ["", f"The budget at {_value(data['budget_at'], unit)}:", budget_text(_without_mend(data["budget"]))]
    return "\n".join(lines)


def _without_mend(budget: dict[str, Any]) -> dict[str, Any]:
    return {**budget, "verdict": {**budget["verdict"], "mend": None}}


def _value(value: int | float, unit: str) -> str:
    text = f"{value:.3f}" if isinstance(value, float) else f"{value:,}"
    return f"{text} {unit}".strip()


def _sizes(sizes: dict[str, int] | None) -> str:
    if sizes is None:
        return ""
    return (
        " ("
        + ", ".join(f"{name} {size}" for name, size in sizes.items() if size > 1 or name.startswith("tensor"))
        + ")"
    )
