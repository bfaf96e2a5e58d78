"""Input that cannot be used, through the command line: one paragraph with the remedy, an exit code,
and no trace of what could not be finished."""

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time

import jax
import pytest

from jgpt2 import integrity


def tree(root):
    """Every file and folder below a folder, with the content of the files.

    Without the documents extracted for a dataset, which are kept for the next try.
    """
    found = {
        path.relative_to(root): path.read_bytes() if path.is_file() else None
        for path in root.rglob("*")
    }
    return {
        place.as_posix(): content
        for place, content in found.items()
        if not place.parts[0].endswith(".documents")
    }


@pytest.fixture
def refused(command, tmp_path):
    """Runs a command that must be refused and leave `tmp_path` as it was; what it says."""

    def refuse(*arguments, exit_code=2, said_before=()):
        before = tree(tmp_path)
        outcome = command(*arguments)
        assert outcome.exit_code == exit_code, outcome
        assert outcome.out == ""
        *others, said = outcome.err.splitlines()
        assert len(others) == len(said_before), outcome.err
        assert all(map(str.startswith, others, said_before)), outcome.err
        assert said.startswith("jgpt2: ")
        assert said.endswith(".")
        assert tree(tmp_path) == before
        return said

    return refuse


def write_jsonl(path, *texts):
    lines = [json.dumps({"text": text}, ensure_ascii=False) for text in texts]
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return path


@pytest.mark.parametrize("content", ["", "\n\n", '{"text": " 　\\n"}\n'])
def test_an_empty_corpus(refused, tmp_path, content):
    file = tmp_path / "空.jsonl"
    file.write_text(content, "utf-8")
    said = refused("corpus", "build", file, "--out", tmp_path / "d")
    assert "usable documents in 0 groups" in said
    assert "add text" in said


def test_a_dataset_of_one_document(refused, tmp_path):
    file = tmp_path / "一つ.txt"
    file.write_text("雨が降る。", "utf-8")
    said = refused("corpus", "build", file, "--out", tmp_path / "d")
    assert "usable documents in 1 groups" in said
    assert "split a long file into several documents" in said


def test_a_file_that_is_not_utf8(refused, walk, tmp_path):
    file = tmp_path / "古い.txt"
    file.write_bytes("港の朝".encode("cp932"))
    said = refused("tokenizer", "measure", walk.root / "tokenizers" / "sp", "--text", file)
    assert f"{file} is not UTF-8" in said
    assert "iconv -f cp932 -t utf-8" in said


def test_a_lone_surrogate_in_a_line(refused, walk, tmp_path):
    file = tmp_path / "半分.jsonl"
    file.write_text('{"text": "雨"}\n{"text": "晴れ\\ud83d"}\n', "utf-8")
    said = refused("tokenizer", "measure", walk.root / "tokenizers" / "sp", "--text", file)
    assert f"{file}:2 has an unpaired surrogate" in said
    assert "remove the escape" in said
    said = refused("corpus", "build", file, "--out", tmp_path / "d")
    assert "left out: 1 unpaired surrogate" in said


def test_thresholds_that_there_are_not(refused, walk, tmp_path):
    asked = ("corpus", "build", walk.root / "text", "--out", tmp_path / "d", "--thresholds")
    assert "min_leters" in refused(*asked, "min_leters=3")
    said = refused(*asked[:-1], "--filters", "blog")
    assert said.startswith("jgpt2: invalid choice 'blog' for argument '--filters'")


def test_a_path_that_is_not_there(refused, tmp_path):
    asked = ("--text", tmp_path / "無い.txt", "--out", tmp_path / "q")
    assert "check the path" in refused("quickstart", *asked)


def test_a_vocabulary_too_small_for_its_characters(refused, walk, tmp_path):
    data = walk.root / "data" / "ja"
    asked = ("--dataset", data, "--vocab-size", 300, "--out", tmp_path / "v")
    said = refused("tokenizer", "train", *asked)
    assert "vocab_size=300 is too small" in said
    assert "give at least that" in said


