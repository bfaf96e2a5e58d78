"""A command on TPUs of a Kubernetes cluster, as a JobSet: one job a slice, one pod a host.

JAX finds its processes by itself from what GKE tells each pod of a slice (TPU_WORKER_ID,
TPU_WORKER_HOSTNAMES); of several slices it needs to know the first host and the number of each.

When a pod fails, its job's podFailurePolicy looks at the exit code or the condition, and fails the
job with a message that tells which it was. The rules of the JobSet read that message, as the reason
is the same for all (KEP-262 of JobSet, "onJobFailureMessagePatterns"; JobSet 0.12 has it).
"""

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

from jgpt2.errors import InputError
from jgpt2.launch import exits, names
from jgpt2.launch.accelerators import Accelerator

Manifest = dict[str, Any]

SLICE = "slice"
"""Name of the replicated job: pods are NAME-slice-SLICE-HOST."""
CONTAINER = "main"
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
NAME_ANNOTATION = "jgpt2/name"
"""Holds the name as its author wrote it."""
_EXCLUSIVE = "alpha.jobset.sigs.k8s.io/exclusive-topology"
_JOB_INDEX = "metadata.annotations['jobset.sigs.k8s.io/job-index']"
_MATCHED = ["PodFailurePolicy"]
"""The reason of every job that a rule of its podFailurePolicy has failed."""
_DISRUPTED = "DisruptionTarget"
"""The condition of a pod that is preempted, evicted, or on a node that goes."""
_PORTS = {"tpu": 8471, "megascale": 8080}
_SECRET_NAME = re.compile("TOKEN|KEY|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)
_VARIABLE = re.compile("[A-Za-z_][A-Za-z0-9_]*")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What shall run, and on what."""

    name: str
    """As its author calls it; any text."""
    command: Sequence[str]
    """Arguments of the image's entry point, which is `jgpt2`."""
    image: str
    accelerator: Accelerator
    slices: int = 1
    spot: bool = False
    queue: str | None = None
    """LocalQueue of Kueue that admits it."""
    max_restarts: int = 10
    """How many failures are answered by a restart; disruptions and saved states do not count."""
    grace_s: int = 120
    """From SIGTERM to SIGKILL: the longest step and a save."""
    service_account: str | None = None
    """Of Kubernetes, bound to one of Google's that may use the bucket."""
    variables: Sequence[str] = ()
    """NAME=VALUE."""
    secrets: Sequence[str] = ()
    """NAME=SECRET:KEY: the variable's value is read in the cluster, and stands in no file."""


def manifest(request: Request) -> Manifest:
    """The JobSet; InputError for numbers or variables that cannot be used."""
    _check(request)
    name = names.dns(request.name)
    metadata: Manifest = {"name": name, "annotations": {NAME_ANNOTATION: request.name}}
    if request.slices > 1:
        metadata["annotations"][_EXCLUSIVE] = "cloud.google.com/gke-nodepool"
    if request.queue is not None:
        metadata["labels"] = {QUEUE_LABEL: request.queue}
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": metadata,
        "spec": {
            "failurePolicy": _failure_policy(request.max_restarts),
            "replicatedJobs": [
                {
                    "name": SLICE,
                    "replicas": request.slices,
                    "template": {"spec": _job(request, name)},
                }
            ],
        },
    }


def node_labels(accelerator: Accelerator, *, spot: bool) -> dict[str, str]:
    """The labels of the nodes that have it."""
    labels = {
        "cloud.google.com/gke-tpu-accelerator": accelerator.gke_accelerator,
        "cloud.google.com/gke-tpu-topology": accelerator.topology,
    }
    return labels | ({"cloud.google.com/gke-spot": "true"} if spot else {})


def spot_toleration() -> Manifest:
    """What a pod needs to be put on a spot node."""
    return {
        "key": "cloud.google.com/gke-spot",
        "operator": "Equal",
        "value": "true",
        "effect": "NoSchedule",
    }


def _failure_policy(max_restarts: int) -> Manifest:
    never = "|".join(map(str, exits.NEVER_RETRIED))
    rules = [
        ("unusable_or_damaged", "FailJobSet", rf"failed with exit code ({never}) matching"),
        ("disrupted", "RestartJobSetAndIgnoreMaxRestarts", f"has condition {_DISRUPTED} matching"),
        ("saved", "RestartJobSetAndIgnoreMaxRestarts", f"exit code {exits.SAVED} matching"),
    ]
    return {
        "maxRestarts": max_restarts,
        "restartStrategy": "BlockingRecreate",  # the chips are free when the new pods come
        "rules": [
            {
                "name": name,
                "action": action,
                "onJobFailureReasons": _MATCHED,
                "onJobFailureMessagePatterns": [pattern],
            }
            for name, action, pattern in rules
        ],
    }


