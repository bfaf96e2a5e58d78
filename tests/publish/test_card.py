"""Model cards: what they take from the records, that both languages say it, and what is refused."""

import dataclasses
import json
import re
import shutil
import tomllib
from xml.etree import ElementTree

import pytest
from huggingface_hub import EvalResult, ModelCard
from markdown_it import MarkdownIt

from jgpt2 import manifest, runs
from jgpt2.errors import DamageError, InputError
from jgpt2.model import count
from jgpt2.publish.card import author, card, completeness, page, records
from tests.publish import cards


@pytest.fixture(scope="module")
def made(walk, tmp_path_factory):
    """Exports of both vocabularies with their cards, and the file of facts."""
    return cards.make(walk, tmp_path_factory.mktemp("公開"), ("byte", "sp"))


@pytest.fixture
def export(made, tmp_path):
    return shutil.copytree(made / "sp", tmp_path / "sp")


@pytest.fixture
def build(walk, command, made):
    """Runs `jgpt2 card build` on a folder."""

    def run(folder, *more, run=walk.root / "runs" / "sp", facts=made / "facts.toml"):
        return command("card", "build", folder, "--run", run, "--facts", facts, *more)

    return run


@pytest.mark.parametrize("name", ["byte", "sp"])
def test_a_card_holds_what_the_records_know(walk, made, command, name):
    folder, run = made / name, walk.root / "runs" / name
    assert command("card", "check", folder).exit_code == 0
    record = cards.read(folder)
    experiment, evaluated = runs.read_config(run), walk.answers[f"evaluation of {name}"]
    vocab_size = {"byte": 257, "sp": 1500}[name]
    identity, training = record["identity"], record["training"]
    assert identity["parameters"] == count.parameters(experiment.model, vocab_size)
    assert identity["embedding_parameters"] == (vocab_size + 32) * 32
    assert identity["licenses"]["data"] == ["CC0-1.0", "unknown"]
    assert identity["licenses"]["code"] == "Apache-2.0"
    last = [row for row in runs.metrics(run) if row["kind"] == "train"][-1]
    assert (training["tokens"], training["bytes"]) == (last["tokens"], last["bytes"])
    assert training["flops_per_token"] == count.flops_per_token(experiment.model, vocab_size)
    assert training["optimizer"] == dataclasses.asdict(experiment.optimizer)
    assert 0 < training["hours"] < 1
    (dataset,) = record["data"]["datasets"]
    assert dataset["licenses"]["CC0-1.0"]["num_documents"] == 26
    assert dataset["stages"]["near-duplicate"] == {"passed": 27, "left_out": {}}
    assert dataset["epochs"] == pytest.approx(last["bytes"] / 30241, abs=1e-4)
    assert dataset["scripts"]["japanese_share"] == [0.95, 1.0]
    figures = {
        (row["metric"], row["split"], row["by"]): row for row in record["evaluation"]["results"]
    }
    of_test = figures["bits_per_byte", "test", "model"]
    assert of_test["value"] == evaluated["bits_per_byte"]
    assert (of_test["dataset"], of_test["n"]) == ("ja", evaluated["num_documents"])
    assert of_test["command"].startswith(
        f"jgpt2 evaluate runs/{name} --dataset data/ja --split test"
    )
    assert figures["bits_per_byte", "test", "xz -9e"]["value"] == evaluated["xz"]["bits_per_byte"]
    assert figures["bits_per_char", "validation", "model"]["n"] == 1
    assert record["safety"] == dict.fromkeys(("detector", "bias", "memorisation", "watermark"))
    assert record["energy"]["how"] == "unknown"


def test_the_manifest_keeps_what_the_export_is(walk, export, build):
    old = manifest.read(export)
    with_card = manifest.verify(export, kind="export")
    assert {*records.OWN_FILES} < set(with_card.files)
    run = walk.root / "runs" / "sp"
    assert with_card.parents["run"] == manifest.read(run).fingerprint
    assert with_card.identity == {"format": "GPT2LMHeadModel", "dtype": "float32", "step": 6}
    (export / "README.md").write_text("手で書いた", "utf-8")
    assert build(export, "--dataset", walk.root / "data" / "ja").exit_code == 0
    assert manifest.read(export) == old