def test_a_quickstart_can_be_asked_again_with_a_fitting_vocabulary(command, refused, tmp_path):
    file = write_jsonl(tmp_path / "三.jsonl", "雨が降る。", "風が吹く。", "雪が積もる。")
    asked = ("quickstart", "--out", tmp_path / "q", "--text", file, "--vocab-size")
    outcome = command(*asked, 4096)
    assert outcome.exit_code == 2
    assert "too large for this text" in outcome.err
    before = ["dataset: 3 documents"]
    assert "vocab_size=100 is too small" in refused(*asked, 100, said_before=before)


def test_a_tokenizer_whose_model_was_altered(refused, walk, tmp_path):
    altered = shutil.copytree(walk.root / "tokenizers" / "sp", tmp_path / "sp")
    flip(altered / "tokenizer.model")
    asked = ("tokenizer", "measure", altered, "--text", walk.root / "text")
    said = refused(*asked, exit_code=3)
    assert f"{altered / 'tokenizer.model'} has SHA-256" in said
    assert "restore the file or train again" in said
    run = shutil.copytree(walk.root / "runs" / "sp", tmp_path / "run")
    flip(run / "tokenizer" / "tokenizer.model")
    assert "restore the file" in refused("generate", run, "--prompt", "朝", exit_code=3)


def test_a_tokenizer_of_the_same_name_but_not_of_the_store(command, refused, walk, tmp_path):
    other = tmp_path / "tokenizers" / "sp"
    assert command("tokenizer", "train", "--kind", "byte", "--out", other).exit_code == 0
    asked = walk.training("sp", tmp_path / "run")
    asked[asked.index("--tokenizers") + 1] = other.parent
    said = refused(*asked)
    assert "is of tokenizer" in said
    assert "give another folder, or remove that one" in said


def test_a_tokenizer_and_a_dataset_that_are_not_there(refused, walk, tmp_path):
    asked = walk.training("sp", tmp_path / "run")
    asked[asked.index("--tokenizer") + 1] = "sp-8k"
    assert "choose one of byte, sp" in refused(*asked)
    asked[asked.index("--dataset") + 1] = "en"
    assert "found: ja" in refused(*asked)


def test_heads_that_do_not_divide_the_width(refused, walk, tmp_path):
    said = refused(*walk.training("sp", tmp_path / "run"), "--model.heads", 5)
    assert said == (
        "jgpt2: model.embed_dim=32 does not divide by model.heads=5; choose a multiple of 5."
    )


def test_a_batch_that_does_not_divide_the_mesh(refused, walk, tmp_path):
    asked = walk.training("sp", tmp_path / "run")
    said = refused(*asked, "--batch.sequences", 6)
    assert "batch rows = 6 does not divide over mesh.data x mesh.fsdp = 8" in said
    assert "choose a multiple of 8" in said
    assert "does not make 8 devices" in refused(*asked, "--mesh.fsdp", 3)


def test_a_run_folder_with_another_config(refused, walk, tmp_path):
    run = shutil.copytree(walk.root / "runs" / "sp", tmp_path / "run")
    said = refused(*walk.training("sp", run), "--optimizer.peak-lr", 0.5, "--seed", 1)
    assert "seed: 0 -> 1, optimizer.peak_lr: 0.02 -> 0.5" in said
    assert "give another --run folder" in said
    assert "is not a run folder" in refused(*walk.training("sp", walk.root / "text"))


def test_a_prompt_longer_than_the_context(refused, walk):
    said = refused(
        "generate",
        walk.root / "runs" / "byte",
        "--prompt",
        "港の朝は早く、船は次々に戻る。",
        said_before=["synthetic text by"],
    )
    assert "the prompt has 45 tokens" in said
    assert "shorten the prompt" in said


