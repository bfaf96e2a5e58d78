from dataclasses import replace

import pytest

from jgpt2 import config
from jgpt2.ablation import study as studies
from jgpt2.errors import InputError

SOURCE = """
from dataclasses import replace
from jgpt2.ablation.study import Decision, Study
from jgpt2.config import Budget, Experiment, Model, Optimizer

BASE = Experiment(
    name="base",
    model=Model(layers=2, embed_dim=64, heads=2, context=64),
    budget=Budget(num_bytes=1_000_000),
)
BODIES = {"a": BASE.model, "b": replace(BASE.model, layers=1)}
arms = {
    f"{tokenizer} {size}": replace(BASE, tokenizer=tokenizer, model=body)
    for size, body in BODIES.items()
    for tokenizer in ("byte", "sp")
}
study = Study(name="s", reference="sp")
"""


@pytest.fixture
def load(tmp_path):
    def written(*changes, source=SOURCE):
        for old, new in changes:
            assert old in source
            source = source.replace(old, new)
        path = tmp_path / "計画 一.py"
        path.write_text(source, "utf-8")
        return studies.load(path)

    return written


def test_arms_are_grouped_by_body_the_smallest_first(load):
    plan = load()
    assert plan.bodies == {"1x64": ["byte b", "sp b"], "2x64": ["byte a", "sp a"]}
    assert plan.tokenizers == ["byte", "sp"]
    assert plan.reference_of("byte b") == "sp b"
    assert plan.study.primary == "iso_flop"


def test_body_parameters_are_all_but_the_tables():
    from jgpt2.model import count, sizes

    model = sizes.SMALL
    tables = (50_257 + model.context) * model.embed_dim
    assert count.body_parameters(model) == count.parameters(model, 50_257) - tables


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ('arms["sp a"] = replace(arms["sp a"], dataset="other")', "differ in dataset ('corpus' "),
        ('arms["sp b"] = replace(arms["sp b"], seed=7)', "differ in seed (0 and 7)"),
        (
            'arms["sp a"] = replace(arms["sp a"], budget=Budget(num_bytes=9))',
            "differ in budget.num_bytes",
        ),
        (
            'arms["sp a"] = replace(arms["sp a"], optimizer=Optimizer(weight_decay=0.2))',
            "differ in optimizer.weight_decay (0.1 and 0.2)",
        ),
        ('del arms["sp a"]', "has no arm with the reference vocabulary 'sp'"),
        ('arms["again"] = arms["sp a"]', "two arms of the body 2x64 have one vocabulary"),
        (
            "arms = {name: replace(arm, budget=Budget(steps=9)) for name, arm in arms.items()}",
            "has no budget.num_bytes",
        ),
        ('study = replace(study, pairs=(("byte", "sp-9k"),))', "study.pairs names sp-9k"),
        ('study = replace(study, decision=Decision(body="9x9"))', "study.decision.body='9x9'"),
        ('study = replace(study, fit_without=("x",))', "study.fit_without names x"),
        ("study = 7", "defines study = int"),
        ("arms = {}", "defines arms = dict"),
        ("arms = {1: BASE}", "defines arms = dict"),
    ],
)
def test_refuses_what_would_blur_the_answer(load, extra, said):
    with pytest.raises(InputError) as refused:
        load(source=f"{SOURCE}\n{extra}\n")
    assert said in str(refused.value)


def test_what_is_declared_may_differ(load):
    plan = load(
        source=f"{SOURCE}\narms['sp a'] = replace(arms['sp a'], "
        "optimizer=Optimizer(weight_decay=0.2))\n"
        "study = replace(study, also_varied=('optimizer.weight_decay',))\n"
    )
    assert plan.arms["sp a"].optimizer.weight_decay == 0.2
    bodies = load(
        source=f"{SOURCE}\narms = {{name: replace(arm, budget=Budget(num_bytes=10**6 * "
        "arm.model.layers)) for name, arm in arms.items()}\n"
    )
    assert bodies.arms["sp a"].budget.num_bytes == 2_000_000  # another body, another budget


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ({"seeds": ()}, "study.seeds=()"),
        ({"seeds": (1, 1)}, "study.seeds=(1, 1)"),
        ({"controls": ()}, "study.controls=()"),
        ({"batch_bytes": 0}, "study.batch_bytes=0"),
        ({"sweep_share": 0.0}, "study.sweep_share=0.0"),
        ({"level": 1.0}, "study.level=1.0"),
        ({"predict": ("huge",)}, "no model size is called 'huge'"),
    ],
)
def test_refuses_a_study_that_cannot_be(field, said):
    with pytest.raises(InputError) as refused:
        studies.Study(name="s", reference="sp", **field)
    assert said in str(refused.value)


def test_a_missing_file_says_what_to_give(tmp_path):
    with pytest.raises(InputError, match="no study at"):
        studies.load(tmp_path / "none.py")
    record = tmp_path / "config.json"
    record.write_text("{}")
    with pytest.raises(InputError, match=r"give a \.py file"):
        studies.load(record)


def test_numbers_are_recorded_as_their_fields_have_them(load):
    plan = load(("Budget(num_bytes=1_000_000)", "Budget(num_bytes=1_000_000), seed=3"))
    assert replace(plan.arms["sp a"], seed=0).seed == 0
    assert isinstance(plan.arms["sp a"], config.Experiment)