def _job(request: Request, name: str) -> Manifest:
    return {
        "parallelism": request.accelerator.hosts,
        "completions": request.accelerator.hosts,
        "completionMode": "Indexed",
        "backoffLimit": 0,  # a slice with one new pod in it cannot go on: the whole set restarts
        "podFailurePolicy": {
            "rules": [
                _on_exit_codes(*exits.NEVER_RETRIED),
                {
                    "action": "FailJob",
                    "onPodConditions": [{"type": _DISRUPTED, "status": "True"}],
                },
                _on_exit_codes(exits.SAVED),
            ]
        },
        "template": {
            "metadata": {"annotations": {NAME_ANNOTATION: request.name}},
            "spec": _pod(request, name),
        },
    }


def _on_exit_codes(*codes: int) -> Manifest:
    match = {"containerName": CONTAINER, "operator": "In", "values": list(codes)}
    return {"action": "FailJob", "onExitCodes": match}


def _pod(request: Request, name: str) -> Manifest:
    accelerator = request.accelerator
    pod: Manifest = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": request.grace_s,
        "nodeSelector": node_labels(accelerator, spot=request.spot),
    }
    if request.spot:
        pod["tolerations"] = [spot_toleration()]
    if request.service_account is not None:
        pod["serviceAccountName"] = request.service_account
    chips = {"google.com/tpu": accelerator.chips_per_host}
    container: Manifest = {
        "name": CONTAINER,
        "image": request.image,
        "args": [_literal(argument) for argument in request.command],
        "ports": [{"name": key, "containerPort": port} for key, port in _PORTS.items()],
        "resources": {"requests": chips, "limits": dict(chips)},
    }
    environment = _environment(request, name)
    if environment:
        container["env"] = environment
    return pod | {"containers": [container]}


def _environment(request: Request, name: str) -> list[Manifest]:
    given = [variable.partition("=") for variable in request.variables]
    made: list[Manifest] = [{"name": key, "value": _literal(value)} for key, _, value in given]
    for secret in request.secrets:
        key, _, place = secret.partition("=")
        holder, _, entry = place.partition(":")
        reference = {"secretKeyRef": {"name": holder, "key": entry}}
        made.append({"name": key, "valueFrom": reference})
    if request.slices > 1:
        first_host = f"{name}-{SLICE}-0-0.{name}"  # HOST.SUBDOMAIN, which is the JobSet's name
        made += [
            {"name": "MEGASCALE_COORDINATOR_ADDRESS", "value": first_host},
            {"name": "MEGASCALE_NUM_SLICES", "value": str(request.slices)},
            {"name": "MEGASCALE_SLICE_ID", "valueFrom": {"fieldRef": {"fieldPath": _JOB_INDEX}}},
        ]
    return made


def _literal(text: str) -> str:
    """The text as it must be written so that Kubernetes, which replaces $(NAME), leaves it alone.

    >>> _literal("$(HOME) costs $5")
    '$$(HOME) costs $$5'
    """
    return text.replace("$", "$$")


def _check(request: Request) -> None:
    for flag, value, least in (
        ("--slices", request.slices, 1),
        ("--max-restarts", request.max_restarts, 0),
        ("--grace-s", request.grace_s, 1),
    ):
        if value < least:
            raise InputError(f"{flag} {value} is too small; give {least} or more.")
    for variable in request.variables:
        key, equals, _ = variable.partition("=")
        if not equals or not _VARIABLE.fullmatch(key):
            raise InputError(f"--variable {variable!r} is no NAME=VALUE; give it as TZ=Asia/Tokyo.")
        if _SECRET_NAME.search(key):
            raise InputError(
                f"--variable {key}=... looks like a secret, and would stand in the manifest; put "
                f"it into a Secret of the cluster and give --secret {key}=SECRET:KEY."
            )
    for secret in request.secrets:
        key, _, place = secret.partition("=")
        holder, _, entry = place.partition(":")
        if not (_VARIABLE.fullmatch(key) and holder and entry):
            raise InputError(
                f"--secret {key}=... does not say where it lies; give NAME=SECRET:KEY, such as "
                "HF_TOKEN=hub:token. The value itself belongs into no command."
            )
