import json

from jgpt2.generate import record, sampling


def test_a_record_is_labelled_and_holds_what_makes_it_again():
    made = record.GeneratedText(
        model="c0ffee",
        step=None,
        tokenizer="deca",
        sampler=sampling.Sampler(temperature=0.7, top_k=40, top_p=0.95),
        seed=7,
        index=3,
        prompt="昔々",
        text="、ある所に",
        num_tokens=15,
        finish="eot",
    )
    assert json.loads(json.dumps(made.record())) == {
        "synthetic": True,
        "model": "c0ffee",
        "step": None,
        "tokenizer": "deca",
        "sampler": {"temperature": 0.7, "top_k": 40, "top_p": 0.95},
        "seed": 7,
        "index": 3,
        "prompt": "昔々",
        "text": "、ある所に",
        "num_tokens": 15,
        "finish": "eot",
    }
