"""The other ways to serve a need: on the same machine, cheaper, roomier; held to the machines' own file and to budgets."""

import pytest

from glmcalc.budget.engines import plan
from glmcalc.model.deployment import Deployment
from glmcalc.solve.answer import deployment_from
from glmcalc.solve.size import size_rows
from glmcalc.solve.size_alternatives import alternatives, serving_rows
from glmcalc.solve.size_need import Need


@pytest.mark.parametrize("gpu", ["h100_sxm", "h200_sxm", "rtx_pro_6000"])
def test_no_machine_of_unknown_speed_or_price_stands_beside_a_known_one(gpu):
    """Rows with ``host_ram_gb`` price a GPU without the host that holds the experts, and their speed is not known."""
    asked = Deployment(
        gpu=gpu, gpus=8, model="nvidia/GLM-5.2-NVFP4", kv_cache_dtype="fp8", max_model_len=9_000, max_num_seqs=4
    )
    rows = size_rows(Need(9_000, 4), limits=False)
    assert any(row["serves"] and row["host_ram_gb"] for row in rows), "one of them would be the cheapest"
    own, *others = alternatives(asked, Need(9_000, 4))
    assert own["row"]["tok_s_user"] is not None
    for one in others:
        if one["row"] is not None:
            assert one["row"]["host_ram_gb"] is None
            assert one["row"]["tok_s_user"] is not None


def test_a_host_that_holds_the_experts_only_where_nothing_else_serves(monkeypatch):
    rows = size_rows(Need(9_000, 4), limits=False)
    away = [row for row in rows if row["host_ram_gb"]]
    monkeypatch.setattr("glmcalc.solve.size_alternatives.size_rows", lambda need, limits: away)
    assert [row["id"] for row in serving_rows(Need(9_000, 4))] == [row["id"] for row in away if row["serves"]] != []


def test_the_same_machine_where_it_serves_otherwise():
    """FP8 weights do not load on 8 x 80 GB: 704 GiB / 8 = 88 GiB each. Four bits do, and the command holds what is asked."""
    own, same, _, _ = alternatives(Deployment(gpu="h100_sxm", gpus=8, max_model_len=131_072), Need(131_072, 4))
    assert own["row"]["status"] == "does_not_fit"
    row = same["row"]
    assert (row["gpu"], row["gpus"], row["status"], same["step"]["usd_per_hour"]) == ("h100_sxm", 8, "fits", 0)
    made = plan(deployment_from(row["command"], {"gpu": "h100_sxm", "gpus": 8})[0])
    assert made.verdict.status == "fits"
    blocks = made.kv.available.low // made.kv.bytes_per_block
    of_one = 131_072 // (made.resolved.dcp * made.resolved.block_size)  # whole blocks: all three are powers of two
    assert blocks >= 4 * of_one


def test_roomier_is_so_at_both_figures():
    own, same, _, roomier = alternatives(Deployment(gpu="h100_sxm", gpus=8, max_model_len=131_072), Need(131_072, 4))
    for end in ("low", "likely"):
        assert roomier["row"]["held"][end] >= 1.25 * max(4, own["row"]["held"][end], same["row"]["held"][end])
