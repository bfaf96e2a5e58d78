"""Continues prompts with a KV cache: the compiled loop between a model and `jgpt2.generate.stream`.

Every row starts with EOT, or the id that begins documents of its vocabulary, as each document does
in training and evaluation, and has its own random
stream, so its text does not depend on its neighbours in the batch. The loop runs in chunks: the
text can be shown while it grows, and a batch ends when its last row does.
Dims: B rows, T prompt places, C tokens of a chunk, V vocabulary.
"""

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float, Int, Int32, Key, UInt32

from jgpt2 import config
from jgpt2.generate import checks, sampling
from jgpt2.model import cache as kv_cache
from jgpt2.model import decoding, gpt2, layout
from jgpt2.model import sharding as model_sharding

Finish = Literal["eot", "length", "context"]
"""Why a row ended: the model said so, max_tokens were drawn, or the context is full."""

CHUNK = 16
"""Tokens drawn per row between two looks at the host."""


class Row(NamedTuple):
    """One continuation, or the latest part of it."""

    ids: Int[np.ndarray, " tokens"]
    """Drawn tokens, without prompt and EOT."""
    finish: Finish | None
    """Why the row ended; None while it goes on."""


class _State(NamedTuple):
    """What goes from chunk to chunk."""

    cache: kv_cache.KVCache
    last: Int32[Array, " B"]
    """Each row's newest token, not yet read by the model."""
    num_drawn: Int32[Array, ""]
    """Tokens drawn in the rows that go on."""
    is_done: Bool[Array, " B"]
    rng: Key[Array, " B"]


class _Graph:
    """The static part of a model under a hash made once: walking a graph takes milliseconds."""

    def __init__(self, graphdef: nnx.GraphDef[gpt2.GPT2]) -> None:
        self.graphdef = graphdef
        self._hash = hash(graphdef)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Graph) and self.graphdef == other.graphdef


class _Drawing(NamedTuple):
    """What the loop of one chunk carries; the cache lies outside and is only read."""

    place: Int32[Array, ""]
    """Tokens drawn in this chunk."""
    last: Int32[Array, " B"]
    is_done: Bool[Array, " B"]
    num_read: Int32[Array, " B"]
    """Tokens of this chunk that count: those read before the row was done."""
    recent: decoding.Recent
    ids: Int32[Array, "B C"]


class _Limits(NamedTuple):
    """Lengths as device values: other lengths need no other program."""

    min_tokens: Int32[Array, ""]
    room: Int32[Array, " B"]


def generate(
    graphdef: nnx.GraphDef[gpt2.GPT2],
    params: gpt2.Params,
    model: config.Model,
    prompts: Sequence[Int[np.ndarray, " tokens"]],
    *,
    eot: int,
    begin: int | None = None,
    sampler: sampling.Sampler,
    seed: int,
    first_index: int = 0,
    min_tokens: int = 0,
    max_tokens: int | None = None,
    sharding: NamedSharding | None = None,
) -> list[Row]:
    """The finished continuation of every prompt; arguments and errors as for `stream`."""
    chunks = stream(
        graphdef,
        params,
        model,
        prompts,
        eot=eot,
        begin=begin,
        sampler=sampler,
        seed=seed,
        first_index=first_index,
        min_tokens=min_tokens,
        max_tokens=max_tokens,
        sharding=sharding,
    )
    return [
        Row(np.concatenate([part.ids for part in parts]), parts[-1].finish)
        for parts in zip(*chunks, strict=True)
    ]


def stream(
    graphdef: nnx.GraphDef[gpt2.GPT2],
    params: gpt2.Params,
    model: config.Model,
    prompts: Sequence[Int[np.ndarray, " tokens"]],
    *,
    eot: int,
    begin: int | None = None,
    sampler: sampling.Sampler,
    seed: int,
    first_index: int = 0,
    min_tokens: int = 0,
    max_tokens: int | None = None,
    sharding: NamedSharding | None = None,
) -> Iterator[list[Row]]:
    """Continues every prompt (ids without EOT; may be empty), up to CHUNK more tokens at a time.

    `begin` is the id before each prompt (None: EOT).
    Yields one `Row` per prompt with the ids drawn since the last time. A row ends at EOT, which
    cannot come before `min_tokens`; at `max_tokens`; or when the context is full: a prompt of P
    tokens leaves room for context - P. Row i draws from the stream (seed, first_index + i) alone,
    so that an index gives the same text in any batch. `sharding` places the rows (default: the
    default device); it must fit the params' mesh, and its first axis splits the batch.

    Raises InputError, before any computation, when there is no prompt, when one does not fit the
    context, when they do not divide over the devices of `sharding`, when the lengths contradict
    each other, or when seed or index are out of range.
    """
    checks.require_prompts(prompts, model.context, sharding)
    checks.require_settings(seed, first_index, min_tokens, max_tokens)
    rooms = [model.context - len(prompt) for prompt in prompts]
    if max_tokens is not None:
        rooms = [min(room, max_tokens) for room in rooms]
    first = eot if begin is None else begin
    rows = [np.concatenate([[first], prompt]).astype(np.int32) for prompt in prompts]
    everywhere = _everywhere(sharding)
    if model.scan_layers:
        graphdef, params = _unstack(graphdef, params, model)
    graph = _Graph(graphdef)

    def draw() -> Iterator[Int32[np.ndarray, "B C"]]:
        streams = _place(np.asarray([seed, first_index], np.uint32), everywhere)
        state = _start(graph, params, model, rows, rooms, streams, sharding)
        limits = _Limits(
            min_tokens=_place(np.asarray(min_tokens, np.int32), everywhere),
            room=_place(np.asarray(rooms, np.int32), sharding),
        )
        while True:
            state, ids_BC = _advance(graph, sampler, eot, sharding, params, state, limits)
            yield jax.device_get(ids_BC)

    return _cut(draw(), rooms, eot=eot, max_tokens=max_tokens)


