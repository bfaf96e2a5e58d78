"""The probe of memory: counts that are known beforehand, and models that do or do not remember."""

import dataclasses
import json

import jax
import numpy as np
import optax
import pytest

from jgpt2 import config, manifest, memorisation, runs
from jgpt2.corpus import dataset, records
from jgpt2.errors import InputError
from jgpt2.model import gpt2, loss, sharding
from jgpt2.tokenizer import byte
