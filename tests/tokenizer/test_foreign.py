"""Vocabularies of others: their ids, what they keep, and what they say of what they lose."""

import json
import pickle
import subprocess

import hypothesis
import numpy as np
import pytest
import sentencepiece as spm
from hypothesis import strategies as st

from jgpt2 import manifest
from jgpt2.corpus import build, records
from jgpt2.corpus import dataset as datasets
from jgpt2.data import tokens
from jgpt2.errors import InputError
from jgpt2.evaluate import bits, suite
from jgpt2.publish.formats import hf_tokenizer, stress, verify
from jgpt2.tokenizer import byte_level, foreign, load, measure
from tests.tokenizer import foreign as made
from tests.tokenizer.test_laws import HARD_TEXTS, RELAXED

LOSSLESS = ("byte_level", "whole")
LOSSY = ("pieces", "japanese_bpe")

# By the code of Japanese-BPEEncoder (tanreinama), run on the vocabulary of tests.tokenizer.foreign.
BY_THE_ORIGINAL = {
    "": ([], ""),
    "猫はい": ([2, 6], "猫はい"),
    "した猫からしたら": ([1, 4, 0, 1, 246, 149, 156], "した猫からしたら"),
    "a b　c\td": ([116, 14, 117, 14, 118, 15, 119], "a b c\td"),
    "一\r\n二\r三\n": (
        [247, 203, 147, 13, 247, 205, 159, 13, 247, 203, 156, 13],
        "一\n二\n三\n",
    ),
    "あー—−": ([5, 7, 7, 7], "あーーー"),
    "😀☺️☺♂": ([17, 17, 17, 18], "😀😀😀(^_^)"),
    "(^_^)( ^_^)": ([18, 59, 14, 113, 114, 113, 60], "(^_^)( ^_^)"),
    "é𠮷\0": ([214, 188, 259, 179, 193, 202, 19], "é𠮷\0"),
    "<<B>R": ([8, 8, 10, 9, 11], "<<B>R"),
}


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    root = tmp_path_factory.mktemp("他人の 語彙")
    for kind, make in made.MAKERS.items():
        make(root / kind)
    return {kind: root / kind for kind in made.MAKERS}


@pytest.fixture(scope="module")
def opened(sources, tmp_path_factory):
    root = tmp_path_factory.mktemp("語彙")
    for kind, source in sources.items():
        foreign.adopt(source, root / kind, name=f"their-{kind}")
    return {kind: load.load(root / kind) for kind in sources}


def check_restored(tokenizer, text):
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert tokenizer.decode_bytes(ids) == text.encode()
    assert tokenizer.token_bytes[ids].sum() == len(text.encode())
    assert tokenizer.eot not in ids


@pytest.mark.parametrize("kind", LOSSLESS)
def test_byte_level_restores_hard_texts(opened, kind):
    assert opened[kind].is_lossless
    for text in (*stress.TEXTS, *HARD_TEXTS):
        check_restored(opened[kind], text)


@pytest.mark.parametrize("kind", LOSSLESS)
@hypothesis.settings(RELAXED, max_examples=100)
@hypothesis.given(text=st.text())
def test_byte_level_restores_every_text(opened, kind, text):
    check_restored(opened[kind], text)


def test_both_layouts_of_byte_level_give_the_same_ids(opened, texts):
    for text in (*stress.TEXTS, *texts):
        np.testing.assert_array_equal(
            opened["byte_level"].encode(text), opened["whole"].encode(text)
        )


