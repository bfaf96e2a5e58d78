"""Lines and sentences of a text: how long they are, how many come again, how many break off.

All work is done by methods of `str` and sets of whole lines, none per character.
"""

_SENTENCE_ENDS = "。．！？!?"  # those of Swallow
_ELLIPSES = ("…", "‥", "・", "...", "。。。")
_LAST = "".join({mark[-1] for mark in _ELLIPSES})
_SHORT_LINE = 10  # characters


def lines(text: str) -> list[str]:
    """The lines with anything but white space on them, without the white space around them."""
    return [line for line in map(str.strip, text.split("\n")) if line]


def sentences(text: str) -> list[str]:
    """The sentences of a text: each ends behind one of 。．！？!? or with its line.

    What is left with one character alone (the second mark of ！？, the bracket that closes a
    quotation) is not a sentence.

    >>> sentences("「寒い！？」と猫が言った。")
    ['「寒い！', '」と猫が言った。']
    """
    for end in _SENTENCE_ENDS:
        text = text.replace(end, end + "\n")
    return [part for part in map(str.strip, text.split("\n")) if len(part) > 1]


def measure(text: str) -> dict[str, float]:
    """The scores of lines and sentences, 0 where a text has none.

    What comes n times is n - 1 duplicates, as in Swallow's reading of Gopher (Rae et al. 2021,
    table A1); characters of duplicates are counted likewise. A line is short below 10 characters
    (HojiChar).

    >>> scores = measure("猫である。\\n名前はまだ無い。\\n猫である。")
    >>> scores["mean_sentence_chars"], scores["longest_sentence_chars"]
    (6.0, 8.0)
    >>> round(scores["duplicate_line_share"], 3), round(scores["duplicate_line_chars_share"], 3)
    (0.333, 0.278)
    """
    all_lines, all_sentences = lines(text), sentences(text)
    lengths = list(map(len, all_sentences))
    line_share, line_chars_share = _duplicates(all_lines)
    sentence_share, sentence_chars_share = _duplicates(all_sentences)
    num_short = sum(map(_SHORT_LINE.__gt__, map(len, all_lines)))
    num_ellipses = sum(line[-1] in _LAST and line.endswith(_ELLIPSES) for line in all_lines)
    return {
        "mean_sentence_chars": sum(lengths) / max(len(lengths), 1),
        "longest_sentence_chars": float(max(lengths, default=0)),
        "ellipsis_share": num_ellipses / max(len(all_lines), 1),
        "short_line_share": num_short / max(len(all_lines), 1),
        "duplicate_line_share": line_share,
        "duplicate_line_chars_share": line_chars_share,
        "duplicate_sentence_share": sentence_share,
        "duplicate_sentence_chars_share": sentence_chars_share,
    }


def _duplicates(parts: list[str]) -> tuple[float, float]:
    """The share of the parts that came before, and their share of the characters."""
    distinct = set(parts)
    if len(distinct) == len(parts):
        return 0.0, 0.0
    num_chars = sum(map(len, parts))
    num_duplicates = len(parts) - len(distinct)
    return num_duplicates / len(parts), (num_chars - sum(map(len, distinct))) / num_chars
