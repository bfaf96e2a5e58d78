"""The commands that the READMEs and guides show: they exist, they agree, and the walk runs."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

import jgpt2
from jgpt2 import cli

ROOT = Path(jgpt2.__file__).parents[1]
READMES = ("README.md", "README.ja.md")
PAGES = (
    *READMES,
    *(
        f"docs/{name}.md"
        for name in (
            *("guide", "guide.ja", "corpus", "corpus.ja", "plan", "plan.ja", "tiny"),
            *(
                "storage",
                "storage.ja",
                "ablation",
                "ablation.ja",
                "publish",
                "publish.ja",
                "release",
                "release.ja",
            ),
            *("launch", "launch.ja", "operations", "operations.ja"),
        )
    ),
    "docs/studies/vocab-cpu/README.md",
    "docs/studies/vocab-small-cut/README.md",
    "tokenizers/README.md",
    "tpu/README.md",
    "tpu/README.ja.md",
)
_BLOCK = re.compile(r"(<!-- test: run -->\n)?```(?:bash|sh)\n(.*?)```", re.DOTALL)
SMALLER = {
    "train": "--model.layers 1 --model.embed-dim 32 --model.heads 2 --model.context 32 "
    "--batch.sequences 8 --budget.steps 2 --evaluation.max-bytes 1000",
}
"""Flags put after those of the page: the last one counts."""


def blocks(page):
    """(whether the block is marked to be run, its commands, one a line), in their order."""
    text = (ROOT / page).read_text("utf-8")
    for marked, block in _BLOCK.findall(text):
        lines = block.replace("\\\n", " ").splitlines()
        yield bool(marked), [" ".join(line.split()) for line in lines if line.strip()]


def commands(page):
    return [line for _, lines in blocks(page) for line in lines]


def indented_commands(page):
    text = (ROOT / page).read_text("utf-8").replace("\\\n", " ")
    return re.findall(r"^ {4}(?:uv run )?(jgpt2 .*)$", text, re.MULTILINE)


def jgpt2_arguments(line):
    """What follows `jgpt2` in each command of a line, and the command that it launches."""
    for words in re.split(r"&&|\|", line):
        split = shlex.split(words, comments=True)
        if "jgpt2" in split:
            given = split[split.index("jgpt2") + 1 :]
            end = given.index("--") if "--" in given else len(given)
            yield given[:end]
            if given[end:]:
                yield given[end + 1 :]


def verb_of(arguments):
    """The verb with which the arguments start."""
    (verb,) = [name for name in cli.VERBS if arguments[: len(name.split())] == name.split()]
    return verb


def test_both_readmes_show_the_same_commands():
    assert list(blocks("README.md")) == list(blocks("README.ja.md"))


@pytest.mark.parametrize("page", READMES)
def test_the_two_commands_come_first(page):
    assert commands(page)[:2] == [
        "pip install uv && uv run jgpt2 quickstart",
        "pip install uv && uv run pytest",
    ]


@pytest.mark.parametrize("page", PAGES)
def test_every_command_has_a_verb_and_its_flags(command, page, monkeypatch):
    monkeypatch.chdir(ROOT)
    lines = [*commands(page), *indented_commands(page)]
    shown = [given for line in lines for given in jgpt2_arguments(line)]
    assert shown
    for arguments in shown:
        if set(arguments) & {"--help", "--version"}:
            assert command(*arguments).exit_code == 0
            continue
        verb = verb_of(arguments)
        of_config = arguments[1:2] if verb in cli.OF_CONFIG else []
        text = command(*verb.split(), *of_config, "--help").out
        known = set(re.findall(r"--[a-z][\w.-]*", text))
        flags = {word.partition("=")[0] for word in arguments if word.startswith("--")}
        assert flags <= known, f"{arguments}: {flags - known}"


def test_the_marked_commands_run(command, tmp_path, monkeypatch):
    for name in ("jgpt2", "configs"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "tokenizers" / "byte", tmp_path / "tokenizers" / "byte")
    monkeypatch.chdir(tmp_path)
    marked = [line for is_marked, lines in blocks("README.md") if is_marked for line in lines]
    said = {}
    for arguments in (given for line in marked for given in jgpt2_arguments(line)):
        verb = verb_of(arguments)
        outcome = command(*arguments, *SMALLER.get(verb, "").split())
        assert outcome.exit_code == 0, f"{arguments}: {outcome.err}"
        said[verb] = outcome.out
    assert set(said) >= {"corpus build", "tokenizer train", "train", "evaluate", "generate"}
    assert "bits/byte" in said["evaluate"]
