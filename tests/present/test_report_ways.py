"""Three ways: as is, cheaper, roomier; their price is arithmetic on the list, their need the customer's."""

import re

import pytest

from glmcalc.present.report import Report
from glmcalc.present.report_offers import offers

NEED = {"concurrency": 8, "input_length": 24_000, "output_length": 1_000, "min_tok_s_user": 10}
H200 = {"gpu": "h200_sxm", "gpus": 8, "tensor_parallel_size": 8, "kv_cache_dtype": "fp8", "max_model_len": 65_000}


@pytest.fixture(scope="module")
def ways():
    report = Report("Example A", **H200, **NEED)
    return report, offers(report.case)


def test_three_in_their_order(ways):
    report, found = ways
    assert [offer.name for offer in found] == ["As is", "Cheaper", "Roomier"]
    assert found[0].case is report.case
    for offer in found:
        assert (offer.case is None) == (offer.reason is not None), "a way, or why there is none"


def test_the_others_serve_the_need_for_sure(ways):
    for offer in ways[1][1:]:
        if offer.case is not None:
            assert offer.status == "fits"
            assert offer.case.speed is not None
            assert offer.case.speed.tok_s_user is not None
            assert offer.case.speed.tok_s_user.low >= NEED["min_tok_s_user"]
            assert offer.case.held(25_000).times[0] * offer.case.groups >= NEED["concurrency"]


def test_cheaper_is_cheaper_and_roomier_holds_more(ways):
    own, cheaper, roomier = ways[1]
    if cheaper.case is not None:
        assert cheaper.price.low + cheaper.price.high < own.price.low + own.price.high
    if roomier.case is not None:
        held = [one.case.held(25_000).times[0] * one.case.groups for one in (own, roomier)]
        assert held[1] > held[0]


def test_price_of_a_million_tokens_by_hand(ways):
    """$ an hour over tokens an hour, at the middle of both bands."""
    own = ways[1][0]
    total = own.case.speed.tok_s_total
    middle = (own.price.low + own.price.high) / 2
    assert own.per_million.mid == pytest.approx(middle / (total.mid * 3600 / 1e6))
    assert own.price.date[:2] == "20"
    assert own.price.source.startswith("http")


def test_own_prices_stand_in_for_the_list_s(tmp_path):
    file = tmp_path / "prices.csv"
    file.write_text("gpu,usd_per_hour,date,source\nmac_m3_ultra_512,0.5,2026-11,a bill\n", encoding="utf-8")
    mac = {
        "engine": "llama.cpp",
        "gpu": "mac_m3_ultra_512",
        "gpus": 1,
        "quantization": "UD-Q3_K_XL",
        "input_length": 8_000,
    }
    own = offers(Report("Example C", **mac).case)[0]
    assert own.price is None
    assert "no price" in own.price_reason
    priced = Report("Example C", prices=str(file), **mac)
    assert offers(priced.case)[0].price.high == 0.5
    assert "$0.50" in priced.ways().text


def test_the_section_says_each_fact_of_each_way(ways):
    report, found = ways
    text = report.ways().text
    there = sum(offer.case is not None for offer in found)
    assert len(re.findall(r"<dt>", text)) == 8 * there
    for offer in found:
        assert f"<h3>{offer.name}</h3>" in text
        if offer.case is not None and offer is not found[0]:
            assert offer.case.data["command"].split()[2] in text


def test_roomier_than_a_mac_holds_more_than_there_is_room_for():
    """llama.cpp has as many slots as it is told: what counts is the memory that is left, not the one slot."""
    mac = {
        "engine": "llama.cpp",
        "gpu": "mac_m3_ultra_512",
        "gpus": 1,
        "quantization": "UD-Q3_K_XL",
        "input_length": 26_000,
    }
    own, _, roomier = offers(Report("Example C", **mac).case)
    if roomier.case is None:
        assert roomier.reason
    else:
        assert roomier.case.held(26_000).times[0] * roomier.case.groups > own.case.held(26_000).times[0] > 1
