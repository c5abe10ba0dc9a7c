"""The tuner against a real server's scrapes and a simulated server: never up after a preemption or an OOM, always a way back."""

import json
import os
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from glmcalc import Deployment, plan
from glmcalc.advise.tuning import file
from glmcalc.advise.tuning.account import tuning_log, what_it_proves
from glmcalc.advise.tuning.room import room_of
from glmcalc.advise.tuning.simulate import SimulatedServer, simulated_log
from glmcalc.advise.tuning.state import KEPT_STEPS
from glmcalc.advise.tuning.stress import stress_plan
from glmcalc.advise.tuning.tune import tune
from glmcalc.facts.errors import InputError
from glmcalc.logs.metrics import read_metrics

DATA = Path(__file__).resolve().parents[1] / "data"
GIB, MIB = 1 << 30, 1 << 20
NODE = Deployment(
    gpu="h200_sxm", gpus=8, tensor_parallel_size=8, max_model_len=131_000, kv_cache_dtype="fp8", max_num_seqs=64,
    gpu_memory_utilization=0.85,
)  # fmt: skip
MTP = NODE.changed(speculative_method="mtp", num_speculative_tokens=3)


def real(name: str, time: float | None = None):
    return read_metrics((DATA / f"metrics_{name}.prom").read_text(encoding="utf-8"), time)


def ceiling_of(deployment: Deployment) -> float:
    """1 - (all that lies outside the line at its worst + 1.5 GiB) / total, from the budget's own table."""
    made = plan(deployment)
    outside = sum(part.band.high for part in made.components if not part.inside_utilization)
    return 1 - (outside + 1.5 * GIB) / made.memory.low


def scrape(
    began: float = 1000.0, finished: int = 0, preemptions: int = 0, usage: float = 0.0, running: int = 0, waiting: int = 0,
    prompt: int = 0, free_gib: float | None = None, errors: int = 0, utilization: float | None = None,
) -> str:  # fmt: skip
    """Lines of our own in the engine's names."""
    below = 0 if prompt > 100_000 else finished
    lines = [
        f"process_start_time_seconds {began}",
        f"vllm:num_preemptions_total {preemptions}",
        f'vllm:request_success_total{{finished_reason="stop"}} {finished}',
        f'vllm:request_success_total{{finished_reason="error"}} {errors}',
        f"vllm:kv_cache_usage_perc {usage}",
        f"vllm:num_requests_running {running}",
        f"vllm:num_requests_waiting {waiting}",
        f'vllm:request_prompt_tokens_bucket{{le="100000"}} {below}',
        f'vllm:request_prompt_tokens_bucket{{le="+Inf"}} {finished}',
    ]
    if free_gib is not None:
        lines.append(f'DCGM_FI_DEV_FB_FREE{{gpu="0"}} {free_gib * 1024}')
    if utilization is not None:
        lines.append(f'vllm:cache_config_info{{gpu_memory_utilization="{utilization}",kv_cache_memory_bytes="None"}} 1')
    return "\n".join(lines) + "\n"


PROVEN = {"finished": 400, "usage": 0.97, "running": 40, "prompt": 120_000}


def ask(state, deployment=NODE, time=0.0, **figures):
    extra = {
        name: figures.pop(name) for name in ("mode", "cause", "died", "planned", "source", "live") if name in figures
    }
    return tune(deployment, read_metrics(scrape(**figures), time), state, **extra)


# A real server's scrapes.


def test_no_real_scrape_of_a_tiny_load_lets_it_raise():
    for name in ("idle", "under_load", "kv_pressure", "prefix_hits"):
        advice = tune(NODE, real(name))
        assert advice.decision.kind == ("lower" if name == "kv_pressure" else "hold")
        assert not advice.decision.passed


def test_real_preemptions_lower_the_requests_to_what_that_pool_holds():
    """39 usable blocks of 128 tokens; the finished requests had 512 and 768 tokens, 10 blocks: 3 fit, as its log shows 5 do not."""
    advice = tune(NODE, real("kv_pressure"))
    assert advice.decision.kind == "lower"
    assert advice.next.max_num_seqs == 3
    assert advice.next.gpu_memory_utilization == NODE.gpu_memory_utilization


