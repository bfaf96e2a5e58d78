"""decode(encode(x)) == x and sum(token_bytes) == len(utf-8 of x), for every text and every kind."""

import pickle

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from jgpt2.errors import InputError
from jgpt2.tokenizer import base, sentencepiece, train

KINDS = train.KINDS
# Machines under load are slow; that is no fault of the code.
RELAXED = hypothesis.settings(
    deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)

HARD_TEXTS = (
    "",
    "改行\nと\n\n\n\tタブ\r\nと復帰\rと　全角",
    "  前後の 空白   ",
    "▁", "▁▁ ▁", "a▁ b", " ▁ ", "\n▁\n",
    "▅ ⁇  � \ufeff \u2028\u2029\x85\x0b\x0c",
    "ﾊﾝｶｸ ｶﾞｷﾞ", "か\u3099 が Å Å é é", "㍿①㈱ﬁ…‥",
    "👩‍👩‍👧‍👦🏳️‍🌈🇯🇵1️⃣ 𠮷野家 葛󠄀城",
    "\0", "a\0b\0", "\x01\x1f\x7f\x80",
    "\ufdd0\uffff\U0010ffff\U0001fffe",
    "<|endoftext|>", "終わり<|endoftext|>次", "<0xE3>", "<0x0A>", "<unk>", "<s></s><pad>",
    "０１２ 0123456789 12.5％",
    "ab\u200b\u200d\u00ad\u202e逆",
)  # fmt: skip


def check(tokenizer: base.Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert ids.dtype == np.uint16
    assert tokenizer.decode(ids) == text
    assert tokenizer.decode_bytes(ids) == text.encode()
    assert tokenizer.token_bytes[ids].sum() == len(text.encode())
    assert tokenizer.eot not in ids


@pytest.mark.parametrize("text", HARD_TEXTS)
@pytest.mark.parametrize("kind", KINDS)
def test_hard_texts_are_restored(tokenizers, kind, text):
    check(tokenizers[kind], text)


@pytest.mark.parametrize("kind", KINDS)
@hypothesis.settings(RELAXED, max_examples=300)
@hypothesis.given(text=st.text())
def test_every_text_is_restored(tokenizers, kind, text):
    check(tokenizers[kind], text)


PIECES = st.sampled_from(
    [*HARD_TEXTS, "猫は", "。", " ", "\n", "\t", "▁", "パン", "the", "7", "🐈"]
)


@pytest.mark.parametrize("kind", KINDS)
@hypothesis.settings(RELAXED, max_examples=200)
@hypothesis.given(parts=st.lists(PIECES))
def test_joined_hard_texts_are_restored(tokenizers, kind, parts):
    check(tokenizers[kind], "".join(parts))


@pytest.mark.parametrize("kind", KINDS)
def test_every_character_is_restored(tokenizers, kind):
    codes = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
    for first in range(0, len(codes), 50_000):
        check(tokenizers[kind], "".join(map(chr, codes[first : first + 50_000])))


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_equals_its_texts_one_by_one(tokenizers, texts, kind):
    tokenizer = tokenizers[kind]
    batch = [*texts, *HARD_TEXTS]
    encoded = tokenizer.encode_batch(batch)
    assert len(encoded) == len(batch)
    for ids, text in zip(encoded, batch, strict=True):
        np.testing.assert_array_equal(ids, tokenizer.encode(text))
    assert tokenizer.encode_batch([]) == []


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_of_each_id_join_to_the_bytes_of_all(tokenizers, kind):
    """What streaming needs: ids can be turned to bytes one at a time."""
    tokenizer = tokenizers[kind]
    ids = np.arange(tokenizer.vocab_size)
    one_by_one = [tokenizer.decode_bytes([i]) for i in ids]
    assert b"".join(one_by_one) == tokenizer.decode_bytes(ids)
    assert [len(piece) for piece in one_by_one] == tokenizer.token_bytes.tolist()
    assert one_by_one[tokenizer.eot] == b""
    assert tokenizer.is_byte.sum() == 256
    assert sorted(one_by_one[i] for i in np.flatnonzero(tokenizer.is_byte)) == [
        bytes([b]) for b in range(256)
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_half_a_character_decodes_to_the_replacement_character(tokenizers, kind):
    tokenizer = tokenizers[kind]
    ids = tokenizer.encode("🐈")
    assert tokenizer.decode(ids[:-1]) == "�"
    assert tokenizer.decode([*ids[:-1], tokenizer.eot]) == "�"
    assert tokenizer.decode_bytes(ids[:-1]) == "🐈".encode()[:-1]


def test_control_text_gives_ordinary_ids(tokenizers):
    for kind in ("unigram", "bpe"):
        tokenizer = tokenizers[kind]
        assert isinstance(tokenizer, sentencepiece.SentencePiece)
        unknown = tokenizer.processor.unk_id()
        ids = tokenizer.encode("<|endoftext|><unk><s>")
        assert not {tokenizer.eot, unknown} & set(ids.tolist())


def test_digits_and_line_breaks_stand_alone(tokenizers):
    for kind in ("unigram", "bpe"):
        ids = tokenizers[kind].encode("123\n\n\t\t１２３")
        pieces = [tokenizers[kind].decode([i]) for i in ids[:7]]
        assert pieces == ["1", "2", "3", "\n", "\n", "\t", "\t"]
        digits = [
            p.decode()
            for p in tokenizers[kind].pieces
            if set("0123456789１２３") & set(p.decode(errors="ignore"))
        ]
        assert all(len(piece) == 1 for piece in digits)


@pytest.mark.parametrize("kind", KINDS)
def test_a_tokenizer_can_be_sent_to_another_process(tokenizers, texts, kind):
    copy = pickle.loads(pickle.dumps(tokenizers[kind]))
    assert copy.fingerprint == tokenizers[kind].fingerprint
    for text in texts:
        np.testing.assert_array_equal(copy.encode(text), tokenizers[kind].encode(text))


@pytest.mark.parametrize("kind", KINDS)
def test_a_lone_surrogate_is_refused_with_its_place(tokenizers, kind):
    for encode in (
        tokenizers[kind].encode,
        lambda text: tokenizers[kind].encode_batch(["a", text]),
    ):
        with pytest.raises(InputError, match=r"unpaired surrogate U\+D83D at character 2.*repair"):
            encode("猫が\ud83d鳴く")


@pytest.mark.parametrize("kind", KINDS)
def test_ids_out_of_range_are_refused(tokenizers, kind):
    size = tokenizers[kind].vocab_size
    with pytest.raises(InputError, match=rf"id {size} is outside this vocabulary of {size} ids"):
        tokenizers[kind].decode([0, size])
    with pytest.raises(InputError, match="id -1 is outside"):
        tokenizers[kind].decode_bytes([-1])
    with pytest.raises(InputError, match=r"type float64 cannot be decoded; give whole numbers"):
        tokenizers[kind].decode([0.5])
    assert tokenizers[kind].decode([]) == ""


def test_a_model_that_could_lose_text_is_refused():
    import io

    import sentencepiece as spm

    model = io.BytesIO()
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(["吾輩は猫である。名前はまだ無い。"]),
        model_writer=model,
        vocab_size=20,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    with pytest.raises(InputError, match=r"model of foreign lacks 256 byte pieces, .*identity"):
        sentencepiece.from_model(model.getvalue(), name="foreign", kind="unigram", fingerprint="")
