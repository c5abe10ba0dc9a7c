"""The heat map of chapter 3: each field against the budget of its own deployment."""

import re

from glmcalc import Deployment, plan
from glmcalc.present.frames_heat import heat

H200 = Deployment(gpu="h200_sxm", tensor_parallel_size=8, kv_cache_dtype="fp8")
LENGTHS, SEQUENCES = (65_536, 1_048_576), (1, 8, 64)


def test_the_map_in_words_is_what_the_budget_says():
    lines = []
    machines = {"plain": H200, "with DCP 8": H200.changed(decode_context_parallel_size=8)}
    for name, deployment in machines.items():
        most = {}
        for length in LENGTHS:
            for count in SEQUENCES:
                made = plan(deployment.changed(max_model_len=length, max_num_seqs=count))
                low = made.kv.low
                held = (low.num_blocks - 1) // low.blocks_per_request if low.fits else 0
                if made.verdict.status == "fits" and held >= count:
                    most[length] = count
        lines.append(f"{name}: " + ", ".join(f"{count} of {length:,}" for length, count in most.items()))
    assert heat(machines, LENGTHS, SEQUENCES).plain.splitlines() == lines
    assert "1,048,576" not in lines[0]
    assert "1,048,576" in lines[1]


def test_the_drawing_asks_for_nothing_and_names_its_axes():
    text = heat({"8 × H200": H200}, LENGTHS, SEQUENCES).text
    assert "max_model_len, tokens" in text
    assert "max_num_seqs" in text
    assert ">64K<" in text
    assert ">1M<" in text
    assert set(re.findall(r"https?://[^\s\"']+", text)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