def test_real_scrapes_out_of_order_are_of_one_process():
    """idle, prefix_hits and under_load are of one process: in any order they leave the same evidence."""
    in_order = late = None
    for name in ("idle", "prefix_hits", "under_load"):
        in_order = tune(NODE, real(name), in_order, source=name).state
    for name in ("under_load", "idle", "under_load", "prefix_hits", "idle"):
        advice = tune(NODE, real(name), late, source=name)
        late = advice.state
        assert advice.decision.kind == "hold"
    assert late.now.died is None
    assert late.now.gained() == in_order.now.gained()
    assert late.now.peaks == in_order.now.peaks


def test_a_real_restart_is_a_death_unless_it_was_planned():
    first = tune(NODE, real("under_load")).state
    assert tune(NODE, real("kv_pressure"), first).decision.kind == "roll_back"
    assert tune(NODE, real("kv_pressure"), first, planned=True).decision.kind == "lower"  # its 5 preemptions


def test_a_server_that_states_another_utilization_is_said():
    advice = tune(NODE, real("idle"))
    assert any("states utilization 0.92" in text for text in advice.warnings)


def test_a_server_that_calls_its_model_otherwise_is_said():
    pasted = "vllm serve zai-org/GLM-5.2-FP8 -tp 8 --max-model-len 131000"
    for served, warned in (("", True), (" --served-model-name glm models/tiny-llama", False)):
        advice = tune(Deployment.from_command(pasted + served, gpu="h200_sxm"), real("idle"))
        assert any("calls its model models/tiny-llama" in text for text in advice.warnings) == warned


# The gate.


@pytest.mark.parametrize(
    ("missing", "name"),
    [({"finished": 299}, "requests"), ({"usage": 0.5, "running": 20}, "batch"), ({"prompt": 100}, "mix"), ({"errors": 1}, "errors"),
     ({"free_gib": 1.5}, None)],
)  # fmt: skip
def test_each_condition_holds_the_gate(missing, name):
    assert ask(None, **PROVEN).decision.kind == "raise"
    advice = ask(None, **(PROVEN | missing))
    assert advice.decision.kind in ("hold", "lower")
    assert not advice.decision.passed
    if name is not None:
        assert [row.name for row in advice.decision.gate if row.met is False] == [name]


def test_time_alone_proves_nothing():
    state = None
    for hour in range(200):
        advice = ask(state, time=3600.0 * hour, finished=10, usage=0.1)
        state = advice.state
        assert advice.decision.kind == "hold"


def test_a_pool_that_is_not_used_is_not_enlarged():
    advice = ask(None, **(PROVEN | {"usage": 0.5, "running": 64}))
    assert (advice.decision.kind, advice.decision.passed) == ("hold", True)


def test_a_step_is_half_of_the_measured_surplus():
    """6 GiB free, 2 GiB of headroom: 2 GiB of a GPU of 139.8 GiB is 0.0143."""
    advice = ask(None, free_gib=6.0, **PROVEN)
    gain = (advice.next.gpu_memory_utilization - 0.85) * advice.room.total / GIB
    assert advice.decision.kind == "raise"
    assert 1.8 < gain <= 2.0


def test_without_a_measurement_the_budget_bounds_the_step():
    advice = ask(None, **PROVEN)
    assert advice.decision.kind == "raise"
    assert 0.85 < advice.next.gpu_memory_utilization <= (0.85 + ceiling_of(NODE)) / 2


def test_above_the_ceiling_it_goes_down_to_it():
    high = NODE.changed(gpu_memory_utilization=0.98)
    advice = ask(None, high, **PROVEN)
    assert advice.decision.kind == "lower"
    assert ceiling_of(high) - 0.001 < advice.next.gpu_memory_utilization <= ceiling_of(high)


@given(
    st.floats(0.5, 1.0).map(lambda value: round(value, 3)),
    st.one_of(st.none(), st.floats(1.0, 60.0)),
    st.sampled_from(["budget", "guide"]),
    st.sampled_from(
        [
            NODE,
            MTP,
            NODE.changed(max_model_len=500_000, max_num_seqs=1024),
            NODE.changed(gpu="b200_sxm"),
            NODE.changed(gpu="gb300_nvl72"),
        ]
    ),
)
@settings(deadline=None, max_examples=150)
def test_nothing_is_ever_said_above_the_ceiling(share, free, mode, deployment):
    """Whatever runs, and however much was free: no step leads above what the budget leaves at its pessimistic end."""
    state = None
    now = deployment.changed(gpu_memory_utilization=share)
    for number in range(4):  # each step is taken, and proves itself at once
        for minute in (0, 61):
            figures = PROVEN | {"prompt": 600_000, "running": now.max_num_seqs, "finished": 400 + minute}
            time = 10_000.0 * number + 60 * minute
            advice = ask(state, now, mode=mode, began=10_000.0 * number, time=time, free_gib=free, **figures)
            state = advice.state
        after = advice.next.gpu_memory_utilization
        if advice.decision.kind in ("raise", "lower"):
            assert after <= ceiling_of(advice.next)
        if advice.decision.kind == "raise":
            assert (
                after - now.gpu_memory_utilization <= (ceiling_of(now) - now.gpu_memory_utilization) / 2 + 0.001
                or mode == "guide"
            )
        now = advice.next


