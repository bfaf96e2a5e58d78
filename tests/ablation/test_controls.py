import math
from dataclasses import replace

import pytest

from jgpt2 import config
from jgpt2.ablation import cells, controls
from jgpt2.ablation import study as studies
from jgpt2.errors import InputError
from jgpt2.model import count

BASE = config.Experiment(
    name="base",
    model=config.Model(layers=4, embed_dim=128, heads=4, context=64),
    budget=config.Budget(num_bytes=20_000_000),
    evaluation=config.Evaluation(max_bytes=777),
)
VOCABULARIES = {
    name: controls.Vocabulary(name, f"fingerprint of {name}", size, bytes_per_token, 0.4)
    for name, size, bytes_per_token in (
        ("byte", 257, 0.999),
        ("sp-4k", 4096, 3.3),
        ("sp-16k", 16_384, 4.4),
    )
}
ARMS = {name: replace(BASE, tokenizer=name) for name in VOCABULARIES}
CONTROLS = ("iso_flop", "iso_byte", "iso_parameter")


def plan(**fields):
    given = {"name": "s", "reference": "sp-4k", "controls": CONTROLS, "batch_bytes": 40_000}
    return studies.Plan(studies.Study(**(given | fields)), ARMS)


def costs(control, **fields):
    found = {}
    for arm in ARMS:
        made = controls.resolve(plan(**fields), arm, control, VOCABULARIES, seed=0)
        found[arm] = made, controls.cost(made, VOCABULARIES[arm])
    return found


def test_equal_flops_are_equal_to_a_step():
    found = costs("iso_flop")
    expected = found["sp-4k"][1].flops
    for made, cost in found.values():
        assert cost.flops == pytest.approx(expected, rel=1 / cost.steps)
        assert made.model == BASE.model
    bytes_seen = {arm: cost.num_bytes for arm, (_, cost) in found.items()}
    assert bytes_seen["sp-4k"] == pytest.approx(20e6, rel=0.002)
    assert len({round(value) for value in bytes_seen.values()}) == 3


def test_equal_bytes_are_equal_to_a_step():
    for _, cost in costs("iso_byte").values():
        assert cost.num_bytes == pytest.approx(20e6, rel=1 / cost.steps)


@pytest.mark.parametrize("by", ["width", "depth"])
def test_equal_parameters_adjust_the_body(by):
    found = costs("iso_parameter", match_by=by)
    totals = {
        arm: count.parameters(made.model, VOCABULARIES[arm].vocab_size)
        for arm, (made, _) in found.items()
    }
    assert found["sp-4k"][0].model == BASE.model
    field = {"width": "embed_dim", "depth": "layers"}[by]
    sizes = [getattr(found[arm][0].model, field) for arm in ("byte", "sp-4k", "sp-16k")]
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == 3
    if by == "width":
        for total in totals.values():
            assert total == pytest.approx(totals["sp-4k"], rel=0.03)
    else:  # 12 x 128² is a large step, and no body is so small as the table is large
        step = count.parameters(replace(BASE.model, layers=5), 257)
        step -= count.parameters(BASE.model, 257)
        assert abs(totals["byte"] - totals["sp-4k"]) <= step / 2
        assert found["sp-16k"][0].model.layers == 1


def test_batches_hold_equal_bytes():
    for made, cost in costs("iso_flop", batch_bytes=40_000).values():
        assert cost.batch_bytes == pytest.approx(40_000, rel=0.01)
        assert made.batch.sequences == round(cost.batch_bytes / 64 / cost.num_bytes * cost.tokens)
    rows = [made.batch.sequences for made, _ in costs("iso_flop", batch_multiple=16).values()]
    assert all(row % 16 == 0 for row in rows)


def test_a_batch_that_misses_its_bytes_is_refused():
    with pytest.raises(InputError, match="rows miss it by") as refused:
        costs("iso_flop", batch_bytes=400)
    assert "raise batch_bytes" in str(refused.value)


def test_a_run_too_short_for_a_schedule_is_refused():
    with pytest.raises(InputError, match="would be trained for"):
        costs("iso_flop", batch_bytes=8_000_000)


def test_cost_is_that_of_the_closed_formulas():
    made, cost = costs("iso_flop")["sp-16k"]
    per_token = count.flops_per_token(made.model, 16_384)
    assert cost.flops_per_token == per_token
    assert cost.flops == per_token * cost.tokens
    assert cost.flops_per_char == pytest.approx(per_token / (4.4 * 0.4))
    assert cost.forward_flops_per_char == pytest.approx(cost.flops_per_char / 3)
    total = count.parameters(made.model, 16_384)
    positions = 64 * 128
    assert cost.body_parameters + cost.vocabulary_parameters + positions == total
    assert cost.embedding_share == cost.vocabulary_parameters / total


def test_the_budget_is_in_steps_and_the_curve_has_ten_points():
    made, cost = costs("iso_flop")["byte"]
    assert made.budget == config.Budget(steps=cost.steps)
    assert math.ceil(cost.steps / made.evaluation.every_steps) == controls.EVALUATIONS
    assert made.evaluation.max_bytes == 777
    assert made.name == "byte"


def test_two_controls_that_ask_for_the_same_run_share_it(tmp_path):
    found = cells.cells(plan(seeds=(0, 1)), VOCABULARIES, {})
    folders = {}
    for cell in found:
        folders.setdefault((cell.arm, cell.seed), set()).add(cell.folder(tmp_path))
    assert len(folders["sp-4k", 0]) == 1  # the reference is the same under every control
    assert len(folders["byte", 0]) == 3
    assert folders["byte", 0].isdisjoint(folders["byte", 1])
    assert len(found) == 2 * 3 * 3
    assert [cell.seed for cell in found] == sorted(cell.seed for cell in found)


def test_a_sweep_costs_every_arm_the_same_and_decays_to_its_end():
    study = plan(peak_lrs=(1e-3, 4e-3), sweep_share=0.2)
    trials = cells.trials(study, VOCABULARIES)
    assert [(one.arm, one.peak_lr) for one in trials][:2] == [("byte", 1e-3), ("byte", 4e-3)]
    spent = {}
    for one in trials:
        assert one.experiment.optimizer.peak_lr == one.peak_lr
        assert one.experiment.evaluation.every_steps == one.experiment.budget.steps
        cost = controls.cost(one.experiment, VOCABULARIES[one.arm])
        spent[one.arm] = spent.get(one.arm, 0) + cost.flops
    for flops in spent.values():
        assert flops == pytest.approx(spent["sp-4k"], rel=0.02)
    assert cells.trials(plan(), VOCABULARIES) == []


def test_the_rate_that_a_sweep_chose_is_that_of_all_runs_of_the_arm():
    found = cells.cells(plan(), VOCABULARIES, {"byte": 9e-3})
    rates = {cell.arm: set() for cell in found}
    for cell in found:
        rates[cell.arm].add(cell.experiment.optimizer.peak_lr)
    assert rates["byte"] == {9e-3}
    assert rates["sp-4k"] == {BASE.optimizer.peak_lr}
