"""Bundles: what is in them, and that a change of any byte is found from the folder alone."""

import json
import shutil
import subprocess

import pytest

from jgpt2 import manifest, storage
from jgpt2.errors import DamageError, InputError
from jgpt2.publish.release import bundle, ledger, stages
from tests.publish import ladder

MADE = {"partner": "港大学 {研究室}", "by": "山田", "now": ladder.START}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return ladder.full(tmp_path_factory.mktemp("公開 一"))


@pytest.fixture(scope="module")
def made(path):
    bundle.build(path, "xl", out=path.parent / "渡す", **MADE)
    return path.parent / "渡す"


@pytest.fixture
def given(made, tmp_path):
    return shutil.copytree(made, tmp_path / "given")


def test_a_bundle_holds_the_export_and_says_what_it_is(path, made):
    names = ["AGREEMENT.ja-en.md", "README.md", "SHA256SUMS", "bundle.json", "manifest.json"]
    model = [f"model/{name}" for name in storage.files(path.parent / "exports" / "xl")]
    assert storage.files(made) == sorted([*names, *model])
    exported = manifest.verify(made / "model", kind="export")
    record = json.loads((made / "bundle.json").read_text("utf-8"))
    assert (record["stage"], record["partner"]) == ("xl", MADE["partner"])
    assert record["export"] == exported.fingerprint
    assert record["watermark_key"] is None
    assert {gate["state"] for gate in record["gates"]} == {"passed", "waived", "failed"}
    assert manifest.verify(made, kind="bundle").parents == {"export": exported.fingerprint}


def test_the_agreement_is_a_template_in_both_languages(made):
    text = (made / "AGREEMENT.ja-en.md").read_text("utf-8")
    assert "ひな形であり、法律上の助言ではありません" in text
    assert "A template, not legal advice" in text
    assert MADE["partner"] in text
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert len(headings) == 10
    assert all(" / " in heading for heading in headings)
    assert "sha256sum -c" in (made / "README.md").read_text("utf-8")


def test_the_ledger_has_its_line(path, made):
    line = ledger.read(path.parent)[0]
    assert (line["event"], line["stage"], line["partner"]) == ("shared", "xl", MADE["partner"])
    assert line["bundle"] == manifest.read(made).fingerprint
    assert line["sums"] == bundle.verify(made)


def test_sha256sum_takes_the_list(given):
    check = ["sha256sum", "-c", "--quiet", "SHA256SUMS"]
    assert subprocess.run(check, cwd=given, capture_output=True).returncode == 0
    (given / "README.md").write_text("x", "utf-8")
    assert subprocess.run(check, cwd=given, capture_output=True).returncode == 1


def test_one_flipped_byte_in_any_file_is_found_and_named(given):
    for name in storage.files(given):
        whole = (given / name).read_bytes()
        for place in {0, len(whole) // 2, len(whole) - 1}:
            flipped = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
            (given / name).write_bytes(flipped)
            with pytest.raises(DamageError, match=name):
                bundle.verify(given)
        (given / name).write_bytes(whole)
    bundle.verify(given)


@pytest.mark.parametrize("name", ["SHA256SUMS", "manifest.json"])
def test_every_byte_of_the_two_lists_counts(given, name):
    whole = (given / name).read_bytes()
    for place in range(0, len(whole), 13):
        (given / name).write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(DamageError, match=name):
            bundle.verify(given)


def test_files_that_were_added_are_missing_or_have_other_names(given):
    (given / "model" / "pickle.bin").write_bytes(b"x")
    with pytest.raises(DamageError, match=r"model/pickle.bin was added"):
        bundle.verify(given)
    (given / "model" / "pickle.bin").unlink()
    (given / "README.md").rename(given / "LIESMICH.md")
    with pytest.raises(DamageError, match=r"README.md is named LIESMICH.md"):
        bundle.verify(given)
    (given / "LIESMICH.md").unlink()
    with pytest.raises(DamageError, match=r"README.md is missing"):
        bundle.verify(given)


def test_without_its_lists_it_is_no_bundle(given, tmp_path):
    (given / "manifest.json").unlink()
    with pytest.raises(DamageError, match=r"manifest.json is missing"):
        bundle.verify(given)
    (given / "SHA256SUMS").unlink()
    with pytest.raises(InputError, match="no finished bundle"):
        bundle.verify(given)
    with pytest.raises(InputError, match="holds a export, not a bundle"):
        bundle.verify(given / "model")


def test_the_list_alone_gone(given):
    (given / "SHA256SUMS").unlink()
    with pytest.raises(DamageError, match="SHA256SUMS is missing"):
        bundle.verify(given)


def test_a_list_made_anew_over_another_model_is_found(given):
    (given / "model" / "card.json").write_text("{}", "utf-8")
    manifest.write_text(given / "SHA256SUMS", bundle._sums(given))
    with pytest.raises(DamageError, match=r"card.json does not match its SHA-256"):
        bundle.verify(given)
    manifest.put(given, manifest.read(given / "model"))
    manifest.write_text(given / "SHA256SUMS", bundle._sums(given))
    with pytest.raises(InputError, match="holds a export"):
        bundle.verify(given)


def test_what_is_not_bundled(tmp_path, made):
    path = ladder.full(tmp_path)
    with pytest.raises(InputError, match="nothing is overwritten"):
        bundle.build(path, "small", out=made, **MADE)
    with pytest.raises(InputError, match="--out must be on this machine, but gs://b/out is in"):
        bundle.build(path, "small", out=storage.path("gs://b/out"), **MADE)
    with pytest.raises(InputError, match="the policy of a bundle must be on this machine"):
        bundle.build(storage.path("gs://b/p.toml"), "small", out=tmp_path / "out", **MADE)
    with pytest.raises(InputError, match="--partner ' ' says nothing"):
        bundle.build(path, "small", out=tmp_path / "out", **MADE | {"partner": " "})
    stages.publish(path, "small", by="山田", now=ladder.START)
    stages.withdraw(path, "small", reason="品質", by="山田", now=ladder.START)
    with pytest.raises(InputError, match=r"small was withdrawn on 2026-02-14 \(品質\)"):
        bundle.build(path, "small", out=tmp_path / "out", **MADE)
    (tmp_path / "exports" / "large" / "card.json").write_text("{}", "utf-8")
    with pytest.raises(InputError, match="the export of large is not whole"):
        bundle.build(path, "large", out=tmp_path / "out", **MADE)
    assert not (tmp_path / "out").exists()
    assert [line["event"] for line in ledger.read(tmp_path)] == ["published", "withdrawn"]


def test_the_verbs(command, tmp_path):
    path, out = ladder.full(tmp_path), tmp_path / "渡す"
    words = ["--stage", "small", "--partner", "港大学", "--by", "山田", "--out", out]
    answer = command("release", "bundle", path, *words)
    assert "small for 港大学; SHA256SUMS has SHA-256 " in answer.out
    (line,) = ledger.read(tmp_path)
    assert line["sums"] in answer.out
    assert command("release", "verify", out, "--json").json() == {"sums": line["sums"]}
    (out / "README.md").unlink()
    damaged = command("release", "verify", out)
    assert damaged.exit_code == 3
    assert "README.md is missing" in damaged.err
