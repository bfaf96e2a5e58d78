"""The command line: finds the verb, runs it, and turns expected failures into exit codes.

Nothing heavy is imported until a verb runs, so `jgpt2 --help` answers at once. Answers go to
stdout (one JSON document with `--json`), everything else to stderr. Exit codes: 0 done, 1 a bug,
2 unusable input, 3 damaged data, 42 saved and to be restarted, 69 a network out of reach,
130 interrupted, 141 nobody reads.
"""

import gc
import importlib
import os
import sys
from collections.abc import Callable, Sequence

from jgpt2 import failure, host_memory
from jgpt2.errors import InputError

EXIT_UNREAD = 141
"""As a shell says it of a program whose reader, such as `head`, has left."""

OBJECTS_BETWEEN_COLLECTIONS = 100_000
"""Python's own is 700: it would look for cycles hundreds of times while JAX and Flax are imported
and a step is traced, among objects that all stay."""

VERBS = {
    "quickstart": ("quickstart.quickstart", "the whole walk in minutes: two vocabularies compared"),
    "corpus build": ("corpus.build", "a crawl, pages or files of text become a dataset"),
    "data remove": ("data.remove", "leave out hosts, addresses and documents on request"),
    "tokenizer train": ("tokenizer.train", "learn a vocabulary from a dataset"),
    "tokenizer measure": ("tokenizer.measure", "bytes per token, fallback, restoration"),
    "plan": ("plan.plan", "memory, time and money of a run on TPUs, without one"),
    "ablate": ("ablate.ablate", "a study of vocabularies: which one, by how much, how sure"),
    "train": ("train.train", "train the experiment of a config file; any of its fields is a flag"),
    "finetune": ("finetune.finetune", "a trained or imported model goes on with another dataset"),
    "evaluate": ("evaluate.evaluate", "bits per byte of a trained model"),
    "harness": ("harness.harness", "tasks of lm-evaluation-harness on a trained model"),
    "generate": ("generate.generate", "continue a prompt"),
    "export": ("export.export", "a checkpoint as a folder that transformers loads"),
    "import": ("importing.import_model", "a GPT-2 from elsewhere, to be scored like a run"),
    "upload": ("upload.upload", "an exported folder as a revision on the Hugging Face Hub"),
    "card facts": ("card.facts", "a template of what only the author of a model knows"),
    "card build": ("card.build", "the model card of an export, from the records"),
    "card check": ("card.check", "what a model card lacks, and what was changed"),
    "memorisation": ("memorisation.memorisation", "what a model repeats of its training text"),
    "release template": ("release.template", "a commented policy of a staged release"),
    "release plan": ("release.plan", "what is published, and what keeps the next stage"),
    "release check": ("release.check", "every gate of a stage, and what is missing"),
    "release publish": ("release.publish", "sign a stage off, if all its gates pass"),
    "release withdraw": ("release.withdraw", "take a published stage back"),
    "release bundle": ("release.bundle", "a stage for one partner, with an agreement to fill in"),
    "release verify": ("release.verify", "every byte of a partner's bundle"),
    "benchmark": ("benchmark.benchmark", "train, decode, tokenise, load: measured on this device"),
    "count": ("describe.count", "parameters and FLOPs of a size, for a vocabulary"),
    "inspect": ("describe.inspect", "what an artefact is and what it was made from"),
    "doctor": ("doctor.doctor", "what keeps a run from starting on these hosts"),
    "launch local": ("launch.local", "a command in several processes on this machine's CPU"),
    "launch jobset": ("launch.jobset", "the manifest of a command on TPUs of Kubernetes"),
    "launch kueue": ("launch.kueue", "the manifests of a queue for such commands"),
    "launch vm create": ("launch_vm.create", "ask for a TPU by gcloud"),
    "launch vm setup": ("launch_vm.setup", "install this program on its hosts"),
    "launch vm run": ("launch_vm.run", "start a command on its hosts"),
    "launch vm logs": ("launch_vm.logs", "what the command has said there"),
    "launch vm status": ("launch_vm.status", "how the TPU and the command are"),
    "launch vm babysit": ("launch_vm.babysit", "all of it, again after every preemption"),
    "launch vm delete": ("launch_vm.delete", "give the TPU back: nothing is billed any more"),
}
"""Verb -> (module and function in `jgpt2.verbs`, one line of help)."""

OF_CONFIG = ("plan", "train")
"""Verbs whose flags depend on their first argument, the config."""

OF_COMMAND = ("launch local", "launch jobset", "launch vm run", "launch vm babysit")
"""Verbs that end in `--` and a command, which is not theirs to read."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb; the exit code. An expected failure is one paragraph on stderr."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        exit_code = _run(given)
        sys.stdout.flush()
    except BrokenPipeError:
        # Else Python would try to write the rest once more when it ends, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_UNREAD
    except (Exception, KeyboardInterrupt) as error:
        explained = failure.explain(error)
        if explained is None:
            raise
        print(f"jgpt2: {explained.message}", file=sys.stderr)
        return explained.exit_code
    return exit_code


def _run(given: list[str]) -> int:
    _require_unicode(given)
    verb = next((name for name in VERBS if given[: len(name.split())] == name.split()), None)
    if verb is not None:
        return _call(verb, given[len(verb.split()) :])
    words = [argument for argument in given if argument not in ("-h", "--help")]
    verbs = [name for name in VERBS if name.split()[: len(words)] == words]
    if verbs and (not given or len(words) < len(given)):
        print(_usage(verbs))
        return 0
    if given == ["--version"]:
        import jgpt2

        print(jgpt2.__version__)
        return 0
    raise InputError(f"no verb {' '.join(given[:2])!r}; choose one of {', '.join(verbs or VERBS)}.")


def _require_unicode(given: list[str]) -> None:
    for argument in given:
        try:
            argument.encode()
        except UnicodeEncodeError as error:
            raise InputError(
                f"the argument {argument!r} is not UTF-8: character {error.start} is an unpaired "
                "surrogate, which stands for a byte of another encoding; type it in a UTF-8 "
                "terminal, rename the file, or give the prompt by --prompt-file."
            ) from error


def _call(verb: str, arguments: list[str]) -> int:
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    from jgpt2.verbs import flags

    host_memory.keep()
    module, name = VERBS[verb][0].split(".")
    function: Callable[..., int | None] = getattr(
        importlib.import_module(f"jgpt2.verbs.{module}"), name
    )
    if verb in OF_CONFIG + OF_COMMAND:
        return function(arguments) or 0
    call = flags.parse(function, arguments, prog=f"jgpt2 {verb}")
    return 0 if call is None else call() or 0


def _usage(verbs: Sequence[str]) -> str:
    lines = [f"  {name:<18} {VERBS[name][1]}" for name in verbs]
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
