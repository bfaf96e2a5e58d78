"""The layers of the house: who may import whom, and what may be loaded when.

A file imports only from lower layers or from its own folder; folders of one layer never import each
other. A module that has no place in LAYERS fails by name: give it one with care.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jgpt2

PACKAGE = Path(jgpt2.__file__).parent
ROOT = PACKAGE.parent

LAYERS = {
    "chips": 0, "config": 0, "configio": 0, "drawing": 0, "errors": 0, "failure": 0, "html": 0,
    "integrity": 0, "machine": 0,
    "manifest": 0, "mirror": 0, "pool": 0, "progress": 0, "storage": 0, "table": 0,
    "untrusted": 0,
    "compilation": 1, "host_memory": 1, "processes": 1, "corpus": 1, "model": 1, "tokenizer": 1,
    "checkpoint": 2, "data": 2,
    "evaluate": 3, "generate": 3, "runs": 3,
    "doctor": 4, "harness": 4, "inference": 4, "memorisation": 4, "publish": 4, "train": 4,
    "ablation": 5, "benchmark": 5, "forgetting": 5, "plan": 5, "quickstart": 5,
    "quickstart_report": 5,
    "launch": 6,
    "verbs": 7,
    "__main__": 8, "cli": 8,
}  # fmt: skip

ROOT_NAMES = {"__version__"}
JAX = {"jax", "jaxlib", "flax", "optax", "orbax", "chex"}
NEVER = {"tensorflow", "torch", "transformers", "clu"}
HEAVY = JAX | NEVER | {"tensorflow_datasets", "sentencepiece", "grain", "matplotlib", "safetensors"}


def unit(path: str) -> str:
    """`jgpt2/model/gpt2.py` -> model; `jgpt2/cli.py` -> cli."""
    return path.split("/")[1].removesuffix(".py")


def imported(path: str, source: str) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every import, wherever it stands in the file."""
    folders = path.split("/")[:-1]
    for node in ast.walk(ast.parse(source, path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = folders[: len(folders) + 1 - node.level] if node.level else []
            start = ".".join([*above, *filter(None, [node.module])])
            yield from ((node.lineno, f"{start}.{alias.name}") for alias in node.names)


def violations(path: str, source: str) -> list[str]:
    """What the file imports against the rule of the layers."""
    found = []
    if unit(path) not in LAYERS:
        return [f"{path}: {unit(path)} has no layer; place it in LAYERS"]
    own, is_plain = LAYERS[unit(path)], path.count("/") == 1
    for line, name in imported(path, source):
        top, _, rest = name.partition(".")
        target = rest.partition(".")[0]
        if top != "jgpt2" or not target or target in ROOT_NAMES or target == unit(path):
            continue
        if target not in LAYERS:
            found.append(f"{path}:{line}: jgpt2.{target} has no layer; place it in LAYERS")
        elif LAYERS[target] > own:
            found.append(f"{path}:{line}: layer {own} imports {target} of layer {LAYERS[target]}")
        # Plain files of one layer lie in one folder; a folder has no neighbour in its layer.
        elif LAYERS[target] == own and not (is_plain and (PACKAGE / f"{target}.py").is_file()):
            found.append(f"{path}:{line}: imports {target} of its own layer {own}")
    return found


def sources() -> dict[str, str]:
    """Path from the root -> source of every module but the package's own `__init__`."""
    files = sorted(PACKAGE.rglob("*.py"))
    texts = {file.relative_to(ROOT).as_posix(): file.read_text("utf-8") for file in files}
    del texts["jgpt2/__init__.py"]
    return texts


def loaded_by(*modules: str) -> set[str]:
    """Top-level names of `sys.modules` after a fresh interpreter has imported the modules."""
    code = (
        f"import sys, {', '.join(modules)}\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


def test_every_file_imports_downwards():
    found = [line for path, source in sources().items() for line in violations(path, source)]
    assert not found, "\n".join(found)


def test_the_table_names_what_exists():
    assert set(LAYERS) - {unit(path) for path in sources()} == set()


def test_the_package_itself_imports_nothing():
    assert not list(imported("jgpt2/__init__.py", (PACKAGE / "__init__.py").read_text("utf-8")))


def test_a_planted_import_is_found():
    def first(path, source):
        return "".join(violations(path, source)[:1])

    upwards = "jgpt2/model/bad.py:1: layer 1 imports train of layer 4"
    assert first("jgpt2/model/bad.py", "from jgpt2.train import loop") == upwards
    assert first("jgpt2/model/bad.py", "from jgpt2 import config, train") == upwards
    assert first("jgpt2/model/bad.py", "import jgpt2.train.loop as fit") == upwards
    assert first("jgpt2/model/bad.py", "from ..train.loop import fit") == upwards
    assert first("jgpt2/model/bad.py", "from .. import train") == upwards
    assert "bad.py:3:" in first("jgpt2/model/bad.py", "def f():\n  if 1:\n    import jgpt2.cli")
    assert "imports tokenizer of its own layer 1" in first(
        "jgpt2/model/bad.py", "from jgpt2.tokenizer import base"
    )
    assert "imports data of its own layer 2" in first("jgpt2/checkpoint.py", "import jgpt2.data")
    assert "imports checkpoint of its own layer 2" in first(
        "jgpt2/data/bad.py", "from jgpt2 import checkpoint"
    )
    assert "stray has no layer" in first("jgpt2/model/bad.py", "from jgpt2 import stray")
    assert "stray has no layer" in first("jgpt2/stray.py", "")
    assert "stray has no layer" in first("jgpt2/stray/thing.py", "import json")
    assert "* has no layer" in first("jgpt2/cli.py", "from jgpt2 import *")


def test_a_rightful_import_passes():
    source = """
import json, jgpt2
from jgpt2 import __version__, config
from jgpt2.model import gpt2
from jgpt2.train import step
from . import optim
"""
    assert violations("jgpt2/train/good.py", source) == []
    assert violations("jgpt2/configio.py", "from jgpt2.config import Experiment") == []


def test_no_module_imports_what_only_tests_may_use():
    found = [
        f"{path}:{line}: {name}"
        for path, source in sources().items()
        if path
        != "jgpt2/publish/formats/torch_side.py"  # handed to the Python of another environment
        for line, name in imported(path, source)
        if name.partition(".")[0] in NEVER
    ]
    assert not found


def test_text_layers_do_not_import_jax():
    textual = {name for name, layer in LAYERS.items() if layer == 0} | {"corpus", "tokenizer"}
    found = [
        f"{path}:{line}: {name}"
        for path, source in sources().items()
        for line, name in imported(path, source)
        if unit(path) in textual and name.partition(".")[0] in JAX
    ]
    assert not found


def test_the_lowest_layer_loads_nothing_heavy():
    lowest = [f"jgpt2.{name}" for name, layer in LAYERS.items() if layer == 0]
    assert loaded_by(*lowest) & HEAVY == set()


def test_the_command_line_loads_nothing_heavy_before_a_verb_runs():
    verbs = [f"jgpt2.verbs.{file.stem}" for file in sorted((PACKAGE / "verbs").glob("[!_]*.py"))]
    assert verbs
    assert loaded_by("jgpt2.cli", *verbs) & HEAVY == set()


def test_a_heavy_module_would_be_seen():
    assert {"sentencepiece", "jgpt2"} <= loaded_by("jgpt2", "sentencepiece")


def test_no_file_is_too_long():
    folders = ("jgpt2", "tests", "configs", "benchmarks", "tokenizers")
    files = [file for folder in folders for file in sorted((ROOT / folder).rglob("*.py"))]
    lengths = {file.relative_to(ROOT): len(file.read_text("utf-8").splitlines()) for file in files}
    assert {str(file): length for file, length in lengths.items() if length > 400} == {}


def test_configs_and_tokenizers_are_no_packages():
    # A package `tokenizers` would shadow the library of that name; a bare folder does not.
    assert [
        str(file)
        for name in ("configs", "tokenizers")
        for file in (ROOT / name).rglob("__init__.py")
    ] == []


def test_the_launch_knows_no_more_than_the_lowest_layer():
    found = [
        f"{path}:{line}: {name}"
        for path, source in sources().items()
        if unit(path) == "launch"
        for line, name in imported(path, source)
        if name.startswith("jgpt2.")
        and LAYERS[name.split(".")[1]]
        and name.split(".")[1] != "launch"
    ]
    assert not found
