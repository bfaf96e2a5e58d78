"""Imported folders: the same model, opened like a run; what is refused, and nothing left behind."""

import dataclasses
import json
import pickle
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from jgpt2 import checkpoint, config, manifest, runs
from jgpt2.errors import InputError
from jgpt2.model import layout
from jgpt2.publish import importing
from jgpt2.publish.formats import hf
from tests.conftest import ROOT

SHAPE = config.Model(layers=2, embed_dim=16, heads=2, context=24, compute_dtype="float32")
BYTE = ROOT / "tokenizers" / "byte"
CONFIG = {"model_type": "gpt2", "n_layer": 2, "n_embd": 16, "n_head": 2}
CONFIG |= {"n_positions": 24, "vocab_size": 257}


def tree(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.fixture(scope="module")
def tensors():
    random = np.random.default_rng(0)
    return {
        name: random.normal(0, 0.2, size).astype(np.float32)
        for name, size in layout.gpt2_shapes(SHAPE, 257).items()
    }


@pytest.fixture
def foreign(tensors, tmp_path):
    """A folder of `GPT2LMHeadModel` with changed settings or weights."""

    def write(settings=None, weights=None, config_text=None):
        folder = tmp_path / "外の モデル"
        folder.mkdir()
        save_file(tensors if weights is None else weights, folder / hf.WEIGHTS)
        text = json.dumps(CONFIG | (settings or {})) if config_text is None else config_text
        (folder / "config.json").write_text(text, "utf-8")
        return folder

    return write


@pytest.fixture
def refused(command, tmp_path):
    """Runs an import that must be refused and leave everything as it was; what it says."""

    def refuse(source, *more, exit_code=2, tokenizer=BYTE):
        before = tree(tmp_path)
        chosen = [] if tokenizer is None else ["--tokenizer", tokenizer]
        outcome = command("import", source, tmp_path / "取り込み 一", *chosen, *more)
        assert outcome.exit_code == exit_code, outcome
        assert outcome.out == ""
        said = outcome.err.splitlines()[-1]
        assert said.startswith("jgpt2: ") and said.endswith(".")
        assert tree(tmp_path) == before
        return said

    return refuse


@pytest.mark.parametrize("name", ["byte", "sp"])
def test_an_export_comes_back_bit_for_bit(walk, command, tmp_path, name):
    run, exported = walk.root / "runs" / name, tmp_path / "公開 一"
    command("export", run, exported)
    imported = tmp_path / "取り込み 一"
    answer = command("import", exported, imported, "--json").json()
    assert manifest.verify(imported, kind="import").fingerprint == answer["fingerprint"]
    model, back = runs.open_model(run), runs.open_model(imported)
    jax.tree.map(np.testing.assert_array_equal, model.params, back.params)
    assert back.shape == model.shape  # a tiny run computes in float32 as well
    assert (back.step, back.fingerprint) == (0, answer["fingerprint"])
    assert back.tokenizer.fingerprint == model.tokenizer.fingerprint
    assert answer["parents"] == {
        "run": model.fingerprint,
        "tokenizer": model.tokenizer.fingerprint,
        "export": manifest.read(exported).fingerprint,
    }
    assert answer["notes"]["padding_rows_left_out"] == 0

    again = tmp_path / "公開 二"
    parents = command("export", imported, again, "--json").json()["parents"]
    assert parents == {"import": back.fingerprint, "tokenizer": back.tokenizer.fingerprint}
    assert (again / hf.WEIGHTS).read_bytes() == (exported / hf.WEIGHTS).read_bytes()
    assert (again / "config.json").read_bytes() == (exported / "config.json").read_bytes()
    twice = command("import", again, tmp_path / "取り込み 二", "--json").json()
    assert twice["identity"] == answer["identity"]
    assert set(twice["parents"]) == {"import", "export", "tokenizer"}


def test_an_imported_model_is_scored_writes_and_says_what_it_is(walk, command, tmp_path):
    run, exported, imported = walk.root / "runs" / "byte", tmp_path / "e", tmp_path / "i"
    command("export", run, exported)
    command("import", exported, imported, "--name", "写し")
    asked = ["--dataset", walk.root / "data" / "ja", "--json"]
    scored = command("evaluate", imported, *asked).json()
    assert scored["bits_per_byte"] == walk.answers["evaluation of byte"]["bits_per_byte"]
    assert scored["model"] == manifest.read(imported).fingerprint
    assert json.loads((imported / runs.EVALUATION).read_text("utf-8")) == scored
    prompt = ["--prompt", "港の朝は、", "--max-tokens", 12, "--top-k", 20, "--json"]
    (written,) = command("generate", imported, *prompt).json()
    (wanted,) = walk.answers["samples of byte"]
    assert written["text"] == wanted["text"]
    told = command("inspect", imported, "--json").json()
    assert (told["kind"], told["name"]) == ("import", "写し")
    assert told["shape"] == dataclasses.asdict(runs.read_shape(imported))
    array = next(path for path in (imported / "checkpoints" / "0").rglob("*") if path.is_file())
    array.write_bytes(array.read_bytes() + b"\0")
    outcome = command("inspect", imported)
    assert outcome.exit_code == 3 and str(array) in outcome.err


def test_a_shape_that_was_changed_is_damage(foreign, command, tmp_path):
    imported = tmp_path / "i"
    assert command("import", foreign(), imported, "--tokenizer", BYTE).exit_code == 0
    shape = (imported / runs.SHAPE).read_text("utf-8")
    (imported / runs.SHAPE).write_text(shape.replace('"heads": 2', '"heads": 4'), "utf-8")
    outcome = command("generate", imported, "--prompt", "港", "--max-tokens", 2)
    assert outcome.exit_code == 3 and "shape.json does not match its SHA-256" in outcome.err


def test_stacked_blocks_are_exported_and_come_back(tensors, command, tmp_path):
    run, exported, imported = tmp_path / "run", tmp_path / "e", tmp_path / "i"
    stacked = dataclasses.replace(SHAPE, scan_layers=True)
    experiment = config.Experiment(name="s", model=stacked, budget=config.Budget(steps=1))
    runs.create(
        run, experiment, tokenizer=BYTE, parents={"tokenizer": manifest.read(BYTE).fingerprint}
    )
    params = layout.stack_blocks(layout.from_gpt2_names(tensors)[0])
    with checkpoint.Checkpoints(run / runs.CHECKPOINTS, keep_last=1) as checkpoints:
        checkpoints.save(1, {"params": params}, bits_per_byte=None)
    assert command("export", run, exported).exit_code == 0
    assert command("import", exported, imported).exit_code == 0
    model, back = runs.open_model(run), runs.open_model(imported)
    assert model.shape.scan_layers and not back.shape.scan_layers
    jax.tree.map(np.testing.assert_array_equal, layout.unstack_blocks(model.params), back.params)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_narrow_weights_become_the_same_float32(foreign, tensors, command, tmp_path, dtype):
    narrow = {name: np.asarray(jnp.asarray(one, dtype)) for name, one in tensors.items()}
    answer = command(
        "import", foreign(weights=narrow), tmp_path / "i", "--tokenizer", BYTE, "--json"
    ).json()
    assert answer["notes"]["stored_as"] == [dtype]
    params = runs.open_model(tmp_path / "i").params
    for name, tensor in layout.to_gpt2_names(params, 257).items():
        np.testing.assert_array_equal(tensor, narrow[name].astype(np.float32))
        assert not np.array_equal(tensor, tensors[name])


def test_however_a_model_is_stored_its_identity_is_the_same(foreign, tensors, command, tmp_path):
    source = foreign({"n_inner": 64, "activation_function": "gelu_pytorch_tanh"})
    asked = ["--tokenizer", BYTE, "--json"]
    plain = command("import", source, tmp_path / "i", *asked).json()
    shutil.rmtree(source)
    bare = {name.removeprefix("transformer."): one for name, one in tensors.items()}
    masks = {f"h.{layer}.attn.bias": np.tri(24, dtype=np.uint8) for layer in range(2)}
    masks |= {"h.0.attn.masked_bias": np.asarray(-1e4, np.float32)}
    old = {"n_positions": None, "n_ctx": 24}
    source = foreign(
        weights=bare | masks | {"lm_head.weight": bare["wte.weight"]},
        config_text=json.dumps({key: value for key, value in (CONFIG | old).items() if value}),
    )
    other = command("import", source, tmp_path / "other", *asked).json()
    assert other["identity"] == plain["identity"]
    assert other["fingerprint"] == plain["fingerprint"]
    changed = tensors | {"transformer.ln_f.bias": tensors["transformer.ln_f.bias"] + 1}
    shutil.rmtree(source)
    third = command("import", foreign(weights=changed), tmp_path / "third", *asked).json()
    assert third["identity"]["weights"] != plain["identity"]["weights"]


def test_rows_that_pad_the_token_table_are_left_out_and_said(
    foreign, tensors, command, refused, tmp_path
):
    table = np.concatenate([tensors[layout.TOKENS], np.ones((43, 16), np.float32)])
    padded = tensors | {layout.TOKENS: table, layout.HEAD: table}
    source = foreign({"vocab_size": 300}, padded)
    outcome = command("import", source, tmp_path / "i", "--tokenizer", BYTE)
    assert outcome.exit_code == 0, outcome.err
    assert "43 rows of the token table stand for no id" in outcome.err
    assert manifest.read(tmp_path / "i").notes["padding_rows_left_out"] == 43
    params = runs.open_model(tmp_path / "i").params
    read = layout.to_gpt2_names(params, 257)[layout.TOKENS]
    np.testing.assert_array_equal(read, tensors[layout.TOKENS])
    sp = ROOT / "tokenizers" / "sp-8k"
    assert "but the token table of" in refused(source, tokenizer=sp)
    table = np.zeros((257 + importing.MAX_PADDING_ROWS, 16), np.float32)
    shutil.rmtree(source)
    source = foreign({"vocab_size": len(table)}, tensors | {layout.TOKENS: table})
    assert "up to 1023 more for padding" in refused(source)


def test_facts_of_the_source_are_noted(foreign, command, tmp_path):
    source = foreign()
    (source / "README.md").write_text("---\nlanguage: ja\nlicense: mit\n---\nlicense: x\n", "utf-8")
    answer = command("import", source, tmp_path / "i", "--tokenizer", BYTE, "--json").json()
    assert answer["name"] == "外の モデル"
    assert answer["notes"]["license"] == "mit"
    assert set(answer["notes"]["source_files"]) == {"config.json", hf.WEIGHTS}
    assert str(tmp_path) not in json.dumps(answer, ensure_ascii=False)
    assert "fetched" not in tree(tmp_path / "i")
    (source / "README.md").write_text("license: mit\n", "utf-8")
    answer = command("import", source, tmp_path / "j", "--tokenizer", BYTE, "--json").json()
    assert answer["notes"]["license"] is None


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"activation_function": "gelu"}, "activation_function='gelu'"),
        ({"layer_norm_epsilon": 1e-6}, "layer_norm_epsilon=1e-06"),
        ({"layer_norm_epsilon": float("nan")}, "layer_norm_epsilon=nan"),
        ({"scale_attn_weights": False}, "scale_attn_weights=False"),
        ({"scale_attn_weights": 1}, "scale_attn_weights=1"),
        ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx=True"),
        ({"add_cross_attention": True}, "add_cross_attention=True"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings=False"),
        ({"model_type": "gpt_neo"}, "model_type='gpt_neo'"),
        ({"model_type": "../../x"}, "model_type='../../x'"),
        ({"n_inner": 2304}, "n_inner=2304"),
        ({"n_inner": "64"}, "n_inner='64'"),
        ({"n_head": 3}, "n_head=3, which does not divide n_embd=16"),
        ({"n_layer": 3}, "n_layer=3, but the weights have 2 layers"),
        ({"n_layer": 2**24}, "n_layer=16777216, but"),
        ({"n_layer": 10**30}, "n_layer=1000000"),
        ({"n_layer": True}, "n_layer=True"),
        ({"n_embd": -16}, "n_embd=-16"),
        ({"n_embd": 2**24}, "by its config.json it is a float type of shape"),
        ({"n_head": "2"}, "n_head='2'"),
        ({"n_positions": 24.0}, "n_positions=24.0"),
        ({"n_positions": 48}, "transformer.wpe.weight of"),
        ({"vocab_size": None}, "vocab_size=None"),
        ({"vocab_size": 256}, "transformer.wte.weight of"),
        ({"vocab_size": "/etc/passwd"}, "vocab_size='/etc/passwd'"),
        ({"resid_pdrop": "much"}, "resid_pdrop='much'"),
        ({"resid_pdrop": 1.5}, "resid_pdrop=1.5"),
    ],
)
def test_a_setting_that_computes_otherwise_is_refused_by_name(foreign, refused, settings, why):
    assert why in refused(foreign(settings))


