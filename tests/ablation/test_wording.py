from jgpt2.ablation import wording


def record(*, tied, bits, low=0.01, high=0.03, arms=("a", "b")):
    ranking = sorted(bits, key=bits.__getitem__)
    return {
        "plan": {
            "study": {
                "controls": ["iso_flop"],
                "seeds": [0, 1, 2],
                "decision": {"body": None, "tie": "vocab_size"},
            }
        },
        "evaluated": {"num_documents": 40, "num_bytes": 50_000},
        "decision": {
            "control": "iso_flop",
            "body": "2x64",
            "best": ranking[0],
            "ranking": ranking,
            "tied": tied,
            "chosen": "b",
        },
        "arms": [
            {
                "arm": arm,
                "control": "iso_flop",
                "body": "2x64",
                "bits_per_byte": value,
                "body_parameters": 100_096,
            }
            for arm, value in bits.items()
        ],
        "comparisons": [{"control": "iso_flop", "arms": list(arms), "low": low, "high": high}],
    }


def test_a_clear_answer_gives_difference_and_interval():
    given = record(tied=[], bits={"a": 2.52, "b": 2.5})
    said = wording.verdict(given)
    assert "b is best: 2.5000 bits per byte, 0.0200 less than a (2.5200)" in said.en
    assert "interval [0.0100, 0.0300]" in said.en
    assert "b が最良です" in said.ja and "[0.0100, 0.0300]" in said.ja


def test_the_interval_is_turned_with_the_pair():
    given = record(tied=[], bits={"a": 2.5, "b": 2.52}, low=-0.03, high=-0.01)
    assert wording.between(given, "a", "b", "iso_flop") == (0.01, 0.03)
    assert "interval [0.0100, 0.0300]" in wording.verdict(given).en


def test_a_tie_names_the_rule():
    said = wording.verdict(record(tied=["b"], bits={"a": 2.5, "b": 2.51}))
    assert said.en.startswith("A tie: a, b cannot be told apart")
    assert "(least size of the vocabulary) b is chosen" in said.en
    assert "引き分け" in said.ja and "b を選びます" in said.ja


def test_one_seed_gives_no_certainty():
    said = wording.verdict(record(tied=["a"], bits={"a": 2.52, "b": 2.5}, low=None, high=None))
    assert said.en.startswith("How sure the difference is cannot be said (one seed). Least: b")
    assert "種が一つです" in said.ja


def test_one_arm_has_nothing_to_be_compared_with():
    assert "no other arm" in wording.verdict(record(tied=[], bits={"b": 2.5})).en


def test_the_scale_is_said():
    said = wording.scale(record(tied=[], bits={"a": 2.52, "b": 2.5}))
    assert "100,096 parameters (2x64) at equal training FLOPs, 3 seeds, on 40" in said.en


def test_a_prediction_is_labelled_and_stands_beside_the_law():
    target = {
        "vocab_size": 12_345.6,
        "low": 8000.0,
        "high": 20_000.0,
        "is_extrapolated": True,
        "factor": 216.0,
        "published": (7000, 9000),
    }
    given = {"prediction": {"reason": None, "targets": {"small": target}}}
    (said,) = wording.prediction(given)
    assert said.en == (
        "small (extrapolated 216 times): the best vocabulary is about 12,346, interval 8,000 – "
        "20,000. The published law (Tao et al. 2024, English): 7,000 – 9,000."
    )
    assert "外挿" in said.ja and "7,000 – 9,000" in said.ja
    unsure = target | {"low": None, "high": None, "published": None, "is_extrapolated": False}
    (said,) = wording.prediction({"prediction": {"reason": None, "targets": {"x": unsure}}})
    assert said.en == "x: the best vocabulary is about 12,346, no interval can be given."


def test_why_there_is_no_prediction():
    for reason, words in (
        ({"lacks": "bodies", "found": 2}, "2 bodies, and a trend takes three"),
        ({"lacks": "vocabularies", "body": "2x64", "found": 1}, "2x64 has 1 vocabularies"),
        ({"lacks": "valley", "body": "2x64"}, "2x64 has no valley"),
    ):
        (said,) = wording.prediction({"prediction": {"reason": reason}})
        assert words in said.en and said.ja.startswith("予測はできません")
