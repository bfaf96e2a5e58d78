"""`jgpt2 quickstart`: the first command of a new user."""

from pathlib import Path


def quickstart(
    out: Path = Path("quickstart"), text: tuple[Path, ...] = (), vocab_size: int = 4096
) -> int:
    """The whole walk in minutes: two vocabularies trained on equal bytes and compared.

    Args:
        out: Folder for everything that is made; run again, it goes on where it was interrupted.
        vocab_size: Ids of the SentencePiece vocabulary; fewer for a small text.
        text: Your own .txt, .jsonl or .jsonl.gz files or folders, in place of the sample corpus.
    """
    from jgpt2 import quickstart as walk
    from jgpt2 import storage

    storage.require_local(out, "--out")

    return walk.run(out, text, vocab_size=vocab_size)