@pytest.mark.parametrize(
    ("text", "exit_code", "why"),
    [
        ("{", 3, "is not JSON"),
        ("[]", 3, "is a JSON list"),
        ("[" * 200_000, 3, "is not JSON"),
        ('{"n_layer": 2, "n_layer": 3}', 3, "has 'n_layer' twice"),
        ('{"n_layer": %s}' % ("9" * 5000), 3, "is not JSON"),
        (" " * 1_000_001, 2, "is larger than 1,000,000 bytes"),
        ('{"model_type": "gpt2"}', 2, "lacks n_layer"),
    ],
    ids=["cut", "list", "nested", "twice", "number", "large", "empty"],
)
def test_a_config_that_is_none_is_refused(foreign, refused, text, exit_code, why):
    assert why in refused(foreign(config_text=text), exit_code=exit_code)


def test_weights_that_are_not_those_of_the_config_are_refused(foreign, tensors, refused):
    def why(**changes):
        source = foreign(weights=tensors | {f"transformer.{k}": v for k, v in changes.items()})
        said = refused(source)
        shutil.rmtree(source)
        return said

    name, wrong = "h.1.attn.c_attn.weight", np.zeros((16, 47), np.float32)
    assert f"transformer.{name} of" in why(**{name: wrong})
    assert "transformer.ln_f.bias of" in why(**{"ln_f.bias": np.zeros(16, np.uint8)})
    assert "has unknown transformer.h.0.rotary" in why(**{"h.0.rotary": np.zeros(1, np.float32)})
    assert "the weights have 3 layers" in why(**{"h.7.x": np.zeros(1, np.float32)})
    lacking = {name: one for name, one in tensors.items() if "h.1.ln_2" not in name}
    source = foreign(weights=lacking)
    assert "lacks transformer.h.1.ln_2.bias" in refused(source)
    shutil.rmtree(source)
    source = foreign(weights=tensors | {"wpe.weight": np.zeros((24, 16), np.float32)})
    assert "has transformer.wpe.weight twice" in refused(source)
    shutil.rmtree(source)
    head = {layout.HEAD: tensors[layout.TOKENS] + 1}
    assert "is not tied to its token table" in refused(foreign(weights=tensors | head))


