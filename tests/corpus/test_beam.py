"""One pipeline for all runners: DirectRunner gives the dataset that a single process gives."""

import json

import pytest

from jgpt2.corpus import build, removals, selection
from jgpt2.errors import InputError

pytest.importorskip("apache_beam", reason="needs Apache Beam: uv sync --extra beam")

pytestmark = [
    pytest.mark.slow,  # Beam takes seconds to start and leaves warnings of its own
    pytest.mark.filterwarnings("default"),
]


@pytest.fixture
def crawl(tmp_path, tell):
    """Several files with exact copies, near-copies and a removed document with a copy."""
    source = tmp_path / "資 料"
    source.mkdir()
    for number in range(4):
        texts = [tell(20 * number + i) for i in range(20)]
        texts += [tell(20 * number + 25), tell(20 * number) + "\n追記。"]  # of the next file too
        rows = [
            {"text": text, "id": f"{number}-{i}", "license": "CC0"} for i, text in enumerate(texts)
        ]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (source / f"{number}.jsonl").write_text(lines, "utf-8")
    page = "<html><body>" + "".join(f"<p>{tell(200 + i, 20)}</p>" for i in range(5)) + "</body>"
    (source / "頁.html").write_bytes(page.encode("euc_jp"))
    return source


def contents(folder):
    timed = {"manifest.json", "account.json", "report.html"}
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name not in timed}


@pytest.mark.parametrize("is_staged", [False, True])
def test_direct_runner_pool_and_single_process_are_the_same_bytes(
    tmp_path, crawl, monkeypatch, is_staged
):
    from jgpt2.corpus import beam

    monkeypatch.setattr(build.shards, "SHARD_BYTES", 2_000)
    asked = removals.Removals(ids=frozenset({"0-0"}))
    recipe = build.Recipe(choice=selection.Choice(removals=asked))
    single = build.build([crawl], tmp_path / "single", name="a", recipe=recipe)
    pool = build.build([crawl], tmp_path / "pool", name="a", recipe=recipe, workers=2)
    staging = f"file://{tmp_path}/共有" if is_staged else None
    options = ["--runner=DirectRunner"]
    beamed = beam.build(
        [crawl], tmp_path / "beam", options=options, name="a", recipe=recipe, staging=staging
    )
    assert single.notes["drops"]["near-duplicate"] == 3
    assert single.notes["drops"]["exact duplicate"] == 3
    assert single.notes["drops"]["copy of a removed document"] == 1
    assert single.fingerprint == pool.fingerprint
    assert single.fingerprint == beamed.fingerprint
    assert single.notes == pool.notes == beamed.notes
    assert contents(tmp_path / "single") == contents(tmp_path / "beam")
    if is_staged:
        again = beam.build(
            [crawl], tmp_path / "again", options=options, name="a", recipe=recipe, staging=staging
        )
        assert again.fingerprint == single.fingerprint


def test_an_unknown_runner_is_refused(tmp_path, crawl):
    from jgpt2.corpus import beam

    with pytest.raises(InputError, match=r"--runner=Foo: .*DirectRunner"):
        beam.build([crawl], tmp_path / "out", options=["--runner=Foo"], name="a")
