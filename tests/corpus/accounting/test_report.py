"""The page of a build: it says what the account says, and takes whatever the web held."""

import copy
import itertools
import json
import random
import re
from html.parser import HTMLParser

import pytest

from jgpt2.corpus.accounting import account, breakdowns, exhibits, histograms, report, terms
from jgpt2.corpus.quality import filters, scores

HOSTILE = "</td><script>alert(1)</script>\x00\x1b[2J\u202e改竄\ud800\" onload='x' &amp;"


class Reader(HTMLParser):
    """Reads a page, holds it to balanced tags, and keeps its words, tags and attributes."""

    def __init__(self, document):
        super().__init__()
        self.tags, self.attributes, self.texts, self._open = [], [], [], []
        self.feed(document)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag != "meta":
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open[-1:] != ["style"]:
            self.texts.append(data)


def words(page):
    return " ".join(" ".join(Reader(page).texts).split())


def sample(number=0, **changes):
    text = f"山路を登りながら、こう考えた。智に働けば角が立つ。{number}"
    given = {
        "id": f"web-{number:04}", "url": f"https://example.jp/{number}.html", "source": "web",
        "license": "CC-BY-4.0", "title": f"題{number}", "num_chars": 900,
        "scores": dict.fromkeys(scores.NAMES, 0.125), "excerpt": text,
    }  # fmt: skip
    return given | changes


def counted():
    """An account in which every number is another one."""
    made = account.Account()
    alive = 1000
    lost = {
        "read": {"broken gzip": 7},
        "decode": {"unknown charset": 3},
        "robots": {"noai": 5},
        "japanese": {"not Japanese": 190},
        "extract": {"no main text": 11},
        "filter": {"min_letters": 23, "max_link_share": 29},
        "exact duplicate": {"exact duplicate": 31},
        "near-duplicate": {"near-duplicate": 37, "copy of a removed document": 2},
    }
    for name in account.STAGES:
        beside = 400 if name in ("robots", "japanese") else 0
        for reason, documents in lost.get(name, {}).items():
            made.drops_many(name, reason, account.Tally(documents, documents * 9, documents * 27))
            alive -= documents
        passed = alive - beside
        made.passes_many(name, account.Tally(passed, passed * 9, passed * 27))
        with made.timed(name):
            pass
    made.charsets.update({"cp932 > cp932": 90, "utf-8 > euc_jp": 13, "none > utf-8": 17})
    made.replaced["cp932"] = 19
    made.lossy["cp932"] = 3
    made.rules.update(wave_dash=41, spaces=43)
    made.masks.update(email=47)
    made.kinds.update(html=500, record=300)
    return made


def gathered(**changes):
    rng = random.Random(0)
    bins = histograms.Histograms()
    for _ in range(300):
        values = {name: rng.random() ** 3 for name in scores.NAMES}
        bins.add(values | {"letters": rng.lognormvariate(7, 1)}, is_chosen=rng.random() < 0.9)
    limits = {
        kind: {rule: value for rule, value in vars(preset).items() if value is not None}
        for kind, preset in (("html", filters.PRESETS["web"]), ("record", filters.PRESETS["none"]))
    }
    recipe = {
        "annotate": {"extractor": "careful", "obey_robots": True, "license": "", "rules": {}},
        "choice": {"licenses": None, "filters": limits, "removals": None},
        "near_duplicates": 0.7, "keep_near_duplicates": False, "keep_sites_together": False,
        "seed": 0, "validation_share": 0.02, "test_share": 0.02,
    }  # fmt: skip
    row = {"num_documents": 654, "num_bytes": 17_658_000, "num_chars": 5_886_000}
    few = {"num_documents": 4, "num_bytes": 999, "num_chars": 333}
    broken = {"letters": 123.0, "link_share": 0.62}
    made = {
        "name": "web-2026", "recipe": recipe, "num_files": 12, "num_bytes": 56_825_947,
        **account.to_json(counted()),
        "losses": [{"reason": "broken gzip", "where": "a.warc.gz", "detail": "is cut off."}],
        "splits": {"train": row, "validation": few, "test": few},
        "sources": {"web": row | {"left_out": 122}, "blog": few | {"left_out": 0}},
        "licenses": {"CC-BY-4.0": row | {"left_out": 9}, "unknown": few | {"left_out": 113}},
        "presets": {"web": 743, "docs": 777},
        "histograms": bins.to_json(),
        "hosts": [{"host": "a.jp", "documents": 50, "num_bytes": 5_000_000, "left_out": 8}],
        "cluster_sizes": [{"documents": 2, "clusters": 30}, {"documents": 17, "clusters": 3}],
        "clusters": [[sample(1), sample(2)]],
        "kept": [sample(number) for number in range(10, 22)],
        "left_out": [
            sample(30, stage="filter", scores=broken, reasons=["min_letters", "max_link_share"]),
            sample(31, stage="license", reasons=["GPL-3.0"]),
        ],
    }  # fmt: skip
    return json.loads(json.dumps(made | changes))


