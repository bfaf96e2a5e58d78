"""The vocabularies that come with the project are whole, of the promised size, and exact."""

import json
from pathlib import Path

import pytest

from jgpt2.tokenizer import load, train

ROOT = Path(__file__).resolve().parents[2] / "tokenizers"
SIZES = {
    "byte": 257,
    "sp-2k": 2048,
    "sp-4k": 4096,
    "sp-8k": 8192,
    "sp-16k": 16_384,
    "sp-32k": 32_000,
    "sp-50k": 50_257,
}
TEXT = "吾輩は猫である。\n\t名前は　まだ無い▁ ﾊﾝｶｸ 𠮷 👩‍👩‍👧 <|endoftext|>\r\n\0"


@pytest.mark.parametrize(("name", "size"), SIZES.items())
def test_shipped_vocabulary(name, size):
    tokenizer = load.load(load.find(ROOT, name))
    assert (tokenizer.name, tokenizer.vocab_size) == (name, size)
    ids = tokenizer.encode(TEXT)
    assert tokenizer.decode(ids) == TEXT
    assert tokenizer.token_bytes[ids].sum() == len(TEXT.encode())


def test_nothing_was_dropped_in_training():
    for spec in ROOT.glob(f"*/{train.SPEC_FILE}"):
        sample = json.loads(spec.read_text("utf-8"))["sample"]
        assert sample["dropped_bytes"] == 0
        assert 0 < sample["bytes_sampled"] <= 12_000_000


def test_the_readme_has_a_row_for_each():
    readme = (ROOT / "README.md").read_text("utf-8")
    assert {path.parent.name for path in ROOT.glob("*/manifest.json")} == set(SIZES)
    for name, size in SIZES.items():
        assert f"| `{name}` | {size:,} |" in readme
