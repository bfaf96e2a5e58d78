"""Files of others that are damaged or mean harm: each is refused by its name."""

import json
import shutil
import subprocess
import sys

import pytest

from jgpt2.errors import DamageError, InputError
from jgpt2.tokenizer import foreign, load
from tests.tokenizer import foreign as made


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    root = tmp_path_factory.mktemp("vocabularies")
    for kind, make in made.MAKERS.items():
        make(root / kind)
    return root


@pytest.fixture
def source(sources, tmp_path):
    """Copies the folder of a kind, whose files a test then spoils."""
    return lambda kind: shutil.copytree(sources / kind, tmp_path / "source")


def refused(folder, match):
    with pytest.raises((InputError, DamageError), match=match):
        foreign.adopt(folder, folder.with_name("out"), name="x")
    assert not folder.with_name("out").exists()


def changed(file, change):
    value = json.loads(file.read_text("utf-8"))
    change(value)
    made.write_json(file, value)


def test_a_folder_without_a_vocabulary_says_what_it_needs(tmp_path):
    (tmp_path / "a").mkdir()
    refused(tmp_path / "a", r"no vocabulary that is read here but nothing; it needs ja-bpe.txt and")
    (tmp_path / "a" / "vocab.json").write_text("{}", "utf-8")
    refused(tmp_path / "a", r"but vocab.json; it needs .*vocab.json and merges.txt")
    refused(tmp_path / "b", "but nothing")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"[]", "vocab.json is a JSON list, not an object"),
        (b"{", "vocab.json is not JSON"),
        (b"[" * 100_000, "vocab.json is not JSON"),
        (b"\xff", "vocab.json is not JSON"),
        (b'{"a": "0"}', "vocab.json gives 'a' the id '0'"),
        (b'{"a": true}', "vocab.json gives 'a' the id True"),
        (b'{"a": 0, "b": 2}', "vocab.json has 2 pieces, but id 1 is missing"),
        (b'{"a": 0, "b": 0}', "vocab.json has 2 pieces, but id 1 is missing, double"),
        (b'{"a": -1, "b": 0}', "vocab.json has 2 pieces, but id -1 is .*out of range"),
        (b'{"a": 0}', "merge 1 of merges.txt is .*two pieces of the vocabulary"),
    ],
)
def test_a_vocabulary_that_is_none(source, content, match):
    folder = source("byte_level")
    (folder / "vocab.json").write_bytes(content)
    refused(folder, match)


@pytest.mark.parametrize("line", ["猫 犬", "a", "a b c", "a  b"])
def test_merges_that_name_no_pieces(source, line):
    folder = source("byte_level")
    (folder / "merges.txt").write_text(f"#version: 0.2\n{line}\n", "utf-8")
    refused(folder, r"merge 1 of merges.txt is .* it must join two pieces of the vocabulary")


def test_a_vocabulary_without_all_bytes(source):
    folder = source("byte_level")
    (folder / "merges.txt").write_text("#version: 0.2\n", "utf-8")
    made.write_json(folder / "vocab.json", {"<|endoftext|>": 0, "a": 1})
    refused(folder, r"vocab.json lacks 255 of the 256 bytes, such as '!'")


def test_a_piece_of_no_bytes(source):
    folder = source("byte_level")
    changed(folder / "vocab.json", lambda vocab: vocab.update({"猫": 600, "猫a": 601}))
    with (folder / "merges.txt").open("a", encoding="utf-8") as merges:
        merges.write("\n猫 a\n")
    refused(folder, "vocab.json has the piece '猫a', which is not spelled in signs of bytes")


def test_a_merge_of_a_control_piece(source):
    folder = source("byte_level")
    changed(folder / "vocab.json", lambda vocab: vocab.update({"<|endoftext|>a": 600}))
    with (folder / "merges.txt").open("a", encoding="utf-8") as merges:
        merges.write("\n<|endoftext|> a\n")
    refused(folder, "vocab.json cannot be used")


def test_a_vocabulary_without_an_end(source):
    folder = source("byte_level")
    changed(folder / "vocab.json", lambda vocab: vocab.update(END=vocab.pop("<|endoftext|>")))
    refused(folder, r"has no control piece '<\|endoftext\|>'.* tokenizer_config.json: 'END'")
    made.write_json(folder / "tokenizer_config.json", {"eos_token": {"content": "END"}})
    foreign.adopt(folder, folder.with_name("out"), name="x")
    assert load.load(folder.with_name("out")).eot == 0


