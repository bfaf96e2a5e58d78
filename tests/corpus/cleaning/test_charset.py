"""Charset: the text comes back from its bytes, whatever a label says; junk gives None."""

import io
import json
import random
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jgpt2.corpus.cleaning import charset

CODECS = ["utf-8", "cp932", "euc_jp", "iso2022_jp"]
SENTENCES = [
    "お問い合わせ",
    "青空文庫の本",
    "東京都渋谷区の天気予報",
    "株式会社山田製作所",
    "これはテストです。",
    "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。",
    "メニューとサイトマップ",
    "<title>会社案内</title>",
    "<!DOCTYPE html><html><head><title>x</title></head><body>" + "a " * 500 + "はじめに</body>",
]
KANJI_AND_KANA = st.text(
    st.characters(codec="iso2022_jp", min_codepoint=0x3041, max_codepoint=0x30F6), min_size=3
)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("text", SENTENCES)
def test_the_text_comes_back_without_a_label(text: str, codec: str) -> None:
    found = charset.decode(text.encode(codec))
    assert found == charset.Decoded(text, codec, "", 0, True)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("label", [*CODECS, "x-sjis", "windows-1252", "utf-16", "nonsense"])
def test_a_wrong_label_changes_no_text(codec: str, label: str) -> None:
    text = "吾輩は猫である。名前はまだ無い。"
    found = charset.decode(text.encode(codec), declared=label)
    assert found is not None
    assert (found.text, found.encoding) == (text, codec)


@given(text=KANJI_AND_KANA, codec=st.sampled_from(CODECS))
def test_kana_of_any_length_comes_back(text: str, codec: str) -> None:
    found = charset.decode(text.encode(codec))
    assert found is not None
    assert found.text == text


@given(st.binary(max_size=300), st.sampled_from(["", *CODECS, "utf-16-le", "gb2312", "big5"]))
def test_no_bytes_raise(data: bytes, label: str) -> None:
    found = charset.decode(data, declared=label, is_html=True)
    if found is not None:
        assert found.num_replaced <= max(1, len(data))
        if found.is_lossless:
            assert data.endswith(found.text.encode(found.encoding))


@given(st.text(max_size=20), st.binary(max_size=60))
def test_no_markup_or_label_raises(label: str, inside: bytes) -> None:
    page = b'<meta charset="' + inside + b'"><?xml encoding="' + inside + b'"?>'
    charset.decode(page + "かな".encode("cp932"), declared=label, is_html=True)


def test_characters_of_nec_and_ibm_are_kept() -> None:
    text = "①番の㈱山田、№３～５－ⅳ髙﨑"
    assert charset.decode(text.encode("cp932")) == charset.Decoded(text, "cp932", "", 0, True)


def test_characters_of_nec_in_euc_jp_and_iso_2022_jp() -> None:
    euc = "会社案内".encode("euc_jp") + b"\xad\xa1\xad\xea" + "山田です".encode("euc_jp")
    assert charset.decode(euc) == charset.Decoded("会社案内①㈱山田です", "euc_jp", "", 0, False)
    jis = b"\x1b$B2q<R-!\x1b(B ok"
    assert charset.decode(jis) == charset.Decoded("会社① ok", "iso2022_jp", "", 0, False)


def test_jis_x_0212_in_euc_jp() -> None:
    text = "丂という漢字と丄という漢字"
    assert b"\x8f" in text.encode("euc_jp")
    assert charset.decode(text.encode("euc_jp")) == charset.Decoded(text, "euc_jp", "", 0, True)


def test_wave_dashes_and_minus_signs_are_left_to_normalising() -> None:
    for text, codec in (("10～20－5です", "cp932"), ("10〜20−5です", "euc_jp")):
        found = charset.decode(text.encode(codec))
        assert found is not None
        assert found.text == text


