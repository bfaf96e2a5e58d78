"""A small vocabulary of each kind, trained once on sentences written for these tests."""

from pathlib import Path

import pytest

from jgpt2.tokenizer import base, load, train

VOCAB_SIZE = 540

TEXTS = (
    "朝の光が窓から入ってくる。猫は椅子の上で丸くなって、まだ眠っている。",
    "駅前の小さなパン屋は、朝の七時に店を開ける。焼きたてのパンの香りが通りに広がる。",
    "「今日は雨が降るらしいよ」と彼女は言った。「傘を持っていったほうがいい」\n「そうするよ」",
    "山の上から町を見下ろすと、川が銀色の線のように光っていた。",
    "データを読み込むときは、まずファイルの文字コードを確認してください。\n\t次に行数を数えます。",
    "東京から京都までは、新幹線で二時間と少しかかる。2026年の夏、私は三回乗った。",
    "祖母の家の庭には、大きな柿の木があった。秋になると、毎年たくさんの実がなった。",
    "プログラムは動いているが、結果が正しいとは限らない。だからテストを書くのだ。",
    "冬の海は静かだった。波の音だけが、遠くから聞こえてきた。",
    "料理の本には、塩を少々と書いてある。少々とは、どのくらいの量なのだろうか。",
    "The model is small. It runs on a laptop, and the test takes a second.",
    "図書館で借りた本を、返す日を忘れていた。司書の人は笑って許してくれた。",
    "電車の中で、子どもが窓の外を指さして「見て、富士山！」と言った。みんなが笑った。",
    "言葉を数えるのは難しい。日本語には、言葉と言葉の間に空白がないからだ。",
    "夜になると、町の灯りが一つずつ消えていく。猫だけがまだ起きている。",
    "彼は毎朝、同じ道を歩いて会社へ行く。同じ時間に、同じ犬とすれ違う。",
    "  字下げのある行。　全角の空白もある。１２３と123は別の数字である。",
    "雪が降ると、山の学校は休みになる。子どもたちは朝から外で遊んでいる。",
    "バイトごとに一つの番号を使うと、一文字に三つの番号がいる。",
    "この町の秋祭りでは、太鼓の音が夜まで聞こえる。祖父は昔、太鼓をたたいていた。",
    "窓を開けると、風が入ってきた。机の上の紙が、床に落ちた。\n\nそれでも彼は本を読んでいた。",
    "パンを二つ、牛乳を一本、卵を十個。買い物の紙には、それだけ書いてあった。",
    "正しい答えは一つとは限らない。大切なのは、どうしてそう考えたのかを言葉にすることだ。",
    "川の水は冷たく、夏でも長くは入っていられない。石の下には小さな魚がいる。",
)


@pytest.fixture(scope="session")
def texts() -> tuple[str, ...]:
    return TEXTS


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("tokenizers")
    documents = [("test", text) for text in TEXTS]
    for kind in train.KINDS:
        size = None if kind == "byte" else VOCAB_SIZE
        train.train(documents, root / kind, name=kind, kind=kind, vocab_size=size)
    return {kind: root / kind for kind in train.KINDS}


@pytest.fixture(scope="session")
def tokenizers(folders: dict[str, Path]) -> dict[str, base.Tokenizer]:
    return {kind: load.load(folder) for kind, folder in folders.items()}
