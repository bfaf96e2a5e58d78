"""`jgpt2 plan` on the command line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import jgpt2
from jgpt2.plan import compiled, topology
from tests.plan.conftest import stepped
from tests.plan.test_forecast import one_second_text

ROOT = Path(jgpt2.__file__).parents[1]
TINY = (ROOT / "configs" / "tiny.py", "--tokenizers", ROOT / "tokenizers")
NO_COMPILER = pytest.mark.skipif(
    topology.version() is None, reason="libtpu is not installed (extra `tpu`)"
)


@pytest.fixture
def kept(monkeypatch):
    """As if everything had been compiled before, to steps of a second."""
    steps = []

    def compiled_before(experiment, **given):
        steps.append((experiment, given))
        return stepped(one_second_text())

    monkeypatch.setattr(compiled, "compiled", compiled_before)
    monkeypatch.setattr(compiled, "is_kept", lambda *_: True)
    return steps


def test_one_topology_is_an_object_and_several_are_a_list(command, kept):
    one = command("plan", *TINY, "--topology", "v5e-16", "--json").json()
    assert one["topology"] == "v5e:4x4"
    assert one["bytes_per_token"] == 1
    two = command("plan", *TINY, "--topology", "v5e-16", "--topology", "v4-8", "--json").json()
    assert [made["topology"] for made in two] == ["v5e:4x4", "v4:2x2x1"]
    assert [given["topology"].name for _, given in kept] == ["v5e:4x4", "v5e:4x4", "v4:2x2x1"]


def test_fields_of_the_config_are_flags(command, kept):
    flags = ("--batch.sequences", 64, "--vocab-size", 500, "--bytes-per-token", 2.5)
    made = command("plan", *TINY, "--topology", "v5e-16", *flags, "--json").json()
    ((experiment, given),) = kept
    assert experiment.batch.sequences == 64
    assert given["vocab_size"] == made["vocab_size"] == 500
    assert made["bytes_per_token"] == 2.5
    assert made["bytes_per_token_basis"] == "given by --bytes-per-token"


def test_money_and_a_purse(command, kept, tmp_path):
    flags = ("--usd-per-chip-hour", 2, "--jpy-per-usd", 100, "--budget-jpy", 309_500)
    out = ("--out", tmp_path / "計画")
    made = command("plan", *TINY, "--topology", "v5e-16", *flags, *out, "--json").json()
    assert made["cost_jpy"] == pytest.approx(made["cost_usd"] * 100)
    assert made["purse"]["budget_usd"] == 3095
    names = [row["name"] for row in made["purse"]["vocabularies"]]
    assert names == ["byte", "sp-2k", "sp-4k", "sp-8k", "sp-16k", "sp-32k", "sp-50k"]
    assert json.loads((tmp_path / "計画" / "plan.json").read_text("utf-8")) == made
    text = command("plan", *TINY, "--topology", "v5e-16", *flags)
    assert "purse       ¥309,500 = $3,095 buys" in text.out


def test_a_search_ends_with_flags_to_type(command, kept):
    outcome = command("plan", *TINY, "--topology", "v5e-16", "--search", "--json")
    made = outcome.json()
    assert made["search"]["recommended"] in outcome.err
    assert made["search"]["recommended"].startswith("--mesh.fsdp 1 --model.remat none")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((), "a plan needs a topology; give --topology v5e-16"),
        (("--topology", "v9-1"), "no topology is called 'v9-1'"),
        (("--topology", "v5e-16", "--budget-jpy", 1, "--budget-usd", 1), "the purse is given"),
        (("--topology", "v5e-16", "--budget-jpy", 0), "--budget-jpy 0.0 is not above 0"),
        (("--topology", "v5e-16", "--calibrate", "r"), "name it with --calibration FILE"),
        (
            ("--topology", "v5e-16", "--calibrate", "r", "--calibration", "f", "--search"),
            "give one --topology and no --search",
        ),
        (("--topology", "v5e-16", "--tokenizer", "none"), "no tokenizer 'none' in"),
        (("--topology", "v5e-16", "--vocab-size", 0), "a vocabulary of 0 ids is none"),
        (("--topology", "v5e-16", "--bytes-per-token", 0), "--bytes-per-token 0.0 is not above 0"),
        (("--topology", "v5e-16", "--vocab-size", 500), "give --bytes-per-token, or the tokenizer"),
    ],
)
def test_what_cannot_be_planned_is_refused(command, kept, flags, message):
    outcome = command("plan", *TINY, *flags)
    assert outcome.exit_code == 2
    assert message in outcome.err
    assert outcome.out == ""


def test_a_plan_without_a_config_is_refused(command):
    outcome = command("plan", "--topology", "v5e-16")
    assert outcome.exit_code == 2
    assert "which config?" in outcome.err
    assert "jgpt2 plan configs/small.py --topology v5e-16" in outcome.err


@pytest.mark.skipif(topology.version() is not None, reason="libtpu is installed")
def test_without_the_compiler_the_extra_is_named(command, tmp_path):
    outcome = command("plan", *TINY, "--topology", "v5e-16", "--cache", tmp_path)
    assert outcome.exit_code == 2
    assert "install the extra `tpu`: uv sync --extra tpu" in outcome.err


@NO_COMPILER
def test_a_tiny_model_is_compiled_for_a_real_topology(tmp_path):
    small = "--model.layers 1 --model.embed-dim 128 --model.heads 2 --model.context 128"
    command = [
        sys.executable, "-m", "jgpt2", "plan", *map(str, TINY), *small.split(),
        "--topology", "v5e-4", "--cache", str(tmp_path), "--json",
    ]  # fmt: skip
    environment = {name: value for name, value in os.environ.items() if "TPU" not in name}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "compiling tiny for v5e:2x2: minutes, once\n"
    made = json.loads(done.stdout)
    assert made["fits"]
    assert made["mesh"] == {"data": 4, "fsdp": 1, "tensor": 1}
    assert 0 < made["step_time_s"] < 0.1
    # Parameters and two moments, float32: the gradients are summed over the four chips.
    state = made["hbm_parts"]["parameters"] + made["hbm_parts"]["optimizer_state"]
    assert state == pytest.approx(12 * made["parameters"], rel=0.5)
    assert any(row["kind"].startswith("all-reduce") for row in made["collectives"])
    again = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert again.stderr == ""
    assert json.loads(again.stdout) == made