def test_the_command_says_the_parallel_size_that_the_number_of_gpus_set():
    asked = Deployment(gpu="h200_sxm", gpus=8, max_model_len=131_000)
    assert "--tensor-parallel-size 8" in ask(None, asked).to_dict()["next_command"]


@pytest.mark.parametrize(
    ("cut", "name", "mode"),
    [
        ("vllm:num_preemptions_total", "preemptions", "budget"),
        ("vllm:num_preemptions_total", "preemptions", "guide"),
        ('finished_reason="error"', "errors", "budget"),
        ('finished_reason="error"', "errors", "guide"),
        ('finished_reason="stop"', "requests", "budget"),  # the guide counts hours, not requests
    ],
)
def test_a_counter_that_is_not_in_the_scrape_is_not_zero(cut, name, mode):
    """vLLM exports each of them from its start on, so a scrape without one is cut, or a query leaves it out."""
    assert all(cut in (DATA / f"metrics_{scraped}.prom").read_text() for scraped in ("idle", "kv_pressure"))
    lines = scrape(**PROVEN).splitlines()
    text = "\n".join(line for line in lines if cut not in line) + "\n"
    whole = read_metrics("\n".join(lines) + "\n", 0.0)
    for before in (
        None,
        tune(NODE, whole, mode=mode).state,
    ):  # an older scrape that held it does not speak for this one
        advice = tune(NODE, read_metrics(text, 4000.0), before, mode=mode)
        assert advice.decision.kind == "hold"
        assert not advice.decision.passed
        assert "is not in the scrape" in advice.decision.reason
        assert [row.name for row in advice.decision.gate if row.have is None and row.met is False] == [name]


@pytest.mark.parametrize("mode", ["budget", "guide"])
def test_a_server_that_states_another_utilization_is_not_raised(mode):
    for told, kind in ((0.85, "raise"), (0.9, "hold"), (None, "raise")):
        first = ask(None, mode=mode, utilization=told, **PROVEN)
        advice = ask(first.state, mode=mode, utilization=told, time=4000.0, **PROVEN)
        assert advice.decision.kind == kind
        assert ("states utilization 0.9" in advice.decision.reason) is (kind == "hold")


def test_a_use_of_the_pool_above_all_of_it_is_none():
    advice = ask(None, **(PROVEN | {"usage": 5.0, "running": 64}))
    assert advice.decision.kind == "hold"
    assert advice.to_dict()["evidence"]["peak_kv_usage"] is None


def lengths(count: int, tokens: int) -> str:
    """Histogram sums of ``count`` finished requests of ``tokens`` tokens each."""
    return (
        f"vllm:request_prompt_tokens_sum {count * tokens}\nvllm:request_generation_tokens_sum 0\n"
        f"vllm:request_prompt_tokens_count {count}\n"
    )


@pytest.mark.parametrize(("preempted", "kind", "left"), [(1, "hold", 64), (2, "lower", 54), (900, "lower", None)])
def test_where_more_ran_than_the_mean_explains_a_tenth_less_is_tried(preempted, kind, left):
    """1,000 requests of 60,000 tokens: the pool holds a handful of them in full, and 60 ran at once.

    One in 1,000 is the rate that operations allow (0.1 per 100). Two: shared prefixes explain what ran, not the mean. 900:
    each round of 60 preempts most of it, as the mean foretells.
    """
    text = scrape(finished=1000, preemptions=preempted, usage=0.95, running=60, prompt=120_000) + lengths(1000, 60_000)
    advice = tune(NODE, read_metrics(text))
    made = plan(NODE)
    held = (made.kv.pool.num_blocks - 1) * 64 // (-(-60_000 // 64) * 64)
    assert 1 < held < 12
    assert advice.decision.kind == kind
    assert advice.next.max_num_seqs == (held if left is None else left)
    assert advice.next.gpu_memory_utilization == NODE.gpu_memory_utilization


