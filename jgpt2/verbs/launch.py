"""`jgpt2 launch ...`: a command of this program on several processes, here or on TPUs.

What comes after `--` is the command, and is passed on as it is: no flag of it is read here.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import tyro

from jgpt2.errors import InputError
from jgpt2.verbs import flags


def local(arguments: Sequence[str]) -> int:
    """Runs the command after `--` in several processes on this machine's CPU."""
    from jgpt2.launch import local as launcher

    def verb(
        processes: int,
        devices: int = 1,
        max_restarts: int = 3,
        grace_s: float = 30.0,
        logs: Path | None = None,
    ) -> Callable[[list[str]], int]:
        """Run a command in several processes here: launch local --processes 2 -- train ...

        Exit code 42 (state saved) is answered by a restart that does not count; 2 and 3 end the
        launch, as a second attempt would end the same way; any other counts against
        --max-restarts. Ctrl-C and SIGTERM are passed on as SIGTERM, a second one as SIGKILL.
        What process 0 prints on stdout comes out as it is; all other lines start with [PROCESS].

        Args:
            processes: How many processes.
            devices: CPU devices of each, as JAX sees them.
            max_restarts: How many failures are answered by a restart.
            grace_s: Seconds that the others have to end by themselves when one has ended early.
            logs: Folder in which each process gets a log of its own.
        """
        return lambda command: (
            launcher.run(
                command,
                processes=processes,
                devices=devices,
                max_restarts=max_restarts,
                grace_s=grace_s,
                logs=logs,
            ).exit_code
        )

    return of_command("local", verb, arguments)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """What the manifest of a command says besides the command."""

    name: str
    """The run, in any writing; the name in the cluster is made of it."""
    image: str
    """Image with its digest or tag, made of tpu/Dockerfile."""
    accelerator: str
    """Type such as v5e-16, or shape such as v5e:4x4."""
    slices: int = 1
    """How many slices of it train together."""
    spot: bool = False
    """Nodes that are cheaper and may be taken away."""
    queue: str | None = None
    """LocalQueue of Kueue that admits it; see `launch kueue`."""
    max_restarts: int = 10
    """How many failures are answered by a restart."""
    grace_s: int = 120
    """Seconds from SIGTERM to SIGKILL; a spot node leaves about 30."""
    service_account: str | None = None
    """Kubernetes account that may use the bucket."""
    variables: Annotated[
        tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(name="variable")
    ] = ()
    """NAME=VALUE for the environment; give it again for more."""
    secrets: Annotated[
        tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(name="secret")
    ] = ()
    """NAME=SECRET:KEY, a variable read from a Secret of the cluster; give it again for more."""


def jobset(arguments: Sequence[str]) -> int:
    """Prints the JobSet that runs the command after `--` on TPUs of a Kubernetes cluster."""

    def verb(
        asked: Annotated[Asked, tyro.conf.arg(name="")], out: Path | None = None
    ) -> Callable[[list[str]], int]:
        """The manifest of a command on GKE: launch jobset --name NAME ... -- train ...

        Exit codes 2 and 3 fail the JobSet; a disruption and 42 (state saved) restart it without
        being counted; any other failure is counted. Submit it with `kubectl apply -f -`.

        Args:
            asked: What runs, and on what.
            out: File for the manifest, in place of stdout.
        """
        return lambda command: _jobset(asked, command, out)

    return of_command("jobset", verb, arguments)


def _jobset(asked: Asked, command: list[str], out: Path | None) -> int:
    from jgpt2.launch import accelerators, manifests
    from jgpt2.launch import jobset as jobsets

    given = {field.name: getattr(asked, field.name) for field in dataclasses.fields(asked)}
    given["accelerator"] = accelerators.find(asked.accelerator)
    made = jobsets.manifest(jobsets.Request(command=command, **given))
    return _give(manifests.dump([made]), out)


def kueue(
    accelerator: str,
    queue: str,
    chips: int,
    namespace: str = "default",
    spot: bool = False,
    out: Path | None = None,
) -> int:
    """The manifests of a queue that admits JobSets to TPUs: flavour, quota, name.

    Args:
        accelerator: Type such as v5e-16, or shape such as v5e:4x4.
        queue: Name of the queue, for `launch jobset --queue`.
        chips: How many chips all admitted slices may have together.
        namespace: Namespace of the JobSets.
        spot: The queue is for spot nodes.
        out: File for the manifests, in place of stdout.
    """
    from jgpt2.launch import accelerators, manifests
    from jgpt2.launch import kueue as queues

    made = queues.manifests(
        accelerators.find(accelerator), queue=queue, chips=chips, namespace=namespace, spot=spot
    )
    return _give(manifests.dump(made), out)


def _give(text: str, out: Path | None) -> int:
    if out is None:
        print(text, end="")
        return 0
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f"{out.name}.part")
    part.write_text(text, "utf-8")
    part.replace(out)
    return 0


def of_command(
    name: str,
    verb: Callable[..., Callable[[list[str]], int]],
    arguments: Sequence[str],
) -> int:
    """Runs what `verb` makes of the flags, on the command after `--`."""
    own, command = _split(arguments)
    bound = flags.parse(verb, own, prog=f"jgpt2 launch {name}")
    if bound is None:
        return 0
    if not command:
        raise InputError(
            "which command shall be launched? Give it last, after --, as in "
            f"`jgpt2 launch {name} ... -- train configs/tiny.py --run runs/tiny`."
        )
    return bound()(command)


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Own flags, and the command after the first `--`.

    >>> _split(["--processes", "2", "--", "train", "x", "--", "y"])
    (['--processes', '2'], ['train', 'x', '--', 'y'])
    """
    given = list(arguments)
    end = given.index("--") if "--" in given else len(given)
    return given[:end], given[end + 1 :]
