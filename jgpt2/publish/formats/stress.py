"""Texts on which two implementations of one vocabulary come apart, if they ever do.

Line breaks, runs of spaces, U+3000 and U+2581, half and full width, composed and decomposed kana,
sequences of emoji, rare kanji, control characters, and text that spells pieces of another kind.
"""

TEXTS = (
    *("", " ", "  \n\n\n ", "行一\r\n行二\r", "\t\t字下げ", "　　全角　空白"),
    *("\u2581", "前\u2581後 \u2581"),
    *("半角ｶﾅ ﾊﾟﾋﾟ", "①㍿㌔", "が", "か\u3099", "é", "e\u0301", "👨\u200d👩\u200d👧 🇯🇵 ❤️"),
    *("𠮷野家 𩸽", "1234567890 １２３４５", "<|endoftext|>", "前<|endoftext|>後", "<unk>"),
    *("<0x0A>", "<<0xE3>x", "< 0x0A>", "<s></s><pad>", "\x00\x01", "\ufeff印", "\u200b\u200d"),
    *("葛\U000e0100城", "\u0085\u2028\u2029", "ゟヿ〱", "￥＼～", "http://example.jp/?a=1&b=2"),
    *("a\x00b\x00", "a , b . c ' d 's"),
    *("-" * 300, "　" * 300, " " * 300, "ー" * 100 + "…" * 100, "\n" * 50),
)  # fmt: skip
