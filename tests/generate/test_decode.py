import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jgpt2 import config
from jgpt2.errors import InputError
from jgpt2.generate import decode
from jgpt2.generate.sampling import Sampler
from jgpt2.model import gpt2, layout, sharding

EOT = 256
PROMPTS = [np.frombuffer(text.encode(), np.uint8) for text in ("", "吾輩は猫である。", "犬")]


@pytest.fixture(scope="module")
def write(created, model):
    def generate(prompts, *, params=None, sampler=None, seed=0, **settings):
        return decode.generate(
            created[0],
            created[1] if params is None else params,
            model,
            prompts,
            eot=EOT,
            sampler=sampler or Sampler(),
            seed=seed,
            **settings,
        )

    return generate


def biased(created, amount):
    """Parameters whose every prediction favours EOT by a growing amount."""
    params = created[1]
    bias = params["norm"]["bias"].at[0].add(100.0)
    tokens = params["tokens"].at[:, 0].set(0.0).at[EOT, 0].set(amount)
    return dict(params, norm=dict(params["norm"], bias=bias), tokens=tokens)


def ids_of(rows):
    return [row.ids.tolist() for row in rows]


@pytest.mark.parametrize("begin", [EOT, 65])
def test_cached_generation_is_argmax_of_the_whole_row_step_by_step(created, model, write, begin):
    forward = jax.jit(gpt2.forward, static_argnums=0)
    rows = write(PROMPTS, sampler=Sampler(temperature=0), begin=begin)
    for prompt, row in zip(PROMPTS, rows, strict=True):
        sequence = [begin, *prompt.tolist()]
        while True:
            ids_1T = np.zeros((1, model.context), np.int32)
            ids_1T[0, : len(sequence)] = sequence
            best = int(jnp.argmax(forward(*created, ids_1T)[0, len(sequence) - 1]))
            sequence.append(best)
            if best == EOT or len(sequence) > model.context:
                break
        drawn = sequence[1 + len(prompt) :]
        assert len(drawn) > 1
        assert row.ids.tolist() == (drawn[:-1] if drawn[-1] == EOT else drawn)
        assert row.finish == ("eot" if drawn[-1] == EOT else "context")


def test_top_1_is_greedy(write):
    greedy = ids_of(write(PROMPTS, sampler=Sampler(temperature=0)))
    assert ids_of(write(PROMPTS, sampler=Sampler(top_k=1))) == greedy
    assert ids_of(write(PROMPTS)) != greedy


def test_a_row_does_not_depend_on_its_neighbours(write):
    together = write(PROMPTS, seed=5)
    assert len({tuple(row.ids.tolist()) for row in together}) == 3
    for i, prompt in enumerate(PROMPTS):
        (alone,) = write([prompt], seed=5, first_index=i)
        assert (alone.ids.tolist(), alone.finish) == (
            together[i].ids.tolist(),
            together[i].finish,
        )


def test_the_seed_and_the_index_decide_the_text(write):
    same = [PROMPTS[1]] * 3
    first = ids_of(write(same, seed=1))
    assert len({tuple(ids) for ids in first}) == 3
    assert ids_of(write(same, seed=1)) == first
    assert ids_of(write(same, seed=2)) != first
    assert ids_of(write(same, seed=1, first_index=1))[:2] == first[1:]


def test_rows_end_at_eot_which_is_not_part_of_them(created, write):
    rows = write(PROMPTS, params=biased(created, 0.04))
    assert {row.finish for row in rows} == {"eot"}
    assert all(EOT not in row.ids for row in rows)
    assert len({len(row.ids) for row in rows}) > 1


def test_eot_waits_for_the_shortest_length_asked_for(created, write):
    certain = biased(created, 10.0)
    assert [len(row.ids) for row in write(PROMPTS, params=certain)] == [0, 0, 0]
    rows = write(PROMPTS, params=certain, min_tokens=20)
    assert [(len(row.ids), row.finish) for row in rows] == [(20, "eot")] * 3


def test_rows_end_at_max_tokens_or_with_the_context(created, model, write):
    never = biased(created, -10.0)
    rows = write(PROMPTS, params=never, max_tokens=41)
    assert [(len(row.ids), row.finish) for row in rows] == [
        (41, "length"),
        (model.context - len(PROMPTS[1]), "context"),
        (41, "length"),
    ]
    rows = write(PROMPTS, params=never)
    assert [(len(row.ids), row.finish) for row in rows] == [
        (model.context - len(prompt), "context") for prompt in PROMPTS
    ]


def test_the_longest_prompt_leaves_room_for_one_token(created, model, write):
    longest = np.full(model.context - 1, ord("x"))
    (row,) = write([longest], params=biased(created, -10.0))
    assert (len(row.ids), row.finish) == (1, "context")


def test_chunks_join_to_the_whole(created, model, write):
    chunks = list(
        decode.stream(*created, model, PROMPTS, eot=EOT, sampler=Sampler(), seed=3, max_tokens=40)
    )
    assert len(chunks) > 1
    assert all(len(row.ids) <= decode.CHUNK for rows in chunks for row in rows)
    joined = [
        [id for part in parts for id in part.ids.tolist()] for parts in zip(*chunks, strict=True)
    ]
    assert joined == ids_of(write(PROMPTS, seed=3, max_tokens=40))
    for parts in zip(*chunks, strict=True):
        ended = [part.finish is not None for part in parts]
        assert ended == sorted(ended)
        assert all(len(part.ids) == 0 for part in parts[ended.index(True) + 1 :])


