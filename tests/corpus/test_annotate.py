import json

import pytest

from jgpt2.corpus import annotate, records
from jgpt2.corpus.accounting import account
from jgpt2.corpus.cleaning import mask, normalise
from jgpt2.corpus.quality import scores

SENTENCES = (
    "山路を登りながら、こう考えた。智に働けば角が立つ。情に棹させば流される。意地を通せば窮屈だ。"
)
PAGE = f"<html><head><title>草枕 – 漱石</title></head><body><p>{SENTENCES * 4}</p></body></html>"
AOZORA = f"""草枕
夏目漱石

-------------------------------------------------------
【テキスト中に現れる記号について】

《》：ルビ
（例）山路《やまみち》
-------------------------------------------------------

　{SENTENCES.replace("山路", "山路《やまみち》")}

底本：「夏目漱石全集3」ちくま文庫、筑摩書房
入力：柴田卓治
"""


def raw(content, kind="html", **fields):
    return records.Raw(content=content, kind=kind, source="s", **fields)


def annotated(given, **settings):
    """What becomes of a record, and the reasons for losing it."""
    counted = account.Account()
    found = annotate.annotate(given, annotate.Settings(**settings), counted)
    if found is not None:
        (found,) = annotate.score([found], counted)
    return found, account.reasons(counted)


@pytest.mark.parametrize("extractor", ["careful", "fast"])
@pytest.mark.parametrize("encoding", ["utf-8", "cp932", "euc_jp"])
def test_a_page(extractor, encoding):
    page = PAGE.replace("–", "-").encode(encoding)
    url = "https://Example.jp/草枕"
    found, lost = annotated(raw(page, url=url, charset="utf-8"), extractor=extractor)
    assert lost == {}
    assert found.document.text == SENTENCES * 4
    assert found.document.title == "草枕 - 漱石"
    assert (found.kind, found.charset, found.declared) == ("html", encoding, "utf-8")
    assert found.host == "example.jp"
    assert found.extractor == extractor
    assert found.document.scores == scores.score(found.document.text, link_share=0.0)


def test_a_work_of_aozora_bunko_is_known_by_its_markup():
    found, _ = annotated(raw(AOZORA.encode("cp932"), "text", title="773"))
    assert found.kind == "aozora"
    assert found.document.title == "草枕"
    assert found.document.text == f"　{SENTENCES}"
    kept, _ = annotated(raw(AOZORA, "record"))
    assert kept.kind == "record" and "《やまみち》" in kept.document.text


def test_what_is_left_out_says_why():
    def lost(*given, **fields):
        found, reasons = annotated(raw(*given, **fields))
        assert found is None
        return list(reasons)

    assert lost(bytes(range(256)) * 20) == ["unknown charset"]
    assert lost(PAGE.encode(), robots=("noai",)) == ["noai"]
    assert lost(PAGE.replace("<head>", "<head><meta name=robots content=noindex>").encode()) == [
        "noindex"
    ]
    assert lost(b"<html><body><p>Nothing but English here, line after line.</body>") == [
        "not Japanese"
    ]
    assert lost(f"<title>{SENTENCES * 3}</title>".encode()) == ["no main text"]
    assert lost("　\n", kind="record") == ["no main text"]
    assert lost("\u200b\ufeff", kind="record") == ["no text"]


def test_a_text_that_does_not_encode_back_is_counted():
    whole = (SENTENCES * 5).encode()
    for content, lossy in ((whole, {}), (whole[:-1], {"utf-8": 1})):
        counted = account.Account()
        annotate.annotate(raw(content, "text"), annotate.Settings(), counted)
        assert counted.lossy == counted.replaced == lossy


def test_robots_may_be_ignored():
    found, lost = annotated(raw(PAGE.encode(), robots=("noindex",)), obey_robots=False)
    assert found is not None and lost == {}


def test_texts_are_normalised_and_masked_and_both_are_counted():
    text = "連絡\r\nは tarō@例.jp でなく taro@yamada.co.jp へ～"
    found, _ = annotated(raw(text, "record"))
    assert found.document.text == f"連絡\nは tarō@例.jp でなく {mask.EMAIL} へ〜"
    assert found.masks == {"email": 1}
    assert found.rules == {"line_ends": 1, "wave_dash": 1}
    plain = {"rules": normalise.Rules(wave_dash=False), "masks": mask.Masks(email=False)}
    kept, _ = annotated(raw(text, "record"), **plain)
    assert kept.document.text == text.replace("\r\n", "\n")


def test_the_licence_is_the_records_own_or_the_one_given():
    assert annotated(raw("雨", "record", license="CC0"), license="MIT")[0].document.license == "CC0"
    assert annotated(raw("雨", "record"), license="MIT")[0].document.license == "MIT"


def test_it_is_written_as_json_and_read_back():
    found, _ = annotated(raw(PAGE.encode(), url="https://example.jp/", fetched_at="2026-01-01"))
    value = json.loads(json.dumps(annotate.to_json(found), ensure_ascii=False))
    assert annotate.from_json(value) == found
    assert list(value)[-1] == "text"


def test_the_identity_tells_of_every_setting():
    identities = [
        annotate.Settings(**changed).identity()
        for changed in (
            {},
            {"extractor": "fast"},
            {"obey_robots": False},
            {"license": "CC0"},
            {"rules": normalise.Rules(nfkc=True)},
            {"masks": mask.Masks(tags=True)},
        )
    ]
    assert len({json.dumps(identity) for identity in identities}) == 6
