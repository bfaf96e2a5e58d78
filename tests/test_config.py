import dataclasses
import math

import pytest

from jgpt2 import config
from jgpt2.errors import InputError


def model(**changes):
    return config.Model(**{"layers": 2, "embed_dim": 96, "heads": 12} | changes)


def experiment(**changes):
    values = {"name": "x", "model": model(), "budget": config.Budget(steps=1)}
    return config.Experiment(**values | changes)


REFUSED = [
    (
        experiment,
        {"dataset": {}},
        "dataset={} names nothing to train on; give a name, or names with weights such as "
        '{"books": 0.5, "web": 0.5}.',
    ),
    *(
        (
            experiment,
            {"dataset": {"books": 1.0, "web": weight}},
            f"dataset.web={weight} is no weight; give each dataset a number above 0 (they need "
            "not sum to 1), or leave it out.",
        )
        for weight in (0.0, -0.5, math.inf, math.nan)
    ),
    (model, {"layers": 0}, "model.layers=0 is not positive; choose 1 or more."),
    (model, {"embed_dim": -96}, "model.embed_dim=-96 is not positive; choose 1 or more."),
    (model, {"heads": 0}, "model.heads=0 is not positive; choose 1 or more."),
    (model, {"context": 0}, "model.context=0 is not positive; choose 1 or more."),
    (
        model,
        {"embed_dim": 100},
        "model.embed_dim=100 does not divide by model.heads=12; choose a multiple of 12.",
    ),
    (model, {"dropout": 1.0}, "model.dropout=1.0 is not a share; choose a value in [0, 1)."),
    (model, {"dropout": -0.1}, "model.dropout=-0.1 is not a share; choose a value in [0, 1)."),
    (model, {"dropout": math.nan}, "model.dropout=nan is not a share; choose a value in [0, 1)."),
    (
        config.Optimizer,
        {"peak_lr": 0.0},
        "optimizer.peak_lr=0.0 is not positive; 6e-4 suits GPT-2 small.",
    ),
    (config.Optimizer, {"beta1": 1.0}, "optimizer.beta1=1.0 is outside [0, 1); 0.9 is usual."),
    (config.Optimizer, {"beta2": -0.5}, "optimizer.beta2=-0.5 is outside [0, 1); 0.9 is usual."),
    (
        config.Optimizer,
        {"epsilon": 0.0},
        "optimizer.epsilon=0.0 is not positive; 1e-8 is usual.",
    ),
    (
        config.Optimizer,
        {"weight_decay": -0.1},
        "optimizer.weight_decay=-0.1 is negative; 0 turns decay off.",
    ),
    (
        config.Optimizer,
        {"clip_norm": 0.0},
        "optimizer.clip_norm=0.0 is not positive; use None to turn clipping off.",
    ),
    (
        config.Schedule,
        {"warmup": 100.0},
        "schedule.warmup=100.0 is not a fraction; choose in [0, 1].",
    ),
    (config.Schedule, {"decay": -0.1}, "schedule.decay=-0.1 is not a fraction; choose in [0, 1]."),
    (
        config.Schedule,
        {"final_lr": 1.5},
        "schedule.final_lr=1.5 is not a fraction; choose in [0, 1].",
    ),
    (
        config.Schedule,
        {"kind": "wsd", "warmup": 0.5, "decay": 0.75},
        "schedule.warmup=0.5 and schedule.decay=0.75 overlap; "
        "choose fractions that sum to 1 at most.",
    ),
    (config.Batch, {"sequences": 0}, "batch.sequences=0 is not positive; 32 is usual."),
    (
        config.Batch,
        {"accumulation": 0},
        "batch.accumulation=0 is not positive; 1 computes a step at once.",
    ),
    (
        config.Batch,
        {"sequences": 32, "accumulation": 5},
        "batch.sequences=32 does not divide by batch.accumulation=5; choose a multiple of it.",
    ),
    (
        config.Budget,
        {},
        "budget sets 0 of steps, tokens, num_bytes and flops (none); "
        "set exactly one, and the others to None.",
    ),
    (
        config.Budget,
        {"steps": 10, "num_bytes": 1000},
        "budget sets 2 of steps, tokens, num_bytes and flops (steps, num_bytes); "
        "set exactly one, and the others to None.",
    ),
    (config.Budget, {"steps": 0}, "budget.steps=0 is not positive; give what to train on."),
    (config.Budget, {"flops": -1.0}, "budget.flops=-1.0 is not positive; give what to train on."),
    (config.Mesh, {"data": 0}, "mesh.data=0 is not positive; 1 does not divide along data."),
    (config.Mesh, {"fsdp": -1}, "mesh.fsdp=-1 is not positive; 1 does not divide along fsdp."),
    (config.Mesh, {"tensor": 0}, "mesh.tensor=0 is not positive; 1 does not divide along tensor."),
    (
        config.Evaluation,
        {"every_steps": 0},
        "evaluation.every_steps=0 is not positive; choose 1 or more.",
    ),
    (
        config.Evaluation,
        {"max_bytes": 0},
        "evaluation.max_bytes=0 is not positive; None scores all.",
    ),
    (
        config.Checkpoint,
        {"every_steps": -5},
        "checkpoint.every_steps=-5 is not positive; choose 1 or more.",
    ),
    (
        config.Checkpoint,
        {"keep_last": 0},
        "checkpoint.keep_last=0 leaves nothing to go back to when the newest is damaged; choose "
        "2 or more.",
    ),
]


