"""`jgpt2 data remove`: hosts, addresses and ids that a dataset must not hold."""

from pathlib import Path

import tyro

from jgpt2.errors import InputError
from jgpt2.verbs import answer


def remove(
    removals: tyro.conf.Positional[Path],
    hosts: tuple[str, ...] = (),
    urls: tuple[str, ...] = (),
    ids: tuple[str, ...] = (),
    dataset: Path | None = None,
    json: bool = False,
) -> None:
    """Note who asked to be left out, and tell what a dataset holds of them.

    The next `jgpt2 corpus build ... --removals FILE` leaves them and their copies out; nothing is
    extracted again.

    Args:
        removals: File of removals, for example data/removals.txt; made if need be.
        hosts: Hosts, each with its subdomains.
        urls: Addresses of pages.
        ids: Ids of documents.
        dataset: Folder of a dataset to search for what the file names.
        json: Print what was added and found as JSON.
    """
    from jgpt2.corpus import dataset as datasets
    from jgpt2.corpus import removals as removing

    if not (hosts or urls or ids or dataset):
        raise InputError(
            "nothing to remove or to search; give --hosts, --urls or --ids, or --dataset to see "
            "what a dataset holds of those in the file."
        )
    added = removing.add(removals, hosts=hosts, urls=urls, ids=ids)
    known = removing.load(removals)
    found: list[dict[str, str]] = []
    if dataset is not None:
        for split in datasets.SPLITS:
            for document in datasets.open_split(dataset, split):
                if entry := known.match(document):
                    names = {"split": split, "entry": entry, "id": document.id}
                    found.append(names | {"url": document.url, "title": document.title})
    lines = [f"{removals}: {known.num_entries:,} entries, {len(added):,} of them new"]
    if dataset is not None:
        lines.append(f"{dataset} holds {len(found):,} documents that they name")
        lines += [f"  {row['split']}: {row['id']} {row['url']} ({row['entry']})" for row in found]
    value = {"added": added, "entries": known.num_entries, "found": found}
    answer.give(value, "\n".join(lines), json)