def test_the_first_lines_say_what_came_in_what_is_left_and_where_most_was_lost():
    text = words(report.page(gathered()))
    first = text[: text.index("段階ごとの流れ")]
    assert "1,000 件の記録を読み、662 件(66.2%)の文書を残しました" in first
    assert "「日本語判定」の 190 件(19.0%)" in first
    assert "662 documents (66.2%) are left of 1,000 records read" in first
    assert "568" not in first and "56.8 MB" in first and "589 万" in first


def test_every_stage_stands_in_its_order_with_its_numbers():
    text = words(report.page(gathered()))
    places = [text.index(f"{terms.stage(name)} ") for name in account.STAGES]
    assert places == sorted(places)
    assert "590 → 585 (−5、0.8%)、対象外 400" in text  # 990 came, 400 of them are no pages
    assert "585 → 395 (−190、32.5%)、対象外 400" in text
    assert "784 → 732 (−52、6.6%)" in text


def test_reasons_stand_by_size_and_sum_up():
    text = words(report.page(gathered()))
    table = text[text.index("除外の理由") : text.index("しきい値の比較")]
    numbers = [int(found) for found in re.findall(r"[a-z] (\d+) [\d.<]+%", table)]
    lost = [190, 37, 31, 29, 23, 11, 7, 5, 3, 2]
    assert numbers == [*lost, sum(lost)]


def test_a_preset_that_keeps_nothing_is_shown():
    text = words(report.page(gathered()))
    part = text[text.index("しきい値の比較") : text.index("出典とライセンス")]
    assert "literature 0 (0.0%)" in part and "web 743 (94.8%)" in part
    assert "この構築 this build 732" in part


def test_a_document_left_out_has_its_value_beside_the_threshold():
    text = words(report.page(gathered()))
    assert "letters 123 < 400" in text and "link_share 0.62 > 0.4" in text
    assert "min_letters: 23 件(例 1)" in text


def test_a_value_hardly_beyond_its_threshold_is_told_apart():
    entry = sample(stage="filter", reasons=["max_link_share"], scores={"link_share": 0.4000001})
    assert "0.4000001 > 0.4" in words(report.page(gathered(left_out=[entry])))


def test_thresholds_are_those_of_the_documents_kind():
    made = gathered(kinds={"html": 5, "aozora": 5})
    made["recipe"]["choice"]["filters"]["aozora"] = {"min_letters": 100}
    entry = sample(stage="filter", reasons=["min_letters"], scores={"letters": 50.0})
    for known, shown in [({}, "50 < 100 / 400"), ({"kind": "aozora"}, "letters 50 < 100 ")]:
        made["left_out"] = [entry | known]
        text = words(report.page(made))
        assert shown in text and ("100 / 400" in text) == (not known)