def test_the_same_folders_give_the_same_bytes(walk, made, export, build):
    shutil.rmtree(export / "figures")
    assert build(export, "--dataset", walk.root / "data" / "ja").exit_code == 0
    names = [*manifest.read(made / "sp").files, manifest.FILE_NAME]
    assert {name: (export / name).read_bytes() for name in names} == {
        name: (made / "sp" / name).read_bytes() for name in names
    }


def test_no_place_of_a_machine_is_in_the_card(walk, made):
    written = "".join((made / "sp" / name).read_text("utf-8") for name in records.OWN_FILES)
    assert walk.root.name not in written
    assert str(walk.root.parent) not in written


def test_both_languages_have_the_same_parts(made):
    body = (made / "sp" / "README.md").read_text("utf-8")
    japanese, english = body.split("## English\n")
    for sign in (r"^### ", r"^#### ", r"^\|", r"^```bash", r"^!\["):
        counts = [len(re.findall(sign, part, re.MULTILINE)) for part in (japanese, english)]
        assert counts[0] == counts[1] > 0, sign
    assert not re.search("[ぁ-んァ-ン一-龠]", english.replace("港の朝は、", ""))
    for part in (japanese, english):
        assert "61,792" in part
        assert "7485dfbba5e9" in part or "dataset" in part


def test_the_curve_is_a_picture(made):
    svg = ElementTree.parse(made / "sp" / records.FIGURE).getroot()
    assert svg.tag.endswith("svg")
    words = "".join(svg.itertext())
    assert "学習 training" in words
    assert "検証 validation" in words


def test_a_long_curve_has_few_points():
    def rows(number):
        return [
            {"kind": "train", "step": step, "bytes": step * 100, "bpb": 2.0}
            for step in range(1, number)
        ]

    assert len(card.curve(rows(20_000))) < 2 * len(card.curve(rows(401)))


def test_the_hub_reads_the_metadata_back(made):
    record = cards.read(made / "sp")
    data = ModelCard((made / "sp" / "README.md").read_text("utf-8")).data
    assert (data.language, data.license, data.library_name) == (
        ["ja"],
        "apache-2.0",
        "transformers",
    )
    assert data.pipeline_tag == "text-generation"
    assert data.metrics == ["bits_per_byte", "bits_per_char"]
    assert "co2_eq_emissions" not in data.to_dict()
    assert data.model_name == "sp"
    assert data.eval_results == [
        EvalResult(
            task_type="text-generation",
            task_name="Language modelling",
            dataset_type="ja",
            dataset_name="ja",
            dataset_split=row["split"],
            dataset_revision=row["revision"],
            metric_type=row["metric"],
            metric_name={"bits_per_byte": "Bits per UTF-8 byte"}.get(
                row["metric"], "Bits per character"
            ),
            metric_value=row["value"],
        )
        for row in record["evaluation"]["results"]
        if row["by"] == "model"
    ]


NASTY = "- <script>x</script> | a\n```\n# 見出し\n---\n1. _x_ **太字** [a](javascript:b) $x$ \u202e"


def structure(readme):
    """The kinds of the blocks of a page, in order, and the text of its inline HTML."""
    body = readme.split("\n---\n", 1)[1]
    tokens = MarkdownIt("commonmark").enable("table").parse(body)
    inline = [inner for token in tokens for inner in token.children or ()]
    assert not [token for token in [*tokens, *inline] if token.type.startswith("html")]
    marks = [one.type for one in inline if one.type not in ("text", "softbreak", "text_special")]
    return [token.type for token in tokens], marks


