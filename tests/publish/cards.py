"""What the tests of model cards share: an exported folder with a complete card, and its sealing."""

import dataclasses
import json

from jgpt2 import manifest, storage
from jgpt2.publish.card import page, records
from tests.conftest import run_command

FACTS = """
[licenses]
weights = "apache-2.0"
[data]
statement = { ja = "この本のための文章。", en = "Text for this book." }
personal_information = { ja = "伏せた。", en = "Masked." }
gaps = { ja = "方言。", en = "Dialects." }
[stage]
name = "small"
changes = [{ date = "2026-04-01", ja = "最初の公開。", en = "First release." }]
[use]
intended = { ja = "研究。", en = "Research." }
out_of_scope = { ja = "事実の確認。", en = "Facts." }
misuse = { ja = "偽の記事。", en = "False news." }
limitations = { ja = "小さい。", en = "Small." }
[contact]
questions = "https://example.org/jgpt2"
opt_out = "opt-out@example.org"
"""


def make(walk, root, names):
    """The folder of exports of these runs with complete cards, and of the file of facts."""
    (root / "facts.toml").write_text(FACTS, "utf-8")
    for name in names:
        run = walk.root / "runs" / name
        exported = run_command("export", run, root / name)
        assert exported.exit_code == 0, exported.err
        given = ["--run", run, "--dataset", walk.root / "data" / "ja"]
        built = run_command("card", "build", root / name, *given, "--facts", root / "facts.toml")
        assert built.exit_code == 0, built.err
    return root


def read(folder):
    """The record of a card."""
    return json.loads((folder / records.FILE_NAME).read_text("utf-8"))


def seal(folder, **changes):
    """The manifest of a folder as if what is in it had been written so; `changes` of its fields."""
    before = manifest.read(folder)
    described = dataclasses.replace(before, **changes)
    names = [name for name in storage.files(folder) if name != manifest.FILE_NAME]
    if before.kind == "dataset":  # its account, for one, is none of its files
        names = list(before.files)
    given = {key: getattr(described, key) for key in ("kind", "name", "identity", "parents")}
    sealed = manifest.write(folder, files=names, notes=described.notes, **given)
    of_before = {key: getattr(described, key) for key in ("created", "code_version")}
    manifest.put(folder, dataclasses.replace(sealed, **of_before))
    return manifest.read(folder)


def rewrite(folder, record):
    """Gives a folder another record, rendered and sealed as if it had been built so."""
    manifest.write_json(folder / records.FILE_NAME, record)
    manifest.write_text(folder / records.README, page.render(record))
    seal(folder)
