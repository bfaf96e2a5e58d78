import copy
import dataclasses
import json
import re

import pytest

from jgpt2 import config, configio
from jgpt2.errors import InputError

EXPERIMENT = config.Experiment(
    name="標本",
    model=config.Model(layers=2, embed_dim=64, heads=4, context=128),
    budget=config.Budget(steps=10),
)

OTHERS = {
    "name": "別の名",
    "seed": 1,
    "dataset": "wiki",
    "tokenizer": "sp-8k",
    "model.layers": 3,
    "model.embed_dim": 128,
    "model.heads": 8,
    "model.context": 256,
    "model.dropout": 0.1,
    "model.compute_dtype": "float32",
    "model.scan_layers": True,
    "model.remat": "full",
    "model.attention": "splash",
    "model.loss_chunks": 4,
    "optimizer.peak_lr": 3e-4,
    "optimizer.beta1": 0.8,
    "optimizer.beta2": 0.99,
    "optimizer.epsilon": 1e-9,
    "optimizer.weight_decay": 0.0,
    "optimizer.clip_norm": None,
    "schedule.kind": "wsd",
    "schedule.warmup": 0.1,
    "schedule.decay": 0.5,
    "schedule.final_lr": 0.0,
    "batch.sequences": 64,
    "batch.accumulation": 2,
    "budget.steps": 20,
    "mesh.data": 4,
    "mesh.fsdp": 2,
    "mesh.tensor": 2,
    "evaluation.every_steps": 5,
    "evaluation.max_bytes": None,
    "checkpoint.every_steps": 5,
    "checkpoint.keep_last": 3,
    "loss_policy.action": "skip",
    "loss_policy.spike": None,
    "loss_policy.window": 64,
    "loss_policy.batches": 1,
    "loss_policy.limit": 5,
    "start": {
        "model": "ab" * 32,
        "step": 7,
        "tuning": {"method": "lora", "lora_rank": 4, "lora_alpha": 8.0, "frozen_layers": 1},
    },
}
"""Dotted path -> another value than that of EXPERIMENT; budgets in other units stand apart."""
BUDGETS = ("budget.tokens", "budget.num_bytes", "budget.flops")


def leaves(values, prefix=""):
    for name, value in values.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name


def record(**changes):
    """The record of EXPERIMENT as a dict, `model__heads=3` set at model.heads."""
    values = json.loads(configio.to_json(EXPERIMENT))
    for path, value in changes.items():
        *parents, name = path.split("__")
        place = values
        for parent in parents:
            place = place[parent]
        place[name] = value
    return values


def changed(path, value):
    return configio.from_json(json.dumps(record(**{path.replace(".", "__"): value})))


def refusal(text):
    with pytest.raises(InputError) as caught:
        configio.from_json(text)
    return str(caught.value)


def test_the_table_of_other_values_names_every_field():
    assert {*OTHERS, *BUDGETS} == set(leaves(dataclasses.asdict(EXPERIMENT)))


@pytest.mark.parametrize("path", OTHERS)
def test_every_field_is_recorded_compared_and_fingerprinted(path):
    other = changed(path, OTHERS[path])
    assert configio.from_json(configio.to_json(other)) == other
    old = record()
    for name in path.split("."):
        old = old[name]
    assert configio.diff(EXPERIMENT, other) == {path: (old, OTHERS[path])}
    assert configio.fingerprint(other) != configio.fingerprint(EXPERIMENT)


def test_a_mixture_is_recorded_compared_and_fingerprinted():
    mixed = dataclasses.replace(EXPERIMENT, dataset={"web": 1, "青空": 0.5})
    assert json.loads(configio.to_json(mixed))["dataset"] == {"web": 1, "青空": 0.5}
    read = configio.from_json(configio.to_json(mixed))
    assert read == mixed and isinstance(read.weights["web"], float)
    turned = dataclasses.replace(EXPERIMENT, dataset={"青空": 0.5, "web": 1.0})
    assert configio.fingerprint(turned) == configio.fingerprint(mixed)
    assert configio.diff(turned, mixed) == {}
    other = dataclasses.replace(EXPERIMENT, dataset={"web": 2.0, "books": 1.0})
    assert configio.fingerprint(other) != configio.fingerprint(mixed)
    assert configio.diff(mixed, other) == {
        "dataset.web": (1, 2.0),
        "dataset.青空": (0.5, None),
        "dataset.books": (None, 1.0),
    }
    assert configio.diff(EXPERIMENT, other) == {"dataset": ("corpus", {"web": 2.0, "books": 1.0})}