def test_no_text_breaks_the_page(made):
    record = cards.read(made / "sp")
    plain, spoilt = json.loads(json.dumps(record)), json.loads(json.dumps(record))
    for one, word in ((plain, "甲\n乙\n丙\n丁\n戊"), (spoilt, NASTY)):
        one["identity"]["name"] = word
        one["use"]["intended"] = {"ja": word, "en": word}
        (dataset,) = one["data"]["datasets"]
        dataset["name"] = word
        dataset["sources"] = {word: dataset["sources"]["letter"]}
        one["safety"]["bias"] = {"source": word, "command": word, "figures": {word: word}}
        one["evaluation"]["results"][0]["dataset"] = word
        one["stage"]["name"] = one["contact"]["opt_out"] = word
    pages = [page.render(one) for one in (plain, spoilt)]
    assert structure(pages[0]) == structure(pages[1])
    assert "\u202e" not in pages[1]
    assert ModelCard(pages[1]).data.model_name == " ".join(NASTY.split()).replace(
        "\u202e", "\ufffd"
    )


def test_energy_is_multiplied_out(walk, made, export, build, tmp_path):
    facts = tmp_path / "facts.toml"
    energy = "[energy]\nhours = 40\nwatts = 250\npue = 1.2\ngrams_per_kwh = 500\n"
    facts.write_text(f'{cards.FACTS}{energy}source = "規格表"\nlocation = "東京"\n', "utf-8")
    assert build(export, "--dataset", walk.root / "data" / "ja", facts=facts).exit_code == 0
    told = cards.read(export)["energy"]
    assert (told["how"], told["kwh"], told["grams"]) == ("estimated", 12.0, 6000.0)
    data = ModelCard((export / "README.md").read_text("utf-8")).data
    assert data.co2_eq_emissions == {
        "emissions": 6000.0,
        "source": "規格表",
        "training_type": "pre-training",
        "geographical_location": "東京",
    }
    facts.write_text(f'{cards.FACTS}[energy]\nkwh = 10\nsource = "電力計"\n', "utf-8")
    build(export, "--dataset", walk.root / "data" / "ja", facts=facts)
    told = cards.read(export)["energy"]
    assert (told["how"], told["kwh"], told["grams"]) == ("measured", 10.0, None)


def test_safety_figures_come_from_their_files(walk, export, build, tmp_path):
    facts = tmp_path / "facts.toml"
    facts.write_text(f'{cards.FACTS}[safety]\nbias = "偏り.json"\n', "utf-8")
    assert "偏り.json cannot be read" in build(export, facts=facts).err
    (tmp_path / "偏り.json").write_text("[1]", "utf-8")
    assert "cannot be read" in build(export, facts=facts).err
    report = {"command": "jgpt2 bias runs/sp", "pairs": 60, "score": {"mean": 0.5}}
    (tmp_path / "偏り.json").write_text(json.dumps(report), "utf-8")
    assert build(export, "--dataset", walk.root / "data" / "ja", facts=facts).exit_code == 0
    told = cards.read(export)["safety"]
    assert told["bias"]["figures"] == {"pairs": 60, "score.mean": 0.5}
    assert told["bias"]["command"] == "jgpt2 bias runs/sp"
    assert told["bias"]["source"].startswith("偏り.json (SHA-256 ")
    assert told["detector"] is None
    assert completeness.problems(export) == []
    (tmp_path / "偏り.json").write_text(json.dumps(report | {"step": 3}), "utf-8")
    assert "measure what was exported" in build(export, facts=facts).err


def test_safety_figures_in_the_run_folder_are_found(walk, export, build, tmp_path):
    run = shutil.copytree(walk.root / "runs" / "sp", tmp_path / "run")
    manifest.write_json(run / "memorisation.json", {"command": "jgpt2 x", "step": 6, "n": 9})
    assert build(export, "--dataset", walk.root / "data" / "ja", run=run).exit_code == 0
    assert cards.read(export)["safety"]["memorisation"]["figures"] == {"step": 6, "n": 9}
    manifest.write_json(run / "memorisation.json", {"model": "a" * 64})
    assert "measure what was exported" in build(export, run=run).err