def test_damaged_weights_are_refused(foreign, refused):
    source = foreign()
    whole = (source / hf.WEIGHTS).read_bytes()
    (source / hf.WEIGHTS).write_bytes(whole[:-1])
    assert "is no whole safetensors file" in refused(source, exit_code=3)
    (source / hf.WEIGHTS).unlink()
    index = {"weight_map": {"wte.weight": "../../secret.safetensors"}}
    (source / hf.INDEX).write_text(json.dumps(index), "utf-8")
    assert "has wte.weight in '../../secret.safetensors'" in refused(source, exit_code=3)


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "last.ckpt", "weights.pkl"])
def test_a_booby_trapped_pickle_is_never_opened(foreign, refused, command, tmp_path, name):
    source, trap = foreign(), tmp_path / "sprung"
    (source / name).write_bytes(pickle.dumps(Bomb(trap)))
    assert command("import", source, tmp_path / "i", "--tokenizer", BYTE).exit_code == 0
    (source / hf.WEIGHTS).unlink()
    said = refused(source)
    assert f"has its weights in {name} alone, which was not opened" in said
    assert "save_pretrained" in said
    assert not trap.exists()
    pickle.loads((source / name).read_bytes()).close()
    assert trap.exists()  # the trap works


def test_other_weights_are_refused_with_the_way_to_convert(foreign, refused):
    source = foreign()
    (source / hf.WEIGHTS).unlink()
    assert "holds neither model.safetensors nor" in refused(source)
    (source / "tf_model.h5").write_bytes(b"")
    assert "weights in tf_model.h5 alone" in refused(source)
    (source / "model-1339900.index").write_bytes(b"")
    assert "convert_gpt2_original_tf_checkpoint_to_pytorch" in refused(source)