def test_a_few_preemptions_are_held_and_never_raised():
    advice = ask(None, **(PROVEN | {"finished": 5000, "preemptions": 1}))
    assert advice.decision.kind == "hold"
    assert "preemption" in advice.decision.reason


def test_less_than_a_gib_free_rolls_back():
    state = ask(None, **PROVEN, free_gib=8.0).state
    state = tune(NODE, read_metrics(scrape(2000.0, utilization=0.86)), state).state
    advice = ask(state, began=2000.0, utilization=0.86, free_gib=0.5)
    assert advice.decision.kind == "roll_back"


def test_bytes_are_pinned_only_where_the_server_is_this_deployment():
    made = plan(NODE)
    text = scrape(**(PROVEN | {"usage": 0.7, "running": 64})) + (
        f'vllm:cache_config_info{{gpu_memory_utilization="0.85",block_size="64",num_gpu_blocks="{made.kv.pool.num_blocks}"}} 1\n'
    )
    advice = tune(NODE, read_metrics(text))
    assert (advice.decision.kind, advice.pin) == ("hold", made.kv.pool.num_blocks * made.kv.bytes_per_block)
    assert f"--kv-cache-memory-bytes {advice.pin}" in advice.to_dict()["pinned_command"]
    foreign = tune(NODE, read_metrics(text.replace(f'"{made.kv.pool.num_blocks}"', '"4096"')))
    assert foreign.pin is None
    assert "foresees" in foreign.pin_note
    pinned = NODE.changed(kv_cache_memory_bytes=advice.pin)
    again = tune(pinned, read_metrics(scrape(2000.0, **PROVEN)), advice.state)
    assert (again.state.now.how, again.state.now.died) == ("pin", None)
    assert again.decision.kind == "hold"  # the final form is not raised


# The way back.


def climb():
    """Two good steps, and a third that runs: 0.85, then what was said, then what was said."""
    advice = ask(None, **PROVEN)
    steps = [advice]
    for number in (2, 3):
        command = NODE.changed(gpu_memory_utilization=advice.next.gpu_memory_utilization)
        figures = PROVEN if number == 2 else {}
        advice = ask(advice.state, command, began=1000.0 * number, time=1000.0 * number, **figures)
        steps.append(advice)
    assert [row.decision.kind for row in steps] == ["raise", "raise", "hold"]
    assert [step.how for step in advice.state.steps] == ["start", "raise", "raise"]
    return steps


def test_after_an_unexpected_restart_it_rolls_back_to_the_last_good_step():
    steps = climb()
    third = steps[2].deployment
    for died in (ask(steps[2].state, third, began=9000.0, time=9000.0), ask(steps[2].state, third, died="OOM")):
        assert died.decision.kind == "roll_back"
        assert died.next.gpu_memory_utilization == steps[1].deployment.gpu_memory_utilization


def test_after_a_rollback_nothing_goes_up_without_a_cause():
    steps = climb()
    third = steps[2].deployment
    back = ask(steps[2].state, third, began=9000.0, time=9000.0)
    held = ask(back.state, back.next, began=9900.0, time=9900.0, **PROVEN)
    assert (held.state.now.how, held.decision.kind, held.decision.passed) == ("roll_back", "hold", True)
    held = ask(held.state, back.next, began=9900.0, time=99_000.0, **(PROVEN | {"finished": 90_000}))
    assert held.decision.kind == "hold"
    freed = ask(
        held.state,
        back.next,
        began=9900.0,
        time=99_100.0,
        cause="another process held 3 GiB",
        **(PROVEN | {"finished": 90_001}),
    )
    assert freed.decision.kind == "hold"  # the evidence starts anew
    again = ask(freed.state, back.next, began=9900.0, time=99_900.0, **(PROVEN | {"finished": 91_000}))
    assert again.decision.kind == "raise"


def test_a_second_death_goes_further_back():
    steps = climb()
    back = ask(steps[2].state, steps[2].deployment, died="OOM")
    back = ask(back.state, back.next, began=9900.0, time=9900.0)
    again = ask(back.state, back.deployment, died="OOM again")
    assert again.next.gpu_memory_utilization == steps[0].deployment.gpu_memory_utilization
    last = ask(again.state, again.next, began=19_900.0, time=19_900.0)
    lowest = ask(last.state, last.deployment, died="and again")
    assert lowest.decision.kind == "roll_back"
    assert lowest.next.gpu_memory_utilization < steps[0].deployment.gpu_memory_utilization


