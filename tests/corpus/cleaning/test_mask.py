import gzip
import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jgpt2.corpus.cleaning import mask as module
from jgpt2.corpus.cleaning.mask import EMAIL, PHONE, Masks, mask

TAGS = Masks(tags=True)
NOTHING = Masks(email=False, phone=False)

MARKS = "@＠.．-－ー−()（）:/,、¥年月日時円万☎+ \n"
WORDS = [
    "[at]",
    "(dot)",
    "アットマーク",
    "a",
    "bc.jp",
    "co",
    "example.com",
    "git",
    "電話",
    "TEL",
    "fax",
]
NUMBERS = ["+81", "03", "090", "0120", "1234", "5678", "０３", "１２", "2024", "1", "12", "昭和"]
WHOLE = ["https://", "<URL>", EMAIL, PHONE, "taro@kaisha.jp", "03-1234-5678", "(03)1234-5678"]
PIECES = st.one_of(
    st.sampled_from([*MARKS, *WORDS, *NUMBERS, *WHOLE, "(税込)", "(月)"]),
    st.characters(codec=None, exclude_categories=()),
)
TEXT = st.lists(PIECES, max_size=14).map("".join)
ANY_MASKS = st.builds(Masks, email=st.booleans(), phone=st.booleans(), tags=st.booleans())


@given(TEXT, ANY_MASKS)
def test_twice_is_once(text, masks):
    once, _ = mask(text, masks)
    assert mask(once, masks) == (once, Counter())


@given(TEXT, ANY_MASKS)
def test_counts_are_of_what_was_put_in(text, masks):
    done, counts = mask(text, masks)
    if not counts:
        assert done is text
    else:
        assert done != text
        assert all(count > 0 for count in counts.values())
        email, phone = ("<EMAIL>", "<TEL>") if masks.tags else (EMAIL, PHONE)
        assert done.count(email) >= counts["email"]
        assert done.count(phone) >= counts["phone"]


@given(TEXT)
def test_nothing_asked_nothing_done(text):
    assert mask(text, NOTHING)[0] is text


@pytest.mark.parametrize(
    "address",
    [
        "taro@kaisha.co.jp",
        "Taro.Yamada+news_1%x@mail-2.kaisha.jp",
        "..taro..@docomo.ne.jp".lstrip("."),
        "ｔａｒｏ＠ｋａｉｓｈａ．ｃｏ．ｊｐ",
        "taro＠kaisha.jp",
        "taro[at]kaisha.jp",
        "taro (at) kaisha.jp",
        "taro[ AT ]kaisha[dot]co[dot]jp",
        "taro[@]kaisha.jp",
        "taro（アットマーク）kaisha.jp",
        "taroアットマークkaisha.jp",
        "taro@xn--bcher-kva.xn--wgv71a",
        "09012345678@softbank.ne.jp",
        "a" * 64 + "@b.jp",
    ],
)
def test_an_address_is_masked_whole(address):
    for before, after in (("", ""), ("連絡は", "まで"), ("(", ")"), ("<", ">."), ("mailto:", "\n")):
        done, counts = mask(f"{before}{address}{after}")
        assert done == f"{before}{EMAIL}{after}"
        assert counts == {"email": 1}


@pytest.mark.parametrize(
    "text",
    [
        "@taro さん、@types.coroutine と @click.self",
        "user@example.com, a@mail.example.co.jp, a@host.test",
        "ａ＠ｅｘａｍｐｌｅ．ｊｐ, a[at]example.org",
        "root@192.168.0.1 と vue@3.2.1 と icon@2x.png と lodash@4.min.js",
        "git@github.com:kaisha/x.git",
        "x @ W.T、a@b、価格@100.50円",
        "look (at) this. アットホーム.な職場、フォーマット).jp",
        "＠マーク、アットマーク",
        "user@localhost",
    ],
)
def test_what_is_no_address_of_somebody_stays(text):
    assert mask(text)[0] is text


def test_two_addresses_in_a_row():
    done, counts = mask("a@b.jp,c@d.jp/e@f.com@g.com")
    assert done == f"{EMAIL},{EMAIL}/{EMAIL}@g.com"
    assert counts == {"email": 3}


PHONES = [
    "03-1234-5678",
    "045-123-4567",
    "0422-12-3456",
    "04992-1-2345",
    "090-1234-5678",
    "050-1234-5678",
    "0120-123-456",
    "0120-12-3456",
    "0800-123-4567",
    "(03)1234-5678",
    "（０３）１２３４－５６７８",
    "03(1234)5678",
    "(0422)12-3456",
    "０３－１２３４－５６７８",
    "０３ー１２３４ー５６７８",
    "03‐1234‐5678",
    "03−1234−5678",
    "03 - 1234 - 5678",
    "+81-3-1234-5678",
    "+81 90 1234 5678",
    "+81(0)3-1234-5678",
    "+819012345678",
    "＋８１－３－１２３４－５６７８",
]


@pytest.mark.parametrize("number", PHONES)
def test_a_number_is_masked_whole(number):
    for before, after in (
        *(("", ""), ("電話は", "まで"), ("TEL", "（代表）"), ("Tel: ", "\n"), ("センター", "。")),
        *(("(", ")"), ("「", "」"), ("〒100-0001 東京都 ", " 内線12"), ("携帯:", "FAX:")),
    ):
        done, counts = mask(f"{before}{number}{after}")
        assert done == f"{before}{PHONE}{after}"
        assert counts == {"phone": 1}


