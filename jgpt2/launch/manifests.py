"""Manifests as YAML: one document each, keys in the order in which they were made."""

import re
from collections.abc import Sequence

from jgpt2.launch.jobset import Manifest

_WORD = re.compile("[A-Za-z][A-Za-z0-9_./-]*")


def dump(manifests: Sequence[Manifest]) -> str:
    """The documents as text.

    All strings but plain words are quoted: Kubernetes reads an unquoted 3e-4 as a number, though
    for PyYAML, which writes by YAML 1.1, it is a string.
    """
    import yaml

    class Quoting(yaml.SafeDumper):
        def ignore_aliases(self, data: object) -> bool:
            """A list is written out wherever it stands, not pointed back to."""
            return True

    def represent(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
        style = None if _WORD.fullmatch(text) else '"'
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    Quoting.add_representer(str, represent)
    return yaml.dump_all(
        manifests,
        Dumper=Quoting,
        sort_keys=False,
        allow_unicode=True,
        width=10_000,
        explicit_start=True,
    )