def test_deaths_without_a_good_step_end_where_one_request_still_fits():
    """Going down for ever would only trade one death for another: below that it says to read the log."""
    advice, deployment, seen = None, NODE, []
    for number in range(30):
        advice = ask(advice and advice.state, deployment, died="OOM", began=1000.0 * number, time=1000.0 * number)
        assert advice.decision.kind == "roll_back"
        deployment = advice.next
        seen.append(deployment.gpu_memory_utilization)
    assert seen == sorted(seen, reverse=True)
    assert seen[0] == 0.83
    assert plan(deployment).kv.pool.fits
    assert not plan(deployment.changed(gpu_memory_utilization=seen[-1] - 0.02)).kv.pool.fits
    assert "Read its log" in advice.decision.reason


def test_a_restart_with_the_old_flags_before_the_step_is_a_death():
    advice = ask(None, **PROVEN, utilization=0.85)
    assert advice.decision.kind == "raise"
    assert ask(advice.state, began=2000.0, utilization=0.85).decision.kind == "roll_back"
    taken = ask(advice.state, began=2000.0, utilization=advice.next.gpu_memory_utilization)
    assert (taken.state.now.how, taken.state.now.died) == ("raise", None)


def test_a_counter_that_falls_where_the_order_is_known_is_a_restart():
    """Some servers export no start time (several API processes); a live scrape is always the newest."""
    text = "\n".join(line for line in scrape(finished=200).splitlines() if "process_start" not in line) + "\n"
    state = tune(NODE, read_metrics(text, 100.0), live=True).state
    fallen = text.replace('finished_reason="stop"} 200', 'finished_reason="stop"} 3')
    assert tune(NODE, read_metrics(fallen, 200.0), state, live=True).decision.kind == "roll_back"
    late = tune(NODE, read_metrics(fallen, 50.0), state)
    assert (late.decision.kind, late.state.now.died) == ("hold", None)


def test_a_range_that_is_read_again_adds_nothing():
    """A restart in the middle, no start time in the query, and the next range overlaps the one before."""
    finished = [300, 310, 0, 5, 9, 20]
    readings = [
        reading
        for number, count in enumerate(finished)
        for reading in read_metrics(f'vllm:request_success_total{{finished_reason="stop"}} {count}\n', 60.0 * number)
    ]
    state = tune(NODE, readings[:5]).state
    died = state.now.died
    assert died is not None
    excused = tune(NODE, [], state, cause="a power cut").state
    again = tune(NODE, readings, excused)
    assert again.state.now.died is None or again.state.now.excused
    assert again.state.frozen is None
    assert again.state.now.gained()["finished"] == 20 - 9
    assert again.decision.kind == "hold"


def test_a_state_of_another_deployment_is_refused():
    state = ask(None).state
    with pytest.raises(InputError, match="max_model_len"):
        ask(state, NODE.changed(max_model_len=65_000))
    with pytest.raises(InputError, match="engine_version"):
        ask(state, NODE.changed(engine_version="0.32.0"))


# The guide's schedule.


def test_what_a_hundredth_buys_on_eight_h200():
    """11.2 GiB a node and about 27,400 tokens of KV with fp8_ds_mla and MTP; the guide says 6 GB."""
    buys = room_of(plan(MTP)).buys(0.01)
    assert buys["all_gpus_bytes"] / GIB == pytest.approx(11.2, abs=0.05)
    assert buys["tokens_per_replica"] == pytest.approx(27_400, abs=64)
    assert "27,392 tokens" in ask(None, MTP, mode="guide").to_dict()["guide"]["text"]


def test_what_a_stable_hour_proves():
    assert what_it_proves(1)["deaths_per_hour_bound"] == 3
    assert what_it_proves(1)["hours_for_one_in_30_days"] == 2160
    assert what_it_proves(0)["deaths_per_hour_bound"] is None
    for hours in (1, 24, 720):  # the exact bound at 95 % is below 3/t
        assert 1 - 0.05 ** (1 / (hours * 1000)) < what_it_proves(hours)["deaths_per_hour_bound"] / 1000


def test_the_guides_schedule_is_a_hundredth_an_hour_up_to_its_cap():
    state, deployment, began, time, seen = None, NODE, 0.0, 0.0, [0.85]
    for _ in range(12):
        said = []
        for minute in (0, 30, 60):
            advice = ask(
                state,
                deployment,
                mode="guide",
                began=began,
                time=time + 60 * minute,
                finished=round(time / 60) + minute,
                live=True,
            )
            state = advice.state
            said.append(advice.decision.kind)
        assert said == ["hold", "hold", "raise" if deployment.gpu_memory_utilization < 0.92 else "hold"]
        time += 4200
        began = time if said[-1] == "raise" else began
        deployment = advice.next
        seen.append(deployment.gpu_memory_utilization)
    assert seen == pytest.approx([0.85, 0.86, 0.87, 0.88, 0.89, 0.9, 0.91, *[0.92] * 6])