@pytest.mark.parametrize("kind", made.MAKERS)
def test_every_kind_keeps_the_protocol(opened, texts, kind):
    tokenizer = opened[kind]
    assert tokenizer.name == f"their-{kind}"
    assert tokenizer.vocab_size == len(tokenizer.token_bytes) == len(tokenizer.is_byte)
    one_by_one = [tokenizer.decode_bytes([i]) for i in range(tokenizer.vocab_size)]
    assert [len(piece) for piece in one_by_one] == tokenizer.token_bytes.tolist()
    assert one_by_one[tokenizer.eot] == b""
    copy = pickle.loads(pickle.dumps(tokenizer))
    for text, ids in zip(texts, tokenizer.encode_batch(texts), strict=True):
        assert ids.dtype == np.uint16
        assert b"".join(one_by_one[i] for i in ids) == tokenizer.decode_bytes(ids)
        np.testing.assert_array_equal(copy.encode(text), ids)
    with pytest.raises(InputError, match=r"unpaired surrogate U\+D83D at character 2"):
        tokenizer.encode("猫が\ud83d鳴く")
    with pytest.raises(InputError, match="is outside this vocabulary"):
        tokenizer.decode([tokenizer.vocab_size])


@pytest.mark.parametrize("kind", made.MAKERS)
def test_text_that_spells_a_control_piece_gives_ordinary_ids(opened, kind):
    tokenizer = opened[kind]
    for text in ("<|endoftext|>", "<s>猫は</s>", "[PAD][CLS]<unk>"):
        assert not {tokenizer.eot, tokenizer.begin} & set(tokenizer.encode(text).tolist())


@pytest.mark.parametrize(("text", "wanted"), BY_THE_ORIGINAL.items())
def test_japanese_bpe_gives_the_ids_of_the_original(opened, text, wanted):
    ids, restored = wanted
    assert opened["japanese_bpe"].encode(text).tolist() == ids
    assert opened["japanese_bpe"].decode(ids) == restored


def test_japanese_bpe_does_not_take_text_for_marks(opened):
    """The one difference: the original gives the mark's id, 13, to a text that spells it."""
    tokenizer = opened["japanese_bpe"]
    ids = tokenizer.encode("<BR>").tolist()
    assert ids == [8, 10, 11, 9]  # <, B, R, >
    assert tokenizer.decode(ids) == "<BR>"
    assert tokenizer.encode("\n").tolist() == [13]
    assert tokenizer.decode(tokenizer.encode("い<|endoftext|>")) == "い<|endoftext|>"


def test_pieces_are_those_of_sentencepiece_in_lower_case(opened, sources, texts):
    model = (sources["pieces"] / "spiece.model").read_bytes()
    processor = spm.SentencePieceProcessor(model_proto=model)
    tokenizer = opened["pieces"]
    assert (tokenizer.begin, tokenizer.eot) == (processor.bos_id(), processor.eos_id())
    for text in (*texts, *stress.TEXTS):
        wanted = processor.encode("".join(character.lower() for character in text))
        assert tokenizer.encode(text).tolist() == wanted
    assert processor.encode("The") != tokenizer.encode("The").tolist()
    # At the end of a word the whole text's lower case has another sigma.
    assert "ΟΣ".lower() == "ος"
    assert tokenizer.encode("ΟΣ").tolist() == processor.encode("οσ")


def test_of_pieces_the_prefix_is_no_text_but_a_later_space_is(opened):
    tokenizer = opened["pieces"]
    ids = tokenizer.encode("猫は椅子")
    assert tokenizer.decode(ids) == "猫は椅子"
    assert tokenizer.decode_bytes(ids) == " 猫は椅子".encode()
    lost = tokenizer.encode("猫は\n椅子　ＴＨＥ")
    assert tokenizer.decode(lost) == "猫は 椅子 the"
    unknown = tokenizer.encode("猫👩")
    assert tokenizer.decode(unknown) == "猫"
    assert tokenizer.token_bytes[unknown].tolist()[-1] == 0


