"""The queue that admits JobSets to TPUs: a flavour of nodes, a quota of chips, a queue of names."""

from jgpt2.errors import InputError
from jgpt2.launch import jobset
from jgpt2.launch.accelerators import Accelerator

_API = "kueue.x-k8s.io/v1beta2"


def manifests(
    accelerator: Accelerator,
    *,
    queue: str,
    chips: int,
    namespace: str = "default",
    spot: bool = False,
) -> list[jobset.Manifest]:
    """ResourceFlavor, ClusterQueue and LocalQueue, for slices of the type and `chips` in all.

    Raises InputError when no slice fits.
    """
    if chips < accelerator.chips:
        raise InputError(
            f"--chips {chips} admits no {accelerator.name}, which has {accelerator.chips}; give a "
            f"multiple of {accelerator.chips}."
        )
    flavour = accelerator.name.replace(":", "-") + ("-spot" if spot else "")
    nodes: jobset.Manifest = {"nodeLabels": jobset.node_labels(accelerator, spot=spot)}
    if spot:
        nodes["tolerations"] = [jobset.spot_toleration()]
    quota = {"name": "google.com/tpu", "nominalQuota": chips}
    group = {
        "coveredResources": ["google.com/tpu"],
        "flavors": [{"name": flavour, "resources": [quota]}],
    }
    return [
        {
            "apiVersion": _API,
            "kind": "ResourceFlavor",
            "metadata": {"name": flavour},
            "spec": nodes,
        },
        {
            "apiVersion": _API,
            "kind": "ClusterQueue",
            "metadata": {"name": queue},
            "spec": {"namespaceSelector": {}, "resourceGroups": [group]},
        },
        {
            "apiVersion": _API,
            "kind": "LocalQueue",
            "metadata": {"name": queue, "namespace": namespace},
            "spec": {"clusterQueue": queue},
        },
    ]
