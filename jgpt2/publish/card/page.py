"""README.md of a card: the hub's metadata, then the whole card in Japanese and in English.

Both languages are rendered by the same functions from the same record, each phrase written beside
its translation, so that neither can say less than the other. What the record lacks is "unknown".
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from jgpt2 import table
from jgpt2.publish.card import hub_metadata, page_data, page_figures
from jgpt2.publish.card.language import Language
from jgpt2.publish.card.markdown import Code, link, listing, points, table_of, text

Record = Mapping[str, Any]


def render(record: Record) -> str:
    """The whole README.md; the same record gives the same bytes."""
    parts = [
        hub_metadata.front_matter(record),
        f"# {text(record['identity']['name'])}",
        "[日本語](#日本語) · [English](#english)",
        *_card(record, Language.JA),
        *_card(record, Language.EN),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _card(record: Record, say: Language) -> list[str]:
    """The card in one language."""
    sections = [
        (("概要", "Overview"), _overview(record, say)),
        (("使い方", "How to use it"), _usage(record, say)),
        (("用途と限界", "Uses and limits"), _use(record["use"], say)),
        (("データ", "Data"), page_data.blocks(record["data"], say)),
        (("学習", "Training"), page_figures.training(record, say)),
        (("評価", "Evaluation"), page_figures.evaluation(record["evaluation"], say)),
        (("安全性", "Safety"), page_figures.safety(record["safety"], say)),
        (("電力", "Energy"), page_figures.energy(record["energy"], say)),
        (("来歴", "Provenance"), _provenance(record, say)),
        (("公開の段階と変更履歴", "Stage and change log"), _stage(record["stage"], say)),
        (("連絡先", "Contact"), _contact(record["contact"], say)),
    ]
    blocks = [f"## {say('日本語', 'English')}"]
    for heading, section in sections:
        blocks += [f"### {say(*heading)}", *section]
    return blocks


def _overview(record: Record, say: Language) -> list[str]:
    identity = record["identity"]
    of = identity["licenses"]
    weights = " ".join(filter(None, (of["weights"], of["weights_name"], of["weights_link"])))
    rows: list[Sequence[table.Value]] = [
        (say("種類", "type"), say("GPT-2(因果言語モデル)、日本語", "GPT-2 (causal LM), Japanese")),
        (say("大きさの名前", "names of the size"), " = ".join(identity["sizes"]) or say.none),
        (say("パラメータ数", "parameters"), identity["parameters"]),
        (
            say("うち埋め込み", "of these, embeddings"),
            f"{identity['embedding_parameters']:,} ({identity['embedding_share']:.1%})",
        ),
        (
            say("層 × 幅 × ヘッド", "layers × width × heads"),
            f"{identity['layers']} × {identity['width']} × {identity['heads']}",
        ),
        (say("文脈長(トークン)", "context (tokens)"), identity["context"]),
        (
            say("語彙", "vocabulary"),
            f"{identity['vocab_size']:,} ({identity['vocabulary']['name']}, "
            f"{identity['vocabulary']['kind']})",
        ),
        (say("重みの型", "type of the weights"), identity["stored_dtype"]),
        (say("ステップ", "step"), identity["step"]),
        (say("書き出した日時", "exported"), identity["created"]),
        (say("重みのライセンス", "licence of the weights"), weights or say.unknown),
        (say("コードのライセンス", "licence of the code"), of["code"] or say.unknown),
        (
            say("データのライセンス", "licences of the data"),
            ", ".join(say.unknown if one == "unknown" else one for one in of["data"])
            or say.unknown,
        ),
    ]
    return [table_of(("", ""), rows)]


def _usage(record: Record, say: Language) -> list[str]:
    name = json.dumps(record["identity"]["name"], ensure_ascii=False)
    lines = (
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        f"tokenizer = AutoTokenizer.from_pretrained({name})",
        f"model = AutoModelForCausalLM.from_pretrained({name})",
        'inputs = tokenizer("港の朝は、", return_tensors="pt")',
        "print(tokenizer.decode(model.generate(**inputs, max_new_tokens=50)[0]))",
    )
    note = say(
        "リモートコードは要りません。生成した文章を人に見せるときは、機械が書いたと明記してください。",
        "No remote code is needed. Say that a machine wrote it when you show generated text.",
    )
    return [listing(lines, "python"), note]


def _use(use: Record, say: Language) -> list[str]:
    named = (
        ("intended", ("想定する用途", "Intended use")),
        ("out_of_scope", ("向かない用途", "Out of scope")),
        ("misuse", ("悪用のおそれ", "Misuse")),
        ("limitations", ("限界と偏り", "Limitations and biases")),
    )
    blocks: list[str] = []
    for key, heading in named:
        blocks += [f"#### {say(*heading)}", points(say.of(use[key])) or say.unknown]
    return blocks


def _provenance(record: Record, say: Language) -> list[str]:
    told = record["provenance"]
    rows = [
        (role, Code(fingerprint) if fingerprint else say.unknown)
        for role, fingerprint in told["fingerprints"].items()
    ]
    source = told["source"] or {}
    for name, entry in source.get("source_files", {}).items():
        rows.append((f"source {name}", Code(entry["sha256"])))
    if source:
        stated = str(source.get("license") or say.unknown)
        rows.append((say("元のモデルが示すライセンス", "licence that the source states"), stated))
    seed = say.unknown if told["seed"] is None else str(told["seed"])
    rows += [
        (say("乱数の種", "seed"), seed),
        (say("元のモデル", "base model"), told["base_model"] or say.none),
        (say("学習時のコード", "code of the training"), Code(told["code_version"])),
        (say("書き出し時のコード", "code of the export"), Code(record["identity"]["code_version"])),
    ]
    files = [(Code(name), Code(digest)) for name, digest in told["files"].items()]
    return [
        say("元となったものの指紋(SHA-256):", "Fingerprints (SHA-256) of what it was made from:"),
        table_of((say("役割", "role"), say("指紋", "fingerprint")), rows),
        say("同じものを作るコマンド:", "Commands that make the same again:"),
        listing(told["commands"]),
        say(
            "ファイルのSHA-256(全体は `manifest.json`):",
            "SHA-256 of the files (`manifest.json` has all):",
        ),
        table_of((say("ファイル", "file"), "SHA-256"), files),
    ]


def _stage(stage: Record, say: Language) -> list[str]:
    changes = [(one["date"], say.of(one)) for one in stage["changes"]]
    return [
        f"{say('段階', 'Stage')}: {text(stage['name']) or say.unknown}",
        table_of((say("日付", "date"), say("変更", "change")), changes) if changes else say.none,
    ]


def _contact(contact: Record, say: Language) -> list[str]:
    named = (
        ("questions", ("問い合わせ", "Questions")),
        ("opt_out", ("学習データからの削除の依頼", "To have text left out of the data")),
    )
    lines = [f"- {say(*words)}: {link(contact[key]) or say.unknown}" for key, words in named]
    return ["\n".join(lines)]
