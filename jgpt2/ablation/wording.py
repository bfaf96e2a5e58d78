"""The sentences of a study, in Japanese and in English, from one record."""

from typing import Any, NamedTuple

CONTROLS = {
    "iso_flop": ("学習の計算量を等しく", "equal training FLOPs"),
    "iso_byte": ("同じ文書を同じ順に", "the same documents in the same order"),
    "iso_parameter": ("パラメータの総数を等しく", "equal parameters in all"),
}
TIES = {
    "forward_flops_per_char": ("一文字あたりの計算量", "forward FLOPs per character"),
    "vocab_size": ("語彙の大きさ", "size of the vocabulary"),
    "kv_cache_bytes_per_1000_chars": ("文字あたりのKVキャッシュ", "KV cache per character"),
}


class Both(NamedTuple):
    """One statement in two languages."""

    ja: str
    en: str


def verdict(record: dict[str, Any]) -> Both:
    """The answer in one sentence: which vocabulary, by how much, how sure."""
    decision = record["decision"]
    best, second = decision["ranking"][0], next(iter(decision["ranking"][1:]), None)
    bits = bits_of(record, decision)
    if second is None:
        return Both(
            f"{best}: {bits[best]:.4f} ビット/バイト(比べる相手がありません)。",
            f"{best}: {bits[best]:.4f} bits per byte; there is no other arm to compare it with.",
        )
    interval = between(record, best, second, decision["control"])
    if interval is None:
        return Both(
            f"差の確かさは分かりません(種が一つです)。"
            f"最小は {best} の {bits[best]:.4f} ビット/バイト、"
            f"次は {second} の {bits[second]:.4f} です。",
            f"How sure the difference is cannot be said (one seed). Least: {best}, "
            f"{bits[best]:.4f} bits per byte; next {second}, {bits[second]:.4f}.",
        )
    if not decision["tied"]:
        low, high = interval
        less = bits[second] - bits[best]
        return Both(
            f"{best} が最良です: {bits[best]:.4f} ビット/バイト。"
            f"次の {second} ({bits[second]:.4f}) より {less:.4f} 小さく、"
            f"区間は [{low:.4f}, {high:.4f}] です(小さいほどよい)。",
            f"{best} is best: {bits[best]:.4f} bits per byte, {less:.4f} less than {second} "
            f"({bits[second]:.4f}), interval [{low:.4f}, {high:.4f}]; lower is better.",
        )
    names, chosen = ", ".join([best, *decision["tied"]]), decision["chosen"]
    tie = TIES[record["plan"]["study"]["decision"]["tie"]]
    return Both(
        f"引き分けです: {names} の差は、この規模では区別できません"
        f"(最小は {best} の {bits[best]:.4f} ビット/バイト)。"
        f"事前に決めた規則({tie[0]}が最小のもの)により {chosen} を選びます。",
        f"A tie: {names} cannot be told apart at this scale (least: {best}, {bits[best]:.4f} bits "
        f"per byte). By the rule set before the runs (least {tie[1]}) {chosen} is chosen.",
    )


def rule(record: dict[str, Any]) -> Both:
    """How one vocabulary is chosen, as the plan has it."""
    study = record["plan"]["study"]
    body, tie = study["decision"]["body"], TIES[study["decision"]["tie"]]
    held = CONTROLS[study["controls"][0]]
    return Both(
        f"規則(学習の前に書かれたもの): 本体 {body or '最大のもの'} の腕を"
        f"「{held[0]}」の条件で比べ、"
        f"ビット/バイトが最小のものを選ぶ。区別できないときは{tie[0]}が最小のものを選ぶ。",
        f"The rule, written before the runs: of the arms of the body {body or '(the largest)'} at "
        f"{held[1]}, the one with the fewest bits per byte; of those that cannot be told from it, "
        f"the one with the least {tie[1]}.",
    )


def between(
    record: dict[str, Any], better: str, worse: str, control: str
) -> tuple[float, float] | None:
    """The interval of bits per byte of `worse` less those of `better`, where there is one."""
    for row in record["comparisons"]:
        if row["control"] == control and set(row["arms"]) == {better, worse}:
            low, high = row["low"], row["high"]
            if low is None:
                return None
            return (low, high) if row["arms"] == [worse, better] else (-high, -low)
    return None


