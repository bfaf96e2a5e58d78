"""Words that tell of advertisement, boards and comment forms, and adult pages: rates of each.

The lists are our own, short, and only of terms that rarely stand in other text. There is no list
for discrimination or violence: such words stand in novels, history, court reports and in texts
against them as often as in attacks, so that a list drops the wrong documents.
"""

import itertools
import re
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from jgpt2.corpus.quality import letters

ADVERTISEMENT = (
    "送料無料", "送料込", "今すぐ購入", "ご購入は", "ご注文", "カートに入れる", "カートに追加",
    "買い物かご", "お買い得", "激安", "最安値", "格安", "在庫あり", "在庫切れ", "入荷", "即納",
    "税込", "税抜", "割引", "クーポン", "ポイント還元", "キャンペーン", "期間限定", "セール",
    "お問い合わせ", "お問合せ", "資料請求", "無料相談", "無料体験", "無料登録", "会員登録",
    "今すぐクリック", "詳しくはこちら", "お申し込み", "お申込み", "営業時間", "定休日",
    "フリーダイヤル", "代引", "返品", "楽天市場", "アフィリエイト", "高収入", "副業", "審査なし",
    "即日融資", "キャッシング", "買取価格", "高価買取", "口コミ",
)  # fmt: skip

FORUM = (
    "コメントを投稿", "コメントする", "コメントを書く", "コメントを残す", "この記事へのコメント",
    "コメント(", "コメント：", "トラックバック", "投稿日", "投稿者", "投稿する", "返信する",
    "名無し", "無断転載禁止", "スレッド", "スレ主", "レスを", "違反を報告", "通報する",
    "ベストアンサー", "質問者", "回答者", "ページトップ", "トップページ", "前の記事", "次の記事",
    "前のページ", "次のページ", "続きを読む", "もっと見る", "人気記事", "新着記事", "関連記事",
    "カテゴリー一覧", "ログインして", "ログアウト", "会員専用", "シェアする", "ツイートする",
    "ブックマークに追加", "Powered by", "All Rights Reserved",
)  # fmt: skip

ADULT = (
    "エロ動画", "エロ画像", "エロい", "エロ漫画", "アダルト動画", "アダルトビデオ",
    "アダルトサイト", "無修正", "中出し", "ハメ撮り", "フェラチオ", "フェラ抜き", "手コキ",
    "パイズリ", "顔射", "巨乳", "爆乳", "美乳", "痴女", "素人娘", "熟女", "人妻", "ヤリマン",
    "セフレ", "セックスフレンド", "出会い系", "逆援助", "援助交際", "援交", "デリヘル",
    "ソープランド", "風俗嬢", "風俗店", "ピンサロ", "AV女優", "潮吹き", "オナニー", "巨根",
    "おまんこ", "マンコ", "ちんぽ", "チンポ", "バイブ責め", "盗撮動画", "童貞卒業", "レイプもの",
)  # fmt: skip

RATES = {
    "advertisement_rate": ADVERTISEMENT,
    "forum_rate": FORUM,
    "adult_rate": ADULT,
}

_ROWS = {word: row for row, words in enumerate(RATES.values()) for word in words}
_FORUM_ROW = list(RATES).index("forum_rate")


def _alternatives(plain: Iterable[str]) -> Iterator[str]:
    """Patterns of words grouped by their first letter, the longer of two that begin alike first."""
    for first, group in itertools.groupby(sorted(plain), key=lambda word: word[0]):
        rests = sorted((word[1:] for word in group), key=len, reverse=True)
        yield f"{re.escape(first)}(?:{'|'.join(map(re.escape, rests))})"


_DATE = "[12][0-9]{3}[年/.-] ?[0-9]{1,2}[月/.-] ?[0-9]{1,2}"
_FOUND = re.compile("|".join([*_alternatives(_ROWS), _DATE]))
_NUM_MARKS = 32


def _marks() -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """For each letter, bits of the words that begin with it, and of those whose second it is.

    32 bits are shared by all first letters, so a pair with a bit in common may still begin none.
    """
    tables = np.zeros((2, 1 << 16), np.uint32)
    pairs = {word[:2] for word in _ROWS} | {a + b for a in "12" for b in "0123456789"}
    for number, first in enumerate(sorted({pair[0] for pair in pairs})):
        mark = 1 << number % _NUM_MARKS
        tables[0, ord(first)] |= mark
        for pair in pairs:
            if pair[0] == first:
                tables[1, ord(pair[1])] |= mark
    tables.flags.writeable = False
    return tables[0], tables[1]


_FIRST, _SECOND = _marks()


def measure(joined: letters.Joined, num_letters: letters.Counts) -> dict[str, NDArray[np.float64]]:
    """Words of each list per 1,000 letters; dates in digits, which boards repeat, count as FORUM.

    At each place the longest word counts, and words do not overlap. The regular expression is
    tried only at places whose first two letters may begin a word: it is slow to find them.

    >>> shop = letters.join(["送料無料! 2026/07/01 お買い得"])
    >>> {score: rates.tolist() for score, rates in measure(shop, np.array([100])).items()}
    {'advertisement_rate': [20.0], 'forum_rate': [10.0], 'adult_rate': [0.0]}
    """
    counts = np.zeros((len(RATES), len(num_letters)), np.int64)
    # "clip" makes all above U+FFFF one letter, U+FFFF, which begins no word.
    begins = _FIRST.take(joined.codes[:-1], mode="clip")
    begins &= _SECOND.take(joined.codes[1:], mode="clip")
    stop = 0
    for place in begins.nonzero()[0].tolist():
        if place >= stop and (found := _FOUND.match(joined.text, place)):
            stop = found.end()
            counts[_ROWS.get(found[0], _FORUM_ROW), joined.owners[place]] += 1
    rates = 1000 * counts / np.maximum(num_letters, 1)
    return dict(zip(RATES, rates, strict=True))
