import hypothesis
from hypothesis import strategies as st

from jgpt2.tokenizer import sample

# Machines under load are slow; that is no fault of the code.
RELAXED = hypothesis.settings(
    deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
DOCUMENTS = [(f"s{i % 3}", f"文書{i}。" + "あ" * (i % 50)) for i in range(300)]


def test_the_sample_depends_on_the_set_and_the_seed_only():
    first = sample.draw(DOCUMENTS, max_bytes=3000, seed=0)
    assert first == sample.draw(reversed(DOCUMENTS), max_bytes=3000, seed=0)
    assert first.texts != sample.draw(DOCUMENTS, max_bytes=3000, seed=1).texts
    assert first.num_documents_seen == 300


@RELAXED
@hypothesis.given(st.permutations(DOCUMENTS[:12]), st.integers(4, 1500))
def test_the_sample_keeps_its_bound_in_every_order(documents, max_bytes):
    drawn = sample.draw(documents, max_bytes=max_bytes, seed=3)
    assert drawn == sample.draw(DOCUMENTS[:12], max_bytes=max_bytes, seed=3)
    assert drawn.num_bytes == sum(len(text.encode()) for text in drawn.texts) <= max_bytes
    # less only for want of text, or of a sentence or character that fits
    assert drawn.num_bytes > max_bytes - 200 or len(drawn.texts) == 12


def test_a_larger_sample_contains_the_smaller():
    small = sample.draw(DOCUMENTS, max_bytes=1000, seed=0).texts
    large = sample.draw(DOCUMENTS, max_bytes=5000, seed=0).texts
    assert large[: len(small) - 1] == small[:-1]


def test_everything_is_kept_below_the_bound():
    drawn = sample.draw(DOCUMENTS, max_bytes=10**9, seed=0)
    assert sorted(drawn.texts) == sorted(text for _, text in DOCUMENTS)
    assert drawn.num_bytes == drawn.num_bytes_seen
    assert set(drawn.bytes_by_source) == {"s0", "s1", "s2"}


TEXT = st.text(st.one_of(st.characters(codec="utf-8"), st.sampled_from("。！？\n\t\r\0▁▅あ𠮷")))


@RELAXED
@hypothesis.given(TEXT, st.integers(4, 40))
def test_lines_lose_nothing_but_the_counted_breaks(text, max_bytes):
    made = list(sample.lines(text, max_bytes))
    assert all(0 < len(line.encode()) <= max_bytes for line in made)
    counts = sample.count_breaks(text)
    assert sum(len(line.encode()) for line in made) + sum(counts.values()) == len(text.encode())
    kept = [character for character in text if character not in "\n\t\r\0▁▅"]
    assert list("".join(made)) == kept


def test_long_lines_are_cut_at_sentence_ends():
    text = "一つ目の文。二つ目の文！三つ目？" * 500
    made = list(sample.lines(text))
    assert len(made) > 1
    assert "".join(made) == text
    assert all(line[-1] in "。！？" for line in made)
    assert all(len(line.encode()) <= sample.MAX_LINE_BYTES for line in made)
