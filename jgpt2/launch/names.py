"""The name of a run as clusters allow it, whatever its author called it."""

import hashlib
import re

from jgpt2.errors import InputError

LONGEST = 40
"""A pod is called NAME-slice-SLICE-HOST-RANDOM, in 63 characters of a DNS label (RFC 1123)."""


def dns(name: str) -> str:
    """A DNS label of lower-case letters, digits and hyphens that starts with a letter.

    A name that is one already stays; any other gets six digits of its hash at the end, so that two
    runs never share a name because their differences were left out.

    >>> dns("small-ja")
    'small-ja'
    >>> dns("Small 日本語")
    'small-12ab46'
    >>> dns("港の朝") != dns("港の夜")
    True

    Raises InputError for an empty name.
    """
    if not name.strip():
        raise InputError("the run has no name; give --name, such as small-ja.")
    if len(name) <= LONGEST and re.fullmatch("[a-z]([a-z0-9-]*[a-z0-9])?", name):
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:6]
    kept = re.sub("[^a-z0-9]+", "-", name.lower()).lstrip("-0123456789")
    kept = kept[: LONGEST - len(digest) - 1].rstrip("-")
    return f"{kept or 'run'}-{digest}"