def _unstack(
    graphdef: nnx.GraphDef[gpt2.GPT2], params: gpt2.Params, model: config.Model
) -> tuple[nnx.GraphDef[gpt2.GPT2], gpt2.Params]:
    """The same model with a block of its own for each layer: cut once, not at every token."""
    unscanned = dataclasses.replace(model, scan_layers=False)
    vocab_size = nnx.merge(graphdef, params).vocab_size
    return gpt2.abstract(unscanned, vocab_size)[0], jax.jit(layout.unstack_blocks)(params)


def _start(
    graph: _Graph,
    params: gpt2.Params,
    model: config.Model,
    rows: Sequence[Int32[np.ndarray, " tokens"]],
    rooms: Sequence[int],
    streams: UInt32[Array, " 2"],
    sharding: NamedSharding | None,
) -> _State:
    """The state after reading all of each row but its last token, which the loop reads first."""
    read = [len(row) - 1 for row in rows]
    longest = max(length + room for length, room in zip(read, rooms, strict=True))
    ids_BT = np.zeros((len(rows), _bucket(max(read), model.context)), np.int32)
    for ids_T, row in zip(ids_BT, rows, strict=True):
        ids_T[: len(row) - 1] = row[:-1]
    return _prefill(
        graph,
        _bucket(longest, model.context),
        sharding,
        params,
        _place(ids_BT, sharding),
        _place(np.asarray(read, np.int32), sharding),
        _place(np.asarray([row[-1] for row in rows], np.int32), sharding),
        streams,
    )


