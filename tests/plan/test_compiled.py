"""The compiled step: refusals read, results kept, and one real compile."""

import dataclasses

import pytest

from jgpt2 import config
from jgpt2.errors import InputError
from jgpt2.plan import apart, compiled, topology
from tests.plan.conftest import EXPERIMENT, stepped

V5E = topology.parse("v5e-4")


@pytest.mark.parametrize(
    ("said", "needed", "available"),
    [
        (
            "RESOURCE_EXHAUSTED: E1000: CompileTimeHbmOom: Ran out of memory on HBM, the total "
            "memory required for HLO temporaries (36.93G) exceeds available HBM (15.75G).",
            36.93 * 2**30,
            15.75 * 2**30,
        ),
        ("XLA:TPU compile permanent error. Ran out of memory in memory space hbm. Used 21.50G of "
         "15.75G hbm. Exceeded hbm capacity by 5.75G.", 21.5 * 2**30, 15.75 * 2**30),
        ("Used 900.00M of 512.00M hbm", 900 * 2**20, 512 * 2**20),
    ],
)  # fmt: skip
def test_out_of_memory_is_read(said, needed, available):
    assert compiled._out_of_memory(RuntimeError(said)) == (int(needed), int(available))


def test_another_refusal_is_raised_again():
    with pytest.raises(RuntimeError, match="bad option"):
        compiled._out_of_memory(RuntimeError("bad option"))


def key(experiment=EXPERIMENT, vocab_size=1000, where=V5E):
    return compiled._key(experiment, vocab_size, where)


def test_what_decides_the_program_is_in_the_key_and_nothing_else():
    assert key() == key()
    for other in (
        key(vocab_size=1001),
        key(where=topology.parse("v5e-8")),
        key(where=topology.parse("2xv5e-4")),
        key(dataclasses.replace(EXPERIMENT, mesh=config.Mesh(fsdp=4))),
        key(dataclasses.replace(EXPERIMENT, batch=config.Batch(sequences=64))),
    ):
        assert other != key()
    assert key(dataclasses.replace(EXPERIMENT, name="other", dataset="d")) == key()
    assert key(dataclasses.replace(EXPERIMENT, budget=config.Budget(steps=1))) == key()


def asked(cache):
    return compiled.compiled(EXPERIMENT, vocab_size=1000, num_steps=10, topology=V5E, cache=cache)


def test_what_was_compiled_is_kept(tmp_path, monkeypatch):
    calls = []

    def compile_once(*_, **given):
        calls.append(given)
        return dataclasses.asdict(stepped("HloModule 日本", compile_s=1.5))

    monkeypatch.setattr(apart, "compile_step", compile_once)
    monkeypatch.setattr(topology, "version", lambda: "1")
    assert not compiled.is_kept(EXPERIMENT, 1000, V5E, tmp_path / "c")
    first = asked(tmp_path / "c")
    assert compiled.is_kept(EXPERIMENT, 1000, V5E, tmp_path / "c")
    assert asked(tmp_path / "c") == first == stepped("HloModule 日本", compile_s=1.5)
    assert len(calls) == 1


def test_the_cache_lies_under_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert compiled.cache_folder() == tmp_path / "jgpt2" / "plan"


def compiled_apart(experiment=EXPERIMENT):
    return apart.compile_step(experiment, vocab_size=1000, num_steps=10, topology=V5E)


@pytest.mark.skipif(topology.version() is not None, reason="libtpu is installed")
def test_a_refusal_of_the_compilers_process_is_the_users():
    with pytest.raises(InputError, match=r"^to compile for v5e:2x2 .* \(it needs no TPU\)\.$"):
        compiled_apart()


def test_the_end_of_the_compilers_process_is_told(monkeypatch):
    monkeypatch.setattr(apart.sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match="the compiler ended with exit code 1"):
        compiled_apart()
