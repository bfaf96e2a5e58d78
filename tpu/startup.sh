#!/usr/bin/env bash
# Readies a TPU VM: unpacks the code into ~/jgpt2 and installs what uv.lock pins, for TPUs and gs://.
# Run on every host by `jgpt2 launch vm setup`. Run again, it replaces the code and keeps the rest.
#
# usage: startup.sh ARCHIVE.tar.gz
set -euo pipefail

archive=$1
uv_version=0.13.9 # of the uv that wrote uv.lock

rm -rf "$HOME/jgpt2"
mkdir -p "$HOME/jgpt2" "$HOME/jgpt2-runs"
tar -xzf "$archive" -C "$HOME/jgpt2"

export PATH="$HOME/.local/bin:$PATH"
if ! uv --version 2>/dev/null | grep -qF "uv $uv_version"; then
  python3 -m pip install --user --quiet "uv==$uv_version"
fi
cd "$HOME/jgpt2"
uv sync --locked --no-dev --extra tpu --extra gcs --python 3.12
echo "$(hostname): jgpt2 $(.venv/bin/python -m jgpt2 --version) is installed"
