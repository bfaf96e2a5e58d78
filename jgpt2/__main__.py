"""`python -m jgpt2` is the command `jgpt2`."""

import sys

from jgpt2.cli import main

if __name__ == "__main__":
    sys.exit(main())
