"""Japanese words for the names in an account: stages, reasons, scores, rules, masks.

`accounting.report` shows them beside the names themselves, by which thresholds and rules are set.
"""

import re
from collections.abc import Mapping

STAGES: Mapping[str, tuple[str, str]] = {
    "read": ("読み込み", "ファイルから記録を一件ずつ取り出す。"),
    "decode": ("文字コード", "バイト列から文字コードを判定し、文字にする。"),
    "robots": ("拒否の表示", "収集や学習を断る robots の指定に従う(HTML と WET のみ)。"),
    "japanese": ("日本語判定", "仮名の量で日本語かどうかを見る(HTML と WET のみ)。"),
    "extract": ("本文抽出", "広告や目次を除き、本文を取り出す。青空文庫は注記を整理する。"),
    "normalise": ("正規化", "表記をそろえ、個人情報を伏せる。"),
    "score": ("採点", "長さや繰り返しなどの指標を測る。"),
    "removal": ("削除依頼", "依頼のあったホスト・URL・文書を除く。"),
    "license": ("ライセンス", "指定したライセンスの文書だけを通す。"),
    "filter": ("しきい値", "指標がしきい値を外れた文書を除く。"),
    "exact duplicate": ("完全な重複", "空白を除いて同じ文書を一つにする。"),
    "near-duplicate": ("近似重複", "よく似た文書の中から一つを残す。"),
}
"""Of each stage of `account.STAGES` a short name, and what it does."""

_REASONS: Mapping[str, str] = {
    "asked to be removed": "削除依頼",
    "broken bzip2": "bzip2 の破損",
    "broken content encoding": "転送時の圧縮の破損",
    "broken file": "ファイルの破損",
    "broken gzip": "gzip の破損",
    "broken parquet": "parquet の破損",
    "broken WARC": "WARC の破損",
    "broken zip": "zip の破損",
    "broken zstd": "zstd の破損",
    "copy of a removed document": "削除依頼のあった文書の写し",
    "exact duplicate": "完全な重複",
    "field not a string": "文字列でない項目",
    "near-duplicate": "近似重複",
    "no HTTP response": "HTTP の応答がない",
    "no main text": "本文がない",
    "no text": "テキストがない",
    "noai": "AI への利用の拒否",
    "noindex": "収集の拒否",
    "none": "収集の拒否",
    "not HTML or text": "HTML でもテキストでもない",
    "not Japanese": "日本語でない",
    "not JSON": "JSON でない",
    "not UTF-8": "UTF-8 でない",
    "status not 200": "HTTP の応答が 200 でない",
    "tdm-reservation": "データ解析の権利の留保",
    "too long": "長すぎる記録",
    "unknown charset": "文字コードが不明",
    "unpaired surrogate": "対をなさないサロゲート",
    "zip bomb": "異常に膨らむ zip",
    "zip of too many members": "中身の数が多すぎる zip",
}

_SCORES: Mapping[str, str] = {
    "letters": "文字数(空白を除く)",
    "japanese_letters": "日本語の文字数",
    "japanese_share": "日本語の文字の割合",
    "hiragana_share": "ひらがなの割合",
    "katakana_share": "カタカナの割合",
    "mean_sentence_chars": "文の平均の長さ",
    "longest_sentence_chars": "最も長い文の長さ",
    "ellipsis_share": "省略記号で終わる行の割合",
    "short_line_share": "短い行の割合",
    "duplicate_line_share": "重複する行の割合",
    "duplicate_line_chars_share": "重複する行の文字の割合",
    "duplicate_sentence_share": "重複する文の割合",
    "duplicate_sentence_chars_share": "重複する文の文字の割合",
    "longest_run": "同じ文字の連続の長さ",
    "repeated_5gram_share": "頻出する 5-gram の割合",
    "deflate_ratio": "圧縮後の大きさの比",
    "advertisement_rate": "広告の語(千字あたり)",
    "forum_rate": "掲示板の語(千字あたり)",
    "adult_rate": "成人向けの語(千字あたり)",
    "link_share": "リンク内の文字の割合",
}
_NGRAMS = re.compile(r"(top|duplicate)_([0-9]+)gram_share")

RULES: Mapping[str, str] = {
    "controls": "制御文字の削除",
    "invisible": "見えない文字の削除",
    "line_ends": "改行の統一",
    "spaces": "特殊な空白を半角空白に",
    "space_mark": "▁ を _ に",
    "wave_dash": "波ダッシュの統一",
    "minus": "負号の統一",
    "signs": "￠￡￢ の統一",
    "kana_marks": "濁点・半濁点の合成",
    "nfkc": "Unicode NFKC",
    "trailing_spaces": "行末の空白の削除",
    "blank_lines": "空行を二行までに",
}
"""Of each rule of `cleaning.normalise`."""

MASKS: Mapping[str, str] = {
    "email": "メールアドレス",
    "phone": "電話番号",
    "url": "URL",
    "date": "日付",
    "price": "金額",
}
"""Of each mask of `cleaning.mask`."""

KINDS: Mapping[str, str] = {
    "html": "ウェブページ",
    "wet": "抽出済みのウェブ文書",
    "text": "テキストファイル",
    "aozora": "青空文庫",
    "record": "JSONL・parquet の記録",
}
"""Of each kind of record."""

SPLITS: Mapping[str, str] = {"train": "学習用", "validation": "検証用", "test": "テスト用"}


def stage(name: str) -> str:
    """A stage's names in both languages.

    >>> stage("robots")
    '拒否の表示 robots'
    """
    return f"{STAGES[name][0]} {name}"


def score(name: str) -> str:
    """A score's Japanese name; its own name where there is none.

    >>> score("link_share"), score("top_2gram_share")
    ('リンク内の文字の割合', '最も多い 2-gram の割合')
    """
    if found := _NGRAMS.fullmatch(name):
        return f"{'最も多い' if found[1] == 'top' else '重複する'} {found[2]}-gram の割合"
    return _SCORES.get(name, name)


def bound(rule: str) -> tuple[str, bool] | None:
    """The score that a threshold bounds, and whether from above; None if it is no threshold.

    >>> bound("max_link_share"), bound("min_letters"), bound("noindex")
    (('link_share', True), ('letters', False), None)
    """
    side, _, name = rule.partition("_")
    return (name, side == "max") if side in ("min", "max") and name else None


def reason(name: str) -> str:
    """A reason in Japanese; empty for one that has no name there, as a licence.

    >>> reason("max_link_share"), reason("not Japanese"), reason("license: GPL-3.0")
    ('リンク内の文字の割合が上限を超える', '日本語でない', '対象外のライセンス')
    """
    if limit := bound(name):
        score_name, is_highest = limit
        side = "上限を超える" if is_highest else "下限に満たない"
        return f"{score(score_name)}が{side}"
    if name.startswith("license: "):
        return "対象外のライセンス"
    return _REASONS.get(name, "")