def test_a_damaged_checkpoint(refused, walk, tmp_path):
    run = shutil.copytree(walk.root / "runs" / "sp", tmp_path / "run")
    step = run / "checkpoints" / "6"
    damaged = max((path for path in step.rglob("*") if path.is_file()), key=os.path.getsize)
    flip(damaged)
    for asked in (
        ("generate", run, "--prompt", "朝"),
        ("evaluate", run, "--text", walk.root / "text"),
        ("inspect", run),
    ):
        said = refused(*asked, exit_code=3)
        assert f"{damaged} is damaged" in said
        assert "restore the file" in said


def flip(path):
    """Changes one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@contextlib.contextmanager
def full_disk(num_bytes):
    """No file of this process grows beyond `num_bytes`: the kernel refuses, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_fills_while_a_dataset_is_built(refused, walk, tmp_path):
    for num_bytes in (2_000, 40_000):  # in the spool, in the files of the dataset
        with full_disk(num_bytes):
            said = refused("corpus", "build", walk.root / "text", "--out", tmp_path / "d")
        assert "free some space" in said


def test_a_disk_that_fills_while_a_vocabulary_is_written(refused, walk, tmp_path):
    with full_disk(2_000):
        asked = ("--dataset", walk.root / "data" / "ja", "--vocab-size", 1500)
        said = refused("tokenizer", "train", *asked, "--out", tmp_path / "v")
    assert "free some space" in said


def test_a_disk_that_fills_while_a_token_store_is_built(command, refused, walk, tmp_path):
    data = shutil.copytree(walk.root / "data" / "ja", tmp_path / "data" / "ja")
    shutil.rmtree(data / "tokens")
    (data / "tokens" / "byte").mkdir(parents=True)
    (data / "tokens" / "byte" / "building.json").write_bytes(building(walk))
    asked = walk.training("byte", tmp_path / "run")
    asked[asked.index("--datasets") + 1] = data.parent
    with full_disk(5_000):
        said = refused(*asked)
    assert "free some space" in said


def building(walk):
    """The note in a store that is being built: what it is made of."""
    made = json.loads((walk.root / "data/ja/tokens/byte/manifest.json").read_text("utf-8"))
    return (json.dumps(made["parents"]) + "\n").encode()


def test_a_disk_that_fills_while_a_checkpoint_is_saved(command, walk, tmp_path):
    # In a process of its own, since threads of Orbax go on for a while after the failure.
    run, programs = tmp_path / "run", tmp_path / "xla"
    # Programs of its own, too: one cut short on the way would be read by other tests.
    shutil.copytree(jax.config.jax_compilation_cache_dir, programs)
    asked = [str(argument) for argument in walk.training("byte", run)]
    code = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
from jgpt2 import cli
sys.exit(cli.main(sys.argv[1:]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, *asked],
        env=os.environ | {"JAX_COMPILATION_CACHE_DIR": str(programs)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    said = done.stderr.splitlines()[-1]
    assert said.startswith("jgpt2: ")
    assert "free some space and run the same command again" in said
    assert [
        path.name for path in run.rglob("*") if "tmp" in path.name or "partial" in path.name
    ] == []
    assert integrity.steps(run / "checkpoints") == []
    again = command(*asked)
    assert again.exit_code == 0, again.err
    assert integrity.steps(run / "checkpoints") == [6]


def test_ctrl_c_while_a_dataset_is_built(refused, tmp_path):
    # What is started in the background of a shell ignores Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    pipe, out = tmp_path / "長い.jsonl", tmp_path / "d"
    os.mkfifo(pipe)
    is_over = threading.Event()

    def interrupt():
        with pipe.open("wb") as writer:
            # More than any pipe holds: all is written only when the reader is at work.
            writer.write('{"text": "雨が降る。"}\n'.encode() * 12_000)
            writer.flush()
            time.sleep(2)  # until it waits for more: a read that is about to begin hears nothing
            os.kill(os.getpid(), signal.SIGINT)
            is_over.wait(30)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        said = refused("corpus", "build", pipe, "--out", out, exit_code=130)
    finally:
        signal.signal(signal.SIGINT, before)
        is_over.set()
        thread.join()
    assert said.startswith("jgpt2: interrupted")
    assert "the same command" in said
