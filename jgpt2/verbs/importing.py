"""`jgpt2 import`: a GPT-2 from elsewhere as a folder that opens like a run."""

from pathlib import Path

import tyro

from jgpt2.verbs import answer


def import_model(
    source: tyro.conf.Positional[Path],
    out: tyro.conf.Positional[Path],
    name: str | None = None,
    tokenizer: Path | None = None,
    json: bool = False,
) -> None:
    """Make a folder that evaluate, generate, inspect and export take, from a GPT-2 in safetensors.

    Nothing in the source is executed: of pickles only the name is read, in the message that refuses
    them.

    Args:
        source: Folder of `jgpt2 export`, GPT2LMHeadModel or GPT2Model, with its vocabulary.
        out: Folder to make; it must not exist.
        name: What to call the model; the source's name if not given.
        tokenizer: Folder of a tokenizer, in place of the vocabulary of the source.
        json: Print one JSON document: the manifest.
    """
    from jgpt2 import progress, runs
    from jgpt2.publish import importing

    described = importing.import_model(source, out, name=name, tokenizer=tokenizer)
    shape, notes = runs.read_shape(out), described.notes
    if padding := notes["padding_rows_left_out"]:
        progress.say(f"{padding} rows of the token table stand for no id and were left out")
    text = (
        f"{out}: {described.name}, {shape.layers} layers of width {shape.embed_dim}, context "
        f"{shape.context}, {notes['parameters']:,} parameters"
    )
    answer.give(vars(described), text, json)
