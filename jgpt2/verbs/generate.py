"""`jgpt2 generate`: text from a trained model, streamed or as labelled records."""

import sys
from pathlib import Path

import tyro

from jgpt2.errors import InputError
from jgpt2.verbs import answer


def generate(
    run: tyro.conf.Positional[Path],
    prompt: tyro.conf.UseAppendAction[tuple[str, ...]] = (),
    prompt_file: Path | None = None,
    samples: int = 1,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
    min_tokens: int = 0,
    max_tokens: int | None = None,
    step: int | None = None,
    json: bool = False,
) -> None:
    """Continue a prompt; without --prompt or --prompt-file it is read from a piped stdin.

    Args:
        run: Run folder.
        prompt: Text to continue; given several times, all are written side by side in one batch.
        prompt_file: UTF-8 file that holds the text to continue; its last line break is left out.
        samples: Continuations of each prompt.
        temperature: Divides the logits; 0 always takes the likeliest token.
        top_k: Draw from the k likeliest tokens only.
        top_p: Draw from the likeliest tokens that together reach p.
        seed: Same seed, same text.
        min_tokens: No end of text before this many tokens.
        max_tokens: End after this many tokens; the context's end if not given.
        step: Checkpoint; the best by validation bits per byte if not given.
        json: Print one JSON document: a list of labelled records.
    """
    from jgpt2 import compilation, inference, progress, runs
    from jgpt2.generate import sampling, stream

    if samples < 1:
        raise InputError(f"samples={samples} asks for no text; choose 1 or more.")
    sampler = sampling.Sampler(temperature=temperature, top_k=top_k, top_p=top_p)
    prompts = [text for text in _prompts(prompt, prompt_file) for _ in range(samples)]
    compilation.enable_cache()
    model = runs.open_model(run, step=step)
    shown = _Shown(prompts[0]) if len(prompts) == 1 and not json else None
    if not json:
        progress.say(f"synthetic text by {run} at step {model.step}, seed {seed}")
    rows = inference.generate(
        model,
        prompts,
        sampler=sampler,
        seed=seed,
        min_tokens=min_tokens,
        max_tokens=max_tokens,
        show=shown,
    )
    if json:
        print(answer.dump([row.record() for row in rows]))
    elif shown is not None:
        shown.finish()
    else:
        for row in rows:
            print(f"--- {row.index}\n{stream.neutralise(row.prompt + row.text)}")


def _prompts(given: tuple[str, ...], file: Path | None) -> tuple[str, ...]:
    if given and file is not None:
        raise InputError("give either --prompt or --prompt-file, not both.")
    if given:
        return given
    if file is None and sys.stdin.isatty():
        return ("",)
    try:
        text = (sys.stdin.buffer.read() if file is None else file.read_bytes()).decode("utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(f"there is no {file}; check the path of the prompt.") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"the prompt from {file or 'stdin'} is not UTF-8 (byte {error.start}); convert it, for "
            "example with `iconv -f cp932 -t utf-8`."
        ) from error
    return (text.removesuffix("\n").removesuffix("\r"),)


class _Shown:
    """Prints a prompt, once the first piece after it is there, and every piece."""

    def __init__(self, prompt: str) -> None:
        self._waiting = prompt

    def __call__(self, row: int, piece: str) -> None:
        from jgpt2.generate import stream

        print(stream.neutralise(self._waiting + piece), end="", flush=True)
        self._waiting = ""

    def finish(self) -> None:
        """Ends the line; a prompt that nothing came after is shown alone."""
        self(0, "\n")
