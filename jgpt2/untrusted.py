"""JSON that somebody else wrote: one object, each name once, and nothing that stops the reader."""

import collections
import json
from typing import Any

from jgpt2.errors import DamageError


def json_object(content: bytes, what: str) -> dict[str, Any]:
    """The object that UTF-8 JSON holds; `what` is the file's name for the message.

    Raises DamageError for anything else, a name that stands twice in one object, and nesting that
    the parser cannot follow.

    >>> json_object('{"題": [1]}'.encode(), "config.json")
    {'題': [1]}
    """
    try:
        found = json.loads(content.decode(), object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise DamageError(f"{what} is not JSON ({error}); fetch it again.") from None
    if not isinstance(found, dict):
        raise DamageError(
            f"{what} is a JSON {type(found).__name__}, not an object of fields; fetch it again."
        )
    return found


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        repeated = collections.Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"it has {repeated!r} twice in one object")
    return fields
