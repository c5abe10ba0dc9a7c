"""How a run ended: what proves that a process died, what only says that it ended, and a stop that was asked for.

The independent truths are those of the systems that print the lines: a shell's and a kernel's words for signals (signal(7)),
128 + n for an exit by signal n, the raw status of waitpid(2), and that 0, 130 and 143 are ends that somebody asked for.
"""

from __future__ import annotations

import pytest

from glmcalc.advise.diagnose import diagnose
from glmcalc.logs.ends import is_a_prompt, last_sign_of_life
from glmcalc.logs.lines import clean_line, visible
from glmcalc.logs.match import find_death
from glmcalc.logs.read import read_log
from tests.logs.test_match import DEAD, POOL, STATS, UP, VERSION, rank
from tests.logs.test_stream import QUIET, SERVING

SERVED = [VERSION, POOL, UP, STATS]
SAYS_WHAT = [
    "Segmentation fault (core dumped)",
    "run.sh: line 3:    81 Segmentation fault      (core dumped) vllm serve m",
    "Aborted (core dumped)",
    "Illegal instruction (core dumped)",
    "zsh: abort      ./run.sh",
    "Fatal Python error: Segmentation fault",
    "(RayWorkerWrapper pid=7) Fatal Python error: Aborted",
    "*** SIGSEGV received at time=1795143610 on cpu 14 ***",
    "*** SIGABRT received at time=1795143610 on cpu 14 ***",
    "!!!!!!! Segfault encountered !!!!!!!",
    "terminate called without an active exception",
    "terminate called after throwing an instance of 'std::runtime_error'",
    "[rank3]:[W1120 02:11:00.211 ProcessGroupNCCL.cpp:1500] terminate called recursively",
    "/src/ggml.c:3210: GGML_ASSERT(a->ne[2] == b->ne[0]) failed",
    "server: /src/sampler.cpp:1094: void f(int): Assertion `found' failed.",
    "double free or corruption (out)",
    "*** stack smashing detected ***: terminated",
    "Nov 20 02:11:00 n systemd[1]: vllm.service: Main process exited, code=dumped, status=11/SEGV",
    "Nov 20 02:11:00 n kernel: python3[81]: segfault at 0 ip 00007f sp 00007f error 4 in libnccl.so.2[7f00+1000]",
    "Container vllm failed liveness probe, will be restarted",
]
SAYS_THAT = [
    "vllm-1 exited with code 1",
    "vllm-1 exited with code 139",
    "      Exit Code:    1",
    '            "ExitCode": 2,',
    "dependency failed to start: container vllm-service exited (1)",
    "E1120 02:11:00.000000 81 api.py:874] failed (exitcode: -11) local_rank: 3 (pid: 83) of binary: /usr/bin/python3",
    "Nov 20 02:11:00 n systemd[1]: vllm.service: Main process exited, code=exited, status=1/FAILURE",
    "Nov 20 02:11:00 n systemd[1]: vllm.service: Failed with result 'exit-code'.",
    "Back-off restarting failed container vllm in pod glm-0",
    "(raylet) A worker died or was killed while executing a task by an unexpected system error.",
    "(EngineCore pid=60) Process EngineCore:",
]
ASKED = [
    "vllm-1 exited with code 0",
    "vllm-1 exited with code 143",
    "vllm-1 exited with code 130",
    "      Exit Code:    143",
    "Nov 20 02:11:00 n systemd[1]: vllm.service: Main process exited, code=killed, status=15/TERM",
    "Nov 20 02:11:00 n systemd[1]: vllm.service: Deactivated successfully.",
]
STOPS = [
    "(APIServer pid=1) INFO:     Shutting down",
    "(APIServer pid=1) INFO 11-20 03:00:03 [launcher.py:110] Shutting down FastAPI HTTP server.",
    "^C",
    "Received SIGTERM, draining",
    "KeyboardInterrupt: terminated",
    "slurmstepd: error: *** JOB 12 ON gpu-01 CANCELLED AT 2026-11-20T02:11:00 DUE TO TIME LIMIT ***",
]


def death_of(*lines):
    return find_death(read_log("\n".join(lines))[-1])


@pytest.mark.parametrize("line", SAYS_WHAT)
def test_a_process_that_dies_after_serving_is_a_crash(line):
    death = death_of(*SERVED, line)
    assert (death.death, death.confidence) == ("not_oom_other", "medium")
    assert death.lines


@pytest.mark.parametrize("line", SAYS_THAT)
def test_an_end_without_a_cause_is_unknown(line):
    death = death_of(*SERVED, line)
    assert (death.death, death.confidence) == ("unknown", "low")
    assert death.lines[-1].text in line


