"""The command line: finds the verb, runs it, and turns expected failures into exit codes.

Nothing heavy is imported until a verb runs, so `jgpt2 --help` answers at once. Answers go to
stdout (one JSON document with `--json`), everything else to stderr. Exit codes: 0 done, 1 a bug,
2 unusable input, 3 damaged data, 42 saved and to be restarted, 130 interrupted.
"""

import errno
import importlib
import sys
from collections.abc import Callable, Sequence

from jgpt2 import host_memory
from jgpt2.errors import DamageError, InputError

EXIT_INTERRUPTED = 130
DISK_IS_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

VERBS = {
    "quickstart": ("quickstart.quickstart", "the whole walk in minutes: two vocabularies compared"),
    "corpus build": ("corpus.build", "files of text become a dataset"),
    "tokenizer train": ("tokenizer.train", "learn a vocabulary from a dataset"),
    "tokenizer measure": ("tokenizer.measure", "bytes per token, fallback, restoration"),
    "train": ("train.train", "train the experiment of a config file; any of its fields is a flag"),
    "evaluate": ("evaluate.evaluate", "bits per byte of a trained model"),
    "generate": ("generate.generate", "continue a prompt"),
    "count": ("describe.count", "parameters and FLOPs of a size, for a vocabulary"),
    "inspect": ("describe.inspect", "what an artefact is and what it was made from"),
}
"""Verb -> (module and function in `jgpt2.verbs`, one line of help)."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb; the exit code. An expected failure is one paragraph on stderr."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(given)
    except (InputError, DamageError) as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _fail("interrupted", EXIT_INTERRUPTED)
    except OSError as error:
        if error.errno not in DISK_IS_FULL:
            raise
        return _fail(
            f"no space left for {error.filename or 'the output'} ({error.strerror}); free some "
            "and run the same command again.",
            InputError.exit_code,
        )


def _run(given: list[str]) -> int:
    verb = next((name for name in VERBS if given[: len(name.split())] == name.split()), None)
    if verb is not None:
        return _function(verb)(given[len(verb.split()) :])
    if not given or given[0] in ("-h", "--help"):
        print(_usage())
        return 0
    if given[0] == "--version":
        import jgpt2

        print(jgpt2.__version__)
        return 0
    raise InputError(f"no verb {' '.join(given[:2])!r}; choose one of {', '.join(VERBS)}.")


def _function(verb: str) -> Callable[[list[str]], int]:
    import tyro

    host_memory.keep()
    module, name = VERBS[verb][0].split(".")
    verbs = importlib.import_module(f"jgpt2.verbs.{module}")
    if verb == "train":
        return verbs.train
    function = getattr(verbs, name)
    return lambda arguments: tyro.cli(function, args=arguments, prog=f"jgpt2 {verb}") or 0


def _usage() -> str:
    lines = [f"  {name:<18} {summary}" for name, (_, summary) in VERBS.items()]
    return "\n".join(
        [
            "jgpt2: GPT-2 in Japanese with interchangeable vocabularies",
            "",
            "usage: jgpt2 VERB ...",
            "",
            *lines,
            "",
            "`jgpt2 VERB --help` tells the flags of a verb.",
        ]
    )


def _fail(message: str, exit_code: int) -> int:
    print(f"jgpt2: {message}", file=sys.stderr)
    return exit_code
