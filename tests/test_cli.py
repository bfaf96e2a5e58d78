"""The command line: help, answers, prompts, exit codes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import jgpt2
from jgpt2 import cli, configio

ROOT = Path(jgpt2.__file__).parents[1]
DRAWN = ("--top-k", 20, "--max-tokens", 12)


def one_paragraph(outcome, exit_code=2):
    """What a refused command says, proven to be one paragraph on stderr alone."""
    assert outcome.exit_code == exit_code, outcome
    assert outcome.out == ""
    assert outcome.err.startswith("jgpt2: ")
    assert outcome.err.endswith(".\n")
    assert outcome.err.count("\n") == 1
    return outcome.err


@pytest.mark.parametrize("asked", [[], ["--help"], ["-h"]])
def test_the_first_help_names_every_verb(command, asked):
    outcome = command(*asked)
    assert outcome.exit_code == 0
    for verb, (_, summary) in cli.VERBS.items():
        assert f"  {verb:<18} {summary}\n" in outcome.out


@pytest.mark.parametrize("asked", [["tokenizer", "--help"], ["-h", "tokenizer"]])
def test_the_help_of_a_family_names_its_verbs(command, asked):
    outcome = command(*asked)
    assert outcome.exit_code == 0
    assert "tokenizer train" in outcome.out
    assert "tokenizer measure" in outcome.out
    assert "corpus build" not in outcome.out


def test_the_version(command):
    assert command("--version").out == f"{jgpt2.__version__}\n"


@pytest.mark.parametrize("asked", [["gnerate"], ["corpus"], ["corpus", "biuld"], ["--json"]])
def test_an_unknown_verb_is_refused_with_the_choices(command, asked):
    said = one_paragraph(command(*asked))
    assert repr(" ".join(asked)) in said
    assert "corpus build" in said


@pytest.mark.parametrize("verb", cli.VERBS)
def test_the_help_of_every_verb(command, verb):
    outcome = command(*verb.split(), "--help")
    assert outcome.exit_code == 0
    assert outcome.err == ""
    assert f"jgpt2 {verb} " in outcome.out
    assert command(*verb.split(), "-h").out == outcome.out


def test_the_help_of_a_config_shows_its_values(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    for config in (ROOT / "configs" / "tiny.py", ROOT / "configs" / "small.py"):
        width = configio.load(config).model.embed_dim
        outcome = command("train", config, "--help")
        assert outcome.exit_code == 0
        assert "--model.embed-dim INT" in outcome.out
        assert f"(default: {width})" in outcome.out


def test_a_size_stands_for_its_config(command, monkeypatch):
    monkeypatch.chdir(ROOT)
    outcome = command("train", "117M", "--help")
    assert outcome.exit_code == 0
    assert "(default: 768)" in outcome.out


@pytest.mark.parametrize(
    ("asked", "flag"),
    [
        (["train", ROOT / "configs" / "tiny.py", "--run", "x", "--model.head", 5], "--model.heads"),
        (["corpus", "build", "x", "--out", "y", "--validaton-share", 0.1], "--validation-share"),
        (["generate", "x", "--topk", 3], "--top-k"),
    ],
)
def test_a_mistyped_flag_gets_the_right_one_suggested(command, asked, flag):
    said = one_paragraph(command(*asked))
    assert str(asked[-2]) in said
    assert f"Perhaps you meant: {flag} " in said
    assert "--help." in said


def test_flags_that_are_missing_or_of_another_type_are_refused(command):
    assert "--out PATH Folder of the dataset" in one_paragraph(command("corpus", "build", "x"))
    said = one_paragraph(command("generate", "x", "--samples", "三"))
    assert "--samples: invalid literal for int() with base 10: '三'" in said
    said = one_paragraph(command("tokenizer", "train", "--out", "x", "--kind", "word"))
    assert "invalid choice 'word'" in said
    assert "which config?" in one_paragraph(command("train"))
    assert "which config?" in one_paragraph(command("train", "--run", "x"))


@pytest.mark.parametrize(
    ("names", "parameters", "at_20573"),
    [
        ("small 117M 124M", 124_439_808, 101_642_496),
        ("medium 345M 355m", 354_823_168, 324_426_752),
        ("large 762M 774M", 774_030_080, None),
        ("xl 1542M 1558M", 1_557_611_200, None),
        ("8b 8.3B", 8_314_143_744, None),
    ],
)
def test_both_names_of_a_size_count_the_same(command, names, parameters, at_20573):
    for name in names.split():
        assert count(command, name, 50_257) == parameters
    if at_20573 is not None:
        assert count(command, name, 20_573) == at_20573


def count(command, name, vocab_size):
    return command("count", name, "--vocab-size", vocab_size, "--json").json()["parameters"]


def test_count_takes_a_config_and_a_tokenizer(command, walk):
    tiny = ROOT / "configs" / "tiny.py"
    answer = command("count", tiny, "--tokenizer", walk.root / "tokenizers" / "sp", "--json").json()
    assert answer["vocab_size"] == 1500
    assert answer["parameters"] == count(command, "tiny", 1500)
    assert "--vocab-size or --tokenizer" in one_paragraph(command("count", "small"))
    said = one_paragraph(command("count", "small", "--vocab-size", 0))
    assert "257 (bytes) or more" in said
    assert "small = 117M = 124M" in one_paragraph(command("count", "116M", "--vocab-size", 9))


def test_measure_and_inspect_answer_in_json_and_in_text(command, walk):
    tokenizer, data = walk.root / "tokenizers" / "sp", walk.root / "data" / "ja"
    measured = command("tokenizer", "measure", tokenizer, "--dataset", data, "--json").json()
    assert measured["restored_share"] == 1
    assert measured["vocab_size"] == 1500
    said = command("tokenizer", "measure", tokenizer, "--text", walk.root / "text").out
    assert "restored 100.00%" in said
    for folder, kind in (
        (data, "dataset"),
        (tokenizer, "tokenizer"),
        (data / "tokens/sp", "tokens"),
    ):
        assert command("inspect", folder, "--json").json()["kind"] == kind
    run = command("inspect", walk.root / "runs" / "sp", "--json").json()
    assert [row["step"] for row in run["checkpoints"]] == [6]
    said = command("inspect", walk.root / "runs" / "sp").out
    assert "checkpoint 6: " in said and " bytes, verified, " in said
    assert " s went into steps that count (1 starts, 0 steps done again)" in said
    assert "start: processes 1, code_version" in said


def test_evaluate_shows_a_table_of_the_users_own_text(command, walk, tmp_path):
    run = shutil.copytree(walk.root / "runs" / "sp", tmp_path / "sp")
    text = walk.root / "text" / "港 の朝.txt"
    outcome = command("evaluate", run, "--text", text, "--xz")
    assert outcome.exit_code == 0, outcome.err
    head, *rows = outcome.out.splitlines()
    assert head.split()[:4] == ["source", "documents", "bytes", "bits/byte"]
    assert [row.split()[:3] for row in rows] == [["text", "1", "38"], ["all", "1", "38"]]
    assert json.loads((run / "evaluation.json").read_text("utf-8"))["evaluated"] == [str(text)]
    said = one_paragraph(command("evaluate", run))
    assert "--dataset FOLDER or --text FILE" in said


def test_a_prompt_comes_from_a_flag_a_file_or_stdin(command, walk, tmp_path):
    run, prompt = walk.root / "runs" / "sp", "港の朝は、"
    file = tmp_path / "書き 出し.txt"
    file.write_bytes(b"\xef\xbb\xbf" + prompt.encode() + b"\r\n")
    expected = walk.answers["samples of sp"]
    for given, stdin in (
        (["--prompt", prompt], b""),
        (["--prompt-file", file], b""),
        ([], f"{prompt}\n".encode()),
    ):
        assert command("generate", run, *given, *DRAWN, "--json", stdin=stdin).json() == expected
    outcome = command("generate", run, "--prompt", prompt, *DRAWN)
    assert outcome.out == f"{prompt}{expected[0]['text']}\n"
    assert "synthetic text" in outcome.err


def test_several_prompts_make_one_row_each(command, walk):
    asked = ["generate", walk.root / "runs" / "sp", "--prompt", "朝", "--prompt=--夜", *DRAWN]
    rows = command(*asked, "--json").json()
    assert [(row["index"], row["prompt"]) for row in rows] == [(0, "朝"), (1, "--夜")]
    shown = command(*asked).out
    expected = (f"--- {row['index']}\n{row['prompt']}{row['text']}\n" for row in rows)
    assert shown == "".join(expected)
    twice = command(*asked[:4], "--samples", 2, *DRAWN, "--json").json()
    assert {row["prompt"] for row in twice} == {"朝"}
    assert twice[0]["text"] != twice[1]["text"]
    assert twice[0]["text"] == rows[0]["text"]


def test_prompts_that_cannot_be_used_are_refused(command, walk, tmp_path):
    run = walk.root / "runs" / "sp"
    file = tmp_path / "p.txt"
    file.write_bytes("港".encode("cp932"))
    said = one_paragraph(command("generate", run, "--prompt-file", file))
    assert "is not UTF-8" in said
    assert "iconv -f cp932" in said
    assert "stdin is not UTF-8" in one_paragraph(command("generate", run, stdin=b"\xff"))
    said = one_paragraph(command("generate", run, "--prompt", "a", "--prompt-file", file))
    assert "not both" in said
    assert "there is no" in one_paragraph(command("generate", run, "--prompt-file", tmp_path / "n"))
    said = one_paragraph(command("generate", run, "--prompt", os.fsdecode("港".encode("cp932"))))
    assert "unpaired surrogate" in said
    assert "--prompt-file" in said
    assert "choose 1 or more" in one_paragraph(command("generate", run, "--samples", 0))
    said = one_paragraph(command("generate", run, "--prompt", "a", "--step", 5))
    assert "complete steps: 6" in said


def test_what_the_system_refuses_is_said_in_one_paragraph(command, walk, tmp_path):
    (tmp_path / "file").write_text("")
    said = one_paragraph(
        command("corpus", "build", walk.root / "text", "--out", tmp_path / "file/x")
    )
    assert "file" in said
    assert "give another path" in said


def jgpt2_process(*arguments, **settings):
    command = [sys.executable, "-m", "jgpt2", *arguments]
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, **settings)


def test_the_exit_code_reaches_the_shell():
    done = jgpt2_process("gnerate")
    assert done.returncode == 2
    assert done.stderr.startswith("jgpt2: no verb 'gnerate'")


def test_a_reader_that_leaves_is_no_error():
    read, write = os.pipe()
    os.close(read)
    try:
        done = jgpt2_process("--help", stdout=write)
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (141, "")
