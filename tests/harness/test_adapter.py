"""The laws of the three kinds of request; the harness itself is not needed for them."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jgpt2 import inference
from jgpt2.corpus import records
from jgpt2.errors import DamageError, InputError
from jgpt2.evaluate import bits
from jgpt2.generate import sampling
from jgpt2.harness import adapter, writing
from jgpt2.model import gpt2, sharding

CONTEXT = 32
SHORT = ["港", "朝は早い", "猫が二匹", "a\tb", "𠮷野"]
LONG = "港の朝は早い。船が戻ると、市場に人が集まる。夜の海は静かで、灯台だけが回っている。" * 2
PAIRS = [("港の", "朝は"), ("", "海"), ("船が、", "戻る"), ("ab", "c"), ("はい。\n", "いいえ")]


forward = jax.jit(gpt2.forward, static_argnums=0)
GREEDY = {"until": [], "max_gen_toks": 12}
SAMPLED = {"until": [], "max_gen_toks": 12, "do_sample": True, "temperature": 0.7, "top_k": 300}


def next_log_probs(model, ids):
    """[T, V] log-probabilities after each of the ids, straight from the logits."""
    row_1T = np.zeros((1, CONTEXT), np.int32)
    row_1T[0, : len(ids)] = ids
    logits_BTV = forward(model.graphdef, model.params, row_1T)
    return np.asarray(jax.nn.log_softmax(logits_BTV, axis=-1))[0, : len(ids)].astype(np.float64)


def log_p(model, text, first=0):
    """Log-probability of a text that fits the context, of its tokens from `first` on."""
    ids = model.tokenizer.encode(text)
    of_next = next_log_probs(model, [model.tokenizer.eot, *ids])
    return sum(of_next[place, token] for place, token in enumerate(ids) if place >= first)


def without_eot(model, texts):
    """Nats of whole texts by the scorer of evaluations."""
    prepared = bits.prepare([(str(i), "", text) for i, text in enumerate(texts)], model.tokenizer)
    with jax.set_mesh(model.mesh):
        scores = bits.score(
            model.graphdef,
            model.params,
            prepared,
            model=model.shape,
            eot=model.tokenizer.eot,
            sharding=sharding.batch_sharding(model.mesh),
        )
    return [-(score.bits - score.eot_bits) * math.log(2) for score in scores]


def test_a_text_after_nothing_and_a_rolling_text_cost_what_an_evaluation_says(opened, ask):
    texts = [*SHORT, LONG]
    assert len(opened.tokenizer.encode(LONG)) > 2 * CONTEXT
    expected = without_eot(opened, texts)
    adapted = adapter.Adapter(opened)
    after_nothing = adapted.loglikelihood(ask(*(("", text) for text in texts)))
    assert [nats for nats, _ in after_nothing] == pytest.approx(expected, rel=1e-6)
    rolling = adapted.loglikelihood_rolling(ask(*((text,) for text in [*texts, ""])))
    assert rolling == pytest.approx([*expected, 0.0], rel=1e-6)
    assert dataclasses.asdict(adapted.tally) == {
        "loglikelihood": 6,
        "loglikelihood_rolling": 7,
        "generate_until": 0,
        "truncated": 0,
        "resegmented": 0,
    }


def test_a_continuation_has_the_probability_that_the_logits_give_it(opened, ask):
    answers = adapter.Adapter(opened).loglikelihood(ask(*PAIRS))
    for (context, continuation), (nats, is_greedy) in zip(PAIRS, answers, strict=True):
        bare = context.rstrip()
        expected = log_p(opened, context + continuation) - log_p(opened, bare)
        assert nats == pytest.approx(expected, rel=1e-4, abs=1e-4)
        whole = opened.tokenizer.encode(context + continuation)
        before = opened.tokenizer.encode(bare)
        if list(whole[: len(before)]) == list(before):
            assert nats == pytest.approx(
                log_p(opened, context + continuation, first=len(before)), rel=1e-4
            )
            of_next = next_log_probs(opened, [opened.tokenizer.eot, *whole])
            best = np.argmax(of_next[len(before) : len(whole)], axis=-1)
            assert is_greedy == (best.tolist() == whole[len(before) :].tolist())


def test_where_a_token_spans_the_border_continuations_compare_as_whole_texts(opened, ask):
    if opened.tokenizer.kind == "byte":
        pytest.skip("no token of bytes spans a border between characters")
    pieces = [opened.tokenizer.decode([i]) for i in range(opened.tokenizer.vocab_size)]
    spanning = next(
        piece
        for piece in pieces
        if len(piece) == 3 and len(opened.tokenizer.encode("。" + piece)) == 2
    )
    context = "。" + spanning[:2]
    assert len(opened.tokenizer.encode(context + spanning[2:])) == 2
    continuations = [spanning[2:], "、", "\n"]
    adapted = adapter.Adapter(opened)
    answers = adapted.loglikelihood(ask(*((context, one) for one in continuations)))
    of_wholes = [log_p(opened, context + one) for one in continuations]
    expected = [whole - log_p(opened, context) for whole in of_wholes]
    assert [nats for nats, _ in answers] == pytest.approx(expected, rel=1e-4, abs=1e-4)
    assert adapted.tally.resegmented == 1


def test_a_context_beyond_the_window_loses_its_beginning_and_is_counted(opened, ask):
    adapted = adapter.Adapter(opened)
    tokenizer = opened.tokenizer
    kept = LONG[LONG.index("夜") :]  # long enough for every vocabulary
    continuation = "回る。"
    whole = tokenizer.encode(kept + continuation)[-CONTEXT:]
    before = len(tokenizer.encode(kept))
    first = CONTEXT - (len(tokenizer.encode(kept + continuation)) - before)
    of_next = next_log_probs(opened, [tokenizer.eot, *whole[:-1]])
    expected = sum(of_next[place, whole[place]] for place in range(first, CONTEXT))
    answers = adapted.loglikelihood(ask((kept, continuation), ("海", "は")))
    assert answers[0][0] == pytest.approx(expected, rel=1e-4)
    assert adapted.tally.truncated == 1


def test_neither_order_nor_company_matters(opened, ask):
    pairs = [*PAIRS, *(("昨日、", text) for text in SHORT), ("", LONG), (LONG, "終わり")]
    adapted = adapter.Adapter(opened)
    expected = adapted.loglikelihood(ask(*pairs))
    backwards = adapted.loglikelihood(ask(*pairs[::-1]))[::-1]
    alone = [adapted.loglikelihood(ask(one))[0] for one in pairs]
    for answers in (backwards, alone):
        assert [is_greedy for _, is_greedy in answers] == [is_greedy for _, is_greedy in expected]
        np.testing.assert_allclose([a for a, _ in answers], [a for a, _ in expected], rtol=1e-5)
    assert len({round(nats, 3) for nats, _ in expected}) == len(pairs)


def test_a_uniform_model_gives_every_token_the_same(uniform, ask):
    size = uniform.tokenizer.vocab_size
    for context, continuation in PAIRS:
        ((nats, _),) = adapter.Adapter(uniform).loglikelihood(ask((context, continuation)))
        num_tokens = len(uniform.tokenizer.encode(context + continuation)) - len(
            uniform.tokenizer.encode(context.rstrip())
        )
        assert nats == pytest.approx(-num_tokens * math.log(size), rel=1e-5)


@pytest.fixture
def planted(opened):
    """A model that always expects the letter `a`."""
    params = jax.tree.map(jnp.zeros_like, opened.params)
    (letter,) = opened.tokenizer.encode("a")
    params["norm"]["bias"] = jnp.ones_like(params["norm"]["bias"])
    params["tokens"] = params["tokens"].at[letter].set(3.0)
    return dataclasses.replace(opened, params=params)


def test_only_the_text_that_the_model_would_write_is_greedy(planted, ask):
    adapted = adapter.Adapter(planted, batch_rows=1)
    answers = adapted.loglikelihood(ask(("b", "aaa"), ("b", "aab"), ("", "a"), ("a", "b")))
    assert [is_greedy for _, is_greedy in answers] == [True, False, True, False]
    assert answers[0][0] == pytest.approx(0, abs=1e-6)
    stops = {"until": ["aaaa"], "do_sample": False}
    ends = {"until": "x", "max_gen_toks": 5, "temperature": 0}
    assert adapted.generate_until(ask(("b", stops), ("b", ends))) == ["", "aaaaa"]


def test_a_model_that_is_not_finite_is_named(opened, ask):
    params = jax.tree.map(lambda leaf: leaf * jnp.nan, opened.params)
    broken = dataclasses.replace(opened, params=params)
    with pytest.raises(DamageError, match="not finite"):
        adapter.Adapter(broken).loglikelihood(ask(("", "a")))


@pytest.mark.slow  # compiles the decoder for two sizes of batch
def test_text_is_written_up_to_the_stop_string_and_in_whole_characters(opened, ask):
    prompts = ["港", "", "朝は"]
    texts = adapter.Adapter(opened).generate_until(ask(*((one, SAMPLED) for one in prompts)))
    sampler = sampling.Sampler(temperature=0.7, top_k=300)
    written = inference.generate(opened, prompts, sampler=sampler, max_tokens=12)
    for text, row in zip(texts, written, strict=True):
        assert row.text.startswith(text)
        assert set(row.text[len(text) :]) <= {"\ufffd"}
    longest = max(texts, key=len)
    stop = longest[len(longest) // 2 :][:1]
    stopped = adapter.Adapter(opened).generate_until(
        ask(*((one, SAMPLED | {"until": ["\0\0", stop]}) for one in prompts))
    )
    assert stopped == [text.partition(stop)[0] for text in texts]
    assert stopped != texts
    alone = adapter.Adapter(opened, batch_rows=1).generate_until(
        ask(*((one, SAMPLED) for one in prompts))
    )
    assert alone == texts
    other = adapter.Adapter(opened, seed=1).generate_until(
        ask(*((one, SAMPLED) for one in prompts))
    )
    assert other != texts


def test_requests_with_other_arguments_are_answered_in_their_own_order(opened, ask):
    short, long = (GREEDY | {"max_gen_toks": number} for number in (2, 9))
    asked = ask(("港", long), ("朝", short))
    adapted = adapter.Adapter(opened, batch_rows=1)
    texts = adapted.generate_until(asked)
    assert texts == [adapted.generate_until([one])[0] for one in asked]
    assert adapted.tally.generate_until == 4


def test_a_prompt_beyond_the_window_is_cut_to_leave_room(opened, ask):
    adapted = adapter.Adapter(opened)
    asked, room = GREEDY, CONTEXT - GREEDY["max_gen_toks"]
    ids = opened.tokenizer.encode(LONG)[-room:]
    (text,) = adapted.generate_until(ask((LONG, asked)))
    assert adapted.tally.truncated == 1
    if opened.tokenizer.encode(opened.tokenizer.decode(ids)).tolist() == ids.tolist():
        (same,) = adapted.generate_until(ask((opened.tokenizer.decode(ids), asked)))
        assert (same, adapted.tally.truncated) == (text, 1)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, (0.0, 16, ())),
        ({"until": "。"}, (0.0, 16, ("。",))),
        ({"until": ["\n", ""], "max_gen_toks": 7, "do_sample": False}, (0.0, 7, ("\n",))),
        ({"do_sample": True}, (1.0, 16, ())),
        ({"do_sample": True, "temperature": 0.5, "max_new_tokens": 3}, (0.5, 3, ())),
        ({"do_sample": False, "temperature": 0.5}, (0.0, 16, ())),
        ({"temperature": 0.5}, (0.5, 16, ())),
    ],
)
def test_arguments_mean_what_they_mean_in_the_harness(given, expected):
    asked = writing.read(given, context=32)
    assert (asked.sampler.temperature, asked.max_tokens, asked.until) == expected


def test_the_usual_limit_is_the_harness_s_where_it_fits():
    assert writing.read({}, context=1024).max_tokens == 256


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"num_beams": 4}, "asks for num_beams in its generation_kwargs"),
        ({"max_gen_toks": 32}, "max_gen_toks=32, but the context of 32 tokens"),
        ({"max_gen_toks": 0}, "max_gen_toks=0"),
        ({"temperature": -1}, "temperature=-1.0 is neither"),
    ],
)
def test_what_cannot_be_obeyed_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        writing.read(given, context=32)


def test_bits_per_byte_of_an_evaluation_without_eot_is_the_rolling_figure(opened, ask):
    texts = [LONG, "𠮷野家"]
    documents = [
        records.Document(
            id=text,
            url="",
            source="",
            license="",
            title="",
            text=text,
            num_bytes=len(text.encode()),
        )
        for text in texts
    ]
    answer = inference.evaluate(opened, documents, evaluated="")
    rolling = adapter.Adapter(opened).loglikelihood_rolling(ask(*((text,) for text in texts)))
    num_bytes = sum(len(text.encode()) for text in texts)
    assert -sum(rolling) / num_bytes / math.log(2) == pytest.approx(
        answer["bits_per_byte_without_eot"], rel=1e-6
    )
