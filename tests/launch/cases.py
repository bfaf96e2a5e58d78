"""The manifests kept as goldens: `uv run python -m tests.launch.cases` writes them anew."""

import contextlib
import io
from pathlib import Path

from jgpt2 import cli

ROOT = Path(__file__).parents[2]
GOLDENS = Path(__file__).parent / "goldens"
QUEUE = ROOT / "tpu" / "gke" / "kueue.yaml"
"""The queue as the README of tpu/ describes it, rendered as well."""

_IMAGE = "us-docker.pkg.dev/my-project/jgpt2/jgpt2@sha256:" + "0" * 64
_TRAIN = ["--", "train", "configs/small.py", "--run", "gs://my-bucket/runs/small"]
_TRAIN += ["--optimizer.peak-lr", "3e-4"]
AWKWARD = '港 の "朝" $(id)'
"""A name with what a shell, YAML and Kubernetes would each read in their own way."""

JOBSETS = {
    "single-slice": ["--name", "small-ja", "--accelerator", "v5e-16", *_TRAIN],
    "multislice": [
        *["--name", AWKWARD, "--accelerator", "v5p-128", "--slices", "2"],
        *["--secret", "HF_TOKEN=hub:token", "--variable", "PRICE=$(5)", "--grace-s", "300"],
        *["--", "train", "configs/xl.py", "--run", f"gs://my-bucket/runs/{AWKWARD}"],
    ],
    "spot": ["--name", "small-ja", "--accelerator", "v6e-8", "--spot", "--grace-s", "25", *_TRAIN],
    "kueue": [
        *["--name", "small-ja", "--accelerator", "tpu7x:2x2x2", "--queue", "tpu"],
        *["--service-account", "trainer", *_TRAIN],
    ],
}
KUEUE = ["--accelerator", "v5e-16", "--queue", "tpu", "--chips", "64"]


def render(name: str) -> str:
    """What the command prints for a case."""
    return _printed("launch", "jobset", "--image", _IMAGE, *JOBSETS[name])


def queue(*flags: str) -> str:
    """The manifests of the queue."""
    return _printed("launch", "kueue", *KUEUE, *flags)


def _printed(*arguments: str) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert cli.main(arguments) == 0
    return out.getvalue()


def main() -> None:
    """Writes every golden."""
    for name in JOBSETS:
        (GOLDENS / f"{name}.yaml").write_text(render(name), "utf-8")
    QUEUE.write_text(queue(), "utf-8")


if __name__ == "__main__":
    main()
