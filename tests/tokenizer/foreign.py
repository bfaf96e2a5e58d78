"""Folders as others publish their vocabularies, made small for these tests."""

import io
import json
from pathlib import Path

import sentencepiece as spm

import tokenizers
from tests.tokenizer.conftest import TEXTS
from tokenizers import models, pre_tokenizers, trainers

JAPANESE_PIECES = [
    *("から", "した", "猫は", "は", "猫", "あ", "い", "ー", "<", ">", "B", "R", "♂"),
    *("<BR>", "<SP>", "<TAB>", "<URL>", "<|emoji1|>", "<|emoji2|>"),
    *(f"<|byte{byte}|>" for byte in range(255)),
    "<|endoftext|>",
]
EMOJI = {
    "emoji": {
        "😀": "<|emoji1|>",
        "☺️": "<|emoji1|>",
        "☺": "<|emoji1|>",
        "♂": "<|emoji2|>",
        "(^_^)": "<|emoji2|>",
        "( ^_^)": "<|emoji2|>",
    },
    "emoji_inv": {"<|emoji1|>": "😀", "<|emoji2|>": "(^_^)"},
}


def byte_level(folder: Path) -> tokenizers.Tokenizer:
    """Writes OpenAI's two files and gives what trained them."""
    trained = tokenizers.Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    trained.train_from_iterator(TEXTS, trainer)
    folder.mkdir(parents=True)
    trained.model.save(str(folder))
    return trained


def whole(folder: Path) -> None:
    """The same vocabulary as one tokenizer.json."""
    trained = byte_level(folder)
    trained.save(str(folder / "tokenizer.json"))
    for name in ("vocab.json", "merges.txt"):
        (folder / name).unlink()


def pieces(folder: Path) -> None:
    """rinna's layout: nmt_nfkc, a dummy prefix, no bytes, lower case asked for by the config."""
    model = io.BytesIO()
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS),
        model_writer=model,
        vocab_size=400,
        hard_vocab_limit=False,
        pad_id=3,
        pad_piece="[PAD]",
        control_symbols=["[CLS]"],
        minloglevel=2,
    )
    folder.mkdir(parents=True)
    (folder / "spiece.model").write_bytes(model.getvalue())
    config = {"eos_token": "</s>", "bos_token": "<s>", "do_lower_case": True}
    write_json(folder / "tokenizer_config.json", config)


def japanese_bpe(folder: Path) -> None:
    """gpt2-japanese's two files."""
    folder.mkdir(parents=True)
    (folder / "ja-bpe.txt").write_text("\n".join(JAPANESE_PIECES), "utf-8")
    write_json(folder / "emoji.json", EMOJI)


def write_json(file: Path, value: object) -> None:
    file.write_text(json.dumps(value), "utf-8")


MAKERS = {
    "byte_level": byte_level,
    "whole": whole,
    "pieces": pieces,
    "japanese_bpe": japanese_bpe,
}