@pytest.mark.parametrize("text", ["ﾊﾝｶｸ ｶﾅ ﾃｽﾄ", "ｴﾗｰ:ﾌｧｲﾙ ｶﾞ ｱﾘﾏｾﾝ", "半角ｶﾅのﾃｽﾄです"])
def test_half_width_kana_in_cp932(text: str) -> None:
    found = charset.decode(text.encode("cp932"))
    assert found is not None
    assert (found.text, found.encoding) == (text, "cp932")


def test_a_few_half_width_kana_that_are_letters_in_utf_8_follow_the_label() -> None:
    data = "ﾃｽ".encode("cp932")
    assert data.decode("utf-8") == "ý"
    with_label = charset.decode(data, declared="Shift_JIS")
    without = charset.decode(data)
    assert with_label is not None
    assert without is not None
    assert (with_label.text, without.text) == ("ﾃｽ", "ý")


def test_half_width_kana_in_iso_2022_jp() -> None:
    found = charset.decode(b'\x1b(I1\x1b$B$"\x1b(B')
    assert found is not None
    assert found.text == "ｱあ"


def test_iso_2022_jp_without_its_last_escape() -> None:
    data = "これは件名".encode("iso2022_jp")
    assert data.endswith(b"\x1b(B")
    found = charset.decode(data[:-3])
    assert found is not None
    assert (found.text, found.encoding, found.is_lossless) == ("これは件名", "iso2022_jp", False)


@pytest.mark.parametrize("text", ["東京の天気", "これは長い文章です。" * 500])
@pytest.mark.parametrize("codec", CODECS[:3])
def test_a_page_cut_in_the_middle_of_a_character_is_kept(text: str, codec: str) -> None:
    found = charset.decode(text.encode(codec)[:-1])
    assert found is not None
    assert found.text in {text[:-1] + "\ufffd", text[:-1]}
    assert (found.encoding, found.num_replaced) == (codec, found.text.count("\ufffd"))


@pytest.mark.parametrize("codec", CODECS[:3])
def test_a_few_bad_bytes_do_not_lose_a_long_page(codec: str) -> None:
    line = ("吾輩は猫である。名前はまだ無い。\n").encode(codec)
    data = line * 500 + (b"\x85\x9f\n" if codec == "cp932" else b"\xff\xff\n") + line * 500
    found = charset.decode(data)
    assert found is not None
    assert found.encoding == codec
    assert found.text.count("吾輩は猫である。名前はまだ無い。\n") >= 999
    assert 1 <= found.num_replaced <= 2
    assert not found.is_lossless