def test_the_guides_schedule_stops_at_this_machines_ceiling():
    tight = MTP.changed(max_model_len=500_000, max_num_seqs=1024)
    ceiling = ceiling_of(tight)
    assert 0.86 < ceiling < 0.92
    advice = ask(None, tight.changed(gpu_memory_utilization=0.92), mode="guide", finished=5)
    assert advice.decision.kind == "lower"
    assert ceiling - 0.001 < advice.next.gpu_memory_utilization <= ceiling
    state = ask(None, advice.next, mode="guide", finished=5).state
    assert ask(state, advice.next, mode="guide", time=4000.0, finished=9).decision.kind == "hold"


# A simulated server.


class Checked:
    """One tuning of a simulated server, each answer held against what really happened."""

    def __init__(self, seed: int, mode: str) -> None:
        draw = random.Random(seed)
        need = (draw.uniform(1, 4), draw.uniform(5, 20))
        self.draw, self.mode = draw, mode
        self.server = SimulatedServer(NODE, seed, need, busy=draw.choice((0.6, 0.68, 0.9)), rare=0.02)
        self.state, self.command = None, NODE
        self.good, self.dead, self.short_at = {}, [], None
        self.frozen = self.died = False
        self.scraped = False  # whether the setting that runs was ever scraped
        self.raised = self.rolled = self.explained = 0

    def step(self, cause: bool = False, obey: bool = True) -> None:
        """Five minutes of load, one scrape, one answer, and whoever runs it does what it says, or not."""
        before, began = self.server.preempted, self.server.began
        lived = self.server.serve()
        if cause or self.server.began != began:  # a window opens: with the cause, or with the process
            self.explained = before if self.server.began == began else 0
        now = self.server.setting
        if not lived:
            self.died, self.frozen = True, True
            self.dead.append(now)
        if cause:
            self.died = self.frozen = False
            self.dead.clear()
            self.short_at = None
        if self.server.free // MIB * MIB < 2 * GIB:
            self.short_at = min(now.gpu_memory_utilization, self.short_at or 1)
        reading = read_metrics(self.server.scrape(), self.server.time)
        text = json.dumps(file.to_data(self.state)) if self.state is not None else None
        kept = file.from_data(json.loads(text)) if text is not None else None  # as if a new process had begun
        # A death before the first scrape of a setting leaves no trace in the metrics: somebody has to say it.
        told = "OOM" if self.died and not self.scraped else None
        advice = tune(
            self.command, reading, kept, mode=self.mode, live=True, cause="seen to" if cause else None, died=told
        )
        self.state, self.scraped = advice.state, True
        self.check(advice, cause)
        if advice.decision.kind != "hold" and obey:
            self.server.apply(advice.decision.setting)
            self.command = advice.next
            self.died = self.scraped = False
            self.explained = 0

    def check(self, advice, cause: bool) -> None:
        kind, now, then = advice.decision.kind, self.server.setting, advice.decision.setting
        if self.server.preempted > self.explained:
            assert kind != "raise"
        if self.frozen:
            assert kind != "raise"
        if self.died and not cause:
            assert kind == "roll_back"
        if kind == "raise":
            assert then.gpu_memory_utilization > now.gpu_memory_utilization
            self.raised += 1
        else:
            assert then.gpu_memory_utilization <= now.gpu_memory_utilization
        if kind != "hold":
            made = self.command.changed(
                gpu_memory_utilization=then.gpu_memory_utilization, max_num_seqs=then.max_num_seqs
            )
            assert then.gpu_memory_utilization <= max(ceiling_of(made), 0.05)
        if kind == "roll_back":
            self.rolled += 1
            self.frozen = True
            if now not in self.dead:
                self.dead.append(now)
            ways = [
                row
                for row in self.good_below(advice.state.now.number)
                if not any(row.reaches(bad) for bad in self.dead)
            ]
            if ways:
                assert then == ways[-1]
        if cause:
            self.good.pop(advice.state.now.number, None)
        if advice.decision.passed:
            self.good[advice.state.now.number] = now

    def good_below(self, number: int) -> list:
        """Settings of earlier steps whose gate passed and that left enough free, the oldest first."""
        return [
            row for key, row in sorted(self.good.items())
            if key < number and (self.short_at is None or row.gpu_memory_utilization < self.short_at)
        ]  # fmt: skip


