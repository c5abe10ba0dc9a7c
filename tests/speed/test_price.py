"""Prices: by the hour, by the token, and a user's own file."""

import pytest

from glmcalc.facts.errors import InputError
from glmcalc.facts.hardware import device
from glmcalc.speed.bands import Range
from glmcalc.speed.price import hourly_price, list_price, load_prices, token_price, usd_per_million


def test_eight_h200_at_list_prices():
    """2.50 to 7.00 US$ a GPU and hour in 2026-05 (data/hardware.csv)."""
    found = hourly_price(device("h200_sxm"), 8)
    assert (found.low, found.high, found.date) == (20.0, 56.0, "2026-05")
    assert found.source.startswith("https://")
    assert list_price(device("h20_96")) is None
    assert hourly_price(device("mac_m3_ultra_512"), 1) is None


def test_one_sided_prices_are_one_price():
    found = list_price(device("b300_sxm"))
    assert found.low == found.high == 10.31


def test_a_million_tokens():
    assert usd_per_million(3.6, 1000) == pytest.approx(1.0)
    found = token_price(hourly_price(device("h200_sxm"), 8), Range(500.0, 1000.0, 2000.0))
    assert found.low == pytest.approx(20 / 7.2)
    assert found.mid == pytest.approx(38 / 3.6)
    assert found.high == pytest.approx(56 / 1.8)


def written(tmp_path, text):
    path = tmp_path / "prices.csv"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_users_own_prices_win(tmp_path):
    path = written(tmp_path, "gpu,usd_per_hour,date,source\nh200_sxm,3.10,2026-11,our contract\n")
    found = hourly_price(device("h200_sxm"), 8, load_prices(path))
    assert (found.low, found.high, found.date, found.source) == (24.8, 24.8, "2026-11", "our contract")
    assert hourly_price(device("h100_sxm"), 1, load_prices(path)) == list_price(device("h100_sxm"))


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("gpu,usd_per_hour,source\nh200_sxm,3,x\n", "prices"),
        ("", "prices"),
        ("gpu,usd_per_hour,date,source\nh200,3,2026-11,x\n", "gpu"),
        ("gpu,usd_per_hour,date,source\nh200_sxm,free,2026-11,x\n", "usd_per_hour"),
        ("gpu,usd_per_hour,date,source\nh200_sxm,-1,2026-11,x\n", "usd_per_hour"),
        ("gpu,usd_per_hour,date,source\nh200_sxm,nan,2026-11,x\n", "usd_per_hour"),
        ("gpu,usd_per_hour,date,source\nh200_sxm,3,yesterday,x\n", "date"),
    ],
)
def test_a_bad_file_is_refused_by_name(tmp_path, text, field):
    with pytest.raises(InputError) as caught:
        load_prices(written(tmp_path, text))
    assert caught.value.field == field


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError):
        load_prices(str(tmp_path / "none.csv"))