def test_an_end_that_texts_give(source):
    """An ordinary piece as EOT would end documents wherever the text has it."""
    for kind, piece in (("byte_level", "a"), ("pieces", "猫")):
        folder = source(kind)
        made.write_json(folder / "tokenizer_config.json", {"eos_token": piece})
        refused(folder, f"has no control piece '{piece}'")
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda whole: whole["model"].update(type="Unigram"), "model of type 'Unigram'; .*spiece"),
        (lambda whole: whole.pop("model"), "model of type None"),
        (lambda whole: whole.update(normalizer={"type": "NFKC"}), "has a normalizer; only plain"),
        (lambda whole: whole.update(pre_tokenizer=None), "no ByteLevel pre_tokenizer"),
        (
            lambda whole: whole.update(pre_tokenizer={"type": "Sequence", "pretokenizers": 7}),
            "no ByteLevel pre_tokenizer",
        ),
        (
            lambda whole: whole.update(pre_tokenizer={"type": "Sequence", "pretokenizers": []}),
            "no ByteLevel pre_tokenizer",
        ),
        (
            lambda whole: whole.update(pre_tokenizer={"type": "Custom", "path": "/tmp/x.so"}),
            "no ByteLevel pre_tokenizer",
        ),
        (
            lambda whole: whole["pre_tokenizer"].update(add_prefix_space=True),
            "a space before every text",
        ),
        (
            lambda whole: whole.update(
                pre_tokenizer={
                    "type": "Sequence",
                    "pretokenizers": [{"type": "Whitespace"}, whole["pre_tokenizer"]],
                }
            ),
            "a pre_tokenizer that is no plain split",
        ),
        (lambda whole: whole["model"].update(dropout=0.1), "has dropout"),
        (lambda whole: whole["model"].update(byte_fallback=True), "has byte_fallback"),
        (lambda whole: whole["model"].update(vocab=[]), "has no vocab of pieces and ids"),
        (lambda whole: whole["model"].update(merges=None), "has no list of merges"),
        (lambda whole: whole["model"].update(merges=["猫 犬"]), "merge 1 of tokenizer.json"),
        (lambda whole: whole["added_tokens"][0].update(id=7), "two ids"),
        (
            lambda whole: whole["added_tokens"].append({"id": 600, "content": "猫は"}),
            "which is not special and would cut texts",
        ),
    ],
)
def test_a_tokenizer_json_with_other_rules(source, change, match):
    folder = source("whole")
    changed(folder / "tokenizer.json", change)
    refused(folder, match)


def test_a_split_that_cannot_be_built(source):
    folder = source("whole")
    split = {"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated", "invert": False}

    def change(whole):
        steps = [split, whole["pre_tokenizer"]]
        whole["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": steps}

    changed(folder / "tokenizer.json", change)
    refused(folder, "tokenizer.json cannot be used")


