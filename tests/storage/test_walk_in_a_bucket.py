"""The walk from a text to generated text with every artefact in a bucket, by the command line."""

import json
import shutil

import pytest
from conftest import ROOT, TINY, run_command

BRIEF = "--batch.sequences 8 --budget.num-bytes None --budget.steps 4 --optimizer.peak-lr 0.02"
SPARSE = "--evaluation.every-steps 2 --checkpoint.every-steps 2 --evaluation.max-bytes 1500"
SMALLEST_RUN = [str(ROOT / "configs" / "tiny.py"), *f"{TINY} {BRIEF} {SPARSE}".split()]