def test_figures_of_others_stand_beside_ours(walk, export, build, tmp_path):
    facts = tmp_path / "facts.toml"
    figure = '[[figures]]\nmetric = "accuracy"\nvalue = 0.31\nlow = 0.28\nhigh = 0.34\nn = 1119\n'
    named = 'dataset = "JCommonsenseQA"\nsplit = "validation"\ncommand = "lm_eval"\n'
    facts.write_text(cards.FACTS + figure + named, "utf-8")
    assert build(export, "--dataset", walk.root / "data" / "ja", facts=facts).exit_code == 0
    assert completeness.problems(export) == []
    page = (export / "README.md").read_text("utf-8")
    assert "0.3100 (0.2800–0.3400)" in page
    assert ModelCard(page).data.eval_results[-1].metric_value == 0.31


def test_an_import_has_a_card_without_a_training(walk, made, export, build, tmp_path):
    imported = tmp_path / "imported"
    imported.mkdir()
    (imported / "shape.json").write_text("{}", "utf-8")
    notes = {"source_files": {"a.safetensors": {"sha256": "c" * 64}}, "license": "mit"}
    given = {"kind": "import", "name": "gpt2", "identity": {}, "parents": {}, "notes": notes}
    origin = manifest.write(imported, files=["shape.json"], **given)
    tokenizer = manifest.read(export).parents["tokenizer"]
    parents = {"import": origin.fingerprint, "tokenizer": tokenizer}
    cards.seal(export, parents=parents)
    answer = build(export, "--json", run=imported).json()
    assert sorted(problem.partition(":")[0] for problem in answer["problems"]) == [
        "evaluation.results",
        "provenance.base_model",
    ]
    facts = tmp_path / "facts.toml"
    facts.write_text(f'{cards.FACTS}[provenance]\nbase_model = "openai/gpt2"\n', "utf-8")
    answer = build(export, "--json", run=imported, facts=facts).json()
    assert [one.partition(":")[0] for one in answer["problems"]] == ["evaluation.results"]
    page = (export / "README.md").read_text("utf-8")
    assert "このプロジェクトでは学習していません" in page
    assert "Not trained by this project" in page
    assert ModelCard(page).data.base_model == "openai/gpt2"
    assert answer["card"]["training"]["tokens"] is None
    assert page.count(f"| source a.safetensors | `{'c' * 64}` |") == 2
    assert not (export / records.FIGURE).exists()


def test_a_fine_tuned_model_names_its_base(walk, made, export, build, tmp_path):
    run = tmp_path / "tuned"
    shutil.copytree(walk.root / "runs" / "sp", run)
    config = json.loads((run / runs.CONFIG).read_text("utf-8"))
    tuning = {"method": "lora", "lora_rank": 8}
    config["start"] = {"model": "a" * 64, "step": 5, "tuning": tuning}
    manifest.write_json(run / runs.CONFIG, config)
    described = manifest.read(run)
    parents = described.parents | {"start": "a" * 64}
    files = ["config.json"]
    given = {"kind": "run", "name": "tuned", "identity": described.identity, "parents": parents}
    tuned = manifest.write(run, files=files, notes=described.notes, **given)
    evaluation = json.loads((run / runs.EVALUATION).read_text("utf-8"))
    manifest.write_json(run / runs.EVALUATION, evaluation | {"model": tuned.fingerprint})
    part = {"datasets": {"古い": "b" * 64}, "split": "test", "num_documents": 3, "num_bytes": 9}
    told = {"old": part | {"before": 2.0, "after": 2.5, "difference": 0.5}, "new": None}
    manifest.write_json(run / "forgetting.json", {"run": {"step": 6}, **told})
    cards.seal(export, parents=manifest.read(export).parents | {"run": tuned.fingerprint})
    answer = build(export, "--dataset", walk.root / "data" / "ja", "--json", run=run).json()
    assert [one.partition(":")[0] for one in answer["problems"]] == ["provenance.base_model"]
    assert answer["card"]["provenance"]["base"] == {"model": "a" * 64, "step": 5}
    assert answer["card"]["training"]["tuning"] == tuning
    (row,) = answer["card"]["evaluation"]["forgetting"]
    assert (row["dataset"], row["before"], row["after"], row["n"]) == ("古い", 2.0, 2.5, 3)
    assert "| 元の学習データ | 古い | test | 3 | 2.0000 | 2.5000 |" in (
        export / "README.md"
    ).read_text("utf-8")
    manifest.write_json(run / "forgetting.json", {"run": {"step": 3}, **told})
    answer = build(export, "--dataset", walk.root / "data" / "ja", "--json", run=run).json()
    assert answer["card"]["evaluation"]["forgetting"] == []


