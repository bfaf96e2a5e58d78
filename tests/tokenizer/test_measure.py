import dataclasses
import json

import numpy as np
import pytest

from jgpt2.errors import InputError
from jgpt2.tokenizer import byte, measure, scripts


@dataclasses.dataclass(frozen=True)
class Document:
    source: str
    text: str


BYTE = byte.Byte(name="byte", fingerprint="f")


def test_known_text_with_bytes():
    documents = [Document("a", "漢かカA1🐈。"), Document("b", "ああ")]
    measured = measure.measure(BYTE, documents)
    assert measured.overall == measure.Count(num_bytes=24, num_characters=9, num_tokens=24)
    assert measured.by_source["b"] == measure.Count(num_bytes=6, num_characters=2, num_tokens=6)
    assert measured.overall.bytes_per_token == 1
    tokens = {script: count.num_tokens for script, count in measured.by_script.items()}
    assert tokens == {
        "kanji": 3, "hiragana": 9, "katakana": 3, "latin": 1, "digits": 1, "emoji": 4, "other": 3,
    }  # fmt: skip
    assert (measured.byte_share, measured.restored_share, measured.failures) == (1, 1, ())
    assert measured.num_unused_ids == 256 - len(set("漢かカA1🐈。あ".encode()))


@pytest.mark.parametrize("kind", ["byte", "unigram", "bpe"])
def test_sources_and_scripts_both_add_up_to_the_whole(tokenizers, texts, kind):
    documents = [Document(str(i % 2), text) for i, text in enumerate(texts)]
    documents += [Document("hard", "▁😀\r\0ｶﾅ"), Document("empty", "")]
    measured = measure.measure(tokenizers[kind], documents)
    for groups in (measured.by_source, measured.by_script):
        for field in ("num_bytes", "num_characters", "num_tokens"):
            total = sum(getattr(count, field) for count in groups.values())
            assert total == pytest.approx(getattr(measured.overall, field), rel=1e-12)
    tokens = [len(ids) for ids in tokenizers[kind].encode_batch([d.text for d in documents])]
    assert measured.overall.num_tokens == sum(tokens)
    assert measured.by_source["empty"].bytes_per_token is None
    assert measured.restored_share == 1
    assert measured.num_documents == len(documents)


def test_a_token_of_two_scripts_is_shared_by_bytes():
    class TwoWords:
        """One token for 見る, as a vocabulary may have it."""

        name, kind, fingerprint, vocab_size, eot = "two", "unigram", "", 2, 1
        token_bytes = np.array([6, 0], np.int32)
        is_byte = np.array([False, False])

        def encode(self, text):
            return np.zeros(1, np.uint16)

        def encode_batch(self, texts):
            return [self.encode(text) for text in texts]

        def decode(self, ids):
            return "見る"

        def decode_bytes(self, ids):
            return "見る".encode()

    measured = measure.measure(TwoWords(), [Document("a", "見る")])
    assert measured.by_script["kanji"].num_tokens == pytest.approx(0.5)
    assert measured.by_script["hiragana"].num_tokens == pytest.approx(0.5)
    assert (measured.byte_share, measured.num_unused_ids) == (0, 0)


def test_a_lossy_tokenizer_is_caught():
    class Lossy(byte.Byte):
        def decode(self, ids):
            return super().decode(ids).replace("\u3000", " ")

    documents = [Document("a", "全角"), Document("b", "全角　空白")] * 10
    measured = measure.measure(Lossy(name="lossy", fingerprint=""), documents)
    assert measured.restored_share == 0.5
    assert len(measured.failures) == measure.MAX_FAILURES
    assert measured.failures[0] == (
        "document 1 of b differs from character 2: '\\u3000空白' became ' 空白'"
    )


def test_tokens_that_do_not_add_up_to_the_text_are_shared_by_all_its_bytes():
    class Dropping(byte.Byte):
        """Loses every character that is not ASCII."""

        def encode(self, text):
            return super().encode("".join(char for char in text if char < "\x80"))

    measured = measure.measure(Dropping(name="", fingerprint=""), [Document("a", "a雨b")])
    assert measured.restored_share == 0
    assert measured.overall.num_tokens == 2
    tokens = {name: count.num_tokens for name, count in measured.by_script.items()}
    assert (tokens["kanji"], tokens["latin"]) == (pytest.approx(6 / 5), pytest.approx(4 / 5))


def test_byte_pieces_are_counted(tokenizers):
    measured = measure.measure(tokenizers["bpe"], [Document("a", "猫🐈")])
    assert measured.overall.num_tokens * measured.byte_share == pytest.approx(4)


def test_json_has_a_row_for_each_group(tokenizers, texts):
    measured = measure.measure(tokenizers["unigram"], [Document("a", text) for text in texts])
    plain = json.loads(json.dumps(measure.to_json(measured)))
    assert [row["name"] for row in plain["rows"]] == ["all", "a", *scripts.SCRIPTS]
    assert plain["rows"][0]["bytes_per_token"] == measured.overall.bytes_per_token
    assert plain["rows"][-2]["bytes_per_token"] is None  # no emoji there
    assert plain["restored_share"] == 1


def test_nothing_to_measure_is_refused():
    with pytest.raises(InputError, match="no document to measure"):
        measure.measure(BYTE, [])


def test_scripts():
    expected = {
        "kanji": "漢々〆〇㐂𠮷",
        "hiragana": "ぁんゝ゛",
        "katakana": "ァヶーｶﾞ",
        "latin": "azAZéＡｚ",
        "digits": "09０９",
        "emoji": "🐈⭐✨\u200d\ufe0f🇯",
        "other": " \n\t　、。「！＠[`×÷▁★①",
    }
    for script, characters in expected.items():
        codes = np.array([ord(c) for c in characters], np.uint32)
        found = [scripts.SCRIPTS[i] for i in scripts.classify(codes)]
        assert found == [script] * len(characters), characters
