"""How far utilization may go on this hardware at this length, and what a step of it buys."""

from __future__ import annotations

from glmcalc.budget.result import Plan
from glmcalc.facts.frozen import record
from glmcalc.facts.gates import gate
from glmcalc.solve.ceiling import margin_bytes, outside_high, utilization_ceiling

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@record
class Room:
    """What lies beside the utilization line, in bytes of one GPU.

    Attributes:
        total: memory of the GPU, its smallest where that is a band.
        outside: what lives outside the line, at its pessimistic end, by name: context and NCCL, late buffers, peaks that
            no profile covers.
        margin: left free beyond that.
        ceiling: the highest utilization (:func:`glmcalc.solve.ceiling.utilization_ceiling`).
        headroom: free memory that must have been left at the worst moment, as measured.
        block_bytes, block_tokens: of a KV block on one GPU, and tokens it holds over the ranks.
        gpus, replicas: GPUs of the deployment, and how many replicas of the KV cache they hold (data parallel size).
    """

    total: int
    outside: tuple[tuple[str, int], ...]
    margin: int
    ceiling: float
    headroom: int
    block_bytes: int
    block_tokens: int
    gpus: int
    replicas: int

    def buys(self, fraction: float) -> dict[str, Any]:
        """What ``fraction`` more of utilization is: bytes of a GPU, of all of them, and tokens of KV of one replica."""
        size = round(fraction * self.total)
        return {
            "fraction": fraction,
            "gpu_bytes": size,
            "all_gpus_bytes": size * self.gpus,
            "gpus": self.gpus,
            "replicas": self.replicas,
            "tokens_per_replica": size // self.block_bytes * self.block_tokens,
        }

    def to_dict(self) -> dict[str, Any]:
        """As ``ceiling`` in ``tune --json``."""
        return {
            "gpu_memory_utilization": self.ceiling,
            "gpu_memory_bytes": self.total,
            "outside_high_bytes": dict(self.outside),
            "margin_bytes": self.margin,
            "headroom_bytes": self.headroom,
        }


def room_of(made: Plan) -> Room | None:
    """The room of a budget; None where the memory of the GPU is not known."""
    ceiling = utilization_ceiling(made)
    if made.memory is None or ceiling is None:
        return None
    r = made.resolved
    peak = made.component("unprofiled_transients").band.likely
    headroom = max(round(gate("headroom")), round(gate("headroom_peaks") * peak))
    return Room(
        made.memory.low, outside_high(made), margin_bytes(), ceiling, headroom, made.kv.bytes_per_block,
        r.block_size * r.dcp, r.gpus, r.dp,
    )  # fmt: skip
