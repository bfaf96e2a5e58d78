"""gcp-storage-emulator with generations, on the loopback: `serving` has it in another process.

`python emulator.py PORT BUCKET` serves until killed.

By itself the emulator does not tell the generation of what is downloaded and does not heed
conditions on it. TensorStore needs both whenever it writes an object that is there already: its
database of arrays fails with "Malformed StorageGeneration", depending on timing.
"""

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

from gcp_storage_emulator import server
from gcp_storage_emulator.exceptions import NotFound
from gcp_storage_emulator.handlers import objects

_START_S = 30


@contextlib.contextmanager
def serving(bucket: str) -> Iterator[None]:
    """An empty bucket, to which all processes of this environment are sent meanwhile."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, __file__, str(port), bucket], stderr=subprocess.DEVNULL
    )
    before = dict(os.environ)
    os.environ.update(environment(port))
    try:
        _wait_for(port)
        yield
    finally:
        server.kill()
        server.wait()
        os.environ.clear()
        os.environ.update(before)


def environment(port: int) -> dict[str, str]:
    """What sends gcsfs and TensorStore to the emulator, without credentials and probes."""
    url = f"http://127.0.0.1:{port}"
    return {
        "TENSORSTORE_GCS_HTTP_URL": url,
        "STORAGE_EMULATOR_HOST": url,
        "FSSPEC_GCS_TOKEN": "anon",
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
        "NO_PROXY": "127.0.0.1",
    }


def _wait_for(port: int) -> None:
    until_s = time.monotonic() + _START_S
    while True:
        with contextlib.suppress(OSError):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
            connection.request("GET", "/")
            connection.getresponse().read()
            return
        assert time.monotonic() < until_s, "the emulator does not answer"
        time.sleep(0.1)


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
