import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jgpt2.errors import InputError
from jgpt2.evaluate import windows


@st.composite
def plans(draw):
    context = draw(st.integers(1, 40))
    stride = draw(st.integers(1, context))
    num_targets = draw(st.lists(st.integers(1, 200), min_size=1, max_size=12))
    return context, stride, num_targets


@given(plans())
def test_every_token_is_scored_exactly_once_with_the_context_promised(plan):
    context, stride, num_targets = plan
    planned = windows.plan(np.asarray(num_targets), context=context, stride=stride)
    scored = [np.zeros(n, int) for n in num_targets]
    for i, start, length, first in zip(
        planned.document, planned.start, planned.length, planned.first, strict=True
    ):
        assert 1 <= length <= context
        assert start + length <= num_targets[i]
        targets = np.arange(start + first, start + length)
        assert len(targets) > 0
        scored[i][targets] += 1
        # Target t of the row has t + 1 tokens before it, and t - start + 1 of them in the window.
        assert np.all(targets - start + 1 >= np.minimum(targets + 1, context - stride + 1))
    assert all(np.all(counts == 1) for counts in scored)


@given(plans())
def test_the_last_window_of_each_document_ends_with_its_eot(plan):
    context, stride, num_targets = plan
    planned = windows.plan(np.asarray(num_targets), context=context, stride=stride)
    is_last = np.diff(planned.document, append=-1) != 0
    ends = (planned.start + planned.length)[is_last]
    assert ends.tolist() == num_targets
    assert planned.document[is_last].tolist() == list(range(len(num_targets)))


@given(plans(), st.integers(1, 5))
def test_every_window_is_in_one_batch_that_it_fits(plan, rows):
    context, stride, num_targets = plan
    planned = windows.plan(np.asarray(num_targets), context=context, stride=stride)
    seen = []
    for width, members in windows.batches(planned, context=context, rows=rows):
        assert width in windows.widths(context)
        assert 0 < len(members) <= windows.batch_rows(width, context=context, rows=rows)
        assert np.all(planned.length[members] <= width)
        seen += members.tolist()
    assert sorted(seen) == list(range(len(planned.start)))


def test_a_row_without_targets_has_no_window():
    planned = windows.plan(np.asarray([3, 0, 5]), context=4, stride=2)
    assert planned.document.tolist() == [0, 2, 2]
    assert not len(windows.plan(np.asarray([0]), context=4, stride=2).start)


def test_three_widths_whose_batches_hold_as_many_tokens_and_divide_alike():
    assert windows.widths(1024) == (256, 512, 1024)
    assert [windows.batch_rows(width, context=1024, rows=8) for width in (256, 512, 1024)] == [
        32,
        16,
        8,
    ]
    assert windows.widths(1) == (1,)


def test_stride_defaults_to_half_the_context():
    assert windows.check_stride(1024, None) == 512
    assert windows.check_stride(1, None) == 1
    assert windows.check_stride(1024, 1024) == 1024


@pytest.mark.parametrize("stride", [0, 65])
def test_a_stride_outside_the_context_is_refused(stride):
    with pytest.raises(InputError) as caught:
        windows.check_stride(64, stride)
    assert str(caught.value) == (
        f"stride={stride} is not within the context of 64 tokens; choose 1 to 64 "
        "(smaller gives every token more context and costs more; 32 is usual)."
    )
