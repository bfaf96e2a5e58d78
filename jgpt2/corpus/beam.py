"""The same build on Apache Beam: one pipeline for DirectRunner, Dataflow, Flink and Spark.

Workers annotate shards with the functions that a single process uses, and compare the documents of
each bucket of near-duplicate candidates: the grouping by bucket is the only shuffle. What they find
goes through files in `staging`; the machine that launched the pipeline then chooses, splits and
writes the dataset, which is the same bytes as from one process.
"""

import contextlib
import dataclasses
import functools
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import fsspec
import numpy as np

from jgpt2 import manifest
from jgpt2.corpus import build as builder
from jgpt2.corpus import selection, shards
from jgpt2.corpus.duplicates import minhash, search
from jgpt2.errors import DamageError, InputError

_POSITION_BITS = 32
"""A document's name in the pipeline is its shard's number and its place in the shard."""

Document = tuple[int, bytes, bytes]
"""Name, digest, and signature as bytes, little-endian."""


def build(
    paths: Sequence[str | Path],
    out: Path,
    *,
    options: Sequence[str],
    name: str,
    recipe: builder.Recipe | None = None,
    documents: Path | None = None,
    staging: str | None = None,
) -> manifest.Manifest:
    """Builds the dataset in the folder `out`, annotating on the runner that `options` name.

    `options` are those of a Beam pipeline, such as `--runner=DirectRunner`. `staging` is a folder
    that all workers and this machine reach, such as `gs://bucket/folder`; finished shards stay
    there. Without one, workers write to this machine's disk. See `jgpt2.corpus.build.build` for
    the rest. Raises InputError when Beam is not installed.
    """
    _require_beam()
    staging = staging and staging.removeprefix("file://")  # Beam knows local paths without it
    recipe = recipe or builder.Recipe()
    planned = builder.plan(paths, out, recipe.settings, documents)
    with tempfile.TemporaryDirectory() as scratch:
        links = f"{staging.rstrip('/') if staging else scratch}/links"
        _remove(links)
        run(planned, recipe, options=options, staging=staging, links=links)
        for shard in planned if staging else ():
            _fetch(shard, staging)
        return builder.finish(planned, out, name=name, recipe=recipe, links=_read_links(links))


def run(
    planned: Sequence[shards.Shard],
    recipe: builder.Recipe,
    *,
    options: Sequence[str],
    staging: str | None,
    links: str,
) -> None:
    """Runs the pipeline: finished shards, and pairs of near-duplicates in files `links`-*."""
    import apache_beam
    from apache_beam.io import WriteToText
    from apache_beam.options.pipeline_options import PipelineOptions

    choose = functools.partial(_chosen, choice=recipe.choice, staging=staging)
    compare = functools.partial(_links, threshold=recipe.near_duplicates)
    try:
        pipeline = apache_beam.Pipeline(options=PipelineOptions(list(options)))
    except ValueError as error:
        raise InputError(f"Beam cannot run with {' '.join(options)}: {error}") from error
    with pipeline:
        _ = (
            pipeline
            | "Shards" >> apache_beam.Create(list(enumerate(planned)))
            | "Spread" >> apache_beam.Reshuffle()
            | "Annotate" >> apache_beam.Map(_write, staging=staging)
            | "Choose" >> apache_beam.FlatMap(choose)
            | "Bands" >> apache_beam.FlatMap(_keyed)
            | "Buckets" >> apache_beam.GroupByKey()
            | "Compare" >> apache_beam.FlatMap(compare)
            | "Links" >> WriteToText(links)
        )


def _write(numbered: tuple[int, shards.Shard], staging: str | None) -> tuple[int, shards.Shard]:
    """Annotates a shard where it is not finished yet."""
    number, shard = numbered
    if staging is None:
        shards.write(shard)
        return numbered
    system, root = fsspec.core.url_to_fs(staging)
    if not system.exists(f"{root}/{shard.record.name}"):
        with _local(shard) as local:
            shards.write(local)
            system.makedirs(root, exist_ok=True)
            for path in (local.documents, local.table, local.record):  # the record last
                system.put_file(str(path), f"{root}/{path.name}")
    return number, shard


def _chosen(
    numbered: tuple[int, shards.Shard], choice: selection.Choice, staging: str | None
) -> Iterator[Document]:
    """The documents of a shard that are chosen, and removed ones, whose copies must be found."""
    number, shard = numbered
    choose = selection.Chooser(choice)
    with _local(shard) if staging else contextlib.nullcontext(shard) as local:
        if staging:
            _fetch(local, staging)
        for position, (_, row, item) in enumerate(shards.read_documents(local)):
            if choose(item).stage in ("", "removal"):
                name = number << _POSITION_BITS | position
                yield name, bytes(row["digest"]), row["signature"].tobytes()


def _keyed(document: Document) -> Iterator[tuple[int, Document]]:
    """The document under the key of each band of its signature."""
    keys = minhash.band_keys(_signatures([document]))[0]
    for key in keys.view(np.int64).tolist():  # Beam's integers are signed
        yield key, document


def _links(bucket: tuple[int, Iterable[Document]], threshold: float | None) -> Iterator[str]:
    """Lines `NAME NAME` of the links in a bucket."""
    documents = list(bucket[1])
    if len(documents) < 2:
        return
    digests = [digest for _, digest, _ in documents]
    for leader, member in search.links(digests, _signatures(documents), threshold):
        yield f"{documents[leader][0]} {documents[member][0]}"


def _signatures(documents: Sequence[Document]) -> np.ndarray[Any, Any]:
    joined = b"".join(signature for _, _, signature in documents)
    return np.frombuffer(joined, "<u4").reshape(-1, minhash.NUM_HASHES)


@contextlib.contextmanager
def _local(shard: shards.Shard) -> Iterator[shards.Shard]:
    """The shard in a folder of this worker's own disk, which is removed afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        yield dataclasses.replace(shard, folder=Path(folder))


def _fetch(shard: shards.Shard, staging: str | None) -> None:
    """Copies a finished shard from the staging folder, the record last."""
    if staging is None or shards.is_finished(shard):
        return
    system, root = fsspec.core.url_to_fs(staging)
    shard.folder.mkdir(parents=True, exist_ok=True)
    for path in (shard.documents, shard.table, shard.record):
        partial = path.with_name(f"{path.name}.partial")
        system.get_file(f"{root}/{path.name}", str(partial))
        partial.replace(path)


def _remove(links: str) -> None:
    """Removes the links of a run before."""
    system, path = fsspec.core.url_to_fs(links)
    for found in system.glob(f"{path}-*"):
        system.rm_file(found)


def _read_links(links: str) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Pairs of (shard, place in it)."""
    mask = (1 << _POSITION_BITS) - 1
    files = fsspec.open_files(f"{links}-*", "rt", encoding="utf-8")
    if not files:
        raise DamageError(
            f"the pipeline ended, but its links of near-duplicates ({links}-*) are not there; "
            "check that workers and this machine reach one staging folder, and run it again."
        )
    for file in files:
        with file as lines:
            for line in lines:
                left, right = (
                    (name >> _POSITION_BITS, name & mask) for name in map(int, line.split())
                )
                yield left, right


def _require_beam() -> None:
    try:
        import apache_beam  # noqa: F401
    except ImportError as error:
        raise InputError(
            "Apache Beam is not installed; install the extra: uv sync --extra beam, or "
            "pip install 'jgpt2[beam]'."
        ) from error
