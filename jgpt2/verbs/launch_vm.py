"""`jgpt2 launch vm ...`: a TPU's own VMs, by gcloud. Prints the calls, and makes them with --go."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from jgpt2.verbs.launch import of_command

if TYPE_CHECKING:
    from jgpt2.launch import vm as vms


@dataclasses.dataclass(frozen=True, kw_only=True)
class Place:
    """Which TPU, and whether to act."""

    name: str
    """The run, in any writing; the name at Google is made of it."""
    project: str
    """Google Cloud project that pays."""
    zone: str
    """Zone such as us-west4-a."""
    go: bool = False
    """Make the calls; without it they are only printed."""


OfPlace = Annotated[Place, tyro.conf.arg(name="")]


def create(place: OfPlace, accelerator: str, spot: bool = False, reserved: bool = False) -> int:
    """Ask for a TPU, as a queued resource that waits until there is one.

    Args:
        place: Which TPU, and whether to act.
        accelerator: Type such as v5e-16, or shape such as v5e:4x4.
        spot: Cheaper, and may be taken away.
        reserved: Of a reservation of the project.
    """
    from jgpt2.launch import accelerators, vm

    row = accelerators.find(accelerator)
    return _give(place, vm.create(_vm(place), row, spot=spot, reserved=reserved))


def setup(place: OfPlace, archive: Path | None = None) -> int:
    """Install this program on every host of the TPU, as the lock file pins it.

    Args:
        place: Which TPU, and whether to act.
        archive: A .tar.gz of the repository's files; else the commit that is checked out.
    """
    from jgpt2.launch import vm

    return _give(place, vm.setup(_vm(place), archive))


def run(arguments: Sequence[str]) -> int:
    """Starts the command after `--` on every host."""
    from jgpt2.launch import vm

    def verb(place: OfPlace) -> Callable[[list[str]], int]:
        """Start a command on every host, in the background: launch vm run ... -- train ..."""
        return lambda command: _give(place, vm.run(_vm(place), command))

    return of_command("vm run", verb, arguments)


def logs(place: OfPlace, lines: int = 20) -> int:
    """The last lines that the command has written on each host.

    Args:
        place: Which TPU, and whether to act.
        lines: How many.
    """
    from jgpt2.launch import vm

    return _give(place, vm.logs(_vm(place), lines=lines))


def status(place: OfPlace) -> int:
    """The state of the TPU, and on each host: running, exit CODE, gone or none."""
    from jgpt2.launch import vm

    return _give(place, vm.status(_vm(place)))


def babysit(arguments: Sequence[str]) -> int:
    """Sees the command after `--` through to its end, whatever happens to the TPU."""
    from jgpt2.launch import accelerators
    from jgpt2.launch import babysit as sitter

    def verb(
        place: OfPlace,
        accelerator: str,
        spot: bool = False,
        reserved: bool = False,
        archive: Path | None = None,
        max_restarts: int = 10,
        poll_s: float = 30.0,
        grace_s: float = 120.0,
        delete_at_end: bool = False,
    ) -> Callable[[list[str]], int]:
        """Create, set up, run, and again after every preemption: launch vm babysit ... -- train ...

        It may be ended and begun again. Exit codes 2 and 3 end it; preemption and 42 do not count.

        Args:
            place: Which TPU, and whether to act.
            accelerator: Type such as v5e-16, or shape such as v5e:4x4.
            spot: Cheaper, and may be taken away.
            reserved: Of a reservation of the project.
            archive: A .tar.gz of the repository's files; else the commit that is checked out.
            max_restarts: How many failures of the command are answered by a restart.
            poll_s: Seconds between looks.
            grace_s: Seconds for the other hosts to end when one has ended early.
            delete_at_end: Give the TPU back when the command is done or must not go on.
        """
        care = {
            "vm": _vm(place),
            "accelerator": accelerators.find(accelerator),
            "spot": spot,
            "reserved": reserved,
            "archive": archive,
            "max_restarts": max_restarts,
            "poll_s": poll_s,
            "grace_s": grace_s,
            "delete_at_end": delete_at_end,
        }

        def act(command: list[str]) -> int:
            asked = sitter.Care(command=command, **care)
            return sitter.watch(asked) if place.go else _give(place, sitter.plan(asked))

        return act

    return of_command("vm babysit", verb, arguments)


def delete(place: OfPlace) -> int:
    """Give the TPU back: its request and its node are deleted, and nothing is billed any more."""
    from jgpt2.launch import vm

    return _give(place, vm.delete(_vm(place)))


def _vm(place: Place) -> "vms.Vm":
    from jgpt2.launch import vm

    return vm.Vm(name=place.name, project=place.project, zone=place.zone)


def _give(place: Place, made: Sequence[Sequence[str]]) -> int:
    from jgpt2.launch import calls

    if place.go:
        return calls.make(made)
    print(calls.show(made))
    return 0