def test_many_bad_bytes_give_none() -> None:
    rng = random.Random(1)
    data = bytearray("吾輩は猫である。名前はまだ無い。".encode() * 100)
    for place in rng.sample(range(len(data)), len(data) // 5):
        data[place] = 0xFF
    assert charset.decode(bytes(data)) is None


def test_a_replacement_character_that_was_written_is_not_counted() -> None:
    found = charset.decode("壊れた\ufffd文字です".encode()[:-1])
    assert found is not None
    assert found.num_replaced == 1


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_decides_and_goes(codec: str) -> None:
    text = "改行は\r\nそのまま\r残る\n"
    found = charset.decode(text.encode(codec), declared="euc-jp")
    assert found is not None
    assert (found.text, found.is_lossless) == (text, True)
    assert found.declared == found.encoding == {"utf-8-sig": "utf-8"}.get(codec, "utf-16-le")


def test_utf_16_without_a_mark_needs_its_label() -> None:
    data = "<p>日本語のページ</p>".encode("utf-16-le")
    found = charset.decode(data, declared="utf-16")
    assert found is not None
    assert found.text == "<p>日本語のページ</p>"
    assert charset.decode(data) is None


def test_ascii_is_utf_8_whatever_its_label_says() -> None:
    assert charset.decode(b"", declared="euc-jp") == charset.Decoded("", "utf-8", "euc_jp", 0, True)
    found = charset.decode(b"plain", declared="utf-16")
    assert found == charset.Decoded("plain", "utf-8", "utf-16-le", 0, True)


@pytest.mark.parametrize(
    "page",
    [
        '<meta charset="Shift_JIS">',
        "<META http-equiv=Content-Type content='text/html; charset=x-sjis'>",
        "<?xml version='1.0' encoding='windows-31j'?>",
        "<meta name=a><meta charset=nonsense><meta charset = sjis >",
    ],
)
def test_labels_in_pages(page: str) -> None:
    data = (page + "日本語").encode("cp932")
    found = charset.decode(data, is_html=True)
    assert found is not None
    assert found.declared == "cp932"
    as_text = charset.decode(data)
    assert as_text is not None
    assert as_text.declared == ""
    with_header = charset.decode(data, declared="EUC-JP", is_html=True)
    assert with_header is not None
    assert (with_header.declared, with_header.encoding) == ("euc_jp", "cp932")


@pytest.mark.parametrize("label", ["", "iso-8859-1"])
def test_a_western_page_is_no_japanese(label: str) -> None:
    text = "Le café où l’été s’achève, déjà vu à Besançon. Où êtes-vous, chère amie ?\n" * 5
    found = charset.decode(text.encode("cp1252"), declared=label)
    assert found is not None
    assert (found.text, found.encoding) == (text, "cp1252")


@pytest.mark.parametrize(
    ("label", "codec", "text"),
    [
        ("gb2312", "gb18030", "中华人民共和国的语言文字，这是简体中文网页的内容。"),
        ("big5", "big5hkscs", "這是繁體中文網頁的內容，歡迎光臨。"),
        ("euc-kr", "cp949", "이것은 한국어 페이지입니다. 환영합니다."),
    ],
)
def test_a_labelled_page_of_a_neighbour_is_not_read_as_kanji(
    label: str, codec: str, text: str
) -> None:
    found = charset.decode((text * 20).encode(codec), declared=label)
    assert found == charset.Decoded(text * 20, codec, codec, 0, True)


def test_a_wrong_label_of_a_neighbour_changes_no_text_with_kana() -> None:
    found = charset.decode("これは日本語です。".encode("euc_jp"), declared="gb2312")
    assert found is not None
    assert found.text == "これは日本語です。"


def test_images_and_archives_give_none() -> None:
    rng = random.Random(0)
    noise = rng.randbytes(50_000)
    for head in (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"PK\x03\x04", b"\x1f\x8b\x08", b""):
        assert charset.decode(head + noise) is None
        assert charset.decode(head + noise[:100]) is None


def test_ten_megabytes_of_anything_end() -> None:
    line = "吾輩は猫である。名前はまだ無い。\n"
    for codec in CODECS:
        data = line.encode(codec) * (10_000_000 // len(line.encode(codec)))
        found = charset.decode(data)
        assert found is not None
        assert found.encoding == codec
    for unit in (b"\x1b$B", b"\xff", b"\x8f", b"\xe3", b"<meta ", b"\xad\xa1\xff", b"\x1b$B\x7f"):
        charset.decode(unit * (10_000_000 // len(unit)), is_html=True)


def test_every_real_file_gets_its_charset(raw_data: Path) -> None:
    num_files, wrong, num_mislabelled = 0, [], 0
    for line in (raw_data / "manifest.jsonl").read_text("utf-8").splitlines():
        entry = json.loads(line)
        if "encoding" not in entry or entry["kind"] == "expected-text":
            continue
        data = (raw_data / entry["file"]).read_bytes()
        if entry["file"].endswith(".zip"):
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                data = archive.read(archive.namelist()[0])
        found = charset.decode(data, is_html="html" in entry["kind"])
        num_files += 1
        if (
            found is None
            or found.encoding.removesuffix("_ext") != entry["encoding"]
            or not found.is_lossless
        ):
            wrong.append(entry["file"])
        elif found.declared and found.declared != found.encoding:
            num_mislabelled += 1
    assert num_files > 100
    assert wrong == []
    assert num_mislabelled >= 4
