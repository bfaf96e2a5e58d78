import numpy as np

from jgpt2.generate import decode, written


def row(text, finish=None):
    return decode.Row(np.frombuffer(text, np.uint8), finish)


def test_pieces_are_shown_whole_and_join_to_the_text(tokenizer):
    cat = "猫".encode()
    chunks = [
        [row(b"a" + cat[:2]), row(b"b", "eot")],
        [row(cat[2:] + cat[:1], "length"), row(b"", "eot")],
    ]
    shown = []
    rows = written.collect(chunks, tokenizer, show=lambda *piece: shown.append(piece))
    assert shown == [(0, "a"), (1, "b"), (0, "猫\ufffd")]
    assert rows == [written.Written("a猫\ufffd", 5, "length"), written.Written("b", 1, "eot")]
    assert written.collect(chunks, tokenizer) == rows
