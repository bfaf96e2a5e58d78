import pytest

from jgpt2.tokenizer import byte


@pytest.fixture(scope="session")
def tokenizer():
    return byte.Byte(name="byte", fingerprint="0" * 64)


@pytest.fixture(scope="session")
def texts():
    """Documents of two sources: empty, short, as long as the context, and several times that."""
    line = "吾輩は猫である。名前はまだ無い。"
    return [
        ("a1", "aozora", line),
        ("w1", "web", "🐈と𠮷野家"),
        ("a2", "aozora", line * 4),
        ("w2", "web", ""),
        ("w3", "web", "x" * 63),
        ("w4", "web", "x" * 64),
        ("a3", "aozora", "どこで生れたかとんと見当がつかぬ。" * 2),
    ]
