"""Make the goldens again in an environment of their own and compare: python tests/reference/run.py.

Exit code 0 when all committed goldens agree with fresh ones, 1 otherwise. Inputs (weights, ids,
rates) must be the same bits; what torch computed may differ by the tolerances below, because
another processor sums in another order. `--write` replaces the committed files instead.
"""

import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

HERE = Path(__file__).parent
GOLDENS = HERE.parent / "goldens"
ENVIRONMENT = HERE.parent.parent / ".reference"
SCRIPTS = ("logits.py", "adamw.py")
# Largest absolute difference by array; logits are below 10, so this is about 10 fp32 roundings.
TOLERANCES = {"logits": 1e-5, "losses": 5e-5, "grad_norms": 2e-4, "learning_rates": 1e-15}


def environment() -> Path:
    """The Python of the reference environment, made first when missing or out of date.

    Whoever comes while another process makes it waits.
    """
    with ENVIRONMENT.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _environment()


def _environment() -> Path:
    python = ENVIRONMENT / "bin" / "python"
    requirements = HERE / "requirements.txt"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    mark = ENVIRONMENT / "requirements.sha256"
    if mark.exists() and mark.read_text(encoding="utf-8") == wanted:
        return python
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    # A CPU build of torch may lie in a folder that pip knows of; uv reads another variable.
    links = os.environ.get("UV_FIND_LINKS") or os.environ.get("PIP_FIND_LINKS", "")
    environ = {**os.environ, "UV_FIND_LINKS": links}
    if shutil.which("uv"):
        make = ["uv", "venv", "--quiet", "--python", "3.11", str(ENVIRONMENT)]
        install = ["uv", "pip", "install", "--quiet", "--python", str(python)]
    elif shutil.which("python3.11"):
        make = ["python3.11", "-m", "venv", str(ENVIRONMENT)]
        install = [str(python), "-m", "pip", "install", "--quiet"]
    else:
        sys.exit("neither uv nor python3.11 is on PATH; install one of them to make the goldens.")
    subprocess.run(make, check=True, env=environ)
    subprocess.run([*install, "-r", str(requirements)], check=True, env=environ)
    mark.write_text(wanted, encoding="utf-8")
    return python


def load(path: Path) -> dict[str, np.ndarray]:
    if path.suffix == ".safetensors":
        return load_file(path)
    with np.load(path) as arrays:
        return dict(arrays)


def differences(fresh_folder: Path) -> list[str]:
    """One line for everything that does not agree."""
    fresh = {path.name: path for path in sorted(fresh_folder.iterdir())}
    committed = {name: GOLDENS / name for name in fresh}
    lines = []
    for name, path in committed.items():
        if not path.exists():
            lines.append(f"{name}: not committed")
            continue
        old, new = load(path), load(fresh[name])
        if old.keys() != new.keys():
            lines.append(f"{name}: other arrays: {', '.join(sorted(old.keys() ^ new.keys()))}")
            continue
        for key, value in old.items():
            if value.shape != new[key].shape or value.dtype != new[key].dtype:
                lines.append(f"{name}: {key}: another shape or type")
            elif key not in TOLERANCES:
                if not np.array_equal(value, new[key]):
                    lines.append(f"{name}: {key}: not the same numbers")
            elif (worst := np.abs(value - new[key]).max()) > TOLERANCES[key]:
                lines.append(f"{name}: {key}: differs by {worst:.2g} > {TOLERANCES[key]:.2g}")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="replace the committed goldens")
    arguments = parser.parse_args()
    python = environment()
    with tempfile.TemporaryDirectory() as temporary:
        folder = GOLDENS if arguments.write else Path(temporary)
        folder.mkdir(exist_ok=True)
        for script in SCRIPTS:
            subprocess.run([str(python), str(HERE / script), str(folder)], check=True)
        if arguments.write:
            return 0
        lines = differences(folder)
        checked = len(list(folder.iterdir()))
    for line in lines:
        print(line, file=sys.stderr)
    print(f"{checked} goldens made again: {len(lines)} differences")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