@pytest.mark.parametrize(
    ("make", "values", "message"), REFUSED, ids=[message.split(";")[0] for *_, message in REFUSED]
)
def test_wrong_values_are_refused_with_rule_and_remedy(make, values, message):
    with pytest.raises(InputError) as refusal:
        make(**values)
    assert str(refusal.value) == message


@pytest.mark.parametrize(
    ("make", "values"),
    [
        (model, {"dropout": 0.0, "heads": 96, "context": 1, "layers": 1}),
        (config.Optimizer, {"clip_norm": None, "beta1": 0.0, "beta2": 0.0, "weight_decay": 0.0}),
        (config.Schedule, {"kind": "wsd", "warmup": 0.25, "decay": 0.75, "final_lr": 0.0}),
        (config.Schedule, {"kind": "cosine", "warmup": 0.5, "decay": 0.75}),
        (config.Batch, {"sequences": 1, "accumulation": 1}),
        (config.Budget, {"flops": 1e18}),
        (config.Mesh, {"data": 2, "fsdp": 2, "tensor": 2}),
        (config.Evaluation, {"max_bytes": None, "every_steps": 1}),
        (config.Checkpoint, {"every_steps": 1, "keep_last": 2}),
    ],
)
def test_values_at_the_border_are_accepted(make, values):
    made = make(**values)
    assert {name: getattr(made, name) for name in values} == values


def test_a_config_is_a_value():
    shape = model()
    assert shape == model() and hash(shape) == hash(model())
    with pytest.raises(dataclasses.FrozenInstanceError):
        shape.layers = 3  # type: ignore[misc]
    with pytest.raises(InputError, match="does not divide"):
        dataclasses.replace(shape, heads=5)


def test_parts_of_an_experiment_have_defaults_but_model_and_budget():
    experiment = config.Experiment(name="x", model=model(), budget=config.Budget(steps=1))
    assert experiment.optimizer == config.Optimizer()
    assert experiment.mesh == config.Mesh(data=None, fsdp=1, tensor=1)
    with pytest.raises(TypeError, match="'model' and 'budget'"):
        config.Experiment(name="x")  # type: ignore[call-arg]


def test_weights_are_those_given_in_the_order_of_names():
    assert experiment(dataset="ja").weights == {"ja": 1.0}
    mixed = experiment(dataset={"web": 3, "books": 0.5})
    assert list(mixed.weights.items()) == [("books", 0.5), ("web", 3)]
    assert mixed == experiment(dataset={"books": 0.5, "web": 3})


def test_every_field_says_what_it_is():
    # The sentence below a field becomes the help of its flag.
    import ast
    from pathlib import Path

    tree = ast.parse(Path(config.__file__).read_text("utf-8"))
    for kind in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        for field, after in zip(kind.body, [*kind.body[1:], None], strict=True):
            if isinstance(field, ast.AnnAssign):
                is_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                assert is_text, f"{kind.name}.{ast.unparse(field.target)} has no sentence"
