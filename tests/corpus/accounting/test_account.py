import itertools
import json

import pytest

from jgpt2.corpus.accounting import account


def part(number):
    counted = account.Account()
    for i in range(number):
        counted.passes("read", 0, 100 * i)
        counted.drops("decode", f"理由{i % 2}", 5, 7)
    with counted.timed("extract"):
        sum(range(1000))
    counted.charsets["none > cp932"] += number
    counted.rules["line_ends"] += 1
    return counted


def without_seconds(counted):
    value = account.to_json(counted)
    for stage in value["stages"].values():
        assert stage.pop("seconds") >= 0
    return value


def test_parts_add_up_to_the_same_in_any_order():
    sums = []
    for order in itertools.permutations([1, 2, 5]):
        whole = account.Account()
        for number in order:
            whole.merge(part(number))
        sums.append(json.dumps(without_seconds(whole), ensure_ascii=False))
    assert len(set(sums)) == 1
    value = json.loads(sums[0])
    assert value["stages"]["read"]["documents"] == 8
    assert value["stages"]["decode"]["drops"]["理由0"]["documents"] == 1 + 1 + 3
    assert value["charsets"] == {"none > cp932": 8}


def test_what_is_written_is_read_back():
    counted = part(4)
    again = account.from_json(json.loads(json.dumps(account.to_json(counted))))
    assert account.to_json(again) == account.to_json(counted)
    assert list(account.to_json(again)["stages"]) == ["read", "decode", "extract"]


def test_reasons_stand_in_the_order_of_the_stages():
    counted = account.Account()
    counted.drops("filter", "max_link_share", 1, 1)
    counted.drops("decode", "unknown charset", 1, 1)
    counted.drops("filter", "max_link_share", 1, 1)
    found = account.reasons(counted)
    assert list(found.items()) == [("unknown charset", 1), ("max_link_share", 2)]


def test_an_unknown_stage_is_a_bug():
    with pytest.raises(KeyError, match="no stage 'cook'"):
        account.Account().passes("cook", 1, 1)