def test_labels_of_one_family_are_no_mistake():
    text = words(report.page(gathered()))
    assert "違う文書は 13 件(10.8%)" in text and text.count("不一致 mislabelled") == 1
    for declared, used in [
        ("x-sjis", "cp932"), ("Windows-31J", "cp932"), ("EUC-JP", "euc_jp"), ("UTF8", "utf-8"),
        ("ISO-2022-JP", "iso2022_jp_ext"), ("none", "cp932"),
    ]:  # fmt: skip
        assert not breakdowns.is_mislabelled(declared, used)
    for declared, used in [("us-ascii", "utf-8"), ("shift_jis", "euc_jp"), ("?" * 9, "cp932")]:
        assert breakdowns.is_mislabelled(declared, used)


def test_thresholds_are_drawn_for_the_kinds_that_came():
    page = report.page(gathered())
    assert "下限 400(html)" in page and "上限 0.4(html)" in page
    assert 'class="limit"' in page
    without = gathered(kinds={"record": 300})
    assert "下限 400" not in report.page(without) and 'class="limit"' not in report.page(without)


def test_equal_accounts_give_equal_bytes_and_seconds_one_column():
    first, second = gathered(), gathered()
    for number, row in enumerate(second["stages"].values()):
        first["stages"]["read"]["seconds"] = row["seconds"] = 0.0
        row["seconds"] = 1000.0 + number
    assert report.page(second) == report.page(copy.deepcopy(second))
    for row in first["stages"].values():
        row["seconds"] = 0.0
    blank = r'<td class="number">(?:0\.0|[\d,]+\.\d)</td></tr>'
    one, other = (re.sub(blank, "", report.page(each)) for each in (first, second))
    assert one == other
    assert report.page(first) != report.page(second)


def test_what_the_web_wrote_stays_text():
    plain = gathered()
    entry = sample(stage="filter", reasons=["min_letters"], scores={"letters": 1.0})
    odd = {name: HOSTILE for name in ("id", "url", "source", "license", "title", "excerpt")}
    plain["left_out"] = [entry]
    hostile = copy.deepcopy(plain)
    hostile["name"] = HOSTILE
    for each in [*hostile["kept"], *hostile["left_out"], *hostile["clusters"][0]]:
        each.update(odd)
    hostile["losses"] = [{"reason": HOSTILE, "where": HOSTILE, "detail": HOSTILE}]
    hostile["hosts"][0]["host"] = HOSTILE
    hostile["charsets"] = {f"{HOSTILE} > cp932": 3}
    for table in ("sources", "licenses"):
        hostile[table] = {HOSTILE: hostile[table].popitem()[1]}
    hostile["stages"]["license"]["drops"] = {
        f"license: {HOSTILE}": {"documents": 1, "chars": 1, "num_bytes": 1}
    }
    page = report.page(hostile)
    seen = Reader(page)
    page.encode("utf-8")
    assert set(seen.tags) == set(Reader(report.page(plain)).tags)
    assert not [name for name, _ in seen.attributes if name.startswith("on")]
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\ud800-\udfff]", page)
    assert "".join(seen.texts).count("<script>") > 20


def test_a_page_needs_nothing_from_outside():
    seen = Reader(report.page(gathered()))
    assert not {"script", "link", "img", "iframe", "a"} & set(seen.tags)
    assert not [name for name, _ in seen.attributes if name in ("src", "href")]


def test_an_empty_account_is_a_page():
    made = gathered(
        stages={}, charsets={}, replaced={}, lossy={}, rules={}, masks={}, kinds={}, losses=[],
        splits={},
        sources={}, licenses={}, presets={}, histograms={}, hosts=[], cluster_sizes=[],
        clusters=[], kept=[], left_out=[], num_files=0, num_bytes=0,
    )  # fmt: skip
    text = words(report.page(made))
    assert "0 件の記録を読み、0 件(–)" in text and "重複はありません" in text
    assert "URL のある文書はありません" in text


