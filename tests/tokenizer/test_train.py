import json
import random

import pytest

from jgpt2 import manifest
from jgpt2.errors import InputError
from jgpt2.tokenizer import load, train


def documents(texts):
    return [("test", text) for text in texts]


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_training_again_in_another_order_gives_the_same_files(folders, texts, tmp_path, kind):
    shuffled = documents(texts)
    random.Random(1).shuffle(shuffled)
    train.train(shuffled, tmp_path / "again", name="again", kind=kind, vocab_size=540)
    for file in (train.MODEL_FILE, train.SPEC_FILE):
        assert (tmp_path / "again" / file).read_bytes() == (folders[kind] / file).read_bytes()
    first = manifest.read(folders[kind], kind="tokenizer")
    assert manifest.read(tmp_path / "again", kind="tokenizer").fingerprint == first.fingerprint


def test_the_seed_changes_the_sample_and_the_fingerprint(texts, tmp_path):
    made = [
        train.train(
            documents(texts), tmp_path / str(seed), name="x", kind="bpe", vocab_size=470,
            sample_bytes=1500, seed=seed,
        )
        for seed in (0, 1)
    ]  # fmt: skip
    assert made[0].fingerprint != made[1].fingerprint


def test_the_dataset_is_bound_into_the_fingerprint(texts, tmp_path):
    made = [
        train.train(
            documents(texts), tmp_path / parent, name="x", kind="bpe", vocab_size=540,
            parents={"dataset": parent},
        )
        for parent in ("a", "b")
    ]  # fmt: skip
    assert made[0].parents == {"dataset": "a"}
    assert made[0].fingerprint != made[1].fingerprint


def test_the_folder_says_what_it_was_made_from(folders, texts):
    described = manifest.verify(folders["unigram"], kind="tokenizer")
    assert described.identity == {"kind": "unigram", "vocab_size": 540, "eot": 1}
    spec = json.loads((folders["unigram"] / train.SPEC_FILE).read_text("utf-8"))
    counts = spec["sample"]
    assert counts["documents_seen"] == counts["documents_sampled"] == len(texts)
    assert counts["bytes_sampled"] == sum(len(text.encode()) for text in texts)
    assert counts["newline_and_tab_bytes"] == 5
    assert counts["dropped_bytes"] == counts["reserved_bytes"] == 0
    assert counts["distinct_characters"] > 200
    assert spec["settings"]["vocab_size"] == 540
    assert spec["sentencepiece"]["normalization_rule_name"] == "identity"


def test_the_vocabulary_size_is_the_total(tokenizers):
    assert tokenizers["unigram"].vocab_size == tokenizers["bpe"].vocab_size == 540
    assert (tokenizers["byte"].vocab_size, tokenizers["byte"].eot) == (257, 256)


def test_every_line_reaches_the_trainer(tmp_path):
    """A character that occurs only in long lines must get its piece."""
    text = "猫" * 6000 + "\n" + ("犬が走る。" * 600 + "\n") * 2
    train.train([("test", text)], tmp_path / "long", name="long", kind="bpe", vocab_size=267)
    pieces = load.load(tmp_path / "long").pieces
    assert {"猫".encode(), "犬".encode()} <= set(pieces)


def test_the_byte_vocabulary_is_always_the_same(folders, tmp_path):
    made = train.train([], tmp_path / "b", name="other", kind="byte", vocab_size=257)
    assert made.fingerprint == manifest.read(folders["byte"], kind="tokenizer").fingerprint
    assert made.parents == {}


