from jgpt2.ablation import report


def test_a_vocabulary_that_loses_text_is_marked_as_a_lower_bound():
    arms = [
        {"arm": "sp", "is_lower_bound": False, "bits_per_byte": 2.5},
        {"arm": "lossy", "is_lower_bound": True, "bits_per_byte": 2.25},
    ]
    shown = report._figures(arms, (("bits", "bits_per_byte"),), caption="c")
    assert ">sp</th>" in shown
    assert ">lossy (下限 lower bound)</th>" in shown
    assert ">2.2500</td>" in shown
