"""Personal data out of a text: after normalisation, before anything is stored, in the walk.

E-mail addresses and telephone numbers give way to fixed placeholders that belong to nobody. Only
what is certain by its form is masked; names and postal addresses have no certain form. All work is
linear in the length of the text.
"""

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass

VERSION = 1
"""Changes with any pattern, placeholder or default here, as they make another corpus."""

EMAIL = "email@example.com"
"""In place of an address: plain text, so that any vocabulary learns it in a few pieces and no tag
can be mistaken for markup; a domain that RFC 2606 keeps free, so that a model that repeats it
points at nobody. datatrove writes the same."""

PHONE = "000-0000-0000"
"""In place of a number: in the shape of a mobile one, and nobody's, since no Japanese number begins
with 00."""


@dataclass(frozen=True, kw_only=True)
class Masks:
    """What is masked; `mask` counts under the names of the fields and of the tags."""

    email: bool = True
    """Addresses, also full-width (ａ＠ｂ．ｊｐ) and with @ or dots spelled in brackets:
    a[at]b[dot]jp, a(アットマーク)b.jp. Left as they are: domains that RFC 2606 and JPRS keep for
    examples, and the user git, who is nobody (git@github.com:…)."""
    phone: bool = True
    """Japanese numbers of ten or eleven digits whose groups fit an area code, a mobile, IP or
    service number, and numbers after +81. Groups parted by spaces or dots, and digits in one run,
    count only right after a word such as TEL or 電話. Fax numbers count too."""
    tags: bool = False
    """URL, DATE and PRICE too, and all in the forms <URL> <EMAIL> <TEL> <DATE> <PRICE> that the
    cleaning option of tanreinama's Japanese-BPEEncoder (2020) writes, to train on text as his
    models saw it. Not the same texts, though: his option first narrows all full-width letters and
    digits, takes any seven digits for a telephone number, a bare 円 for a price, and 1/2 or a lone
    3月 for a date, none of which is done here; here ￥100 and full-width digits count as well."""


DEFAULTS = Masks()

_DIGIT = "0-9０-９"
_LETTER = "A-Za-zＡ-Ｚａ-ｚ"
_HYPHEN = "-－‐‑‒–—―−ー"


def mask(text: str, masks: Masks = DEFAULTS) -> tuple[str, Counter[str]]:
    """The text with placeholders, and how many of each kind were put in.

    What comes back never changes when it is masked again; a text without hits is the same object.

    >>> mask("お問い合わせは info@kaisha.co.jp、０３－１２３４－５６７８まで")
    ('お問い合わせは email@example.com、000-0000-0000まで', Counter({'email': 1, 'phone': 1}))
    >>> mask("2024-01-15、〒100-0001、ISBN978-4-06-123456-7")[1]
    Counter()
    >>> mask("令和6年1月15日、1,000円（税込）", Masks(tags=True))[0]
    '<DATE>、<PRICE>'
    """
    counts: Counter[str] = Counter()
    if masks.tags and "://" in text:
        text, counts["url"] = _URL.subn(_tag_url, text)
    if masks.email:
        placeholder = "<EMAIL>" if masks.tags else EMAIL
        if "アット" in text or _BRACKETED.search(text):
            text = _mask_emails(text, _SPELLED_DOMAIN, placeholder, counts)
        for sign, pattern in _DOMAINS.items():
            if sign in text:
                text = _mask_emails(text, pattern, placeholder, counts)
    if masks.phone:
        placeholder = "<TEL>" if masks.tags else PHONE
        for sign, pattern in _PHONES.items():
            if sign in text:
                text = _mask_phones(text, pattern, placeholder, counts)
    if masks.tags:
        text, counts["date"] = _DATE.subn("<DATE>", text)
        text, counts["price"] = _PRICE.subn("<PRICE>", text)
    return text, +counts