def test_a_name_that_a_record_has_twice_is_refused():
    twice = configio.to_json(EXPERIMENT).replace('"corpus"', '{"web": 1.0, "web": 2.0}')
    assert refusal(twice) == ("the config record has 'web' twice in one object; leave one of them.")


@pytest.mark.parametrize("unit", [path.split(".")[1] for path in BUDGETS])
def test_a_budget_in_another_unit_is_another_experiment(unit):
    other = dataclasses.replace(EXPERIMENT, budget=config.Budget(**{unit: 10}))
    assert configio.from_json(configio.to_json(other)) == other
    assert set(configio.diff(EXPERIMENT, other)) == {"budget.steps", f"budget.{unit}"}
    assert configio.fingerprint(other) != configio.fingerprint(EXPERIMENT)


def test_all_fingerprints_differ():
    experiments = [EXPERIMENT, *(changed(path, value) for path, value in OTHERS.items())]
    assert len({configio.fingerprint(each) for each in experiments}) == 1 + len(OTHERS)


def test_the_record_is_whole_readable_and_ordered():
    text = configio.to_json(EXPERIMENT)
    assert text.endswith("}\n") and '"name": "標本"' in text
    assert list(json.loads(text)) == [field.name for field in dataclasses.fields(config.Experiment)]


def test_equal_experiments_have_no_difference_and_one_fingerprint():
    again = copy.deepcopy(EXPERIMENT)
    assert configio.diff(EXPERIMENT, again) == {}
    assert configio.fingerprint(again) == configio.fingerprint(EXPERIMENT)
    assert re.fullmatch("[0-9a-f]{64}", configio.fingerprint(EXPERIMENT))


def test_an_int_for_a_float_has_the_fingerprint_of_its_record():
    written = dataclasses.replace(EXPERIMENT, optimizer=config.Optimizer(clip_norm=1))
    read = configio.from_json(configio.to_json(written))
    assert written == read == EXPERIMENT
    assert configio.fingerprint(written) == configio.fingerprint(read)


def test_the_order_of_a_record_does_not_matter():
    backwards = json.dumps(dict(reversed(record().items())))
    assert configio.fingerprint(configio.from_json(backwards)) == configio.fingerprint(EXPERIMENT)


def test_differences_are_many_and_nested():
    other = dataclasses.replace(
        EXPERIMENT,
        seed=7,
        model=dataclasses.replace(EXPERIMENT.model, heads=2, dropout=0.5),
    )
    assert configio.diff(EXPERIMENT, other) == {
        "seed": (0, 7),
        "model.heads": (4, 2),
        "model.dropout": (0.0, 0.5),
    }


def test_a_default_may_be_left_out_of_a_record():
    values = record()
    del values["optimizer"], values["seed"]
    assert configio.from_json(json.dumps(values)) == EXPERIMENT


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"vocab_size": 257}, "extra fields found (vocab_size) @ $"),
        ({"model__width": 64}, "extra fields found (width) @ $.model"),
        ({"model__heads": "4"}, "'4' is not of type int @ $.model.heads"),
        ({"model__heads": 4.0}, "4.0 is not of type int @ $.model.heads"),
        ({"model__heads": True}, "True is not of type int @ $.model.heads"),
        ({"model__heads": None}, "None is not of type int @ $.model.heads"),
        ({"model__scan_layers": "false"}, "'false' is not of type bool @ $.model.scan_layers"),
        ({"model__scan_layers": 0}, "0 is not of type bool @ $.model.scan_layers"),
        ({"optimizer__peak_lr": "1e-3"}, "'1e-3' is not of type float @ $.optimizer.peak_lr"),
        ({"optimizer__clip_norm": "x"}, "'x' is not of type float @ $.optimizer.clip_norm"),
        ({"mesh__data": 2.0}, "2.0 is not of type int @ $.mesh.data"),
        ({"name": 5}, "5 is not of type str @ $.name"),
        ({"dataset": ["a"]}, "['a'] is neither a name nor names with weights @ $.dataset"),
        ({"dataset": {"a": "1"}}, "'1' is not of type float @ $.dataset"),
        ({"dataset": {"a": True}}, "True is not of type float @ $.dataset"),
        ({"dataset": {"a": 0}}, "dataset.a=0.0 is no weight; give each dataset a number"),
        ({"model": None}, "expected Model @ $.model"),
        ({"model": [1]}, "@ $.model"),
        ({"model__compute_dtype": "float16"}, "['bfloat16', 'float32']) @ $.model.compute_dtype"),
        ({"model__heads": 5}, "model.embed_dim=64 does not divide by model.heads=5; choose a"),
    ],
    ids=str,
)
def test_a_record_that_does_not_fit_is_refused_by_path(changes, problem):
    message = refusal(json.dumps(record(**changes)))
    assert message.startswith("the config record does not fit this version: ")
    assert problem in message and message.endswith("; correct what is named.")


