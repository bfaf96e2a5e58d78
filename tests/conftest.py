"""Strict settings for every test: CPU only, eight fake devices, no silent rank promotion."""

import os

os.environ["JAX_PLATFORMS"] = "cpu"
# Tests compile for longer than they compute: code that is less optimised costs a third less time.
os.environ["XLA_FLAGS"] = " ".join(
    ["--xla_force_host_platform_device_count=8", "--xla_backend_optimization_level=0"]
)

import contextlib
import dataclasses
import fcntl
import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import pytest

import jgpt2
from jgpt2 import cli
from tests.reference.run import environment

jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(scope="session", autouse=True)
def compile_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Compiled programs are kept for the session alone: most time of the tests is compilation."""
    jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("xla")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)


QUICK = "--xla_backend_optimization_level=0"
"""`XLA_FLAGS` of processes that tests start and that have one device each."""
ROOT = Path(jgpt2.__file__).parents[1]
TINY = "--model.layers 1 --model.embed-dim 32 --model.heads 2 --model.context 32"
BRIEF = "--batch.sequences 8 --budget.num-bytes None --budget.steps 6 --optimizer.peak-lr 0.02"
SPARSE = "--evaluation.every-steps 3 --checkpoint.every-steps 6 --evaluation.max-bytes 1500"
SMALLEST_RUN = [str(ROOT / "configs" / "tiny.py"), *f"{TINY} {BRIEF} {SPARSE}".split()]
"""A config and flags with which `jgpt2 train` takes seconds."""


class Outcome(NamedTuple):
    """What a command left behind."""

    exit_code: int
    out: str
    err: str

    def json(self) -> Any:
        """The one document on stdout."""
        assert self.exit_code == 0, self.err
        return json.loads(self.out)


def run_command(*arguments: object, stdin: bytes = b"") -> Outcome:
    """Runs `jgpt2` in this process."""
    out, err = io.StringIO(), io.StringIO()
    piped, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO(stdin), "utf-8")
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            exit_code = cli.main([str(argument) for argument in arguments])
    finally:
        sys.stdin = piped
    return Outcome(exit_code, out.getvalue(), err.getvalue())


@pytest.fixture
def command() -> Callable[..., Outcome]:
    return run_command


@pytest.fixture(scope="session")
def reference_python() -> Path:
    """The Python of the environment with torch and transformers, made at the first call."""
    return environment()


@dataclasses.dataclass(frozen=True)
class Walk:
    """Everything from a text to generated text, made once through the command line."""

    root: Path
    """Holds text/, data/ja, tokenizers/{byte,sp} and runs/{byte,sp}."""
    answers: dict[str, Any]
    """What each command with --json printed, by a short name."""

    def training(self, name: str, run: Path) -> list[object]:
        """The command that trains the smallest model with the vocabulary `name` into `run`."""
        places = ["--datasets", self.root / "data", "--tokenizers", self.root / "tokenizers"]
        named = ["--dataset", "ja", "--tokenizer", name, "--name", name, "--run", run]
        return ["train", *SMALLEST_RUN, *places, *named]


@pytest.fixture(scope="session")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent  # of all workers: the first one makes it, the others wait for it
    made = shared / "walk.json"
    with (shared / "walk.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            made.write_text(json.dumps(_walk(shared / "散歩 一")), "utf-8")
    return Walk(shared / "散歩 一", json.loads(made.read_text("utf-8")))


def _walk(root: Path) -> dict[str, Any]:
    data, vocabularies = root / "data" / "ja", root / "tokenizers"
    (root / "text").mkdir(parents=True)
    shutil.copy(ROOT / "jgpt2" / "sample" / "letter.jsonl", root / "text")
    (root / "text" / "港 の朝.txt").write_text(
        "港の朝は早い。\r\n船が戻る。\n", "utf-8", newline=""
    )
    answers = {}
    answers["dataset"] = run_command(
        "corpus", "build", root / "text", "--out", data, "--test-share", 0.05, "--json"
    ).json()
    byte = ["--kind", "byte", "--out", vocabularies / "byte"]
    answers["byte"] = run_command("tokenizer", "train", *byte, "--json").json()
    learn = ["--dataset", data, "--vocab-size", 1500, "--out", vocabularies / "sp"]
    answers["sp"] = run_command("tokenizer", "train", *learn, "--json").json()
    for name in ("byte", "sp"):
        run = root / "runs" / name
        trained = run_command(*Walk(root, answers).training(name, run))
        assert trained.exit_code == 0, trained.err
        answers[f"evaluation of {name}"] = run_command(
            "evaluate", run, "--dataset", data, "--xz", "--json"
        ).json()
        answers[f"samples of {name}"] = run_command(
            "generate", run, "--prompt", "港の朝は、", "--max-tokens", 12, "--top-k", 20, "--json"
        ).json()
    return answers