REFUSALS = [
    ({"vocab_size": 300}, r"vocab_size=300 is too small for this text: \d{3} characters .*"
     r"260 fixed ids .* need \d{3}; give at least that, or a lower coverage"),
    ({"vocab_size": 90000}, r"vocab_size=90000 is too large for this text of \d+ sampled bytes, "
     r"which gives at most \d+ pieces; give at most that, more text"),
    ({"vocab_size": None}, r"kind unigram needs a vocab_size"),
    ({"kind": "byte", "vocab_size": 300}, r"vocab_size=300 does not fit kind byte.*257 ids"),
    ({"kind": "wordpiece"}, r"'wordpiece' is no kind of vocabulary; choose one of byte, unigram"),
    ({"sample_bytes": 0}, r"sample_bytes=0 leaves no text"),
    ({"coverage": 0.5}, r"coverage=0.5 is outside .* from 0.98 to 1"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), REFUSALS)
def test_refusals_leave_nothing_behind(texts, tmp_path, change, message):
    settings = {"kind": "unigram", "vocab_size": 540} | change
    with pytest.raises(InputError, match=message):
        train.train(documents(texts), tmp_path / "made" / "x", name="x", **settings)
    assert not list(tmp_path.glob("**/x*"))


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_refusals_name_the_bounds_that_work(texts, tmp_path, kind):
    """The size that a refusal proposes is accepted."""
    import re

    for size, pattern in ((300, r"need (\d+)"), (90000, r"at most (\d+) pieces")):
        with pytest.raises(InputError) as refusal:
            train.train(documents(texts), tmp_path / "x", name="x", kind=kind, vocab_size=size)
        bound = re.search(pattern, str(refusal.value))
        assert bound
        out = tmp_path / f"{size}"
        train.train(documents(texts), out, name="x", kind=kind, vocab_size=int(bound[1]))
        assert load.load(out).vocab_size == int(bound[1])


@pytest.mark.parametrize("corpus", [[], [("test", "")]])
def test_an_empty_corpus_is_refused(tmp_path, corpus):
    with pytest.raises(InputError, match=r"corpus is empty: \d documents without text"):
        train.train(corpus, tmp_path / "x", name="x", kind="unigram", vocab_size=600)
    assert not list(tmp_path.iterdir())


def test_a_corpus_of_line_breaks_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"sample of 5 bytes holds nothing but line breaks"):
        train.train([("t", "\n\t\r\n\0")], tmp_path / "x", name="x", kind="bpe", vocab_size=600)


def test_an_existing_folder_is_refused_and_kept(folders, texts):
    before = (folders["bpe"] / manifest.FILE_NAME).read_bytes()
    with pytest.raises(InputError, match=r"bpe exists already and a vocabulary is never overwri"):
        train.train(documents(texts), folders["bpe"], name="x", kind="bpe", vocab_size=540)
    assert (folders["bpe"] / manifest.FILE_NAME).read_bytes() == before


def test_a_failure_while_writing_leaves_nothing_behind(texts, tmp_path, monkeypatch):
    def full_disk(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(manifest, "write", full_disk)
    with pytest.raises(OSError, match="No space left"):
        train.train(documents(texts), tmp_path / "x", name="x", kind="bpe", vocab_size=540)
    assert not list(tmp_path.iterdir())


def test_a_surrogate_in_the_corpus_is_refused(tmp_path):
    with pytest.raises(InputError, match="unpaired surrogate"):
        train.train([("t", "\udc00")], tmp_path / "x", name="x", kind="bpe", vocab_size=540)


def test_sentencepiece_is_silent(texts, tmp_path, capfd):
    train.train(documents(texts), tmp_path / "x", name="x", kind="unigram", vocab_size=540)
    with pytest.raises(InputError):
        train.train(documents(texts), tmp_path / "y", name="y", kind="unigram", vocab_size=300)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_a_text_without_spaces_still_gives_a_space(texts, tmp_path, kind):
    """SentencePiece would otherwise write an unknown space as the bytes of U+2581."""
    spaceless = documents(text.replace(" ", "") for text in texts)
    train.train(spaceless, tmp_path / "x", name="x", kind=kind, vocab_size=520)
    tokenizer = load.load(tmp_path / "x")
    assert tokenizer.decode(tokenizer.encode("a b▁ ")) == "a b▁ "
