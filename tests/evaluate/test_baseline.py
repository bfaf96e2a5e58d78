import lzma

import pytest

from jgpt2.errors import InputError
from jgpt2.evaluate import baseline


def test_it_is_the_size_of_the_xz_file_over_the_bytes_of_the_texts():
    texts = ["吾輩は猫である。" * 30, "名前はまだ無い。"]
    file = lzma.compress(
        b"".join(text.encode() + b"\xff" for text in texts), preset=9 | lzma.PRESET_EXTREME
    )
    compressed = baseline.compress(texts)
    assert compressed.compressed_bytes == len(file)
    assert compressed.num_bytes == sum(len(text.encode()) for text in texts)
    assert compressed.bits_per_byte == 8 * len(file) / compressed.num_bytes
    assert [part.decode() for part in lzma.decompress(file).split(b"\xff")] == [*texts, ""]


def test_each_source_is_a_file_of_its_own():
    sizes = baseline.measure([("1", "b", "犬" * 9), ("2", "a", "猫"), ("3", "b", "鳥")])
    assert list(sizes.by_source) == ["a", "b"]
    assert sizes.by_source["b"] == baseline.compress(["犬" * 9, "鳥"])
    assert sizes.overall == baseline.compress(["犬" * 9, "猫", "鳥"])
    record = sizes.record()
    assert record["num_documents"] == 3
    assert record["by_source"]["a"]["bits_per_byte"] == sizes.by_source["a"].bits_per_byte


def test_no_text_is_refused():
    with pytest.raises(InputError) as caught:
        baseline.compress(["", ""])
    assert str(caught.value) == (
        "2 documents hold no text to compress; give at least one that is not empty."
    )