def test_missing_fields_are_all_named():
    message = refusal('{"name": "a"}')
    assert "required field missing @ $.model" in message
    assert "required field missing @ $.budget" in message


@pytest.mark.parametrize("text", ["", "{", "config = 1", '{"name": }'])
def test_what_is_not_json_is_refused(text):
    assert re.match(r"the config record is not JSON \(.*\); restore it", refusal(text))


@pytest.mark.parametrize("text", ["[]", "3", "null", '"標本"'])
def test_json_that_is_no_object_is_refused(text):
    assert re.match(r"the config record is a JSON \w+, not an object of fields;", refusal(text))


AUTHOR = """
from jgpt2.config import Budget, Experiment, Model

config = Experiment(
    name="標本",
    model=Model(layers=2, embed_dim=64, heads=4, context=128),
    budget=Budget(steps=10),
)
"""


def test_an_author_file_and_its_record_load_as_equals(tmp_path):
    author, written = tmp_path / "tiny.py", tmp_path / "config.json"
    author.write_text(AUTHOR, "utf-8")
    written.write_text(configio.to_json(EXPERIMENT), "utf-8")
    assert configio.load(author) == configio.load(written) == EXPERIMENT


def test_an_author_file_is_held_to_the_types_of_the_fields(tmp_path):
    (tmp_path / "typo.py").write_text(AUTHOR.replace("steps=10", "steps=10.5"), "utf-8")
    with pytest.raises(InputError, match=r"10\.5 is not of type int @ \$\.budget\.steps"):
        configio.load(tmp_path / "typo.py")


def test_an_author_file_with_a_refused_value_says_so(tmp_path):
    (tmp_path / "odd.py").write_text(AUTHOR.replace("heads=4", "heads=5"), "utf-8")
    with pytest.raises(InputError, match=r"model\.embed_dim=64 does not divide by model\.heads=5"):
        configio.load(tmp_path / "odd.py")


@pytest.mark.parametrize(("source", "kind"), [("", "NoneType"), ("config = {}", "dict")])
def test_an_author_file_without_an_experiment_is_refused(tmp_path, source, kind):
    (tmp_path / "empty.py").write_text(source, "utf-8")
    with pytest.raises(InputError, match=f"defines config = {kind}; it must define `config = Exp"):
        configio.load(tmp_path / "empty.py")


def test_a_config_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no config at .*absent\.py; give a \.py file from conf"):
        configio.load(tmp_path / "absent.py")
    with pytest.raises(InputError, match="no config at"):
        configio.load(tmp_path)


def test_a_config_of_another_kind_is_refused(tmp_path):
    (tmp_path / "tiny.yaml").write_text("name: a", "utf-8")
    with pytest.raises(InputError, match=r"ends in '\.yaml'; give a \.py or a \.json file"):
        configio.load(tmp_path / "tiny.yaml")


def test_a_record_that_is_not_utf8_is_refused(tmp_path):
    (tmp_path / "config.json").write_bytes('{"name": "標本"}'.encode("shift_jis"))
    with pytest.raises(InputError, match=r"config\.json is not UTF-8 .*; restore it"):
        configio.load(tmp_path / "config.json")


def test_a_shape_alone_has_a_record_too():
    shape = config.Model(layers=2, embed_dim=8, heads=2, dropout=0.1)
    assert configio.model_from_json(configio.to_json(shape)) == shape
    with pytest.raises(InputError, match="layers"):
        configio.model_from_json('{"layers": "2", "embed_dim": 8, "heads": 2}')
