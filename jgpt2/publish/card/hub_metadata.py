"""The hub's metadata: the YAML at the head of README.md, from the record of a card.

Keys are those of the Hugging Face hub's model cards; results stand in `model-index`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from jgpt2.publish.card import markdown

_TASK = {"type": "text-generation", "name": "Language modelling"}
_NAMES = {"bits_per_byte": "Bits per UTF-8 byte", "bits_per_char": "Bits per character"}
_FENCE = "---\n"


def metadata(record: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of a card; what is not known has no key."""
    licenses = record["identity"]["licenses"]
    results = [row for row in record["evaluation"]["results"] if _is_result(row)]
    emissions = _emissions(record)
    base_model, datasets = record["provenance"]["base_model"], record["data"]["hub_ids"]
    made = {
        "language": ["ja"],
        "license": licenses["weights"].strip().lower(),
        "license_name": licenses["weights_name"],
        "license_link": licenses["weights_link"],
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["gpt2", "japanese", "jgpt2", record["identity"]["vocabulary"]["kind"]],
        "base_model": base_model,
        "datasets": datasets,
        "metrics": sorted({row["metric"] for row in results}),
        "co2_eq_emissions": emissions,
        "model-index": _model_index(record["identity"]["name"], results),
    }
    return {key: _plain(value) for key, value in made.items() if value}


def front_matter(record: Mapping[str, Any]) -> str:
    """The metadata as the block that a README.md starts with."""
    dumped = yaml.safe_dump(metadata(record), allow_unicode=True, sort_keys=False, width=100)
    return f"{_FENCE}{dumped}---"


def parse(readme: str) -> dict[str, Any]:
    """The metadata of a README.md. Raises ValueError saying what is wrong with it."""
    head, _, rest = readme.partition("\n")
    block, end, _ = rest.partition(f"\n{_FENCE}")
    if head != _FENCE.strip() or not end:
        raise ValueError("it has no block between two lines of ---")
    try:
        found = yaml.safe_load(block)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    if not isinstance(found, dict):
        raise ValueError("it is no mapping")
    return found


def _is_result(row: Mapping[str, Any]) -> bool:
    """Whether a figure is of the model as a whole, and has what the hub asks of a result."""
    named = row["metric"] and row["dataset"] and row["value"] is not None
    return bool(named) and row["by"] == "model" and row["part"] is None


def _model_index(name: str, results: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One entry for each dataset and split, with all that was measured there."""
    grouped: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in results:
        dataset = {"type": row["dataset"], "name": row["dataset"]}
        dataset |= {key: row[key] for key in ("split", "revision") if row[key]}
        entry = {"task": dict(_TASK), "dataset": dataset, "metrics": []}
        metric = {"type": row["metric"], "value": row["value"]}
        metric["name"] = _NAMES.get(row["metric"], row["metric"])
        grouped.setdefault(tuple(dataset.values()), entry)["metrics"].append(metric)
    return [{"name": name, "results": list(grouped.values())}] if grouped else []


def _emissions(record: Mapping[str, Any]) -> dict[str, Any] | None:
    energy = record["energy"]
    if not energy["grams"]:
        return None
    is_tuned = bool(record["provenance"]["base"])
    told = {
        "emissions": energy["grams"],
        "source": energy["source"],
        "training_type": "fine-tuning" if is_tuned else "pre-training",
        "geographical_location": energy["location"],
        "hardware_used": record["training"]["hardware"],
    }
    return {key: value for key, value in told.items() if value}


def _plain(value: Any) -> Any:
    """The value with every text on one line: no text may end the block."""
    if isinstance(value, str):
        return markdown.one_line(value)
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value