LOOSE = [
    "0312345678",
    "09012345678",
    "０９０１２３４５６７８",
    "03 1234 5678",
    "03.1234.5678",
    "090-12345678",
]


@pytest.mark.parametrize("number", LOOSE)
def test_a_loose_number_needs_a_word_before_it(number):
    assert mask(f"コード {number} です")[1] == Counter()
    for cue in (
        "TEL",
        "Tel. ",
        "ＴＥＬ：",
        "電話番号は",
        "☎",
        "℡ ",
        "携帯（私用）: ",
        "📞",
        "Fax ",
    ):
        done, counts = mask(f"番号 {cue}{number} です")
        assert done == f"番号 {cue}{PHONE} です"
        assert counts == {"phone": 1}
    assert mask(f"hotel {number}、telnet {number}、電話\n{number}、電話が鳴る。{number}")[1] == {}


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-15、01-15-2024、2024/01/15、05-10-2024",
        "ISBN978-4-03-123456-7、ISBN 4-03-123456-7、0-306-40615-2、978-4-03-1234-5678",
        "〒103-0027、〒０６０－０００１、060-0001",
        "03,1234,5678円、0.0312345678、¥03-1234-5678",
        "0.12.3456、v03.1234.5678、192.168.0.1、07-00-0000",
        "RFC0822、0x0312345678、A03-1234-5678、03-1234-5678-9、5-03-1234-5678",
        "103-1234-5678、03-1234-56789、03-12345-678、01-2345-6789、012-345-6789",
        "0.0 0.0625 0.125 0.1875、010 020 0300、0123456789",
        "(03 1234-5678、03)1234-5678、03(1234-5678",
        "1234-0312-3456-7890、2006/0905142930.html",
        "k = 0.01720209895、三四―五六七八、０１２３４５６７８９",
        "+1-650-123-4567、+810000、81-3-1234-5678、0081-3-1234-5678",
        PHONE,
    ],
)
def test_what_is_no_number_stays(text):
    assert mask(text, Masks(email=False))[0] is text


def test_numbers_in_a_row():
    done, counts = mask("TEL03-1234-5678FAX03-1234-5679／090-1234-5678/080-1234-5678")
    assert done == f"TEL{PHONE}FAX{PHONE}／{PHONE}/{PHONE}"
    assert counts == {"phone": 4}


def test_placeholders_are_nobodys_and_plain_text():
    assert EMAIL.endswith("@example.com")
    assert PHONE.startswith("00")
    assert mask(f"{EMAIL} {PHONE}、電話{PHONE}")[1] == Counter()


@pytest.mark.parametrize(
    ("text", "tagged"),
    [
        ("見よhttps://a.jp/b?c=1&d#e。", "見よ<URL>。"),
        ("(http://a.jp/x), ftp://a.jp", "(<URL>), <URL>"),
        ("a@b.jp 03-1234-5678", "<EMAIL> <TEL>"),
        ("2024年1月15日(月)12:30から", "<DATE>から"),
        ("２０２４年１月、平成元年12月31日", "<DATE>、<DATE>"),
        ("2024/1/5、2024-01-05T10:20:30、１２月３日１０時３０分", "<DATE>、<DATE>、<DATE>"),
        ("1,000円（税込）、3万5千円、￥１，０００、10ドル", "<PRICE>、<PRICE>、<PRICE>、<PRICE>"),
    ],
)
def test_tags(text, tagged):
    done, counts = mask(text, TAGS)
    assert done == tagged
    assert sum(counts.values()) == tagged.count("<")
    assert set(counts) <= {"url", "email", "phone", "date", "price"}


@pytest.mark.parametrize(
    "text",
    [
        "円周率",
        "3月",
        "1/2",
        "13月1日",
        "2024年",
        "2024.1.5",
        "12024/1/15",
        "2024/1-15",
        "http://",
        "1.2.3",
    ],
)
def test_tags_take_no_more_than_they_say(text):
    assert mask(text, TAGS)[0] is text


def test_the_tag_of_a_number_is_no_word_before_the_next_one():
    done, _ = mask("03-1234-5678.03-1234-5678", TAGS)
    assert done == "<TEL>.03-1234-5678"
    assert mask(done, TAGS)[0] is done


def test_tags_do_not_bring_back_a_mask_that_is_off():
    assert mask("a@b.jp 03-1234-5678", Masks(tags=True, email=False, phone=False))[1] == {}


@pytest.mark.parametrize(
    "unit",
    [
        *("a", "a@", "a.", "a-", "@a-", "@a.", "a@a.a", "[at]a", "a[at]a[dot]", "(", "[ "),
        *("0", "03-", "0-", "03(", "0312345678", "03 ", "1", "12,", "+81-", "+", "電話", "電話0"),
        *("1月", "1億", "2024/", "昭和1年", "http", "http://", "¥", "￥1,", "1円"),
    ],
)
def test_work_grows_with_length_alone(unit):
    """A megabyte of them; quadratic work would take hours."""
    text = unit * (1_000_000 // len(unit))
    assert mask(text, TAGS)[0]
    assert mask(text)[0]


def test_versions_of_rules_are_numbers():
    assert isinstance(module.VERSION, int)
    assert module.VERSION > 0


def test_real_text_without_personal_data_stays(real_data: Path):
    """The texts were cleared of addresses before, and hold no telephone number: nothing is hit."""
    for path in sorted(real_data.glob("*-000.jsonl.gz")):
        for line in gzip.decompress(path.read_bytes()).splitlines():
            text = json.loads(line)["text"]
            assert mask(text)[0] is text
