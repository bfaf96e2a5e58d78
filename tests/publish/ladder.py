"""A ladder of four toy stages: small folders of kind export, each with what a card would say."""

import datetime
import json

from jgpt2 import manifest

NAMES = ("small", "medium", "large", "xl")
START = datetime.datetime(2026, 2, 14, 9, tzinfo=datetime.UTC)
MEASURED = {"source": "x.json (SHA-256 0)", "command": "jgpt2 x", "figures": {"n": 10, "rate": 0}}
CARD = {
    "identity": {"licenses": {"weights": "apache-2.0", "code": "MIT", "data": ["CC-BY-4.0"]}},
    "data": {"statement": {"ja": "青空文庫から。", "en": "From Aozora Bunko."}},
    "evaluation": {
        "results": [
            {"metric": "bits_per_byte", "value": 2.5, "dataset": "ja", "split": "validation"},
            {"metric": "bits_per_byte", "value": 2.6, "dataset": "ja", "split": "test", "n": 3}
            | {"command": "jgpt2 evaluate runs/x --dataset data/ja"},
        ]
    },
    "safety": dict.fromkeys(("detector", "bias", "memorisation"), MEASURED),
}


def days(number):
    """The clock so many days after the start."""
    return START + datetime.timedelta(days=number)


def export(folder, card=CARD):
    """A folder that its manifest proves, with a file in a subfolder as well."""
    content = {
        "model.safetensors": folder.name,
        "run/config.json": "{}",
        "card.json": json.dumps(card, ensure_ascii=False),
        "README.md": "# カード\n",
    }
    for name, text in content.items():
        manifest.write_text(folder / name, text)
    return manifest.write(
        folder, kind="export", name=folder.name, identity={"step": 1}, parents={}, files=content
    )


REVIEW = {"replication": "誰でも作れる。", "misuse": "探したが、なかった。", "partners": "なし。"}


def stage(name, review=REVIEW, **more):
    """The lines of one stage."""
    lines = ["[[stage]]", f'name = "{name}"', f'export = "exports/{name}"']
    lines += [f"{key} = {value}" for key, value in more.items()]
    answers = [f'{key} = "{value}"' for key, value in review.items()]
    return "\n".join([*lines, "[stage.review]", *answers, ""])


def waiver(name, gate, reason="この章では問わない", by="山田", date="2026-02-14"):
    """The lines of one waiver."""
    texts = {"stage": name, "gate": gate, "reason": reason, "by": by}
    lines = [f'{key} = "{value}"' for key, value in texts.items()]
    return "\n".join(["[[waiver]]", *lines, f"date = {date}", ""])


def write(folder, *sections):
    """The policy file made of these lines."""
    path = folder / "policy.toml"
    path.write_text("\n".join(sections), "utf-8")
    return path


def full(folder, cool_off_days=30):
    """Policy and exports of all four stages; only the card's own check is waived."""
    for name in NAMES:
        export(folder / "exports" / name)
    later = [stage(name, cool_off_days=cool_off_days) for name in NAMES[1:]]
    return write(folder, stage("small"), *later, *(waiver(name, "card") for name in NAMES))
