"""Tables for a terminal: columns that stay straight when some cells are Japanese.

A kanji takes two columns of a terminal, so cells are padded by the width they have there.
"""

from collections.abc import Sequence

from rich import cells

Value = str | int | float | None
"""What a cell holds; None where there is nothing to say."""


def text(columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> str:
    """The rows below their headings; columns of numbers are aligned right.

    >>> print(text(["語彙", "ids"], [["バイト", 257], ["sp-8k", 8192]]))
    語彙      ids
    バイト    257
    sp-8k   8,192
    """
    shown = [list(columns), *([cell(value) for value in row] for row in rows)]
    widths = [max(map(cells.cell_len, column)) for column in zip(*shown, strict=True)]
    is_number = [
        all(not isinstance(value, str) for value in column) for column in zip(*rows, strict=True)
    ]
    return "\n".join(
        "  ".join(_padded(*of) for of in zip(row, widths, is_number, strict=True)).rstrip()
        for row in shown
    )


def cell(value: Value) -> str:
    """A value as it is shown: whole numbers in groups of three, others to four places.

    >>> cell(1234567), cell(2.26321), cell(None)
    ('1,234,567', '2.2632', '–')
    """
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def _padded(shown: str, width: int, is_number: bool) -> str:
    space = " " * (width - cells.cell_len(shown))
    return space + shown if is_number else shown + space
