"""Three ways: as is, cheaper, roomier; their price is arithmetic on the list, their need the customer's."""

import html
import re

import pytest

from glmcalc.model.gguf import published_files
from glmcalc.present.report import Report
from glmcalc.present.report_changes import changes_of
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
            assert offer.judged.status == "fits"
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


README = {"gpu": "h200_sxm", "gpus": 8, "max_model_len": 131_000}
OFFLOADED = "llama-server -hf unsloth/GLM-5.2-GGUF:UD-Q4_K_S -c 131072 -ngl 99 --n-cpu-moe 70 -ctk f16"


def test_every_changed_setting_is_listed():
    """Where a value of the command differs from the first one's, its name or its short name stands in *What changes*."""
    report = Report("Example A", **README)
    was = report.case.data["deployment"]
    for offer in report.offers[1:]:
        now = offer.case.data["deployment"]
        said = " ".join(change.text for change in changes_of(offer.case, report.case))
        for name, short in (("max_num_seqs", "max_num_seqs"), ("tensor_parallel_size", "TP"), ("quantization", "weights"),
                            ("gpu_memory_utilization", "utilization"), ("max_num_batched_tokens", "batched tokens")):  # fmt: skip
            assert (f"{short} " in said) == (now[name] != was[name]), name
        assert said in html.unescape(re.sub(r"<[^>]+>", "", report.ways().text)).replace(";", "")


@pytest.mark.parametrize("needs", [{}, {"concurrency": 2, "input_length": 30_000}])
def test_as_many_requests_are_let_in_as_are_said_to_be_held(needs):
    for offer in Report("Example A", **README, **needs).offers[1:]:
        if offer.case is not None:
            length = offer.case.needs.length if offer.case.needs else 131_000
            assert offer.case.data["deployment"]["max_num_seqs"] >= offer.case.held(length).times[2]
            assert f"--max-num-seqs {offer.case.data['deployment']['max_num_seqs']}" in offer.case.data["command"]
            assert offer.judged.memory == "fits"


def test_fewer_let_in_than_held_is_said():
    text = Report("Example A", **README, max_num_seqs=1).ways().text
    assert "<code>max_num_seqs</code> lets 1 in" in text


def test_another_way_takes_requests_as_long_as_the_first():
    """The need is shorter than what is served now: no step may silently cut it."""
    found = Report("Example A", **README, concurrency=2, input_length=30_000).offers
    assert {offer.case.longest for offer in found if offer.case is not None} == {131_000}


def test_what_lies_in_host_memory_is_said_and_no_price_is_given_for_it():
    """On GPU and host together lies the whole file: as many bytes as its publisher's pages say (the MTP layer is not loaded)."""
    report = Report("Example C", command=OFFLOADED, gpu="rtx_pro_6000", gpus=1, concurrency=1, input_length=24_000)
    away = float(re.search(r"([\d.]+) GiB of weights in host memory", report.first_page().text)[1])
    size = published_files()["UD-Q4_K_S"]
    assert away + report.plan.component("weights").band.likely / 2**30 == pytest.approx(size / 2**30, rel=0.03)
    text = report.ways().text
    assert f"+ {away} GiB of weights in host memory" in text
    assert "without its host" in text


def test_no_way_of_unknown_speed_beside_a_known_one():
    for offer in Report("Example A", **README).offers[1:]:
        assert offer.case.speed.tok_s_user is not None
        assert not offer.case.data.get("host")


def test_a_step_between_a_known_and_an_unknown_speed_says_so():
    report = Report("Example A", gpu="h100_sxm", gpus=8, max_model_len=131_072, concurrency=4)
    assert report.case.speed.tok_s_user is None
    assert "tok/s of one user not known → " in report.ways().text


def test_over_two_nodes_the_report_knows_no_speed_either():
    """Where sizing refuses a speed, the same machine read from its command has none."""
    found = Report("Example A", **{**README, "max_model_len": 1_048_576}, concurrency=1).offers
    wide = [offer for offer in found if offer.case is not None and offer.case.plan.resolved.gpus == 16]
    assert wide, "16 x H200 hold the most"
    for offer in wide:
        assert offer.case.speed is None
        assert "2 nodes of 8 GPUs" in offer.case.speed_reason
        assert offer.per_million is None
        assert offer.apart == "2 nodes over network"
    assert (
        "; 2 nodes over network"
        in Report("Example A", **{**README, "max_model_len": 1_048_576}, concurrency=1).ways().text
    )
    own = Report("Example A", **{**README, "gpus": 16}, concurrency=1)
    assert own.to_dict()["tok_s_user"] is None
    assert "2 nodes of 8 GPUs" in own.to_dict()["tok_s_user_reason"]