def test_bfloat16_and_stacked_layers_generate(model):
    other = dataclasses.replace(model, compute_dtype="bfloat16", scan_layers=True)
    graphdef, shapes = gpt2.abstract(other, 257)
    params = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    (row,) = decode.generate(
        graphdef, params, other, PROMPTS[2:], eot=EOT, sampler=Sampler(), seed=0, max_tokens=4
    )
    assert len(row.ids) <= 4


def test_stacked_layers_write_the_same(created, model, write):
    scanned = dataclasses.replace(model, scan_layers=True)
    graphdef, _ = gpt2.abstract(scanned, 257)
    stacked = layout.stack_blocks(created[1])
    rows = decode.generate(
        graphdef, stacked, scanned, PROMPTS, eot=EOT, sampler=Sampler(), seed=4, max_tokens=24
    )
    assert ids_of(rows) == ids_of(write(PROMPTS, seed=4, max_tokens=24))


@pytest.mark.parametrize("is_split", [False, True])
def test_sharded_over_eight_devices_writes_the_same(created, model, write, is_split):
    mesh = sharding.make_mesh(config.Mesh(data=2, fsdp=2, tensor=2))
    graphdef, params = created
    params = jax.device_put(params, sharding.shardings(params, mesh))
    everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    prompts = [*PROMPTS, PROMPTS[1]]
    compiled = decode._advance._cache_size()
    rows = decode.generate(
        graphdef,
        params,
        model,
        prompts,
        eot=EOT,
        sampler=Sampler(),
        seed=0,
        sharding=sharding.batch_sharding(mesh) if is_split else everywhere,
    )
    assert decode._advance._cache_size() == compiled + 1
    assert ids_of(rows) == ids_of([*write(PROMPTS), *write(prompts[3:], first_index=3)])


def test_lengths_prompts_and_seeds_of_one_size_share_a_program(write):
    write(PROMPTS, max_tokens=20)
    compiled = decode._prefill._cache_size(), decode._advance._cache_size()
    write([PROMPTS[2], PROMPTS[1], PROMPTS[1][:9]], seed=9, min_tokens=2, max_tokens=30)
    assert (decode._prefill._cache_size(), decode._advance._cache_size()) == compiled


def test_a_stream_compiles_two_programs_and_the_next_one_none(created, model, write):
    compiled = []

    def note(event, _, **facts):
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(facts.get("fun_name"))

    jax.monitoring.register_event_duration_secs_listener(note)
    try:
        prompts = [PROMPTS[2]] * 5  # a batch of this size occurs nowhere else
        write(prompts, max_tokens=20)
        programs = [name for name in compiled if "_prefill" in name or "_advance" in name]
        assert len(programs) == 2
        compiled.clear()
        write(prompts, seed=3, max_tokens=18)
        assert compiled == []
    finally:
        jax.monitoring.unregister_event_duration_listener(note)


@pytest.mark.parametrize(
    ("length", "places"),
    [(0, 16), (1, 16), (17, 32), (33, 48), (49, 64), (65, 96), (97, 128), (160, 192), (200, 200)],
)
def test_lengths_are_rounded_up_to_a_few(length, places):
    assert decode._bucket(length, 200) == places


def test_nothing_moves_between_host_and_device_unasked(write):
    expected = ids_of(write(PROMPTS, max_tokens=20))
    with jax.transfer_guard("disallow"):
        assert ids_of(write(PROMPTS, max_tokens=20)) == expected


def test_a_prompt_that_fills_the_context_is_refused(model, write):
    with pytest.raises(InputError) as caught:
        write([PROMPTS[2], np.zeros(64, np.uint16)])
    assert str(caught.value) == (
        "the prompt has 64 tokens, but the context of 64 holds 63 after its end-of-text token; "
        "shorten the prompt."
    )


def test_no_prompt_is_refused(write):
    with pytest.raises(InputError) as caught:
        write([])
    assert str(caught.value) == "no prompt to continue; give at least one, which may be empty."


def test_prompts_that_do_not_divide_over_the_devices_are_refused(write):
    mesh = sharding.make_mesh(config.Mesh(data=2, fsdp=2, tensor=2))
    with pytest.raises(InputError) as caught:
        write(PROMPTS, sharding=sharding.batch_sharding(mesh))
    assert str(caught.value) == (
        "3 prompts do not divide over the 4 devices that share a batch; give a multiple of 4, or "
        "place every row on every device."
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_tokens": 0}, "max_tokens=0 asks for no text; choose 1 or more."),
        ({"min_tokens": -1}, "min_tokens=-1 is negative; choose 0 or more."),
        (
            {"min_tokens": 9, "max_tokens": 8},
            "min_tokens=9 is above max_tokens=8; lower it, or raise max_tokens.",
        ),
        ({"seed": -1}, "seed=-1 is out of range; choose 0 to 4294967295."),
        ({"first_index": 2**32}, "first_index=4294967296 is out of range; choose 0 to 4294967295."),
    ],
)
def test_settings_that_contradict_are_refused(write, settings, message):
    with pytest.raises(InputError) as caught:
        write(PROMPTS, **settings)
    assert str(caught.value) == message