# E-mail. The search goes from @ to the right; what is left of it is cut from a window of the 64
# characters that RFC 5321 allows, so that a long run of letters is not tried at every start.
_LABEL = f"[{_DIGIT}{_LETTER}]++(?:[-－]++[{_DIGIT}{_LETTER}]++)*+"
_OPEN, _CLOSE = "[(\\[（［【]", "[)\\]）］】]"
_AT = f"(?:{_OPEN} ?(?i:@|＠|at|アット(?:マーク)?) ?{_CLOSE}|アットマーク)"
_BRACKETED = re.compile(
    f"{_CLOSE}(?:(?<={_OPEN}[aA][tT].)|(?<={_OPEN} [aA][tT] .)"
    f"|(?<={_OPEN}[@＠].)|(?<={_OPEN} [@＠] .))"
)
"""Found where `_AT` is without アット, as fast as a closing bracket is found."""
_DOT = re.compile(f"[.．]| ?{_OPEN} ?(?i:\\.|．|dot|ドット) ?{_CLOSE} ?")
_DOMAINS = {
    "@": re.compile(f"@(?P<domain>{_LABEL}(?:[.．]{_LABEL})++)"),
    "＠": re.compile(f"＠(?P<domain>{_LABEL}(?:[.．]{_LABEL})++)"),
}
"""By the sign they begin with: a search for one literal is several times as fast as for a class."""
_SPELLED_DOMAIN = re.compile(f"{_AT} ?(?P<domain>{_LABEL}(?:(?:{_DOT.pattern}){_LABEL})++)")
_LOCAL = "".join(
    re.findall(
        f"[{_DIGIT}{_LETTER}._%+－．＿＋-]",
        "".join(map(chr, [*range(0x20, 0x7F), *range(0xFF01, 0xFF5F)])),
    )
)
_MAX_LOCAL = 64
_FILE_SUFFIXES = re.compile(
    "bmp|css|csv|gif|html?|ico|jpe?g|jsx?|json|mjs|pdf|png|svg|tgz|tsx?|txt|webp|xml|ya?ml"
)
"""No top-level domains, but the ends of names such as icon@2x.png and vue@3.min.js."""
_FREE_DOMAINS = frozenset({"example", "invalid", "localhost", "test"})
_JP_KINDS = frozenset({"ac", "ad", "co", "ed", "go", "gr", "lg", "ne", "or"})


def _mask_emails(
    text: str, pattern: re.Pattern[str], placeholder: str, counts: Counter[str]
) -> str:
    pieces: list[str] = []
    done = searched = 0
    for found in pattern.finditer(text):
        at = found.start()
        if text[at] not in "@＠" and text[at - 1 : at] == " ":
            at -= 1
        window = text[max(searched, at - _MAX_LOCAL) : at]
        local = window[len(window.rstrip(_LOCAL)) :].lstrip(".．-－+＋%")
        searched = found.end()
        domain = found["domain"]
        if local and _is_somebody(local, domain):
            pieces += (text[done : at - len(local)], placeholder)
            done = found.end()
            counts["email"] += 1
    return "".join([*pieces, text[done:]])


def _is_somebody(local: str, domain: str) -> bool:
    """Whether there can be such an address, and it is not one made for examples."""
    labels = unicodedata.normalize("NFKC", ".".join(_DOT.split(domain))).lower().split(".")
    top = labels[-1]
    if not (top.startswith("xn--") or (2 <= len(top) <= 24 and top.isalpha())):
        return False
    if _FILE_SUFFIXES.fullmatch(top) or top in _FREE_DOMAINS or local.lower() == "git":
        return False
    name = labels[-3] if labels[-2] in _JP_KINDS and len(labels) > 2 else labels[-2]
    return name != "example"


# Telephone. Group lengths and area codes: the numbering plan of the Ministry of Internal Affairs
# and Communications (総務省), as it is printed: a code of two to five digits with its 0, and
# with the group after it six digits; four more for the line.
_GAP = f" ?[{_HYPHEN}] ?|[)）] ?[{_HYPHEN}]?|[(（]|[ 　.．・]"
_GROUPS = (
    f"(?:(?P<run>[1-9１-９][{_DIGIT}]{{8,9}}+)|(?P<first>[1-9１-９][{_DIGIT}]{{0,3}}+)(?P<gap>{_GAP})"
    f"(?P<middle>[{_DIGIT}]{{1,4}}+)(?P<gap2>{_GAP}|)(?P<last>[{_DIGIT}]{{3,4}}+))(?![{_DIGIT}])"
)
_ABROAD = f"[8８][1１][ {_HYPHEN}]?(?:[(（][0０][)）] ?|[(（])?{_GROUPS}"
_PHONES = {
    "+": re.compile(f"\\+{_ABROAD}"),
    "＋": re.compile(f"＋{_ABROAD}"),
    "0": re.compile(f"0(?<![{_DIGIT}]0){_GROUPS}"),
    "０": re.compile(f"０(?<![{_DIGIT}]０){_GROUPS}"),
}
_CUE = re.compile(
    "(?:(?<![A-Za-z<])(?i:tel|telephone|phone|mobile|fax|ＴＥＬ|ＦＡＸ)(?![A-Za-z])|電話|携帯|ケータイ"
    f"|ファック?ス|フリーダイヤル|連絡先|[☎☏✆℡📞📱])[^{_DIGIT}\n。、]{{0,10}}\\Z"
)
_CUE_REACH = 20
_UNFIT_BEFORE = re.compile(
    f"(?:[{_DIGIT}{_LETTER}._+%#$¥￥\\\\,，．＿＋‐‑−-]|[{_DIGIT}][{_HYPHEN}])\\Z"
)
_UNFIT_AFTER = re.compile(f"(?i:(?!fax|tel)[a-z_])|[{_HYPHEN}][{_DIGIT}]")
_NUMBER = re.compile(
    # Tokyo, Osaka and two prefectures; mobile, IP and machines; area codes of three digits
    "0[346]-[0-9]{4}-[0-9]{4}|0[256789]0-[0-9]{4}-[0-9]{4}"
    "|0(?:1[15789]|2[2-9]|4[2-9]|5[234589]|7[2356789]|8[2346789]|9[2356789])-[0-9]{3}-[0-9]{4}"
    "|0[1-9][0-9]{2}-[0-9]{2}-[0-9]{4}|0[145789][0-9]{3}-[0-9]-[0-9]{4}"  # of four and five
    "|0(?:120|570|990|180|170)-[0-9]{3}-[0-9]{3}|0800-[0-9]{3}-[0-9]{4}"  # services
)


