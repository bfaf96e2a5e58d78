"""The compiler in a process of its own: Ctrl-C ends it at once, and its memory is given back.

A compile is minutes within C++, where no signal of Python arrives; and what goes wrong there can
end the process. Run as `python -m jgpt2.plan.apart`: reads what to compile from stdin, and writes
what it gave to stdout.
"""

import dataclasses
import json
import os
import subprocess
import sys
from typing import Any

from jgpt2 import config, configio
from jgpt2.errors import InputError
from jgpt2.plan.topology import Topology, parse

_LAST_LINES = 5


def compile_step(
    experiment: config.Experiment, *, vocab_size: int, num_steps: int, topology: Topology
) -> dict[str, Any]:
    """The fields of a `compiled.Compiled`, as plain data.

    Raises InputError for what the compiler's process refuses, RuntimeError when it ends otherwise.
    """
    asked = {
        "experiment": configio.to_json(experiment),
        "vocab_size": vocab_size,
        "num_steps": num_steps,
        "topology": topology.name,
    }
    done = subprocess.run(
        [sys.executable, "-m", __name__],
        input=json.dumps(asked),
        capture_output=True,
        encoding="utf-8",
        # A plan asks the compiler, and touches no device of this machine.
        env=os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    if done.returncode == InputError.exit_code:
        raise InputError(done.stderr.strip())
    if done.returncode:
        last = " ".join(done.stderr.strip().splitlines()[-_LAST_LINES:])
        raise RuntimeError(f"the compiler ended with exit code {done.returncode}: {last}")
    return json.loads(done.stdout)


def _main() -> int:
    from jgpt2.plan import compiled

    asked = json.load(sys.stdin)
    out, sys.stdout = sys.stdout, sys.stderr  # nothing else may be printed there
    try:
        made = compiled.compile_here(
            configio.from_json(asked["experiment"]),
            vocab_size=asked["vocab_size"],
            num_steps=asked["num_steps"],
            topology=parse(asked["topology"]),
        )
    except InputError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    json.dump(dataclasses.asdict(made), out)
    return 0


if __name__ == "__main__":
    sys.exit(_main())
