"""Groups of devices as XLA prints them, and what they may use of the torus."""

import numpy as np
import pytest

from jgpt2.plan import hlo, interconnect, topology
from tests.plan.conftest import program


def network(name):
    where = topology.parse(name)
    return interconnect.Network(where, interconnect.in_order(where))


def group(attributes, devices=16):
    line = hlo.parse(program(f"%c = f32[8] all-reduce(%p), {attributes}")).entry.instructions[1]
    return interconnect.group(line, devices)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ("replica_groups={{0,2},{1,3}}", (0, 2)),
        ("replica_groups={}", tuple(range(16))),
        ("channel_id=1", tuple(range(16))),
        ("replica_groups=[2,8]<=[16]", tuple(range(8))),
        ("replica_groups=[4,4]<=[4,4]T(1,0), use_global_device_ids=true", (0, 4, 8, 12)),
        ("replica_groups=mesh['data'=4,'fsdp'=4,'tensor'=1] {'data'}", (0, 4, 8, 12)),
        ("replica_groups=mesh['data'=4,'fsdp'=4] {'data', 'fsdp'}", tuple(range(16))),
    ],
)
def test_the_first_group(attributes, expected):
    assert group(attributes) == expected


def test_a_transposed_iota_is_numpys():
    expected = np.arange(24).reshape(2, 3, 4).transpose(2, 0, 1).reshape(-1, 6)[0]
    assert group("replica_groups=[4,6]<=[2,3,4]T(2,0,1)", 24) == tuple(expected)


ONE = 1e9
"""Bytes of a reduce-scatter."""


@pytest.mark.parametrize(
    ("name", "members", "links"),
    [
        ("v5e:4x4", range(16), 2),  # two open axes
        ("v5e:16x16", range(256), 4),  # two rings
        ("v5e:16x16", range(16), 2),  # one ring
        ("v5e:4x16", range(64), 3),  # an open axis and a ring
        ("v5p:4x4x4", range(64), 6),  # three rings
        ("v5p:4x4x4", range(16), 4),  # a plane
        ("v5p:2x2x1", range(4), 2),  # too short to close
        ("v5e:4x4", (0, 4, 8, 12), 1),  # the first axis alone
        ("v5e:2x4", (0, 2), 2 / 3),  # a link between them belongs to (1, 3) as well
    ],
)
def test_the_links_that_a_group_may_use(name, members, links):
    there = network(name)
    size = len(members)
    seconds = there.seconds("reduce-scatter", ONE, tuple(members))
    link = there.topology.link_bytes_per_s
    assert seconds == pytest.approx(ONE * (size - 1) / size / (links * link))


def test_devices_of_one_chip_share_its_links():
    there = network("tpu7x-8")
    assert len(there.places) == 16
    assert there.places[0] == there.places[1]
    assert there.topology.link_bytes_per_s == 50e9
    assert there.seconds("all-reduce", ONE, (0,)) == 0


def test_a_permutation_uses_one_link():
    assert network("v5e-16").seconds("collective-permute", ONE, range(16)) == ONE / 45e9


def test_between_slices_every_chip_has_its_share_of_the_network():
    two, four = network("2xv5p-8"), network("4xv5p-8")
    assert two.seconds_between_slices("ALL_REDUCE", ONE) == ONE / 6.25e9
    assert four.seconds_between_slices("ALL_REDUCE", ONE) == pytest.approx(1.5 * ONE / 6.25e9)
    assert four.seconds_between_slices("ALL_GATHER", ONE) == 3 * ONE / 6.25e9
    assert four.seconds_between_slices("REDUCE_SCATTER", ONE) == 0.75 * ONE / 6.25e9