@pytest.mark.parametrize("line", ASKED)
def test_an_end_that_was_asked_for_is_no_death(line):
    assert death_of(*SERVED, line).death == "healthy"


@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize("after", [*SAYS_WHAT[:-1], *SAYS_THAT, DEAD, "vllm-1 exited with code 137", "Killed"])
def test_what_a_stopped_server_prints_is_no_death(stop, after):
    assert death_of(*SERVED, stop, after).death == "healthy"


@pytest.mark.parametrize("stop", STOPS)
def test_a_server_that_stops_because_a_process_died_is_not_asked_to(stop):
    assert death_of(*SERVED, SAYS_WHAT[0], stop, "vllm-1 exited with code 0").death == "not_oom_other"
    assert death_of(*SERVED, DEAD, stop, "vllm-1 exited with code 1").death == "unknown"
    oom = rank(3, "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.")
    assert death_of(*SERVED, stop, oom).death == "runtime_activation"


@pytest.mark.parametrize("stop", STOPS)
def test_a_start_that_was_broken_off_is_not_healthy_where_a_process_died(stop):
    assert death_of(VERSION, POOL, stop, DEAD).death == "unknown"
    assert death_of(VERSION, POOL, stop, SAYS_WHAT[0]).death == "not_oom_other"


def test_a_crash_that_was_survived_is_none():
    assert death_of(*SERVED, SAYS_WHAT[0], *[STATS] * 5).death == "healthy"
    assert death_of(*SERVED, SAYS_THAT[0], STATS).death == "healthy"


def test_an_allocation_that_was_survived_is_not_the_cause_of_a_later_crash():
    oom = rank(3, "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.")
    death = death_of(*SERVED, oom, *[STATS] * 25, DEAD, SAYS_WHAT[0])
    assert death.death == "not_oom_other"
    assert death_of(*SERVED, oom, STATS, DEAD, SAYS_WHAT[0]).death == "runtime_activation"


def test_a_crash_beside_words_of_memory_is_left_open():
    refused = "RuntimeError: the pool could not allocate a region"
    assert death_of(*SERVED, rank(3, refused), "Aborted (core dumped)").death == "unknown"
    said = ["terminate called after throwing an instance of 'x'", "  what():  allocation of 2 GiB refused"]
    assert death_of(*SERVED, *said).death == "unknown"


def test_a_crash_comes_before_the_kill_that_follows_it():
    assert death_of(*SERVED, SAYS_WHAT[0], "Killed").death == "not_oom_other"
    assert death_of(*SERVED, "Killed").death == "host_ram"


def test_the_raw_status_of_waitpid_is_no_exit_code():
    child = "[2026-04-02 08:21:05] Child process unexpectedly failed with exitcode={}. pid=211"
    assert death_of(*SERVED, child.format(9)).death == "host_ram"  # ended by signal 9
    assert death_of(*SERVED, child.format(256)).death == "unknown"  # exit(1)
    assert death_of(*SERVED, child.format(15)).death == "healthy"  # ended by SIGTERM


def test_a_logged_prompt_is_a_users_words():
    line = clean_line(
        1, "INFO 11-20 03:00:05 [logger.py:50] Received request c-1: prompt: 'CUDA out of memory, Killed'"
    )
    assert is_a_prompt(line)
    assert not is_a_prompt(clean_line(1, "Received SIGTERM"))


@pytest.mark.parametrize("line", [*SAYS_WHAT, *SAYS_THAT])
def test_it_is_seen_in_the_middle_of_a_long_log(line):
    log = b"".join(
        ["\n".join(SERVED).encode() + b"\n", SERVING, SERVING, STATS.encode() + b"\n", line.encode() + b"\n", QUIET]
    )
    assert diagnose(log.decode()).death.death != "healthy"


def test_the_last_sign_of_life():
    facts = read_log("\n".join([*SERVED, "Killed"]))[-1]
    assert last_sign_of_life(facts) == 4
    assert last_sign_of_life(read_log(VERSION)[-1]) == 0


def test_a_colour_that_json_escaped_takes_no_letter_with_it():
    assert visible(r"\u001b[1;36m(EngineCore pid=60)\u001b[0;0m ok") == "(EngineCore pid=60) ok"
    line = r'{"log": "\u001b[1;36m(EngineCore pid=60)\u001b[0;0m Process EngineCore:\n"}'
    (read,) = read_log(line)[-1].lines
    assert (read.process, read.text) == ("EngineCore", "Process EngineCore:")