@pytest.mark.parametrize("name", account.STAGES)
def test_a_stage_that_met_nothing_is_a_row(name):
    made = gathered()
    made["stages"][name] = {
        "documents": 0, "chars": 0, "num_bytes": 0, "seconds": 0.0, "drops": {},
    }  # fmt: skip
    assert f"{terms.stage(name)} 0 → 0" in words(report.page(made))


def test_long_tables_are_cut_but_sum_up():
    row = {"num_documents": 3, "num_bytes": 90, "num_chars": 30, "left_out": 1}
    sources = {f"source-{number:05}": row for number in range(10_000)}
    made = gathered(sources=sources)
    text = words(report.page(made))
    assert "source-00019" in text and "source-00020" not in text
    assert "ほか 9,980 種類 9,980 others 29,940 299,400 898,200 9,980 99.8%" in text
    assert "合計 total 30,000 300,000 900,000 10,000 100.0%" in text


def test_hosts_beyond_the_table_are_summed_from_the_whole():
    text = words(report.page(gathered()))
    assert "a.jp 50 5,000,000 28.3% 8 ほか・ホストなし others and none 612 12,659,998" in text


def test_huge_counts_and_names_keep_the_page_small():
    made = gathered()
    made["splits"]["train"] = {
        "num_documents": 10**13, "num_bytes": 10**16, "num_chars": 3 * 10**15,
    }  # fmt: skip
    made["hosts"] = [
        {"host": "長" * 300, "documents": 1, "num_bytes": 10**15, "left_out": 10**12}
    ] * 50
    made["kept"] = [sample(title="題" * 10**5, url="h" * 10**6)] * 12
    made["left_out"] = [
        sample(stage="filter", reasons=[rule], excerpt="\x01" * 300, license="x" * 10**6)
        for rule in filters.RULES
        for _ in range(5)
    ]
    page = report.page(made)
    assert len(page.encode()) < 1_000_000
    assert "10,000,000,000,000" in page and "10.0 PB" in page and "3,000 兆" in page


def test_a_document_without_an_address_or_title_is_shown():
    bare = sample(title="", url="", source="", license="", id="x-1")
    text = words(report.page(gathered(kept=[bare], clusters=[[bare, bare]])))
    assert "900 字 characters" in text and "1. x-1" in text


def test_clusters_say_which_text_is_kept():
    text = words(report.page(gathered()))
    part = text[text.index("重複 Duplicates") :]
    assert part.count("採用 kept") == 1 and part.count("除外 left out") >= 1
    kept = gathered()
    kept["recipe"]["keep_near_duplicates"] = True
    text = words(report.page(kept))
    assert text[text.index("重複 Duplicates") :].count("採用 kept") == 2


def test_cluster_sizes_go_by_ranges_that_meet():
    ranges = sorted({breakdowns._size_bin(size) for size in range(2, 30_000)})
    assert ranges[:6] == [(2, 2), (3, 3), (4, 4), (5, 9), (10, 19), (20, 49)]
    assert all(one[1] + 1 == other[0] for one, other in itertools.pairwise(ranges))
    assert all(low <= 7 * 10**9 <= high for low, high in [breakdowns._size_bin(7 * 10**9)])
    text = words(report.page(gathered()))
    assert "2 30 60 10–19 3 51 合計 total 33 111" in text


def test_shortened_text_is_short_and_keeps_both_ends():
    assert exhibits.short("a" * 100 + "z", 30).endswith("az")
    assert len(exhibits.short("語 " * 10**6, 30)) <= 30
    assert exhibits.short(" 一\n\t行 ") == "一 行"


def test_every_name_has_a_word():
    assert tuple(terms.STAGES) == account.STAGES
    assert [name for name in scores.NAMES if terms.score(name) == name] == []
    assert [rule for rule in filters.RULES if not terms.reason(rule)] == []


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (999_600, "1.00 MB"), (10**13, "10.0 TB")],
)
def test_sizes_take_the_unit_that_fits(value, shown):
    assert report._scaled(value, report._BYTE_UNITS) == shown
