"""What a purse buys, scaled by FLOPs."""

import pytest

from jgpt2.model import count, sizes
from jgpt2.plan import page, prices, purse, report, vocabulary
from tests.plan.conftest import EXPERIMENT, VOCABULARY

PRICE = prices.find("v5e", usd_per_chip_hour=2.0, jpy_per_usd=150.0)


def bought(made, **purses):
    given = {"usd": None, "jpy": None} | purses
    larger = vocabulary.Vocabulary("大", 4000, 5.0, "measured")
    return purse.buys(made, EXPERIMENT, price=PRICE, vocabularies=[VOCABULARY, larger], **given)


def test_the_same_purse_in_yen_and_in_dollars(one_second):
    in_yen, in_dollars = bought(one_second, jpy=309_500), bought(one_second, usd=309_500 / 150)
    for name in ("budget_usd", "budget_jpy", "hours", "tokens", "bytes", "flops"):
        assert in_yen[name] == pytest.approx(in_dollars[name])
    assert in_yen["hours"] == pytest.approx(309_500 / 150 / 2 / 16)
    assert in_yen["tokens"] == pytest.approx(in_yen["hours"] * 3600 * 32 * 128)
    assert in_yen["bytes"] == pytest.approx(4 * in_yen["tokens"])


def test_exactly_the_price_of_a_size_buys_it(one_second):
    small = sizes.SMALL
    needed = 20 * count.parameters(small, 1000) * count.flops_per_token(small, 1000)
    usd = needed / one_second["flops_per_token"] / one_second["tokens_per_s"] / 3600 * 16 * 2
    assert bought(one_second, usd=usd * 1.001)["largest_model"] == "small"
    assert bought(one_second, usd=usd * 0.999)["largest_model"] == "tiny"
    assert bought(one_second, usd=usd * 1e-9)["largest_model"] is None


def test_the_largest_vocabulary_pays_the_text_of_the_budget(one_second):
    assert bought(one_second, usd=64 * 1.001)["vocabularies"][0]["share"] == pytest.approx(1.001)
    model = EXPERIMENT.model
    # Cut by the larger vocabulary the text is 4/5 of the tokens, each of more FLOPs.
    dearer = count.flops_per_token(model, 4000) / count.flops_per_token(model, 1000) * 4 / 5
    assert dearer > 1
    assert bought(one_second, usd=64 * dearer * 1.001)["largest_vocabulary"] == "大"
    assert bought(one_second, usd=64 * dearer * 0.999)["largest_vocabulary"] == "sp"


def test_without_a_price_or_a_fit_nothing_is_bought(one_second):
    unknown = prices.find("tpu7x")
    assert purse.buys(
        one_second, EXPERIMENT, price=unknown, usd=9.0, jpy=None, vocabularies=[]
    ) is None  # fmt: skip
    assert bought(one_second | {"step_time_s": None}, usd=9.0) is None
    assert "buys nothing that is known" in report.text([one_second | {"purse": None}])


def test_it_is_reported_with_its_rule(one_second):
    made = one_second | {"purse": bought(one_second, jpy=309_500)}
    said = report.text([made])
    assert "purse       ¥309,500 = $2,063 buys 2.7 days" in said
    assert "scaled by FLOPs from this compile" in said
    assert "scaled by FLOPs from this compile" in page.page([made])
