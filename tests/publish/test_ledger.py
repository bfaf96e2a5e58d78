"""The ledger: lines that follow each other, and every disorder found by the number of its line."""

import json

import pytest

from jgpt2.errors import DamageError
from jgpt2.publish.release import ledger
from tests.publish import ladder


@pytest.fixture
def book(tmp_path):
    for number, event in enumerate(("published", "shared", "withdrawn")):
        ledger.append(tmp_path, event, ladder.days(number), stage="小", by="山田")
    return tmp_path


def lines_of(book):
    return (book / ledger.FILE_NAME).read_text("utf-8").splitlines(keepends=True)


def rewrite(book, lines):
    (book / ledger.FILE_NAME).write_text("".join(lines), "utf-8")


def test_lines_carry_the_digest_of_the_line_before(book):
    first, second, third = ledger.read(book)
    assert [line["number"] for line in (first, second, third)] == [1, 2, 3]
    assert (first["before"], second["before"]) == (None, first["digest"])
    assert third["before"] == second["digest"]
    assert third["time"] == "2026-02-16T09:00:00+00:00"
    assert ledger.latest([first, second], "小") == ledger.published([first, second], "小") == first
    assert ledger.latest([first, second, third], "小") == third
    assert ledger.published([first, second, third], "小") is None
    assert ledger.latest([first], "大") is None


def test_no_ledger_is_an_empty_one(tmp_path):
    assert ledger.read(tmp_path) == []


@pytest.mark.parametrize("number", [1, 2, 3])
def test_an_edited_line_is_named(book, number):
    lines = lines_of(book)
    lines[number - 1] = lines[number - 1].replace("山田", "田山")
    rewrite(book, lines)
    with pytest.raises(DamageError, match=rf"line {number} of .* was changed"):
        ledger.read(book)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_line_that_was_edited_with_its_digest_is_named_by_the_next_or_the_head(book, number):
    lines = lines_of(book)
    line = json.loads(lines[number - 1]) | {"by": "田山"}
    lines[number - 1] = json.dumps(line | {"digest": ledger._digest(line)}, ensure_ascii=False)
    lines[number - 1] += "\n"
    rewrite(book, lines)
    named = min(number + 1, 3)
    with pytest.raises(DamageError, match=rf"line {named} of .* is not the one that"):
        ledger.read(book)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_removed_line_is_named(book, number):
    lines = lines_of(book)
    del lines[number - 1]
    rewrite(book, lines)
    with pytest.raises(DamageError, match=rf"line {number} of .*(removed|missing)"):
        ledger.read(book)


def test_lines_that_changed_places_are_named(book):
    first, second, third = lines_of(book)
    rewrite(book, [first, third, second])
    with pytest.raises(DamageError, match=r"line 2 of .* removed, added or moved"):
        ledger.read(book)


def test_a_flipped_byte_is_found_wherever_it_is(book):
    path = book / ledger.FILE_NAME
    whole = path.read_bytes()
    for place in range(0, len(whole), 5):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(DamageError):
            ledger.read(book)


def test_the_whole_ledger_or_its_head_gone(book):
    head = (book / ledger.HEAD).read_text("utf-8")
    (book / ledger.HEAD).unlink()
    with pytest.raises(DamageError, match="nobody knows where"):
        ledger.read(book)
    (book / ledger.HEAD).write_text("{", "utf-8")
    with pytest.raises(DamageError, match="cannot be read"):
        ledger.read(book)
    (book / ledger.HEAD).write_text(head, "utf-8")
    (book / ledger.FILE_NAME).unlink()
    with pytest.raises(DamageError, match=r"line 1 of .* is missing"):
        ledger.read(book)


def test_killed_between_line_and_head_nothing_is_damaged(book):
    head = (book / ledger.HEAD).read_text("utf-8")
    ledger.append(book, "published", ladder.days(9), stage="小", by="山田")
    (book / ledger.HEAD).write_text(head, "utf-8")
    assert len(ledger.read(book)) == 4
    assert ledger.append(book, "shared", ladder.days(10), stage="小", by="山田")["number"] == 5