def test_what_is_no_folder_of_a_model_is_refused(walk, foreign, refused, command, tmp_path):
    assert "there is no folder" in refused(tmp_path / "none")
    run = walk.root / "runs" / "byte"
    assert "holds a run, not a export" in refused(run, tokenizer=None)
    exported = tmp_path / "e"
    command("export", run, exported)
    assert "has its own vocabulary; leave out --tokenizer" in refused(exported)
    (exported / "config.json").write_text(json.dumps(CONFIG), "utf-8")
    assert "does not match its SHA-256" in refused(exported, exit_code=3, tokenizer=None)
    source = foreign()
    (tmp_path / "取り込み 一").mkdir()
    assert "nothing is overwritten" in refused(source)
    (source / "config.json").unlink()
    assert "has no config.json" in refused(source)


def test_a_vocabulary_whose_manifest_leaves_its_folder_is_refused(walk, refused, command, tmp_path):
    exported = tmp_path / "e"
    command("export", walk.root / "runs" / "sp", exported)
    for evil in ("../../../掘る.txt", "/tmp/掘る.txt", "a/../../b"):
        described = manifest.read(exported / "tokenizer")
        (tmp_path / "secret").write_text("秘密", "utf-8")
        forged = vars(described) | {
            "files": described.files | {evil: {"num_bytes": 6, "sha256": ""}}
        }
        manifest.write_json(exported / "tokenizer" / manifest.FILE_NAME, forged)
        outer = manifest.read(exported)
        manifest.write(
            exported,
            **{
                key: getattr(outer, key) for key in ("kind", "name", "identity", "parents", "files")
            },
        )
        said = refused(exported, exit_code=3, tokenizer=None)
        assert f"lists {evil!r}, which is no path inside the folder" in said
        manifest.put(exported / "tokenizer", described)


def test_an_interrupted_import_leaves_nothing(foreign, tmp_path, monkeypatch):
    source = foreign()
    before = tree(tmp_path)

    def full(*_):
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(checkpoint.Checkpoints, "require_space", full)
    with pytest.raises(OSError, match="no space"):
        importing.import_model(source, tmp_path / "i", tokenizer=BYTE)
    assert tree(tmp_path) == before


def test_a_bucket_is_refused(tmp_path, foreign):
    from etils import epath

    with pytest.raises(InputError, match="the folder to make must be on this machine"):
        importing.import_model(foreign(), epath.Path("gs://b/x"), tokenizer=BYTE)