def test_a_sentencepiece_model_cut_anywhere(source):
    folder = source("pieces")
    model = (folder / "spiece.model").read_bytes()
    for size in (0, 1, 100, len(model) // 2, len(model) - 1):
        (folder / "spiece.model").write_bytes(model[:size])
        refused(folder, "spiece.model is no whole SentencePiece model")


def test_a_sentencepiece_model_cut_before_its_normaliser(source):
    """Such a file is whole to SentencePiece, which would then normalise in another way."""
    from jgpt2.tokenizer import score

    folder = source("pieces")
    model = (folder / "spiece.model").read_bytes()
    ends = [end for tag, _, end in score.fields(model, 0, len(model)) if tag == 0x12]
    (folder / "spiece.model").write_bytes(model[: ends[0]])
    refused(folder, "its pieces, training spec or normaliser are missing")


@pytest.mark.parametrize(
    ("pieces", "match"),
    [
        ("\n".join(made.JAPANESE_PIECES) + "\n", "line 275 of ja-bpe.txt|line 276 of ja-bpe.txt"),
        ("\n".join(["猫", *made.JAPANESE_PIECES]), "line 1 of ja-bpe.txt is empty or stands twice"),
        ("\n".join(made.JAPANESE_PIECES).replace("<BR>", "<br>"), "lacks '<BR>', which the enc"),
        ("\n".join(made.JAPANESE_PIECES).replace("|byte9|", "|x|"), r"lacks '<\|byte9\|>'"),
    ],
)
def test_japanese_bpe_that_lacks_something(source, pieces, match):
    folder = source("japanese_bpe")
    (folder / "ja-bpe.txt").write_text(pieces, "utf-8")
    refused(folder, match)


def test_emoji_that_are_none(source):
    folder = source("japanese_bpe")
    for value, match in (
        ({"emoji": {}}, "emoji.json has no table 'emoji_inv'"),
        ({"emoji": {"": "<SP>"}, "emoji_inv": {}}, "emoji.json has no table 'emoji'"),
        ({"emoji": {"a": 1}, "emoji_inv": {}}, "emoji.json has no table 'emoji'"),
        ({"emoji": {"a": "<|emoji1|>"}, "emoji_inv": {}}, r"lacks '<\|emoji1\|>'"),
    ):
        made.write_json(folder / "emoji.json", value)
        refused(folder, match)


@pytest.mark.parametrize("key", ["vocab_file", "tokenizer_file", "spiece_model_file"])
@pytest.mark.parametrize(
    "value", ["../../etc/passwd", "/etc/passwd", "a/b", "..", "..\\secret", "C:\\x", 7]
)
def test_file_names_that_leave_the_folder(source, key, value):
    folder = source("pieces")
    made.write_json(folder / "tokenizer_config.json", {key: value})
    refused(folder, rf"tokenizer_config.json has {key}=.*, a path; only names of files")
    made.write_json(folder / "tokenizer_config.json", {key: "spiece.model"})
    foreign.adopt(folder, folder.with_name("out"), name="x")


def test_a_path_that_nobody_reads_is_left_alone(source):
    folder = source("pieces")
    note = {"special_tokens_map_file": "/home/author/special_tokens_map.json"}
    made.write_json(folder / "tokenizer_config.json", note)
    foreign.adopt(folder, folder.with_name("out"), name="x")


def test_code_of_its_own(source):
    folder = source("pieces")
    auto_map = {"AutoTokenizer": ["tokenization_x.X", None]}
    made.write_json(folder / "tokenizer_config.json", {"auto_map": auto_map})
    refused(folder, "tokenizer_config.json has auto_map=.*: its tokenizer is code of its own")


@pytest.mark.parametrize("file", ["spiece.model", "tokenizer_config.json", "config.json"])
def test_links_that_leave_the_folder(source, tmp_path, file):
    folder = source("pieces")
    outside = tmp_path / "outside"
    outside.write_bytes((folder / file).read_bytes() if (folder / file).exists() else b"{}")
    (folder / file).unlink(missing_ok=True)
    (folder / file).symlink_to(outside)
    refused(folder, rf"{file} is a link that leaves its folder, to .*outside")


def test_links_within_the_folder_are_followed(source):
    folder = source("pieces")
    (folder / "spiece.model").rename(folder / "blob")
    (folder / "spiece.model").symlink_to("blob")
    foreign.adopt(folder, folder.with_name("out"), name="x")


def test_a_folder_where_a_file_should_be(source):
    folder = source("pieces")
    (folder / "spiece.model").unlink()
    (folder / "spiece.model").mkdir()
    refused(folder, "spiece.model is no file")


@pytest.mark.parametrize(
    ("config", "match"),
    [
        ({"eos_token": 3}, "eos_token=3; it must be the text of a piece"),
        ({"do_lower_case": "yes"}, "do_lower_case='yes'; it must be true or false"),
        ({"bos_token": "<|x|>"}, r"spiece.model has no control piece '<\|x\|>'"),
    ],
)
def test_configs_of_the_wrong_type(source, config, match):
    folder = source("pieces")
    made.write_json(folder / "tokenizer_config.json", config)
    refused(folder, match)


def test_lower_case_where_no_tokenizer_knows_it(source):
    folder = source("byte_level")
    made.write_json(folder / "tokenizer_config.json", {"do_lower_case": True})
    refused(folder, "has do_lower_case, which no byte_level tokenizer knows")


@pytest.mark.parametrize("kind", made.MAKERS)
def test_a_model_of_other_size(source, kind):
    folder = source(kind)
    for value, match in (
        (10, r"but config.json says vocab_size=10; a model needs an id for every piece"),
        (2**40, "at most 1048576"),
        ("600", "vocab_size='600'; it must be a whole number"),
    ):
        made.write_json(folder / "config.json", {"vocab_size": value})
        refused(folder, match)


@pytest.mark.parametrize("kind", made.MAKERS)
def test_a_file_changed_afterwards(source, kind):
    folder = source(kind)
    out = folder.with_name("out")
    described = foreign.adopt(folder, out, name="x")
    for file in described.files:
        content = (out / file).read_bytes()
        (out / file).write_bytes(content + b" ")
        with pytest.raises(DamageError, match=rf"{file} has SHA-256"):
            load.load(out)
        (out / file).write_bytes(content)
    load.load(out)


def test_an_identity_changed_afterwards(source):
    folder = source("pieces")
    out = folder.with_name("out")
    foreign.adopt(folder, out, name="x")
    changed(out / "manifest.json", lambda described: described["identity"].update(lower_case=False))
    with pytest.raises(DamageError, match=r"manifest.json was changed after it was written"):
        load.load(out)


def test_without_the_package_the_extra_is_named(source):
    folder = source("byte_level")
    code = (
        "import sys; sys.modules['tokenizers'] = None\n"
        "from pathlib import Path; from jgpt2.tokenizer import foreign\n"
        f"foreign.adopt(Path({str(folder)!r}), Path({str(folder) + '-out'!r}), name='x')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "read by the package tokenizers; install jgpt2[hub]" in done.stderr
