"""The reader of machine code listings, behind the table of kernel cycles."""

import importlib
import json
import sys
from pathlib import Path

import pytest

import jgpt2
from jgpt2.plan import kernels, topology

BENCHMARKS = Path(jgpt2.__file__).parents[1] / "benchmarks"
LISTING = """
   0x3   :  { %10 = vsyncpa [#allocation4], 0 } /* Start region 1 */
   0xa LB: > { %s23 = sadd.s32 1, %s22 /* iteration index */ }
   0xb   : > { %262 = sbr.rel (%p1) target = $region32 }
   0xc   : > { dma.local %s1 } /* End region 30 */
   0x14 PF: > { %s2 = smov 0 } /* Start/End empty region 32 :: Start region 31 */
   0x1f   : > { %v1 = vadd.f32 %v0, %v0 } /* End region 31 */
   0x50  : > { %p18_p4 = scmp.ge.s32.totalorder %s21_s22, 50 /* loop exit test */ }
   0x51  : > { %s1 = smov 0 }
   0x52  :  { %20 = sbr.rel (!%p18_p4) target = $region156 }
   0x60  :  { %30326 = vsyncpa [#allocation4], 1 }
"""


@pytest.fixture
def listings(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module("tpu_kernels")
    sys.modules.pop("tpu_kernels", None)


def test_a_program_is_the_loop_over_the_grid(listings):
    found = listings.read(LISTING)
    assert found.cycles == 0x51 - 0xA + 1
    assert found.trips == 50
    assert found.skippable == 0x14 - 0xB


def test_a_loop_within_the_program_is_not_counted_blindly(listings):
    with pytest.raises(SystemExit, match="count it by hand"):
        listings.read(LISTING.replace("0x1f   : >", "0x1f   : > >"))


def test_rows_replace_those_of_their_chip_and_kernel(listings, monkeypatch, tmp_path):
    before = json.loads(listings.TABLE.read_text("utf-8"))
    (tmp_path / "table.json").write_text(json.dumps(before), "utf-8")
    monkeypatch.setattr(listings, "TABLE", tmp_path / "table.json")
    row = {"chip": "v5e", "kernel": "attention_forward_8x64", "cycles": 1}
    listings._write([row])
    listings._write([row | {"cycles": 2}])
    after = json.loads((tmp_path / "table.json").read_text("utf-8"))
    assert after == before | {"kernels": [*before["kernels"], row | {"cycles": 2}]}


def test_the_shipped_table_names_chips_and_layouts_that_are_known():
    for row in kernels.table():
        assert topology.parse(f"{row['chip']}-8")
        assert row["layout"] in ("BHTK", "BTD")
        assert row["cycles"] > 0
