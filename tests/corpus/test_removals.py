import pytest

from jgpt2.corpus import records, removals
from jgpt2.errors import InputError


def page(url="", id="a"):
    return records.document("雨が降る。", source="web", url=url, id=id)


def test_an_entry_is_added_once_and_read_back(tmp_path):
    file = tmp_path / "削除 依頼.txt"
    first = removals.add(file, hosts=["Example.jp"], urls=["https://a.example/雨#中"], ids=["話 1"])
    assert first == ["host example.jp", "id 話 1", "url https://a.example/雨"]
    again = removals.add(file, hosts=["example.jp.", "https://other.example/x"], ids=["話 1"])
    assert again == ["host other.example"]
    known = removals.load(file)
    assert known.hosts == {"example.jp", "other.example"}
    assert known.urls == {"https://a.example/雨"}
    assert known.ids == {"話 1"}
    assert known.num_entries == 4
    assert file.read_text("utf-8").startswith("#")


@pytest.mark.parametrize(
    ("url", "entry"),
    [
        ("https://example.jp/", "host example.jp"),
        ("http://www.EXAMPLE.jp:80/a?b#c", "host example.jp"),
        ("https://notexample.jp/", ""),
        ("https://example.jp.evil.example/", ""),
        ("https://a.example/雨", "url https://a.example/雨"),
        ("https://a.example/雨#別", "url https://a.example/雨"),
        ("https://a.example/雨/", ""),
        ("https://[broken/", ""),
        ("", ""),
    ],
)
def test_what_an_entry_stands_for(url, entry):
    known = removals.Removals(frozenset({"example.jp"}), frozenset({"https://a.example/雨"}))
    assert known.match(page(url)) == entry


def test_an_id_stands_for_itself():
    known = removals.Removals(ids=frozenset({"話1"}))
    assert known.match(page(id="話1")) == "id 話1"
    assert known.match(page(id="話11")) == ""


def test_the_fingerprint_is_of_the_entries_alone(tmp_path):
    one, two = tmp_path / "a", tmp_path / "b"
    one.write_text("# 理由\nhost example.jp\n\nid 1\n", "utf-8")
    two.write_text("id 1\nhost EXAMPLE.jp\n", "utf-8")
    assert removals.load(one).fingerprint == removals.load(two).fingerprint
    removals.add(two, ids=["2"])
    assert removals.load(one).fingerprint != removals.load(two).fingerprint


def test_a_line_that_is_no_entry_is_refused(tmp_path):
    file = tmp_path / "r.txt"
    file.write_text("host example.jp\nexample.jp\n", "utf-8")
    with pytest.raises(InputError, match=r"r\.txt:2 is no removal \('example\.jp'\).*host, url"):
        removals.load(file)
    with pytest.raises(InputError, match="there is no file of removals"):
        removals.load(tmp_path / "none")
    with pytest.raises(InputError, match="cannot be an entry"):
        removals.add(tmp_path / "new", ids=["a\nhost b"])
    assert not (tmp_path / "new").exists()
