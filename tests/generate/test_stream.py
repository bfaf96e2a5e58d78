from hypothesis import given
from hypothesis import strategies as st

from jgpt2.generate import stream

TEXT = "漢字と🐈‍⬛、𠮷野家。\n半角ｶﾅ\tend"


def pieces(tokenizer, data):
    streamed = stream.TextStream(tokenizer)
    return [*(streamed.feed([byte]) for byte in data), streamed.finish()]


def test_a_character_is_shown_when_its_last_byte_is_there(tokenizer):
    assert pieces(tokenizer, "漢🐈".encode()) == ["", "", "漢", "", "", "", "🐈", ""]


def test_valid_text_never_shows_a_replacement(tokenizer):
    shown = pieces(tokenizer, TEXT.encode())
    assert "".join(shown) == TEXT
    assert all("\ufffd" not in piece and len(piece) <= 1 for piece in shown)


def test_a_row_that_ends_inside_a_character_ends_with_one_replacement(tokenizer):
    assert pieces(tokenizer, "猫犬".encode()[:-1]) == ["", "", "猫", "", "", "\ufffd"]


def test_bytes_that_begin_nothing_are_replaced_at_once(tokenizer):
    assert pieces(tokenizer, b"a\xff" + "猫".encode()) == ["a", "\ufffd", "", "", "猫", ""]


def test_end_of_text_shows_nothing(tokenizer):
    streamed = stream.TextStream(tokenizer)
    assert streamed.feed([*"猫".encode(), tokenizer.eot]) == "猫"
    assert streamed.finish() == ""


@given(st.lists(st.integers(0, 256), max_size=40), st.integers(1, 7))
def test_pieces_join_to_the_whole_decode(tokenizer, ids, size):
    streamed = stream.TextStream(tokenizer)
    parts = [streamed.feed(ids[i : i + size]) for i in range(0, len(ids), size)]
    assert "".join([*parts, streamed.finish()]) == tokenizer.decode(ids)


def test_controls_are_shown_and_text_is_left_alone():
    assert stream.neutralise(TEXT) == TEXT
    assert stream.neutralise("\x00\x1b\x7f\x9b\r") == r"\x00\x1b\x7f\x9b\x0d"
    assert stream.neutralise("\u202eabc\u2066\u061c\u200f") == r"\u202eabc\u2066\u061c\u200f"


@given(st.text())
def test_nothing_that_steers_a_terminal_is_left(text):
    assert not stream.ESCAPED & {ord(char) for char in stream.neutralise(text)}