def scale(record: dict[str, Any]) -> Both:
    """What the verdict speaks for, and how it was reached."""
    study, decision = record["plan"]["study"], record["decision"]
    arms = [row for row in record["arms"] if row["body"] == decision["body"]]
    body = arms[0]["body_parameters"]
    evaluated = record["evaluated"]
    held = CONTROLS[decision["control"]]
    seeds = len(study["seeds"])
    return Both(
        f"本体 {body:,} パラメータ({decision['body']})、{held[0]}、種 {seeds} 個、"
        f"評価用の文書 {evaluated['num_documents']:,} 件"
        f"({evaluated['num_bytes']:,} バイト)での結果です。"
        "この規模を越えて言えることは「予測」の節だけです。",
        f"Of bodies of {body:,} parameters ({decision['body']}) at {held[1]}, {seeds} seed"
        f"{'s' if seeds > 1 else ''}, on {evaluated['num_documents']:,} held-out documents "
        f"({evaluated['num_bytes']:,} bytes). Beyond this scale only the prediction speaks.",
    )


def prediction(record: dict[str, Any]) -> list[Both]:
    """What the fit says of sizes that were not trained, beside the published law."""
    predicted = record["prediction"]
    if predicted["reason"] is not None:
        return [_no_prediction(predicted["reason"])]
    said = []
    for size, target in predicted["targets"].items():
        found = target["vocab_size"]
        low, high = target["low"], target["high"]
        published = target["published"]
        beside_ja = beside_en = ""
        if published:
            shown = " – ".join(f"{value:,.0f}" for value in published)
            beside_ja = f"公表された法則(Tao ら 2024、英語)は {shown} です。"
            beside_en = f" The published law (Tao et al. 2024, English): {shown}."
        if low is None or high is None:
            interval_ja, interval_en = "区間は定まりません", "no interval can be given"
        else:
            interval_ja = f"区間 {low:,.0f} – {high:,.0f}"
            interval_en = f"interval {low:,.0f} – {high:,.0f}"
        label_ja = f"(外挿、{target['factor']:,.0f}倍)" if target["is_extrapolated"] else ""
        label_en = (
            f" (extrapolated {target['factor']:,.0f} times)" if target["is_extrapolated"] else ""
        )
        said.append(
            Both(
                f"{size}{label_ja}: 最良の語彙は約 {found:,.0f}、{interval_ja}。{beside_ja}",
                f"{size}{label_en}: the best vocabulary is about {found:,.0f}, {interval_en}."
                f"{beside_en}",
            )
        )
    return said


CAVEATS = (
    Both(
        "ビット/バイトは、EOTも含めた全トークンのビット数を、文書そのもののUTF-8バイト数で割った値です。"
        "一つの分割だけで数えるので、真の値の上限です(分割を標本抽出して差を見積もりました)。",
        "Bits per byte are those of all tokens and of EOT over the UTF-8 bytes of the text. One "
        "segmentation is counted, so they bound the true figure from above; the gap is estimated "
        "by sampling segmentations.",
    ),
    Both(
        "区間と判定は、文書を対にしたブートストラップと種の間のばらつきによります。同じ比較の組の中でHolmの補正をしています。"
        "評価文書が変われば値も変わります。",
        "Intervals and verdicts come from a bootstrap paired over documents and from the variance "
        "between seeds, corrected within each family of comparisons (Holm). Other documents would "
        "give other figures.",
    ),
    Both(
        "学習率は腕ごとの小さな探索か、計画に書いた値です。それ以外の設定は全部の腕で同じです。",
        "The learning rate is of a small sweep for each arm, or as the plan says; all else is the "
        "same for all arms.",
    ),
)


def _no_prediction(reason: dict[str, Any]) -> Both:
    if reason["lacks"] == "bodies":
        return Both(
            f"予測はできません: 本体が {reason['found']} 種しかありません(3種から)。",
            f"No prediction: {reason['found']} bodies, and a trend takes three.",
        )
    if reason["lacks"] == "vocabularies":
        return Both(
            f"予測はできません: 本体 {reason['body']} の語彙が "
            f"{reason['found']} 種だけです(3種から)。",
            f"No prediction: the body {reason['body']} has {reason['found']} vocabularies, and a "
            "curve takes three.",
        )
    return Both(
        f"予測はできません: 本体 {reason['body']} の曲線に谷がありません。",
        f"No prediction: the curve of the body {reason['body']} has no valley.",
    )


def bits_of(record: dict[str, Any], decision: dict[str, Any]) -> dict[str, float]:
    """Arm -> bits per byte, of the arms that a decision is about."""
    return {
        row["arm"]: row["bits_per_byte"]
        for row in record["arms"]
        if (row["control"], row["body"]) == (decision["control"], decision["body"])
    }
