"""How often a training start compiles: counts, which do not hang on how fast a machine is."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jgpt2 import configio, runs
from jgpt2.errors import InputError
from jgpt2.train import loop, stop
from tests.conftest import QUICK

PROGRAMS = ("jit(draw)", "jit(start)", "jit(train_step)", "jit(_next_token_nll)")
START = """
import json, sys, threading
from collections import Counter
from pathlib import Path

import jax

from jgpt2 import compilation, configio
from jgpt2.train import inputs, loop, setup

compilation.enable_cache()
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
built, fetched, threads_with_a_hit = Counter(), Counter(), set()


def note_hit(event, **facts):
    if event == "/jax/compilation_cache/cache_hits":
        threads_with_a_hit.add(threading.get_ident())


def count(event, duration_secs, **facts):  # comes after the hit, in the same thread
    if event == "/jax/core/compile/backend_compile_duration":
        is_hit = threading.get_ident() in threads_with_a_hit
        threads_with_a_hit.discard(threading.get_ident())
        (fetched if is_hit else built)[facts["fun_name"]] += 1


jax.monitoring.register_event_listener(note_hit)
jax.monitoring.register_event_duration_secs_listener(count)
record, datasets, tokenizers, run = map(Path, sys.argv[1:])
experiment = configio.load(record)
gathered = inputs.gather(experiment, inputs.Places(datasets=datasets, tokenizers=tokenizers))
trainer = setup.prepare(experiment, gathered)
assert loop.train(experiment, gathered, run) == 0
print(json.dumps({"built": built, "fetched": fetched}))
"""


@pytest.fixture(scope="module")
def start(places, change, tmp_path_factory):
    """start(name): what a process of its own compiled for a run of three steps."""
    root = tmp_path_factory.mktemp("starts")
    record = root / "config.json"
    # Scored and saved at the end alone.
    brief = change(
        budget={"steps": 3}, evaluation={"every_steps": 9}, checkpoint={"every_steps": 9}
    )
    record.write_text(configio.to_json(brief), "utf-8")
    own = {"XLA_FLAGS": QUICK, "JAX_COMPILATION_CACHE_DIR": str(root / "xla")}

    def started(name: str) -> dict[str, dict[str, int]]:
        command = [sys.executable, "-c", START, record, places.datasets, places.tokenizers]
        done = subprocess.run(
            [*map(str, command), str(Path(root, name))],
            env=os.environ | own,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return started


def test_a_start_compiles_each_program_once_and_the_next_process_none(start):
    each_once = dict.fromkeys(PROGRAMS, 1)
    assert start("first") == {"built": each_once, "fetched": {}}
    assert start("second") == {"built": {}, "fetched": each_once}


def test_what_goes_wrong_in_compiling_ends_the_run_before_its_first_step(
    trainer, gathered, tmp_path
):
    class Uncompilable:
        def lower(self, *_):
            raise InputError("no such kernel")

        def __call__(self, *_):
            pytest.fail("a step was taken")

    program = dataclasses.replace(trainer.program, step=Uncompilable())
    spoilt = dataclasses.replace(trainer, program=program)
    with pytest.raises(InputError, match="no such kernel"):
        loop.execute(spoilt, gathered, tmp_path / "run", stop.StopRequest())
    assert runs.metrics(tmp_path / "run") == []
