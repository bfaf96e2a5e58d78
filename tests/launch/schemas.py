"""The schemas that a cluster holds a manifest to, closed: a field they do not know is a fault."""

import copy
import functools
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

ROOT = Path(__file__).parents[2]
CRDS = ROOT.parent / "shared" / "crds"
"""The resource definitions of JobSet and Kueue, which are not part of the project."""
KUBERNETES = "1.35"


def faults(manifest: dict[str, Any]) -> list[str]:
    """What the API server would refuse, each with its path; a JobSet's jobs as jobs too."""
    schema = closed()[manifest.get("apiVersion"), manifest.get("kind")]
    validator = jsonschema.Draft7Validator(schema)
    found = [
        f"{'/'.join(map(str, error.absolute_path))}: {error.message}"
        for error in validator.iter_errors(manifest)
    ]
    for job in manifest["spec"].get("replicatedJobs", []):
        spec = copy.deepcopy(job.get("template", {}).get("spec", {}))
        built_in = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "x"},
            "spec": spec,
        }
        try:
            kubernetes_validate.validate(built_in, KUBERNETES, strict=True)
        except kubernetes_validate.ValidationError as error:
            found.append(f"job: {error.message}")
    return found


@functools.cache
def closed() -> dict[tuple[str, str], Any]:
    """(apiVersion, kind) -> schema in which unknown fields are faults."""
    schemas = {}
    for file in sorted(CRDS.glob("*.yaml")):
        definition = yaml.load(file.read_text("utf-8"), yaml.CSafeLoader)
        spec = definition["spec"]
        for version in spec["versions"]:
            schema = _close(version["schema"]["openAPIV3Schema"])
            # The CRD leaves it open; of it these manifests use the following.
            texts = {"type": "object", "additionalProperties": {"type": "string"}}
            name = {"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", "maxLength": 63}
            schema["properties"]["metadata"] = {
                "type": "object",
                "required": ["name"],
                "additionalProperties": False,
                "properties": {
                    "name": name, "namespace": name, "labels": texts, "annotations": texts
                },
            }  # fmt: skip
            schema["required"] = ["apiVersion", "kind", "metadata", "spec"]
            schemas[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = schema
    return schemas


def _close(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_close(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _close(value) for key, value in schema.items()}
    if isinstance(made.get("properties"), dict) and made.get("type") == "object":
        made.setdefault("additionalProperties", False)
    if made.pop("x-kubernetes-int-or-string", False) is True:
        made.pop("type", None)
        made["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    return made
