"""gcp-storage-emulator with generations: `python emulator.py PORT BUCKET` serves until killed.

By itself the emulator does not tell the generation of what is downloaded and does not heed
conditions on it. TensorStore needs both whenever it writes an object that is there already: its
database of arrays fails with "Malformed StorageGeneration", depending on timing.
"""

import sys
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from gcp_storage_emulator import server
from gcp_storage_emulator.exceptions import NotFound
from gcp_storage_emulator.handlers import objects


def _generation(storage: Any, bucket: str, name: str) -> str:
    """That of an object, "0" where there is none, as in a condition."""
    try:
        return storage.get_file_obj(bucket, name)["generation"]
    except NotFound:
        return "0"


def _download(request: Any, response: Any, storage: Any) -> None:
    found = _generation(storage, request.params["bucket_name"], request.params["object_id"])
    condition = request.query.get("ifGenerationNotMatch")
    if condition == [found]:
        response.status = HTTPStatus.NOT_FOUND if found == "0" else HTTPStatus.NOT_MODIFIED
        return
    objects.download(request, response, storage)
    response["x-goog-generation"] = found


def _on_condition(handler: Callable[..., Any]) -> Callable[..., Any]:
    def handled(request: Any, response: Any, storage: Any) -> None:
        condition = request.query.get("ifGenerationMatch")
        name = request.params.get("object_id") or (request.query.get("name") or [None])[0]
        if condition is not None and name is not None:
            found = _generation(storage, request.params["bucket_name"], name)
            if condition != [found]:
                response.status = HTTPStatus.PRECONDITION_FAILED
                return
        handler(request, response, storage)

    return handled


def _get(request: Any, response: Any, storage: Any) -> None:
    """Metadata of an object, or its content where the query asks for that."""
    is_content = request.query.get("alt") == ["media"]
    (_download if is_content else objects.get)(request, response, storage)


_REPLACED = {
    objects.download: _download,
    objects.get: _get,
    objects.insert: _on_condition(objects.insert),
    objects.delete: _on_condition(objects.delete),
}


def main(port: str, bucket: str) -> None:
    """Serves one bucket, in memory."""
    server.HANDLERS = tuple(
        (pattern, {method: _REPLACED.get(handler, handler) for method, handler in table.items()})
        for pattern, table in server.HANDLERS
    )
    with server.create_server("127.0.0.1", int(port), in_memory=True, default_bucket=bucket):
        while True:
            time.sleep(60)


if __name__ == "__main__":
    main(*sys.argv[1:])