def test_folders_that_do_not_belong_together_are_refused(walk, made, export, build, tmp_path):
    other = build(export, run=walk.root / "runs" / "byte")
    assert other.exit_code == 2
    assert "give the run that was exported" in other.err
    assert (
        "give the folder of a run or an import" in build(export, run=walk.root / "data" / "ja").err
    )
    assert "not a dataset" in build(export, "--dataset", walk.root / "runs" / "sp").err
    assert "not a export" in build(walk.root / "runs" / "sp").err
    strange = shutil.copytree(walk.root / "data" / "ja", tmp_path / "ja")
    cards.seal(strange, identity={"seed": 9})
    assert "leave it out" in build(export, "--dataset", strange).err
    (export / "覚え書き.txt").write_text("", "utf-8")
    assert "覚え書き.txt" in build(export).err


def test_an_evaluation_of_another_step_is_refused(walk, export, build):
    described = manifest.read(export)
    cards.seal(export, identity=described.identity | {"step": 3})
    refused = build(export)
    assert refused.exit_code == 2
    assert "evaluates what was exported" in refused.err


def test_damage_is_not_covered_up(walk, export, build, tmp_path):
    data = shutil.copytree(walk.root / "data" / "ja", tmp_path / "ja")
    account = json.loads((data / "account.json").read_text("utf-8"))
    account["splits"]["train"]["num_documents"] += 1
    (data / "account.json").write_text(json.dumps(account), "utf-8")
    refused = build(export, "--dataset", data)
    assert refused.exit_code == DamageError.exit_code
    assert "not the account of its dataset" in refused.err
    (export / "config.json").write_text("{}", "utf-8")
    refused = build(export)
    assert refused.exit_code == DamageError.exit_code
    assert "config.json does not match its SHA-256" in refused.err


def test_the_template_is_the_file_of_facts_with_nothing_in_it(command, tmp_path):
    out = tmp_path / "facts.toml"
    assert command("card", "facts", out).exit_code == 0
    assert author.load(out) == author.Facts()
    text = out.read_text("utf-8")
    shown = tomllib.loads(re.sub(r"^# ([a-z_]+ = |\[\[)", r"\1", text, flags=re.MULTILINE))
    sections = {field.name: field for field in dataclasses.fields(author.Facts)}
    assert set(shown) == set(sections)
    for name in set(sections) - {"figures"}:
        known = {field.name for field in dataclasses.fields(getattr(author.Facts(), name))}
        assert set(shown[name]) == known
    assert set(shown["figures"][0]) == {one.name for one in dataclasses.fields(author.Figure)}
    assert "nothing is overwritten" in command("card", "facts", out).err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[energy]\nkw = 1\n", "kw: no such key; the known ones are kwh, hours, watts"),
        ("[use.intended]\nfr = ''\n", "known ones are ja, en"),
        ("foo = 1\n", "known ones are licenses, provenance, data"),
        ("stage = 'x'\n", "not a section"),
        ("[data]\nhub_ids = 'x'\n", "'x' is not a list"),
        ("[energy]\nkwh = '3'\n", "'3' is not a number"),
        ("[energy]\nkwh = nan\n", "nan is not a number"),
        ("[[figures]]\nn = 1.5\n", "1.5 is not a whole number"),
        ("[contact]\nopt_out = 1\n", "1 is not text"),
        ("x =", "is no TOML"),
    ],
)
def test_facts_that_cannot_be_used_are_refused(tmp_path, text, said):
    path = tmp_path / "facts.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(InputError, match=re.escape(said)):
        author.load(path)


def test_a_missing_file_of_facts_is_named(tmp_path):
    with pytest.raises(InputError, match="writes a template"):
        author.load(tmp_path / "facts.toml")