def test_the_same_machine_comes_first_where_the_deployment_does_not_serve():
    report = Report("Example A", gpu="h100_sxm", gpus=8, max_model_len=131_072, concurrency=4)
    assert [offer.name for offer in report.offers] == ["As is", "Same machine", "Cheaper", "Roomier"]
    same = report.offers[1]
    assert (same.case.plan.resolved.device.id, same.case.plan.resolved.gpus) == ("h100_sxm", 8)
    assert same.judged.memory == "fits"
    assert same.case.held(131_072).times[0] >= 4
    assert "Four ways" in report.ways().text
    mac = Report("Example C", engine="llama.cpp", gpu="mac_m3_ultra_512", gpus=1, quantization="UD-Q4_K_XL", concurrency=2,
                 input_length=32_768)  # fmt: skip
    assert mac.offers[1].case.data["deployment"]["gpu"] == "mac_m3_ultra_512"
    assert "Cheaper: the price of the present machine is not known" in mac.ways().text


def test_the_command_that_does_work_holds_the_need():
    """The budget's nearest command holds 1.3 requests of 131,072 tokens, and 4 are asked for."""
    report = Report("Example A", gpu="h100_sxm", gpus=8, max_model_len=131_072, concurrency=4)
    assert report.data["verdict"]["mend"]["summary"].startswith("1.3 requests")
    first = report.first_page().text
    works = first[first.index("The command that does work") : first.index("Command as asked")]
    assert report.offers[1].case.data["command"].split()[2] in works
    assert "1.3 requests" not in first
    assert "--kv-cache-dtype</code> <del>auto</del> → <ins>fp8</ins>" in works


def test_a_command_that_only_starts_is_called_so():
    """No deployment of eight H100 holds 64 requests of 131,072 tokens."""
    report = Report("Example A", gpu="h100_sxm", gpus=8, max_model_len=131_072, concurrency=64)
    assert "Same machine" not in [offer.name for offer in report.offers]
    first = report.first_page().text
    assert "A command that starts <small>it holds 1.3 of the 64 requests asked for" in first
    assert "The command that does work" not in first


def test_an_unsupported_deployment_holds_nothing():
    report = Report("Example A", **{**README, "max_model_len": 131_072}, kv_cache_dtype="bfloat16",
                    decode_context_parallel_size=2, concurrency=4)  # fmt: skip
    assert report.judged.status == "unsupported"
    assert "requests at once" not in report.method().text
    assert "No figure" in report.components().text
    ways = report.ways().text
    assert ways.count("holds ") == sum(offer.case is not None for offer in report.offers[1:]), (
        "of the others, once each"
    )


@pytest.mark.parametrize(
    ("concurrency", "words"),
    [(1, "The command that does work"), (64, "A command that starts <small>it takes no request of 1,040,000 tokens")],
)
def test_a_command_that_shortens_the_requests_is_no_answer(concurrency, words):
    """The nearest command that starts has a shorter max_model_len than the requests that are asked for."""
    report = Report("Example A", gpu="h200_sxm", gpus=4, quantization="w4a16", max_model_len=1_048_576, concurrency=concurrency,
                    input_length=1_040_000)  # fmt: skip
    near = next(change for change in report.data["verdict"]["mend"]["change"] if change["flag"] == "--max-model-len")
    assert near["to"] < 1_040_000
    first = report.first_page().text
    assert words in first
    works = first[first.index(words) : first.index("Command as asked")]
    assert (f"--max-model-len {near['to']}" in works) == (concurrency > 1)


def test_no_more_requests_are_let_in_than_the_engine_takes():
    """Requests of 1,000 tokens: 15,651 would fit, and vLLM refuses max_num_seqs above max_num_batched_tokens."""
    mac = {"engine": "llama.cpp", "gpu": "mac_m3_ultra_512", "gpus": 4, "quantization": "UD-Q2_K_XL", "concurrency": 32}
    for offer in Report("Example C", **mac, output_length=1_000).offers[1:]:
        if offer.case is not None and offer.case.engine == "vllm":
            said = offer.case.data["deployment"]
            assert said["max_num_seqs"] <= said["max_num_batched_tokens"]