@pytest.mark.parametrize("kind", LOSSY)
def test_measure_reports_exactly_what_is_lost(opened, kind):
    texts = ("猫は椅子", "猫は\r\n椅子", "猫は　猫")
    documents = [records.document(text, source="test") for text in texts]
    measured = measure.measure(opened[kind], documents)
    assert measured.restored_share == pytest.approx(1 / 3)
    assert len(measured.failures) == 2
    assert "differs from character 2: '\\r\\n椅子' became" in measured.failures[0]
    # Tokens are spread over the bytes of the text all the same.
    spread = sum(count.num_tokens for count in measured.by_script.values())
    assert spread == pytest.approx(measured.overall.num_tokens)


def test_a_lossy_score_is_a_lower_bound_that_counts_the_lost(opened):
    texts = [("a", "x", "猫は椅子"), ("b", "y", "猫は\r\n椅子"), ("c", "y", "猫は")]
    prepared = bits.prepare(texts, opened["pieces"])
    assert [one.is_restored for one in prepared] == [True, False, True]
    assert {one.begin for one in prepared} == {opened["pieces"].begin}
    scores = [bits.document_score(one, np.ones(len(one.ids) + 1)) for one in prepared]
    record = suite.record(
        scores, model="", tokenizer="", step=None, stride=1, evaluated="x", with_documents=True
    )
    assert record["is_lower_bound"]
    assert (record["num_unrestored_documents"], record["num_unrestored_bytes"]) == (1, 14)
    assert not record["by_source"]["x"]["is_lower_bound"]
    assert [row["is_restored"] for row in record["documents"]] == [True, False, True]
    assert [row[0] for row in suite.table(record)[1]] == [
        "x",
        "y (lower bound)",
        "all (lower bound)",
    ]
    for kind in LOSSLESS:
        assert all(one.is_restored for one in bits.prepare(texts, opened[kind]))


def test_a_source_of_which_nothing_is_kept_is_refused(opened):
    with pytest.raises(InputError, match=r"'blank' give no token of their-pieces, so there is"):
        bits.prepare([("a", "x", "猫"), ("b", "blank", " \n\u3000")], opened["pieces"])


def test_ids_of_the_model_beyond_the_vocabulary_stand_for_no_text(sources, tmp_path):
    source = tmp_path / "padded"
    made.byte_level(source)
    made.write_json(source / "config.json", {"vocab_size": 640})
    foreign.adopt(source, tmp_path / "out", name="padded")
    tokenizer = load.load(tmp_path / "out")
    assert tokenizer.vocab_size == 640
    assert tokenizer.token_bytes[600:].sum() == 0
    assert tokenizer.decode([639]) == ""


@pytest.mark.parametrize("kind", made.MAKERS)
def test_the_folder_says_what_decides_ids_and_holds_the_files_as_they_were(sources, tmp_path, kind):
    described = foreign.adopt(sources[kind], tmp_path / "out", name="x")
    assert described == manifest.verify(tmp_path / "out", kind="tokenizer")
    assert described.parents == {}
    assert described.identity["lower_case"] == (kind == "pieces")
    assert described.identity["is_lossless"] == (kind in LOSSLESS)
    for file in described.files:
        assert (tmp_path / "out" / file).read_bytes() == (sources[kind] / file).read_bytes()
    with pytest.raises(InputError, match="exists already and a vocabulary is never overwritten"):
        foreign.adopt(sources[kind], tmp_path / "out", name="x")


