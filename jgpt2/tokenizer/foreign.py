"""Finds the vocabulary of someone else's checkpoint and writes it as a tokenizer folder.

The files are copied as they are, and what the folder's configs say about ids becomes part of the
identity. Nothing outside of the folder is read and no code of it is run: what asks for that is
refused.
"""

from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from jgpt2 import manifest, untrusted
from jgpt2.errors import InputError
from jgpt2.tokenizer import adopted, byte_level, japanese_bpe, pieces, train

READERS = {
    "byte_level": byte_level.from_files,
    "pieces": pieces.from_files,
    "japanese_bpe": japanese_bpe.from_files,
}
"""Kind -> what reads its files."""
_EOT_PIECES = {
    "byte_level": byte_level.EOT_PIECE,
    "pieces": pieces.EOT_PIECE,
    "japanese_bpe": japanese_bpe.EOT_PIECE,
}
_LAYOUTS = (
    ("japanese_bpe", (japanese_bpe.VOCAB, japanese_bpe.EMOJI)),
    *(("pieces", (file,)) for file in pieces.FILES),
    ("byte_level", (byte_level.WHOLE,)),
    ("byte_level", (byte_level.VOCAB, byte_level.MERGES)),
)
"""Files of each kind. A SentencePiece model comes before a tokenizer.json converted from it."""
_CONFIG = "tokenizer_config.json"
_MERE_NOTES = ("special_tokens_map_file",)
"""Fields in which old versions of transformers left a path of their author's; nobody reads it."""
_MODEL_CONFIG = "config.json"


def adopt(source: Path, out: Path, *, name: str) -> manifest.Manifest:
    """Writes the vocabulary of a folder to `out`, which `load.load` opens.

    The folder has Hugging Face's layout, or that of gpt2-japanese. Raises InputError where it holds
    no vocabulary that is read here, and for a file that is damaged, points elsewhere or wants code;
    DamageError for one that is not even JSON.
    """
    train.require_free(out)
    kind, names = _found(source)
    config = _json(source, _CONFIG)
    _refuse_references(config)
    files = {file: _inside(source, file).read_bytes() for file in names}
    settings = adopted.Settings(
        eot_piece=_piece(config, "eos_token") or _EOT_PIECES[kind],
        begin_piece=_piece(config, "bos_token"),
        lower_case=_flag(config, "do_lower_case"),
        vocab_size=_size(_json(source, _MODEL_CONFIG)),
    )
    if settings.lower_case and kind != "pieces":
        raise InputError(
            f"{source / _CONFIG} has do_lower_case, which no {kind} tokenizer knows; take it away."
        )
    made = READERS[kind](files, settings, name=name, fingerprint="")
    facts = ("kind", "vocab_size", "eot", "begin", "is_lossless")
    identity = {**vars(settings), **{fact: getattr(made, fact) for fact in facts}}
    return train.write(out, files, name=name, identity=identity, parents={})


def _found(source: Path) -> tuple[str, tuple[str, ...]]:
    for kind, names in _LAYOUTS:
        if all((source / file).exists() for file in names):
            return kind, names
    here = sorted(path.name for path in source.iterdir())[:8] if source.is_dir() else []
    raise InputError(
        f"{source} holds no vocabulary that is read here but {', '.join(here) or 'nothing'}; it "
        f"needs {', or '.join(' and '.join(names) for _, names in _LAYOUTS)}."
    )


def _inside(source: Path, file: str) -> Path:
    """The file of a folder; InputError when it is a link to a place outside of it."""
    path = source / file
    if not path.resolve().is_relative_to(source.resolve()):
        raise InputError(
            f"{path} is a link that leaves its folder, to {path.resolve()}; nothing outside of a "
            "checkpoint's folder is read: copy it with `cp -rL`."
        )
    if not path.is_file():
        raise InputError(f"{path} is no file; take another copy of the checkpoint.")
    return path


def _json(source: Path, file: str) -> dict[str, Any]:
    """The content of a config; empty where there is none."""
    if not (source / file).exists():
        return {}
    return untrusted.json_object(_inside(source, file).read_bytes(), file)


def _refuse_references(config: dict[str, Any]) -> None:
    """InputError for a config that names code, or files by more than their name."""
    if config.get("auto_map"):
        raise InputError(
            f"{_CONFIG} has auto_map={config['auto_map']!r}: its tokenizer is code of its own, "
            "which is never run; only the kinds in docs/vocabularies.md are read."
        )
    for key, value in config.items():
        if not key.endswith("_file") or key in _MERE_NOTES or value is None:
            continue
        is_name = isinstance(value, str) and all(
            path.name == value != ".." for path in (PurePosixPath(value), PureWindowsPath(value))
        )
        if not is_name:
            raise InputError(
                f"{_CONFIG} has {key}={value!r}, a path; only names of files in its own folder are "
                "taken: remove the field after reading what it is for."
            )


def _piece(config: dict[str, Any], key: str) -> str | None:
    """A control piece, which may stand in an object with how it is cut off; None without one."""
    value = config.get(key)
    if isinstance(value, dict):
        value = value.get("content")
    if value is not None and not isinstance(value, str):
        raise InputError(f"{_CONFIG} has {key}={value!r}; it must be the text of a piece.")
    return value


def _flag(config: dict[str, Any], key: str) -> bool:
    value = config.get(key, False)
    if not isinstance(value, bool):
        raise InputError(f"{_CONFIG} has {key}={value!r}; it must be true or false.")
    return value


def _size(config: dict[str, Any]) -> int | None:
    """Ids of the model beside the vocabulary; None without a config."""
    value = config.get("vocab_size")
    if value is not None and type(value) is not int:
        raise InputError(f"{_MODEL_CONFIG} has vocab_size={value!r}; it must be a whole number.")
    return value
