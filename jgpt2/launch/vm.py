"""A command on a TPU's own VMs, by `gcloud`: every call is a list of arguments, made here.

A queued resource asks for one TPU, its node, and keeps asking until there is one; deleting it by
force deletes the node too. What runs on a host is `tpu/host.sh`, started by ssh on all of them.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jgpt2.errors import InputError
from jgpt2.launch import files, names
from jgpt2.launch.accelerators import Accelerator

Call = list[str]

_TPUS = ("gcloud", "compute", "tpus")
_ARCHIVE = "jgpt2.tar.gz"
_SETUP = ("startup.sh", "host.sh")
"""Files of `tpu/` that a host needs."""


@dataclass(frozen=True, kw_only=True)
class Vm:
    """One TPU, by its run, and where it is."""

    name: str
    """The run, as its author calls it."""
    project: str
    zone: str

    @property
    def label(self) -> str:
        """What Google calls the queued resource and its node."""
        return names.dns(self.name)

    @property
    def place(self) -> Call:
        """The flags that every call ends in."""
        return [f"--project={self.project}", f"--zone={self.zone}"]


def create(
    vm: Vm, accelerator: Accelerator, *, spot: bool = False, reserved: bool = False
) -> list[Call]:
    """Asks for the TPU; InputError where there are no TPU VMs of the type."""
    if accelerator.gcloud is None or accelerator.runtime is None:
        raise InputError(
            f"there are no TPU VMs of {accelerator.name}, as Google's Cloud TPU API does not offer "
            "it; run it on Kubernetes: jgpt2 launch jobset."
        )
    if spot and reserved:
        raise InputError("a TPU is either of a reservation or spot; give --reserved or --spot.")
    return [
        [
            *_TPUS,
            "queued-resources",
            "create",
            vm.label,
            f"--node-id={vm.label}",
            f"--accelerator-type={accelerator.gcloud}",
            f"--runtime-version={accelerator.runtime}",
            f"--description={vm.name}",
            *(["--spot"] if spot else []),
            *(["--reserved"] if reserved else []),
            *vm.place,
        ]
    ]


def setup(vm: Vm, archive: Path | None = None) -> list[Call]:
    """Brings the code to every host and installs it; without an archive, the commit checked out."""
    calls = []
    if archive is None:
        archive = Path(_ARCHIVE)
        calls.append(["git", "archive", "--format=tar.gz", f"--output={archive}", "HEAD"])
    copied = [str(archive), *(str(files.path(name)) for name in _SETUP)]
    calls.append([*_TPUS, "tpu-vm", "scp", *copied, f"{vm.label}:", "--worker=all", *vm.place])
    return [*calls, ssh(vm, ["bash", "startup.sh", archive.name])]


def run(vm: Vm, command: Sequence[str]) -> list[Call]:
    """Starts the command on every host, in the background."""
    return [_on_hosts(vm, "run", "--", *command)]


def status(vm: Vm) -> list[Call]:
    """Asks for the state of the queued resource, and of the run on each host."""
    return [state(vm), _on_hosts(vm, "status")]


def logs(vm: Vm, *, lines: int) -> list[Call]:
    """The last lines of the run's log on each host."""
    if lines < 1:
        raise InputError(f"--lines {lines} shows nothing; give 1 or more.")
    return [_on_hosts(vm, "logs", str(lines))]


def stop(vm: Vm) -> list[Call]:
    """SIGTERM to the run on each host: it saves its state and ends."""
    return [_on_hosts(vm, "stop")]


def kill(vm: Vm) -> list[Call]:
    """SIGKILL to the run on each host."""
    return [_on_hosts(vm, "kill")]


def delete(vm: Vm) -> list[Call]:
    """Deletes the queued resource and its node: nothing of the TPU is left, or billed."""
    return [[*_TPUS, "queued-resources", "delete", vm.label, "--force", "--quiet", *vm.place]]


def state(vm: Vm) -> Call:
    """Asks for the state of the queued resource: one word."""
    return [
        *_TPUS, "queued-resources", "describe", vm.label, "--format=value(state.state)", *vm.place
    ]  # fmt: skip


def node_state(vm: Vm) -> Call:
    """Asks for the state of the TPU itself, which may be gone while its request is active."""
    return [*_TPUS, "tpu-vm", "describe", vm.label, "--format=value(state)", *vm.place]


def ssh(vm: Vm, remote: Sequence[str]) -> Call:
    """Runs a command on every host; its arguments arrive as they are, whatever they hold."""
    command = f"--command={shlex.join(remote)}"
    return [*_TPUS, "tpu-vm", "ssh", vm.label, command, "--worker=all", *vm.place]


def host_status(vm: Vm) -> Call:
    """Asks each host how the run is."""
    return _on_hosts(vm, "status")


def _on_hosts(vm: Vm, action: str, *arguments: str) -> Call:
    return ssh(vm, ["bash", "host.sh", action, vm.label, *arguments])
