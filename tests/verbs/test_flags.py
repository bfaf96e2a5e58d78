"""Values that tyro does not know: datasets with weights, and paths in buckets."""

from pathlib import Path

import pytest

from jgpt2 import config
from jgpt2.errors import InputError
from jgpt2.verbs import flags

MIXED: config.Dataset = {"books": 0.5, "web": 1.5}


def parsed(*words: str, default: config.Dataset = "ja") -> tuple[config.Dataset, Path]:
    def verb(run: Path = Path("x"), dataset: config.Dataset = default) -> tuple:
        return dataset, run

    call = flags.parse(verb, words, prog="jgpt2 verb")
    assert call is not None
    return call()


@pytest.mark.parametrize(
    ("words", "dataset"),
    [
        ("ja", "ja"),
        ("books:1", {"books": 1.0}),
        ("books:0.5 web:1.5", MIXED),
        ("ns:books:1e-3 青空:2", {"ns:books": 0.001, "青空": 2.0}),
    ],
)
def test_datasets_are_one_name_or_several_with_weights(words, dataset):
    found = parsed("--dataset", *words.split(), "--run", "y", default="other")
    assert found == (dataset, Path("y"))


@pytest.mark.parametrize("default", ["ja", MIXED, {"a": 0.1 + 0.2}])
def test_what_is_not_given_stays_as_it_was(default):
    assert parsed(default=default)[0] == default


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("a b", "--dataset a b: 'a' is no name with a weight; give one name, or each as NAME:WEI"),
        ("a:1 b", "--dataset a:1 b: 'b' is no name with a weight; give one name, or each as NAME"),
        ("a:x", "--dataset a:x: 'a:x' is no name with a weight; give one name, or each as NAME:W"),
        (":1", "--dataset :1: ':1' is no name with a weight; give one name, or each as NAME:WEIG"),
        ("a:1 a:2", "--dataset a:1 a:2 names 'a' twice; give it once, with one weight."),
    ],
)
def test_what_is_no_mixture_is_refused(words, message):
    with pytest.raises(InputError) as refused:
        parsed("--dataset", *words.split())
    assert str(refused.value).startswith(message)


def test_the_help_shows_the_mixture_of_a_config(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")

    def verb(dataset: config.Dataset = MIXED) -> None:
        """Train.

        Args:
            dataset: What is read.
        """

    assert flags.parse(verb, ["--help"], prog="jgpt2 verb") is None
    shown = " ".join(capsys.readouterr().out.split())
    assert "--dataset NAME|NAME:WEIGHT..." in shown
    assert "What is read. (default: books:0.5 web:1.5)" in shown


def paths(*words: str) -> dict[str, object]:
    def verb(run: Path, text: tuple[Path, ...] = (), out: Path | None = None) -> dict[str, object]:
        return {"run": run, "text": text, "out": out}

    call = flags.parse(verb, words, prog="jgpt2 verb")
    assert call is not None
    return call()


def test_a_path_in_a_bucket_keeps_its_slashes():
    found = paths("--run", "gs://b/散歩 一", "--out", "gs://b/x", "--text", "a", "gs://b/t")
    assert str(found["run"]) == "gs://b/散歩 一"
    assert str(found["out"]) == "gs://b/x"
    assert [str(path) for path in found["text"]] == ["a", "gs://b/t"]
    assert found["text"][0] == Path("a")


def test_local_paths_stay_paths():
    found = paths("--run", "runs/a b", "--text", "a", "b")
    assert found == {"run": Path("runs/a b"), "text": (Path("a"), Path("b")), "out": None}


def test_a_path_of_another_scheme_is_one_paragraph():
    with pytest.raises(InputError, match=r"^s3://b/x is in an S3 bucket"):
        paths("--run", "s3://b/x")
    with pytest.raises(InputError, match=r"^s3://b/x is in an S3 bucket"):
        paths("--run", "a", "--out", "s3://b/x")


def test_a_quickstart_is_made_on_this_machine(command):
    refused = command("quickstart", "--out", "gs://b/quickstart")
    assert refused.exit_code == 2
    assert "--out must be on this machine, but gs://b/quickstart is in a bucket" in refused.err