def _mask_phones(
    text: str, pattern: re.Pattern[str], placeholder: str, counts: Counter[str]
) -> str:
    pieces: list[str] = []
    done = 0
    for found in pattern.finditer(text):
        start = _start_of_number(text, found, done)
        if start is not None:
            pieces += (text[done:start], placeholder)
            done = found.end()
            counts["phone"] += 1
    return "".join([*pieces, text[done:]])


def _start_of_number(text: str, found: re.Match[str], done: int) -> int | None:
    """Where the number begins that `found` is, with its bracket; None where it is none."""
    start, is_abroad = found.start(), found.group()[0] in "+＋"
    run, first, gap, middle, gap2, last = found.group(
        "run", "first", "gap", "middle", "gap2", "last"
    )
    if not run:
        number = unicodedata.normalize("NFKC", f"0{first}-{middle}-{last}")
        if not _NUMBER.fullmatch(number):
            return None
        if not is_abroad and gap[0] in ")）":
            if text[max(done, start - 1) : start] not in ("(", "（"):
                return None
            start -= 1
        if (gap[0] in "(（") != (gap2[:1] in (")", "）")):
            return None
    window = text[max(done, start - _CUE_REACH) : start]
    if _UNFIT_AFTER.match(text, found.end()):
        return None
    if _CUE.search(window):
        return start
    is_loose = run or gap in " 　.．・" or gap2 in " 　.．・"  # an empty gap is in it too
    if _UNFIT_BEFORE.search(window) or (is_loose and not is_abroad):
        return None
    return start


# The three kinds of `tags`. Patterns begin with one class of characters and look back from there:
# so the search skips to the next of them, which is ten times as fast as trying every place.
_URL = re.compile("(?:https?|ftp)://[0-9A-Za-z\\[][!#$%&'()*+,./0-9:;=?@A-Z_a-z~\\[\\]-]*+")
_MONTH = "(?:[1１][0-2０-２]|[0０]?[1-9１-９])"
_DAY = f"(?:[12１２][{_DIGIT}]|[3３][01０１]|[0０]?[1-9１-９])"
_DATE = re.compile(
    f"[{_DIGIT}明大昭平令](?<![{_DIGIT}]{{2}})(?:"
    f"(?<=[12１２])[{_DIGIT}]{{3}}(?P<bar>[/／－-]){_MONTH}(?P=bar){_DAY}(?![{_DIGIT}]|(?P=bar))"
    f"|(?:(?<=[12１２])[{_DIGIT}]{{3}}"
    f"|(?:(?<=明)治|(?<=大)正|(?<=昭)和|(?<=平)成|(?<=令)和)(?:元|[{_DIGIT}]{{1,2}}))"
    f"年{_MONTH}月(?:{_DAY}日)?"
    f"|(?:(?<=[1１])[0-2０-２]|(?<=[0０])[1-9１-９]|(?<=[1-9１-９]))月{_DAY}日)"
    "(?:[(（][日月火水木金土](?:曜日?)?[)）])?"
    f"(?:[T 　]?[{_DIGIT}]{{1,2}}(?:[:：][{_DIGIT}]{{2}}){{1,2}}(?![{_DIGIT}])"
    f"|[{_DIGIT}]{{1,2}}時(?:[{_DIGIT}]{{1,2}}分)?)?"
)
_PRICE = re.compile(
    f"[{_DIGIT}¥￥](?:(?<=[¥￥])[{_DIGIT}]++(?:[,，.．][{_DIGIT}]++)*+円?"
    f"|(?<=[{_DIGIT}])(?<![{_DIGIT},，.．].)[{_DIGIT},，.．億万千百]{{0,24}}(?:円|ドル|ユーロ))"
    "(?:[(（]税[込抜別][)）])?"
)


def _tag_url(found: re.Match[str]) -> str:
    """The tag, and the punctuation after the address that belongs to the sentence."""
    url = found.group()
    return "<URL>" + url[len(url.rstrip(".,;:!?)]'")) :]
