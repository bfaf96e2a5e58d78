"""Prices, and the arithmetic of money."""

import pytest

from jgpt2 import chips
from jgpt2.errors import InputError
from jgpt2.plan import prices, topology

TABLE = """
[exchange]
jpy_per_usd = 160
date = "2026-01-02"
source = "a bank"
[chips.v5e]
on_demand_usd = 1.5
spot_usd = 0.5
date = "2026-01-01"
source = "a page"
"""


@pytest.fixture
def table(tmp_path):
    file = tmp_path / "値段.toml"
    file.write_text(TABLE, "utf-8")
    return file


def test_the_shipped_table_is_dated_and_says_its_sources():
    known = [chip.name for chip in chips.CHIPS if chip.torus_axes]
    found = {name: prices.find(name) for name in known}
    assert found["v5e"].usd_per_chip_hour == 1.20
    for name in ("v4", "v5e", "v5p", "v6e"):
        assert found[name].date
        assert found[name].source
        assert found[name].exchange_date
    # What is not known is not guessed.
    assert found["tpu7x"].usd_per_chip_hour is None
    assert prices.find("v5e", tier="spot").usd_per_chip_hour is None
    assert found["tpu7x"].cost_usd(5) is found["tpu7x"].cost_jpy(5) is None
    assert found["tpu7x"].chip_hours(usd=5, jpy=None) is None


def test_money(table):
    price = prices.find("v5e", file=table)
    assert price.cost_usd(10) == 15
    assert price.cost_jpy(10) == 2400
    assert price.chip_hours(usd=15, jpy=None) == 10
    assert price.chip_hours(usd=None, jpy=2400) == 10
    assert (price.source, price.date) == ("a page", "2026-01-01")
    assert prices.find("v5e", tier="spot", file=table).cost_usd(10) == 5


def test_what_is_given_counts_before_the_table(table):
    price = prices.find("tpu7x", file=table, usd_per_chip_hour=12.0, jpy_per_usd=100.0)
    assert price.cost_jpy(2) == 2400
    assert price.source == "given by --usd-per-chip-hour"
    assert price.exchange_source == "given by --jpy-per-usd"
    assert price.date is price.exchange_date is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TABLE.replace("160", "0"), "a price is not above 0"),
        (TABLE.replace("1.5", "-1.5"), "a price is not above 0"),
        (TABLE.replace("1.5", "'dear'"), "cannot be used"),
        (TABLE.replace("[exchange]", "[change]"), "cannot be used (KeyError('exchange'))"),
        ("chips = ", "it needs [exchange] with jpy_per_usd"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(table, text, message):
    table.write_text(text, "utf-8")
    with pytest.raises(InputError) as refused:
        prices.find("v5e", file=table)
    assert message in str(refused.value)


def test_a_missing_table_and_a_price_of_nothing_are_refused(tmp_path):
    with pytest.raises(InputError, match="no price table at"):
        prices.find("v5e", file=tmp_path / "none.toml")
    with pytest.raises(InputError, match="--usd-per-chip-hour 0 is no price"):
        prices.find("v5e", usd_per_chip_hour=0)
    with pytest.raises(InputError, match="--jpy-per-usd -1 is no price"):
        prices.find("v5e", jpy_per_usd=-1)


def test_every_chip_of_the_table_is_one_that_can_be_planned():
    for name in prices._read(None)["chips"]:
        assert topology.parse(f"{name}-8").chip.name == name
