"""A simulated server: its scrapes follow from a hidden need of memory and a random load. Nothing in it was measured.

For tests of the tuner, and for a chapter's plot of a tuning log, where it must be called simulated.
"""

from __future__ import annotations

import random

from glmcalc.advise.tuning.account import tuning_log
from glmcalc.advise.tuning.state import Setting
from glmcalc.advise.tuning.tune import tune
from glmcalc.budget.plan import plan
from glmcalc.facts.quantity import GIB, MIB
from glmcalc.logs.metrics import read_metrics

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from glmcalc.model.deployment import Deployment


_EDGES = (1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000)
_MEAN = 1 / 3  # mean length of a request, as a share of max_model_len
_REASONS = ("stop", "length", "abort", "error")


class SimulatedServer:
    """One server.

    Args:
        deployment: as it starts; its GPU's memory bounds what may live outside the utilization line.
        seed: of the load and of the peaks.
        need_gib: memory that lives outside the line at its worst, in GiB: (least, most) of a peak; a peak above what is
            free ends the process.
        busy: requests that want to run at once, as a share of what the first setting's pool holds of the mean length.
        rare: chance of a peak of three times the most, in each stretch of load.
    """

    def __init__(
        self, deployment: Deployment, seed: int, need_gib: tuple[float, float], busy: float = 0.9, rare: float = 0.0
    ) -> None:
        made = plan(deployment)
        if made.memory is None:
            raise ValueError("the memory of this GPU is not known")
        self._random = random.Random(seed)
        self._total, self._length = made.memory.likely, made.resolved.max_model_len
        self._deployment, self._need, self._rare = deployment, need_gib, rare
        self._offered = busy * (made.kv.pool.tokens or 0) / (_MEAN * self._length)
        self._pools: dict[float, int] = {}
        self.setting = Setting(made.resolved.gpu_memory_utilization, None, made.resolved.max_num_seqs)
        self.time = 1_700_000_000.0
        self.deaths = 0
        self._start()

    def _start(self) -> None:
        self.began = self.time
        self._counts = {"prompt_tokens": 0, "generation_tokens": 0, "preemptions": 0}
        self._finished = dict.fromkeys(_REASONS, 0)
        self._prompts: list[int] = [0] * (len(_EDGES) + 1)
        self._sums = [0, 0]
        self.usage, self.running, self.waiting, self.free = 0.0, 0, 0, self._total

    @property
    def preempted(self) -> int:
        """Preemptions since the process began."""
        return self._counts["preemptions"]

    def apply(self, setting: Setting) -> None:
        """Somebody restarts it with another setting."""
        self.setting = setting
        self.time += 600
        self._start()

    def serve(self, seconds: float = 300.0) -> bool:
        """A stretch of load.

        Returns:
            Whether it lived; if not, it was restarted as it was by whatever watches over it.
        """
        draw = self._random
        self.time += seconds
        offered = max(round(self._offered * draw.uniform(0.5, 1.3)), 1)
        self.running = min(self.setting.max_num_seqs, offered)
        self.waiting = offered - self.running
        share = self.running * draw.uniform(0.8, 1.1) * _MEAN * self._length / self._pool()
        self.usage = min(share, 1.0)
        if share > 1:
            self._counts["preemptions"] += draw.randint(1, 5)
        for _ in range(draw.randint(10, 60)):
            self._finish(round(self._length * draw.random() ** 2 * 0.95) + 1, draw.randint(1, 2000))
        outside = draw.uniform(*self._need) * GIB
        if draw.random() < self._rare:
            outside = 3 * self._need[1] * GIB
        self.free = round(self._total * (1 - self.setting.gpu_memory_utilization) - outside)
        if self.free >= 0:
            return True
        self.deaths += 1
        self.time += 600
        self._start()
        return False

    def _pool(self) -> int:
        """Tokens that the pool holds at this utilization, by the budget."""
        share = self.setting.gpu_memory_utilization
        if share not in self._pools:
            made = plan(self._deployment.changed(gpu_memory_utilization=share))
            self._pools[share] = max(made.kv.pool.tokens or 0, self._length)
        return self._pools[share]

    def _finish(self, prompt: int, output: int) -> None:
        self._finished["length" if output > 1500 else "stop"] += 1
        self._counts["prompt_tokens"] += prompt
        self._counts["generation_tokens"] += output
        self._sums[0] += prompt
        self._sums[1] += output
        place = next((index for index, edge in enumerate(_EDGES) if prompt <= edge), len(_EDGES))
        self._prompts[place] += 1

    def scrape(self) -> str:
        """What its ``/metrics`` would say, with the least free memory of its GPUs beside it."""
        engine = 'engine="0",model_name="simulated"'
        lines = [f"process_start_time_seconds {self.began}"]
        lines += [
            f"vllm:{name}_total{{{engine}}} {value}" for name, value in self._counts.items() if name != "preemptions"
        ]
        lines.append(f"vllm:num_preemptions_total{{{engine}}} {self.preempted}")
        lines += [
            f'vllm:request_success_total{{{engine},finished_reason="{reason}"}} {count}'
            for reason, count in self._finished.items()
        ]
        below = 0
        for edge, count in zip((*_EDGES, "+Inf"), self._prompts):
            below += count
            lines.append(f'vllm:request_prompt_tokens_bucket{{{engine},le="{edge}"}} {below}')
        lines += [
            f"vllm:request_prompt_tokens_count{{{engine}}} {below}",
            f"vllm:request_prompt_tokens_sum{{{engine}}} {self._sums[0]}",
            f"vllm:request_generation_tokens_sum{{{engine}}} {self._sums[1]}",
            f"vllm:num_requests_running{{{engine}}} {self.running}",
            f"vllm:num_requests_waiting{{{engine}}} {self.waiting}",
            f"vllm:kv_cache_usage_perc{{{engine}}} {self.usage}",
            f'DCGM_FI_DEV_FB_FREE{{gpu="0"}} {self.free // MIB}',
            f'vllm:cache_config_info{{gpu_memory_utilization="{self.setting.gpu_memory_utilization}",engine="0",'
            f'kv_cache_memory_bytes="{self.setting.kv_cache_memory_bytes}"}} 1.0',
        ]
        return "\n".join(lines) + "\n"


def simulated_log(
    deployment: Deployment,
    seed: int = 1,
    calls: int = 200,
    need_gib: tuple[float, float] = (3.0, 6.0),
    busy: float = 0.68,
    mode: str = "budget",
) -> list[dict[str, Any]]:
    """A tuning log of a simulated server whose owner takes every step; each row says ``simulated``.

    Args:
        deployment: as it starts.
        calls: scrapes, five minutes apart.
        need_gib, busy: as in :class:`SimulatedServer`.
    """
    server, state = SimulatedServer(deployment, seed, need_gib, busy), None
    command = deployment
    for _ in range(calls):
        server.serve()
        advice = tune(command, read_metrics(server.scrape(), server.time), state, mode=mode, live=True)
        state = advice.state
        if advice.decision.kind != "hold":
            server.apply(advice.decision.setting)
            command = advice.next
    return [{**row, "simulated": True} for row in tuning_log(state)] if state is not None else []