@pytest.mark.parametrize("mode", ["budget", "guide"])
def test_ten_thousand_steps_of_a_simulated_server(mode):
    raised = rolled = deaths = 0
    for seed in range(20):
        one = Checked(seed, mode)
        for number in range(250):
            one.step(cause=number % 60 == 59, obey=one.draw.random() < 0.8)
        raised, rolled, deaths = raised + one.raised, rolled + one.rolled, deaths + one.server.deaths
    assert raised > 10  # it does go up where it may
    assert rolled > 10
    assert deaths > 10


class Tuning(RuleBasedStateMachine):
    """Any order of load, obedience, causes and repeated scrapes."""

    @initialize(seed=st.integers(0, 10_000), mode=st.sampled_from(["budget", "guide"]))
    def begin(self, seed, mode):
        self.one = Checked(seed, mode)

    @rule(obey=st.booleans(), count=st.integers(1, 15))
    def go(self, obey, count):
        for _ in range(count):
            self.one.step(obey=obey)

    @rule()
    def explain(self):
        self.one.step(cause=True)

    @rule()
    def repeat(self):
        """The same scrape again changes nothing of the evidence."""
        one = self.one
        if one.state is None:
            return
        reading = read_metrics(one.server.scrape(), one.server.time)
        first = tune(one.command, reading, one.state, live=True).state
        second = tune(one.command, reading, first, live=True)
        assert second.state.now.gained() == first.now.gained()
        assert second.state.now.peaks == first.now.peaks
        assert len(second.state.steps) == len(first.steps)

    @invariant()
    def one_small_file(self):
        state = getattr(self, "one", None) and self.one.state
        if state:
            text = json.dumps(file.to_data(state))
            assert file.from_data(json.loads(text)) == state


Tuning.TestCase.settings = settings(max_examples=12, stateful_step_count=12, deadline=None)
TestTuning = Tuning.TestCase


@given(st.lists(st.sampled_from([0, 1, 2, 3, 4]), min_size=1, max_size=12))
def test_evidence_does_not_depend_on_order_or_repetition(order):
    """Five scrapes of one process: whatever comes late or twice, the highest counters and peaks remain."""
    texts = [
        scrape(finished=50 * n, preemptions=n // 2, usage=(0.2, 0.9, 0.4, 0.1, 0.3)[n], running=n) for n in range(5)
    ]
    state = None
    for n in order:
        state = tune(NODE, read_metrics(texts[n], float(n)), state, source=str(n)).state
    assert state.now.died is None
    assert state.now.gained()["finished"] == 50 * max(order)
    assert state.now.peaks["kv_usage"] == max((0.2, 0.9, 0.4, 0.1, 0.3)[n] for n in order)


def test_a_log_stays_small_and_keeps_what_is_needed():
    state, deployment = None, NODE
    for number in range(600):
        deployment = NODE.changed(gpu_memory_utilization=0.80 + (number % 7) / 1000)
        state = ask(state, deployment, began=1000.0 * (number + 1), time=1000.0 * number).state
    assert len(state.steps) <= KEPT_STEPS
    assert state.dropped + len(state.steps) == 600
    assert len(json.dumps(file.to_data(state))) < 500_000


def test_the_log_has_a_row_for_each_step():
    steps = climb()
    rows = tuning_log(steps[2].state)
    assert [row["gpu_memory_utilization"] for row in rows] == [step.deployment.gpu_memory_utilization for step in steps]
    assert [row["how"] for row in rows] == ["start", "raise", "raise"]
    assert [row["good"] for row in rows] == [True, True, False]


def test_a_simulated_log_says_so():
    rows = simulated_log(NODE, seed=3, calls=40)
    assert rows
    assert all(row["simulated"] is True for row in rows)
    assert rows == simulated_log(NODE, seed=3, calls=40)


# The file.


@pytest.mark.parametrize("broken", ["mkstemp", "fdopen", "fsync", "replace"])
def test_killed_at_any_write_the_old_state_is_whole(tmp_path, monkeypatch, broken):
    """The process ends at each step of a write; the next call goes on as if that one had not been."""
    path = tmp_path / "state.json"
    first = ask(None, finished=10).state
    file.save(first, str(path))
    (tmp_path / "state.json.abc.tmp").write_text('{"format": "glmcalc tuning st')  # left by an earlier kill

    def killed(*_, **__):
        raise KeyboardInterrupt

    owner = __import__("tempfile") if broken == "mkstemp" else os
    with monkeypatch.context() as patch:
        patch.setattr(owner, broken, killed)
        with pytest.raises(KeyboardInterrupt):
            file.save(ask(first, finished=20).state, str(path))
    assert file.load(str(path)) == first
    after = ask(file.load(str(path)), finished=20)
    assert after.state == ask(first, finished=20).state
    file.save(after.state, str(path))
    assert file.load(str(path)) == after.state


def test_a_full_disk_says_so_and_leaves_the_old_state(tmp_path, monkeypatch):
    path = tmp_path / "state.json"
    first = ask(None, finished=10).state
    file.save(first, str(path))

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(InputError, match="No space left"):
            file.save(ask(first, finished=20).state, str(path))
    assert file.load(str(path)) == first
    assert [row.name for row in tmp_path.iterdir()] == ["state.json"]


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "null", "[]", '{"format": "other"}', '{"format": "glmcalc tuning state", "version": 2}',
        '{"format": "glmcalc tuning state", "version": 1}', "\x00\x01", "[" * 100_000,
    ],
)  # fmt: skip
def test_a_foreign_or_damaged_file_is_refused_and_left(tmp_path, text):
    path = tmp_path / "state.json"
    path.write_text(text)
    with pytest.raises(InputError, match="left as it is"):
        file.load(str(path))
    assert path.read_text() == text


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_any_damage_is_refused_or_read(data):
    """A cut or a changed value: refused as a ValueError that ``load`` turns into bad input, never another error."""
    whole = file.to_data(ask(None, **PROVEN).state)
    name = data.draw(st.sampled_from(sorted(whole)))
    value = data.draw(
        st.one_of(
            st.none(),
            st.integers(),
            st.text(max_size=5),
            st.lists(st.integers(), max_size=2),
            st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
        )
    )
    try:
        state = file.from_data(whole | {name: value})
    except ValueError:
        return
    assert file.from_data(json.loads(json.dumps(file.to_data(state)))) == state


