"""Lines that carry figures: the value in bytes, whatever the unit, of lines in the engines' own forms."""

import pytest

from glmcalc.facts.quantity import GIB, MIB
from glmcalc.logs.grammar import line_rules, value_of
from glmcalc.logs.read import read_log

PRINTED = [
    ("Model loading took 95.12 GiB memory and 412.3 seconds", "weights_bytes", 95.12 * GIB),
    ("Loading model weights took 15.2075 GB", "weights_bytes", 15.2075 * GIB),
    ("Available KV cache memory: -1.05 GiB", "available_kv_bytes", -1.05 * GIB),
    ("GPU KV cache size: 1,177,152 tokens", "kv_tokens", 1_177_152),
    ("Maximum concurrency for 131,072 tokens per request: 8.98x", "max_concurrency", 8.98),
    ("Estimated CUDA graph memory: 0.26 GiB total", "cuda_graph_estimated_bytes", 0.26 * GIB),
    ("Graph capturing finished in 29 secs, took 3.34 GiB", "cuda_graph_actual_bytes", 3.34 * GIB),
    ("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 2 has", "tried_bytes", 20 * MIB),
    ("GPU 2 has a total capacity of 14.62 GiB of which 3.31 MiB is free", "free_bytes", 3.31 * MIB),
    ("GPU 2 has a total capacity of 14.62 GiB of which 448.00 KiB is free", "free_bytes", 448 * 1024),
    ("this process has 14.61 GiB memory in use", "process_bytes", 14.61 * GIB),
    ("23.14 MiB is reserved by PyTorch but unallocated", "unallocated_bytes", 23.14 * MIB),
    ("(53.45 GiB KV cache is needed, which is larger", "kv_needed_bytes", 53.45 * GIB),
    ("the estimated maximum model length is 515904.", "estimated_max_model_len", 515_904),
    ("Free memory on device cuda:5 (6.1/139.8 GiB) on startup is less", "start_free_bytes", 6.1 * GIB),
    ("Free memory on device (31.44/47.38 GiB) on startup is less", "gpu_total_bytes", 47.38 * GIB),
    ("KV Cache is allocated. #tokens: 640000, KV size: 32.10 GB", "available_kv_bytes", 32.10 * GIB),
    ("llama_kv_cache:      CUDA0 KV buffer size =  5616.00 MiB", "available_kv_bytes", 5616 * MIB),
]  # fmt: skip


@pytest.mark.parametrize(("line", "name", "value"), PRINTED)
def test_a_printed_figure_is_read(line, name, value):
    found = [row.value for row in read_log(line)[0].memory if row.name == name]
    assert found
    assert abs(found[0] - value) <= abs(value) * 1e-6 + 1


def test_a_quantity_of_bytes_has_bytes_in_its_name_and_a_unit_in_its_pattern():
    for rule in line_rules("memory"):
        if "unit" in rule.pattern.groupindex:
            assert rule.name.endswith("_bytes"), rule.id


def test_each_rule_is_read_from_some_engine_and_names_a_source():
    rules = [rule for means in ("memory", "phase", "engine") for rule in line_rules(means)]
    assert len({rule.id for rule in rules}) == len(rules)
    assert all(rule.source.startswith("https://") and rule.note for rule in rules)


def test_a_broken_figure_is_left_out():
    rule = next(rule for rule in line_rules("memory") if rule.name == "available_kv_bytes")
    match = rule.pattern.search("Available KV cache memory: 1.2.3 GiB")
    assert match is None or value_of(rule, match) is None


PHASES = [
    ("Starting to load model m...", "loading"),
    ("Model loading took 1.0 GiB memory", "loaded"),
    ("Available KV cache memory: 31.4 GiB", "pooled"),
    ("Capturing CUDA graphs (FULL):  40%", "capturing"),
    ("Graph capturing finished in 29 secs, took 3.34 GiB", "captured"),
    ("Application startup complete.", "serving"),
]


def test_the_phases_of_a_start_are_read_in_order():
    text = "INFO 01-01 00:00:00 [api_server.py:1] vLLM API server version 0.33.0\n" + "\n".join(
        line for line, _ in PHASES
    )
    assert [phase for _, phase in read_log(text)[0].phases] == [phase for _, phase in PHASES]
