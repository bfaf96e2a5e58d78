"""From seconds of a step to hours and money, in closed form."""

import dataclasses
import json

import pytest

from jgpt2 import config
from jgpt2.errors import InputError
from jgpt2.model import count
from jgpt2.plan import page, prices, report, topology
from tests.plan.conftest import EXPERIMENT, MEMORY, VOCABULARY, forecasted, stepped


def test_time_rates_and_money_of_the_budget(one_second):
    tokens = 32 * 128
    assert one_second["step_time_s"] == pytest.approx(1)
    assert one_second["tokens_per_s"] == pytest.approx(tokens)
    assert one_second["tokens_per_s_per_chip"] == pytest.approx(tokens / 16)
    assert one_second["bytes_per_s"] == pytest.approx(4 * tokens)
    assert one_second["hours"] == pytest.approx(2)
    assert one_second["chip_hours"] == pytest.approx(32)
    assert one_second["cost_usd"] == pytest.approx(64)
    assert one_second["cost_jpy"] == pytest.approx(9600)
    assert (one_second["tokens"], one_second["bytes"]) == (7200 * tokens, 4 * 7200 * tokens)


def test_mfu_in_both_conventions(one_second):
    causal = count.flops_per_token(EXPERIMENT.model, 1000)
    attention = 6 * 2 * 128 * 128
    peak = 16 * 197e12
    assert one_second["flops_per_token"] == causal
    assert one_second["mfu"] == pytest.approx(causal * 32 * 128 / peak)
    full = (causal + attention) * 32 * 128 / peak
    assert one_second["mfu_full_attention"] == pytest.approx(full)


def test_what_the_json_must_carry(one_second):
    asked = (
        "topology chips step_time_s mfu hbm_bytes hbm_limit_bytes tokens_per_s_per_chip classes_s "
        "collectives kernels flops_per_token hours cost_usd cost_jpy"
    )
    assert set(asked.split()) <= set(one_second)
    unfit = forecasted("", step=stepped(needed_bytes=40 * 2**30, available_bytes=2**34))
    assert set(asked.split()) <= set(unfit)
    json.dumps([one_second, unfit], allow_nan=False)


def test_memory_is_the_compilers_and_its_parts_sum_to_it(one_second):
    assert one_second["hbm_bytes"] == sum(one_second["hbm_parts"].values()) == 1300 + 5000 + 50
    assert one_second["hbm_parts"]["padding"] == 1300 - 400 - 800 - 40
    assert one_second["hbm_code_bytes"] == 70
    assert one_second["fits"]
    assert one_second["bottleneck"] == {"class": "matmul", "share": pytest.approx(0.75)}


def test_a_program_that_leaves_no_room_for_its_code_does_not_fit(one_second):
    tight = stepped(one_second_text(), memory=MEMORY | {"temporaries": int(16e9) - 1350})
    made = forecasted("", step=tight)
    assert not made["fits"]
    assert made["verdict"].startswith("is too tight: 16.0 of 16.0 GB a device with its code; try")


def one_second_text():
    from tests.plan.conftest import LAYOUT, cycles, program

    return program(f"%sum = f32[8,128]{LAYOUT} add(%p, %p), {cycles(1_500_000_000)}")


def test_what_does_not_fit_is_an_answer_with_what_to_try():
    made = forecasted("", step=stepped(needed_bytes=40 * 2**30, available_bytes=2**34))
    assert made["verdict"] == (
        "does not fit: needs 42.9 of 17.2 GB a device; try a larger batch.accumulation, "
        "model.remat, a larger mesh.fsdp, a smaller batch, or more chips"
    )
    assert made["hbm_bytes"] == 40 * 2**30
    assert made["step_time_s"] is made["cost_usd"] is made["cost_jpy"] is made["hours"] is None
    assert made["classes_s"] == {}
    assert "does not fit: needs 42.9 of 17.2 GB" in report.text([made])
    assert "いいえ no" in page.page([made])


def test_a_budget_in_bytes_needs_bytes_per_token():
    unknown = dataclasses.replace(VOCABULARY, bytes_per_token=None)
    in_bytes = dataclasses.replace(EXPERIMENT, budget=config.Budget(num_bytes=10**6))
    with pytest.raises(InputError, match="give --bytes-per-token, or the tokenizer"):
        forecasted(one_second_text(), vocabulary=unknown, experiment=in_bytes)
    made = forecasted(one_second_text(), vocabulary=unknown)
    assert made["bytes"] is made["bytes_per_s"] is None
    assert made["hours"] == pytest.approx(2)
    assert "bytes per token not known" in report.text([made])
    assert forecasted(one_second_text(), experiment=in_bytes)["steps"] == 62


def test_without_a_price_there_is_no_cost():
    made = forecasted(one_second_text(), price=prices.find("tpu7x"))
    assert made["cost_usd"] is made["cost_jpy"] is None
    assert "cost        not known; no on_demand price of tpu7x is known" in report.text([made])
    assert "不明 unknown" in page.page([made])


def test_the_report_answers_first_what_is_asked_most(one_second):
    said = report.text([one_second])
    head = said.splitlines()[2:9]
    assert [line.split()[0] for line in head] == [
        "memory", "time", "cost", "bottleneck", "step", "rate", "MFU",
    ]  # fmt: skip
    assert "2.0 h for 118MB of text, 29.5M tokens, 7,200 steps" in head[1]
    assert "$64.00 = ¥9,600; $2.00 a chip-hour on demand" in head[2]
    assert "matrix products, 75% of a step" in head[3]
    assert "1000.0 ms ±25% (750 to 1250)" in head[4]


def test_several_topologies_are_compared_first(one_second):
    other = one_second | {"topology": "v5p:2x2x1", "hours": 0.5, "fits": False}
    said = report.text([one_second, other])
    assert said.splitlines()[0].split()[:3] == ["topology", "chips", "memory"]
    assert "30 min" in said.splitlines()[2]
    assert "✗" in said.splitlines()[2]
    shown = page.page([one_second, other])
    assert "比較 Comparison" in shown
    assert shown.index("比較 Comparison") < shown.index("1ステップの内訳")


def test_the_page_and_the_json_are_written(one_second, tmp_path):
    page.write(tmp_path / "計画", [one_second])
    assert json.loads((tmp_path / "計画" / "plan.json").read_text("utf-8")) == one_second
    shown = (tmp_path / "計画" / "plan.html").read_text("utf-8")
    for words in ("How long?", "How much?", "Does it fit?", "Bottleneck", "¥9,600", "±25%"):
        assert words in shown
    assert "<script" not in shown
    page.write(tmp_path / "計画", [one_second, one_second])
    assert len(json.loads((tmp_path / "計画" / "plan.json").read_text("utf-8"))) == 2


def test_names_on_the_page_are_escaped(one_second):
    assert "<b>" not in page.page([one_second | {"name": "<b>"}])


def test_on_two_devices_a_chip_rates_are_of_chips():
    made = forecasted(one_second_text(), topology=topology.parse("tpu7x-4"))
    assert made["chips"] == 4
    assert made["devices"] == 8
    assert made["tokens_per_s_per_chip"] == pytest.approx(made["tokens_per_s"] / 4)
    assert made["hbm_limit_bytes"] == 96e9