@pytest.mark.slow
def test_a_lossy_vocabulary_is_trained_on_scored_and_written_with(walk, sources, tmp_path, command):
    tokenizers = tmp_path / "tokenizers"
    foreign.adopt(sources["pieces"], tokenizers / "theirs", name="theirs")
    tokenizer = load.load(tokenizers / "theirs")
    data = walk.root / "data" / "ja"
    measured = command("tokenizer", "measure", tokenizers / "theirs", "--dataset", data, "--json")
    assert measured.json()["restored_share"] < 1
    training = [*walk.training("theirs", tmp_path / "run"), "--tokenizers", tokenizers]
    assert command(*training, "--datasets", tmp_path).exit_code == 2
    (tmp_path / "ja").symlink_to(data)
    outcome = command(*training)
    assert outcome.exit_code == 0, outcome.err
    evaluated = command("evaluate", tmp_path / "run", "--dataset", data, "--json").json()
    assert evaluated["is_lower_bound"]
    texts = [document.text for document in datasets.open_split(data, "test")]
    lost = [text for text in texts if tokenizer.decode(tokenizer.encode(text)) != text]
    assert evaluated["num_unrestored_documents"] == len(lost)
    assert evaluated["num_unrestored_bytes"] == sum(len(text.encode()) for text in lost)
    shown = command("evaluate", tmp_path / "run", "--dataset", data).out
    assert "all (lower bound)" in shown
    outcome = command("generate", tmp_path / "run", "--prompt", "猫は", "--max-tokens", "4")
    assert outcome.exit_code == 0, outcome.err


def test_a_store_begins_documents_where_the_vocabulary_has_an_id_for_it(sources, tmp_path, texts):
    file = tmp_path / "a.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), "utf-8")
    build.build([file], tmp_path / "data", name="文", recipe=build.Recipe(near_duplicates=None))
    for kind, source in sources.items():
        foreign.adopt(source, tmp_path / kind, name=kind)
        tokenizer = load.load(tmp_path / kind)
        before = [tokenizer.begin] if kind == "pieces" else []
        tokens.build(tmp_path / "data", tmp_path / kind, tmp_path / f"{kind} store")
        fingerprint = tokenizer.fingerprint
        store = tokens.open_store(tmp_path / f"{kind} store", tokenizer_fingerprint=fingerprint)
        stream = store.split("train")
        documents = datasets.open_split(tmp_path / "data", "train")
        wanted = [[*before, *tokenizer.encode(one.text), tokenizer.eot] for one in documents]
        assert [stream.document(i).tolist() for i in range(stream.num_documents)] == wanted
        assert stream.num_bytes == sum(one.num_bytes for one in documents)
        assert stream.num_tokens == sum(map(len, wanted))


@pytest.mark.slow
def test_transformers_gives_the_same_ids(opened, sources, reference_python, tmp_path):
    """GPT2Tokenizer on both layouts; only text that spells the control piece differs there."""
    asked = [*stress.TEXTS, *HARD_TEXTS]
    asked = [text for text in asked if byte_level.EOT_PIECE not in text]
    (tmp_path / "asked.json").write_text(json.dumps(asked), "utf-8")
    script = (
        "import json, sys; from transformers import GPT2Tokenizer as T;"
        "t = T.from_pretrained(sys.argv[1]);"
        "print(json.dumps([t(x)['input_ids'] for x in json.load(open(sys.argv[2]))]))"
    )
    for kind in LOSSLESS:
        command = [reference_python, "-c", script, sources[kind], tmp_path / "asked.json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == [ids.tolist() for ids in opened[kind].encode_batch(asked)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", LOSSLESS)
def test_exported_again_they_give_the_same_ids_in_transformers(
    opened, reference_python, tmp_path, kind
):
    """Also for text that spells the control piece."""
    asked = [*stress.TEXTS, *HARD_TEXTS]
    assert any(byte_level.EOT_PIECE in text for text in asked)
    for file, content in hf_tokenizer.files(opened[kind], 64).items():
        manifest.write_json(tmp_path / file, content)
    manifest.write_json(tmp_path / "config.json", {"model_type": "gpt2"})
    _, told = verify.ask(reference_python, tmp_path, rows=[], texts=asked)
    assert told["ids"] == [ids.tolist() for ids in opened[kind].encode_batch(asked)]
    assert told["decoded"] == asked
    assert told["eot"] == opened[kind].eot


@pytest.mark.parametrize("kind", LOSSY)
def test_lossy_ones_are_not_exported_for_transformers(opened, kind):
    with pytest.raises(InputError, match="no tokenizer with the same ids"):
        hf_tokenizer.files(opened[kind], 64)