def _cut(
    chunks: Iterator[Int32[np.ndarray, "B C"]],
    rooms: Sequence[int],
    *,
    eot: int,
    max_tokens: int | None,
) -> Iterator[list[Row]]:
    """Rows as they are, from rows that go on with EOT to the length of the longest."""
    finish: list[Finish | None] = [None] * len(rooms)
    num_drawn = 0
    while not all(finish):
        parts = []
        for i, ids_C in enumerate(next(chunks)):
            part = ids_C[: 0 if finish[i] else rooms[i] - num_drawn]
            ends = np.flatnonzero(part == eot)
            if len(ends):
                part, finish[i] = part[: ends[0]], "eot"
            elif not finish[i] and num_drawn + len(part) == rooms[i]:
                finish[i] = "length" if rooms[i] == max_tokens else "context"
            parts.append(Row(part, finish[i]))
        num_drawn += CHUNK
        yield parts


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _prefill(
    graph: _Graph,
    num_places: int,
    sharding: NamedSharding | None,
    params: gpt2.Params,
    ids_BT: Int32[Array, "B T"],
    length_B: Int32[Array, " B"],
    last_B: Int32[Array, " B"],
    streams: UInt32[Array, " 2"],
) -> _State:
    """Reads prompts padded on the right, of which `length_B` tokens count, into a fresh cache."""
    module = nnx.merge(graph.graphdef, params)
    held = kv_cache.empty(module.model, len(ids_BT), num_places)
    _, held = module(ids_BT, cache=held)
    seed, first_index = streams
    indices_B = first_index + jnp.arange(len(ids_BT), dtype=jnp.uint32)
    state = _State(
        cache=kv_cache.with_length(held, length_B),
        last=last_B,
        num_drawn=jnp.zeros((), jnp.int32),
        is_done=jnp.zeros(len(ids_BT), bool),
        rng=jax.vmap(functools.partial(jax.random.fold_in, jax.random.key(seed)))(indices_B),
    )
    return _hold(state, sharding)


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3), donate_argnums=5)
def _advance(
    graph: _Graph,
    sampler: sampling.Sampler,
    eot: int,
    sharding: NamedSharding | None,
    params: gpt2.Params,
    state: _State,
    limits: _Limits,
) -> tuple[_State, Int32[Array, "B C"]]:
    """Draws up to CHUNK tokens per row, fewer when all rows are done; the rest is EOT."""
    module = nnx.merge(graph.graphdef, params)

    def goes_on(now: _Drawing) -> Array:
        return (now.place < CHUNK) & ~jnp.all(now.is_done)

    def draw(now: _Drawing) -> _Drawing:
        x_B1D, recent = decoding.read(module, now.last, now.place, state.cache, now.recent)
        num_drawn = state.num_drawn + now.place
        ids_B = _sample(module, x_B1D, state.rng, num_drawn, sampler, eot, limits)
        ids_B = jnp.where(now.is_done, eot, ids_B)
        is_done_B = now.is_done | (ids_B == eot) | (num_drawn + 1 >= limits.room)
        num_read_B = now.num_read + ~now.is_done
        ids_BC = now.ids.at[:, now.place].set(ids_B)
        return _Drawing(now.place + 1, ids_B, is_done_B, num_read_B, recent, ids_BC)

    num_rows = len(state.last)
    drawn = jax.lax.while_loop(
        goes_on,
        draw,
        _Drawing(
            place=jnp.zeros((), jnp.int32),
            last=state.last,
            is_done=state.is_done,
            num_read=jnp.zeros(num_rows, jnp.int32),
            recent=decoding.no_recent(module.model, num_rows, CHUNK),
            ids=jnp.full((num_rows, CHUNK), eot, jnp.int32),
        ),
    )
    # A row that is done stays at its length: it must not grow past its places.
    held = decoding.settle(state.cache, drawn.recent, drawn.num_read)
    num_drawn = state.num_drawn + drawn.place
    state = _State(held, drawn.last, num_drawn, drawn.is_done, state.rng)
    ids_BC = drawn.ids
    if sharding is not None:
        # Every process reads all rows, so that all agree on when to stop.
        everywhere = NamedSharding(sharding.mesh, PartitionSpec())
        ids_BC = jax.lax.with_sharding_constraint(ids_BC, everywhere)
    return _hold(state, sharding), ids_BC


def _sample(
    module: gpt2.GPT2,
    x_B1D: Float[Array, "B 1 D"],
    rng_B: Key[Array, " B"],
    num_drawn: Int32[Array, ""],
    sampler: sampling.Sampler,
    eot: int,
    limits: _Limits,
) -> Int32[Array, " B"]:
    """The next token of each row; no EOT before `min_tokens`."""
    logits_BV = module.logits(x_B1D)[:, 0, : module.vocab_size]
    is_early_eot_V = (jnp.arange(module.vocab_size) == eot) & (num_drawn < limits.min_tokens)
    logits_BV = jnp.where(is_early_eot_V[None], -jnp.inf, logits_BV)
    rng_B = jax.vmap(jax.random.fold_in, in_axes=(0, None))(rng_B, num_drawn)
    return sampling.sample(logits_BV, rng_B, sampler).astype(jnp.int32)


def _hold(state: _State, sharding: NamedSharding | None) -> _State:
    """The state in the one place that prefill and loop agree on: rows as given, heads apart.

    Left to the compiler, the two would differ, and the loop would be compiled once for each.
    """
    if sharding is None:
        return state
    rows = sharding.spec[0] if sharding.spec else None
    heads = model_sharding.LOGICAL_TO_MESH["heads"]
    by_head = NamedSharding(sharding.mesh, PartitionSpec(rows, heads))
    everywhere = NamedSharding(sharding.mesh, PartitionSpec())

    def place(leaf: Array) -> Array:
        where = {0: everywhere, 1: sharding, 4: by_head}[leaf.ndim]
        return jax.lax.with_sharding_constraint(leaf, where)

    return jax.tree.map(place, state)


def _bucket(length: int, context: int) -> int:
    """The next of CHUNK x 1, 2, 3, 4, 6, 8, 12, ..., at most the context: few are compiled."""
    power = max(CHUNK, 1 << (length - 1).bit_length() if length else 0)
    fits_three_quarters = power >= 4 * CHUNK and length <= power * 3 // 4
    return min(context, power * 3 // 4 if fits_three_quarters else power)


def _everywhere(sharding: NamedSharding | None) -> NamedSharding | None:
    return None if sharding is None else NamedSharding(sharding.mesh, PartitionSpec())


def _place(values: np.ndarray, sharding: NamedSharding | None) -> jax.Array:
    if sharding is None:
        return jax.device_put(values)
    return jax.make_array_from_callback(values.shape, sharding, lambda part: values[part])