# The stress plan.


@given(
    st.sampled_from([8_192, 32_000, 65_536, 131_072, 262_144, 1_000_000]),
    st.sampled_from([1, 4, 64, 256, 1024]),
    st.sampled_from([2048, 8192, 16_384]),
    st.sampled_from([1, 2, 8]),
)
@settings(deadline=None, max_examples=40)
def test_every_shape_fits_the_length_and_is_no_multiple_of_64(length, seqs, tokens, dcp):
    made = plan(
        NODE.changed(
            max_model_len=length,
            max_num_seqs=seqs,
            max_num_batched_tokens=max(tokens, seqs),
            decode_context_parallel_size=dcp,
        )
    )
    data = stress_plan(made)
    assert [row["name"] for row in data["shapes"]] == [
        "long_prefill",
        "full_step",
        "many_short",
        "abort_storm",
        "full_pool",
    ]
    for row in data["shapes"]:
        if row["reason"]:
            assert not row["commands"]
            continue
        longest = row["prefix_tokens"] + 1.25 * (row["prompt_tokens"] + row["output_tokens"])
        assert longest <= length
        assert all(row[name] % 64 for name in ("prompt_tokens", "output_tokens"))
        assert row["prefix_tokens"] % 64 or not row["prefix_tokens"]
        assert row["occurrences"] is None or row["occurrences"] >= 300
        if row["name"] != "abort_storm":
            assert row["concurrency"] <= seqs


def test_the_plan_of_a_node_takes_minutes_and_says_what_it_proves():
    data = stress_plan(plan(NODE))
    assert data["minutes"] < 60
    assert all(row["reason"] is None for row in data["shapes"])
    assert 1 - 0.05 ** (1 / 300) < data["shapes"][0]["rate_bound"] == 0.01
    assert {row["hours"]: row["deaths_per_hour_below"] for row in data["bounds"]}[1] == 3
    long, pool = data["shapes"][0], data["shapes"][4]
    assert long["prefix_tokens"] + 1.25 * (long["prompt_tokens"] + long["output_tokens"]) > 0.99 * 131_000
    assert long["prompt_tokens"] * 1.25 <= 8192  # the last chunk is one step
    assert pool["concurrency"] * (pool["prompt_tokens"] + pool["output_tokens"]) > plan(NODE).kv.pool.tokens
